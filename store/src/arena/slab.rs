//! A slab's record: which slots are free, and who holds the slab.
//!
//! Records are looked at from everywhere and take memory for each slab, so that only as much of
//! one is touched as its slots need: the bits of the first 128 stand beside the state, those of
//! 512 more in a line of another array, and the rest in a third. A pair of slabs has the record of
//! its first, and bits in both.

use std::sync::atomic::AtomicU32 as Count;

use super::classes::{self, CLASSES};
use super::region::{Region, SLAB_BYTES, Units, region, zeroed};
use super::{MOBILITIES, Mobility, stack};
use crate::sync::IS_MODEL;
use crate::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};
use crate::table::prefetch;

/// Words of bits for the shortest slots.
pub(super) const WORDS: usize = SLAB_BYTES / 32 / 64;
/// How many of them stand in the head, ...
const HEAD_WORDS: usize = 2;
/// ... and how many in the line.
const LINE_WORDS: usize = 8;
const REST_WORDS: usize = WORDS - HEAD_WORDS - LINE_WORDS;

/// On a stack, in somebody's hands, or being emptied.
const HELD: i32 = 1;
/// One free slot in the state. The count stands above the flags and may be below zero for a
/// moment, when a bit was taken before the thread that set it has counted it.
const ONE: i32 = 1 << COUNT_SHIFT;
const COUNT_SHIFT: u32 = 8;

/// What a slab was begun as, in one word: who frees a block looks at all of it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Shape(u32);

impl Shape {
    const MOVABLE: u32 = 1 << 16;
    const PAIR: u32 = 1 << 17;
    /// The second of a pair, whose state is in the first.
    const SECOND: Shape = Shape(1 << 18);

    fn new(class: usize, mobility: Mobility, units: Units) -> Shape {
        let movable = match mobility {
            Mobility::Fixed => 0,
            Mobility::Movable => Shape::MOVABLE,
        };
        let pair = match units {
            Units::One => 0,
            Units::Two => Shape::PAIR,
        };
        Shape(class as u32 | movable | pair)
    }

    fn class(self) -> usize {
        usize::from(self.0 as u16)
    }

    fn mobility(self) -> Mobility {
        match self.0 & Shape::MOVABLE {
            0 => Mobility::Fixed,
            _ => Mobility::Movable,
        }
    }

    fn units(self) -> Units {
        match self.0 & Shape::PAIR {
            0 => Units::One,
            _ => Units::Two,
        }
    }
}

const _: () = assert!(CLASSES < 1 << 16);

/// What is known of a slab; all zero for one that was never used.
#[cfg_attr(any(mayfly_loom, mayfly_shuttle), derive(Default))]
#[repr(C, align(32))]
struct Head {
    state: AtomicI32,
    /// Below it on its stack: an index plus one.
    next: AtomicU32,
    /// A [`Shape`].
    shape: AtomicU32,
    free: [AtomicU64; HEAD_WORDS],
}

const _: () = assert!(IS_MODEL || size_of::<Head>() == 32);

#[cfg_attr(any(mayfly_loom, mayfly_shuttle), derive(Default))]
#[repr(C, align(64))]
struct Line([AtomicU64; LINE_WORDS]);

/// The records of all slabs.
pub(super) struct Records {
    heads: &'static [Head],
    lines: &'static [Line],
    rests: &'static [[AtomicU64; REST_WORDS]],
    /// Lines and rests below these numbers may have been used.
    lines_end: AtomicU32,
    rests_end: AtomicU32,
}

impl Records {
    /// Those of so many slabs.
    pub(super) fn zeroed(slabs: usize) -> Option<Records> {
        Some(Records {
            heads: zeroed(slabs)?,
            lines: zeroed(slabs)?,
            rests: zeroed(slabs)?,
            lines_end: AtomicU32::new(0),
            rests_end: AtomicU32::new(0),
        })
    }

    pub(super) fn len(&self) -> usize {
        self.heads.len()
    }

