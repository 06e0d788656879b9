//! The table's protocols under every schedule (loom) or many (shuttle).
//!
//! Each model says what it proves. Under loom a segment has two slots and all keys one home, so
//! that a third key splits it; under shuttle it has two homes and a stash.
//!
//! Models were seen to fail, by name, when the protocol is broken:
//!
//! - words of insertions are not marked tentative: `insert_insert`;
//! - an insertion commits whatever was inserted since its look: both `insert_insert`,
//!   `insert_remove_insert_under_an_inserter`, `split_under_insertions_of_one_key`;
//! - slots are frozen before control words: `split_under_a_removal`, `merge_under_insertions`;
//! - a search that helped takes what it then finds for committed:
//!   `insert_remove_insert_under_a_reader`, under loom;
//! - a frozen control word is settled: `split_under_an_insertion`;
//! - a slot is not looked at again where a key was seen: `split_under_a_look_where_a_key_was_seen`;
//! - who cancels a merge touches both halves: `merge_cancelled_by_splits`, under shuttle with
//!   AddressSanitizer.
//!
//! None was seen to fail when `settle` does not look at the control word a second time, nor when
//! a merged segment is split before its merge is finished: what these are for is argued in their
//! files only.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::segment::STASHES;
use super::*;
use crate::reclaim::pin;
use crate::sync::model::{Step, at_once, explore};
#[cfg(mayfly_shuttle)]
use crate::sync::model::{random_seed, together};

/// What slots name here. All keys share one tag, so that every match is looked at.
#[repr(align(8))]
struct Item {
    hash: u64,
    value: u64,
    /// Nobody may look at it any more.
    is_dead: AtomicBool,
}

struct Items;

impl Occupant for Items {
    unsafe fn is_key(&self, occupied: Occupied, key: &[u8]) -> bool {
        item(occupied).hash.to_ne_bytes() == key
    }

    unsafe fn hash_of(&self, occupied: Occupied) -> u64 {
        item(occupied).hash
    }
}

fn item<'g>(occupied: Occupied) -> &'g Item {
    // SAFETY: items are freed under a guard after they were taken out of their slots.
    let item = unsafe { occupied.address().cast::<Item>().as_ref() };
    assert!(!item.is_dead.load(Ordering::Relaxed), "a dead item is seen");
    item
}

/// The hash of a key whose place rises with `place`, of home 0.
const fn at(place: u64) -> u64 {
    place << 56 | 7
}

/// As [`at`], of the last home.
#[cfg(mayfly_shuttle)]
const fn at_last_home(place: u64) -> u64 {
    at(place) | 0xFFFF_0000
}

/// Keys of the left half of places; the first two are of different quarters.
const LEFT: [u64; 3] = [at(0x10), at(0x66), at(0x40)];
/// Keys of the right half; the last two are of the same quarter.
const RIGHT: [u64; 3] = [at(0xA0), at(0xD8), at(0xF8)];

/// What takes the places that a stash adds, in the first half of places and in the second, so
/// that two more keys fill a half, and a third one splits it, under both checkers.
const PADS: [&[u64]; 2] = match STASHES {
    0 => [&[], &[]],
    _ => [&[at(0x04)], &[at(0xFE)]],
};

/// A table of items with what a test asks of it.
struct Model {
    table: Table<Items>,
    /// Keys nobody touches.
    pads: Vec<u64>,
}

/// An item that is in no slot yet, and what a slot names it by.
fn item_made(hash: u64, value: u64) -> (*mut Item, Occupied) {
    let is_dead = AtomicBool::new(false);
    let made = Box::into_raw(Box::new(Item {
        hash,
        value,
        is_dead,
    }));
    let named = NonNull::new(made).expect("a box").cast();
    (made, Occupied::entry(named, false))
}

impl Model {
    /// Keys with the value 0.
    fn with(keys: &[u64]) -> Arc<Model> {
        Model::padded(&[], keys)
    }

    /// Two keys that fill the table's only segment.
    fn full_of(keys: [u64; 2]) -> Arc<Model> {
        Model::padded(PADS[0], &keys)
    }

