//! The bridge: one document for Memcached and JSON clients at once. Each row of the README's table
//! of cross-type behaviour is a test here.

use tests::notation::render;
use tests::{Subject, check};

#[test]
fn json_commands_read_a_string_that_holds_json() {
    check(
        r#"
        mc> set k 7 100 28
        mc> {"a": 1, "b": {"c": [1, 2]}}
        STORED
        > JSON.GET k $.b.c
        "[[1,2]]"
        > JSON.GET k
        "{\"a\":1,\"b\":{\"c\":[1,2]}}"
        > JSON.TYPE k .a
        …integer…
        > TYPE k
        string
        > GET k
        "{\"a\": 1, \"b\": {\"c\": [1, 2]}}"
        "#,
    );
}

#[test]
fn the_first_write_makes_a_document_of_a_string() {
    check(
        r#"
        > SET k '{"a":1,"b":2}' EX 100
        OK
        > JSON.SET k $.a 5 NX
        (nil)
        > TYPE k
        string
        > JSON.SET k $.a 5
        OK
        > TYPE k
        ReJSON-RL
        > TTL k
        (integer) 100
        > JSON.GET k
        "{\"a\":5,\"b\":2}"
        > GET k
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
        > SET s '[1,2]'
        OK
        > JSON.DEL s $[0]
        (integer) 1
        > JSON.GET s
        "[2]"
        > SET gone '{"a":1}'
        OK
        > JSON.DEL gone
        (integer) 1
        > EXISTS gone
        (integer) 0
        "#,
    );
}

#[test]
fn a_string_that_is_no_json_is_refused_but_gives_way_to_a_root() {
    check(
        r#"
        > SET k '{"a":1' EX 100
        OK
        > JSON.GET k
        (error) Existing key has wrong Redis type
        > JSON.TYPE k
        (error) Existing key has wrong Redis type
        > JSON.DEL k
        (error) Existing key has wrong Redis type
        > JSON.SET k $.a 2
        (error) Existing key has wrong Redis type
        > JSON.SET k $ '{"a":2}' NX
        (nil)
        > JSON.SET k $ '{"a":2}'
        OK
        > JSON.GET k $.a
        "[2]"
        > TTL k
        (integer) 100
        > SADD set member
        (integer) 1
        > JSON.SET set $ 1
        (error) Existing key has wrong Redis type
        > JSON.GET set
        (error) Existing key has wrong Redis type
        "#,
    );
}

#[test]
fn without_the_bridge_strings_are_strings() {
    let subject = Subject::start_with(&[("json_bridge", "off")]);
    let mut client = subject.resp();
    let mut answers = |words: &[&str]| render(&client.call(words));
    assert_eq!(answers(&["SET", "k", "{\"a\":1}"]), "OK");
    for command in [
        &["JSON.GET", "k"][..],
        &["JSON.SET", "k", "$", "1"],
        &["JSON.SET", "k", "$.a", "1"],
        &["JSON.DEL", "k"],
    ] {
        assert_eq!(
            answers(command),
            "(error) Existing key has wrong Redis type",
            "{command:?}"
        );
    }
    assert_eq!(answers(&["CONFIG", "SET", "json-bridge", "on"]), "OK");
    assert_eq!(answers(&["JSON.GET", "k", "$.a"]), "\"[1]\"");
}

#[test]
fn memcached_clients_read_a_document_as_its_compact_text() {
    check(
        r#"
        mc> set k 7 100 17
        mc> {"a": 1, "b":"x"}
        STORED
        > JSON.SET k $.a 5
        OK
        > TYPE k
        ReJSON-RL
        mc> get k
        VALUE k 7 15
        {"a":5,"b":"x"}
        END
        mc> get none k
        VALUE k 7 15
        {"a":5,"b":"x"}
        END
        mc> mg k f s v
        VA 15 f7 s15
        {"a":5,"b":"x"}
        mc> gat 200 k
        VALUE k 7 15
        {"a":5,"b":"x"}
        END
        mc> touch k 300
        TOUCHED
        > TTL k
        (integer) 300
        > TYPE k
        ReJSON-RL
        > GET k
        (error) WRONGTYPE Operation against a key holding the wrong kind of value
        mc> delete k
        DELETED
        > EXISTS k
        (integer) 0
        "#,
    );
}

