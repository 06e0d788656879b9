//! One database as a command sees it: live, or through the overlay of a transaction.
//!
//! Every command is written once, against [`Db`]. Outside a transaction a [`Db::read`] looks at
//! the table and a [`Db::update`] is a compare-and-swap loop on one key. Inside [`Db::atomic`]
//! both work on a private overlay that becomes visible as a whole, or not at all and is run
//! again. What several commands make of one key can be published at once, too ([`Db::basis`]).
//! Calls of `atomic` nest by joining the outer one, so that MULTI and scripts can run any
//! command's handler.

mod ahead;
mod atomic;
mod draft;
mod put;
mod put_many;
mod read;
mod remove;
mod remove_many;
mod scan;
mod update;

use std::fmt;

use crate::entry::Entry;
use crate::keyspace::{Database, Keyspace};
use crate::reclaim::Guard;
use crate::store::Store;
use crate::table::Foreseen;
use crate::transaction::commit::Scope;
use crate::usage::{Present, Settled};

pub use ahead::Ahead;
pub use draft::{Change, Draft};
pub use update::Basis;

/// A database under a guard at one moment.
#[derive(Clone, Copy)]
pub struct Db<'g> {
    store: &'g Store,
    keyspace: &'g Keyspace,
    /// Of the keyspace, what has the number.
    database: &'g Database,
    guard: &'g Guard,
    index: usize,
    now_ms: u64,
    /// The present, but for its stamp, which goes on with every insertion.
    present: Present,
    /// What is noted of entries by reads.
    settled: Settled,
    /// Whether reads and writes go through the overlay of the guard.
    in_transaction: bool,
    /// Whether reads are noted in the entries.
    notes_use: bool,
    /// What was seen of the key that a command will ask for first.
    expected: Option<&'g Foreseen<'g, 'g>>,
}

impl fmt::Debug for Db<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Db")
            .field("index", &self.index)
            .finish_non_exhaustive()
    }
}

impl<'g> Db<'g> {
    pub(crate) fn new(store: &'g Store, guard: &'g Guard, index: usize, now_ms: u64) -> Db<'g> {
        let keyspace = store.keyspace(guard);
        let present = store.eviction().present(now_ms);
        Db {
            store,
            keyspace,
            database: keyspace.database(index),
            guard,
            index,
            now_ms,
            present,
            settled: present.settled(),
            in_transaction: false,
            notes_use: true,
            expected: None,
        }
    }

    /// The same database for a reader who leaves no trace in idle times and frequencies.
    pub fn without_noting_use(self) -> Db<'g> {
        Db {
            notes_use: false,
            ..self
        }
    }

    /// Whether its number is still this database's: nobody has emptied or exchanged one since.
    #[inline]
    pub fn is_current(&self) -> bool {
        // The guard keeps the record that was found: no other one can be at its address.
        std::ptr::eq(self.keyspace, self.store.keyspace(self.guard))
    }

    /// The store it is a part of.
    pub fn store(&self) -> &'g Store {
        self.store
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
    ///
    /// # Panics
    /// If there is no such database.
    pub fn other(&self, index: usize) -> Db<'g> {
        assert!(index < self.store.databases(), "no database {index}");
        self.numbered(index)
    }

    fn numbered(&self, index: usize) -> Db<'g> {
        Db {
            index,
            database: self.keyspace.database(index),
            expected: None,
            ..*self
        }
    }

    /// The database of this number, outside of the transaction if there is one.
    pub(crate) fn outside(&self, index: usize) -> Db<'g> {
        Db {
            in_transaction: false,
            ..self.numbered(index)
        }
    }

    pub(crate) fn is_in_transaction(&self) -> bool {
        self.in_transaction
    }

    pub(crate) fn guard(&self) -> &'g Guard {
        self.guard
    }

    pub(crate) fn database(&self) -> &'g Database {
        self.database
    }

    /// How many keys there are, including expired ones not yet removed.
    pub fn len(&self) -> u64 {
        self.database().keys.sum()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many keys have an expiry.
    pub fn expiring_len(&self) -> u64 {
        self.database().expiring.sum()
    }

    /// How many milliseconds keys with an expiry have left on average, as the last sweeps saw it;
    /// 0 without any.
    pub fn mean_ttl_ms(&self) -> u64 {
        self.database().mean_ttl_ms()
    }

    #[inline(always)]
    fn present(&self) -> Present {
        Present {
            stamp: self.store.eviction().stamp(),
            ..self.present
        }
    }

    fn scope(&self) -> Scope<'g> {
        Scope {
            root: self.store.root(),
            keyspace: self.keyspace,
            guard: self.guard,
        }
    }

    fn live(&self, entry: Option<Entry<'g>>) -> Option<Entry<'g>> {
        entry.filter(|entry| !entry.is_expired(self.now_ms))
    }
}
