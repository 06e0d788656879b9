//! Resident bytes per item, at several sizes while the number of items doubles.
//!
//! A table that doubles at once is half empty just afterwards; the worst size is what one pays.

use std::io;
use std::thread::sleep;
use std::time::Duration;

use benches::clock::unix_time_s;
use benches::report::Table;
use benches::request::{KEY_BYTES, Op, Payload, Protocol};
use benches::server::{Peer, pin_to};

use crate::cpu::fill;
use crate::{LOAD_CORE, Plan, SERVER_CORE};

/// The last is as long as a value of 500 with a key of 30.
const VALUE_BYTES: [usize; 3] = [32, 100, 514];
/// Sixteenths of a doubling, up to the full size.
const STEPS: std::ops::RangeInclusive<u32> = 0..=8;
const DAY_S: u64 = 86_400;
/// Allocators give pages back some time after they were freed.
const REST: Duration = Duration::from_millis(1_500);

pub(crate) fn measure(plan: &Plan) -> io::Result<()> {
    pin_to(&[LOAD_CORE])?;
    let items = if plan.is_quick { 500_000 } else { 5_000_000 };
    let mut table = Table::new([
        "server",
        "32-byte values",
        "100-byte values",
        "514-byte values",
        "32-byte, expiring",
        "100-byte, expiring",
        "514-byte, expiring",
    ]);
    for peer in &plan.peers {
        let mut cells = vec![peer.name.clone()];
        for expires_at_s in [None, Some(unix_time_s() + DAY_S)] {
            for value_bytes in VALUE_BYTES {
                let payload = Payload {
                    value_bytes,
                    expires_at_s,
                };
                let (worst, at, last) = overhead(peer, payload, items)?;
                let cell = format!("{last:.1} (worst {worst:.1} at {at})");
                eprintln!("{}, {payload:?}: {cell}", peer.name);
                cells.push(cell);
            }
        }
        table.row(cells);
    }
    println!(
        "Resident bytes per item above key and value, {items} items (the worst of {} sizes from \
         half of that; all threads on core {SERVER_CORE}):\n\n{table}",
        STEPS.end() + 1
    );
    Ok(())
}

/// The worst, at how many items, and the last.
fn overhead(peer: &Peer, payload: Payload, items: u32) -> io::Result<(f64, u32, f64)> {
    let op = match peer.speaks(Protocol::Resp) {
        true => Op::Set,
        false => Op::MemcachedSet,
    };
    let server = peer.start(1, &[SERVER_CORE])?;
    sleep(REST);
    let empty = server.resident_bytes()?;
    let (mut filled, mut worst, mut last) = (0, (0.0, 0), 0.0);
    for step in STEPS {
        let size = items / 2 + (u64::from(items) / 2 * u64::from(step) / 8) as u32;
        fill(&server, op, payload, (filled, size))?;
        filled = size;
        sleep(REST);
        let used = server.resident_bytes()?.saturating_sub(empty) as f64;
        last = used / f64::from(size) - (KEY_BYTES + payload.value_bytes) as f64;
        if last > worst.0 {
            worst = (last, size);
        }
    }
    Ok((worst.0, worst.1, last))
}
