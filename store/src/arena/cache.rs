//! Free slots of a thread's own.
//!
//! Caches belong to a thread's seat (`thread`), and are emptied when the thread ends. One without
//! a seat, which is ending, takes slots one at a time.

use std::cell::UnsafeCell;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, Ordering};

use crossbeam_utils::CachePadded;

use super::classes::{self, BATCH_MAX, CLASSES};
use super::region::{Region, SLAB_BYTES, Units};
use super::scale::{Scale, scale};
use super::{MOBILITIES, Mobility, slab, stack};
use crate::sync::IS_MODEL;
use crate::table::prefetch;
use crate::thread::{self, THREADS_MAX};

const LINE_BYTES: usize = 64;
/// Slots begin at multiples of this.
const FOUR: usize = Mobility::Movable.align();

/// Free slots of one slab.
#[repr(C, align(64))]
struct Cache {
    slab: u32,
    len: u8,
    /// The age at which it was filled last.
    filled: u8,
    /// Where the slots begin in the slab, in fours.
    starts: [u16; BATCH_MAX],
}

const _: () = assert!(size_of::<Cache>() == 64);
const _: () = assert!(
    2 * SLAB_BYTES / FOUR <= 1 << 16,
    "starts in a pair of slabs"
);

struct Caches {
    by_class: [[Cache; CLASSES]; MOBILITIES.len()],
    /// The age at which unused caches were given back last.
    tidied: u8,
}

const NONE: Cache = Cache {
    slab: 0,
    len: 0,
    filled: 0,
    starts: [0; BATCH_MAX],
};

/// Invariant: only the thread that has the seat uses its caches, one call at a time.
struct Seat(UnsafeCell<Caches>);

// SAFETY: the invariant; a seat passes from thread to thread under a lock.
unsafe impl Sync for Seat {}

static SEATS: [CachePadded<Seat>; THREADS_MAX] = [const {
    CachePadded::new(Seat(UnsafeCell::new(Caches {
        by_class: [const { [NONE; CLASSES] }; MOBILITIES.len()],
        tidied: 0,
    })))
}; THREADS_MAX];

/// Rises from time to time; what was filled two ages ago is given back.
static AGE: AtomicU8 = AtomicU8::new(0);

/// A slot of a class; none if there is no memory.
#[inline(always)]
pub(super) fn take(
    region: &'static Region,
    class: usize,
    mobility: Mobility,
) -> Option<NonNull<u8>> {
    let class = serving(class, mobility);
    match thread::known_index() {
        seat @ ..THREADS_MAX => take_with(seat, region, class, mobility),
        _ => take_unseated(region, class, mobility),
    }
}

/// A slot out of what belongs to a seat, which is that of this thread.
#[inline(always)]
fn take_with(
    seat: usize,
    region: &'static Region,
    class: usize,
    mobility: Mobility,
) -> Option<NonNull<u8>> {
    // SAFETY: the invariant of `Seat`; nothing called below comes back here.
    let caches = unsafe { &mut *SEATS[seat].0.get() };
    let cache = &mut caches.by_class[mobility as usize][class];
    if cache.len == 0 || region.evacuated.has(cache.slab) {
        caches.refill(region, class, mobility);
    }
    caches.by_class[mobility as usize][class].pop(region)
}

/// For a thread that has no seat yet, or none any more.
#[cold]
fn take_unseated(region: &'static Region, class: usize, mobility: Mobility) -> Option<NonNull<u8>> {
    if let Some(seat) = thread::seat() {
        return take_with(seat, region, class, mobility);
    }
    let mut one = NONE;
    fill(region, class, mobility, (&mut one, 1));
    one.pop(region)
}

impl Cache {
    fn pop(&mut self, region: &'static Region) -> Option<NonNull<u8>> {
        self.len = self.len.checked_sub(1)?;
        let address = |at: usize| region.address(self.slab, usize::from(self.starts[at]) * FOUR);
        let len = usize::from(self.len);
        // The one after this, which was freed some time ago.
        let next = address(len.saturating_sub(1)).as_ptr().addr();
        prefetch(next);
        prefetch(next + LINE_BYTES);
        Some(address(len))
    }

