//! Random commands on several threads, and whether some order explains what they saw.
//!
//! Each command notes when it began and ended and what it saw. A history is good if its commands
//! can be put in an order that respects "ended before it began" and in which, carried out one by
//! one on a plain map, each sees what it saw: linearizability (M. Herlihy, J. Wing, TOPLAS 1990),
//! searched as by J. Wing and C. Gong (1993).

use std::cell::Cell;
use std::collections::BTreeMap;

use super::*;
use crate::sync::model::{random_seed, together};

const KEYS: [&str; 4] = ["a", "b", "c", "d"];

thread_local! {
    static CLOCK: Cell<u64> = const { Cell::new(0) };
}

/// A moment; all threads of a model share the clock.
fn now() -> u64 {
    CLOCK.replace(CLOCK.get() + 1)
}

#[derive(Clone, Copy, Debug)]
enum Command {
    Get(usize),
    Set(usize, i64),
    Remove(usize),
    Add(usize),
    GetAll,
    SetTwo([usize; 2], i64),
    RemoveTwo([usize; 2]),
    AddTwo([usize; 2]),
    Rename([usize; 2]),
    SetIfNone([usize; 2], i64),
}

impl Command {
    fn random(random: &mut fastrand::Rng, value: i64) -> Command {
        let one = random.usize(..KEYS.len());
        let two = [one, (one + random.usize(1..KEYS.len())) % KEYS.len()];
        match random.u8(..11) {
            0 => Command::Get(one),
            1 => Command::Set(one, value),
            2 => Command::Remove(one),
            3 => Command::Add(one),
            4 => Command::SetTwo(two, value),
            5 => Command::AddTwo(two),
            6 => Command::Rename(two),
            7 => Command::SetIfNone(two, value),
            8 => Command::RemoveTwo(two),
            _ => Command::GetAll,
        }
    }
}

/// What a command works on.
trait Numbers {
    fn get(&self, key: usize) -> Option<i64>;
    fn set(&mut self, key: usize, value: i64);
    fn remove(&mut self, key: usize);
    fn rename(&mut self, from: usize, to: usize);
}

/// Carries a command out; what it saw.
fn carry_out(command: Command, numbers: &mut impl Numbers) -> Vec<Option<i64>> {
    match command {
        Command::Get(key) => vec![numbers.get(key)],
        Command::Set(key, value) => {
            numbers.set(key, value);
            vec![]
        }
        Command::Remove(key) => {
            let seen = numbers.get(key);
            if seen.is_some() {
                numbers.remove(key);
            }
            vec![seen]
        }
        Command::Add(key) => {
            let sum = numbers.get(key).unwrap_or(0) + 1;
            numbers.set(key, sum);
            vec![Some(sum)]
        }
        Command::GetAll => (0..KEYS.len()).map(|key| numbers.get(key)).collect(),
        Command::SetTwo(keys, value) => {
            keys.into_iter().for_each(|key| numbers.set(key, value));
            vec![]
        }
        Command::RemoveTwo(keys) => {
            let there = keys.map(|key| numbers.get(key).is_some());
            keys.into_iter().for_each(|key| numbers.remove(key));
            vec![Some(there.into_iter().map(i64::from).sum())]
        }
        Command::AddTwo(keys) => {
            let seen = keys.map(|key| numbers.get(key));
            for (key, seen) in keys.into_iter().zip(seen) {
                numbers.set(key, seen.unwrap_or(0) + 1);
            }
            seen.to_vec()
        }
        Command::Rename([from, to]) => {
            let seen = numbers.get(from);
            if seen.is_some() {
                numbers.rename(from, to);
            }
            vec![seen]
        }
        Command::SetIfNone(keys, value) => {
            let seen = keys.map(|key| numbers.get(key));
            if seen == [None, None] {
                keys.into_iter().for_each(|key| numbers.set(key, value));
            }
            seen.to_vec()
        }
    }
}

#[derive(Clone, Default)]
struct Plain(BTreeMap<usize, i64>);

impl Numbers for Plain {
    fn get(&self, key: usize) -> Option<i64> {
        self.0.get(&key).copied()
    }

    fn set(&mut self, key: usize, value: i64) {
        self.0.insert(key, value);
    }

    fn remove(&mut self, key: usize) {
        self.0.remove(&key);
    }

    fn rename(&mut self, from: usize, to: usize) {
        let value = self.0.remove(&from).expect("it was seen");
        self.0.insert(to, value);
    }
}

