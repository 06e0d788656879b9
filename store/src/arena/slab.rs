//! A slab's record: which slots are free, and who holds the slab.

use std::sync::atomic::{AtomicI32, AtomicU8, AtomicU32, AtomicU64, Ordering};

use super::classes::{self, CLASSES};
use super::region::{Region, SLAB_BYTES, region};
use super::{MOBILITIES, Mobility, stack};
use crate::table::prefetch;

/// Words of bits in a record: enough for the shortest slots.
const WORDS: usize = SLAB_BYTES / 32 / 64;

/// On a stack, in somebody's hands, or being emptied.
const HELD: i32 = 1;
/// One free slot in the state. The count stands above the flags and may be below zero for a
/// moment, when a bit was taken before the thread that set it has counted it.
const ONE: i32 = 1 << COUNT_SHIFT;
const COUNT_SHIFT: u32 = 8;

/// The record of a slab; all zero is that of one that was never used.
#[repr(C, align(16))]
pub(super) struct Slab {
    state: AtomicI32,
    /// Below it on its stack: an index plus one.
    pub(super) next: AtomicU32,
    class: AtomicU8,
    is_movable: AtomicU8,
    free: [AtomicU64; WORDS],
}

const _: () = assert!(size_of::<Slab>() == 16 + WORDS * 8);

impl Slab {
    pub(super) fn class(&self) -> usize {
        usize::from(self.class.load(Ordering::Relaxed))
    }

    fn mobility(&self) -> Mobility {
        match self.is_movable.load(Ordering::Relaxed) {
            0 => Mobility::Fixed,
            _ => Mobility::Movable,
        }
    }

    /// Makes a slab of the pool one of a class, wholly free and held by the caller.
    pub(super) fn begin(&self, class: usize, mobility: Mobility) {
        // One that was never used is not held yet; who sees it movable must see it held too.
        self.state.store(HELD, Ordering::Relaxed);
        self.class.store(class as u8, Ordering::Relaxed);
        let is_movable = u8::from(mobility == Mobility::Movable);
        self.is_movable.store(is_movable, Ordering::Release);
        let slots = classes::class(class).slots;
        for (at, word) in self.free.iter().enumerate() {
            let bits = match slots.saturating_sub(at as u32 * 64) {
                0 => 0,
                left @ 1..64 => (1 << left) - 1,
                _ => u64::MAX,
            };
            word.store(bits, Ordering::Relaxed);
        }
        self.state
            .store((slots as i32 * ONE) | HELD, Ordering::Release);
    }

    /// How many slots are free at least.
    fn count(&self) -> i32 {
        self.state.load(Ordering::Acquire) >> COUNT_SHIFT
    }

    fn is_empty(&self) -> bool {
        self.count() == classes::class(self.class()).slots as i32
    }

