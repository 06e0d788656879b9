//! From a request's words to its reply: finding the command, the checks in Redis's order, the run.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::OnceLock;
use std::sync::atomic::Ordering;

use rapidhash::fast::RandomState;
use store::{Db, Received};

use super::{Args, Body, Call, Command, Edits, Error, Family, Flag, Handler, Reply, error};
use crate::protocol::output::Output;
use crate::session::{Replies, Session};
use crate::shared::Shared;

/// A command or subcommand that runs, with what follows from its place in the table.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Counts from 0 in the order of the table, each container before its subcommands.
    pub(crate) number: usize,
    /// The entry in the table.
    pub(crate) command: &'static Command,
    /// Its family.
    pub(crate) family: &'static Family,
    /// The name, with the container's in front: `client|id`.
    pub(crate) full_name: String,
    /// 1 for a subcommand: the words before its own arguments' name.
    depth: usize,
    /// How many words it takes, all names included.
    words: RangeInclusive<usize>,
    /// Its flags, as bits by their order.
    flags: u32,
    /// Whether its words name elements of a collection.
    pub(crate) names_elements: bool,
    /// The numbers of its subcommands.
    subcommands: std::ops::Range<usize>,
}

struct Index {
    entries: Vec<Entry>,
    by_name: HashMap<&'static [u8], usize, RandomState>,
}

/// The longest name of a command, in bytes.
const NAME_BYTES_MAX: usize = 32;

fn index() -> &'static Index {
    static INDEX: OnceLock<Index> = OnceLock::new();
    INDEX.get_or_init(|| {
        let mut entries = Vec::new();
        let mut by_name = HashMap::default();
        for (family, command) in super::table::iter() {
            by_name.insert(command.name.as_bytes(), entries.len());
            add(&mut entries, family, command);
        }
        Index { entries, by_name }
    })
}

fn add(entries: &mut Vec<Entry>, family: &'static Family, command: &'static Command) {
    let subcommands = match command.body {
        Body::Run(_) | Body::Edit(_) => &[],
        Body::Container(subcommands) | Body::RunOrContainer(_, subcommands) => subcommands,
    };
    let first = entries.len() + 1;
    entries.push(Entry {
        number: entries.len(),
        command,
        family,
        full_name: command.name.into(),
        depth: 0,
        words: command.words(0),
        flags: bits_of(command.flags),
        names_elements: command.names_elements(),
        subcommands: first..first + subcommands.len(),
    });
    for subcommand in subcommands {
        entries.push(Entry {
            number: entries.len(),
            command: subcommand,
            family,
            full_name: format!("{}|{}", command.name, subcommand.name),
            depth: 1,
            words: subcommand.words(1),
            flags: bits_of(subcommand.flags),
            names_elements: subcommand.names_elements(),
            subcommands: 0..0,
        });
    }
}

fn bits_of(flags: &[Flag]) -> u32 {
    flags.iter().fold(0, |bits, &flag| bits | 1 << flag as u32)
}

/// All commands and subcommands by number.
pub(crate) fn entries() -> &'static [Entry] {
    &index().entries
}

/// The command of a name in any case, without regard to subcommands.
pub(crate) fn find(name: &[u8]) -> Option<&'static Entry> {
    let mut lower = [0; NAME_BYTES_MAX];
    let lower = lower.get_mut(..name.len())?;
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    let index = index();
    index.by_name.get(&*lower).map(|&at| &index.entries[at])
}

/// The command or subcommand of a full name (`config|get`) in any case.
pub(crate) fn find_full(name: &[u8]) -> Option<&'static Entry> {
    let mut parts = name.splitn(2, |byte| *byte == b'|');
    let container = find(parts.next()?)?;
    match parts.next() {
        None => Some(container),
        Some(subcommand) => container.subcommand(subcommand),
    }
}

/// What `words` call: a command, or a container's subcommand; the container itself if there is no
/// further word.
pub(crate) fn resolve(words: &[&[u8]]) -> Option<&'static Entry> {
    let entry = find(words[0])?;
    match words.get(1) {
        Some(name) if !entry.subcommands.is_empty() => entry.subcommand(name),
        _ => Some(entry),
    }
}

