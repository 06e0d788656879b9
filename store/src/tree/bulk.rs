//! Many changes at once.
//!
//! The changes come in the order of the tree, so that each node is visited once for all of them: a
//! leaf is written anew with all that belongs there, as several where it has become too long; an
//! inner node has its children changed one after the other, and is made anew if some of them were
//! split, joined or lost. One by one each change would copy its leaf.

use std::ops::Range;

use smallvec::SmallVec;

use super::edit::{TreeEdit, encode, place};
use super::hash_of;
use super::inner::{FANOUT_MAX, Slot};
use super::node::{self, Items, Link, Node, Outside, allocate_leaf};
use crate::pace;

/// From so many changes on the order pays.
pub(crate) const MANY: usize = 8;
/// About so many are put in order together, which is one step.
const PART: usize = 1 << 10;

/// What is to become of a key.
#[derive(Clone, Copy)]
struct Change<'k, const ARITY: usize> {
    hash: u32,
    key: &'k [u8],
    /// The group that is to be there; none: it goes.
    group: Option<[&'k [u8]; ARITY]>,
}

/// What became of a node: those of its level, in order.
type Nodes = SmallVec<[Slot; 2]>;

impl<const ARITY: usize> TreeEdit<'_, ARITY> {
    /// Adds groups or replaces those of their keys, as [`TreeEdit::put`] does one after the other.
    /// A group of nothing but a key that is there stays.
    pub(crate) fn put_all<'k>(&mut self, groups: impl Iterator<Item = [&'k [u8]; ARITY]>) {
        self.change_all(in_order(groups.map(|group| (group[0], Some(group)))));
    }

    /// Removes the groups of keys; whether they are there or not.
    pub(crate) fn remove_all<'k>(&mut self, keys: impl Iterator<Item = &'k [u8]>) {
        self.change_all(in_order(keys.map(|key| (key, None))));
    }

    fn change_all(&mut self, changes: Vec<Change<'_, ARITY>>) {
        let (count, first) = (self.len() as u64, 0);
        let mut nodes = match self.link {
            Some(link) => self.changed(Slot { link, count, first }, &changes),
            None => {
                let (edits, elements) = self.edits_of(Items::new(&[], &[], &[]), &changes);
                self.leaves(&runs(Items::new(&[], &[], &[]), &edits, &elements))
            }
        };
        while nodes.len() > 1 {
            let level = self.ledger.level(nodes[0].link) + 1;
            nodes = self.inner_nodes(level, &nodes);
        }
        self.link = nodes.first().map(|root| root.link);
        self.lower();
    }

    fn changed(&mut self, slot: Slot, changes: &[Change<'_, ARITY>]) -> Nodes {
        let mut nodes = match self.ledger.node(slot.link) {
            Node::Leaf(items) => self.changed_leaf(slot, items, changes),
            Node::Inner(_) => self.changed_inner(slot, changes),
        };
        if let Some(leftmost) = nodes.first_mut() {
            leftmost.first = slot.first;
        }
        nodes
    }

    fn changed_leaf(
        &mut self,
        slot: Slot,
        items: Items<'_>,
        changes: &[Change<'_, ARITY>],
    ) -> Nodes {
        let (edits, elements) = self.edits_of(items, changes);
        if edits.is_empty() {
            return Nodes::from_slice(&[slot]);
        }
        for outside in edits
            .iter()
            .flat_map(|edit| items.range(edit.replaced.clone()).all_outside())
        {
            // The leaf that names the block goes below, before anyone reads on.
            let Outside { block, is_fresh } = outside;
            self.ledger.discard_block(block, is_fresh);
        }
        let nodes = self.leaves(&runs(items, &edits, &elements));
        self.ledger.discard(slot.link);
        nodes
    }

    /// What the changes come to in a leaf of these elements.
    fn edits_of(
        &mut self,
        items: Items<'_>,
        changes: &[Change<'_, ARITY>],
    ) -> (Vec<Edit>, Elements) {
        let (mut edits, mut elements) = (Vec::with_capacity(changes.len()), Elements::default());
        for change in changes {
            let place = place::<ARITY>(items, change.hash, change.key);
            let (replaced, is_there) = match place {
                Ok(at) => (at..at + 1, true),
                Err(at) => (at..at, false),
            };
            match change.group {
                None if !is_there => continue,
                None => self.len -= 1,
                // All of it is there.
                Some(_) if is_there && ARITY == 1 => continue,
                Some(group) => {
                    self.len += u64::from(!is_there);
                    if let Some(outside) = elements.push(change.hash, &group) {
                        self.ledger.count(outside.block);
                    }
                }
            }
            edits.push(Edit {
                replaced,
                has_element: change.group.is_some(),
            });
        }
        (edits, elements)
    }

    /// Fresh leaves of all elements of `runs`.
    fn leaves(&mut self, runs: &[Items<'_>]) -> Nodes {
        let mut rest: Vec<_> = runs.to_vec();
        let mut nodes = Nodes::new();
        let mut before = 0;
        for at in node::cuts(runs) {
            let [part, others] = node::parted(&rest, at - before);
            nodes.extend(self.leaf(&part));
            (rest, before) = (others, at);
        }
        nodes.extend(self.leaf(&rest));
        nodes
    }

    fn leaf(&mut self, runs: &[Items<'_>]) -> Option<Slot> {
        let first = *runs.iter().find_map(|run| run.hashes.first())?;
        let count = runs.iter().map(|run| run.len() as u64).sum();
        let link = self.ledger.made(allocate_leaf(runs));
        Some(Slot { link, count, first })
    }

    fn changed_inner(&mut self, slot: Slot, changes: &[Change<'_, ARITY>]) -> Nodes {
        let before = self.len();
        let mut link = slot.link;
        let mut regrown = Vec::new();
        let parts = self.parts(link, changes);
        for (number, &(at, changes)) in parts.iter().enumerate() {
            if let Some(&(next, _)) = parts.get(number + 1) {
                self.ledger.inner(link).link(next).prefetch_most();
            }
            let child = self.ledger.inner(link).slot(at);
            let nodes = self.changed(child, changes);
            match nodes[..] {
                [node] if (node.link, node.count) == (child.link, child.count) => {}
                [node] if node.count >= child.count || !self.is_small(node.link) => {
                    let place = self.ledger.place_of_child(link, at);
                    link = self.ledger.with_child(place, node.link, node.count);
                }
                _ => regrown.push((at, nodes)),
            }
        }
        if !regrown.is_empty() {
            return self.regrown(link, &regrown);
        }
        let count = slot.count + self.len() as u64 - before as u64;
        Nodes::from_slice(&[Slot {
            link,
            count,
            ..slot
        }])
    }

    /// The changes for each child of an inner node that there are any for.
    fn parts<'c, 'k>(
        &self,
        link: Link,
        changes: &'c [Change<'k, ARITY>],
    ) -> SmallVec<[(usize, &'c [Change<'k, ARITY>]); FANOUT_MAX]> {
        let inner = self.ledger.inner(link);
        let mut parts = SmallVec::new();
        let mut rest = changes;
        while let Some(change) = rest.first() {
            let at = inner.child_of(change.hash);
            let len = match at + 1 < inner.len() {
                true => {
                    let next = inner.slot(at + 1).first;
                    rest.partition_point(|change| change.hash < next)
                }
                false => rest.len(),
            };
            let (part, others) = rest.split_at(len);
            parts.push((at, part));
            rest = others;
        }
        parts
    }

    /// What an inner node becomes whose children of some numbers have become others.
    fn regrown(&mut self, link: Link, regrown: &[(usize, Nodes)]) -> Nodes {
        let inner = self.ledger.inner(link);
        let (level, slots) = (inner.level, inner.slots());
        self.ledger.discard(link);
        let mut regrown = regrown.iter().peekable();
        let mut all = Vec::with_capacity(2 * FANOUT_MAX);
        for (at, &slot) in slots.iter().enumerate() {
            match regrown.next_if(|(number, _)| *number == at) {
                None => self.push_joined(&mut all, (slot, false)),
                Some((_, nodes)) => {
                    for &node in nodes {
                        self.push_joined(&mut all, (node, true));
                    }
                }
            }
        }
        let slots: Vec<_> = all.into_iter().map(|(slot, _)| slot).collect();
        self.inner_nodes(level, &slots)
    }

    /// Appends a node, and says whether it is another one than before: joined with the one before
    /// it if either is such a one, and small, and both fit in one.
    fn push_joined(&mut self, all: &mut Vec<(Slot, bool)>, (slot, is_other): (Slot, bool)) {
        if let Some(&(last, is_last_other)) = all.last() {
            let is_small =
                is_last_other && self.is_small(last.link) || is_other && self.is_small(slot.link);
            if is_small && let Some(link) = self.joined(last, slot) {
                self.ledger.discard(last.link);
                self.ledger.discard(slot.link);
                let count = last.count + slot.count;
                all.pop();
                all.push((
                    Slot {
                        link,
                        count,
                        ..last
                    },
                    true,
                ));
                return;
            }
        }
        all.push((slot, is_other));
    }

    /// As few inner nodes above these nodes as there can be, all about as full.
    fn inner_nodes(&mut self, level: u8, slots: &[Slot]) -> Nodes {
        let nodes = slots.len().div_ceil(FANOUT_MAX);
        let mut rest = slots;
        let parts = (0..nodes).map(|number| {
            let (part, others) = rest.split_at(rest.len() / (nodes - number));
            rest = others;
            part
        });
        parts
            .map(|slots| Slot {
                link: self.ledger.made_inner(level, slots),
                count: slots.iter().map(|slot| slot.count).sum(),
                first: slots[0].first,
            })
            .collect()
    }
}

/// Whether no two of many keys are the same, so far as their hashes tell. Of a few it is not known.
pub(crate) fn are_surely_distinct<'k>(keys: impl ExactSizeIterator<Item = &'k [u8]>) -> bool {
    if keys.len() < MANY {
        return false;
    }
    let mut hashes: Vec<_> = keys.map(hash_of).collect();
    hashes.sort_unstable();
    hashes.is_sorted_by(|left, right| left < right)
}

/// Changes of keys in the order of the tree; of several of one key the last.
fn in_order<'k, const ARITY: usize>(
    changes: impl Iterator<Item = (&'k [u8], Option<[&'k [u8]; ARITY]>)>,
) -> Vec<Change<'k, ARITY>> {
    let change = |(at, (key, group))| {
        pace::step_at(at);
        Change {
            hash: hash_of(key),
            key,
            group,
        }
    };
    let changes: Vec<_> = changes.enumerate().map(change).collect();
    let (mut order, ends) = in_parts(&changes);
    let mut ordered = Vec::with_capacity(changes.len());
    let mut start = 0;
    for end in ends {
        pace::step();
        let order = &mut order[start..end];
        order.sort_unstable();
        let mut part: Vec<_> = order.iter().map(|&(_, at)| changes[at as usize]).collect();
        keep_last(&mut part);
        ordered.append(&mut part);
        start = end;
    }
    ordered
}

