//! Fetching what edits of a batch of elements, or looks at them, will need before the first of
//! them is carried out.
//!
//! The way down a large tree waits for two cache lines at each level, one after the other: what
//! the node says of all children, and of the one. For a batch these waits overlap: all go one step
//! before any goes the next.

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
    let way = |key| Way {
        hash: hash_of(key),
        link: root,
        child: 0,
    };
    let mut ways: SmallVec<[Way; 64]> = keys.map(way).collect();
    let levels = match tree.node(root) {
        Node::Inner(inner) => inner.level,
        Node::Leaf(_) => 0,
    };
    for _ in 0..levels {
        for way in &mut ways {
            if let Node::Inner(inner) = tree.node(way.link) {
                way.child = inner.child_of(way.hash);
                inner.prefetch_child(way.child);
            }
        }
        for way in &mut ways {
            if let Node::Inner(inner) = tree.node(way.link) {
                way.link = inner.link(way.child);
                way.link.prefetch();
            }
        }
    }
    for way in ways {
        match tree.node(way.link) {
            Node::Leaf(items) if is_to_edit => items.prefetch_all(),
            Node::Leaf(items) => items.prefetch_one(way.hash),
            Node::Inner(_) => {}
        }
    }
}

/// How far down the way to an element is known.
struct Way {
    hash: u32,
    link: Link,
    /// The number of the child below `link` on the way.
    child: usize,
}
