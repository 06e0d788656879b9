//! String commands: GET, SET and their kin.

use store::value::number::LongDouble;
use store::value::string::{self, Str};
use store::{Change, Draft, Long, Meta, NewValue};

use super::Body::Run;
use super::Flag::{AllSucceed, DenyOom, Fast, Readonly, ToShardsOfKeys, Write};
use super::Keys::{At, By, For, From};
use super::Use::{Create, Insert, Look, Overwrite, Take, Update};
use super::expire::redate;
use super::{Call, Command, Error, Family, Reply, Use, error};
use crate::protocol::output::Output;

mod expiry;
mod lcs;

pub(super) use expiry::expires_at_ms;
use expiry::{Condition, Options};

const KILOBYTE: usize = 1024;

pub(super) const FAMILY: Family = Family {
    name: "string",
    commands: &[
        Command {
            name: "append",
            syntax: "key value",
            summary: "Appends bytes to a string; an absent key starts empty.",
            since: "2.0.0",
            complexity: "O(1)",
            flags: &[Write, DenyOom, Fast],
            keys: &[For(Insert, &At(1))],
            body: Run(append),
        },
        Command {
            name: "decr",
            syntax: "key",
            summary: "Takes one off an integer; an absent key counts as 0.",
            since: "1.0.0",
            complexity: "O(1)",
            flags: &[Write, DenyOom, Fast],
            keys: &[At(1)],
            body: Run(decr),
        },
        Command {
            name: "decrby",
            syntax: "key decrement",
            summary: "Takes a number off an integer; an absent key counts as 0.",
            since: "1.0.0",
            complexity: "O(1)",
            flags: &[Write, DenyOom, Fast],
            keys: &[At(1)],
            body: Run(decrby),
        },
        Command {
            name: "get",
            syntax: "key",
            summary: "Reads the string at a key.",
            since: "1.0.0",
            complexity: "O(1)",
            flags: &[Readonly, Fast],
            keys: &[At(1)],
            body: Run(get),
        },
        Command {
            name: "getdel",
            syntax: "key",
            summary: "Reads the string at a key and removes the key.",
            since: "6.2.0",
            complexity: "O(1)",
            flags: &[Write, Fast],
            keys: &[For(Take, &At(1))],
            body: Run(getdel),
        },
        Command {
            name: "getex",
            syntax: "key [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT \
                unix-time-milliseconds | PERSIST]",
            summary: "Reads the string at a key and changes when the key expires.",
            since: "6.2.0",
            complexity: "O(1)",
            flags: &[Write, Fast],
            keys: &[At(1)],
            body: Run(getex),
        },
        Command {
            name: "getrange",
            syntax: "key start end",
            summary: "Reads the bytes of a string from one position to another.",
            since: "2.4.0",
            complexity: "O(N) with N the bytes read",
            flags: &[Readonly],
            keys: &[At(1)],
            body: Run(getrange),
        },
        Command {
            name: "getset",
            syntax: "key value",
            summary: "Reads the string at a key and puts another in its place.",
            since: "1.0.0",
            complexity: "O(1)",
            flags: &[Write, DenyOom, Fast],
            keys: &[At(1)],
            body: Run(getset),
        },
        Command {
            name: "incr",
            syntax: "key",
            summary: "Adds one to an integer; an absent key counts as 0.",
            since: "1.0.0",
            complexity: "O(1)",
            flags: &[Write, DenyOom, Fast],
            keys: &[At(1)],
            body: Run(incr),
        },
        Command {
            name: "incrby",
            syntax: "key increment",
            summary: "Adds a number to an integer; an absent key counts as 0.",
            since: "1.0.0",
            complexity: "O(1)",
            flags: &[Write, DenyOom, Fast],
            keys: &[At(1)],
            body: Run(incrby),
        },
        Command {
            name: "incrbyfloat",
            syntax: "key increment",
            summary: "Adds to a floating-point number; an absent key counts as 0.",
            since: "2.6.0",
            complexity: "O(1)",
            flags: &[Write, DenyOom, Fast],
            keys: &[At(1)],
            body: Run(incrbyfloat),
        },
        Command {
            name: "lcs",
            syntax: "key1 key2 [LEN] [IDX] [MINMATCHLEN min-match-len] [WITHMATCHLEN]",
            summary: "Finds the longest subsequence that two strings have in common.",
            since: "7.0.0",
            complexity: "O(N*M) with N and M the lengths of the strings",
            flags: &[Readonly],
            keys: &[From {
                first: 1,
                last: 2,
                step: 1,
            }],
            body: Run(lcs::lcs),
        },
        Command {
            name: "mget",
            syntax: "key [key ...]",
            summary: "Reads the strings at several keys, all at one moment.",
            since: "1.0.0",
            complexity: "O(N) with N the number of keys",
            flags: &[Readonly, Fast, ToShardsOfKeys],
            keys: &[From {
                first: 1,
                last: -1,
                step: 1,
            }],
            body: Run(mget),
        },
        Command {
            name: "mset",
            syntax: "key value [key value ...]",
            summary: "Sets several keys, all at one moment.",
            since: "1.0.1",
            complexity: "O(N) with N the number of keys",
            flags: &[Write, DenyOom, ToShardsOfKeys, AllSucceed],
            keys: &[For(
                Overwrite,
                &From {
                    first: 1,
                    last: -1,
                    step: 2,
                },
            )],
            body: Run(mset),
        },
        Command {
            name: "msetnx",
            syntax: "key value [key value ...]",
            summary: "Sets several keys at one moment, or none if one of them is there.",
            since: "1.0.1",
            complexity: "O(N) with N the number of keys",
            flags: &[Write, DenyOom],
            keys: &[For(
                Create,
                &From {
                    first: 1,
                    last: -1,
                    step: 2,
                },
            )],
            body: Run(msetnx),
        },
        Command {
            name: "psetex",
            syntax: "key milliseconds value",
            summary: "Sets a key that expires after some milliseconds.",
            since: "2.6.0",
            complexity: "O(1)",
            flags: &[Write, DenyOom],
            keys: &[For(Overwrite, &At(1))],
            body: Run(psetex),
        },
        Command {
            name: "set",
            syntax: "key value [NX | XX] [GET] [EX seconds | PX milliseconds | EXAT \
                unix-time-seconds | PXAT unix-time-milliseconds | KEEPTTL]",
            summary: "Puts a string at a key, whatever was there.",
            since: "1.0.0",
            complexity: "O(1)",
            flags: &[Write, DenyOom],
            keys: &[By(use_by_set, &At(1))],
            body: Run(set),
        },
        Command {
            name: "setex",
            syntax: "key seconds value",
            summary: "Sets a key that expires after some seconds.",
            since: "2.0.0",
            complexity: "O(1)",
            flags: &[Write, DenyOom],
            keys: &[For(Overwrite, &At(1))],
            body: Run(setex),
        },
        Command {
            name: "setnx",
            syntax: "key value",
            summary: "Sets a key that is not there yet.",
            since: "1.0.0",
            complexity: "O(1)",
            flags: &[Write, DenyOom, Fast],
            keys: &[For(Create, &At(1))],
            body: Run(setnx),
        },
        Command {
            name: "setrange",
            syntax: "key offset value",
            summary: "Writes bytes into a string from a position on.",
            since: "2.2.0",
            complexity: "O(N) with N the bytes written",
            flags: &[Write, DenyOom],
            keys: &[For(Update, &At(1))],
            body: Run(setrange),
        },
        Command {
            name: "strlen",
            syntax: "key",
            summary: "Counts the bytes of a string.",
            since: "2.2.0",
            complexity: "O(1)",
            flags: &[Readonly, Fast],
            keys: &[For(Look, &At(1))],
            body: Run(strlen),
        },
        Command {
            name: "substr",
            syntax: "key start end",
            summary: "An old name of GETRANGE.",
            since: "1.0.0",
            complexity: "O(N) with N the bytes read",
            flags: &[Readonly],
            keys: &[At(1)],
            body: Run(getrange),
        },
    ],
};

