//! Transcripts over a store of their own: bytes in, bytes out.

use store::value::set::SetEdit;
use store::value::{Edited, Limits as ValueLimits};
use store::{Draft, Options};

use super::*;
use crate::protocol::memcached::Parser;
use crate::protocol::output::Output;

const NOW_MS: u64 = 1_700_000_000_000;

/// No server around the engine.
struct NoSurroundings;

impl Surroundings for NoSurroundings {
    fn facts(&self) -> Facts {
        Facts::default()
    }

    fn is_authenticated(&self) -> bool {
        true
    }

    fn wants_passwords(&self) -> bool {
        false
    }

    fn authenticate(&self, _: &[u8], _: &[u8]) -> bool {
        false
    }

    fn set_memory_bytes_max(&self, _: u64) {}

    fn settings(&self) -> SettingsFacts {
        SettingsFacts::default()
    }

    fn clients(&self) -> Vec<ClientFacts> {
        Vec::new()
    }

    fn reset_counts(&self) {}

    fn shut_down(&self) -> bool {
        false
    }
}

struct Server {
    store: store::Store,
    state: State,
    now_ms: u64,
}

impl Server {
    fn new() -> Server {
        Server {
            store: store::Store::new(&Options::default()),
            state: State::new(1),
            now_ms: NOW_MS,
        }
    }

    /// What a client that sends `bytes` gets.
    fn ask(&self, bytes: impl AsRef<[u8]>) -> String {
        let guard = self.store.pin();
        let (mut parser, mut rest) = (Parser::default(), bytes.as_ref());
        let limits = Limits {
            item_bytes_max: 1000,
        };
        let mut out = Output::default();
        while let Ok(Some(mut request)) = parser.next(&mut rest, &limits) {
            self.state.flush_if_due(&self.store, self.now_ms);
            let call = Call {
                store: &self.store,
                db: self.store.db(0, &guard, self.now_ms),
                state: &self.state,
                thread: 0,
                limits,
                is_bridged: true,
                received: None,
                is_fetched: false,
                reply_bytes_max: 50,
            };
            let outcome = loop {
                match execute(&mut request, &call, &NoSurroundings, &mut out) {
                    Outcome::Partly => {}
                    outcome => break outcome,
                }
            };
            assert_ne!(outcome, Outcome::Busy);
            if outcome == Outcome::Closing {
                out.extend_from_slice(b"closed");
                break;
            }
        }
        String::from_utf8_lossy(&out).replace("\r\n", "|")
    }

    #[track_caller]
    fn check(&self, lines: &str, expected: &str) {
        assert_eq!(self.ask(lines.replace('|', "\r\n")), expected, "{lines}");
    }

    fn token(&self, key: &str) -> u64 {
        let reply = self.ask(format!("gets {key}\r\n"));
        let line = reply.split('|').next().expect("a line");
        line.rsplit(' ')
            .next()
            .and_then(|token| token.parse().ok())
            .expect("a token")
    }

    fn put_set(&self, key: &[u8]) {
        let guard = self.store.pin();
        let mut edit = SetEdit::new(None, &ValueLimits::DEFAULT).expect("nothing is there");
        edit.add(b"member");
        let Edited::Changed(value) = edit.finish() else {
            unreachable!("a member was added");
        };
        let db = self.store.db(0, &guard, self.now_ms);
        db.put(key, Draft::new(value))
            .expect("nobody is in the way");
    }

    fn stat(&self, name: &str) -> u64 {
        let reply = self.ask("stats\r\n");
        let prefix = format!("STAT {name} ");
        let line = reply.split('|').find_map(|line| line.strip_prefix(&prefix));
        line.and_then(|value| value.parse().ok())
            .expect("a statistic")
    }
}

