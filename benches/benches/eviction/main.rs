//! Eviction policies compared on traces, without a server: see `benches::simulation`.
//!
//! ```text
//! MAYFLY_TRACES=folder cargo bench -p benches --bench eviction
//! ```
#![allow(clippy::print_stdout, reason = "tables are what this program is for")]

use std::io;

use benches::report::Table;
use benches::simulation::{Cache, CacheMode, Order, Ordered, S3Fifo};
use benches::simulation::{SampledLfu, SampledLru, miss_ratio};
use benches::traces::{self, Trace};

const OBJECTS: usize = 200_000;
const REQUESTS: usize = 2_000_000;
const NAMES: [&str; 6] = [
    "Redis's LRU",
    "Redis's LFU",
    "S3-FIFO, exact",
    "queues, by age",
    "queues",
    "cache mode",
];

fn main() -> io::Result<()> {
    let mut all = traces::recorded()?;
    all.extend([0.7, 0.9, 1.0, 1.2].map(|skew| traces::zipf(skew, OBJECTS, REQUESTS)));
    all.push(traces::drift(0.9, OBJECTS, REQUESTS));
    all.push(traces::scans(0.9, OBJECTS, REQUESTS));
    for (what, bytes) in [
        ("one size", one as fn(u32) -> u32),
        ("sizes of a published distribution", traces::value_bytes),
    ] {
        println!(
            "Misses in percent, values of {what}:\n\n{}",
            compare(&all, bytes)
        );
    }
    Ok(())
}

fn one(_: u32) -> u32 {
    1
}

fn compare(all: &[Trace], bytes: fn(u32) -> u32) -> Table {
    let columns = ["trace", "memory"].into_iter().chain(NAMES);
    let mut table = Table::new(columns);
    let mut gains = [(0.0, f64::MAX); NAMES.len()];
    for trace in all {
        for percent in [1, 10, 30] {
            let ratios = ratios(trace, percent, bytes);
            for (gain, ratio) in gains.iter_mut().zip(ratios) {
                let now = 1.0 - ratio / ratios[0];
                *gain = (gain.0 + now, gain.1.min(now));
            }
            let cells = ratios.map(|ratio| format!("{:.2}", ratio * 100.0));
            table.row(
                [trace.name.clone(), format!("{percent}%")]
                    .into_iter()
                    .chain(cells),
            );
        }
    }
    let rows = 3.0 * all.len() as f64;
    let means =
        gains.map(|(sum, worst)| format!("{:+.1}% ({:+.1})", -sum / rows * 100.0, -worst * 100.0));
    let head = ["against LRU".to_owned(), "mean (worst)".to_owned()];
    table.row(head.into_iter().chain(means));
    table
}

fn ratios(trace: &Trace, percent: u64, bytes: fn(u32) -> u32) -> [f64; NAMES.len()] {
    let objects = trace.objects;
    let whole: u64 = (0..objects as u32).map(|o| u64::from(bytes(o))).sum();
    let capacity = whole * percent / 100;
    let items = objects * percent as usize / 100;
    let queues = |by_size| Ordered::new(Order::Queues, objects, capacity, items, by_size);
    let caches: [Box<dyn Cache>; NAMES.len()] = [
        Box::new(SampledLru::new(objects, capacity)),
        Box::new(SampledLfu::new(objects, capacity)),
        Box::new(S3Fifo::new(objects, capacity)),
        Box::new(queues(false)),
        Box::new(queues(true)),
        Box::new(CacheMode::new(objects, capacity, items)),
    ];
    caches.map(|mut cache| miss_ratio(&mut *cache, &trace.requests, bytes))
}
