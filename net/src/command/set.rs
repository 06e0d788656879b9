//! Set commands: SADD, SINTER and their kin.

use std::ops::ControlFlow;

use smallvec::SmallVec;
use store::value::number::parse_integer;
use store::value::set::{self, Member, Set, SetBuilder, SetEdit};
use store::{Change, Db, Draft};

use super::Body::{Edit, Run};
use super::Flag::{DenyOom, Fast, Readonly, Unordered, Unsteady, Write};
use super::Keys::{At, Counted, For, From};
use super::Use::{Delete, Insert, Look, Overwrite, Read, Take};
use super::collection::{self, Sample, ScanOptions};
use super::scan::parse_cursor;
use super::{Call, Command, Error, Family, Keys, error};

/// Sets are collected on the stack up to this many keys.
const KEYS_INLINE: usize = 8;

const NOT_POSITIVE: Error = Error::Text("ERR value is out of range, must be positive");
const NO_KEYS: Error = Error::Text("ERR numkeys should be greater than 0");
const TOO_FEW_KEYS: Error = Error::Text("ERR Number of keys can't be greater than number of args");
const NEGATIVE_LIMIT: Error = Error::Text("ERR LIMIT can't be negative");

/// A set, then members.
const MEMBERS: Keys = Keys::Holder { at: 1, step: 1 };

pub(super) const FAMILY: Family = Family {
    name: "set",
    commands: &[
        Command {
            name: "sadd",
            syntax: "key member [member ...]",
            summary: "Adds members to a set, which comes into being if it is absent.",
            since: "1.0.0",
            complexity: "O(N) with N the number of members given",
            flags: &[Write, DenyOom, Fast],
            keys: &[For(Insert, &MEMBERS)],
            body: Edit(sadd),
        },
        Command {
            name: "scard",
            syntax: "key",
            summary: "Counts the members of a set.",
            since: "1.0.0",
            complexity: "O(1)",
            flags: &[Readonly, Fast],
            keys: &[For(Look, &At(1))],
            body: Run(scard),
        },
        Command {
            name: "sdiff",
            syntax: "key [key ...]",
            summary: "Lists the members of the first set that are in none of the others.",
            since: "1.0.0",
            complexity: "O(N) with N the number of members of all sets",
            flags: &[Readonly, Unordered],
            keys: &[ALL_KEYS],
            body: Run(sdiff),
        },
        Command {
            name: "sdiffstore",
            syntax: "destination key [key ...]",
            summary: "Stores the members of the first set that are in none of the others.",
            since: "1.0.0",
            complexity: "O(N) with N the number of members of all sets",
            flags: &[Write, DenyOom],
            keys: &[For(Overwrite, &At(1)), For(Read, &STORE_KEYS)],
            body: Run(sdiffstore),
        },
        Command {
            name: "sinter",
            syntax: "key [key ...]",
            summary: "Lists the members that all sets have.",
            since: "1.0.0",
            complexity: "O(N*M) with N the members of the smallest set and M the number of sets",
            flags: &[Readonly, Unordered],
            keys: &[ALL_KEYS],
            body: Run(sinter),
        },
        Command {
            name: "sintercard",
            syntax: "numkeys key [key ...] [LIMIT limit]",
            summary: "Counts the members that all sets have.",
            since: "7.0.0",
            complexity: "O(N*M) with N the members of the smallest set and M the number of sets",
            flags: &[Readonly],
            keys: &[Counted { at: 1 }],
            body: Run(sintercard),
        },
        Command {
            name: "sinterstore",
            syntax: "destination key [key ...]",
            summary: "Stores the members that all sets have.",
            since: "1.0.0",
            complexity: "O(N*M) with N the members of the smallest set and M the number of sets",
            flags: &[Write, DenyOom],
            keys: &[For(Overwrite, &At(1)), For(Read, &STORE_KEYS)],
            body: Run(sinterstore),
        },
        Command {
            name: "sismember",
            syntax: "key member",
            summary: "Tells whether a set has a member.",
            since: "1.0.0",
            complexity: "O(1)",
            flags: &[Readonly, Fast],
            keys: &[For(Look, &MEMBERS)],
            body: Run(sismember),
        },
        Command {
            name: "smembers",
            syntax: "key",
            summary: "Lists the members of a set.",
            since: "1.0.0",
            complexity: "O(N) with N the number of members",
            flags: &[Readonly, Unordered],
            keys: &[At(1)],
            body: Run(smembers),
        },
        Command {
            name: "smismember",
            syntax: "key member [member ...]",
            summary: "Tells which of several members a set has.",
            since: "6.2.0",
            complexity: "O(N) with N the number of members given",
            flags: &[Readonly, Fast],
            keys: &[MEMBERS],
            body: Run(smismember),
        },
        Command {
            name: "smove",
            syntax: "source destination member",
            summary: "Moves a member from one set to another.",
            since: "1.0.0",
            complexity: "O(1)",
            flags: &[Write, Fast],
            keys: &[For(Take, &At(1)), For(Insert, &At(2))],
            body: Run(smove),
        },
        Command {
            name: "spop",
            syntax: "key [count]",
            summary: "Takes members out of a set at random.",
            since: "1.0.0",
            complexity: "O(N) with N the number of members asked for",
            flags: &[Write, Fast, Unsteady],
            keys: &[For(Take, &At(1))],
            body: Run(spop),
        },
        Command {
            name: "srandmember",
            syntax: "key [count]",
            summary: "Reads members of a set at random.",
            since: "1.0.0",
            complexity: "O(N) with N the number of members asked for",
            flags: &[Readonly, Unsteady],
            keys: &[At(1)],
            body: Run(srandmember),
        },
        Command {
            name: "srem",
            syntax: "key member [member ...]",
            summary: "Removes members of a set, and the set with its last one.",
            since: "1.0.0",
            complexity: "O(N) with N the number of members given",
            flags: &[Write, Fast],
            keys: &[For(Delete, &MEMBERS)],
            body: Edit(srem),
        },
        Command {
            name: "sscan",
            syntax: "key cursor [MATCH pattern] [COUNT count]",
            summary: "Lists some members of a set, and where to go on.",
            since: "2.8.0",
            complexity: "O(1) for a call, O(N) for all members of the set",
            flags: &[Readonly, Unsteady],
            keys: &[At(1)],
            body: Run(sscan),
        },
        Command {
            name: "sunion",
            syntax: "key [key ...]",
            summary: "Lists the members that any of the sets has.",
            since: "1.0.0",
            complexity: "O(N) with N the number of members of all sets",
            flags: &[Readonly, Unordered],
            keys: &[ALL_KEYS],
            body: Run(sunion),
        },
        Command {
            name: "sunionstore",
            syntax: "destination key [key ...]",
            summary: "Stores the members that any of the sets has.",
            since: "1.0.0",
            complexity: "O(N) with N the number of members of all sets",
            flags: &[Write, DenyOom],
            keys: &[For(Overwrite, &At(1)), For(Read, &STORE_KEYS)],
            body: Run(sunionstore),
        },
    ],
};

