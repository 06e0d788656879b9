//! Which of cache mode's two orders rules: the one that would have missed less lately.
//!
//! Both orders are simulated all the time, each in a [`Miniature`] that gets the requests for a
//! part of the keys and the same part of the bytes (C. Waldspurger et al., "Cache Modeling and
//! Optimization using Miniature Simulations", 2017). A sample of some hundred keys says what
//! whole queues would do; groups of keys in the cache itself would have to live with the order
//! that loses.
//!
//! # The sample
//!
//! A key is sampled if some bits of its hash, from 16 on, are 0: so many that between half of
//! [`ITEMS`] keys and [`ITEMS`] are. Beside those bits a miniature goes by others; in the table
//! they are a part of what leads to a home, which the sample does not touch.
//!
//! Requests are reads and writes. A read that finds nothing does not tell how long the value would
//! be: if one of the miniatures has the key, that counts, and the write that may follow only puts
//! the key into the other one; if none has it, the write counts instead, if there is one. So what
//! the ruling order has let go is heard of, whoever asks for it in vain. Keys that are deleted or
//! expire are taken out of both.
//!
//! # The choice
//!
//! Of two numbers, the requests that one order alone missed, the difference is compared with what
//! chance makes of it, three standard deviations of their sum, and with a part of all misses, so
//! that what is as good does not change places for ever. All counts are halved now and then.
//!
//! # What it costs
//!
//! Nothing while memory is nearly empty. The race begins long before the first eviction, as one in
//! a full cache: miniatures that begin empty in a full one find the same for as long as it takes
//! to fill them. From then on a key that is not sampled costs a load and a test of its hash, and a
//! sampled one some draws in two miniatures, one time out of as many as there are
//! [`ITEMS`] among the keys. The miniatures stand behind a lock that nobody waits for: what comes
//! while another thread is there is not counted, and what a thread that panicked left there is
//! thrown away. Each has room for twice the items, at 18 bytes, and two bytes for each ghost,
//! together 76 bytes for each sampled key that is aimed at: 78 kB and a thousandth of the limit at
//! most, but the smaller of 19 kB and a hundredth of the limit at least, and never below 5 kB.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, TryLockError};

use super::miniature::{Access, Miniature};
use crate::memory;

/// An order in which cache mode lets entries go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Order {
    /// Two queues: what comes has a tenth of the memory to be asked for again.
    #[default]
    Fifo = 0,
    /// By the last use.
    Lru,
}

impl Order {
    /// Both, each at its number.
    pub(super) const ALL: [Order; 2] = [Order::Fifo, Order::Lru];

    /// What INFO calls it.
    pub fn name(self) -> &'static str {
        ["fifo", "lru"][self as usize]
    }
}

/// The keys that are sampled, at most, where memory is small, and where it is tiny.
const ITEMS: u64 = 1024;
const ITEMS_SMALL: u64 = 256;
const ITEMS_MIN: u64 = 64;
/// The miniatures have no more than this part of the limit, 1 / 1000, ...
const LIMIT_PART: u64 = 1000;
/// ... where memory is small no more than 1 / 100.
const SMALL_LIMIT_PART: u64 = 100;
/// The bits of a hash below do not say whether a key is sampled.
const SAMPLED_FROM_BIT: u32 = 16;
const SHIFT_MAX: u32 = 24;
/// A change of the number of keys by about this power of two asks for another sample.
const SHIFT_CHANGE: u32 = 2;
/// So many sampled requests until what was counted is worth half.
const WINDOW: u32 = 16_384;
/// A difference counts beyond so many standard deviations, squared.
const DEVIATIONS_SQUARED: u64 = 9;
/// ... and beyond this part of the ruling order's misses: 1 / 50.
const MISSES_PART: u64 = 50;
/// Writes are awaited of so many keys that were looked for in vain.
const AWAITED: usize = 16;
/// What a key takes in the table and among ghosts, about.
const BYTES_PER_KEY: usize = 12;
/// Miniatures are as large as if this part of the limit were taken, until it is: 31 / 32. What is
/// left is about what is spared for garbage.
const SPARED_PART: u64 = 32;
/// The race begins when this part of the limit is taken: 1 / 8.
const BEGIN_PART: u64 = 8;
/// No key is sampled.
const NONE_SAMPLED: u64 = u64::MAX;

