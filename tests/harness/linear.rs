//! Whether a history could have happened one operation at a time.
//!
//! Several clients send operations to one server and note when each was sent and answered. The
//! history is *linearizable* (Herlihy, Wing, 1990) if every operation can be given one moment
//! between its two so that the answers are those of a simple sequential store. [`check`] looks for
//! such an order by search (Wing, Gong, "Testing and Verifying Concurrent Objects", 1993): it
//! takes, as the next one, any operation that no other must precede and whose answer fits the
//! state; it goes back when none fits, and remembers the situations that led nowhere (Lowe,
//! "Testing for linearizability", 2017). A client's own operations stand in their order, so a
//! situation is a position in each client's list together with the state: with few clients there
//! are few of them, however long the search, and all writes write different values, so that
//! most wrong turns end at once.
//!
//! Memcached's tokens are part of the state: a write gives a token nobody knows, `gets` tells it,
//! and from then on `cas` must succeed with it and with no other.

use std::collections::HashSet;

/// A key's place in the state.
pub type Key = usize;

/// What a client asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// GET, get.
    Get(Key),
    /// gets.
    Gets(Key),
    /// SET, set.
    Set(Key, i64),
    /// INCR.
    Incr(Key),
    /// MGET.
    Mget(Vec<Key>),
    /// MSET.
    Mset(Vec<(Key, i64)>),
    /// RENAME.
    Rename(Key, Key),
    /// DEL.
    Del(Vec<Key>),
    /// EXISTS.
    Exists(Vec<Key>),
    /// cas with a token.
    Cas(Key, i64, u64),
}

/// What it was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Done.
    Ok,
    /// There is no such key.
    Missing,
    /// The token is not the key's.
    Exists,
    /// A number: INCR, DEL, EXISTS.
    Number(i64),
    /// The values, none where there is no key: GET, MGET.
    Values(Vec<Option<i64>>),
    /// A value with its token.
    Token(i64, u64),
}

/// An operation of one client.
#[derive(Clone, Debug)]
pub struct Event {
    /// What was asked.
    pub operation: Operation,
    /// What was answered.
    pub answer: Answer,
    /// When it was sent, in any unit.
    pub sent: u64,
    /// When it was answered.
    pub answered: u64,
}

/// What is at a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Item {
    /// The number.
    pub value: i64,
    /// The token, if anybody was told.
    pub token: Option<u64>,
}

/// All keys.
pub type State = Vec<Option<Item>>;

/// What came of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There is an order.
    Linearizable,
    /// There is none.
    Impossible,
    /// The search was given up.
    TooLong,
}

/// Situations after which the search is given up.
const SITUATIONS_MAX: usize = 2_000_000;

/// Looks for an order of the events of several clients, each list in its client's order, that
/// starts at `state`.
pub fn check(clients: &[Vec<Event>], state: &State) -> Outcome {
    let mut search = Search {
        clients,
        failed: HashSet::new(),
    };
    let mut positions = vec![0; clients.len()];
    match search.from(&mut positions, state) {
        _ if search.failed.len() >= SITUATIONS_MAX => Outcome::TooLong,
        true => Outcome::Linearizable,
        false => Outcome::Impossible,
    }
}

struct Search<'h> {
    clients: &'h [Vec<Event>],
    failed: HashSet<(Vec<usize>, State)>,
}

impl Search<'_> {
    fn from(&mut self, positions: &mut Vec<usize>, state: &State) -> bool {
        let heads = || {
            self.clients
                .iter()
                .zip(&*positions)
                .map(|(events, at)| events.get(*at))
        };
        // Whoever is sent after another was answered comes after it.
        let Some(first_answered) = heads().flatten().map(|event| event.answered).min() else {
            return true;
        };
        if self.failed.len() >= SITUATIONS_MAX
            || self.failed.contains(&(positions.clone(), state.clone()))
        {
            return false;
        }
        for client in 0..positions.len() {
            let Some(event) = self.clients[client].get(positions[client]) else {
                continue;
            };
            if event.sent > first_answered {
                continue;
            }
            if let Some(next) = applied(state, &event.operation, &event.answer) {
                positions[client] += 1;
                let is_found = self.from(positions, &next);
                positions[client] -= 1;
                if is_found {
                    return true;
                }
            }
        }
        self.failed.insert((positions.clone(), state.clone()));
        false
    }
}

/// The state after an operation, or none if its answer does not fit the state before.
pub fn applied(state: &State, operation: &Operation, answer: &Answer) -> Option<State> {
    let mut next = state.clone();
    let value_at = |key: Key| state[key].map(|item| item.value);
    let written = |value| Some(Item { value, token: None });
    let expected = match operation {
        Operation::Get(key) => Answer::Values(vec![value_at(*key)]),
        Operation::Mget(keys) => Answer::Values(keys.iter().map(|key| value_at(*key)).collect()),
        Operation::Gets(key) => return after_gets(next, *key, answer),
        Operation::Set(key, value) => {
            next[*key] = written(*value);
            Answer::Ok
        }
        Operation::Mset(pairs) => {
            pairs
                .iter()
                .for_each(|(key, value)| next[*key] = written(*value));
            Answer::Ok
        }
        Operation::Incr(key) => {
            let value = value_at(*key).unwrap_or(0) + 1;
            next[*key] = written(value);
            Answer::Number(value)
        }
        Operation::Rename(from, to) => match state[*from] {
            None => Answer::Missing,
            // No change, so that the token stays too.
            Some(_) if from == to => Answer::Ok,
            Some(item) => {
                next[*from] = None;
                next[*to] = written(item.value);
                Answer::Ok
            }
        },
        Operation::Del(keys) => {
            let removed = keys
                .iter()
                .filter(|key| next[**key].take().is_some())
                .count();
            Answer::Number(removed as i64)
        }
        Operation::Exists(keys) => {
            Answer::Number(keys.iter().filter(|key| state[**key].is_some()).count() as i64)
        }
        Operation::Cas(key, value, token) => match state[*key] {
            None => Answer::Missing,
            // A token that nobody was told is not the one of this `cas`.
            Some(item) if item.token == Some(*token) => {
                next[*key] = written(*value);
                Answer::Ok
            }
            Some(_) => Answer::Exists,
        },
    };
    (expected == *answer).then_some(next)
}

fn after_gets(mut state: State, key: Key, answer: &Answer) -> Option<State> {
    match (&mut state[key], answer) {
        (None, Answer::Missing) => Some(state),
        (Some(item), Answer::Token(value, token)) if item.value == *value => {
            if item.token.is_some_and(|known| known != *token) {
                return None;
            }
            item.token = Some(*token);
            Some(state)
        }
        _ => None,
    }
}
