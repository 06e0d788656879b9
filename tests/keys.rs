//! Keys of any type: removing, naming, expiring, finding.

use tests::resp::RespClient;
use tests::{Subject, check};

#[test]
fn del_unlink_exists_touch_type() {
    check(
        r#"
        > MSET a 1 b 2 c 3
        OK
        > SADD s x
        (integer) 1
        > HSET h f v
        (integer) 1
        > EXISTS a b a none
        (integer) 3
        > TOUCH a none s
        (integer) 2
        > TYPE a
        string
        > TYPE s
        set
        > TYPE h
        hash
        > TYPE none
        none
        > DEL a none s
        (integer) 2
        > UNLINK b c none
        (integer) 2
        > EXISTS a b c s
        (integer) 0
        > DEL
        (error) ERR wrong number of arguments for 'del' command
        > DBSIZE
        (integer) 1
        "#,
    );
}

#[test]
fn expire_and_its_conditions() {
    check(
        r#"
        > EXPIRE k 100
        (integer) 0
        > SET k v
        OK
        > TTL k
        (integer) -1
        > PTTL k
        (integer) -1
        > EXPIRETIME k
        (integer) -1
        > TTL none
        (integer) -2
        > PEXPIRETIME none
        (integer) -2
        > EXPIRE k 100 XX
        (integer) 0
        > EXPIRE k 100 GT
        (integer) 0
        > EXPIRE k 100 LT
        (integer) 1
        > TTL k
        (integer) 100
        > EXPIRE k 100 NX
        (integer) 0
        > EXPIRE k 50 GT
        (integer) 0
        > EXPIRE k 200 GT
        (integer) 1
        > TTL k
        (integer) 200
        > EXPIRE k 300 LT
        (integer) 0
        > EXPIRE k 50 LT
        (integer) 1
        > TTL k
        (integer) 50
        > EXPIRE k 60 XX
        (integer) 1
        "#,
    );
}

#[test]
fn expire_in_its_four_forms() {
    check(
        r#"
        > SET k v
        OK
        > PEXPIRE k 100000
        (integer) 1
        > TTL k
        (integer) 100
        > EXPIREAT k 4000000000
        (integer) 1
        > EXPIRETIME k
        (integer) 4000000000
        > PEXPIREAT k 4000000000123
        (integer) 1
        > PEXPIRETIME k
        (integer) 4000000000123
        > PERSIST k
        (integer) 1
        > PERSIST k
        (integer) 0
        > PERSIST none
        (integer) 0
        "#,
    );
}

#[test]
fn expire_refuses_what_makes_no_sense_and_removes_what_is_past() {
    check(
        r#"
        > SET k v
        OK
        > EXPIRE k 10 NX XX
        (error) ERR NX and XX, GT or LT options at the same time are not compatible
        > EXPIRE k 10 GT LT
        (error) ERR GT and LT options at the same time are not compatible
        > EXPIRE k 10 nonsense
        (error) ERR Unsupported option nonsense
        > EXPIRE k abc
        (error) ERR value is not an integer or out of range
        > EXPIRE k 9223372036854775807
        (error) ERR invalid expire time in 'expire' command
        > PEXPIRE k 9223372036854775807
        (error) ERR invalid expire time in 'pexpire' command
        > EXPIRE k -9223372036854775808
        (error) ERR invalid expire time in 'expire' command
        > EXPIRE k 0
        (integer) 1
        > EXISTS k
        (integer) 0
        > SET k v
        OK
        > PEXPIREAT k 1
        (integer) 1
        > EXISTS k
        (integer) 0
        > SET k v
        OK
        > EXPIRE k -1
        (integer) 1
        > GET k
        (nil)
        "#,
    );
}

#[test]
fn an_expired_key_is_gone() {
    let subject = Subject::start();
    let mut client = subject.resp();
    client.call(&["SET", "k", "v", "PX", "30"]);
    client.call(&["HSET", "h", "f", "v"]);
    client.call(&["PEXPIRE", "h", "30"]);
    std::thread::sleep(std::time::Duration::from_millis(60));
    assert_eq!(
        client.call(&["EXISTS", "k", "h"]),
        tests::resp::Reply::Integer(0)
    );
    assert_eq!(
        client.call(&["KEYS", "*"]),
        tests::resp::Reply::Array(Vec::new())
    );
    assert_eq!(client.call(&["HLEN", "h"]), tests::resp::Reply::Integer(0));
}

