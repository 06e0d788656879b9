//! Emptying slabs when the sizes of values have shifted.
//!
//! Values of another size need slabs of another class, while the slabs of the old class empty at
//! random and none of them wholly. So some slabs are set aside, the sparsest of a class, so that
//! nothing new gets into them. When they are quiet ([`Evacuated`](crate::arena::Evacuated)) a
//! [`pass`] goes over what stands in them, finds for each entry the slot that names it, by its key,
//! and copies it elsewhere: the copy is put in its place by a compare-and-swap, and the entry
//! retired. A move is no change of the key: version, token and usage bits stay. What could not be
//! moved (a transaction's descriptor stands in the slot, somebody was faster) is left for the next
//! time. Where nothing of a slab is left it goes to the arena's pool, and from there to the kernel.
//!
//! The cost is that of what is moved: about as much as a write for each entry, however many keys
//! there are beside.
//!
//! # How much
//!
//! Work is counted in bytes of slabs that are gone over.
//!
//! - *At leisure*: while more than a part of the arena lies idle, a periodic task makes steps
//!   ([`Store::compact`]), and only as many slabs are set aside as the holes of the others can
//!   take in. Under random removals a class that shrinks by a byte costs about one byte of
//!   copying; where the sizes stay what they are, nothing is moved at all. While a sixteenth lies
//!   idle the last slab of a class, less than half full, is emptied into slots a little longer.
//! - *For holes*: when a twelfth lies idle, writers take part, in proportion to the bytes they
//!   bring: the periodic task alone is too slow for a load that changes its sizes at full speed.
//! - *Pressed*: when what is physical ([`memory::physical_bytes`]) comes near a 64th above the
//!   limit, writers take part. How much they do for each byte grows with what is too much, and so
//!   does, a little sooner, what eviction lets go beyond the limit ([`excess_bytes`]): entries that
//!   are gone make slabs sparse, and sparse ones are cheap to empty. Between the two there is a
//!   balance, without a threshold at which a writer suddenly has much to do. It is found before it
//!   comes to the next: what goes there is chosen less well.
//! - *Hard pressed*: when it exceeds the limit by more, or a large value comes, while there are few
//!   holes. Then slabs that are nearly full are set aside too, and half of what is in them goes for
//!   good, if the policy has such ([`Verdict`]); the rest moves, but for
//!   the last entries of a class, for which there is no other slab. That is what makes room in time
//!   when values of a megabyte follow on small ones, and far cheaper than to draw every victim.
//! - *Overfull*: at a 40th above the limit a connection waits before it reads more that is long,
//!   and evicts and empties slabs meanwhile, while there is anything to do ([`Store::relieve`]). A
//!   large value takes the place of more small ones than one operation may take for it. And what
//!   was retired and what was set aside wait for every guard: a thread that the kernel has stopped
//!   holds all up, while another goes on to read gigabytes in a second.
//!
//! # Bounds
//!
//! No step may hold up the thread's connections for long, however much is in memory. So each goes
//! over no more than
//!
//! - 128 slabs of a [`Survey`], thrice that where it comes upon the classes one after the other; a
//!   survey of more is gone on with in the next step, and the periodic task makes its steps one
//!   after the other until it is over;
//! - 256 slabs that settle, 2,048 that may be full, of which it takes 256;
//! - 4 kB of slots for a stretch, eight of them or 128 entries in a periodic step, by a writer four
//!   and one for each kilobyte that it writes;
//! - a huge page that the kernel gets back, by who writes a large value twice its length.
//!
//! Looking takes some tens of microseconds, moving mostly fifty and seldom two hundred, giving back
//! up to three hundred, most of which are the kernel's.
//!
//! # Invariants
//!
//! One lock, which is tried for a moment and never waited for, guards the bookkeeping: which slabs
//! are set aside, and which stretch of their slots is next. The stretches themselves are gone over
//! outside of it, on as many threads as like; a pass is over when all were.

#[cfg(all(test, any(mayfly_loom, mayfly_shuttle)))]
mod models;
mod pass;

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::MutexGuard;

