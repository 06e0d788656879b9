//! Replies in frames: a header, and a body whose parts it tells the length of.

use super::super::binary::opcode;
use super::super::request::Refusal;
use super::{BinaryForm, Item, Number, Status};
use crate::protocol::output::Output;

const MAGIC: u8 = 0x81;

/// What became of a request, as the header says it.
#[derive(Clone, Copy)]
enum Code {
    Success = 0x00,
    NotFound = 0x01,
    Exists = 0x02,
    TooLarge = 0x03,
    Invalid = 0x04,
    NotStored = 0x05,
    NotANumber = 0x06,
    AuthFailed = 0x20,
    Unknown = 0x81,
    OutOfMemory = 0x82,
}

/// The lengths of the parts of a body.
#[derive(Clone, Copy, Default)]
struct Lengths {
    extras: usize,
    key: usize,
    value: usize,
}

fn header(out: &mut Vec<u8>, form: &BinaryForm, code: Code, lengths: Lengths, token: u64) {
    let Lengths { extras, key, value } = lengths;
    let body_bytes = (extras + key + value) as u32;
    let mut bytes = [0; 24];
    bytes[0] = MAGIC;
    bytes[1] = form.opcode;
    bytes[2..4].copy_from_slice(&(key as u16).to_be_bytes());
    bytes[4] = extras as u8;
    bytes[6..8].copy_from_slice(&(code as u16).to_be_bytes());
    bytes[8..12].copy_from_slice(&body_bytes.to_be_bytes());
    bytes[12..16].copy_from_slice(&form.opaque.to_be_bytes());
    bytes[16..24].copy_from_slice(&token.to_be_bytes());
    out.extend_from_slice(&bytes);
}

/// What became of a request that asks for no item.
pub(super) fn status(out: &mut Vec<u8>, form: &BinaryForm, status: Status, token: u64) {
    let (code, text) = match status {
        Status::Stored | Status::Deleted | Status::Touched | Status::Ok => {
            if !form.is_quiet {
                header(out, form, Code::Success, Lengths::default(), token);
            }
            return;
        }
        Status::NotStored => match form.opcode {
            opcode::ADD | opcode::ADDQ => EXISTS,
            opcode::REPLACE | opcode::REPLACEQ => NOT_FOUND,
            _ => (Code::NotStored, "Not stored."),
        },
        Status::Exists => EXISTS,
        Status::NotFound => NOT_FOUND,
        Status::NotANumber => (
            Code::NotANumber,
            "Non-numeric server-side value for incr or decr",
        ),
        Status::TooLarge => (Code::TooLarge, "Too large."),
        Status::OutOfMemory => (Code::OutOfMemory, "Out of memory allocating item"),
        Status::AuthFailed | Status::NoShutdown => (Code::AuthFailed, "Auth failure."),
    };
    error(out, form, code, text);
}

const EXISTS: (Code, &str) = (Code::Exists, "Data exists for key.");
const NOT_FOUND: (Code, &str) = (Code::NotFound, "Not found");

fn error(out: &mut Vec<u8>, form: &BinaryForm, code: Code, text: &str) {
    let lengths = Lengths {
        value: text.len(),
        ..Lengths::default()
    };
    header(out, form, code, lengths, 0);
    out.extend_from_slice(text.as_bytes());
}

/// A request that cannot be carried out.
pub(super) fn refused(out: &mut Vec<u8>, form: &BinaryForm, refusal: Refusal) {
    let (code, text) = match refusal {
        Refusal::Unknown | Refusal::BadLengths => (Code::Unknown, "Unknown command"),
        Refusal::UnknownStats | Refusal::BadStatsDetail => NOT_FOUND,
        _ => (Code::Invalid, "Invalid arguments"),
    };
    error(out, form, code, text);
}

/// Success, with something to tell.
pub(super) fn body(out: &mut Vec<u8>, form: &BinaryForm, text: &[u8]) {
    let lengths = Lengths {
        value: text.len(),
        ..Lengths::default()
    };
    header(out, form, Code::Success, lengths, 0);
    out.extend_from_slice(text);
}

/// The item asked for.
pub(super) fn item(
    out: &mut Output,
    form: &BinaryForm,
    item: &Item<'_>,
    append: impl FnOnce(&mut Output),
) {
    let key = if form.with_key { item.key } else { b"" };
    let lengths = Lengths {
        extras: 4,
        key: key.len(),
        value: item.value_bytes,
    };
    header(out, form, Code::Success, lengths, item.token);
    out.extend_from_slice(&item.client_flags.to_be_bytes());
    out.extend_from_slice(key);
    append(out);
}

/// There is no such item.
pub(super) fn miss(out: &mut Vec<u8>, form: &BinaryForm, key: &[u8]) {
    match (form.is_quiet, form.with_key) {
        (true, _) => {}
        (false, false) => error(out, form, NOT_FOUND.0, NOT_FOUND.1),
        (false, true) => {
            let lengths = Lengths {
                key: key.len(),
                ..Lengths::default()
            };
            header(out, form, Code::NotFound, lengths, 0);
            out.extend_from_slice(key);
        }
    }
}

/// The item expires at another time.
pub(super) fn touched(out: &mut Vec<u8>, form: &BinaryForm, client_flags: u32, token: u64) {
    let lengths = Lengths {
        extras: 4,
        ..Lengths::default()
    };
    header(out, form, Code::Success, lengths, token);
    out.extend_from_slice(&client_flags.to_be_bytes());
}

/// The number after a change.
pub(super) fn number(out: &mut Vec<u8>, form: &BinaryForm, number: &Number<'_>) {
    if form.is_quiet {
        return;
    }
    let lengths = Lengths {
        value: 8,
        ..Lengths::default()
    };
    header(out, form, Code::Success, lengths, number.token);
    out.extend_from_slice(&number.value.to_be_bytes());
}

/// A statistic; without a name, the end of them.
pub(super) fn stat(out: &mut Vec<u8>, form: &BinaryForm, name: &[u8], value: &[u8]) {
    let lengths = Lengths {
        extras: 0,
        key: name.len(),
        value: value.len(),
    };
    header(out, form, Code::Success, lengths, 0);
    out.extend_from_slice(name);
    out.extend_from_slice(value);
}
