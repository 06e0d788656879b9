//! What counts as a hit or as a miss: each command that looks at keys, beside redis-server.

use tests::Subject;
use tests::peer::{Kind, Peer};
use tests::resp::RespClient;

/// What there is before each command.
const SETUP: &[&str] = &[
    "FLUSHALL",
    "SET s abc",
    "SET n 5",
    "SET x abc EX 100",
    "SADD set 1 2 a",
    "SADD set2 1 b",
    "HSET h f 1 g 2",
    "SETBIT b 5 1",
];

/// `no` is no key.
const COMMANDS: &[&str] = &[
    "GET s",
    "GET no",
    "GET set",
    "MGET s no n set",
    "STRLEN s",
    "STRLEN no",
    "GETRANGE s 0 1",
    "SUBSTR no 0 1",
    "LCS s no",
    "EXISTS s",
    "EXISTS no",
    "EXISTS s no n s",
    "TYPE s",
    "TYPE no",
    "TTL x",
    "PTTL no",
    "EXPIRETIME x",
    "PEXPIRETIME s",
    "TOUCH s",
    "TOUCH s no no",
    "OBJECT ENCODING s",
    "OBJECT ENCODING no",
    "OBJECT REFCOUNT s",
    "OBJECT IDLETIME s",
    "MEMORY USAGE s",
    "MEMORY USAGE no",
    "GETSET s y",
    "GETSET no y",
    "GETSET set y",
    "SET s z GET",
    "SET no z GET",
    "SET set z GET",
    "SET s z XX GET",
    "SET no z XX GET",
    "SET s z NX",
    "SET no z XX",
    "GETDEL s",
    "GETDEL no",
    "GETDEL set",
    "GETEX s",
    "GETEX no",
    "GETEX set",
    "GETEX s EX 100",
    "GETEX x PERSIST",
    "GETEX no EX 100",
    "GETEX s EX 0",
    "INCR n",
    "INCR no",
    "APPEND s x",
    "APPEND no x",
    "SETRANGE s 0 q",
    "SETNX s q",
    "SETNX no q",
    "MSETNX s 1 no 2",
    "DEL s no",
    "UNLINK no",
    "EXPIRE s 1000",
    "EXPIRE no 100",
    "EXPIRE x 50 GT",
    "PERSIST x",
    "PERSIST no",
    "RENAME s t",
    "RENAME no t",
    "RENAMENX s n",
    "COPY s no",
    "COPY no s",
    "COPY s n",
    "MOVE s 3",
    "MOVE no 3",
    "RANDOMKEY",
    "KEYS *",
    "SCAN 0",
    "SCAN 0 TYPE string",
    "SCAN 0 TYPE nosuch",
    "SCAN 0 TYPE set MATCH s*",
    "SCAN 0 MATCH s*",
    "SMEMBERS set",
    "SMEMBERS no",
    "SCARD no",
    "SISMEMBER set 1",
    "SMISMEMBER no 1 2",
    "SRANDMEMBER set",
    "SRANDMEMBER no",
    "SPOP set",
    "SPOP no",
    "SPOP set 1",
    "SPOP set 9",
    "SPOP set 0",
    "SPOP no 1",
    "SPOP s 1",
    "SINTER set set2",
    "SINTER set no",
    "SINTER no set",
    "SUNION set no set2",
    "SDIFF no set",
    "SDIFF set no set2",
    "SINTERCARD 2 set set2",
    "SINTERSTORE t set set2",
    "SUNIONSTORE t set no",
    "SMOVE set set2 a",
    "SMOVE set no a",
    "SMOVE no set a",
    "SMOVE set set2 none",
    "SADD set 9",
    "SREM no 9",
    "SSCAN set 0",
    "SSCAN no 0",
    "HGET h f",
    "HGET h none",
    "HGET no f",
    "HGET s f",
    "HMGET h f none",
    "HGETALL no",
    "HLEN h",
    "HEXISTS no f",
    "HSTRLEN h f",
    "HRANDFIELD h",
    "HSCAN no 0",
    "HSET h z 1",
    "HSETNX no f 1",
    "HDEL no f",
    "HINCRBY h f 1",
    "GETBIT b 1",
    "GETBIT no 1",
    "SETBIT b 9 1",
    "BITCOUNT b",
    "BITCOUNT no",
    "BITPOS no 1",
    "BITOP AND t b no",
    "BITFIELD b GET u8 0",
    "BITFIELD no SET u8 0 1",
    "BITFIELD_RO no GET u8 0",
];

fn call(client: &mut RespClient, line: &str) {
    client.call(&line.split(' ').collect::<Vec<_>>());
}

/// Hits and misses so far.
fn lookups(client: &mut RespClient) -> [u64; 2] {
    let reply = client.call(&["INFO", "stats"]);
    let text = String::from_utf8(reply.text().expect("a text").to_vec()).expect("UTF-8");
    ["keyspace_hits:", "keyspace_misses:"].map(|name| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.expect("it is told").parse().expect("a number")
    })
}

/// How many hits and misses a command is.
fn lookups_of(client: &mut RespClient, command: impl FnOnce(&mut RespClient)) -> [u64; 2] {
    let before = lookups(client);
    command(client);
    let after = lookups(client);
    [after[0] - before[0], after[1] - before[1]]
}

#[test]
fn lookups_are_counted_as_redis_counts_them() {
    let Some(peer) = Peer::start(Kind::Redis, "the test of hits and misses") else {
        return;
    };
    let subject = Subject::start();
    let mut clients = [subject.resp(), RespClient::connect(peer.address)];
    for command in COMMANDS {
        let [ours, theirs] = clients.each_mut().map(|client| {
            SETUP.iter().for_each(|line| call(client, line));
            lookups_of(client, |client| call(client, command))
        });
        assert_eq!(ours, theirs, "hits and misses of {command}");
    }
}

#[test]
fn a_command_that_is_carried_out_elsewhere_looks_once() {
    let subject = Subject::start();
    let mut client = subject.resp();
    let numbers: Vec<String> = (0..20_000).map(|number| format!("m{number}")).collect();
    let words = |command: &'static str, rest: &[String]| -> Vec<String> {
        let first = command.split(' ').map(str::to_owned);
        first.chain(rest.iter().cloned()).collect()
    };
    client.call(&words("SADD large", &numbers));
    client.call(&["SADD", "small", "m7"]);
    for (command, hits) in [
        (words("SMEMBERS large", &[]), 1),
        (words("SDIFF large small", &[]), 2),
        (words("SMISMEMBER large", &numbers), 1),
    ] {
        let looked = lookups_of(&mut client, |client| {
            client.call(&command);
        });
        assert_eq!(looked, [hits, 0], "{}", command[0]);
    }
    let looked = lookups_of(&mut client, |client| {
        client.call(&words("MGET large", &numbers));
    });
    assert_eq!(looked, [1, 20_000]);
    let looked = lookups_of(&mut client, |client| {
        client.call(&words("EXISTS large small", &numbers));
    });
    assert_eq!(looked, [2, 20_000]);
}
