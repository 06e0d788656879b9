//! Hash commands: HSET, HGET and their kin.

use store::value::hash::{Hash, HashEdit};
use store::value::number::LongDouble;

use super::Body::{Edit, Run};
use super::Flag::{DenyOom, Fast, Readonly, Unordered, Unsteady, Write};
use super::Keys::{At, For};
use super::Use::{Delete, Insert, Look, Update};
use super::collection::{self, Sample, ScanOptions};
use super::scan::parse_cursor;
use super::{Call, Command, Error, Family, Keys, Reply, error};
use crate::protocol::resp::Version;

/// A hash, then fields.
const FIELDS: Keys = Keys::Holder { at: 1, step: 1 };
/// A hash, then fields, each with something of its own.
const PAIRS: Keys = Keys::Holder { at: 1, step: 2 };

pub(super) const FAMILY: Family = Family {
    name: "hash",
    commands: &[
        Command {
            name: "hdel",
            syntax: "key field [field ...]",
            summary: "Removes fields of a hash, and the hash with its last one.",
            since: "2.0.0",
            complexity: "O(N) with N the number of fields given",
            flags: &[Write, Fast],
            keys: &[For(Delete, &FIELDS)],
            body: Edit(hdel),
        },
        Command {
            name: "hexists",
            syntax: "key field",
            summary: "Tells whether a hash has a field.",
            since: "2.0.0",
            complexity: "O(1)",
            flags: &[Readonly, Fast],
            keys: &[For(Look, &FIELDS)],
            body: Run(hexists),
        },
        Command {
            name: "hget",
            syntax: "key field",
            summary: "Reads a field of a hash.",
            since: "2.0.0",
            complexity: "O(1)",
            flags: &[Readonly, Fast],
            keys: &[FIELDS],
            body: Run(hget),
        },
        Command {
            name: "hgetall",
            syntax: "key",
            summary: "Reads all fields of a hash with their values.",
            since: "2.0.0",
            complexity: "O(N) with N the number of fields",
            flags: &[Readonly, Unordered],
            keys: &[At(1)],
            body: Run(hgetall),
        },
        Command {
            name: "hincrby",
            syntax: "key field increment",
            summary: "Adds to the integer in a field; an absent field counts as 0.",
            since: "2.0.0",
            complexity: "O(1)",
            flags: &[Write, DenyOom, Fast],
            keys: &[PAIRS],
            body: Edit(hincrby),
        },
        Command {
            name: "hincrbyfloat",
            syntax: "key field increment",
            summary: "Adds to the number in a field; an absent field counts as 0.",
            since: "2.6.0",
            complexity: "O(1)",
            flags: &[Write, DenyOom, Fast],
            keys: &[PAIRS],
            body: Edit(hincrbyfloat),
        },
        Command {
            name: "hkeys",
            syntax: "key",
            summary: "Lists the fields of a hash.",
            since: "2.0.0",
            complexity: "O(N) with N the number of fields",
            flags: &[Readonly, Unordered],
            keys: &[At(1)],
            body: Run(hkeys),
        },
        Command {
            name: "hlen",
            syntax: "key",
            summary: "Counts the fields of a hash.",
            since: "2.0.0",
            complexity: "O(1)",
            flags: &[Readonly, Fast],
            keys: &[For(Look, &At(1))],
            body: Run(hlen),
        },
        Command {
            name: "hmget",
            syntax: "key field [field ...]",
            summary: "Reads several fields of a hash.",
            since: "2.0.0",
            complexity: "O(N) with N the number of fields given",
            flags: &[Readonly, Fast],
            keys: &[FIELDS],
            body: Run(hmget),
        },
        Command {
            name: "hmset",
            syntax: "key field value [field value ...]",
            summary: "Sets fields of a hash, as HSET does with another reply.",
            since: "2.0.0",
            complexity: "O(N) with N the number of fields given",
            flags: &[Write, DenyOom, Fast],
            keys: &[For(Update, &PAIRS)],
            body: Edit(hmset),
        },
        Command {
            name: "hrandfield",
            syntax: "key [count [WITHVALUES]]",
            summary: "Reads fields of a hash at random.",
            since: "6.2.0",
            complexity: "O(N) with N the number of fields asked for",
            flags: &[Readonly, Unsteady],
            keys: &[At(1)],
            body: Run(hrandfield),
        },
        Command {
            name: "hscan",
            syntax: "key cursor [MATCH pattern] [COUNT count]",
            summary: "Lists some fields of a hash with their values, and where to go on.",
            since: "2.8.0",
            complexity: "O(1) for a call, O(N) for all fields of the hash",
            flags: &[Readonly, Unsteady],
            keys: &[At(1)],
            body: Run(hscan),
        },
        Command {
            name: "hset",
            syntax: "key field value [field value ...]",
            summary: "Sets fields of a hash, which comes into being if it is absent.",
            since: "2.0.0",
            complexity: "O(N) with N the number of fields given",
            flags: &[Write, DenyOom, Fast],
            keys: &[For(Update, &PAIRS)],
            body: Edit(hset),
        },
        Command {
            name: "hsetnx",
            syntax: "key field value",
            summary: "Sets a field of a hash unless the field is there.",
            since: "2.0.0",
            complexity: "O(1)",
            flags: &[Write, DenyOom, Fast],
            keys: &[For(Insert, &PAIRS)],
            body: Edit(hsetnx),
        },
        Command {
            name: "hstrlen",
            syntax: "key field",
            summary: "Tells how many bytes the value of a field has.",
            since: "3.2.0",
            complexity: "O(1)",
            flags: &[Readonly, Fast],
            keys: &[For(Look, &FIELDS)],
            body: Run(hstrlen),
        },
        Command {
            name: "hvals",
            syntax: "key",
            summary: "Lists the values of a hash.",
            since: "2.0.0",
            complexity: "O(N) with N the number of fields",
            flags: &[Readonly, Unordered],
            keys: &[At(1)],
            body: Run(hvals),
        },
    ],
};

