//! One database as a command sees it: live, or through the overlay of a transaction.
//!
//! Every command is written once, against [`Db`]. Outside a transaction a [`Db::read`] looks at
//! the table and a [`Db::update`] is a compare-and-swap loop on one key. Inside [`Db::atomic`]
//! both work on a private overlay that becomes visible as a whole, or not at all and is run
//! again. Calls of `atomic` nest by joining the outer one, so that MULTI and scripts can run any
//! command's handler.

use crate::entry::{Entry, Meta};
use crate::error::Error;
use crate::reclaim::Guard;
use crate::store::Store;
use crate::value::NewValue;

/// What an update does with a key.
#[derive(Debug)]
pub enum Change<'a> {
    /// Leaves it as it is.
    Keep,
    /// Removes it, if it is there.
    Remove,
    /// Gives it a new value and new metadata.
    Put(Draft<'a>),
}

/// A key's next value with what is said beside it.
#[derive(Debug)]
pub struct Draft<'a> {
    /// The value.
    pub value: NewValue<'a>,
    /// Expiry, client flags, token.
    pub meta: Meta,
}

impl<'a> Draft<'a> {
    /// A value that never expires, without flags: what a plain SET leaves.
    pub fn new(value: NewValue<'a>) -> Draft<'a> {
        Draft {
            value,
            meta: Meta::default(),
        }
    }

    /// A changed value under the expiry and client flags of `entry`, with a new token.
    pub fn keeping(entry: Entry<'_>, value: NewValue<'a>) -> Draft<'a> {
        let Meta {
            expires_at_ms,
            client_flags,
            ..
        } = entry.meta();
        Draft {
            value,
            meta: Meta {
                expires_at_ms,
                client_flags,
                ..Meta::default()
            },
        }
    }

    /// A changed value under the expiry and flags of `entry` if there is one.
    pub fn keeping_any(entry: Option<Entry<'_>>, value: NewValue<'a>) -> Draft<'a> {
        match entry {
            Some(entry) => Draft::keeping(entry, value),
            None => Draft::new(value),
        }
    }

    /// The same draft with another expiry.
    pub fn expiring(mut self, expires_at_ms: Option<u64>) -> Draft<'a> {
        self.meta.expires_at_ms = expires_at_ms;
        self
    }
}

/// A database under a guard at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Db<'g> {
    store: &'g Store,
    guard: &'g Guard,
    index: usize,
    now_ms: u64,
}

impl<'g> Db<'g> {
    pub(crate) fn new(store: &'g Store, guard: &'g Guard, index: usize, now_ms: u64) -> Db<'g> {
        Db {
            store,
            guard,
            index,
            now_ms,
        }
    }

    /// The database's number.
    pub fn index(&self) -> usize {
        self.index
    }

    /// The moment expiry is judged by, in milliseconds since 1970.
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// Another database, in the same transaction if there is one.
    pub fn other(&self, _index: usize) -> Db<'g> {
        unimplemented!()
    }

    /// The entry at a key that has not expired; notes the use.
    pub fn read(&self, _key: &[u8]) -> Option<Entry<'g>> {
        unimplemented!()
    }

    /// As [`Db::read`], without noting a use: for OBJECT, TYPE, TTL and the like.
    pub fn peek(&self, _key: &[u8]) -> Option<Entry<'g>> {
        unimplemented!()
    }

    /// Changes one key, atomically: `decide` sees the entry (none if absent or expired) and may
    /// be called again when another writer was faster; it must have no effect but its result.
    ///
    /// # Errors
    /// What `decide` returns, and [`Error::Busy`] when a transaction that must not be disturbed
    /// holds the key: run the command again a little later.
    pub fn update<'a, R>(
        &self,
        _key: &[u8],
        _decide: impl FnMut(Option<Entry<'g>>) -> Result<(Change<'a>, R), Error>,
    ) -> Result<R, Error> {
        unimplemented!()
    }

    /// Puts a value at a key whatever was there.
    ///
    /// # Errors
    /// As [`Db::update`].
    pub fn put(&self, key: &[u8], draft: Draft<'_>) -> Result<(), Error> {
        let _ = (key, draft);
        unimplemented!()
    }

    /// Removes a key; whether it was there.
    ///
    /// # Errors
    /// As [`Db::update`].
    pub fn remove(&self, key: &[u8]) -> Result<bool, Error> {
        self.update(key, |entry| match entry {
            Some(_) => Ok((Change::Remove, true)),
            None => Ok((Change::Keep, false)),
        })
    }

    /// Runs `body` so that all it reads and writes happens at one moment, and nothing of it if it
    /// fails. `body` may run several times and must have no effect but its result and what it
    /// writes through the `Db` it is given. Inside another `atomic`, joins it.
    ///
    /// # Errors
    /// What `body` returns (judged on a state that existed), and [`Error::Busy`].
    pub fn atomic<R>(&self, _body: impl FnMut(&Db<'g>) -> Result<R, Error>) -> Result<R, Error> {
        unimplemented!()
    }

    /// Moves the value at `from` to `to` (possibly of another database), with its metadata,
    /// without copying it, replacing what was there. Only inside [`Db::atomic`].
    ///
    /// # Errors
    /// [`Error::NoSuchKey`].
    pub fn rename(&self, _from: &[u8], _to: (&Db<'g>, &[u8])) -> Result<(), Error> {
        unimplemented!()
    }

    /// How many keys there are, including expired ones not yet removed.
    pub fn len(&self) -> u64 {
        unimplemented!()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many keys have an expiry.
    pub fn expiring_len(&self) -> u64 {
        unimplemented!()
    }

    /// Visits some keys from `cursor` on (0 starts) until about `count` were visited; returns the
    /// next cursor, 0 at the end. A key that is there throughout a whole scan is visited.
    pub fn scan(&self, _cursor: u64, _count: usize, _visit: impl FnMut(Entry<'g>)) -> u64 {
        unimplemented!()
    }

    /// A random key, if there is any.
    pub fn random(&self) -> Option<Entry<'g>> {
        unimplemented!()
    }

    /// First hint that `key` will be wanted: fetches its bucket into the cache.
    pub fn prefetch_bucket(&self, _key: &[u8]) {
        unimplemented!()
    }

    /// Second hint, some time after the first: fetches its entry.
    pub fn prefetch_entry(&self, _key: &[u8]) {
        unimplemented!()
    }
}
