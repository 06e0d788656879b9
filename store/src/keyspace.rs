//! The databases, and the one record that says which is which.
//!
//! FLUSHDB, FLUSHALL and SWAPDB replace the record by a compare-and-swap of the root: constant
//! time for everybody, and one moment for all databases. What is flushed is drained by the
//! reaper.
//!
//! A command uses the record it found at its start. One that commits in two databases *enters*
//! the root for the moment of its commit, which holds off a replacement of the record: the low
//! bits of the root count those who have entered.

use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::atomic::AtomicI32;

use crossbeam_utils::CachePadded;
use rapidhash::v3::{RapidSecrets, rapidhash_v3_seeded};

use crate::entry::Entry;
use crate::memory;
use crate::publish;
use crate::reclaim::{self, Drain, Guard};
use crate::sync::{self, AtomicPtr, AtomicU64, Ordering};
use crate::table::{Occupant, Occupied, Page, Region, Table};
use crate::thread;
use crate::transaction::Descriptor;

/// One database.
pub(crate) struct Database {
    pub(crate) table: Table<Occupants>,
    /// How many keys there are.
    pub(crate) keys: Count,
    /// How many of them have an expiry.
    pub(crate) expiring: Count,
    /// Where those are.
    pub(crate) expiring_regions: Regions,
    /// How long those have left on average, as sweeps see it; see [`Database::note_ttls`].
    mean_ttl_ms: AtomicU64,
    /// Where shrinking goes on.
    pub(crate) shrink_place: AtomicU64,
}

impl Database {
    /// An empty database whose versions start above `version_floor`.
    pub(crate) fn new(secrets: RapidSecrets, version_floor: u64) -> Database {
        Database {
            table: Table::new(Occupants(secrets), version_floor),
            keys: Count::default(),
            expiring: Count::default(),
            expiring_regions: Regions::default(),
            mean_ttl_ms: AtomicU64::new(0),
            shrink_place: AtomicU64::new(0),
        }
    }

    /// Counts an entry that came or went. Mostly one takes the place of another.
    #[inline]
    pub(crate) fn count(&self, old: Option<Entry<'_>>, new: Option<Entry<'_>>) {
        let new_expires = new.is_some_and(Entry::expires);
        let old_expires = old.is_some_and(Entry::expires);
        if new.is_some() != old.is_some() || new_expires != old_expires {
            self.count_change((old, old_expires), (new, new_expires));
        }
    }

    /// A sweep has seen `seen` keys that have so many milliseconds left in sum. They weigh in the
    /// mean as they do among all keys with an expiry, so that a whole round makes it that of all.
    pub(crate) fn note_ttls(&self, sum_ms: u64, seen: usize) {
        if seen == 0 {
            return;
        }
        let mean_ms = self.mean_ttl_ms.load(Ordering::Relaxed) as f64;
        let weight = (seen as f64 / self.expiring.sum().max(1) as f64).min(1.0);
        let mean_ms = mean_ms + (sum_ms as f64 / seen as f64 - mean_ms) * weight;
        // Of two sweeps at a time one may be lost.
        self.mean_ttl_ms.store(mean_ms as u64, Ordering::Relaxed);
    }

    /// How many milliseconds the keys with an expiry have left on average, roughly; 0 without any.
    pub(crate) fn mean_ttl_ms(&self) -> u64 {
        match self.expiring.sum() {
            0 => 0,
            _ => self.mean_ttl_ms.load(Ordering::Relaxed),
        }
    }

