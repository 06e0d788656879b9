//! Fetching what a batch of lookups will need before the first of them is carried out.
//!
//! A lookup waits for two cache lines one after the other: its home bucket, then the entry that
//! a word there names. For a batch these waits can overlap: all homes are asked for, then, as
//! they arrive, all entries. A key that is not at home has its word in the next bucket, which is
//! asked for beside the home, since four keys of ten are there, or in the stash. That line is
//! asked for in a further step, rather than at once for every key: how many lines can be on their
//! way at the same time is what limits all this.
//!
//! How long an entry is stands in the entry. To wait for that before asking for the rest takes
//! longer than to guess, so each thread goes by the entries it met lately ([`Extent`]).
//!
//! Everything here is a hint. What is remembered from step to step is used for nothing else.

use std::cell::Cell;

use smallvec::SmallVec;

use super::segment::Segment;
use super::word::Occupied;
use super::{Key, Occupant, Table};
use crate::reclaim::Guard;

/// Asks for a cache line.
pub(crate) fn prefetch(address: usize) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch of any address is a hint without effect on memory.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(std::ptr::without_provenance::<i8>(address));
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

const LINE_BYTES: u32 = 64;

thread_local! {
    static EXTENT: Cell<Extent> = const { Cell::new(Extent::SHORT) };
}

/// The moving mean of the lengths of entries, in sixteenths of a byte.
#[derive(Clone, Copy)]
struct Extent(u32);

impl Extent {
    const SHORT: Extent = Extent(0);
    /// What is longer is read in order, as processors foresee.
    const BYTES_MAX: u32 = 4 * LINE_BYTES;

    fn with(self, bytes: usize) -> Extent {
        let bytes =
            u32::try_from(bytes).map_or(Self::BYTES_MAX, |bytes| bytes.min(Self::BYTES_MAX));
        Extent(self.0 - self.0 / 16 + bytes)
    }

    /// How many lines an entry of that length is on, to the nearest: it starts anywhere in one.
    /// At least two, since its header may be.
    fn lines(self) -> u32 {
        const OFFSET_BYTES_MEAN: u32 = LINE_BYTES / 2 - 2;
        ((self.0 / 16 + OFFSET_BYTES_MEAN + LINE_BYTES / 2) / LINE_BYTES).max(2)
    }
}

/// Notes the length of an entry that a batch led to.
pub(crate) fn note_entry_bytes(bytes: usize) {
    EXTENT.set(EXTENT.get().with(bytes));
}

/// Where a key that will be looked up has its home.
#[derive(Clone, Copy)]
pub(crate) struct Foreseen<'g> {
    segment: &'g Segment,
    home: usize,
    tag: u16,
}

impl<O: Occupant> Table<O> {
    /// The first step: asks for the key's home and the bucket behind it.
    pub(crate) fn foresee<'g>(&self, key: &Key<'_>, guard: &'g Guard) -> Foreseen<'g> {
        let segment = self.segment(key.place, guard);
        let home = Segment::home_of(key.hash);
        segment.prefetch_bucket(home);
        segment.prefetch_bucket(home + 1);
        Foreseen {
            segment,
            home,
            tag: key.tag(),
        }
    }
}

impl Foreseen<'_> {
    /// The second step and those after it, for all keys of a batch. What the first key of all
    /// leads to, most probably, if that was found at once: the first to arrive.
    pub(crate) fn prefetch_all(batch: &[Foreseen<'_>]) -> Option<Occupied> {
        let lines = EXTENT.get().lines();
        let mut elsewhere: SmallVec<[Foreseen<'_>; 16]> = SmallVec::new();
        for key in batch {
            let is_near = key.prefetch_named_in(key.home, lines)
                || key.prefetch_named_in(key.home + 1, lines);
            if !is_near && key.segment.control(key.home).stashed() > 0 {
                key.segment.prefetch_bucket(key.first_stash());
                elsewhere.push(*key);
            }
        }
        for key in elsewhere {
            key.prefetch_named_in(key.first_stash(), lines);
        }
        batch.first()?.entry_at_home()
    }

    fn first_stash(&self) -> usize {
        Segment::stash_buckets(self.home)
            .next()
            .unwrap_or(self.home)
    }

    /// Asks for what a bucket names for the key, most probably; false if it does not.
    fn prefetch_named_in(&self, bucket: usize, lines: u32) -> bool {
        let (_, word) = self.segment.likeliest(bucket, self.tag);
        let is_there = word.has_tag(self.tag) && !word.is_empty();
        if is_there {
            word.prefetch(lines);
        }
        is_there
    }

    /// The entry that a plain word at home names, in its slot under the guard.
    fn entry_at_home(&self) -> Option<Occupied> {
        let (_, word) = self.segment.likeliest(self.home, self.tag);
        word.is_plain_with(self.tag).then(|| word.occupied())
    }
}

#[cfg(test)]
mod tests {
    use super::Extent;

    #[test]
    fn lines_follow_the_mean_length() {
        let after = |bytes| (0..200).fold(Extent::SHORT, |extent, _| extent.with(bytes));
        let lines: Vec<u32> = [24, 96, 132, 200, 1 << 20]
            .map(|bytes| after(bytes).lines())
            .into();
        assert_eq!(lines, [2, 2, 3, 4, 4]);
        let back = (0..200).fold(after(1 << 20), |extent, _| extent.with(24));
        assert_eq!(back.lines(), 2);
    }
}
