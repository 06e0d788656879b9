//! Intersection, union and difference of several sets.
//!
//! A missing key is an empty set, so the sets come as options. Results are visited, so that the
//! caller can write a reply, fill a [`super::SetBuilder`], count, or stop early.
//!
//! Trees of all sets have one order, by hash and then by bytes. As soon as a tree takes part, all
//! sets are walked in that order and merged: nothing is copied or looked up, and the result comes
//! in the same order, in which a new tree is built fastest. A set that is much larger than what
//! drives the merge is asked instead of walked; the questions come in its order, so that one
//! answer warms the cache for the next.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, HashSet};
use std::iter::Peekable;
use std::ops::ControlFlow;

use super::{Member, Repr, Set, Text};
use crate::tree::{self, hash_of};

/// A tree with so many times the driver's members is asked, not walked.
const ASK_RATIO: usize = 16;

/// Visits the members that all sets have.
pub fn intersection<'g>(
    sets: &[Option<Set<'g>>],
    mut visit: impl FnMut(Member<'g>) -> ControlFlow<()>,
) {
    let Some(mut sets) = sets.iter().copied().collect::<Option<Vec<Set<'g>>>>() else {
        return;
    };
    sets.sort_by_key(|set| set.len());
    let Some((smallest, others)) = sets.split_first() else {
        return;
    };
    if !sets.iter().any(|set| set.is_tree()) {
        for member in smallest.iter() {
            if others.iter().all(|set| set.contains(&member)) && visit(member).is_break() {
                return;
            }
        }
        return;
    }
    let mut others: Vec<_> = others
        .iter()
        .map(|set| Other::of(*set, smallest.len()))
        .collect();
    for (hash, member) in Ordered::of(*smallest) {
        let is_everywhere = others.iter_mut().all(|other| other.contains(hash, &member));
        if is_everywhere && visit(member).is_break() {
            return;
        }
    }
}

/// How many members all sets have, counted up to `limit` (0: no limit).
pub fn intersection_len(sets: &[Option<Set<'_>>], limit: usize) -> usize {
    let mut len = 0;
    intersection(sets, |_| {
        len += 1;
        match len == limit {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    });
    len
}

/// Visits the members that any set has, each once.
pub fn union<'g>(sets: &[Option<Set<'g>>], mut visit: impl FnMut(Member<'g>) -> ControlFlow<()>) {
    if sets.iter().flatten().any(|set| set.is_tree()) {
        return merged_union(sets, visit);
    }
    let mut seen: HashSet<Vec<u8>> = HashSet::new();
    for set in sets.iter().flatten() {
        for member in set.iter() {
            if seen.insert(member.to_vec()) && visit(member).is_break() {
                return;
            }
        }
    }
}

fn merged_union<'g>(
    sets: &[Option<Set<'g>>],
    mut visit: impl FnMut(Member<'g>) -> ControlFlow<()>,
) {
    let mut walks: Vec<_> = sets.iter().flatten().map(|set| Ordered::of(*set)).collect();
    let mut heads = BinaryHeap::with_capacity(walks.len());
    for (walk, ordered) in walks.iter_mut().enumerate() {
        heads.extend(
            ordered
                .next()
                .map(|(hash, member)| Reverse(Head { hash, member, walk })),
        );
    }
    let mut last: Option<Head<'g>> = None;
    while let Some(mut top) = heads.peek_mut() {
        let head = top.0;
        match walks[head.walk].next() {
            Some((hash, member)) => {
                top.0 = Head {
                    hash,
                    member,
                    ..head
                };
                drop(top);
            }
            None => drop(std::collections::binary_heap::PeekMut::pop(top)),
        }
        let is_new = last.is_none_or(|last| last != head);
        last = Some(head);
        if is_new && visit(head.member).is_break() {
            return;
        }
    }
}

/// Visits the members of the first set that no other has.
pub fn difference<'g>(
    sets: &[Option<Set<'g>>],
    mut visit: impl FnMut(Member<'g>) -> ControlFlow<()>,
) {
    let Some((Some(first), others)) = sets.split_first() else {
        return;
    };
    if !sets.iter().flatten().any(|set| set.is_tree()) {
        for member in first.iter() {
            let is_elsewhere = others.iter().flatten().any(|set| set.contains(&member));
            if !is_elsewhere && visit(member).is_break() {
                return;
            }
        }
        return;
    }
    let others = others.iter().flatten();
    let mut others: Vec<_> = others.map(|set| Other::of(*set, first.len())).collect();
    for (hash, member) in Ordered::of(*first) {
        let is_elsewhere = others.iter_mut().any(|other| other.contains(hash, &member));
        if !is_elsewhere && visit(member).is_break() {
            return;
        }
    }
}

/// The members of a set in the order of trees.
enum Ordered<'g> {
    Tree(tree::Iter<'g, 1>),
    Few(std::vec::IntoIter<(u32, Member<'g>)>),
}

impl<'g> Ordered<'g> {
    fn of(set: Set<'g>) -> Ordered<'g> {
        if let Repr::Tree(tree) = set.0 {
            return Ordered::Tree(tree.iter());
        }
        let mut members: Vec<_> = set
            .iter()
            .map(|member| (hash_of(&member), member))
            .collect();
        members.sort_unstable_by(|(a_hash, a), (b_hash, b)| (a_hash, &**a).cmp(&(b_hash, &**b)));
        Ordered::Few(members.into_iter())
    }
}

impl<'g> Iterator for Ordered<'g> {
    type Item = (u32, Member<'g>);

    fn next(&mut self) -> Option<(u32, Member<'g>)> {
        match self {
            Ordered::Tree(groups) => {
                let (hash, [member]) = groups.next()?;
                Some((hash, Member(Text::Bytes(member))))
            }
            Ordered::Few(members) => members.next(),
        }
    }
}

/// A set that is compared with members that come in order.
enum Other<'g> {
    Walked(Box<Peekable<Ordered<'g>>>),
    Asked(Set<'g>),
}

impl<'g> Other<'g> {
    fn of(set: Set<'g>, driver_len: usize) -> Other<'g> {
        match set.len() > driver_len.saturating_mul(ASK_RATIO) {
            true => Other::Asked(set),
            false => Other::Walked(Box::new(Ordered::of(set).peekable())),
        }
    }

    /// Whether `member` is one. Members of earlier calls come before it in the order.
    fn contains(&mut self, hash: u32, member: &[u8]) -> bool {
        let walk = match self {
            Other::Asked(Set(Repr::Tree(tree))) => return tree.find_at(hash, member).is_some(),
            Other::Asked(set) => return set.contains(member),
            Other::Walked(walk) => walk,
        };
        let is_before = |(other_hash, other): &(u32, Member<'g>)| match other_hash.cmp(&hash) {
            Ordering::Equal => **other < *member,
            unequal => unequal.is_lt(),
        };
        while walk.next_if(is_before).is_some() {}
        walk.peek()
            .is_some_and(|(other_hash, other)| *other_hash == hash && **other == *member)
    }
}

/// Where a walk of a union stands.
#[derive(Clone, Copy)]
struct Head<'g> {
    hash: u32,
    member: Member<'g>,
    walk: usize,
}

impl PartialEq for Head<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && *self.member == *other.member
    }
}

impl Eq for Head<'_> {}

impl Ord for Head<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_hash = self.hash.cmp(&other.hash);
        by_hash.then_with(|| self.member.cmp(&other.member))
    }
}

impl PartialOrd for Head<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
