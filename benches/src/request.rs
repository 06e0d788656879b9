//! Requests built once and sent many times with other keys.
//!
//! All keys are 16 bytes, of which the last six are the key's number in hexadecimal digits. A
//! [`Batch`] remembers where they stand, so that the next batch costs six byte writes per key.

/// How a server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Redis's.
    Resp,
    /// Memcached's text, meta and binary protocols.
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
    /// `EXISTS` of a hundred keys, all there: much to do for little that is sent back.
    Exists,
    /// `SADD key member ...` of a hundred members, the same in all sets.
    SaddMany,
    /// `SINTERCARD` of two such sets: much to do for little that is sent either way.
    Sintercard,
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
    /// `get` of so many keys over memcached's protocol, all hits.
    MemcachedGetMany(usize),
    /// `mg key v q` up to an `mn`, all hits.
    MetaGet,
    /// `ms key q` up to an `mn`.
    MetaSet,
    /// `getkq key` up to a `noop` of memcached's binary protocol, all hits.
    BinaryGet,
}

/// What the replies of a batch are known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// So many line ends.
    Lines(usize),
    /// So many bytes.
    Bytes(usize),
}

/// The field of a profile that [`Op::JsonGet`] and [`Op::JsonSet`] mean.
pub const JSON_FIELD: &str = "$.prefs.theme";
/// What [`Op::JsonSet`] puts there.
pub const JSON_FIELD_VALUE: &str = "\"light\"";

/// Keys in an MSET or MGET.
pub const KEYS_PER_MULTI: usize = 10;
/// Keys in an EXISTS.
pub const KEYS_PER_EXISTS: usize = 100;
/// Members of a set.
const MEMBERS_PER_SET: usize = 100;
/// The length of every key.
pub const KEY_BYTES: usize = 16;
const DIGITS: usize = 6;
const BINARY_HEADER_BYTES: usize = 24;
/// How many different keys there can be.
pub const KEYS_MAX: u32 = 1 << (4 * DIGITS);

impl Op {
    /// What tables call it.
    pub fn name(self) -> String {
        let name = match self {
            Op::Get => "GET",
            Op::Set => "SET",
            Op::Incr => "INCR",
            Op::Mset => "MSET(10)",
            Op::Mget => "MGET(10)",
            Op::Exists => "EXISTS(100)",
            Op::SaddMany => "SADD(100)",
            Op::Sintercard => "SINTERCARD of 100 and 100",
            Op::Hset => "HSET, hash per key",
            Op::HsetOne => "HSET, one hash",
            Op::Sadd => "SADD, one set",
            Op::MemcachedGet => "get (memcached)",
            Op::MemcachedSet => "set (memcached)",
            Op::JsonGet => "JSON.GET of a field",
            Op::JsonSet => "JSON.SET of a field",
            Op::MemcachedGetMany(keys) => return format!("get of {keys} keys"),
            Op::MetaGet => "mg q, mn",
            Op::MetaSet => "ms q, mn",
            Op::BinaryGet => "getkq, noop (binary)",
        };
        name.to_owned()
    }

    /// The protocol it belongs to.
    pub fn protocol(self) -> Protocol {
        match self {
            Op::MemcachedGet
            | Op::MemcachedSet
            | Op::MemcachedGetMany(_)
            | Op::MetaGet
            | Op::MetaSet
            | Op::BinaryGet => Protocol::Memcached,
            _ => Protocol::Resp,
        }
    }

    /// What must run over all keys first, so that it finds something.
    pub fn filled_by(self) -> Op {
        match self {
            Op::Get | Op::Set | Op::Mset | Op::Mget | Op::Exists => Op::Set,
            Op::SaddMany | Op::Sintercard => Op::SaddMany,
            other if other.protocol() == Protocol::Memcached => Op::MemcachedSet,
            other => other,
        }
    }

