//! Letting many entries go at once: not the first of a few drawn, but whatever ranks before the
//! middle of some that were drawn.
//!
//! That is a coarser choice than drawing for each, and a much cheaper one. It serves where a slab
//! has to be emptied while memory is full (`compaction`): what is worth keeping moves, the rest
//! goes.

use super::choose::{Choice, Sampled};
use super::room::{VIEW, View};
use super::{Order, Policy};
use crate::db::Db;
use crate::entry::Entry;
use crate::table::Drawn;

/// What goes and what stays.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Verdict {
    policy: Policy,
    /// The order that ruled in cache mode.
    ruling: Order,
    /// What ranks as high or higher goes.
    least: Rank,
    /// About how many keys there are. The threads that carry a verdict out may never have looked.
    keys: u64,
}

/// The higher, the sooner an entry goes: first what has the fewest uses where these spare it.
type Rank = (u32, u64);

/// So many times entries are drawn for a verdict.
const DRAWS: usize = 8;
/// The most uses that count in cache mode's queues.
const USES_MAX: u32 = 3;

impl Db<'_> {
    /// A verdict under which about half of the entries that may go do; none if there are none.
    pub(crate) fn verdict(&self) -> Option<Verdict> {
        let store = self.store();
        let policy = store.policy();
        if policy == Policy::NoEviction {
            return None;
        }
        let ruling = store.eviction().rivals.ruling();
        let now = store.eviction().present(self.now_ms());
        let mut ranks = Vec::new();
        let mut drawn = Drawn::default();
        for _ in 0..DRAWS {
            let index = store.draw_database(policy.is_volatile(), self)?;
            drawn.restart(Choice::Rank(policy).wanted());
            let db = self.outside(index);
            db.draw(store.samples(), &mut drawn);
            let rank = |entry| rank(policy, ruling, &db.sampled(entry, now));
            ranks.extend(drawn.iter().map(|occupied| rank(db.entry_of(occupied))));
        }
        ranks.sort_unstable();
        let least = *ranks.get(ranks.len() / 2)?;
        let keys = VIEW.with_borrow(View::keys);
        Some(Verdict {
            policy,
            ruling,
            least,
            keys,
        })
    }

    /// Whether an entry is gone, since it had expired or by the verdict; one that is costly to keep
    /// goes if it may at all.
    pub(crate) fn goes(&self, entry: Entry<'_>, verdict: &Verdict, is_costly: bool) -> bool {
        if entry.is_expired(self.now_ms()) {
            return self.take_expired(entry);
        }
        let may_go = !verdict.policy.is_volatile() || entry.expires_at_ms().is_some();
        let now = self.store().eviction().present(self.now_ms());
        let sampled = self.sampled(entry, now);
        let rank = || rank(verdict.policy, verdict.ruling, &sampled);
        let is_over = || is_costly || rank() >= verdict.least;
        may_go && is_over() && self.let_go(&sampled, verdict.keys)
    }
}

fn rank(policy: Policy, ruling: Order, sampled: &Sampled<'_>) -> Rank {
    match (policy, ruling) {
        (Policy::CacheMode, Order::Fifo) => {
            let unused = USES_MAX - sampled.usage.frequency();
            (unused, sampled.rank_in_queue())
        }
        _ => (0, policy.rank(sampled)),
    }
}
