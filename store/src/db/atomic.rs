//! Inside a transaction: what is read and written goes through the overlay of the guard.

use super::{Change, Db, Draft};
use crate::entry::{Entry, Meta};
use crate::error::Error;
use crate::sync::IS_MODEL;
use crate::table::Key;
use crate::thread;
use crate::transaction::Ticket;
use crate::transaction::overlay::{Failure, Overlay};
use crate::value::same_value;

/// So many attempts are made before a transaction takes a ticket.
pub(super) const ATTEMPTS_WITHOUT_TICKET: usize = 8;

impl<'g> Db<'g> {
    /// Runs `body` so that all it reads and writes happens at one moment, and nothing of it if it
    /// fails. `body` may run several times and must have no effect but its result and what it
    /// writes through the `Db` it is given. Inside another `atomic`, joins it.
    ///
    /// # Errors
    /// What `body` returns (judged on a state that existed), and [`Error::Busy`].
    pub fn atomic<R>(&self, mut body: impl FnMut(&Db<'g>) -> Result<R, Error>) -> Result<R, Error> {
        if self.in_transaction {
            return body(self);
        }
        let mut ticket = None;
        let lookups = thread::lookups();
        for attempt in 0.. {
            let inside = Db {
                in_transaction: true,
                // A flush may have replaced the record that an attempt before found.
                keyspace: self.store.keyspace(self.guard),
                ..*self
            };
            let inside = inside.numbered(self.index);
            let overlay = match attempt {
                0..ATTEMPTS_WITHOUT_TICKET => Overlay::new(),
                _ => Overlay::with_ticket(*ticket.get_or_insert_with(Ticket::take)),
            };
            self.guard.overlay().replace(Some(Box::new(overlay)));
            let attempt = Attempt(inside);
            let result = body(&inside);
            match attempt.finish(result.is_ok()) {
                Ok(()) => return result,
                Err(Failure::Disturbed) => thread::forget_lookups_since(lookups),
                Err(Failure::Busy) => return Err(Error::Busy),
            }
        }
        unreachable!("the loop has no end")
    }

    /// Says that so many keys are about to be read or changed. Only inside [`Db::atomic`].
    pub fn expect_keys(&self, keys: usize) {
        self.overlay(|overlay| overlay.expect(keys));
    }

    /// Moves the value at `from` to `to` (possibly of another database), with its metadata,
    /// without copying it, replacing what was there. Only inside [`Db::atomic`].
    ///
    /// # Errors
    /// [`Error::NoSuchKey`].
    ///
    /// # Panics
    /// Outside [`Db::atomic`].
    pub fn rename(&self, from: &[u8], (to_db, to): (&Db<'g>, &[u8])) -> Result<(), Error> {
        assert!(self.in_transaction, "rename is a step of a transaction");
        let moved = self.peek(from).ok_or(Error::NoSuchKey)?;
        if self.index == to_db.index && from == to {
            return Ok(());
        }
        let (from, to) = (self.key(from), self.key(to));
        let meta = Meta {
            token: None,
            ..moved.meta()
        };
        let mut draft = Draft {
            value: same_value(moved),
            meta,
        };
        self.overlay(|overlay| {
            let from_at = self.scope().touch(overlay, self.index, &from);
            let to_at = self.scope().touch(overlay, to_db.index, &to);
            let old = overlay.current(to_at, self.guard);
            let made = self.provisional(&to, old, 0, &mut draft).counted();
            overlay.rename(from_at, to_at, made.entry, self.guard);
        });
        Ok(())
    }

    pub(super) fn peek_privately(&self, key: Key<'_>) -> Option<Entry<'g>> {
        let at = self.overlay(|overlay| self.scope().touch(overlay, self.index, &key));
        self.live(self.overlay(|overlay| overlay.current(at, self.guard)))
    }

    #[inline(never)]
    pub(super) fn put_privately(&self, key: Key<'_>, draft: &mut Draft<'_>) -> Entry<'g> {
        let at = self.overlay(|overlay| self.scope().touch(overlay, self.index, &key));
        let old = self.overlay(|overlay| overlay.current(at, self.guard));
        let made = self.provisional(&key, old, 0, draft);
        let entry = made.entry;
        self.overlay(|overlay| overlay.put(at, made, self.guard));
        entry
    }

    pub(super) fn update_privately<'a, R, E>(
        &self,
        key: &Key<'_>,
        mut decide: impl FnMut(Option<Entry<'g>>) -> Result<(Change<'a>, R), E>,
    ) -> Result<(R, Option<Entry<'g>>), E> {
        let at = self.overlay(|overlay| self.scope().touch(overlay, self.index, key));
        let current = self.overlay(|overlay| overlay.current(at, self.guard));
        let live = self.live(current);
        let (change, result) = decide(live)?;
        let after = match change {
            Change::Keep => live,
            Change::Remove if current.is_none() => None,
            Change::Remove => {
                self.overlay(|overlay| overlay.remove(at, self.guard));
                None
            }
            Change::Put(mut draft) => {
                let made = self.provisional(key, current, 0, &mut draft);
                let entry = made.entry;
                self.overlay(|overlay| overlay.put(at, made, self.guard));
                Some(entry)
            }
        };
        Ok((result, after))
    }

    fn overlay<R>(&self, use_it: impl FnOnce(&mut Overlay) -> R) -> R {
        let mut overlay = self.guard.overlay().borrow_mut();
        use_it(
            overlay
                .as_mut()
                .expect("a transaction runs under this guard"),
        )
    }
}

/// The overlay of the guard until it is finished: also when the body panics, since a descriptor
/// must not stay in a slot when its overlay goes.
struct Attempt<'g>(Db<'g>);

impl Attempt<'_> {
    /// Ends it; see [`Scope::finish`](crate::transaction::commit::Scope::finish).
    fn finish(self, is_wanted: bool) -> Result<(), Failure> {
        let overlay = self.0.guard.overlay().take();
        let overlay = overlay.expect("nobody else takes it");
        let (db, scope) = (&self.0, self.0.scope());
        let is_expired = |entry: &Entry<'_>| is_wanted && entry.is_expired(db.now_ms);
        let expired: Vec<_> = scope.replaced(&overlay).filter(is_expired).collect();
        scope.finish(*overlay, is_wanted)?;
        expired
            .into_iter()
            .for_each(|entry| db.note_replaced(entry));
        Ok(())
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if IS_MODEL && std::thread::panicking() {
            // The model has failed, and its atomics are gone.
            return;
        }
        if let Some(overlay) = self.0.guard.overlay().take() {
            // Whatever it comes to: nothing was to be published.
            let _ = self.0.scope().finish(*overlay, false);
        }
    }
}
