//! Stands in for crossbeam-epoch in models: grace periods without epochs.
//!
//! A model's threads all run on one thread of the system, one at a time. So a guard is a number,
//! and what is retired may be freed when all guards with lower numbers are gone.
//!
//! - Under shuttle it is freed at that very moment, the earliest that is allowed: what is
//!   retired too early is used after it was freed, which a debug build's poison or
//!   AddressSanitizer shows.
//! - Under loom it is freed at the model's end: a thread of a model may load what was current
//!   before it pinned, which the fences of crossbeam-epoch rule out.

use std::cell::RefCell;
use std::collections::BTreeSet;

#[derive(Default)]
struct Grace {
    guards_made: u64,
    guards: BTreeSet<u64>,
    /// What to run once no guard below the number exists.
    deferred: Vec<(u64, Box<dyn FnOnce()>)>,
}

thread_local! {
    static GRACE: RefCell<Grace> = RefCell::default();
}

pub(crate) struct Collector;

impl Collector {
    pub(crate) fn new() -> Collector {
        Collector
    }

    pub(crate) fn register(&self) -> LocalHandle {
        LocalHandle
    }
}

pub(crate) struct LocalHandle;

impl LocalHandle {
    pub(crate) fn pin(&self) -> Guard {
        Guard { number: enter() }
    }
}

#[derive(Debug)]
pub(crate) struct Guard {
    number: u64,
}

impl Guard {
    pub(crate) fn repin(&mut self) {
        leave(self.number);
        self.number = enter();
    }

    /// # Safety
    /// As for crossbeam-epoch's.
    pub(crate) unsafe fn defer_unchecked<F: FnOnce() -> R, R>(&self, last: F) {
        let last: Box<dyn FnOnce() + '_> = Box::new(move || drop(last()));
        // SAFETY: the caller promises that what `last` holds outlives its run.
        let last: Box<dyn FnOnce()> = unsafe { std::mem::transmute(last) };
        GRACE.with_borrow_mut(|grace| {
            let number = grace.guards_made;
            grace.deferred.push((number, last));
        });
    }

    pub(crate) fn flush(&self) {}
}

impl Drop for Guard {
    fn drop(&mut self) {
        leave(self.number);
    }
}

/// Frees all that is retired. Nobody may hold a guard.
#[cfg(test)]
pub(crate) fn collect() {
    assert!(GRACE.with_borrow(|grace| grace.guards.is_empty()));
    free_due();
}

fn enter() -> u64 {
    GRACE.with_borrow_mut(|grace| {
        let number = grace.guards_made;
        grace.guards_made += 1;
        grace.guards.insert(number);
        number
    })
}

fn leave(number: u64) {
    GRACE.with_borrow_mut(|grace| grace.guards.remove(&number));
    if cfg!(mayfly_shuttle) && !std::thread::panicking() {
        free_due();
    }
}

/// What is freed may pin and retire in its turn.
fn free_due() {
    loop {
        let due = GRACE.with_borrow_mut(|grace| {
            let first = grace.guards.first().copied().unwrap_or(u64::MAX);
            let at = grace.deferred.iter().position(|(below, _)| *below <= first);
            at.map(|at| grace.deferred.remove(at).1)
        });
        match due {
            Some(last) => last(),
            None => return,
        }
    }
}