    /// What so many of it are answered with when all goes well.
    fn reply(self, requests: usize, payload: Payload) -> Reply {
        let lines = match self {
            Op::Get | Op::JsonGet => 2,
            Op::Mget => 1 + 2 * KEYS_PER_MULTI,
            Op::MemcachedGet => 3,
            Op::MemcachedGetMany(keys) => 2 * keys + 1,
            Op::MetaGet => return Reply::Lines(2 * requests + 1),
            Op::MetaSet => return Reply::Lines(1),
            Op::BinaryGet => {
                const FLAGS_BYTES: usize = 4;
                let item = BINARY_HEADER_BYTES + FLAGS_BYTES + KEY_BYTES + payload.value_bytes;
                return Reply::Bytes(requests * item + BINARY_HEADER_BYTES);
            }
            _ => 1,
        };
        Reply::Lines(requests * lines)
    }

    /// What stands behind the requests of a batch, so that there is an answer to the last.
    fn tail(self) -> &'static [u8] {
        const NOOP: [u8; BINARY_HEADER_BYTES] = binary_header(0x0a, 0);
        match self {
            Op::MetaGet | Op::MetaSet => b"mn\r\n",
            Op::BinaryGet => &NOOP,
            _ => b"",
        }
    }

    /// How many keys one of it names.
    pub fn keys_per_request(self) -> usize {
        match self {
            Op::Mset | Op::Mget => KEYS_PER_MULTI,
            Op::Exists => KEYS_PER_EXISTS,
            Op::Sintercard => 2,
            Op::MemcachedGetMany(keys) => keys,
            _ => 1,
        }
    }
}

/// What is written beside the keys.
#[derive(Clone, Copy, Debug)]
pub struct Payload {
    /// The length of values.
    pub value_bytes: usize,
    /// When the keys of SET and `set` expire, in seconds since 1970.
    pub expires_at_s: Option<u64>,
}

impl Default for Payload {
    fn default() -> Payload {
        Payload {
            value_bytes: 64,
            expires_at_s: None,
        }
    }
}

/// Requests that are sent together.
#[derive(Debug)]
pub struct Batch {
    bytes: Vec<u8>,
    /// Where the digits of each key stand.
    digits_at: Vec<usize>,
    reply: Reply,
    /// What of it is still to come.
    awaited: Reply,
    requests: usize,
}

impl Batch {
    /// So many requests, for the key 0.
    pub fn new(op: Op, requests: usize, payload: Payload) -> Batch {
        let (mut bytes, mut digits_at) = (Vec::new(), Vec::new());
        for _ in 0..requests {
            append(op, payload, &mut bytes, &mut digits_at);
        }
        bytes.extend(op.tail());
        let reply = op.reply(requests, payload);
        Batch {
            bytes,
            digits_at,
            reply,
            awaited: reply,
            requests,
        }
    }