    #[inline(never)]
    fn count_change(
        &self,
        (old, old_expires): (Option<Entry<'_>>, bool),
        (new, new_expires): (Option<Entry<'_>>, bool),
    ) {
        self.keys
            .add(i64::from(new.is_some()) - i64::from(old.is_some()));
        if new_expires != old_expires {
            self.expiring
                .add(i64::from(new_expires) - i64::from(old_expires));
            let key = new.or(old).map_or(&[][..], Entry::key);
            let hash = self.table.occupants().hash(key);
            self.expiring_regions.add(hash, new_expires);
        }
    }
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database")
            .field("keys", &self.keys.sum())
            .finish_non_exhaustive()
    }
}

/// How a database's slots are read. Seeded, so that nobody can choose keys that collide.
pub(crate) struct Occupants(RapidSecrets);

impl Occupants {
    fn hash(&self, key: &[u8]) -> u64 {
        hash_of(&self.0, key)
    }
}

/// The hash of a key under the secrets of a store.
#[inline(always)]
pub(crate) fn hash_of(secrets: &RapidSecrets, key: &[u8]) -> u64 {
    rapidhash_v3_seeded(key, secrets)
}

/// How a slot names an entry.
pub(crate) fn occupied(entry: Entry<'_>) -> Occupied {
    let is_small = entry.usage().is_small();
    Occupied::entry(entry.address(), entry.expires()).in_small_queue(is_small)
}

/// The entry a slot names.
pub(crate) fn entry_of<'g>(occupied: Occupied, _guard: &'g Guard) -> Entry<'g> {
    debug_assert!(!occupied.is_descriptor());
    // SAFETY: the callers saw it in a slot under the guard of `'g`.
    unsafe { Entry::from_address(occupied.address()) }
}

/// The descriptor a slot names.
///
/// # Safety
/// `occupied` names one, and was seen in a slot under the guard of `'g`.
pub(crate) unsafe fn descriptor<'g>(occupied: Occupied) -> &'g Descriptor {
    debug_assert!(occupied.is_descriptor());
    // SAFETY: descriptors are retired after no slot names them.
    unsafe { occupied.address().cast::<Descriptor>().as_ref() }
}

impl Occupant for Occupants {
    unsafe fn is_key(&self, occupied: Occupied, key: &[u8]) -> bool {
        if occupied.is_descriptor() {
            // SAFETY: passed on to the caller.
            return unsafe { is_key_of_descriptor(occupied, key) };
        }
        // SAFETY: passed on to the caller.
        unsafe { self.is_key_of_entry(occupied, key) }
    }

    #[inline(always)]
    unsafe fn is_key_of_entry(&self, occupied: Occupied, key: &[u8]) -> bool {
        // SAFETY: passed on to the caller.
        unsafe { Entry::from_address(occupied.address()) }.has_key(key)
    }

    unsafe fn hash_of(&self, occupied: Occupied) -> u64 {
        if occupied.is_descriptor() {
            // SAFETY: passed on to the caller.
            return unsafe { descriptor(occupied) }.hash();
        }
        // SAFETY: passed on to the caller.
        hash_of(
            &self.0,
            unsafe { Entry::from_address(occupied.address()) }.key(),
        )
    }
}

/// # Safety
/// As for [`Occupant::is_key`].
#[cold]
unsafe fn is_key_of_descriptor(occupied: Occupied, key: &[u8]) -> bool {
    // SAFETY: passed on to the caller.
    unsafe { descriptor(occupied) }.key() == key
}

/// How many of a database's keys in each region of the table have an expiry. Takes no memory
/// before there is one.
#[derive(Debug, Default)]
pub(crate) struct Regions(OnceLock<Box<[AtomicI32]>>);

impl Regions {
    /// 4096 regions: a few segments each, where there are ten million keys.
    const BITS: u32 = 12;

    fn add(&self, hash: u64, is_more: bool) {
        let counts = self.0.get_or_init(|| {
            memory::count_live(Regions::BYTES);
            (0..1 << Regions::BITS).map(|_| AtomicI32::new(0)).collect()
        });
        let region = Region::of(hash, Regions::BITS);
        counts[region.number].fetch_add(if is_more { 1 } else { -1 }, Ordering::Relaxed);
    }

