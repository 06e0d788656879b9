//! What is at a path, without its text: TYPE, STRLEN, ARRLEN, ARRINDEX, OBJLEN, OBJKEYS, RESP,
//! DEBUG.

use json::{Document, Kind, Value, View};

use super::document::{Reach, read, weigh};
use super::edit::reply_number;
use super::paths::compiled;
use super::{
    At, Call, Command, EXPECTED_STRING, Error, KILOBYTE, NO_SUCH_KEY, NO_SUCH_PATH, NOT_AN_ARRAY,
    NOT_AN_OBJECT, Readonly, Reply, Run, Version, error, integer, optional_path,
};
use crate::command::Body::Container;

const EXPECTED_OBJECT: Error = Error::Text("WRONGTYPE wrong type of path value - expected object");
const EXPECTED_ARRAY: Error = Error::Text("WRONGTYPE wrong type of path value - expected array");

pub(super) const TYPE: Command = Command {
    name: "json.type",
    syntax: "key [path]",
    summary: "Names the type of what a path means.",
    since: "1.0.0",
    complexity: "O(1) for a path with one match",
    flags: &[Readonly],
    keys: &[At(1)],
    body: Run(type_of),
};

pub(super) const STRLEN: Command = Command {
    name: "json.strlen",
    summary: "Tells the length of the string that a path means.",
    body: Run(strlen),
    ..TYPE
};

pub(super) const ARRLEN: Command = Command {
    name: "json.arrlen",
    summary: "Tells the length of the array that a path means.",
    body: Run(arrlen),
    ..TYPE
};

pub(super) const ARRINDEX: Command = Command {
    name: "json.arrindex",
    syntax: "key path value [start [stop]]",
    summary: "Finds the first place of a value in the array that a path means.",
    since: "1.0.0",
    complexity: "O(N) with N the size of the array",
    flags: &[Readonly],
    keys: &[At(1)],
    body: Run(arrindex),
};

pub(super) const OBJLEN: Command = Command {
    name: "json.objlen",
    summary: "Tells how many members the object has that a path means.",
    body: Run(objlen),
    ..TYPE
};

pub(super) const OBJKEYS: Command = Command {
    name: "json.objkeys",
    summary: "Lists the names of the members of the object that a path means.",
    complexity: "O(N) with N the size of the object",
    body: Run(objkeys),
    ..TYPE
};

pub(super) const RESP: Command = Command {
    name: "json.resp",
    summary: "Answers with what a path means as RESP has it.",
    complexity: "O(N) with N the size of the value",
    body: Run(resp),
    ..TYPE
};

pub(super) const DEBUG: Command = Command {
    name: "json.debug",
    syntax: "",
    summary: "A container of commands about documents.",
    since: "1.0.0",
    complexity: "Depends on the subcommand.",
    flags: &[],
    keys: &[],
    body: Container(&[
        Command {
            name: "help",
            syntax: "",
            summary: "Explains the subcommands.",
            since: "1.0.0",
            complexity: "O(1)",
            flags: &[],
            keys: &[],
            body: Run(debug_help),
        },
        Command {
            name: "memory",
            syntax: "key [path]",
            summary: "Tells about how many bytes what a path means takes.",
            since: "1.0.0",
            complexity: "O(1) for a path with one match",
            flags: &[Readonly],
            keys: &[At(2)],
            body: Run(debug_memory),
        },
    ]),
};

/// What to answer where something is missing: an error, or null.
struct Misses {
    /// The key, for a path of JSONPath.
    key: Option<Error>,
    /// The key, for a path of the older syntax.
    key_of_legacy: Option<Error>,
    /// What a path of the older syntax means. Null also answers what is no path then.
    value: Option<Error>,
    /// A value of the right type, at a path of the older syntax.
    wrong_type: Option<Error>,
}

