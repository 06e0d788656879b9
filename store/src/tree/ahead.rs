//! Fetching what edits of a batch of elements, or looks at them, will need before the first of
//! them is carried out.
//!
//! The way down a large tree waits for a cache line or two at each level. For a batch these waits
//! overlap: all go down one level before any goes down the next.

use smallvec::SmallVec;

use super::node::{Link, Node};
use super::{Root, Tree, hash_of};
use crate::entry::Entry;

/// A tree of fewer bytes is in the cache if it is used much, and looking ahead costs more than
/// it spares.
const TREE_BYTES_MIN: u64 = 1 << 19;

/// Asks for the leaves in which elements are, or would be, in the tree in an entry of
/// [`Form::Tree`](crate::entry::Form::Tree). One that is about to be edited is read as a whole.
pub(crate) fn prefetch<'k>(
    entry: Entry<'_>,
    keys: impl Iterator<Item = &'k [u8]>,
    is_to_edit: bool,
) {
    if Root::of(entry).memory_bytes < TREE_BYTES_MIN {
        return;
    }
    let tree = Tree::<1>::of(entry);
    let Some(root) = tree.link else {
        return;
    };
    let mut ways: SmallVec<[(u32, Link); 64]> = keys.map(|key| (hash_of(key), root)).collect();
    let levels = match tree.node(root) {
        Node::Inner(inner) => inner.level,
        Node::Leaf(_) => 0,
    };
    for _ in 0..levels {
        for (hash, link) in &mut ways {
            if let Node::Inner(inner) = tree.node(*link) {
                *link = inner.link(inner.child_of(*hash));
                link.prefetch();
            }
        }
    }
    for (hash, link) in ways {
        match tree.node(link) {
            Node::Leaf(items) if is_to_edit => items.prefetch_all(),
            Node::Leaf(items) => items.prefetch_one(hash),
            Node::Inner(_) => {}
        }
    }
}
