//! Bitmap commands: strings seen as bits.

use std::ops::Range;

use smallvec::SmallVec;
use store::Draft;
use store::value::bitmap::{self, Operation};
use store::value::number::parse_integer;
use store::value::string::{self, Str, signed_range};

use super::Body::Run;
use super::Flag::{DenyOom, Fast, Readonly, Write};
use super::Keys::{At, By, For, From};
use super::Use::{Overwrite, Read};
use super::string::edit;
use super::{Args, Call, Command, Error, Family, error};

mod field;

const BITS_PER_BYTE: usize = 8;
const KILOBYTE: usize = 1024;
/// Sources of BITOP are collected on the stack up to this many.
const SOURCES_INLINE: usize = 8;
const NOT_A_BIT_OFFSET: Error = Error::Text("ERR bit offset is not an integer or out of range");
const NOT_A_BIT: Error = Error::Text("ERR bit is not an integer or out of range");
const NOT_ONE_OR_ZERO: Error = Error::Text("ERR The bit argument must be 1 or 0.");
const ONE_SOURCE: Error = Error::Text("ERR BITOP NOT must be called with a single source key.");

pub(super) const FAMILY: Family = Family {
    name: "bitmap",
    commands: &[
        Command {
            name: "bitcount",
            syntax: "key [start end [BYTE | BIT]]",
            summary: "Counts the ones among a string's bits.",
            since: "2.6.0",
            complexity: "O(N) with N the bytes counted",
            flags: &[Readonly],
            keys: &[At(1)],
            body: Run(bitcount),
        },
        Command {
            name: "bitfield",
            syntax: "key [GET encoding offset | [OVERFLOW <WRAP | SAT | FAIL>] <SET \
                encoding offset value | INCRBY encoding offset increment> [GET \
                encoding offset | [OVERFLOW <WRAP | SAT | FAIL>] <SET encoding offset \
                value | INCRBY encoding offset increment> ...]]",
            summary: "Reads and writes integers of any width within a string, all at one moment.",
            since: "3.2.0",
            complexity: "O(1) for each subcommand",
            flags: &[Write, DenyOom],
            keys: &[By(field::use_by, &At(1))],
            body: Run(field::bitfield),
        },
        Command {
            name: "bitfield_ro",
            syntax: "key [GET encoding offset [GET encoding offset ...]]",
            summary: "Reads integers of any width within a string.",
            since: "6.0.0",
            complexity: "O(1) for each subcommand",
            flags: &[Readonly, Fast],
            keys: &[At(1)],
            body: Run(field::bitfield_ro),
        },
        Command {
            name: "bitop",
            syntax: "<AND | OR | XOR | NOT> destkey key [key ...]",
            summary: "Combines the bits of strings and stores the result.",
            since: "2.6.0",
            complexity: "O(N) with N the bytes of the longest string",
            flags: &[Write, DenyOom],
            keys: &[
                For(Overwrite, &At(2)),
                For(
                    Read,
                    &From {
                        first: 3,
                        last: -1,
                        step: 1,
                    },
                ),
            ],
            body: Run(bitop),
        },
        Command {
            name: "bitpos",
            syntax: "key bit [start [end [BYTE | BIT]]]",
            summary: "Finds the first bit of a string that is set, or is not.",
            since: "2.8.7",
            complexity: "O(N) with N the bytes searched",
            flags: &[Readonly],
            keys: &[At(1)],
            body: Run(bitpos),
        },
        Command {
            name: "getbit",
            syntax: "key offset",
            summary: "Reads a bit of a string.",
            since: "2.2.0",
            complexity: "O(1)",
            flags: &[Readonly, Fast],
            keys: &[At(1)],
            body: Run(getbit),
        },
        Command {
            name: "setbit",
            syntax: "key offset value",
            summary: "Sets or clears a bit of a string.",
            since: "2.2.0",
            complexity: "O(1)",
            flags: &[Write, DenyOom],
            keys: &[At(1)],
            body: Run(setbit),
        },
    ],
};

fn setbit(call: &mut Call<'_>) -> Result<(), Error> {
    let (key, at) = (call.args.word()?, bit_offset(call)?);
    let on = match call.args.word()? {
        b"0" => false,
        b"1" => true,
        _ => return Err(NOT_A_BIT),
    };
    let was_on = edit(call, key, |old| {
        let (was_on, value) = bitmap::set_bit(old, at, on)?;
        Ok((Some(value), was_on))
    })?;
    call.reply.flag(was_on);
    Ok(())
}

fn getbit(call: &mut Call<'_>) -> Result<(), Error> {
    let (key, at) = (call.args.word()?, bit_offset(call)?);
    let found = Str::of_any(call.db.read(key))?;
    call.reply
        .flag(found.is_some_and(|string| bitmap::bit(string, at)));
    Ok(())
}

fn bit_offset(call: &mut Call<'_>) -> Result<usize, Error> {
    let bytes_max = call.shared.string_bytes_max();
    parse_integer(call.args.word()?)
        .and_then(|at| checked_offset(at, bytes_max))
        .ok_or(NOT_A_BIT_OFFSET)
}

fn checked_offset(at: i64, bytes_max: usize) -> Option<usize> {
    let at = usize::try_from(at).ok()?;
    (at / BITS_PER_BYTE < bytes_max).then_some(at)
}

/// What positions in BITCOUNT and BITPOS count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Byte,
    Bit,
}

impl Unit {
    fn parse(args: &mut Args<'_>) -> Result<Unit, Error> {
        if args.option("BIT") {
            Ok(Unit::Bit)
        } else if args.option("BYTE") {
            Ok(Unit::Byte)
        } else {
            Err(error::SYNTAX)
        }
    }

