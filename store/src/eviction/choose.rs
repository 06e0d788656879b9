//! Choosing: drawing a few entries, and letting the one go that ranks first.

use std::cell::Cell;

use smallvec::SmallVec;

use super::demand::Demand;
use super::room::{Step, VIEW, View};
use super::{GRAIN, Order, Policy, SMALL_BYTES};
use crate::db::Db;
use crate::entry::Entry;
use crate::keyspace;
use crate::memory;
use crate::reclaim::Guard;
use crate::table::{DRAWN, Occupant, Occupied, Start, Table};
use crate::usage::{Noting, Present, STAMPS, Usage};
use crate::value;

/// The small queue's share of the memory: 1 / 10.
const SMALL_PART: u64 = 10;
/// Below this share of it the other queue serves where none of the wanted one was drawn: 1 / 5.
const SMALL_PART_MOST: u64 = 5;
/// Beyond this share of it the other queue has room for what nobody has asked for: 1 / 3.
const SMALL_PART_ROOMY: u64 = 3;
/// What came in while so much of the limit was written is young: 1 / 32.
const YOUNG_STAMPS: u32 = GRAIN as u32 / 32;
/// An entry gets so many chances to be spared in one eviction: then it goes in any case.
pub(super) const ROUNDS_MAX: usize = 8;

/// Of which queue the next one goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    /// Of the small one, which has more than its share.
    is_small: bool,
    /// One of the other queue may go instead: the small one has not much too much.
    is_either: bool,
    /// With a small one that goes another one moves to the main queue, which has little.
    pub(super) fills_main: bool,
}

impl Turn {
    /// By how many bytes are small, and how many there are.
    pub(super) fn of(small_bytes: u64, whole_bytes: u64, is_last_round: bool) -> Turn {
        Turn {
            is_small: small_bytes * SMALL_PART >= whole_bytes,
            is_either: is_last_round || small_bytes * SMALL_PART_MOST < whole_bytes,
            fills_main: small_bytes * SMALL_PART_ROOMY > whole_bytes,
        }
    }

    /// The `first` of the queue whose turn it is, by whether it is the small one, unless that is
    /// too young a small one; then of the other queue, if that may be.
    #[inline(always)]
    pub(super) fn first<T>(
        self,
        first: impl Fn(bool) -> Option<T>,
        is_ripe: impl FnOnce(&T) -> bool,
    ) -> Option<T> {
        match first(self.is_small) {
            Some(wanted) if !self.is_small || is_ripe(&wanted) => Some(wanted),
            unripe if self.is_either => first(!self.is_small).or(unripe),
            _ => None,
        }
    }
}

/// What goes with an entry. Of most all stands in their block.
#[inline(always)]
fn bytes_of(entry: Entry<'_>) -> usize {
    match entry.is_flat() {
        true => entry.memory_bytes(),
        false => value::memory_bytes(entry),
    }
}

/// How much of memory something has taken for how long.
#[inline(always)]
pub(super) fn space_time(age: u32, bytes: impl FnOnce() -> usize) -> u64 {
    (u64::from(age) + 1) * bytes() as u64
}

/// The same for what is in one of the queues; in the small one so small for the youngest as if
/// they took next to nothing, so that what is large has time to be asked for, too.
#[inline(always)]
pub(super) fn rank_in_queue(is_small: bool, age: u32, bytes: impl FnOnce() -> usize) -> u64 {
    match is_small && age < YOUNG_STAMPS {
        true => space_time(age, || 1),
        false => space_time(age, bytes),
    }
}

/// A drawn entry with what policies go by.
#[derive(Debug)]
pub(super) struct Sampled<'g> {
    pub(super) entry: Entry<'g>,
    pub(super) usage: Usage,
    pub(super) age: u32,
    pub(super) idle_ticks: u32,
    pub(super) counter: u32,
}

impl Sampled<'_> {
    /// What goes with it. Not every order asks.
    pub(super) fn bytes(&self) -> usize {
        bytes_of(self.entry)
    }

    /// How much of memory it has taken for how long without a use: what goes first in cache mode.
    pub(super) fn space_time(&self) -> u64 {
        space_time(self.age, || self.bytes())
    }

    /// The same while cache mode goes by its queues.
    pub(super) fn rank_in_queue(&self) -> u64 {
        rank_in_queue(self.usage.is_small(), self.age, || self.bytes())
    }
}

