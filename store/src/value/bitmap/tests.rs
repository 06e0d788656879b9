//! Every operation against the same on a vector of bits.

use super::*;

fn naive(bytes: &[u8]) -> Vec<bool> {
    let bits_of = |byte: &u8| {
        let byte = *byte;
        (0..8).map(move |at| byte >> (7 - at) & 1 == 1)
    };
    bytes.iter().flat_map(bits_of).collect()
}

fn random_bytes(random: &mut fastrand::Rng, bytes_max: usize) -> Vec<u8> {
    let bytes = random.usize(0..=bytes_max);
    // Long runs of ones and zeros, with something in between.
    let mut byte = || match random.u8(0..8) {
        0..4 => 0,
        4..7 => 0xff,
        _ => random.u8(..),
    };
    (0..bytes).map(|_| byte()).collect()
}

fn edited(edit: StrEdit<'_>) -> Vec<u8> {
    edit.view().to_cow().into_owned()
}

#[test]
fn counts_and_positions_agree_with_single_bits() {
    let mut random = fastrand::Rng::with_seed(1);
    for _ in 0..20_000 {
        let bytes = random_bytes(&mut random, 40);
        let (string, bits) = (Str::from_slice(&bytes), naive(&bytes));
        let end = random.usize(0..=bits.len() + 20);
        let range = random.usize(0..=end)..end;
        let inside = range.start.min(bits.len())..range.end.min(bits.len());
        let ones = bits[inside.clone()].iter().filter(|bit| **bit).count();
        assert_eq!(
            count_ones(string, range.clone()),
            ones,
            "{bytes:?} {range:?}"
        );
        for on in [false, true] {
            let first = inside.clone().find(|at| bits[*at] == on);
            assert_eq!(
                position(string, on, range.clone()),
                first,
                "{bytes:?} {range:?}"
            );
        }
        let at = random.usize(0..bits.len() + 20);
        assert_eq!(bit(string, at), bits.get(at).copied().unwrap_or(false));
    }
}

#[test]
fn long_runs_are_skipped_to_the_right_bit() {
    for at in (0..4096).step_by(7) {
        let mut bytes = vec![0; 512];
        bytes[at / 8] = mask_of(at);
        let string = Str::from_slice(&bytes);
        for start in [0, at.saturating_sub(70), at] {
            assert_eq!(position(string, true, start..4096), Some(at));
        }
        assert_eq!(position(string, true, at + 1..4096), None);
        assert_eq!(position(string, true, 0..at), None);
    }
}

#[test]
fn operations_agree_with_single_bits() {
    let mut random = fastrand::Rng::with_seed(2);
    for _ in 0..2_000 {
        let count = random.usize(1..5);
        let sources: Vec<Option<Vec<u8>>> = (0..count)
            .map(|_| random.bool().then(|| random_bytes(&mut random, 30)))
            .collect();
        let strings: Vec<Option<Str<'_>>> = sources
            .iter()
            .map(|source| source.as_deref().map(Str::from_slice))
            .collect();
        let all_bits: Vec<Vec<bool>> = sources
            .iter()
            .map(|source| naive(source.as_deref().unwrap_or(&[])))
            .collect();
        let bits = all_bits.iter().map(Vec::len).max().unwrap_or(0);
        let ones_at = |at: usize| {
            let is_one = |bits: &&Vec<bool>| bits.get(at).copied().unwrap_or(false);
            all_bits.iter().filter(is_one).count()
        };
        for (operation, expected) in [
            (
                Operation::And,
                (0..bits).map(|at| ones_at(at) == count).collect::<Vec<_>>(),
            ),
            (Operation::Or, (0..bits).map(|at| ones_at(at) > 0).collect()),
            (
                Operation::Xor,
                (0..bits).map(|at| ones_at(at) % 2 == 1).collect(),
            ),
        ] {
            assert_eq!(
                naive(&combine(operation, &strings)),
                expected,
                "{operation:?}"
            );
        }
        let inverse: Vec<bool> = all_bits[0].iter().map(|bit| !bit).collect();
        assert_eq!(naive(&combine(Operation::Not, &strings[..1])), inverse);
    }
}

#[test]
fn fields_are_read_where_they_were_written_and_nothing_else_changes() {
    let mut random = fastrand::Rng::with_seed(3);
    for _ in 0..20_000 {
        let bytes = random_bytes(&mut random, 20);
        let is_signed = random.bool();
        let width = random.u32(1..=if is_signed { 64 } else { 63 });
        let field = Field::new(is_signed, width).expect("in range");
        let at = random.usize(0..200);
        let value = field.stored(random.i64(..), Overflow::Wrap).expect("wraps");
        let mut edit = StrEdit::new(Some(Str::from_slice(&bytes)));
        field.write(&mut edit, at, value).expect("short");
        assert_eq!(field.read(edit.view(), at), value);
        let (before, after) = (naive(&bytes), naive(&edited(edit)));
        let end = (at + field.bits()).next_multiple_of(8);
        assert_eq!(after.len(), before.len().max(end));
        for other in (0..after.len()).filter(|other| !(at..at + field.bits()).contains(other)) {
            assert_eq!(after[other], before.get(other).copied().unwrap_or(false));
        }
        for place in 0..field.bits() {
            assert_eq!(
                after[at + place],
                value >> (field.bits() - 1 - place) & 1 == 1
            );
        }
    }
}

#[test]
fn numbers_that_do_not_fit() {
    use Overflow::{Fail, Saturate, Wrap};
    let field = |name: &str| {
        let (sign, bits) = name.split_at(1);
        Field::new(sign == "i", bits.parse().expect("a number")).expect("in range")
    };
    for (name, old, by, wrapped, saturated) in [
        ("u8", 250, 10, 4, 255),
        ("u8", 5, -10, 251, 0),
        ("i8", 120, 10, -126, 127),
        ("i8", -120, -10, 126, -128),
        ("i64", i64::MAX, 1, i64::MIN, i64::MAX),
        ("i64", i64::MIN, -1, i64::MAX, i64::MIN),
        ("u63", i64::MAX, 1, 0, i64::MAX),
        ("u63", 0, -1, i64::MAX, 0),
        ("i1", 0, 1, -1, 0),
        ("u1", 1, 1, 0, 1),
        ("i8", 0, i64::MAX, -1, 127),
    ] {
        let field = field(name);
        assert_eq!(field.sum(old, by, Wrap), Some(wrapped), "{name} {old} {by}");
        assert_eq!(
            field.sum(old, by, Saturate),
            Some(saturated),
            "{name} {old} {by}"
        );
        assert_eq!(field.sum(old, by, Fail), None);
    }
    assert_eq!(field("u8").sum(250, 5, Fail), Some(255));
    // -1 is a large number to a field without sign.
    assert_eq!(field("u8").stored(-1, Saturate), Some(255));
    assert_eq!(field("i8").stored(-1, Fail), Some(-1));
    assert_eq!(Field::new(false, 64), None);
    assert_eq!(Field::new(true, 65), None);
    assert_eq!(Field::new(true, 0), None);
}

#[test]
fn setting_a_bit_says_what_was_there() {
    let (was, _) = set_bit(None, 7, true).expect("short");
    assert!(!was);
    let (was, _) = set_bit(Some(Str::from_slice(&[1])), 7, false).expect("short");
    assert!(was);
    assert!(matches!(
        set_bit(None, usize::MAX, true),
        Err(Error::TooLong)
    ));
}
