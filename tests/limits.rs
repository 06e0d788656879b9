//! What happens at the limits: memory, sizes, numbers of clients.

use tests::Subject;
use tests::resp::{Lost, Reply};

/// A short request cannot ask for more than there is memory for.
#[test]
fn a_reply_that_repeats_a_value_has_a_limit() {
    let subject = Subject::start_with(&[("client_query_buffer_limit", "1mb")]);
    let mut client = subject.resp();
    let value = "x".repeat(400_000);
    client.call(&["SET", "k", &value]);
    client.call(&["HSET", "h", "f", &value]);
    client.call(&["SADD", "s", &value]);
    for (once, command) in [
        (vec!["MGET", "k", "k"], vec!["MGET", "k", "k", "k"]),
        (
            vec!["HMGET", "h", "f", "f"],
            vec!["HMGET", "h", "f", "f", "f"],
        ),
    ] {
        assert_eq!(client.call(&once).elements().len(), 2);
        let error = b"ERR the reply would exceed client-query-buffer-limit".to_vec();
        assert_eq!(client.call(&command), Reply::Error(error));
    }
    assert_eq!(
        client.call(&["SRANDMEMBER", "s", "-1000000000000"]),
        Reply::Error(b"ERR value is out of range".into())
    );
    assert_eq!(client.call(&["PING"]), Reply::Status(b"PONG".into()));
}

#[test]
fn one_client_too_many_is_told_so() {
    let subject = Subject::start_with(&[("maxclients", "2")]);
    let (mut one, mut two) = (subject.resp(), subject.resp());
    let pong = Reply::Status(b"PONG".into());
    assert_eq!(
        (one.call(&["PING"]), two.call(&["PING"])),
        (pong.clone(), pong.clone())
    );
    let mut three = subject.resp();
    let reply = three.try_receive().map(|received| received.reply);
    assert_eq!(
        reply,
        Ok(Reply::Error(b"ERR max number of clients reached".into()))
    );
    assert_eq!(three.try_receive(), Err(Lost::Closed));
    assert_eq!(one.call(&["PING"]), pong);
}

#[test]
fn a_bulk_beyond_the_limit_is_refused() {
    let subject = Subject::start_with(&[("proto_max_bulk_len", "1mb")]);
    let mut client = subject.resp();
    assert_eq!(
        client.call(&["SET", "k", &"x".repeat(1 << 20)]),
        Reply::Status(b"OK".into())
    );
    let error = "ERR string exceeds maximum allowed size (proto-max-bulk-len)";
    assert_eq!(
        client.call(&["APPEND", "k", "x"]),
        Reply::Error(error.into())
    );
    assert_eq!(
        client.call(&["SETRANGE", "k", "1048576", "x"]),
        Reply::Error(error.into())
    );
    client.send_raw(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1048577\r\n");
    let error = "ERR Protocol error: invalid bulk length";
    assert_eq!(client.receive().reply, Reply::Error(error.into()));
    assert_eq!(client.try_receive(), Err(Lost::Closed));
}

#[test]
fn an_item_up_to_the_limit_is_taken() {
    let subject = Subject::start_with(&[("max_item_size", "2mb")]);
    let mut client = subject.memcached();
    let value = "x".repeat(1_500_000);
    assert_eq!(client.call(&["set k 0 0 1500000", &value]), "STORED");
    let value = "x".repeat(2_500_000);
    let answer = client.call(&["set k 0 0 2500000", &value]);
    assert_eq!(answer, "SERVER_ERROR object too large for cache");
}

/// A client that sends random bytes gets an answer or is cut off; the others notice nothing.
#[test]
fn random_bytes_harm_nobody() {
    let subject = Subject::start();
    let seed = tests::random::seed();
    let mut random = fastrand::Rng::with_seed(seed);
    let mut other = subject.resp();
    const PIECES: [&[u8]; 14] = [
        b"\r\n",
        b"*",
        b"$",
        b"3",
        b"-1",
        b"GET",
        b"SET k v",
        b"set k 0 0 5",
        b" ",
        b"\0",
        b"\"",
        b"99999999999",
        b"get ",
        b"\n",
    ];
    for round in 0..300 {
        let mut bytes = Vec::new();
        for _ in 0..random.usize(1..40) {
            match random.u8(..4) {
                0 => bytes.push(random.u8(..)),
                _ => bytes.extend_from_slice(PIECES[random.usize(..PIECES.len())]),
            }
        }
        subject.resp().send_raw(&bytes);
        subject.memcached().send_raw(&bytes);
        let reply = other.call(&["PING"]);
        assert_eq!(
            reply,
            Reply::Status(b"PONG".into()),
            "seed {seed}, round {round}"
        );
    }
    assert_eq!(subject.memcached().call(&["get none"]), "END");
}
