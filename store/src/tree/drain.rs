//! The end of a whole tree: counted at once, freed in slices.

use smallvec::SmallVec;

use super::Root;
use super::node::{Link, Node};
use crate::entry::Entry;
use crate::memory::{self, Block};
use crate::reclaim::{self, DROP_INLINE_BYTES, Drain, Guard};
use crate::table::prefetch;

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
        let mut blocks: SmallVec<[Block; SLICE_BLOCKS]> = SmallVec::new();
        while blocks.len() < SLICE_BLOCKS
            && let Some(link) = self.nodes.pop()
        {
            // SAFETY: the invariant.
            match unsafe { link.node() } {
                Node::Inner(inner) => {
                    let links = inner.slots().into_iter().map(|slot| slot.link);
                    self.nodes
                        .extend(links.inspect(|link| prefetch(link.start().addr().get())));
                }
                Node::Leaf(items) => blocks.extend(items.all_outside().map(|it| it.block)),
            }
            // SAFETY: the invariant.
            blocks.push(unsafe { link.block() });
        }
        // SAFETY: the invariant: nothing else names these blocks, and no view of a node is left.
        unsafe { Block::free_all_retired(&blocks) };
        !self.nodes.is_empty()
    }
}
