//! Where the engine's atomics come from: std, or loom or shuttle when models are built.
//!
//! Everything threads race on goes through here, so that a model runs the very code that serves.
//! The cfgs are our own, since `--cfg loom` would switch dependencies as well.
//!
//! Counters, seats and the like stay with std: no model is about them, and a model's threads
//! are switched at nothing but the operations that come from here.

#[cfg(mayfly_loom)]
pub(crate) use loom::{sync::atomic, thread::yield_now, thread_local};
#[cfg(mayfly_shuttle)]
pub(crate) use shuttle::{sync::atomic, thread::yield_now, thread_local};
#[cfg(not(any(mayfly_loom, mayfly_shuttle)))]
pub(crate) use std::{sync::atomic, thread::yield_now, thread_local};

pub(crate) use atomic::{AtomicPtr, AtomicU64, Ordering};

#[cfg(any(mayfly_loom, mayfly_shuttle))]
pub(crate) use crate::grace as epoch;
#[cfg(not(any(mayfly_loom, mayfly_shuttle)))]
pub(crate) use crossbeam_epoch as epoch;

/// How models are run; one model serves loom and shuttle.
///
/// loom tries every schedule with at most so many preemptions, and every value that a load may
/// return under the C11 memory model. shuttle tries random schedules, of which half favour few
/// preemptions at awkward moments (PCT: S. Burckhardt et al., ASPLOS 2010), over sequentially
/// consistent memory.
#[cfg(all(test, any(mayfly_loom, mayfly_shuttle)))]
pub(crate) mod model {
    #[cfg(mayfly_loom)]
    use loom::thread;
    #[cfg(mayfly_shuttle)]
    use shuttle::thread;

    #[cfg(mayfly_loom)]
    use std::sync::atomic::{AtomicUsize, Ordering};

    use crate::grace;

    /// Runs `scenario` under many schedules. `preemptions` bounds what loom tries, unless
    /// `LOOM_MAX_PREEMPTIONS` does; none: it tries everything.
    #[cfg(mayfly_loom)]
    pub(crate) fn explore(preemptions: impl Into<Option<usize>>, scenario: fn()) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = builder.preemption_bound.or(preemptions.into());
        builder.max_branches = 100_000;
        builder.expect_explicit_explore = true;
        let runs = AtomicUsize::new(0);
        let runs: &'static AtomicUsize = Box::leak(Box::new(runs));
        builder.check(move || {
            runs.fetch_add(1, Ordering::Relaxed);
            run(scenario);
        });
        eprintln!("{} schedules", runs.load(Ordering::Relaxed));
    }

    /// Runs `scenario` under `MAYFLY_MODEL_SCHEDULES` schedules.
    #[cfg(mayfly_shuttle)]
    pub(crate) fn explore(_preemptions: impl Into<Option<usize>>, scenario: fn()) {
        use shuttle::Runner;
        use shuttle::scheduler::{PctScheduler, RandomScheduler};

        const SCHEDULES: usize = 4_000;
        let schedules = std::env::var("MAYFLY_MODEL_SCHEDULES")
            .map_or(SCHEDULES, |count| count.parse().expect("a number"));
        let mut config = shuttle::Config::new();
        config.stack_size = 1 << 18;
        Runner::new(RandomScheduler::new(schedules / 2), config.clone()).run(move || run(scenario));
        Runner::new(PctScheduler::new(4, schedules / 2), config).run(move || run(scenario));
    }

    fn run(scenario: fn()) {
        // Every run must make the same random choices.
        fastrand::seed(1);
        scenario();
        grace::collect();
    }

    /// A number that the schedule fixes.
    #[cfg(mayfly_shuttle)]
    pub(crate) fn random_seed() -> u64 {
        use shuttle::rand::RngCore;
        shuttle::rand::thread_rng().next_u64()
    }

    /// Runs `bodies` on threads of their own, the first one on this thread; what they return.
    pub(crate) fn together<R: Send + 'static>(
        mut bodies: Vec<Box<dyn FnOnce() -> R + Send>>,
    ) -> Vec<R> {
        let here = bodies.remove(0);
        #[cfg(mayfly_loom)]
        loom::explore();
        let threads: Vec<_> = bodies.into_iter().map(thread::spawn).collect();
        let mut results = vec![here()];
        let joined = threads.into_iter().map(thread::JoinHandle::join);
        results.extend(joined.map(|result| result.expect("a thread of the model")));
        #[cfg(mayfly_loom)]
        loom::stop_exploring();
        results
    }
}
