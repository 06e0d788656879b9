//! Hashes: fields with values.
//!
//! [`Hash`] views a hash that is there; [`HashEdit`] collects changes of one that may not be.
//! Small hashes are packed and keep their fields in order of insertion; large ones are trees in
//! the order of the fields' hashes, which is what makes HSCAN's promise hold.

use super::number::{LongDouble, parse_integer};
use super::packed::{self, Called, Packed};
use super::{Body, Edited, Encoding, Limits, NewValue, of_kind, sample};
use crate::entry::{Entry, Form, Kind};
use crate::error::Error;

/// A hash as an entry holds it.
#[derive(Clone, Copy, Debug)]
pub struct Hash<'g> {
    packed: Packed<'g, 2>,
}

impl<'g> Hash<'g> {
    /// The hash in `entry`.
    ///
    /// # Errors
    /// [`Error::WrongType`].
    pub fn of(entry: Entry<'g>) -> Result<Hash<'g>, Error> {
        let entry = of_kind(entry, Kind::Hash)?;
        Ok(Hash {
            packed: Packed::new(entry.value_bytes()),
        })
    }

    /// The hash in `entry`, if there is an entry.
    ///
    /// # Errors
    /// [`Error::WrongType`].
    pub fn of_any(entry: Option<Entry<'g>>) -> Result<Option<Hash<'g>>, Error> {
        entry.map(Hash::of).transpose()
    }

    /// How many fields there are.
    pub fn len(self) -> usize {
        self.packed.len()
    }

    /// Whether there are no fields: never true of what an entry holds.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The value of a field.
    pub fn get(self, field: &[u8]) -> Option<&'g [u8]> {
        self.packed.find(field).map(|found| found.elements[1])
    }

    /// Whether a field is there.
    pub fn contains(self, field: &[u8]) -> bool {
        self.get(field).is_some()
    }

    /// All fields with their values.
    pub fn iter(self) -> Iter<'g> {
        Iter {
            packed: self.packed.iter(),
        }
    }

    /// Visits some fields from `cursor` on (0 starts), about `count` of them, and returns the
    /// next cursor, 0 at the end. A field that is there throughout a whole scan is visited.
    pub fn scan(self, cursor: u64, count: usize, mut visit: impl FnMut(&'g [u8], &'g [u8])) -> u64 {
        let _ = count;
        if cursor == 0 {
            self.iter().for_each(|(field, value)| visit(field, value));
        }
        0
    }

    /// The field number `index`, in the order of [`Hash::iter`].
    ///
    /// # Panics
    /// If there are not so many.
    pub fn nth(self, index: usize) -> (&'g [u8], &'g [u8]) {
        let [field, value] = self.packed.nth(index).elements;
        (field, value)
    }

    /// A random field with its value.
    pub fn random(self) -> (&'g [u8], &'g [u8]) {
        self.nth(fastrand::usize(..self.len()))
    }

    /// Random fields, none of them twice: `count` of them, or all there are.
    pub fn sample(self, count: usize) -> Vec<(&'g [u8], &'g [u8])> {
        if count >= self.len() {
            return self.iter().collect();
        }
        let chosen = sample::distinct(self.len(), count);
        chosen.into_iter().map(|index| self.nth(index)).collect()
    }
}

/// Iterator over fields and values.
#[derive(Clone, Debug)]
pub struct Iter<'g> {
    packed: packed::Groups<'g, 2>,
}

impl<'g> Iterator for Iter<'g> {
    type Item = (&'g [u8], &'g [u8]);

    fn next(&mut self) -> Option<(&'g [u8], &'g [u8])> {
        self.packed.next().map(|[field, value]| (field, value))
    }
}

/// Collects changes of a hash.
#[derive(Debug)]
pub struct HashEdit<'a> {
    limits: Limits,
    changed: bool,
    called: Called,
    len: usize,
    /// The packed hash, header included; the header's fields are brought up to date at the end.
    bytes: std::borrow::Cow<'a, [u8]>,
}

