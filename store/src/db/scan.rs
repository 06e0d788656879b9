//! Visiting keys: a scan, a random one.

use super::Db;
use crate::entry::Entry;
use crate::transaction::commit::resolve_visited;

impl<'g> Db<'g> {
    /// Visits some keys from `cursor` on (0 starts) until about `count` were visited; returns the
    /// next cursor, 0 at the end. A key that is there throughout a whole scan is visited.
    pub fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(Entry<'g>)) -> u64 {
        self.scan_all(cursor, count, |entry| {
            if !entry.is_expired(self.now_ms) {
                visit(entry);
            }
        })
    }

    /// As [`Db::scan`], with expired keys that are still there.
    pub(crate) fn scan_all(
        &self,
        cursor: u64,
        count: usize,
        mut visit: impl FnMut(Entry<'g>),
    ) -> u64 {
        self.database()
            .table
            .scan(cursor, count, self.guard, |occupied| {
                if let Some(entry) = resolve_visited(occupied, self.guard) {
                    visit(entry);
                }
            })
    }

    /// A random key, if there is any.
    pub fn random(&self) -> Option<Entry<'g>> {
        const TRIES: usize = 100;
        let sample = || {
            let occupied = self.database().table.sample(self.guard)?;
            self.live(resolve_visited(occupied, self.guard))
        };
        let mut tries = (0..TRIES).map(|_| sample());
        if let Some(entry) = tries.find_map(|entry| entry) {
            return Some(entry);
        }
        // Few keys, or most of them expired: any will do.
        let (mut cursor, mut found) = (0, None);
        loop {
            cursor = self.scan(cursor, 100, |entry| found = Some(entry));
            if found.is_some() || cursor == 0 {
                return found;
            }
        }
    }
}