fn get(call: &mut Call<'_>) -> Result<(), Error> {
    let key = call.args.word()?;
    let found = Str::of_any(call.db.read(key))?;
    bulk_or_null(&mut call.reply, found);
    Ok(())
}

/// The value that was there is read if it is to be answered; other words are not looked at.
fn use_by_set(words: &[&[u8]]) -> Use {
    let mut options = words.iter().skip(3);
    match options.any(|word| word.eq_ignore_ascii_case(b"get")) {
        true => Use::Change,
        false => Overwrite,
    }
}

fn set(call: &mut Call<'_>) -> Result<(), Error> {
    let (key, value) = (call.args.word()?, call.args.word()?);
    if !call.args.is_empty() {
        return set_with_options(call, key, value);
    }
    call.put_string(&call.db, key, value, &Meta::default())?;
    call.reply.ok();
    Ok(())
}

fn set_with_options<'c>(call: &mut Call<'c>, key: &[u8], value: &'c [u8]) -> Result<(), Error> {
    let options = Options::of_set(&mut call.args)?;
    let now_ms = call.db.now_ms();
    let expires_at_ms = options.expires_at_ms(now_ms, "set")?;
    let done = call.db.update(key, |entry| {
        let old = match options.returns_old {
            true => Str::of_any(entry)?,
            false => None,
        };
        let is_allowed = match options.condition {
            None => true,
            Some(Condition::IfAbsent) => entry.is_none(),
            Some(Condition::IfPresent) => entry.is_some(),
        };
        if !is_allowed {
            return Ok((Change::Keep, (old, false)));
        }
        let expires_at_ms = match options.keeps_ttl {
            true => entry.and_then(|entry| entry.expires_at_ms()),
            false => expires_at_ms,
        };
        let change = match expires_at_ms {
            Some(at_ms) if at_ms <= now_ms => Change::Remove,
            _ => Change::Put(Draft::new(call.string(value)).expiring(expires_at_ms)),
        };
        Ok((change, (old, true)))
    });
    if options.returns_old {
        note_lookup(done.as_ref().map(|(old, _)| old.is_some()));
    }
    let (old, is_set) = done?;
    match (options.returns_old, is_set) {
        (true, _) => bulk_or_null(&mut call.reply, old),
        (false, true) => call.reply.ok(),
        (false, false) => call.reply.null(),
    }
    Ok(())
}

