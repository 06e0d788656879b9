//! Shrinking: two segments that have become nearly empty are made one again.
//!
//! The halves of a former segment are claimed for a [`Merge`] by setting their *plans*, first
//! one's, then the other's. Up to there anybody who needs one of them for something else cancels
//! the merge. Once both are claimed it is decided, and from then on anybody may finish it: freeze
//! both, copy their words into one new segment, agree on that by a swap, and publish it as the
//! successor of the one and of the other.
//!
//! The two publications need not be one moment. Keys of the second half are found in its frozen
//! words until it is published too; nobody reaches their copies before. But the new segment must
//! not be split and retired while the second half may still be led to it: who wants to split a
//! merged segment finishes the merge first.
//!
//! Only the thread that begins a merge writes it into plans, so once it took it out of both, no
//! new guard can reach it.

use std::ptr::{self, NonNull};

use super::segment::{CAPACITY, HOMES, Segment};
use super::word::Control;
use super::{Occupant, Table};
use crate::reclaim::Guard;
use crate::sync::{AtomicPtr, AtomicU64, Ordering};

/// Two segments that together fill less than this many slots are merged.
#[cfg(not(any(mayfly_loom, mayfly_shuttle)))]
const MERGED_SLOTS_MAX: usize = CAPACITY * 2 / 5;
/// So that models come upon halves that do not fit into one.
#[cfg(any(mayfly_loom, mayfly_shuttle))]
const MERGED_SLOTS_MAX: usize = 2 * CAPACITY;

const UNDECIDED: u64 = 0;
const DECIDED: u64 = 1;
const CANCELLED: u64 = 2;
/// Both halves are published; they may be gone.
const FINISHED: u64 = 3;

/// The making of one segment out of two.
pub(super) struct Merge {
    /// Invariant: siblings; a guard under which the merge was seen decided and unfinished keeps
    /// them, since they are retired after it is finished.
    halves: [NonNull<Segment>; 2],
    /// A place of the first half and one of the second.
    places: [u64; 2],
    status: AtomicU64,
    outcome: AtomicPtr<Outcome>,
}

/// What the halves go on in: one segment, or, should their keys find no room there, a copy each.
struct Outcome([NonNull<Segment>; 2]);

/// What a segment is frozen for.
pub(super) enum Plan<'g> {
    Split,
    Merge(&'g Merge),
    Undecided(&'g Merge),
}

impl Plan<'_> {
    pub(super) fn of<'g>(plan: *mut Merge) -> Plan<'g> {
        if plan == Merge::NONE_BUT_SPLIT {
            return Plan::Split;
        }
        // SAFETY: a merge is retired when no plan names it; this one was read under a guard.
        let merge = unsafe { &*plan };
        match merge.status.load(Ordering::Acquire) {
            DECIDED | FINISHED => Plan::Merge(merge),
            _ => Plan::Undecided(merge),
        }
    }
}

impl Merge {
    /// The plan of a segment that is to be split.
    pub(super) const NONE_BUT_SPLIT: *mut Merge = ptr::without_provenance_mut(1);

