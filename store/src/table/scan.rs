//! Visiting the whole table while it changes.
//!
//! A cursor is a prefix of places, behind a marker bit that tells its length, and a bucket. A
//! word never leaves its position, and a split copies it to the same one; so whoever walks the
//! segments in order of place, bucket by bucket, meets every key that is there throughout. A
//! split behind the cursor or before it changes nothing; one at it makes some keys be met twice.

use super::segment::{BUCKETS, SLOTS};
use super::word::Occupied;
use super::{Occupant, Table};
use crate::reclaim::Guard;

const BUCKET_BITS: u32 = 6;
const _: () = assert!(BUCKETS < 1 << BUCKET_BITS);

/// Where a scan goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cursor {
    depth: u32,
    prefix: u64,
    bucket: usize,
}

impl Cursor {
    const START: Cursor = Cursor {
        depth: 0,
        prefix: 0,
        bucket: 0,
    };

    /// Any number is some cursor: clients may send what they like.
    fn from_bits(bits: u64) -> Cursor {
        let marked = bits >> BUCKET_BITS;
        if marked == 0 {
            return Cursor::START;
        }
        let depth = marked.ilog2();
        Cursor {
            depth,
            prefix: marked ^ (1 << depth),
            bucket: (bits & ((1 << BUCKET_BITS) - 1)) as usize,
        }
    }

    fn bits(self) -> u64 {
        (1 << self.depth | self.prefix) << BUCKET_BITS | self.bucket as u64
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
        let mut work_left = count.saturating_mul(10).max(BUCKETS);
        let mut left = count.max(1);
        while left > 0 && work_left > 0 {
            let segment = self.live_segment(cursor.place(), guard);
            let depth = segment.depth;
            if cursor.depth > depth {
                cursor.bucket = 0;
            }
            let prefix = cursor.place().checked_shr(64 - depth).unwrap_or(0);
            if cursor.bucket < BUCKETS {
                for word in segment.bucket_words(cursor.bucket) {
                    if !word.is_empty() && !word.is_tentative() {
                        visit(word.occupied());
                        left = left.saturating_sub(1);
                    }
                }
                cursor = Cursor {
                    depth,
                    prefix,
                    bucket: cursor.bucket + 1,
                };
            }
            work_left -= 1;
            if cursor.bucket >= BUCKETS {
                if prefix + 1 == 1 << depth {
                    return 0;
                }
                cursor = Cursor {
                    depth,
                    prefix: prefix + 1,
                    bucket: 0,
                };
            }
        }
        cursor.bits()
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

    /// The segment of a place, not about to be split.
    fn live_segment<'g>(&self, place: u64, guard: &'g Guard) -> &'g super::Segment {
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
            bucket: 62,
        };
        assert_eq!(Cursor::from_bits(cursor.bits()), cursor);
        assert_eq!(Cursor::from_bits(Cursor::START.bits()), Cursor::START);
    }
}
