//! A Memcached port behind a password, beside memcached's `-Y`.

use std::path::PathBuf;

use tests::Subject;
use tests::memcached::MemcachedClient;
use tests::peer::{Kind, Peer};
use tests::resp::Lost;

const LOGIN: &str = "set any 0 0 14\r\ndefault secret\r\n";

fn protected() -> Subject {
    Subject::start_with(&[("requirepass", "secret")])
}

/// What is answered to `request`, and then to `version`, which tells who was let in.
fn answers(mut client: MemcachedClient, request: &str) -> [Result<String, Lost>; 2] {
    let mut ask = |request: &str| {
        client.send_raw(request.as_bytes());
        let reply = client.try_receive()?;
        Ok(String::from_utf8_lossy(&reply).into_owned())
    };
    let to_request = ask(request);
    let to_version = ask("version\r\n").map(|line| match line.starts_with("VERSION ") {
        true => "VERSION".into(),
        false => line,
    });
    [to_request, to_version]
}

/// A memcached whose user `default` has that password.
fn protected_peer(kind: Kind, password: &str, test: &str) -> Option<Peer> {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{test}-users"));
    std::fs::write(&path, format!("default:{password}\n")).expect("a scratch file");
    Peer::start_with(kind, &["-Y", path.to_str().expect("a path")], test)
}

#[test]
fn passwords_are_read_as_the_newest_memcached_reads_them() {
    let password = "se cret";
    let test = "passwords_are_read_as_the_newest_memcached_reads_them";
    let Some(peer) = protected_peer(Kind::NewestMemcached, password, test) else {
        return;
    };
    let subject = Subject::start_with(&[("requirepass", password)]);
    for credentials in [
        "default se cret",
        " default se cret",
        "default  se cret",
        "default se cret ",
        "default se cret again",
        "default se",
        "default se cret\0ab",
        "default",
        " ",
    ] {
        let request = format!("set any 0 0 {}\r\n{credentials}\r\n", credentials.len());
        let to_peer = answers(MemcachedClient::connect(peer.address), &request);
        let to_subject = answers(subject.memcached(), &request);
        assert_eq!(to_subject, to_peer, "{credentials:?}");
    }
}

#[test]
fn every_first_word_is_answered_as_memcached_does() {
    let test = "every_first_word_is_answered_as_memcached_does";
    let Some(peer) = protected_peer(Kind::Memcached, "secret", test) else {
        return;
    };
    let subject = protected();
    let long = "x".repeat(2_100);
    let requests = [
        LOGIN,
        "set any 0 0 14\ndefault secret\r\n",
        "set any x y 14 noreply\r\ndefault secret\r\n",
        "  set  any 0 0 14 more and more\r\ndefault secret\r\n",
        &format!("set {} 0 0 14\r\ndefault secret\r\n", "k".repeat(251)),
        "set any 0 0 13\r\ndefault secre\r\n",
        "set any 0 0 15\r\ndefault secrets\r\n",
        "set any 0 0 12\r\nother secret\r\n",
        "set any 0 0 7\r\ndefault\r\n",
        "set any 0 0 0\r\n\r\n",
        "set any 0 0 14\r\ndefault:secret\r\n",
        "set any 0 0 14\r\ndefault secretxx",
        "set any 0 0\r\n",
        "set any 0 0 x\r\n",
        "set any 0 0 -1\r\n",
        "SET any 0 0 14\r\n",
        "add any 0 0 14\r\n",
        "get any\r\n",
        "mg any v\r\n",
        "mn\r\n",
        "stats\r\n",
        "shutdown\r\n",
        "\r\n",
        &long,
        &format!("get {long}"),
    ];
    for request in requests {
        let to_peer = answers(MemcachedClient::connect(peer.address), request);
        assert_eq!(
            answers(subject.memcached(), request),
            to_peer,
            "{request:?}"
        );
    }
}

#[test]
fn a_client_may_quit_before_its_login_as_it_may_in_the_newest_memcached() {
    let test = "a_client_may_quit_before_its_login_as_it_may_in_the_newest_memcached";
    let Some(peer) = protected_peer(Kind::NewestMemcached, "secret", test) else {
        return;
    };
    let subject = protected();
    for request in ["quit\r\n", "quitx\r\n", "quit now\r\n"] {
        let to_peer = answers(MemcachedClient::connect(peer.address), request);
        let to_subject = answers(subject.memcached(), request);
        assert_eq!(to_subject, to_peer, "{request:?}");
    }
}

#[test]
fn a_login_may_arrive_in_pieces_and_with_requests_behind_it() {
    let subject = protected();
    let mut client = subject.memcached();
    for byte in LOGIN.bytes() {
        client.send_raw(&[byte]);
    }
    assert_eq!(client.try_receive(), Ok(b"STORED\r\n".to_vec()));
    assert_eq!(client.call(&["get any"]), "END", "nothing was stored");

    let mut client = subject.memcached();
    client.send_raw(format!("get k\r\n{LOGIN}set k 0 0 1\r\nx\r\nget k\r\n").as_bytes());
    for line in [
        "CLIENT_ERROR unauthenticated\r\n",
        "STORED\r\n",
        "STORED\r\n",
        "VALUE k 0 1\r\nx\r\nEND\r\n",
    ] {
        assert_eq!(client.try_receive(), Ok(line.as_bytes().to_vec()));
    }
}

#[test]
fn logins_are_counted_and_share_their_users_with_resp() {
    let subject = protected();
    let mut resp = subject.resp();
    resp.call(&["AUTH", "default", "secret"]);
    resp.call(&["CONFIG", "SET", "requirepass", "other"]);
    let mut client = subject.memcached();
    let failure = "CLIENT_ERROR authentication failure";
    assert_eq!(client.call(&["set k 0 0 14", "default secret"]), failure);
    assert_eq!(client.call(&["set k 0 0 13", "default other"]), "STORED");
    let stats = client.call(&["stats"]);
    assert!(
        stats.contains("STAT auth_cmds 2\nSTAT auth_errors 1\n"),
        "{stats}"
    );
}

#[test]
fn memcached_clients_need_no_password_if_told_so() {
    let subject = Subject::start_with(&[("requirepass", "secret"), ("memcached_noauth", "yes")]);
    assert_eq!(subject.memcached().call(&["set k 0 0 1", "x"]), "STORED");
}
