//! Hand-written requests to mayfly and to redis-server 7.0, where the newer peer differs or where a
//! grammar would not get.

use std::collections::BTreeMap;

use tests::Subject;
use tests::peer::{Kind, Peer};
use tests::resp::{Lost, Reply, RespClient};

/// So many bytes of a line that does not end are waited for.
const LINE_BYTES_MAX: usize = 64 << 10;

/// What precedes, and a line that never ends: nothing is found behind a zero byte.
const ENDLESS: &[(&[u8], &[u8])] = &[
    (b"", b"PING\0\r\n"),
    (b"", b"\0\r\nPING\r\n"),
    (b"", b"\0PING\n"),
    (b"PING\r\n", b"PI\0NG\r\nPING\r\n"),
    (b"ECHO a\n", b"ECHO \"a\0b\"\r\n"),
    (b"SET k v\r\n*1\r\n$4\r\nPING\r\n", b"SET k a\0b\nGET k\n"),
    (b"*2\r\n$4\r\nECHO\r\n$1\r\n\0\r\n", b"GET\0k\r\n"),
    (b"", b"*1\0\r\n$4\r\nPING\r\n"),
    (b"PING\n", b"*\x001\r\n"),
];

/// All that a server says to these bytes until it closes the connection.
fn answers(mut client: RespClient, bytes: &[u8]) -> (Vec<Vec<u8>>, Lost) {
    client.send_raw(bytes);
    let mut answers = Vec::new();
    loop {
        match client.try_receive() {
            Ok(received) => answers.push(received.raw),
            Err(lost) => return (answers, lost),
        }
    }
}

#[test]
fn a_zero_byte_keeps_a_line_from_ending() {
    let Some(peer) = Peer::start(Kind::Redis, "the test of zero bytes") else {
        return;
    };
    let subject = Subject::start();
    for (before, line) in ENDLESS {
        // One byte more than is waited for, and none that the server would not read.
        let more = vec![b'a'; LINE_BYTES_MAX + 1 - line.len()];
        let bytes = [before, *line, &more].concat();
        let ours = answers(subject.resp(), &bytes);
        let theirs = answers(RespClient::connect(peer.address), &bytes);
        assert_eq!(ours, theirs, "{before:?} {line:?}");
        let (said, _) = &ours;
        let error = said.last().expect("an error");
        assert!(
            error.starts_with(b"-ERR Protocol error: too big"),
            "{line:?}"
        );
    }
}

/// A client of a subject and one of redis-server, with the servers.
fn beside_redis(test: &str) -> Option<((Subject, Peer), [RespClient; 2])> {
    let peer = Peer::start(Kind::Redis, test)?;
    let subject = Subject::start();
    let clients = [subject.resp(), RespClient::connect(peer.address)];
    Some(((subject, peer), clients))
}

#[test]
fn cursors_are_read_as_redis_reads_them() {
    let Some((_servers, mut clients)) = beside_redis("the test of cursors") else {
        return;
    };
    for cursor in [
        &b""[..],
        b"0",
        b"007",
        b"+1",
        b"-0",
        b"-1",
        b"18446744073709551615",
        b"-18446744073709551615",
        b"18446744073709551616",
        b"-18446744073709551616",
        b"99999999999999999999",
        b"+",
        b"-",
        b"--1",
        b"+-1",
        b" 1",
        b"\t1",
        b"1 ",
        b"1.5",
        b"0x10",
        b"a",
        b"0\0a",
        b"\0",
        b"-\0",
    ] {
        for words in [
            &[&b"SCAN"[..], cursor][..],
            &[b"SCAN", cursor, b"COUNT", b"x"],
            &[b"SSCAN", b"none", cursor],
            &[b"HSCAN", b"none", cursor],
        ] {
            let [ours, theirs] = clients.each_mut().map(|client| client.call(words));
            assert_eq!(ours, theirs, "{words:?}");
        }
    }
    // The last of all places, where a scan of a few keys ends.
    for client in &mut clients {
        for number in 0..100 {
            client.call(&["SET", &format!("key:{number}"), "v"]);
        }
    }
    for cursor in ["-1", "18446744073709551615"] {
        let ends = clients.each_mut().map(|client| {
            let reply = client.call(&["SCAN", cursor, "COUNT", "1000"]);
            reply.elements()[0].clone()
        });
        assert_eq!(
            ends,
            [Reply::Bulk(b"0".to_vec()), Reply::Bulk(b"0".to_vec())]
        );
    }
}

