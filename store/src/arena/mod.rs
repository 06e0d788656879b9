//! The allocator under every block of the engine: entries, tree nodes, segments.
//!
//! # Why
//!
//! A general allocator rounds 132 bytes to 160, cannot know that a block is named by one word and
//! could therefore be moved, and keeps what lies between live blocks after the sizes of values
//! have shifted. Here classes are 4 bytes apart, a block needs no header (whoever frees it
//! knows its length), freeing does not touch the block, and sparse slabs are emptied by moving
//! what is left in them (`compaction`).
//!
//! # Shape
//!
//! One run of address space, reserved at the first use, is cut into *slabs* of 64 kB (`region`).
//! A slab in use has one size class and one [`Mobility`]; beside the slabs stand arrays with a
//! record for each: a bit for each slot that is free, and their count (`slab`). So an address
//! alone leads to its slab and bit. Where a class has many, two neighbours can be one slab
//! (`classes`).
//!
//! - *Allocating*: a thread has a handful of slots of each class it uses in a cache of its own
//!   (`cache`); it shares nothing while these last. Then it takes a slab from the class's stack,
//!   takes some free slots out by swapping bits, and puts the slab back if more are left.
//!   Under a small limit a slot of a somewhat longer class does as well as a new slab: a slab for
//!   each class would be most of it ([`note_limit`]); under a smaller one few classes are used,
//!   an eighth apart; under a tiny one entries are left to the general allocator, whose slabs
//!   are of a few pages. Without a small limit free slots that are a little longer serve while
//!   much of the slabs is idle ([`note_idle`]), and the last blocks of a class move there: after
//!   a shift of sizes each class of before would keep a slab that is nearly empty.
//! - *Freeing*, from any thread: set the bit, add to the count. The thread whose free brings the
//!   count to 1/32 of the slab puts the slab on its class's stack. That bound makes each take
//!   worth its while, and leaves at most 3 percent of the slots idle, fewer in the mean.
//! - *At once*: an entry mostly takes the place of one as long that its thread retired a while ago
//!   (`reclaim`), of which nothing here gets to know, unless slabs should run empty ([`recycles`]).
//! - *Reuse*: stacks are last in, first out, and what was just put there is nearly full: dense
//!   slabs get denser, sparse ones sink and run empty. A slab found empty goes to a common pool
//!   and may come back with any class ([`Survey`]).
//! - *Giving back*: of the pool what exceeds a reserve is given to the kernel, highest addresses
//!   first, while the lowest are taken first: so whole huge pages become free ([`release`]).
//!
//! # Invariants
//!
//! - A slot is exactly one of: free (its bit is set), in one thread's cache, or a live block.
//! - A slab that is `HELD` is on its class's stack, or in the hands of one thread, or being
//!   emptied; only who holds it puts it anywhere. A slab that is not gets held by whoever sees
//!   its count reach the bound: one compare-and-swap says who.
//! - A count is raised after its bit is set and lowered after the bit is taken: a count equal to
//!   the slab's slots means that every bit is set and nobody is about to set one. Of several blocks
//!   freed in a row all bits are set first ([`Slots`]): until they are counted the slab has fewer
//!   by its count than by its bits, and stays what it is.
//! - An entry's room is taken under the guard under which it gets its name, or is given back, and
//!   none is taken in a slab whose `evacuated` bit could be seen (`evacuation`).
//! - The second of a pair is held, and not movable, as long as the pair is in use: nobody but the
//!   pair's holder, who has the first, gets it into their hands. A block's slab does not become, or
//!   cease to be, one of a pair while the block lives.
//! - A slab goes to the pool only from the hands of its holder and with that count, and stays held
//!   there: so one that is not held is in use.
//!
//! # What is movable
//!
//! Entries: each is named by one slot of a table and immutable, so a copy can take its place by
//! one compare-and-swap. Tree nodes are named by their parents in the midst of versions that share
//! them, and segments by directories: both have slabs of their own, so that no slab with entries
//! is held by something that cannot be moved. Blocks beyond [`BYTES_MAX`] are left to the general
//! allocator, which maps and unmaps pages for them.
//!
//! With `--cfg mayfly_plain_blocks` (for the address sanitizer), and under model checkers in models
//! that have no [`world`], nothing is taken from here and each block is an allocation of its own.

mod cache;
mod classes;
mod evacuation;
#[cfg(all(test, any(mayfly_loom, mayfly_shuttle)))]
mod models;
mod region;
mod scale;
mod slab;
mod stack;
mod survey;
#[cfg(test)]
mod tests;
#[cfg(any(mayfly_loom, mayfly_shuttle))]
pub(crate) mod world;

use std::ptr::NonNull;

pub(crate) use classes::{BYTES_MAX, BYTES_MIN, CLASSES, class_bytes};
pub(crate) use evacuation::{Evacuated, Slot};
pub(crate) use region::{SLAB_BYTES, release, use_up_ready};
pub(crate) use scale::{note_idle, note_limit};
pub(crate) use slab::{end_evacuation, put_empty, seize};
pub(crate) use survey::{Evacuation, Survey, survey};

use region::{Region, region};
use scale::{Scale, scale};
use slab::{Place, Slab};

/// Whether blocks come from here.
pub(crate) const IS_USED: bool = cfg!(not(any(mayfly_loom, mayfly_shuttle, mayfly_plain_blocks)));

/// Whether something else can be put in a block's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mobility {
    /// It stays where it is.
    Fixed,
    /// It may be copied elsewhere and its only name changed.
    Movable,
}

