//! One value in place of the one that a path of names and indexes means, which is what most edits
//! are: found and changed in one descent, without trails or sites.
//!
//! Mostly the headers of the containers around keep their widths. Then the new packed form is the
//! old one with a few bytes changed in a row, and a byte or two in each header: a [`Splice`].

use std::ops::Range;

use smallvec::SmallVec;

use super::Head;
use crate::error::TooLarge;
use crate::node::{Node, Piece};
use crate::packed::{self, Container};
use crate::path::{Step, place_of};
use crate::value::{Repr, Value};

/// The value with `new` where `steps` lead; None where they lead to nothing.
pub(super) fn replaced(
    value: Value<'_>,
    steps: &[Step],
    new: Value<'_>,
) -> Result<Option<Piece>, TooLarge> {
    let Some((step, rest)) = steps.split_first() else {
        return Ok(Some(new.to_piece()));
    };
    if let Repr::Packed(bytes) = value.repr() {
        return Ok(rewritten(bytes, steps, new)?.map(Piece::of_packed_vec));
    }
    if let Repr::Packed(new) = new.repr()
        && let Some(node) = spliced_in_node(value, step, rest, new)
    {
        return Piece::of_node(node).map(Some);
    }
    let Some((place, child)) = step.follow(value) else {
        return Ok(None);
    };
    let Some(piece) = replaced(child, rest, new)? else {
        return Ok(None);
    };
    let node = match value.repr() {
        Repr::Tree(old) => Node::Array(old.replaced(place, piece)),
        Repr::Members(old) => Node::Object(old.replaced(place, piece)),
        Repr::Packed(_) => unreachable!("looked at above"),
    };
    Piece::of_node(node).map(Some)
}

/// The same in a value that is a tree, where all that changes lies in one leaf; None where that is
/// not so, or hard to say.
#[inline]
pub(super) fn spliced_in_node(
    value: Value<'_>,
    step: &Step,
    rest: &[Step],
    new: &[u8],
) -> Option<Node> {
    match (step, value.repr()) {
        (Step::Name(name), Repr::Members(old)) => {
            old.spliced(name.as_bytes(), rest, new).map(Node::Object)
        }
        (&Step::Index(index), Repr::Tree(old)) => {
            let place = place_of(index, || old.len())?;
            old.spliced(place, rest, new).map(Node::Array)
        }
        _ => None,
    }
}

/// Where in a packed value another stands, to be replaced in a copy, when the headers around it
/// keep their widths: then all stays where it is in front of it, and what follows it moves as one.
#[derive(Debug)]
pub(crate) struct Splice {
    /// The headers of the containers around it.
    around: [Opened; SPLICE_STEPS_MAX],
    steps: usize,
    old: Range<usize>,
}

/// The header of a container, for the most common widths.
#[derive(Clone, Copy, Debug, Default)]
struct Opened {
    at: u16,
    /// How many bytes stand in the container.
    body: u16,
    is_object: bool,
}

/// Longer paths are followed in the other way.
const SPLICE_STEPS_MAX: usize = 8;

impl Splice {
    /// The place to which `steps` lead in the value at the front of `bytes`; None where that is
    /// none, or too far.
    #[inline]
    pub(crate) fn find(bytes: &[u8], steps: &[Step]) -> Option<Splice> {
        let mut around = [Opened::default(); SPLICE_STEPS_MAX];
        let mut from = 0;
        for (opened, step) in around.iter_mut().zip(steps) {
            let (container, header, body) = packed::container(&bytes[from..])?;
            *opened = Opened {
                at: u16::try_from(from).ok()?,
                body: u16::try_from(body.len()).ok()?,
                is_object: container == Container::Object,
            };
            from += header + step.child_from_body(container, body)?;
        }
        let to = from + packed::length(&bytes[from..]);
        (steps.len() <= SPLICE_STEPS_MAX).then_some(Splice {
            around,
            steps: steps.len(),
            old: from..to,
        })
    }

