//! COMMAND: what the command table says about commands.

use super::Flag::{Loading, Stale, Unordered};
use super::dispatch::{self, Entry};
use super::docs::docs;
use super::{Body, Call, Command, Error, Family, Flag, Keys, Reply, Use, error, module};
use crate::glob;

pub(super) const FAMILY: Family = Family {
    name: "server",
    commands: &[Command {
        name: "command",
        syntax: "",
        summary: "Describes all commands.",
        since: "2.8.13",
        complexity: "O(N) where N is the number of commands",
        flags: &[Loading, Stale, Unordered],
        keys: &[],
        body: Body::RunOrContainer(all, SUBCOMMANDS),
    }],
};

const fn subcommand(
    name: &'static str,
    syntax: &'static str,
    summary: &'static str,
    since: &'static str,
    run: super::Handler,
) -> Command {
    Command {
        name,
        syntax,
        summary,
        since,
        complexity: "O(N) where N is the number of commands",
        flags: &[Loading, Stale],
        keys: &[],
        body: Body::Run(run),
    }
}

const fn unordered(command: Command) -> Command {
    Command {
        flags: &[Loading, Stale, Unordered],
        ..command
    }
}

const SUBCOMMANDS: &[Command] = &[
    subcommand("count", "", "Counts the commands.", "2.8.13", count),
    unordered(subcommand(
        "docs",
        "[command-name [command-name ...]]",
        "Answers what is written about commands.",
        "7.0.0",
        docs,
    )),
    subcommand(
        "getkeys",
        "command [arg [arg ...]]",
        "Finds the keys in a command's words.",
        "2.8.13",
        getkeys,
    ),
    subcommand(
        "getkeysandflags",
        "command [arg [arg ...]]",
        "Finds the keys in a command's words and says what happens to them.",
        "7.0.0",
        getkeysandflags,
    ),
    subcommand(
        "help",
        "",
        "Explains the subcommands.",
        "5.0.0",
        help_command,
    ),
    unordered(subcommand(
        "info",
        "[command-name [command-name ...]]",
        "Describes commands.",
        "2.8.13",
        info,
    )),
    unordered(subcommand(
        "list",
        "[FILTERBY <MODULE module-name | ACLCAT category | PATTERN pattern>]",
        "Names the commands.",
        "7.0.0",
        list,
    )),
];

/// Explains the subcommands of `container`: each with its arguments, and what it does below.
pub(super) fn help(call: &mut Call<'_>, container: &str) -> Result<(), Error> {
    let subcommands = dispatch::find(container.as_bytes())
        .map(Entry::subcommands)
        .unwrap_or_default();
    let name = container.to_ascii_uppercase();
    call.reply.array(1 + 2 * subcommands.len());
    call.reply.simple(&format!(
        "{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"
    ));
    for entry in subcommands {
        let Command {
            name,
            syntax,
            summary,
            ..
        } = entry.command;
        let line = format!("{} {syntax}", name.to_ascii_uppercase());
        call.reply.simple(line.trim_end());
        call.reply.simple(&format!("    {summary}"));
    }
    Ok(())
}

fn help_command(call: &mut Call<'_>) -> Result<(), Error> {
    help(call, "command")
}

fn commands() -> impl Iterator<Item = &'static Entry> {
    dispatch::entries()
        .iter()
        .filter(|entry| !entry.is_subcommand())
}

fn all(call: &mut Call<'_>) -> Result<(), Error> {
    call.reply.array(commands().count());
    commands().for_each(|entry| write_info(&mut call.reply, entry));
    Ok(())
}

fn count(call: &mut Call<'_>) -> Result<(), Error> {
    call.reply.count(commands().count());
    Ok(())
}

fn info(call: &mut Call<'_>) -> Result<(), Error> {
    if call.args.is_empty() {
        return all(call);
    }
    call.reply.array(call.args.len());
    for name in call.args.rest() {
        match dispatch::find_full(name) {
            Some(entry) => write_info(&mut call.reply, entry),
            None => call.reply.null(),
        }
    }
    Ok(())
}

