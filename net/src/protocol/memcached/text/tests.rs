//! The text protocol against what memcached 1.6.45 makes of the same bytes, and against itself
//! under every way of cutting them.

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::line::GET_LINE_BYTES_MAX;
use super::super::tests::in_pieces;
use super::*;

fn check(bytes: impl AsRef<[u8]>, expected: &[&str]) {
    let bytes = bytes.as_ref();
    let text = bytes.escape_ascii();
    assert_eq!(
        in_pieces([bytes]),
        (
            expected.iter().map(|line| line.to_string()).collect(),
            false
        ),
        "{text}"
    );
    let in_bytes = in_pieces(bytes.chunks(1)).0;
    assert_eq!(in_bytes, expected, "{text} byte by byte");
}

#[test]
fn stores() {
    check("set a 5 0 1\r\nx\r\n", &["Set a 5 0 x"]);
    check("set a 5 0 1\nx\r\n", &["Set a 5 0 x"]);
    check("set  a  0  -1  0 \r\n\r\n", &["Set a 0 -1 "]);
    check("set a 00 +0 02\r\n\r\n\r\n", &["Set a 0 0 \\r\\n"]);
    check(
        "set a 4294967295 0 1 noreply\r\nx\r\n",
        &["Set a 4294967295 0 x!"],
    );
    check("set a 0 0 1 other\r\nx\r\n", &["Set a 0 0 x"]);
    check(
        "add a 0 0 1\r\nx\r\nreplace b 0 0 1\r\nx\r\n",
        &["Add a 0 0 x", "Replace b 0 0 x"],
    );
    check(
        "append a 0 0 1\r\nx\r\nprepend b 0 0 1\r\nx\r\n",
        &["Append a 0 0 x", "Prepend b 0 0 x"],
    );
    check(
        "cas a 1 2 1 18446744073709551615 noreply\r\nx\r\n",
        &["Set a 1 2 x C18446744073709551615!"],
    );
    check("cas a 0 0 1 9 other\r\nx\r\n", &["Set a 0 0 x C9"]);
    check("set a\tb 0 0 1\r\nx\r\n", &["Set a\\tb 0 0 x"]);
}

#[test]
fn stores_that_are_none() {
    check(
        "set a 5 0 1\r\nxy\r\nget a\r\n",
        &["BadData", "BadFormat", "get a"],
    );
    check(
        "set a 5 0 1\r\nx\nget a\r\n\r\n",
        &["BadData", "Unknown", "BadFormat"],
    );
    check(
        "set a 0 0 1 noreply\r\nxxx\r\nget a\r\n",
        &["BadData!", "BadFormat", "get a"],
    );
    for line in [
        "a -1 0 5",
        "a 4294967296 0 5",
        "a 0 x 5",
        "a 1.5 0 5",
        "a 0 9223372036854775808 5",
    ] {
        check(
            format!("set {line}\r\nget a\r\nquit\r\n"),
            &["BadFormat", "Quit"],
        );
        check(
            format!("set {line} noreply\r\nget a\r\nquit\r\n"),
            &["BadFormat!", "Quit"],
        );
    }
    for line in [
        "a 0 0 -1",
        "a 0 0 x",
        "a 0 0 2147483646",
        "a 0 0 99999999999999999999",
        "a 0 0",
    ] {
        check(format!("set {line}\r\n"), &["BadFormat"]);
    }
    check("set a 0 0 x noreply\r\nquit\r\n", &["BadFormat", "Quit"]);
    check("set\r\ncas a 0 0\r\n", &["BadFormat", "BadFormat"]);
    check("set a 0 0 1 b c\r\nx\r\n", &["Set a 0 0 x"]);
    check("cas a 0 0 1\r\nx\r\nquit\r\n", &["BadFormat", "Quit"]);
    check("cas a 0 0 1 x\r\nx\r\nquit\r\n", &["BadFormat", "Quit"]);
    check("cas a 0 0 1 -1\r\nx\r\nquit\r\n", &["BadFormat", "Quit"]);
}

