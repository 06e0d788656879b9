//! Inner nodes: the children of a node, and the amendments made to it since.
//!
//! ```text
//! | header 16 | amended 8 | firsts 4·n, to a multiple of 8 | children 16·(n + room) |
//! ```
//!
//! `firsts` are lower bounds of the children's hashes (the one at 0 is never looked at). A child is
//! a link and how many elements are below it. Behind the `n` children there are amendments.
//!
//! # Amendments
//!
//! An edit gives each node on its path another child in the place of one. Copying the node for
//! that would cost more than all else an edit does, so the change is noted behind the children
//! instead: `amended` has a byte for each amendment, the child's number plus one. Of several
//! amendments of one child the last counts.
//!
//! A version does not change by that: the *link* to a node says how many of its amendments count,
//! so that an older version, whose link says fewer, does not see the later ones. An amendment
//! belongs to the edit that wrote its byte, which was zero. Whoever comes from the same version
//! later finds it written, by an edit that lost or was given up, and copies the node, as one does
//! that finds no room left. A copy has room for [`AMENDMENTS_MAX`]; nodes that come into being
//! with all that is below them have none before somebody changes them.

use std::hint::select_unpredictable;
use std::ops::BitOr;

use smallvec::SmallVec;

use super::node::{HEADER_BYTES, Header, Link, write, write_all};
use crate::memory::Block;
use crate::shadow;
use crate::sync::{AtomicU64, Ordering};
use crate::table::prefetch;

/// The most children of an inner node: few enough to fetch the node as a whole, so that a level
/// is one wait. With 64 an HSET among a million fields took a tenth more of the process's own time.
pub(super) const FANOUT_MAX: usize = 32;
/// An inner node with fewer children is joined with a neighbour if both fit in one.
pub(super) const FANOUT_MIN: usize = 8;
/// The most amendments of an inner node.
pub(super) const AMENDMENTS_MAX: usize = 8;

const CHILD_BYTES: usize = size_of::<Child>();
const AMENDED_AT: usize = HEADER_BYTES;
const FIRSTS_AT: usize = AMENDED_AT + AMENDMENTS_MAX;

const _: () = assert!(AMENDMENTS_MAX == size_of::<u64>());
// The search for a child's amendment needs the top bit of each byte.
const _: () = assert!(FANOUT_MAX < i8::MAX as usize);

/// The children of one node, with room for one too many.
pub(super) type Slots = SmallVec<[Slot; FANOUT_MAX + 1]>;

/// A child of an inner node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    pub(super) link: Link,
    pub(super) count: u64,
    pub(super) first: u32,
}

/// An inner node as a link to it says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inner<'g> {
    /// The height above the leaves, from 1.
    pub(super) level: u8,
    firsts: &'g [u32],
    amended: Amended,
    /// As they were at first, then the amendments.
    children: &'g [Child],
}

/// What a node says of a child, together in memory: who wants one often wants the other.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct Child {
    pub(super) link: Link,
    /// How many elements are below.
    count: u64,
}

/// Which children the amendments are for, the first one in the lowest byte: their numbers plus
/// one.
#[derive(Clone, Copy, Debug)]
struct Amended(u64);

impl Amended {
    /// One in each byte.
    const ONES: u64 = u64::MAX / u8::MAX as u64;
    const TOPS: u64 = Amended::ONES << 7;

    /// The last amendment of a child.
    fn last(self, child: usize) -> Option<u32> {
        let differences = self.0 ^ (Amended::ONES * (child as u64 + 1));
        // A byte that is not zero carries into its top bit, and no further.
        let same = !(differences + (Amended::TOPS - Amended::ONES)) & Amended::TOPS;
        same.checked_ilog2().map(|bit| bit / 8)
    }

    /// The child of each amendment, from the first on.
    fn children(self) -> impl Iterator<Item = usize> {
        let bytes = self.0.to_le_bytes().into_iter();
        bytes
            .take_while(|&byte| byte != 0)
            .map(|byte| usize::from(byte) - 1)
    }
}

