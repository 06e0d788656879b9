//! How nodes lie in memory: read through slices, written once, then only by the edit that made
//! them.
//!
//! ```text
//! inner: | header 16 | firsts 4·n, to a multiple of 8 | links 8·n | counts 8·n |
//! leaf:  | header 16 | hashes 4·n | ends 2·n (wide: 4·n) | body |
//! chunk: | header 16 | bytes |                        (a leaf without elements, so to say)
//! ```
//!
//! Every node is exactly as long as its content. `firsts` are lower bounds of the children's
//! hashes (the one at 0 is never looked at); `counts` say how many elements are below a child.
//! A leaf's element number `i` is the bytes of the body from `ends[i - 1]` to `ends[i]`; the top
//! bit of an end says that these are not the element but name a block of its own: address and
//! length. Ends are wide in the rare leaf whose body is too long for 15 bits.

use std::ops::Range;
use std::ptr::NonNull;

use crate::arena::Mobility;
use crate::memory::Block;

/// The most children of an inner node.
pub(super) const FANOUT_MAX: usize = 64;
/// An inner node with fewer children is joined with a neighbour if both fit in one.
pub(super) const FANOUT_MIN: usize = 16;
/// A leaf beyond this many bytes is split, if its elements' hashes differ.
pub(super) const LEAF_BYTES_MAX: usize = 1024;
/// A leaf below this many bytes is joined with a neighbour if both fit in one.
pub(super) const LEAF_BYTES_MIN: usize = 256;
/// A longer element has a block of its own, so that changing its neighbours does not copy it.
pub(super) const INLINE_BYTES_MAX: usize = 255;

/// The most bytes of a chunk: with its header, one size class of the allocator.
pub(super) const CHUNK_BYTES: usize = 4096 - HEADER_BYTES;

/// In a link: the node was made by the edit in progress, which alone knows it.
const FRESH: usize = 1;
const HEADER_BYTES: usize = size_of::<Header>();
const OUTSIDE_BYTES: usize = 16;
/// A narrow end has one bit for [`OUTSIDE_NARROW`].
const NARROW_MAX: usize = (1 << 15) - 1;
const OUTSIDE_NARROW: u16 = 1 << 15;
const OUTSIDE_WIDE: u32 = 1 << 31;
const WIDE: u8 = 1;
const HAS_OUTSIDE: u8 = 2;

#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
struct Header {
    bytes: u32,
    len: u32,
    level: u8,
    flags: u8,
}

const _: () = assert!(HEADER_BYTES == 16);

/// A node's address, and whether it is fresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(super) struct Link(NonNull<u8>);

// SAFETY: a link is an address; whoever follows it proves that the node is there.
unsafe impl Send for Link {}

// SAFETY: as above.
unsafe impl Sync for Link {}

impl Link {
    fn fresh(block: Block) -> Link {
        Link(block.start().map_addr(|address| address | FRESH))
    }

    /// The link that [`Link::to_word`] was called on.
    pub(super) fn from_word(word: u64) -> Link {
        let address = std::ptr::with_exposed_provenance_mut(word as usize);
        Link(NonNull::new(address).expect("a root's address"))
    }

    /// The address as a number, for the root record.
    pub(super) fn to_word(self) -> u64 {
        self.0.as_ptr().expose_provenance() as u64
    }

    pub(super) fn is_fresh(self) -> bool {
        self.0.addr().get() & FRESH != 0
    }

    /// The link to a node that is no longer the edit's alone.
    pub(super) fn settled(self) -> Link {
        Link(self.start())
    }

    fn start(self) -> NonNull<u8> {
        // A block's address has its low bits clear and is not zero.
        let address = self.0.as_ptr().map_addr(|address| address & !FRESH);
        NonNull::new(address).expect("a block's address")
    }

    /// # Safety
    /// The node is there.
    unsafe fn header(self) -> Header {
        // SAFETY: every node starts with a header.
        unsafe { self.start().cast::<Header>().read() }
    }

