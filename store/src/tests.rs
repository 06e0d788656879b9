//! The store as commands see it, alone and with many threads.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::entry::Meta;
use crate::value::hash::{Hash, HashEdit};
use crate::value::number::parse_integer;
use crate::value::set::{Set, SetEdit};
use crate::value::string::{self, Str, StrEdit};
use crate::value::{Edited, Limits};
use crate::{Basis, Change, Db, Draft, Entry, Error, Options, Policy, Store, lookups};
use crate::{pace, reclaim};

/// Says that something is over, also when it panics.
pub(crate) struct OnDrop<'a>(pub(crate) &'a AtomicBool);

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs `body` while another thread does something over and over.
pub(crate) fn while_others(again: impl Fn() + Sync, body: impl FnOnce()) {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                again();
            }
        });
        let over = OnDrop(&is_over);
        body();
        drop(over);
        other.join().expect("what goes on beside");
    });
}

fn store() -> Store {
    Store::new(&Options::default())
}

/// Runs `body` on database 0 at the time 1000.
fn with<R>(store: &Store, body: impl FnOnce(Db<'_>) -> R) -> R {
    let guard = store.pin();
    body(store.db(0, &guard, 1_000))
}

fn set(db: Db<'_>, key: &str, value: &str) {
    let draft = Draft::new(string::bytes(value.as_bytes()));
    db.put(key.as_bytes(), draft).expect("nothing is busy");
}

fn get(db: Db<'_>, key: &str) -> Option<String> {
    let entry = db.read(key.as_bytes())?;
    let bytes = Str::of(entry).expect("a string").to_cow().into_owned();
    Some(String::from_utf8(bytes).expect("text"))
}

fn number(db: &Db<'_>, key: &str) -> i64 {
    get(*db, key).map_or(0, |text| text.parse().expect("a number"))
}

fn add(db: &Db<'_>, key: &str, by: i64) -> Result<i64, Error> {
    db.update(key.as_bytes(), |entry| {
        let old = Str::of_any(entry)?.and_then(Str::integer).unwrap_or(0);
        let draft = Draft::keeping_any(entry, string::integer(old + by));
        Ok((Change::Put(draft), old + by))
    })
}

#[test]
fn what_is_put_is_read_until_it_is_removed() {
    let store = store();
    with(&store, |db| {
        assert_eq!(get(db, "k"), None);
        set(db, "k", "one");
        set(db, "k", "two");
        assert_eq!((get(db, "k").as_deref(), db.len()), (Some("two"), 1));
        assert_eq!(db.remove(b"k"), Ok(true));
        assert_eq!(db.remove(b"k"), Ok(false));
        assert_eq!((get(db, "k"), db.len()), (None, 0));
    });
}

/// As [`add`], by the way of counters.
fn count(db: &Db<'_>, key: &str, by: i64) -> Result<i64, Error> {
    db.update_integer(key.as_bytes(), |entry| string::sum(Str::of_any(entry)?, by))
}

/// Counts on from a text at one key, and gives another with the same text a number as any value.
fn count_both(db: Db<'_>, key: &str, text: &str, meta: Meta, is_raw: bool) {
    let other = format!("{key}'");
    for key in [key, other.as_str()] {
        let value = match is_raw {
            true => string::owned_raw(text.as_bytes().to_vec()),
            false => string::owned(text.as_bytes().to_vec()),
        };
        let draft = Draft { value, meta };
        db.put(key.as_bytes(), draft).expect("nothing is busy");
    }
    let version = db.peek(key.as_bytes()).map_or(0, Entry::version);
    assert_eq!(count(&db, key, 1), add(&db, &other, 1));
    let [one, two] = [key, other.as_str()].map(|key| db.peek(key.as_bytes()).expect("it is there"));
    assert_eq!((one.meta(), one.key()), (two.meta(), key.as_bytes()));
    assert_eq!(one.value_bytes(), two.value_bytes());
    assert_eq!((one.kind(), one.form()), (two.kind(), two.form()));
    assert!(one.version() > version);
}

#[test]
fn a_number_is_what_it_would_be_as_any_value() {
    const TEXTS: [&str; 8] = [
        "0",
        "8",
        "9",
        "-1",
        "-10",
        "1234567890123",
        "99999999",
        "-9",
    ];
    const EXPIRIES: [Option<u64>; 4] = [None, Some(500), Some(5_000), Some(u64::MAX)];
    let store = store();
    for text in TEXTS {
        for (at, expires_at_ms) in EXPIRIES.into_iter().enumerate() {
            for (key_bytes, token) in [(1, None), (16, None), (33, Some(77)), (300, None)] {
                let meta = Meta {
                    expires_at_ms,
                    client_flags: at as u32 / 2,
                    token,
                    stale: true,
                    win_sent: false,
                };
                let key = "k".repeat(key_bytes);
                let is_raw = at % 2 == 1;
                with(&store, |db| count_both(db, &key, text, meta, is_raw));
            }
        }
    }
}

#[test]
fn what_is_no_number_stays_as_it_is() {
    let store = store();
    with(&store, |db| {
        set(db, "text", "12a");
        set(db, "most", "9223372036854775807");
        assert_eq!(count(&db, "text", 1), Err(Error::NotAnInteger));
        assert_eq!(count(&db, "most", 1), Err(Error::Overflow));
        assert_eq!(
            (get(db, "text"), number(&db, "most")),
            (Some("12a".into()), i64::MAX)
        );
        assert_eq!(
            (count(&db, "none", -3), count(&db, "none", 3)),
            (Ok(-3), Ok(0))
        );
        let within = db.atomic(|db| Ok((count(db, "none", 5)?, count(db, "none", 5)?)));
        assert_eq!((within, number(&db, "none")), (Ok((5, 10)), 10));
    });
}

#[test]
fn no_count_is_lost() {
    let store = store();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for at in 0..2_000 {
                    let key = format!("counter {}", at % 3);
                    let add = || {
                        with(&store, |db| match at % 5 {
                            0 => db.atomic(|db| count(db, &key, 1)),
                            _ => count(&db, &key, 1),
                        })
                    };
                    let counted = std::iter::repeat_with(add).find(|sum| *sum != Err(Error::Busy));
                    assert!(matches!(counted, Some(Ok(_))), "{counted:?}");
                }
            });
        }
    });
    let sum: i64 = (0..3)
        .map(|at| with(&store, |db| number(&db, &format!("counter {at}"))))
        .sum();
    assert_eq!(sum, 6_000);
}

