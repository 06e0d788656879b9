//! Reading: a borrowed cursor over a document, the same for both of its forms.

use std::borrow::Cow;
use std::sync::Arc;

use crate::document::Document;
use crate::error::{ParseError, TooLarge};
use crate::node::{Members, Node, Piece};
use crate::packed::{self, Container, Item};
use crate::tree::{Iter, Tree};

/// A JSON number, as it was written: integers stay integers, floats floats.
///
/// `Uint` holds only what `Int` cannot.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    Int(i64),
    /// Above `i64::MAX`.
    Uint(u64),
    Float(f64),
}

impl Number {
    /// Reads JSON text. None: it is another value.
    pub fn parse(text: &[u8]) -> Result<Option<Number>, ParseError> {
        Ok(match Document::parse(text)?.root().view() {
            View::Number(number) => Some(number),
            _ => None,
        })
    }

    /// The nearest float.
    pub fn to_f64(self) -> f64 {
        match self {
            Number::Int(value) => value as f64,
            Number::Uint(value) => value as f64,
            Number::Float(value) => value,
        }
    }
}

/// The type of a value, with integers and floats apart, as RedisJSON's TYPE tells them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Null,
    Boolean,
    Integer,
    Float,
    String,
    Array,
    Object,
}

/// A place in a document that can be read; a copy costs nothing.
#[derive(Clone, Copy, Debug)]
pub struct Value<'a> {
    repr: Repr<'a>,
}

