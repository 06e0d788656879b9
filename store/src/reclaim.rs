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
//! Blocks that may be freed are *due*. A thread that goes on writing keeps a few of those, and the
//! next entry of the same length takes the place of the last of them ([`take_due`]): who overwrites
//! values of one size shares nothing with others for it, and writes to what is in its cache still.
//! Due blocks count as retired. A thread that does not write, or flushes, keeps none.
//!
//! Invariant: a due block was retired, no guard remains of those that could reach it, and it is in
//! the list of one thread alone, which either makes a block of it again or frees it. What lies in a
//! slab that is being emptied is freed only: nothing new gets into such a slab (`arena`).
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
use crate::pace;
use crate::sync::{IS_MODEL, epoch};
use crate::transaction::overlay::Overlay;

/// A thread flushes after retiring this many blocks.
const FLUSH_BLOCKS: usize = 128;
/// A thread flushes after retiring this many bytes.
const FLUSH_BYTES: usize = 1 << 18;
/// Due blocks are kept where at least so many became due together: they are short then, and kept
/// within some times [`FLUSH_BYTES`].
const DUE_BLOCKS_MIN: usize = FLUSH_BLOCKS / 2;
/// A thread keeps no more due blocks than these.
const DUE_BLOCKS_MAX: usize = 2 * FLUSH_BLOCKS;
/// What is larger is dropped by the reaper.
pub(crate) const DROP_INLINE_BYTES: usize = 1 << 16;
/// How long garbage may lie when nobody else is working.
const TICK: Duration = Duration::from_millis(10);

static COLLECTOR: OnceLock<epoch::Collector> = OnceLock::new();
static REAPER: OnceLock<Sender<Box<dyn Drain>>> = OnceLock::new();

thread_local! {
    static HANDLE: epoch::LocalHandle =
        COLLECTOR.get_or_init(epoch::Collector::new).register();
    static GARBAGE: RefCell<Garbage> = const { RefCell::new(Garbage::NONE) };
}

/// A thread's garbage.
struct Garbage {
    /// Blocks gather here, so that they cost the collector one entry for all.
    retired: Vec<Block>,
    /// How much was retired since the last flush, with what the collector has already. What is no
    /// block counts as [`FLUSH_BYTES`] / [`FLUSH_BLOCKS`] at least.
    bytes: usize,
    /// May be freed.
    due: Vec<Block>,
    /// Whether the thread writes, so that due blocks are kept.
    keeps_due: bool,
    /// How many due blocks in a row were not what was wanted.
    misfits: u32,
    /// Empty: for the next blocks.
    spare: Vec<Block>,
}

impl Garbage {
    const NONE: Garbage = Garbage {
        retired: Vec::new(),
        bytes: 0,
        due: Vec::new(),
        keeps_due: false,
        misfits: 0,
        spare: Vec::new(),
    };

    /// Whether it is time to flush.
    #[inline(always)]
    fn note(&mut self, bytes: usize) -> bool {
        self.bytes += bytes;
        self.retired.len() >= FLUSH_BLOCKS || self.bytes >= FLUSH_BYTES
    }

    /// Gives the retired blocks to the collector.
    fn hand_over(&mut self, guard: &epoch::Guard) {
        self.bytes = 0;
        if self.retired.is_empty() {
            return;
        }
        let mut next = std::mem::take(&mut self.spare);
        // As many will follow.
        next.reserve(FLUSH_BLOCKS);
        let blocks = std::mem::replace(&mut self.retired, next);
        // SAFETY: this runs once, when no guard remains that could reach the blocks.
        let last = move || unsafe { become_due(blocks) };
        // SAFETY: whoever retired the blocks has made them unreachable for guards made since.
        unsafe { guard.defer_unchecked(last) };
    }

    /// Keeps due blocks for new ones, if it pays; those it does not keep are left.
    fn keep(&mut self, blocks: &mut Vec<Block>) {
        let are_many = blocks.len() >= DUE_BLOCKS_MIN;
        let have_room = self.due.len() + blocks.len() <= DUE_BLOCKS_MAX;
        if !(self.keeps_due && are_many && have_room && arena::recycles()) {
            return;
        }
        blocks.iter().for_each(|block| block.poison());
        if self.due.is_empty() {
            std::mem::swap(&mut self.due, blocks);
        } else {
            self.due.append(blocks);
        }
    }

