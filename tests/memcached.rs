//! Memcached's protocols, alone and beside RESP; first that of text.

mod binary;
mod border;
mod list;
mod meta;

use tests::resp::{Lost, Reply};
use tests::{Subject, check};

#[test]
fn items_are_stored_and_read() {
    check(
        r#"
        mc> get a
        END
        mc> set a 5 0 5
        mc> hello
        STORED
        mc> get a
        VALUE a 5 5
        hello
        END
        mc> get a none a
        VALUE a 5 5
        hello
        VALUE a 5 5
        hello
        END
        mc> gets none
        END
        mc> add a 0 0 1
        mc> x
        NOT_STORED
        mc> add b 7 0 1
        mc> x
        STORED
        mc> replace none 0 0 1
        mc> x
        NOT_STORED
        mc> replace b 8 0 2
        mc> yy
        STORED
        mc> append b 0 0 1
        mc> z
        STORED
        mc> prepend b 99 0 1
        mc> x
        STORED
        mc> get b
        VALUE b 8 4
        xyyz
        END
        mc> append none 0 0 1
        mc> x
        NOT_STORED
        mc> delete b
        DELETED
        mc> delete b
        NOT_FOUND
        mc> delete a 0
        DELETED
        "#,
    );
}

#[test]
fn numbers_count() {
    check(
        r#"
        mc> incr n 1
        NOT_FOUND
        mc> set n 0 0 2
        mc> 10
        STORED
        mc> incr n 5
        15
        mc> decr n 20
        0
        mc> set n 0 0 20
        mc> 18446744073709551615
        STORED
        mc> incr n 1
        0
        mc> incr n x
        CLIENT_ERROR invalid numeric delta argument
        mc> incr n -1
        CLIENT_ERROR invalid numeric delta argument
        mc> incr n
        CLIENT_ERROR bad command line format
        mc> set n 0 0 3
        mc> abc
        STORED
        mc> incr n 1
        CLIENT_ERROR cannot increment or decrement non-numeric value
        mc> decr n 1
        CLIENT_ERROR cannot increment or decrement non-numeric value
        "#,
    );
}

#[test]
fn times_are_touched() {
    check(
        r#"
        mc> touch none 10
        NOT_FOUND
        mc> set a 3 0 1
        mc> x
        STORED
        mc> touch a 100
        TOUCHED
        mc> gat 200 a none
        VALUE a 3 1
        x
        END
        mc> touch a -1
        TOUCHED
        mc> get a
        END
        mc> set a 0 -1 1
        mc> x
        STORED
        mc> get a
        END
        mc> set a 0 0 1
        mc> x
        STORED
        mc> gat -1 a
        VALUE a 0 1
        x
        END
        mc> get a
        END
        mc> touch a
        CLIENT_ERROR bad command line format
        mc> gat 10
        CLIENT_ERROR bad command line format
        "#,
    );
}

#[test]
fn nothing_is_said_with_noreply() {
    check(
        r#"
        mc> set a 0 0 1 noreply
        mc> 1
        mc> add a 0 0 1 noreply
        mc> x
        mc> incr a 5 noreply
        mc> decr a 1 noreply
        mc> append a 0 0 1 noreply
        mc> 0
        mc> get a
        VALUE a 0 2
        50
        END
        mc> touch a 100 noreply
        mc> cas a 0 0 1 1 noreply
        mc> x
        mc> delete a noreply
        mc> get a
        END
        mc> verbosity 1 noreply
        mc> set a 0 0 1 noreply
        mc> 1
        mc> flush_all noreply
        mc> get a
        END
        "#,
    );
}

#[test]
fn mistakes_are_told() {
    let key = "k".repeat(250);
    let long_key = "k".repeat(251);
    let format = "CLIENT_ERROR bad command line format\r\n";
    for (request, answer) in [
        ("nosuch\r\n", "ERROR\r\n"),
        ("GET a\r\n", "ERROR\r\n"),
        (" get a\r\n", "ERROR\r\n"),
        ("\r\n", format),
        ("get\r\n", format),
        ("set a 0 0\r\n", format),
        ("verbosity\r\n", format),
        ("verbosity 1\r\n", "OK\r\n"),
        ("set a x 0 1\r\nx\r\n", format),
        ("set a 0 x 1\r\nx\r\n", format),
        ("set a 0 0 x\r\nx\r\n", &format!("{format}{format}")),
        ("cas a 0 0 1 x\r\nx\r\n", format),
        ("cas a 0 0 1\r\nx\r\n", format),
        (
            "set a 0 0 1\r\nxyz\r\n",
            &format!("CLIENT_ERROR bad data chunk\r\n{format}"),
        ),
        ("set e 0 0 0\r\n\r\n", "STORED\r\n"),
        ("get e\r\n", "VALUE e 0 0\r\n\r\nEND\r\n"),
        (&format!("get {long_key}\r\n"), format),
        (&format!("delete {long_key}\r\n"), format),
        (&format!("set {key} 0 0 1\r\nx\r\n"), "STORED\r\n"),
    ] {
        assert_eq!(answered(request), answer, "{request:?}");
    }
}

