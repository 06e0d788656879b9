//! The 32 bits in an entry that change: when it was last used, and what eviction goes by.
//!
//! ```text
//!  31     18 17     6  5          4       3         2       1         0
//!  +--------+--------+----------+-------+---------+-------+-----------+
//!  | stamp  | tick   | win sent | stale | fetched | small | frequency |
//!  +--------+--------+----------+-------+---------+-------+-----------+
//! ```
//!
//! - The *tick* is a coarse clock of 12 bits that wraps; it is written at most once per tick, so
//!   that a hot key's cache line is not written by every read.
//! - The *stamp* is what the policy in force orders entries by: the moment of the insertion into
//!   a queue, or of the last use, on a clock that goes with the bytes inserted (see
//!   [`crate::eviction`]); or Redis's logarithmic counter of uses.
//! - *Small* says in which of its queues eviction has the entry; *frequency* counts uses up to 3.
//! - *Stale* and *win sent* are Memcached's, and constant.
//!
//! A lost update of tick, stamp or frequency is harmless. One of *small* would be counted wrong
//! for ever, so every change is one atomic read-modify-write; a reader tries its compare-and-swap
//! once.

use crate::entry::Meta;

/// One tick, in milliseconds. 4096 of them are about 4.5 hours.
const TICK_MS: u64 = 4_000;
const TICKS_PER_MINUTE: u64 = 60_000 / TICK_MS;
const TICK_SHIFT: u32 = 6;
const TICKS: u32 = 1 << 12;
const TICK: u32 = (TICKS - 1) << TICK_SHIFT;
const STAMP_SHIFT: u32 = 18;
/// How many stamps there are before the clock wraps.
pub(crate) const STAMPS: u32 = 1 << (32 - STAMP_SHIFT);
const STAMP: u32 = (STAMPS - 1) << STAMP_SHIFT;
const FREQUENCY: u32 = 0b11;
/// The entry is in the small queue.
pub(crate) const SMALL: u32 = 1 << 2;
const FETCHED: u32 = 1 << 3;
const STALE: u32 = 1 << 4;
const WIN_SENT: u32 = 1 << 5;
/// What Redis's counter of uses starts with.
const COUNTER_START: u32 = 5;
const COUNTER_MAX: u32 = 255;

/// What a use changes in an entry beside tick and frequency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Noting {
    /// Nothing: the stamp tells when it came into its queue.
    Insertion,
    /// The stamp, which tells when it was last used.
    Use,
    /// The stamp, which counts uses: about logarithmically, so that each step takes
    /// `log_factor` times more than the one before, and one less with every `decay_minutes`.
    Counter { log_factor: u32, decay_minutes: u32 },
}

/// The present, as entries note it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Present {
    pub(crate) tick: u32,
    pub(crate) stamp: u32,
    pub(crate) noting: Noting,
}

impl Present {
    /// What is known of an entry that was read lately and often.
    pub(crate) fn settled(self) -> Settled {
        match self.noting {
            Noting::Insertion => Settled {
                mask: TICK | FETCHED | FREQUENCY,
                bits: self.tick << TICK_SHIFT | FETCHED | FREQUENCY,
            },
            // The stamp may change with every read.
            Noting::Use | Noting::Counter { .. } => Settled { mask: 0, bits: 1 },
        }
    }
}

/// The bits of entries in which another read changes nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settled {
    mask: u32,
    bits: u32,
}

/// The tick of a moment.
pub(crate) fn tick_of(now_ms: u64) -> u32 {
    (now_ms / TICK_MS % u64::from(TICKS)) as u32
}

/// What changes in an entry, as it was loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Usage(u32);

impl Usage {
    /// That of a new key.
    pub(crate) fn fresh(now: Present, is_small: bool) -> Usage {
        let stamp = match now.noting {
            Noting::Counter { .. } => COUNTER_START,
            _ => now.stamp,
        };
        let small = if is_small { SMALL } else { 0 };
        Usage(small).with_tick(now.tick).with_stamp(stamp)
    }

