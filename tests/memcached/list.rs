//! `lru_crawler metadump` and `mgdump`, `stats cachedump`: what is listed, and who waits meanwhile.

use std::collections::BTreeSet;

use tests::Subject;

#[test]
fn what_a_client_can_get_is_listed() {
    let subject = Subject::start();
    let (mut client, mut resp) = (subject.memcached(), subject.resp());
    resp.call(&["SET", "by resp", "12345"]);
    resp.call(&["JSON.SET", "doc", "$", r#"{"a":1}"#]);
    resp.call(&["SET", "", "no key of Memcached"]);
    resp.call(&["SET", &"k".repeat(251), "nor this"]);
    resp.call(&["SADD", "set", "member"]);
    resp.call(&["SET", "elsewhere", "x"]);
    resp.call(&["MOVE", "elsewhere", "1"]);
    client.send_raw(b"lru_crawler metadump all\r\n");
    let lines: BTreeSet<String> = (0..4)
        .map(|_| client.try_receive().expect("a line"))
        .map(|line| String::from_utf8_lossy(&line).into_owned())
        .collect();
    for (start, end) in [
        ("key=by%20resp exp=-1 la=", "cls=1 size=71 flags=0 \n"),
        ("key=doc exp=-1 la=", "cls=1 size=69 flags=0 \n"),
        ("OK", "\r\n"),
        ("END", "\r\n"),
    ] {
        let is_there = |line: &String| line.starts_with(start) && line.ends_with(end);
        assert!(lines.iter().any(is_there), "no {start}… in {lines:?}");
    }
}

#[test]
fn a_list_of_many_items_is_whole_and_nobody_waits_for_it() {
    const ITEMS: usize = 200_000;
    let subject = Subject::start_with(&[("threads", "1"), ("output_buffer_limit", "1mb")]);
    let (mut client, mut other) = (subject.memcached(), subject.memcached());
    let sets: String = (0..ITEMS)
        .map(|number| format!("set item:{number} 0 0 1 noreply\r\nx\r\n"))
        .collect();
    other.send_raw(sets.as_bytes());
    assert_eq!(other.call(&["mn"]), "MN");
    // Nobody reads this yet, and it is longer than what sockets take.
    client.send_raw(b"lru_crawler metadump all\r\nmn\r\n");
    assert_eq!(other.call(&["get item:7"]), "VALUE item:7 0 1\nx\nEND");
    assert_eq!(other.call(&["delete item:7"]), "DELETED");
    let mut keys = BTreeSet::new();
    loop {
        let line = client.try_receive().expect("a line");
        if line.starts_with(b"MN") {
            break;
        }
        if let Some(rest) = line.strip_prefix(b"key=") {
            let key = rest.split(|byte| *byte == b' ').next();
            keys.insert(key.expect("a key").to_vec());
        }
    }
    keys.insert(b"item%3A7".to_vec());
    assert_eq!(keys.len(), ITEMS);
}

#[test]
fn cachedump_lists_as_many_as_it_is_asked_for() {
    let subject = Subject::start();
    let (mut client, mut resp) = (subject.memcached(), subject.resp());
    client.call(&["set k 5 0 3", "abc"]);
    client.call(&["set expiring 0 4000000000 2", "xy"]);
    for number in 0..20 {
        resp.call(&["SET", &format!("not in a line {number}"), "x"]);
    }
    resp.call(&["SADD", "set", "member"]);
    let mut list = |request: &str| {
        client.send_raw(format!("{request}\r\n").as_bytes());
        let mut items = BTreeSet::new();
        loop {
            let line = client.try_receive().expect("a line");
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            match line.strip_prefix("ITEM ") {
                Some(item) => items.insert(item.to_owned()),
                None => return (items, line),
            };
        }
    };
    let (items, end) = list("stats cachedump 1 0");
    let all = ["expiring [2 b; 4000000000 s]", "k [3 b; 0 s]"];
    assert_eq!((items, &end[..]), (all.map(str::to_owned).into(), "END"));
    for (request, count, end) in [
        ("stats cachedump 1 1", 1, "END"),
        ("stats cachedump 1 2 3", 2, "END"),
        ("stats cachedump 1 3", 2, "END"),
        ("stats cachedump 2 0", 0, "END"),
        ("stats cachedump 63 1", 0, "END"),
        ("stats cachedump", 0, "CLIENT_ERROR bad command line"),
        ("stats cachedump 1", 0, "CLIENT_ERROR bad command line"),
        (
            "stats cachedump x 1",
            0,
            "CLIENT_ERROR bad command line format",
        ),
        (
            "stats cachedump 1 -1",
            0,
            "CLIENT_ERROR bad command line format",
        ),
        ("stats cachedump 64 1", 0, "CLIENT_ERROR Illegal slab id"),
    ] {
        let (items, last) = list(request);
        assert_eq!((items.len(), &last[..]), (count, end), "{request}");
    }
}