impl Entry {
    /// The subcommand of a name in any case.
    pub(crate) fn subcommand(&self, name: &[u8]) -> Option<&'static Entry> {
        entries()[self.subcommands.clone()]
            .iter()
            .find(|entry| entry.command.name.as_bytes().eq_ignore_ascii_case(name))
    }

    /// Its subcommands.
    pub(crate) fn subcommands(&self) -> &'static [Entry] {
        &entries()[self.subcommands.clone()]
    }

    /// The number of words, as COMMAND shows it: a subcommand's includes its container.
    pub(crate) fn arity(&self) -> i64 {
        let arity = self.command.arity();
        arity + arity.signum() * self.depth as i64
    }

    /// Whether the first word alone says that it is meant.
    pub(crate) fn is_named_by_one_word(&self) -> bool {
        self.depth == 0 && self.subcommands.is_empty()
    }

    /// Whether it stands below a container.
    pub(crate) fn is_subcommand(&self) -> bool {
        self.depth > 0
    }

    /// Whether so many words, all names included, are as many as it takes.
    pub(crate) fn accepts(&self, words: usize) -> bool {
        self.words.contains(&words)
    }

    /// Whether the command has `flag`.
    pub(crate) fn is(&self, flag: Flag) -> bool {
        self.flags & 1 << flag as u32 != 0
    }

    /// Whether it works on keys, and leaves alone what says which database that is and how uses
    /// of keys are noted: whatever sets these names no key.
    pub(crate) fn is_of_keys(&self) -> bool {
        !self.command.keys.is_empty()
    }

    /// The collection that `words` of it edit, if that is all they do: two of a family that name
    /// the same one can be parts of one run.
    #[inline]
    pub(crate) fn edited<'w>(&self, words: &[&'w [u8]]) -> Option<Edited<'w>> {
        let is_edit = matches!(self.command.body, Body::Edit(_));
        let key = words.get(1).filter(|_| is_edit)?;
        Some(Edited {
            key,
            family: self.family,
        })
    }

    fn handler(&self) -> Option<Handler> {
        match self.command.body {
            Body::Run(handler) | Body::Edit(handler) | Body::RunOrContainer(handler, _) => {
                Some(handler)
            }
            Body::Container(_) => None,
        }
    }
}

/// A collection that words edit, by commands of a family.
#[derive(Clone, Copy)]
pub(crate) struct Edited<'w> {
    key: &'w [u8],
    family: &'static Family,
}

impl PartialEq for Edited<'_> {
    fn eq(&self, other: &Self) -> bool {
        // All entries of a family were made of the same one.
        std::ptr::eq(self.family, other.family) && self.key == other.key
    }
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Its reply is written; whether it is an error.
    Replied(bool),
    /// It was not run: an error says why.
    Rejected,
    /// A transaction holds a key: run it again a little later.
    Busy,
    /// It is for a worker thread.
    Heavy,
    /// CLIENT PAUSE: run it when that is over.
    Paused,
}

/// Why a request is not run, if so; with its arguments' count and the right to run it checked.
///
/// # Errors
/// The reply.
#[inline(always)]
pub(crate) fn check(
    entry: Option<&'static Entry>,
    words: &[&[u8]],
    session: &Session,
) -> Result<(&'static Entry, Handler), Error> {
    let entry = entry.ok_or_else(|| unknown(words))?;
    let handler = match entry.accepts(words.len()) {
        true => entry.handler(),
        false => None,
    };
    let handler = handler.ok_or_else(|| error::wrong_arity(&entry.full_name))?;
    if !session.is_authenticated && !entry.is(Flag::NoAuth) {
        return Err(error::NO_AUTH);
    }
    Ok((entry, handler))
}

