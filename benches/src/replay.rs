//! A client that caches: it asks for an object, and stores it if it was not there.

use std::collections::HashSet;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::request::{Protocol, resp};
use crate::traces::Trace;

/// Requests in flight.
const BATCH: usize = 64;

/// One connection.
#[derive(Debug)]
pub struct Replay {
    stream: BufReader<TcpStream>,
    protocol: Protocol,
    value: Vec<u8>,
}

/// How a trace went.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Objects asked for that were not there.
    pub misses: u64,
    /// Objects for which there was no memory.
    pub refused: u64,
}

/// The key of an object.
pub fn key(object: u32) -> String {
    format!("object:{object:09}")
}

impl Replay {
    /// Connects.
    ///
    /// # Errors
    /// What the system says.
    pub fn connect(address: SocketAddr, protocol: Protocol) -> io::Result<Replay> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Replay {
            stream: BufReader::with_capacity(1 << 18, stream),
            protocol,
            value: vec![b'v'; 1 << 20],
        })
    }

    /// Asks for all objects of a trace, a few at a time.
    ///
    /// # Errors
    /// What the system says, and any reply that is not expected.
    pub fn run(&mut self, trace: &Trace, bytes: impl Fn(u32) -> u32) -> io::Result<Counts> {
        let mut counts = Counts::default();
        let mut missed = Vec::new();
        for batch in trace.requests.chunks(BATCH) {
            missed.clear();
            self.get(batch, &mut missed)?;
            counts.misses += missed.len() as u64;
            let mut once = HashSet::new();
            missed.retain(|object| once.insert(*object));
            counts.refused += self.set(&missed, &bytes)?;
        }
        Ok(counts)
    }

    fn get(&mut self, objects: &[u32], missed: &mut Vec<u32>) -> io::Result<()> {
        let requests: Vec<u8> = objects
            .iter()
            .flat_map(|&object| match self.protocol {
                Protocol::Resp => resp(&["GET", &key(object)]),
                Protocol::Memcached => format!("get {}\r\n", key(object)).into_bytes(),
            })
            .collect();
        self.stream.get_mut().write_all(&requests)?;
        for &object in objects {
            if !self.read_value()? {
                missed.push(object);
            }
        }
        Ok(())
    }

    /// Stores objects; for how many there was no memory.
    fn set(&mut self, objects: &[u32], bytes: impl Fn(u32) -> u32) -> io::Result<u64> {
        let mut requests = Vec::new();
        for &object in objects {
            let value = &self.value[..bytes(object) as usize];
            let key = key(object);
            match self.protocol {
                Protocol::Resp => requests.extend(resp(&[b"SET", key.as_bytes(), value])),
                Protocol::Memcached => {
                    write!(requests, "set {key} 0 0 {}\r\n", value.len())?;
                    requests.extend_from_slice(value);
                    requests.extend_from_slice(b"\r\n");
                }
            }
        }
        self.stream.get_mut().write_all(&requests)?;
        let mut refused = 0;
        for _ in objects {
            match self.read_line()?.as_str() {
                "+OK" | "STORED" => {}
                text if text.starts_with("-OOM") => refused += 1,
                text if text.starts_with("SERVER_ERROR out of memory") => refused += 1,
                other => return Err(io::Error::other(other.to_owned())),
            }
        }
        Ok(refused)
    }

    fn read_value(&mut self) -> io::Result<bool> {
        let line = self.read_line()?;
        let length = match (self.protocol, line.as_str()) {
            (Protocol::Resp, "$-1") | (Protocol::Memcached, "END") => return Ok(false),
            (Protocol::Resp, line) => line.strip_prefix('$'),
            (Protocol::Memcached, line) => line.rsplit(' ').next(),
        };
        let length = length.and_then(|length| length.parse::<u64>().ok());
        let length = length.ok_or_else(|| io::Error::other(line.clone()))?;
        io::copy(&mut (&mut self.stream).take(length + 2), &mut io::sink())?;
        if self.protocol == Protocol::Memcached {
            self.read_line()?;
        }
        Ok(true)
    }

    fn read_line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }
}
