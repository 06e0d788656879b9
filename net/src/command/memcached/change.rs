//! Changes: set and its kin, ms; incr, decr, ma; delete, md.

use store::value::same_value;
use store::value::string::{self, Str};
use store::{Change, Draft, Entry, Meta};

use super::stats::Use;
use super::{Call, Count, Expiry, Failure};
use crate::protocol::memcached::{Arithmetic, Delete, Delta, Details, Form, Key, KeyRoom, Mode};
use crate::protocol::memcached::{Number, Status, Store as Item, Stored, Writer};

/// How storing an item went, and what stands at its key afterwards.
type StoreOutcome<'c> = (Status, Option<Entry<'c>>);

impl<'c> Call<'c> {
    /// Stores an item.
    pub(super) fn store(&self, item: &Item<'_>, reply: &mut Writer<'_, '_>) -> Result<(), Failure> {
        let mut room = KeyRoom::new();
        let key = item.key.bytes(&mut room);
        if let Err(full) = self.db.make_room_for(key, key.len() + item.value.len()) {
            if reply.form().removes_old(item) {
                self.db.remove(key)?;
            }
            return Err(full.into());
        }
        let (status, after) = match (item.mode, item.compare) {
            (Mode::Set, None) => self.set(key, item)?,
            (Mode::Set, Some(token)) => self.compare_and_set(key, item, token)?,
            (Mode::Add | Mode::Replace, _) => self.set_if(key, item)?,
            (Mode::Append | Mode::Prepend, _) => self.extend(key, item)?,
        };
        self.note_store(item, status);
        self.note_use(key, Use::Set);
        let value_bytes = match after.and_then(|entry| Str::of(entry).ok()) {
            Some(text) if status == Status::Stored => text.len(),
            _ => item.value.len(),
        };
        let token = match status {
            Status::Stored => self.token_of(after, item.token),
            _ => 0,
        };
        let stored = Stored {
            key,
            token,
            value_bytes: Some(value_bytes),
        };
        reply.status(status, stored);
        Ok(())
    }

    /// The token of what was stored, which may be gone already.
    fn token_of(&self, after: Option<Entry<'_>>, wanted: Option<u64>) -> u64 {
        match after {
            Some(entry) => entry.token(),
            None => wanted.unwrap_or_else(|| self.db.unused_version()),
        }
    }

    fn note_store(&self, item: &Item<'_>, status: Status) {
        self.note(Count::CmdSet);
        if status == Status::Stored {
            self.note(Count::TotalItems);
        }
        if item.mode == Mode::Set && item.compare.is_some() {
            self.note(match status {
                Status::Stored => Count::CasHits,
                Status::Exists => Count::CasBadval,
                _ => Count::CasMisses,
            });
        }
    }

