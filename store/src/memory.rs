//! What is allocated, counted with next to nothing shared.
//!
//! Every heap block of the engine (entry, tree node, element, segment) is plain memory that is
//! handed out and taken back here, behind one small interface: [`Block`]. Blocks up to 8 kB stand
//! in the [`arena`], longer ones come from the general allocator. A block's size is counted as the
//! size class it really takes, in counters of the allocating thread alone; a sum over threads is
//! exact whenever nobody is in the middle of an operation. For the limit there are two shared
//! sums, of the arena and of all else, to which a thread adds once for each 16 kB.
//!
//! An operation changes one counter of its thread for each thing it does: what was allocated less
//! what was freed, of either place, and what is retired. What is live is their difference.
//!
//! A block is *live* from allocation until it is retired, then *retired* until it is freed; both
//! are *charged* against the memory limit. So is what the process takes beside the engine's own
//! memory, which the store is told from time to time ([`note_process`]): the heap of connections
//! and clients in full, and of what is resident beside what exceeds an allowance. Long buffers come
//! and go faster than that: they are charged while they are there ([`LongBuffers`]).
//!
//! *Physical* bytes are the same with whole slabs of the arena in the place of the blocks in them.
//! Evicting lowers what is charged at once; what is physical falls when slabs are emptied
//! (`compaction`).

use std::alloc::{self, Layout};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering, fence};

use crossbeam_utils::CachePadded;

pub use self::beside::Process;
pub(crate) use self::beside::note_process;
pub use crate::arena::Extent;
use crate::arena::{self, Mobility, Slots};
use crate::reclaim;
use crate::shadow;
use crate::thread;

mod beside;

/// One heap block of plain memory: no destructor, known length.
///
/// It starts at a multiple of what its [`Mobility`] says, which leaves low pointer bits for tags;
/// one of 64 bytes or a larger power of two starts at a multiple of 64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// Invariant: was allocated with the bytes and the mobility of `shape`.
    start: NonNull<u8>,
    /// The bytes asked for, and [`Block::MOVABLE`]: in one word, so that a block is two, which are
    /// passed on in registers.
    shape: u32,
}

const _: () = assert!(size_of::<Block>() == 16, "reclamation keeps many");

// SAFETY: a block is an address and a length; whoever frees it proves sole ownership.
unsafe impl Send for Block {}

impl Block {
    const MOVABLE: u32 = 1 << 31;

    fn new(start: NonNull<u8>, bytes: usize, mobility: Mobility) -> Block {
        debug_assert!(bytes < Block::MOVABLE as usize);
        let movable = match mobility {
            Mobility::Fixed => 0,
            Mobility::Movable => Block::MOVABLE,
        };
        let shape = bytes as u32 | movable;
        Block { start, shape }
    }

    fn mobility(self) -> Mobility {
        match self.shape & Block::MOVABLE {
            0 => Mobility::Fixed,
            _ => Mobility::Movable,
        }
    }

    /// A new block of `bytes` uninitialised bytes, counted as live.
    #[inline(never)]
    pub(crate) fn allocate(bytes: usize) -> Block {
        Block::allocate_as(bytes, Mobility::Fixed)
    }

    /// As [`Block::allocate`], for an entry: what one slot of a table names.
    #[inline(never)]
    pub(crate) fn allocate_movable(bytes: usize) -> Block {
        Block::allocate_as(bytes, Mobility::Movable)
    }

    /// As [`Block::allocate_movable`], or one that this thread was about to free.
    #[inline(never)]
    pub(crate) fn recycle_movable(bytes: usize) -> Block {
        match reclaim::take_due() {
            // Mostly what is written is as long as what was there before.
            Some(due) if due.is_alike(bytes) => due.recycled(),
            Some(due) => Block::recycle_other(due, bytes),
            None => Block::allocate_movable(bytes),
        }
    }