#[test]
fn a_value_too_large_is_dropped() {
    let value = "x".repeat(41);
    check(
        format!("set a 0 0 40\r\n{}\r\n", &value[1..]),
        &[&format!("Set a 0 0 {}", &value[1..])],
    );
    check(
        format!("set a 0 0 41\r\n{value}\r\nversion\r\n"),
        &["too large a gone", "Version"],
    );
    check(
        format!("set a 1 0 40 noreply\r\n{}\r\nversion\r\n", &value[1..]),
        &["too large a gone!", "Version"],
    );
    check("set a 0 0 2147483645\r\nversion\r\n", &["too large a gone"]);
}

#[test]
fn keys_have_a_limit() {
    let (fits, long) = ("k".repeat(250), "k".repeat(251));
    check(format!("get {fits}\r\n"), &[&format!("get {fits}")]);
    for line in [
        format!("get a {long} b"),
        format!("gat 0 {long}"),
        format!("incr {long} 1"),
        format!("touch {long} 1"),
        format!("delete {long}"),
    ] {
        check(format!("{line}\r\n"), &["BadFormat"]);
    }
    check(format!("set {long} 0 0 1\r\nx\r\n"), &["BadFormat"]);
    check(
        format!("set {long} 0 0 1 noreply\r\nx\r\n"),
        &["BadFormat!"],
    );
}

#[test]
fn gets() {
    check(
        "get a\r\ngets a b\nget  a \r\n",
        &["get a", "gets a,b", "get a"],
    );
    check(
        "get\r\ngets \r\ngat\r\ngat 0\r\n",
        &["BadFormat", "BadFormat", "BadFormat", "BadFormat"],
    );
    check("gat x a\r\ngats -1 a b\r\n", &["BadExptime", "gats -1 a,b"]);
    check("get a\0b\r\n", &["get a\\x00b"]);
    check("get\ta\r\n get a\r\n", &["Unknown", "Unknown"]);
}

#[test]
fn changes() {
    check(
        "incr n 1\r\ndecr n 2 noreply\r\nincr n 3 x\r\n",
        &["Increment(1) n", "Decrement(2) n!", "Increment(3) n"],
    );
    check(
        "incr n\r\nincr n 1 2 3\r\n",
        &["BadFormat", "Increment(1) n"],
    );
    for delta in ["x", "-1", "+1", "1x", "0x1", "18446744073709551616"] {
        check(format!("incr n {delta}\r\n"), &["BadDelta"]);
    }
    check(
        "delete a\r\ndelete a 0\r\ndelete a noreply\r\ndelete a 0 noreply\r\ndelete noreply\r\n",
        &[
            "delete a",
            "delete a",
            "delete a!",
            "delete a!",
            "delete noreply!",
        ],
    );
    check(
        "delete\r\ndelete a 1\r\ndelete a 1 noreply\r\ndelete a b c d\r\n",
        &["BadFormat", "BadDelete", "BadDelete!", "Unknown"],
    );
    check(
        "touch a 0\r\ntouch a x\r\ntouch a -5 noreply\r\ntouch a\r\ntouch a 1 2 3\r\n",
        &[
            "touch a 0",
            "BadExptime",
            "touch a -5!",
            "BadFormat",
            "touch a 1",
        ],
    );
    check(
        "flush_all\r\n flush_all 5\r\nflush_all noreply\r\nflush_all 5 noreply\r\n",
        &["flush 0", "flush 5", "flush 0!", "flush 5!"],
    );
    check("flush_all 1 2\r\n", &["flush 1"]);
    check(
        "flush_all x\r\nflush_all x noreply\r\n",
        &["BadExptime", "BadExptime!"],
    );
}

