//! Sets: members without order.
//!
//! [`Set`] views a set that is there; [`SetEdit`] collects changes of one that may not be. A set
//! of few integers is an array of them in order; other small sets are packed and keep their
//! members in order of insertion; large ones are trees in the order of the members' hashes,
//! which is what makes SSCAN's promise hold and lets two large sets be merged in one pass.

use std::borrow::Cow;

use super::packed::{self, Called, Packed};
use super::{Body, Edited, Encoding, Limits, NewValue, of_kind, sample};
use crate::entry::{Entry, Form, Kind};
use crate::error::Error;

mod algebra;
mod integers;

pub use algebra::{difference, intersection, intersection_len, union};
use integers::Integers;

/// A set as an entry holds it.
#[derive(Clone, Copy, Debug)]
pub struct Set<'g>(Repr<'g>);

#[derive(Clone, Copy, Debug)]
enum Repr<'g> {
    Integers(Integers<'g>),
    Packed(Packed<'g, 1>),
}

/// A member: bytes of the set, or the digits of one of its integers.
#[derive(Clone, Copy, Debug)]
pub struct Member<'g>(Text<'g>);

#[derive(Clone, Copy, Debug)]
enum Text<'g> {
    Bytes(&'g [u8]),
    Digits([u8; 20], u8),
}

impl Member<'_> {
    fn integer(value: i64) -> Self {
        let mut digits = [0; 20];
        let mut buffer = itoa::Buffer::new();
        let text = buffer.format(value).as_bytes();
        digits[..text.len()].copy_from_slice(text);
        Member(Text::Digits(digits, text.len() as u8))
    }
}

impl std::ops::Deref for Member<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Text::Bytes(bytes) => bytes,
            Text::Digits(digits, count) => &digits[..usize::from(*count)],
        }
    }
}

impl<'g> Set<'g> {
    /// The set in `entry`.
    ///
    /// # Errors
    /// [`Error::WrongType`].
    pub fn of(entry: Entry<'g>) -> Result<Set<'g>, Error> {
        let bytes = of_kind(entry, Kind::Set)?.value_bytes();
        Ok(Set::from_bytes(bytes))
    }

    fn from_bytes(bytes: &'g [u8]) -> Set<'g> {
        let packed = Packed::new(bytes);
        Set(match packed.called() {
            Called::Intset => Repr::Integers(Integers::new(bytes)),
            Called::Listpack | Called::Hashtable => Repr::Packed(packed),
        })
    }

    /// The set in `entry`, if there is an entry.
    ///
    /// # Errors
    /// [`Error::WrongType`].
    pub fn of_any(entry: Option<Entry<'g>>) -> Result<Option<Set<'g>>, Error> {
        entry.map(Set::of).transpose()
    }

    /// How many members there are.
    pub fn len(self) -> usize {
        match self.0 {
            Repr::Integers(integers) => integers.len(),
            Repr::Packed(packed) => packed.len(),
        }
    }

    /// Whether there are no members: never true of what an entry holds.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Whether `member` is one.
    pub fn contains(self, member: &[u8]) -> bool {
        match self.0 {
            Repr::Integers(integers) => integers.contains(member),
            Repr::Packed(packed) => packed.find(member).is_some(),
        }
    }

    /// All members.
    pub fn iter(self) -> Iter<'g> {
        Iter(match self.0 {
            Repr::Integers(integers) => IterRepr::Integers(integers, 0),
            Repr::Packed(packed) => IterRepr::Packed(packed.iter()),
        })
    }

    /// Visits some members from `cursor` on (0 starts), about `count` of them, and returns the
    /// next cursor, 0 at the end. A member that is there throughout a whole scan is visited.
    pub fn scan(self, cursor: u64, count: usize, visit: impl FnMut(Member<'g>)) -> u64 {
        let _ = count;
        if cursor == 0 {
            self.iter().for_each(visit);
        }
        0
    }

    /// The member number `index`, in the order of [`Set::iter`].
    ///
    /// # Panics
    /// If there are not so many.
    pub fn nth(self, index: usize) -> Member<'g> {
        match self.0 {
            Repr::Integers(integers) => Member::integer(integers.get(index)),
            Repr::Packed(packed) => Member(Text::Bytes(packed.nth(index).elements[0])),
        }
    }

    /// A random member.
    pub fn random(self) -> Member<'g> {
        self.nth(fastrand::usize(..self.len()))
    }

    /// Random members, none of them twice: `count` of them, or all there are.
    pub fn sample(self, count: usize) -> Vec<Member<'g>> {
        if count >= self.len() {
            return self.iter().collect();
        }
        let chosen = sample::distinct(self.len(), count);
        chosen.into_iter().map(|index| self.nth(index)).collect()
    }
}

