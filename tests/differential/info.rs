//! Which fields INFO has, beside redis-server.

use std::collections::BTreeSet;

use tests::Subject;
use tests::peer::{Kind, Peer};
use tests::resp::RespClient;

/// What redis-server tells of how it was built and how it works inside.
const ITS_OWN: &[&str] = &[
    "redis_build_id",
    "atomicvar_api",
    "gcc_version",
    "rdb_changes_since_last_save",
    "rdb_last_save_time",
    "lazyfree_pending_objects",
    "lazyfreed_objects",
    "instantaneous_input_repl_kbps",
    "instantaneous_output_repl_kbps",
    "expired_stale_perc",
    "expired_time_cap_reached_count",
    "expire_cycle_cpu_milliseconds",
    "total_eviction_exceeded_time",
    "current_eviction_exceeded_time",
    "dump_payload_sanitizations",
    "io_threaded_reads_processed",
    "io_threaded_writes_processed",
    "reply_buffer_shrinks",
    "reply_buffer_expands",
    "used_cpu_sys_main_thread",
    "used_cpu_user_main_thread",
];

/// The sections in their order, and the names of all fields.
fn outline(client: &mut RespClient) -> (Vec<String>, BTreeSet<String>) {
    let reply = client.call(&["INFO", "everything"]);
    let text = String::from_utf8(reply.text().expect("a text").to_vec()).expect("UTF-8");
    let (sections, fields): (Vec<&str>, Vec<&str>) = text
        .lines()
        .filter(|line| !line.is_empty())
        .partition(|line| line.starts_with('#'));
    let name = |line: &str| line.split(':').next().unwrap_or_default().to_owned();
    let sections = sections.into_iter().map(str::to_owned).collect();
    (sections, fields.into_iter().map(name).collect())
}

#[test]
fn info_has_the_sections_and_fields_of_redis() {
    let Some(peer) = Peer::start(Kind::Redis, "the test of INFO's fields") else {
        return;
    };
    let subject = Subject::start();
    let [(ours, our_fields), (theirs, their_fields)] =
        [subject.resp(), RespClient::connect(peer.address)].map(|mut client| {
            client.call(&["CONFIG", "RESETSTAT"]);
            client.call(&["SET", "k", "v", "EX", "100"]);
            client.call(&["HSET", "k", "f", "v"]);
            outline(&mut client)
        });
    assert_eq!(ours, theirs, "the sections");
    let missing: Vec<_> = their_fields
        .difference(&our_fields)
        .filter(|name| !name.contains("active_defrag") && !ITS_OWN.contains(&name.as_str()))
        .collect();
    assert!(missing.is_empty(), "missing: {missing:?}");
}
