//! Keys that commands are about to ask for: hashed and found once, for all that is done with them.
//!
//! Before the first command of a batch runs, the keys of all are hashed and what a look at them
//! needs is fetched ([`Db::look_ahead`]). What was seen on the way is kept. A command that begins
//! with such a key gets a [`Db`] that expects it ([`Db::expecting`]): when it asks for these very
//! bytes, they are not hashed again, and where the slot that was seen still names the same entry,
//! nothing is searched for.
//!
//! What was seen is only where to look. The look itself is made when the command runs: those
//! before may have changed the key.

use std::ptr;

use smallvec::SmallVec;

use super::Db;
use crate::keyspace::Database;
use crate::table::{Foreseen, Key, Look, Named, note_entry_bytes};
use crate::transaction::commit::resolve_visited;

/// So many keys take no allocation.
const KEYS: usize = 64;

/// Keys that were looked for ahead, and the database in which they were.
#[derive(Debug, Default)]
pub struct Ahead<'k, 'g> {
    database: Option<&'g Database>,
    keys: SmallVec<[Foreseen<'k, 'g>; KEYS]>,
}

impl<'g> Db<'g> {
    /// Looks for keys that will be wanted soon and fetches what that needs into the cache, in the
    /// place of what is in `ahead`.
    #[inline]
    pub fn look_ahead<'k>(
        &self,
        keys: impl IntoIterator<Item = &'k [u8]>,
        ahead: &mut Ahead<'k, 'g>,
    ) {
        ahead.database = Some(self.database);
        ahead.keys.clear();
        // One by one: what a chain of iterators makes is moved.
        for key in keys {
            let foreseen = self.database.table.foresee(self.key(key), self.guard);
            ahead.keys.push(foreseen);
        }
        self.fetch_ahead::<true>(&mut ahead.keys);
    }

    /// Takes the steps behind the first; `PLACES` as for [`Foreseen::prefetch_all`].
    pub(super) fn fetch_ahead<const PLACES: bool>(&self, keys: &mut [Foreseen<'_, 'g>]) {
        let first = Foreseen::prefetch_all::<PLACES>(keys);
        if let Some(entry) = first.and_then(|first| resolve_visited(first, self.guard)) {
            note_entry_bytes(entry.block().bytes());
        }
    }

    /// The same database for a command that begins with the key number `at`, if that was looked for
    /// in this database.
    #[inline(always)]
    pub fn expecting<'s>(self, ahead: &'s Ahead<'_, 'g>, at: usize) -> Db<'s> {
        let is_here = ahead.database.is_some_and(|it| ptr::eq(it, self.database));
        Db {
            expected: ahead.keys.get(at).filter(|_| is_here),
            ..self
        }
    }

    /// What was seen ahead of a key, if these are the bytes that are expected.
    #[inline(always)]
    fn foreseen(&self, key: &[u8]) -> Option<&'g Foreseen<'g, 'g>> {
        self.expected.filter(|it| ptr::eq(it.key.bytes, key))
    }

    /// A key with its hash.
    #[inline(always)]
    pub(crate) fn key<'k>(&self, bytes: &'k [u8]) -> Key<'k> {
        match self.foreseen(bytes) {
            Some(foreseen) => foreseen.key.of(bytes),
            None => Key::new(bytes, self.store.hash(bytes)),
        }
    }

    /// Looks for a key.
    #[inline(always)]
    pub(super) fn find(&self, key: &Key<'_>) -> Look<'g> {
        let table = &self.database.table;
        let foreseen = self.foreseen(key.bytes);
        match foreseen.and_then(|it| table.find_foreseen(it)) {
            Some(spot) => Look::Present(spot),
            None => table.find(key, self.guard),
        }
    }

    /// What a key's slot names.
    #[inline(always)]
    pub(super) fn named(&self, key: &Key<'_>) -> Named {
        let table = &self.database.table;
        let foreseen = self.foreseen(key.bytes);
        match foreseen.and_then(|it| table.find_foreseen(it)) {
            Some(spot) => Named::Entry(spot.occupied()),
            None => table.named(key, self.guard),
        }
    }
}
