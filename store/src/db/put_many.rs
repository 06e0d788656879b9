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
use crate::transaction::puts::{Put, Puts};
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
        if let Some(puts) = self.flat_puts(pairs)?
            && self.scope().put_together(self.database, puts)?
        {
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
        let mut puts = Puts::with_capacity(pairs.len());
        let mut named = Named::new(pairs.len());
        let mut ahead = Ahead::default();
        for chunk in pairs.chunks(KEYS_AHEAD) {
            // Those of a short request were looked for before it began.
            if pairs.len() > KEYS_AHEAD {
                self.look_ahead(chunk.iter().map(|[key, _]| *key), &mut ahead);
            }
            for (at, [key, value]) in chunk.iter().enumerate() {
                // A rest here holds nobody up.
                pace::step_at(puts.len());
                let key = match pairs.len() > KEYS_AHEAD {
                    true => self.expecting(&ahead, at).key(key),
                    false => self.key(key),
                };
                let made = match named.is_new(&puts, &key) {
                    true => self.flat_put(key, value).map(Some),
                    false => Ok(None),
                };
                match made {
                    Ok(Some(put)) => puts.push(put),
                    given_up => {
                        let made = puts.into_iter().map(|put| put.new);
                        made.for_each(|new| Provisional::of_flat(new).discard());
                        return given_up.map(|_| None);
                    }
                }
            }
        }
        Ok(Some(puts))
    }

    fn flat_put<'k>(&self, key: Key<'k>, bytes: &[u8]) -> Result<Put<'k, 'g>, Error> {
        let sight = self.scope().look_settled(self.index, &key, Ticket::NONE)?;
        let version = thread::next_version(sight.version_floor());
        let eviction = self.store.eviction();
        let usage = match sight.entry {
            Some(old) => old.usage().rewritten(self.present()),
            None => eviction.admit(key.hash, self.present(), self.guard),
        };
        let new = publish::flat_string((key.bytes, version), bytes, None, usage);
        match sight.entry {
            Some(_) => eviction.note_request(key.hash, new, Access::Write),
            None => self.note_new(&key, new),
        }
        let is_small = usage.is_small();
        Ok(Put {
            key,
            sight,
            new,
            is_small,
        })
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
    fn is_new(&mut self, puts: &Puts<'_, '_>, key: &Key<'_>) -> bool {
        match self {
            Named::Few => !puts
                .iter()
                .any(|put| put.key.hash == key.hash && put.key.bytes == key.bytes),
            Named::Many(hashes) => hashes.insert(key.hash),
        }
    }
}