    /// Takes a due block that is to become a movable one of `bytes`, if it can; else it is freed,
    /// and the more others the less they fit, since freed together they cost less.
    fn refit(&mut self, due: Block, bytes: usize) -> Option<Block> {
        if due.may_become(bytes) {
            self.misfits = 0;
            return Some(due);
        }
        self.due.push(due);
        let blocks = 1 << self.misfits.min(DUE_BLOCKS_MAX.ilog2());
        self.misfits += 1;
        let from = self.due.len().saturating_sub(blocks);
        // SAFETY: the blocks are due, and leave the list.
        unsafe { Block::free_all_retired(&self.due[from..]) };
        self.due.truncate(from);
        None
    }

    /// Frees what is due, and keeps nothing of what will be, until the thread writes again.
    fn free_due(&mut self) {
        self.keeps_due = false;
        // SAFETY: the blocks are due, and leave the list.
        unsafe { Block::free_all_retired(&self.due) };
        self.due.clear();
    }
}

/// Frees blocks, or keeps them for new ones.
///
/// # Safety
/// They are retired, and no guard remains that could reach them.
unsafe fn become_due(mut blocks: Vec<Block>) {
    let kept = GARBAGE.try_with(|garbage| garbage.borrow_mut().keep(&mut blocks));
    // SAFETY: passed on to the caller.
    unsafe { Block::free_all_retired(&blocks) };
    blocks.clear();
    if kept.is_ok() {
        GARBAGE.with_borrow_mut(|garbage| garbage.spare = blocks);
    }
}

/// Takes the last of this thread's due blocks out of the list: the caller makes a new one of it, or
/// calls [`refit`].
#[inline(always)]
pub(crate) fn take_due() -> Option<Block> {
    let take = |garbage: &RefCell<Garbage>| garbage.borrow_mut().due.pop();
    GARBAGE.try_with(take).ok().flatten()
}

/// Gives a due block to whoever wants a movable one of `bytes`, still counted as retired, if it can
/// become that; else it is freed.
#[cold]
pub(crate) fn refit(due: Block, bytes: usize) -> Option<Block> {
    GARBAGE.with_borrow_mut(|garbage| garbage.refit(due, bytes))
}