/// The two orders, and which of them rules.
#[derive(Debug)]
pub(super) struct Rivals {
    /// A key is sampled if these bits of its hash are 0.
    mask: AtomicU64,
    ruling: AtomicU8,
    /// As it was when somebody last looked.
    limit_bytes: AtomicU64,
    race: Mutex<Option<Box<Race>>>,
}

impl Rivals {
    pub(super) fn new() -> Rivals {
        Rivals {
            mask: AtomicU64::new(NONE_SAMPLED),
            ruling: AtomicU8::new(Order::Fifo as u8),
            limit_bytes: AtomicU64::new(0),
            race: Mutex::new(None),
        }
    }

    pub(super) fn ruling(&self) -> Order {
        match self.ruling.load(Ordering::Relaxed) {
            0 => Order::Fifo,
            _ => Order::Lru,
        }
    }

    pub(super) fn are_running(&self) -> bool {
        self.mask.load(Ordering::Relaxed) != NONE_SAMPLED
    }

    /// Whether requests for a key are to be noted.
    #[inline]
    pub(super) fn samples(&self, hash: u64) -> bool {
        hash & self.mask.load(Ordering::Relaxed) == 0
    }

    /// Notes a request for a sampled key that takes so many bytes.
    #[cold]
    pub(super) fn note(&self, hash: u64, bytes: usize, access: Access) {
        self.race_for(hash, |race| race.note(hash, bytes + BYTES_PER_KEY, access));
    }

    /// Notes a read of a sampled key that found nothing.
    #[cold]
    pub(super) fn note_absence(&self, hash: u64) {
        self.race_for(hash, |race| race.note_absence(hash));
    }

    /// Notes that a sampled key is deleted or has expired.
    #[cold]
    pub(super) fn note_end(&self, hash: u64) {
        self.race_for(hash, |race| {
            race.note_end(hash);
            false
        });
    }

    /// Notes something about a sampled key, unless somebody else does now. `note` says whether it
    /// is time to forget.
    fn race_for(&self, hash: u64, note: impl FnOnce(&mut Race) -> bool) {
        let Some(mut race) = self.try_race() else {
            return;
        };
        let Some(race) = race.as_mut() else {
            return;
        };
        // The sample may be another one than when it was asked.
        if !race.samples(hash) {
            return;
        }
        if note(race) {
            let limit_bytes = self.limit_bytes.load(Ordering::Relaxed);
            race.forget(full_live_bytes(limit_bytes));
        }
        let ruling = race.winner(self.ruling());
        self.ruling.store(ruling as u8, Ordering::Relaxed);
    }

    /// As [`Rivals::follow`], for the keys that there will be when memory is full; not while that
    /// is far away.
    pub(super) fn begin_early(
        &self,
        keys: impl FnOnce() -> u64,
        charged_bytes: u64,
        limit_bytes: u64,
    ) {
        if charged_bytes >= limit_bytes / BEGIN_PART {
            let keys = keys() as f64 * missing_factor(limit_bytes, charged_bytes);
            self.follow(keys as u64, limit_bytes);
        }
    }

    /// Makes miniatures for about so many keys, unless there are some that do.
    pub(super) fn follow(&self, keys: u64, limit_bytes: u64) {
        self.limit_bytes.store(limit_bytes, Ordering::Relaxed);
        let mask = self.mask.load(Ordering::Relaxed);
        let items = items_for(limit_bytes);
        let shift = shift_for(keys, items);
        if mask != NONE_SAMPLED && shift.abs_diff(mask.count_ones()) < SHIFT_CHANGE {
            return;
        }
        if let Some(mut race) = self.try_race() {
            let live_bytes = full_live_bytes(limit_bytes);
            *race = Some(Box::new(Race::new(shift, items, live_bytes)));
            self.mask.store(mask_of(shift), Ordering::Relaxed);
        }
    }

    /// Goes back to the beginning, for a while without evictions.
    pub(super) fn stop(&self) {
        self.mask.store(NONE_SAMPLED, Ordering::Relaxed);
        self.ruling.store(Order::Fifo as u8, Ordering::Relaxed);
        if let Some(mut race) = self.try_race() {
            *race = None;
        }
    }

