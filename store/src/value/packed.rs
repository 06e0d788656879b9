//! The compact encoding small hashes and sets share: one run of bytes, copied on each update.
//!
//! ```text
//!  0        1         3
//!  +--------+---------+---------------------------------------------
//!  | called | count 2 | element element …        each: length, bytes
//!  +--------+---------+---------------------------------------------
//! ```
//!
//! `called` is what Redis would call the encoding by now (a hash that ever held a long value is a
//! hashtable there for good, even if it is packed here). `count` counts groups: a set's group is
//! a member, a hash's a field and a value. A length is one byte below 255, else 255 and four
//! bytes. Everything is little-endian.
//!
//! Copying a kilobyte costs less than one cache miss, so up to some size a fresh copy is the
//! cheapest copy-on-write there is.

use std::borrow::Cow;
use std::ops::Range;

/// Bytes before the first element.
pub(crate) const HEADER_BYTES: usize = 3;
/// The most groups a packed collection can count.
pub(crate) const GROUPS_MAX: usize = u16::MAX as usize;
const LENGTH_ESCAPE: u8 = u8::MAX;

/// What Redis would call the encoding of a collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Called {
    Listpack = 0,
    Hashtable = 1,
    /// The body is not packed elements but an array of integers, see `set`.
    Intset = 2,
}

impl Called {
    pub(crate) fn from_byte(byte: u8) -> Called {
        match byte {
            0 => Called::Listpack,
            1 => Called::Hashtable,
            _ => Called::Intset,
        }
    }
}

/// The header of a packed collection.
pub(crate) fn header(called: Called, count: usize) -> [u8; HEADER_BYTES] {
    let count = u16::try_from(count).expect("packed collections are small");
    let [low, high] = count.to_le_bytes();
    [called as u8, low, high]
}

/// Packed elements, `ARITY` to a group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packed<'a, const ARITY: usize> {
    /// Invariant: laid out as above.
    bytes: &'a [u8],
}

/// Where a group stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found<'a, const ARITY: usize> {
    /// Its elements.
    pub(crate) elements: [&'a [u8]; ARITY],
    /// The bytes it takes, lengths included, from the start of the value.
    pub(crate) span: Range<usize>,
}

impl<'a, const ARITY: usize> Packed<'a, ARITY> {
    /// Views bytes that [`header`] and [`push`] made.
    pub(crate) fn new(bytes: &'a [u8]) -> Packed<'a, ARITY> {
        debug_assert!(bytes.len() >= HEADER_BYTES);
        Packed { bytes }
    }

    pub(crate) fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    pub(crate) fn called(self) -> Called {
        Called::from_byte(self.bytes[0])
    }

    /// How many groups there are.
    pub(crate) fn len(self) -> usize {
        usize::from(u16::from_le_bytes([self.bytes[1], self.bytes[2]]))
    }

    /// The groups in order of insertion.
    pub(crate) fn iter(self) -> Groups<'a, ARITY> {
        Groups {
            bytes: self.bytes,
            at: HEADER_BYTES,
        }
    }

    /// The group whose first element is `name`.
    pub(crate) fn find(self, name: &[u8]) -> Option<Found<'a, ARITY>> {
        let mut at = HEADER_BYTES;
        while at < self.bytes.len() {
            let (first, mut next) = element_at(self.bytes, at);
            if first != name {
                for _ in 1..ARITY {
                    next = element_end(self.bytes, next);
                }
                at = next;
                continue;
            }
            let mut elements = [first; ARITY];
            for element in &mut elements[1..] {
                (*element, next) = element_at(self.bytes, next);
            }
            return Some(Found {
                elements,
                span: at..next,
            });
        }
        None
    }

    /// The group number `index`.
    ///
    /// # Panics
    /// If there are not so many.
    pub(crate) fn nth(self, index: usize) -> Found<'a, ARITY> {
        let mut at = HEADER_BYTES;
        for _ in 0..index * ARITY {
            at = element_end(self.bytes, at);
        }
        let mut next = at;
        let elements = std::array::from_fn(|_| {
            let (element, end) = element_at(self.bytes, next);
            next = end;
            element
        });
        Found {
            elements,
            span: at..next,
        }
    }
}