#[test]
fn items_are_stored_as_asked() {
    let server = Server::new();
    server.check("get a|", "END|");
    server.check("set a 5 0 1|x|get a|", "STORED|VALUE a 5 1|x|END|");
    server.check("add a 0 0 1|y|add b 0 0 1|y|", "NOT_STORED|STORED|");
    server.check("replace b 7 0 0||replace c 0 0 1|y|", "STORED|NOT_STORED|");
    server.check("append a 9 9 1|y|prepend a 9 9 1|z|", "STORED|STORED|");
    server.check(
        "append c 0 0 1|y|prepend c 0 0 1|y|",
        "NOT_STORED|NOT_STORED|",
    );
    server.check(
        "get a b c a|",
        "VALUE a 5 3|zxy|VALUE b 7 0||VALUE a 5 3|zxy|END|",
    );
    server.check(
        "set a 0 0 1 noreply|x|add a 0 0 1 noreply|y|get a|",
        "VALUE a 0 1|x|END|",
    );
    server.check(
        "delete a|delete a|delete b noreply|get a b|",
        "DELETED|NOT_FOUND|END|",
    );
    server.check(
        "set a 0 0 1|xy|",
        "CLIENT_ERROR bad data chunk|CLIENT_ERROR bad command line format|",
    );
    server.check("version|quit|version|", "VERSION 1.6.45|closed");
}

#[test]
fn a_token_changes_with_every_change() {
    let server = Server::new();
    server.check("cas a 0 0 1 1|x|set a 3 0 1|5|", "NOT_FOUND|STORED|");
    let mut tokens = vec![server.token("a")];
    for change in [
        "set a 3 0 1|5|",
        "append a 0 0 1|1|",
        "incr a 1|",
        "replace a 0 0 1|2|",
    ] {
        server.ask(change.replace('|', "\r\n"));
        tokens.push(server.token("a"));
    }
    let token = tokens[tokens.len() - 1];
    tokens.sort_unstable();
    tokens.dedup();
    assert_eq!(tokens.len(), 5);
    server.check("touch a 100|gat 200 a|", "TOUCHED|VALUE a 0 1|2|END|");
    assert_eq!(server.token("a"), token);
    server.check(
        &format!("gats 0 a|cas a 1 0 1 {token}|y|"),
        &format!("VALUE a 0 1 {token}|2|END|STORED|"),
    );
    server.check(
        &format!("cas a 1 0 1 {token}|z|get a|"),
        "EXISTS|VALUE a 1 1|y|END|",
    );
}

#[test]
fn numbers_wrap_above_and_stop_at_zero() {
    let server = Server::new();
    server.check(
        "incr n 1|set n 4 0 2|10|incr n 5|decr n 6|",
        "NOT_FOUND|STORED|15|9|",
    );
    server.check("get n|", "VALUE n 4 1|9|END|");
    server.check(
        "decr n 10|incr n 18446744073709551615|incr n 2|",
        "0|18446744073709551615|1|",
    );
    server.check("incr n 1 noreply|get n|", "VALUE n 4 1|2|END|");
    server.check("set n 0 0 1|x|incr n 1|decr n 1|", "STORED|CLIENT_ERROR cannot increment or decrement non-numeric value|CLIENT_ERROR cannot increment or decrement non-numeric value|");
}

#[test]
fn a_number_may_have_blanks_around_it_but_no_minus() {
    let server = Server::new();
    for (value, reply) in [
        (" +7", "8|"),
        ("7 x", "8|"),
        ("007", "8|"),
        ("7\0x", "8|"),
        ("\x0b7\r", "8|"),
        ("18446744073709551615", "0|"),
    ] {
        let set = format!("set n 0 0 {}|{value}|", value.len());
        server.check(&format!("{set}incr n 1|"), &format!("STORED|{reply}"));
    }
    for value in ["", "\r", " x", "x", "-1", "7x", "+", "18446744073709551616"] {
        let set = format!("set n 0 0 {}|{value}|", value.len());
        let refusal = "CLIENT_ERROR cannot increment or decrement non-numeric value|";
        server.check(&format!("{set}decr n 1|"), &format!("STORED|{refusal}"));
    }
}