fn setnx(call: &mut Call<'_>) -> Result<(), Error> {
    let (key, value) = (call.args.word()?, call.args.word()?);
    let is_set = call.db.update(key, |entry| match entry {
        Some(_) => Ok((Change::Keep, false)),
        None => Ok((Change::Put(Draft::new(call.string(value))), true)),
    })?;
    call.reply.flag(is_set);
    Ok(())
}

fn setex(call: &mut Call<'_>) -> Result<(), Error> {
    set_expiring(call, expiry::Unit::Seconds, "setex")
}

fn psetex(call: &mut Call<'_>) -> Result<(), Error> {
    set_expiring(call, expiry::Unit::Milliseconds, "psetex")
}

fn set_expiring(
    call: &mut Call<'_>,
    unit: expiry::Unit,
    command: &'static str,
) -> Result<(), Error> {
    let key = call.args.word()?;
    let at_ms = expires_at_ms(call.args.word()?, unit, call.db.now_ms(), command)?;
    let value = call.args.word()?;
    let meta = Meta {
        expires_at_ms: Some(at_ms),
        ..Meta::default()
    };
    call.put_string(&call.db, key, value, &meta)?;
    call.reply.ok();
    Ok(())
}

fn getset(call: &mut Call<'_>) -> Result<(), Error> {
    let (key, value) = (call.args.word()?, call.args.word()?);
    let old = call.db.update(key, |entry| {
        let old = Str::of_any(entry)?;
        Ok((Change::Put(Draft::new(call.string(value))), old))
    });
    note_lookup(old.as_ref().map(Option::is_some));
    bulk_or_null(&mut call.reply, old?);
    Ok(())
}

fn getdel(call: &mut Call<'_>) -> Result<(), Error> {
    let key = call.args.word()?;
    let old = call.db.update(key, |entry| match Str::of_any(entry)? {
        Some(old) => Ok((Change::Remove, Some(old))),
        None => Ok((Change::Keep, None)),
    });
    note_lookup(old.as_ref().map(Option::is_some));
    bulk_or_null(&mut call.reply, old?);
    Ok(())
}

