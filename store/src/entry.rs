//! One allocation per key: header, optional parts, key, value.
//!
//! ```text
//!  0        8            10       11        12        16
//!  +--------+------------+--------+---------+---------+-----------------------------------+
//!  | version| value      | key    | shape   | usage   | [expiry 6][token 8][flags 4]      |
//!  | 8      | bytes 2    | bytes 1| 1       | 4       | [key bytes 4][value bytes 4]      |
//!  |        |            |        |         |         | key value                         |
//!  +--------+------------+--------+---------+---------+-----------------------------------+
//! ```
//!
//! - `shape`: the [`Kind`] (3 bits), the [`Form`] (2), and which optional parts are there (3).
//! - `expiry` has 48 bits, enough for the next 8900 years; all ones say that a full one stands in
//!   the 8 bytes behind it.
//! - `key bytes` 255 and `value bytes` 65535 say that the real length stands in an optional part.
//! - `usage` is all that ever changes: when the entry was last used and what eviction goes by; see
//!   `usage`. Memcached's *stale* and *win sent* stand there, too, and do not change.
//!
//! Everything else is immutable from publication to reclamation. That is what makes a read
//! free of copies and locks: an entry seen under a guard stays whole until the guard ends.

use std::fmt;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::arena::{self, Mobility, Slot};
use crate::eviction;
use crate::long;
use crate::memory::Block;
use crate::reclaim::Guard;
use crate::shadow;
use crate::usage::{self, Present, Usage};

/// The types a key can have, in the order SCAN and TYPE know them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Bytes, also numbers and bitmaps.
    String = 0,
    /// A sequence.
    List = 1,
    /// Members without order.
    Set = 2,
    /// Members ordered by score.
    Zset = 3,
    /// Fields with values.
    Hash = 4,
    /// An append-only log with consumer groups.
    Stream = 5,
    /// A JSON document.
    Json = 6,
}

const KINDS: [Kind; 7] = [
    Kind::String,
    Kind::List,
    Kind::Set,
    Kind::Zset,
    Kind::Hash,
    Kind::Stream,
    Kind::Json,
];

/// How the value's bytes in the entry are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Form {
    /// The value itself: a string's bytes, a packed collection, a packed document.
    Plain = 0,
    /// As `Plain`, for a string that was changed in place: OBJECT ENCODING says raw.
    Raw = 1,
    /// A tree's root record, see `tree`.
    Tree = 2,
    /// The address of a version of a large document, see `document`.
    Handle = 3,
    /// As `Plain`, for a string that is never an integer to OBJECT ENCODING, whatever its digits
    /// say. Stored as `Handle`, which no string has.
    Text = 4,
    /// The record of a long string, see `long`. Stored as `Tree`, whose record is longer.
    Apart = 5,
}

impl Form {
    fn bits(self) -> u8 {
        match self {
            Form::Text => Form::Handle as u8,
            Form::Apart => Form::Tree as u8,
            form => form as u8,
        }
    }
}

const FORMS: [Form; 4] = [Form::Plain, Form::Raw, Form::Tree, Form::Handle];

// The parts of a header's shape: the value's kind, its form, and which optional parts there are.
const KIND: u8 = 0b111;
const FORM: u8 = 0b11 << FORM_SHIFT;
const FORM_SHIFT: u32 = 3;
const HAS_EXPIRY: u8 = 1 << 5;
const HAS_TOKEN: u8 = 1 << 6;
const HAS_FLAGS: u8 = 1 << 7;
const OPTIONAL: u8 = HAS_EXPIRY | HAS_TOKEN | HAS_FLAGS;
const KEY_BYTES_ESCAPE: u8 = u8::MAX;
const VALUE_BYTES_ESCAPE: u16 = u16::MAX;
const HEADER_BYTES: usize = 16;
const EXPIRY_BYTES: usize = 6;
const EXPIRY_ESCAPE: u64 = (1 << (8 * EXPIRY_BYTES)) - 1;
/// All optional parts together.
const OPTIONAL_BYTES_MAX: usize = EXPIRY_BYTES + 8 + 8 + 4 + 4 + 4;

