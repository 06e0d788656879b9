//! From an overlay to visible changes, or to nothing.

use std::ptr::NonNull;

use super::overlay::{Failure, Item, Overlay};
use super::{Descriptor, Ticket, Transaction};
use crate::entry::Entry;
use crate::error::Error;
use crate::keyspace::{self, Keyspace, Root};
use crate::publish;
use crate::reclaim::Guard;
use crate::table::{Key, Look, Occupied, Sighting};
use crate::thread;
use crate::value;

/// Where a transaction runs.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'g> {
    pub(crate) root: &'g Root,
    pub(crate) keyspace: &'g Keyspace,
    pub(crate) guard: &'g Guard,
}

/// How a key was found: the entry that counts, and where.
pub(crate) struct Sight<'g> {
    pub(crate) look: Look<'g>,
    /// Expired or not.
    pub(crate) entry: Option<Entry<'g>>,
}

impl Sight<'_> {
    /// No version the key ever had is higher. Where a transaction removed the key and its owner
    /// did not get to take the descriptor out, only that knows.
    pub(crate) fn version_floor(&self) -> u64 {
        let before = self.entry.map_or(0, Entry::version);
        let installed = match &self.look {
            Look::Present(spot) if spot.occupied().is_descriptor() => {
                // SAFETY: seen in its slot under the guard of the look.
                unsafe { keyspace::descriptor(spot.occupied()) }.version_floor()
            }
            _ => 0,
        };
        self.look.removed_version_max().max(before).max(installed)
    }
}

impl<'g> Scope<'g> {
    /// Looks at a key as a reader does.
    pub(crate) fn look(&self, database: usize, key: &Key<'_>) -> Sight<'g> {
        let look = self.keyspace.database(database).table.find(key, self.guard);
        let entry = match &look {
            Look::Present(spot) => resolve(spot.occupied()),
            Look::Absent(_) => None,
        };
        Sight { look, entry }
    }

    /// Looks at a key as a writer does: what it finds cannot be changed by a commit.
    ///
    /// # Errors
    /// [`Error::Busy`].
    pub(crate) fn look_settled(
        &self,
        database: usize,
        key: &Key<'_>,
        ticket: Ticket,
    ) -> Result<Sight<'g>, Error> {
        let look = self.keyspace.database(database).table.find(key, self.guard);
        let entry = match &look {
            Look::Present(spot) if spot.occupied().is_descriptor() => {
                // SAFETY: seen in its slot under this guard.
                let descriptor = unsafe { keyspace::descriptor(spot.occupied()) };
                descriptor.settle(ticket)?.map(entry_at)
            }
            Look::Present(spot) => resolve(spot.occupied()),
            Look::Absent(_) => None,
        };
        Ok(Sight { look, entry })
    }

    /// Notes what is at a key for the overlay; with a ticket, puts a descriptor in place.
    pub(crate) fn touch(&self, overlay: &mut Overlay, database: usize, key: &Key<'_>) -> usize {
        if let Some(at) = overlay.position(database, key.bytes) {
            return at;
        }
        let mut item = Item {
            database,
            key: key.bytes.into(),
            hash: key.hash,
            seen: None,
            sighting: None,
            write: None,
            descriptor: None,
        };
        match overlay.eager {
            None => {
                let Sight { look, entry } = self.look(database, key);
                item.seen = entry.map(Entry::address);
                item.sighting = Some(look.sighting());
            }
            Some((ticket, transaction)) => {
                // SAFETY: it lives until its attempt ends.
                let is_aborted = unsafe { transaction.as_ref() }.is_aborted();
                if is_aborted {
                    overlay.fail(Failure::Disturbed);
                } else if !overlay.has_failed()
                    && let Err(failure) = self.install(&mut item, ticket, transaction, false)
                {
                    overlay.fail(failure);
                }
            }
        }
        overlay.items.push(item);
        overlay.items.len() - 1
    }

    /// Ends an attempt. `is_wanted`: the body succeeded, its writes are to be published.
    pub(crate) fn finish(&self, mut overlay: Overlay, is_wanted: bool) -> Result<(), Failure> {
        let outcome = self.try_commit(&mut overlay, is_wanted);
        self.clean_up(overlay, outcome == Ok(true));
        outcome.map(|_| ())
    }

