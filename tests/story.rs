//! The story mayfly is made for, step by step, as a team would live it.

use tests::memcached::MemcachedClient;
use tests::{Subject, check};

#[test]
fn one_swap_the_server_change_nothing() {
    check(
        r#"
        mc> set user:123 0 3600 92
        mc> {"id":123,"name":"Joe","email":"joe@test.com","age":30,"prefs":{"theme":"dark","lang":"en"}}
        STORED
        mc> get user:123
        VALUE user:123 0 92
        {"id":123,"name":"Joe","email":"joe@test.com","age":30,"prefs":{"theme":"dark","lang":"en"}}
        END
        "#,
    );
}

#[test]
fn two_both_protocols_one_keyspace() {
    check(
        r#"
        mc> set mykey 0 0 5
        mc> hello
        STORED
        > SELECT 0
        OK
        > GET mykey
        "hello"
        > SET mykey "world"
        OK
        mc> get mykey
        VALUE mykey 0 5
        world
        END
        > SELECT 1
        OK
        > GET mykey
        (nil)
        > SET elsewhere 1
        OK
        mc> get elsewhere
        END
        "#,
    );
}

#[test]
fn three_rules_at_the_border() {
    check(
        r#"
        > SADD myset 1 2 3 4 5
        (integer) 5
        mc> get myset
        END
        mc> set myset 0 0 5
        mc> hello
        STORED
        > TYPE myset
        string
        > GET myset
        "hello"
        > SADD other 1
        (integer) 1
        > HSET hash f v
        (integer) 1
        > SELECT 1
        OK
        > SET kept 1
        OK
        mc> flush_all
        OK
        > DBSIZE
        (integer) 1
        > SELECT 0
        OK
        > DBSIZE
        (integer) 0
        "#,
    );
}

#[test]
fn four_tokens_that_hold() {
    let subject = Subject::start();
    let (mut old, mut new) = (subject.memcached(), subject.resp());
    assert_eq!(old.call(&["set mykey 0 0 5", "hello"]), "STORED");
    let token = token(&mut old);
    assert_eq!(
        old.call(&[&format!("cas mykey 0 0 1 {token}"), "a"]),
        "STORED"
    );

    let writes: [&[&str]; 6] = [
        &["SET", "mykey", "world"],
        &["APPEND", "mykey", "!"],
        &["MSET", "other", "1", "mykey", "2"],
        &["INCR", "mykey"],
        &["SETBIT", "mykey", "3", "1"],
        &["RENAME", "other", "mykey"],
    ];
    for write in writes {
        let token = self::token(&mut old);
        new.call(write);
        let answer = old.call(&[&format!("cas mykey 0 0 1 {token}"), "b"]);
        assert_eq!(answer, "EXISTS", "after {write:?}");
    }

    let token = self::token(&mut old);
    new.call(&["DEL", "mykey"]);
    assert_eq!(
        old.call(&[&format!("cas mykey 0 0 1 {token}"), "c"]),
        "NOT_FOUND"
    );
    new.call(&["SET", "mykey", "again"]);
    let answer = old.call(&[&format!("cas mykey 0 0 1 {token}"), "d"]);
    assert_eq!(answer, "EXISTS", "a token never comes back");
}

#[test]
fn five_documents_instead_of_blobs() {
    check(
        r#"
        mc> set user:123 0 3600 92
        mc> {"id":123,"name":"Joe","email":"joe@test.com","age":30,"prefs":{"theme":"dark","lang":"en"}}
        STORED
        > JSON.SET user:123 $ '{"id":123,"name":"Joe","email":"joe@test.com","age":30,"prefs":{"theme":"dark","lang":"en"}}'
        OK
        > JSON.SET user:123 $.prefs.theme '"light"'
        OK
        > JSON.GET user:123 $.prefs
        "[{\"theme\":\"light\",\"lang\":\"en\"}]"
        > JSON.GET user:123
        "{\"id\":123,\"name\":\"Joe\",\"email\":\"joe@test.com\",\"age\":30,\"prefs\":{\"theme\":\"light\",\"lang\":\"en\"}}"
        "#,
    );
}

/// The token `gets` gives for `mykey`.
fn token(client: &mut MemcachedClient) -> String {
    let answer = client.call(&["gets mykey"]);
    let line = answer.lines().next().expect("a line");
    line.split(' ')
        .nth(4)
        .unwrap_or_else(|| panic!("no token: {answer}"))
        .to_owned()
}
