//! Memcached's requests, carried out over database 0.
//!
//! Memcached's clients see the same keys as RESP's. What is no [`text`] to them does not exist for
//! one that reads or compares, is in the way of one that adds, and goes when it is overwritten or
//! deleted.
//!
//! A token is the version of an entry, so that every change from either side makes a new one;
//! touch and gat carry the old token over, and so does what only mg has to note in an item: that
//! a client has won, or a new expiry. The meta commands' E puts a token in the version's place.
//!
//! What differs from memcached on purpose is listed in README.md.

use store::{Db, Received};

use crate::protocol::memcached::{
    Exptime, Form, Limits, Refusal, Request, Status, Stored, Verb, Writer,
};
use crate::protocol::output::Output;

mod change;
mod get;
mod list;
mod state;
mod stats;
mod text;

pub(crate) use state::{Count, State};
use stats::Use;
pub(crate) use stats::{ClientFacts, Facts, SettingsFacts};

/// The version told to clients, who derive from it what they may ask for.
const VERSION: &str = "1.6.45";

/// The one mechanism of SASL that is spoken.
const PLAIN: &str = "PLAIN";

/// What carrying out a request led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The reply, if the client wants one, is written.
    Replied,
    /// The start of a long reply is written, and the request is what is left of it: send some of
    /// the reply, let others have their turn, then carry out the rest.
    Partly,
    /// A transaction was in the way, nothing was written: run the request again a little later.
    Busy,
    /// The connection is to be closed once its replies are sent.
    Closing,
}

/// What a request is carried out on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'c> {
    /// The engine.
    pub(crate) store: &'c store::Store,
    /// Its database 0, at the time of this request.
    pub(crate) db: Db<'c>,
    /// What all Memcached clients share.
    pub(crate) state: &'c State,
    /// The number of this connection thread.
    pub(crate) thread: usize,
    /// What a client may store.
    pub(crate) limits: Limits,
    /// Whether documents are text: `json_bridge`.
    pub(crate) is_bridged: bool,
    /// Whether what the request's keys lead to is on its way to the cache.
    pub(crate) is_fetched: bool,
    /// Where a long request stands, if its value may stay there.
    pub(crate) received: Option<&'c Received>,
    /// A reply that has become as long as this, in bytes, is sent before it grows further: a
    /// line of keys can ask for more than there is memory for.
    pub(crate) reply_bytes_max: usize,
}

/// Why nothing was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    Busy,
    OutOfMemory,
}

impl From<store::Error> for Failure {
    fn from(error: store::Error) -> Failure {
        match error {
            store::Error::OutOfMemory => Failure::OutOfMemory,
            store::Error::Busy => Failure::Busy,
            other => unreachable!("no decision fails with {other}"),
        }
    }
}

/// What the server around the engine tells, and does, for a request that is not about items.
pub(crate) trait Surroundings {
    /// What statistics need.
    fn facts(&self) -> Facts;

    /// What the parameters say.
    fn settings(&self) -> SettingsFacts;

    /// All clients.
    fn clients(&self) -> Vec<ClientFacts>;

    /// Lets the counts that INFO tells, too, begin anew.
    fn reset_counts(&self);

    /// Whether the client has said who it is, if it must.
    fn is_authenticated(&self) -> bool;

    /// Whether clients have to say who they are.
    fn wants_passwords(&self) -> bool;

    /// Lets the client be a user, if that is the user's password.
    fn authenticate(&self, user: &[u8], password: &[u8]) -> bool;

    /// Sets the limit of the memory, in bytes.
    fn set_memory_bytes_max(&self, bytes: u64);

    /// Ends the server, if clients may; whether they may.
    fn shut_down(&self) -> bool;
}

/// Carries out a request and writes its reply.
pub(crate) fn execute(
    request: &mut Request<'_>,
    call: &Call<'_>,
    surroundings: &impl Surroundings,
    out: &mut Output,
) -> Outcome {
    let len_before = out.len();
    if !surroundings.is_authenticated() && !is_open_to_all(&request.verb) {
        Writer::new(out, request.form).status(Status::AuthFailed, Stored::at(b""));
        return Outcome::Closing;
    }
    if let Form::Meta(_) = request.form {
        call.note(Count::CmdMeta);
    }
    let form = request.form;
    match call.run(&mut request.verb, surroundings, &mut Writer::new(out, form)) {
        Ok(outcome) => outcome,
        Err(Failure::Busy) => {
            out.truncate(len_before);
            Outcome::Busy
        }
        Err(Failure::OutOfMemory) => {
            call.note(Count::StoreNoMemory);
            Writer::new(out, form).status(Status::OutOfMemory, Stored::at(b""));
            Outcome::Replied
        }
    }
}

