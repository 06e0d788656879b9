//! How much there may be, which says how wasteful the arena can be with slabs.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

/// What a limit for all memory leaves room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Scale {
    /// Slabs of every class.
    Large,
    /// Slabs of many classes: slots serve for what is shorter by up to an eighth.
    Small,
    /// Slabs of few classes, whose slots serve for what is shorter by up to a quarter.
    Smaller,
    /// No slabs for entries.
    Tiny,
}

const SMALL_LIMIT_BYTES: u64 = 128 << 20;
const SMALLER_LIMIT_BYTES: u64 = 64 << 20;
const TINY_LIMIT_BYTES: u64 = 8 << 20;

/// What there is to know.
struct Known {
    scale: AtomicU8,
    /// Much of the slabs in use is idle: every class that was ever in use may have one that is
    /// nearly empty, and what is in it had better stand in slots that are a little longer.
    is_much_idle: AtomicBool,
}

impl Known {
    const fn new() -> Known {
        Known {
            scale: AtomicU8::new(Scale::Large as u8),
            is_much_idle: AtomicBool::new(false),
        }
    }
}

// All tests share the arena. One that sets a limit must not change what another finds in it, and
// one that goes by classes sets its own: what ran on its thread before may have set one.
#[cfg(test)]
thread_local! {
    static KNOWN: Known = const { Known::new() };
}
#[cfg(not(test))]
static KNOWN: Global = Global(Known::new());

#[cfg(not(test))]
struct Global(Known);

#[cfg(not(test))]
impl Global {
    #[inline]
    fn with<R>(&self, look: impl FnOnce(&Known) -> R) -> R {
        look(&self.0)
    }
}

/// Goes by a limit for all memory from now on; 0: none.
pub(crate) fn note_limit(bytes: u64) {
    let scale = match bytes {
        1..TINY_LIMIT_BYTES => Scale::Tiny,
        TINY_LIMIT_BYTES..SMALLER_LIMIT_BYTES => Scale::Smaller,
        SMALLER_LIMIT_BYTES..SMALL_LIMIT_BYTES => Scale::Small,
        _ => Scale::Large,
    };
    KNOWN.with(|it| it.scale.store(scale as u8, Ordering::Relaxed));
}

/// What the limit leaves room for.
#[inline]
pub(super) fn scale() -> Scale {
    match KNOWN.with(|it| it.scale.load(Ordering::Relaxed)) {
        0 => Scale::Large,
        1 => Scale::Small,
        2 => Scale::Smaller,
        _ => Scale::Tiny,
    }
}

/// Says whether much of the slabs in use is idle.
pub(crate) fn note_idle(is_much: bool) {
    KNOWN.with(|it| it.is_much_idle.store(is_much, Ordering::Relaxed));
}

/// Whether that was said.
fn is_much_idle() -> bool {
    KNOWN.with(|it| it.is_much_idle.load(Ordering::Relaxed))
}

impl Scale {
    /// Free slots may be taken that are longer than what they are for by one byte in so many.
    pub(super) fn longer_part(self) -> Option<usize> {
        match self {
            Scale::Large => is_much_idle().then_some(16),
            Scale::Small => Some(8),
            Scale::Smaller | Scale::Tiny => Some(4),
        }
    }
}
