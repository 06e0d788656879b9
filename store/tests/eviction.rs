//! What each policy promises, as far as a naive observer can tell.
//!
//! Memory is counted for the whole process: the tests here take turns.

use std::collections::HashSet;
use std::sync::{Barrier, Mutex, MutexGuard};
use std::time::Duration;

use store::memory::Process;
use store::value::string;
use store::{CacheOrder, Db, Draft, Error, Options, Policy, Store, reclaim};

static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    let turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    // Until all that the store before had is gone.
    reclaim::settle();
    while store::memory::in_use() != store::memory::InUse::default() {
        std::thread::yield_now();
        reclaim::settle();
    }
    turn
}

const LIMIT: u64 = 4 << 20;

/// A store with room for `LIMIT` more bytes.
fn store(policy: Policy) -> Store {
    let store = Store::new(&Options {
        databases: 2,
        policy,
        ..Options::default()
    });
    store.set_memory_bytes_max(store.charged_bytes() + LIMIT);
    store
}

fn key(number: usize) -> Vec<u8> {
    format!("key:{number}").into_bytes()
}

/// Puts a value of so many bytes as a command does.
fn put(db: &Db<'_>, number: usize, bytes: usize, expires_at_ms: Option<u64>) -> Result<(), Error> {
    db.make_room(bytes)?;
    let value = vec![b'v'; bytes];
    let draft = Draft::new(string::bytes(&value)).expiring(expires_at_ms);
    db.put(&key(number), draft)
}

fn here(db: &Db<'_>, numbers: std::ops::Range<usize>) -> HashSet<usize> {
    numbers
        .filter(|&number| db.peek(&key(number)).is_some())
        .collect()
}

