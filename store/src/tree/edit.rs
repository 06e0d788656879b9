//! Changes of a tree: copy the leaf, and amend or copy the nodes above it.

use std::cmp::Ordering;
use std::marker::PhantomData;

use smallvec::SmallVec;

use super::inner::{AMENDMENTS_MAX, FANOUT_MAX, FANOUT_MIN, Slot};
use super::ledger::{Grown, Ledger, free_fresh};
use super::node::{
    self, INLINE_BYTES_MAX, Items, LEAF_BYTES_MAX, LEAF_BYTES_MIN, Link, Node, Outside,
    allocate_leaf, leaf_bytes,
};
use super::{Delta, Root, Tree, hash_of, split};
use crate::entry::Entry;
use crate::value::packed::{element_bytes, length_prefix};

/// A tree with changes that nobody else sees yet. Dropping it drops the changes.
#[derive(Debug)]
pub(crate) struct TreeEdit<'a, const ARITY: usize> {
    /// Invariant: every fresh block below is reached by exactly one fresh link, from a fresh node.
    pub(super) link: Option<Link>,
    pub(super) len: u64,
    pub(super) ledger: Ledger,
    _old: PhantomData<&'a ()>,
}

impl<'a, const ARITY: usize> TreeEdit<'a, ARITY> {
    /// Starts from the tree in an entry of `Form::Tree`.
    pub(crate) fn of(entry: Entry<'a>) -> TreeEdit<'a, ARITY> {
        let root = Root::of(entry);
        TreeEdit {
            link: Some(root.link),
            len: root.len,
            ledger: Ledger::new(root.memory_bytes, AMENDMENTS_MAX),
            _old: PhantomData,
        }
    }

    /// A tree of which all is fresh.
    pub(super) fn fresh(link: Option<Link>, len: u64, memory_bytes: u64) -> Self {
        TreeEdit {
            link,
            len,
            ledger: Ledger::new(memory_bytes, AMENDMENTS_MAX),
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
        match self.ledger.node(link) {
            Node::Inner(_) => None,
            Node::Leaf(items) => Some((0..items.len()).map(|at| items.bytes(at).len()).sum()),
        }
    }

    /// Adds a group or replaces the one of its key; whether the key is new.
    pub(crate) fn put(&mut self, group: [&[u8]; ARITY]) -> bool {
        let before = self.len;
        let hash = hash_of(group[0]);
        let root = match self.link {
            None => {
                self.len = 1;
                let element = self.element(hash, &group);
                self.ledger.made(allocate_leaf(&[element.items()]))
            }
            Some(link) => {
                let grown = self.put_below(link, hash, &group);
                self.ledger.root_of(grown)
            }
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
        self.lower();
        true
    }

    /// Does without roots that have one child.
    pub(super) fn lower(&mut self) {
        while let Some(link) = self.link {
            match self.ledger.node(link) {
                Node::Inner(inner) if inner.len() == 1 => self.link = Some(inner.link(0)),
                Node::Inner(_) | Node::Leaf(_) => break,
            }
            self.ledger.discard(link);
        }
    }

    /// The changed tree, unless it is empty, and what it takes to publish it.
    pub(crate) fn finish(mut self) -> Option<(Root, Delta)> {
        let link = self.link.take()?;
        Some(std::mem::take(&mut self.ledger).finish(link, self.len))
    }

    fn put_below(&mut self, link: Link, hash: u32, group: &[&[u8]; ARITY]) -> Grown {
        let (at, child, count) = match self.ledger.node(link) {
            Node::Leaf(_) => return self.put_leaf(link, hash, group),
            Node::Inner(inner) => {
                let at = inner.child_of(hash);
                let (child, count) = inner.child(at);
                child.prefetch_most();
                (at, child, count)
            }
        };
        // Before the child is made: to claim an amendment waits for all that was written before,
        // and the memory of a new leaf is seldom in the cache.
        let place = self.ledger.place_of_child(link, at);
        let before = self.len;
        let grown = self.put_below(child, hash, group);
        let count = count + (self.len - before);
        match grown {
            Grown::One(child) => Grown::One(self.ledger.with_child(place, child, count)),
            Grown::Two((child, count), right) => {
                let inner = self.ledger.inner(link);
                let mut slots = inner.slots();
                slots[at].link = child;
                slots[at].count = count;
                slots.insert(at + 1, right);
                let level = inner.level;
                self.ledger.discard(link);
                self.ledger.grow_inner(level, &slots, slots.len() / 2)
            }
        }
    }

    fn put_leaf(&mut self, link: Link, hash: u32, group: &[&[u8]; ARITY]) -> Grown {
        let Node::Leaf(items) = self.ledger.node(link) else {
            unreachable!("the caller looked")
        };
        let place = place::<ARITY>(items, hash, group[0]);
        if let Ok(at) = place
            && let Some(bytes) = inline_bytes(group)
            && items.is_inline_of(at, bytes)
        {
            // What stands before the last one, the key, is the same.
            let last = group[ARITY - 1];
            // SAFETY: a leaf with that element, of which no view is used any more.
            let changed = unsafe { link.with_element_end(at, last) };
            if !link.is_fresh() {
                self.ledger.made(changed);
                self.ledger.discard(link);
            }
            return Grown::One(changed);
        }
        self.put_anew(link, items, place, &(hash, group))
    }

    /// Puts an element into a leaf that is to be written anew.
    fn put_anew(
        &mut self,
        link: Link,
        items: Items<'_>,
        place: Result<usize, usize>,
        &(hash, group): &(u32, &[&[u8]; ARITY]),
    ) -> Grown {
        let element = self.element(hash, group);
        let (before, after) = match place {
            Ok(at) => {
                if let Some(Outside { block, is_fresh }) = items.outside(at) {
                    // The leaf that names the block goes below, before anyone reads on.
                    self.ledger.discard_block(block, is_fresh);
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
            None => Grown::One(self.ledger.made(allocate_leaf(&runs))),
            Some(at) => {
                let [left, right] = node::parted(&runs, at).map(|runs| allocate_leaf(&runs));
                let count = (items.len() + 1 - (after - before) - at) as u64;
                let left = (self.ledger.made(left), at as u64);
                let right = self.ledger.made(right);
                Grown::Two(left, self.leaf_slot(right, count))
            }
        };
        self.ledger.discard(link);
        grown
    }

    /// A group as it will stand in a leaf.
    fn element(&mut self, hash: u32, group: &[&[u8]; ARITY]) -> Element {
        let element = Element::new(hash, group);
        if let Some(outside) = element.outside {
            self.ledger.count(outside.block);
        }
        element
    }

    fn leaf_slot(&self, link: Link, count: u64) -> Slot {
        match self.ledger.node(link) {
            Node::Leaf(items) => Slot {
                link,
                count,
                first: items.hashes[0],
            },
            Node::Inner(_) => unreachable!("a leaf was made"),
        }
    }

    /// What is left of a node without the element of `key`, which is below it.
    fn remove_below(&mut self, link: Link, hash: u32, key: &[u8]) -> Option<Link> {
        let (at, child, count) = match self.ledger.node(link) {
            Node::Leaf(_) => return self.remove_leaf(link, hash, key),
            Node::Inner(inner) => {
                let at = inner.child_of(hash);
                let (child, count) = inner.child(at);
                (at, child, count)
            }
        };
        if let Some(child) = self.remove_below(child, hash, key) {
            let place = self.ledger.place_of_child(link, at);
            let link = self.ledger.with_child(place, child, count - 1);
            return Some(match self.is_small(child) {
                true => self.join_child(link, at),
                false => link,
            });
        }
        let inner = self.ledger.inner(link);
        let mut slots = inner.slots();
        slots.remove(at);
        let level = inner.level;
        self.ledger.discard(link);
        (!slots.is_empty()).then(|| self.ledger.made_inner(level, &slots))
    }

    fn remove_leaf(&mut self, link: Link, hash: u32, key: &[u8]) -> Option<Link> {
        let Node::Leaf(items) = self.ledger.node(link) else {
            unreachable!("the caller looked")
        };
        let (at, _) = super::find_in::<ARITY>(items, hash, key).expect("the caller looked");
        self.len -= 1;
        if let Some(Outside { block, is_fresh }) = items.outside(at) {
            // The leaf that names the block goes below, before anyone reads on.
            self.ledger.discard_block(block, is_fresh);
        }
        let runs = [items.range(0..at), items.range(at + 1..items.len())];
        let left = (items.len() > 1).then(|| self.ledger.made(allocate_leaf(&runs)));
        self.ledger.discard(link);
        left
    }

    pub(super) fn is_small(&self, link: Link) -> bool {
        match self.ledger.node(link) {
            Node::Leaf(items) => leaf_bytes(&[items]) < LEAF_BYTES_MIN,
            Node::Inner(inner) => inner.len() < FANOUT_MIN,
        }
    }

    /// Joins a small child with a neighbour if both fit in one node.
    fn join_child(&mut self, link: Link, at: usize) -> Link {
        let inner = self.ledger.inner(link);
        let (level, len) = (inner.level, inner.len());
        for left in [at.checked_sub(1), Some(at)].into_iter().flatten() {
            let right = left + 1;
            if right >= len {
                continue;
            }
            let Some(joined) = self.joined(inner.slot(left), inner.slot(right)) else {
                continue;
            };
            let mut slots = inner.slots();
            let gone = slots.remove(right);
            self.ledger.discard(gone.link);
            self.ledger.discard(slots[left].link);
            slots[left].link = joined;
            slots[left].count += gone.count;
            self.ledger.discard(link);
            return self.ledger.made_inner(level, &slots);
        }
        link
    }

    /// One node of two neighbours, if it would not be too large.
    pub(super) fn joined(&mut self, left: Slot, right: Slot) -> Option<Link> {
        match (self.ledger.node(left.link), self.ledger.node(right.link)) {
            (Node::Leaf(left), Node::Leaf(right)) => {
                let runs = [left, right];
                (leaf_bytes(&runs) <= LEAF_BYTES_MAX)
                    .then(|| self.ledger.made(allocate_leaf(&runs)))
            }
            (Node::Inner(a), Node::Inner(b)) if a.len() + b.len() <= FANOUT_MAX => {
                let mut slots = a.slots();
                slots.extend(b.slots());
                slots[a.len()].first = right.first;
                Some(self.ledger.made_inner(a.level, &slots))
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
struct Element {
    hash: [u32; 1],
    end: [u32; 1],
    body: ElementBytes,
    outside: Option<Outside>,
}

impl Element {
    fn new<const ARITY: usize>(hash: u32, group: &[&[u8]; ARITY]) -> Element {
        let mut body = ElementBytes::NONE;
        let outside = encode(group, |bytes| body.push(bytes));
        let end = match outside {
            None => node::inline_end(body.len),
            Some(_) => node::outside_end(body.len),
        };
        Element {
            hash: [hash],
            end: [end],
            body,
            outside,
        }
    }

    fn items(&self) -> Items<'_> {
        Items::new(&self.hash, &self.end, self.body.all())
    }
}

/// What stands in a leaf for an element.
struct ElementBytes {
    bytes: [u8; INLINE_BYTES_MAX],
    len: usize,
}

impl ElementBytes {
    const NONE: ElementBytes = ElementBytes {
        bytes: [0; INLINE_BYTES_MAX],
        len: 0,
    };

    fn push(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        self.bytes[self.len..end].copy_from_slice(bytes);
        self.len = end;
    }

    fn all(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// How many bytes a group takes in a leaf; none if it is too long to stand there.
fn inline_bytes<const ARITY: usize>(group: &[&[u8]; ARITY]) -> Option<usize> {
    let prefixed = group[..ARITY - 1].iter();
    let prefixed_bytes: usize = prefixed.map(|element| element_bytes(element.len())).sum();
    let bytes = prefixed_bytes + group[ARITY - 1].len();
    (bytes <= INLINE_BYTES_MAX).then_some(bytes)
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

/// Where the element of a key stands in a leaf, or else where it would.
pub(super) fn place<const ARITY: usize>(
    items: Items<'_>,
    hash: u32,
    key: &[u8],
) -> Result<usize, usize> {
    let range = items.equal_range(hash);
    for at in range.clone() {
        match split::<ARITY>(items.bytes(at))[0].cmp(key) {
            Ordering::Less => {}
            Ordering::Equal => return Ok(at),
            Ordering::Greater => return Err(at),
        }
    }
    Err(range.end)
}