    /// Fetches what a search looks at first: of an inner node the header and the firsts, of a
    /// leaf the header, the hashes and the ends. One by one they would each be a cache miss.
    pub(super) fn prefetch(self) {
        for line in 0..4 {
            prefetch(self.0.as_ptr().wrapping_add(64 * line));
        }
    }

    /// The node.
    ///
    /// # Safety
    /// The node is there and does not change during `'g`.
    pub(super) unsafe fn node<'g>(self) -> Node<'g> {
        // SAFETY: passed on to the caller.
        let header = unsafe { self.header() };
        if header.level == 0 {
            // SAFETY: passed on to the caller.
            Node::Leaf(unsafe { self.leaf(header) })
        } else {
            // SAFETY: passed on to the caller.
            Node::Inner(unsafe { self.inner(header) })
        }
    }

    unsafe fn inner<'g>(self, header: Header) -> Inner<'g> {
        let len = header.len as usize;
        let links_at = links_at(len);
        Inner {
            level: header.level,
            // SAFETY: the layout of an inner node.
            firsts: unsafe { self.slice(HEADER_BYTES, len) },
            // SAFETY: the layout of an inner node.
            links: unsafe { self.slice(links_at, len) },
            // SAFETY: the layout of an inner node.
            counts: unsafe { self.slice(links_at + 8 * len, len) },
        }
    }

    unsafe fn leaf<'g>(self, header: Header) -> Items<'g> {
        let len = header.len as usize;
        let ends_at = HEADER_BYTES + 4 * len;
        let (ends, body_at) = if header.flags & WIDE == 0 {
            // SAFETY: the layout of a leaf.
            let ends = unsafe { self.slice(ends_at, len) };
            (Ends::Narrow(ends), ends_at + 2 * len)
        } else {
            // SAFETY: the layout of a leaf.
            let ends = unsafe { self.slice(ends_at, len) };
            (Ends::Wide(ends), ends_at + 4 * len)
        };
        Items {
            // SAFETY: the layout of a leaf.
            hashes: unsafe { self.slice(HEADER_BYTES, len) },
            ends,
            base: 0,
            // SAFETY: the layout of a leaf.
            body: unsafe { self.slice(body_at, header.bytes as usize - body_at) },
            has_outside: header.flags & HAS_OUTSIDE != 0,
        }
    }

    /// # Safety
    /// `len` values of `T` lie at `offset` of the node and do not change during `'g`.
    unsafe fn slice<'g, T>(self, offset: usize, len: usize) -> &'g [T] {
        // SAFETY: inside the node's block.
        let start = unsafe { self.start().add(offset) }.cast::<T>();
        debug_assert!(start.is_aligned());
        // SAFETY: passed on to the caller.
        unsafe { std::slice::from_raw_parts(start.as_ptr(), len) }
    }

    /// The block the node fills.
    ///
    /// # Safety
    /// The node is there.
    pub(super) unsafe fn block(self) -> Block {
        // SAFETY: passed on to the caller.
        let bytes = unsafe { self.header() }.bytes as usize;
        // SAFETY: the header says what was asked for.
        unsafe { Block::from_parts(self.start(), bytes, Mobility::Fixed) }
    }

    /// How many bytes the node has.
    ///
    /// # Safety
    /// The node is there.
    pub(super) unsafe fn bytes(self) -> usize {
        // SAFETY: passed on to the caller.
        unsafe { self.header() }.bytes as usize
    }

    /// How many children or elements the node has.
    ///
    /// # Safety
    /// The node is there.
    pub(super) unsafe fn len(self) -> usize {
        // SAFETY: passed on to the caller.
        unsafe { self.header() }.len as usize
    }

    /// A fresh copy.
    ///
    /// # Safety
    /// The node is there.
    pub(super) unsafe fn copy(self) -> Link {
        // SAFETY: passed on to the caller.
        let old = unsafe { self.block() };
        let new = Block::allocate(old.bytes());
        let (source, target) = (old.start().as_ptr(), new.start().as_ptr());
        // SAFETY: both blocks are that long, and one is new.
        unsafe { target.copy_from_nonoverlapping(source, old.bytes()) };
        Link::fresh(new)
    }

