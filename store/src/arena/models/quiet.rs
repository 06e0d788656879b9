//! Slabs that are set aside, and many threads at many classes.

use std::sync::{Arc, Mutex};

use super::*;
use crate::reclaim::{Guard, pin};
use crate::sync::model::random_seed;
use crate::sync::yield_now;

thread_local! {
    /// Blocks that somebody is writing to.
    static WRITTEN: RefCell<BTreeSet<usize>> = const { RefCell::new(BTreeSet::new()) };
    /// Slabs that somebody takes for quiet.
    static QUIET: RefCell<BTreeSet<u32>> = const { RefCell::new(BTreeSet::new()) };
}

/// A block that is filled as an entry is: by who has the guard under which it was taken.
fn filled(bytes: usize, _guard: &Guard) -> Held {
    let held = Held::new(bytes, MOVABLE);
    let (at, slab) = (held.start.addr().get(), held.slab());
    assert!(!QUIET.with_borrow(|quiet| quiet.contains(&slab)));
    WRITTEN.with_borrow_mut(|written| written.insert(at));
    yield_now();
    assert!(!QUIET.with_borrow(|quiet| quiet.contains(&slab)));
    WRITTEN.with_borrow_mut(|written| written.remove(&at));
    held
}

/// Waits for a while until nobody can write into slabs.
fn is_quiet(evacuated: &Evacuated) -> bool {
    (0..50).any(|_| {
        drop(pin());
        yield_now();
        evacuated.is_quiet()
    })
}

/// Looks at what stands in slabs that were set aside, and gives them back.
fn look_at(slabs: Vec<u32>) -> usize {
    let evacuated = Evacuated::new(slabs, &pin());
    let mut seen = 0;
    if is_quiet(&evacuated) {
        QUIET.with_borrow_mut(|quiet| quiet.extend(evacuated.slabs()));
        let guard = pin();
        for at in 0..evacuated.slabs().len() {
            let slots = 0..evacuated.shape(at).0;
            for slot in evacuated.taken((at, slots), &guard) {
                let start = slot.start().addr().get();
                yield_now();
                assert!(!WRITTEN.with_borrow(|written| written.contains(&start)));
                seen += 1;
            }
        }
        QUIET.with_borrow_mut(BTreeSet::clear);
    }
    end_evacuation(evacuated.into_slabs());
    seen
}

/// Nothing new gets into a slab that is quiet, and nobody writes to what stands in it: neither from
/// a thread's cache nor because it was written to before.
#[test]
fn nobody_writes_into_a_quiet_slab() {
    explore(0, || {
        WRITTEN.take();
        QUIET.take();
        let world = World::with(8);
        let mut held = world.full_slab();
        held.drain(3..).for_each(Held::free);
        let write = || {
            let mut held = Vec::new();
            for _ in 0..3 {
                let guard = pin();
                held.push(filled(BYTES, &guard));
                if held.len() > 1 {
                    held.remove(0).free();
                }
            }
            held
        };
        let left = together(vec![
            step(write),
            step(|| {
                look_at(set_aside());
                look_at(set_aside());
                Vec::new()
            }),
            step(write),
            step(|| {
                look_at(seize(&mut 0, 2));
                Vec::new()
            }),
        ]);
        held.extend(left.into_iter().flatten());
        world.ends(held);
    });
}

/// Blocks of what one thread has, for another to free.
type Passed = Arc<Mutex<Vec<Held>>>;

/// Some steps of a thread that allocates, frees what others have allocated, and tidies up.
fn some(passed: &Passed, seed: u64) {
    const LENGTHS: [usize; 4] = [BYTES, OTHER_BYTES, PAIRED_BYTES, 4096];
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..12 {
        let bytes = LENGTHS[random.usize(..LENGTHS.len())];
        let mobility = MOBILITIES[random.usize(..MOBILITIES.len())];
        match random.u8(..10) {
            0..4 => {
                let held = Held::new(bytes, mobility);
                passed.lock().expect("no panic inside").push(held);
            }
            4..8 => {
                let mut passed = passed.lock().expect("no panic inside");
                let at = random.usize(..passed.len().max(1));
                let held = (at < passed.len()).then(|| passed.swap_remove(at));
                drop(passed);
                held.into_iter().for_each(Held::free);
            }
            8 => {
                let class = classes::of_bytes(bytes, mobility);
                let evacuation = Evacuation {
                    spare_slabs_min: 1,
                    spare_part: 2,
                    last_part: None,
                    part_min: Some(2),
                    slabs_max: 2,
                };
                let is_movable = mobility == MOVABLE;
                let mut slabs = survey(class, mobility, is_movable.then_some(evacuation));
                slabs.extend(seize(&mut 0, 1));
                yield_now();
                put_empty(&mut slabs);
                end_evacuation(slabs);
            }
            _ => {
                release(0, 2);
            }
        }
    }
}

/// Of these two slabs make a pair, which has 129.
const PAIRED_BYTES: usize = 1012;

/// Threads that allocate and free each other's blocks of several classes, in pairs of slabs, too,
/// while slabs are surveyed, seized, given back and given to the kernel, share nothing and lose
/// nothing.
#[test]
fn many_allocate_and_free() {
    explore(0, || {
        let world = World::with(24);
        let pair = world.region.take_pair().expect("two slabs");
        let class = classes::of_bytes(PAIRED_BYTES, MOVABLE);
        let slab = world.region.slab(pair);
        slab.begin(class, MOVABLE, Units::Two);
        slab.let_go();
        let passed = Passed::default();
        let held: Vec<Held> = (0..20).map(|_| Held::new(PAIRED_BYTES, MOVABLE)).collect();
        assert!(held.iter().all(|one| one.slab() == pair));
        passed.lock().expect("no panic inside").extend(held);
        leave_seat(thread::index());
        let bodies = (0..3).map(|_| {
            let (passed, seed) = (Arc::clone(&passed), random_seed());
            step(move || some(&passed, seed))
        });
        together(bodies.collect());
        let held = std::mem::take(&mut *passed.lock().expect("no panic inside"));
        world.ends(held);
    });
}
