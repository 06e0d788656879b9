//! Strings: SET and GET and their kin.

use tests::check;

#[test]
fn getdel_removes_what_it_returns() {
    check(
        r#"
        > SET k v
        OK
        > GETDEL k
        "v"
        > EXISTS k
        (integer) 0
        > GETDEL k
        (nil)
        "#,
    );
}

#[test]
fn set_has_conditions() {
    check(
        r#"
        > SET k one NX
        OK
        > SET k two NX
        (nil)
        > GET k
        "one"
        > SET k three XX
        OK
        > SET absent v XX
        (nil)
        > SET k four GET
        "three"
        > SET absent v GET
        (nil)
        > GET absent
        "v"
        > SET k five NX GET
        "four"
        > GET k
        "four"
        > SET k v NX XX
        (error) ERR syntax error
        > SETNX k v
        (integer) 0
        > SETNX fresh v
        (integer) 1
        "#,
    );
}

#[test]
fn set_has_expiries() {
    check(
        r#"
        > SET k v EX 100
        OK
        > TTL k
        (integer) 100
        > SET k v PX 100000
        OK
        > TTL k
        (integer) 100
        > SET k v PXAT 9999999999999
        OK
        > PEXPIRETIME k
        (integer) 9999999999999
        > SET k w KEEPTTL
        OK
        > PEXPIRETIME k
        (integer) 9999999999999
        > SET k v EXAT 9999999999
        OK
        > PEXPIRETIME k
        (integer) 9999999999000
        > SET k v
        OK
        > TTL k
        (integer) -1
        > SET k v EXAT 1
        OK
        > EXISTS k
        (integer) 0
        > SET k v EX 0
        (error) ERR invalid expire time in 'set' command
        > SET k v EX ten
        (error) ERR value is not an integer or out of range
        > SET k v EX
        (error) ERR syntax error
        > SET k v EX 10 PX 10
        (error) ERR syntax error
        > SET k v EX 10 KEEPTTL
        (error) ERR syntax error
        > SETEX k 100 v
        OK
        > TTL k
        (integer) 100
        > PSETEX k 100000 v
        OK
        > TTL k
        (integer) 100
        > SETEX k -1 v
        (error) ERR invalid expire time in 'setex' command
        > PSETEX k 0 v
        (error) ERR invalid expire time in 'psetex' command
        "#,
    );
}

#[test]
fn getex_changes_the_expiry() {
    check(
        r#"
        > SET k v
        OK
        > GETEX k EX 100
        "v"
        > TTL k
        (integer) 100
        > GETEX k
        "v"
        > TTL k
        (integer) 100
        > GETEX k PXAT 9999999999999
        "v"
        > PEXPIRETIME k
        (integer) 9999999999999
        > GETEX k PERSIST
        "v"
        > TTL k
        (integer) -1
        > GETEX k EX 10 PERSIST
        (error) ERR syntax error
        > GETEX k KEEPTTL
        (error) ERR syntax error
        > GETEX k EX 0
        (error) ERR invalid expire time in 'getex' command
        > GETEX absent EX 0
        (nil)
        > GETEX k EXAT 1
        "v"
        > EXISTS k
        (integer) 0
        "#,
    );
}

#[test]
fn several_keys_at_once() {
    check(
        r#"
        > MSET a 1 b 2 a 3
        OK
        > MGET a b absent
        1) "3"
        2) "2"
        3) (nil)
        > SADD s member
        (integer) 1
        > MGET a s
        1) "3"
        2) (nil)
        > MSETNX c 4 a 5
        (integer) 0
        > EXISTS c
        (integer) 0
        > MSETNX c 4 d 5
        (integer) 1
        > MGET c d
        1) "4"
        2) "5"
        > MSET a
        (error) ERR wrong number of arguments for 'mset' command
        > MSET a 1 b
        (error) ERR wrong number of arguments for 'mset' command
        > MSETNX a 1 b
        (error) ERR wrong number of arguments for 'msetnx' command
        "#,
    );
}

