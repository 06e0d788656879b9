//! Numbers, booleans and strings that change where they stand: NUMINCRBY, NUMMULTBY, TOGGLE,
//! STRAPPEND.

use json::{Arithmetic, Document, EditError, Number, View, print_number};

use super::document::{Reach, change, reply_edit};
use super::paths::compiled;
use super::{
    At, Call, Command, DenyOom, EXPECTED_STRING, Error, KILOBYTE, Reply, Run, Version, Write,
    is_legacy,
};

const NOT_A_NUMBER: Error = Error::Text("ERR Path does not exist or does not contains a number");
const NOT_A_BOOLEAN: Error = Error::Text("ERR Path does not exist or not a bool");
const NOT_A_STRING: Error = Error::Text("ERR Path does not exist or not a string");
const BAD_NUMBER: Error = Error::Text("bad input number");

pub(super) const NUMINCRBY: Command = Command {
    name: "json.numincrby",
    syntax: "key path value",
    summary: "Adds to the numbers that a path means.",
    since: "1.0.0",
    complexity: "O(1) for a path with one match",
    flags: &[Write],
    keys: &[At(1)],
    body: Run(|call| reckon(call, Arithmetic::Add)),
};

pub(super) const NUMMULTBY: Command = Command {
    name: "json.nummultby",
    syntax: "key path value",
    summary: "Multiplies the numbers that a path means.",
    since: "1.0.0",
    complexity: "O(1) for a path with one match",
    flags: &[Write],
    keys: &[At(1)],
    body: Run(|call| reckon(call, Arithmetic::Multiply)),
};

pub(super) const TOGGLE: Command = Command {
    name: "json.toggle",
    syntax: "key path",
    summary: "Turns the booleans that a path means.",
    since: "2.0.0",
    complexity: "O(1) for a path with one match",
    flags: &[Write],
    keys: &[At(1)],
    body: Run(toggle),
};

pub(super) const STRAPPEND: Command = Command {
    name: "json.strappend",
    syntax: "key [path] value",
    summary: "Appends to the strings that a path means.",
    since: "1.0.0",
    complexity: "O(N) with N the length of the string",
    flags: &[Write, DenyOom],
    keys: &[At(1)],
    body: Run(strappend),
};

/// Numbers are answered as one text in RESP2, and always with an array in RESP3.
fn reckon(call: &mut Call<'_>, operation: Arithmetic) -> Result<(), Error> {
    let (key, path) = (call.args.word()?, call.args.word()?);
    let (path, operand) = (compiled(path), Number::parse(call.args.word()?));
    let number = operand.as_ref().ok().copied().flatten();
    let edit = change(call, key, &path, Reach::Surface, |document, path| {
        document.reckon(path, operation, number)
    })?;
    match (edit.failure, operand) {
        // Only a number that is there asks for the other one.
        (Some(EditError::BadOperand), Err(error)) => {
            return Err(Error::Owned(format!("ERR {error}")));
        }
        (Some(EditError::BadOperand), Ok(_)) => return Err(BAD_NUMBER),
        _ => {}
    }
    let (reply, is_legacy) = (&mut call.reply, is_legacy(&path));
    match (reply.version(), edit.failure) {
        (Version::Resp3, _) => reply_edit(reply, false, edit, NOT_A_NUMBER, reply_number),
        (Version::Resp2, None) if !is_legacy => {
            reply.bulk(&list(&edit.answers));
            Ok(())
        }
        (Version::Resp2, _) => reply_edit(reply, is_legacy, edit, NOT_A_NUMBER, |reply, number| {
            let mut text = Vec::new();
            print_number(number, &mut text);
            reply.bulk(&text);
        }),
    }
}

/// Numbers as a JSON array, with null where there is none.
fn list(numbers: &[Option<Number>]) -> Vec<u8> {
    let mut text = vec![b'['];
    for (index, number) in numbers.iter().enumerate() {
        if index > 0 {
            text.push(b',');
        }
        match number {
            Some(number) => print_number(*number, &mut text),
            None => text.extend_from_slice(b"null"),
        }
    }
    text.push(b']');
    text
}

/// A number as RESP has it: beyond 64 bits with sign, integers are doubles.
pub(super) fn reply_number(reply: &mut Reply<'_>, number: Number) {
    match number {
        Number::Int(value) => reply.integer(value),
        Number::Uint(_) | Number::Float(_) => reply.double(number.to_f64()),
    }
}

fn toggle(call: &mut Call<'_>) -> Result<(), Error> {
    let (key, path) = (call.args.word()?, compiled(call.args.word()?));
    let edit = change(call, key, &path, Reach::Surface, |document, path| {
        document.toggle(path)
    })?;
    let is_legacy = is_legacy(&path);
    reply_edit(
        &mut call.reply,
        is_legacy,
        edit,
        NOT_A_BOOLEAN,
        |reply, value| match (is_legacy, value) {
            (false, value) => reply.flag(value),
            (true, true) => reply.bulk(b"true"),
            (true, false) => reply.bulk(b"false"),
        },
    )
}

fn strappend(call: &mut Call<'_>) -> Result<(), Error> {
    let (key, first) = (call.args.word()?, call.args.word()?);
    let (path, text) = match call.args.next() {
        Some(text) => (first, text),
        None => (&b"."[..], first),
    };
    call.heavy(text.len() / KILOBYTE)?;
    let (path, suffix) = (compiled(path), Document::parse(text));
    let suffix_text = match suffix.as_ref().map(|suffix| suffix.root().view()) {
        Ok(View::String(text)) => Some(text),
        _ => None,
    };
    let edit = change(call, key, &path, Reach::Whole, |document, path| {
        document.append_text(path, suffix_text)
    })?;
    match (edit.failure, &suffix) {
        (Some(EditError::BadOperand), Err(error)) => Err(Error::Owned(format!("ERR {error}"))),
        (Some(EditError::BadOperand), Ok(_)) => Err(EXPECTED_STRING),
        _ => reply_edit(
            &mut call.reply,
            is_legacy(&path),
            edit,
            NOT_A_STRING,
            |reply, len| {
                reply.count(len);
            },
        ),
    }
}
