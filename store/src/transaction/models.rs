//! Transactions under every schedule (loom) or many (shuttle).
//!
//! Each model says what it proves. They go through [`Db`] as commands do, so that installing,
//! aborting, cleaning up and retiring are all in it.
//!
//! Models were seen to fail, by name, when the protocol is broken:
//!
//! - readers do not look again, be it in an attempt or without one: `install_commit_read`,
//!   `renames_under_a_reader`;
//! - absence is believed without the count of insertions: `delete_and_insert_under_a_reader`;
//! - keys that were only read get no descriptor: `write_skew`;
//! - descriptors count before the commit: both `install_commit_read`;
//! - puts do not look whether they were aborted: `puts_against_a_writer`,
//!   `puts_against_a_transaction`;
//! - a descriptor of theirs says what stood there before somebody else wrote:
//!   `puts_against_a_writer`;
//! - a removal leaves out keys that are not there: `removals_against_puts`;
//! - a younger ticket does not give way: `the_older_ticket_wounds_the_younger`;
//! - a key may have changed when its descriptor is put in place: `abort_by_a_writer`;
//! - a writer that meets a descriptor forgets the versions before it:
//!   `versions_rise_through_a_transactional_removal`;
//! - a new attempt keeps the record of the keyspace: `two_databases_under_a_flush`.

use std::sync::Arc;

use super::Ticket;
use super::commit::Scope;
use super::overlay::{Failure, Overlay};
use crate::publish;
use crate::sync::model::{Step, at_once, explore};
use crate::table::Key;
use crate::thread;
use crate::usage::Usage;
use crate::value::hash::{Hash, HashEdit};
use crate::value::number::parse_integer;
use crate::value::string::{self, Str};
use crate::value::{Edited, Limits};
use crate::{Change, Db, Draft, Entry, Error, Options, Store};

/// Database 0 with numbers at keys.
fn store_with(numbers: &[(&str, i64)]) -> Arc<Store> {
    let options = Options {
        databases: 2,
        ..Options::default()
    };
    let store = Arc::new(Store::new(&options));
    let put = |db: Db<'_>| {
        numbers
            .iter()
            .for_each(|&(key, value)| set(&db, key, value))
    };
    with(&store, put);
    store
}

/// Runs `body` on database 0.
fn with<R>(store: &Store, body: impl FnOnce(Db<'_>) -> R) -> R {
    let guard = store.pin();
    body(store.db(0, &guard, 1_000))
}

fn set(db: &Db<'_>, key: &str, value: i64) {
    let draft = Draft::new(string::integer(value));
    db.put(key.as_bytes(), draft).expect("nothing is busy");
}

fn get(db: &Db<'_>, key: &str) -> Option<i64> {
    db.peek(key.as_bytes()).map(number)
}

fn number(entry: Entry<'_>) -> i64 {
    let text = Str::of(entry).expect("a string");
    text.integer().expect("a number")
}

/// Adds to the numbers at keys, all at one moment.
fn add_to(store: &Store, keys: &[&str], by: i64) {
    let add = |db: &Db<'_>| {
        keys.iter()
            .for_each(|key| set(db, key, get(db, key).unwrap_or(0) + by));
        Ok(())
    };
    with(store, |db| db.atomic(add)).expect("nothing is busy");
}

/// What two keys hold at one moment, as an attempt sees it.
fn attempt_at_x_and_y(store: &Store) -> [Option<i64>; 2] {
    let read = |db: &Db<'_>| Ok(["x", "y"].map(|key| get(db, key)));
    with(store, |db| db.atomic(read)).expect("nothing is busy")
}

/// The same as who writes nothing sees it.
fn x_and_y(store: &Store) -> [Option<i64>; 2] {
    with(store, |db| {
        let keys = ["x", "y"].into_iter().map(str::as_bytes);
        let entries = db.read_all(keys).expect("nothing is busy");
        [0, 1].map(|at| entries[at].map(number))
    })
}

/// Puts a digit at two keys at one moment, and reads neither.
fn put(store: &Store, keys: [&str; 2], digit: &[u8; 1]) {
    let pairs = keys.map(|key| [key.as_bytes(), digit]);
    until_not_busy(store, |db| db.put_strings(&pairs, None));
}

