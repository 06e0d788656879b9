//! The words of a line, and the numbers among them.

use super::request::Refusal;

/// The words of a line: what blanks separate, nothing else being one.
///
/// The next word is always found already. So the key of a line with one, which is looked at when
/// the line is checked, when it is fetched ahead and when it is read, is searched for once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Words<'b> {
    /// Empty when there is none.
    next: &'b [u8],
    rest: &'b [u8],
}

impl<'b> Words<'b> {
    /// Those of a line.
    pub(crate) fn of(line: &'b [u8]) -> Words<'b> {
        let mut start = line;
        while let [b' ', behind @ ..] = start {
            start = behind;
        }
        let (next, rest) = start.split_at(word_bytes(start));
        Words { next, rest }
    }

    /// Whether there is none.
    pub(crate) fn is_empty(self) -> bool {
        self.next.is_empty()
    }

    /// Those behind the first `count`.
    pub(crate) fn behind(mut self, count: usize) -> Words<'b> {
        self.by_ref().take(count).for_each(drop);
        self
    }

    /// At least as many bytes as any of them has.
    pub(super) fn word_bytes_max(self) -> usize {
        self.next.len().max(self.rest.len())
    }
}

impl<'b> Iterator for Words<'b> {
    type Item = &'b [u8];

    fn next(&mut self) -> Option<&'b [u8]> {
        if self.next.is_empty() {
            return None;
        }
        let next = self.next;
        *self = match self.rest {
            [] => Words::default(),
            rest => Words::of(rest),
        };
        Some(next)
    }
}

/// How many bytes stand before the first blank.
///
/// Words are short: setting up a vector search costs more than it saves.
fn word_bytes(text: &[u8]) -> usize {
    const ONES: u64 = u64::from_le_bytes([0x01; 8]);
    const HIGHS: u64 = u64::from_le_bytes([0x80; 8]);
    const BLANKS: u64 = u64::from_le_bytes([b' '; 8]);
    let (chunks, last) = text.as_chunks::<8>();
    let mut bytes = 0;
    for chunk in chunks {
        let differences = u64::from_le_bytes(*chunk) ^ BLANKS;
        // The lowest bit that is set is that of the first byte without a difference.
        let equals = differences.wrapping_sub(ONES) & !differences & HIGHS;
        if equals != 0 {
            return bytes + equals.trailing_zeros() as usize / 8;
        }
        bytes += chunk.len();
    }
    let end = last.iter().position(|byte| *byte == b' ');
    bytes + end.unwrap_or(last.len())
}

/// What a number is written with, at most: no number that counts needs more.
const DIGITS_MAX: usize = 22;

/// A number without a sign.
pub(super) fn unsigned(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > DIGITS_MAX {
        return None;
    }
    let (sure, others) = text.split_at(text.len().min(SURE_DIGITS));
    let mut value = 0_u64;
    for byte in sure {
        value = value * 10 + digit(*byte)?;
    }
    others.iter().try_fold(value, |value, byte| {
        value.checked_mul(10)?.checked_add(digit(*byte)?)
    })
}

/// So many digits are never more than 64 bits.
const SURE_DIGITS: usize = 19;

fn digit(byte: u8) -> Option<u64> {
    let digit = byte.wrapping_sub(b'0');
    (digit <= 9).then_some(u64::from(digit))
}

/// As [`unsigned`], if it fits into 32 bits.
pub(super) fn unsigned_32(text: &[u8]) -> Option<u32> {
    unsigned(text).and_then(|value| value.try_into().ok())
}

/// A number that may be negative.
pub(super) fn signed(text: &[u8]) -> Option<i64> {
    match text {
        [b'-', digits @ ..] => 0_i64.checked_sub_unsigned(unsigned(digits)?),
        digits => unsigned(digits)?.try_into().ok(),
    }
}

/// As [`signed`], where a plus is a sign, too.
pub(super) fn signed_or_plus(text: &[u8]) -> Option<i64> {
    match text {
        [b'+', rest @ ..] if !rest.starts_with(b"-") => signed(rest),
        _ => signed(text),
    }
}

/// The arguments that decide anything.
const ARGUMENTS_MAX: usize = 5;

/// The arguments of a request that takes few. More than those are ignored, as memcached does.
pub(super) struct Arguments<'b> {
    words: [&'b [u8]; ARGUMENTS_MAX],
    count: usize,
    noreply: bool,
}

impl<'b> Arguments<'b> {
    /// Those of a line behind its command.
    pub(super) fn of(words: Words<'b>) -> Arguments<'b> {
        let mut arguments = Arguments {
            words: [&[]; ARGUMENTS_MAX],
            count: 0,
            noreply: false,
        };
        let mut last: &[u8] = b"";
        for word in words {
            if arguments.count < ARGUMENTS_MAX {
                arguments.words[arguments.count] = word;
            }
            arguments.count += 1;
            last = word;
        }
        arguments.noreply = last == b"noreply";
        arguments
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Whether the last one is `noreply`.
    pub(super) fn noreply(&self) -> bool {
        self.noreply
    }

    /// One of them; empty if there are not so many.
    pub(super) fn at(&self, index: usize) -> &'b [u8] {
        self.words[index]
    }

    /// Refuses the line if there are fewer.
    pub(super) fn at_least(&self, count: usize) -> Result<(), Refusal> {
        match self.count < count {
            true => Err(Refusal::BadFormat),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        for (line, expected) in [
            ("", &[][..]),
            ("  ", &[]),
            ("a", &["a"]),
            (" a  bc ", &["a", "bc"]),
            ("a\tb c", &["a\tb", "c"]),
            ("12345678 1234567", &["12345678", "1234567"]),
            (
                "\x01! \x7f\u{a0}\u{120} 12345678!",
                &["\x01!", "\x7f\u{a0}\u{120}", "12345678!"],
            ),
            ("123456789        a", &["123456789", "a"]),
        ] {
            let words: Vec<_> = Words::of(line.as_bytes()).collect();
            let expected: Vec<_> = expected.iter().map(|word| word.as_bytes()).collect();
            assert_eq!(words, expected, "{line:?}");
        }
    }

    #[test]
    fn numbers() {
        for (text, value) in [
            ("0", Some(0)),
            ("007", Some(7)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("9999999999999999999", Some(9_999_999_999_999_999_999)),
            ("99999999999999999999", None),
            ("0000000000000000000009", Some(9)),
            ("123456789012345678a", None),
            ("1234567890123456789a", None),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("1x", None),
            ("0x1", None),
            ("00000000000000000000001", None),
        ] {
            assert_eq!(unsigned(text.as_bytes()), value, "{text}");
        }
        assert_eq!(unsigned_32(b"4294967295"), Some(u32::MAX));
        assert_eq!(unsigned_32(b"4294967296"), None);
        for (text, value) in [
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("-", None),
            ("+1", None),
            ("--1", None),
        ] {
            assert_eq!(signed(text.as_bytes()), value, "{text}");
        }
        assert_eq!(signed_or_plus(b"+1"), Some(1));
        assert_eq!(signed_or_plus(b"-1"), Some(-1));
        assert_eq!(signed_or_plus(b"+-1"), None);
    }
}
