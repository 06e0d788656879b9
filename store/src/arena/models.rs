//! The arena's protocols under every schedule (loom) or many (shuttle).
//!
//! Each model says what it proves. Blocks are mostly of the longest class, of which a slab has
//! eight and a thread takes two at a time. At the end of each every slab is in one place alone and
//! none is lost ([`World::ends`]); on the way nobody gets what another has ([`Held`]), nor, under
//! loom, writes into it before who had it is known to be done.
//!
//! Models were seen to fail, by name, when the protocol is broken:
//!
//! - a bit is set without `Release`, or taken without `Acquire`: `a_freed_slot_is_taken`, under
//!   loom;
//! - a count is read without `Acquire`, or raised before the bit is set:
//!   `an_emptied_slab_gets_another_class`, the former under loom;
//! - who lets go of a slab does not look at the count again: `a_slab_is_let_go_under_a_free`,
//!   `frees_into_a_slab_that_was_seized` and others;
//! - a slab is put on its stack by all who see its count: `two_free_into_a_full_slab`;
//! - a stack has no tag: `a_stack_whose_top_comes_back`; its links are ordered by nothing: both
//!   models of stacks, under loom;
//! - a slab is begun before it is held, or shown as movable before that: `many_allocate_and_free`,
//!   `a_slab_is_begun_under_who_seizes`, under loom;
//! - who seizes a slab does not look again what it is: `a_slab_is_seized_or_begun`; or does not ask
//!   whether somebody holds it: `frees_into_a_slab_that_was_seized`;
//! - the pool's bits are set without `Release`, or taken without `Acquire`:
//!   `an_emptied_slab_goes_through_the_pool`, under loom; are anybody's who asks, or half a pair is
//!   kept: `a_pair_is_taken_under_who_takes_one`; are counted late: `the_pool_is_counted`;
//! - a slab that is set aside stays on its stack, goes to the pool with what is in it, or is never
//!   let go: `frees_into_a_slab_that_is_emptied` and others;
//! - a thread goes on with slots of such a slab, or it is quiet at once:
//!   `nobody_writes_into_a_quiet_slab`.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use super::region::Units;
use super::slab::Slab;
use super::stack::Stack;
use super::*;
use crate::sync::model::{explore, together};
use crate::{shadow, thread};

/// Blocks of so many bytes: a slab has [`SLOTS`].
const BYTES: usize = BYTES_MAX;
const SLOTS: usize = SLAB_BYTES / BYTES;
/// Blocks of the class before, of which a slab has one more.
const OTHER_BYTES: usize = SLAB_BYTES / (SLOTS + 1) & !7;
const MOVABLE: Mobility = Mobility::Movable;

fn class() -> usize {
    classes::of_bytes(BYTES, MOVABLE)
}

thread_local! {
    /// What a model's threads have been given of each other's former blocks.
    static CONTENTS: RefCell<BTreeMap<usize, Content>> = const { RefCell::new(BTreeMap::new()) };
}

/// What is written where blocks were, across their lives.
#[derive(Default)]
struct Content {
    #[cfg(mayfly_loom)]
    cell: loom::cell::UnsafeCell<()>,
}

impl Content {
    /// The caller, who alone may, writes to what starts here.
    fn write(start: NonNull<u8>) {
        CONTENTS.with_borrow_mut(|contents| {
            let content = contents.entry(start.addr().get()).or_default();
            #[cfg(mayfly_loom)]
            content.cell.with_mut(|_| ());
            #[cfg(mayfly_shuttle)]
            let _ = content;
        });
    }
}

/// A block of one thread at a time.
#[derive(Debug)]
struct Held {
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: an address.
unsafe impl Send for Held {}

impl Held {
    fn new(bytes: usize, mobility: Mobility) -> Held {
        let start = allocate(bytes, mobility).expect("there are slabs enough");
        shadow::allocated(start, bytes);
        Content::write(start);
        Held { start, bytes }
    }

    fn some(count: usize) -> Vec<Held> {
        (0..count).map(|_| Held::new(BYTES, MOVABLE)).collect()
    }

