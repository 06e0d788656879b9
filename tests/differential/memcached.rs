//! The same random requests to our Memcached port and to memcached.
//!
//! Every request is followed by `version`, whose answer ends what the request was answered with:
//! so a request with `noreply`, or one whose data is taken for another command, needs no special
//! case. Tokens are each server's own: they are compared by which are the same, and `cas` and its
//! kin send each server a token it gave for the key. Times may differ by a tick.

mod binary;
mod lines;
mod list;
mod meta;
mod stats;

use std::collections::BTreeMap;

use fastrand::Rng;
use tests::Subject;
use tests::memcached::MemcachedClient;
use tests::notation::quote;
use tests::peer::{Kind, Peer, are_required};
use tests::random::{budget, seed};
use tests::resp::Lost;

use super::grammar::Grammar;
use super::{EPISODE_COMMANDS, shortest};

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

/// So many differences of a run may be seen once only: a second ended between the two servers.
const SEEN_ONCE_MAX: usize = 5;

/// The longest key.
const KEY_BYTES_MAX: usize = 250;

/// What `isspace` takes for a blank: also the vertical tab, which is none to Rust.
fn is_blank_to_c(byte: &u8) -> bool {
    byte.is_ascii_whitespace() || *byte == 0x0b
}

/// A request: its bytes, in which `KEY` and `TOKEN` are yet to be replaced.
#[derive(Clone, Debug)]
struct Request {
    words: Vec<Vec<u8>>,
    data: Option<Vec<u8>>,
}

impl Request {
    /// One without data.
    fn line(words: Vec<Vec<u8>>) -> Request {
        Request { words, data: None }
    }
}

