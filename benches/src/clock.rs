//! The only file of the benches that reads the time.
#![allow(
    clippy::disallowed_methods,
    reason = "measuring is reading the clock; here and nowhere else"
)]

use std::time::{Duration, Instant, SystemTime};

use rustix::time::{ClockId, clock_gettime};

/// A moment to measure from.
#[derive(Clone, Copy, Debug)]
pub struct Moment(Instant);

impl Moment {
    /// Now.
    pub fn now() -> Moment {
        Moment(Instant::now())
    }

    /// How long ago it was.
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }

    /// How long before `later` it was.
    pub fn until(self, later: Moment) -> Duration {
        later.0.saturating_duration_since(self.0)
    }
}

/// How long this thread has been running on a core: other threads' turns do not count.
pub fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// The time of day, in seconds since 1970.
pub fn unix_time_s() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.expect("it is after 1970").as_secs()
}
