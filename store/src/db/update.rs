//! Changing a key by what stands there: a compare-and-swap loop, or a basis that several commands
//! change at once.

use std::fmt;

use super::{Change, Db, Draft};
use crate::entry::Entry;
use crate::error::Error;
use crate::eviction::Access;
use crate::keyspace;
use crate::publish::Provisional;
use crate::table::{Key, Look};
use crate::thread;
use crate::transaction::Ticket;
use crate::transaction::commit::Sight;
use crate::value::string;

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

impl<'g> Db<'g> {
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

    /// Puts the text of an integer at a key, under the expiry and client flags of what is there,
    /// and returns it: `decide` says which, as for [`Db::update`].
    ///
    /// # Errors
    /// As [`Db::update`].
    pub fn update_integer(
        &self,
        key: &[u8],
        mut decide: impl FnMut(Option<Entry<'g>>) -> Result<i64, Error>,
    ) -> Result<i64, Error> {
        let key = self.key(key);
        match self.respell(&key, &mut decide) {
            Some(decided) => decided,
            None => self.update_to_integer(&key, &mut decide),
        }
    }

    /// As [`Db::update_integer`], where the text is as long as what it takes the place of; none,
    /// and nothing is done, where it is not, or something else is against it.
    // Most counters go on by one, within their digits: the entry is copied with other digits.
    #[inline(always)]
    fn respell(
        &self,
        key: &Key<'_>,
        mut decide: impl FnMut(Option<Entry<'g>>) -> Result<i64, Error>,
    ) -> Option<Result<i64, Error>> {
        if self.in_transaction {
            return None;
        }
        let Look::Present(spot) = self.find(key) else {
            return None;
        };
        if spot.occupied().is_descriptor() {
            return None;
        }
        let old = keyspace::entry_of(spot.occupied(), self.guard);
        if old.is_expired(self.now_ms) {
            return None;
        }
        let integer = match decide(Some(old)) {
            Ok(integer) => integer,
            Err(error) => return Some(Err(error)),
        };
        let version = thread::next_version(old.version());
        let usage = old.usage().rewritten(self.present());
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(integer).as_bytes();
        let entry = old.respelled(version, digits, usage)?;
        match self.swap_flat(key, (&spot, old), (entry, usage.is_small())) {
            Ok(_) => Some(Ok(integer)),
            Err(made) => {
                made.discard();
                None
            }
        }
    }

    #[inline(never)]
    fn update_to_integer(
        &self,
        key: &Key<'_>,
        decide: &mut dyn FnMut(Option<Entry<'g>>) -> Result<i64, Error>,
    ) -> Result<i64, Error> {
        let changed = self.change_at(key, |entry| {
            let integer = decide(entry)?;
            let draft = Draft::keeping_any(entry, string::integer(integer));
            Ok((Change::Put(draft), integer))
        });
        changed.map(|(integer, _)| integer)
    }

    fn change<'a, R, E: From<Error>>(
        &self,
        key: &[u8],
        decide: impl FnMut(Option<Entry<'g>>) -> Result<(Change<'a>, R), E>,
    ) -> Result<(R, Option<Entry<'g>>), E> {
        self.change_at(&self.key(key), decide)
    }

    #[inline(always)]
    fn change_at<'a, R, E: From<Error>>(
        &self,
        key: &Key<'_>,
        mut decide: impl FnMut(Option<Entry<'g>>) -> Result<(Change<'a>, R), E>,
    ) -> Result<(R, Option<Entry<'g>>), E> {
        if self.in_transaction {
            return self.update_privately(key, decide);
        }
        loop {
            // Both results stay where they are: moving them costs more than what is done here.
            let looked = self.scope().look_settled(self.index, key, Ticket::NONE);
            let sight = looked.as_ref().map_err(|error| E::from(*error))?;
            let live = self.live(sight.entry);
            let mut decided = decide(live);
            let after = match &mut decided {
                Err(_) => {
                    self.keep(sight);
                    Some(live)
                }
                Ok((change, _)) => self.carry_out(key, (sight, live), change, 1),
            };
            let Some(after) = after else {
                continue;
            };
            if live.is_none() && sight.entry.is_some() {
                thread::note_expired_lookup();
            }
            return match decided {
                Ok((_, result)) => Ok((result, after)),
                Err(error) => Err(error),
            };
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

    /// Puts an entry where a settled look found its place; none if something changed since.
    fn put_in(
        &self,
        key: &Key<'_>,
        sight: &Sight<'g>,
        draft: &mut Draft<'_>,
        uses: u32,
    ) -> Option<Entry<'g>> {
        if uses == 1
            && let Look::Present(spot) = &sight.look
            && !spot.occupied().is_descriptor()
            && draft.value.is_flat()
        {
            let placed = self.replace_flat(key, spot, draft);
            return placed.map_err(Provisional::discard).ok();
        }
        let made = self.provisional(key, sight.entry, sight.version_floor(), draft);
        (1..uses).for_each(|_| self.note_rewrite(key.hash, made.entry));
        self.place(sight, made).map_err(Provisional::discard).ok()
    }

    /// Notes that another command has written what is about to be published.
    fn note_rewrite(&self, hash: u64, entry: Entry<'g>) {
        let eviction = self.store.eviction();
        entry.rewrite(self.present());
        eviction.note_request(hash, entry, Access::Write);
    }
}