    /// Takes some free slots out of a slab the caller holds; how many.
    pub(super) fn take(&self, slots: &mut [u16]) -> usize {
        let mut taken = 0;
        for (at, word) in self.free.iter().enumerate() {
            let bits = word.load(Ordering::Relaxed);
            if bits == 0 || taken == slots.len() {
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
        self.state.fetch_sub(taken as i32 * ONE, Ordering::AcqRel);
        taken
    }

    /// Whether a slot was free a moment ago.
    pub(super) fn is_free(&self, slot: usize) -> bool {
        self.free[slot / 64].load(Ordering::Acquire) >> (slot % 64) & 1 != 0
    }

    /// Fetches what [`Slab::give`] will change. Both are changed by locked instructions, of which
    /// neither would begin before the one before it had its line.
    pub(super) fn prefetch(&self, slot: usize) {
        prefetch((&raw const self.state).addr());
        prefetch((&raw const self.free[slot / 64]).addr());
    }

    /// Sets the slot free at an offset.
    pub(super) fn give_at(&self, region: &Region, index: u32, offset: usize) {
        self.give(region, index, classes::slot_at(self.class(), offset));
    }

    /// Sets a slot free.
    pub(super) fn give(&self, region: &Region, index: u32, slot: usize) {
        let bit = 1 << (slot % 64);
        let before = self.free[slot / 64].fetch_or(bit, Ordering::Release);
        debug_assert_eq!(before & bit, 0, "a block is freed once");
        let state = self.state.fetch_add(ONE, Ordering::AcqRel);
        let worthwhile = classes::class(self.class()).worthwhile as i32;
        if state & HELD == 0 && (state >> COUNT_SHIFT) + 1 >= worthwhile {
            self.hold_and_push(region, index);
        }
    }

    /// Lets go of a slab that the caller holds.
    pub(super) fn let_go(&self, region: &Region, index: u32) {
        let worthwhile = classes::class(self.class()).worthwhile as i32;
        if self.count() >= worthwhile {
            stack::of(self.class(), self.mobility()).push(region, index);
            return;
        }
        let state = self.state.fetch_and(!HELD, Ordering::AcqRel);
        // Those who gave slots back meanwhile saw it held.
        if state >> COUNT_SHIFT >= worthwhile {
            self.hold_and_push(region, index);
        }
    }

    /// Whether the caller holds it from now on: it has entries, and nobody held it.
    fn seize(&self) -> bool {
        // Acquire: with `begin`, which makes it movable after it is held.
        self.is_movable.load(Ordering::Acquire) != 0
            && self.state.load(Ordering::Relaxed) & HELD == 0
            && self.state.fetch_or(HELD, Ordering::AcqRel) & HELD == 0
    }

    /// Puts a slab that nobody holds on its stack, unless somebody else does.
    fn hold_and_push(&self, region: &Region, index: u32) {
        let state = self.state.fetch_or(HELD, Ordering::AcqRel);
        if state & HELD == 0 {
            stack::of(self.class(), self.mobility()).push(region, index);
        }
    }
}

/// How much of a class is to be emptied.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Evacuation {
    /// Slabs are emptied when the free slots of a class make up so many of its slabs, and ...
    pub(crate) spare_slabs_min: usize,
    /// ... one slab in so many of those that are not full.
    pub(crate) spare_part: usize,
    /// One slab in so many of those that are not full is emptied in any case, since a part of what
    /// is in it goes for good.
    pub(crate) part_min: Option<usize>,
    /// No more than so many.
    pub(crate) slabs_max: usize,
}

/// Puts a class's slabs in order: empty ones go to the pool, and the densest come to the top of
/// the stack. With `evacuation`, some of the sparsest are set aside for emptying; those, for
/// [`end_evacuation`].
pub(crate) fn survey(class: usize, mobility: Mobility, evacuation: Option<Evacuation>) -> Vec<u32> {
    debug_assert!(class < CLASSES && MOBILITIES.contains(&mobility));
    let Some(region) = region() else {
        return Vec::new();
    };
    let stack = stack::of(class, mobility);
    let mut held = Vec::new();
    for index in stack.pop_all(region) {
        let slab = region.slab(index);
        match slab.is_empty() {
            true => region.put(index),
            false => held.push((slab.count(), index)),
        }
    }
    // The sparsest first, and of those equally sparse the one with the highest address.
    held.sort_unstable_by(|one, other| other.cmp(one));
    let evacuated = match evacuation {
        Some(evacuation) => to_empty(&held, classes::class(class).slots as i32, evacuation),
        None => 0,
    };
    let (sparse, dense) = held.split_at(evacuated);
    for &(_, index) in dense {
        stack.push(region, index);
    }
    let sparse: Vec<u32> = sparse.iter().map(|&(_, index)| index).collect();
    for &index in &sparse {
        region.evacuated.set(index);
    }
    sparse
}

/// How many of the slabs, the sparsest first: as many as the free slots of the others can take
/// in, with some room left for those who allocate meanwhile.
fn to_empty(held: &[(i32, u32)], slots: i32, evacuation: Evacuation) -> usize {
    let free: i32 = held.iter().map(|&(count, _)| count).sum();
    let spare = (free / slots) as usize;
    let wanted = evacuation
        .spare_slabs_min
        .max(held.len() / evacuation.spare_part);
    // Each takes its own free slots away and needs room for the rest: a slab's worth of slots.
    let with_room = match spare < wanted {
        true => 0,
        false => spare - wanted / 2,
    };
    let least = evacuation
        .part_min
        .map_or(0, |part| held.len().div_ceil(part));
    with_room.max(least).min(evacuation.slabs_max)
}

/// Sets full slabs with entries aside for emptying, at most `slabs_max`, in the order of their
/// addresses from `next` on and around.
pub(crate) fn seize(next: &mut u32, slabs_max: usize) -> Vec<u32> {
    const LOOKS_MAX: u32 = 8192;
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
            region.put(index);
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
        region.slab(index).let_go(region, index);
    }
}
