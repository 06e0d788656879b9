//! What counts as a document at a key: the JSON side of the bridge.
//!
//! A document does. With `json_bridge` on, so does a string that holds JSON: it is parsed for each
//! command, and the first change puts a document in its place, under the same expiry and flags.

use json::{Document, DocumentRef};
use store::value::json::{JsonDoc, owned};
use store::value::string::Str;
use store::{Entry, Kind, NewValue};

use super::{Call, Error, KILOBYTE};
use crate::config::Setting;

const WRONG_REDIS_TYPE: Error = Error::Text("Existing key has wrong Redis type");

/// A document at a key.
#[derive(Debug)]
pub(super) enum Found<'g> {
    Stored(JsonDoc<'g>),
    /// Read from a string's text.
    Read(Document),
}

impl Found<'_> {
    /// The document, to read and to edit.
    pub(super) fn document(&self) -> DocumentRef<'_> {
        match self {
            Found::Stored(document) => document.document(),
            Found::Read(document) => document.borrow(),
        }
    }

    /// What an edit made of it, as the value that follows it.
    pub(super) fn followed_by<'a>(&self, document: Document) -> Result<NewValue<'a>, store::Error> {
        match self {
            Found::Stored(old) => old.followed_by(document),
            Found::Read(_) => owned(document),
        }
    }
}

/// The document in `entry`: every JSON command looks at a key through this.
///
/// # Errors
/// It holds no document; or reading one from its text is work for another thread.
pub(super) fn document_of<'g>(call: &Call<'_>, entry: Entry<'g>) -> Result<Found<'g>, Error> {
    if let Ok(document) = JsonDoc::of(entry) {
        return Ok(Found::Stored(document));
    }
    match Str::of(entry) {
        Ok(text) if is_bridged(call) => {
            call.heavy(text.len() / KILOBYTE)?;
            let document = Document::parse(&text.to_cow());
            document.map(Found::Read).map_err(|_| WRONG_REDIS_TYPE)
        }
        _ => Err(WRONG_REDIS_TYPE),
    }
}

/// Whether a new root may take the place of what `entry` holds: a document, and any string if the
/// bridge is on.
///
/// # Errors
/// It may not.
pub(super) fn check_replaceable(call: &Call<'_>, entry: Entry<'_>) -> Result<(), Error> {
    match entry.kind() {
        Kind::Json => Ok(()),
        Kind::String if is_bridged(call) => Ok(()),
        _ => Err(WRONG_REDIS_TYPE),
    }
}

fn is_bridged(call: &Call<'_>) -> bool {
    call.shared.settings.is_on(Setting::JsonBridge)
}