    /// What the records of the first `slabs` take, or a little less.
    pub(super) fn bytes(&self, slabs: usize) -> u64 {
        let ends = [&self.lines_end, &self.rests_end].map(|end| end.load(Ordering::Relaxed));
        let beside = ends[0] as usize * size_of::<Line>() + ends[1] as usize * REST_WORDS * 8;
        (slabs * size_of::<Head>() + beside) as u64
    }

    /// Fetches what setting a slot of a class free will change. Both are changed by locked
    /// instructions, of which neither would begin before the one before it had its line.
    pub(super) fn prefetch(&self, index: u32, class: usize, slot: usize) {
        let index = index as usize;
        // Those of a pair stand in one line.
        prefetch((&raw const self.heads[index]).addr());
        match (slot / 64).checked_sub(HEAD_WORDS) {
            _ if classes::class(class).is_paired() => {}
            None => {}
            Some(at @ 0..LINE_WORDS) => prefetch((&raw const self.lines[index].0[at]).addr()),
            Some(at) => prefetch((&raw const self.rests[index][at - LINE_WORDS]).addr()),
        }
    }
}

/// A slab, or a pair of them.
#[derive(Clone, Copy)]
pub(super) struct Slab {
    region: &'static Region,
    index: u32,
}

/// How many slabs a class has, by which it is only judged how new ones are cut.
pub(super) fn slabs_of(class: usize, mobility: Mobility) -> &'static Count {
    static SLABS: [[Count; CLASSES]; MOBILITIES.len()] =
        [const { [const { Count::new(0) }; CLASSES] }; 2];
    &SLABS[mobility as usize][class]
}

impl Slab {
    /// That of an index, which is no pair's second.
    pub(super) fn new(region: &'static Region, index: u32) -> Slab {
        Slab { region, index }
    }

