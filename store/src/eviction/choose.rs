//! Choosing: drawing a few entries, and letting the one go that ranks first.

use std::cell::Cell;

use super::demand::Demand;
use super::room::{Step, VIEW, View};
use super::{GRAIN, Order, Policy, SMALL_BYTES};
use crate::db::Db;
use crate::entry::Entry;
use crate::keyspace;
use crate::memory;
use crate::reclaim::Guard;
use crate::store::Store;
use crate::table::{Drawn, Most, Occupant, Occupied, Start, Table, Wanted};
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
/// If the first of those drawn stays, being asked for, the second one may go.
pub(super) const FIRSTS_MAX: usize = 2;
/// An entry gets so many chances to be spared in one eviction: then it goes in any case.
pub(super) const ROUNDS_MAX: usize = 8;

/// To find `samples` entries of the queue whose turn it is, so many times as many are drawn at
/// most.
pub(super) const DRAWN_PER_SAMPLE: usize = 2;

/// Of which queue the next one goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    /// Of the small one, which has more than its share.
    pub(super) is_small: bool,
    /// One of the other queue may go if there is none: the small one has not much too much.
    is_either: bool,
    /// One that is too young may go, and one that was used.
    pub(super) is_last_round: bool,
    /// With a small one that goes another one moves to the main queue, which has little.
    pub(super) fills_main: bool,
}

impl Turn {
    /// By how many bytes are small, and how many there are.
    pub(super) fn of(small_bytes: u64, whole_bytes: u64, is_last_round: bool) -> Turn {
        Turn {
            is_small: small_bytes * SMALL_PART >= whole_bytes,
            is_either: is_last_round || small_bytes * SMALL_PART_MOST < whole_bytes,
            is_last_round,
            fills_main: small_bytes * SMALL_PART_ROOMY > whole_bytes,
        }
    }

    /// The `first` of the queue whose turn it is, by whether it is the small one, unless that is
    /// too young a small one; where there is none, of the other queue, if that may be.
    #[inline(always)]
    pub(super) fn first<T>(
        self,
        first: impl Fn(bool) -> Option<T>,
        is_ripe: impl FnOnce(&T) -> bool,
    ) -> Option<T> {
        match first(self.is_small) {
            None if self.is_either => first(!self.is_small),
            wanted if !self.is_small || self.is_last_round => wanted,
            wanted => wanted.filter(is_ripe),
        }
    }
}

/// When enough is drawn, if so many are to be compared.
fn most_of(wanted: Wanted, samples: usize) -> Most {
    let all = match wanted {
        Wanted::Any | Wanted::Expiring => samples,
        Wanted::Small | Wanted::Main => samples * DRAWN_PER_SAMPLE,
    };
    Most {
        wanted: samples,
        all,
    }
}