/// The longest value an entry can hold, in bytes.
pub const VALUE_BYTES_MAX: usize = (1 << 30) - 1;

/// Blocks of entries start at multiples of four, so that the version is kept as bytes.
#[repr(C)]
struct Header {
    version: [u8; 8],
    value_bytes: u16,
    key_bytes: u8,
    shape: u8,
    usage: AtomicU32,
}

const _: () = assert!(size_of::<Header>() == HEADER_BYTES);
// So that the expiry of whatever a slot holds can be looked at.
const _: () = assert!(HEADER_BYTES + EXPIRY_BYTES <= arena::BYTES_MIN);
const _: () = assert!(align_of::<Header>() == Mobility::Movable.align());

/// The shape of a value without optional parts.
#[inline(always)]
fn shape_of(kind: Kind, form: Form) -> u8 {
    kind as u8 | form.bits() << FORM_SHIFT
}

impl Header {
    /// Begins an entry with it, in a block that nobody else knows; returns where that starts.
    #[inline(always)]
    fn put_into(self, block: Block) -> NonNull<u8> {
        let start = block.start();
        shadow::written(start, HEADER_BYTES);
        // SAFETY: the block is ours, aligned to 4, and at least a header long, as all that are made
        // for entries.
        unsafe { start.cast::<Header>().write(self) };
        start
    }

    /// The value's form, as [`Form::bits`] has it.
    #[inline(always)]
    fn form_bits(&self) -> u8 {
        (self.shape & FORM) >> FORM_SHIFT
    }

    /// Whether the key follows at once: no optional part stands in between.
    #[inline(always)]
    fn is_plain(&self) -> bool {
        self.shape < HAS_EXPIRY
            && self.key_bytes != KEY_BYTES_ESCAPE
            && self.value_bytes != VALUE_BYTES_ESCAPE
    }

    /// Whether it is plain, and the key so long.
    #[inline(always)]
    fn is_plain_with(&self, key_bytes: usize) -> bool {
        const PARTS: u16 = (OPTIONAL as u16) << 8;
        // One comparison for both: no part is set where the key is as long.
        let of_key = (u16::from(self.shape) << 8 | u16::from(self.key_bytes)) & (PARTS | 0xFF);
        usize::from(of_key) == key_bytes
            && key_bytes < usize::from(KEY_BYTES_ESCAPE)
            && self.value_bytes != VALUE_BYTES_ESCAPE
    }
}

const _: () = assert!(HAS_EXPIRY < HAS_TOKEN && HAS_TOKEN < HAS_FLAGS);

/// What an entry says beside its key and value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// When the key is gone, in milliseconds since 1970; none: never.
    pub expires_at_ms: Option<u64>,
    /// Memcached's client flags; 0 for what RESP wrote.
    pub client_flags: u32,
    /// Memcached's token where it is not the version.
    pub token: Option<u64>,
    /// Memcached's meta commands called the value stale.
    pub stale: bool,
    /// A client was told to recache the value.
    pub win_sent: bool,
}

impl Meta {
    /// Whether it says nothing at all.
    #[inline(always)]
    pub(crate) fn says_nothing(&self) -> bool {
        self.is_plain() && !(self.stale | self.win_sent)
    }

    /// Whether an entry with this has no optional part for it.
    fn is_plain(&self) -> bool {
        self.expires_at_ms.is_none() && self.token.is_none() && self.client_flags == 0
    }
}

/// Puts the optional parts of an entry with a key and a value of these lengths together: what its
/// shape says of them, and their length.
#[inline(never)]
fn put_optional(
    optional: &mut [u8; OPTIONAL_BYTES_MAX],
    meta: &Meta,
    (key_bytes, value_bytes): (usize, usize),
) -> (u8, usize) {
    let mut shape = 0;
    let mut used = 0;
    let mut put = |bytes: &[u8]| {
        optional[used..used + bytes.len()].copy_from_slice(bytes);
        used += bytes.len();
    };
    if let Some(at_ms) = meta.expires_at_ms {
        shape |= HAS_EXPIRY;
        put(&at_ms.min(EXPIRY_ESCAPE).to_le_bytes()[..EXPIRY_BYTES]);
        if at_ms >= EXPIRY_ESCAPE {
            put(&at_ms.to_ne_bytes());
        }
    }
    if let Some(token) = meta.token {
        shape |= HAS_TOKEN;
        put(&token.to_ne_bytes());
    }
    if meta.client_flags != 0 {
        shape |= HAS_FLAGS;
        put(&meta.client_flags.to_ne_bytes());
    }
    if key_bytes >= KEY_BYTES_ESCAPE as usize {
        put(&u32::try_from(key_bytes)
            .expect("keys are limited")
            .to_ne_bytes());
    }
    if value_bytes >= VALUE_BYTES_ESCAPE as usize {
        put(&(value_bytes as u32).to_ne_bytes());
    }
    (shape, used)
}

