//! What counts as a call, as a refusal and as an error: commands that fail, beside redis-server.

use std::collections::BTreeMap;

use tests::Subject;
use tests::peer::{Kind, Peer};
use tests::resp::RespClient;

const COMMANDS: &[&str] = &[
    "GET s",
    "GET",
    "GET set",
    "get s t",
    "nosuch",
    "nosuch a b",
    "CLIENT",
    "CLIENT nosuch",
    "CLIENT nosuch a b",
    "CLIENT ID x",
    "client getname",
    "CONFIG nosuch",
    "CONFIG GET",
    "CONFIG SET nosuch 1",
    "MEMORY nosuch",
    "MODULE nosuch",
    "OBJECT",
    "OBJECT nosuch s",
    "OBJECT ENCODING",
    "OBJECT FREQ s",
    "COMMAND nosuch",
    "COMMAND COUNT x",
    "COMMAND COUNT",
    "INCR s",
    "SET s v EX 0",
    "HELLO 9",
    "AUTH joe x",
    "SELECT 99",
    "RENAME no x",
    "SINTER s set",
    "EXPIRE s 10 foo",
    "SETRANGE s -1 x",
    "BITFIELD s GET u64 0",
    "CLIENT KILL 1.1.1.1:1",
];

/// The counts that INFO tells, and how often each has been counted so far.
fn counts(client: &mut RespClient) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for section in ["stats", "errorstats", "commandstats"] {
        let reply = client.call(&["INFO", section]);
        let text = String::from_utf8_lossy(reply.text().expect("a text")).into_owned();
        for (name, fields) in text.lines().filter_map(|line| line.split_once(':')) {
            let fields = fields.split(',').filter_map(|field| field.split_once('='));
            let fields = fields.filter(|(field, _)| field.ends_with("calls") || *field == "count");
            counts.extend(fields.filter_map(|(field, count)| {
                Some((format!("{name} {field}"), count.parse().ok()?))
            }));
        }
        let errors = text
            .lines()
            .find_map(|line| line.strip_prefix("total_error_replies:"));
        let errors = errors.and_then(|count| count.parse().ok());
        counts.extend(errors.map(|count| ("errors".to_owned(), count)));
    }
    counts
}

/// What a command adds to the counts.
fn counts_of(client: &mut RespClient, command: &str) -> BTreeMap<String, u64> {
    let before = counts(client);
    client.call(&command.split(' ').collect::<Vec<_>>());
    let after = counts(client);
    let added = after.into_iter().map(|(name, count)| {
        let added = count - before.get(&name).unwrap_or(&0);
        (name, added)
    });
    added
        .filter(|(name, added)| *added > 0 && !name.starts_with("cmdstat_info "))
        .collect()
}

#[test]
fn calls_and_errors_are_counted_as_redis_counts_them() {
    let Some(peer) = Peer::start(Kind::Redis, "the test of calls and errors") else {
        return;
    };
    let subject = Subject::start();
    let mut clients = [subject.resp(), RespClient::connect(peer.address)];
    for client in &mut clients {
        client.call(&["SET", "s", "abc"]);
        client.call(&["SADD", "set", "1"]);
    }
    for command in COMMANDS {
        let [ours, theirs] = clients.each_mut().map(|client| counts_of(client, command));
        assert_eq!(ours, theirs, "{command}");
    }
}
