//! Transcripts: what is typed and what is answered, in redis-cli's notation.
//!
//! A line that starts with `> ` is a command, and the lines below it are its reply. `2> ` is
//! typed by a second client (up to 9), `~> ` asks for a reply whose elements may stand in any
//! order. `mc> ` is a line to the Memcached port; the line after a storage command is its data.
//! `…` in an expected line stands for anything.

use std::collections::BTreeMap;

use crate::memcached::MemcachedClient;
use crate::notation::{render, split};
use crate::resp::{Lost, Reply, RespClient};
use crate::subject::Subject;

/// Plays a transcript over RESP2 and over RESP3, each against a fresh server. What RESP3 says
/// with types of its own is compared as RESP2 would say it.
///
/// # Panics
/// If a reply is another.
pub fn check(transcript: &str) {
    play(transcript, Notation::Resp2);
    play(transcript, Notation::Flat);
}

/// Plays a transcript over RESP2 alone.
///
/// # Panics
/// If a reply is another.
pub fn check_resp2(transcript: &str) {
    play(transcript, Notation::Resp2);
}

/// Plays a transcript over RESP3, with the types of RESP3 in the replies.
///
/// # Panics
/// If a reply is another.
pub fn check_resp3(transcript: &str) {
    play(transcript, Notation::Resp3);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Notation {
    Resp2,
    Resp3,
    /// RESP3, with its own types turned into those of RESP2.
    Flat,
}

#[derive(Debug)]
struct Step {
    line: usize,
    prompt: Prompt,
    typed: Vec<String>,
    expected: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Prompt {
    Resp { client: usize, is_ordered: bool },
    Memcached,
}

fn play(transcript: &str, notation: Notation) {
    let steps = parse(transcript);
    assert!(
        !steps.is_empty(),
        "a transcript without commands proves nothing"
    );
    let subject = Subject::start();
    let mut clients = BTreeMap::new();
    let mut memcached = None;
    for step in &steps {
        let (actual, is_ordered) = match step.prompt {
            Prompt::Resp { client, is_ordered } => {
                let client = clients.entry(client).or_insert_with(|| match notation {
                    Notation::Resp2 => subject.resp(),
                    _ => RespClient::connect_resp3(subject.resp_address()),
                });
                (ask(client, &step.typed[0], notation), is_ordered)
            }
            Prompt::Memcached => {
                let client = memcached.get_or_insert_with(|| subject.memcached());
                (ask_memcached(client, step), true)
            }
        };
        compare(step, actual, is_ordered, notation);
    }
}

fn ask(client: &mut RespClient, command: &str, notation: Notation) -> Vec<String> {
    client.send(&split(command));
    let reply = match client.try_receive() {
        Ok(received) => received.reply,
        Err(Lost::Closed) => return vec!["(closed)".to_owned()],
        Err(lost) => panic!("{command}: {lost:?}"),
    };
    let reply = match notation {
        Notation::Flat => Reply::flat(reply),
        Notation::Resp2 | Notation::Resp3 => reply,
    };
    // Blanks at the end of a line are not seen in a transcript.
    render(&reply)
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect()
}

fn ask_memcached(client: &mut MemcachedClient, step: &Step) -> Vec<String> {
    for line in &step.typed {
        client.send_raw(format!("{line}\r\n").as_bytes());
    }
    let is_quiet = step.typed[0].starts_with('m') && step.typed[0].split(' ').any(|w| w == "q");
    let is_silent = is_quiet || step.typed[0].ends_with(" noreply") || step.typed[0] == "quit";
    if is_silent && step.expected.is_empty() {
        return Vec::new();
    }
    match client.try_receive() {
        Ok(reply) => String::from_utf8_lossy(&reply)
            .split_terminator("\r\n")
            .map(str::to_owned)
            .collect(),
        Err(Lost::Closed) => vec!["(closed)".to_owned()],
        Err(lost) => panic!("{:?}: {lost:?}", step.typed),
    }
}

fn compare(step: &Step, mut actual: Vec<String>, is_ordered: bool, notation: Notation) {
    let mut expected = step.expected.clone();
    if !is_ordered {
        for lines in [&mut actual, &mut expected] {
            for line in lines.iter_mut() {
                *line = without_number(line).to_owned();
            }
            lines.sort_unstable();
        }
    }
    let is_equal = actual.len() == expected.len()
        && actual
            .iter()
            .zip(&expected)
            .all(|(actual, expected)| matches(expected, actual));
    assert!(
        is_equal,
        "line {} ({notation:?}): > {}\nexpected:\n{}\nanswered:\n{}\n",
        step.line,
        step.typed.join("\n"),
        expected.join("\n"),
        actual.join("\n"),
    );
}

/// A line of a list without its number: `12) "a"` is `"a"`.
fn without_number(line: &str) -> &str {
    let after = line
        .trim_start()
        .trim_start_matches(|c: char| c.is_ascii_digit());
    after
        .strip_prefix(") ")
        .or_else(|| after.strip_prefix("~ "))
        .or_else(|| after.strip_prefix("# "))
        .unwrap_or(line)
}

/// Whether `actual` is `expected`, where `…` stands for anything.
fn matches(expected: &str, actual: &str) -> bool {
    let Some((start, rest)) = expected.split_once('…') else {
        return expected == actual;
    };
    let Some(after) = actual.strip_prefix(start) else {
        return false;
    };
    match rest.contains('…') {
        false => after.ends_with(rest),
        true => (0..=after.len())
            .filter(|&at| after.is_char_boundary(at))
            .any(|at| matches(rest, &after[at..])),
    }
}

fn parse(transcript: &str) -> Vec<Step> {
    let indent = transcript
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| line.len() - line.trim_start().len())
        .min()
        .unwrap_or(0);
    let mut steps: Vec<Step> = Vec::new();
    for (at, line) in transcript.lines().enumerate() {
        let line = line.get(indent..).unwrap_or("").trim_end();
        match prompt(line) {
            Some((Prompt::Memcached, typed)) if wants_data(steps.last()) => {
                steps.last_mut().expect("just looked at").typed.push(typed);
            }
            Some((prompt, typed)) => steps.push(Step {
                line: at + 1,
                prompt,
                typed: vec![typed],
                expected: Vec::new(),
            }),
            None if line.is_empty() => {}
            None => {
                let step = steps
                    .last_mut()
                    .expect("a transcript starts with a command");
                step.expected.push(line.to_owned());
            }
        }
    }
    steps
}

fn prompt(line: &str) -> Option<(Prompt, String)> {
    let (prompt, typed) = line.split_once("> ")?;
    let resp = |client, is_ordered| Prompt::Resp { client, is_ordered };
    let prompt = match prompt.as_bytes() {
        b"" => resp(1, true),
        b"~" => resp(1, false),
        [digit @ b'1'..=b'9'] => resp(usize::from(digit - b'0'), true),
        b"mc" => Prompt::Memcached,
        _ => return None,
    };
    Some((prompt, typed.to_owned()))
}

fn wants_data(step: Option<&Step>) -> bool {
    step.is_some_and(|step| {
        let verb = step.typed[0].split(' ').next().unwrap_or("");
        let words_of_store = match verb {
            "set" | "add" | "replace" | "append" | "prepend" | "cas" => 5,
            "ms" => 3,
            _ => return false,
        };
        step.prompt == Prompt::Memcached
            && step.typed.len() == 1
            && step.expected.is_empty()
            && step.typed[0].split(' ').count() >= words_of_store
    })
}
