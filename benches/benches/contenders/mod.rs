//! The keyspace and the concurrent maps it is measured against, behind one trait.
//!
//! All hold what a cache must: keys and values of any length, so the maps box theirs. All hash
//! with rapidhash, and all may use one guard for a whole batch, as a server does for the requests
//! of one read. Keys stand in memory as requests do: who hashes one that was written a moment ago,
//! byte by byte, waits for that, unless it is inlined where the key is made.

use std::ops::{ControlFlow, Deref};

use benches::request::{KEY_BYTES, key_of};
use rapidhash::quality::RandomState;
use store::value::string::Str;
use store::{Ahead, Db, Entry, Meta, Options, Store};

/// Bytes of every value.
pub(crate) const VALUE_BYTES: usize = 32;
/// Keys under one guard.
pub(crate) const BATCH: usize = 16;

/// What is looked up.
pub(crate) type Key = [u8; KEY_BYTES];

/// A map of 16-byte keys and 32-byte values that threads share.
pub(crate) trait Contender: Sync {
    /// What reports call it.
    const NAME: &'static str;
    /// An empty one.
    fn empty() -> Self;
    /// Reads up to [`BATCH`] keys; the sum of their values' first bytes.
    fn read(&self, keys: &[Key]) -> usize;
    /// Writes up to [`BATCH`] keys.
    fn write(&self, keys: &[Key]);
}

const VALUE: [u8; VALUE_BYTES] = [b'x'; VALUE_BYTES];

/// Ours, one key after the other.
#[derive(Debug)]
pub(crate) struct Mayfly(Store);

impl Contender for Mayfly {
    const NAME: &'static str = "mayfly";

    fn empty() -> Mayfly {
        Mayfly(Store::new(&Options::default()))
    }

    fn read(&self, keys: &[Key]) -> usize {
        let guard = self.0.pin();
        let db = self.0.db(0, &guard, 1);
        sum_of_first_bytes(keys.iter().map(|key| db.read(key)))
    }

    fn write(&self, keys: &[Key]) {
        let guard = self.0.pin();
        let db = self.0.db(0, &guard, 1);
        keys.iter().for_each(|key| put(&db, key));
    }
}

/// What reading some entries comes to.
fn sum_of_first_bytes<'g>(entries: impl Iterator<Item = Option<Entry<'g>>>) -> usize {
    entries.filter_map(first_byte).sum()
}

#[inline(always)]
fn first_byte(entry: Option<Entry<'_>>) -> Option<usize> {
    Some(usize::from(Str::of(entry?).ok()?.byte(0)?))
}

fn put(db: &Db<'_>, key: &Key) {
    db.put_string(key, (&VALUE, None), &Meta::default())
        .expect("no transaction runs");
}

/// Ours as the server uses it: what a batch needs is fetched first.
#[derive(Debug)]
pub(crate) struct Prefetching(Mayfly);

impl Contender for Prefetching {
    const NAME: &'static str = "mayfly, prefetching";

    fn empty() -> Prefetching {
        Prefetching(Mayfly::empty())
    }

    fn read(&self, keys: &[Key]) -> usize {
        let guard = self.0.0.pin();
        let db = self.0.0.db(0, &guard, 1);
        let mut sum = 0;
        db.read_batch(keys, |_, entry| {
            sum += first_byte(entry).unwrap_or(0);
            ControlFlow::Continue(())
        });
        sum
    }

    fn write(&self, keys: &[Key]) {
        let guard = self.0.0.pin();
        let db = self.0.0.db(0, &guard, 1);
        let mut ahead = Ahead::default();
        db.look_ahead(keys.iter().map(|key| &key[..]), &mut ahead);
        for (at, key) in keys.iter().enumerate() {
            put(&db.expecting(&ahead, at), key);
        }
    }
}

/// flurry.
#[derive(Debug)]
pub(crate) struct Flurry(flurry::HashMap<Box<[u8]>, Box<[u8]>, RandomState>);

impl Contender for Flurry {
    const NAME: &'static str = "flurry";

    fn empty() -> Flurry {
        Flurry(flurry::HashMap::with_hasher(RandomState::new()))
    }

    fn read(&self, keys: &[Key]) -> usize {
        let guard = self.0.guard();
        let value = |key: &Key| self.0.get(&key[..], &guard);
        sum_of_firsts(keys.iter().filter_map(value))
    }

    fn write(&self, keys: &[Key]) {
        let guard = self.0.guard();
        for &key in keys {
            self.0.insert(key.into(), VALUE.into(), &guard);
        }
    }
}

/// papaya.
#[derive(Debug)]
pub(crate) struct Papaya(papaya::HashMap<Box<[u8]>, Box<[u8]>, RandomState>);

impl Contender for Papaya {
    const NAME: &'static str = "papaya";

    fn empty() -> Papaya {
        Papaya(papaya::HashMap::with_hasher(RandomState::new()))
    }

    fn read(&self, keys: &[Key]) -> usize {
        let map = self.0.pin();
        let value = |key: &Key| map.get(&key[..]);
        sum_of_firsts(keys.iter().filter_map(value))
    }

    fn write(&self, keys: &[Key]) {
        let map = self.0.pin();
        for &key in keys {
            map.insert(key.into(), VALUE.into());
        }
    }
}

/// dashmap.
#[derive(Debug)]
pub(crate) struct Dashmap(dashmap::DashMap<Box<[u8]>, Box<[u8]>, RandomState>);

impl Contender for Dashmap {
    const NAME: &'static str = "dashmap";

    fn empty() -> Dashmap {
        Dashmap(dashmap::DashMap::with_hasher(RandomState::new()))
    }

    fn read(&self, keys: &[Key]) -> usize {
        let value = |key: &Key| self.0.get(&key[..]);
        sum_of_firsts(keys.iter().filter_map(value))
    }

    fn write(&self, keys: &[Key]) {
        for &key in keys {
            self.0.insert(key.into(), VALUE.into());
        }
    }
}

/// What reading some values comes to: the sum of their first bytes.
fn sum_of_firsts(values: impl Iterator<Item = impl Deref<Target = Box<[u8]>>>) -> usize {
    values.map(|value| usize::from(value[0])).sum()
}

/// Writes the keys from 0 to before `keys`.
pub(crate) fn fill(map: &impl Contender, keys: u32) {
    let mut batch = Vec::with_capacity(BATCH);
    for from in (0..keys).step_by(BATCH) {
        batch.clear();
        batch.extend((from..keys.min(from + BATCH as u32)).map(key_of));
        map.write(&batch);
    }
}