    fn head(self) -> &'static Head {
        &self.region.records.heads[self.index as usize]
    }

    /// Below it on its stack: an index plus one.
    pub(super) fn next(self) -> &'static AtomicU32 {
        &self.head().next
    }

    pub(super) fn index(self) -> u32 {
        self.index
    }

    fn shape(self) -> Shape {
        Shape(self.head().shape.load(Ordering::Relaxed))
    }

    pub(super) fn class(self) -> usize {
        self.shape().class()
    }

    fn units(self) -> Units {
        self.shape().units()
    }

    pub(super) fn slots(self) -> usize {
        let shape = self.shape();
        classes::class(shape.class()).slots(shape.units())
    }

    fn mobility(self) -> Mobility {
        self.shape().mobility()
    }

    /// The word with the bits of slots from 64 times `at` on.
    fn word(self, at: usize) -> &'static AtomicU64 {
        self.word_in(self.shape(), at)
    }

    /// As [`Slab::word`], where the shape is known.
    #[inline(always)]
    fn word_in(self, shape: Shape, at: usize) -> &'static AtomicU64 {
        let (records, index) = (&self.region.records, self.index as usize);
        let Some(behind) = at.checked_sub(HEAD_WORDS) else {
            return &records.heads[index].free[at];
        };
        if shape.units() == Units::Two {
            return &records.heads[index + 1].free[behind];
        }
        match behind {
            0..LINE_WORDS => &records.lines[index].0[behind],
            _ => &records.rests[index][behind - LINE_WORDS],
        }
    }

    /// Makes a slab of the pool, or two, one of a class, wholly free and held by the caller.
    pub(super) fn begin(self, class: usize, mobility: Mobility, units: Units) {
        let head = self.head();
        // One that was never used is not held yet; who sees it movable must see it held too.
        head.state.store(HELD, Ordering::Relaxed);
        if units == Units::Two {
            let second = &self.region.records.heads[self.index as usize + 1];
            second.state.store(HELD, Ordering::Relaxed);
            second.shape.store(Shape::SECOND.0, Ordering::Relaxed);
        }
        slabs_of(class, mobility).fetch_add(units as u32, Ordering::Relaxed);
        let shape = Shape::new(class, mobility, units);
        head.shape.store(shape.0, Ordering::Release);
        let slots = self.slots();
        for at in 0..slots.div_ceil(64) {
            let bits = match slots - at * 64 {
                left @ 1..64 => (1 << left) - 1,
                _ => u64::MAX,
            };
            self.word(at).store(bits, Ordering::Relaxed);
        }
        self.note_words(slots.div_ceil(64), units);
        head.state
            .store((slots as i32 * ONE) | HELD, Ordering::Release);
    }

    /// Notes which parts of the record are in use.
    fn note_words(self, words: usize, units: Units) {
        let records = &self.region.records;
        if units == Units::One && words > HEAD_WORDS {
            let end = self.index + 1;
            records.lines_end.fetch_max(end, Ordering::Relaxed);
            if words > HEAD_WORDS + LINE_WORDS {
                records.rests_end.fetch_max(end, Ordering::Relaxed);
            }
        }
    }

    /// How many slots are free at least.
    pub(super) fn count(self) -> i32 {
        self.head().state.load(Ordering::Acquire) >> COUNT_SHIFT
    }

    pub(super) fn is_empty(self) -> bool {
        self.count() == self.slots() as i32
    }

    /// Puts it into the pool: the caller holds it, and it is empty.
    pub(super) fn put(self) {
        slabs_of(self.class(), self.mobility()).fetch_sub(self.units() as u32, Ordering::Relaxed);
        (0..self.units() as u32).for_each(|unit| self.region.put(self.index + unit));
    }

    /// Takes some free slots out of a slab the caller holds; how many.
    pub(super) fn take(self, slots: &mut [u16]) -> usize {
        let mut taken = 0;
        for at in 0..self.slots().div_ceil(64) {
            if taken == slots.len() {
                break;
            }
            let word = self.word(at);
            let bits = word.load(Ordering::Relaxed);
            if bits == 0 {
                continue;
            }
            let mut left = bits;
            while left != 0 && taken < slots.len() {
                slots[taken] = (at * 64) as u16 + left.trailing_zeros() as u16;
                left &= left - 1;
                taken += 1;
            }
            // Bits only come while others free; those seen are there, since the slab is held.
            // Acquire: what freed a slot is over before the slot is used again.
            word.fetch_and(!(bits ^ left), Ordering::Acquire);
        }
        self.head()
            .state
            .fetch_sub(taken as i32 * ONE, Ordering::AcqRel);
        taken
    }

    /// Whether a slot was free a moment ago.
    pub(super) fn is_free(self, slot: usize) -> bool {
        self.word(slot / 64).load(Ordering::Acquire) >> (slot % 64) & 1 != 0
    }

    /// Counts slots that were set free.
    #[inline]
    pub(super) fn count_free(self, slots: i32) {
        let state = self.head().state.fetch_add(slots * ONE, Ordering::AcqRel);
        if state & HELD == 0 && (state >> COUNT_SHIFT) + slots >= self.worthwhile() {
            self.hold_and_push();
        }
    }

    /// With so many free slots it is on its stack.
    fn worthwhile(self) -> i32 {
        classes::worthwhile(self.slots()) as i32
    }

    fn push(self) {
        stack::of(self.class(), self.mobility()).push(self.region, self.index);
    }

    /// Lets go of a slab that the caller holds. What is free of it is for the next taker, however
    /// little: in slabs that fill, nobody would bring it back to what is worth a take.
    pub(super) fn let_go(self) {
        if self.count() > 0 {
            return self.push();
        }
        let state = self.head().state.fetch_and(!HELD, Ordering::AcqRel);
        // Those who gave slots back meanwhile saw it held.
        if state >> COUNT_SHIFT >= self.worthwhile() {
            self.hold_and_push();
        }
    }

    /// Whether the caller holds it from now on: it has entries, and nobody held it.
    fn seize(self) -> bool {
        let head = self.head();
        // Acquire: with `begin`, which makes it movable after it is held.
        let is_movable =
            || Shape(head.shape.load(Ordering::Acquire)).mobility() == Mobility::Movable;
        let is_held = is_movable()
            && head.state.load(Ordering::Relaxed) & HELD == 0
            && head.state.fetch_or(HELD, Ordering::AcqRel) & HELD == 0;
        // It may have begun anew between the two looks. What it is now it stays.
        if is_held && !is_movable() {
            self.let_go();
            return false;
        }
        is_held
    }

    /// Puts a slab that nobody holds on its stack, unless somebody else does.
    #[cold]
    fn hold_and_push(self) {
        let state = self.head().state.fetch_or(HELD, Ordering::AcqRel);
        if state & HELD == 0 {
            self.push();
        }
    }
}

