//! Requests of a batch that edit one collection, one after the other, carried out as one run.

use smallvec::SmallVec;
use store::Db;

use super::stopwatch::Stopwatch;
use super::{Progress, Request, Requests};
use crate::command::dispatch::{self, Outcome, Place};
use crate::command::run::Run;
use crate::connection::{BATCH_REQUESTS_MAX, Halt, TURN_WORDS_MAX};
use crate::protocol::output::Output;
use crate::session::Session;
use crate::shared::Shared;
use crate::stats::ThreadStats;

/// What became of one request of a run: its outcome, and where its reply ends.
type Answered = (Outcome, usize);

/// How far a run came.
pub(super) enum Ran {
    /// So many requests were carried out; why no more of the batch are, if so.
    Far(usize, Option<Halt>),
    /// Somebody else has changed the key meanwhile: none was.
    Beaten,
}

impl<'r> Requests<'r, '_> {
    /// The requests from the next one on that edit one collection; none if it is for itself.
    #[inline]
    pub(super) fn run_from(self, progress: &Progress) -> &'r [Request] {
        let rest = &self.all[progress.next..];
        let edited = |request: &Request| request.entry?.edited(self.words(request));
        let Some(first) = rest.first().and_then(edited) else {
            return &[];
        };
        let mut words = rest[0].len();
        let are_alike = |request: &&Request| {
            words += request.len();
            words <= TURN_WORDS_MAX && edited(request) == Some(first)
        };
        let others_max = progress.run_max.saturating_sub(1);
        match rest[1..]
            .iter()
            .take(others_max)
            .take_while(are_alike)
            .count()
        {
            0 => &[],
            others => &rest[..=others],
        }
    }
}

/// Carries out requests that edit one collection, with their effects at one moment.
pub(super) fn run_together(
    (requests, batch): (&[Request], Requests<'_, '_>),
    (session, shared, db): (&mut Session, &Shared, Db<'_>),
    out: &mut Output,
    (watch, stats): (&mut Stopwatch, &ThreadStats),
) -> Ran {
    let key = batch.words(&requests[0])[1];
    let Ok(run) = Run::begin(db, key, shared.limits()) else {
        return Ran::Far(0, Some(Halt::Busy));
    };
    let start = out.len();
    let mut answered: SmallVec<[Answered; BATCH_REQUESTS_MAX]> = SmallVec::new();
    let mut halt = None;
    for request in requests {
        watch.next(request.entry, stats);
        let outcome = dispatch::run(
            request.entry,
            batch.words(request),
            (session, shared, db),
            out,
            Place::Run(&run),
        );
        halt = super::halt_of(outcome);
        if halt.is_some() {
            watch.withdraw(1);
            break;
        }
        answered.push((outcome, out.len()));
        if !run.may_go_on() {
            break;
        }
    }
    if !run.publish(answered.len() as u32) {
        out.truncate(start);
        watch.withdraw(answered.len());
        return Ran::Beaten;
    }
    let mut start = start;
    for (request, &(outcome, end)) in requests.iter().zip(&answered) {
        if outcome != Outcome::Replied(false) {
            dispatch::note_error(shared, out.between(start, end));
        }
        super::count(request.entry, outcome, stats);
        start = end;
    }
    Ran::Far(answered.len(), halt)
}