/// Too large to be packed.
const LARGE: usize = 5_000;

/// What several commands make of the hash at a key, on the basis of what stands there.
fn edited<'k, 'g>(
    db: Db<'g>,
    key: &'k str,
    by: &[i64],
    value_bytes: usize,
) -> (Basis<'k, 'g>, Change<'g>) {
    let basis = db.basis(key.as_bytes()).expect("nothing is busy");
    let mut edit = HashEdit::new(basis.entry(), &Limits::DEFAULT).expect("a hash");
    for (at, &by) in by.iter().enumerate() {
        edit.increment(b"sum", by).expect("an integer");
        edit.set(format!("field {at}").as_bytes(), &vec![b'v'; value_bytes]);
    }
    let Edited::Changed(value) = edit.finish() else {
        panic!("it was changed");
    };
    let draft = Draft::keeping_any(basis.entry(), value);
    (basis, Change::Put(draft))
}

fn sum(db: Db<'_>, key: &str) -> i64 {
    let hash = Hash::of_any(db.peek(key.as_bytes())).expect("a hash");
    let sum = hash.and_then(|hash| hash.get(b"sum"));
    sum.map_or(0, |text| parse_integer(text).expect("an integer"))
}

#[test]
fn a_basis_that_changed_is_none() {
    let store = store();
    let version = |db: Db<'_>| db.peek(b"h").map(Entry::version);
    with(&store, |db| {
        // Absent, then there; beaten by a change, by a removal, by both.
        for (beaten_by, expected) in [("", 3), ("add", 103), ("remove", 0), ("both", 100)] {
            let before = version(db);
            let (basis, change) = edited(db, "h", &[1, 2], LARGE);
            if ["remove", "both"].contains(&beaten_by) {
                db.remove(b"h").expect("nothing is busy");
            }
            if ["add", "both"].contains(&beaten_by) {
                let (basis, change) = edited(db, "h", &[100], LARGE);
                assert!(db.publish(&basis, change, 1));
            }
            assert_eq!(db.publish(&basis, change, 2), beaten_by.is_empty());
            assert_eq!(sum(db, "h"), expected, "{beaten_by}");
            assert!(version(db).is_none_or(|version| Some(version) > before));
        }
        let (basis, _) = edited(db, "h", &[1], LARGE);
        assert!(db.publish(&basis, Change::Remove, 1));
        assert_eq!((db.peek(b"h").is_none(), db.len()), (true, 0));
        assert!(!db.publish(&basis, Change::Remove, 1), "it was removed");
    });
    reclaim::settle();
}

