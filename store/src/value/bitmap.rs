//! Bitmaps: strings seen as bits, and as integers of any width at any bit.
//!
//! Bit 0 is the most significant bit of the first byte. What lies behind the end of a string is
//! zero. Ranges are of bits unless said otherwise.

use std::ops::Range;

use multiversion::multiversion;

use super::NewValue;
use super::string::{Str, StrEdit};
use crate::error::Error;

const BITS_PER_BYTE: usize = 8;

/// The bit at a position.
pub fn bit(string: Str<'_>, at: usize) -> bool {
    let byte = string.byte(at / BITS_PER_BYTE).unwrap_or(0);
    byte & mask_of(at) != 0
}

/// The string with one bit set or cleared, long enough to hold it; and the bit before.
///
/// # Errors
/// [`Error::TooLong`].
pub fn set_bit<'a>(
    old: Option<Str<'a>>,
    at: usize,
    on: bool,
) -> Result<(bool, NewValue<'a>), Error> {
    let byte_at = at / BITS_PER_BYTE;
    let byte = old.and_then(|old| old.byte(byte_at)).unwrap_or(0);
    let mask = mask_of(at);
    let patch = if on { byte | mask } else { byte & !mask };
    let mut edit = StrEdit::new(old);
    edit.write(byte_at, &[patch])?;
    Ok((byte & mask != 0, edit.finish()))
}

fn mask_of(at: usize) -> u8 {
    0x80 >> (at % BITS_PER_BYTE)
}

/// How many bits of `range` are ones.
pub fn count_ones(string: Str<'_>, range: Range<usize>) -> usize {
    let Some(span) = Span::new(string, range) else {
        return 0;
    };
    let ones = |byte: u8| byte.count_ones() as usize;
    let whole: usize = string.range(span.bytes.clone()).map(count_ones_in).sum();
    let (first, last) = span.edges(string);
    whole - ones(first & !span.first_mask) - ones(last & !span.last_mask)
}

// The instructions for it are not in every processor of the kind that this is compiled for.
#[multiversion(targets(
    "x86_64+avx512f+avx512vpopcntdq",
    "x86_64+avx2+popcnt",
    "x86_64+popcnt"
))]
fn count_ones_in(bytes: &[u8]) -> usize {
    let (words, rest) = bytes.as_chunks::<8>();
    let in_words: usize = words
        .iter()
        .map(|word| u64::from_ne_bytes(*word).count_ones() as usize)
        .sum();
    in_words
        + rest
            .iter()
            .map(|byte| byte.count_ones() as usize)
            .sum::<usize>()
}

/// The first bit of `range` that is `on`.
pub fn position(string: Str<'_>, on: bool, range: Range<usize>) -> Option<usize> {
    let span = Span::new(string, range)?;
    // Turned around where zeros are looked for, so that ones are looked for in any case.
    let flip = if on { 0 } else { 0xff };
    let mut at = span.bytes.start;
    let last_at = span.bytes.end - 1;
    for part in string.range(span.bytes.clone()) {
        let mut rest = part;
        while !rest.is_empty() {
            // The edges have bits that do not count; between them whole runs are skipped.
            let is_edge = at == span.bytes.start || at == last_at;
            if !is_edge {
                let inner = &rest[..rest.len().min(last_at - at)];
                let skipped = run_of(inner, flip);
                (at, rest) = (at + skipped, &rest[skipped..]);
                if skipped == inner.len() {
                    continue;
                }
            }
            let found = (rest[0] ^ flip) & span.mask(at);
            if found != 0 {
                return Some(at * BITS_PER_BYTE + found.leading_zeros() as usize);
            }
            (at, rest) = (at + 1, &rest[1..]);
        }
    }
    None
}

/// How many bytes at the start are `byte`.
fn run_of(bytes: &[u8], byte: u8) -> usize {
    let (words, _) = bytes.as_chunks::<8>();
    let same = words.iter().take_while(|word| **word == [byte; 8]).count() * 8;
    let rest = &bytes[same..];
    same + rest.iter().take_while(|other| **other == byte).count()
}

/// The bytes that a range of bits touches, and which bits of the two outer ones it has.
struct Span {
    /// Invariant: not empty, and inside the string.
    bytes: Range<usize>,
    first_mask: u8,
    last_mask: u8,
}

impl Span {
    fn new(string: Str<'_>, range: Range<usize>) -> Option<Span> {
        let end = range.end.min(string.len() * BITS_PER_BYTE);
        if range.start >= end {
            return None;
        }
        let tail_bits = end.next_multiple_of(BITS_PER_BYTE) - end;
        Some(Span {
            bytes: range.start / BITS_PER_BYTE..end.div_ceil(BITS_PER_BYTE),
            first_mask: 0xff >> (range.start % BITS_PER_BYTE),
            last_mask: 0xff << tail_bits,
        })
    }

    fn edges(&self, string: Str<'_>) -> (u8, u8) {
        let byte = |at| string.byte(at).unwrap_or(0);
        (byte(self.bytes.start), byte(self.bytes.end - 1))
    }

    fn mask(&self, at: usize) -> u8 {
        let first = if at == self.bytes.start {
            self.first_mask
        } else {
            0xff
        };
        let last = if at == self.bytes.end - 1 {
            self.last_mask
        } else {
            0xff
        };
        first & last
    }
}

