//! What single operations on a full keyspace take, as a Markdown table.
//!
//! ```text
//! cargo bench -p benches --bench full
//! ```
//!
//! Half of them are reads of keys that were written lately, half writes of new keys, each of which
//! costs others their place. Times are CPU time of the thread: what the scheduler takes does not
//! count, what page faults cost does, and so does what a hypervisor takes, which is some
//! milliseconds now and then. So all is done in three runs, each in a process of its own. With the
//! same seeds they do the same work at the same places, but for a few evictions in a million: what
//! the engine itself takes long for it does in all of them, within some operations. So each
//! [`PLACE`] operations in a row are as slow as the middle one of the three says.
#![allow(clippy::print_stdout, reason = "a table is what this program is for")]

use std::env;
use std::hint::black_box;
use std::io::{self, Write, stdout};
use std::process::Command;
use std::time::Duration;

use benches::churn::Sizes;
use benches::clock::thread_cpu;
use benches::report::Table;
use benches::request::KEY_BYTES;
use fastrand::Rng;
use hdrhistogram::Histogram;
use store::value::string;
use store::{Draft, Options, Policy, Store};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const LIMIT_BYTES: u64 = 256 << 20;
const OPERATIONS: u32 = 10_000_000;
/// Operations of one kind in a row that are looked at together.
const PLACE: usize = 1_000;
/// Reads ask for one of so many keys that were written last.
const WINDOW: u32 = 50_000;
const NOW_MS: u64 = 1;
const OPERATION_NAMES: [&str; 2] = ["read", "write"];
/// An aim: no operation takes longer.
const BOUND: Duration = Duration::from_millis(2);
const SIZES: [(&str, Sizes); 3] = [
    ("100 bytes", Sizes::Fixed(100)),
    ("ETC, up to 8 kB", Sizes::Etc(8_000)),
    ("ETC, up to 1 MB", Sizes::Etc(1 << 20)),
];
/// Set for a process that makes one run: which of the sizes.
const RUN: &str = "MAYFLY_FULL_RUN";

fn main() -> io::Result<()> {
    if let Ok(at) = env::var(RUN) {
        let at: usize = at.parse().map_err(io::Error::other)?;
        return run(SIZES[at].1).write();
    }
    let mut table = Table::new([
        "values",
        "operation",
        "p50 us",
        "p99.9 us",
        "worst us, each run",
        "over 2 ms",
        "worst place us",
        "places over 1 ms",
        "over 2 ms",
    ]);
    for (at, (name, _)) in SIZES.into_iter().enumerate() {
        let runs = [Run::read(at)?, Run::read(at)?, Run::read(at)?];
        eprintln!("{name}: {:?}", runs.each_ref().map(|run| run.counts));
        for (kind, operation) in OPERATION_NAMES.into_iter().enumerate() {
            let runs = runs.each_ref().map(|run| of_kind(&run.times, kind));
            let histogram = histogram(&runs.concat());
            let places = places(&runs);
            let us = |nanoseconds: u64| format!("{:.1}", nanoseconds as f64 / 1e3);
            let each = |of: fn(&Vec<u32>) -> String| runs.each_ref().map(of).join(", ");
            let worst = |times: &[u32]| times.iter().copied().max().unwrap_or_default();
            table.row([
                name.to_owned(),
                operation.to_owned(),
                us(histogram.value_at_quantile(0.5)),
                us(histogram.value_at_quantile(0.999)),
                each(|run| (run.iter().max().unwrap_or(&0) / 1_000).to_string()),
                each(|run| over(run, BOUND).to_string()),
                us(worst(&places).into()),
                over(&places, BOUND / 2).to_string(),
                over(&places, BOUND).to_string(),
            ]);
        }
    }
    println!(
        "{OPERATIONS} operations on a keyspace that is full at {} MB, cache mode, one thread, CPU \
         time, three runs; a place is {PLACE} operations of a kind in a row, as slow as the middle \
         run's slowest one there:\n\n{table}",
        LIMIT_BYTES >> 20
    );
    Ok(())
}

/// What one process has measured.
struct Run {
    /// Keys that were evicted, keys that are there, and bytes that are charged, at the end.
    counts: [u64; 3],
    /// Nanoseconds of each operation, reads and writes by turns.
    times: Vec<u32>,
}

