//! Memcached's requests, carried out over database 0.
//!
//! Both protocols see the same keys. What holds another type than a string does not exist for a
//! Memcached client that reads or compares, is in the way of one that adds, and goes when it is
//! overwritten or deleted.
//!
//! A token is the version of an entry, so that every change from either side makes a new one;
//! touch and gat alone carry the old token over.
//!
//! Differences to memcached, all on purpose: decr does not pad with blanks (RESP could not
//! increment the result), an item that is stored with an expiry in the past is not stored, and
//! `stats` tells only what is so.

use store::value::same_value;
use store::value::string::{self, Str};
use store::{Change, Db, Draft, Entry, Meta};

use crate::protocol::memcached::{Arithmetic, Exptime, Keys, Limits, Line, Mode, Request};
use crate::protocol::memcached::{Store as Item, Writer};

mod state;
mod stats;

pub(crate) use state::{Count, State};
pub(crate) use stats::Facts;

/// The version told to clients, who derive from it what they may ask for.
const VERSION_LINE: Line = "VERSION 1.6.45";

const STORED: Line = "STORED";
const NOT_STORED: Line = "NOT_STORED";
const EXISTS: Line = "EXISTS";
const NOT_FOUND: Line = "NOT_FOUND";
const DELETED: Line = "DELETED";
const TOUCHED: Line = "TOUCHED";
const OK: Line = "OK";
const RESET: Line = "RESET";
const END: Line = "END";
const NOT_A_NUMBER: Line = "CLIENT_ERROR cannot increment or decrement non-numeric value";
const TOO_LARGE: Line = "SERVER_ERROR object too large for cache";
const OUT_OF_MEMORY: Line = "SERVER_ERROR out of memory storing object";

/// What carrying out a request led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome<'b> {
    /// The reply, if the client wants one, is written.
    Replied,
    /// The start of a long reply is written: send some of it, then carry out what is left.
    Partly(Request<'b>),
    /// A transaction was in the way, nothing was written: run the request again a little later.
    Busy,
    /// The connection is to be closed once its replies are sent.
    Closing,
}

/// What a request is carried out on.
#[derive(Debug)]
pub(crate) struct Call<'c> {
    /// The engine.
    pub(crate) store: &'c store::Store,
    /// Its database 0, at the time of this request.
    pub(crate) db: Db<'c>,
    /// What all Memcached clients share.
    pub(crate) state: &'c State,
    /// The number of this connection thread.
    pub(crate) thread: usize,
    /// What a client may store.
    pub(crate) limits: Limits,
    /// A reply that has become as long as this, in bytes, is sent before it grows further: a
    /// line of keys can ask for more than there is memory for.
    pub(crate) reply_bytes_max: usize,
}

/// Why nothing was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    Busy,
    OutOfMemory,
}

impl From<store::Error> for Failure {
    fn from(error: store::Error) -> Failure {
        match error {
            store::Error::OutOfMemory => Failure::OutOfMemory,
            store::Error::Busy => Failure::Busy,
            other => unreachable!("no decision fails with {other}"),
        }
    }
}

/// Carries out a request and writes its reply. `facts` is called if the reply needs them.
pub(crate) fn execute<'b>(
    request: &Request<'b>,
    call: &Call<'_>,
    facts: impl FnOnce() -> Facts,
    out: &mut Vec<u8>,
) -> Outcome<'b> {
    let len_before = out.len();
    match call.run(request, facts, &mut Writer::new(out)) {
        Ok(_) if *request == Request::Quit => Outcome::Closing,
        Ok(None) => Outcome::Replied,
        Ok(Some(rest)) => Outcome::Partly(rest),
        Err(Failure::Busy) => {
            out.truncate(len_before);
            Outcome::Busy
        }
        Err(Failure::OutOfMemory) => {
            call.note(Count::StoreNoMemory);
            Writer::new(out).line_unless(request.noreply(), OUT_OF_MEMORY);
            Outcome::Replied
        }
    }
}

/// How many keys are fetched into the cache together.
pub(crate) const BATCH_KEYS: usize = 64;

/// Fetches what `keys` lead to into the cache, where there are several.
pub(crate) fn prefetch<'b>(db: &Db<'_>, keys: impl Iterator<Item = &'b [u8]> + Clone) {
    if keys.clone().nth(1).is_none() {
        return;
    }
    keys.clone().for_each(|key| db.prefetch_bucket(key));
    keys.for_each(|key| db.prefetch_entry(key));
}

