//! The binary protocol, and all three forms beside each other.

use std::process::Command;

use tests::Subject;
use tests::binary::{BinaryClient, Frame, Reply, opcode};
use tests::peer::are_required;
use tests::resp::Lost;

fn connect(subject: &Subject) -> BinaryClient {
    BinaryClient::connect(subject.memcached_address())
}

fn set(key: &str, flags: u32, value: &[u8]) -> Frame {
    let extras = [flags.to_be_bytes(), 0_u32.to_be_bytes()].concat();
    Frame::new(opcode::SET)
        .key(key)
        .extras(&extras)
        .value(value)
}

fn the_reply(replies: Vec<Reply>) -> Reply {
    let [reply] = <[Reply; 1]>::try_from(replies).expect("one reply");
    reply
}

#[test]
fn memccapable_finds_nothing_missing() {
    let subject = Subject::start();
    let port = subject.memcached_address().port().to_string();
    for form in ["-a", "-b"] {
        let run = Command::new("memccapable")
            .args(["-h", "127.0.0.1", "-p", &port, form])
            .output();
        let Ok(output) = run else {
            assert!(!are_required(), "memccapable is not installed");
            eprintln!("skipped: memccapable is not installed");
            return;
        };
        let report = String::from_utf8_lossy(&output.stdout);
        assert!(report.contains("[pass]"), "{report}");
        assert!(
            output.status.success() && !report.contains("FAIL"),
            "{report}"
        );
    }
}

#[test]
fn the_three_forms_share_their_items() {
    let subject = Subject::start();
    let (mut binary, mut lines) = (connect(&subject), subject.memcached());
    let stored = the_reply(binary.call(&set("a b", 5, b"x")));
    assert_eq!((stored.status, stored.opaque), (0, 7));
    let found = lines.call(&["mg YSBi b v c f"]);
    assert_eq!(found, format!("VA 1 c{} f5\nx", stored.token));
    let found = the_reply(binary.call(&Frame::new(opcode::GETK).key("a b")));
    assert_eq!((found.key, found.value), (b"a b".to_vec(), b"x".to_vec()));
    assert_eq!(
        (found.extras, found.token),
        (5_u32.to_be_bytes().to_vec(), stored.token)
    );
}

#[test]
fn a_token_is_compared() {
    let subject = Subject::start();
    let mut client = connect(&subject);
    let token = the_reply(client.call(&set("a", 0, b"x"))).token;
    let mut again = set("a", 0, b"y");
    again.token = token;
    let stored = the_reply(client.call(&again));
    assert_eq!(stored.status, 0);
    assert_ne!(stored.token, token);
    assert_eq!(the_reply(client.call(&again)).status, 2);
    again.key = b"none".to_vec();
    assert_eq!(the_reply(client.call(&again)).status, 1);
}

#[test]
fn a_delete_of_another_token_is_no_miss() {
    let subject = Subject::start();
    let mut client = connect(&subject);
    client.call(&set("a", 0, b"x"));
    let mut delete = Frame::new(opcode::DELETE).key("a");
    delete.token = 1;
    assert_eq!(the_reply(client.call(&delete)).status, 2);
    let stats = subject.memcached().call(&["stats"]);
    assert!(
        stats.contains("STAT delete_misses 0\nSTAT delete_hits 0\n"),
        "{stats}"
    );
}

#[test]
fn quiet_requests_tell_what_is_not_expected() {
    let subject = Subject::start();
    let mut client = connect(&subject);
    let quiet = |frame: Frame, opcode| Frame { opcode, ..frame };
    assert_eq!(client.call(&quiet(set("a", 0, b"x"), opcode::SETQ)), []);
    assert_eq!(
        the_reply(client.call(&quiet(set("a", 0, b"x"), opcode::ADDQ))).status,
        2
    );
    assert_eq!(client.call(&Frame::new(opcode::GETKQ).key("none")), []);
    assert_eq!(
        the_reply(client.call(&Frame::new(opcode::GETKQ).key("a"))).value,
        b"x"
    );
    assert_eq!(client.call(&Frame::new(opcode::DELETEQ).key("a")), []);
    assert_eq!(
        the_reply(client.call(&Frame::new(opcode::DELETEQ).key("a"))).status,
        1
    );
}

