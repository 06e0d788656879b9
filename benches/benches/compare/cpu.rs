//! What an operation costs the server.
//!
//! All servers run at once, each with all of its threads on one core, and are loaded in turn for
//! one slice after the other, so that a change in the machine's mood meets all of them. The
//! figure is the median of the slices.

use std::io;
use std::time::Duration;

use benches::load::{Keys, Load, Outcome, Shape};
use benches::report::Table;
use benches::request::{Op, Payload};
use benches::server::{Server, pin_to};

use crate::{LOAD_CORE, Plan, SERVER_CORE};

const OPS: [Op; 9] = [
    Op::Get,
    Op::Set,
    Op::Mget,
    Op::Mset,
    Op::Incr,
    Op::Hset,
    Op::HsetOne,
    Op::MemcachedGet,
    Op::MemcachedSet,
];
const PIPELINES: [usize; 3] = [1, 16, 64];
const KEYS: [u32; 2] = [1_000, 1_000_000];
pub(crate) const CONNECTIONS: usize = 20;
const SLICES: usize = 5;
const WARM_UP: Duration = Duration::from_millis(100);

/// One figure of one server.
pub(crate) struct Cost {
    pub(crate) cpu_us: f64,
    pub(crate) load_cpu_us: f64,
    pub(crate) outcome: Outcome,
}

pub(crate) fn measure(plan: &Plan) -> io::Result<()> {
    pin_to(&[LOAD_CORE])?;
    for keys in KEYS {
        let (mut costs, mut rates) = (heading(plan), heading(plan));
        let mut filled: Option<(Op, Vec<(Server, bool)>)> = None;
        for op in OPS.into_iter().filter(|op| plan.wants(&op.name())) {
            let servers = match filled.take() {
                Some((by, servers)) if by == op.filled_by() => servers,
                _ => start_filled(plan, op, keys)?,
            };
            for pipeline in PIPELINES {
                let shape = Shape {
                    op,
                    pipeline,
                    connections: CONNECTIONS,
                    payload: Payload::default(),
                };
                let row = measure_row(plan, &servers, shape, keys)?;
                let label = format!("{}, pipeline {pipeline}", op.name());
                let cells = row
                    .iter()
                    .map(|cost| tell(cost.as_ref(), |cost| format!("{:.2}", cost.cpu_us)));
                eprintln!(
                    "{keys} keys, {label}: {:?}",
                    cells.clone().collect::<Vec<_>>()
                );
                costs.row([label.clone()].into_iter().chain(cells));
                let cells = row.iter().map(|cost| tell(cost.as_ref(), rate_cell));
                rates.row([label].into_iter().chain(cells));
            }
            filled = Some((op.filled_by(), servers));
        }
        println!(
            "### {keys} keys\n\nServer CPU microseconds per operation (all server threads on core \
             {SERVER_CORE}, the load on core {LOAD_CORE}, {CONNECTIONS} connections, 16-byte keys, \
             64-byte values):\n\n{costs}"
        );
        println!(
            "Thousand operations per second; p50 / p99 / p99.9 of a batch in ms; CPU \
             microseconds of the load per operation (where that is the larger, the load is the \
             limit):\n\n{rates}"
        );
    }
    Ok(())
}

fn heading(plan: &Plan) -> Table {
    let names = plan.peers.iter().map(|peer| peer.name.clone());
    Table::new(["operation".to_owned()].into_iter().chain(names))
}

fn tell(cost: Option<&Cost>, cell: impl Fn(&Cost) -> String) -> String {
    cost.map(cell).unwrap_or_default()
}

fn rate_cell(cost: &Cost) -> String {
    let outcome = &cost.outcome;
    format!(
        "{:.0}; {:.2} / {:.2} / {:.2}; {:.2}",
        outcome.per_second() / 1e3,
        outcome.latency_ms(0.5),
        outcome.latency_ms(0.99),
        outcome.latency_ms(0.999),
        cost.load_cpu_us,
    )
}

