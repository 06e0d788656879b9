//! Taking entries out: those that are told to go, and those that have expired.

use super::{Change, Db};
use crate::entry::Entry;
use crate::error::Error;
use crate::keyspace;
use crate::publish;
use crate::table::Look;
use crate::transaction::commit::Sight;

impl<'g> Db<'g> {
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

    /// Removes the entry a settled look found; false if something changed since.
    pub(super) fn take_out(&self, sight: &Sight<'g>) -> bool {
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

    /// Removes an entry unless something else stands in its place by now.
    pub(crate) fn take_unless_changed(&self, entry: Entry<'g>) -> bool {
        let sight = self.scope().look(self.index, &self.key(entry.key()));
        let is_it = match &sight.look {
            Look::Present(spot) => spot.occupied() == keyspace::occupied(entry),
            Look::Absent(_) => false,
        };
        is_it && self.take_out(&sight)
    }

    /// Removes an entry that has expired and was met by who looks for such; false if something
    /// else stands in its place by now.
    pub(crate) fn take_expired(&self, entry: Entry<'g>) -> bool {
        debug_assert!(entry.is_expired(self.now_ms));
        let is_out = self.take_unless_changed(entry);
        if is_out {
            self.note_expired(entry);
        }
        is_out
    }

    /// An expired entry goes when it is met.
    pub(super) fn keep(&self, sight: &Sight<'g>) {
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
            let entry = sight.entry.into_iter();
            entry.for_each(|entry| self.note_expired(entry));
        }
    }

    /// Notes that the key of an entry has expired.
    fn note_expired(&self, entry: Entry<'_>) {
        self.store.count_expired(!entry.was_fetched());
        let eviction = self.store.eviction();
        if eviction.notes_requests() {
            eviction.note_end(self.store.hash(entry.key()));
        }
    }
}
