//! The end of a whole tree: counted at once, freed in slices.

use super::Root;
use super::node::{Link, Node};
use crate::entry::Entry;
use crate::memory;
use crate::reclaim::{self, DROP_INLINE_BYTES, Drain, Guard};

/// How many blocks a slice frees, about.
const SLICE_BLOCKS: usize = 256;

/// Retires the tree behind an entry of `Form::Tree`: in constant time, and a large one is freed
/// by the reaper.
///
/// # Safety
/// New guards cannot reach the tree, and it is retired only once.
pub(crate) unsafe fn retire_tree(entry: Entry<'_>, guard: &Guard) {
    let root = Root::of(entry);
    let bytes = root.memory_bytes as usize;
    memory::count_retired(bytes as i64);
    let mut drain = TreeDrain::new(root);
    let last = move || {
        if bytes > DROP_INLINE_BYTES {
            reclaim::reap(Box::new(drain));
        } else {
            while drain.drain_slice() {}
        }
    };
    // SAFETY: passed on to the caller.
    unsafe { guard.retire_with(bytes, last) };
}

/// Invariant: below `nodes` is all that is left of a tree that nobody looks at any more.
pub(super) struct TreeDrain {
    nodes: Vec<Link>,
}

impl TreeDrain {
    pub(super) fn new(root: Root) -> TreeDrain {
        TreeDrain {
            nodes: vec![root.link],
        }
    }
}

impl Drain for TreeDrain {
    fn drain_slice(&mut self) -> bool {
        let mut freed = 0;
        while freed < SLICE_BLOCKS {
            let Some(link) = self.nodes.pop() else {
                return false;
            };
            // SAFETY: the invariant.
            match unsafe { link.node() } {
                Node::Inner(inner) => self
                    .nodes
                    .extend(inner.slots().iter().map(|slot| slot.link)),
                Node::Leaf(items) => {
                    for outside in items.all_outside() {
                        // SAFETY: the invariant; only this leaf names the block.
                        unsafe { outside.block.free_retired() };
                        freed += 1;
                    }
                }
            }
            // SAFETY: the invariant.
            let block = unsafe { link.block() };
            // SAFETY: as above, and the view of the node has ended.
            unsafe { block.free_retired() };
            freed += 1;
        }
        !self.nodes.is_empty()
    }
}
