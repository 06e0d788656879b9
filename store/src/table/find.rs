//! Looking a key up, and changing what a look found.

use std::fmt;
use std::ptr::NonNull;

use super::segment::{HOMES, Segment};
use super::word::{Control, Occupied, Word};
use super::{Key, Occupant, Table};
use crate::reclaim::Guard;
use crate::sync::Ordering;

/// What a look at a key found, at one moment between call and return.
#[derive(Clone, Copy)]
pub(crate) enum Look<'g> {
    /// The key has a slot.
    Present(Spot<'g>),
    /// It has none.
    Absent(Absence<'g>),
}

/// A slot that holds a key.
#[derive(Clone, Copy)]
pub(crate) struct Spot<'g> {
    pub(super) segment: &'g Segment,
    pub(super) position: usize,
    pub(super) home: usize,
    pub(super) place: u64,
    pub(super) word: Word,
}

impl Spot<'_> {
    /// What the slot names.
    pub(crate) fn occupied(&self) -> Occupied {
        self.word.occupied()
    }
}

/// Where a key is not.
#[derive(Clone, Copy)]
pub(crate) struct Absence<'g> {
    pub(super) segment: &'g Segment,
    pub(super) home: usize,
    pub(super) place: u64,
    pub(super) tag: u16,
    /// As it was before the search began.
    pub(super) control: Control,
}

impl Absence<'_> {
    /// No removed version of the key is higher.
    pub(crate) fn removed_version_max(&self) -> u64 {
        self.segment.removed_version_max.load(Ordering::Acquire)
    }
}

/// What a look found, to be compared with a later one; as good as the guard of the look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sighting {
    /// What the slot named.
    Present(Occupied),
    /// The segment searched and how many insertions there had been at the key's home.
    Absent(*const (), u64),
}

impl fmt::Debug for Look<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Look").field(&self.sighting()).finish()
    }
}

impl fmt::Debug for Spot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Spot").field(&self.word).finish()
    }
}

impl<'g> Spot<'g> {
    /// A word in its slot, and the home and the place of its key.
    #[inline(always)]
    pub(super) fn new(
        segment: &'g Segment,
        (position, word): (usize, Word),
        (home, place): (usize, u64),
    ) -> Spot<'g> {
        Spot {
            segment,
            position,
            home,
            place,
            word,
        }
    }
}

impl Spot<'_> {
    /// The same without its lifetime.
    ///
    /// # Safety
    /// It is not used when the guard of the look is gone.
    pub(crate) unsafe fn erased(self) -> Spot<'static> {
        // SAFETY: passed on to the caller.
        let segment = unsafe { NonNull::from(self.segment).as_ref() };
        Spot { segment, ..self }
    }

    /// A hint that the slot will soon be looked at.
    #[inline(always)]
    pub(crate) fn prefetch(&self) {
        self.segment
            .prefetch_bucket(Segment::bucket_of(self.position));
    }

    /// The same slot, naming something else.
    fn naming(self, new: Occupied) -> Self {
        let word = new.word(self.word.tag());
        Spot { word, ..self }
    }
}

impl Look<'_> {
    /// The same without its lifetime.
    ///
    /// # Safety
    /// It is not used when the guard of the look is gone.
    pub(crate) unsafe fn erased(self) -> Look<'static> {
        match self {
            // SAFETY: passed on to the caller.
            Look::Present(spot) => Look::Present(unsafe { spot.erased() }),
            Look::Absent(absence) => {
                // SAFETY: passed on to the caller.
                let segment = unsafe { NonNull::from(absence.segment).as_ref() };
                Look::Absent(Absence { segment, ..absence })
            }
        }
    }

    /// A hint that what was found will soon be changed.
    #[inline(always)]
    pub(crate) fn prefetch(&self) {
        match self {
            Look::Present(spot) => spot.prefetch(),
            Look::Absent(absence) => absence.segment.prefetch_bucket(absence.home),
        }
    }

    /// Whether it is known without another look that what was found has held ever since. The
    /// segment is not being split then: a control word is frozen before any slot.
    pub(crate) fn holds_still(&self) -> bool {
        match self {
            Look::Present(spot) => {
                spot.segment.word(spot.position) == spot.word
                    && !spot.segment.control(spot.home).is_frozen()
            }
            Look::Absent(absence) => {
                let control = absence.segment.control(absence.home);
                !control.is_frozen() && control.insertions() == absence.control.insertions()
            }
        }
    }

    /// Whether a descriptor stands there.
    pub(crate) fn is_descriptor(&self) -> bool {
        matches!(self, Look::Present(spot) if spot.occupied().is_descriptor())
    }

    /// What a later look must find for nothing to have changed in between. A split in between
    /// counts as a change of what is absent.
    pub(crate) fn sighting(&self) -> Sighting {
        match self {
            Look::Present(spot) => Sighting::Present(spot.occupied()),
            Look::Absent(absence) => {
                let segment = (&raw const *absence.segment).cast();
                Sighting::Absent(segment, absence.control.insertions())
            }
        }
    }
}

