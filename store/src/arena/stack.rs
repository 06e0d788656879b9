//! Stacks of slabs that have free slots.
//!
//! R. K. Treiber's stack (IBM RJ 5118, 1986) over indexes: the links stand in the slabs' records,
//! which are never unmapped, and a tag beside the head changes with every change, so that a head
//! that went and came back is told apart.

#[cfg(not(any(mayfly_loom, mayfly_shuttle)))]
use crossbeam_utils::CachePadded;

#[cfg(not(any(mayfly_loom, mayfly_shuttle)))]
use super::Mobility;
use super::region::Region;
use crate::sync::atomic::{AtomicU64, Ordering};

/// A tag in the upper half, an index plus one in the lower; 0 there: nothing.
#[cfg_attr(any(mayfly_loom, mayfly_shuttle), derive(Default))]
pub(super) struct Stack(AtomicU64);

#[cfg(any(mayfly_loom, mayfly_shuttle))]
pub(super) use super::world::stack as of;

#[cfg(not(any(mayfly_loom, mayfly_shuttle)))]
static STACKS: [[CachePadded<Stack>; super::CLASSES]; super::MOBILITIES.len()] =
    [const { [const { CachePadded::new(Stack(AtomicU64::new(0))) }; super::CLASSES] }; 2];

/// The stack of a class.
#[cfg(not(any(mayfly_loom, mayfly_shuttle)))]
pub(super) fn of(class: usize, mobility: Mobility) -> &'static Stack {
    &STACKS[mobility as usize][class]
}

impl Stack {
    /// Puts a slab on top. The caller holds it, and lets go of it.
    pub(super) fn push(&self, region: &'static Region, index: u32) {
        self.push_all(region, index, index);
    }

    /// Whether nothing was on it a moment ago.
    pub(super) fn is_empty(&self) -> bool {
        self.0.load(Ordering::Relaxed) as u32 == 0
    }

    /// Takes the slab on top, which the caller holds from then on.
    pub(super) fn pop(&self, region: &'static Region) -> Option<u32> {
        let mut head = self.0.load(Ordering::Acquire);
        loop {
            let index = (head as u32).checked_sub(1)?;
            let next = region.slab(index).next().load(Ordering::Relaxed);
            match self.swap(head, next) {
                Ok(()) => return Some(index),
                Err(now) => head = now,
            }
        }
    }

    /// Takes all slabs: the top one, from which on each leads to the one below it ([`below`]). The
    /// caller holds them from then on.
    pub(super) fn take_all(&self) -> Option<u32> {
        let mut head = self.0.load(Ordering::Acquire);
        while head as u32 != 0
            && let Err(now) = self.swap(head, 0)
        {
            head = now;
        }
        (head as u32).checked_sub(1)
    }

    /// Puts slabs on top that lead from `top` down to `bottom`. The caller holds them, and lets go
    /// of them.
    pub(super) fn push_all(&self, region: &'static Region, top: u32, bottom: u32) {
        let mut head = self.0.load(Ordering::Relaxed);
        loop {
            region
                .slab(bottom)
                .next()
                .store(head as u32, Ordering::Relaxed);
            match self.swap(head, top + 1) {
                Ok(()) => return,
                Err(now) => head = now,
            }
        }
    }

    fn swap(&self, head: u64, index: u32) -> Result<(), u64> {
        let tag = (head >> 32).wrapping_add(1) << 32;
        self.0
            .compare_exchange_weak(
                head,
                tag | u64::from(index),
                Ordering::AcqRel,
                Ordering::Acquire,
            )
            .map(drop)
    }
}

/// What is below a slab of a stack that was taken as a whole.
pub(super) fn below(region: &'static Region, index: u32) -> Option<u32> {
    region
        .slab(index)
        .next()
        .load(Ordering::Relaxed)
        .checked_sub(1)
}
