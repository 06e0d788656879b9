//! The same tree by byte position: a long string in chunks.
//!
//! A leaf is a chunk of up to 4 kB less a header, counts are bytes, and `firsts` mean nothing.
//! Bytes are overwritten and appended, never taken out: a change in the middle copies a chunk
//! and the path to it, and every chunk but the last is full.

use std::marker::PhantomData;
use std::ops::Range;

use smallvec::SmallVec;

use super::inner::Slot;
use super::ledger::{Grown, Ledger, free_fresh};
use super::node::{CHUNK_BYTES, Link, Node, allocate_chunk};
use super::{Delta, Root};
use crate::entry::Entry;
use crate::pace;

/// A long string, read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chunks<'g> {
    /// Invariant: there is at least one byte, and what the link leads to is there during `'g`.
    root: Root,
    _guard: PhantomData<&'g ()>,
}

impl<'g> Chunks<'g> {
    /// The string in an entry of `Form::Tree`.
    pub(crate) fn of(entry: Entry<'g>) -> Chunks<'g> {
        Chunks {
            root: Root::of(entry),
            _guard: PhantomData,
        }
    }

    pub(crate) fn len(self) -> usize {
        self.root.len as usize
    }

    /// The bytes of a range inside the string, in pieces.
    pub(crate) fn range(self, range: Range<usize>) -> Pieces<'g> {
        debug_assert!(range.start <= range.end && range.end <= self.len());
        let mut pieces = Pieces {
            path: SmallVec::new(),
            piece: &[],
            bytes_left: range.len(),
            _guard: PhantomData,
        };
        if range.is_empty() {
            return pieces;
        }
        let mut before = range.start as u64;
        let mut link = self.root.link;
        loop {
            match pieces.node(link) {
                Node::Inner(inner) => {
                    let child;
                    (child, before) = inner.child_at(before);
                    pieces.path.push((link, child + 1));
                    link = inner.link(child);
                }
                Node::Leaf(items) => {
                    pieces.enter(&items.chunk()[before as usize..]);
                    return pieces;
                }
            }
        }
    }
}

/// Iterator over bytes in pieces, none of them empty.
#[derive(Clone, Debug)]
pub(crate) struct Pieces<'g> {
    /// From the root down, the nodes with the number of the child that is to come next.
    path: SmallVec<[(Link, usize); 4]>,
    piece: &'g [u8],
    /// How many bytes there are, those of `piece` included.
    bytes_left: usize,
    _guard: PhantomData<&'g ()>,
}

impl<'g> Pieces<'g> {
    pub(crate) fn bytes_left(&self) -> usize {
        self.bytes_left
    }

    fn node(&self, link: Link) -> Node<'g> {
        // SAFETY: the invariant of the tree these pieces are of.
        unsafe { link.node() }
    }

    fn enter(&mut self, chunk: &'g [u8]) {
        self.piece = &chunk[..chunk.len().min(self.bytes_left)];
    }

    fn next_chunk(&mut self) -> Option<&'g [u8]> {
        pace::step();
        loop {
            let &(parent, child) = self.path.last()?;
            let Node::Inner(inner) = self.node(parent) else {
                unreachable!("a leaf has no children")
            };
            if child == inner.len() {
                self.path.pop();
                continue;
            }
            self.path.last_mut()?.1 += 1;
            let link = inner.link(child);
            match self.node(link) {
                Node::Inner(_) => self.path.push((link, 0)),
                Node::Leaf(items) => return Some(items.chunk()),
            }
        }
    }
}

impl<'g> Iterator for Pieces<'g> {
    type Item = &'g [u8];

    fn next(&mut self) -> Option<&'g [u8]> {
        if self.bytes_left == 0 {
            return None;
        }
        if self.piece.is_empty() {
            let chunk = self.next_chunk().expect("as many bytes as counted");
            self.enter(chunk);
        }
        let piece = std::mem::take(&mut self.piece);
        self.bytes_left -= piece.len();
        Some(piece)
    }
}

