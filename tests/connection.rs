//! Connections: who one is, what one speaks, and bytes that make no sense.

use tests::resp::{Lost, Reply, RespClient};
use tests::{Subject, check, check_resp2, check_resp3, eventually};

#[test]
fn ping_echo_select_quit() {
    check(
        r#"
        > PING
        PONG
        > PING "hello world"
        "hello world"
        > PING a b
        (error) ERR wrong number of arguments for 'ping' command
        > ECHO hello
        "hello"
        > ECHO
        (error) ERR wrong number of arguments for 'echo' command
        > SELECT 15
        OK
        > SELECT 16
        (error) ERR DB index is out of range
        > SELECT x
        (error) ERR value is not an integer or out of range
        > QUIT
        OK
        "#,
    );
}

/// Whatever a client sent, an error repeats it byte by byte, up to a zero byte.
#[test]
fn errors_quote_bytes_as_they_are() {
    let subject = Subject::start();
    let mut client = subject.resp();
    client.call(&[b"SET".as_slice(), b"k", b"v"]);
    let cases: [(&[&[u8]], &[u8]); 6] = [
        (
            &[b"\xff\xfe", b"\x80", b"a\0b"],
            b"ERR unknown command '\xff\xfe', with args beginning with: '\x80' 'a' ",
        ),
        (
            &[b"CLIENT", b"\xffx\r\n"],
            b"ERR unknown subcommand '\xffx  '. Try CLIENT HELP.",
        ),
        (
            &[b"CLIENT", b"LIST", b"TYPE", b"\xff\0z"],
            b"ERR Unknown client type '\xff'",
        ),
        (
            &[b"HELLO", b"3", b"\xff"],
            b"ERR Syntax error in HELLO option '\xff'",
        ),
        (
            &[b"EXPIRE", b"k", b"10", b"\xff"],
            b"ERR Unsupported option \xff",
        ),
        (
            &[b"CONFIG", b"SET", b"\xff", b"x"],
            b"ERR Unknown option or number of arguments for CONFIG SET - '\xff'",
        ),
    ];
    for (words, expected) in cases {
        assert_eq!(client.call(words), Reply::Error(expected.to_vec()));
    }
}

#[test]
fn unknown_commands_are_named() {
    check(
        r#"
        > nosuch
        (error) ERR unknown command 'nosuch', with args beginning with: 
        > nosuch a "b c"
        (error) ERR unknown command 'nosuch', with args beginning with: 'a' 'b c' 
        > CLIENT nosuch
        (error) ERR unknown subcommand 'nosuch'. Try CLIENT HELP.
        > CONFIG nosuch
        (error) ERR unknown subcommand 'nosuch'. Try CONFIG HELP.
        > COMMAND nosuch
        (error) ERR unknown subcommand 'nosuch'. Try COMMAND HELP.
        > CLIENT
        (error) ERR wrong number of arguments for 'client' command
        > CONFIG
        (error) ERR wrong number of arguments for 'config' command
        "#,
    );
}

#[test]
fn clients_have_names() {
    check(
        r#"
        > CLIENT GETNAME
        (nil)
        > CLIENT SETNAME joe
        OK
        > CLIENT GETNAME
        "joe"
        > CLIENT SETNAME "a b"
        (error) ERR Client names cannot contain spaces, newlines or special characters.
        > CLIENT SETNAME ""
        OK
        > CLIENT GETNAME
        (nil)
        > CLIENT SETINFO lib-name mine
        OK
        > CLIENT SETINFO lib-ver 1.2
        OK
        > CLIENT SETINFO lib-name "a b"
        (error) ERR lib-name cannot contain spaces, newlines or special characters.
        > CLIENT SETINFO nonsense x
        (error) ERR Unrecognized option 'nonsense'
        > CLIENT NO-EVICT on
        OK
        > CLIENT NO-EVICT off
        OK
        > CLIENT NO-EVICT maybe
        (error) ERR syntax error
        > CLIENT NO-TOUCH on
        OK
        > CLIENT NO-TOUCH off
        OK
        > CLIENT NO-TOUCH maybe
        (error) ERR syntax error
        "#,
    );
}