#[test]
fn an_oversize_item_is_swallowed() {
    let subject = Subject::start();
    let mut client = subject.memcached();
    assert_eq!(client.call(&["set k 0 0 3", "old"]), "STORED");
    let body = "x".repeat(2_000_000);
    let answer = client.call(&["set k 0 0 2000000", &body]);
    assert_eq!(answer, "SERVER_ERROR object too large for cache");
    assert_eq!(
        client.call(&["get k"]),
        "END",
        "the old value must not stay"
    );
    assert_eq!(client.call(&["set k 0 0 1", "x"]), "STORED");
}

#[test]
fn statistics_and_version() {
    let subject = Subject::start();
    let mut client = subject.memcached();
    let version = client.call(&["version"]);
    let number = version.strip_prefix("VERSION ").expect("a version");
    assert_eq!(
        number
            .split('.')
            .filter(|part| part.parse::<u32>().is_ok())
            .count(),
        3
    );
    client.call(&["set k 0 0 1", "x"]);
    client.call(&["get k"]);
    client.call(&["get none"]);
    let stats = client.call(&["stats"]);
    for line in [
        "STAT pid ",
        "STAT cmd_get 2",
        "STAT get_hits 1",
        "STAT get_misses 1",
    ] {
        assert!(stats.contains(line), "no {line} in {stats}");
    }
    assert!(stats.ends_with("END"));
    client.send_raw(b"quit\r\n");
    assert_eq!(client.try_receive(), Err(Lost::Closed));
}

#[test]
fn flush_all_can_wait() {
    let subject = Subject::start();
    let (mut client, mut resp) = (subject.memcached(), subject.resp());
    client.call(&["set k 0 0 1", "x"]);
    assert_eq!(client.call(&["flush_all 1"]), "OK");
    assert_eq!(client.call(&["get k"]), "VALUE k 0 1\nx\nEND");
    std::thread::sleep(std::time::Duration::from_millis(2_200));
    assert_eq!(client.call(&["get k"]), "END");
    assert_eq!(resp.call(&["EXISTS", "k"]), Reply::Integer(0));
    client.call(&["set k 0 0 1", "x"]);
    assert_eq!(client.call(&["get k"]), "VALUE k 0 1\nx\nEND");
}

#[test]
fn other_types_at_the_border() {
    check(
        r#"
        > SADD s a
        (integer) 1
        mc> get s
        END
        mc> gets s
        END
        mc> add s 0 0 1
        mc> x
        NOT_STORED
        mc> append s 0 0 1
        mc> x
        NOT_STORED
        mc> prepend s 0 0 1
        mc> x
        NOT_STORED
        mc> incr s 1
        CLIENT_ERROR cannot increment or decrement non-numeric value
        mc> cas s 0 0 1 1
        mc> x
        NOT_FOUND
        > TYPE s
        set
        mc> replace s 0 0 1
        mc> x
        STORED
        > TYPE s
        string
        > HSET h f v
        (integer) 1
        mc> delete h
        DELETED
        > EXISTS h
        (integer) 0
        "#,
    );
}

#[test]
fn flags_and_numbers_cross_the_border() {
    check(
        r#"
        mc> set n 42 0 2
        mc> 10
        STORED
        > INCR n
        (integer) 11
        mc> get n
        VALUE n 42 2
        11
        END
        mc> decr n 2
        9
        > INCR n
        (integer) 10
        > SET n 5
        OK
        mc> get n
        VALUE n 0 1
        5
        END
        mc> set t 0 100 1
        mc> x
        STORED
        > TTL t
        (integer) …
        mc> set t 0 0 1
        mc> x
        STORED
        > TTL t
        (integer) -1
        "#,
    );
}

/// All that is answered to `request` on a connection of its own.
fn answered(request: &str) -> String {
    let subject = Subject::start();
    let mut client = subject.memcached();
    client.call(&["set e 0 0 0", ""]);
    client.send_raw(request.as_bytes());
    client.send_raw(b"version\r\n");
    let mut answer = String::new();
    loop {
        let part = client.try_receive().expect("an answer");
        if part.starts_with(b"VERSION") {
            return answer;
        }
        answer += &String::from_utf8(part).expect("a text");
    }
}