    /// In any case.
    fn set(&self, key: &[u8], item: &Item<'_>) -> Result<StoreOutcome<'c>, store::Error> {
        match self.expiry(item.exptime) {
            Expiry::Past => {
                self.db.remove(key)?;
                Ok((Status::Stored, None))
            }
            Expiry::At(at_ms) => {
                let value = (item.value, self.received);
                let entry = self.db.put_string(key, value, &meta_of(item, at_ms))?;
                Ok((Status::Stored, Some(entry)))
            }
        }
    }

    /// If there is an item, or none.
    fn set_if(&self, key: &[u8], item: &Item<'_>) -> Result<StoreOutcome<'c>, store::Error> {
        let expiry = self.expiry(item.exptime);
        self.db.update_and_see(key, |entry| {
            if entry.is_some() != (item.mode == Mode::Replace) {
                return Ok((Change::Keep, Status::NotStored));
            }
            Ok((self.replaced(item, expiry), Status::Stored))
        })
    }

    /// If the item still has its token, or, where that is asked for, a newer one.
    fn compare_and_set(
        &self,
        key: &[u8],
        item: &Item<'_>,
        token: u64,
    ) -> Result<StoreOutcome<'c>, store::Error> {
        let expiry = self.expiry(item.exptime);
        self.db.update_and_see(key, |entry| {
            let Some(entry) = entry.filter(|entry| self.text_of(*entry).is_some()) else {
                return Ok((Change::Keep, Status::NotFound));
            };
            if token != 0 && entry.token() == token {
                return Ok((self.replaced(item, expiry), Status::Stored));
            }
            if token == 0 || !item.accepts_older || token > entry.token() {
                return Ok((Change::Keep, Status::Exists));
            }
            let mut draft = self.draft(item, entry.expires_at_ms());
            draft.meta.stale = true;
            draft.meta.win_sent = entry.meta().win_sent;
            Ok((Change::Put(draft), Status::Stored))
        })
    }

    /// Appends or prepends to a string, which keeps its flags and its expiry.
    fn extend(&self, key: &[u8], item: &Item<'_>) -> Result<StoreOutcome<'c>, store::Error> {
        let expiry = self.expiry(item.exptime);
        self.db.update_and_see(key, |entry| {
            let Some(entry) = entry else {
                return Ok(match item.vivifies {
                    true => (self.replaced(item, expiry), Status::Stored),
                    false => (Change::Keep, Status::NotStored),
                });
            };
            let Some(old) = Str::of(entry).ok() else {
                return Ok((Change::Keep, Status::NotStored));
            };
            if item.compare.is_some_and(|token| token != entry.token()) {
                return Ok((Change::Keep, Status::Exists));
            }
            let bytes = old.len() + item.value.len();
            if !self.limits.fits(key.len(), entry.client_flags(), bytes) {
                return Ok((Change::Keep, Status::NotStored));
            }
            let extended = match item.mode {
                Mode::Prepend => string::prepend(old, item.value),
                _ => string::append(Some(old), item.value),
            };
            let Ok(value) = extended else {
                return Ok((Change::Keep, Status::NotStored));
            };
            let mut draft = Draft::keeping(entry, value);
            draft.meta.token = item.token;
            Ok((Change::Put(draft), Status::Stored))
        })
    }

    /// A value that was too long to be read.
    pub(super) fn refuse_large(
        &self,
        key: Key<'_>,
        removes: bool,
        reply: &mut Writer<'_, '_>,
    ) -> Result<(), Failure> {
        let mut room = KeyRoom::new();
        let key = key.bytes(&mut room);
        if removes {
            self.db.remove(key)?;
        }
        self.note(Count::StoreTooLarge);
        self.note_use(key, Use::Set);
        reply.status(Status::TooLarge, Stored::at(b""));
        Ok(())
    }

    /// Changes a number, or makes one.
    pub(super) fn arithmetic(
        &self,
        request: &Arithmetic<'_>,
        reply: &mut Writer<'_, '_>,
    ) -> Result<(), Failure> {
        let mut room = KeyRoom::new();
        let key = request.key.bytes(&mut room);
        let has_memory = self.db.make_room_for(key, key.len());
        let (outcome, after) = self.db.update_and_see(key, |entry| {
            let (change, outcome) = match entry {
                Some(entry) => self.changed_number(entry, request),
                None => self.first_number(request),
            };
            if let Ok((value, before, _)) = outcome
                && before.is_none_or(|before| is_longer(value, before))
            {
                has_memory?;
            }
            Ok((change, outcome))
        })?;
        let (hits, misses) = match request.change {
            Delta::Increment(_) => (Count::IncrHits, Count::IncrMisses),
            Delta::Decrement(_) => (Count::DecrHits, Count::DecrMisses),
        };
        match outcome {
            Ok((value, before, details)) => {
                match (before, after) {
                    (Some(before), Some(after)) if !is_longer(value, before) => {
                        after.take_over_use(before);
                    }
                    // As in memcached, what does not take the place of the number is a new item.
                    _ => self.note(Count::TotalItems),
                }
                if !details.is_made {
                    self.note(hits);
                }
                let token = self.token_of(after, request.token);
                reply.number(&Number {
                    key,
                    value,
                    token,
                    details,
                });
            }
            Err(status) => {
                if status == Status::NotFound {
                    self.note(misses);
                }
                reply.status(status, Stored::at(key));
            }
        }
        Ok(())
    }

    fn changed_number<'e>(
        &self,
        entry: Entry<'e>,
        request: &Arithmetic<'_>,
    ) -> (Change<'e>, NumberOutcome<'e>) {
        let refused = |status| (Change::Keep, Err(status));
        let Some(old) = Str::of(entry).ok().filter(|old| !old.is_empty()) else {
            return refused(Status::NotANumber);
        };
        if request.compare.is_some_and(|token| token != entry.token()) {
            return refused(Status::Exists);
        }
        let changed = match request.change {
            Delta::Increment(by) => string::wrapping_increment(old, by),
            Delta::Decrement(by) => string::saturating_decrement(old, by),
        };
        let Ok((number, value)) = changed else {
            return refused(Status::NotANumber);
        };
        let before = entry.meta();
        let expiry = match request.touch {
            Some(exptime) => self.expiry(exptime),
            None => Expiry::At(before.expires_at_ms),
        };
        let mut details = Details {
            ttl_before_s: self.ttl_s(before.expires_at_ms),
            ..Details::default()
        };
        let Expiry::At(expires_at_ms) = expiry else {
            details.ttl_s = Some(0);
            return (Change::Remove, Ok((number, Some(entry), details)));
        };
        details.ttl_s = self.ttl_s(expires_at_ms);
        // As in memcached, a number that is no longer than before takes its place as it is.
        let is_longer = is_longer(number, entry);
        let meta = Meta {
            expires_at_ms,
            token: request.token,
            stale: before.stale && !is_longer,
            win_sent: before.win_sent && !is_longer,
            ..before
        };
        let draft = Draft { value, meta };
        (Change::Put(draft), Ok((number, Some(entry), details)))
    }

    fn first_number<'e>(&self, request: &Arithmetic<'_>) -> (Change<'e>, NumberOutcome<'e>) {
        let Some((number, vivify)) = request.initial else {
            return (Change::Keep, Err(Status::NotFound));
        };
        let details = self.made_details(vivify, request.touch);
        let expiry = self.expiry(vivify.final_exptime(request.touch));
        let Expiry::At(expires_at_ms) = expiry else {
            return (Change::Keep, Ok((number, None, details)));
        };
        let mut draft = Draft::new(string::unsigned_text(number));
        draft.meta.expires_at_ms = expires_at_ms;
        draft.meta.token = request.token;
        (Change::Put(draft), Ok((number, None, details)))
    }