    const BYTES: i64 = (size_of::<AtomicI32>() << Regions::BITS) as i64;

    /// A random one of those in which a key has an expiry.
    pub(crate) fn draw(&self) -> Option<Region> {
        let counts = self.0.get()?;
        let start = fastrand::usize(..counts.len());
        let mut numbers = (start..counts.len()).chain(0..start);
        let number = numbers.find(|&at| counts[at].load(Ordering::Relaxed) > 0)?;
        let bits = Regions::BITS;
        Some(Region { number, bits })
    }
}

impl Drop for Regions {
    fn drop(&mut self) {
        if self.0.get().is_some() {
            memory::count_live(-Regions::BYTES);
        }
    }
}

/// A sum that threads add to without meeting.
#[derive(Debug)]
pub(crate) struct Count {
    shards: [CachePadded<std::sync::atomic::AtomicI64>; Count::SHARDS],
}

impl Default for Count {
    fn default() -> Count {
        Count::new()
    }
}

impl Count {
    const SHARDS: usize = 16;

    pub(crate) const fn new() -> Count {
        Count {
            shards: [const { CachePadded::new(std::sync::atomic::AtomicI64::new(0)) };
                Count::SHARDS],
        }
    }

    pub(crate) fn add(&self, by: i64) {
        if by != 0 {
            self.shards[thread::index() % Count::SHARDS].fetch_add(by, Ordering::Relaxed);
        }
    }

    /// Exact whenever nobody is in the middle of an operation.
    pub(crate) fn sum(&self) -> u64 {
        let sum: i64 = self
            .shards
            .iter()
            .map(|shard| shard.load(Ordering::Relaxed))
            .sum();
        sum.max(0) as u64
    }

    pub(crate) fn reset(&self) {
        self.shards
            .iter()
            .for_each(|shard| shard.store(0, Ordering::Relaxed));
    }
}

/// Which database has which number.
#[repr(align(256))]
pub(crate) struct Keyspace {
    databases: Box<[NonNull<Database>]>,
}

// SAFETY: databases are shared between threads by design and retired when no record names them.
unsafe impl Send for Keyspace {}
// SAFETY: a record does not change once it is published; databases are shared by design.
unsafe impl Sync for Keyspace {}

impl Keyspace {
    pub(crate) fn database(&self, index: usize) -> &Database {
        // SAFETY: a database is retired after the records that name it.
        unsafe { self.databases[index].as_ref() }
    }
}

/// The low bits of the root: how many commits hold the record.
const ENTERED: usize = align_of::<Keyspace>() - 1;

/// The store's pointer to the record in use.
pub(crate) struct Root(AtomicPtr<Keyspace>);

impl Root {
    pub(crate) fn new(databases: impl Iterator<Item = Database>) -> Root {
        let databases = databases.map(boxed).collect();
        Root(AtomicPtr::new(Box::into_raw(Box::new(Keyspace {
            databases,
        }))))
    }

