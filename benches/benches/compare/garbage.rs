//! Whether memory stays bounded while every write makes garbage.

use std::io;
use std::time::Duration;

use benches::admin::Answer;
use benches::load::{Keys, Load, Shape};
use benches::report::Table;
use benches::request::{Op, Payload, Protocol};
use benches::server::{Server, pin_to};

use crate::cpu::{CONNECTIONS, fill};
use crate::{LOAD_CORE, Plan, SERVER_CORE};

const KEYS: u32 = 100_000;

pub(crate) fn measure(plan: &Plan) -> io::Result<()> {
    pin_to(&[LOAD_CORE])?;
    let mut table = Table::new([
        "server",
        "pipeline",
        "MB filled",
        "MB after 1 s",
        "MB at most",
        "MB at the end",
        "retired kB at most",
        "overwrites",
    ]);
    let rounds = if plan.is_quick { 15 } else { 75 };
    for peer in plan.peers.iter().filter(|peer| peer.speaks(Protocol::Resp)) {
        for pipeline in [16, 256] {
            let server = peer.start(1, &[SERVER_CORE])?;
            let payload = Payload {
                value_bytes: 1_000,
                expires_at_s: None,
            };
            fill(&server, Op::Set, payload, (0, KEYS))?;
            let filled = server.resident_bytes()?;
            let shape = Shape {
                op: Op::Set,
                pipeline,
                connections: CONNECTIONS,
                payload,
            };
            let row = overwrite(&server, shape, rounds)?;
            let cells = [peer.name.clone(), pipeline.to_string(), megabytes(filled)];
            let cells: Vec<_> = cells.into_iter().chain(row).collect();
            eprintln!("{cells:?}");
            table.row(cells);
        }
    }
    println!(
        "Resident memory while {CONNECTIONS} connections overwrite {KEYS} keys with values of \
         1000 bytes (server on core {SERVER_CORE}, load on core {LOAD_CORE}):\n\n{table}"
    );
    Ok(())
}

fn overwrite(server: &Server, shape: Shape, rounds: usize) -> io::Result<[String; 5]> {
    let address = server
        .address(Protocol::Resp)
        .ok_or(io::ErrorKind::Unsupported)?;
    let mut load = Load::connect(address, shape)?;
    let mut admin = server.admin()?;
    let (mut early, mut most, mut retired, mut requests) = (0, 0, None, 0);
    for round in 0..rounds {
        let outcome = load.run(Keys::Random(KEYS), Duration::from_millis(200))?;
        requests += outcome.requests;
        let resident = server.resident_bytes()?;
        most = resident.max(most);
        if round == 4 {
            early = resident;
        }
        if let Answer::Text(text) = admin.call(&["INFO", "memory"])? {
            retired = retired.max(retired_bytes(&text));
        }
    }
    Ok([
        megabytes(early),
        megabytes(most),
        megabytes(server.resident_bytes()?),
        retired.map_or_else(String::new, |bytes| (bytes / 1_000).to_string()),
        requests.to_string(),
    ])
}

/// Mayfly says how much was replaced and is not freed yet.
fn retired_bytes(info: &str) -> Option<u64> {
    let line = info.lines().find(|line| line.contains("retired"))?;
    line.trim().split_once(':')?.1.parse().ok()
}

fn megabytes(bytes: u64) -> String {
    format!("{:.0}", bytes as f64 / 1e6)
}
