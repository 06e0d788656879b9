//! When memory that was replaced may be freed: never under a reader, always soon.
//!
//! Whoever looks at shared memory holds a [`Guard`]. Memory taken out of the structures is
//! *retired* through a guard and freed once every guard that existed at that moment is gone
//! (epoch-based reclamation: K. Fraser, "Practical lock-freedom", 2004; crossbeam-epoch).
//!
//! Three things keep garbage bounded:
//!
//! - crossbeam-epoch frees by itself at most a few objects per outermost pin, so that one guard
//!   per pipelined batch would leak without bound. A thread that has retired [`FLUSH_BLOCKS`]
//!   blocks or [`FLUSH_BYTES`] since its last flush flushes, which also collects.
//! - After a flush and then silence nothing would be freed: the reaper thread pins and flushes
//!   every [`TICK`]. What a thread has not flushed only it can hand over, so a thread that falls
//!   idle calls [`flush_thread`].
//! - Dropping something large would run inside whatever pin happens to collect it: anything of
//!   more than [`DROP_INLINE_BYTES`] goes to the reaper thread, which frees it in slices.
//!
//! A guard must not live across an `.await`, nor through a long computation on a connection
//! thread; [`Guard::repin`] between steps lets the epoch go on.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::sync::OnceLock;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::Duration;

use crate::arena;
use crate::memory::{self, Block};
use crate::sync::{IS_MODEL, epoch};
use crate::transaction::overlay::Overlay;

/// A thread flushes after retiring this many blocks.
const FLUSH_BLOCKS: usize = 128;
/// A thread flushes after retiring this many bytes.
const FLUSH_BYTES: usize = 1 << 18;
/// What is larger is dropped by the reaper.
pub(crate) const DROP_INLINE_BYTES: usize = 1 << 16;
/// How long garbage may lie when nobody else is working.
const TICK: Duration = Duration::from_millis(10);

static COLLECTOR: OnceLock<epoch::Collector> = OnceLock::new();
static REAPER: OnceLock<Sender<Box<dyn Drain>>> = OnceLock::new();

thread_local! {
    static HANDLE: epoch::LocalHandle =
        COLLECTOR.get_or_init(epoch::Collector::new).register();
    static UNFLUSHED: RefCell<Unflushed> = const { RefCell::new(Unflushed::NONE) };
}

/// What a thread has retired since it flushed last.
struct Unflushed {
    /// Blocks gather here, so that they cost the collector one entry for all.
    blocks: Vec<Block>,
    /// How much there is, what the collector has already included.
    count: usize,
    bytes: usize,
}

impl Unflushed {
    const NONE: Unflushed = Unflushed {
        blocks: Vec::new(),
        count: 0,
        bytes: 0,
    };

    /// Whether it is time to flush.
    fn note(&mut self, bytes: usize) -> bool {
        self.count += 1;
        self.bytes += bytes;
        self.count >= FLUSH_BLOCKS || self.bytes >= FLUSH_BYTES
    }

    /// Gives the blocks to the collector.
    fn hand_over(&mut self, guard: &epoch::Guard) {
        (self.count, self.bytes) = (0, 0);
        if self.blocks.is_empty() {
            return;
        }
        // As many will follow.
        let next = Vec::with_capacity(FLUSH_BLOCKS);
        let blocks = std::mem::replace(&mut self.blocks, next);
        // SAFETY: this runs once, when no guard remains that could reach the blocks.
        let last = move || unsafe { Block::free_all_retired(blocks) };
        // SAFETY: whoever retired the blocks has made them unreachable for guards made since.
        unsafe { guard.defer_unchecked(last) };
    }
}

impl Drop for Unflushed {
    /// The thread ends. Its handle may be gone already.
    fn drop(&mut self) {
        if !self.blocks.is_empty() {
            let handle = COLLECTOR.get_or_init(epoch::Collector::new).register();
            let guard = handle.pin();
            self.hand_over(&guard);
            guard.flush();
        }
    }
}

/// Permission to look at shared memory: nothing reachable while it exists is freed until it ends.
#[derive(Debug)]
pub struct Guard {
    inner: epoch::Guard,
    /// The transaction that runs under the guard, if one does.
    overlay: RefCell<Option<Box<Overlay>>>,
    /// Belongs to its thread.
    _not_send: PhantomData<*const ()>,
}

/// A guard on this thread. Cheap, and cheaper still while the thread holds another.
pub fn pin() -> Guard {
    Guard {
        inner: HANDLE.with(epoch::LocalHandle::pin),
        overlay: RefCell::new(None),
        _not_send: PhantomData,
    }
}

/// Whether this thread holds garbage back that only it can hand over.
pub fn has_unflushed() -> bool {
    UNFLUSHED.with_borrow(|unflushed| unflushed.count > 0)
}

/// Hands this thread's garbage over, and memory it keeps for itself and does not use: for a
/// thread that is about to have nothing to do.
pub fn flush_thread() {
    pin().flush();
    arena::tidy_thread();
}

/// Something large that is dropped a slice at a time, by the reaper.
pub(crate) trait Drain: Send {
    /// Frees a bounded part; false when nothing is left.
    fn drain_slice(&mut self) -> bool;
}