fn queue(is_small: bool) -> Wanted {
    match is_small {
        true => Wanted::Small,
        false => Wanted::Main,
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

/// The same within one of the queues. In the small one the youngest rank by age alone, so that what
/// is large has time to be asked for, too.
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

/// How one that goes is chosen.
#[derive(Clone, Copy, Debug)]
pub(super) enum Choice {
    /// By the queues of cache mode.
    Queues(Turn),
    /// As a policy ranks all that are drawn.
    Rank(Policy),
}

impl Choice {
    /// What is looked for.
    pub(super) fn wanted(self) -> Wanted {
        match self {
            Choice::Queues(turn) => queue(turn.is_small),
            Choice::Rank(policy) if policy.is_volatile() => Wanted::Expiring,
            Choice::Rank(_) => Wanted::Any,
        }
    }
}

impl Store {
    /// How the next one to go is chosen.
    pub(super) fn choice(&self, policy: Policy, is_last_round: bool) -> Choice {
        match policy == Policy::CacheMode && self.eviction().rivals.ruling() == Order::Fifo {
            true => {
                let (small, whole) = (SMALL_BYTES.sum(), memory::engine_bytes());
                Choice::Queues(Turn::of(small, whole, is_last_round))
            }
            false => Choice::Rank(policy),
        }
    }
}

impl Db<'_> {
    /// Draws entries of the kind that is wanted, of which `samples` are to be compared.
    pub(super) fn draw(&self, samples: usize, drawn: &mut Drawn) {
        let database = self.database();
        let wanted = drawn.wanted();
        let most = most_of(wanted, samples);
        if wanted == Wanted::Expiring {
            if let Some(region) = database.expiring_regions.draw() {
                database.table.draw_in(region, most, self.guard(), drawn);
            }
            return;
        }
        // From two places, since what stands together may be of one mind.
        let starts = foresee(&database.table, wanted, most.half(), self.guard());
        for (start, most) in starts.into_iter().zip([most.half(), most]) {
            database.table.draw(start, most, self.guard(), drawn);
        }
    }

    /// Lets one of those that were drawn go, or promotes or spares one.
    pub(super) fn evict_among(&self, choice: Choice, drawn: &Drawn) -> Step {
        let now = self.store().eviction().present(self.now_ms());
        let expiring = drawn.only(drawn.wanted()).filter(|it| it.expires());
        let is_expired = |entry: &Entry<'_>| entry.is_expired(self.now_ms());
        if let Some(expired) = expiring.map(|it| self.entry_of(it)).find(is_expired) {
            let bytes = value::memory_bytes(expired) as u64;
            return match self.take_expired(expired) {
                true => Step::Freed(bytes),
                false => Step::Again,
            };
        }
        match choice {
            Choice::Queues(turn) => self.evict_by_queue(drawn, turn, now),
            Choice::Rank(policy) => match self.first(policy, drawn, now) {
                Some(chosen) => self.evict_chosen(&chosen),
                None => Step::Again,
            },
        }
    }

    fn evict_by_queue(&self, drawn: &Drawn, turn: Turn, now: Present) -> Step {
        for _ in 0..FIRSTS_MAX {
            let Some(chosen) = self.first_by_queue(drawn, turn, now) else {
                break;
            };
            if chosen.usage.frequency() == 0 || turn.is_last_round {
                if turn.fills_main && chosen.usage.is_small() && take_read_in_vain() {
                    self.promote_last(drawn, chosen.entry, now);
                }
                return self.evict_chosen(&chosen);
            }
            self.keep_for_its_use(chosen.entry, chosen.usage, now);
        }
        Step::Again
    }

    fn evict_chosen(&self, chosen: &Sampled<'_>) -> Step {
        let bytes = chosen.bytes() as u64;
        match self.let_go(chosen, VIEW.with_borrow(View::keys)) {
            true => Step::Freed(bytes),
            false => Step::Again,
        }
    }

    /// Moves the last of the small ones to the main queue, though nobody asked for it.
    fn promote_last(&self, drawn: &Drawn, going: Entry<'_>, now: Present) {
        let entries = drawn.only(Wanted::Small).map(|it| self.entry_of(it));
        let others = entries.filter(|entry| entry.address() != going.address());
        let small = others.map(|entry| (entry, clamped(entry, now)));
        let small = small.filter(|(_, usage)| usage.is_small());
        let last = small.min_by_key(|&(entry, usage)| {
            rank_in_queue(true, usage.age(now.stamp), || bytes_of(entry))
        });
        if let Some((entry, usage)) = last {
            self.keep_for_its_use(entry, usage, now);
        }
    }

    /// What is asked for stays: in the main queue, or for one of its uses.
    fn keep_for_its_use(&self, entry: Entry<'_>, usage: Usage, now: Present) {
        if !usage.is_small() {
            entry.swap_usage(usage, usage.spared(now.stamp));
        } else if entry.swap_usage(usage, usage.promoted(now.stamp)) {
            SMALL_BYTES.add(-(value::own_memory_bytes(entry) as i64));
            self.name_anew(entry);
        }
    }

    /// Lets the slot of an entry say in which queue that is, if it still names it.
    fn name_anew(&self, entry: Entry<'_>) {
        let table = &self.database().table;
        let address = entry.address().as_ptr().addr();
        if let Some(spot) = table.naming(&self.key(entry.key()), address, self.guard()) {
            table.replace(&spot, keyspace::occupied(entry), self.guard());
        }
    }

    /// The first to go, by the queues.
    fn first_by_queue(&self, drawn: &Drawn, turn: Turn, now: Present) -> Option<Sampled<'_>> {
        let first = |is_small| {
            self.first_by(drawn.only(queue(is_small)), now, |entry, usage| {
                // The word can be behind.
                let is_of_it = usage.is_small() == is_small;
                is_of_it.then(|| rank_in_queue(is_small, usage.age(now.stamp), || bytes_of(entry)))
            })
        };
        let is_enough = drawn.wanted_count() >= self.store().samples();
        turn.first(first, |first| {
            is_enough || VIEW.with_borrow_mut(|view| view.ripeness.judge(first.rank_in_queue()))
        })
    }

    /// The first to go of those that were drawn, without queues.
    fn first(&self, policy: Policy, drawn: &Drawn, now: Present) -> Option<Sampled<'_>> {
        match policy {
            Policy::CacheMode => self.first_by(drawn.iter(), now, |entry, usage| {
                Some(space_time(usage.age(now.stamp), || bytes_of(entry)))
            }),
            _ => self.first_by(drawn.iter(), now, |entry, usage| {
                Some(policy.rank(&self.sampled_at(entry, usage, now)))
            }),
        }
    }

    /// The one with the highest rank, of those that have one.
    #[inline(always)]
    fn first_by<'e>(
        &'e self,
        drawn: impl Iterator<Item = Occupied>,
        now: Present,
        rank: impl Fn(Entry<'e>, Usage) -> Option<u64>,
    ) -> Option<Sampled<'e>> {
        let mut first = None;
        let mut highest = 0;
        for occupied in drawn {
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
        if !self.take_unless_changed(entry) {
            return false;
        }
        let store = self.store();
        if usage.is_small() {
            let hash = store.hash(entry.key());
            store.eviction().remember(hash, keys.max(1), self.guard());
        }
        store.count_evicted(!usage.is_fetched());
        true
    }
}