/// The parameters a server shows for some patterns, by name.
fn parameters(client: &mut RespClient, patterns: &[&str]) -> BTreeMap<String, String> {
    let words = [&["CONFIG", "GET"], patterns].concat();
    let reply = client.call(&words);
    let text = |reply: &Reply| String::from_utf8_lossy(reply.text().expect("a text")).into_owned();
    let pairs = reply.elements().chunks_exact(2);
    pairs.map(|pair| (text(&pair[0]), text(&pair[1]))).collect()
}

#[test]
fn older_names_of_parameters_are_known() {
    let Some((_servers, mut clients)) = beside_redis("the test of parameters' names") else {
        return;
    };
    for patterns in [
        &["hash-max-*"][..],
        &["zset-max-*"],
        &["list-max-*"],
        &["*ziplist*"],
        &["HASH-max-ziplist-ENTRIES"],
        &["hash-max-ziplist-value", "hash-max-listpack-value"],
        &["list-max-ziplist-size", "list-m*-size"],
        &["?set-max-ziplist-value"],
        &["set-max-ziplist-entries"],
    ] {
        let [ours, theirs] = clients
            .each_mut()
            .map(|client| parameters(client, patterns));
        assert_eq!(ours, theirs, "{patterns:?}");
    }
    for changes in [
        &["hash-max-ziplist-entries", "100"][..],
        &[
            "hash-max-ziplist-entries",
            "1",
            "hash-max-listpack-entries",
            "200",
        ],
        &[
            "hash-max-listpack-entries",
            "3",
            "Hash-Max-Ziplist-Entries",
            "2",
        ],
        &["hash-max-ziplist-value", "1kb"],
        &["hash-max-ziplist-value", "x"],
        &["hash-max-ziplist-entries", "-1"],
        &["hash-max-ziplist-entries", "x"],
        &["hash-max-ziplist-value", "7", "hash-max-ziplist-value", "8"],
        &[
            "zset-max-ziplist-entries",
            "12",
            "zset-max-ziplist-value",
            "13",
        ],
        &["zset-max-listpack-value", "-1"],
        &["list-max-ziplist-size", "-5"],
        &["list-max-listpack-size", "-2147483648"],
        &["list-max-listpack-size", "-2147483649"],
        &["list-max-listpack-size", "2147483648"],
        &["list-max-ziplist-size", "64"],
        &["list-max-ziplist-size", "x"],
    ] {
        let words = [&["CONFIG", "SET"], changes].concat();
        let [ours, theirs] = clients.each_mut().map(|client| client.call(&words));
        assert_eq!(ours, theirs, "{changes:?}");
        let patterns = ["hash-max-*", "zset-max-*", "list-max-*"];
        let [ours, theirs] = clients
            .each_mut()
            .map(|client| parameters(client, &patterns));
        assert_eq!(ours, theirs, "after {changes:?}");
    }
}

#[test]
fn what_is_wrong_with_a_parameter_is_told_as_redis_tells_it() {
    let Some((_servers, mut clients)) = beside_redis("the test of parameters' errors") else {
        return;
    };
    for change in [
        ["maxmemory", "x"],
        ["maxmemory-clients", "-1"],
        ["maxmemory-clients", "101%"],
        ["maxmemory-clients", "x%"],
        ["maxmemory-clients", "100%"],
        ["timeout", "x"],
        ["timeout", "-1"],
        ["client-output-buffer-limit", "normal"],
        ["client-output-buffer-limit", "normal x 0 0"],
        ["client-output-buffer-limit", "normal 0 x 0"],
        ["client-output-buffer-limit", "normal 0 0 x"],
        ["client-output-buffer-limit", "strange 0 0 0"],
        ["client-output-buffer-limit", "normal 1mb 2mb 3"],
    ] {
        let words = [&["CONFIG", "SET"][..], &change].concat();
        let [ours, theirs] = clients.each_mut().map(|client| client.call(&words));
        assert_eq!(ours, theirs, "{change:?}");
    }
}
