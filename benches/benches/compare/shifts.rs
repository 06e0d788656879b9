//! Resident memory while the sizes of values shift.
//!
//! The load keeps the bytes of keys and values at a level: for each new one it deletes others at
//! random. So nothing depends on how a server evicts, and what is live is known exactly. What
//! lies between live blocks afterwards is the allocator's affair, and the server's if it moves
//! things.

use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpStream;
use std::thread::sleep;
use std::time::Duration;

use benches::admin::Admin;
use benches::report::Table;
use benches::request::{Protocol, resp};
use benches::server::{Peer, Server, pin_to};
use fastrand::Rng;

use crate::{LOAD_CORE, Plan, SERVER_CORE};

/// Least and most bytes of a value, one phase after the other.
pub(crate) const PHASES: [(usize, usize); 4] = [(48, 200), (300, 700), (700, 4_096), (48, 200)];
const KEY_BYTES: usize = 16;
/// Bytes of keys and values that are kept.
pub(crate) const LIVE_BYTES: usize = 256 << 20;
/// The same for a first look.
pub(crate) const LIVE_BYTES_QUICK: usize = 64 << 20;
/// Requests that are sent together.
const BATCH: usize = 64;
/// Batches between two looks at the resident size.
const BATCHES_PER_LOOK: usize = 200;
/// What a server needs to come to rest after a phase.
const REST: Duration = Duration::from_secs(3);

pub(crate) fn measure(plan: &Plan) -> io::Result<()> {
    pin_to(&[LOAD_CORE])?;
    let live_bytes = match plan.is_quick {
        true => LIVE_BYTES_QUICK,
        false => LIVE_BYTES,
    };
    let mut header = vec!["server".to_owned()];
    for (least, most) in PHASES {
        header.push(format!("{least} to {most} bytes"));
    }
    header.push("worst from the second phase on".to_owned());
    header.push("worst by what the server counts".to_owned());
    header.push("CPU s".to_owned());
    let mut table = Table::new(header);
    for peer in &plan.peers {
        let cells = shift(peer, live_bytes)?;
        eprintln!("{cells:?}");
        table.row(cells);
    }
    println!(
        "Resident bytes by live bytes of keys and values, {} MB live, after each phase and at \
         the worst moment, then also by what the server counts as used (two of live bytes are \
         written per phase; all threads on core {SERVER_CORE}; redis and valkey with \
         activedefrag where their build has it):\n\n{table}",
        live_bytes >> 20
    );
    Ok(())
}

fn shift(peer: &Peer, live_bytes: usize) -> io::Result<Vec<String>> {
    let server = start(peer)?;
    let mut gauge = Gauge::of_empty(&server)?;
    let mut cache = Cache::connect(&server, live_bytes)?;
    let mut cells = vec![server.name().to_owned()];
    let mut worst = Ratios::default();
    for (phase, sizes) in PHASES.into_iter().enumerate() {
        let mut left = 2 * live_bytes;
        while left > 0 {
            for _ in 0..BATCHES_PER_LOOK {
                left = left.saturating_sub(cache.batch(sizes)?);
            }
            if phase > 0 {
                worst = worst.max(gauge.ratios(cache.bytes)?);
            }
        }
        sleep(REST);
        cells.push(gauge.ratios(cache.bytes)?.content());
    }
    cells.push(worst.content());
    cells.push(worst.counted());
    cells.push(format!("{:.1}", server.cpu()?.as_secs_f64()));
    Ok(cells)
}

/// A server that has come to rest, with what it has against holes.
pub(crate) fn start(peer: &Peer) -> io::Result<Server> {
    let server = peer.start(1, &[SERVER_CORE])?;
    if peer.speaks(Protocol::Resp) && !peer.is_mayfly {
        // An error says that this build cannot.
        let _ = server
            .admin()?
            .call(&["CONFIG", "SET", "activedefrag", "yes"]);
    }
    sleep(REST / 3);
    Ok(server)
}

/// Resident bytes by others, beyond what the empty server has of each.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ratios {
    /// By the bytes of keys and values.
    by_content: f64,
    /// By what the server says that it uses: what it allocates with its overhead.
    by_count: Option<f64>,
}

impl Ratios {
    /// The first, as it is printed.
    pub(crate) fn content(self) -> String {
        format!("{:.2}", self.by_content)
    }

    /// The second.
    pub(crate) fn counted(self) -> String {
        let ratio = self.by_count.map(|ratio| format!("{ratio:.2}"));
        ratio.unwrap_or_else(|| "-".to_owned())
    }