/// Answers what is asked about the values that a path means: about each, or, in the older syntax,
/// about the first. `answer` says nothing and false if a value is of another type.
fn inspect(
    call: &mut Call<'_>,
    (key, path_text): (&[u8], &[u8]),
    reach: Reach,
    misses: Misses,
    mut answer: impl FnMut(&mut Reply<'_>, Value<'_>) -> bool,
) -> Result<(), Error> {
    let path = compiled(path_text);
    let is_legacy = match &path {
        Ok(path) => path.is_legacy(),
        Err(_) => !path_text.starts_with(b"$"),
    };
    let Some(found) = read(call, key)? else {
        return miss(
            call,
            if is_legacy {
                misses.key_of_legacy
            } else {
                misses.key
            },
        );
    };
    let path = match path {
        Ok(path) => path,
        Err(_) if is_legacy && misses.value.is_none() => return miss(call, None),
        Err(error) => return Err(error.into()),
    };
    let document = found.document();
    weigh(call, document, [&*path], reach)?;
    if is_legacy {
        return match path.first(document.root())? {
            None => miss(call, misses.value),
            Some(value) if answer(&mut call.reply, value) => Ok(()),
            Some(_) => miss(call, misses.wrong_type),
        };
    }
    let values = path.find(document.root())?;
    call.reply.array(values.len());
    for value in values {
        if !answer(&mut call.reply, value) {
            call.reply.null();
        }
    }
    Ok(())
}

fn miss(call: &mut Call<'_>, error: Option<Error>) -> Result<(), Error> {
    match error {
        Some(error) => Err(error),
        None => {
            call.reply.null();
            Ok(())
        }
    }
}

/// The key and the path of a command that has nothing else.
fn key_and_path<'c>(call: &mut Call<'c>) -> Result<(&'c [u8], &'c [u8]), Error> {
    Ok((call.args.word()?, optional_path(&mut call.args)))
}

/// In RESP3, the answer stands in an array of its own.
fn type_of(call: &mut Call<'_>) -> Result<(), Error> {
    let place = key_and_path(call)?;
    if call.reply.version() == Version::Resp3 {
        call.reply.array(1);
    }
    let misses = Misses {
        key: None,
        key_of_legacy: None,
        value: None,
        wrong_type: None,
    };
    inspect(call, place, Reach::Surface, misses, |reply, value| {
        reply.bulk(match value.kind() {
            Kind::Null => b"null",
            Kind::Boolean => b"boolean",
            Kind::Integer => b"integer",
            Kind::Float => b"number",
            Kind::String => b"string",
            Kind::Array => b"array",
            Kind::Object => b"object",
        });
        true
    })
}

fn strlen(call: &mut Call<'_>) -> Result<(), Error> {
    let place = key_and_path(call)?;
    let misses = Misses {
        key: Some(NO_SUCH_KEY),
        key_of_legacy: None,
        value: Some(NO_SUCH_PATH),
        wrong_type: Some(EXPECTED_STRING),
    };
    inspect(call, place, Reach::Surface, misses, |reply, value| {
        let View::String(text) = value.view() else {
            return false;
        };
        reply.count(text.len());
        true
    })
}

fn arrlen(call: &mut Call<'_>) -> Result<(), Error> {
    let place = key_and_path(call)?;
    let misses = Misses {
        key: Some(NO_SUCH_KEY),
        key_of_legacy: None,
        value: Some(NO_SUCH_PATH),
        wrong_type: Some(NOT_AN_ARRAY),
    };
    inspect(call, place, Reach::Surface, misses, |reply, value| {
        let View::Array(array) = value.view() else {
            return false;
        };
        reply.count(array.len());
        true
    })
}