impl Db<'_> {
    pub(super) fn draw(&self, is_volatile: bool, samples: usize, drawn: &mut Drawn) {
        let database = self.database();
        if is_volatile {
            if let Some(region) = database.expiring_regions.draw() {
                database
                    .table
                    .draw_expiring(region, samples, self.guard(), drawn);
            }
            return;
        }
        // From two places, since what stands together may be of one mind.
        let half = samples.div_ceil(2);
        let starts = foresee(&database.table, half, self.guard());
        for (start, len_max) in starts.into_iter().zip([half, samples]) {
            database.table.draw(start, len_max, self.guard(), drawn);
        }
    }

    /// Lets one of those that were drawn go, or promotes or spares one.
    pub(super) fn evict_among(
        &self,
        policy: Policy,
        drawn: &[Occupied],
        is_last_round: bool,
    ) -> Step {
        let store = self.store();
        let now = store.eviction().present(self.now_ms());
        let expiring = drawn.iter().filter(|occupied| occupied.expires());
        let is_expired = |entry: &Entry<'_>| entry.is_expired(self.now_ms());
        if let Some(expired) = expiring.map(|&it| self.entry_of(it)).find(is_expired) {
            let bytes = value::memory_bytes(expired) as u64;
            return match self.take_expired(expired) {
                true => Step::Freed(bytes),
                false => Step::Again,
            };
        }
        let has_queues =
            policy == Policy::CacheMode && store.eviction().rivals.ruling() == Order::Fifo;
        match has_queues {
            true => self.evict_by_queue(drawn, is_last_round, now),
            false => match self.first(policy, drawn, now) {
                Some(chosen) => self.evict_chosen(&chosen),
                None => Step::Again,
            },
        }
    }

    fn evict_by_queue(&self, drawn: &[Occupied], is_last_round: bool, now: Present) -> Step {
        let turn = Turn::of(SMALL_BYTES.sum(), memory::engine_bytes(), is_last_round);
        let Some(chosen) = self.first_by_queue(drawn, turn, now) else {
            return Step::Again;
        };
        if chosen.usage.frequency() > 0 && !is_last_round {
            keep_for_its_use(chosen.entry, chosen.usage, now);
            return Step::Again;
        }
        if turn.fills_main && chosen.usage.is_small() && take_read_in_vain() {
            self.promote_last(drawn, chosen.entry, now);
        }
        self.evict_chosen(&chosen)
    }

    fn evict_chosen(&self, chosen: &Sampled<'_>) -> Step {
        let bytes = chosen.bytes() as u64;
        match self.let_go(chosen, VIEW.with_borrow(View::keys)) {
            true => Step::Freed(bytes),
            false => Step::Again,
        }
    }

    /// Moves the last of the small ones to the main queue, though nobody asked for it.
    fn promote_last(&self, drawn: &[Occupied], going: Entry<'_>, now: Present) {
        let entries = drawn.iter().map(|&occupied| self.entry_of(occupied));
        let others = entries.filter(|entry| entry.address() != going.address());
        let small = others.map(|entry| (entry, clamped(entry, now)));
        let small = small.filter(|(_, usage)| usage.is_small());
        let last = small.min_by_key(|&(entry, usage)| {
            rank_in_queue(true, usage.age(now.stamp), || bytes_of(entry))
        });
        if let Some((entry, usage)) = last {
            keep_for_its_use(entry, usage, now);
        }
    }

    /// The first to go, by the queues.
    fn first_by_queue(&self, drawn: &[Occupied], turn: Turn, now: Present) -> Option<Sampled<'_>> {
        let first = |is_small| {
            self.first_by(drawn, now, |entry, usage| {
                let is_of_it = usage.is_small() == is_small;
                is_of_it.then(|| rank_in_queue(is_small, usage.age(now.stamp), || bytes_of(entry)))
            })
        };
        turn.first(first, |first| {
            VIEW.with_borrow_mut(|view| view.ripeness.judge(first.rank_in_queue()))
        })
    }

    /// The first to go of those that were drawn, without queues.
    fn first(&self, policy: Policy, drawn: &[Occupied], now: Present) -> Option<Sampled<'_>> {
        match policy {
            Policy::CacheMode => self.first_by(drawn, now, |entry, usage| {
                Some(space_time(usage.age(now.stamp), || bytes_of(entry)))
            }),
            _ => self.first_by(drawn, now, |entry, usage| {
                Some(policy.rank(&self.sampled_at(entry, usage, now)))
            }),
        }
    }

    /// The one with the highest rank, of those that have one.
    #[inline(always)]
    fn first_by<'e>(
        &'e self,
        drawn: &[Occupied],
        now: Present,
        rank: impl Fn(Entry<'e>, Usage) -> Option<u64>,
    ) -> Option<Sampled<'e>> {
        let mut first = None;
        let mut highest = 0;
        for &occupied in drawn {
            let entry = self.entry_of(occupied);
            let usage = clamped(entry, now);
            if let Some(rank) = rank(entry, usage)
                && (first.is_none() || rank >= highest)
            {
                (first, highest) = (Some((entry, usage)), rank);
            }
        }
        first.map(|(entry, usage)| self.sampled_at(entry, usage, now))
    }

    pub(super) fn entry_of(&self, occupied: Occupied) -> Entry<'_> {
        keyspace::entry_of(occupied, self.guard())
    }

    /// What policies go by.
    pub(super) fn sampled<'e>(&self, entry: Entry<'e>, now: Present) -> Sampled<'e> {
        self.sampled_at(entry, clamped(entry, now), now)
    }

    fn sampled_at<'e>(&self, entry: Entry<'e>, usage: Usage, now: Present) -> Sampled<'e> {
        Sampled {
            entry,
            usage,
            age: usage.age(now.stamp),
            idle_ticks: usage.idle_ticks(now.tick),
            counter: usage.counter(now),
        }
    }

    /// Whether an entry, of about so many, is gone; not if somebody has changed the key meanwhile.
    pub(super) fn let_go(&self, chosen: &Sampled<'_>, keys: u64) -> bool {
        let Sampled { entry, usage, .. } = *chosen;
        let hash = self.store().hash(entry.key());
        if usage.is_small() {
            self.store().eviction().foresee(hash, self.guard());
        }
        if !self.take_unless_changed(entry) {
            return false;
        }
        if usage.is_small() {
            self.store()
                .eviction()
                .remember(hash, keys.max(1), self.guard());
        }
        self.store().count_evicted(!usage.is_fetched());
        true
    }
}

