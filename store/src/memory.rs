//! What is allocated, counted without anything shared.
//!
//! Every heap block of the engine (entry, tree node, element) is plain memory that is handed out
//! and taken back here, behind one small interface: [`Block`]. Its size is counted as the size
//! class the allocator will really use, in counters of the allocating thread alone; a sum over
//! threads is exact whenever nobody is in the middle of an operation.
//!
//! A block is *live* from allocation until it is retired, then *retired* until it is freed; both
//! count towards the memory limit.

use std::alloc::{self, Layout};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicI64, Ordering};

use crossbeam_utils::CachePadded;

use crate::thread;

/// Every block starts at a multiple of this, which leaves three low pointer bits for tags.
pub(crate) const BLOCK_ALIGN: usize = 8;

/// One heap block of plain memory: no destructor, known length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// Invariant: came from [`Block::allocate`] with `bytes`.
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: a block is an address and a length; whoever frees it proves sole ownership.
unsafe impl Send for Block {}

impl Block {
    /// A new block of `bytes` uninitialised bytes, counted as live.
    pub(crate) fn allocate(bytes: usize) -> Block {
        let layout = Block::layout(bytes);
        // SAFETY: the layout's size is at least BLOCK_ALIGN, so it is not zero.
        let start = unsafe { alloc::alloc(layout) };
        let Some(start) = NonNull::new(start) else {
            alloc::handle_alloc_error(layout)
        };
        count_live(usable_bytes(bytes) as i64);
        Block { start, bytes }
    }

    /// The block that starts at `start` and was allocated with `bytes`.
    ///
    /// # Safety
    /// `start` came from [`Block::allocate`] with the same `bytes` and was not freed since.
    pub(crate) unsafe fn from_parts(start: NonNull<u8>, bytes: usize) -> Block {
        Block { start, bytes }
    }

    /// The first byte.
    pub(crate) fn start(self) -> NonNull<u8> {
        self.start
    }

    /// The length that was asked for.
    pub(crate) fn bytes(self) -> usize {
        self.bytes
    }

    /// Gives a live block back at once.
    ///
    /// # Safety
    /// No other thread can reach the block, and nobody uses or frees it afterwards.
    pub(crate) unsafe fn free(self) {
        count_live(-(usable_bytes(self.bytes) as i64));
        // SAFETY: passed on to the caller.
        unsafe { self.release() }
    }

    /// Moves the block from live to retired.
    pub(crate) fn count_retired(self) {
        let usable = usable_bytes(self.bytes) as i64;
        count_live(-usable);
        count_garbage(usable);
    }

    /// Gives a retired block back.
    ///
    /// # Safety
    /// As for [`Block::free`]; [`Block::count_retired`] was called before.
    pub(crate) unsafe fn free_retired(self) {
        count_garbage(-(usable_bytes(self.bytes) as i64));
        // SAFETY: passed on to the caller.
        unsafe { self.release() }
    }

    unsafe fn release(self) {
        #[cfg(debug_assertions)]
        // SAFETY: the block is ours and `bytes` long; poison makes a late reader fail loudly.
        unsafe {
            self.start.as_ptr().write_bytes(0xDB, self.bytes);
        }
        // SAFETY: allocated by `Block::allocate` with this layout.
        unsafe { alloc::dealloc(self.start.as_ptr(), Block::layout(self.bytes)) }
    }

    fn layout(bytes: usize) -> Layout {
        Layout::from_size_align(bytes.max(BLOCK_ALIGN), BLOCK_ALIGN).expect("a block's size")
    }
}

/// The bytes the allocator uses for a request: its size class.
///
/// jemalloc's classes: multiples of 16 up to 128, then four to a doubling.
/// <https://jemalloc.net/jemalloc.3.html#size_classes>
pub fn usable_bytes(bytes: usize) -> usize {
    match bytes {
        0..=8 => 8,
        9..=128 => bytes.next_multiple_of(16),
        _ => {
            let step = ((bytes - 1).ilog2() - 2).min(usize::BITS - 1);
            bytes.next_multiple_of(1 << step)
        }
    }
}

/// Sums over all threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of blocks that are in use.
    pub live_bytes: u64,
    /// Bytes of blocks that were replaced or removed and wait for their last readers.
    pub retired_bytes: u64,
}

struct Counters {
    live_bytes: AtomicI64,
    retired_bytes: AtomicI64,
}

static COUNTERS: [CachePadded<Counters>; thread::THREADS_MAX] = {
    #[allow(
        clippy::declare_interior_mutable_const,
        reason = "an array's initial value"
    )]
    const ZERO: CachePadded<Counters> = CachePadded::new(Counters {
        live_bytes: AtomicI64::new(0),
        retired_bytes: AtomicI64::new(0),
    });
    [ZERO; thread::THREADS_MAX]
};

/// What the whole process uses now.
pub fn usage() -> Usage {
    let mut live = 0;
    let mut retired = 0;
    for counters in &COUNTERS[..thread::indexes_used()] {
        live += counters.live_bytes.load(Ordering::Relaxed);
        retired += counters.retired_bytes.load(Ordering::Relaxed);
    }
    Usage {
        live_bytes: live.max(0) as u64,
        retired_bytes: retired.max(0) as u64,
    }
}

/// Counts memory that is not a [`Block`] (segments, documents) as live.
pub(crate) fn count_live(bytes: i64) {
    add(&COUNTERS[thread::index()].live_bytes, bytes);
}

/// Counts memory that is not a [`Block`] as retired.
pub(crate) fn count_garbage(bytes: i64) {
    add(&COUNTERS[thread::index()].retired_bytes, bytes);
}

/// What this thread alone has counted, for tests that run beside others: live, then retired.
#[cfg(test)]
pub(crate) fn counted_here() -> (i64, i64) {
    let counters = &COUNTERS[thread::index()];
    (
        counters.live_bytes.load(Ordering::Relaxed),
        counters.retired_bytes.load(Ordering::Relaxed),
    )
}

/// Invariant: only the counter's own thread writes it, so a load and a store suffice.
fn add(counter: &AtomicI64, bytes: i64) {
    counter.store(
        counter.load(Ordering::Relaxed).wrapping_add(bytes),
        Ordering::Relaxed,
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_classes_are_those_of_the_allocator() {
        let known = [
            (1, 8),
            (9, 16),
            (64, 64),
            (72, 80),
            (129, 160),
            (132, 160),
            (161, 192),
        ];
        for (asked, class) in known
            .into_iter()
            .chain([(256, 256), (257, 320), (4097, 5120)])
        {
            assert_eq!(usable_bytes(asked), class, "{asked}");
        }
    }

    #[test]
    fn a_block_counts_while_it_lives() {
        let before = COUNTERS[thread::index()].live_bytes.load(Ordering::Relaxed);
        let block = Block::allocate(100);
        let during = COUNTERS[thread::index()].live_bytes.load(Ordering::Relaxed);
        assert_eq!(during - before, 112);
        // SAFETY: nobody else knows the block.
        unsafe { block.free() };
        assert_eq!(
            COUNTERS[thread::index()].live_bytes.load(Ordering::Relaxed),
            before
        );
    }
}
