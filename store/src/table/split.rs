//! Growing: one full segment becomes two.
//!
//! Everything in the segment is frozen, so that its content is final; the words are copied to
//! the same positions of two new segments, by the next bit of their keys' places; one swap of
//! the old segment's successors publishes both. Whoever needs the segment helps, so nobody waits
//! for anybody; the work of those who come second is thrown away.
//!
//! Until the publication the frozen words are the keys' present state, afterwards the copies
//! are. A reader in the old segment looks at the successors after it saw a frozen control word
//! and before it searches: what it then finds was present at that moment.

use super::segment::{HOMES, POSITIONS, SLOTS, STASHES, Segment, Successors};
use super::word::{Occupied, Word};
use super::{Occupant, Table, place_of};
use crate::memory;
use crate::reclaim::Guard;
use crate::sync::Ordering;
use std::ptr::NonNull;

/// So many entries are fetched into the cache together.
const FETCHED_TOGETHER: usize = 32;

impl<O: Occupant> Table<O> {
    /// Splits a segment, of which `place` is one of the places, or helps to.
    pub(super) fn split(&self, segment: &Segment, place: u64, guard: &Guard) {
        segment.freeze();
        if segment.successors().is_some() {
            return;
        }
        let successors = Box::into_raw(Box::new(self.successors_of(segment)));
        let published = segment.successors.compare_exchange(
            std::ptr::null_mut(),
            successors,
            Ordering::AcqRel,
            Ordering::Acquire,
        );
        if published.is_err() {
            // SAFETY: nobody else has seen these.
            let successors = unsafe { Box::from_raw(successors) };
            for child in successors.by_bit {
                // SAFETY: as above.
                unsafe { Segment::free(child) };
            }
            return;
        }
        self.root.unlink(segment, place, guard);
        let old = Retired(NonNull::from(segment), successors);
        // SAFETY: no entry of the directory leads here any more, and only the publisher retires.
        unsafe { guard.retire_with(size_of::<Segment>(), move || old.free()) };
        memory::count_live(-(size_of::<Segment>() as i64));
        memory::count_garbage(size_of::<Segment>() as i64);
    }

    fn successors_of(&self, segment: &Segment) -> Successors {
        let floor = segment.removed_version_max.load(Ordering::Acquire);
        let by_bit = [(); 2].map(|()| Segment::allocate(segment.depth + 1, floor));
        // SAFETY: both are new and live.
        let children = by_bit.map(|child| unsafe { child.as_ref() });
        let committed = pending_positions(segment);
        let mut stashed = [[0; HOMES]; 2];
        for start in (0..POSITIONS).step_by(FETCHED_TOGETHER) {
            let positions = start..(start + FETCHED_TOGETHER).min(POSITIONS);
            positions
                .clone()
                .for_each(|position| segment.word(position).prefetch());
            for position in positions {
                let word = segment.word(position);
                if word.is_empty() || (word.is_tentative() && !committed[position]) {
                    continue;
                }
                // SAFETY: a committed word of a segment without successors, seen under a guard.
                let hash = unsafe { self.hash_of(word) };
                let bit = (place_of(hash) << segment.depth >> 63) as usize;
                children[bit].fill(position, word.thawed());
                if Segment::is_in_stash(position) {
                    stashed[bit][Segment::home_of(hash)] += 1;
                }
            }
        }
        for home in 0..HOMES {
            for (child, stashed) in children.iter().zip(&stashed) {
                child.fill_control(home, segment.control(home).succeeded(stashed[home]));
            }
        }
        Successors { by_bit }
    }

    unsafe fn hash_of(&self, word: Word) -> u64 {
        let occupied: Occupied = word.occupied();
        // SAFETY: passed on to the caller.
        unsafe { self.occupants.hash_of(occupied) }
    }
}

/// The tentative words of a frozen segment that count.
fn pending_positions(segment: &Segment) -> [bool; POSITIONS] {
    let mut committed = [false; POSITIONS];
    for control in (0..HOMES).map(|home| segment.control(home)) {
        if control.is_pending() {
            committed[control.position()] = true;
        }
    }
    committed
}

struct Retired(NonNull<Segment>, *mut Successors);
// SAFETY: a retired segment is plain memory that its last owner frees.
unsafe impl Send for Retired {}

impl Retired {
    fn free(self) {
        memory::count_garbage(-(size_of::<Segment>() as i64));
        memory::count_live(size_of::<Segment>() as i64);
        // SAFETY: called once, when no guard can reach them.
        drop(unsafe { Box::from_raw(self.1) });
        // SAFETY: as above.
        unsafe { Segment::free(self.0) };
    }
}

const _: () = assert!((HOMES + 1 + STASHES) * SLOTS == POSITIONS);
