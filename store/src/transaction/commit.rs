//! From an overlay to visible changes, or to nothing.

use std::ptr::NonNull;

use smallvec::SmallVec;

use super::overlay::{Failure, Item, Overlay, Write};
use super::{Descriptor, Ticket, Transaction};
use crate::entry::Entry;
use crate::error::Error;
use crate::keyspace::{self, Keyspace, Occupants, Root};
use crate::pace;
use crate::publish;
use crate::reclaim::Guard;
use crate::table::{Key, Look, Named, Occupied, Spot, Table};
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
        match &self.look {
            Look::Present(spot) if spot.occupied().is_descriptor() => {
                // SAFETY: seen in its slot under the guard of the look.
                let descriptor = unsafe { keyspace::descriptor(spot.occupied()) };
                descriptor.version_floor().max(before)
            }
            // Its version is above all that were removed before it came.
            Look::Present(_) => before,
            Look::Absent(absence) => absence.removed_version_max(),
        }
    }
}

impl<'g> Scope<'g> {
    /// The entry a reader sees at a key.
    pub(crate) fn entry(&self, database: usize, key: &Key<'_>) -> Option<Entry<'g>> {
        let table = &self.keyspace.database(database).table;
        resolve_named(table.named(key, self.guard), self.guard)
    }

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
    #[inline]
    pub(crate) fn look_settled(
        &self,
        database: usize,
        key: &Key<'_>,
        ticket: Ticket,
    ) -> Result<Sight<'g>, Error> {
        let table = &self.keyspace.database(database).table;
        self.look_settled_in(table, key, ticket)
    }

