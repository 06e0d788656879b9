//! Fetching what a batch of lookups will need before the first of them is carried out.
//!
//! A lookup waits for two cache lines one after the other: its home bucket, then the entry that
//! a word there names. For a batch these waits can overlap: all homes are asked for, then, as
//! they arrive, all entries. A key that is not at home has its word in the next bucket, which is
//! asked for beside the home, or, one in thirty, in the stash. That line is asked for in a further
//! step, rather than at once for every key: how many lines can be on their way at the same time is
//! limited. To ask for the next bucket in a further step, too, takes longer: most batches have a
//! key there, one in thirteen, and all would wait once more.
//!
//! How long an entry is stands in the entry. To wait for that before asking for the rest takes
//! longer than to guess, so each thread goes by the entries it met lately ([`Extent`]).
//!
//! All that is asked for here is a hint. What the second step sees in a slot is more: who only
//! reads can take it for what the key's slot names ([`Table::named_ahead`]), and who comes later
//! can look there at first ([`Table::find_foreseen`]).

use std::cell::Cell;
use std::fmt;

use smallvec::SmallVec;

use super::segment::Segment;
use super::word::{Occupied, Word};
use super::{Key, Named, Occupant, Spot, Table};
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

    /// That length, and as much at least as a lookup asks for: the header and most keys.
    fn bytes(self) -> usize {
        (self.0 / 16).max(LINE_BYTES / 2) as usize
    }
}

/// Notes the length of an entry that a batch led to.
pub(crate) fn note_entry_bytes(bytes: usize) {
    EXTENT.set(EXTENT.get().with(bytes));
}

/// A key that will be looked up, where its home is, and what was seen there.
#[derive(Clone, Copy)]
pub(crate) struct Foreseen<'k, 'g> {
    pub(crate) key: Key<'k>,
    segment: &'g Segment,
    home: usize,
    /// Empty, or a plain word that was in its slot, not frozen, under the guard of `'g`, and is the
    /// key's, most probably.
    word: Word,
    /// Of that slot, if it was noted.
    position: usize,
}

impl fmt::Debug for Foreseen<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Foreseen");
        debug.field("key", &self.key).field("word", &self.word);
        debug.finish_non_exhaustive()
    }
}

impl<O: Occupant> Table<O> {
    /// The first step: asks for the key's home and the bucket behind it.
    #[inline(always)]
    pub(crate) fn foresee<'k, 'g>(&self, key: Key<'k>, guard: &'g Guard) -> Foreseen<'k, 'g> {
        let segment = self.segment(key.place, guard);
        let home = Segment::home_of(key.hash);
        segment.prefetch_bucket(home);
        segment.prefetch_bucket(home + 1);
        Foreseen {
            key,
            segment,
            home,
            word: Word::EMPTY,
            position: 0,
        }
    }

    /// Finds a key where it was seen, if that has not changed since.
    #[inline(always)]
    pub(crate) fn find_foreseen<'g>(&self, foreseen: &Foreseen<'_, 'g>) -> Option<Spot<'g>> {
        let Foreseen {
            key,
            segment,
            home,
            word,
            position,
        } = *foreseen;
        if word.is_empty() {
            return None;
        }
        // SAFETY: the word was in its slot under the guard of `'g`, is a committed one and names an
        // entry.
        let is_key = || unsafe { self.occupants.is_key_of_entry(word.occupied(), key.bytes) };
        // Not frozen: no other slot can be the key's.
        let is_there = segment.word(position) == word;
        (is_there && is_key()).then(|| Spot::new(segment, (position, word), (home, key.place)))
    }

    /// As [`Table::named`], of a key whose batch all steps were taken for: what its slot named then
    /// or names now.
    #[inline(always)]
    pub(crate) fn named_ahead(&self, foreseen: &Foreseen<'_, '_>, guard: &Guard) -> Named {
        let Foreseen { key, word, .. } = foreseen;
        // SAFETY: the word was in its slot under the guard of the first step, is a committed one
        // and names an entry.
        let is_key = || unsafe { self.occupants.is_key_of_entry(word.occupied(), key.bytes) };
        if !word.is_empty() && is_key() {
            return Named::Entry(word.occupied());
        }
        self.named(key, guard)
    }
}

impl Foreseen<'_, '_> {
    /// The second step and those after it, for all keys of a batch. What the first key of all
    /// leads to, most probably, if that was found at once: the first to arrive. With `PLACES` also
    /// notes in which slots keys were seen, for [`Table::find_foreseen`].
    pub(crate) fn prefetch_all<const PLACES: bool>(
        batch: &mut [Foreseen<'_, '_>],
    ) -> Option<Occupied> {
        let bytes = EXTENT.get().bytes();
        let mut elsewhere: SmallVec<[u32; 16]> = SmallVec::new();
        for (at, key) in batch.iter_mut().enumerate() {
            let is_near = key.prefetch_named_in::<PLACES>(key.home, bytes)
                || key.prefetch_named_in::<PLACES>(key.home + 1, bytes);
            if !is_near && key.segment.control(key.home).stashed() > 0 {
                key.segment.prefetch_bucket(key.first_stash());
                elsewhere.push(at as u32);
            }
        }
        for at in elsewhere {
            let key = &mut batch[at as usize];
            key.prefetch_named_in::<PLACES>(key.first_stash(), bytes);
        }
        let first = batch.first()?.word;
        (!first.is_empty()).then(|| first.occupied())
    }

    fn first_stash(&self) -> usize {
        Segment::stash_buckets(self.home)
            .next()
            .unwrap_or(self.home)
    }

    /// Asks for what a bucket names for the key, most probably; false if it does not.
    #[inline(always)]
    fn prefetch_named_in<const PLACES: bool>(&mut self, bucket: usize, bytes: usize) -> bool {
        let tag = self.key.tag();
        let (slot, word) = self.segment.likeliest(bucket, tag);
        let is_plain = word.is_plain_with(tag);
        if is_plain {
            self.word = word;
            if PLACES {
                self.position = Segment::position(bucket, slot);
            }
        }
        let is_there = is_plain || word.has_tag(tag) && !word.is_empty();
        if is_there {
            word.prefetch(bytes);
        }
        is_there
    }
}

#[cfg(test)]
mod tests {
    use super::Extent;

    #[test]
    fn what_is_fetched_follows_the_mean_length() {
        let after = |bytes| (0..200).fold(Extent::SHORT, |extent, _| extent.with(bytes));
        let fetched: Vec<usize> = [24, 64, 96, 200, 1 << 20]
            .map(|bytes| after(bytes).bytes())
            .into();
        assert_eq!(fetched, [32, 64, 96, 200, 256]);
        let back = (0..200).fold(after(1 << 20), |extent, _| extent.with(24));
        assert!(back.bytes() < 64);
    }
}
