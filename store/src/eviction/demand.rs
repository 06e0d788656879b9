//! Whether what comes has been asked for.

/// So many reads in vain are remembered.
const REMEMBERED: u8 = 64;

/// Reads of what was not there for which nothing has moved to the main queue yet.
///
/// Where every key that comes was asked for before, there are as many of them as evictions. Where
/// keys are written and nobody asks there are none: nothing says then that they will be wanted.
/// Each thread counts its own. One that serves only writers moves nothing, as if nobody asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Demand {
    reads_in_vain: u8,
}

impl Demand {
    /// None yet.
    pub(super) const fn new() -> Demand {
        Demand { reads_in_vain: 0 }
    }

    /// A read was in vain.
    pub(super) fn note(&mut self) {
        self.reads_in_vain = (self.reads_in_vain + 1).min(REMEMBERED);
    }

    /// Whether there was one that has not been taken yet.
    pub(super) fn take(&mut self) -> bool {
        let is_any = self.reads_in_vain > 0;
        self.reads_in_vain -= u8::from(is_any);
        is_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_read_in_vain_is_taken_once_and_not_all_are_remembered() {
        let mut demand = Demand::new();
        assert!(!demand.take());
        (0..2).for_each(|_| demand.note());
        assert_eq!([(); 3].map(|()| demand.take()), [true, true, false]);
        (0..1_000).for_each(|_| demand.note());
        assert_eq!((0..1_000).filter(|_| demand.take()).count(), 64);
    }
}