/// How many keys have expired so far.
fn expired_keys(client: &mut RespClient) -> u64 {
    let reply = client.call(&["INFO", "stats"]);
    let text = String::from_utf8_lossy(reply.text().expect("a text")).into_owned();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("expired_keys:"));
    line.expect("it is told").parse().expect("a number")
}

/// Whether it is the write that finds the key expired, or somebody before.
#[test]
fn an_expired_key_counts_as_one_when_another_takes_its_place() {
    let subject = Subject::start();
    let mut client = subject.resp();
    for command in [
        "SET k v",
        "SET k v NX",
        "SET k v EX 100",
        "SETNX k v",
        "SETEX k 100 v",
        "GETSET k v",
        "GETDEL k",
        "INCR k",
        "INCRBYFLOAT k 1",
        "APPEND k v",
        "SETRANGE k 1 v",
        "SETBIT k 1 1",
        "SADD k m",
        "HSET k f v",
        "HINCRBY k f 1",
        "BITFIELD k SET u8 0 1",
        "MSET k v other v",
        "MSETNX k v none v",
        "RENAME live k",
        "COPY live k",
        "SUNIONSTORE k set set",
        "BITOP NOT k live",
        "SMOVE set k member",
        "DEL k none",
    ] {
        let words: Vec<&str> = command.split(' ').collect();
        for place in ["SET k v PX 1", "SADD k m", "HSET k f v"] {
            client.call(&["DEL", "none"]);
            client.call(&["SET", "live", "v"]);
            client.call(&["SADD", "set", "member"]);
            let before = expired_keys(&mut client);
            client.call(&place.split(' ').collect::<Vec<_>>());
            client.call(&["PEXPIRE", "k", "1"]);
            std::thread::sleep(std::time::Duration::from_millis(3));
            client.call(&words);
            client.call(&["DEL", "k"]);
            let after = expired_keys(&mut client);
            assert_eq!(after - before, 1, "{command} after {place}");
        }
    }
}

#[test]
fn rename_and_renamenx() {
    check(
        r#"
        > RENAME none a
        (error) ERR no such key
        > SET a 1 EX 100
        OK
        > RENAME a b
        OK
        > EXISTS a
        (integer) 0
        > TTL b
        (integer) 100
        > SADD s x
        (integer) 1
        > RENAME s b
        OK
        > TYPE b
        set
        > TTL b
        (integer) -1
        > RENAME b b
        OK
        > RENAMENX none c
        (error) ERR no such key
        > SET c 1
        OK
        > RENAMENX b c
        (integer) 0
        > RENAMENX c c
        (integer) 0
        > RENAMENX b d
        (integer) 1
        > EXISTS b c d
        (integer) 2
        "#,
    );
}

#[test]
fn copy_and_move() {
    check(
        r#"
        > SET a 1 EX 100
        OK
        > COPY a b
        (integer) 1
        > TTL b
        (integer) 100
        > COPY a b
        (integer) 0
        > SET a 2
        OK
        > COPY a b REPLACE
        (integer) 1
        > GET b
        "2"
        > TTL b
        (integer) -1
        > COPY a a
        (error) ERR source and destination objects are the same
        > COPY none b
        (integer) 0
        > COPY a a DB 1
        (integer) 1
        > COPY a c DB 16
        (error) ERR DB index is out of range
        > COPY a c DB abc
        (error) ERR value is not an integer or out of range
        > COPY a c nonsense
        (error) ERR syntax error
        > HSET h f v
        (integer) 1
        > COPY h h2
        (integer) 1
        > HSET h f w
        (integer) 0
        > HGET h2 f
        "v"
        > MOVE b 1
        (integer) 1
        > MOVE a 1
        (integer) 0
        > MOVE a 0
        (error) ERR source and destination objects are the same
        > MOVE none 1
        (integer) 0
        > MOVE a 16
        (error) ERR DB index is out of range
        > MOVE a x
        (error) ERR value is not an integer or out of range
        > SELECT 1
        OK
        > GET b
        "2"
        > DBSIZE
        (integer) 2
        "#,
    );
}

