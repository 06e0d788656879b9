//! One allocation per key: header, optional parts, key, value.
//!
//! ```text
//!  0        8            12       13        14        16
//!  +--------+------------+--------+---------+---------+-----------------------------------+
//!  | version| value_bytes| key    | shape   | usage   | [expiry 8][token 8][flags 4]      |
//!  | 8      | 4 + 2 bits | bytes 1| 1       | 2       | [key bytes 4] key value           |
//!  +--------+------------+--------+---------+---------+-----------------------------------+
//! ```
//!
//! - `shape`: the [`Kind`] (3 bits), the [`Form`] (2), and which optional parts are there (3).
//! - `key bytes` 255 says that the real length stands in the optional part.
//! - the two top bits beside the value's length are Memcached's *stale* and *win sent*.
//! - `usage` is all that ever changes: 12 bits of last use in ticks, and what eviction needs
//!   (2 bits frequency, 1 queue, 1 fetched). A lost update there is harmless.
//!
//! Everything else is immutable from publication to reclamation. That is what makes a read
//! free of copies and locks: an entry seen under a guard stays whole until the guard ends.

use std::fmt;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use crate::memory::{self, Block};
use crate::reclaim::Guard;

/// The types a key can have, in the order SCAN and TYPE know them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Bytes, also numbers, bitmaps and HyperLogLogs.
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
    /// The address of a boxed `json::LargeDocument`.
    Handle = 3,
    /// As `Plain`, for a string that is never an integer to OBJECT ENCODING, whatever its digits
    /// say. Stored as `Handle`, which no string has.
    Text = 4,
}

impl Form {
    fn bits(self) -> u8 {
        match self {
            Form::Text => Form::Handle as u8,
            form => form as u8,
        }
    }
}

const FORMS: [Form; 4] = [Form::Plain, Form::Raw, Form::Tree, Form::Handle];

const HAS_EXPIRY: u8 = 1 << 5;
const HAS_TOKEN: u8 = 1 << 6;
const HAS_FLAGS: u8 = 1 << 7;
const KEY_BYTES_ESCAPE: u8 = u8::MAX;
const VALUE_BYTES_MASK: u32 = (1 << 30) - 1;
const STALE: u32 = 1 << 30;
const WIN_SENT: u32 = 1 << 31;
const HEADER_BYTES: usize = 16;

/// The longest value an entry can hold, in bytes.
pub const VALUE_BYTES_MAX: usize = VALUE_BYTES_MASK as usize;

#[repr(C)]
struct Header {
    version: u64,
    value_bytes: u32,
    key_bytes: u8,
    shape: u8,
    usage: AtomicU16,
}

