//! Fetching what a batch of lookups will need before the first of them is carried out.
//!
//! A lookup waits for two cache lines one after the other: its home bucket, then the entry that
//! a word there names. For a batch these waits can overlap: all homes are asked for, then, as
//! they arrive, all entries. A key that is not at home has its word in the next bucket, or in the
//! stash; those lines are asked for in further steps, rather than at once for every key: how many
//! lines can be on their way at the same time is what limits all this.
//!
//! Everything here is a hint. What is remembered from step to step is used for nothing else.

use smallvec::SmallVec;

use super::segment::Segment;
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

/// Where a key that will be looked up has its home.
#[derive(Clone, Copy)]
pub(crate) struct Foreseen<'g> {
    segment: &'g Segment,
    home: usize,
    tag: u16,
}

impl<O: Occupant> Table<O> {
    /// The first step: asks for the key's home.
    pub(crate) fn foresee<'g>(&self, key: &Key<'_>, guard: &'g Guard) -> Foreseen<'g> {
        let segment = self.segment(key.place, guard);
        let home = Segment::home_of(key.hash);
        segment.prefetch_bucket(home);
        Foreseen {
            segment,
            home,
            tag: key.tag(),
        }
    }
}

impl Foreseen<'_> {
    /// The second step and those after it, for all keys of a batch.
    pub(crate) fn prefetch_all(batch: &[Foreseen<'_>]) {
        let mut elsewhere: SmallVec<[Foreseen<'_>; 16]> = SmallVec::new();
        for key in batch {
            if !key.prefetch_named_in(key.home) {
                key.segment.prefetch_bucket(key.home + 1);
                elsewhere.push(*key);
            }
        }
        elsewhere.retain(|key| {
            let is_stashed =
                !key.prefetch_named_in(key.home + 1) && key.segment.control(key.home).stashed() > 0;
            if is_stashed {
                key.segment.prefetch_bucket(key.first_stash());
            }
            is_stashed
        });
        for key in elsewhere {
            key.prefetch_named_in(key.first_stash());
        }
    }

    fn first_stash(&self) -> usize {
        Segment::stash_buckets(self.home)
            .next()
            .unwrap_or(self.home)
    }

    /// Asks for what a bucket names for the key, most probably; false if it does not.
    fn prefetch_named_in(&self, bucket: usize) -> bool {
        let mut slots = self.segment.tagged(bucket, self.tag);
        let position = slots.next().map(|slot| Segment::position(bucket, slot));
        position.is_some_and(|position| {
            self.segment.word(position).prefetch();
            true
        })
    }
}
