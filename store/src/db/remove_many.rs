//! Removing several keys at one moment.

use super::Db;
use crate::error::Error;
use crate::table::Key;
use crate::transaction::Ticket;
use crate::transaction::puts::{Put, Puts};

impl<'g> Db<'g> {
    /// Removes keys, all at one moment; how many of them were there. One that is named again is
    /// there once.
    ///
    /// # Errors
    /// As [`Db::atomic`].
    pub fn remove_many(&self, keys: &[&[u8]]) -> Result<usize, Error> {
        if let [key] = keys {
            return self.remove(key).map(usize::from);
        }
        if let Some(mut removals) = self.removals(keys)?
            && self.scope().put_together(self.database, &mut removals)?
        {
            return Ok(self.note_removed(&removals));
        }
        self.atomic(|db| {
            db.expect_keys(keys.len());
            keys.iter()
                .try_fold(0, |count, key| Ok(count + usize::from(db.remove(key)?)))
        })
    }

    /// None where a key is named twice, or nothing is there to be removed.
    fn removals<'k>(&self, keys: &[&'k [u8]]) -> Result<Option<Puts<'k, 'g>>, Error> {
        if self.in_transaction {
            return Ok(None);
        }
        let puts = self.puts_of(keys, |key| key, |key, _| self.removal(key))?;
        Ok(puts.filter(|puts| puts.iter().any(|put| put.sight.entry.is_some())))
    }

    fn removal<'k>(&self, key: Key<'k>) -> Result<Put<'k, 'g>, Error> {
        let sight = self.scope().look_settled(self.index, &key, Ticket::NONE)?;
        Ok(Put {
            key,
            sight,
            new: None,
        })
    }

    /// How many were there, and had not expired.
    fn note_removed(&self, removals: &Puts<'_, 'g>) -> usize {
        let eviction = self.store.eviction();
        let mut removed = 0;
        for Put { key, sight, .. } in removals {
            let Some(entry) = sight.entry else {
                continue;
            };
            eviction.note_end(key.hash);
            self.note_replaced(entry);
            removed += usize::from(!entry.is_expired(self.now_ms));
        }
        removed
    }
}

#[cfg(test)]
mod tests {
    use crate::value::string;
    use crate::{Db, Draft, Meta, Options, Store};

    fn put(db: &Db<'_>, key: &str, expires_at_ms: Option<u64>) {
        let mut draft = Draft::new(string::integer(1));
        draft.meta = Meta {
            expires_at_ms,
            ..Meta::default()
        };
        db.put(key.as_bytes(), draft).expect("nothing is busy");
    }

    #[test]
    fn what_was_there_is_counted_and_gone() {
        let store = Store::new(&Options::default());
        let guard = store.pin();
        let db = store.db(0, &guard, 1_000);
        for count in [2, 10, 17, 3_000] {
            let names: Vec<String> = (0..count).map(|number| format!("key:{number}")).collect();
            for name in names.iter().step_by(2) {
                put(&db, name, None);
            }
            let expired_before = store.counts().expired_keys;
            put(&db, &names[1], Some(1_500));
            let keys: Vec<&[u8]> = names.iter().map(String::as_bytes).collect();
            let later = store.db(0, &guard, 2_000);
            assert_eq!(later.remove_many(&keys), Ok(names.len().div_ceil(2)));
            assert_eq!(later.remove_many(&keys), Ok(0));
            let expired = store.counts().expired_keys;
            assert_eq!((db.len(), expired), (0, expired_before + 1));
        }
    }

    #[test]
    fn a_key_that_is_named_twice_goes_once() {
        let store = Store::new(&Options::default());
        let guard = store.pin();
        let db = store.db(0, &guard, 1_000);
        put(&db, "a", None);
        put(&db, "b", None);
        assert_eq!(db.remove_many(&[b"a", b"b", b"a"]), Ok(2));
        put(&db, "a", None);
        put(&db, "b", None);
        let in_transaction = db.atomic(|db| db.remove_many(&[b"a", b"none", b"b"]));
        assert_eq!((in_transaction, db.len()), (Ok(2), 0));
    }
}
