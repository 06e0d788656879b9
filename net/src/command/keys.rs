//! Commands on keys of any type: DEL, RENAME, COPY and their kin.

use store::value::number::parse_integer;
use store::value::{deep_copy, memory_bytes};
use store::{Draft, Kind};

use super::Body::Run;
use super::Flag::{
    Combined, DenyOom, Fast, Readonly, Sum, ToAllShards, ToShardsOfKeys, Unsteady, Write,
};
use super::Keys::{At, For, From};
use super::Use::{Create, Look, Overwrite, Read, Remove, Take};
use super::{Args, Call, Command, Error, Family, error};

const KILOBYTE: usize = 1024;
const DB_OUT_OF_RANGE: Error = Error::Text("ERR DB index is out of range");
const SAME_OBJECT: Error = Error::Text("ERR source and destination objects are the same");
const NOT_AN_INT: Error =
    Error::Text("ERR value is out of range, value must between -2147483648 and 2147483647");

pub(super) const FAMILY: Family = Family {
    name: "generic",
    commands: &[
        Command {
            name: "copy",
            syntax: "source destination [DB destination-db] [REPLACE]",
            summary: "Copies a value to another key, also of another database.",
            since: "6.2.0",
            complexity: "O(N) with N the size of the value",
            flags: &[Write, DenyOom],
            keys: &[For(Read, &At(1)), For(Overwrite, &At(2))],
            body: Run(copy),
        },
        Command {
            name: "del",
            syntax: "key [key ...]",
            summary: "Removes keys, all at one moment.",
            since: "1.0.0",
            complexity: "O(N) with N the number of keys",
            flags: &[Write, ToShardsOfKeys, Sum],
            keys: &[For(
                Remove,
                &From {
                    first: 1,
                    last: -1,
                    step: 1,
                },
            )],
            body: Run(del),
        },
        Command {
            name: "exists",
            syntax: "key [key ...]",
            summary: "Counts which of the keys are there; one named twice counts twice.",
            since: "1.0.0",
            complexity: "O(N) with N the number of keys",
            flags: &[Readonly, Fast, ToShardsOfKeys, Sum],
            keys: &[For(
                Look,
                &From {
                    first: 1,
                    last: -1,
                    step: 1,
                },
            )],
            body: Run(exists),
        },
        Command {
            name: "move",
            syntax: "key db",
            summary: "Moves a key to another database.",
            since: "1.0.0",
            complexity: "O(1)",
            flags: &[Write, Fast],
            keys: &[At(1)],
            body: Run(move_key),
        },
        Command {
            name: "randomkey",
            syntax: "",
            summary: "Picks a key at random.",
            since: "1.0.0",
            complexity: "O(1)",
            flags: &[Readonly, ToAllShards, Combined, Unsteady],
            keys: &[],
            body: Run(randomkey),
        },
        Command {
            name: "rename",
            syntax: "key newkey",
            summary: "Renames a key, replacing what the new name held.",
            since: "1.0.0",
            complexity: "O(1)",
            flags: &[Write],
            keys: &[For(Take, &At(1)), For(Overwrite, &At(2))],
            body: Run(rename),
        },
        Command {
            name: "renamenx",
            syntax: "key newkey",
            summary: "Renames a key to a name that is not taken.",
            since: "1.0.0",
            complexity: "O(1)",
            flags: &[Write, Fast],
            keys: &[For(Take, &At(1)), For(Create, &At(2))],
            body: Run(renamenx),
        },
        Command {
            name: "touch",
            syntax: "key [key ...]",
            summary: "Marks keys as used just now and counts them.",
            since: "3.2.1",
            complexity: "O(N) with N the number of keys",
            flags: &[Readonly, Fast, ToShardsOfKeys, Sum],
            keys: &[For(
                Look,
                &From {
                    first: 1,
                    last: -1,
                    step: 1,
                },
            )],
            body: Run(touch),
        },
        Command {
            name: "type",
            syntax: "key",
            summary: "Names the type of the value at a key.",
            since: "1.0.0",
            complexity: "O(1)",
            flags: &[Readonly, Fast],
            keys: &[For(Look, &At(1))],
            body: Run(type_of),
        },
        Command {
            name: "unlink",
            syntax: "key [key ...]",
            summary: "Removes keys, as DEL does: memory is always freed elsewhere.",
            since: "4.0.0",
            complexity: "O(N) with N the number of keys",
            flags: &[Write, Fast, ToShardsOfKeys, Sum],
            keys: &[For(
                Remove,
                &From {
                    first: 1,
                    last: -1,
                    step: 1,
                },
            )],
            body: Run(del),
        },
    ],
};

