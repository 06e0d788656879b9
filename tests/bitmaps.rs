//! Strings seen as bits: SETBIT, BITOP, BITFIELD and their kin.

use tests::check;

#[test]
fn single_bits() {
    check(
        r#"
        > SETBIT k 7 1
        (integer) 0
        > GETBIT k 7
        (integer) 1
        > GETBIT k 6
        (integer) 0
        > GETBIT k 800
        (integer) 0
        > GETBIT absent 0
        (integer) 0
        > SETBIT k 7 0
        (integer) 1
        > STRLEN k
        (integer) 1
        > SETBIT k 100 1
        (integer) 0
        > STRLEN k
        (integer) 13
        > SETBIT k -1 1
        (error) ERR bit offset is not an integer or out of range
        > SETBIT k 4294967296 1
        (error) ERR bit offset is not an integer or out of range
        > SETBIT k 0 2
        (error) ERR bit is not an integer or out of range
        > GETBIT k one
        (error) ERR bit offset is not an integer or out of range
        > SADD s member
        (integer) 1
        > SETBIT s 0 1
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
        > GETBIT s 0
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
        "#,
    );
}

#[test]
fn bitcount() {
    check(
        r#"
        > SET k foobar
        OK
        > BITCOUNT k
        (integer) 26
        > BITCOUNT k 0 0
        (integer) 4
        > BITCOUNT k 1 -1 BYTE
        (integer) 22
        > BITCOUNT k 5 30 BIT
        (integer) 17
        > BITCOUNT k -2 -3
        (integer) 0
        > BITCOUNT absent
        (integer) 0
        > BITCOUNT k 0
        (error) ERR syntax error
        > BITCOUNT k 0 1 WORD
        (error) ERR syntax error
        > BITCOUNT k 0 one
        (error) ERR value is not an integer or out of range
        "#,
    );
}

#[test]
fn bitpos() {
    check(
        r#"
        > SETBIT k 12 1
        (integer) 0
        > BITPOS k 1
        (integer) 12
        > BITPOS k 0
        (integer) 0
        > BITPOS k 1 2
        (integer) -1
        > BITPOS k 1 0 12 BIT
        (integer) 12
        > BITPOS k 1 0 11 BIT
        (integer) -1
        > SETRANGE full 0 "\xff\xff"
        (integer) 2
        > BITPOS full 0
        (integer) 16
        > BITPOS full 0 0 -1
        (integer) -1
        > BITPOS full 0 5
        (integer) -1
        > BITPOS absent 0
        (integer) 0
        > BITPOS absent 1
        (integer) -1
        > BITPOS k 2
        (error) ERR The bit argument must be 1 or 0.
        > BITPOS k 1 0 1 WORD
        (error) ERR syntax error
        "#,
    );
}

#[test]
fn bitop() {
    check(
        r#"
        > SET a "\x0f\x0f\x0f"
        OK
        > SET b "\x3c\x3c"
        OK
        > BITOP AND and a b
        (integer) 3
        > BITOP OR or a b
        (integer) 3
        > BITOP XOR xor a b absent
        (integer) 3
        > BITOP NOT not a
        (integer) 3
        > MGET and or xor not
        1) "\x0c\x0c\x00"
        2) "??\x0f"
        3) "33\x0f"
        4) "\xf0\xf0\xf0"
        > BITOP AND and absent
        (integer) 0
        > EXISTS and
        (integer) 0
        > BITOP NOT d a b
        (error) ERR BITOP NOT must be called with a single source key.
        > BITOP NOR d a b
        (error) ERR syntax error
        > SADD s member
        (integer) 1
        > BITOP OR d a s
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
        "#,
    );
}

#[test]
fn bitfields() {
    check(
        r#"
        > BITFIELD k SET u8 0 200 GET u8 0 GET i8 0
        1) (integer) 0
        2) (integer) 200
        3) (integer) -56
        > BITFIELD k INCRBY u8 0 100
        1) (integer) 44
        > BITFIELD k OVERFLOW SAT INCRBY u8 0 250 OVERFLOW FAIL INCRBY u8 0 1 SET i4 #3 -1
        1) (integer) 255
        2) (nil)
        3) (integer) 0
        > BITFIELD k GET u16 #0
        1) (integer) 65295
        > STRLEN k
        (integer) 2
        > BITFIELD absent GET i64 100
        1) (integer) 0
        > EXISTS absent
        (integer) 0
        > BITFIELD k
        (empty array)
        > BITFIELD_RO k GET u4 4
        1) (integer) 15
        > BITFIELD_RO k SET u4 4 1
        (error) ERR BITFIELD_RO only supports the GET subcommand
        > BITFIELD k GET u64 0
        (error) ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.
        > BITFIELD k GET i8 -1
        (error) ERR bit offset is not an integer or out of range
        > BITFIELD k OVERFLOW SOMEHOW
        (error) ERR Invalid OVERFLOW type specified
        > BITFIELD k SET u8 0
        (error) ERR syntax error
        "#,
    );
}
