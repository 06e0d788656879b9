//! What goes when memory is full, and when.
//!
//! # No list, no lock
//!
//! Nothing orders the entries but 32 bits in each of them (see `usage`). To make room a thread
//! draws a few entries at random out of the table, some from two places each, and lets the one
//! go that the [`Policy`] ranks first. Drawing `maxmemory-samples` of them, 10 by default, comes
//! close to the exact order; a hit writes nothing, or its own entry's bits, and no two threads
//! have anything to agree on.
//!
//! # Cache mode
//!
//! Our own policy is S3-FIFO (J. Yang et al., "FIFO queues are all you need for cache eviction",
//! 2023) without its queues. New keys belong to the *small* queue, which is a bit in the entry.
//! While small entries take a tenth of the memory or more, the first of the small ones drawn
//! goes; if it was used since it came, it moves to the main queue instead: the bit is taken off.
//! Else the first of the main ones goes, unless it was used: then it stays for one of its (at
//! most three) uses. Where none of the one queue was drawn the other one serves, unless small
//! entries take a sixth by then: to draw again costs more than it is worth. A key that went from
//! the small queue leaves a fingerprint of two bytes (`ghost`), and if it comes back soon it
//! belongs to the main queue at once. So what is asked for once passes through a tenth to a sixth
//! of the memory, and scans take no more than that.
//!
//! First among several is the one with the highest product of size and age in its queue: the
//! memory that it has taken over its time there without being asked for. That is what makes
//! sizes count; with sizes of a published distribution it is worth more than all the rest.
//!
//! Where popularity moves on the queues lose: what was asked for often a moment ago keeps its place
//! too long. So there is a second order, without queues: the first of all drawn goes, by its size
//! and the time since its last use, which reads then write. Which of the two rules is decided by
//! the requests for a sample of the keys (`rivals`). The other bits of an entry are kept under
//! both, so that nothing has to be made anew when the rule changes.
//!
//! Simulated on eight recorded traces and six synthetic ones at 1, 10 and 30 percent of their bytes
//! (`benches/RESULTS.md`), misses against Redis's sampled LRU, in the mean and at worst:
//!
//! | | values of one size | sizes as in Atikoglu et al. |
//! |---|---|---|
//! | Redis's LFU | -2.6% (+28.9) | -2.6% (+28.7) |
//! | S3-FIFO, exact | -6.9% (+16.2) | -6.8% (+16.2) |
//! | the queues, by age alone | -6.8% (+16.9) | -6.5% (+17.1) |
//! | the queues | as above | -16.7% (+4.7) |
//! | cache mode | **-7.7% (+1.6)** | **-17.4% (+0.3)** |
//!
//! Not worth their cost, on the recorded traces, where the queues have -4.8: a pool of candidates
//! as Redis has (-4.9), twice the samples (-4.9); ordering the main queue by last use (-4.3), a
//! small queue that adapts by its ghosts (-2 to -3). Two uses instead of one for the main queue
//! are as good in the mean and never bad (-4.9, +2.3), but lose where caches are large. On all: a
//! third order, by the last use over the number of uses (-7.5 and -16.8, before the sample was as
//! it is), and groups of keys in the cache itself, by each order, instead of miniatures: they pay
//! for the order that loses. What still loses against LRU does by the time it takes to be seen,
//! or by less than what is seen: `cphys_w106` at 30 percent (+1.6), a moving popularity at 30
//! percent (+1.0), `corda_vault` at 10 (+0.6).
//!
//! # Clocks
//!
//! Age is not told by time: a cache that turns over in seconds and one that takes a day both need
//! a clock with the right grain. [`Eviction`]'s goes with the bytes of new keys: a 2048th of the
//! limit is one step, and the stamp's 14 bits wrap after eight times the whole memory. Whoever
//! draws an entry older than six times that makes it four, so that nothing wraps while evictions
//! go on.
//!
//! # When
//!
//! Writers make room before they write ([`Db::make_room`]): if what is charged against the limit
//! comes within a reserve (a 64th of it), they evict about as much as they bring, in any case
//! boundedly many entries; nobody waits for anybody. What a thread itself has written counts at
//! once, so that it evicts a little for each write, and not much for some. Where holes between
//! entries keep memory from falling, slabs are emptied beside (`compaction`), the reserve grows
//! until they are sparse enough, and far above the limit a part of what is in them goes (`bulk`).
//! What is retired and not yet freed is left
//! out, so that eviction does not chase garbage; the reserve is there for it. A background task
//! ([`Store::relieve`]) does what is left when a limit was lowered. Expired keys go before live
//! ones: as long as a short sweep finds any, none is evicted. An eviction is an ordinary
//! removal; entries under a transaction's descriptor are passed over.