    #[cold]
    #[inline(never)]
    fn recycle_other(due: Block, bytes: usize) -> Block {
        match reclaim::refit(due, bytes) {
            Some(due) => Block::new(due.start, bytes, Mobility::Movable).recycled(),
            None => Block::allocate_movable(bytes),
        }
    }

    /// The block that was retired, live again.
    #[inline(always)]
    fn recycled(self) -> Block {
        count_retired(-(self.usable_bytes() as i64));
        shadow::freed(self.start);
        shadow::allocated(self.start, self.bytes());
        self
    }

    /// Whether the block, which is to be freed, can become a movable one of `bytes` for sure, since
    /// it was one.
    #[inline(always)]
    fn is_alike(self, bytes: usize) -> bool {
        self == Block::new(self.start, bytes, Mobility::Movable)
            && bytes <= arena::BYTES_MAX
            && arena::is_none_evacuated()
    }

    /// Whether the block, which is to be freed, can become a movable one of `bytes`: of the same
    /// class, and not where nothing new is to be.
    pub(crate) fn may_become(self, bytes: usize) -> bool {
        let other = Block::new(self.start, bytes, Mobility::Movable);
        self.mobility() == other.mobility()
            && self.usable_bytes() == other.usable_bytes()
            && bytes <= arena::BYTES_MAX
            && !arena::is_evacuated(self.start)
    }

    // Inlined, so that each mobility has its own.
    #[inline(always)]
    fn allocate_as(bytes: usize, mobility: Mobility) -> Block {
        let block = |start| {
            shadow::allocated(start, bytes);
            Block::new(start, bytes, mobility)
        };
        assert!(bytes < Block::MOVABLE as usize, "values are limited");
        let usable = class_bytes(bytes, mobility) as i64;
        if let Some(start) = arena::allocate(bytes, mobility) {
            own().arena.add(usable, &TOLD.arena);
            return block(start);
        }
        own().elsewhere.add(usable, &TOLD.elsewhere);
        block(Block::allocate_elsewhere(bytes))
    }

    #[cold]
    fn allocate_elsewhere(bytes: usize) -> NonNull<u8> {
        let layout = Block::layout(bytes);
        // SAFETY: the layout's size is not zero.
        let start = unsafe { alloc::alloc(layout) };
        NonNull::new(start).unwrap_or_else(|| alloc::handle_alloc_error(layout))
    }

    /// The block that starts at `start` and was allocated with `bytes` and `mobility`.
    ///
    /// # Safety
    /// It was, and not freed since.
    pub(crate) unsafe fn from_parts(start: NonNull<u8>, bytes: usize, mobility: Mobility) -> Block {
        Block::new(start, bytes, mobility)
    }

    /// The first byte.
    pub(crate) fn start(self) -> NonNull<u8> {
        self.start
    }

    /// The length that was asked for.
    pub(crate) fn bytes(self) -> usize {
        (self.shape & !Block::MOVABLE) as usize
    }

    /// The length it takes.
    pub(crate) fn usable_bytes(self) -> usize {
        class_bytes(self.bytes(), self.mobility())
    }

    /// A hint that the block will soon be freed: fetches what that changes.
    pub(crate) fn prefetch_free(self) {
        arena::prefetch_free(self.start, self.bytes(), self.mobility());
    }

    /// Gives a live block back at once.
    ///
    /// # Safety
    /// No other thread can reach the block, and nobody uses or frees it afterwards.
    pub(crate) unsafe fn free(self) {
        let mut freed = Freed::default();
        // SAFETY: passed on to the caller.
        unsafe { self.release(&mut freed) };
        freed.count_live();
    }

    /// Moves the block from live to retired.
    #[inline(always)]
    pub(crate) fn count_retired(self) {
        count_retired(self.usable_bytes() as i64);
    }

