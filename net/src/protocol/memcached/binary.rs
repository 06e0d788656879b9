//! The binary protocol: frames of a header, extras, a key and a value.
//!
//! ```text
//!  0       1        2           4        5      6          8        12       16      24
//!  +-------+--------+-----------+--------+------+----------+--------+--------+-------+--------
//!  | magic | opcode | key bytes | extras | type | reserved | body   | opaque | token | extras,
//!  | 0x80  |        |           | bytes  |      |          | bytes  |        |       | key, value
//!  +-------+--------+-----------+--------+------+----------+--------+--------+-------+--------
//! ```
//!
//! All numbers are big-endian. The body is what stands behind the header. A token of 0 asks for
//! no comparison. Replies have the same header, with a status in the place of the reserved bytes.

use super::request::{Arithmetic, Delete, Delta, Exptime, Get, Key, Mode, Refusal, Request};
use super::request::{Stats, Store, Verb, Vivify};
use super::words::Words;
use super::write::{BinaryForm, Form};
use super::{Broken, KEY_BYTES_MAX, Limits, swallow};

/// The first byte of every request.
pub(super) const MAGIC: u8 = 0x80;
/// How long the header is, in bytes.
const HEADER_BYTES: usize = 24;
/// A longer body is not waited for, nor dropped.
const BODY_BYTES_MAX: usize = 1 << 30;
/// An expiry that says that a number is not to be created.
const EXPTIME_NOT_CREATED: u32 = u32::MAX;

/// What the second byte says.
pub(crate) mod opcode {
    pub(crate) const GET: u8 = 0x00;
    pub(crate) const SET: u8 = 0x01;
    pub(crate) const ADD: u8 = 0x02;
    pub(crate) const REPLACE: u8 = 0x03;
    pub(crate) const DELETE: u8 = 0x04;
    pub(crate) const INCREMENT: u8 = 0x05;
    pub(crate) const DECREMENT: u8 = 0x06;
    pub(crate) const QUIT: u8 = 0x07;
    pub(crate) const FLUSH: u8 = 0x08;
    pub(crate) const GETQ: u8 = 0x09;
    pub(crate) const NOOP: u8 = 0x0a;
    pub(crate) const VERSION: u8 = 0x0b;
    pub(crate) const GETK: u8 = 0x0c;
    pub(crate) const GETKQ: u8 = 0x0d;
    pub(crate) const APPEND: u8 = 0x0e;
    pub(crate) const PREPEND: u8 = 0x0f;
    pub(crate) const STAT: u8 = 0x10;
    pub(crate) const SETQ: u8 = 0x11;
    pub(crate) const ADDQ: u8 = 0x12;
    pub(crate) const REPLACEQ: u8 = 0x13;
    pub(crate) const DELETEQ: u8 = 0x14;
    pub(crate) const INCREMENTQ: u8 = 0x15;
    pub(crate) const DECREMENTQ: u8 = 0x16;
    pub(crate) const QUITQ: u8 = 0x17;
    pub(crate) const FLUSHQ: u8 = 0x18;
    pub(crate) const APPENDQ: u8 = 0x19;
    pub(crate) const PREPENDQ: u8 = 0x1a;
    pub(crate) const VERBOSITY: u8 = 0x1b;
    pub(crate) const TOUCH: u8 = 0x1c;
    pub(crate) const GAT: u8 = 0x1d;
    pub(crate) const GATQ: u8 = 0x1e;
    pub(crate) const SASL_MECHANISMS: u8 = 0x20;
    pub(crate) const SASL_START: u8 = 0x21;
    pub(crate) const SASL_STEP: u8 = 0x22;
    pub(crate) const GATK: u8 = 0x23;
    pub(crate) const GATKQ: u8 = 0x24;
}

/// How far a request was read.
#[derive(Debug, Default)]
pub(super) struct BinaryParser {
    /// What the input must reach before it makes sense to look at it again.
    bytes_needed: usize,
    /// What is still to come of a body nobody wants.
    swallow_bytes: usize,
}

/// A request's header.
#[derive(Clone, Copy, Debug)]
struct Header {
    opcode: u8,
    key_bytes: usize,
    extras_bytes: usize,
    body_bytes: usize,
    opaque: u32,
    token: u64,
}

