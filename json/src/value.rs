//! Reading: a borrowed cursor over a document, the same for both of its forms.

use crate::packed::{self, Item};

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

#[derive(Clone, Copy, Debug)]
enum Repr<'a> {
    /// Exactly the bytes of one packed value.
    Packed(&'a [u8]),
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

/// An array that can be read.
#[derive(Clone, Copy, Debug)]
pub struct Array<'a> {
    body: &'a [u8],
}

/// An object that can be read; its members are in the order they were first written.
#[derive(Clone, Copy, Debug)]
pub struct Object<'a> {
    body: &'a [u8],
}

impl<'a> Value<'a> {
    /// The value whose packed form is `bytes`.
    pub(crate) fn packed(bytes: &'a [u8]) -> Value<'a> {
        Value {
            repr: Repr::Packed(bytes),
        }
    }

    /// Decodes this value one level deep.
    pub fn view(self) -> View<'a> {
        let Repr::Packed(bytes) = self.repr;
        match packed::item(bytes) {
            Item::Null => View::Null,
            Item::Bool(value) => View::Bool(value),
            Item::Number(number) => View::Number(number),
            Item::String(text) => View::String(utf8(text)),
            Item::Array(body) => View::Array(Array { body }),
            Item::Object(body) => View::Object(Object { body }),
            Item::Link(_) => unreachable!("links are resolved when a leaf is read"),
        }
    }

    /// The elements or members' values, each with its place; nothing for scalars.
    pub(crate) fn children(self) -> impl Iterator<Item = (usize, Value<'a>)> {
        let (elements, members) = match self.view() {
            View::Array(array) => (Some(array.iter()), None),
            View::Object(object) => (None, Some(object.iter().map(|(_, value)| value))),
            _ => (None, None),
        };
        let elements = elements.into_iter().flatten();
        elements.chain(members.into_iter().flatten()).enumerate()
    }

    /// About how many bytes the value takes.
    pub(crate) fn extent(self) -> usize {
        let Repr::Packed(bytes) = self.repr;
        bytes.len()
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
        self.iter().count()
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.body.is_empty()
    }

    /// The element at `index`, from 0.
    pub fn get(self, index: usize) -> Option<Value<'a>> {
        self.iter().nth(index)
    }

    /// The elements from `index` on.
    pub(crate) fn iter_from(self, index: usize) -> impl Iterator<Item = Value<'a>> {
        self.iter().skip(index)
    }

    /// The elements in order.
    pub fn iter(self) -> impl Iterator<Item = Value<'a>> {
        let mut rest = self.body;
        std::iter::from_fn(move || {
            let (value, after) = (!rest.is_empty()).then(|| packed::split(rest))?;
            rest = after;
            Some(Value::packed(value))
        })
    }
}

impl<'a> Object<'a> {
    /// How many members there are.
    pub fn len(self) -> usize {
        self.iter().count()
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.body.is_empty()
    }

    /// The value of the member called `name`.
    pub fn get(self, name: &str) -> Option<Value<'a>> {
        self.find(name).map(|(_, value)| value)
    }

    /// The place and the value of the member called `name`.
    pub(crate) fn find(self, name: &str) -> Option<(usize, Value<'a>)> {
        let mut rest = self.body;
        let mut place = 0;
        while !rest.is_empty() {
            let (key, after) = packed::split_name(rest);
            if key == name.as_bytes() {
                return Some((place, Value::packed(packed::split(after).0)));
            }
            rest = packed::split(after).1;
            place += 1;
        }
        None
    }

    /// The members in order: name and value.
    pub fn iter(self) -> impl Iterator<Item = (&'a str, Value<'a>)> {
        let mut rest = self.body;
        std::iter::from_fn(move || {
            let (name, after) = (!rest.is_empty()).then(|| packed::split_name(rest))?;
            let (value, after) = packed::split(after);
            rest = after;
            Some((utf8(name), Value::packed(value)))
        })
    }
}

fn utf8(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("the writer put in UTF-8")
}