/// What BITOP does with several strings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Ones where all have ones.
    And,
    /// Ones where any has a one.
    Or,
    /// Ones where an odd number has ones.
    Xor,
    /// Ones where the only string has zeros.
    Not,
}

/// The result of an operation, as long as the longest string; absent strings are empty.
pub fn combine(operation: Operation, strings: &[Option<Str<'_>>]) -> Vec<u8> {
    let bytes_of = |string: &Option<Str<'_>>| string.map_or(0, Str::len);
    let bytes = strings.iter().map(bytes_of).max().unwrap_or(0);
    let mut result = Vec::with_capacity(bytes);
    let Some((first, others)) = strings.split_first() else {
        return result;
    };
    first
        .iter()
        .flat_map(|first| first.parts())
        .for_each(|part| result.extend_from_slice(part));
    result.resize(bytes, 0);
    if operation == Operation::Not {
        result.iter_mut().for_each(|byte| *byte = !*byte);
    }
    for other in others {
        let mut at = 0;
        for part in other.iter().flat_map(|other| other.parts()) {
            apply(operation, &mut result[at..at + part.len()], part);
            at += part.len();
        }
        if operation == Operation::And {
            result[at..].fill(0);
        }
    }
    result
}

fn apply(operation: Operation, target: &mut [u8], source: &[u8]) {
    let pairs = target.iter_mut().zip(source);
    match operation {
        Operation::And => pairs.for_each(|(target, source)| *target &= source),
        Operation::Or => pairs.for_each(|(target, source)| *target |= source),
        Operation::Xor => pairs.for_each(|(target, source)| *target ^= source),
        Operation::Not => {}
    }
}

/// What happens when a number does not fit a field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// Its lowest bits are stored.
    #[default]
    Wrap,
    /// The nearest number that fits is stored.
    Saturate,
    /// Nothing is stored.
    Fail,
}

/// The type of an integer within a bitmap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    is_signed: bool,
    /// Invariant: 1 to 64, or to 63 without sign.
    bits: u32,
}

impl Field {
    /// An integer of 1 to 64 bits with sign, or of 1 to 63 without.
    pub fn new(is_signed: bool, bits: u32) -> Option<Field> {
        let bits_max = if is_signed { 64 } else { 63 };
        (1..=bits_max)
            .contains(&bits)
            .then_some(Field { is_signed, bits })
    }

    /// Its width.
    pub fn bits(self) -> usize {
        self.bits as usize
    }

    /// The number that starts at a bit.
    pub fn read(self, string: Str<'_>, at: usize) -> i64 {
        let window = window(string, at / BITS_PER_BYTE);
        let unused = u128::BITS - self.bits;
        // To the very left first: that drops what stands before the field.
        let left = window << (at % BITS_PER_BYTE);
        match self.is_signed {
            true => (left as i128 >> unused) as i64,
            false => (left >> unused) as i64,
        }
    }

    /// Stores the lowest bits of `value` from a bit on, after zeros if the string is too short.
    ///
    /// # Errors
    /// [`Error::TooLong`].
    pub fn write(self, edit: &mut StrEdit<'_>, at: usize, value: i64) -> Result<(), Error> {
        let (byte_at, offset) = (at / BITS_PER_BYTE, at % BITS_PER_BYTE);
        let unused = u128::BITS - self.bits;
        let shifted = (value as u128) << unused >> offset;
        let mask = (u128::MAX << unused) >> offset;
        let patched = window(edit.view(), byte_at) & !mask | shifted;
        let bytes = (offset + self.bits()).div_ceil(BITS_PER_BYTE);
        edit.write(byte_at, &patched.to_be_bytes()[..bytes])
    }

    /// What SET stores for a number: a field without sign takes its 64 bits for a number
    /// without sign.
    pub fn stored(self, value: i64, overflow: Overflow) -> Option<i64> {
        let value = match self.is_signed {
            true => i128::from(value),
            false => i128::from(value as u64),
        };
        self.fit(value, overflow)
    }

    /// What INCRBY stores for `old` plus `by`.
    pub fn sum(self, old: i64, by: i64, overflow: Overflow) -> Option<i64> {
        self.fit(i128::from(old) + i128::from(by), overflow)
    }

    fn fit(self, value: i128, overflow: Overflow) -> Option<i64> {
        let (least, most) = match self.is_signed {
            true => (-(1i128 << (self.bits - 1)), (1i128 << (self.bits - 1)) - 1),
            false => (0, (1i128 << self.bits) - 1),
        };
        if (least..=most).contains(&value) {
            return Some(value as i64);
        }
        match overflow {
            Overflow::Fail => None,
            Overflow::Saturate => Some(value.clamp(least, most) as i64),
            Overflow::Wrap => {
                let unused = i128::BITS - self.bits;
                Some(match self.is_signed {
                    true => (value << unused >> unused) as i64,
                    false => (value & most) as i64,
                })
            }
        }
    }
}

/// The 16 bytes from `byte_at` on as one number, the first byte on top.
fn window(string: Str<'_>, byte_at: usize) -> u128 {
    const BYTES: usize = size_of::<u128>();
    let mut bytes = [0; BYTES];
    let mut filled = 0;
    for part in string.range(byte_at..byte_at.saturating_add(BYTES)) {
        bytes[filled..filled + part.len()].copy_from_slice(part);
        filled += part.len();
    }
    u128::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests;