#[test]
fn keys_scan_and_randomkey() {
    check(
        r#"
        > RANDOMKEY
        (nil)
        > MSET one 1 two 2 three 3
        OK
        > SADD s x
        (integer) 1
        ~> KEYS *
        1) "one"
        2) "two"
        3) "three"
        4) "s"
        ~> KEYS t*
        1) "two"
        2) "three"
        > KEYS [a-n]*
        (empty array)
        > KEYS ?????
        1) "three"
        > KEYS none
        (empty array)
        > SCAN 0 MATCH on* COUNT 100
        1) "0"
        2) 1) "one"
        > SCAN 0 COUNT 100 TYPE set
        1) "0"
        2) 1) "s"
        > SCAN 0 COUNT 100 TYPE hash
        1) "0"
        2) (empty array)
        > SCAN abc
        (error) ERR invalid cursor
        > SCAN 0 COUNT 0
        (error) ERR syntax error
        > SCAN 0 COUNT x
        (error) ERR value is not an integer or out of range
        > SCAN 0 nonsense 1
        (error) ERR syntax error
        > SCAN 0 MATCH
        (error) ERR syntax error
        "#,
    );
}

#[test]
fn a_whole_scan_finds_every_key() {
    let subject = Subject::start();
    let mut client = subject.resp();
    for at in 0..1000 {
        client.call(&["SET", &format!("key:{at}"), "v"]);
    }
    let mut found = std::collections::BTreeSet::new();
    let mut cursor = b"0".to_vec();
    loop {
        let reply = client.call(&[&b"SCAN"[..], &cursor, b"COUNT", b"7"]);
        let [next, batch] = reply.elements() else {
            panic!("{reply:?}")
        };
        found.extend(
            batch
                .elements()
                .iter()
                .filter_map(|key| key.text())
                .map(<[u8]>::to_vec),
        );
        cursor = next.text().expect("a cursor").to_vec();
        if cursor == b"0" {
            break;
        }
    }
    assert_eq!(found.len(), 1000);
}

#[test]
fn databases_are_apart() {
    check(
        r#"
        > SET k zero
        OK
        > SELECT 1
        OK
        > GET k
        (nil)
        > SET k one
        OK
        > SWAPDB 0 1
        OK
        > GET k
        "zero"
        > SELECT 0
        OK
        > GET k
        "one"
        > SWAPDB 0 16
        (error) ERR DB index is out of range
        > SWAPDB a 1
        (error) ERR invalid first DB index
        > SWAPDB 0 b
        (error) ERR invalid second DB index
        > FLUSHDB
        OK
        > EXISTS k
        (integer) 0
        > SELECT 1
        OK
        > GET k
        "zero"
        > FLUSHALL
        OK
        > DBSIZE
        (integer) 0
        > SELECT 16
        (error) ERR DB index is out of range
        > SELECT -1
        (error) ERR DB index is out of range
        > SELECT abc
        (error) ERR value is not an integer or out of range
        > FLUSHALL ASYNC
        OK
        > FLUSHDB SYNC
        OK
        > FLUSHDB nonsense
        (error) ERR syntax error
        "#,
    );
}

#[test]
fn object_tells_about_a_value() {
    check(
        r#"
        > SET k v
        OK
        > OBJECT ENCODING k
        "embstr"
        > OBJECT REFCOUNT k
        (integer) 1
        > OBJECT IDLETIME k
        (integer) 0
        > OBJECT FREQ k
        (error) ERR An LFU maxmemory policy is not selected, …
        > OBJECT ENCODING none
        (nil)
        > OBJECT IDLETIME none
        (nil)
        > OBJECT nonsense k
        (error) ERR unknown subcommand 'nonsense'. Try OBJECT HELP.
        > OBJECT ENCODING
        (error) ERR wrong number of arguments for 'object|encoding' command
        > OBJECT
        (error) ERR wrong number of arguments for 'object' command
        > MEMORY USAGE none
        (nil)
        > MEMORY USAGE k SAMPLES -1
        (error) ERR syntax error
        > MEMORY USAGE k SAMPLES x
        (error) ERR value is not an integer or out of range
        > MEMORY nonsense
        (error) ERR unknown subcommand 'nonsense'. Try MEMORY HELP.
        "#,
    );
}
