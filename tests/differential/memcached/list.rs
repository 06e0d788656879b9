//! Lists of all items: the same items at our Memcached port and at memcached. `hash` is asked for
//! where there was a read before: by LRU, memcached passes over items that are being moved.

use std::collections::{BTreeMap, BTreeSet};

use tests::Subject;
use tests::memcached::MemcachedClient;

use super::{base64, newest};

/// Memcached notes a use at most once a minute unless the item is new; ours are as exact as 4 s.
const SECONDS_OFF_MAX: u64 = 5;

/// The lines of a list, in order.
fn list(client: &mut MemcachedClient, request: &str) -> Vec<String> {
    client.send_raw(format!("{request}\r\n").as_bytes());
    let mut lines = Vec::new();
    loop {
        let line = client.try_receive().expect("a line of a list");
        let line = String::from_utf8_lossy(&line).into_owned();
        let is_last = ["END\r\n", "EN\r\n"].contains(&line.as_str());
        lines.push(line);
        if is_last {
            return lines;
        }
    }
}

/// The items of a list of metadata by their keys, each with its fields.
fn items(lines: &[String]) -> BTreeMap<String, BTreeMap<String, String>> {
    let fields = |line: &String| -> BTreeMap<String, String> {
        let words = line.strip_suffix(" \n").expect("memcached's end of a line");
        let fields = words.split(' ').map(|word| {
            let (name, value) = word.split_once('=').expect("name=value");
            (name.to_owned(), value.to_owned())
        });
        fields.collect()
    };
    let items = lines.iter().filter(|line| line.starts_with("key="));
    items
        .map(|line| (fields(line)["key"].clone(), fields(line)))
        .collect()
}

fn store_items(client: &mut MemcachedClient) {
    let later = 2_000_000_000_u64;
    for (line, value) in [
        ("set plain 0 0 1", "x"),
        ("set flags 4294967295 0 5", "12345"),
        ("set empty 0 0 0", ""),
        ("set soon 0 1000 1", "x"),
        (&format!("set later 7 {later} 1"), "x"),
        ("set {signs}+&%2F-._~ 0 0 1", "x"),
        ("set caf\u{e9} 0 0 1", "x"),
    ] {
        assert_eq!(client.call(&[line, value]), "STORED", "{line}");
    }
    for key in [&b"with blanks"[..], b"\0\x01\n\x1f\x7f\x80\xff x"] {
        let key = String::from_utf8(base64(key)).expect("digits");
        assert_eq!(client.call(&[&format!("ms {key} 2 b"), "xy"]), "HD");
    }
    for number in 0..300 {
        let line = format!("set many:{number} 0 0 1");
        assert_eq!(client.call(&[&line, "x"]), "STORED");
    }
    assert_eq!(client.call(&["get plain"]), "VALUE plain 0 1\nx\nEND");
}

#[test]
fn lists_of_items_are_memcacheds() {
    let Some(peer) = newest("the test of lists of items") else {
        return;
    };
    let subject = Subject::start();
    let mut clients = [subject.memcached(), MemcachedClient::connect(peer.address)];
    clients.iter_mut().for_each(store_items);
    let [ours, theirs] = clients.each_mut().map(|client| {
        let lines = list(client, "lru_crawler metadump hash");
        assert_eq!((&lines[0][..], lines.len()), ("OK\r\n", 311));
        items(&lines)
    });
    assert!(ours.keys().eq(theirs.keys()));
    for (key, item) in &ours {
        let other = &theirs[key];
        assert!(item.keys().eq(other.keys()), "{item:?}, {other:?}");
        for name in ["size", "flags", "fetch"] {
            assert_eq!(item[name], other[name], "{name} of {key}");
        }
        for name in ["exp", "la"] {
            let [ours, theirs] = [item, other].map(|item| item[name].parse::<u64>());
            let are_alike = match (&ours, &theirs) {
                (Ok(ours), Ok(theirs)) => ours.abs_diff(*theirs) <= SECONDS_OFF_MAX,
                _ => item[name] == other[name],
            };
            assert!(are_alike, "{name} of {key}: {ours:?}, {theirs:?}");
        }
    }
    for client in &mut clients {
        let item = items(&list(client, "lru_crawler metadump hash"))["plain"].clone();
        let token = format!("VALUE plain 0 1 {}\nx\nEND", item["cas"]);
        assert_eq!(client.call(&["gets plain"]), token);
    }
    let [ours, theirs] = clients
        .each_mut()
        .map(|client| BTreeSet::from_iter(list(client, "lru_crawler mgdump hash")));
    let different: Vec<_> = ours.symmetric_difference(&theirs).collect();
    assert!(different.is_empty(), "{different:?}");
}

#[test]
fn what_a_list_is_of_is_what_memcached_says() {
    let Some(peer) = newest("the test of classes of items") else {
        return;
    };
    let subject = Subject::start();
    let mut clients = [subject.memcached(), MemcachedClient::connect(peer.address)];
    for client in &mut clients {
        assert_eq!(client.call(&["set a 0 0 1", "x"]), "STORED");
    }
    // An item as small as that is of memcached's first class, too.
    for request in [
        "lru_crawler mgdump 1",
        "lru_crawler mgdump 2",
        "lru_crawler mgdump 3,1,63",
        "lru_crawler mgdump hash",
        "lru_crawler metadump 62,63",
    ] {
        let [ours, theirs] = clients.each_mut().map(|client| list(client, request));
        assert_eq!(ours, theirs, "{request}");
    }
    for client in &mut clients {
        client.send_raw(b"lru_crawler mgdump all noreply\r\nmn\r\n");
        assert_eq!(client.try_receive(), Ok(b"MN\r\n".to_vec()));
        assert_eq!(
            client.call(&["lru_crawler metadump ,"]),
            "NOTSTARTED no items to crawl"
        );
    }
}
