//! Sets: members without order.
//!
//! [`Set`] views a set that is there; [`SetEdit`] collects changes of one that may not be. A set
//! of few integers is an array of them in order; other small sets are packed and keep their
//! members in order of insertion; large ones are trees in the order of the members' hashes,
//! which is what makes SSCAN's promise hold and lets two large sets be merged in one pass.

use std::borrow::Cow;

use super::packed::{self, Called, Packed};
use super::{Body, Edited, Encoding, Limits, NewValue, Origin, of_kind, of_tree, sample};
use crate::entry::{Entry, Form, Kind};
use crate::error::Error;
use crate::tree::{self, Builder, Tree, TreeEdit, hash_of};

mod algebra;
mod build;
mod integers;

pub use algebra::{difference, intersection, intersection_len, union};
pub use build::SetBuilder;
use integers::Integers;

/// A set as an entry holds it.
#[derive(Clone, Copy, Debug)]
pub struct Set<'g>(Repr<'g>);

#[derive(Clone, Copy, Debug)]
enum Repr<'g> {
    Integers(Integers<'g>),
    Packed(Packed<'g, 1>),
    Tree(Tree<'g, 1>),
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
        let entry = of_kind(entry, Kind::Set)?;
        let bytes = entry.value_bytes();
        Ok(Set(match (entry.form(), called(entry)) {
            (Form::Tree, _) => Repr::Tree(Tree::of(entry)),
            (_, Called::Intset) => Repr::Integers(Integers::new(bytes)),
            (_, Called::Listpack | Called::Hashtable) => Repr::Packed(Packed::new(bytes)),
        }))
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
            Repr::Tree(tree) => tree.len(),
        }
    }

    /// Whether there are no members: never true of what an entry holds.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    fn is_tree(self) -> bool {
        matches!(self.0, Repr::Tree(_))
    }

    /// Whether `member` is one.
    pub fn contains(self, member: &[u8]) -> bool {
        match self.0 {
            Repr::Integers(integers) => integers.contains(member),
            Repr::Packed(packed) => packed.find(member).is_some(),
            Repr::Tree(tree) => tree.find(member).is_some(),
        }
    }

    /// All members.
    pub fn iter(self) -> Iter<'g> {
        Iter(match self.0 {
            Repr::Integers(integers) => IterRepr::Integers(integers, 0),
            Repr::Packed(packed) => IterRepr::Packed(packed.iter()),
            Repr::Tree(tree) => IterRepr::Tree(tree.iter()),
        })
    }

    /// Visits some members from `cursor` on (0 starts), about `count` of them, and returns the
    /// next cursor, 0 at the end. A member that is there throughout a whole scan is visited.
    pub fn scan(self, cursor: u64, count: usize, mut visit: impl FnMut(Member<'g>)) -> u64 {
        if let Repr::Tree(tree) = self.0 {
            return tree.scan(cursor, count, |[member]| visit(Member(Text::Bytes(member))));
        }
        // A cursor other than 0 is from when the set was a tree.
        self.iter()
            .filter(|member| cursor == 0 || u64::from(hash_of(member)) >= cursor)
            .for_each(visit);
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
            Repr::Tree(tree) => Member(Text::Bytes(tree.nth(index)[0])),
        }
    }

    /// A random member.
    pub fn random(self) -> Member<'g> {
        self.nth(fastrand::usize(..self.len()))
    }

    /// Random members, none of them twice: `count` of them, or all there are.
    pub fn sample(self, count: usize) -> Vec<Member<'g>> {
        sample::of((self.iter(), self.len()), |index| self.nth(index), count)
    }
}

/// Iterator over members.
#[derive(Clone, Debug)]
pub struct Iter<'g>(IterRepr<'g>);

#[derive(Clone, Debug)]
enum IterRepr<'g> {
    Integers(Integers<'g>, usize),
    Packed(packed::Groups<'g, 1>),
    Tree(tree::Iter<'g, 1>),
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
            IterRepr::Tree(groups) => {
                let (_, [member]) = groups.next()?;
                Some(Member(Text::Bytes(member)))
            }
        }
    }
}

/// Collects changes of a set.
#[derive(Debug)]
pub struct SetEdit<'a> {
    limits: Limits,
    changed: bool,
    /// Whether the old set is a tree, of which a changed tree is then a part.
    old_is_tree: bool,
    state: State<'a>,
}

