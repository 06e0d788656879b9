//! Memcached's items and what RESP makes of them: tokens, flags, other types.

use tests::{Subject, check};

/// The token of `k` before something, and whether it is void afterwards.
#[track_caller]
fn check_void(before: &[&str], changes: &[&[&str]]) {
    for form in ["text", "meta"] {
        let subject = Subject::start();
        let (mut client, mut resp) = (subject.memcached(), subject.resp());
        client.call(before);
        let token = token(&client.call(&["gets k"]));
        changes.iter().for_each(|change| _ = resp.call(change));
        let answer = match form {
            "text" => client.call(&[&format!("cas k 0 0 1 {token}"), "y"]),
            _ => client.call(&[&format!("ms k 1 C{token}"), "y"]),
        };
        let expected = if form == "text" {
            ["EXISTS", "NOT_FOUND"]
        } else {
            ["EX", "NF"]
        };
        assert!(expected.contains(&&answer[..]), "{changes:?}: {answer}");
    }
}

fn token(answer: &str) -> String {
    let head = answer.lines().next().expect("a line");
    head.rsplit(' ').next().expect("a word").to_owned()
}

#[test]
fn a_token_is_void_after_any_change_by_resp() {
    let item = ["set k 5 0 1", "1"];
    let changes: &[&[&[&str]]] = &[
        &[&["SET", "k", "1"]],
        &[&["APPEND", "k", "1"]],
        &[&["INCR", "k"]],
        &[&["SETRANGE", "k", "0", "2"]],
        &[&["SETBIT", "k", "1", "1"]],
        &[&["EXPIRE", "k", "100"]],
        &[&["GETEX", "k", "EX", "100"]],
        &[&["DEL", "k"], &["SET", "k", "1"]],
        &[&["DEL", "k"]],
        &[&["RENAME", "k", "l"], &["RENAME", "l", "k"]],
        &[&["COPY", "k", "l"], &["RENAME", "l", "k"]],
        &[&["JSON.SET", "k", "$", "1"]],
        &[&["FLUSHALL"], &["SET", "k", "1"]],
        &[&["SET", "k", "1", "KEEPTTL"]],
        &[&["MSET", "k", "1"]],
        &[&["SADD", "s", "x"], &["RENAME", "s", "k"]],
    ];
    for change in changes {
        check_void(&item, change);
    }
    check_void(&["set k 5 100 1", "1"], &[&["PERSIST", "k"]]);
}

#[test]
fn a_token_stays_while_nothing_changes() {
    let subject = Subject::start();
    let (mut client, mut resp) = (subject.memcached(), subject.resp());
    client.call(&["set k 5 0 1", "1"]);
    let token = token(&client.call(&["gets k"]));
    for words in [
        &["GET", "k"][..],
        &["TTL", "k"],
        &["SET", "k", "x", "NX"],
        &["EXPIRE", "none", "1"],
        &["OBJECT", "ENCODING", "k"],
        &["SADD", "k", "x"],
    ] {
        resp.call(words);
    }
    for line in ["touch k 100", "gat 200 k", "mg k T300", "mg k v c", "get k"] {
        client.call(&[line]);
    }
    let answer = client.call(&[&format!("cas k 0 0 1 {token}"), "y"]);
    assert_eq!(answer, "STORED");
}

#[test]
fn flags_stay_with_a_change_and_go_with_a_new_value() {
    check(
        r#"
        mc> ms n 1 F42
        mc> 1
        HD
        > INCR n
        (integer) 2
        > APPEND n 0
        (integer) 2
        > EXPIRE n 100
        (integer) 1
        mc> mg n f v
        VA 2 f42
        20
        > SET n 5
        OK
        mc> mg n f v
        VA 1 f0
        5
        "#,
    );
}

#[test]
fn staleness_ends_with_a_new_value_from_resp() {
    check(
        r#"
        mc> ms k 1
        mc> x
        HD
        mc> md k I
        HD
        mc> mg k
        HD X W
        > SET k y
        OK
        mc> mg k v
        VA 1
        y
        "#,
    );
}

/// Each row of the README's table.
#[test]
fn what_verbs_answer_on_other_types() {
    for make in ["SADD k a", "HSET k f v", r#"JSON.SET k $ {"a":1}"#] {
        let rows: &[(&[&str], &str)] = &[
            (&["get k"], "END"),
            (&["gets k"], "END"),
            (&["gat 0 k"], "END"),
            (&["mg k v"], "EN"),
            (&["mg k v N30"], "EN"),
            (&["me k"], "EN"),
            (&["touch k 0"], "NOT_FOUND"),
            (&["add k 0 0 1", "x"], "NOT_STORED"),
            (&["ms k 1 ME", "x"], "NS"),
            (&["append k 0 0 1", "x"], "NOT_STORED"),
            (&["prepend k 0 0 1", "x"], "NOT_STORED"),
            (&["ms k 1 MA N0", "x"], "NS"),
            (&["cas k 0 0 1 1", "x"], "NOT_FOUND"),
            (&["ms k 1 C1", "x"], "NF"),
            (
                &["incr k 1"],
                "CLIENT_ERROR cannot increment or decrement non-numeric value",
            ),
            (
                &["ma k N0"],
                "CLIENT_ERROR cannot increment or decrement non-numeric value",
            ),
            (&["md k C1"], "EX"),
            (&["md k I"], "HD"),
            (&["set k 0 0 1", "x"], "STORED"),
            (&["replace k 0 0 1", "x"], "STORED"),
            (&["md k x"], "HD"),
            (&["delete k"], "DELETED"),
        ];
        for (lines, answer) in rows {
            let subject = Subject::start_with(&[("json_bridge", "off")]);
            subject.resp().call(&make.split(' ').collect::<Vec<_>>());
            assert_eq!(
                subject.memcached().call(lines),
                *answer,
                "{make}: {lines:?}"
            );
        }
    }
}
