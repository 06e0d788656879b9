//! A fixed piece of the table: one page of buckets, each a cache line.
//!
//! ```text
//!  header | home 0 … home 54 | overflow of home 54 | stash 0 … stash 6
//! ```
//!
//! A bucket is seven slots and a control word. A key's *home* follows from its hash; its word
//! stands in its home bucket, in the next one, or in the stash. A *position* numbers a segment's
//! slots: bucket times eight plus slot. Control words count only beside home buckets.

use std::ptr::{self, NonNull};

use super::merge::Merge;
use super::word::{Control, FROZEN, Word};
use crate::arena::Mobility;
use crate::memory::Block;
use crate::reclaim::Guard;
use crate::sync::{AtomicPtr, AtomicU64, Ordering};

/// Slots in a bucket.
pub(super) const SLOTS: usize = SHAPE.0;
/// Buckets that are some key's home.
pub(super) const HOMES: usize = SHAPE.1;
/// Buckets that take what finds no room at home.
pub(super) const STASHES: usize = SHAPE.2;

#[cfg(not(any(mayfly_loom, mayfly_shuttle)))]
const SHAPE: (usize, usize, usize) = (7, 55, 7);
/// Two slots: a key more, and the segment splits.
#[cfg(mayfly_loom)]
const SHAPE: (usize, usize, usize) = (1, 1, 0);
/// Everything there is, as small as it goes.
#[cfg(mayfly_shuttle)]
const SHAPE: (usize, usize, usize) = (1, 2, 1);

/// All of a segment's buckets.
pub(super) const BUCKETS: usize = HOMES + 1 + STASHES;
/// Slots in a segment.
pub(super) const CAPACITY: usize = BUCKETS * SLOTS;
/// From a bucket's first position to the next one's: a power of two, so that nothing is divided.
const STRIDE: usize = SLOTS.next_power_of_two();
/// All positions lie below this; not every number below is one.
const POSITIONS_END: usize = BUCKETS * STRIDE;
const FIRST_STASH: usize = HOMES + 1;
/// So many words before it is wanted what a word names is fetched: about as many as a core fetches
/// at once.
const WORDS_FORESEEN: usize = 16;
const _: () = assert!(SLOTS <= 8, "the likeliest slot is one of eight");

#[cfg(not(any(mayfly_loom, mayfly_shuttle)))]
const _: () = assert!(size_of::<Segment>() == 4096);
const _: () = assert!(
    POSITIONS_END <= 512,
    "a control word counts positions in nine bits"
);
const _: () = assert!(
    STASHES * SLOTS < 64,
    "a control word counts the stash in six bits"
);

#[repr(C, align(64))]
struct Bucket {
    slots: [AtomicU64; SLOTS],
    control: AtomicU64,
}

/// One page of the table.
#[repr(C, align(64))]
pub(super) struct Segment {
    /// How many leading bits of a place all keys here share.
    pub(super) depth: u32,
    /// Where the segment's keys have gone. Invariant: set once, when everything is frozen.
    pub(super) successors: AtomicPtr<Successors>,
    /// What the segment is frozen for; see `merge`. Nothing is frozen before this is set.
    pub(super) plan: AtomicPtr<Merge>,
    /// The merge that made the segment, if one did. Invariant: retired with the segment.
    pub(super) origin: *const Merge,
    /// No version a key of this segment ever had before it was removed is higher.
    pub(super) removed_version_max: AtomicU64,
    buckets: [Bucket; BUCKETS],
}

/// Some of a bucket's slots, as bits; iterates over their numbers.
#[derive(Clone, Copy)]
pub(super) struct Slots(u32);

impl Slots {
    pub(super) fn count(self) -> usize {
        self.0.count_ones() as usize
    }
}

impl Iterator for Slots {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        // The remainder tells the compiler what is known of it.
        let first = self.0.trailing_zeros() as usize % STRIDE;
        let is_any = self.0 != 0;
        self.0 &= self.0.wrapping_sub(1);
        is_any.then_some(first)
    }
}

