//! What plain GETs suffer when very many keys expire in the same second, and how long the memory
//! of these is still used.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use benches::clock::{Moment, unix_time_s};
use benches::load::{Keys, Load, Outcome, Shape};
use benches::report::Table;
use benches::request::{Op, Payload, Protocol};
use benches::server::{Peer, Server, pin_to};

use crate::cpu::{CONNECTIONS, fill};
use crate::{LOAD_CORE, Plan, SERVER_CORE};

/// The GETs ask for these, which stay.
const GET_KEYS: u32 = 100_000;
/// From a second before the keys expire.
const WATCHED: Duration = Duration::from_secs(15);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// What may still be used of the memory when half of it, and when all of it is called free.
const PERCENT_LEFT: [u64; 2] = [50, 5];

pub(crate) fn measure(plan: &Plan) -> io::Result<()> {
    pin_to(&[LOAD_CORE])?;
    let (keys, fill_s) = match plan.is_quick {
        true => (1_000_000, 10),
        false => (10_000_000, 60),
    };
    let mut table = Table::new([
        "server",
        "GETs",
        "kGET/s",
        "p50 ms",
        "p99.9 ms",
        "max ms",
        "half free",
        "free",
    ]);
    for peer in plan.peers.iter().filter(|peer| peer.speaks(Protocol::Resp)) {
        for row in rows(peer, keys, fill_s)? {
            eprintln!("{row:?}");
            table.row(row);
        }
    }
    println!(
        "{keys} keys expire in the same second; plain GETs of other keys over {CONNECTIONS} \
         connections (server on core {SERVER_CORE}, load on core {LOAD_CORE}) before that, and \
         from a second before for {} s; seconds until half, and {} percent, of what the keys took \
         is used no more:\n\n{table}",
        WATCHED.as_secs(),
        100 - PERCENT_LEFT[1],
    );
    Ok(())
}

fn rows(peer: &Peer, keys: u32, fill_s: u64) -> io::Result<[[String; 8]; 2]> {
    let server = peer.start(1, &[SERVER_CORE])?;
    fill(&server, Op::Set, Payload::default(), (0, GET_KEYS))?;
    let used_before = server.admin()?.info("used_memory")?;
    let expires_at_s = unix_time_s() + fill_s;
    let payload = Payload {
        expires_at_s: Some(expires_at_s),
        ..Payload::default()
    };
    fill(&server, Op::Set, payload, (GET_KEYS, GET_KEYS + keys))?;
    let before = gets(&server, WATCHED / 5)?;
    let left_s = expires_at_s
        .checked_sub(unix_time_s() + 2)
        .ok_or_else(|| io::Error::other("keys expired before all were there"))?;
    thread::sleep(Duration::from_secs(left_s));
    while unix_time_s() + 1 < expires_at_s {
        thread::sleep(LOOK_EVERY);
    }
    let (after, free) = gets_while_watched(&server, used_before)?;
    let none = [String::new(), String::new()];
    Ok([
        cells(&peer.name, "before", &before, none),
        cells(&peer.name, "when they expire", &after, free),
    ])
}

fn cells(server: &str, name: &str, outcome: &Outcome, free: [String; 2]) -> [String; 8] {
    let [half, all] = free;
    [
        server.to_owned(),
        name.to_owned(),
        format!("{:.1}", outcome.per_second() / 1e3),
        format!("{:.2}", outcome.latency_ms(0.5)),
        format!("{:.2}", outcome.latency_ms(0.999)),
        format!("{:.1}", outcome.latency_ms(1.0)),
        half,
        all,
    ]
}

fn gets(server: &Server, duration: Duration) -> io::Result<Outcome> {
    let shape = Shape {
        op: Op::Get,
        pipeline: 1,
        connections: CONNECTIONS,
        payload: Payload::default(),
    };
    let address = server
        .address(Protocol::Resp)
        .ok_or(io::ErrorKind::Unsupported)?;
    let mut load = Load::connect(address, shape)?;
    load.run(Keys::Random(GET_KEYS), duration)
}

/// The GETs from a second before the keys expire, and when what the keys took was free.
fn gets_while_watched(server: &Server, used_before: u64) -> io::Result<(Outcome, [String; 2])> {
    let mut admin = server.admin()?;
    let taken = admin.info("used_memory")?.saturating_sub(used_before);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let watching = scope.spawn(|| -> io::Result<_> {
            let start = Moment::now();
            let mut free = [(); 2].map(|()| format!("not in {} s", WATCHED.as_secs() - 1));
            let mut found = 0;
            while found < free.len() && !is_over.load(Ordering::Relaxed) {
                let left = admin.info("used_memory")?.saturating_sub(used_before);
                if left <= taken / 100 * PERCENT_LEFT[found] {
                    free[found] = format!("{:.1}", start.elapsed().as_secs_f64() - 1.0);
                    found += 1;
                }
                thread::sleep(LOOK_EVERY);
            }
            Ok(free)
        });
        let outcome = gets(server, WATCHED);
        is_over.store(true, Ordering::Relaxed);
        let free = watching.join().expect("the watch does not panic")?;
        Ok((outcome?, free))
    })
}