/// Hashes and numbers of changes, which are sorted faster than changes are moved, in parts of about
/// [`PART`] of which each has lower hashes than the next; and where each part ends.
fn in_parts<const ARITY: usize>(changes: &[Change<'_, ARITY>]) -> (Vec<(u32, u32)>, Vec<usize>) {
    let parts = changes.len().div_ceil(PART);
    let part_of = |change: &Change<'_, ARITY>| {
        let scaled = u64::from(change.hash) * parts as u64;
        (scaled >> u32::BITS) as usize
    };
    let mut starts = vec![0; parts + 1];
    for change in changes {
        starts[part_of(change) + 1] += 1;
    }
    (0..parts).for_each(|part| starts[part + 1] += starts[part]);
    starts.truncate(parts);
    let mut ends = starts;
    let mut order = vec![(0, 0); changes.len()];
    for (at, change) in changes.iter().enumerate() {
        let end = &mut ends[part_of(change)];
        order[*end] = (change.hash, at as u32);
        *end += 1;
    }
    (order, ends)
}

/// Of changes in the order of their hashes, and else in which they came, those that count, in the
/// order of the tree.
fn keep_last<const ARITY: usize>(changes: &mut Vec<Change<'_, ARITY>>) {
    for same in changes.chunk_by_mut(|left, right| left.hash == right.hash) {
        same.sort_by_key(|change| change.key);
    }
    changes.dedup_by(|later, earlier| {
        let is_same = (later.hash, later.key) == (earlier.hash, earlier.key);
        if is_same {
            *earlier = *later;
        }
        is_same
    });
}

