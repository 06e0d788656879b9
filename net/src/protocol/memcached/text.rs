//! The text protocol: a line of words, and behind some lines a value of known length.
//!
//! A [`Parser`] hands out one request at a time, whose key and value are slices of the buffer.
//! Of a request that is not complete it remembers how many bytes it waits for, so that a value
//! that arrives in small pieces is not looked at again with each. A value that is too long is
//! refused as soon as its line is there, and dropped as it comes in.
//!
//! As in memcached, the number of words decides whether a line is a request at all; words beyond
//! those that a request needs are ignored, but for the last one if it is `noreply`; after an
//! error in the line of a store its value is read as the next line.

use memchr::memchr;

use super::{Arithmetic, Exptime, KEY_BYTES_MAX, Keys, Limits, LineTooLong, Mode, Refusal};
use super::{Request, Stats, Store};

/// A line that is still without an end at this many bytes must be a get.
const LINE_BYTES_MAX: usize = 2048;
/// A get that is still without an end at this many bytes is not waited for.
const GET_LINE_BYTES_MAX: usize = 8 << 20;
/// The most blanks before a long get.
const LEADING_BLANKS_MAX: usize = 100;
/// The longest value whose length is believed enough to drop it: what memcached calls a number.
const SWALLOWED_BYTES_MAX: usize = i32::MAX as usize - 2;
/// What stands behind a value.
pub(super) const VALUE_END: &[u8] = b"\r\n";

/// How far a request was read.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    /// How far the line was searched for its end.
    searched: usize,
    /// What the input must reach before it makes sense to look at it again.
    bytes_needed: usize,
    /// What is still to come of a value nobody wants.
    swallow_bytes: usize,
}

/// A line read.
enum Parsed<'b> {
    /// All of the request.
    Whole(Request<'b>),
    /// A store, whose value is still to be taken and has this many bytes.
    Header(Store<'b>, usize),
}

type Step<'b> = Result<Parsed<'b>, Refused>;

/// A refusal and `noreply`.
struct Refused(Refusal, bool);

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Refused {
        Refused(refusal, false)
    }
}

impl Parser {
    /// Takes the next request from the front of `input`; none if it is not complete.
    ///
    /// Until a request was complete, the next call must get the same bytes again, with more
    /// behind them.
    ///
    /// # Errors
    /// [`LineTooLong`], after which nothing more can be read.
    pub(crate) fn next<'b>(
        &mut self,
        input: &mut &'b [u8],
        limits: &Limits,
    ) -> Result<Option<Request<'b>>, LineTooLong> {
        if self.swallow_bytes > 0 {
            let dropped = self.swallow_bytes.min(input.len());
            *input = &input[dropped..];
            self.swallow_bytes -= dropped;
        }
        if input.len() < self.bytes_needed() {
            return Ok(None);
        }
        let Some(found) = memchr(b'\n', &input[self.searched..]) else {
            self.searched = input.len();
            return check_open_line(input).map(|()| None);
        };
        let line_end = self.searched + found;
        let (line, rest) = (&input[..line_end], &input[line_end + 1..]);
        let (request, consumed) = match parse_line(clean(line)) {
            Ok(Parsed::Whole(request)) => (request, 0),
            Err(Refused(refusal, noreply)) => (Request::Refused { refusal, noreply }, 0),
            Ok(Parsed::Header(store, bytes)) => {
                if !limits.fits(store.key, store.client_flags, bytes) {
                    self.swallow_bytes = bytes + VALUE_END.len();
                    let Store {
                        mode, key, noreply, ..
                    } = store;
                    (Request::StoreTooLarge { mode, key, noreply }, 0)
                } else if rest.len() < bytes + VALUE_END.len() {
                    self.searched = line_end;
                    self.bytes_needed = line_end + 1 + bytes + VALUE_END.len();
                    return Ok(None);
                } else {
                    (with_value(store, rest, bytes), bytes + VALUE_END.len())
                }
            }
        };
        *input = &rest[consumed..];
        self.searched = 0;
        self.bytes_needed = 0;
        Ok(Some(request))
    }

    /// How many bytes the input must have, at least, before a call can find a complete request.
    pub(crate) fn bytes_needed(&self) -> usize {
        self.bytes_needed.max(self.searched + 1)
    }
}

/// Whether a line without an end may become a request.
fn check_open_line(line: &[u8]) -> Result<(), LineTooLong> {
    if line.len() <= LINE_BYTES_MAX {
        return Ok(());
    }
    let command = line.trim_ascii_start();
    let is_get = command.starts_with(b"get ") || command.starts_with(b"gets ");
    let blanks = line.len() - command.len();
    if is_get && blanks <= LEADING_BLANKS_MAX && line.len() <= GET_LINE_BYTES_MAX {
        return Ok(());
    }
    Err(LineTooLong)
}

/// The line without the carriage return at its end; a line ends at a zero byte, too.
fn clean(line: &[u8]) -> &[u8] {
    let line = match line {
        [rest @ .., b'\r'] if !rest.is_empty() => rest,
        _ => line,
    };
    &line[..memchr(0, line).unwrap_or(line.len())]
}

