//! Requests out of a connection's bytes: arrays of bulks, and inline commands.
//!
//! The words of a request are slices of the buffer. An inline command may have quotes; since its
//! words are never longer than what stands for them, they are unescaped in place, which is why
//! the buffer is lent for writing.
//!
//! A [`Parser`] remembers how far it came in a request that is not complete, so that bytes which
//! arrive in small pieces are looked at once: a value of 500 MB, or a million short words, costs
//! no more in pieces than at once. [`Parser::bytes_needed`] says what to wait for.
//!
//! What is accepted, what is refused and the words of the refusals are Redis's.

use memchr::memchr2;
use smallvec::SmallVec;

/// What one client may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// The longest word, in bytes: `proto-max-bulk-len`.
    pub(crate) bulk_bytes_max: usize,
    /// The most words of a request.
    pub(crate) words_max: usize,
    /// The longest line that is still without an end, in bytes.
    pub(crate) line_bytes_max: usize,
    /// False before AUTH where it is needed: then little is accepted.
    pub(crate) is_authenticated: bool,
}

impl Limits {
    /// Redis's own, but for the number of words: each takes memory beyond its bytes, and who needs
    /// more than four million at once cannot be served at the side of others.
    pub(crate) const DEFAULT: Limits = Limits {
        bulk_bytes_max: 512 << 20,
        words_max: 4 << 20,
        line_bytes_max: 64 << 10,
        is_authenticated: true,
    };
}

/// The most words before AUTH.
const UNAUTHENTICATED_WORDS_MAX: usize = 10;
/// The longest word before AUTH, in bytes.
const UNAUTHENTICATED_BULK_BYTES_MAX: usize = 16 << 10;

/// Room for at most so many words is kept between requests.
const IDLE_WORDS_MAX: usize = 1024;

/// Bytes that are no request. The connection answers and ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProtocolError {
    /// The number after `*` is none, or too large.
    MultibulkLength,
    /// The number after `$` is none, negative or too large.
    BulkLength,
    /// Something else stands where a bulk should begin.
    ExpectedBulk(u8),
    /// The line after `*` does not end.
    MultibulkCountTooBig,
    /// The line after `$` does not end.
    BulkCountTooBig,
    /// An inline command does not end.
    InlineTooBig,
    /// A quote of an inline command is not closed, or text follows the closing one.
    UnbalancedQuotes,
    /// Too many words before AUTH.
    UnauthenticatedMultibulk,
    /// Too long a word before AUTH.
    UnauthenticatedBulk,
    /// What a browser sends, perhaps on behalf of a page that means harm: nothing is answered.
    Http,
}

