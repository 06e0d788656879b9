//! Memcached's protocols, text, meta and binary, beside memcached itself.
//!
//! One thread of the server on one core, then two on both. On two the load shares a core with the
//! server: CPU time per operation is the figure, not the rate at the wire. Each row has what it is
//! to be at most, as a share of memcached's. Where there are many keys, resident memory is told,
//! too: with few it is not that of items.

use std::io;
use std::thread::sleep;
use std::time::Duration;

use benches::load::Shape;
use benches::report::Table;
use benches::request::{Op, Payload, Protocol};
use benches::server::pin_to;

use crate::cpu::{CONNECTIONS, fill, measure_row};
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
const FEW_KEYS: u32 = 1_000;
const MANY_KEYS: u32 = 2_000_000;
const MANY_KEYS_IF_QUICK: u32 = 200_000;
/// What CPU time is to be at most, as a share of memcached's.
const CPU_SHARE: f64 = 1.0;
/// The same for pipelines and several keys at once, where there are many.
const CPU_SHARE_OF_MANY: f64 = 0.5;
/// What resident memory is to be at most, as a share of memcached's.
const RESIDENT_SHARE: f64 = 0.75;
const PAYLOAD: Payload = Payload {
    value_bytes: 100,
    expires_at_s: None,
};
/// Allocators give pages back some time after they were freed.
const REST: Duration = Duration::from_millis(1_500);

pub(crate) fn measure(plan: &Plan) -> io::Result<()> {
    pin_to(&[LOAD_CORE])?;
    let many = match plan.is_quick {
        true => MANY_KEYS_IF_QUICK,
        false => MANY_KEYS,
    };
    for keys in [FEW_KEYS, many] {
        for (threads, cores) in [(1, &[SERVER_CORE][..]), (2, &[SERVER_CORE, LOAD_CORE])] {
            measure_servers(plan, keys, (threads, cores))?;
        }
    }
    Ok(())
}

fn measure_servers(plan: &Plan, keys: u32, on: (usize, &[usize])) -> io::Result<()> {
    let (threads, cores) = on;
    let (mut servers, mut names, mut bytes_per_item) = (Vec::new(), Vec::new(), Vec::new());
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
        bytes_per_item.push(used / f64::from(keys));
        names.push(peer.name.clone());
        servers.push((server, true));
    }
    let ratios = names.iter().skip(1).map(|name| format!("of {name}'s"));
    let heading = [&names[..], &ratios.collect::<Vec<_>>()].concat();
    let head = |first: &str| [&[first.to_owned()][..], &heading].concat();
    let mut costs = Table::new([head("operation"), vec!["at most".to_owned()]].concat());
    for (op, pipeline) in LOADS {
        let label = format!("{}, pipeline {pipeline}", op.name());
        if !plan.wants(&label) {
            continue;
        }
        let shape = Shape {
            op,
            pipeline,
            connections: CONNECTIONS,
            payload: PAYLOAD,
        };
        let cost_us = measure_row(plan, &servers, shape, keys)?
            .iter()
            .map(|cost| cost.as_ref().map_or(f64::NAN, |cost| cost.cpu_us))
            .collect::<Vec<_>>();
        let share = match keys > FEW_KEYS && (pipeline > 1 || op.keys_per_request() > 1) {
            true => CPU_SHARE_OF_MANY,
            false => CPU_SHARE,
        };
        let row = [
            vec![label],
            with_ratios(&cost_us, 2),
            vec![format!("{share:.2}")],
        ]
        .concat();
        eprintln!("{keys} keys, {threads} threads: {row:?}");
        costs.row(row);
    }
    println!(
        "### {keys} keys, {threads} threads of each server on cores {cores:?}\n\nServer CPU \
         microseconds per operation (the load on core {LOAD_CORE}, {CONNECTIONS} connections, \
         16-byte keys, {}-byte values; an operation is a line or a frame, however many keys it \
         has):\n\n{costs}",
        PAYLOAD.value_bytes
    );
    if keys > FEW_KEYS {
        let mut resident = Table::new([head("resident"), vec!["at most".to_owned()]].concat());
        let label = vec!["bytes per item, key and value included".to_owned()];
        let share = vec![format!("{RESIDENT_SHARE:.2}")];
        resident.row([label, with_ratios(&bytes_per_item, 1), share].concat());
        println!("{resident}");
    }
    Ok(())
}

/// Cells of one figure for each server, and of the first by each of the others.
fn with_ratios(figures: &[f64], decimals: usize) -> Vec<String> {
    let own = figures.iter().map(|figure| format!("{figure:.decimals$}"));
    let ratios = figures.iter().skip(1);
    let ratios = ratios.map(|other| format!("{:.3}", figures[0] / other));
    own.chain(ratios).collect()
}