/// The segments another one went on in.
pub(super) struct Successors {
    /// By the bit of the place behind the shared ones; both are the same after a merge.
    pub(super) by_bit: [NonNull<Segment>; 2],
}

impl Segment {
    /// An empty segment, counted as live memory.
    pub(super) fn allocate(depth: u32, removed_version_max: u64) -> NonNull<Segment> {
        Segment::allocate_merged(depth, removed_version_max, ptr::null())
    }

    /// An empty segment that a merge makes.
    pub(super) fn allocate_merged(
        depth: u32,
        removed_version_max: u64,
        origin: *const Merge,
    ) -> NonNull<Segment> {
        // A power of two bytes are aligned to lines, and all lengths where the arena is not used.
        let segment = Block::allocate(size_of::<Segment>())
            .start()
            .cast::<Segment>();
        debug_assert!(segment.is_aligned());
        let fresh = Segment {
            depth,
            successors: AtomicPtr::new(ptr::null_mut()),
            plan: AtomicPtr::new(ptr::null_mut()),
            origin,
            removed_version_max: AtomicU64::new(removed_version_max),
            buckets: std::array::from_fn(|_| Bucket {
                slots: std::array::from_fn(|_| AtomicU64::new(0)),
                control: AtomicU64::new(0),
            }),
        };
        // SAFETY: the block is ours, aligned and as long as a segment.
        unsafe { segment.write(fresh) };
        segment
    }

    /// Gives a segment's page back.
    ///
    /// # Safety
    /// It came from [`Segment::allocate`], and nobody uses or frees it afterwards.
    pub(super) unsafe fn free(segment: NonNull<Segment>) {
        // SAFETY: passed on to the caller; loom's atomics have something to drop.
        unsafe { segment.drop_in_place() };
        // SAFETY: passed on to the caller.
        let block = unsafe { Segment::block(segment) };
        // SAFETY: the segment came from `allocate`, as the caller sees to: its block is its own.
        unsafe { block.free() };
    }

    /// # Safety
    /// It came from [`Segment::allocate`] and was not freed since.
    unsafe fn block(segment: NonNull<Segment>) -> Block {
        // SAFETY: passed on to the caller.
        unsafe { Block::from_parts(segment.cast(), size_of::<Segment>(), Mobility::Fixed) }
    }

    /// The home of a key.
    pub(super) fn home_of(hash: u64) -> usize {
        ((hash & 0xFFFF_FFFF) as usize * HOMES) >> 32
    }

    /// The position of a bucket's slot.
    pub(super) fn position(bucket: usize, slot: usize) -> usize {
        debug_assert!(slot < SLOTS);
        bucket * STRIDE + slot
    }

    /// The bucket of a position.
    pub(super) fn bucket_of(position: usize) -> usize {
        position / STRIDE
    }

    /// The buckets a key of this home may be in.
    pub(super) fn buckets_of(home: usize) -> impl Iterator<Item = usize> {
        (home..home + 2).chain(Segment::stash_buckets(home))
    }

    /// The positions of a bucket.
    pub(super) fn bucket_positions(bucket: usize) -> std::ops::Range<usize> {
        bucket * STRIDE..bucket * STRIDE + SLOTS
    }

    /// The buckets of the stash in the order in which this home's keys fill them: each home
    /// begins with another one, so that most of a home's stashed keys are a cache line away.
    pub(super) fn stash_buckets(home: usize) -> impl Iterator<Item = usize> {
        (home..home + STASHES).map(|at| FIRST_STASH + at % STASHES.max(1))
    }

    /// All positions.
    pub(super) fn positions() -> impl Iterator<Item = usize> {
        (0..BUCKETS).flat_map(Segment::bucket_positions)
    }

    pub(super) fn is_in_stash(position: usize) -> bool {
        position >= FIRST_STASH * STRIDE
    }

    fn slot(&self, position: usize) -> &AtomicU64 {
        &self.buckets[position / STRIDE].slots[position % STRIDE]
    }

    pub(super) fn word(&self, position: usize) -> Word {
        Word(self.slot(position).load(Ordering::Acquire))
    }