    /// Changes one child of a fresh inner node.
    ///
    /// # Safety
    /// The node is an inner one with more than `index` children, fresh, and nobody views it.
    pub(super) unsafe fn write_child(self, index: usize, link: Link, count: u64) {
        debug_assert!(self.is_fresh());
        // SAFETY: the node is there.
        let len = unsafe { self.len() };
        assert!(index < len);
        // SAFETY: the layout of an inner node.
        let link_at = unsafe { self.start().add(links_at(len) + 8 * index) };
        // SAFETY: fresh, so nobody else looks.
        unsafe { link_at.cast::<Link>().write(link) };
        // SAFETY: the layout of an inner node.
        let count_at = unsafe { self.start().add(links_at(len) + 8 * (len + index)) };
        // SAFETY: fresh, so nobody else looks.
        unsafe { count_at.cast::<u64>().write(count) };
    }

    /// Changes bytes of a fresh chunk.
    ///
    /// # Safety
    /// The node is a chunk of at least `offset` and `patch` bytes, fresh, and nobody views it.
    pub(super) unsafe fn write_chunk(self, offset: usize, patch: &[u8]) {
        debug_assert!(self.is_fresh());
        // SAFETY: the node is there.
        let block = unsafe { self.block() };
        // SAFETY: passed on to the caller.
        unsafe { write_all(block, HEADER_BYTES + offset, patch) };
    }

    /// Takes the mark of freshness from every outside element of a fresh leaf and visits the
    /// blocks of those that had it.
    ///
    /// # Safety
    /// The node is a leaf, fresh, and nobody views it.
    pub(super) unsafe fn settle_outside(self, mut visit: impl FnMut(Block)) {
        // SAFETY: passed on to the caller.
        let header = unsafe { self.header() };
        if header.flags & HAS_OUTSIDE == 0 {
            return;
        }
        for index in 0..header.len as usize {
            // SAFETY: the view ends before the write below.
            let items: Items<'_> = unsafe { self.leaf(header) };
            let Some(outside) = items.outside(index).filter(|outside| outside.is_fresh) else {
                continue;
            };
            let body_at = header.bytes as usize - items.body.len();
            let at = body_at + items.start(index);
            visit(outside.block);
            let settled = Outside {
                is_fresh: false,
                ..outside
            };
            // SAFETY: the element's bytes lie inside the leaf.
            let target = unsafe { self.start().add(at) };
            // SAFETY: as above, and nobody else looks.
            unsafe { target.cast().write_unaligned(settled.to_bytes()) };
        }
    }
}

#[allow(unused_variables, reason = "not every architecture has a stable hint")]
fn prefetch(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch of any address is a hint without effect on memory.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
}

/// A node, read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Node<'g> {
    Leaf(Items<'g>),
    Inner(Inner<'g>),
}

/// An inner node, read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inner<'g> {
    /// The height above the leaves, from 1.
    pub(super) level: u8,
    pub(super) links: &'g [Link],
    pub(super) counts: &'g [u64],
    pub(super) firsts: &'g [u32],
}

impl<'g> Inner<'g> {
    /// The child below which an element of `hash` is, if it is anywhere.
    pub(super) fn child_of(self, hash: u32) -> usize {
        self.firsts[1..].partition_point(|&first| first <= hash)
    }

    pub(super) fn slot(self, index: usize) -> Slot {
        Slot {
            link: self.links[index],
            count: self.counts[index],
            first: self.firsts[index],
        }
    }

    pub(super) fn slots(self) -> impl Iterator<Item = Slot> + use<'g> {
        (0..self.links.len()).map(move |index| self.slot(index))
    }
}

/// A child of an inner node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    pub(super) link: Link,
    pub(super) count: u64,
    pub(super) first: u32,
}

/// Where the links of an inner node of `len` children start.
fn links_at(len: usize) -> usize {
    HEADER_BYTES + (4 * len).next_multiple_of(8)
}

