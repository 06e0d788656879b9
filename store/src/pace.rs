//! Threads that work for long let others have their core.
//!
//! A thread that does not sleep mostly keeps its core until the scheduler's next tick, up to 4 ms,
//! whoever else wants it and whatever their priorities: one that has just woken, to answer a client
//! in microseconds, waits as long. So whatever takes long here is made of *steps* of some tens of
//! microseconds, between which a thread that has begun to be paced rests when it is time to: when
//! and how is for whoever has the clock to say.
//!
//! A rest happens under whatever guards the thread holds, but under no lock: steps are in walks
//! over versions that do not change, and in what nobody else sees. Only a transaction with a ticket
//! is in the way of others, which are told to come again, for so much longer.

use std::cell::Cell;
use std::sync::OnceLock;

static REST: OnceLock<fn()> = OnceLock::new();

thread_local! {
    static IS_PACED: Cell<bool> = const { Cell::new(false) };
}

/// What paced threads of this process call between steps: it rests if it is time to. The first one
/// counts.
pub fn set_rest(rest: fn()) {
    let _ = REST.set(rest);
}

/// The calling thread is one that works for long, from now on.
pub fn begin() {
    IS_PACED.set(true);
}

/// Of keys that are looked at or changed, so many are a step.
pub const KEYS_A_STEP: usize = 64;

/// Before key number `at` of many.
#[inline]
pub fn step_at(at: usize) {
    if at.is_multiple_of(KEYS_A_STEP) {
        step();
    }
}

/// Between two steps.
#[inline]
pub fn step() {
    if IS_PACED.get() {
        rest();
    }
}

#[cold]
fn rest() {
    if let Some(rest) = REST.get() {
        rest();
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::Cell;

    use super::{begin, set_rest, step};

    thread_local! {
        static STEPS: Cell<usize> = const { Cell::new(0) };
    }

    /// How many steps `work` takes, on a paced thread.
    pub(crate) fn steps_of(work: impl FnOnce() + Send) -> usize {
        set_rest(|| STEPS.set(STEPS.get() + 1));
        let on_paced_thread = || {
            begin();
            work();
            STEPS.get()
        };
        std::thread::scope(|scope| scope.spawn(on_paced_thread).join().expect("no panic"))
    }

    #[test]
    fn only_paced_threads_rest() {
        assert_eq!(steps_of(|| (0..3).for_each(|_| step())), 3);
        step();
        assert_eq!(STEPS.get(), 0);
    }
}