mod bulk;
mod ghost;
mod miniature;
#[cfg(test)]
mod objects;
mod policy;
mod rivals;

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};

pub(crate) use bulk::Verdict;
pub use policy::Policy;
pub use rivals::Order as CacheOrder;

use smallvec::SmallVec;

use crate::compaction;
use crate::db::Db;
use crate::entry::Entry;
use crate::error::Error;
use crate::keyspace::{self, Count};
use crate::memory;
use crate::reclaim::Guard;
use crate::store::Store;
use crate::sync::AtomicPtr;
use crate::table::{DRAWN, Occupant, Occupied, Start, Table};
use crate::usage::{Present, STAMPS, Usage, tick_of};
use crate::value;
use ghost::Ghosts;
use rivals::{Order, Rivals};

/// Stamps for each time the limit's worth of bytes is inserted.
const GRAIN: u64 = 2048;
/// What the clock's grain is made for where there is no limit.
const UNLIMITED_BYTES: u64 = 1 << 30;
/// The position of the clock has so many bits behind the stamp.
const FRACTION_BITS: u32 = 32;
/// The most that may have been inserted without being told to the clock, in stamps: 1 / 16.
const UNTOLD_PARTS: u64 = 16;
/// The small queue's share of the memory: 1 / 10.
const SMALL_PART: u64 = 10;
/// Below this share of it the other queue serves where none of the wanted one was drawn: 1 / 6.
const SMALL_PART_MOST: u64 = 6;
/// An entry gets so many chances to be spared in one eviction: then it goes in any case.
const ROUNDS_MAX: usize = 8;
/// So often something is drawn from a table that seems to be empty.
const DRAWS_MAX: usize = 16;
/// The most keys that a writer evicts, and one more for so many bytes that it brings. Where small
/// ones have to go for large ones that is too few, and slabs are emptied instead.
const VICTIMS_MAX: usize = 64;
const BYTES_PER_VICTIM: u64 = 4096;
/// A writer evicts twice what it brings and this, while more has to go.
const EXTRA_BYTES: u64 = 512;
/// Between the limit and where evicting begins: a 64th of the limit, within bounds.
const RESERVE_PART: u64 = 64;
const RESERVE_BYTES_MIN: u64 = 32 << 10;
const RESERVE_BYTES_MAX: u64 = 64 << 20;
/// So many keys are evicted until a thread looks anew where there are any.
const VIEW_EVICTIONS: u32 = 64;
/// Segments swept by an eviction, in the hope for expired keys.
const SWEEP_SEGMENTS: usize = 1;
/// Evictions without another such sweep after one that found nothing, at most.
const SWEEP_PAUSE_MAX: u32 = 256;
/// The bytes of small entries, of all stores, as memory is counted.
static SMALL_BYTES: Count = Count::new();

/// Bytes of entries in the small queue, for tests that count.
#[doc(hidden)]
pub fn small_queue_bytes() -> u64 {
    SMALL_BYTES.sum()
}