#[derive(Debug)]
enum State<'a> {
    /// Nothing yet, and how many members are expected.
    Empty(usize),
    /// The value's bytes, up to date.
    Integers(Cow<'a, [u8]>),
    /// The value's bytes, up to date except for the header's `called`.
    Packed {
        called: Called,
        bytes: Cow<'a, [u8]>,
    },
    Tree {
        called: Called,
        tree: TreeEdit<'a, 1>,
    },
}

impl<'a> SetEdit<'a> {
    /// Starts from the set in `old`, or from an empty one.
    ///
    /// # Errors
    /// [`Error::WrongType`].
    pub fn new(old: Option<Entry<'a>>, limits: &Limits) -> Result<SetEdit<'a>, Error> {
        let mut edit = SetEdit::empty(limits);
        let Some(entry) = old else { return Ok(edit) };
        edit.state = match Set::of(entry)?.0 {
            Repr::Integers(integers) => State::Integers(integers.bytes().into()),
            Repr::Packed(packed) => State::Packed {
                called: packed.called(),
                bytes: packed.bytes().into(),
            },
            Repr::Tree(_) => State::Tree {
                called: called(entry),
                tree: TreeEdit::of(entry),
            },
        };
        edit.old_is_tree = matches!(edit.state, State::Tree { .. });
        Ok(edit)
    }

    fn empty(limits: &Limits) -> SetEdit<'a> {
        SetEdit {
            limits: *limits,
            changed: false,
            old_is_tree: false,
            state: State::Empty(1),
        }
    }

    /// Says that `members` are about to be added: Redis chooses the encoding by it.
    pub fn expect(&mut self, members: usize) {
        let limits = self.limits;
        match &mut self.state {
            State::Empty(expected) => *expected = members,
            State::Integers(_) if members > limits.set_integers_max => {
                self.pack(Called::Hashtable);
            }
            State::Packed { called, .. } | State::Tree { called, .. } => {
                let entries_max = match called {
                    Called::Intset => limits.set_integers_max,
                    Called::Listpack | Called::Hashtable => limits.set_entries_max,
                };
                if members > entries_max {
                    *called = Called::Hashtable;
                }
            }
            State::Integers(_) => {}
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

    /// Whether members were changed, and there are none now: nothing but the key's end can follow.
    pub fn is_emptied(&self) -> bool {
        self.changed && self.is_empty()
    }

    /// Whether `member` is one now.
    pub fn contains(&self, member: &[u8]) -> bool {
        self.view().is_some_and(|set| set.contains(member))
    }

    /// Adds a member; whether it is new.
    pub fn add(&mut self, member: &[u8]) -> bool {
        let is_new = !self.contains(member);
        if is_new {
            self.add_new(member);
        }
        is_new
    }

    /// Adds a member that is none yet.
    fn add_new(&mut self, member: &[u8]) {
        self.changed = true;
        self.choose_encoding(member);
        self.make_room(member);
        match &mut self.state {
            State::Empty(_) => unreachable!("made room"),
            State::Integers(bytes) => integers::insert(bytes.to_mut(), member),
            State::Packed { called, bytes } => {
                let len = Packed::<1>::new(bytes).len();
                let bytes = packed::to_mut(bytes, packed::element_bytes(member.len()));
                packed::push(bytes, member);
                set_header(bytes, *called, len + 1);
            }
            State::Tree { tree, .. } => {
                tree.put([member]);
            }
        }
    }

    /// Adds members as [`SetEdit::add`] does; how many are new.
    // Inlined: most commands add one member, which is to cost no more for this.
    #[inline]
    pub fn add_all(&mut self, members: &[&[u8]]) -> usize {
        match members.len() < tree::MANY {
            true => members.iter().filter(|member| self.add(member)).count(),
            false => self.add_many(members),
        }
    }

    #[inline(never)]
    fn add_many(&mut self, members: &[&[u8]]) -> usize {
        let before = self.len();
        self.make_room_for_all(members);
        let are_new = matches!(self.state, State::Empty(_))
            && tree::are_surely_distinct(members.iter().copied());
        for (at, member) in members.iter().enumerate() {
            let rest = &members[at..];
            // What it is called does not change any more.
            let called = Called::Hashtable;
            match &mut self.state {
                State::Tree { called: is, tree } if *is == called && rest.len() >= tree::MANY => {
                    tree.put_all(rest.iter().map(|member| [*member]));
                    break;
                }
                _ if are_new => self.add_new(member),
                _ => {
                    self.add(member);
                }
            }
        }
        let added = self.len() - before;
        self.changed |= added > 0;
        added
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
            State::Packed { called, bytes } => {
                let packed = Packed::<1>::new(bytes);
                let len = packed.len();
                let span = packed.find(member).expect("contained").span;
                let bytes = bytes.to_mut();
                bytes.drain(span);
                set_header(bytes, *called, len - 1);
            }
            State::Tree { tree, .. } => {
                tree.remove(member);
            }
        }
        true
    }

    /// Removes members; how many were.
    pub fn remove_all<'m>(&mut self, members: impl ExactSizeIterator<Item = &'m [u8]>) -> usize {
        let before = self.len();
        match &mut self.state {
            State::Tree { tree, .. } if members.len() >= tree::MANY => {
                tree.remove_all(members);
                self.changed |= self.len() < before;
            }
            _ => members.for_each(|member| {
                self.remove(member);
            }),
        }
        before - self.len()
    }