    fn empty(&mut self, region: &'static Region) {
        let len = std::mem::take(&mut self.len);
        if len == 0 {
            return;
        }
        let slab = region.slab(self.slab);
        for &start in &self.starts[..usize::from(len)] {
            slab.at(usize::from(start) * FOUR).set_free();
        }
        slab.count_free(i32::from(len));
    }
}

/// What a thread has of each class would be much of a small limit: it takes one slot at a time for
/// so many slabs in use, ...
const SLABS_PER_SLOT: usize = 32;
/// ... and at least so many.
const BATCH_MIN: usize = 2;

/// How many slots of a class a thread takes at a time.
fn batch(region: &'static Region, class: usize) -> usize {
    let most = classes::class(class).batch as usize;
    match scale() {
        Scale::Large => most,
        _ => most.min((region.slabs_in_use() / SLABS_PER_SLOT).max(BATCH_MIN)),
    }
}

/// The longer classes whose free slots serve for one where a new slab would be much of all there
/// may be, or of what is idle.
fn longer_ones(class: usize, mobility: Mobility) -> impl Iterator<Item = usize> {
    let part = match mobility {
        Mobility::Movable => scale().longer_part(),
        Mobility::Fixed => None,
    };
    part.into_iter()
        .flat_map(move |part| classes::longer_ones(class, part))
}

/// A slab of a longer class that has free slots. The caller holds it.
fn pop_longer(region: &'static Region, class: usize, mobility: Mobility) -> Option<u32> {
    longer_ones(class, mobility).find_map(|longer| stack::of(longer, mobility).pop(region))
}

/// Whether a longer class had free slots a moment ago that serve for this one.
pub(super) fn may_pop_longer(class: usize, mobility: Mobility) -> bool {
    longer_ones(class, mobility).any(|longer| !stack::of(longer, mobility).is_empty())
}

/// Whether there were free slots for a class a moment ago, of its own or longer ones.
pub(super) fn may_pop(class: usize, mobility: Mobility) -> bool {
    let is_any = |class| !stack::of(class, mobility).is_empty();
    is_any(class) || is_any(classes::coarse(class)) || may_pop_longer(class, mobility)
}

/// From so many slabs of a class on, if there is no small limit, lengths between two of the coarse
/// classes have slabs of their own, and slabs are paired: one or two that are not full are then
/// little beside what all gain.
const SLABS_MANY: u32 = if cfg!(test) { 2 } else { 64 };

/// Whether a class, with the one that serves in its place, has that many.
fn has_many_slabs(class: usize, coarse: usize, mobility: Mobility) -> bool {
    let slabs = |class| slab::slabs_of(class, mobility).load(Ordering::Relaxed);
    let others = match coarse == class {
        true => 0,
        false => slabs(coarse),
    };
    // What one run of a model counted must not change the next.
    !IS_MODEL && scale() == Scale::Large && slabs(class) + others >= SLABS_MANY
}

/// A slab with free slots for a class: one of its own, or of one that is a little longer, or a new
/// one. The caller holds it.
fn pop(region: &'static Region, class: usize, mobility: Mobility) -> Option<u32> {
    let known = stack::of(class, mobility).pop(region);
    if known.is_some() {
        return known;
    }
    let coarse = match mobility {
        Mobility::Movable => classes::coarse(class),
        Mobility::Fixed => class,
    };
    // Slots of the next class that are free already are better than a new slab.
    let longer = (coarse != class).then(|| stack::of(coarse, mobility).pop(region));
    longer
        .flatten()
        .or_else(|| pop_longer(region, class, mobility))
        .or_else(|| match has_many_slabs(class, coarse, mobility) {
            true => begin(region, class, mobility, true),
            false => begin(region, coarse, mobility, false),
        })
}

