//! Looking at some slots of the table, for who evicts and for who sweeps.

use smallvec::SmallVec;

use super::segment::{BUCKETS, Segment};
use super::word::{Occupied, Word};
use super::{Occupant, Table, place_of};
use crate::reclaim::Guard;

/// So many are drawn without an allocation.
const DRAWN: usize = 24;

/// Which entries are looked for, as far as words tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// All.
    #[default]
    Any,
    /// Those with an expiry: others are not even drawn.
    Expiring,
    /// Those in eviction's small queue.
    Small,
    /// Those that are not.
    Main,
}

impl Wanted {
    fn has(self, occupied: Occupied) -> bool {
        match self {
            Wanted::Any => true,
            Wanted::Expiring => occupied.expires(),
            Wanted::Small => occupied.is_small(),
            Wanted::Main => !occupied.is_small(),
        }
    }
}

/// When enough is drawn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Most {
    /// With so many wanted ones,
    pub(crate) wanted: usize,
    /// or with so many at all.
    pub(crate) all: usize,
}

impl Most {
    /// A half of it, or a little more.
    pub(crate) fn half(self) -> Most {
        Most {
            wanted: self.wanted.div_ceil(2),
            all: self.all.div_ceil(2),
        }
    }
}

/// What was drawn: the entries that some slots name.
#[derive(Debug, Default)]
pub(crate) struct Drawn {
    wanted: Wanted,
    wanted_count: usize,
    all: SmallVec<[Occupied; DRAWN]>,
}

impl Drawn {
    /// Forgets all; from now on such entries are wanted.
    pub(crate) fn restart(&mut self, wanted: Wanted) {
        self.all.clear();
        (self.wanted, self.wanted_count) = (wanted, 0);
    }

    pub(crate) fn wanted(&self) -> Wanted {
        self.wanted
    }

    /// How many of what was drawn are wanted.
    pub(crate) fn wanted_count(&self) -> usize {
        self.wanted_count
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Occupied> + '_ {
        self.all.iter().copied()
    }

    /// Those of them that are `wanted`.
    pub(crate) fn only(&self, wanted: Wanted) -> impl Iterator<Item = Occupied> + '_ {
        self.iter().filter(move |&occupied| wanted.has(occupied))
    }

    fn has(&self, most: Most) -> bool {
        self.wanted_count >= most.wanted || self.all.len() >= most.all
    }

    /// Adds what a word names, and fetches what eviction goes by of it if it is wanted.
    fn add(&mut self, word: Word) {
        let Some(occupied) = entry_in(word) else {
            return;
        };
        if self.wanted.has(occupied) {
            word.prefetch_standing();
            self.wanted_count += 1;
        } else if self.wanted == Wanted::Expiring {
            return;
        }
        self.all.push(occupied);
    }
}

/// The entry a word names, if it names one for certain.
fn entry_in(word: Word) -> Option<Occupied> {
    let is_certain = !word.is_empty() && !word.is_tentative();
    let occupied = is_certain.then(|| word.occupied())?;
    (!occupied.is_descriptor()).then_some(occupied)
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
    /// Draws what slots name, from one place on, until there is as much as is to be or the segment
    /// has no more.
    pub(crate) fn draw(&self, start: Start, most: Most, guard: &Guard, drawn: &mut Drawn) {
        let segment = self.live_segment(start.place, guard);
        draw_from(segment, start.bucket, most, drawn);
    }

    /// A hint that there will be a draw from here: fetches what it looks at first. Draws miss the
    /// cache wherever they begin, so they are foreseen.
    pub(crate) fn foresee_draw(&self, start: Start, guard: &Guard) {
        let segment = self.segment(start.place, guard);
        segment.prefetch_bucket(0);
        segment.prefetch_bucket(start.bucket);
        segment.prefetch_bucket((start.bucket + 1) % BUCKETS);
    }

    /// A hint that there will soon be a draw from here, which was foreseen some time ago: fetches
    /// what it will.
    pub(crate) fn foresee_drawn(&self, start: Start, wanted: Wanted, most: Most, guard: &Guard) {
        let segment = self.segment(start.place, guard);
        let buckets = [start.bucket, (start.bucket + 1) % BUCKETS];
        let words = buckets.into_iter().flat_map(|at| segment.bucket_words(at));
        words
            .filter_map(|word| Some((word, entry_in(word)?)))
            .take(most.all)
            .filter(|&(_, occupied)| wanted.has(occupied))
            .take(most.wanted)
            .for_each(|(word, _)| word.prefetch_standing());
    }

    /// As [`Table::draw`], in a region, of which it looks at all if it has to.
    pub(crate) fn draw_in(&self, region: Region, most: Most, guard: &Guard, drawn: &mut Drawn) {
        let start = fastrand::u64(region.first()..=region.last());
        let (mut place, mut is_again) = (start, false);
        while !drawn.has(most) {
            let segment = self.live_segment(place, guard);
            draw_from(segment, fastrand::usize(..BUCKETS), most, drawn);
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
        let is_wanted =
            |word: &Word| entry_in(*word).is_some_and(|entry| Wanted::Expiring.has(entry));
        let words = || segment.words().filter(is_wanted);
        words().for_each(Word::prefetch_start);
        words().for_each(|word| visit(word.occupied()));
    }

    /// The first place behind the segment of a place; none at the end of the table.
    pub(crate) fn behind(&self, place: u64, guard: &Guard) -> Option<u64> {
        self.live_segment(place, guard).behind(place)
    }
}

fn draw_from(segment: &Segment, first: usize, most: Most, drawn: &mut Drawn) {
    for bucket in (first..BUCKETS).chain(0..first) {
        for word in segment.bucket_words(bucket) {
            if drawn.has(most) {
                return;
            }
            drawn.add(word);
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