/// An expired key is none, and goes.
#[test]
fn a_basis_is_not_what_has_expired() {
    let store = store();
    with(&store, |db| {
        let draft = Draft::new(string::bytes(b"text")).expiring(Some(1_500));
        db.put(b"h", draft).expect("nothing is busy");
    });
    let guard = store.pin();
    let db = store.db(0, &guard, 2_000);
    let (basis, change) = edited(db, "h", &[1, 2], LARGE);
    assert!(basis.entry().is_none());
    assert!(db.publish(&basis, change, 2));
    let entry = db.peek(b"h").expect("a new one");
    assert_eq!((sum(db, "h"), entry.meta().expires_at_ms), (3, None));
}

/// Several commands are as many uses as if each had been published.
#[test]
fn commands_published_together_are_so_many_uses() {
    let options = Options {
        policy: Policy::AllkeysLfu,
        ..Options::default()
    };
    let store = Store::new(&options);
    store.set_use_counting(0, 0);
    with(&store, |db| {
        for count in [1, 60] {
            let (basis, change) = edited(db, "together", &[1], 1);
            assert!(db.publish(&basis, change, count));
        }
        for _ in 0..61 {
            let (basis, change) = edited(db, "alone", &[1], 1);
            assert!(db.publish(&basis, change, 1));
        }
        let [together, alone] = ["together", "alone"].map(|key| {
            let entry = db.peek(key.as_bytes()).expect("put");
            store.use_count(entry, 1_000)
        });
        assert_eq!(together, alone);
    });
}

#[test]
fn versions_rise_through_removal_and_flush() {
    let store = store();
    let mut last = 0;
    for step in 0..6 {
        with(&store, |db| {
            set(db, "k", "v");
            let version = db.peek(b"k").expect("just set").version();
            assert!(version > last, "{version} after {last}");
            last = version;
            if step % 3 == 1 {
                db.remove(b"k").expect("nothing is busy");
            }
        });
        if step % 3 == 2 {
            store.flush(0);
        }
    }
}

#[test]
fn an_expired_key_is_absent_and_goes() {
    let store = store();
    let guard = store.pin();
    let draft = || Draft::new(string::bytes(b"v")).expiring(Some(2_000));
    for key in [b"a", b"b", b"c"] {
        store.db(0, &guard, 1_000).put(key, draft()).expect("put");
    }
    assert!(store.db(0, &guard, 1_999).read(b"a").is_some());
    let late = store.db(0, &guard, 2_000);
    assert_eq!((late.len(), late.expiring_len()), (3, 3));
    assert!(late.read(b"a").is_none());
    assert_eq!((late.len(), late.expiring_len()), (2, 2));
    let before = lookups();
    let removed = late.remove(b"c");
    assert_eq!(
        (removed, lookups().expired),
        (Ok(false), before.expired + 1)
    );
    let swept = store.sweep(2_000, 1_000);
    assert_eq!(swept.removed, 1);
    assert_eq!((late.len(), late.expiring_len()), (0, 0));
    let counts = store.counts();
    assert_eq!((counts.expired_keys, counts.expired_unfetched), (3, 2));
}

