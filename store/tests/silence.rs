//! What becomes of garbage when nobody works any more: so the only test of its process.

use std::time::Duration;

use store::value::string;
use store::{Draft, Options, Store, memory, reclaim};

/// A flushed database goes although no thread pins or flushes any more.
#[test]
fn what_was_flushed_goes_in_silence() {
    const KEYS: usize = 10_000;
    let store = Store::new(&Options::default());
    let before = memory::in_use().live_bytes;
    {
        let guard = store.pin();
        let db = store.db(0, &guard, 0);
        for number in 0..KEYS {
            let draft = Draft::new(string::bytes(&[b'v'; 100]));
            let key = format!("key:{number}");
            db.put(key.as_bytes(), draft).expect("no transaction runs");
        }
    }
    assert!(memory::in_use().live_bytes > before + 100 * KEYS as u64);
    // Nothing else is on its way that would have the reaper look.
    reclaim::settle();
    store.flush_all();
    // Only looks: whoever pins would help.
    let is_gone = || memory::in_use().bytes() < before + 100 * KEYS as u64 / 2;
    let is_soon = (0..2_000).any(|_| {
        std::thread::sleep(Duration::from_millis(5));
        is_gone()
    });
    assert!(is_soon, "{:?}", memory::in_use());
}
