//! Strings as bits.

use tests::check;

#[test]
fn single_bits() {
    check(
        r#"
        > SETBIT b 7 1
        (integer) 0
        > SETBIT b 7 0
        (integer) 1
        > GETBIT b 7
        (integer) 0
        > GETBIT b 100
        (integer) 0
        > GETBIT none 0
        (integer) 0
        > SETBIT b 20 1
        (integer) 0
        > STRLEN b
        (integer) 3
        > GET b
        "\x00\x00\b"
        > SETBIT b 4294967296 1
        (error) ERR bit offset is not an integer or out of range
        > SETBIT b -1 1
        (error) ERR bit offset is not an integer or out of range
        > SETBIT b abc 1
        (error) ERR bit offset is not an integer or out of range
        > SETBIT b 1 2
        (error) ERR bit is not an integer or out of range
        > GETBIT b 4294967296
        (error) ERR bit offset is not an integer or out of range
        > GETBIT b -1
        (error) ERR bit offset is not an integer or out of range
        > SADD s a
        (integer) 1
        > SETBIT s 1 1
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
        > GETBIT s 1
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
        > SET n 10
        OK
        > SETBIT n 6 0
        (integer) 0
        > GET n
        "10"
        "#,
    );
}

#[test]
fn bitcount_counts() {
    check(
        r#"
        > SET k foobar
        OK
        > BITCOUNT k
        (integer) 26
        > BITCOUNT k 0 0
        (integer) 4
        > BITCOUNT k 1 1
        (integer) 6
        > BITCOUNT k -2 -1
        (integer) 7
        > BITCOUNT k 1 1 BYTE
        (integer) 6
        > BITCOUNT k 5 30 BIT
        (integer) 17
        > BITCOUNT k 3 1
        (integer) 0
        > BITCOUNT none
        (integer) 0
        > BITCOUNT none 0 -1
        (integer) 0
        > BITCOUNT none 0
        (integer) 0
        > BITCOUNT k 0
        (error) ERR syntax error
        > BITCOUNT k 0 1 nonsense
        (error) ERR syntax error
        > BITCOUNT k a b
        (error) ERR value is not an integer or out of range
        > SADD s a
        (integer) 1
        > BITCOUNT s
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
        "#,
    );
}

#[test]
fn bitpos_finds() {
    check(
        r#"
        > SET k "\xff\xf0\x00"
        OK
        > BITPOS k 0
        (integer) 12
        > BITPOS k 1
        (integer) 0
        > BITPOS k 1 2
        (integer) -1
        > BITPOS k 0 0 0
        (integer) -1
        > BITPOS k 1 2 -1
        (integer) -1
        > BITPOS k 0 5 14 BIT
        (integer) 12
        > BITPOS k 1 -8 -1 BIT
        (integer) -1
        > SET f "\xff\xff"
        OK
        > BITPOS f 0
        (integer) 16
        > BITPOS f 0 0 -1
        (integer) -1
        > BITPOS none 0
        (integer) 0
        > BITPOS none 1
        (integer) -1
        > BITPOS k 2
        (error) ERR The bit argument must be 1 or 0.
        > BITPOS k x
        (error) ERR value is not an integer or out of range
        > BITPOS k 0 x
        (error) ERR value is not an integer or out of range
        > BITPOS k 0 0 1 nonsense
        (error) ERR syntax error
        > SADD s a
        (integer) 1
        > BITPOS s 0
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
        "#,
    );
}

#[test]
fn bitop_combines() {
    check(
        r#"
        > MSET a "\xf0\xff" b "\x3c"
        OK
        > BITOP AND d a b
        (integer) 2
        > GET d
        "0\x00"
        > BITOP OR d a b
        (integer) 2
        > GET d
        "\xfc\xff"
        > BITOP xor d a b
        (integer) 2
        > GET d
        "\xcc\xff"
        > BITOP NOT d a
        (integer) 2
        > GET d
        "\x0f\x00"
        > BITOP AND d a none
        (integer) 2
        > GET d
        "\x00\x00"
        > BITOP OR d none nope
        (integer) 0
        > EXISTS d
        (integer) 0
        > BITOP NOT d a b
        (error) ERR BITOP NOT must be called with a single source key.
        > BITOP NAND d a b
        (error) ERR syntax error
        > SADD s x
        (integer) 1
        > BITOP OR d a s
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
        > BITOP OR s a b
        (integer) 2
        > TYPE s
        string
        > BITOP AND d
        (error) ERR wrong number of arguments for 'bitop' command
        "#,
    );
}

#[test]
fn bitfield_reads_writes_and_counts() {
    check(
        r#"
        > BITFIELD k INCRBY i5 100 1 GET u4 0
        1) (integer) 1
        2) (integer) 0
        > BITFIELD k SET i8 #0 100 SET i8 #1 200 GET i8 #1
        1) (integer) 0
        2) (integer) 0
        3) (integer) -56
        > BITFIELD k INCRBY u2 100 3 OVERFLOW SAT INCRBY u2 102 3
        1) (integer) 3
        2) (integer) 3
        > BITFIELD k OVERFLOW SAT INCRBY u2 102 3 OVERFLOW FAIL INCRBY u2 102 1
        1) (integer) 3
        2) (nil)
        > BITFIELD k OVERFLOW WRAP INCRBY u2 102 1
        1) (integer) 0
        > BITFIELD k SET i64 0 -9223372036854775808 OVERFLOW SAT INCRBY i64 0 -1
        1) (integer) 7262054399134924800
        2) (integer) -9223372036854775808
        > BITFIELD k GET u63 1 GET i64 0
        1) (integer) 0
        2) (integer) -9223372036854775808
        > BITFIELD k GET u64 0
        (error) ERR Invalid bitfield type. Use something like i16 u8. Note …
        > BITFIELD k GET i65 0
        (error) ERR Invalid bitfield type. Use something like i16 u8. Note …
        > BITFIELD k GET x8 0
        (error) ERR Invalid bitfield type. Use something like i16 u8. Note …
        > BITFIELD k GET u8 -1
        (error) ERR bit offset is not an integer or out of range
        > BITFIELD k GET u8 #x
        (error) ERR bit offset is not an integer or out of range
        > BITFIELD k OVERFLOW nonsense
        (error) ERR Invalid OVERFLOW type specified
        > BITFIELD k SET u8 0 x
        (error) ERR value is not an integer or out of range
        > BITFIELD k nonsense
        (error) ERR syntax error
        > BITFIELD k GET u8
        (error) ERR syntax error
        > BITFIELD none GET u8 0
        1) (integer) 0
        > EXISTS none
        (integer) 0
        > BITFIELD k
        (empty array)
        > BITFIELD_RO k GET u8 0 GET i4 4
        1) (integer) 128
        2) (integer) 0
        > BITFIELD_RO k SET u8 0 1
        (error) ERR BITFIELD_RO only supports the GET subcommand
        > SADD s a
        (integer) 1
        > BITFIELD s GET u8 0
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
        "#,
    );
}
