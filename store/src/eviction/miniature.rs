//! A cache in miniature: which of some keys an order would keep, without their values.
//!
//! Keys are told apart by 32 bits of their hashes; two that share them are taken for one.

use smallvec::SmallVec;

use super::GRAIN;
use super::choose::{DRAWN_PER_SAMPLE, FIRSTS_MAX, ROUNDS_MAX, Turn, rank_in_queue, space_time};
use super::demand::Demand;
use super::ghost::Ghosts;
use super::ripeness::Ripeness;
use super::rivals::Order;

/// So many are compared for each eviction.
const SAMPLES: usize = 10;
/// So many are drawn until there are as many of the queue whose turn it is, at most.
const DRAWN_MAX: usize = SAMPLES * DRAWN_PER_SAMPLE;
/// The most evictions for one key that comes. More is let go with the keys after it.
const EVICTIONS_MAX: usize = 16;
/// What takes a greater part than this of the miniature is left out: 1 / 8.
const LARGEST_PART: u64 = 8;
const FREQUENCY_MAX: u8 = 3;
/// The end of a chain.
const NONE: u16 = u16::MAX;

#[derive(Clone, Copy, Debug)]
struct Item {
    print: u32,
    bytes: u32,
    stamp: u32,
    /// The next one in the chain.
    next: u16,
    frequency: u8,
    is_small: bool,
}

/// What was drawn for an eviction: where it stands among the items.
#[derive(Debug, Default)]
struct Drawn {
    all: SmallVec<[usize; DRAWN_MAX]>,
    /// How many of them are of the queue whose turn it is.
    wanted_count: usize,
}

/// What is in the miniature, so that any of it can be found and drawn.
#[derive(Debug)]
struct Residents {
    /// Where chains of items begin, by the low bits of the print; as many as a power of two.
    heads: Box<[u16]>,
    items: Vec<Item>,
    bytes: u64,
}

impl Residents {
    fn new(items_max: usize) -> Residents {
        assert!(items_max.is_power_of_two() && items_max < usize::from(NONE));
        Residents {
            heads: vec![NONE; items_max].into_boxed_slice(),
            items: Vec::with_capacity(items_max),
            bytes: 0,
        }
    }

    fn is_full(&self) -> bool {
        self.items.len() == self.heads.len()
    }

    fn head(&mut self, print: u32) -> &mut u16 {
        let mask = self.heads.len() - 1;
        &mut self.heads[print as usize & mask]
    }

    fn find(&mut self, print: u32) -> Option<usize> {
        let mut at = *self.head(print);
        while at != NONE {
            let item = &self.items[usize::from(at)];
            if item.print == print {
                return Some(usize::from(at));
            }
            at = item.next;
        }
        None
    }

    fn insert(&mut self, item: Item) {
        let at = self.items.len() as u16;
        let next = std::mem::replace(self.head(item.print), at);
        self.bytes += u64::from(item.bytes);
        self.items.push(Item { next, ..item });
    }

    fn remove(&mut self, at: usize) -> Item {
        self.relink(at, self.items[at].next);
        let last = self.items.len() - 1;
        if at != last {
            self.relink(last, at as u16);
        }
        let item = self.items.swap_remove(at);
        self.bytes -= u64::from(item.bytes);
        item
    }

    /// What led to the item at `from` leads to `to` from now on.
    fn relink(&mut self, from: usize, to: u16) {
        let print = self.items[from].print;
        let mut at = *self.head(print);
        if usize::from(at) == from {
            *self.head(print) = to;
            return;
        }
        while usize::from(self.items[usize::from(at)].next) != from {
            at = self.items[usize::from(at)].next;
        }
        self.items[usize::from(at)].next = to;
    }
}

/// What a request does with its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
}

/// A cache without values, under one of the orders of cache mode.
#[derive(Debug)]
pub(super) struct Miniature {
    order: Order,
    capacity_bytes: u64,
    residents: Residents,
    small_bytes: u64,
    inserted_bytes: u64,
    clock: u32,
    ripeness: Ripeness,
    demand: Demand,
    ghosts: Ghosts,
}

impl Miniature {
    /// An empty one for at most so many items, a power of two, that remembers half as many.
    pub(super) fn new(order: Order, items_max: usize, capacity_bytes: u64) -> Miniature {
        Miniature {
            order,
            capacity_bytes,
            residents: Residents::new(items_max),
            small_bytes: 0,
            inserted_bytes: 0,
            clock: 0,
            ripeness: Ripeness::default(),
            demand: Demand::new(),
            ghosts: Ghosts::new(items_max as u64 / 2),
        }
    }

