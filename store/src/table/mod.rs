//! The lock-free hash table under every database.
//!
//! # The idea
//!
//! A directory leads from the leading bits of a key's *place* to a [`segment`]: a page of 63
//! buckets, each a cache line with seven slots (B. Lu et al., "Dash", VLDB 2020; Valkey 8.1 has
//! such buckets too). A slot names an entry; thirteen bits of the hash beside the address
//! tell most other keys apart. So a hit costs two cache misses: the bucket and the entry.
//!
//! Everything a slot names is immutable. Replacing is one compare-and-swap of the slot, removing
//! as well, and the slot is free at once: no tombstones. New keys are [`insert`]ed under a small
//! protocol that keeps a key from getting two slots. A full segment is [`split`] into two, and two
//! nearly empty ones are [`merge`]d, without anybody else noticing; there is no moment at which
//! the whole table is copied.
//!
//! Uniform hashes fill all segments at the same time, and the bytes per key would swing by two
//! as the keyspace doubles. Places are therefore hashes bent a little ([`place_of`]): segments at
//! one end fill twice as fast as at the other, and splits spread over the whole doubling.
//!
//! # Invariants
//!
//! - A key has at most one committed slot in segments without successors. (`insert`)
//! - A frozen word never changes again, and successors are published only when everything in the
//!   segment is frozen. (`split`)
//! - A segment is retired only when no directory entry leads to it. (`directory`)
//! - A committed word is not changed before the insertion that made it is settled. (`find`)
//! - Nothing a slot names is freed while a guard exists that could have seen it there: whoever
//!   takes it out of the slot retires it. (the callers)

use std::ptr::NonNull;

mod directory;
mod find;
mod insert;
mod merge;
mod prefetch;
mod relocate;
mod sample;
mod scan;
mod segment;
mod split;
mod word;

#[cfg(all(test, any(mayfly_loom, mayfly_shuttle)))]
mod models;
#[cfg(test)]
mod tests;

use directory::Root;
pub(crate) use find::{Absence, Look, Named, Spot};
pub(crate) use prefetch::{Foreseen, note_entry_bytes, prefetch};
pub(crate) use sample::{Drawn, Most, Region, Start, Wanted};
use segment::{CAPACITY, Segment};
pub(crate) use word::Occupied;

use crate::keyspace::Count;
use crate::reclaim::Guard;

/// What the table must know about the things its slots name.
pub(crate) trait Occupant {
    /// Whether its key is `key`.
    ///
    /// # Safety
    /// `occupied` was seen in a slot under a guard that still exists.
    unsafe fn is_key(&self, occupied: Occupied, key: &[u8]) -> bool;

    /// As [`Occupant::is_key`], for what is no descriptor.
    ///
    /// # Safety
    /// As there.
    #[inline(always)]
    unsafe fn is_key_of_entry(&self, occupied: Occupied, key: &[u8]) -> bool {
        // SAFETY: passed on to the caller.
        unsafe { self.is_key(occupied, key) }
    }

    /// The hash of its key.
    ///
    /// # Safety
    /// As for [`Occupant::is_key`].
    unsafe fn hash_of(&self, occupied: Occupied) -> u64;
}

/// A key with its hash.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key<'k> {
    pub(crate) bytes: &'k [u8],
    pub(crate) hash: u64,
    place: u64,
}

impl<'k> Key<'k> {
    /// `hash` is what the table's [`Occupant`] would compute.
    #[inline(always)]
    pub(crate) fn new(bytes: &'k [u8], hash: u64) -> Key<'k> {
        Key {
            bytes,
            hash,
            place: place_of(hash),
        }
    }

    /// The same key, of bytes that are equal.
    #[inline(always)]
    pub(crate) fn of<'b>(self, bytes: &'b [u8]) -> Key<'b> {
        debug_assert_eq!(bytes, self.bytes);
        Key { bytes, ..self }
    }

    fn tag(&self) -> u16 {
        word::tag_of(self.hash)
    }
}

/// A hash, bent so that the density of keys falls from 3/2 to 3/4 along the places.
///
/// With u the upper half of the hash as a fraction, the place is (2u + u²) / 3; its upper half
/// decides about segments. The lower half of the hash, from which home and tag come, is left out.
fn place_of(hash: u64) -> u64 {
    let u = hash >> 32;
    // (2 + u) / 3 is below 1, and a third cut off changes the lower half alone.
    u * (((2 << 32) + u) / 3)
}

/// The table. All methods but those with `&mut self` may run at once on any threads.
pub(crate) struct Table<O> {
    root: Root,
    /// How many segments there are.
    segments: Count,
    occupants: O,
}

// SAFETY: all shared parts are atomics; what slots name is the callers' to share.
unsafe impl<O: Send> Send for Table<O> {}
// SAFETY: all shared parts are atomics; what slots name is the callers' to share.
unsafe impl<O: Sync> Sync for Table<O> {}

impl<O: Occupant> Table<O> {
    /// An empty table; versions of what is inserted start above `version_floor`.
    pub(crate) fn new(occupants: O, version_floor: u64) -> Table<O> {
        let root = Root::new(Segment::allocate(0, version_floor));
        let segments = Count::default();
        segments.add(1);
        Table {
            root,
            segments,
            occupants,
        }
    }

    /// The segment the directory names for a place; its successors may have the keys.
    #[inline(always)]
    fn segment<'g>(&self, place: u64, guard: &'g Guard) -> &'g Segment {
        let segment = self.root.directory(guard).segment(place);
        // SAFETY: a segment is retired after no entry names it, and a guard is held.
        unsafe { segment.as_ref() }
    }

    /// How its slots are read.
    pub(crate) fn occupants(&self) -> &O {
        &self.occupants
    }

    /// How many slots there are, taken or not.
    pub(crate) fn slots(&self) -> u64 {
        self.segments.sum() * CAPACITY as u64
    }

    /// What the segments and the directory take.
    pub(crate) fn bytes(&self, guard: &Guard) -> u64 {
        let segments = self.segments.sum() * size_of::<Segment>() as u64;
        segments + self.root.directory(guard).memory_bytes() as u64
    }

    /// The pages of the table, for [`Table::drain_page`]. The caller must be the only user.
    pub(crate) fn pages(&mut self) -> Vec<Page> {
        let mut pages = Vec::new();
        self.root
            .for_each_segment(|segment| pages.push(Page(segment)));
        pages
    }

    /// Empties a page of this table, calling `visit` for what its slots named.
    pub(crate) fn drain_page(&mut self, page: &Page, mut visit: impl FnMut(Occupied)) {
        // SAFETY: the table is ours alone, and its segments live as long as it does.
        let segment = unsafe { page.0.as_ref() };
        for position in Segment::positions() {
            let word = segment.word(position);
            if !word.is_empty() && !word.is_tentative() {
                visit(word.occupied());
            }
            segment.fill(position, word::Word::EMPTY);
        }
    }
}

/// A segment of a table that has one user.
pub(crate) struct Page(NonNull<Segment>);

impl<O> Drop for Table<O> {
    fn drop(&mut self) {
        let mut segments: Vec<NonNull<Segment>> = Vec::new();
        self.root.for_each_segment(|segment| segments.push(segment));
        for segment in segments {
            // SAFETY: the table is ours alone, and each segment was listed once.
            unsafe { segment.as_ref() }.free_origin();
            // SAFETY: the table is ours alone, and nothing uses the segment after this.
            unsafe { Segment::free(segment) };
        }
    }
}
