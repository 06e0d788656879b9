//! The memory of the real executable: its figures agree with each other and with the resident
//! size, what is flushed is gone to the byte, and a soak.
//!
//! The soak: sizes from 10 bytes to 1 MB that shift over time, both
//! protocols, expiry and deletion, under a memory limit. Resident memory stays in its bound,
//! nothing is lost that should not be, and the only error is the documented one.
//!
//! Of some seconds; `MAYFLY_SOAK_SECONDS=600` makes it ten minutes.
#![allow(
    clippy::disallowed_methods,
    reason = "the time limits of a test are its own"
)]

mod ports;

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ports::free_port;

const LIMIT_BYTES: u64 = 128 << 20;
/// Sizes of values, one after the other and again from the start.
const PHASES: [(usize, usize); 6] = [
    (10, 60),
    (48, 200),
    (300, 700),
    (700, 4_096),
    (4_096, 100_000),
    (100_000, 1_000_000),
];
/// A client writes so many bytes of a phase before the next one comes.
const PHASE_BYTES: usize = 48 << 20;

fn seconds() -> u64 {
    let text = std::env::var("MAYFLY_SOAK_SECONDS");
    text.map_or(4, |text| text.parse().expect("a number of seconds"))
}

struct Running {
    child: Child,
    resp: u16,
    memcached: u16,
}

impl Running {
    fn start(flags: &[&str]) -> Running {
        let (resp, memcached) = (free_port(), free_port());
        let child = Command::new(env!("CARGO_BIN_EXE_mayfly"))
            .env_clear()
            .args(["--bind=127.0.0.1", "--threads=2"])
            .arg(format!("--port={resp}"))
            .arg(format!("--memcached_port={memcached}"))
            .arg(format!("--maxmemory={LIMIT_BYTES}"))
            .args(flags)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the executable runs");
        let running = Running {
            child,
            resp,
            memcached,
        };
        for _ in 0..500 {
            let are_open = [resp, memcached].map(|port| TcpStream::connect(("127.0.0.1", port)));
            if are_open.iter().all(Result::is_ok) {
                return running;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("it does not listen");
    }

    /// In physical memory, without files that are only mapped.
    fn resident_bytes(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).expect("it runs");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("RssAnon:"));
        let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kilobytes.expect("the kernel tells") << 10
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Protocol {
    Resp,
    Memcached,
}

/// A connection of either protocol, one request at a time.
struct Client {
    stream: BufReader<TcpStream>,
    protocol: Protocol,
}

impl Client {
    fn connect(server: &Running, protocol: Protocol) -> Client {
        let port = match protocol {
            Protocol::Resp => server.resp,
            Protocol::Memcached => server.memcached,
        };
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
        let timeout = Some(Duration::from_secs(60));
        stream.set_read_timeout(timeout).expect("a timeout");
        Client {
            stream: BufReader::new(stream),
            protocol,
        }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).expect("a reply");
        line.trim_end().to_owned()
    }

    fn send(&mut self, parts: &[&[u8]]) {
        let stream = self.stream.get_mut();
        stream.write_all(&parts.concat()).expect("it listens");
    }

    fn command(&mut self, words: &[&[u8]]) {
        let mut request = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            request.extend(format!("${}\r\n", word.len()).bytes());
            request.extend_from_slice(word);
            request.extend(b"\r\n");
        }
        self.send(&[&request]);
    }

    /// False if there is no memory; any other error ends the test.
    fn set(&mut self, key: &str, value: &[u8], expiry_s: Option<u64>) -> bool {
        match self.protocol {
            Protocol::Resp => {
                let seconds = expiry_s.unwrap_or(0).to_string();
                let words = [b"SET", key.as_bytes(), value, b"EX", seconds.as_bytes()];
                self.command(&words[..if expiry_s.is_some() { 5 } else { 3 }]);
            }
            Protocol::Memcached => {
                let expiry = expiry_s.unwrap_or(0);
                let head = format!("set {key} 0 {expiry} {}\r\n", value.len());
                self.send(&[head.as_bytes(), value, b"\r\n"]);
            }
        }
        match self.line().as_str() {
            "+OK" | "STORED" => true,
            "-OOM command not allowed when used memory > 'maxmemory'."
            | "SERVER_ERROR out of memory storing object" => false,
            other => panic!("SET {key}: {other}"),
        }
    }

