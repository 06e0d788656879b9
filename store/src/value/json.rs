//! JSON documents: the borrowed view of one in an entry, and entries' values made of them.
//!
//! A document stands in its entry in the packed form that the `json` crate reads without
//! unpacking, whatever its size. Reading a member touches the headers on the way to it; an edit
//! makes a new packed block, which the entry's successor takes over.

use std::borrow::Cow;

use json::{Document, DocumentRef};

use super::string::check_len;
use super::{Body, NewValue, of_kind};
use crate::entry::{Entry, Form, Kind};
use crate::error::Error;

/// A document as an entry holds it.
#[derive(Clone, Copy, Debug)]
pub struct JsonDoc<'g> {
    packed: &'g [u8],
}

impl<'g> JsonDoc<'g> {
    /// The document in `entry`.
    ///
    /// # Errors
    /// [`Error::WrongType`].
    pub fn of(entry: Entry<'g>) -> Result<JsonDoc<'g>, Error> {
        let packed = of_kind(entry, Kind::Json)?.value_bytes();
        Ok(JsonDoc { packed })
    }

    /// The document in `entry`, if there is an entry.
    ///
    /// # Errors
    /// [`Error::WrongType`].
    pub fn of_any(entry: Option<Entry<'g>>) -> Result<Option<JsonDoc<'g>>, Error> {
        entry.map(JsonDoc::of).transpose()
    }

    /// The document, to read and to edit.
    pub fn document(self) -> DocumentRef<'g> {
        DocumentRef::packed(self.packed)
    }

    /// About how many bytes it takes.
    pub fn extent(self) -> usize {
        self.packed.len()
    }
}

/// A document that stays where it is, as a value.
///
/// # Errors
/// [`Error::TooLong`].
pub fn borrowed(document: DocumentRef<'_>) -> Result<NewValue<'_>, Error> {
    check_len(document.packed_bytes().len())?;
    Ok(plain(match document.packed_bytes() {
        Cow::Borrowed(bytes) => Body::default().borrowed(bytes),
        Cow::Owned(bytes) => Body::default().owned(bytes),
    }))
}

/// A document made for the purpose, as a value.
///
/// # Errors
/// [`Error::TooLong`].
pub fn owned<'a>(document: Document) -> Result<NewValue<'a>, Error> {
    let bytes = document.into_packed_bytes();
    check_len(bytes.len())?;
    Ok(plain(Body::default().owned(bytes)))
}

fn plain(body: Body<'_>) -> NewValue<'_> {
    NewValue::flat(Kind::Json, Form::Plain, body)
}

#[cfg(test)]
mod tests {
    use json::Path;

    use super::*;
    use crate::entry::Meta;

    /// Calls `check` with an entry that holds `value`.
    fn with_entry(value: NewValue<'_>, check: impl FnOnce(Entry<'_>)) {
        let shape = (value.kind, value.form);
        let entry = Entry::allocate(1, b"key", shape, &value.body.slices(), &Meta::default());
        check(entry);
        // SAFETY: nobody else knows the entry.
        unsafe { entry.block().free() };
    }

    #[test]
    fn an_entry_gives_back_the_document_it_was_made_of() {
        let large = format!("[{}]", vec!["\"element\""; 1000].join(","));
        for text in ["7", r#"{"a":[1,2.5]}"#, &large] {
            let document = Document::parse(text.as_bytes()).unwrap();
            for value in [borrowed(document.borrow()), owned(document.clone())] {
                with_entry(value.unwrap(), |entry| {
                    let root = JsonDoc::of(entry).unwrap().document().root();
                    let mut printed = Vec::new();
                    root.print(&mut printed);
                    assert_eq!(String::from_utf8(printed).unwrap(), text);
                });
            }
        }
    }

    #[test]
    fn an_edit_of_a_document_in_an_entry_is_a_value_again() {
        let document = Document::parse(br#"{"a":1}"#).unwrap();
        let two = Document::parse(b"2").unwrap();
        with_entry(owned(document).unwrap(), |entry| {
            let old = JsonDoc::of(entry).unwrap();
            let path = Path::parse(b"$.a").unwrap();
            let set = old
                .document()
                .set(&path, two.borrow(), json::Condition::Always);
            with_entry(owned(set.unwrap().unwrap()).unwrap(), |entry| {
                let mut printed = Vec::new();
                JsonDoc::of(entry)
                    .unwrap()
                    .document()
                    .root()
                    .print(&mut printed);
                assert_eq!(printed, br#"{"a":2}"#);
            });
        });
    }

    #[test]
    fn other_types_are_not_documents() {
        with_entry(super::super::string::bytes(b"{}"), |entry| {
            assert_eq!(JsonDoc::of(entry).unwrap_err(), Error::WrongType);
        });
    }
}
