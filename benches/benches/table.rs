//! The keyspace against flurry, papaya and dashmap: get, set, nine gets to a set, growing.
//!
//! The time is that of the threads' CPU clocks (with two threads, of the one that took longer, over
//! the operations of both), so that what else the machine does is not in it. Waiting for a lock
//! without spinning is not in it either: it flatters dashmap, the only one that waits. Each thread
//! has a core of its own: two that take turns on one have nothing to fetch from each other.

mod contenders;

use std::hint::black_box;
use std::sync::OnceLock;
use std::time::Duration;

use benches::clock::thread_cpu;
use benches::request::key_of;
use benches::server::pin_to;
use contenders::{BATCH, Contender, Dashmap, Flurry, Mayfly, Papaya, Prefetching, fill};
use criterion::{BenchmarkId, Criterion, Throughput};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const SIZES: [u32; 4] = [1_000, 64_000, 1_000_000, 4_000_000];
const THREADS: [u64; 2] = [1, 2];

/// What is done: of so many batches one writes, or none, or all.
const MIXES: [(&str, u64); 3] = [("get", u64::MAX), ("set", 1), ("mixed", 10)];

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_millis(1_500))
        .configure_from_args();
    compare::<Mayfly>(&mut criterion);
    compare::<Prefetching>(&mut criterion);
    compare::<Flurry>(&mut criterion);
    compare::<Papaya>(&mut criterion);
    compare::<Dashmap>(&mut criterion);
    criterion.final_summary();
}

fn compare<C: Contender>(criterion: &mut Criterion) {
    for keys in SIZES {
        // Filled by the first measurement that is wanted.
        let filled = OnceLock::new();
        for (mix, batches_per_write) in MIXES {
            let mut group = criterion.benchmark_group(format!("{mix}/{keys}"));
            group.throughput(Throughput::Elements(1));
            for threads in THREADS {
                let id = BenchmarkId::new(C::NAME, format!("{threads} threads"));
                group.bench_function(id, |bencher| {
                    let map = filled.get_or_init(|| filled_with::<C>(keys));
                    bencher.iter_custom(|iterations| {
                        let batches = iterations.div_ceil(BATCH as u64 * threads);
                        let work = |seed| run(map, keys, batches_per_write, batches, seed);
                        let time = time_of(threads, work);
                        // So many operations were done, in whole batches.
                        let done = batches * BATCH as u64 * threads;
                        time.mul_f64(iterations as f64 / done as f64)
                    });
                });
            }
        }
    }
    grow::<C>(criterion);
}

fn grow<C: Contender>(criterion: &mut Criterion) {
    for keys in &SIZES[1..] {
        let mut group = criterion.benchmark_group(format!("grow/{keys}"));
        group.throughput(Throughput::Elements(u64::from(*keys)));
        group.bench_function(C::NAME, |bencher| {
            bencher.iter_custom(|iterations| {
                let once = || {
                    let map = C::empty();
                    let start = thread_cpu();
                    fill(&map, *keys);
                    thread_cpu() - start
                };
                (0..iterations).map(|_| once()).sum()
            });
        });
    }
}

/// One thread's part.
fn run(map: &impl Contender, keys: u32, batches_per_write: u64, batches: u64, seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut wanted = [key_of(0); BATCH];
    for batch in 1..=batches {
        wanted.fill_with(|| key_of(rng.u32(..keys)));
        let wanted = black_box(&wanted);
        if batch % batches_per_write == 0 {
            map.write(wanted);
        } else {
            black_box(map.read(wanted));
        }
    }
}

fn filled_with<C: Contender>(keys: u32) -> C {
    let map = C::empty();
    fill(&map, keys);
    map
}

/// The CPU time of the thread that took the longest.
fn time_of(threads: u64, work: impl Fn(u64) + Sync) -> Duration {
    let timed = &|seed| {
        pin_to(&[seed as usize - 1]).expect("a core for each thread");
        let start = thread_cpu();
        work(seed);
        thread_cpu() - start
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = (1..=threads)
            .map(|seed| scope.spawn(move || timed(seed)))
            .collect();
        let times = running
            .into_iter()
            .map(|thread| thread.join().expect("no panic"));
        times.max().unwrap_or_default()
    })
}
