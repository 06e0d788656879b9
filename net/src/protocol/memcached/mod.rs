//! Memcached's protocols: a request is one [`Request`], whichever of them it came in.
//!
//! There are three forms, on the same port. A connection whose first byte is 0x80 speaks the
//! [`binary`] protocol for as long as it lives. All others send lines, each of which is a
//! request of the [`text`] protocol or a [`meta`] command; the two may be mixed.
//!
//! A [`Request`] is a [`Verb`], which says what is to be done and not how that was said, and a
//! [`Form`], which knows how the answer is to be written: whether success goes unsaid, what the
//! client wants back with it (an opaque, the key, the flags of a meta command), and in which
//! bytes. Whoever carries out requests looks at the verb alone, and calls the method of
//! [`Writer`] that is named after what happened. So tokens, client flags, expiry and staleness
//! are the same in all forms, and a form cannot have semantics of its own.
//!
//! Keys and values are slices of the input; a key in base64 is decoded where it is used.
//!
//! <https://github.com/memcached/memcached/blob/master/doc/protocol.txt>; where it is silent, the
//! replies of memcached 1.6.45 were taken for the rule.

mod base64;
mod binary;
mod line;
pub(crate) mod login;
mod meta;
mod request;
mod text;
mod words;
mod write;

#[cfg(any(test, fuzzing))]
pub(crate) use line::LINE_BYTES_MAX;
pub(crate) use request::{
    Arithmetic, Delete, Delta, Exptime, Get, Key, KeyRoom, List, ListForm, Mode, Refusal, Request,
    Stats, Store, Verb, Vivify,
};
pub(crate) use words::Words;
pub(crate) use write::{Details, Form, Item, Listed, Number, Status, Stored, Writer};

use binary::BinaryParser;
use line::LineParser;

/// What one client may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// The largest item, in bytes, counted as memcached does: see [`Limits::fits`].
    pub(crate) item_bytes_max: usize,
}

/// The longest key, in bytes.
pub(crate) const KEY_BYTES_MAX: usize = 250;

/// What memcached adds to key and value when it compares an item with the limit: its header, the
/// token, the end of the key and the line end behind the value.
const ITEM_OVERHEAD_BYTES: usize = 48 + 8 + 1 + 2;
/// What client flags other than 0 add.
const ITEM_FLAGS_BYTES: usize = 4;

impl Limits {
    /// Whether an item is not too large.
    pub(crate) fn fits(&self, key_bytes: usize, client_flags: u32, value_bytes: usize) -> bool {
        key_bytes + overhead_bytes(client_flags) + value_bytes <= self.item_bytes_max
    }
}

/// What memcached says an item takes beside its key and value.
pub(crate) fn overhead_bytes(client_flags: u32) -> usize {
    match client_flags {
        0 => ITEM_OVERHEAD_BYTES,
        _ => ITEM_OVERHEAD_BYTES + ITEM_FLAGS_BYTES,
    }
}

/// Bytes that can become no request. The connection ends without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broken;

/// Whether a connection that begins with these bytes speaks the binary protocol.
pub(crate) fn is_binary(bytes: &[u8]) -> bool {
    bytes.first() == Some(&binary::MAGIC)
}

/// Drops from the front of `input` what is there of `left` bytes that nobody wants.
fn swallow(input: &mut &[u8], left: &mut usize) {
    let dropped = (*left).min(input.len());
    *input = &input[dropped..];
    *left -= dropped;
}

/// Takes requests from what a client sends.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    /// None until the first byte was seen.
    form: Option<FormParser>,
}

#[derive(Debug)]
enum FormParser {
    Lines(LineParser),
    Binary(BinaryParser),
}

impl Parser {
    /// Takes the next request from the front of `input`; none if it is not complete.
    ///
    /// Until a request was complete, the next call must get the same bytes again, with more
    /// behind them.
    ///
    /// # Errors
    /// [`Broken`], after which nothing more can be read.
    pub(crate) fn next<'b>(
        &mut self,
        input: &mut &'b [u8],
        limits: &Limits,
    ) -> Result<Option<Request<'b>>, Broken> {
        if input.is_empty() {
            return Ok(None);
        }
        let form = self.form.get_or_insert_with(|| match is_binary(input) {
            true => FormParser::Binary(BinaryParser::default()),
            false => FormParser::Lines(LineParser::default()),
        });
        match form {
            FormParser::Lines(lines) => lines.next(input, limits),
            FormParser::Binary(frames) => frames.next(input, limits),
        }
    }

    /// How many bytes the input must have, at least, before a call can find a complete request.
    pub(crate) fn bytes_needed(&self) -> usize {
        match &self.form {
            None => 1,
            Some(FormParser::Lines(lines)) => lines.bytes_needed(),
            Some(FormParser::Binary(frames)) => frames.bytes_needed(),
        }
    }
}

#[cfg(test)]
mod tests;
