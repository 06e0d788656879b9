//! From a draft to an entry, and what becomes of the one it supersedes.

use crate::db::Draft;
use crate::entry::{Entry, Form, Kind, Meta};
use crate::eviction;
use crate::reclaim::Guard;
use crate::thread;
use crate::usage::Usage;
use crate::value::{self, Delta, Origin};

/// An entry that nobody else knows yet.
#[derive(Debug)]
pub(crate) struct Provisional<'g> {
    pub(crate) entry: Entry<'g>,
    /// Whether it shares its value, but for the delta, with the entry it was derived from.
    pub(crate) shares: bool,
    pub(crate) delta: Delta,
    /// Whether it was made as a part of the small queue, which has yet to count it.
    is_small: bool,
}

/// Makes an entry of a draft, whose value then belongs to the entry.
#[inline]
pub(crate) fn provisional<'g>(
    _guard: &'g Guard,
    named: (&[u8], u64),
    draft: &mut Draft<'_>,
    usage: Usage,
) -> Provisional<'g> {
    let entry = flat(named, draft, usage);
    let (shares, delta) = match &mut draft.value.origin {
        Origin::New(delta) => (false, delta),
        Origin::Derived(delta) => (true, delta),
    };
    let delta = std::mem::take(delta);
    Provisional {
        entry,
        shares,
        delta,
        is_small: usage.is_small(),
    }
}

/// Makes an entry of a draft; what hangs on its value beside the entry stays the draft's.
#[inline(always)]
pub(crate) fn flat<'g>((key, version): (&[u8], u64), draft: &Draft<'_>, usage: Usage) -> Entry<'g> {
    let Draft { value, meta } = draft;
    let named = (value.kind, value.form);
    // Most values are of one piece.
    if let Some(only) = value.body.of_one_part()
        && meta.says_nothing()
        && let Some(entry) = Entry::allocate_plain(version, key, named, only, usage)
    {
        return entry;
    }
    Entry::allocate(version, key, named, value.body.slices(), meta, usage)
}

/// Makes an entry of a string that stands in it; `meta` unless it says nothing.
#[inline(always)]
pub(crate) fn flat_string<'g>(
    (key, version): (&[u8], u64),
    bytes: &[u8],
    meta: Option<&Meta>,
    usage: Usage,
) -> Entry<'g> {
    const NAMED: (Kind, Form) = value::string::FLAT;
    if meta.is_none()
        && let Some(entry) = Entry::allocate_plain(version, key, NAMED, bytes, usage)
    {
        return entry;
    }
    let meta = meta.copied().unwrap_or_default();
    let only = std::iter::once(bytes);
    Entry::allocate(version, key, NAMED, only, &meta, usage)
}

/// As [`Provisional::published`], of an entry in which all of its value stands; `is_small` says
/// whether it was made as a part of the small queue.
#[inline(always)]
pub(crate) fn published_flat(
    (entry, is_small): (Entry<'_>, bool),
    old: Option<Entry<'_>>,
    guard: &Guard,
) {
    // An entry that is out of the small queue does not come back into it.
    if is_small || old.is_some_and(|old| old.usage().is_small()) {
        eviction::count_small(is_small.then_some(entry), old);
    }
    let Some(old) = old else {
        return;
    };
    value::drop_value(old, guard);
    // SAFETY: whoever takes an entry out of its slot calls this once.
    unsafe { guard.retire(old.block()) };
}

impl<'g> Provisional<'g> {
    /// One that shares its value, but for the delta, with that before it.
    #[cfg(all(test, any(mayfly_loom, mayfly_shuttle)))]
    pub(crate) fn derived(entry: Entry<'g>, delta: Delta) -> Provisional<'g> {
        Provisional {
            entry,
            shares: true,
            delta,
            is_small: entry.usage().is_small(),
        }
    }

    /// One of which all stands in the entry, and that nobody has seen.
    #[inline]
    pub(crate) fn of_flat(entry: Entry<'g>) -> Provisional<'g> {
        Provisional {
            entry,
            shares: false,
            delta: Delta::Nothing,
            is_small: entry.usage().is_small(),
        }
    }
}

impl Provisional<'_> {
    /// The entry is in its slot, in the place of `old`, which new guards cannot reach.
    #[inline]
    pub(crate) fn published(self, old: Option<Entry<'_>>, guard: &Guard) {
        // Its own bit may be gone again: who took it off has counted that.
        let small = self.is_small.then_some(self.entry);
        eviction::count_small(small, old);
        if let Some(old) = old
            && !self.shares
        {
            value::drop_value(old, guard);
        }
        // SAFETY: the old version, if there was one, is out of reach.
        unsafe { self.delta.published(guard) };
        if let Some(old) = old {
            // SAFETY: whoever takes an entry out of its slot calls this once.
            unsafe { guard.retire(old.block()) };
        }
    }

    /// The entry goes into the overlay of a transaction, to be retired as one that was published.
    pub(crate) fn counted(self) -> Self {
        eviction::count_small(self.is_small.then_some(self.entry), None);
        self
    }

    /// Makes sure that the version is above `floor`.
    pub(crate) fn raise_version_above(&self, floor: u64) {
        if self.entry.version() <= floor {
            // SAFETY: the entry is not in a slot yet, so nobody else knows it.
            unsafe { self.entry.raise_version(thread::next_version(floor)) };
        }
    }

    /// The entry will never be in a slot.
    pub(crate) fn discard(self) {
        self.delta.abandoned();
        // SAFETY: nobody else knows the entry, and its maker lets go of it.
        unsafe { self.entry.block().free() };
    }
}

/// Frees the block of an entry that was never in a slot, and was counted.
pub(crate) fn discard_block(entry: Entry<'_>) {
    eviction::count_small(None, Some(entry));
    // SAFETY: nobody else knows the entry, and its maker lets go of it.
    unsafe { entry.block().free() };
}

/// Retires an entry that was taken out of its slot; what followed shares its value, but for
/// `delta`, or does not.
#[inline]
pub(crate) fn superseded(old: Entry<'_>, shares: bool, delta: Delta, guard: &Guard) {
    if !shares {
        value::drop_value(old, guard);
    }
    // SAFETY: the old version is out of reach.
    unsafe { delta.published(guard) };
    retire_block(old, guard);
}

/// Retires an entry that was removed, with all that hangs on it.
pub(crate) fn retire_whole(old: Entry<'_>, guard: &Guard) {
    value::drop_value(old, guard);
    retire_block(old, guard);
}

/// Retires an entry's own block.
#[inline]
pub(crate) fn retire_block(old: Entry<'_>, guard: &Guard) {
    eviction::count_small(None, Some(old));
    // SAFETY: whoever takes an entry out of its slot, or never put it into one, calls this once.
    unsafe { guard.retire(old.block()) };
}

#[cfg(all(test, any(mayfly_loom, mayfly_shuttle)))]
mod models;
