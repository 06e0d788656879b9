//! What was seen of the keys of requests that wait for their turn.

use smallvec::SmallVec;
use store::{Ahead, Db};

use super::BATCH_REQUESTS_MAX;

/// Requests in a row whose keys were looked for ahead.
#[derive(Default)]
pub(super) struct Lookout<'b, 'g> {
    /// The keys of all, in their order.
    ahead: Ahead<'b, 'g>,
    /// The number of the first request in its batch.
    start: usize,
    /// Of each request, the number of its first key, or of the next one's if it has none.
    first_keys: SmallVec<[usize; BATCH_REQUESTS_MAX]>,
}

impl<'b, 'g> Lookout<'b, 'g> {
    /// Begins anew with the request number `start`.
    pub(super) fn begin(&mut self, start: usize) {
        self.start = start;
        self.first_keys.clear();
    }

    /// The next request follows when there are so many keys.
    #[inline]
    pub(super) fn note(&mut self, keys: usize) {
        self.first_keys.push(keys);
    }

    /// Looks for the keys of all requests.
    pub(super) fn look(&mut self, db: &Db<'g>, keys: &[&'b [u8]]) {
        db.look_ahead(keys.iter().copied(), &mut self.ahead);
    }

    /// The database for a request of the batch.
    #[inline(always)]
    pub(super) fn db_for<'s>(&'s self, request: usize, db: Db<'g>) -> Db<'s> {
        match self.first_keys.get(request.wrapping_sub(self.start)) {
            Some(&key) => db.expecting(&self.ahead, key),
            None => db,
        }
    }
}
