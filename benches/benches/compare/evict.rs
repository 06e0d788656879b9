//! What it costs to be full: sets of new keys, each of which evicts others, and gets.
//!
//! Every server is filled with twice what its limit allows, so that it has been evicting for long
//! when measuring begins. All share one core and are loaded by turns, one slice after the other, so
//! that a change in the machine's mood meets all of them. Of equal servers one takes up to a tenth
//! more than another for as long as it runs, by the memory that it was given, and the first to be
//! started mostly does: so all are started anew in rounds, in another order each time. Servers
//! evict before they answer, or beside that: either way the quantiles and the longest wait show it.

use std::io;
use std::time::Duration;

use benches::churn::{Churn, ChurnBatch, Sizes};
use benches::load::{Load, Outcome};
use benches::report::Table;
use benches::request::Protocol;
use benches::server::{Peer, Server, pin_to};

use crate::cpu::CONNECTIONS;
use crate::{LOAD_CORE, Plan, SERVER_CORE};

/// The longest values of the published distribution are left out: what a server keeps of them
/// would be chance. Long ones come from another allocator than short ones, with us as with others.
const SIZES: [(&str, Sizes); 4] = [
    ("100 bytes", Sizes::Fixed(100)),
    ("ETC", Sizes::Etc(8_000)),
    ("20 kB", Sizes::Fixed(20_000)),
    ("200 kB", Sizes::Fixed(200_000)),
];
const PIPELINES: [usize; 2] = [1, 16];
const GETS_PERCENT: u32 = 50;
/// GETs ask for the newest of this part of what there is memory for: every server has nearly all of
/// them, and so does the same work.
const WINDOW_PART: f64 = 0.6;
/// The connections that fill a server, and the requests of each in flight.
pub(crate) const FILLING: (usize, usize) = (4, 64);
/// What an item takes beside key and value, about.
const OVERHEAD_BYTES: usize = 50;
/// How long a server is loaded until the next one is.
const SLICE: Duration = Duration::from_millis(200);

/// A server with the policy that is measured.
type Contender<'p> = (String, &'p Peer, Option<&'static str>);

pub(crate) fn measure(plan: &Plan) -> io::Result<()> {
    pin_to(&[LOAD_CORE])?;
    let limit_mb = if plan.is_quick { 64 } else { 256 };
    for (name, sizes) in SIZES.into_iter().filter(|(name, _)| plan.wants(name)) {
        let mut table = Table::new([
            "server",
            "pipeline",
            "kops/s",
            "CPU us",
            "load CPU us",
            "p50 ms",
            "p99 ms",
            "p99.9 ms",
            "worst ms",
            "hits",
            "refused",
            "MB at most",
        ]);
        let tallies = evict_in_rounds(plan, sizes, limit_mb)?;
        for (pipeline, tallies) in PIPELINES.into_iter().zip(&tallies) {
            for ((name, ..), tally) in contenders(plan).into_iter().zip(tallies) {
                let row = tally.row(name, pipeline);
                eprintln!("{row:?}");
                table.row(row);
            }
        }
        println!(
            "### Full at {limit_mb} MB, values of {name}\n\n{CONNECTIONS} connections, \
             {GETS_PERCENT} percent GETs of recent keys, the rest SETs of new ones; 16-byte keys; \
             CPU microseconds per request, milliseconds per batch; servers by turns on core \
             {SERVER_CORE}, load on core {LOAD_CORE}:\n\n{table}"
        );
    }
    Ok(())
}

/// Every server with the policies that are measured.
pub(crate) fn contenders(plan: &Plan) -> Vec<Contender<'_>> {
    let mut all = Vec::new();
    for peer in &plan.peers {
        let name = &peer.name;
        if peer.is_mayfly {
            all.push((format!("{name}, cache_mode"), peer, Some("cache_mode")));
        }
        all.push(match peer.speaks(Protocol::Resp) {
            true => (format!("{name}, allkeys-lru"), peer, Some("allkeys-lru")),
            false => (name.clone(), peer, None),
        });
    }
    all
}

/// Starts a server that evicts, with so many threads on these cores.
pub(crate) fn start_limited(
    peer: &Peer,
    policy: Option<&str>,
    limit_mb: u64,
    (threads, cores): (usize, &[usize]),
) -> io::Result<Server> {
    let Some(policy) = policy else {
        return peer.with_memory(limit_mb).start(threads, cores);
    };
    let server = peer.start(threads, cores)?;
    let mut admin = server.admin()?;
    admin.call(&["CONFIG", "SET", "maxmemory-policy", policy])?;
    let limit_bytes = limit_mb << 20;
    admin.call(&["CONFIG", "SET", "maxmemory", &limit_bytes.to_string()])?;
    Ok(server)
}

/// About as many keys as there is memory for.
fn keys_of(sizes: Sizes, limit_mb: u64) -> u32 {
    let items = (limit_mb << 20) / (sizes.mean_item_bytes() + OVERHEAD_BYTES) as u64;
    items as u32
}

/// Connections for a churn of such values.
pub(crate) fn connect(
    server: &Server,
    sizes: Sizes,
    (connections, pipeline): (usize, usize),
) -> io::Result<Load<ChurnBatch>> {
    let protocol = match server.address(Protocol::Resp) {
        Some(_) => Protocol::Resp,
        None => Protocol::Memcached,
    };
    let address = server.address(protocol).ok_or(io::ErrorKind::Unsupported)?;
    let batch = || ChurnBatch::new(protocol, pipeline, sizes.most());
    Load::connect_each(address, (0..connections).map(|_| batch()))
}

