//! Requests that are lines: the text protocol and the meta commands.
//!
//! A [`LineParser`] hands out one request at a time, whose key and value are slices of the
//! buffer. Of a request that is not complete it remembers how many bytes it waits for, so that a
//! value that arrives in small pieces is not looked at again with each. The value of a store that
//! is refused is dropped as it comes in: nothing of it may be taken for a command.

use memchr::memchr;

use super::request::{Key, Refusal, Request, Store, Verb};
use super::words::{Arguments, Words};
use super::write::Form;
use super::{Broken, Limits, meta, swallow, text};

/// A line that is still without an end at this many bytes must be a get.
pub(crate) const LINE_BYTES_MAX: usize = 2048;
/// A get that is still without an end at this many bytes is not waited for.
pub(super) const GET_LINE_BYTES_MAX: usize = 8 << 20;
/// The most blanks before a long get.
const LEADING_BLANKS_MAX: usize = 100;
/// The longest value whose length is believed enough to drop it: what memcached calls a number.
const VALUE_BYTES_MAX: u32 = i32::MAX as u32 - 2;
/// What stands behind a value.
pub(super) const VALUE_END: &[u8] = b"\r\n";
/// A line of fewer bytes, its end included, is none.
const LINE_BYTES_MIN: usize = 4;

/// How far a request was read.
#[derive(Debug, Default)]
pub(super) struct LineParser {
    /// How far the line was searched for its end.
    searched: usize,
    /// What the input must reach before it makes sense to look at it again.
    bytes_needed: usize,
    /// What is still to come of a value nobody wants.
    swallow_bytes: usize,
}

/// A line read.
pub(super) enum Parsed<'b> {
    /// All of the request.
    Whole(Request<'b>),
    /// A store, whose value is still to be taken and has this many bytes.
    Header(Store<'b>, Form<'b>, usize),
    /// All of the request but a value of this many bytes, which nobody wants.
    Unwanted(Request<'b>, usize),
}

impl LineParser {
    /// As [`super::Parser::next`].
    pub(super) fn next<'b>(
        &mut self,
        input: &mut &'b [u8],
        limits: &Limits,
    ) -> Result<Option<Request<'b>>, Broken> {
        swallow(input, &mut self.swallow_bytes);
        if input.len() < self.bytes_needed() {
            return Ok(None);
        }
        let Some(found) = memchr(b'\n', &input[self.searched..]) else {
            self.searched = input.len();
            return check_open_line(input).map(|()| None);
        };
        let line_end = self.searched + found;
        let (line, rest) = (&input[..line_end], &input[line_end + 1..]);
        if let Some(request) = text::plain_get(line) {
            self.is_read(input, rest);
            return Ok(Some(request));
        }
        // Likewise what other reads are: with fewer hands to go through.
        if let Some(words) = line.strip_prefix(b"mg ") {
            self.is_read(input, rest);
            return Ok(Some(meta::get(Words::of(without_return(words)))));
        }
        let (request, consumed) = match parse_line(line) {
            Parsed::Whole(request) => (request, 0),
            Parsed::Unwanted(request, bytes) => {
                self.swallow_bytes = bytes + VALUE_END.len();
                (request, 0)
            }
            Parsed::Header(store, form, bytes) => {
                if !limits.fits(key_bytes_max(store.key), store.client_flags, bytes) {
                    self.swallow_bytes = bytes + VALUE_END.len();
                    (too_large(&store, form), 0)
                } else if rest.len() < bytes + VALUE_END.len() {
                    self.searched = line_end;
                    self.bytes_needed = line_end + 1 + bytes + VALUE_END.len();
                    return Ok(None);
                } else {
                    let request = with_value(store, form, rest, bytes);
                    (request, bytes + VALUE_END.len())
                }
            }
        };
        self.is_read(input, &rest[consumed..]);
        Ok(Some(request))
    }

    /// Goes on behind a request.
    fn is_read<'b>(&mut self, input: &mut &'b [u8], rest: &'b [u8]) {
        *input = rest;
        self.searched = 0;
        self.bytes_needed = 0;
    }

    /// How many bytes the input must have, at least, before a call can find a complete request.
    pub(super) fn bytes_needed(&self) -> usize {
        self.bytes_needed.max(self.searched + 1)
    }
}

/// Whether a line without an end may become a request.
fn check_open_line(line: &[u8]) -> Result<(), Broken> {
    if line.len() <= LINE_BYTES_MAX {
        return Ok(());
    }
    let command = line.trim_ascii_start();
    let is_get = command.starts_with(b"get ") || command.starts_with(b"gets ");
    let blanks = line.len() - command.len();
    if is_get && blanks <= LEADING_BLANKS_MAX && line.len() <= GET_LINE_BYTES_MAX {
        return Ok(());
    }
    Err(Broken)
}

/// The request in a line without the line feed at its end.
fn parse_line(line: &[u8]) -> Parsed<'_> {
    if line.len() + 1 < LINE_BYTES_MIN {
        return refused(Refusal::BadFormat, false);
    }
    let line = without_return(line);
    let command_end = line.iter().position(|byte| *byte == b' ');
    let (command, rest) = line.split_at(command_end.unwrap_or(line.len()));
    let words = Words::of(rest);
    match command {
        b"mg" => Parsed::Whole(meta::get(words)),
        b"ms" => meta::store(words),
        b"md" => Parsed::Whole(meta::delete(words)),
        b"ma" => Parsed::Whole(meta::arithmetic(words)),
        b"me" => Parsed::Whole(meta::debug(words)),
        b"mn" => Parsed::Whole(Request::NOOP),
        _ => text::request(command, words).unwrap_or_else(|| text::other_request(Words::of(line))),
    }
}

/// A line without the carriage return at its end, if there is one.
pub(super) fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// The length of a value that is still to come.
pub(super) fn value_bytes(text: &[u8]) -> Result<usize, Refusal> {
    let bytes = super::words::unsigned_32(text).filter(|bytes| *bytes <= VALUE_BYTES_MAX);
    bytes.map(|bytes| bytes as usize).ok_or(Refusal::BadFormat)
}

/// A line that is no request.
pub(super) fn refused<'b>(refusal: Refusal, noreply: bool) -> Parsed<'b> {
    Parsed::Whole(Request::refused(refusal, Form::Text { noreply }))
}

/// A request that is all in its line.
pub(super) fn whole<'b>(verb: Verb<'b>, arguments: &Arguments<'b>) -> Parsed<'b> {
    Parsed::Whole(Request {
        verb,
        form: Form::Text {
            noreply: arguments.noreply(),
        },
    })
}

/// How long a key may be at most, going by how it came in.
fn key_bytes_max(key: Key<'_>) -> usize {
    match key {
        Key::Plain(bytes) => bytes.len(),
        Key::Base64(text) => text.len() / 4 * 3,
    }
}

fn too_large<'b>(store: &Store<'b>, form: Form<'b>) -> Request<'b> {
    Request {
        verb: Verb::StoreTooLarge {
            key: store.key,
            removes: form.removes_old(store),
        },
        form,
    }
}

fn with_value<'b>(store: Store<'b>, form: Form<'b>, rest: &'b [u8], bytes: usize) -> Request<'b> {
    let (value, behind) = rest.split_at(bytes);
    if behind.starts_with(VALUE_END) {
        let verb = Verb::Store(Store { value, ..store });
        return Request { verb, form };
    }
    let noreply = matches!(form, Form::Text { noreply: true });
    Request::refused(Refusal::BadData, Form::Text { noreply })
}