#[test]
fn items_expire() {
    let mut server = Server::new();
    server.check(
        "set a 0 10 1|x|set b 0 1700000020 1|x|set c 0 0 1|x|",
        "STORED|STORED|STORED|",
    );
    server.check(
        "set c 0 -1 1|x|set d 0 2592001 1|x|get c d|",
        "STORED|STORED|END|",
    );
    server.check("add e 0 -1 1|x|add e 0 -1 1|x|", "STORED|STORED|");
    server.now_ms += 9_999;
    server.check("get a b|", "VALUE a 0 1|x|VALUE b 0 1|x|END|");
    server.now_ms += 1;
    server.check("get a b|touch b 0|", "VALUE b 0 1|x|END|TOUCHED|");
    server.now_ms += 20_000;
    server.check(
        "get b|gat -1 b|get b|touch b 1|",
        "VALUE b 0 1|x|END|VALUE b 0 1|x|END|END|NOT_FOUND|",
    );
}

#[test]
fn a_key_of_another_type_is_in_the_way_of_few() {
    let server = Server::new();
    server.put_set(b"s");
    server.check("get s|gets s|gat 0 s|touch s 0|", "END|END|END|NOT_FOUND|");
    server.check(
        "add s 0 0 1|x|append s 0 0 1|x|prepend s 0 0 1|x|",
        "NOT_STORED|NOT_STORED|NOT_STORED|",
    );
    server.check(
        "cas s 0 0 1 1|x|incr s 1|",
        "NOT_FOUND|CLIENT_ERROR cannot increment or decrement non-numeric value|",
    );
    server.check("delete s|delete s|", "DELETED|NOT_FOUND|");
    server.put_set(b"s");
    server.check("replace s 0 0 1|x|get s|", "STORED|VALUE s 0 1|x|END|");
}

#[test]
fn an_item_too_large_takes_the_old_one_along() {
    let server = Server::new();
    let long = "x".repeat(1000);
    server.check("set a 0 0 1|x|set b 0 0 1|x|", "STORED|STORED|");
    server.check(
        &format!("set a 0 0 1000|{long}|get a|"),
        "SERVER_ERROR object too large for cache|END|",
    );
    server.check(
        &format!("add b 0 0 1000|{long}|get b|"),
        "SERVER_ERROR object too large for cache|VALUE b 0 1|x|END|",
    );
    server.check(
        &format!(
            "append b 0 0 939|{}|append b 0 0 940|{}|",
            &long[61..],
            &long[60..]
        ),
        "STORED|NOT_STORED|",
    );
}

#[test]
fn full_memory_refuses_items_and_lets_reads_go_on() {
    let server = Server::new();
    server.check("set a 0 0 1|1|set b 0 0 1|1|", "STORED|STORED|");
    server.store.set_memory_bytes_max(1);
    let refusal = "SERVER_ERROR out of memory storing object|";
    server.check("add c 0 0 1|x|", refusal);
    server.check("set c 0 0 1 noreply|x|", "");
    server.check("incr a 10|ma c N0|", &refusal.repeat(2));
    server.check("set a 0 0 1|x|", refusal);
    server.check("get a b|delete b|", "VALUE b 0 1|1|END|DELETED|");
    server.store.set_memory_bytes_max(0);
    server.check("set a 0 0 1|x|", "STORED|");
    assert_eq!(server.stat("store_no_memory"), 5);
}

#[test]
fn full_memory_lets_numbers_count_that_grow_no_longer() {
    let server = Server::new();
    server.check("set a 0 0 1|1|", "STORED|");
    server.store.set_memory_bytes_max(1);
    server.check("incr a 8|decr a 9|ma a|", "9|0|HD|");
    server.check("incr c 1|ma c|decr c 1|", "NOT_FOUND|NF|NOT_FOUND|");
}

#[test]
fn full_memory_makes_no_item_for_who_asks_for_one() {
    let server = Server::new();
    server.store.set_memory_bytes_max(1);
    server.check("mg a N30 k|mg a N30 q|mg a N30 T9|get a|", "EN ka|EN|END|");
    server.store.set_memory_bytes_max(0);
    server.check("mg a N30|", "HD W|");
}