/// Counts the lookup of a command that changes what it reads.
fn note_lookup(read: Result<bool, &store::Error>) {
    match read {
        Ok(is_there) => store::note_lookup(is_there),
        Err(store::Error::WrongType) => store::note_lookup(true),
        Err(_) => {}
    }
}

fn getex(call: &mut Call<'_>) -> Result<(), Error> {
    let key = call.args.word()?;
    let options = Options::of_getex(&mut call.args)?;
    let now_ms = call.db.now_ms();
    // A bad expiry is an error only where there is a string to put it on.
    let asked = options.expires_at_ms(now_ms, "getex");
    let old = call.db.update(key, |entry| {
        let (Some(entry), Some(old)) = (entry, Str::of_any(entry)?) else {
            return Ok((Change::Keep, Ok(None)));
        };
        let expires_at_ms = match &asked {
            Err(error) => return Ok((Change::Keep, Err(error.clone()))),
            Ok(None) if !options.persists => return Ok((Change::Keep, Ok(Some(old)))),
            Ok(expires_at_ms) => *expires_at_ms,
        };
        match redate(call, entry, expires_at_ms) {
            Ok(change) => Ok((change, Ok(Some(old)))),
            Err(offload) => Ok((Change::Keep, Err(offload))),
        }
    });
    note_lookup(old.as_ref().map(|old| !matches!(old, Ok(None))));
    bulk_or_null(&mut call.reply, old??);
    Ok(())
}

fn mget(call: &mut Call<'_>) -> Result<(), Error> {
    let keys = call.args.rest().iter().copied();
    call.heavy(keys.len())?;
    let found = call.db.read_all(keys)?;
    call.reply.array(found.len());
    let len_max = call.reply.len() + call.shared.reply_bytes_max();
    for entry in found {
        // A key of another type is as good as absent.
        let string = Str::of_any(entry).unwrap_or(None);
        bulk_or_null(&mut call.reply, string);
        if call.reply.len() > len_max {
            return Err(error::REPLY_TOO_LONG);
        }
    }
    Ok(())
}

fn mset(call: &mut Call<'_>) -> Result<(), Error> {
    let pairs = pairs(call, "mset")?;
    call.heavy(pairs.len())?;
    call.db.put_strings(pairs, call.received)?;
    call.reply.ok();
    Ok(())
}

fn msetnx(call: &mut Call<'_>) -> Result<(), Error> {
    let pairs = pairs(call, "msetnx")?;
    call.heavy(pairs.len())?;
    let is_set = call.db.atomic(|db| {
        db.expect_keys(pairs.len());
        if pairs.iter().any(|[key, _]| db.peek(key).is_some()) {
            return Ok(false);
        }
        pairs
            .iter()
            .try_for_each(|[key, value]| call.put_string(db, key, value, &Meta::default()))?;
        Ok(true)
    })?;
    call.reply.flag(is_set);
    Ok(())
}

