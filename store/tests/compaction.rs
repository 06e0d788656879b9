//! Memory as the sizes of values shift, and entries that move while everybody works with them.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use store::value::hash::{Hash, HashEdit};
use store::value::{Edited, Limits, string};
use store::{Change, Db, Draft, Error, Options, Store, memory, reclaim};

fn put(db: &Db<'_>, key: &[u8], value: &[u8]) {
    let draft = Draft::new(string::bytes(value));
    db.put(key, draft).expect("no transaction is in the way");
}

fn key_of(number: usize) -> Vec<u8> {
    format!("key:{number:08}").into_bytes()
}

/// A value that says whose it is and of what length.
fn value_of(number: usize, bytes: usize) -> Vec<u8> {
    let start = format!("{number}:{bytes}:");
    start.bytes().cycle().take(bytes.max(start.len())).collect()
}

fn check_value(number: usize, value: &[u8]) {
    let text = value.split(|&byte| byte == b':').nth(1);
    let bytes = text.and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
    let bytes = bytes.expect("a value starts with its length");
    assert_eq!(value, value_of(number, bytes), "the value of {number}");
}

/// Compacts until there is nothing more to do.
fn compact_all(store: &Store) {
    // Twenty steps look at all classes once. Where there is no arena, everything always moves.
    let mut idle = 0;
    for _ in 0..1_000 {
        idle = match store.compact(0).is_busy {
            true => 0,
            false => idle + 1,
        };
        reclaim::settle();
        if idle >= 60 {
            return;
        }
    }
}

/// How much larger the arena is than what is in it.
fn slack() -> (f64, String) {
    let (usage, extent) = (memory::in_use(), memory::arena());
    let text = format!("{usage:?} {extent:?}");
    // Pages kept for new blocks are bounded by themselves.
    let used = extent.resident_bytes - extent.free_bytes;
    (used as f64 / usage.arena_bytes.max(1) as f64, text)
}

/// One test of the process's whole memory, so the only one of this file that is not in a module
/// of its own: tests of one file share a process.
#[test]
fn memory_follows_what_is_stored() {
    moving_disturbs_nobody();
    // What counts there is what the next store takes.
    nothing_is_left();
    sizes_shift_without_leaving_holes(Filler::Task);
    sizes_shift_without_leaving_holes(Filler::Writers);
}

/// A cache of so many bytes: a write beyond them removes some other key. Without the arena
/// everything is moved all the time.
fn cache_bytes() -> u64 {
    if is_arena_used() { 48 << 20 } else { 1 << 20 }
}

/// Who fills holes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Filler {
    /// The periodic task alone.
    Task,
    /// Writers alone.
    Writers,
}

fn sizes_shift_without_leaving_holes(filler: Filler) {
    const KEYS: usize = 1_000_000;
    let store = Store::new(&Options::default());
    let mut random = fastrand::Rng::with_seed(5);
    for (least, most) in [(48, 200), (300, 700), (700, 4_000), (48, 200)] {
        let mut left = cache_bytes() as usize * 5 / 4;
        for step in 0.. {
            let guard = store.pin();
            let db = store.db(0, &guard, 0);
            let number = random.usize(..KEYS);
            let bytes = random.usize(least..=most);
            if filler == Filler::Writers {
                db.make_room(bytes).expect("there is no limit");
            }
            put(&db, &key_of(number), &value_of(number, bytes));
            // What is retired would only be freed when the guard is gone.
            while step % 16 == 0 && memory::in_use().live_bytes > cache_bytes() {
                let key = db.random().expect("keys that take the bytes").key();
                db.remove(key).expect("no transaction is in the way");
            }
            drop(guard);
            if filler == Filler::Task && step % 100 == 0 {
                store.compact(0);
            }
            match left.checked_sub(bytes) {
                Some(rest) => left = rest,
                None => break,
            }
        }
        let bound = match filler {
            Filler::Task => {
                compact_all(&store);
                1.15
            }
            // They stop when less than a twelfth is idle.
            Filler::Writers => 1.2,
        };
        let (slack, text) = slack();
        eprintln!("{least} to {most} bytes, {filler:?}: {slack:.3} {text}");
        assert!(!is_arena_used() || slack < bound, "{slack:.3} {text}");
    }
    let guard = store.pin();
    let db = store.db(0, &guard, 0);
    let mut cursor = 0;
    let mut seen = 0;
    loop {
        cursor = db.scan(cursor, 1_000, |entry| {
            let number = std::str::from_utf8(&entry.key()[4..]).map(str::parse);
            let value = string::Str::of(entry).expect("a string").to_cow();
            check_value(number.expect("digits").expect("digits"), &value);
            seen += 1;
        });
        if cursor == 0 {
            break;
        }
    }
    assert_eq!(seen, db.len());
    drop(guard);
    store.flush_all();
    drop(store);
    nothing_is_left();
}