impl Header {
    fn of(bytes: &[u8; HEADER_BYTES]) -> Header {
        let half = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        let word = |at: usize| {
            u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        Header {
            opcode: bytes[1],
            key_bytes: usize::from(half(2)),
            extras_bytes: usize::from(bytes[4]),
            body_bytes: word(8) as usize,
            opaque: word(12),
            token: u64::from(word(16)) << 32 | u64::from(word(20)),
        }
    }

    /// How many bytes the value has, if the parts fit into the body.
    fn value_bytes(&self) -> Option<usize> {
        self.body_bytes
            .checked_sub(self.key_bytes + self.extras_bytes)
    }

    fn request<'b>(&self, verb: Verb<'b>) -> Request<'b> {
        let (is_quiet, with_key) = quiet_and_key(self.opcode);
        Request {
            verb,
            form: Form::Binary(BinaryForm {
                opcode: self.opcode,
                opaque: self.opaque,
                is_quiet,
                with_key,
            }),
        }
    }

    /// The token to compare with, if there is one.
    fn compare(&self) -> Option<u64> {
        Some(self.token).filter(|token| *token != 0)
    }
}

/// Whether success goes unsaid, and whether items come with their keys.
fn quiet_and_key(opcode: u8) -> (bool, bool) {
    use opcode::{GATK, GATKQ, GATQ, GETK, GETKQ, GETQ, PREPENDQ, SETQ};
    let is_quiet = matches!(opcode, GETQ | GETKQ | SETQ..=PREPENDQ | GATQ | GATKQ);
    (is_quiet, matches!(opcode, GETK | GETKQ | GATK | GATKQ))
}

impl BinaryParser {
    /// As [`super::Parser::next`].
    pub(super) fn next<'b>(
        &mut self,
        input: &mut &'b [u8],
        limits: &Limits,
    ) -> Result<Option<Request<'b>>, Broken> {
        swallow(input, &mut self.swallow_bytes);
        let Some((bytes, body)) = input.split_first_chunk::<HEADER_BYTES>() else {
            self.bytes_needed = HEADER_BYTES;
            // What can be no header is not waited for.
            return match input.first() {
                None | Some(&MAGIC) => Ok(None),
                Some(_) => Err(Broken),
            };
        };
        if bytes[0] != MAGIC {
            return Err(Broken);
        }
        let header = Header::of(bytes);
        let prefix_bytes = header.key_bytes + header.extras_bytes;
        if body.len() < prefix_bytes {
            self.bytes_needed = HEADER_BYTES + prefix_bytes;
            return Ok(None);
        }
        let (prefix, behind) = body.split_at(prefix_bytes);
        let (extras, key) = prefix.split_at(header.extras_bytes);
        if let Some(get) = plain_get(&header, key) {
            self.bytes_needed = 0;
            *input = behind;
            return Ok(Some(header.request(Verb::Get(get))));
        }
        let (verb, value_bytes) = match self.frame(&header, extras, key, limits) {
            Ok(frame) => frame,
            // Nothing is read beyond what ends the connection.
            Err(refusal) if refusal.is_fatal() => (Verb::Refused(refusal), usize::MAX),
            Err(refusal) => (Verb::Refused(refusal), 0),
        };
        let takes_value = matches!(
            verb,
            Verb::Store(_) | Verb::SaslStart { .. } | Verb::SaslStep
        );
        if takes_value && behind.len() < value_bytes {
            self.bytes_needed = HEADER_BYTES + prefix_bytes + value_bytes;
            return Ok(None);
        }
        self.bytes_needed = 0;
        *input = behind;
        if !takes_value {
            self.swallow_bytes = value_bytes;
            return Ok(Some(header.request(verb)));
        }
        let (value, rest) = behind.split_at(value_bytes);
        *input = rest;
        Ok(Some(header.request(with_value(verb, value))))
    }

    /// How many bytes the input must have, at least, before a call can find a complete request.
    pub(super) fn bytes_needed(&self) -> usize {
        self.bytes_needed.max(1)
    }

    /// What a frame asks for, with the length of its value.
    fn frame<'b>(
        &self,
        header: &Header,
        extras: &'b [u8],
        key: &'b [u8],
        limits: &Limits,
    ) -> Result<(Verb<'b>, usize), Refusal> {
        let value_bytes = header.value_bytes().ok_or(Refusal::BadLengths)?;
        if header.body_bytes > BODY_BYTES_MAX || key.len() > KEY_BYTES_MAX {
            return Err(Refusal::BadParts);
        }
        let verb = verb(header, extras, key, value_bytes)?;
        let too_large = match verb {
            Verb::SaslStart { .. } | Verb::SaslStep if value_bytes > limits.item_bytes_max => {
                return Err(Refusal::BadParts);
            }
            Verb::Store(store) if !limits.fits(key.len(), store.client_flags, value_bytes) => {
                Some(Verb::StoreTooLarge {
                    key: store.key,
                    removes: removes_old(header.opcode),
                })
            }
            _ => None,
        };
        Ok((too_large.unwrap_or(verb), value_bytes))
    }
}

