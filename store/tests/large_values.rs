//! Threads that change large hashes, sets and strings of one store at once: nothing is lost,
//! nothing is freed twice or never, to the byte.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};

use store::value::hash::{Hash, HashEdit};
use store::value::set::{self, Set, SetBuilder, SetEdit};
use store::value::string::{self, Str};
use store::value::{Edited, Limits, NewValue, deep_copy, memory_bytes, same_value};
use store::{Change, Db, Draft, Error, Options, Store, reclaim};

const LIMITS: Limits = Limits::DEFAULT;
const THREADS: usize = 3;
const STEPS: usize = 4_000;
const HASHES: [&[u8]; 3] = [b"h0", b"h1", b"h2"];
const SETS: [&[u8]; 3] = [b"s0", b"s1", b"s2"];
const STRINGS: [&[u8]; 3] = [b"t0", b"t1", b"t2"];
const NAMES: usize = 3_000;

fn name(number: usize) -> Vec<u8> {
    format!("name:{number}").into_bytes()
}

/// A value that can be recognised; some have blocks of their own.
fn value_of(name: &[u8]) -> Vec<u8> {
    let times = if name.ends_with(b"7") { 40 } else { 2 };
    name.repeat(times)
}

fn some_names() -> Vec<Vec<u8>> {
    let count = [1, 1, 1, 3, 30, 300][fastrand::usize(..6)];
    (0..count).map(|_| name(fastrand::usize(..NAMES))).collect()
}

fn pick(keys: [&[u8]; 3]) -> &[u8] {
    keys[fastrand::usize(..3)]
}

fn change<'a>(edited: Edited<'a>, old: Option<store::Entry<'_>>) -> Change<'a> {
    match edited {
        Edited::Unchanged => Change::Keep,
        Edited::Emptied => Change::Remove,
        Edited::Changed(value) => Change::Put(Draft::keeping_any(old, value)),
    }
}

fn edit_hash(db: &Db<'_>, key: &[u8], body: impl Fn(&mut HashEdit<'_>)) -> Result<(), Error> {
    db.update(key, |old| {
        let mut edit = HashEdit::new(old, &LIMITS)?;
        body(&mut edit);
        Ok((change(edit.finish(), old), ()))
    })
}

fn edit_set(db: &Db<'_>, key: &[u8], body: impl Fn(&mut SetEdit<'_>)) -> Result<(), Error> {
    db.update(key, |old| {
        let mut edit = SetEdit::new(old, &LIMITS)?;
        body(&mut edit);
        Ok((change(edit.finish(), old), ()))
    })
}

fn set_fields(db: &Db<'_>, key: &[u8], names: &[Vec<u8>]) -> Result<(), Error> {
    edit_hash(db, key, |edit| {
        names.iter().for_each(|name| {
            edit.set(name, &value_of(name));
        });
    })
}

fn add_members(db: &Db<'_>, key: &[u8], names: &[Vec<u8>]) -> Result<(), Error> {
    edit_set(db, key, |edit| {
        names.iter().for_each(|name| {
            edit.add(name);
        });
    })
}

fn union_store(db: &Db<'_>, target: &[u8], sources: [&[u8]; 2]) -> Result<(), Error> {
    let mut sets = Vec::new();
    for source in sources {
        sets.push(Set::of_any(db.read(source))?);
    }
    let mut builder = SetBuilder::new(&LIMITS);
    set::union(&sets, |member| {
        builder.add(&member);
        ControlFlow::Continue(())
    });
    match builder.finish() {
        Some(value) => db.put(target, Draft::new(value)),
        None => db.remove(target).map(|_| ()),
    }
}

fn copy(db: &Db<'_>, from: &[u8], to: &[u8]) -> Result<(), Error> {
    match db.read(from) {
        Some(entry) => db.put(to, Draft::new(deep_copy(entry))),
        None => Ok(()),
    }
}

/// Changes a string of only `x` and zeros.
fn edit_string(db: &Db<'_>, key: &[u8]) -> Result<(), Error> {
    const PATCH: [u8; 5_000] = [b'x'; 5_000];
    let (kind, at) = (fastrand::u8(..4), fastrand::usize(..100_000));
    let patch = &PATCH[..fastrand::usize(1..5_000)];
    db.update(key, |entry| {
        let old = Str::of_any(entry)?;
        let value: NewValue<'_> = match kind {
            0 => string::set_range(old, at, patch)?,
            1 if old.is_none_or(|old| old.len() > 300_000) => string::bytes(patch),
            _ => string::append(old, patch)?,
        };
        Ok((Change::Put(Draft::keeping_any(entry, value)), ()))
    })
}

