//! What a thread does to the one that has its core when it wakes.
//!
//! By Linux's usual policy it mostly takes the core away. Where clients share the cores with this
//! server that is a waste: the client was about to send more, and both go to and fro for every
//! third request. Under `SCHED_BATCH` (sched(7)) the thread waits until the other sleeps, and then
//! finds more to do: some 15 percent less CPU time per unpipelined request.
//!
//! But one that does not sleep then keeps its core until the next tick of the scheduler's, some
//! 4 ms. So a thread looks at samples of its waits for a core, and has the usual policy for a while
//! where they are long: [`Patience`]. Workers do not sleep while they have a job: [`Competing`].
//! Where the operator has chosen a policy or a niceness, that one stays.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::clock::Moment;

/// A wait for a core that is longer is a long one.
const LONG_WAIT: Duration = Duration::from_millis(1);
/// What a long wait adds to the strain; one that is not takes 1 off.
const LONG_WAIT_STRAIN: u32 = 32;
/// The strain at which patience is lost: two long waits among some thirty, or one in thirty on and
/// on.
const STRAIN_MAX: u32 = 2 * LONG_WAIT_STRAIN - 1;
/// How long it is lost if it had lasted, and at most; else twice as long as the time before.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(64);
/// It has lasted after so long.
const LASTING: Duration = Duration::from_secs(10);

/// So many sleeps are sampled one after the other when patience is new: where all waits are long it
/// is lost after two.
const TRIAL_SLEEPS: u32 = 16;
/// How often the time is looked at afterwards, in sleeps, and how often a sleep is sampled: a
/// sample is two system calls.
const SLEEPS_PER_LOOK: u32 = 16;
const SAMPLE_EVERY: Duration = Duration::from_millis(4);

/// Threads of this process that have work for long and shall have what the runtime's threads leave.
static COMPETITORS: AtomicUsize = AtomicUsize::new(0);

/// While it lives, the runtime's threads take their cores from the calling one.
pub(crate) struct Competing;

impl Competing {
    /// Begins now; threads that sleep already hear of it with their next sleep.
    pub(crate) fn begin() -> Competing {
        // Nothing is published with it.
        COMPETITORS.fetch_add(1, Ordering::Relaxed);
        Competing
    }
}

