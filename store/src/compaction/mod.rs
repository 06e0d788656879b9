//! Emptying slabs when the sizes of values have shifted.
//!
//! Values of another size need slabs of another class, while the slabs of the old class empty at
//! random and none of them wholly. So some slabs are set aside, the sparsest of a class, so that
//! nothing new gets into them; one [`pass`] over the tables looks at every slot's address, and
//! what lies in such a slab is copied elsewhere, put in its place by a compare-and-swap, and
//! retired. A move is no change of the key: version, token and usage bits stay. What could not be
//! moved (a transaction's descriptor stands in the slot, somebody was faster) is left for the next
//! time. Where nothing of a slab is left it goes to the arena's pool, and from there to the kernel.
//!
//! # How much
//!
//! - *At leisure*: while more than a part of the arena lies idle, a periodic task makes steps
//!   ([`Store::compact`]), and only as many slabs are set aside as the holes of the others can
//!   take in. Under random removals a class that shrinks by a byte costs about one byte of
//!   copying; where the sizes stay what they are, nothing is moved at all.
//! - *For holes*: when a twelfth lies idle, writers make the steps, so many for each byte they
//!   bring that about as much becomes free: the periodic task alone is too slow for a load that
//!   changes its sizes at full speed.
//! - *Pressed*: when what is physical ([`memory::physical_bytes`]) exceeds the limit a little,
//!   writers make the steps, so many for each byte they bring that a pass is over before its gain
//!   is used up, but for a few bytes no more than a few ([`press`]).
//! - *Hard pressed*: when it exceeds the limit by more, or a large value comes, while there are few
//!   holes. Then slabs that are nearly full are set aside too, and half of what is in them goes for
//!   good, if the policy has such ([`Verdict`]); the rest moves, but for
//!   the last entries of a class, for which there is no other slab. That is what makes room in time
//!   when values of a megabyte follow on small ones, and far cheaper than to draw every victim.
//!
//! # Invariants
//!
//! One lock, which is tried for a moment and never waited for, guards the bookkeeping: which slabs
//! are set aside, and which stretch of which table is walked next. The walks themselves run outside
//! of it, on as many threads as like; a pass is over when all stretches were walked.

mod pass;

use std::cell::Cell;
use std::sync::MutexGuard;

use crate::arena::{self, CLASSES, Evacuation, MOBILITIES, Mobility, SLAB_BYTES};
use crate::db::Db;
use crate::eviction::Verdict;
use crate::memory;
use crate::store::Store;
use pass::Pass;

/// Nothing is moved at leisure while less than one byte in so many of the slabs in use is idle; ...
const IDLE_PART: u64 = 32;
/// ... while more than one in so many is, every class gives up what it can, and in between ...
const IDLE_PART_MUCH: u64 = 16;
/// ... a class whose free slots would make up two slabs, and one in so many of its slabs that are
/// not full.
const SPARE: Evacuation = Evacuation {
    spare_slabs_min: 2,
    spare_part: 16,
    part_min: None,
    slabs_max: usize::MAX,
};
const SPARE_WHEN_MUCH: Evacuation = Evacuation {
    spare_slabs_min: 1,
    spare_part: 32,
    ..SPARE
};
/// Of each class, when what is in its slabs may go.
const SPARE_WHEN_HARD_PRESSED: Evacuation = Evacuation {
    part_min: Some(8),
    ..SPARE_WHEN_MUCH
};
/// While more than one byte in so many is idle, writers fill holes, ...
const IDLE_PART_FOR_WRITERS: u64 = 12;
/// ... but some are always there, ...
const IDLE_BYTES_MIN: u64 = 4 << 20;
/// ... each when it has written so much.
const SHARE_BYTES: u64 = 4096;
/// Writers are pressed when what is physical is above the limit by a 64th of it, ...
const PRESSED: Excess = Excess {
    part: 64,
    bytes_min: 1 << 20,
};
/// ... hard pressed at a 48th, ...
const HARD_PRESSED: Excess = Excess {
    part: 48,
    bytes_min: 2 << 20,
};
/// ... and refused at a 16th if nothing may be evicted.
const REFUSED: Excess = Excess {
    part: 16,
    bytes_min: 4 << 20,
};
/// Nothing goes for the sake of physical memory while less than this part of the limit, in
/// quarters, is charged: then the slabs are too coarse for the limit.
const CHARGED_QUARTERS_MIN: u64 = 3;
/// A pressed pass takes one slab in so many, and not less than ...
const PASS_PART: usize = 32;
/// ... so many.
const PASS_SLABS_MIN: usize = 8;
/// One for holes has more time, and takes more: it walks over whole tables in any case.
const PASS_PART_FOR_HOLES: usize = 8;
/// A pass is to be over when one byte was written for so many that it may gain.
const PACE: u64 = 8;
/// A writer of a large value has a part in so many passes.
const ROUNDS_MAX: usize = 4;
/// A writer of few bytes walks at most so many stretches, ...
const STRETCHES_MAX: u64 = 2;
/// ... and one more for so many bytes: only who brings much waits for much.
const BYTES_PER_STRETCH: u64 = 1024;
/// At leisure so many classes are looked at in a step.
const CLASSES_PER_STEP: usize = 8;
/// Slabs are looked at in so many periodic steps, after the walk, for what was retired to be freed.
const SETTLING_STEPS: u32 = 5;
/// The pool keeps one slab in so many of what is resident, and some megabytes.
const POOL_PART: u64 = 64;
const POOL_BYTES_MIN: u64 = 2 << 20;
/// So many slabs are given back in a step, ...
const SLABS_RELEASED_PER_STEP: usize = 512;
/// ... and so many by a writer.
const SLABS_RELEASED_PER_WRITE: usize = 32;

