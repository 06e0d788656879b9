//! The server as its operators see it: INFO, CONFIG, TIME and the like.

use tests::resp::{Lost, Reply, RespClient};
use tests::{Subject, check};

#[test]
fn config_reads_and_changes() {
    check(
        r#"
        > CONFIG GET maxmemory
        1) "maxmemory"
        2) "0"
        > CONFIG SET maxmemory 100mb
        OK
        > CONFIG GET MAXMEMORY
        1) "MAXMEMORY"
        2) "104857600"
        > CONFIG SET maxmemory 0
        OK
        > CONFIG SET maxmemory-policy allkeys-lfu
        OK
        > SET k v
        OK
        > OBJECT FREQ k
        (integer) 5
        > OBJECT IDLETIME k
        (error) ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that …
        > OBJECT IDLETIME none
        (nil)
        > CONFIG SET maxmemory-policy volatile-ttl maxmemory-samples 7 maxmemory-clients 5%
        OK
        > CONFIG GET maxmemory-clients
        1) "maxmemory-clients"
        2) "5%"
        > CONFIG SET maxmemory-clients 0%
        OK
        > CONFIG GET maxmemory-clients
        1) "maxmemory-clients"
        2) "0"
        > CONFIG SET maxmemory-policy noeviction maxmemory-clients 0
        OK
        > CONFIG SET client-output-buffer-limit "normal 1mb 2mb 3"
        OK
        > CONFIG GET client-output-buffer-limit
        1) "client-output-buffer-limit"
        2) "normal 1048576 2097152 3 slave 268435456 67108864 60 pubsub 33554432 8388608 60"
        > CONFIG SET client-output-buffer-limit "normal 0 0 0"
        OK
        > CONFIG SET maxmemory-policy best
        (error) ERR CONFIG SET failed (possibly related to argument 'maxmemory-policy') - …
        > CONFIG SET set-max-intset-entries 2 hash-max-listpack-entries 1
        OK
        > SADD s 1 2 3
        (integer) 3
        > OBJECT ENCODING s
        "…"
        > HSET h a 1 b 2
        (integer) 2
        > OBJECT ENCODING h
        "hashtable"
        > CONFIG SET nosuch 1
        (error) ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'
        > CONFIG SET timeout
        (error) ERR wrong number of arguments for 'config|set' command
        > CONFIG GET nosuch
        (empty array)
        > CONFIG RESETSTAT
        OK
        "#,
    );
}

fn refuses(client: &mut RespClient, (name, value, why): (&str, &str, &str)) {
    let reply = client.call(&["CONFIG", "SET", name, value]);
    let text = format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {why}");
    assert_eq!(reply, Reply::Error(text.into_bytes()), "{name} {value}");
}

#[test]
fn config_says_why_a_value_is_refused() {
    const NO_INTEGER: &str = "argument couldn't be parsed into an integer";
    let subject = Subject::start();
    let mut client = subject.resp();
    for case in [
        ("timeout", "x", NO_INTEGER),
        ("timeout", "99999999999999999999", NO_INTEGER),
        (
            "timeout",
            "-1",
            "argument must be between 0 and 2147483647 inclusive",
        ),
        ("set-max-intset-entries", "2kb", NO_INTEGER),
        (
            "hash-max-listpack-value",
            "x",
            "argument must be a memory value",
        ),
        ("save", "sometimes", "Invalid save parameters"),
        ("save", "900", "Invalid save parameters"),
        ("appendonly", "sometimes", "argument must be 'yes' or 'no'"),
    ] {
        refuses(&mut client, case);
    }
    for nothing in [["save", ""], ["appendonly", "no"]] {
        let reply = client.call(&[["CONFIG", "SET"], nothing].concat());
        assert_eq!(reply, Reply::Status(b"OK".to_vec()), "{nothing:?}");
    }
}

#[test]
fn what_would_be_written_to_disk_is_refused() {
    let subject = Subject::start();
    if subject.is_peer() {
        return;
    }
    let mut client = subject.resp();
    for case in [
        (
            "save",
            "900 1",
            "argument must be empty: no snapshots are written",
        ),
        (
            "appendonly",
            "yes",
            "argument must be 'no': writes are not logged",
        ),
    ] {
        refuses(&mut client, case);
    }
}

