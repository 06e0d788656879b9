//! Entries that are moved while they are read, replaced and removed, under every schedule (loom) or
//! many (shuttle).
//!
//! Each model says what it proves. Under loom all entries are moved, wherever they are, and plain
//! memory is watched (`shadow`); under shuttle slabs of an arena are set aside and emptied by
//! passes.
//!
//! Models were seen to fail, by name, when the protocol is broken:
//!
//! - a copy takes the place of whatever is there by then: all, most of them under shuttle;
//! - an entry that was moved is freed at once, or retired by who was too late: all with two who
//!   want its place; the copy of who was too late stays: the same;
//! - descriptors are moved: `a_move_under_a_transaction`;
//! - slabs are given back with what is in them: `slabs_are_emptied_under_changes`.

use std::sync::Arc;

use crate::sync::model::{at_once, explore};
use crate::value::string::{self, Str};
use crate::{Db, Draft, Entry, Options, Store};

/// Eight entries to a slab.
const VALUE_BYTES: usize = 8_000;

/// Runs `body` on database 0.
fn with<R>(store: &Store, body: impl FnOnce(Db<'_>) -> R) -> R {
    let guard = store.pin();
    body(store.db(0, &guard, 1_000))
}

fn store_with(keys: &[&str]) -> Arc<Store> {
    let options = Options {
        databases: 2,
        ..Options::default()
    };
    let store = Arc::new(Store::new(&options));
    with(&store, |db| keys.iter().for_each(|key| set(&db, key, 0)));
    store
}

/// A value that says of which key it is.
fn value_of(key: &str, version: u8) -> Vec<u8> {
    let mut value = key.as_bytes().to_vec();
    value.resize(VALUE_BYTES, version);
    value
}

fn set(db: &Db<'_>, key: &str, version: u8) {
    let value = value_of(key, version);
    let draft = Draft::new(string::bytes(&value));
    db.put(key.as_bytes(), draft).expect("nothing is busy");
}

/// The last byte of what is at a key, which is all as it was written.
fn get(db: &Db<'_>, key: &str) -> Option<u8> {
    let read = |entry: Entry<'_>| {
        let text = Str::of(entry).expect("a string");
        let version = text.byte(VALUE_BYTES - 1).expect("a byte");
        assert!(text.equals(&value_of(key, version)));
        version
    };
    db.peek(key.as_bytes()).map(read)
}

fn ends_with(store: Arc<Store>, expected: &[(&str, u8)]) {
    with(&store, |db| {
        for &(key, version) in expected {
            assert_eq!(get(&db, key), Some(version), "{key}");
        }
        assert_eq!(db.len(), expected.len() as u64);
    });
    drop(Arc::into_inner(store).expect("the last of them"));
}

fn move_all(store: &Store) {
    with(store, |db| super::pass::move_all(&db));
}

/// An entry is moved or replaced, and the newer value stays; a reader goes on with what it found.
#[test]
fn a_move_under_a_replacement() {
    explore(3, || {
        let store = store_with(&["x"]);
        at_once::<_, ()>(
            &store,
            &[
                move_all,
                |store| with(store, |db| set(&db, "x", 1)),
                |store| {
                    with(store, |db| {
                        let (first, second) = (get(&db, "x"), get(&db, "x"));
                        assert!(first.is_some() && first <= second);
                    });
                },
            ],
        );
        ends_with(store, &[("x", 1)]);
    });
}

/// A removed key is not brought back by a move, and one that comes again is not taken for the one
/// that went.
#[test]
fn a_move_under_a_removal() {
    explore(4, || {
        let store = store_with(&["x"]);
        at_once::<_, ()>(
            &store,
            &[move_all, |store| {
                with(store, |db| {
                    assert_eq!(db.remove(b"x"), Ok(true));
                    assert_eq!(get(&db, "x"), None);
                    set(&db, "x", 2);
                    assert_eq!(get(&db, "x"), Some(2));
                });
            }],
        );
        ends_with(store, &[("x", 2)]);
    });
}

/// Of two who move one entry one does.
#[test]
fn a_move_under_a_move() {
    explore(4, || {
        let store = store_with(&["x"]);
        at_once::<_, ()>(&store, &[move_all, move_all]);
        ends_with(store, &[("x", 0)]);
    });
}

