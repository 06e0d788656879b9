//! What one command on many keys, members or fields costs the server.
//!
//! Each server is given the same commands on one connection, up to 16 at a time, after those that
//! make what they work on. The figure is the CPU time per key, member or field, less what the
//! server takes while nothing is asked of it, the least of some rounds.

use std::io;
use std::thread::sleep;
use std::time::Duration;

use benches::admin::Admin;
use benches::clock::Moment;
use benches::report::Table;
use benches::request::{Protocol, resp};
use benches::server::{Server, pin_to};

use crate::{LOAD_CORE, Plan, SERVER_CORE};

/// So many elements are in all commands of a round together.
const ELEMENTS: usize = 100_000;
/// In each of them.
const SIZES: [usize; 4] = [30, 200, 1_000, 100_000];
const ROUNDS: usize = 5;
/// Until a server does no more than it does when it is idle.
const SETTLING: Duration = Duration::from_millis(50);
/// For so long it is looked at what that is.
const IDLE: Duration = Duration::from_millis(200);

/// What is measured, and what precedes it.
struct Case {
    name: &'static str,
    before: &'static str,
    /// Whether each command has keys of its own, instead of one key and elements of it.
    is_of_keys: bool,
}

const CASES: [Case; 9] = [
    of_keys("MSET", ""),
    of_keys("MGET", "MSET"),
    of_keys("EXISTS", "MSET"),
    of_keys("DEL", "MSET"),
    of_elements("SADD", ""),
    of_elements("SREM", "SADD"),
    of_elements("HSET", ""),
    of_elements("HMGET", "HSET"),
    of_elements("HDEL", "HSET"),
];

const fn of_keys(name: &'static str, before: &'static str) -> Case {
    let is_of_keys = true;
    Case {
        name,
        before,
        is_of_keys,
    }
}

const fn of_elements(name: &'static str, before: &'static str) -> Case {
    Case {
        is_of_keys: false,
        ..of_keys(name, before)
    }
}

pub(crate) fn measure(plan: &Plan) -> io::Result<()> {
    pin_to(&[LOAD_CORE])?;
    let peers = || plan.peers.iter().filter(|peer| peer.speaks(Protocol::Resp));
    let servers: Vec<Server> = peers()
        .map(|peer| peer.start(1, &[SERVER_CORE]))
        .collect::<io::Result<_>>()?;
    let names = peers().map(|peer| peer.name.clone());
    let mut table = Table::new(["command".to_owned()].into_iter().chain(names));
    for size in SIZES {
        for case in CASES.iter().filter(|case| plan.wants(case.name)) {
            let costs = measure_row(&servers, case, size)?;
            let cells: Vec<_> = costs.iter().map(|ns| format!("{ns:.0}")).collect();
            let label = format!("{} of {size}", case.name);
            eprintln!("{label}: {cells:?}");
            table.row([label].into_iter().chain(cells));
        }
    }
    println!(
        "Server CPU nanoseconds per key, member or field, in commands on so many of them \
         (servers on core {SERVER_CORE}, load on core {LOAD_CORE}, one connection, up to \
         16 commands at a time; keys and elements of 16 bytes, values of 8; what is made is new, \
         {ELEMENTS} in all):\n\n{table}"
    );
    Ok(())
}

/// The least of each server.
fn measure_row(servers: &[Server], case: &Case, size: usize) -> io::Result<Vec<f64>> {
    let [before, measured] = [case.before, case.name].map(|name| commands(name, case, size));
    let mut least = vec![f64::INFINITY; servers.len()];
    for _ in 0..ROUNDS {
        for (server, least) in servers.iter().zip(&mut least) {
            let mut admin = server.admin()?;
            admin.call(&["FLUSHALL"])?;
            admin.call_all(&before)?;
            let cpu = cost(server, &mut admin, &measured)?;
            *least = least.min(cpu.as_nanos() as f64 / ELEMENTS as f64);
        }
    }
    Ok(least)
}

/// The CPU time that commands take, less what goes by meanwhile in any case.
fn cost(server: &Server, admin: &mut Admin, commands: &[Vec<u8>]) -> io::Result<Duration> {
    sleep(SETTLING);
    let before = server.cpu()?;
    sleep(IDLE);
    let idle = server.cpu()? - before;
    let (start, before) = (Moment::now(), server.cpu()?);
    admin.call_all(commands)?;
    sleep(SETTLING);
    let cpu = server.cpu()? - before;
    let share = start.elapsed().as_secs_f64() / IDLE.as_secs_f64();
    Ok(cpu.saturating_sub(idle.mul_f64(share)))
}

/// Commands of `size` elements each; none without a name.
fn commands(name: &str, case: &Case, size: usize) -> Vec<Vec<u8>> {
    let has_values = matches!(name, "MSET" | "HSET");
    let all = if name.is_empty() { 0 } else { ELEMENTS };
    let command = |start: usize| {
        let mut words = vec![name.to_owned()];
        if !case.is_of_keys {
            words.push(format!("key:{start:012}"));
        }
        for number in start..(start + size).min(all) {
            words.push(format!("element:{number:08}"));
            if has_values {
                words.push(format!("{number:08}"));
            }
        }
        resp(&words)
    };
    (0..all).step_by(size).map(command).collect()
}
