//! JSON documents: the borrowed view of one in an entry, and entries' values made of them.
//!
//! A small document stands in its entry, in the packed form that the `json` crate reads without
//! unpacking. A large one stands beside it, in nodes that its versions share; the entry holds a
//! handle of the version. Reading a member touches what is on the way to it; an edit makes a new
//! packed block, or new nodes on the way to the change.

use json::{Document, DocumentRef, Head, LargeDocument, Path, Spliced};
use smallvec::SmallVec;

use super::string::check_len;
use super::{Body, Delta, NewValue, Origin, Part, of_kind};
use crate::document::{HANDLE_BYTES, Handle, Version};
use crate::entry::{Entry, Form, Kind};
use crate::error::Error;

/// A document as an entry holds it.
#[derive(Clone, Copy, Debug)]
pub struct JsonDoc<'g> {
    entry: Entry<'g>,
    stored: Stored<'g>,
}

/// Where the document is.
#[derive(Clone, Copy, Debug)]
enum Stored<'g> {
    /// In the entry.
    Packed(&'g [u8]),
    /// Beside it.
    Large(&'g Version),
}

impl<'g> JsonDoc<'g> {
    /// The document in `entry`.
    ///
    /// # Errors
    /// [`Error::WrongType`].
    pub fn of(entry: Entry<'g>) -> Result<JsonDoc<'g>, Error> {
        let entry = of_kind(entry, Kind::Json)?;
        let stored = match entry.form() {
            Form::Handle => Stored::Large(Version::of(entry)),
            _ => Stored::Packed(entry.value_bytes()),
        };
        Ok(JsonDoc { entry, stored })
    }

    /// The document, to read and to edit.
    pub fn document(self) -> DocumentRef<'g> {
        match self.stored {
            Stored::Packed(bytes) => DocumentRef::packed(bytes),
            Stored::Large(version) => DocumentRef::large(version.document()),
        }
    }

    /// About how many bytes it takes.
    pub fn extent(self) -> usize {
        super::memory_bytes(self.entry)
    }

    /// What [`DocumentRef::splice`] makes of this document, as the value that follows it.
    #[inline(always)]
    pub fn spliced<'a>(
        self,
        path: &Path,
        value: DocumentRef<'_>,
        head: &'a mut Head,
    ) -> Option<NewValue<'a>>
    where
        'g: 'a,
    {
        match (self.document().splice(path, value, head)?, self.stored) {
            (Spliced::Packed(tail), _) => {
                let parts = [Part::Borrowed(head.bytes()), Part::Borrowed(tail)];
                Some(plain(Body::Several(SmallVec::from_buf(parts))))
            }
            (Spliced::Large(large), Stored::Large(version)) => {
                check_len(large.memory_bytes()).ok()?;
                version.note_successor();
                Some(of_large(large))
            }
            (Spliced::Large(_), Stored::Packed(_)) => None,
        }
    }

    /// What an edit made of this document, as the value that follows it.
    ///
    /// # Errors
    /// [`Error::TooLong`].
    #[inline(always)]
    pub fn followed_by<'a>(self, document: Document) -> Result<NewValue<'a>, Error> {
        if let Stored::Large(version) = self.stored {
            version.note_successor();
        }
        owned(document)
    }
}

/// A document made for the purpose, as a value.
///
/// # Errors
/// [`Error::TooLong`].
#[inline(always)]
pub fn owned<'a>(document: Document) -> Result<NewValue<'a>, Error> {
    check_len(document.memory_bytes())?;
    Ok(match document {
        Document::Packed(bytes) => plain(Body::default().owned(bytes)),
        Document::Large(large) => of_large(large),
    })
}

/// A document that stays where it is, as a value.
///
/// # Errors
/// [`Error::TooLong`].
pub fn borrowed(document: DocumentRef<'_>) -> Result<NewValue<'_>, Error> {
    check_len(document.memory_bytes())?;
    Ok(match document {
        DocumentRef::Packed(bytes) => plain(Body::default().borrowed(bytes)),
        DocumentRef::Large(large) => of_large(large.clone()),
    })
}

/// A version of a large document, with a handle of its own.
pub(super) fn of_large<'a>(large: LargeDocument) -> NewValue<'a> {
    let handle = Handle::new(large);
    let mut bytes = [0; Part::SHORT_BYTES_MAX];
    bytes[..HANDLE_BYTES].copy_from_slice(&handle.to_bytes());
    let body = Body::One(Part::Short(bytes, HANDLE_BYTES as u8));
    NewValue {
        kind: Kind::Json,
        form: Form::Handle,
        body,
        origin: Origin::New(Delta::of_document(handle)),
    }
}

#[inline(always)]
fn plain(body: Body<'_>) -> NewValue<'_> {
    NewValue::flat(Kind::Json, Form::Plain, body)
}

#[cfg(test)]
mod tests {
    use json::Condition;

    use super::super::held::Held;
    use super::super::{deep_copy, memory_bytes, same_value, string};
    use super::*;
    use crate::memory::counted_here;
    use crate::reclaim;
    use crate::value::Edited;

    fn large_text() -> String {
        format!("[{}]", vec!["\"element\""; 1000].join(","))
    }

    fn document(text: &str) -> Document {
        Document::parse(text.as_bytes()).unwrap()
    }

    fn text(entry: Entry<'_>) -> String {
        let mut printed = Vec::new();
        JsonDoc::of(entry)
            .unwrap()
            .document()
            .root()
            .print(&mut printed);
        String::from_utf8(printed).unwrap()
    }

    /// The document in `held` with `value` at `path`.
    fn set(held: &Held, path: &str, value: &str) -> NewValue<'static> {
        let old = JsonDoc::of(held.entry()).unwrap();
        let path = Path::parse(path.as_bytes()).unwrap();
        let new = old
            .document()
            .set(&path, document(value).borrow(), Condition::Always);
        old.followed_by(new.unwrap().unwrap()).unwrap()
    }

    #[test]
    fn an_entry_gives_back_the_document_it_was_made_of() {
        for given in ["7", r#"{"a":[1,2.5]}"#, &large_text()] {
            let document = document(given);
            assert_eq!(
                text(Held::new(borrowed(document.borrow()).unwrap()).entry()),
                given
            );
            assert_eq!(text(Held::new(owned(document).unwrap()).entry()), given);
        }
    }

    #[test]
    fn versions_follow_each_other_and_leave_nothing_behind() {
        let before = counted_here().0;
        let mut held = Held::new(owned(document(&large_text())).unwrap());
        assert_eq!(counted_here().0 - before, memory_bytes(held.entry()) as i64);
        for place in 0..300 {
            let value = set(&held, &format!("$[{place}]"), "{\"a\":1}");
            held = Held::after(Some(held), Edited::Changed(value)).unwrap();
            // Not every value that is made is published.
            drop(set(&held, "$[5]", "2"));
        }
        let copy = Held::new(deep_copy(held.entry()));
        let same = same_value(held.entry());
        held = Held::after(Some(held), Edited::Changed(same)).unwrap();
        let shrunk = set(&held, "$", "[]");
        held = Held::after(Some(held), Edited::Changed(shrunk)).unwrap();
        assert_eq!(text(held.entry()), "[]");
        assert_eq!(text(copy.entry()).matches("{\"a\":1}").count(), 300);
        drop((held, copy));
        reclaim::settle();
        assert_eq!(counted_here().0, before);
    }

    #[test]
    fn other_types_are_not_documents() {
        let held = Held::new(string::bytes(b"{}"));
        assert_eq!(JsonDoc::of(held.entry()).unwrap_err(), Error::WrongType);
    }
}
