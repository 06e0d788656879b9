//! Two threads of a server against one.
//!
//! On two cores the load shares a core with one of them, so that the rate at the wire says more
//! about the load than about the server. What tells is the server's CPU time per operation: as
//! far as it stays the same with two threads, nothing is shared that costs. EXISTS of a hundred
//! keys and SINTERCARD of two sets make so little work for the load that their rates tell, too.
//! The table by itself, without a load beside it, is measured by `--bench table`.

use std::io;

use benches::load::{Load, Shape};
use benches::report::Table;
use benches::request::{Op, Payload};
use benches::server::pin_to;

use crate::cpu::{CONNECTIONS, fill, measure_once};
use crate::{LOAD_CORE, Plan, SERVER_CORE};

const KEYS: u32 = 1_000_000;
/// Sets of a hundred members.
const SETS: u32 = 20_000;

pub(crate) fn measure(plan: &Plan) -> io::Result<()> {
    pin_to(&[LOAD_CORE])?;
    let mut table = Table::new([
        "server",
        "operation",
        "threads",
        "server us/op",
        "load us/op",
        "kops/s",
        "kops/s the server's time allows",
    ]);
    let ops = [
        Op::Get,
        Op::Set,
        Op::Mget,
        Op::Mset,
        Op::Exists,
        Op::Sintercard,
        Op::MemcachedGet,
        Op::MemcachedSet,
    ];
    for peer in &plan.peers {
        for (threads, cores) in [(1, &[SERVER_CORE][..]), (2, &[SERVER_CORE, LOAD_CORE])] {
            // Not all servers take a number of threads: those run as they do.
            let server = peer.start(threads, cores)?;
            for op in ops.into_iter().filter(|op| plan.wants(&op.name())) {
                let Some(address) = server.address(op.protocol()) else {
                    continue;
                };
                let payload = Payload::default();
                let keys = match op {
                    Op::Sintercard => SETS,
                    _ => KEYS,
                };
                // Strings have the names of the sets.
                if op == Op::Sintercard {
                    server.admin()?.call(&["FLUSHALL"])?;
                }
                fill(&server, op.filled_by(), payload, (0, keys))?;
                let shape = Shape {
                    op,
                    pipeline: 16,
                    connections: CONNECTIONS,
                    payload,
                };
                let mut load = Load::connect(address, shape)?;
                let cost = measure_once(&server, &mut load, keys, plan.duration())?;
                let allowed = threads as f64 * 1e3 / cost.cpu_us;
                table.row([
                    peer.name.clone(),
                    op.name(),
                    threads.to_string(),
                    format!("{:.2}", cost.cpu_us),
                    format!("{:.2}", cost.load_cpu_us),
                    format!("{:.0}", cost.outcome.per_second() / 1e3),
                    format!("{allowed:.0}"),
                ]);
            }
            eprintln!("{}, {threads}", peer.name);
        }
    }
    println!(
        "Pipeline 16, {CONNECTIONS} connections, {KEYS} keys, {SETS} sets; one thread: server on \
         core {SERVER_CORE}, load on core {LOAD_CORE}; two threads: server on both, load on core \
         {LOAD_CORE}:\n\n{table}"
    );
    Ok(())
}