    /// The bytes that are replaced.
    #[inline]
    pub(crate) fn old(&self) -> Range<usize> {
        self.old.clone()
    }

    /// Makes the headers around the place say that it takes `added` bytes more, in a copy of all
    /// that is in front of it. False: they cannot.
    #[inline]
    pub(crate) fn lengthen(&self, copy: &mut [u8], added: isize) -> bool {
        added == 0
            || self.around[..self.steps].iter().all(|opened| {
                let container = match opened.is_object {
                    true => Container::Object,
                    false => Container::Array,
                };
                let header = &mut copy[usize::from(opened.at)..];
                packed::lengthen(header, container, usize::from(opened.body), added)
            })
    }
}

/// As [`rewritten`] in two parts: writes to `head` how the new form begins, and returns how it
/// goes on, which is as the old one ends. None: it is found out in the other way.
#[inline]
pub(super) fn spliced<'a>(
    bytes: &'a [u8],
    steps: &[Step],
    new: &[u8],
    head: &mut Head,
) -> Option<&'a [u8]> {
    let splice = Splice::find(bytes, steps)?;
    let Range { start, end } = splice.old;
    let copy = head.room(start + new.len());
    copy[..start].copy_from_slice(&bytes[..start]);
    copy[start..].copy_from_slice(new);
    let added = new.len() as isize - (end - start) as isize;
    splice.lengthen(copy, added).then_some(&bytes[end..])
}

/// The same of a packed value.
pub(super) fn rewritten(
    bytes: &[u8],
    steps: &[Step],
    new: Value<'_>,
) -> Result<Option<Vec<u8>>, TooLarge> {
    let Some((around, old)) = descend(bytes, steps) else {
        return Ok(None);
    };
    let new = new.to_packed()?;
    // Lengths are known from the inside out, bytes are written from the outside in.
    let (mut old_bytes, mut new_bytes) = (old.len(), new.len());
    let mut bodies: SmallVec<[usize; STEPS_INLINE]> = SmallVec::new();
    for container in around.iter().rev() {
        let body = container.body.len() - old_bytes + new_bytes;
        bodies.push(body);
        old_bytes = container.body.end - container.from;
        new_bytes = packed::header_bytes(container.kind, body) + body;
    }
    let mut out = Vec::with_capacity(bytes.len() - old_bytes + new_bytes);
    let mut written = 0;
    for (container, body) in around.iter().zip(bodies.iter().rev()) {
        out.extend_from_slice(&bytes[written..container.from]);
        packed::push_header(&mut out, container.kind, *body)?;
        written = container.body.start;
    }
    out.extend_from_slice(&bytes[written..old.start]);
    out.extend_from_slice(&new);
    // The rest of each container follows that of the one inside it.
    out.extend_from_slice(&bytes[old.end..]);
    Ok(Some(out))
}

/// Steps of a path for which no memory is asked.
const STEPS_INLINE: usize = 6;

/// A container on the way to a value.
struct Around {
    kind: Container,
    /// Where it begins.
    from: usize,
    /// Where its elements or members stand.
    body: Range<usize>,
}

/// Where in the packed value `bytes` the value stands to which `steps` lead, and what is around it,
/// from the outside in.
fn descend(
    bytes: &[u8],
    steps: &[Step],
) -> Option<(SmallVec<[Around; STEPS_INLINE]>, Range<usize>)> {
    let mut around = SmallVec::new();
    let mut from = 0;
    for step in steps {
        let (kind, _, body) = packed::container(&bytes[from..])?;
        let child = step.child_from_body(kind, body)?;
        let end = from + packed::length(&bytes[from..]);
        let body = end - body.len()..end;
        let next = body.start + child;
        around.push(Around { kind, from, body });
        from = next;
    }
    let end = from + packed::length(&bytes[from..]);
    Some((around, from..end))
}