/// By how much what is physical may exceed the limit. Each class of each thread may have a slab or
/// two that are not full, which is much of a small limit.
struct Excess {
    part: u64,
    bytes_min: u64,
}

impl Excess {
    fn above(&self, limit: u64) -> u64 {
        limit + (limit / self.part).max(self.bytes_min)
    }
}

/// How far compaction has come.
#[derive(Debug, Default)]
pub(crate) struct Compaction {
    /// The class that is looked at next.
    next_class: usize,
    /// The slab from which on full ones are looked for.
    next_slab: u32,
    /// Slabs set aside for the next pass at leisure, while the classes are looked at.
    chosen: Vec<u32>,
    pass: Option<Pass>,
    /// Of passes that are over, the slabs that are not empty yet.
    settling: Vec<Settling>,
    /// So many bytes are written before a pressed writer looks again: there was nothing to empty.
    fruitless_bytes: u64,
}

#[derive(Debug)]
struct Settling {
    slabs: Vec<u32>,
    steps: u32,
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
    /// what is in them, or gives free ones back. For a periodic task.
    pub fn compact(&self, now_ms: u64) -> Compacted {
        let guard = self.pin();
        let db = self.db(0, &guard, now_ms);
        let Ok(mut compaction) = self.compaction().try_lock() else {
            return Compacted::default();
        };
        compaction.settle(1);
        if compaction.pass.is_none() && !compaction.begin_pressed(&db, 0) {
            compaction.look_for_idle(self);
        }
        let released_bytes = compaction.release(SLABS_RELEASED_PER_STEP);
        let moved = walk(&db, compaction);
        Compacted {
            moved: moved.unwrap_or(0),
            released_bytes,
            is_busy: moved.is_some(),
        }
    }

    /// The bookkeeping, if nobody else has it for longer than it takes to claim a stretch.
    fn compaction_soon(&self) -> Option<MutexGuard<'_, Compaction>> {
        const TRIES: usize = 100;
        (0..TRIES).find_map(|_| {
            std::hint::spin_loop();
            self.compaction().try_lock().ok()
        })
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
}

/// Does a writer's share of filling holes where there are many: it is about to write so many bytes.
pub(crate) fn fill_holes(db: &Db<'_>, bytes: u64) {
    thread_local! {
        static WRITTEN_BYTES: Cell<u64> = const { Cell::new(0) };
    }
    if !has_many_holes() || db.is_in_transaction() {
        return;
    }
    let written = WRITTEN_BYTES.get() + bytes;
    if written < SHARE_BYTES {
        WRITTEN_BYTES.set(written);
        return;
    }
    WRITTEN_BYTES.set(0);
    if work(db, (written, 0), |compaction| {
        compaction.begin_for_holes(db)
    }) {
        db.guard().flush();
    }
}

fn has_many_holes() -> bool {
    let used = memory::slab_bytes();
    let idle = used.saturating_sub(memory::told_arena_bytes());
    idle > (used / IDLE_PART_FOR_WRITERS).max(IDLE_BYTES_MIN)
}

