//! From a place to its segment.
//!
//! An array over the leading bits of places (extendible hashing: R. Fagin et al., TODS 1979).
//! Its entries are hints: one may name a segment that was split, whose successors then lead on.
//! Entries only ever move forward along successors.
//!
//! A directory that is too shallow is doubled: its entries are frozen, copied twice each into a
//! new one, and the table's pointer moves on. Whoever meets a frozen entry helps. So there is no
//! moment at which an old and a new directory could be changed independently.

use std::ptr::{self, NonNull};

use super::segment::Segment;
use crate::memory;
use crate::reclaim::Guard;
use crate::sync::{AtomicPtr, Ordering};

/// The low bit of an entry that never changes again.
const FROZEN: usize = 1;

pub(super) struct Directory {
    /// How many leading bits of a place number an entry.
    depth: u32,
    entries: Box<[AtomicPtr<Segment>]>,
    /// The doubled directory, once there is one.
    next: AtomicPtr<Directory>,
}

impl Directory {
    fn allocate(depth: u32, entries: impl Iterator<Item = NonNull<Segment>>) -> *mut Directory {
        let entries: Box<[_]> = entries
            .map(|segment| AtomicPtr::new(segment.as_ptr()))
            .collect();
        debug_assert_eq!(entries.len(), 1 << depth);
        let directory = Directory {
            depth,
            entries,
            next: AtomicPtr::new(ptr::null_mut()),
        };
        memory::count_live(directory.memory_bytes());
        Box::into_raw(Box::new(directory))
    }

    pub(super) fn memory_bytes(&self) -> i64 {
        (size_of::<Directory>() + size_of_val(&*self.entries)) as i64
    }

    fn index(&self, place: u64) -> usize {
        // In two steps: a shift by 64 would not do for a depth of 0.
        (place >> 1 >> (63 - self.depth)) as usize
    }

    /// The segment an entry names.
    #[inline(always)]
    pub(super) fn segment(&self, place: u64) -> NonNull<Segment> {
        let named = self.entries[self.index(place)].load(Ordering::Acquire);
        NonNull::new(thawed(named)).expect("every entry names a segment")
    }

    /// Moves an entry as far along successors as the directory can tell them apart. False if the
    /// entry is frozen and must be moved in the next directory.
    fn advance(&self, index: usize) -> bool {
        let place = match self.depth {
            0 => 0,
            depth => (index as u64) << (64 - depth),
        };
        loop {
            let named = self.entries[index].load(Ordering::Acquire);
            if named.addr() & FROZEN != 0 {
                return false;
            }
            // SAFETY: a segment is retired only when no entry of its range names it or a segment
            // it succeeded; this one was named under the caller's guard.
            let segment = unsafe { &*named };
            let Some(next) = segment.successor(place) else {
                return true;
            };
            // SAFETY: it is not retired while an entry names what it succeeded, as one did under
            // the caller's guard.
            if unsafe { next.as_ref() }.depth > self.depth {
                return true;
            }
            // A failure means that somebody else moved or froze it: look again.
            let _ = self.entries[index].compare_exchange(
                named,
                next.as_ptr(),
                Ordering::AcqRel,
                Ordering::Acquire,
            );
        }
    }

    fn freeze(&self) {
        for entry in &self.entries {
            let mut named = entry.load(Ordering::Acquire);
            while named.addr() & FROZEN == 0 {
                let frozen = named.map_addr(|address| address | FROZEN);
                match entry.compare_exchange(named, frozen, Ordering::AcqRel, Ordering::Acquire) {
                    Ok(_) => break,
                    Err(now) => named = now,
                }
            }
        }
    }
}

fn thawed(named: *mut Segment) -> *mut Segment {
    named.map_addr(|address| address & !FROZEN)
}

/// The table's pointer to the directory in use.
pub(super) struct Root(AtomicPtr<Directory>);

impl Root {
    /// A directory of one entry.
    pub(super) fn new(segment: NonNull<Segment>) -> Root {
        Root(AtomicPtr::new(Directory::allocate(
            0,
            std::iter::once(segment),
        )))
    }

    /// The directory in use.
    pub(super) fn directory<'g>(&self, _guard: &'g Guard) -> &'g Directory {
        // SAFETY: a directory is retired after this pointer moved on, and a guard is held.
        unsafe { &*self.0.load(Ordering::Acquire) }
    }

    /// Takes a split segment, of which `place` is one of the places, out of every entry that
    /// names it. Afterwards new guards cannot reach it.
    pub(super) fn unlink(&self, segment: &Segment, place: u64, guard: &Guard) {
        'directory: loop {
            let directory = self.directory(guard);
            let successor = segment.successor(place).expect("it was published");
            // SAFETY: reached from a segment that is not retired yet, under a guard.
            if directory.depth < unsafe { successor.as_ref() }.depth {
                self.double(directory, guard);
                continue;
            }
            let spread = directory.depth - segment.depth;
            let first = directory.index(place) >> spread << spread;
            for index in first..first + (1 << spread) {
                if !directory.advance(index) {
                    self.double(directory, guard);
                    continue 'directory;
                }
            }
            return;
        }
    }

    fn double(&self, directory: &Directory, guard: &Guard) {
        let mut next = directory.next.load(Ordering::Acquire);
        if next.is_null() {
            directory.freeze();
            let twice = directory.entries.iter().flat_map(|entry| {
                let segment = thawed(entry.load(Ordering::Acquire));
                [NonNull::new(segment).expect("every entry names a segment"); 2]
            });
            let doubled = Directory::allocate(directory.depth + 1, twice);
            match directory.next.compare_exchange(
                ptr::null_mut(),
                doubled,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => next = doubled,
                Err(other) => {
                    // SAFETY: nobody else has seen it.
                    unsafe { free(doubled) };
                    next = other;
                }
            }
        }
        let old = (&raw const *directory).cast_mut();
        let moved = self
            .0
            .compare_exchange(old, next, Ordering::AcqRel, Ordering::Acquire);
        if moved.is_ok() {
            let bytes = directory.memory_bytes();
            let old = Sendable(old);
            let last = move || {
                let old = old;
                // SAFETY: this runs once, when no guard remains that could reach it.
                unsafe { free(old.0) };
            };
            // SAFETY: the table's pointer was the only way to it, and it moves on once.
            unsafe { guard.retire_with(bytes as usize, last) };
        }
    }

    /// Visits each segment once, in order of place. Nobody else may use the table.
    pub(super) fn for_each_segment(&mut self, mut visit: impl FnMut(NonNull<Segment>)) {
        // SAFETY: the caller has the table to itself.
        let directory = unsafe { &*self.0.load(Ordering::Acquire) };
        let mut last = ptr::null_mut();
        for entry in &directory.entries {
            let named = thawed(entry.load(Ordering::Acquire));
            if named != last {
                last = named;
                visit(NonNull::new(named).expect("every entry names a segment"));
            }
        }
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        // SAFETY: nobody else has the table any more.
        unsafe { free(self.0.load(Ordering::Acquire)) };
    }
}

struct Sendable(*mut Directory);
// SAFETY: a retired directory is plain memory that its last owner frees.
unsafe impl Send for Sendable {}

/// # Safety
/// `directory` came from [`Directory::allocate`] and is not used or freed afterwards.
unsafe fn free(directory: *mut Directory) {
    // SAFETY: passed on to the caller.
    let directory = unsafe { Box::from_raw(directory) };
    memory::count_live(-directory.memory_bytes());
}