/// A slot of a slab, or of a pair.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) slab: Slab,
    shape: Shape,
    pub(super) slot: usize,
}

impl Place {
    /// That of a block: at so many bytes in the slab of an index, which may be a pair's second.
    #[inline]
    pub(super) fn of(region: &'static Region, index: u32, offset: usize) -> Place {
        let slab = Slab::new(region, index);
        match slab.shape() {
            Shape::SECOND => Place::of_second(region, index, offset),
            shape => slab.place(shape, offset),
        }
    }

    #[cold]
    fn of_second(region: &'static Region, index: u32, offset: usize) -> Place {
        let first = Slab::new(region, index - 1);
        first.place(first.shape(), offset + SLAB_BYTES)
    }

    /// Sets it free, which is to be counted ([`Slab::count_free`]).
    #[inline]
    pub(super) fn set_free(self) {
        let bit = 1 << (self.slot % 64);
        let word = self.slab.word_in(self.shape, self.slot / 64);
        let before = word.fetch_or(bit, Ordering::Release);
        debug_assert_eq!(before & bit, 0, "a block is freed once");
    }
}

impl Slab {
    fn place(self, shape: Shape, offset: usize) -> Place {
        Place {
            slab: self,
            shape,
            slot: classes::slot_at(shape.class(), offset),
        }
    }

    /// The slot that begins at so many bytes.
    pub(super) fn at(self, offset: usize) -> Place {
        self.place(self.shape(), offset)
    }
}

/// Sets full slabs with entries aside for emptying, at most `slabs_max`, in the order of their
/// addresses from `next` on and around.
pub(crate) fn seize(next: &mut u32, slabs_max: usize) -> Vec<u32> {
    const LOOKS_MAX: u32 = 2048;
    let Some(region) = region() else {
        return Vec::new();
    };
    let end = region.end();
    let mut seized = Vec::new();
    for _ in 0..end.min(LOOKS_MAX) {
        if seized.len() >= slabs_max {
            break;
        }
        let index = if *next < end { *next } else { 0 };
        *next = index + 1;
        if region.slab(index).seize() {
            region.evacuated.set(index);
            seized.push(index);
        }
    }
    seized
}

/// Of slabs that are being emptied, puts those into the pool in which nothing is left; the others
/// stay in the list.
pub(crate) fn put_empty(slabs: &mut Vec<u32>) {
    let Some(region) = region() else {
        return slabs.clear();
    };
    slabs.retain(|&index| {
        let is_left = !region.slab(index).is_empty();
        if !is_left {
            region.evacuated.clear(index);
            region.slab(index).put();
        }
        is_left
    });
}

/// Ends the emptying of slabs: of which nothing is left, go to the pool; the others back on their
/// stacks.
pub(crate) fn end_evacuation(mut slabs: Vec<u32>) {
    put_empty(&mut slabs);
    let Some(region) = region() else { return };
    for index in slabs {
        region.evacuated.clear(index);
        region.slab(index).let_go();
    }
}

#[cfg(all(test, any(mayfly_loom, mayfly_shuttle)))]
impl Slab {
    pub(super) fn kind(self) -> (usize, Mobility) {
        (self.class(), self.mobility())
    }

    pub(super) fn is_pair(self) -> bool {
        self.units() == Units::Two
    }

    /// Whether somebody has it, and how many slots are free at least.
    pub(super) fn state(self) -> (bool, usize) {
        let state = self.head().state.load(Ordering::Acquire);
        let free = usize::try_from(state >> COUNT_SHIFT).expect("nobody counts just now");
        (state & HELD != 0, free)
    }

    pub(super) fn is_worthwhile(self, free: usize) -> bool {
        free as i32 >= self.worthwhile()
    }
}