    /// How many bits it has.
    fn bits(self) -> usize {
        match self {
            Unit::Byte => BITS_PER_BYTE,
            Unit::Bit => 1,
        }
    }

    /// How many of it `string` has.
    fn len(self, string: Str<'_>) -> usize {
        string.len() * BITS_PER_BYTE / self.bits()
    }

    /// The bits of a range of this unit.
    fn to_bits(self, range: Range<usize>) -> Range<usize> {
        range.start * self.bits()..range.end * self.bits()
    }
}

fn bitcount(call: &mut Call<'_>) -> Result<(), Error> {
    let key = call.args.word()?;
    // Where there is no key Redis 7.2 does not look at the range.
    let Some(string) = Str::of_any(call.db.read(key))? else {
        call.reply.integer(0);
        return Ok(());
    };
    let range = match call.args.is_empty() {
        true => 0..string.len() * BITS_PER_BYTE,
        false => {
            let (start, end, unit) = bitcount_range(&mut call.args)?;
            unit.to_bits(signed_range(start, end, unit.len(string)))
        }
    };
    call.heavy(range.len() / BITS_PER_BYTE / KILOBYTE)?;
    call.reply.count(bitmap::count_ones(string, range));
    Ok(())
}

fn bitcount_range(args: &mut Args<'_>) -> Result<(i64, i64, Unit), Error> {
    if !matches!(args.len(), 2 | 3) {
        return Err(error::SYNTAX);
    }
    let (start, end) = (args.integer()?, args.integer()?);
    let unit = match args.is_empty() {
        true => Unit::Byte,
        false => Unit::parse(args)?,
    };
    Ok((start, end, unit))
}

fn bitpos(call: &mut Call<'_>) -> Result<(), Error> {
    let key = call.args.word()?;
    let on = match call.args.integer()? {
        0 => false,
        1 => true,
        _ => return Err(NOT_ONE_OR_ZERO),
    };
    // Where there is no key Redis 7.2 does not look at the range.
    let Some(string) = Str::of_any(call.db.read(key))? else {
        // Nothing but zeros, without end.
        call.reply.integer(if on { -1 } else { 0 });
        return Ok(());
    };
    let (start, end, unit) = bitpos_range(&mut call.args)?;
    let Some(range) = range_inside(start, end, unit.len(string)) else {
        call.reply.integer(-1);
        return Ok(());
    };
    let range = unit.to_bits(range);
    call.heavy(range.len() / BITS_PER_BYTE / KILOBYTE)?;
    match bitmap::position(string, on, range) {
        Some(at) => call.reply.count(at),
        // Without an end the string goes on with zeros.
        None if !on && end.is_none() => call.reply.count(string.len() * BITS_PER_BYTE),
        None => call.reply.integer(-1),
    }
    Ok(())
}

fn bitpos_range(args: &mut Args<'_>) -> Result<(i64, Option<i64>, Unit), Error> {
    if args.len() > 3 {
        return Err(error::SYNTAX);
    }
    let start = match args.is_empty() {
        true => return Ok((0, None, Unit::Byte)),
        false => args.integer()?,
    };
    let end_word = args.next();
    let unit = match args.is_empty() {
        true => Unit::Byte,
        false => Unit::parse(args)?,
    };
    let end = end_word
        .map(|word| parse_integer(word).ok_or(error::NOT_AN_INTEGER))
        .transpose()?;
    Ok((start, end, unit))
}

/// As [`signed_range`], but where both positions lie before the start, both mean the start, as
/// in Redis.
fn range_inside(start: i64, end: Option<i64>, len: usize) -> Option<Range<usize>> {
    let len = len as i64;
    let from_end = |index: i64| match index {
        0.. => index,
        _ => len.saturating_add(index).max(0),
    };
    let start = from_end(start);
    let end = end.map_or(len, |end| from_end(end).saturating_add(1).min(len));
    (start < end).then_some(start as usize..end as usize)
}

fn bitop(call: &mut Call<'_>) -> Result<(), Error> {
    let operation = match call.args.word()?.to_ascii_uppercase().as_slice() {
        b"AND" => Operation::And,
        b"OR" => Operation::Or,
        b"XOR" => Operation::Xor,
        b"NOT" => Operation::Not,
        _ => return Err(error::SYNTAX),
    };
    let target = call.args.word()?;
    let sources = call.args.rest();
    if operation == Operation::Not && sources.len() != 1 {
        return Err(ONE_SOURCE);
    }
    let bytes = call.db.atomic(|db| {
        let strings = sources
            .iter()
            .map(|key| Str::of_any(db.read(key)))
            .collect::<Result<SmallVec<[_; SOURCES_INLINE]>, _>>()?;
        let bytes: usize = strings.iter().flatten().map(|string| string.len()).sum();
        if let Err(offload) = call.heavy(bytes / KILOBYTE) {
            return Ok(Err(offload));
        }
        let result = bitmap::combine(operation, &strings);
        let bytes = result.len();
        match bytes {
            0 => db.remove(target).map(|_| ())?,
            _ => db.put(target, Draft::new(string::owned_raw(result)))?,
        }
        Ok(Ok(bytes))
    })??;
    call.reply.count(bytes);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_to_the_string() {
        for (start, end, expected) in [
            (0, None, Some(0..10)),
            (3, Some(3), Some(3..4)),
            (-3, Some(-1), Some(7..10)),
            (-100, Some(-200), Some(0..1)),
            (5, Some(2), None),
            (10, None, None),
            (i64::MIN, Some(i64::MAX), Some(0..10)),
        ] {
            assert_eq!(range_inside(start, end, 10), expected, "{start} {end:?}");
        }
        assert_eq!(range_inside(0, None, 0), None);
    }
}