    /// Removes an item, or what is asked for of it.
    pub(super) fn delete(
        &self,
        request: &Delete<'_>,
        reply: &mut Writer<'_, '_>,
    ) -> Result<(), Failure> {
        let mut room = KeyRoom::new();
        let key = request.key.bytes(&mut room);
        let ((status, before), after) = self.db.update_and_see(key, |entry| {
            let Some(entry) = entry else {
                return Ok((Change::Keep, (Status::NotFound, None)));
            };
            if request.compare.is_some_and(|token| token != entry.token()) {
                return Ok((Change::Keep, (Status::Exists, None)));
            }
            let change = self.deleted(entry, request);
            Ok((change, (Status::Deleted, Some(entry))))
        })?;
        match (before, after) {
            (Some(_), Some(_)) if request.empties.is_some() => self.note(Count::TotalItems),
            (Some(before), Some(after)) => after.take_over_use(before),
            _ => {}
        }
        match status {
            // As in memcached, what is marked is not deleted.
            Status::Deleted if request.invalidates => {}
            // As in memcached, this is a miss to md alone.
            Status::Exists if matches!(reply.form(), Form::Binary(_)) => {}
            Status::Deleted => self.note(Count::DeleteHits),
            _ => self.note(Count::DeleteMisses),
        }
        self.note_use(key, Use::Delete);
        reply.status(status, Stored::at(key));
        Ok(())
    }

    /// The item in place of whatever is there.
    fn replaced<'b>(&self, item: &Item<'b>, expiry: Expiry) -> Change<'b> {
        match expiry {
            Expiry::Past => Change::Remove,
            Expiry::At(at_ms) => Change::Put(self.draft(item, at_ms)),
        }
    }

    fn draft<'b>(&self, item: &Item<'b>, expires_at_ms: Option<u64>) -> Draft<'b> {
        Draft {
            value: string::received(item.value, self.received),
            meta: meta_of(item, expires_at_ms),
        }
    }

    /// What a delete makes of an entry.
    fn deleted<'e>(&self, entry: Entry<'e>, request: &Delete<'_>) -> Change<'e> {
        let expiry = match (request.touch, request.empties) {
            (Some(exptime), _) => self.expiry(exptime),
            (None, Some(_)) => Expiry::At(None),
            (None, None) => Expiry::At(entry.expires_at_ms()),
        };
        let Expiry::At(expires_at_ms) = expiry else {
            return Change::Remove;
        };
        let (value, client_flags) = match (request.empties, request.invalidates) {
            (Some(client_flags), _) => (string::bytes(b""), client_flags),
            (None, true) => (same_value(entry), entry.client_flags()),
            (None, false) => return Change::Remove,
        };
        // What is emptied and not invalidated is the same item still.
        let kept_token = (!request.invalidates).then(|| entry.token());
        Change::Put(Draft {
            value,
            meta: Meta {
                expires_at_ms,
                client_flags,
                token: request.token.or(kept_token),
                stale: request.invalidates,
                win_sent: false,
            },
        })
    }
}

/// The number, the entry it was in, and what else there is to tell; or why there is none.
type NumberOutcome<'e> = Result<(u64, Option<Entry<'e>>, Details), Status>;

/// Whether a number has more digits than what is in an entry has bytes.
fn is_longer(number: u64, entry: Entry<'_>) -> bool {
    let digits = number.checked_ilog10().unwrap_or(0) as usize + 1;
    Str::of(entry).is_ok_and(|text| digits > text.len())
}

/// What stands beside an item's value.
fn meta_of(item: &Item<'_>, expires_at_ms: Option<u64>) -> Meta {
    Meta {
        expires_at_ms,
        client_flags: item.client_flags,
        token: item.token,
        ..Meta::default()
    }
}