/// Runs with a new guard for each step, as connections do.
fn each(
    store: &Store,
    now_ms: u64,
    numbers: std::ops::Range<usize>,
    mut step: impl FnMut(&Db<'_>, usize),
) {
    for number in numbers {
        let guard = store.pin();
        step(&store.db(0, &guard, now_ms), number);
    }
}

#[test]
fn noeviction_refuses_and_loses_nothing() {
    let _turn = turn();
    let store = store(Policy::NoEviction);
    let mut stored = 0;
    each(&store, 1, 0..10_000, |db, number| {
        match put(db, number, 1_000, None) {
            Ok(()) => stored += 1,
            Err(error) => assert_eq!(error, Error::OutOfMemory),
        }
    });
    assert!((3_000..4_500).contains(&stored), "{stored}");
    let guard = store.pin();
    let db = store.db(0, &guard, 1);
    assert_eq!(here(&db, 0..stored).len(), stored);
    assert_eq!(store.counts().evicted_keys, 0);
    assert_eq!(db.remove(&key(0)), Ok(true));
}

#[test]
fn policies_of_all_keys_refuse_nothing_and_keep_to_the_limit() {
    for policy in [
        Policy::AllkeysLru,
        Policy::AllkeysLfu,
        Policy::AllkeysRandom,
        Policy::CacheMode,
    ] {
        let _turn = turn();
        let store = store(policy);
        let limit = store.memory_bytes_max();
        for number in 0..20_000 {
            each(&store, 1, number..number + 1, |db, number| {
                let bytes = [10, 100, 1_000, 3_000, 100_000][number % 5];
                put(db, number, bytes, None).expect("room is made");
            });
            let keeps_to_it = || store.charged_bytes() < limit + LIMIT / 10;
            // The reaper may stand still with a guard, and garbage with it, which goes by itself.
            let mut looks = 0;
            while !keeps_to_it() && looks < 1_000 {
                looks += 1;
                std::thread::sleep(Duration::from_millis(1));
            }
            assert!(
                keeps_to_it(),
                "{policy:?} {} of {limit}",
                store.charged_bytes()
            );
        }
        let guard = store.pin();
        let db = store.db(0, &guard, 1);
        let counts = store.counts();
        assert_eq!(db.len() + counts.evicted_keys, 20_000, "{policy:?}");
        assert_eq!(counts.evicted_unfetched, counts.evicted_keys);
        assert!(store.charged_bytes() > limit - LIMIT / 4, "{policy:?}");
    }
}

#[test]
fn nothing_is_evicted_before_the_limit_is_near() {
    let _turn = turn();
    let store = store(Policy::CacheMode);
    each(&store, 1, 0..3_000, |db, number| {
        put(db, number, 1_000, None).expect("there is room");
    });
    assert_eq!(store.counts().evicted_keys, 0);
}

#[test]
fn volatile_policies_touch_no_key_without_expiry() {
    for policy in [
        Policy::VolatileLru,
        Policy::VolatileLfu,
        Policy::VolatileRandom,
        Policy::VolatileTtl,
    ] {
        let _turn = turn();
        let store = store(policy);
        each(&store, 1, 0..2_000, |db, number| {
            put(db, number, 1_000, None).expect("there is room");
        });
        each(&store, 1, 2_000..6_000, |db, number| {
            put(db, number, 1_000, Some(1 << 40)).expect("room is made");
        });
        // Only a few are left to go when all that is new stays.
        let mut refused = false;
        each(&store, 1, 6_000..10_000, |db, number| {
            refused |= put(db, number, 1_000, None) == Err(Error::OutOfMemory);
        });
        let (charged, limit) = (store.charged_bytes(), store.memory_bytes_max());
        let usage = store::memory::in_use();
        assert!(
            refused,
            "{policy:?} {charged} of {limit}, {usage:?} {:?}",
            store.counts()
        );
        let guard = store.pin();
        let db = store.db(0, &guard, 1);
        assert_eq!(here(&db, 0..2_000).len(), 2_000, "{policy:?}");
        assert_eq!(db.expiring_len(), 0, "{policy:?}");
    }
}

#[test]
fn volatile_ttl_takes_what_expires_next() {
    let _turn = turn();
    let store = store(Policy::VolatileTtl);
    // In an order that has nothing to do with the expiry.
    each(&store, 1, 0..8_000, |db, number| {
        let number = number * 4_001 % 8_000;
        put(db, number, 1_000, Some(1_000_000 + number as u64)).expect("room is made");
    });
    let guard = store.pin();
    let db = store.db(0, &guard, 1);
    let gone = store.counts().evicted_keys as usize;
    let late = here(&db, 8_000 - (8_000 - gone) / 2..8_000).len();
    assert!(
        late * 10 > (8_000 - gone) / 2 * 8,
        "{late} with {gone} gone"
    );
}

#[test]
fn lru_keeps_what_is_used() {
    let _turn = turn();
    let store = store(Policy::AllkeysLru);
    each(&store, 1, 0..12_000, |db, number| {
        put(db, number, 1_000, None).expect("room is made");
        for hot in 0..5 {
            db.read(&key(number % 100 * 5 + hot));
        }
    });
    let guard = store.pin();
    let db = store.db(0, &guard, 1);
    let kept = here(&db, 0..500).len();
    assert!(kept > 480, "{kept} of 500");
}

#[test]
fn cache_mode_goes_by_last_uses_where_popularity_moves_on() {
    let _turn = turn();
    let store = store(Policy::CacheMode);
    assert_eq!(store.cache_order(), Some(CacheOrder::Fifo));
    let ask = |db: &Db<'_>, number: usize| {
        if db.read(&key(number)).is_none() {
            put(db, number, 1_000, None).expect("room is made");
        }
    };
    let skewed = |objects: f64| objects.powf(fastrand::f64()) as usize;
    each(&store, 1, 0..200_000, |db, at| {
        ask(db, at / 10 + skewed(40_000.0));
    });
    assert_eq!(store.cache_order(), Some(CacheOrder::Lru));
    each(&store, 1, 0..400_000, |db, _| ask(db, skewed(40_000.0)));
    assert_eq!(store.cache_order(), Some(CacheOrder::Fifo));
    store.set_policy(Policy::AllkeysLru);
    assert_eq!(store.cache_order(), None);
}

#[test]
fn cache_mode_hears_of_reads_in_vain_that_nobody_writes_for() {
    let _turn = turn();
    let store = store(Policy::CacheMode);
    // Each key is written once, and asked for the sooner the more often.
    each(&store, 1, 0..300_000, |db, at| {
        put(db, at, 1_000, None).expect("room is made");
        let back = 8_000.0_f64.powf(fastrand::f64()) as usize;
        db.read(&key(at.saturating_sub(back)));
    });
    assert_eq!(store.cache_order(), Some(CacheOrder::Lru));
}

#[test]
fn cache_mode_keeps_what_is_large_until_it_may_be_asked_for() {
    const LARGE_EVERY: usize = 100;
    const ASKED_AFTER: usize = 24;
    let _turn = turn();
    let store = store(Policy::CacheMode);
    let mut lost = 0;
    each(&store, 1, 0..200_000, |db, number| {
        let bytes = match number % LARGE_EVERY {
            0 => 16_000,
            ASKED_AFTER => {
                lost += usize::from(db.read(&key(number - ASKED_AFTER)).is_none());
                300
            }
            _ => 300,
        };
        put(db, number, bytes, None).expect("room is made");
    });
    assert!(store.counts().evicted_keys > 100_000);
    assert!(lost < 10, "{lost} of {}", 200_000 / LARGE_EVERY);
}