const ALL_KEYS: Keys = From {
    first: 1,
    last: -1,
    step: 1,
};
const STORE_KEYS: Keys = From {
    first: 2,
    last: -1,
    step: 1,
};

fn sadd(call: &mut Call<'_>) -> Result<(), Error> {
    let key = call.args.word()?;
    let members = call.args.rest();
    call.heavy(members.len())?;
    let added = edit(call, key, |edit| {
        edit.expect(members.len());
        edit.add_all(members)
    })?;
    call.reply.count(added);
    Ok(())
}

fn srem(call: &mut Call<'_>) -> Result<(), Error> {
    let key = call.args.word()?;
    let members = call.args.rest();
    call.heavy(members.len())?;
    let members = members.iter().copied();
    let removed = edit(call, key, |edit| edit.remove_all(members.clone()))?;
    call.reply.count(removed);
    Ok(())
}

fn scard(call: &mut Call<'_>) -> Result<(), Error> {
    let set = set(call)?;
    call.reply.count(set.map_or(0, Set::len));
    Ok(())
}

fn sismember(call: &mut Call<'_>) -> Result<(), Error> {
    let set = set(call)?;
    let member = call.args.word()?;
    call.reply.flag(set.is_some_and(|set| set.contains(member)));
    Ok(())
}

fn smismember(call: &mut Call<'_>) -> Result<(), Error> {
    let set = set(call)?;
    let members = call.args.rest();
    call.heavy(members.len())?;
    call.reply.array(members.len());
    for member in members {
        call.reply.flag(set.is_some_and(|set| set.contains(member)));
    }
    Ok(())
}

fn smembers(call: &mut Call<'_>) -> Result<(), Error> {
    let Some(entry) = call.db.read(call.args.word()?) else {
        call.reply.set(0);
        return Ok(());
    };
    let set = Set::of(entry)?;
    call.heavy(collection::work(entry, set.len()))?;
    call.reply.set(set.len());
    for member in set.iter() {
        call.reply.bulk(&member);
    }
    Ok(())
}

