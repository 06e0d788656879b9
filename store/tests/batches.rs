//! Batches change nothing: a batch of reads finds what the same reads find one by one, and commands
//! whose keys were looked for ahead see what those before them did.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

use store::value::string::{self, Str};
use store::{Ahead, Change, Db, Draft, Entry, Error, Options, Store, take_lookups};

const KEYS: u64 = 2_000;
const NOW_MS: u64 = 1_000;

fn key_of(number: u64) -> Vec<u8> {
    // Of several lengths, each of which is hashed and compared in its way.
    let digits = 1 + (number % 40) as usize;
    format!("{number:0digits$}").into_bytes()
}

fn put(db: &Db<'_>, number: u64, value: u64) {
    let value = value.to_string();
    let mut draft = Draft::new(string::bytes(value.as_bytes()));
    draft.meta.expires_at_ms = match number % 4 {
        // One expires, one has.
        0 => Some(NOW_MS + 1),
        1 => Some(NOW_MS),
        _ => None,
    };
    db.put(&key_of(number), draft).expect("no transaction");
}

fn value_in(entry: Entry<'_>) -> u64 {
    let number = Str::of(entry).expect("a string").integer();
    number.expect("an integer").unsigned_abs()
}

fn read_batch(db: &Db<'_>, keys: &[Vec<u8>]) -> Vec<Option<u64>> {
    let mut found = Vec::new();
    db.read_batch(keys, |key, entry| {
        assert_eq!(key, keys[found.len()]);
        found.push(entry.map(value_in));
        ControlFlow::Continue(())
    });
    found
}

#[test]
fn a_batch_finds_what_reads_find_one_by_one() {
    let store = Store::new(&Options::default());
    let guard = store.pin();
    let db = store.db(0, &guard, NOW_MS);
    for number in (0..KEYS).filter(|number| number % 3 > 0) {
        put(&db, number, number);
    }
    for batch in [0, 1, 2, 31, 32, 33, 64, 100, 700] {
        let mut rng = fastrand::Rng::with_seed(batch);
        let keys: Vec<_> = (0..batch).map(|_| key_of(rng.u64(..KEYS))).collect();
        take_lookups();
        let one_by_one: Vec<_> = keys.iter().map(|key| db.read(key).map(value_in)).collect();
        let counted = take_lookups();
        assert_eq!(read_batch(&db, &keys), one_by_one);
        let again = take_lookups();
        assert_eq!((again.hits, again.misses), (counted.hits, counted.misses));
    }
}

#[test]
fn a_batch_ends_where_the_visitor_breaks_off() {
    let store = Store::new(&Options::default());
    let guard = store.pin();
    let db = store.db(0, &guard, NOW_MS);
    let keys: Vec<_> = (0..100).map(key_of).collect();
    for end in [1, 32, 50, 100] {
        let mut visited = 0;
        take_lookups();
        db.read_batch(&keys, |_, _| {
            visited += 1;
            match visited == end {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        });
        assert_eq!((visited, take_lookups().misses), (end, end));
    }
}

#[test]
fn in_a_transaction_a_batch_finds_what_was_written_before() {
    let store = Store::new(&Options::default());
    let guard = store.pin();
    let db = store.db(0, &guard, NOW_MS);
    put(&db, 2, 1);
    let keys = [key_of(2), key_of(3)];
    let found = db.atomic(|db| {
        put(db, 3, 3);
        put(db, 2, 2);
        Ok(read_batch(db, &keys))
    });
    assert_eq!(found, Ok(vec![Some(2), Some(3)]));
}

/// Values of a key only rise, so that one that was there before a batch began is the least that it
/// may find.
#[test]
fn a_batch_finds_nothing_older_than_its_beginning() {
    const ROUNDS: u64 = 300;
    let store = Store::new(&Options::default());
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..ROUNDS {
                // The table grows meanwhile: its segments split under the reader.
                for number in (2..2 + round * 16).step_by(4) {
                    let guard = store.pin();
                    put(&store.db(0, &guard, NOW_MS), number, round);
                }
            }
            is_over.store(true, Ordering::Release);
        });
        let mut rng = fastrand::Rng::with_seed(1);
        while !is_over.load(Ordering::Acquire) {
            let keys: Vec<_> = (0..40)
                .map(|_| key_of(2 + 4 * rng.u64(..ROUNDS * 4)))
                .collect();
            let guard = store.pin();
            let db = store.db(0, &guard, NOW_MS);
            let before: Vec<_> = keys.iter().map(|key| db.read(key).map(value_in)).collect();
            let found = read_batch(&db, &keys);
            let after = keys.iter().map(|key| db.read(key).map(value_in));
            for ((before, found), after) in before.into_iter().zip(found).zip(after) {
                assert!(before <= found && found <= after);
            }
        }
    });
}

/// What commands do with a key, and what each then finds there, by a plain map.
#[test]
fn commands_whose_keys_were_looked_for_ahead_see_what_was_done_before() {
    const FEW_KEYS: u64 = 40;
    let store = Store::new(&Options::default());
    let mut model = [const { BTreeMap::<u64, u64>::new() }; 2];
    let mut rng = fastrand::Rng::with_seed(1);
    for round in 0..2_000 {
        let guard = store.pin();
        let dbs = [0, 1].map(|index| store.db(index, &guard, NOW_MS));
        let batch: Vec<(u64, Vec<u8>)> = (0..rng.usize(1..100))
            .map(|_| 4 * rng.u64(..FEW_KEYS + round / 4) + 2)
            .map(|number| (number, key_of(number)))
            .collect();
        let mut ahead = Ahead::default();
        let seen_in = rng.usize(..2);
        dbs[seen_in].look_ahead(batch.iter().map(|(_, key)| &key[..]), &mut ahead);
        for (at, (number, key)) in batch.iter().enumerate() {
            // Mostly of the database in which it was looked for, and of this very key.
            let index = if rng.u8(..8) > 0 {
                seen_in
            } else {
                1 - seen_in
            };
            let at = if rng.u8(..8) > 0 {
                at
            } else {
                rng.usize(..100)
            };
            let db = dbs[index].expecting(&ahead, at);
            let model = &mut model[index];
            match rng.u8(..8) {
                0 => {
                    let removed = db.update(key, |entry| Ok((Change::Remove, entry.is_some())));
                    assert_eq!(removed, Ok::<_, Error>(model.remove(number).is_some()));
                }
                1..4 => {
                    put(&db, *number, round);
                    model.insert(*number, round);
                }
                4 => {
                    let next = model.get(number).map_or(1, |value| value + 1);
                    let add = |entry: Option<Entry<'_>>| Ok(entry.map_or(0, value_in) as i64 + 1);
                    assert_eq!(db.update_integer(key, add), Ok(next as i64));
                    model.insert(*number, next);
                }
                _ => assert_eq!(db.read(key).map(value_in), model.get(number).copied()),
            }
        }
    }
}

#[test]
fn what_was_looked_for_in_a_database_that_was_flushed_is_not_there() {
    let store = Store::new(&Options::default());
    let guard = store.pin();
    put(&store.db(0, &guard, NOW_MS), 2, 1);
    let key = key_of(2);
    let db = store.db(0, &guard, NOW_MS);
    let mut ahead = Ahead::default();
    db.look_ahead([&key[..]], &mut ahead);
    store.flush(0);
    let db = store.db(0, &guard, NOW_MS);
    assert!(db.expecting(&ahead, 0).read(&key).is_none());
    put(&db.expecting(&ahead, 0), 2, 3);
    assert_eq!(db.read(&key).map(value_in), Some(3));
}