fn list(call: &mut Call<'_>) -> Result<(), Error> {
    let args = &mut call.args;
    let mut is_wanted: Box<dyn Fn(&Entry) -> bool> = Box::new(|_| true);
    if args.option("filterby") {
        let (by, value) = (args.word()?, args.word()?);
        is_wanted = match by.to_ascii_lowercase().as_slice() {
            b"module" => Box::new(move |entry| {
                let module = module::of(entry.family);
                module.is_some_and(|module| module.name.as_bytes() == value)
            }),
            b"aclcat" => {
                let category = value.to_ascii_lowercase();
                Box::new(move |entry| {
                    let categories = categories(entry);
                    categories.iter().any(|known| known.as_bytes() == category)
                })
            }
            b"pattern" => {
                let pattern = value.to_ascii_lowercase();
                Box::new(move |entry| glob::matches(&pattern, entry.full_name.as_bytes()))
            }
            _ => return Err(error::SYNTAX),
        };
    }
    args.end()?;
    let names: Vec<&str> = dispatch::entries()
        .iter()
        .filter(|entry| is_wanted(entry))
        .map(|entry| entry.full_name.as_str())
        .collect();
    call.reply.array(names.len());
    for name in names {
        call.reply.bulk(name.as_bytes());
    }
    Ok(())
}

fn write_info(reply: &mut Reply<'_>, entry: &Entry) {
    let command = entry.command;
    let (first, last, step) = legacy_range(command);
    reply.array(10);
    reply.bulk(entry.full_name.as_bytes());
    reply.integer(entry.arity());
    let flags = flags(command);
    reply.set(flags.len());
    flags.iter().for_each(|flag| reply.simple(flag));
    reply.integer(first);
    reply.integer(last);
    reply.integer(step);
    let categories = categories(entry);
    reply.set(categories.len());
    for category in categories {
        reply.simple(&format!("@{category}"));
    }
    let tips = command.flags.iter().filter(|flag| flag.is_tip());
    reply.set(tips.clone().count());
    tips.for_each(|tip| reply.bulk(tip.name().as_bytes()));
    reply.set(command.keys.len());
    command
        .keys
        .iter()
        .for_each(|keys| write_key_spec(reply, command, *keys));
    match entry.subcommands().len() {
        0 => reply.set(0),
        count => reply.array(count),
    }
    entry
        .subcommands()
        .iter()
        .for_each(|entry| write_info(reply, entry));
}

fn flags(command: &Command) -> Vec<&'static str> {
    let flags = command.flags.iter().filter(|flag| !flag.is_tip());
    let mut flags: Vec<_> = flags.map(|flag| flag.name()).collect();
    if command.keys.iter().any(|keys| keys.are_counted()) {
        flags.push("movablekeys");
    }
    flags
}

/// The range older clients know: first key, last key, step.
fn legacy_range(command: &Command) -> (i64, i64, i64) {
    fn range(keys: Keys) -> Option<(i64, i64, i64)> {
        match keys {
            Keys::At(at) | Keys::Holder { at, .. } => Some((at as i64, at as i64, 1)),
            Keys::From { first, last, step } => Some((first as i64, last as i64, step as i64)),
            Keys::Counted { .. } => None,
            Keys::For(_, keys) | Keys::By(_, keys) => range(*keys),
        }
    }
    let mut ranges = command.keys.iter().filter_map(|keys| range(*keys));
    let Some((first, mut last, step)) = ranges.next() else {
        return (0, 0, 0);
    };
    for (_, next_last, _) in ranges {
        last = match next_last {
            ..0 => next_last,
            _ => last.max(next_last),
        };
    }
    (first, last, step)
}