    fn padded(pads: &[u64], keys: &[u64]) -> Arc<Model> {
        let (table, pads) = (Table::new(Items, 0), pads.to_vec());
        let model = Model { table, pads };
        let both = model.pads.iter().chain(keys);
        both.for_each(|&key| assert!(model.insert(key, 0)));
        Arc::new(model)
    }

    /// Inserts a key unless it is there.
    fn insert(&self, hash: u64, value: u64) -> bool {
        self.change(hash, value, false)
    }

    /// Inserts or replaces; whether the key is new.
    fn put(&self, hash: u64, value: u64) -> bool {
        self.change(hash, value, true)
    }

    fn change(&self, hash: u64, value: u64, may_replace: bool) -> bool {
        let guard = pin();
        let bytes = hash.to_ne_bytes();
        let key = Key::new(&bytes, hash);
        let (made, new) = item_made(hash, value);
        loop {
            match self.table.find(&key, &guard) {
                Look::Present(_) if !may_replace => {
                    item(new).is_dead.store(true, Ordering::Relaxed);
                    // SAFETY: it never was in a slot that counts.
                    unsafe { guard.retire_box(made) };
                    return false;
                }
                Look::Present(spot) if self.table.replace(&spot, new, &guard).is_some() => {
                    retire(spot.occupied(), &guard);
                    return false;
                }
                Look::Absent(absence) if self.table.insert(&absence, new, &guard).is_some() => {
                    return true;
                }
                _ => {}
            }
        }
    }

    fn get(&self, hash: u64) -> Option<u64> {
        let guard = pin();
        let bytes = hash.to_ne_bytes();
        match self.table.find(&Key::new(&bytes, hash), &guard) {
            Look::Present(spot) => Some(item(spot.occupied()).value),
            Look::Absent(_) => None,
        }
    }

    fn take(&self, hash: u64) -> Option<u64> {
        let guard = pin();
        let bytes = hash.to_ne_bytes();
        let key = Key::new(&bytes, hash);
        loop {
            let Look::Present(spot) = self.table.find(&key, &guard) else {
                return None;
            };
            let value = item(spot.occupied()).value;
            if self.table.remove(&spot, value, &guard) {
                retire(spot.occupied(), &guard);
                return Some(value);
            }
        }
    }

    /// What a whole scan meets, in order.
    fn scan(&self) -> Vec<u64> {
        let (mut cursor, mut keys) = (0, Vec::new());
        loop {
            let visit = |occupied| keys.push(item(occupied).hash);
            cursor = self.table.scan(cursor, 1, &pin(), visit);
            if cursor == 0 {
                keys.sort_unstable();
                return keys;
            }
        }
    }

    /// Ends a model: exactly these keys are there, by a search, a scan, and page by page, and the
    /// directory leads to them without detours.
    fn ends_with(model: Arc<Model>, expected: &[(u64, u64)]) {
        for &(key, value) in expected {
            assert_eq!(model.get(key), Some(value), "the value of {key:x}");
        }
        let mut keys: Vec<u64> = expected.iter().map(|&(key, _)| key).collect();
        keys.extend(&model.pads);
        keys.sort_unstable();
        assert_eq!(model.scan(), keys);
        let mut table = Arc::into_inner(model).expect("the last of them").table;
        let mut drained = Vec::new();
        for page in table.pages() {
            // SAFETY: the table is ours alone.
            assert!(unsafe { page.0.as_ref() }.successors().is_none());
            table.drain_page(&page, |occupied| {
                drained.push(item(occupied).hash);
                // SAFETY: nobody else knows the table.
                drop(unsafe { Box::from_raw(occupied.address().cast::<Item>().as_ptr()) });
            });
        }
        drained.sort_unstable();
        assert_eq!(drained, keys);
    }
}

/// Frees what was taken out of its slot.
fn retire(occupied: Occupied, guard: &Guard) {
    // SAFETY: whoever took it out of the slot calls this, once.
    unsafe { guard.retire_box(occupied.address().cast::<Item>().as_ptr()) };
}

/// Under every schedule, steps that are taken at once leave exactly these keys of what was there.
fn always_leaves(
    preemptions: usize,
    begin: fn() -> Arc<Model>,
    steps: &'static [Step<Model>],
    left: &'static [(u64, u64)],
) {
    explore(preemptions, move || {
        let model = begin();
        at_once(&model, steps);
        Model::ends_with(model, left);
    });
}

