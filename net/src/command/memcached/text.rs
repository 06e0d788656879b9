//! What a value is to a client of Memcached: the Memcached side of the bridge.
//!
//! A string is its bytes. With `json_bridge` on, a document is its compact text, as JSON.GET prints
//! it, under the flags and the token of its entry. Everything else is nothing.

use std::cell::OnceCell;

use json::DocumentRef;
use store::value::json::JsonDoc;
use store::value::string::Str;
use store::{Entry, Kind};

use super::Call;
use crate::command::string::append_long;
use crate::protocol::output::Output;

/// An entry with the text it holds.
pub(super) type TextEntry<'g> = (Entry<'g>, Text<'g>);

/// The text of an item.
#[derive(Debug)]
pub(super) enum Text<'g> {
    String(Str<'g>),
    /// A document, and its text once that was asked for.
    Document(DocumentRef<'g>, OnceCell<Vec<u8>>),
}

impl Call<'_> {
    /// The text an entry holds, if it holds any.
    pub(super) fn text_of<'g>(&self, entry: Entry<'g>) -> Option<Text<'g>> {
        match entry.kind() {
            Kind::String => Str::of(entry).ok().map(Text::String),
            Kind::Json if self.is_bridged => {
                let document = JsonDoc::of(entry).ok()?.document();
                Some(Text::Document(document, OnceCell::new()))
            }
            _ => None,
        }
    }

    /// An entry with its text, if it has one.
    pub(super) fn with_text<'g>(&self, entry: Entry<'g>) -> Option<TextEntry<'g>> {
        Some((entry, self.text_of(entry)?))
    }
}

impl Text<'_> {
    /// Its length in bytes.
    pub(super) fn len(&self) -> usize {
        match self {
            Text::String(text) => text.len(),
            Text::Document(document, printed) => print_once(*document, printed).len(),
        }
    }

    /// Appends all bytes to a reply.
    #[inline]
    pub(super) fn append_to(&self, out: &mut Output) {
        match self {
            Text::String(text) => match text.in_entry() {
                Some(bytes) => out.extend_from_slice(bytes),
                None => append_long(*text, out),
            },
            Text::Document(document, printed) => {
                out.extend_from_slice(print_once(*document, printed));
            }
        }
    }
}

fn print_once<'t>(document: DocumentRef<'_>, printed: &'t OnceCell<Vec<u8>>) -> &'t [u8] {
    printed.get_or_init(|| {
        let mut text = Vec::new();
        document.root().print(&mut text);
        text
    })
}
