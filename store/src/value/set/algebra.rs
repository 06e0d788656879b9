//! Intersection, union and difference of several sets.
//!
//! A missing key is an empty set, so the sets come as options. Results are visited, so that the
//! caller can write a reply, fill a [`super::SetBuilder`], count, or stop early.

use std::collections::HashSet;
use std::ops::ControlFlow;

use super::{Member, Set};

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
    for member in smallest.iter() {
        if others.iter().all(|set| set.contains(&member)) && visit(member).is_break() {
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
    let mut seen: HashSet<Vec<u8>> = HashSet::new();
    for set in sets.iter().flatten() {
        for member in set.iter() {
            if seen.insert(member.to_vec()) && visit(member).is_break() {
                return;
            }
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
    for member in first.iter() {
        let is_elsewhere = others.iter().flatten().any(|set| set.contains(&member));
        if !is_elsewhere && visit(member).is_break() {
            return;
        }
    }
}