    /// Gives a retired block back.
    ///
    /// # Safety
    /// As for [`Block::free`]; [`Block::count_retired`] was called before.
    pub(crate) unsafe fn free_retired(self) {
        // SAFETY: passed on to the caller.
        unsafe { Block::free_all_retired(&[self]) }
    }

    /// Gives retired blocks back.
    ///
    /// # Safety
    /// As for [`Block::free_retired`], for each.
    pub(crate) unsafe fn free_all_retired(blocks: &[Block]) {
        if blocks.is_empty() {
            return;
        }
        let mut freed = Freed::default();
        blocks[..blocks.len().min(FREED_AHEAD)]
            .iter()
            .for_each(|block| block.prefetch_free());
        for (at, &block) in blocks.iter().enumerate() {
            if let Some(ahead) = blocks.get(at + FREED_AHEAD) {
                ahead.prefetch_free();
            }
            // SAFETY: passed on to the caller.
            unsafe { block.release(&mut freed) };
        }
        freed.count_retired();
    }

    /// Makes a late reader of a block that is to be freed fail loudly, in debug builds.
    #[inline(always)]
    pub(crate) fn poison(self) {
        // Who empties a slab may look at what was there.
        if cfg!(debug_assertions) && !arena::is_evacuated(self.start) {
            // SAFETY: who asks for this is to free the block, which is so long, and nobody else's.
            unsafe { self.start.as_ptr().write_bytes(0xDB, self.bytes()) };
        }
    }

    /// # Safety
    /// As for [`Block::free`].
    unsafe fn release(self, freed: &mut Freed) {
        shadow::freed(self.start);
        self.poison();
        let usable = self.usable_bytes() as i64;
        // SAFETY: passed on to the caller.
        if unsafe { freed.slots.add(self.start, self.bytes()) } {
            freed.arena_bytes += usable;
            return;
        }
        freed.elsewhere_bytes += usable;
        // SAFETY: allocated by `Block::allocate` with this layout, not by the arena.
        unsafe { alloc::dealloc(self.start.as_ptr(), Block::layout(self.bytes())) }
    }

    fn layout(bytes: usize) -> Layout {
        const ALIGN: usize = Mobility::Fixed.align();
        let align = match bytes.is_multiple_of(64) {
            true => 64,
            false => ALIGN,
        };
        Layout::from_size_align(bytes.max(ALIGN), align).expect("a block's size")
    }
}

/// What the freeing of a block changes is fetched so many blocks ahead.
const FREED_AHEAD: usize = 8;

/// Blocks that are given back together and counted at once.
#[derive(Default)]
struct Freed {
    slots: Slots,
    arena_bytes: i64,
    elsewhere_bytes: i64,
}

impl Freed {
    fn count_live(self) {
        let own = own();
        if self.arena_bytes != 0 {
            own.arena.add(-self.arena_bytes, &TOLD.arena);
        }
        if self.elsewhere_bytes != 0 {
            own.elsewhere.add(-self.elsewhere_bytes, &TOLD.elsewhere);
        }
    }

    fn count_retired(self) {
        let bytes = self.arena_bytes + self.elsewhere_bytes;
        own().change(|own| {
            add(&own.retired_bytes, -bytes);
            self.count_live();
        });
    }
}

/// The bytes a block of so many takes that is no entry: its size class.
pub fn usable_bytes(bytes: usize) -> usize {
    class_bytes(bytes, Mobility::Fixed)
}

/// Above the arena's, jemalloc's classes: four to a doubling.
/// <https://jemalloc.net/jemalloc.3.html#size_classes>
#[inline(always)]
fn class_bytes(bytes: usize, mobility: Mobility) -> usize {
    if bytes <= arena::BYTES_MAX {
        return arena::class_bytes(bytes, mobility);
    }
    bytes.next_multiple_of(1 << ((bytes - 1).ilog2() - 2))
}

