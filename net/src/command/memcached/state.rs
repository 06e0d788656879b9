//! What Memcached clients share: counters, and a flush that is still to come.

use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::CachePadded;
use store::Store;

use super::stats::Prefixes;
use crate::protocol::memcached::Exptime;

/// What is counted; [`Count::name`] is what `stats` calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Count {
    /// Keys asked for.
    CmdGet,
    /// Items to store, stored or not.
    CmdSet,
    /// flush_all.
    CmdFlush,
    /// Keys to touch.
    CmdTouch,
    /// Meta commands.
    CmdMeta,
    /// Keys asked for and there.
    GetHits,
    /// Keys asked for and not there.
    GetMisses,
    /// Keys asked for that had expired and were not yet removed.
    GetExpired,
    /// Keys to delete that were not there.
    DeleteMisses,
    /// Keys deleted.
    DeleteHits,
    /// Keys to increment that were not there.
    IncrMisses,
    /// Keys incremented.
    IncrHits,
    /// Keys to decrement that were not there.
    DecrMisses,
    /// Keys decremented.
    DecrHits,
    /// Keys to compare that were not there.
    CasMisses,
    /// Keys compared and stored.
    CasHits,
    /// Keys whose token was another.
    CasBadval,
    /// Keys touched.
    TouchHits,
    /// Keys to touch that were not there.
    TouchMisses,
    /// Items that were too large.
    StoreTooLarge,
    /// Items for which there was no memory.
    StoreNoMemory,
    /// Names and passwords given.
    AuthCmds,
    /// Those that were wrong.
    AuthErrors,
    /// Items stored.
    TotalItems,
}

/// All of them but [`Count::TotalItems`], in the order `stats` has them.
pub(super) const COMMAND_COUNTS: [Count; COUNTS - 1] = [
    Count::CmdGet,
    Count::CmdSet,
    Count::CmdFlush,
    Count::CmdTouch,
    Count::CmdMeta,
    Count::GetHits,
    Count::GetMisses,
    Count::GetExpired,
    Count::DeleteMisses,
    Count::DeleteHits,
    Count::IncrMisses,
    Count::IncrHits,
    Count::DecrMisses,
    Count::DecrHits,
    Count::CasMisses,
    Count::CasHits,
    Count::CasBadval,
    Count::TouchHits,
    Count::TouchMisses,
    Count::StoreTooLarge,
    Count::StoreNoMemory,
    Count::AuthCmds,
    Count::AuthErrors,
];

const COUNTS: usize = Count::TotalItems as usize + 1;

impl Count {
    /// Memcached's name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Count::CmdGet => "cmd_get",
            Count::CmdSet => "cmd_set",
            Count::CmdFlush => "cmd_flush",
            Count::CmdTouch => "cmd_touch",
            Count::CmdMeta => "cmd_meta",
            Count::GetHits => "get_hits",
            Count::GetMisses => "get_misses",
            Count::GetExpired => "get_expired",
            Count::DeleteMisses => "delete_misses",
            Count::DeleteHits => "delete_hits",
            Count::IncrMisses => "incr_misses",
            Count::IncrHits => "incr_hits",
            Count::DecrMisses => "decr_misses",
            Count::DecrHits => "decr_hits",
            Count::CasMisses => "cas_misses",
            Count::CasHits => "cas_hits",
            Count::CasBadval => "cas_badval",
            Count::TouchHits => "touch_hits",
            Count::TouchMisses => "touch_misses",
            Count::StoreTooLarge => "store_too_large",
            Count::StoreNoMemory => "store_no_memory",
            Count::AuthCmds => "auth_cmds",
            Count::AuthErrors => "auth_errors",
            Count::TotalItems => "total_items",
        }
    }
}

/// One number for each [`Count`].
type Counts = [AtomicU64; COUNTS];

/// What all Memcached clients of a server share.
#[derive(Debug)]
pub(crate) struct State {
    /// Each connection thread's own counts. Invariant: only that thread changes them.
    threads: Vec<CachePadded<Counts>>,
    /// What had been counted when counting last began anew.
    base: Counts,
    /// Uses of keys by prefix.
    prefixes: Prefixes,
    /// When database 0 is to be emptied, in milliseconds since 1970; 0: not at all.
    flush_at_ms: AtomicU64,
}

