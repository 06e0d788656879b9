//! Values put in their place: SET, MSET, MERGE.

use json::{Condition, Document, Head, Operand, ParseError, Path};
use store::value::json::{JsonDoc, borrowed};
use store::{Change, Draft, Entry, NewValue};

use super::document::{Reach, check_replaceable, document_of, update, weigh};
use super::paths::{Compiled, compiled};
use super::{Args, At, Call, Command, DenyOom, Error, From, KILOBYTE, Run, Write, error};

const NOT_AT_ROOT: Error = Error::Text("ERR new objects must be created at the root");
const WRONG_FORMAT: Error = Error::Text("ERR wrong format");

pub(super) const SET: Command = Command {
    name: "json.set",
    syntax: "key path value [NX | XX] [FORMAT <STRING | JSON>]",
    summary: "Sets what a path means, or makes a new member or document.",
    since: "1.0.0",
    complexity: "O(M+N) with M the size of the document and N that of the value",
    flags: &[Write, DenyOom],
    keys: &[At(1)],
    body: Run(set),
};

pub(super) const MERGE: Command = Command {
    name: "json.merge",
    syntax: "key path value [FORMAT <STRING | JSON>]",
    summary: "Merges a patch (RFC 7396) into what a path means, or makes a new member or document.",
    since: "2.6.0",
    complexity: "O(N) with N the size of the patch, for a path with one match",
    flags: &[Write, DenyOom],
    keys: &[At(1)],
    body: Run(merge),
};

pub(super) const MSET: Command = Command {
    name: "json.mset",
    syntax: "key path value [key path value ...]",
    summary: "Sets what paths mean in several documents, all at one moment.",
    since: "2.6.0",
    complexity: "O(K*(M+N)) with K keys, M the size of a document and N that of a value",
    flags: &[Write, DenyOom],
    keys: &[From {
        first: 1,
        last: -1,
        step: 3,
    }],
    body: Run(mset),
};

/// What to do with a value.
#[derive(Clone, Copy)]
enum Manner {
    Set(Condition),
    Merge,
}

/// Whether a command looks at a key for the first time, and says what it costs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    First,
    Again,
}

/// A value and where it goes. What is wrong with them shows when the key is looked at.
struct Request {
    path: Compiled,
    value: Result<Operand, Error>,
    manner: Manner,
}

fn set(call: &mut Call<'_>) -> Result<(), Error> {
    let (key, path, text) = (call.args.word()?, call.args.word()?, call.args.word()?);
    let mut condition = Condition::Always;
    while !call.args.is_empty() {
        let args = &mut call.args;
        match () {
            () if args.option("FORMAT") => format(args, "json.set")?,
            () if condition != Condition::Always => return Err(error::SYNTAX),
            () if args.option("NX") => condition = Condition::IfMissing,
            () if args.option("XX") => condition = Condition::IfPresent,
            () => return Err(error::SYNTAX),
        }
    }
    run(call, key, path, text, Manner::Set(condition))
}

fn merge(call: &mut Call<'_>) -> Result<(), Error> {
    let (key, path, text) = (call.args.word()?, call.args.word()?, call.args.word()?);
    while !call.args.is_empty() {
        match call.args.option("FORMAT") {
            true => format(&mut call.args, "json.merge")?,
            false => return Err(error::SYNTAX),
        }
    }
    run(call, key, path, text, Manner::Merge)
}

/// Takes the name of a format in which a value may stand: it always stands in JSON.
fn format(args: &mut Args<'_>, command: &str) -> Result<(), Error> {
    match args.next() {
        Some(b"STRING" | b"JSON") => Ok(()),
        Some(_) => Err(WRONG_FORMAT),
        None => Err(error::wrong_arity(command)),
    }
}

fn run(
    call: &mut Call<'_>,
    key: &[u8],
    path: &[u8],
    text: &[u8],
    manner: Manner,
) -> Result<(), Error> {
    let request = Request::new(call, path, text, manner)?;
    let mut head = Head::new();
    // For the first attempt, which is mostly the last.
    let mut room = Some(&mut head);
    let is_done = update(&call.db, key, |entry| {
        if let (Some(entry), Some(head)) = (entry, room.take())
            && let Some(new) = request.spliced(entry, head)
        {
            return Ok((Change::Put(Draft::keeping(entry, new)), true));
        }
        request.decide(call, entry, Look::First)
    })?;
    match is_done {
        true => call.reply.ok(),
        false => call.reply.null(),
    }
    Ok(())
}

