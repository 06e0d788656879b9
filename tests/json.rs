//! JSON documents: replies as RedisJSON gives them, byte for byte, and one field of a large
//! document under many hands.
//!
//! `data/json-replies.jsonl` was recorded for this project from redis-server 8.6.3 with its JSON
//! module 8.6.4. Its first line says what `@name` stands for; each other line is an object:
//! `resp`, the version spoken; `setup`, commands run on an empty server; `steps`, commands run
//! then, each with its `reply` and, where it changed something, the reply `after` it to
//! `JSON.GET k`.

use serde_json::Value;
use tests::resp::{Reply, RespClient};
use tests::{Subject, check};

const RECORDED: &str = include_str!("data/json-replies.jsonl");

/// Parts of paths that RFC 9535 accepts and RedisJSON does not read, or reads as something else.
const RFC_ONLY: &[&str] = &["$ .a", "$.é", "[::0]", "?(!@"];

#[test]
fn replies_are_those_recorded() {
    let subject = Subject::start_with(&[("json_bridge", "off")]);
    let mut clients = [
        subject.resp(),
        RespClient::connect_resp3(subject.resp_address()),
    ];
    let mut lines = RECORDED
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let documents = lines.next().unwrap()["docs"].clone();
    let mut replay = Replay {
        documents,
        compared: 0,
        faults: Vec::new(),
    };
    for case in lines {
        let client = &mut clients[usize::from(case["resp"] == 3)];
        replay.run(client, &case);
    }
    let Replay {
        compared, faults, ..
    } = replay;
    assert!(
        faults.is_empty(),
        "{} faults:\n{}",
        faults.len(),
        faults.join("\n")
    );
    assert!(compared > 1_000, "{compared}");
}

struct Replay {
    documents: Value,
    compared: usize,
    faults: Vec<String>,
}

impl Replay {
    fn run(&mut self, client: &mut RespClient, case: &Value) {
        client.call(&["FLUSHALL"]);
        for command in case["setup"].as_array().unwrap() {
            if is_unknown(&client.call(&self.words(command))) {
                return;
            }
        }
        for step in case["steps"].as_array().unwrap() {
            let words = self.words(&step["cmd"]);
            client.send(&words);
            let received = client.receive();
            if is_unknown(&received.reply) || differs_by_intent(&words) {
                // What follows stands on its effect.
                return;
            }
            self.compare(&words, &received.raw, &step["reply"]);
            if let Some(after) = step.get("after") {
                client.send(&["JSON.GET", "k"]);
                let raw = client.receive().raw;
                self.compare(
                    &[&words[..], &["; JSON.GET k".to_owned()]].concat(),
                    &raw,
                    after,
                );
            }
        }
    }

    /// The words of a command, with the documents that stand for names in them.
    fn words(&self, command: &Value) -> Vec<String> {
        let words = command
            .as_array()
            .unwrap()
            .iter()
            .map(|word| word.as_str().unwrap());
        words
            .map(|word| {
                self.documents
                    .get(word)
                    .and_then(Value::as_str)
                    .unwrap_or(word)
                    .to_owned()
            })
            .collect()
    }

    fn compare(&mut self, words: &[String], received: &[u8], recorded: &Value) {
        self.compared += 1;
        let received = std::str::from_utf8(received).unwrap();
        let recorded = recorded.as_str().unwrap();
        let code = |reply: &str| reply.split([' ', '\r']).next().map(str::to_owned);
        let both_are_errors = received.starts_with('-') && recorded.starts_with('-');
        let is_right = match () {
            // The wording behind the first word is our own.
            () if both_are_errors => code(received) == code(recorded),
            () if has_several_paths(words) => sorted(received) == sorted(recorded),
            () => received == recorded,
        };
        if !is_right {
            self.faults
                .push(format!("{words:?}\n  {received:?}\n  {recorded:?}"));
        }
    }
}

fn is_unknown(reply: &Reply) -> bool {
    matches!(reply, Reply::Error(text) if text.starts_with(b"ERR unknown command"))
}

/// Replies in which we mean to differ.
fn differs_by_intent(words: &[String]) -> bool {
    words.iter().any(|word| word.starts_with("EXPAND"))
        || words
            .iter()
            .any(|word| RFC_ONLY.iter().any(|form| word.contains(form)))
}

