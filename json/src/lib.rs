//! A JSON document type made for change in place, and a path language over it.

#![forbid(unsafe_code)]

mod document;
mod edit;
mod error;
mod names;
mod node;
mod packed;
mod parse;
mod path;
mod print;
mod tree;
mod value;

pub use document::{Document, DocumentRef, LargeDocument, PACKED_BYTES_MAX};
pub use edit::{Condition, Deletion, Rest};
pub use error::{EditError, ParseError, PathError, SearchTooLong, TooLarge};
pub use path::Path;
pub use print::{Layout, print_number, print_string};
pub use value::{Array, Kind, Number, Object, Value, View};

/// How deep containers may nest: an array in an array is two deep.
pub const DEPTH_MAX: usize = 127;

#[cfg(test)]
mod tests;
