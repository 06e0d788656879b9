//! The shifts of [`shifts`](crate::shifts), slowly, over an hour, on all servers at once.
//!
//! What is wanted are resident sizes, which do not depend on what else the machine does: so the
//! servers share their core, and the load, spread evenly over the time, leaves it idle mostly.

use std::io;
use std::thread::{self, sleep};
use std::time::Duration;

use benches::clock::Moment;
use benches::report::Table;
use benches::server::{Peer, pin_to};

use crate::shifts::{Cache, Gauge, LIVE_BYTES, LIVE_BYTES_QUICK, PHASES, Ratios, start};
use crate::{LOAD_CORE, Plan, SERVER_CORE};

const MINUTES: u64 = 60;
/// How often the sizes go through all phases.
const CYCLES: usize = 8;
/// Batches between two looks at the resident size, and then the clock.
const BATCHES_PER_LOOK: usize = 50;

pub(crate) fn measure(plan: &Plan) -> io::Result<()> {
    pin_to(&[LOAD_CORE])?;
    let (live_bytes, minutes, cycles) = match plan.is_quick {
        true => (LIVE_BYTES_QUICK, 2, 1),
        false => (LIVE_BYTES, MINUTES, CYCLES),
    };
    let phases = cycles * PHASES.len();
    let phase_time = Duration::from_secs(minutes * 60) / phases as u32;
    let histories: Vec<Vec<Stretch>> = thread::scope(|scope| {
        let watch = |peer| scope.spawn(move || watch(peer, live_bytes, phases, phase_time));
        let threads: Vec<_> = plan.peers.iter().map(watch).collect();
        let join = |thread: thread::ScopedJoinHandle<'_, _>| thread.join().expect("no panic");
        threads.into_iter().map(join).collect::<io::Result<_>>()
    })?;
    let names = plan.peers.iter().map(|peer| peer.name.clone());
    let heading = ["minute", "bytes of values"].map(str::to_owned);
    let mut table = Table::new(heading.into_iter().chain(names));
    for phase in 0..phases {
        let (least, most) = PHASES[phase % PHASES.len()];
        let minute = (phase + 1) as f64 * phase_time.as_secs_f64() / 60.0;
        let mut cells = vec![format!("{minute:.1}"), format!("{least} to {most}")];
        cells.extend(histories.iter().map(|history| history[phase].to_string()));
        table.row(cells);
    }
    let worst = histories.iter().map(|history| {
        let worst = history[1..].iter().map(|stretch| stretch.worst);
        worst.fold(Ratios::default(), Ratios::max)
    });
    let worst: Vec<Ratios> = worst.collect();
    for (by, print) in [
        (
            "by keys and values",
            Ratios::content as fn(Ratios) -> String,
        ),
        ("by what the server counts", Ratios::counted),
    ] {
        let heading = ["worst from the second phase on", by].map(str::to_owned);
        table.row(heading.into_iter().chain(worst.iter().copied().map(print)));
    }
    println!(
        "Resident bytes by live bytes of keys and values, {} MB live: worst of a phase, at its \
         end (two of live bytes are written per phase, evenly; all servers at once on core \
         {SERVER_CORE}; redis and valkey with activedefrag where their build has it):\n\n{table}",
        live_bytes >> 20
    );
    Ok(())
}

/// One phase of a server: its worst ratios of resident to other bytes, and the last.
struct Stretch {
    worst: Ratios,
    last: Ratios,
}

impl std::fmt::Display for Stretch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, {}", self.worst.content(), self.last.content())
    }
}

fn watch(
    peer: &Peer,
    live_bytes: usize,
    phases: usize,
    phase_time: Duration,
) -> io::Result<Vec<Stretch>> {
    let server = start(peer)?;
    let mut gauge = Gauge::of_empty(&server)?;
    let mut cache = Cache::connect(&server, live_bytes)?;
    let begin = Moment::now();
    let mut history = Vec::new();
    for phase in 0..phases {
        let sizes = PHASES[phase % PHASES.len()];
        let (mut written, bytes) = (0, 2 * live_bytes);
        let mut stretch = Stretch {
            worst: Ratios::default(),
            last: Ratios::default(),
        };
        while written < bytes {
            for _ in 0..BATCHES_PER_LOOK {
                written += cache.batch(sizes)?;
            }
            let share = (written as f64 / bytes as f64).min(1.0);
            let due = phase_time.mul_f64(phase as f64 + share);
            sleep(due.saturating_sub(begin.elapsed()));
            stretch.last = gauge.ratios(cache.bytes)?;
            stretch.worst = stretch.worst.max(stretch.last);
        }
        eprintln!("{} after phase {phase}: {stretch}", peer.name);
        history.push(stretch);
    }
    Ok(history)
}
