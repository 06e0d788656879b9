//! A cache that is full: sets of new keys, each of which costs others their place, and gets.
//!
//! Gets ask for keys that were set last, up to as many as the cache may hold, and for the latest
//! most of all: how long ago a key was set is as likely to have two digits as three. Replies are
//! told apart by how their lines begin, which no value's does.

use std::io::{self, Write};

use fastrand::Rng;

use crate::load::Exchange;
use crate::request::{KEY_BYTES, Protocol};
use crate::traces;

/// How long values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sizes {
    /// All so many bytes.
    Fixed(usize),
    /// As [`traces::value_bytes`] has them, cut off at so many.
    Etc(usize),
}

impl Sizes {
    /// The bytes of the value of a key.
    pub fn of(self, key: u32) -> usize {
        match self {
            Sizes::Fixed(bytes) => bytes,
            Sizes::Etc(most) => (traces::value_bytes(key) as usize).min(most),
        }
    }

    /// What the longest value has.
    pub fn most(self) -> usize {
        let (Sizes::Fixed(bytes) | Sizes::Etc(bytes)) = self;
        bytes
    }

    /// What keys and values have in the mean.
    pub fn mean_item_bytes(self) -> usize {
        const SAMPLES: u32 = 100_000;
        let sum: usize = (0..SAMPLES).map(|key| self.of(key)).sum();
        KEY_BYTES + sum / SAMPLES as usize
    }
}

/// Which requests come next, for all connections together.
#[derive(Clone, Debug)]
pub struct Churn {
    /// How long values are.
    pub sizes: Sizes,
    /// Gets ask for some of so many keys that were set last.
    pub window: u32,
    /// Gets ask for none of so many keys that were set last: those may be on the way still.
    pub on_the_way: u32,
    /// How many requests of a hundred are gets.
    pub gets_percent: u32,
    next_key: u32,
}

impl Churn {
    /// Begins with no key set.
    pub fn new(sizes: Sizes, window: u32) -> Churn {
        Churn {
            sizes,
            window,
            on_the_way: 0,
            gets_percent: 0,
            next_key: 0,
        }
    }

    /// How many keys were set.
    pub fn keys_set(&self) -> u32 {
        self.next_key
    }

    /// Makes a batch anew.
    pub fn fill(&mut self, batch: &mut ChurnBatch, rng: &mut Rng) {
        batch.bytes.clear();
        for _ in 0..batch.requests {
            if self.next_key > self.on_the_way && rng.u32(..100) < self.gets_percent {
                batch.append_get(self.recent_key(rng));
                batch.gets += 1;
            } else {
                batch.append_set(self.next_key, self.sizes.of(self.next_key));
                self.next_key += 1;
            }
        }
        batch.unanswered = batch.requests;
    }

    fn recent_key(&self, rng: &mut Rng) -> u32 {
        let newest = self.next_key - self.on_the_way;
        let farthest = f64::from(self.window.min(newest));
        let back = farthest.powf(rng.f64()) as u32;
        newest - back.max(1)
    }
}

/// What one connection sends at once, and what its gets found so far.
#[derive(Clone, Debug)]
pub struct ChurnBatch {
    protocol: Protocol,
    requests: usize,
    bytes: Vec<u8>,
    value: Vec<u8>,
    unanswered: usize,
    /// The first bytes of a line that has not ended yet.
    line: [u8; LINE_START_BYTES],
    line_bytes: usize,
    /// Keys asked for.
    pub gets: u64,
    /// Keys asked for and there.
    pub hits: u64,
    /// Sets for which there was no memory.
    pub refused: u64,
}

/// So much of a line tells what it is.
const LINE_START_BYTES: usize = 8;

/// What a line of a reply means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// A value is found: more lines follow.
    Found,
    /// The value itself, before the reply's last line.
    Middle,
    /// A reply is whole.
    Last,
    /// A reply is whole: no memory.
    Refused,
}

impl ChurnBatch {
    /// So many requests, none of which is made yet; values have at most `value_bytes_max` bytes.
    pub fn new(protocol: Protocol, requests: usize, value_bytes_max: usize) -> ChurnBatch {
        ChurnBatch {
            protocol,
            requests,
            bytes: Vec::new(),
            value: vec![b'x'; value_bytes_max],
            unanswered: 0,
            line: [0; LINE_START_BYTES],
            line_bytes: 0,
            gets: 0,
            hits: 0,
            refused: 0,
        }
    }

    fn append_get(&mut self, key: u32) {
        let written = match self.protocol {
            Protocol::Resp => {
                write!(self.bytes, "*2\r\n$3\r\nGET\r\n$16\r\nkey:{key:012x}\r\n")
            }
            Protocol::Memcached => write!(self.bytes, "get key:{key:012x}\r\n"),
        };
        written.expect("memory takes all");
    }

