//! Redis's approximation of LRU: samples, and a pool of the best candidates so far.

use super::Cache;
use super::residents::Residents;

/// `EVPOOL_SIZE`.
const POOL: usize = 16;
/// `maxmemory-samples`.
const SAMPLES: usize = 5;

/// Evicts the one of some sampled objects that was used longest ago.
#[derive(Debug)]
pub struct SampledLru {
    capacity: u64,
    residents: Residents,
    clock: u64,
    last_use: Vec<u64>,
    /// Candidates with their last uses when they were drawn.
    pool: Vec<(u64, u32)>,
}

impl SampledLru {
    /// A cache of so many bytes for some of so many objects.
    pub fn new(objects: usize, capacity: u64) -> SampledLru {
        SampledLru {
            capacity,
            residents: Residents::new(objects),
            clock: 0,
            last_use: vec![0; objects],
            pool: Vec::new(),
        }
    }

    fn fill_pool(&mut self) {
        for _ in 0..SAMPLES {
            let object = self.residents.draw();
            if self.pool.iter().all(|&(_, other)| other != object) {
                self.pool.push((self.last_use[object as usize], object));
            }
        }
        self.pool.sort_unstable();
        self.pool.truncate(POOL);
    }

    fn evict(&mut self) {
        self.fill_pool();
        while !self.pool.is_empty() {
            let (_, object) = self.pool.remove(0);
            if self.residents.has(object) {
                return self.residents.remove(object);
            }
        }
    }
}

impl Cache for SampledLru {
    fn ask(&mut self, object: u32, bytes: u32) -> bool {
        self.clock += 1;
        self.last_use[object as usize] = self.clock;
        if self.residents.has(object) {
            return true;
        }
        while self.residents.sum() + u64::from(bytes) > self.capacity && !self.residents.is_empty()
        {
            self.evict();
        }
        self.residents.insert(object, bytes);
        false
    }
}
