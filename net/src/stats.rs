//! What INFO counts: a set of counters for every thread, so that nothing shared is written.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_utils::CachePadded;
use store::Lookups;

use crate::spread::{Percentiles, Spread};

/// A number that only its own thread changes.
#[derive(Debug, Default)]
pub(crate) struct Counter {
    count: AtomicU64,
    /// What it was when counting last began anew.
    base: AtomicU64,
}

impl Counter {
    /// Adds `count`.
    pub(crate) fn add(&self, count: u64) {
        // The only writer, so that a load and a store suffice.
        let before = self.count.load(Ordering::Relaxed);
        self.count.store(before + count, Ordering::Relaxed);
    }

    /// How much was added since counting last began anew.
    pub(crate) fn since_reset(&self) -> u64 {
        let count = self.count.load(Ordering::Relaxed);
        count.saturating_sub(self.base.load(Ordering::Relaxed))
    }

    /// Lets counting begin anew.
    pub(crate) fn reset(&self) {
        let count = self.count.load(Ordering::Relaxed);
        self.base.store(count, Ordering::Relaxed);
    }
}

/// How long a thread's calls of a command took.
#[derive(Debug, Default)]
pub(crate) struct Times {
    /// All together, in nanoseconds.
    pub(crate) busy_ns: Counter,
    /// How they are distributed.
    pub(crate) spread: Spread,
}

impl Times {
    /// Counts some calls that took so long together; `is_spread_kept`, how long each.
    pub(crate) fn note(&self, busy: Duration, calls: u64, is_spread_kept: bool) {
        let busy_ns = busy.as_nanos() as u64;
        self.busy_ns.add(busy_ns);
        if is_spread_kept && calls > 0 {
            self.spread.add(busy_ns / calls, calls);
        }
    }

    fn reset(&self) {
        self.busy_ns.reset();
        self.spread.reset();
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
    /// Keys that were asked for and there.
    pub(crate) hits: Counter,
    /// Keys that were asked for and not there.
    pub(crate) misses: Counter,
    /// Reads from connections that brought something.
    pub(crate) reads: Counter,
    /// Writes to connections that took something.
    pub(crate) writes: Counter,
    /// Bytes of requests.
    pub(crate) input_bytes: Counter,
    /// Bytes of replies.
    pub(crate) output_bytes: Counter,
    /// Replies that were errors.
    pub(crate) error_replies: Counter,
    /// Calls of each command, by its number.
    pub(crate) calls: Vec<Counter>,
    /// Calls of each command that ended in an error.
    pub(crate) failed_calls: Vec<Counter>,
    /// Requests for each command that were refused before they ran.
    pub(crate) rejected_calls: Vec<Counter>,
    /// How long each command took.
    pub(crate) times: Vec<Times>,
}

impl ThreadStats {
    /// Counts what was looked up since this was last done.
    pub(crate) fn note_lookups(&self, lookups: Lookups) {
        self.hits.add(lookups.hits);
        self.misses.add(lookups.misses);
    }
}

/// All threads' counts.
#[derive(Debug)]
pub(crate) struct Stats {
    threads: Vec<CachePadded<ThreadStats>>,
    /// Connections ended because clients' buffers took too much: housekeeping's to count.
    pub(crate) evicted_clients: Counter,
    /// Errors by their codes. Few, so that a lock does not matter.
    errors: Mutex<BTreeMap<String, u64>>,
}

/// Codes beyond so many are not told apart: scripts may invent them.
const ERROR_CODES_MAX: usize = 128;

impl Stats {
    /// Zeros, for `threads` threads and `commands` commands.
    pub(crate) fn new(threads: usize, commands: usize) -> Stats {
        let zeros = |_| {
            CachePadded::new(ThreadStats {
                commands: Counter::default(),
                connections: Counter::default(),
                rejected_connections: Counter::default(),
                hits: Counter::default(),
                misses: Counter::default(),
                reads: Counter::default(),
                writes: Counter::default(),
                input_bytes: Counter::default(),
                output_bytes: Counter::default(),
                error_replies: Counter::default(),
                calls: (0..commands).map(|_| Counter::default()).collect(),
                failed_calls: (0..commands).map(|_| Counter::default()).collect(),
                rejected_calls: (0..commands).map(|_| Counter::default()).collect(),
                times: (0..commands).map(|_| Times::default()).collect(),
            })
        };
        Stats {
            threads: (0..threads).map(zeros).collect(),
            evicted_clients: Counter::default(),
            errors: Mutex::default(),
        }
    }

    /// How many threads serve clients.
    pub(crate) fn threads(&self) -> usize {
        self.threads.len()
    }

    /// Counts an error by its code.
    pub(crate) fn note_error(&self, text: &[u8]) {
        let code = text.split(|byte| *byte == b' ').next().unwrap_or_default();
        let code = &*String::from_utf8_lossy(code);
        let mut errors = self.errors.lock().expect("no panic inside");
        if let Some(count) = errors.get_mut(code) {
            *count += 1;
        } else if errors.len() < ERROR_CODES_MAX {
            errors.insert(code.to_owned(), 1);
        }
    }

    /// How many errors of each code there were.
    pub(crate) fn errors(&self) -> Vec<(String, u64)> {
        let errors = self.errors.lock().expect("no panic inside");
        errors
            .iter()
            .map(|(code, count)| (code.clone(), *count))
            .collect()
    }

    /// The counts of a thread, by its number.
    pub(crate) fn of(&self, thread: usize) -> &ThreadStats {
        &self.threads[thread]
    }

    /// A sum over all threads.
    pub(crate) fn sum(&self, counter: impl Fn(&ThreadStats) -> &Counter) -> u64 {
        let counts = self.threads.iter().map(|thread| counter(thread));
        counts.map(Counter::since_reset).sum()
    }

    /// How long the calls of a command took, by its number; nothing where none was noted.
    pub(crate) fn percentiles(&self, command: usize) -> Option<Percentiles> {
        let threads = self.threads.iter();
        Percentiles::of(threads.map(|thread| &thread.times[command].spread))
    }

    /// Lets counting begin anew.
    pub(crate) fn reset(&self) {
        self.errors.lock().expect("no panic inside").clear();
        self.evicted_clients.reset();
        for thread in &self.threads {
            let counters = [
                &thread.commands,
                &thread.connections,
                &thread.rejected_connections,
                &thread.hits,
                &thread.misses,
                &thread.reads,
                &thread.writes,
                &thread.input_bytes,
                &thread.output_bytes,
                &thread.error_replies,
            ];
            counters.into_iter().for_each(Counter::reset);
            [&thread.calls, &thread.failed_calls, &thread.rejected_calls]
                .into_iter()
                .flatten()
                .for_each(Counter::reset);
            thread.times.iter().for_each(Times::reset);
        }
    }
}