impl ProtocolError {
    /// Writes the reply, which has no text but bytes: it may quote one that is no character.
    pub(crate) fn write(self, out: &mut Vec<u8>) {
        if self == ProtocolError::Http {
            return;
        }
        out.extend_from_slice(b"-ERR Protocol error: ");
        out.extend_from_slice(match self {
            ProtocolError::MultibulkLength => b"invalid multibulk length",
            ProtocolError::BulkLength => b"invalid bulk length",
            ProtocolError::ExpectedBulk(_) => b"expected '$', got '",
            ProtocolError::MultibulkCountTooBig => b"too big mbulk count string",
            ProtocolError::BulkCountTooBig => b"too big bulk count string",
            ProtocolError::InlineTooBig => b"too big inline request",
            ProtocolError::UnbalancedQuotes => b"unbalanced quotes in request",
            ProtocolError::UnauthenticatedMultibulk => b"unauthenticated multibulk length",
            ProtocolError::UnauthenticatedBulk => b"unauthenticated bulk length",
            ProtocolError::Http => b"",
        });
        if let ProtocolError::ExpectedBulk(got) = self {
            out.push(if matches!(got, b'\r' | b'\n') {
                b' '
            } else {
                got
            });
            out.push(b'\'');
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// Where a word stands, counted from the start of its request.
#[derive(Clone, Copy, Debug)]
struct Span {
    start: usize,
    end: usize,
}

/// How far a request was read.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    /// The words found so far.
    spans: SmallVec<[Span; 8]>,
    /// How many are still to come; 0: the request's first line is not complete.
    words_left: usize,
    /// Where the next line or bulk begins.
    at: usize,
    /// How far the line at `at` was searched for its end.
    searched: usize,
    /// The length of the bulk at `at`; none: its line is not complete.
    bulk_bytes: Option<usize>,
    /// Room for what is read at once.
    short: ShortArray,
}

impl Parser {
    /// Takes the next request from the front of `input` and appends its words to `words`: how
    /// many, never 0, or none if the request is not complete. What is no request but empty is
    /// taken on the way.
    ///
    /// Until a request was complete, the next call must get the same bytes again, with more
    /// behind them.
    ///
    /// # Errors
    /// [`ProtocolError`], after which nothing more can be read.
    pub(crate) fn next<'b>(
        &mut self,
        input: &mut &'b mut [u8],
        limits: &Limits,
        words: &mut Vec<&'b [u8]>,
    ) -> Result<Option<usize>, ProtocolError> {
        if self.is_at_start()
            && let Some((count, bytes)) = self.short.read(input, limits)
        {
            let (request, rest) = std::mem::take(input).split_at_mut(bytes);
            *input = rest;
            let request: &'b [u8] = request;
            let spans = self.short.spans[..count].iter();
            words.extend(spans.map(|&(start, end)| &request[start as usize..end as usize]));
            return Ok(Some(count));
        }
        while input.len() >= self.bytes_needed() {
            let is_array = input[0] == b'*';
            let request_bytes = match is_array {
                true => self.array(input, limits)?,
                false => self.line_end(input, b'\n', limits, ProtocolError::InlineTooBig)?,
            };
            let Some(request_bytes) = request_bytes else {
                break;
            };
            let (request, rest) = std::mem::take(input).split_at_mut(request_bytes);
            *input = rest;
            if !is_array {
                split_inline(request, &mut self.spans)?;
            }
            let request: &'b [u8] = request;
            if !is_array && self.is_http(request) {
                return Err(ProtocolError::Http);
            }
            words.extend(self.spans.iter().map(|span| &request[span.start..span.end]));
            let count = self.spans.len();
            self.reset();
            if count > 0 {
                return Ok(Some(count));
            }
        }
        Ok(None)
    }

    /// How many bytes the input must have, at least, before a call can find a complete request.
    pub(crate) fn bytes_needed(&self) -> usize {
        let bulk_bytes = self.bulk_bytes.map_or(0, |bytes| bytes + 2);
        (self.at + bulk_bytes).max(self.searched + 1)
    }

    /// Whether nothing of the next request was read.
    fn is_at_start(&self) -> bool {
        self.at == 0 && self.searched == 0 && self.words_left == 0
    }

    /// Whether an inline command is the first line of an HTTP request that sends something, or a
    /// line that every HTTP request has.
    fn is_http(&self, line: &[u8]) -> bool {
        self.spans.first().is_some_and(|span| {
            let word = &line[span.start..span.end];
            word.eq_ignore_ascii_case(b"post") || word.eq_ignore_ascii_case(b"host:")
        })
    }

    fn reset(&mut self) {
        if self.spans.capacity() > IDLE_WORDS_MAX {
            self.spans = SmallVec::new();
        }
        self.spans.clear();
        self.words_left = 0;
        self.at = 0;
        self.searched = 0;
        self.bulk_bytes = None;
    }

    /// Reads on in an array; its length in bytes when it is complete.
    fn array(&mut self, input: &[u8], limits: &Limits) -> Result<Option<usize>, ProtocolError> {
        if self.words_left == 0 && !self.word_count(input, limits)? {
            return Ok(None);
        }
        while self.words_left > 0 {
            let Some(bytes) = self.bulk_length(input, limits)? else {
                return Ok(None);
            };
            let span = Span {
                start: self.at,
                end: self.at + bytes,
            };
            if input.len() < span.end + 2 {
                return Ok(None);
            }
            self.spans.push(span);
            self.words_left -= 1;
            self.bulk_bytes = None;
            self.go_to(span.end + 2);
        }
        Ok(Some(self.at))
    }

    /// Reads the first line of an array, if it is complete; whether it is.
    fn word_count(&mut self, input: &[u8], limits: &Limits) -> Result<bool, ProtocolError> {
        let (count, end) = match short_number(input) {
            Some((count, line_bytes)) => (count, line_bytes),
            None => {
                let too_big = ProtocolError::MultibulkCountTooBig;
                let Some(end) = self.line_end(input, b'\r', limits, too_big)? else {
                    return Ok(false);
                };
                let count = integer(&input[1..end - 1]).ok_or(ProtocolError::MultibulkLength)?;
                (usize::try_from(count).unwrap_or(0), end + 1)
            }
        };
        if count > limits.words_max {
            return Err(ProtocolError::MultibulkLength);
        }
        if !limits.is_authenticated && count > UNAUTHENTICATED_WORDS_MAX {
            return Err(ProtocolError::UnauthenticatedMultibulk);
        }
        self.words_left = count;
        self.go_to(end);
        Ok(true)
    }

    /// The length of the bulk whose line or content is next, if the line is complete.
    fn bulk_length(
        &mut self,
        input: &[u8],
        limits: &Limits,
    ) -> Result<Option<usize>, ProtocolError> {
        if self.bulk_bytes.is_some() {
            return Ok(self.bulk_bytes);
        }
        let rest = &input[self.at..];
        let (bytes, end) = match short_number(rest) {
            Some((bytes, line_bytes)) if rest[0] == b'$' => (bytes, self.at + line_bytes),
            _ => {
                let too_big = ProtocolError::BulkCountTooBig;
                let Some(end) = self.line_end(input, b'\r', limits, too_big)? else {
                    return Ok(None);
                };
                let Some((b'$', digits)) = input[self.at..end - 1].split_first() else {
                    return Err(ProtocolError::ExpectedBulk(input[self.at]));
                };
                let bytes = integer(digits).and_then(|bytes| usize::try_from(bytes).ok());
                (bytes.ok_or(ProtocolError::BulkLength)?, end + 1)
            }
        };
        if bytes > limits.bulk_bytes_max {
            return Err(ProtocolError::BulkLength);
        }
        if !limits.is_authenticated && bytes > UNAUTHENTICATED_BULK_BYTES_MAX {
            return Err(ProtocolError::UnauthenticatedBulk);
        }
        self.go_to(end);
        self.bulk_bytes = Some(bytes);
        Ok(self.bulk_bytes)
    }

    /// Where the line at `at` ends: behind its `terminator`. Where that is a carriage return,
    /// one more byte must be there, whatever it is: nobody looks at it. As in Redis, who looks for
    /// the end of a line as C does, none is found behind a zero byte: such a line never ends.
    fn line_end(
        &mut self,
        input: &[u8],
        terminator: u8,
        limits: &Limits,
        too_big: ProtocolError,
    ) -> Result<Option<usize>, ProtocolError> {
        let found = memchr2(terminator, 0, &input[self.searched..]);
        let ends = |found: &usize| input[self.searched + found] == terminator;
        let Some(found) = found.filter(ends) else {
            self.searched = found.map_or(input.len(), |zero| self.searched + zero);
            return match input.len() - self.at > limits.line_bytes_max {
                true => Err(too_big),
                false => Ok(None),
            };
        };
        let end = self.searched + found + 1;
        if terminator == b'\r' && end == input.len() {
            self.searched += found;
            return Ok(None);
        }
        Ok(Some(end))
    }

    fn go_to(&mut self, at: usize) {
        self.at = at;
        self.searched = at;
    }
}

/// Reads a request that is complete, of few words that are not long: nearly all are. It is read at
/// once, without what is needed to go on later.
#[derive(Debug, Default)]
struct ShortArray {
    /// Where the words stand; of an earlier request behind those of the last one read.
    spans: [(u32, u32); ShortArray::WORDS_MAX],
}

impl ShortArray {
    const WORDS_MAX: usize = 16;

