//! Looking at some slots of the table, for who evicts and for who sweeps.

use smallvec::SmallVec;

use super::segment::{BUCKETS, Segment};
use super::word::{Occupied, Word};
use super::{Occupant, Table, place_of};
use crate::reclaim::Guard;

/// So many are drawn without an allocation.
pub(crate) const DRAWN: usize = 16;

/// Which slots are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// All that name an entry.
    Entries,
    /// Those whose entry has an expiry.
    Expiring,
}

impl Wanted {
    fn has(self, word: Word) -> bool {
        !word.is_empty()
            && !word.is_tentative()
            && !word.occupied().is_descriptor()
            && (self == Wanted::Entries || word.occupied().expires())
    }
}

/// A part of the places in which `bits` leading bits are alike, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Region {
    pub(crate) number: usize,
    pub(crate) bits: u32,
}

impl Region {
    /// The region of a hash.
    pub(crate) fn of(hash: u64, bits: u32) -> Region {
        let number = (place_of(hash) >> (64 - bits)) as usize;
        Region { number, bits }
    }

    fn first(self) -> u64 {
        (self.number as u64) << (64 - self.bits)
    }

    fn last(self) -> u64 {
        self.first() | (u64::MAX >> self.bits)
    }
}

/// Where slots are drawn from: a random place, and the bucket of its segment that is the first.
/// Places are drawn as hashes are distributed, so that each key has the same chance, whichever
/// segment it is in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    place: u64,
    bucket: usize,
}

impl Start {
    pub(crate) fn random() -> Start {
        Start {
            place: place_of(fastrand::u64(..)),
            bucket: fastrand::usize(..BUCKETS),
        }
    }
}

impl<O: Occupant> Table<O> {
    /// Collects what some slots name until `drawn` has `len_max` or the segment has no more.
    pub(crate) fn draw(
        &self,
        start: Start,
        len_max: usize,
        guard: &Guard,
        drawn: &mut SmallVec<[Occupied; DRAWN]>,
    ) {
        let segment = self.live_segment(start.place, guard);
        collect(segment, Wanted::Entries, (start.bucket, len_max), drawn);
    }

    /// A hint that there will be a draw from here: fetches what it looks at first. Draws miss the
    /// cache wherever they begin, so they are foreseen.
    pub(crate) fn foresee_draw(&self, start: Start, guard: &Guard) {
        let segment = self.segment(start.place, guard);
        segment.prefetch_bucket(0);
        segment.prefetch_bucket(start.bucket);
        segment.prefetch_bucket((start.bucket + 1) % BUCKETS);
    }

    /// A hint that there will soon be a draw of about so many from here, which was foreseen some
    /// time ago: fetches what the slots name.
    pub(crate) fn foresee_drawn(&self, start: Start, count: usize, guard: &Guard) {
        let segment = self.segment(start.place, guard);
        let buckets = [start.bucket, (start.bucket + 1) % BUCKETS];
        buckets
            .into_iter()
            .flat_map(|bucket| segment.bucket_words(bucket))
            .filter(|&word| Wanted::Entries.has(word))
            .take(count)
            .for_each(Word::prefetch_header);
    }

    /// As [`Table::draw`], of the entries with an expiry in a region; looks at all of it if
    /// there are few.
    pub(crate) fn draw_expiring(
        &self,
        region: Region,
        count: usize,
        guard: &Guard,
        drawn: &mut SmallVec<[Occupied; DRAWN]>,
    ) {
        let start = fastrand::u64(region.first()..=region.last());
        let (mut place, mut is_again) = (start, false);
        let len_max = drawn.len() + count;
        while drawn.len() < len_max {
            let segment = self.live_segment(place, guard);
            let first = fastrand::usize(..BUCKETS);
            collect(segment, Wanted::Expiring, (first, len_max), drawn);
            match segment.behind(place).filter(|&next| next <= region.last()) {
                Some(next) => place = next,
                None if is_again => return,
                None => (place, is_again) = (region.first(), true),
            }
            if is_again && place >= start {
                return;
            }
        }
    }

    /// Visits the entries with an expiry in the segment of a place.
    pub(crate) fn visit_expiring(
        &self,
        place: u64,
        guard: &Guard,
        mut visit: impl FnMut(Occupied),
    ) {
        let segment = self.live_segment(place, guard);
        let words = || segment.words().filter(|&word| Wanted::Expiring.has(word));
        words().for_each(Word::prefetch_start);
        words().for_each(|word| visit(word.occupied()));
    }

    /// The first place behind the segment of a place; none at the end of the table.
    pub(crate) fn behind(&self, place: u64, guard: &Guard) -> Option<u64> {
        self.live_segment(place, guard).behind(place)
    }
}

fn collect(
    segment: &Segment,
    wanted: Wanted,
    (first, len_max): (usize, usize),
    drawn: &mut SmallVec<[Occupied; DRAWN]>,
) {
    for bucket in (first..BUCKETS).chain(0..first) {
        let words = segment.bucket_words(bucket);
        for word in words.into_iter().filter(|&word| wanted.has(word)) {
            if drawn.len() >= len_max {
                return;
            }
            word.prefetch_header();
            drawn.push(word.occupied());
        }
    }
}

impl Segment {
    fn words(&self) -> impl Iterator<Item = Word> + '_ {
        Segment::positions().map(|position| self.word(position))
    }

    /// The first place behind the segment of which `place` is one; none at the end.
    pub(super) fn behind(&self, place: u64) -> Option<u64> {
        let width_minus_one = u64::MAX.checked_shr(self.depth).unwrap_or(0);
        (place | width_minus_one).checked_add(1)
    }
}