use crate::arena::{self, CLASSES, Evacuation, MOBILITIES, Mobility, SLAB_BYTES, Survey};
use crate::db::Db;
use crate::eviction::Verdict;
use crate::memory;
use crate::store::Store;
use pass::{Pass, STRETCH_BYTES, Stretch};

/// No more slabs are set aside together.
const SLABS_MAX: usize = 4096;
/// Nothing is moved at leisure while less than one byte in so many of the slabs in use is idle; ...
const IDLE_PART: u64 = 32;
/// ... while more than one in so many is, every class gives up what it can, and in between ...
const IDLE_PART_MUCH: u64 = 16;
/// ... a class whose free slots would make up two slabs, and one in so many of its slabs that are
/// not full.
const SPARE: Evacuation = Evacuation {
    spare_slabs_min: 2,
    spare_part: 16,
    last_part: None,
    part_min: None,
    slabs_max: SLABS_MAX,
};
const SPARE_WHEN_MUCH: Evacuation = Evacuation {
    spare_slabs_min: 1,
    spare_part: 32,
    last_part: Some(2),
    ..SPARE
};
/// Of each class, when what is in its slabs may go.
const SPARE_WHEN_HARD_PRESSED: Evacuation = Evacuation {
    part_min: Some(8),
    ..SPARE_WHEN_MUCH
};
/// From one byte in so many on, until it is less than [`IDLE_PART_MUCH`] again, free slots that are
/// a little longer are better than new slabs.
const IDLE_PART_FOR_LONGER: u64 = 12;
/// While more than one byte in so many is idle, writers fill holes, ...
const IDLE_PART_FOR_WRITERS: u64 = 12;
/// ... but some are always there.
const IDLE_BYTES_MIN: u64 = 4 << 20;
/// From so much above the limit on more goes than has to for what is charged; ...
const EXCESSIVE: Excess = Excess {
    part: 256,
    bytes_min: 512 << 10,
};
/// ... at so much writers are pressed, ...
const PRESSED: Excess = Excess {
    part: 128,
    bytes_min: 512 << 10,
};
/// ... and do all they can at so much, ...
const PRESSED_FULLY: Excess = Excess {
    part: 64,
    bytes_min: 1 << 20,
};
/// ... hard pressed at a 48th, ...
const HARD_PRESSED: Excess = Excess {
    part: 48,
    bytes_min: 2 << 20,
};
/// ... what is long is not even read at a 40th, ...
const OVERFULL: Excess = Excess {
    part: 40,
    bytes_min: 3 << 20,
};
/// ... and refused at a 16th if nothing may be evicted.
const REFUSED: Excess = Excess {
    part: 16,
    bytes_min: 4 << 20,
};
/// Nothing goes for the sake of physical memory while less than this part of the limit, in
/// quarters, is charged: then the slabs are too coarse for the limit.
const CHARGED_QUARTERS_MIN: u64 = 3;
/// Where much is physical that is too much, so many times more goes than that, ...
const EXCESS_GAIN: u64 = 4;
/// ... but no more than this part of the limit.
const EXCESS_PART_MAX: u64 = 16;
/// A pressed pass takes one slab in so many, and not less than ...
const PASS_PART: usize = 32;
/// ... so many.
const PASS_SLABS_MIN: usize = 8;
/// Passes that wait until they are quiet, and the one that goes on.
const PASSES_MAX: usize = 2;
/// For each byte written, so many of slabs that are set aside are gone over at most.
const PACE: u64 = 8;
/// A writer of a large value has a part in so many passes.
const ROUNDS_MAX: usize = 4;
/// A writer of few bytes takes at most so many stretches, ...
const STRETCHES_MAX: u64 = 4;
/// ... and one more for so many bytes: only who brings much waits for much.
const BYTES_PER_STRETCH: u64 = 1024;
/// A periodic step takes so many.
const STRETCHES_PER_STEP: u64 = 8;
/// A writer looks at so many classes for something to empty, ...
const CLASSES_PER_WRITE: usize = 26;
/// ... and not again before so much more was due.
const REST_BYTES: u64 = 512 << 10;
/// At leisure so many classes are looked at in a step.
const CLASSES_PER_STEP: usize = 13;
/// In either case about so many slabs are, and at most thrice as many: some tens of microseconds,
/// since each look may miss the cache.
const LOOKS_PER_STEP: usize = if cfg!(test) { 16 } else { 128 };
/// A periodic step ends when it has moved so many entries.
const MOVES_PER_STEP: usize = 128;
/// What of a pass is not empty yet is looked at in parts of so many slabs, ...
const SETTLING_SLABS: usize = 64;
/// ... so many parts at a time.
const SETTLING_PARTS: usize = 4;
/// Of full slabs so many are set aside at a time.
const SEIZED_MAX: usize = 256;
/// Slabs are looked at in so many periodic steps, after the walk, for what was retired to be freed.
const SETTLING_STEPS: u32 = 5;
/// The pool keeps one slab in so many of what is resident, and some megabytes, or less where that
/// is more than this part of a limit.
const POOL_PART: u64 = 64;
const POOL_BYTES_MIN: u64 = 2 << 20;
/// When less than this part of the limit is left nothing need be ready for the arena to grow.
const LAST_GROWTH_PART: u64 = 16;
/// So many slabs are given back in a step, a huge page, for which the kernel takes a fraction of a
/// millisecond, ...
const SLABS_RELEASED_PER_STEP: usize = 32;
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
    /// The class that is looked at next, or now.
    next_class: usize,
    /// The look at it, if it is not over.
    survey: Option<Survey>,
    /// The slab from which on full ones are looked for.
    next_slab: u32,
    /// Slabs set aside for the next pass at leisure, while the classes are looked at.
    chosen: Vec<u32>,
    /// The first goes on, those behind it wait until they are quiet.
    passes: VecDeque<Pass>,
    /// Of passes that are over, the slabs that are not empty yet.
    settling: VecDeque<Settling>,
    /// The last periodic step gave slabs back.
    is_releasing: bool,
    /// So much is due before a writer looks again: there was nothing to empty.
    rest_bytes: u64,
    /// The last writer to look came upon so many slabs that it did not look at all its classes.
    is_cut_short: bool,
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
        if !arena::IS_USED {
            let moved = pass::move_all(&db);
            return Compacted {
                moved,
                ..Compacted::default()
            };
        }
        let Some(mut compaction) = self.try_compaction() else {
            return Compacted::default();
        };
        // Steps that follow at once to give slabs back are one look at those that settle.
        let steps = u32::from(!compaction.is_releasing);
        compaction.settle(steps);
        let is_free = compaction.passes.is_empty() && !compaction.begin_pressed(&db, 0);
        // What a survey has in its hands is missed elsewhere.
        if is_free || compaction.survey.is_some() {
            compaction.look_for_idle(&db);
        }
        let limit = self.memory_bytes_max();
        if limit > 0 && memory::charged_bytes() > limit - limit / LAST_GROWTH_PART {
            arena::use_up_ready();
        }
        let released_bytes = release(limit, SLABS_RELEASED_PER_STEP);
        compaction.is_releasing = released_bytes > 0;
        let is_walking = !compaction.passes.is_empty();
        let is_looking = compaction.survey.is_some();
        drop(compaction);
        let moved = walk_some(&db);
        if is_walking && moved == 0 {
            // The pass waits until it is quiet.
            guard.flush();
        }
        Compacted {
            moved,
            released_bytes,
            is_busy: is_walking || is_looking || released_bytes > 0,
        }
    }

    /// The bookkeeping, if nobody else has it for longer than it takes to claim a stretch.
    fn compaction_soon(&self) -> Option<MutexGuard<'_, Compaction>> {
        const TRIES: usize = 100;
        (0..TRIES).find_map(|_| {
            std::hint::spin_loop();
            self.try_compaction()
        })
    }

    /// Gives all free slabs back to the kernel; how many bytes that were.
    pub fn purge(&self) -> u64 {
        for class in 0..CLASSES {
            for mobility in MOBILITIES {
                arena::survey(class, mobility, None);
            }
        }
        arena::release(0, usize::MAX)
    }
}

