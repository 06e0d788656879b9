//! What a transaction has read and written so far, before anybody else can see it.
//!
//! An overlay belongs to the [`Guard`](crate::reclaim::Guard) it runs under: its entries are
//! valid as long as that, and it must end there (`Scope::finish`), or slots would name
//! descriptors that are gone: `Db::atomic` sees to it, also when the body panics. Entries it made
//! are retired through the guard even if they were never published, since the transaction's body
//! may still hold them.
//!
//! A value may be changed several times, dropped, or moved to another key by RENAME. Which
//! blocks go and which stay then depends on the outcome:
//!
//! - `garbage`: blocks that go either way;
//! - `carried`: differences of values that were moved or dropped whole: as a [`Delta`] says;
//! - `doomed`: entries whose values go whole if the transaction commits.

use std::collections::HashMap;
use std::ptr::NonNull;

use rapidhash::fast::RandomState;
use smallvec::SmallVec;

use super::{Descriptor, Ticket, Transaction};
use crate::entry::Entry;
use crate::memory::Block;
use crate::publish::{self, Provisional};
use crate::reclaim::Guard;
use crate::table::{Key, Look, Spot};
use crate::value::Delta;

/// Room for so many items is made at once.
const ITEMS_EXPECTED: usize = 10;
/// More items than this are looked up by an index.
const ITEMS_SEARCHED_MAX: usize = 32;

/// The private state of one attempt.
#[derive(Debug)]
pub(crate) struct Overlay {
    pub(super) items: Vec<Item>,
    pub(super) garbage: Vec<Block>,
    pub(super) carried: Vec<Delta>,
    /// Addresses of entries that were provisional.
    pub(super) doomed: Vec<NonNull<()>>,
    /// Whose descriptors stand in slots. With a ticket from the first touch on, else while the
    /// attempt commits.
    pub(super) eager: Option<(Ticket, NonNull<Transaction>)>,
    /// Why the attempt cannot succeed any more.
    pub(super) failure: Option<Failure>,
    /// All descriptors, in chunks that do not move.
    pub(super) descriptors: Vec<Vec<Descriptor>>,
    /// The items by hash, once they are many; of equal hashes the first.
    index: Option<HashMap<u64, usize, RandomState>>,
}

/// Why an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Somebody changed what was read: run again at once.
    Disturbed,
    /// Somebody with an older ticket holds a key: come back later.
    Busy,
}

/// A key that was touched.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) database: usize,
    pub(super) key: SmallVec<[u8; 32]>,
    pub(super) hash: u64,
    /// The entry that was there, expired or not.
    pub(super) seen: Option<NonNull<()>>,
    /// Where it was found. Invariant: used while the guard of the overlay exists.
    pub(super) look: Option<Look<'static>>,
    pub(super) write: Option<Write>,
    /// The descriptor in the key's slot, and the slot it was put into (invariant as above).
    pub(super) installed: Option<(NonNull<Descriptor>, Spot<'static>)>,
}

/// What a key will hold.
#[derive(Debug)]
pub(super) struct Write {
    /// The provisional entry; none: the key goes.
    pub(super) entry: Option<NonNull<()>>,
    /// Whether the entry before is superseded by a value that shares its own, but for `delta`.
    pub(super) shares: bool,
    pub(super) delta: Delta,
    /// The value that was here went on under another key.
    moved_away: bool,
    /// The value here came from another key.
    moved_here: bool,
}

impl Overlay {
    pub(crate) fn new() -> Overlay {
        Overlay {
            items: Vec::new(),
            garbage: Vec::new(),
            carried: Vec::new(),
            doomed: Vec::new(),
            eager: None,
            failure: None,
            descriptors: Vec::new(),
            index: None,
        }
    }

    /// An overlay whose keys are put under descriptors as they are touched.
    pub(crate) fn with_ticket(ticket: Ticket) -> Overlay {
        let transaction = Box::leak(Box::new(Transaction::new(ticket)));
        Overlay {
            eager: Some((ticket, transaction.into())),
            ..Overlay::new()
        }
    }

    /// Makes room for so many keys.
    pub(crate) fn expect(&mut self, keys: usize) {
        self.items.reserve(keys.max(ITEMS_EXPECTED));
        if keys > ITEMS_SEARCHED_MAX && self.index.is_none() {
            self.make_index(keys);
        }
    }

    /// Fails the attempt: its result will not count.
    pub(crate) fn fail(&mut self, failure: Failure) {
        self.failure.get_or_insert(failure);
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failure.is_some()
    }

    /// The item of a key, if it was touched.
    pub(crate) fn position(&self, database: usize, key: &Key<'_>) -> Option<usize> {
        let is_it = |item: &Item| {
            item.hash == key.hash && item.database == database && &*item.key == key.bytes
        };
        if let Some(index) = &self.index {
            let first = *index.get(&key.hash)?;
            if is_it(&self.items[first]) {
                return Some(first);
            }
        }
        self.items.iter().position(is_it)
    }

