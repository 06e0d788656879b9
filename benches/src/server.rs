//! Servers: which there are, starting one on given cores, reading what it used.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use rustix::process::{Signal, kill_process};
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::admin::Admin;
use crate::clock::Moment;
use crate::request::Protocol;

/// A server that can be started.
#[derive(Clone, Debug)]
pub struct Peer {
    /// What tables call it.
    pub name: String,
    /// Whether it is ours.
    pub is_mayfly: bool,
    protocols: Vec<Protocol>,
    /// With `{resp}`, `{memcached}` for ports and `{threads}` in it.
    command: Vec<String>,
}

impl Peer {
    /// The executable at `path`, ours.
    pub fn mayfly(path: &Path) -> Peer {
        let path = path.to_string_lossy();
        let flags = "--bind 127.0.0.1 --port {resp} --memcached_port {memcached} \
                     --threads {threads} --loglevel warning";
        Peer {
            name: "mayfly".to_owned(),
            is_mayfly: true,
            protocols: vec![Protocol::Resp, Protocol::Memcached],
            command: words(&format!("{path} {flags}")),
        }
    }

    /// `redis-server` and whatever keeps to its flags.
    pub fn redis(name: &str, path: &Path) -> Peer {
        let path = path.to_string_lossy();
        let flags = "--bind 127.0.0.1 --port {resp} --save  --appendonly no --loglevel warning";
        Peer {
            name: name.to_owned(),
            is_mayfly: false,
            protocols: vec![Protocol::Resp],
            // The value of --save is empty: two blanks make an empty word.
            command: format!("{path} {flags}")
                .split(' ')
                .map(str::to_owned)
                .collect(),
        }
    }

    /// `memcached`, named by its version, with more memory than any measurement fills.
    ///
    /// # Errors
    /// It does not run.
    pub fn memcached(path: &Path) -> io::Result<Peer> {
        let version = Command::new(path).arg("-V").output()?.stdout;
        let path = path.to_string_lossy();
        let flags = "-l 127.0.0.1 -p {memcached} -U 0 -m 16384 -c 4096 -t {threads} -u root";
        Ok(Peer {
            name: String::from_utf8_lossy(&version).trim().to_owned(),
            is_mayfly: false,
            protocols: vec![Protocol::Memcached],
            command: words(&format!("{path} {flags}")),
        })
    }

    /// Any other, as `name=command line`, where `{resp}`, `{memcached}` and `{threads}` stand
    /// for what the runner chooses.
    ///
    /// # Errors
    /// A line without a name or without a port.
    pub fn other(line: &str) -> Result<Peer, String> {
        let (name, command) = line.split_once('=').ok_or("expected name=command")?;
        let mut protocols = Vec::new();
        for (port, protocol) in [
            ("{resp}", Protocol::Resp),
            ("{memcached}", Protocol::Memcached),
        ] {
            if command.contains(port) {
                protocols.push(protocol);
            }
        }
        if protocols.is_empty() {
            return Err("the command names neither {resp} nor {memcached}".to_owned());
        }
        Ok(Peer {
            name: name.to_owned(),
            is_mayfly: false,
            protocols,
            command: words(command),
        })
    }

    /// memcached with a limit of so many megabytes.
    pub fn with_memory(&self, megabytes: u64) -> Peer {
        let limit = megabytes.to_string();
        let mut peer = self.clone();
        if let Some(at) = peer.command.iter().position(|word| word == "-m") {
            peer.command[at + 1] = limit;
        }
        peer
    }

    /// Whether it can be spoken to like this.
    pub fn speaks(&self, protocol: Protocol) -> bool {
        self.protocols.contains(&protocol)
    }

