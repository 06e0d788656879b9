//! One value in place of the one that a path of names and indexes means, which is what most edits
//! are: found and changed in one descent, without trails or sites.

use std::ops::Range;

use smallvec::SmallVec;

use crate::error::TooLarge;
use crate::node::{Node, Piece};
use crate::packed::{self, Container, Item};
use crate::path::{Segment, Selector, place_of};
use crate::value::{Repr, Value};

/// The value with `new` where `steps` lead, each of which is a name or an index; None where they
/// lead to nothing.
pub(super) fn replaced(
    value: Value<'_>,
    steps: &[Segment],
    new: Value<'_>,
) -> Result<Option<Piece>, TooLarge> {
    let Some((step, rest)) = steps.split_first() else {
        return Ok(Some(new.to_piece()));
    };
    let node = match value.repr() {
        Repr::Packed(bytes) => {
            return Ok(rewritten(bytes, steps, new)?.map(Piece::of_packed_vec));
        }
        Repr::Tree(old) => below(value, step, rest, new)?
            .map(|(place, piece)| Node::Array(old.replaced(place, piece))),
        Repr::Members(old) => below(value, step, rest, new)?
            .map(|(place, piece)| Node::Object(old.replaced(place, piece))),
    };
    node.map(Piece::of_node).transpose()
}

/// The place of the child to which `step` leads, and what it becomes.
fn below(
    value: Value<'_>,
    step: &Segment,
    rest: &[Segment],
    new: Value<'_>,
) -> Result<Option<(usize, Piece)>, TooLarge> {
    let Some((place, child)) = step.follow(value) else {
        return Ok(None);
    };
    let piece = replaced(child, rest, new)?;
    Ok(piece.map(|piece| (place, piece)))
}

/// The same of a packed value.
pub(super) fn rewritten(
    bytes: &[u8],
    steps: &[Segment],
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
    steps: &[Segment],
) -> Option<(SmallVec<[Around; STEPS_INLINE]>, Range<usize>)> {
    let mut around = SmallVec::new();
    let mut from = 0;
    for step in steps {
        let (kind, body, child) = match (step.only_child()?, packed::item(&bytes[from..])) {
            (Selector::Name(name), Item::Object(body)) => {
                let (_, child) = packed::find_member(body, name.as_bytes())?;
                (Container::Object, body, child)
            }
            (&Selector::Index(index), Item::Array(body)) => {
                let place = place_of(index, || packed::count_elements(body))?;
                let child = packed::find_element(body, place)?;
                (Container::Array, body, child)
            }
            _ => return None,
        };
        let end = from + packed::length(&bytes[from..]);
        let body = end - body.len()..end;
        let next = body.start + child;
        around.push(Around { kind, from, body });
        from = next;
    }
    let end = from + packed::length(&bytes[from..]);
    Some((around, from..end))
}
