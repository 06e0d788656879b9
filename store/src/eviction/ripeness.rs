//! Whether the first of the few that were drawn is worth taking.

/// Of those judged, one in so many is too young: a third.
const YOUNG_PART: u64 = 3;
/// How far a judgement moves the bound: a 64th of it, at most.
const STEP: u64 = 64;
/// So many times a rank is what is kept.
const SCALE: u64 = 1 << 8;

/// A bound under which a third of the ranks lie that are judged, as they come.
///
/// An estimate of a quantile by steps (H. Robbins and S. Monro, "A stochastic approximation
/// method", 1951) that are parts of the bound, since ranks of a small cache and of a large one
/// differ by orders of magnitude. A mean would follow the largest values alone.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ripeness {
    bound: u64,
}

impl Ripeness {
    /// Whether a rank, below 2^56, is above the bound, which then moves.
    pub(super) fn judge(&mut self, rank: u64) -> bool {
        let rank = rank * SCALE;
        if self.bound == 0 {
            self.bound = rank;
        }
        let is_ripe = rank >= self.bound;
        let step = self.bound / STEP / YOUNG_PART;
        match is_ripe {
            true => self.bound += step,
            false => self.bound -= step * (YOUNG_PART - 1),
        }
        is_ripe
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The share of unripe ones among many, in percent, once the bound has settled.
    fn unripe_percent(mut rank: impl FnMut() -> u64) -> usize {
        const RANKS: usize = 20_000;
        let mut ripeness = Ripeness::default();
        for _ in 0..RANKS {
            ripeness.judge(rank());
        }
        let unripe = (0..RANKS).filter(|_| !ripeness.judge(rank())).count();
        unripe * 100 / RANKS
    }

    #[test]
    fn a_third_is_unripe_whatever_ranks_are_like() {
        let mut random = fastrand::Rng::with_seed(3);
        let even = unripe_percent(|| random.u64(1_000..2_000));
        let wide = unripe_percent(|| 1 << random.u64(6..42));
        let skewed = unripe_percent(|| (1e3 / (1.0 - random.f64()).powi(2)) as u64);
        for percent in [even, wide, skewed] {
            assert!((30..=36).contains(&percent), "{percent}");
        }
    }

    #[test]
    fn the_bound_follows_ranks_over_orders_of_magnitude() {
        let mut ripeness = Ripeness::default();
        for rank in [100, 1 << 40, 100] {
            let ripe = (0..10_000).filter(|_| ripeness.judge(rank)).count();
            assert!(ripe > 5_000, "{ripe} of {rank}");
        }
    }
}