/// Runs `body` on database 0, again while somebody with a ticket is at it.
fn until_not_busy<R>(store: &Store, body: impl Fn(Db<'_>) -> Result<R, Error>) -> R {
    loop {
        match with(store, &body) {
            Err(Error::Busy) => crate::sync::yield_now(),
            done => return done.expect("no other error"),
        }
    }
}

/// Whoever reads both.
type Reader = Step<Store, [Option<i64>; 2]>;

fn rename(store: &Store, from: &str, to: &str) {
    let rename = |db: &Db<'_>| db.rename(from.as_bytes(), (db, to.as_bytes()));
    with(store, |db| db.atomic(rename)).expect("the key is there");
}

/// Ends a model: these are all the keys, by name, by the count and by a scan.
fn ends_with(store: Arc<Store>, expected: &[(&str, i64)]) {
    with(&store, |db| {
        for &(key, value) in expected {
            assert_eq!(get(&db, key), Some(value), "{key}");
        }
        assert_eq!(db.len(), expected.len() as u64);
        let (mut cursor, mut met) = (0, 0);
        loop {
            cursor = db.scan(cursor, 1, |_| met += 1);
            if cursor == 0 {
                break;
            }
        }
        assert_eq!(met, expected.len());
    });
    drop(Arc::into_inner(store).expect("the last of them"));
}

/// A reader of two keys sees all of a transaction or nothing.
#[test]
fn install_commit_read() {
    fn scenario(reader: Reader) {
        let store = store_with(&[("x", 0), ("y", 0)]);
        let seen = at_once(
            &store,
            &[
                |store| {
                    add_to(store, &["x", "y"], 1);
                    [None, None]
                },
                reader,
            ],
        );
        assert_eq!(seen[1][0], seen[1][1]);
        ends_with(store, &[("x", 1), ("y", 1)]);
    }
    explore(2, || scenario(attempt_at_x_and_y));
    explore(2, || scenario(x_and_y));
}

/// As above where the keys are new, and for a reader who looks at one after the other: when the
/// first is there, so is the second.
#[test]
fn install_commit_read_of_new_keys() {
    explore(2, || {
        let store = store_with(&[]);
        let seen = at_once(
            &store,
            &[
                |store| {
                    add_to(store, &["x", "y"], 1);
                    [None, None]
                },
                |store| with(store, |db| [get(&db, "x"), get(&db, "y")]),
            ],
        );
        assert!(seen[1][0].is_none() || seen[1][1].is_some());
        ends_with(store, &[("x", 1), ("y", 1)]);
    });
}

/// A writer of one key aborts a transaction that is installing; both happen, one after the other.
#[test]
fn abort_by_a_writer() {
    explore(2, || {
        let store = store_with(&[("x", 0), ("y", 0)]);
        at_once::<_, ()>(
            &store,
            &[
                |store| add_to(store, &["x", "y"], 1),
                |store| with(store, |db| set(&db, "x", 10)),
            ],
        );
        let x = with(&store, |db| get(&db, "x")).expect("x");
        assert!(x == 10 || x == 11);
        ends_with(store, &[("x", x), ("y", 1)]);
    });
}

/// A descriptor put in place after its transaction was aborted shows nothing, and goes again:
/// what the writer that aborted it does later to the second key stays.
#[test]
fn late_install_after_an_abort() {
    explore(2, || {
        let store = store_with(&[("x", 0), ("y", 0)]);
        at_once::<_, ()>(
            &store,
            &[
                |store| add_to(store, &["x", "y"], 1),
                |store| {
                    with(store, |db| {
                        set(&db, "x", 10);
                        let [x, y] = ["x", "y"].map(|key| get(&db, key).expect("a number"));
                        assert!(x == 10 || (x, y) == (11, 1), "{x} and {y}");
                        set(&db, "y", 20);
                        assert!(get(&db, "y") >= Some(20));
                    });
                },
            ],
        );
        let [x, y] = x_and_y(&store).map(|value| value.expect("a number"));
        assert!([(10, 20), (11, 20), (11, 21)].contains(&(x, y)));
        ends_with(store, &[("x", x), ("y", y)]);
    });
}

/// A reader of two keys sees all that is put together or nothing of it, be the keys there or not.
#[test]
fn puts_under_a_reader() {
    fn scenario(before: &[(&str, i64)], reader: Reader) {
        let store = store_with(before);
        let seen = at_once(
            &store,
            &[
                |store| {
                    put(store, ["x", "y"], b"1");
                    [None, None]
                },
                reader,
            ],
        );
        assert_eq!(seen[1][0], seen[1][1]);
        ends_with(store, &[("x", 1), ("y", 1)]);
    }
    explore(2, || scenario(&[("x", 0), ("y", 0)], x_and_y));
    explore(2, || scenario(&[], attempt_at_x_and_y));
}

/// Of two who put the same keys in opposite orders, one is the later in all.
#[test]
fn puts_against_puts() {
    explore(2, || {
        let store = store_with(&[("x", 0)]);
        at_once::<_, ()>(
            &store,
            &[
                |store| put(store, ["x", "y"], b"1"),
                |store| put(store, ["y", "x"], b"2"),
            ],
        );
        let [x, y] = x_and_y(&store).map(|value| value.expect("a number"));
        assert!(x == y && [1, 2].contains(&x), "{x} and {y}");
        ends_with(store, &[("x", x), ("y", y)]);
    });
}

/// Puts and a transaction that reads what they write happen one after the other.
#[test]
fn puts_against_a_transaction() {
    explore(2, || {
        let store = store_with(&[("x", 0), ("y", 0)]);
        at_once::<_, ()>(
            &store,
            &[
                |store| put(store, ["x", "y"], b"5"),
                |store| add_to(store, &["y", "x"], 1),
            ],
        );
        let [x, y] = x_and_y(&store).map(|value| value.expect("a number"));
        assert!(x == y && [5, 6].contains(&x), "{x} and {y}");
        ends_with(store, &[("x", x), ("y", y)]);
    });
}

/// A writer of one key after the other may come before puts, after them or in between, but of what
/// it was the last to write nothing is put back.
#[test]
fn puts_against_a_writer() {
    explore(2, || {
        let store = store_with(&[("x", 0), ("y", 0)]);
        at_once::<_, ()>(
            &store,
            &[
                |store| put(store, ["x", "y"], b"1"),
                |store| {
                    with(store, |db| {
                        set(&db, "x", 10);
                        assert_ne!(get(&db, "x"), Some(0), "nothing is put back");
                        set(&db, "y", 20);
                    });
                },
            ],
        );
        let [x, y] = x_and_y(&store).map(|value| value.expect("a number"));
        assert!([(1, 1), (1, 20), (10, 20)].contains(&(x, y)), "{x} and {y}");
        ends_with(store, &[("x", x), ("y", y)]);
    });
}

fn remove_x_and_y(store: &Store) -> usize {
    until_not_busy(store, |db| db.remove_many(&[b"x", b"y"]))
}

/// A reader of two keys that are removed together sees both or none.
#[test]
fn removals_under_a_reader() {
    fn scenario(reader: Reader) {
        let store = store_with(&[("x", 1), ("y", 1)]);
        let seen = at_once(
            &store,
            &[
                |store| {
                    assert_eq!(remove_x_and_y(store), 2);
                    [None, None]
                },
                reader,
            ],
        );
        assert_eq!(seen[1][0], seen[1][1]);
        ends_with(store, &[]);
    }
    explore(2, || scenario(x_and_y));
    explore(2, || scenario(attempt_at_x_and_y));
}

/// Removals happen before puts of the same keys or after them, also where a key is not there yet.
#[test]
fn removals_against_puts() {
    explore(2, || {
        let store = store_with(&[("x", 0)]);
        let removed = at_once(
            &store,
            &[remove_x_and_y, |store| {
                put(store, ["y", "x"], b"1");
                0
            }],
        );
        match removed[0] {
            1 => ends_with(store, &[("x", 1), ("y", 1)]),
            2 => ends_with(store, &[]),
            other => panic!("{other} removed"),
        }
    });
}

/// Two transactions that each read what the other writes do not both act on the old state.
#[test]
fn write_skew() {
    fn leave(store: &Store, key: &str) {
        let leave = |db: &Db<'_>| {
            if get(db, "x").is_some() && get(db, "y").is_some() {
                db.remove(key.as_bytes())?;
            }
            Ok(())
        };
        with(store, |db| db.atomic(leave)).expect("nothing is busy");
    }
    explore(2, || {
        let store = store_with(&[("x", 1), ("y", 1)]);
        at_once::<_, ()>(
            &store,
            &[|store| leave(store, "x"), |store| leave(store, "y")],
        );
        let left = x_and_y(&store);
        assert_eq!(left.iter().flatten().count(), 1);
        let key = if left[0].is_some() { "x" } else { "y" };
        ends_with(store, &[(key, 1)]);
    });
}

