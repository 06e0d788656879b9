//! Replies in lines and words.

use super::{Line, Status, digits};
use crate::protocol::output::Output;

/// What the text protocol calls it.
pub(super) fn of_status(status: Status) -> Line {
    match status {
        Status::Stored => "STORED",
        Status::NotStored => "NOT_STORED",
        Status::Exists => "EXISTS",
        Status::NotFound => "NOT_FOUND",
        Status::Deleted => "DELETED",
        Status::Touched => "TOUCHED",
        Status::Ok => "OK",
        Status::NotANumber => "CLIENT_ERROR cannot increment or decrement non-numeric value",
        Status::TooLarge => "SERVER_ERROR object too large for cache",
        Status::OutOfMemory => "SERVER_ERROR out of memory storing object",
        Status::NoShutdown => "SERVER_ERROR: shutdown not enabled",
        Status::AuthFailed => "CLIENT_ERROR authentication failure",
    }
}

pub(super) fn line(out: &mut Vec<u8>, line: Line) {
    out.extend_from_slice(line.as_bytes());
    end(out);
}

pub(super) fn number(out: &mut Vec<u8>, value: u64) {
    digits(out, value);
    end(out);
}

/// A value of `value_bytes` bytes with its key, and its token where asked for.
pub(super) fn value(
    out: &mut Output,
    (key, client_flags, token): (&[u8], u32, Option<u64>),
    value_bytes: usize,
    append: impl FnOnce(&mut Output),
) {
    out.extend_from_slice(b"VALUE ");
    out.extend_from_slice(key);
    match client_flags {
        0 => out.extend_from_slice(b" 0 "),
        flags => {
            out.push(b' ');
            digits(out, u64::from(flags));
            out.push(b' ');
        }
    }
    digits(out, value_bytes as u64);
    if let Some(token) = token {
        out.push(b' ');
        digits(out, token);
    }
    end(out);
    append(out);
    end(out);
}

pub(super) fn end(out: &mut Vec<u8>) {
    out.extend_from_slice(b"\r\n");
}
