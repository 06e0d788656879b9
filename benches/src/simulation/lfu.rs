//! Redis's LFU: samples, and a counter whose steps become harder. It loses one per minute, which
//! here are not.

use super::Cache;
use super::residents::Residents;

/// `maxmemory-samples`.
const SAMPLES: usize = 5;
/// `LFU_INIT_VAL`.
const COUNTER_START: u8 = 5;
/// `lfu-log-factor`.
const LOG_FACTOR: u64 = 10;

/// Evicts the one of some sampled objects with the lowest counter.
#[derive(Debug)]
pub struct SampledLfu {
    capacity: u64,
    residents: Residents,
    counters: Vec<u8>,
}

impl SampledLfu {
    /// A cache of so many bytes for some of so many objects.
    pub fn new(objects: usize, capacity: u64) -> SampledLfu {
        SampledLfu {
            capacity,
            residents: Residents::new(objects),
            counters: vec![0; objects],
        }
    }

    fn evict(&mut self) {
        let drawn = [(); SAMPLES].map(|()| self.residents.draw());
        let victim = drawn
            .into_iter()
            .min_by_key(|&object| self.counters[object as usize]);
        self.residents.remove(victim.expect("some were drawn"));
    }
}

impl Cache for SampledLfu {
    fn ask(&mut self, object: u32, bytes: u32) -> bool {
        let at = object as usize;
        if self.residents.has(object) {
            let beyond = u64::from(self.counters[at].saturating_sub(COUNTER_START));
            if self.residents.happens(beyond * LOG_FACTOR + 1) {
                self.counters[at] = self.counters[at].saturating_add(1);
            }
            return true;
        }
        while self.residents.sum() + u64::from(bytes) > self.capacity && !self.residents.is_empty()
        {
            self.evict();
        }
        self.residents.insert(object, bytes);
        self.counters[at] = COUNTER_START;
        false
    }
}
