//! Fetching what edits of a batch of elements, or looks at them, will need before the first of
//! them is carried out.
//!
//! The way down a large tree waits for two cache lines at each level, one after the other: what
//! the node says of all children, and of the one. For a batch these waits overlap: all go one step
//! before any goes the next.

use smallvec::SmallVec;

use super::inner::Child;
use super::node::Node;
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
    let Some(Node::Inner(top)) = tree.link.map(|root| tree.node(root)) else {
        return;
    };
    let first_step = |key| {
        let hash = hash_of(key);
        let child = top.prefetch_child(top.child_of(hash));
        Way { hash, child }
    };
    let mut ways: SmallVec<[Way<'_>; 64]> = keys.map(first_step).collect();
    for _ in 1..top.level {
        ways.iter().for_each(|way| way.child.link.prefetch());
        for way in &mut ways {
            if let Node::Inner(inner) = tree.node(way.child.link) {
                way.child = inner.prefetch_child(inner.child_of(way.hash));
            }
        }
    }
    ways.iter().for_each(|way| way.child.link.prefetch());
    for way in ways {
        match tree.node(way.child.link) {
            Node::Leaf(items) if is_to_edit => items.prefetch_all(),
            Node::Leaf(items) => items.prefetch_one(way.hash),
            Node::Inner(_) => {}
        }
    }
}

/// How far down the way to an element is known.
struct Way<'g> {
    hash: u32,
    /// What the node there says of the next one.
    child: &'g Child,
}