#[test]
fn answers_as_memcached_does() {
    let Some(peer) = newest("the differential test") else {
        return;
    };
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
    let mut once = Vec::new();
    while left > 0 {
        let length = left.min(EPISODE_COMMANDS);
        let mut episode: Vec<Request> = (0..length)
            .map(|_| match random.bool() {
                true => meta::request(&mut random),
                false => request(&grammar, &mut random),
            })
            .collect();
        episode.retain(|request| !reports.contains_key(&request.words[0]));
        if let Some((at, answers)) = stage.play(&episode) {
            if !stage.shows_again(&episode[..=at]) {
                once.push(report(&episode[..=at], &answers));
                left -= length;
                continue;
            }
            let fails_at = |part: &[Request]| stage.play(part).map(|(at, _)| at);
            let shortest = shortest(&episode[..=at], fails_at);
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
    assert!(
        once.len() <= SEEN_ONCE_MAX,
        "too often for a matter of time, MAYFLY_TEST_SEED={seed}\n{}",
        once.join("\n")
    );
}

/// The memcached whose answers ours are, or a line that says that `test` is skipped: what older
/// ones refuse, and what they make of meta commands, is something else.
fn newest(test: &str) -> Option<Peer> {
    // A number that this thread of memcached's looks at is replaced, not changed in place, and
    // loses its marks: what `ma` leaves would be a matter of luck.
    let words = ["-o", "no_lru_maintainer"];
    let peer = Peer::start_with(Kind::NewestMemcached, &words, test)?;
    let version = MemcachedClient::connect(peer.address).call(&["version"]);
    let numbers = version.trim_start_matches("VERSION ").split('.');
    let numbers: Vec<u32> = numbers.filter_map(|number| number.parse().ok()).collect();
    if numbers >= vec![1, 6, 45] {
        return Some(peer);
    }
    assert!(
        !are_required(),
        "{test} needs memcached 1.6.45: see MAYFLY_MEMCACHED"
    );
    eprintln!("skipped: {test} needs memcached 1.6.45: see MAYFLY_MEMCACHED");
    None
}

/// A request, in which there is a mistake now and then.
fn request(grammar: &Grammar, random: &mut Rng) -> Request {
    const STORING: [&[u8]; 6] = [b"set", b"add", b"replace", b"append", b"prepend", b"cas"];
    let mut words = grammar.faultless_command(random);
    let data = STORING
        .contains(&&words[0][..])
        .then(|| words.pop().expect("its data"))
        .map(|data| match data.iter().all(is_blank_to_c) {
            // Behind blanks alone memcached reads on, beyond the item, to find a number.
            true => Vec::new(),
            false => data,
        });
    if let Some(data) = &data {
        words.insert(4, data.len().to_string().into_bytes());
    }
    match random.u8(..60) {
        0 if words.len() > 1 => _ = words.pop(),
        // Of delete mayfly refuses it, as memccapable wants.
        1 if words[0] != b"delete" => words.push(b"extra".to_vec()),
        2 => {
            // No length beyond that of the data: both would wait for the rest.
            const JUNK: [&str; 5] = ["-1", "abc", "", "0", "1.5"];
            let at = random.usize(..words.len().min(if words[0] == b"delete" { 1 } else { 9 }));
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
            let masked = [ours.masked(&answers[0]), theirs.masked(&answers[1])];
            if !are_alike(&masked) {
                return Some((at, answers));
            }
            if [&b"decr"[..], b"incr", b"ma"].contains(&&request.words[0][..]) {
                level(&mut ours, &mut theirs, request);
            }
            if answers[0].is_err() {
                ours = Side::new(self.subject.memcached(), &prefix);
                theirs = Side::new(MemcachedClient::connect(self.peer.address), &prefix);
            }
        }
        None
    }
}

/// An answer without what is each server's own: tokens are numbers in the order they were seen,
/// and times stand by themselves.
#[derive(PartialEq)]
struct Masked {
    lines: Vec<Vec<u8>>,
    times_seconds: Vec<u64>,
}

/// A connection and the tokens seen on it.
struct Side {
    client: MemcachedClient,
    prefix: String,
    /// The first and the last token seen of each key.
    tokens: BTreeMap<Vec<u8>, [Vec<u8>; 2]>,
    /// Which token was seen as the how manyth.
    numbers: BTreeMap<Vec<u8>, usize>,
}

impl Side {
    fn new(client: MemcachedClient, prefix: &str) -> Side {
        Side {
            client,
            prefix: prefix.to_owned(),
            tokens: BTreeMap::new(),
            numbers: BTreeMap::new(),
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
        self.note_tokens(&answer, request);
        Ok(answer)
    }

    fn replaced(&self, word: &[u8], words: &[Vec<u8>]) -> Vec<u8> {
        let token = |at: usize| {
            let key = self.replaced(&words[1], &[]);
            let none = || b"9999999999".to_vec();
            self.tokens
                .get(&key)
                .map_or_else(none, |seen| seen[at].clone())
        };
        if let Some(name) = word.strip_prefix(b"KEY") {
            return [self.prefix.as_bytes(), name].concat();
        }
        if let Some(key) = word.strip_prefix(b"K64") {
            return base64(&self.replaced(key, &[]));
        }
        match word {
            b"TOKEN" => token(1),
            b"CTOKEN" => [b"C".to_vec(), token(1)].concat(),
            b"COLD" => [b"C".to_vec(), token(0)].concat(),
            _ => word.to_vec(),
        }
    }

    fn note_tokens(&mut self, answer: &[u8], request: &Request) {
        for line in answer.split(|byte| *byte == b'\n') {
            let words: Vec<&[u8]> = line.trim_ascii().split(|byte| *byte == b' ').collect();
            let (key, token) = match words[..] {
                [b"VALUE", key, _, _, token] => (key.to_vec(), token),
                [b"HD" | b"VA", ..] => {
                    let token = words.iter().find_map(|word| word.strip_prefix(b"c"));
                    let Some(token) = token.filter(|token| !token.is_empty()) else {
                        continue;
                    };
                    (self.replaced(&request.words[1], &[]), token)
                }
                _ => continue,
            };
            let seen = self.tokens.entry(key);
            seen.or_insert_with(|| [token.to_vec(), Vec::new()])[1] = token.to_vec();
        }
    }

    fn masked(&mut self, answer: &Result<Vec<u8>, Lost>) -> Result<Masked, Lost> {
        let answer = answer.clone()?;
        let mut times_seconds = Vec::new();
        let lines = answer
            .split(|byte| *byte == b'\n')
            .map(|line| self.masked_line(line, &mut times_seconds))
            .collect();
        Ok(Masked {
            lines,
            times_seconds,
        })
    }

    fn masked_line(&mut self, line: &[u8], times_seconds: &mut Vec<u64>) -> Vec<u8> {
        let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
        let last = words.len() - 1;
        let is_meta = matches!(words[0].trim_ascii_end(), b"HD" | b"VA" | b"ME");
        let masked = words.iter().enumerate().map(|(at, word)| match words[0] {
            b"VALUE" if at == 4 && last == 4 => self.number(b"", word),
            _ if !is_meta || at < 1 + usize::from(words[0] != b"HD") => word.to_vec(),
            _ => self.masked_flag(word, times_seconds),
        });
        let masked: Vec<Vec<u8>> = masked.collect();
        masked.join(&b' ')
    }

    /// What of a meta reply's flag must be the same; its time goes to the others.
    fn masked_flag(&mut self, flag: &[u8], times_seconds: &mut Vec<u64>) -> Vec<u8> {
        for name in [&b"cas="[..], b"c"] {
            if let Some(token) = flag.strip_prefix(name).filter(|rest| is_number(rest)) {
                return self.number(name, token);
            }
        }
        for name in [&b"exp="[..], b"t"] {
            if let Some(time) = flag.strip_prefix(name).filter(|rest| is_number(rest)) {
                times_seconds.push(number(time));
                return name.to_vec();
            }
        }
        for name in [&b"la="[..], b"l", b"cls="] {
            if flag.strip_prefix(name).is_some_and(is_number) {
                return name.to_vec();
            }
        }
        flag.to_vec()
    }

    fn number(&mut self, name: &[u8], token: &[u8]) -> Vec<u8> {
        let next = self.numbers.len();
        let number = *self
            .numbers
            .entry(token.trim_ascii_end().to_vec())
            .or_insert(next);
        [name, format!("#{number}").as_bytes()].concat()
    }

    /// The flags and the digits at a key, and whether blanks stand behind them.
    fn padded(&mut self, key: &str) -> Option<(String, String, bool)> {
        let answer = self.client.call(&[&format!("get {key}")]);
        let mut lines = answer.split('\n');
        let (head, data) = (lines.next()?, lines.next()?);
        let flags = head.split(' ').nth(2)?.to_owned();
        let digits = data.trim_end();
        is_number(digits.as_bytes()).then(|| (flags, digits.to_owned(), data.len() > digits.len()))
    }
}

/// Memcached's decr pads the value with blanks to its old length, which we do not. So that later
/// requests find the same value, both get it anew without blanks.
fn level(ours: &mut Side, theirs: &mut Side, request: &Request) {
    let Some(word) = request.words.get(1) else {
        return;
    };
    let word = word.strip_prefix(b"K64").unwrap_or(word);
    let Ok(key) = String::from_utf8(ours.replaced(word, &[])) else {
        return;
    };
    let is_key = key.bytes().all(|byte| byte.is_ascii_graphic());
    if key.is_empty() || key.len() > KEY_BYTES_MAX || !is_key {
        return;
    }
    let (_, padded) = (ours.padded(&key), theirs.padded(&key));
    if let Some((flags, digits, true)) = padded {
        let line = format!("set {key} {flags} 0 {}", digits.len());
        for side in [ours, theirs] {
            assert_eq!(side.client.call(&[&line, &digits]), "STORED");
        }
    }
}

fn is_number(text: &[u8]) -> bool {
    let text = text.trim_ascii_end();
    !text.is_empty() && text.iter().all(u8::is_ascii_digit)
}

/// The number that [`is_number`] has seen.
fn number(text: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(text);
    text.trim_end().parse().expect("digits")
}

/// Whether two answers are the same but for a tick: memcached's clock starts when it does, not
/// with a second of ours, and an answer may be late.
fn are_alike([ours, theirs]: &[Result<Masked, Lost>; 2]) -> bool {
    const TICKS_SECONDS: u64 = 3;
    let (Ok(ours), Ok(theirs)) = (ours, theirs) else {
        return ours == theirs;
    };
    let mut times = ours.times_seconds.iter().zip(&theirs.times_seconds);
    ours.lines == theirs.lines
        && ours.times_seconds.len() == theirs.times_seconds.len()
        && times.all(|(ours, theirs)| ours.abs_diff(*theirs) <= TICKS_SECONDS)
}

fn base64(bytes: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = Vec::new();
    for chunk in bytes.chunks(3) {
        let mut bits = [0; 4];
        bits[1..=chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes(bits);
        for at in 0..4_usize {
            let digit = DIGITS[(bits >> (18 - 6 * at)) as usize & 63];
            text.push(if at > chunk.len() { b'=' } else { digit });
        }
    }
    text
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