/// Does a writer's share of emptying slabs, if it is pressed: it is about to write so many bytes.
/// Whether it should not write if nothing may be evicted.
pub(crate) fn press(db: &Db<'_>, bytes: u64) -> bool {
    let store = db.store();
    let limit = store.memory_bytes_max();
    if memory::physical_bytes() + bytes <= PRESSED.above(limit) || db.is_in_transaction() {
        return false;
    }
    let rounds = match bytes < SLAB_BYTES as u64 {
        true => 1,
        false => ROUNDS_MAX,
    };
    for _ in 0..rounds {
        let physical = physical_bytes() + bytes;
        let over = physical.saturating_sub(HARD_PRESSED.above(limit));
        if physical <= PRESSED.above(limit) || !press_once(db, (bytes, over)) || over == 0 {
            break;
        }
    }
    db.guard().flush();
    memory::physical_bytes() + bytes > REFUSED.above(limit) && is_full(limit)
}

/// A pressed writer's share, for so many bytes that it brings and so many that are too much.
fn press_once(db: &Db<'_>, (bytes, over): (u64, u64)) -> bool {
    work(db, (bytes, over), |compaction| {
        compaction.begin_pressed(db, bytes + over);
    })
}

/// What is physical and does not become free by itself when the last readers of what was retired
/// are gone. To move entries because of garbage would make more of it.
fn physical_bytes() -> u64 {
    memory::physical_bytes().saturating_sub(memory::usage().retired_bytes)
}

/// Walks as much as is due for so many bytes and what is too much, of a pass that `begin` begins if
/// there is none; whether there was something to walk.
fn work(db: &Db<'_>, (bytes, over): (u64, u64), begin: impl FnOnce(&mut Compaction)) -> bool {
    let store = db.store();
    let Some(mut compaction) = store.compaction_soon() else {
        return false;
    };
    compaction.settle(0);
    if compaction.pass.is_none() && !compaction.rests(bytes + over) {
        begin(&mut compaction);
    }
    compaction.release(SLABS_RELEASED_PER_WRITE);
    let steps = compaction.steps_due(bytes + over);
    let steps = steps.min(STRETCHES_MAX + bytes / BYTES_PER_STRETCH);
    drop(compaction);
    for _ in 0..steps {
        if let Some(compaction) = store.compaction_soon()
            && walk(db, compaction).is_none()
        {
            break;
        }
    }
    steps > 0
}

/// Whether what is charged comes near the limit.
fn is_full(limit: u64) -> bool {
    memory::charged_bytes() >= limit / 4 * CHARGED_QUARTERS_MIN
}

/// Walks a stretch of the pass that goes on; how many entries were moved, none if there was nothing
/// to walk.
fn walk(db: &Db<'_>, mut compaction: MutexGuard<'_, Compaction>) -> Option<usize> {
    let stretch = compaction.pass.as_mut()?.claim(db)?;
    drop(compaction);
    Some(stretch.walk(db))
}

/// What of the slabs in use no block takes.
fn idle_bytes() -> u64 {
    memory::slab_bytes().saturating_sub(memory::usage().arena_bytes)
}

impl Compaction {
    /// Ends a pass that is over; puts slabs in which nothing is left into the pool, and those back
    /// that were looked at often.
    fn settle(&mut self, steps: u32) {
        if let Some(pass) = self.pass.take_if(|pass| pass.is_over()) {
            let slabs = pass.slabs;
            self.settling.push(Settling { slabs, steps: 0 });
        }
        for settling in &mut self.settling {
            settling.steps += steps;
            arena::put_empty(&mut settling.slabs);
            if settling.steps > SETTLING_STEPS {
                arena::end_evacuation(std::mem::take(&mut settling.slabs));
            }
        }
        self.settling.retain(|settling| !settling.slabs.is_empty());
    }

    /// Gives the kernel free slabs beyond what the pool keeps.
    fn release(&self, slabs_max: usize) -> u64 {
        let resident = arena::extent().resident_bytes;
        let reserve = POOL_BYTES_MIN.max(resident / POOL_PART);
        arena::release(reserve, slabs_max)
    }

    /// Looks at some classes, of which slabs are set aside if too much of the arena lies idle.
    fn look_for_idle(&mut self, store: &Store) {
        let (used, idle) = (memory::slab_bytes(), idle_bytes());
        let evacuation = match () {
            () if idle < used / IDLE_PART => None,
            () if idle < used / IDLE_PART_MUCH => Some(SPARE),
            () => Some(SPARE_WHEN_MUCH),
        };
        for _ in 0..CLASSES_PER_STEP {
            let slabs = self.survey_next(evacuation);
            self.chosen.extend(slabs);
            if self.next_class == 0 {
                // Where there is no arena everything moves, so that tests see it.
                if !self.chosen.is_empty() || !arena::IS_USED {
                    let slabs = std::mem::take(&mut self.chosen);
                    self.pass = Some(Pass::new(store, slabs, None));
                }
                return;
            }
        }
    }

