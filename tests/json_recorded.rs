//! JSON commands answer as RedisJSON did, byte for byte, errors included.
//!
//! `data/json-replies.jsonl` was recorded for this project from redis-server 8.6.3 with its JSON
//! module 8.6.4. Its first line says what `@name` stands for; each other line is an object:
//! `resp`, the version spoken; `setup`, commands run on an empty server; `steps`, commands run
//! then, each with its `reply` and, where it changed something, the reply `after` it to
//! `JSON.GET k`.
//!
//! All of them are replayed. Where we mean to differ, [`EXCEPTIONS`] says why; an exception that
//! covers nothing is a failure, too.

use serde_json::Value;
use tests::Subject;
use tests::resp::RespClient;

const RECORDED: &str = include_str!("data/json-replies.jsonl");
const REPLIES: usize = 3_848;

/// Forms of commands on which we mean to differ, and why. What follows such a step in its case
/// stands on its effect, and is not compared either.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("$ .a", "RFC 9535 has blanks between segments"),
    ("$.é", "RFC 9535 has such names after a dot"),
    ("[::0]", "RFC 9535: a step of 0 selects nothing"),
    ("?(!@", "RFC 9535 has negation"),
    (
        "JSON.MERGE k $..[0]",
        "RedisJSON loses a merge into an element of an array of nothing but integers",
    ),
];

#[test]
fn replies_are_those_recorded() {
    let subject = Subject::start_with(&[("json_bridge", "off")]);
    let mut clients = [
        subject.resp(),
        RespClient::connect_resp3(subject.resp_address()),
    ];
    let mut lines = RECORDED
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("a line is JSON"));
    let mut replay = Replay {
        documents: lines.next().expect("the documents")["docs"].clone(),
        replies: 0,
        excepted: vec![0; EXCEPTIONS.len()],
        faults: Vec::new(),
    };
    for case in lines {
        let client = &mut clients[usize::from(case["resp"] == 3)];
        replay.run(client, &case);
    }
    let faults = &replay.faults;
    assert!(
        faults.is_empty(),
        "{} faults:\n{}",
        faults.len(),
        faults.join("\n")
    );
    assert_eq!(replay.replies, REPLIES);
    for ((form, why), count) in EXCEPTIONS.iter().zip(&replay.excepted) {
        assert!(*count > 0, "no exception is needed for {form}: {why}");
    }
}

struct Replay {
    documents: Value,
    /// How many replies were looked at.
    replies: usize,
    /// How many replies each of the exceptions covers.
    excepted: Vec<usize>,
    faults: Vec<String>,
}

impl Replay {
    fn run(&mut self, client: &mut RespClient, case: &Value) {
        client.call(&["FLUSHALL"]);
        for command in array(&case["setup"]) {
            let mut words = self.words(command);
            if words[0] == "LPUSH" {
                // Lists are not there; a set is as good a key of another type.
                words[0] = "SADD".to_owned();
            }
            client.call(&words);
        }
        let steps = array(&case["steps"]);
        for (at, step) in steps.iter().enumerate() {
            let words = self.words(&step["cmd"]);
            client.send(&words);
            let received = client.receive().raw;
            self.replies += 1;
            let mut is_same = same(&words, &received, &step["reply"]);
            if let Some(after) = step.get("after") {
                client.send(&["JSON.GET", "k"]);
                is_same &= same(&words[..1], &client.receive().raw, after);
            }
            if is_same {
                continue;
            }
            let covers = |(form, _): &(&str, &str)| words.join(" ").contains(form);
            match EXCEPTIONS.iter().position(covers) {
                Some(exception) => {
                    let rest = steps.len() - at - 1;
                    self.replies += rest;
                    self.excepted[exception] += 1 + rest;
                    return;
                }
                None => {
                    client.send(&["JSON.GET", "k"]);
                    let after = client.receive().raw;
                    self.faults.push(format!(
                        "{words:?}\n  {:?}\n  {step}\n  after {:?}",
                        String::from_utf8_lossy(&received),
                        String::from_utf8_lossy(&after),
                    ));
                }
            }
        }
    }

    /// The words of a command, with the documents that stand for names in them.
    fn words(&self, command: &Value) -> Vec<String> {
        let named = |word: &str| self.documents[word].as_str().unwrap_or(word).to_owned();
        let words = array(command).iter();
        words
            .map(|word| named(word.as_str().expect("a word is a string")))
            .collect()
    }
}

fn array(value: &Value) -> &[Value] {
    value.as_array().expect("an array")
}

/// Whether a reply is as it was recorded. RedisJSON prints several paths in an order of chance.
fn same(words: &[String], received: &[u8], recorded: &Value) -> bool {
    let recorded = recorded.as_str().expect("a reply is a text").as_bytes();
    let is_path = |word: &&String| word.starts_with('$') || word.starts_with('.');
    let has_several_paths = words[0] == "JSON.GET" && words.iter().filter(is_path).count() > 1;
    match has_several_paths {
        true => sorted(received) == sorted(recorded),
        false => received == recorded,
    }
}

fn sorted(text: &[u8]) -> Vec<u8> {
    let mut all = text.to_vec();
    all.sort_unstable();
    all
}