/// Whether an older value must not outlive an item that has no place.
pub(super) fn removes_old(opcode: u8) -> bool {
    matches!(opcode, opcode::SET | opcode::SETQ)
}

/// What most frames ask for, told without a detour; none of any other frame, valid or not.
#[inline]
fn plain_get<'b>(header: &Header, key: &'b [u8]) -> Option<Get<'b>> {
    use opcode::{GET, GETK, GETKQ, GETQ};
    let is_get = matches!(header.opcode, GET | GETQ | GETK | GETKQ);
    let is_valid = header.extras_bytes == 0
        && header.body_bytes == header.key_bytes
        && (1..=KEY_BYTES_MAX).contains(&key.len());
    (is_get && is_valid).then(|| Get::plain(Key::Plain(key)))
}

fn with_value<'b>(verb: Verb<'b>, value: &'b [u8]) -> Verb<'b> {
    match verb {
        Verb::Store(store) => Verb::Store(Store { value, ..store }),
        Verb::SaslStart { mechanism, .. } => Verb::SaslStart {
            mechanism,
            message: value,
        },
        other => other,
    }
}

fn check(holds: bool) -> Result<(), Refusal> {
    match holds {
        true => Ok(()),
        false => Err(Refusal::BadParts),
    }
}

fn verb<'b>(
    header: &Header,
    extras: &'b [u8],
    key: &'b [u8],
    value_bytes: usize,
) -> Result<Verb<'b>, Refusal> {
    use opcode as op;
    match header.opcode {
        op::GET
        | op::GETQ
        | op::GETK
        | op::GETKQ
        | op::GAT
        | op::GATQ
        | op::GATK
        | op::GATKQ
        | op::TOUCH
        | op::SET
        | op::SETQ
        | op::ADD
        | op::ADDQ
        | op::REPLACE
        | op::REPLACEQ
        | op::APPEND
        | op::APPENDQ
        | op::PREPEND
        | op::PREPENDQ
        | op::INCREMENT
        | op::INCREMENTQ
        | op::DECREMENT
        | op::DECREMENTQ
        | op::DELETE
        | op::DELETEQ => {
            check(!key.is_empty())?;
            item_verb(header, extras, key, value_bytes)
        }
        _ => other_verb(header, extras, key, value_bytes),
    }
}

/// What a frame about an item asks for.
fn item_verb<'b>(
    header: &Header,
    extras: &'b [u8],
    key: &'b [u8],
    value_bytes: usize,
) -> Result<Verb<'b>, Refusal> {
    use opcode as op;
    let verb = match header.opcode {
        op::GET | op::GETQ | op::GETK | op::GETKQ => {
            let get = plain_get(header, key).ok_or(Refusal::BadParts)?;
            Verb::Get(get)
        }
        op::GAT | op::GATQ | op::GATK | op::GATKQ => {
            check(extras.len() == 4)?;
            Verb::Get(Get {
                touch: Some(exptime(word(extras, 0))),
                ..Get::plain(Key::Plain(key))
            })
        }
        op::TOUCH => {
            check(extras.len() == 4)?;
            Verb::Touch {
                key: Key::Plain(key),
                exptime: exptime(word(extras, 0)),
            }
        }
        op::APPEND | op::APPENDQ | op::PREPEND | op::PREPENDQ => {
            check(extras.is_empty())?;
            store(header, &[0; 8], key)
        }
        op::INCREMENT | op::INCREMENTQ | op::DECREMENT | op::DECREMENTQ => {
            check(extras.len() == 20 && value_bytes == 0)?;
            arithmetic(header, extras, key)
        }
        op::DELETE | op::DELETEQ => {
            check(extras.is_empty() && value_bytes == 0)?;
            Verb::Delete(Delete {
                compare: header.compare(),
                ..Delete::plain(Key::Plain(key))
            })
        }
        _ => {
            check(extras.len() == 8)?;
            store(header, extras, key)
        }
    };
    Ok(verb)
}