    /// Looks at the next class; its slabs that were set aside.
    fn survey_next(&mut self, evacuation: Option<Evacuation>) -> Vec<u32> {
        let class = self.next_class;
        let fixed = arena::survey(class, Mobility::Fixed, None);
        debug_assert!(fixed.is_empty());
        self.next_class = (class + 1) % CLASSES;
        if self.next_class == 0 {
            arena::age_caches();
        }
        arena::survey(class, Mobility::Movable, evacuation)
    }

    /// Begins a pass if what is physical demands one for a write of so many bytes and there is
    /// something to empty; whether it does.
    fn begin_pressed(&mut self, db: &Db<'_>, bytes: u64) -> bool {
        let store = db.store();
        let limit = store.memory_bytes_max();
        if limit == 0 || physical_bytes() + bytes <= PRESSED.above(limit) {
            return false;
        }
        // A slot in a thread's cache keeps a slab of a class that nobody needs any more.
        arena::age_caches();
        let wanted = PASS_SLABS_MIN.max(arena::slabs_in_use() / PASS_PART);
        let mut slabs = std::mem::take(&mut self.chosen);
        if idle_bytes() >= memory::slab_bytes() / IDLE_PART_MUCH {
            self.survey_all(&mut slabs, wanted, SPARE_WHEN_MUCH);
        }
        // Again: slabs that were found empty are in the pool by now.
        let physical = physical_bytes();
        // Holes would not do for a large value either.
        let is_hard = physical > HARD_PRESSED.above(limit)
            || bytes >= SLAB_BYTES as u64 && physical + bytes > PRESSED.above(limit);
        let mut verdict = None;
        if slabs.is_empty() && is_hard && is_full(limit) {
            verdict = db.verdict();
        }
        if verdict.is_some() {
            self.survey_all(&mut slabs, wanted, SPARE_WHEN_HARD_PRESSED);
            let slabs_max = wanted.saturating_sub(slabs.len());
            slabs.extend(arena::seize(&mut self.next_slab, slabs_max));
        }
        self.begin(store, slabs, verdict, wanted)
    }

    /// Begins a pass over the sparsest slabs, if there are any.
    fn begin_for_holes(&mut self, db: &Db<'_>) {
        arena::age_caches();
        let wanted = PASS_SLABS_MIN.max(arena::slabs_in_use() / PASS_PART_FOR_HOLES);
        let mut slabs = std::mem::take(&mut self.chosen);
        self.survey_all(&mut slabs, wanted, SPARE_WHEN_MUCH);
        self.begin(db.store(), slabs, None, wanted);
    }

    /// Begins a pass over these slabs, of so many that were wanted; whether there are any.
    fn begin(
        &mut self,
        store: &Store,
        slabs: Vec<u32>,
        verdict: Option<Verdict>,
        wanted: usize,
    ) -> bool {
        if slabs.is_empty() {
            self.fruitless_bytes = (wanted * SLAB_BYTES) as u64 / PACE;
            return false;
        }
        self.pass = Some(Pass::new(store, slabs, verdict));
        true
    }

    /// Looks at the classes in turn until so many slabs are set aside.
    fn survey_all(&mut self, slabs: &mut Vec<u32>, wanted: usize, spare: Evacuation) {
        for _ in 0..CLASSES {
            let slabs_max = wanted.saturating_sub(slabs.len());
            slabs.extend(self.survey_next(Some(Evacuation { slabs_max, ..spare })));
            if slabs.len() >= wanted {
                break;
            }
        }
    }

    /// Whether a pressed writer of so many bytes need not look for something to empty.
    fn rests(&mut self, bytes: u64) -> bool {
        let rests = self.fruitless_bytes > 0;
        self.fruitless_bytes = self.fruitless_bytes.saturating_sub(bytes.max(1));
        rests
    }

    /// How many stretches a writer of so many bytes has to walk.
    fn steps_due(&self, bytes: u64) -> u64 {
        self.pass.as_ref().map_or(0, |pass| {
            let gain_bytes = (pass.slabs.len() * SLAB_BYTES) as u64;
            (bytes * PACE * pass.stretches).div_ceil(gain_bytes.max(1))
        })
    }
}

impl Drop for Compaction {
    fn drop(&mut self) {
        let of_pass = self.pass.take().map(|pass| pass.slabs);
        let chosen = std::mem::take(&mut self.chosen);
        let settling = self.settling.drain(..).map(|settling| settling.slabs);
        settling
            .chain(of_pass)
            .chain([chosen])
            .for_each(arena::end_evacuation);
    }
}