/// What a search found, in two registers: an optional pair would be returned in memory, and it
/// takes longer to fetch it from there than all the rest.
struct Found {
    position: usize,
    /// Empty: nothing.
    word: Word,
}

impl Found {
    const NOTHING: Found = Found {
        position: 0,
        word: Word::EMPTY,
    };

    // `Entry` only where that is known without a look.
    fn named(self) -> Named {
        match self.word.is_empty() {
            true => Named::Nothing,
            false => Named::Something(self.word.occupied()),
        }
    }
}

/// What a key's slot names. Mostly that is an entry, which is told apart so that nobody has to
/// look at it again for that.
pub(crate) enum Named {
    Entry(Occupied),
    /// An entry or a descriptor.
    Something(Occupied),
    Nothing,
}

/// What the slots of one bucket say.
enum Likely {
    /// The key is in one of them.
    There(Found),
    /// One looks like it and is not, or is not as simple as that.
    Unlike,
    /// None looks like it.
    Elsewhere,
}

impl<O: Occupant> Table<O> {
    /// Looks for a key.
    #[inline]
    pub(crate) fn find<'g>(&self, key: &Key<'_>, guard: &'g Guard) -> Look<'g> {
        let home = Segment::home_of(key.hash);
        let (segment, control, found) = self.search(key, home, guard);
        let Found { position, word } = found;
        if word.is_empty() {
            return Look::Absent(Absence {
                segment,
                home,
                place: key.place,
                tag: key.tag(),
                control,
            });
        }
        Look::Present(Spot::new(segment, (position, word), (home, key.place)))
    }

    /// What the key's slot names: for those who will not change it.
    #[inline(always)]
    pub(crate) fn named(&self, key: &Key<'_>, guard: &Guard) -> Named {
        let home = Segment::home_of(key.hash);
        let (segment, control) = self.settled(key, home, guard);
        match self.search_likely(key, segment, home) {
            Likely::There(found) => Named::Entry(found.word.occupied()),
            Likely::Unlike => self.search_segment(*key, segment, control).named(),
            Likely::Elsewhere => self.search_farther(*key, segment, control).named(),
        }
    }

