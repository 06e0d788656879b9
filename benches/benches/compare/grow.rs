//! The longest a write waits while the keyspace grows from nothing.
//!
//! One connection, so that a batch waits for nothing but the server. What the scheduler takes
//! from either side is in the figure, so that the quantiles beside the maximum say more than it;
//! the table's own worst insertion, in CPU time of its thread, is measured by `--bench table`.

use std::io;
use std::time::Duration;

use benches::load::{Keys, Load, Shape};
use benches::report::Table;
use benches::request::{Op, Payload, Protocol};
use benches::server::pin_to;

use crate::{LOAD_CORE, Plan, SERVER_CORE};

const PIPELINE: usize = 4;

pub(crate) fn measure(plan: &Plan) -> io::Result<()> {
    pin_to(&[LOAD_CORE])?;
    let items = if plan.is_quick { 1_000_000 } else { 4_000_000 };
    let mut table = Table::new(["server", "p50", "p99", "p99.9", "p99.99", "p99.999", "max"]);
    for peer in &plan.peers {
        let op = match peer.speaks(Protocol::Resp) {
            true => Op::Set,
            false => Op::MemcachedSet,
        };
        let server = peer.start(1, &[SERVER_CORE])?;
        let shape = Shape {
            op,
            pipeline: PIPELINE,
            connections: 1,
            payload: Payload::default(),
        };
        let address = server
            .address(op.protocol())
            .ok_or(io::ErrorKind::Unsupported)?;
        let outcome = Load::connect(address, shape)?.run(Keys::Each(0, items), Duration::MAX)?;
        let quantiles = [0.5, 0.99, 0.999, 0.9999, 0.99999, 1.0];
        let cells = quantiles.map(|quantile| format!("{:.3}", outcome.latency_ms(quantile)));
        eprintln!("{}: {cells:?}", peer.name);
        table.row([peer.name.clone()].into_iter().chain(cells));
    }
    println!(
        "Milliseconds per batch of {PIPELINE} SETs on one connection while the keyspace grows \
         from empty to {items} keys (server on core {SERVER_CORE}, load on core {LOAD_CORE}):\
         \n\n{table}"
    );
    Ok(())
}
