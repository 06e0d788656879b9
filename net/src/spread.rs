//! How times are distributed: a count for each of some ranges of them, 32 to a doubling, so that a
//! time is known to three percent. Nobody waits for who asks.
//!
//! The ranges are those of an HDR histogram (G. Tene, hdrhistogram.org) with fewer digits. With its
//! crate, under a lock that only who asks contends for, a GET took 170 instructions more; so it
//! takes some 80 more.

use std::sync::OnceLock;

use crate::stats::Counter;

const RANGES_PER_DOUBLING_LOG2: u32 = 5;
const RANGES_PER_DOUBLING: usize = 1 << RANGES_PER_DOUBLING_LOG2;
/// Shorter times are not told apart.
const NS_MIN: u64 = RANGES_PER_DOUBLING as u64;
/// What longer times count as: a second, as in Redis.
const NS_MAX: u64 = 1_000_000_000;
const RANGES: usize = range_of(NS_MAX) + 1;

/// Its place among all ranges.
const fn range_of(ns: u64) -> usize {
    let ns = if ns < NS_MIN { NS_MIN } else { ns };
    let ns = if ns > NS_MAX { NS_MAX } else { ns };
    let shift = ns.ilog2() - RANGES_PER_DOUBLING_LOG2;
    // The leading bit is a one, which moves each doubling on by the ranges of one.
    shift as usize * RANGES_PER_DOUBLING + (ns >> shift) as usize - RANGES_PER_DOUBLING
}

/// The longest time that falls into a range, in nanoseconds.
const fn longest_in(range: usize) -> u64 {
    let shift = range / RANGES_PER_DOUBLING;
    let leading = range % RANGES_PER_DOUBLING + RANGES_PER_DOUBLING;
    ((leading as u64 + 1) << shift) - 1
}

/// One thread's: nobody else counts.
#[derive(Debug, Default)]
pub(crate) struct Spread {
    /// Made for the first time that is counted: most commands are never called.
    counts: OnceLock<Box<[Counter]>>,
}

impl Spread {
    /// Counts so many that took so long.
    #[inline]
    pub(crate) fn add(&self, ns: u64, count: u64) {
        let counts = self
            .counts
            .get_or_init(|| (0..RANGES).map(|_| Counter::default()).collect());
        counts[range_of(ns)].add(count);
    }

    /// Lets counting begin anew.
    pub(crate) fn reset(&self) {
        self.counts
            .get()
            .into_iter()
            .flatten()
            .for_each(Counter::reset);
    }
}

/// What some threads counted together.
#[derive(Debug)]
pub(crate) struct Percentiles(Vec<u64>);

impl Percentiles {
    /// Of these; nothing where none has counted any.
    pub(crate) fn of<'s>(spreads: impl Iterator<Item = &'s Spread>) -> Option<Percentiles> {
        let mut sums = vec![0; RANGES];
        for counts in spreads.filter_map(|spread| spread.counts.get()) {
            for (sum, count) in sums.iter_mut().zip(counts) {
                *sum += count.since_reset();
            }
        }
        let is_any = sums.iter().any(|sum| *sum > 0);
        is_any.then_some(Percentiles(sums))
    }

    /// The time that so many percent did not exceed, in nanoseconds, rounded up by less than three
    /// percent.
    pub(crate) fn ns_at(&self, percent: f64) -> u64 {
        let all: u64 = self.0.iter().sum();
        let wanted = ((percent / 100.0 * all as f64).ceil() as u64).clamp(1, all);
        let mut seen = 0;
        let range = self.0.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        longest_in(range.unwrap_or(RANGES - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_follow_one_another_and_hold_three_percent() {
        for range in 1..RANGES {
            let (before, longest) = (longest_in(range - 1), longest_in(range));
            assert_eq!(range_of(before), range - 1);
            assert_eq!(range_of((before + 1).min(NS_MAX)), range);
            assert!(before < longest && longest - before <= before / 31);
        }
        assert_eq!(range_of(0), 0);
        assert_eq!(range_of(u64::MAX), RANGES - 1);
    }

    #[test]
    fn percentiles_are_those_of_what_was_counted() {
        let [one, other] = [Spread::default(), Spread::default()];
        let percentiles = || Percentiles::of([&one, &other].into_iter());
        assert!(percentiles().is_none());
        one.add(1_000, 98);
        other.add(50_000, 1);
        other.add(5 * NS_MAX, 1);
        let found = percentiles().expect("some were counted");
        for (percent, ns) in [
            (0.0, 1_000),
            (50.0, 1_000),
            (98.0, 1_000),
            (99.0, 50_000),
            (99.9, NS_MAX),
            (100.0, NS_MAX),
        ] {
            let at = found.ns_at(percent);
            assert!((ns..=ns + ns / 31).contains(&at), "{percent}: {at}");
        }
        one.reset();
        other.reset();
        assert!(percentiles().is_none());
    }
}
