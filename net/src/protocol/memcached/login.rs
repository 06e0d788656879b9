//! What a client of the text protocol says before it may say anything else, where a password is
//! needed: memcached's `-Y`.
//!
//! The client sets any key to "user password". Nothing is stored; `STORED` lets it in, `quit` ends
//! the connection, and everything else is refused line by line. As in memcached, flags, expiry and
//! what follows the length are not looked at. All behind the first blank is the password, as
//! memcached 1.6.45 has it (1.6.18 knows none with a blank).

use memchr::memchr;

use super::line::{VALUE_END, without_return};
use super::words::Words;
use super::write::Line;

/// Told when a client is let in.
pub(crate) const STORED: Line = "STORED";
/// Told when it is not.
pub(crate) const FAILURE: Line = "CLIENT_ERROR authentication failure";
const UNAUTHENTICATED: Line = "CLIENT_ERROR unauthenticated";
const BAD_END: Line = "CLIENT_ERROR bad command line termination";
const BAD_FORMAT: Line = "CLIENT_ERROR bad authentication token format";

/// A line that is still without an end at this many bytes is none.
const LINE_BYTES_MAX: usize = 2048;
/// The most bytes of name and password that are waited for.
const CREDENTIALS_BYTES_MAX: usize = 16 << 10;

/// What a client says first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Login<'b> {
    /// Not all of it has arrived: the input must reach so many bytes, at least.
    Incomplete(usize),
    /// Something else, to which this is the reply.
    Refused(Line),
    /// Who it claims to be.
    Credentials { user: &'b [u8], password: &'b [u8] },
    /// quit, or nothing that will ever become a login: the connection is to be closed.
    End,
}

/// Takes the next login from the front of `input`, if it is complete.
pub(crate) fn next<'b>(input: &mut &'b [u8]) -> Login<'b> {
    let Some(line_end) = memchr(b'\n', input) else {
        return match input.len() > LINE_BYTES_MAX {
            true => Login::End,
            false => Login::Incomplete(input.len() + 1),
        };
    };
    let (line, rest) = (&input[..line_end], &input[line_end + 1..]);
    if without_return(line) == b"quit" {
        return Login::End;
    }
    let Some(bytes) = announced(line) else {
        *input = rest;
        return Login::Refused(UNAUTHENTICATED);
    };
    let Some(bytes) = usize::try_from(bytes)
        .ok()
        .filter(|bytes| *bytes <= CREDENTIALS_BYTES_MAX)
    else {
        return Login::End;
    };
    let end = bytes + VALUE_END.len();
    if rest.len() < end {
        return Login::Incomplete(line_end + 1 + end);
    }
    *input = &rest[end..];
    if rest[bytes..end] != *VALUE_END {
        return Login::Refused(BAD_END);
    }
    let credentials = &rest[..bytes];
    match memchr(b' ', credentials) {
        Some(at) => Login::Credentials {
            user: &credentials[..at],
            password: &credentials[at + 1..],
        },
        None => Login::Refused(BAD_FORMAT),
    }
}

/// The length of what a `set` announces.
fn announced(line: &[u8]) -> Option<u64> {
    let mut words = Words::of(until_zero(line));
    let is_set = words.next()? == b"set";
    let bytes = length(words.nth(3)?)?;
    is_set.then_some(bytes)
}

/// The number a word begins with, if nothing stands behind it but white space.
fn length(word: &[u8]) -> Option<u64> {
    let digits = word.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, behind) = word.split_at(digits);
    if !behind.first().is_none_or(u8::is_ascii_whitespace) {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| {
        let shifted = number.checked_mul(10)?;
        shifted.checked_add(u64::from(digit - b'0'))
    })
}

fn until_zero(text: &[u8]) -> &[u8] {
    &text[..memchr(0, text).unwrap_or(text.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is made of `text`, up to what is not complete.
    fn read(text: &str) -> Vec<Login<'_>> {
        let mut rest = text.as_bytes();
        let mut logins = Vec::new();
        loop {
            let login = next(&mut rest);
            logins.push(login);
            if matches!(login, Login::Incomplete(_) | Login::End) {
                return logins;
            }
        }
    }

    #[test]
    fn a_set_tells_who_somebody_is() {
        let joe = Login::Credentials {
            user: b"joe",
            password: b"secret",
        };
        for text in [
            "set auth 0 0 10\r\njoe secret\r\n",
            "set auth 0 0 10\njoe secret\r\n",
            "  set auth x y 10 noreply and more\r\njoe secret\r\n",
        ] {
            assert_eq!(read(text), [joe, Login::Incomplete(1)], "{text:?}");
        }
    }

    #[test]
    fn all_behind_the_first_blank_is_the_password() {
        for (text, user, password) in [
            ("set a 0 0 12\r\njoe se cret \r\n", "joe", "se cret "),
            ("set a 0 0 11\r\n joe secret\r\n", "", "joe secret"),
            ("set a 0 0 13\r\njoe secret\0ab\r\n", "joe", "secret\0ab"),
        ] {
            let (user, password) = (user.as_bytes(), password.as_bytes());
            let login = Login::Credentials { user, password };
            assert_eq!(read(text), [login, Login::Incomplete(1)], "{text:?}");
        }
    }

    #[test]
    fn anything_else_is_refused_line_by_line() {
        for text in [
            "\r\n",
            "get a\r\n",
            "SET k 0 0 1\r\n",
            "add k 0 0 1\r\n",
            "set k 0 0\r\n",
            "set k 0 0 -1\r\n",
            "set k 0 0 1x\r\n",
            "set k 0 0 99999999999999999999\r\n",
        ] {
            let refused = Login::Refused(UNAUTHENTICATED);
            assert_eq!(read(text), [refused, Login::Incomplete(1)], "{text:?}");
        }
        for (text, line) in [
            ("set k 0 0 3\r\njoe\r\n", BAD_FORMAT),
            ("set k 0 0 0\r\n\r\n", BAD_FORMAT),
            ("set k 0 0 \r\n\r\n", BAD_FORMAT),
            ("set k 0 0 10\r\njoe secret\n\n", BAD_END),
        ] {
            let refused = Login::Refused(line);
            assert_eq!(read(text), [refused, Login::Incomplete(1)], "{text:?}");
        }
    }

    #[test]
    fn what_is_not_complete_is_waited_for_within_limits() {
        let text = "set k 0 0 10\r\njoe secret\r\n";
        for end in 0..text.len() {
            let [Login::Incomplete(bytes)] = read(&text[..end])[..] else {
                panic!("{end} bytes are no login");
            };
            assert!((end + 1..=text.len()).contains(&bytes));
        }
        for text in ["quit\r\n", "quit\nget a\r\n"] {
            assert_eq!(read(text), [Login::End]);
        }
        assert_eq!(read(&"x".repeat(2048)), [Login::Incomplete(2049)]);
        assert_eq!(read(&"x".repeat(2049)), [Login::End]);
        assert_eq!(read("set k 0 0 16384\r\n"), [Login::Incomplete(16403)]);
        assert_eq!(read("set k 0 0 16385\r\n"), [Login::End]);
    }
}