    /// Starts it with so many threads for connections, all of its threads on these cores.
    ///
    /// # Errors
    /// It does not start or does not listen within ten seconds.
    pub fn start(&self, threads: usize, cores: &[usize]) -> io::Result<Server> {
        let (resp, memcached) = (free_address()?, free_address()?);
        let words: Vec<String> = self
            .command
            .iter()
            .map(|word| {
                word.replace("{resp}", &resp.port().to_string())
                    .replace("{memcached}", &memcached.port().to_string())
                    .replace("{threads}", &threads.to_string())
            })
            .collect();
        let own = rustix::thread::sched_getaffinity(None)?;
        pin_to(cores)?;
        let child = Command::new(&words[0])
            .args(&words[1..])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        sched_setaffinity(None, &own)?;
        let mut server = Server {
            name: self.name.clone(),
            child: child?,
            resp: self.speaks(Protocol::Resp).then_some(resp),
            memcached: self.speaks(Protocol::Memcached).then_some(memcached),
        };
        server.await_ports()?;
        Ok(server)
    }
}

/// A running server; it ends with the value.
#[derive(Debug)]
pub struct Server {
    name: String,
    child: Child,
    resp: Option<SocketAddr>,
    memcached: Option<SocketAddr>,
}

impl Server {
    /// What tables call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it listens for a protocol, if it speaks it.
    pub fn address(&self, protocol: Protocol) -> Option<SocketAddr> {
        match protocol {
            Protocol::Resp => self.resp,
            Protocol::Memcached => self.memcached,
        }
    }

    /// A connection for single commands.
    ///
    /// # Errors
    /// It does not speak RESP, or what the system says.
    pub fn admin(&self) -> io::Result<Admin> {
        Admin::connect(self.resp.ok_or(ErrorKind::Unsupported)?)
    }

    /// Removes all keys.
    ///
    /// # Errors
    /// What the system or the server says.
    pub fn flush(&self) -> io::Result<()> {
        if self.resp.is_some() {
            self.admin()?.call(&["FLUSHALL"])?;
        }
        Ok(())
    }

    /// The time its threads ran, in user and kernel mode, to the nanosecond.
    ///
    /// # Errors
    /// It has ended.
    pub fn cpu(&self) -> io::Result<Duration> {
        let mut nanoseconds = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            // A thread may end between the listing and the look.
            let text = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
            let on_core = text
                .split(' ')
                .next()
                .and_then(|word| word.parse::<u64>().ok());
            nanoseconds += on_core.unwrap_or(0);
        }
        Ok(Duration::from_nanos(nanoseconds))
    }

    /// The physical memory it holds.
    ///
    /// # Errors
    /// It has ended.
    pub fn resident_bytes(&self) -> io::Result<u64> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        Ok(kilobytes.ok_or(ErrorKind::InvalidData)? * 1024)
    }

    fn await_ports(&mut self) -> io::Result<()> {
        let start = Moment::now();
        for address in [self.resp, self.memcached].into_iter().flatten() {
            while TcpStream::connect(address).is_err() {
                if let Some(status) = self.child.try_wait()? {
                    return Err(io::Error::other(format!("{} ended: {status}", self.name)));
                }
                if start.elapsed() > Duration::from_secs(10) {
                    return Err(io::Error::other(format!("{} does not listen", self.name)));
                }
                sleep(Duration::from_millis(20));
            }
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Killed: nothing it might still want to write is wanted here.
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = kill_process(pid, Signal::KILL);
        let _ = self.child.wait();
    }
}

/// Lets this thread, and the processes and threads it starts, run on these cores only.
///
/// # Errors
/// There are no such cores.
pub fn pin_to(cores: &[usize]) -> io::Result<()> {
    let mut set = CpuSet::new();
    for &core in cores {
        set.set(core);
    }
    Ok(sched_setaffinity(None, &set)?)
}

/// The executable that a variable of the environment names.
pub fn find_named(variable: &str) -> Option<PathBuf> {
    let path = PathBuf::from(std::env::var_os(variable)?);
    Some(path).filter(|path| path.is_file())
}

/// An executable by its name along PATH.
pub fn find_on_path(name: &str) -> Option<PathBuf> {
    let directories = std::env::var_os("PATH")?;
    std::env::split_paths(&directories)
        .map(|directory| directory.join(name))
        .find(|path| path.is_file())
}

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}
