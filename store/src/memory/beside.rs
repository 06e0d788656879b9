//! What the process takes beside the engine's memory, as far as it counts against the limit.
//!
//! The heap of connections and clients counts in full. Beside it some megabytes are resident for
//! no reason known here (stacks, pages on their way back to the kernel, part of a huge page) or are
//! the mapped executable: the process's *own*. A few megabytes of it are free of charge, so that a
//! limit is what keys and values may take, as in Redis, and what is resident stays well below the
//! limit and a tenth, which a flood of long values needs for what is retired. Under a limit of less
//! than some 50 MB to charge the rest would leave keys too little.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{slab_bytes, usage};

/// What is charged now.
static BYTES: AtomicU64 = AtomicU64::new(0);

/// What others had of the heap at the last note, but for long buffers. Only what two notes find
/// counts: a client's short buffer of a moment is no reason to let keys go.
static LAST_HEAP_BYTES: AtomicU64 = AtomicU64::new(u64::MAX);

/// This part of the limit may be the process's own, free of charge, ...
const OWN_PART: u64 = 64;
/// ... and at least so many bytes.
const OWN_BYTES: u64 = 4 << 20;
/// Up to this limit mapped files are, too; for them no more is charged than a quarter of what is
/// above it.
const FILES_ALLOWED_UNDER_BYTES: u64 = 24 << 20;
/// No more than this part of the engine's own memory is charged for what is not allowed. Under a
/// limit of a few megabytes most of it is the process's, whatever is evicted.
const EXCESS_PART_MAX: u64 = 8;

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
    let usage = usage();
    let engine = usage.bytes();
    let heap = usage.heap_beside(process.allocated_bytes);
    // The counts are not of one moment: the arena's may be the higher for a while.
    let outside = (engine + heap).saturating_sub(usage.arena_bytes);
    let known = outside + slab_bytes();
    let own = process.resident_bytes.saturating_sub(known) + process.file_bytes;
    let excess = own.saturating_sub(own_bytes_allowed(process.file_bytes, limit_bytes));
    let uncharged_heap = heap.saturating_sub(usage.buffer_bytes);
    let last_heap = LAST_HEAP_BYTES.swap(uncharged_heap, Ordering::Relaxed);
    let beside = uncharged_heap.min(last_heap) + excess.min(engine / EXCESS_PART_MAX);
    BYTES.store(beside, Ordering::Relaxed);
    engine + heap
}

/// What the process may have of its own, free of charge.
fn own_bytes_allowed(file_bytes: u64, limit_bytes: u64) -> u64 {
    let charged_for_files_max = limit_bytes.saturating_sub(FILES_ALLOWED_UNDER_BYTES) / 4;
    let files_allowed = file_bytes.saturating_sub(charged_for_files_max);
    (limit_bytes / OWN_PART).max(OWN_BYTES) + files_allowed
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1 << 20;

    #[test]
    fn mapped_files_are_free_under_small_limits() {
        let allowed = |megabytes| own_bytes_allowed(5 * MB, megabytes * MB);
        for (limit, megabytes) in [(1, 9), (24, 9), (32, 7), (44, 4), (256, 4), (1024, 16)] {
            assert_eq!(allowed(limit), megabytes * MB, "{limit}");
        }
    }
}