    /// What one takes for each item that it has room for, without the ghosts.
    pub(super) const BYTES_PER_ITEM: usize = size_of::<Item>() + size_of::<u16>();

    pub(super) fn set_capacity_bytes(&mut self, bytes: u64) {
        self.capacity_bytes = bytes;
    }

    /// Asks for a key, which is put in if it was not there; whether it was. None: it is too large
    /// to say anything.
    pub(super) fn ask(&mut self, hash: u64, bytes: u32, access: Access) -> Option<bool> {
        if u64::from(bytes) * LARGEST_PART > self.capacity_bytes {
            return None;
        }
        let print = print_of(hash);
        if let Some(at) = self.residents.find(print) {
            self.note_use(at);
            self.resize(at, bytes);
            return Some(true);
        }
        if access == Access::Read {
            self.demand.note();
        }
        self.put_in(print, bytes);
        Some(false)
    }

    /// Looks for a key that is not put in: whether it is there.
    pub(super) fn look(&mut self, hash: u64) -> bool {
        let found = self.residents.find(print_of(hash));
        match found {
            Some(at) => self.note_use(at),
            None => self.demand.note(),
        }
        found.is_some()
    }

    /// Puts a key in for which [`Miniature::look`] has just looked.
    pub(super) fn put(&mut self, hash: u64, bytes: u32) {
        if u64::from(bytes) * LARGEST_PART > self.capacity_bytes {
            return;
        }
        let print = print_of(hash);
        match self.residents.find(print) {
            Some(at) => self.resize(at, bytes),
            None => self.put_in(print, bytes),
        }
    }

    /// A key is no more, by nobody's choice here.
    pub(super) fn forget(&mut self, hash: u64) {
        if let Some(at) = self.residents.find(print_of(hash)) {
            let item = self.residents.remove(at);
            if item.is_small {
                self.small_bytes -= u64::from(item.bytes);
            }
        }
    }

    /// Puts in what is not there.
    fn put_in(&mut self, print: u32, bytes: u32) {
        self.make_room(bytes);
        if self.residents.is_full() {
            self.evict();
        }
        let is_small = !self.ghosts.take(ghost_of(print));
        self.pass(bytes);
        if is_small {
            self.small_bytes += u64::from(bytes);
        }
        self.residents.insert(Item {
            print,
            bytes,
            stamp: self.clock,
            next: NONE,
            frequency: 0,
            is_small,
        });
    }

    /// Evicts until there is room for so many bytes more, or for a while.
    fn make_room(&mut self, bytes: u32) {
        for _ in 0..EVICTIONS_MAX {
            let needed = self.residents.bytes + u64::from(bytes);
            if needed <= self.capacity_bytes || self.residents.items.is_empty() {
                break;
            }
            self.evict();
        }
    }

    /// Lets the clock go on: a step for each part of the capacity that came.
    fn pass(&mut self, bytes: u32) {
        self.inserted_bytes += u64::from(bytes);
        let grain = (self.capacity_bytes / GRAIN).max(1);
        let steps = self.inserted_bytes / grain;
        self.inserted_bytes %= grain;
        self.clock = self.clock.wrapping_add(steps as u32);
    }

    fn note_use(&mut self, at: usize) {
        let item = &mut self.residents.items[at];
        item.frequency = (item.frequency + 1).min(FREQUENCY_MAX);
        if self.order == Order::Lru {
            item.stamp = self.clock;
        }
    }

    /// What is there takes so many bytes from now on.
    fn resize(&mut self, at: usize, bytes: u32) {
        let item = &mut self.residents.items[at];
        let grown = i64::from(bytes) - i64::from(item.bytes);
        item.bytes = bytes;
        self.residents.bytes = self.residents.bytes.saturating_add_signed(grown);
        if item.is_small {
            self.small_bytes = self.small_bytes.saturating_add_signed(grown);
        }
        self.make_room(0);
    }

    fn evict(&mut self) {
        for round in 0..=ROUNDS_MAX {
            let turn = Turn::of(self.small_bytes, self.capacity_bytes, round == ROUNDS_MAX);
            let drawn = self.draw(turn);
            if self.evict_among(&drawn, turn) {
                break;
            }
        }
    }

    /// Lets one of those that were drawn go, or keeps some; whether one is gone.
    fn evict_among(&mut self, drawn: &Drawn, turn: Turn) -> bool {
        for _ in 0..FIRSTS_MAX {
            let Some(at) = self.first(drawn, turn) else {
                break;
            };
            let item = self.residents.items[at];
            if self.order == Order::Lru || item.frequency == 0 || turn.is_last_round {
                let is_of_queue = self.order == Order::Fifo && item.is_small;
                if turn.fills_main && is_of_queue && self.demand.take() {
                    self.promote_last(drawn, at);
                }
                self.let_go(at);
                return true;
            }
            self.keep(at);
        }
        false
    }

