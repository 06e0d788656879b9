//! The parser against examples, and against itself under every way of cutting the bytes.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::fuzzing::resp_in_pieces as in_pieces;

type Request = Vec<Vec<u8>>;

fn at_once(bytes: &[u8]) -> (Vec<Request>, Option<ProtocolError>) {
    in_pieces([bytes], &Limits::DEFAULT)
}

fn check(bytes: &[u8], expected: &[&[&[u8]]]) {
    let (found, error) = at_once(bytes);
    let text = bytes.escape_ascii();
    assert_eq!(error, None, "{text}");
    assert_eq!(found, expected, "{text}");
}

fn check_error(bytes: &[u8], expected: &str) {
    let (found, error) = at_once(bytes);
    let text = bytes.escape_ascii();
    assert_eq!(found, Vec::<Request>::new(), "{text}");
    let mut reply = Vec::new();
    error.expect("an error").write(&mut reply);
    let expected = format!("-ERR Protocol error: {expected}\r\n");
    assert_eq!(String::from_utf8_lossy(&reply), expected, "{text}");
}

#[test]
fn arrays() {
    check(b"*1\r\n$4\r\nPING\r\n", &[&[b"PING"]]);
    check(
        b"*2\r\n$3\r\nGET\r\n$0\r\n\r\n*1\r\n$1\r\n\n\r\n",
        &[&[b"GET", b""], &[b"\n"]],
    );
    check(b"*0\r\n*-1\r\n*-5\r\n*1\r\n$1\r\nx\r\n", &[&[b"x"]]);
    check(b"*1\r\n$4\r\nPIN", &[]);
    check(b"*1\r", &[]);
    // Redis looks at no byte behind a carriage return, and at none of the two behind a bulk.
    check(b"*1\rX$1\rYaZZ", &[&[b"a"]]);
}

#[test]
fn broken_arrays() {
    for count in [
        "",
        "x",
        "01",
        "+1",
        "1 ",
        "-0",
        "2147483648",
        "99999999999999999999",
    ] {
        let bytes = format!("*{count}\r\n");
        check_error(bytes.as_bytes(), "invalid multibulk length");
    }
    for length in ["", "x", "-1", "01", "536870913", "99999999999999999999"] {
        let bytes = format!("*1\r\n${length}\r\n");
        check_error(bytes.as_bytes(), "invalid bulk length");
    }
    check_error(b"*1\r\nPING\r\n", "expected '$', got 'P'");
    check_error(b"*1\r\n\r\n", "expected '$', got ' '");
    let endless = [b"*".to_vec(), vec![b'1'; 64 << 10]].concat();
    check_error(&endless, "too big mbulk count string");
    let endless = [b"*1\r\n$".to_vec(), vec![b'1'; 64 << 10]].concat();
    check_error(&endless, "too big bulk count string");
    check_error(&vec![b'a'; (64 << 10) + 1], "too big inline request");
}

#[test]
fn a_byte_that_is_no_character_is_quoted_as_it_is() {
    let mut reply = Vec::new();
    ProtocolError::ExpectedBulk(0xff).write(&mut reply);
    assert_eq!(reply, b"-ERR Protocol error: expected '$', got '\xff'\r\n");
}

#[test]
fn inline_commands() {
    check(b"PING\r\n", &[&[b"PING"]]);
    check(b"\r\n\n   \r\n GET  key\tx \n", &[&[b"GET", b"key", b"x"]]);
    check(
        b"SET k \"a \\\"b\\n\\x41\\q\"\n",
        &[&[b"SET", b"k", b"a \"b\nAq"]],
    );
    check(
        b"SET k 'a \\'b\\n' \"\" ''\r\n",
        &[&[b"SET", b"k", b"a 'b\\n", b"", b""]],
    );
    check(b"foo\"bar\" x'y z'\n", &[&[b"foobar", b"xy z"]]);
    check(b"a\x0bb\x0b \x0cc\n", &[&[b"a\x0bb\x0b", b"c"]]);
    check(b"\"\\xZZ\\\\\"\n", &[&[b"xZZ\\"]]);
    for line in ["\"a\n", "'a\n", "\"a\"b\n", "'a'b\n", "\"a\\\"\n"] {
        check_error(line.as_bytes(), "unbalanced quotes in request");
    }
}