thread_local! {
    /// What [`excess_bytes`] was last.
    static EXCESS_BYTES: Cell<u64> = const { Cell::new(0) };
}

/// Where a thread found itself at ease.
#[derive(Clone, Copy)]
struct Ease {
    limit: u64,
    /// While so much is charged, ...
    from_bytes: u64,
    /// ... and so much more at most, ...
    span_bytes: u64,
    /// ... it need not look again for so many writes.
    writes: u32,
}

/// A thread looks again when so much more or less is charged, ...
const EASE_BYTES: u64 = 16 << 10;
/// ... sooner where the limit is near, after a part of what is left, ...
const EASE_PART: u64 = 1024;
/// ... and after so many writes in any case.
const EASE_WRITES: u32 = 64;

thread_local! {
    static EASE: Cell<Ease> = const {
        Cell::new(Ease { limit: 0, from_bytes: 0, span_bytes: 0, writes: 0 })
    };
}

/// Whether [`is_at_ease`] was true a few writes ago, and about as much is charged since.
#[inline]
pub(crate) fn is_still_at_ease(limit: u64, bytes: u64) -> bool {
    let ease = EASE.get();
    let more_bytes = memory::charged_bytes().wrapping_sub(ease.from_bytes);
    let writes = ease.writes.saturating_sub(1);
    EASE.set(Ease { writes, ..ease });
    writes > 0 && more_bytes.saturating_add(bytes) < ease.span_bytes && ease.limit == limit
}