/// Whether it worked; says on standard error if it did not.
fn told(done: io::Result<()>, server: &str) -> bool {
    if let Err(error) = &done {
        eprintln!("{server}: {error}");
    }
    done.is_ok()
}

/// The servers, and which of them hold the keys `op` needs.
fn start_filled(plan: &Plan, op: Op, keys: u32) -> io::Result<Vec<(Server, bool)>> {
    let mut servers = Vec::new();
    for peer in &plan.peers {
        let server = peer.start(1, &[SERVER_CORE])?;
        // A server that cannot do this has an empty cell, and says why.
        let filled = server.address(op.protocol()).is_some()
            && told(
                fill(&server, op.filled_by(), Payload::default(), (0, keys)),
                &peer.name,
            );
        servers.push((server, filled));
    }
    Ok(servers)
}

/// Writes each of a range of keys.
pub(crate) fn fill(
    server: &Server,
    op: Op,
    payload: Payload,
    (from, to): (u32, u32),
) -> io::Result<()> {
    let shape = Shape {
        op,
        pipeline: 64,
        connections: 4,
        payload,
    };
    let address = server
        .address(op.protocol())
        .ok_or(io::ErrorKind::Unsupported)?;
    Load::connect(address, shape)?.run(Keys::Each(from, to), Duration::MAX)?;
    Ok(())
}

/// Loads the filled ones of some servers in turn.
pub(crate) fn measure_row(
    plan: &Plan,
    servers: &[(Server, bool)],
    shape: Shape,
    keys: u32,
) -> io::Result<Vec<Option<Cost>>> {
    let mut loads = Vec::new();
    for (server, is_filled) in servers {
        let address = server.address(shape.op.protocol()).filter(|_| *is_filled);
        loads.push(
            address
                .map(|address| Load::connect(address, shape))
                .transpose()?,
        );
    }
    let mut slices: Vec<Vec<Cost>> = servers.iter().map(|_| Vec::new()).collect();
    for _ in 0..SLICES {
        for (index, load) in loads.iter_mut().enumerate() {
            let Some(load) = load else { continue };
            let slice = plan.duration() / SLICES as u32;
            slices[index].push(measure_once(&servers[index].0, load, keys, slice)?);
        }
    }
    Ok(slices.into_iter().map(median).collect())
}

/// The median of several slices of one server under one load.
pub(crate) fn median_cost(
    plan: &Plan,
    server: &Server,
    load: &mut Load,
    keys: u32,
) -> io::Result<Cost> {
    let slice = plan.duration() / SLICES as u32;
    let slices: io::Result<Vec<Cost>> = (0..SLICES)
        .map(|_| measure_once(server, load, keys, slice))
        .collect();
    Ok(median(slices?).expect("there are slices"))
}

/// Loads a server for a while and asks what that cost.
pub(crate) fn measure_once(
    server: &Server,
    load: &mut Load,
    keys: u32,
    duration: Duration,
) -> io::Result<Cost> {
    load.run(Keys::Random(keys), WARM_UP)?;
    let before = server.cpu()?;
    let outcome = load.run(Keys::Random(keys), duration)?;
    let cpu = server.cpu()? - before;
    Ok(Cost {
        cpu_us: per_request_us(cpu, &outcome),
        load_cpu_us: per_request_us(outcome.load_cpu, &outcome),
        outcome,
    })
}

fn per_request_us(cpu: Duration, outcome: &Outcome) -> f64 {
    cpu.as_secs_f64() * 1e6 / outcome.requests.max(1) as f64
}

/// The slice of median cost, with all latencies of all slices.
fn median(mut slices: Vec<Cost>) -> Option<Cost> {
    slices.sort_by(|one, other| one.cpu_us.total_cmp(&other.cpu_us));
    let middle = slices.len() / 2;
    let mut latency_ns = slices.first()?.outcome.latency_ns.clone();
    for slice in &slices[1..] {
        latency_ns
            .add(&slice.outcome.latency_ns)
            .expect("one range");
    }
    let mut cost = slices.swap_remove(middle);
    cost.outcome.latency_ns = latency_ns;
    Some(cost)
}
