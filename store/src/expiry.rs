//! Keys whose time has come, removed whether somebody asks for them or not.
//!
//! A key that has expired is absent for everybody at once: reads judge each entry by the time of
//! the command. The memory is given back when somebody meets the key, or by this sweep over the
//! segments of the table. A slot's word tells whether its entry has an expiry at all, so that a
//! segment without such entries costs a look at its page and no more.
//!
//! Several threads may sweep at once: each claims a segment by moving the cursor behind it. How
//! often they do and how far they go is the caller's to adapt to what they find.

use std::sync::atomic::Ordering;

use smallvec::SmallVec;

use crate::Entry;
use crate::keyspace;
use crate::store::Store;
use crate::value;

/// What a sweep saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Keys with an expiry that it looked at.
    pub visited: usize,
    /// Keys it removed.
    pub removed: usize,
    /// Bytes of those.
    pub removed_bytes: u64,
    /// Segments it looked at.
    pub segments: usize,
    /// Whether it came to the end, and began anew.
    pub is_around: bool,
}

/// The low bits of the sweep's cursor hold the database; a segment has no place that low.
const DATABASE_BITS: u32 = 16;
/// So many databases the cursor can tell apart.
pub(crate) const DATABASES_MAX: usize = 1 << DATABASE_BITS;
const DATABASE: u64 = (1 << DATABASE_BITS) - 1;

impl Store {
    /// Removes expired keys from the next segments of databases that have any with an expiry:
    /// so many, or fewer where the end of the last database is reached.
    pub fn sweep(&self, now_ms: u64, segments_max: usize) -> Swept {
        let mut swept = Swept::default();
        while swept.segments < segments_max && !swept.is_around {
            self.sweep_segment(now_ms, &mut swept);
        }
        swept
    }

    fn sweep_segment(&self, now_ms: u64, swept: &mut Swept) {
        let guard = self.pin();
        let position = self.sweep_cursor().load(Ordering::Relaxed);
        let index = (position & DATABASE) as usize % self.databases();
        let place = position & !DATABASE;
        let db = self.db(index, &guard, now_ms);
        let table = &db.database().table;
        let behind = match db.expiring_len() {
            0 => None,
            _ => table.behind(place, &guard),
        };
        let next = match behind {
            Some(next) => next & !DATABASE | index as u64,
            None => (index as u64 + 1) % self.databases() as u64,
        };
        let order = Ordering::Relaxed;
        let claimed = self
            .sweep_cursor()
            .compare_exchange(position, next, order, order);
        if claimed.is_err() {
            return;
        }
        swept.is_around = next == 0;
        if db.expiring_len() == 0 {
            return;
        }
        swept.segments += 1;
        let mut due: SmallVec<[Entry<'_>; 64]> = SmallVec::new();
        let (mut ttls_ms, mut live) = (0u64, 0);
        table.visit_expiring(place, &guard, |occupied| {
            let entry = keyspace::entry_of(occupied, &guard);
            swept.visited += 1;
            if entry.is_expired(now_ms) {
                due.push(entry);
            } else if let Some(at_ms) = entry.expires_at_ms() {
                ttls_ms = ttls_ms.saturating_add(at_ms - now_ms);
                live += 1;
            }
        });
        db.database().note_ttls(ttls_ms, live);
        for entry in due {
            let bytes = value::memory_bytes(entry) as u64;
            if db.take_expired(entry) {
                swept.removed += 1;
                swept.removed_bytes += bytes;
            }
        }
    }
}
