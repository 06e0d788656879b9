//! A set of few integers: an array in rising order, all of one width.
//!
//! ```text
//!  0        1         3         4
//!  +--------+---------+---------+-------------------------
//!  | called | count 2 | width 1 | count integers of width
//!  +--------+---------+---------+-------------------------
//! ```

use super::super::number::parse_integer;
use super::super::packed::{self, Called};

const HEADER_BYTES: usize = packed::HEADER_BYTES + 1;

/// The array, read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Integers<'g> {
    /// Invariant: laid out as above.
    bytes: &'g [u8],
}

impl<'g> Integers<'g> {
    pub(super) fn new(bytes: &'g [u8]) -> Integers<'g> {
        debug_assert!(bytes.len() >= HEADER_BYTES);
        Integers { bytes }
    }

    pub(super) fn bytes(self) -> &'g [u8] {
        self.bytes
    }

    pub(super) fn len(self) -> usize {
        usize::from(u16::from_le_bytes([self.bytes[1], self.bytes[2]]))
    }

    fn width(self) -> usize {
        usize::from(self.bytes[3])
    }

    /// The integer at `index`.
    pub(super) fn get(self, index: usize) -> i64 {
        let at = HEADER_BYTES + index * self.width();
        let bytes = &self.bytes[at..at + self.width()];
        match *bytes {
            [a, b] => i64::from(i16::from_le_bytes([a, b])),
            [a, b, c, d] => i64::from(i32::from_le_bytes([a, b, c, d])),
            _ => i64::from_le_bytes(bytes.try_into().expect("a width of 8")),
        }
    }

    pub(super) fn contains(self, member: &[u8]) -> bool {
        parse_integer(member).is_some_and(|value| self.search(value).is_ok())
    }

    /// The most digits any of the integers has, the sign included.
    pub(super) fn digits_max(self) -> usize {
        let digits = |value: i64| itoa::Buffer::new().format(value).len();
        match self.len() {
            0 => 0,
            len => digits(self.get(0)).max(digits(self.get(len - 1))),
        }
    }

    /// Where `value` stands, or else where it would.
    fn search(self, value: i64) -> Result<usize, usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match self.get(middle).cmp(&value) {
                std::cmp::Ordering::Equal => return Ok(middle),
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Err(low)
    }
}

/// The array without integers.
pub(super) fn empty() -> Vec<u8> {
    with_header(0, 2)
}

/// Puts in an integer that is not there.
pub(super) fn insert(bytes: &mut Vec<u8>, member: &[u8]) {
    let value = parse_integer(member).expect("the caller looked");
    let integers = Integers::new(bytes);
    let len = integers.len();
    let width = width_of(value).max(integers.width());
    let Err(at) = integers.search(value) else {
        return;
    };
    if width > integers.width() {
        let mut wider = with_header(len, width);
        for index in 0..len {
            wider.extend_from_slice(&integers.get(index).to_le_bytes()[..width]);
        }
        *bytes = wider;
    }
    let position = HEADER_BYTES + at * width;
    let digits = value.to_le_bytes();
    bytes.splice(position..position, digits[..width].iter().copied());
    set_len(bytes, len + 1);
}

/// Takes out an integer that is there.
pub(super) fn remove(bytes: &mut Vec<u8>, member: &[u8]) {
    let value = parse_integer(member).expect("the caller looked");
    let integers = Integers::new(bytes);
    let (len, width) = (integers.len(), integers.width());
    if let Ok(at) = integers.search(value) {
        let position = HEADER_BYTES + at * width;
        bytes.drain(position..position + width);
        set_len(bytes, len - 1);
    }
}

fn with_header(len: usize, width: usize) -> Vec<u8> {
    let mut bytes = packed::header(Called::Intset, len).to_vec();
    bytes.push(width as u8);
    bytes
}

fn set_len(bytes: &mut [u8], len: usize) {
    let header = packed::header(Called::Intset, len);
    bytes[..packed::HEADER_BYTES].copy_from_slice(&header);
}

/// The bytes an integer needs: 2, 4 or 8.
fn width_of(value: i64) -> usize {
    if i16::try_from(value).is_ok() {
        2
    } else if i32::try_from(value).is_ok() {
        4
    } else {
        8
    }
}
