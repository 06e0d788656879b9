//! Hashes.

use std::thread;

use fastrand::Rng;
use tests::random::{budget, seed};
use tests::resp::{Reply, RespClient, encode};
use tests::{Subject, check, check_resp3};

#[test]
fn fields_are_set_read_and_removed() {
    check(
        r#"
        > HSET h a 1 b 2
        (integer) 2
        > HSET h a 3 c 4 c 5
        (integer) 1
        > HGET h a
        "3"
        > HGET h none
        (nil)
        > HGET none a
        (nil)
        > HMGET h a none c
        1) "3"
        2) (nil)
        3) "5"
        > HMGET none a
        1) (nil)
        > HLEN h
        (integer) 3
        > HSTRLEN h a
        (integer) 1
        > HSTRLEN h none
        (integer) 0
        > HEXISTS h a
        (integer) 1
        > HEXISTS h none
        (integer) 0
        > HSETNX h a 9
        (integer) 0
        > HSETNX h d 9
        (integer) 1
        > HMSET h e 6 f 7
        OK
        ~> HKEYS h
        1) "a"
        2) "b"
        3) "c"
        4) "d"
        5) "e"
        6) "f"
        ~> HVALS h
        1) "3"
        2) "2"
        3) "5"
        4) "9"
        5) "6"
        6) "7"
        > HDEL h a b none a
        (integer) 2
        > HDEL h c d e f
        (integer) 4
        > EXISTS h
        (integer) 0
        > HDEL h a
        (integer) 0
        > HSET h a
        (error) ERR wrong number of arguments for 'hset' command
        > HSET h a 1 b
        (error) ERR wrong number of arguments for 'hset' command
        > HMSET h a 1 b
        (error) ERR wrong number of arguments for 'hmset' command
        "#,
    );
}

#[test]
fn hgetall_gives_pairs() {
    check(
        r#"
        > HGETALL none
        (empty array)
        > HSET h field value
        (integer) 1
        > HGETALL h
        1) "field"
        2) "value"
        "#,
    );
    check_resp3(
        r#"
        > HGETALL none
        (empty hash)
        > HSET h field value
        (integer) 1
        > HGETALL h
        1# "field" => "value"
        > HKEYS h
        1) "field"
        > HRANDFIELD h 1 WITHVALUES
        1) 1) "field"
           2) "value"
        "#,
    );
}

#[test]
fn fields_count() {
    check(
        r#"
        > HINCRBY h n 5
        (integer) 5
        > HINCRBY h n -7
        (integer) -2
        > HSET h max 9223372036854775807 s abc f 1.5
        (integer) 3
        > HINCRBY h max 1
        (error) ERR increment or decrement would overflow
        > HINCRBY h s 1
        (error) ERR hash value is not an integer
        > HINCRBY h f 1
        (error) ERR hash value is not an integer
        > HINCRBY h n 1.5
        (error) ERR value is not an integer or out of range
        > HINCRBY h n 9223372036854775808
        (error) ERR value is not an integer or out of range
        > HINCRBYFLOAT h n 0.5
        "-1.5"
        > HINCRBYFLOAT h f -1e2
        "-98.5"
        > HINCRBYFLOAT h s 1
        (error) ERR hash value is not a float
        > HINCRBYFLOAT h n abc
        (error) ERR value is not a valid float
        > HINCRBYFLOAT h n inf
        (error) ERR value is NaN or Infinity
        > HGET h n
        "-1.5"
        > EXPIRE h 100
        (integer) 1
        > HINCRBY h max -1
        (integer) 9223372036854775806
        > TTL h
        (integer) 100
        "#,
    );
}

