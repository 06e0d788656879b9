//! Several keys given strings, or removed, at one moment, whatever stood there.
//!
//! Who only puts has read nothing that others could change under him, and knows all he writes
//! before the first descriptor stands in a slot. That needs no overlay: the protocol is that of
//! [`commit`](super::commit), but a key that changes meanwhile is no reason to begin anew. The
//! descriptor is told what stands there now, and put there.
//!
//! An undecided attempt may be aborted by others, as any without a ticket. Then nothing of it has
//! happened, and the caller takes the way that gets a ticket in the end.

use std::ptr::NonNull;

use smallvec::SmallVec;

use super::commit::{Scope, Sight, raise_version};
use super::{Descriptor, Ticket, Transaction};
use crate::entry::Entry;
use crate::error::Error;
use crate::keyspace::Database;
use crate::pace;
use crate::publish;
use crate::reclaim::{self, DROP_INLINE_BYTES, Drain, Guard};
use crate::table::{Key, Occupied, Spot, prefetch};

/// What a put needs in each of the steps is fetched so many puts ahead.
const AHEAD: usize = 8;
/// The reaper drops so many descriptors in a slice.
const DROPPED_AT_ONCE: usize = 1_000;
/// So many descriptors take no allocation of their own.
const DESCRIPTORS: usize = 10;

/// A key, what stands there, and what is to.
pub(crate) struct Put<'k, 'g> {
    pub(crate) key: Key<'k>,
    /// When it is done: what stood there until then.
    pub(crate) sight: Sight<'g>,
    /// None: the key goes.
    pub(crate) new: Option<New<'g>>,
}

/// A provisional entry: nobody else knows it.
#[derive(Clone, Copy)]
pub(crate) struct New<'g> {
    pub(crate) entry: Entry<'g>,
    /// Whether it was made as a part of the small queue, which has yet to count it.
    pub(crate) is_small: bool,
}

impl<'g> Put<'_, 'g> {
    fn new_entry(&self) -> Option<Entry<'g>> {
        self.new.map(|new| new.entry)
    }

    fn prefetch_entries(&self) {
        let fetch = |entry: Entry<'_>| prefetch(entry.address().addr().get());
        self.new_entry().into_iter().for_each(fetch);
        self.sight.entry.into_iter().for_each(fetch);
    }
}

/// Keys that are all different.
pub(crate) type Puts<'k, 'g> = SmallVec<[Put<'k, 'g>; DESCRIPTORS]>;

/// A transaction and its descriptors, which go together.
struct Attempt {
    transaction: Transaction,
    descriptors: SmallVec<[Descriptor; DESCRIPTORS]>,
}

/// An attempt that stands in memory, for its owner to retire.
struct Standing {
    whole: *mut Attempt,
    transaction: NonNull<Transaction>,
    /// The first of its descriptors. They are reached through their addresses alone, since others
    /// may look at those that stand in slots.
    descriptors: NonNull<Descriptor>,
    count: usize,
}

impl Standing {
    fn new(puts: &Puts<'_, '_>) -> Standing {
        let raw = Box::into_raw(Box::new(Attempt {
            transaction: Transaction::new(Ticket::NONE),
            descriptors: SmallVec::with_capacity(puts.len()),
        }));
        // SAFETY: it was made above, and nobody else knows it.
        let attempt = unsafe { &mut *raw };
        let transaction = NonNull::from(&attempt.transaction);
        attempt.descriptors.extend(puts.iter().map(|put| {
            let (floor, old) = (put.sight.version_floor(), put.sight.entry);
            let old = old.map(Entry::address);
            let descriptor = Descriptor::new(transaction, &put.key, floor, old);
            descriptor.set_new(put.new_entry().map(Entry::address));
            descriptor
        }));
        Standing {
            whole: raw,
            transaction,
            descriptors: NonNull::from(&mut attempt.descriptors[..]).cast(),
            count: puts.len(),
        }
    }

    /// Frees it when nobody can look at it any more.
    ///
    /// # Safety
    /// No slot names one of its descriptors, and nobody uses it afterwards.
    unsafe fn retire(self, guard: &Guard) {
        let bytes = self.count * size_of::<Descriptor>();
        if bytes <= DROP_INLINE_BYTES {
            // SAFETY: made of a box by `new`; and as the caller says.
            return unsafe { guard.retire_box(self.whole) };
        }
        // SAFETY: a box is not null.
        let large = Large(unsafe { NonNull::new_unchecked(self.whole) });
        // SAFETY: as the caller says.
        unsafe { guard.retire_with(bytes, move || reclaim::reap(Box::new(large))) };
    }

