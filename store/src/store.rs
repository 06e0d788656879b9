//! The store: numbered databases over tables, and what concerns all of them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, TryLockError};

use rapidhash::v3::RapidSecrets;

use crate::arena;
use crate::compaction::Compaction;
use crate::db::Db;
use crate::eviction::{Eviction, Policy};
use crate::expiry::DATABASES_MAX;
use crate::keyspace::{self, Count, Database, Keyspace, Root};
use crate::memory::{self, InUse, Process};
use crate::reclaim::{self, Guard};
use crate::thread;

/// How a store is made.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many databases there are: 1 to 65,536.
    pub databases: usize,
    /// The memory limit in bytes; 0: none.
    pub memory_bytes_max: u64,
    /// What goes when it is reached.
    pub policy: Policy,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            databases: 16,
            memory_bytes_max: 0,
            policy: Policy::NoEviction,
        }
    }
}

/// All databases.
pub struct Store {
    databases: usize,
    memory_bytes_max: AtomicU64,
    secrets: RapidSecrets,
    root: Root,
    expired_keys: Count,
    expired_unfetched: Count,
    evicted_keys: Count,
    evicted_unfetched: Count,
    eviction: Eviction,
    sweep_cursor: AtomicU64,
    compaction: Mutex<Compaction>,
    peak_bytes: AtomicU64,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("databases", &self.databases)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// An empty store.
    ///
    /// # Panics
    /// Without databases, or with more than are allowed.
    pub fn new(options: &Options) -> Store {
        assert!(
            (1..=DATABASES_MAX).contains(&options.databases),
            "a store has databases"
        );
        reclaim::start();
        let secrets = RapidSecrets::seed(fastrand::u64(..));
        let databases = (0..options.databases).map(|_| Database::new(secrets, 0));
        arena::note_limit(options.memory_bytes_max);
        Store {
            databases: options.databases,
            memory_bytes_max: AtomicU64::new(options.memory_bytes_max),
            secrets,
            root: Root::new(databases),
            expired_keys: Count::default(),
            expired_unfetched: Count::default(),
            evicted_keys: Count::default(),
            evicted_unfetched: Count::default(),
            eviction: Eviction::new(options.policy),
            sweep_cursor: AtomicU64::new(0),
            compaction: Mutex::default(),
            peak_bytes: AtomicU64::new(0),
        }
    }

    pub(crate) fn root(&self) -> &Root {
        &self.root
    }

    pub(crate) fn keyspace<'g>(&'g self, guard: &'g Guard) -> &'g Keyspace {
        self.root.keyspace(guard)
    }

    pub(crate) fn hash(&self, key: &[u8]) -> u64 {
        keyspace::hash_of(&self.secrets, key)
    }

    pub(crate) fn count_expired(&self, is_unfetched: bool) {
        self.expired_keys.add(1);
        self.expired_unfetched.add(i64::from(is_unfetched));
    }

