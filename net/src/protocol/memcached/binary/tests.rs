//! Frames against what memcached 1.6.45 makes of the same bytes, and under every cut.

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::tests::in_pieces;
use super::*;

/// A frame.
fn frame(opcode: u8, extras: &[u8], key: &str, value: &str, token: u64) -> Vec<u8> {
    let mut bytes = vec![MAGIC, opcode];
    bytes.extend_from_slice(&(key.len() as u16).to_be_bytes());
    bytes.extend_from_slice(&[extras.len() as u8, 0, 0, 0]);
    let body_bytes = (extras.len() + key.len() + value.len()) as u32;
    bytes.extend_from_slice(&body_bytes.to_be_bytes());
    bytes.extend_from_slice(&7_u32.to_be_bytes());
    bytes.extend_from_slice(&token.to_be_bytes());
    [&bytes, extras, key.as_bytes(), value.as_bytes()].concat()
}

fn check(frames: &[Vec<u8>], expected: &[&str]) {
    let bytes = frames.concat();
    let expected: Vec<String> = expected.iter().map(|line| line.to_string()).collect();
    assert_eq!(in_pieces([&bytes[..]]), (expected.clone(), false));
    assert_eq!(in_pieces(bytes.chunks(1)).0, expected, "byte by byte");
}

#[test]
fn requests() {
    let flags_and_exptime = [0, 0, 0, 5, 0, 0, 0, 60];
    check(
        &[
            frame(opcode::GET, b"", "a", "", 0),
            frame(opcode::GETKQ, b"", "a b", "", 0),
            frame(opcode::GATQ, &[0, 0, 0, 9], "a", "", 0),
            frame(opcode::TOUCH, &[0, 0, 0, 9], "a", "", 0),
        ],
        &["read a", "read a b!", "read a T9!", "touch a 9"],
    );
    check(
        &[
            frame(opcode::SET, &flags_and_exptime, "a", "x", 0),
            frame(opcode::ADDQ, &flags_and_exptime, "a", "", 0),
            frame(opcode::REPLACE, &flags_and_exptime, "a", "x", 0),
            frame(opcode::ADD, &flags_and_exptime, "a", "x", 3),
            frame(opcode::APPEND, b"", "a", "x", 3),
            frame(opcode::PREPENDQ, b"", "a", "x", 0),
        ],
        &[
            "Set a 5 60 x",
            "Add a 5 60 !",
            "Replace a 5 60 x",
            "Set a 5 60 x C3",
            "Append a 0 0 x C3",
            "Prepend a 0 0 x!",
        ],
    );
    let amounts = |exptime: u32| {
        let numbers = [3_u64.to_be_bytes(), 10_u64.to_be_bytes()].concat();
        [numbers, exptime.to_be_bytes().to_vec()].concat()
    };
    check(
        &[
            frame(opcode::INCREMENT, &amounts(60), "n", "", 0),
            frame(opcode::DECREMENTQ, &amounts(u32::MAX), "n", "", 4),
            frame(opcode::DELETE, b"", "n", "", 4),
            frame(opcode::FLUSHQ, b"", "", "", 0),
            frame(opcode::FLUSH, &[0, 0, 0, 2], "", "", 0),
        ],
        &[
            "Increment(3) n or(10, 60)",
            "Decrement(3) n C4!",
            "delete n C4",
            "flush 0!",
            "flush 2",
        ],
    );
    check(
        &[
            frame(opcode::NOOP, b"", "", "", 0),
            frame(opcode::VERSION, b"", "", "", 0),
            frame(opcode::STAT, b"", "items", "", 0),
            frame(opcode::STAT, b"", "nosuch", "", 0),
            frame(opcode::QUITQ, b"", "", "", 0),
            frame(0x99, b"", "key", "value", 0),
            frame(opcode::NOOP, b"", "", "", 0),
        ],
        &[
            "Noop",
            "Version",
            "Stats { what: Items }",
            "UnknownStats",
            "Quit!",
            "Unknown",
            "Noop",
        ],
    );
}

#[test]
fn mistakes() {
    for (bytes, refusal) in [
        (frame(opcode::GET, b"", "", "", 0), "BadParts"),
        (frame(opcode::GET, b"", "a", "x", 0), "BadParts"),
        (frame(opcode::SET, b"", "a", "x", 0), "BadParts"),
        (frame(opcode::NOOP, b"", "a", "", 0), "BadParts"),
        (frame(opcode::GET, b"", &"k".repeat(251), "", 0), "BadParts"),
    ] {
        check(&[bytes], &[refusal]);
    }
    let mut lengths = frame(opcode::GET, b"", "abc", "", 0);
    lengths[11] = 2;
    check(&[lengths], &["BadLengths"]);
    let mut endless = frame(opcode::SET, &[0; 8], "a", "", 0);
    endless[8] = 0x7f;
    check(&[endless], &["BadParts"]);
}

#[test]
fn a_value_too_large_is_dropped() {
    let long = "x".repeat(50);
    check(
        &[
            frame(opcode::SET, &[0; 8], "a", &long, 0),
            frame(opcode::ADDQ, &[0; 8], "a", &long, 0),
            frame(opcode::NOOP, b"", "", "", 0),
        ],
        &["too large a gone", "too large a!", "Noop"],
    );
}

#[test]
fn other_bytes_end_the_connection() {
    let bytes = [frame(opcode::NOOP, b"", "", "", 0), b"get a\r\n".to_vec()].concat();
    assert_eq!(in_pieces([&bytes[..]]), (vec!["Noop".to_owned()], true));
}

fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let parts = (any::<u8>(), 0usize..21, 0usize..4, 0usize..4, 0u64..3);
    let valid = (0u8..0x26, parts).prop_map(|(opcode, (_, extras, key, value, token))| {
        frame(
            opcode,
            &vec![0; extras],
            &"kkkk"[..key],
            &"vvvv"[..value],
            token,
        )
    });
    let damaged = (valid.clone(), 1usize..24, any::<u8>()).prop_map(|(mut bytes, at, byte)| {
        bytes[at] = byte;
        bytes
    });
    prop_oneof![4 => valid, 1 => damaged]
}

proptest! {
    #[test]
    fn any_cut_gives_the_same(frames in vec(any_frame(), 0..10), piece in 1usize..40) {
        let bytes = frames.concat();
        let whole = in_pieces([&bytes[..]]);
        prop_assert_eq!(&in_pieces(bytes.chunks(piece)), &whole);
        prop_assert_eq!(&in_pieces(bytes.chunks(1)), &whole);
    }
}