    /// The words and bytes of what is at the front of `input`; none if it is something else.
    fn read(&mut self, input: &[u8], limits: &Limits) -> Option<(usize, usize)> {
        let (words, mut at) = short_number(input).filter(|_| input[0] == b'*')?;
        if words == 0 || words > limits.words_max || !limits.is_authenticated {
            return None;
        }
        for span in self.spans.get_mut(..words)? {
            let line = input.get(at..)?;
            let (bytes, line_bytes) = short_number(line).filter(|_| line[0] == b'$')?;
            let start = at + line_bytes;
            let end = start + bytes;
            at = end + 2;
            if at > input.len() || bytes > limits.bulk_bytes_max {
                return None;
            }
            *span = (start as u32, end as u32);
        }
        Some((words, at))
    }
}

/// The number in a line of a mark and one to three digits, which nearly all are, and the length of
/// the line in bytes.
fn short_number(line: &[u8]) -> Option<(usize, usize)> {
    match *line {
        [_, one @ b'0'..=b'9', b'\r', _, ..] => Some((usize::from(one - b'0'), 4)),
        [_, ten @ b'1'..=b'9', one @ b'0'..=b'9', b'\r', _, ..] => {
            Some((10 * usize::from(ten - b'0') + usize::from(one - b'0'), 5))
        }
        [
            _,
            hundred @ b'1'..=b'9',
            ten @ b'0'..=b'9',
            one @ b'0'..=b'9',
            b'\r',
            _,
            ..,
        ] => {
            let tens = 10 * usize::from(hundred - b'0') + usize::from(ten - b'0');
            Some((10 * tens + usize::from(one - b'0'), 6))
        }
        _ => None,
    }
}

/// The integer that `text` is in canonical form: no plus, no leading zeros, no `-0`.
fn integer(text: &[u8]) -> Option<i64> {
    let (digits, is_negative) = match text {
        [b'0'] => return Some(0),
        [b'-', digits @ ..] => (digits, true),
        digits => (digits, false),
    };
    if !matches!(digits.first(), Some(b'1'..=b'9')) {
        return None;
    }
    digits.iter().try_fold(0i64, |value, &byte| {
        let digit = match byte {
            b'0'..=b'9' => i64::from(byte - b'0'),
            _ => return None,
        };
        let shifted = value.checked_mul(10)?;
        match is_negative {
            true => shifted.checked_sub(digit),
            false => shifted.checked_add(digit),
        }
    })
}

/// What a byte of an inline command is part of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Quote {
    None,
    Single,
    Double,
}

