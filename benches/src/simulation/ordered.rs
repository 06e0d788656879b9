//! One of the orders of Mayfly's cache mode, naively: what `store::eviction` describes, with the
//! same few bits.

use std::collections::VecDeque;

use super::Cache;
use super::residents::Residents;

/// `maxmemory-samples`: so many are compared.
const SAMPLES: usize = 10;
/// So many are drawn until there are as many of the queue whose turn it is, at most.
const DRAWN_MAX: usize = 2 * SAMPLES;
/// If the first of those drawn stays, being asked for, the second one may go.
const FIRSTS_MAX: usize = 2;
/// Stamps for each time the capacity is inserted.
const GRAIN: u64 = 2048;
const STAMPS: u32 = 1 << 14;
const FREQUENCY_MAX: u8 = 3;
const SMALL_PART: u64 = 10;
const SMALL_PART_MOST: u64 = 5;
/// Beyond this share the last one drawn moves to the main queue with each that goes.
const SMALL_PART_ROOMY: u64 = 3;
/// In the small queue, what is no older than this goes by age alone.
const YOUNG_STAMPS: u64 = GRAIN / 32;
/// The share of the first of the small queue that stay, and how fast what tells them apart moves.
const YOUNG_SHARE: f64 = 1.0 / 3.0;
const YOUNG_STEP: f64 = 1.0 / 64.0;
const ROUNDS_MAX: usize = 8;

/// In which order objects go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Two queues that are bits, and ghosts.
    Queues,
    /// What was used longest ago.
    LastUse,
}

/// A cache under one order, which may change.
#[derive(Debug)]
pub struct Ordered {
    order: Order,
    capacity: u64,
    by_size: bool,
    residents: Residents,
    small_bytes: u64,
    inserted: u64,
    stamps: Vec<u32>,
    frequencies: Vec<u8>,
    is_small: Vec<bool>,
    ghosts: VecDeque<u32>,
    is_ghost: Vec<bool>,
    ghosts_max: usize,
    /// What goes from the small queue ranks at least so high, if the other queue may serve.
    ripe_from: f64,
}

impl Ordered {
    /// A cache of so many bytes for some of so many objects, about `items` of them. `by_size`:
    /// as it is; else by age alone.
    pub fn new(
        order: Order,
        objects: usize,
        capacity: u64,
        items: usize,
        by_size: bool,
    ) -> Ordered {
        Ordered {
            order,
            capacity,
            by_size,
            residents: Residents::new(objects),
            small_bytes: 0,
            inserted: 0,
            stamps: vec![0; objects],
            frequencies: vec![0; objects],
            is_small: vec![false; objects],
            ghosts: VecDeque::new(),
            is_ghost: vec![false; objects],
            ghosts_max: items,
            ripe_from: 0.0,
        }
    }

    pub(super) fn order(&self) -> Order {
        self.order
    }

    pub(super) fn set_order(&mut self, order: Order) {
        self.order = order;
    }

    /// How many objects there are in it.
    pub(super) fn len(&self) -> usize {
        self.residents.len()
    }

    pub(super) fn capacity(&self) -> u64 {
        self.capacity
    }

    /// The bytes of what is in it.
    pub(super) fn bytes(&self) -> u64 {
        self.residents.sum()
    }

    /// How many objects there is a place for, that of each at its number.
    pub(super) fn objects(&self) -> usize {
        self.stamps.len()
    }

    fn stamp_now(&self) -> u32 {
        let unit = (self.capacity / GRAIN).max(1);
        (self.inserted / unit) as u32 % STAMPS
    }

    fn rank(&self, object: u32) -> u64 {
        let stamp = self.stamps[object as usize];
        let age = u64::from(self.stamp_now().wrapping_sub(stamp) % STAMPS) + 1;
        let has_queue = self.order == Order::Queues;
        let is_young = has_queue && self.is_small[object as usize] && age <= YOUNG_STAMPS;
        match self.by_size && !is_young {
            true => age * self.residents.bytes(object),
            false => age,
        }
    }

    fn wants_small(&self) -> bool {
        self.small_bytes * SMALL_PART >= self.capacity
    }