    /// Whether the writes were published.
    fn try_commit(&self, overlay: &mut Overlay, is_wanted: bool) -> Result<bool, Failure> {
        if let Some(failure) = overlay.failure {
            return Err(failure);
        }
        let writes = overlay.items.iter().any(|item| item.write.is_some());
        if !is_wanted || !writes {
            return self.validate(overlay).map(|()| false);
        }
        let transaction = match overlay.eager {
            Some((_, transaction)) => transaction,
            None => {
                let transaction = Box::leak(Box::new(Transaction::new(Ticket::NONE))).into();
                // So that cleaning up knows whom to retire.
                overlay.eager = Some((Ticket::NONE, transaction));
                for item in &mut overlay.items {
                    self.install(item, Ticket::NONE, transaction, true)?;
                }
                transaction
            }
        };
        for item in &overlay.items {
            self.prepare(item);
        }
        self.decide(overlay, transaction)
    }

    fn decide(
        &self,
        overlay: &Overlay,
        transaction: NonNull<Transaction>,
    ) -> Result<bool, Failure> {
        let mut databases = overlay.items.iter().map(|item| item.database);
        let first = databases.next();
        let spans = databases.any(|database| Some(database) != first);
        if spans && !self.root.enter(self.keyspace) {
            return Err(Failure::Disturbed);
        }
        // SAFETY: it is retired in `clean_up`.
        let is_committed = unsafe { transaction.as_ref() }.commit();
        if spans {
            self.root.leave(self.keyspace);
        }
        is_committed.then_some(true).ok_or(Failure::Disturbed)
    }

    /// Whether there was a moment at which everything that was read was there together: between
    /// the last first look and the first second one. One key needs no second look.
    fn validate(&self, overlay: &Overlay) -> Result<(), Failure> {
        if let Some((_, transaction)) = overlay.eager {
            // SAFETY: it lives until its attempt ends.
            let is_aborted = unsafe { transaction.as_ref() }.is_aborted();
            return if is_aborted {
                Err(Failure::Disturbed)
            } else {
                Ok(())
            };
        }
        if overlay.items.len() == 1 {
            return Ok(());
        }
        let holds = overlay.items.iter().all(|item| {
            let Sight { look, entry } = self.look(item.database, &key_of(item));
            let is_same = entry.map(Entry::address) == item.seen;
            // An entry is never put back, but absence needs more than absence twice.
            is_same && (item.seen.is_some() || item.sighting == Some(look.sighting()))
        });
        if holds {
            Ok(())
        } else {
            Err(Failure::Disturbed)
        }
    }

    /// Puts a descriptor in the place of a key, provided (where `must_match`) that the key is as
    /// it was seen; else what is there becomes what was seen.
    fn install(
        &self,
        item: &mut Item,
        ticket: Ticket,
        transaction: NonNull<Transaction>,
        must_match: bool,
    ) -> Result<(), Failure> {
        let key = Key::new(&item.key, item.hash);
        let table = &self.keyspace.database(item.database).table;
        loop {
            let sight = self.look_settled(item.database, &key, ticket);
            let sight = sight.map_err(|_| Failure::Busy)?;
            let seen = sight.entry.map(Entry::address);
            if must_match && seen != item.seen {
                return Err(Failure::Disturbed);
            }
            let floor = sight.version_floor();
            let descriptor = Box::new(Descriptor::new(transaction, &key, floor, seen));
            let descriptor = NonNull::from(Box::leak(descriptor));
            let occupied = Occupied::descriptor(descriptor.cast());
            let is_in_place = match &sight.look {
                Look::Present(spot) => table.replace(spot, occupied, self.guard),
                Look::Absent(absence) => table.insert(absence, occupied, self.guard),
            };
            if is_in_place {
                item.seen = seen;
                item.sighting = Some(Sighting::Present(occupied));
                item.descriptor = Some(descriptor);
                return Ok(());
            }
            // SAFETY: it never was in a slot that counts, so nobody else knows it.
            drop(unsafe { Box::from_raw(descriptor.as_ptr()) });
        }
    }

