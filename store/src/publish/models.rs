//! Runs of edits that are published once, under every schedule (loom) or many (shuttle).
//!
//! Each model says what it proves: whatever else happens to the key between the look and the swap,
//! nothing of it is lost, the run is seen as a whole or not at all, and of what was made in vain
//! nothing is left (`shadow`).
//!
//! Models were seen to fail, by name, when the protocol is broken:
//!
//! - a run is published wherever the key is by then: `a_run_beside_a_removal`;
//! - a basis may be what an undecided transaction is about to change: `a_run_beside_a_transaction`;
//! - what was made in vain is not freed, what was replaced is not retired, or a value that the new
//!   version shares is: all.

use std::sync::Arc;

use crate::sync::model::{Step, at_once, explore};
use crate::value::hash::{Hash, HashEdit};
use crate::value::number::parse_integer;
use crate::value::{Edited, Limits, NewValue};
use crate::{Change, Db, Draft, Options, Store};

/// Two databases, with a hash that is a tree.
fn store_with_hash() -> Arc<Store> {
    let options = Options {
        databases: 2,
        ..Options::default()
    };
    let store = Arc::new(Store::new(&options));
    with(&store, |db| {
        let mut edit = HashEdit::new(None, &Limits::DEFAULT).expect("a hash");
        edit.set(b"a", b"0");
        edit.set(b"b", b"0");
        edit.set(b"large", &[b'v'; 5_000]);
        let draft = Draft::new(value_of(edit));
        db.put(b"h", draft).expect("nothing is busy");
    });
    store
}

/// Runs `body` on database 0.
fn with<R>(store: &Store, body: impl FnOnce(Db<'_>) -> R) -> R {
    let guard = store.pin();
    body(store.db(0, &guard, 1_000))
}

fn value_of(edit: HashEdit<'_>) -> NewValue<'_> {
    match edit.finish() {
        Edited::Changed(value) => value,
        _ => unreachable!("it was changed"),
    }
}

/// Adds to both fields, one after the other, and publishes once; whether nobody was faster.
fn try_run(db: &Db<'_>) -> bool {
    let basis = db.basis(b"h").expect("nothing is busy");
    let mut edit = HashEdit::new(basis.entry(), &Limits::DEFAULT).expect("a hash");
    edit.increment(b"a", 1).expect("an integer");
    edit.increment(b"b", 1).expect("an integer");
    let draft = Draft::keeping_any(basis.entry(), value_of(edit));
    db.publish(&basis, Change::Put(draft), 2)
}

/// As commands do, until nobody was faster.
fn run(store: &Store) {
    while !with(store, |db| try_run(&db)) {}
}

/// What another command does to a field of a hash that may not be there.
fn add(db: &Db<'_>, field: &[u8]) {
    let added = db.update(b"h", |entry| {
        let mut edit = HashEdit::new(entry, &Limits::DEFAULT).expect("a hash");
        edit.increment(field, 10).expect("an integer");
        let draft = Draft::keeping_any(entry, value_of(edit));
        Ok((Change::Put(draft), ()))
    });
    added.expect("nothing is busy");
}

/// Both fields, if the hash is there.
fn fields(db: &Db<'_>) -> Option<[i64; 2]> {
    let hash = Hash::of_any(db.peek(b"h")).expect("a hash")?;
    let field = |name: &[u8]| hash.get(name).and_then(parse_integer).unwrap_or(0);
    Some([field(b"a"), field(b"b")])
}

/// Runs steps at once, and then looks at the fields.
fn fields_after(store: Arc<Store>, steps: &[Step<Store>]) -> Option<[i64; 2]> {
    at_once(&store, steps);
    let left = with(&store, |db| fields(&db));
    drop(Arc::into_inner(store).expect("the last of them"));
    left
}

/// What another command makes of a field meanwhile is not lost, and a reader sees both edits of the
/// run or none.
#[test]
fn a_run_beside_another_command() {
    explore(3, || {
        let left = fields_after(
            store_with_hash(),
            &[
                run,
                |store| with(store, |db| add(&db, b"a")),
                |store| {
                    let [a, b] = with(store, |db| fields(&db)).expect("the hash");
                    assert!(a % 10 == b && (a == b || a == b + 10));
                },
            ],
        );
        assert_eq!(left, Some([11, 1]));
    });
}

/// A key that goes and comes back meanwhile is another one.
#[test]
fn a_run_beside_a_removal() {
    explore(4, || {
        let left = fields_after(
            store_with_hash(),
            &[run, |store| {
                with(store, |db| {
                    assert_eq!(db.remove(b"h"), Ok(true));
                    add(&db, b"b");
                });
            }],
        );
        // The run came first, or last, or before the key was back.
        assert!([[0, 10], [1, 11]].map(Some).contains(&left), "{left:?}");
    });
}

/// A run beside a transaction that changes the key with another: both happen, and the descriptor
/// that the run meets does not count or has been carried out.
#[test]
fn a_run_beside_a_transaction() {
    explore(4, || {
        let left = fields_after(
            store_with_hash(),
            &[run, |store| {
                let both = |db: &Db<'_>| {
                    add(db, b"b");
                    add(&db.other(1), b"b");
                    Ok(())
                };
                with(store, |db| db.atomic(both)).expect("nothing is busy");
            }],
        );
        assert_eq!(left, Some([1, 11]));
    });
}

/// An entry that is moved meanwhile is the same to everybody but the run, which begins anew.
#[test]
fn a_run_beside_a_move() {
    explore(3, || {
        let left = fields_after(
            store_with_hash(),
            &[
                run,
                |store| {
                    store.compact(1_000);
                },
                |store| {
                    let [a, b] = with(store, |db| fields(&db)).expect("the hash");
                    assert_eq!(a, b);
                },
            ],
        );
        assert_eq!(left, Some([1, 1]));
    });
}

/// A run that is not published leaves nothing behind, nor does one whose key has changed.
#[test]
fn a_run_is_given_up() {
    explore(4, || {
        let left = fields_after(
            store_with_hash(),
            &[
                |store| {
                    with(store, |db| {
                        try_run(&db);
                    });
                },
                |store| {
                    with(store, |db| {
                        let basis = db.basis(b"h").expect("nothing is busy");
                        let edit = HashEdit::new(basis.entry(), &Limits::DEFAULT);
                        edit.expect("a hash").set(b"a", b"7");
                        assert!(db.publish(&basis, Change::Keep, 1));
                        add(&db, b"b");
                    });
                },
            ],
        );
        assert!([[0, 10], [1, 11]].map(Some).contains(&left), "{left:?}");
    });
}