    /// The greater of each.
    pub(crate) fn max(self, other: Ratios) -> Ratios {
        Ratios {
            by_content: self.by_content.max(other.by_content),
            by_count: self
                .by_count
                .into_iter()
                .chain(other.by_count)
                .reduce(f64::max),
        }
    }
}

/// Looks at a server's memory.
pub(crate) struct Gauge<'s> {
    server: &'s Server,
    /// Where it speaks RESP.
    admin: Option<Admin>,
    empty_resident: u64,
    empty_used: u64,
}

impl Gauge<'_> {
    pub(crate) fn of_empty(server: &Server) -> io::Result<Gauge<'_>> {
        let mut gauge = Gauge {
            server,
            admin: server.admin().ok(),
            empty_resident: 0,
            empty_used: 0,
        };
        gauge.empty_used = gauge.used()?.unwrap_or(0);
        gauge.empty_resident = server.resident_bytes()?;
        Ok(gauge)
    }

    fn used(&mut self) -> io::Result<Option<u64>> {
        let admin = self.admin.as_mut();
        admin.map(|admin| admin.info("used_memory")).transpose()
    }

    pub(crate) fn ratios(&mut self, content_bytes: usize) -> io::Result<Ratios> {
        let resident = self.server.resident_bytes()?;
        let resident = resident.saturating_sub(self.empty_resident) as f64;
        let empty_used = self.empty_used;
        let by_count = self.used()?.map(|used| {
            let used = used.saturating_sub(empty_used).max(1);
            resident / used as f64
        });
        Ok(Ratios {
            by_content: resident / content_bytes.max(1) as f64,
            by_count,
        })
    }
}

/// What is at the server.
pub(crate) struct Cache {
    stream: BufReader<TcpStream>,
    protocol: Protocol,
    /// Numbers of keys, and the bytes of each with its value.
    live: Vec<(u64, usize)>,
    pub(crate) bytes: usize,
    bytes_max: usize,
    next: u64,
    random: Rng,
    value: Vec<u8>,
}

impl Cache {
    pub(crate) fn connect(server: &Server, bytes_max: usize) -> io::Result<Cache> {
        let protocol = match server.address(Protocol::Resp) {
            Some(_) => Protocol::Resp,
            None => Protocol::Memcached,
        };
        let address = server.address(protocol).ok_or(io::ErrorKind::Unsupported)?;
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Cache {
            stream: BufReader::new(stream),
            protocol,
            live: Vec::new(),
            bytes: 0,
            bytes_max,
            next: 0,
            random: Rng::with_seed(11),
            value: vec![b'x'; 1 << 13],
        })
    }

    /// Sets some keys and deletes what is too much then; the bytes written.
    pub(crate) fn batch(&mut self, (least, most): (usize, usize)) -> io::Result<usize> {
        let (mut request, mut requests, mut written) = (Vec::new(), 0, 0);
        while requests < BATCH {
            let value_bytes = self.random.usize(least..=most);
            let key = key_of(self.next);
            let value = &self.value[..value_bytes];
            match self.protocol {
                Protocol::Resp => request.extend(resp(&[b"SET", key.as_bytes(), value])),
                Protocol::Memcached => {
                    request.extend(format!("set {key} 0 0 {value_bytes}\r\n").bytes());
                    request.extend_from_slice(value);
                    request.extend(b"\r\n");
                }
            }
            self.live.push((self.next, KEY_BYTES + value_bytes));
            self.next += 1;
            self.bytes += KEY_BYTES + value_bytes;
            written += KEY_BYTES + value_bytes;
            requests += 1;
            while self.bytes > self.bytes_max {
                let at = self.random.usize(..self.live.len());
                let (number, bytes) = self.live.swap_remove(at);
                let key = key_of(number);
                match self.protocol {
                    Protocol::Resp => request.extend(resp(&["DEL", &key])),
                    Protocol::Memcached => request.extend(format!("delete {key}\r\n").bytes()),
                }
                self.bytes -= bytes;
                requests += 1;
            }
        }
        self.stream.get_mut().write_all(&request)?;
        let mut line = Vec::new();
        for _ in 0..requests {
            line.clear();
            self.stream.read_until(b'\n', &mut line)?;
            if !matches!(line.first(), Some(b'+' | b':' | b'S' | b'D')) || line.starts_with(b"SERV")
            {
                return Err(io::Error::other(
                    String::from_utf8_lossy(&line).into_owned(),
                ));
            }
        }
        Ok(written)
    }
}

fn key_of(number: u64) -> String {
    format!("key:{number:012x}")
}