    fn get(&mut self, key: &str) -> Option<Vec<u8>> {
        let len = match self.protocol {
            Protocol::Resp => {
                self.command(&[b"GET", key.as_bytes()]);
                match self.line().as_str() {
                    "$-1" => return None,
                    line => line[1..].parse().expect("a bulk string"),
                }
            }
            Protocol::Memcached => {
                self.send(&[format!("get {key}\r\n").as_bytes()]);
                match self.line().as_str() {
                    "END" => return None,
                    line => line.rsplit(' ').next().and_then(|len| len.parse().ok()),
                }
                .expect("a value")
            }
        };
        let mut value = vec![0; len];
        self.stream.read_exact(&mut value).expect("the value");
        assert_eq!(self.line(), "");
        if self.protocol == Protocol::Memcached {
            assert_eq!(self.line(), "END");
        }
        Some(value)
    }

    fn delete(&mut self, key: &str) -> bool {
        match self.protocol {
            Protocol::Resp => self.command(&[b"DEL", key.as_bytes()]),
            Protocol::Memcached => self.send(&[format!("delete {key}\r\n").as_bytes()]),
        }
        match self.line().as_str() {
            ":1" | "DELETED" => true,
            ":0" | "NOT_FOUND" => false,
            other => panic!("DEL {key}: {other}"),
        }
    }
}

/// What a client wrote last.
struct Known {
    seed: u64,
    bytes: usize,
    /// Gone from then on, give or take a second.
    expires: Option<Instant>,
}

fn value_of(seed: u64, bytes: usize) -> Vec<u8> {
    let pattern = seed.to_le_bytes();
    pattern.iter().copied().cycle().take(bytes).collect()
}

/// One client with keys of its own.
struct Worker {
    client: Client,
    name: String,
    /// Whether the server may forget what has no expiry.
    evicts: bool,
    known: HashMap<u32, Known>,
    random: fastrand::Rng,
    written_bytes: usize,
}

impl Worker {
    fn step(&mut self) {
        let number = self.random.u32(..200_000);
        match self.random.u8(..10) {
            0..6 => self.write(number),
            6..9 => {
                // Mostly one of those that are known, cheaply.
                let some = self.random.usize(..50);
                let known = self.known.keys().nth(some).copied();
                self.check(known.unwrap_or(number));
            }
            _ => self.delete(number),
        }
    }

    fn write(&mut self, number: u32) {
        let (least, most) = PHASES[self.written_bytes / PHASE_BYTES % PHASES.len()];
        let bytes = self.random.usize(least..=most);
        let seed = self.random.u64(..);
        let expiry_s = (self.random.u8(..8) == 0).then(|| self.random.u64(1..4));
        let key = self.key(number);
        let sent = Instant::now();
        if self.client.set(&key, &value_of(seed, bytes), expiry_s) {
            let expires = expiry_s.map(|seconds| sent + Duration::from_secs(seconds));
            let known = Known {
                seed,
                bytes,
                expires,
            };
            self.known.insert(number, known);
            self.written_bytes += bytes;
        } else {
            assert!(!self.evicts, "a cache makes room");
            if self.client.protocol == Protocol::Memcached {
                // A set that is refused takes the old value with it, as in memcached.
                self.known.remove(&number);
            }
            self.make_room();
        }
    }

    /// Deletes a tenth of the keys; reads and deletes always go on.
    fn make_room(&mut self) {
        let some: Vec<u32> = self.known.keys().copied().collect();
        for &number in some.iter().take(some.len() / 10 + 1) {
            self.delete(number);
        }
    }

    fn delete(&mut self, number: u32) {
        let key = self.key(number);
        let was_there = self.client.delete(&key);
        if let Some(known) = self.known.remove(&number) {
            let may_be_gone = self.evicts || known.expires.is_some();
            assert!(was_there || may_be_gone, "{key} was lost");
        } else {
            assert!(!was_there, "{key} came back");
        }
    }

