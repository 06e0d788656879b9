//! The packed form: a whole value as one block of bytes, made to be small and cheap to skip.
//!
//! A value is a tag byte, then what the tag says. Lengths count the bytes that follow, so any value
//! is skipped in one step. Numbers are little endian.
//!
//! ```text
//! 00..5F        string of 0..95 bytes, which follow
//! 60..9F        integer 0..63, nothing follows
//! A0..AF        array, its elements take 0..15 bytes
//! B0..CF        object, its members take 0..31 bytes
//! D0 D1 D2      null, false, true
//! D4 D5 D6      string, its length in 1, 2 or 4 bytes
//! D8 D9 DA      array, likewise
//! DC DD DE      object, likewise
//! E0..E7        signed integer of 1..8 bytes
//! E8            unsigned integer of 8 bytes, above i64::MAX
//! F0            float, 8 bytes
//! F1..F6        float written as a decimal: its scale in one byte, then a signed mantissa of
//!               1..6 bytes; the value is mantissa / 10^scale
//! FF            link: a number of 2 bytes (only at the top level of a leaf of the large form)
//! ```
//!
//! A member of an object is its name (a string value) followed by its value. Invariants, kept by
//! the writer in this file: strings are UTF-8; the names of an object differ; an integer takes the
//! fewest bytes it can; a float is a decimal exactly when dividing gives back the same bits, which
//! it does for every short decimal, since mantissa and power of ten are both exact (Clinger's fast
//! path). Containers never hold links.

use crate::error::TooLarge;
use crate::value::Number;

const STRING_SHORT_MAX: usize = 0x5F;
const INT_SMALL: u8 = 0x60;
const INT_SMALL_MAX: i64 = 63;
const ARRAY_SHORT: u8 = 0xA0;
const ARRAY_SHORT_MAX: usize = 15;
const OBJECT_SHORT: u8 = 0xB0;
const OBJECT_SHORT_MAX: usize = 31;
const NULL: u8 = 0xD0;
const FALSE: u8 = 0xD1;
const TRUE: u8 = 0xD2;
const STRING_1: u8 = 0xD4;
const ARRAY_1: u8 = 0xD8;
const ARRAY_3: u8 = 0xDA;
const OBJECT_1: u8 = 0xDC;
const OBJECT_2: u8 = 0xDD;
const OBJECT_3: u8 = 0xDE;
const INT_1: u8 = 0xE0;
const INT_8: u8 = 0xE7;
const UINT_8: u8 = 0xE8;
const FLOAT: u8 = 0xF0;
const DECIMAL_1: u8 = 0xF1;
const DECIMAL_6: u8 = 0xF6;
const LINK: u8 = 0xFF;

/// Bytes of a link: its tag and its number.
pub(crate) const LINK_BYTES: usize = 3;

