//! Reads: get and its kin, mg, me, touch.

use std::ops::ControlFlow;

use smallvec::SmallVec;
use store::value::same_value;
use store::value::string::{self, Str};
use store::{Change, Draft, Entry, Meta};

use super::stats::Use;
use super::text::{Text, TextEntry};
use super::{Call, Count, Expiry, Failure};
use crate::protocol::memcached::{Details, Exptime, Get, Item, Key, KeyRoom, Status, Stored};
use crate::protocol::memcached::{Vivify, Words, Writer, overhead_bytes};

/// How many keys are fetched into the cache together.
const BATCH_KEYS: usize = 64;

impl<'c> Call<'c> {
    /// Replies with the items at `keys`; whether that was done with all of them.
    pub(super) fn get_many(
        &self,
        keys: &mut Words<'_>,
        with_tokens: bool,
        reply: &mut Writer<'_, '_>,
    ) -> bool {
        let len_max = reply.len() + self.reply_bytes_max;
        let (mut hits, mut misses) = (0_u64, 0);
        let mut is_fetched = self.is_fetched;
        while reply.len() <= len_max && !keys.is_empty() {
            let start = *keys;
            let batch: SmallVec<[&[u8]; BATCH_KEYS]> = keys.take(BATCH_KEYS).collect();
            let mut answered = 0;
            let mut answer = |key: &[u8], found: Option<Entry<'c>>| {
                answered += 1;
                match found.and_then(|entry| self.with_text(entry)) {
                    Some(found) => {
                        write_value(key, &found, with_tokens, reply);
                        hits += 1;
                        self.note_use(key, Use::Hit);
                    }
                    None => {
                        misses += 1;
                        self.note_use(key, Use::Miss);
                    }
                }
                match reply.len() <= len_max {
                    true => ControlFlow::Continue(()),
                    false => ControlFlow::Break(()),
                }
            };
            if batch.len() > 1 && !is_fetched {
                self.db.read_batch(&batch, answer);
            } else {
                let mut keys = batch.iter();
                let _ = keys.try_for_each(|&key| answer(key, self.db.read(key)));
            }
            is_fetched = false;
            if answered < batch.len() {
                *keys = start.behind(answered);
            }
        }
        self.state.note(self.thread, Count::CmdGet, hits + misses);
        self.state.note(self.thread, Count::GetHits, hits);
        self.state.note(self.thread, Count::GetMisses, misses);
        end_values(reply, len_max)
    }

    /// As [`Call::get_many`], with another expiry for the items.
    pub(super) fn get_and_touch_many(
        &self,
        keys: &mut Words<'_>,
        exptime: Exptime,
        with_tokens: bool,
        reply: &mut Writer<'_, '_>,
    ) -> Result<bool, Failure> {
        let len_max = reply.len() + self.reply_bytes_max;
        while reply.len() <= len_max
            && let Some(key) = keys.next()
        {
            let found = self.change_expiry(key, exptime)?;
            self.note_touch(found.is_some());
            self.note_use(key, Use::of_get(found.is_some()));
            if let Some(found) = found {
                write_value(key, &found, with_tokens, reply);
            }
        }
        Ok(end_values(reply, len_max))
    }

    /// touch.
    pub(super) fn touch(
        &self,
        key: Key<'_>,
        exptime: Exptime,
        reply: &mut Writer<'_, '_>,
    ) -> Result<(), Failure> {
        let found = self.change_expiry(key.bytes(&mut KeyRoom::new()), exptime)?;
        self.note_touch(found.is_some());
        match found {
            Some((entry, _)) => reply.touched(entry.client_flags(), entry.token()),
            None => reply.status(Status::NotFound, Stored::at(b"")),
        }
        Ok(())
    }

    /// Gives a text another expiry, under the same token; what it was before, if it was there.
    fn change_expiry(
        &self,
        key: &[u8],
        exptime: Exptime,
    ) -> Result<Option<TextEntry<'c>>, Failure> {
        let expiry = self.expiry(exptime);
        let (found, after) = self.db.update_and_see(key, |entry| {
            let Some(found) = entry.and_then(|entry| self.with_text(entry)) else {
                return Ok((Change::Keep, None));
            };
            Ok((with_expiry(found.0, expiry), Some(found)))
        })?;
        if let (Some((before, _)), Some(after)) = (&found, after) {
            after.take_over_use(*before);
            self.db.note_use(after);
        }
        Ok(found)
    }

    fn note_touch(&self, was_there: bool) {
        self.note(Count::CmdTouch);
        self.note(match was_there {
            true => Count::TouchHits,
            false => Count::TouchMisses,
        });
    }

    /// One item, for clients that can say more.
    pub(super) fn get(&self, get: &Get<'_>, reply: &mut Writer<'_, '_>) -> Result<(), Failure> {
        let mut room = KeyRoom::new();
        let key = get.key.bytes(&mut room);
        if get.touch.is_none() && get.recache.is_none() {
            match self.look_up(key, get) {
                Lookup::Seen(seen) => {
                    self.tell(key, get, Some(&seen), reply);
                    return Ok(());
                }
                Lookup::Missed if get.vivify.is_none() => {
                    self.tell(key, get, None, reply);
                    return Ok(());
                }
                Lookup::Missed | Lookup::Changes => {}
            }
        }
        let mut get = *get;
        // As in memcached, what there is no memory for is a miss.
        if get.vivify.is_some() && self.db.make_room_for(key, key.len()).is_err() {
            get.vivify = None;
        }
        let seen = self.get_and_change(key, &get)?;
        self.tell(key, &get, seen.as_ref(), reply);
        Ok(())
    }

    /// Replies with what was seen at a key, or that nothing was.
    fn tell(&self, key: &[u8], get: &Get<'_>, seen: Option<&Seen<'_>>, reply: &mut Writer<'_, '_>) {
        self.note_get(get, seen.is_some());
        self.note_use(key, Use::of_get(seen.is_some()));
        match seen {
            Some(seen) => reply.item(&seen.item(key, get), |out| seen.text.append_to(out)),
            None => reply.miss(key),
        }
    }

    fn note_get(&self, get: &Get<'_>, was_there: bool) {
        // As in memcached, mg touches only what is there.
        if get.touch.is_some() && (was_there || !get.knows_stale) {
            return self.note_touch(was_there);
        }
        self.note(Count::CmdGet);
        self.note(match was_there {
            true => Count::GetHits,
            false => Count::GetMisses,
        });
    }

    /// The item at `key`, if reading it is all there is to do.
    fn look_up(&self, key: &[u8], get: &Get<'_>) -> Lookup<'c> {
        let db = self.db.without_noting_use();
        let Some((entry, text)) = db.read(key).and_then(|entry| self.with_text(entry)) else {
            return Lookup::Missed;
        };
        let mut details = Details::default();
        if get.knows_stale {
            let meta = entry.meta();
            if meta.stale && !meta.win_sent {
                return Lookup::Changes;
            }
            details = self.details(entry, &meta);
        }
        if get.notes_use {
            self.db.note_use(entry);
        }
        Lookup::Seen(Seen {
            text,
            client_flags: entry.client_flags(),
            token: entry.token(),
            details,
        })
    }

    /// What is known of an entry that does not change.
    fn details(&self, entry: Entry<'_>, meta: &Meta) -> Details {
        let ttl_s = self.ttl_s(meta.expires_at_ms);
        Details {
            ttl_before_s: ttl_s,
            ttl_s,
            idle_s: entry.idle_ms(self.db.now_ms()) / 1000,
            was_fetched: entry.was_fetched(),
            is_stale: meta.stale,
            win_sent: meta.win_sent,
            ..Details::default()
        }
    }

    /// How long something lives still, in seconds: memcached's clock ticks once a second.
    pub(super) fn ttl_s(&self, expires_at_ms: Option<u64>) -> Option<u64> {
        let left_ms = expires_at_ms?.saturating_sub(self.db.now_ms());
        Some(left_ms.div_ceil(1000))
    }

    /// One item that may get another expiry, may be made, or may be won.
    fn get_and_change(&self, key: &[u8], get: &Get<'_>) -> Result<Option<Seen<'c>>, Failure> {
        let (seen, after) = self.db.update_and_see(key, |entry| {
            let Some(entry) = entry else {
                return Ok(self.vivified(get));
            };
            let Some((entry, text)) = self.with_text(entry) else {
                return Ok((Change::Keep, None));
            };
            let (change, details) = self.changed_by_get(entry, get);
            let seen = Seen {
                text,
                client_flags: entry.client_flags(),
                token: entry.token(),
                details,
            };
            Ok((change, Some((seen, Some(entry)))))
        })?;
        let Some((mut seen, before)) = seen else {
            return Ok(None);
        };
        if let Some(after) = after {
            match before {
                Some(before) => after.take_over_use(before),
                None => {
                    seen.token = after.token();
                    self.note(Count::TotalItems);
                }
            }
            if get.notes_use {
                self.db.note_use(after);
            }
        }
        Ok(Some(seen))
    }

    /// What a read that may change an entry makes of it.
    fn changed_by_get<'e>(&self, entry: Entry<'e>, get: &Get<'_>) -> (Change<'e>, Details) {
        let meta = entry.meta();
        let mut details = self.details(entry, &meta);
        let expiry = match get.touch {
            Some(exptime) => self.expiry(exptime),
            None => Expiry::At(meta.expires_at_ms),
        };
        details.ttl_s = match expiry {
            Expiry::Past => Some(0),
            Expiry::At(at_ms) => self.ttl_s(at_ms),
        };
        if get.knows_stale && !meta.win_sent {
            details.has_won = meta.stale || self.is_due(get, &details);
        }
        let change = match expiry {
            Expiry::At(expires_at_ms) if details.has_won => Change::Put(Draft {
                value: same_value(entry),
                meta: Meta {
                    expires_at_ms,
                    token: Some(entry.token()),
                    win_sent: true,
                    ..meta
                },
            }),
            other => with_expiry(entry, other),
        };
        (change, details)
    }

    /// Whether so little time is left that a client is to make the item anew.
    fn is_due(&self, get: &Get<'_>, details: &Details) -> bool {
        let ttl_s = match get.touches_first {
            true => details.ttl_s,
            false => details.ttl_before_s,
        };
        let least_s = get.recache.and_then(|exptime| {
            let at_ms = exptime.at_ms(self.db.now_ms());
            self.ttl_s(at_ms)
        });
        matches!((ttl_s, least_s), (Some(left), Some(least)) if left < least)
    }

    /// The empty item that is made where there is none.
    fn vivified<'e>(&self, get: &Get<'_>) -> (Change<'e>, Option<(Seen<'c>, Option<Entry<'c>>)>) {
        let Some(vivify) = get.vivify else {
            return (Change::Keep, None);
        };
        let expiry = self.expiry(vivify.final_exptime(get.touch));
        let details = Details {
            has_won: true,
            ..self.made_details(vivify, get.touch)
        };
        let seen = Seen {
            text: Text::String(Str::from_slice(b"")),
            client_flags: 0,
            token: get.token.unwrap_or_else(|| self.db.unused_version()),
            details,
        };
        let change = match expiry {
            Expiry::Past => Change::Keep,
            Expiry::At(expires_at_ms) => Change::Put(Draft {
                value: string::bytes(b""),
                meta: Meta {
                    expires_at_ms,
                    token: get.token,
                    win_sent: true,
                    ..Meta::default()
                },
            }),
        };
        (change, Some((seen, None)))
    }

    /// What is known of an item that a request makes.
    pub(super) fn made_details(&self, vivify: Vivify, touch: Option<Exptime>) -> Details {
        let ttl_s = |exptime: Exptime| self.ttl_s(exptime.at_ms(self.db.now_ms()));
        Details {
            ttl_s: touch.and_then(ttl_s),
            made_ttl_s: ttl_s(vivify.exptime),
            is_made: true,
            ..Details::default()
        }
    }

    /// me.
    pub(super) fn debug(&self, key: Key<'_>, reply: &mut Writer<'_, '_>) {
        let mut room = KeyRoom::new();
        let key = key.bytes(&mut room);
        match self.db.peek(key).and_then(|entry| self.with_text(entry)) {
            Some((entry, text)) => {
                let client_flags = entry.client_flags();
                let item = Item {
                    key,
                    client_flags,
                    token: entry.token(),
                    value_bytes: text.len(),
                    is_withheld: true,
                    details: self.details(entry, &entry.meta()),
                };
                let bytes = key.len() + text.len() + overhead_bytes(client_flags);
                reply.debug(&item, bytes);
            }
            None => reply.miss(key),
        }
    }
}