    fn check(&mut self, number: u32) {
        let key = self.key(number);
        let value = self.client.get(&key);
        let Some(known) = self.known.get(&number) else {
            assert!(value.is_none(), "{key} came back");
            return;
        };
        let now = Instant::now();
        // A second is the protocols' grain.
        let is_due = |at: Instant| now + Duration::from_secs(1) >= at;
        match value {
            Some(value) => {
                assert!(
                    value == value_of(known.seed, known.bytes),
                    "{key} has changed"
                );
                let is_over = |at| now > at + Duration::from_secs(2);
                assert!(!known.expires.is_some_and(is_over), "{key} lives on");
            }
            None => {
                let may_be_gone = self.evicts || known.expires.is_some_and(is_due);
                assert!(may_be_gone, "{key} was lost");
                self.known.remove(&number);
            }
        }
    }

    fn key(&self, number: u32) -> String {
        format!("{}:{number:06}", self.name)
    }
}

/// Runs the clients for the time that is set; the most bytes that were resident.
fn soak(flags: &[&str], evicts: bool) -> u64 {
    let server = Running::start(flags);
    let is_over = AtomicBool::new(false);
    let written = AtomicU64::new(0);
    let (mut most, mut account) = (0, String::new());
    std::thread::scope(|scope| {
        for (at, protocol) in [Protocol::Resp, Protocol::Memcached, Protocol::Resp]
            .into_iter()
            .enumerate()
        {
            let mut worker = Worker {
                client: Client::connect(&server, protocol),
                name: format!("client{at}"),
                evicts,
                known: HashMap::new(),
                random: fastrand::Rng::with_seed(at as u64),
                // The clients are in different phases.
                written_bytes: at * 2 * PHASE_BYTES,
            };
            let (is_over, written) = (&is_over, &written);
            scope.spawn(move || {
                let before = worker.written_bytes;
                while !is_over.load(Ordering::Relaxed) {
                    worker.step();
                }
                let bytes = worker.written_bytes - before;
                written.fetch_add(bytes as u64, Ordering::Relaxed);
            });
        }
        let mut observer = Client::connect(&server, Protocol::Resp);
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(seconds()) {
            std::thread::sleep(Duration::from_millis(20));
            let resident = server.resident_bytes();
            if resident > most {
                most = resident;
                account = info(&mut observer) + &text(&mut observer, &[b"MEMORY", b"MALLOC-STATS"]);
            }
        }
        is_over.store(true, Ordering::Relaxed);
    });
    eprintln!(
        "{flags:?}: {} MB written, at most {:.1} MB resident of {} MB, when\n{account}",
        written.load(Ordering::Relaxed) >> 20,
        most as f64 / 1e6,
        LIMIT_BYTES as f64 / 1e6
    );
    most
}

const BOUND_BYTES: u64 = LIMIT_BYTES / 10 * 11;

#[test]
fn nothing_is_lost_and_memory_keeps_to_its_bound_without_eviction() {
    let most = soak(&["--maxmemory_policy=noeviction"], false);
    assert!(most < BOUND_BYTES, "{most} bytes of {LIMIT_BYTES}");
}

#[test]
fn a_cache_makes_room_and_memory_keeps_to_its_bound() {
    let most = soak(&["--cache_mode"], true);
    assert!(most < BOUND_BYTES, "{most} bytes of {LIMIT_BYTES}");
}

/// Six clients write values of one length as fast as they can, over what
/// was short before; the most bytes that were resident.
fn flood(server: &Running, value_bytes: usize, megabytes: usize) -> u64 {
    const CLIENTS: usize = 6;
    let values = (megabytes << 20) / CLIENTS / value_bytes;
    let is_over = AtomicBool::new(false);
    let mut most = 0;
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..CLIENTS)
            .map(|at| {
                scope.spawn(move || {
                    let mut client = Client::connect(server, Protocol::Resp);
                    let value = vec![b'v'; value_bytes];
                    for step in 0..values {
                        assert!(client.set(&format!("{value_bytes}:{at}:{step}"), &value, None));
                    }
                })
            })
            .collect();
        let most = &mut most;
        let is_over = &is_over;
        scope.spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                *most = server.resident_bytes().max(*most);
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        let results: Vec<_> = writers.into_iter().map(|writer| writer.join()).collect();
        is_over.store(true, Ordering::Relaxed);
        assert!(results.iter().all(Result::is_ok), "a client failed");
    });
    most
}

