//! What may be asked: the families of commands, and what a handler is given.
//!
//! A command is one [`Command`] entry beside its function, in the file of its family. Everything
//! else (arity, COMMAND's replies, the checks before a call, statistics) is derived from the
//! entry. A handler is a plain `fn`: it never awaits, and what it may touch is in its [`Call`].
//!
//! A handler writes its reply as its last act, or fails before it wrote anything that counts:
//! the dispatcher takes back what a failed handler wrote. Since a handler may be run again from
//! its start (on a worker thread after [`Call::heavy`], or because a transaction was in the way),
//! everything before its commit must be without effect.

use store::value::Limits;
use store::{Db, Meta, NewValue, Received};

pub(crate) use crate::error::{self, Error};
use crate::session::Session;
use crate::shared::Shared;

pub(crate) mod args;
mod bitmap;
mod client;
mod collection;
pub(crate) mod config;
mod connection;
pub(crate) mod dispatch;
mod docs;
mod expire;
mod hash;
mod info;
mod introspect;
mod json;
mod keys;
pub(crate) mod memcached;
mod memory;
mod module;
mod object;
pub(crate) mod run;
mod scan;
mod server;
mod set;
mod string;
pub(crate) mod table;

pub(crate) use crate::protocol::resp::Writer as Reply;
pub(crate) use args::Args;
pub(crate) use run::Edits;
pub(crate) use table::{Body, Command, Family, Flag, Keys, Use};

/// All commands, by family.
pub(crate) const FAMILIES: &[&Family] = &[
    &bitmap::FAMILY,
    &client::FAMILY,
    &config::FAMILY,
    &connection::FAMILY,
    &expire::FAMILY,
    &hash::FAMILY,
    &introspect::FAMILY,
    &json::FAMILY,
    &keys::FAMILY,
    &module::FAMILY,
    &object::FAMILY,
    &scan::FAMILY,
    &memory::FAMILY,
    &server::FAMILY,
    &set::FAMILY,
    &string::FAMILY,
];

/// The version of Redis whose commands these are: clients switch on it.
pub(crate) const REDIS_VERSION: &str = "7.2.4";

/// What a command does.
pub(crate) type Handler = fn(&mut Call<'_>) -> Result<(), Error>;

/// One command being carried out.
#[derive(Debug)]
pub(crate) struct Call<'c> {
    /// The arguments behind the name (behind the subcommand's name, where there is one).
    pub(crate) args: Args<'c>,
    /// Where the reply goes.
    pub(crate) reply: Reply<'c>,
    /// The client's database, at the time of this call.
    pub(crate) db: Db<'c>,
    /// The client.
    pub(crate) session: &'c mut Session,
    /// The server.
    pub(crate) shared: &'c Shared,
    /// Whether this thread may take its time.
    pub(crate) is_on_worker: bool,
    /// Where the words of a long request stand, if a value may stay there.
    pub(crate) received: Option<&'c Received>,
    /// In a run of edits of one collection: what they all change.
    pub(crate) edits: Option<&'c dyn Edits>,
}

/// The most elements or kilobytes a handler may visit on a connection thread.
const LIGHT_WORK_MAX: usize = 1_000;

impl Call<'_> {
    /// Says how many elements (or kilobytes) the command is about to visit. To be called as soon
    /// as that is known and before any effect.
    ///
    /// # Errors
    /// [`Error::Offload`] where that is too much for a connection thread: return it.
    pub(crate) fn heavy(&self, work: usize) -> Result<(), Error> {
        if work > LIGHT_WORK_MAX && !self.is_on_worker {
            return Err(Error::Offload);
        }
        Ok(())
    }

    /// A string of a word's bytes.
    #[inline]
    pub(crate) fn string<'v>(&self, word: &'v [u8]) -> NewValue<'v> {
        store::value::string::received(word, self.received)
    }

    /// Puts a string of a word's bytes at a key whatever was there.
    #[inline]
    pub(crate) fn put_string(
        &self,
        db: &Db<'_>,
        key: &[u8],
        word: &[u8],
        meta: &Meta,
    ) -> Result<(), store::Error> {
        db.put_string(key, (word, self.received), meta).map(drop)
    }

    /// The sizes at which values change their encoding.
    pub(crate) fn limits(&self) -> Limits {
        self.shared.limits()
    }
}
