//! Requests built once and sent many times with other keys.
//!
//! All keys are 16 bytes, of which the last six are the key's number in hexadecimal digits. A
//! [`Batch`] remembers where they stand, so that the next batch costs six byte writes per key.

/// How a server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Redis's.
    Resp,
    /// Memcached's text.
    Memcached,
}

/// What is asked of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// `GET key`, a hit.
    Get,
    /// `SET key value`.
    Set,
    /// `INCR key`.
    Incr,
    /// `MSET` of ten keys.
    Mset,
    /// `MGET` of ten keys, all hits.
    Mget,
    /// `HSET key field value` on many small hashes.
    Hset,
    /// `HSET hash key value` on one large hash.
    HsetOne,
    /// `SADD set key` on one large set.
    Sadd,
    /// `get key` over memcached's protocol, a hit.
    MemcachedGet,
    /// `set key` over memcached's protocol.
    MemcachedSet,
    /// `JSON.GET key path` of one field of a [profile](crate::corpus::profile).
    JsonGet,
    /// `JSON.SET key path value` of the same field.
    JsonSet,
}

/// The field of a profile that [`Op::JsonGet`] and [`Op::JsonSet`] mean.
pub const JSON_FIELD: &str = "$.prefs.theme";
/// What [`Op::JsonSet`] puts there.
pub const JSON_FIELD_VALUE: &str = "\"light\"";

/// Keys in an MSET or MGET.
pub const KEYS_PER_MULTI: usize = 10;
/// The length of every key.
pub const KEY_BYTES: usize = 16;
const DIGITS: usize = 6;
/// How many different keys there can be.
pub const KEYS_MAX: u32 = 1 << (4 * DIGITS);

impl Op {
    /// What tables call it.
    pub fn name(self) -> &'static str {
        match self {
            Op::Get => "GET",
            Op::Set => "SET",
            Op::Incr => "INCR",
            Op::Mset => "MSET(10)",
            Op::Mget => "MGET(10)",
            Op::Hset => "HSET, hash per key",
            Op::HsetOne => "HSET, one hash",
            Op::Sadd => "SADD, one set",
            Op::MemcachedGet => "get (memcached)",
            Op::MemcachedSet => "set (memcached)",
            Op::JsonGet => "JSON.GET of a field",
            Op::JsonSet => "JSON.SET of a field",
        }
    }

    /// The protocol it belongs to.
    pub fn protocol(self) -> Protocol {
        match self {
            Op::MemcachedGet | Op::MemcachedSet => Protocol::Memcached,
            _ => Protocol::Resp,
        }
    }

    /// What must run over all keys first, so that it finds something.
    pub fn filled_by(self) -> Op {
        match self {
            Op::Get | Op::Set | Op::Mset | Op::Mget => Op::Set,
            Op::MemcachedGet | Op::MemcachedSet => Op::MemcachedSet,
            other => other,
        }
    }

    /// How many lines its reply has when all goes well.
    fn reply_lines(self) -> usize {
        match self {
            Op::Get | Op::JsonGet => 2,
            Op::Mget => 1 + 2 * KEYS_PER_MULTI,
            Op::MemcachedGet => 3,
            _ => 1,
        }
    }

    fn keys_per_request(self) -> usize {
        match self {
            Op::Mset | Op::Mget => KEYS_PER_MULTI,
            _ => 1,
        }
    }
}

/// What is written beside the keys.
#[derive(Clone, Copy, Debug)]
pub struct Payload {
    /// The length of values.
    pub value_bytes: usize,
    /// Whether SET and `set` give an expiry, a day away.
    pub expires: bool,
}

impl Default for Payload {
    fn default() -> Payload {
        Payload {
            value_bytes: 64,
            expires: false,
        }
    }
}

/// Requests that are sent together.
#[derive(Debug)]
pub struct Batch {
    bytes: Vec<u8>,
    /// Where the digits of each key stand.
    digits_at: Vec<usize>,
    reply_lines: usize,
    requests: usize,
}

impl Batch {
    /// So many requests, for the key 0.
    pub fn new(op: Op, requests: usize, payload: Payload) -> Batch {
        let (mut bytes, mut digits_at) = (Vec::new(), Vec::new());
        for _ in 0..requests {
            append(op, payload, &mut bytes, &mut digits_at);
        }
        Batch {
            bytes,
            digits_at,
            reply_lines: requests * op.reply_lines(),
            requests,
        }
    }

