//! Letting slots name copies of what they name, for the arena's sake.
//!
//! A copy takes an entry's place by the same compare-and-swap as a new version does; who reads
//! goes on with the entry it found, and who wanted to replace it looks again.

use super::find::Spot;
use super::segment::Segment;
use super::word::Occupied;
use super::{Occupant, Table};
use crate::reclaim::Guard;

impl<O: Occupant> Table<O> {
    /// Shows `relocate` the slots of the segment of `place` that name an entry `is_wanted` wants.
    /// Returns the next segment's place; none at the end.
    pub(crate) fn relocate_at<'g>(
        &self,
        place: u64,
        guard: &'g Guard,
        is_wanted: impl Fn(Occupied) -> bool,
        mut relocate: impl FnMut(&Spot<'g>),
    ) -> Option<u64> {
        let segment = self.live_segment(place, guard);
        for position in Segment::positions() {
            let word = segment.word(position);
            if word.is_empty() || word.is_tentative() || word.occupied().is_descriptor() {
                continue;
            }
            if is_wanted(word.occupied()) {
                // SAFETY: a committed word, seen under the guard.
                let home = Segment::home_of(unsafe { self.hash_of(word) });
                relocate(&Spot {
                    segment,
                    position,
                    home,
                    place,
                    word,
                });
            }
        }
        segment.behind(place)
    }
}