#[test]
fn hrandfield_chooses() {
    check(
        r#"
        > HRANDFIELD none
        (nil)
        > HRANDFIELD none 3
        (empty array)
        > HSET h a 1
        (integer) 1
        > HRANDFIELD h
        "a"
        > HRANDFIELD h 5
        1) "a"
        > HRANDFIELD h -3
        1) "a"
        2) "a"
        3) "a"
        > HRANDFIELD h 0
        (empty array)
        > HRANDFIELD h x
        (error) ERR value is not an integer or out of range
        > HRANDFIELD h 1 nonsense
        (error) ERR syntax error
        > HRANDFIELD h -9223372036854775808
        (error) ERR value is out of range, value must between -92233720368…
        > HRANDFIELD h 9223372036854775807 WITHVALUES
        (error) ERR value is out of range
        "#,
    );
}

#[test]
fn hscan_walks() {
    check(
        r#"
        > HSCAN none 0
        1) "0"
        2) (empty array)
        > HSET h a 1
        (integer) 1
        > HSCAN h 0
        1) "0"
        2) 1) "a"
           2) "1"
        > HSCAN h 0 MATCH b* COUNT 10
        1) "0"
        2) (empty array)
        > HSCAN h 0 COUNT 0
        (error) ERR syntax error
        > HSCAN h abc
        (error) ERR invalid cursor
        > HSCAN h 0 nonsense
        (error) ERR syntax error
        "#,
    );
}

#[test]
fn other_types_are_refused() {
    check(
        r#"
        > SET k v
        OK
        > HSET k f v
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
        > HGET k f
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
        > HMGET k f
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
        > HGETALL k
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
        > HKEYS k
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
        > HVALS k
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
        > HDEL k f
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
        > HLEN k
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
        > HSTRLEN k f
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
        > HEXISTS k f
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
        > HSETNX k f v
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
        > HINCRBY k f 1
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
        > HINCRBYFLOAT k f 1
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
        > HRANDFIELD k
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
        > HSCAN k 0
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
        "#,
    );
}

#[test]
fn encodings_are_those_of_redis() {
    check(
        r#"
        > HSET h f v
        (integer) 1
        > OBJECT ENCODING h
        "listpack"
        > HSET h f 0123456789012345678901234567890123456789012345678901234567890123
        (integer) 0
        > OBJECT ENCODING h
        "listpack"
        > HSET h f 01234567890123456789012345678901234567890123456789012345678901234
        (integer) 0
        > OBJECT ENCODING h
        "hashtable"
        "#,
    );
}

