//! What operations on a collection of a million elements cost in CPU time of their thread,
//! without a keyspace: run by hand,
//!
//! ```text
//! cargo test --release -p store timing -- --ignored --nocapture --test-threads 1
//! ```

use super::hash::{Hash, HashEdit};
use super::held::Held;
use super::set::{self, Set, SetBuilder, SetEdit};
use super::string::{self, Str};
use super::{Edited, Limits, bitmap, memory_bytes};
use crate::reclaim;
use std::hint::black_box;
use std::ops::ControlFlow;

const LIMITS: Limits = Limits::DEFAULT;

/// Prints what one of `count` operations of `run` takes.
fn time<R>(name: &str, count: usize, run: impl FnOnce() -> R) -> R {
    let start = cpu_nanos();
    let result = run();
    let nanos = (cpu_nanos() - start) as f64 / count as f64;
    eprintln!("{name:<44} {nanos:>9.1} ns");
    result
}

/// The CPU time of this thread.
fn cpu_nanos() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the clock exists, and the structure is ours.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    assert_eq!(result, 0);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

fn field_of(number: usize) -> [u8; 16] {
    let mut field = *b"field:0000000000";
    let text = number.to_string();
    field[16 - text.len()..].copy_from_slice(text.as_bytes());
    field
}

fn hash_of(len: usize) -> Held {
    let mut edit = HashEdit::new(None, &LIMITS).expect("no entry");
    for number in 0..len {
        edit.set(&field_of(number), &[b'v'; 32]);
    }
    Held::after(None, edit.finish()).expect("fields")
}

fn set_of(numbers: impl Iterator<Item = usize>) -> Held {
    let mut edit = SetEdit::new(None, &LIMITS).expect("no entry");
    for number in numbers {
        edit.add(&field_of(number));
    }
    Held::after(None, edit.finish()).expect("members")
}

#[test]
#[ignore = "prints times"]
fn timing_of_hashes() {
    for len in [128, 1_000, 100_000, 1_000_000] {
        eprintln!("-- hash of {len}: fields of 16 bytes, values of 32");
        let mut held = time("one HSET of all", len, || Some(hash_of(len)));
        let entry = held.as_ref().expect("fields").entry();
        let bytes = memory_bytes(entry) as f64 / len as f64;
        eprintln!("{:<44} {bytes:>9.1} bytes", "memory per field");
        let mut version = held.take();
        time("random HSET", 200_000, || {
            for _ in 0..200_000 {
                let old = version.as_ref().map(Held::entry);
                let mut edit = HashEdit::new(old, &LIMITS).expect("a hash");
                edit.set(&field_of(fastrand::usize(..len)), &[b'w'; 32]);
                let edited = edit.finish();
                version = Held::after(version.take(), edited);
            }
        });
        let entry = version.as_ref().expect("fields").entry();
        let bytes = memory_bytes(entry) as f64 / len as f64;
        eprintln!("{:<44} {bytes:>9.1} bytes", "memory per field after that");
        let hash = Hash::of(entry).expect("a hash");
        time("random HGET", 500_000, || {
            for _ in 0..500_000 {
                black_box(hash.get(&field_of(fastrand::usize(..len))));
            }
        });
        time("HGETALL, per field", len, || {
            hash.iter().map(|(f, v)| f.len() + v.len()).sum::<usize>()
        });
        time("HRANDFIELD", 100_000, || {
            for _ in 0..100_000 {
                black_box(hash.random());
            }
        });
        time("DEL, to the caller", 1, || drop(version));
        time("DEL, to the end, per field", len, reclaim::settle);
    }
}

#[test]
#[ignore = "prints times"]
fn timing_of_sets() {
    const LEN: usize = 1_000_000;
    eprintln!("-- sets of {LEN}: members of 16 bytes");
    let mut version = time("one SADD of all", LEN, || Some(set_of(0..LEN)));
    time("random SADD, half of them new", 200_000, || {
        for _ in 0..200_000 {
            let old = version.as_ref().map(Held::entry);
            let mut edit = SetEdit::new(old, &LIMITS).expect("a set");
            edit.add(&field_of(fastrand::usize(..2 * LEN)));
            let edited = edit.finish();
            version = Held::after(version.take(), edited);
        }
    });
    let (a, b) = (version.expect("members"), set_of(LEN / 2..3 * LEN / 2));
    let bytes = memory_bytes(b.entry()) as f64 / LEN as f64;
    eprintln!("{:<44} {bytes:>9.1} bytes", "memory per member");
    let sets = [a.entry(), b.entry()].map(|entry| Set::of(entry).ok());
    let set = sets[0].expect("a set");
    time("random SISMEMBER", 500_000, || {
        for _ in 0..500_000 {
            black_box(set.contains(&field_of(fastrand::usize(..2 * LEN))));
        }
    });
    time("SMEMBERS, per member", set.len(), || {
        set.iter().map(|member| member.len()).sum::<usize>()
    });
    time("SINTERCARD, per member", 2 * LEN, || {
        set::intersection_len(&sets, 0)
    });
    let mut builder = SetBuilder::new(&LIMITS);
    time("SUNIONSTORE, per member", 2 * LEN, || {
        set::union(&sets, |member| {
            builder.add(&member);
            ControlFlow::Continue(())
        });
        Held::new(builder.finish().expect("members"))
    });
    time("SDIFF, per member", 2 * LEN, || {
        let mut len = 0;
        set::difference(&sets, |_| {
            len += 1;
            ControlFlow::Continue(())
        });
        len
    });
    let mut edit = SetEdit::new(Some(a.entry()), &LIMITS).expect("a set");
    time("SPOP of 10,000, per member", 10_000, || edit.pop(10_000));
}

#[test]
#[ignore = "prints times"]
fn timing_of_strings() {
    const BYTES: usize = 64 << 20;
    eprintln!("-- a string of {BYTES} bytes");
    let patch = string::set_range(None, BYTES - 1, b"x").expect("not too long");
    let mut version = Some(Held::new(patch));
    time("random SETBIT", 100_000, || {
        for _ in 0..100_000 {
            let old = version.take().expect("a string");
            let string = Str::of(old.entry()).expect("a string");
            let at = fastrand::usize(..8 * BYTES);
            let (_, value) = bitmap::set_bit(Some(string), at, true).expect("not too long");
            version = Held::after(Some(old), Edited::Changed(value));
        }
    });
    time("APPEND of 16 bytes", 100_000, || {
        for _ in 0..100_000 {
            let old = version.take().expect("a string");
            let string = Str::of(old.entry()).expect("a string");
            let value = string::append(Some(string), b"sixteen bytes...").expect("not too long");
            version = Held::after(Some(old), Edited::Changed(value));
        }
    });
    let entry = version.as_ref().expect("a string").entry();
    let string = Str::of(entry).expect("a string");
    time("random GETBIT", 500_000, || {
        for _ in 0..500_000 {
            black_box(bitmap::bit(string, fastrand::usize(..8 * BYTES)));
        }
    });
    time("BITCOUNT, per kilobyte", BYTES >> 10, || {
        bitmap::count_ones(string, 0..8 * string.len())
    });
}
