//! What takes how much memory: one account, for INFO, MEMORY and Memcached's `stats`.
//!
//! *Used* is what was handed out: the data, live or retired, and the heap beside it (connections,
//! buffers). *Active* are the pages it lies on, *resident* what of the process is in physical
//! memory. The data is counted to the byte; the heap is what the general allocator says less the
//! data that is its.

use store::Store;
use store::memory::{Extent, InUse};

use crate::process;

/// All figures in bytes, of one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Account {
    /// Handed out: data and heap.
    pub(crate) used: u64,
    /// The most `used` has been, as far as somebody looked.
    pub(crate) peak_used: u64,
    /// What is stored, with the tables that lead there, and what is on its way out.
    pub(crate) data: u64,
    /// Of the data, what was replaced or removed and waits for its last readers.
    pub(crate) retired: u64,
    /// Of the data, the tables.
    pub(crate) tables: u64,
    /// What connections and the server itself have.
    pub(crate) heap: u64,
    /// Pages with something on them.
    pub(crate) active: u64,
    /// What the allocators keep in physical memory.
    pub(crate) allocators_resident: u64,
    /// The process in physical memory.
    pub(crate) resident: u64,
    /// The most that ever was in physical memory.
    pub(crate) peak_resident: u64,
    /// The limit; 0: none.
    pub(crate) limit: u64,
}

impl Account {
    /// What is so now.
    pub(crate) fn of(store: &Store) -> Account {
        let in_use: InUse = store.memory();
        let arena: Extent = store::memory::arena();
        let process = process::memory();
        let data = in_use.bytes();
        let heap = in_use.heap_beside(process.allocated_bytes);
        let used = data + heap;
        let active = process.active_bytes + arena.resident_bytes - arena.free_bytes;
        let mapped = process.allocator_resident_bytes + arena.resident_bytes + arena.records_bytes;
        // The allocator counts all that is mapped for its own records, touched or not.
        let allocators_resident = match process.anonymous_bytes {
            0 => mapped,
            anonymous => mapped.min(anonymous.max(active)),
        };
        Account {
            used,
            peak_used: store.peak_bytes().max(used),
            data,
            retired: in_use.retired_bytes,
            tables: store.table_bytes(),
            heap,
            active,
            allocators_resident,
            resident: process.resident_bytes,
            peak_resident: process.peak_resident_bytes,
            limit: store.memory_bytes_max(),
        }
    }

    /// All but the values and their keys.
    pub(crate) fn overhead(&self) -> u64 {
        self.heap + self.tables
    }

    /// Keys and values, and what is on its way out.
    pub(crate) fn dataset(&self) -> u64 {
        self.data.saturating_sub(self.tables)
    }

    /// The process's resident size by what is used.
    pub(crate) fn fragmentation(&self) -> f64 {
        ratio(self.resident, self.used)
    }
}

/// One by the other; the other may be nothing.
pub(crate) fn ratio(one: u64, other: u64) -> f64 {
    one as f64 / other.max(1) as f64
}