impl<'g> Inner<'g> {
    /// How many children there are.
    pub(super) fn len(self) -> usize {
        self.firsts.len()
    }

    /// The child below which an element of `hash` is, if it is anywhere.
    pub(super) fn child_of(self, hash: u32) -> usize {
        self.firsts[1..].partition_point(|&first| first <= hash)
    }

    /// Where link and count of child number `index` are.
    fn place(self, index: usize) -> usize {
        assert!(index < self.len());
        let last = self.amended.last(index);
        let amended = self.len() + last.unwrap_or(0) as usize;
        // Where children are amended at random, a branch would often be foreseen wrongly.
        select_unpredictable(last.is_some(), amended, index)
    }

    /// The node below child number `index`.
    pub(super) fn link(self, index: usize) -> Link {
        self.children[self.place(index)].link
    }

    /// Where it says what is below child number `index`, which is fetched.
    pub(super) fn prefetch_child(self, index: usize) -> &'g Child {
        let child = &self.children[self.place(index)];
        prefetch((&raw const *child).addr());
        child
    }

    /// The node below child number `index`, and how many elements are there.
    pub(super) fn child(self, index: usize) -> (Link, u64) {
        let child = self.children[self.place(index)];
        (child.link, child.count)
    }

    /// How many elements are below child number `index`.
    pub(super) fn count(self, index: usize) -> u64 {
        self.children[self.place(index)].count
    }

    pub(super) fn slot(self, index: usize) -> Slot {
        let Child { link, count } = self.children[self.place(index)];
        let first = self.firsts[index];
        Slot { link, count, first }
    }

    /// All children.
    pub(super) fn slots(self) -> Slots {
        let slot = |(&first, &Child { link, count })| Slot { link, count, first };
        let mut slots: Slots = self.firsts.iter().zip(self.children).map(slot).collect();
        for (index, Child { link, count }) in self.amendments() {
            (slots[index].link, slots[index].count) = (link, count);
        }
        slots
    }

    /// The amendments with the numbers of their children.
    fn amendments(self) -> impl Iterator<Item = (usize, Child)> {
        let amendments = self.children[self.len()..].iter().copied();
        self.amended.children().zip(amendments)
    }

    /// Below which child element number `position` is, and its number there.
    ///
    /// # Panics
    /// If there are not so many.
    pub(super) fn child_at(self, position: u64) -> (usize, u64) {
        // Most amendments are of elements that got another value.
        let other = |(index, child): (usize, Child)| match self.children[index].count {
            count if count == child.count => 0,
            _ => 1u64 << index,
        };
        let others: u64 = self.amendments().map(other).fold(0, u64::bitor);
        let mut left = position;
        for index in 0..self.len() {
            let count = match others >> index & 1 {
                0 => self.children[index].count,
                _ => self.count(index),
            };
            if left < count {
                return (index, left);
            }
            left -= count;
        }
        panic!("no element {position}");
    }
}

impl Link {
    /// # Safety
    /// As for [`Link::node`]; the node is an inner one with that header.
    pub(super) unsafe fn inner<'g>(self, header: Header) -> Inner<'g> {
        let (len, amendments) = (header.len as usize, self.amendments());
        Inner {
            level: header.level,
            // SAFETY: the layout of an inner node.
            firsts: unsafe { self.slice(FIRSTS_AT, len) },
            // SAFETY: passed on to the caller.
            amended: Amended(unsafe { self.amended(amendments) }),
            // SAFETY: so many are written, and do not change.
            children: unsafe { self.slice(children_at(len), len + amendments) },
        }
    }

    /// The bytes of the first so many amendments.
    ///
    /// # Safety
    /// The node is an inner one, and there.
    unsafe fn amended(self, count: usize) -> u64 {
        if count == 0 {
            return 0;
        }
        // SAFETY: passed on to the caller.
        let word = unsafe { self.amended_word() };
        let unused = 8 * (AMENDMENTS_MAX - count);
        word.load(Ordering::Relaxed) << unused >> unused
    }

