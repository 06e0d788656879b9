//! When threads that work for long rest, so that others get their core (`store::pace`).
//!
//! A rest is a sleep of its own: whoever waits for the core has it then. To give it up without a
//! sleep does not do: what sched_yield(2) costs a thread in its turns makes the scheduler's idea of
//! who is due so wrong that others wait for longer than before, and a sleep that is over before the
//! kernel has looked for somebody else gives nothing up.

use std::cell::Cell;
use std::time::Duration;

use crate::clock::Moment;

/// A thread works for so long between two rests. Longer, and clients wait longer; shorter, and
/// heavy commands take longer where others want the core: a tenth with 1 ms, a third with 0.3.
const WORK_BETWEEN_RESTS: Duration = Duration::from_micros(700);
const REST: Duration = Duration::from_micros(20);

thread_local! {
    static LAST_REST: Cell<Option<Moment>> = const { Cell::new(None) };
}

/// Threads that are paced rest from now on.
pub(crate) fn start() {
    store::pace::set_rest(rest_if_due);
}

/// Rests if the last one is long enough ago.
fn rest_if_due() {
    match LAST_REST.get() {
        Some(last) if last.elapsed() < WORK_BETWEEN_RESTS => return,
        Some(_) => std::thread::sleep(REST),
        None => allow_short_sleeps(),
    }
    LAST_REST.set(Some(Moment::now()));
}

/// Else the kernel adds some 50 us to each sleep, so that it can end several at once.
#[cfg(target_os = "linux")]
fn allow_short_sleeps() {
    let slack_ns = std::num::NonZeroU64::MIN;
    if let Err(error) = rustix::thread::set_current_timer_slack(Some(slack_ns)) {
        log::debug!("rests take longer than they need to: {error}");
    }
}

#[cfg(not(target_os = "linux"))]
fn allow_short_sleeps() {}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    /// How often the calling thread gave its core up by itself.
    fn sleeps() -> usize {
        let status = std::fs::read_to_string("/proc/thread-self/status").expect("a status");
        status
            .lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))
            .and_then(|count| count.trim().parse().ok())
            .expect("a count")
    }

    fn work(time: Duration) {
        let start = Moment::now();
        while start.elapsed() < time {
            store::pace::step();
        }
    }

    #[test]
    fn a_thread_that_works_for_long_rests() {
        start();
        let on_thread = |is_paced: bool| {
            let sleeps_in_work = move || {
                if is_paced {
                    store::pace::begin();
                }
                let before = sleeps();
                work(WORK_BETWEEN_RESTS * 20);
                sleeps() - before
            };
            std::thread::spawn(sleeps_in_work).join().expect("no panic")
        };
        let rests = on_thread(true);
        assert!((1..=20).contains(&rests), "{rests}");
        assert_eq!(on_thread(false), 0);
    }
}