fn smove(call: &mut Call<'_>) -> Result<(), Error> {
    let (source, destination) = (call.args.word()?, call.args.word()?);
    let member = call.args.word()?;
    let limits = call.limits();
    let moved = call.db.atomic(|db| {
        let from = db.peek(source);
        let Some(set) = Set::of_any(from)? else {
            return Ok(false);
        };
        let to = db.peek(destination);
        Set::of_any(to)?;
        if source == destination || !set.contains(member) {
            return Ok(set.contains(member));
        }
        db.update(source, |entry| {
            let mut edit = SetEdit::new(entry, &limits)?;
            edit.remove(member);
            Ok((collection::change(entry, edit.finish()), ()))
        })?;
        db.update(destination, |entry| {
            let mut edit = SetEdit::new(entry, &limits)?;
            edit.add(member);
            Ok((collection::change(entry, edit.finish()), ()))
        })?;
        Ok(true)
    })?;
    call.reply.flag(moved);
    Ok(())
}

fn spop(call: &mut Call<'_>) -> Result<(), Error> {
    let key = call.args.word()?;
    let Some(count) = call.args.next() else {
        let popped = edit(call, key, |edit| edit.pop(1))?;
        call.reply
            .bulk_or_null(popped.first().map(|member| &member[..]));
        return Ok(());
    };
    call.args.end()?;
    let count = natural(count).ok_or(NOT_POSITIVE)?;
    let members = Set::of_any(call.db.peek(key))?.map_or(0, |set| set.len());
    call.heavy(members.min(count))?;
    // It is a lookup only where Redis answers with all members, which it reads first.
    if (1..=count).contains(&members) {
        store::note_lookup(true);
    }
    let popped = edit(call, key, |edit| edit.pop(count))?;
    call.reply.set(popped.len());
    for member in popped {
        call.reply.bulk(&member);
    }
    Ok(())
}

fn srandmember(call: &mut Call<'_>) -> Result<(), Error> {
    let key = call.args.word()?;
    let Some(count) = call.args.next() else {
        match Set::of_any(call.db.read(key))? {
            Some(set) => call.reply.bulk(&set.random()),
            None => call.reply.null(),
        }
        return Ok(());
    };
    call.args.end()?;
    let sample = collection::parse_sample(count)?;
    let Some(set) = Set::of_any(call.db.read(key))? else {
        call.reply.array(0);
        return Ok(());
    };
    match sample {
        Sample::Distinct(count) => {
            call.heavy(count.min(set.len()))?;
            let members = set.sample(count);
            call.reply.array(members.len());
            for member in members {
                call.reply.bulk(&member);
            }
            Ok(())
        }
        Sample::Repeated(count) => {
            call.heavy(count)?;
            call.reply.array(count);
            collection::repeat(call, count, |call| call.reply.bulk(&set.random()))
        }
    }
}

fn sscan(call: &mut Call<'_>) -> Result<(), Error> {
    let key = call.args.word()?;
    let cursor = parse_cursor(call.args.word()?)?;
    let Some(set) = Set::of_any(call.db.read(key))? else {
        call.reply.array(2);
        call.reply.bulk(b"0");
        call.reply.array(0);
        return Ok(());
    };
    let options = ScanOptions::parse(&mut call.args)?;
    call.heavy(options.count.min(set.len()))?;
    let mut found = Vec::new();
    let next = set.scan(cursor, options.count, |member| {
        if options.admit(&member) {
            found.push(member);
        }
    });
    call.reply.array(2);
    call.reply.bulk(itoa::Buffer::new().format(next).as_bytes());
    call.reply.array(found.len());
    for member in found {
        call.reply.bulk(&member);
    }
    Ok(())
}

fn sinter(call: &mut Call<'_>) -> Result<(), Error> {
    reply_with(call, Operation::Intersection)
}

fn sunion(call: &mut Call<'_>) -> Result<(), Error> {
    reply_with(call, Operation::Union)
}

fn sdiff(call: &mut Call<'_>) -> Result<(), Error> {
    reply_with(call, Operation::Difference)
}

fn sinterstore(call: &mut Call<'_>) -> Result<(), Error> {
    store_result(call, Operation::Intersection)
}

fn sunionstore(call: &mut Call<'_>) -> Result<(), Error> {
    store_result(call, Operation::Union)
}

fn sdiffstore(call: &mut Call<'_>) -> Result<(), Error> {
    store_result(call, Operation::Difference)
}

