//! Changing a document: the old one stays, a new one is made.
//!
//! An edit first finds where the values stand that a path means (their trails), drops those that
//! lie inside others, and then writes the document anew in one pass: what no trail leads through
//! is copied as it is.
//!
//! Two habits of RedisJSON are kept because its clients can see them. A deleted member's place is
//! taken by the object's last member. And of several members deleted from one object, those whose
//! names are numbers go first, the larger ones before the smaller, then the others by name, which
//! decides who takes whose place.

use std::ops::Range;

use crate::DEPTH_MAX;
use crate::document::{Document, DocumentRef};
use crate::error::{EditError, TooLarge};
use crate::packed::{self, Container, Item};
use crate::path::{Path, Selector, Trail};
use crate::value::{Value, View};

/// What must be so for a set to take place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// Nothing.
    #[default]
    Always,
    /// The path means no value yet: NX.
    IfMissing,
    /// The path means a value: XX.
    IfPresent,
}

/// What a deletion did.
#[derive(Debug)]
pub struct Deletion {
    /// How many values it took away, those inside others not counted.
    pub count: usize,
    /// What is left.
    pub rest: Rest,
}

/// What a deletion leaves.
#[derive(Debug)]
pub enum Rest {
    /// The document as it was.
    Same,
    /// A smaller one.
    Changed(Document),
    /// Nothing, or an empty container.
    Nothing,
}

impl DocumentRef<'_> {
    /// The document with `value` in place of everything `path` means. Where it means nothing and
    /// ends in a name, an existing parent object gets a new member.
    ///
    /// None when `condition` does not hold or nothing could be set.
    pub fn set(
        self,
        path: &Path<'_>,
        value: DocumentRef<'_>,
        condition: Condition,
    ) -> Result<Option<Document>, EditError> {
        if path.is_root() {
            return Ok((condition != Condition::IfMissing).then(|| value.to_document()));
        }
        if condition != Condition::IfMissing {
            let mut trails = path.locate(self.root())?;
            if !trails.is_empty() {
                keep_outermost(&mut trails);
                trails.dedup();
                return self
                    .rewrite(&trails, Change::Replace(value.bytes()))
                    .map(Some);
            }
        }
        if condition == Condition::IfPresent {
            return Ok(None);
        }
        if !path.is_singular() {
            return Err(EditError::NotSingular);
        }
        let (parent, last) = path.split_last().expect("the path is not the root's");
        match last {
            Selector::Name(name) => self.add_member(&parent, name, value),
            _ if path.first(self.root())?.is_none() => Err(EditError::IndexOutOfRange),
            _ => Ok(None),
        }
    }

    /// The document without the values that `path` means.
    pub fn delete(self, path: &Path<'_>) -> Result<Deletion, EditError> {
        if path.is_root() {
            let rest = Rest::Nothing;
            return Ok(Deletion { count: 1, rest });
        }
        let mut trails = path.locate(self.root())?;
        if trails.is_empty() {
            let rest = Rest::Same;
            return Ok(Deletion { count: 0, rest });
        }
        keep_outermost(&mut trails);
        let mut rewrite = Rewrite::new(self.bytes().len(), Change::Delete);
        rewrite.value(self.bytes(), &trails, 0)?;
        let document = Document::from_packed_vec(rewrite.out);
        let is_empty = match document.root().view() {
            View::Array(array) => array.is_empty(),
            View::Object(object) => object.is_empty(),
            _ => false,
        };
        Ok(Deletion {
            count: rewrite.deleted,
            rest: match is_empty {
                true => Rest::Nothing,
                false => Rest::Changed(document),
            },
        })
    }

    /// The document with a new member in the object at `parent`; None where there is no object or
    /// where it has such a member.
    fn add_member(
        self,
        parent: &Path<'_>,
        name: &str,
        value: DocumentRef<'_>,
    ) -> Result<Option<Document>, EditError> {
        let Some(View::Object(object)) = parent.first(self.root())?.map(Value::view) else {
            return Ok(None);
        };
        if object.get(name).is_some() {
            return Ok(None);
        }
        let trails = parent.locate(self.root())?;
        let value = value.bytes();
        self.rewrite(&trails, Change::AddMember { name, value })
            .map(Some)
    }

    fn rewrite(self, trails: &[Trail], change: Change<'_>) -> Result<Document, EditError> {
        let deepest = trails.iter().map(|trail| trail.len()).max().unwrap_or(0);
        let (containers, added) = match change {
            Change::Replace(value) => (deepest, value),
            Change::AddMember { value, .. } => (deepest + 1, value),
            Change::Delete => (0, &[][..]),
        };
        if containers + added.len() > DEPTH_MAX && containers + packed::depth(added) > DEPTH_MAX {
            return Err(EditError::TooDeep);
        }
        let mut rewrite = Rewrite::new(self.bytes().len() + added.len(), change);
        rewrite.value(self.bytes(), trails, 0)?;
        Ok(Document::from_packed_vec(rewrite.out))
    }
}