impl Guard {
    /// Lets go of everything seen so far and pins anew.
    pub fn repin(&mut self) {
        self.inner.repin();
    }

    /// Where the transaction under this guard keeps what it has done so far.
    pub(crate) fn overlay(&self) -> &RefCell<Option<Box<Overlay>>> {
        &self.overlay
    }

    /// Frees `block` when nobody can look at it any more.
    ///
    /// # Safety
    /// The block is live, was made unreachable for new guards, and is retired only once.
    // Inlined: a block is handed over in memory, which takes longer than all else here.
    #[inline(always)]
    pub(crate) unsafe fn retire(&self, block: Block) {
        block.count_retired();
        block.prefetch_free();
        let gathered = UNFLUSHED.try_with(|unflushed| {
            let mut unflushed = unflushed.borrow_mut();
            unflushed.blocks.push(block);
            unflushed.note(block.bytes())
        });
        match gathered {
            Ok(false) if !IS_MODEL => {}
            Ok(_) => self.flush(),
            // SAFETY: passed on to the caller.
            Err(_) => unsafe { self.retire_at_end(block) },
        }
    }

    /// As [`Guard::retire`], for a thread that is ending.
    ///
    /// # Safety
    /// As there.
    #[cold]
    unsafe fn retire_at_end(&self, block: Block) {
        // SAFETY: this runs once, when no guard remains that could reach the block.
        let last = move || unsafe { block.free_retired() };
        // SAFETY: the block is unreachable for new guards.
        unsafe { self.inner.defer_unchecked(last) };
    }

    /// Drops the box behind `pointer` when nobody can look at it any more.
    ///
    /// # Safety
    /// `pointer` came from `Box::into_raw`, was made unreachable for new guards, and is retired
    /// only once.
    pub(crate) unsafe fn retire_box<T: Send + 'static>(&self, pointer: *mut T) {
        // SAFETY: this runs once, when no guard remains that could reach the box.
        let last = move || drop(unsafe { Box::from_raw(pointer) });
        // SAFETY: the box is unreachable for new guards.
        unsafe { self.inner.defer_unchecked(last) };
        self.note(size_of::<T>());
    }

    /// Runs `last` when every guard that exists now is gone.
    ///
    /// # Safety
    /// Whatever `last` frees was made unreachable for new guards and is freed only there.
    pub(crate) unsafe fn retire_with<F: FnOnce() + Send + 'static>(&self, bytes: usize, last: F) {
        // SAFETY: passed on to the caller.
        unsafe { self.inner.defer_unchecked(last) };
        self.note(bytes);
    }

    /// Runs `last`, which frees nothing, when every guard that exists now is gone, this one
    /// included.
    pub(crate) fn when_others_are_gone(&self, last: impl FnOnce() + Send + 'static) {
        // SAFETY: whatever `last` holds lives as long as it does.
        unsafe { self.inner.defer_unchecked(last) };
    }

    fn note(&self, bytes: usize) {
        let is_time = UNFLUSHED.try_with(|unflushed| unflushed.borrow_mut().note(bytes));
        if is_time != Ok(false) {
            self.flush();
        }
    }

    /// Hands this thread's garbage over and frees what may be freed.
    #[inline(never)]
    pub fn flush(&self) {
        // What is freed may retire in its turn: nothing is borrowed meanwhile.
        let _ = UNFLUSHED.try_with(|unflushed| unflushed.borrow_mut().hand_over(&self.inner));
        self.inner.flush();
    }
}

/// Gives something large to the reaper thread, which is started at the first call.
pub(crate) fn reap(mut large: Box<dyn Drain>) {
    if IS_MODEL {
        while large.drain_slice() {}
        return;
    }
    // The receiver lives as long as the process: a failure to send can only come from its end.
    let _ = reaper().send(large);
}

/// Starts the reaper, which also keeps the epoch going when nobody else does.
pub(crate) fn start() {
    if !IS_MODEL {
        reaper();
    }
}

fn reaper() -> &'static Sender<Box<dyn Drain>> {
    REAPER.get_or_init(|| {
        let (sender, receiver) = mpsc::channel::<Box<dyn Drain>>();
        let thread = std::thread::Builder::new().name("mayfly-reaper".into());
        thread
            .spawn(move || {
                loop {
                    match receiver.recv_timeout(TICK) {
                        Ok(mut large) => while large.drain_slice() {},
                        // Always: not all that is retired is counted in bytes.
                        Err(RecvTimeoutError::Timeout) => pin().flush(),
                        Err(RecvTimeoutError::Disconnected) => return,
                    }
                }
            })
            .expect("a thread for the reaper");
        sender
    })
}

/// Waits until everything retired so far is freed: for tests that count to the byte.
///
/// Other threads must not hold guards.
#[doc(hidden)]
pub fn settle() {
    for _ in 0..10_000 {
        pin().flush();
        if memory::usage().retired_bytes == 0 {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_retired_is_freed_once_guards_are_gone() {
        let guard = pin();
        for _ in 0..1000 {
            let block = Block::allocate(64);
            // SAFETY: nobody ever saw the block.
            unsafe { guard.retire(block) };
        }
        drop(guard);
        settle();
        assert_eq!(memory::usage().retired_bytes, 0);
    }
}
