//! What has to be done from time to time, by a task beside the connections of one thread.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use store::Swept;

use crate::clients::Client;
use crate::clock::{self, Moment};
use crate::config::Setting;
use crate::process;
use crate::runtime;
use crate::shared::Shared;
use crate::stats::Stats;

const TICK: Duration = Duration::from_millis(100);
/// How often a thread keeps house.
pub(crate) const TICKS_PER_S: u32 = 10;
/// Segments of a table that the sweeper looks at before it lets the thread's connections go on:
/// a few hundred keys, a tenth of a millisecond.
const SWEEP_SEGMENTS: usize = 1;
/// The sweeper takes so long, the thread's connections in between, each tick, ...
const SWEEP_SHARE: Duration = Duration::from_micros(2_500);
/// ... longer where much has expired of what it looks at: the part that has, of this, ...
const SWEEP_SHARE_MAX: Duration = Duration::from_millis(50);
/// ... and then rests for less.
const SWEEP_REST_MIN: Duration = Duration::from_millis(10);
/// While more than one of so many entries had expired, it goes on, and worker threads help.
const SWEEP_WORTHWHILE: usize = 10;
/// How long a worker thread sweeps before it looks for other work.
const HELP: Duration = Duration::from_millis(50);
/// Steps of evicting per tick: a tenth of a millisecond each.
const RELIEFS_PER_TICK_MAX: usize = 400;
/// Compaction makes so many steps in a tick while entries are to be moved, each of a fraction of
/// a millisecond.
const COMPACTIONS_PER_TICK_MAX: usize = 100;
/// So many pages of each nearly empty table are looked at in a step of shrinking, a tenth of a
/// millisecond; ...
const SHRINK_PAGES: usize = 16;
/// ... and so many steps are made in a tick while there is something to give back.
const SHRINKS_PER_TICK_MAX: usize = 128;

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
    runtime::spawn_local(keep_sweeping(Arc::clone(&shared)));
    loop {
        runtime::sleep(TICK).await;
        ticks = ticks.wrapping_add(1);
        note_process(&shared);
        relieve(&shared).await;
        evict_clients(&shared);
        shrink(&shared).await;
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

/// What happened since the store was told what the process takes.
#[derive(Debug, Default)]
pub(crate) struct Noted {
    /// What was charged then.
    charged_bytes: AtomicU64,
    /// What was read since into long buffers: much the allocator gives and takes back for them.
    read_bytes: AtomicU64,
}

/// The store is told again when this part of the limit came or went, ...
const NOTED_PART: u64 = 64;
/// ... or this one was read.
const READ_PART: u64 = 32;
/// When more than this part of the limit is resident beyond it, free pages of the allocator that
/// are as much go back to the kernel. Most would be used again, at a page fault each.
const FREE_PAGES_PART: u64 = 32;
/// Under a small limit they may be so many.
const FREE_PAGE_BYTES_MIN: u64 = 3 << 20;

/// Lets what the process takes beside the engine's memory count against the limit, and gives free
/// pages back if that is too much.
pub(crate) fn note_process(shared: &Shared) {
    let (process, free_page_bytes) = process::for_store();
    let resident_bytes = process.resident_bytes;
    shared.store.note_process(process);
    let charged = shared.store.charged_bytes();
    shared.noted.charged_bytes.store(charged, Ordering::Relaxed);
    shared.noted.read_bytes.store(0, Ordering::Relaxed);
    let limit = shared.store.memory_bytes_max();
    let too_much = (limit / FREE_PAGES_PART).max(FREE_PAGE_BYTES_MIN);
    if limit > 0 && resident_bytes > limit + too_much && free_page_bytes > too_much {
        process::give_free_pages_back();
    }
}

/// So much was read into a long buffer: as [`note_process`], if that is due before its time.
pub(crate) fn note_read(shared: &Shared, bytes: usize) {
    let limit = shared.store.memory_bytes_max();
    if limit == 0 {
        return;
    }
    let Noted {
        charged_bytes,
        read_bytes,
    } = &shared.noted;
    let read = bytes as u64 + read_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    let before = charged_bytes.load(Ordering::Relaxed);
    let change = shared.store.charged_bytes().abs_diff(before);
    if read > limit / READ_PART || change > limit / NOTED_PART {
        note_process(shared);
    }
}

/// Removes expired keys nobody asks for, within a share of the thread's time that grows while
/// many are found. Where that does not suffice, the worker threads help, with what time the
/// connections leave.
async fn keep_sweeping(shared: Arc<Shared>) {
    let helpers = Rc::default();
    let mut rest = TICK;
    loop {
        runtime::sleep(rest).await;
        rest = match sweep(&shared, &helpers).await {
            true => SWEEP_REST_MIN,
            false => TICK,
        };
    }
}

/// Sweeps once; whether there is much left to do.
async fn sweep(shared: &Arc<Shared>, helpers: &Rc<Cell<usize>>) -> bool {
    let start = Moment::now();
    loop {
        let swept = shared.store.sweep(clock::now_ms(), SWEEP_SEGMENTS);
        let is_worthwhile = is_worthwhile(&swept);
        if swept.is_around && !is_worthwhile {
            return false;
        }
        if start.elapsed() > share(&swept) {
            if is_worthwhile && helpers.get() == 0 {
                call_helpers(shared, helpers);
            }
            return is_worthwhile;
        }
        runtime::yield_now().await;
    }
}

fn is_worthwhile(swept: &Swept) -> bool {
    swept.removed * SWEEP_WORTHWHILE > swept.visited
}

/// What of the thread's time goes into looking for what has expired, by what was found.
fn share(swept: &Swept) -> Duration {
    let visited = swept.visited.max(1) as u32;
    SWEEP_SHARE.max(SWEEP_SHARE_MAX * swept.removed as u32 / visited)
}

fn call_helpers(shared: &Arc<Shared>, helpers: &Rc<Cell<usize>>) {
    for _ in 0..shared.workers.threads() {
        helpers.set(helpers.get() + 1);
        let (shared, helpers) = (Arc::clone(shared), Rc::clone(helpers));
        runtime::spawn_local(async move {
            let of_job = Arc::clone(&shared);
            let job = move || {
                let start = Moment::now();
                while is_worthwhile(&of_job.store.sweep(clock::now_ms(), SWEEP_SEGMENTS))
                    && start.elapsed() < HELP
                {}
            };
            // It fails only when the server is ending.
            let _ = shared.workers.run(job).await;
            helpers.set(helpers.get() - 1);
        });
    }
}

/// Evicts what is too much after a limit was lowered or something else has grown.
async fn relieve(shared: &Shared) {
    for _ in 0..RELIEFS_PER_TICK_MAX {
        if !shared.store.relieve(clock::now_ms()) {
            return;
        }
        runtime::yield_now().await;
    }
}

/// Gives pages of tables back that are nearly empty.
async fn shrink(shared: &Shared) {
    for _ in 0..SHRINKS_PER_TICK_MAX {
        if !shared.store.shrink(SHRINK_PAGES) {
            return;
        }
        runtime::yield_now().await;
    }
}

/// Moves entries together where the sizes of values have shifted.
async fn compact(shared: &Shared) {
    for _ in 0..COMPACTIONS_PER_TICK_MAX {
        if !shared.store.compact(clock::now_ms()).is_busy {
            return;
        }
        runtime::yield_now().await;
    }
}

/// Ends the connections with the largest buffers while all together take more than
/// `maxmemory-clients`.
fn evict_clients(shared: &Shared) {
    let limit = shared.settings.client_bytes_max();
    if limit == 0 {
        return;
    }
    let bytes = |client: &Client| {
        let [input, output] = [&client.query_bytes_max, &client.output_bytes_max];
        (input.load(Ordering::Relaxed) + output.load(Ordering::Relaxed)) as u64
    };
    let mut clients: Vec<_> = shared
        .clients
        .all()
        .into_iter()
        .map(|c| (bytes(&c), c))
        .collect();
    let mut sum: u64 = clients.iter().map(|(bytes, _)| bytes).sum();
    clients.retain(|(_, client)| !client.no_evict.load(Ordering::Relaxed));
    clients.sort_unstable_by_key(|(bytes, _)| *bytes);
    while sum > limit
        && let Some((bytes, client)) = clients.pop()
    {
        sum -= bytes;
        client.kick.kick();
        shared.stats.evicted_clients.add(1);
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
