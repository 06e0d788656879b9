//! The store: numbered databases over tables, and what concerns all of them.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::db::Db;
use crate::memory::{self, Usage};
use crate::reclaim::{self, Guard};

/// How a store is made.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many databases there are.
    pub databases: usize,
    /// The memory limit in bytes; 0: none.
    pub memory_bytes_max: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            databases: 16,
            memory_bytes_max: 0,
        }
    }
}

/// All databases.
#[derive(Debug)]
pub struct Store {
    databases: usize,
    memory_bytes_max: AtomicU64,
}

impl Store {
    /// An empty store.
    pub fn new(options: &Options) -> Store {
        Store {
            databases: options.databases,
            memory_bytes_max: AtomicU64::new(options.memory_bytes_max),
        }
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
    pub fn flush(&self, _index: usize) {
        unimplemented!()
    }

    /// Empties all databases at one moment.
    pub fn flush_all(&self) {
        unimplemented!()
    }

    /// Exchanges two databases at one moment.
    pub fn swap(&self, _one: usize, _other: usize) {
        unimplemented!()
    }

    /// Visits every key of a database, letting go of the guard between steps: for KEYS.
    pub fn for_each_key(&self, _index: usize, _now_ms: u64, _visit: impl FnMut(&[u8])) {
        unimplemented!()
    }

    /// Removes some expired keys: looks at about `visits_max` entries, goes on where the last
    /// call ended. Returns how many were visited and how many removed.
    pub fn sweep(&self, _now_ms: u64, _visits_max: usize) -> (usize, usize) {
        unimplemented!()
    }

    /// What is allocated.
    pub fn memory(&self) -> Usage {
        memory::usage()
    }

    /// The memory limit in bytes; 0: none.
    pub fn memory_bytes_max(&self) -> u64 {
        self.memory_bytes_max.load(Ordering::Relaxed)
    }

    /// Changes the memory limit.
    pub fn set_memory_bytes_max(&self, bytes: u64) {
        self.memory_bytes_max.store(bytes, Ordering::Relaxed);
    }

    /// Whether a write that may grow must be refused.
    pub fn is_full(&self) -> bool {
        let limit = self.memory_bytes_max();
        limit != 0 && {
            let Usage {
                live_bytes,
                retired_bytes,
            } = memory::usage();
            live_bytes + retired_bytes > limit
        }
    }

    /// What happened since the start, or since [`Store::reset_counts`].
    pub fn counts(&self) -> Counts {
        unimplemented!()
    }

    /// Sets the counts back to zero.
    pub fn reset_counts(&self) {
        unimplemented!()
    }
}

/// What happened to keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Keys that expired and were removed.
    pub expired_keys: u64,
    /// Keys removed to make room.
    pub evicted_keys: u64,
}
