//! COMMAND DOCS: what is written about commands, with the tree of their arguments.
//!
//! The tree is read from the syntax in the command's entry, which says all of it but the types.
//! Those follow from the names of the arguments: a name means the same in every command.

use super::dispatch::{self, Entry};
use super::{Call, Command, Error, Reply, module};

pub(super) fn docs(call: &mut Call<'_>) -> Result<(), Error> {
    let entries: Vec<&Entry> = match call.args.is_empty() {
        true => dispatch::entries()
            .iter()
            .filter(|entry| !entry.is_subcommand())
            .collect(),
        false => {
            let names = call.args.rest().iter();
            names.filter_map(|name| dispatch::find_full(name)).collect()
        }
    };
    call.reply.map(entries.len());
    entries
        .iter()
        .for_each(|entry| write_docs(&mut call.reply, entry));
    Ok(())
}

fn write_docs(reply: &mut Reply<'_>, entry: &Entry) {
    let command = entry.command;
    let subcommands = entry.subcommands();
    let arguments = Argument::all(command.syntax);
    reply.bulk(entry.full_name.as_bytes());
    let module = module::of(entry.family);
    let further = [
        module.is_some(),
        !arguments.is_empty(),
        !subcommands.is_empty(),
    ];
    reply.map(4 + further.into_iter().filter(|is_there| *is_there).count());
    for (name, text) in [
        ("summary", command.summary),
        ("since", command.since),
        ("group", module.map_or(entry.family.name, |_| "module")),
        ("complexity", command.complexity),
    ] {
        reply.bulk(name.as_bytes());
        reply.bulk(text.as_bytes());
    }
    if let Some(module) = module {
        reply.bulk(b"module");
        reply.bulk(module.name.as_bytes());
    }
    if !arguments.is_empty() {
        reply.bulk(b"arguments");
        write_arguments(reply, command, &arguments, &mut 0);
    }
    if !subcommands.is_empty() {
        reply.bulk(b"subcommands");
        reply.map(subcommands.len());
        subcommands
            .iter()
            .for_each(|entry| write_docs(reply, entry));
    }
}

/// `keys` counts the keys met so far: each is described by one of the command's key specifications.
fn write_arguments(
    reply: &mut Reply<'_>,
    command: &Command,
    arguments: &[Argument<'_>],
    keys: &mut usize,
) {
    reply.array(arguments.len());
    for argument in arguments {
        let kind = argument.kind(command);
        let key_spec = (kind == "key" && *keys < command.keys.len()).then_some(*keys);
        *keys += usize::from(key_spec.is_some());
        let flags = argument.flags();
        let has_parts = !argument.parts.is_empty();
        let fields = [
            key_spec.is_some(),
            argument.token.is_some(),
            !flags.is_empty(),
            has_parts,
        ];
        reply.map(2 + fields.into_iter().filter(|is_there| *is_there).count());
        reply.bulk(b"name");
        reply.bulk(argument.name.as_bytes());
        reply.bulk(b"type");
        reply.bulk(kind.as_bytes());
        if let Some(key_spec) = key_spec {
            reply.bulk(b"key_spec_index");
            reply.count(key_spec);
        }
        if let Some(token) = argument.token {
            reply.bulk(b"token");
            reply.bulk(token.as_bytes());
        }
        if !flags.is_empty() {
            reply.bulk(b"flags");
            reply.set(flags.len());
            flags.iter().for_each(|flag| reply.simple(flag));
        }
        if has_parts {
            reply.bulk(b"arguments");
            write_arguments(reply, command, &argument.parts, keys);
        }
    }
}

/// One argument, or several that belong together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Argument<'s> {
    name: String,
    /// The word in front of it.
    token: Option<&'s str>,
    /// Whether that word is all of it.
    is_token: bool,
    is_optional: bool,
    is_multiple: bool,
    /// Whether the word in front is repeated, too.
    is_token_multiple: bool,
    /// Whether one of the parts is to be chosen.
    is_choice: bool,
    parts: Vec<Argument<'s>>,
}

