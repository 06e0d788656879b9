//! The 16 bits in an entry that change: when it was last used, and what eviction needs.
//!
//! ```text
//!  15      4  3         2        1 0
//!  +--------+---------+-------+-----------+
//!  | tick   | fetched | queue | frequency |
//!  +--------+---------+-------+-----------+
//! ```
//!
//! The tick is a coarse clock of 12 bits that wraps; it is written at most once per tick, so
//! that a hot key's cache line is not written by every read.

/// One tick, in milliseconds. 4096 of them are about 4.5 hours.
pub(crate) const TICK_MS: u64 = 4_000;
const TICK_SHIFT: u32 = 4;
const TICKS: u16 = 1 << 12;
const FETCHED: u16 = 1 << 3;
const FREQUENCY: u16 = 0b11;

/// The tick of a moment.
pub(crate) fn tick_of(now_ms: u64) -> u16 {
    (now_ms / TICK_MS % u64::from(TICKS)) as u16
}

/// The bits of a new entry.
pub(crate) fn fresh(tick: u16) -> u16 {
    tick << TICK_SHIFT
}

/// The bits of an entry that takes the place of one with `usage`.
pub(crate) fn rewritten(usage: u16, tick: u16) -> u16 {
    fresh(tick) | (usage & FREQUENCY)
}

/// The bits after a use at `tick`.
pub(crate) fn touched(usage: u16, tick: u16) -> u16 {
    let frequency = (usage & FREQUENCY).min(FREQUENCY - 1) + 1;
    (usage & !(FREQUENCY | (TICKS - 1) << TICK_SHIFT)) | FETCHED | tick << TICK_SHIFT | frequency
}

/// How often the entry was used lately: 0 to 3.
pub(crate) fn frequency(usage: u16) -> u8 {
    (usage & FREQUENCY) as u8
}

/// Whether there was a use since the entry was written.
pub(crate) fn was_fetched(usage: u16) -> bool {
    usage & FETCHED != 0
}

/// How long ago the last use was, in milliseconds, to a tick.
pub(crate) fn idle_ms(usage: u16, now_ms: u64) -> u64 {
    let ticks = tick_of(now_ms).wrapping_sub(usage >> TICK_SHIFT) & (TICKS - 1);
    u64::from(ticks) * TICK_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn use_is_counted_up_to_three_and_idle_time_starts_anew() {
        let mut usage = fresh(tick_of(0));
        assert_eq!((frequency(usage), idle_ms(usage, 40_000)), (0, 40_000));
        assert!(!was_fetched(usage));
        for expected in [1, 2, 3, 3] {
            usage = touched(usage, tick_of(80_000));
            assert_eq!((frequency(usage), was_fetched(usage)), (expected, true));
        }
        assert!(!was_fetched(rewritten(usage, tick_of(80_000))));
        assert_eq!(idle_ms(usage, 84_000), 4_000);
    }

    #[test]
    fn the_tick_wraps() {
        let usage = fresh(tick_of(TICK_MS * 4095));
        assert_eq!(idle_ms(usage, TICK_MS * 4097), 2 * TICK_MS);
    }
}