impl Drop for Competing {
    fn drop(&mut self) {
        COMPETITORS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How long a thread has waited for a core since its start, and how often it was given one.
#[derive(Clone, Copy)]
pub(super) struct Waited {
    time: Duration,
    turns: u64,
}

fn waits_where_policy_is_ours() -> Option<kernel::Waits> {
    let is_ours = kernel::has_usual_policy();
    is_ours.then(kernel::Waits::of_this_thread).flatten()
}

/// The calling thread's policy, and its reasons.
pub(super) struct Wakeups {
    /// None where the policy is not ours to choose.
    waits: Option<kernel::Waits>,
    patience: Patience,
    began: Moment,
    trial_sleeps_left: u32,
    sleeps: u32,
    sampled_at: Duration,
}

impl Wakeups {
    /// Of the calling thread, which is patient from now on.
    pub(super) fn new() -> Wakeups {
        let mut wakeups = Wakeups {
            waits: waits_where_policy_is_ours(),
            patience: Patience::default(),
            began: Moment::now(),
            trial_sleeps_left: TRIAL_SLEEPS,
            sleeps: 0,
            sampled_at: Duration::ZERO,
        };
        wakeups.follow_patience();
        wakeups
    }

    /// To be called before a sleep; gives what [`Wakeups::after_sleep`] takes.
    pub(super) fn before_sleep(&mut self) -> Option<Waited> {
        let waits = self.waits.as_ref()?;
        let has_competitors = COMPETITORS.load(Ordering::Relaxed) > 0;
        if has_competitors && self.patience.is_patient {
            self.patience.lose(self.began.elapsed());
            self.follow_patience();
            return None;
        }
        if self.patience.is_patient && self.trial_sleeps_left > 0 {
            self.trial_sleeps_left -= 1;
            return waits.so_far();
        }
        self.sleeps = self.sleeps.wrapping_add(1);
        if !self.sleeps.is_multiple_of(SLEEPS_PER_LOOK) {
            return None;
        }
        self.look(has_competitors)
    }

    /// Regains patience if it is time, or samples the coming sleep if that is due.
    fn look(&mut self, has_competitors: bool) -> Option<Waited> {
        let now = self.began.elapsed();
        if !self.patience.is_patient {
            if !has_competitors && self.patience.regain(now) {
                self.trial_sleeps_left = TRIAL_SLEEPS;
                self.follow_patience();
            }
            return None;
        }
        if now < self.sampled_at + SAMPLE_EVERY {
            return None;
        }
        self.sampled_at = now;
        self.waits.as_ref()?.so_far()
    }

    /// To be called after the sleep.
    pub(super) fn after_sleep(&mut self, before: Option<Waited>) {
        let Some(before) = before else {
            return;
        };
        let Some(after) = self.waits.as_ref().and_then(kernel::Waits::so_far) else {
            return;
        };
        if after.turns == before.turns {
            // There was something to do: it did not sleep.
            return;
        }
        let wait = after.time.saturating_sub(before.time);
        if self.patience.note(self.began.elapsed(), wait) {
            self.follow_patience();
        }
    }

    fn follow_patience(&mut self) {
        if self.waits.is_some()
            && let Err(error) = kernel::set_patient(self.patience.is_patient)
        {
            log::debug!("the scheduler's policy stays as it is: {error}");
            self.waits = None;
        }
    }
}

/// Whether a thread lets others have its core until they sleep. Times are since its start.
struct Patience {
    is_patient: bool,
    /// When that last changed.
    changed_at: Duration,
    strain: u32,
    /// How long it was lost the last time.
    pause: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience {
            is_patient: true,
            changed_at: Duration::ZERO,
            strain: 0,
            pause: PAUSE_MIN,
        }
    }
}

impl Patience {
    /// Takes a sample of the waits; whether it is lost by that.
    fn note(&mut self, now: Duration, wait: Duration) -> bool {
        if wait < LONG_WAIT {
            self.strain = self.strain.saturating_sub(1);
            return false;
        }
        self.strain += LONG_WAIT_STRAIN;
        let is_lost = self.is_patient && self.strain > STRAIN_MAX;
        if is_lost {
            self.lose(now);
        }
        is_lost
    }

    fn lose(&mut self, now: Duration) {
        self.pause = match now - self.changed_at {
            lasted if lasted >= LASTING => PAUSE_MIN,
            _ => (self.pause * 2).min(PAUSE_MAX),
        };
        self.is_patient = false;
        self.changed_at = now;
        self.strain = 0;
    }

    /// Regains it if it was lost for long enough; whether it was.
    fn regain(&mut self, now: Duration) -> bool {
        let is_over = !self.is_patient && now >= self.changed_at + self.pause;
        if is_over {
            self.is_patient = true;
            self.changed_at = now;
        }
        is_over
    }
}

/// What the kernel is asked.
#[cfg(target_os = "linux")]
mod kernel {
    use std::fs::File;
    use std::io;
    use std::os::unix::fs::FileExt;
    use std::time::Duration;

    use thread_priority::{
        NormalThreadSchedulePolicy, ThreadPriority, ThreadPriorityOsValue, ThreadSchedulePolicy,
        set_thread_priority_and_policy, thread_native_id, thread_schedule_policy,
    };

    use super::Waited;

    const USUAL: ThreadSchedulePolicy =
        ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Other);
    const PATIENT: ThreadSchedulePolicy =
        ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Batch);

    /// Whether the calling thread has the policy and the niceness that threads have.
    pub(super) fn has_usual_policy() -> bool {
        thread_schedule_policy() == Ok(USUAL) && rustix::process::getpriority_process(None) == Ok(0)
    }

    /// Sets the calling thread's policy.
    pub(super) fn set_patient(is_patient: bool) -> io::Result<()> {
        let policy = if is_patient { PATIENT } else { USUAL };
        // With the policy goes a niceness, which was this one.
        let niceness = ThreadPriority::Os(ThreadPriorityOsValue::default());
        set_thread_priority_and_policy(thread_native_id(), niceness, policy)
            .map_err(io::Error::other)
    }

    /// The calling thread's waits for a core: proc(5), `schedstat`.
    pub(super) struct Waits(File);

    impl Waits {
        /// None where the kernel does not tell.
        pub(super) fn of_this_thread() -> Option<Waits> {
            let waits = Waits(File::open("/proc/thread-self/schedstat").ok()?);
            waits.so_far()?;
            Some(waits)
        }

        pub(super) fn so_far(&self) -> Option<Waited> {
            let mut text = [0; 64];
            let length = self.0.read_at(&mut text, 0).ok()?;
            let text = std::str::from_utf8(&text[..length]).ok()?;
            // The time on a core, the time that was waited for one, turns.
            let mut numbers = text.split_ascii_whitespace().skip(1).map(str::parse);
            let (time, turns) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
            Some(Waited {
                time: Duration::from_nanos(time),
                turns,
            })
        }
    }
}