impl<'s> Argument<'s> {
    /// The arguments of a syntax.
    fn all(syntax: &'s str) -> Vec<Argument<'s>> {
        sequence(&split(syntax))
    }

    /// Those that stand between brackets: one of several that bars separate.
    fn choice(tokens: &[&'s str]) -> Argument<'s> {
        if let Some(once) = repeated(tokens) {
            let argument = Argument::choice(once);
            return Argument {
                is_multiple: true,
                is_token_multiple: argument.token.is_some(),
                ..argument
            };
        }
        let mut parts: Vec<Argument<'s>> = alternatives(tokens)
            .into_iter()
            .map(|tokens| Argument::block(sequence(tokens)))
            .collect();
        if parts.len() == 1 {
            return parts.remove(0);
        }
        Argument {
            name: joined(&parts, "-or-"),
            is_choice: true,
            parts,
            ..Argument::default()
        }
    }

    fn block(mut parts: Vec<Argument<'s>>) -> Argument<'s> {
        if parts.len() == 1 {
            return parts.remove(0);
        }
        Argument {
            name: joined(&parts, "-"),
            parts,
            ..Argument::default()
        }
    }

    /// What stands behind a word that says what it is.
    fn behind(token: &'s str, parts: Vec<Argument<'s>>) -> Argument<'s> {
        let is_token = parts.is_empty();
        let argument = match is_token {
            true => Argument {
                name: token.to_ascii_lowercase(),
                ..Argument::default()
            },
            false => Argument::block(parts),
        };
        Argument {
            token: Some(token),
            is_token,
            ..argument
        }
    }

    fn kind(&self, command: &Command) -> &'static str {
        const INTEGERS: [&str; 22] = [
            "seconds",
            "milliseconds",
            "increment",
            "decrement",
            "offset",
            "index",
            "index1",
            "index2",
            "db",
            "destination-db",
            "start",
            "end",
            "bit",
            "cursor",
            "numkeys",
            "limit",
            "min-match-len",
            "protover",
            "count",
            "timeout",
            "client-id",
            "version",
        ];
        const KEYS: [&str; 7] = [
            "key",
            "key1",
            "key2",
            "newkey",
            "destkey",
            "source",
            "destination",
        ];
        match self.name.as_str() {
            _ if self.is_token => "pure-token",
            _ if self.is_choice => "oneof",
            _ if !self.parts.is_empty() => "block",
            name if KEYS.contains(&name) && !command.keys.is_empty() => "key",
            "pattern" => "pattern",
            "unix-time-seconds" | "unix-time-milliseconds" => "unix-time",
            "increment" if command.name.ends_with("float") => "double",
            name if INTEGERS.contains(&name) => "integer",
            "value" if matches!(command.name, "setbit" | "bitfield") => "integer",
            _ => "string",
        }
    }

    fn flags(&self) -> Vec<&'static str> {
        [
            ("optional", self.is_optional),
            ("multiple", self.is_multiple),
            ("multiple_token", self.is_token_multiple),
        ]
        .into_iter()
        .filter_map(|(name, is_set)| is_set.then_some(name))
        .collect()
    }
}

fn joined(parts: &[Argument<'_>], between: &str) -> String {
    let names: Vec<&str> = parts.iter().map(|part| part.name.as_str()).collect();
    names.join(between)
}

/// What stands one after the other.
fn sequence<'s>(tokens: &[&'s str]) -> Vec<Argument<'s>> {
    let mut found: Vec<Argument<'s>> = Vec::new();
    // Where each argument found begins.
    let mut starts: Vec<usize> = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let end = group_end(tokens, at);
        let mut start = at;
        let argument = match (tokens[at], tokens.get(at + 1..end).unwrap_or_default()) {
            ("[", [body @ .., "..."]) if tokens[..at].ends_with(body) => {
                start = at - body.len();
                let first = starts
                    .iter()
                    .position(|before| *before == start)
                    .unwrap_or(0);
                starts.truncate(first);
                Argument {
                    is_multiple: true,
                    ..Argument::block(found.split_off(first))
                }
            }
            ("[", [body @ .., "..."]) => Argument {
                is_optional: true,
                is_multiple: true,
                ..Argument::choice(body)
            },
            ("[", inside) => Argument {
                is_optional: true,
                ..Argument::choice(inside)
            },
            ("<", inside) => Argument::choice(inside),
            (token, _) if is_token(token) => {
                found.push(Argument::behind(token, sequence(&tokens[at + 1..])));
                return found;
            }
            (name, _) => Argument {
                name: name.into(),
                ..Argument::default()
            },
        };
        starts.push(start);
        found.push(argument);
        at = end + 1;
    }
    found
}