    /// Appends an item of a key that was not touched before.
    pub(super) fn push(&mut self, item: Item) -> usize {
        let at = self.items.len();
        if let Some(index) = &mut self.index {
            index.entry(item.hash).or_insert(at);
        }
        if at == 0 {
            // Few transactions have more; growing would move them all.
            self.items.reserve(ITEMS_EXPECTED);
        }
        self.items.push(item);
        if self.index.is_none() && self.items.len() > ITEMS_SEARCHED_MAX {
            self.make_index(0);
        }
        at
    }

    /// With room for so many keys.
    fn make_index(&mut self, keys: usize) {
        let mut index = HashMap::with_capacity_and_hasher(keys, RandomState::default());
        for (at, item) in self.items.iter().enumerate() {
            index.entry(item.hash).or_insert(at);
        }
        self.index = Some(index);
    }

    /// Puts a descriptor where it stays.
    pub(super) fn keep(&mut self, descriptor: Descriptor) -> NonNull<Descriptor> {
        const CHUNK_MIN: usize = 4;
        let is_full = |chunk: &Vec<Descriptor>| chunk.len() == chunk.capacity();
        if self.descriptors.last().is_none_or(is_full) {
            let capacity = (2 * self.items.len()).max(CHUNK_MIN);
            self.descriptors.push(Vec::with_capacity(capacity));
        }
        let chunk = self.descriptors.last_mut().expect("one was pushed");
        chunk.push(descriptor);
        NonNull::from(chunk.last_mut().expect("one was pushed"))
    }

    /// Takes back the descriptor kept last, which nobody has seen.
    pub(super) fn forget_last_descriptor(&mut self) {
        self.descriptors.last_mut().map(Vec::pop);
    }

    /// The entry an item shows now, expired or not.
    pub(crate) fn current<'g>(&self, at: usize, _guard: &'g Guard) -> Option<Entry<'g>> {
        let item = &self.items[at];
        let address = item.write.as_ref().map_or(item.seen, |write| write.entry)?;
        // SAFETY: seen or made under this guard, and retired through it at the earliest.
        Some(unsafe { Entry::from_address(address) })
    }

    /// Puts a value at a key.
    pub(crate) fn put(&mut self, at: usize, made: Provisional<'_>, guard: &Guard) {
        let Provisional {
            entry,
            shares,
            delta,
            ..
        } = made.counted();
        self.write(at, Some(entry.address()), shares, delta, guard);
    }

    /// Removes a key.
    pub(crate) fn remove(&mut self, at: usize, guard: &Guard) {
        self.write(at, None, false, Delta::default(), guard);
    }

    /// Moves the value at `from` to `to`, under `entry`, which is made of it.
    pub(crate) fn rename(&mut self, from: usize, to: usize, entry: Entry<'_>, guard: &Guard) {
        let before = self.items[from].write.take();
        let shares = match before {
            None => true,
            Some(write) => {
                self.retire_provisional(write.entry, guard);
                self.carried.push(write.delta);
                write.shares
            }
        };
        self.items[from].write = Some(Write {
            entry: None,
            shares,
            delta: Delta::default(),
            moved_away: true,
            moved_here: false,
        });
        self.write(to, Some(entry.address()), false, Delta::default(), guard);
        if let Some(write) = &mut self.items[to].write {
            write.moved_here = true;
        }
    }

    fn write(
        &mut self,
        at: usize,
        entry: Option<NonNull<()>>,
        shares: bool,
        mut delta: Delta,
        guard: &Guard,
    ) {
        let Some(mut before) = self.items[at].write.take() else {
            let (moved_away, moved_here) = (false, false);
            self.items[at].write = Some(Write {
                entry,
                shares,
                delta,
                moved_away,
                moved_here,
            });
            return;
        };
        self.retire_provisional(before.entry, guard);
        if shares {
            // Derived from the provisional value: one difference from the entry before.
            before.delta.append(&mut delta);
            before.entry = entry;
            self.items[at].write = Some(before);
            return;
        }
        // The provisional value goes whole.
        if before.shares && !before.moved_away {
            self.garbage.extend(before.delta.into_fresh());
        } else {
            self.carried.push(before.delta);
            self.doomed.extend(before.entry);
        }
        self.items[at].write = Some(Write {
            entry,
            shares: before.moved_away && before.shares,
            delta,
            moved_away: before.moved_away,
            moved_here: false,
        });
    }

    /// The block of an entry that nobody will see goes in any case; what hangs on it may not.
    fn retire_provisional(&self, entry: Option<NonNull<()>>, guard: &Guard) {
        if let Some(address) = entry {
            // SAFETY: made under this guard and not retired before.
            publish::retire_block(unsafe { Entry::from_address(address) }, guard);
        }
    }
}