#[test]
fn long_values_that_come_at_once_keep_to_the_bound() {
    for value_bytes in [20_000, 1_000_000] {
        let server = Running::start(&["--cache_mode"]);
        let short = flood(&server, 400, 130);
        let long = flood(&server, value_bytes, 400);
        eprintln!("400 bytes: {short} resident, {value_bytes}: {long}");
        let most = short.max(long);
        assert!(most < BOUND_BYTES, "{most} bytes of {LIMIT_BYTES}");
    }
}

/// A figure of INFO, or of Memcached's `stats`.
fn figure(text: &str, name: &str) -> u64 {
    let words = |line: &str| {
        let (found, value) = line.rsplit_once([':', ' '])?;
        (found.trim_start_matches("STAT ") == name).then(|| value.parse().expect("a number"))
    };
    let found = text.lines().find_map(words);
    found.unwrap_or_else(|| panic!("no {name} in {text}"))
}

fn info(client: &mut Client) -> String {
    text(client, &[b"INFO", b"memory"])
}

/// A reply that is one text.
fn text(client: &mut Client, words: &[&[u8]]) -> String {
    client.command(words);
    let len = client.line()[1..].parse().expect("a bulk string");
    let mut text = vec![0; len];
    client.stream.read_exact(&mut text).expect("the text");
    client.line();
    String::from_utf8(text).expect("text")
}

/// The number behind a name in MEMORY STATS.
fn memory_stats_figure(client: &mut Client, name: &str) -> u64 {
    client.command(&[b"MEMORY", b"STATS"]);
    let mut found = None;
    let mut elements: usize = client.line()[1..].parse().expect("an array");
    let mut is_next = false;
    while elements > 0 {
        elements -= 1;
        let line = client.line();
        let (kind, rest) = line.split_at(1);
        match kind {
            "$" => is_next = client.line() == name,
            "*" => elements += rest.parse::<usize>().expect("a length"),
            _ if is_next => found = rest.parse().ok(),
            _ => {}
        }
    }
    found.unwrap_or_else(|| panic!("no {name}"))
}

#[test]
fn all_figures_of_memory_agree() {
    // Beside half a gigabyte the slab that each class is filling does not count for much.
    const KEYS: u32 = 600_000;
    let server = Running::start(&["--maxmemory=0"]);
    let mut resp = Client::connect(&server, Protocol::Resp);
    let mut memcached = Client::connect(&server, Protocol::Memcached);
    let mut random = fastrand::Rng::with_seed(3);
    for number in 0..KEYS {
        let value = vec![b'v'; random.usize(10..1_500)];
        let client = if number % 2 == 0 {
            &mut resp
        } else {
            &mut memcached
        };
        assert!(client.set(&format!("key:{number}"), &value, None));
    }
    let info = info(&mut resp);
    memcached.send(&[b"stats\r\n"]);
    let mut stats = String::new();
    while !stats.ends_with("END\n") {
        stats += &memcached.line();
        stats.push('\n');
    }
    let used = figure(&info, "used_memory");
    let figures = [
        (
            "MEMORY STATS",
            memory_stats_figure(&mut resp, "total.allocated"),
        ),
        ("bytes", figure(&stats, "bytes")),
        ("allocator_resident", figure(&info, "allocator_resident")),
        ("resident", server.resident_bytes()),
    ];
    for (name, bytes) in figures {
        let apart = bytes.abs_diff(used) as f64 / used as f64;
        assert!(
            apart < 0.05,
            "{name} {bytes} is {apart:.3} apart from {used}"
        );
    }
}