#[test]
fn info_has_the_fields_that_tools_read() {
    let subject = Subject::start();
    let mut client = subject.resp();
    client.call(&["SET", "k", "v", "EX", "100"]);
    client.call(&["GET", "k"]);
    client.call(&["GET", "none"]);
    let reply = client.call(&["INFO"]);
    let info = String::from_utf8(reply.text().expect("a text").to_vec()).expect("UTF-8");
    for field in [
        "# Server",
        "redis_version:7.2.4",
        "tcp_port:",
        "uptime_in_seconds:",
        "# Clients",
        "connected_clients:1",
        "# Memory",
        "used_memory:",
        "maxmemory:0",
        "# Stats",
        "total_commands_processed:",
        "keyspace_hits:1",
        "keyspace_misses:1",
        "# Replication",
        "role:master",
        "# CPU",
        "# Keyspace",
        "db0:keys=1,expires=1",
    ] {
        assert!(info.contains(field), "no {field} in\n{info}");
    }
    assert!(!info.contains("cache_mode_order"), "that is no cache");
    client.call(&["CONFIG", "SET", "maxmemory-policy", "cache_mode"]);
    let reply = client.call(&["INFO", "stats"]);
    let stats = String::from_utf8(reply.text().expect("a text").to_vec()).expect("UTF-8");
    assert!(stats.contains("\r\ncache_mode_order:fifo\r\n"), "{stats}");
    client.call(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    let reply = client.call(&["INFO", "keyspace"]);
    let keyspace = String::from_utf8(reply.text().expect("a text").to_vec()).expect("UTF-8");
    assert!(keyspace.starts_with("# Keyspace\r\ndb0:keys=1") && !keyspace.contains("# Server"));
}

#[test]
fn info_tells_how_often_and_how_long_commands_ran() {
    let subject = Subject::start();
    let mut client = subject.resp();
    client.call(&["CONFIG", "RESETSTAT"]);
    client.call(&["SADD", "big", "x"]);
    for _ in 0..3 {
        client.call(&["GET", "none"]);
    }
    client.call(&["GET", "big"]);
    client.call(&["GET"]);
    let reply = client.call(&["INFO", "commandstats"]);
    let info = String::from_utf8(reply.text().expect("a text").to_vec()).expect("UTF-8");
    let line = info
        .lines()
        .find_map(|line| line.strip_prefix("cmdstat_get:"));
    let fields: Vec<(&str, &str)> = line
        .expect("GET was called")
        .split(',')
        .filter_map(|field| field.split_once('='))
        .collect();
    let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
    let expected = "calls usec usec_per_call rejected_calls failed_calls";
    assert_eq!(names.join(" "), expected);
    let number = |at: usize| fields[at].1.parse::<f64>().expect("a number");
    assert_eq!((number(0), number(3), number(4)), (4.0, 1.0, 1.0));
    assert!(number(2) > 0.0, "{info}");
}

#[test]
fn what_is_refused_takes_no_time() {
    let subject = Subject::start();
    let mut client = subject.resp();
    client.call(&["ECHO"]);
    let mut info = |section| {
        let reply = client.call(&["INFO", section]);
        String::from_utf8(reply.text().expect("a text").to_vec()).expect("UTF-8")
    };
    let calls = info("commandstats");
    let expected = "cmdstat_echo:calls=0,usec=0,usec_per_call=0.00,rejected_calls=1,failed_calls=0";
    assert!(calls.contains(expected), "{calls}");
    let times = info("latencystats");
    assert!(!times.contains("usec_echo"), "{times}");
}

#[test]
fn info_tells_how_the_times_of_commands_are_distributed() {
    let subject = Subject::start();
    let mut client = subject.resp();
    let latencies = |client: &mut RespClient| {
        let reply = client.call(&["INFO", "latencystats"]);
        let text = String::from_utf8(reply.text().expect("a text").to_vec()).expect("UTF-8");
        let line = text.lines().find(|line| line.contains("_usec_get:"));
        line.map(str::to_owned)
    };
    client.call(&["CONFIG", "RESETSTAT"]);
    assert_eq!(latencies(&mut client), None);
    (0..20).for_each(|_| drop(client.call(&["GET", "k"])));
    let line = latencies(&mut client).expect("GET was called");
    let fields: Vec<(&str, f64)> = line
        .trim_start_matches("latency_percentiles_usec_get:")
        .split(',')
        .filter_map(|field| field.split_once('='))
        .map(|(name, usec)| (name, usec.parse().expect("a number")))
        .collect();
    let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["p50", "p99", "p99.9"]);
    assert!(0.0 < fields[0].1 && fields.is_sorted_by_key(|(_, usec)| *usec));
    let percentiles = "latency-tracking-info-percentiles";
    client.call(&["CONFIG", "SET", percentiles, "100 12.50"]);
    let line = latencies(&mut client).expect("they are still counted");
    assert!(
        line.contains(":p100=") && line.contains(",p12.5="),
        "{line}"
    );
    client.call(&["CONFIG", "SET", "latency-tracking", "no"]);
    assert_eq!(latencies(&mut client), None);
}