    /// The descriptor of a put, by its place.
    fn descriptor(&self, at: usize) -> NonNull<Descriptor> {
        // SAFETY: as many were made as there are puts, in one piece.
        unsafe { self.descriptors.add(at) }
    }
}

/// One with many descriptors that nobody can look at any more.
struct Large(NonNull<Attempt>);

// SAFETY: an attempt is, and this is all that is left of it.
unsafe impl Send for Large {}

impl Drain for Large {
    fn drain_slice(&mut self) -> bool {
        // SAFETY: nobody else can look at it, and it is freed below at the earliest.
        let descriptors = unsafe { &mut self.0.as_mut().descriptors };
        let left = descriptors.len().saturating_sub(DROPPED_AT_ONCE);
        descriptors.truncate(left);
        if left > 0 {
            return true;
        }
        // SAFETY: it was made of a box, and nobody asks for another slice.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
        false
    }
}

impl<'g> Scope<'g> {
    /// Puts all of them at one moment. False, and nothing has happened but that the new entries are
    /// retired, if somebody was against it: try another way.
    ///
    /// # Errors
    /// [`Error::Busy`], likewise.
    pub(crate) fn put_together(
        &self,
        database: &Database,
        puts: &mut Puts<'_, 'g>,
    ) -> Result<bool, Error> {
        let attempt = Standing::new(puts);
        // SAFETY: it is retired at the end.
        let transaction = unsafe { attempt.transaction.as_ref() };
        let mut spots: SmallVec<[Spot<'g>; DESCRIPTORS]> = SmallVec::with_capacity(puts.len());
        let installed = (0..puts.len()).try_for_each(|at| {
            if let Some(ahead) = puts.get(at + AHEAD) {
                ahead.sight.look.prefetch();
            }
            spots.push(self.install_put(database, &mut puts[at], attempt.descriptor(at))?);
            Ok(())
        });
        if cfg!(mayfly_torn_commit) {
            // Time for others to see that not all keys change at one moment.
            std::thread::sleep(std::time::Duration::from_micros(100));
        }
        let is_committed = installed.is_ok() && transaction.commit();
        if !is_committed {
            transaction.abort();
        }
        for (at, (put, spot)) in puts.iter().zip(&spots).enumerate() {
            // It is decided, so that a rest holds nobody up.
            pace::step_at(at);
            if let Some(ahead) = spots.get(at + AHEAD) {
                ahead.prefetch();
            }
            let after = match is_committed {
                true => put.new_entry(),
                false => put.sight.entry,
            };
            let installed = (attempt.descriptor(at), *spot);
            self.take_out(&database.table, &put.key, installed, after);
        }
        for (at, put) in puts.iter().enumerate() {
            if let Some(ahead) = puts.get(at + AHEAD) {
                ahead.prefetch_entries();
            }
            self.retire_put(database, put, is_committed);
        }
        // SAFETY: all slots named something else when they were taken out.
        unsafe { attempt.retire(self.guard) };
        installed.map(|()| is_committed)
    }

    /// Puts a descriptor, which nobody else knows, in the place of a key.
    fn install_put(
        &self,
        database: &Database,
        put: &mut Put<'_, 'g>,
        mut descriptor: NonNull<Descriptor>,
    ) -> Result<Spot<'g>, Error> {
        loop {
            let occupied = Occupied::descriptor(descriptor.cast());
            if let Some(spot) = database.table.put(&put.sight.look, occupied, self.guard) {
                return Ok(spot);
            }
            put.sight = self.look_settled_in(&database.table, &put.key, Ticket::NONE)?;
            let floor = put.sight.version_floor();
            if let Some(new) = put.new_entry() {
                raise_version(new, floor);
            }
            // SAFETY: it is in no slot, so that nobody else looks at it.
            let descriptor = unsafe { descriptor.as_mut() };
            descriptor.restate(floor, put.sight.entry.map(Entry::address));
        }
    }

    /// Counts a put that counts, and retires what the outcome leaves over.
    #[inline(always)]
    fn retire_put(&self, database: &Database, put: &Put<'_, 'g>, is_committed: bool) {
        let Put { sight, new, .. } = put;
        if !is_committed {
            let made = new.map(|new| new.entry.block());
            // SAFETY: it was in no slot, and no descriptor that names it is any more.
            made.into_iter()
                .for_each(|block| unsafe { self.guard.retire(block) });
            return;
        }
        database.count(sight.entry, put.new_entry());
        match (new, sight.entry) {
            (Some(New { entry, is_small }), old) => {
                publish::published_flat((*entry, *is_small), old, self.guard);
            }
            (None, Some(old)) => publish::retire_whole(old, self.guard),
            (None, None) => {}
        }
    }
}
