//! Random operations from several connections at once, over both protocols, must look as if they
//! had happened one at a time.
//!
//! A round starts from a known state. Each client sends its operations in one pipeline, all
//! clients at the same moment, so that the server's threads meet on the few keys there are. What
//! was sent and answered is a small history for [`tests::linear`]. `MAYFLY_LINEARIZABILITY_ROUNDS`
//! says how many rounds.
//!
//! That the test can fail is tested too: a build with `--cfg mayfly_torn_commit`, in which a
//! transaction's keys change one after the other, must be caught by it (`.ci/run` does that).

use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use fastrand::Rng;
use tests::Subject;
use tests::linear::{self, Answer, Event, Item, Key, Operation, Outcome, State};
use tests::memcached::MemcachedClient;
use tests::random::{budget, seed};
use tests::resp::{self, Reply, RespClient};

const KEYS: [&str; 5] = ["k:a", "k:b", "k:c", "k:d", "k:e"];

/// Per client and round.
const OPERATIONS: usize = 24;

#[test]
fn histories_are_linearizable() {
    let subject = Subject::start();
    let seed = seed();
    let rounds = budget("MAYFLY_LINEARIZABILITY_ROUNDS", 400);
    // Clients are given to the server's threads in turn: two on each.
    let mut clients = [
        Client::Resp(subject.resp()),
        Client::Resp(subject.resp()),
        Client::Memcached(subject.memcached()),
        Client::Resp(subject.resp()),
    ];
    let mut observer = subject.memcached();
    let mut random = Rng::with_seed(seed);
    let mut given_up = 0;
    for round in 0..rounds {
        let start = observe(&mut observer);
        let plans: Vec<Vec<Operation>> = (0..clients.len())
            .map(|client| {
                let is_memcached = matches!(clients[client], Client::Memcached(_));
                let unique = (round * clients.len() + client) * OPERATIONS * KEYS.len() + 1;
                plan(&mut random, is_memcached, unique as i64 * 1_000, &start)
            })
            .collect();
        let histories = play(&mut clients, &plans);
        match linear::check(&histories, &start) {
            Outcome::Linearizable => {}
            Outcome::TooLong => given_up += 1,
            Outcome::Impossible => panic!(
                "MAYFLY_TEST_SEED={seed}, round {round}: no order of these operations explains \
                 their answers.\nFrom {start:?}\n{}",
                listing(&histories)
            ),
        }
    }
    assert!(
        given_up * 20 <= rounds,
        "{given_up} of {rounds} searches were given up"
    );
}

enum Client {
    Resp(RespClient),
    Memcached(MemcachedClient),
}

/// The state when nobody writes, with all tokens.
fn observe(observer: &mut MemcachedClient) -> State {
    let item = |answer: Answer| match answer {
        Answer::Token(value, token) => Some(Item {
            value,
            token: Some(token),
        }),
        _ => None,
    };
    KEYS.iter()
        .map(|key| {
            observer.send_raw(format!("gets {key}\r\n").as_bytes());
            item(memcached_answer(
                &observer.try_receive().expect("an answer"),
                true,
            ))
        })
        .collect()
}

fn plan(random: &mut Rng, is_memcached: bool, unique: i64, start: &State) -> Vec<Operation> {
    // So far apart that no INCR makes one value of a round another one.
    let mut last = unique;
    let mut value = move || {
        last += 1_000;
        last
    };
    (0..OPERATIONS)
        .map(|_| {
            let key = random.usize(..KEYS.len());
            match (is_memcached, random.u8(..20)) {
                (true, 0..=7) => Operation::Get(key),
                (true, 8..=11) => Operation::Gets(key),
                (true, 12..=15) => Operation::Set(key, value()),
                (true, _) => match start[key] {
                    Some(Item {
                        token: Some(token), ..
                    }) => Operation::Cas(key, value(), token),
                    _ => Operation::Set(key, value()),
                },
                (false, 0..=5) => Operation::Mget(keys(random)),
                (false, 6..=11) => {
                    Operation::Mset(keys(random).into_iter().map(|key| (key, value())).collect())
                }
                (false, 12..=13) => Operation::Get(key),
                (false, 14) => Operation::Set(key, value()),
                (false, 15) => Operation::Incr(key),
                (false, 16..=17) => Operation::Rename(key, random.usize(..KEYS.len())),
                (false, 18) => Operation::Del(keys(random)),
                (false, _) => Operation::Exists(keys(random)),
            }
        })
        .collect()
}

/// Two or more keys, each once.
fn keys(random: &mut Rng) -> Vec<Key> {
    let mut all: Vec<Key> = (0..KEYS.len()).collect();
    random.shuffle(&mut all);
    all.truncate(random.usize(2..=KEYS.len()));
    all
}