/// The most fields with values that can be asked for at random.
const SAMPLE_PAIRS_MAX: usize = i64::MAX as usize / 2;

fn hset(call: &mut Call<'_>) -> Result<(), Error> {
    let added = set_fields(call, "hset")?;
    call.reply.count(added);
    Ok(())
}

fn hmset(call: &mut Call<'_>) -> Result<(), Error> {
    set_fields(call, "hmset")?;
    call.reply.ok();
    Ok(())
}

/// Sets the fields given; how many are new.
fn set_fields(call: &mut Call<'_>, command: &str) -> Result<usize, Error> {
    let key = call.args.word()?;
    let (pairs, []) = call.args.rest().as_chunks::<2>() else {
        return Err(error::wrong_arity(command));
    };
    call.heavy(pairs.len())?;
    edit(call, key, |edit| {
        edit.expect(pairs.len());
        Ok(edit.set_all(pairs))
    })
}

fn hsetnx(call: &mut Call<'_>) -> Result<(), Error> {
    let key = call.args.word()?;
    let (field, value) = (call.args.word()?, call.args.word()?);
    let is_new = edit(call, key, |edit| {
        let is_new = edit.get(field).is_none();
        if is_new {
            edit.set(field, value);
        }
        Ok(is_new)
    })?;
    call.reply.flag(is_new);
    Ok(())
}

fn hincrby(call: &mut Call<'_>) -> Result<(), Error> {
    let (key, field) = (call.args.word()?, call.args.word()?);
    let by = call.args.integer()?;
    let sum = edit(call, key, |edit| edit.increment(field, by))?;
    call.reply.integer(sum);
    Ok(())
}