#[test]
fn a_transaction_sees_its_own_writes_and_leaves_nothing_when_it_fails() {
    let store = store();
    with(&store, |db| {
        set(db, "a", "1");
        let failed: Result<(), Error> = db.atomic(|db| {
            set(*db, "a", "2");
            set(*db, "b", "2");
            assert_eq!(get(*db, "a").as_deref(), Some("2"));
            Err(Error::Overflow)
        });
        assert_eq!(failed, Err(Error::Overflow));
        assert_eq!((get(db, "a").as_deref(), get(db, "b")), (Some("1"), None));
        let done: Result<i64, Error> = db.atomic(|db| {
            add(db, "a", 1)?;
            db.remove(b"b")?;
            add(db, "b", 5)?;
            add(db, "b", 5)
        });
        assert_eq!(done, Ok(10));
        assert_eq!((number(&db, "a"), number(&db, "b"), db.len()), (2, 10, 2));
    });
}

/// Disturbed by itself until it has a ticket, under which its descriptors stand in place when it
/// panics: they must not stay there.
#[test]
fn a_transaction_that_panics_leaves_nothing() {
    let store = store();
    with(&store, |db| set(db, "a", "1"));
    let run = || {
        with(&store, |db| {
            db.atomic(|inside| {
                set(*inside, "a", "2");
                set(*inside, "b", "2");
                // Panics when the key is held off.
                set(db, "a", "1");
                Ok(())
            })
        })
    };
    assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
    with(&store, |db| {
        assert_eq!((get(db, "a").as_deref(), get(db, "b")), (Some("1"), None));
        set(db, "a", "3");
        set(db, "b", "3");
        assert_eq!((number(&db, "a"), number(&db, "b"), db.len()), (3, 3, 2));
    });
}

#[test]
fn rename_moves_a_value_and_its_expiry() {
    let store = store();
    with(&store, |db| {
        let draft = Draft::new(string::bytes(b"v")).expiring(Some(9_000));
        db.put(b"a", draft).expect("put");
        set(db, "b", "old");
        let moved: Result<(), Error> = db.atomic(|db| db.rename(b"a", (db, b"b")));
        assert_eq!(moved, Ok(()));
        assert_eq!(get(db, "a"), None);
        assert_eq!(
            db.peek(b"b").and_then(|entry| entry.expires_at_ms()),
            Some(9_000)
        );
        assert_eq!((db.len(), db.expiring_len()), (1, 1));
        let absent: Result<(), Error> = db.atomic(|db| db.rename(b"a", (db, b"b")));
        assert_eq!(absent, Err(Error::NoSuchKey));
        let there_and_away: Result<(), Error> = db.atomic(|db| {
            db.rename(b"b", (db, b"c"))?;
            set(*db, "b", "new");
            db.rename(b"c", (db, b"d"))?;
            set(*db, "d", "over");
            Ok(())
        });
        assert_eq!(there_and_away, Ok(()));
        assert_eq!(get(db, "b").as_deref(), Some("new"));
        assert_eq!(get(db, "d").as_deref(), Some("over"));
        assert_eq!(db.len(), 2);
    });
}

#[test]
fn databases_are_swapped_and_flushed_alone_and_together() {
    let store = store();
    let guard = store.pin();
    let db = |index| store.db(index, &guard, 0);
    set(db(0), "k", "zero");
    set(db(1), "k", "one");
    store.swap(0, 1);
    assert_eq!(get(db(0), "k").as_deref(), Some("one"));
    store.flush(0);
    assert_eq!((db(0).len(), db(1).len()), (0, 1));
    store.flush_all();
    assert_eq!(db(1).len(), 0);
}

/// A store in the place of another one in memory is another one: nothing is drawn from databases
/// that it does not have.
#[test]
fn another_store_evicts_from_its_own_databases() {
    let last = 15;
    let mut store = Store::new(&Options {
        databases: last + 1,
        policy: Policy::AllkeysRandom,
        ..Options::default()
    });
    let evict = |store: &Store, index: usize| {
        let guard = store.pin();
        let db = store.db(index, &guard, 1_000);
        (0..1_000).for_each(|n| set(db, &format!("k{n}"), "v"));
        store.set_memory_bytes_max(1);
        db.make_room(1).expect("something can go");
        assert!((1..1_000).contains(&db.len()));
    };
    evict(&store, last);
    store = Store::new(&Options {
        databases: 1,
        policy: Policy::AllkeysRandom,
        ..Options::default()
    });
    evict(&store, 0);
}

