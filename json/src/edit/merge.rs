//! Merge patches (RFC 7396), at paths as RedisJSON does it.

use std::collections::HashMap;

use crate::document::{Document, DocumentRef};
use crate::error::{EditError, TooLarge};
use crate::node::{Node, Piece};
use crate::packed::{self, Container, Item};
use crate::path::Path;
use crate::value::{Repr, Value, View};

use super::Change;
use super::verb::{self, Order, Verb};

impl DocumentRef<'_> {
    /// The document with `patch` merged into everything `path` means. Where it means nothing and
    /// ends in a name, an existing parent object gets the patch as a new member, as it is.
    ///
    /// None when nothing could be merged.
    pub fn merge(self, path: &Path, patch: DocumentRef<'_>) -> Result<Option<Document>, EditError> {
        let verb = Merge {
            patch: patch.root(),
        };
        let edit = verb::edit(self, path, &verb)?;
        match edit.failure {
            _ if edit.answers.is_empty() => self.create(path, patch),
            Some(failure) => Err(failure),
            None => Ok(edit.document),
        }
    }
}

struct Merge<'v> {
    patch: Value<'v>,
}

impl<'v> Verb<'v> for Merge<'v> {
    type Answer = ();

    const ORDER: Order = Order::Found;

    fn is_for(&self, _: Value<'_>) -> bool {
        true
    }

    fn decide(&self, value: Option<Value<'_>>) -> Result<(Option<Change<'v>>, ()), EditError> {
        // What went away by merging into something around it needs no merging.
        Ok((value.map(|_| Change::Merge(self.patch)), ()))
    }
}

/// Where the value of a merged object's member comes from.
enum Source<'a> {
    Kept(&'a [u8]),
    Merged(Option<&'a [u8]>, Value<'a>),
}

/// Writes what merging `patch` into the packed value `target` gives; no target is like one that is
/// no object.
pub(super) fn merged_packed(
    target: Option<&[u8]>,
    patch: Value<'_>,
    out: &mut Vec<u8>,
) -> Result<(), TooLarge> {
    let View::Object(changes) = patch.view() else {
        return patch.pack(out);
    };
    let mut members: Vec<(&[u8], Source<'_>)> = Vec::new();
    let mut rest = match target.map(packed::item) {
        Some(Item::Object(body)) => body,
        _ => &[],
    };
    while !rest.is_empty() {
        let (name, after) = packed::split_name(rest);
        let (value, after) = packed::split(after);
        members.push((name, Source::Kept(value)));
        rest = after;
    }
    let names = members.iter().map(|(name, _)| *name);
    let mut places: HashMap<&[u8], usize> = names.zip(0..).collect();
    for (name, change) in changes.iter() {
        let place = places.get(name.as_bytes()).copied();
        match (place, change.view()) {
            (None, View::Null) => {}
            (Some(place), View::Null) => {
                members.swap_remove(place);
                places.remove(name.as_bytes());
                if let Some((moved, _)) = members.get(place) {
                    places.insert(moved, place);
                }
            }
            (None, _) => {
                places.insert(name.as_bytes(), members.len());
                members.push((name.as_bytes(), Source::Merged(None, change)));
            }
            (Some(place), _) => {
                if let Source::Kept(value) = members[place].1 {
                    members[place].1 = Source::Merged(Some(value), change);
                }
            }
        }
    }
    let at = packed::open(out);
    for (name, source) in members {
        packed::push_string(out, name)?;
        match source {
            Source::Kept(value) => out.extend_from_slice(value),
            Source::Merged(target, change) => merged_packed(target, change, out)?,
        }
    }
    packed::close(out, at, Container::Object)
}

/// What merging `patch` into `target` gives; what the patch does not name is shared.
pub(super) fn merged(target: Value<'_>, patch: Value<'_>) -> Result<Piece, TooLarge> {
    let View::Object(changes) = patch.view() else {
        return Ok(patch.to_piece());
    };
    let mut members = match target.repr() {
        Repr::Members(members) => members.clone(),
        Repr::Packed(bytes) => return merged_small(Some(bytes), patch),
        Repr::Tree(_) => return merged_small(None, patch),
    };
    for (name, change) in changes.iter() {
        let place = members.find(name.as_bytes());
        members = match (place, change.view()) {
            (None, View::Null) => continue,
            (Some((place, _)), View::Null) => members.removed(place)?,
            (Some((place, value)), _) => {
                let piece = merged(value, change)?;
                members.replaced(place, piece)
            }
            (None, _) => members.appended(name, merged_small(None, change)?)?,
        };
    }
    Piece::of_node(Node::Object(members))
}

fn merged_small(target: Option<&[u8]>, patch: Value<'_>) -> Result<Piece, TooLarge> {
    let mut bytes = Vec::new();
    merged_packed(target, patch, &mut bytes)?;
    Ok(Piece::of_packed(&bytes))
}