fn play(clients: &mut [Client], plans: &[Vec<Operation>]) -> Vec<Vec<Event>> {
    let barrier = Barrier::new(clients.len());
    let epoch = Instant::now();
    thread::scope(|scope| {
        let runs: Vec<_> = clients
            .iter_mut()
            .zip(plans)
            .map(|(client, plan)| {
                let barrier = &barrier;
                scope.spawn(move || {
                    barrier.wait();
                    client.run(plan, epoch)
                })
            })
            .collect();
        runs.into_iter()
            .map(|run| run.join().expect("no client fails"))
            .collect()
    })
}

impl Client {
    /// Sends all operations at once and notes when each was answered.
    fn run(&mut self, plan: &[Operation], epoch: Instant) -> Vec<Event> {
        let mut bytes = Vec::new();
        for operation in plan {
            match self {
                Client::Resp(_) => resp::encode(&resp_words(operation), &mut bytes),
                Client::Memcached(_) => bytes.extend(memcached_lines(operation).into_bytes()),
            }
        }
        let now = || epoch.elapsed().as_nanos() as u64;
        let sent = now();
        match self {
            Client::Resp(client) => client.send_raw(&bytes),
            Client::Memcached(client) => client.send_raw(&bytes),
        }
        plan.iter()
            .map(|operation| {
                let answer = match self {
                    Client::Resp(client) => resp_answer(&client.receive().reply),
                    Client::Memcached(client) => {
                        let with_token = matches!(operation, Operation::Gets(_));
                        memcached_answer(&client.try_receive().expect("an answer"), with_token)
                    }
                };
                let operation = operation.clone();
                Event {
                    operation,
                    answer,
                    sent,
                    answered: now(),
                }
            })
            .collect()
    }
}

fn resp_words(operation: &Operation) -> Vec<String> {
    let named = |name: &str, keys: &[Key]| {
        let keys = keys.iter().map(|key| KEYS[*key].to_owned());
        std::iter::once(name.to_owned()).chain(keys).collect()
    };
    match operation {
        Operation::Get(key) => named("GET", &[*key]),
        Operation::Incr(key) => named("INCR", &[*key]),
        Operation::Mget(keys) => named("MGET", keys),
        Operation::Del(keys) => named("DEL", keys),
        Operation::Exists(keys) => named("EXISTS", keys),
        Operation::Rename(from, to) => named("RENAME", &[*from, *to]),
        Operation::Set(key, value) => {
            vec!["SET".to_owned(), KEYS[*key].to_owned(), value.to_string()]
        }
        Operation::Mset(pairs) => std::iter::once("MSET".to_owned())
            .chain(
                pairs
                    .iter()
                    .flat_map(|(key, value)| [KEYS[*key].to_owned(), value.to_string()]),
            )
            .collect(),
        Operation::Gets(_) | Operation::Cas(..) => unreachable!("Memcached's"),
    }
}

fn resp_answer(reply: &Reply) -> Answer {
    let number = |reply: &Reply| match reply {
        Reply::Bulk(text) => Some(parsed(text)),
        _ => None,
    };
    match reply {
        Reply::Status(_) => Answer::Ok,
        Reply::Integer(number) => Answer::Number(*number),
        Reply::Error(text) if text == b"ERR no such key" => Answer::Missing,
        Reply::Array(values) => Answer::Values(values.iter().map(number).collect()),
        Reply::Bulk(_) | Reply::Nil => Answer::Values(vec![number(reply)]),
        other => panic!("{other:?}"),
    }
}

fn memcached_lines(operation: &Operation) -> String {
    let stored = |verb: &str, key: &Key, value: &i64, token: &str| {
        let value = value.to_string();
        format!(
            "{verb} {} 0 0 {}{token}\r\n{value}\r\n",
            KEYS[*key],
            value.len()
        )
    };
    match operation {
        Operation::Get(key) => format!("get {}\r\n", KEYS[*key]),
        Operation::Gets(key) => format!("gets {}\r\n", KEYS[*key]),
        Operation::Set(key, value) => stored("set", key, value, ""),
        Operation::Cas(key, value, token) => stored("cas", key, value, &format!(" {token}")),
        _ => unreachable!("RESP's"),
    }
}

fn memcached_answer(answer: &[u8], with_token: bool) -> Answer {
    let words: Vec<&[u8]> = answer.split(|byte| b" \r\n".contains(byte)).collect();
    match words[..] {
        [b"STORED", ..] => Answer::Ok,
        [b"EXISTS", ..] => Answer::Exists,
        [b"NOT_FOUND", ..] => Answer::Missing,
        [b"END", ..] if with_token => Answer::Missing,
        [b"END", ..] => Answer::Values(vec![None]),
        [b"VALUE", _, _, _, token, _, value, ..] if with_token => {
            Answer::Token(parsed(value), parsed(token) as u64)
        }
        [b"VALUE", _, _, _, _, value, ..] => Answer::Values(vec![Some(parsed(value))]),
        _ => panic!("{}", String::from_utf8_lossy(answer)),
    }
}

