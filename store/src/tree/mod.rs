//! The copy-on-write counted B+tree under every large collection.
//!
//! # Shape
//!
//! Elements are groups of byte strings (a set's member, a hash's field and value), known by the
//! first of the group. They stand in the leaves in the order of (hash, bytes), where the hash is
//! 32 bits of rapidhash under a secret that the process draws at its start. Inner nodes have up
//! to 32 children and say below which child a hash belongs and how many elements each child has.
//! Elements of one hash are never parted, so that hashes alone lead the way down.
//!
//! Five things follow from that order:
//!
//! - random keys are compared as numbers, bytes only in the leaf;
//! - a *scan* has the hash where it goes on for a cursor. No change of the tree moves an element
//!   to another hash, so an element that is there all the time is visited;
//! - two large sets are *merged* in one pass without a table of what was seen;
//! - a result of such a merge comes in order, so that [`Builder`] makes its tree in linear time;
//! - many changes, put in order, change each node once (`bulk`).
//!
//! Counts make the element number `n`, and with it a random one, a walk down.
//!
//! # Memory
//!
//! What a version shows of a node never changes after it was published, so a leaf needs no room
//! to grow: each is a block of exactly its size, and an element costs its bytes plus 6 to 8, plus
//! what the allocator rounds. Inner nodes have some room behind what the version shows (`inner`).
//! Measured with a million elements: 58 bytes for a field of 16 bytes with a value of 32, 25 for a
//! member of 16. An element of more than 255 bytes has a block of its own and is copied by
//! address.
//!
//! A leaf has up to 1 kB. With 2 kB the memory is the same (and 3 percent less for sets of short
//! members), but a random HSET or HGET among a million fields takes a tenth to a quarter longer,
//! since both pay by the cache lines they touch.
//!
//! # Versions
//!
//! An entry holds a root record ([`Root`]). [`TreeEdit`] starts from one, copies the leaf of each
//! element it changes and *amends* the nodes above it, or copies those that have no room left:
//! what it changed is in the nodes of older versions, too, but only links of later ones say so
//! (`inner`). Blocks it made are *fresh*: links to them carry a mark, as do links to nodes it
//! amended, so the edit changes in place what is its own, frees it when it goes before it was
//! ever seen, and finds it all in the end. Old blocks it no longer needs are listed as
//! *replaced*. Every version has exactly one successor (the compare-and-swap that publishes it
//! sees to that), so a block is replaced once, and retiring it then is all the bookkeeping there
//! is: no reference counts.
//!
//! The invariant on which every `unsafe` here stands: whatever a view of lifetime `'g` can reach
//! is live, or was retired under a guard that `'g` belongs to, and does not change during `'g`.

use std::marker::PhantomData;
use std::sync::LazyLock;

use rapidhash::v3::{RapidSecrets, rapidhash_v3_seeded};
use smallvec::SmallVec;

use crate::entry::{Entry, Form};
use crate::pace;
use crate::sync::IS_MODEL;
use node::{Items, Link, Node};

mod ahead;
mod build;
mod bulk;
mod chunks;
mod delta;
mod drain;
mod edit;
mod inner;
mod ledger;
mod node;

pub(crate) use ahead::prefetch;
pub(crate) use build::{Builder, build};
pub(crate) use bulk::{MANY, are_surely_distinct};
pub(crate) use chunks::{Chunks, ChunksEdit, Pieces};
pub(crate) use delta::Delta;
pub(crate) use drain::retire_tree;
pub(crate) use edit::TreeEdit;

/// Where an element belongs in every tree.
pub(crate) fn hash_of(key: &[u8]) -> u32 {
    static SECRETS: LazyLock<RapidSecrets> = LazyLock::new(|| match cfg!(fuzzing) || IS_MODEL {
        // What a run of a fuzz target, or of a model, found must be found again.
        true => RapidSecrets::seed(0),
        false => RapidSecrets::random(),
    });
    (rapidhash_v3_seeded(key, &SECRETS) >> 32) as u32
}

