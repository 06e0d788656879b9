//! One database as a command sees it: live, or through the overlay of a transaction.
//!
//! Every command is written once, against [`Db`]. Outside a transaction a [`Db::read`] looks at
//! the table and a [`Db::update`] is a compare-and-swap loop on one key. Inside [`Db::atomic`]
//! both work on a private overlay that becomes visible as a whole, or not at all and is run
//! again. What several commands make of one key can be published at once, too ([`Db::basis`]).
//! Calls of `atomic` nest by joining the outer one, so that MULTI and scripts can run any
//! command's handler.

use std::fmt;

use smallvec::SmallVec;

use crate::entry::{Entry, Meta};
use crate::error::Error;
use crate::keyspace::{self, Database, Keyspace};
use crate::publish::{self, Provisional};
use crate::reclaim::Guard;
use crate::store::Store;
use crate::table::{Absence, Foreseen, Key, Look, Spot};
use crate::thread;
use crate::transaction::Ticket;
use crate::transaction::commit::{Scope, Sight, resolve_visited};
use crate::transaction::overlay::{Failure, Overlay};
use crate::transaction::together::Entries;
use crate::usage::{Present, Settled};
use crate::value::{self, NewValue, same_value};

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
    #[inline]
    pub fn new(value: NewValue<'a>) -> Draft<'a> {
        Draft {
            value,
            meta: Meta::default(),
        }
    }

    /// A changed value under the expiry and client flags of `entry`, with a new token.
    // Inlined, like all on the way of a new value: it is made where it goes, not moved there.
    #[inline(always)]
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

/// So many attempts are made before a transaction takes a ticket.
const ATTEMPTS_WITHOUT_TICKET: usize = 8;

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
}

/// What stands at a key, to be changed as it was found or not at all.
pub struct Basis<'k, 'g> {
    key: Key<'k>,
    sight: Sight<'g>,
    live: Option<Entry<'g>>,
}

impl<'g> Basis<'_, 'g> {
    /// The entry, unless it is expired.
    pub fn entry(&self) -> Option<Entry<'g>> {
        self.live
    }
}