#[test]
fn the_rest() {
    check(
        "version\r\nversion x\r\nquit\r\nquit x\r\n",
        &["Version", "Version", "Quit", "Quit"],
    );
    check(
        "verbosity\r\nverbosity 1\r\nverbosity x\r\n",
        &["BadFormat", "Verbosity", "BadFormat"],
    );
    check(
        "verbosity 1 noreply\r\nverbosity noreply\r\n",
        &["Verbosity!", "BadFormat!"],
    );
    check(
        "stats\r\nstats items x\r\nstats reset\r\nstats foo\r\nstats detail\r\n",
        &[
            "Stats { what: General }",
            "Stats { what: Items }",
            "Stats { what: Reset }",
            "UnknownStats",
            "BadStatsDetail",
        ],
    );
    check(
        "cache_memlimit 64\r\ncache_memlimit 7\r\ncache_memlimit 1000000001\r\ncache_memlimit\r\n",
        &[
            "MemoryLimit { megabytes: 64 }",
            "LimitTooSmall",
            "LimitTooLarge",
            "Unknown",
        ],
    );
    check("\r\n\na\r\n", &["BadFormat", "BadFormat", "BadFormat"]);
    check(
        "foo\r\nGET a\r\nfoo noreply\r\n",
        &["Unknown", "Unknown", "Unknown!"],
    );
    check(
        "shutdown\r\nshutdown graceful\r\nshutdown now\r\n",
        &["Shutdown", "Shutdown", "BadShutdown"],
    );
    check("GET / HTTP/1.1\r\n", &["Quit"]);
}

#[test]
fn only_a_get_may_be_a_long_line() {
    let long = "x".repeat(3000);
    let keys = "x ".repeat(1500);
    assert!(in_pieces([long.as_bytes()]).1);
    assert!(in_pieces([format!("gat 0 {keys}").as_bytes()]).1);
    assert!(in_pieces([format!("{}get {keys}", " ".repeat(200)).as_bytes()]).1);
    assert!(!in_pieces(["x".repeat(2000).as_bytes()]).1);
    check(
        format!("get {keys}\r\n"),
        &[&format!("get {}x", "x,".repeat(1499))],
    );
    let endless = [b"get ".to_vec(), b"x ".repeat(GET_LINE_BYTES_MAX / 2)].concat();
    assert!(in_pieces([&endless[..]]).1);
}

#[test]
fn exptimes() {
    let now_ms = 1_700_000_000_500;
    for (exptime, at_ms) in [
        (0, None),
        (-1, Some(0)),
        (1, Some(now_ms + 1000)),
        (2_592_000, Some(now_ms + 2_592_000_000)),
        (2_592_001, Some(2_592_001_000)),
        (1_800_000_000, Some(1_800_000_000_000)),
        (i64::MAX, Some(u64::MAX)),
    ] {
        assert_eq!(Exptime(exptime).at_ms(now_ms), at_ms, "{exptime}");
    }
}

/// Bytes that are often nearly a request.
fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    let words = [
        "get",
        "gets",
        "gat",
        "set",
        "add",
        "cas",
        "append",
        "incr",
        "delete",
        "touch",
        "noreply",
        "flush_all",
        "stats",
        "a",
        "b",
        "0",
        "1",
        "2",
        "5",
        "60",
        "-1",
        "x",
    ];
    let token = prop_oneof![
        4 => prop::sample::select(words.to_vec()).prop_map(|word| format!("{word} ").into_bytes()),
        2 => Just(b"\r\n".to_vec()),
        1 => Just(b"\n".to_vec()),
        1 => Just(b"set a 0 0 2\r\nxy\r\n".to_vec()),
        1 => Just(b"set a 0 0 60\r\n".to_vec()),
        1 => vec(any::<u8>(), 0..4),
    ];
    vec(token, 0..30).prop_map(|tokens| tokens.concat())
}

proptest! {
    #[test]
    fn any_cut_gives_the_same(bytes in any_bytes(), piece in 1usize..20) {
        let whole = in_pieces([&bytes[..]]);
        prop_assert_eq!(&in_pieces(bytes.chunks(piece)), &whole);
        prop_assert_eq!(&in_pieces(bytes.chunks(1)), &whole);
    }
}