/// Moves all of a hash, changed before and after.
fn rename_in_between(db: &Db<'_>, names: &[Vec<u8>]) -> Result<(), Error> {
    let (from, to) = (pick(HASHES), pick(HASHES));
    set_fields(db, from, names)?;
    db.rename(from, (db, to))?;
    edit_hash(db, to, |edit| {
        edit.remove(&names[0]);
    })?;
    set_fields(db, from, &names[..1])?;
    match fastrand::u8(..3) {
        0 => Err(Error::NoSuchKey),
        1 => db.remove(to).map(|_| ()),
        _ => Ok(()),
    }
}

fn step(db: &Db<'_>) -> Result<(), Error> {
    let names = some_names();
    match fastrand::u8(..18) {
        0..=3 => set_fields(db, pick(HASHES), &names),
        4..=6 => add_members(db, pick(SETS), &names),
        7 => edit_hash(db, pick(HASHES), |edit| {
            names.iter().for_each(|name| {
                edit.remove(name);
            });
        }),
        8 => edit_set(db, pick(SETS), |edit| {
            names.iter().for_each(|name| {
                edit.remove(name);
            });
        }),
        9 => edit_set(db, pick(SETS), |edit| {
            edit.pop(names.len());
        }),
        10 => db.update(pick(HASHES), |old| match old {
            Some(entry) => Ok((Change::Put(Draft::keeping(entry, same_value(entry))), ())),
            None => Ok((Change::Keep, ())),
        }),
        11 => db.atomic(|db| union_store(db, pick(SETS), [pick(SETS), pick(SETS)])),
        12 => db.atomic(|db| copy(db, pick(HASHES), pick(HASHES))),
        13 => db.atomic(|db| rename_in_between(db, &names)),
        14 => db.atomic(|db| {
            let (one, other) = (pick(SETS), pick(SETS));
            edit_set(db, one, |edit| {
                edit.pop(3);
            })?;
            add_members(db, other, &names)?;
            add_members(db, one, &names)
        }),
        15 => edit_string(db, pick(STRINGS)),
        16 => db.atomic(|db| {
            edit_string(db, pick(STRINGS))?;
            copy(db, pick(STRINGS), pick(STRINGS))?;
            edit_string(db, pick(STRINGS))
        }),
        _ => match fastrand::u8(..10) {
            0 => db.remove(pick(HASHES)).map(|_| ()),
            1 => db.remove(pick(SETS)).map(|_| ()),
            2 => db.remove(pick(STRINGS)).map(|_| ()),
            _ => {
                look(db);
                Ok(())
            }
        },
    }
}

/// Reads every value as a whole.
fn look(db: &Db<'_>) {
    for key in HASHES {
        let Some(hash) = Hash::of_any(db.read(key)).expect("a hash") else {
            continue;
        };
        let mut len = 0;
        for (field, value) in hash.iter() {
            assert_eq!(value, value_of(field));
            len += 1;
        }
        assert_eq!(len, hash.len());
    }
    for key in SETS {
        let Some(set) = Set::of_any(db.read(key)).expect("a set") else {
            continue;
        };
        assert!(set.iter().all(|member| member.starts_with(b"name:")));
        assert_eq!(set.iter().count(), set.len());
    }
    for key in STRINGS {
        let Some(string) = Str::of_any(db.read(key)).expect("a string") else {
            continue;
        };
        let is_known = |part: &[u8]| part.iter().all(|byte| matches!(byte, 0 | b'x'));
        assert!(string.parts().all(is_known));
        assert_eq!(string.parts().map(<[u8]>::len).sum::<usize>(), string.len());
    }
}

fn settled_live_bytes(store: &Store) -> i64 {
    reclaim::settle();
    assert_eq!(store.memory().retired_bytes, 0);
    store.memory().live_bytes as i64
}

#[test]
fn threads_that_change_large_values_leave_no_byte_behind() {
    let store = Store::new(&Options::default());
    let before = settled_live_bytes(&store);
    let failures = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..STEPS {
                    let guard = store.pin();
                    let done = step(&store.db(0, &guard, 1));
                    failures.fetch_add(usize::from(done.is_err()), Ordering::Relaxed);
                }
            });
        }
    });
    assert!(failures.into_inner() < THREADS * STEPS / 2);
    let bytes: usize = {
        let guard = store.pin();
        let db = store.db(0, &guard, 1);
        look(&db);
        let keys = HASHES.iter().chain(&SETS).chain(&STRINGS);
        keys.filter_map(|key| db.read(key)).map(memory_bytes).sum()
    };
    assert_eq!(settled_live_bytes(&store) - before, bytes as i64);
    for key in HASHES.iter().chain(&SETS).chain(&STRINGS) {
        let guard = store.pin();
        store.db(0, &guard, 1).remove(key).expect("not busy");
    }
    assert_eq!(settled_live_bytes(&store), before);
}
