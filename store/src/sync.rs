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

/// A model's threads all run on one thread of the system, and it has no others beside them.
pub(crate) const IS_MODEL: bool = cfg!(any(mayfly_loom, mayfly_shuttle));

#[cfg(any(mayfly_loom, mayfly_shuttle))]
pub(crate) use crate::grace as epoch;
#[cfg(not(any(mayfly_loom, mayfly_shuttle)))]
pub(crate) use crossbeam_epoch as epoch;

/// How models are run; one model serves loom and shuttle.
///
/// loom tries every schedule with at most so many preemptions, and every value that a load may
/// return under the C11 memory model, as far as it comes in its time. shuttle tries random
/// schedules, of which half have few preemptions at awkward moments (PCT: S. Burckhardt et al.,
/// ASPLOS 2010), over sequentially consistent memory.
#[cfg(all(test, any(mayfly_loom, mayfly_shuttle)))]
pub(crate) mod model {
    use std::sync::Arc;

    use crate::arena::{self, world};
    use crate::{grace, shadow, thread};

    #[cfg(mayfly_loom)]
    pub(crate) use checker::explore;
    #[cfg(mayfly_shuttle)]
    pub(crate) use checker::{explore, random_seed};

    #[cfg(mayfly_loom)]
    mod checker {
        use std::sync::Arc;
        use std::sync::atomic::{AtomicUsize, Ordering};
        use std::time::{Duration, Instant};

        use super::Scenario;

        /// In words: what is made in a model is made on a stack of the model.
        const STACK: usize = 1 << 15;
        /// A model that has not tried everything by then ends; `LOOM_MAX_DURATION` says else.
        const TIME: Duration = Duration::from_secs(10);

        /// Runs `scenario` under all schedules with so many preemptions at most, or as many as
        /// `LOOM_MAX_PREEMPTIONS` says. Those with few come first, all of them: a search that is
        /// cut short should not have spent its time around one schedule.
        #[allow(clippy::disallowed_methods, reason = "no clock of the server's")]
        pub(crate) fn explore(preemptions: usize, scenario: impl Scenario) {
            let most = loom::model::Builder::new().preemption_bound;
            let start = Instant::now();
            for bound in 1..=most.unwrap_or(preemptions) {
                let mut builder = loom::model::Builder::new();
                let time = builder.max_duration.unwrap_or(TIME);
                let Some(left) = time.checked_sub(start.elapsed()) else {
                    return;
                };
                builder.preemption_bound = Some(bound);
                builder.max_duration = Some(left);
                builder.checkpoint_interval = 500;
                builder.max_branches = 100_000;
                builder.expect_explicit_explore = true;
                let schedules = Arc::new(AtomicUsize::new(0));
                let tried = Arc::clone(&schedules);
                builder.check(move || {
                    tried.fetch_add(1, Ordering::Relaxed);
                    super::join(spawn(Box::new(move || super::run(scenario))));
                });
                let schedules = schedules.load(Ordering::Relaxed);
                eprintln!("{bound} preemptions: {schedules} schedules");
            }
        }

        pub(super) fn spawn<R: Send + 'static>(
            body: Box<dyn FnOnce() -> R + Send>,
        ) -> loom::thread::JoinHandle<R> {
            let thread = loom::thread::Builder::new().stack_size(STACK);
            thread.spawn(body).expect("a thread")
        }
    }

    #[cfg(mayfly_shuttle)]
    mod checker {
        use shuttle::Runner;
        use shuttle::rand::RngCore;
        use shuttle::scheduler::{PctScheduler, RandomScheduler};

        use super::Scenario;

        /// In bytes.
        const STACK: usize = 1 << 18;
        const SCHEDULES: usize = 20_000;

        /// Runs `scenario` under `MAYFLY_MODEL_SCHEDULES` random schedules.
        pub(crate) fn explore(_preemptions: usize, scenario: impl Scenario) {
            let schedules = std::env::var("MAYFLY_MODEL_SCHEDULES")
                .map_or(SCHEDULES, |count| count.parse().expect("a number"));
            let mut config = shuttle::Config::new();
            config.stack_size = STACK;
            let random = RandomScheduler::new(schedules / 2);
            Runner::new(random, config.clone()).run(move || super::run(scenario));
            let few = PctScheduler::new(4, schedules / 2);
            Runner::new(few, config).run(move || super::run(scenario));
        }

        /// A number that the schedule fixes.
        pub(crate) fn random_seed() -> u64 {
            shuttle::rand::thread_rng().next_u64()
        }

        pub(super) use shuttle::thread::spawn;
    }

    /// What is tried under one schedule after the other.
    pub(crate) trait Scenario: Fn() + Copy + Send + Sync + 'static {}

    impl<S: Fn() + Copy + Send + Sync + 'static> Scenario for S {}

    fn run(scenario: impl Scenario) {
        // Every run must make the same random choices.
        fastrand::seed(1);
        shadow::begin();
        scenario();
        grace::collect();
        arena::leave_seat(thread::index());
        world::end();
        shadow::end();
    }

    /// Runs `bodies` on threads of their own, the first one on this thread; what they return.
    ///
    /// loom starts with the first and finds a race where a later one loads what an earlier one
    /// stored; so readers come last.
    pub(crate) fn together<R: Send + 'static>(
        bodies: Vec<Box<dyn FnOnce() -> R + Send>>,
    ) -> Vec<R> {
        let leaving = |body: Box<dyn FnOnce() -> R + Send>| {
            let all = move || {
                let result = body();
                arena::leave_seat(thread::index());
                result
            };
            Box::new(all) as Box<dyn FnOnce() -> R + Send>
        };
        let mut bodies: Vec<_> = bodies.into_iter().map(leaving).collect();
        let here = bodies.remove(0);
        #[cfg(mayfly_loom)]
        loom::explore();
        let spawn = |body: Box<dyn FnOnce() -> R + Send>| checker::spawn(body);
        let threads: Vec<_> = bodies.into_iter().map(spawn).collect();
        let mut results = vec![here()];
        results.extend(threads.into_iter().map(join));
        #[cfg(mayfly_loom)]
        loom::stop_exploring();
        results
    }

    /// What a thread does to what all of them share.
    pub(crate) type Step<T, R = ()> = fn(&T) -> R;

    /// As [`together`], for steps that have nothing of their own.
    pub(crate) fn at_once<T: Send + Sync + 'static, R: Send + 'static>(
        shared: &Arc<T>,
        steps: &[Step<T, R>],
    ) -> Vec<R> {
        let body = |&step: &Step<T, R>| {
            let shared = Arc::clone(shared);
            Box::new(move || step(&shared)) as Box<dyn FnOnce() -> R + Send>
        };
        together(steps.iter().map(body).collect())
    }

    #[cfg(mayfly_loom)]
    use loom::thread::JoinHandle;
    #[cfg(mayfly_shuttle)]
    use shuttle::thread::JoinHandle;

    fn join<R>(thread: JoinHandle<R>) -> R {
        thread.join().expect("a thread of the model")
    }
}