fn with_value<'b>(store: Store<'b>, rest: &'b [u8], bytes: usize) -> Request<'b> {
    let (value, behind) = rest.split_at(bytes);
    if !behind.starts_with(VALUE_END) {
        return Request::Refused {
            refusal: Refusal::BadData,
            noreply: store.noreply,
        };
    }
    Request::Store(Store { value, ..store })
}

/// The words of a line: what blanks separate, nothing else being one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Words<'b> {
    rest: &'b [u8],
}

impl<'b> Words<'b> {
    /// Those of a line.
    pub(super) fn of(line: &'b [u8]) -> Words<'b> {
        Words { rest: line }
    }

    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.rest.iter().all(|byte| *byte == b' ')
    }
}

impl<'b> Iterator for Words<'b> {
    type Item = &'b [u8];

    fn next(&mut self) -> Option<&'b [u8]> {
        let blanks = self.rest.iter().take_while(|byte| **byte == b' ').count();
        let start = &self.rest[blanks..];
        if start.is_empty() {
            self.rest = start;
            return None;
        }
        // Words are short: setting up a vector search costs more than it saves.
        let end = start.iter().position(|byte| *byte == b' ');
        let end = end.unwrap_or(start.len());
        let (word, rest) = start.split_at(end);
        self.rest = rest;
        Some(word)
    }
}

/// The most arguments that decide anything.
const ARGUMENTS_MAX: usize = 8;

/// The arguments of a request that takes few.
struct Arguments<'b> {
    words: [&'b [u8]; ARGUMENTS_MAX],
    count: usize,
}

impl<'b> Arguments<'b> {
    /// Those of a line behind its command, if there are `least` to `most`.
    fn of(words: Words<'b>, least: usize, most: usize) -> Result<Arguments<'b>, Refused> {
        let mut arguments = Arguments {
            words: [&[]; ARGUMENTS_MAX],
            count: 0,
        };
        for word in words {
            if arguments.count == most {
                return Err(Refusal::Unknown.into());
            }
            arguments.words[arguments.count] = word;
            arguments.count += 1;
        }
        match arguments.count < least {
            true => Err(Refusal::Unknown.into()),
            false => Ok(arguments),
        }
    }

    fn at(&self, index: usize) -> &'b [u8] {
        self.words[index]
    }

    /// Whether the last one is `noreply`.
    fn noreply(&self) -> bool {
        self.count > 0 && self.words[self.count - 1] == b"noreply"
    }

    /// The argument at `index` if it can be a key.
    fn key(&self, index: usize) -> Result<&'b [u8], Refused> {
        let key = self.at(index);
        self.check(key.len() <= KEY_BYTES_MAX, Refusal::BadFormat)?;
        Ok(key)
    }

    fn check(&self, holds: bool, refusal: Refusal) -> Result<(), Refused> {
        match holds {
            true => Ok(()),
            false => Err(Refused(refusal, self.noreply())),
        }
    }

    fn number<N: TryFrom<i128>>(&self, index: usize, refusal: Refusal) -> Result<N, Refused> {
        number(self.at(index)).ok_or(Refused(refusal, self.noreply()))
    }
}

/// A decimal number that fits, with a sign if need be.
fn number<N: TryFrom<i128>>(text: &[u8]) -> Option<N> {
    let (digits, is_negative) = match text {
        [b'-', digits @ ..] => (digits, true),
        [b'+', digits @ ..] => (digits, false),
        digits => (digits, false),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let append = |value: u64, digit: &u8| {
        let shifted = value.checked_mul(10)?;
        shifted.checked_add(u64::from(digit - b'0'))
    };
    let value = i128::from(digits.iter().try_fold(0, append)?);
    N::try_from(if is_negative { -value } else { value }).ok()
}

fn parse_line(line: &[u8]) -> Step<'_> {
    let mut words = Words::of(line);
    let Some(command) = words.next() else {
        return Err(Refusal::Unknown.into());
    };
    match command {
        b"get" => get(words, false),
        b"gets" => get(words, true),
        b"set" => store(words, Mode::Set),
        b"add" => store(words, Mode::Add),
        b"replace" => store(words, Mode::Replace),
        b"append" => store(words, Mode::Append),
        b"prepend" => store(words, Mode::Prepend),
        b"cas" => store(words, Mode::CompareAndSwap(0)),
        b"incr" => arithmetic(words, Arithmetic::Increment),
        b"decr" => arithmetic(words, Arithmetic::Decrement),
        b"delete" => delete(words),
        b"touch" => touch(words),
        b"gat" => get_and_touch(words, false),
        b"gats" => get_and_touch(words, true),
        b"flush_all" => flush_all(words),
        b"verbosity" => verbosity(words),
        b"stats" => stats(words),
        b"version" => whole(Request::Version),
        b"quit" => whole(Request::Quit),
        b"shutdown" => Err(Refusal::NoShutdown.into()),
        _ if words.last().is_some_and(|word| word.starts_with(b"HTTP/")) => whole(Request::Quit),
        _ => Err(Refusal::Unknown.into()),
    }
}

