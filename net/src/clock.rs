//! The only file that reads the time; one `now` per batch of commands is passed down from here.
#![allow(
    clippy::disallowed_methods,
    reason = "the one place where they are allowed"
)]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Since 1970 by the system's clock.
pub(crate) fn since_1970() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// Milliseconds since 1970, for expiry.
pub(crate) fn now_ms() -> u64 {
    since_1970().as_millis() as u64
}

/// A moment that no change of the system's clock moves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment(Instant);

impl Moment {
    /// Now.
    pub(crate) fn now() -> Moment {
        Moment(Instant::now())
    }

    /// How long ago it was.
    pub(crate) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}
