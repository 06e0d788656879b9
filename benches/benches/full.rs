//! What single operations on a full keyspace take, as a Markdown table.
//!
//! ```text
//! cargo bench -p benches --bench full
//! ```
//!
//! Half of them are reads of keys that were written lately, half writes of new keys, each of which
//! costs others their place. Times are CPU time of the thread: what the scheduler takes does not
//! count, what page faults cost does, and so does what a hypervisor takes. Hence the third row: the
//! clock read twice, which is all that takes time there.
#![allow(clippy::print_stdout, reason = "a table is what this program is for")]

use std::hint::black_box;
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
/// Reads ask for one of so many keys that were written last.
const WINDOW: u32 = 50_000;
const NOW_MS: u64 = 1;
const OPERATION_NAMES: [&str; 3] = ["read", "write", "clock alone"];
/// An aim: no operation takes longer.
const BOUND: Duration = Duration::from_millis(2);

fn main() {
    let mut table = Table::new([
        "values",
        "operation",
        "p50 us",
        "p99.9 us",
        "worst us",
        "over 1 ms",
        "over 2 ms",
    ]);
    let sizes = [
        ("100 bytes", Sizes::Fixed(100)),
        ("ETC, up to 8 kB", Sizes::Etc(8_000)),
        ("ETC, up to 1 MB", Sizes::Etc(1 << 20)),
    ];
    for (name, sizes) in sizes {
        for (operation, times) in OPERATION_NAMES.into_iter().zip(measure(sizes)) {
            let us = |nanoseconds: u64| format!("{:.1}", nanoseconds as f64 / 1e3);
            let over = |bound: Duration| {
                let bound = bound.as_nanos() as u64;
                times.len() - times.count_between(0, bound)
            };
            table.row([
                name.to_owned(),
                operation.to_owned(),
                us(times.value_at_quantile(0.5)),
                us(times.value_at_quantile(0.999)),
                us(times.max()),
                over(BOUND / 2).to_string(),
                over(BOUND).to_string(),
            ]);
        }
    }
    println!(
        "{OPERATIONS} operations on a keyspace that is full at {} MB, cache mode, one thread, CPU \
         time:\n\n{table}",
        LIMIT_BYTES >> 20
    );
}

/// Nanoseconds of reads, of writes and of the clock alone.
fn measure(sizes: Sizes) -> [Histogram<u64>; OPERATION_NAMES.len()] {
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
    let mut times = OPERATION_NAMES.map(|_| Histogram::new(3).expect("three digits"));
    let [reads, writes, clock_alone] = &mut times;
    let record = |times: &mut Histogram<u64>, operation: &mut dyn FnMut()| {
        let start = thread_cpu();
        operation();
        let took = thread_cpu() - start;
        times.record(took.as_nanos() as u64).expect("it resizes");
    };
    for _ in 0..OPERATIONS / 2 {
        let wanted = key(written - 1 - random.u32(..WINDOW));
        record(reads, &mut || {
            let guard = store.pin();
            black_box(store.db(0, &guard, NOW_MS).read(&wanted).is_some());
        });
        record(writes, &mut || write(written));
        record(clock_alone, &mut || {});
        written += 1;
    }
    times
}

/// A key of 16 bytes.
fn key(number: u32) -> [u8; KEY_BYTES] {
    let mut key = [b'0'; KEY_BYTES];
    key[..4].copy_from_slice(&number.to_ne_bytes());
    key
}