/// A key of each half, which fill the table's only segment.
fn full() -> Arc<Model> {
    Model::full_of([LEFT[0], RIGHT[0]])
}

/// Of two inserters of one key exactly one succeeds, and the other one sees its value.
#[test]
fn insert_insert() {
    explore(4, || {
        let model = Model::with(&[]);
        let insert: [Step<Model, _>; 2] = [
            |model| (1, model.insert(LEFT[0], 1), model.get(LEFT[0])),
            |model| (2, model.insert(LEFT[0], 2), model.get(LEFT[0])),
        ];
        let results = at_once(&model, &insert);
        let winners: Vec<u64> = results
            .iter()
            .filter(|one| one.1)
            .map(|one| one.0)
            .collect();
        assert_eq!(winners.len(), 1);
        assert!(results.iter().all(|one| one.2 == Some(winners[0])));
        Model::ends_with(model, &[(LEFT[0], winners[0])]);
    });
}

/// As above with a third inserter, of another key of the same home.
#[test]
fn insert_insert_beside_another_key() {
    explore(2, || {
        let model = Model::with(&[]);
        let won = at_once(
            &model,
            &[
                |model| model.insert(LEFT[0], 1),
                |model| model.insert(LEFT[0], 2),
                |model| model.insert(LEFT[1], 3),
            ],
        );
        assert!(won[0] != won[1] && won[2]);
        let value = if won[0] { 1 } else { 2 };
        Model::ends_with(model, &[(LEFT[0], value), (LEFT[1], 3)]);
    });
}

/// A reader of a key that is inserted, removed and inserted again never sees an insertion that
/// is not committed, nor goes back to what was before.
#[test]
fn insert_remove_insert_under_a_reader() {
    explore(4, || {
        let model = Model::with(&[]);
        let seen = at_once(
            &model,
            &[
                |model| {
                    assert!(model.insert(LEFT[0], 1));
                    assert_eq!(model.take(LEFT[0]), Some(1));
                    assert!(model.insert(LEFT[0], 2));
                    (None, None)
                },
                |model| (model.get(LEFT[0]), model.get(LEFT[0])),
            ],
        );
        match seen[1] {
            (None, _) | (Some(1), _) | (Some(2), Some(2)) => {}
            backwards => panic!("{backwards:?}"),
        }
        Model::ends_with(model, &[(LEFT[0], 2)]);
    });
}

/// A key that one thread inserts, removes and inserts again while another inserts it has one
/// slot or none: insertions less removals.
#[test]
fn insert_remove_insert_under_an_inserter() {
    explore(3, || {
        let model = Model::with(&[]);
        let balance = at_once(
            &model,
            &[
                |model| {
                    let first = i32::from(model.insert(LEFT[0], 1));
                    let taken = i32::from(model.take(LEFT[0]).is_some());
                    first - taken + i32::from(model.insert(LEFT[0], 2))
                },
                |model| i32::from(model.insert(LEFT[0], 3)),
            ],
        );
        assert_eq!(balance.iter().sum::<i32>(), 1);
        let value = model.get(LEFT[0]).expect("the key");
        Model::ends_with(model, &[(LEFT[0], value)]);
    });
}

/// An inserter that finds a key removed starts above the removed version, split or not.
#[test]
fn insertions_start_above_what_was_removed() {
    explore(3, || {
        let model = full();
        model.put(LEFT[0], 9);
        at_once::<_, ()>(
            &model,
            &[
                |model| {
                    // The value stands for the version.
                    model.take(LEFT[0]);
                },
                |model| {
                    model.insert(RIGHT[1], 0);
                },
                |model| {
                    let (guard, bytes) = (pin(), LEFT[0].to_ne_bytes());
                    let look = model.table.find(&Key::new(&bytes, LEFT[0]), &guard);
                    if let Look::Absent(absence) = look {
                        assert!(absence.removed_version_max() >= 9);
                    }
                },
            ],
        );
        Model::ends_with(model, &[(RIGHT[0], 0), (RIGHT[1], 0)]);
    });
}

