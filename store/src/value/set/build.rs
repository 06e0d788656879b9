//! A set made of members as they come: the results of set algebra.

use std::cmp::Ordering;

use super::{Edited, Limits, NewValue, Origin, SetEdit, State, next_called, of_tree};
use crate::entry::Kind;
use crate::tree::{Builder, hash_of};
use crate::value::packed::Called;

/// Makes a set of members as they come, in any order and repeated or not. In the order of their
/// hashes, which is how large sets give them, it takes linear time.
#[derive(Debug)]
pub struct SetBuilder {
    /// All members, unless they are in `ordered`. A set called one of integers needs its rules.
    edit: SetEdit<'static>,
    ordered: Option<(Called, Builder<1>)>,
    /// Whether all members came in order since the set is large.
    is_ordered: bool,
}

impl SetBuilder {
    /// Starts empty.
    pub fn new(limits: &Limits) -> SetBuilder {
        SetBuilder {
            edit: SetEdit::empty(limits),
            ordered: None,
            is_ordered: true,
        }
    }

    /// Adds a member.
    pub fn add(&mut self, member: &[u8]) {
        let Some((called, builder)) = &mut self.ordered else {
            self.edit.add(member);
            if self.is_ordered {
                self.begin_ordered();
            }
            return;
        };
        let hash = hash_of(member);
        let last = builder.last().expect("begun with members");
        match (hash, member).cmp(&last) {
            Ordering::Equal => {}
            Ordering::Greater if *called != Called::Intset => {
                *called = next_called(&self.edit.limits, *called, builder.len(), || 0, member);
                builder.push(hash, &[member]);
            }
            Ordering::Greater | Ordering::Less => {
                self.end_ordered();
                self.edit.add(member);
            }
        }
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        match &self.ordered {
            Some((_, builder)) => builder.len(),
            None => self.edit.len(),
        }
    }

    /// Whether there are no members.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The set, unless it is empty.
    pub fn finish(self) -> Option<NewValue<'static>> {
        if let Some((called, builder)) = self.ordered {
            let (root, delta) = builder.finish().finish().expect("begun with members");
            let origin = Origin::New(delta);
            return Some(of_tree(Kind::Set, called as u8, root, origin));
        }
        match self.edit.finish() {
            Edited::Changed(value) => Some(value),
            Edited::Unchanged | Edited::Emptied => None,
        }
    }

    /// Goes over to building in order when the set has just become a tree.
    fn begin_ordered(&mut self) {
        if let State::Tree { called, tree } = &self.edit.state {
            self.ordered = Some((*called, Builder::with(tree.view())));
            self.edit.state = State::Empty(1);
        }
    }

    fn end_ordered(&mut self) {
        self.is_ordered = false;
        if let Some((called, builder)) = self.ordered.take() {
            let tree = builder.finish();
            self.edit.state = State::Tree { called, tree };
        }
    }
}
