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
//! most three) uses. A key that went from the small queue leaves a fingerprint of two bytes
//! (`ghost`), and if it comes back soon it belongs to the main queue at once. So what is asked for
//! once passes through a tenth to a fifth of the memory, and scans take no more than that.
//!
//! While small entries take more than a third of the memory, the last of those drawn moves to the
//! main queue with each that goes, though nobody asked for it. If keys are asked for in turn, again
//! and again, and there are more of them than memory has room for, none would be there when its
//! turn comes; so two thirds of the memory find theirs. What comes to be asked for lets these go,
//! since they are the oldest of their queue. It takes a read in vain for each (`demand`): where
//! keys are written before anybody asks, those written last are as good as any.
//!
//! A slot says in which queue its entry is (`table::word`), so only those of the queue whose turn
//! it is are looked at: ten (`maxmemory-samples`) among at most twice as many that are met. Where
//! there is none among them the other queue serves, unless small entries take a fifth by then.
//! Where fewer than ten small ones are found, the first of them is the best of few and may be too
//! young to go: a third of these firsts stay (`ripeness`), and others are drawn. If a first stays
//! because it was used, the second one may go.
//!
//! First among several is the one with the highest product of size and age in its queue: the
//! memory that it has taken over its time there without being asked for. That is what makes
//! sizes count; with sizes of a published distribution it is worth more than all the rest. What
//! came into the small queue while the last 32nd of the memory was written goes by its age alone,
//! or something large would be gone before it can be asked for.
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
//! | the queues, by age alone | -8.0% (+16.6) | -7.8% (+16.6) |
//! | the queues | as above | -18.3% (+0.1) |
//! | cache mode | **-8.7% (+1.7)** | **-18.9% (+0.1)** |
//!
//! Not worth their cost, on the recorded traces, where the queues had -4.8: a pool of candidates
//! as Redis has (-4.9), twice the samples (-4.9); ordering the main queue by last use (-4.3), a
//! small queue that adapts by its ghosts (-2 to -3). Two uses instead of one for the main queue
//! are as good in the mean and never bad (-4.9, +2.3), but lose where caches are large. On all: a
//! third order, by the last use over the number of uses (-7.5 and -16.8), and groups of keys in
//! the cache itself, by each order, instead of miniatures: they pay for the order that loses.
//! What still loses against LRU does by the time it takes to be seen, or by less than what is
//! seen: `cphys_w106` at 30 percent (+1.7), a moving popularity at 30 percent (+0.5).
//!
//! # Clocks
//!
//! Age is not told by time: a cache that turns over in seconds and one that takes a day both need
//! a clock with the right grain. [`Eviction`]'s goes with the bytes of new keys: a 2048th of the
//! limit is one step, and the stamp's 14 bits wrap after eight times the whole memory. An entry
//! that is drawn at an age above six times the memory is set back to four, so that nothing wraps
//! while evictions go on.
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
mod choose;
mod demand;
mod ghost;
mod miniature;
#[cfg(test)]
mod objects;
mod policy;
mod ripeness;
mod rivals;
mod room;

use std::cell::Cell;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};

pub(crate) use bulk::Verdict;
pub(crate) use miniature::Access;
pub use policy::Policy;
pub use rivals::Order as CacheOrder;

use crate::entry::Entry;
use crate::keyspace::Count;
use crate::reclaim::Guard;
use crate::store::Store;
use crate::sync::AtomicPtr;
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
    let mut bytes = new.map_or(0, |new| value::own_memory_bytes(new) as i64);
    if let Some(old) = old
        && old.usage().is_small()
        && old.leave_small_queue()
    {
        bytes -= value::own_memory_bytes(old) as i64;
    }
    SMALL_BYTES.add(bytes);
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

    /// Notes that the key at which `entry` stands, from now on if it is written, is asked for.
    #[inline]
    pub(crate) fn note_request(&self, hash: u64, entry: Entry<'_>, access: Access) {
        if self.rivals.samples(hash) {
            self.rivals.note(hash, value::memory_bytes(entry), access);
        }
    }

    /// Notes a read of a key at which there is nothing.
    #[inline]
    pub(crate) fn note_absence(&self, hash: u64) {
        choose::note_read_in_vain();
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
        if self.policy.load(Ordering::Relaxed) == Policy::CacheMode as u8
            && let Some(ghosts) = self.ghosts(guard)
        {
            ghosts.prefetch(hash);
        }
    }

    /// Remembers a key that went, as soon as this thread lets the next one go: until then what
    /// that takes has been fetched.
    fn remember(&self, hash: u64, keys: u64, guard: &Guard) {
        thread_local! {
            static LAST: Cell<Option<(u64, u64)>> = const { Cell::new(None) };
        }
        self.foresee(hash, guard);
        if let Some((number, last)) = LAST.replace(Some((self.number, hash)))
            && number == self.number
        {
            self.remember_at_once(last, keys, guard);
        }
    }

    /// Remembers a key; makes room for as many as there are keys.
    fn remember_at_once(&self, hash: u64, keys: u64, guard: &Guard) {
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

impl Store {
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

    /// Cache mode's race begins anew when memory fills again.
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