/// Sums over all threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InUse {
    /// Bytes of blocks that are in use.
    pub live_bytes: u64,
    /// Bytes of blocks that were replaced or removed and wait for their last readers.
    pub retired_bytes: u64,
    /// Of both, what stands in the arena.
    pub arena_bytes: u64,
    /// Beside both, what is charged as [`LongBuffers`].
    pub buffer_bytes: u64,
}

impl InUse {
    /// Live and retired bytes.
    pub fn bytes(&self) -> u64 {
        self.live_bytes + self.retired_bytes
    }

    /// Of the `allocated_bytes` that the general allocator has handed out, those that are not the
    /// engine's.
    pub fn heap_beside(&self, allocated_bytes: u64) -> u64 {
        let own = self.bytes().saturating_sub(self.arena_bytes);
        allocated_bytes.saturating_sub(own)
    }
}

/// What one thread has allocated, less what it has freed, wherever that was allocated.
struct Counters {
    arena: Part,
    elsewhere: Part,
    /// Of both.
    retired_bytes: AtomicI64,
    /// Of elsewhere, what is not the engine's but long buffers.
    buffer_bytes: AtomicI64,
    /// Odd while the thread changes some of these together.
    changes: AtomicU32,
}

/// A sum waits so often for a thread that is changing its counters: a few instructions, unless it
/// is preempted there.
const LOOKS_MAX: usize = 1_000;

impl Counters {
    const fn new() -> Counters {
        Counters {
            arena: Part::new(),
            elsewhere: Part::new(),
            retired_bytes: AtomicI64::new(0),
            buffer_bytes: AtomicI64::new(0),
            changes: AtomicU32::new(0),
        }
    }

    /// Changes several counters, which sums then see all or none of (a sequence lock: H. Boehm,
    /// "Can seqlocks get along with programming language memory models?", MSPC 2012).
    fn change(&self, change: impl FnOnce(&Counters)) {
        let before = self.changes.load(Ordering::Relaxed);
        self.changes
            .store(before.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        change(self);
        self.changes
            .store(before.wrapping_add(2), Ordering::Release);
    }

    /// The bytes in the arena, elsewhere, of both the retired ones, and those of buffers.
    fn look(&self) -> [i64; 4] {
        let mut looks = 0;
        loop {
            let (bytes, is_settled) = self.look_once();
            if is_settled || looks == LOOKS_MAX {
                return bytes;
            }
            looks += 1;
            match looks % 16 {
                0 => std::thread::yield_now(),
                _ => std::hint::spin_loop(),
            }
        }
    }

    /// As [`Counters::look`], and whether the thread was not changing them meanwhile.
    fn look_once(&self) -> ([i64; 4], bool) {
        let before = self.changes.load(Ordering::Acquire);
        let counters = [
            &self.arena.bytes,
            &self.elsewhere.bytes,
            &self.retired_bytes,
            &self.buffer_bytes,
        ];
        let bytes = counters.map(|counter| counter.load(Ordering::Relaxed));
        fence(Ordering::Acquire);
        let is_settled = before.is_multiple_of(2) && self.changes.load(Ordering::Relaxed) == before;
        (bytes, is_settled)
    }
}

/// Live and retired bytes that one thread has counted.
struct Part {
    bytes: AtomicI64,
    /// What [`TOLD`] has of them.
    told_bytes: AtomicI64,
}

static COUNTERS: [CachePadded<Counters>; thread::THREADS_MAX] = {
    #[allow(
        clippy::declare_interior_mutable_const,
        reason = "an array's initial value"
    )]
    const ZERO: CachePadded<Counters> = CachePadded::new(Counters::new());
    [ZERO; thread::THREADS_MAX]
};

/// The counters of this thread.
fn own() -> &'static Counters {
    &COUNTERS[thread::index() % thread::THREADS_MAX]
}

