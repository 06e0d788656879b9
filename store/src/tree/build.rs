//! A tree made from elements that come in order, in linear time.

use super::edit::encode;
use super::inner::{FANOUT_MAX, Slot, allocate_inner};
use super::ledger::{free_fresh, free_fresh_outside};
use super::node::{self, Items, LEAF_BYTES_MAX, Link, allocate_leaf, leaf_bytes_of};
use super::{Tree, TreeEdit, hash_of, split};
use crate::memory::usable_bytes;

/// The tree of groups with different keys in any order.
pub(crate) fn build<'k, const ARITY: usize>(
    groups: impl Iterator<Item = [&'k [u8]; ARITY]>,
) -> TreeEdit<'static, ARITY> {
    let mut ordered: Vec<_> = groups.map(|group| (hash_of(group[0]), group)).collect();
    ordered.sort_unstable();
    let mut builder = Builder::new();
    for (hash, group) in &ordered {
        builder.push(*hash, group);
    }
    builder.finish()
}

/// Takes groups in rising order of (hash, key).
#[derive(Debug, Default)]
pub(crate) struct Builder<const ARITY: usize> {
    /// The elements of the leaf that is being filled. Never empty after the first push.
    hashes: Vec<u32>,
    ends: Vec<u32>,
    body: Vec<u8>,
    /// Finished nodes without a parent, those of a level together, from the leaves up.
    levels: Vec<Vec<Slot>>,
    len: u64,
    memory_bytes: u64,
}

impl<const ARITY: usize> Builder<ARITY> {
    pub(crate) fn new() -> Builder<ARITY> {
        Builder::default()
    }

    /// Starts with the groups of a tree.
    pub(crate) fn with(tree: Tree<'_, ARITY>) -> Builder<ARITY> {
        let mut builder = Builder::new();
        for (hash, group) in tree.iter() {
            builder.push(hash, &group);
        }
        builder
    }

    pub(crate) fn len(&self) -> usize {
        self.len as usize
    }

    /// The element pushed last: its hash and key.
    pub(crate) fn last(&self) -> Option<(u32, &[u8])> {
        let at = self.hashes.len().checked_sub(1)?;
        Some((self.hashes[at], split::<ARITY>(self.items().bytes(at))[0]))
    }

    /// Appends a group. It must come behind [`Builder::last`].
    pub(crate) fn push(&mut self, hash: u32, group: &[&[u8]; ARITY]) {
        debug_assert!(self.last().is_none_or(|last| last < (hash, group[0])));
        let start = self.body.len();
        let outside = encode(group, |bytes| self.body.extend_from_slice(bytes));
        let is_full = leaf_bytes_of(self.hashes.len() + 1, self.body.len()) > LEAF_BYTES_MAX;
        if is_full && self.hashes.last().is_some_and(|&last| last != hash) {
            let element = self.body.split_off(start);
            self.close_leaf();
            self.body.extend_from_slice(&element);
        }
        self.hashes.push(hash);
        self.ends.push(match outside {
            None => node::inline_end(self.body.len()),
            Some(_) => node::outside_end(self.body.len()),
        });
        if let Some(outside) = outside {
            self.memory_bytes += outside.block.usable_bytes() as u64;
        }
        self.len += 1;
    }

    /// The tree.
    pub(crate) fn finish(mut self) -> TreeEdit<'static, ARITY> {
        if !self.hashes.is_empty() {
            self.close_leaf();
        }
        let mut level = 0;
        while level < self.levels.len() {
            let is_top = level + 1 == self.levels.len();
            if is_top && self.levels[level].len() == 1 {
                break;
            }
            self.close_inner(level);
            level += 1;
        }
        let root = self.levels.pop().and_then(|mut top| top.pop());
        TreeEdit::fresh(root.map(|slot| slot.link), self.len, self.memory_bytes)
    }

    fn items(&self) -> Items<'_> {
        Items::new(&self.hashes, &self.ends, &self.body)
    }

    fn close_leaf(&mut self) {
        let slot = Slot {
            link: allocate_leaf(&[self.items()]),
            count: self.hashes.len() as u64,
            first: self.hashes[0],
        };
        self.hashes.clear();
        self.ends.clear();
        self.body.clear();
        self.add(0, slot);
    }

    fn add(&mut self, level: usize, slot: Slot) {
        self.count(slot.link);
        if level == self.levels.len() {
            self.levels.push(Vec::with_capacity(FANOUT_MAX));
        }
        if self.levels[level].len() == FANOUT_MAX {
            self.close_inner(level);
        }
        self.levels[level].push(slot);
    }

    /// Puts the nodes of a level under a parent.
    fn close_inner(&mut self, level: usize) {
        let slots = &mut self.levels[level];
        let slot = Slot {
            link: allocate_inner(level as u8 + 1, slots, 0),
            count: slots.iter().map(|slot| slot.count).sum(),
            first: slots[0].first,
        };
        slots.clear();
        self.add(level + 1, slot);
    }

    fn count(&mut self, link: Link) {
        // SAFETY: the node was just made.
        let bytes = unsafe { link.bytes() };
        self.memory_bytes += usable_bytes(bytes) as u64;
    }
}

impl<const ARITY: usize> Drop for Builder<ARITY> {
    fn drop(&mut self) {
        free_fresh_outside(self.items());
        for slot in self.levels.iter().flatten() {
            free_fresh(slot.link);
        }
    }
}