#[test]
fn append_and_ranges() {
    check(
        r#"
        > APPEND k Hello
        (integer) 5
        > APPEND k " World"
        (integer) 11
        > STRLEN k
        (integer) 11
        > STRLEN absent
        (integer) 0
        > GETRANGE k 0 4
        "Hello"
        > GETRANGE k -5 -1
        "World"
        > GETRANGE k 5 2
        ""
        > SUBSTR k 0 -7
        "Hello"
        > GETRANGE absent 0 -1
        ""
        > SETRANGE k 6 Redis
        (integer) 11
        > GET k
        "Hello Redis"
        > SETRANGE fresh 3 x
        (integer) 4
        > GET fresh
        "\x00\x00\x00x"
        > SETRANGE absent 3 ""
        (integer) 0
        > EXISTS absent
        (integer) 0
        > SETRANGE k -1 x
        (error) ERR offset is out of range
        > SETRANGE k 536870912 x
        (error) ERR string exceeds maximum allowed size (proto-max-bulk-len)
        > GETSET k new
        "Hello Redis"
        > GETSET other new
        (nil)
        > GET k
        "new"
        "#,
    );
}

#[test]
fn numbers_are_strings() {
    check(
        r#"
        > INCR n
        (integer) 1
        > INCRBY n 41
        (integer) 42
        > DECR n
        (integer) 41
        > DECRBY n 50
        (integer) -9
        > SET n 9223372036854775807
        OK
        > INCR n
        (error) ERR increment or decrement would overflow
        > DECRBY n -1
        (error) ERR increment or decrement would overflow
        > DECRBY n -9223372036854775808
        (error) ERR decrement would overflow
        > SET n 007
        OK
        > INCR n
        (error) ERR value is not an integer or out of range
        > INCRBY n one
        (error) ERR value is not an integer or out of range
        > INCRBYFLOAT f 3.0e3
        "3000"
        > INCRBYFLOAT f 0.1
        "3000.10000000000000009"
        > INCRBYFLOAT f -3000.1
        "0"
        > INCRBYFLOAT f inf
        (error) ERR increment would produce NaN or Infinity
        > INCRBYFLOAT f none
        (error) ERR value is not a valid float
        > SET f text
        OK
        > INCRBYFLOAT f 1
        (error) ERR value is not a valid float
        "#,
    );
}

#[test]
fn longest_common_subsequence() {
    check(
        r#"
        > MSET a ohmytext b mynewtext
        OK
        > LCS a b
        "mytext"
        > LCS a b LEN
        (integer) 6
        > LCS a b IDX
        1) "matches"
        2) 1) 1) 1) (integer) 4
                 2) (integer) 7
              2) 1) (integer) 5
                 2) (integer) 8
           2) 1) 1) (integer) 2
                 2) (integer) 3
              2) 1) (integer) 0
                 2) (integer) 1
        3) "len"
        4) (integer) 6
        > LCS a b IDX MINMATCHLEN 4 WITHMATCHLEN
        1) "matches"
        2) 1) 1) 1) (integer) 4
                 2) (integer) 7
              2) 1) (integer) 5
                 2) (integer) 8
              3) (integer) 4
        3) "len"
        4) (integer) 6
        > LCS a absent
        ""
        > LCS a b LEN IDX
        (error) ERR If you want both the length and indexes, please just use IDX.
        > LCS a b MINMATCHLEN
        (error) ERR syntax error
        > SADD s member
        (integer) 1
        > LCS a s
        (error) ERR The specified keys must contain string values
        "#,
    );
}

#[test]
fn strings_only() {
    check(
        r#"
        > SADD s member
        (integer) 1
        > GET s
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
        > SET s v GET
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
        > GETDEL s
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
        > GETEX s
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
        > GETSET s v
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
        > APPEND s v
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
        > STRLEN s
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
        > INCR s
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
        > INCRBYFLOAT s none
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
        > GETRANGE s 0 1
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
        > SETRANGE s 0 ""
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
        > SET s v
        OK
        > GET s
        "v"
        "#,
    );
}
