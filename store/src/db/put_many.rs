//! Putting strings at several keys at one moment, whatever was there.

use std::collections::HashSet;

use rapidhash::fast::RandomState;

use super::{Ahead, Db};
use crate::entry::Meta;
use crate::error::Error;
use crate::eviction::Access;
use crate::long::Received;
use crate::pace;
use crate::publish::{self, Provisional};
use crate::table::Key;
use crate::thread;
use crate::transaction::Ticket;
use crate::transaction::puts::{New, Put, Puts};
use crate::value::string;

/// So many keys are looked for ahead.
const KEYS_AHEAD: usize = 16;

impl<'g> Db<'g> {
    /// Puts strings at keys, all at one moment, as [`Db::put_string`] puts one that says nothing
    /// beside its value.
    ///
    /// # Errors
    /// As [`Db::atomic`].
    pub fn put_strings(
        &self,
        pairs: &[[&[u8]; 2]],
        within: Option<&Received>,
    ) -> Result<(), Error> {
        if let Some(mut puts) = self.flat_puts(pairs)?
            && self.scope().put_together(self.database, &mut puts)?
        {
            let replaced = puts.iter().filter_map(|put| put.sight.entry);
            replaced.for_each(|old| self.note_replaced(old));
            return Ok(());
        }
        self.atomic(|db| {
            db.expect_keys(pairs.len());
            pairs.iter().try_for_each(|[key, value]| {
                db.put_string(key, (value, within), &Meta::default())
                    .map(drop)
            })
        })
    }

    /// All that is to be put, made; none where one of several keys is named twice, a value does not
    /// stand in its entry, or there is one key.
    fn flat_puts<'k>(&self, pairs: &[[&'k [u8]; 2]]) -> Result<Option<Puts<'k, 'g>>, Error> {
        let are_flat = || pairs.iter().all(|[_, value]| string::is_flat(value.len()));
        if self.in_transaction || pairs.len() < 2 || !are_flat() {
            return Ok(None);
        }
        self.puts_of(
            pairs,
            |[key, _]| key,
            |key, [_, value]| self.flat_put(key, value),
        )
    }

    /// A put of each of several, made of its key; none where a key is named twice.
    pub(super) fn puts_of<'k, T>(
        &self,
        all: &[T],
        name: impl Fn(&T) -> &'k [u8],
        make: impl Fn(Key<'k>, &T) -> Result<Put<'k, 'g>, Error>,
    ) -> Result<Option<Puts<'k, 'g>>, Error> {
        let mut puts = Puts::with_capacity(all.len());
        match self.add_puts(&mut puts, all, name, make) {
            Ok(true) => Ok(Some(puts)),
            given_up => {
                let made = puts.into_iter().filter_map(|put| put.new);
                made.for_each(|new| Provisional::of_flat(new.entry).discard());
                given_up.map(|_| None)
            }
        }
    }

    /// False, and not all are made, where a key is named twice.
    fn add_puts<'k, T>(
        &self,
        puts: &mut Puts<'k, 'g>,
        all: &[T],
        name: impl Fn(&T) -> &'k [u8],
        make: impl Fn(Key<'k>, &T) -> Result<Put<'k, 'g>, Error>,
    ) -> Result<bool, Error> {
        let mut named = Named::new(all.len());
        let mut ahead = Ahead::default();
        // Those of a short request were looked for before it began.
        let are_many = all.len() > KEYS_AHEAD;
        for chunk in all.chunks(KEYS_AHEAD) {
            if are_many {
                self.look_ahead(chunk.iter().map(&name), &mut ahead);
            }
            for (at, one) in chunk.iter().enumerate() {
                // A rest here holds nobody up.
                pace::step_at(puts.len());
                let key = match are_many {
                    true => self.expecting(&ahead, at).key(name(one)),
                    false => self.key(name(one)),
                };
                if !named.is_new(puts, &key) {
                    return Ok(false);
                }
                puts.push(make(key, one)?);
            }
        }
        Ok(true)
    }

    fn flat_put<'k>(&self, key: Key<'k>, bytes: &[u8]) -> Result<Put<'k, 'g>, Error> {
        let sight = self.scope().look_settled(self.index, &key, Ticket::NONE)?;
        let version = thread::next_version(sight.version_floor());
        let eviction = self.store.eviction();
        let usage = match sight.entry {
            Some(old) => old.usage().rewritten(self.present()),
            None => eviction.admit(key.hash, self.present(), self.guard),
        };
        let entry = publish::flat_string((key.bytes, version), bytes, None, usage);
        match sight.entry {
            Some(_) => eviction.note_request(key.hash, entry, Access::Write),
            None => self.note_new(&key, entry),
        }
        let is_small = usage.is_small();
        let new = Some(New { entry, is_small });
        Ok(Put { key, sight, new })
    }
}