/// A fresh inner node with these children.
pub(super) fn allocate_inner(level: u8, slots: &[Slot]) -> Link {
    debug_assert!(level > 0 && (1..=FANOUT_MAX).contains(&slots.len()));
    let len = slots.len();
    let links_at = links_at(len);
    let block = Block::allocate(links_at + 16 * len);
    let header = Header {
        bytes: block.bytes() as u32,
        len: len as u32,
        level,
        flags: 0,
    };
    // SAFETY: the block is ours and longer than a header.
    unsafe { block.start().cast().write(header) };
    for (index, slot) in slots.iter().enumerate() {
        // SAFETY: the layout of an inner node of `len` children.
        unsafe { write(block, HEADER_BYTES + 4 * index, slot.first) };
        // SAFETY: as above.
        unsafe { write(block, links_at + 8 * index, slot.link) };
        // SAFETY: as above.
        unsafe { write(block, links_at + 8 * (len + index), slot.count) };
    }
    Link::fresh(block)
}

/// # Safety
/// A `T` fits and is aligned at `offset` of the block, which nobody else knows.
unsafe fn write<T>(block: Block, offset: usize, value: T) {
    debug_assert!(offset + size_of::<T>() <= block.bytes());
    // SAFETY: inside the block.
    let target = unsafe { block.start().add(offset) };
    // SAFETY: passed on to the caller.
    unsafe { target.cast::<T>().write(value) };
}

/// # Safety
/// The values fit at `offset` of the block, which nobody else knows.
unsafe fn write_all<T: Copy>(block: Block, offset: usize, values: &[T]) {
    debug_assert!(offset + size_of_val(values) <= block.bytes());
    // SAFETY: inside the block.
    let target = unsafe { block.start().add(offset) };
    let (source, target) = (values.as_ptr().cast::<u8>(), target.as_ptr());
    // SAFETY: passed on to the caller; the block is none that `values` lie in.
    unsafe { target.copy_from_nonoverlapping(source, size_of_val(values)) };
}

/// Where a leaf's elements end.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ends<'g> {
    Narrow(&'g [u16]),
    Wide(&'g [u32]),
}

impl<'g> Ends<'g> {
    fn end(self, index: usize) -> usize {
        match self {
            Ends::Narrow(ends) => usize::from(ends[index] & !OUTSIDE_NARROW),
            Ends::Wide(ends) => (ends[index] & !OUTSIDE_WIDE) as usize,
        }
    }

    fn is_outside(self, index: usize) -> bool {
        match self {
            Ends::Narrow(ends) => ends[index] & OUTSIDE_NARROW != 0,
            Ends::Wide(ends) => ends[index] & OUTSIDE_WIDE != 0,
        }
    }

    fn range(self, range: Range<usize>) -> Ends<'g> {
        match self {
            Ends::Narrow(ends) => Ends::Narrow(&ends[range]),
            Ends::Wide(ends) => Ends::Wide(&ends[range]),
        }
    }
}

/// Elements of a leaf, or of one about to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Items<'g> {
    pub(super) hashes: &'g [u32],
    ends: Ends<'g>,
    /// Where in `body` the first one starts.
    base: usize,
    body: &'g [u8],
    /// Whether any of the leaf's elements has a block of its own.
    pub(super) has_outside: bool,
}

impl<'g> Items<'g> {
    /// Elements laid out one behind the other; `ends` as [`inline_end`] and [`outside_end`] say.
    pub(super) fn new(hashes: &'g [u32], ends: &'g [u32], body: &'g [u8]) -> Items<'g> {
        debug_assert_eq!(hashes.len(), ends.len());
        Items {
            hashes,
            ends: Ends::Wide(ends),
            base: 0,
            body,
            has_outside: true,
        }
    }

    pub(super) fn len(self) -> usize {
        self.hashes.len()
    }

    /// The bytes of a chunk.
    pub(super) fn chunk(self) -> &'g [u8] {
        debug_assert!(self.hashes.is_empty());
        self.body
    }

    fn start(self, index: usize) -> usize {
        match index {
            0 => self.base,
            _ => self.ends.end(index - 1),
        }
    }

