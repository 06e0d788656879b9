//! Text to packed form, streamed: serde_json drives a visitor that writes bytes as it goes.
//!
//! No tree stands in between. serde_json also checks UTF-8 and bounds the depth: a document nested
//! deeper than [`DEPTH_MAX`](crate::DEPTH_MAX) is refused.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::sync::LazyLock;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use smallvec::SmallVec;

use crate::document::Short;
use crate::error::ParseError;
use crate::packed::{self, Container};
use crate::value::Number;

/// Reads `text`, which must be one JSON value, into its packed form.
pub(crate) fn parse(text: &[u8]) -> Result<Vec<u8>, ParseError> {
    if let Some(short) = short(text) {
        return Ok(short.bytes[..usize::from(short.length)].to_vec());
    }
    let mut out = Vec::with_capacity(text.len().min(1 << 20) + 16);
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    ValueSeed(&mut out).deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(out)
}

/// The packed form of `text` if that is nothing but a short string of printable ASCII without
/// escapes, an integer, or a literal. Fields are mostly set to such, and setting up a deserializer
/// for one takes several times as long. What is not of this kind, or no JSON, is told elsewhere.
#[inline]
pub(crate) fn short(text: &[u8]) -> Option<Short> {
    let mut bytes = [0; Short::BYTES_MAX];
    let length = match text {
        [b'"', inner @ .., b'"'] => {
            let room = bytes[1..].get_mut(..inner.len())?;
            for (to, &byte) in room.iter_mut().zip(inner) {
                if !IS_PLAIN[usize::from(byte)] {
                    return None;
                }
                *to = byte;
            }
            bytes[0] = packed::short_string_tag(inner.len())?;
            1 + inner.len()
        }
        b"null" | b"true" | b"false" => {
            bytes[0] = packed::literal((text != b"null").then_some(text == b"true"));
            1
        }
        _ => {
            let integer = bytes.first_chunk_mut().expect("it is longer");
            packed::put_int(integer, short_integer(text)?)
        }
    };
    let length = length as u8;
    Some(Short { bytes, length })
}

/// Whether a byte of a string's text stands for itself, and for nothing in UTF-8.
static IS_PLAIN: [bool; 256] = {
    let mut is_plain = [false; 256];
    let mut byte = b' ';
    while byte <= b'~' {
        is_plain[byte as usize] = !matches!(byte, b'"' | b'\\');
        byte += 1;
    }
    is_plain
};

/// Digits that never make more than 64 bits with sign.
const DIGITS_MAX: usize = 18;

fn short_integer(text: &[u8]) -> Option<i64> {
    let (is_negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    // Nothing but 0 begins with 0, and -0 is a float.
    match digits {
        [] | [b'0', _, ..] => return None,
        [b'0'] if is_negative => return None,
        _ if digits.len() > DIGITS_MAX => return None,
        _ => {}
    }
    let mut value = 0;
    for digit in digits {
        value = value * 10 + i64::from(digit.is_ascii_digit().then(|| digit - b'0')?);
    }
    Some(if is_negative { -value } else { value })
}

/// Reads one value onto the end of the block.
struct ValueSeed<'o>(&'o mut Vec<u8>);

/// Reads a member's name onto the end of the block, as a string.
struct NameSeed<'o>(&'o mut Vec<u8>);

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> DeserializeSeed<'de> for NameSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(ValueSeed(self.0))
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        packed::push_null(self.0);
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        packed::push_bool(self.0, value);
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        packed::push_number(self.0, Number::Int(value));
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        packed::push_number(self.0, Number::Uint(value));
        Ok(())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        packed::push_number(self.0, Number::Float(value));
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        packed::push_string(self.0, text.as_bytes()).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        let at = packed::open(self.0);
        while elements.next_element_seed(ValueSeed(self.0))?.is_some() {}
        packed::close(self.0, at, Container::Array).map_err(A::Error::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let at = packed::open(self.0);
        let body = packed::open_body(at);
        let mut starts = SmallVec::new();
        loop {
            starts.push(self.0.len() - body);
            if members.next_key_seed(NameSeed(self.0))?.is_none() {
                break;
            }
            members.next_value_seed(ValueSeed(self.0))?;
        }
        if let Some(kept) = without_duplicates(&self.0[body..], &starts) {
            self.0.truncate(body);
            self.0.extend_from_slice(&kept);
        }
        packed::close(self.0, at, Container::Object).map_err(A::Error::custom)
    }
}

/// Where each member of an open object starts, and where the last one ends.
type Starts = SmallVec<[usize; 24]>;

/// Objects up to this size look for duplicate names by comparing all pairs.
const PAIRS_MAX: usize = 16;

/// The members of `body` with each name once: first position, last value. None when none repeats.
fn without_duplicates(body: &[u8], starts: &Starts) -> Option<Vec<u8>> {
    let count = starts.len() - 1;
    let name = |member: usize| packed::split_name(&body[starts[member]..]).0;
    if count <= PAIRS_MAX {
        let repeats = (1..count).any(|later| (0..later).any(|first| name(first) == name(later)));
        if !repeats {
            return None;
        }
    }
    static HASHES: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    let mut order: Vec<(u64, u32)> = (0..count)
        .map(|member| (HASHES.hash_one(name(member)), member as u32))
        .collect();
    order.sort_unstable();
    // For each member: the one whose value stands in its place, or none when it goes away.
    let mut replaced: Vec<Option<u32>> = Vec::new();
    for run in order
        .chunk_by(|a, b| a.0 == b.0)
        .filter(|run| run.len() > 1)
    {
        for (position, &(_, member)) in run.iter().enumerate() {
            let same = |other: &&(u64, u32)| name(other.1 as usize) == name(member as usize);
            let first = run.iter().find(same).expect("equal to itself").1;
            if position > 0 && first != member {
                if replaced.is_empty() {
                    replaced = (0..count as u32).map(Some).collect();
                }
                replaced[first as usize] = Some(member);
                replaced[member as usize] = None;
            }
        }
    }
    if replaced.is_empty() {
        return None;
    }
    let mut kept = Vec::with_capacity(body.len());
    for (member, replacement) in replaced.iter().enumerate() {
        let Some(replacement) = *replacement else {
            continue;
        };
        let named = member_range(starts, member);
        let value = member_range(starts, replacement as usize);
        let (name_and_value, value) = (&body[named], &body[value]);
        let name_bytes = name_and_value.len() - packed::split_name(name_and_value).1.len();
        kept.extend_from_slice(&name_and_value[..name_bytes]);
        kept.extend_from_slice(packed::split_name(value).1);
    }
    Some(kept)
}

fn member_range(starts: &Starts, member: usize) -> Range<usize> {
    starts[member]..starts[member + 1]
}
