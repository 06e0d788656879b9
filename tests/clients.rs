//! What a program sees that uses a client library: the `redis` and the `memcache` crate.

use std::collections::{BTreeSet, HashMap};

use redis::{Commands, Connection, JsonCommands, Value};
use serde_json::json;
use tests::Subject;

fn resp_connection(subject: &Subject, options: &str) -> Connection {
    let client = redis::Client::open(format!("redis://{}/{options}", subject.resp_address()));
    client
        .expect("an address")
        .get_connection()
        .expect("a connection")
}

fn memcached_client(subject: &Subject, protocol: &str) -> memcache::Client {
    let address = format!(
        "memcache://{}?protocol={protocol}&timeout=10",
        subject.memcached_address()
    );
    memcache::connect(address).expect("a connection")
}

#[test]
fn the_redis_crate_over_both_protocol_versions() {
    for options in ["0", "?protocol=resp3"] {
        let subject = Subject::start();
        let mut client = resp_connection(&subject, options);
        let () = client.set("k", "v").expect("SET");
        assert_eq!(client.get("k"), Ok("v".to_owned()));
        assert_eq!(client.incr("n", 5), Ok(5));
        assert_eq!(client.get("none"), Ok(None::<String>));
        let () = client.set_ex("e", "v", 100).expect("SETEX");
        let seconds: i64 = client.ttl("e").expect("TTL");
        assert!((99..=100).contains(&seconds));

        let () = client
            .hset_multiple("h", &[("a", 1), ("b", 2)])
            .expect("HSET");
        let hash: HashMap<String, i64> = client.hgetall("h").expect("HGETALL");
        assert_eq!(
            hash,
            HashMap::from([("a".to_owned(), 1), ("b".to_owned(), 2)])
        );

        let () = client.sadd("s", &["x", "y", "z"]).expect("SADD");
        let members: BTreeSet<String> = client.smembers("s").expect("SMEMBERS");
        assert_eq!(members.into_iter().collect::<Vec<_>>(), ["x", "y", "z"]);

        let error = client
            .hget::<_, _, String>("k", "f")
            .expect_err("of another type");
        assert_eq!(error.code(), Some("WRONGTYPE"));
    }
}

#[test]
fn the_redis_crate_pipelines_and_scans() {
    let subject = Subject::start();
    let mut client = resp_connection(&subject, "0");
    let mut pipeline = redis::pipe();
    for at in 0..500 {
        pipeline.set(format!("key:{at}"), at).ignore();
    }
    pipeline.cmd("DBSIZE");
    let (count,): (i64,) = pipeline.query(&mut client).expect("500 SETs and DBSIZE");
    assert_eq!(count, 500);
    let keys: BTreeSet<String> = client
        .scan_match("key:4*")
        .expect("SCAN")
        .collect::<Result<_, _>>()
        .expect("keys");
    assert_eq!(keys.len(), 111);
    let values: Vec<i64> = client.mget(&["key:1", "key:499"]).expect("MGET");
    assert_eq!(values, [1, 499]);
}