/// What the whole process uses now.
pub fn in_use() -> InUse {
    let mut sums = [0; 4];
    for counters in thread::indexes_used().map(|index| &COUNTERS[index]) {
        for (sum, bytes) in sums.iter_mut().zip(counters.look()) {
            *sum += bytes;
        }
    }
    let [arena, elsewhere, retired, buffers] = sums;
    let positive = |bytes: i64| bytes.max(0) as u64;
    InUse {
        live_bytes: positive(arena + elsewhere - retired - buffers),
        retired_bytes: positive(retired),
        arena_bytes: positive(arena),
        buffer_bytes: positive(buffers),
    }
}

/// Of what the whole process uses, what is retired: much cheaper than all of [`in_use`]. What is
/// freed just now may be in it still, or not any more.
pub(crate) fn retired_bytes() -> u64 {
    let counters = thread::indexes_used().map(|index| &COUNTERS[index]);
    let retired = counters.map(|own| own.retired_bytes.load(Ordering::Relaxed));
    retired.sum::<i64>().max(0) as u64
}

/// What the arena has in physical memory for [`InUse::arena_bytes`].
pub fn arena() -> Extent {
    arena::extent()
}

/// A thread tells the others what it allocated and freed, of each part, in steps of this many
/// bytes.
const STEP_BYTES: i64 = 1 << 14;
/// Under a lower limit sums are exact: steps that are not told yet would be much of what is kept
/// free.
const EXACT_BELOW_BYTES: u64 = 4 << 20;
/// Live and retired bytes of all threads, but for what each has not told yet.
static TOLD: CachePadded<Told> = CachePadded::new(Told {
    arena: AtomicI64::new(0),
    elsewhere: AtomicI64::new(0),
});

struct Told {
    arena: AtomicI64,
    elsewhere: AtomicI64,
}

/// The bytes that count against the memory limit, to a step or two of each other thread: what this
/// one writes counts at once, so that it evicts as steadily as it writes. A few loads of words that
/// seldom change, or are the thread's own: cheap enough for every write.
pub(crate) fn charged_bytes() -> u64 {
    engine_bytes() + beside::charged_bytes()
}

/// Whether what [`charged_bytes_under`] says of such a limit is exact.
pub(crate) fn is_exact_under(limit_bytes: u64) -> bool {
    limit_bytes < EXACT_BELOW_BYTES
}

/// As [`charged_bytes`] if that is exact enough under a limit of so many bytes: under a small one
/// all threads' counters are looked at.
pub(crate) fn charged_bytes_under(limit_bytes: u64) -> u64 {
    match is_exact_under(limit_bytes) {
        true => {
            let in_use = in_use();
            in_use.bytes() + in_use.buffer_bytes + beside::charged_bytes()
        }
        false => charged_bytes(),
    }
}

/// Of what is charged, the engine's own part: keys, values and tables; and long buffers.
pub(crate) fn engine_bytes() -> u64 {
    let own = own();
    let told = own.arena.now(&TOLD.arena) + own.elsewhere.now(&TOLD.elsewhere);
    told.max(0) as u64
}

/// What is charged now.
pub(crate) struct Charged {
    /// Of blocks in the arena.
    pub(crate) arena: u64,
    /// Of all else.
    pub(crate) elsewhere: u64,
}

/// All that is charged, as exact as [`charged_bytes`], and as cheap.
#[inline]
pub(crate) fn charged() -> Charged {
    let own = own();
    let elsewhere = own.elsewhere.now(&TOLD.elsewhere).max(0) as u64;
    Charged {
        arena: own.arena.now(&TOLD.arena).max(0) as u64,
        elsewhere: elsewhere + beside::charged_bytes(),
    }
}

/// Of what counts against the limit, that which does not go by itself: all but what is retired, and
/// exactly, with what no thread has told. Under a limit of some hundred kilobytes either makes up
/// for whatever may be evicted.
pub(crate) fn lasting_bytes() -> u64 {
    let in_use = in_use();
    in_use.live_bytes + in_use.buffer_bytes + beside::charged_bytes()
}