/// Whether a write of so many bytes, with what is to stay free, is far from the limit, and there
/// are few holes: then [`press`] has nothing to do, nor eviction.
#[inline(never)]
pub(crate) fn is_at_ease(limit: u64, bytes: u64) -> bool {
    let (charged, slabs) = (memory::charged(), memory::slab_bytes());
    // Both what is charged and what is physical.
    let most = charged.elsewhere + charged.arena.max(slabs) + bytes;
    let is_far = limit == 0 || most <= limit;
    let is_at_ease = is_far && !are_many_holes(slabs, charged.arena) && EXCESS_BYTES.get() == 0;
    let more_bytes = match limit {
        0 => EASE_BYTES,
        _ => EASE_BYTES.min(limit.saturating_sub(most) / EASE_PART),
    };
    EASE.set(Ease {
        limit,
        from_bytes: (charged.elsewhere + charged.arena).saturating_sub(EASE_BYTES),
        span_bytes: EASE_BYTES + more_bytes,
        writes: if is_at_ease { EASE_WRITES } else { 0 },
    });
    is_at_ease
}

/// Does a writer's share of emptying slabs: it is about to write so many bytes. Whether it should
/// not write if nothing may be evicted.
pub(crate) fn press(db: &Db<'_>, bytes: u64) -> bool {
    thread_local! {
        static DUE_BYTES: Cell<u64> = const { Cell::new(0) };
    }
    let limit = db.store().memory_bytes_max();
    let pace_parts = pace_parts(limit, bytes);
    if pace_parts == 0 || db.is_in_transaction() {
        return false;
    }
    let due = DUE_BYTES.get() + bytes * PACE * pace_parts / PARTS;
    DUE_BYTES.set(due % STRETCH_BYTES as u64);
    if limit > 0 && bytes >= SLAB_BYTES as u64 {
        press_much(db, bytes);
    } else if due >= STRETCH_BYTES as u64 {
        work(db, (bytes, due), |compaction| compaction.begin(db, bytes));
    }
    limit > 0 && memory::physical_bytes() + bytes > REFUSED.above(limit) && is_full(limit)
}

/// The share of who writes a large value.
fn press_much(db: &Db<'_>, bytes: u64) {
    let limit = db.store().memory_bytes_max();
    for _ in 0..ROUNDS_MAX {
        let physical = lasting_physical_bytes() + bytes;
        let over = physical.saturating_sub(PRESSED_FULLY.above(limit));
        let due = PACE * (bytes + over);
        let begin = |compaction: &mut Compaction| compaction.begin(db, bytes + over);
        if physical <= PRESSED.above(limit) || !work(db, (bytes, due), begin) || over == 0 {
            break;
        }
    }
    // What goes to the kernel keeps up with what comes from it.
    release(limit, (2 * bytes as usize).div_ceil(SLAB_BYTES));
    db.guard().flush();
}

/// What one of these is of the pace.
const PARTS: u64 = 16;

