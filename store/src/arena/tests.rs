//! The arena against a naive model, from one thread and from several.

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Mutex, MutexGuard, PoisonError};

use proptest::prelude::*;

use super::*;
use crate::memory::Block;
use crate::reclaim;
use crate::tests::OnDrop;

/// A block that knows what was written into it.
struct Filled {
    start: NonNull<u8>,
    bytes: usize,
    with: u8,
}
// SAFETY: an address; the block has one owner at a time.
unsafe impl Send for Filled {}

impl Filled {
    fn new(bytes: usize, mobility: Mobility, with: u8) -> Option<Filled> {
        let start = allocate(bytes, mobility)?;
        assert!(start.as_ptr().addr().is_multiple_of(mobility.align()));
        if bytes.is_power_of_two() && bytes >= 64 {
            assert!(start.as_ptr().addr().is_multiple_of(64));
        }
        // SAFETY: the block is new and so long.
        unsafe { start.as_ptr().write_bytes(with, bytes) };
        Some(Filled { start, bytes, with })
    }

    /// Writes something else, with a pause in between.
    fn refill(&mut self, with: u8) {
        let half = self.bytes / 2;
        // SAFETY: the block is live and so long.
        unsafe { self.start.as_ptr().write_bytes(with, half) };
        std::thread::yield_now();
        // SAFETY: the second half of it.
        let rest = unsafe { self.start.as_ptr().add(half) };
        // SAFETY: as above.
        unsafe { rest.write_bytes(with, self.bytes - half) };
        self.with = with;
    }

    /// Fails if anybody else wrote into the block.
    fn free(self) {
        self.free_with(&mut Slots::default());
    }

    /// As above, together with others.
    fn free_with(self, slots: &mut Slots) {
        // SAFETY: the block is live and was filled.
        let content = unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.bytes) };
        assert!(
            content.iter().all(|&byte| byte == self.with),
            "blocks overlap"
        );
        // SAFETY: it came from the arena with this length, and this is its owner.
        assert!(unsafe { slots.add(self.start, self.bytes) });
    }
}

/// Held by the test with blocks of all lengths, and by one that must find its own alone.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn lengths() -> impl Strategy<Value = usize> {
    prop_oneof![4 => 1..200usize, 2 => 200..1200usize, 1 => 1200..=BYTES_MAX]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn blocks_never_overlap(
        limit_bytes in prop::sample::select(vec![0, 100 << 20, 32 << 20]),
        steps in prop::collection::vec(
            (any::<bool>(), lengths(), any::<prop::sample::Index>()),
            1..600,
        ),
    ) {
        let _alone = alone();
        // So that slots of longer classes are used, too, and few classes.
        note_limit(limit_bytes);
        let mut live: Vec<Filled> = Vec::new();
        for (at, (is_movable, bytes, which)) in steps.into_iter().enumerate() {
            let mobility = MOBILITIES[usize::from(is_movable)];
            if which.index(3) == 0 && !live.is_empty() {
                live.swap_remove(which.index(live.len())).free();
            } else {
                live.extend(Filled::new(bytes, mobility, at as u8));
            }
            if at % 100 == 99 {
                survey(classes::of_bytes(bytes, mobility), mobility, None);
                age_caches();
                tidy_thread();
            }
        }
        live.into_iter().for_each(Filled::free);
        // Who comes next must not find slots of its class in this thread's hands.
        leave_seat(crate::thread::index());
    }
}

