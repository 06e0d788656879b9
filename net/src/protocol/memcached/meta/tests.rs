//! Meta commands against what memcached 1.6.45 makes of the same bytes, and under every cut.

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::tests::in_pieces;

fn check(lines: &str, expected: &[&str]) {
    let bytes = lines.replace('|', "\r\n");
    let expected: Vec<String> = expected.iter().map(|line| line.to_string()).collect();
    assert_eq!(
        in_pieces([bytes.as_bytes()]),
        (expected.clone(), false),
        "{lines}"
    );
    assert_eq!(
        in_pieces(bytes.as_bytes().chunks(1)).0,
        expected,
        "{lines} byte by byte"
    );
}

#[test]
fn gets() {
    check("mg a|mg  a  v  t |", &["read a", "read a"]);
    check("mg a v q k|", &["read a!"]);
    check("mg Zm9v b|mg Zm9v b k v|", &["read foo", "read foo"]);
    check(
        "mg a N30 E7 C8 u s v q O123 k h l t|",
        &["read a N30 E7 C8 u!"],
    );
    check(
        "mg a R30|mg a T10 R30|mg a R30 T10|",
        &[
            "read a R(30, false)",
            "read a T10 R(30, true)",
            "read a T10 R(30, false)",
        ],
    );
    check("mn|mn x|", &["Noop", "Noop"]);
    check("me a|", &["Debug { key: Plain([97]) }"]);
}

#[test]
fn stores() {
    check("ms a 1|x|", &["Set a 0 0 x"]);
    check("ms a 1 T60 F5 q c|x|", &["Set a 5 60 x!"]);
    check("ms Zm9v 1 b|x|", &["Set foo 0 0 x"]);
    check(
        "ms a 1 C5|x|ms a 1 C5 I MR|x|",
        &["Set a 0 0 x C5", "Set a 0 0 x C5 I"],
    );
    check(
        "ms a 1 ME|x|ms a 1 MR|x|ms a 1 MS|x|",
        &["Add a 0 0 x", "Replace a 0 0 x", "Set a 0 0 x"],
    );
    check(
        "ms a 1 MA N30 T5|x|ms a 1 MP T5|x|ms a 1 MA C0|x|",
        &["Append a 0 30 x N", "Prepend a 0 5 x", "Append a 0 0 x"],
    );
    check(
        "ms a 1 E9|x|ms a 1 E0|x|",
        &["Set a 0 0 x E9", "Set a 0 0 x"],
    );
    check("ms a 41 q|", &["too large a gone!"]);
    check("ms a 1|xy|mn|", &["BadData", "BadFormat", "Noop"]);
}

#[test]
fn a_value_that_is_refused_is_dropped() {
    for (flags, refusal) in [
        ("Mx", "BadStoreMode"),
        ("M", "BadStoreMode"),
        ("Tx", "BadFlagNumber"),
        ("F-1", "BadFormat"),
        ("v v", "DuplicateFlag"),
        ("y", "BadFlag"),
        ("b", "BadBase64"),
        ("O123456789012345678901234567890123", "OpaqueTooLong"),
    ] {
        check(&format!("ms k 2 {flags}|mn|mn|"), &[refusal, "Noop"]);
    }
    let key = "k".repeat(251);
    check(&format!("ms {key} 2|mn|mn|"), &["BadFormat", "Noop"]);
    check("ms k x|mn|", &["BadFormat", "Noop"]);
    check("ms k -1|mn|", &["BadFormat", "Noop"]);
    check("ms k 2 !|mn|", &["BadFormat", "Noop"]);
}

#[test]
fn deletes_and_numbers() {
    check(
        "md a|md a q I T30 E5 C6|",
        &["delete a", "delete a C6 E5 T30 I!"],
    );
    check("md a x|md a x F7|", &["delete a x0", "delete a x7"]);
    check("ma a|ma a MD D5 q|", &["Increment(1) a", "Decrement(5) a!"]);
    check(
        "ma a M+|ma a M-|ma a MI|ma a Mx|",
        &[
            "Increment(1) a",
            "Decrement(1) a",
            "Increment(1) a",
            "BadArithmeticMode",
        ],
    );
    check(
        "ma a N0 J13 T5 C0|ma a N5 C7 E8|",
        &[
            "Increment(1) a or(13, 5) T5",
            "Increment(1) a or(0, 5) C7 E8",
        ],
    );
    check(
        "ma a D-1|ma a v v|ma a !|",
        &["BadArithmeticFlags", "BadArithmeticFlags", "BadFormat"],
    );
}

#[test]
fn mistakes() {
    let many = " a".repeat(19);
    check(&format!("mg k{many}|"), &["TooManyFlags"]);
    check(
        "mg|ms|md|ma|me|ms a|mx a|",
        &[
            "BadFormat",
            "BadFormat",
            "BadFormat",
            "BadFormat",
            "BadFormat",
            "BadFormat",
            "Unknown",
        ],
    );
    check(
        "mg a v v|mg a Nx|mg a y|mg a N|",
        &["DuplicateFlag", "BadFlagNumber", "BadFlag", "BadFlagNumber"],
    );
    check(
        "mg a b|mg a J|mg a Dx|",
        &["BadBase64", "BadInitial", "BadFlagDelta"],
    );
    let opaque = "O".repeat(33);
    check(&format!("mg a {opaque}|"), &["OpaqueTooLong"]);
    check(&format!("mg a {}|", &opaque[1..]), &["read a"]);
}

/// Bytes that are often nearly a request.
fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    let words = [
        "mg", "ms", "md", "ma", "me", "mn", "get", "a", "Zm9v", "b", "v", "t", "k", "q", "O1",
        "N5", "T0", "R9", "C1", "E2", "MA", "ME", "I", "x", "D2", "J3", "0", "1", "2",
    ];
    let token = prop_oneof![
        6 => prop::sample::select(words.to_vec()).prop_map(|word| format!("{word} ").into_bytes()),
        2 => Just(b"\r\n".to_vec()),
        1 => Just(b"ms a 2 q\r\nxy\r\n".to_vec()),
        1 => Just(b"ms a 60 v\r\n".to_vec()),
        1 => vec(any::<u8>(), 0..4),
    ];
    vec(token, 0..30).prop_map(|tokens| [&b"m"[..], &tokens.concat()].concat())
}

proptest! {
    #[test]
    fn any_cut_gives_the_same(bytes in any_bytes(), piece in 1usize..20) {
        let whole = in_pieces([&bytes[..]]);
        prop_assert_eq!(&in_pieces(bytes.chunks(piece)), &whole);
        prop_assert_eq!(&in_pieces(bytes.chunks(1)), &whole);
    }
}
