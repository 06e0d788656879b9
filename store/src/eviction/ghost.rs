//! Keys that eviction let go not long ago, as fingerprints.
//!
//! A line of the cache holds the last 31 of those whose hashes lead there, in a ring; so a key is
//! remembered for about as many evictions as there is room for fingerprints, and one look costs
//! one cache miss. Threads may overwrite each other's fingerprints: a key is then remembered too
//! long or forgotten too soon, which is all that can happen.
//!
//! A table for many keys is made at once, when the first of them goes: its memory is zeroed by the
//! kernel, page by page, when a line of it is first touched.

use std::alloc::{self, Layout};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use crate::memory;
use crate::reclaim::{self, Drain};
use crate::table::prefetch;

const WAYS: usize = 31;

#[repr(C, align(64))]
#[derive(Debug)]
struct Line {
    /// 0: none.
    prints: [AtomicU16; WAYS],
    /// Where the next one goes.
    next: AtomicU16,
}

const _: () = assert!(size_of::<Line>() == 64);

/// Fingerprints of so many keys, about.
#[derive(Debug)]
pub(super) struct Ghosts {
    lines: Box<[Line]>,
}

impl Ghosts {
    /// Room for those of `keys` keys.
    pub(super) fn new(keys: u64) -> Ghosts {
        let lines = keys as usize / WAYS + 1;
        memory::count_live((lines * size_of::<Line>()) as i64);
        Ghosts {
            lines: forgetful(lines),
        }
    }

    /// How many there is room for.
    pub(super) fn room(&self) -> u64 {
        (self.lines.len() * WAYS) as u64
    }

    fn place(&self, hash: u64) -> (&Line, u16) {
        let lines = self.lines.len() as u64;
        // Two parts of the hash that have nothing to do with each other.
        let line = ((hash >> 32) * lines) >> 32;
        (&self.lines[line as usize], (hash as u16).max(1))
    }

    /// A hint that a key will soon be remembered or forgotten.
    pub(super) fn prefetch(&self, hash: u64) {
        prefetch((&raw const *self.place(hash).0).addr());
    }

    /// Remembers a key.
    pub(super) fn put(&self, hash: u64) {
        let (line, print) = self.place(hash);
        let at = usize::from(line.next.load(Ordering::Relaxed)) % WAYS;
        line.prints[at].store(print, Ordering::Relaxed);
        let next = (at + 1) % WAYS;
        line.next.store(next as u16, Ordering::Relaxed);
    }

    /// Forgets a key; whether it was remembered.
    pub(super) fn take(&self, hash: u64) -> bool {
        let (line, print) = self.place(hash);
        let found = line
            .prints
            .iter()
            .find(|known| known.load(Ordering::Relaxed) == print);
        if let Some(known) = found {
            known.store(0, Ordering::Relaxed);
        }
        found.is_some()
    }
}

/// Lines without a fingerprint.
fn forgetful(lines: usize) -> Box<[Line]> {
    let layout = Layout::array::<Line>(lines).expect("fewer than there are keys");
    // SAFETY: a line has a size, and there is at least one.
    let start = unsafe { alloc::alloc_zeroed(layout) };
    let Some(start) = NonNull::new(start.cast::<Line>()) else {
        alloc::handle_alloc_error(layout)
    };
    let lines = NonNull::slice_from_raw_parts(start, lines);
    // SAFETY: allocated just now as a boxed slice is, and for atomic integers zero is a value.
    unsafe { Box::from_raw(lines.as_ptr()) }
}

impl Drop for Ghosts {
    fn drop(&mut self) {
        let bytes = size_of_val(&*self.lines);
        memory::count_live(-(bytes as i64));
        if bytes > reclaim::DROP_INLINE_BYTES {
            // The kernel takes long to take many pages back.
            let lines = std::mem::take(&mut self.lines);
            reclaim::reap(Box::new(Forgotten(lines)));
        }
    }
}

/// What the reaper thread is told to free.
struct Forgotten(Box<[Line]>);

impl Drain for Forgotten {
    fn drain_slice(&mut self) -> bool {
        self.0 = Box::default();
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_keys_are_remembered_and_the_first_forgotten() {
        let ghosts = Ghosts::new(1_000);
        let hashes: Vec<u64> = (0..4_000).map(|_| fastrand::u64(..)).collect();
        hashes.iter().for_each(|&hash| ghosts.put(hash));
        let known = |range: std::ops::Range<usize>| {
            hashes[range]
                .iter()
                .filter(|&&hash| ghosts.take(hash))
                .count()
        };
        assert!(known(0..1_000) < 50);
        assert!(known(3_700..4_000) > 270);
        assert!(known(3_700..4_000) < 10, "taken is forgotten");
    }
}