    fn decide(&self, status: u64) -> bool {
        self.status
            .compare_exchange(UNDECIDED, status, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// Gives one half free again, unless the merge was decided. The other half may be gone, if
    /// it was split before it was claimed.
    pub(super) fn cancel(&self, half: &Segment) {
        self.decide(CANCELLED);
        if self.status.load(Ordering::Acquire) == CANCELLED {
            self.leave(half);
        }
    }

    fn leave(&self, half: &Segment) {
        let this = (&raw const *self).cast_mut();
        let order = (Ordering::AcqRel, Ordering::Acquire);
        // A failure means that the plan is another one already.
        let _ = half
            .plan
            .compare_exchange(this, ptr::null_mut(), order.0, order.1);
    }

    fn claim(&self, half: &Segment) -> bool {
        let this = (&raw const *self).cast_mut();
        let order = (Ordering::AcqRel, Ordering::Acquire);
        half.plan
            .compare_exchange(ptr::null_mut(), this, order.0, order.1)
            .is_ok()
    }
}

// SAFETY: what it points to is shared between threads by design, under guards.
unsafe impl Send for Merge {}

impl Drop for Merge {
    fn drop(&mut self) {
        let outcome = self.outcome.load(Ordering::Acquire);
        if !outcome.is_null() {
            // SAFETY: the merge owns the record; the segments it names have their own owners.
            drop(unsafe { Box::from_raw(outcome) });
        }
    }
}

impl<O: Occupant> Table<O> {
    /// Merges the segment of `place` with its sibling if both are nearly empty; returns a place
    /// behind what was looked at, or none at the end.
    pub(crate) fn shrink_at(&self, place: u64, guard: &Guard) -> Option<u64> {
        let segment = self.live_segment(place, guard);
        let depth = segment.depth;
        if depth == 0 {
            return None;
        }
        let width = 1 << (64 - depth);
        let first = place & !(2 * (width - 1) + 1);
        let behind = (place & !(width - 1)).checked_add(width);
        let places = [first, first + width];
        let halves = places.map(|place| self.live_segment(place, guard));
        let filled: usize = halves.iter().map(|half| half.occupied()).sum();
        let are_siblings = halves.iter().all(|half| half.depth == depth);
        if !are_siblings || filled > MERGED_SLOTS_MAX {
            return behind;
        }
        let merge = Box::into_raw(Box::new(Merge {
            halves: halves.map(NonNull::from),
            places,
            status: AtomicU64::new(UNDECIDED),
            outcome: AtomicPtr::new(ptr::null_mut()),
        }));
        // SAFETY: freed below if it comes to nothing, else with the segment it makes.
        let merge_ref = unsafe { &*merge };
        if halves.iter().all(|half| merge_ref.claim(half)) && merge_ref.decide(DECIDED) {
            self.finish_merge(merge_ref, guard);
        } else {
            merge_ref.decide(CANCELLED);
            halves.iter().for_each(|half| merge_ref.leave(half));
            // SAFETY: only this thread ever put it into plans, and it is in none any more.
            unsafe { guard.retire_box(merge) };
        }
        first.checked_add(2 * (width - 1))?.checked_add(2)
    }

    /// Carries a decided merge out, or helps to. Afterwards both halves have successors.
    pub(super) fn finish_merge(&self, merge: &Merge, guard: &Guard) {
        if merge.status.load(Ordering::Acquire) == FINISHED {
            return;
        }
        // SAFETY: the invariant of `halves`.
        let halves = merge.halves.map(|half| unsafe { half.as_ref() });
        for half in halves {
            // SAFETY: a half's origin lives as long as the half.
            if let Some(origin) = unsafe { half.origin.as_ref() } {
                self.finish_merge(origin, guard);
            }
        }
        halves.iter().for_each(|half| half.freeze());
        let Outcome(successors) = self.outcome_of(merge, halves);
        let published = [0, 1].map(|at| halves[at].publish([successors[at]; 2]));
        let is_ours = |&at: &usize| published[at];
        [0, 1].into_iter().filter(is_ours).for_each(|at| {
            self.root.unlink(halves[at], merge.places[at], guard);
        });
        merge.status.store(FINISHED, Ordering::Release);
        for at in [0, 1].into_iter().filter(is_ours) {
            // SAFETY: published by this thread; no entry leads here any more.
            unsafe { halves[at].retire(guard) };
        }
    }

    fn outcome_of<'g>(&self, merge: &'g Merge, halves: [&Segment; 2]) -> &'g Outcome {
        let decided = merge.outcome.load(Ordering::Acquire);
        if decided.is_null() {
            let made = Box::into_raw(Box::new(self.copied_together(merge, halves)));
            let agreed = merge.outcome.compare_exchange(
                ptr::null_mut(),
                made,
                Ordering::AcqRel,
                Ordering::Acquire,
            );
            // SAFETY: made above; if it was not agreed on, nobody else has seen it.
            let Outcome([one, other]) = *unsafe { &*made };
            if agreed.is_err() {
                // SAFETY: it was not agreed on, so that nobody else has seen it.
                drop(unsafe { Box::from_raw(made) });
                // SAFETY: nobody else has seen the outcome that names this half.
                unsafe { Segment::free(one) };
                if one != other {
                    // SAFETY: nobody else has seen the outcome that names this half, which is not
                    // the other one.
                    unsafe { Segment::free(other) };
                }
            } else if one == other {
                self.segments.add(-1);
            }
        }
        // SAFETY: set once, and lives as long as the merge.
        unsafe { &*merge.outcome.load(Ordering::Acquire) }
    }

    fn copied_together(&self, merge: &Merge, halves: [&Segment; 2]) -> Outcome {
        let depth = halves[0].depth - 1;
        let floor = halves
            .iter()
            .map(|half| half.removed_version_max.load(Ordering::Acquire));
        let floor = floor.max().unwrap_or(0);
        let merged = Segment::allocate_merged(depth, floor, merge);
        // SAFETY: new and live.
        let target = unsafe { merged.as_ref() };
        if halves.iter().all(|half| self.copy_into(half, target)) {
            for home in 0..HOMES {
                // Above both, so that no earlier look at either takes it for the same.
                let [one, other] = halves.map(|half| half.control(home));
                let before = Control(one.0.max(other.0));
                let stashed = target.control(home).stashed();
                target.fill_control(home, before.succeeded(stashed));
            }
            return Outcome([merged; 2]);
        }
        // SAFETY: nobody else has seen it.
        unsafe { Segment::free(merged) };
        // With seeded hashes this does not happen. No segment owns the merge then: it is leaked.
        Outcome(halves.map(|half| {
            let copy = Segment::allocate(half.depth, floor);
            // SAFETY: new and live.
            let target = unsafe { copy.as_ref() };
            for (position, word) in half.committed() {
                target.fill(position, word.thawed());
            }
            for home in 0..HOMES {
                let control = half.control(home);
                target.fill_control(home, control.succeeded(control.stashed()));
            }
            copy
        }))
    }

    /// Finds a slot in a private segment for every word of a frozen one; false if there is none.
    fn copy_into(&self, half: &Segment, target: &Segment) -> bool {
        half.committed_foreseen().all(|(_, word)| {
            // SAFETY: a committed word of a segment without successors, seen under a guard.
            let home = Segment::home_of(unsafe { self.hash_of(word) });
            let mut free = Segment::buckets_of(home)
                .flat_map(Segment::bucket_positions)
                .filter(|&position| target.word(position).is_empty());
            let Some(position) = free.next() else {
                return false;
            };
            target.fill(position, word.thawed());
            if Segment::is_in_stash(position) {
                let control = target.control(home);
                target.fill_control(home, control.stashed_one_more());
            }
            true
        })
    }
}
