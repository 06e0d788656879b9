//! Long strings, which stand beside their entries: where they were received, if they came alone.
//!
//! The bytes of a long string are a part of a buffer with a count of references, which nobody
//! changes. So the buffer in which a client's request was received becomes the value that it sets,
//! and a reply that the socket has not taken yet holds on to the value, whatever becomes of the
//! key: in neither direction are the bytes copied.
//!
//! The entry holds a [`Record`]: where the buffer is and which part of it counts, so that the
//! string's length and what it takes are known without a look at it. Each entry's record owns one
//! reference; until the entry is published, it belongs to the [`Delta`](crate::tree::Delta).
//!
//! Memory: a string counts with all of its buffer. What of a buffer the string does not fill is at
//! most an eighth of it; where it would be more, the bytes are copied into one of their own.

use std::mem::ManuallyDrop;
use std::ops::Range;
use std::sync::Arc;

use crate::entry::{Entry, Form};
use crate::memory;
use crate::reclaim::Guard;

/// A string fills all of its buffer but for one part of so many, at least.
const UNUSED_PARTS: usize = 8;

/// A long string, which stays where it is for as long as somebody has this.
#[derive(Clone, Debug)]
pub struct Long {
    buffer: Arc<Vec<u8>>,
    /// Invariant: inside the buffer.
    place: Range<u32>,
}

impl Long {
    /// A string that fills a buffer of its own.
    pub(crate) fn owned(bytes: Vec<u8>) -> Long {
        let place = 0..length(bytes.len());
        let buffer = Arc::new(bytes);
        Long { buffer, place }
    }

    /// Its buffer, and which part of that it is.
    pub fn into_parts(self) -> (Arc<Vec<u8>>, Range<usize>) {
        let Long { buffer, place } = self;
        (buffer, place.start as usize..place.end as usize)
    }

    /// Gives the reference to a record, which belongs to the caller.
    pub(crate) fn into_record(self) -> Record {
        let record = Record {
            bytes: self.place.len() as u32,
            start: self.place.start,
            buffer_bytes: length(memory::usable_bytes(self.buffer.capacity())),
            buffer: Arc::into_raw(self.buffer).expose_provenance(),
        };
        memory::count_live(record.memory_bytes() as i64);
        record
    }
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("strings are limited")
}

/// What stands in the entry. It says nothing about who owns the reference.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    /// Invariant: `Arc::into_raw` gave it.
    buffer: usize,
    buffer_bytes: u32,
    start: u32,
    bytes: u32,
}

/// Bytes of a record in an entry.
pub(crate) const RECORD_BYTES: usize = 20;
/// What stands beside the buffer: its count of references, and where it is.
const COUNT_BYTES: usize = 48;

impl Record {
    /// The record in an entry of [`Form::Apart`].
    pub(crate) fn of(entry: Entry<'_>) -> Record {
        assert_eq!(entry.form(), Form::Apart, "the caller looked");
        let (address, rest) = entry
            .value_bytes()
            .split_first_chunk()
            .expect("an address comes first");
        let (words, _) = rest.as_chunks();
        Record {
            buffer: usize::from_ne_bytes(*address),
            buffer_bytes: u32::from_ne_bytes(words[0]),
            start: u32::from_ne_bytes(words[1]),
            bytes: u32::from_ne_bytes(words[2]),
        }
    }

    /// What stands in the entry.
    pub(crate) fn to_bytes(self) -> [u8; RECORD_BYTES] {
        let mut record = [0; RECORD_BYTES];
        record[..8].copy_from_slice(&self.buffer.to_ne_bytes());
        record[8..12].copy_from_slice(&self.buffer_bytes.to_ne_bytes());
        record[12..16].copy_from_slice(&self.start.to_ne_bytes());
        record[16..].copy_from_slice(&self.bytes.to_ne_bytes());
        record
    }