#[test]
fn client_kill_and_pause() {
    check(
        r#"
        > CLIENT KILL 1.2.3.4:5
        (error) ERR No such client
        > CLIENT KILL ID 99999
        (integer) 0
        > CLIENT KILL ID x
        (error) ERR client-id should be greater than 0
        > CLIENT KILL nonsense x
        (error) ERR syntax error
        > CLIENT PAUSE x
        (error) ERR timeout is not an integer or out of range
        > CLIENT PAUSE -1
        (error) ERR timeout is negative
        > CLIENT PAUSE 0
        OK
        > CLIENT PAUSE 1 WRITE
        OK
        > CLIENT PAUSE 1 nonsense
        (error) ERR CLIENT PAUSE mode must be WRITE or ALL
        > CLIENT PAUSE x nonsense
        (error) ERR CLIENT PAUSE mode must be WRITE or ALL
        > CLIENT UNPAUSE
        OK
        > CLIENT LIST nonsense
        (error) ERR syntax error
        > CLIENT LIST ID x
        (error) ERR Invalid client ID
        "#,
    );
}

#[test]
fn a_pause_has_an_end() {
    check(
        r#"
        > CLIENT PAUSE 9223372036854775807
        (error) ERR timeout is out of range
        > SET k v
        OK
        "#,
    );
}

const LONG_PAUSE: [&str; 4] = ["CLIENT", "PAUSE", "600000", "WRITE"];

#[test]
fn what_was_executed_before_a_pause_is_answered_in_it() {
    let subject = Subject::start();
    let [mut admin, mut client] = [(); 2].map(|()| subject.resp());
    admin.call(&["SET", "k", "v"]);
    admin.call(&LONG_PAUSE);
    client.send_raw(b"GET k\r\nSET k w\r\n");
    assert_eq!(client.receive().reply, Reply::Bulk(b"v".to_vec()));
    admin.call(&["CLIENT", "UNPAUSE"]);
    assert_eq!(client.receive().reply, Reply::Status(b"OK".to_vec()));
}

#[test]
fn nothing_is_executed_for_those_who_left_in_a_pause() {
    let subject = Subject::start();
    let mut admin = subject.resp();
    admin.call(&["SET", "n", "0"]);
    admin.call(&LONG_PAUSE);
    // Answered, so in the list: what leaves it below is this client, not one still to be accepted.
    let mut client = subject.resp();
    client.call(&["PING"]);
    client.send(&["INCR", "n"]);
    drop(client);
    assert!(eventually(|| {
        let list = admin.call(&["CLIENT", "LIST"]);
        list.text()
            .expect("a text")
            .split(|byte| *byte == b'\n')
            .count()
            == 2
    }));
    admin.call(&["CLIENT", "UNPAUSE"]);
    assert_eq!(admin.call(&["GET", "n"]), Reply::Bulk(b"0".to_vec()));
}

#[test]
fn hello_switches_protocols() {
    check_resp2(
        r#"
        > HELLO 4
        (error) NOPROTO unsupported protocol version
        > HELLO x
        (error) ERR Protocol version is not an integer or out of range
        > HELLO 3 nonsense
        (error) ERR Syntax error in HELLO option 'nonsense'
        > HELLO 3 SETNAME "a b"
        (error) ERR Client names cannot contain spaces, newlines or special characters.
        > AUTH x
        (error) ERR AUTH <password> called without any password configured for the default user. …
        > AUTH default x
        OK
        > AUTH joe x
        (error) WRONGPASS invalid username-password pair or user is disabled.
        > AUTH a b c
        (error) ERR syntax error
        > CLIENT SETNAME joe
        OK
        > SELECT 3
        OK
        > RESET
        RESET
        > CLIENT GETNAME
        (nil)
        "#,
    );
    check_resp3(
        r#"
        > GET none
        (nil)
        > CLIENT GETNAME
        (nil)
        > HGETALL none
        (empty hash)
        > SMEMBERS none
        (empty set)
        > RESET
        RESET
        > GET none
        (nil)
        "#,
    );
}

