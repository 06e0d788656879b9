//! Changing a packed value: it is written anew in one pass.

use std::ops::Range;

use super::{Change, deletion_rank, through};
use crate::error::TooLarge;
use crate::packed::{self, Container, Item};
use crate::path::Trail;
use crate::value::Value;

/// Writes the packed value `bytes`, which stands `depth` steps down, with `change` where `trails`
/// lead; they are sorted and there is one at least. Returns it and how many values were deleted.
pub(super) fn rewrite(
    bytes: &[u8],
    trails: &[Trail],
    depth: usize,
    change: Change<'_>,
) -> Result<(Vec<u8>, usize), TooLarge> {
    let mut rewrite = Rewrite {
        out: Vec::with_capacity(bytes.len() + change.added_bytes() + 16),
        change,
        deleted: 0,
    };
    rewrite.value(bytes, trails, depth)?;
    Ok((rewrite.out, rewrite.deleted))
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

impl Rewrite<'_> {
    /// Writes the value `bytes`, which stands `depth` steps down, changed where `trails` lead.
    /// They are sorted and there is one at least.
    fn value(&mut self, bytes: &[u8], trails: &[Trail], depth: usize) -> Result<(), TooLarge> {
        if trails[0].len() == depth {
            return match self.change {
                Change::Replace(value) => value.pack(&mut self.out),
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
            deletion_rank(packed::split_name(&body[members[member].whole.start..]).0)
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
    fn add_member(&mut self, bytes: &[u8], name: &str, value: Value<'_>) -> Result<(), TooLarge> {
        let Item::Object(body) = packed::item(bytes) else {
            unreachable!("only objects get members");
        };
        let at = packed::open(&mut self.out);
        self.out.extend_from_slice(body);
        packed::push_string(&mut self.out, name.as_bytes())?;
        value.pack(&mut self.out)?;
        packed::close(&mut self.out, at, Container::Object)
    }
}