    fn free(self) {
        Content::write(self.start);
        shadow::freed(self.start);
        // SAFETY: it came from `allocate`, and this is its owner.
        assert!(unsafe { Slots::default().add(self.start, self.bytes) });
    }

    fn slab(&self) -> u32 {
        let (region, index, offset) = unit_of(self.start).expect("it is the arena's");
        Place::of(region, index, offset).slab.index()
    }
}

/// A model's arena.
#[derive(Clone, Copy)]
struct World {
    region: &'static Region,
}

impl World {
    fn with(slabs: usize) -> World {
        CONTENTS.take();
        let region = world::begin(slabs);
        for bytes in [BYTES, OTHER_BYTES] {
            for mobility in MOBILITIES {
                stack::of(classes::of_bytes(bytes, mobility), mobility);
            }
        }
        note_limit(0);
        World { region }
    }

    /// A slab without a free slot, which nobody holds, and what is in it.
    fn full_slab(self) -> Vec<Held> {
        let held = Held::some(SLOTS);
        assert!(held.iter().all(|one| one.slab() == held[0].slab()));
        held
    }

    /// Takes the slabs on a stack, the top first.
    fn on_stack(self, class: usize, mobility: Mobility) -> Vec<u32> {
        taken(self.region, stack::of(class, mobility))
    }

    /// Ends a model, in which these blocks were left.
    fn ends(self, left: impl IntoIterator<Item = Held>) {
        let left: Vec<Held> = left.into_iter().collect();
        self.check(&left);
        left.into_iter().for_each(Held::free);
    }

    /// `live` blocks are left. Every slab is in the pool, on the stack of its class, or has too few
    /// free slots to be held, and its count says how many; nobody else has any.
    fn check(self, live: &[Held]) {
        leave_seat(thread::index());
        let live: BTreeSet<usize> = live.iter().map(|one| one.start.addr().get()).collect();
        let mut stacked = BTreeSet::new();
        for (class, mobility) in world::stacks() {
            for index in self.on_stack(class, mobility) {
                assert!(stacked.insert(index), "{index} is on a stack twice");
                assert_eq!(self.region.slab(index).kind(), (class, mobility));
            }
        }
        let mut live_found = 0;
        let mut index = 0;
        while index < self.region.end() {
            let is_stacked = stacked.contains(&index);
            assert!(!self.region.evacuated.has(index));
            if self.region.is_in_pool(index) {
                assert!(!is_stacked, "{index} is on a stack and in the pool");
                index += 1;
                continue;
            }
            let slab = self.region.slab(index);
            let (is_held, free) = slab.state();
            assert_eq!(is_held, is_stacked, "{index} is held by nobody");
            assert!(is_held || !slab.is_worthwhile(free), "{index} is lost");
            assert_eq!(self.free_of(slab, &live), free);
            live_found += slab.slots() - free;
            index += 1 + u32::from(slab.is_pair());
        }
        assert_eq!(live_found, live.len());
        self.region.check_counts();
    }

