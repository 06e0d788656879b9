//! The difference between two versions of a value, in blocks.

use crate::document::Handle;
use crate::memory::Block;
use crate::reclaim::{self, Drain, Guard};

/// More blocks than this are freed by the reaper.
const BLOCKS_INLINE_MAX: usize = 256;

/// What an edit made and what it did away with: nothing at all where values are flat, which is
/// why that costs one word.
#[derive(Debug, Default)]
pub(crate) struct Delta(Option<Box<Parts>>);

#[derive(Debug)]
struct Parts {
    /// Invariant: nobody but the edit has seen these.
    fresh: Vec<Block>,
    /// Invariant: reachable from the old version and not from the new one.
    replaced: Vec<Block>,
    /// The new version, where it is a large document: nobody but the edit has seen it.
    document: Option<Handle>,
}

impl Delta {
    pub(super) fn new(fresh: Vec<Block>, replaced: Vec<Block>) -> Delta {
        Delta(Some(Box::new(Parts {
            fresh,
            replaced,
            document: None,
        })))
    }

    /// A new document, which shares what it shares by its own means.
    pub(crate) fn of_document(document: Handle) -> Delta {
        Delta(Some(Box::new(Parts {
            fresh: Vec::new(),
            replaced: Vec::new(),
            document: Some(document),
        })))
    }

    /// Appends a later edit of the same value.
    pub(crate) fn append(&mut self, later: &mut Delta) {
        let Some(parts) = &mut self.0 else {
            *self = std::mem::take(later);
            return;
        };
        if let Some(later) = &mut later.0 {
            debug_assert!(later.document.is_none(), "a document is never a difference");
            parts.fresh.append(&mut later.fresh);
            parts.replaced.append(&mut later.replaced);
        }
    }

    /// The new version will never be published: what was made for it goes at once.
    pub(crate) fn abandoned(self) {
        drop(self);
    }

    /// As [`Delta::abandoned`], when somebody under `guard` may still look at the new version.
    pub(crate) fn retired(mut self, guard: &Guard) {
        let document = self.0.as_mut().and_then(|parts| parts.document.take());
        if let Some(document) = document {
            // SAFETY: never published, so only holders of this guard know it.
            unsafe { document.retire(guard) };
        }
        for block in self.into_fresh() {
            // SAFETY: never published, so only holders of this guard know it.
            unsafe { guard.retire(block) };
        }
    }

    /// What was made, which is the caller's to retire now.
    pub(crate) fn into_fresh(self) -> Vec<Block> {
        let fresh = self.0.map(|mut parts| std::mem::take(&mut parts.fresh));
        fresh.unwrap_or_default()
    }

    /// The new version was published: the old one's blocks go when their readers are gone.
    ///
    /// # Safety
    /// New guards can no longer reach the old version.
    pub(crate) unsafe fn published(self, guard: &Guard) {
        let Some(mut parts) = self.0 else {
            return;
        };
        parts.fresh.clear();
        parts.document = None;
        let blocks = std::mem::take(&mut parts.replaced);
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

impl Drop for Parts {
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
