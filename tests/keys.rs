//! Keys of any type: DEL, RENAME, COPY, EXPIRE, SCAN, OBJECT and their kin.

use tests::check;

#[test]
fn counting_and_removing() {
    check(
        r#"
        > MSET a 1 b 2 c 3
        OK
        > EXISTS a b a absent
        (integer) 3
        > TOUCH a absent c
        (integer) 2
        > DEL a absent a
        (integer) 1
        > UNLINK b c b
        (integer) 2
        > EXISTS a b c
        (integer) 0
        > DEL
        (error) ERR wrong number of arguments for 'del' command
        "#,
    );
}

#[test]
fn every_key_has_a_type() {
    check(
        r#"
        > SET string v
        OK
        > SADD set member
        (integer) 1
        > HSET hash f v
        (integer) 1
        > TYPE string
        string
        > TYPE set
        set
        > TYPE hash
        hash
        > TYPE absent
        none
        "#,
    );
}

#[test]
fn a_key_changes_its_name() {
    check(
        r#"
        > MSET a 1 b 2
        OK
        > RENAME a b
        OK
        > MGET a b
        1) (nil)
        2) "1"
        > RENAME a b
        (error) ERR no such key
        > RENAME b b
        OK
        > RENAMENX b b
        (integer) 0
        > SET a 1
        OK
        > RENAMENX b a
        (integer) 0
        > RENAMENX b c
        (integer) 1
        > MGET a b c
        1) "1"
        2) (nil)
        3) "1"
        > RENAMENX b c
        (error) ERR no such key
        > SET k v PXAT 9999999999999
        OK
        > RENAME k moved
        OK
        > PEXPIRETIME moved
        (integer) 9999999999999
        "#,
    );
}

#[test]
fn a_copy_shares_nothing() {
    check(
        r#"
        > SET a 1 PXAT 9999999999999
        OK
        > COPY a b
        (integer) 1
        > PEXPIRETIME b
        (integer) 9999999999999
        > COPY a b
        (integer) 0
        > SET a 2
        OK
        > COPY a b REPLACE
        (integer) 1
        > GET b
        "2"
        > COPY a a
        (error) ERR source and destination objects are the same
        > COPY a a DB 1
        (integer) 1
        > COPY absent b
        (integer) 0
        > COPY a b DB 16
        (error) ERR DB index is out of range
        > COPY a b DB one
        (error) ERR value is not an integer or out of range
        > COPY a b DB
        (error) ERR syntax error
        > SADD s member
        (integer) 1
        > COPY s t
        (integer) 1
        > SADD t another
        (integer) 1
        > SCARD s
        (integer) 1
        > SCARD t
        (integer) 2
        "#,
    );
}

#[test]
fn a_key_moves_to_another_database() {
    check(
        r#"
        > SET a 1
        OK
        > MOVE a 1
        (integer) 1
        > EXISTS a
        (integer) 0
        > MOVE a 1
        (integer) 0
        > SET a 2
        OK
        > MOVE a 1
        (integer) 0
        > MOVE a 0
        (error) ERR source and destination objects are the same
        > MOVE a 16
        (error) ERR DB index is out of range
        > MOVE a one
        (error) ERR value is not an integer or out of range
        "#,
    );
}

#[test]
fn expiries_and_their_conditions() {
    check(
        r#"
        > SET k v
        OK
        > TTL k
        (integer) -1
        > TTL absent
        (integer) -2
        > EXPIRE k 100
        (integer) 1
        > TTL k
        (integer) 100
        > EXPIRE k 200 NX
        (integer) 0
        > EXPIRE k 50 GT
        (integer) 0
        > EXPIRE k 50 LT
        (integer) 1
        > EXPIRE k 100 XX
        (integer) 1
        > TTL k
        (integer) 100
        > PEXPIREAT k 9999999999999
        (integer) 1
        > PEXPIRETIME k
        (integer) 9999999999999
        > EXPIRETIME k
        (integer) 10000000000
        > PERSIST k
        (integer) 1
        > PERSIST k
        (integer) 0
        > EXPIRE k 100 XX
        (integer) 0
        > EXPIRE k 100 GT
        (integer) 0
        > EXPIREAT k 9999999999 LT
        (integer) 1
        > PEXPIRETIME k
        (integer) 9999999999000
        > PTTL absent
        (integer) -2
        > PEXPIRETIME absent
        (integer) -2
        > EXPIRE k 10 NX XX
        (error) ERR NX and XX, GT or LT options at the same time are not compatible
        > EXPIRE k 10 GT LT
        (error) ERR GT and LT options at the same time are not compatible
        > EXPIRE k 10 SOON
        (error) ERR Unsupported option SOON
        > EXPIRE k ten
        (error) ERR value is not an integer or out of range
        > EXPIRE k 9223372036854775807
        (error) ERR invalid expire time in 'expire' command
        > PEXPIRE k 9223372036854775807
        (error) ERR invalid expire time in 'pexpire' command
        > EXPIRE absent 10
        (integer) 0
        > EXPIRE k -1
        (integer) 1
        > EXISTS k
        (integer) 0
        "#,
    );
}

#[test]
fn keys_and_scan_find_all_keys() {
    check(
        r#"
        > MSET one 1 two 2 three 3
        OK
        ~> KEYS *
        1) "one"
        2) "three"
        3) "two"
        > KEYS t[^h]*
        1) "two"
        > KEYS ?n?
        1) "one"
        > KEYS nothing*
        (empty array)
        > SCAN 0 COUNT 100 MATCH one*
        1) "0"
        2) 1) "one"
        > SCAN 0 COUNT 100 MATCH *hr*
        1) "0"
        2) 1) "three"
        > SCAN 0 COUNT 100 TYPE set
        1) "0"
        2) (empty array)
        > SCAN zero
        (error) ERR invalid cursor
        > SCAN 0 COUNT 0
        (error) ERR syntax error
        > SCAN 0 COUNT many
        (error) ERR value is not an integer or out of range
        > SCAN 0 MATCH
        (error) ERR syntax error
        "#,
    );
}

#[test]
fn a_random_key() {
    check(
        r#"
        > RANDOMKEY
        (nil)
        > SET only v
        OK
        > RANDOMKEY
        "only"
        "#,
    );
}

#[test]
fn object_looks_inside() {
    check(
        r#"
        > SET n 12345
        OK
        > SET s text
        OK
        > OBJECT ENCODING n
        "int"
        > OBJECT ENCODING s
        "embstr"
        > APPEND s more
        (integer) 8
        > OBJECT ENCODING s
        "raw"
        > OBJECT ENCODING absent
        (nil)
        > OBJECT REFCOUNT s
        (integer) 1
        > OBJECT IDLETIME absent
        (nil)
        > OBJECT FREQ s
        (error) ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.
        > OBJECT NOTHING s
        (error) ERR unknown subcommand 'NOTHING'. Try OBJECT HELP.
        > OBJECT ENCODING
        (error) ERR wrong number of arguments for 'object|encoding' command
        "#,
    );
}