    /// Says in an installed descriptor what comes after, under a version above all before.
    fn prepare(&self, item: &Item) {
        let (Some(write), Some(descriptor)) = (&item.write, item.descriptor) else {
            return;
        };
        // SAFETY: it is retired in `clean_up`.
        let descriptor = unsafe { descriptor.as_ref() };
        if let Some(entry) = write.entry.map(entry_at) {
            let floor = descriptor.version_floor().max(entry.version());
            // SAFETY: the transaction has not committed, so the entry does not count.
            unsafe { entry.raise_version(thread::next_version(floor)) };
        }
        descriptor.set_new(write.entry);
    }

    /// Takes the descriptors out of their slots and retires what the outcome leaves over.
    fn clean_up(&self, overlay: Overlay, is_committed: bool) {
        let Overlay {
            items,
            garbage,
            carried,
            doomed,
            eager,
            ..
        } = overlay;
        if let Some((_, transaction)) = eager {
            // SAFETY: it is retired below.
            unsafe { transaction.as_ref() }.abort();
        }
        for item in items {
            self.clear_slot(&item, is_committed);
            self.retire_item(item, is_committed);
        }
        for block in garbage {
            // SAFETY: made by this transaction, and in no value that counts.
            unsafe { self.guard.retire(block) };
        }
        for delta in carried {
            match is_committed {
                // SAFETY: what the differences replaced is in no value that counts any more.
                true => unsafe { delta.published(self.guard) },
                false => delta.retired(self.guard),
            }
        }
        if is_committed {
            doomed
                .into_iter()
                .for_each(|address| value::drop_value(entry_at(address), self.guard));
        }
        if let Some((_, transaction)) = eager {
            // SAFETY: no slot names a descriptor of it any more.
            unsafe { self.guard.retire_box(transaction.as_ptr()) };
        }
    }

    fn clear_slot(&self, item: &Item, is_committed: bool) {
        let Some(installed) = item.installed() else {
            return;
        };
        let after = match (&item.write, is_committed) {
            (Some(write), true) => write.entry,
            _ => item.seen,
        };
        let key = key_of(item);
        let table = &self.keyspace.database(item.database).table;
        loop {
            let Look::Present(spot) = table.find(&key, self.guard) else {
                return;
            };
            if spot.occupied() != installed {
                return;
            }
            let is_out = match after {
                Some(address) => table.replace(&spot, Occupied::entry(address), self.guard),
                None => {
                    // SAFETY: named by its slot under this guard.
                    let floor = unsafe { keyspace::descriptor(installed) }.version_floor();
                    table.remove(&spot, floor, self.guard)
                }
            };
            if is_out {
                return;
            }
        }
    }

    fn retire_item(&self, item: Item, is_committed: bool) {
        if let Some(descriptor) = item.descriptor {
            // SAFETY: `clear_slot` has seen that no slot names it.
            unsafe { self.guard.retire_box(descriptor.as_ptr()) };
        }
        let Some(write) = item.write else {
            return;
        };
        let (old, new) = (item.seen.map(entry_at), write.entry.map(entry_at));
        if !is_committed {
            write.delta.retired(self.guard);
            if let Some(new) = new {
                publish::retire_block(new, self.guard);
            }
            return;
        }
        self.keyspace.database(item.database).count(old, new);
        match old {
            Some(old) => publish::superseded(old, write.shares, write.delta, self.guard),
            // SAFETY: there was no version before.
            None => unsafe { write.delta.published(self.guard) },
        }
    }
}

fn key_of(item: &Item) -> Key<'_> {
    Key::new(&item.key, item.hash)
}

/// The entry that counts in a slot.
fn resolve<'g>(occupied: Occupied) -> Option<Entry<'g>> {
    if occupied.is_descriptor() {
        // SAFETY: the callers saw it in its slot under the guard of `'g`.
        return unsafe { keyspace::descriptor(occupied) }
            .resolve()
            .map(entry_at);
    }
    Some(entry_at(occupied.address()))
}

/// The entry at an address that was seen or made under the guard of `'g`.
fn entry_at<'g>(address: NonNull<()>) -> Entry<'g> {
    // SAFETY: all addresses here come from slots seen under the guard, or from entries made
    // under it, and are retired through it at the earliest.
    unsafe { Entry::from_address(address) }
}

/// The entry that counts in a slot, for who visits whole tables.
pub(crate) fn resolve_visited<'g>(occupied: Occupied, _guard: &'g Guard) -> Option<Entry<'g>> {
    resolve(occupied)
}