/// What stands in an entry for a tree.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Root {
    link: Link,
    /// How many elements there are.
    len: u64,
    /// The memory all blocks take, as the allocator rounds it.
    memory_bytes: u64,
}

impl Root {
    /// The size of the record: a byte of the owner's, then ours.
    pub(crate) const RECORD_BYTES: usize = 25;

    /// The record, with `tag` before it.
    pub(crate) fn to_record(self, tag: u8) -> [u8; Root::RECORD_BYTES] {
        let mut record = [tag; Root::RECORD_BYTES];
        record[1..9].copy_from_slice(&self.link.to_word().to_ne_bytes());
        record[9..17].copy_from_slice(&self.len.to_ne_bytes());
        record[17..25].copy_from_slice(&self.memory_bytes.to_ne_bytes());
        record
    }

    fn from_record(record: &[u8]) -> Root {
        let word = |at: usize| {
            u64::from_ne_bytes(
                record[at..at + 8]
                    .try_into()
                    .expect("eight bytes of a record"),
            )
        };
        Root {
            link: Link::from_word(word(1)),
            len: word(9),
            memory_bytes: word(17),
        }
    }

    /// The root that an entry holds.
    fn of(entry: Entry<'_>) -> Root {
        assert_eq!(entry.form(), Form::Tree, "the caller looked");
        Root::from_record(entry.value_bytes())
    }
}

/// The memory the tree behind an entry of [`Form::Tree`] takes.
pub(crate) fn memory_bytes(entry: Entry<'_>) -> usize {
    Root::of(entry).memory_bytes as usize
}

/// A tree of groups of `ARITY` byte strings, read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tree<'g, const ARITY: usize> {
    /// None: there are no elements. Invariant: what it leads to is there during `'g`.
    link: Option<Link>,
    len: u64,
    _guard: PhantomData<&'g ()>,
}

impl<'g, const ARITY: usize> Tree<'g, ARITY> {
    /// The tree in an entry of [`Form::Tree`].
    pub(crate) fn of(entry: Entry<'g>) -> Tree<'g, ARITY> {
        let root = Root::of(entry);
        Tree {
            link: Some(root.link),
            len: root.len,
            _guard: PhantomData,
        }
    }

    pub(crate) fn len(self) -> usize {
        self.len as usize
    }

    fn node(self, link: Link) -> Node<'g> {
        // SAFETY: the invariant of `link`, which holds for all that is below as well.
        unsafe { link.node() }
    }

    /// The group whose first element is `key`.
    pub(crate) fn find(self, key: &[u8]) -> Option<[&'g [u8]; ARITY]> {
        self.find_at(hash_of(key), key)
    }

    /// The group whose first element is `key`, of which `hash` is the hash.
    pub(crate) fn find_at(self, hash: u32, key: &[u8]) -> Option<[&'g [u8]; ARITY]> {
        let mut link = self.link?;
        loop {
            match self.node(link) {
                Node::Inner(inner) => {
                    link = inner.link(inner.child_of(hash));
                    link.prefetch();
                }
                Node::Leaf(items) => {
                    let (_, group) = find_in(items, hash, key)?;
                    return Some(group);
                }
            }
        }
    }

    /// The group number `index` in the tree's order.
    ///
    /// # Panics
    /// If there are not so many.
    pub(crate) fn nth(self, index: usize) -> [&'g [u8]; ARITY] {
        let mut left = index as u64;
        let mut link = self.link.expect("no elements");
        loop {
            match self.node(link) {
                Node::Inner(inner) => {
                    let child;
                    (child, left) = inner.child_at(left);
                    link = inner.link(child);
                }
                Node::Leaf(items) => return split(items.bytes(left as usize)),
            }
        }
    }

