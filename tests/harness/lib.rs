//! What the behaviour tests stand on: clients that speak raw bytes, peers that are known to be
//! right, and transcripts.
//!
//! Nothing here uses a client library, since what is tested is every byte on the wire: a library
//! would accept two spellings of the same answer. The clients keep the bytes of each reply beside
//! its meaning; transcripts compare what a user of redis-cli would see, and differential tests
//! compare the bytes.

// Tests wait for things and give up after some time, so they read the clock themselves.
#![allow(clippy::disallowed_methods)]

pub mod binary;
pub mod linear;
pub mod memcached;
pub mod notation;
pub mod peer;
#[path = "../../net/tests/ports/mod.rs"]
mod ports;
pub mod random;
pub mod resp;
pub mod subject;
pub mod transcript;
pub mod wire;

pub use subject::Subject;
pub use transcript::{check, check_resp2, check_resp3};

use std::time::Duration;

/// How long a reply may take before a test fails.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Whether something comes true within [`PATIENCE`].
pub fn eventually(mut is_true: impl FnMut() -> bool) -> bool {
    let start = std::time::Instant::now();
    while start.elapsed() < PATIENCE {
        if is_true() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}