/// A split moves descriptors along: their owner finds them again, and nothing is lost.
#[test]
fn split_during_install() {
    explore(2, || {
        let store = store_with(&[("x", 0), ("y", 0)]);
        at_once::<_, ()>(
            &store,
            &[
                |store| add_to(store, &["x", "y"], 1),
                |store| with(store, |db| set(&db, "z", 5)),
            ],
        );
        ends_with(store, &[("x", 1), ("y", 1), ("z", 5)]);
    });
}

/// A value renamed to and fro is seen under exactly one name by a reader of both: an absent key
/// that was there in between is noticed.
#[test]
fn renames_under_a_reader() {
    fn scenario(reader: Reader) {
        let store = store_with(&[("x", 7)]);
        let seen = at_once(
            &store,
            &[
                |store| {
                    rename(store, "x", "y");
                    rename(store, "y", "x");
                    [Some(7), None]
                },
                reader,
            ],
        );
        assert!(seen[1] == [Some(7), None] || seen[1] == [None, Some(7)]);
        ends_with(store, &[("x", 7)]);
    }
    explore(2, || scenario(attempt_at_x_and_y));
    explore(2, || scenario(x_and_y));
}

/// Single-key writers that always leave one of two keys in place are never seen to have left
/// none.
#[test]
fn delete_and_insert_under_a_reader() {
    fn scenario(reader: Reader) {
        let store = store_with(&[("x", 1)]);
        let seen = at_once(
            &store,
            &[
                |store| {
                    with(store, |db| {
                        set(&db, "y", 2);
                        assert_eq!(db.remove(b"x"), Ok(true));
                        set(&db, "x", 3);
                        assert_eq!(db.remove(b"y"), Ok(true));
                    });
                    [None, Some(2)]
                },
                reader,
            ],
        );
        assert_ne!(seen[1], [None, None]);
        ends_with(store, &[("x", 3)]);
    }
    explore(2, || scenario(attempt_at_x_and_y));
    explore(2, || scenario(x_and_y));
}