/// Counts an entry that was made with its bits saying that it is in the small queue, and takes the
/// old one out of that for good, if it is there, before its block goes.
pub(crate) fn count_small(new: Option<Entry<'_>>, old: Option<Entry<'_>>) {
    let mut bytes = new.map_or(0, |new| new.memory_bytes() as i64);
    if let Some(old) = old
        && old.usage().is_small()
        && old.leave_small_queue()
    {
        bytes -= old.memory_bytes() as i64;
    }
    SMALL_BYTES.add(bytes);
}

/// What goes with an entry. Of most all stands in their block.
#[inline(always)]
fn bytes_of(entry: Entry<'_>) -> usize {
    match entry.is_flat() {
        true => entry.memory_bytes(),
        false => value::memory_bytes(entry),
    }
}

#[inline(always)]
fn space_time(entry: Entry<'_>, age: u32) -> u64 {
    (u64::from(age) + 1) * bytes_of(entry) as u64
}

/// A drawn entry with what policies go by.
#[derive(Debug)]
pub(crate) struct Sampled<'g> {
    entry: Entry<'g>,
    usage: Usage,
    age: u32,
    idle_ticks: u32,
    counter: u32,
}

impl Sampled<'_> {
    /// What goes with it. Not every order asks.
    fn bytes(&self) -> usize {
        bytes_of(self.entry)
    }

    /// How much of memory it has taken for how long without a use: what goes first in cache mode.
    fn space_time(&self) -> u64 {
        space_time(self.entry, self.age)
    }
}

/// The part of a store that says what is to go.
#[derive(Debug)]
pub(crate) struct Eviction {
    /// No other store has it, nor will have.
    number: u64,
    policy: AtomicU8,
    samples: AtomicUsize,
    log_factor: AtomicU32,
    decay_minutes: AtomicU32,
    /// Stamps since the start, with a fraction.
    clock: AtomicU64,
    ghosts: AtomicPtr<Ghosts>,
    rivals: Rivals,
    /// Evictions until expired keys are looked for again, and how many it were the last time.
    sweep_in: AtomicU32,
    sweep_pause: AtomicU32,
}

impl Eviction {
    pub(crate) fn new(policy: Policy) -> Eviction {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Eviction {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            policy: AtomicU8::new(policy as u8),
            samples: AtomicUsize::new(10),
            log_factor: AtomicU32::new(10),
            decay_minutes: AtomicU32::new(1),
            clock: AtomicU64::new(0),
            ghosts: AtomicPtr::new(std::ptr::null_mut()),
            rivals: Rivals::new(),
            sweep_in: AtomicU32::new(0),
            sweep_pause: AtomicU32::new(0),
        }
    }

    pub(crate) fn policy(&self) -> Policy {
        Policy::ALL[usize::from(self.policy.load(Ordering::Relaxed))]
    }

    /// The present, as entries note it.
    pub(crate) fn present(&self, now_ms: u64) -> Present {
        let relaxed = Ordering::Relaxed;
        let counting = || {
            (
                self.log_factor.load(relaxed),
                self.decay_minutes.load(relaxed),
            )
        };
        Present {
            tick: tick_of(now_ms),
            stamp: self.stamp(),
            noting: self.policy().noting(|| self.rivals.ruling(), counting()),
        }
    }

    /// What the clock says that goes with the bytes inserted.
    pub(crate) fn stamp(&self) -> u32 {
        (self.clock.load(Ordering::Relaxed) >> FRACTION_BITS) as u32 % STAMPS
    }

    /// The bits of a new key of so many bytes.
    pub(crate) fn admit(&self, hash: u64, now: Present, guard: &Guard) -> Usage {
        let is_small = self.policy() == Policy::CacheMode
            && !self.ghosts(guard).is_some_and(|ghosts| ghosts.take(hash));
        Usage::fresh(now, is_small)
    }

