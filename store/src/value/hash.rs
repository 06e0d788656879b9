//! Hashes: fields with values.
//!
//! [`Hash`] views a hash that is there; [`HashEdit`] collects changes of one that may not be.
//! Small hashes are packed and keep their fields in order of insertion; large ones are trees in
//! the order of the fields' hashes, which is what makes HSCAN's promise hold.

use std::borrow::Cow;

use super::number::{LongDouble, parse_integer};
use super::packed::{self, Called, Packed};
use super::{Body, Edited, Encoding, Limits, NewValue, Origin, of_kind, of_tree, sample};
use crate::entry::{Entry, Form, Kind};
use crate::error::Error;
use crate::tree::{self, Tree, TreeEdit, hash_of};

/// A hash as an entry holds it.
#[derive(Clone, Copy, Debug)]
pub struct Hash<'g>(Repr<'g>);

#[derive(Clone, Copy, Debug)]
enum Repr<'g> {
    Packed(Packed<'g, 2>),
    Tree(Tree<'g, 2>),
}

impl<'g> Hash<'g> {
    /// The hash in `entry`.
    ///
    /// # Errors
    /// [`Error::WrongType`].
    pub fn of(entry: Entry<'g>) -> Result<Hash<'g>, Error> {
        let entry = of_kind(entry, Kind::Hash)?;
        Ok(Hash(match entry.form() {
            Form::Tree => Repr::Tree(Tree::of(entry)),
            _ => Repr::Packed(Packed::new(entry.value_bytes())),
        }))
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
        match self.0 {
            Repr::Packed(packed) => packed.len(),
            Repr::Tree(tree) => tree.len(),
        }
    }

    /// Whether there are no fields: never true of what an entry holds.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The value of a field.
    pub fn get(self, field: &[u8]) -> Option<&'g [u8]> {
        match self.0 {
            Repr::Packed(packed) => packed.find(field).map(|found| found.elements[1]),
            Repr::Tree(tree) => tree.find(field).map(|[_, value]| value),
        }
    }

    /// Whether a field is there.
    pub fn contains(self, field: &[u8]) -> bool {
        self.get(field).is_some()
    }

    /// All fields with their values.
    pub fn iter(self) -> Iter<'g> {
        Iter(match self.0 {
            Repr::Packed(packed) => IterRepr::Packed(packed.iter()),
            Repr::Tree(tree) => IterRepr::Tree(tree.iter()),
        })
    }

    /// Visits some fields from `cursor` on (0 starts), about `count` of them, and returns the
    /// next cursor, 0 at the end. A field that is there throughout a whole scan is visited.
    pub fn scan(self, cursor: u64, count: usize, mut visit: impl FnMut(&'g [u8], &'g [u8])) -> u64 {
        if let Repr::Tree(tree) = self.0 {
            return tree.scan(cursor, count, |[field, value]| visit(field, value));
        }
        // A cursor other than 0 is from when the hash was a tree.
        self.iter()
            .filter(|(field, _)| cursor == 0 || u64::from(hash_of(field)) >= cursor)
            .for_each(|(field, value)| visit(field, value));
        0
    }

    /// The field number `index`, in the order of [`Hash::iter`].
    ///
    /// # Panics
    /// If there are not so many.
    pub fn nth(self, index: usize) -> (&'g [u8], &'g [u8]) {
        let [field, value] = match self.0 {
            Repr::Packed(packed) => packed.nth(index).elements,
            Repr::Tree(tree) => tree.nth(index),
        };
        (field, value)
    }

    /// A random field with its value.
    pub fn random(self) -> (&'g [u8], &'g [u8]) {
        self.nth(fastrand::usize(..self.len()))
    }

    /// Random fields, none of them twice: `count` of them, or all there are.
    pub fn sample(self, count: usize) -> Vec<(&'g [u8], &'g [u8])> {
        sample::of((self.iter(), self.len()), |index| self.nth(index), count)
    }
}

/// Iterator over fields and values.
#[derive(Clone, Debug)]
pub struct Iter<'g>(IterRepr<'g>);