    fn raw(self, index: usize) -> &'g [u8] {
        &self.body[self.start(index)..self.ends.end(index)]
    }

    /// The bytes of an element.
    pub(super) fn bytes(self, index: usize) -> &'g [u8] {
        match self.outside(index) {
            None => self.raw(index),
            Some(Outside { block, .. }) => {
                // SAFETY: an outside element is there, unchanged, as long as its leaf.
                unsafe { std::slice::from_raw_parts(block.start().as_ptr(), block.bytes()) }
            }
        }
    }

    /// The block of an element that has one.
    pub(super) fn outside(self, index: usize) -> Option<Outside> {
        let is_outside = self.has_outside && self.ends.is_outside(index);
        is_outside.then(|| Outside::from_bytes(self.raw(index).try_into().expect("16 bytes")))
    }

    /// The blocks of all elements that have one.
    pub(super) fn all_outside(self) -> impl Iterator<Item = Outside> + use<'g> {
        let len = if self.has_outside { self.len() } else { 0 };
        (0..len).filter_map(move |index| self.outside(index))
    }

    /// The elements of `range`.
    pub(super) fn range(self, range: Range<usize>) -> Items<'g> {
        Items {
            hashes: &self.hashes[range.clone()],
            ends: self.ends.range(range.clone()),
            base: self.start(range.start),
            ..self
        }
    }

    /// Where elements of `hash` stand, or would.
    pub(super) fn equal_range(self, hash: u32) -> Range<usize> {
        let start = self.hashes.partition_point(|&other| other < hash);
        let same = self.hashes[start..].iter().take_while(|&&h| h == hash);
        start..start + same.count()
    }

    fn body_bytes(self) -> usize {
        match self.len() {
            0 => 0,
            len => self.ends.end(len - 1) - self.base,
        }
    }

    /// What the element adds to a leaf.
    fn weight(self, index: usize) -> usize {
        6 + self.raw(index).len()
    }
}

/// An element in a block of its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outside {
    pub(super) block: Block,
    /// As a link's.
    pub(super) is_fresh: bool,
}

impl Outside {
    fn from_bytes(bytes: [u8; OUTSIDE_BYTES]) -> Outside {
        let word = u128::from_ne_bytes(bytes);
        let (address, bytes) = (word as usize, (word >> 64) as usize);
        let start = std::ptr::with_exposed_provenance_mut(address & !FRESH);
        let start = NonNull::new(start).expect("a block's address");
        Outside {
            // SAFETY: written by `to_bytes`, from a block.
            block: unsafe { Block::from_parts(start, bytes, Mobility::Fixed) },
            is_fresh: address & FRESH != 0,
        }
    }

    /// What stands in the leaf.
    pub(super) fn to_bytes(self) -> [u8; OUTSIDE_BYTES] {
        let address = self.block.start().as_ptr().expose_provenance();
        let marked = address | if self.is_fresh { FRESH } else { 0 };
        (marked as u128 | (self.block.bytes() as u128) << 64).to_ne_bytes()
    }

    /// A block that holds the concatenation of `parts`.
    pub(super) fn allocate(parts: &[&[u8]]) -> Outside {
        let block = Block::allocate(parts.iter().map(|part| part.len()).sum());
        let mut at = 0;
        for part in parts {
            // SAFETY: the block is ours and as long as all parts.
            unsafe { write_all(block, at, part) };
            at += part.len();
        }
        Outside {
            block,
            is_fresh: true,
        }
    }
}

/// The end of an element that stands in the leaf.
pub(super) fn inline_end(at: usize) -> u32 {
    at as u32
}

/// The end of an element that has a block of its own.
pub(super) fn outside_end(at: usize) -> u32 {
    at as u32 | OUTSIDE_WIDE
}

