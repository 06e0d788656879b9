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
    fn class(&self) -> usize {
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
        self.class.store(class as u8, Ordering::Relaxed);
        let is_movable = u8::from(mobility == Mobility::Movable);
        self.is_movable.store(is_movable, Ordering::Relaxed);
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

    /// Fetches what [`Slab::give`] will change. Both are changed by locked instructions, of which
    /// neither would begin before the one before it had its line.
    pub(super) fn prefetch(&self, slot: usize) {
        prefetch((&raw const self.state).addr());
        prefetch((&raw const self.free[slot / 64]).addr());
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

    /// Puts a slab that nobody holds on its stack, unless somebody else does.
    fn hold_and_push(&self, region: &Region, index: u32) {
        let state = self.state.fetch_or(HELD, Ordering::AcqRel);
        if state & HELD == 0 {
            stack::of(self.class(), self.mobility()).push(region, index);
        }
    }
}

/// What is to be known before a class's slabs are looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Evacuation {
    /// Slabs are emptied when the free slots of a class make up so many of its slabs, and ...
    pub(crate) spare_slabs_min: usize,
    /// ... one slab in so many of those that are not full.
    pub(crate) spare_part: usize,
}

/// Puts a class's slabs in order: empty ones go to the pool, and the densest come to the top of
/// the stack. With `evacuation`, the sparsest are set aside for emptying as far as the free slots
/// of the others can take what is in them; those set aside, for [`end_evacuation`].
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
        Some(evacuation) => sparse(&held, classes::class(class).slots as i32, evacuation),
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

/// How many of the slabs, the sparsest first, the others can take in, with some room left for
/// those who allocate meanwhile.
fn sparse(held: &[(i32, u32)], slots: i32, evacuation: Evacuation) -> usize {
    let free: i32 = held.iter().map(|&(count, _)| count).sum();
    let spare = (free / slots) as usize;
    let wanted = evacuation
        .spare_slabs_min
        .max(held.len() / evacuation.spare_part);
    // Each takes its own free slots away and needs room for the rest: a slab's worth of slots.
    match spare < wanted {
        true => 0,
        false => spare - wanted / 2,
    }
}

/// Ends the emptying of slabs: of which nothing is left, go to the pool; the others back on their
/// stacks. How many were emptied.
pub(crate) fn end_evacuation(slabs: &[u32]) -> usize {
    let Some(region) = region() else { return 0 };
    let mut emptied = 0;
    for &index in slabs {
        region.evacuated.clear(index);
        let slab = region.slab(index);
        if slab.is_empty() {
            region.put(index);
            emptied += 1;
        } else {
            slab.let_go(region, index);
        }
    }
    emptied
}

/// Whether nothing is left in any of these slabs.
pub(crate) fn are_empty(slabs: &[u32]) -> bool {
    region().is_none_or(|region| slabs.iter().all(|&index| region.slab(index).is_empty()))
}
