//! A JSON document type made for change in place, and a path language over it.
//!
//! A [`Document`] cannot be changed: an edit makes a new version. Small documents are one packed
//! block, which can also be borrowed from wherever it lies ([`DocumentRef`]); large ones are trees
//! whose versions share what an edit leaves alone, so that changing one field costs about the same
//! in a document of a kilobyte and in one of a megabyte. [`Value`] reads both forms.
//!
//! ```
//! use json::{Condition, Document, Path};
//!
//! let profile = Document::parse(br#"{"name":"Joe","prefs":{"theme":"dark"}}"#)?;
//! let light = Document::parse(br#""light""#)?;
//! let theme = Path::parse(b"$.prefs.theme")?;
//!
//! let changed = profile.borrow().set(&theme, light.borrow(), Condition::Always)?;
//! let mut text = Vec::new();
//! changed.expect("the path means something").root().print(&mut text);
//! assert_eq!(text, br#"{"name":"Joe","prefs":{"theme":"light"}}"#);
//!
//! // The version before is still there.
//! assert_eq!(theme.find(profile.root())?.len(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

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

pub use document::{Document, DocumentRef, LargeDocument, Operand, PACKED_BYTES_MAX};
pub use edit::{Arithmetic, Condition, Deletion, Edit, Head, Rest, Spliced};
pub use error::{EditError, ParseError, PathError, SearchTooLong, TooLarge};
pub use path::Path;
pub use print::{Layout, print_number, print_string};
pub use value::{Array, Kind, Number, Object, Value, View};

/// How deep containers may nest: an array in an array is two deep.
pub const DEPTH_MAX: usize = 127;

#[cfg(test)]
mod tests;