    /// The memory the string takes.
    pub(crate) fn memory_bytes(self) -> usize {
        self.buffer_bytes as usize + COUNT_BYTES
    }

    /// # Safety
    /// The reference is the caller's from now on.
    unsafe fn take(self) -> Arc<Vec<u8>> {
        // SAFETY: it came from `Arc::into_raw`, and passed on to the caller.
        unsafe { Arc::from_raw(std::ptr::with_exposed_provenance(self.buffer)) }
    }

    /// Drops the reference at once.
    ///
    /// # Safety
    /// It belongs to the caller, and nobody else looks at the string through it.
    pub(crate) unsafe fn free(self) {
        // SAFETY: passed on to the caller.
        drop(unsafe { self.take() });
        memory::count_live(-(self.memory_bytes() as i64));
    }

    /// Drops the reference when nobody can look at the string through it any more.
    ///
    /// # Safety
    /// It belongs to the caller, and new guards cannot reach it.
    pub(crate) unsafe fn retire(self, guard: &Guard) {
        let bytes = self.memory_bytes();
        memory::count_retired(bytes as i64);
        let last = move || {
            // SAFETY: nobody looks at it any more, and this runs once.
            drop(unsafe { self.take() });
            memory::count_as_retired(-(bytes as i64));
        };
        // SAFETY: passed on to the caller.
        unsafe { guard.retire_with(bytes, last) };
    }
}

/// The string beside an entry of [`Form::Apart`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct LongRef<'g>(Entry<'g>);

impl<'g> LongRef<'g> {
    /// The string of `entry`.
    pub(crate) fn of(entry: Entry<'g>) -> LongRef<'g> {
        LongRef(entry)
    }

    /// Its length in bytes.
    pub(crate) fn len(self) -> usize {
        Record::of(self.0).bytes as usize
    }

    /// Its bytes.
    pub(crate) fn bytes(self) -> &'g [u8] {
        let record = Record::of(self.0);
        let buffer = std::ptr::with_exposed_provenance::<Vec<u8>>(record.buffer);
        // SAFETY: the entry's reference is dropped after `'g`, and nobody changes what it leads to.
        let buffer = unsafe { &*buffer };
        let start = record.start as usize;
        &buffer[start..start + record.bytes as usize]
    }

    /// The string, for longer than `'g`.
    pub(crate) fn to_long(self) -> Long {
        let record = Record::of(self.0);
        // SAFETY: it is never dropped.
        let of_entry = ManuallyDrop::new(unsafe { record.take() });
        Long {
            buffer: Arc::clone(&of_entry),
            place: record.start..record.start + record.bytes,
        }
    }
}

/// A buffer in which requests were received, of which a long string may become a value.
#[derive(Debug)]
pub struct Received(Arc<Vec<u8>>);

impl Received {
    /// All that was received.
    pub fn new(buffer: Vec<u8>) -> Received {
        Received(Arc::new(buffer))
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether a string of so many bytes in a buffer of so many can stay where it is.
    pub fn may_keep(string_bytes: usize, buffer_bytes: usize) -> bool {
        string_bytes >= buffer_bytes - buffer_bytes / UNUSED_PARTS
    }

    /// Some of its bytes as a string that keeps the buffer, if they fill enough of it.
    pub(crate) fn kept(&self, bytes: &[u8]) -> Option<Long> {
        if !Received::may_keep(bytes.len(), self.0.capacity()) {
            return None;
        }
        let start = bytes.as_ptr().addr().checked_sub(self.0.as_ptr().addr())?;
        let is_inside = start + bytes.len() <= self.0.len();
        is_inside.then(|| Long {
            buffer: Arc::clone(&self.0),
            place: length(start)..length(start + bytes.len()),
        })
    }

    /// The buffer, unless a string has kept it.
    ///
    /// # Errors
    /// What was received, where one has.
    pub fn into_buffer(self) -> Result<Vec<u8>, Received> {
        Arc::try_unwrap(self.0).map_err(Received)
    }
}