#[test]
fn a_pair_of_slabs_is_one() {
    note_limit(0);
    // A length of this test's own, so that nobody else uses the class.
    const BYTES: usize = 1_012;
    let Some(region) = region() else { return };
    let class = classes::of_bytes(BYTES, Mobility::Movable);
    // None where the pool has only slabs without their neighbours.
    let Some(first) = region.take_pair() else {
        return;
    };
    let in_use = region.slabs_in_use();
    let slab = region.slab(first);
    slab.begin(class, Mobility::Movable, region::Units::Two);
    let (mut slots, mut all) = ([0; classes::BATCH_MAX], Vec::new());
    loop {
        match slab.take(&mut slots) {
            0 => break,
            taken => all.extend_from_slice(&slots[..taken]),
        }
    }
    assert_eq!((all.len(), slab.slots()), (129, 129));
    assert!(all.iter().all(|&slot| !slab.is_free(slot.into())));
    let starts: Vec<_> = all
        .iter()
        .map(|&slot| region.address(first, usize::from(slot) * BYTES))
        .collect();
    let behind = starts[128].as_ptr().addr() + BYTES - region.base();
    assert!(behind <= (first as usize + 2) * SLAB_BYTES);
    for (start, at) in starts.into_iter().zip(1..) {
        let (_, index, offset) = unit_of(start).expect("it is the arena's");
        let place = Place::of(region, index, offset);
        assert_eq!((place.slab.index(), place.slot), (first, at - 1));
        prefetch_free(start, BYTES, Mobility::Movable);
        // SAFETY: taken above, and used by nobody.
        assert!(unsafe { Slots::default().add(start, BYTES) });
    }
    let mut slabs = vec![first];
    put_empty(&mut slabs);
    assert!(slabs.is_empty() && in_use > 1);
}

#[test]
fn what_is_freed_together_is_counted_slab_by_slab() {
    note_limit(0);
    // A length of this test's own, so that nobody else uses the class.
    const BYTES: usize = 5_300;
    let Some(region) = region() else { return };
    let class = classes::of_bytes(BYTES, Mobility::Movable);
    let indexes = [(); 2].map(|()| region.take().expect("two slabs"));
    let [one, other] = indexes.map(|index| region.slab(index));
    let mut starts = Vec::new();
    for slab in [one, other] {
        slab.begin(class, Mobility::Movable, region::Units::One);
        let mut slots = [0; classes::BATCH_MAX];
        assert_eq!(slab.take(&mut slots), slab.slots());
        let bytes = classes::class(class).bytes as usize;
        let start = |at: usize| region.address(slab.index(), at * bytes);
        starts.push((0..slab.slots()).map(start).collect::<Vec<_>>());
    }
    let (mut slabs, mut freed) = (indexes.to_vec(), Slots::default());
    let last = starts[1].pop().expect("a slot");
    for start in starts.concat() {
        // SAFETY: taken above, and used by nobody.
        assert!(unsafe { freed.add(start, BYTES) });
    }
    // The first is counted since another came, the second not before it is over.
    put_empty(&mut slabs);
    assert_eq!(slabs, [indexes[1]]);
    // SAFETY: as above.
    assert!(unsafe { freed.add(last, BYTES) });
    put_empty(&mut slabs);
    assert_eq!(slabs, [indexes[1]]);
    drop(freed);
    put_empty(&mut slabs);
    assert!(slabs.is_empty());
}

#[test]
fn what_others_free_is_used_again() {
    note_limit(0);
    // A length of this test's own, so that nobody else uses the class.
    const BYTES: usize = 7_000;
    let (sender, receiver) = mpsc::sync_channel::<Vec<Filled>>(2);
    let consumer = std::thread::spawn(move || {
        for blocks in receiver {
            blocks.into_iter().for_each(Filled::free);
        }
    });
    let mut slabs = HashSet::new();
    for round in 0..200u8 {
        let blocks: Vec<_> = (0..90)
            .filter_map(|_| Filled::new(BYTES, Mobility::Fixed, round))
            .collect();
        let slab = |block: &Filled| block.start.as_ptr().addr() / SLAB_BYTES;
        slabs.extend(blocks.iter().map(slab));
        sender.send(blocks).expect("a consumer");
    }
    drop(sender);
    consumer.join().expect("a consumer");
    // Ten slabs a round, four rounds at once, and as many in caches and between threads.
    assert!(slabs.len() < 200, "{} slabs", slabs.len());
}