impl State {
    /// Zeros, for `threads` connection threads.
    pub(crate) fn new(threads: usize) -> State {
        State {
            threads: (0..threads).map(|_| CachePadded::default()).collect(),
            base: Counts::default(),
            prefixes: Prefixes::new(threads),
            flush_at_ms: AtomicU64::new(0),
        }
    }

    /// How many threads count.
    pub(super) fn threads(&self) -> usize {
        self.threads.len()
    }

    /// Uses of keys by prefix.
    pub(super) fn prefixes(&self) -> &Prefixes {
        &self.prefixes
    }

    /// Counts `more` on a thread, which must be the calling one.
    pub(super) fn note(&self, thread: usize, count: Count, more: u64) {
        let counter = &self.threads[thread][count as usize];
        // The only writer, so that a load and a store suffice.
        counter.store(counter.load(Ordering::Relaxed) + more, Ordering::Relaxed);
    }

    /// Counts an attempt to authenticate on a thread, which must be the calling one.
    pub(crate) fn note_login(&self, thread: usize, is_right: bool) {
        self.note(thread, Count::AuthCmds, 1);
        self.note(thread, Count::AuthErrors, u64::from(!is_right));
    }

    /// Counts keys that were met after their time, on a thread, which must be the calling one.
    pub(crate) fn note_expired(&self, thread: usize, keys: u64) {
        self.note(thread, Count::GetExpired, keys);
    }

    /// How many there were since counting began.
    pub(crate) fn total(&self, count: Count) -> u64 {
        self.sum(count)
            .saturating_sub(self.base[count as usize].load(Ordering::Relaxed))
    }

    /// Lets counting begin anew.
    pub(super) fn reset(&self) {
        for count in COMMAND_COUNTS.into_iter().chain([Count::TotalItems]) {
            self.base[count as usize].store(self.sum(count), Ordering::Relaxed);
        }
        self.prefixes.clear();
    }

    /// Empties database 0 at `exptime`: now, if that is no time to come. A flush that was to come
    /// later is forgotten.
    pub(super) fn flush(&self, store: &Store, exptime: Exptime, now_ms: u64) {
        match exptime.at_ms(now_ms) {
            Some(at_ms) if at_ms > now_ms => self.flush_at_ms.store(at_ms, Ordering::Relaxed),
            _ => {
                self.flush_at_ms.store(0, Ordering::Relaxed);
                store.flush(0);
            }
        }
    }

    /// Empties database 0 if the time for it has come. To be called before each batch of requests
    /// of either protocol, so that nothing written afterwards is lost.
    pub(crate) fn flush_if_due(&self, store: &Store, now_ms: u64) {
        let at_ms = self.flush_at_ms.load(Ordering::Relaxed);
        if at_ms == 0 || at_ms > now_ms {
            return;
        }
        let relaxed = Ordering::Relaxed;
        let taken = self
            .flush_at_ms
            .compare_exchange(at_ms, 0, relaxed, relaxed);
        if taken.is_ok() {
            store.flush(0);
        }
    }

    fn sum(&self, count: Count) -> u64 {
        let counters = self.threads.iter().map(|counts| &counts[count as usize]);
        counters
            .map(|counter| counter.load(Ordering::Relaxed))
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_all_threads_are_summed_until_reset() {
        let state = State::new(2);
        state.note(0, Count::CmdGet, 2);
        state.note(1, Count::CmdGet, 3);
        state.note(1, Count::TotalItems, 1);
        assert_eq!(state.total(Count::CmdGet), 5);
        state.reset();
        state.note(0, Count::CmdGet, 1);
        assert_eq!(state.total(Count::CmdGet), 1);
        assert_eq!(state.total(Count::TotalItems), 0);
    }

    #[test]
    fn every_count_is_told() {
        let places = COMMAND_COUNTS.map(|count| count as usize);
        assert!(places.into_iter().eq(0..COUNTS - 1));
    }
}
