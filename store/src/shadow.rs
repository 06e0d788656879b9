//! What models know of memory that is not atomic.
//!
//! Models see atomics, but most of what threads share is plain: entries, nodes of trees. Who
//! allocates, frees, writes and reads these says so here; outside of models nothing is left of it.
//!
//! - Of what is read or written somebody has to be the owner still: each block is followed from its
//!   allocation to its end, and none may be left at the end of a model.
//! - Under loom, a read must come after the write of what it reads, and a write after all reads, by
//!   what atomics say about the order: else it is a data race.
//!
//! An atomic in a block is the checker's own here, beside the block ([`word`]).

#[cfg(any(mayfly_loom, mayfly_shuttle))]
pub(crate) use known::{allocated, freed, place_word, read, word, written};
#[cfg(all(test, any(mayfly_loom, mayfly_shuttle)))]
pub(crate) use known::{begin, end};
#[cfg(not(any(mayfly_loom, mayfly_shuttle)))]
pub(crate) use unknown::{allocated, freed, place_word, read, word, written};

#[cfg(not(any(mayfly_loom, mayfly_shuttle)))]
mod unknown {
    use std::ptr::NonNull;

    use crate::sync::AtomicU64;

    /// A block begins.
    #[inline(always)]
    pub(crate) fn allocated(_start: NonNull<u8>, _bytes: usize) {}

    /// A block ends.
    #[inline(always)]
    pub(crate) fn freed(_start: NonNull<u8>) {}

    /// Bytes of a block are about to be read.
    #[inline(always)]
    pub(crate) fn read(_start: NonNull<u8>, _bytes: usize) {}

    /// Bytes of a block are written.
    #[inline(always)]
    pub(crate) fn written(_start: NonNull<u8>, _bytes: usize) {}

    /// An atomic zero is written into a block.
    #[inline(always)]
    pub(crate) fn place_word(_start: NonNull<u8>, _at: usize) {}

    /// The atomic at an address.
    #[inline(always)]
    pub(crate) fn word(at: NonNull<AtomicU64>) -> NonNull<AtomicU64> {
        at
    }
}

#[cfg(any(mayfly_loom, mayfly_shuttle))]
mod known {
    use std::cell::RefCell;
    use std::collections::BTreeMap;
    use std::ptr::NonNull;

    use crate::sync::AtomicU64;

    /// What is known of a block.
    #[derive(Default)]
    struct Shadow {
        bytes: usize,
        written: Vec<Written>,
        words: BTreeMap<usize, Box<AtomicU64>>,
    }

    /// Bytes that were written at once.
    struct Written {
        start: usize,
        end: usize,
        #[cfg(mayfly_loom)]
        cell: loom::cell::UnsafeCell<()>,
    }

    impl Written {
        fn now(start: usize, end: usize) -> Written {
            Written {
                start,
                end,
                #[cfg(mayfly_loom)]
                cell: loom::cell::UnsafeCell::new(()),
            }
        }

        fn again(&self) {
            #[cfg(mayfly_loom)]
            self.cell.with_mut(|_| ());
        }

        fn read(&self) {
            #[cfg(mayfly_loom)]
            self.cell.with(|_| ());
        }
    }

    thread_local! {
        /// A model's threads all run on one thread of the system.
        static BLOCKS: RefCell<BTreeMap<usize, Shadow>> = const { RefCell::new(BTreeMap::new()) };
    }

    /// Runs `note` unless a model has failed already.
    fn with<R: Default>(note: impl FnOnce(&mut BTreeMap<usize, Shadow>) -> R) -> R {
        match std::thread::panicking() {
            true => R::default(),
            false => BLOCKS.with_borrow_mut(note),
        }
    }

    /// The block with these bytes, and what of it was written among them.
    fn with_bytes(
        (start, bytes): (NonNull<u8>, usize),
        note: impl FnOnce(&mut Shadow, (usize, usize)),
    ) {
        let start = start.addr().get();
        let end = start + bytes;
        with(|blocks| {
            let block = blocks.range_mut(..=start).next_back();
            let block = block.filter(|(at, block)| *at + block.bytes >= end);
            let (_, block) = block.expect("it is used after it was freed");
            note(block, (start, end));
        });
    }

    pub(crate) fn allocated(start: NonNull<u8>, bytes: usize) {
        let start = start.addr().get();
        with(|blocks| {
            let before = blocks.range(..start + bytes).next_back();
            let is_free = before.is_none_or(|(at, block)| at + block.bytes <= start);
            assert!(is_free, "it is handed out twice");
            let block = Shadow {
                bytes,
                ..Shadow::default()
            };
            blocks.insert(start, block);
        });
    }

    pub(crate) fn freed(start: NonNull<u8>) {
        with(|blocks| {
            let block = blocks.remove(&start.addr().get());
            assert!(block.is_some(), "it is freed twice");
        });
    }

    pub(crate) fn read(start: NonNull<u8>, bytes: usize) {
        if bytes == 0 {
            return;
        }
        with_bytes((start, bytes), |block, (start, end)| {
            let overlaps = |written: &&Written| written.start < end && start < written.end;
            block
                .written
                .iter()
                .filter(overlaps)
                .for_each(Written::read);
        });
    }

    pub(crate) fn written(start: NonNull<u8>, bytes: usize) {
        if bytes == 0 {
            return;
        }
        with_bytes((start, bytes), |block, (start, end)| {
            let mut is_known = false;
            for written in &block.written {
                if written.start < end && start < written.end {
                    written.again();
                    is_known |= written.start <= start && end <= written.end;
                }
            }
            if !is_known {
                block.written.push(Written::now(start, end));
            }
        });
    }

    pub(crate) fn place_word(start: NonNull<u8>, at: usize) {
        with_bytes((start, at + 8), |block, (start, _)| {
            block.words.insert(start + at, Box::new(AtomicU64::new(0)));
        });
    }

    pub(crate) fn word(at: NonNull<AtomicU64>) -> NonNull<AtomicU64> {
        let mut found = None;
        with_bytes((at.cast(), 8), |block, (start, _)| {
            found = block.words.get(&start).map(|word| NonNull::from(&**word));
        });
        found.expect("a word was placed there")
    }

    /// A model begins.
    #[cfg(test)]
    pub(crate) fn begin() {
        BLOCKS.take();
    }

    /// A model ends.
    #[cfg(test)]
    pub(crate) fn end() {
        let left = BLOCKS.take();
        assert!(left.is_empty(), "{} blocks were never freed", left.len());
    }
}