/// The lists of commands for access rules a command stands on, as Redis derives them.
fn categories(entry: &Entry) -> Vec<&'static str> {
    let command = entry.command;
    let is_dangerous = command.is(Flag::Admin)
        || matches!(
            entry.full_name.as_str(),
            "flushall" | "flushdb" | "info" | "keys" | "swapdb" | "sort"
        );
    let mut categories: Vec<&'static str> = [
        ("write", command.is(Flag::Write)),
        ("read", command.is(Flag::Readonly)),
        ("admin", command.is(Flag::Admin)),
        ("dangerous", is_dangerous),
        ("pubsub", command.is(Flag::Pubsub)),
        ("fast", command.is(Flag::Fast)),
        ("slow", !command.is(Flag::Fast)),
        ("blocking", command.is(Flag::Blocking)),
    ]
    .into_iter()
    .filter_map(|(name, applies)| applies.then_some(name))
    .collect();
    if matches!(command.body, Body::Container(_)) {
        return categories;
    }
    match entry.family.name {
        _ if entry.full_name.starts_with("command") => categories.push("connection"),
        "generic" => categories.push("keyspace"),
        "server" if command.is(Flag::Write) || entry.full_name == "dbsize" => {
            categories.push("keyspace");
        }
        "server" => {}
        family => categories.push(family),
    }
    categories
}

/// Where keys are looked for, and if their number is not counted there: the last one, seen from
/// the first, and the step between them.
fn place(keys: Keys) -> (usize, Option<(isize, usize)>) {
    match keys {
        Keys::At(at) | Keys::Holder { at, .. } => (at, Some((0, 1))),
        Keys::From { first, last, step } => {
            let last = match last {
                ..0 => last,
                _ => last - first as isize,
            };
            (first, Some((last, step)))
        }
        Keys::Counted { at } => (at, None),
        Keys::For(_, keys) | Keys::By(_, keys) => place(*keys),
    }
}

fn write_key_spec(reply: &mut Reply<'_>, command: &Command, keys: Keys) {
    reply.map(3);
    reply.bulk(b"flags");
    let flags = command.use_of(keys).names();
    reply.set(flags.len());
    flags.iter().for_each(|flag| reply.simple(flag));
    let (index, range) = place(keys);
    reply.bulk(b"begin_search");
    reply.map(2);
    reply.bulk(b"type");
    reply.bulk(b"index");
    reply.bulk(b"spec");
    reply.map(1);
    reply.bulk(b"index");
    reply.count(index);
    reply.bulk(b"find_keys");
    reply.map(2);
    reply.bulk(b"type");
    let (kind, facts): (&str, &[(&str, i64)]) = match range {
        Some((last, step)) => (
            "range",
            &[
                ("lastkey", last as i64),
                ("keystep", step as i64),
                ("limit", 0),
            ],
        ),
        None => (
            "keynum",
            &[("keynumidx", 0), ("firstkey", 1), ("keystep", 1)],
        ),
    };
    reply.bulk(kind.as_bytes());
    reply.bulk(b"spec");
    reply.map(facts.len());
    for (name, value) in facts {
        reply.bulk(name.as_bytes());
        reply.integer(*value);
    }
}

/// What a command does with its keys, and where they stand.
fn keys_of(words: &[&[u8]]) -> Result<Vec<(Use, usize)>, Error> {
    let entry = dispatch::resolve(words).ok_or(Error::Text("ERR Invalid command specified"))?;
    if entry.command.keys.is_empty() {
        return Err(Error::Text("ERR The command has no key arguments"));
    }
    if !entry.accepts(words.len()) {
        return Err(Error::Text(
            "ERR Invalid number of arguments specified for command",
        ));
    }
    let mut places = Vec::new();
    for keys in entry.command.keys {
        let used = entry.command.use_by(*keys, words);
        keys.for_each(words, &mut |at| places.push((used, at)));
    }
    match places.is_empty() {
        true => Err(Error::Text("ERR Invalid arguments specified for command")),
        false => Ok(places),
    }
}

fn getkeys(call: &mut Call<'_>) -> Result<(), Error> {
    let words = call.args.rest();
    let places = keys_of(words)?;
    call.reply.array(places.len());
    for (_, at) in places {
        call.reply.bulk(words[at]);
    }
    Ok(())
}

fn getkeysandflags(call: &mut Call<'_>) -> Result<(), Error> {
    let words = call.args.rest();
    let places = keys_of(words)?;
    call.reply.array(places.len());
    for (used, at) in places {
        let flags = used.names();
        call.reply.array(2);
        call.reply.bulk(words[at]);
        call.reply.set(flags.len());
        flags.iter().for_each(|flag| call.reply.simple(flag));
    }
    Ok(())
}
