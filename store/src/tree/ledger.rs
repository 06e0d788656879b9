//! What an edit made and did away with, and the steps all edits share.

use super::delta::{Blocks, list};
use super::inner::{Amendment, FANOUT_MAX, Inner, Slot, allocate_inner};
use super::node::{Items, Link, Node, Outside};
use super::{Delta, Root};
use crate::memory::{Block, usable_bytes};

/// The blocks of one edit.
///
/// Invariant of the edit that keeps it: every fresh block is reached by exactly one fresh link,
/// from a fresh node or as the root.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// What all blocks of the tree take now, as the allocator rounds it.
    pub(super) memory_bytes: u64,
    /// For how many amendments new inner nodes have room.
    pub(super) room: usize,
    replaced: Blocks,
}

/// Where a node is to get another child.
#[derive(Clone, Copy)]
pub(super) struct Place {
    link: Link,
    at: usize,
    /// None: the node is fresh, or is to be copied.
    amendment: Option<Amendment>,
}

/// What became of a node that was put into.
pub(super) enum Grown {
    One(Link),
    Two((Link, u64), Slot),
}

impl Ledger {
    /// For a tree whose blocks take so many bytes.
    pub(super) fn new(memory_bytes: u64, room: usize) -> Ledger {
        Ledger {
            memory_bytes,
            room,
            replaced: Blocks::new(),
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

    /// The height of a node above the leaves.
    pub(super) fn level(&self, link: Link) -> u8 {
        match self.node(link) {
            Node::Leaf(_) => 0,
            Node::Inner(inner) => inner.level,
        }
    }

    /// Counts a new node.
    pub(super) fn made(&mut self, link: Link) -> Link {
        // SAFETY: the node was just made.
        let bytes = unsafe { link.bytes() };
        self.memory_bytes += usable_bytes(bytes) as u64;
        link
    }

    /// A new inner node.
    pub(super) fn made_inner(&mut self, level: u8, slots: &[Slot]) -> Link {
        self.made(allocate_inner(level, slots, self.room))
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
            list(&mut self.replaced, block);
        }
    }

    /// Counts a new block that is no node.
    pub(super) fn count(&mut self, block: Block) {
        self.memory_bytes += block.usable_bytes() as u64;
    }

    /// Where the inner node `link` is to get another child number `at`: in place if it is fresh,
    /// amended if it can be. The child can be made afterwards.
    pub(super) fn place_of_child(&self, link: Link, at: usize) -> Place {
        let amendment = match link.is_fresh() {
            true => None,
            // SAFETY: an inner node with that child.
            false => unsafe { link.to_amend(at) },
        };
        Place {
            link,
            at,
            amendment,
        }
    }

    /// The inner node with another child of so many elements, which the edit made or amended.
    pub(super) fn with_child(&mut self, place: Place, child: Link, count: u64) -> Link {
        let Place {
            link,
            at,
            amendment,
        } = place;
        if let Some(amendment) = amendment {
            // SAFETY: the edit's own, of a node that nobody views.
            return unsafe { amendment.write(child, count) };
        }
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

    /// An inner node of these children, or two: the left one then has the first `left` of them.
    pub(super) fn grow_inner(&mut self, level: u8, slots: &[Slot], left: usize) -> Grown {
        if slots.len() <= FANOUT_MAX {
            return Grown::One(self.made_inner(level, slots));
        }
        let (left, right) = slots.split_at(left);
        let count = |slots: &[Slot]| slots.iter().map(|slot| slot.count).sum::<u64>();
        let left_link = self.made_inner(level, left);
        let right_slot = Slot {
            link: self.made_inner(level, right),
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
        let level = self.level(link);
        let first = 0;
        let left = Slot { link, count, first };
        self.made_inner(level + 1, &[left, right])
    }

    /// The version under `link`, and what it takes to publish it.
    pub(super) fn finish(self, link: Link, len: u64) -> (Root, Delta) {
        let mut fresh = Blocks::new();
        // Most nodes take the place of another one.
        fresh.reserve(self.replaced.len());
        settle(link, &mut fresh);
        let root = Root {
            link: link.settled(),
            len,
            memory_bytes: self.memory_bytes,
        };
        (root, Delta::new(fresh, self.replaced))
    }
}

/// Takes the edit's marks from all links below and lists the blocks it made.
fn settle(link: Link, fresh: &mut Blocks) {
    if !link.is_marked() {
        return;
    }
    // SAFETY: the edit's nodes are there until it is published or dropped.
    match unsafe { link.node() } {
        // SAFETY: a fresh leaf, and the view above is not used.
        Node::Leaf(_) => unsafe { link.settle_outside(|block| list(fresh, block)) },
        Node::Inner(inner) => {
            link.own_children(inner)
                .for_each(|child| settle(child, fresh));
            // SAFETY: made or amended by the edit, and the view above has ended.
            unsafe { link.settle_children() };
        }
    }
    if link.is_fresh() {
        // SAFETY: the node is there.
        list(fresh, unsafe { link.block() });
    }
}

/// Frees all fresh blocks below.
pub(super) fn free_fresh(link: Link) {
    if !link.is_marked() {
        return;
    }
    // SAFETY: the edit's nodes are there until it is published or dropped.
    match unsafe { link.node() } {
        Node::Leaf(items) => free_fresh_outside(items),
        Node::Inner(inner) => link.own_children(inner).for_each(free_fresh),
    }
    if link.is_fresh() {
        // SAFETY: the node is there.
        let block = unsafe { link.block() };
        // SAFETY: only this edit knew it.
        unsafe { block.free() };
    }
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