/// Whether two keys are equal. Most are a few words long: comparing those here is faster than
/// calling what is best for long ones.
#[inline(always)]
fn is_same(one: &[u8], other: &[u8]) -> bool {
    const WORD: usize = size_of::<u64>();
    const WORDS_MAX: usize = 8 * WORD;
    if one.len() != other.len() {
        return false;
    }
    if (WORD..=2 * WORD).contains(&one.len()) {
        // All of it, without a branch for each word: the two may overlap.
        let word_at = |bytes: &[u8], at: usize| {
            let word = bytes[at..at + WORD].try_into();
            u64::from_ne_bytes(word.expect("eight bytes"))
        };
        let differing = |at| word_at(one, at) ^ word_at(other, at);
        return differing(0) | differing(one.len() - WORD) == 0;
    }
    let (Some(last), Some(other_last)) = (one.last_chunk::<WORD>(), other.last_chunk::<WORD>())
    else {
        return one == other;
    };
    if one.len() > WORDS_MAX {
        return one == other;
    }
    // The last words overlap the ones before, unless they follow them.
    let (words, _) = one[..one.len() - 1].as_chunks::<WORD>();
    let (other_words, _) = other[..one.len() - 1].as_chunks::<WORD>();
    let are_same = |(one, other): (&[u8; WORD], &[u8; WORD])| one == other;
    last == other_last && words.iter().zip(other_words).all(are_same)
}

/// Copies bytes to where there is room for them. Most are few: those are copied here, by two moves
/// that may overlap.
///
/// # Safety
/// There is, and the two do not overlap.
#[inline(always)]
unsafe fn copy(from: &[u8], to: *mut u8) {
    let copied = match from.len() {
        // SAFETY: passed on to the caller.
        16..=32 => unsafe { copy_ends::<16>(from, to) },
        // SAFETY: there is room for `from`, as the caller of this function sees to.
        8..16 => unsafe { copy_ends::<8>(from, to) },
        // SAFETY: there is room for `from`, as the caller of this function sees to.
        4..8 => unsafe { copy_ends::<4>(from, to) },
        _ => false,
    };
    if !copied {
        // SAFETY: passed on to the caller.
        unsafe { to.copy_from_nonoverlapping(from.as_ptr(), from.len()) };
    }
}

/// Copies the first and the last so many bytes, if there are as many.
///
/// # Safety
/// As for [`copy`].
#[inline(always)]
unsafe fn copy_ends<const BYTES: usize>(from: &[u8], to: *mut u8) -> bool {
    let (Some(first), Some(last)) = (from.first_chunk::<BYTES>(), from.last_chunk::<BYTES>())
    else {
        return false;
    };
    // SAFETY: passed on to the caller.
    unsafe { to.cast::<[u8; BYTES]>().write(*first) };
    // SAFETY: the last bytes of the room.
    let end = unsafe { to.add(from.len() - BYTES) };
    // SAFETY: the room ends that many bytes after `end`.
    unsafe { end.cast::<[u8; BYTES]>().write(*last) };
    true
}

/// A key with its value, as it was at one moment; valid as long as the guard it was read under.
#[derive(Clone, Copy)]
pub struct Entry<'g> {
    /// Invariant: the start of a block laid out as above, live or retired under `'g`.
    start: NonNull<Header>,
    _guard: PhantomData<&'g Guard>,
}

impl fmt::Debug for Entry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("key", &String::from_utf8_lossy(self.key()))
            .field("kind", &self.kind())
            .field("version", &self.version())
            .finish_non_exhaustive()
    }
}