/// Brackets and bars stand alone; the rest is words.
fn split(syntax: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    for word in syntax.split_ascii_whitespace() {
        let parts = word.split_inclusive(['[', '<']).flat_map(|part| {
            let name = part.trim_end_matches([']', '>', '[', '<']);
            let (name, marks) = part.split_at(name.len());
            let marks = (0..marks.len()).map(move |at| &marks[at..=at]);
            Some(name)
                .filter(|name| !name.is_empty())
                .into_iter()
                .chain(marks)
        });
        tokens.extend(parts);
    }
    tokens
}

/// Where the group that begins at `at` ends; a word is one of its own.
fn group_end(tokens: &[&str], at: usize) -> usize {
    let mut depth = 0;
    for (end, token) in tokens.iter().enumerate().skip(at) {
        match *token {
            "[" | "<" => depth += 1,
            "]" | ">" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return end;
        }
    }
    tokens.len() - 1
}

/// What `tokens` are without the group at their end that repeats all of them, if there is one.
fn repeated<'t, 's>(tokens: &'t [&'s str]) -> Option<&'t [&'s str]> {
    let inside = tokens.strip_suffix(&["...", "]"])?;
    let (once, again) = inside.split_at_checked(inside.len() / 2)?;
    (again.split_first() == Some((&"[", once))).then_some(once)
}

/// The parts between the bars that stand in no inner group.
fn alternatives<'t, 's>(tokens: &'t [&'s str]) -> Vec<&'t [&'s str]> {
    let (mut parts, mut start, mut at) = (Vec::new(), 0, 0);
    while at < tokens.len() {
        if tokens[at] == "|" {
            parts.push(&tokens[start..at]);
            start = at + 1;
        }
        at = group_end(tokens, at) + 1;
    }
    parts.push(&tokens[start..]);
    parts
}

/// Words in capitals are meant literally.
fn is_token(word: &str) -> bool {
    word.starts_with(|first: char| first.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A short notation: `TOKEN:`, `?` optional, `*` multiple, alternatives in angle brackets.
    fn notation(arguments: &[Argument<'_>], between: &str) -> String {
        let one = |argument: &Argument<'_>| {
            let parts = &argument.parts;
            let body = match (argument.is_token, argument.is_choice) {
                (true, _) => String::new(),
                (_, true) => format!("<{}>", notation(parts, "|")),
                _ if parts.is_empty() => argument.name.clone(),
                _ => format!("({})", notation(parts, " ")),
            };
            let token = argument.token.map(|token| format!("{token}:"));
            let optional = if argument.is_optional { "?" } else { "" };
            let multiple = if argument.is_multiple { "*" } else { "" };
            format!("{}{body}{optional}{multiple}", token.unwrap_or_default())
        };
        let texts: Vec<String> = arguments.iter().map(one).collect();
        texts.join(between)
    }

    #[test]
    fn arguments_are_read_from_the_syntax() {
        for (syntax, expected) in [
            ("", ""),
            ("key", "key"),
            ("key [key ...]", "key*"),
            ("[section [section ...]]", "section?*"),
            ("[argument ...]", "argument?*"),
            ("key field value [field value ...]", "key (field value)*"),
            ("key value [NX | XX] [GET]", "key value <NX:|XX:>? GET:?"),
            ("key [EX seconds | PERSIST]", "key <EX:seconds|PERSIST:>?"),
            (
                "numkeys key [key ...] [LIMIT limit]",
                "numkeys key* LIMIT:limit?",
            ),
            (
                "<AND | OR> destkey key [key ...]",
                "<AND:|OR:> destkey key*",
            ),
            (
                "key [start [end [BYTE | BIT]]]",
                "key (start (end <BYTE:|BIT:>?)?)?",
            ),
            (
                "[protover [AUTH username password]]",
                "(protover AUTH:(username password)?)?",
            ),
            (
                "key [GET encoding offset [GET encoding offset ...]]",
                "key GET:(encoding offset)?*",
            ),
            (
                "key [GET offset | [FAIL] <SET value | ADD by> [GET offset | [FAIL] <SET value | ADD by> ...]]",
                "key <GET:offset|(FAIL:? <SET:value|ADD:by>)>?*",
            ),
        ] {
            assert_eq!(notation(&Argument::all(syntax), " "), expected, "{syntax}");
        }
    }
}