/// A place in a leaf where elements come or go.
struct Edit {
    /// The elements that go.
    replaced: Range<usize>,
    /// Whether the next one of [`Elements`] comes.
    has_element: bool,
}

/// Elements about to be put into a leaf.
#[derive(Default)]
struct Elements {
    hashes: Vec<u32>,
    ends: Vec<u32>,
    body: Vec<u8>,
}

impl Elements {
    /// Appends a group; its block, if it gets one.
    fn push<const ARITY: usize>(&mut self, hash: u32, group: &[&[u8]; ARITY]) -> Option<Outside> {
        let outside = encode(group, |bytes| self.body.extend_from_slice(bytes));
        self.hashes.push(hash);
        self.ends.push(match outside {
            None => node::inline_end(self.body.len()),
            Some(_) => node::outside_end(self.body.len()),
        });
        outside
    }

    fn items(&self) -> Items<'_> {
        Items::new(&self.hashes, &self.ends, &self.body)
    }
}

/// The elements of a leaf with the edits made.
fn runs<'i>(items: Items<'i>, edits: &[Edit], elements: &'i Elements) -> Vec<Items<'i>> {
    let mut runs = Vec::with_capacity(2 * edits.len() + 1);
    let (mut from, mut next, mut used) = (0, 0, 0);
    let mut push = |run: Items<'i>| {
        if run.len() > 0 {
            runs.push(run);
        }
    };
    for Edit {
        replaced,
        has_element,
    } in edits
    {
        if from < replaced.start {
            push(elements.items().range(used..next));
            push(items.range(from..replaced.start));
            used = next;
        }
        next += usize::from(*has_element);
        from = replaced.end;
    }
    push(elements.items().range(used..next));
    push(items.range(from..items.len()));
    runs
}