#[test]
fn many_threads_free_what_many_allocated() {
    note_limit(0);
    const THREADS: usize = 4;
    let (senders, receivers): (Vec<_>, Vec<_>) =
        (0..THREADS).map(|_| mpsc::channel::<Filled>()).unzip();
    let threads: Vec<_> = receivers
        .into_iter()
        .enumerate()
        .map(|(number, receiver)| {
            let senders = senders.clone();
            std::thread::spawn(move || {
                let mut random = fastrand::Rng::with_seed(number as u64);
                for _ in 0..20_000 {
                    let bytes = random.usize(1..300);
                    let block = Filled::new(bytes, Mobility::Movable, random.u8(..));
                    let to = &senders[random.usize(..THREADS)];
                    if let Some(block) = block {
                        to.send(block).expect("a receiver");
                    }
                    let mut slots = Slots::default();
                    while let Ok(block) = receiver.try_recv() {
                        block.free_with(&mut slots);
                    }
                }
                drop(senders);
                receiver.into_iter().for_each(Filled::free);
            })
        })
        .collect();
    drop(senders);
    threads
        .into_iter()
        .for_each(|thread| thread.join().expect("no overlap"));
}

#[test]
fn a_sparse_class_gives_slabs_up() {
    let _alone = alone();
    note_limit(0);
    const BYTES: usize = 1_900;
    let class = classes::of_bytes(BYTES, Mobility::Movable);
    let blocks: Vec<_> = (0..1000u32)
        .filter_map(|at| Filled::new(BYTES, Mobility::Movable, at as u8))
        .collect();
    let (kept, gone): (Vec<_>, Vec<_>) = blocks
        .into_iter()
        .enumerate()
        .partition(|(at, _)| at % 4 == 0);
    gone.into_iter().for_each(|(_, block)| block.free());
    let evacuation = Evacuation {
        spare_slabs_min: 2,
        spare_part: 16,
        last_part: None,
        part_min: None,
        slabs_max: usize::MAX,
    };
    let mut chosen = survey(class, Mobility::Movable, Some(evacuation));
    if IS_USED && region().is_some() {
        assert!(chosen.len() >= 15, "three quarters of 30 slabs: {chosen:?}");
    }
    // Nothing new gets into them, and those that are left are found again.
    let fresh: Vec<_> = (0..100)
        .filter_map(|_| Filled::new(BYTES, Mobility::Movable, 7))
        .collect();
    let is_inside = |block: &Filled| is_evacuated(block.start);
    assert!(!fresh.iter().any(is_inside));
    let inside = kept.iter().filter(|(_, block)| is_inside(block)).count();
    assert!(!IS_USED || inside > 0);
    kept.into_iter().for_each(|(_, block)| block.free());
    fresh.into_iter().for_each(Filled::free);
    empty_cache(BYTES, Mobility::Movable);
    put_empty(&mut chosen);
    assert!(chosen.is_empty(), "{chosen:?}");
}

/// Of a class three quarters of whose blocks are gone, those that are left.
fn thinned_out(bytes: usize) -> Vec<Filled> {
    let blocks = (0..1000u32).filter_map(|at| Filled::new(bytes, Mobility::Movable, at as u8));
    let blocks: Vec<_> = blocks.collect();
    let mut kept = Vec::new();
    for (at, block) in blocks.into_iter().enumerate() {
        match at % 4 {
            0 => kept.push(block),
            _ => block.free(),
        }
    }
    empty_cache(bytes, Mobility::Movable);
    kept
}

/// The slabs of a class that have free slots, all of which are put back.
fn slabs_with_room(bytes: usize) -> usize {
    let Some(region) = region() else { return 0 };
    let stack = stack::of(
        classes::of_bytes(bytes, Mobility::Movable),
        Mobility::Movable,
    );
    let below = |&index: &u32| stack::below(region, index);
    let slabs: Vec<u32> = std::iter::successors(stack.take_all(), below).collect();
    let slab_is_held = |&&index: &&u32| region.slab(index).count() > 0;
    assert_eq!(slabs.iter().filter(slab_is_held).count(), slabs.len());
    slabs
        .iter()
        .rev()
        .for_each(|&index| stack.push(region, index));
    slabs.len()
}