    /// The word that says which children of an inner node are amended.
    ///
    /// # Safety
    /// The node is there during `'g`.
    unsafe fn amended_word<'g>(self) -> &'g AtomicU64 {
        // SAFETY: inside the node's block.
        let start = unsafe { self.start().add(AMENDED_AT) };
        // SAFETY: these bytes of an inner node are never anything else.
        unsafe { shadow::word(start.cast()).as_ref() }
    }

    /// A fresh copy of an inner node, in which the amendments are carried out.
    ///
    /// # Safety
    /// The node is an inner one, and there.
    pub(super) unsafe fn copy(self) -> Link {
        // SAFETY: passed on to the caller.
        let header = unsafe { self.header() };
        // SAFETY: passed on to the caller.
        let inner = unsafe { self.inner(header) };
        let len = inner.len();
        let copy = allocate(inner.level, len, AMENDMENTS_MAX);
        // SAFETY: the layout of an inner node of `len` children.
        unsafe { write_all(copy, FIRSTS_AT, inner.firsts) };
        // SAFETY: the layout of an inner node of `len` children has them there.
        unsafe { write_all(copy, children_at(len), &inner.children[..len]) };
        let copy = Link::fresh(copy);
        for (index, child) in inner.amendments() {
            // SAFETY: the copy has that child, and nobody else knows it.
            unsafe { copy.write_nth(header, index, child) };
        }
        copy
    }

    /// Changes one child of a fresh inner node.
    ///
    /// # Safety
    /// The node is an inner one with more than `index` children, fresh, and nobody views it.
    pub(super) unsafe fn write_child(self, index: usize, link: Link, count: u64) {
        debug_assert!(self.is_fresh());
        // SAFETY: the node is there.
        let header = unsafe { self.header() };
        // SAFETY: passed on to the caller.
        unsafe { self.write_nth(header, index, Child { link, count }) };
    }

    /// # Safety
    /// The node is an inner one with that header, there, and has room for that child or, behind
    /// the children, amendment. It is the edit's, and nobody views it.
    unsafe fn write_nth(self, header: Header, index: usize, child: Child) {
        let len = header.len as usize;
        debug_assert!(index < len + header.room());
        // SAFETY: the layout of an inner node.
        let at = unsafe { self.start().add(children_at(len) + CHILD_BYTES * index) };
        shadow::written(at, CHILD_BYTES);
        // SAFETY: nobody else looks.
        unsafe { at.cast().write(child) };
    }

    /// Makes an amendment of one child of an inner node that is not fresh the edit's; none if the
    /// node must be copied.
    ///
    /// # Safety
    /// The node is an inner one with more than `index` children, and there.
    pub(super) unsafe fn to_amend(self, index: usize) -> Option<Amendment> {
        // SAFETY: passed on to the caller.
        let header = unsafe { self.header() };
        // SAFETY: passed on to the caller.
        let inner = unsafe { self.inner(header) };
        assert!(index < inner.len());
        let last = inner.amended.last(index).map(|at| at as usize);
        let is_own = |&at: &usize| inner.children[inner.len() + at].link.is_marked();
        let again = last.filter(|_| self.is_amended()).filter(is_own);
        if let Some(number) = again {
            return Some(Amendment { node: self, number });
        }
        // SAFETY: passed on to the caller.
        let number = unsafe { self.claim(index, header.room()) }?;
        let node = self.with_amendments(number + 1);
        Some(Amendment { node, number })
    }

