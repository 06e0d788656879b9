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