    /// Some objects; whether as many of them as are compared are of the queue whose turn it is.
    fn draw(&mut self) -> (Vec<u32>, bool) {
        let (mut drawn, mut wanted) = (Vec::new(), 0);
        while drawn.len() < DRAWN_MAX && wanted < SAMPLES {
            let object = self.residents.draw();
            let is_of_it = self.is_small[object as usize] == self.wants_small();
            wanted += usize::from(self.order == Order::LastUse || is_of_it);
            drawn.push(object);
        }
        (drawn, wanted == SAMPLES)
    }

    fn first(&mut self, drawn: &[u32], takes_young: bool, is_last: bool) -> Option<u32> {
        let of = |wanted: Option<bool>| {
            let is_of_it =
                |object: u32| wanted.is_none_or(|small| self.is_small[object as usize] == small);
            let queue = drawn.iter().copied().filter(|&object| is_of_it(object));
            queue.max_by_key(|&object| self.rank(object))
        };
        if self.order == Order::LastUse {
            return of(None);
        }
        let wants_small = self.wants_small();
        let is_either = is_last || self.small_bytes * SMALL_PART_MOST < self.capacity;
        match of(Some(wants_small)) {
            None if is_either => of(Some(!wants_small)),
            Some(object) if wants_small && !takes_young && self.is_young(object) => None,
            first => first,
        }
    }

    fn is_young(&mut self, object: u32) -> bool {
        let rank = self.rank(object) as f64;
        if self.ripe_from == 0.0 {
            self.ripe_from = rank;
        }
        let is_young = rank < self.ripe_from;
        self.ripe_from *= match is_young {
            true => 1.0 - (1.0 - YOUNG_SHARE) * YOUNG_STEP,
            false => 1.0 + YOUNG_SHARE * YOUNG_STEP,
        };
        is_young
    }

    fn evict(&mut self) {
        for round in 0.. {
            let is_last = round >= ROUNDS_MAX || self.order == Order::LastUse;
            let (drawn, is_enough) = self.draw();
            for _ in 0..FIRSTS_MAX {
                let Some(object) = self.first(&drawn, is_enough || is_last, is_last) else {
                    break;
                };
                if self.frequencies[object as usize] == 0 || is_last {
                    self.fill_main(&drawn, object);
                    return self.let_go(object);
                }
                self.keep(object);
            }
        }
    }

    fn fill_main(&mut self, drawn: &[u32], going: u32) {
        let is_small = |object: u32| self.is_small[object as usize];
        let is_roomy = self.small_bytes * SMALL_PART_ROOMY > self.capacity;
        if self.order == Order::LastUse || !is_small(going) || !is_roomy {
            return;
        }
        let others = drawn.iter().copied().filter(|&object| object != going);
        let small = others.filter(|&object| is_small(object));
        if let Some(last) = small.min_by_key(|&object| self.rank(object)) {
            self.keep(last);
        }
    }

    fn keep(&mut self, object: u32) {
        let at = object as usize;
        if self.is_small[at] {
            self.is_small[at] = false;
            self.small_bytes -= self.residents.bytes(object);
            self.frequencies[at] = 0;
        } else {
            self.frequencies[at] -= 1;
        }
        self.stamps[at] = self.stamp_now();
    }

    fn let_go(&mut self, object: u32) {
        let at = object as usize;
        if self.is_small[at] {
            self.small_bytes -= self.residents.bytes(object);
            self.is_ghost[at] = true;
            self.ghosts.push_back(object);
            if self.ghosts.len() > self.ghosts_max
                && let Some(old) = self.ghosts.pop_front()
            {
                self.is_ghost[old as usize] = false;
            }
        }
        self.residents.remove(object);
    }
}

impl Cache for Ordered {
    fn ask(&mut self, object: u32, bytes: u32) -> bool {
        let at = object as usize;
        if self.residents.has(object) {
            self.frequencies[at] = (self.frequencies[at] + 1).min(FREQUENCY_MAX);
            if self.order == Order::LastUse {
                self.stamps[at] = self.stamp_now();
            }
            return true;
        }
        while self.residents.sum() + u64::from(bytes) > self.capacity && !self.residents.is_empty()
        {
            self.evict();
        }
        self.is_small[at] = !std::mem::take(&mut self.is_ghost[at]);
        self.frequencies[at] = 0;
        self.inserted += u64::from(bytes);
        self.stamps[at] = self.stamp_now();
        self.residents.insert(object, bytes);
        if self.is_small[at] {
            self.small_bytes += u64::from(bytes);
        }
        false
    }
}
