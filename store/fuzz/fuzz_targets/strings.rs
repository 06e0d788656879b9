//! A string against a vector of bytes, flat and in chunks, with its bits and numbers.

#![no_main]

#[path = "../settled.rs"]
mod settled;

use std::sync::LazyLock;

use arbitrary::Arbitrary;
use store::value::bitmap::{Field, Overflow};
use store::value::string::{self, Str, StrEdit};
use store::value::{NewValue, bitmap};
use store::{Change, Db, Draft, Error, Options, Store};

use settled::assert_live_bytes;

#[derive(Arbitrary, Debug)]
enum Step {
    Set(Vec<u8>),
    /// Appends the text some times.
    Append(Vec<u8>, u8),
    Prepend(Vec<u8>),
    SetRange(u32, Vec<u8>, u8),
    SetBit(u32, bool),
    Increment(i64),
    /// Several writes in one edit.
    Write(Vec<(u32, Vec<u8>)>),
    Field(bool, u8, u32, i64),
    Look(bool, u32, u16),
}

/// No string becomes longer by one step.
const OFFSET_MAX: usize = 60_000;

fn offset(number: u32) -> usize {
    number as usize % OFFSET_MAX
}

/// One for all runs: what is left of another would be counted.
static STORE: LazyLock<Store> = LazyLock::new(|| Store::new(&Options::default()));
/// What it takes without keys: asked for before there is anything to be freed.
static EMPTY_BYTES: LazyLock<u64> = LazyLock::new(|| STORE.memory().live_bytes);

libfuzzer_sys::fuzz_target!(|steps: Vec<Step>| {
    fastrand::seed(0);
    let store = &*STORE;
    LazyLock::force(&EMPTY_BYTES);
    let guard = store.pin();
    let db = store.db(0, &guard, 0);
    let mut model: Option<Vec<u8>> = None;
    for step in &steps {
        if model
            .as_ref()
            .is_some_and(|model| model.len() > 8 * OFFSET_MAX)
        {
            db.remove(b"key").expect("nobody is in the way");
            model = None;
        }
        apply(&db, &mut model, step);
        check(&db, model.as_deref());
    }
    let _ = db.remove(b"key");
    assert_live_bytes(store, *EMPTY_BYTES);
});

fn apply(db: &Db<'_>, model: &mut Option<Vec<u8>>, step: &Step) {
    let old = model.clone().unwrap_or_default();
    let new = match step {
        Step::Set(text) => edit(db, |_| Ok(string::bytes(text))).map(|()| text.clone()),
        Step::Append(text, times) => {
            let tail = text.repeat(usize::from(*times));
            edit(db, |old| string::append(old, &tail)).map(|()| [&old[..], &tail].concat())
        }
        Step::Prepend(head) => edit(db, |old| match old {
            Some(old) => string::prepend(old, head),
            None => Ok(string::bytes(head)),
        })
        .map(|()| [&head[..], &old].concat()),
        Step::SetRange(at, text, times) => {
            let (at, patch) = (offset(*at), text.repeat(usize::from(*times)));
            edit(db, |old| string::set_range(old, at, &patch)).map(|()| write(old, at, &patch))
        }
        Step::SetBit(at, on) => {
            let at = *at as usize % (8 * OFFSET_MAX);
            let done = db.update(b"key", |entry| {
                let (before, value) = bitmap::set_bit(Str::of_any(entry)?, at, *on)?;
                Ok((Change::Put(Draft::keeping_any(entry, value)), before))
            });
            done.map(|before| {
                assert_eq!(before, bit(&old, at));
                let mask = 0x80 >> (at % 8);
                let byte = old.get(at / 8).copied().unwrap_or(0);
                write(old, at / 8, &[if *on { byte | mask } else { byte & !mask }])
            })
        }
        Step::Increment(by) => {
            edit(db, |old| Ok(string::integer(string::sum(old, *by)?))).map(|()| {
                let number = match model {
                    Some(_) => std::str::from_utf8(&old)
                        .expect("digits")
                        .parse()
                        .expect("a number"),
                    None => 0i64,
                };
                (number + by).to_string().into()
            })
        }
        Step::Write(patches) => edit(db, |old| {
            let mut edit = StrEdit::new(old);
            for (at, patch) in patches {
                edit.write(offset(*at), patch)?;
            }
            Ok(edit.finish())
        })
        .map(|()| {
            let write = |text, (at, patch): &(u32, Vec<u8>)| write(text, offset(*at), patch);
            patches.iter().fold(old, write)
        }),
        Step::Field(is_signed, bits, at, value) => {
            match Field::new(*is_signed, (*bits % 65).into()) {
                Some(field) => Ok(write_field(db, old, field, (offset(*at), *value))),
                None => return,
            }
        }
        Step::Look(on, from, bits) => return look(db, &old, (*on, *from, *bits)),
    };
    match new {
        Ok(new) => *model = Some(new),
        Err(error) => assert!(matches!(error, Error::NotAnInteger | Error::Overflow)),
    }
}

fn edit<'g, 'v>(
    db: &Db<'g>,
    change: impl Fn(Option<Str<'g>>) -> Result<NewValue<'v>, Error>,
) -> Result<(), Error> {
    db.update(b"key", |entry| {
        let value = change(Str::of_any(entry)?)?;
        Ok((Change::Put(Draft::keeping_any(entry, value)), ()))
    })
}

fn write(mut text: Vec<u8>, at: usize, patch: &[u8]) -> Vec<u8> {
    let end = at + patch.len();
    text.resize(text.len().max(end), 0);
    text[at..end].copy_from_slice(patch);
    text
}

fn bit(text: &[u8], at: usize) -> bool {
    text.get(at / 8)
        .is_some_and(|byte| byte & (0x80 >> (at % 8)) != 0)
}

/// Stores a number in some bits and reads it again.
fn write_field(db: &Db<'_>, old: Vec<u8>, field: Field, (at, value): (usize, i64)) -> Vec<u8> {
    let done = edit(db, |old| {
        let mut edit = StrEdit::new(old);
        field.write(&mut edit, at, value)?;
        assert_eq!(
            Some(field.read(edit.view(), at)),
            field.stored(value, Overflow::Wrap)
        );
        Ok(edit.finish())
    });
    done.expect("a short string");
    let last = at + field.bits() - 1;
    (at..=last).fold(old, |text, number| {
        let (byte, mask) = (
            text.get(number / 8).copied().unwrap_or(0),
            0x80 >> (number % 8),
        );
        let is_on = value >> (last - number) & 1 != 0;
        write(
            text,
            number / 8,
            &[if is_on { byte | mask } else { byte & !mask }],
        )
    })
}

fn check(db: &Db<'_>, model: Option<&[u8]>) {
    let entry = db.read(b"key");
    let found = Str::of_any(entry).expect("a string");
    assert_eq!(found.map(Str::to_cow).as_deref(), model);
}

/// Counts and finds bits of a range.
fn look(db: &Db<'_>, model: &[u8], (on, from, bits): (bool, u32, u16)) {
    let Some(found) = Str::of_any(db.read(b"key")).expect("a string") else {
        return;
    };
    let end = 8 * model.len();
    let from = from as usize % (end + 1);
    let range = from..(from + usize::from(bits)).min(end);
    let ones = range.clone().filter(|at| bit(model, *at)).count();
    assert_eq!(bitmap::count_ones(found, range.clone()), ones);
    let first = range.clone().find(|at| bit(model, *at) == on);
    assert_eq!(bitmap::position(found, on, range), first);
}