impl Run {
    /// Makes one, in a process of its own.
    fn read(at: usize) -> io::Result<Run> {
        let output = Command::new(env::current_exe()?)
            .env(RUN, at.to_string())
            .output()?;
        if !output.status.success() {
            return Err(io::Error::other(
                String::from_utf8_lossy(&output.stderr).into_owned(),
            ));
        }
        let (counts, times) = output.stdout.split_at(size_of::<[u64; 3]>());
        let (counts, times) = (counts.as_chunks().0, times.as_chunks().0);
        Ok(Run {
            counts: [0, 1, 2].map(|at| u64::from_ne_bytes(counts[at])),
            times: times.iter().map(|&time| u32::from_ne_bytes(time)).collect(),
        })
    }

    /// For [`Run::read`].
    fn write(&self) -> io::Result<()> {
        let counts = self.counts.iter().flat_map(|count| count.to_ne_bytes());
        let times = self.times.iter().flat_map(|time| time.to_ne_bytes());
        let bytes: Vec<u8> = counts.chain(times).collect();
        stdout().write_all(&bytes)
    }
}

fn of_kind(times: &[u32], kind: usize) -> Vec<u32> {
    let of_kind = times.iter().skip(kind).step_by(OPERATION_NAMES.len());
    of_kind.copied().collect()
}

/// What the slowest operation took of each [`PLACE`] in a row, in the middle one of the runs.
fn places(runs: &[Vec<u32>; 3]) -> Vec<u32> {
    let slowest = |run: &[u32]| run.iter().copied().max().unwrap_or_default();
    let of_run = |run: &Vec<u32>| run.chunks(PLACE).map(slowest).collect();
    let [one, two, three]: [Vec<u32>; 3] = runs.each_ref().map(of_run);
    let middle = |((one, two), three): ((&u32, &u32), &u32)| {
        let mut all = [*one, *two, *three];
        all.sort_unstable();
        all[1]
    };
    one.iter().zip(&two).zip(&three).map(middle).collect()
}

fn over(times: &[u32], bound: Duration) -> usize {
    let is_over = |&&time: &&u32| Duration::from_nanos(time.into()) > bound;
    times.iter().filter(is_over).count()
}

fn histogram(times: &[u32]) -> Histogram<u64> {
    let mut histogram = Histogram::new(3).expect("three digits");
    for &time in times {
        histogram.record(time.into()).expect("it resizes");
    }
    histogram
}

fn run(sizes: Sizes) -> Run {
    // The engine draws from this one, too.
    fastrand::seed(1);
    let store = Store::new(&Options {
        databases: 1,
        policy: Policy::CacheMode,
        ..Options::default()
    });
    store.set_memory_bytes_max(LIMIT_BYTES);
    let value = vec![b'v'; sizes.most()];
    let write = |number: u32| {
        let guard = store.pin();
        let db = store.db(0, &guard, NOW_MS);
        let value = &value[..sizes.of(number)];
        db.make_room(value.len()).expect("something can go");
        db.put(&key(number), Draft::new(string::bytes(value)))
            .expect("no transaction is in the way");
    };
    let mut written = 0;
    let mut bytes_written = 0;
    while bytes_written < 2 * LIMIT_BYTES {
        write(written);
        bytes_written += (KEY_BYTES + sizes.of(written)) as u64;
        written += 1;
    }
    let mut random = Rng::with_seed(1);
    let mut times = Vec::with_capacity(OPERATIONS as usize);
    let mut record = |operation: &mut dyn FnMut()| {
        let start = thread_cpu();
        operation();
        let took = thread_cpu() - start;
        times.push(took.as_nanos().try_into().unwrap_or(u32::MAX));
    };
    for _ in 0..OPERATIONS / 2 {
        let wanted = key(written - 1 - random.u32(..WINDOW));
        record(&mut || {
            let guard = store.pin();
            black_box(store.db(0, &guard, NOW_MS).read(&wanted).is_some());
        });
        record(&mut || write(written));
        written += 1;
    }
    let keys = store.db(0, &store.pin(), NOW_MS).len();
    Run {
        counts: [store.counts().evicted_keys, keys, store.charged_bytes()],
        times,
    }
}

/// A key of 16 bytes.
fn key(number: u32) -> [u8; KEY_BYTES] {
    let mut key = [b'0'; KEY_BYTES];
    key[..4].copy_from_slice(&number.to_ne_bytes());
    key
}