#[test]
fn what_has_no_place_takes_the_old_one_along_as_in_memcached() {
    let refusal = "SERVER_ERROR out of memory storing object|";
    for (request, is_gone) in [
        ("set", true),
        ("add", false),
        ("append", false),
        ("cas", false),
        ("ms", true),
        ("ms MR", true),
        ("ms C1", true),
    ] {
        let server = Server::new();
        server.check("set a 0 0 1|1|", "STORED|");
        server.store.set_memory_bytes_max(1);
        let line = match request.split_once("ms") {
            Some((_, flags)) => format!("ms a 1{flags}|x|"),
            None => format!("{request} a 0 0 1 1|x|"),
        };
        server.check(&line, refusal);
        let left = if is_gone {
            "END|"
        } else {
            "VALUE a 0 1|1|END|"
        };
        server.check("get a|", left);
    }
}

#[test]
fn a_flush_comes_now_or_later() {
    let mut server = Server::new();
    server.put_set(b"s");
    server.check(
        "set a 0 0 1|x|flush_all|get a|add s 0 0 1|x|",
        "STORED|OK|END|STORED|",
    );
    server.check(
        "flush_all -1|get s|flush_all x|",
        "OK|END|CLIENT_ERROR invalid exptime argument|",
    );
    server.check(
        "set a 0 0 1|x|flush_all 2|get a|",
        "STORED|OK|VALUE a 0 1|x|END|",
    );
    server.now_ms += 2_000;
    server.check("set b 0 0 1|y|get a b|", "STORED|VALUE b 0 1|y|END|");
    server.check("flush_all 2|flush_all noreply|set a 0 0 1|x|", "OK|STORED|");
    server.now_ms += 2_000;
    server.check("get a|", "VALUE a 0 1|x|END|");
}

#[test]
fn a_long_reply_comes_in_parts() {
    let server = Server::new();
    let value = "x".repeat(40);
    server.check(&format!("set a 0 0 40|{value}|"), "STORED|");
    let item = format!("VALUE a 0 40|{value}|");
    for command in ["get", "gat 0"] {
        for keys in 1..5 {
            let reply = format!("{}END|", item.repeat(keys));
            server.check(&format!("{command}{}|", " a".repeat(keys)), &reply);
        }
    }
    assert_eq!(
        [server.stat("get_hits"), server.stat("touch_hits")],
        [10, 10]
    );
}

#[test]
fn statistics_count_what_happened() {
    let server = Server::new();
    server.check(
        "set a 0 0 1|1|get a b c|incr a 1|incr b 1|touch a 0|",
        "STORED|VALUE a 0 1|1|END|2|NOT_FOUND|TOUCHED|",
    );
    let counted = [
        "cmd_get",
        "get_hits",
        "get_misses",
        "cmd_set",
        "incr_hits",
        "incr_misses",
        "cmd_touch",
        "curr_items",
        "total_items",
    ];
    assert_eq!(
        counted.map(|name| server.stat(name)),
        [3, 1, 2, 1, 1, 1, 1, 1, 1]
    );
    server.check("stats reset|", "RESET|");
    assert_eq!(server.stat("cmd_get"), 0);
    server.check(
        "stats sizes|stats foo|",
        "STAT sizes_status disabled|END|ERROR|",
    );
}

#[test]
fn a_touch_keeps_the_token_and_changes_the_version() {
    let server = Server::new();
    server.check("set a 5 0 1|x|", "STORED|");
    let look = || {
        let guard = server.store.pin();
        let db = server.store.db(0, &guard, server.now_ms);
        let entry = db.peek(b"a").expect("it is there");
        (entry.version(), entry.token())
    };
    let (mut version, token) = look();
    for (line, reply) in [
        ("touch a 100|", "TOUCHED|"),
        ("gat 200 a|", "VALUE a 5 1|x|END|"),
        ("mg a T300|", "HD|"),
        ("mg a R400|", "HD W|"),
    ] {
        server.check(line, reply);
        let after = look();
        assert!(after.0 > version, "{line}: who watches must notice");
        assert_eq!(after.1, token, "{line}");
        version = after.0;
    }
    server.check("mg a t v|mg a T300|", "VA 1 t300 Z|x|HD Z|");
    assert_eq!(look(), (version, token), "nothing changed");
}
