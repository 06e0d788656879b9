//! Growing: one full segment becomes two.
//!
//! Everything in the segment is frozen, so that its content is final; the words are copied to two
//! new segments, by the next bit of their keys' places, and there brought home where there is room
//! again; one swap of the old segment's successors publishes both. Whoever needs the
//! segment helps, so nobody waits for anybody; the work of those who come second is thrown away.
//!
//! Until the publication the frozen words are the keys' present state, afterwards the copies
//! are. A reader in the old segment looks at the successors after it saw a frozen control word
//! and before it searches: what it then finds was present at that moment.

use super::merge::{Merge, Plan};
use super::segment::{CAPACITY, HOMES, Segment};
use super::word::Word;
use super::{Occupant, Table, place_of};
use crate::reclaim::Guard;
use crate::sync::Ordering;
use std::ptr::NonNull;

impl<O: Occupant> Table<O> {
    /// Splits a segment, of which `place` is one of the places, or helps with what it is frozen
    /// for. Afterwards it has successors.
    pub(super) fn split(&self, segment: &Segment, place: u64, guard: &Guard) {
        if segment.successors().is_some() {
            // A look from before led here: a transaction may have thousands of them.
            return;
        }
        // SAFETY: a segment's origin lives as long as the segment.
        if let Some(origin) = unsafe { segment.origin.as_ref() } {
            // Else the other half of what was merged might be led here when this is gone.
            self.finish_merge(origin, guard);
        }
        loop {
            match segment.plan_for_split() {
                Plan::Split => break,
                Plan::Merge(merge) => {
                    self.finish_merge(merge, guard);
                    return;
                }
                Plan::Undecided(merge) => merge.cancel(segment),
            }
        }
        segment.freeze();
        if segment.successors().is_some() {
            return;
        }
        let children = self.copied_apart(segment);
        if !segment.publish(children) {
            for child in children {
                // SAFETY: nobody else has seen it.
                unsafe { Segment::free(child) };
            }
            return;
        }
        self.segments.add(1);
        self.root.unlink(segment, place, guard);
        // SAFETY: published by this thread; no entry of the directory leads here any more.
        unsafe { segment.retire(guard) };
    }

    fn copied_apart(&self, segment: &Segment) -> [NonNull<Segment>; 2] {
        let floor = segment.removed_version_max.load(Ordering::Acquire);
        let children = [(); 2].map(|()| Segment::allocate(segment.depth + 1, floor));
        // SAFETY: both are new and live.
        let by_bit = children.map(|child| unsafe { child.as_ref() });
        let mut stashed = [[0; HOMES]; 2];
        let mut displaced = Vec::with_capacity(CAPACITY);
        for (position, word) in segment.committed_foreseen() {
            // SAFETY: a committed word of a segment without successors, seen under a guard.
            let hash = unsafe { self.hash_of(word) };
            let bit = (place_of(hash) << segment.depth >> 63) as usize;
            let home = Segment::home_of(hash);
            by_bit[bit].fill(position, word.thawed());
            if Segment::bucket_of(position) != home {
                displaced.push((position, bit, home));
            }
        }
        for (position, bit, home) in displaced {
            let position = by_bit[bit].bring_home(position, home);
            stashed[bit][home] += usize::from(Segment::is_in_stash(position));
        }
        for home in 0..HOMES {
            for (child, stashed) in by_bit.iter().zip(&stashed) {
                child.fill_control(home, segment.control(home).succeeded(stashed[home]));
            }
        }
        children
    }

    /// # Safety
    /// As for [`Occupant::hash_of`].
    pub(super) unsafe fn hash_of(&self, word: Word) -> u64 {
        // SAFETY: passed on to the caller.
        unsafe { self.occupants.hash_of(word.occupied()) }
    }
}

impl Segment {
    /// Moves a word of a segment that nobody else knows yet nearer to its home, if there is room;
    /// returns where it stands. Otherwise segments would be fuller of strays with every split: one
    /// key in five, instead of one in ten, would not be at home.
    fn bring_home(&self, position: usize, home: usize) -> usize {
        let free_in = |bucket| {
            let slot = self.free_slots(bucket).next()?;
            Some(Segment::position(bucket, slot))
        };
        let nearer = [home, home + 1].into_iter();
        let mut nearer = nearer.take_while(|&bucket| bucket != Segment::bucket_of(position));
        let Some(nearer) = nearer.find_map(free_in) else {
            return position;
        };
        self.fill(nearer, self.word(position));
        self.fill(position, Word::EMPTY);
        nearer
    }

    /// What the segment is to be frozen for, if it is to be frozen now.
    fn plan_for_split(&self) -> Plan<'_> {
        let split = Merge::NONE_BUT_SPLIT;
        let order = (Ordering::AcqRel, Ordering::Acquire);
        match self
            .plan
            .compare_exchange(std::ptr::null_mut(), split, order.0, order.1)
        {
            Ok(_) => Plan::Split,
            Err(plan) => Plan::of(plan),
        }
    }
}