impl<'g> Entry<'g> {
    /// Builds an entry in a block of its own. The value is the concatenation of `value`.
    #[inline]
    pub(crate) fn allocate<'v>(
        version: u64,
        key: &[u8],
        (kind, form): (Kind, Form),
        value: impl Iterator<Item = &'v [u8]> + Clone,
        meta: &Meta,
        usage: Usage,
    ) -> Entry<'g> {
        let value_bytes: usize = value.clone().map(<[u8]>::len).sum();
        assert!(value_bytes <= VALUE_BYTES_MAX, "the callers limit values");
        let key_escapes = key.len() >= KEY_BYTES_ESCAPE as usize;
        let value_escapes = value_bytes >= VALUE_BYTES_ESCAPE as usize;
        let mut shape = shape_of(kind, form);
        let mut optional = [0u8; OPTIONAL_BYTES_MAX];
        let mut used = 0;
        if !meta.is_plain() || key_escapes || value_escapes {
            let lengths = (key.len(), value_bytes);
            let parts;
            (parts, used) = put_optional(&mut optional, meta, lengths);
            shape |= parts;
        }
        let header = Header {
            version: version.to_ne_bytes(),
            value_bytes: if value_escapes {
                VALUE_BYTES_ESCAPE
            } else {
                value_bytes as u16
            },
            key_bytes: if key_escapes {
                KEY_BYTES_ESCAPE
            } else {
                key.len() as u8
            },
            shape,
            usage: AtomicU32::new(usage.with_meta(meta).bits()),
        };
        let block = Block::recycle_movable(HEADER_BYTES + used + key.len() + value_bytes);
        let start = header.put_into(block);
        let mut at = HEADER_BYTES;
        let mut append = |part: &[u8]| {
            // SAFETY: the block's length is the sum of these parts.
            let target = unsafe { start.as_ptr().add(at) };
            // SAFETY: the part lies outside the fresh block and fits, as above.
            unsafe { copy(part, target) };
            at += part.len();
        };
        if used > 0 {
            append(&optional[..used]);
        }
        append(key);
        value.for_each(append);
        Entry {
            start: start.cast(),
            _guard: PhantomData,
        }
    }

    /// As [`Entry::allocate`], where all stands in a header, the key, and a value of one piece;
    /// none where it does not.
    // Inlined: short of what others need.
    #[inline(always)]
    pub(crate) fn allocate_plain(
        version: u64,
        key: &[u8],
        (kind, form): (Kind, Form),
        value: &[u8],
        usage: Usage,
    ) -> Option<Entry<'g>> {
        let is_plain =
            key.len() < KEY_BYTES_ESCAPE as usize && value.len() < VALUE_BYTES_ESCAPE as usize;
        if !is_plain {
            return None;
        }
        let header = Header {
            version: version.to_ne_bytes(),
            value_bytes: value.len() as u16,
            key_bytes: key.len() as u8,
            shape: shape_of(kind, form),
            usage: AtomicU32::new(usage.bits()),
        };
        let block = Block::recycle_movable(HEADER_BYTES + key.len() + value.len());
        let start = header.put_into(block);
        // SAFETY: the block is as long as header, key and value are together.
        let key_start = unsafe { start.as_ptr().add(HEADER_BYTES) };
        // SAFETY: the key lies outside the fresh block and fits, as above.
        unsafe { copy(key, key_start) };
        // SAFETY: the value follows the key in the block, which is as long as all three.
        let value_start = unsafe { key_start.add(key.len()) };
        // SAFETY: the value lies outside the fresh block and fits behind the key.
        unsafe { copy(value, value_start) };
        Some(Entry {
            start: start.cast(),
            _guard: PhantomData,
        })
    }

    /// The entry at an address.
    ///
    /// # Safety
    /// `address` came from [`Entry::address`] of an entry that is live or was retired while the
    /// guard of `'g` existed.
    pub(crate) unsafe fn from_address(address: NonNull<()>) -> Entry<'g> {
        Entry {
            start: address.cast(),
            _guard: PhantomData,
        }
    }

    pub(crate) fn address(self) -> NonNull<()> {
        self.start.cast()
    }

    fn header(self) -> &'g Header {
        // SAFETY: the invariant of `start`; only `usage` changes, which is atomic.
        unsafe { self.start.as_ref() }
    }

    /// `count` bytes from `offset`.
    fn bytes(self, offset: usize, count: usize) -> &'g [u8] {
        debug_assert!(offset + count <= self.block().bytes());
        // SAFETY: the header describes a block that reaches at least that far.
        let start = unsafe { self.start.cast::<u8>().add(offset) };
        // SAFETY: inside the block, initialised at allocation, immutable under `'g`.
        unsafe { std::slice::from_raw_parts(start.as_ptr(), count) }
    }

    fn has(self, part: u8) -> bool {
        self.header().shape & part != 0
    }

    fn word_at(self, offset: usize) -> u64 {
        u64::from_ne_bytes(self.bytes(offset, 8).try_into().expect("eight bytes"))
    }

    fn half_word_at(self, offset: usize) -> u32 {
        u32::from_ne_bytes(self.bytes(offset, 4).try_into().expect("four bytes"))
    }

    /// Where the optional parts end, and how long the key and the value behind them are.
    #[inline(always)]
    fn spans(self) -> (usize, usize, usize) {
        shadow::read(self.start.cast(), HEADER_BYTES);
        self.spans_of_any()
    }

    /// As [`Entry::spans`], also of what may have been freed.
    #[inline(always)]
    fn spans_of_any(self) -> (usize, usize, usize) {
        let header = self.header();
        match header.is_plain() {
            true => (
                HEADER_BYTES,
                usize::from(header.key_bytes),
                usize::from(header.value_bytes),
            ),
            false => self.spans_behind_parts(),
        }
    }

    #[inline(never)]
    fn spans_behind_parts(self) -> (usize, usize, usize) {
        let header = self.header();
        let mut at = self.lengths_at();
        let mut key_bytes = usize::from(header.key_bytes);
        if header.key_bytes == KEY_BYTES_ESCAPE {
            key_bytes = self.length_at(at);
            at += 4;
        }
        let mut value_bytes = usize::from(header.value_bytes);
        if header.value_bytes == VALUE_BYTES_ESCAPE {
            value_bytes = self.length_at(at);
            at += 4;
        }
        (at, key_bytes, value_bytes)
    }

    /// The expiry's 48 bits, of an entry that has one.
    fn expiry_bits(self) -> u64 {
        // SAFETY: the optional parts begin with it.
        let at = unsafe { self.start.cast::<u8>().add(HEADER_BYTES) };
        // SAFETY: inside the block, initialised at allocation, immutable under `'g`.
        let bytes = unsafe { at.cast::<[u8; EXPIRY_BYTES]>().read() };
        let [a, b, c, d, e, f] = bytes;
        u64::from_le_bytes([a, b, c, d, e, f, 0, 0])
    }

    fn expiry(self) -> u64 {
        match self.expiry_bits() {
            EXPIRY_ESCAPE => self.word_at(HEADER_BYTES + EXPIRY_BYTES),
            at_ms => at_ms,
        }
    }

    /// Where the parts behind the expiry begin.
    fn token_at(self) -> usize {
        if !self.has(HAS_EXPIRY) {
            return HEADER_BYTES;
        }
        let is_long = self.expiry_bits() == EXPIRY_ESCAPE;
        HEADER_BYTES + EXPIRY_BYTES + 8 * usize::from(is_long)
    }

    /// Where escaped lengths begin.
    fn lengths_at(self) -> usize {
        if !self.has(OPTIONAL) {
            return HEADER_BYTES;
        }
        let token_bytes = 8 * usize::from(self.has(HAS_TOKEN));
        self.token_at() + token_bytes + 4 * usize::from(self.has(HAS_FLAGS))
    }

    /// An escaped length. It is not behind `bytes`, whose check would ask for it again.
    fn length_at(self, offset: usize) -> usize {
        // SAFETY: an escape says that there is such an optional part.
        let length = unsafe { self.start.cast::<u8>().add(offset).cast::<u32>() };
        // SAFETY: four initialised bytes, of any alignment.
        (unsafe { length.read_unaligned() }) as usize
    }

    /// Whether its key is `key`.
    #[inline(always)]
    pub(crate) fn has_key(self, key: &[u8]) -> bool {
        shadow::read(self.start.cast(), HEADER_BYTES);
        let header = self.header();
        match header.is_plain_with(key.len()) {
            true => is_same(self.key_at(HEADER_BYTES, key.len()), key),
            false => !header.is_plain() && self.has_key_behind_parts(key),
        }
    }

    #[inline(never)]
    fn has_key_behind_parts(self, key: &[u8]) -> bool {
        is_same(self.key(), key)
    }

    /// The key.
    #[inline]
    pub fn key(self) -> &'g [u8] {
        let (at, bytes, _) = self.spans();
        self.key_at(at, bytes)
    }

    #[inline(always)]
    fn key_at(self, at: usize, bytes: usize) -> &'g [u8] {
        // SAFETY: the key lies inside the block, behind the optional parts.
        let start = unsafe { self.start.cast::<u8>().add(at) };
        // SAFETY: initialised at allocation, immutable under `'g`.
        unsafe { std::slice::from_raw_parts(start.as_ptr(), bytes) }
    }

    /// The value's bytes as they stand in the entry; what they mean depends on the form.
    #[inline]
    pub(crate) fn value_bytes(self) -> &'g [u8] {
        let (key_at, key_bytes, value_bytes) = self.spans();
        self.bytes(key_at + key_bytes, value_bytes)
    }

    /// Whether the value has a type.
    #[inline]
    pub(crate) fn is(self, kind: Kind) -> bool {
        self.header().shape & KIND == kind as u8
    }

    /// The type of the value.
    #[inline]
    pub fn kind(self) -> Kind {
        KINDS[usize::from(self.header().shape & KIND)]
    }

    #[inline]
    pub(crate) fn form(self) -> Form {
        match FORMS[usize::from(self.header().form_bits())] {
            Form::Handle if self.kind() == Kind::String => Form::Text,
            Form::Tree if usize::from(self.header().value_bytes) == long::RECORD_BYTES => {
                Form::Apart
            }
            form => form,
        }
    }

    /// Whether the value is the record of something beside it: of a tree, or of a long string.
    #[inline]
    pub(crate) fn is_record(self) -> bool {
        self.header().form_bits() == Form::Tree as u8
    }

    /// Whether all of the value stands here for sure: what has another form may do so, too.
    #[inline]
    pub(crate) fn is_flat(self) -> bool {
        self.header().form_bits() <= Form::Raw as u8
    }

    /// Rises with every change of the key and never repeats, even after removal.
    pub fn version(self) -> u64 {
        shadow::read(self.start.cast(), HEADER_BYTES);
        u64::from_ne_bytes(self.header().version)
    }

    /// Memcached's CAS token: the version, unless something that keeps tokens changed the entry.
    pub fn token(self) -> u64 {
        if !self.has(HAS_TOKEN) {
            return self.version();
        }
        self.word_at(self.token_at())
    }

    /// When the key is gone, in milliseconds since 1970.
    pub fn expires_at_ms(self) -> Option<u64> {
        self.has(HAS_EXPIRY).then(|| self.expiry())
    }

    /// Whether it has an expiry.
    pub(crate) fn expires(self) -> bool {
        self.has(HAS_EXPIRY)
    }

    /// Whether the key is gone at `now_ms`.
    pub fn is_expired(self, now_ms: u64) -> bool {
        self.has(HAS_EXPIRY) && self.expiry() <= now_ms
    }

    /// Memcached's client flags.
    pub fn client_flags(self) -> u32 {
        if !self.has(HAS_FLAGS) {
            return 0;
        }
        self.half_word_at(self.token_at() + 8 * usize::from(self.has(HAS_TOKEN)))
    }

    /// All that is said beside key and value, for a successor to keep.
    pub fn meta(self) -> Meta {
        Meta {
            expires_at_ms: self.expires_at_ms(),
            client_flags: self.client_flags(),
            token: self.has(HAS_TOKEN).then(|| self.token()),
            stale: self.usage().is_stale(),
            win_sent: self.usage().is_win_sent(),
        }
    }

    /// How long ago the last use was, in milliseconds, to a tick of 4 s. Wraps after 4.5 hours.
    pub fn idle_ms(self, now_ms: u64) -> u64 {
        self.usage().idle_ms(now_ms)
    }

    /// Whether the key was read since it was written.
    pub fn was_fetched(self) -> bool {
        self.usage().is_fetched()
    }

    /// Takes over when and how often `other` was used: this is the same value still.
    pub fn take_over_use(self, other: Entry<'_>) {
        let usage = self.usage();
        self.swap_usage(usage, usage.with_use_of(other.usage()));
    }

    /// What changes in an entry, as it is now.
    pub(crate) fn usage(self) -> Usage {
        Usage::from_bits(self.header().usage.load(Ordering::Relaxed))
    }

    /// Changes that if it still is `old`: whoever changes it otherwise goes first.
    pub(crate) fn swap_usage(self, old: Usage, new: Usage) -> bool {
        let order = Ordering::Relaxed;
        let usage = &self.header().usage;
        old == new
            || usage
                .compare_exchange(old.bits(), new.bits(), order, order)
                .is_ok()
    }

    /// Takes the entry for one that eviction knows no more; whether it stood in the small queue.
    pub(crate) fn leave_small_queue(self) -> bool {
        let before = self
            .header()
            .usage
            .fetch_and(!usage::SMALL, Ordering::Relaxed);
        before & usage::SMALL != 0
    }

    /// Gives an entry a higher version.
    ///
    /// # Safety
    /// No other thread knows the entry yet, except through a descriptor that does not count.
    pub(crate) unsafe fn raise_version(self, version: u64) {
        debug_assert!(version >= self.version());
        shadow::written(self.start.cast(), 8);
        // SAFETY: the header's first word, in a block that was allocated for writing.
        unsafe { self.start.cast::<u64>().write_unaligned(version) };
    }

    /// Notes a read; writes only when something changes. Whoever changes it meanwhile goes first.
    #[inline(never)]
    pub(crate) fn touch(self, now: Present) {
        let usage = self.usage();
        self.swap_usage(usage, usage.read(now));
    }

    /// Notes that one more write has made the entry what it is.
    pub(crate) fn rewrite(self, now: Present) {
        let usage = self.usage();
        self.swap_usage(usage, usage.rewritten(now));
    }

    /// The block the entry fills.
    #[inline]
    pub(crate) fn block(self) -> Block {
        let (key_at, key_bytes, value_bytes) = self.spans();
        let bytes = key_at + key_bytes + value_bytes;
        // SAFETY: `allocate` asked for exactly the sum of the parts.
        unsafe { Block::from_parts(self.start.cast(), bytes, Mobility::Movable) }
    }

    /// What is the key of the entry in a slot, if there is one: what an earlier block left there
    /// can look like one.
    pub(crate) fn key_in(slot: Slot<'g>) -> Option<&'g [u8]> {
        let entry = Entry {
            start: slot.start().cast(),
            _guard: PhantomData,
        };
        // What says how long it is must be in the slot before it is asked.
        let header = entry.header();
        let escapes = usize::from(header.key_bytes == KEY_BYTES_ESCAPE)
            + usize::from(header.value_bytes == VALUE_BYTES_ESCAPE);
        let fits = entry.lengths_at() + 4 * escapes <= slot.bytes();
        let (key_at, key_bytes, value_bytes) = fits.then(|| entry.spans_of_any())?;
        let fits = key_at + key_bytes + value_bytes <= slot.bytes();
        fits.then(|| entry.key_at(key_at, key_bytes))
    }

    /// The same string with another text of the same length as its value, and all that is said
    /// beside it but a token; none where it is no such string.
    #[inline(always)]
    pub(crate) fn respelled(self, version: u64, text: &[u8], usage: Usage) -> Option<Entry<'g>> {
        let header = self.header();
        let (key_at, key_bytes, value_bytes) = self.spans();
        let is_text = self.is(Kind::String) && header.form_bits() != Form::Tree as u8;
        if !is_text || self.has(HAS_TOKEN) || text.len() != value_bytes {
            return None;
        }
        let value_at = key_at + key_bytes;
        let respelled = Header {
            version: version.to_ne_bytes(),
            value_bytes: header.value_bytes,
            key_bytes: header.key_bytes,
            shape: header.shape & OPTIONAL | shape_of(Kind::String, Form::Plain),
            usage: AtomicU32::new(usage.bits()),
        };
        let start = respelled.put_into(Block::recycle_movable(value_at + value_bytes));
        let rest = self.bytes(HEADER_BYTES, value_at - HEADER_BYTES);
        // SAFETY: the block is as long as this entry's.
        let rest_start = unsafe { start.as_ptr().add(HEADER_BYTES) };
        // SAFETY: what stands before the value fits, in a block that is new.
        unsafe { copy(rest, rest_start) };
        // SAFETY: the value's place is inside the block, which is as long as this entry's.
        let value_start = unsafe { start.as_ptr().add(value_at) };
        // SAFETY: the text is as long as what stands there in this entry.
        unsafe { copy(text, value_start) };
        Some(Entry {
            start: start.cast(),
            _guard: PhantomData,
        })
    }

    /// The same entry elsewhere, to take this one's place in its slot.
    pub(crate) fn copied(self) -> Entry<'g> {
        let bytes = self.block().bytes();
        let header = self.header();
        let copy = Header {
            version: header.version,
            value_bytes: header.value_bytes,
            key_bytes: header.key_bytes,
            shape: header.shape,
            usage: AtomicU32::new(self.usage().bits()),
        };
        let start = copy.put_into(Block::allocate_movable(bytes));
        let rest = self.bytes(HEADER_BYTES, bytes - HEADER_BYTES);
        // SAFETY: the block is as long as the entry.
        let target = unsafe { start.as_ptr().add(HEADER_BYTES) };
        // SAFETY: the rest fits behind the header of a block that is new.
        unsafe { target.copy_from_nonoverlapping(rest.as_ptr(), rest.len()) };
        let copy = Entry {
            start: start.cast(),
            _guard: PhantomData,
        };
        eviction::count_small(copy.usage().is_small().then_some(copy), None);
        copy
    }

    /// The bytes of memory the entry itself takes, without tree or document behind it.
    #[inline]
    pub fn memory_bytes(self) -> usize {
        self.block().usable_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reclaim::pin;

    #[test]
    fn an_entry_says_what_it_was_made_with() {
        let guard = pin();
        let expiries = [
            0,
            1,
            EXPIRY_ESCAPE - 1,
            EXPIRY_ESCAPE,
            EXPIRY_ESCAPE + 1,
            u64::MAX,
        ];
        let expiries = expiries.map(Some).into_iter().chain([None]);
        let lengths = [0, 254, 255, 70_000];
        for expires_at_ms in expiries {
            for (at, token) in [None, Some(7), Some(u64::MAX)].into_iter().enumerate() {
                let meta = Meta {
                    expires_at_ms,
                    client_flags: at as u32,
                    token,
                    ..Meta::default()
                };
                for (key_bytes, value_bytes) in lengths.into_iter().zip(lengths.into_iter().rev()) {
                    check(&meta, &vec![1; key_bytes], &vec![2; value_bytes], &guard);
                }
            }
        }
    }

    fn check(meta: &Meta, key: &[u8], value: &[u8], _guard: &Guard) {
        let value_parts = std::iter::once(value);
        let kind = (Kind::String, Form::Plain);
        let usage = Usage::from_bits(0);
        let entry = Entry::allocate(9, key, kind, value_parts, meta, usage);
        let copy = entry.copied();
        for entry in [entry, copy] {
            assert_eq!((entry.meta(), entry.version()), (*meta, 9));
            assert_eq!((entry.key(), entry.value_bytes()), (key, value));
            let at_ms = meta.expires_at_ms.unwrap_or(u64::MAX);
            assert!(entry.is_expired(at_ms) == meta.expires_at_ms.is_some());
            assert!(at_ms == 0 || !entry.is_expired(at_ms - 1));
            // SAFETY: nobody else knows the entry.
            unsafe { entry.block().free() };
        }
    }
}
