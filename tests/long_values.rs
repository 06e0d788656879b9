//! Strings that are long enough to stay where they were received, and to be sent from there.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use fastrand::Rng;
use tests::resp::{self, Reply};
use tests::{PATIENCE, Subject, random};

/// Around all lengths at which something changes: in the entry, beside it, read alone.
const LENGTHS: [usize; 9] = [
    0, 100, 16_383, 16_384, 16_385, 20_000, 70_000, 300_000, 1_100_000,
];
const KEYS: usize = 8;

/// Sends `requests` while the replies come; whether they are `expected`.
#[track_caller]
fn check(address: SocketAddr, requests: &[u8], expected: &[u8]) {
    let mut stream = TcpStream::connect(address).expect("the server listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time");
    let mut received = vec![0; expected.len()];
    std::thread::scope(|scope| {
        let mut sending = stream.try_clone().expect("a second handle");
        scope.spawn(move || sending.write_all(requests).expect("the server reads"));
        stream.read_exact(&mut received).expect("all replies");
    });
    let differing = received.iter().zip(expected).position(|(a, b)| a != b);
    assert_eq!(differing, None, "of {} bytes", expected.len());
}

fn bytes(random: &mut Rng) -> Vec<u8> {
    let bytes = LENGTHS[random.usize(..LENGTHS.len())];
    let first = random.usize(..256);
    (first..first + bytes)
        .map(|byte| (byte % 251) as u8)
        .collect()
}

/// What the keys hold, and what a client is to get.
#[derive(Default)]
struct Model {
    values: HashMap<String, Vec<u8>>,
    requests: Vec<u8>,
    expected: Vec<u8>,
}

impl Model {
    fn ask(&mut self, words: &[&[u8]]) {
        resp::encode(words, &mut self.requests);
    }

    fn bulk(&mut self, key: &str) {
        match self.values.get(key) {
            None => self.expected.extend_from_slice(b"$-1\r\n"),
            Some(value) => {
                let header = format!("${}\r\n", value.len());
                self.expected
                    .extend([header.as_bytes(), value, b"\r\n"].concat());
            }
        }
    }

    fn resp_step(&mut self, random: &mut Rng) {
        let key = format!("key:{}", random.usize(..KEYS));
        let value = bytes(random);
        match random.usize(..10) {
            0..3 => {
                self.ask(&[b"SET", key.as_bytes(), &value]);
                self.expected.extend_from_slice(b"+OK\r\n");
                self.values.insert(key, value);
            }
            3..6 => {
                self.ask(&[b"GET", key.as_bytes()]);
                self.bulk(&key);
            }
            6 => {
                self.ask(&[b"GETSET", key.as_bytes(), &value]);
                self.bulk(&key);
                self.values.insert(key, value);
            }
            7 => {
                self.ask(&[b"APPEND", key.as_bytes(), b"tail"]);
                let all = self.values.entry(key).or_default();
                all.extend_from_slice(b"tail");
                let reply = format!(":{}\r\n", all.len());
                self.expected.extend_from_slice(reply.as_bytes());
            }
            8 => {
                self.ask(&[b"SET", key.as_bytes(), &value, b"NX"]);
                if self.values.contains_key(&key) {
                    self.expected.extend_from_slice(b"$-1\r\n");
                } else {
                    self.expected.extend_from_slice(b"+OK\r\n");
                    self.values.insert(key, value);
                }
            }
            _ => {
                self.ask(&[b"MGET", key.as_bytes(), b"none", key.as_bytes()]);
                self.expected.extend_from_slice(b"*3\r\n");
                for key in [&*key, "none", &*key] {
                    self.bulk(key);
                }
            }
        }
    }

    fn memcached_step(&mut self, random: &mut Rng) {
        let key = format!("key:{}", random.usize(..KEYS));
        match random.usize(..6) {
            0..3 => {
                let value = bytes(random);
                let line = format!("set {key} 0 0 {}\r\n", value.len());
                self.requests
                    .extend([line.as_bytes(), &value, b"\r\n"].concat());
                self.expected.extend_from_slice(b"STORED\r\n");
                self.values.insert(key, value);
            }
            3 => {
                self.requests.extend(format!("mg {key} v\r\n").bytes());
                match self.values.get(&key) {
                    None => self.expected.extend_from_slice(b"EN\r\n"),
                    Some(value) => {
                        let line = format!("VA {}\r\n", value.len());
                        self.expected
                            .extend([line.as_bytes(), value, b"\r\n"].concat());
                    }
                }
            }
            _ => {
                self.requests
                    .extend(format!("get none {key} {key}\r\n").bytes());
                if let Some(value) = self.values.get(&key) {
                    let line = format!("VALUE {key} 0 {}\r\n", value.len());
                    let item = [line.as_bytes(), value, b"\r\n"].concat();
                    self.expected.extend(item.repeat(2));
                }
                self.expected.extend_from_slice(b"END\r\n");
            }
        }
    }
}

#[test]
fn long_values_come_back_as_they_were_sent() {
    let subject = Subject::start_with(&[("max-item-size", "2mb")]);
    let seed = random::seed();
    eprintln!("MAYFLY_TEST_SEED={seed}");
    let mut random = Rng::with_seed(seed);
    let mut model = Model::default();
    for round in 0..12 {
        let (address, step): (_, fn(&mut Model, &mut Rng)) = match round % 2 {
            0 => (subject.resp_address(), Model::resp_step),
            _ => (subject.memcached_address(), Model::memcached_step),
        };
        (0..60).for_each(|_| step(&mut model, &mut random));
        check(address, &model.requests, &model.expected);
        (model.requests, model.expected) = Default::default();
    }
}

#[test]
fn a_reply_is_of_the_moment_of_its_request() {
    let subject = Subject::start();
    let mut writer = subject.resp();
    let old = vec![b'o'; 5_000_000];
    writer.call(&["SET".as_bytes(), b"key", &old]);
    let mut readers: Vec<_> = (0..4).map(|_| subject.resp()).collect();
    for reader in &mut readers {
        reader.send(&["GET", "key"]);
    }
    // The first bytes are here, and most of the rest has no room on its way.
    let mut late = readers.pop().expect("a reader");
    let old = Reply::Bulk(old);
    for reader in &mut readers {
        assert!(reader.receive().reply == old);
    }
    writer.call(&["SET".as_bytes(), b"key", &vec![b'n'; 5_000_000]]);
    writer.call(&["FLUSHALL"]);
    assert!(late.receive().reply == old);
    assert_eq!(late.call(&["GET", "key"]), Reply::Nil);
}

#[test]
fn a_long_reply_that_nobody_wants_is_not_sent() {
    let subject = Subject::start();
    let mut client = subject.resp();
    let value = vec![b'v'; 100_000];
    client.call(&["SET".as_bytes(), b"key", &value]);
    client.send(&["CLIENT", "REPLY", "SKIP"]);
    client.send(&["GET", "key"]);
    client.send(&["STRLEN", "key"]);
    assert_eq!(client.receive().reply, Reply::Integer(100_000));
}