#[test]
fn a_scan_and_a_random_choice_meet_what_is_there() {
    let store = store();
    with(&store, |db| {
        assert!(db.random().is_none());
        (0..1_000).for_each(|n| set(db, &format!("k{n}"), "v"));
        let (mut cursor, mut keys) = (0, Vec::new());
        loop {
            cursor = db.scan(cursor, 10, |entry| keys.push(entry.key().to_vec()));
            if cursor == 0 {
                break;
            }
        }
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), 1_000);
        assert!(db.random().is_some());
    });
}

/// Who panics while emptying slabs ends nothing but its own step.
/// Adds so many members to a set.
fn fill_set(db: Db<'_>, key: &[u8], members: usize) {
    let added = db.update(key, |entry| {
        let mut edit = SetEdit::new(entry, &Limits::default())?;
        for number in 0..members {
            edit.add(format!("member {number}").as_bytes());
        }
        let Edited::Changed(value) = edit.finish() else {
            panic!("members were added");
        };
        Ok((Change::Put(Draft::keeping_any(entry, value)), ()))
    });
    added.expect("nothing is busy");
}

/// Writes a string that is made of chunks.
fn write_long(db: Db<'_>) {
    let mut edit = StrEdit::new(None);
    edit.write(10_000_000, b"x").expect("not too long");
    let draft = Draft::new(edit.finish());
    db.put(b"long", draft).expect("nothing is busy");
}