#[test]
fn a_survey_in_steps_sets_the_sparsest_aside_and_loses_none() {
    let _alone = alone();
    note_limit(0);
    // A length of no other test.
    const BYTES: usize = 2_350;
    let class = classes::of_bytes(BYTES, Mobility::Movable);
    let mut kept = thinned_out(BYTES);
    let before = slabs_with_room(BYTES);
    // One slab has no block left, and the last may have none.
    let slab_of = |block: &Filled| unit_of(block.start).map(|(_, index, _)| index);
    let first = kept.first().and_then(slab_of);
    let (gone, left) = kept.into_iter().partition(|block| slab_of(block) == first);
    kept = left;
    Vec::into_iter(gone).for_each(Filled::free);
    let evacuation = Evacuation {
        spare_slabs_min: 2,
        spare_part: 16,
        last_part: None,
        part_min: None,
        slabs_max: usize::MAX,
    };
    let mut survey = Survey::begin(class, Mobility::Movable);
    let mut steps = 0;
    let mut chosen = loop {
        steps += 1;
        if let Some(chosen) = survey.go_on(&mut 1, Some(evacuation)) {
            break chosen;
        }
        // There is room in what was left, and slabs that get some are put where they belong.
        let fresh = Filled::new(BYTES, Mobility::Movable, 9);
        fresh.into_iter().for_each(Filled::free);
    };
    empty_cache(BYTES, Mobility::Movable);
    if !IS_USED || region().is_none() {
        return kept.into_iter().for_each(Filled::free);
    }
    let with_room = slabs_with_room(BYTES);
    let after = chosen.len() + with_room;
    assert!(
        (before - 2..=before).contains(&after),
        "{before}: {with_room} and {chosen:?}"
    );
    assert!(
        steps >= before && chosen.len() > before / 2,
        "{steps}, {chosen:?}"
    );
    let sparsest_left = kept.iter().filter(|block| is_evacuated(block.start));
    assert!(sparsest_left.count() > 0);
    kept.into_iter().for_each(Filled::free);
    put_empty(&mut chosen);
    assert!(chosen.is_empty(), "{chosen:?}");
}

#[test]
fn a_survey_that_nobody_goes_on_with_puts_all_back() {
    let _alone = alone();
    note_limit(0);
    // A length of no other test.
    const BYTES: usize = 2_750;
    let class = classes::of_bytes(BYTES, Mobility::Movable);
    let kept = thinned_out(BYTES);
    let before = slabs_with_room(BYTES);
    for steps in [0, 1, before / 2, before + 2] {
        let mut survey = Survey::begin(class, Mobility::Movable);
        let evacuation = Evacuation {
            spare_slabs_min: 1,
            spare_part: 1,
            last_part: None,
            part_min: Some(2),
            slabs_max: usize::MAX,
        };
        for _ in 0..steps {
            assert_eq!(survey.go_on(&mut 1, Some(evacuation)).is_some(), !IS_USED);
        }
        drop(survey);
        assert_eq!(slabs_with_room(BYTES), before);
        assert!(!kept.iter().any(|block| is_evacuated(block.start)));
    }
    kept.into_iter().for_each(Filled::free);
}