/// At which part of the pace slabs are to be emptied for a write of so many bytes.
fn pace_parts(limit: u64, bytes: u64) -> u64 {
    if limit > 0 {
        let over = (memory::physical_bytes() + bytes).saturating_sub(PRESSED.above(limit));
        let span = PRESSED_FULLY.above(limit) - PRESSED.above(limit);
        if over > 0 {
            return (over * PARTS).div_ceil(span).min(PARTS);
        }
    }
    if has_many_holes() { PARTS } else { 0 }
}

fn has_many_holes() -> bool {
    are_many_holes(memory::slab_bytes(), memory::arena_bytes_now())
}

/// Whether much of the slabs in use is idle.
fn are_many_holes(used: u64, in_arena: u64) -> bool {
    let idle = used.saturating_sub(in_arena);
    idle > IDLE_BYTES_MIN && idle > used / IDLE_PART_FOR_WRITERS
}

/// By how much less may be charged, so that slabs become sparse enough for what is physical, when
/// so many bytes are about to be written.
///
/// What is physical goes up and down by whole slabs. What is too much is therefore followed by
/// each thread at the pace at which it writes, so that it evicts as steadily; but at once as far as
/// there is `room`, which takes no eviction.
pub(crate) fn excess_bytes(limit: u64, bytes: u64, room: u64) -> u64 {
    let physical = memory::physical_bytes();
    let excess = EXCESS_GAIN * physical.saturating_sub(EXCESSIVE.above(limit));
    let before = EXCESS_BYTES.get();
    let now = excess
        .clamp(before.saturating_sub(bytes), room.max(before + bytes))
        .min(limit / EXCESS_PART_MAX);
    EXCESS_BYTES.set(now);
    now
}

/// What is physical and does not become free by itself when the last readers of what was retired
/// are gone. To move entries because of garbage would make more of it.
fn lasting_physical_bytes() -> u64 {
    memory::physical_bytes().saturating_sub(memory::retired_bytes())
}

/// Goes over as much as is due for a write of so many bytes, of a pass that `begin` begins if there
/// is none; whether there was something to do.
fn work(db: &Db<'_>, (bytes, due): (u64, u64), begin: impl FnOnce(&mut Compaction)) -> bool {
    let store = db.store();
    let Some(mut compaction) = store.compaction_soon() else {
        return false;
    };
    if compaction.is_next_wanted() {
        compaction.settle(0);
        if !compaction.rests(due) {
            begin(&mut compaction);
        }
        release(store.memory_bytes_max(), SLABS_RELEASED_PER_WRITE);
    }
    let is_begun = !compaction.passes.is_empty();
    drop(compaction);
    let stretches = due / STRETCH_BYTES as u64;
    let stretches = stretches.min(STRETCHES_MAX + bytes / BYTES_PER_STRETCH);
    let walked = (0..stretches).map_while(|_| walk(db)).count();
    is_begun && walked > 0
}

/// Gives the kernel free slabs beyond what the pool keeps.
fn release(limit: u64, slabs_max: usize) -> u64 {
    let resident = arena::extent().resident_bytes;
    let least = match limit {
        0 => POOL_BYTES_MIN,
        limit => POOL_BYTES_MIN.min(limit / POOL_PART),
    };
    let reserve = least.max(resident / POOL_PART);
    arena::release(reserve, slabs_max)
}

/// Whether so much is physical that a writer of much should wait.
pub(crate) fn is_overfull(limit: u64) -> bool {
    memory::physical_bytes() > OVERFULL.above(limit)
}

/// Whether what is charged comes near the limit.
fn is_full(limit: u64) -> bool {
    memory::charged_bytes() >= limit / 4 * CHARGED_QUARTERS_MIN
}

/// Goes over a stretch; how many entries were moved, none if there is nothing to do.
fn walk(db: &Db<'_>) -> Option<usize> {
    let stretch = db.store().compaction_soon()?.claim()?;
    Some(stretch.walk(db))
}

/// Goes over some stretches; how many entries were moved.
fn walk_some(db: &Db<'_>) -> usize {
    let mut moved = 0;
    for _ in 0..STRETCHES_PER_STEP {
        match walk(db) {
            Some(by_stretch) => moved += by_stretch,
            None => break,
        }
        if moved >= MOVES_PER_STEP {
            break;
        }
    }
    moved
}

