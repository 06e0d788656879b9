//! Changing a document: the old one stays, a new one is made.
//!
//! An edit first finds where the values stand that a path means (their trails) and drops those
//! that lie inside others. A packed document is then written anew in one pass: what no trail leads
//! through is copied as it is. Of a large one only the parts on the trails are made anew; the new
//! version shares all others with the old.
//!
//! Two habits of RedisJSON are kept because its clients can see them. A deleted member's place is
//! taken by the object's last member. And of several members deleted from one object, those whose
//! names are numbers go first, the larger ones before the smaller, then the others by name, which
//! decides who takes whose place.

use std::cmp::Reverse;

use crate::DEPTH_MAX;
use crate::document::{Document, DocumentRef};
use crate::error::{EditError, TooLarge};
use crate::path::{Path, Selector, Trail};
use crate::value::{Value, View};

mod rewrite;
mod share;

/// Documents stay below this size, so that each can be packed.
const BYTES_MAX: usize = 1 << 30;

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
                let change = Change::Replace(value.root());
                return self.changed(&trails, change).map(Some);
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
        let (document, count) = self.edited(&trails, Change::Delete)?;
        let is_empty = match document.root().view() {
            View::Array(array) => array.is_empty(),
            View::Object(object) => object.is_empty(),
            _ => false,
        };
        Ok(Deletion {
            count,
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
        let value = value.root();
        self.changed(&trails, Change::AddMember { name, value })
            .map(Some)
    }

    /// The document with something added where `trails` lead.
    fn changed(self, trails: &[Trail], change: Change<'_>) -> Result<Document, EditError> {
        let deepest = trails.iter().map(|trail| trail.len()).max().unwrap_or(0);
        let (containers, added) = match change {
            Change::Replace(value) => (deepest, value),
            Change::AddMember { value, .. } => (deepest + 1, value),
            Change::Delete => unreachable!("a deletion adds nothing"),
        };
        if !added.nests_at_most(DEPTH_MAX.saturating_sub(containers)) {
            return Err(EditError::TooDeep);
        }
        Ok(self.edited(trails, change)?.0)
    }

    /// The document after `change`, and how many values were deleted.
    fn edited(self, trails: &[Trail], change: Change<'_>) -> Result<(Document, usize), TooLarge> {
        match self {
            DocumentRef::Packed(bytes) => {
                let (bytes, deleted) = rewrite::rewrite(bytes, trails, 0, change)?;
                Ok((Document::from_packed_vec(bytes), deleted))
            }
            DocumentRef::Large(large) => {
                if large.memory_bytes() + change.added_bytes() > BYTES_MAX {
                    return Err(TooLarge);
                }
                let (piece, deleted) = share::share(large.root(), trails, 0, change)?;
                Ok((Document::of_piece(piece), deleted))
            }
        }
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
    Replace(Value<'v>),
    AddMember { name: &'v str, value: Value<'v> },
    Delete,
}

impl Change<'_> {
    /// About how many bytes it adds.
    fn added_bytes(&self) -> usize {
        match self {
            Change::Replace(value) => value.extent(),
            Change::AddMember { name, value } => name.len() + value.extent(),
            Change::Delete => 0,
        }
    }
}

/// The trails among `trails` that lead through the child at `place`; sorted, they stand together.
fn through(trails: &[Trail], depth: usize, place: usize) -> &[Trail] {
    let from = trails.partition_point(|trail| (trail[depth] as usize) < place);
    let to = trails.partition_point(|trail| trail[depth] as usize <= place);
    &trails[from..to]
}

/// Which members of one object go first, by their names.
fn deletion_rank(name: &[u8]) -> impl Ord {
    let text = std::str::from_utf8(name).ok();
    let number = text.and_then(|name| name.parse::<usize>().ok());
    (number.is_none(), Reverse(number), name.to_vec())
}
