//! Visiting the whole table while it changes.
//!
//! A cursor is a prefix of places, behind a marker bit that tells its length, and a home. A key
//! never changes its place or home; so whoever walks the segments in order of place, home by
//! home, meets every key that is there throughout. Splits and merges elsewhere change nothing; one
//! at the cursor makes some keys be met twice, since a segment that reaches before the cursor's
//! prefix is begun anew.

use super::segment::{BUCKETS, HOMES, SLOTS, Segment};
use super::word::{Occupied, Word};
use super::{Occupant, Table};
use crate::pace;
use crate::reclaim::Guard;

const HOME_BITS: u32 = 6;
const _: () = assert!(HOMES < 1 << HOME_BITS);

/// Where a scan goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cursor {
    depth: u32,
    prefix: u64,
    home: usize,
}

impl Cursor {
    const START: Cursor = Cursor {
        depth: 0,
        prefix: 0,
        home: 0,
    };

    /// Any number is some cursor: clients may send what they like.
    fn from_bits(bits: u64) -> Cursor {
        let marked = bits >> HOME_BITS;
        if marked == 0 {
            return Cursor::START;
        }
        let depth = marked.ilog2();
        Cursor {
            depth,
            prefix: marked ^ (1 << depth),
            home: (bits & ((1 << HOME_BITS) - 1)) as usize,
        }
    }

    fn bits(self) -> u64 {
        (1 << self.depth | self.prefix) << HOME_BITS | self.home as u64
    }

    fn place(self) -> u64 {
        self.prefix.checked_shl(64 - self.depth).unwrap_or(0)
    }
}

impl<O: Occupant> Table<O> {
    /// Visits the keys of some buckets from `cursor` on (0 starts), until `visit` has been called
    /// `count` times or more. Returns where to go on; 0 at the end.
    pub(crate) fn scan(
        &self,
        cursor: u64,
        count: usize,
        guard: &Guard,
        mut visit: impl FnMut(Occupied),
    ) -> u64 {
        let mut cursor = Cursor::from_bits(cursor);
        // An empty table must not be walked in one call either.
        let mut work_left = count.saturating_mul(10).max(HOMES);
        let mut left = count.max(1);
        while left > 0 && work_left > 0 {
            let segment = self.live_segment(cursor.place(), guard);
            let depth = segment.depth;
            if cursor.depth > depth {
                cursor.home = 0;
            }
            let prefix = cursor.place().checked_shr(64 - depth).unwrap_or(0);
            if cursor.home < HOMES {
                for word in self.words_of_home(segment, cursor.home) {
                    visit(word.occupied());
                    left = left.saturating_sub(1);
                }
            }
            let home = cursor.home + 1;
            cursor = Cursor {
                depth,
                prefix,
                home,
            };
            work_left -= 1;
            if home >= HOMES {
                pace::step();
                if prefix + 1 == 1 << depth {
                    return 0;
                }
                cursor = Cursor {
                    depth,
                    prefix: prefix + 1,
                    home: 0,
                };
            }
        }
        cursor.bits()
    }

    fn words_of_home<'g>(
        &'g self,
        segment: &'g Segment,
        home: usize,
    ) -> impl Iterator<Item = Word> + 'g {
        let buckets = match segment.control(home).stashed() {
            0 => 2,
            _ => usize::MAX,
        };
        Segment::buckets_of(home)
            .take(buckets)
            .flat_map(|bucket| segment.bucket_words(bucket))
            .filter(move |word| {
                // SAFETY: committed words, seen under the caller's guard.
                let hash = || unsafe { self.hash_of(*word) };
                !word.is_empty() && !word.is_tentative() && Segment::home_of(hash()) == home
            })
    }

    /// Something from around a random place; none if nothing is there.
    pub(crate) fn sample(&self, guard: &Guard) -> Option<Occupied> {
        let segment = self.live_segment(fastrand::u64(..), guard);
        let start = fastrand::usize(..BUCKETS);
        let buckets = (start..BUCKETS).chain(0..start);
        buckets
            .map(|bucket| segment.bucket_words(bucket))
            .find_map(|words| {
                let first = fastrand::usize(..SLOTS);
                (0..SLOTS)
                    .map(|at| words[(first + at) % SLOTS])
                    .find(|word| !word.is_empty() && !word.is_tentative())
                    .map(|word| word.occupied())
            })
    }

    /// The segment of a place, not about to be split or merged.
    pub(super) fn live_segment<'g>(&self, place: u64, guard: &'g Guard) -> &'g Segment {
        loop {
            let segment = self.segment(place, guard);
            if !segment.control(0).is_frozen() {
                return segment;
            }
            self.split(segment, place, guard);
            self.root.unlink(segment, place, guard);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_a_cursor_and_real_ones_survive() {
        for bits in [0, 1, 63, 64, 65, 1 << 20, u64::MAX] {
            let _ = Cursor::from_bits(bits).place();
        }
        let cursor = Cursor {
            depth: 9,
            prefix: 0b1_0110_0001,
            home: 55,
        };
        assert_eq!(Cursor::from_bits(cursor.bits()), cursor);
        assert_eq!(Cursor::from_bits(Cursor::START.bits()), Cursor::START);
    }
}
