//! What INFO counts: a set of counters for every thread, so that nothing shared is written.

use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::CachePadded;

/// A number that only its own thread changes.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Adds `count`.
    pub(crate) fn add(&self, count: u64) {
        // The only writer, so that a load and a store suffice.
        self.0
            .store(self.0.load(Ordering::Relaxed) + count, Ordering::Relaxed);
    }

    fn sum(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One thread's counts.
#[derive(Debug)]
pub(crate) struct ThreadStats {
    /// Commands carried out.
    pub(crate) commands: Counter,
    /// Connections accepted.
    pub(crate) connections: Counter,
    /// Connections refused because there were too many.
    pub(crate) rejected_connections: Counter,
    /// Bytes of requests.
    pub(crate) input_bytes: Counter,
    /// Bytes of replies.
    pub(crate) output_bytes: Counter,
    /// Replies that were errors.
    pub(crate) error_replies: Counter,
    /// Calls of each command, by its number.
    pub(crate) calls: Vec<Counter>,
}

/// All threads' counts.
#[derive(Debug)]
pub(crate) struct Stats {
    threads: Vec<CachePadded<ThreadStats>>,
}

impl Stats {
    /// Zeros, for `threads` threads and `commands` commands.
    pub(crate) fn new(threads: usize, commands: usize) -> Stats {
        let zeros = |_| {
            CachePadded::new(ThreadStats {
                commands: Counter::default(),
                connections: Counter::default(),
                rejected_connections: Counter::default(),
                input_bytes: Counter::default(),
                output_bytes: Counter::default(),
                error_replies: Counter::default(),
                calls: (0..commands).map(|_| Counter::default()).collect(),
            })
        };
        Stats {
            threads: (0..threads).map(zeros).collect(),
        }
    }

    /// The counts of a thread, by its number.
    pub(crate) fn of(&self, thread: usize) -> &ThreadStats {
        &self.threads[thread]
    }

    /// A sum over all threads.
    pub(crate) fn sum(&self, counter: impl Fn(&ThreadStats) -> &Counter) -> u64 {
        self.threads.iter().map(|t| counter(t).sum()).sum()
    }
}