/// What the bytes of one value say, decoded one level deep.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Item<'a> {
    Null,
    Bool(bool),
    Number(Number),
    String(&'a [u8]),
    /// The elements, one after the other.
    Array(&'a [u8]),
    /// The members, one after the other: name, value.
    Object(&'a [u8]),
    /// The number of a link in the leaf that holds this value.
    Link(usize),
}

/// Bytes taken by the value at the front of `bytes`.
#[inline]
pub(crate) fn length(bytes: &[u8]) -> usize {
    match LENGTHS[usize::from(bytes[0])] {
        SPELLED_OUT => {
            let (header, body) = long_header(bytes);
            header + body
        }
        length => usize::from(length),
    }
}

/// Says in [`LENGTHS`] that the length stands behind the tag.
const SPELLED_OUT: u8 = 0;

/// The bytes of a value by its tag.
static LENGTHS: [u8; 256] = {
    let mut lengths = [SPELLED_OUT; 256];
    let mut index = 0;
    while index < lengths.len() {
        let tag = index as u8;
        lengths[index] = match tag {
            0..INT_SMALL => 1 + tag,
            INT_SMALL..ARRAY_SHORT => 1,
            ARRAY_SHORT..OBJECT_SHORT => 1 + tag - ARRAY_SHORT,
            OBJECT_SHORT..NULL => 1 + tag - OBJECT_SHORT,
            NULL..=TRUE => 1,
            INT_1..=INT_8 => 2 + tag - INT_1,
            UINT_8 | FLOAT => 9,
            DECIMAL_1..=DECIMAL_6 => 3 + tag - DECIMAL_1,
            LINK => LINK_BYTES as u8,
            _ => SPELLED_OUT,
        };
        index += 1;
    }
    lengths
};

/// The value at the front of `bytes`, and the bytes after it.
#[inline]
pub(crate) fn split(bytes: &[u8]) -> (&[u8], &[u8]) {
    bytes.split_at(length(bytes))
}

/// Decodes the value at the front of `bytes`.
#[inline(always)] // Into registers: what is passed on through memory is waited for.
pub(crate) fn item(bytes: &[u8]) -> Item<'_> {
    let tag = bytes[0];
    match tag {
        0..INT_SMALL => Item::String(&bytes[1..1 + usize::from(tag)]),
        INT_SMALL..ARRAY_SHORT => Item::Number(Number::Int(i64::from(tag - INT_SMALL))),
        ARRAY_SHORT..OBJECT_SHORT => Item::Array(&bytes[1..1 + usize::from(tag - ARRAY_SHORT)]),
        OBJECT_SHORT..NULL => Item::Object(&bytes[1..1 + usize::from(tag - OBJECT_SHORT)]),
        NULL => Item::Null,
        FALSE => Item::Bool(false),
        TRUE => Item::Bool(true),
        LINK => Item::Link(usize::from(u16::from_le_bytes([bytes[1], bytes[2]]))),
        _ => {
            if let Some(number) = number(bytes) {
                return Item::Number(number);
            }
            let (header, body) = long_header(bytes);
            let body = &bytes[header..header + body];
            match tag & !3 {
                STRING_1 => Item::String(body),
                ARRAY_1 => Item::Array(body),
                _ => Item::Object(body),
            }
        }
    }
}

/// The container at the front of `bytes`, if there is one: of which kind it is, the bytes of its
/// header, and what is in it.
#[inline]
pub(crate) fn container(bytes: &[u8]) -> Option<(Container, usize, &[u8])> {
    let tag = bytes[0];
    let (container, header, body) = match tag {
        ARRAY_SHORT..OBJECT_SHORT => (Container::Array, 1, usize::from(tag - ARRAY_SHORT)),
        OBJECT_SHORT..NULL => (Container::Object, 1, usize::from(tag - OBJECT_SHORT)),
        ARRAY_1..=ARRAY_3 => {
            let (header, body) = long_header(bytes);
            (Container::Array, header, body)
        }
        OBJECT_1..=OBJECT_3 => {
            let (header, body) = long_header(bytes);
            (Container::Object, header, body)
        }
        _ => return None,
    };
    Some((container, header, &bytes[header..header + body]))
}

/// The bytes of the string at the front of `bytes` (a member's name), and the bytes after it.
#[inline]
pub(crate) fn split_name(bytes: &[u8]) -> (&[u8], &[u8]) {
    let tag = usize::from(bytes[0]);
    if tag <= STRING_SHORT_MAX {
        bytes[1..].split_at(tag)
    } else {
        let (header, body) = long_header(bytes);
        bytes[header..].split_at(body)
    }
}

/// The mantissa and scale of the float at the front of `bytes`, if it is written as a decimal.
#[inline]
pub(crate) fn decimal_at(bytes: &[u8]) -> Option<(i64, u8)> {
    let width = match bytes[0] {
        tag @ DECIMAL_1..=DECIMAL_6 => usize::from(tag - DECIMAL_1) + 1,
        _ => return None,
    };
    Some((signed_at(bytes, 2, width), bytes[1]))
}

/// The number at the front of `bytes`, if that is one.
#[inline(always)] // Into registers: what is passed on through memory is waited for.
pub(crate) fn number(bytes: &[u8]) -> Option<Number> {
    let tag = bytes[0];
    Some(match tag {
        INT_SMALL..ARRAY_SHORT => Number::Int(i64::from(tag - INT_SMALL)),
        INT_1..=INT_8 => Number::Int(signed_at(bytes, 1, usize::from(tag - INT_1) + 1)),
        DECIMAL_1..=DECIMAL_6 => {
            let mantissa = signed_at(bytes, 2, usize::from(tag - DECIMAL_1) + 1);
            Number::Float(mantissa as f64 / POWERS_OF_TEN[usize::from(bytes[1])])
        }
        FLOAT => Number::Float(f64::from_le_bytes(eight(bytes))),
        UINT_8 => Number::Uint(u64::from_le_bytes(eight(bytes))),
        _ => return None,
    })
}

/// The text at the front of `bytes`, if that is one.
#[inline]
pub(crate) fn text(bytes: &[u8]) -> Option<&[u8]> {
    match item(bytes) {
        Item::String(text) => Some(text),
        _ => None,
    }
}

/// The members of the object at the front of `bytes`, if that is one.
#[inline]
pub(crate) fn members(bytes: &[u8]) -> Option<&[u8]> {
    let tag = bytes[0];
    let (header, body) = match tag {
        OBJECT_SHORT..NULL => (1, usize::from(tag - OBJECT_SHORT)),
        OBJECT_1 => (2, usize::from(bytes[1])),
        OBJECT_2..=OBJECT_3 => long_header(bytes),
        _ => return None,
    };
    Some(&bytes[header..header + body])
}

/// What begins with the value of the member called `name` in the body of an object.
pub(crate) fn member<'a>(body: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    find_member(body, name).map(|(_, value_from)| &body[value_from..])
}

