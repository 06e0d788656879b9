//! Hashes.

use tests::{check, check_resp3};

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