/// Where a value is and in what form.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Repr<'a> {
    /// Exactly the bytes of one packed value.
    Packed(&'a [u8]),
    /// A large array.
    Tree(&'a Tree),
    /// A large object.
    Members(&'a Members),
}

/// Where a value begins, which is enough to look at it one level deep.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Front<'a> {
    /// Its packed form is at the front of these bytes.
    Packed(&'a [u8]),
    Large(Value<'a>),
}

impl<'a> Front<'a> {
    #[inline]
    pub(crate) fn of(value: Value<'a>) -> Front<'a> {
        match value.repr {
            Repr::Packed(bytes) => Front::Packed(bytes),
            Repr::Tree(_) | Repr::Members(_) => Front::Large(value),
        }
    }

    #[inline]
    pub(crate) fn value(self) -> Value<'a> {
        match self {
            Front::Packed(bytes) => Value::packed(packed::split(bytes).0),
            Front::Large(value) => value,
        }
    }

    #[inline]
    pub(crate) fn raw_view(self) -> RawView<'a> {
        match self {
            Front::Packed(bytes) => RawView::of_front(bytes),
            Front::Large(value) => value.raw_view(),
        }
    }
}

/// A value, one level deep.
#[derive(Clone, Copy, Debug)]
pub enum View<'a> {
    Null,
    Bool(bool),
    Number(Number),
    String(&'a str),
    Array(Array<'a>),
    Object(Object<'a>),
}

/// As [`View`]; what is known to be UTF-8 was not looked at again.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RawView<'a> {
    Null,
    Bool(bool),
    Number(Number),
    String(&'a [u8]),
    Array(Array<'a>),
    Object(Object<'a>),
}

impl<'a> RawView<'a> {
    /// The view of the value whose packed form is at the front of `bytes`.
    #[inline]
    pub(crate) fn of_front(bytes: &'a [u8]) -> RawView<'a> {
        match packed::item(bytes) {
            Item::Null => RawView::Null,
            Item::Bool(value) => RawView::Bool(value),
            Item::Number(number) => RawView::Number(number),
            Item::String(text) => RawView::String(text),
            Item::Array(body) => RawView::Array(Array(Children::Packed(body))),
            Item::Object(body) => RawView::Object(Object(Children::Packed(body))),
            Item::Link(_) => unreachable!("links are resolved when a leaf is read"),
        }
    }
}

/// An array that can be read.
#[derive(Clone, Copy, Debug)]
pub struct Array<'a>(Children<'a, Tree>);

/// An object that can be read; its members are in the order they were first written.
#[derive(Clone, Copy, Debug)]
pub struct Object<'a>(Children<'a, Members>);

/// Where the children of a container are.
#[derive(Debug)]
enum Children<'a, Large> {
    /// One after the other.
    Packed(&'a [u8]),
    Large(&'a Large),
}

impl<Large> Clone for Children<'_, Large> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<Large> Copy for Children<'_, Large> {}

impl<'a> Value<'a> {
    /// The value whose packed form is `bytes`.
    pub(crate) fn packed(bytes: &'a [u8]) -> Value<'a> {
        Value {
            repr: Repr::Packed(bytes),
        }
    }

    pub(crate) fn tree(tree: &'a Tree) -> Value<'a> {
        Value {
            repr: Repr::Tree(tree),
        }
    }

    pub(crate) fn members(members: &'a Members) -> Value<'a> {
        Value {
            repr: Repr::Members(members),
        }
    }

    pub(crate) fn repr(self) -> Repr<'a> {
        self.repr
    }

    /// Decodes this value one level deep.
    #[inline]
    pub fn view(self) -> View<'a> {
        match self.raw_view() {
            RawView::Null => View::Null,
            RawView::Bool(value) => View::Bool(value),
            RawView::Number(number) => View::Number(number),
            RawView::String(text) => View::String(utf8(text)),
            RawView::Array(array) => View::Array(array),
            RawView::Object(object) => View::Object(object),
        }
    }

    /// The same without a look at the text.
    #[inline]
    pub(crate) fn raw_view(self) -> RawView<'a> {
        match self.repr {
            Repr::Packed(bytes) => RawView::of_front(bytes),
            Repr::Tree(tree) => RawView::Array(Array(Children::Large(tree))),
            Repr::Members(members) => RawView::Object(Object(Children::Large(members))),
        }
    }

    /// The packed form, where it stands if it is packed.
    pub(crate) fn to_packed(self) -> Result<Cow<'a, [u8]>, TooLarge> {
        if let Repr::Packed(bytes) = self.repr {
            return Ok(Cow::Borrowed(bytes));
        }
        let mut out = Vec::with_capacity(self.extent());
        self.pack(&mut out)?;
        Ok(Cow::Owned(out))
    }

    /// Appends the packed form.
    pub(crate) fn pack(self, out: &mut Vec<u8>) -> Result<(), TooLarge> {
        let (container, tree) = match self.repr {
            Repr::Packed(bytes) => {
                out.extend_from_slice(bytes);
                return Ok(());
            }
            Repr::Tree(tree) => (Container::Array, tree),
            Repr::Members(members) => (Container::Object, members.tree()),
        };
        let at = packed::open(out);
        for (name, value) in tree.iter() {
            if container == Container::Object {
                packed::push_string(out, name)?;
            }
            value.pack(out)?;
        }
        packed::close(out, at, container)
    }

    /// Whether containers nest at most `levels` deep in this value.
    pub(crate) fn nests_at_most(self, levels: usize) -> bool {
        // A level takes a byte.
        if self.extent() <= levels {
            return true;
        }
        if !matches!(self.view(), View::Array(_) | View::Object(_)) {
            return true;
        }
        levels > 0
            && self
                .children()
                .all(|(_, child)| child.nests_at_most(levels - 1))
    }

    /// The value to be put elsewhere in a tree: small ones are copied, large ones shared.
    pub(crate) fn to_piece(self) -> Piece {
        match self.repr {
            Repr::Packed(bytes) => Piece::of_packed(bytes),
            Repr::Tree(tree) => Piece::Node(Arc::new(Node::Array(tree.clone()))),
            Repr::Members(members) => Piece::Node(Arc::new(Node::Object(members.clone()))),
        }
    }

    /// A document of its own: a copy when packed, one more reference when large.
    pub fn to_document(self) -> Document {
        match self.repr {
            Repr::Packed(bytes) => Document::from_packed(bytes),
            Repr::Tree(_) | Repr::Members(_) => Document::of_piece(self.to_piece()),
        }
    }

    /// The elements or members' values, each with its place; nothing for scalars.
    pub(crate) fn children(self) -> impl Iterator<Item = (usize, Value<'a>)> {
        self.named_children().map(|(_, value)| value).enumerate()
    }

    /// Where each of the [children](Value::children) begins.
    #[inline]
    pub(crate) fn fronts(self) -> impl Iterator<Item = (usize, Front<'a>)> {
        let mut children = self.named_children();
        std::iter::from_fn(move || children.next_front()).enumerate()
    }

    fn named_children(self) -> Iter<'a> {
        match self.repr {
            Repr::Packed(bytes) => match packed::container(bytes) {
                Some((container, _, body)) => Iter::packed(container, body),
                None => Iter::packed(Container::Array, &[]),
            },
            Repr::Tree(tree) => tree.iter(),
            Repr::Members(members) => members.tree().iter(),
        }
    }

    /// About how many bytes the value takes with all that is in it; takes constant time.
    pub fn extent(self) -> usize {
        match self.repr {
            Repr::Packed(bytes) => bytes.len(),
            Repr::Tree(tree) => tree.extent(),
            Repr::Members(members) => members.tree().extent(),
        }
    }

    /// The type of this value.
    pub fn kind(self) -> Kind {
        match self.view() {
            View::Null => Kind::Null,
            View::Bool(_) => Kind::Boolean,
            View::Number(Number::Float(_)) => Kind::Float,
            View::Number(_) => Kind::Integer,
            View::String(_) => Kind::String,
            View::Array(_) => Kind::Array,
            View::Object(_) => Kind::Object,
        }
    }
}

impl<'a> Array<'a> {
    /// How many elements there are.
    pub fn len(self) -> usize {
        match self.0 {
            Children::Packed(body) => packed::count_elements(body),
            Children::Large(tree) => tree.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        match self.0 {
            Children::Packed(body) => body.is_empty(),
            Children::Large(tree) => tree.len() == 0,
        }
    }

    /// The element at `index`, from 0.
    pub fn get(self, index: usize) -> Option<Value<'a>> {
        self.iter_from(index).next()
    }

    /// The elements in order.
    pub fn iter(self) -> impl Iterator<Item = Value<'a>> {
        self.iter_from(0)
    }

    /// The elements from `index` on.
    pub(crate) fn iter_from(self, index: usize) -> impl Iterator<Item = Value<'a>> {
        match self.0 {
            Children::Packed(body) => {
                let from = packed::find_element(body, index).unwrap_or(body.len());
                Iter::packed(Container::Array, &body[from..])
            }
            Children::Large(tree) => tree.iter_from(index),
        }
        .map(|(_, value)| value)
    }
}

impl<'a> Object<'a> {
    /// How many members there are.
    pub fn len(self) -> usize {
        match self.0 {
            Children::Packed(body) => Iter::packed(Container::Object, body).count(),
            Children::Large(members) => members.tree().len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        match self.0 {
            Children::Packed(body) => body.is_empty(),
            Children::Large(members) => members.tree().len() == 0,
        }
    }

    /// The value of the member called `name`.
    pub fn get(self, name: &str) -> Option<Value<'a>> {
        self.find(name).map(|(_, value)| value)
    }

    /// The place and the value of the member called `name`.
    pub(crate) fn find(self, name: &str) -> Option<(usize, Value<'a>)> {
        let name = name.as_bytes();
        match self.0 {
            Children::Packed(body) => {
                let (place, value_from) = packed::find_member(body, name)?;
                let (value, _) = packed::split(&body[value_from..]);
                Some((place, Value::packed(value)))
            }
            Children::Large(members) => members.find(name),
        }
    }

    /// The member at `place`: name and value.
    pub(crate) fn at(self, place: usize) -> Option<(&'a str, Value<'a>)> {
        let (name, value) = match self.0 {
            Children::Packed(body) => Iter::packed(Container::Object, body).nth(place)?,
            Children::Large(members) => members.tree().get(place)?,
        };
        Some((utf8(name), value))
    }

    /// The members in order: name and value.
    pub fn iter(self) -> impl Iterator<Item = (&'a str, Value<'a>)> {
        match self.0 {
            Children::Packed(body) => Iter::packed(Container::Object, body),
            Children::Large(members) => members.tree().iter(),
        }
        .map(|(name, value)| (utf8(name), value))
    }
}

/// The text of a string.
pub(crate) fn utf8(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("the writer put in UTF-8")
}
