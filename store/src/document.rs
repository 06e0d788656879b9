//! Large JSON documents, which stand beside their entries.
//!
//! The entry of a large document (`Form::Handle`) holds the address of a [`Version`] of
//! the document: a counted reference to nodes that other versions share. Each version has a handle
//! of its own and belongs to its entry; until the entry is published, to the
//! [`Delta`](crate::tree::Delta) of the edit.
//!
//! Memory: a version counts with all it reaches while it lives. When it is replaced by one derived
//! from it, nearly all of that lives on, so that only about what an edit makes anew counts as
//! garbage.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};

use json::LargeDocument;

use crate::entry::{Entry, Form};
use crate::memory;
use crate::reclaim::{self, DROP_INLINE_BYTES, Drain, Guard};

/// About what a version does not share with the one derived from it.
const DIFFERENCE_BYTES: usize = 8 << 10;

/// One version of a large document.
#[derive(Debug)]
pub(crate) struct Version {
    document: LargeDocument,
    /// An edit derived another version from this one.
    has_successor: AtomicBool,
}

/// The address of a version. It says nothing about who owns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Handle(NonNull<Version>);

// SAFETY: what it points to is `Send` and `Sync`; using the address is unsafe anyway.
unsafe impl Send for Handle {}

/// Bytes of a handle in an entry.
pub(crate) const HANDLE_BYTES: usize = size_of::<usize>();

impl Handle {
    /// A new version, which belongs to the caller.
    pub(crate) fn new(document: LargeDocument) -> Handle {
        memory::count_live(document.memory_bytes() as i64);
        let version = Box::new(Version {
            document,
            has_successor: AtomicBool::new(false),
        });
        Handle(NonNull::from(Box::leak(version)))
    }

    /// The handle in an entry of [`Form::Handle`].
    pub(crate) fn of(entry: Entry<'_>) -> Handle {
        assert_eq!(entry.form(), Form::Handle, "the caller looked");
        let bytes = entry.value_bytes().try_into().expect("a handle's bytes");
        let address = std::ptr::with_exposed_provenance_mut(usize::from_ne_bytes(bytes));
        Handle(NonNull::new(address).expect("a handle is an address"))
    }

    /// What stands in the entry.
    pub(crate) fn to_bytes(self) -> [u8; HANDLE_BYTES] {
        self.0.as_ptr().expose_provenance().to_ne_bytes()
    }

    /// Drops a version at once.
    ///
    /// # Safety
    /// It belongs to the caller, and nobody else looks at it.
    pub(crate) unsafe fn free(self) {
        // SAFETY: passed on to the caller; `new` made it of a box.
        let version = unsafe { Box::from_raw(self.0.as_ptr()) };
        memory::count_live(-(version.document.memory_bytes() as i64));
    }

    /// Drops a version when nobody can look at it any more, a large one on the reaper thread.
    ///
    /// # Safety
    /// It belongs to the caller, and new guards cannot reach it.
    pub(crate) unsafe fn retire(self, guard: &Guard) {
        // SAFETY: it is not dropped before `guard` ends.
        let version = unsafe { self.0.as_ref() };
        let live = version.document.memory_bytes();
        let garbage = match version.has_successor.load(Ordering::Relaxed) {
            true => live.min(DIFFERENCE_BYTES),
            false => live,
        };
        memory::count_live(-(live as i64));
        memory::count_as_retired(garbage as i64);
        let last = move || {
            // SAFETY: nobody looks at it any more, and this runs once.
            let version = unsafe { Box::from_raw({ self }.0.as_ptr()) };
            let whole = Whole {
                _version: version,
                garbage,
            };
            if garbage > DROP_INLINE_BYTES {
                reclaim::reap(Box::new(whole));
            }
        };
        // SAFETY: passed on to the caller.
        unsafe { guard.retire_with(garbage, last) };
    }
}

/// A version that is dropped as a whole.
struct Whole {
    _version: Box<Version>,
    garbage: usize,
}

impl Drain for Whole {
    fn drain_slice(&mut self) -> bool {
        false
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        memory::count_as_retired(-(self.garbage as i64));
    }
}

impl Version {
    /// The version behind an entry of [`Form::Handle`].
    pub(crate) fn of(entry: Entry<'_>) -> &Version {
        // SAFETY: the version belongs to the entry and is retired after it, so it lives as long as
        // the entry's guard.
        unsafe { Handle::of(entry).0.as_ref() }
    }

    pub(crate) fn document(&self) -> &LargeDocument {
        &self.document
    }

    /// Notes that an edit derived another version from this one.
    pub(crate) fn note_successor(&self) {
        self.has_successor.store(true, Ordering::Relaxed);
    }
}
