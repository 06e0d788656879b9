//! `stats detail`: how often keys of each prefix are used, up to their first colon.
//!
//! Off, it costs one load of a word that nobody writes. On, each thread counts in a map of its
//! own, behind a lock that only a dump contends for.

use std::collections::BTreeMap;
use std::collections::hash_map::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use memchr::memchr;

const DELIMITER: u8 = b':';
/// A thread tells so many prefixes apart; uses of others are not counted.
const PREFIXES_MAX: usize = 10_000;

/// What is done with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::command::memcached) enum Use {
    /// It is read, and was there.
    Hit,
    /// It is read, and was not there.
    Miss,
    /// It is stored, or was to be.
    Set,
    /// It is deleted, or was to be.
    Delete,
}

impl Use {
    /// A read of a key that was there, or was not.
    pub(in crate::command::memcached) fn of_get(was_there: bool) -> Use {
        match was_there {
            true => Use::Hit,
            false => Use::Miss,
        }
    }
}

/// How often keys of a prefix were used.
#[derive(Clone, Copy, Debug, Default)]
struct Uses {
    gets: u64,
    hits: u64,
    sets: u64,
    deletes: u64,
}

type ByPrefix = HashMap<Box<[u8]>, Uses>;

/// The uses of all prefixes.
#[derive(Debug)]
pub(in crate::command::memcached) struct Prefixes {
    is_on: AtomicBool,
    threads: Vec<Mutex<ByPrefix>>,
}

impl Prefixes {
    /// None, for so many threads.
    pub(in crate::command::memcached) fn new(threads: usize) -> Prefixes {
        Prefixes {
            is_on: AtomicBool::new(false),
            threads: (0..threads).map(|_| Mutex::default()).collect(),
        }
    }

    /// Counts from now on, or no longer.
    pub(super) fn switch(&self, is_on: bool) {
        self.is_on.store(is_on, Ordering::Relaxed);
    }

    /// Whether uses are counted.
    pub(super) fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    /// Counts a use of a key on a thread.
    pub(in crate::command::memcached) fn note(&self, thread: usize, key: &[u8], usage: Use) {
        if self.is_on() {
            self.count(thread, key, usage);
        }
    }

    #[cold]
    fn count(&self, thread: usize, key: &[u8], usage: Use) {
        let Some(prefix) = memchr(DELIMITER, key).map(|end| &key[..end]) else {
            return;
        };
        let mut map = self.threads[thread].lock().expect("no panic inside");
        if !map.contains_key(prefix) {
            if map.len() == PREFIXES_MAX {
                return;
            }
            map.insert(prefix.into(), Uses::default());
        }
        let uses = map.get_mut(prefix).expect("it was put there");
        match usage {
            Use::Hit => {
                uses.gets += 1;
                uses.hits += 1;
            }
            Use::Miss => uses.gets += 1,
            Use::Set => uses.sets += 1,
            Use::Delete => uses.deletes += 1,
        }
    }

    /// Forgets all uses.
    pub(in crate::command::memcached) fn clear(&self) {
        for map in &self.threads {
            map.lock().expect("no panic inside").clear();
        }
    }

    /// A line for each prefix.
    pub(super) fn dump(&self) -> Vec<u8> {
        let mut sums: BTreeMap<Box<[u8]>, Uses> = BTreeMap::new();
        for map in &self.threads {
            for (prefix, uses) in &*map.lock().expect("no panic inside") {
                let sum = sums.entry(prefix.clone()).or_default();
                sum.gets += uses.gets;
                sum.hits += uses.hits;
                sum.sets += uses.sets;
                sum.deletes += uses.deletes;
            }
        }
        let mut text = Vec::new();
        for (prefix, uses) in sums {
            let Uses {
                gets,
                hits,
                sets,
                deletes,
            } = uses;
            text.extend_from_slice(b"PREFIX ");
            text.extend_from_slice(&prefix);
            let numbers = format!(" get {gets} hit {hits} set {sets} del {deletes}\r\n");
            text.extend_from_slice(numbers.as_bytes());
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uses_of_all_threads_are_summed_while_counting_is_on() {
        let prefixes = Prefixes::new(2);
        prefixes.note(0, b"a:1", Use::Set);
        assert!(prefixes.dump().is_empty());
        prefixes.switch(true);
        for (thread, key, usage) in [
            (0, "a:1", Use::Set),
            (1, "a:2:3", Use::Hit),
            (1, "a:", Use::Miss),
            (0, ":x", Use::Delete),
            (0, "none", Use::Set),
        ] {
            prefixes.note(thread, key.as_bytes(), usage);
        }
        let expected = "PREFIX  get 0 hit 0 set 0 del 1\r\nPREFIX a get 2 hit 1 set 1 del 0\r\n";
        assert_eq!(String::from_utf8_lossy(&prefixes.dump()), expected);
        prefixes.clear();
        assert!(prefixes.dump().is_empty());
    }

    #[test]
    fn prefixes_beyond_a_limit_are_not_counted() {
        let prefixes = Prefixes::new(1);
        prefixes.switch(true);
        for number in 0..=PREFIXES_MAX {
            prefixes.note(0, format!("{number}:").as_bytes(), Use::Set);
        }
        let dump = prefixes.dump();
        assert_eq!(memchr::memchr_iter(b'\n', &dump).count(), PREFIXES_MAX);
    }
}