/// Sorts trails and drops those that lead into values to which others lead.
fn keep_outermost(trails: &mut Vec<Trail>) {
    trails.sort_unstable();
    let mut kept: usize = 0;
    for index in 0..trails.len() {
        let lies_inside = kept.checked_sub(1).is_some_and(|last| {
            let (inner, outer) = (&trails[index], &trails[last]);
            inner.len() > outer.len() && inner.starts_with(outer)
        });
        if !lies_inside {
            trails.swap(kept, index);
            kept += 1;
        }
    }
    trails.truncate(kept);
}

/// What happens where the trails end.
#[derive(Clone, Copy, Debug)]
enum Change<'v> {
    Replace(&'v [u8]),
    AddMember { name: &'v str, value: &'v [u8] },
    Delete,
}

/// A document being written anew.
struct Rewrite<'v> {
    out: Vec<u8>,
    change: Change<'v>,
    deleted: usize,
}

/// One child in the body of its container.
struct Child {
    /// The whole child: for a member its name and its value.
    whole: Range<usize>,
    /// Where its value begins.
    value_from: usize,
}

/// The children in the body of a container, in order.
fn children(container: Container, body: &[u8]) -> impl Iterator<Item = Child> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let from = at;
        let rest = body.get(from..).filter(|rest| !rest.is_empty())?;
        let value_from = match container {
            Container::Array => from,
            Container::Object => body.len() - packed::split_name(rest).1.len(),
        };
        at = value_from + packed::length(&body[value_from..]);
        Some(Child {
            whole: from..at,
            value_from,
        })
    })
}

/// The trails among `trails` that lead through the child at `place`; sorted, they stand together.
fn through(trails: &[Trail], depth: usize, place: usize) -> &[Trail] {
    let from = trails.partition_point(|trail| (trail[depth] as usize) < place);
    let to = trails.partition_point(|trail| trail[depth] as usize <= place);
    &trails[from..to]
}