    /// Draws until enough are of the queue whose turn it is, or of all where there are no queues.
    fn draw(&self, turn: Turn) -> Drawn {
        let items = &self.residents.items;
        let mut drawn = Drawn::default();
        while drawn.wanted_count < SAMPLES && drawn.all.len() < DRAWN_MAX {
            let at = fastrand::usize(..items.len());
            let is_wanted = self.order == Order::Lru || items[at].is_small == turn.is_small;
            drawn.wanted_count += usize::from(is_wanted);
            drawn.all.push(at);
        }
        drawn
    }

    /// The first to go of those that were drawn.
    fn first(&mut self, drawn: &Drawn, turn: Turn) -> Option<usize> {
        if self.order == Order::Lru {
            let rank = |at: usize| {
                let item = &self.residents.items[at];
                space_time(self.age(item), || item.bytes as usize)
            };
            return drawn.all.iter().copied().max_by_key(|&at| rank(at));
        }
        let first = |is_small| {
            let queue = self.of_queue(drawn, is_small);
            queue.max_by_key(|&at| self.rank_in_queue(at))
        };
        let is_enough = drawn.wanted_count >= SAMPLES;
        let mut ripeness = self.ripeness;
        let first = turn.first(first, |&at| {
            is_enough || ripeness.judge(self.rank_in_queue(at))
        });
        self.ripeness = ripeness;
        first
    }

    /// Moves the last of the small ones to the main queue, though nobody asked for it.
    fn promote_last(&mut self, drawn: &Drawn, going: usize) {
        let others = self.of_queue(drawn, true).filter(|&at| at != going);
        let last = others.min_by_key(|&at| self.rank_in_queue(at));
        if let Some(last) = last {
            self.keep(last);
        }
    }

    /// Those that were drawn of one of the queues.
    fn of_queue(&self, drawn: &Drawn, is_small: bool) -> impl Iterator<Item = usize> {
        let is_of_it = move |at: usize| self.residents.items[at].is_small == is_small;
        drawn.all.iter().copied().filter(move |&at| is_of_it(at))
    }

    fn rank_in_queue(&self, at: usize) -> u64 {
        let item = &self.residents.items[at];
        rank_in_queue(item.is_small, self.age(item), || item.bytes as usize)
    }

    fn age(&self, item: &Item) -> u32 {
        self.clock.wrapping_sub(item.stamp)
    }

    fn keep(&mut self, at: usize) {
        let item = &mut self.residents.items[at];
        item.stamp = self.clock;
        if item.is_small {
            item.is_small = false;
            item.frequency = 0;
            self.small_bytes -= u64::from(item.bytes);
        } else {
            item.frequency -= 1;
        }
    }

    fn let_go(&mut self, at: usize) {
        let item = self.residents.remove(at);
        if item.is_small {
            self.small_bytes -= u64::from(item.bytes);
            self.ghosts.put(ghost_of(item.print));
        }
    }
}

/// What a key is known by: bits of its hash that do not say whether it is sampled.
fn print_of(hash: u64) -> u32 {
    hash.rotate_left(24) as u32
}

/// What the ghosts take for a hash: its halves are independent as far as 32 bits allow.
fn ghost_of(print: u32) -> u64 {
    u64::from(print) << 32 | u64::from(print)
}

#[cfg(test)]
mod tests {
    use super::super::objects::{hash, skewed};
    use super::*;
    use std::collections::{HashMap, VecDeque};

    #[test]
    fn residents_are_found_until_they_are_removed() {
        let mut residents = Residents::new(256);
        let mut model = HashMap::new();
        for _ in 0..20_000 {
            let print = fastrand::u32(..400);
            let found = residents.find(print);
            let bytes = found.map(|at| residents.items[at].bytes);
            assert_eq!(bytes, model.get(&print).copied());
            match found {
                Some(at) => {
                    residents.remove(at);
                    model.remove(&print);
                }
                None if residents.is_full() => {
                    let at = fastrand::usize(..256);
                    model.remove(&residents.remove(at).print);
                }
                None => {
                    let bytes = fastrand::u32(1..100);
                    residents.insert(Item {
                        print,
                        bytes,
                        stamp: 0,
                        next: NONE,
                        frequency: 0,
                        is_small: false,
                    });
                    model.insert(print, bytes);
                }
            }
            let sum: u64 = model.values().map(|&bytes| u64::from(bytes)).sum();
            assert_eq!((residents.bytes, residents.items.len()), (sum, model.len()));
        }
    }