/// RedisJSON answers several paths in an order of chance.
fn has_several_paths(words: &[String]) -> bool {
    let is_path = |word: &&String| word.starts_with('$') || word.starts_with('.');
    words[0] == "JSON.GET" && words.iter().filter(is_path).count() > 1
}

fn sorted(text: &str) -> Vec<char> {
    let mut all: Vec<char> = text.chars().collect();
    all.sort_unstable();
    all
}

#[test]
fn large_documents_are_moved_copied_and_dropped() {
    let subject = Subject::start();
    if subject.is_peer() {
        return;
    }
    let mut client = subject.resp();
    let large = format!(
        "{{\"list\":[{}],\"n\":0}}",
        vec!["\"element\""; 120_000].join(",")
    );
    client.call(&["JSON.SET", "from", "$", &large]);
    assert_eq!(client.call(&["COPY", "from", "copy"]), Reply::Integer(1));
    client.call(&["RENAME", "from", "to"]);
    client.call(&["JSON.SET", "to", "$.list[7]", "1"]);
    client.call(&["EXPIRE", "to", "100"]);
    client.call(&["JSON.SET", "to", "$.n", "1"]);
    for (key, seventh, n) in [("to", "[1]", "[1]"), ("copy", "[\"element\"]", "[0]")] {
        let found = client.call(&["JSON.GET", key, "$.list[7]"]);
        assert_eq!(found, Reply::Bulk(seventh.into()), "{key}");
        assert_eq!(
            client.call(&["JSON.GET", key, "$.n"]),
            Reply::Bulk(n.into()),
            "{key}"
        );
    }
    assert_eq!(
        client.call(&["JSON.GET", "copy"]),
        Reply::Bulk(large.into())
    );
    client.call(&["JSON.SET", "copy", "$.list", "[]"]);
    assert_eq!(
        client.call(&["JSON.GET", "copy"]),
        Reply::Bulk(b"{\"list\":[],\"n\":0}".into())
    );
    assert_eq!(client.call(&["DEL", "to", "copy"]), Reply::Integer(2));
}

#[test]
fn fields_of_one_document_have_many_writers() {
    const WRITERS: usize = 4;
    const FIELDS: usize = 400;
    let subject = Subject::start();
    if subject.is_peer() {
        return;
    }
    let fields: Vec<String> = (0..WRITERS * FIELDS)
        .map(|field| format!("\"f{field}\":[0,0]"))
        .collect();
    let document = format!("{{{}}}", fields.join(","));
    subject.resp().call(&["JSON.SET", "k", "$", &document]);
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let mut client = subject.resp();
            scope.spawn(move || {
                for field in (writer..WRITERS * FIELDS).step_by(WRITERS) {
                    let path = format!("$.f{field}");
                    client.call(&["JSON.SET", "k", &path, &format!("[{field},{field}]")]);
                    let neighbour = format!("$.f{}", (field + 1) % (WRITERS * FIELDS));
                    let Reply::Bulk(seen) = client.call(&["JSON.GET", "k", &neighbour]) else {
                        panic!("no document")
                    };
                    // Another's write is seen whole or not at all.
                    let text = String::from_utf8(seen).unwrap();
                    let (one, other) = text[2..text.len() - 2].split_once(',').unwrap();
                    assert_eq!(one, other);
                }
            });
        }
    });
    let expected: Vec<String> = (0..WRITERS * FIELDS)
        .map(|field| format!("\"f{field}\":[{field},{field}]"))
        .collect();
    let found = subject.resp().call(&["JSON.GET", "k"]);
    assert_eq!(
        found,
        Reply::Bulk(format!("{{{}}}", expected.join(",")).into())
    );
}

#[test]
fn types_are_told_and_members_forgotten() {
    check(
        r#"
        > JSON.TYPE d
        …(nil)
        > JSON.SET d $ '{"a":1,"b":[1.5,"x",null,true,{}]}'
        OK
        > JSON.TYPE d .b
        …"array"…
        > JSON.FORGET d $.b[0]
        (integer) 1
        > JSON.DEL d $.none
        (integer) 0
        > JSON.GET d
        "{\"a\":1,\"b\":[\"x\",null,true,{}]}"
        > JSON.FORGET d
        (integer) 1
        > EXISTS d
        (integer) 0
        "#,
    );
}
