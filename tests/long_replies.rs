//! Replies that do not fit into one buffer of those they are written to.

use tests::Subject;
use tests::resp::{self, Reply, RespClient};

/// All replies together are some megabytes.
const MEMBERS: usize = 200_000;

fn member(number: usize) -> String {
    format!("member:{number:09}")
}

fn add_members(client: &mut RespClient, set: &str) {
    for first in (0..MEMBERS).step_by(1_000) {
        let members = (first..first + 1_000).map(member);
        let words: Vec<_> = ["SADD".to_owned(), set.to_owned()]
            .into_iter()
            .chain(members)
            .collect();
        client.call(&words);
    }
}

fn sorted(reply: &Reply) -> Vec<&[u8]> {
    let texts = reply.elements().iter().filter_map(Reply::text);
    let mut texts: Vec<_> = texts.collect();
    texts.sort_unstable();
    texts
}

/// Whether the header is written first or put before what was counted while it was written.
#[test]
fn all_members_come_between_what_comes_before_and_after() {
    let subject = Subject::start();
    let mut client = subject.resp();
    add_members(&mut client, "set");
    let members: Vec<_> = (0..MEMBERS).map(member).collect();
    let expected: Vec<_> = members.iter().map(String::as_bytes).collect();
    for command in [
        &["SMEMBERS", "set"][..],
        &["SUNION", "set", "none"],
        &["SDIFF", "set", "none"],
    ] {
        client.send(&["ECHO", "before"]);
        client.send(command);
        client.send(&["ECHO", "after"]);
        let replies = [(); 3].map(|()| client.receive().reply);
        assert_eq!(replies[0].text(), Some(&b"before"[..]), "{command:?}");
        assert!(sorted(&replies[1]) == expected, "{command:?}");
        assert_eq!(replies[2].text(), Some(&b"after"[..]), "{command:?}");
    }
}

#[test]
fn all_keys_come_and_then_those_of_the_next_command() {
    let subject = Subject::start();
    let mut client = subject.resp();
    let names: Vec<_> = (0..30_000).map(member).collect();
    for chunk in names.chunks(1_000) {
        let pairs = chunk.iter().flat_map(|name| [name.as_str(), "value"]);
        let words: Vec<_> = ["MSET"].into_iter().chain(pairs).collect();
        client.call(&words);
    }
    let expected: Vec<_> = names.iter().map(String::as_bytes).collect();
    client.send(&["KEYS", "*"]);
    client.send(&["KEYS", "*00001"]);
    assert!(sorted(&client.receive().reply) == expected);
    assert_eq!(client.receive().reply.elements().len(), 1);
}

/// An error is told, and counted by its code, whatever is to be sent before it.
#[test]
fn errors_between_long_replies_are_counted() {
    const ROUNDS: usize = 200;
    let subject = Subject::start();
    let mut client = subject.resp();
    client.call(&["CONFIG", "RESETSTAT"]);
    client.call(&["HSET", "hash", "long", &"v".repeat(40_000)]);
    let mut requests = Vec::new();
    for _ in 0..ROUNDS {
        resp::encode(&["HINCRBY", "hash", "count", "1"], &mut requests);
        resp::encode(&["HGET", "hash", "long"], &mut requests);
        resp::encode(&["HINCRBY", "hash", "long", "1"], &mut requests);
    }
    client.send_raw(&requests);
    for round in 1..=ROUNDS {
        let [count, long, error] = [(); 3].map(|()| client.receive().reply);
        assert_eq!(count, Reply::Integer(round as i64));
        assert_eq!(long.text().map(<[u8]>::len), Some(40_000));
        let text = b"ERR hash value is not an integer".to_vec();
        assert_eq!(error, Reply::Error(text));
    }
    let stats = client.call(&["INFO", "errorstats"]);
    let stats = String::from_utf8_lossy(stats.text().expect("a text"));
    assert!(stats.contains("errorstat_ERR:count=200\r\n"), "{stats}");
}
