//! Changing a packed value: it is written anew in one pass.

use std::ops::Range;

use super::merge::merged_packed;
use super::{Change, Site, order, through};
use crate::error::TooLarge;
use crate::packed::{self, Container, Item};
use crate::value::Value;

/// Writes the packed value `bytes`, which stands `depth` steps down, with the changes at `sites`;
/// they are sorted and there is one at least. Returns it and how many values were deleted.
pub(super) fn rewrite(
    bytes: &[u8],
    sites: &[Site<'_>],
    depth: usize,
) -> Result<(Vec<u8>, usize), TooLarge> {
    let added: usize = sites.iter().map(|site| site.change.added_bytes()).sum();
    let mut rewrite = Rewrite {
        out: Vec::with_capacity(bytes.len() + added + 16),
        deleted: 0,
    };
    rewrite.value(bytes, sites, depth)?;
    Ok((rewrite.out, rewrite.deleted))
}

/// A document being written anew.
struct Rewrite {
    out: Vec<u8>,
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

impl Rewrite {
    /// Writes the value `bytes`, which stands `depth` steps down, changed at `sites`. They are
    /// sorted and there is one at least.
    fn value(&mut self, bytes: &[u8], sites: &[Site<'_>], depth: usize) -> Result<(), TooLarge> {
        if sites[0].trail.len() == depth {
            return self.changed(bytes, &sites[0].change);
        }
        let (container, body) = match packed::item(bytes) {
            Item::Array(body) => (Container::Array, body),
            Item::Object(body) => (Container::Object, body),
            other => unreachable!("trails lead through containers, not {other:?}"),
        };
        let at = packed::open(&mut self.out);
        let deletes = |site: &Site<'_>| {
            matches!(site.change, Change::Delete) && site.trail.len() == depth + 1
        };
        match container {
            _ if !sites.iter().any(deletes) => self.children(container, body, sites, depth)?,
            Container::Array => self.delete_elements(body, sites, depth)?,
            Container::Object => self.delete_members(body, sites, depth)?,
        }
        packed::close(&mut self.out, at, container)
    }

    /// Writes the children of a container that all stay.
    fn children(
        &mut self,
        container: Container,
        body: &[u8],
        sites: &[Site<'_>],
        depth: usize,
    ) -> Result<(), TooLarge> {
        let mut sites = sites;
        let mut copied = 0;
        for (place, child) in children(container, body).enumerate() {
            let Some(next) = sites.first() else {
                break;
            };
            if next.trail[depth] as usize != place {
                continue;
            }
            let inner = through(sites, depth, place);
            sites = &sites[inner.len()..];
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
        sites: &[Site<'_>],
        depth: usize,
    ) -> Result<(), TooLarge> {
        let elements: Vec<Child> = children(Container::Array, body).collect();
        let mut survivors: Vec<usize> = Vec::with_capacity(elements.len());
        for place in (0..elements.len()).rev() {
            survivors.push(place);
            for site in through(sites, depth, place) {
                if site.trail.len() == depth + 1 && survivors.pop().is_some() {
                    self.deleted += 1;
                }
            }
        }
        for place in survivors.into_iter().rev() {
            let element = &elements[place];
            let inner = through(sites, depth, place);
            self.child(&body[element.whole.clone()], 0, inner, depth)?;
        }
        Ok(())
    }

    /// Writes the members of an object some of which go; the last take their places.
    fn delete_members(
        &mut self,
        body: &[u8],
        sites: &[Site<'_>],
        depth: usize,
    ) -> Result<(), TooLarge> {
        let members: Vec<Child> = children(Container::Object, body).collect();
        let mut condemned: Vec<usize> = sites
            .iter()
            .filter(|site| site.trail.len() == depth + 1)
            .map(|site| site.trail[depth] as usize)
            .collect();
        condemned.dedup();
        let name = |member: usize| packed::split_name(&body[members[member].whole.start..]).0;
        condemned.sort_by(|&left, &right| order::of_members(name(left), name(right)));
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
            let inner = through(sites, depth, member);
            let name_bytes = value_from - whole.start;
            self.child(&body[whole.clone()], name_bytes, inner, depth)?;
        }
        Ok(())
    }

    /// Writes a child that stays, changed inside at `sites`; its value begins at
    /// `value_from`.
    fn child(
        &mut self,
        whole: &[u8],
        value_from: usize,
        sites: &[Site<'_>],
        depth: usize,
    ) -> Result<(), TooLarge> {
        if sites.is_empty() {
            self.out.extend_from_slice(whole);
            return Ok(());
        }
        self.out.extend_from_slice(&whole[..value_from]);
        self.value(&whole[value_from..], sites, depth + 1)
    }

    /// Writes the value `bytes` after `change`.
    fn changed(&mut self, bytes: &[u8], change: &Change<'_>) -> Result<(), TooLarge> {
        match *change {
            Change::Replace(value) => value.pack(&mut self.out),
            Change::Put(ref value) => {
                self.out.extend_from_slice(value);
                Ok(())
            }
            Change::AddMember { name, value } => self.add_member(bytes, name, value),
            Change::Splice {
                at,
                removed,
                inserted,
            } => {
                let body = elements(bytes);
                let open = packed::open(&mut self.out);
                let from = skip(body, at);
                self.out.extend_from_slice(&body[..from]);
                for value in inserted {
                    value.root().pack(&mut self.out)?;
                }
                let to = from + skip(&body[from..], removed);
                self.out.extend_from_slice(&body[to..]);
                packed::close(&mut self.out, open, Container::Array)
            }
            Change::Keep(start, end) => {
                let body = elements(bytes);
                let open = packed::open(&mut self.out);
                let from = skip(body, start);
                let to = from + skip(&body[from..], end - start);
                self.out.extend_from_slice(&body[from..to]);
                packed::close(&mut self.out, open, Container::Array)
            }
            Change::Merge(patch) => merged_packed(Some(bytes), patch, &mut self.out),
            Change::Delete => unreachable!("the container deletes its children"),
        }
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

/// The elements of the array `bytes`.
fn elements(bytes: &[u8]) -> &[u8] {
    match packed::item(bytes) {
        Item::Array(body) => body,
        other => unreachable!("only arrays lose and get elements, not {other:?}"),
    }
}

/// Where `count` values that stand one after the other end.
fn skip(values: &[u8], count: usize) -> usize {
    let mut at = 0;
    for _ in 0..count {
        at += packed::length(&values[at..]);
    }
    at
}
