//! Hit ratios: traces replayed over the network, at the same memory for every server.
//!
//! A server gets so many bytes beyond what it takes when it is empty, with its client's buffers as
//! they are after some requests; how much its resident size really grew since its start stands
//! beside its misses. Values have sizes of a published distribution.

use std::io;
use std::thread::sleep;
use std::time::Duration;

use benches::admin::{Admin, Answer};
use benches::clock::Moment;
use benches::replay::{KEY_BYTES, Replay};
use benches::report::Table;
use benches::request::Protocol;
use benches::server::{Peer, pin_to};
use benches::traces::{self, Trace, value_bytes};

use crate::{LOAD_CORE, Plan, SERVER_CORE};

/// Below this a server that hands out memory in pages of a megabyte is not comparable.
const MEMCACHED_BYTES_MIN: u64 = 16 << 20;
/// The memory of a cache for any trace.
const BYTES: u64 = 256 << 20;
/// What tells an entry's size from its key's and value's, about.
const OVERHEAD_BYTES: u64 = 40;
/// What is in flight is no more than this part of a cache, about, so that its client's buffers are
/// little beside it.
const IN_FLIGHT_PART: u64 = 32;
/// So many requests make a connection's buffers what they will be.
const REQUESTS_AT_FIRST: usize = 2_048;
/// Until what a server no longer needs is given back, and its account is up to date; and between
/// two requests meanwhile.
const SETTLING: Duration = Duration::from_millis(500);
const PAUSE: Duration = Duration::from_millis(1);

pub(crate) fn measure(plan: &Plan) -> io::Result<()> {
    pin_to(&[LOAD_CORE])?;
    let contenders = contenders(plan);
    let mut columns = vec!["trace".to_owned(), "memory".to_owned()];
    columns.extend(contenders.iter().map(|(name, ..)| name.clone()));
    let mut table = Table::new(columns);
    for trace in traces(plan)? {
        let whole: u64 = (0..trace.objects as u32).map(item_bytes).sum();
        for (size, limit) in limits(plan, whole) {
            let mut cells = vec![trace.name.clone(), size.clone()];
            for (name, peer, policy) in &contenders {
                let batch = limit / IN_FLIGHT_PART * trace.objects as u64 / whole;
                let cell = replay(peer, *policy, &trace, limit, batch as usize)?;
                eprintln!("{} {size}: {name} {cell}", trace.name);
                cells.push(cell);
            }
            table.row(cells);
        }
    }
    println!(
        "Misses in percent of the requests (megabytes by which the resident size grew; SETs for \
         which there was no memory), GET and SET on a miss over one connection; server on core \
         {SERVER_CORE}:\n\n{table}"
    );
    Ok(())
}

/// What was asked for, or else parts of all there is, and one size for all traces that need more.
fn limits(plan: &Plan, whole: u64) -> Vec<(String, u64)> {
    let asked = plan.cache_megabytes.iter();
    let mut limits: Vec<_> = asked.map(|size| (String::new(), size << 20)).collect();
    if limits.is_empty() {
        let part = |percent| (format!("{percent}%, "), whole / 100 * percent);
        limits.extend([1, 10, 30].map(part));
        limits.extend((whole > BYTES).then_some((String::new(), BYTES)));
    }
    for (name, limit) in &mut limits {
        name.push_str(&format!("{:.1} MB", megabytes(*limit)));
    }
    limits
}

fn traces(plan: &Plan) -> io::Result<Vec<Trace>> {
    let (objects, requests) = match plan.is_quick {
        true => (200_000, 1_000_000),
        false => (5_000_000, 10_000_000),
    };
    let mut all = traces::recorded()?;
    all.retain(|trace| plan.wants(&trace.name));
    let mut add = |name: &str, skew: f64, make: fn(f64, usize, usize) -> Trace| {
        // Drawing millions of objects takes a while.
        if plan.wants(&format!("{name} {skew}")) {
            all.push(make(skew, objects, requests));
        }
    };
    for skew in [0.7, 0.9, 1.0, 1.2] {
        add("zipf", skew, traces::zipf);
    }
    add("drift", 0.9, traces::drift);
    add("scans", 0.9, traces::scans);
    Ok(all)
}