fn arrindex(call: &mut Call<'_>) -> Result<(), Error> {
    let place = (call.args.word()?, call.args.word()?);
    let text = call.args.word()?;
    let mut bound = || match call.args.is_empty() {
        true => Ok(0),
        false => integer(&mut call.args),
    };
    let (start, stop) = (bound()?, bound()?);
    if !call.args.is_empty() {
        return Err(error::wrong_arity("json.arrindex"));
    }
    call.heavy(text.len() / KILOBYTE)?;
    // The key's type counts more than the value's text.
    read(call, place.0)?;
    let wanted = Document::parse(text).map_err(|error| Error::Owned(format!("ERR {error}")))?;
    let misses = Misses {
        key: Some(NO_SUCH_PATH),
        key_of_legacy: Some(NO_SUCH_PATH),
        value: Some(NO_SUCH_PATH),
        wrong_type: Some(EXPECTED_ARRAY),
    };
    inspect(call, place, Reach::Whole, misses, |reply, value| {
        let View::Array(array) = value.view() else {
            return false;
        };
        match array.position(wanted.root(), start, stop) {
            Some(at) => reply.count(at),
            None => reply.integer(-1),
        }
        true
    })
}

fn objlen(call: &mut Call<'_>) -> Result<(), Error> {
    let place = key_and_path(call)?;
    let misses = Misses {
        key: Some(NOT_AN_OBJECT),
        key_of_legacy: None,
        value: None,
        wrong_type: Some(EXPECTED_OBJECT),
    };
    inspect(call, place, Reach::Surface, misses, |reply, value| {
        let View::Object(object) = value.view() else {
            return false;
        };
        reply.count(object.len());
        true
    })
}

fn objkeys(call: &mut Call<'_>) -> Result<(), Error> {
    let place = key_and_path(call)?;
    let misses = Misses {
        key: Some(NO_SUCH_KEY),
        key_of_legacy: None,
        value: None,
        wrong_type: Some(NOT_AN_OBJECT),
    };
    inspect(call, place, Reach::Whole, misses, |reply, value| {
        let View::Object(object) = value.view() else {
            return false;
        };
        reply.array(object.len());
        for (name, _) in object.iter() {
            reply.bulk(name.as_bytes());
        }
        true
    })
}

fn resp(call: &mut Call<'_>) -> Result<(), Error> {
    let place = key_and_path(call)?;
    let misses = Misses {
        key: None,
        key_of_legacy: None,
        value: Some(NO_SUCH_PATH),
        wrong_type: None,
    };
    inspect(call, place, Reach::Whole, misses, |reply, value| {
        reply_resp(reply, value);
        true
    })
}

/// Containers are arrays that begin with what they are.
fn reply_resp(reply: &mut Reply<'_>, value: Value<'_>) {
    match value.view() {
        View::Null => reply.null(),
        View::Bool(true) => reply.simple("true"),
        View::Bool(false) => reply.simple("false"),
        View::Number(number) => reply_number(reply, number),
        View::String(text) => reply.bulk(text.as_bytes()),
        View::Array(array) => {
            reply.array(1 + array.len());
            reply.simple("[");
            array.iter().for_each(|element| reply_resp(reply, element));
        }
        View::Object(object) => {
            reply.array(1 + 2 * object.len());
            reply.simple("{");
            for (name, value) in object.iter() {
                reply.bulk(name.as_bytes());
                reply_resp(reply, value);
            }
        }
    }
}

fn debug_help(call: &mut Call<'_>) -> Result<(), Error> {
    call.reply.array(2);
    call.reply
        .bulk(b"MEMORY <key> [path] - reports memory usage");
    call.reply.bulk(b"HELP                - this message");
    Ok(())
}

fn debug_memory(call: &mut Call<'_>) -> Result<(), Error> {
    let place = key_and_path(call)?;
    if read(call, place.0)?.is_none() {
        match place.1.starts_with(b"$") {
            true => call.reply.array(0),
            false => call.reply.integer(0),
        }
        return Ok(());
    }
    let misses = Misses {
        key: None,
        key_of_legacy: None,
        value: Some(NO_SUCH_PATH),
        wrong_type: None,
    };
    inspect(call, place, Reach::Surface, misses, |reply, value| {
        reply.count(value.extent());
        true
    })
}
