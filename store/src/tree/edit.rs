//! Changes of a tree: copy the path, then work on the copy.

use std::cmp::Ordering;
use std::marker::PhantomData;

use smallvec::SmallVec;

use super::node::{
    self, FANOUT_MAX, FANOUT_MIN, INLINE_BYTES_MAX, Inner, Items, LEAF_BYTES_MAX, LEAF_BYTES_MIN,
    Link, Node, Outside, Slot, allocate_inner, allocate_leaf, leaf_bytes,
};
use super::{Delta, Root, Tree, hash_of, split};
use crate::entry::Entry;
use crate::memory::{Block, usable_bytes};
use crate::value::packed::length_prefix;

/// The children of one node, with room for one too many.
type Slots = SmallVec<[Slot; FANOUT_MAX + 1]>;

/// A tree with changes that nobody else sees yet. Dropping it drops the changes.
#[derive(Debug)]
pub(crate) struct TreeEdit<'a, const ARITY: usize> {
    /// Invariant: every fresh block below is reached by exactly one fresh link, from a fresh node.
    link: Option<Link>,
    len: u64,
    pub(super) memory_bytes: u64,
    replaced: Vec<Block>,
    _old: PhantomData<&'a ()>,
}

/// What became of a node that was put into.
enum Grown {
    One(Link),
    Two((Link, u64), Slot),
}