    /// That of an entry that takes the place of one with this: a use, but nobody has fetched it.
    #[inline(always)]
    pub(crate) fn rewritten(self, now: Present) -> Usage {
        Usage(self.used(now).0 & !(FETCHED | STALE | WIN_SENT))
    }

    /// After a read.
    pub(crate) fn read(self, now: Present) -> Usage {
        Usage(self.used(now).0 | FETCHED)
    }

    /// Whether another read changes nothing.
    #[inline]
    pub(crate) fn is(self, settled: Settled) -> bool {
        self.0 & settled.mask == settled.bits
    }

    #[inline(always)]
    fn used(self, now: Present) -> Usage {
        let frequency = (self.0 & FREQUENCY).min(FREQUENCY - 1) + 1;
        let used = Usage(self.0 & !FREQUENCY | frequency).with_tick(now.tick);
        match now.noting {
            Noting::Insertion => used,
            Noting::Use => used.with_stamp(now.stamp),
            Noting::Counter { log_factor, .. } => {
                used.with_stamp(counted(self.counter(now), log_factor))
            }
        }
    }

    /// The counter of uses as it is now, if uses are counted.
    pub(crate) fn counter(self, now: Present) -> u32 {
        let Noting::Counter { decay_minutes, .. } = now.noting else {
            return 0;
        };
        let minutes = u64::from(self.idle_ticks(now.tick)) / TICKS_PER_MINUTE;
        let lost = minutes.checked_div(u64::from(decay_minutes)).unwrap_or(0);
        self.stamp().min(COUNTER_MAX).saturating_sub(lost as u32)
    }

    pub(crate) fn from_bits(bits: u32) -> Usage {
        Usage(bits)
    }

    pub(crate) fn bits(self) -> u32 {
        self.0
    }

    /// With Memcached's marks.
    pub(crate) fn with_meta(self, meta: &Meta) -> Usage {
        let mark = |is_set, bit| if is_set { bit } else { 0 };
        Usage(self.0 | mark(meta.stale, STALE) | mark(meta.win_sent, WIN_SENT))
    }

    /// Used when and as often as the entry with `other`.
    pub(crate) fn with_use_of(self, other: Usage) -> Usage {
        const OWN: u32 = SMALL | STALE | WIN_SENT;
        Usage(self.0 & OWN | other.0 & !OWN)
    }

    fn with_tick(self, tick: u32) -> Usage {
        Usage(self.0 & !TICK | tick << TICK_SHIFT)
    }

    /// With another stamp.
    pub(crate) fn with_stamp(self, stamp: u32) -> Usage {
        Usage(self.0 & !STAMP | stamp << STAMP_SHIFT)
    }

    /// In the main queue from now on, uses not counted yet.
    pub(crate) fn promoted(self, stamp: u32) -> Usage {
        Usage(self.0 & !(SMALL | FREQUENCY)).with_stamp(stamp)
    }

    /// Once more through its queue, for a use less.
    pub(crate) fn spared(self, stamp: u32) -> Usage {
        debug_assert!(self.frequency() > 0);
        Usage(self.0 - 1).with_stamp(stamp)
    }

    pub(crate) fn stamp(self) -> u32 {
        self.0 >> STAMP_SHIFT
    }

    /// How far the clock has gone since the stamp.
    pub(crate) fn age(self, stamp_now: u32) -> u32 {
        stamp_now.wrapping_sub(self.stamp()) % STAMPS
    }

    /// How often the entry was used lately: 0 to 3.
    pub(crate) fn frequency(self) -> u32 {
        self.0 & FREQUENCY
    }

    pub(crate) fn is_small(self) -> bool {
        self.0 & SMALL != 0
    }

    pub(crate) fn is_fetched(self) -> bool {
        self.0 & FETCHED != 0
    }