#[test]
fn the_last_blocks_of_a_class_move_into_longer_slots() {
    // Lengths of no other test.
    const BYTES: usize = 3_460;
    let _alone = alone();
    note_limit(0);
    let class = classes::of_bytes(BYTES, Mobility::Movable);
    let longer_bytes = classes::class(class + 1).bytes as usize;
    let fill = |bytes| Filled::new(bytes, Mobility::Movable, 1);
    let Some(last) = fill(BYTES) else {
        return;
    };
    let longer = fill(longer_bytes).expect("where one has room another has");
    for bytes in [BYTES, longer_bytes] {
        empty_cache(bytes, Mobility::Movable);
    }
    let evacuation = Evacuation {
        spare_slabs_min: 1,
        spare_part: 32,
        last_part: Some(2),
        part_min: None,
        slabs_max: usize::MAX,
    };
    let survey = || survey(class, Mobility::Movable, Some(evacuation));
    note_idle(false);
    assert!(
        survey().is_empty(),
        "a slab for each class is what it takes"
    );
    note_idle(true);
    let mut chosen = survey();
    assert!(is_evacuated(last.start) && chosen.len() == 1);
    let moved = fill(BYTES).expect("room in the longer class's slab");
    note_idle(false);
    let slab_of = |block: &Filled| unit_of(block.start).map(|(_, index, _)| index);
    assert_eq!(slab_of(&moved), slab_of(&longer));
    [last, longer, moved].into_iter().for_each(Filled::free);
    empty_cache(BYTES, Mobility::Movable);
    put_empty(&mut chosen);
    assert!(chosen.is_empty(), "{chosen:?}");
}

/// Sets aside what of a class is not full.
fn set_aside(bytes: usize) -> Vec<u32> {
    let evacuation = Evacuation {
        spare_slabs_min: 1,
        spare_part: 1,
        last_part: None,
        part_min: Some(1),
        slabs_max: 4,
    };
    let class = classes::of_bytes(bytes, Mobility::Movable);
    survey(class, Mobility::Movable, Some(evacuation))
}

/// Waits until the slabs are quiet; none if there are none.
fn quiet(slabs: Vec<u32>) -> Option<Evacuated> {
    let evacuated = Evacuated::new(slabs, &reclaim::pin());
    while !evacuated.is_quiet() {
        reclaim::pin().flush();
        std::thread::yield_now();
    }
    (!evacuated.slabs().is_empty()).then_some(evacuated)
}

#[test]
fn what_stands_in_a_slab_is_found_when_it_is_quiet() {
    let _alone = alone();
    note_limit(0);
    const BYTES: usize = 4_300;
    let blocks: Vec<_> = (0..200u32)
        .filter_map(|at| Filled::new(BYTES, Mobility::Movable, at as u8))
        .collect();
    let (kept, gone): (Vec<_>, Vec<_>) = blocks
        .into_iter()
        .enumerate()
        .partition(|(at, _)| at % 2 == 0);
    gone.into_iter().for_each(|(_, block)| block.free());
    empty_cache(BYTES, Mobility::Movable);
    let guard = reclaim::pin();
    let evacuated = Evacuated::new(set_aside(BYTES), &guard);
    let starts = |guard: &reclaim::Guard| {
        let mut starts = HashSet::new();
        for at in 0..evacuated.slabs().len() {
            let slots = 0..evacuated.shape(at).0;
            starts.extend(evacuated.taken((at, slots), guard).map(|slot| slot.start()));
        }
        starts
    };
    assert!(starts(&guard).is_empty(), "somebody may write there");
    drop(guard);
    while !evacuated.is_quiet() {
        reclaim::pin().flush();
    }
    let inside = kept.iter().map(|(_, block)| block.start);
    let inside: HashSet<_> = inside.filter(|&start| is_evacuated(start)).collect();
    assert_eq!(starts(&reclaim::pin()), inside);
    assert!(!IS_USED || inside.len() > 4);
    kept.into_iter().for_each(|(_, block)| block.free());
    end_evacuation(evacuated.into_slabs());
}

/// Runs `look` while three threads `write`, each with another seed, until `is_over` is set.
fn while_three_write(is_over: &AtomicBool, write: impl Fn(u64) + Sync, look: impl FnOnce()) {
    std::thread::scope(|scope| {
        for seed in 0..3 {
            let write = &write;
            scope.spawn(move || write(seed));
        }
        let _last = OnDrop(is_over);
        look();
    });
}