/// A replacement is not lost in a split, and whoever made it reads it.
#[test]
fn split_under_a_replacement() {
    always_leaves(
        3,
        full,
        &[
            |model| assert!(model.insert(LEFT[1], 1)),
            |model| {
                assert!(!model.put(LEFT[0], 2));
                assert_eq!(model.get(LEFT[0]), Some(2));
            },
        ],
        &[(LEFT[0], 2), (LEFT[1], 1), (RIGHT[0], 0)],
    );
}

/// Two insertions that both need a split both succeed, also of one key: then once.
#[test]
fn split_under_an_insertion() {
    always_leaves(
        3,
        full,
        &[
            |model| assert!(model.insert(LEFT[1], 1)),
            |model| assert!(model.insert(RIGHT[1], 2)),
        ],
        &[(LEFT[0], 0), (LEFT[1], 1), (RIGHT[0], 0), (RIGHT[1], 2)],
    );
}

/// One of two inserters of a key succeeds while the segment is being split.
#[test]
fn split_under_insertions_of_one_key() {
    explore(3, || {
        let model = full();
        let won = at_once(
            &model,
            &[
                |model| model.insert(LEFT[1], 1),
                |model| model.insert(LEFT[1], 2),
            ],
        );
        assert!(won[0] != won[1]);
        let value = if won[0] { 1 } else { 2 };
        Model::ends_with(model, &[(LEFT[0], 0), (LEFT[1], value), (RIGHT[0], 0)]);
    });
}

/// An insertion that is committed but not settled goes on in the split, one that is not
/// committed is left behind.
#[test]
fn split_under_a_pending_insertion() {
    always_leaves(
        3,
        || Model::with(&[LEFT[0]]),
        &[
            |model| assert!(model.insert(RIGHT[0], 1)),
            |model| assert!(model.insert(LEFT[1], 2)),
        ],
        &[(LEFT[0], 0), (LEFT[1], 2), (RIGHT[0], 1)],
    );
}

/// A removal is not undone by a split.
#[test]
fn split_under_a_removal() {
    always_leaves(
        3,
        full,
        &[
            |model| assert!(model.insert(LEFT[1], 1)),
            |model| {
                assert_eq!(model.take(LEFT[0]), Some(0));
                assert_eq!(model.get(LEFT[0]), None);
            },
        ],
        &[(LEFT[1], 1), (RIGHT[0], 0)],
    );
}

/// A reader sees a key that stays throughout a split, and never goes back.
#[test]
fn split_under_a_reader() {
    always_leaves(
        3,
        full,
        &[
            |model| {
                assert!(model.insert(LEFT[1], 1));
                assert!(!model.put(LEFT[0], 1));
            },
            |model| {
                let (first, second) = (model.get(LEFT[0]), model.get(LEFT[0]));
                assert!(first.is_some() && first <= second);
            },
        ],
        &[(LEFT[0], 1), (LEFT[1], 1), (RIGHT[0], 0)],
    );
}

/// Who looks where a key was seen ahead finds nothing older than others did before.
#[test]
fn split_under_a_look_where_a_key_was_seen() {
    always_leaves(
        3,
        full,
        &[
            |model| {
                assert!(model.insert(LEFT[1], 1));
                assert!(!model.put(LEFT[0], 1));
            },
            |model| {
                let guard = pin();
                let bytes = LEFT[0].to_ne_bytes();
                let key = Key::new(&bytes, LEFT[0]);
                let mut seen = [model.table.foresee(key, &guard)];
                Foreseen::prefetch_all::<true>(&mut seen);
                let ahead = match model.table.named_ahead(&seen[0], &guard) {
                    Named::Entry(named) | Named::Something(named) => Some(item(named).value),
                    Named::Nothing => None,
                };
                let between = model.get(LEFT[0]);
                let spot = model.table.find_foreseen(&seen[0]);
                let behind = spot.map_or(between, |spot| Some(item(spot.occupied()).value));
                assert!(ahead.is_some() && ahead <= between && between <= behind);
            },
        ],
        &[(LEFT[0], 1), (LEFT[1], 1), (RIGHT[0], 0)],
    );
}

