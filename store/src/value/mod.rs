//! What a key can hold, and how a changed value comes to replace the old one.
//!
//! A value is read through a view of an [`Entry`] ([`string::Str`], [`hash::Hash`],
//! [`set::Set`]) and changed by building a [`NewValue`], which a successful compare-and-swap
//! turns into an entry. Nothing here knows the keyspace, a protocol or the time.
//!
//! The names, in short:
//!
//! - views: `Str::of(entry)`, `Hash::of(entry)`, `Set::of(entry)` fail with
//!   [`Error::WrongType`]; each is `Copy` and as good as the guard the entry was read under;
//! - strings: functions from the old entry (if any) and arguments to a `NewValue`:
//!   `string::{bytes, append, prepend, set_range, set_bit, …}`;
//! - collections: [`hash::HashEdit`] and [`set::SetEdit`] take the old entry (if any) and any
//!   number of changes; `finish` says what is left: [`Edited`];
//! - set algebra: `set::{intersection, union, difference}` visit the members of the result, which
//!   [`set::SetBuilder`] can collect;
//! - any value: [`object_encoding`], [`memory_bytes`], [`same_value`], [`deep_copy`].
//!
//! A large value is a tree whose nodes many versions share. Each version has exactly one
//! successor (the compare-and-swap sees to it), so sharing needs no reference counts: an edit
//! lists the blocks it made (*fresh*) and those that only the old version uses (*replaced*).
//! If the swap succeeds, the replaced ones are retired; if it does not, the fresh ones are freed.
//! [`Delta`] carries both lists and frees the fresh ones itself when it is dropped unused.

use std::slice;

use smallvec::{SmallVec, smallvec};

use crate::document::{Handle, Version};
use crate::entry::{Entry, Form, Kind};
use crate::error::Error;
use crate::long::{LongRef, Record};
use crate::reclaim::Guard;
use crate::tree::{self, Tree};

pub(crate) use crate::tree::Delta;

pub mod bitmap;
pub mod hash;
#[cfg(test)]
pub(crate) mod held;
pub mod json;
pub mod number;
pub(crate) mod packed;
mod sample;
pub mod set;
pub mod string;
#[cfg(test)]
mod timing;

/// The sizes at which a value changes its encoding: Redis's settings, and our own limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `hash-max-listpack-entries`.
    pub hash_entries_max: usize,
    /// `hash-max-listpack-value`, in bytes of a field or value.
    pub hash_element_bytes_max: usize,
    /// `set-max-intset-entries`.
    pub set_integers_max: usize,
    /// `set-max-listpack-entries`.
    pub set_entries_max: usize,
    /// `set-max-listpack-value`, in bytes of a member.
    pub set_element_bytes_max: usize,
    /// A collection beyond this many bytes is a tree, whatever its encoding is called.
    pub packed_bytes_max: usize,
}

impl Limits {
    /// Redis's defaults.
    pub const DEFAULT: Limits = Limits {
        hash_entries_max: 512,
        hash_element_bytes_max: 64,
        set_integers_max: 512,
        set_entries_max: 128,
        set_element_bytes_max: 64,
        packed_bytes_max: 2048,
    };
}

impl Default for Limits {
    fn default() -> Limits {
        Limits::DEFAULT
    }
}

/// What OBJECT ENCODING answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// A string that is a decimal integer of 64 bits with sign.
    Int,
    /// A string of at most 44 bytes.
    Embstr,
    /// A longer string, or one that was changed in place.
    Raw,
    /// A small collection.
    Listpack,
    /// A set of few integers.
    Intset,
    /// A large hash or set.
    Hashtable,
    /// A list.
    Quicklist,
    /// A large sorted set.
    Skiplist,
    /// A stream.
    Stream,
    /// A JSON document.
    Json,
}

/// What an edit of a collection leaves.
#[allow(
    clippy::large_enum_variant,
    reason = "made and taken apart once per command, and nearly always the large one"
)]
#[derive(Debug)]
pub enum Edited<'a> {
    /// The key can stay as it is.
    Unchanged,
    /// Nothing is left: the key goes.
    Emptied,
    /// The key's next value.
    Changed(NewValue<'a>),
}

/// A value that no key holds yet. Dropping it frees what was made for it.
#[derive(Debug)]
pub struct NewValue<'a> {
    pub(crate) kind: Kind,
    pub(crate) form: Form,
    pub(crate) body: Body<'a>,
    pub(crate) origin: Origin,
}

