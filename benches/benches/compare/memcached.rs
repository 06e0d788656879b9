//! Memcached's protocols, text, meta and binary, beside memcached itself.
//!
//! One thread of the server on one core, then two on both. On two the load shares a core with the
//! server: CPU time per operation is the figure, not the rate at the wire. With the most keys the
//! physical memory is told, too.

use std::io;
use std::thread::sleep;
use std::time::Duration;

use benches::load::Shape;
use benches::report::Table;
use benches::request::{Op, Payload, Protocol};
use benches::server::{Server, pin_to};

use crate::cpu::{CONNECTIONS, Cost, fill, measure_row};
use crate::{LOAD_CORE, Plan, SERVER_CORE};

/// What is asked, and how many at a time.
const LOADS: [(Op, usize); 14] = [
    (Op::MemcachedGet, 1),
    (Op::MemcachedGet, 16),
    (Op::MemcachedSet, 1),
    (Op::MemcachedSet, 16),
    (Op::MemcachedGetMany(10), 1),
    (Op::MemcachedGetMany(10), 16),
    (Op::MemcachedGetMany(100), 1),
    (Op::MemcachedGetMany(100), 4),
    (Op::MetaGet, 16),
    (Op::MetaGet, 64),
    (Op::MetaSet, 16),
    (Op::MetaSet, 64),
    (Op::BinaryGet, 16),
    (Op::BinaryGet, 64),
];
const KEYS: [u32; 2] = [1_000, 2_000_000];
const PAYLOAD: Payload = Payload {
    value_bytes: 100,
    expires: false,
};
/// Allocators give pages back some time after they were freed.
const REST: Duration = Duration::from_millis(1_500);

pub(crate) fn measure(plan: &Plan) -> io::Result<()> {
    pin_to(&[LOAD_CORE])?;
    for keys in KEYS {
        for (threads, cores) in [(1, &[SERVER_CORE][..]), (2, &[SERVER_CORE, LOAD_CORE])] {
            measure_servers(plan, keys, (threads, cores))?;
        }
    }
    Ok(())
}

fn measure_servers(plan: &Plan, keys: u32, on: (usize, &[usize])) -> io::Result<()> {
    let (threads, cores) = on;
    let mut servers = Vec::new();
    let mut heading = vec!["operation".to_owned()];
    let mut resident = Vec::new();
    for peer in &plan.peers {
        if !peer.speaks(Protocol::Memcached) {
            continue;
        }
        let server = peer.start(threads, cores)?;
        sleep(REST);
        let empty = server.resident_bytes()?;
        fill(&server, Op::MemcachedSet, PAYLOAD, (0, keys))?;
        sleep(REST);
        let used = server.resident_bytes()?.saturating_sub(empty) as f64;
        let bytes_per_item = used / f64::from(keys);
        resident.push(format!("{} {bytes_per_item:.1}", peer.name));
        heading.push(peer.name.clone());
        servers.push((server, true));
    }
    heading.push("ratio".to_owned());
    let mut table = Table::new(heading);
    for (op, pipeline) in LOADS {
        let label = format!("{}, pipeline {pipeline}", op.name());
        if plan.wants(&label) {
            let shape = Shape {
                op,
                pipeline,
                connections: CONNECTIONS,
                payload: PAYLOAD,
            };
            table.row(row(plan, &servers, shape, keys, label)?);
        }
    }
    println!(
        "### {keys} keys, {threads} threads of each server on cores {cores:?}\n\nServer CPU \
         microseconds per operation (the load on core {LOAD_CORE}, {CONNECTIONS} connections, \
         16-byte keys, {}-byte values; ratio: the first to the last):\n\n{table}",
        PAYLOAD.value_bytes
    );
    println!(
        "Resident bytes per item, key and value included: {}\n",
        resident.join(", ")
    );
    Ok(())
}

fn row(
    plan: &Plan,
    servers: &[(Server, bool)],
    shape: Shape,
    keys: u32,
    label: String,
) -> io::Result<Vec<String>> {
    let costs = measure_row(plan, servers, shape, keys)?;
    let cost_us = |cost: &Option<Cost>| cost.as_ref().map_or(f64::NAN, |cost| cost.cpu_us);
    let mut cells = vec![label];
    cells.extend(costs.iter().map(|cost| format!("{:.2}", cost_us(cost))));
    if let [first, .., last] = &costs[..] {
        cells.push(format!("{:.2}", cost_us(first) / cost_us(last)));
    }
    eprintln!("{keys} keys, {cells:?}");
    Ok(cells)
}
