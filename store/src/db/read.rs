//! Looking at keys, and what is noted of it.

use smallvec::SmallVec;

use super::Db;
use super::atomic::ATTEMPTS_WITHOUT_TICKET;
use crate::entry::Entry;
use crate::error::Error;
use crate::eviction::Access;
use crate::table::{Foreseen, Key, note_entry_bytes};
use crate::thread;
use crate::transaction::commit::{Scope, resolve_visited};
use crate::transaction::together::Entries;
use crate::value;

/// A key that is hashed once, where it is looked ahead for and then looked up.
#[derive(Clone, Copy, Debug)]
pub struct HashedKey<'k>(Key<'k>);

impl<'k> HashedKey<'k> {
    /// The key.
    pub fn bytes(self) -> &'k [u8] {
        self.0.bytes
    }
}

impl<'g> Db<'g> {
    /// The entry at a key that has not expired; notes the use.
    pub fn read(&self, key: &[u8]) -> Option<Entry<'g>> {
        self.read_hashed(self.hashed(key))
    }

    /// A key for [`Db::prefetch_hashed`] and [`Db::read_hashed`] of any database of the store.
    #[inline]
    pub fn hashed<'k>(&self, key: &'k [u8]) -> HashedKey<'k> {
        HashedKey(self.key(key))
    }

    /// As [`Db::read`].
    #[inline]
    pub fn read_hashed(&self, HashedKey(key): HashedKey<'_>) -> Option<Entry<'g>> {
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

    /// A hint that `keys` will be wanted soon: fetches what a lookup needs into the cache.
    pub fn prefetch<'k>(&self, keys: impl IntoIterator<Item = &'k [u8]>) {
        self.prefetch_keys(keys.into_iter().map(|key| self.key(key)));
    }

    /// As [`Db::prefetch`].
    pub fn prefetch_hashed(&self, keys: &[HashedKey<'_>]) {
        self.prefetch_keys(keys.iter().map(|key| key.0));
    }

    fn prefetch_keys<'k>(&self, keys: impl Iterator<Item = Key<'k>>) {
        let table = &self.database().table;
        let foreseen: SmallVec<[Foreseen<'_>; 32]> =
            keys.map(|key| table.foresee(&key, self.guard)).collect();
        let first = Foreseen::prefetch_all(&foreseen);
        if let Some(entry) = first.and_then(|first| resolve_visited(first, self.guard)) {
            note_entry_bytes(entry.block().bytes());
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