    /// Gives the requests new keys, each a number below [`KEYS_MAX`], and awaits their replies.
    pub fn rekey(&mut self, mut next: impl FnMut() -> u32) {
        self.awaited = self.reply;
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

    /// What the replies are known by.
    pub fn reply(&self) -> Reply {
        self.reply
    }

    /// Takes note of replies; whether all are there, or none if there are too many.
    pub fn count_replies(&mut self, replies: &[u8]) -> Option<bool> {
        let left = match self.awaited {
            Reply::Lines(awaited) => {
                let lines = memchr::memchr_iter(b'\n', replies).count();
                awaited.checked_sub(lines).map(Reply::Lines)
            }
            Reply::Bytes(awaited) => awaited.checked_sub(replies.len()).map(Reply::Bytes),
        };
        self.awaited = left?;
        Some(matches!(self.awaited, Reply::Lines(0) | Reply::Bytes(0)))
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
    let numbers = match op {
        Op::SaddMany => 0..MEMBERS_PER_SET,
        _ => 0..0,
    };
    let members: Vec<String> = numbers
        .map(|number| format!("member:{number:09}"))
        .collect();
    let mut command: Vec<&[u8]> = Vec::new();
    match op {
        Op::Get => command.extend([&b"GET"[..], &key]),
        Op::Set => command.extend([&b"SET"[..], &key, &value]),
        Op::Incr => command.extend([&b"INCR"[..], &key]),
        Op::Hset => command.extend([&b"HSET"[..], &key, b"field", &value]),
        Op::HsetOne => command.extend([&b"HSET"[..], b"hash", &key, &value]),
        Op::Sadd => command.extend([&b"SADD"[..], b"set", &key]),
        Op::SaddMany => {
            command.extend([&b"SADD"[..], &key]);
            command.extend(members.iter().map(String::as_bytes));
        }
        Op::Sintercard => command.extend([&b"SINTERCARD"[..], b"2", &key, &key]),
        Op::Mget => {
            command.push(b"MGET");
            command.extend([&key[..]; KEYS_PER_MULTI]);
        }
        Op::Exists => {
            command.push(b"EXISTS");
            command.extend([&key[..]; KEYS_PER_EXISTS]);
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
        _ => {}
    }
    let expires_at_s = payload.expires_at_s.unwrap_or(0).to_string();
    if op == Op::Set && payload.expires_at_s.is_some() {
        command.extend([&b"EXAT"[..], expires_at_s.as_bytes()]);
    }
    let start = bytes.len();
    match op {
        Op::MemcachedGet => bytes.extend([b"get ", &key[..], b"\r\n"].concat()),
        Op::MemcachedGetMany(keys) => {
            bytes.extend(b"get");
            (0..keys).for_each(|_| bytes.extend([b" ", &key[..]].concat()));
            bytes.extend(b"\r\n");
        }
        Op::MetaGet => bytes.extend([b"mg ", &key[..], b" v q\r\n"].concat()),
        Op::MetaSet => {
            let head = format!(" {} q\r\n", value.len());
            bytes.extend([b"ms ", &key[..], head.as_bytes(), &value, b"\r\n"].concat());
        }
        Op::BinaryGet => bytes.extend([&binary_header(0x0d, KEY_BYTES as u8)[..], &key].concat()),
        Op::MemcachedSet => {
            let head = format!(" 0 {expires_at_s} {}\r\n", value.len());
            bytes.extend([b"set ", &key[..], head.as_bytes(), &value, b"\r\n"].concat());
        }
        _ => bytes.extend(resp(&command)),
    }
    let keys = memchr::memmem::find_iter(&bytes[start..], &key);
    digits_at.extend(keys.map(|at| start + at + KEY_BYTES - DIGITS));
    debug_assert_eq!(digits_at.len() % op.keys_per_request(), 0);
}

/// The header of a binary request without extras and value, whose key is short.
const fn binary_header(opcode: u8, key_bytes: u8) -> [u8; BINARY_HEADER_BYTES] {
    let mut header = [0; BINARY_HEADER_BYTES];
    header[0] = 0x80;
    header[1] = opcode;
    header[3] = key_bytes;
    header[11] = key_bytes;
    header
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

    #[test]
    fn quiet_requests_end_with_one_that_is_answered() {
        let payload = Payload::default();
        let meta = Batch::new(Op::MetaGet, 2, payload);
        let line = "mg key:000000000000 v q\r\n";
        assert_eq!(meta.bytes(), format!("{line}{line}mn\r\n").as_bytes());
        assert_eq!(meta.reply(), Reply::Lines(5));
        let binary = Batch::new(Op::BinaryGet, 2, payload);
        assert_eq!(binary.bytes().len(), 2 * (24 + KEY_BYTES) + 24);
        assert_eq!(
            binary.reply(),
            Reply::Bytes(2 * (24 + 4 + KEY_BYTES + 64) + 24)
        );
        let many = Batch::new(Op::MemcachedGetMany(3), 2, payload);
        assert_eq!((many.keys(), many.reply()), (6, Reply::Lines(14)));
    }
}