#[test]
fn memcached_clients_replace_a_document_by_a_string() {
    check(
        r#"
        > JSON.SET k $ '{"a":1}'
        OK
        mc> set k 3 0 7
        mc> {"a":2}
        STORED
        > TYPE k
        string
        > JSON.GET k $.a
        "[2]"
        > JSON.SET k $.a 3
        OK
        mc> add k 0 0 1
        mc> x
        NOT_STORED
        mc> append k 0 0 1
        mc> x
        NOT_STORED
        mc> prepend k 0 0 1
        mc> x
        NOT_STORED
        mc> incr k 1
        CLIENT_ERROR cannot increment or decrement non-numeric value
        mc> decr k 1
        CLIENT_ERROR cannot increment or decrement non-numeric value
        mc> get k
        VALUE k 3 7
        {"a":3}
        END
        > JSON.SET n $ 5
        OK
        mc> incr n 1
        CLIENT_ERROR cannot increment or decrement non-numeric value
        mc> replace k 0 0 3
        mc> [1]
        STORED
        > JSON.GET k
        "[1]"
        > TYPE k
        string
        "#,
    );
}

#[test]
fn a_document_has_a_token_that_every_change_replaces() {
    let subject = Subject::start();
    if subject.is_peer() {
        return;
    }
    let (mut old, mut new) = (subject.memcached(), subject.resp());
    let token = |old: &mut tests::memcached::MemcachedClient| {
        let answer = old.call(&["gets k"]);
        let head = answer.lines().next().expect("a line").to_owned();
        head.split(' ').nth(4).expect("a token").to_owned()
    };
    let cas = |old: &mut tests::memcached::MemcachedClient, token: &str| {
        old.call(&[&format!("cas k 0 0 7 {token}"), r#"{"a":9}"#])
    };
    new.call(&["JSON.SET", "k", "$", r#"{"a":1}"#]);
    let before = token(&mut old);
    assert_eq!(token(&mut old), before, "reading changes nothing");
    new.call(&["JSON.SET", "k", "$.a", "2"]);
    assert_eq!(cas(&mut old, &before), "EXISTS");
    let now = token(&mut old);
    assert_eq!(cas(&mut old, &now), "STORED");
    assert_eq!(render(&new.call(&["TYPE", "k"])), "string");
    let now = token(&mut old);
    // The first change by JSON of a string, too, is seen by who compares.
    new.call(&["JSON.NUMINCRBY", "k", "$.a", "1"]);
    assert_eq!(cas(&mut old, &now), "EXISTS");
    assert_eq!(render(&new.call(&["JSON.GET", "k"])), r#""{\"a\":10}""#);
    new.call(&["DEL", "k"]);
    assert_eq!(cas(&mut old, &now), "NOT_FOUND");
}

#[test]
fn without_the_bridge_a_document_is_a_miss_for_memcached_clients() {
    let subject = Subject::start_with(&[("json_bridge", "off")]);
    let (mut old, mut new) = (subject.memcached(), subject.resp());
    new.call(&["JSON.SET", "k", "$", r#"{"a":1}"#]);
    assert_eq!(old.call(&["get k"]), "END");
    assert_eq!(old.call(&["touch k 100"]), "NOT_FOUND");
    assert_eq!(old.call(&["cas k 0 0 1 1", "x"]), "NOT_FOUND");
    assert_eq!(old.call(&["append k 0 0 1", "x"]), "NOT_STORED");
    new.call(&["CONFIG", "SET", "json-bridge", "on"]);
    assert_eq!(old.call(&["get k"]), "VALUE k 0 7\n{\"a\":1}\nEND");
    assert_eq!(old.call(&["set k 0 0 1", "x"]), "STORED");
    assert_eq!(render(&new.call(&["TYPE", "k"])), "string");
}

#[test]
fn a_large_document_is_read_whole_by_both() {
    let subject = Subject::start();
    if subject.is_peer() {
        return;
    }
    let (mut old, mut new) = (subject.memcached(), subject.resp());
    let history = vec![r#"{"page":"/é","seconds":12.50}"#; 20_000].join(",");
    let text = format!(r#"{{"theme":"dark","history":[{history}]}}"#);
    let set = format!("set k 0 0 {}", text.len());
    assert_eq!(old.call(&[&set, &text]), "STORED");
    new.call(&["JSON.SET", "k", "$.theme", r#""light""#]);
    let compact = text.replace("dark", "light").replace("12.50", "12.5");
    let expected = format!("VALUE k 0 {}\n{compact}\nEND", compact.len());
    assert!(old.call(&["get k"]) == expected);
    let found = new.call(&["JSON.GET", "k"]);
    assert_eq!(found.text(), Some(compact.as_bytes()));
}
