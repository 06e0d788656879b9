//! Several keys read at one moment, by who writes none of them.
//!
//! Every key is looked at, and then, when all have been, once more. If nothing has changed at any,
//! all of it stood there together at the moment between the last first look and the first second
//! one. That needs no overlay, and nothing is written where others read: what
//! [`commit`](super::commit) asks of an attempt that has only read.

use smallvec::SmallVec;

use super::commit::{Scope, Sight};
use crate::entry::Entry;
use crate::pace;
use crate::table::Key;

/// Room for so many keys is on the stack.
const KEYS_INLINE: usize = 16;

/// What stands at several keys.
pub(crate) type Entries<'g> = SmallVec<[Option<Entry<'g>>; KEYS_INLINE]>;

impl<'g> Scope<'g> {
    /// The entries at all keys at one moment, expired or not; none if somebody changed one of them
    /// meanwhile.
    pub(crate) fn look_at_all<'k>(
        &self,
        database: usize,
        keys: impl Iterator<Item = &'k [u8]> + Clone,
        hashed: impl Fn(&'k [u8]) -> Key<'k>,
    ) -> Option<Entries<'g>> {
        let look = |(at, key): (usize, _)| {
            pace::step_at(at);
            self.look(database, &hashed(key))
        };
        let sights: SmallVec<[Sight<'g>; KEYS_INLINE]> =
            keys.clone().enumerate().map(look).collect();
        // One key alone was there at some moment in any case.
        let is_one = sights.len() == 1;
        let holds_still = |(sight, key): (&Sight<'g>, _)| {
            is_one || self.holds_still(database, || hashed(key), &sight.look, sight.entry)
        };
        let all_hold = sights.iter().zip(keys).all(holds_still);
        all_hold.then(|| sights.iter().map(|sight| sight.entry).collect())
    }
}