/// The member called `name` in the body of an object: its place, and where its value begins.
#[inline(always)] // Who does not ask for the place does not count.
pub(crate) fn find_member(body: &[u8], name: &[u8]) -> Option<(usize, usize)> {
    let (mut at, mut place) = (0, 0);
    while let Some(&tag) = body.get(at) {
        let (mut name_from, mut name_bytes) = (at + 1, usize::from(tag));
        if name_bytes > STRING_SHORT_MAX {
            let (header, bytes) = long_header(&body[at..]);
            (name_from, name_bytes) = (at + header, bytes);
        }
        let value_from = name_from + name_bytes;
        // Mostly the length differs.
        if name_bytes == name.len() && is_same(&body[name_from..value_from], name) {
            return Some((place, value_from));
        }
        at = value_from
            + match LENGTHS[usize::from(body[value_from])] {
                SPELLED_OUT => length(&body[value_from..]),
                length => usize::from(length),
            };
        place += 1;
    }
    None
}

/// Whether two texts of one length are the same; short ones are compared without a call.
#[inline(always)]
fn is_same(left: &[u8], right: &[u8]) -> bool {
    fn ends<const N: usize>(text: &[u8]) -> Option<(&[u8; N], &[u8; N])> {
        Some((text.first_chunk()?, text.last_chunk()?))
    }
    match left.len() {
        0..4 => left.iter().eq(right),
        4..=8 => ends::<4>(left) == ends::<4>(right),
        9..=16 => ends::<8>(left) == ends::<8>(right),
        _ => left == right,
    }
}

/// Where the element at `place` begins in the body of an array.
pub(crate) fn find_element(body: &[u8], place: usize) -> Option<usize> {
    let mut at = 0;
    for _ in 0..place {
        at += length(body.get(at..).filter(|rest| !rest.is_empty())?);
    }
    (at < body.len()).then_some(at)
}

/// How many elements stand in the body of an array.
pub(crate) fn count_elements(body: &[u8]) -> usize {
    let (mut at, mut count) = (0, 0);
    while at < body.len() {
        at += length(&body[at..]);
        count += 1;
    }
    count
}

/// Length of the header and of what follows it, for tags that spell their length out.
fn long_header(bytes: &[u8]) -> (usize, usize) {
    match bytes[0] & 3 {
        0 => (2, usize::from(bytes[1])),
        1 => (3, usize::from(u16::from_le_bytes([bytes[1], bytes[2]]))),
        _ => (
            5,
            u32::from_le_bytes([bytes[1], bytes[2], bytes[3], bytes[4]]) as usize,
        ),
    }
}

fn eight(bytes: &[u8]) -> [u8; 8] {
    bytes[1..9].try_into().expect("nine bytes")
}

/// A signed number of so many little-endian bytes, which stand at `from`.
#[inline(always)]
fn signed_at(bytes: &[u8], from: usize, width: usize) -> i64 {
    // Mostly something stands behind it.
    match bytes[from..].first_chunk() {
        Some(chunk) => {
            let excess = 64 - 8 * width as u32;
            i64::from_le_bytes(*chunk) << excess >> excess
        }
        None => signed(&bytes[from..from + width]),
    }
}

