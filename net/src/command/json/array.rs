//! Arrays that get and lose elements: ARRAPPEND, ARRINSERT, ARRPOP, ARRTRIM.

use json::Document;

use super::document::{Reach, change, reply_edit};
use super::get::{Format, reply_value};
use super::paths::compiled;
use super::set::parse_value;
use super::{
    Args, At, Call, Command, DenyOom, Error, FORMAT_IN_RESP2, NOT_AN_ARRAY, Run, Version,
    WRONG_FORMAT, Write, integer, is_legacy,
};

const FORMAT_OF_LEGACY: Error = Error::Text("Legacy paths are supported only with FORMAT STRINGS");

pub(super) const ARRAPPEND: Command = Command {
    name: "json.arrappend",
    syntax: "key path value [value ...]",
    summary: "Appends values to the arrays that a path means.",
    since: "1.0.0",
    complexity: "O(N) with N the number of values",
    flags: &[Write, DenyOom],
    keys: &[At(1)],
    body: Run(append),
};

pub(super) const ARRINSERT: Command = Command {
    name: "json.arrinsert",
    syntax: "key path index value [value ...]",
    summary: "Inserts values into the arrays that a path means, before an index.",
    since: "1.0.0",
    complexity: "O(N) with N the number of values",
    flags: &[Write, DenyOom],
    keys: &[At(1)],
    body: Run(insert),
};

pub(super) const ARRPOP: Command = Command {
    name: "json.arrpop",
    syntax: "key [FORMAT <STRINGS | EXPAND1 | EXPAND>] [path [index]]",
    summary: "Takes an element out of the arrays that a path means.",
    since: "1.0.0",
    complexity: "O(N) with N the size of the element",
    flags: &[Write],
    keys: &[At(1)],
    body: Run(pop),
};

pub(super) const ARRTRIM: Command = Command {
    name: "json.arrtrim",
    syntax: "key path start stop",
    summary: "Keeps a range of elements of the arrays that a path means.",
    since: "1.0.0",
    complexity: "O(N) with N the size of the array",
    flags: &[Write],
    keys: &[At(1)],
    body: Run(trim),
};

fn append(call: &mut Call<'_>) -> Result<(), Error> {
    let (key, path) = (call.args.word()?, compiled(call.args.word()?));
    let values = values(call)?;
    let edit = change(call, key, &path, Reach::Surface, |document, path| {
        document.append(path, &values)
    })?;
    reply_edit(
        &mut call.reply,
        is_legacy(&path),
        edit,
        NOT_AN_ARRAY,
        |reply, len| {
            reply.count(len);
        },
    )
}

fn insert(call: &mut Call<'_>) -> Result<(), Error> {
    let (key, path) = (call.args.word()?, compiled(call.args.word()?));
    let index = integer(&mut call.args)?;
    let values = values(call)?;
    let edit = change(call, key, &path, Reach::Surface, |document, path| {
        document.insert(path, index, &values)
    })?;
    reply_edit(
        &mut call.reply,
        is_legacy(&path),
        edit,
        NOT_AN_ARRAY,
        |reply, len| {
            reply.count(len);
        },
    )
}

/// The values that are left of the arguments.
fn values(call: &mut Call<'_>) -> Result<Vec<Document>, Error> {
    let texts = call.args.rest();
    let values = texts.iter().map(|text| parse_value(call, text));
    values.collect()
}

fn pop(call: &mut Call<'_>) -> Result<(), Error> {
    let (key, request) = (
        call.args.word()?,
        PopRequest::parse(&mut call.args, call.reply.version())?,
    );
    let PopRequest {
        format,
        path,
        index,
    } = request;
    let path = compiled(path);
    if format != Format::Strings && is_legacy(&path) {
        return Err(FORMAT_OF_LEGACY);
    }
    let edit = change(call, key, &path, Reach::Surface, |document, path| {
        document.pop(path, index)
    })?;
    reply_edit(
        &mut call.reply,
        is_legacy(&path),
        edit,
        NOT_AN_ARRAY,
        |reply, element| match element {
            Some(element) => reply_value(reply, element.root(), format),
            None => reply.null(),
        },
    )
}

/// What a JSON.ARRPOP asks for.
struct PopRequest<'c> {
    format: Format,
    path: &'c [u8],
    index: i64,
}

impl<'c> PopRequest<'c> {
    fn parse(args: &mut Args<'c>, version: Version) -> Result<PopRequest<'c>, Error> {
        let mut format = Format::Strings;
        // The last word cannot say that a format follows: then it is a path.
        if args.len() > 1 && args.option("FORMAT") {
            format = Format::parse(args.word()?)?;
            if format == Format::String {
                return Err(WRONG_FORMAT);
            }
            if version == Version::Resp2 {
                return Err(FORMAT_IN_RESP2);
            }
        }
        let path = args.next().unwrap_or(b".");
        // What is no integer means the last element, too.
        let index = integer(args).unwrap_or(-1);
        Ok(PopRequest {
            format,
            path,
            index,
        })
    }
}

fn trim(call: &mut Call<'_>) -> Result<(), Error> {
    let (key, path) = (call.args.word()?, compiled(call.args.word()?));
    let (start, stop) = (integer(&mut call.args)?, integer(&mut call.args)?);
    let edit = change(call, key, &path, Reach::Whole, |document, path| {
        document.trim(path, start, stop)
    })?;
    reply_edit(
        &mut call.reply,
        is_legacy(&path),
        edit,
        NOT_AN_ARRAY,
        |reply, len| {
            reply.count(len);
        },
    )
}
