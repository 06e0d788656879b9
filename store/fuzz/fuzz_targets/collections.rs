//! A hash and a set against maps, packed and as trees, with one or several edits in a transaction.

#![no_main]

#[path = "../settled.rs"]
mod settled;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use arbitrary::Arbitrary;
use store::value::hash::{Hash, HashEdit};
use store::value::set::{Set, SetEdit};
use store::value::{Edited, Limits, deep_copy};
use store::{Change, Db, Draft, Entry, Error, Options, Store};

use settled::assert_live_bytes;

#[derive(Arbitrary, Debug)]
struct Input {
    /// What the collections may have until they are trees, in bytes.
    packed_bytes_max: u8,
    transactions: Vec<Vec<Step>>,
}

#[derive(Arbitrary, Debug)]
enum Step {
    /// Sets fields, numbered from the first on, in one edit.
    Set(Element, u8, u8),
    /// Removes fields in one edit.
    Unset(Element, u8),
    Increment(Element, i64),
    Add(Element, u8),
    Remove(Element, u8),
    AddInteger(i64),
    Pop(u8),
    /// Puts a copy of the other of two in the place of one.
    Copy(bool),
    Rename,
    Read,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
struct Element {
    number: u16,
    is_long: bool,
}

impl Element {
    fn name(self, offset: u8) -> Vec<u8> {
        let number = self.number % 2_000 + u16::from(offset);
        let text = format!("element:{number}").into_bytes();
        if self.is_long { text.repeat(40) } else { text }
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    hash: BTreeMap<Vec<u8>, Vec<u8>>,
    set: BTreeSet<Vec<u8>>,
}

/// One for all runs: what is left of another would be counted.
static STORE: LazyLock<Store> = LazyLock::new(|| Store::new(&Options::default()));
/// What it takes without keys: asked for before there is anything to be freed.
static EMPTY_BYTES: LazyLock<u64> = LazyLock::new(|| STORE.memory().live_bytes);

libfuzzer_sys::fuzz_target!(|input: Input| {
    fastrand::seed(0);
    let store = &*STORE;
    LazyLock::force(&EMPTY_BYTES);
    let limits = Limits {
        packed_bytes_max: usize::from(input.packed_bytes_max) * 4,
        ..Limits::DEFAULT
    };
    let mut model = Model::default();
    for steps in &input.transactions {
        let guard = store.pin();
        let db = store.db(0, &guard, 0);
        let mut after = model.clone();
        let done = match &steps[..] {
            [step] if !matches!(step, Step::Rename) => apply(&db, &mut after, &limits, step),
            steps => db.atomic(|db| {
                after.clone_from(&model);
                let mut steps = steps.iter();
                steps.try_for_each(|step| apply(db, &mut after, &limits, step))
            }),
        };
        match done {
            Ok(()) => model = after,
            Err(error) => assert!(matches!(error, Error::Overflow | Error::FieldNotAnInteger)),
        }
        check(&db, &model);
    }
    let guard = store.pin();
    for key in [b"hash", b"sets", b"copy"] {
        let _ = store.db(0, &guard, 0).remove(key);
    }
    assert_live_bytes(store, *EMPTY_BYTES);
});

fn change<'a>(edited: Edited<'a>, old: Option<Entry<'_>>) -> Change<'a> {
    match edited {
        Edited::Unchanged => Change::Keep,
        Edited::Emptied => Change::Remove,
        Edited::Changed(value) => Change::Put(Draft::keeping_any(old, value)),
    }
}

fn edit_hash(
    db: &Db<'_>,
    limits: &Limits,
    mut body: impl FnMut(&mut HashEdit<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    db.update(b"hash", |old| {
        let mut edit = HashEdit::new(old, limits)?;
        body(&mut edit)?;
        Ok((change(edit.finish(), old), ()))
    })
}

fn edit_set(
    db: &Db<'_>,
    limits: &Limits,
    mut body: impl FnMut(&mut SetEdit<'_>),
) -> Result<(), Error> {
    db.update(b"sets", |old| {
        let mut edit = SetEdit::new(old, limits)?;
        body(&mut edit);
        Ok((change(edit.finish(), old), ()))
    })
}

fn apply(db: &Db<'_>, model: &mut Model, limits: &Limits, step: &Step) -> Result<(), Error> {
    match *step {
        Step::Set(first, count, value) => edit_hash(db, limits, |edit| {
            for name in (0..=count).map(|offset| first.name(offset)) {
                let value = vec![b'v'; usize::from(value) * 2];
                let is_new = edit.set(&name, &value);
                assert_eq!(is_new, model.hash.insert(name, value).is_none());
            }
            Ok(())
        }),
        Step::Unset(first, count) => edit_hash(db, limits, |edit| {
            for name in (0..=count).map(|offset| first.name(offset)) {
                assert_eq!(edit.remove(&name), model.hash.remove(&name).is_some());
            }
            Ok(())
        }),
        Step::Increment(field, by) => edit_hash(db, limits, |edit| {
            let sum = edit.increment(&field.name(0), by)?.to_string();
            model.hash.insert(field.name(0), sum.into());
            Ok(())
        }),
        Step::Add(first, count) => edit_set(db, limits, |edit| {
            for name in (0..=count).map(|offset| first.name(offset)) {
                assert_eq!(edit.add(&name), model.set.insert(name));
            }
        }),
        Step::Remove(first, count) => edit_set(db, limits, |edit| {
            for name in (0..=count).map(|offset| first.name(offset)) {
                assert_eq!(edit.remove(&name), model.set.remove(&name));
            }
        }),
        Step::AddInteger(value) => edit_set(db, limits, |edit| {
            let name = value.to_string().into_bytes();
            assert_eq!(edit.add(&name), model.set.insert(name));
        }),
        Step::Pop(count) => edit_set(db, limits, |edit| {
            let count = usize::from(count).min(edit.len());
            let popped = edit.pop(count);
            assert_eq!(popped.len(), count);
            popped
                .iter()
                .for_each(|name| assert!(model.set.remove(name)));
        }),
        Step::Copy(of_hash) => {
            let key: &[u8] = if of_hash { b"hash" } else { b"sets" };
            match db.read(key) {
                Some(entry) => db.put(b"copy", Draft::new(deep_copy(entry))),
                None => Ok(()),
            }
        }
        Step::Rename => match db.read(b"hash") {
            Some(_) => db
                .rename(b"hash", (db, b"away"))
                .and_then(|()| db.rename(b"away", (db, b"hash"))),
            None => Ok(()),
        },
        Step::Read => {
            check(db, model);
            Ok(())
        }
    }
}

fn check(db: &Db<'_>, model: &Model) {
    let hash = Hash::of_any(db.read(b"hash")).expect("a hash");
    let mut fields = BTreeMap::new();
    if let Some(hash) = hash {
        assert_eq!(hash.len(), model.hash.len());
        scan(|cursor| {
            hash.scan(cursor, 7, |field, value| {
                fields.insert(field.to_vec(), value.to_vec());
            })
        });
        for (index, (field, value)) in hash.iter().enumerate() {
            assert_eq!(
                (hash.get(field), hash.nth(index)),
                (Some(value), (field, value))
            );
        }
    }
    assert_eq!(fields, model.hash);
    let set = Set::of_any(db.read(b"sets")).expect("a set");
    let mut members = BTreeSet::new();
    if let Some(set) = set {
        assert_eq!(set.len(), model.set.len());
        scan(|cursor| {
            set.scan(cursor, 7, |member| {
                members.insert(member.to_vec());
            })
        });
        assert!(set.iter().all(|member| set.contains(&member)));
    }
    assert_eq!(members, model.set);
}

fn scan(mut step: impl FnMut(u64) -> u64) {
    let mut cursor = 0;
    loop {
        cursor = step(cursor);
        if cursor == 0 {
            return;
        }
    }
}
