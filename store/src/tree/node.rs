//! How nodes lie in memory: read through slices, written once, then only by the edit that made
//! them. Inner nodes, which may be amended later, are in `inner`.
//!
//! ```text
//! leaf:  | header 16 | hashes 4·n | ends 2·n (wide: 4·n) | body |
//! chunk: | header 16 | bytes |                        (a leaf without elements, so to say)
//! ```
//!
//! A leaf is exactly as long as its content. Its element number `i` is the bytes of the body from
//! `ends[i - 1]` to `ends[i]`; the top bit of an end says that these are not the element but name
//! a block of its own: address and length. Ends are wide in the rare leaf whose body is too long
//! for 15 bits.

use std::ops::Range;
use std::ptr::NonNull;

use super::inner::Inner;
use crate::arena::Mobility;
use crate::memory::Block;
use crate::pace;
use crate::shadow;
use crate::table::prefetch;

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
/// In a link: the edit in progress has amended the node.
const AMENDED: usize = 2;
/// Where a link says how many amendments of the node count.
const AMENDMENTS_SHIFT: u32 = 56;
const ADDRESS: usize = ((1 << AMENDMENTS_SHIFT) - 1) & !(FRESH | AMENDED);
pub(super) const HEADER_BYTES: usize = size_of::<Header>();
const LINE_BYTES: usize = 64;
/// So many lines of a node are fetched at once, before anything is known of it.
const LINES_FIRST: usize = 4;
/// So many lines has a node of average length.
const LINES_MOST: usize = 12;
const OUTSIDE_BYTES: usize = 16;
/// A narrow end has one bit for [`OUTSIDE_NARROW`].
const NARROW_MAX: usize = (1 << 15) - 1;
const OUTSIDE_NARROW: u16 = 1 << 15;
const OUTSIDE_WIDE: u32 = 1 << 31;
const WIDE: u8 = 1;
const HAS_OUTSIDE: u8 = 2;

#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub(super) struct Header {
    pub(super) bytes: u32,
    pub(super) len: u32,
    pub(super) level: u8,
    /// Of a leaf, what there is to know of its elements; of an inner node, its room.
    pub(super) flags: u8,
}

const _: () = assert!(HEADER_BYTES == 16);

/// A node's address, how many of its amendments count, and what the edit in progress did to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(super) struct Link(NonNull<u8>);

// SAFETY: a link is an address; whoever follows it proves that the node is there.
unsafe impl Send for Link {}

// SAFETY: a shared link gives no more than its address.
unsafe impl Sync for Link {}