    /// The bookkeeping of compaction, unless somebody has it now. What a panic has left of it is
    /// whole: slabs may be missing, which then stay as they are.
    pub(crate) fn try_compaction(&self) -> Option<MutexGuard<'_, Compaction>> {
        match self.compaction.try_lock() {
            Ok(compaction) => Some(compaction),
            Err(TryLockError::Poisoned(left)) => Some(left.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    pub(crate) fn count_evicted(&self, is_unfetched: bool) {
        self.evicted_keys.add(1);
        self.evicted_unfetched.add(i64::from(is_unfetched));
    }

    pub(crate) fn eviction(&self) -> &Eviction {
        &self.eviction
    }

    pub(crate) fn sweep_cursor(&self) -> &AtomicU64 {
        &self.sweep_cursor
    }

    /// A guard for a batch of commands; see [`crate::reclaim`].
    pub fn pin(&self) -> Guard {
        reclaim::pin()
    }

    /// The database `index`, as it is from now on, at the time `now_ms`.
    ///
    /// # Panics
    /// If there is no such database: check against [`Store::databases`].
    pub fn db<'g>(&'g self, index: usize, guard: &'g Guard, now_ms: u64) -> Db<'g> {
        assert!(index < self.databases, "no database {index}");
        Db::new(self, guard, index, now_ms)
    }

    /// How many databases there are.
    pub fn databases(&self) -> usize {
        self.databases
    }

    /// Empties one database, in constant time for everybody but the reaper.
    ///
    /// # Panics
    /// If there is no such database.
    pub fn flush(&self, index: usize) {
        self.root.replace(&self.pin(), |databases| {
            vec![std::mem::replace(
                &mut databases[index],
                self.empty_database(),
            )]
        });
    }

    /// Empties all databases at one moment.
    pub fn flush_all(&self) {
        self.root.replace(&self.pin(), |databases| {
            databases
                .iter_mut()
                .map(|database| std::mem::replace(database, self.empty_database()))
                .collect()
        });
    }

    /// Exchanges two databases at one moment.
    ///
    /// # Panics
    /// If there are no such databases.
    pub fn swap(&self, one: usize, other: usize) {
        self.root.replace(&self.pin(), |databases| {
            databases.swap(one, other);
            Vec::new()
        });
    }

    /// What a key had as its version never returns, also after a flush.
    fn empty_database(&self) -> std::ptr::NonNull<Database> {
        keyspace::boxed(Database::new(self.secrets, thread::highest_version()))
    }

    /// Gives pages of tables back that have become nearly empty: looks at `pages_max` pages of
    /// each database that has at most a quarter of its slots taken. For a periodic task; whether
    /// it gave any back, so that the next step should come soon.
    pub fn shrink(&self, pages_max: usize) -> bool {
        let mut is_fruitful = false;
        for index in 0..self.databases {
            let guard = self.pin();
            let database = self.keyspace(&guard).database(index);
            if database.keys.sum() * 4 > database.table.slots() {
                continue;
            }
            let slots = database.table.slots();
            let mut place = database.shrink_place.load(Ordering::Relaxed);
            for _ in 0..pages_max {
                match database.table.shrink_at(place, &guard) {
                    Some(next) => place = next,
                    None => {
                        place = 0;
                        break;
                    }
                }
            }
            database.shrink_place.store(place, Ordering::Relaxed);
            is_fruitful |= database.table.slots() < slots;
        }
        is_fruitful
    }

    /// What is allocated.
    pub fn memory(&self) -> InUse {
        memory::in_use()
    }

    /// What the tables of all databases take, without the keys.
    pub fn table_bytes(&self) -> u64 {
        (0..self.databases)
            .map(|index| self.table_bytes_of(index))
            .sum()
    }

    /// What the table of one database takes, without the keys.
    ///
    /// # Panics
    /// If there is no such database.
    pub fn table_bytes_of(&self, index: usize) -> u64 {
        let guard = self.pin();
        self.keyspace(&guard).database(index).table.bytes(&guard)
    }

    /// The most bytes that were handed out at any [`Store::note_process`].
    pub fn peak_bytes(&self) -> u64 {
        self.peak_bytes.load(Ordering::Relaxed)
    }

    /// The memory limit in bytes; 0: none.
    pub fn memory_bytes_max(&self) -> u64 {
        self.memory_bytes_max.load(Ordering::Relaxed)
    }

    /// Changes the memory limit.
    pub fn set_memory_bytes_max(&self, bytes: u64) {
        self.memory_bytes_max.store(bytes, Ordering::Relaxed);
        arena::note_limit(bytes);
        if bytes == 0 {
            self.forget_rivals();
        }
    }

    /// Tells the store what the whole process takes: for a periodic task.
    pub fn note_process(&self, process: Process) {
        let used = memory::note_process(process, self.memory_bytes_max());
        self.peak_bytes.fetch_max(used, Ordering::Relaxed);
    }

    /// How many bytes count against the memory limit: all that is live or retired, what the
    /// process has on its heap beside, and, within bounds, resident memory that is none of these.
    pub fn charged_bytes(&self) -> u64 {
        memory::charged_bytes()
    }

    /// What happened since the start, or since [`Store::reset_counts`].
    pub fn counts(&self) -> Counts {
        Counts {
            expired_keys: self.expired_keys.sum(),
            expired_unfetched: self.expired_unfetched.sum(),
            evicted_keys: self.evicted_keys.sum(),
            evicted_unfetched: self.evicted_unfetched.sum(),
        }
    }

    /// Sets the counts back to zero.
    pub fn reset_counts(&self) {
        self.expired_keys.reset();
        self.expired_unfetched.reset();
        self.evicted_keys.reset();
        self.evicted_unfetched.reset();
    }
}

/// What happened to keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Keys that expired and were removed.
    pub expired_keys: u64,
    /// Those of them that nobody had read.
    pub expired_unfetched: u64,
    /// Keys removed to make room.
    pub evicted_keys: u64,
    /// Those of them that nobody had read.
    pub evicted_unfetched: u64,
}
