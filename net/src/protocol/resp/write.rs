//! Typed replies in the version a client speaks.

use super::double::push_double;
use crate::protocol::output::Output;

/// The version of the protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Version {
    /// What every client speaks.
    #[default]
    Resp2,
    /// After `HELLO 3`: maps, sets, doubles, booleans and nulls have types of their own.
    Resp3,
}

/// Appends replies to an output buffer.
#[derive(Debug)]
pub(crate) struct Writer<'o> {
    out: &'o mut Output,
    version: Version,
}

/// So many bytes of a bulk string are not its content.
const BULK_FRAME_BYTES: usize = 32;

/// Where the header of an aggregate goes whose length is known later.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark(usize);

impl<'o> Writer<'o> {
    /// Writes behind what `out` holds.
    pub(crate) fn new(out: &'o mut Output, version: Version) -> Writer<'o> {
        Writer { out, version }
    }

    /// The version in use.
    pub(crate) fn version(&self) -> Version {
        self.version
    }

    /// Changes the version from the next reply on: HELLO.
    pub(crate) fn set_version(&mut self, version: Version) {
        self.version = version;
    }

    /// How many bytes the buffer holds.
    pub(crate) fn len(&self) -> usize {
        self.out.len()
    }

    /// `+OK`
    pub(crate) fn ok(&mut self) {
        self.out.extend_from_slice(b"+OK\r\n");
    }

    /// A status without line ends in it.
    pub(crate) fn simple(&mut self, text: &str) {
        self.line(b'+', text.as_bytes());
    }

    /// An error, its code first. Line ends within become blanks.
    pub(crate) fn error(&mut self, text: &[u8]) {
        self.out.push(b'-');
        let clean = text.iter().map(|&byte| match byte {
            b'\r' | b'\n' => b' ',
            other => other,
        });
        self.out.extend(clean);
        self.out.extend_from_slice(b"\r\n");
    }

    /// An integer.
    pub(crate) fn integer(&mut self, value: i64) {
        self.header(b':', value);
    }

    /// A length or count.
    pub(crate) fn count(&mut self, value: usize) {
        self.integer(i64::try_from(value).unwrap_or(i64::MAX));
    }

    /// A yes or no that is 1 or 0 in both versions.
    pub(crate) fn flag(&mut self, value: bool) {
        self.out
            .extend_from_slice(if value { b":1\r\n" } else { b":0\r\n" });
    }

    /// A float: its digits as bytes in RESP2.
    pub(crate) fn double(&mut self, value: f64) {
        let mut digits = Vec::with_capacity(24);
        push_double(value, &mut digits);
        match self.version {
            Version::Resp2 => self.bulk(&digits),
            Version::Resp3 => self.line(b',', &digits),
        }
    }

    /// A yes or no: 1 or 0 in RESP2.
    pub(crate) fn boolean(&mut self, value: bool) {
        match self.version {
            Version::Resp2 => self.flag(value),
            Version::Resp3 => self.out.extend_from_slice(match value {
                true => b"#t\r\n",
                false => b"#f\r\n",
            }),
        }
    }

    /// Bytes.
    #[inline]
    pub(crate) fn bulk(&mut self, bytes: &[u8]) {
        self.out.make_room(bytes.len() + BULK_FRAME_BYTES);
        self.header(b'$', bytes.len() as i64);
        self.out.extend_from_slice(bytes);
        self.out.extend_from_slice(b"\r\n");
    }

    /// Bytes that come in pieces, `len` together.
    pub(crate) fn bulk_parts<'p>(&mut self, len: usize, parts: impl Iterator<Item = &'p [u8]>) {
        self.bulk_with(len, |out| {
            parts.for_each(|part| out.extend_from_slice(part))
        });
    }

    /// Bytes that `append` appends, `len` together.
    pub(crate) fn bulk_with(&mut self, len: usize, append: impl FnOnce(&mut Output)) {
        self.header(b'$', len as i64);
        append(self.out);
        self.out.extend_from_slice(b"\r\n");
    }

    /// The decimal digits of an integer, as bytes.
    pub(crate) fn bulk_integer(&mut self, value: i64) {
        self.bulk(itoa::Buffer::new().format(value).as_bytes());
    }

    /// Bytes, or null.
    pub(crate) fn bulk_or_null(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => self.bulk(bytes),
            None => self.null(),
        }
    }

    /// A text with a three-letter format: INFO and its like.
    pub(crate) fn verbatim(&mut self, format: &str, text: &[u8]) {
        debug_assert_eq!(format.len(), 3);
        match self.version {
            Version::Resp2 => self.bulk(text),
            Version::Resp3 => {
                self.header(b'=', text.len() as i64 + 4);
                self.out.extend_from_slice(format.as_bytes());
                self.out.push(b':');
                self.out.extend_from_slice(text);
                self.out.extend_from_slice(b"\r\n");
            }
        }
    }

    /// The absent value where a bulk was asked for.
    pub(crate) fn null(&mut self) {
        self.out.extend_from_slice(match self.version {
            Version::Resp2 => b"$-1\r\n",
            Version::Resp3 => b"_\r\n",
        });
    }

    /// An array of `len` replies, which follow.
    pub(crate) fn array(&mut self, len: usize) {
        self.header(b'*', len as i64);
    }

    /// A set of `len` replies, which follow; an array in RESP2.
    pub(crate) fn set(&mut self, len: usize) {
        self.header(self.typed(b'~'), len as i64);
    }

    /// A map of `len` pairs, which follow; an array of twice as many in RESP2.
    pub(crate) fn map(&mut self, len: usize) {
        match self.version {
            Version::Resp2 => self.header(b'*', 2 * len as i64),
            Version::Resp3 => self.header(b'%', len as i64),
        }
    }

    /// Leaves room for the header of an aggregate; what follows is counted by the caller.
    pub(crate) fn mark(&mut self) -> Mark {
        Mark(self.out.len())
    }

    /// Says that everything since `mark` is an array of `len` replies.
    pub(crate) fn array_since(&mut self, mark: Mark, len: usize) {
        self.header_at(mark, b'*', len);
    }

    /// Says that everything since `mark` is a set of `len` replies.
    pub(crate) fn set_since(&mut self, mark: Mark, len: usize) {
        self.header_at(mark, self.typed(b'~'), len);
    }

    fn typed(&self, in_resp3: u8) -> u8 {
        match self.version {
            Version::Resp2 => b'*',
            Version::Resp3 => in_resp3,
        }
    }

    fn header_at(&mut self, Mark(at): Mark, kind: u8, len: usize) {
        let mut header = Output::default();
        Writer::new(&mut header, self.version).header(kind, len as i64);
        self.out.insert(at, &header);
    }

    /// Nearly all numbers have few digits: then the line is written at once.
    #[inline]
    fn header(&mut self, kind: u8, value: i64) {
        let digit = |part: i64| b'0' + (part % 10) as u8;
        match value {
            0..10 => self
                .out
                .extend_from_slice(&[kind, digit(value), b'\r', b'\n']),
            10..100 => {
                self.out
                    .extend_from_slice(&[kind, digit(value / 10), digit(value), b'\r', b'\n'])
            }
            _ => self.long_header(kind, value),
        }
    }

    fn long_header(&mut self, kind: u8, value: i64) {
        self.line(kind, itoa::Buffer::new().format(value).as_bytes());
    }

    fn line(&mut self, kind: u8, text: &[u8]) {
        self.out.push(kind);
        self.out.extend_from_slice(text);
        self.out.extend_from_slice(b"\r\n");
    }
}
