//! The keyspace and the concurrent maps it is measured against, behind one trait.
//!
//! All hold what a cache must: keys and values of any length, so the maps box theirs. All hash
//! with rapidhash, and all may use one guard for a whole batch, as a server does for the requests
//! of one read.

use std::ops::Deref;

use benches::request::{KEY_BYTES, key_of};
use rapidhash::quality::RandomState;
use store::value::string::{self, Str};
use store::{Draft, Options, Store};

/// Bytes of every value.
pub(crate) const VALUE_BYTES: usize = 32;
/// Keys under one guard.
pub(crate) const BATCH: usize = 16;

/// A map of 16-byte keys and 32-byte values that threads share.
pub(crate) trait Contender: Sync {
    /// What reports call it.
    const NAME: &'static str;
    /// An empty one.
    fn empty() -> Self;
    /// Reads up to [`BATCH`] keys; the sum of their values' first bytes.
    fn read(&self, numbers: &[u32]) -> usize;
    /// Writes up to [`BATCH`] keys.
    fn write(&self, numbers: &[u32]);
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

    fn read(&self, numbers: &[u32]) -> usize {
        let guard = self.0.pin();
        let db = self.0.db(0, &guard, 1);
        let first = |&number: &u32| {
            let entry = db.read(&key_of(number))?;
            Some(usize::from(Str::of(entry).ok()?.byte(0)?))
        };
        numbers.iter().filter_map(first).sum()
    }

    fn write(&self, numbers: &[u32]) {
        let guard = self.0.pin();
        let db = self.0.db(0, &guard, 1);
        for &number in numbers {
            let draft = Draft::new(string::bytes(&VALUE));
            db.put(&key_of(number), draft).expect("no transaction runs");
        }
    }
}

/// Ours as the server uses it: a batch is prefetched first.
#[derive(Debug)]
pub(crate) struct Prefetching(Mayfly);

impl Prefetching {
    fn prefetch(&self, numbers: &[u32]) {
        let guard = self.0.0.pin();
        let db = self.0.0.db(0, &guard, 1);
        let mut keys = [[0; KEY_BYTES]; BATCH];
        let keys = &mut keys[..numbers.len()];
        keys.iter_mut()
            .zip(numbers)
            .for_each(|(key, &number)| *key = key_of(number));
        db.prefetch(keys.iter().map(|key| &key[..]));
    }
}

impl Contender for Prefetching {
    const NAME: &'static str = "mayfly, prefetching";

    fn empty() -> Prefetching {
        Prefetching(Mayfly::empty())
    }

    fn read(&self, numbers: &[u32]) -> usize {
        self.prefetch(numbers);
        self.0.read(numbers)
    }

    fn write(&self, numbers: &[u32]) {
        self.prefetch(numbers);
        self.0.write(numbers);
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

    fn read(&self, numbers: &[u32]) -> usize {
        let guard = self.0.guard();
        let value = |&number: &u32| self.0.get(&key_of(number)[..], &guard);
        sum_of_firsts(numbers.iter().filter_map(value))
    }

    fn write(&self, numbers: &[u32]) {
        let guard = self.0.guard();
        for &number in numbers {
            self.0.insert(key_of(number).into(), VALUE.into(), &guard);
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

    fn read(&self, numbers: &[u32]) -> usize {
        let map = self.0.pin();
        let value = |&number: &u32| map.get(&key_of(number)[..]);
        sum_of_firsts(numbers.iter().filter_map(value))
    }

    fn write(&self, numbers: &[u32]) {
        let map = self.0.pin();
        for &number in numbers {
            map.insert(key_of(number).into(), VALUE.into());
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

    fn read(&self, numbers: &[u32]) -> usize {
        let value = |&number: &u32| self.0.get(&key_of(number)[..]);
        sum_of_firsts(numbers.iter().filter_map(value))
    }

    fn write(&self, numbers: &[u32]) {
        for &number in numbers {
            self.0.insert(key_of(number).into(), VALUE.into());
        }
    }
}

/// What reading some values comes to: the sum of their first bytes.
fn sum_of_firsts(values: impl Iterator<Item = impl Deref<Target = Box<[u8]>>>) -> usize {
    values.map(|value| usize::from(value[0])).sum()
}

/// Writes the keys from 0 to before `keys`.
pub(crate) fn fill(map: &impl Contender, keys: u32) {
    let mut numbers = Vec::with_capacity(BATCH);
    for from in (0..keys).step_by(BATCH) {
        numbers.clear();
        numbers.extend(from..keys.min(from + BATCH as u32));
        map.write(&numbers);
    }
}
