//! Bytes per item and the slowest insertion of the keyspace and its rivals, as a Markdown table.
//!
//! ```text
//! cargo bench -p benches --bench growth
//! ```
//!
//! Bytes are those the allocator handed out, in its size classes, at 33 sizes across a doubling.
//! The slowest insertion is in CPU time of the inserting thread: what the scheduler takes does
//! not count, what page faults cost does.
#![allow(clippy::print_stdout, reason = "a table is what this program is for")]

#[allow(dead_code, reason = "table.rs uses the rest")]
mod contenders;

use std::process::Command;
use std::time::Duration;

use benches::clock::thread_cpu;
use benches::report::Table;
use benches::request::{KEY_BYTES, key_of};
use contenders::{Contender, Dashmap, Flurry, Mayfly, Papaya, VALUE_BYTES};
use tikv_jemalloc_ctl::{epoch, stats};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const KEYS: u32 = 4_000_000;
const SIZES: u32 = 32;
/// The variable that names the only map to measure.
const ONLY: &str = "MAYFLY_GROWTH_ONLY";

/// Measures one map: the cells of its row.
type Measure = fn() -> [String; 5];

fn main() {
    let contenders: [(&str, Measure); 4] = [
        (Mayfly::NAME, measure::<Mayfly>),
        (Flurry::NAME, measure::<Flurry>),
        (Papaya::NAME, measure::<Papaya>),
        (Dashmap::NAME, measure::<Dashmap>),
    ];
    if let Some(only) = std::env::var_os(ONLY) {
        let wanted = contenders.iter().find(|(name, _)| only == *name);
        let cells = wanted.map(|(_, measure)| measure()).expect("a contender");
        println!("{}", cells.join(" "));
        return;
    }
    let mut table = Table::new([
        "map",
        "bytes/item above key and value, worst",
        "at",
        "best",
        "slowest insertion, us of CPU",
        "insertions over 1 ms",
    ]);
    for (name, _) in contenders {
        // In a process of its own: what one frees late must not count for the next.
        let own = std::env::current_exe().expect("this program has a path");
        let output = Command::new(own).env(ONLY, name).output();
        let line = output.expect("this program can be started").stdout;
        let line = String::from_utf8_lossy(&line).into_owned();
        table.row([name].into_iter().chain(line.split_whitespace()));
    }
    println!(
        "Growing from empty to {KEYS} items, {KEY_BYTES}-byte keys, {VALUE_BYTES}-byte values \
         (bytes from half of that on):\n\n{table}"
    );
}

fn measure<C: Contender>() -> [String; 5] {
    let before = allocated();
    let map = C::empty();
    let (mut worst, mut best, mut slowest, mut slow) = ((0.0, 0), f64::MAX, Duration::ZERO, 0);
    for number in 0..KEYS {
        let key = [key_of(number)];
        let start = thread_cpu();
        map.write(&key);
        let took = thread_cpu() - start;
        slowest = slowest.max(took);
        slow += usize::from(took > Duration::from_millis(1));
        let count = number + 1;
        if count >= KEYS / 2 && count % (KEYS / 2 / SIZES) == 0 {
            let bytes = allocated().saturating_sub(before) as f64 / f64::from(count);
            let above = bytes - (KEY_BYTES + VALUE_BYTES) as f64;
            best = above.min(best);
            if above > worst.0 {
                worst = (above, count);
            }
        }
    }
    [
        format!("{:.1}", worst.0),
        worst.1.to_string(),
        format!("{best:.1}"),
        format!("{:.0}", slowest.as_secs_f64() * 1e6),
        slow.to_string(),
    ]
}

/// Blocks of the engine's arena are not jemalloc's.
fn allocated() -> usize {
    epoch::advance().expect("jemalloc counts");
    let in_arena = store::memory::in_use().arena_bytes as usize;
    stats::allocated::read().expect("jemalloc counts") + in_arena
}