#[test]
fn the_redis_crate_changes_documents() {
    for options in ["0", "?protocol=resp3"] {
        let subject = Subject::start();
        let mut client = resp_connection(&subject, options);
        let user = json!({"age": 30, "prefs": {"theme": "dark"}, "tags": []});
        let is_set: bool = client.json_set("user", "$", &user).expect("JSON.SET");
        assert!(is_set);
        let () = client
            .json_set("user", "$.prefs.theme", &"light")
            .expect("JSON.SET of a field");
        let text: String = client.json_get("user", "$.prefs").expect("JSON.GET");
        assert_eq!(text, r#"[{"theme":"light"}]"#);
        let _: Value = client
            .json_num_incr_by("user", "$.age", 2)
            .expect("JSON.NUMINCRBY");
        let lengths: Vec<i64> = client
            .json_arr_append("user", "$.tags", &json!("new"))
            .expect("JSON.ARRAPPEND");
        assert_eq!(lengths, [1]);
        let names: Vec<Vec<String>> = client.json_obj_keys("user", "$").expect("JSON.OBJKEYS");
        assert_eq!(names, [["age", "prefs", "tags"]]);
        let texts: Vec<Option<String>> = client
            .json_mget(&["user", "none"], "$.age")
            .expect("JSON.MGET");
        assert_eq!(texts, [Some("[32]".to_owned()), None]);
        let count: i64 = client.json_del("user", "$.tags").expect("JSON.DEL");
        assert_eq!(count, 1);
        let text: String = client.json_get("user", ".").expect("JSON.GET");
        assert_eq!(text, r#"{"age":32,"prefs":{"theme":"light"}}"#);
        let error = client
            .json_set::<_, _, _, ()>("new", "$.a", &1)
            .expect_err("not at the root");
        assert!(error.to_string().contains("root"), "{error}");
    }
}

#[test]
fn the_memcache_crate_speaks_text() {
    check_memcache_crate("ascii");
}

#[test]
fn the_memcache_crate_speaks_frames() {
    check_memcache_crate("binary");
}

fn check_memcache_crate(protocol: &str) {
    let subject = Subject::start();
    let client = memcached_client(&subject, protocol);
    assert!(
        client
            .version()
            .expect("version")
            .iter()
            .all(|(_, version)| !version.is_empty())
    );
    client.set("k", "v", 100).expect("set");
    assert_eq!(
        client.get::<String>("k").expect("get"),
        Some("v".to_owned())
    );
    assert_eq!(client.get::<String>("none").expect("get"), None);
    // In text the crate does not tell NOT_STORED from STORED.
    let is_told = client.add("k", "w", 0).is_err();
    assert_eq!(is_told, protocol == "binary");
    assert_eq!(
        client.get::<String>("k").expect("get"),
        Some("v".to_owned())
    );
    client.add("new", "w", 0).expect("add");
    client.replace("k", "xyz", 0).expect("replace");
    client.append("k", "!").expect("append");
    client.prepend("k", "<").expect("prepend");
    assert_eq!(
        client.get::<String>("k").expect("get"),
        Some("<xyz!".to_owned())
    );

    client.set("n", 10, 0).expect("set");
    assert_eq!(client.increment("n", 5).expect("incr"), 15);
    assert_eq!(client.decrement("n", 20).expect("decr"), 0);
    assert!(client.touch("n", 100).expect("touch"));

    let found: HashMap<String, String> = client.gets(&["k", "new", "none"]).expect("gets");
    assert_eq!(found.len(), 2);
    let with_tokens: HashMap<String, (Vec<u8>, u32, Option<u64>)> =
        client.gets(&["new"]).expect("gets");
    let token = with_tokens["new"].2.expect("a token");
    assert!(client.cas("new", "1", 0, token).expect("cas"));
    assert!(!client.cas("new", "2", 0, token).expect("cas"));

    assert!(client.delete("k").expect("delete"));
    assert!(!client.delete("k").expect("delete"));
    client.flush().expect("flush_all");
    assert_eq!(client.get::<String>("new").expect("get"), None);
    assert!(!client.stats().expect("stats").is_empty());
}

#[test]
fn both_crates_share_their_keys() {
    let subject = Subject::start();
    let (old, mut new) = (
        memcached_client(&subject, "ascii"),
        resp_connection(&subject, "0"),
    );
    old.set("counter", 41, 0).expect("set");
    assert_eq!(new.incr("counter", 1), Ok(42));
    assert_eq!(old.get::<u64>("counter").expect("get"), Some(42));
    let () = new.set("k", "from RESP").expect("SET");
    assert_eq!(
        old.get::<String>("k").expect("get"),
        Some("from RESP".to_owned())
    );
    let () = new.del("k").expect("DEL");
    assert_eq!(old.get::<String>("k").expect("get"), None);
}