/// One random command; its reply, whatever it is, is read.
fn random_command(client: &mut Client, random: &mut fastrand::Rng) {
    const COMMANDS: &[&str] = &[
        "SET k v",
        "SET k vv EX 100",
        "APPEND k 12345",
        "SETRANGE k 40000 x",
        "SETBIT k 99999 1",
        "GETDEL k",
        "INCR k",
        "DEL k",
        "EXPIRE k 100",
        "PERSIST k",
        "RENAME k k",
        "COPY k k",
        "HSET k f v",
        "HSET k ff vvvvvvvvvvvvvvvvvvvvvvvvvvvv",
        "HDEL k f",
        "SADD k 1 2 3",
        "SADD k a b c d e f g",
        "SREM k 1",
        "SPOP k",
        "SINTERSTORE k k k",
        "SUNIONSTORE k k k",
        "SMOVE k k 1",
        "MSET k v k v",
        "EXPIRE k 0",
        "SWAPDB 0 1",
        "SELECT 1",
        "SELECT 0",
        "JSON.SET k $ {\"a\":[1,2,3]}",
        "JSON.ARRAPPEND k $.a 4",
        "FLUSHDB",
        "MULTI",
        "EXEC",
    ];
    let template = COMMANDS[random.usize(..COMMANDS.len())];
    let words: Vec<String> = template
        .split(' ')
        .map(|word| match word {
            "k" => format!("key:{}", random.u8(..40)),
            "f" => format!("field:{}", random.u16(..300)),
            "vv" => "v".repeat(random.usize(..20_000)),
            word => word.to_owned(),
        })
        .collect();
    let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
    client.command(&words);
    client.skip_reply();
}

impl Client {
    fn skip_reply(&mut self) {
        let line = self.line();
        let len: i64 = line[1..].parse().unwrap_or(0);
        match line.as_bytes()[0] {
            b'$' if len >= 0 => {
                let mut bytes = vec![0; len as usize + 2];
                self.stream.read_exact(&mut bytes).expect("a bulk string");
            }
            b'*' => (0..len).for_each(|_| self.skip_reply()),
            _ => {}
        }
    }
}

#[test]
fn what_is_flushed_is_gone_to_the_byte() {
    let server = Running::start(&[]);
    for seed in 0..3 {
        let mut client = Client::connect(&server, Protocol::Resp);
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..5_000 {
            random_command(&mut client, &mut random);
        }
        // It may be inside MULTI still.
        let mut client = Client::connect(&server, Protocol::Resp);
        client.command(&[b"FLUSHALL"]);
        assert_eq!(client.line(), "+OK");
        let is_empty = |text: &str| {
            figure(text, "used_memory_dataset") == 0 && figure(text, "used_memory_retired") == 0
        };
        let mut last = String::new();
        let emptied = (0..500).any(|_| {
            std::thread::sleep(Duration::from_millis(20));
            last = info(&mut client);
            is_empty(&last)
        });
        assert!(emptied, "seed {seed}: {last}");
    }
}

/// What the process takes for itself must not be taken for a reason to refuse writes.
#[test]
fn a_tiny_cache_makes_room_for_every_write() {
    const BEYOND_EMPTY_BYTES: u64 = 100_000;
    const VALUE_BYTES: [usize; 5] = [10, 50, 200, 500, 2_000];
    let server = Running::start(&["--cache_mode"]);
    let mut client = Client::connect(&server, Protocol::Resp);
    // The server looks at what the process takes for itself from time to time.
    let mut empty_bytes = 0;
    for _ in 0..5 {
        std::thread::sleep(Duration::from_millis(500));
        empty_bytes = empty_bytes.max(figure(&info(&mut client), "used_memory"));
    }
    let limit = empty_bytes + BEYOND_EMPTY_BYTES;
    client.command(&[
        b"CONFIG",
        b"SET",
        b"maxmemory",
        limit.to_string().as_bytes(),
    ]);
    assert_eq!(client.line(), "+OK");
    let mut random = fastrand::Rng::with_seed(1);
    for step in 0..20_000 {
        let value = vec![b'v'; VALUE_BYTES[random.usize(..VALUE_BYTES.len())]];
        let key = format!("key:{}", random.u32(..5_000));
        assert!(client.set(&key, &value, None), "step {step}");
    }
}

/// What the process takes for itself counts before anybody can write.
#[test]
fn the_limit_holds_from_the_first_request_on() {
    let server = Running::start(&["--maxmemory_policy=noeviction", "--maxmemory=300kb"]);
    let mut client = Client::connect(&server, Protocol::Resp);
    assert!(!client.set("key", b"value", None));
    let used_bytes = figure(&info(&mut client), "used_memory");
    assert!(
        used_bytes > 300 << 10,
        "it takes more by itself: {used_bytes}"
    );
}
