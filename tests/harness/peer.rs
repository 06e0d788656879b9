//! Servers that are known to be right, where they are installed.
//!
//! `redis-server` and `memcached` are looked for in PATH, `valkey-server` and a newer memcached
//! where `MAYFLY_VALKEY_SERVER` and `MAYFLY_MEMCACHED` say, or in PATH. A test that needs one asks
//! [`Peer::start`] for it; a machine without it skips the test with one line, but with `CI=true`
//! or `MAYFLY_REQUIRE_PEERS=1` a missing peer is a failure.

use std::env;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::PATIENCE;
use crate::ports::free_port;

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// redis-server.
    Redis,
    /// valkey-server.
    Valkey,
    /// memcached.
    Memcached,
    /// The newest memcached there is.
    NewestMemcached,
}

impl Kind {
    /// What its executable is called.
    pub fn program(self) -> &'static str {
        match self {
            Kind::Redis => "redis-server",
            Kind::Valkey => "valkey-server",
            Kind::Memcached | Kind::NewestMemcached => "memcached",
        }
    }
}

/// A peer of this process alone, killed when dropped.
#[derive(Debug)]
pub struct Peer {
    process: Child,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Peer {
    /// Starts a peer on a free port, or says in one line that `test` is skipped.
    pub fn start(kind: Kind, test: &str) -> Option<Peer> {
        Peer::start_with(kind, &[], test)
    }

    /// Redis and Valkey, between whose ages Mayfly stands: what one of them says is right. None
    /// unless both are installed, since what one alone says may be of another age.
    pub fn start_redis_and_valkey(test: &str) -> Option<[(Kind, Peer); 2]> {
        let start = |kind| Some((kind, Peer::start(kind, test)?));
        Some([start(Kind::Redis)?, start(Kind::Valkey)?])
    }

    /// As [`Peer::start`], with further words of its command line.
    pub fn start_with(kind: Kind, words: &[&str], test: &str) -> Option<Peer> {
        let Some(program) = find(kind) else {
            let program = kind.program();
            assert!(
                !are_required(),
                "{test} needs {program}, which is not installed"
            );
            eprintln!("skipped: {test} needs {program}, which is not installed");
            return None;
        };
        // Another process may take the port between its finding and the peer's taking it.
        (0..5)
            .find_map(|_| launch(kind, &program, words))
            .or_else(|| panic!("{} does not start", program.display()))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself: SHUTDOWN is a command like others.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Whether a missing peer is a failure.
pub fn are_required() -> bool {
    env::var("CI").is_ok_and(|value| value == "true")
        || env::var("MAYFLY_REQUIRE_PEERS").is_ok_and(|value| value == "1")
}

fn find(kind: Kind) -> Option<PathBuf> {
    let named = match kind {
        Kind::Valkey => env::var_os("MAYFLY_VALKEY_SERVER").map(PathBuf::from),
        Kind::NewestMemcached => env::var_os("MAYFLY_MEMCACHED").map(PathBuf::from),
        Kind::Redis | Kind::Memcached => None,
    };
    let path = env::var_os("PATH").unwrap_or_default();
    named
        .into_iter()
        .chain(env::split_paths(&path).map(|folder| folder.join(kind.program())))
        .find(|program| program.is_file())
}

fn launch(kind: Kind, program: &PathBuf, words: &[&str]) -> Option<Peer> {
    // None of the kernel's choice: subjects that other tests start get those, and a peer that finds
    // its port taken is answered for by whoever has it.
    let port = free_port();
    let mut command = Command::new(program);
    let port_text = port.to_string();
    // What another server once left in the folder is not to be loaded.
    let no_file = format!("none-{port}.rdb");
    match kind {
        Kind::Redis | Kind::Valkey => command.args([
            "--port",
            &port_text,
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--dbfilename",
            &no_file,
            "--appendonly",
            "no",
        ]),
        Kind::Memcached | Kind::NewestMemcached => {
            command.args(["-p", &port_text, "-U", "0", "-l", "127.0.0.1", "-u", "root"])
        }
    };
    let process = command
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .current_dir(env::temp_dir())
        .spawn()
        .ok()?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut peer = Peer { process, address };
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if TcpStream::connect(address).is_ok() {
            return Some(peer);
        }
        if peer.process.try_wait().is_ok_and(|status| status.is_some()) {
            return None;
        }
        thread::sleep(Duration::from_millis(5));
    }
    None
}