    /// How many of a slab's slots are free: exactly those in which nothing lives.
    fn free_of(self, slab: Slab, live: &BTreeSet<usize>) -> usize {
        let (class, _) = slab.kind();
        let bytes = classes::class(class).bytes as usize;
        let is_free = |slot: &usize| {
            let start = self.region.address(slab.index(), slot * bytes);
            let is_free = slab.is_free(*slot);
            assert!(is_free != live.contains(&start.addr().get()));
            is_free
        };
        (0..slab.slots()).filter(is_free).count()
    }
}

/// What a thread of a model does.
type Step<R> = Box<dyn FnOnce() -> R + Send>;

fn step<R>(body: impl FnOnce() -> R + Send + 'static) -> Step<R> {
    Box::new(body)
}

/// Frees a block; what it is left with.
fn free(held: Held) -> Step<Vec<Held>> {
    step(move || {
        held.free();
        Vec::new()
    })
}

/// Takes so many blocks.
fn take(count: usize) -> Step<Vec<Held>> {
    step(move || Held::some(count))
}

/// What was in a slot is over before the slot is used again, by whoever gets it first: the bit
/// alone says so.
#[test]
fn a_freed_slot_is_taken() {
    explore(4, || {
        let world = World::with(3);
        let mut held = world.full_slab();
        held.drain(6..).for_each(Held::free);
        let first = held.remove(0);
        let taken = together(vec![free(first), take(2)]);
        held.extend(taken.into_iter().flatten());
        world.ends(held);
    });
}

/// Of two threads that free the first slots of a full slab one puts it on its stack; a third takes
/// from it what it finds.
#[test]
fn two_free_into_a_full_slab() {
    explore(3, || {
        let world = World::with(3);
        let mut held = world.full_slab();
        let (one, other) = (held.remove(0), held.remove(3));
        let taken = together(vec![free(one), free(other), take(1)]);
        held.extend(taken.into_iter().flatten());
        world.ends(held);
    });
}

/// Who took a slab's last slots lets go of it while another frees into it: it is not lost, nor held
/// by both.
#[test]
fn a_slab_is_let_go_under_a_free() {
    explore(4, || {
        let world = World::with(3);
        let mut held = world.full_slab();
        held.pop().expect("a block").free();
        let other = held.remove(0);
        let taken = together(vec![take(1), free(other)]);
        held.extend(taken.into_iter().flatten());
        world.ends(held);
    });
}

/// Three slabs, wholly free, that are to go through the hands of threads and over a stack.
fn with_three_slabs() -> (World, &'static Stack) {
    let world = World::with(3);
    for _ in 0..3 {
        let index = world.region.take().expect("a slab");
        let slab = world.region.slab(index);
        slab.begin(class(), MOVABLE, Units::One);
    }
    (world, stack::of(class(), MOVABLE))
}

/// What is in somebody's hands and what is on the stack is each of the three once.
fn three_slabs_end(world: World, in_hands: Vec<u32>) {
    let mut all = in_hands;
    all.extend(world.on_stack(class(), MOVABLE));
    all.sort_unstable();
    assert_eq!(all, [0, 1, 2]);
    let stack = stack::of(class(), MOVABLE);
    all.into_iter()
        .for_each(|index| stack.push(world.region, index));
    world.ends([]);
}

/// A slab that was on top of the stack, went and came back is told apart from one that stayed:
/// nobody gets what is held.
#[test]
fn a_stack_whose_top_comes_back() {
    explore(4, || {
        let (world, stack) = with_three_slabs();
        let region = world.region;
        (0..3).rev().for_each(|index| stack.push(region, index));
        let got = together(vec![
            step(move || Vec::from_iter(stack.pop(region))),
            step(move || {
                let top = stack.pop(region);
                let below = stack.pop(region);
                top.inspect(|&index| stack.push(region, index));
                Vec::from_iter(below)
            }),
        ]);
        three_slabs_end(world, got.concat());
    });
}

/// All slabs of a stack, the top first.
fn taken(region: &'static Region, stack: &Stack) -> Vec<u32> {
    let below = |&index: &u32| stack::below(region, index);
    std::iter::successors(stack.take_all(), below).collect()
}

/// Who takes all slabs of a stack, and who takes one and puts one on it, share them out.
#[test]
fn a_stack_is_surveyed() {
    explore(4, || {
        let (world, stack) = with_three_slabs();
        let region = world.region;
        (0..2).for_each(|index| stack.push(region, index));
        let got = together(vec![
            step(move || taken(region, stack)),
            step(move || {
                stack.push(region, 2);
                Vec::from_iter(stack.pop(region))
            }),
        ]);
        three_slabs_end(world, got.concat());
    });
}

/// A survey in steps, beside who takes a slab and puts one on the stack, loses none and gives none
/// to two.
#[test]
fn a_stack_is_surveyed_in_steps() {
    explore(3, || {
        let world = World::with(5);
        let (region, stack) = (world.region, stack::of(class(), MOVABLE));
        let held: Vec<Held> = (0..4).flat_map(|_| world.full_slab()).collect();
        let slab = |index| region.slab(index);
        let mut firsts = Vec::new();
        let mut live = Vec::new();
        for block in held {
            match firsts.contains(&block.slab()) {
                true => live.push(block),
                false => {
                    firsts.push(block.slab());
                    block.free();
                }
            }
        }
        assert_eq!(firsts.len(), 4, "each has a free slot");
        let last = stack.pop(region).expect("it was put there");
        let evacuation = Evacuation {
            spare_slabs_min: 1,
            spare_part: 1,
            last_part: None,
            part_min: Some(2),
            slabs_max: 1,
        };
        together(vec![
            step(move || {
                let mut survey = Survey::begin(class(), MOVABLE);
                let chosen = loop {
                    if let Some(chosen) = survey.go_on(&mut 1, Some(evacuation)) {
                        break chosen;
                    }
                };
                end_evacuation(chosen);
            }),
            step(move || {
                slab(last).let_go();
                if let Some(other) = stack.pop(region) {
                    slab(other).let_go();
                }
            }),
        ]);
        world.ends(live);
    });
}

/// A slab with one block in it. There is no room for another slab.
fn with_one_block() -> (World, Held) {
    let world = World::with(1);
    let mut held = world.full_slab();
    held.drain(1..).for_each(Held::free);
    (world, held.remove(0))
}

/// A slab whose last block goes is found empty, put into the pool, and used for another class,
/// when all is over in it.
#[test]
fn an_emptied_slab_gets_another_class() {
    explore(4, || {
        let (world, last) = with_one_block();
        let made = together(vec![
            step(move || {
                last.free();
                None
            }),
            step(move || {
                survey(class(), MOVABLE, None);
                other()
            }),
        ]);
        world.ends(made.into_iter().flatten());
    });
}

/// What was in a slab is over before who takes it from the pool makes something else of it.
#[test]
fn an_emptied_slab_goes_through_the_pool() {
    explore(4, || {
        let (world, last) = with_one_block();
        let made = together(vec![
            step(move || {
                last.free();
                survey(class(), MOVABLE, None);
                None
            }),
            step(other),
        ]);
        world.ends(made.into_iter().flatten());
    });
}

/// A block of another class, if there is a slab for it.
fn other() -> Option<Held> {
    let start = allocate(OTHER_BYTES, Mobility::Fixed)?;
    shadow::allocated(start, OTHER_BYTES);
    Content::write(start);
    let bytes = OTHER_BYTES;
    Some(Held { start, bytes })
}

/// Who seizes full slabs gets none that is held, nor one that another makes something else of.
#[test]
fn a_slab_is_seized_or_begun() {
    explore(4, || {
        let world = World::with(1);
        let mut held = world.full_slab();
        let last = held.remove(0);
        held.into_iter().for_each(Held::free);
        let seized = together(vec![
            step(move || {
                // The slab's life as one of entries ends, and one of nodes begins and goes on
                // until it is full.
                last.free();
                survey(class(), MOVABLE, None);
                let fixed = (0..=SLOTS).map(|_| Held::new(OTHER_BYTES, Mobility::Fixed));
                (fixed.collect(), Vec::new())
            }),
            step(|| (Vec::new(), seize(&mut 0, 1))),
        ]);
        let [(fixed, _), (_, seized)] = seized.try_into().expect("two");
        assert!(seized.is_empty(), "it has no entries");
        world.ends(fixed);
    });
}

/// A slab that is being begun is no one else's before it is full and was let go.
#[test]
fn a_slab_is_begun_under_who_seizes() {
    explore(4, || {
        let world = World::with(2);
        let got = together(vec![
            step(|| (Held::some(SLOTS), Vec::new())),
            step(|| (Vec::new(), seize(&mut 0, 1))),
        ]);
        let [(held, _), (_, seized)] = got.try_into().expect("two");
        end_evacuation(seized);
        world.ends(held);
    });
}

/// What is freed into a slab that is being emptied is found: it goes to the pool with its last
/// block, or back on its stack.
#[test]
fn frees_into_a_slab_that_is_emptied() {
    explore(4, || {
        let world = World::with(2);
        let mut held = world.full_slab();
        held.drain(2..).for_each(Held::free);
        let slabs = set_aside();
        assert_eq!(slabs, [held[0].slab()]);
        together::<()>(vec![
            step(move || held.into_iter().for_each(Held::free)),
            step(move || end_evacuation(slabs)),
        ]);
        world.ends([]);
    });
}

/// As above of a slab that was full when it was seized.
#[test]
fn frees_into_a_slab_that_was_seized() {
    explore(4, || {
        let world = World::with(2);
        let mut held = world.full_slab();
        let one = held.remove(0);
        together::<()>(vec![
            step(move || one.free()),
            step(|| end_evacuation(seize(&mut 0, 1))),
        ]);
        world.ends(held);
    });
}

/// Sets aside what is on the stack.
fn set_aside() -> Vec<u32> {
    let evacuation = Evacuation {
        spare_slabs_min: 1,
        spare_part: 1,
        last_part: None,
        part_min: Some(1),
        slabs_max: 4,
    };
    survey(class(), MOVABLE, Some(evacuation))
}

/// A pool of so many slabs.
fn pool(slabs: u32) -> World {
    let world = World::with(slabs as usize);
    let taken: Vec<_> = (0..slabs).map(|_| world.region.take()).collect();
    taken
        .into_iter()
        .flatten()
        .for_each(|index| world.region.put(index));
    world
}

/// Puts slabs that were taken back, of which none was taken twice.
fn put_back(world: World, taken: impl IntoIterator<Item = u32>, slabs: u32) {
    let taken: Vec<u32> = taken.into_iter().collect();
    taken.iter().for_each(|&index| world.region.put(index));
    world.region.check_counts();
    assert!((0..slabs).all(|index| world.region.is_in_pool(index)));
    let distinct: BTreeSet<u32> = taken.iter().copied().collect();
    assert_eq!(distinct.len(), taken.len(), "{taken:?}");
}

/// Of who takes a pair and who takes one of the two one gets it, and what the other leaves is not
/// lost.
#[test]
fn a_pair_is_taken_under_who_takes_one() {
    explore(2, || {
        let world = pool(4);
        let region = world.region;
        let taken = together(vec![
            step(move || {
                let first = region.take_pair();
                first.map_or(vec![], |first| vec![first, first + 1])
            }),
            step(move || Vec::from_iter(region.take())),
            step(move || Vec::from_iter(region.take())),
        ]);
        put_back(world, taken.into_iter().flatten(), 4);
    });
}

/// The pool never seems to have more slabs than there are, so that none seems to be in use where
/// some are: also while a slab is taken that is still being put there.
#[test]
fn the_pool_is_counted() {
    explore(4, || {
        let world = pool(4);
        let region = world.region;
        let all = extent().free_bytes;
        let taken = [0; 4].map(|_| region.take().expect("a slab"));
        let [kept, other, pooled, put] = taken;
        region.put(pooled);
        let taken = together(vec![
            step(move || {
                region.put(put);
                None
            }),
            step(move || region.take_pair()),
            step(move || {
                assert!(region.slabs_in_use() >= 2);
                assert!(extent().free_bytes <= all);
                None
            }),
        ]);
        let pair = taken.into_iter().flatten().next();
        let pair = pair.map_or(vec![], |first| vec![first, first + 1]);
        put_back(world, pair.into_iter().chain([kept, other]), 4);
    });
}

/// What is given to the kernel is nobody's.
#[test]
fn slabs_are_given_back_under_who_takes_them() {
    explore(3, || {
        let world = pool(2);
        let region = world.region;
        let taken = together(vec![
            step(move || {
                let index = region.take();
                if let Some(index) = index {
                    let start = region.address(index, 0);
                    // SAFETY: the slab is this thread's.
                    unsafe { start.as_ptr().write(7) };
                    crate::sync::yield_now();
                    // SAFETY: as above.
                    assert_eq!(unsafe { start.as_ptr().read() }, 7);
                }
                index
            }),
            step(|| {
                release(0, 2);
                None
            }),
        ]);
        put_back(world, taken.into_iter().flatten(), 2);
    });
}

#[cfg(mayfly_shuttle)]
mod quiet;