fn pairs<'c>(call: &Call<'c>, command: &'static str) -> Result<&'c [[&'c [u8]; 2]], Error> {
    match call.args.rest().as_chunks() {
        (pairs, []) => Ok(pairs),
        _ => Err(error::wrong_arity(command)),
    }
}

fn append(call: &mut Call<'_>) -> Result<(), Error> {
    let (key, tail) = (call.args.word()?, call.args.word()?);
    let bytes_max = call.shared.string_bytes_max();
    let bytes = edit(call, key, |old| {
        let bytes = old.map_or(0, Str::len) + tail.len();
        if old.is_some() && bytes > bytes_max {
            return Err(store::Error::TooLong);
        }
        Ok((Some(string::append(old, tail)?), bytes))
    })?;
    call.reply.count(bytes);
    Ok(())
}

fn strlen(call: &mut Call<'_>) -> Result<(), Error> {
    let key = call.args.word()?;
    let found = Str::of_any(call.db.read(key))?;
    call.reply.count(found.map_or(0, Str::len));
    Ok(())
}

fn incr(call: &mut Call<'_>) -> Result<(), Error> {
    let key = call.args.word()?;
    increment(call, key, 1)
}

fn decr(call: &mut Call<'_>) -> Result<(), Error> {
    let key = call.args.word()?;
    increment(call, key, -1)
}

fn incrby(call: &mut Call<'_>) -> Result<(), Error> {
    let (key, by) = (call.args.word()?, call.args.integer()?);
    increment(call, key, by)
}

fn decrby(call: &mut Call<'_>) -> Result<(), Error> {
    let (key, by) = (call.args.word()?, call.args.integer()?);
    let by = by
        .checked_neg()
        .ok_or(Error::Text("ERR decrement would overflow"))?;
    increment(call, key, by)
}

fn increment(call: &mut Call<'_>, key: &[u8], by: i64) -> Result<(), Error> {
    // A number's digits are few: unlike other edits, this is never work for a worker.
    let sum = call
        .db
        .update_integer(key, |entry| string::sum(Str::of_any(entry)?, by))?;
    call.reply.integer(sum);
    Ok(())
}

fn incrbyfloat(call: &mut Call<'_>) -> Result<(), Error> {
    let (key, by) = (call.args.word()?, LongDouble::parse(call.args.word()?));
    let text = edit(call, key, |old| {
        // A wrong type goes before a bad argument.
        let by = by.ok_or(store::Error::NotAFloat)?;
        let (text, value) = string::increment_float(old, by)?;
        Ok((Some(value), text))
    })?;
    call.reply.bulk(&text);
    Ok(())
}

fn getrange(call: &mut Call<'_>) -> Result<(), Error> {
    let key = call.args.word()?;
    let (start, end) = (call.args.integer()?, call.args.integer()?);
    match Str::of_any(call.db.read(key))? {
        None => call.reply.bulk(b""),
        Some(found) => {
            let parts = found.range(string::signed_range(start, end, found.len()));
            call.reply.bulk_parts(parts.bytes_left(), parts);
        }
    }
    Ok(())
}

fn setrange(call: &mut Call<'_>) -> Result<(), Error> {
    let (key, offset) = (call.args.word()?, call.args.integer()?);
    let patch = call.args.word()?;
    let offset = usize::try_from(offset).map_err(|_| Error::Text("ERR offset is out of range"))?;
    let bytes_max = call.shared.string_bytes_max();
    let bytes = edit(call, key, |old| {
        let old_bytes = old.map_or(0, Str::len);
        if patch.is_empty() {
            return Ok((None, old_bytes));
        }
        let end = offset.saturating_add(patch.len());
        if end > bytes_max {
            return Err(store::Error::TooLong);
        }
        let value = string::set_range(old, offset, patch)?;
        Ok((Some(value), old_bytes.max(end)))
    })?;
    call.reply.count(bytes);
    Ok(())
}

/// Changes the string at a key, which keeps its expiry; no new value leaves it as it is. What
/// stands in the entry is copied for a change, so that can be work for a worker.
pub(super) fn edit<'c, 'a, R>(
    call: &Call<'c>,
    key: &[u8],
    mut change: impl FnMut(Option<Str<'c>>) -> Result<(Option<NewValue<'a>>, R), store::Error>,
) -> Result<R, Error> {
    call.db.update(key, |entry| {
        let old = Str::of_any(entry)?;
        let copied_bytes = old.and_then(Str::as_slice).map_or(0, <[u8]>::len);
        if let Err(offload) = call.heavy(copied_bytes / KILOBYTE) {
            return Ok((Change::Keep, Err(offload)));
        }
        let (value, result) = change(old)?;
        let change = match value {
            Some(value) => Change::Put(Draft::keeping_any(entry, value)),
            None => Change::Keep,
        };
        Ok((change, Ok(result)))
    })?
}

/// A string as a reply, wherever its bytes stand.
pub(super) fn bulk_or_null(reply: &mut Reply<'_>, found: Option<Str<'_>>) {
    match found {
        None => reply.null(),
        Some(string) => match string.in_entry() {
            Some(bytes) => reply.bulk(bytes),
            None => reply.bulk_with(string.len(), |out| append_long(string, out)),
        },
    }
}

/// Appends a string that does not stand in its entry: as it is, where it is of one piece.
#[inline(never)]
pub(super) fn append_long(string: Str<'_>, out: &mut Output) {
    match string.to_long().map(Long::into_parts) {
        Some((buffer, part)) => out.attach(buffer, part),
        None => string.parts().for_each(|part| out.extend_from_slice(part)),
    }
}