    /// Lets the clock go on for `bytes` of a new key.
    pub(crate) fn note_insertion(&self, bytes: usize, limit_bytes: u64) {
        thread_local! {
            static UNTOLD_BYTES: Cell<u64> = const { Cell::new(0) };
        }
        let whole = match limit_bytes {
            0 => UNLIMITED_BYTES,
            limit => limit,
        };
        let stamp_bytes = (whole / GRAIN).max(1);
        let untold = UNTOLD_BYTES.get() + bytes as u64;
        if untold < stamp_bytes / UNTOLD_PARTS {
            UNTOLD_BYTES.set(untold);
            return;
        }
        UNTOLD_BYTES.set(0);
        // A huge value is at most one round of the clock.
        let stamps = (untold << 16) / stamp_bytes;
        let stamps = stamps.min(u64::from(STAMPS / 2) << 16);
        let step = stamps << (FRACTION_BITS - 16);
        self.clock.fetch_add(step, Ordering::Relaxed);
    }

    /// Notes a request for a key at which `entry` stands.
    #[inline]
    pub(crate) fn note_request(&self, hash: u64, entry: Entry<'_>) {
        if self.rivals.samples(hash) {
            self.rivals.note(hash, value::memory_bytes(entry));
        }
    }

    /// Notes a read of a key at which there is nothing.
    #[inline]
    pub(crate) fn note_absence(&self, hash: u64) {
        if self.rivals.samples(hash) {
            self.rivals.note_absence(hash);
        }
    }

    /// Notes that a key is deleted or has expired.
    #[inline]
    pub(crate) fn note_end(&self, hash: u64) {
        if self.rivals.samples(hash) {
            self.rivals.note_end(hash);
        }
    }

    /// Whether requests are noted at all.
    pub(crate) fn notes_requests(&self) -> bool {
        self.rivals.are_running()
    }

    fn ghosts<'g>(&self, _guard: &'g Guard) -> Option<&'g Ghosts> {
        // SAFETY: retired after the pointer moved on, and a guard is held.
        unsafe { self.ghosts.load(Ordering::Acquire).as_ref() }
    }

    /// A hint that a key will soon be admitted or go: fetches what that looks at.
    pub(crate) fn foresee(&self, hash: u64, guard: &Guard) {
        if self.policy() == Policy::CacheMode
            && let Some(ghosts) = self.ghosts(guard)
        {
            ghosts.prefetch(hash);
        }
    }

    /// Remembers a key that went; makes room for as many as there are keys.
    fn remember(&self, hash: u64, keys: u64, guard: &Guard) {
        let now = self.ghosts(guard);
        if let Some(ghosts) = now
            && (ghosts.room() / 4..=ghosts.room() * 3 / 2).contains(&keys)
        {
            ghosts.put(hash);
            return;
        }
        let made = Box::into_raw(Box::new(Ghosts::new(keys)));
        let old = now.map_or(std::ptr::null_mut(), |old| (&raw const *old).cast_mut());
        let order = (Ordering::AcqRel, Ordering::Acquire);
        if self
            .ghosts
            .compare_exchange(old, made, order.0, order.1)
            .is_err()
        {
            // SAFETY: nobody else has seen it.
            drop(unsafe { Box::from_raw(made) });
        } else if !old.is_null() {
            // SAFETY: the pointer was the only way to it.
            unsafe { guard.retire_box(old) };
        }
    }
}

impl Drop for Eviction {
    fn drop(&mut self) {
        let ghosts = self.ghosts.load(Ordering::Acquire);
        if !ghosts.is_null() {
            // SAFETY: the store is being dropped: nobody uses it any more.
            drop(unsafe { Box::from_raw(ghosts) });
        }
    }
}

/// Where keys are that may go: by database, as a thread has last looked.
#[derive(Debug, Default)]
struct View {
    /// Of which store, by number, and whether of keys with an expiry alone.
    of: (u64, bool),
    /// For so many evictions more.
    left: u32,
    /// Databases with such keys, and how many those and all before them have.
    databases: Vec<(usize, u64)>,
}

