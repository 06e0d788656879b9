//! Two databases of one store against maps: single keys, transactions, expiry, flush and swap.

#![no_main]

use std::collections::BTreeMap;

use arbitrary::Arbitrary;
use store::value::string::{self, Str};
use store::{Db, Draft, Error, Options, Store};

#[derive(Arbitrary, Debug)]
enum Step {
    Put(Key, u8),
    Expire(Key, u8),
    Remove(Key),
    Read(Key),
    /// Keys from the first on, so that the table grows and shrinks.
    PutMany(u16, u8),
    RemoveMany(u16, u8),
    Rename(Key, Key),
    /// Some steps that count together, or not at all.
    Together(Vec<(Key, Option<u8>)>, bool),
    Wait(u8),
    Sweep,
    Shrink,
    Flush(bool),
    Swap,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
struct Key {
    in_second: bool,
    number: u16,
}

impl Key {
    fn name(self) -> Vec<u8> {
        name(self.number % 600)
    }

    fn index(self) -> usize {
        self.in_second.into()
    }
}

fn name(number: u16) -> Vec<u8> {
    format!("key:{number}").into_bytes()
}

/// A value and when it expires.
type Model = [BTreeMap<Vec<u8>, (u8, Option<u64>)>; 2];

libfuzzer_sys::fuzz_target!(|steps: Vec<Step>| {
    fastrand::seed(0);
    let store = Store::new(&Options {
        databases: 2,
        ..Options::default()
    });
    let (mut model, mut now_ms) = (Model::default(), 1_000);
    for step in &steps {
        apply(&store, &mut model, &mut now_ms, step);
        for keys in &mut model {
            keys.retain(|_, (_, at_ms)| at_ms.is_none_or(|at_ms| at_ms > now_ms));
        }
    }
    check(&store, &model, now_ms);
});

fn apply(store: &Store, model: &mut Model, now_ms: &mut u64, step: &Step) {
    let guard = store.pin();
    let db = |index: usize| store.db(index, &guard, *now_ms);
    match *step {
        Step::Put(key, value) => {
            put(&db(key.index()), &key.name(), value, None);
            model[key.index()].insert(key.name(), (value, None));
        }
        Step::Expire(key, ms) => {
            let at_ms = Some(*now_ms + u64::from(ms));
            put(&db(key.index()), &key.name(), ms, at_ms);
            model[key.index()].insert(key.name(), (ms, at_ms));
        }
        Step::Remove(key) => {
            let removed = db(key.index())
                .remove(&key.name())
                .expect("nobody is in the way");
            assert_eq!(removed, model[key.index()].remove(&key.name()).is_some());
        }
        Step::Read(key) => {
            let expected = model[key.index()].get(&key.name()).copied();
            assert_eq!(read(&db(key.index()), &key.name()), expected);
        }
        Step::PutMany(first, count) => {
            for number in first..first.saturating_add(u16::from(count) * 4) {
                put(&db(0), &name(number), 0, None);
                model[0].insert(name(number), (0, None));
            }
        }
        Step::RemoveMany(first, count) => {
            for number in first..first.saturating_add(u16::from(count) * 4) {
                let removed = db(0).remove(&name(number)).expect("nobody is in the way");
                assert_eq!(removed, model[0].remove(&name(number)).is_some());
            }
        }
        Step::Rename(from, to) => rename(&db(0), model, (from, to)),
        Step::Together(ref changes, fails) => together(&db(0), model, changes, fails),
        Step::Wait(ms) => *now_ms += u64::from(ms),
        Step::Sweep => {
            store.sweep(*now_ms, 100);
        }
        Step::Shrink => {
            store.shrink(100);
        }
        Step::Flush(second) => {
            store.flush(second.into());
            model[usize::from(second)].clear();
        }
        Step::Swap => {
            store.swap(0, 1);
            model.swap(0, 1);
        }
    }
}

fn put(db: &Db<'_>, key: &[u8], value: u8, at_ms: Option<u64>) {
    let draft = Draft::new(string::owned(vec![value; usize::from(value)])).expiring(at_ms);
    db.put(key, draft).expect("nobody is in the way");
}

fn read(db: &Db<'_>, key: &[u8]) -> Option<(u8, Option<u64>)> {
    let entry = db.read(key)?;
    let text = Str::of(entry).expect("a string").to_cow();
    let value = text.len() as u8;
    assert!(text.iter().all(|byte| *byte == value));
    Some((value, entry.expires_at_ms()))
}

fn rename(db: &Db<'_>, model: &mut Model, (from, to): (Key, Key)) {
    let done = db.atomic(|db| {
        let (from_db, to_db) = (db.other(from.index()), db.other(to.index()));
        from_db.rename(&from.name(), (&to_db, &to.name()))
    });
    match model[from.index()].remove(&from.name()) {
        Some(value) => {
            assert_eq!(done, Ok(()));
            model[to.index()].insert(to.name(), value);
        }
        None => assert_eq!(done, Err(Error::NoSuchKey)),
    }
}

fn together(db: &Db<'_>, model: &mut Model, changes: &[(Key, Option<u8>)], fails: bool) {
    let mut after = model.clone();
    let done = db.atomic(|db| {
        after.clone_from(model);
        for (key, value) in changes {
            let (db, name) = (db.other(key.index()), key.name());
            let expected = after[key.index()].get(&name).copied();
            assert_eq!(read(&db, &name), expected);
            match value {
                Some(value) => {
                    put(&db, &name, *value, None);
                    after[key.index()].insert(name, (*value, None));
                }
                None => {
                    assert_eq!(db.remove(&name)?, expected.is_some());
                    after[key.index()].remove(&name);
                }
            }
        }
        match fails {
            true => Err(Error::Overflow),
            false => Ok(()),
        }
    });
    assert_eq!(done.is_ok(), !fails);
    if done.is_ok() {
        *model = after;
    }
}

fn check(store: &Store, model: &Model, now_ms: u64) {
    let guard = store.pin();
    for (index, expected) in model.iter().enumerate() {
        let db = store.db(index, &guard, now_ms);
        let (mut found, mut cursor) = (BTreeMap::new(), 0);
        loop {
            cursor = db.scan(cursor, 10, |entry| {
                let length = Str::of(entry).expect("a string").len();
                found.insert(entry.key().to_vec(), (length as u8, entry.expires_at_ms()));
            });
            if cursor == 0 {
                break;
            }
        }
        assert_eq!(&found, expected);
        store.sweep(now_ms, usize::MAX);
        for (key, value) in expected {
            assert_eq!(read(&db, key), Some(*value));
        }
    }
}