impl Call<'_> {
    /// Carries out a request, or its beginning; then it is changed to what is left.
    fn run(
        &self,
        verb: &mut Verb<'_>,
        surroundings: &impl Surroundings,
        reply: &mut Writer<'_, '_>,
    ) -> Result<Outcome, Failure> {
        match verb {
            Verb::GetMany {
                keys,
                touch,
                with_tokens,
            } => {
                // Not those of the request, which is to be run again if a key is held.
                let mut rest = *keys;
                let is_whole = match *touch {
                    None => self.get_many(&mut rest, *with_tokens, reply),
                    Some(exptime) => {
                        self.get_and_touch_many(&mut rest, exptime, *with_tokens, reply)?
                    }
                };
                if !is_whole {
                    *keys = rest;
                    return Ok(Outcome::Partly);
                }
            }
            Verb::Get(get) => self.get(get, reply)?,
            Verb::Store(item) => self.store(item, reply)?,
            Verb::StoreTooLarge { key, removes } => self.refuse_large(*key, *removes, reply)?,
            Verb::Arithmetic(arithmetic) => self.arithmetic(arithmetic, reply)?,
            Verb::Delete(delete) => self.delete(delete, reply)?,
            Verb::Touch { key, exptime } => self.touch(*key, *exptime, reply)?,
            Verb::Debug { key } => self.debug(*key, reply),
            Verb::List(list) if !reply.is_silent() => {
                if let Some(rest) = self.list(*list, reply) {
                    *list = rest;
                    return Ok(Outcome::Partly);
                }
            }
            Verb::List(_) => {}
            Verb::FlushAll { exptime } => {
                self.state.flush(self.store, *exptime, self.db.now_ms());
                self.note(Count::CmdFlush);
                reply.status(Status::Ok, Stored::at(b""));
            }
            other => return Ok(self.run_without_items(other, surroundings, reply)),
        }
        Ok(Outcome::Replied)
    }

    /// Carries out a request that is about the server or the connection.
    fn run_without_items(
        &self,
        verb: &Verb<'_>,
        surroundings: &impl Surroundings,
        reply: &mut Writer<'_, '_>,
    ) -> Outcome {
        match *verb {
            Verb::Version => reply.version(VERSION),
            Verb::Noop => reply.noop(),
            Verb::Verbosity => reply.status(Status::Ok, Stored::at(b"")),
            Verb::Stats { what } => stats::write(self, what, surroundings, reply),
            Verb::MemoryLimit { megabytes } => {
                surroundings.set_memory_bytes_max(u64::from(megabytes) << 20);
                reply.status(Status::Ok, Stored::at(b""));
            }
            Verb::Shutdown if surroundings.shut_down() => return Outcome::Closing,
            Verb::Shutdown => reply.status(Status::NoShutdown, Stored::at(b"")),
            // As a memcached without -S.
            Verb::SaslMechanisms | Verb::SaslStart { .. } | Verb::SaslStep
                if !surroundings.wants_passwords() =>
            {
                reply.refused(Refusal::Unknown);
            }
            Verb::SaslMechanisms => reply.sasl(PLAIN),
            Verb::SaslStart { mechanism, message } => {
                let names = plain_message(message).filter(|_| mechanism == PLAIN.as_bytes());
                match names.is_some_and(|(user, pass)| surroundings.authenticate(user, pass)) {
                    true => reply.sasl("Authenticated"),
                    false => reply.status(Status::AuthFailed, Stored::at(b"")),
                }
            }
            Verb::SaslStep => reply.status(Status::AuthFailed, Stored::at(b"")),
            Verb::Quit => {
                reply.quit();
                return Outcome::Closing;
            }
            // Whether they may is told before how it is done.
            Verb::Refused(Refusal::BadShutdown) if !surroundings.settings().has_shutdown => {
                reply.status(Status::NoShutdown, Stored::at(b""));
            }
            Verb::Refused(refusal) => {
                // A value was sent, if not as it should be.
                if refusal == Refusal::BadData {
                    self.note(Count::CmdSet);
                }
                reply.refused(refusal);
                if refusal.is_fatal() {
                    return Outcome::Closing;
                }
            }
            Verb::GetMany { .. }
            | Verb::Get(_)
            | Verb::Store(_)
            | Verb::StoreTooLarge { .. }
            | Verb::Arithmetic(_)
            | Verb::Delete(_)
            | Verb::Touch { .. }
            | Verb::Debug { .. }
            | Verb::List(_)
            | Verb::FlushAll { .. } => {
                unreachable!("requests for items are carried out elsewhere")
            }
        }
        Outcome::Replied
    }

    fn note(&self, count: Count) {
        self.state.note(self.thread, count, 1);
    }

    fn note_use(&self, key: &[u8], usage: Use) {
        self.state.prefixes().note(self.thread, key, usage);
    }

    fn expiry(&self, exptime: Exptime) -> Expiry {
        let now_ms = self.db.now_ms();
        match exptime.at_ms(now_ms) {
            Some(at_ms) if at_ms <= now_ms => Expiry::Past,
            other => Expiry::At(other),
        }
    }
}

/// Whether clients may ask for this who have not said who they are.
fn is_open_to_all(verb: &Verb<'_>) -> bool {
    matches!(
        verb,
        Verb::SaslMechanisms | Verb::SaslStart { .. } | Verb::SaslStep | Verb::Version
    )
}

/// User and password in a message of SASL's PLAIN: whom to act for, who one is, the password,
/// with a zero byte between them.
fn plain_message(message: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut parts = message.split(|byte| *byte == 0);
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(_), Some(user), Some(password), None) => Some((user, password)),
        _ => None,
    }
}

/// When a key is to expire.
#[derive(Clone, Copy, Debug)]
enum Expiry {
    /// It should be gone already.
    Past,
    /// Then, in milliseconds since 1970; none: never.
    At(Option<u64>),
}

#[cfg(test)]
mod tests;
