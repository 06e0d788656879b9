//! What a key can hold, and how a changed value comes to replace the old one.
//!
//! A value is read through a view of an [`Entry`] (`hash::Hash`, `set::Set`, `string::Str` …) and
//! written by building a [`NewValue`], which a successful compare-and-swap turns into an entry.
//!
//! A large value is a tree whose nodes many versions share. Each version has exactly one
//! successor (the compare-and-swap sees to it), so sharing needs no reference counts: an edit
//! lists the blocks it made (*fresh*) and those that only the old version uses (*replaced*).
//! If the swap succeeds, the replaced ones are retired; if it does not, the fresh ones are freed.
//! [`Delta`] carries both lists and frees the fresh ones itself when it is dropped unused.

use smallvec::SmallVec;

use crate::entry::{Form, Kind};
use crate::memory::Block;
use crate::reclaim::Guard;

/// A value that no key holds yet. Dropping it frees what was made for it.
#[derive(Debug)]
pub struct NewValue<'a> {
    pub(crate) kind: Kind,
    pub(crate) form: Form,
    pub(crate) body: Body<'a>,
    pub(crate) origin: Origin,
}

/// What will stand in the entry.
#[derive(Debug)]
pub(crate) enum Body<'a> {
    /// The concatenation of slices, usually of the old value and of arguments.
    Parts(SmallVec<[&'a [u8]; 3]>),
    /// Bytes made for the purpose.
    Owned(Vec<u8>),
}

/// How a value relates to the one it replaces.
#[derive(Debug)]
pub(crate) enum Origin {
    /// It shares nothing: the old value goes as a whole. A tree is owned through its root.
    New,
    /// It shares all but these blocks with the old value.
    Derived(Delta),
}

/// The difference between two versions of a tree, in blocks.
#[derive(Debug, Default)]
pub(crate) struct Delta {
    /// Invariant: nobody but this edit has seen these.
    fresh: Vec<Block>,
    /// Invariant: reachable from the old version and not from the new one.
    replaced: Vec<Block>,
}

impl Delta {
    /// A new block that belongs to the edit until it is published.
    pub(crate) fn allocate(&mut self, bytes: usize) -> Block {
        let block = Block::allocate(bytes);
        self.fresh.push(block);
        block
    }

    /// Notes that the new version does without `block` of the old one.
    pub(crate) fn replace(&mut self, block: Block) {
        self.replaced.push(block);
    }

    /// Appends a later edit of the same value.
    pub(crate) fn append(&mut self, later: &mut Delta) {
        self.fresh.append(&mut later.fresh);
        self.replaced.append(&mut later.replaced);
    }

    /// The new version was published: the old one's blocks go when their readers are gone.
    ///
    /// # Safety
    /// New guards can no longer reach the old version.
    pub(crate) unsafe fn published(mut self, guard: &Guard) {
        self.fresh.clear();
        for block in self.replaced.drain(..) {
            // SAFETY: only the old version used the block, and each edit lists it once.
            unsafe { guard.retire(block) };
        }
    }
}

impl Drop for Delta {
    fn drop(&mut self) {
        for block in self.fresh.drain(..) {
            // SAFETY: fresh blocks were never published, so nobody else knows them.
            unsafe { block.free() };
        }
    }
}
