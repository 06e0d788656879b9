//! How long commands take, at the price of few looks at the clock.

use std::time::Duration;

use crate::clock;
use crate::command::dispatch::Entry;
use crate::stats::ThreadStats;

/// Tells how long commands take. The clock is read once for each run of the same command; what
/// came before the first one since the connection last read the time counts as a part of that.
pub(super) struct Stopwatch {
    /// The command that has run since.
    entry: Option<&'static Entry>,
    /// How many requests for it.
    requests: u64,
    now: Duration,
    is_spread_kept: bool,
}

impl Stopwatch {
    /// `is_spread_kept`: beside the sum of the times, how they are distributed.
    pub(super) fn since(now: Duration, is_spread_kept: bool) -> Stopwatch {
        Stopwatch {
            entry: None,
            requests: 0,
            now,
            is_spread_kept,
        }
    }

    /// `entry` is about to run.
    #[inline]
    pub(super) fn next(&mut self, entry: Option<&'static Entry>, stats: &ThreadStats) {
        if let Some(before) = self.entry
            && entry.is_none_or(|entry| entry.number != before.number)
        {
            self.stop(before, stats);
        }
        if self.entry.is_none() {
            // What came before was for no command.
            self.requests = 0;
        }
        self.entry = entry;
        self.requests += 1;
    }

    /// So many of the last requests were not carried out after all: they are no calls.
    #[inline]
    pub(super) fn withdraw(&mut self, requests: usize) {
        self.requests = self.requests.saturating_sub(requests as u64);
    }

    /// Nothing more is to run; the time it is.
    #[inline]
    pub(super) fn end(mut self, stats: &ThreadStats) -> Duration {
        self.next(None, stats);
        self.now
    }

    /// The command before is over.
    fn stop(&mut self, before: &Entry, stats: &ThreadStats) {
        let since = std::mem::replace(&mut self.now, clock::since_1970());
        let busy = self.now.saturating_sub(since);
        let requests = std::mem::take(&mut self.requests);
        if requests > 0 {
            stats.times[before.number].note(busy, requests, self.is_spread_kept);
        }
    }
}
