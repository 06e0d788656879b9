//! Hand-written bytes that are hostile, or nearly right, cut at every byte.

use tests::Subject;
use tests::memcached::MemcachedClient;
use tests::resp::Lost;

use super::newest;

/// What is sent, each to a connection of its own. `{big}` stands for 2 MB.
const BYTES: &[&str] = &[
    "get a b\r\ngets a\r\n",
    "get a\nget b\n",
    "set a 1 0 3\nabc\r\nget a\n",
    "set a 1 0 3\r\nabc\nget a\r\nget a\r\n",
    "set a 1 0 3\r\nabcdef\r\nget a\r\n",
    "set a 1 0 3 noreply\r\nabcdef\r\nget a\r\n",
    "set a 1 0 x\r\nabc\r\nget a\r\n",
    "set a x 0 3\r\nget\r\nget a\r\n",
    "set a 1 0 -1\r\nget a\r\n",
    "set a 1 0 4294967296\r\nget a\r\n",
    "set a 1 0 2147483646\r\nget a\r\n",
    "set a 1 0\r\nset\r\n\r\n\n \na\r\nab\r\n",
    "set a 1 0 2000000\r\n{big}\r\nget a\r\n",
    "add a 1 0 2000000\r\n{big}\r\nget a\r\n",
    "set a 1 0 2000000 noreply\r\n{big}\r\nget a\r\n",
    "ms a 2000000 q\r\n{big}\r\nmg a v\r\n",
    "ms a 2000000 ME\r\n{big}\r\nmg a v\r\n",
    "ms a 3 y\r\nabc\r\nmn\r\n",
    "ms a 3 v v\r\nabc\r\nmn\r\n",
    "ms a 3 !\r\nmn\r\nmn\r\n",
    "ms a x\r\nmn\r\n",
    "ms a 3 q\r\nabcd\r\nmn\r\n",
    "ms a 3 Mx q\r\nabc\r\nmn\r\n",
    "ms a 3 O123456789012345678901234567890123 q\r\nabc\r\nmn\r\n",
    "ms a\r\nms\r\nmg\r\nmd\r\nma\r\nmx a\r\nmn extra\r\n",
    "mg a v v\r\nmg a y\r\nmg a !\r\nmg a Tx\r\nmg a R\r\nmg a C-1\r\n",
    "mg a O123456789012345678901234567890123\r\nmn\r\n",
    "mg a 1\r\nmg a [\r\nmg a {\r\nmg a ~\r\n",
    "mg a a b c d e f g h i j k l m n o p q r s t\r\n",
    "mg !!! b\r\nmg Zm9 b\r\nmg Zm9v b k\r\nmg Zm9v b k v q\r\nmn\r\n",
    "ms Zm9v 1 b k\r\nx\r\nmg Zm9v b k v\r\nget foo\r\nmd Zm9v b k q\r\nmn\r\n",
    "ma a Dx\r\nma a v v\r\nma a Mx\r\nma a Jx N0\r\nma a N\r\n",
    "mn\r\nMN\r\nmn\nmn \r\n",
    "touch a\r\ntouch a x\r\ntouch a 1 2 3\r\ngat\r\ngat 1\r\ngat x a\r\n",
    "incr a\r\nincr a x\r\nincr a -1\r\nincr a +1\r\nincr a 18446744073709551616\r\n",
    "flush_all x\r\nflush_all 0 noreply\r\nflush_all noreply\r\n flush_all\r\nflush_all 0\r\n",
    "verbosity\r\nverbosity x\r\nverbosity 1 2 3\r\nverbosity 0 noreply\r\n",
    "cache_memlimit\r\ncache_memlimit x\r\ncache_memlimit 1\r\ncache_memlimit 4000000000\r\n",
    "shutdown\r\nshutdown now\r\nnosuch\r\nnosuch noreply\r\n get a\r\nGET a\r\nget\ta\r\n",
    "lru_crawler\r\nlru_crawler metadump\r\nlru_crawler metadump all x\r\nlru_crawler mgdump\r\n",
    "lru_crawler nosuch\r\nlru_crawler metadump\r\nmn\r\n",
    "lru_crawler metadump 0\r\n",
    "lru_crawler mgdump 64\r\n",
    " lru_crawler metadump 2,x\r\n",
    "lru_crawler mgdump -1\r\n",
    "lru_crawler metadump ALL\r\n",
    "get a\0b\r\nset a\tb 0 0 1\r\nx\r\nget a\tb\r\n",
    "quit\r\nget a\r\n",
    "GET / HTTP/1.1\r\nget a\r\n",
];

#[test]
fn hostile_lines_are_answered_as_memcached_does() {
    let Some(peer) = newest("the test of hostile lines") else {
        return;
    };
    let subject = Subject::start();
    let big = "x".repeat(2_000_000);
    for bytes in BYTES {
        let is_short = !bytes.contains("{big}");
        let sent = bytes.replace("{big}", &big);
        let to_peer = answers(
            forgetful(MemcachedClient::connect(peer.address)),
            &[sent.as_bytes()],
        );
        let whole = answers(forgetful(subject.memcached()), &[sent.as_bytes()]);
        assert_eq!(whole, to_peer, "{bytes:?}");
        for at in (1..sent.len()).filter(|_| is_short) {
            let (first, second) = sent.as_bytes().split_at(at);
            let cut = answers(forgetful(subject.memcached()), &[first, second]);
            assert_eq!(cut, to_peer, "{bytes:?} cut at {at}");
        }
    }
}

#[test]
fn a_line_without_an_end_is_not_waited_for() {
    let Some(peer) = newest("the test of endless lines") else {
        return;
    };
    let subject = Subject::start();
    let long = "x".repeat(3_000);
    let keys = "x ".repeat(1_500);
    for bytes in [
        long.clone(),
        format!("set {long}"),
        format!("gat 0 {keys}"),
        format!("mg {long}"),
        format!("{}get {keys}", " ".repeat(200)),
    ] {
        for mut client in [MemcachedClient::connect(peer.address), subject.memcached()] {
            client.send_raw(bytes.as_bytes());
            assert_eq!(
                client.try_receive(),
                Err(Lost::Closed),
                "{:?}",
                &bytes[..20]
            );
        }
    }
    for bytes in [format!("get {keys}"), format!("gets {keys}")] {
        for mut client in [MemcachedClient::connect(peer.address), subject.memcached()] {
            client.send_raw(bytes.as_bytes());
            client.send_raw(b"\r\n");
            assert_eq!(client.try_receive(), Ok(b"END\r\n".to_vec()));
        }
    }
}

/// The client of a server that has none of the items named above.
fn forgetful(mut client: MemcachedClient) -> MemcachedClient {
    for key in ["a", "b", "foo", "a\tb"] {
        client.call(&[&format!("delete {key}")]);
    }
    client
}

/// All that is answered to bytes sent in pieces, and how that ends.
fn answers(mut client: MemcachedClient, pieces: &[&[u8]]) -> (String, Option<Lost>) {
    const LAST: &[u8] = b"VERSION ";
    pieces.iter().for_each(|piece| client.send_raw(piece));
    client.send_raw(b"version\r\n");
    let mut answer = String::new();
    loop {
        match client.try_receive() {
            Ok(part) if part.starts_with(LAST) => return (answer, None),
            Ok(part) => answer += &String::from_utf8_lossy(&part),
            Err(lost) => return (answer, Some(lost)),
        }
    }
}