impl Mobility {
    /// Every block starts at a multiple of this. Entries are many, so that four bytes count.
    pub(crate) const fn align(self) -> usize {
        match self {
            Mobility::Fixed => 8,
            Mobility::Movable => 4,
        }
    }
}

pub(crate) const MOBILITIES: [Mobility; 2] = [Mobility::Fixed, Mobility::Movable];

/// Room for `bytes`; none if the arena does not serve such lengths or has no room.
// Inlined where the mobility is known.
#[inline(always)]
pub(crate) fn allocate(bytes: usize, mobility: Mobility) -> Option<NonNull<u8>> {
    if bytes > BYTES_MAX || mobility == Mobility::Movable && scale() == Scale::Tiny {
        return None;
    }
    let region = region()?;
    cache::take(region, classes::of_bytes(bytes, mobility), mobility)
}

/// Takes room back, of several blocks at a time: those of one slab in a row are counted there at
/// once, at the latest when this goes.
#[derive(Default)]
pub(crate) struct Slots {
    /// The slab of the last one, and how many of it are not counted.
    uncounted: Option<(Slab, i32)>,
}

impl Slots {
    /// Takes room back; false if it is not the arena's.
    ///
    /// # Safety
    /// If it came from [`allocate`], then with the same `bytes`, and nobody uses it any more.
    pub(crate) unsafe fn add(&mut self, start: NonNull<u8>, bytes: usize) -> bool {
        if bytes > BYTES_MAX {
            return false;
        }
        let Some((region, index, offset)) = unit_of(start) else {
            return false;
        };
        let place = Place::of(region, index, offset);
        place.set_free();
        match &mut self.uncounted {
            Some((slab, count)) if slab.index() == place.slab.index() => *count += 1,
            other => {
                if let Some((slab, count)) = other.replace((place.slab, 1)) {
                    slab.count_free(count);
                }
            }
        }
        true
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        if let Some((slab, count)) = self.uncounted {
            slab.count_free(count);
        }
    }
}

/// The records of so many slabs are in a processor's caches anyway.
const SLABS_CACHED: u32 = if cfg!(test) { 0 } else { 512 };

/// A hint that a block will soon be freed: fetches what that changes.
pub(crate) fn prefetch_free(start: NonNull<u8>, bytes: usize, mobility: Mobility) {
    if bytes <= BYTES_MAX
        && let Some((region, index, offset)) = unit_of(start)
        && region.end() > SLABS_CACHED
    {
        // Mostly it is the class of its slab, and no pair.
        let class = classes::of_bytes(bytes, mobility);
        let slot = classes::slot_at(class, offset);
        region.records.prefetch(index, class, slot);
    }
}

/// Whether there is no slab that is to be emptied.
#[inline(always)]
pub(crate) fn is_none_evacuated() -> bool {
    region().is_none_or(|region| region.evacuated.is_empty())
}

/// Whether the block at an address lies in a slab that is to be emptied.
pub(crate) fn is_evacuated(start: NonNull<u8>) -> bool {
    unit_of(start).is_some_and(|(region, index, offset)| {
        let slab = Place::of(region, index, offset).slab;
        region.evacuated.has(slab.index())
    })
}

/// Whether new blocks may stand where others of their class stood a moment ago. Where every slab
/// counts, or many are sparse, they had better stand in those that are nearly full.
pub(crate) fn recycles() -> bool {
    IS_USED && scale().longer_part().is_none()
}

/// In which slab's bytes an address lies, and where.
fn unit_of(start: NonNull<u8>) -> Option<(&'static Region, u32, usize)> {
    let region = region()?;
    let offset = start.as_ptr().addr().wrapping_sub(region.base());
    let index = offset / SLAB_BYTES;
    (index < region.span()).then_some((region, index as u32, offset % SLAB_BYTES))
}

/// Gives back slots that this thread has not used for a while: for a thread that falls idle.
pub(crate) fn tidy_thread() {
    if let Some(region) = region() {
        cache::tidy(region);
    }
}

/// Gives back what a thread has: it ends, and its seat is free for another.
pub(crate) fn leave_seat(seat: usize) {
    if let Some(region) = region() {
        cache::leave(region, seat);
    }
}

/// Lets every thread give back, soon, what it has not used since the last call but one.
pub(crate) fn age_caches() {
    cache::age();
}

/// Gives back what this thread has in its cache of a class.
#[cfg(test)]
pub(crate) fn empty_cache(bytes: usize, mobility: Mobility) {
    if let Some(region) = region() {
        cache::empty(region, classes::of_bytes(bytes, mobility), mobility);
    }
}

/// What the arena has in physical memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Bytes of slabs that hold blocks or are kept for new ones.
    pub resident_bytes: u64,
    /// Of these, in slabs that are wholly free.
    pub free_bytes: u64,
    /// What the records of slabs take.
    pub records_bytes: u64,
}

/// Whether there is room for an entry of so many bytes without another slab.
pub(crate) fn has_spare(bytes: usize) -> bool {
    region().is_none_or(|_| {
        let class = classes::of_bytes(bytes, Mobility::Movable);
        let class = cache::serving(class, Mobility::Movable);
        cache::has(class, Mobility::Movable) || cache::may_pop(class, Mobility::Movable)
    })
}

/// How many slabs hold blocks, be it one.
pub(crate) fn slabs_in_use() -> usize {
    region().map_or(0, Region::slabs_in_use)
}

/// What the arena has now.
pub(crate) fn extent() -> Extent {
    region().map_or_else(Extent::default, Region::extent)
}