/// Iterator over groups.
#[derive(Clone, Debug)]
pub(crate) struct Groups<'a, const ARITY: usize> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a, const ARITY: usize> Iterator for Groups<'a, ARITY> {
    type Item = [&'a [u8]; ARITY];

    fn next(&mut self) -> Option<[&'a [u8]; ARITY]> {
        if self.at >= self.bytes.len() {
            return None;
        }
        Some(std::array::from_fn(|_| {
            let (element, end) = element_at(self.bytes, self.at);
            self.at = end;
            element
        }))
    }
}

/// The header of an empty listpack, which is all of it.
pub(crate) const EMPTY: &[u8] = &[Called::Listpack as u8, 0, 0];

/// The bytes to be changed, with room for so many more where they are copied for that.
pub(crate) fn to_mut<'v>(bytes: &'v mut Cow<'_, [u8]>, bytes_more: usize) -> &'v mut Vec<u8> {
    if let Cow::Borrowed(old) = *bytes {
        let mut copy = Vec::with_capacity(old.len() + bytes_more);
        copy.extend_from_slice(old);
        *bytes = Cow::Owned(copy);
    }
    bytes.to_mut()
}

/// Puts an element in the place of another, which takes these bytes.
pub(crate) fn replace(bytes: &mut Vec<u8>, span: Range<usize>, element: &[u8]) {
    let (length, used) = length_prefix(element.len());
    let start = span.start + used;
    let (end, bytes_before) = (start + element.len(), bytes.len());
    let bytes_after = bytes_before - span.end + end;
    if bytes_after != bytes_before {
        bytes.resize(bytes_after.max(bytes_before), 0);
        bytes.copy_within(span.end..bytes_before, end);
        bytes.truncate(bytes_after);
    }
    bytes[span.start..start].copy_from_slice(&length[..used]);
    bytes[start..end].copy_from_slice(element);
}

/// Appends one element.
pub(crate) fn push(bytes: &mut Vec<u8>, element: &[u8]) {
    let (length, used) = length_prefix(element.len());
    bytes.extend_from_slice(&length[..used]);
    bytes.extend_from_slice(element);
}

/// The bytes that say how long an element is, and how many of them count.
pub(crate) fn length_prefix(bytes: usize) -> ([u8; 5], usize) {
    if bytes < usize::from(LENGTH_ESCAPE) {
        return ([bytes as u8, 0, 0, 0, 0], 1);
    }
    let [a, b, c, d] = u32::try_from(bytes)
        .expect("elements are shorter than 4 GiB")
        .to_le_bytes();
    ([LENGTH_ESCAPE, a, b, c, d], 5)
}

/// The bytes an element of `bytes` takes with its length.
pub(crate) fn element_bytes(bytes: usize) -> usize {
    length_prefix(bytes).1 + bytes
}

/// The element that starts at `at`, and where the next one does.
pub(crate) fn element_at(bytes: &[u8], at: usize) -> (&[u8], usize) {
    let (start, end) = element_bounds(bytes, at);
    (&bytes[start..end], end)
}

fn element_end(bytes: &[u8], at: usize) -> usize {
    element_bounds(bytes, at).1
}

fn element_bounds(bytes: &[u8], at: usize) -> (usize, usize) {
    if bytes[at] != LENGTH_ESCAPE {
        return (at + 1, at + 1 + usize::from(bytes[at]));
    }
    let length: [u8; 4] = bytes[at + 1..at + 5].try_into().expect("four bytes");
    (at + 5, at + 5 + u32::from_le_bytes(length) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(entries: &[(&[u8], &[u8])]) -> Vec<u8> {
        let mut bytes = header(Called::Listpack, entries.len()).to_vec();
        for (name, value) in entries {
            push(&mut bytes, name);
            push(&mut bytes, value);
        }
        bytes
    }

    #[test]
    fn groups_come_back_in_order() {
        let long = vec![b'x'; 70_000];
        let bytes = pairs(&[(b"a", b"1"), (b"", &long), (&long[..255], b"")]);
        let packed = Packed::<2>::new(&bytes);
        assert_eq!(packed.len(), 3);
        let all: Vec<_> = packed.iter().collect();
        assert_eq!(
            all,
            [[b"a".as_slice(), b"1"], [b"", &long], [&long[..255], b""]]
        );
        assert_eq!(packed.nth(2).elements, all[2]);
    }

    #[test]
    fn an_element_takes_the_place_of_another() {
        for (before, after) in [(0, 3), (3, 3), (3, 0), (300, 254), (254, 300), (300, 301)] {
            let [old, new] = [before, after].map(|bytes| vec![b'x'; bytes]);
            let mut bytes = pairs(&[(b"a", b"1"), (b"b", &old), (b"c", b"3")]);
            let found = Packed::<2>::new(&bytes).find(b"b").expect("b is there");
            let span = found.span.start + element_bytes(1)..found.span.end;
            replace(&mut bytes, span, &new);
            assert_eq!(bytes, pairs(&[(b"a", b"1"), (b"b", &new), (b"c", b"3")]));
        }
    }

    #[test]
    fn a_group_is_found_by_its_first_element_only() {
        let bytes = pairs(&[(b"a", b"b"), (b"b", b"c")]);
        let packed = Packed::<2>::new(&bytes);
        let found = packed.find(b"b").expect("b is there");
        assert_eq!(found.elements, [b"b".as_slice(), b"c"]);
        assert_eq!(&bytes[found.span], b"\x01b\x01c");
        assert_eq!(packed.find(b"c"), None);
    }
}
