//! What plain GETs suffer while another client runs heavy commands, one after the other.
//!
//! Server and load share two cores, as a service and its cache on one small machine do.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use benches::admin::Admin;
use benches::load::{Keys, Load, Outcome, Shape};
use benches::report::Table;
use benches::request::{Op, Payload, Protocol, key_of, resp};
use benches::server::{Server, pin_to};

use crate::cpu::fill;
use crate::{LOAD_CORE, Plan, SERVER_CORE};

const GET_CONNECTIONS: usize = 20;
/// The GETs ask for these keys, whatever else there is.
const GET_KEYS: u32 = 100_000;
const MEMBERS_PER_SADD: usize = 500;

/// A heavy command and how it is repeated.
struct Heavy {
    name: &'static str,
    command: &'static [&'static str],
    /// Makes anew, before each time, the large set it consumes.
    makes_set: bool,
    /// Fills database 0 up for it.
    fills_keys: bool,
}

const fn heavy(name: &'static str, command: &'static [&'static str]) -> Heavy {
    Heavy {
        name,
        command,
        makes_set: false,
        fills_keys: false,
    }
}

const HEAVY: [Heavy; 6] = [
    heavy("SMEMBERS", &["SMEMBERS", "set"]),
    heavy("SINTERCARD", &["SINTERCARD", "2", "set", "set2"]),
    heavy("SUNIONSTORE", &["SUNIONSTORE", "union", "set", "set2"]),
    heavy("HGETALL", &["HGETALL", "hash"]),
    Heavy {
        makes_set: true,
        ..heavy("DEL of a set made anew", &["DEL", "doomed"])
    },
    Heavy {
        fills_keys: true,
        ..heavy("KEYS *", &["KEYS", "*"])
    },
];

pub(crate) fn measure(plan: &Plan) -> io::Result<()> {
    let cores = [SERVER_CORE, LOAD_CORE];
    pin_to(&cores)?;
    let elements = if plan.is_quick { 200_000 } else { 1_000_000 };
    let mut table = Table::new([
        "server", "beside", "kGET/s", "of alone", "p50 ms", "p99.9 ms", "max ms", "heavy/s",
    ]);
    for peer in plan.peers.iter().filter(|peer| peer.speaks(Protocol::Resp)) {
        let server = peer.start(2, &cores)?;
        prepare(&server, elements)?;
        let alone = run_gets(&server, plan)?;
        table.row(cells(&peer.name, "nothing", &alone, &alone, 0.0));
        for heavy in HEAVY.iter().filter(|heavy| plan.wants(heavy.name)) {
            if heavy.fills_keys {
                fill(&server, Op::Set, Payload::default(), (0, 2 * elements))?;
            }
            let (beside, count) = beside(&server, plan, heavy, elements)?;
            let rate = count as f64 / beside.elapsed.as_secs_f64();
            let row = cells(&peer.name, heavy.name, &beside, &alone, rate);
            eprintln!("{row:?}");
            table.row(row);
        }
    }
    println!(
        "{GET_CONNECTIONS} connections of plain GETs beside one client that loops a heavy command \
         on {elements} elements (KEYS: on twice as many keys); all threads of server (mayfly: \
         two) and load on cores {SERVER_CORE} and {LOAD_CORE}:\n\n{table}"
    );
    Ok(())
}

fn cells(server: &str, name: &str, own: &Outcome, alone: &Outcome, rate: f64) -> [String; 8] {
    [
        server.to_owned(),
        name.to_owned(),
        format!("{:.1}", own.per_second() / 1e3),
        format!("{:.0}%", 100.0 * own.per_second() / alone.per_second()),
        format!("{:.2}", own.latency_ms(0.5)),
        format!("{:.2}", own.latency_ms(0.999)),
        format!("{:.1}", own.latency_ms(1.0)),
        format!("{rate:.1}"),
    ]
}

fn prepare(server: &Server, elements: u32) -> io::Result<()> {
    fill(server, Op::Set, Payload::default(), (0, GET_KEYS))?;
    fill(server, Op::Sadd, Payload::default(), (0, elements))?;
    fill(server, Op::HsetOne, Payload::default(), (0, elements))?;
    let mut admin = server.admin()?;
    // Half of the second set is in the first.
    let half = elements / 2;
    admin.call_all(&sadds("set2", (half, half + elements)))
}

fn sadds(set: &str, (from, to): (u32, u32)) -> Vec<Vec<u8>> {
    let mut commands = Vec::new();
    let mut next = from;
    while next < to {
        let end = to.min(next + MEMBERS_PER_SADD as u32);
        let members: Vec<_> = (next..end).map(key_of).collect();
        let mut words: Vec<&[u8]> = vec![b"SADD", set.as_bytes()];
        words.extend(members.iter().map(|member| &member[..]));
        commands.push(resp(&words));
        next = end;
    }
    commands
}

fn run_gets(server: &Server, plan: &Plan) -> io::Result<Outcome> {
    let shape = Shape {
        op: Op::Get,
        pipeline: 1,
        connections: GET_CONNECTIONS,
        payload: Payload::default(),
    };
    let address = server
        .address(Protocol::Resp)
        .ok_or(io::ErrorKind::Unsupported)?;
    let mut load = Load::connect(address, shape)?;
    load.run(Keys::Random(GET_KEYS), Duration::from_millis(200))?;
    load.run(Keys::Random(GET_KEYS), plan.duration() * 2)
}

/// The GETs while a thread repeats the heavy command, and how often it did.
fn beside(
    server: &Server,
    plan: &Plan,
    heavy: &Heavy,
    elements: u32,
) -> io::Result<(Outcome, u64)> {
    let (is_over, count) = (AtomicBool::new(false), AtomicU64::new(0));
    let sets = match heavy.makes_set {
        true => sadds("doomed", (0, elements)),
        false => Vec::new(),
    };
    let mut admin = server.admin()?;
    thread::scope(|scope| {
        let repeating = scope.spawn(|| -> io::Result<()> {
            while !is_over.load(Ordering::Relaxed) {
                repeat(&mut admin, heavy, &sets, &is_over)?;
                count.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        });
        let outcome = run_gets(server, plan);
        is_over.store(true, Ordering::Relaxed);
        repeating.join().expect("the heavy client does not panic")?;
        Ok((outcome?, count.load(Ordering::Relaxed)))
    })
}

fn repeat(
    admin: &mut Admin,
    heavy: &Heavy,
    sets: &[Vec<u8>],
    is_over: &AtomicBool,
) -> io::Result<()> {
    for chunk in sets.chunks(16) {
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        admin.call_all(chunk)?;
    }
    admin.call(heavy.command)?;
    Ok(())
}
