//! The same random requests to our Memcached port and to memcached.
//!
//! Every request is followed by `version`, whose answer ends what the request was answered with:
//! so a request with `noreply`, or one whose data is taken for another command, needs no special
//! case. Tokens are each server's own: they are compared as being there, and a `cas` sends each
//! server the token it gave last for the key.

use std::collections::BTreeMap;

use fastrand::Rng;
use tests::Subject;
use tests::memcached::MemcachedClient;
use tests::notation::quote;
use tests::peer::{Kind, Peer};
use tests::random::{budget, seed};
use tests::resp::Lost;

use super::grammar::Grammar;
use super::{EPISODE_COMMANDS, SHRINK_ATTEMPTS_MAX};

/// Every verb of the text protocol. What stands last in a storage command is its data.
const LINES: &[&str] = &[
    "6 set {mk} {flags} {exptime} [noreply] {data}",
    "2 add {mk} {flags} {exptime} [noreply] {data}",
    "2 replace {mk} {flags} {exptime} [noreply] {data}",
    "2 append {mk} {flags} {exptime} [noreply] {data}",
    "2 prepend {mk} {flags} {exptime} [noreply] {data}",
    "4 cas {mk} {flags} {exptime} <{token}|9999999999|x> [noreply] {data}",
    "4 get {mk}*",
    "4 gets {mk}*",
    "gat {exptime} {mk}*",
    "gats {exptime} {mk}*",
    "touch {mk} {exptime} [noreply]",
    "2 delete {mk} [0] [noreply]",
    "4 incr {mk} {delta} [noreply]",
    "4 decr {mk} {delta} [noreply]",
    "verbosity 0 [noreply]",
    "<nosuch|GET {mk}|{junk}> [{v}]",
];

/// The longest key.
const KEY_BYTES_MAX: usize = 250;

/// A request: its bytes, in which `KEY` and `TOKEN` are yet to be replaced.
#[derive(Clone, Debug)]
struct Request {
    words: Vec<Vec<u8>>,
    data: Option<Vec<u8>>,
}

#[test]
fn answers_as_memcached_does() {
    let Some(peer) = Peer::start(Kind::NewestMemcached, "the differential test") else {
        return;
    };
    let is_newest = is_newest(&peer);
    let subject = Subject::start();
    let seed = seed();
    let mut random = Rng::with_seed(seed);
    let grammar = Grammar::new(LINES);
    let mut left = budget("MAYFLY_DIFFERENTIAL_OPS", 12_000);
    let mut stage = Stage {
        subject: &subject,
        peer: &peer,
        episodes: 0,
    };
    // One report per verb: a verb that failed takes no part in the rest of the run.
    let mut reports = BTreeMap::new();
    while left > 0 {
        let length = left.min(EPISODE_COMMANDS);
        let mut episode: Vec<Request> = (0..length)
            .map(|_| request(&grammar, &mut random, is_newest))
            .collect();
        episode.retain(|request| !reports.contains_key(&request.words[0]));
        if let Some((at, answers)) = stage.play(&episode) {
            if !stage.shows_again(&episode[..=at]) {
                let shown = report(&episode[..=at], &answers);
                eprintln!("not seen again, seed {seed}:\n{shown}");
                left -= length;
                continue;
            }
            let shortest = stage.shrink(&episode[..=at]);
            let answers = stage
                .play(&shortest)
                .map_or(answers, |(_, answers)| answers);
            let verb = shortest.last().expect("what fails").words[0].clone();
            reports.insert(verb, report(&shortest, &answers));
        }
        left -= length;
    }
    assert!(
        reports.is_empty(),
        "MAYFLY_TEST_SEED={seed}\n{}",
        Vec::from_iter(reports.into_values()).join("\n")
    );
}

/// Whether this is the memcached whose refusals ours are: older ones say other things.
fn is_newest(peer: &Peer) -> bool {
    let version = MemcachedClient::connect(peer.address).call(&["version"]);
    let numbers = version.trim_start_matches("VERSION ").split('.');
    let numbers: Vec<u32> = numbers.filter_map(|number| number.parse().ok()).collect();
    numbers >= vec![1, 6, 45]
}

