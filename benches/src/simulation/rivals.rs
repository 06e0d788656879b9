//! Mayfly's cache mode, naively: the one of two orders that misses less, by miniatures.

use super::Cache;
use super::ordered::{Order, Ordered};

/// How many objects are sampled, at most.
const ITEMS: usize = 1024;
/// The comparison begins when so much of the cache is in use: 1 / 8.
const BEGIN_PART: u64 = 8;
/// So many requests until what was counted is worth half.
const WINDOW: u32 = 16_384;
const ORDERS: [Order; 2] = [Order::Queues, Order::LastUse];

/// A cache, and each order in a cache of a part of its bytes for a part of the objects.
#[derive(Debug)]
pub struct CacheMode {
    cache: Ordered,
    miniatures: Option<[Ordered; 2]>,
    /// An object is sampled if these bits of its hash are 0.
    mask: u64,
    asked: u32,
    misses: [u64; 2],
    /// Those that the other order had.
    lost: [u64; 2],
}

impl CacheMode {
    /// A cache of so many bytes for some of so many objects, about `items` of them.
    pub fn new(objects: usize, capacity: u64, items: usize) -> CacheMode {
        CacheMode {
            cache: Ordered::new(Order::Queues, objects, capacity, items, true),
            miniatures: None,
            mask: 0,
            asked: 0,
            misses: [0; 2],
            lost: [0; 2],
        }
    }

    /// Begins to compare, in miniatures of the cache as it will be when it is full.
    fn begin(&mut self) -> [Ordered; 2] {
        let items = self.cache.len() as u64 * self.cache.capacity() / self.cache.bytes().max(1);
        let parts = (items as usize).div_ceil(ITEMS).next_power_of_two();
        self.mask = parts as u64 - 1;
        let capacity = self.cache.capacity() / parts as u64;
        let objects = self.cache.objects();
        ORDERS.map(|order| Ordered::new(order, objects, capacity, ITEMS, true))
    }

    fn compare(&mut self, hits: [bool; 2]) {
        for (at, other) in [(0, 1), (1, 0)] {
            self.misses[at] += u64::from(!hits[at]);
            self.lost[at] += u64::from(!hits[at] && hits[other]);
        }
        self.asked += 1;
        if self.asked.is_multiple_of(WINDOW) {
            self.misses = self.misses.map(|count| count / 2);
            self.lost = self.lost.map(|count| count / 2);
        }
        let at = usize::from(self.cache.order() == ORDERS[1]);
        let loss = self.lost[at].saturating_sub(self.lost[1 - at]);
        // Beyond three standard deviations, and beyond two percent.
        if loss * loss > 9 * (self.lost[0] + self.lost[1]) && loss * 50 > self.misses[at] {
            self.cache.set_order(ORDERS[1 - at]);
        }
    }
}

impl Cache for CacheMode {
    fn ask(&mut self, object: u32, bytes: u32) -> bool {
        let is_hit = self.cache.ask(object, bytes);
        let miniatures = match self.miniatures.take() {
            None if self.cache.bytes() * BEGIN_PART < self.cache.capacity() => return is_hit,
            None => self.begin(),
            Some(miniatures) => miniatures,
        };
        let [queues, last_use] = self.miniatures.insert(miniatures);
        if hash(object) & self.mask == 0 {
            let hits = [queues.ask(object, bytes), last_use.ask(object, bytes)];
            self.compare(hits);
        }
        is_hit
    }
}

/// Mixes the bits of a number: <https://prng.di.unimi.it/splitmix64.c>.
fn hash(object: u32) -> u64 {
    let mut mixed = u64::from(object).wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}