    /// The seven words of the bucket.
    #[inline(always)]
    pub(super) fn bucket_words(&self, bucket: usize) -> [Word; SLOTS] {
        let slots = &self.buckets[bucket].slots;
        std::array::from_fn(|at| Word(slots[at].load(Ordering::Acquire)))
    }

    /// A slot with its word, which has the tag if any of the bucket's words has.
    ///
    /// Without a branch per slot: where a key stands is as good as random, and a branch that is
    /// mispredicted costs more than all seven comparisons. And without a detour by the number of
    /// the slot: who looks for a key waits for the address in the word. Words with the tag are the
    /// least when its bits are flipped in all, and of these the least is found pair by pair. (Where
    /// the tag's bits are all zero that can be one of an empty slot.)
    #[inline(always)]
    pub(super) fn likeliest(&self, bucket: usize, tag: u16) -> (usize, Word) {
        let words = self.bucket_words(bucket);
        let flipped = |slot: usize| match words.get(slot) {
            Some(word) => (slot, word.flipped(tag).0),
            None => (slot, u64::MAX),
        };
        let lesser = |one: (usize, u64), other: (usize, u64)| match other.1 < one.1 {
            true => other,
            false => one,
        };
        let of_two = |slot| lesser(flipped(slot), flipped(slot + 1));
        let of_four = |slot| lesser(of_two(slot), of_two(slot + 2));
        let (slot, word) = lesser(of_four(0), of_four(4));
        (slot, Word(word).flipped(tag))
    }

    /// Which of the bucket's slots hold a word with the tag, as bits.
    pub(super) fn tagged(&self, bucket: usize, tag: u16) -> Slots {
        self.slots_where(bucket, |word| word.has_tag(tag))
    }

    /// Which of the bucket's slots are free, as bits.
    pub(super) fn free_slots(&self, bucket: usize) -> Slots {
        self.slots_where(bucket, |word| word == Word::EMPTY)
    }

    fn slots_where(&self, bucket: usize, is_it: impl Fn(Word) -> bool) -> Slots {
        let slots = self.buckets[bucket].slots.iter().rev();
        let bits = slots.map(|slot| is_it(Word(slot.load(Ordering::Acquire))));
        Slots(bits.fold(0, |all, bit| all + all + u32::from(bit)))
    }

