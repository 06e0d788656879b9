//! What the process takes beside the engine's memory, as far as it counts against the limit.
//!
//! The heap of connections and clients counts in full. Beside it some megabytes are resident for
//! no reason known here (stacks, pages on their way back to the kernel, part of a huge page) or are
//! the mapped executable: the process's *own*. A few megabytes of it are free of charge, so that a
//! limit is what keys and values may take, as in Redis, and what is resident stays well below the
//! limit and a tenth, which a flood of long values needs for what is retired. Under a small limit
//! that leaves less for the process. Under a limit of less than 32 MB keys would have too little,
//! so that a part of it is free, and all where the limit is of the size of an idle process.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{in_use, slab_bytes};

/// What is charged now.
static BYTES: AtomicU64 = AtomicU64::new(0);

/// What others had of the heap at the last note, but for long buffers. Only what two notes find
/// counts: a client's short buffer of a moment is no reason to let keys go.
static LAST_HEAP_BYTES: AtomicU64 = AtomicU64::new(u64::MAX);

/// This part of the limit may be the process's own, free of charge, ...
const OWN_PART: u64 = 64;
/// ... and at least so many bytes; ...
const OWN_BYTES: u64 = 4 << 20;
/// ... but from this limit on downwards so much less that at ...
const SMALL_LIMIT: u64 = 72 << 20;
/// ... this one nothing is; and below that so much more that at ...
const SMALLER_LIMIT: u64 = 32 << 20;
/// ... this one it is that much again, and mapped files are free, too.
const SMALLEST_LIMIT: u64 = 16 << 20;
/// No more than this part of the engine's own memory is charged for what is not allowed, ...
const EXCESS_PART_MAX: u64 = 8;
/// ... unless it is less than so many bytes or what the limit has more than an idle process: under
/// a limit of a few megabytes most of it is the process's, whatever is evicted.
const EXCESS_BYTES: u64 = 10 << 20;

/// What the operating system and the allocator say about the process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Process {
    /// Bytes in physical memory that are no mapped files'.
    pub resident_bytes: u64,
    /// Bytes of mapped files in physical memory.
    pub file_bytes: u64,
    /// Handed out by the general allocator; 0 where that is not known.
    pub allocated_bytes: u64,
}

/// What is charged beside the engine's own memory.
#[inline]
pub(super) fn charged_bytes() -> u64 {
    BYTES.load(Ordering::Relaxed)
}

/// Sets what is charged against a limit of `limit_bytes` from now on beside the engine's own
/// memory. Returns the bytes handed out to anybody.
pub(crate) fn note_process(process: Process, limit_bytes: u64) -> u64 {
    let in_use = in_use();
    let engine = in_use.bytes();
    let heap = in_use.heap_beside(process.allocated_bytes);
    // The counts are not of one moment: the arena's may be the higher for a while.
    let outside = (engine + heap).saturating_sub(in_use.arena_bytes);
    let known = outside + slab_bytes();
    let own = process.resident_bytes.saturating_sub(known) + process.file_bytes;
    let excess = own.saturating_sub(own_bytes_allowed(process.file_bytes, limit_bytes));
    let uncharged_heap = heap.saturating_sub(in_use.buffer_bytes);
    let last_heap = LAST_HEAP_BYTES.swap(uncharged_heap, Ordering::Relaxed);
    let beside = uncharged_heap.min(last_heap) + excess.min(excess_max(engine, limit_bytes));
    BYTES.store(beside, Ordering::Relaxed);
    engine + heap
}

/// What the process may have of its own, free of charge.
fn own_bytes_allowed(file_bytes: u64, limit_bytes: u64) -> u64 {
    let own = (limit_bytes / OWN_PART).max(OWN_BYTES);
    let smallest = (SMALLEST_LIMIT, OWN_BYTES + file_bytes);
    let smaller = (SMALLER_LIMIT, 0);
    match limit_bytes {
        SMALL_LIMIT.. => own,
        SMALLER_LIMIT.. => between(smaller, (SMALL_LIMIT, own), limit_bytes),
        SMALLEST_LIMIT.. => between(smallest, smaller, limit_bytes),
        _ => smallest.1,
    }
}

/// On the line through two points, of which the first is to the left of `x`.
fn between((x0, y0): (u64, u64), (x1, y1): (u64, u64), x: u64) -> u64 {
    let part = (x - x0) as f64 / (x1 - x0) as f64;
    (y0 as f64 + (y1 as f64 - y0 as f64) * part) as u64
}

/// The most that is charged for what the process has of its own beyond that.
fn excess_max(engine_bytes: u64, limit_bytes: u64) -> u64 {
    let above_smallest = limit_bytes.saturating_sub(SMALLEST_LIMIT);
    (engine_bytes / EXCESS_PART_MAX).max(above_smallest.min(EXCESS_BYTES))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1 << 20;

    #[test]
    fn little_is_free_under_a_small_limit_and_most_under_the_smallest() {
        let allowed = |megabytes| own_bytes_allowed(5 * MB, megabytes * MB) / (MB / 2);
        for (limit, halves) in [
            (1, 18),
            (16, 18),
            (24, 9),
            (32, 0),
            (52, 4),
            (72, 8),
            (256, 8),
            (1024, 32),
        ] {
            assert_eq!(allowed(limit), halves, "{limit}");
        }
    }

    #[test]
    fn keys_never_get_less_for_a_higher_limit() {
        let left = |megabytes: u64| {
            let (limit, own) = (megabytes * MB, 10 * MB);
            let excess = own.saturating_sub(own_bytes_allowed(5 * MB, limit));
            limit - excess.min(excess_max(limit - excess.min(limit), limit))
        };
        assert!((1..1024).map(left).is_sorted());
    }
}
