//! Sets.

use tests::{check, check_resp3};

#[test]
fn members_come_and_go() {
    check(
        r#"
        > SADD s a b c a
        (integer) 3
        > SADD s a d
        (integer) 1
        > SCARD s
        (integer) 4
        ~> SMEMBERS s
        1) "a"
        2) "b"
        3) "c"
        4) "d"
        > SISMEMBER s a
        (integer) 1
        > SISMEMBER s none
        (integer) 0
        > SMISMEMBER s a none c
        1) (integer) 1
        2) (integer) 0
        3) (integer) 1
        > SMISMEMBER none a b
        1) (integer) 0
        2) (integer) 0
        > SREM s a none b
        (integer) 2
        > SREM s c d
        (integer) 2
        > EXISTS s
        (integer) 0
        > SCARD s
        (integer) 0
        > SMEMBERS s
        (empty array)
        > SREM s a
        (integer) 0
        > SADD s
        (error) ERR wrong number of arguments for 'sadd' command
        > SREM s
        (error) ERR wrong number of arguments for 'srem' command
        > SMISMEMBER s
        (error) ERR wrong number of arguments for 'smismember' command
        "#,
    );
    check_resp3(
        r#"
        > SADD s a
        (integer) 1
        > SMEMBERS s
        1~ "a"
        > SPOP s 1
        1~ "a"
        > SUNION s
        (empty set)
        "#,
    );
}

#[test]
fn integers_stay_sorted() {
    check(
        r#"
        > SADD s 3 1 2 -5
        (integer) 4
        > SMEMBERS s
        1) "-5"
        2) "1"
        3) "2"
        4) "3"
        > OBJECT ENCODING s
        "intset"
        > SADD s 01
        (integer) 1
        > OBJECT ENCODING s
        "listpack"
        > SADD big 9223372036854775807 -9223372036854775808
        (integer) 2
        > SMEMBERS big
        1) "-9223372036854775808"
        2) "9223372036854775807"
        > SADD big 9223372036854775808
        (integer) 1
        > OBJECT ENCODING big
        "listpack"
        "#,
    );
}

#[test]
fn smove_moves() {
    check(
        r#"
        > SADD a x y
        (integer) 2
        > SADD b z
        (integer) 1
        > SMOVE a b x
        (integer) 1
        > SMOVE a b none
        (integer) 0
        > SMOVE none b x
        (integer) 0
        > SMOVE a a y
        (integer) 1
        > SMOVE a a none
        (integer) 0
        > SMOVE a c y
        (integer) 1
        > EXISTS a
        (integer) 0
        ~> SMEMBERS b
        1) "z"
        2) "x"
        > SET k v
        OK
        > SMOVE b k x
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
        > SMOVE k b x
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
        > SMOVE none k x
        (integer) 0
        "#,
    );
}

#[test]
fn spop_and_srandmember_choose() {
    check(
        r#"
        > SPOP none
        (nil)
        > SPOP none 2
        (empty array)
        > SRANDMEMBER none
        (nil)
        > SRANDMEMBER none 2
        (empty array)
        > SADD s a
        (integer) 1
        > SRANDMEMBER s
        "a"
        > SRANDMEMBER s 5
        1) "a"
        > SRANDMEMBER s -3
        1) "a"
        2) "a"
        3) "a"
        > SRANDMEMBER s 0
        (empty array)
        > SRANDMEMBER s x
        (error) ERR value is not an integer or out of range
        > SRANDMEMBER s -9223372036854775808
        (error) ERR value is out of range, value must between -92233720368…
        > SPOP s 0
        (empty array)
        > SPOP s -1
        (error) ERR value is out of range, must be positive
        > SPOP s x
        (error) ERR value is out of range, must be positive
        > SPOP s 1 2
        (error) ERR syntax error
        > SPOP s
        "a"
        > EXISTS s
        (integer) 0
        > SADD s a b c
        (integer) 3
        ~> SPOP s 10
        1) "a"
        2) "b"
        3) "c"
        > EXISTS s
        (integer) 0
        "#,
    );
}