/// What was drawn.
type Drawn = SmallVec<[Occupied; DRAWN]>;

/// Where to draw from, of which this thread fetched the slots two draws ago, and one draw ago what
/// they name, about so many from each.
fn foresee<O: Occupant>(table: &Table<O>, count: usize, guard: &Guard) -> [Start; 2] {
    thread_local! {
        static FORESEEN: Cell<[Option<[Start; 2]>; 2]> = const { Cell::new([None; 2]) };
    }
    let random = || [Start::random(), Start::random()];
    let [this, next] = FORESEEN.get().map(|starts| starts.unwrap_or_else(random));
    let last = random();
    FORESEEN.set([Some(next), Some(last)]);
    for (near, far) in next.into_iter().zip(last) {
        table.foresee_drawn(near, count, guard);
        table.foresee_draw(far, guard);
    }
    this
}

thread_local! {
    static DEMAND: Cell<Demand> = const { Cell::new(Demand::new()) };
}

/// Notes that this thread read what is not there.
pub(super) fn note_read_in_vain() {
    let mut demand = DEMAND.get();
    demand.note();
    DEMAND.set(demand);
}

fn take_read_in_vain() -> bool {
    let mut demand = DEMAND.get();
    let is_any = demand.take();
    DEMAND.set(demand);
    is_any
}

/// What is asked for stays: in the main queue, or for one of its uses.
fn keep_for_its_use(entry: Entry<'_>, usage: Usage, now: Present) {
    if !usage.is_small() {
        entry.swap_usage(usage, usage.spared(now.stamp));
    } else if entry.swap_usage(usage, usage.promoted(now.stamp)) {
        SMALL_BYTES.add(-(value::own_memory_bytes(entry) as i64));
    }
}

/// An entry's bits, with a stamp that does not wrap soon.
#[inline(always)]
fn clamped(entry: Entry<'_>, now: Present) -> Usage {
    let usage = entry.usage();
    if matches!(now.noting, Noting::Counter { .. }) || usage.age(now.stamp) < STAMPS / 4 * 3 {
        return usage;
    }
    made_younger(entry, usage, now)
}

#[cold]
fn made_younger(entry: Entry<'_>, usage: Usage, now: Present) -> Usage {
    let younger = usage.with_stamp(now.stamp.wrapping_sub(STAMPS / 2) % STAMPS);
    match entry.swap_usage(usage, younger) {
        true => younger,
        false => usage,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_young_a_small_one_makes_way_for_a_main_one_or_for_another_draw() {
        let both = |is_small| Some(is_small);
        let few = Turn::of(10, 100, false);
        assert_eq!(few.first(both, |_| true), Some(true));
        assert_eq!(few.first(both, |_| false), Some(false));
        let many = Turn::of(20, 100, false);
        assert_eq!(many.first(both, |_| true), Some(true));
        assert_eq!(many.first(both, |_| false), None);
        let small_alone = |is_small: bool| is_small.then_some(true);
        assert_eq!(few.first(small_alone, |_| false), Some(true));
        let last = Turn::of(20, 100, true);
        assert_eq!(last.first(small_alone, |_| false), Some(true));
    }

    #[test]
    fn the_main_queue_is_filled_until_it_has_two_thirds() {
        assert!(Turn::of(34, 100, false).fills_main);
        assert!(!Turn::of(33, 100, false).fills_main);
    }

    #[test]
    fn the_first_of_the_main_queue_goes_at_any_age() {
        let main = Turn::of(9, 100, false);
        let first = main.first(Some, |_| unreachable!("nobody asks for its age"));
        assert_eq!(first, Some(false));
    }

    #[test]
    fn what_is_young_and_small_goes_by_its_age_alone() {
        let rank = |is_small, age, bytes| rank_in_queue(is_small, age, || bytes);
        let young = YOUNG_STAMPS - 1;
        assert_eq!(rank(true, young, 1_000_000), rank(true, young, 50));
        assert!(rank(true, young, 1_000_000) < rank(true, YOUNG_STAMPS, 50));
        assert!(rank(true, YOUNG_STAMPS, 100) > rank(true, YOUNG_STAMPS, 50));
        assert!(rank(false, 0, 100) > rank(false, 0, 50));
    }
}
