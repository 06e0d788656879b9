//! Strings: SET and GET and their kin.

use tests::{check, check_resp3};

#[test]
fn set_stores_and_get_reads() {
    check(
        r#"
        > GET k
        (nil)
        > SET k hello
        OK
        > GET k
        "hello"
        > SET k "a b\r\n\x00\xff"
        OK
        > GET k
        "a b\r\n\x00\xff"
        > STRLEN k
        (integer) 7
        > STRLEN none
        (integer) 0
        > SET k ""
        OK
        > GET k
        ""
        > GET
        (error) ERR wrong number of arguments for 'get' command
        > GET k k
        (error) ERR wrong number of arguments for 'get' command
        > SET k
        (error) ERR wrong number of arguments for 'set' command
        "#,
    );
}

#[test]
fn set_obeys_its_conditions() {
    check(
        r#"
        > SET k 1 XX
        (nil)
        > SET k 1 NX
        OK
        > SET k 2 NX
        (nil)
        > SET k 3 xx
        OK
        > GET k
        "3"
        > SET k 4 NX XX
        (error) ERR syntax error
        > SET k 5 NX GET
        "3"
        > SET none 5 NX GET
        (nil)
        > GET none
        "5"
        > SET k 6 XX GET
        "3"
        > SET k 7 GET
        "6"
        > SADD s a
        (integer) 1
        > SET s v GET
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
        > TYPE s
        set
        > SET s v NX
        (nil)
        > SET s v
        OK
        > TYPE s
        string
        > SET k v nonsense
        (error) ERR syntax error
        "#,
    );
}

#[test]
fn set_expires() {
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
        > SET k v KEEPTTL
        OK
        > TTL k
        (integer) 100
        > SET k v
        OK
        > TTL k
        (integer) -1
        > SET k v EXAT 4000000000
        OK
        > EXPIRETIME k
        (integer) 4000000000
        > SET k v PXAT 4000000000123
        OK
        > PEXPIRETIME k
        (integer) 4000000000123
        > SET k v EX 0
        (error) ERR invalid expire time in 'set' command
        > SET k v EX -1
        (error) ERR invalid expire time in 'set' command
        > SET k v PX abc
        (error) ERR value is not an integer or out of range
        > SET k v EX 9223372036854775807
        (error) ERR invalid expire time in 'set' command
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
        > SETEX k 0 v
        (error) ERR invalid expire time in 'setex' command
        > PSETEX k -5 v
        (error) ERR invalid expire time in 'psetex' command
        > SETEX k abc v
        (error) ERR value is not an integer or out of range
        > SETNX k w
        (integer) 0
        > SETNX n w
        (integer) 1
        > GET n
        "w"
        "#,
    );
}

#[test]
fn getex_changes_the_expiry() {
    check(
        r#"
        > GETEX k EX 100
        (nil)
        > SET k v
        OK
        > GETEX k
        "v"
        > TTL k
        (integer) -1
        > GETEX k EX 100
        "v"
        > TTL k
        (integer) 100
        > GETEX k PERSIST
        "v"
        > TTL k
        (integer) -1
        > GETEX k PXAT 4000000000123
        "v"
        > PEXPIRETIME k
        (integer) 4000000000123
        > GETEX k EXAT 4000000000
        "v"
        > EXPIRETIME k
        (integer) 4000000000
        > GETEX k PX 0
        (error) ERR invalid expire time in 'getex' command
        > GETEX k EX 10 PERSIST
        (error) ERR syntax error
        > GETEX k nonsense
        (error) ERR syntax error
        > SADD s a
        (integer) 1
        > GETEX s EX 10
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
        "#,
    );
}

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
        > SADD s a
        (integer) 1
        > GETDEL s
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
        > GETSET k 1
        (nil)
        > GETSET k 2
        "1"
        > GETSET s 2
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
        > GET k
        "2"
        "#,
    );
}

#[test]
fn counters_count() {
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
        > GET n
        "-9"
        > OBJECT ENCODING n
        "int"
        > SET n 9223372036854775807
        OK
        > INCR n
        (error) ERR increment or decrement would overflow
        > INCRBY n -1
        (integer) 9223372036854775806
        > SET n -9223372036854775808
        OK
        > DECR n
        (error) ERR increment or decrement would overflow
        > DECRBY n -9223372036854775808
        (error) ERR decrement would overflow
        > DECRBY z -9223372036854775808
        (error) ERR decrement would overflow
        > INCRBY n 9223372036854775808
        (error) ERR value is not an integer or out of range
        > INCRBY n 1.0
        (error) ERR value is not an integer or out of range
        > SET n " 1"
        OK
        > INCR n
        (error) ERR value is not an integer or out of range
        > SET n 1.5
        OK
        > INCR n
        (error) ERR value is not an integer or out of range
        > SET n ""
        OK
        > INCR n
        (error) ERR value is not an integer or out of range
        > SADD s a
        (integer) 1
        > INCR s
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
        > SET e 10 EX 100
        OK
        > INCR e
        (integer) 11
        > TTL e
        (integer) 100
        "#,
    );
}