#[test]
fn cache_mode_keeps_a_part_of_what_is_asked_for_in_turn() {
    const ROUND: usize = 16_000;
    const ROUNDS: usize = 12;
    let _turn = turn();
    let store = store(Policy::CacheMode);
    let mut found = 0;
    each(&store, 1, 0..ROUNDS * ROUND, |db, number| {
        let object = number % ROUND;
        match db.read(&key(object)) {
            Some(_) => found += usize::from(number >= ROUNDS / 2 * ROUND),
            None => put(db, object, 1_000, None).expect("room is made"),
        }
    });
    // Memory has room for about 3,800 keys: of those used last none would be there.
    let percent = found * 100 / (ROUNDS / 2 * ROUND);
    assert!((12..25).contains(&percent), "{percent}");
}

#[test]
fn what_nobody_has_asked_for_takes_no_room_from_what_came_last() {
    const KEYS: usize = 12_000;
    // Memory has room for about 3,800.
    const LATEST: usize = 1_900;
    let _turn = turn();
    let store = store(Policy::CacheMode);
    each(&store, 1, 0..KEYS, |db, number| {
        put(db, number, 1_000, None).expect("room is made");
    });
    let mut found = 0;
    each(&store, 1, KEYS - LATEST..KEYS, |db, number| {
        found += usize::from(db.read(&key(number)).is_some());
    });
    assert!(found > LATEST * 19 / 20, "{found}");
}

#[test]
fn what_clients_have_for_a_moment_lets_no_key_go() {
    const HEAP: u64 = 2 << 20;
    let _turn = turn();
    let store = store(Policy::CacheMode);
    each(&store, 1, 0..3_000, |db, number| {
        put(db, number, 1_000, None).expect("there is room");
    });
    let note = |heap| {
        let usage = store::memory::in_use();
        store.note_process(Process {
            resident_bytes: 0,
            file_bytes: 0,
            allocated_bytes: usage.bytes() - usage.arena_bytes + heap,
        });
    };
    let evicted_by_writes = || {
        let before = store.counts().evicted_keys;
        each(&store, 1, 0..500, |db, number| {
            put(db, number, 1_000, None).expect("room is made");
        });
        store.counts().evicted_keys - before
    };
    note(0);
    note(HEAP);
    assert_eq!(evicted_by_writes(), 0);
    note(HEAP);
    assert!(evicted_by_writes() > 500, "it lasts");
    note(0);
    assert_eq!(evicted_by_writes(), 0, "it is gone");
}

#[test]
fn a_small_limit_holds_to_the_kilobyte_whoever_writes() {
    const LIMIT: u64 = 200_000;
    let _turn = turn();
    let store = store(Policy::CacheMode);
    let limit = store.charged_bytes() + LIMIT;
    store.set_memory_bytes_max(limit);
    let (written, wait) = (Barrier::new(2), Barrier::new(2));
    std::thread::scope(|scope| {
        // Less than what a thread tells the others at once.
        let other = || {
            put(&store.db(0, &store.pin(), 1), 0, 8_000, None).expect("there is room");
            written.wait();
            wait.wait();
        };
        let other = scope.spawn(other);
        written.wait();
        each(&store, 1, 1..1_000, |db, number| {
            put(db, number, 1_000, None).expect("room is made");
        });
        reclaim::settle();
        let charged = store::memory::in_use().bytes();
        wait.wait();
        other.join().expect("no panic");
        assert!(charged <= limit, "{charged} of {limit}");
        assert!(charged > limit - 10_000, "{charged} of {limit}");
    });
}

#[test]
fn expired_keys_go_before_live_ones() {
    for policy in [Policy::AllkeysLru, Policy::CacheMode, Policy::VolatileTtl] {
        let _turn = turn();
        let store = store(policy);
        each(&store, 1, 0..3_000, |db, number| {
            let expires_at_ms = if number % 2 == 0 { 1_000 } else { 1 << 40 };
            put(db, number, 1_000, Some(expires_at_ms)).expect("there is room");
        });
        each(&store, 2_000, 3_000..4_600, |db, number| {
            put(db, number, 1_000, Some(1 << 40)).expect("room is made");
        });
        let counts = store.counts();
        assert!(counts.expired_keys > 400, "{policy:?} {counts:?}");
        assert!(counts.evicted_keys < 30, "{policy:?} {counts:?}");
    }
}

#[test]
fn a_lowered_limit_is_reached_in_steps() {
    let _turn = turn();
    let store = store(Policy::CacheMode);
    each(&store, 1, 0..3_500, |db, number| {
        put(db, number, 1_000, None).expect("there is room");
    });
    store.set_memory_bytes_max(store.memory_bytes_max() - LIMIT / 2);
    let steps = (0..1_000).take_while(|_| store.relieve(1)).count();
    assert!((2..100).contains(&steps), "{steps}");
    reclaim::settle();
    let (charged, limit) = (store.charged_bytes(), store.memory_bytes_max());
    assert!(
        charged <= limit,
        "{charged} of {limit} after {steps}, {:?}",
        store::memory::in_use()
    );
}

