//! One walk over all tables, in stretches, to empty the slabs that were set aside.

use std::ptr::NonNull;
use std::sync::Arc;

use crate::arena::{self, Mobility};
use crate::db::Db;
use crate::entry::Entry;
use crate::eviction::Verdict;
use crate::keyspace;
use crate::publish;
use crate::reclaim::Guard;
use crate::store::Store;
use crate::table::{Occupied, Spot};

/// A stretch is so many segments of a table, of a few hundred slots each.
const SEGMENTS_PER_STRETCH: usize = 8;

/// A walk that goes on.
#[derive(Debug)]
pub(super) struct Pass {
    /// What is to be emptied.
    pub(super) slabs: Vec<u32>,
    /// About how many stretches there are.
    pub(super) stretches: u64,
    /// What of the entries goes; without one, all move.
    verdict: Option<Verdict>,
    /// Database and place of the next stretch; none when all are given out.
    next: Option<(usize, u64)>,
    /// Each stretch that is being walked has a copy.
    token: Arc<()>,
}

/// A part of the walk.
#[derive(Debug)]
pub(super) struct Stretch {
    database: usize,
    first: u64,
    /// Behind it; none at the end of the table.
    end: Option<u64>,
    verdict: Option<Verdict>,
    _token: Arc<()>,
}

impl Pass {
    pub(super) fn new(store: &Store, slabs: Vec<u32>, verdict: Option<Verdict>) -> Pass {
        let guard = store.pin();
        let segments: u64 = (0..store.databases())
            .map(|index| store.keyspace(&guard).database(index).table.segments())
            .sum();
        Pass {
            slabs,
            stretches: segments.div_ceil(SEGMENTS_PER_STRETCH as u64),
            verdict,
            next: Some((0, 0)),
            token: Arc::default(),
        }
    }

    /// The next stretch, if there is one.
    pub(super) fn claim(&mut self, db: &Db<'_>) -> Option<Stretch> {
        let (database, first) = self.next?;
        let table = &db.outside(database).database().table;
        let mut end = Some(first);
        for _ in 0..SEGMENTS_PER_STRETCH {
            end = end.and_then(|place| table.behind(place, db.guard()));
        }
        self.next = match end {
            Some(place) => Some((database, place)),
            None => Some((database + 1, 0)).filter(|_| database + 1 < db.store().databases()),
        };
        Some(Stretch {
            database,
            first,
            end,
            verdict: self.verdict,
            _token: Arc::clone(&self.token),
        })
    }

    /// Whether all stretches were walked.
    pub(super) fn is_over(&self) -> bool {
        self.next.is_none() && Arc::strong_count(&self.token) == 1
    }
}

impl Stretch {
    /// Empties what of the slabs is found here; how many entries were moved.
    pub(super) fn walk(&self, db: &Db<'_>) -> usize {
        let db = db.outside(self.database);
        let table = &db.database().table;
        let mut moved = 0;
        let mut next = Some(self.first);
        // Segments may have been split or merged since.
        while let Some(place) = next
            && self.end.is_none_or(|end| place < end)
        {
            next = table.relocate_at(place, db.guard(), is_evacuated, |spot| {
                let entry = keyspace::entry_of(spot.occupied(), db.guard());
                let is_gone = self.verdict.is_some_and(|verdict| {
                    // The last of a class would only go round from slab to slab.
                    let is_costly = !arena::has_spare(entry.block().bytes());
                    db.goes(entry, &verdict, is_costly)
                });
                moved += usize::from(!is_gone && relocate(&db, entry, spot, db.guard()));
            });
        }
        moved
    }
}

/// Puts a copy in an entry's place, unless somebody was faster.
fn relocate(db: &Db<'_>, old: Entry<'_>, spot: &Spot<'_>, guard: &Guard) -> bool {
    let copy = dense_copy(old);
    let table = &db.database().table;
    let is_in = table
        .replace(spot, keyspace::occupied(copy), guard)
        .is_some();
    match is_in {
        true => publish::retire_block(old, guard),
        false => publish::discard_block(copy),
    }
    is_in
}

fn is_evacuated(occupied: Occupied) -> bool {
    arena::is_evacuated(occupied.address().cast())
}

/// A copy that does not lie where this thread still had slots of a slab set aside.
fn dense_copy(old: Entry<'_>) -> Entry<'_> {
    let copy = old.copied();
    let start: NonNull<u8> = copy.address().cast();
    if !arena::is_evacuated(start) {
        return copy;
    }
    arena::empty_cache(copy.block().bytes(), Mobility::Movable);
    let denser = old.copied();
    publish::discard_block(copy);
    denser
}
