//! The engine's cache mode beside a naive form of it, an exact S3-FIFO and Redis's LRU, on the same
//! requests.
#![allow(
    clippy::print_stdout,
    reason = "the ratios are worth a look when they pass, too"
)]

use benches::simulation::{Cache, CacheMode, S3Fifo, SampledLru, miss_ratio};
use benches::traces::{self, Trace};
use store::value::string;
use store::{Draft, Options, Policy, Store, reclaim};

/// The longest part of a recorded trace that is replayed.
const REQUESTS_MAX: usize = 300_000;
const VALUE_BYTES: usize = 1_000;
/// What the engine needs for such an item, about.
const ITEM_BYTES: usize = VALUE_BYTES + 50;

/// The engine as a cache.
struct Engine(Store);

impl Engine {
    fn new(capacity: usize) -> Engine {
        let store = Store::new(&Options {
            databases: 1,
            policy: Policy::CacheMode,
            ..Options::default()
        });
        let limit = store.charged_bytes() + (capacity * ITEM_BYTES) as u64;
        store.set_memory_bytes_max(limit);
        Engine(store)
    }

    fn items(&self) -> usize {
        let guard = self.0.pin();
        self.0.db(0, &guard, 1).len() as usize
    }
}

impl Cache for Engine {
    fn ask(&mut self, object: u32, _: u32) -> bool {
        let guard = self.0.pin();
        let db = self.0.db(0, &guard, 1);
        let key = object.to_ne_bytes();
        if db.read(&key).is_some() {
            return true;
        }
        db.make_room(VALUE_BYTES).expect("something can go");
        let value = [b'v'; VALUE_BYTES];
        db.put(&key, Draft::new(string::bytes(&value)))
            .expect("no transaction is in the way");
        false
    }
}

#[test]
fn the_engine_keeps_what_its_reference_keeps() {
    let mut all = traces::recorded().expect("readable traces");
    all.push(traces::zipf(0.9, 40_000, 200_000));
    all.push(traces::drift(0.9, 40_000, 200_000));
    all.push(traces::scans(0.9, 40_000, 200_000));
    // Caches of some hundreds of items are too small for the grain of the engine's memory.
    all.retain(|trace| trace.objects >= 30_000);
    for Trace {
        name,
        mut requests,
        objects,
    } in all
    {
        requests.truncate(REQUESTS_MAX);
        let wanted = objects / 10;
        let one = |_| 1;
        let mut engine = Engine::new(wanted);
        let missed = miss_ratio(&mut engine, &requests, one);
        // How many items its bytes were enough for: the others get as many.
        let capacity = engine.items();
        drop(engine);
        let engine = missed;
        reclaim::settle();
        let mut naive = CacheMode::new(objects, capacity as u64, capacity);
        let naive = miss_ratio(&mut naive, &requests, one);
        let exact = miss_ratio(&mut S3Fifo::new(objects, capacity as u64), &requests, one);
        let lru = miss_ratio(
            &mut SampledLru::new(objects, capacity as u64),
            &requests,
            one,
        );
        println!(
            "{name}, {capacity} items of {wanted}: engine {engine:.4}, naive {naive:.4}, \
             S3-FIFO {exact:.4}, LRU {lru:.4}"
        );
        let near = |other: f64| (engine - other).abs() < 0.05 * other;
        assert!(
            near(naive),
            "{name}: {engine} against the reference's {naive}"
        );
        let best = lru.min(exact);
        assert!(
            engine < 1.05 * best,
            "{name}: {engine} against the better one's {best}"
        );
    }
}