#[test]
fn floats_count() {
    check(
        r#"
        > SET f 10.50
        OK
        > INCRBYFLOAT f 0.1
        "10.6"
        > INCRBYFLOAT f -5
        "5.6"
        > SET f 5.0e3
        OK
        > INCRBYFLOAT f 2.0e2
        "5200"
        > INCRBYFLOAT new 3
        "3"
        > INCRBYFLOAT f abc
        (error) ERR value is not a valid float
        > INCRBYFLOAT f inf
        (error) ERR increment would produce NaN or Infinity
        > INCRBYFLOAT f nan
        (error) ERR value is not a valid float
        > SET f abc
        OK
        > INCRBYFLOAT f 1
        (error) ERR value is not a valid float
        > SET f 1e308
        OK
        > INCRBYFLOAT f 1
        "999999999999999999…"
        > SADD s a
        (integer) 1
        > INCRBYFLOAT s 1
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
        > SET f 3.0e-2
        OK
        > INCRBYFLOAT f 0.000000000000001
        "0.030000000000001"
        "#,
    );
}

#[test]
fn several_keys_at_once() {
    check(
        r#"
        > MSET a 1 b 2 a 3
        OK
        > MGET a b none
        1) "3"
        2) "2"
        3) (nil)
        > MSETNX b 5 c 6
        (integer) 0
        > EXISTS c
        (integer) 0
        > MSETNX c 6 d 7
        (integer) 1
        > MGET c d
        1) "6"
        2) "7"
        > SADD s x
        (integer) 1
        > MGET a s
        1) "3"
        2) (nil)
        > MSET a
        (error) ERR wrong number of arguments for 'mset' command
        > MSET a 1 b
        (error) ERR wrong number of arguments for 'mset' command
        > MSETNX a 1 b
        (error) ERR wrong number of arguments for 'msetnx' command
        > MSET s over
        OK
        > TYPE s
        string
        "#,
    );
}

#[test]
fn parts_of_strings() {
    check(
        r#"
        > APPEND k Hello
        (integer) 5
        > APPEND k " World"
        (integer) 11
        > GETRANGE k 0 4
        "Hello"
        > GETRANGE k -5 -1
        "World"
        > GETRANGE k 0 -1
        "Hello World"
        > GETRANGE k 5 3
        ""
        > GETRANGE k -100 100
        "Hello World"
        > GETRANGE k a 1
        (error) ERR value is not an integer or out of range
        > SUBSTR k 0 1
        "He"
        > GETRANGE none 0 -1
        ""
        > SETRANGE k 6 Redis
        (integer) 11
        > GET k
        "Hello Redis"
        > SETRANGE p 3 x
        (integer) 4
        > GET p
        "\x00\x00\x00x"
        > SETRANGE p 0 ""
        (integer) 4
        > SETRANGE none 5 ""
        (integer) 0
        > EXISTS none
        (integer) 0
        > SETRANGE k -1 x
        (error) ERR offset is out of range
        > SETRANGE k 536870912 x
        (error) ERR string exceeds maximum allowed size (proto-max-bulk-len)
        > SETRANGE k 9223372036854775807 x
        (error) ERR string exceeds maximum allowed size (proto-max-bulk-len)
        > SADD s a
        (integer) 1
        > APPEND s x
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
        > SETRANGE s 0 x
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
        > GETRANGE s 0 1
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
        > STRLEN s
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
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
        > LCS a b LEN IDX
        (error) ERR If you want both the length and indexes, please just use IDX.
        > LCS a none
        ""
        > LCS a none LEN
        (integer) 0
        > LCS a none IDX
        1) "matches"
        2) (empty array)
        3) "len"
        4) (integer) 0
        > LCS a b nonsense
        (error) ERR syntax error
        > LCS a b MINMATCHLEN
        (error) ERR syntax error
        > SADD s a
        (integer) 1
        > LCS a s
        (error) ERR The specified keys must contain string values
        "#,
    );
}

#[test]
fn longest_common_subsequence_is_a_map_in_resp3() {
    check_resp3(
        r#"
        > MSET a ohmytext b mynewtext
        OK
        > LCS a b IDX MINMATCHLEN 4
        1# "matches" => 
           1) 1) 1) (integer) 4
                 2) (integer) 7
              2) 1) (integer) 5
                 2) (integer) 8
        2# "len" => (integer) 6
        > LCS a none IDX
        1# "matches" => (empty array)
        2# "len" => (integer) 0
        "#,
    );
}

#[test]
fn encodings_are_those_of_redis() {
    check(
        r#"
        > SET k 123
        OK
        > OBJECT ENCODING k
        "int"
        > SET k 0123
        OK
        > OBJECT ENCODING k
        "embstr"
        > SET k 01234567890123456789012345678901234567890123
        OK
        > OBJECT ENCODING k
        "embstr"
        > SET k 012345678901234567890123456789012345678901234
        OK
        > OBJECT ENCODING k
        "raw"
        > SET k short
        OK
        > APPEND k er
        (integer) 7
        > OBJECT ENCODING k
        "raw"
        > SET k 9223372036854775808
        OK
        > OBJECT ENCODING k
        "embstr"
        > SET k 10
        OK
        > INCRBYFLOAT k 1.5
        "11.5"
        > OBJECT ENCODING k
        "embstr"
        > INCRBYFLOAT k 0.5
        "12"
        > OBJECT ENCODING k
        "embstr"
        > COPY k copy
        (integer) 1
        > OBJECT ENCODING copy
        "embstr"
        > EXPIRE k 100
        (integer) 1
        > OBJECT ENCODING k
        "embstr"
        > INCR k
        (integer) 13
        > OBJECT ENCODING k
        "int"
        "#,
    );
}