    pub(crate) fn is_stale(self) -> bool {
        self.0 & STALE != 0
    }

    pub(crate) fn is_win_sent(self) -> bool {
        self.0 & WIN_SENT != 0
    }

    /// How many ticks ago the last use was.
    pub(crate) fn idle_ticks(self, tick_now: u32) -> u32 {
        tick_now.wrapping_sub((self.0 & TICK) >> TICK_SHIFT) % TICKS
    }

    /// How long ago the last use was, in milliseconds, to a tick.
    pub(crate) fn idle_ms(self, now_ms: u64) -> u64 {
        u64::from(self.idle_ticks(tick_of(now_ms))) * TICK_MS
    }
}

fn counted(counter: u32, log_factor: u32) -> u32 {
    let beyond = counter.saturating_sub(COUNTER_START);
    let odds = beyond.saturating_mul(log_factor).saturating_add(1);
    match counter < COUNTER_MAX && fastrand::u32(..odds) == 0 {
        true => counter + 1,
        false => counter,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(now_ms: u64, stamp: u32, noting: Noting) -> Present {
        let tick = tick_of(now_ms);
        Present {
            tick,
            stamp,
            noting,
        }
    }

    #[test]
    fn use_is_counted_up_to_three_and_idle_time_starts_anew() {
        let mut usage = Usage::fresh(at(0, 7, Noting::Insertion), true);
        assert_eq!((usage.frequency(), usage.idle_ms(40_000)), (0, 40_000));
        for expected in [1, 2, 3, 3] {
            assert_eq!(usage.is_fetched(), expected > 1);
            usage = usage.read(at(80_000, 9, Noting::Insertion));
            assert_eq!(usage.frequency(), expected);
        }
        assert_eq!((usage.idle_ms(84_000), usage.stamp()), (4_000, 7));
        assert!(usage.is_small() && !usage.promoted(9).is_small());
        assert!(!usage.rewritten(at(0, 9, Noting::Use)).is_fetched());
    }

    #[test]
    fn what_is_settled_is_changed_by_no_read() {
        let now = at(TICK_MS * 5, 7, Noting::Insertion);
        let is_settled = |usage: Usage| {
            let is_settled = usage.is(now.settled());
            assert_eq!(usage.read(now) == usage, is_settled, "{usage:?}");
            is_settled
        };
        let mut usage = Usage::fresh(now, true);
        let settled: Vec<bool> = (0..5)
            .map(|_| {
                usage = usage.read(now);
                is_settled(usage)
            })
            .collect();
        assert_eq!(settled, [false, false, true, true, true]);
        assert!(is_settled(usage.with_stamp(9)));
        assert!(!is_settled(usage.rewritten(now)));
        assert!(!usage.is(at(0, 7, Noting::Insertion).settled()));
        assert!(!usage.is(at(TICK_MS * 5, 7, Noting::Use).settled()));
    }

    #[test]
    fn clocks_wrap() {
        let usage = Usage::fresh(at(TICK_MS * 4095, STAMPS - 1, Noting::Use), false);
        assert_eq!(usage.idle_ms(TICK_MS * 4097), 2 * TICK_MS);
        assert_eq!(usage.age(2), 3);
        assert_eq!(usage.read(at(0, 1, Noting::Use)).age(2), 1);
    }

    #[test]
    fn a_counter_rises_slowly_and_falls_by_the_minute() {
        let noting = Noting::Counter {
            log_factor: 10,
            decay_minutes: 1,
        };
        let mut usage = Usage::fresh(at(0, 0, noting), false);
        assert_eq!(usage.counter(at(0, 0, noting)), 5);
        for _ in 0..1_000 {
            usage = usage.read(at(0, 0, noting));
        }
        let risen = usage.counter(at(0, 0, noting));
        assert!((10..30).contains(&risen), "{risen}");
        assert_eq!(usage.counter(at(180_000, 0, noting)), risen - 3);
    }
}
