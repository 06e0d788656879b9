//! The same random frames to our Memcached port and to memcached.
//!
//! Every frame is followed by a no-op, whose answer ends what the frame was answered with.

use std::collections::BTreeMap;

use fastrand::Rng;
use tests::Subject;
use tests::binary::{BinaryClient, Frame, Reply, opcode};
use tests::peer::{Kind, Peer};
use tests::random::{budget, seed};
use tests::resp::Lost;

use super::EPISODE_COMMANDS;

const KEYS: usize = 5;
const VALUES: &[&[u8]] = &[b"", b"1", b"10", b"99", b"hello", b"a\r\nb\0c", b" 7"];

/// What is sent, in which key and token are yet to be replaced.
#[derive(Clone, Debug)]
struct Request {
    frame: Frame,
    key: Option<usize>,
    token: Token,
}

#[derive(Clone, Copy, Debug)]
enum Token {
    None,
    Last,
    Wrong,
}

#[test]
fn frames_are_answered_as_memcached_does() {
    let Some(peer) = Peer::start(Kind::Memcached, "the differential test of frames") else {
        return;
    };
    let subject = Subject::start();
    let seed = seed();
    let mut random = Rng::with_seed(seed);
    let mut left = budget("MAYFLY_DIFFERENTIAL_OPS", 12_000) / 2;
    let mut episodes = 0;
    while left > 0 {
        let length = left.min(EPISODE_COMMANDS);
        left -= length;
        let requests: Vec<Request> = (0..length).map(|_| request(&mut random)).collect();
        let mut play = |requests: &[Request]| {
            episodes += 1;
            play(&subject, &peer, &format!("b{episodes}:"), requests)
        };
        // What time made does not show again.
        if let Some(at) = play(&requests).filter(|_| play(&requests).is_some()) {
            panic!("MAYFLY_TEST_SEED={seed}: {at}");
        }
    }
}

/// Plays requests on both; the first difference.
fn play(subject: &Subject, peer: &Peer, prefix: &str, requests: &[Request]) -> Option<String> {
    let connect = || {
        let ours = BinaryClient::connect(subject.memcached_address());
        (
            Side::new(ours, prefix),
            Side::new(BinaryClient::connect(peer.address), prefix),
        )
    };
    let (mut ours, mut theirs) = connect();
    for (at, request) in requests.iter().enumerate() {
        let answers = [ours.ask(request), theirs.ask(request)];
        if answers[0] != answers[1] {
            let before = &requests[at.saturating_sub(5)..=at];
            return Some(format!("{answers:?} to the last of {before:?}"));
        }
        if answers[0].is_err() {
            (ours, theirs) = connect();
        } else if is_arithmetic(request.frame.opcode) {
            level(&mut ours, &mut theirs, request);
        }
    }
    None
}

fn is_arithmetic(code: u8) -> bool {
    use opcode::{DECREMENT, DECREMENTQ, INCREMENT, INCREMENTQ};
    matches!(code, INCREMENT | INCREMENTQ | DECREMENT | DECREMENTQ)
}

/// Memcached's decrement pads with blanks, which we do not: both get the value without.
fn level(ours: &mut Side, theirs: &mut Side, request: &Request) {
    let Some(key) = request.key else { return };
    let get = Request {
        frame: Frame::new(opcode::GET),
        key: Some(key),
        token: Token::None,
    };
    let (Ok(_), Ok(answer)) = (ours.ask(&get), theirs.ask(&get)) else {
        return;
    };
    let value = &answer[0].value;
    let digits = value.trim_ascii_end();
    if answer[0].status != 0 || digits.len() == value.len() {
        return;
    }
    let set = Request {
        frame: Frame::new(opcode::SET).extras(&[0; 8]).value(digits),
        ..get
    };
    assert_eq!(ours.ask(&set), theirs.ask(&set));
}

/// A connection and the tokens seen on it.
struct Side {
    client: BinaryClient,
    prefix: String,
    /// The last token of each key.
    tokens: BTreeMap<usize, u64>,
    /// Which token was seen as the how manyth.
    numbers: BTreeMap<u64, u64>,
}

impl Side {
    fn new(client: BinaryClient, prefix: &str) -> Side {
        Side {
            client,
            prefix: prefix.to_owned(),
            tokens: BTreeMap::new(),
            numbers: BTreeMap::from([(0, 0)]),
        }
    }

