//! The difference between two versions of a value, in blocks.

use crate::document::Handle;
use crate::memory::Block;
use crate::reclaim::{self, Drain, Guard};

/// More blocks than this are freed by the reaper.
const BLOCKS_INLINE_MAX: usize = 256;

/// What an edit made and what it did away with.
#[derive(Debug, Default)]
pub(crate) struct Delta {
    /// Invariant: nobody but the edit has seen these.
    fresh: Vec<Block>,
    /// Invariant: reachable from the old version and not from the new one.
    replaced: Vec<Block>,
    /// The new version, where it is a large document: nobody but the edit has seen it.
    document: Option<Handle>,
}

impl Delta {
    pub(super) fn new(fresh: Vec<Block>, replaced: Vec<Block>) -> Delta {
        Delta {
            fresh,
            replaced,
            document: None,
        }
    }

    /// A new document, which shares what it shares by its own means.
    pub(crate) fn of_document(document: Handle) -> Delta {
        Delta {
            fresh: Vec::new(),
            replaced: Vec::new(),
            document: Some(document),
        }
    }

    /// Appends a later edit of the same value.
    pub(crate) fn append(&mut self, later: &mut Delta) {
        self.fresh.append(&mut later.fresh);
        self.replaced.append(&mut later.replaced);
        debug_assert!(later.document.is_none(), "a document is never a difference");
    }

    /// The new version will never be published: what was made for it goes at once.
    pub(crate) fn abandoned(self) {
        drop(self);
    }

    /// As [`Delta::abandoned`], when somebody under `guard` may still look at the new version.
    pub(crate) fn retired(mut self, guard: &Guard) {
        if let Some(document) = self.document.take() {
            // SAFETY: never published, so only holders of this guard know it.
            unsafe { document.retire(guard) };
        }
        for block in self.into_fresh() {
            // SAFETY: never published, so only holders of this guard know it.
            unsafe { guard.retire(block) };
        }
    }

    /// What was made, which is the caller's to retire now.
    pub(crate) fn into_fresh(mut self) -> Vec<Block> {
        std::mem::take(&mut self.fresh)
    }

    /// The new version was published: the old one's blocks go when their readers are gone.
    ///
    /// # Safety
    /// New guards can no longer reach the old version.
    pub(crate) unsafe fn published(mut self, guard: &Guard) {
        self.fresh.clear();
        self.document = None;
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
        let last = move || reclaim::reap(Box::new(Blocks(blocks)));
        // SAFETY: as above.
        unsafe { guard.retire_with(bytes, last) };
    }
}

impl Drop for Delta {
    fn drop(&mut self) {
        for block in self.fresh.drain(..) {
            // SAFETY: fresh blocks were never published, so nobody else knows them.
            unsafe { block.free() };
        }
        if let Some(document) = self.document.take() {
            // SAFETY: as above.
            unsafe { document.free() };
        }
    }
}

/// Retired blocks that nobody looks at any more.
struct Blocks(Vec<Block>);

impl Drain for Blocks {
    fn drain_slice(&mut self) -> bool {
        let left = self.0.len().saturating_sub(BLOCKS_INLINE_MAX);
        for block in self.0.drain(left..) {
            // SAFETY: counted as retired, and its readers are gone.
            unsafe { block.free_retired() };
        }
        !self.0.is_empty()
    }
}