fn sintercard(call: &mut Call<'_>) -> Result<(), Error> {
    let count = natural(call.args.word()?)
        .filter(|count| *count > 0)
        .ok_or(NO_KEYS)?;
    let keys = call.args.words(count).map_err(|_| TOO_FEW_KEYS)?;
    let mut limit = 0;
    while !call.args.is_empty() {
        if call.args.len() < 2 || !call.args.option("LIMIT") {
            return Err(error::SYNTAX);
        }
        limit = natural(call.args.word()?).ok_or(NEGATIVE_LIMIT)?;
    }
    let sources = call.db.atomic(|db| Sources::read(db, keys))?;
    call.heavy(sources.work(Operation::Intersection))?;
    call.reply
        .count(set::intersection_len(&sources.sets, limit));
    Ok(())
}

/// What is made of several sets.
#[derive(Clone, Copy, Debug)]
enum Operation {
    Intersection,
    Union,
    Difference,
}

impl Operation {
    /// Visits the members of the result.
    fn visit<'g>(self, sets: &[Option<Set<'g>>], mut visit: impl FnMut(Member<'g>)) {
        let visit = |member| {
            visit(member);
            ControlFlow::Continue(())
        };
        match self {
            Operation::Intersection => set::intersection(sets, visit),
            Operation::Union => set::union(sets, visit),
            Operation::Difference => set::difference(sets, visit),
        }
    }
}

/// The sets at several keys.
struct Sources<'g> {
    sets: SmallVec<[Option<Set<'g>>; KEYS_INLINE]>,
    /// How much work it is to visit each of them.
    works: SmallVec<[usize; KEYS_INLINE]>,
}

impl<'g> Sources<'g> {
    fn read(db: &Db<'g>, keys: &[&[u8]]) -> Result<Sources<'g>, store::Error> {
        let mut sources = Sources {
            sets: SmallVec::new(),
            works: SmallVec::new(),
        };
        for key in keys {
            let entry = db.read(key);
            let set = Set::of_any(entry)?;
            let work = entry.zip(set);
            let work = work.map_or(0, |(entry, set)| collection::work(entry, set.len()));
            sources.sets.push(set);
            sources.works.push(work);
        }
        Ok(sources)
    }

    /// How much work an operation is.
    fn work(&self, operation: Operation) -> usize {
        let count = self.works.len();
        match operation {
            Operation::Intersection => self.works.iter().min().map_or(0, |work| work * count),
            Operation::Union => self.works.iter().sum(),
            Operation::Difference => self.works.first().map_or(0, |work| work * count),
        }
    }
}

fn reply_with(call: &mut Call<'_>, operation: Operation) -> Result<(), Error> {
    let keys = call.args.rest();
    let sources = call.db.atomic(|db| Sources::read(db, keys))?;
    call.heavy(sources.work(operation))?;
    let mark = call.reply.mark();
    let mut count = 0;
    operation.visit(&sources.sets, |member| {
        call.reply.bulk(&member);
        count += 1;
    });
    call.reply.set_since(mark, count);
    Ok(())
}

fn store_result(call: &mut Call<'_>, operation: Operation) -> Result<(), Error> {
    let destination = call.args.word()?;
    let keys = call.args.rest();
    let limits = call.limits();
    let len = call.db.atomic(|db| {
        let sources = Sources::read(db, keys)?;
        if let Err(offload) = call.heavy(sources.work(operation)) {
            return Ok(Err(offload));
        }
        let mut builder = SetBuilder::new(&limits);
        operation.visit(&sources.sets, |member| builder.add(&member));
        let len = builder.len();
        match builder.finish() {
            Some(value) => db.put(destination, Draft::new(value))?,
            None => {
                db.remove(destination)?;
            }
        }
        Ok(Ok(len))
    })??;
    call.reply.count(len);
    Ok(())
}

/// The set at the next argument.
fn set<'c>(call: &mut Call<'c>) -> Result<Option<Set<'c>>, Error> {
    let key = call.args.word()?;
    Ok(Set::of_any(call.db.read(key))?)
}

/// Edits the set at a key in one step, or in one of a run.
fn edit<R>(
    call: &Call<'_>,
    key: &[u8],
    mut change: impl FnMut(&mut SetEdit<'_>) -> R,
) -> Result<R, Error> {
    if let Some(edits) = call.edits {
        let mut result = None;
        edits.edit_set(key, &mut |edit| {
            result = Some(change(edit));
            Ok(())
        })?;
        return Ok(result.expect("the step was made"));
    }
    let limits = call.limits();
    let result = call.db.update(key, |entry| {
        let mut edit = SetEdit::new(entry, &limits)?;
        let result = change(&mut edit);
        let change: Change<'_> = collection::change(entry, edit.finish());
        Ok((change, result))
    })?;
    Ok(result)
}

/// A number that is not negative.
fn natural(word: &[u8]) -> Option<usize> {
    usize::try_from(parse_integer(word)?).ok()
}