fn del(call: &mut Call<'_>) -> Result<(), Error> {
    call.heavy(call.args.rest().len())?;
    let count = call.db.remove_many(call.args.rest())?;
    call.reply.count(count);
    Ok(())
}

fn exists(call: &mut Call<'_>) -> Result<(), Error> {
    let keys = call.args.rest().iter().copied();
    call.heavy(keys.len())?;
    let found = call.db.inspect_all(keys)?;
    call.reply.count(found.iter().flatten().count());
    Ok(())
}

fn touch(call: &mut Call<'_>) -> Result<(), Error> {
    let keys = call.args.rest().iter().copied();
    call.heavy(keys.len())?;
    let found = call.db.read_all(keys)?;
    call.reply.count(found.iter().flatten().count());
    Ok(())
}

fn type_of(call: &mut Call<'_>) -> Result<(), Error> {
    let key = call.args.word()?;
    let found = call.db.inspect(key);
    call.reply
        .simple(found.map_or("none", |entry| type_name(entry.kind())));
    Ok(())
}

/// What TYPE answers and SCAN takes.
pub(super) fn type_name(kind: Kind) -> &'static str {
    match kind {
        Kind::String => "string",
        Kind::List => "list",
        Kind::Set => "set",
        Kind::Zset => "zset",
        Kind::Hash => "hash",
        Kind::Stream => "stream",
        Kind::Json => "ReJSON-RL",
    }
}

fn rename(call: &mut Call<'_>) -> Result<(), Error> {
    let (from, to) = (call.args.word()?, call.args.word()?);
    call.db.atomic(|db| match from == to {
        true => db.peek(from).map(|_| ()).ok_or(store::Error::NoSuchKey),
        false => db.rename(from, (db, to)),
    })?;
    call.reply.ok();
    Ok(())
}

fn renamenx(call: &mut Call<'_>) -> Result<(), Error> {
    let (from, to) = (call.args.word()?, call.args.word()?);
    let is_renamed = call.db.atomic(|db| {
        if db.peek(from).is_none() {
            return Err(store::Error::NoSuchKey);
        }
        // A key cannot be renamed to itself either: it is there.
        if db.peek(to).is_some() {
            return Ok(false);
        }
        db.rename(from, (db, to))?;
        Ok(true)
    })?;
    call.reply.flag(is_renamed);
    Ok(())
}

fn copy(call: &mut Call<'_>) -> Result<(), Error> {
    let (from, to) = (call.args.word()?, call.args.word()?);
    let (mut index, mut replaces) = (call.db.index(), false);
    while !call.args.is_empty() {
        if call.args.option("REPLACE") {
            replaces = true;
        } else if call.args.len() > 1 && call.args.option("DB") {
            index = db_index(&mut call.args, call.shared.store.databases())?;
        } else {
            return Err(error::SYNTAX);
        }
    }
    if index == call.db.index() && from == to {
        return Err(SAME_OBJECT);
    }
    let is_copied = call.db.atomic(|db| {
        let target = db.other(index);
        let Some(entry) = db.read(from) else {
            return Ok(Ok(false));
        };
        if !replaces && target.peek(to).is_some() {
            return Ok(Ok(false));
        }
        if let Err(offload) = call.heavy(memory_bytes(entry) / KILOBYTE) {
            return Ok(Err(offload));
        }
        let draft = Draft::keeping(entry, deep_copy(entry));
        target.put(to, draft)?;
        Ok(Ok(true))
    })??;
    call.reply.flag(is_copied);
    Ok(())
}

fn move_key(call: &mut Call<'_>) -> Result<(), Error> {
    let key = call.args.word()?;
    let index = db_index(&mut call.args, call.shared.store.databases())?;
    if index == call.db.index() {
        return Err(SAME_OBJECT);
    }
    let is_moved = call.db.atomic(|db| {
        let target = db.other(index);
        if db.peek(key).is_none() || target.peek(key).is_some() {
            return Ok(false);
        }
        db.rename(key, (&target, key))?;
        Ok(true)
    })?;
    call.reply.flag(is_moved);
    Ok(())
}

/// Takes the number of a database.
///
/// # Errors
/// Not a number, or not of a database.
pub(super) fn db_index(args: &mut Args<'_>, databases: usize) -> Result<usize, Error> {
    let index = parse_integer(args.word()?).ok_or(error::NOT_AN_INTEGER)?;
    let index = i32::try_from(index).map_err(|_| NOT_AN_INT)?;
    usize::try_from(index)
        .ok()
        .filter(|index| *index < databases)
        .ok_or(DB_OUT_OF_RANGE)
}

fn randomkey(call: &mut Call<'_>) -> Result<(), Error> {
    let found = call.db.random();
    call.reply.bulk_or_null(found.map(|entry| entry.key()));
    Ok(())
}