#[test]
fn algebra() {
    check(
        r#"
        > SADD a 1 2 3 4
        (integer) 4
        > SADD b 3 4 5
        (integer) 3
        > SADD c 4 x
        (integer) 2
        ~> SINTER a b
        1) "3"
        2) "4"
        > SINTER a b c
        1) "4"
        > SINTER a none
        (empty array)
        ~> SUNION a b c
        1) "1"
        2) "2"
        3) "3"
        4) "4"
        5) "5"
        6) "x"
        ~> SDIFF a b
        1) "1"
        2) "2"
        > SDIFF a b c a
        (empty array)
        > SDIFF none a
        (empty array)
        > SINTERSTORE d a b
        (integer) 2
        ~> SMEMBERS d
        1) "3"
        2) "4"
        > SUNIONSTORE d a c none
        (integer) 5
        ~> SMEMBERS d
        1) "1"
        2) "2"
        3) "3"
        4) "4"
        5) "x"
        > SDIFFSTORE a a b
        (integer) 2
        ~> SMEMBERS a
        1) "1"
        2) "2"
        > SINTERSTORE d a none
        (integer) 0
        > EXISTS d
        (integer) 0
        "#,
    );
}

#[test]
fn algebra_over_other_types() {
    check(
        r#"
        > SADD a 1 2
        (integer) 2
        > SADD b 3 4 5
        (integer) 3
        > SET k v
        OK
        > SUNIONSTORE k a b
        (integer) 5
        > TYPE k
        set
        "#,
    );
}

#[test]
fn algebra_of_what_is_no_set() {
    check(
        r#"
        > SADD a 1 2
        (integer) 2
        > SET k v
        OK
        > SINTER a k
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
        > SINTER none k
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
        > SUNION a k
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
        > SDIFF a k
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
        > SINTERSTORE d k
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
        > SUNION
        (error) ERR wrong number of arguments for 'sunion' command
        > SUNIONSTORE d
        (error) ERR wrong number of arguments for 'sunionstore' command
        "#,
    );
}

#[test]
fn sintercard_counts() {
    check(
        r#"
        > SADD a 1 2 3
        (integer) 3
        > SADD b 2 3 4
        (integer) 3
        > SINTERCARD 2 a b
        (integer) 2
        > SINTERCARD 2 a b LIMIT 1
        (integer) 1
        > SINTERCARD 2 a b LIMIT 0
        (integer) 2
        > SINTERCARD 2 a none
        (integer) 0
        > SINTERCARD 1 a
        (integer) 3
        > SINTERCARD 0 a
        (error) ERR numkeys should be greater than 0
        > SINTERCARD 3 a b
        (error) ERR Number of keys can't be greater than number of args
        > SINTERCARD x a
        (error) ERR numkeys should be greater than 0
        > SINTERCARD 2 a b LIMIT -1
        (error) ERR LIMIT can't be negative
        > SINTERCARD 2 a b LIMIT x
        (error) ERR LIMIT can't be negative
        > SINTERCARD 2 a b nonsense
        (error) ERR syntax error
        > SINTERCARD 1 a b
        (error) ERR syntax error
        > SET k v
        OK
        > SINTERCARD 2 a k
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
        "#,
    );
}

#[test]
fn sscan_walks() {
    check(
        r#"
        > SSCAN none 0
        1) "0"
        2) (empty array)
        > SADD s 1 2 3
        (integer) 3
        ~> SSCAN s 0
        1) "0"
        2) 1) "1"
           2) "2"
           3) "3"
        > SSCAN s 0 MATCH 2
        1) "0"
        2) 1) "2"
        > SSCAN s 0 COUNT 0
        (error) ERR syntax error
        > SSCAN s abc
        (error) ERR invalid cursor
        > SSCAN s 0 nonsense
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
        > SADD k a
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
        > SREM k a
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
        > SMEMBERS k
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
        > SISMEMBER k a
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
        > SMISMEMBER k a
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
        > SCARD k
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
        > SPOP k
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
        > SPOP k 1
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
        > SRANDMEMBER k
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
        > SRANDMEMBER k 1
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
        > SSCAN k 0
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
        "#,
    );
}

#[test]
fn encodings_are_those_of_redis() {
    check(
        r#"
        > SADD s 1
        (integer) 1
        > OBJECT ENCODING s
        "intset"
        > SADD s a
        (integer) 1
        > OBJECT ENCODING s
        "listpack"
        > SADD s 01234567890123456789012345678901234567890123456789012345678901234
        (integer) 1
        > OBJECT ENCODING s
        "hashtable"
        "#,
    );
}