    /// The race, if nobody else is there now. What a panic left half done is thrown away: the
    /// next [`Rivals::follow`] begins anew.
    fn try_race(&self) -> Option<MutexGuard<'_, Option<Box<Race>>>> {
        match self.race.try_lock() {
            Ok(race) => Some(race),
            Err(TryLockError::WouldBlock) => None,
            Err(TryLockError::Poisoned(left)) => {
                let mut race = left.into_inner();
                self.mask.store(NONE_SAMPLED, Ordering::Relaxed);
                *race = None;
                self.race.clear_poison();
                Some(race)
            }
        }
    }
}

/// By what the memory that is taken has to be multiplied to be full.
fn missing_factor(limit_bytes: u64, charged_bytes: u64) -> f64 {
    let full_bytes = limit_bytes - limit_bytes / SPARED_PART;
    (full_bytes as f64 / charged_bytes.max(1) as f64).max(1.0)
}

/// How many live bytes there are, or will be, when memory is full.
fn full_live_bytes(limit_bytes: u64) -> u64 {
    let factor = missing_factor(limit_bytes, memory::charged_bytes());
    (memory::in_use().live_bytes as f64 * factor) as u64
}

/// How many items are sampled at most.
fn items_for(limit_bytes: u64) -> u64 {
    let items = |part| limit_bytes / part / BYTES_PER_ITEM as u64;
    let small = items(SMALL_LIMIT_PART).clamp(ITEMS_MIN, ITEMS_SMALL);
    let items = items(LIMIT_PART).clamp(small, ITEMS);
    // A power of two, rounded down.
    1 << items.ilog2()
}

/// One key out of this power of two is sampled.
fn shift_for(keys: u64, items: u64) -> u32 {
    let parts = keys.div_ceil(items).next_power_of_two();
    parts.ilog2().min(SHIFT_MAX)
}

fn mask_of(shift: u32) -> u64 {
    ((1 << shift) - 1) << SAMPLED_FROM_BIT
}

/// For each item that is aimed at, two miniatures have room for two and a ghost.
const BYTES_PER_ITEM: usize = 2 * (2 * Miniature::BYTES_PER_ITEM + size_of::<u16>());

/// Two miniatures, and what each missed.
#[derive(Debug)]
struct Race {
    shift: u32,
    items: u64,
    miniatures: [Miniature; 2],
    asked: u32,
    misses: [u64; 2],
    /// Those that the other one had.
    lost: [u64; 2],
    /// Hashes of keys whose requests have counted before their writes.
    awaited: VecDeque<u64>,
}

impl Race {
    /// For so many items of a cache of so many bytes.
    fn new(shift: u32, items: u64, live_bytes: u64) -> Race {
        memory::count_live(Race::memory_bytes(items));
        let capacity_bytes = live_bytes >> shift;
        let items_max = 2 * items as usize;
        Race {
            shift,
            items,
            miniatures: Order::ALL.map(|order| Miniature::new(order, items_max, capacity_bytes)),
            asked: 0,
            misses: [0; 2],
            lost: [0; 2],
            awaited: VecDeque::with_capacity(AWAITED),
        }
    }

    /// Without the ghosts, which count themselves.
    fn memory_bytes(items: u64) -> i64 {
        (2 * 2 * items as usize * Miniature::BYTES_PER_ITEM) as i64
    }

    fn samples(&self, hash: u64) -> bool {
        hash & mask_of(self.shift) == 0
    }

    /// Asks both; whether it is time to forget.
    fn note(&mut self, hash: u64, bytes: usize, access: Access) -> bool {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        if let Some(at) = self.awaited.iter().position(|&it| it == hash) {
            self.awaited.remove(at);
            self.miniatures
                .iter_mut()
                .for_each(|it| it.put(hash, bytes));
            return false;
        }
        let [fifo, lru] = &mut self.miniatures;
        match [fifo, lru].map(|it| it.ask(hash, bytes, access)) {
            [Some(fifo_hit), Some(lru_hit)] => self.count([fifo_hit, lru_hit]),
            _ => false,
        }
    }

