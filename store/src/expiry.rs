//! Keys whose time has come, removed whether somebody asks for them or not.
//!
//! A key that has expired is absent for everybody at once: reads judge each entry by the time of
//! the command. The memory is given back when somebody meets the key, or by this sweep over the
//! buckets. How often it runs and how far it goes is the caller's to adapt to what it finds.

use std::sync::atomic::Ordering;

use crate::db::Change;
use crate::store::Store;

/// What a sweep saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Keys it looked at.
    pub visited: usize,
    /// Keys it removed.
    pub removed: usize,
}

/// The low bits of the sweep's cursor hold the database.
const DATABASE_BITS: u32 = 16;

impl Store {
    /// Removes some expired keys: looks at about `visits_max` entries of databases that have any
    /// with an expiry, and goes on where the last call ended.
    pub fn sweep(&self, now_ms: u64, visits_max: usize) -> Swept {
        const STEP: usize = 64;
        let mut swept = Swept::default();
        let position = self.sweep_cursor().load(Ordering::Relaxed);
        let mut index = (position & ((1 << DATABASE_BITS) - 1)) as usize % self.databases();
        let mut cursor = position >> DATABASE_BITS;
        let mut databases_left = self.databases();
        while swept.visited < visits_max && databases_left > 0 {
            let guard = self.pin();
            let db = self.db(index, &guard, now_ms);
            if db.expiring_len() > 0 {
                let expired = |entry: crate::Entry<'_>| entry.is_expired(now_ms);
                let mut due = Vec::new();
                cursor = db.scan_all(cursor, STEP, |entry| {
                    swept.visited += 1;
                    if expired(entry) {
                        due.push(entry);
                    }
                });
                for entry in due {
                    // The live view takes an expired entry for none, and takes it out.
                    let looked = db.update(entry.key(), |_| Ok((Change::Keep, ())));
                    swept.removed += usize::from(looked.is_ok());
                }
            } else {
                cursor = 0;
            }
            if cursor == 0 {
                index = (index + 1) % self.databases();
                databases_left -= 1;
            }
        }
        let position = cursor << DATABASE_BITS | index as u64;
        self.sweep_cursor().store(position, Ordering::Relaxed);
        swept
    }
}
