//! Documents at keys: how commands read and change them, and what counts as one.
//!
//! A document does. With `json_bridge` on, so does a string that holds JSON: it is parsed for each
//! command, and the first change puts a document in its place, under the same expiry and flags.

use json::{Document, DocumentRef, Edit, Path, Value};
use store::value::json::{JsonDoc, owned};
use store::value::string::Str;
use store::{Change, Db, Draft, Entry, Kind, NewValue};

use super::paths::Compiled;
use super::{Call, Error, KILOBYTE, NO_SUCH_KEY, Reply};
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
    #[inline(always)]
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

/// How much of what a path means a command looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// That it is there, its type, its length.
    Surface,
    /// All that is in it.
    Whole,
}

/// Says what it costs to follow `paths`, and to look at what they mean: where one may lead
/// anywhere, the whole document is visited.
pub(super) fn weigh<'p, 't: 'p>(
    call: &Call<'_>,
    document: DocumentRef<'_>,
    paths: impl IntoIterator<Item = &'p Path>,
    reach: Reach,
) -> Result<(), Error> {
    let root = document.root();
    let is_light = |bytes: usize| call.heavy(bytes / KILOBYTE);
    if is_light(root.extent()).is_ok() {
        return Ok(());
    }
    let mut bytes = 0;
    for path in paths {
        if !path.is_singular() {
            return is_light(root.extent());
        }
        if reach == Reach::Whole {
            bytes += path.first(root)?.map_or(0, Value::extent);
        }
    }
    is_light(bytes)
}

/// The document at a key, for a command that reads.
pub(super) fn read<'c>(call: &Call<'c>, key: &[u8]) -> Result<Option<Found<'c>>, Error> {
    let entry = call.db.read(key);
    entry.map(|entry| document_of(call, entry)).transpose()
}

/// As [`Db::update`], with the errors of commands.
pub(super) fn update<'c, 'a, R>(
    db: &Db<'c>,
    key: &[u8],
    decide: impl FnMut(Option<Entry<'c>>) -> Result<(Change<'a>, R), Error>,
) -> Result<R, Error> {
    db.update_or(key, decide)
}

/// Changes the document at a key at all that `path` means, and says what came of it.
///
/// # Errors
/// There is no document, or the path cannot be followed. An edit that failed at one of several
/// values is none: what it did before stands.
pub(super) fn change<A>(
    call: &Call<'_>,
    key: &[u8],
    path: &Compiled,
    reach: Reach,
    edit: impl Fn(DocumentRef<'_>, &Path) -> Result<Edit<A>, json::EditError>,
) -> Result<Edit<A>, Error> {
    update(&call.db, key, |entry| {
        let entry = entry.ok_or(NO_SUCH_KEY)?;
        let found = document_of(call, entry)?;
        let path = path.as_deref().map_err(Clone::clone)?;
        weigh(call, found.document(), [path], reach)?;
        let mut edit = edit(found.document(), path)?;
        let change = match edit.document.take() {
            Some(document) => Change::Put(Draft::keeping(entry, found.followed_by(document)?)),
            None => Change::Keep,
        };
        Ok((change, edit))
    })
}

/// Answers with what came of each value that was changed; for a path of the older syntax, with
/// the last alone, or with `none` where there is none.
pub(super) fn reply_edit<A>(
    reply: &mut Reply<'_>,
    is_legacy: bool,
    edit: Edit<A>,
    none: Error,
    mut answer: impl FnMut(&mut Reply<'_>, A),
) -> Result<(), Error> {
    if let Some(failure) = edit.failure {
        return Err(failure.into());
    }
    if is_legacy {
        let last = edit
            .last
            .and_then(|last| edit.answers.into_iter().nth(last)?);
        answer(reply, last.ok_or(none)?);
        return Ok(());
    }
    reply.array(edit.answers.len());
    for value in edit.answers {
        match value {
            Some(value) => answer(reply, value),
            None => reply.null(),
        }
    }
    Ok(())
}