/// A signed number of 1 to 8 little-endian bytes.
#[inline]
fn signed(bytes: &[u8]) -> i64 {
    match *bytes {
        [a] => i64::from(a as i8),
        [a, b] => i64::from(i16::from_le_bytes([a, b])),
        [a, b, c] => i64::from(i32::from_le_bytes([0, a, b, c]) >> 8),
        [a, b, c, d] => i64::from(i32::from_le_bytes([a, b, c, d])),
        _ => signed_wide(bytes),
    }
}

#[cold]
fn signed_wide(bytes: &[u8]) -> i64 {
    let is_negative = bytes[bytes.len() - 1] & 0x80 != 0;
    let mut all = if is_negative { [0xFF; 8] } else { [0; 8] };
    all[..bytes.len()].copy_from_slice(bytes);
    i64::from_le_bytes(all)
}

/// The fewest bytes that hold `value` as a signed number.
fn width(value: i64) -> usize {
    let magnitude = if value < 0 { !value } else { value };
    (64 - magnitude.leading_zeros() as usize) / 8 + 1
}

pub(crate) fn push_null(out: &mut Vec<u8>) {
    out.push(literal(None));
}

pub(crate) fn push_bool(out: &mut Vec<u8>, value: bool) {
    out.push(literal(Some(value)));
}

pub(crate) fn push_number(out: &mut Vec<u8>, number: Number) {
    match number {
        Number::Int(value) => push_int(out, value),
        Number::Uint(value) => match i64::try_from(value) {
            Ok(value) => push_int(out, value),
            Err(_) => {
                out.push(UINT_8);
                out.extend_from_slice(&value.to_le_bytes());
            }
        },
        Number::Float(value) => push_float(out, value),
    }
}

fn push_int(out: &mut Vec<u8>, value: i64) {
    let mut bytes = [0; INT_BYTES_MAX];
    let count = put_int(&mut bytes, value);
    out.extend_from_slice(&bytes[..count]);
}

/// The bytes of the longest integer.
pub(crate) const INT_BYTES_MAX: usize = 9;

/// Writes an integer; how many bytes it took. What follows these is written over.
pub(crate) fn put_int(out: &mut [u8; INT_BYTES_MAX], value: i64) -> usize {
    if (0..=INT_SMALL_MAX).contains(&value) {
        out[0] = INT_SMALL + value as u8;
        return 1;
    }
    let width = width(value);
    out[0] = INT_1 + (width - 1) as u8;
    out[1..].copy_from_slice(&value.to_le_bytes());
    1 + width
}

/// The byte that is null, false or true.
pub(crate) fn literal(value: Option<bool>) -> u8 {
    match value {
        None => NULL,
        Some(false) => FALSE,
        Some(true) => TRUE,
    }
}

/// The byte in front of a string of so many bytes, where that is all there is in front of it.
pub(crate) fn short_string_tag(length: usize) -> Option<u8> {
    (length <= STRING_SHORT_MAX).then_some(length as u8)
}

fn push_float(out: &mut Vec<u8>, value: f64) {
    if let Some((mantissa, scale)) = decimal(value) {
        let width = width(mantissa);
        out.push(DECIMAL_1 + (width - 1) as u8);
        out.push(scale);
        out.extend_from_slice(&mantissa.to_le_bytes()[..width]);
    } else {
        out.push(FLOAT);
        out.extend_from_slice(&value.to_le_bytes());
    }
}

const POWERS_OF_TEN: [f64; 16] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
];

/// The mantissa (below 2^47) and scale whose quotient is `value`, bit for bit, if there are any.
fn decimal(value: f64) -> Option<(i64, u8)> {
    const MANTISSA_LIMIT: f64 = (1u64 << 47) as f64;
    for (scale, power) in POWERS_OF_TEN.iter().enumerate() {
        let scaled = value * power;
        if scaled.is_nan() || scaled.abs() >= MANTISSA_LIMIT {
            return None;
        }
        let mantissa = scaled.round();
        if (scaled - mantissa).abs() <= scaled.abs() * 1e-15
            && (mantissa / power).to_bits() == value.to_bits()
            && !(mantissa == 0.0 && mantissa.is_sign_negative())
        {
            return Some((mantissa as i64, scale as u8));
        }
    }
    None
}