const _: () = assert!(size_of::<Header>() == HEADER_BYTES);

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
    pub(crate) fn allocate(
        version: u64,
        key: &[u8],
        (kind, form): (Kind, Form),
        value: &[&[u8]],
        meta: &Meta,
    ) -> Entry<'g> {
        let value_bytes: usize = value.iter().map(|part| part.len()).sum();
        assert!(value_bytes <= VALUE_BYTES_MAX, "the callers limit values");
        let key_escapes = key.len() >= KEY_BYTES_ESCAPE as usize;
        let mut shape = kind as u8 | form.bits() << 3;
        let mut optional = [0u8; 24];
        let mut used = 0;
        let mut put = |bytes: &[u8]| {
            optional[used..used + bytes.len()].copy_from_slice(bytes);
            used += bytes.len();
        };
        if let Some(at_ms) = meta.expires_at_ms {
            shape |= HAS_EXPIRY;
            put(&at_ms.to_ne_bytes());
        }
        if let Some(token) = meta.token {
            shape |= HAS_TOKEN;
            put(&token.to_ne_bytes());
        }
        if meta.client_flags != 0 {
            shape |= HAS_FLAGS;
            put(&meta.client_flags.to_ne_bytes());
        }
        if key_escapes {
            put(&u32::try_from(key.len())
                .expect("keys are limited")
                .to_ne_bytes());
        }
        let header = Header {
            version,
            value_bytes: value_bytes as u32
                | if meta.stale { STALE } else { 0 }
                | if meta.win_sent { WIN_SENT } else { 0 },
            key_bytes: if key_escapes {
                KEY_BYTES_ESCAPE
            } else {
                key.len() as u8
            },
            shape,
            usage: AtomicU16::new(0),
        };
        let block = Block::allocate_movable(HEADER_BYTES + used + key.len() + value_bytes);
        let start = block.start();
        // SAFETY: the block is ours, aligned to 8, and at least a header long.
        unsafe { start.cast::<Header>().write(header) };
        let mut at = HEADER_BYTES;
        for part in [&optional[..used], key]
            .into_iter()
            .chain(value.iter().copied())
        {
            // SAFETY: the block's length is the sum of these parts.
            let target = unsafe { start.as_ptr().add(at) };
            // SAFETY: the part lies outside the fresh block and fits, as above.
            unsafe { target.copy_from_nonoverlapping(part.as_ptr(), part.len()) };
            at += part.len();
        }
        Entry {
            start: start.cast(),
            _guard: PhantomData,
        }
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

    /// Where the optional parts end, and how long the key behind them is.
    fn key_span(self) -> (usize, usize) {
        let header = self.header();
        let mut at = HEADER_BYTES;
        if header.shape & (HAS_EXPIRY | HAS_TOKEN | HAS_FLAGS) != 0 {
            at += 8 * usize::from(self.has(HAS_EXPIRY)) + 8 * usize::from(self.has(HAS_TOKEN));
            at += 4 * usize::from(self.has(HAS_FLAGS));
        }
        if header.key_bytes != KEY_BYTES_ESCAPE {
            return (at, usize::from(header.key_bytes));
        }
        // The length itself is not behind `bytes`, whose check would ask for it again.
        // SAFETY: an escaped key has its length in the last optional part.
        let length = unsafe { self.start.cast::<u8>().add(at).cast::<u32>() };
        // SAFETY: four initialised bytes, of any alignment.
        (at + 4, unsafe { length.read_unaligned() } as usize)
    }

    /// The key.
    pub fn key(self) -> &'g [u8] {
        let (at, bytes) = self.key_span();
        // SAFETY: the key lies inside the block, behind the optional parts.
        let start = unsafe { self.start.cast::<u8>().add(at) };
        // SAFETY: initialised at allocation, immutable under `'g`.
        unsafe { std::slice::from_raw_parts(start.as_ptr(), bytes) }
    }

    /// The value's bytes as they stand in the entry; what they mean depends on the form.
    pub(crate) fn value_bytes(self) -> &'g [u8] {
        let (key_at, key_bytes) = self.key_span();
        let value_bytes = (self.header().value_bytes & VALUE_BYTES_MASK) as usize;
        self.bytes(key_at + key_bytes, value_bytes)
    }

    /// The type of the value.
    pub fn kind(self) -> Kind {
        KINDS[usize::from(self.header().shape & 0b111)]
    }

    pub(crate) fn form(self) -> Form {
        match FORMS[usize::from(self.header().shape >> 3 & 0b11)] {
            Form::Handle if self.kind() == Kind::String => Form::Text,
            form => form,
        }
    }

    /// Rises with every change of the key and never repeats, even after removal.
    pub fn version(self) -> u64 {
        self.header().version
    }

    /// Memcached's CAS token: the version, unless something that keeps tokens changed the entry.
    pub fn token(self) -> u64 {
        if !self.has(HAS_TOKEN) {
            return self.version();
        }
        self.word_at(HEADER_BYTES + 8 * usize::from(self.has(HAS_EXPIRY)))
    }

    /// When the key is gone, in milliseconds since 1970.
    pub fn expires_at_ms(self) -> Option<u64> {
        self.has(HAS_EXPIRY).then(|| self.word_at(HEADER_BYTES))
    }

    /// Whether the key is gone at `now_ms`.
    pub fn is_expired(self, now_ms: u64) -> bool {
        self.has(HAS_EXPIRY) && self.word_at(HEADER_BYTES) <= now_ms
    }

    /// Memcached's client flags.
    pub fn client_flags(self) -> u32 {
        if !self.has(HAS_FLAGS) {
            return 0;
        }
        let before = usize::from(self.has(HAS_EXPIRY)) + usize::from(self.has(HAS_TOKEN));
        self.half_word_at(HEADER_BYTES + 8 * before)
    }

    /// All that is said beside key and value, for a successor to keep.
    pub fn meta(self) -> Meta {
        Meta {
            expires_at_ms: self.expires_at_ms(),
            client_flags: self.client_flags(),
            token: self.has(HAS_TOKEN).then(|| self.token()),
            stale: self.header().value_bytes & STALE != 0,
            win_sent: self.header().value_bytes & WIN_SENT != 0,
        }
    }

    /// How long ago the last use was, in milliseconds, to a tick of 4 s. Wraps after 4.5 hours.
    pub fn idle_ms(self, now_ms: u64) -> u64 {
        crate::usage::idle_ms(self.usage().load(Ordering::Relaxed), now_ms)
    }

    /// Whether the key was read since it was written.
    pub fn was_fetched(self) -> bool {
        crate::usage::was_fetched(self.usage_bits())
    }

    /// Takes over when and how often `other` was used: this is the same value still.
    pub fn take_over_use(self, other: Entry<'_>) {
        self.set_usage_bits(other.usage_bits());
    }

    /// The last-use and eviction bits, as they are now.
    pub(crate) fn usage_bits(self) -> u16 {
        self.usage().load(Ordering::Relaxed)
    }

    /// Sets the last-use and eviction bits.
    pub(crate) fn set_usage_bits(self, bits: u16) {
        self.usage().store(bits, Ordering::Relaxed);
    }

    /// How often the key was used lately, from 0 to 3.
    pub fn frequency(self) -> u8 {
        crate::usage::frequency(self.usage_bits())
    }

    /// Gives an entry a higher version.
    ///
    /// # Safety
    /// No other thread knows the entry yet, except through a descriptor that does not count.
    pub(crate) unsafe fn raise_version(self, version: u64) {
        debug_assert!(version >= self.version());
        // SAFETY: the header's first word, in a block that was allocated for writing.
        unsafe { self.start.cast::<u64>().write(version) };
    }

    /// The last-use and eviction bits.
    fn usage(self) -> &'g AtomicU16 {
        &self.header().usage
    }

    /// Notes a use at `tick`; writes only when something changes.
    pub(crate) fn touch(self, tick: u16) {
        let usage = self.usage().load(Ordering::Relaxed);
        let touched = crate::usage::touched(usage, tick);
        if touched != usage {
            self.usage().store(touched, Ordering::Relaxed);
        }
    }

    /// The block the entry fills.
    pub(crate) fn block(self) -> Block {
        let (key_at, key_bytes) = self.key_span();
        let value_bytes = (self.header().value_bytes & VALUE_BYTES_MASK) as usize;
        // SAFETY: `allocate` asked for exactly the sum of the parts.
        unsafe { Block::from_parts(self.start.cast(), key_at + key_bytes + value_bytes) }
    }

    /// The same entry elsewhere, to take this one's place in its slot.
    pub(crate) fn copied(self) -> Entry<'g> {
        let bytes = self.block().bytes();
        let start = Block::allocate_movable(bytes).start();
        let header = self.header();
        let copy = Header {
            version: header.version,
            value_bytes: header.value_bytes,
            key_bytes: header.key_bytes,
            shape: header.shape,
            usage: AtomicU16::new(self.usage_bits()),
        };
        // SAFETY: the block is new, aligned to 8, and at least a header long.
        unsafe { start.cast::<Header>().write(copy) };
        let rest = self.bytes(HEADER_BYTES, bytes - HEADER_BYTES);
        // SAFETY: the block is as long as the entry.
        let target = unsafe { start.as_ptr().add(HEADER_BYTES) };
        // SAFETY: the rest fits behind the header of a block that is new.
        unsafe { target.copy_from_nonoverlapping(rest.as_ptr(), rest.len()) };
        Entry {
            start: start.cast(),
            _guard: PhantomData,
        }
    }

    /// The bytes of memory the entry itself takes, without tree or document behind it.
    pub fn memory_bytes(self) -> usize {
        memory::usable_bytes(self.block().bytes())
    }
}