/// Elsewhere the usual policy is all there is.
#[cfg(not(target_os = "linux"))]
mod kernel {
    use std::io;

    use super::Waited;

    pub(super) struct Waits;

    impl Waits {
        pub(super) fn of_this_thread() -> Option<Waits> {
            None
        }

        pub(super) fn so_far(&self) -> Option<Waited> {
            None
        }
    }

    pub(super) fn has_usual_policy() -> bool {
        false
    }

    pub(super) fn set_patient(_is_patient: bool) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_micros(50);
    const LONG: Duration = Duration::from_millis(4);

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Takes samples of which one in `every` is long, until patience is lost.
    fn samples_until_lost(every: usize, samples_max: usize) -> Option<usize> {
        let mut patience = Patience::default();
        (1..=samples_max).find(|sample| {
            let wait = if sample % every == 0 { LONG } else { SHORT };
            patience.note(seconds(1), wait)
        })
    }

    #[test]
    fn long_waits_end_patience_where_they_are_many() {
        assert_eq!(samples_until_lost(1, 100), Some(2));
        assert_eq!(samples_until_lost(20, 100), Some(80));
        assert_eq!(samples_until_lost(40, 10_000), None);
    }

    #[test]
    fn it_is_lost_twice_as_long_each_time_that_it_did_not_last() {
        let mut patience = Patience::default();
        let mut now = seconds(1);
        for pause in [2, 4, 8, 16, 32, 64, 64] {
            patience.lose(now);
            assert!(!patience.regain(now + seconds(pause) - SHORT), "{pause}");
            now += seconds(pause);
            assert!(patience.regain(now), "{pause}");
            assert!(!patience.regain(now), "regained once");
            now += seconds(1);
        }
        now += LASTING;
        patience.lose(now);
        assert!(patience.regain(now + PAUSE_MIN));
    }

    /// Runs `test` on a thread whose policy is ours to choose, if those who run the tests leave it
    /// to us.
    #[cfg(target_os = "linux")]
    fn on_thread_of_ours(test: impl FnOnce() + Send + 'static) {
        let run = || {
            if waits_where_policy_is_ours().is_some() {
                test();
            }
        };
        std::thread::spawn(run).join().expect("a test that passes");
    }

    #[cfg(target_os = "linux")]
    fn is_patient() -> bool {
        use thread_priority::{NormalThreadSchedulePolicy::Batch, ThreadSchedulePolicy::Normal};
        thread_priority::thread_schedule_policy() == Ok(Normal(Batch))
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn threads_of_the_runtime_are_patient() {
        on_thread_of_ours(|| {
            let idle = super::super::Idle {
                is_due: || false,
                work: || {},
            };
            let during = super::super::run(async { is_patient() }, idle);
            assert!(during.expect("a poll"));
        });
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_first_sleeps_are_sampled() {
        on_thread_of_ours(|| {
            let mut wakeups = Wakeups::new();
            // Not while another test competes.
            let sampled = |_| wakeups.before_sleep().is_some() || !wakeups.patience.is_patient;
            assert!((0..TRIAL_SLEEPS).all(sampled));
        });
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_thread_is_not_patient_beside_competitors() {
        on_thread_of_ours(|| {
            let mut wakeups = Wakeups::new();
            assert!(is_patient());
            let competing = Competing::begin();
            wakeups.before_sleep();
            assert!(!is_patient());
            drop(competing);
            wakeups.before_sleep();
            assert!(!is_patient(), "for a while");
        });
    }
}
