//! Slabs set aside for emptying, and what stands in them.
//!
//! Nothing new gets into a slab from the moment its bit in [`Region::evacuated`] is set: it is on
//! no stack, and threads that have slots of it in their caches give them back. So when every
//! guard of that moment is gone the slab is *quiet*: entries are made under the guard under which
//! their room was taken, and are named by a table, or retired, when it ends. What a slot that is
//! not free then holds is
//!
//! - an entry that a table names, whose block can only go on to be retired and freed,
//! - one that was retired or never got its name, and soon is free,
//! - or what was left there by an earlier block, in a thread's cache or among what it is to free.
//!
//! Nobody writes to any of these but the bits of an entry that are atomic. So who looks at a quiet
//! slab may read whatever it finds as the key of an entry; whether it is one the table says, by
//! the address in the slot that the key leads to. That is why what it takes to empty a slab goes
//! with what is in it, and not with how many keys there are.
//!
//! All states of a slab: `slab`.

use std::marker::PhantomData;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::classes;
use super::region::region;
use crate::reclaim::Guard;
use crate::table::prefetch;

/// Slabs that are set aside.
#[derive(Debug)]
pub(crate) struct Evacuated {
    slabs: Vec<u32>,
    is_quiet: Arc<AtomicBool>,
}

/// A slot of a quiet slab that is not free: nobody writes to it while `'g` lasts, but to what is
/// atomic in an entry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot<'g> {
    start: NonNull<u8>,
    bytes: usize,
    _guard: PhantomData<&'g Guard>,
}

impl Slot<'_> {
    pub(crate) fn start(self) -> NonNull<u8> {
        self.start
    }

    pub(crate) fn bytes(self) -> usize {
        self.bytes
    }

    /// A hint that the start of what is there will soon be looked at.
    pub(crate) fn prefetch(self) {
        const LINE_BYTES: usize = 64;
        let start = self.start.as_ptr().addr();
        prefetch(start);
        prefetch(start + LINE_BYTES);
    }
}

impl Evacuated {
    /// Slabs that a [`super::Survey`] or [`super::seize`] has set aside.
    pub(crate) fn new(slabs: Vec<u32>, guard: &Guard) -> Evacuated {
        let is_quiet = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&is_quiet);
        guard.when_others_are_gone(move || told.store(true, Ordering::Release));
        // What waits in this thread's hands waits for nobody.
        guard.flush();
        Evacuated { slabs, is_quiet }
    }

    pub(crate) fn slabs(&self) -> &[u32] {
        &self.slabs
    }

    /// The slabs, to be given back to the arena.
    pub(crate) fn into_slabs(self) -> Vec<u32> {
        self.slabs
    }

    /// Whether what is in the slabs may be looked at.
    pub(crate) fn is_quiet(&self) -> bool {
        self.is_quiet.load(Ordering::Acquire)
    }

    /// How many slots a slab has, and how long they are.
    pub(crate) fn shape(&self, at: usize) -> (usize, usize) {
        let Some(region) = region() else {
            return (0, classes::class(0).bytes as usize);
        };
        let slab = region.slab(self.slabs[at]);
        (slab.slots(), classes::class(slab.class()).bytes as usize)
    }

    /// Those of some slots of a slab that are not free; none of a slab that is not quiet.
    pub(crate) fn taken<'g>(
        &self,
        (at, slots): (usize, Range<usize>),
        _guard: &'g Guard,
    ) -> impl Iterator<Item = Slot<'g>> {
        let (_, bytes) = self.shape(at);
        let index = self.slabs[at];
        let region = region().filter(|_| self.is_quiet());
        region.into_iter().flat_map(move |region| {
            let taken = move |&slot: &usize| !region.slab(index).is_free(slot);
            slots.clone().filter(taken).map(move |slot| Slot {
                start: region.address(index, slot * bytes),
                bytes,
                _guard: PhantomData,
            })
        })
    }
}