/// What is charged, with whole slabs of the arena for the blocks in them: what cannot be given
/// back to the kernel now. As exact as [`charged_bytes`], and as cheap.
pub(crate) fn physical_bytes() -> u64 {
    let elsewhere = own().elsewhere.now(&TOLD.elsewhere).max(0) as u64;
    elsewhere + beside::charged_bytes() + slab_bytes()
}

/// What is charged of the arena, as exact as [`charged_bytes`].
pub(crate) fn arena_bytes_now() -> u64 {
    own().arena.now(&TOLD.arena).max(0) as u64
}

/// What slabs with blocks take.
pub(crate) fn slab_bytes() -> u64 {
    (arena::slabs_in_use() * arena::SLAB_BYTES) as u64
}

/// Counts memory that is not a [`Block`] (segments, documents) as live.
pub(crate) fn count_live(bytes: i64) {
    own().elsewhere.add(bytes, &TOLD.elsewhere);
}

/// Counts memory that is not a [`Block`], and was not counted before, as retired; a negative number
/// takes off what is freed.
pub(crate) fn count_as_retired(bytes: i64) {
    own().change(|own| {
        add(&own.retired_bytes, bytes);
        count_live(bytes);
    });
}

/// What somebody's long buffers take: charged against the limit as soon as it is said, until that
/// is taken back or this is dropped. What is short, or all take always, need not be said.
#[derive(Debug, Default)]
pub struct LongBuffers {
    bytes: usize,
}

impl LongBuffers {
    /// What is charged now.
    #[inline]
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Charges so many bytes, in the place of those before.
    #[inline]
    pub fn charge(&mut self, bytes: usize) {
        if bytes != self.bytes {
            self.change(bytes);
        }
    }

    #[cold]
    fn change(&mut self, bytes: usize) {
        let more = bytes as i64 - self.bytes as i64;
        self.bytes = bytes;
        own().change(|own| {
            add(&own.buffer_bytes, more);
            own.elsewhere.add(more, &TOLD.elsewhere);
        });
    }
}

impl Drop for LongBuffers {
    fn drop(&mut self) {
        self.charge(0);
    }
}

/// Counts memory as retired that was live.
#[inline(always)]
pub(crate) fn count_retired(bytes: i64) {
    add(&own().retired_bytes, bytes);
}

impl Part {
    const fn new() -> Part {
        Part {
            bytes: AtomicI64::new(0),
            told_bytes: AtomicI64::new(0),
        }
    }

    /// Counts bytes as allocated; fewer than none as freed.
    fn add(&self, bytes: i64, told: &AtomicI64) {
        let sum = add(&self.bytes, bytes);
        let untold = sum.wrapping_sub(self.told_bytes.load(Ordering::Relaxed));
        if !(-STEP_BYTES + 1..STEP_BYTES).contains(&untold) {
            self.tell(sum, untold, told);
        }
    }

    #[cold]
    fn tell(&self, sum: i64, untold: i64, told: &AtomicI64) {
        self.told_bytes.store(sum, Ordering::Relaxed);
        told.fetch_add(untold, Ordering::Relaxed);
    }

    /// That of all threads, with what this one, whose part it is, has not told.
    fn now(&self, told: &AtomicI64) -> i64 {
        let relaxed = Ordering::Relaxed;
        let untold = self.bytes.load(relaxed) - self.told_bytes.load(relaxed);
        told.load(relaxed) + untold
    }
}

#[cfg(test)]
thread_local! {
    static LIVE_OF_OTHERS: std::cell::Cell<i64> = const { std::cell::Cell::new(0) };
}

/// What this thread alone has counted, for tests that run beside others: live, then retired.
#[cfg(test)]
pub(crate) fn counted_here() -> (i64, i64) {
    let [arena, elsewhere, retired, buffers] = own().look();
    let live = arena + elsewhere - retired - buffers;
    (live - LIVE_OF_OTHERS.get(), retired)
}

