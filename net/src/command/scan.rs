//! All keys of a database: KEYS and SCAN.

use store::value::number::parse_integer;

use super::Body::Run;
use super::Flag::{Combined, Readonly, ToAllShards, ToSome, Unordered, Unsteady};
use super::keys::type_name;
use super::{Call, Command, Error, Family, error};
use crate::glob;

/// Keys that KEYS visits between two looks at where it is.
const KEYS_PER_STEP: usize = 1_000;
/// Keys that SCAN visits when it is not told.
const SCAN_COUNT: i64 = 10;
const INVALID_CURSOR: Error = Error::Text("ERR invalid cursor");

pub(super) const FAMILY: Family = Family {
    name: "generic",
    commands: &[
        Command {
            name: "keys",
            syntax: "pattern",
            summary: "Lists all keys that match a pattern.",
            since: "1.0.0",
            complexity: "O(N) with N the number of keys in the database",
            flags: &[Readonly, ToAllShards, Unordered],
            keys: &[],
            body: Run(keys),
        },
        Command {
            name: "scan",
            syntax: "cursor [MATCH pattern] [COUNT count] [TYPE type]",
            summary: "Lists some keys, and where to go on.",
            since: "2.8.0",
            complexity: "O(1) for a call, O(N) for all keys of the database",
            flags: &[Readonly, Unsteady, ToSome, Combined],
            keys: &[],
            body: Run(scan),
        },
    ],
};

fn keys(call: &mut Call<'_>) -> Result<(), Error> {
    let pattern = call.args.word()?;
    call.heavy(usize::try_from(call.db.len()).unwrap_or(usize::MAX))?;
    let is_all = glob::is_all(pattern);
    let mark = call.reply.mark();
    let (mut found, mut cursor) = (0, 0);
    loop {
        cursor = call.db.scan(cursor, KEYS_PER_STEP, |entry| {
            if is_all || glob::matches(pattern, entry.key()) {
                found += 1;
                call.reply.bulk(entry.key());
            }
        });
        if cursor == 0 {
            break;
        }
    }
    call.reply.array_since(mark, found);
    Ok(())
}

fn scan(call: &mut Call<'_>) -> Result<(), Error> {
    let cursor = parse_cursor(call.args.word()?)?;
    let (mut count, mut pattern, mut kind) = (SCAN_COUNT, None, None);
    while !call.args.is_empty() {
        if call.args.option("COUNT") {
            count = parse_integer(call.args.word()?).ok_or(error::NOT_AN_INTEGER)?;
            if count < 1 {
                return Err(error::SYNTAX);
            }
        } else if call.args.option("MATCH") {
            pattern = Some(call.args.word()?).filter(|pattern| !glob::is_all(pattern));
        } else if call.args.option("TYPE") {
            kind = Some(call.args.word()?);
        } else {
            return Err(error::SYNTAX);
        }
    }
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    call.heavy(count.min(usize::try_from(call.db.len()).unwrap_or(usize::MAX)))?;
    let mut found = Vec::new();
    let next = call.db.scan(cursor, count, |entry| {
        let is_of_kind = |kind: &[u8]| {
            // To Redis it is a lookup of its own.
            store::note_lookup(true);
            let name = type_name(entry.kind());
            name.as_bytes().eq_ignore_ascii_case(kind)
        };
        if pattern.is_none_or(|pattern| glob::matches(pattern, entry.key()))
            && kind.is_none_or(is_of_kind)
        {
            found.push(entry.key());
        }
    });
    call.reply.array(2);
    call.reply.bulk(itoa::Buffer::new().format(next).as_bytes());
    call.reply.array(found.len());
    for key in found {
        call.reply.bulk(key);
    }
    Ok(())
}

/// Reads a cursor as C's `strtoul` does, except that nothing may stand around it: nothing at all
/// is 0, a minus counts from the other end, and a zero byte ends the text.
pub(super) fn parse_cursor(text: &[u8]) -> Result<u64, Error> {
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    let (is_negative, digits) = match text {
        [] => return Ok(0),
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if !digits.iter().all(u8::is_ascii_digit) {
        return Err(INVALID_CURSOR);
    }
    let cursor: u64 = std::str::from_utf8(digits)
        .ok()
        .and_then(|digits| digits.parse().ok())
        .ok_or(INVALID_CURSOR)?;
    Ok(match is_negative {
        true => cursor.wrapping_neg(),
        false => cursor,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors() {
        for (text, expected) in [
            ("0", Ok(0)),
            ("007", Ok(7)),
            ("+5", Ok(5)),
            ("-1", Ok(u64::MAX)),
            ("18446744073709551615", Ok(u64::MAX)),
            ("18446744073709551616", Err(INVALID_CURSOR)),
            ("", Ok(0)),
            ("7\0x", Ok(7)),
            ("\0x", Ok(0)),
            ("-", Err(INVALID_CURSOR)),
            ("+", Err(INVALID_CURSOR)),
            ("--1", Err(INVALID_CURSOR)),
            (" 1", Err(INVALID_CURSOR)),
            ("1 ", Err(INVALID_CURSOR)),
        ] {
            assert_eq!(parse_cursor(text.as_bytes()), expected, "{text}");
        }
    }
}