/// Who replaces a key where it was seen ahead does so in the slot that counts, or not at all.
#[test]
fn split_under_a_replacement_where_a_key_was_seen() {
    explore(3, || {
        let model = full();
        at_once(
            &model,
            &[
                |model| {
                    model.insert(LEFT[1], 1);
                },
                |model| {
                    let guard = pin();
                    let bytes = LEFT[0].to_ne_bytes();
                    let key = Key::new(&bytes, LEFT[0]);
                    let mut seen = [model.table.foresee(key, &guard)];
                    Foreseen::prefetch_all::<true>(&mut seen);
                    let Some(spot) = model.table.find_foreseen(&seen[0]) else {
                        model.put(LEFT[0], 2);
                        return;
                    };
                    let (made, new) = item_made(LEFT[0], 2);
                    if model.table.replace(&spot, new, &guard).is_some() {
                        return retire(spot.occupied(), &guard);
                    }
                    // SAFETY: it never was in a slot that counts.
                    unsafe { guard.retire_box(made) };
                    model.put(LEFT[0], 2);
                },
            ],
        );
        Model::ends_with(model, &[(LEFT[0], 2), (LEFT[1], 1), (RIGHT[0], 0)]);
    });
}

/// A scan meets a key that stays throughout a split.
#[test]
fn split_under_a_scan() {
    always_leaves(
        2,
        full,
        &[
            |model| assert!(model.insert(LEFT[1], 1)),
            |model| {
                let keys = model.scan();
                assert!(keys.contains(&LEFT[0]) && keys.contains(&RIGHT[0]));
            },
        ],
        &[(LEFT[0], 0), (LEFT[1], 1), (RIGHT[0], 0)],
    );
}

/// Two segments split at once, and the directory is doubled for both: no entry is left that
/// leads to a segment with successors.
#[test]
fn doubling_while_splits_unlink() {
    always_leaves(
        2,
        full_halves,
        &[
            |model| assert!(model.insert(LEFT[2], 1)),
            |model| assert!(model.insert(RIGHT[2], 2)),
        ],
        &[
            (LEFT[0], 0),
            (LEFT[1], 0),
            (LEFT[2], 1),
            (RIGHT[0], 0),
            (RIGHT[1], 0),
            (RIGHT[2], 2),
        ],
    );
}

/// Two segments with room for one key each.
fn halves() -> Arc<Model> {
    let model = full_halves();
    for key in [LEFT[1], RIGHT[1]] {
        assert_eq!(model.take(key), Some(0));
    }
    model
}

/// Two full segments.
fn full_halves() -> Arc<Model> {
    Model::padded(&PADS.concat(), &[LEFT[0], LEFT[1], RIGHT[0], RIGHT[1]])
}

fn shrink(model: &Model) {
    model.table.shrink_at(0, &pin());
}

/// A reader of keys of both halves sees them throughout a merge.
#[test]
fn merge_under_a_reader() {
    always_leaves(
        3,
        halves,
        &[shrink, |model| {
            assert_eq!(model.get(RIGHT[0]), Some(0));
            assert_eq!(model.get(LEFT[0]), Some(0));
        }],
        &[(LEFT[0], 0), (RIGHT[0], 0)],
    );
}

/// A scan meets keys that stay throughout a merge.
#[test]
fn merge_under_a_scan() {
    always_leaves(
        2,
        halves,
        &[shrink, |model| {
            let keys = model.scan();
            assert!(keys.contains(&LEFT[0]) && keys.contains(&RIGHT[0]));
        }],
        &[(LEFT[0], 0), (RIGHT[0], 0)],
    );
}

/// What is changed while segments are merged stays changed.
#[test]
fn merge_under_changes() {
    always_leaves(
        2,
        halves,
        &[shrink, |model| {
            assert!(!model.put(RIGHT[0], 1));
            assert_eq!(model.take(LEFT[0]), Some(0));
            assert_eq!(model.get(LEFT[0]), None);
            assert_eq!(model.get(RIGHT[0]), Some(1));
        }],
        &[(RIGHT[0], 1)],
    );
}

/// Insertions into both halves succeed while they are merged, find one of them room or not: the
/// merge is cancelled, comes to a copy of each, or is split again.
#[test]
fn merge_under_insertions() {
    always_leaves(
        2,
        halves,
        &[shrink, |model| {
            assert!(model.insert(RIGHT[1], 1));
            assert!(model.insert(LEFT[1], 2));
        }],
        &[(LEFT[0], 0), (LEFT[1], 2), (RIGHT[0], 0), (RIGHT[1], 1)],
    );
}