/// Fails if the stores that were dropped left anything behind.
fn nothing_is_left() {
    // The reaper takes a moment.
    for _ in 0..2_000 {
        reclaim::settle();
        if memory::in_use().bytes() == 0 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    assert_eq!(memory::in_use(), memory::InUse::default());
}

fn is_arena_used() -> bool {
    memory::arena().resident_bytes > 0
}

const ACCOUNTS: usize = 16;

fn account(number: usize) -> Vec<u8> {
    format!("account:{number}").into_bytes()
}

fn balance(db: &Db<'_>, key: &[u8]) -> Result<i64, Error> {
    let value = string::Str::of_any(db.read(key))?;
    Ok(value.and_then(string::Str::integer).unwrap_or(0))
}

fn transfer(db: &Db<'_>, from: &[u8], to: &[u8], amount: i64) -> Result<(), Error> {
    db.atomic(|db| {
        for (key, by) in [(from, -amount), (to, amount)] {
            let sum = balance(db, key)? + by;
            db.put(key, Draft::new(string::integer(sum)))?;
        }
        Ok(())
    })
}

fn total(db: &Db<'_>) -> Result<i64, Error> {
    db.atomic(|db| (0..ACCOUNTS).map(|at| balance(db, &account(at))).sum())
}

fn set_field(db: &Db<'_>, number: usize, field: &[u8]) -> Result<(), Error> {
    let key = format!("hash:{number}");
    db.update(key.as_bytes(), |old| {
        let mut edit = HashEdit::new(old, &Limits::DEFAULT)?;
        edit.set(field, field);
        let change = match edit.finish() {
            Edited::Changed(value) => Change::Put(Draft::keeping_any(old, value)),
            Edited::Unchanged => Change::Keep,
            Edited::Emptied => Change::Remove,
        };
        Ok((change, ()))
    })
}

/// One of everything: whether the counter was incremented.
fn disturb(store: &Store, random: &mut fastrand::Rng, step: usize) -> bool {
    const KEYS: usize = 3_000;
    let guard = store.pin();
    let db = store.db(0, &guard, 0);
    let most = if (step / 2_000).is_multiple_of(2) {
        100
    } else {
        900
    };
    let number = random.usize(..KEYS);
    let value = value_of(number, random.usize(20..most));
    put(&db, &key_of(number), &value);
    let number = random.usize(..KEYS);
    if let Some(entry) = db.read(&key_of(number)) {
        check_value(number, &string::Str::of(entry).expect("one").to_cow());
    }
    let (from, to) = (random.usize(..ACCOUNTS), random.usize(..ACCOUNTS));
    if from != to {
        let _ = transfer(&db, &account(from), &account(to), 5);
    }
    if step.is_multiple_of(50) {
        assert!(matches!(total(&db), Ok(0) | Err(Error::Busy)));
    }
    let field = format!("field:{}", random.usize(..400));
    set_field(&db, random.usize(..50), field.as_bytes()).expect("a hash");
    let added = db.update(b"counter", |old| {
        let sum = string::sum(string::Str::of_any(old)?, 1)?;
        let draft = Draft::keeping_any(old, string::integer(sum));
        Ok((Change::Put(draft), ()))
    });
    added.is_ok()
}

/// Values whose sizes shift, counters, transactions and hashes, while entries are moved all the
/// time. Versions must not change without a change of the key.
fn moving_disturbs_nobody() {
    const STEPS: usize = 10_000;
    let store = Store::new(&Options::default());
    let is_over = AtomicBool::new(false);
    let increments = AtomicUsize::new(0);
    let still = {
        let guard = store.pin();
        let db = store.db(0, &guard, 0);
        put(&db, b"still", b"nobody changes this");
        db.peek(b"still").expect("just put").version()
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut moved = 0;
            while !is_over.load(Ordering::Relaxed) {
                moved += store.compact(0).moved;
            }
            assert!(moved > 0, "nothing was moved");
        });
        let workers: Vec<_> = (0..3)
            .map(|seed| {
                let (store, increments) = (&store, &increments);
                scope.spawn(move || {
                    let mut random = fastrand::Rng::with_seed(seed);
                    for step in 0..STEPS {
                        let added = disturb(store, &mut random, step);
                        increments.fetch_add(usize::from(added), Ordering::Relaxed);
                    }
                })
            })
            .collect();
        let ends: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
        // Before a failure of theirs is told: else this would wait for ever.
        is_over.store(true, Ordering::Relaxed);
        assert!(ends.iter().all(Result::is_ok), "somebody is disturbed");
    });
    let guard = store.pin();
    let db = store.db(0, &guard, 0);
    assert_eq!(db.peek(b"still").expect("still there").version(), still);
    let counter = balance(&db, b"counter").expect("a number");
    assert_eq!(counter as usize, increments.load(Ordering::Relaxed));
    for number in 0..50 {
        let key = format!("hash:{number}");
        let hash = Hash::of(db.read(key.as_bytes()).expect("a hash")).expect("a hash");
        assert!(hash.len() > 150);
    }
}