/// How many bytes a leaf of these elements has.
pub(super) fn leaf_bytes(runs: &[Items<'_>]) -> usize {
    let len: usize = runs.iter().map(|run| run.len()).sum();
    let body: usize = runs.iter().map(|run| run.body_bytes()).sum();
    leaf_bytes_of(len, body)
}

/// How many bytes a leaf of `len` elements has which take `body` bytes themselves.
pub(super) fn leaf_bytes_of(len: usize, body: usize) -> usize {
    let end_bytes = if body > NARROW_MAX { 4 } else { 2 };
    HEADER_BYTES + (4 + end_bytes) * len + body
}

/// A fresh leaf of all elements of `runs`.
pub(super) fn allocate_leaf(runs: &[Items<'_>]) -> Link {
    let len: usize = runs.iter().map(|run| run.len()).sum();
    let body: usize = runs.iter().map(|run| run.body_bytes()).sum();
    let is_wide = body > NARROW_MAX;
    let block = Block::allocate(leaf_bytes_of(len, body));
    let ends_at = HEADER_BYTES + 4 * len;
    let body_at = block.bytes() - body;
    let (mut index, mut at) = (0, 0);
    let mut has_outside = false;
    for run in runs {
        // SAFETY: the layout of a leaf of `len` elements in `body` bytes.
        unsafe { write_all(block, HEADER_BYTES + 4 * index, run.hashes) };
        let part = &run.body[run.base..run.base + run.body_bytes()];
        // SAFETY: as above.
        unsafe { write_all(block, body_at + at, part) };
        for number in 0..run.len() {
            let end = at + run.ends.end(number) - run.base;
            let is_outside = run.has_outside && run.ends.is_outside(number);
            has_outside |= is_outside;
            if is_wide {
                let end = end as u32 | if is_outside { OUTSIDE_WIDE } else { 0 };
                // SAFETY: as above.
                unsafe { write(block, ends_at + 4 * (index + number), end) };
            } else {
                let end = end as u16 | if is_outside { OUTSIDE_NARROW } else { 0 };
                // SAFETY: as above.
                unsafe { write(block, ends_at + 2 * (index + number), end) };
            }
        }
        index += run.len();
        at += part.len();
    }
    let header = Header {
        bytes: block.bytes() as u32,
        len: len as u32,
        level: 0,
        flags: if is_wide { WIDE } else { 0 } | if has_outside { HAS_OUTSIDE } else { 0 },
    };
    // SAFETY: the block is ours and longer than a header.
    unsafe { block.start().cast().write(header) };
    Link::fresh(block)
}

/// A fresh chunk of all bytes of `parts`.
pub(super) fn allocate_chunk(parts: &[&[u8]]) -> Link {
    let bytes: usize = parts.iter().map(|part| part.len()).sum();
    debug_assert!((1..=CHUNK_BYTES).contains(&bytes));
    let block = Block::allocate(HEADER_BYTES + bytes);
    let header = Header {
        bytes: block.bytes() as u32,
        len: 0,
        level: 0,
        flags: 0,
    };
    // SAFETY: the block is ours and longer than a header.
    unsafe { block.start().cast().write(header) };
    let mut at = HEADER_BYTES;
    for part in parts {
        // SAFETY: the block is as long as the header and all parts.
        unsafe { write_all(block, at, part) };
        at += part.len();
    }
    Link::fresh(block)
}

/// Where to cut the elements of `runs` so that about half the bytes lie on either side and no
/// two elements of one hash are parted; none if they all have one hash.
pub(super) fn cut(runs: &[Items<'_>]) -> Option<usize> {
    let hashes = || runs.iter().flat_map(|run| run.hashes.iter());
    let weights = runs
        .iter()
        .flat_map(|run| (0..run.len()).map(|index| run.weight(index)));
    let half = leaf_bytes(runs) / 2;
    let mut sum = 0;
    let middle = weights
        .take_while(|weight| {
            sum += weight;
            sum <= half
        })
        .count();
    let is_border = hashes()
        .zip(hashes().skip(1))
        .map(|(left, right)| left != right);
    let borders = (1..).zip(is_border).filter(|(_, is_border)| *is_border);
    borders
        .map(|(at, _)| at)
        .min_by_key(|&at: &usize| at.abs_diff(middle))
}

/// The elements of `runs` before number `at`, and the others.
pub(super) fn parted<'a>(runs: &[Items<'a>], at: usize) -> [Vec<Items<'a>>; 2] {
    let mut parts = [Vec::new(), Vec::new()];
    let mut before = 0;
    for run in runs {
        let middle = at.saturating_sub(before).min(run.len());
        parts[0].push(run.range(0..middle));
        parts[1].push(run.range(middle..run.len()));
        before += run.len();
    }
    parts
}
