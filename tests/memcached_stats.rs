//! `stats` of a Memcached port: what tools read of it, and that it is true.

use std::collections::BTreeMap;
use std::process::Command;

use tests::memcached::MemcachedClient;
use tests::resp::{Reply, RespClient};
use tests::{Subject, check, eventually, peer};

/// What the Prometheus exporter reads of `stats`, without what is about slabs, the LRU and its
/// crawler, and extstore.
const READ_BY_THE_EXPORTER: &[&str] = &[
    "version",
    "uptime",
    "time",
    "get_hits",
    "get_misses",
    "delete_hits",
    "delete_misses",
    "incr_hits",
    "incr_misses",
    "decr_hits",
    "decr_misses",
    "cas_hits",
    "cas_misses",
    "cas_badval",
    "touch_hits",
    "touch_misses",
    "cmd_flush",
    "cmd_set",
    "rusage_user",
    "rusage_system",
    "bytes",
    "limit_maxbytes",
    "curr_items",
    "total_items",
    "bytes_read",
    "bytes_written",
    "curr_connections",
    "total_connections",
    "rejected_connections",
    "listen_disabled_num",
    "evictions",
    "reclaimed",
    "store_too_large",
    "store_no_memory",
    "accepting_conns",
];
/// What memcached-top, mctop, Munin's and Telegraf's plugins read besides.
const READ_BY_OTHERS: &[&str] = &[
    "pid",
    "pointer_size",
    "max_connections",
    "cmd_get",
    "cmd_touch",
    "cmd_meta",
    "get_expired",
    "expired_unfetched",
    "evicted_unfetched",
    "get_flushed",
    "auth_cmds",
    "auth_errors",
    "threads",
];

fn stats(client: &mut MemcachedClient, request: &str) -> BTreeMap<String, String> {
    let reply = client.call(&[request]);
    assert!(reply.ends_with("END"), "{request}: {reply}");
    let words = reply.lines().filter_map(|line| {
        let (name, value) = line.strip_prefix("STAT ")?.split_once(' ')?;
        Some((name.to_owned(), value.to_owned()))
    });
    words.collect()
}

fn info(client: &mut RespClient, name: &str) -> String {
    let Reply::Bulk(reply) = client.call(&["INFO"]) else {
        panic!("INFO answers a text");
    };
    let reply = String::from_utf8_lossy(&reply).into_owned();
    let prefix = format!("{name}:");
    let line = reply.lines().find_map(|line| line.strip_prefix(&prefix));
    line.unwrap_or_else(|| panic!("no {name} in {reply}"))
        .to_owned()
}

#[test]
fn tools_find_what_they_read() {
    let subject = Subject::start();
    let mut client = subject.memcached();
    let general = stats(&mut client, "stats");
    for name in READ_BY_THE_EXPORTER.iter().chain(READ_BY_OTHERS) {
        let value = general
            .get(*name)
            .unwrap_or_else(|| panic!("no {name} in {general:?}"));
        let is_number = value.parse::<f64>().is_ok();
        assert!(is_number || *name == "version", "{name} is {value}");
    }
    // The exporter reads these as seconds and microseconds.
    for name in ["rusage_user", "rusage_system"] {
        let (_, microseconds) = general[name].split_once('.').expect("a point");
        assert_eq!(microseconds.len(), 6);
    }
    assert_eq!(stats(&mut client, "stats settings")["maxconns"], "10000");
    client.call(&["set k 0 0 1", "x"]);
    let slabs = stats(&mut client, "stats slabs");
    for name in ["1:cmd_set", "1:cas_hits", "1:cas_badval", "total_malloced"] {
        assert!(slabs.contains_key(name), "no {name} in {slabs:?}");
    }
    assert_eq!(stats(&mut client, "stats items")["items:1:number"], "1");
}

#[test]
fn memcstat_prints_them() {
    let subject = Subject::start();
    let port = subject.memcached_address().port();
    let servers = format!("--servers=127.0.0.1:{port}");
    let Ok(output) = Command::new("memcstat").arg(servers).output() else {
        assert!(!peer::are_required(), "memcstat is not installed");
        return eprintln!("skipped: memcstat is not installed");
    };
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("curr_items: 0"),
        "{text}"
    );
}

#[test]
fn commands_are_counted_with_their_hits_and_misses() {
    let subject = Subject::start();
    let mut client = subject.memcached();
    client.call(&["set n 0 0 1", "5"]);
    for (lines, answer) in [
        (&["get n none"][..], "VALUE n 0 1\n5\nEND"),
        (&["add n 0 0 1", "x"], "NOT_STORED"),
        (&["incr n 1"], "6"),
        (&["incr none 1"], "NOT_FOUND"),
        (&["decr n 1"], "5"),
        (&["decr none 1"], "NOT_FOUND"),
        (&["touch n 0"], "TOUCHED"),
        (&["touch none 0"], "NOT_FOUND"),
        (&["gat 0 n none"], "VALUE n 0 1\n5\nEND"),
        (&["cas none 0 0 1 1", "x"], "NOT_FOUND"),
        (&["cas n 0 0 1 1", "x"], "EXISTS"),
        (&["mg n"], "HD"),
        (&["mg none"], "EN"),
        (&["mn"], "MN"),
        (&["delete n"], "DELETED"),
        (&["delete n"], "NOT_FOUND"),
        (&["flush_all"], "OK"),
    ] {
        assert_eq!(client.call(lines), answer, "{lines:?}");
    }
    let counted = stats(&mut client, "stats");
    for (name, count) in [
        ("cmd_get", 4),
        ("get_hits", 2),
        ("get_misses", 2),
        ("cmd_set", 4),
        ("total_items", 1),
        ("cmd_meta", 2),
        ("cmd_touch", 4),
        ("touch_hits", 2),
        ("touch_misses", 2),
        ("incr_hits", 1),
        ("incr_misses", 1),
        ("decr_hits", 1),
        ("decr_misses", 1),
        ("cas_hits", 0),
        ("cas_misses", 1),
        ("cas_badval", 1),
        ("delete_hits", 1),
        ("delete_misses", 1),
        ("cmd_flush", 1),
        ("curr_items", 0),
    ] {
        assert_eq!(counted[name], count.to_string(), "{name}");
    }
    assert_eq!(client.call(&["stats reset"]), "RESET");
    let counted = stats(&mut client, "stats");
    for name in ["cmd_get", "total_items", "cas_badval", "total_connections"] {
        assert_eq!(counted[name], "0", "{name}");
    }
}