#[test]
fn a_line_with_a_zero_byte_never_ends() {
    check(b"e\na b\0c d\r\ne\n", &[&[b"e"]]);
    check(b"*1\0\r\n$1\r\na\r\n", &[]);
    check(b"*1\r\n$1\r\n\0\r\ne\n", &[&[b"\0"], &[b"e"]]);
    for (start, error) in [
        (&b"PING\0\r\n"[..], "too big inline request"),
        (b"*1\0\r\n", "too big mbulk count string"),
        (b"*1\r\n$100\0\r\n", "too big bulk count string"),
    ] {
        check_error(&[start, &vec![b'a'; 64 << 10]].concat(), error);
    }
}

#[test]
fn a_browser_gets_no_answer() {
    for line in ["POST / HTTP/1.1\r\n", "host: here\r\n"] {
        let (found, error) = at_once(line.as_bytes());
        assert_eq!((found, error), (Vec::new(), Some(ProtocolError::Http)));
    }
    let mut reply = Vec::new();
    ProtocolError::Http.write(&mut reply);
    assert!(reply.is_empty());
}

#[test]
fn little_is_accepted_before_authentication() {
    let limits = Limits {
        is_authenticated: false,
        ..Limits::DEFAULT
    };
    let error = |bytes: &[u8]| in_pieces([bytes], &limits).1;
    assert_eq!(error(b"*10\r\n$16384\r\n"), None);
    assert_eq!(
        error(b"*11\r\n"),
        Some(ProtocolError::UnauthenticatedMultibulk)
    );
    assert_eq!(
        error(b"*1\r\n$16385\r\n"),
        Some(ProtocolError::UnauthenticatedBulk)
    );
}

#[test]
fn a_parser_says_what_it_waits_for() {
    let mut parser = Parser::default();
    let mut bytes = b"*1\r\n$1000\r\nab".to_vec();
    let mut rest = &mut bytes[..];
    let mut words = Vec::new();
    let step = parser.next(&mut rest, &Limits::DEFAULT, &mut words);
    assert_eq!(step, Ok(None));
    assert_eq!(parser.bytes_needed(), 4 + 7 + 1000 + 2);
}

/// Bytes that are often nearly a request.
fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    let token = prop_oneof![
        Just(b"*".to_vec()),
        Just(b"$".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"\n".to_vec()),
        Just(b"\"".to_vec()),
        Just(b"'".to_vec()),
        Just(b"\\".to_vec()),
        Just(b"\\x4".to_vec()),
        Just(b" ".to_vec()),
        Just(b"*1\r\n".to_vec()),
        Just(b"$1\r\n".to_vec()),
        (0u32..20).prop_map(|number| number.to_string().into_bytes()),
        vec(any::<u8>(), 0..4),
    ];
    vec(token, 0..30).prop_map(|tokens| tokens.concat())
}

fn cut<'b>(bytes: &'b [u8], cuts: &[prop::sample::Index]) -> Vec<&'b [u8]> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    ends.push(bytes.len());
    ends.sort_unstable();
    let starts = std::iter::once(0).chain(ends.iter().copied());
    starts
        .zip(&ends)
        .map(|(start, &end)| &bytes[start..end])
        .collect()
}

proptest! {
    #[test]
    fn any_cut_gives_the_same(
        bytes in any_bytes(),
        cuts in vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let whole = at_once(&bytes);
        prop_assert_eq!(&in_pieces(cut(&bytes, &cuts), &Limits::DEFAULT), &whole);
        prop_assert_eq!(&in_pieces(bytes.chunks(1), &Limits::DEFAULT), &whole);
    }

    #[test]
    fn what_is_written_is_read(requests in vec(vec(vec(any::<u8>(), 0..40), 1..12), 0..6)) {
        let mut bytes = Vec::new();
        for words in &requests {
            bytes.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
            for word in words {
                bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
                bytes.extend_from_slice(word);
                bytes.extend_from_slice(b"\r\n");
            }
        }
        prop_assert_eq!(at_once(&bytes), (requests.clone(), None));
        prop_assert_eq!(in_pieces(bytes.chunks(7), &Limits::DEFAULT), (requests, None));
    }
}
