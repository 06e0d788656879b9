//! Which entry goes first: each policy as an order of entries.

use super::Order;
use super::choose::Sampled;
use crate::usage::Noting;

/// What goes when memory is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Policy {
    /// Of the keys with an expiry, what was used longest ago.
    VolatileLru,
    /// Of the keys with an expiry, what is used least.
    VolatileLfu,
    /// Any key with an expiry.
    VolatileRandom,
    /// Of the keys with an expiry, what expires next.
    VolatileTtl,
    /// What was used longest ago.
    AllkeysLru,
    /// What is used least.
    AllkeysLfu,
    /// Anything.
    AllkeysRandom,
    /// Nothing: writes that may grow are refused.
    #[default]
    NoEviction,
    /// What is the least loss to the hit ratio: two queues or the last use, whichever misses less;
    /// see [`crate::eviction`].
    CacheMode,
}

impl Policy {
    /// All of them, each at its number.
    pub const ALL: [Policy; 9] = [
        Policy::VolatileLru,
        Policy::VolatileLfu,
        Policy::VolatileRandom,
        Policy::VolatileTtl,
        Policy::AllkeysLru,
        Policy::AllkeysLfu,
        Policy::AllkeysRandom,
        Policy::NoEviction,
        Policy::CacheMode,
    ];

    /// What clients call them, in the order of [`Policy::ALL`], which is that of Redis's error.
    pub const NAMES: [&'static str; 9] = [
        "volatile-lru",
        "volatile-lfu",
        "volatile-random",
        "volatile-ttl",
        "allkeys-lru",
        "allkeys-lfu",
        "allkeys-random",
        "noeviction",
        "cache_mode",
    ];

    /// What clients call it.
    pub fn name(self) -> &'static str {
        Policy::NAMES[self as usize]
    }

    /// Whether it leaves keys without an expiry alone.
    pub fn is_volatile(self) -> bool {
        matches!(
            self,
            Policy::VolatileLru
                | Policy::VolatileLfu
                | Policy::VolatileRandom
                | Policy::VolatileTtl
        )
    }

    /// Whether uses are counted as Redis's OBJECT FREQ shows them.
    pub fn counts_uses(self) -> bool {
        matches!(self, Policy::AllkeysLfu | Policy::VolatileLfu)
    }

    /// What a use changes in an entry, under the order that rules in cache mode.
    pub(super) fn noting(
        self,
        ruling: impl FnOnce() -> Order,
        (log_factor, decay_minutes): (u32, u32),
    ) -> Noting {
        match self {
            Policy::AllkeysLru | Policy::VolatileLru => Noting::Use,
            Policy::AllkeysLfu | Policy::VolatileLfu => Noting::Counter {
                log_factor,
                decay_minutes,
            },
            Policy::CacheMode => match ruling() {
                Order::Fifo => Noting::Insertion,
                Order::Lru => Noting::Use,
            },
            _ => Noting::Insertion,
        }
    }

    /// The higher, the sooner it goes.
    pub(super) fn rank(self, sampled: &Sampled<'_>) -> u64 {
        let idle = u64::from(sampled.idle_ticks);
        // Within the grain of the clock that counts, the ticks of the other one decide.
        let with_idle = |rank: u32| u64::from(rank) << 32 | idle;
        match self {
            Policy::NoEviction => 0,
            Policy::AllkeysLru | Policy::VolatileLru => with_idle(sampled.age),
            Policy::AllkeysLfu | Policy::VolatileLfu => with_idle(u32::MAX - sampled.counter),
            Policy::AllkeysRandom | Policy::VolatileRandom => fastrand::u64(..),
            Policy::VolatileTtl => u64::MAX - sampled.entry.expires_at_ms().unwrap_or(u64::MAX),
            // Space over time: what has had most of both without a use.
            Policy::CacheMode => sampled.space_time(),
        }
    }
}