/// A key's versions rise, also when a transaction removes it and a writer meets the descriptor.
#[test]
fn versions_rise_through_a_transactional_removal() {
    explore(2, || {
        let store = store_with(&[("x", 0), ("y", 0)]);
        // The highest count of this thread, so that no other thread's is above it by itself.
        (0..8).for_each(|value| with(&store, |db| set(&db, "x", value)));
        let version = |db: &Db<'_>| db.peek(b"x").map(|entry| entry.version());
        let before = with(&store, |db| version(&db)).expect("x");
        at_once::<_, ()>(
            &store,
            &[
                |store| {
                    let both = |db: &Db<'_>| Ok(db.remove(b"x")? && db.remove(b"y")?);
                    with(store, |db| db.atomic(both)).expect("nothing is busy");
                },
                |store| with(store, |db| set(&db, "x", 100)),
            ],
        );
        if let Some(after) = with(&store, |db| version(&db)) {
            assert!(after > before, "{after} after {before}");
            ends_with(store, &[("x", 100)]);
        } else {
            ends_with(store, &[]);
        }
    });
}

/// A transaction over two databases and a flush of all happen one after the other, and both end.
#[test]
fn two_databases_under_a_flush() {
    explore(2, || {
        let store = store_with(&[("x", 0)]);
        at_once::<_, ()>(
            &store,
            &[
                |store| {
                    let both = |db: &Db<'_>| {
                        set(db, "x", 1);
                        set(&db.other(1), "x", 1);
                        Ok(())
                    };
                    with(store, |db| db.atomic(both)).expect("nothing is busy");
                },
                Store::flush_all,
            ],
        );
        let there = with(&store, |db| [get(&db, "x"), get(&db.other(1), "x")]);
        assert!(there == [None, None] || there == [Some(1), Some(1)]);
        drop(Arc::into_inner(store).expect("the last of them"));
    });
}