pub(crate) fn push_string(out: &mut Vec<u8>, text: &[u8]) -> Result<(), TooLarge> {
    if text.len() <= STRING_SHORT_MAX {
        out.push(text.len() as u8);
    } else {
        push_long_header(out, STRING_1, text.len())?;
    }
    out.extend_from_slice(text);
    Ok(())
}

pub(crate) fn push_link(out: &mut Vec<u8>, number: usize) {
    let number = u16::try_from(number).expect("a leaf has few links");
    out.push(LINK);
    out.extend_from_slice(&number.to_le_bytes());
}

/// The number of the link at the front of `bytes`, if a link stands there.
pub(crate) fn link_number(bytes: &[u8]) -> Option<usize> {
    (bytes[0] == LINK).then(|| usize::from(u16::from_le_bytes([bytes[1], bytes[2]])))
}

/// Gives the link at the front of `bytes` another number.
pub(crate) fn set_link_number(bytes: &mut [u8], number: usize) {
    let number = u16::try_from(number).expect("a leaf has few links");
    bytes[1..LINK_BYTES].copy_from_slice(&number.to_le_bytes());
}

/// Makes the header at the front of `bytes`, of a container whose body takes `body` bytes, say that
/// it takes `added` bytes more. False, and nothing is done, if such a header takes another number
/// of bytes, or five.
#[inline]
pub(crate) fn lengthen(bytes: &mut [u8], container: Container, body: usize, added: isize) -> bool {
    let (base, short_max) = container.short();
    let tag = bytes[0];
    let body = body.wrapping_add_signed(added);
    if tag < NULL {
        if body > short_max {
            return false;
        }
        bytes[0] = base + body as u8;
    } else if tag == container.long() {
        if body <= short_max || body > 0xFF {
            return false;
        }
        bytes[1] = body as u8;
    } else {
        if tag != container.long() + 1 || body <= 0xFF || body > 0xFFFF {
            return false;
        }
        bytes[1..3].copy_from_slice(&(body as u16).to_le_bytes());
    }
    true
}

/// Which container a header opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Container {
    Array,
    Object,
}

impl Container {
    fn short(self) -> (u8, usize) {
        match self {
            Container::Array => (ARRAY_SHORT, ARRAY_SHORT_MAX),
            Container::Object => (OBJECT_SHORT, OBJECT_SHORT_MAX),
        }
    }

    fn long(self) -> u8 {
        match self {
            Container::Array => ARRAY_1,
            Container::Object => OBJECT_1,
        }
    }
}

fn push_long_header(out: &mut Vec<u8>, base: u8, length: usize) -> Result<(), TooLarge> {
    if let Ok(length) = u8::try_from(length) {
        out.extend_from_slice(&[base, length]);
    } else if let Ok(length) = u16::try_from(length) {
        out.push(base + 1);
        out.extend_from_slice(&length.to_le_bytes());
    } else {
        let length = u32::try_from(length).map_err(|_| TooLarge)?;
        out.push(base + 2);
        out.extend_from_slice(&length.to_le_bytes());
    }
    Ok(())
}

/// Bytes of the header of a container whose body takes so many.
pub(crate) fn header_bytes(container: Container, body: usize) -> usize {
    let (_, short_max) = container.short();
    match body {
        _ if body <= short_max => 1,
        _ if body <= 0xFF => 2,
        _ if body <= 0xFFFF => 3,
        _ => OPEN_BYTES,
    }
}

/// Writes the header of a container whose body takes so many bytes, and follows.
pub(crate) fn push_header(
    out: &mut Vec<u8>,
    container: Container,
    body: usize,
) -> Result<(), TooLarge> {
    let (short, short_max) = container.short();
    if body <= short_max {
        out.push(short + body as u8);
        return Ok(());
    }
    push_long_header(out, container.long(), body)
}

pub(crate) fn push_empty(out: &mut Vec<u8>, container: Container) {
    out.push(container.short().0);
}

/// Room kept for a header while its container is open.
const OPEN_BYTES: usize = 5;

/// Bodies up to this size move forward over the room their header did not need. Larger ones keep
/// the widest header, so that deep nesting does not move megabytes once per level.
const CLOSE_MOVE_MAX: usize = 4096;

