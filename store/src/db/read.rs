//! Looking at keys, and what is noted of it.

use std::ops::ControlFlow;

use smallvec::SmallVec;

use super::Db;
use super::atomic::ATTEMPTS_WITHOUT_TICKET;
use crate::entry::Entry;
use crate::error::Error;
use crate::eviction::Access;
use crate::table::{Key, Named};
use crate::thread;
use crate::transaction::commit::{Scope, resolve_named};
use crate::transaction::together::Entries;
use crate::value;

/// So many keys are fetched into the cache together.
const BATCH_KEYS: usize = 32;

impl<'g> Db<'g> {
    /// The entry at a key that has not expired; notes the use.
    // Inlined: what a caller knows, as the length of its keys, need not be asked again.
    #[inline]
    pub fn read(&self, key: &[u8]) -> Option<Entry<'g>> {
        let key = self.key(key);
        let found = self.peek_at(&key);
        self.noted_at(key.hash, found)
    }

    /// Reads keys as [`Db::read`] does, in their order, but fetches what many of them need into the
    /// cache first; until `visit` breaks off.
    #[inline]
    pub fn read_batch<'k>(
        &self,
        keys: &'k [impl AsRef<[u8]>],
        mut visit: impl FnMut(&'k [u8], Option<Entry<'g>>) -> ControlFlow<()>,
    ) {
        let table = &self.database.table;
        for keys in keys.chunks(BATCH_KEYS) {
            let mut batch: SmallVec<[_; BATCH_KEYS]> = SmallVec::new();
            for key in keys {
                batch.push(table.foresee(self.key(key.as_ref()), self.guard));
            }
            self.fetch_ahead::<false>(&mut batch);
            for foreseen in &batch {
                let key = &foreseen.key;
                let found = match self.in_transaction {
                    true => self.peek_privately(*key),
                    false => self.live_at(key, table.named_ahead(foreseen, self.guard)),
                };
                if visit(key.bytes, self.noted_at(key.hash, found)).is_break() {
                    return;
                }
            }
        }
    }

    /// What was found at a key by somebody who reads it.
    #[inline(always)]
    fn noted_at(&self, hash: u64, found: Option<Entry<'g>>) -> Option<Entry<'g>> {
        let Some(entry) = found else {
            thread::note_miss();
            if self.notes_use {
                self.store.eviction().note_absence(hash);
            }
            return None;
        };
        thread::note_hit();
        if self.notes_use {
            self.note_use_at(hash, entry);
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
        let mut entries = self.look_at_all(keys.clone())?;
        for (entry, key) in entries.iter_mut().zip(keys) {
            *entry = self.noted(key, *entry);
        }
        Ok(entries)
    }

    /// As [`Db::inspect`] for several keys, all at one moment.
    ///
    /// # Errors
    /// [`Error::Busy`].
    pub fn inspect_all<'k>(
        &self,
        keys: impl Iterator<Item = &'k [u8]> + Clone,
    ) -> Result<Entries<'g>, Error> {
        let mut entries = self.look_at_all(keys)?;
        for entry in &mut entries {
            *entry = self.live(*entry);
            thread::note_lookup(entry.is_some());
        }
        Ok(entries)
    }

    /// What stands at several keys at one moment, expired or not.
    // Inlined, so that what is returned is not moved.
    #[inline(always)]
    fn look_at_all<'k>(
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
            if let Some(entries) = looked {
                return Ok(entries);
            }
        }
        self.atomic(|db| Ok(keys.clone().map(|key| db.peek(key)).collect()))
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

    /// As [`Db::read`], without noting a use: for OBJECT, TYPE, TTL and the like.
    pub fn inspect(&self, key: &[u8]) -> Option<Entry<'g>> {
        let found = self.peek(key);
        thread::note_lookup(found.is_some());
        found
    }

    /// As [`Db::inspect`], and it is no lookup: for who is about to change it.
    pub fn peek(&self, key: &[u8]) -> Option<Entry<'g>> {
        self.peek_at(&self.key(key))
    }

    #[inline(always)]
    fn peek_at(&self, key: &Key<'_>) -> Option<Entry<'g>> {
        if self.in_transaction {
            return self.peek_privately(*key);
        }
        self.live_at(key, self.named(key))
    }

    /// The entry that counts in a key's slot, unless it has expired.
    #[inline(always)]
    fn live_at(&self, key: &Key<'_>, named: Named) -> Option<Entry<'g>> {
        let entry = resolve_named(named, self.guard)?;
        if entry.is_expired(self.now_ms) {
            self.meet_expired(*key);
            return None;
        }
        Some(entry)
    }

    #[cold]
    fn meet_expired(&self, key: Key<'_>) {
        thread::note_expired_lookup();
        self.keep(&self.scope().look(self.index, &key));
    }

    /// Notes a use of an entry, for those who looked at it without noting one.
    pub fn note_use(&self, entry: Entry<'g>) {
        // The hash is made anew only where somebody asks for it.
        if self.store.eviction().notes_requests() {
            return self.note_use_at(self.store.hash(entry.key()), entry);
        }
        self.touch(entry);
    }

    fn note_use_at(&self, hash: u64, entry: Entry<'g>) {
        self.touch(entry);
        self.store
            .eviction()
            .note_request(hash, entry, Access::Read);
    }

    #[inline(always)]
    fn touch(&self, entry: Entry<'g>) {
        if !entry.usage().is(self.settled) {
            entry.touch(self.present());
        }
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
}