#[test]
fn what_visits_much_is_made_of_steps() {
    const ELEMENTS: usize = 20_000;
    /// Of leaves and chunks there are so many at least.
    const STEPS_MIN: usize = ELEMENTS / 1_000;
    /// As many as one segment holds: segments that were split would be freed by other tests, which
    /// count what they free.
    const KEYS: usize = 300;

    let store = store();
    with(&store, |db| {
        fill_set(db, b"s", ELEMENTS);
        write_long(db);
        for number in 0..KEYS {
            set(db, &format!("key {number}"), "");
        }
    });
    type Walk<'a> = &'a (dyn Fn(Db<'_>) + Sync);
    let members: Vec<String> = (0..ELEMENTS)
        .map(|number| format!("{number:016}"))
        .collect();
    let members: Vec<&[u8]> = members.iter().map(String::as_bytes).collect();
    let walks: [(&str, usize, Walk<'_>); 8] = [
        ("members", STEPS_MIN, &|db| {
            let entry = db.read(b"s").expect("filled");
            assert_eq!(Set::of(entry).expect("a set").iter().count(), ELEMENTS);
        }),
        ("adding", STEPS_MIN, &|db| fill_set(db, b"other", ELEMENTS)),
        ("adding at once", STEPS_MIN, &|_| {
            let mut edit = SetEdit::new(None, &Limits::DEFAULT).expect("no entry");
            edit.expect(members.len());
            assert_eq!(edit.add_all(&members), ELEMENTS);
            assert_eq!(edit.remove_all(members.iter().copied()), ELEMENTS);
        }),
        ("writing many keys", 2 * KEYS / pace::KEYS_A_STEP, &|db| {
            let put = |db: &Db<'_>| {
                (0..KEYS).for_each(|number| set(*db, &format!("key {number}"), ""));
                Ok(())
            };
            db.atomic(put).expect("nothing is busy");
        }),
        ("reading many keys", KEYS / pace::KEYS_A_STEP, &|db| {
            let keys: Vec<String> = (0..KEYS).map(|number| format!("key {number}")).collect();
            let all = db.read_all(keys.iter().map(String::as_bytes));
            assert!(all.expect("nothing is busy").iter().all(Option::is_some));
        }),
        ("keys", 1, &|db| {
            assert_eq!(db.scan(0, usize::MAX, |_| {}), 0);
        }),
        ("writing long", STEPS_MIN, &|db| write_long(db)),
        ("reading long", STEPS_MIN, &|db| {
            assert!(get(db, "long").is_some());
        }),
    ];
    for (what, steps_min, walk) in walks {
        let steps = pace::tests::steps_of(|| with(&store, walk));
        assert!(steps >= steps_min, "{what}: {steps}");
    }
}

#[test]
fn compaction_goes_on_after_a_panic() {
    let store = store();
    let panics = || {
        let _compaction = store.try_compaction().expect("nobody else has it");
        panic!("as a step might");
    };
    assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
    assert!(store.try_compaction().is_some());
}

/// Money moves between accounts in transactions while others add it up: no sum is ever wrong.
#[test]
fn transfers_keep_the_sum() {
    const ACCOUNTS: usize = 8;
    const ROUNDS: usize = 4_000;
    let store = store();
    let accounts: Vec<String> = (0..ACCOUNTS).map(|n| format!("account:{n}")).collect();
    with(&store, |db| {
        accounts.iter().for_each(|name| set(db, name, "100"))
    });
    let add_up = || {
        let sum = with(&store, |db| {
            db.atomic(|db| Ok(accounts.iter().map(|n| number(db, n)).sum()))
        });
        assert!(
            sum == Ok(100 * ACCOUNTS as i64) || sum == Err(Error::Busy),
            "{sum:?}"
        );
    };
    let transfer_some = |seed| {
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..ROUNDS {
            let (from, to) = (random.usize(..ACCOUNTS), random.usize(..ACCOUNTS));
            let transfer = |db: &Db<'_>| {
                add(db, &accounts[from], -1)?;
                add(db, &accounts[to], 1)
            };
            while with(&store, |db| db.atomic(transfer)) == Err(Error::Busy) {}
        }
    };
    while_others(add_up, || {
        std::thread::scope(|scope| {
            for seed in 0..3 {
                let transfer_some = &transfer_some;
                scope.spawn(move || transfer_some(seed));
            }
        });
    });
    let sum: i64 = with(&store, |db| {
        accounts.iter().map(|name| number(&db, name)).sum()
    });
    assert_eq!(sum, 100 * ACCOUNTS as i64);
}

/// Single-key writers and transactions on the same keys: no increment is lost.
#[test]
fn increments_of_both_kinds_all_count() {
    const ROUNDS: usize = 5_000;
    let store = store();
    std::thread::scope(|scope| {
        for is_transaction in [false, true, false, true] {
            let store = &store;
            scope.spawn(move || {
                for _ in 0..ROUNDS {
                    loop {
                        let done = with(store, |db| match is_transaction {
                            true => db.atomic(|db| {
                                add(db, "a", 1)?;
                                add(db, "b", 1)
                            }),
                            false => add(&db, "a", 1),
                        });
                        if done != Err(Error::Busy) {
                            break;
                        }
                    }
                }
            });
        }
    });
    with(&store, |db| {
        assert_eq!(number(&db, "a"), 4 * ROUNDS as i64);
        assert_eq!(number(&db, "b"), 2 * ROUNDS as i64);
        assert_eq!(db.len(), 2);
    });
}

/// A key renamed to and fro is always at exactly one of its names.
#[test]
fn a_renamed_key_is_never_at_both_names_nor_at_none() {
    let store = store();
    with(&store, |db| set(db, "a", "v"));
    let look = || {
        let there = with(&store, |db| {
            db.atomic(|db| {
                let count = |key| usize::from(db.peek(key).is_some());
                Ok(count(b"a") + count(b"b"))
            })
        });
        assert!(matches!(there, Ok(1) | Err(Error::Busy)), "{there:?}");
    };
    while_others(look, || {
        for _ in 0..20_000 {
            for (from, to) in [(b"a", b"b"), (b"b", b"a")] {
                let rename = |db: &Db<'_>| db.rename(from, (db, to));
                while with(&store, |db| db.atomic(rename)) == Err(Error::Busy) {}
            }
        }
    });
}