    /// Removes random members, `count` of them or all there are, and returns them.
    pub fn pop(&mut self, count: usize) -> Vec<Vec<u8>> {
        let Some(view) = self.view() else {
            return Vec::new();
        };
        let members: Vec<Vec<u8>> = view.sample(count).iter().map(|m| m.to_vec()).collect();
        if members.len() == view.len() {
            self.changed |= !members.is_empty();
            self.state = State::Empty(1);
            return members;
        }
        self.remove_all(members.iter().map(|member| &member[..]));
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
            State::Integers(bytes) => bytes.into_owned(),
            State::Packed { called, bytes } => {
                let mut bytes = bytes.into_owned();
                bytes[0] = called as u8;
                bytes
            }
            State::Tree { called, tree } => match tree.leaf_bytes() {
                Some(few) if few <= self.limits.packed_bytes_max / 2 => small(called, tree.view()),
                _ => {
                    let (root, delta) = tree.finish().expect("not empty");
                    let origin = match self.old_is_tree {
                        true => Origin::Derived(delta),
                        false => Origin::New(delta),
                    };
                    let value = of_tree(Kind::Set, called as u8, root, origin);
                    return Edited::Changed(value);
                }
            },
        };
        let body = Body::default().owned(bytes);
        Edited::Changed(NewValue::flat(Kind::Set, Form::Plain, body))
    }

    fn view(&self) -> Option<Set<'_>> {
        match &self.state {
            State::Empty(_) => None,
            State::Integers(bytes) => Some(Set(Repr::Integers(Integers::new(bytes)))),
            State::Packed { bytes, .. } => Some(Set(Repr::Packed(Packed::new(bytes)))),
            State::Tree { tree, .. } => Some(Set(Repr::Tree(tree.view()))),
        }
    }

    /// Chooses the encoding which a set with a new `member` is to be called, by Redis's rules.
    fn choose_encoding(&mut self, member: &[u8]) {
        let limits = self.limits;
        match &mut self.state {
            State::Empty(expected) => {
                let first = first_called(&limits, *expected, member);
                self.state = match first {
                    Called::Intset => State::Integers(integers::empty().into()),
                    Called::Listpack | Called::Hashtable => State::Packed {
                        called: first,
                        bytes: packed::header(first, 0).to_vec().into(),
                    },
                };
            }
            State::Integers(bytes) => {
                let integers = Integers::new(bytes);
                let (len, digits_max) = (integers.len(), || integers.digits_max());
                let next = next_called(&limits, Called::Intset, len, digits_max, member);
                if next != Called::Intset {
                    self.pack(next);
                }
            }
            State::Packed { called, bytes } => {
                let len = Packed::<1>::new(bytes).len();
                *called = next_called(&limits, *called, len, || 0, member);
            }
            State::Tree { called, tree } => {
                let lengths = tree.view().iter().map(|(_, [member])| member.len());
                let digits_max = || lengths.max().unwrap_or(0);
                *called = next_called(&limits, *called, tree.len(), digits_max, member);
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
            bytes: packed.into(),
        };
    }

    /// Makes a tree of what is one in the end, but for members given twice.
    fn make_room_for_all(&mut self, members: &[&[u8]]) {
        let element_bytes = |member: &&[u8]| packed::element_bytes(member.len());
        let bytes: usize = members.iter().map(element_bytes).sum();
        if bytes <= self.limits.packed_bytes_max {
            return;
        }
        let tree = match &self.state {
            State::Empty(expected) => match first_called(&self.limits, *expected, members[0]) {
                Called::Hashtable => Builder::new().finish(),
                Called::Intset | Called::Listpack => return,
            },
            State::Packed { called, bytes } if *called == Called::Hashtable => {
                tree::build(Packed::<1>::new(bytes).iter())
            }
            _ => return,
        };
        let called = Called::Hashtable;
        self.state = State::Tree { called, tree };
    }

    /// Turns a set into a tree which a new `member` could make too large for a copy per change.
    fn make_room(&mut self, member: &[u8]) {
        let bytes_max = self.limits.packed_bytes_max;
        match &self.state {
            State::Empty(_) | State::Tree { .. } => {}
            State::Integers(bytes) => {
                // Redis's limit of 512 integers of 8 bytes is to stay an array.
                let is_large = bytes.len() > 2 * bytes_max;
                let integers = Integers::new(bytes);
                if is_large || integers.len() == packed::GROUPS_MAX {
                    let members: Vec<_> = Set(Repr::Integers(integers)).iter().collect();
                    self.state = State::Tree {
                        called: Called::Intset,
                        tree: tree::build(members.iter().map(|member| [&**member])),
                    };
                }
            }
            State::Packed { called, bytes } => {
                let packed = Packed::<1>::new(bytes);
                let is_large = bytes.len() + packed::element_bytes(member.len()) > bytes_max;
                if is_large || packed.len() == packed::GROUPS_MAX {
                    self.state = State::Tree {
                        called: *called,
                        tree: tree::build(packed.iter()),
                    };
                }
            }
        }
    }
}