/// Iterator over members.
#[derive(Clone, Debug)]
pub struct Iter<'g>(IterRepr<'g>);

#[derive(Clone, Debug)]
enum IterRepr<'g> {
    Integers(Integers<'g>, usize),
    Packed(packed::Groups<'g, 1>),
}

impl<'g> Iterator for Iter<'g> {
    type Item = Member<'g>;

    fn next(&mut self) -> Option<Member<'g>> {
        match &mut self.0 {
            IterRepr::Integers(integers, at) => {
                *at += 1;
                (*at <= integers.len()).then(|| Member::integer(integers.get(*at - 1)))
            }
            IterRepr::Packed(groups) => groups.next().map(|[member]| Member(Text::Bytes(member))),
        }
    }
}

/// Collects changes of a set.
#[derive(Debug)]
pub struct SetEdit<'a> {
    limits: Limits,
    changed: bool,
    state: State<'a>,
}

#[derive(Debug)]
enum State<'a> {
    /// Nothing yet, and how many members are expected.
    Empty(usize),
    /// The value's bytes, up to date.
    Integers(Cow<'a, [u8]>),
    /// The value's bytes; the header is brought up to date at the end.
    Packed {
        called: Called,
        len: usize,
        bytes: Cow<'a, [u8]>,
    },
}