    /// The same in a table.
    #[inline(always)]
    pub(super) fn look_settled_in(
        &self,
        table: &Table<Occupants>,
        key: &Key<'_>,
        ticket: Ticket,
    ) -> Result<Sight<'g>, Error> {
        let look = table.find(key, self.guard);
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
        if let Some(at) = overlay.position(database, key) {
            return at;
        }
        let mut item = Item {
            database,
            key: SmallVec::from_slice(key.bytes),
            hash: key.hash,
            seen: None,
            look: None,
            write: None,
            installed: None,
        };
        match overlay.eager {
            None => {
                // A rest here holds nobody up, ...
                pace::step_at(overlay.items.len());
                let Sight { look, entry } = self.look(database, key);
                item.seen = entry.map(Entry::address);
                // SAFETY: the overlay is used and dropped under this guard.
                item.look = Some(unsafe { look.erased() });
            }
            Some((ticket, transaction)) => {
                // SAFETY: it lives until its attempt ends.
                let is_aborted = unsafe { transaction.as_ref() }.is_aborted();
                if is_aborted {
                    overlay.fail(Failure::Disturbed);
                } else if !overlay.has_failed()
                    && let Err(failure) = self.install(overlay, &mut item, ticket, false)
                {
                    overlay.fail(failure);
                }
            }
        }
        overlay.push(item)
    }

    /// Ends an attempt. `is_wanted`: the body succeeded, its writes are to be published.
    pub(crate) fn finish(&self, mut overlay: Overlay, is_wanted: bool) -> Result<(), Failure> {
        let outcome = self.try_commit(&mut overlay, is_wanted);
        self.clean_up(overlay, outcome == Ok(true));
        outcome.map(|_| ())
    }

    /// The entries that the writes of an attempt are to replace.
    pub(crate) fn replaced(&self, overlay: &Overlay) -> impl Iterator<Item = Entry<'g>> {
        let written = overlay.items.iter().filter(|item| item.write.is_some());
        written.filter_map(|item| item.seen.map(entry_at))
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
        if overlay.eager.is_none() {
            if let [item] = &overlay.items[..] {
                return self.publish_alone(item).map(|()| true);
            }
            let transaction = Box::leak(Box::new(Transaction::new(Ticket::NONE))).into();
            // So that cleaning up knows whom to retire.
            overlay.eager = Some((Ticket::NONE, transaction));
            let mut items = std::mem::take(&mut overlay.items);
            overlay.descriptors.push(Vec::with_capacity(items.len()));
            let mut each = items.iter_mut();
            let installed =
                each.try_for_each(|item| self.install(overlay, item, Ticket::NONE, true));
            overlay.items = items;
            installed?;
        }
        for item in &overlay.items {
            self.prepare(item);
            if cfg!(mayfly_torn_commit) {
                // Time for others to see that not all keys change at one moment.
                std::thread::sleep(std::time::Duration::from_micros(10));
            }
        }
        self.decide(overlay)
    }

    /// One key alone needs no descriptor.
    fn publish_alone(&self, item: &Item) -> Result<(), Failure> {
        let Some(write) = &item.write else {
            return Ok(());
        };
        let key = key_of(item);
        let table = &self.keyspace.database(item.database).table;
        loop {
            let sight = self.look_settled(item.database, &key, Ticket::NONE);
            let sight = sight.map_err(|_| Failure::Busy)?;
            if sight.entry.map(Entry::address) != item.seen {
                return Err(Failure::Disturbed);
            }
            let floor = sight.version_floor();
            let is_done = match (write.entry, &sight.look) {
                (Some(address), look) => {
                    raise_version(entry_at(address), floor);
                    table
                        .put(look, keyspace::occupied(entry_at(address)), self.guard)
                        .is_some()
                }
                (None, Look::Present(spot)) => table.remove(spot, floor, self.guard),
                (None, Look::Absent(_)) => true,
            };
            if is_done {
                return Ok(());
            }
        }
    }

    fn decide(&self, overlay: &Overlay) -> Result<bool, Failure> {
        let (_, transaction) = overlay.eager.expect("its descriptors are in place");
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
        let holds_still = |item: &Item| {
            let Some(look) = &item.look else {
                return false;
            };
            let entry = item.seen.map(entry_at);
            self.holds_still(item.database, || key_of(item), look, entry)
        };
        let holds = overlay.items.iter().all(holds_still);
        if holds {
            Ok(())
        } else {
            Err(Failure::Disturbed)
        }
    }

    /// Whether a key is as the first look found it, and has been ever since.
    #[inline]
    pub(super) fn holds_still<'k>(
        &self,
        database: usize,
        key: impl FnOnce() -> Key<'k>,
        first: &Look<'g>,
        seen: Option<Entry<'g>>,
    ) -> bool {
        let is_known = !first.is_descriptor() && first.holds_still();
        is_known || self.is_found_again(database, &key(), first, seen)
    }

    #[cold]
    fn is_found_again(
        &self,
        database: usize,
        key: &Key<'_>,
        first: &Look<'g>,
        seen: Option<Entry<'g>>,
    ) -> bool {
        let Sight { look, entry } = self.look(database, key);
        let is_same = entry.map(Entry::address) == seen.map(Entry::address);
        // An entry is never put back, but absence needs more than absence twice.
        is_same && (seen.is_some() || first.sighting() == look.sighting())
    }

    /// Puts a descriptor in the place of a key, provided (where `must_match`) that the key is as
    /// it was seen; else what is there becomes what was seen.
    fn install(
        &self,
        overlay: &mut Overlay,
        item: &mut Item,
        ticket: Ticket,
        must_match: bool,
    ) -> Result<(), Failure> {
        let (_, transaction) = overlay.eager.expect("a transaction to install for");
        let key = Key::new(&item.key, item.hash);
        let table = &self.keyspace.database(item.database).table;
        // The first look will do for the first try: its swap fails if anything has changed.
        let mut sight = match &item.look {
            Some(look) if must_match && !look.is_descriptor() => Sight {
                look: *look,
                entry: item.seen.map(entry_at),
            },
            _ => self.look_to_install(item.database, &key, ticket)?,
        };
        loop {
            let seen = sight.entry.map(Entry::address);
            if must_match && seen != item.seen {
                return Err(Failure::Disturbed);
            }
            let floor = sight.version_floor();
            let descriptor = overlay.keep(Descriptor::new(transaction, &key, floor, seen));
            let occupied = Occupied::descriptor(descriptor.cast());
            if let Some(spot) = table.put(&sight.look, occupied, self.guard) {
                item.seen = seen;
                // SAFETY: the overlay is used and dropped under this guard.
                item.installed = Some((descriptor, unsafe { spot.erased() }));
                return Ok(());
            }
            overlay.forget_last_descriptor();
            sight = self.look_to_install(item.database, &key, ticket)?;
        }
    }

    fn look_to_install(
        &self,
        database: usize,
        key: &Key<'_>,
        ticket: Ticket,
    ) -> Result<Sight<'g>, Failure> {
        let sight = self.look_settled(database, key, ticket);
        sight.map_err(|_| Failure::Busy)
    }

    /// Says in an installed descriptor what comes after, under a version above all before.
    fn prepare(&self, item: &Item) {
        let (Some(write), Some((descriptor, _))) = (&item.write, item.installed) else {
            return;
        };
        // SAFETY: it is retired in `clean_up`.
        let descriptor = unsafe { descriptor.as_ref() };
        if let Some(address) = write.entry {
            raise_version(entry_at(address), descriptor.version_floor());
        }
        descriptor.set_new(write.entry);
    }

    /// Takes the descriptors out of their slots and retires what the outcome leaves over.
    fn clean_up(&self, overlay: Overlay, is_committed: bool) {
        let Overlay {
            mut items,
            garbage,
            carried,
            doomed,
            eager,
            descriptors,
            ..
        } = overlay;
        if let Some((_, transaction)) = eager {
            // SAFETY: it is retired below.
            unsafe { transaction.as_ref() }.abort();
        }
        for (at, item) in items.iter_mut().enumerate() {
            // ... nor one here: it is decided, so that others see what counts.
            pace::step_at(at);
            self.clear_slot(item, is_committed);
            if let Some(write) = item.write.take() {
                self.retire_write((item.database, item.seen), write, is_committed);
            }
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
            let descriptors = Box::into_raw(Box::new(descriptors));
            // SAFETY: no slot names one of them any more, and the transaction did alone.
            unsafe { self.guard.retire_box(descriptors) };
        }
    }

    fn clear_slot(&self, item: &Item, is_committed: bool) {
        let Some(installed) = item.installed else {
            return;
        };
        let after = match (&item.write, is_committed) {
            (Some(write), true) => write.entry,
            _ => item.seen,
        };
        let table = &self.keyspace.database(item.database).table;
        self.take_out(table, &key_of(item), installed, after.map(entry_at));
    }

    /// Lets a key's slot name the entry that counts in the place of a decided descriptor, unless a
    /// writer was faster.
    pub(super) fn take_out(
        &self,
        table: &Table<Occupants>,
        key: &Key<'_>,
        (descriptor, mut spot): (NonNull<Descriptor>, Spot<'_>),
        after: Option<Entry<'g>>,
    ) {
        let installed = Occupied::descriptor(descriptor.cast());
        // SAFETY: it is retired after this.
        let floor = unsafe { descriptor.as_ref() }.version_floor();
        loop {
            let is_out = match after {
                Some(entry) => {
                    let entry = keyspace::occupied(entry);
                    table.replace(&spot, entry, self.guard).is_some()
                }
                None => table.remove(&spot, floor, self.guard),
            };
            if is_out {
                return;
            }
            // A split may have moved it, or a writer replaced it.
            match table.find(key, self.guard) {
                Look::Present(now) if now.occupied() == installed => spot = now,
                _ => return,
            }
        }
    }

    fn retire_write(
        &self,
        (database, seen): (usize, Option<NonNull<()>>),
        write: Write,
        is_committed: bool,
    ) {
        let (old, new) = (seen.map(entry_at), write.entry.map(entry_at));
        if !is_committed {
            write.delta.retired(self.guard);
            if let Some(new) = new {
                publish::retire_block(new, self.guard);
            }
            return;
        }
        self.keyspace.database(database).count(old, new);
        match old {
            Some(old) => publish::superseded(old, write.shares, write.delta, self.guard),
            // SAFETY: there was no version before.
            None => unsafe { write.delta.published(self.guard) },
        }
    }
}

/// Gives an entry that does not count yet a version above `floor` and its own.
pub(super) fn raise_version(entry: Entry<'_>, floor: u64) {
    if entry.version() <= floor {
        // SAFETY: its maker calls this before it is in a slot or its transaction commits.
        unsafe { entry.raise_version(thread::next_version(floor)) };
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

/// The entry that counts in a slot that was seen under the guard.
pub(crate) fn resolve_visited<'g>(occupied: Occupied, _guard: &'g Guard) -> Option<Entry<'g>> {
    resolve(occupied)
}

/// As [`resolve_visited`], of a key's slot.
#[inline(always)]
pub(crate) fn resolve_named<'g>(named: Named, _guard: &'g Guard) -> Option<Entry<'g>> {
    match named {
        Named::Entry(occupied) => Some(entry_at(occupied.address())),
        Named::Something(occupied) => resolve(occupied),
        Named::Nothing => None,
    }
}