#[test]
fn hello_tells_who_is_there() {
    let subject = Subject::start();
    let mut client = subject.resp();
    let reply = client.call(&["HELLO", "3", "SETNAME", "joe"]);
    assert!(matches!(reply, Reply::Map(_)));
    let words: Vec<&[u8]> = reply
        .elements()
        .iter()
        .step_by(2)
        .filter_map(Reply::text)
        .collect();
    assert_eq!(
        words,
        [
            &b"server"[..],
            b"version",
            b"proto",
            b"id",
            b"mode",
            b"role",
            b"modules"
        ]
    );
    assert_eq!(
        client.call(&["CLIENT", "GETNAME"]),
        Reply::Bulk(b"joe".to_vec())
    );
}

#[test]
fn a_reply_can_be_skipped() {
    let subject = Subject::start();
    let mut client = subject.resp();
    client.send_raw(b"CLIENT REPLY SKIP\r\nPING a\r\nPING b\r\n");
    assert_eq!(client.receive().raw, b"$1\r\nb\r\n");
    client.send_raw(b"CLIENT REPLY OFF\r\nPING a\r\nCLIENT REPLY ON\r\nPING b\r\n");
    assert_eq!(client.receive().raw, b"+OK\r\n");
    assert_eq!(client.receive().raw, b"$1\r\nb\r\n");
}

#[test]
fn a_reset_ends_the_silence_and_is_skipped_itself() {
    let subject = Subject::start();
    for (before, answer) in [
        ("OFF", &b"+RESET\r\n"[..]),
        ("SKIP", b""),
        ("OFF\r\nCLIENT REPLY SKIP", b"+RESET\r\n"),
        ("SKIP\r\nPING", b"+RESET\r\n"),
    ] {
        let mut client = subject.resp();
        let bytes = format!("CLIENT REPLY {before}\r\nRESET\r\nPING a\r\nQUIT\r\n");
        let expected = [answer, b"$1\r\na\r\n+OK\r\n"].concat();
        assert_eq!(
            all_answers(&mut client, bytes.as_bytes()),
            expected,
            "{before}"
        );
    }
}

#[test]
fn who_wants_no_replies_is_not_told_of_protocol_errors() {
    let subject = Subject::start();
    for (before, is_told) in [
        ("CLIENT REPLY OFF", false),
        ("CLIENT REPLY SKIP", false),
        ("CLIENT REPLY SKIP\r\nPING", true),
        ("CLIENT REPLY OFF\r\nRESET", true),
    ] {
        let mut client = subject.resp();
        let bytes = format!("{before}\r\n*x\r\nPING\r\n");
        let answers = all_answers(&mut client, bytes.as_bytes());
        let error = b"-ERR Protocol error: invalid multibulk length\r\n";
        assert_eq!(answers.ends_with(error), is_told, "{before}");
        assert_eq!(answers.is_empty(), !is_told, "{before}");
    }
}

/// What a client is answered until the connection ends.
fn all_answers(client: &mut RespClient, bytes: &[u8]) -> Vec<u8> {
    client.send_raw(bytes);
    let mut answers = Vec::new();
    while let Ok(received) = client.try_receive() {
        answers.extend(received.raw);
    }
    answers
}

#[test]
fn a_killed_client_is_gone() {
    let subject = Subject::start();
    let (mut one, mut other) = (subject.resp(), subject.resp());
    let Reply::Integer(id) = other.call(&["CLIENT", "ID"]) else {
        panic!("no id")
    };
    let killed = one.call(&["CLIENT", "KILL", "ID", &id.to_string()]);
    assert_eq!(killed, Reply::Integer(1));
    assert_eq!(other.try_receive(), Err(Lost::Closed));
    // Its own thread strikes it off the list, a moment after its socket was closed.
    let is_alone = eventually(|| {
        let list = one.call(&["CLIENT", "LIST"]);
        let list = String::from_utf8_lossy(list.text().expect("a text")).into_owned();
        list.starts_with("id=") && list.lines().count() == 1
    });
    assert!(is_alone, "a killed client stays on the list");
}