fn parsed(text: &[u8]) -> i64 {
    let text = String::from_utf8_lossy(text);
    text.parse::<u64>()
        .map(|number| number as i64)
        .unwrap_or_else(|_| panic!("{text}"))
}

fn listing(histories: &[Vec<Event>]) -> String {
    let lines = histories.iter().enumerate().flat_map(|(client, events)| {
        events.iter().map(move |event| {
            let Event {
                operation,
                answer,
                sent,
                answered,
            } = event;
            format!("{client}: {operation:?} -> {answer:?} [{sent}, {answered}]\n")
        })
    });
    lines.collect()
}

#[cfg(test)]
mod checker {
    //! Histories made by hand, good and bad.

    use super::*;

    fn event(operation: Operation, answer: Answer, sent: u64, answered: u64) -> Event {
        Event {
            operation,
            answer,
            sent,
            answered,
        }
    }

    fn value(value: i64) -> Answer {
        Answer::Values(vec![Some(value)])
    }

    fn item(value: i64) -> Option<Item> {
        Some(Item { value, token: None })
    }

    fn checked(clients: &[Vec<Event>]) -> Outcome {
        linear::check(clients, &vec![item(1), item(2)])
    }

    #[test]
    fn overlapping_operations_may_stand_either_way() {
        for seen in [1, 5] {
            let write = vec![event(Operation::Set(0, 5), Answer::Ok, 0, 10)];
            let read = vec![event(Operation::Get(0), value(seen), 0, 10)];
            assert_eq!(checked(&[write, read]), Outcome::Linearizable);
        }
    }

    #[test]
    fn a_read_after_a_write_must_see_it() {
        let write = vec![event(Operation::Set(0, 5), Answer::Ok, 0, 10)];
        let read = vec![event(Operation::Get(0), value(1), 11, 20)];
        assert_eq!(checked(&[write, read]), Outcome::Impossible);
    }

    #[test]
    fn half_of_an_mset_is_not_seen() {
        let write = vec![event(
            Operation::Mset(vec![(0, 5), (1, 6)]),
            Answer::Ok,
            0,
            10,
        )];
        let torn = Answer::Values(vec![Some(5), Some(2)]);
        let read = vec![event(Operation::Mget(vec![0, 1]), torn, 0, 10)];
        assert_eq!(checked(&[write.clone(), read]), Outcome::Impossible);

        let one_by_one = vec![
            event(Operation::Get(0), value(5), 0, 10),
            event(Operation::Get(1), value(2), 0, 10),
        ];
        assert_eq!(checked(&[write, one_by_one]), Outcome::Impossible);
    }

    #[test]
    fn nobody_goes_back_in_time() {
        let write = vec![event(Operation::Set(0, 5), Answer::Ok, 0, 100)];
        let new = vec![event(Operation::Get(0), value(5), 0, 10)];
        let old = vec![event(Operation::Get(0), value(1), 11, 20)];
        assert_eq!(checked(&[write, new, old]), Outcome::Impossible);
    }

    #[test]
    fn a_renamed_key_is_in_one_place() {
        let rename = vec![event(Operation::Rename(0, 1), Answer::Ok, 0, 10)];
        for (count, outcome) in [
            (2, Outcome::Linearizable),
            (1, Outcome::Linearizable),
            (0, Outcome::Impossible),
        ] {
            let exists = Operation::Exists(vec![0, 1]);
            let count = vec![event(exists, Answer::Number(count), 0, 10)];
            assert_eq!(checked(&[rename.clone(), count]), outcome);
        }
    }

    #[test]
    fn renaming_a_key_to_itself_keeps_its_token() {
        let told = event(Operation::Gets(0), Answer::Token(1, 77), 0, 1);
        let rename = event(Operation::Rename(0, 0), Answer::Ok, 2, 3);
        let cas = event(Operation::Cas(0, 9, 77), Answer::Ok, 4, 5);
        assert_eq!(checked(&[vec![told, rename, cas]]), Outcome::Linearizable);
    }

    #[test]
    fn two_increments_count_two() {
        let one = vec![event(Operation::Incr(0), Answer::Number(2), 0, 10)];
        assert_eq!(checked(&[one.clone(), one]), Outcome::Impossible);
    }

    #[test]
    fn a_token_ends_with_the_value() {
        let gets = event(Operation::Gets(0), Answer::Token(1, 77), 0, 1);
        let cas = event(Operation::Cas(0, 9, 77), Answer::Ok, 5, 6);
        let set = vec![event(Operation::Set(0, 5), Answer::Ok, 2, 3)];
        let both = vec![gets.clone(), cas.clone()];
        assert_eq!(checked(std::slice::from_ref(&both)), Outcome::Linearizable);
        assert_eq!(checked(&[both, set]), Outcome::Impossible);
        let twice = vec![gets, cas.clone(), cas];
        assert_eq!(checked(&[twice]), Outcome::Impossible);
    }
}