/// Sets so many keys, over so many connections with so many requests in flight.
pub(crate) fn set_keys(
    server: &Server,
    churn: &mut Churn,
    keys: u32,
    connections: (usize, usize),
) -> io::Result<()> {
    let mut load = connect(server, churn.sizes, connections)?;
    load.run_with(Duration::MAX, |batch, rng| {
        let goes_on = churn.keys_set() < keys;
        if goes_on {
            churn.fill(batch, rng);
        }
        goes_on
    })?;
    Ok(())
}

/// What each contender did, by pipeline: every contender has every place in the order twice, the
/// second time with the others the other way around.
fn evict_in_rounds(plan: &Plan, sizes: Sizes, limit_mb: u64) -> io::Result<Vec<Vec<Tally>>> {
    let contenders = contenders(plan);
    let count = contenders.len();
    let rounds = 2 * count;
    let slices = (5 * plan.duration()).as_millis() / SLICE.as_millis();
    let slices_per_round = slices.div_ceil(rounds.max(1) as u128);
    let mut tallies = PIPELINES.map(|_| vec![Tally::default(); count]).to_vec();
    for round in 0..rounds {
        let mut order: Vec<usize> = (0..count).map(|place| (round + place) % count).collect();
        if round >= count {
            order.reverse();
        }
        let mut all_full = order
            .into_iter()
            .map(|index| Full::new(index, &contenders[index], sizes, limit_mb))
            .collect::<io::Result<Vec<_>>>()?;
        for (pipeline, tallies) in PIPELINES.into_iter().zip(&mut tallies) {
            evict_by_turns(&mut all_full, pipeline, slices_per_round, tallies)?;
        }
    }
    Ok(tallies)
}

/// Loads each server for so many slices, and adds to its contender's tally.
fn evict_by_turns(
    all_full: &mut [Full],
    pipeline: usize,
    slices: u128,
    tallies: &mut [Tally],
) -> io::Result<()> {
    let mut all_turns = all_full
        .iter_mut()
        .map(|full| Turns::new(full, pipeline))
        .collect::<io::Result<Vec<_>>>()?;
    for _ in 0..slices {
        for turns in &mut all_turns {
            turns.take(&mut tallies[turns.full.index])?;
        }
    }
    for turns in all_turns {
        turns.count(&mut tallies[turns.full.index]);
    }
    Ok(())
}

/// A server that evicts.
struct Full {
    /// Which of the contenders it is.
    index: usize,
    server: Server,
    churn: Churn,
}

impl Full {
    fn new(
        index: usize,
        (_, peer, policy): &Contender<'_>,
        sizes: Sizes,
        limit_mb: u64,
    ) -> io::Result<Full> {
        let server = start_limited(peer, *policy, limit_mb, (1, &[SERVER_CORE]))?;
        let keys = keys_of(sizes, limit_mb);
        let mut churn = Churn::new(sizes, (f64::from(keys) * WINDOW_PART) as u32);
        set_keys(&server, &mut churn, 2 * keys, FILLING)?;
        churn.gets_percent = GETS_PERCENT;
        Ok(Full {
            index,
            server,
            churn,
        })
    }
}

/// A server's connections for the slices of one round.
struct Turns<'f> {
    full: &'f mut Full,
    load: Load<ChurnBatch>,
}

impl Turns<'_> {
    fn new(full: &mut Full, pipeline: usize) -> io::Result<Turns<'_>> {
        let load = connect(&full.server, full.churn.sizes, (CONNECTIONS, pipeline))?;
        full.churn.on_the_way = (CONNECTIONS * pipeline) as u32;
        Ok(Turns { full, load })
    }

    /// Loads the server for a slice.
    fn take(&mut self, tally: &mut Tally) -> io::Result<()> {
        let Full { server, churn, .. } = &mut *self.full;
        let before = server.cpu()?;
        let outcome = self.load.run_with(SLICE, |batch, rng| {
            churn.fill(batch, rng);
            true
        })?;
        tally.cpu += server.cpu()? - before;
        tally.resident_bytes_max = server.resident_bytes()?.max(tally.resident_bytes_max);
        match &mut tally.outcome {
            Some(all) => all.add(&outcome),
            None => tally.outcome = Some(outcome),
        }
        Ok(())
    }

    /// Adds what its connections counted.
    fn count(&self, tally: &mut Tally) {
        for batch in self.load.exchanges() {
            tally.gets += batch.gets;
            tally.hits += batch.hits;
            tally.refused += batch.refused;
        }
    }
}

/// What a contender did in all its slices.
#[derive(Clone, Default)]
struct Tally {
    outcome: Option<Outcome>,
    cpu: Duration,
    resident_bytes_max: u64,
    gets: u64,
    hits: u64,
    refused: u64,
}

impl Tally {
    fn row(&self, name: String, pipeline: usize) -> Vec<String> {
        let outcome = self.outcome.as_ref().expect("it took its turns");
        let hits = self.hits as f64 / self.gets.max(1) as f64;
        let per_request_us = |time: Duration| time.as_secs_f64() * 1e6 / outcome.requests as f64;
        vec![
            name,
            pipeline.to_string(),
            format!("{:.0}", outcome.per_second() / 1e3),
            format!("{:.2}", per_request_us(self.cpu)),
            format!("{:.2}", per_request_us(outcome.load_cpu)),
            format!("{:.2}", outcome.latency_ms(0.5)),
            format!("{:.2}", outcome.latency_ms(0.99)),
            format!("{:.2}", outcome.latency_ms(0.999)),
            format!("{:.2}", outcome.latency_ms(1.0)),
            format!("{:.1}%", 100.0 * hits),
            self.refused.to_string(),
            format!("{:.0}", self.resident_bytes_max as f64 / f64::from(1 << 20)),
        ]
    }
}
