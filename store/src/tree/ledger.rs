//! What an edit made and did away with, and the steps all edits share.

use smallvec::SmallVec;

use super::node::{FANOUT_MAX, Inner, Items, Link, Node, Outside, Slot, allocate_inner};
use super::{Delta, Root};
use crate::memory::{Block, usable_bytes};

/// The children of one node, with room for one too many.
pub(super) type Slots = SmallVec<[Slot; FANOUT_MAX + 1]>;

/// The blocks of one edit.
///
/// Invariant of the edit that keeps it: every fresh block is reached by exactly one fresh link,
/// from a fresh node or as the root.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// What all blocks of the tree take now, as the allocator rounds it.
    pub(super) memory_bytes: u64,
    replaced: Vec<Block>,
}

/// What became of a node that was put into.
pub(super) enum Grown {
    One(Link),
    Two((Link, u64), Slot),
}

impl Ledger {
    /// For a tree whose blocks take so many bytes.
    pub(super) fn new(memory_bytes: u64) -> Ledger {
        Ledger {
            memory_bytes,
            replaced: Vec::new(),
        }
    }

    pub(super) fn node<'n>(&self, link: Link) -> Node<'n> {
        // SAFETY: the tree's nodes are there as long as the edit does not discard them, and the
        // callers let go of a view before they change or discard its node.
        unsafe { link.node() }
    }

    pub(super) fn inner<'n>(&self, link: Link) -> Inner<'n> {
        match self.node(link) {
            Node::Inner(inner) => inner,
            Node::Leaf(_) => unreachable!("a leaf has no children"),
        }
    }

    /// Counts a new node.
    pub(super) fn made(&mut self, link: Link) -> Link {
        // SAFETY: the node was just made.
        let bytes = unsafe { link.bytes() };
        self.memory_bytes += usable_bytes(bytes) as u64;
        link
    }

    /// Does without a node.
    pub(super) fn discard(&mut self, link: Link) {
        // SAFETY: the node is there until now.
        let block = unsafe { link.block() };
        self.discard_block(block, link.is_fresh());
    }

    pub(super) fn discard_block(&mut self, block: Block, is_fresh: bool) {
        self.memory_bytes -= block.usable_bytes() as u64;
        if is_fresh {
            // SAFETY: only this edit knew the block, and nothing leads to it any more.
            unsafe { block.free() };
        } else {
            self.replaced.push(block);
        }
    }

    /// Counts a new block that is no node.
    pub(super) fn count(&mut self, block: Block) {
        self.memory_bytes += block.usable_bytes() as u64;
    }

    /// The inner node with another child, in place if it is fresh.
    pub(super) fn with_child(
        &mut self,
        link: Link,
        at: usize,
        child: Link,
        count: impl FnOnce(u64) -> u64,
    ) -> Link {
        let count = count(self.inner(link).counts[at]);
        let mut target = link;
        if !link.is_fresh() {
            // SAFETY: the node is there.
            let copy = unsafe { link.copy() };
            target = self.made(copy);
            self.discard(link);
        }
        // SAFETY: a fresh inner node with that child, which nobody views.
        unsafe { target.write_child(at, child, count) };
        target
    }

    /// An inner node of these children, or two.
    pub(super) fn grow_inner(&mut self, level: u8, slots: &[Slot]) -> Grown {
        if slots.len() <= FANOUT_MAX {
            return Grown::One(self.made(allocate_inner(level, slots)));
        }
        let (left, right) = slots.split_at(slots.len() / 2);
        let count = |slots: &[Slot]| slots.iter().map(|slot| slot.count).sum::<u64>();
        let left_link = self.made(allocate_inner(level, left));
        let right_slot = Slot {
            link: self.made(allocate_inner(level, right)),
            count: count(right),
            first: right[0].first,
        };
        Grown::Two((left_link, count(left)), right_slot)
    }

    /// The root that what became of the old root needs.
    pub(super) fn root_of(&mut self, grown: Grown) -> Link {
        let ((link, count), right) = match grown {
            Grown::One(link) => return link,
            Grown::Two(left, right) => (left, right),
        };
        let level = match self.node(link) {
            Node::Leaf(_) => 0,
            Node::Inner(inner) => inner.level,
        };
        let first = 0;
        let left = Slot { link, count, first };
        self.made(allocate_inner(level + 1, &[left, right]))
    }

    /// The version under `link`, and what it takes to publish it.
    pub(super) fn finish(self, link: Link, len: u64) -> (Root, Delta) {
        let mut fresh = Vec::with_capacity(8);
        settle(link, &mut fresh);
        let root = Root {
            link: link.settled(),
            len,
            memory_bytes: self.memory_bytes,
        };
        (root, Delta::new(fresh, self.replaced))
    }
}

/// Takes the marks of freshness from all links below and lists the blocks that had one.
fn settle(link: Link, fresh: &mut Vec<Block>) {
    if !link.is_fresh() {
        return;
    }
    // SAFETY: fresh nodes are there until the edit is published or dropped.
    let children = match unsafe { link.node() } {
        Node::Leaf(_) => {
            // SAFETY: a fresh leaf, and the view above has ended.
            unsafe { link.settle_outside(|block| fresh.push(block)) };
            0
        }
        Node::Inner(inner) => inner.links.len(),
    };
    for at in 0..children {
        // SAFETY: as above; each view ends before the write.
        let Node::Inner(inner) = (unsafe { link.node() }) else {
            unreachable!("it has children")
        };
        let Slot {
            link: child, count, ..
        } = inner.slot(at);
        if child.is_fresh() {
            settle(child, fresh);
            // SAFETY: a fresh inner node with that child, which nobody views.
            unsafe { link.write_child(at, child.settled(), count) };
        }
    }
    // SAFETY: the node is there.
    fresh.push(unsafe { link.block() });
}

/// Frees all fresh blocks below.
pub(super) fn free_fresh(link: Link) {
    if !link.is_fresh() {
        return;
    }
    // SAFETY: fresh nodes are there until the edit is published or dropped.
    match unsafe { link.node() } {
        Node::Leaf(items) => free_fresh_outside(items),
        Node::Inner(inner) => inner.links.iter().copied().for_each(free_fresh),
    }
    // SAFETY: the node is there.
    let block = unsafe { link.block() };
    // SAFETY: only this edit knew it.
    unsafe { block.free() };
}

/// Frees the blocks of fresh elements.
pub(super) fn free_fresh_outside(items: Items<'_>) {
    for Outside { block, is_fresh } in items.all_outside() {
        if is_fresh {
            // SAFETY: only this edit knew it.
            unsafe { block.free() };
        }
    }
}