/// A transaction whose key is moved begins anew, and a descriptor is not moved.
#[test]
fn a_move_under_a_transaction() {
    explore(2, || {
        let store = store_with(&["x"]);
        at_once::<_, ()>(
            &store,
            &[
                |store| {
                    let both = |db: &Db<'_>| {
                        let version = get(db, "x").unwrap_or(0);
                        set(db, "x", version + 1);
                        set(db, "y", version + 1);
                        Ok(())
                    };
                    with(store, |db| db.atomic(both)).expect("nothing is busy");
                },
                move_all,
            ],
        );
        ends_with(store, &[("x", 1), ("y", 1)]);
    });
}

#[cfg(mayfly_shuttle)]
mod slabs {
    use super::super::pass::Pass;
    use super::*;
    use crate::arena::{self, Evacuation, world};
    use crate::entry::Kind;
    use crate::sync::model::{random_seed, together};
    use crate::sync::yield_now;

    const KEYS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

    /// Sets the slabs with entries aside that are not full, and one that is, and empties them.
    fn empty_slabs(store: &Store) {
        let evacuation = Evacuation {
            spare_slabs_min: 1,
            spare_part: 1,
            last_part: None,
            part_min: Some(1),
            slabs_max: 2,
        };
        let last = arena::CLASSES - 1;
        let mut slabs = arena::survey(last, arena::Mobility::Movable, Some(evacuation));
        slabs.extend(arena::seize(&mut 0, 1));
        let mut pass = with(store, |db| Pass::new(&db, slabs, None));
        for _ in 0..50 {
            match with(store, |db| pass.claim().map(|stretch| stretch.walk(&db))) {
                Some(_) => {}
                None if pass.is_given_out() => break,
                None => yield_now(),
            }
        }
        let slabs = pass.ended().unwrap_or_else(Pass::abandoned);
        // What was moved is freed by now, or soon.
        yield_now();
        arena::end_evacuation(slabs);
    }

    fn some(store: &Store, seed: u64) {
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..4 {
            let key = KEYS[random.usize(..KEYS.len())];
            with(store, |db| match random.u8(..6) {
                0..3 => set(&db, key, random.u8(..)),
                3 => {
                    db.remove(key.as_bytes()).expect("nothing is busy");
                }
                4 => {
                    let first = db.peek(key.as_bytes());
                    yield_now();
                    if let Some(entry) = first {
                        assert_eq!((entry.key(), entry.kind()), (key.as_bytes(), Kind::String));
                    }
                }
                _ => {
                    get(&db, key);
                }
            });
        }
    }

    /// Slabs are emptied while what is in them is read, replaced and removed: every key has what
    /// was written last, and nobody sees anything else.
    #[test]
    fn slabs_are_emptied_under_changes() {
        explore(0, || {
            world::begin_with(24);
            let store = store_with(&KEYS);
            with(&store, |db| db.remove(b"a")).expect("nothing is busy");
            let seed = random_seed();
            let changed = Arc::clone(&store);
            together(vec![
                Box::new({
                    let store = Arc::clone(&store);
                    move || empty_slabs(&store)
                }) as Box<dyn FnOnce() + Send>,
                Box::new(move || some(&changed, seed)),
                Box::new({
                    let store = Arc::clone(&store);
                    // Nobody else touches this key.
                    move || {
                        with(&store, |db| set(&db, "own", 1));
                        with(&store, |db| assert_eq!(get(&db, "own"), Some(1)));
                        with(&store, |db| set(&db, "own", 2));
                        with(&store, |db| assert_eq!(get(&db, "own"), Some(2)));
                    }
                }),
            ]);
            with(&store, |db| {
                assert_eq!(get(&db, "own"), Some(2));
                KEYS.iter().for_each(|key| {
                    get(&db, key);
                });
            });
            drop(Arc::into_inner(store).expect("the last of them"));
        });
    }

    /// A slab whose entries nobody touches meanwhile is emptied by one pass.
    #[test]
    fn an_untouched_slab_is_emptied() {
        explore(0, || {
            world::begin_with(24);
            let store = store_with(&KEYS);
            let before = arena::slabs_in_use();
            at_once::<_, ()>(
                &store,
                &[empty_slabs, |store| {
                    with(store, |db| {
                        KEYS.iter()
                            .for_each(|key| assert_eq!(get(&db, key), Some(0)));
                    });
                }],
            );
            assert!(arena::slabs_in_use() <= before + 1);
            ends_with(store, &KEYS.map(|key| (key, 0)));
        });
    }
}