/// A random command that edits the hash or set of one of two keys, or looks at it.
fn edit(random: &mut Rng) -> Vec<String> {
    let key = ["a", "b"][usize::from(random.u8(..8) == 0)];
    let fields = if random.bool() { 4 } else { 40 };
    let mut field = || format!("field:{}", random.usize(..fields));
    let (first, second) = (field(), field());
    let text = "v".repeat([1, 40, 300, 700][random.usize(..4)]);
    let number = random.i64(-5..5).to_string();
    let words: &[&str] = match random.u8(..20) {
        0..6 => &["HSET", key, &first, &text],
        6 => &["HSET", key, &first, &number, &second, &text],
        7 => &["HSET", key, &first],
        8 => &["HSETNX", key, &first, &number],
        9 => &["HMSET", key, &first, &number],
        10..12 => &["HINCRBY", key, &first, &number],
        12 => &["HINCRBYFLOAT", key, &first, "0.5"],
        13..16 => &["HDEL", key, &first, &second],
        16 => &["HDEL", key, "field:0", "field:1", "field:2", "field:3"],
        17 => &["SADD", key, &first],
        18 => &["PEXPIRE", key, "100000000"],
        _ => &[["HGETALL", "PERSIST", "DEL"][random.usize(..3)], key],
    };
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// What is sent together is answered as what is sent one by one.
#[test]
fn edits_in_a_row_are_as_if_each_was_alone() {
    let subject = Subject::start();
    let seed = seed();
    let mut random = Rng::with_seed(seed);
    let (mut together, mut alone) = (subject.resp(), subject.resp());
    alone.call(&["SELECT", "1"]);
    for round in 0..budget("MAYFLY_RUN_ROUNDS", 300) {
        let commands: Vec<_> = (0..random.usize(2..100))
            .map(|_| edit(&mut random))
            .collect();
        let mut bytes = Vec::new();
        commands.iter().for_each(|words| encode(words, &mut bytes));
        together.send_raw(&bytes);
        for words in &commands {
            alone.send(words);
            let expected = alone.receive();
            let answer = together.receive();
            let is_same = match words[0].as_str() {
                "HGETALL" => answer.raw.len() == expected.raw.len(),
                _ => answer.raw == expected.raw,
            };
            assert!(
                is_same,
                "MAYFLY_TEST_SEED={seed}, round {round}, {words:?}: {answer:?}"
            );
        }
        for key in ["a", "b"] {
            for command in [
                &["OBJECT", "ENCODING", key][..],
                &["TYPE", key],
                &["HLEN", key],
            ] {
                assert_eq!(together.call(command), alone.call(command), "{command:?}");
            }
            // They need not have been told in the same second.
            let is_to_expire = |client: &mut RespClient| {
                let Reply::Integer(at_s) = client.call(&["EXPIRETIME", key]) else {
                    panic!("EXPIRETIME answers a number")
                };
                // -2: there is no key; -1: it stays.
                at_s.min(0)
            };
            let [one, other] = [&mut together, &mut alone].map(is_to_expire);
            assert_eq!(one, other, "MAYFLY_TEST_SEED={seed}, round {round}");
            let [one, other] = [&mut together, &mut alone].map(|client| {
                let Reply::Array(words) = client.call(&["HGETALL", key]) else {
                    return Vec::new();
                };
                let mut pairs: Vec<_> = words.chunks(2).map(|pair| format!("{pair:?}")).collect();
                pairs.sort();
                pairs
            });
            assert_eq!(one, other, "MAYFLY_TEST_SEED={seed}, round {round}");
        }
    }
}

/// Clients on several threads who change one hash in long pipelines lose nothing.
#[test]
fn edits_in_a_row_by_several_clients_all_count() {
    const CLIENTS: usize = 4;
    const EDITS: usize = 64;
    let subject = Subject::start();
    let rounds = budget("MAYFLY_RUN_ROUNDS", 300);
    let sums = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let mut client = subject.resp();
                scope.spawn(move || {
                    let mut sums = Vec::new();
                    for round in 0..rounds {
                        let mut bytes = Vec::new();
                        for edit in 0..EDITS {
                            let field = format!("{number}:{edit}");
                            encode(&["HINCRBY", "h", "sum", "1"], &mut bytes);
                            encode(&["HSET", "h", &field, &round.to_string()], &mut bytes);
                        }
                        client.send_raw(&bytes);
                        for _ in 0..EDITS {
                            sums.push(client.receive().raw);
                            let is_new = if round == 0 { b":1\r\n" } else { b":0\r\n" };
                            assert_eq!(client.receive().raw, is_new);
                        }
                    }
                    sums
                })
            })
            .collect();
        let sums = clients
            .into_iter()
            .map(|client| client.join().expect("no panic"));
        sums.collect::<Vec<_>>()
    });
    let number = |raw: &Vec<u8>| -> usize {
        let text = String::from_utf8_lossy(raw);
        text.trim_start_matches(':')
            .trim_end()
            .parse()
            .expect("a sum")
    };
    let mut all = Vec::new();
    for sums in sums {
        let sums: Vec<usize> = sums.iter().map(number).collect();
        assert!(sums.is_sorted(), "a client's own edits are in order");
        all.extend(sums);
    }
    all.sort_unstable();
    let expected: Vec<usize> = (1..=CLIENTS * EDITS * rounds).collect();
    assert!(all == expected, "each sum once");
    let mut client = subject.resp();
    for number in 0..CLIENTS {
        let value = client.call(&["HGET", "h", &format!("{number}:0")]);
        assert_eq!(value.text(), Some((rounds - 1).to_string().as_bytes()));
    }
}