/// What of the slabs in use no block takes.
fn idle_bytes() -> u64 {
    memory::slab_bytes().saturating_sub(memory::in_use().arena_bytes)
}

impl Compaction {
    /// The next stretch of what is quiet.
    fn claim(&mut self) -> Option<Stretch> {
        self.passes.iter_mut().find_map(Pass::claim)
    }

    /// Whether it is time to set slabs aside, so that they are quiet when they are needed.
    fn is_next_wanted(&self) -> bool {
        let going_on = self.passes.iter().filter(|pass| !pass.is_given_out());
        self.passes.iter().all(Pass::is_quiet) && going_on.count() < PASSES_MAX
    }

    /// Ends passes that are over; puts slabs in which nothing is left into the pool, and those back
    /// that were looked at often.
    fn settle(&mut self, steps: u32) {
        for pass in std::mem::take(&mut self.passes) {
            match pass.ended() {
                Ok(slabs) => {
                    let parts = slabs.chunks(SETTLING_SLABS).map(<[u32]>::to_vec);
                    let parts = parts.map(|slabs| Settling { slabs, steps: 0 });
                    self.settling.extend(parts);
                }
                Err(pass) => self.passes.push_back(pass),
            }
        }
        self.settling.iter_mut().for_each(|it| it.steps += steps);
        for _ in 0..SETTLING_PARTS.min(self.settling.len()) {
            let Some(Settling { mut slabs, steps }) = self.settling.pop_front() else {
                break;
            };
            match steps > SETTLING_STEPS {
                true => arena::end_evacuation(std::mem::take(&mut slabs)),
                false => arena::put_empty(&mut slabs),
            }
            if !slabs.is_empty() {
                self.settling.push_back(Settling { slabs, steps });
            }
        }
    }

    /// Looks at some classes, of which slabs are set aside if too much of the arena lies idle.
    fn look_for_idle(&mut self, db: &Db<'_>) {
        let (used, idle) = (memory::slab_bytes(), idle_bytes());
        let evacuation = match () {
            () if idle < used / IDLE_PART => None,
            () if idle < used / IDLE_PART_MUCH => Some(SPARE),
            () => Some(SPARE_WHEN_MUCH),
        };
        let mut looks = LOOKS_PER_STEP;
        for _ in 0..CLASSES_PER_STEP {
            let Some(slabs) = self.survey_next(evacuation, &mut looks) else {
                return;
            };
            self.chosen.extend(slabs);
            if self.next_class == 0 || self.chosen.len() >= SLABS_MAX {
                let slabs = std::mem::take(&mut self.chosen);
                self.push(db, slabs, None);
            }
            if looks == 0 || !self.passes.is_empty() {
                return;
            }
        }
    }

    /// Looks at the next class; its slabs that were set aside. None: it has more slabs than there
    /// are to be looked at now.
    fn survey_next(
        &mut self,
        evacuation: Option<Evacuation>,
        looks: &mut usize,
    ) -> Option<Vec<u32>> {
        let class = self.next_class;
        let begun = self.survey.take();
        let mut survey = begun.unwrap_or_else(|| Survey::begin(class, Mobility::Fixed));
        let slabs = loop {
            let is_movable = survey.mobility() == Mobility::Movable;
            let evacuation = evacuation.filter(|_| is_movable);
            // One that was begun is gone on with by what is left, be it little.
            match survey.go_on(looks, evacuation) {
                None => {
                    self.survey = Some(survey);
                    return None;
                }
                Some(slabs) if is_movable => break slabs,
                Some(fixed) => debug_assert!(fixed.is_empty()),
            }
            survey = Survey::begin(class, Mobility::Movable);
        };
        self.next_class = (class + 1) % CLASSES;
        if self.next_class == 0 {
            // A slot in a thread's cache keeps a slab of a class that nobody needs any more.
            arena::age_caches();
            let (used, idle) = (memory::slab_bytes(), idle_bytes());
            if idle > used / IDLE_PART_FOR_LONGER || idle < used / IDLE_PART_MUCH {
                arena::note_idle(idle > used / IDLE_PART_MUCH);
            }
        }
        Some(slabs)
    }