impl<'c> Call<'c> {
    /// Carries out a request, or its beginning: then what is left of it is returned.
    fn run<'b>(
        &self,
        request: &Request<'b>,
        facts: impl FnOnce() -> Facts,
        reply: &mut Writer<'_>,
    ) -> Result<Option<Request<'b>>, Failure> {
        match *request {
            Request::Get {
                mut keys,
                with_tokens,
            } => {
                let is_whole = self.get(&mut keys, with_tokens, reply);
                return Ok((!is_whole).then_some(Request::Get { keys, with_tokens }));
            }
            Request::GetAndTouch {
                exptime,
                mut keys,
                with_tokens,
            } => {
                let is_whole = self.get_and_touch(&mut keys, exptime, with_tokens, reply)?;
                return Ok((!is_whole).then_some(Request::GetAndTouch {
                    exptime,
                    keys,
                    with_tokens,
                }));
            }
            Request::Store(item) => self.store(&item, reply)?,
            Request::StoreTooLarge { mode, key, noreply } => {
                self.refuse_large(mode, key, noreply, reply)?;
            }
            Request::Arithmetic {
                key,
                change,
                noreply,
            } => self.arithmetic(key, change, noreply, reply)?,
            Request::Delete { key, noreply } => self.delete(key, noreply, reply)?,
            Request::Touch {
                key,
                exptime,
                noreply,
            } => self.touch(key, exptime, noreply, reply)?,
            Request::FlushAll { exptime, noreply } => {
                self.state.flush(self.store, exptime, self.db.now_ms());
                self.note(Count::CmdFlush);
                reply.line_unless(noreply, OK);
            }
            Request::Version => reply.line(VERSION_LINE),
            Request::Verbosity { noreply } => reply.line_unless(noreply, OK),
            Request::Stats { what } => stats::write(self, what, &facts(), reply),
            Request::Quit => {}
            Request::Refused { refusal, noreply } => reply.line_unless(noreply, refusal.line()),
        }
        Ok(None)
    }

    fn note(&self, count: Count) {
        self.state.note(self.thread, count, 1);
    }

    /// Replies with the items at `keys`; whether that was done with all of them.
    fn get(&self, keys: &mut Keys<'_>, with_tokens: bool, reply: &mut Writer<'_>) -> bool {
        let len_max = reply.len() + self.reply_bytes_max;
        let (mut hits, mut misses) = (0_u64, 0);
        while reply.len() <= len_max
            && let Some(key) = keys.next()
        {
            if (hits + misses + 1).is_multiple_of(BATCH_KEYS as u64) {
                let ahead = *keys;
                prefetch(&self.db, ahead.take(BATCH_KEYS));
            }
            match self.db.read(key).and_then(string_of) {
                Some(item) => {
                    write_item(item, with_tokens, reply);
                    hits += 1;
                }
                None => misses += 1,
            }
        }
        self.state.note(self.thread, Count::CmdGet, hits + misses);
        self.state.note(self.thread, Count::GetHits, hits);
        self.state.note(self.thread, Count::GetMisses, misses);
        self.end_items(reply, len_max)
    }

    /// As [`Call::get`], with another expiry for the items.
    fn get_and_touch(
        &self,
        keys: &mut Keys<'_>,
        exptime: Exptime,
        with_tokens: bool,
        reply: &mut Writer<'_>,
    ) -> Result<bool, Failure> {
        let len_max = reply.len() + self.reply_bytes_max;
        let (mut hits, mut misses) = (0_u64, 0);
        while reply.len() <= len_max
            && let Some(key) = keys.next()
        {
            match self.change_expiry(key, exptime)? {
                Some(item) => {
                    write_item(item, with_tokens, reply);
                    hits += 1;
                }
                None => misses += 1,
            }
        }
        self.state.note(self.thread, Count::CmdTouch, hits + misses);
        self.state.note(self.thread, Count::TouchHits, hits);
        self.state.note(self.thread, Count::TouchMisses, misses);
        Ok(self.end_items(reply, len_max))
    }

    /// Ends a list of items, unless it stopped because it had become too long; whether it did end.
    fn end_items(&self, reply: &mut Writer<'_>, len_max: usize) -> bool {
        let is_end = reply.len() <= len_max;
        if is_end {
            reply.line(END);
        }
        is_end
    }

    fn touch(
        &self,
        key: &[u8],
        exptime: Exptime,
        noreply: bool,
        reply: &mut Writer<'_>,
    ) -> Result<(), Failure> {
        let was_there = self.change_expiry(key, exptime)?.is_some();
        self.note(Count::CmdTouch);
        let (count, line) = match was_there {
            true => (Count::TouchHits, TOUCHED),
            false => (Count::TouchMisses, NOT_FOUND),
        };
        self.note(count);
        reply.line_unless(noreply, line);
        Ok(())
    }

    /// Gives a string another expiry, under the same token; what it was before, if it was there.
    fn change_expiry(
        &self,
        key: &[u8],
        exptime: Exptime,
    ) -> Result<Option<StringEntry<'c>>, Failure> {
        let expiry = self.expiry(exptime);
        let found = self.db.update(key, |entry| {
            let Some((entry, text)) = entry.and_then(string_of) else {
                return Ok((Change::Keep, None));
            };
            let change = match expiry {
                Expiry::Past => Change::Remove,
                Expiry::At(at_ms) if at_ms == entry.expires_at_ms() => Change::Keep,
                Expiry::At(expires_at_ms) => Change::Put(Draft {
                    value: same_value(entry),
                    meta: Meta {
                        expires_at_ms,
                        token: Some(entry.token()),
                        ..entry.meta()
                    },
                }),
            };
            Ok((change, Some((entry, text))))
        })?;
        Ok(found)
    }

    fn store(&self, item: &Item<'_>, reply: &mut Writer<'_>) -> Result<(), Failure> {
        if self.store.is_full() {
            if item.mode == Mode::Set {
                // As in memcached, an older value must not outlive the one that had no place.
                self.db.remove(item.key)?;
            }
            return Err(Failure::OutOfMemory);
        }
        let line = match item.mode {
            Mode::Set => self.set(item),
            Mode::Add => self.set_if(item, |entry| match entry {
                Some(_) => Err(NOT_STORED),
                None => Ok(()),
            }),
            Mode::Replace => self.set_if(item, |entry| match entry {
                Some(_) => Ok(()),
                None => Err(NOT_STORED),
            }),
            Mode::CompareAndSwap(token) => {
                self.set_if(item, |entry| match entry.and_then(string_of) {
                    Some((entry, _)) if entry.token() == token => Ok(()),
                    Some(_) => Err(EXISTS),
                    None => Err(NOT_FOUND),
                })
            }
            Mode::Append | Mode::Prepend => self.extend(item),
        }?;
        self.note(Count::CmdSet);
        if line == STORED {
            self.note(Count::TotalItems);
        }
        if let Mode::CompareAndSwap(_) = item.mode {
            self.note(match line {
                STORED => Count::CasHits,
                EXISTS => Count::CasBadval,
                _ => Count::CasMisses,
            });
        }
        reply.line_unless(item.noreply, line);
        Ok(())
    }

    fn set(&self, item: &Item<'_>) -> Result<Line, store::Error> {
        match self.expiry(item.exptime) {
            Expiry::Past => self.db.remove(item.key).map(|_| STORED),
            Expiry::At(at_ms) => self.db.put(item.key, draft(item, at_ms)).map(|()| STORED),
        }
    }

    /// Stores an item in place of what was there, unless that is not as it should be.
    fn set_if(
        &self,
        item: &Item<'_>,
        check: impl Fn(Option<Entry<'c>>) -> Result<(), Line>,
    ) -> Result<Line, store::Error> {
        let expiry = self.expiry(item.exptime);
        self.db.update(item.key, |entry| {
            if let Err(line) = check(entry) {
                return Ok((Change::Keep, line));
            }
            let change = match (expiry, entry) {
                (Expiry::Past, Some(_)) => Change::Remove,
                (Expiry::Past, None) => Change::Keep,
                (Expiry::At(at_ms), _) => Change::Put(draft(item, at_ms)),
            };
            Ok((change, STORED))
        })
    }

    /// Appends or prepends to a string, which keeps its flags and its expiry.
    fn extend(&self, item: &Item<'_>) -> Result<Line, store::Error> {
        self.db.update(item.key, |entry| {
            let Some((entry, old)) = entry.and_then(string_of) else {
                return Ok((Change::Keep, NOT_STORED));
            };
            let bytes = old.len() + item.value.len();
            if !self.limits.fits(item.key, entry.client_flags(), bytes) {
                return Ok((Change::Keep, NOT_STORED));
            }
            let extended = match item.mode {
                Mode::Prepend => string::prepend(old, item.value),
                _ => string::append(Some(old), item.value),
            };
            Ok(match extended {
                Ok(value) => (Change::Put(Draft::keeping(entry, value)), STORED),
                Err(_) => (Change::Keep, NOT_STORED),
            })
        })
    }

    fn refuse_large(
        &self,
        mode: Mode,
        key: &[u8],
        noreply: bool,
        reply: &mut Writer<'_>,
    ) -> Result<(), Failure> {
        if mode == Mode::Set {
            // As in memcached, an older value must not outlive the one that had no place.
            self.db.remove(key)?;
        }
        self.note(Count::StoreTooLarge);
        reply.line_unless(noreply, TOO_LARGE);
        Ok(())
    }

    fn arithmetic(
        &self,
        key: &[u8],
        change: Arithmetic,
        noreply: bool,
        reply: &mut Writer<'_>,
    ) -> Result<(), Failure> {
        if self.store.is_full() {
            return Err(Failure::OutOfMemory);
        }
        let result = self.db.update(key, |entry| {
            let Some(entry) = entry else {
                return Ok((Change::Keep, Err(NOT_FOUND)));
            };
            let Some((_, old)) = string_of(entry) else {
                return Ok((Change::Keep, Err(NOT_A_NUMBER)));
            };
            let changed = match change {
                Arithmetic::Increment(by) => string::wrapping_increment(old, by),
                Arithmetic::Decrement(by) => string::saturating_decrement(old, by),
            };
            Ok(match changed {
                Ok((number, value)) => (Change::Put(Draft::keeping(entry, value)), Ok(number)),
                Err(_) => (Change::Keep, Err(NOT_A_NUMBER)),
            })
        })?;
        let (hits, misses) = match change {
            Arithmetic::Increment(_) => (Count::IncrHits, Count::IncrMisses),
            Arithmetic::Decrement(_) => (Count::DecrHits, Count::DecrMisses),
        };
        match result {
            Ok(_) => self.note(hits),
            Err(NOT_FOUND) => self.note(misses),
            Err(_) => {}
        }
        match result {
            Ok(number) if !noreply => reply.number(number),
            Ok(_) => {}
            Err(line) => reply.line_unless(noreply, line),
        }
        Ok(())
    }

    fn delete(&self, key: &[u8], noreply: bool, reply: &mut Writer<'_>) -> Result<(), Failure> {
        let (count, line) = match self.db.remove(key)? {
            true => (Count::DeleteHits, DELETED),
            false => (Count::DeleteMisses, NOT_FOUND),
        };
        self.note(count);
        reply.line_unless(noreply, line);
        Ok(())
    }

    fn expiry(&self, exptime: Exptime) -> Expiry {
        let now_ms = self.db.now_ms();
        match exptime.at_ms(now_ms) {
            Some(at_ms) if at_ms <= now_ms => Expiry::Past,
            other => Expiry::At(other),
        }
    }
}

/// When a key is to expire.
#[derive(Clone, Copy, Debug)]
enum Expiry {
    /// It should be gone already.
    Past,
    /// Then, in milliseconds since 1970; none: never.
    At(Option<u64>),
}

fn draft<'b>(item: &Item<'b>, expires_at_ms: Option<u64>) -> Draft<'b> {
    Draft {
        value: string::bytes(item.value),
        meta: Meta {
            expires_at_ms,
            client_flags: item.client_flags,
            ..Meta::default()
        },
    }
}

/// An entry with the string it holds.
type StringEntry<'g> = (Entry<'g>, Str<'g>);

/// The string an entry holds, unless it holds something else.
fn string_of(entry: Entry<'_>) -> Option<StringEntry<'_>> {
    let text = Str::of(entry).ok()?;
    Some((entry, text))
}

fn write_item((entry, text): StringEntry<'_>, with_token: bool, reply: &mut Writer<'_>) {
    let token = with_token.then(|| entry.token());
    let head = (entry.key(), entry.client_flags(), token);
    reply.value(head, text.len(), text.parts());
}

#[cfg(test)]
mod tests;