    /// The segment that has the key or would have it, its home's control word from before the
    /// search, and what was found.
    #[inline(always)]
    fn search<'g>(
        &self,
        key: &Key<'_>,
        home: usize,
        guard: &'g Guard,
    ) -> (&'g Segment, Control, Found) {
        let (segment, control) = self.settled(key, home, guard);
        let found = match self.search_likely(key, segment, home) {
            Likely::There(found) => found,
            Likely::Unlike => self.search_segment(*key, segment, control),
            Likely::Elsewhere => self.search_farther(*key, segment, control),
        };
        (segment, control, found)
    }

    /// As [`followed`], for a key.
    #[inline(always)]
    fn settled<'g>(&self, key: &Key<'_>, home: usize, guard: &'g Guard) -> (&'g Segment, Control) {
        let segment = self.segment(key.place, guard);
        let control = segment.control(home);
        match control.is_settled() {
            true => (segment, control),
            false => followed(segment, (home, key.place), guard),
        }
    }

    /// Looks at the one slot of a bucket that can have the key, unless much is against it.
    // Without a loop, so that little is kept on the stack by those it is inlined into.
    #[inline(always)]
    fn search_likely(&self, key: &Key<'_>, segment: &Segment, bucket: usize) -> Likely {
        let (slot, word) = segment.likeliest(bucket, key.tag());
        // SAFETY: the word was in its slot under the caller's guard, is a committed one and names
        // an entry.
        let is_key = || unsafe { self.occupants.is_key_of_entry(word.occupied(), key.bytes) };
        if word.is_plain_with(key.tag()) && is_key() {
            return Likely::There(Found {
                position: Segment::position(bucket, slot),
                word,
            });
        }
        match word.has_tag(key.tag()) {
            true => Likely::Unlike,
            false => Likely::Elsewhere,
        }
    }

    /// Searches all buckets but the home, where nothing is like the key.
    #[inline(never)]
    fn search_farther(&self, key: Key<'_>, segment: &Segment, control: Control) -> Found {
        let home = Segment::home_of(key.hash);
        match self.search_likely(&key, segment, home + 1) {
            Likely::There(found) => found,
            Likely::Unlike => self.search_segment(key, segment, control),
            Likely::Elsewhere => self.search_stash(&key, segment, control),
        }
    }

    /// Searches all buckets that can have the key.
    #[inline(never)]
    fn search_segment(&self, key: Key<'_>, segment: &Segment, control: Control) -> Found {
        let home = Segment::home_of(key.hash);
        let in_bucket = |bucket| self.search_bucket(&key, segment, (home, bucket));
        let mut near = [home, home + 1].into_iter().map(in_bucket);
        let near = near.find(|found| !found.word.is_empty());
        near.unwrap_or_else(|| self.search_stash(&key, segment, control))
    }

    /// Searches the stash alone.
    fn search_stash(&self, key: &Key<'_>, segment: &Segment, control: Control) -> Found {
        if control.stashed() == 0 {
            return Found::NOTHING;
        }
        let home = Segment::home_of(key.hash);
        let in_bucket = |bucket| self.search_bucket(key, segment, (home, bucket));
        let mut stashed = Segment::stash_buckets(home).map(in_bucket);
        let stashed = stashed.find(|found| !found.word.is_empty());
        stashed.unwrap_or(Found::NOTHING)
    }

    /// The word in a bucket that counts and is of this very key.
    fn search_bucket(
        &self,
        key: &Key<'_>,
        segment: &Segment,
        (home, bucket): (usize, usize),
    ) -> Found {
        for slot in segment.tagged(bucket, key.tag()) {
            let position = Segment::position(bucket, slot);
            let mut word = segment.word(position);
            if word.is_tentative() {
                word = inserted(segment, home, position);
            }
            // SAFETY: the word was in its slot under the caller's guard and is a committed one.
            let is_key = |word: Word| unsafe { self.occupants.is_key(word.occupied(), key.bytes) };
            if !word.is_empty() && word.has_tag(key.tag()) && is_key(word) {
                return Found { position, word };
            }
        }
        Found::NOTHING
    }

    /// Lets the slot name something else, if it still names what the look found. If it does not,
    /// or if the segment is being split, none: look again.
    #[inline(always)]
    pub(crate) fn replace<'g>(
        &self,
        spot: &Spot<'g>,
        new: Occupied,
        guard: &Guard,
    ) -> Option<Spot<'g>> {
        if !self.may_change(spot, guard) {
            return None;
        }
        let now = spot.naming(new);
        let is_in = spot.segment.swap_word(spot.position, spot.word, now.word);
        is_in.then_some(now)
    }

    /// Lets the slot of a look name something, whether the key was there or not; none as above.
    pub(crate) fn put<'g>(
        &self,
        look: &Look<'g>,
        new: Occupied,
        guard: &Guard,
    ) -> Option<Spot<'g>> {
        match look {
            Look::Present(spot) => self.replace(spot, new, guard),
            Look::Absent(absence) => self.insert(absence, new, guard),
        }
    }

    /// Empties the slot, if it still names what the look found; `version` is the highest the
    /// key ever had. False as for [`Table::replace`].
    pub(crate) fn remove(&self, spot: &Spot<'_>, version: u64, guard: &Guard) -> bool {
        if !self.may_change(spot, guard) {
            return false;
        }
        // Before the slot is empty, so that whoever inserts the key again starts above.
        spot.segment
            .removed_version_max
            .fetch_max(version, Ordering::AcqRel);
        if !spot
            .segment
            .swap_word(spot.position, spot.word, Word::EMPTY)
        {
            return false;
        }
        if Segment::is_in_stash(spot.position) {
            spot.segment.count_unstashed(spot.home);
        }
        true
    }

    /// No word is changed while the insertion that made it is pending: `settle` relies on it.
    /// The control word is loaded after the slot's was, so a pending one cannot be missed.
    #[inline(always)]
    fn may_change(&self, spot: &Spot<'_>, guard: &Guard) -> bool {
        let Spot {
            segment,
            home,
            place,
            word,
            ..
        } = *spot;
        (segment.control(home).is_settled() && !word.is_tentative())
            || self.make_changeable(segment, (home, place), word, guard)
    }

    // Without the spot, which would have to be in memory for it.
    #[cold]
    fn make_changeable(
        &self,
        segment: &Segment,
        (home, place): (usize, u64),
        word: Word,
        guard: &Guard,
    ) -> bool {
        let control = segment.control(home);
        if control.is_frozen() || word.is_tentative() {
            self.split(segment, place, guard);
            return false;
        }
        if control.is_pending() {
            segment.settle(home, control);
        }
        true
    }
}

