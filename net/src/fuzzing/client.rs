//! One RESP client of a server without sockets: words in, one well-formed reply out.

use crate::clients;
use crate::command::dispatch::{self, Outcome, Place};
use crate::config::Config;
use crate::protocol::output::Output;
use crate::protocol::resp::Version;
use crate::runtime::channel;
use crate::session::{Replies, Session};
use crate::shared::Shared;

/// A client of a server of its own.
#[derive(Debug)]
pub struct Client {
    shared: Shared,
    session: Session,
    now_ms: u64,
}

/// No string becomes longer, so that a random number does not cost gigabytes.
const STRING_BYTES_MAX: &str = "1mb";

impl Default for Client {
    fn default() -> Client {
        let config = Config::default()
            .with("proto_max_bulk_len", STRING_BYTES_MAX)
            .expect("a valid size");
        let (stop_sender, _) = channel::bounded(1);
        let shared = Shared::new(&config, 1, stop_sender);
        let client = shared.clients.admit(clients::Client::default(), 1);
        let session = Session::new(client.expect("the first client"), true);
        Client {
            shared,
            session,
            now_ms: 1_700_000_000_000,
        }
    }
}

impl Client {
    /// The names of all commands (`config|get`), and the syntax of their arguments.
    pub fn commands() -> impl ExactSizeIterator<Item = (&'static str, &'static str)> {
        let entries = dispatch::entries().iter();
        entries.map(|entry| (entry.full_name.as_str(), entry.command.syntax))
    }

    /// Lets time pass.
    pub fn wait_ms(&mut self, ms: u64) {
        self.now_ms += ms;
    }

    /// Sends a request and checks that it gets one reply of the version the client speaks.
    ///
    /// # Panics
    /// Where it does not.
    pub fn run(&mut self, words: &[&[u8]]) {
        let Client {
            shared,
            session,
            now_ms,
        } = self;
        let guard = shared.store.pin();
        let wants_reply = session.replies == Replies::On;
        let version_before = session.version;
        let db = session.db(&shared.store, &guard, *now_ms);
        let mut out = Output::default();
        let entry = dispatch::resolve(words);
        let outcome = dispatch::run(entry, words, (session, shared, db), &mut out, Place::Worker);
        assert!(
            matches!(outcome, Outcome::Replied(_) | Outcome::Rejected),
            "nobody is in the way, and this thread has time"
        );
        if !wants_reply || session.replies != Replies::On {
            assert!(out.is_empty());
            return;
        }
        let is_typed = version_before == Version::Resp3 || session.version == Version::Resp3;
        let pieces = out.slices(usize::MAX);
        let out: Vec<u8> = pieces.iter().flat_map(|piece| piece.to_vec()).collect();
        let rest = behind_reply(&out, is_typed);
        assert_eq!(rest, Some(&[][..]), "{}", out.escape_ascii());
    }

    /// Checks that every database has as many keys as it counts.
    ///
    /// # Panics
    /// Where it is not.
    pub fn check(&self) {
        let guard = self.shared.store.pin();
        for index in 0..self.shared.store.databases() {
            // Long before anything expires.
            let db = self.shared.store.db(index, &guard, 0);
            let (mut keys, mut cursor) = (0, 0);
            loop {
                cursor = db.scan(cursor, 100, |_| keys += 1);
                if cursor == 0 {
                    break;
                }
            }
            assert_eq!(db.len(), keys);
        }
    }
}

/// What stands behind the first reply; none if that is not well formed.
fn behind_reply(bytes: &[u8], is_typed: bool) -> Option<&[u8]> {
    let line_end = memchr::memmem::find(bytes, b"\r\n")?;
    let (kind, line) = bytes[..line_end].split_first()?;
    let mut rest = &bytes[line_end + 2..];
    let number = || std::str::from_utf8(line).ok()?.parse::<i64>().ok();
    match kind {
        b'+' | b'-' => (!line.contains(&b'\n')).then_some(rest),
        b':' => number().map(|_| rest),
        b'_' if is_typed => line.is_empty().then_some(rest),
        b'#' if is_typed => matches!(line, b"t" | b"f").then_some(rest),
        b',' | b'(' if is_typed => (!line.is_empty()).then_some(rest),
        b'$' | b'*' if line == b"-1" => Some(rest),
        b'$' => rest
            .get(usize::try_from(number()?).ok()?..)?
            .strip_prefix(b"\r\n"),
        b'=' if is_typed => rest
            .get(usize::try_from(number()?).ok()?..)?
            .strip_prefix(b"\r\n"),
        b'*' | b'~' | b'%' if is_typed || *kind == b'*' => {
            let each = if *kind == b'%' { 2 } else { 1 };
            for _ in 0..each * usize::try_from(number()?).ok()? {
                rest = behind_reply(rest, is_typed)?;
            }
            Some(rest)
        }
        _ => None,
    }
}
