//! Making room: when, for how many bytes, and in which database.

use std::cell::RefCell;
use std::sync::atomic::Ordering;

use super::Policy;
use super::choose::ROUNDS_MAX;
use super::ripeness::Ripeness;
use crate::arena;
use crate::compaction;
use crate::db::Db;
use crate::error::Error;
use crate::memory::{self, LongBuffers};
use crate::reclaim::Guard;
use crate::store::Store;
use crate::table::Drawn;

/// So often something is drawn from a table that seems to be empty.
const DRAWS_MAX: usize = 16;
/// The most keys that a writer evicts, and one more for so many bytes that it brings. Where small
/// ones have to go for large ones that is too few, and slabs are emptied instead.
const VICTIMS_MAX: usize = 64;
const BYTES_PER_VICTIM: u64 = 4096;
/// A writer evicts twice what it brings and this, while more has to go.
const EXTRA_BYTES: u64 = 512;
/// Between the limit and where evicting begins: a 64th of the limit, within bounds, or a 128th
/// where what is charged is known exactly.
const RESERVE_PART: u64 = 64;
const RESERVE_PART_EXACT: u64 = 128;
const RESERVE_BYTES_MIN: u64 = 1 << 10;
const RESERVE_BYTES_MAX: u64 = 64 << 20;
/// So many keys are evicted until a thread looks anew where there are any.
const VIEW_EVICTIONS: u32 = 64;
/// Segments swept by an eviction, in the hope for expired keys.
const SWEEP_SEGMENTS: usize = 1;
/// Evictions without another such sweep after one that found nothing, at most.
const SWEEP_PAUSE_MAX: u32 = 256;

/// Where keys are that may go: by database, as a thread has last looked.
#[derive(Debug, Default)]
pub(super) struct View {
    /// Of which store, by number, and whether of keys with an expiry alone.
    of: (u64, bool),
    /// For so many evictions more.
    left: u32,
    /// Databases with such keys, and how many those and all before them have.
    databases: Vec<(usize, u64)>,
    /// Of those of the small queue that this thread would let go.
    pub(super) ripeness: Ripeness,
}

impl View {
    pub(super) fn keys(&self) -> u64 {
        self.databases.last().map_or(0, |&(_, keys)| keys)
    }

    fn draw(&self) -> Option<usize> {
        let at = fastrand::u64(..self.keys().max(1));
        let found = self.databases.iter().find(|(_, behind)| at < *behind);
        found.map(|&(index, _)| index)
    }
}

thread_local! {
    pub(super) static VIEW: RefCell<View> = RefCell::default();
}

/// What an eviction did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// So many bytes went.
    Freed(u64),
    /// Nothing, but there is more to try.
    Again,
    /// There is nothing that may go.
    Nothing,
}