/// A new slab, or a pair.
fn begin(
    region: &'static Region,
    class: usize,
    mobility: Mobility,
    may_be_pair: bool,
) -> Option<u32> {
    let is_paired = may_be_pair && classes::class(class).is_paired();
    let pair = is_paired.then(|| region.take_pair()).flatten();
    let (index, units) = match pair {
        Some(index) => (index, Units::Two),
        None => (region.take()?, Units::One),
    };
    region.slab(index).begin(class, mobility, units);
    Some(index)
}

/// The class of which a thread takes slots for one. Under a small limit a few slots of each would
/// be much of all there may be.
pub(super) fn serving(class: usize, mobility: Mobility) -> usize {
    match (mobility, scale()) {
        (Mobility::Fixed, _) | (_, Scale::Large) => class,
        (_, Scale::Small) => classes::coarse(class),
        (_, Scale::Smaller | Scale::Tiny) => classes::few(class),
    }
}

/// Fills an empty cache from a slab with free slots, or from a new one.
fn fill(
    region: &'static Region,
    class: usize,
    mobility: Mobility,
    (cache, batch): (&mut Cache, usize),
) {
    while let Some(index) = pop(region, class, mobility) {
        let slab = region.slab(index);
        let taken = slab.take(&mut cache.starts[..batch]);
        // While it is held it does not change.
        let slot_fours = (classes::class(slab.class()).bytes as usize / FOUR) as u16;
        slab.let_go();
        if taken > 0 {
            // Popped from the end: addresses then rise.
            cache.starts[..taken].reverse();
            for start in &mut cache.starts[..taken] {
                *start *= slot_fours;
            }
            cache.slab = index;
            cache.len = taken as u8;
            cache.filled = AGE.load(Ordering::Relaxed);
            return;
        }
    }
}

impl Caches {
    /// Fills the cache of a class, of which nothing can be used.
    #[cold]
    fn refill(&mut self, region: &'static Region, class: usize, mobility: Mobility) {
        self.by_class[mobility as usize][class].empty(region);
        self.tidy(region);
        let cache = &mut self.by_class[mobility as usize][class];
        fill(region, class, mobility, (cache, batch(region, class)));
    }

    /// Gives back what was not used for two ages; does nothing within an age.
    fn tidy(&mut self, region: &'static Region) {
        let age = AGE.load(Ordering::Relaxed);
        if self.tidied == age {
            return;
        }
        self.tidied = age;
        for cache in self.by_class.iter_mut().flatten() {
            if cache.len > 0 && age.wrapping_sub(cache.filled) > 1 {
                cache.empty(region);
            }
        }
    }
}

/// As [`Caches::tidy`], for this thread.
pub(super) fn tidy(region: &'static Region) {
    if let Some(seat) = thread::seat() {
        // SAFETY: the invariant of `Seat`.
        unsafe { &mut *SEATS[seat].0.get() }.tidy(region);
    }
}

/// Gives back all that belongs to a seat, whose thread calls this as its last.
pub(super) fn leave(region: &'static Region, seat: usize) {
    // SAFETY: the invariant of `Seat`.
    let caches = unsafe { &mut *SEATS[seat].0.get() };
    for cache in caches.by_class.iter_mut().flatten() {
        cache.empty(region);
    }
}

/// Begins a new age.
pub(super) fn age() {
    AGE.fetch_add(1, Ordering::Relaxed);
}

/// Whether this thread has slots of a class.
pub(super) fn has(class: usize, mobility: Mobility) -> bool {
    let class = serving(class, mobility);
    // SAFETY: the invariant of `Seat`.
    thread::seat().is_some_and(|seat| unsafe {
        (*SEATS[seat].0.get()).by_class[mobility as usize][class].len > 0
    })
}

/// Gives back what this thread has of a class.
#[cfg(test)]
pub(super) fn empty(region: &'static Region, class: usize, mobility: Mobility) {
    let class = serving(class, mobility);
    if let Some(seat) = thread::seat() {
        // SAFETY: the invariant of `Seat`.
        let caches = unsafe { &mut *SEATS[seat].0.get() };
        caches.by_class[mobility as usize][class].empty(region);
    }
}