impl<'a> NewValue<'a> {
    /// A value that is all in the entry.
    #[inline]
    pub(crate) fn flat(kind: Kind, form: Form, body: Body<'a>) -> NewValue<'a> {
        NewValue {
            kind,
            form,
            body,
            origin: Origin::New(Delta::default()),
        }
    }

    /// The type of the value.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether nothing was made for the value but what will stand in the entry, and it shares
    /// nothing with another one.
    #[inline]
    pub(crate) fn is_flat(&self) -> bool {
        matches!(self.origin, Origin::New(Delta::Nothing))
    }
}

/// What will stand in the entry: the concatenation of its parts.
// Most have one: it is made, looked at and dropped without a loop.
#[derive(Debug, Default)]
pub(crate) enum Body<'a> {
    #[default]
    Empty,
    One(Part<'a>),
    Several(SmallVec<[Part<'a>; 2]>),
}

/// A piece of a body.
#[derive(Debug)]
pub(crate) enum Part<'a> {
    /// Bytes of the old value or of an argument.
    Borrowed(&'a [u8]),
    /// A few bytes made for the purpose.
    Short([u8; Part::SHORT_BYTES_MAX], u8),
    /// Many bytes made for the purpose.
    Owned(Vec<u8>),
}

impl Part<'_> {
    /// What fits beside the tag.
    const SHORT_BYTES_MAX: usize = 30;

    fn bytes(&self) -> &[u8] {
        match self {
            Part::Borrowed(bytes) => bytes,
            Part::Short(bytes, count) => &bytes[..usize::from(*count)],
            Part::Owned(bytes) => bytes,
        }
    }
}

impl<'a> Body<'a> {
    /// Appends bytes that outlive the body.
    #[inline]
    pub(crate) fn borrowed(self, bytes: &'a [u8]) -> Body<'a> {
        match bytes.is_empty() {
            true => self,
            false => self.with(Part::Borrowed(bytes)),
        }
    }

    /// Appends a copy of a few bytes.
    #[inline(always)]
    pub(crate) fn copied(self, bytes: &[u8]) -> Body<'a> {
        if bytes.len() > Part::SHORT_BYTES_MAX {
            return self.owned(bytes.to_vec());
        }
        let mut short = [0; Part::SHORT_BYTES_MAX];
        short[..bytes.len()].copy_from_slice(bytes);
        self.with(Part::Short(short, bytes.len() as u8))
    }

    /// Appends bytes made for the purpose.
    pub(crate) fn owned(self, bytes: Vec<u8>) -> Body<'a> {
        self.with(Part::Owned(bytes))
    }

    /// Appends a part.
    #[inline(always)]
    fn with(self, last: Part<'a>) -> Body<'a> {
        match self {
            Body::Empty => Body::One(last),
            Body::One(first) => Body::Several(smallvec![first, last]),
            Body::Several(mut parts) => {
                parts.push(last);
                Body::Several(parts)
            }
        }
    }

    /// All parts, for [`Entry::allocate`].
    pub(crate) fn slices(&self) -> impl Iterator<Item = &[u8]> + Clone {
        let parts = match self {
            Body::Empty => &[],
            Body::One(only) => slice::from_ref(only),
            Body::Several(parts) => &parts[..],
        };
        parts.iter().map(Part::bytes)
    }

    /// The bytes, if they are of one part.
    #[inline(always)]
    pub(crate) fn of_one_part(&self) -> Option<&[u8]> {
        match self {
            Body::One(only) => Some(only.bytes()),
            Body::Empty | Body::Several(_) => None,
        }
    }
}

/// How a value relates to the one it replaces.
#[derive(Debug)]
pub(crate) enum Origin {
    /// It shares nothing: the old value goes as a whole. The delta owns what was made for it.
    New(Delta),
    /// It shares all but the delta's blocks with the old value.
    Derived(Delta),
}

/// The value of `entry`, when its key changes only in what stands beside the value. A tree is
/// shared, not copied.
pub fn same_value(entry: Entry<'_>) -> NewValue<'_> {
    NewValue {
        kind: entry.kind(),
        form: entry.form(),
        body: Body::default().borrowed(entry.value_bytes()),
        origin: Origin::Derived(Delta::default()),
    }
}

/// A value equal to that of `entry` which shares nothing with it: what COPY needs.
pub fn deep_copy(entry: Entry<'_>) -> NewValue<'_> {
    match entry.form() {
        Form::Tree => copy_of_tree(entry),
        Form::Handle => json::of_large(Version::of(entry).document().clone()),
        Form::Apart => string::bytes(LongRef::of(entry).bytes()),
        form @ (Form::Plain | Form::Raw | Form::Text) => {
            let body = Body::default().borrowed(entry.value_bytes());
            NewValue::flat(entry.kind(), form, body)
        }
    }
}

fn copy_of_tree(entry: Entry<'_>) -> NewValue<'_> {
    let tag = entry.value_bytes()[0];
    let copy = match entry.kind() {
        Kind::Hash => tree::Builder::with(Tree::<2>::of(entry)).finish().finish(),
        Kind::String => {
            let old = tree::Chunks::of(entry);
            let mut edit = tree::ChunksEdit::new();
            old.range(0..old.len()).for_each(|piece| edit.append(piece));
            edit.finish()
        }
        _ => tree::Builder::with(Tree::<1>::of(entry)).finish().finish(),
    };
    let (root, delta) = copy.expect("an entry's tree has elements");
    of_tree(entry.kind(), tag, root, Origin::New(delta))
}

/// A hint that these elements of a hash or set will be wanted soon.
pub(crate) fn prefetch_elements<'k>(
    entry: Entry<'_>,
    elements: impl Iterator<Item = &'k [u8]>,
    is_to_change: bool,
) {
    if entry.is_record() && matches!(entry.kind(), Kind::Hash | Kind::Set) {
        tree::prefetch(entry, elements, is_to_change);
    }
}

/// Retires everything that hangs on an entry which was replaced or removed as a whole. The
/// entry's own block stays the caller's.
///
/// New guards must not be able to reach `entry` any more.
#[inline]
pub(crate) fn drop_value(entry: Entry<'_>, guard: &Guard) {
    if !entry.is_flat() {
        drop_beside(entry, guard);
    }
}

#[inline(never)]
fn drop_beside(entry: Entry<'_>, guard: &Guard) {
    match entry.form() {
        Form::Plain | Form::Raw | Form::Text => {}
        // SAFETY: the entry is unreachable and goes once, and its tree with it.
        Form::Tree => unsafe { tree::retire_tree(entry, guard) },
        // SAFETY: likewise.
        Form::Handle => unsafe { Handle::of(entry).retire(guard) },
        // SAFETY: likewise.
        Form::Apart => unsafe { Record::of(entry).retire(guard) },
    }
}

/// The bytes of memory a key takes, all that hangs on its entry included.
pub fn memory_bytes(entry: Entry<'_>) -> usize {
    let beside = match entry.form() {
        Form::Tree => tree::memory_bytes(entry),
        Form::Handle => Version::of(entry).document().memory_bytes(),
        Form::Apart => Record::of(entry).memory_bytes(),
        Form::Plain | Form::Raw | Form::Text => 0,
    };
    entry.memory_bytes() + beside
}

/// Of these, what belongs to the entry alone, and so is the same for as long as it is there: all
/// but what versions of a value share.
#[inline(always)]
pub(crate) fn own_memory_bytes(entry: Entry<'_>) -> usize {
    match entry.is_record() && entry.is(Kind::String) {
        true => own_memory_bytes_of_record(entry),
        false => entry.memory_bytes(),
    }
}

#[inline(never)]
fn own_memory_bytes_of_record(entry: Entry<'_>) -> usize {
    match entry.form() {
        Form::Apart => memory_bytes(entry),
        _ => entry.memory_bytes(),
    }
}

/// A collection that is a tree. The record's tag says what Redis would call its encoding, and so
/// stands where the packed form says it.
fn of_tree<'a>(kind: Kind, tag: u8, root: tree::Root, origin: Origin) -> NewValue<'a> {
    NewValue {
        kind,
        form: Form::Tree,
        body: Body::default().copied(&root.to_record(tag)),
        origin,
    }
}

/// What Redis would call the encoding of the value.
pub fn object_encoding(entry: Entry<'_>) -> Encoding {
    match entry.kind() {
        Kind::String => string::encoding(entry),
        Kind::Hash => hash::encoding(entry),
        Kind::Set => set::encoding(entry),
        Kind::List => Encoding::Quicklist,
        Kind::Zset => Encoding::Skiplist,
        Kind::Stream => Encoding::Stream,
        Kind::Json => Encoding::Json,
    }
}

/// The entry, if it is of `kind`.
#[inline]
fn of_kind(entry: Entry<'_>, kind: Kind) -> Result<Entry<'_>, Error> {
    if entry.is(kind) {
        Ok(entry)
    } else {
        Err(Error::WrongType)
    }
}