    /// Looks for a key that the cache itself does not have; whether it is time to forget.
    fn note_absence(&mut self, hash: u64) -> bool {
        let [fifo, lru] = &mut self.miniatures;
        let hits = [fifo.look(hash), lru.look(hash)];
        if hits == [false; 2] {
            return false;
        }
        if !self.awaited.contains(&hash) {
            if self.awaited.len() == AWAITED {
                self.awaited.pop_front();
            }
            self.awaited.push_back(hash);
        }
        self.count(hits)
    }

    fn note_end(&mut self, hash: u64) {
        self.miniatures.iter_mut().for_each(|it| it.forget(hash));
    }

    /// Counts a request; whether so many were counted that it is time to forget.
    fn count(&mut self, hits: [bool; 2]) -> bool {
        for (at, other) in [(0, 1), (1, 0)] {
            self.misses[at] += u64::from(!hits[at]);
            self.lost[at] += u64::from(!hits[at] && hits[other]);
        }
        self.asked += 1;
        self.asked == WINDOW
    }

    /// Halves the counts, and goes on as a part of so many bytes.
    fn forget(&mut self, live_bytes: u64) {
        self.asked = 0;
        for count in self.misses.iter_mut().chain(&mut self.lost) {
            *count /= 2;
        }
        for miniature in &mut self.miniatures {
            miniature.set_capacity_bytes(live_bytes >> self.shift);
        }
    }

    /// Who rules after `ruling`.
    fn winner(&self, ruling: Order) -> Order {
        let (at, other) = (ruling as usize, 1 - ruling as usize);
        let loss = self.lost[at].saturating_sub(self.lost[other]);
        let is_chance = loss * loss <= DEVIATIONS_SQUARED * (self.lost[0] + self.lost[1]);
        let is_little = loss * MISSES_PART <= self.misses[at];
        match is_chance || is_little {
            true => ruling,
            false => Order::ALL[other],
        }
    }
}

