//! Emptying the slabs that were set aside, in stretches of their slots.

use std::ops::Range;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::arena::{self, Evacuated, Slot};
use crate::db::Db;
use crate::entry::Entry;
use crate::eviction::Verdict;
use crate::keyspace;
use crate::publish;
use crate::table::{Key, Spot};

/// A stretch is so many bytes of slots, or one slot.
pub(super) const STRETCH_BYTES: usize = 4096;

/// Slabs that are being emptied.
#[derive(Debug)]
pub(super) struct Pass {
    /// Each stretch that is being walked has it, too.
    evacuated: Arc<Evacuated>,
    /// What of the entries goes; without one, all move.
    verdict: Option<Verdict>,
    /// The next stretch: which of the slabs, and from which slot on.
    next: (usize, usize),
}

/// Some slots of a slab.
#[derive(Debug)]
pub(super) struct Stretch {
    evacuated: Arc<Evacuated>,
    /// Which of the slabs.
    at: usize,
    slots: Range<usize>,
    verdict: Option<Verdict>,
}

impl Pass {
    pub(super) fn new(db: &Db<'_>, slabs: Vec<u32>, verdict: Option<Verdict>) -> Pass {
        Pass {
            evacuated: Arc::new(Evacuated::new(slabs, db.guard())),
            verdict,
            next: (0, 0),
        }
    }

    /// Whether it may go on: somebody may still write into the slabs.
    pub(super) fn is_quiet(&self) -> bool {
        self.evacuated.is_quiet()
    }

    /// The next stretch, if there is one by now.
    pub(super) fn claim(&mut self) -> Option<Stretch> {
        let (at, first) = self.next;
        if at == self.evacuated.slabs().len() || !self.is_quiet() {
            return None;
        }
        let (slots, bytes) = self.evacuated.shape(at);
        let end = slots.min(first + (STRETCH_BYTES / bytes).max(1));
        self.next = match end == slots {
            true => (at + 1, 0),
            false => (at, end),
        };
        Some(Stretch {
            evacuated: Arc::clone(&self.evacuated),
            at,
            slots: first..end,
            verdict: self.verdict,
        })
    }

    /// Whether all stretches were given out.
    pub(super) fn is_given_out(&self) -> bool {
        self.next.0 == self.evacuated.slabs().len()
    }

    /// The slabs, if all stretches were walked; else the pass.
    pub(super) fn ended(self) -> Result<Vec<u32>, Pass> {
        if !self.is_given_out() {
            return Err(self);
        }
        let Pass {
            evacuated,
            verdict,
            next,
        } = self;
        let evacuated = Arc::try_unwrap(evacuated);
        evacuated
            .map(Evacuated::into_slabs)
            .map_err(|evacuated| Pass {
                evacuated,
                verdict,
                next,
            })
    }

    /// The slabs, walked or not, of a store that nobody uses any more.
    pub(super) fn abandoned(self) -> Vec<u32> {
        self.evacuated.slabs().to_vec()
    }
}

impl Stretch {
    /// Empties the slots; how many entries were moved.
    pub(super) fn walk(&self, db: &Db<'_>) -> usize {
        let range = (self.at, self.slots.clone());
        let table = &db.database().table;
        let mut taken: SmallVec<[Slot<'_>; 32]> = SmallVec::new();
        // What is emptied was not looked at for long: the waits for each slot's start, and then
        // for each key's home, overlap.
        for slot in self.evacuated.taken(range, db.guard()) {
            slot.prefetch();
            taken.push(slot);
        }
        let mut standing: SmallVec<[(Key<'_>, usize); 32]> = SmallVec::new();
        for slot in taken {
            if let Some(bytes) = Entry::key_in(slot) {
                let key = Key::new(bytes, db.store().hash(bytes));
                table.foresee(key, db.guard());
                standing.push((key, slot.start().as_ptr().addr()));
            }
        }
        let mut moved = 0;
        let mut near = db.outside(db.index());
        for (key, address) in standing {
            let Some((at, spot)) = find(&near, &key, address) else {
                continue;
            };
            near = at;
            let entry = keyspace::entry_of(spot.occupied(), db.guard());
            let is_gone = self.verdict.is_some_and(|verdict| {
                // The last of a class would only go round from slab to slab.
                let is_costly = !arena::has_spare(entry.block().bytes());
                near.goes(entry, &verdict, is_costly)
            });
            moved += usize::from(!is_gone && relocate(&near, entry, &spot));
        }
        moved
    }
}

/// In which database a key's slot names what stands at an address, and where, from one database
/// on; none if it was removed or replaced, or if there is no entry.
fn find<'g>(from: &Db<'g>, key: &Key<'_>, address: usize) -> Option<(Db<'g>, Spot<'g>)> {
    let databases = from.store().databases();
    (0..databases).find_map(|at| {
        let db = from.outside((from.index() + at) % databases);
        let table = &db.database().table;
        let spot = table.naming(key, address, db.guard())?;
        Some((db, spot))
    })
}

/// Puts a copy in an entry's place, unless somebody was faster.
fn relocate(db: &Db<'_>, old: Entry<'_>, spot: &Spot<'_>) -> bool {
    let copy = old.copied();
    let table = &db.database().table;
    let is_in = table
        .replace(spot, keyspace::occupied(copy), db.guard())
        .is_some();
    match is_in {
        true => publish::retire_block(old, db.guard()),
        false => publish::discard_block(copy),
    }
    is_in
}

/// Moves every entry: where there is no arena, so that tests see entries move.
pub(super) fn move_all(db: &Db<'_>) -> usize {
    let mut moved = 0;
    for index in 0..db.store().databases() {
        let db = db.outside(index);
        let table = &db.database().table;
        table.relocate_all(db.guard(), |spot| {
            let entry = keyspace::entry_of(spot.occupied(), db.guard());
            moved += usize::from(relocate(&db, entry, spot));
        });
    }
    moved
}