#[test]
fn after_a_flush_nothing_is_counted() {
    let _turn = turn();
    {
        let store = store(Policy::CacheMode);
        each(&store, 1, 0..10_000, |db, number| {
            let expires_at_ms = (number % 3 == 0).then_some(1 << 40);
            put(db, number % 7_000, 100 + number % 1_000, expires_at_ms).expect("room is made");
            db.read(&key(number / 2));
        });
        store.flush_all();
    }
    drop(_turn);
    // Which waits until nothing is counted.
    let _turn = turn();
    assert_eq!(store::small_queue_bytes(), 0);
}

/// What cannot be given back to the kernel: slabs in use, and blocks outside of them.
fn physical_bytes() -> u64 {
    let (usage, arena) = (store::memory::in_use(), store::memory::arena());
    usage.bytes() - usage.arena_bytes + arena.resident_bytes - arena.free_bytes
}

/// As memory fills up for the first time one in twenty bytes is a hole. What has to go for these is
/// chosen as well as all else: the largest, a few, and not half of what is in some slabs.
#[test]
fn few_keys_go_for_holes() {
    const LIMIT: u64 = 176 << 20;
    let _turn = turn();
    let store = store(Policy::CacheMode);
    store.set_memory_bytes_max(store.charged_bytes() + LIMIT);
    let mut random = fastrand::Rng::with_seed(7);
    let mut bytes = move || (200.0 / (1.0 - random.f64()).powf(0.35)) as usize;
    let mut put_bytes = 0;
    let mut keys = 0;
    while put_bytes < LIMIT as usize {
        each(&store, 1, keys..keys + 1, |db, number| {
            let bytes = bytes();
            put_bytes += bytes + 40;
            put(db, number, bytes, None).expect("room is made");
        });
        keys += 1;
    }
    let evicted = store.counts().evicted_keys;
    assert!(evicted * 25 < keys as u64, "{evicted} of {keys}");
}

/// Small values have to go by the thousand, on threads that never drew a victim.
#[test]
fn large_values_find_room_among_small_ones() {
    const LIMIT: u64 = 48 << 20;
    const LARGE_BYTES: usize = 200_000;
    let _turn = turn();
    let store = store(Policy::CacheMode);
    let before = store.charged_bytes();
    store.set_memory_bytes_max(before + LIMIT);
    each(&store, 1, 0..600_000, |db, number| {
        put(db, number, 60, None).expect("room is made");
    });
    let small = store.db(0, &store.pin(), 1).len();
    assert!(small > 250_000, "{small}");
    for number in 1_000_000..1_000_120 {
        let one = || {
            each(&store, 1, number..number + 1, |db, number| {
                put(db, number, LARGE_BYTES, None).expect("room is made");
            })
        };
        std::thread::scope(|scope| scope.spawn(one).join().expect("room is made"));
    }
    reclaim::settle();
    store.compact(1);
    let (physical, limit) = (physical_bytes(), store.memory_bytes_max());
    // Without the arena there are no slabs to empty.
    let is_arena_used = store::memory::arena().resident_bytes > 0;
    assert!(
        !is_arena_used || physical < limit / 10 * 11,
        "{physical} of {limit}"
    );
    // The large ones bring half of the memory: what is small does not all go for that.
    let left = store.db(0, &store.pin(), 1).len();
    assert!((small / 8..small).contains(&left), "{left} of {small}");
}

/// A value of megabytes takes the place of more small ones than one operation may take for it.
/// Whoever waits until memory is no longer overfull gets there by letting small ones go, and by
/// emptying slabs.
#[test]
fn who_waits_for_room_makes_it() {
    const LIMIT: u64 = 48 << 20;
    const LARGE_BYTES: usize = 2_000_000;
    const LARGE: usize = 16;
    let _turn = turn();
    let store = store(Policy::AllkeysLru);
    store.set_memory_bytes_max(store.charged_bytes() + LIMIT);
    each(&store, 1, 0..600_000, |db, number| {
        put(db, number, 60, None).expect("room is made");
    });
    let mut was_overfull = false;
    each(&store, 1, 1_000_000..1_000_000 + LARGE, |db, number| {
        put(db, number, LARGE_BYTES, None).expect("room is made");
    });
    for _ in 0..100_000 {
        if !store.is_overfull() {
            break;
        }
        was_overfull = true;
        if !store.relieve(1) {
            reclaim::settle();
        }
    }
    // Without the arena there are no slabs to empty.
    if store::memory::arena().resident_bytes > 0 {
        assert!(was_overfull, "there was nothing to wait for");
        assert!(!store.is_overfull(), "{}", physical_bytes());
    }
}
