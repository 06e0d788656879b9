//! The keyspace against flurry, papaya and dashmap: get, set, nine gets to a set, growing.
//!
//! With one thread the time is that of the thread's CPU clock, so that what else the machine
//! does is not in it; with two it is the clock on the wall.

mod contenders;

use std::hint::black_box;
use std::time::Duration;

use benches::clock::{Moment, thread_cpu};
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
        let map = C::empty();
        fill(&map, keys);
        for (mix, batches_per_write) in MIXES {
            let mut group = criterion.benchmark_group(format!("{mix}/{keys}"));
            group.throughput(Throughput::Elements(1));
            for threads in THREADS {
                let id = BenchmarkId::new(C::NAME, format!("{threads} threads"));
                group.bench_function(id, |bencher| {
                    bencher.iter_custom(|iterations| {
                        let batches = iterations.div_ceil(BATCH as u64 * threads);
                        let work = |seed| run(&map, keys, batches_per_write, batches, seed);
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
    let mut numbers = [0; BATCH];
    for batch in 1..=batches {
        numbers.fill_with(|| rng.u32(..keys));
        if batch % batches_per_write == 0 {
            map.write(&numbers);
        } else {
            black_box(map.read(&numbers));
        }
    }
}

fn time_of(threads: u64, work: impl Fn(u64) + Sync) -> Duration {
    if threads == 1 {
        let start = thread_cpu();
        work(1);
        return thread_cpu() - start;
    }
    let start = Moment::now();
    std::thread::scope(|scope| {
        for seed in 1..=threads {
            let work = &work;
            scope.spawn(move || work(seed));
        }
    });
    start.elapsed()
}