    /// Everything that is answered to a request; tokens are numbers in the order they were seen.
    fn ask(&mut self, request: &Request) -> Result<Vec<Reply>, Lost> {
        let mut frame = request.frame.clone();
        if let Some(key) = request.key {
            frame.key = format!("{}{key}", self.prefix).into_bytes();
        }
        frame.token = match request.token {
            Token::None => 0,
            Token::Wrong => u64::MAX,
            Token::Last => request
                .key
                .and_then(|key| self.tokens.get(&key).copied())
                .unwrap_or(u64::MAX),
        };
        self.client.send(&frame);
        let mut answer = self.client.receive_until_noop()?;
        for reply in &mut answer {
            if let Some(key) = request.key.filter(|_| reply.token != 0) {
                self.tokens.insert(key, reply.token);
            }
            let next = self.numbers.len() as u64;
            reply.token = *self.numbers.entry(reply.token).or_insert(next);
        }
        Ok(answer)
    }
}

fn request(random: &mut Rng) -> Request {
    use opcode::{
        ADD, ADDQ, APPEND, APPENDQ, DECREMENT, DECREMENTQ, DELETE, DELETEQ, FLUSH, GAT, GATK,
        GATKQ, GATQ, GET, GETK, GETKQ, GETQ, INCREMENT, INCREMENTQ, NOOP, PREPEND, PREPENDQ, QUIT,
        QUITQ, REPLACE, REPLACEQ, SASL_MECHANISMS, SASL_START, SASL_STEP, SET, SETQ, TOUCH,
    };
    const CODES: &[u8] = &[
        GET, GET, GETQ, GETK, GETKQ, GAT, GATQ, GATK, GATKQ, TOUCH, SET, SET, SET, SETQ, ADD, ADDQ,
        REPLACE, REPLACEQ, APPEND, APPENDQ, PREPEND, PREPENDQ, INCREMENT, INCREMENTQ, DECREMENT,
        DECREMENTQ, DELETE, DELETEQ, NOOP,
    ];
    const RARE: &[u8] = &[
        QUIT,
        QUITQ,
        SASL_MECHANISMS,
        SASL_START,
        SASL_STEP,
        0x60,
        0xff,
    ];
    let code = match random.u8(..100) {
        0 => RARE[random.usize(..RARE.len())],
        _ => CODES[random.usize(..CODES.len())],
    };
    let number = |random: &mut Rng, all: &[u32]| all[random.usize(..all.len())].to_be_bytes();
    let time = number(random, &[0, 0, 100, 1_000_000, 3_000_000, 2_000_000_000]);
    let mut frame = Frame::new(code);
    let mut key = Some(random.usize(..KEYS));
    match code {
        GAT | GATQ | GATK | GATKQ | TOUCH => frame = frame.extras(&time),
        SET | SETQ | ADD | ADDQ | REPLACE | REPLACEQ => {
            let flags = number(random, &[0, 1, u32::MAX]);
            let value = VALUES[random.usize(..VALUES.len())];
            frame = frame.extras(&[flags, time].concat()).value(value);
        }
        APPEND | APPENDQ | PREPEND | PREPENDQ => {
            frame = frame.value(VALUES[random.usize(..VALUES.len())]);
        }
        INCREMENT | INCREMENTQ | DECREMENT | DECREMENTQ => {
            let amounts = [0, 1, 5, 100, u64::MAX];
            let by = amounts[random.usize(..amounts.len())].to_be_bytes();
            let initial = amounts[random.usize(..amounts.len())].to_be_bytes();
            let time = number(random, &[0, 100, u32::MAX, u32::MAX]);
            frame = frame.extras(&[&by[..], &initial, &time].concat());
        }
        NOOP | QUIT | QUITQ | FLUSH | SASL_MECHANISMS | 0x60 | 0xff => key = None,
        SASL_START | SASL_STEP => {
            (frame.key, key) = (b"PLAIN".to_vec(), None);
            frame = frame.value(b"\0user\0password");
        }
        _ => {}
    }
    match random.u8(..80) {
        // Of a command it does not know memcached drops more than there is.
        _ if code > 0x40 => {}
        0 => frame.extras.push(0),
        1 if !frame.extras.is_empty() => _ = frame.extras.pop(),
        2 => (frame.key, key) = (vec![b'k'; random.usize(251..254)], None),
        3 => (frame.key, key) = (Vec::new(), None),
        _ => {}
    }
    let token = match random.u8(..10) {
        0 => Token::Last,
        1 => Token::Wrong,
        _ => Token::None,
    };
    Request { frame, key, token }
}
