//! Putting a value at a key whatever was there, and how a draft becomes an entry.

use super::{Db, Draft};
use crate::entry::{Entry, Meta};
use crate::error::Error;
use crate::eviction::Access;
use crate::keyspace;
use crate::long::Received;
use crate::publish::{self, Provisional};
use crate::table::{Absence, Key, Look, Spot};
use crate::thread;
use crate::transaction::Ticket;
use crate::transaction::commit::Sight;
use crate::value::{self, string};

impl<'g> Db<'g> {
    /// Puts a value at a key whatever was there.
    ///
    /// # Errors
    /// As [`Db::update`].
    pub fn put(&self, key: &[u8], draft: Draft<'_>) -> Result<(), Error> {
        self.put_draft(self.key(key), draft).map(drop)
    }

    /// Puts a string at a key whatever was there, as [`string::received`] makes one; also the
    /// entry. In a transaction its version may still rise.
    ///
    /// # Errors
    /// As [`Db::update`].
    // Most of what a cache does is this: a draft would be put together and taken apart again.
    #[inline(always)]
    pub fn put_string(
        &self,
        key: &[u8],
        (bytes, within): (&[u8], Option<&Received>),
        meta: &Meta,
    ) -> Result<Entry<'g>, Error> {
        match string::is_flat(bytes.len()) {
            true => self.put_flat(key, bytes, (!meta.says_nothing()).then_some(meta)),
            false => self.put_as_draft(key, (bytes, within), meta),
        }
    }

    /// As [`Db::put_string`], the general way: of a long one, in a transaction, or where another
    /// transaction's descriptor stands.
    #[inline(never)]
    fn put_as_draft(
        &self,
        key: &[u8],
        (bytes, within): (&[u8], Option<&Received>),
        meta: &Meta,
    ) -> Result<Entry<'g>, Error> {
        let value = string::received(bytes, within);
        self.put_draft(self.key(key), Draft { value, meta: *meta })
    }

    /// As [`Db::put_string`], of one that stands in its entry; `meta` unless it says nothing.
    #[inline(never)]
    fn put_flat(&self, key: &[u8], bytes: &[u8], meta: Option<&Meta>) -> Result<Entry<'g>, Error> {
        let key = &self.key(key);
        if self.in_transaction {
            return self.put_as_draft(key.bytes, (bytes, None), &meta.copied().unwrap_or_default());
        }
        self.store.eviction().foresee(key.hash, self.guard);
        // What was found is passed on where it stands: to copy at once what has just been written
        // in pieces takes as long as to find it.
        match &self.find(key) {
            Look::Present(spot) if !spot.occupied().is_descriptor() => {
                self.put_flat_over(key, spot, bytes, meta)
            }
            Look::Present(_) => {
                self.put_as_draft(key.bytes, (bytes, None), &meta.copied().unwrap_or_default())
            }
            Look::Absent(absence) => self.put_new_flat(key, absence, bytes, meta),
        }
    }

    #[inline(never)]
    fn put_draft(&self, key: Key<'_>, mut draft: Draft<'_>) -> Result<Entry<'g>, Error> {
        let draft = &mut draft;
        if self.in_transaction {
            return Ok(self.put_privately(key, draft));
        }
        self.store.eviction().foresee(key.hash, self.guard);
        match &self.find(&key) {
            Look::Present(_) => self.put_over(key, draft),
            Look::Absent(absence) => self.put_new(key, *absence, draft),
        }
    }

    /// As [`Db::put_flat`], where there is an entry.
    // Short of what no such value needs.
    #[inline(always)]
    fn put_flat_over(
        &self,
        key: &Key<'_>,
        spot: &Spot<'g>,
        bytes: &[u8],
        meta: Option<&Meta>,
    ) -> Result<Entry<'g>, Error> {
        let old = keyspace::entry_of(spot.occupied(), self.guard);
        let version = thread::next_version(old.version());
        let usage = old.usage().rewritten(self.present());
        let entry = publish::flat_string((key.bytes, version), bytes, meta, usage);
        self.swap_flat(key, (spot, old), (entry, usage.is_small()))
            .or_else(|made| self.put_again(*key, made))
    }

    /// Puts a value that stands in its entry as a whole in the place of an entry; gives the new one
    /// back if something changed since.
    #[inline(always)]
    pub(super) fn replace_flat(
        &self,
        key: &Key<'_>,
        spot: &Spot<'g>,
        draft: &Draft<'_>,
    ) -> Result<Entry<'g>, Provisional<'g>> {
        let old = keyspace::entry_of(spot.occupied(), self.guard);
        let version = thread::next_version(old.version());
        let usage = old.usage().rewritten(self.present());
        let entry = publish::flat((key.bytes, version), draft, usage);
        self.swap_flat(key, (spot, old), (entry, usage.is_small()))
    }

    /// Puts an entry in which all of its value stands in the place of another; gives it back if
    /// something changed since. Beside it, whether it was made as a part of the small queue.
    #[inline(always)]
    pub(super) fn swap_flat(
        &self,
        key: &Key<'_>,
        (spot, old): (&Spot<'g>, Entry<'g>),
        (entry, is_small): (Entry<'g>, bool),
    ) -> Result<Entry<'g>, Provisional<'g>> {
        self.store
            .eviction()
            .note_request(key.hash, entry, Access::Write);
        let new = keyspace::occupied(entry);
        let table = &self.database.table;
        if table.replace(spot, new, self.guard).is_none() {
            return Err(Provisional::of_flat(entry));
        }
        self.database.count(Some(old), Some(entry));
        self.note_replaced(old);
        publish::published_flat((entry, is_small), Some(old), self.guard);
        Ok(entry)
    }

    /// As [`Db::put_flat`], where there is no entry.
    #[inline(never)]
    fn put_new_flat(
        &self,
        key: &Key<'_>,
        absence: &Absence<'g>,
        bytes: &[u8],
        meta: Option<&Meta>,
    ) -> Result<Entry<'g>, Error> {
        let version = thread::next_version(absence.removed_version_max());
        let usage = self
            .store
            .eviction()
            .admit(key.hash, self.present(), self.guard);
        let entry = publish::flat_string((key.bytes, version), bytes, meta, usage);
        self.note_new(key, entry);
        let new = keyspace::occupied(entry);
        let table = &self.database.table;
        if table.insert(absence, new, self.guard).is_none() {
            return self.put_again(*key, Provisional::of_flat(entry));
        }
        self.database.count(None, Some(entry));
        publish::published_flat((entry, usage.is_small()), None, self.guard);
        Ok(entry)
    }

    /// Tells the eviction of an entry that was made for a key without one.
    #[inline(always)]
    pub(super) fn note_new(&self, key: &Key<'_>, entry: Entry<'g>) {
        let eviction = self.store.eviction();
        let bytes = value::own_memory_bytes(entry);
        eviction.note_insertion(bytes, self.store.memory_bytes_max());
        eviction.note_request(key.hash, entry, Access::Write);
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

    /// Puts an entry where a look was; gives it back if something changed since.
    pub(super) fn place(
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
        sight
            .entry
            .into_iter()
            .for_each(|old| self.note_replaced(old));
        made.published(sight.entry, self.guard);
        Ok(entry)
    }

    /// Counts an entry that was replaced or removed as expired, if nobody had noticed its end.
    #[inline(always)]
    pub(super) fn note_replaced(&self, old: Entry<'_>) {
        if old.is_expired(self.now_ms) {
            self.store.count_expired(!old.was_fetched());
        }
    }

    /// Makes an entry of a draft, whose value then belongs to the entry.
    #[inline(never)]
    pub(super) fn provisional(
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
        match old {
            Some(_) => eviction.note_request(key.hash, made.entry, Access::Write),
            None => self.note_new(key, made.entry),
        }
        made
    }

    /// A version that no entry has nor will have, for what was stored but is gone already.
    pub fn unused_version(&self) -> u64 {
        thread::next_version(0)
    }
}
