//! Laws over the table of commands, as COMMAND shows it: the facts are those of the peers.

use std::collections::{BTreeMap, BTreeSet};

use tests::Subject;
use tests::peer::Peer;
use tests::resp::{Reply, RespClient};

/// What COMMAND says of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Facts {
    arity: i64,
    flags: BTreeSet<String>,
    /// First, last, step.
    keys: [i64; 3],
    /// What is done with the keys of each place.
    uses: Vec<BTreeSet<String>>,
    categories: BTreeSet<String>,
    /// What proxies may go by.
    tips: BTreeSet<String>,
}

/// Flags that are about what we do not have (clusters, modules, keys of moving place) or that the
/// peers name differently from version to version.
const FLAGS_NOT_COMPARED: [&str; 4] = [
    "movablekeys",
    "no_async_loading",
    "no_mandatory_keys",
    "may_replicate",
];

#[test]
fn facts_are_those_of_the_peers() {
    let Some(peers) = Peer::start_redis_and_valkey("the comparison of COMMAND") else {
        return;
    };
    let ours = table(&mut Subject::start().resp());
    let theirs: Vec<_> = peers
        .iter()
        .map(|(_, peer)| table(&mut RespClient::connect(peer.address)))
        .collect();
    let mut differences = Vec::new();
    for (name, facts) in &ours {
        let known: Vec<&Facts> = theirs.iter().filter_map(|table| table.get(name)).collect();
        // The peers are of different age: what one of them says is right.
        if !known.is_empty() && !known.contains(&facts) {
            differences.push(format!("{name}: {facts:?}\n  peers: {known:?}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn every_command_of_the_first_issue_is_there() {
    const NAMES: &str = "append decr decrby get getdel getex getrange getset incr incrby \
        incrbyfloat lcs mget mset msetnx psetex set setex setnx setrange strlen substr setbit \
        getbit bitcount bitpos bitop bitfield bitfield_ro copy del exists expire expireat \
        expiretime keys move object persist pexpire pexpireat pexpiretime pttl randomkey rename \
        renamenx scan touch ttl type unlink hset hget hmget hmset hgetall hdel hlen hexists \
        hincrby hkeys hvals hstrlen hsetnx hincrbyfloat hrandfield hscan sadd srem smembers \
        sismember smismember scard spop srandmember smove sinter sunion sdiff sinterstore \
        sunionstore sdiffstore sintercard sscan auth hello ping echo select quit reset client \
        info config time dbsize flushdb flushall swapdb memory shutdown lolwut command json.set \
        json.get json.del json.type";
    let table = table(&mut Subject::start().resp());
    let missing: Vec<&str> = NAMES
        .split_whitespace()
        .filter(|name| !table.contains_key(*name))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn count_list_and_docs_tell_of_the_same_commands() {
    let subject = Subject::start();
    let mut client = subject.resp();
    let names: BTreeSet<String> = table(&mut client).into_keys().collect();
    assert_eq!(
        client.call(&["COMMAND", "COUNT"]),
        Reply::Integer(names.len() as i64)
    );
    let list = client.call(&["COMMAND", "LIST"]);
    // The list has subcommands, too.
    let listed = list.elements().iter().map(text);
    let listed: BTreeSet<String> = listed.filter(|name| !name.contains('|')).collect();
    assert_eq!(listed, names);
    let docs = client.call(&["COMMAND", "DOCS"]);
    let documented = docs.elements().iter().step_by(2).map(text);
    assert_eq!(documented.collect::<BTreeSet<_>>(), names);
}

/// What is done with keys depends on some commands' words.
const USES_BY_WORDS: &[&str] = &[
    "SET k v",
    "SET k v get",
    "SET k v XX GET",
    "SET k GET",
    "SET k GET v",
    "SET k v EX GET",
    "SET k v EX 10 KEEPTTL",
    "BITFIELD k",
    "BITFIELD k GET u8 0",
    "BITFIELD k get u8 0 GET i5 #1",
    "BITFIELD k GET",
    "BITFIELD k GET u8",
    "BITFIELD k GET SET u8",
    "BITFIELD k GET u8 SET",
    "BITFIELD k OVERFLOW SAT GET u8 0",
    "BITFIELD k GET u8 0 OVERFLOW",
    "BITFIELD k GET u8 0 overflow fail",
    "BITFIELD k SET u8 0 1",
    "BITFIELD k SET u8 0",
    "BITFIELD k GET u8 0 INCRBY u8 0 1",
    "BITFIELD k nonsense",
    "BITFIELD_RO k GET u8 0",
    "GETEX k PERSIST",
    "GETDEL k",
    "MSET a 1 b 2",
    "COPY a b DB 1 REPLACE",
    "BITOP AND d a b",
    "SINTERCARD 2 a b LIMIT 1",
    "SINTERSTORE d a b",
    "SMOVE a b m",
    "MEMORY USAGE k SAMPLES 1",
    "OBJECT ENCODING k",
    "HSET h f v",
    "LCS a b LEN",
];

#[test]
fn keys_are_used_by_words_as_the_peers_say() {
    let Some(peers) = Peer::start_redis_and_valkey("the comparison of GETKEYSANDFLAGS") else {
        return;
    };
    let mut clients = peers
        .each_ref()
        .map(|(_, peer)| RespClient::connect(peer.address));
    let subject = Subject::start();
    let mut ours = subject.resp();
    for line in USES_BY_WORDS {
        let mut words = vec!["COMMAND", "GETKEYSANDFLAGS"];
        words.extend(line.split(' '));
        let answer = ours.call(&words);
        let known: Vec<_> = clients.iter_mut().map(|peer| peer.call(&words)).collect();
        // The peers are of different age: what one of them says is right.
        let is_known = known.contains(&answer);
        assert!(is_known, "{line}: {answer:?}\n  peers: {known:?}");
    }
}

/// What one of the peers' documentation says about the arguments of a command that both have, ours
/// says, too: all but their names.
#[test]
fn arguments_are_documented_as_the_peers_do() {
    let Some(peers) = Peer::start_redis_and_valkey("the comparison of COMMAND DOCS") else {
        return;
    };
    let documents = peers
        .iter()
        .map(|(_, peer)| RespClient::connect(peer.address));
    let theirs: Vec<_> = documents.map(|mut peer| documented(&mut peer)).collect();
    let mut differences = Vec::new();
    for (name, arguments) in documented(&mut Subject::start().resp()) {
        let known: Vec<&String> = theirs.iter().filter_map(|docs| docs.get(&name)).collect();
        let is_compared = !ARGUMENTS_NOT_COMPARED.contains(&name.as_str());
        if is_compared && !known.is_empty() && !known.contains(&&arguments) {
            differences.push(format!("{name}: {arguments:?}\n  peers: {known:?}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// QUIT takes arguments, which the peers do not say; the clients that the others are about are
/// described in two forms, and by more in Valkey 9.1 and less in Redis 7.0 than in Redis 7.2.
const ARGUMENTS_NOT_COMPARED: [&str; 3] = ["quit", "client|kill", "client|list"];

/// The arguments of every command, subcommands too, in a short notation.
fn documented(client: &mut RespClient) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    note_docs(&client.call(&["COMMAND", "DOCS"]), &mut found);
    found
}

fn note_docs(docs: &Reply, found: &mut BTreeMap<String, String>) {
    for (name, facts) in pairs(docs) {
        let field = |wanted: &str| pairs(facts).find(|(name, _)| text(name) == wanted);
        let arguments = field("arguments").map(|(_, list)| shape(list));
        found.insert(text(name), arguments.unwrap_or_default());
        if let Some((_, subcommands)) = field("subcommands") {
            note_docs(subcommands, found);
        }
    }
}

/// Token, type and flags of arguments, and of what they consist of.
fn shape(arguments: &Reply) -> String {
    let one = |argument: &Reply| {
        let field = |wanted: &str| pairs(argument).find(|(name, _)| text(name) == wanted);
        let word = |wanted| {
            field(wanted)
                .map(|(_, word)| text(word))
                .unwrap_or_default()
        };
        let flags = field("flags").map(|(_, flags)| flags.elements().iter().map(text));
        let flags: BTreeSet<String> = flags.into_iter().flatten().collect();
        let parts = field("arguments").map(|(_, parts)| shape(parts));
        format!(
            "{}:{}{}{}",
            word("token"),
            word("type"),
            flags.iter().map(|flag| &flag[..1]).collect::<String>(),
            parts.map(|parts| format!("({parts})")).unwrap_or_default()
        )
    };
    let shapes: Vec<String> = arguments.elements().iter().map(one).collect();
    shapes.join(" ")
}

/// A map in RESP2.
fn pairs(reply: &Reply) -> impl Iterator<Item = (&Reply, &Reply)> {
    let pairs = reply.elements().chunks_exact(2);
    pairs.map(|pair| (&pair[0], &pair[1]))
}

/// Wrong numbers of words are refused before anything else is looked at.
#[test]
fn arity_is_checked_of_every_command() {
    let subject = Subject::start();
    let mut client = subject.resp();
    for (name, facts) in table(&mut client) {
        let wrong = match facts.arity {
            arity if arity < -1 => arity.unsigned_abs() as usize - 1,
            arity if arity > 1 => arity as usize - 1,
            _ => continue,
        };
        let mut words = vec![name.clone()];
        words.resize(wrong, "1".to_owned());
        let error = format!("ERR wrong number of arguments for '{name}' command");
        assert_eq!(
            client.call(&words),
            Reply::Error(error.into_bytes()),
            "{words:?}"
        );
    }
}

/// Of each command there is a transcript, a differential line or a raw call.
#[test]
fn every_command_is_tested() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut tested = String::new();
    for folder in [folder.to_owned(), folder.join("differential")] {
        for entry in std::fs::read_dir(folder).expect("the tests") {
            let path = entry.expect("an entry").path();
            if path.extension().is_some_and(|end| end == "rs") {
                tested += &std::fs::read_to_string(path).expect("a text");
            }
        }
    }
    let words: BTreeSet<&str> = tested
        .split(|c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c)))
        .collect();
    let names = table(&mut Subject::start().resp()).into_keys();
    let missing: Vec<String> = names
        .filter(|name| !words.contains(name.to_ascii_uppercase().as_str()))
        .collect();
    assert!(missing.is_empty(), "no test says {missing:?}");
}

fn table(client: &mut RespClient) -> BTreeMap<String, Facts> {
    let reply = client.call(&["COMMAND"]);
    let entries = reply.elements().iter().map(|entry| {
        let parts = entry.elements();
        let number = |at: usize| match parts[at] {
            Reply::Integer(number) => number,
            _ => panic!("{entry:?}"),
        };
        let flags = parts[2].elements().iter().map(text);
        let facts = Facts {
            arity: number(1),
            flags: flags
                .filter(|flag| !FLAGS_NOT_COMPARED.contains(&flag.as_str()))
                .collect(),
            keys: [number(3), number(4), number(5)],
            uses: parts[8].elements().iter().map(uses).collect(),
            categories: parts[6].elements().iter().map(text).collect(),
            tips: parts[7].elements().iter().map(text).collect(),
        };
        (text(&parts[0]), facts)
    });
    entries.collect()
}

/// The flags of a key specification.
fn uses(spec: &Reply) -> BTreeSet<String> {
    let flags = pairs(spec).find(|(name, _)| text(name) == "flags");
    let flags = flags.expect("every specification has flags").1;
    flags.elements().iter().map(text).collect()
}

fn text(reply: &Reply) -> String {
    String::from_utf8(reply.text().expect("a text").to_vec()).expect("UTF-8")
}