    /// Begins a pass for a write of so many bytes, if there is something to empty.
    fn begin(&mut self, db: &Db<'_>, bytes: u64) {
        let is_begun =
            self.begin_pressed(db, bytes) || has_many_holes() && self.begin_for_holes(db);
        if !is_begun && self.survey.is_none() {
            self.rest_bytes = match self.is_cut_short {
                true => REST_BYTES / 2,
                false => REST_BYTES,
            };
        }
    }

    /// Begins a pass if what is physical demands one for a write of so many bytes and there is
    /// something to empty; whether it does.
    fn begin_pressed(&mut self, db: &Db<'_>, bytes: u64) -> bool {
        let limit = db.store().memory_bytes_max();
        if limit == 0 || lasting_physical_bytes() + bytes <= PRESSED.above(limit) {
            return false;
        }
        let wanted = pass_slabs();
        let mut slabs = std::mem::take(&mut self.chosen);
        self.survey_some(&mut slabs, wanted, SPARE_WHEN_MUCH);
        // Again: slabs that were found empty are in the pool by now.
        let physical = lasting_physical_bytes();
        // Holes would not do for a large value either.
        let is_hard = physical > HARD_PRESSED.above(limit)
            || bytes >= SLAB_BYTES as u64 && physical + bytes > PRESSED.above(limit);
        let mut verdict = None;
        if slabs.is_empty() && self.survey.is_none() && is_hard && is_full(limit) {
            verdict = db.verdict();
        }
        if verdict.is_some() {
            self.survey_some(&mut slabs, wanted, SPARE_WHEN_HARD_PRESSED);
            let slabs_max = wanted.saturating_sub(slabs.len()).min(SEIZED_MAX);
            slabs.extend(arena::seize(&mut self.next_slab, slabs_max));
        }
        self.push(db, slabs, verdict)
    }

    /// Begins a pass over the sparsest slabs; whether there are any.
    fn begin_for_holes(&mut self, db: &Db<'_>) -> bool {
        let wanted = pass_slabs();
        let mut slabs = std::mem::take(&mut self.chosen);
        self.survey_some(&mut slabs, wanted, SPARE_WHEN_MUCH);
        self.push(db, slabs, None)
    }

    /// Begins a pass over these slabs; whether there are any.
    fn push(&mut self, db: &Db<'_>, slabs: Vec<u32>, verdict: Option<Verdict>) -> bool {
        let is_any = !slabs.is_empty();
        if is_any {
            self.passes.push_back(Pass::new(db, slabs, verdict));
        }
        is_any
    }

    /// Looks at some classes in turn until so many slabs are set aside, or it is enough for now.
    fn survey_some(&mut self, slabs: &mut Vec<u32>, wanted: usize, spare: Evacuation) {
        let mut looks = LOOKS_PER_STEP;
        for _ in 0..CLASSES_PER_WRITE {
            let slabs_max = wanted.saturating_sub(slabs.len());
            let evacuation = Evacuation { slabs_max, ..spare };
            let Some(chosen) = self.survey_next(Some(evacuation), &mut looks) else {
                break;
            };
            slabs.extend(chosen);
            if slabs.len() >= wanted || looks == 0 {
                break;
            }
        }
        self.is_cut_short = looks == 0;
    }

    /// Whether a writer for whom so much is due need not look for something to empty.
    fn rests(&mut self, due: u64) -> bool {
        let rests = self.rest_bytes > 0;
        self.rest_bytes = self.rest_bytes.saturating_sub(due);
        rests
    }
}

/// How many slabs a pressed pass takes.
fn pass_slabs() -> usize {
    (arena::slabs_in_use() / PASS_PART).clamp(PASS_SLABS_MIN, SLABS_MAX)
}

impl Drop for Compaction {
    fn drop(&mut self) {
        drop(self.survey.take());
        let of_passes = self.passes.drain(..).map(Pass::abandoned);
        let chosen = std::mem::take(&mut self.chosen);
        let settling = self.settling.drain(..).map(|settling| settling.slabs);
        settling
            .chain(of_passes)
            .chain([chosen])
            .for_each(arena::end_evacuation);
    }
}