#[test]
fn a_command_that_another_thread_carries_out_took_one_time() {
    let subject = Subject::start();
    let mut client = subject.resp();
    let numbers: Vec<String> = (0..20_000).map(|number| format!("m{number}")).collect();
    let members = numbers.iter().map(String::as_str);
    let add: Vec<&str> = ["SADD", "large"].into_iter().chain(members).collect();
    client.call(&add);
    client.call(&[
        "CONFIG",
        "SET",
        "latency-tracking-info-percentiles",
        "0 100",
    ]);
    client.call(&["CONFIG", "RESETSTAT"]);
    client.call(&["SMEMBERS", "large"]);
    let reply = client.call(&["INFO", "latencystats"]);
    let text = String::from_utf8(reply.text().expect("a text").to_vec()).expect("UTF-8");
    let line = text.lines().find(|line| line.contains("_usec_smembers:"));
    let (least, most) = line
        .and_then(|line| line.split_once(','))
        .expect("two times");
    let usec = |field: &str| field.rsplit('=').next().map(str::to_owned);
    assert_eq!(usec(least), usec(most), "{text}");
}

#[test]
fn info_tells_how_long_keys_have_left_on_average() {
    let subject = Subject::start();
    let mut client = subject.resp();
    client.call(&["SET", "a", "v", "EX", "100"]);
    client.call(&["SET", "b", "v", "EX", "300"]);
    client.call(&["SET", "c", "v"]);
    let mut mean_ttl_ms = || {
        let reply = client.call(&["INFO", "keyspace"]);
        let text = String::from_utf8(reply.text().expect("a text").to_vec()).expect("UTF-8");
        let (_, number) = text.trim_end().rsplit_once("avg_ttl=").expect("it is told");
        number.parse::<u64>().expect("a number")
    };
    // A sweep has to come by.
    while mean_ttl_ms() == 0 {
        std::thread::yield_now();
    }
    let found = mean_ttl_ms();
    assert!((150_000..=200_000).contains(&found), "{found}");
}

#[test]
fn time_goes_on() {
    let subject = Subject::start();
    let mut client = subject.resp();
    let mut microseconds = || {
        let reply = client.call(&["TIME"]);
        let number = |at: usize| {
            let text = reply.elements()[at].text().expect("a number");
            String::from_utf8_lossy(text)
                .parse::<u64>()
                .expect("a number")
        };
        number(0) * 1_000_000 + number(1)
    };
    let (before, after) = (microseconds(), microseconds());
    assert!(before > 1_600_000_000_000_000 && before <= after);
}

#[test]
fn memory_is_told_and_given_back() {
    let subject = Subject::start();
    let mut client = subject.resp();
    client.call(&["SET", "k", &"x".repeat(10_000)]);
    let Reply::Integer(bytes) = client.call(&["MEMORY", "USAGE", "k"]) else {
        panic!("a number")
    };
    assert!((10_000..20_000).contains(&bytes), "{bytes}");
    client.call(&["SADD", "s", "1", "2", "3"]);
    let Reply::Integer(bytes) = client.call(&["MEMORY", "USAGE", "s"]) else {
        panic!("a number")
    };
    assert!((16..500).contains(&bytes), "{bytes}");
}

#[test]
fn lolwut_is_a_joy() {
    let subject = Subject::start();
    let reply = subject.resp().call(&["LOLWUT"]);
    assert!(
        reply.text().is_some_and(|text| text.len() > 20),
        "{reply:?}"
    );
}

#[test]
fn shutdown_ends_the_server() {
    let subject = Subject::start();
    let (mut client, mut other) = (subject.resp(), subject.resp());
    let syntax = Reply::Error(b"ERR syntax error".to_vec());
    assert_eq!(client.call(&["SHUTDOWN", "nonsense"]), syntax);
    assert_eq!(client.call(&["SHUTDOWN", "SAVE", "NOSAVE"]), syntax);
    assert_eq!(other.call(&["PING"]), Reply::Status(b"PONG".to_vec()));
    client.send(&["SHUTDOWN", "NOSAVE"]);
    assert_eq!(client.try_receive(), Err(Lost::Closed));
    assert_eq!(other.try_receive(), Err(Lost::Closed));
}
