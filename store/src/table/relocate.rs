//! Letting slots name copies of what they name, for the arena's sake.
//!
//! A copy takes an entry's place by the same compare-and-swap as a new version does; who reads
//! goes on with the entry it found, and who wanted to replace it looks again.

use super::find::Spot;
use super::segment::Segment;
use super::word::Word;
use super::{Key, Occupant, Table};
use crate::reclaim::Guard;

impl<O: Occupant> Table<O> {
    /// The slot that names what stands at an address and would have this key. Nothing is read
    /// there: it may be anything.
    pub(crate) fn naming<'g>(
        &self,
        key: &Key<'_>,
        address: usize,
        guard: &'g Guard,
    ) -> Option<Spot<'g>> {
        let segment = self.live_segment(key.place, guard);
        let home = Segment::home_of(key.hash);
        let buckets = match segment.control(home).stashed() {
            0 => 2,
            _ => usize::MAX,
        };
        Segment::buckets_of(home).take(buckets).find_map(|bucket| {
            let words = segment.bucket_words(bucket);
            let is_it = |word: &Word| word.names(address);
            let slot = words.iter().position(is_it)?;
            Some(Spot {
                segment,
                position: Segment::position(bucket, slot),
                home,
                place: key.place,
                word: words[slot],
            })
        })
    }

    /// Shows `relocate` all slots that name an entry.
    pub(crate) fn relocate_all<'g>(&self, guard: &'g Guard, mut relocate: impl FnMut(&Spot<'g>)) {
        let mut next = Some(0);
        while let Some(place) = next {
            let segment = self.live_segment(place, guard);
            for position in Segment::positions() {
                let word = segment.word(position);
                if word.is_empty() || word.is_tentative() || word.occupied().is_descriptor() {
                    continue;
                }
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
            next = segment.behind(place);
        }
    }
}
