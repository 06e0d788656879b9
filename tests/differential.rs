//! The same random commands to mayfly and to the real thing; the replies must be the same bytes.
//!
//! Mayfly answers as Redis 7.2, which stands between the peers at hand, redis-server 7.0 and
//! valkey-server 9.1: where these two differ, an answer that one of them gives is right.
//!
//! A run is made of episodes: the servers are emptied, connections opened, and some hundred
//! commands of a [`grammar`] sent, in pipelines. The grammar knows every command with its options
//! and fills in keys of a fitting type; now and then it takes a key of another type, a bad number,
//! a word too many or one too few, so that errors are compared too. The few answers that may
//! differ are listed in [`compare`] with their reasons.
//!
//! When an answer differs, the episode is played again without this command and that, as long as
//! its last answer keeps differing, and what remains is printed in redis-cli's notation.
//!
//! `MAYFLY_DIFFERENTIAL_OPS` is the number of commands per run, `MAYFLY_TEST_SEED` repeats one.

mod calls;
mod commands;
mod compare;
mod grammar;
mod info;
mod lookups;
mod memcached;
mod redis;

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use tests::Subject;
use tests::notation::{quote, render};
use tests::peer::{Kind, Peer};
use tests::random::{budget, seed};
use tests::resp::{RespClient, encode};

use compare::{Answer, Rule, Verdict};
use grammar::Grammar;

/// Commands between two FLUSHALLs.
const EPISODE_COMMANDS: usize = 400;

/// How often a failing episode is played again to make it shorter.
const SHRINK_ATTEMPTS_MAX: usize = 300;

type Words = Vec<Vec<u8>>;

#[test]
fn answers_as_redis_or_valkey_does() {
    let Some(peers) = Peer::start_redis_and_valkey("the differential test") else {
        return;
    };
    let lines = [commands::REDIS_7_0, commands::SINCE].concat();
    let grammar = Grammar::new(&lines);
    let subject = Subject::start();
    let seed = seed();
    let mut random = Rng::with_seed(seed);
    let mut left = budget("MAYFLY_DIFFERENTIAL_OPS", 12_000);
    // One report per command: a command that failed takes no part in the rest of the run.
    let mut reports = BTreeMap::new();
    while left > 0 {
        let is_resp3 = random.bool();
        let length = left.min(EPISODE_COMMANDS);
        let mut episode = commands_of(&grammar, length, &mut random);
        episode.retain(|words| !reports.contains_key(&name(words)));
        let stage = Stage {
            subject: &subject,
            peers: &peers,
            is_resp3,
        };
        if let Some(failure) = stage.play(&episode) {
            let fails_at = |part: &[Words]| stage.play(part).map(|failure| failure.at);
            let shortest = shortest(&episode[..=failure.at], fails_at);
            let failure = stage.play(&shortest).unwrap_or(failure);
            let report = stage.report(&shortest, &failure);
            reports.insert(
                name(&episode[failure.at.min(episode.len() - 1)]),
                report.clone(),
            );
            reports.insert(name(shortest.last().expect("what fails")), report);
        }
        left -= length;
    }
    let reports: BTreeSet<String> = reports.into_values().collect();
    assert!(
        reports.is_empty(),
        "MAYFLY_TEST_SEED={seed}\n{}",
        Vec::from_iter(reports).join("\n")
    );
}

/// Random commands. Now and then one that edits a hash or a set is followed by some that edit the
/// same one, which Mayfly carries out as one.
fn commands_of(grammar: &Grammar, length: usize, random: &mut Rng) -> Vec<Words> {
    const ONE_IN: u8 = 4;
    let mut commands = Vec::with_capacity(length);
    let mut following = 0;
    while commands.len() < length {
        let Some(last) = commands.last().filter(|_| following > 0) else {
            let command = grammar.command(random);
            if commands::edited(&command).is_some() && random.u8(..ONE_IN) == 0 {
                following = random.usize(1..20);
            }
            commands.push(command);
            continue;
        };
        let (family, key) = commands::edited(last).expect("looked at above");
        let key = key.to_vec();
        let mut command = grammar.command(random);
        while commands::edited(&command).is_none_or(|(other, _)| other != family) {
            command = grammar.command(random);
        }
        command[1] = key;
        commands.push(command);
        following -= 1;
    }
    commands
}

fn name(words: &Words) -> Vec<u8> {
    words[0].to_ascii_uppercase()
}

/// The servers and how to speak to them.
#[derive(Clone, Copy)]
struct Stage<'a> {
    subject: &'a Subject,
    peers: &'a [(Kind, Peer)],
    is_resp3: bool,
}

/// The first answer of an episode that no peer gives.
struct Failure {
    at: usize,
    /// Ours, then the peers'.
    answers: Vec<Answer>,
}