impl Link {
    pub(super) fn fresh(block: Block) -> Link {
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

    /// Whether the edit in progress has amended the node.
    pub(super) fn is_amended(self) -> bool {
        self.0.addr().get() & AMENDED != 0
    }

    /// Whether the edit in progress has made or amended the node.
    pub(super) fn is_marked(self) -> bool {
        self.is_fresh() || self.is_amended()
    }

    /// How many amendments of the node count.
    pub(super) fn amendments(self) -> usize {
        self.0.addr().get() >> AMENDMENTS_SHIFT
    }

    /// The link to the same node when the edit in progress has amended it so often.
    pub(super) fn with_amendments(self, count: usize) -> Link {
        let start = self.start();
        Link(start.map_addr(|address| address | AMENDED | count << AMENDMENTS_SHIFT))
    }

    /// The link to a node of which nothing is the edit's alone any more.
    pub(super) fn settled(self) -> Link {
        let address = |link: *mut u8| link.map_addr(|address| address & !(FRESH | AMENDED));
        Link(NonNull::new(address(self.0.as_ptr())).expect("a block's address"))
    }

    pub(super) fn start(self) -> NonNull<u8> {
        // A block's address has the other bits clear and is not zero.
        let address = self.0.as_ptr().map_addr(|address| address & ADDRESS);
        NonNull::new(address).expect("a block's address")
    }

    /// # Safety
    /// The node is there.
    pub(super) unsafe fn header(self) -> Header {
        shadow::read(self.start(), HEADER_BYTES);
        // SAFETY: every node starts with a header.
        unsafe { self.start().cast::<Header>().read() }
    }

    /// Fetches what a search looks at first: of an inner node the header and the firsts, of a
    /// leaf the header, the hashes and the ends. One by one they would each be a cache miss.
    pub(super) fn prefetch(self) {
        prefetch_lines(self.start().as_ptr(), LINES_FIRST * LINE_BYTES);
    }

    /// Fetches most of a node, for an edit: it looks at the firsts, at a child and at amendments of
    /// an inner node, and copies a leaf. Waiting for the header first would be a wait more.
    pub(super) fn prefetch_most(self) {
        prefetch_lines(self.start().as_ptr(), LINES_MOST * LINE_BYTES);
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

    /// # Safety
    /// As for [`Link::node`]; the node is a leaf with that header.
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
    pub(super) unsafe fn slice<'g, T>(self, offset: usize, len: usize) -> &'g [T] {
        // SAFETY: inside the node's block.
        let start = unsafe { self.start().add(offset) }.cast::<T>();
        debug_assert!(start.is_aligned());
        shadow::read(start.cast(), size_of::<T>() * len);
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

    /// The leaf with other bytes in the place of the last ones of element number `index`, which
    /// has no block of its own. In place if the leaf is fresh.
    ///
    /// # Safety
    /// The node is a leaf with that element, and nobody views it if it is fresh.
    pub(super) unsafe fn with_element_end(self, index: usize, bytes: &[u8]) -> Link {
        // SAFETY: passed on to the caller.
        let header = unsafe { self.header() };
        // SAFETY: the view ends before the write below.
        let items: Items<'_> = unsafe { self.leaf(header) };
        let (start, end) = (items.start(index), items.ends.end(index));
        assert!(bytes.len() <= end - start);
        let at = header.bytes as usize - items.body.len() + end - bytes.len();
        let mut leaf = self;
        if !self.is_fresh() {
            let copy = Block::allocate(header.bytes as usize);
            // SAFETY: passed on to the caller.
            let all: &[u8] = unsafe { self.slice(0, header.bytes as usize) };
            // SAFETY: the copy is as long.
            unsafe { write_all(copy, 0, all) };
            leaf = Link::fresh(copy);
        }
        // SAFETY: the node is there.
        let block = unsafe { leaf.block() };
        // SAFETY: a fresh leaf, in which the element lies there.
        unsafe { write_all(block, at, bytes) };
        leaf
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
            shadow::written(target, OUTSIDE_BYTES);
            // SAFETY: the element's bytes lie inside the leaf, at which nobody else looks.
            unsafe { target.cast().write_unaligned(settled.to_bytes()) };
        }
    }
}

fn prefetch_lines(start: *const u8, bytes: usize) {
    (0..bytes.div_ceil(LINE_BYTES)).for_each(|line| prefetch(start.addr() + LINE_BYTES * line));
}

/// A node, read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Node<'g> {
    Leaf(Items<'g>),
    Inner(Inner<'g>),
}

/// # Safety
/// A `T` fits and is aligned at `offset` of the block, which nobody else knows.
pub(super) unsafe fn write<T>(block: Block, offset: usize, value: T) {
    debug_assert!(offset + size_of::<T>() <= block.bytes());
    // SAFETY: inside the block.
    let target = unsafe { block.start().add(offset) };
    shadow::written(target, size_of::<T>());
    // SAFETY: passed on to the caller.
    unsafe { target.cast::<T>().write(value) };
}

/// # Safety
/// The values fit at `offset` of the block, which nobody else knows.
pub(super) unsafe fn write_all<T: Copy>(block: Block, offset: usize, values: &[T]) {
    debug_assert!(offset + size_of_val(values) <= block.bytes());
    // SAFETY: inside the block.
    let target = unsafe { block.start().add(offset) };
    shadow::written(target, size_of_val(values));
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

    #[inline]
    fn raw(self, index: usize) -> &'g [u8] {
        &self.body[self.start(index)..self.ends.end(index)]
    }

    /// The bytes of an element.
    pub(super) fn bytes(self, index: usize) -> &'g [u8] {
        match self.outside(index) {
            None => self.raw(index),
            Some(Outside { block, .. }) => {
                shadow::read(block.start(), block.bytes());
                // SAFETY: an outside element is there, unchanged, as long as its leaf.
                unsafe { std::slice::from_raw_parts(block.start().as_ptr(), block.bytes()) }
            }
        }
    }

    /// Fetches what of a leaf [`Link::prefetch`] did not.
    pub(super) fn prefetch_all(self) {
        let fetched = LINES_FIRST * LINE_BYTES - HEADER_BYTES;
        let start = self.hashes.as_ptr().cast::<u8>().wrapping_add(fetched);
        let end = self.body.as_ptr_range().end;
        prefetch_lines(start, end.addr().saturating_sub(start.addr()));
    }

    /// Fetches the first element of `hash`.
    pub(super) fn prefetch_one(self, hash: u32) {
        let index = self.equal_range(hash).start;
        if index < self.len() {
            let bytes = self.raw(index);
            prefetch_lines(bytes.as_ptr(), bytes.len());
        }
    }

    /// The block of an element that has one.
    pub(super) fn outside(self, index: usize) -> Option<Outside> {
        let is_outside = self.has_outside && self.ends.is_outside(index);
        is_outside.then(|| Outside::from_bytes(self.raw(index).try_into().expect("16 bytes")))
    }

    /// Whether element number `index` stands in the leaf, in so many bytes.
    pub(super) fn is_inline_of(self, index: usize, bytes: usize) -> bool {
        let is_outside = self.has_outside && self.ends.is_outside(index);
        !is_outside && self.raw(index).len() == bytes
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
    pace::step();
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
        // SAFETY: the bodies of the runs together are the last `body` bytes of the block.
        unsafe { write_all(block, body_at + at, part) };
        for number in 0..run.len() {
            let end = at + run.ends.end(number) - run.base;
            let is_outside = run.has_outside && run.ends.is_outside(number);
            has_outside |= is_outside;
            if is_wide {
                let end = end as u32 | if is_outside { OUTSIDE_WIDE } else { 0 };
                // SAFETY: the layout of a wide leaf has room for `len` ends of four bytes here.
                unsafe { write(block, ends_at + 4 * (index + number), end) };
            } else {
                let end = end as u16 | if is_outside { OUTSIDE_NARROW } else { 0 };
                // SAFETY: the layout of a narrow leaf has room for `len` ends of two bytes here.
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
    unsafe { write(block, 0, header) };
    Link::fresh(block)
}

/// A fresh chunk of all bytes of `parts`.
pub(super) fn allocate_chunk(parts: &[&[u8]]) -> Link {
    pace::step();
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
    unsafe { write(block, 0, header) };
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

/// Where to cut the elements of `runs` so that each part fits in a leaf, all are about as long and
/// no two elements of one hash are parted, whose part may be longer.
pub(super) fn cuts(runs: &[Items<'_>]) -> Vec<usize> {
    let bytes = leaf_bytes(runs);
    let parts = bytes.div_ceil(LEAF_BYTES_MAX);
    if parts == 1 {
        return Vec::new();
    }
    let part_bytes = bytes / parts + HEADER_BYTES;
    let elements = runs
        .iter()
        .flat_map(|run| (0..run.len()).map(|index| (run.hashes[index], run.weight(index))));
    let mut cuts = Vec::with_capacity(parts);
    let (mut bytes, mut last) = (HEADER_BYTES, None);
    for (at, (hash, weight)) in elements.enumerate() {
        let is_border = last.is_some_and(|last| last != hash);
        if is_border && (bytes >= part_bytes || bytes + weight > LEAF_BYTES_MAX) {
            cuts.push(at);
            bytes = HEADER_BYTES;
        }
        bytes += weight;
        last = Some(hash);
    }
    cuts
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