/// Frees what whichever thread has retired: [`counted_here`] leaves it out.
#[inline(always)]
pub(crate) fn free_for_others(free: impl FnOnce()) {
    #[cfg(test)]
    let (before, _) = counted_here();
    free();
    #[cfg(test)]
    LIVE_OF_OTHERS.set(LIVE_OF_OTHERS.get() + counted_here().0 - before);
}

/// Invariant: only the counter's own thread writes it, so a load and a store suffice.
fn add(counter: &AtomicI64, bytes: i64) -> i64 {
    let sum = counter.load(Ordering::Relaxed).wrapping_add(bytes);
    counter.store(sum, Ordering::Relaxed);
    sum
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    #[test]
    fn size_classes_are_those_of_the_allocators() {
        let known = [(1, 32), (64, 64), (65, 72), (132, 136), (8193, 10240)];
        for (asked, class) in known.into_iter().chain([(10241, 12288), (16385, 20480)]) {
            assert_eq!(usable_bytes(asked), class, "{asked}");
        }
        assert_eq!(class_bytes(132, Mobility::Movable), 132);
    }

    #[test]
    fn what_is_told_and_what_is_not_make_all() {
        let (part, told) = (Part::new(), AtomicI64::new(0));
        let mut all = 0;
        for bytes in [
            100,
            -100,
            STEP_BYTES - 1,
            1,
            -5,
            3 * STEP_BYTES,
            -4 * STEP_BYTES,
        ] {
            part.add(bytes, &told);
            all += bytes;
            assert_eq!(part.bytes.load(Ordering::Relaxed), all);
            assert_eq!(part.now(&told), all);
            let untold = all - told.load(Ordering::Relaxed);
            assert!(untold.abs() < STEP_BYTES, "{untold}");
        }
    }

    #[test]
    fn what_is_freed_goes_from_all_sums_at_once() {
        static COUNTERS: Counters = Counters::new();
        static IS_OVER: AtomicBool = AtomicBool::new(false);
        let freeing = std::thread::spawn(|| {
            while !IS_OVER.load(Ordering::Relaxed) {
                for bytes in [64, -64] {
                    COUNTERS.change(|own| {
                        add(&own.retired_bytes, bytes);
                        add(&own.arena.bytes, bytes);
                    });
                }
            }
        });
        // What a look gives that was not settled, since the thread does not run, may be torn.
        let mut settled = 0;
        while COUNTERS.changes.load(Ordering::Relaxed) < 1_000_000 || settled < 1_000 {
            let ([arena, elsewhere, retired, _], is_settled) = COUNTERS.look_once();
            assert!(
                !is_settled || arena + elsewhere == retired,
                "nothing is live"
            );
            settled += u32::from(is_settled);
        }
        IS_OVER.store(true, Ordering::Relaxed);
        freeing.join().expect("it counts");
    }

    #[test]
    fn long_buffers_are_charged_while_they_are_there_and_are_not_the_engines() {
        let elsewhere = || own().elsewhere.bytes.load(Ordering::Relaxed);
        let of_buffers = || own().buffer_bytes.load(Ordering::Relaxed);
        let (engines, before) = (counted_here(), elsewhere());
        let mut buffers = LongBuffers::default();
        for bytes in [5_000, 100, 700_000] {
            buffers.charge(bytes as usize);
            assert_eq!((elsewhere() - before, of_buffers()), (bytes, bytes));
            assert_eq!(counted_here(), engines);
        }
        drop(buffers);
        assert_eq!((elsewhere(), of_buffers()), (before, 0));
    }

    #[test]
    fn a_block_counts_while_it_lives() {
        let before = counted_here().0;
        let block = Block::allocate(100);
        assert_eq!(counted_here().0 - before, 104);
        // SAFETY: nobody else knows the block.
        unsafe { block.free() };
        assert_eq!(counted_here().0, before);
    }
}