/// A long string with changes that nobody else sees yet. Dropping it drops the changes.
#[derive(Debug)]
pub(crate) struct ChunksEdit<'a> {
    link: Option<Link>,
    len: u64,
    ledger: Ledger,
    _old: PhantomData<&'a ()>,
}

impl<'a> ChunksEdit<'a> {
    /// Starts from a string that is there.
    pub(crate) fn of(old: Chunks<'a>) -> ChunksEdit<'a> {
        ChunksEdit {
            link: Some(old.root.link),
            len: old.root.len,
            ledger: Ledger::new(old.root.memory_bytes, 0),
            _old: PhantomData,
        }
    }

    /// Starts from no bytes.
    pub(crate) fn new() -> ChunksEdit<'a> {
        ChunksEdit {
            link: None,
            len: 0,
            ledger: Ledger::new(0, 0),
            _old: PhantomData,
        }
    }

    /// The string as it is now, unless it is empty.
    pub(crate) fn view(&self) -> Option<Chunks<'_>> {
        let root = Root {
            link: self.link?,
            len: self.len,
            memory_bytes: self.ledger.memory_bytes,
        };
        Some(Chunks {
            root,
            _guard: PhantomData,
        })
    }

    /// Puts bytes behind the last one.
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let before = self.len;
            let root = match self.link {
                None => self.new_chunk(rest).link,
                Some(link) => {
                    let grown = self.append_below(link, rest);
                    self.ledger.root_of(grown)
                }
            };
            self.link = Some(root);
            rest = &rest[(self.len - before) as usize..];
        }
    }

    /// Appends zeros.
    pub(crate) fn append_zeros(&mut self, count: usize) {
        const ZEROS: [u8; CHUNK_BYTES] = [0; CHUNK_BYTES];
        let mut left = count;
        while left > 0 {
            let some = left.min(CHUNK_BYTES);
            self.append(&ZEROS[..some]);
            left -= some;
        }
    }

    /// Puts `patch` in the place of as many bytes from `offset` on, which must be there.
    pub(crate) fn overwrite(&mut self, offset: usize, patch: &[u8]) {
        assert!(
            offset + patch.len() <= self.len as usize,
            "inside the string"
        );
        if let Some(link) = self.link.filter(|_| !patch.is_empty()) {
            self.link = Some(self.overwrite_below(link, offset, patch));
        }
    }

    /// The changed string, unless it is empty, and what it takes to publish it.
    pub(crate) fn finish(mut self) -> Option<(Root, Delta)> {
        let link = self.link.take()?;
        Some(std::mem::take(&mut self.ledger).finish(link, self.len))
    }

    /// A chunk of the first of `bytes`.
    fn new_chunk(&mut self, bytes: &[u8]) -> Slot {
        let some = &bytes[..bytes.len().min(CHUNK_BYTES)];
        self.len += some.len() as u64;
        Slot {
            link: self.ledger.made(allocate_chunk(&[some])),
            count: some.len() as u64,
            first: 0,
        }
    }

    /// Appends the first of `bytes`, as many as one chunk takes.
    fn append_below(&mut self, link: Link, bytes: &[u8]) -> Grown {
        let (last, child, level) = match self.ledger.node(link) {
            Node::Inner(inner) => {
                let last = inner.len() - 1;
                (last, inner.link(last), inner.level)
            }
            Node::Leaf(items) => {
                let chunk = items.chunk();
                let room = CHUNK_BYTES - chunk.len();
                if room == 0 {
                    return Grown::Two((link, chunk.len() as u64), self.new_chunk(bytes));
                }
                let some = &bytes[..bytes.len().min(room)];
                let longer = self.ledger.made(allocate_chunk(&[chunk, some]));
                self.ledger.discard(link);
                self.len += some.len() as u64;
                return Grown::One(longer);
            }
        };
        let before = self.len;
        let grown = self.append_below(child, bytes);
        let added = self.len - before;
        match grown {
            Grown::One(child) => {
                let count = self.ledger.inner(link).count(last) + added;
                let place = self.ledger.place_of_child(link, last);
                Grown::One(self.ledger.with_child(place, child, count))
            }
            Grown::Two((child, count), right) => {
                let mut slots = self.ledger.inner(link).slots();
                slots[last].link = child;
                slots[last].count = count;
                slots.push(right);
                self.ledger.discard(link);
                // What is appended next belongs to the right.
                self.ledger.grow_inner(level, &slots, slots.len() - 1)
            }
        }
    }

    fn overwrite_below(&mut self, link: Link, offset: usize, patch: &[u8]) -> Link {
        let children = match self.ledger.node(link) {
            Node::Inner(inner) => inner.len(),
            Node::Leaf(items) => {
                let (before, behind) = items.chunk().split_at(offset);
                let behind = &behind[patch.len()..];
                if link.is_fresh() {
                    // SAFETY: a fresh chunk, of which no view is used any more, and the patch
                    // lies inside it.
                    unsafe { link.write_chunk(offset, patch) };
                    return link;
                }
                let parts = [before, patch, behind];
                let changed = self.ledger.made(allocate_chunk(&parts));
                self.ledger.discard(link);
                return changed;
            }
        };
        let (mut link, mut start) = (link, 0);
        for at in 0..children {
            let slot = self.ledger.inner(link).slot(at);
            let end = start + slot.count as usize;
            let (from, to) = (offset.max(start), (offset + patch.len()).min(end));
            if from < to {
                let part = &patch[from - offset..to - offset];
                let child = self.overwrite_below(slot.link, from - start, part);
                let place = self.ledger.place_of_child(link, at);
                link = self.ledger.with_child(place, child, slot.count);
            }
            start = end;
        }
        link
    }
}

