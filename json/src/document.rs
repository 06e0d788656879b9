//! A document and its two forms.

use std::borrow::Cow;
use std::sync::Arc;

use crate::error::ParseError;
use crate::node::{Node, Piece};
use crate::parse;
use crate::value::Value;

/// Documents whose packed form takes at most this many bytes are kept packed: to copy so much costs
/// less than to make nodes. A large one that shrinks becomes packed only when it is far smaller.
pub const PACKED_BYTES_MAX: usize = 4096;

/// One JSON document that cannot be changed; an edit makes a new one.
#[derive(Clone, Debug)]
pub enum Document {
    /// A small document: one block of at most [`PACKED_BYTES_MAX`] bytes.
    Packed(Vec<u8>),
    /// A large document, sharing structure with its other versions.
    Large(LargeDocument),
}

/// A large document: a handle that clones by counting a reference or two.
#[derive(Clone, Debug)]
pub struct LargeDocument {
    root: Node,
}

/// A value to be put into documents, read from its text: a short one takes no memory of its own.
#[derive(Clone, Debug)]
pub struct Operand(Form);

#[derive(Clone, Debug)]
enum Form {
    Short(Short),
    Document(Document),
}

/// The packed form of a short scalar.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Short {
    pub(crate) bytes: [u8; Short::BYTES_MAX],
    pub(crate) length: u8,
}

impl Short {
    pub(crate) const BYTES_MAX: usize = 31;
}

impl Operand {
    /// Reads JSON text: the whole of `text` must be one value.
    #[inline]
    pub fn parse(text: &[u8]) -> Result<Operand, ParseError> {
        match parse::short(text) {
            Some(short) => Ok(Operand(Form::Short(short))),
            None => Document::parse(text).map(|document| Operand(Form::Document(document))),
        }
    }

    /// Borrows the value as a document.
    #[inline]
    pub fn borrow(&self) -> DocumentRef<'_> {
        match &self.0 {
            Form::Short(short) => DocumentRef::Packed(&short.bytes[..usize::from(short.length)]),
            Form::Document(document) => document.borrow(),
        }
    }
}

/// A document borrowed from wherever it lies.
#[derive(Clone, Copy, Debug)]
pub enum DocumentRef<'a> {
    /// The packed form of a document.
    Packed(&'a [u8]),
    Large(&'a LargeDocument),
}

impl Document {
    /// Reads JSON text: the whole of `text` must be one document.
    pub fn parse(text: &[u8]) -> Result<Document, ParseError> {
        Ok(Document::from_packed_vec(parse::parse(text)?))
    }

    /// A copy of the document whose packed form is `bytes`, as [`Document::packed_bytes`] gave it.
    ///
    /// Reading other bytes may panic.
    pub fn from_packed(bytes: &[u8]) -> Document {
        Document::from_packed_vec(bytes.to_vec())
    }

    pub(crate) fn from_packed_vec(bytes: Vec<u8>) -> Document {
        if bytes.len() <= PACKED_BYTES_MAX {
            Document::Packed(bytes)
        } else {
            Document::of_large_node(Node::of_packed_vec(bytes))
        }
    }

    fn of_large_node(root: Node) -> Document {
        Document::Large(LargeDocument { root })
    }

    /// A document that a change of a large one left.
    pub(crate) fn of_piece(piece: Piece) -> Document {
        match piece {
            Piece::Packed(bytes) => Document::from_packed_vec(bytes),
            Piece::Node(root) => Document::of_large_node(Arc::unwrap_or_clone(root)),
        }
    }

    /// The packed form of a small document.
    pub fn packed_bytes(&self) -> Option<&[u8]> {
        match self {
            Document::Packed(bytes) => Some(bytes),
            Document::Large(_) => None,
        }
    }

    /// Borrows this document.
    pub fn borrow(&self) -> DocumentRef<'_> {
        match self {
            Document::Packed(bytes) => DocumentRef::Packed(bytes),
            Document::Large(large) => DocumentRef::Large(large),
        }
    }

    /// The value the whole document is.
    pub fn root(&self) -> Value<'_> {
        self.borrow().root()
    }

    /// Heap bytes this document holds, shared ones included; takes constant time.
    pub fn memory_bytes(&self) -> usize {
        self.borrow().memory_bytes()
    }
}

impl LargeDocument {
    /// A document that a change of a large one left, unless it is to be packed.
    pub(crate) fn of_node(root: Node) -> Option<LargeDocument> {
        root.stays().then_some(LargeDocument { root })
    }

    /// Heap bytes this document holds, shared ones included; takes constant time.
    pub fn memory_bytes(&self) -> usize {
        self.root.extent()
    }

    /// The value the whole document is.
    pub fn root(&self) -> Value<'_> {
        self.root.value()
    }
}

impl<'a> DocumentRef<'a> {
    /// The document whose packed form is `bytes`, as [`Document::packed_bytes`] gave it.
    pub fn packed(bytes: &'a [u8]) -> DocumentRef<'a> {
        DocumentRef::Packed(bytes)
    }

    /// A large document.
    pub fn large(document: &'a LargeDocument) -> DocumentRef<'a> {
        DocumentRef::Large(document)
    }

    /// The value the whole document is.
    pub fn root(self) -> Value<'a> {
        match self {
            DocumentRef::Packed(bytes) => Value::packed(bytes),
            DocumentRef::Large(large) => large.root(),
        }
    }

    /// As [`Document::memory_bytes`].
    pub fn memory_bytes(self) -> usize {
        match self {
            DocumentRef::Packed(bytes) => bytes.len(),
            DocumentRef::Large(large) => large.memory_bytes(),
        }
    }

    /// The packed form, whatever the size; takes time in proportion to a large document.
    pub fn packed_bytes(self) -> Cow<'a, [u8]> {
        match self {
            DocumentRef::Packed(bytes) => Cow::Borrowed(bytes),
            DocumentRef::Large(large) => {
                let mut bytes = Vec::with_capacity(large.memory_bytes());
                let packed = large.root().pack(&mut bytes);
                packed.expect("edits keep documents below what can be packed");
                Cow::Owned(bytes)
            }
        }
    }

    /// A document of its own: a copy when packed, one more reference when large.
    pub fn to_document(self) -> Document {
        match self {
            DocumentRef::Packed(bytes) => Document::from_packed(bytes),
            DocumentRef::Large(large) => Document::Large(large.clone()),
        }
    }
}
