//! What `stats` has counted after the same requests to our Memcached port and to memcached.

use tests::Subject;
use tests::memcached::MemcachedClient;

use super::newest;

/// Each with what is stored by it, if anything.
const REQUESTS: &[&[&str]] = &[
    &["set a 0 0 1", "x"],
    &["add a 0 0 1", "x"],
    &["add b 0 0 1", "x"],
    &["replace b 0 0 1", "y"],
    &["replace none 0 0 1", "y"],
    &["append a 0 0 1", "x"],
    &["prepend a 0 0 1", "x"],
    &["cas a 0 0 1 123456789", "x"],
    &["cas none 0 0 1 1", "x"],
    &["get a b none"],
    &["gat 0 a none"],
    &["touch a 0"],
    &["touch none 0"],
    &["set n 0 0 1", "8"],
    &["incr n 1"],
    &["incr n 1"],
    &["decr n 5"],
    &["incr none 1"],
    &["decr none 1"],
    &["incr n 1000"],
    &["mg made N30 v"],
    &["mg a T90"],
    &["mg none"],
    &["mg none T90"],
    // A value too long; what is left of its line is a request without a reply.
    &["set a 0 0 1", "xyzverbosity 0 noreply"],
    &["ms a 1", "xyzverbosity 0 noreply"],
    &["ms m 1", "x"],
    &["ms m 1 ME", "x"],
    &["ma counted N0 J7"],
    &["ma counted"],
    &["ma counted D1000"],
    &["md m I"],
    &["md m x"],
    &["md m"],
    &["md m"],
    &["delete a"],
    &["delete a"],
    &["mn"],
];
/// All counts but those of flushed and expired items, which memcached meets where it has not yet
/// removed them, and of meta commands, where it leaves out some.
const NAMES: &[&str] = &[
    "cmd_get",
    "cmd_set",
    "cmd_flush",
    "cmd_touch",
    "get_hits",
    "get_misses",
    "delete_misses",
    "delete_hits",
    "incr_misses",
    "incr_hits",
    "decr_misses",
    "decr_hits",
    "cas_misses",
    "cas_hits",
    "cas_badval",
    "touch_hits",
    "touch_misses",
    "curr_items",
    "total_items",
];

fn counts(client: &mut MemcachedClient) -> Vec<String> {
    let stats = client.call(&["stats"]);
    let is_wanted = |line: &&str| {
        NAMES
            .iter()
            .any(|name| line.split(' ').nth(1) == Some(name))
    };
    let mut lines: Vec<_> = stats.lines().filter(is_wanted).map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}

#[test]
fn counts_are_memcacheds() {
    let Some(peer) = newest("the test of counts") else {
        return;
    };
    let subject = Subject::start();
    let mut clients = [subject.memcached(), MemcachedClient::connect(peer.address)];
    for request in REQUESTS {
        let answers = clients.each_mut().map(|client| client.call(request));
        let [ours, theirs] = clients.each_mut().map(counts);
        assert_eq!(ours.len(), NAMES.len());
        assert_eq!(ours, theirs, "after {request:?}: {answers:?}");
    }
}
