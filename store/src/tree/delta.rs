//! The difference between two versions of a value, in blocks.

use std::mem::ManuallyDrop;

use smallvec::SmallVec;

use crate::document::Handle;
use crate::long::Record;
use crate::memory::Block;
use crate::reclaim::{self, Drain, Guard};

/// More blocks than this are freed by the reaper.
const BLOCKS_INLINE_MAX: usize = 256;

/// The blocks of one list: those of an edit of one element need no allocation.
pub(super) type Blocks = SmallVec<[Block; BLOCKS_FEW]>;

/// So many blocks have room in a list without an allocation.
const BLOCKS_FEW: usize = 3;
/// So many when it needs one: there will be more.
const BLOCKS_SEVERAL: usize = 32;

/// Appends to a list.
#[inline]
pub(super) fn list(blocks: &mut Blocks, block: Block) {
    if blocks.len() == BLOCKS_FEW {
        blocks.reserve(BLOCKS_SEVERAL - BLOCKS_FEW);
    }
    blocks.push(block);
}

/// What an edit made and what it did away with: nothing at all where values are flat.
#[derive(Debug, Default)]
pub(crate) enum Delta {
    #[default]
    Nothing,
    /// Of a tree.
    Blocks(Box<Parts>),
    /// The new version of a large document, which shares what it shares by its own means, or a
    /// long string.
    Beside(Unpublished),
}

/// The blocks in which two versions of a tree differ.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    /// Invariant: nobody but the edit has seen these.
    fresh: Blocks,
    /// Invariant: reachable from the old version and not from the new one.
    replaced: Blocks,
}

/// Invariant: nobody but the edit has seen this value.
#[derive(Debug)]
pub(crate) struct Unpublished(Beside);

/// A value beside an entry. It says nothing about who owns that.
#[derive(Clone, Copy, Debug)]
enum Beside {
    Document(Handle),
    Long(Record),
}

impl Delta {
    pub(super) fn new(fresh: Blocks, replaced: Blocks) -> Delta {
        Delta::Blocks(Box::new(Parts { fresh, replaced }))
    }

    pub(crate) fn of_document(document: Handle) -> Delta {
        Delta::Beside(Unpublished(Beside::Document(document)))
    }

    pub(crate) fn of_long(record: Record) -> Delta {
        Delta::Beside(Unpublished(Beside::Long(record)))
    }

    /// Appends a later edit of the same value.
    pub(crate) fn append(&mut self, later: &mut Delta) {
        match (&mut *self, std::mem::take(later)) {
            (Delta::Blocks(parts), Delta::Blocks(mut later)) => {
                parts.fresh.append(&mut later.fresh);
                parts.replaced.append(&mut later.replaced);
            }
            (_, Delta::Nothing) => {}
            (before, later) => {
                debug_assert!(
                    matches!(before, Delta::Nothing),
                    "a value beside its entry is never a difference"
                );
                *before = later;
            }
        }
    }

    /// The new version will never be published: what was made for it goes at once.
    pub(crate) fn abandoned(self) {
        drop(self);
    }

    /// As [`Delta::abandoned`], when somebody under `guard` may still look at the new version.
    pub(crate) fn retired(self, guard: &Guard) {
        match self {
            Delta::Beside(beside) => match beside.into_inner() {
                // SAFETY: never published, so only holders of this guard know it.
                Beside::Document(document) => unsafe { document.retire(guard) },
                // SAFETY: likewise.
                Beside::Long(long) => unsafe { long.retire(guard) },
            },
            blocks => {
                for block in blocks.into_fresh() {
                    // SAFETY: never published, so only holders of this guard know it.
                    unsafe { guard.retire(block) };
                }
            }
        }
    }

    /// What was made, which is the caller's to retire now.
    pub(crate) fn into_fresh(self) -> Blocks {
        match self {
            Delta::Blocks(mut parts) => std::mem::take(&mut parts.fresh),
            Delta::Nothing | Delta::Beside(_) => Blocks::new(),
        }
    }

    /// The new version was published: the old one's blocks go when their readers are gone.
    ///
    /// # Safety
    /// New guards can no longer reach the old version.
    #[inline]
    pub(crate) unsafe fn published(self, guard: &Guard) {
        if !matches!(self, Delta::Nothing) {
            // SAFETY: passed on to the caller.
            unsafe { self.something_published(guard) };
        }
    }

    /// # Safety
    /// As for [`Delta::published`].
    #[inline(never)]
    unsafe fn something_published(self, guard: &Guard) {
        match self {
            Delta::Nothing => {}
            // It belongs to its entry now.
            Delta::Beside(beside) => {
                beside.into_inner();
            }
            // SAFETY: passed on to the caller.
            Delta::Blocks(parts) => unsafe { parts.published(guard) },
        }
    }
}

impl Parts {
    /// As [`Delta::published`].
    ///
    /// # Safety
    /// As there.
    unsafe fn published(mut self, guard: &Guard) {
        self.fresh.clear();
        let blocks = std::mem::take(&mut self.replaced);
        if blocks.len() <= BLOCKS_INLINE_MAX {
            for block in blocks {
                // SAFETY: only the old version used the block, and each edit lists it once.
                unsafe { guard.retire(block) };
            }
            return;
        }
        let bytes = blocks.iter().map(|block| block.bytes()).sum();
        for block in &blocks {
            block.count_retired();
        }
        let last = move || reclaim::reap(Box::new(Retired(blocks)));
        // SAFETY: only the old version used the blocks, and each edit lists them once.
        unsafe { guard.retire_with(bytes, last) };
    }
}

impl Unpublished {
    /// The value, which is the caller's now.
    fn into_inner(self) -> Beside {
        ManuallyDrop::new(self).0
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        for block in self.fresh.drain(..) {
            // SAFETY: fresh blocks were never published, so nobody else knows them.
            unsafe { block.free() };
        }
    }
}

impl Drop for Unpublished {
    fn drop(&mut self) {
        match self.0 {
            // SAFETY: it was never published, so nobody else knows it.
            Beside::Document(document) => unsafe { document.free() },
            // SAFETY: likewise.
            Beside::Long(long) => unsafe { long.free() },
        }
    }
}

/// Retired blocks that nobody looks at any more.
struct Retired(Blocks);

impl Drain for Retired {
    fn drain_slice(&mut self) -> bool {
        let left = self.0.len().saturating_sub(BLOCKS_INLINE_MAX);
        for block in self.0.drain(left..) {
            // SAFETY: counted as retired, and its readers are gone.
            unsafe { block.free_retired() };
        }
        !self.0.is_empty()
    }
}
