//! The table against a naive map, alone and with many threads.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use super::*;
use crate::reclaim::{self, pin};
use crate::tests::while_others;

/// What test slots name; leaked, so that nothing depends on reclamation.
#[repr(align(8))]
struct Item {
    key: u64,
    value: u64,
}

struct Items;

impl Occupant for Items {
    unsafe fn is_key(&self, occupied: Occupied, key: &[u8]) -> bool {
        item(occupied).key.to_ne_bytes() == key
    }

    unsafe fn hash_of(&self, occupied: Occupied) -> u64 {
        hash(item(occupied).key)
    }
}

fn item(occupied: Occupied) -> &'static Item {
    // SAFETY: every word of these tests names a leaked item.
    unsafe { occupied.address().cast::<Item>().as_ref() }
}

fn hash(key: u64) -> u64 {
    rapidhash::v3::rapidhash_v3(&key.to_ne_bytes())
}

fn name(key: u64, value: u64) -> Occupied {
    let item = Box::leak(Box::new(Item { key, value }));
    Occupied::entry(NonNull::from(item).cast(), false)
}

/// Puts a value whatever was there; whether the key is new.
fn put(table: &Table<Items>, key: u64, value: u64) -> bool {
    let guard = pin();
    let bytes = key.to_ne_bytes();
    let key_hashed = Key::new(&bytes, hash(key));
    let new = name(key, value);
    loop {
        match table.find(&key_hashed, &guard) {
            Look::Present(spot) if table.replace(&spot, new, &guard).is_some() => return false,
            Look::Absent(absence) if table.insert(&absence, new, &guard).is_some() => return true,
            _ => {}
        }
    }
}

fn value_of(table: &Table<Items>, key: u64) -> Option<u64> {
    let guard = pin();
    match table.find(&Key::new(&key.to_ne_bytes(), hash(key)), &guard) {
        Look::Present(spot) => Some(item(spot.occupied()).value),
        Look::Absent(_) => None,
    }
}

fn take(table: &Table<Items>, key: u64) -> Option<u64> {
    let guard = pin();
    let bytes = key.to_ne_bytes();
    let key = Key::new(&bytes, hash(key));
    loop {
        match table.find(&key, &guard) {
            Look::Present(spot) if table.remove(&spot, 1, &guard) => {
                return Some(item(spot.occupied()).value);
            }
            Look::Present(_) => {}
            Look::Absent(_) => return None,
        }
    }
}