/// The encoding of a set that starts with `member` of `expected` ones.
fn first_called(limits: &Limits, expected: usize, member: &[u8]) -> Called {
    let is_integer = super::number::parse_integer(member).is_some();
    let is_short = member.len() <= limits.set_element_bytes_max;
    if is_integer && expected <= limits.set_integers_max {
        Called::Intset
    } else if is_short && expected <= limits.set_entries_max {
        Called::Listpack
    } else {
        Called::Hashtable
    }
}

/// The encoding of a set of `len` with one more `member`; `digits_max` says how long the longest
/// member of a set of integers is.
fn next_called(
    limits: &Limits,
    called: Called,
    len: usize,
    digits_max: impl FnOnce() -> usize,
    member: &[u8],
) -> Called {
    let is_short = member.len() <= limits.set_element_bytes_max;
    let is_small = match called {
        Called::Hashtable => false,
        Called::Listpack => is_short && len < limits.set_entries_max,
        Called::Intset => {
            let is_integer = super::number::parse_integer(member).is_some();
            if is_integer && len < limits.set_integers_max {
                return Called::Intset;
            }
            !is_integer
                && is_short
                && len < limits.set_entries_max
                && digits_max() <= limits.set_element_bytes_max
        }
    };
    match is_small {
        true => Called::Listpack,
        false => Called::Hashtable,
    }
}

fn set_header(bytes: &mut [u8], called: Called, len: usize) {
    bytes[..packed::HEADER_BYTES].copy_from_slice(&packed::header(called, len));
}

/// The bytes of a small set of the members of a tree.
fn small(called: Called, tree: Tree<'_, 1>) -> Vec<u8> {
    let members = tree.iter().map(|(_, [member])| member);
    if called == Called::Intset {
        let mut bytes = integers::empty();
        members.for_each(|member| integers::insert(&mut bytes, member));
        return bytes;
    }
    let mut bytes = packed::header(called, tree.len()).to_vec();
    members.for_each(|member| packed::push(&mut bytes, member));
    bytes
}

fn called(entry: Entry<'_>) -> Called {
    Called::from_byte(entry.value_bytes()[0])
}

pub(super) fn encoding(entry: Entry<'_>) -> Encoding {
    match called(entry) {
        Called::Listpack => Encoding::Listpack,
        Called::Hashtable => Encoding::Hashtable,
        Called::Intset => Encoding::Intset,
    }
}

#[cfg(test)]
mod tests;