impl Drop for Garbage {
    /// The thread ends. Its handle may be gone already.
    fn drop(&mut self) {
        self.free_due();
        if !self.retired.is_empty() {
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
    GARBAGE.with_borrow(|garbage| garbage.bytes > 0 || !garbage.due.is_empty())
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
        let gathered = GARBAGE.try_with(|garbage| {
            let mut garbage = garbage.borrow_mut();
            garbage.retired.push(block);
            garbage.note(block.bytes())
        });
        match gathered {
            Ok(false) if !IS_MODEL => {}
            Ok(_) => self.flush_writing(),
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
        let last = move || {
            // SAFETY: this runs once, when no guard remains that could reach the box.
            let retired = unsafe { Box::from_raw(pointer) };
            memory::free_for_others(|| drop(retired));
        };
        // SAFETY: the box is unreachable for new guards.
        unsafe { self.inner.defer_unchecked(last) };
        self.note(size_of::<T>());
    }

    /// Runs `last` when every guard that exists now is gone.
    ///
    /// # Safety
    /// Whatever `last` frees was made unreachable for new guards and is freed only there.
    pub(crate) unsafe fn retire_with<F: FnOnce() + Send + 'static>(&self, bytes: usize, last: F) {
        let last = move || memory::free_for_others(last);
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
        let bytes = bytes.max(FLUSH_BYTES / FLUSH_BLOCKS);
        let is_time = GARBAGE.try_with(|garbage| garbage.borrow_mut().note(bytes));
        if is_time != Ok(false) {
            self.flush_writing();
        }
    }

    /// As [`Guard::flush`], but that what is due may be kept for what this thread writes next.
    #[inline(never)]
    fn flush_writing(&self) {
        self.hand_over(|garbage| garbage.keeps_due = !IS_MODEL);
    }

    /// Hands this thread's garbage over and frees what may be freed.
    #[inline(never)]
    pub fn flush(&self) {
        self.hand_over(Garbage::free_due);
    }

    fn hand_over(&self, prepare: impl FnOnce(&mut Garbage)) {
        // What becomes due comes back to the thread's garbage: nothing is borrowed meanwhile.
        let _ = GARBAGE.try_with(|garbage| {
            let mut garbage = garbage.borrow_mut();
            prepare(&mut garbage);
            garbage.hand_over(&self.inner);
        });
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
                pace::begin();
                loop {
                    match receiver.recv_timeout(TICK) {
                        Ok(mut large) => {
                            while large.drain_slice() {
                                pace::step();
                            }
                        }
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

/// Waits until everything retired so far is freed, and tells whether it was: for tests that count
/// to the byte.
///
/// Other threads must not hold guards.
#[doc(hidden)]
pub fn settle() -> bool {
    #[cfg(test)]
    let _freeing = freeing();
    for _ in 0..10_000 {
        pin().flush();
        if memory::in_use().retired_bytes == 0 {
            return true;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    false
}

/// For tests that wait until all garbage is freed, and for those that make garbage all the time or
/// wait for their own to be due: whoever collects frees the garbage of all.
#[cfg(test)]
pub(crate) fn freeing() -> std::sync::MutexGuard<'static, ()> {
    static FREEING: std::sync::Mutex<()> = std::sync::Mutex::new(());
    FREEING
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
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
        assert!(settle());
    }

    fn due_bytes() -> i64 {
        let usable = |block: &Block| block.usable_bytes() as i64;
        GARBAGE.with_borrow(|garbage| garbage.due.iter().map(usable).sum())
    }

    /// Writes blocks of some lengths over each other, for so many flushes or until a due one serves
    /// again.
    fn overwrite(flushes: usize, bytes: impl Fn(usize) -> usize) -> bool {
        let mut last = Block::recycle_movable(bytes(0));
        let mut is_again = false;
        for round in 1..flushes * FLUSH_BLOCKS {
            let guard = pin();
            let due = GARBAGE.with_borrow(|garbage| garbage.due.last().copied());
            let (before, due_before) = (memory::counted_here(), due_bytes());
            let next = Block::recycle_movable(bytes(round));
            let (after, due_after) = (memory::counted_here(), due_bytes());
            is_again |= due == Some(next);
            assert_eq!(after.0 - before.0, next.usable_bytes() as i64, "live");
            assert_eq!(before.1 - after.1, due_before - due_after, "retired");
            // SAFETY: nobody else knows the block, which is so long.
            unsafe { next.start().as_ptr().write_bytes(round as u8, next.bytes()) };
            // SAFETY: the block before is nobody else's either, and is retired once.
            unsafe { guard.retire(last) };
            last = next;
            let kept = GARBAGE.with_borrow(|garbage| garbage.due.len());
            assert!(kept <= DUE_BLOCKS_MAX);
            if round % FLUSH_BLOCKS == 0 {
                if is_again {
                    break;
                }
                // Other tests hold guards.
                drop(guard);
                std::thread::sleep(Duration::from_micros(100));
            }
        }
        // SAFETY: nobody else knows it.
        unsafe { pin().retire(last) };
        flush_thread();
        assert!(!has_unflushed());
        is_again
    }

    #[test]
    fn who_overwrites_what_is_as_long_writes_to_the_same_blocks() {
        let _freeing = freeing();
        let alike = || overwrite(50_000, |_| 100);
        let is_again = std::thread::spawn(alike).join().expect("no panic");
        assert!(is_again || !arena::recycles());
    }

    #[test]
    fn what_is_as_long_or_not_is_counted_exactly() {
        for lengths in [
            &[97, 100][..],
            &[100, 120],
            &[40, 48, 52, 60, 9_000],
            &[10_000],
        ] {
            let mixed = || overwrite(200, |round| lengths[round * 7 / 5 % lengths.len()]);
            std::thread::scope(|scope| scope.spawn(mixed).join().expect("no panic"));
        }
    }
}
