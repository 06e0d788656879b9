//! How much there may be, which says how wasteful the arena can be with slabs.

use std::sync::atomic::{AtomicU8, Ordering};

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

// All tests share the arena. One that sets a limit must not change what another finds in it, and
// one that goes by classes sets its own: what ran on its thread before may have set one.
#[cfg(test)]
thread_local! {
    static SCALE: AtomicU8 = const { AtomicU8::new(Scale::Large as u8) };
}
#[cfg(not(test))]
static SCALE: Scales = Scales(AtomicU8::new(Scale::Large as u8));

#[cfg(not(test))]
struct Scales(AtomicU8);

#[cfg(not(test))]
impl Scales {
    #[inline]
    fn with<R>(&self, look: impl FnOnce(&AtomicU8) -> R) -> R {
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
    SCALE.with(|it| it.store(scale as u8, Ordering::Relaxed));
}

/// What the limit leaves room for.
#[inline]
pub(super) fn scale() -> Scale {
    const ALL: [Scale; 4] = [Scale::Large, Scale::Small, Scale::Smaller, Scale::Tiny];
    ALL[usize::from(SCALE.with(|it| it.load(Ordering::Relaxed)))]
}

impl Scale {
    /// Slots may be longer than what they are for by one byte in so many.
    pub(super) fn longer_part(self) -> Option<usize> {
        match self {
            Scale::Large => None,
            Scale::Small => Some(8),
            Scale::Smaller | Scale::Tiny => Some(4),
        }
    }
}