/// What any other frame asks for.
fn other_verb<'b>(
    header: &Header,
    extras: &'b [u8],
    key: &'b [u8],
    value_bytes: usize,
) -> Result<Verb<'b>, Refusal> {
    use opcode as op;
    let is_without_key = key.is_empty() && value_bytes == 0;
    let is_bare = extras.is_empty() && is_without_key;
    let verb = match header.opcode {
        op::FLUSH | op::FLUSHQ => {
            check(is_without_key && matches!(extras.len(), 0 | 4))?;
            let exptime = match extras.is_empty() {
                true => Exptime::NEVER,
                false => exptime(word(extras, 0)),
            };
            Verb::FlushAll { exptime }
        }
        op::STAT => {
            check(extras.is_empty())?;
            let what = Stats::named(Words::of(key))?;
            Verb::Stats { what }
        }
        op::NOOP | op::VERSION | op::QUIT | op::QUITQ | op::SASL_MECHANISMS => {
            check(is_bare)?;
            match header.opcode {
                op::NOOP => Verb::Noop,
                op::VERSION => Verb::Version,
                op::SASL_MECHANISMS => Verb::SaslMechanisms,
                _ => Verb::Quit,
            }
        }
        op::VERBOSITY => {
            check(extras.len() == 4 && is_without_key)?;
            Verb::Verbosity
        }
        op::SASL_START | op::SASL_STEP => {
            check(extras.is_empty() && !key.is_empty())?;
            match header.opcode {
                op::SASL_STEP => Verb::SaslStep,
                _ => Verb::SaslStart {
                    mechanism: key,
                    message: &[],
                },
            }
        }
        _ => Verb::Refused(Refusal::Unknown),
    };
    Ok(verb)
}

fn store<'b>(header: &Header, extras: &[u8], key: &'b [u8]) -> Verb<'b> {
    let mode = match header.opcode {
        opcode::APPEND | opcode::APPENDQ => Mode::Append,
        opcode::PREPEND | opcode::PREPENDQ => Mode::Prepend,
        // What compares needs an item anyway.
        _ if header.token != 0 => Mode::Set,
        opcode::ADD | opcode::ADDQ => Mode::Add,
        opcode::REPLACE | opcode::REPLACEQ => Mode::Replace,
        _ => Mode::Set,
    };
    Verb::Store(Store {
        mode,
        key: Key::Plain(key),
        client_flags: word(extras, 0),
        exptime: exptime(word(extras, 4)),
        value: &[],
        compare: header.compare(),
        accepts_older: false,
        token: None,
        vivifies: false,
    })
}

fn arithmetic<'b>(header: &Header, extras: &[u8], key: &'b [u8]) -> Verb<'b> {
    let long = |at: usize| u64::from(word(extras, at)) << 32 | u64::from(word(extras, at + 4));
    let change = match header.opcode {
        opcode::INCREMENT | opcode::INCREMENTQ => Delta::Increment(long(0)),
        _ => Delta::Decrement(long(0)),
    };
    let initial = match word(extras, 16) {
        EXPTIME_NOT_CREATED => None,
        seconds => Some((
            long(8),
            Vivify {
                exptime: exptime(seconds),
                is_touched: false,
            },
        )),
    };
    Verb::Arithmetic(Arithmetic {
        key: Key::Plain(key),
        change,
        initial,
        touch: None,
        compare: header.compare(),
        token: None,
    })
}

/// The number at `at`, whose bytes were seen to be there.
fn word(extras: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(extras[at..at + 4].try_into().expect("four bytes"))
}

fn exptime(seconds: u32) -> Exptime {
    Exptime(i64::from(seconds))
}

#[cfg(test)]
mod tests;