/// One attempt, under a ticket, to add 1 to the numbers at keys.
fn attempt(store: &Store, ticket: u64, keys: [&str; 2]) -> Result<(), Failure> {
    let guard = store.pin();
    let scope = Scope {
        root: store.root(),
        keyspace: store.keyspace(&guard),
        guard: &guard,
    };
    let mut overlay = Overlay::with_ticket(Ticket(ticket));
    for name in keys {
        let key = Key::new(name.as_bytes(), store.hash(name.as_bytes()));
        let at = scope.touch(&mut overlay, 0, &key);
        let old = overlay.current(at, &guard);
        let mut draft = Draft::new(string::integer(old.map_or(0, number) + 1));
        let version = thread::next_version(old.map_or(0, Entry::version));
        let usage = Usage::from_bits(0);
        let made = publish::provisional(&guard, (key.bytes, version), &mut draft, usage);
        overlay.put(at, made, &guard);
    }
    scope.finish(overlay, true)
}

/// Of two transactions with tickets that meet on two keys the older one always succeeds; of the
/// younger one all is seen or nothing.
#[test]
fn the_older_ticket_wounds_the_younger() {
    explore(2, || {
        let store = store_with(&[("x", 0), ("y", 0)]);
        let ends = at_once(
            &store,
            &[
                |store| attempt(store, 2, ["y", "x"]),
                |store| attempt(store, 1, ["x", "y"]),
            ],
        );
        assert_eq!(ends[1], Ok(()));
        let sum = ends.iter().filter(|end| end.is_ok()).count() as i64;
        ends_with(store, &[("x", sum), ("y", sum)]);
    });
}

/// A writer of one key never disturbs a transaction with a ticket, but is told to come back.
#[test]
fn a_ticket_holds_off_writers() {
    explore(2, || {
        let store = store_with(&[("x", 0), ("y", 0)]);
        let ends = at_once(
            &store,
            &[
                |store| attempt(store, 1, ["x", "y"]).map_err(|_| Error::OutOfMemory),
                |store| {
                    with(store, |db| {
                        db.update(b"y", |entry| {
                            let sum = entry.map_or(0, number) + 10;
                            Ok((Change::Put(Draft::new(string::integer(sum))), ()))
                        })
                    })
                },
            ],
        );
        assert_eq!(ends[0], Ok(()));
        assert!(ends[1] == Ok(()) || ends[1] == Err(Error::Busy));
        let y = if ends[1].is_ok() { 11 } else { 1 };
        ends_with(store, &[("x", 1), ("y", y)]);
    });
}

/// Adds to the fields of the hash at a key in turn, the second time to what the first addition
/// made of it, and publishes once; again until nobody was faster.
fn add_together(store: &Store, key: &str, by: [i64; 2]) {
    let is_done = || {
        with(store, |db| {
            let basis = db.basis(key.as_bytes()).expect("nothing is busy");
            let mut edit = HashEdit::new(basis.entry(), &Limits::DEFAULT).expect("a hash");
            for by in by {
                edit.increment(b"sum", by).expect("an integer");
                // Large enough for a tree, and for an element with a block of its own.
                edit.set(b"large", &[b'v'; 5_000]);
            }
            let Edited::Changed(value) = edit.finish() else {
                unreachable!("it was changed")
            };
            let draft = Draft::keeping_any(basis.entry(), value);
            db.publish(&basis, Change::Put(draft), 2)
        })
    };
    while !is_done() {}
}

fn sum_at(store: &Store, key: &str) -> Option<i64> {
    with(store, |db| {
        let hash = Hash::of_any(db.peek(key.as_bytes())).expect("a hash")?;
        parse_integer(hash.get(b"sum")?)
    })
}

/// What several commands made of one version is published as a whole, once, and on top of what
/// others published.
#[test]
fn what_is_published_together_is_seen_together() {
    explore(2, || {
        let store = store_with(&[]);
        let seen = at_once(
            &store,
            &[
                |store| {
                    add_together(store, "h", [1, 2]);
                    None
                },
                |store| {
                    add_together(store, "h", [10, 20]);
                    None
                },
                |store| sum_at(store, "h"),
            ],
        );
        assert!([None, Some(3), Some(30), Some(33)].contains(&seen[2]));
        assert_eq!(sum_at(&store, "h"), Some(33));
    });
}

#[cfg(mayfly_shuttle)]
mod histories;
