//! What can go wrong, as closed enums: meanings without reply texts.

use std::fmt;

/// A value grew past what the packed form can count (4 GB).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge;

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("value too large")
    }
}

impl std::error::Error for TooLarge {}

/// A text is not a JSON document we accept.
///
/// Displays as serde_json does: `expected value at line 1 column 1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    message: Box<str>,
    line: usize,
    column: usize,
}

impl ParseError {
    /// The line of the fault, from 1 (0 when it has no place in the text).
    pub fn line(&self) -> usize {
        self.line
    }

    /// The column of the fault in bytes, from 1 (0 at the start of a line).
    pub fn column(&self) -> usize {
        self.column
    }
}

impl From<serde_json::Error> for ParseError {
    fn from(error: serde_json::Error) -> Self {
        ParseError {
            line: error.line(),
            column: error.column(),
            message: error.to_string().into_boxed_str(),
        }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ParseError {}

/// A text is not a path.
///
/// Displays as RedisJSON does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathError {
    /// Where in the text, in bytes; the older syntax counts as completed to a `$` path.
    pub(crate) position: usize,
    /// What could stand there.
    pub(crate) expected: &'static str,
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PathError { position, expected } = self;
        write!(
            f,
            "Error occurred at position {position}, Error at position {position}: \
             expected one of the following: {expected}"
        )
    }
}

impl std::error::Error for PathError {}

/// A path with many descents led to more places than are worth visiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SearchTooLong;

impl fmt::Display for SearchTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the path leads to too many places")
    }
}

impl std::error::Error for SearchTooLong {}

/// A document cannot be changed as asked. It stays as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EditError {
    /// Something new was to be set where the path can mean more than one place.
    NotSingular,
    /// Something new was to be set in an array, behind its end.
    IndexOutOfRange,
    /// Containers would nest deeper than [`DEPTH_MAX`](crate::DEPTH_MAX).
    TooDeep,
    /// A value would take more bytes than can be counted.
    TooLarge,
    /// The path leads to too many places.
    SearchTooLong,
    /// Something was to be inserted into an array where it has no place.
    NoSuchPlace,
    /// A number became too large for a float.
    NotFinite,
    /// The operand is not what the values need.
    BadOperand,
    /// A value went away because of a change before.
    Gone,
}

impl From<TooLarge> for EditError {
    fn from(TooLarge: TooLarge) -> EditError {
        EditError::TooLarge
    }
}

impl From<SearchTooLong> for EditError {
    fn from(SearchTooLong: SearchTooLong) -> EditError {
        EditError::SearchTooLong
    }
}

impl fmt::Display for EditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            EditError::NotSingular => "the path can mean more than one place",
            EditError::IndexOutOfRange => "array index out of range",
            EditError::TooDeep => "containers nest too deep",
            EditError::TooLarge => "value too large",
            EditError::SearchTooLong => "the path leads to too many places",
            EditError::NoSuchPlace => "the array has no such place",
            EditError::NotFinite => "a number became too large",
            EditError::BadOperand => "the operand is of another type",
            EditError::Gone => "a value went away because of a change before",
        })
    }
}

impl std::error::Error for EditError {}