/// Opens a container; its elements or members are pushed next, then [`close`] is called.
pub(crate) fn open(out: &mut Vec<u8>) -> usize {
    let at = out.len();
    out.extend_from_slice(&[0; OPEN_BYTES]);
    at
}

/// Where the body of the container opened at `at` begins.
pub(crate) fn open_body(at: usize) -> usize {
    at + OPEN_BYTES
}

/// Closes the container opened at `at`, writing its header.
pub(crate) fn close(out: &mut Vec<u8>, at: usize, container: Container) -> Result<(), TooLarge> {
    let body = out.len() - open_body(at);
    if body > CLOSE_MOVE_MAX {
        let length = u32::try_from(body).map_err(|_| TooLarge)?;
        out[at] = container.long() + 2;
        out[at + 1..at + OPEN_BYTES].copy_from_slice(&length.to_le_bytes());
        return Ok(());
    }
    let (short, short_max) = container.short();
    let header = if body <= short_max {
        out[at] = short + body as u8;
        1
    } else if let Ok(length) = u8::try_from(body) {
        out[at..at + 2].copy_from_slice(&[container.long(), length]);
        2
    } else {
        out[at] = container.long() + 1;
        out[at + 1..at + 3].copy_from_slice(&(body as u16).to_le_bytes());
        3
    };
    out.copy_within(open_body(at).., at + header);
    out.truncate(at + header + body);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(value: Number) -> (Number, usize) {
        let mut out = Vec::new();
        push_number(&mut out, value);
        assert_eq!(length(&out), out.len());
        match item(&out) {
            Item::Number(back) => (back, out.len()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn integers_take_the_fewest_bytes() {
        for (value, bytes) in [
            (0, 1),
            (63, 1),
            (64, 2),
            (-1, 2),
            (127, 2),
            (128, 3),
            (-128, 2),
            (-129, 3),
            (1 << 23, 5),
            (i64::MAX, 9),
            (i64::MIN, 9),
        ] {
            assert_eq!(number(Number::Int(value)), (Number::Int(value), bytes));
        }
        assert_eq!(number(Number::Uint(u64::MAX)), (Number::Uint(u64::MAX), 9));
        assert_eq!(number(Number::Uint(5)), (Number::Int(5), 1));
    }

    #[test]
    fn floats_keep_every_bit_and_short_ones_are_short() {
        for (value, bytes) in [
            (0.0, 3),
            (1.0, 3),
            (0.1, 3),
            (-2.35, 4),
            (1e-7, 3),
            (123456.789, 6),
            (-65.613_616_999_999_98, 9),
            (1e300, 9),
            (f64::MIN_POSITIVE, 9),
            (0.1 + 0.2, 9),
        ] {
            let (back, took) = number(Number::Float(value));
            let Number::Float(back) = back else {
                panic!("{back:?}")
            };
            assert_eq!((back.to_bits(), took), (value.to_bits(), bytes), "{value}");
        }
        let (back, _) = number(Number::Float(-0.0));
        assert!(matches!(back, Number::Float(zero) if zero.is_sign_negative()));
    }

    #[test]
    fn strings_and_containers_of_every_length_close_and_split() {
        for size in [
            0, 1, 15, 16, 31, 32, 95, 96, 255, 256, 4095, 4096, 5000, 65_535, 70_000,
        ] {
            let text = vec![b'x'; size];
            let mut out = Vec::new();
            push_string(&mut out, &text).unwrap();
            assert_eq!(item(&out), Item::String(&text));
            assert_eq!(split_name(&out), (&text[..], &[][..]));

            for container in [Container::Array, Container::Object] {
                let mut out = vec![NULL];
                let at = open(&mut out);
                out.extend(std::iter::repeat_n(NULL, size));
                close(&mut out, at, container).unwrap();
                let body = vec![NULL; size];
                assert_eq!(length(&out[1..]), out.len() - 1);
                let mut header = Vec::new();
                push_header(&mut header, container, size).unwrap();
                assert_eq!(header.len(), header_bytes(container, size));
                assert_eq!(length(&header), header.len() + size);
                match (container, item(&out[1..])) {
                    (Container::Array, Item::Array(got)) => assert_eq!(got, body),
                    (Container::Object, Item::Object(got)) => assert_eq!(got, body),
                    other => panic!("{other:?}"),
                }
            }
        }
    }
}
