//! Mayfly beside every other server there is on this machine, under the same load.
//!
//! ```text
//! cargo bench -p benches --bench compare -- --mode cpu --quick
//! ```
//!
//! Starts mayfly (`MAYFLY_BINARY`, or else built with the release profile), `redis-server`,
//! `valkey-server` (`MAYFLY_VALKEY_SERVER`) and `memcached` as far as they are found on the PATH,
//! a second memcached if `MAYFLY_MEMCACHED` names one of another version, and any other by
//! `--other 'name=command line'` with `{resp}`, `{memcached}` and `{threads}` in it. Prints
//! Markdown tables; every table says which threads shared which core.
#![allow(clippy::print_stdout, reason = "tables are what this program is for")]

mod blobs;
mod cpu;
mod evict;
mod expire;
mod flood;
mod garbage;
mod grow;
mod hits;
mod hour;
mod json;
mod many;
mod memcached;
mod memory;
mod shifts;
mod stall;
mod threads;

use std::io;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

use benches::server::{Peer, find_named, find_on_path};
use structopt::StructOpt;

/// Measures mayfly beside other servers.
#[derive(Debug, StructOpt)]
struct Options {
    /// What to measure: cpu, many, memory, shifts, evict, flood, expire, stall, grow, garbage,
    /// threads, hits, json, memcached; all of these when none is named; hour.
    #[structopt(long, use_delimiter = true)]
    mode: Vec<String>,
    /// Only servers whose names start with one of these.
    #[structopt(long, use_delimiter = true)]
    peers: Vec<String>,
    /// Only operations whose name contains one of these.
    #[structopt(long, use_delimiter = true)]
    ops: Vec<String>,
    /// One more server: name=command line.
    #[structopt(long)]
    other: Vec<String>,
    /// Hits: caches of so many megabytes instead of parts of what a trace asks for.
    #[structopt(long = "cache_megabytes", use_delimiter = true)]
    cache_megabytes: Vec<u64>,
    /// Shorter runs over fewer keys: for a first look.
    #[structopt(long)]
    quick: bool,
    /// What cargo adds.
    #[structopt(long, hidden = true)]
    #[allow(dead_code, reason = "cargo passes it to every bench")]
    bench: bool,
}

/// What a mode is given.
#[derive(Debug)]
struct Plan {
    peers: Vec<Peer>,
    ops: Vec<String>,
    cache_megabytes: Vec<u64>,
    is_quick: bool,
}

impl Plan {
    /// How long one figure is measured.
    fn duration(&self) -> Duration {
        Duration::from_millis(if self.is_quick { 500 } else { 2_000 })
    }

    fn wants(&self, op: &str) -> bool {
        self.ops.is_empty() || self.ops.iter().any(|wanted| op.contains(wanted.as_str()))
    }
}

/// The mode that takes so long.
const HOUR: &str = "hour";

type Mode = fn(&Plan) -> io::Result<()>;

const MODES: [(&str, Mode); 15] = [
    ("cpu", cpu::measure),
    ("many", many::measure),
    ("memory", memory::measure),
    ("shifts", shifts::measure),
    ("evict", evict::measure),
    ("flood", flood::measure),
    ("expire", expire::measure),
    ("stall", stall::measure),
    ("grow", grow::measure),
    ("garbage", garbage::measure),
    ("threads", threads::measure),
    ("hits", hits::measure),
    (HOUR, hour::measure),
    ("json", json::measure),
    ("memcached", memcached::measure),
];

/// The server's core in measurements of CPU time.
const SERVER_CORE: usize = 0;
/// The load's core in measurements of CPU time.
const LOAD_CORE: usize = 1;

fn main() -> ExitCode {
    let options = Options::from_args();
    match run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compare: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: Options) -> io::Result<()> {
    let modes: Vec<_> = MODES
        .iter()
        .filter(|(name, _)| match options.mode.is_empty() {
            true => *name != HOUR,
            false => options.mode.iter().any(|mode| mode == name),
        })
        .collect();
    if modes.len() < options.mode.len() {
        return Err(io::Error::other(format!(
            "unknown mode in {:?}",
            options.mode
        )));
    }
    let mut peers = found_peers()?;
    for line in &options.other {
        peers.push(Peer::other(line).map_err(io::Error::other)?);
    }
    peers.retain(|peer| {
        let mut wanted = options.peers.iter();
        options.peers.is_empty() || wanted.any(|name| peer.name.starts_with(name.as_str()))
    });
    let names: Vec<_> = peers.iter().map(|peer| peer.name.as_str()).collect();
    eprintln!("servers: {}", names.join(", "));
    let plan = Plan {
        peers,
        ops: options.ops,
        cache_megabytes: options.cache_megabytes,
        is_quick: options.quick,
    };
    for (name, mode) in modes {
        eprintln!("== {name}");
        mode(&plan)?;
    }
    Ok(())
}

fn found_peers() -> io::Result<Vec<Peer>> {
    let mut peers = vec![Peer::mayfly(&mayfly_binary()?)];
    for (name, variable, executable) in [
        ("redis", "MAYFLY_REDIS_SERVER", "redis-server"),
        ("valkey", "MAYFLY_VALKEY_SERVER", "valkey-server"),
    ] {
        let path = find_named(variable).or_else(|| find_on_path(executable));
        peers.extend(path.map(|path| Peer::redis(name, &path)));
    }
    let paths = [find_on_path("memcached"), find_named("MAYFLY_MEMCACHED")];
    for path in paths.into_iter().flatten() {
        let memcached = Peer::memcached(&path)?;
        if peers.iter().all(|peer| peer.name != memcached.name) {
            peers.push(memcached);
        }
    }
    Ok(peers)
}

/// The binary named by the environment, or the one cargo builds now.
fn mayfly_binary() -> io::Result<PathBuf> {
    if let Some(path) = std::env::var_os("MAYFLY_BINARY") {
        return Ok(path.into());
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--release", "-p", "net", "--bin", "mayfly"])
        .status()?;
    if !status.success() {
        return Err(io::Error::other("mayfly does not build"));
    }
    // This program is <target>/release/deps/compare-<hash>.
    let own = std::env::current_exe()?;
    let directory = own.parent().and_then(|deps| deps.parent());
    Ok(directory.ok_or(io::ErrorKind::NotFound)?.join("mayfly"))
}