impl Drop for Race {
    fn drop(&mut self) {
        memory::count_live(-Race::memory_bytes(self.items));
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::super::objects::{hash, skewed};
    use super::*;

    /// Asks for what popularity makes of the numbers of requests; who rules in the end.
    fn ruling_after(requests: u64, ruling: Order, object: impl Fn(u64) -> u64) -> Order {
        const SHIFT: u32 = 3;
        let mut race = Race::new(SHIFT, ITEMS_SMALL, (100 * ITEMS_SMALL) << SHIFT);
        let mut ruling = ruling;
        for at in 0..requests {
            let hash = hash(object(at));
            if race.samples(hash) && race.note(hash, 100, Access::Read) {
                race.forget((100 * ITEMS_SMALL) << SHIFT);
            }
            ruling = race.winner(ruling);
        }
        ruling
    }

    #[test]
    fn queues_rule_where_popularity_stays_and_last_uses_where_it_moves_on() {
        for before in Order::ALL {
            let stays = |_| skewed(100_000.0);
            assert_eq!(ruling_after(400_000, before, stays), Order::Fifo);
            let moves_on = |at| at / 20 + skewed(20_000.0);
            assert_eq!(ruling_after(400_000, before, moves_on), Order::Lru);
        }
    }

    #[test]
    fn what_is_as_good_keeps_ruling() {
        for before in Order::ALL {
            let all_new = |at| at;
            assert_eq!(ruling_after(200_000, before, all_new), before);
            let few = |at| at % 100;
            assert_eq!(ruling_after(200_000, before, few), before);
        }
    }

    #[test]
    fn a_read_in_vain_and_its_write_are_one_request() {
        let mut race = Race::new(0, ITEMS_SMALL, 100 * ITEMS_SMALL);
        race.note_absence(1);
        race.note(1, 100, Access::Write);
        assert_eq!((race.asked, race.misses), (1, [1, 1]), "nobody knew it");
        let [fifo, lru] = &mut race.miniatures;
        assert!(fifo.look(1) && lru.look(1));
        fifo.forget(1);
        for _ in 0..2 {
            race.note_absence(1);
            race.note(1, 100, Access::Write);
            assert!(race.miniatures[0].look(1), "it was written");
        }
        assert_eq!((race.asked, race.misses, race.lost), (3, [2, 1], [1, 0]));
        race.note_end(1);
        race.note_absence(1);
        assert_eq!((race.asked, race.awaited.len()), (3, 0));
        (0..2 * AWAITED as u64).for_each(|hash| {
            race.note(hash, 100, Access::Write);
            race.note_absence(hash);
        });
        assert_eq!(race.awaited.len(), AWAITED);
    }

    #[test]
    fn the_sample_is_half_to_all_of_the_items() {
        assert_eq!(shift_for(1, ITEMS), 0);
        for keys in [ITEMS, ITEMS + 1, 3 * ITEMS, 1 << 20, 99_999_999] {
            let sampled = keys >> shift_for(keys, ITEMS);
            assert!((ITEMS / 2..=ITEMS).contains(&sampled), "{keys}: {sampled}");
        }
        let shift = shift_for(1 << 20, ITEMS);
        let race = Race::new(shift, ITEMS, 1);
        let sampled = (0..1_u64 << 20).filter(|&it| race.samples(hash(it)));
        assert!(sampled.count().abs_diff(ITEMS as usize) < 200);
    }

    #[test]
    fn memory_is_a_thousandth_of_the_limit_or_little() {
        for limit_bytes in [1, 1 << 20, 10 << 20, 30 << 20, 100 << 20, 1 << 40] {
            let bytes = items_for(limit_bytes) * BYTES_PER_ITEM as u64;
            let small = (limit_bytes / SMALL_LIMIT_PART).clamp(5_000, 20_000);
            assert!(bytes <= 80_000 && bytes <= (limit_bytes / LIMIT_PART).max(small));
        }
    }

    #[test]
    fn nothing_is_sampled_before_there_are_miniatures_and_after() {
        let rivals = Rivals::new();
        let sampled = || (0..4_096).filter(|&it| rivals.samples(hash(it))).count();
        assert_eq!((rivals.are_running(), sampled()), (false, 0));
        rivals.follow(1_000, 1 << 30);
        assert_eq!((rivals.are_running(), sampled()), (true, 4_096));
        rivals.follow(2_000, 1 << 30);
        assert_eq!(sampled(), 4_096, "not for a key or two");
        rivals.follow(4_096, 1 << 30);
        assert!(sampled().abs_diff(1_024) < 200);
        rivals.note(0, 100, Access::Read);
        assert!(rivals.race.lock().expect("no panic").is_some());
        rivals.stop();
        assert_eq!((rivals.are_running(), sampled()), (false, 0));
        rivals.note(0, 100, Access::Read);
        assert!(rivals.race.lock().expect("no panic").is_none());
    }

    #[test]
    fn a_race_begins_before_memory_is_full_as_if_it_were() {
        let rivals = Rivals::new();
        let sampled = || (0..32_768).filter(|&it| rivals.samples(hash(it))).count();
        rivals.begin_early(|| unreachable!("nobody asks"), (1 << 30) / 9, 1 << 30);
        assert!(!rivals.are_running());
        let keys = 4_096;
        rivals.begin_early(|| keys, 1 << 27, 1 << 30);
        assert!(sampled().abs_diff(1_024) < 200, "of 8 times the keys");
        rivals.begin_early(|| 2 * keys, 1 << 28, 1 << 30);
        rivals.follow(7 * keys, 1 << 30);
        assert!(sampled().abs_diff(1_024) < 200, "and it goes on");
    }

    #[test]
    fn a_panic_of_one_thread_ends_a_race_and_the_next_one_begins() {
        let rivals = Rivals::new();
        rivals.follow(1_000, 1 << 30);
        let panics = AssertUnwindSafe(|| rivals.race_for(0, |_| panic!("as a bug would")));
        assert!(catch_unwind(panics).is_err());
        rivals.note(0, 100, Access::Read);
        assert!(!rivals.are_running(), "half a race counts for nothing");
        rivals.follow(1_000, 1 << 30);
        assert!(rivals.are_running());
        assert!(rivals.try_race().is_some_and(|race| race.is_some()));
        rivals.stop();
        assert!(rivals.try_race().is_some_and(|race| race.is_none()));
    }
}