/// A merge, a split of its first half and a split of its second half, which cancel it or wait
/// for it, come one after the other; nobody touches a half that is gone.
#[test]
fn merge_under_splits() {
    always_leaves(
        1,
        halves,
        &[
            |model| {
                assert!(model.insert(RIGHT[1], 1));
                assert!(model.insert(RIGHT[2], 2));
            },
            shrink,
            |model| {
                assert!(model.insert(LEFT[1], 3));
                assert!(model.insert(LEFT[2], 4));
            },
        ],
        &[
            (LEFT[0], 0),
            (LEFT[1], 3),
            (LEFT[2], 4),
            (RIGHT[0], 0),
            (RIGHT[1], 1),
            (RIGHT[2], 2),
        ],
    );
}

/// A merge may be cancelled by who needs its first half when its second half is gone.
#[test]
fn merge_cancelled_by_splits() {
    always_leaves(
        1,
        full_halves,
        &[
            |model| assert!(model.insert(RIGHT[2], 1)),
            shrink,
            |model| assert!(model.insert(LEFT[2], 2)),
        ],
        &[
            (LEFT[0], 0),
            (LEFT[1], 0),
            (LEFT[2], 2),
            (RIGHT[0], 0),
            (RIGHT[1], 0),
            (RIGHT[2], 1),
        ],
    );
}

/// Two merges of the same segments come to one.
#[test]
fn merge_under_a_merge() {
    always_leaves(3, halves, &[shrink, shrink], &[(LEFT[0], 0), (RIGHT[0], 0)]);
}

/// Four threads at six keys of both homes, through splits and the stash: insertions less
/// removals is what is left, key by key.
#[cfg(mayfly_shuttle)]
#[test]
fn many_insertions_and_removals_balance() {
    const KEYS: [u64; 6] = [
        LEFT[0],
        LEFT[1],
        at_last_home(0x11),
        RIGHT[0],
        at_last_home(0xD1),
        RIGHT[1],
    ];
    fn some(model: &Model, random: u64) -> Vec<i32> {
        let mut random = fastrand::Rng::with_seed(random);
        let mut balance = vec![0; KEYS.len()];
        for step in 0..8 {
            let key = random.usize(..KEYS.len());
            match random.u8(..5) {
                0 => balance[key] -= i32::from(model.take(KEYS[key]).is_some()),
                1 => balance[key] += i32::from(model.insert(KEYS[key], step)),
                2 => balance[key] += i32::from(model.put(KEYS[key], step)),
                3 => shrink(model),
                _ => assert!(model.get(KEYS[key]).is_none_or(|value| value < 8)),
            }
        }
        balance
    }
    explore(0, || {
        let model = Model::with(&[]);
        let bodies = (0..4).map(|_| {
            let (model, seed) = (Arc::clone(&model), random_seed());
            Box::new(move || some(&model, seed)) as Box<dyn FnOnce() -> _ + Send>
        });
        let balances: Vec<Vec<i32>> = together(bodies.collect());
        let mut left = Vec::new();
        for (at, &key) in KEYS.iter().enumerate() {
            let balance: i32 = balances.iter().map(|balance| balance[at]).sum();
            assert_eq!(balance, i32::from(model.get(key).is_some()));
            left.extend(model.get(key).map(|value| (key, value)));
        }
        Model::ends_with(model, &left);
    });
}

/// A scan meets a committed insertion whatever happens in the stash at the same time.
#[cfg(mayfly_shuttle)]
#[test]
fn insertion_while_the_stash_is_left() {
    const LAST: [u64; 2] = [at_last_home(0x11), at_last_home(0x61)];
    explore(0, || {
        // Home 0's two slots are taken, so that the third of its keys lies in the stash.
        let model = Model::with(&LEFT);
        at_once::<_, ()>(
            &model,
            &[
                |model| assert_eq!(model.take(LEFT[2]), Some(0)),
                |model| {
                    model.take(LEFT[0]);
                    assert!(model.insert(at(0x12), 1));
                    assert!(model.scan().contains(&at(0x12)));
                },
                |model| assert_eq!(model.get(LAST[0]), None),
            ],
        );
        Model::ends_with(model, &[(at(0x12), 1), (LEFT[1], 0)]);
    });
}