impl Db<'_> {
    /// Makes room for a write that may need about `bytes` more, if the limit is near.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] if the limit is reached and nothing may go.
    #[inline]
    pub fn make_room(&self, bytes: usize) -> Result<(), Error> {
        let (bytes, limit) = (bytes as u64, self.store().memory_bytes_max());
        match has_room(limit, bytes) {
            true => Ok(()),
            false => self.make_room_near(limit, bytes),
        }
    }

    /// As [`Db::make_room`], before a write of `key`: what that looks at is fetched meanwhile.
    ///
    /// # Errors
    /// As [`Db::make_room`].
    #[inline]
    pub fn make_room_for(&self, key: &[u8], bytes: usize) -> Result<(), Error> {
        let (bytes, limit) = (bytes as u64, self.store().memory_bytes_max());
        if has_room(limit, bytes) {
            return Ok(());
        }
        let key = self.key(key);
        self.database().table.foresee(key, self.guard());
        self.store().eviction().foresee(key.hash, self.guard());
        self.make_room_near(limit, bytes)
    }

    /// As [`Db::make_room`], where the limit is near or there are holes.
    #[inline(never)]
    fn make_room_near(&self, limit: u64, bytes: u64) -> Result<(), Error> {
        let store = self.store();
        let is_tight = compaction::press(self, bytes);
        if limit == 0 {
            return Ok(());
        }
        let charged = memory::charged_bytes_under(limit);
        if store.policy() == Policy::NoEviction {
            return match charged > limit || is_tight {
                true => Err(Error::OutOfMemory),
                false => Ok(()),
            };
        }
        let spared = spared_bytes(limit, charged, bytes);
        if charged + bytes + spared <= limit || self.is_in_transaction() {
            return Ok(());
        }
        let over = store.over_bytes(bytes, spared, self.guard());
        let wanted = over.min(2 * bytes + EXTRA_BYTES);
        // A large value may need many small ones to go.
        let victims_max = VICTIMS_MAX + (bytes / BYTES_PER_VICTIM) as usize;
        let is_stuck = self.evict(wanted, victims_max) == 0 && wanted > 0 && charged > limit;
        match is_stuck && memory::lasting_bytes() > limit {
            true => Err(Error::OutOfMemory),
            false => Ok(()),
        }
    }

    /// Evicts until `wanted` bytes went, or so many keys; returns the bytes.
    fn evict(&self, wanted: u64, victims_max: usize) -> u64 {
        let mut freed = 0;
        for _ in 0..victims_max {
            if freed >= wanted {
                break;
            }
            match self.evict_one() {
                Step::Freed(bytes) => freed += bytes,
                Step::Again => {}
                Step::Nothing => break,
            }
        }
        freed
    }

    fn evict_one(&self) -> Step {
        let store = self.store();
        let policy = store.policy();
        let swept = store.sweep_before_evicting(self.now_ms());
        if swept > 0 {
            return Step::Freed(swept);
        }
        let mut drawn = Drawn::default();
        for round in 0..DRAWS_MAX {
            let Some(index) = store.draw_database(policy.is_volatile(), self) else {
                return Step::Nothing;
            };
            let db = self.outside(index);
            let choice = store.choice(policy, round >= ROUNDS_MAX);
            drawn.restart(choice.wanted());
            db.draw(store.samples(), &mut drawn);
            if drawn.is_empty() {
                forget_view();
                continue;
            }
            let step = db.evict_among(choice, &drawn);
            if step != Step::Again {
                return step;
            }
        }
        Step::Again
    }
}

#[inline]
fn has_room(limit: u64, bytes: u64) -> bool {
    compaction::is_still_at_ease(limit, bytes)
        || compaction::is_at_ease(limit, bytes + reserve_bytes(limit))
}

fn forget_view() {
    VIEW.with_borrow_mut(|view| view.left = 0);
}

/// How far below the limit evicting begins.
fn reserve_bytes(limit: u64) -> u64 {
    let part = match memory::is_exact_under(limit) {
        true => RESERVE_PART_EXACT,
        false => RESERVE_PART,
    };
    (limit / part)
        .clamp(RESERVE_BYTES_MIN, RESERVE_BYTES_MAX)
        .min(limit / 8)
}

/// How much is to stay free of the limit, when so much is charged and `bytes` come: the reserve,
/// and what holes between entries take.
fn spared_bytes(limit: u64, charged: u64, bytes: u64) -> u64 {
    let reserve = reserve_bytes(limit);
    let room = limit.saturating_sub(charged + bytes + reserve);
    reserve + compaction::excess_bytes(limit, bytes, room)
}

impl Store {
    /// How much has to go so that `bytes` more leave `spared` free. What is retired does not
    /// count: it goes by itself, and if there is more of it than the reserve, it is pushed.
    fn over_bytes(&self, bytes: u64, spared: u64, guard: &Guard) -> u64 {
        let limit = self.memory_bytes_max();
        // In this order: what is freed in between is not taken off twice.
        let charged = memory::charged_bytes_under(limit);
        let retired = memory::retired_bytes();
        if retired > reserve_bytes(limit) {
            guard.flush();
        }
        (charged + bytes + spared).saturating_sub(limit + retired)
    }