#[test]
fn numbers_are_made_where_that_is_asked_for() {
    let subject = Subject::start();
    let mut client = connect(&subject);
    let change = |code, by: u64, initial: u64, exptime: u32| {
        let extras = [
            &by.to_be_bytes()[..],
            &initial.to_be_bytes(),
            &exptime.to_be_bytes(),
        ];
        Frame::new(code).key("n").extras(&extras.concat())
    };
    let missing = the_reply(client.call(&change(opcode::INCREMENT, 1, 10, u32::MAX)));
    assert_eq!((missing.status, &missing.value[..]), (1, &b"Not found"[..]));
    let made = the_reply(client.call(&change(opcode::INCREMENT, 1, 10, 0)));
    assert_eq!(made.value, 10_u64.to_be_bytes());
    let changed = the_reply(client.call(&change(opcode::DECREMENT, 3, 0, 0)));
    assert_eq!(changed.value, 7_u64.to_be_bytes());
    assert_ne!(changed.token, made.token);
    client.call(&set("n", 0, b"x"));
    assert_eq!(
        the_reply(client.call(&change(opcode::INCREMENT, 1, 10, 0))).status,
        6
    );
}

#[test]
fn statistics_come_in_frames() {
    let subject = Subject::start();
    let mut client = connect(&subject);
    client.call(&set("a", 0, b"x"));
    let stats = client.call(&Frame::new(opcode::STAT));
    let value = |name: &[u8]| {
        stats
            .iter()
            .find(|stat| stat.key == name)
            .map(|stat| &stat.value[..])
    };
    assert_eq!(value(b"curr_items"), Some(&b"1"[..]));
    let last = stats.last().expect("an end");
    assert!(last.key.is_empty() && last.value.is_empty());
    let unknown = the_reply(client.call(&Frame::new(opcode::STAT).key("nosuch")));
    assert_eq!(unknown.status, 1);
}

#[test]
fn what_is_no_request_ends_the_connection() {
    let subject = Subject::start();
    let mut client = connect(&subject);
    client.send(&Frame::new(opcode::GET));
    let refused = client.receive().expect("a reason");
    assert_eq!(
        (refused.status, &refused.value[..]),
        (4, &b"Invalid arguments"[..])
    );
    assert_eq!(client.receive(), Err(Lost::Closed));
    let mut client = connect(&subject);
    client.call(&Frame::new(opcode::NOOP));
    client.send_raw(b"get a\r\n");
    assert_eq!(client.receive(), Err(Lost::Closed));
}

#[test]
fn a_password_is_given_by_sasl() {
    let subject = Subject::start_with(&[("requirepass", "secret")]);
    let mut client = connect(&subject);
    client.send(&Frame::new(opcode::GET).key("a"));
    assert_eq!(client.receive().map(|reply| reply.status), Ok(0x20));
    assert_eq!(client.receive(), Err(Lost::Closed));
    let start = |message: &[u8]| Frame::new(opcode::SASL_START).key("PLAIN").value(message);
    let mut client = connect(&subject);
    client.send_raw(&Frame::new(opcode::SASL_MECHANISMS).bytes());
    assert_eq!(client.receive().expect("a list").value, b"PLAIN");
    client.send_raw(&start(b"\0default\0wrong").bytes());
    let refused = client.receive().expect("an answer");
    assert_eq!(
        (refused.status, &refused.value[..]),
        (0x20, &b"Auth failure."[..])
    );
    client.send_raw(&start(b"\0default\0secret").bytes());
    let accepted = client.receive().expect("an answer");
    assert_eq!(
        (accepted.status, &accepted.value[..]),
        (0, &b"Authenticated"[..])
    );
    assert_eq!(the_reply(client.call(&set("a", 0, b"x"))).status, 0);
    let open = Subject::start();
    let unknown = the_reply(connect(&open).call(&Frame::new(opcode::SASL_MECHANISMS)));
    assert_eq!(unknown.status, 0x81);
}