    /// Exact LRU, naively: the misses of requests for objects of one size.
    fn misses_of_lru(requests: &[u64], room: usize) -> usize {
        let mut last_uses = HashMap::new();
        let mut misses = 0;
        for (now, &object) in requests.iter().enumerate() {
            if last_uses.insert(object, now).is_none() {
                misses += 1;
            }
            if last_uses.len() > room {
                let oldest = last_uses.iter().min_by_key(|(_, last)| **last);
                let oldest = *oldest.expect("there are some").0;
                last_uses.remove(&oldest);
            }
        }
        misses
    }

    /// S3-FIFO, naively: two queues of objects with their uses, and one of ghosts.
    fn misses_of_fifo(requests: &[u64], room: usize) -> usize {
        let mut queues = [VecDeque::<(u64, u8)>::new(), VecDeque::new()];
        let mut ghosts = VecDeque::new();
        let mut misses = 0;
        for &object in requests {
            let found = queues.iter_mut().flatten().find(|(it, _)| *it == object);
            if let Some((_, uses)) = found {
                *uses = (*uses + 1).min(3);
                continue;
            }
            misses += 1;
            while queues[0].len() + queues[1].len() >= room {
                let from = usize::from(queues[0].len() * 10 < room);
                let (oldest, uses) = queues[from].pop_front().expect("one of them");
                match (from, uses) {
                    (0, 0) => ghosts.push_back(oldest),
                    (0, _) => queues[1].push_back((oldest, 0)),
                    (_, 0) => {}
                    _ => queues[1].push_back((oldest, uses - 1)),
                }
            }
            while ghosts.len() > room {
                ghosts.pop_front();
            }
            let known = ghosts.iter().position(|&ghost| ghost == object);
            let to = usize::from(known.and_then(|at| ghosts.remove(at)).is_some());
            queues[to].push_back((object, 0));
        }
        misses
    }

    #[test]
    fn each_order_misses_what_its_naive_form_misses() {
        const ROOM: usize = 256;
        let requests: Vec<u64> = (0..20_000).map(|_| skewed(20_000.0)).collect();
        for (order, naive) in [
            (Order::Lru, misses_of_lru(&requests, ROOM)),
            (Order::Fifo, misses_of_fifo(&requests, ROOM)),
        ] {
            let mut miniature = Miniature::new(order, 2 * ROOM, 100 * ROOM as u64);
            let is_miss =
                |&&object: &&u64| miniature.ask(hash(object), 100, Access::Read) == Some(false);
            let misses = requests.iter().filter(is_miss).count();
            assert!(
                misses.abs_diff(naive) * 25 < naive,
                "{order:?}: {misses} against {naive}"
            );
        }
    }

    #[test]
    fn a_look_is_a_use_and_puts_nothing_in() {
        let mut miniature = Miniature::new(Order::Lru, 256, 256 * 100);
        assert!(!miniature.look(hash(0)) && !miniature.look(hash(0)));
        miniature.put(hash(0), 100);
        for other in 1..5_000 {
            assert!(miniature.look(hash(0)), "it was used last");
            assert_eq!(miniature.ask(hash(other), 100, Access::Read), Some(false));
        }
        miniature.forget(hash(0));
        assert!(!miniature.look(hash(0)));
    }

    #[test]
    fn neither_bytes_nor_items_are_more_than_there_is_room_for() {
        for order in Order::ALL {
            let mut miniature = Miniature::new(order, 256, 100_000);
            assert_eq!(miniature.ask(1, 12_501, Access::Read), None);
            for at in 0..50_000 {
                let bytes = match at % 20_000 < 10_000 {
                    true => fastrand::u32(1..100),
                    false => fastrand::u32(1..12_500),
                };
                let hash = hash(skewed(5_000.0));
                match at % 5 {
                    0 => miniature.forget(hash),
                    1 => miniature.put(hash, bytes),
                    _ => assert!(miniature.ask(hash, bytes, Access::Read).is_some()),
                }
                let Residents { items, bytes, .. } = &miniature.residents;
                let sum: u64 = items.iter().map(|item| u64::from(item.bytes)).sum();
                let of_small = items.iter().filter(|item| item.is_small);
                let small: u64 = of_small.map(|item| u64::from(item.bytes)).sum();
                assert_eq!((*bytes, miniature.small_bytes), (sum, small));
                assert!(items.len() <= 256 && *bytes < 150_000);
            }
        }
    }
}