#[test]
fn a_password_is_asked_for() {
    let subject = Subject::start_with(&[("requirepass", "secret")]);
    let mut client = subject.resp();
    let refused = Reply::Error(b"NOAUTH Authentication required.".to_vec());
    assert_eq!(client.call(&["GET", "k"]), refused);
    let wrong = b"WRONGPASS invalid username-password pair or user is disabled.";
    assert_eq!(
        client.call(&["AUTH", "nonsense"]),
        Reply::Error(wrong.to_vec())
    );
    assert_eq!(
        client.call(&["AUTH", "secret"]),
        Reply::Status(b"OK".to_vec())
    );
    assert_eq!(client.call(&["GET", "k"]), Reply::Nil);
    let mut other = subject.resp();
    let reply = other.call(&["HELLO", "3", "AUTH", "default", "secret"]);
    assert!(matches!(reply, Reply::Map(_)), "{reply:?}");
    let answer = subject.memcached().call(&["get k"]);
    assert!(
        answer.contains("ERROR"),
        "the Memcached port is an open back door: {answer}"
    );
}

/// Each is answered with this error, and then the connection ends.
#[test]
fn bytes_that_make_no_sense_end_their_connection_alone() {
    let subject = Subject::start();
    let mut other = subject.resp();
    for (bytes, error) in [
        (
            &b"*1\r\n:1\r\n"[..],
            "ERR Protocol error: expected '$', got ':'",
        ),
        (b"*x\r\n", "ERR Protocol error: invalid multibulk length"),
        (
            b"*3000000000\r\n",
            "ERR Protocol error: invalid multibulk length",
        ),
        (b"*1\r\n$x\r\n", "ERR Protocol error: invalid bulk length"),
        (b"*1\r\n$-1\r\n", "ERR Protocol error: invalid bulk length"),
        (
            b"*1\r\n$999999999999\r\n",
            "ERR Protocol error: invalid bulk length",
        ),
        (
            b"PING \"a\r\n",
            "ERR Protocol error: unbalanced quotes in request",
        ),
    ] {
        let mut client = subject.resp();
        client.send_raw(bytes);
        let reply = client.receive().reply;
        assert_eq!(
            reply,
            Reply::Error(error.into()),
            "{:?}",
            String::from_utf8_lossy(bytes)
        );
        assert_eq!(client.try_receive(), Err(Lost::Closed));
        assert_eq!(other.call(&["PING"]), Reply::Status(b"PONG".to_vec()));
    }
}

#[test]
fn inline_commands_and_pieces() {
    let subject = Subject::start();
    let mut client = subject.resp();
    client.send_raw(b"\r\n  SET k \"a b\"\r\nGET k\nget 'k'\r\n*0\r\nPING\r\n");
    assert_eq!(client.receive().raw, b"+OK\r\n");
    assert_eq!(client.receive().raw, b"$3\r\na b\r\n");
    assert_eq!(client.receive().raw, b"$3\r\na b\r\n");
    assert_eq!(client.receive().raw, b"+PONG\r\n");
    for byte in b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n" {
        client.send_raw(&[*byte]);
    }
    assert_eq!(client.receive().raw, b"$3\r\na b\r\n");
}

#[test]
fn a_long_pipeline_is_answered_in_order() {
    let subject = Subject::start();
    let mut client = subject.resp();
    let mut bytes = Vec::new();
    for at in 0..20_000 {
        tests::resp::encode(&["ECHO", &at.to_string()], &mut bytes);
    }
    client.send_raw(&bytes);
    for at in 0..20_000 {
        assert_eq!(
            client.receive().reply,
            Reply::Bulk(at.to_string().into_bytes())
        );
    }
}