impl Drop for ChunksEdit<'_> {
    fn drop(&mut self) {
        if let Some(link) = self.link {
            free_fresh(link);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory;

    fn bytes_of(edit: &ChunksEdit<'_>) -> Vec<u8> {
        let Some(chunks) = edit.view() else {
            return Vec::new();
        };
        chunks.range(0..chunks.len()).flatten().copied().collect()
    }

    #[test]
    fn appends_and_patches_agree_with_a_vector() {
        let before = memory::counted_here().0;
        let mut random = fastrand::Rng::with_seed(7);
        let (mut edit, mut model) = (ChunksEdit::new(), Vec::new());
        for step in 0..400 {
            let bytes_max = [10, 5_000, 60_000][random.usize(..3)];
            let bytes: Vec<u8> = (0..random.usize(..bytes_max))
                .map(|_| random.u8(..))
                .collect();
            match random.u8(..3) {
                0 => {
                    edit.append(&bytes);
                    model.extend_from_slice(&bytes);
                }
                1 if bytes.len() <= model.len() => {
                    let at = random.usize(..=model.len() - bytes.len());
                    edit.overwrite(at, &bytes);
                    model[at..at + bytes.len()].copy_from_slice(&bytes);
                }
                _ => {
                    edit.append_zeros(bytes.len() / 10);
                    model.resize(model.len() + bytes.len() / 10, 0);
                }
            }
            if step % 20 == 0 {
                assert_eq!(bytes_of(&edit), model);
            }
            let live = memory::counted_here().0 - before;
            assert_eq!(live as u64, edit.ledger.memory_bytes);
        }
        for _ in 0..200 {
            let end = random.usize(..=model.len());
            let range = random.usize(..=end)..end;
            let pieces = edit.view().expect("bytes").range(range.clone());
            assert_eq!(pieces.bytes_left(), range.len());
            assert!(pieces.clone().all(|piece| !piece.is_empty()));
            assert!(pieces.flatten().eq(&model[range]));
        }
        drop(edit);
        assert_eq!(memory::counted_here().0, before);
    }
}
