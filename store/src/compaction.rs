//! Moving entries together when the sizes of values have shifted.
//!
//! Values of another size need slabs of another class, while the slabs of the old class empty at
//! random and none of them wholly. So while more than a part of the arena lies idle, a class whose
//! free slots make up a part of its slabs gives up the sparsest: they are set aside, so that
//! nothing new gets into them; one walk over the tables looks at every slot's address, and what
//! lies in such a slab is copied elsewhere, put in its place by a compare-and-swap, and retired. A
//! move is no change of the key: version, token and usage bits stay. What could not be moved (a
//! transaction's descriptor stands in the slot, somebody was faster) is left for the next time.
//!
//! Under random removals a class that shrinks by a byte costs about one byte of copying; where the
//! sizes stay what they are, nothing is moved at all.

use std::ptr::NonNull;

use crate::arena::{self, CLASSES, Evacuation, MOBILITIES, Mobility};
use crate::entry::Entry;
use crate::keyspace;
use crate::memory;
use crate::publish;
use crate::reclaim::Guard;
use crate::store::Store;
use crate::table::{Occupied, Spot};

/// Nothing is moved while less than one byte in so many of the slabs in use is idle; ...
const IDLE_PART: u64 = 32;
/// ... while more than one in so many is, every class gives up what it can, and in between ...
const IDLE_PART_MUCH: u64 = 16;
/// ... a class whose free slots would make up two slabs, and one in so many of its slabs that are
/// not full.
const SPARE: Evacuation = Evacuation {
    spare_slabs_min: 2,
    spare_part: 16,
};
const SPARE_WHEN_MUCH: Evacuation = Evacuation {
    spare_slabs_min: 1,
    spare_part: 32,
};
/// The walk looks at so many segments in a step, ...
const SEGMENTS_PER_STEP: usize = 16;
/// ... and moves so many bytes, about.
const BYTES_PER_STEP: usize = 256 << 10;
/// So many classes are looked at in a step.
const CLASSES_PER_STEP: usize = 8;
/// Slabs are looked at so often, after the walk, for what was retired to be freed.
const SETTLING_STEPS: u32 = 20;
/// The pool keeps one slab in so many of what is resident, and some megabytes.
const POOL_PART: u64 = 64;
const POOL_BYTES_MIN: u64 = 2 << 20;
/// So many slabs are given back in a step.
const SLABS_RELEASED_PER_STEP: usize = 512;

/// How far compaction has come.
#[derive(Debug, Default)]
pub(crate) struct Compaction {
    stage: Stage,
    /// The class and mobility that are looked at next.
    next_class: usize,
    /// Slabs set aside.
    slabs: Vec<u32>,
}

#[derive(Clone, Copy, Debug, Default)]
enum Stage {
    /// Looking for classes with too much free.
    #[default]
    Choosing,
    /// Going through the tables, from this database and place on.
    Walking(usize, u64),
    /// Waiting for what was moved to be freed.
    Settling(u32),
}

/// What a step of compaction did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Entries moved.
    pub moved: usize,
    /// Bytes given back to the kernel.
    pub released_bytes: u64,
    /// Whether the next step should come soon.
    pub is_busy: bool,
}

impl Store {
    /// A small step towards less memory: chooses slabs of the arena to be emptied, moves some of
    /// what is in them, or gives free ones back. For a periodic task; a second one at the same
    /// time does nothing.
    pub fn compact(&self) -> Compacted {
        let Ok(mut compaction) = self.compaction().try_lock() else {
            return Compacted::default();
        };
        match compaction.stage {
            Stage::Choosing => self.choose(&mut compaction),
            Stage::Walking(index, place) => self.walk(&mut compaction, index, place),
            Stage::Settling(steps) => settle(&mut compaction, steps),
        }
    }

    /// Gives all free slabs back to the kernel.
    pub fn purge(&self) -> u64 {
        for class in 0..CLASSES {
            for mobility in MOBILITIES {
                arena::survey(class, mobility, None);
            }
        }
        arena::release(0, usize::MAX)
    }

