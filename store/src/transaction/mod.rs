//! Several keys changed at one moment.
//!
//! # The idea
//!
//! A transaction runs against a private [`overlay`]: it remembers what it read and keeps what it
//! writes to itself. To [`commit`], it puts a [`Descriptor`] in the place of every key it read or
//! wrote, provided that the key still is as it was read. A descriptor names the entry before,
//! the entry after, and the [`Transaction`] whose status says which of them counts. When all
//! stand, one compare-and-swap of the status from *installing* to *committed* changes all keys
//! at once. Then the owner puts the entries in the descriptors' places.
//!
//! (The shape is that of MCAS: T. Harris, K. Fraser, I. Pratt, "A Practical Multi-Word
//! Compare-and-Swap Operation", DISC 2002; R. Guerraoui et al., DISC 2020.)
//!
//! - A reader that meets a descriptor takes the entry that counts, and never waits.
//! - A writer that meets an undecided one aborts its transaction and goes on; the owner notices
//!   and runs again. Nothing of an aborted transaction was ever visible.
//! - Only the owner installs, so a descriptor is never put in place twice. One put in place after
//!   an abort does no harm: it counts as the entry before.
//! - A transaction that was aborted several times takes a *ticket*: it puts its descriptors in
//!   place at the first touch of a key, and nobody but the holder of an older ticket may abort
//!   it. Others get [`Error::Busy`] and come back a little later.
//!
//! Keys that were only read carry a descriptor too (with the same entry before and after): a
//! check before the commit would let two transactions read what the other writes.
//!
//! Who reads several keys and writes none needs neither overlay nor descriptors ([`together`]); who
//! writes and reads none needs no overlay ([`puts`]).
//!
//! # Who retires what
//!
//! Whoever takes the entry that counts out of its slot retires it. So the owner of a committed
//! transaction retires the entries before, and a writer that replaces a decided descriptor
//! retires the entry that counted. The owner retires its descriptors after it has seen, key by
//! key, that no slot names them any more; slots are found by key, since a split may move them.

use std::ptr::{self, NonNull};

use smallvec::SmallVec;

use crate::error::Error;
use crate::sync::{AtomicPtr, AtomicU64, Ordering};
use crate::table::Key;

pub(crate) mod commit;
#[cfg(all(test, any(mayfly_loom, mayfly_shuttle)))]
mod models;
pub(crate) mod overlay;
pub(crate) mod puts;
pub(crate) mod together;

const INSTALLING: u64 = 0;
const COMMITTED: u64 = 1;
const ABORTED: u64 = 2;

/// The right of an old transaction not to be disturbed by younger ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(u64);

impl Ticket {
    /// What single-key writers and fresh transactions have.
    pub(crate) const NONE: Ticket = Ticket(u64::MAX);

    /// A ticket younger than all before.
    pub(crate) fn take() -> Ticket {
        // Std's also in models: the order of tickets is no part of them.
        #[allow(unused_qualifications, reason = "without models the two are the same")]
        static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        Ticket(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// What decides about all descriptors of one attempt.
#[derive(Debug)]
pub(crate) struct Transaction {
    status: AtomicU64,
    ticket: Ticket,
}

impl Transaction {
    /// An undecided one.
    pub(crate) fn new(ticket: Ticket) -> Transaction {
        Transaction {
            status: AtomicU64::new(INSTALLING),
            ticket,
        }
    }

    fn status(&self) -> u64 {
        self.status.load(Ordering::Acquire)
    }

    /// The moment at which all its changes count; false if it was aborted.
    pub(crate) fn commit(&self) -> bool {
        self.decide(COMMITTED)
    }

    /// Makes sure that it never commits, unless it has.
    pub(crate) fn abort(&self) {
        self.decide(ABORTED);
    }

    pub(crate) fn is_aborted(&self) -> bool {
        self.status() == ABORTED
    }

    fn decide(&self, status: u64) -> bool {
        self.status
            .compare_exchange(INSTALLING, status, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }
}

/// What stands in the place of a key of a transaction.
#[derive(Debug)]
pub(crate) struct Descriptor {
    /// Invariant: retired together with this descriptor.
    transaction: NonNull<Transaction>,
    key: SmallVec<[u8; 32]>,
    hash: u64,
    /// No version the key had before is higher, nor any it had before it was removed.
    version_floor: u64,
    /// The entry before; null: none.
    old: *mut (),
    /// The entry after; null: none. Final when the transaction commits.
    new: AtomicPtr<()>,
}

// SAFETY: what it points to is shared between threads by design, under guards.
unsafe impl Send for Descriptor {}

impl Descriptor {
    /// A descriptor of a key that stays as it is, so far.
    pub(crate) fn new(
        transaction: NonNull<Transaction>,
        key: &Key<'_>,
        version_floor: u64,
        old: Option<NonNull<()>>,
    ) -> Descriptor {
        let old = or_null(old);
        Descriptor {
            transaction,
            key: SmallVec::from_slice(key.bytes),
            hash: key.hash,
            version_floor,
            old,
            new: AtomicPtr::new(old),
        }
    }

    /// Says what is there now, in a descriptor that nobody else knows.
    fn restate(&mut self, version_floor: u64, old: Option<NonNull<()>>) {
        self.version_floor = version_floor;
        self.old = or_null(old);
    }

    /// Says what the key will hold.
    pub(crate) fn set_new(&self, new: Option<NonNull<()>>) {
        self.new.store(or_null(new), Ordering::Release);
    }

    pub(crate) fn key(&self) -> &[u8] {
        &self.key
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) fn version_floor(&self) -> u64 {
        self.version_floor
    }

    fn transaction(&self) -> &Transaction {
        // SAFETY: it lives as long as the descriptor.
        unsafe { self.transaction.as_ref() }
    }

    /// The entry that counts now, for a reader.
    pub(crate) fn resolve(&self) -> Option<NonNull<()>> {
        let is_committed = self.transaction().status() == COMMITTED;
        // The second form exists to prove that the tests notice a commit that is not one moment.
        let is_torn = cfg!(mayfly_torn_commit) && !self.transaction().is_aborted();
        if is_committed || is_torn {
            NonNull::new(self.new.load(Ordering::Acquire))
        } else {
            NonNull::new(self.old)
        }
    }

    /// The entry that counts for good: an undecided transaction is aborted.
    ///
    /// # Errors
    /// [`Error::Busy`] if it must not be aborted by a holder of `ticket`.
    pub(crate) fn settle(&self, ticket: Ticket) -> Result<Option<NonNull<()>>, Error> {
        let transaction = self.transaction();
        if transaction.status() == INSTALLING {
            if transaction.ticket <= ticket && transaction.ticket != Ticket::NONE {
                return Err(Error::Busy);
            }
            transaction.abort();
        }
        Ok(self.resolve())
    }
}

fn or_null(address: Option<NonNull<()>>) -> *mut () {
    address.map_or(ptr::null_mut(), NonNull::as_ptr)
}