    /// All groups in order, each with its hash.
    pub(crate) fn iter(self) -> Iter<'g, ARITY> {
        self.iter_from(0)
    }

    /// All groups from the first one of `hash` or more on.
    pub(crate) fn iter_from(self, hash: u32) -> Iter<'g, ARITY> {
        let mut iter = Iter {
            tree: self,
            path: SmallVec::new(),
            leaf: None,
        };
        let mut next = self.link;
        while let Some(link) = next.take() {
            match self.node(link) {
                Node::Inner(inner) => {
                    let child = inner.child_of(hash);
                    iter.path.push((link, child + 1));
                    next = Some(inner.link(child));
                }
                Node::Leaf(items) => iter.leaf = Some((items, items.equal_range(hash).start)),
            }
        }
        iter
    }

    /// Visits groups from the hash `cursor` on, about `count` of them, and returns where to go
    /// on, 0 at the end. The groups of one hash are visited together.
    pub(crate) fn scan(
        self,
        cursor: u64,
        count: usize,
        mut visit: impl FnMut([&'g [u8]; ARITY]),
    ) -> u64 {
        let Ok(start) = u32::try_from(cursor) else {
            return 0;
        };
        let mut last = None;
        for (visited, (hash, group)) in self.iter_from(start).enumerate() {
            if visited >= count && last != Some(hash) {
                return u64::from(hash);
            }
            visit(group);
            last = Some(hash);
        }
        0
    }
}

/// Iterator over hashes and groups.
#[derive(Clone, Debug)]
pub(crate) struct Iter<'g, const ARITY: usize> {
    tree: Tree<'g, ARITY>,
    /// From the root down, the nodes with the number of the child that is to come next.
    path: SmallVec<[(Link, usize); 6]>,
    leaf: Option<(Items<'g>, usize)>,
}

impl<'g, const ARITY: usize> Iterator for Iter<'g, ARITY> {
    type Item = (u32, [&'g [u8]; ARITY]);

    fn next(&mut self) -> Option<(u32, [&'g [u8]; ARITY])> {
        loop {
            let (items, at) = self.leaf.as_mut()?;
            if *at < items.len() {
                *at += 1;
                return Some((items.hashes[*at - 1], split(items.bytes(*at - 1))));
            }
            self.leaf = self.next_leaf().map(|items| (items, 0));
        }
    }
}

impl<'g, const ARITY: usize> Iter<'g, ARITY> {
    fn next_leaf(&mut self) -> Option<Items<'g>> {
        pace::step();
        loop {
            let &(parent, child) = self.path.last()?;
            let Node::Inner(inner) = self.tree.node(parent) else {
                unreachable!("a leaf has no children")
            };
            if child == inner.len() {
                self.path.pop();
                continue;
            }
            self.path.last_mut()?.1 += 1;
            let link = inner.link(child);
            if child + 1 < inner.len() {
                inner.link(child + 1).prefetch();
            }
            match self.tree.node(link) {
                Node::Inner(_) => self.path.push((link, 0)),
                Node::Leaf(items) => return Some(items),
            }
        }
    }
}

/// The element of a leaf whose key is `key`.
fn find_in<'g, const ARITY: usize>(
    items: Items<'g>,
    hash: u32,
    key: &[u8],
) -> Option<(usize, [&'g [u8]; ARITY])> {
    items.equal_range(hash).find_map(|index| {
        let group = split::<ARITY>(items.bytes(index));
        (group[0] == key).then_some((index, group))
    })
}

/// An element's group: all but the last are preceded by their length.
fn split<const ARITY: usize>(bytes: &[u8]) -> [&[u8]; ARITY] {
    let mut rest = bytes;
    std::array::from_fn(|number| {
        if number == ARITY - 1 {
            return rest;
        }
        let (element, others) = split_first(rest);
        rest = others;
        element
    })
}

fn split_first(bytes: &[u8]) -> (&[u8], &[u8]) {
    use crate::value::packed::element_at;

    let (element, end) = element_at(bytes, 0);
    (element, &bytes[end..])
}

#[cfg(all(test, any(mayfly_loom, mayfly_shuttle)))]
mod models;
#[cfg(test)]
mod tests;
