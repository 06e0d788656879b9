//! A client that caches: it asks for an object, and stores it if it was not there.

use std::collections::HashSet;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::RangeInclusive;

use crate::request::Protocol;

/// Requests in flight, at least and at most.
const BATCH: RangeInclusive<usize> = 4..=64;

/// One connection.
#[derive(Debug)]
pub struct Replay {
    stream: BufReader<TcpStream>,
    protocol: Protocol,
    batch: usize,
    value: Vec<u8>,
    /// What is sent next, and the reply's line that was read last: kept for their allocations,
    /// since the server waits while the client works.
    requests: Vec<u8>,
    line: Vec<u8>,
}

/// How a trace went.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Objects asked for that were not there.
    pub misses: u64,
    /// Objects for which there was no memory.
    pub refused: u64,
}

/// The length of an object's key.
pub const KEY_BYTES: usize = 16;

impl Replay {
    /// Connects, for so many requests in flight, or as many as are sensible.
    ///
    /// # Errors
    /// What the system says.
    pub fn connect(address: SocketAddr, protocol: Protocol, batch: usize) -> io::Result<Replay> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Replay {
            stream: BufReader::with_capacity(1 << 18, stream),
            protocol,
            batch: batch.clamp(*BATCH.start(), *BATCH.end()),
            value: vec![b'v'; 1 << 20],
            requests: Vec::new(),
            line: Vec::new(),
        })
    }

    /// Asks for objects, a few at a time.
    ///
    /// # Errors
    /// What the system says, and any reply that is not expected.
    pub fn run(&mut self, requests: &[u32], bytes: impl Fn(u32) -> u32) -> io::Result<Counts> {
        let mut counts = Counts::default();
        let mut missed = Vec::new();
        let mut once = HashSet::new();
        for batch in requests.chunks(self.batch) {
            missed.clear();
            self.get(batch, &mut missed)?;
            counts.misses += missed.len() as u64;
            once.clear();
            missed.retain(|object| once.insert(*object));
            counts.refused += self.set(&missed, &bytes)?;
        }
        Ok(counts)
    }

    /// Whether an object is there.
    ///
    /// # Errors
    /// As for [`Replay::run`].
    pub fn has(&mut self, object: u32) -> io::Result<bool> {
        let mut missed = Vec::new();
        self.get(&[object], &mut missed)?;
        Ok(missed.is_empty())
    }

    fn get(&mut self, objects: &[u32], missed: &mut Vec<u32>) -> io::Result<()> {
        self.requests.clear();
        for &object in objects {
            match self.protocol {
                Protocol::Resp => {
                    self.requests
                        .extend_from_slice(b"*2\r\n$3\r\nGET\r\n$16\r\n");
                    write_key(&mut self.requests, object);
                }
                Protocol::Memcached => {
                    self.requests.extend_from_slice(b"get ");
                    write_key(&mut self.requests, object);
                }
            }
            self.requests.extend_from_slice(b"\r\n");
        }
        self.stream.get_mut().write_all(&self.requests)?;
        for &object in objects {
            if !self.read_value()? {
                missed.push(object);
            }
        }
        Ok(())
    }

    /// Stores objects; for how many there was no memory.
    fn set(&mut self, objects: &[u32], bytes: impl Fn(u32) -> u32) -> io::Result<u64> {
        self.requests.clear();
        for &object in objects {
            let value = &self.value[..bytes(object) as usize];
            let (requests, length) = (&mut self.requests, value.len());
            match self.protocol {
                Protocol::Resp => {
                    requests.extend_from_slice(b"*3\r\n$3\r\nSET\r\n$16\r\n");
                    write_key(requests, object);
                    write!(requests, "\r\n${length}\r\n")?;
                }
                Protocol::Memcached => {
                    requests.extend_from_slice(b"set ");
                    write_key(requests, object);
                    write!(requests, " 0 0 {length}\r\n")?;
                }
            }
            requests.extend_from_slice(value);
            requests.extend_from_slice(b"\r\n");
        }
        self.stream.get_mut().write_all(&self.requests)?;
        let mut refused = 0;
        for _ in objects {
            match self.read_line()? {
                b"+OK" | b"STORED" => {}
                text if text.starts_with(b"-OOM") => refused += 1,
                text if text.starts_with(b"SERVER_ERROR out of memory") => refused += 1,
                other => return Err(unexpected(other)),
            }
        }
        Ok(refused)
    }

    /// Whether a value came.
    fn read_value(&mut self) -> io::Result<bool> {
        let protocol = self.protocol;
        let line = self.read_line()?;
        let length = match (protocol, line) {
            (Protocol::Resp, b"$-1") | (Protocol::Memcached, b"END") => return Ok(false),
            (Protocol::Resp, line) => line.strip_prefix(b"$"),
            (Protocol::Memcached, line) => line.rsplit(|&byte| byte == b' ').next(),
        };
        let length = length.and_then(|length| std::str::from_utf8(length).ok()?.parse().ok());
        let length: usize = length.ok_or_else(|| unexpected(line))?;
        self.skip(length + 2)?;
        if protocol == Protocol::Memcached {
            self.read_line()?;
        }
        Ok(true)
    }

    fn skip(&mut self, mut bytes: usize) -> io::Result<()> {
        while bytes > 0 {
            let here = self.stream.fill_buf()?.len().min(bytes);
            if here == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.stream.consume(here);
            bytes -= here;
        }
        Ok(())
    }

    /// A line without its end.
    fn read_line(&mut self) -> io::Result<&[u8]> {
        self.line.clear();
        self.stream.read_until(b'\n', &mut self.line)?;
        Ok(self.line.trim_ascii_end())
    }
}

fn write_key(bytes: &mut Vec<u8>, object: u32) {
    write!(bytes, "object:{object:09}").expect("memory takes all that is written");
}

fn unexpected(line: &[u8]) -> io::Error {
    io::Error::other(String::from_utf8_lossy(line).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_as_long_as_they_are_said_to_be() {
        for object in [0, 999_999_999] {
            let mut bytes = Vec::new();
            write_key(&mut bytes, object);
            assert_eq!(bytes.len(), KEY_BYTES);
        }
    }
}
