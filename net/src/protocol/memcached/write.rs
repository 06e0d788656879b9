//! Replies of the text protocol.

/// A reply of one line, without its end.
pub(crate) type Line = &'static str;

/// Appends replies to an output buffer.
#[derive(Debug)]
pub(crate) struct Writer<'o> {
    out: &'o mut Vec<u8>,
}

impl<'o> Writer<'o> {
    /// Writes behind what `out` holds.
    pub(crate) fn new(out: &'o mut Vec<u8>) -> Writer<'o> {
        Writer { out }
    }

    /// How many bytes the buffer holds.
    pub(crate) fn len(&self) -> usize {
        self.out.len()
    }

    /// A line.
    pub(crate) fn line(&mut self, line: Line) {
        self.out.extend_from_slice(line.as_bytes());
        self.end();
    }

    /// A line, unless the client wants none.
    pub(crate) fn line_unless(&mut self, noreply: bool, line: Line) {
        if !noreply {
            self.line(line);
        }
    }

    /// A line with a number.
    pub(crate) fn number(&mut self, value: u64) {
        self.digits(value);
        self.end();
    }

    /// A value of `value_bytes` bytes with its key, and its token where asked for.
    pub(crate) fn value<'p>(
        &mut self,
        (key, client_flags, token): (&[u8], u32, Option<u64>),
        value_bytes: usize,
        parts: impl Iterator<Item = &'p [u8]>,
    ) {
        self.out.extend_from_slice(b"VALUE ");
        self.out.extend_from_slice(key);
        self.out.push(b' ');
        self.digits(u64::from(client_flags));
        self.out.push(b' ');
        self.digits(value_bytes as u64);
        if let Some(token) = token {
            self.out.push(b' ');
            self.digits(token);
        }
        self.end();
        for part in parts {
            self.out.extend_from_slice(part);
        }
        self.end();
    }

    /// A statistic.
    pub(crate) fn stat(&mut self, name: &str, value: impl std::fmt::Display) {
        let line = format!("STAT {name} {value}\r\n");
        self.out.extend_from_slice(line.as_bytes());
    }

    fn digits(&mut self, value: u64) {
        let mut buffer = itoa::Buffer::new();
        self.out.extend_from_slice(buffer.format(value).as_bytes());
    }

    fn end(&mut self) {
        self.out.extend_from_slice(b"\r\n");
    }
}