/// Empties slabs of a class, and fails if one of the blocks found there that are in `own` is half
/// written; until so many were seen.
fn look_at_quiet_slabs(bytes: usize, blocks: usize, own: &Mutex<HashSet<NonZeroUsize>>) {
    let mut seen = 0;
    while seen < blocks && IS_USED {
        let Some(evacuated) = quiet(set_aside(bytes)) else {
            continue;
        };
        let guard = reclaim::pin();
        for at in 0..evacuated.slabs().len() {
            let slots = 0..evacuated.shape(at).0;
            for slot in evacuated.taken((at, slots), &guard) {
                if !own.lock().unwrap().contains(&slot.start().addr()) {
                    continue;
                }
                seen += 1;
                // SAFETY: it is so long, and nobody writes to it.
                let content = unsafe { std::slice::from_raw_parts(slot.start().as_ptr(), bytes) };
                let is_whole = content.iter().all(|&byte| byte == content[0]);
                assert!(is_whole, "half written");
            }
        }
        drop(guard);
        end_evacuation(evacuated.into_slabs());
    }
}

#[test]
fn nobody_writes_to_what_stands_in_a_quiet_slab() {
    let _freeing = reclaim::freeing();
    note_limit(0);
    const BYTES: usize = 616;
    const BLOCKS: usize = 200_000;
    let is_over = AtomicBool::new(false);
    // Blocks of other tests may stand in slabs of this class, filled with what they like.
    let own = Mutex::new(HashSet::new());
    let free = |block: Filled| {
        own.lock().unwrap().remove(&block.start.addr());
        block.free();
    };
    let write = |seed| {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut live = Vec::new();
        while !is_over.load(Ordering::Relaxed) {
            let guard = reclaim::pin();
            for _ in 0..random.usize(..8) {
                let block = Filled::new(BYTES, Mobility::Movable, random.u8(..));
                live.extend(block.map(|mut block| {
                    own.lock().unwrap().insert(block.start.addr());
                    block.refill(random.u8(..));
                    block
                }));
            }
            drop(guard);
            while live.len() > 60 {
                free(live.swap_remove(random.usize(..live.len())));
            }
        }
        live.into_iter().for_each(free);
    };
    while_three_write(&is_over, write, || {
        look_at_quiet_slabs(BYTES, BLOCKS, &own);
    });
}

#[test]
fn nobody_makes_a_block_again_in_a_quiet_slab() {
    let _freeing = reclaim::freeing();
    note_limit(0);
    const BYTES: usize = 628;
    const BLOCKS: usize = 20_000;
    let is_over = AtomicBool::new(false);
    // As above. What is in here is live or retired, and whole.
    let own = Mutex::new(HashSet::new());
    let write = |seed| {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut live = std::collections::VecDeque::new();
        while !is_over.load(Ordering::Relaxed) {
            let guard = reclaim::pin();
            for _ in 0..random.usize(1..8) {
                let block = Block::recycle_movable(BYTES);
                let halves = [0, BYTES / 2].map(|from| block.start().as_ptr().wrapping_add(from));
                let with = random.u8(..);
                own.lock().unwrap().insert(block.start().addr());
                for half in halves {
                    // SAFETY: the block is new and so long.
                    unsafe { half.write_bytes(with, BYTES / 2) };
                    std::thread::yield_now();
                }
                live.push_back(block);
            }
            while live.len() > 60 {
                let at = random.usize(..live.len());
                let block = live.swap_remove_back(at).expect("there are so many");
                own.lock().unwrap().remove(&block.start().addr());
                // SAFETY: nobody else frees it.
                unsafe { guard.retire(block) };
            }
        }
        let guard = reclaim::pin();
        for block in live {
            own.lock().unwrap().remove(&block.start().addr());
            // SAFETY: as above.
            unsafe { guard.retire(block) };
        }
    };
    while_three_write(&is_over, write, || {
        look_at_quiet_slabs(BYTES, BLOCKS, &own);
    });
}