/// Every server, redis with both of its policies.
fn contenders(plan: &Plan) -> Vec<(String, &Peer, Option<&'static str>)> {
    let mut all = Vec::new();
    for peer in &plan.peers {
        let name = peer.name.clone();
        if peer.is_mayfly {
            all.push((name, peer, Some("cache_mode")));
        } else if peer.speaks(Protocol::Resp) {
            all.push((format!("{name} lru"), peer, Some("allkeys-lru")));
            if name == "redis" {
                all.push((format!("{name} lfu"), peer, Some("allkeys-lfu")));
            }
        } else {
            all.push((name, peer, None));
        }
    }
    all
}

fn item_bytes(object: u32) -> u64 {
    u64::from(value_bytes(object)) + KEY_BYTES as u64 + OVERHEAD_BYTES
}

fn replay(
    peer: &Peer,
    policy: Option<&str>,
    trace: &Trace,
    limit: u64,
    batch: usize,
) -> io::Result<String> {
    if policy.is_none() && limit < MEMCACHED_BYTES_MIN {
        return Ok("-".to_owned());
    }
    let (server, protocol) = match policy {
        Some(_) => (peer.start(1, &[SERVER_CORE])?, Protocol::Resp),
        None => {
            let limited = peer.with_memory(limit >> 20);
            (limited.start(1, &[SERVER_CORE])?, Protocol::Memcached)
        }
    };
    let before = server.resident_bytes()?;
    let address = server.address(protocol).ok_or(io::ErrorKind::Unsupported)?;
    let mut client = Replay::connect(address, protocol, batch)?;
    if let Some(policy) = policy {
        let mut admin = server.admin()?;
        admin.call(&["CONFIG", "SET", "maxmemory-policy", policy])?;
        limit_memory(&mut admin, limit)?;
        let first = REQUESTS_AT_FIRST.min(trace.requests.len());
        client.run(&trace.requests[..first], value_bytes)?;
        admin.call(&["FLUSHALL"])?;
        // Who rests has no buffers.
        let flushed = Moment::now();
        while flushed.elapsed() < SETTLING {
            client.has(0)?;
            sleep(PAUSE);
        }
        limit_memory(&mut admin, limit)?;
    }
    let counts = client.run(&trace.requests, value_bytes)?;
    let after = server.resident_bytes()?;
    if policy.is_some() {
        eprintln!("{}", held(&mut server.admin()?, (before, after))?);
    }
    let grown = after.saturating_sub(before);
    let misses = counts.misses as f64 / trace.requests.len() as f64 * 100.0;
    let refused = match counts.refused {
        0 => String::new(),
        refused => format!(", {refused} refused"),
    };
    Ok(format!("{misses:.2} ({:.1}{refused})", megabytes(grown)))
}

/// Lets a server take so many bytes beyond what it takes now.
fn limit_memory(admin: &mut Admin, bytes: u64) -> io::Result<()> {
    let used = admin.info("used_memory")?;
    let limit = (used + bytes).to_string();
    admin
        .call(&["CONFIG", "SET", "maxmemory", &limit])
        .map(drop)
}

/// What a server holds at the end, for who looks for the reason of its misses.
fn held(admin: &mut Admin, (before, after): (u64, u64)) -> io::Result<String> {
    let Answer::Text(keys) = admin.call(&["DBSIZE"])? else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    Ok(format!(
        "  {keys} keys; used {:.2} of {:.2} MB; resident {:.2} MB, at first {:.2}",
        megabytes(admin.info("used_memory")?),
        megabytes(admin.info("maxmemory")?),
        megabytes(after),
        megabytes(before),
    ))
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
