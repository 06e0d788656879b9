//! One value in place of the one that a path of names and indexes means, which is what most edits
//! are: found and changed in one descent, without trails or sites.

use crate::error::TooLarge;
use crate::node::{Node, Piece};
use crate::packed::{self, Container, Item};
use crate::path::{Segment, Selector, place_of};
use crate::value::{Repr, Value};

/// The value with `new` where `steps` lead, each of which is a name or an index; None where they
/// lead to nothing.
pub(super) fn replaced(
    value: Value<'_>,
    steps: &[Segment<'_>],
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
    step: &Segment<'_>,
    rest: &[Segment<'_>],
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
    steps: &[Segment<'_>],
    new: Value<'_>,
) -> Result<Option<Vec<u8>>, TooLarge> {
    let mut out = Vec::with_capacity(bytes.len() + new.extent() + HEADERS_BYTES);
    Ok(write(bytes, steps, new, &mut out)?.then_some(out))
}

/// Room for wider headers around a longer value.
const HEADERS_BYTES: usize = 16;

/// Writes the packed value `bytes` with `new` where `steps` lead; false where they lead to nothing.
fn write(
    bytes: &[u8],
    steps: &[Segment<'_>],
    new: Value<'_>,
    out: &mut Vec<u8>,
) -> Result<bool, TooLarge> {
    let Some((step, rest)) = steps.split_first() else {
        new.pack(out)?;
        return Ok(true);
    };
    let (container, body, from) = match (step.only_child(), packed::item(bytes)) {
        (Some(Selector::Name(name)), Item::Object(body)) => {
            let found = packed::find_member(body, name.as_bytes());
            (Container::Object, body, found.map(|(_, from)| from))
        }
        (Some(&Selector::Index(index)), Item::Array(body)) => {
            let place = place_of(index, || packed::count_elements(body));
            let from = place.and_then(|place| packed::find_element(body, place));
            (Container::Array, body, from)
        }
        _ => return Ok(false),
    };
    let Some(from) = from else {
        return Ok(false);
    };
    let to = from + packed::length(&body[from..]);
    let at = packed::open(out);
    out.extend_from_slice(&body[..from]);
    if !write(&body[from..to], rest, new, out)? {
        return Ok(false);
    }
    out.extend_from_slice(&body[to..]);
    packed::close(out, at, container)?;
    Ok(true)
}