impl fmt::Debug for Basis<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Basis")
            .field("key", &self.key.bytes)
            .finish_non_exhaustive()
    }
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
        }
    }

    /// The same database for a reader who leaves no trace in idle times and frequencies.
    pub fn without_noting_use(self) -> Db<'g> {
        Db {
            notes_use: false,
            ..self
        }
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
            ..*self
        }
    }

    /// The entry at a key that has not expired; notes the use.
    pub fn read(&self, key: &[u8]) -> Option<Entry<'g>> {
        let key = self.key(key);
        let Some(entry) = self.peek_at(&key) else {
            thread::note_miss();
            if self.notes_use {
                self.store.eviction().note_absence(key.hash);
            }
            return None;
        };
        thread::note_hit();
        if self.notes_use {
            self.note_use_at(key.hash, entry);
        }
        Some(entry)
    }

    /// As [`Db::read`] for several keys, all at one moment.
    ///
    /// # Errors
    /// [`Error::Busy`].
    pub fn read_all<'k>(
        &self,
        keys: impl Iterator<Item = &'k [u8]> + Clone,
    ) -> Result<Entries<'g>, Error> {
        let attempts = match self.in_transaction {
            true => 0,
            false => ATTEMPTS_WITHOUT_TICKET,
        };
        for _ in 0..attempts {
            let scope = Scope {
                // As for [`Db::atomic`].
                keyspace: self.store.keyspace(self.guard),
                ..self.scope()
            };
            let looked = scope.look_at_all(self.index, keys.clone(), |key| self.key(key));
            if let Some(mut entries) = looked {
                for (entry, key) in entries.iter_mut().zip(keys.clone()) {
                    *entry = self.noted(key, *entry);
                }
                return Ok(entries);
            }
        }
        self.atomic(|db| Ok(keys.clone().map(|key| db.read(key)).collect()))
    }

    /// What was found at a key, unless it has expired, with the use noted.
    fn noted(&self, key: &[u8], found: Option<Entry<'g>>) -> Option<Entry<'g>> {
        let Some(entry) = self.live(found) else {
            thread::note_miss();
            if self.notes_use {
                self.store.eviction().note_absence(self.store.hash(key));
            }
            return None;
        };
        thread::note_hit();
        if self.notes_use {
            self.note_use(entry);
        }
        Some(entry)
    }

    /// Notes a use of an entry, for those who looked at it without noting one.
    pub fn note_use(&self, entry: Entry<'g>) {
        // The hash is made anew only where somebody asks for it.
        if self.store.eviction().notes_requests() {
            return self.note_use_at(self.store.hash(entry.key()), entry);
        }
        self.touch(entry);
    }

    #[inline(always)]
    fn touch(&self, entry: Entry<'g>) {
        if !entry.usage().is(self.settled) {
            entry.touch(self.present());
        }
    }

    #[inline(always)]
    fn present(&self) -> Present {
        Present {
            stamp: self.store.eviction().stamp(),
            ..self.present
        }
    }

    /// Notes that another command has written what is about to be published.
    fn note_rewrite(&self, hash: u64, entry: Entry<'g>) {
        let eviction = self.store.eviction();
        entry.rewrite(self.present());
        eviction.note_request(hash, entry);
    }

    fn note_use_at(&self, hash: u64, entry: Entry<'g>) {
        self.touch(entry);
        self.store.eviction().note_request(hash, entry);
    }

    /// As [`Db::read`], without noting a use: for OBJECT, TYPE, TTL and the like.
    pub fn peek(&self, key: &[u8]) -> Option<Entry<'g>> {
        self.peek_at(&self.key(key))
    }

    #[inline(always)]
    fn peek_at(&self, key: &Key<'_>) -> Option<Entry<'g>> {
        if self.in_transaction {
            return self.peek_privately(*key);
        }
        let entry = resolve_visited(self.database.table.named(key, self.guard)?, self.guard)?;
        if entry.is_expired(self.now_ms) {
            self.meet_expired(*key);
            return None;
        }
        Some(entry)
    }

    fn peek_privately(&self, key: Key<'_>) -> Option<Entry<'g>> {
        let at = self.overlay(|overlay| self.scope().touch(overlay, self.index, &key));
        self.live(self.overlay(|overlay| overlay.current(at, self.guard)))
    }

    #[cold]
    fn meet_expired(&self, key: Key<'_>) {
        thread::note_expired_lookup();
        self.keep(&self.scope().look(self.index, &key));
    }

    /// Changes one key, atomically: `decide` sees the entry (none if absent or expired) and may
    /// be called again when another writer was faster; it must have no effect but its result.
    ///
    /// # Errors
    /// What `decide` returns, and [`Error::Busy`] when a transaction that must not be disturbed
    /// holds the key: run the command again a little later.
    pub fn update<'a, R>(
        &self,
        key: &[u8],
        decide: impl FnMut(Option<Entry<'g>>) -> Result<(Change<'a>, R), Error>,
    ) -> Result<R, Error> {
        self.update_or(key, decide)
    }

    /// As [`Db::update`], for a `decide` with errors of its own.
    ///
    /// # Errors
    /// As [`Db::update`].
    pub fn update_or<'a, R, E: From<Error>>(
        &self,
        key: &[u8],
        decide: impl FnMut(Option<Entry<'g>>) -> Result<(Change<'a>, R), E>,
    ) -> Result<R, E> {
        self.change(key, decide).map(|(result, _)| result)
    }

    /// As [`Db::update`]; also what stands at the key afterwards. In a transaction its version
    /// may still rise.
    ///
    /// # Errors
    /// As [`Db::update`].
    pub fn update_and_see<'a, R>(
        &self,
        key: &[u8],
        decide: impl FnMut(Option<Entry<'g>>) -> Result<(Change<'a>, R), Error>,
    ) -> Result<(R, Option<Entry<'g>>), Error> {
        self.change(key, decide)
    }

    fn change<'a, R, E: From<Error>>(
        &self,
        key: &[u8],
        mut decide: impl FnMut(Option<Entry<'g>>) -> Result<(Change<'a>, R), E>,
    ) -> Result<(R, Option<Entry<'g>>), E> {
        let key = self.key(key);
        if self.in_transaction {
            return self.update_privately(&key, decide);
        }
        loop {
            // Both results stay where they are: moving them costs more than what is done here.
            let looked = self.scope().look_settled(self.index, &key, Ticket::NONE);
            let sight = looked.as_ref().map_err(|error| E::from(*error))?;
            let live = self.live(sight.entry);
            let mut decided = decide(live);
            let after = match &mut decided {
                Err(_) => {
                    self.keep(sight);
                    Some(live)
                }
                Ok((change, _)) => self.carry_out(&key, (sight, live), change, 1),
            };
            let Some(after) = after else {
                continue;
            };
            return match decided {
                Ok((_, result)) => Ok((result, after)),
                Err(error) => Err(error),
            };
        }
    }

    /// Carries out what was decided on what a settled look found, and counts it as so many uses;
    /// what stands at the key afterwards. None if something changed since: nothing was done.
    #[inline(always)]
    fn carry_out(
        &self,
        key: &Key<'_>,
        (sight, live): (&Sight<'g>, Option<Entry<'g>>),
        change: &mut Change<'_>,
        uses: u32,
    ) -> Option<Option<Entry<'g>>> {
        match change {
            Change::Keep => {
                self.keep(sight);
                Some(live)
            }
            Change::Remove => {
                let is_gone = sight.entry.is_none() || self.take_out(sight);
                self.store.eviction().note_end(key.hash);
                is_gone.then_some(None)
            }
            Change::Put(draft) => self.put_in(key, sight, draft, uses).map(Some),
        }
    }

    /// Looks at a key of which several commands are to make one change: [`Db::publish`].
    ///
    /// # Errors
    /// As [`Db::update`].
    ///
    /// # Panics
    /// Inside [`Db::atomic`].
    pub fn basis<'k>(&self, key: &'k [u8]) -> Result<Basis<'k, 'g>, Error> {
        assert!(!self.in_transaction, "a transaction publishes as a whole");
        let key = self.key(key);
        let sight = self.scope().look_settled(self.index, &key, Ticket::NONE)?;
        let live = self.live(sight.entry);
        Ok(Basis { key, sight, live })
    }

    /// Changes a key that is still as it was when `basis` was looked at, by what so many commands
    /// have made of it; false, and nothing is done, if it is not.
    pub fn publish(&self, basis: &Basis<'_, 'g>, mut change: Change<'_>, commands: u32) -> bool {
        let Basis { key, sight, live } = basis;
        let after = self.carry_out(key, (sight, *live), &mut change, commands);
        after.is_some()
    }

    /// A version that no entry has nor will have, for what was stored but is gone already.
    pub fn unused_version(&self) -> u64 {
        thread::next_version(0)
    }

    /// Puts a value at a key whatever was there.
    ///
    /// # Errors
    /// As [`Db::update`].
    // Inlined, so that the draft stays where it is made.
    #[inline]
    pub fn put(&self, key: &[u8], mut draft: Draft<'_>) -> Result<(), Error> {
        self.put_draft(key, &mut draft).map(drop)
    }

    /// As [`Db::put`]; also the entry. In a transaction its version may still rise.
    ///
    /// # Errors
    /// As [`Db::update`].
    #[inline]
    pub fn put_and_see(&self, key: &[u8], mut draft: Draft<'_>) -> Result<Entry<'g>, Error> {
        self.put_draft(key, &mut draft)
    }

    fn put_draft(&self, key: &[u8], draft: &mut Draft<'_>) -> Result<Entry<'g>, Error> {
        let key = &self.key(key);
        if self.in_transaction {
            return Ok(self.put_privately(*key, draft));
        }
        self.store.eviction().foresee(key.hash, self.guard);
        match self.database.table.find(key, self.guard) {
            Look::Present(spot) if !spot.occupied().is_descriptor() && draft.value.is_flat() => {
                self.put_flat(key, spot, draft)
            }
            Look::Present(_) => self.put_over(*key, draft),
            Look::Absent(absence) => self.put_new(*key, absence, draft),
        }
    }

    /// Puts a value that stands in its entry as a whole in the place of an entry.
    // Short of what no such value needs: most of what a cache does is this.
    #[inline(always)]
    fn put_flat(
        &self,
        key: &Key<'_>,
        spot: Spot<'g>,
        draft: &Draft<'_>,
    ) -> Result<Entry<'g>, Error> {
        let old = keyspace::entry_of(spot.occupied(), self.guard);
        let version = thread::next_version(old.version());
        let usage = old.usage().rewritten(self.present());
        let entry = publish::flat((key.bytes, version), draft, usage);
        let made = Provisional::of_flat(entry);
        self.store.eviction().note_request(key.hash, entry);
        let new = keyspace::occupied(entry);
        if self
            .database
            .table
            .replace(&spot, new, self.guard)
            .is_none()
        {
            return self.put_again(*key, made);
        }
        self.database.count(Some(old), Some(entry));
        made.published(Some(old), self.guard);
        Ok(entry)
    }

    #[inline(never)]
    fn put_privately(&self, key: Key<'_>, draft: &mut Draft<'_>) -> Entry<'g> {
        let at = self.overlay(|overlay| self.scope().touch(overlay, self.index, &key));
        let old = self.overlay(|overlay| overlay.current(at, self.guard));
        let made = self.provisional(&key, old, 0, draft);
        let entry = made.entry;
        self.overlay(|overlay| overlay.put(at, made, self.guard));
        entry
    }

    /// As [`Db::put`], where there is none.
    #[inline(never)]
    fn put_new(
        &self,
        key: Key<'_>,
        absence: Absence<'g>,
        draft: &mut Draft<'_>,
    ) -> Result<Entry<'g>, Error> {
        let sight = Sight {
            look: Look::Absent(absence),
            entry: None,
        };
        self.put_at(key, &sight, draft)
    }

    /// As [`Db::put`], whatever there is.
    #[inline(never)]
    fn put_over(&self, key: Key<'_>, draft: &mut Draft<'_>) -> Result<Entry<'g>, Error> {
        let looked = self.scope().look_settled(self.index, &key, Ticket::NONE);
        let sight = looked.as_ref().map_err(|error| *error)?;
        self.put_at(key, sight, draft)
    }

    #[inline(always)]
    fn put_at(
        &self,
        key: Key<'_>,
        sight: &Sight<'g>,
        draft: &mut Draft<'_>,
    ) -> Result<Entry<'g>, Error> {
        let made = self.made(&key, sight.entry, sight.version_floor(), draft);
        debug_assert!(!made.shares, "a derived value needs `update`");
        self.place(sight, made)
            .or_else(|made| self.put_again(key, made))
    }

    /// Another writer was faster than [`Db::put`].
    #[cold]
    fn put_again(&self, key: Key<'_>, mut made: Provisional<'g>) -> Result<Entry<'g>, Error> {
        loop {
            let sight = match self.scope().look_settled(self.index, &key, Ticket::NONE) {
                Ok(sight) => sight,
                Err(error) => {
                    made.discard();
                    return Err(error);
                }
            };
            made.raise_version_above(sight.version_floor());
            match self.place(&sight, made) {
                Ok(entry) => return Ok(entry),
                Err(back) => made = back,
            }
        }
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
    pub fn atomic<R>(&self, mut body: impl FnMut(&Db<'g>) -> Result<R, Error>) -> Result<R, Error> {
        if self.in_transaction {
            return body(self);
        }
        let mut ticket = None;
        for attempt in 0.. {
            let inside = Db {
                in_transaction: true,
                // A flush may have replaced the record that an attempt before found.
                keyspace: self.store.keyspace(self.guard),
                ..*self
            };
            let inside = inside.numbered(self.index);
            let overlay = match attempt {
                0..ATTEMPTS_WITHOUT_TICKET => Overlay::new(),
                _ => Overlay::with_ticket(*ticket.get_or_insert_with(Ticket::take)),
            };
            self.guard.overlay().replace(Some(Box::new(overlay)));
            let result = body(&inside);
            let overlay = self.guard.overlay().take().expect("put in above");
            match inside.scope().finish(*overlay, result.is_ok()) {
                Ok(()) => return result,
                Err(Failure::Disturbed) => {}
                Err(Failure::Busy) => return Err(Error::Busy),
            }
        }
        unreachable!("the loop has no end")
    }

    /// Moves the value at `from` to `to` (possibly of another database), with its metadata,
    /// without copying it, replacing what was there. Only inside [`Db::atomic`].
    ///
    /// # Errors
    /// [`Error::NoSuchKey`].
    ///
    /// # Panics
    /// Outside [`Db::atomic`].
    pub fn rename(&self, from: &[u8], (to_db, to): (&Db<'g>, &[u8])) -> Result<(), Error> {
        assert!(self.in_transaction, "rename is a step of a transaction");
        let moved = self.peek(from).ok_or(Error::NoSuchKey)?;
        if self.index == to_db.index && from == to {
            return Ok(());
        }
        let (from, to) = (self.key(from), self.key(to));
        let meta = Meta {
            token: None,
            ..moved.meta()
        };
        let mut draft = Draft {
            value: same_value(moved),
            meta,
        };
        self.overlay(|overlay| {
            let from_at = self.scope().touch(overlay, self.index, &from);
            let to_at = self.scope().touch(overlay, to_db.index, &to);
            let old = overlay.current(to_at, self.guard);
            let made = self.provisional(&to, old, 0, &mut draft).counted();
            overlay.rename(from_at, to_at, made.entry, self.guard);
        });
        Ok(())
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

    /// Visits some keys from `cursor` on (0 starts) until about `count` were visited; returns the
    /// next cursor, 0 at the end. A key that is there throughout a whole scan is visited.
    pub fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(Entry<'g>)) -> u64 {
        self.scan_all(cursor, count, |entry| {
            if !entry.is_expired(self.now_ms) {
                visit(entry);
            }
        })
    }

    /// As [`Db::scan`], with expired keys that are still there.
    pub(crate) fn scan_all(
        &self,
        cursor: u64,
        count: usize,
        mut visit: impl FnMut(Entry<'g>),
    ) -> u64 {
        self.database()
            .table
            .scan(cursor, count, self.guard, |occupied| {
                if let Some(entry) = resolve_visited(occupied, self.guard) {
                    visit(entry);
                }
            })
    }

    /// A random key, if there is any.
    pub fn random(&self) -> Option<Entry<'g>> {
        const TRIES: usize = 100;
        let sample = || {
            let occupied = self.database().table.sample(self.guard)?;
            self.live(resolve_visited(occupied, self.guard))
        };
        let mut tries = (0..TRIES).map(|_| sample());
        if let Some(entry) = tries.find_map(|entry| entry) {
            return Some(entry);
        }
        // Few keys, or most of them expired: any will do.
        let (mut cursor, mut found) = (0, None);
        loop {
            cursor = self.scan(cursor, 100, |entry| found = Some(entry));
            if found.is_some() || cursor == 0 {
                return found;
            }
        }
    }

    /// A hint that `keys` will be wanted soon: fetches what a lookup needs into the cache.
    pub fn prefetch<'k>(&self, keys: impl IntoIterator<Item = &'k [u8]>) {
        let table = &self.database().table;
        let foreseen: SmallVec<[Foreseen<'_>; 32]> = keys
            .into_iter()
            .map(|key| table.foresee(&self.key(key), self.guard))
            .collect();
        Foreseen::prefetch_all(&foreseen);
    }

    /// A hint that elements of one hash or set will be wanted soon, to be changed or not: fetches
    /// what that needs into the cache.
    pub fn prefetch_elements<'k>(
        &self,
        key: &[u8],
        elements: impl Iterator<Item = &'k [u8]>,
        is_to_change: bool,
    ) {
        let entry = self.scope().entry(self.index, &self.key(key));
        if let Some(entry) = entry {
            value::prefetch_elements(entry, elements, is_to_change);
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

    /// Removes an entry that has expired and was met by who looks for such; false if something
    /// else stands in its place by now.
    pub(crate) fn take_expired(&self, entry: Entry<'g>) -> bool {
        debug_assert!(entry.is_expired(self.now_ms));
        let is_out = self.take_unless_changed(entry);
        if is_out {
            self.store.count_expired(1);
            self.note_end(entry);
        }
        is_out
    }

    /// Notes that the key of an entry has expired.
    fn note_end(&self, entry: Entry<'_>) {
        let eviction = self.store.eviction();
        if eviction.notes_requests() {
            eviction.note_end(self.store.hash(entry.key()));
        }
    }

    /// Removes an entry unless something else stands in its place by now.
    pub(crate) fn take_unless_changed(&self, entry: Entry<'g>) -> bool {
        let sight = self.scope().look(self.index, &self.key(entry.key()));
        let is_it = match &sight.look {
            Look::Present(spot) => spot.occupied() == keyspace::occupied(entry),
            Look::Absent(_) => false,
        };
        is_it && self.take_out(&sight)
    }

    pub(crate) fn database(&self) -> &'g Database {
        self.database
    }

    fn key<'k>(&self, bytes: &'k [u8]) -> Key<'k> {
        Key::new(bytes, self.store.hash(bytes))
    }

    fn scope(&self) -> Scope<'g> {
        Scope {
            root: self.store.root(),
            keyspace: self.keyspace,
            guard: self.guard,
        }
    }

    fn overlay<R>(&self, use_it: impl FnOnce(&mut Overlay) -> R) -> R {
        let mut overlay = self.guard.overlay().borrow_mut();
        use_it(
            overlay
                .as_mut()
                .expect("a transaction runs under this guard"),
        )
    }

    fn live(&self, entry: Option<Entry<'g>>) -> Option<Entry<'g>> {
        entry.filter(|entry| !entry.is_expired(self.now_ms))
    }

    fn update_privately<'a, R, E>(
        &self,
        key: &Key<'_>,
        mut decide: impl FnMut(Option<Entry<'g>>) -> Result<(Change<'a>, R), E>,
    ) -> Result<(R, Option<Entry<'g>>), E> {
        let at = self.overlay(|overlay| self.scope().touch(overlay, self.index, key));
        let current = self.overlay(|overlay| overlay.current(at, self.guard));
        let live = self.live(current);
        let (change, result) = decide(live)?;
        let after = match change {
            Change::Keep => live,
            Change::Remove if current.is_none() => None,
            Change::Remove => {
                self.overlay(|overlay| overlay.remove(at, self.guard));
                None
            }
            Change::Put(mut draft) => {
                let made = self.provisional(key, current, 0, &mut draft);
                let entry = made.entry;
                self.overlay(|overlay| overlay.put(at, made, self.guard));
                Some(entry)
            }
        };
        Ok((result, after))
    }

    /// An expired entry goes when it is met.
    fn keep(&self, sight: &Sight<'g>) {
        if sight
            .entry
            .is_some_and(|entry| entry.is_expired(self.now_ms))
        {
            self.remove_expired(sight);
        }
    }

    #[cold]
    fn remove_expired(&self, sight: &Sight<'g>) {
        // A reader has not settled what a descriptor shows: somebody else will come by.
        let is_plain = match &sight.look {
            Look::Present(spot) => !spot.occupied().is_descriptor(),
            Look::Absent(_) => false,
        };
        if is_plain && self.take_out(sight) {
            self.store.count_expired(1);
            sight
                .entry
                .into_iter()
                .for_each(|entry| self.note_end(entry));
        }
    }

    /// Removes the entry a settled look found; false if something changed since.
    fn take_out(&self, sight: &Sight<'g>) -> bool {
        let (Look::Present(spot), Some(entry)) = (&sight.look, sight.entry) else {
            return true;
        };
        let is_out = self
            .database()
            .table
            .remove(spot, entry.version(), self.guard);
        if is_out {
            self.database().count(Some(entry), None);
            publish::retire_whole(entry, self.guard);
        }
        is_out
    }

    /// Puts an entry where a settled look found its place; none if something changed since.
    fn put_in(
        &self,
        key: &Key<'_>,
        sight: &Sight<'g>,
        draft: &mut Draft<'_>,
        uses: u32,
    ) -> Option<Entry<'g>> {
        let made = self.provisional(key, sight.entry, sight.version_floor(), draft);
        (1..uses).for_each(|_| self.note_rewrite(key.hash, made.entry));
        self.place(sight, made).map_err(Provisional::discard).ok()
    }

    /// Puts an entry where a look was; gives it back if something changed since.
    fn place(
        &self,
        sight: &Sight<'g>,
        made: Provisional<'g>,
    ) -> Result<Entry<'g>, Provisional<'g>> {
        let database = self.database();
        let new = keyspace::occupied(made.entry);
        if database.table.put(&sight.look, new, self.guard).is_none() {
            return Err(made);
        }
        let entry = made.entry;
        database.count(sight.entry, Some(entry));
        made.published(sight.entry, self.guard);
        Ok(entry)
    }

    /// Makes an entry of a draft, whose value then belongs to the entry.
    #[inline(never)]
    fn provisional(
        &self,
        key: &Key<'_>,
        old: Option<Entry<'g>>,
        version_floor: u64,
        draft: &mut Draft<'_>,
    ) -> Provisional<'g> {
        self.made(key, old, version_floor, draft)
    }

    /// The same, made where it is called for.
    #[inline(always)]
    fn made(
        &self,
        key: &Key<'_>,
        old: Option<Entry<'g>>,
        version_floor: u64,
        draft: &mut Draft<'_>,
    ) -> Provisional<'g> {
        let before = old.map_or(0, |entry| entry.version());
        let version = thread::next_version(before.max(version_floor));
        let eviction = self.store.eviction();
        let now = self.present();
        let usage = match old {
            Some(old) => old.usage().rewritten(now),
            None => eviction.admit(key.hash, now, self.guard),
        };
        let made = publish::provisional(self.guard, (key.bytes, version), draft, usage);
        if old.is_none() {
            let limit = self.store.memory_bytes_max();
            eviction.note_insertion(made.entry.memory_bytes(), limit);
        }
        eviction.note_request(key.hash, made.entry);
        made
    }
}