/// Splits an inline command into words as Redis's `sdssplitargs` does, unescaping them in place.
fn split_inline(line: &mut [u8], spans: &mut SmallVec<[Span; 8]>) -> Result<(), ProtocolError> {
    let end = line
        .strip_suffix(b"\r\n")
        .or_else(|| line.strip_suffix(b"\n"))
        .map_or(line.len(), <[u8]>::len);
    let line = &mut line[..end];
    let mut read = 0;
    let mut write = 0;
    loop {
        while line.get(read).copied().is_some_and(is_space) {
            read += 1;
        }
        if read == line.len() {
            return Ok(());
        }
        let start = write;
        read = unescape_word(line, read, &mut write)?;
        spans.push(Span { start, end: write });
    }
}

/// Copies the word at `read` down to `write`; returns where the line goes on.
fn unescape_word(
    line: &mut [u8],
    mut read: usize,
    write: &mut usize,
) -> Result<usize, ProtocolError> {
    let mut quote = Quote::None;
    loop {
        let (byte, width) = match (quote, &line[read..]) {
            (Quote::None, []) => return Ok(read),
            (Quote::None, [b' ' | b'\n' | b'\r' | b'\t', ..]) => return Ok(read + 1),
            (Quote::None, [mark @ (b'"' | b'\''), ..]) => {
                quote = match mark {
                    b'"' => Quote::Double,
                    _ => Quote::Single,
                };
                read += 1;
                continue;
            }
            (Quote::Single | Quote::Double, []) => return Err(ProtocolError::UnbalancedQuotes),
            (Quote::Double, [b'"', rest @ ..]) | (Quote::Single, [b'\'', rest @ ..]) => {
                return match rest.first() {
                    Some(&next) if !is_space(next) => Err(ProtocolError::UnbalancedQuotes),
                    _ => Ok(read + 1),
                };
            }
            (Quote::Double, [b'\\', b'x', high, low, ..])
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                (hex_digit(*high) << 4 | hex_digit(*low), 4)
            }
            (Quote::Double, [b'\\', escaped, ..]) => (unescaped(*escaped), 2),
            (Quote::Single, [b'\\', b'\'', ..]) => (b'\'', 2),
            (_, [byte, ..]) => (*byte, 1),
        };
        line[*write] = byte;
        *write += 1;
        read += width;
    }
}

fn unescaped(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    }
}

fn hex_digit(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

/// What C's `isspace` calls a blank.
fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b
}

#[cfg(test)]
mod tests;