/// Which keys were named before.
enum Named {
    /// By the puts themselves: they are few.
    Few,
    /// By their hashes. Two keys that share one are rare, and only for the slower way.
    Many(HashSet<u64, RandomState>),
}

impl Named {
    fn new(keys: usize) -> Named {
        match keys {
            0..=KEYS_AHEAD => Named::Few,
            _ => Named::Many(HashSet::with_capacity_and_hasher(keys, RandomState::new())),
        }
    }

    /// Whether the key was not named before; then it is now.
    #[inline(always)]
    fn is_new(&mut self, puts: &Puts<'_, '_>, key: &Key<'_>) -> bool {
        match self {
            Named::Few => !puts
                .iter()
                .any(|put| put.key.hash == key.hash && put.key.bytes == key.bytes),
            Named::Many(hashes) => hashes.insert(key.hash),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::value::string::Str;
    use crate::{Db, Options, Store};

    fn text(db: &Db<'_>, key: &str) -> Option<Vec<u8>> {
        let entry = db.peek(key.as_bytes())?;
        let parts = Str::of(entry).expect("a string").parts();
        Some(parts.collect::<Vec<_>>().concat())
    }

    /// Puts the value at all of the keys.
    fn put(db: &Db<'_>, keys: &[String], value: &[u8]) {
        let pairs: Vec<[&[u8]; 2]> = keys.iter().map(|key| [key.as_bytes(), value]).collect();
        db.put_strings(&pairs, None).expect("nothing is busy");
    }

    #[test]
    fn few_and_many_strings_are_put_over_what_was_there() {
        let store = Store::new(&Options::default());
        let guard = store.pin();
        let db = store.db(0, &guard, 1_000);
        let long = vec![b'l'; 20_000];
        for count in [1, 2, 10, 16, 17, 3_000] {
            let keys: Vec<String> = (0..count).map(|number| format!("key:{number}")).collect();
            for value in [&b"first"[..], b"second", &long, b""] {
                put(&db, &keys, value);
                assert!(
                    keys.iter()
                        .all(|key| text(&db, key).as_deref() == Some(value))
                );
                assert_eq!(db.len(), count);
            }
        }
    }

    #[test]
    fn of_equal_keys_the_last_counts() {
        let store = Store::new(&Options::default());
        let guard = store.pin();
        let db = store.db(0, &guard, 1_000);
        for count in [3, 300] {
            let keys: Vec<String> = (0..count).map(|number| format!("{}", number % 2)).collect();
            let values: Vec<String> = (0..count).map(|number| number.to_string()).collect();
            let pairs: Vec<[&[u8]; 2]> = keys
                .iter()
                .zip(&values)
                .map(|(key, value)| [key.as_bytes(), value.as_bytes()])
                .collect();
            db.put_strings(&pairs, None).expect("nothing is busy");
            let last = |parity| (0..count).rev().find(|number| number % 2 == parity);
            for parity in 0..2 {
                let expected = last(parity).map(|number| number.to_string().into_bytes());
                assert_eq!(text(&db, &parity.to_string()), expected);
            }
            assert_eq!(db.len(), 2);
        }
    }

    #[test]
    fn a_transaction_puts_among_what_it_does() {
        let store = Store::new(&Options::default());
        let guard = store.pin();
        let db = store.db(0, &guard, 1_000);
        let keys = ["a", "b"].map(str::to_owned);
        db.atomic(|db| {
            put(db, &keys, b"1");
            db.remove(b"a")
        })
        .expect("nothing is busy");
        assert_eq!((text(&db, "a"), text(&db, "b")), (None, Some(b"1".into())));
    }
}