#[derive(Clone, Debug)]
enum IterRepr<'g> {
    Packed(packed::Groups<'g, 2>),
    Tree(tree::Iter<'g, 2>),
}

impl<'g> Iterator for Iter<'g> {
    type Item = (&'g [u8], &'g [u8]);

    fn next(&mut self) -> Option<(&'g [u8], &'g [u8])> {
        let [field, value] = match &mut self.0 {
            IterRepr::Packed(groups) => groups.next()?,
            IterRepr::Tree(groups) => groups.next()?.1,
        };
        Some((field, value))
    }
}

/// Collects changes of a hash.
#[derive(Debug)]
pub struct HashEdit<'a> {
    limits: Limits,
    changed: bool,
    called: Called,
    /// Whether the old hash is a tree, of which a changed tree is then a part.
    old_is_tree: bool,
    state: State<'a>,
}

#[derive(Debug)]
enum State<'a> {
    /// The packed hash, header included; the header's fields are brought up to date at the end.
    Packed {
        len: usize,
        bytes: Cow<'a, [u8]>,
    },
    Tree(TreeEdit<'a, 2>),
}

impl<'a> HashEdit<'a> {
    /// Starts from the hash in `old`, or from an empty one.
    ///
    /// # Errors
    /// [`Error::WrongType`].
    pub fn new(old: Option<Entry<'a>>, limits: &Limits) -> Result<HashEdit<'a>, Error> {
        let hash = Hash::of_any(old)?;
        let state = match hash.map(|hash| hash.0) {
            None => State::Packed {
                len: 0,
                bytes: packed::EMPTY.into(),
            },
            Some(Repr::Packed(packed)) => State::Packed {
                len: packed.len(),
                bytes: packed.bytes().into(),
            },
            Some(Repr::Tree(_)) => State::Tree(TreeEdit::of(old.expect("there is a hash"))),
        };
        Ok(HashEdit {
            limits: *limits,
            changed: false,
            called: old.map_or(Called::Listpack, |entry| called(entry)),
            old_is_tree: matches!(state, State::Tree(_)),
            state,
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
        match &self.state {
            State::Packed { len, .. } => *len,
            State::Tree(tree) => tree.len(),
        }
    }

    /// Whether there are no fields now.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether fields were changed, and there are none now: nothing but the key's end can follow.
    pub fn is_emptied(&self) -> bool {
        self.changed && self.is_empty()
    }

    /// The value a field has now.
    pub fn get(&self, field: &[u8]) -> Option<&[u8]> {
        match &self.state {
            State::Packed { bytes, .. } => {
                let found = Packed::<2>::new(bytes).find(field)?;
                Some(found.elements[1])
            }
            State::Tree(tree) => tree.view().find(field).map(|[_, value]| value),
        }
    }

    /// Sets a field; whether it is new.
    pub fn set(&mut self, field: &[u8], value: &[u8]) -> bool {
        self.put(field, value, false)
    }

    /// Sets a field, which `is_surely_new` or may be there; whether it is new.
    #[inline(always)]
    fn put(&mut self, field: &[u8], value: &[u8], is_surely_new: bool) -> bool {
        self.changed = true;
        self.note_longest(field.len().max(value.len()));
        self.make_room(packed::element_bytes(field.len()) + packed::element_bytes(value.len()));
        let is_new = match &mut self.state {
            State::Packed { len, bytes } => {
                let is_new = set_packed(bytes, field, value, is_surely_new);
                *len += usize::from(is_new);
                is_new
            }
            State::Tree(tree) => tree.put([field, value]),
        };
        self.note_len();
        is_new
    }

    /// Sets fields as [`HashEdit::set`] does, one after the other; how many are new.
    // Inlined: most commands set one field, which is to cost no more for this.
    #[inline]
    pub fn set_all(&mut self, pairs: &[[&[u8]; 2]]) -> usize {
        match pairs.len() < tree::MANY {
            true => {
                let is_new = |[field, value]: &&[&[u8]; 2]| self.set(field, value);
                pairs.iter().filter(is_new).count()
            }
            false => self.set_many(pairs),
        }
    }

    #[inline(never)]
    fn set_many(&mut self, pairs: &[[&[u8]; 2]]) -> usize {
        let before = self.len();
        let element_bytes = |element: &&[u8]| packed::element_bytes(element.len());
        let bytes = pairs.iter().flatten().map(element_bytes).sum();
        if bytes > self.limits.packed_bytes_max {
            self.make_room(bytes);
        }
        let fields = pairs.iter().map(|[field, _]| *field);
        let are_new = before == 0
            && matches!(self.state, State::Packed { .. })
            && tree::are_surely_distinct(fields);
        match &mut self.state {
            State::Tree(tree) => {
                self.changed = true;
                tree.put_all(pairs.iter().copied());
                let longest = pairs.iter().flatten().map(|element| element.len()).max();
                self.note_longest(longest.unwrap_or(0));
                self.note_len();
            }
            State::Packed { .. } => pairs.iter().for_each(|[field, value]| {
                self.put(field, value, are_new);
            }),
        }
        self.len() - before
    }

    /// Removes a field; whether it was there.
    pub fn remove(&mut self, field: &[u8]) -> bool {
        let was_there = match &mut self.state {
            State::Packed { len, bytes } => match Packed::<2>::new(bytes).find(field) {
                None => false,
                Some(packed::Found { span, .. }) => {
                    bytes.to_mut().drain(span);
                    *len -= 1;
                    true
                }
            },
            State::Tree(tree) => tree.remove(field),
        };
        self.changed |= was_there;
        was_there
    }

    /// Removes fields; how many were there.
    pub fn remove_all(&mut self, fields: &[&[u8]]) -> usize {
        let before = self.len();
        match &mut self.state {
            State::Tree(tree) if fields.len() >= tree::MANY => {
                tree.remove_all(fields.iter().copied());
                self.changed |= self.len() < before;
            }
            _ => fields.iter().for_each(|field| {
                self.remove(field);
            }),
        }
        before - self.len()
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
        let (len, mut bytes) = match self.state {
            State::Packed { len, bytes } => (len, bytes.into_owned()),
            State::Tree(tree) => match tree.leaf_bytes() {
                Some(few) if few <= self.limits.packed_bytes_max / 2 => pack(tree.view()),
                _ => {
                    let (root, delta) = tree.finish().expect("not empty");
                    let origin = match self.old_is_tree {
                        true => Origin::Derived(delta),
                        false => Origin::New(delta),
                    };
                    let tag = self.called as u8;
                    return Edited::Changed(of_tree(Kind::Hash, tag, root, origin));
                }
            },
        };
        let header = packed::header(self.called, len);
        bytes[..packed::HEADER_BYTES].copy_from_slice(&header);
        let body = Body::default().owned(bytes);
        Edited::Changed(NewValue::flat(Kind::Hash, Form::Plain, body))
    }

    fn note_longest(&mut self, element_bytes: usize) {
        if element_bytes > self.limits.hash_element_bytes_max {
            self.called = Called::Hashtable;
        }
    }

    fn note_len(&mut self) {
        if self.len() > self.limits.hash_entries_max {
            self.called = Called::Hashtable;
        }
    }

    /// Turns a packed hash into a tree when `bytes_more` could be too much for it.
    #[inline(always)]
    fn make_room(&mut self, bytes_more: usize) {
        if let State::Packed { len, bytes } = &self.state
            && (bytes.len() + bytes_more > self.limits.packed_bytes_max
                || *len == packed::GROUPS_MAX)
        {
            self.become_tree();
        }
    }

    #[cold]
    fn become_tree(&mut self) {
        if let State::Packed { bytes, .. } = &self.state {
            self.state = State::Tree(tree::build(Packed::<2>::new(bytes).iter()));
        }
    }
}

/// Sets a field of a packed hash; whether it is new. The header is left as it was.
#[inline]
fn set_packed(bytes: &mut Cow<'_, [u8]>, field: &[u8], value: &[u8], is_surely_new: bool) -> bool {
    let found = match is_surely_new {
        true => None,
        false => Packed::<2>::new(bytes).find(field).map(|found| found.span),
    };
    let field_bytes = packed::element_bytes(field.len());
    let bytes = packed::to_mut(bytes, field_bytes + packed::element_bytes(value.len()));
    match found {
        None => {
            packed::push(bytes, field);
            packed::push(bytes, value);
            true
        }
        Some(span) => {
            packed::replace(bytes, span.start + field_bytes..span.end, value);
            false
        }
    }
}

/// The fields of a tree, packed behind a header still to be filled in, and their number.
fn pack(tree: Tree<'_, 2>) -> (usize, Vec<u8>) {
    let mut bytes = vec![0; packed::HEADER_BYTES];
    for (_, [field, value]) in tree.iter() {
        packed::push(&mut bytes, field);
        packed::push(&mut bytes, value);
    }
    (tree.len(), bytes)
}

fn called(entry: Entry<'_>) -> Called {
    Called::from_byte(entry.value_bytes()[0])
}

pub(super) fn encoding(entry: Entry<'_>) -> Encoding {
    match called(entry) {
        Called::Listpack => Encoding::Listpack,
        Called::Hashtable | Called::Intset => Encoding::Hashtable,
    }
}

#[cfg(test)]
mod tests;