    /// Changes a slot if it still holds `old`.
    pub(super) fn swap_word(&self, position: usize, old: Word, new: Word) -> bool {
        self.slot(position)
            .compare_exchange(old.0, new.0, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// Fills a slot of a segment nobody else knows yet.
    pub(super) fn fill(&self, position: usize, word: Word) {
        self.slot(position).store(word.0, Ordering::Relaxed);
    }

    pub(super) fn control(&self, home: usize) -> Control {
        Control(self.buckets[home].control.load(Ordering::Acquire))
    }

    /// Changes a control word if it still is `old`.
    pub(super) fn swap_control(&self, home: usize, old: Control, new: Control) -> bool {
        self.buckets[home]
            .control
            .compare_exchange(old.0, new.0, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// Sets a control word of a segment nobody else knows yet.
    pub(super) fn fill_control(&self, home: usize, control: Control) {
        self.buckets[home]
            .control
            .store(control.0, Ordering::Relaxed);
    }

    /// How many slots are taken, about.
    pub(super) fn occupied(&self) -> usize {
        Segment::positions()
            .filter(|&position| !Word(self.slot(position).load(Ordering::Relaxed)).is_empty())
            .count()
    }

    /// The words of a frozen segment that count, with their positions.
    pub(super) fn committed(&self) -> impl Iterator<Item = (usize, Word)> {
        let mut pending = [false; POSITIONS_END];
        for control in (0..HOMES).map(|home| self.control(home)) {
            if control.is_pending() {
                pending[control.position()] = true;
            }
        }
        Segment::positions()
            .map(|position| (position, self.word(position)))
            .filter(move |&(position, word)| {
                !word.is_empty() && (!word.is_tentative() || pending[position])
            })
    }

    /// As [`Segment::committed`], for who wants the hashes of what the words name: that is fetched
    /// a few words before. Were it fetched all at once, it would not stay in the nearest cache.
    pub(super) fn committed_foreseen(&self) -> impl Iterator<Item = (usize, Word)> {
        let words: Vec<_> = self.committed().collect();
        let foresee = |(_, word): &(usize, Word)| word.prefetch_start();
        words.iter().take(WORDS_FORESEEN).for_each(foresee);
        (0..words.len()).map(move |at| {
            words.get(at + WORDS_FORESEEN).into_iter().for_each(foresee);
            words[at]
        })
    }

    /// Says where the keys have gone; false if somebody else did before.
    pub(super) fn publish(&self, by_bit: [NonNull<Segment>; 2]) -> bool {
        if self.successors().is_some() {
            return false;
        }
        let successors = Box::into_raw(Box::new(Successors { by_bit }));
        let published = self.successors.compare_exchange(
            ptr::null_mut(),
            successors,
            Ordering::AcqRel,
            Ordering::Acquire,
        );
        if published.is_err() {
            // SAFETY: nobody else has seen it.
            drop(unsafe { Box::from_raw(successors) });
        }
        published.is_ok()
    }

    /// Retires a segment that no directory entry leads to any more, with what belongs to it.
    ///
    /// # Safety
    /// Called once, by whoever published the successors.
    pub(super) unsafe fn retire(&self, guard: &Guard) {
        let successors = self.successors.load(Ordering::Acquire);
        let old = Retired(NonNull::from(self), successors, self.origin.cast_mut());
        // SAFETY: it is not freed before `old` is.
        unsafe { Segment::block(old.0) }.count_retired();
        // SAFETY: passed on to the caller.
        unsafe { guard.retire_with(size_of::<Segment>(), move || old.free()) };
    }

    /// Frees the merge that made the segment, where one did. Nobody else may use the table.
    pub(super) fn free_origin(&self) {
        if !self.origin.is_null() {
            // SAFETY: the segment owns it, and is freed next.
            drop(unsafe { Box::from_raw(self.origin.cast_mut()) });
        }
    }

    /// Makes every word final. Controls first: once they are frozen no insertion commits, so
    /// that which tentative words count is settled before the slots are.
    pub(super) fn freeze(&self) {
        for bucket in &self.buckets[..HOMES] {
            let frozen = Control(0).frozen();
            bucket.control.fetch_or(frozen.0, Ordering::AcqRel);
        }
        for slot in self.buckets.iter().flat_map(|bucket| &bucket.slots) {
            slot.fetch_or(FROZEN, Ordering::AcqRel);
        }
    }

    /// Asks for the cache line of a bucket.
    pub(super) fn prefetch_bucket(&self, bucket: usize) {
        super::prefetch((&raw const self.buckets[bucket]).addr());
    }

    /// The successors, when the segment was split.
    pub(super) fn successors(&self) -> Option<&Successors> {
        // SAFETY: set once to a box that is retired together with the segment.
        unsafe { self.successors.load(Ordering::Acquire).as_ref() }
    }

    /// The successor that has the keys of `place`, when the segment was split.
    pub(super) fn successor(&self, place: u64) -> Option<NonNull<Segment>> {
        let bit = place << self.depth >> 63;
        Some(self.successors()?.by_bit[bit as usize])
    }
}

struct Retired(NonNull<Segment>, *mut Successors, *mut Merge);
// SAFETY: a retired segment is plain memory that its last owner frees.
unsafe impl Send for Retired {}

impl Retired {
    fn free(self) {
        // SAFETY: called once, when no guard can reach it.
        drop(unsafe { Box::from_raw(self.1) });
        if !self.2.is_null() {
            // SAFETY: called once; only segments that cannot be reached either refer to it.
            drop(unsafe { Box::from_raw(self.2) });
        }
        // SAFETY: called once, when no guard can reach the segment; loom's atomics have something
        // to drop.
        unsafe { self.0.drop_in_place() };
        // SAFETY: the segment came from `allocate`, as all that are retired did.
        let block = unsafe { Segment::block(self.0) };
        // SAFETY: called once, when no guard can reach the block, which was counted as retired.
        unsafe { block.free_retired() };
    }
}