    fn choose(&self, compaction: &mut Compaction) -> Compacted {
        let extent = arena::extent();
        let used = extent.resident_bytes - extent.free_bytes;
        let idle = used.saturating_sub(memory::usage().arena_bytes);
        let evacuation = match () {
            () if idle < used / IDLE_PART => None,
            () if idle < used / IDLE_PART_MUCH => Some(SPARE),
            () => Some(SPARE_WHEN_MUCH),
        };
        for _ in 0..CLASSES_PER_STEP {
            let class = compaction.next_class;
            let fixed = arena::survey(class, Mobility::Fixed, None);
            debug_assert!(fixed.is_empty());
            let chosen = arena::survey(class, Mobility::Movable, evacuation);
            compaction.slabs.extend(chosen);
            compaction.next_class = (class + 1) % CLASSES;
            if compaction.next_class == 0 {
                arena::age_caches();
                if !compaction.slabs.is_empty() || !arena::IS_USED {
                    compaction.stage = Stage::Walking(0, 0);
                }
                break;
            }
        }
        let reserve = POOL_BYTES_MIN.max(extent.resident_bytes / POOL_PART);
        Compacted {
            moved: 0,
            released_bytes: arena::release(reserve, SLABS_RELEASED_PER_STEP),
            is_busy: matches!(compaction.stage, Stage::Walking(..)),
        }
    }

    fn walk(&self, compaction: &mut Compaction, index: usize, mut place: u64) -> Compacted {
        let guard = self.pin();
        let table = &self.keyspace(&guard).database(index).table;
        let (mut moved, mut moved_bytes) = (0, 0);
        let mut next = Some(place);
        for _ in 0..SEGMENTS_PER_STEP {
            next = table.relocate_at(place, &guard, is_evacuated, |spot| {
                if let Some(bytes) = self.relocate(index, spot, &guard) {
                    moved += 1;
                    moved_bytes += bytes;
                }
            });
            match next {
                Some(on) if moved_bytes < BYTES_PER_STEP => place = on,
                _ => break,
            }
        }
        compaction.stage = match next {
            Some(place) => Stage::Walking(index, place),
            None if index + 1 < self.databases() => Stage::Walking(index + 1, 0),
            None => Stage::Settling(0),
        };
        Compacted {
            moved,
            released_bytes: 0,
            is_busy: true,
        }
    }

    /// Puts a copy in an entry's place; the entry's bytes, if nobody was faster.
    fn relocate(&self, index: usize, spot: &Spot<'_>, guard: &Guard) -> Option<usize> {
        let old = keyspace::entry_of(spot.occupied(), guard);
        let copy = dense_copy(old);
        let table = &self.keyspace(guard).database(index).table;
        let is_in = table
            .replace(spot, keyspace::occupied(copy), guard)
            .is_some();
        match is_in {
            true => publish::retire_block(old, guard),
            false => publish::discard_block(copy),
        }
        is_in.then(|| old.memory_bytes())
    }
}

fn is_evacuated(occupied: Occupied) -> bool {
    arena::is_evacuated(occupied.address().cast())
}

/// A copy that does not lie where this thread still had slots of a slab set aside.
fn dense_copy(old: Entry<'_>) -> Entry<'_> {
    let copy = old.copied();
    let start: NonNull<u8> = copy.address().cast();
    if !arena::is_evacuated(start) {
        return copy;
    }
    arena::empty_cache(copy.block().bytes(), Mobility::Movable);
    let denser = old.copied();
    publish::discard_block(copy);
    denser
}

fn settle(compaction: &mut Compaction, steps: u32) -> Compacted {
    let is_over = steps >= SETTLING_STEPS || arena::are_empty(&compaction.slabs);
    if is_over {
        arena::end_evacuation(&compaction.slabs);
        compaction.slabs.clear();
        compaction.stage = Stage::Choosing;
    } else {
        compaction.stage = Stage::Settling(steps + 1);
    }
    Compacted::default()
}

impl Drop for Compaction {
    fn drop(&mut self) {
        arena::end_evacuation(&self.slabs);
    }
}