impl<'a> HashEdit<'a> {
    /// Starts from the hash in `old`, or from an empty one.
    ///
    /// # Errors
    /// [`Error::WrongType`].
    pub fn new(old: Option<Entry<'a>>, limits: &Limits) -> Result<HashEdit<'a>, Error> {
        let old = Hash::of_any(old)?;
        let bytes = match old {
            Some(hash) => hash.packed.bytes().into(),
            None => packed::header(Called::Listpack, 0).to_vec().into(),
        };
        Ok(HashEdit {
            limits: *limits,
            changed: false,
            called: old.map_or(Called::Listpack, |hash| hash.packed.called()),
            len: old.map_or(0, Hash::len),
            bytes,
        })
    }

    /// Says that `fields` are about to be set: Redis chooses the encoding by it.
    pub fn expect(&mut self, fields: usize) {
        if fields > self.limits.hash_entries_max {
            self.called = Called::Hashtable;
        }
    }

    /// How many fields there are now.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no fields now.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value a field has now.
    pub fn get(&self, field: &[u8]) -> Option<&[u8]> {
        self.packed().find(field).map(|found| found.elements[1])
    }

    /// Sets a field; whether it is new.
    pub fn set(&mut self, field: &[u8], value: &[u8]) -> bool {
        self.changed = true;
        let longest = field.len().max(value.len());
        if longest > self.limits.hash_element_bytes_max {
            self.called = Called::Hashtable;
        }
        let found = self.packed().find(field).map(|found| found.span);
        let is_new = found.is_none();
        let bytes = self.bytes.to_mut();
        match found {
            Some(span) => {
                let mut pair = Vec::new();
                packed::push(&mut pair, field);
                packed::push(&mut pair, value);
                bytes.splice(span, pair);
            }
            None => {
                packed::push(bytes, field);
                packed::push(bytes, value);
                self.len += 1;
            }
        }
        if self.len > self.limits.hash_entries_max {
            self.called = Called::Hashtable;
        }
        is_new
    }

    /// Removes a field; whether it was there.
    pub fn remove(&mut self, field: &[u8]) -> bool {
        let Some(found) = self.packed().find(field) else {
            return false;
        };
        let span = found.span;
        self.bytes.to_mut().drain(span);
        self.len -= 1;
        self.changed = true;
        true
    }

    /// Adds `by` to a field's integer (0 if there is none); the sum.
    ///
    /// # Errors
    /// [`Error::FieldNotAnInteger`], [`Error::Overflow`].
    pub fn increment(&mut self, field: &[u8], by: i64) -> Result<i64, Error> {
        let value = match self.get(field) {
            Some(text) => parse_integer(text).ok_or(Error::FieldNotAnInteger)?,
            None => 0,
        };
        let sum = value.checked_add(by).ok_or(Error::Overflow)?;
        self.set(field, itoa::Buffer::new().format(sum).as_bytes());
        Ok(sum)
    }

    /// Adds `by` to a field's number (0 if there is none); the text of the sum.
    ///
    /// # Errors
    /// [`Error::FieldNotAFloat`], [`Error::NotFinite`].
    pub fn increment_float(&mut self, field: &[u8], by: LongDouble) -> Result<Vec<u8>, Error> {
        let value = match self.get(field) {
            Some(text) => LongDouble::parse(text).ok_or(Error::FieldNotAFloat)?,
            None => LongDouble::ZERO,
        };
        let text = value.add(by).ok_or(Error::NotFinite)?.to_text();
        self.set(field, &text);
        Ok(text)
    }

    /// What is left.
    pub fn finish(self) -> Edited<'a> {
        if !self.changed {
            return Edited::Unchanged;
        }
        if self.is_empty() {
            return Edited::Emptied;
        }
        let mut bytes = self.bytes.into_owned();
        let header = packed::header(self.called, self.len);
        bytes[..packed::HEADER_BYTES].copy_from_slice(&header);
        let body = Body::default().owned(bytes);
        Edited::Changed(NewValue::flat(Kind::Hash, Form::Plain, body))
    }

    fn packed(&self) -> Packed<'_, 2> {
        Packed::new(&self.bytes)
    }
}

pub(super) fn encoding(entry: Entry<'_>) -> Encoding {
    match Packed::<2>::new(entry.value_bytes()).called() {
        Called::Listpack => Encoding::Listpack,
        Called::Hashtable | Called::Intset => Encoding::Hashtable,
    }
}