    fn append_set(&mut self, key: u32, value_bytes: usize) {
        let written = match self.protocol {
            Protocol::Resp => write!(
                self.bytes,
                "*3\r\n$3\r\nSET\r\n$16\r\nkey:{key:012x}\r\n${value_bytes}\r\n"
            ),
            Protocol::Memcached => {
                write!(self.bytes, "set key:{key:012x} 0 0 {value_bytes}\r\n")
            }
        };
        written.expect("memory takes all");
        self.bytes.extend_from_slice(&self.value[..value_bytes]);
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// Takes the end of a line, or all of it.
    fn end_line(&mut self) -> io::Result<()> {
        let start = &self.line[..self.line_bytes];
        let line = match (self.protocol, start) {
            (Protocol::Resp, [b'$', b'-', ..] | b"+OK\r") => Line::Last,
            (Protocol::Resp, [b'$', ..]) => Line::Found,
            // The value itself; one of no bytes is an empty line.
            (Protocol::Resp, [b'x' | b'\r', ..]) => Line::Last,
            (Protocol::Resp, [b'-', b'O', b'O', b'M', ..]) => Line::Refused,
            (Protocol::Memcached, b"VALUE ke") => Line::Found,
            (Protocol::Memcached, [b'x' | b'\r', ..]) => Line::Middle,
            (Protocol::Memcached, b"END\r" | b"STORED\r") => Line::Last,
            (Protocol::Memcached, b"SERVER_E") => Line::Refused,
            _ => {
                let text = String::from_utf8_lossy(start);
                return Err(io::Error::other(format!("the server answers {text}")));
            }
        };
        self.line_bytes = 0;
        self.hits += u64::from(line == Line::Found);
        self.refused += u64::from(line == Line::Refused);
        if matches!(line, Line::Last | Line::Refused) {
            let left = self.unanswered.checked_sub(1);
            self.unanswered = left.ok_or_else(|| io::Error::other("more replies than requests"))?;
        }
        Ok(())
    }

    fn note_line_start(&mut self, bytes: &[u8]) {
        let free = &mut self.line[self.line_bytes..];
        let taken = free.len().min(bytes.len());
        free[..taken].copy_from_slice(&bytes[..taken]);
        self.line_bytes += taken;
    }
}

impl Exchange for ChurnBatch {
    fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn requests(&self) -> usize {
        self.requests
    }

    fn receive(&mut self, replies: &[u8]) -> io::Result<bool> {
        let mut rest = replies;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            self.note_line_start(&rest[..end]);
            self.end_line()?;
            rest = &rest[end + 1..];
        }
        self.note_line_start(rest);
        Ok(self.unanswered == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receive_bytewise(batch: &mut ChurnBatch, replies: &[u8]) -> io::Result<bool> {
        let mut is_whole = false;
        for byte in replies {
            is_whole = batch.receive(&[*byte])?;
        }
        Ok(is_whole)
    }

    #[test]
    fn replies_are_counted_wherever_they_are_cut() {
        let cases = [
            (
                Protocol::Resp,
                "$3\r\nxxx\r\n",
                "$-1\r\n",
                "+OK\r\n",
                "-OOM no\r\n",
            ),
            (
                Protocol::Memcached,
                "VALUE key:00 0 3\r\nxxx\r\nEND\r\n",
                "END\r\n",
                "STORED\r\n",
                "SERVER_ERROR out of memory\r\n",
            ),
        ];
        for (protocol, hit, miss, stored, refused) in cases {
            let mut batch = ChurnBatch::new(protocol, 4, 3);
            Churn::new(Sizes::Fixed(3), 1).fill(&mut batch, &mut Rng::with_seed(1));
            let replies = [hit, miss, stored, refused].concat();
            let mut other = batch.clone();
            assert!(receive_bytewise(&mut batch, replies.as_bytes()).unwrap());
            assert_eq!((batch.hits, batch.refused), (1, 1));
            assert!(other.receive(replies.as_bytes()).unwrap());
            assert!(other.receive(stored.as_bytes()).is_err(), "one too many");
            assert!(other.receive(b"ERROR\r\n").is_err());
        }
    }

    #[test]
    fn sets_are_of_new_keys_and_gets_of_recent_ones() {
        let mut churn = Churn::new(Sizes::Fixed(1), 1);
        let mut batch = ChurnBatch::new(Protocol::Memcached, 2, 1);
        let mut rng = Rng::with_seed(1);
        churn.fill(&mut batch, &mut rng);
        let first = "set key:000000000000 0 0 1\r\nx\r\nset key:000000000001 0 0 1\r\nx\r\n";
        assert_eq!(String::from_utf8_lossy(batch.bytes()), first);
        churn.gets_percent = 100;
        churn.fill(&mut batch, &mut rng);
        let second = "get key:000000000001\r\n".repeat(2);
        assert_eq!(String::from_utf8_lossy(batch.bytes()), second);
        assert_eq!((batch.gets, churn.keys_set()), (2, 2));
        churn.on_the_way = 1;
        churn.fill(&mut batch, &mut rng);
        let third = "get key:000000000000\r\n".repeat(2);
        assert_eq!(String::from_utf8_lossy(batch.bytes()), third);
    }
}
