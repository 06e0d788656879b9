//! Long values that come at full speed when memory is full of short ones: how much is resident at
//! most, and for how long more than should be.
//!
//! The server has two threads, on both cores; the load shares one of them.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use benches::churn::{Churn, Sizes};
use benches::clock::Moment;
use benches::report::Table;
use benches::server::{Server, pin_to};

use crate::cpu::CONNECTIONS;
use crate::evict::{FILLING, contenders, set_keys, start_limited};
use crate::{LOAD_CORE, Plan, SERVER_CORE};

const THREADS: usize = 2;
const SHORT: Sizes = Sizes::Fixed(40);
const LONG: [(&str, usize); 3] = [("20 kB", 20_000), ("200 kB", 200_000), ("1 MB", 1_000_000)];
/// This part of the limit may be resident beyond it.
const ALLOWED_PART: u64 = 10;
const LOOK_EVERY: Duration = Duration::from_millis(1);

pub(crate) fn measure(plan: &Plan) -> io::Result<()> {
    pin_to(&[LOAD_CORE])?;
    let (limit_mb, flood_bytes) = match plan.is_quick {
        true => (64, 500 << 20),
        false => (256, 2 << 30),
    };
    let mut table = Table::new([
        "server",
        "values",
        "MB/s",
        "CPU us",
        "MB at most",
        "ms above",
    ]);
    for (name, value_bytes) in LONG.into_iter().filter(|(name, _)| plan.wants(name)) {
        for (server_name, peer, policy) in contenders(plan) {
            let cores = [SERVER_CORE, LOAD_CORE];
            let server = start_limited(peer, policy, limit_mb, (THREADS, &cores))?;
            let flood = Flood {
                values: (flood_bytes / value_bytes) as u32,
                sizes: Sizes::Fixed(value_bytes),
                bytes_allowed: (limit_mb << 20) / ALLOWED_PART * (ALLOWED_PART + 1),
            };
            let [speed, cpu, most, above] = flood.over(&server, limit_mb)?;
            let row = [server_name, name.into(), speed, cpu, most, above];
            eprintln!("{row:?}");
            table.row(row);
        }
    }
    println!(
        "{limit_mb} MB, full of values of {} bytes, then {CONNECTIONS} connections that set {} MB \
         of long ones; {THREADS} threads on two cores, of which the load has one; most MB \
         resident, and for how many milliseconds more than a tenth above the limit; CPU \
         microseconds per set:\n\n{table}",
        SHORT.most(),
        flood_bytes >> 20,
    );
    Ok(())
}

struct Flood {
    values: u32,
    sizes: Sizes,
    bytes_allowed: u64,
}

impl Flood {
    /// Fills a server with short values, then floods it; a row's figures.
    fn over(&self, server: &Server, limit_mb: u64) -> io::Result<[String; 4]> {
        let short_keys = ((limit_mb << 20) / SHORT.mean_item_bytes() as u64) as u32;
        set_keys(server, &mut Churn::new(SHORT, 1), short_keys, FILLING)?;
        let before = server.cpu()?;
        let start = Moment::now();
        let (bytes_max, above) = self.watched(server, || {
            let mut churn = Churn::new(self.sizes, 1);
            set_keys(server, &mut churn, self.values, (CONNECTIONS, 1))
        })?;
        let seconds = start.elapsed().as_secs_f64();
        let cpu = server.cpu()? - before;
        let megabytes = f64::from(self.values) * self.sizes.most() as f64 / 1e6;
        Ok([
            format!("{:.0}", megabytes / seconds),
            format!("{:.1}", cpu.as_secs_f64() * 1e6 / f64::from(self.values)),
            format!("{:.1}", bytes_max as f64 / 1e6),
            above.as_millis().to_string(),
        ])
    }

    /// The most bytes that are resident while `work` goes on, and how long it is too many.
    fn watched(
        &self,
        server: &Server,
        work: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<(u64, Duration)> {
        let is_over = AtomicBool::new(false);
        let watch = || {
            let (mut most, mut above, mut last) = (0, Duration::ZERO, Moment::now());
            while !is_over.load(Ordering::Relaxed) {
                let bytes = server.resident_bytes()?;
                most = bytes.max(most);
                if bytes > self.bytes_allowed {
                    above += last.elapsed();
                }
                last = Moment::now();
                thread::sleep(LOOK_EVERY);
            }
            Ok((most, above))
        };
        thread::scope(|scope| {
            let watching = scope.spawn(watch);
            let result = work();
            is_over.store(true, Ordering::Relaxed);
            let watched = watching.join().expect("no panic");
            result.and(watched)
        })
    }
}