    /// Gives the requests new keys, each a number below [`KEYS_MAX`].
    pub fn rekey(&mut self, mut next: impl FnMut() -> u32) {
        for &at in &self.digits_at {
            write_digits(&mut self.bytes[at..at + DIGITS], next());
        }
    }

    /// What goes to the server.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many keys [`Batch::rekey`] asks for.
    pub fn keys(&self) -> usize {
        self.digits_at.len()
    }

    /// How many line ends the replies hold.
    pub fn reply_lines(&self) -> usize {
        self.reply_lines
    }

    /// How many requests there are.
    pub fn requests(&self) -> usize {
        self.requests
    }
}

/// The key of a number, as every [`Batch`] writes it.
pub fn key_of(number: u32) -> [u8; KEY_BYTES] {
    let mut key = *b"key:000000000000";
    write_digits(&mut key[KEY_BYTES - DIGITS..], number);
    key
}

fn write_digits(digits: &mut [u8], number: u32) {
    for (place, digit) in digits.iter_mut().rev().enumerate() {
        *digit = b"0123456789abcdef"[(number >> (4 * place)) as usize & 15];
    }
}

fn append(op: Op, payload: Payload, bytes: &mut Vec<u8>, digits_at: &mut Vec<usize>) {
    let value = vec![b'x'; payload.value_bytes];
    let key = key_of(0);
    let mut command: Vec<&[u8]> = Vec::new();
    match op {
        Op::Get => command.extend([&b"GET"[..], &key]),
        Op::Set => command.extend([&b"SET"[..], &key, &value]),
        Op::Incr => command.extend([&b"INCR"[..], &key]),
        Op::Hset => command.extend([&b"HSET"[..], &key, b"field", &value]),
        Op::HsetOne => command.extend([&b"HSET"[..], b"hash", &key, &value]),
        Op::Sadd => command.extend([&b"SADD"[..], b"set", &key]),
        Op::Mget => {
            command.push(b"MGET");
            command.extend([&key[..]; KEYS_PER_MULTI]);
        }
        Op::Mset => {
            command.push(b"MSET");
            command.extend([&key[..], &value].repeat(KEYS_PER_MULTI));
        }
        Op::JsonGet => command.extend([&b"JSON.GET"[..], &key, JSON_FIELD.as_bytes()]),
        Op::JsonSet => command.extend([
            &b"JSON.SET"[..],
            &key,
            JSON_FIELD.as_bytes(),
            JSON_FIELD_VALUE.as_bytes(),
        ]),
        Op::MemcachedGet | Op::MemcachedSet => {}
    }
    if op == Op::Set && payload.expires {
        command.extend([&b"EX"[..], b"86400"]);
    }
    let start = bytes.len();
    match op {
        Op::MemcachedGet => bytes.extend([b"get ", &key[..], b"\r\n"].concat()),
        Op::MemcachedSet => {
            let expiry = if payload.expires { 86_400 } else { 0 };
            let head = format!(" 0 {expiry} {}\r\n", value.len());
            bytes.extend([b"set ", &key[..], head.as_bytes(), &value, b"\r\n"].concat());
        }
        _ => bytes.extend(resp(&command)),
    }
    let keys = memchr::memmem::find_iter(&bytes[start..], &key);
    digits_at.extend(keys.map(|at| start + at + KEY_BYTES - DIGITS));
    debug_assert_eq!(digits_at.len() % op.keys_per_request(), 0);
}

/// A RESP command.
pub fn resp(words: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        let word = word.as_ref();
        bytes.extend(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend(word);
        bytes.extend(b"\r\n");
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_rewritten_in_place() {
        let mut batch = Batch::new(Op::Mget, 2, Payload::default());
        let mut next = 0;
        batch.rekey(|| {
            next += 1;
            next
        });
        assert_eq!(next as usize, 2 * KEYS_PER_MULTI);
        let keys: Vec<_> = (1..=10).map(key_of).collect();
        let words: Vec<&[u8]> = [&b"MGET"[..]]
            .into_iter()
            .chain(keys.iter().map(|key| &key[..]))
            .collect();
        assert!(batch.bytes().starts_with(&resp(&words)));
        assert_eq!(&key_of(0xabc), b"key:000000000abc");
    }
}