impl Stage<'_> {
    fn play(&self, episode: &[Words]) -> Option<Failure> {
        let peers = self.peers.iter().map(|(_, peer)| peer.address);
        let mut clients: Vec<RespClient> = std::iter::once(self.subject.resp_address())
            .chain(peers)
            .map(|address| match self.is_resp3 {
                true => RespClient::connect_resp3(address),
                false => RespClient::connect(address),
            })
            .collect();
        for client in &mut clients {
            client.call(&["FLUSHALL"]);
        }
        let mut at = 0;
        while at < episode.len() {
            let batch = batch_at(episode, at);
            // In one go: what arrives together may be carried out together.
            let mut bytes = Vec::new();
            batch.iter().for_each(|words| encode(words, &mut bytes));
            clients
                .iter_mut()
                .for_each(|client| client.send_raw(&bytes));
            for words in batch {
                let answers: Vec<Answer> =
                    clients.iter_mut().map(RespClient::try_receive).collect();
                match judge(words, &answers) {
                    Verdict::Same => {}
                    Verdict::Random => compare::reconcile(words, &mut clients, &answers),
                    Verdict::Differs => return Some(Failure { at, answers }),
                }
                at += 1;
            }
        }
        None
    }

    fn report(&self, episode: &[Words], failure: &Failure) -> String {
        let mut text = format!(
            "mayfly answers as nobody else does (RESP{}):\n",
            if self.is_resp3 { 3 } else { 2 },
        );
        let peers = self.peers.iter().map(|(kind, _)| kind.program());
        for (who, answer) in std::iter::once("mayfly").chain(peers).zip(&failure.answers) {
            text += &match answer {
                Ok(received) => format!("{who}:\n{}\n", render(&received.reply)),
                Err(lost) => format!("{who}: {lost:?}\n"),
            };
        }
        text += "to the last of:\n";
        for words in episode {
            let words: Vec<String> = words.iter().map(|word| plain_or_quoted(word)).collect();
            text += &format!("  {}\n", words.join(" "));
        }
        text
    }
}

/// A part of an episode whose last answer differs, as short as is easily found; `fails_at` plays
/// one and says which answer was the first to differ.
fn shortest<T: Clone>(episode: &[T], mut fails_at: impl FnMut(&[T]) -> Option<usize>) -> Vec<T> {
    let mut shortest = episode.to_vec();
    let mut attempts = 0;
    let mut chunk = shortest.len().div_ceil(2);
    while chunk > 0 && attempts < SHRINK_ATTEMPTS_MAX {
        let mut start = 0;
        // The last command is the one that fails, so it stays.
        while start + 1 < shortest.len() && attempts < SHRINK_ATTEMPTS_MAX {
            let end = (start + chunk).min(shortest.len() - 1);
            let mut candidate = shortest.clone();
            candidate.drain(start..end);
            attempts += 1;
            match fails_at(&candidate) {
                Some(at) => shortest = candidate[..=at].to_vec(),
                None => start = end,
            }
        }
        chunk /= 2;
    }
    shortest
}

/// Compares our answer, the first, with the others. A peer that does not know the command has no
/// say, unless nobody knows it.
fn judge(words: &[Vec<u8>], answers: &[Answer]) -> Verdict {
    let (ours, theirs) = answers.split_first().expect("our own answer");
    let known = theirs.iter().filter(|theirs| !compare::is_unknown(theirs));
    let verdict_of = |theirs: &Answer| match (ours, theirs) {
        (Ok(ours), Ok(theirs)) => compare::compare(words, ours, theirs),
        (Err(ours), Err(theirs)) if ours == theirs => Verdict::Same,
        _ => Verdict::Differs,
    };
    let verdicts: Vec<Verdict> = match known.clone().count() {
        0 => theirs.iter().map(verdict_of).collect(),
        _ => known.map(verdict_of).collect(),
    };
    [Verdict::Random, Verdict::Same]
        .into_iter()
        .find(|verdict| verdicts.contains(verdict))
        .unwrap_or(Verdict::Differs)
}

/// The commands from `at` on that go out at once. A command whose effect is random ends its
/// batch, since what it did has to be made the same on both sides before anything else.
fn batch_at(episode: &[Words], at: usize) -> &[Words] {
    const BATCH_COMMANDS_MAX: usize = 16;
    let rest = &episode[at..episode.len().min(at + BATCH_COMMANDS_MAX)];
    let is_last = |words: &Words| matches!(compare::rule(words), Rule::Random);
    match rest.iter().position(is_last) {
        Some(end) => &rest[..=end],
        None => rest,
    }
}

fn plain_or_quoted(word: &[u8]) -> String {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.:+*$#".contains(byte);
    match !word.is_empty() && word.iter().all(is_plain) {
        true => String::from_utf8_lossy(word).into_owned(),
        false => quote(word),
    }
}