    /// Makes the next amendment the edit's: one of child number `index`.
    ///
    /// # Safety
    /// The node is an inner one, and there.
    unsafe fn claim(self, index: usize, room: usize) -> Option<usize> {
        let at = self.amendments();
        if at == room {
            return None;
        }
        // SAFETY: passed on to the caller.
        let word = unsafe { self.amended_word() };
        let shift = 8 * at;
        let claim = |word: u64| match word >> shift {
            0 => Some(word | (index as u64 + 1) << shift),
            _ => None,
        };
        let claimed = word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, claim);
        claimed.is_ok().then_some(at)
    }

    /// The children that the edit in progress made or amended: where the node is not fresh, those
    /// of its last amendments.
    pub(super) fn own_children(self, inner: Inner<'_>) -> impl Iterator<Item = Link> {
        let from = if self.is_fresh() { 0 } else { inner.len() };
        let is_fresh = self.is_fresh();
        let all = inner.children[from..].iter().rev().map(|child| child.link);
        all.take_while(move |link| is_fresh || link.is_marked())
            .filter(|link| link.is_marked())
    }

    /// Takes the edit's marks from all links to children.
    ///
    /// # Safety
    /// The node is an inner one that the edit made or amended, and nobody views it.
    pub(super) unsafe fn settle_children(self) {
        // SAFETY: passed on to the caller.
        let header = unsafe { self.header() };
        let len = header.len as usize;
        let from = if self.is_fresh() { 0 } else { len };
        for at in (from..len + self.amendments()).rev() {
            // SAFETY: passed on to the caller; the view ends before the write below.
            let Child { link, count } = unsafe { self.inner(header) }.children[at];
            if link.is_marked() {
                let link = link.settled();
                // SAFETY: the edit's, and nobody views it.
                unsafe { self.write_nth(header, at, Child { link, count }) };
            } else if !self.is_fresh() {
                break;
            }
        }
    }
}

/// An amendment that is the edit's to write.
#[derive(Clone, Copy, Debug)]
pub(super) struct Amendment {
    /// Says that it counts.
    node: Link,
    number: usize,
}

impl Amendment {
    /// Says what the child is from now on; the link to the node that says so, too.
    ///
    /// # Safety
    /// The node is there, and nobody views it through a link with the amendments of the edit.
    pub(super) unsafe fn write(self, link: Link, count: u64) -> Link {
        debug_assert!(link.is_marked(), "or `own_children` does not find it");
        // SAFETY: passed on to the caller.
        let header = unsafe { self.node.header() };
        let index = header.len as usize + self.number;
        // SAFETY: the edit's; no link that others have says so many.
        unsafe { self.node.write_nth(header, index, Child { link, count }) };
        self.node
    }
}

impl Header {
    /// For how many amendments an inner node has room.
    fn room(self) -> usize {
        usize::from(self.flags)
    }
}

fn children_at(len: usize) -> usize {
    FIRSTS_AT + (4 * len).next_multiple_of(8)
}

/// A block for an inner node of `len` children, which are still to be written.
fn allocate(level: u8, len: usize, room: usize) -> Block {
    debug_assert!(level > 0 && (1..=FANOUT_MAX).contains(&len) && room <= AMENDMENTS_MAX);
    let block = Block::allocate(children_at(len) + CHILD_BYTES * (len + room));
    let header = Header {
        bytes: block.bytes() as u32,
        len: len as u32,
        level,
        flags: room as u8,
    };
    // SAFETY: the block is ours and longer than a header.
    unsafe { write(block, 0, header) };
    // SAFETY: the block is ours; every inner node has room for that word.
    unsafe { write(block, AMENDED_AT, 0u64) };
    shadow::place_word(block.start(), AMENDED_AT);
    block
}

/// A fresh inner node with these children and room for so many amendments.
pub(super) fn allocate_inner(level: u8, slots: &[Slot], room: usize) -> Link {
    let len = slots.len();
    let block = allocate(level, len, room);
    for (index, &Slot { link, count, first }) in slots.iter().enumerate() {
        // SAFETY: the layout of an inner node of `len` children.
        unsafe { write(block, FIRSTS_AT + 4 * index, first) };
        let child_at = children_at(len) + CHILD_BYTES * index;
        // SAFETY: the layout of an inner node of `len` children has room for this one there.
        unsafe { write(block, child_at, Child { link, count }) };
    }
    Link::fresh(block)
}