/// All or nothing: first every key is looked at, as it is before the command, then all are changed.
fn mset(call: &mut Call<'_>) -> Result<(), Error> {
    let mut requests: Vec<(&[u8], Request)> = Vec::new();
    let (triplets, rest) = call.args.rest().as_chunks::<3>();
    for [key, path, text] in triplets {
        let request = Request::new(call, path, text, Manner::Set(Condition::Always))?;
        requests.push((key, request));
    }
    let are_done = call.db.atomic(|db| {
        for (key, request) in &requests {
            let check = update(db, key, |entry| {
                request.decide(call, entry, Look::First)?;
                Ok((Change::Keep, ()))
            });
            match check {
                Ok(()) => {}
                Err(Error::Store(error)) => return Err(error),
                Err(error) => return Ok(Err(error)),
            }
        }
        if !rest.is_empty() {
            return Ok(Err(error::wrong_arity("json.mset")));
        }
        let mut are_done = true;
        for (key, request) in &requests {
            match update(db, key, |entry| request.decide(call, entry, Look::Again)) {
                Ok(is_done) => are_done &= is_done,
                Err(Error::Store(error)) => return Err(error),
                // A change before has taken its place away.
                Err(_) => are_done = false,
            }
        }
        Ok(Ok(are_done))
    })??;
    match are_done {
        true => call.reply.ok(),
        false => call.reply.null(),
    }
    Ok(())
}

impl Request {
    /// # Errors
    /// The value is work for another thread.
    #[inline(always)]
    fn new(call: &Call<'_>, path: &[u8], text: &[u8], manner: Manner) -> Result<Request, Error> {
        call.heavy(text.len() / KILOBYTE)?;
        Ok(Request {
            path: compiled(path),
            value: Operand::parse(text).map_err(not_json),
            manner,
        })
    }

    /// What the request makes of the document in `entry` when one value takes the place of another
    /// and little else changes, which is mostly so; None where [`Request::decide`] finds out.
    #[inline(always)]
    fn spliced<'a>(&self, entry: Entry<'a>, head: &'a mut Head) -> Option<NewValue<'a>> {
        let Manner::Set(Condition::Always | Condition::IfPresent) = self.manner else {
            return None;
        };
        let (path, value) = (self.path.as_deref().ok()?, self.value.as_ref().ok()?);
        let old = JsonDoc::of(entry).ok()?;
        old.spliced(path, value.borrow(), head)
    }

    /// What becomes of what is there, and whether anything does.
    #[inline(always)]
    fn decide<'a>(
        &'a self,
        call: &Call<'_>,
        entry: Option<Entry<'_>>,
        look: Look,
    ) -> Result<(Change<'a>, bool), Error> {
        let means_root = self.path.as_deref().is_ok_and(Path::is_root);
        let value = self.value.as_ref().map_err(Clone::clone);
        let Some(entry) = entry else {
            let value = value?.borrow();
            return match self.manner {
                Manner::Set(Condition::IfPresent) => Ok((Change::Keep, false)),
                _ if !means_root => Err(NOT_AT_ROOT),
                _ => Ok((Change::Put(Draft::new(borrowed(value)?)), true)),
            };
        };
        if let Manner::Set(condition) = self.manner
            && means_root
        {
            check_replaceable(call, entry)?;
            let value = value?.borrow();
            return Ok(match condition {
                Condition::IfMissing => (Change::Keep, false),
                _ => (Change::Put(Draft::keeping(entry, borrowed(value)?)), true),
            });
        }
        let found = document_of(call, entry)?;
        let path = self.path.as_deref().map_err(Clone::clone);
        if look == Look::First
            && let Ok(path) = path
        {
            weigh(call, found.document(), [path], Reach::Surface)?;
        }
        let value = value?.borrow();
        let path = path?;
        let edited = match self.manner {
            Manner::Set(condition) => found.document().set(path, value, condition)?,
            Manner::Merge => found.document().merge(path, value)?,
        };
        Ok(match edited {
            Some(document) => {
                let new = found.followed_by(document)?;
                (Change::Put(Draft::keeping(entry, new)), true)
            }
            None => (Change::Keep, false),
        })
    }
}

/// Reads a value from its text.
///
/// # Errors
/// There is none, or it is work for another thread.
pub(super) fn parse_value(call: &Call<'_>, text: &[u8]) -> Result<Document, Error> {
    call.heavy(text.len() / KILOBYTE)?;
    Document::parse(text).map_err(not_json)
}

#[cold]
fn not_json(error: ParseError) -> Error {
    Error::Owned(error.to_string())
}
