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

const TICK: Duration = Duration::from_millis(100);
const TICKS_PER_S: u32 = 10;
/// Entries the sweeper looks at before it lets the thread's connections go on: a fraction of a
/// millisecond.
const SWEEP_VISITS: usize = 1_000;
/// The sweeper goes on within a tick while more than one of so many entries had expired, ...
const SWEEP_WORTHWHILE: usize = 10;
/// ... but no more often than this: a quarter of the thread's time at most.
const SWEEPS_PER_TICK_MAX: usize = 50;
/// So many pages of each nearly empty table are looked at per tick: 1 MB.
const SHRINK_PAGES_PER_TICK: usize = 256;

/// What changes by the second.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    commands_before: AtomicU64,
    commands_per_s: AtomicU64,
}

impl Rates {
    /// Commands carried out in the last second.
    pub(crate) fn commands_per_s(&self) -> u64 {
        self.commands_per_s.load(Ordering::Relaxed)
    }

    fn note(&self, commands: u64) {
        let before = self.commands_before.swap(commands, Ordering::Relaxed);
        let during = commands.saturating_sub(before);
        self.commands_per_s.store(during, Ordering::Relaxed);
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
        shared
            .memcached
            .flush_if_due(&shared.store, clock::now_ms());
        if ticks.is_multiple_of(TICKS_PER_S) {
            shared
                .rates
                .note(shared.stats.sum(|thread| &thread.commands));
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
