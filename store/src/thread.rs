//! A small number for each thread, and the versions it hands out.
//!
//! Counters of a thread's own need an index; versions need a part that no other running thread
//! shares. An index is taken at a thread's first use of the engine and given back when it ends.

use std::cell::Cell;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crossbeam_utils::CachePadded;

use crate::arena;
use crate::sync::IS_MODEL;

/// How many seats there are: one for each thread that may use the engine at once, and the last one,
/// for all that are ending.
pub(crate) const THREADS_MAX: usize = 256;
/// Nobody's own.
const LAST_SEAT: usize = THREADS_MAX - 1;
/// The low bits of a version: the number of the thread that made it.
const THREAD_BITS: u32 = 8;
const _: () = assert!(THREADS_MAX == 1 << THREAD_BITS);

static INDEXES_USED: AtomicUsize = AtomicUsize::new(0);
static GIVEN_BACK: Mutex<Vec<usize>> = Mutex::new(Vec::new());
/// The highest count each seat ever put into a version; it outlives the thread.
static LAST_COUNTS: [CachePadded<AtomicU64>; THREADS_MAX] =
    [const { CachePadded::new(AtomicU64::new(0)) }; THREADS_MAX];

struct Seat {
    index: usize,
}

impl Seat {
    fn take() -> Seat {
        let given_back = GIVEN_BACK.lock().expect("no panic inside").pop();
        let index = given_back.unwrap_or_else(|| INDEXES_USED.fetch_add(1, Ordering::Relaxed));
        assert!(
            index < LAST_SEAT,
            "more than {LAST_SEAT} threads use the engine"
        );
        Seat { index }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        // From here on `SEAT` says that the thread is ending.
        INDEX.set(UNSEATED);
        arena::leave_seat(self.index);
        if let Ok(mut seats) = GIVEN_BACK.lock() {
            seats.push(self.index);
        }
    }
}

crate::sync::thread_local! {
    static SEAT: Seat = Seat::take();
}

const UNSEATED: usize = usize::MAX;

thread_local! {
    /// The seat's index, where it takes one load. A model's threads share it: they ask the seat.
    static INDEX: Cell<usize> = const { Cell::new(UNSEATED) };
}

/// This thread's number, below [`THREADS_MAX`].
#[inline]
pub(crate) fn index() -> usize {
    match INDEX.get() {
        index if index != UNSEATED && !IS_MODEL => index,
        _ => sit_down(),
    }
}

/// This thread's number, or something that is not below [`THREADS_MAX`]: then [`seat`] is to be
/// asked.
#[inline]
pub(crate) fn known_index() -> usize {
    match IS_MODEL {
        true => UNSEATED,
        false => INDEX.get(),
    }
}

/// This thread's number, unless the thread is ending.
pub(crate) fn seat() -> Option<usize> {
    match INDEX.get() {
        index if index != UNSEATED && !IS_MODEL => Some(index),
        _ => try_to_sit_down(),
    }
}

#[cold]
#[inline(never)]
fn sit_down() -> usize {
    // A deferred free may run while the thread's locals are being dropped: the last seat then
    // serves, whose counters may lose an update but never memory safety.
    try_to_sit_down().unwrap_or(LAST_SEAT)
}

#[cold]
#[inline(never)]
fn try_to_sit_down() -> Option<usize> {
    let index = SEAT.try_with(|seat| seat.index).ok()?;
    INDEX.set(index);
    Some(index)
}

/// All indexes in use, that of the threads that are ending among them.
pub(crate) fn indexes_used() -> impl Iterator<Item = usize> {
    let used = INDEXES_USED.load(Ordering::Relaxed).min(LAST_SEAT);
    (0..used).chain(std::iter::once(LAST_SEAT))
}

/// A version above `floor` that no other call, on any thread, ever returns.
///
/// A Lamport count stands in the high bits, the thread's number in the low ones: two threads
/// never agree on the low bits, one thread's counts only rise, and the count is above the floor's.
/// (L. Lamport, "Time, Clocks, and the Ordering of Events in a Distributed System", 1978.)
pub(crate) fn next_version(floor: u64) -> u64 {
    let index = index();
    // Invariant: only the seat's own thread writes its count.
    let last = &LAST_COUNTS[index];
    let count = last.load(Ordering::Relaxed).max(floor >> THREAD_BITS) + 1;
    last.store(count, Ordering::Relaxed);
    (count << THREAD_BITS) | index as u64
}

/// No version that was handed out before the call, on any thread, is higher.
pub(crate) fn highest_version() -> u64 {
    let counts = LAST_COUNTS
        .iter()
        .map(|count| count.load(Ordering::Relaxed));
    let highest = counts.max().unwrap_or(0);
    ((highest + 1) << THREAD_BITS) - 1
}

/// How often a key was asked for and was there, or was not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lookups {
    /// It was there.
    pub hits: u64,
    /// It was not.
    pub misses: u64,
    /// It was there still, although its time had come: one of the misses, or of the looks that
    /// are not counted.
    pub expired: u64,
}

thread_local! {
    static HITS: Cell<u64> = const { Cell::new(0) };
    static MISSES: Cell<u64> = const { Cell::new(0) };
    static EXPIRED: Cell<u64> = const { Cell::new(0) };
}

/// Counts a lookup of this thread that found the key.
#[inline(always)]
pub(crate) fn note_hit() {
    HITS.set(HITS.get() + 1);
}

/// Counts one that did not.
pub(crate) fn note_miss() {
    MISSES.set(MISSES.get() + 1);
}

/// Counts an entry that this thread met after its time.
#[cold]
pub(crate) fn note_expired_lookup() {
    EXPIRED.set(EXPIRED.get() + 1);
}

/// Counts a lookup of a command that reads what it changes.
pub fn note_lookup(is_there: bool) {
    match is_there {
        true => note_hit(),
        false => note_miss(),
    }
}

/// What lookups of this thread found since the last [`take_lookups`].
#[inline(always)]
pub fn lookups() -> Lookups {
    Lookups {
        hits: HITS.get(),
        misses: MISSES.get(),
        expired: EXPIRED.get(),
    }
}

/// Lets those since `before` not count: what they were for is done again.
pub fn forget_lookups_since(before: Lookups) {
    HITS.set(before.hits);
    MISSES.set(before.misses);
    EXPIRED.set(before.expired);
}

/// What this thread's [`Db::read`](crate::Db::read)s and the like found since the last call.
pub fn take_lookups() -> Lookups {
    Lookups {
        hits: HITS.take(),
        misses: MISSES.take(),
        expired: EXPIRED.take(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_rise_above_their_floor_and_differ_between_threads() {
        let mut all: Vec<u64> = (0..4)
            .map(|_| {
                std::thread::spawn(|| (0..100).map(|_| next_version(50 << 8)).collect::<Vec<_>>())
            })
            .collect::<Vec<_>>()
            .into_iter()
            .flat_map(|thread| thread.join().expect("versions"))
            .collect();
        assert!(all.iter().all(|&version| version >= 51 << 8));
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 400);
    }
}