/// A request, in which there is a mistake now and then if `may_err`.
fn request(grammar: &Grammar, random: &mut Rng, may_err: bool) -> Request {
    const STORING: [&[u8]; 6] = [b"set", b"add", b"replace", b"append", b"prepend", b"cas"];
    let mut words = grammar.faultless_command(random);
    let data = STORING
        .contains(&&words[0][..])
        .then(|| words.pop().expect("its data"))
        .map(|data| match data.iter().all(u8::is_ascii_whitespace) {
            // Behind blanks alone memcached reads on, beyond the item, to find a number.
            true => Vec::new(),
            false => data,
        });
    if let Some(data) = &data {
        words.insert(4, data.len().to_string().into_bytes());
    }
    match random.u8(..60) {
        _ if !may_err => {}
        0 if words.len() > 1 => _ = words.pop(),
        1 => words.push(b"extra".to_vec()),
        2 => {
            // No length beyond that of the data: both would wait for the rest.
            const JUNK: [&str; 5] = ["-1", "abc", "", "0", "1.5"];
            let at = random.usize(..words.len());
            words[at] = JUNK[random.usize(..JUNK.len())].into();
        }
        // To a get with a key too long memcached answers two lines, one of them empty.
        3 if words.len() > 1 && !words[0].starts_with(b"g") => {
            words[1] = vec![b'k'; random.usize(249..253)];
        }
        _ => {}
    }
    Request { words, data }
}

/// What both servers answered to a request, ours first.
type Answers = [Result<Vec<u8>, Lost>; 2];

/// The servers, and how many prefixes of keys were used on them.
struct Stage<'a> {
    subject: &'a Subject,
    peer: &'a Peer,
    episodes: usize,
}

impl Stage<'_> {
    /// Whether the same requests differ again on new keys. If not, it was the time: memcached's
    /// clock ticks once a second, and an item may end between two requests on one side alone.
    fn shows_again(&mut self, episode: &[Request]) -> bool {
        const TRIES: usize = 3;
        (0..TRIES).any(|_| self.play(episode).is_some())
    }

    fn play(&mut self, episode: &[Request]) -> Option<(usize, Answers)> {
        self.episodes += 1;
        let prefix = format!("episode{}:", self.episodes);
        let mut ours = Side::new(self.subject.memcached(), &prefix);
        let mut theirs = Side::new(MemcachedClient::connect(self.peer.address), &prefix);
        for (at, request) in episode.iter().enumerate() {
            let answers = [ours.ask(request), theirs.ask(request)];
            if masked(&answers[0]) != masked(&answers[1]) {
                return Some((at, answers));
            }
            if [&b"decr"[..], b"incr"].contains(&&request.words[0][..]) {
                theirs.strip_blanks(request);
                if self.subject.is_peer() {
                    ours.strip_blanks(request);
                }
            }
            if answers[0].is_err() {
                ours = Side::new(self.subject.memcached(), &prefix);
                theirs = Side::new(MemcachedClient::connect(self.peer.address), &prefix);
            }
        }
        None
    }

    fn shrink(&mut self, episode: &[Request]) -> Vec<Request> {
        let mut shortest = episode.to_vec();
        let mut attempts = 0;
        let mut chunk = shortest.len().div_ceil(2);
        while chunk > 0 && attempts < SHRINK_ATTEMPTS_MAX {
            let mut start = 0;
            while start + 1 < shortest.len() && attempts < SHRINK_ATTEMPTS_MAX {
                let end = (start + chunk).min(shortest.len() - 1);
                let mut candidate = shortest.clone();
                candidate.drain(start..end);
                attempts += 1;
                match self.play(&candidate) {
                    Some((at, _)) => shortest = candidate[..=at].to_vec(),
                    None => start = end,
                }
            }
            chunk /= 2;
        }
        shortest
    }
}

