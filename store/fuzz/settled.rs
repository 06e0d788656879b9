//! What is counted, when nobody is in the middle of counting.

use std::thread::sleep;
use std::time::Duration;

use store::Store;

/// Fails unless so many bytes are live. A sum that is taken while the reaper thread frees, and is
/// preempted at that, may be off until it goes on.
pub(crate) fn assert_live_bytes(store: &Store, expected: u64) {
    const LOOKS_MAX: usize = 6_000;
    let mut looks = 0;
    while store.memory().live_bytes != expected && looks < LOOKS_MAX {
        looks += 1;
        sleep(Duration::from_millis(1));
    }
    let usage = store.memory();
    assert_eq!(usage.live_bytes, expected, "{looks} looks, {usage:?}");
}