/// Where a request is carried out.
#[derive(Debug)]
pub(crate) enum Place<'r> {
    /// On the connection's thread, where it must not take long. Where the words of a long request
    /// stand, if a value may stay there.
    Connection(Option<&'r Received>),
    /// On a worker thread.
    Worker,
    /// On the connection's thread, as a part of a run: what it does is not done before that is
    /// published, and errors are counted then ([`note_error`]).
    Run(&'r dyn Edits),
}

/// Runs one request and appends its reply to `out`, where the client wants one.
// Inlined, since what it is given is much to hand over for each request.
#[inline(always)]
pub(crate) fn run(
    entry: Option<&'static Entry>,
    words: &[&[u8]],
    (session, shared, db): (&mut Session, &Shared, Db<'_>),
    out: &mut Output,
    place: Place<'_>,
) -> Outcome {
    let start = Start {
        out_len: out.len(),
        lookups: store::lookups(),
    };
    let is_on_worker = matches!(place, Place::Worker);
    let (received, edits) = match place {
        Place::Connection(received) => (received, None),
        Place::Run(edits) => (None, Some(edits)),
        Place::Worker => (None, None),
    };
    let is_in_run = edits.is_some();
    let (entry, handler) = match check(entry, words, session) {
        Ok(checked) => checked,
        Err(error) => return failed((error, true), (session, shared), (out, start), is_in_run),
    };
    if !is_on_worker && is_paused(entry, shared, &db) {
        return Outcome::Paused;
    }
    if let Err(error) = make_room(entry, words, &db) {
        let error = Error::Store(error);
        return failed((error, true), (session, shared), (out, start), is_in_run);
    }
    let last_command = &session.client.last_command;
    last_command.store(entry.number + 1, Ordering::Relaxed);
    let result = handler(&mut Call {
        args: Args::new(words.get(1 + entry.depth..).unwrap_or_default()),
        reply: Reply::new(out, session.version),
        db,
        session,
        shared,
        is_on_worker,
        received,
        edits,
    });
    if let Err(error) = result {
        return failed((error, false), (session, shared), (out, start), is_in_run);
    }
    if session.replies != Replies::On {
        silence(session, start.out_len, out);
    }
    Outcome::Replied(false)
}

/// What there was before a request.
#[derive(Clone, Copy)]
struct Start {
    /// Bytes of replies.
    out_len: usize,
    lookups: store::Lookups,
}

/// Ends a request that was not carried out, or rejected: with an error in the place of what it has
/// replied since `start`, if it is not for later.
#[cold]
fn failed(
    (error, is_rejected): (Error, bool),
    (session, shared): (&mut Session, &Shared),
    (out, start): (&mut Output, Start),
    is_in_run: bool,
) -> Outcome {
    let Start { out_len, lookups } = start;
    out.truncate(out_len);
    let outcome = fail(error, is_rejected, Reply::new(out, session.version));
    if matches!(outcome, Outcome::Heavy | Outcome::Busy) {
        store::forget_lookups_since(lookups);
        return outcome;
    }
    if !is_in_run {
        note_error(shared, out.between(out_len, out.len()));
    }
    if session.replies != Replies::On {
        silence(session, out_len, out);
    }
    outcome
}

/// Replies with an error, unless it says where or when the request is to be run.
fn fail(error: Error, is_rejected: bool, mut reply: Reply<'_>) -> Outcome {
    match error {
        Error::Offload => return Outcome::Heavy,
        Error::Store(store::Error::Busy) => return Outcome::Busy,
        error => reply.error(error.text()),
    }
    match is_rejected {
        true => Outcome::Rejected,
        false => Outcome::Replied(true),
    }
}

/// Counts the error that a reply is.
#[cold]
pub(crate) fn note_error(shared: &Shared, reply: &[u8]) {
    let text = reply.strip_prefix(b"-").unwrap_or(reply);
    shared
        .stats
        .note_error(text.strip_suffix(b"\r\n").unwrap_or(text));
}

/// Before a command that may take memory: about as much as its words.
fn make_room(entry: &Entry, words: &[&[u8]], db: &Db<'_>) -> Result<(), store::Error> {
    if !entry.is(Flag::DenyOom) {
        return Ok(());
    }
    let bytes = words.iter().map(|word| word.len()).sum();
    // Of most commands it is the key.
    let first = words.get(1).copied().unwrap_or_default();
    db.make_room_for(first, bytes)
}

fn is_paused(entry: &Entry, shared: &Shared, db: &Db<'_>) -> bool {
    shared.pause.stops(entry.is(Flag::Write), db.now_ms())
}

#[cold]
fn silence(session: &mut Session, start: usize, out: &mut Output) {
    out.truncate(start);
    session.replies = match session.replies {
        Replies::SkipTwo => Replies::SkipOne,
        Replies::SkipOne => Replies::On,
        other => other,
    };
}

/// The most bytes of a request that an error repeats.
const QUOTED_BYTES_MAX: usize = 128;

/// What is wrong with words that call nothing.
#[cold]
fn unknown(words: &[&[u8]]) -> Error {
    match find(words[0]) {
        Some(container) => unknown_subcommand(container, words),
        None => unknown_command(words),
    }
}

fn unknown_command(words: &[&[u8]]) -> Error {
    let mut text = b"ERR unknown command '".to_vec();
    text.extend_from_slice(quoted(words[0], QUOTED_BYTES_MAX));
    text.extend_from_slice(b"', with args beginning with: ");
    let mut room = QUOTED_BYTES_MAX;
    for word in &words[1..] {
        if room == 0 {
            break;
        }
        let word = quoted(word, room);
        room = room.saturating_sub(word.len() + 3);
        text.extend_from_slice(&[b"'", word, b"' "].concat());
    }
    Error::Bytes(text)
}

fn unknown_subcommand(container: &Entry, words: &[&[u8]]) -> Error {
    let subcommand = words.get(1).copied().unwrap_or_default();
    error::quoting(
        "ERR unknown subcommand '",
        quoted(subcommand, QUOTED_BYTES_MAX),
        &format!("'. Try {} HELP.", container.full_name.to_ascii_uppercase()),
    )
}

fn quoted(word: &[u8], bytes_max: usize) -> &[u8] {
    let word = error::c_text(word);
    &word[..word.len().min(bytes_max)]
}
