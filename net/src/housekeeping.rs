//! What has to be done from time to time, by a task beside the connections of one thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use store::Swept;

use crate::clock;
use crate::config::Setting;
use crate::process;
use crate::runtime;
use crate::shared::Shared;
use crate::stats::Stats;

const TICK: Duration = Duration::from_millis(100);
const TICKS_PER_S: u32 = 10;
/// Entries the sweeper looks at before it lets the thread's connections go on: a fraction of a
/// millisecond.
const SWEEP_VISITS: usize = 1_000;
/// The sweeper goes on within a tick while more than one of so many entries had expired, ...
const SWEEP_WORTHWHILE: usize = 10;
/// ... but no more often than this: a quarter of the thread's time at most.
const SWEEPS_PER_TICK_MAX: usize = 50;
/// Compaction makes so many steps in a tick while entries are to be moved, each of a fraction of
/// a millisecond.
const COMPACTIONS_PER_TICK_MAX: usize = 100;
/// So many pages of each nearly empty table are looked at per tick: 1 MB.
const SHRINK_PAGES_PER_TICK: usize = 256;

/// What changes by the second.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    commands: Rate,
    input_bytes: Rate,
    output_bytes: Rate,
}

/// A count, and by how much it rose in the last second.
#[derive(Debug, Default)]
struct Rate {
    before: AtomicU64,
    per_s: AtomicU64,
}

impl Rate {
    fn note(&self, count: u64) {
        let before = self.before.swap(count, Ordering::Relaxed);
        self.per_s
            .store(count.saturating_sub(before), Ordering::Relaxed);
    }

    fn per_s(&self) -> u64 {
        self.per_s.load(Ordering::Relaxed)
    }
}

impl Rates {
    /// Commands carried out in the last second.
    pub(crate) fn commands_per_s(&self) -> u64 {
        self.commands.per_s()
    }

    /// Bytes of requests that came in the last second.
    pub(crate) fn input_bytes_per_s(&self) -> u64 {
        self.input_bytes.per_s()
    }

    /// Bytes of replies that went out in the last second.
    pub(crate) fn output_bytes_per_s(&self) -> u64 {
        self.output_bytes.per_s()
    }

    fn note(&self, stats: &Stats) {
        self.commands.note(stats.sum(|thread| &thread.commands));
        self.input_bytes
            .note(stats.sum(|thread| &thread.input_bytes));
        self.output_bytes
            .note(stats.sum(|thread| &thread.output_bytes));
    }
}

/// Keeps house until the thread ends.
pub(crate) async fn keep(shared: Arc<Shared>) {
    let mut ticks = 0u32;
    loop {
        runtime::sleep(TICK).await;
        ticks = ticks.wrapping_add(1);
        shared.store.note_process(process::for_store());
        sweep(&shared).await;
        shared.store.shrink(SHRINK_PAGES_PER_TICK);
        compact(&shared).await;
        shared
            .memcached
            .flush_if_due(&shared.store, clock::now_ms());
        if ticks.is_multiple_of(TICKS_PER_S) {
            shared.rates.note(&shared.stats);
            end_silent_clients(&shared);
        }
    }
}

/// Removes expired keys nobody asks for.
async fn sweep(shared: &Shared) {
    for _ in 0..SWEEPS_PER_TICK_MAX {
        let Swept { visited, removed } = shared.store.sweep(clock::now_ms(), SWEEP_VISITS);
        if removed * SWEEP_WORTHWHILE <= visited {
            return;
        }
        runtime::yield_now().await;
    }
}

/// Moves entries together where the sizes of values have shifted.
async fn compact(shared: &Shared) {
    for _ in 0..COMPACTIONS_PER_TICK_MAX {
        if !shared.store.compact().is_busy {
            return;
        }
        runtime::yield_now().await;
    }
}

/// Ends the connections of those who have sent nothing for longer than `timeout`.
fn end_silent_clients(shared: &Shared) {
    let timeout_ms = shared.settings.number(Setting::Timeout) * 1000;
    if timeout_ms == 0 {
        return;
    }
    let now_ms = clock::now_ms();
    for client in shared.clients.all() {
        let last_use_ms = client.last_use_ms.load(Ordering::Relaxed);
        if now_ms.saturating_sub(last_use_ms) > timeout_ms {
            client.kick.kick();
        }
    }
}