struct Real<'a, 'g>(&'a Db<'g>);

impl Numbers for Real<'_, '_> {
    fn get(&self, key: usize) -> Option<i64> {
        get(self.0, KEYS[key])
    }

    fn set(&mut self, key: usize, value: i64) {
        set(self.0, KEYS[key], value);
    }

    fn remove(&mut self, key: usize) {
        self.0
            .remove(KEYS[key].as_bytes())
            .expect("in a transaction");
    }

    fn rename(&mut self, from: usize, to: usize) {
        let to = (self.0, KEYS[to].as_bytes());
        // A torn state may lack the key: the attempt will not count.
        let _ = self.0.rename(KEYS[from].as_bytes(), to);
    }
}

#[derive(Clone, Debug)]
struct Event {
    began: u64,
    ended: u64,
    command: Command,
    seen: Vec<Option<i64>>,
}

/// Commands that need no attempt go without one.
fn carry_out_live(command: Command, db: &Db<'_>) -> Result<Vec<Option<i64>>, Error> {
    match command {
        Command::Get(key) => Ok(vec![get(db, KEYS[key])]),
        Command::Set(key, value) => {
            let draft = Draft::new(string::integer(value));
            db.put(KEYS[key].as_bytes(), draft).map(|()| vec![])
        }
        Command::Remove(key) => db.update(KEYS[key].as_bytes(), |entry| {
            Ok((Change::Remove, vec![entry.map(number)]))
        }),
        Command::Add(key) => db.update(KEYS[key].as_bytes(), |entry| {
            let sum = entry.map_or(0, number) + 1;
            let draft = Draft::new(string::integer(sum));
            Ok((Change::Put(draft), vec![Some(sum)]))
        }),
        Command::SetTwo(keys, value) => {
            let value = value.to_string();
            let pairs = keys.map(|key| [KEYS[key].as_bytes(), value.as_bytes()]);
            db.put_strings(&pairs, None).map(|()| vec![])
        }
        Command::RemoveTwo(keys) => {
            let removed = db.remove_many(&keys.map(|key| KEYS[key].as_bytes()))?;
            Ok(vec![Some(removed as i64)])
        }
        _ => db.atomic(|db| Ok(carry_out(command, &mut Real(db)))),
    }
}

fn record(store: &Store, commands: &[Command]) -> Vec<Event> {
    let one = |&command: &Command| {
        let began = now();
        let seen = loop {
            match with(store, |db| carry_out_live(command, &db)) {
                Err(Error::Busy) => crate::sync::yield_now(),
                seen => break seen.expect("no other error"),
            }
        };
        Event {
            began,
            ended: now(),
            command,
            seen,
        }
    };
    commands.iter().map(one).collect()
}

/// Whether some order of what is left of each thread's events explains them all.
fn is_explained(left: &[&[Event]], state: &Plain) -> bool {
    let heads = left.iter().filter_map(|events| events.first());
    let Some(first_end) = heads.map(|event| event.ended).min() else {
        return true;
    };
    (0..left.len()).any(|thread| {
        let Some((event, rest)) = left[thread].split_first() else {
            return false;
        };
        let mut after = state.clone();
        event.began <= first_end && carry_out(event.command, &mut after) == event.seen && {
            let mut left = left.to_vec();
            left[thread] = rest;
            is_explained(&left, &after)
        }
    })
}

/// Every history of single-key and multi-key commands is linearizable, through splits.
#[test]
fn random_histories_are_linearizable() {
    const THREADS: usize = 3;
    const COMMANDS: usize = 4;
    explore(0, || {
        let store = store_with(&[]);
        let mut random = fastrand::Rng::with_seed(random_seed());
        let mut value = 0;
        let bodies = (0..THREADS).map(|_| {
            let commands = [(); COMMANDS].map(|()| {
                value += 100;
                Command::random(&mut random, value)
            });
            let store = Arc::clone(&store);
            Box::new(move || record(&store, &commands)) as Box<dyn FnOnce() -> _ + Send>
        });
        let mut histories = together(bodies.collect());
        // What is there in the end belongs to it.
        histories.push(record(&store, &[Command::GetAll]));
        let left: Vec<&[Event]> = histories.iter().map(Vec::as_slice).collect();
        assert!(is_explained(&left, &Plain::default()), "{histories:#?}");
        drop(Arc::into_inner(store).expect("the last of them"));
    });
}