/// A connection and the tokens seen on it.
struct Side {
    client: MemcachedClient,
    prefix: String,
    tokens: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Side {
    fn new(client: MemcachedClient, prefix: &str) -> Side {
        Side {
            client,
            prefix: prefix.to_owned(),
            tokens: BTreeMap::new(),
        }
    }

    /// Everything that is answered to a request.
    fn ask(&mut self, request: &Request) -> Result<Vec<u8>, Lost> {
        let mut bytes = Vec::new();
        for (at, word) in request.words.iter().enumerate() {
            if at > 0 {
                bytes.push(b' ');
            }
            bytes.extend_from_slice(&self.replaced(word, &request.words));
        }
        bytes.extend_from_slice(b"\r\n");
        if let Some(data) = &request.data {
            bytes.extend_from_slice(data);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"version\r\n");
        self.client.send_raw(&bytes);
        let mut answer = Vec::new();
        loop {
            let part = self.client.try_receive()?;
            if part.starts_with(b"VERSION ") {
                break;
            }
            answer.extend_from_slice(&part);
        }
        self.note_tokens(&answer);
        Ok(answer)
    }

    fn replaced(&self, word: &[u8], words: &[Vec<u8>]) -> Vec<u8> {
        if let Some(name) = word.strip_prefix(b"KEY") {
            return [self.prefix.as_bytes(), name].concat();
        }
        match word {
            b"TOKEN" => {
                let key = self.replaced(&words[1], &[]);
                self.tokens
                    .get(&key)
                    .cloned()
                    .unwrap_or_else(|| b"9999999999".to_vec())
            }
            _ => word.to_vec(),
        }
    }

    fn note_tokens(&mut self, answer: &[u8]) {
        for line in answer.split(|byte| *byte == b'\n') {
            let words: Vec<&[u8]> = line.trim_ascii().split(|byte| *byte == b' ').collect();
            if let [b"VALUE", key, _, _, token] = words[..] {
                self.tokens.insert(key.to_vec(), token.to_vec());
            }
        }
    }

    /// Memcached's decr pads the value with blanks to its old length, which we do not. So that
    /// later requests find the same value, the blanks are taken off.
    fn strip_blanks(&mut self, request: &Request) {
        let Some(key) = request.words.get(1) else {
            return;
        };
        let key = String::from_utf8(self.replaced(key, &[])).expect("a plain key");
        if key.len() > KEY_BYTES_MAX {
            return;
        }
        let answer = self.client.call(&[&format!("get {key}")]);
        let mut lines = answer.split('\n');
        let (Some(head), Some(data)) = (lines.next(), lines.next()) else {
            return;
        };
        let flags = head.split(' ').nth(2).expect("flags").to_owned();
        let stripped = data.trim_end();
        let is_number = !stripped.is_empty() && stripped.bytes().all(|byte| byte.is_ascii_digit());
        if is_number && data.len() > stripped.len() {
            let line = format!("set {key} {flags} 0 {}", stripped.len());
            assert_eq!(self.client.call(&[&line, stripped]), "STORED");
        }
    }
}

/// An answer without the tokens in it.
fn masked(answer: &Result<Vec<u8>, Lost>) -> Result<Vec<Vec<u8>>, Lost> {
    let answer = answer.clone()?;
    let mask = |line: &[u8]| {
        let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
        match words[..] {
            [b"VALUE", key, flags, length, _] => {
                [b"VALUE", key, flags, length, b"TOKEN"].join(&b' ')
            }
            _ => line.to_vec(),
        }
    };
    Ok(answer.split(|byte| *byte == b'\n').map(mask).collect())
}

fn report(episode: &[Request], answers: &Answers) -> String {
    let mut text = String::from("mayfly and memcached answer differently:\n");
    for (who, answer) in ["mayfly", "memcached"].into_iter().zip(answers) {
        text += &match answer {
            Ok(bytes) => format!("{who}: {}\n", quote(bytes)),
            Err(lost) => format!("{who}: {lost:?}\n"),
        };
    }
    text += "to the last of:\n";
    for request in episode {
        text += &format!(
            "  {}\n",
            String::from_utf8_lossy(&request.words.join(&b' '))
        );
        if let Some(data) = &request.data {
            text += &format!("  {}\n", quote(data));
        }
    }
    text
}