impl View {
    fn keys(&self) -> u64 {
        self.databases.last().map_or(0, |&(_, keys)| keys)
    }

    fn draw(&self) -> Option<usize> {
        let at = fastrand::u64(..self.keys().max(1));
        let found = self.databases.iter().find(|(_, behind)| at < *behind);
        found.map(|&(index, _)| index)
    }
}

thread_local! {
    static VIEW: RefCell<View> = RefCell::default();
}

/// What an eviction did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// So many bytes went.
    Freed(u64),
    /// Nothing, but there is more to try.
    Again,
    /// There is nothing that may go.
    Nothing,
}

impl Db<'_> {
    /// Makes room for a write that may need about `bytes` more, if the limit is near.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] if the limit is reached and nothing may go.
    #[inline]
    pub fn make_room(&self, bytes: usize) -> Result<(), Error> {
        let bytes = bytes as u64;
        let limit = self.store().memory_bytes_max();
        if compaction::is_still_at_ease(limit, bytes) {
            return Ok(());
        }
        match compaction::is_at_ease(limit, bytes + reserve_bytes(limit)) {
            true => Ok(()),
            false => self.make_room_near(limit, bytes),
        }
    }

    /// As [`Db::make_room`], where the limit is near or there are holes.
    #[inline(never)]
    fn make_room_near(&self, limit: u64, bytes: u64) -> Result<(), Error> {
        let store = self.store();
        let is_tight = compaction::press(self, bytes);
        if limit == 0 {
            return Ok(());
        }
        let charged = memory::charged_bytes();
        if store.policy() == Policy::NoEviction {
            return match charged > limit || is_tight {
                true => Err(Error::OutOfMemory),
                false => Ok(()),
            };
        }
        let spared = reserve_bytes(limit) + compaction::excess_bytes(limit, bytes);
        if charged + bytes + spared <= limit || self.is_in_transaction() {
            return Ok(());
        }
        let over = store.over_bytes(bytes, spared, self.guard());
        let wanted = over.min(2 * bytes + EXTRA_BYTES);
        // A large value may need many small ones to go.
        let victims_max = VICTIMS_MAX + (bytes / BYTES_PER_VICTIM) as usize;
        let is_stuck = self.evict(wanted, victims_max) == 0 && wanted > 0 && charged > limit;
        match is_stuck && memory::lasting_bytes() > limit {
            true => Err(Error::OutOfMemory),
            false => Ok(()),
        }
    }

    /// Evicts until `wanted` bytes went, or so many keys; returns the bytes.
    fn evict(&self, wanted: u64, victims_max: usize) -> u64 {
        let mut freed = 0;
        for _ in 0..victims_max {
            if freed >= wanted {
                break;
            }
            match self.evict_one() {
                Step::Freed(bytes) => freed += bytes,
                Step::Again => {}
                Step::Nothing => break,
            }
        }
        freed
    }

    fn evict_one(&self) -> Step {
        let store = self.store();
        let policy = store.policy();
        let swept = store.sweep_before_evicting(self.now_ms());
        if swept > 0 {
            return Step::Freed(swept);
        }
        let mut drawn = SmallVec::new();
        for round in 0..DRAWS_MAX {
            drawn.clear();
            let Some(index) = store.draw_database(policy.is_volatile(), self) else {
                return Step::Nothing;
            };
            let db = self.outside(index);
            db.draw(policy.is_volatile(), store.samples(), &mut drawn);
            if drawn.is_empty() {
                forget_view();
                continue;
            }
            let step = db.evict_among(policy, &drawn, round >= ROUNDS_MAX);
            if step != Step::Again {
                return step;
            }
        }
        Step::Again
    }

    fn draw(&self, is_volatile: bool, samples: usize, drawn: &mut Drawn) {
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
    fn evict_among(&self, policy: Policy, drawn: &[Occupied], is_last_round: bool) -> Step {
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
        let first = match has_queues {
            true => self.first_by_queue(drawn, is_last_round, now),
            false => self.first(policy, drawn, now),
        };
        let Some(chosen) = first else {
            return Step::Again;
        };
        if has_queues && chosen.usage.frequency() > 0 && !is_last_round {
            keep_for_its_use(&chosen, now);
            return Step::Again;
        }
        let bytes = chosen.bytes() as u64;
        match self.let_go(&chosen, VIEW.with_borrow(View::keys)) {
            true => Step::Freed(bytes),
            false => Step::Again,
        }
    }

    /// The first to go of the queue that has more than its share; if none of it was drawn, of the
    /// other one, unless the small queue has much too much.
    fn first_by_queue(
        &self,
        drawn: &[Occupied],
        is_last_round: bool,
        now: Present,
    ) -> Option<Sampled<'_>> {
        let (small, whole) = (SMALL_BYTES.sum(), memory::charged_bytes());
        let wants_small = small * SMALL_PART >= whole;
        let is_any = is_last_round || small * SMALL_PART_MOST < whole;
        let of = |is_small| {
            self.first_by(drawn, now, |entry, usage| {
                let is_of_it = usage.is_small() == is_small;
                is_of_it.then(|| space_time(entry, usage.age(now.stamp)))
            })
        };
        of(wants_small).or_else(|| if is_any { of(!wants_small) } else { None })
    }

    /// The first to go of those that were drawn, without queues.
    fn first(&self, policy: Policy, drawn: &[Occupied], now: Present) -> Option<Sampled<'_>> {
        match policy {
            Policy::CacheMode => self.first_by(drawn, now, |entry, usage| {
                Some(space_time(entry, usage.age(now.stamp)))
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

    fn entry_of(&self, occupied: Occupied) -> Entry<'_> {
        keyspace::entry_of(occupied, self.guard())
    }

    /// What policies go by.
    fn sampled<'e>(&self, entry: Entry<'e>, now: Present) -> Sampled<'e> {
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
    fn let_go(&self, chosen: &Sampled<'_>, keys: u64) -> bool {
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

/// What is asked for stays: in the main queue, or for one of its uses.
fn keep_for_its_use(chosen: &Sampled<'_>, now: Present) {
    let Sampled { entry, usage, .. } = *chosen;
    if !usage.is_small() {
        entry.swap_usage(usage, usage.spared(now.stamp));
    } else if entry.swap_usage(usage, usage.promoted(now.stamp)) {
        SMALL_BYTES.add(-(entry.memory_bytes() as i64));
    }
}

/// An entry's bits, with a stamp that does not wrap soon.
#[inline(always)]
fn clamped(entry: Entry<'_>, now: Present) -> Usage {
    let usage = entry.usage();
    if matches!(now.noting, crate::usage::Noting::Counter { .. })
        || usage.age(now.stamp) < STAMPS / 4 * 3
    {
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

fn forget_view() {
    VIEW.with_borrow_mut(|view| view.left = 0);
}

/// How far below the limit evicting begins.
fn reserve_bytes(limit: u64) -> u64 {
    (limit / RESERVE_PART)
        .clamp(RESERVE_BYTES_MIN, RESERVE_BYTES_MAX)
        .min(limit / 8)
}

impl Store {
    /// How much has to go so that `bytes` more leave `spared` free. What is retired does not
    /// count: it goes by itself, and if there is more of it than the reserve, it is pushed.
    fn over_bytes(&self, bytes: u64, spared: u64, guard: &Guard) -> u64 {
        let limit = self.memory_bytes_max();
        // In this order: what is freed in between is not taken off twice.
        let charged = memory::charged_bytes();
        let retired = memory::retired_bytes();
        if retired > reserve_bytes(limit) {
            guard.flush();
        }
        (charged + bytes + spared).saturating_sub(limit + retired)
    }

    /// Evicts for a little while if more is in memory than should be: for a periodic task.
    /// Whether there is more to do.
    pub fn relieve(&self, now_ms: u64) -> bool {
        const VICTIMS: usize = 64;
        let limit = self.memory_bytes_max();
        if limit == 0 || self.policy() == Policy::NoEviction {
            return false;
        }
        let guard = self.pin();
        let spared = reserve_bytes(limit) + compaction::excess_bytes(limit, 0);
        let over = self.over_bytes(0, spared, &guard);
        if over == 0 {
            return false;
        }
        let freed = self.db(0, &guard, now_ms).evict(over, VICTIMS);
        guard.flush();
        freed > 0 && freed < over
    }

    /// Sweeps a little for expired keys, unless that found none lately; the bytes that went.
    fn sweep_before_evicting(&self, now_ms: u64) -> u64 {
        let eviction = self.eviction();
        let relaxed = Ordering::Relaxed;
        let left = eviction.sweep_in.load(relaxed);
        if left > 0 {
            eviction.sweep_in.store(left - 1, relaxed);
            return 0;
        }
        let swept = self.sweep(now_ms, SWEEP_SEGMENTS);
        let pause = match swept.removed {
            0 => (2 * eviction.sweep_pause.load(relaxed) + 1).min(SWEEP_PAUSE_MAX),
            _ => 0,
        };
        eviction.sweep_pause.store(pause, relaxed);
        eviction.sweep_in.store(pause, relaxed);
        swept.removed_bytes
    }

    /// A database to evict from, each by how many keys it has.
    fn draw_database(&self, is_volatile: bool, db: &Db<'_>) -> Option<usize> {
        VIEW.with_borrow_mut(|view| {
            let of = (self.eviction().number, is_volatile);
            if view.left == 0 || view.of != of || view.databases.is_empty() {
                view.databases.clear();
                let mut sum = 0;
                for index in 0..self.databases() {
                    let database = db.outside(index);
                    let keys = match is_volatile {
                        true => database.expiring_len(),
                        false => database.len(),
                    };
                    sum += keys;
                    if keys > 0 {
                        view.databases.push((index, sum));
                    }
                }
                view.of = of;
                view.left = VIEW_EVICTIONS;
                if self.policy() == Policy::CacheMode {
                    let limit = self.memory_bytes_max();
                    self.eviction().rivals.follow(sum, limit);
                }
            }
            view.left -= 1;
            view.draw()
        })
    }

    /// What goes when memory is full.
    pub fn policy(&self) -> Policy {
        self.eviction().policy()
    }

    /// Changes what goes when memory is full.
    pub fn set_policy(&self, policy: Policy) {
        let place = &self.eviction().policy;
        place.store(policy as u8, Ordering::Relaxed);
        self.forget_rivals();
    }

    /// Cache mode begins anew with its first eviction.
    pub(crate) fn forget_rivals(&self) {
        self.eviction().rivals.stop();
    }

    /// The order by which entries go, in cache mode.
    pub fn cache_order(&self) -> Option<CacheOrder> {
        (self.policy() == Policy::CacheMode).then(|| self.eviction().rivals.ruling())
    }

    fn samples(&self) -> usize {
        self.eviction().samples.load(Ordering::Relaxed)
    }

    /// Changes how many entries are drawn for each eviction.
    pub fn set_eviction_samples(&self, samples: usize) {
        let place = &self.eviction().samples;
        place.store(samples.max(1), Ordering::Relaxed);
    }

    /// Changes how uses are counted under an LFU policy.
    pub fn set_use_counting(&self, log_factor: u32, decay_minutes: u32) {
        let eviction = self.eviction();
        eviction.log_factor.store(log_factor, Ordering::Relaxed);
        eviction
            .decay_minutes
            .store(decay_minutes, Ordering::Relaxed);
    }

    /// How often an entry was used, as an LFU policy counts.
    pub fn use_count(&self, entry: Entry<'_>, now_ms: u64) -> u32 {
        entry.usage().counter(self.eviction().present(now_ms))
    }
}