/// The segment in which a home's keys are looked for, this one or where its keys have gone, and
/// the home's control word; no insertion is pending there, unless it is frozen.
#[cold]
fn followed<'g>(
    mut segment: &'g Segment,
    (home, place): (usize, u64),
    _guard: &'g Guard,
) -> (&'g Segment, Control) {
    loop {
        let control = segment.control(home);
        if control.is_frozen()
            && let Some(next) = segment.successor(place)
        {
            // SAFETY: a successor is retired only when the segments before it cannot be reached
            // by new guards, and this one was reached under the guard.
            segment = unsafe { next.as_ref() };
        } else if control.is_pending() && !control.is_frozen() {
            segment.settle(home, control);
        } else {
            return (segment, control);
        }
    }
}

/// The word at a position where a tentative one was seen, if an insertion of this home put it
/// there that has committed; else an empty one.
#[cold]
fn inserted(segment: &Segment, home: usize, position: usize) -> Word {
    let mut word = segment.word(position);
    // Again after the help: the slot may hold another tentative word by then.
    while word.is_tentative() {
        let control = segment.control(home);
        if !control.is_pending() || control.position() != position {
            return Word::EMPTY;
        }
        segment.settle(home, control);
        word = segment.word(position);
        if control.is_frozen() {
            // It stays pending, and the slot the inserted word's, which counts.
            break;
        }
    }
    word
}

impl Segment {
    /// Finishes a committed insertion. Anybody may, any number of times.
    ///
    /// While the control word is pending its slot holds the inserted word, because nobody
    /// changes it before; the control word is looked at again to know that it was pending when
    /// the slot was loaded. A frozen control word stays pending: the slot may have been frozen
    /// before it was settled, and the split must know that it counts.
    #[cold]
    pub(super) fn settle(&self, home: usize, mut control: Control) {
        debug_assert!(home < HOMES && control.is_pending());
        let insertions = control.insertions();
        let is_open = |control: Control| {
            control.is_pending() && control.insertions() == insertions && !control.is_frozen()
        };
        // Again if a key that left the stash changed the control word.
        while is_open(control) {
            let word = self.word(control.position());
            if word.is_tentative() && self.control(home) == control {
                self.swap_word(control.position(), word, word.committed());
            }
            if self.swap_control(home, control, control.settled()) {
                return;
            }
            control = self.control(home);
        }
    }

    /// One of the home's keys left the stash. A frozen count is made anew by the split.
    fn count_unstashed(&self, home: usize) {
        loop {
            let control = self.control(home);
            if control.is_frozen() || self.swap_control(home, control, control.unstashed()) {
                return;
            }
        }
    }
}