fn whole(request: Request<'_>) -> Step<'_> {
    Ok(Parsed::Whole(request))
}

/// Keys up to the end of the line.
fn keys(mut words: Words<'_>) -> Result<Keys<'_>, Refused> {
    let keys = Keys { words };
    // Most lines are shorter than one key may be.
    let is_valid = words.rest.len() <= KEY_BYTES_MAX || words.all(|key| key.len() <= KEY_BYTES_MAX);
    match is_valid {
        true => Ok(keys),
        false => Err(Refusal::BadFormat.into()),
    }
}

fn get(words: Words<'_>, with_tokens: bool) -> Step<'_> {
    let keys = keys(words)?;
    if keys.words.is_empty() {
        return Err(Refusal::Unknown.into());
    }
    whole(Request::Get { keys, with_tokens })
}

fn get_and_touch(mut words: Words<'_>, with_tokens: bool) -> Step<'_> {
    let exptime = words.next().ok_or(Refusal::Unknown)?;
    let exptime = Exptime(number(exptime).ok_or(Refusal::BadExptime)?);
    let keys = keys(words)?;
    whole(Request::GetAndTouch {
        exptime,
        keys,
        with_tokens,
    })
}

fn store(words: Words<'_>, mode: Mode) -> Step<'_> {
    let least = match mode {
        Mode::CompareAndSwap(_) => 5,
        _ => 4,
    };
    let arguments = Arguments::of(words, least, least + 1)?;
    let key = arguments.key(0)?;
    let client_flags = arguments.number(1, Refusal::BadFormat)?;
    let exptime = Exptime(arguments.number(2, Refusal::BadFormat)?);
    let value_bytes: usize = arguments.number(3, Refusal::BadFormat)?;
    let mode = match mode {
        Mode::CompareAndSwap(_) => Mode::CompareAndSwap(arguments.number(4, Refusal::BadFormat)?),
        other => other,
    };
    arguments.check(value_bytes <= SWALLOWED_BYTES_MAX, Refusal::BadFormat)?;
    let store = Store {
        mode,
        key,
        client_flags,
        exptime,
        value: &[],
        noreply: arguments.noreply(),
    };
    Ok(Parsed::Header(store, value_bytes))
}

fn arithmetic(words: Words<'_>, change: fn(u64) -> Arithmetic) -> Step<'_> {
    let arguments = Arguments::of(words, 2, 3)?;
    let key = arguments.key(0)?;
    let change = change(arguments.number(1, Refusal::BadDelta)?);
    let noreply = arguments.noreply();
    whole(Request::Arithmetic {
        key,
        change,
        noreply,
    })
}

fn delete(words: Words<'_>) -> Step<'_> {
    let arguments = Arguments::of(words, 1, 3)?;
    let noreply = arguments.noreply();
    let is_now = arguments.at(1) == b"0";
    let is_valid = match arguments.count {
        1 => true,
        2 => is_now || noreply,
        _ => is_now && noreply,
    };
    arguments.check(is_valid, Refusal::BadDelete)?;
    let key = arguments.key(0)?;
    // A key of this name alone is a key.
    let noreply = noreply && arguments.count > 1;
    whole(Request::Delete { key, noreply })
}

fn touch(words: Words<'_>) -> Step<'_> {
    let arguments = Arguments::of(words, 2, 3)?;
    let key = arguments.key(0)?;
    let exptime = Exptime(arguments.number(1, Refusal::BadExptime)?);
    let noreply = arguments.noreply();
    whole(Request::Touch {
        key,
        exptime,
        noreply,
    })
}

fn flush_all(words: Words<'_>) -> Step<'_> {
    let arguments = Arguments::of(words, 0, 2)?;
    let noreply = arguments.noreply();
    let exptime = match arguments.count - usize::from(noreply) {
        0 => Exptime::NEVER,
        _ => Exptime(arguments.number(0, Refusal::BadExptime)?),
    };
    whole(Request::FlushAll { exptime, noreply })
}

fn verbosity(words: Words<'_>) -> Step<'_> {
    let arguments = Arguments::of(words, 1, 2)?;
    let noreply = arguments.noreply();
    if !(noreply && arguments.count == 1) {
        arguments.number::<u64>(0, Refusal::BadFormat)?;
    }
    whole(Request::Verbosity { noreply })
}

fn stats(mut words: Words<'_>) -> Step<'_> {
    let what = match words.next() {
        None => Stats::General,
        Some(b"settings") => Stats::Settings,
        Some(b"items") => Stats::Items,
        Some(b"slabs") => Stats::Slabs,
        Some(b"sizes") => Stats::Sizes,
        Some(b"reset") => Stats::Reset,
        Some(b"detail") => return Err(Refusal::BadStatsDetail.into()),
        Some(_) => return Err(Refusal::Unknown.into()),
    };
    whole(Request::Stats { what })
}

#[cfg(test)]
mod tests;