fn hincrbyfloat(call: &mut Call<'_>) -> Result<(), Error> {
    let (key, field) = (call.args.word()?, call.args.word()?);
    let by = LongDouble::parse(call.args.word()?).ok_or(error::NOT_A_FLOAT)?;
    if LongDouble::ZERO.add(by).is_none() {
        return Err(Error::Text("ERR value is NaN or Infinity"));
    }
    let text = edit(call, key, |edit| edit.increment_float(field, by))?;
    call.reply.bulk(&text);
    Ok(())
}

fn hdel(call: &mut Call<'_>) -> Result<(), Error> {
    let key = call.args.word()?;
    let fields = call.args.rest();
    call.heavy(fields.len())?;
    let removed = edit(call, key, |edit| Ok(edit.remove_all(fields)))?;
    call.reply.count(removed);
    Ok(())
}

fn hget(call: &mut Call<'_>) -> Result<(), Error> {
    let value = field(call)?;
    call.reply.bulk_or_null(value);
    Ok(())
}

fn hexists(call: &mut Call<'_>) -> Result<(), Error> {
    let value = field(call)?;
    call.reply.flag(value.is_some());
    Ok(())
}

fn hstrlen(call: &mut Call<'_>) -> Result<(), Error> {
    let value = field(call)?;
    call.reply.count(value.map_or(0, <[u8]>::len));
    Ok(())
}

fn hmget(call: &mut Call<'_>) -> Result<(), Error> {
    let hash = hash(call)?;
    let fields = call.args.rest();
    call.heavy(fields.len())?;
    call.reply.array(fields.len());
    let len_max = call.reply.len() + call.shared.reply_bytes_max();
    for field in fields {
        let value = hash.and_then(|hash| hash.get(field));
        call.reply.bulk_or_null(value);
        if call.reply.len() > len_max {
            return Err(error::REPLY_TOO_LONG);
        }
    }
    Ok(())
}

fn hlen(call: &mut Call<'_>) -> Result<(), Error> {
    let hash = hash(call)?;
    call.reply.count(hash.map_or(0, Hash::len));
    Ok(())
}

fn hgetall(call: &mut Call<'_>) -> Result<(), Error> {
    let Some(hash) = whole_hash(call)? else {
        call.reply.map(0);
        return Ok(());
    };
    call.reply.map(hash.len());
    for (field, value) in hash.iter() {
        call.reply.bulk(field);
        call.reply.bulk(value);
    }
    Ok(())
}

fn hkeys(call: &mut Call<'_>) -> Result<(), Error> {
    list(call, |(field, _)| field)
}

fn hvals(call: &mut Call<'_>) -> Result<(), Error> {
    list(call, |(_, value)| value)
}

/// A field with its value.
type Pair<'g> = (&'g [u8], &'g [u8]);

/// Replies with one part of all pairs.
fn list(call: &mut Call<'_>, part: fn(Pair<'_>) -> &[u8]) -> Result<(), Error> {
    let Some(hash) = whole_hash(call)? else {
        call.reply.array(0);
        return Ok(());
    };
    call.reply.array(hash.len());
    for pair in hash.iter() {
        call.reply.bulk(part(pair));
    }
    Ok(())
}

fn hrandfield(call: &mut Call<'_>) -> Result<(), Error> {
    let key = call.args.word()?;
    let Some(count) = call.args.next() else {
        let hash = Hash::of_any(call.db.read(key))?;
        call.reply.bulk_or_null(hash.map(|hash| hash.random().0));
        return Ok(());
    };
    let sample = collection::parse_sample(count)?;
    let with_values = call.args.option("WITHVALUES");
    call.args.end()?;
    let (Sample::Distinct(count) | Sample::Repeated(count)) = sample;
    if with_values && count > SAMPLE_PAIRS_MAX {
        return Err(collection::VALUE_OUT_OF_RANGE);
    }
    let hash = match Hash::of_any(call.db.read(key))? {
        Some(hash) if count > 0 => hash,
        _ => {
            call.reply.array(0);
            return Ok(());
        }
    };
    match sample {
        Sample::Distinct(count) => {
            call.heavy(count.min(hash.len()))?;
            let pairs = hash.sample(count);
            write_sample_header(&mut call.reply, pairs.len(), with_values);
            for pair in pairs {
                write_sampled(&mut call.reply, pair, with_values);
            }
            Ok(())
        }
        Sample::Repeated(count) => {
            call.heavy(count)?;
            write_sample_header(&mut call.reply, count, with_values);
            collection::repeat(call, count, |call| {
                write_sampled(&mut call.reply, hash.random(), with_values);
            })
        }
    }
}