impl<'v> Rewrite<'v> {
    fn new(bytes: usize, change: Change<'v>) -> Rewrite<'v> {
        Rewrite {
            out: Vec::with_capacity(bytes + 16),
            change,
            deleted: 0,
        }
    }

    /// Writes the value `bytes`, which stands `depth` steps down, changed where `trails` lead.
    /// They are sorted and there is one at least.
    fn value(&mut self, bytes: &[u8], trails: &[Trail], depth: usize) -> Result<(), TooLarge> {
        if trails[0].len() == depth {
            return match self.change {
                Change::Replace(value) => {
                    self.out.extend_from_slice(value);
                    Ok(())
                }
                Change::AddMember { name, value } => self.add_member(bytes, name, value),
                Change::Delete => unreachable!("the container deletes its children"),
            };
        }
        let (container, body) = match packed::item(bytes) {
            Item::Array(body) => (Container::Array, body),
            Item::Object(body) => (Container::Object, body),
            other => unreachable!("trails lead through containers, not {other:?}"),
        };
        let at = packed::open(&mut self.out);
        let deletes = matches!(self.change, Change::Delete)
            && trails.iter().any(|trail| trail.len() == depth + 1);
        match container {
            _ if !deletes => self.children(container, body, trails, depth)?,
            Container::Array => self.delete_elements(body, trails, depth)?,
            Container::Object => self.delete_members(body, trails, depth)?,
        }
        packed::close(&mut self.out, at, container)
    }

    /// Writes the children of a container that all stay.
    fn children(
        &mut self,
        container: Container,
        body: &[u8],
        trails: &[Trail],
        depth: usize,
    ) -> Result<(), TooLarge> {
        let mut trails = trails;
        let mut copied = 0;
        for (place, child) in children(container, body).enumerate() {
            let Some(next) = trails.first() else {
                break;
            };
            if next[depth] as usize != place {
                continue;
            }
            let inner = through(trails, depth, place);
            trails = &trails[inner.len()..];
            self.out.extend_from_slice(&body[copied..child.value_from]);
            self.value(&body[child.value_from..child.whole.end], inner, depth + 1)?;
            copied = child.whole.end;
        }
        self.out.extend_from_slice(&body[copied..]);
        Ok(())
    }

    /// Writes the elements of an array some of which go.
    ///
    /// An element named twice (`[0,0]`) is deleted twice: the second time its successor goes, as
    /// in RedisJSON, which deletes from the back to the front.
    fn delete_elements(
        &mut self,
        body: &[u8],
        trails: &[Trail],
        depth: usize,
    ) -> Result<(), TooLarge> {
        let elements: Vec<Child> = children(Container::Array, body).collect();
        let mut survivors: Vec<usize> = Vec::with_capacity(elements.len());
        for place in (0..elements.len()).rev() {
            survivors.push(place);
            for trail in through(trails, depth, place) {
                if trail.len() == depth + 1 && survivors.pop().is_some() {
                    self.deleted += 1;
                }
            }
        }
        for place in survivors.into_iter().rev() {
            let element = &elements[place];
            let inner = through(trails, depth, place);
            self.child(&body[element.whole.clone()], 0, inner, depth)?;
        }
        Ok(())
    }

    /// Writes the members of an object some of which go; the last take their places.
    fn delete_members(
        &mut self,
        body: &[u8],
        trails: &[Trail],
        depth: usize,
    ) -> Result<(), TooLarge> {
        let members: Vec<Child> = children(Container::Object, body).collect();
        let mut condemned: Vec<usize> = trails
            .iter()
            .filter(|trail| trail.len() == depth + 1)
            .map(|trail| trail[depth] as usize)
            .collect();
        condemned.dedup();
        condemned.sort_by_key(|&member| {
            let name = packed::split_name(&body[members[member].whole.start..]).0;
            let number = std::str::from_utf8(name)
                .ok()
                .and_then(|name| name.parse::<usize>().ok());
            (number.is_none(), std::cmp::Reverse(number), name)
        });
        let mut order: Vec<usize> = (0..members.len()).collect();
        let mut position_of = order.clone();
        for &member in &condemned {
            let position = position_of[member];
            order.swap_remove(position);
            if let Some(&moved) = order.get(position) {
                position_of[moved] = position;
            }
        }
        self.deleted += condemned.len();
        for member in order {
            let Child { whole, value_from } = &members[member];
            let inner = through(trails, depth, member);
            let name_bytes = value_from - whole.start;
            self.child(&body[whole.clone()], name_bytes, inner, depth)?;
        }
        Ok(())
    }

    /// Writes a child that stays, changed inside where `trails` lead; its value begins at
    /// `value_from`.
    fn child(
        &mut self,
        whole: &[u8],
        value_from: usize,
        trails: &[Trail],
        depth: usize,
    ) -> Result<(), TooLarge> {
        if trails.is_empty() {
            self.out.extend_from_slice(whole);
            return Ok(());
        }
        self.out.extend_from_slice(&whole[..value_from]);
        self.value(&whole[value_from..], trails, depth + 1)
    }

    /// Writes the object `bytes` with one more member.
    fn add_member(&mut self, bytes: &[u8], name: &str, value: &[u8]) -> Result<(), TooLarge> {
        let Item::Object(body) = packed::item(bytes) else {
            unreachable!("only objects get members");
        };
        let at = packed::open(&mut self.out);
        self.out.extend_from_slice(body);
        packed::push_string(&mut self.out, name.as_bytes())?;
        self.out.extend_from_slice(value);
        packed::close(&mut self.out, at, Container::Object)
    }
}