fn scan_all(table: &Table<Items>, count: usize, mut between: impl FnMut()) -> Vec<u64> {
    let (mut cursor, mut keys) = (0, Vec::new());
    loop {
        cursor = table.scan(cursor, count, &pin(), |occupied| {
            keys.push(item(occupied).key)
        });
        if cursor == 0 {
            return keys;
        }
        between();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn behaves_like_a_map(
        steps in proptest::collection::vec((0u8..4, 0u64..600, any::<u64>()), 1..4000),
    ) {
        let table = Table::new(Items, 0);
        let mut model = HashMap::new();
        for (kind, key, value) in steps {
            match kind {
                0 => prop_assert_eq!(take(&table, key), model.remove(&key)),
                1 => prop_assert_eq!(value_of(&table, key), model.get(&key).copied()),
                _ => {
                    let is_new = model.insert(key, value).is_none();
                    prop_assert_eq!(put(&table, key, value), is_new);
                }
            }
        }
        let mut keys = scan_all(&table, 10, || {});
        keys.sort_unstable();
        let mut expected: Vec<_> = model.into_keys().collect();
        expected.sort_unstable();
        prop_assert_eq!(keys, expected);
    }
}

#[test]
fn a_scan_meets_every_key_that_stays_while_the_table_grows() {
    let table = Table::new(Items, 0);
    (0..5_000).for_each(|key| assert!(put(&table, key, key)));
    let mut next = 5_000;
    let mut keys = scan_all(&table, 7, || {
        (0..50).for_each(|_| {
            put(&table, next, next);
            next += 1;
        });
    });
    keys.sort_unstable();
    keys.dedup();
    assert!((0..5_000).all(|key| keys.binary_search(&key).is_ok()));
}

#[test]
fn segments_are_well_filled_at_any_size() {
    let mut table = Table::new(Items, 0);
    let mut worst = 0.0_f64;
    for keys in 0..200_000u64 {
        put(&table, keys, keys);
        if keys > 50_000 && keys % 10_000 == 0 {
            let mut segments = 0;
            table.root.for_each_segment(|_| segments += 1);
            worst = worst.max(4096.0 * f64::from(segments) / keys as f64);
        }
    }
    assert!(worst < 14.8, "{worst} bytes per key");
}

/// Which part of the keys is not in its home bucket.
fn strays(table: &mut Table<Items>) -> f64 {
    let (mut strays, mut all) = (0.0, 0.0);
    let Table {
        root, occupants, ..
    } = table;
    root.for_each_segment(|segment| {
        // SAFETY: the table is the test's alone.
        for (position, word) in unsafe { segment.as_ref() }.committed() {
            // SAFETY: as above.
            let hash = unsafe { occupants.hash_of(word.occupied()) };
            let is_at_home = Segment::bucket_of(position) == Segment::home_of(hash);
            strays += f64::from(u8::from(!is_at_home));
            all += 1.0;
        }
    });
    strays / all
}

#[test]
fn most_keys_stand_at_home() {
    let mut table = Table::new(Items, 0);
    let mut part = 0.0;
    for keys in 0..200_000u64 {
        put(&table, keys, keys);
        if keys >= 100_000 && keys % 10_000 == 0 {
            part += strays(&mut table) / 10.0;
        }
    }
    assert!(part < 0.12, "{part} of the keys are elsewhere");
}

/// Merges wherever segments are nearly empty, over the whole table.
fn shrink(table: &Table<Items>) {
    let mut place = Some(0);
    while let Some(at) = place {
        place = table.shrink_at(at, &pin());
    }
}

#[test]
fn a_table_shrinks_and_keeps_what_is_left() {
    let table = Table::new(Items, 0);
    (0..100_000).for_each(|key| assert!(put(&table, key, key)));
    let slots = table.slots();
    (0..100_000).filter(|key| key % 50 != 0).for_each(|key| {
        take(&table, key);
    });
    (0..20).for_each(|_| shrink(&table));
    assert!(
        table.slots() < slots / 10,
        "{} of {slots} slots",
        table.slots()
    );
    let mut keys = scan_all(&table, 10, || {});
    keys.sort_unstable();
    assert_eq!(keys, (0..100_000).step_by(50).collect::<Vec<_>>());
    (0..50_000).for_each(|key| assert_eq!(put(&table, key, key), key % 50 != 0));
}

#[test]
fn a_scan_meets_every_key_that_stays_while_the_table_shrinks_and_grows() {
    let table = Table::new(Items, 0);
    (0..50_000).for_each(|key| assert!(put(&table, key, key)));
    (0..50_000).filter(|key| key % 25 != 0).for_each(|key| {
        take(&table, key);
    });
    let mut round = 0;
    let mut keys = scan_all(&table, 7, || {
        round += 1;
        if round % 10 == 0 {
            shrink(&table);
        }
        if round % 7 == 0 {
            let fresh = 1_000_000 + round * 1_000..1_000_500 + round * 1_000;
            fresh.clone().for_each(|key| assert!(put(&table, key, key)));
            fresh.for_each(|key| assert!(take(&table, key).is_some()));
        }
    });
    keys.sort_unstable();
    keys.dedup();
    assert!(
        (0..50_000)
            .step_by(25)
            .all(|key| keys.binary_search(&key).is_ok())
    );
}

#[test]
fn nothing_is_lost_when_threads_fill_empty_and_shrink_at_once() {
    let table = Table::new(Items, 0);
    let fill_and_empty = |thread: u64| {
        let keys = thread * 1_000_000..thread * 1_000_000 + 3_000;
        for round in 0..10 {
            for key in keys.clone() {
                assert!(put(&table, key, round));
            }
            for key in keys.clone() {
                assert_eq!(value_of(&table, key), Some(round));
            }
            for key in keys.clone() {
                assert_eq!(take(&table, key), Some(round));
            }
        }
    };
    while_others(
        || shrink(&table),
        || {
            std::thread::scope(|scope| {
                for thread in 0..3 {
                    let fill_and_empty = &fill_and_empty;
                    scope.spawn(move || fill_and_empty(thread));
                }
            });
        },
    );
    assert!(scan_all(&table, 100, || {}).is_empty());
}

#[test]
fn one_of_many_inserters_of_a_key_wins() {
    let table = Table::new(Items, 0);
    let inserted = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for key in 0..20_000 {
                    inserted.fetch_add(usize::from(put(&table, key, 0)), Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(inserted.into_inner(), 20_000);
    assert_eq!(scan_all(&table, 100, || {}).len(), 20_000);
}

#[test]
fn insertions_and_removals_of_all_threads_balance() {
    let table = Table::new(Items, 0);
    let present: i64 = std::thread::scope(|scope| {
        let threads = (0..4).map(|thread| {
            let table = &table;
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(thread);
                let mut balance = 0;
                for _ in 0..60_000 {
                    let key = random.u64(..1_500);
                    match random.bool() {
                        true => balance += i64::from(put(table, key, thread)),
                        false => balance -= i64::from(take(table, key).is_some()),
                    }
                }
                balance
            })
        });
        let threads: Vec<_> = threads.collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("a thread"))
            .sum()
    });
    let left = scan_all(&table, 100, || {}).len() as i64;
    assert_eq!(present, left);
    reclaim::settle();
}