/// What a first look at a key showed.
enum Lookup<'g> {
    /// All there is to say.
    Seen(Seen<'g>),
    /// There is no such item.
    Missed,
    /// The item will not stay as it is.
    Changes,
}

/// An item as a client is to see it.
struct Seen<'g> {
    text: Text<'g>,
    client_flags: u32,
    token: u64,
    details: Details,
}

impl Seen<'_> {
    fn item<'i>(&self, key: &'i [u8], get: &Get<'_>) -> Item<'i> {
        Item {
            key,
            client_flags: self.client_flags,
            token: self.token,
            value_bytes: self.text.len(),
            is_withheld: get.unless_token == Some(self.token),
            details: self.details,
        }
    }
}

/// The same entry with another expiry.
fn with_expiry(entry: Entry<'_>, expiry: Expiry) -> Change<'_> {
    match expiry {
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
    }
}

/// Ends a list of items, unless it stopped because it had become too long; whether it did end.
fn end_values(reply: &mut Writer<'_, '_>, len_max: usize) -> bool {
    let is_end = reply.len() <= len_max;
    if is_end {
        reply.end();
    }
    is_end
}

fn write_value(
    key: &[u8],
    (entry, text): &TextEntry<'_>,
    with_token: bool,
    reply: &mut Writer<'_, '_>,
) {
    let token = with_token.then(|| entry.token());
    let head = (key, entry.client_flags(), token);
    reply.value(head, text.len(), |out| text.append_to(out));
}