impl<'a, const ARITY: usize> TreeEdit<'a, ARITY> {
    /// Starts from the tree in an entry of `Form::Tree`.
    pub(crate) fn of(entry: Entry<'a>) -> TreeEdit<'a, ARITY> {
        let root = Root::of(entry);
        TreeEdit {
            link: Some(root.link),
            len: root.len,
            memory_bytes: root.memory_bytes,
            replaced: Vec::new(),
            _old: PhantomData,
        }
    }

    /// A tree of which all is fresh.
    pub(super) fn fresh(link: Option<Link>, len: u64, memory_bytes: u64) -> Self {
        TreeEdit {
            link,
            len,
            memory_bytes,
            replaced: Vec::new(),
            _old: PhantomData,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len as usize
    }

    /// The tree as it is now.
    pub(crate) fn view(&self) -> Tree<'_, ARITY> {
        Tree {
            link: self.link,
            len: self.len,
            _guard: PhantomData,
        }
    }

    /// The bytes of all elements, if they are few enough to stand in one leaf.
    pub(crate) fn leaf_bytes(&self) -> Option<usize> {
        let link = self.link?;
        match self.node(link) {
            Node::Inner(_) => None,
            Node::Leaf(items) => Some((0..items.len()).map(|at| items.bytes(at).len()).sum()),
        }
    }

    /// Adds a group or replaces the one of its key; whether the key is new.
    pub(crate) fn put(&mut self, group: [&[u8]; ARITY]) -> bool {
        let before = self.len;
        let element = Element::new(hash_of(group[0]), &group);
        if let Some(outside) = element.outside {
            self.memory_bytes += usable_bytes(outside.block.bytes()) as u64;
        }
        let root = match self.link {
            None => {
                self.len = 1;
                self.made(allocate_leaf(&[element.items()]))
            }
            Some(link) => match self.put_below(link, &element) {
                Grown::One(link) => link,
                Grown::Two((link, count), right) => {
                    let level = match self.node(link) {
                        Node::Leaf(_) => 0,
                        Node::Inner(inner) => inner.level,
                    };
                    let first = 0;
                    let left = Slot { link, count, first };
                    self.made(allocate_inner(level + 1, &[left, right]))
                }
            },
        };
        self.link = Some(root);
        self.len > before
    }

    /// Removes the group of a key; whether there was one.
    pub(crate) fn remove(&mut self, key: &[u8]) -> bool {
        let Some(link) = self.link.filter(|_| self.view().find(key).is_some()) else {
            return false;
        };
        self.link = self.remove_below(link, hash_of(key), key);
        while let Some(link) = self.link {
            match self.node(link) {
                Node::Inner(Inner { links: [only], .. }) => self.link = Some(*only),
                Node::Inner(_) | Node::Leaf(_) => break,
            }
            self.discard(link);
        }
        true
    }

    /// The changed tree, unless it is empty, and what it takes to publish it.
    pub(crate) fn finish(mut self) -> Option<(Root, Delta)> {
        let link = self.link.take()?;
        let mut fresh = Vec::with_capacity(8);
        settle(link, &mut fresh);
        let root = Root {
            link: link.settled(),
            len: self.len,
            memory_bytes: self.memory_bytes,
        };
        Some((root, Delta::new(fresh, std::mem::take(&mut self.replaced))))
    }

    fn node<'n>(&self, link: Link) -> Node<'n> {
        // SAFETY: the tree's nodes are there as long as the edit does not discard them, and the
        // callers let go of a view before they change or discard its node.
        unsafe { link.node() }
    }

    fn inner<'n>(&self, link: Link) -> Inner<'n> {
        match self.node(link) {
            Node::Inner(inner) => inner,
            Node::Leaf(_) => unreachable!("a leaf has no children"),
        }
    }

    /// Counts a new node.
    fn made(&mut self, link: Link) -> Link {
        // SAFETY: the node was just made.
        let bytes = unsafe { link.bytes() };
        self.memory_bytes += usable_bytes(bytes) as u64;
        link
    }

    /// Does without a node.
    fn discard(&mut self, link: Link) {
        // SAFETY: the node is there until now.
        let block = unsafe { link.block() };
        self.discard_block(block, link.is_fresh());
    }

    fn discard_block(&mut self, block: Block, is_fresh: bool) {
        self.memory_bytes -= usable_bytes(block.bytes()) as u64;
        if is_fresh {
            // SAFETY: only this edit knew the block, and nothing leads to it any more.
            unsafe { block.free() };
        } else {
            self.replaced.push(block);
        }
    }

    fn put_below(&mut self, link: Link, element: &Element<'_>) -> Grown {
        let (at, child) = match self.node(link) {
            Node::Leaf(_) => return self.put_leaf(link, element),
            Node::Inner(inner) => {
                let at = inner.child_of(element.hash[0]);
                inner.links[at].prefetch();
                (at, inner.links[at])
            }
        };
        let before = self.len;
        let grown = self.put_below(child, element);
        let added = self.len - before;
        match grown {
            Grown::One(child) => Grown::One(self.with_child(link, at, child, |was| was + added)),
            Grown::Two((child, count), right) => {
                let inner = self.inner(link);
                let mut slots: Slots = inner.slots().collect();
                slots[at].link = child;
                slots[at].count = count;
                slots.insert(at + 1, right);
                let level = inner.level;
                self.discard(link);
                self.grow_inner(level, &slots)
            }
        }
    }

    fn grow_inner(&mut self, level: u8, slots: &[Slot]) -> Grown {
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

    fn put_leaf(&mut self, link: Link, element: &Element<'_>) -> Grown {
        let Node::Leaf(items) = self.node(link) else {
            unreachable!("the caller looked")
        };
        let (before, after) = match place::<ARITY>(items, element) {
            Ok(at) => {
                if let Some(Outside { block, is_fresh }) = items.outside(at) {
                    // The leaf that names the block goes below, before anyone reads on.
                    self.discard_block(block, is_fresh);
                }
                (at, at + 1)
            }
            Err(at) => {
                self.len += 1;
                (at, at)
            }
        };
        let runs = [
            items.range(0..before),
            element.items(),
            items.range(after..items.len()),
        ];
        let at = match leaf_bytes(&runs) > LEAF_BYTES_MAX {
            true => node::cut(&runs),
            false => None,
        };
        let grown = match at {
            None => Grown::One(self.made(allocate_leaf(&runs))),
            Some(at) => {
                let [left, right] = node::parted(&runs, at).map(|runs| allocate_leaf(&runs));
                let count = (items.len() + 1 - (after - before) - at) as u64;
                let left = (self.made(left), at as u64);
                let right = self.made(right);
                Grown::Two(left, self.leaf_slot(right, count))
            }
        };
        self.discard(link);
        grown
    }

    fn leaf_slot(&self, link: Link, count: u64) -> Slot {
        match self.node(link) {
            Node::Leaf(items) => Slot {
                link,
                count,
                first: items.hashes[0],
            },
            Node::Inner(_) => unreachable!("a leaf was made"),
        }
    }

    /// The inner node with another child, in place if it is fresh.
    fn with_child(
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

    /// What is left of a node without the element of `key`, which is below it.
    fn remove_below(&mut self, link: Link, hash: u32, key: &[u8]) -> Option<Link> {
        let (at, child) = match self.node(link) {
            Node::Leaf(_) => return self.remove_leaf(link, hash, key),
            Node::Inner(inner) => {
                let at = inner.child_of(hash);
                (at, inner.links[at])
            }
        };
        if let Some(child) = self.remove_below(child, hash, key) {
            let link = self.with_child(link, at, child, |was| was - 1);
            return Some(match self.is_small(child) {
                true => self.join_child(link, at),
                false => link,
            });
        }
        let inner = self.inner(link);
        let mut slots: Slots = inner.slots().collect();
        slots.remove(at);
        let level = inner.level;
        self.discard(link);
        (!slots.is_empty()).then(|| self.made(allocate_inner(level, &slots)))
    }

    fn remove_leaf(&mut self, link: Link, hash: u32, key: &[u8]) -> Option<Link> {
        let Node::Leaf(items) = self.node(link) else {
            unreachable!("the caller looked")
        };
        let (at, _) = super::find_in::<ARITY>(items, hash, key).expect("the caller looked");
        self.len -= 1;
        if let Some(Outside { block, is_fresh }) = items.outside(at) {
            // The leaf that names the block goes below, before anyone reads on.
            self.discard_block(block, is_fresh);
        }
        let runs = [items.range(0..at), items.range(at + 1..items.len())];
        let left = (items.len() > 1).then(|| self.made(allocate_leaf(&runs)));
        self.discard(link);
        left
    }

    fn is_small(&self, link: Link) -> bool {
        match self.node(link) {
            Node::Leaf(items) => leaf_bytes(&[items]) < LEAF_BYTES_MIN,
            Node::Inner(inner) => inner.links.len() < FANOUT_MIN,
        }
    }

    /// Joins a small child with a neighbour if both fit in one node.
    fn join_child(&mut self, link: Link, at: usize) -> Link {
        let inner = self.inner(link);
        let (level, len) = (inner.level, inner.links.len());
        for left in [at.checked_sub(1), Some(at)].into_iter().flatten() {
            let right = left + 1;
            if right >= len {
                continue;
            }
            let Some(joined) = self.joined(inner.slot(left), inner.slot(right)) else {
                continue;
            };
            let mut slots: Slots = inner.slots().collect();
            let gone = slots.remove(right);
            self.discard(gone.link);
            self.discard(slots[left].link);
            slots[left].link = joined;
            slots[left].count += gone.count;
            self.discard(link);
            return self.made(allocate_inner(level, &slots));
        }
        link
    }

    /// One node of two neighbours, if it would not be too large.
    fn joined(&mut self, left: Slot, right: Slot) -> Option<Link> {
        match (self.node(left.link), self.node(right.link)) {
            (Node::Leaf(left), Node::Leaf(right)) => {
                let runs = [left, right];
                (leaf_bytes(&runs) <= LEAF_BYTES_MAX).then(|| self.made(allocate_leaf(&runs)))
            }
            (Node::Inner(a), Node::Inner(b)) if a.links.len() + b.links.len() <= FANOUT_MAX => {
                let mut slots: Slots = a.slots().chain(b.slots()).collect();
                slots[a.links.len()].first = right.first;
                Some(self.made(allocate_inner(a.level, &slots)))
            }
            _ => None,
        }
    }
}

impl<const ARITY: usize> Drop for TreeEdit<'_, ARITY> {
    fn drop(&mut self) {
        if let Some(link) = self.link {
            free_fresh(link);
        }
    }
}

/// An element about to be put into a leaf.
struct Element<'k> {
    key: &'k [u8],
    hash: [u32; 1],
    end: [u32; 1],
    body: SmallVec<[u8; INLINE_BYTES_MAX + 1]>,
    outside: Option<Outside>,
}

impl<'k> Element<'k> {
    fn new<const ARITY: usize>(hash: u32, group: &[&'k [u8]; ARITY]) -> Element<'k> {
        let mut body = SmallVec::new();
        let outside = encode(group, |bytes| body.extend_from_slice(bytes));
        let end = match outside {
            None => node::inline_end(body.len()),
            Some(_) => node::outside_end(body.len()),
        };
        Element {
            key: group[0],
            hash: [hash],
            end: [end],
            body,
            outside,
        }
    }

    fn items(&self) -> Items<'_> {
        Items::new(&self.hash, &self.end, &self.body)
    }
}

/// Writes what stands in a leaf for a group, and makes a block for it if it is long.
pub(super) fn encode<const ARITY: usize>(
    group: &[&[u8]; ARITY],
    mut write: impl FnMut(&[u8]),
) -> Option<Outside> {
    let mut prefixes = [([0; 5], 0); ARITY];
    let mut bytes = group[ARITY - 1].len();
    for (prefix, element) in prefixes.iter_mut().zip(&group[..ARITY - 1]) {
        *prefix = length_prefix(element.len());
        bytes += prefix.1 + element.len();
    }
    // The last element's prefix is empty.
    let parts = prefixes
        .iter()
        .zip(group)
        .flat_map(|((prefix, used), element)| [&prefix[..*used], element]);
    if bytes <= INLINE_BYTES_MAX {
        parts.for_each(write);
        return None;
    }
    let outside = Outside::allocate(&parts.collect::<SmallVec<[&[u8]; 4]>>());
    write(&outside.to_bytes());
    Some(outside)
}

/// Where an element stands in a leaf, or else where it would.
fn place<const ARITY: usize>(items: Items<'_>, element: &Element<'_>) -> Result<usize, usize> {
    let range = items.equal_range(element.hash[0]);
    for at in range.clone() {
        match split::<ARITY>(items.bytes(at))[0].cmp(element.key) {
            Ordering::Less => {}
            Ordering::Equal => return Ok(at),
            Ordering::Greater => return Err(at),
        }
    }
    Err(range.end)
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