/// Pairs are arrays of their own in RESP3 and two elements in RESP2.
fn write_sample_header(reply: &mut Reply<'_>, count: usize, with_values: bool) {
    let is_flat = reply.version() == Version::Resp2 && with_values;
    reply.array(if is_flat { 2 * count } else { count });
}

fn write_sampled(reply: &mut Reply<'_>, (field, value): Pair<'_>, with_values: bool) {
    if !with_values {
        return reply.bulk(field);
    }
    if reply.version() == Version::Resp3 {
        reply.array(2);
    }
    reply.bulk(field);
    reply.bulk(value);
}

fn hscan(call: &mut Call<'_>) -> Result<(), Error> {
    let key = call.args.word()?;
    let cursor = parse_cursor(call.args.word()?)?;
    let Some(hash) = Hash::of_any(call.db.read(key))? else {
        call.reply.array(2);
        call.reply.bulk(b"0");
        call.reply.array(0);
        return Ok(());
    };
    let options = ScanOptions::parse(&mut call.args)?;
    call.heavy(options.count.min(hash.len()))?;
    let mut found = Vec::new();
    let next = hash.scan(cursor, options.count, |field, value| {
        if options.admit(field) {
            found.push((field, value));
        }
    });
    call.reply.array(2);
    call.reply.bulk(itoa::Buffer::new().format(next).as_bytes());
    call.reply.array(2 * found.len());
    for (field, value) in found {
        call.reply.bulk(field);
        call.reply.bulk(value);
    }
    Ok(())
}

/// The hash at the next argument.
fn hash<'c>(call: &mut Call<'c>) -> Result<Option<Hash<'c>>, Error> {
    let key = call.args.word()?;
    Ok(Hash::of_any(call.db.read(key))?)
}

/// The hash at the next argument, whose elements are all about to be visited.
fn whole_hash<'c>(call: &mut Call<'c>) -> Result<Option<Hash<'c>>, Error> {
    let Some(entry) = call.db.read(call.args.word()?) else {
        return Ok(None);
    };
    let hash = Hash::of(entry)?;
    call.heavy(collection::work(entry, hash.len()))?;
    Ok(Some(hash))
}

/// The value of the field of the hash that the next two arguments name.
fn field<'c>(call: &mut Call<'c>) -> Result<Option<&'c [u8]>, Error> {
    let hash = hash(call)?;
    let field = call.args.word()?;
    Ok(hash.and_then(|hash| hash.get(field)))
}

/// Edits the hash at a key in one step, or in one of a run.
fn edit<R>(
    call: &Call<'_>,
    key: &[u8],
    mut change: impl FnMut(&mut HashEdit<'_>) -> Result<R, store::Error>,
) -> Result<R, Error> {
    if let Some(edits) = call.edits {
        let mut result = None;
        edits.edit_hash(key, &mut |edit| {
            result = Some(change(edit)?);
            Ok(())
        })?;
        return Ok(result.expect("the step was made"));
    }
    let limits = call.limits();
    let result = call.db.update(key, |entry| {
        let mut edit = HashEdit::new(entry, &limits)?;
        let result = change(&mut edit)?;
        Ok((collection::change(entry, edit.finish()), result))
    })?;
    Ok(result)
}