/// Where to draw from, of which this thread fetched the slots two draws ago, and one draw ago what
/// was wanted then of what they name, about so much from each.
fn foresee<O: Occupant>(table: &Table<O>, wanted: Wanted, most: Most, guard: &Guard) -> [Start; 2] {
    thread_local! {
        static FORESEEN: Cell<[Option<[Start; 2]>; 2]> = const { Cell::new([None; 2]) };
    }
    let random = || [Start::random(), Start::random()];
    let [this, next] = FORESEEN.get().map(|starts| starts.unwrap_or_else(random));
    let last = random();
    FORESEEN.set([Some(next), Some(last)]);
    for (near, far) in next.into_iter().zip(last) {
        table.foresee_drawn(near, wanted, most, guard);
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
    use crate::Draft;
    use crate::store::Options;
    use crate::value::string;

    #[test]
    fn too_young_a_small_one_stays_and_none_lets_a_main_one_go() {
        let both = |is_small| Some(is_small);
        let few = Turn::of(10, 100, false);
        assert_eq!(few.first(both, |_| true), Some(true));
        assert_eq!(few.first(both, |_| false), None);
        let main_alone = |is_small: bool| (!is_small).then_some(false);
        assert_eq!(few.first(main_alone, |_| true), Some(false));
        let many = Turn::of(20, 100, false);
        assert_eq!(many.first(both, |_| true), Some(true));
        assert_eq!(many.first(main_alone, |_| true), None);
        let last = Turn::of(20, 100, true);
        assert_eq!(last.first(both, |_| false), Some(true));
        assert_eq!(last.first(main_alone, |_| true), Some(false));
    }

    #[test]
    fn slots_say_in_which_queue_their_entries_are() {
        let store = Store::new(&Options {
            databases: 1,
            policy: Policy::CacheMode,
            ..Options::default()
        });
        let guard = store.pin();
        let db = store.db(0, &guard, 1_000);
        let (mut small, mut main) = (0, 0);
        for round in 0..50 {
            for n in 0..100 {
                let key = format!("{}", round * 100 + n);
                let draft = Draft::new(string::bytes(b"v"));
                db.put(key.as_bytes(), draft).expect("nobody else is here");
                if n % 2 == 0 {
                    db.read(key.as_bytes());
                }
            }
            // Less than there is, for a moment: some go, some are promoted.
            store.set_memory_bytes_max(1);
            db.make_room_for(b"next", 1).expect("something can go");
            store.set_memory_bytes_max(0);
        }
        db.database().table.relocate_all(&guard, |spot| {
            let occupied = spot.occupied();
            let is_small = db.entry_of(occupied).usage().is_small();
            assert_eq!(occupied.is_small(), is_small);
            *if is_small { &mut small } else { &mut main } += 1;
        });
        assert!(small > 100 && main > 100, "{small} {main}");
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