#[test]
fn both_protocols_tell_the_same_of_keys_connections_and_bytes() {
    let subject = Subject::start();
    let (mut client, mut resp) = (subject.memcached(), subject.resp());
    client.call(&["set k 0 0 1", "x"]);
    client.call(&["set e 0 1 1", "x"]);
    resp.call(&["SADD", "s", "member"]);
    assert_eq!(stats(&mut client, "stats")["curr_items"], "3");
    assert!(eventually(
        || stats(&mut client, "stats")["reclaimed"] == "1"
    ));
    let told = stats(&mut client, "stats");
    for (name, info_name) in [
        ("curr_connections", "connected_clients"),
        ("total_connections", "total_connections_received"),
        ("rejected_connections", "rejected_connections"),
        ("reclaimed", "expired_keys"),
        ("expired_unfetched", "expired_keys"),
        ("evictions", "evicted_keys"),
        ("limit_maxbytes", "maxmemory"),
        ("pid", "process_id"),
    ] {
        assert_eq!(told[name], info(&mut resp, info_name), "{name}");
    }
    resp.call(&["CONFIG", "SET", "maxmemory", "100mb"]);
    let limit = stats(&mut client, "stats")["limit_maxbytes"].clone();
    assert_eq!(limit, (100 << 20).to_string());
}

#[test]
fn who_is_connected_is_told() {
    let subject = Subject::start();
    let (mut client, _resp) = (subject.memcached(), subject.resp());
    let told = stats(&mut client, "stats conns");
    let listener = format!("tcp:{}", subject.memcached_address());
    let own = told.iter().find_map(|(name, value)| {
        let fd = name.strip_suffix(":state")?;
        (value == "conn_parse_cmd").then(|| fd.to_owned())
    });
    let own = own.expect("the client that asks");
    assert_eq!(told[&format!("{own}:listen_addr")], listener);
    assert!(told[&format!("{own}:addr")].starts_with("tcp:127.0.0.1:"));
    assert!(told.contains_key(&format!("{own}:secs_since_last_cmd")));
}

#[test]
fn uses_are_counted_by_prefix_if_asked_for() {
    check(
        r#"
        mc> set a:1 0 0 1
        mc> x
        STORED
        mc> stats detail dump
        END
        mc> stats detail on
        OK
        mc> set a:1 0 0 1
        mc> x
        STORED
        mc> get a:1
        VALUE a:1 0 1
        x
        END
        mc> gat 0 a:2
        END
        mc> delete a:1
        DELETED
        mc> set none 0 0 1
        mc> x
        STORED
        mc> stats detail off
        OK
        mc> get a:1
        END
        mc> stats detail
        CLIENT_ERROR usage: stats detail on|off|dump
        mc> stats detail maybe
        CLIENT_ERROR usage: stats detail on|off|dump
        mc> stats foo
        ERROR
        "#,
    );
    let subject = Subject::start();
    let mut client = subject.memcached();
    client.call(&["stats detail on"]);
    client.call(&["set a:1 0 0 1", "x"]);
    client.call(&["get a:1 a:2 b:1"]);
    client.call(&["delete a:1"]);
    client.call(&["set c:1 0 0 2000000", &"x".repeat(2_000_000)]);
    client.send_raw(b"stats detail dump\r\n");
    for line in [
        "PREFIX a get 2 hit 1 set 1 del 1\r\n",
        "PREFIX b get 1 hit 0 set 0 del 0\r\n",
        "PREFIX c get 0 hit 0 set 1 del 0\r\n",
        "END\r\n",
    ] {
        assert_eq!(client.try_receive(), Ok(line.as_bytes().to_vec()));
    }
}

#[test]
fn shutdown_is_off_unless_enabled() {
    let subject = Subject::start();
    let refused = "SERVER_ERROR: shutdown not enabled";
    for request in ["shutdown", "shutdown graceful", "shutdown now"] {
        assert_eq!(subject.memcached().call(&[request]), refused);
    }
    let subject = Subject::start_with(&[("memcached_shutdown", "yes")]);
    let mut client = subject.memcached();
    let settings = stats(&mut client, "stats settings");
    assert_eq!(settings["shutdown_command"], "yes");
    let unknown = "CLIENT_ERROR invalid shutdown mode";
    assert_eq!(client.call(&["shutdown now"]), unknown);
    client.send_raw(b"shutdown\r\n");
    assert!(client.try_receive().is_err());
    let address = subject.memcached_address();
    assert!(eventually(|| std::net::TcpStream::connect(address).is_err()));
}