    /// The record in use.
    pub(crate) fn keyspace<'g>(&self, _guard: &'g Guard) -> &'g Keyspace {
        let record = record_of(self.0.load(Ordering::Acquire));
        // SAFETY: a record is retired after this pointer moved on, and a guard is held.
        unsafe { &*record }
    }

    /// Holds off replacements of `keyspace`; false if it is no longer the one in use.
    pub(crate) fn enter(&self, keyspace: &Keyspace) -> bool {
        self.change_entered(keyspace, |entered| entered + 1)
    }

    /// Undoes [`Root::enter`].
    pub(crate) fn leave(&self, keyspace: &Keyspace) {
        let left = self.change_entered(keyspace, |entered| entered - 1);
        debug_assert!(left, "a record that was entered is not replaced");
    }

    fn change_entered(&self, keyspace: &Keyspace, change: impl Fn(usize) -> usize) -> bool {
        loop {
            let now = self.0.load(Ordering::Acquire);
            if !std::ptr::eq(record_of(now), keyspace) {
                return false;
            }
            let entered = change(now.addr() & ENTERED);
            if entered > ENTERED {
                sync::yield_now();
                continue;
            }
            let next = now.map_addr(|address| address & !ENTERED | entered);
            if self.swap(now, next) {
                return true;
            }
        }
    }

    /// Replaces databases: `change` gets them all, and returns those that nobody has any more.
    pub(crate) fn replace(
        &self,
        guard: &Guard,
        change: impl Fn(&mut [NonNull<Database>]) -> Vec<NonNull<Database>>,
    ) {
        loop {
            let now = self.0.load(Ordering::Acquire);
            if now.addr() & ENTERED != 0 {
                // Somebody is between entering and leaving: a few instructions.
                sync::yield_now();
                continue;
            }
            // SAFETY: it is retired after the root moved on from it, and a guard is held.
            let old = unsafe { &*now };
            let mut databases = old.databases.clone();
            let gone = change(&mut databases);
            let next = Box::into_raw(Box::new(Keyspace { databases }));
            if self.swap(now, next) {
                // SAFETY: the root was the only way to the old record.
                unsafe { guard.retire_box(now) };
                retire_databases(gone, guard);
                return;
            }
            // SAFETY: nobody else has seen the new record or what it alone names.
            let unused = unsafe { Box::from_raw(next) };
            for database in unused
                .databases
                .iter()
                .filter(|&new| !old.databases.contains(new))
            {
                // SAFETY: it is one that `change` made for this record, which nobody has seen.
                drop(unsafe { Box::from_raw(database.as_ptr()) });
            }
        }
    }

    fn swap(&self, now: *mut Keyspace, next: *mut Keyspace) -> bool {
        self.0
            .compare_exchange(now, next, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        // SAFETY: the store is being dropped: nobody uses it any more.
        let keyspace = unsafe { Box::from_raw(record_of(self.0.load(Ordering::Acquire))) };
        retire_databases(keyspace.databases.to_vec(), &reclaim::pin());
    }
}

fn record_of(root: *mut Keyspace) -> *mut Keyspace {
    root.map_addr(|address| address & !ENTERED)
}

/// Puts a database where the record can name it.
pub(crate) fn boxed(database: Database) -> NonNull<Database> {
    NonNull::from(Box::leak(Box::new(database)))
}

fn retire_databases(gone: Vec<NonNull<Database>>, guard: &Guard) {
    for database in gone {
        let drained = Drained {
            database,
            pages: None,
        };
        // SAFETY: the record that named it was replaced, and each database leaves once.
        unsafe { guard.retire_with(0, move || reclaim::reap(Box::new(drained))) };
    }
    guard.flush();
}

/// A database that nobody can reach, being emptied.
struct Drained {
    database: NonNull<Database>,
    /// What is still to be emptied, once that was listed.
    pages: Option<Vec<Page>>,
}
// SAFETY: it is the reaper's alone.
unsafe impl Send for Drained {}

impl Drain for Drained {
    fn drain_slice(&mut self) -> bool {
        let guard = reclaim::pin();
        // SAFETY: no guard can reach the database any more; the reaper has it to itself.
        let database = unsafe { self.database.as_mut() };
        let pages = self.pages.get_or_insert_with(|| database.table.pages());
        let Some(page) = pages.pop() else {
            // SAFETY: no guard can reach the database any more; the last page is done, and nothing
            // uses it after this.
            drop(unsafe { Box::from_raw(self.database.as_ptr()) });
            return false;
        };
        database.table.drain_page(&page, |occupied| {
            debug_assert!(!occupied.is_descriptor(), "every owner clears its slots");
            // SAFETY: it was in a slot of a table that is ours.
            let entry = unsafe { Entry::from_address(occupied.address()) };
            publish::retire_whole(entry, &guard);
        });
        true
    }
}