impl<'a> SetEdit<'a> {
    /// Starts from the set in `old`, or from an empty one.
    ///
    /// # Errors
    /// [`Error::WrongType`].
    pub fn new(old: Option<Entry<'a>>, limits: &Limits) -> Result<SetEdit<'a>, Error> {
        let state = match Set::of_any(old)? {
            None => State::Empty(1),
            Some(Set(Repr::Integers(integers))) => State::Integers(integers.bytes().into()),
            Some(Set(Repr::Packed(packed))) => State::Packed {
                called: packed.called(),
                len: packed.len(),
                bytes: packed.bytes().into(),
            },
        };
        Ok(SetEdit {
            limits: *limits,
            changed: false,
            state,
        })
    }

    /// Says that `members` are about to be added: Redis chooses the encoding by it.
    pub fn expect(&mut self, members: usize) {
        match &mut self.state {
            State::Empty(expected) => *expected = members,
            State::Integers(_) if members > self.limits.set_integers_max => {
                self.pack(Called::Hashtable);
            }
            State::Packed { called, .. } if members > self.limits.set_entries_max => {
                *called = Called::Hashtable;
            }
            State::Integers(_) | State::Packed { .. } => {}
        }
    }

    /// How many members there are now.
    pub fn len(&self) -> usize {
        self.view().map_or(0, Set::len)
    }

    /// Whether there are no members now.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether `member` is one now.
    pub fn contains(&self, member: &[u8]) -> bool {
        match &self.state {
            State::Empty(_) => false,
            State::Integers(bytes) => Integers::new(bytes).contains(member),
            State::Packed { bytes, .. } => Packed::<1>::new(bytes).find(member).is_some(),
        }
    }

    /// Adds a member; whether it is new.
    pub fn add(&mut self, member: &[u8]) -> bool {
        if self.contains(member) {
            return false;
        }
        self.changed = true;
        self.make_room(member);
        match &mut self.state {
            State::Empty(_) => unreachable!("made room"),
            State::Integers(bytes) => integers::insert(bytes.to_mut(), member),
            State::Packed { called, len, bytes } => {
                *len += 1;
                let bytes = bytes.to_mut();
                packed::push(bytes, member);
                bytes[..packed::HEADER_BYTES].copy_from_slice(&packed::header(*called, *len));
            }
        }
        true
    }

    /// Removes a member; whether it was one.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        if !self.contains(member) {
            return false;
        }
        self.changed = true;
        match &mut self.state {
            State::Empty(_) => {}
            State::Integers(bytes) => integers::remove(bytes.to_mut(), member),
            State::Packed { called, len, bytes } => {
                let found = Packed::<1>::new(bytes).find(member).expect("contained");
                let span = found.span;
                *len -= 1;
                let bytes = bytes.to_mut();
                bytes.drain(span);
                bytes[..packed::HEADER_BYTES].copy_from_slice(&packed::header(*called, *len));
            }
        }
        true
    }

    /// Removes random members, `count` of them or all there are, and returns them.
    pub fn pop(&mut self, count: usize) -> Vec<Vec<u8>> {
        let Some(view) = self.view() else {
            return Vec::new();
        };
        let members: Vec<Vec<u8>> = view.sample(count).iter().map(|m| m.to_vec()).collect();
        for member in &members {
            self.remove(member);
        }
        members
    }

    /// What is left.
    pub fn finish(self) -> Edited<'a> {
        if !self.changed {
            return Edited::Unchanged;
        }
        if self.is_empty() {
            return Edited::Emptied;
        }
        let bytes = match self.state {
            State::Empty(_) => return Edited::Emptied,
            State::Integers(bytes) => bytes,
            State::Packed { called, len, bytes } => {
                let mut bytes = bytes.into_owned();
                bytes[..packed::HEADER_BYTES].copy_from_slice(&packed::header(called, len));
                Cow::Owned(bytes)
            }
        };
        let body = Body::default().owned(bytes.into_owned());
        Edited::Changed(NewValue::flat(Kind::Set, Form::Plain, body))
    }

    fn view(&self) -> Option<Set<'_>> {
        match &self.state {
            State::Empty(_) => None,
            State::Integers(bytes) => Some(Set(Repr::Integers(Integers::new(bytes)))),
            State::Packed { bytes, .. } => Some(Set(Repr::Packed(Packed::new(bytes)))),
        }
    }

    /// Chooses the encoding in which a new `member` has a place, by Redis's rules.
    fn make_room(&mut self, member: &[u8]) {
        let limits = self.limits;
        let is_integer = super::number::parse_integer(member).is_some();
        let fits = member.len() <= limits.set_element_bytes_max;
        match &mut self.state {
            State::Empty(expected) => {
                if is_integer && *expected <= limits.set_integers_max {
                    self.state = State::Integers(integers::empty().into());
                    return;
                }
                let called = match fits && *expected <= limits.set_entries_max {
                    true => Called::Listpack,
                    false => Called::Hashtable,
                };
                self.state = State::Packed {
                    called,
                    len: 0,
                    bytes: packed::header(called, 0).to_vec().into(),
                };
            }
            State::Integers(bytes) => {
                let integers = Integers::new(bytes);
                let (len, digits) = (integers.len(), integers.digits_max());
                if is_integer && len < limits.set_integers_max {
                    return;
                }
                let stays_small = !is_integer
                    && fits
                    && len < limits.set_entries_max
                    && digits <= limits.set_element_bytes_max;
                self.pack(match stays_small {
                    true => Called::Listpack,
                    false => Called::Hashtable,
                });
            }
            State::Packed { called, len, .. } => {
                if !fits || *len >= limits.set_entries_max {
                    *called = Called::Hashtable;
                }
            }
        }
    }

    /// Turns the array of integers into packed members.
    fn pack(&mut self, called: Called) {
        let State::Integers(bytes) = &self.state else {
            return;
        };
        let integers = Integers::new(bytes);
        let mut packed = packed::header(called, integers.len()).to_vec();
        for at in 0..integers.len() {
            packed::push(&mut packed, &Member::integer(integers.get(at)));
        }
        self.state = State::Packed {
            called,
            len: integers.len(),
            bytes: packed.into(),
        };
    }
}

/// Makes a set of members as they come, in any order and repeated or not.
#[derive(Debug)]
pub struct SetBuilder {
    edit: SetEdit<'static>,
}

impl SetBuilder {
    /// Starts empty.
    pub fn new(limits: &Limits) -> SetBuilder {
        SetBuilder {
            edit: SetEdit {
                limits: *limits,
                changed: false,
                state: State::Empty(1),
            },
        }
    }

    /// Adds a member.
    pub fn add(&mut self, member: &[u8]) {
        self.edit.add(member);
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.edit.len()
    }

    /// Whether there are no members.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The set, unless it is empty.
    pub fn finish(self) -> Option<NewValue<'static>> {
        match self.edit.finish() {
            Edited::Changed(value) => Some(value),
            Edited::Unchanged | Edited::Emptied => None,
        }
    }
}

pub(super) fn encoding(entry: Entry<'_>) -> Encoding {
    match Packed::<1>::new(entry.value_bytes()).called() {
        Called::Listpack => Encoding::Listpack,
        Called::Hashtable => Encoding::Hashtable,
        Called::Intset => Encoding::Intset,
    }
}

#[cfg(test)]
mod tests;