    /// Charges buffers for so many bytes, in the place of those before; makes room first for what
    /// they take more, if the limit is near: they are there for a while before what is in them is
    /// written. Nobody can refuse them.
    #[inline]
    pub fn charge_buffers(&self, buffers: &mut LongBuffers, bytes: usize, now_ms: u64) {
        let more = bytes.saturating_sub(buffers.bytes());
        if more > 0 {
            self.make_room_for_buffers(more, now_ms);
        }
        buffers.charge(bytes);
    }

    #[inline(never)]
    fn make_room_for_buffers(&self, bytes: usize, now_ms: u64) {
        let guard = self.pin();
        // Where nothing may go, writes are refused until the buffers are.
        let _ = self.db(0, &guard, now_ms).make_room(bytes);
    }

    /// Whether more is in memory than evicting should leave there, since it has not kept up.
    pub fn is_overfull(&self) -> bool {
        let limit = self.memory_bytes_max();
        limit > 0 && self.policy() != Policy::NoEviction && compaction::is_overfull(limit)
    }

    /// Evicts for a little while, and empties slabs, if more is in memory than should be: for a
    /// periodic task, and for who has to wait for it. Whether there is more to evict.
    pub fn relieve(&self, now_ms: u64) -> bool {
        const VICTIMS: usize = 64;
        let limit = self.memory_bytes_max();
        if limit == 0 || self.policy() == Policy::NoEviction {
            return false;
        }
        let guard = self.pin();
        if compaction::is_overfull(limit) {
            compaction::press(&self.db(0, &guard, now_ms), arena::SLAB_BYTES as u64);
        }
        let spared = spared_bytes(limit, memory::charged_bytes_under(limit), 0);
        let over = self.over_bytes(0, spared, &guard);
        if over == 0 {
            // Evictions see to the race themselves.
            if self.policy() == Policy::CacheMode {
                let charged = memory::charged_bytes();
                let keys = |index| self.db(index, &guard, now_ms).len();
                let all_keys = || (0..self.databases()).map(keys).sum();
                self.eviction().rivals.begin_early(all_keys, charged, limit);
            }
            return false;
        }
        let freed = self.db(0, &guard, now_ms).evict(over, VICTIMS);
        guard.flush();
        freed > 0 && freed < over
    }

    /// Sweeps a little for expired keys, unless that found none lately; the bytes that went.
    fn sweep_before_evicting(&self, now_ms: u64) -> u64 {
        let eviction = self.eviction();
        let relaxed = Ordering::Relaxed;
        let left = eviction.sweep_in.load(relaxed);
        if left > 0 {
            eviction.sweep_in.store(left - 1, relaxed);
            return 0;
        }
        let swept = self.sweep(now_ms, SWEEP_SEGMENTS);
        let pause = match swept.removed {
            0 => (2 * eviction.sweep_pause.load(relaxed) + 1).min(SWEEP_PAUSE_MAX),
            _ => 0,
        };
        eviction.sweep_pause.store(pause, relaxed);
        eviction.sweep_in.store(pause, relaxed);
        swept.removed_bytes
    }

    /// A database to evict from, each by how many keys it has.
    pub(super) fn draw_database(&self, is_volatile: bool, db: &Db<'_>) -> Option<usize> {
        VIEW.with_borrow_mut(|view| {
            let of = (self.eviction().number, is_volatile);
            if view.left == 0 || view.of != of || view.databases.is_empty() {
                view.databases.clear();
                let mut sum = 0;
                for index in 0..self.databases() {
                    let database = db.outside(index);
                    let keys = match is_volatile {
                        true => database.expiring_len(),
                        false => database.len(),
                    };
                    sum += keys;
                    if keys > 0 {
                        view.databases.push((index, sum));
                    }
                }
                if view.of != of {
                    view.ripeness = Ripeness::default();
                }
                view.of = of;
                view.left = VIEW_EVICTIONS;
                if self.policy() == Policy::CacheMode {
                    let limit = self.memory_bytes_max();
                    self.eviction().rivals.follow(sum, limit);
                }
            }
            view.left -= 1;
            view.draw()
        })
    }
}
