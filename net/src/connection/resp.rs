//! RESP: batches of words, dispatched to the command table.

use std::cell::Cell;
use std::convert::Infallible;
use std::ops::Range;
use std::sync::Arc;

use smallvec::SmallVec;
use store::{Db, Received};

use super::buffers::READ_BYTES_MIN;
use super::lookout::Lookout;
use super::owned_words::OwnedWords;
use super::{BATCH_KEYS, BATCH_REQUESTS_MAX, Connection, End, Halt, SEND_BYTES, TURN_WORDS_MAX};
use crate::clock::{self, Moment};
use crate::command::Flag;
use crate::command::dispatch::{self, Entry, Outcome, Place};
use crate::config::Setting;
use crate::protocol::output::Output;
use crate::protocol::resp::{Limits, Parser, ProtocolError};
use crate::session::{Replies, Session};
use crate::shared::Shared;
use crate::stats::ThreadStats;

mod run;
mod stopwatch;

use run::Ran;
use stopwatch::Stopwatch;

/// More keys than [`BATCH_KEYS`] are fetched together if one request has them, up to so many:
/// beyond, they would drive each other out.
const BATCH_KEYS_MAX: usize = 4096;
/// The most elements of large collections that are fetched ahead.
const BATCH_ELEMENTS_MAX: usize = 64;
/// Room for at most so many words is kept between batches.
const SPARE_WORDS_MAX: usize = 1024;
/// The most words of a request: half a gigabyte to remember where they stand.
const WORDS_MAX: usize = 1 << 24;

pub(super) async fn serve(connection: &mut Connection) -> Result<Infallible, End> {
    let mut parser = Parser::default();
    loop {
        connection.run_buffered(&mut parser).await?;
        connection.flush_and_fill(parser.bytes_needed()).await?;
    }
}

impl Connection {
    /// Runs all complete requests in the buffer.
    async fn run_buffered(&mut self, parser: &mut Parser) -> Result<(), End> {
        // Taken out, so that its bytes can be borrowed while the rest of the connection works.
        let mut input = std::mem::take(&mut self.input);
        let result = loop {
            let limits = self.resp_limits();
            let requests_max = match limits.is_authenticated {
                true => BATCH_REQUESTS_MAX,
                // The limits may change with every request.
                false => 1,
            };
            let (buffer, buffer_bytes) = (input.address(), input.capacity());
            let mut rest = input.unused_mut();
            let mut batch = Batch::take();
            let parsed = batch.parse(parser, &mut rest, &limits, requests_max);
            let left = rest.len();
            let is_last = batch.requests.is_empty() || left == 0;
            let ran = if batch.may_keep(buffer_bytes) {
                let loose = batch.loosen(buffer);
                let (received, _) = input.share();
                let ran = self.run_batch(&loose.fasten(&received)).await;
                input.take_back(received, left);
                ran
            } else {
                let ran = self.run_batch(&batch).await;
                batch.keep();
                input.keep_last(left);
                ran
            };
            if let Err(end) = ran {
                break Err(end);
            }
            if let Err(error) = parsed {
                if self.session.replies == Replies::On {
                    error.write(&mut self.output);
                }
                break Err(End::Closing);
            }
            if is_last {
                break Ok(());
            }
        };
        self.input = input;
        result
    }

    async fn run_batch(&mut self, batch: &Batch<'_>) -> Result<(), End> {
        let mut progress = Progress::NONE;
        while progress.next < batch.requests.len() {
            let halt = self.run_until_halt(batch.requests(), &mut progress);
            self.note_lookups(store::take_lookups());
            if halt == Halt::Heavy {
                let request = &batch.requests[progress.next];
                self.run_on_worker(request, batch.requests()).await?;
                progress.next += 1;
            }
            self.wait_for(halt).await?;
        }
        Ok(())
    }

    /// Runs commands from the next one on until one has to wait.
    fn run_until_halt(&mut self, batch: Requests<'_, '_>, progress: &mut Progress) -> Halt {
        let is_spread_kept = self.shared.settings.is_on(Setting::LatencyTracking);
        let mut watch = Stopwatch::since(self.now, is_spread_kept);
        let halt = self.run_watched(batch, progress, &mut watch);
        self.now = watch.end(self.shared.stats.of(self.thread));
        halt
    }

    fn run_watched(
        &mut self,
        batch: Requests<'_, '_>,
        progress: &mut Progress,
        watch: &mut Stopwatch,
    ) -> Halt {
        let shared = &*self.shared;
        let now_ms = self.now_ms();
        shared.memcached.flush_if_due(&shared.store, now_ms);
        let stats = shared.stats.of(self.thread);
        let guard = shared.store.pin();
        let has_several_keys = batch.has_several_keys();
        let mut lookout = Lookout::default();
        let mut words = 0;
        let mut db = self.session.db(&shared.store, &guard, now_ms);
        let mut may_differ = false;
        while let Some(request) = batch.all.get(progress.next) {
            // Found anew where it may be another one, or uses may be noted in another way.
            if may_differ || !db.is_current() {
                db = self.session.db(&shared.store, &guard, now_ms);
            }
            may_differ = !request.entry.is_some_and(Entry::is_of_keys);
            if has_several_keys && progress.next >= progress.fetched {
                progress.fetched = batch.look_ahead(progress.next, &db, &mut lookout);
            }
            let db = lookout.db_for(progress.next, db);
            let run = batch.run_from(progress);
            // Who wants no replies has them taken back one by one.
            if !run.is_empty() && self.session.replies == Replies::On {
                let ran = run::run_together(
                    (run, batch),
                    (&mut self.session, shared, db),
                    &mut self.output,
                    (watch, stats),
                );
                let (done, halt) = match ran {
                    Ran::Far(done, halt) => (done, halt),
                    Ran::Beaten => {
                        // A shorter one is faster, and one request alone always gets through.
                        progress.run_max /= 2;
                        continue;
                    }
                };
                words += run[..done].iter().map(Request::len).sum::<usize>();
                progress.next += done;
                if let Some(halt) = halt {
                    return halt;
                }
            } else {
                watch.next(request.entry, stats);
                let outcome = dispatch::run(
                    request.entry,
                    batch.words(request),
                    (&mut self.session, shared, db),
                    &mut self.output,
                    Place::Connection(batch.received),
                );
                if !matches!(outcome, Outcome::Replied(_)) {
                    watch.withdraw(1);
                    if let Some(halt) = halt_of(outcome) {
                        return halt;
                    }
                }
                count(request.entry, outcome, stats);
                progress.next += 1;
                words += request.len();
            }
            if let Some(halt) = self.halt_between(words) {
                return halt;
            }
        }
        Halt::Done
    }

    /// Why the next request has to wait, when so many words were carried out in this turn.
    #[inline]
    fn halt_between(&self, words: usize) -> Option<Halt> {
        if self.session.is_closing {
            Some(Halt::Closing)
        } else if self.output.len() > SEND_BYTES {
            Some(Halt::FullOutput)
        } else {
            (words > TURN_WORDS_MAX).then_some(Halt::Turn)
        }
    }

    /// Runs one request on a worker thread, which gets all it needs for its own.
    async fn run_on_worker(
        &mut self,
        request: &Request,
        batch: Requests<'_, '_>,
    ) -> Result<(), End> {
        let words = OwnedWords::of(batch.words(request));
        let entry = request.entry;
        let shared = Arc::clone(&self.shared);
        let mut session = std::mem::take(&mut self.session);
        let mut output = std::mem::take(&mut self.output);
        let client = Arc::clone(&session.client);
        let job = move || {
            let words = words.all();
            let start = Moment::now();
            let outcome = loop {
                match run_once(entry, &words, &mut session, &shared, &mut output) {
                    Outcome::Busy => std::thread::yield_now(),
                    outcome => break outcome,
                }
            };
            let busy = start.elapsed();
            (session, output, outcome, busy, store::take_lookups())
        };
        match self.shared.workers.run(job).await {
            Ok((session, output, outcome, busy, lookups)) => {
                self.note_lookups(lookups);
                self.session = session;
                self.output = output;
                let stats = self.shared.stats.of(self.thread);
                if let (Outcome::Replied(_), Some(Entry { number, .. })) = (outcome, entry) {
                    let is_spread_kept = self.shared.settings.is_on(Setting::LatencyTracking);
                    stats.times[*number].note(busy, 1, is_spread_kept);
                }
                count(entry, outcome, stats);
                Ok(())
            }
            Err(error) => {
                self.session.client = client;
                Err(End::Failed(error))
            }
        }
    }

    fn resp_limits(&self) -> Limits {
        Limits {
            bulk_bytes_max: self.shared.settings.size(Setting::ProtoMaxBulkLen),
            is_authenticated: self.session.is_authenticated,
            words_max: WORDS_MAX,
            ..Limits::DEFAULT
        }
    }
}

/// Counts a request that was carried out or refused.
#[inline]
fn count(entry: Option<&'static Entry>, outcome: Outcome, stats: &ThreadStats) {
    match (entry, outcome) {
        (Some(entry), Outcome::Replied(false)) => {
            stats.commands.add(1);
            stats.calls[entry.number].add(1);
        }
        _ => count_error(entry, outcome, stats),
    }
}

#[cold]
fn count_error(entry: Option<&'static Entry>, outcome: Outcome, stats: &ThreadStats) {
    let is_error = outcome != Outcome::Replied(false);
    if is_error {
        stats.error_replies.add(1);
    }
    if outcome != Outcome::Rejected {
        stats.commands.add(1);
    }
    let Some(Entry { number, .. }) = entry else {
        return;
    };
    match outcome {
        Outcome::Replied(false) => stats.calls[*number].add(1),
        Outcome::Replied(true) => {
            stats.calls[*number].add(1);
            stats.failed_calls[*number].add(1);
        }
        _ => stats.rejected_calls[*number].add(1),
    }
}

/// Why the batch stops at a request, if it was not carried out.
fn halt_of(outcome: Outcome) -> Option<Halt> {
    match outcome {
        Outcome::Replied(_) | Outcome::Rejected => None,
        Outcome::Busy => Some(Halt::Busy),
        Outcome::Heavy => Some(Halt::Heavy),
        Outcome::Paused => Some(Halt::Paused),
    }
}

fn run_once(
    entry: Option<&'static Entry>,
    words: &[&[u8]],
    session: &mut Session,
    shared: &Shared,
    output: &mut Output,
) -> Outcome {
    let guard = shared.store.pin();
    let db = session.db(&shared.store, &guard, clock::now_ms());
    dispatch::run(entry, words, (session, shared, db), output, Place::Worker)
}

/// Requests that were parsed together.
#[derive(Default)]
struct Batch<'b> {
    words: Vec<&'b [u8]>,
    requests: Vec<Request>,
    /// Where the words stand, if a long one may stay there as a value.
    received: Option<&'b Received>,
}

/// The same, of which only the places of the words in their buffer are known.
struct LooseBatch {
    words: Vec<Range<usize>>,
    requests: Vec<Request>,
}

thread_local! {
    /// The room of the thread's last batch, for the next one.
    static SPARE: Cell<Batch<'static>> = Cell::default();
}

/// The same, to be run.
#[derive(Clone, Copy)]
struct Requests<'r, 'b> {
    words: &'r [&'b [u8]],
    all: &'r [Request],
    received: Option<&'b Received>,
}

struct Request {
    entry: Option<&'static Entry>,
    /// Its words are `words[start..end]` of the batch.
    start: usize,
    end: usize,
}

impl Request {
    /// How many words it has.
    fn len(&self) -> usize {
        self.end - self.start
    }
}

/// An element of a collection that a request names.
struct Wanted<'w> {
    key: &'w [u8],
    element: &'w [u8],
    is_write: bool,
    /// Whether the element before, if there is one, is of another collection.
    is_first: bool,
}

impl<'b> Batch<'b> {
    /// An empty one.
    fn take() -> Batch<'b> {
        SPARE.take()
    }

    fn clear(&mut self) {
        self.words.clear();
        self.requests.clear();
    }

    /// Keeps the room for the next one.
    fn keep(mut self) {
        self.clear();
        if self.words.capacity() <= SPARE_WORDS_MAX {
            SPARE.set(Batch {
                // Nothing is left to be collected, which is done in place: words of other bytes.
                words: self.words.into_iter().map(|_| &[][..]).collect(),
                requests: self.requests,
                received: None,
            });
        }
    }

    /// Whether one of the words fills so much of a buffer of so many bytes that it may become a
    /// value without being copied.
    #[inline]
    fn may_keep(&self, buffer_bytes: usize) -> bool {
        let is_kept = |word: &&[u8]| Received::may_keep(word.len(), buffer_bytes);
        buffer_bytes > READ_BYTES_MIN && self.words.iter().any(is_kept)
    }

    /// Lets go of the buffer, which stands at this address.
    fn loosen(self, buffer: usize) -> LooseBatch {
        let place = |word: &[u8]| match word {
            [] => 0..0,
            word => {
                let start = word.as_ptr().addr() - buffer;
                start..start + word.len()
            }
        };
        LooseBatch {
            words: self.words.iter().map(|word| place(word)).collect(),
            requests: self.requests,
        }
    }

    fn parse(
        &mut self,
        parser: &mut Parser,
        rest: &mut &'b mut [u8],
        limits: &Limits,
        requests_max: usize,
    ) -> Result<(), ProtocolError> {
        while self.requests.len() < requests_max {
            let start = self.words.len();
            let Some(count) = parser.next(rest, limits, &mut self.words)? else {
                break;
            };
            let end = start + count;
            let entry = self.resolve(start, end);
            self.requests.push(Request { entry, start, end });
        }
        Ok(())
    }

    /// The command of the words from `start` to `end`: often the one of the request before.
    fn resolve(&self, start: usize, end: usize) -> Option<&'static Entry> {
        if let Some(before) = self.requests.last()
            && let Some(entry) = before.entry
            && self.words[before.start] == self.words[start]
            && entry.is_named_by_one_word()
        {
            return Some(entry);
        }
        dispatch::resolve(&self.words[start..end])
    }

    fn requests(&self) -> Requests<'_, 'b> {
        Requests {
            words: &self.words,
            all: &self.requests,
            received: self.received,
        }
    }
}

impl LooseBatch {
    /// The batch in its buffer again.
    fn fasten(self, received: &Received) -> Batch<'_> {
        let word = |place: Range<usize>| &received.bytes()[place];
        Batch {
            words: self.words.into_iter().map(word).collect(),
            requests: self.requests,
            received: Some(received),
        }
    }
}

impl<'r, 'b> Requests<'r, 'b> {
    fn words(self, request: &Request) -> &'r [&'b [u8]] {
        &self.words[request.start..request.end]
    }

    /// Whether there is anything to fetch while something else is fetched. A lone request of few
    /// words has one key, or hardly more.
    fn has_several_keys(self) -> bool {
        const WORDS_OF_ONE_KEY: usize = 4;
        self.all.len() > 1 || self.words.len() > WORDS_OF_ONE_KEY
    }

    /// Fetches what the next commands will look at; before which one that has to be done again.
    fn look_ahead<'g>(self, next: usize, db: &Db<'g>, lookout: &mut Lookout<'b, 'g>) -> usize {
        let mut keys: SmallVec<[&[u8]; BATCH_REQUESTS_MAX]> = SmallVec::new();
        lookout.begin(next);
        let mut elements = Elements::default();
        let mut end = next;
        let mut edited_before = None;
        for request in &self.all[next..] {
            let Some(entry) = request.entry else {
                lookout.note(keys.len());
                end += 1;
                continue;
            };
            let (words, before) = (self.words(request), keys.len());
            let edited = entry.edited(words);
            let is_again = edited.is_some() && edited == edited_before;
            edited_before = edited;
            // Edits in a row are often of one collection, which is fetched once.
            if !is_again {
                entry.command.for_each_key(words, |at| {
                    if keys.len() < BATCH_KEYS_MAX {
                        keys.push(words[at]);
                    }
                });
                if end > next && keys.len() > BATCH_KEYS {
                    keys.truncate(before);
                    break;
                }
            }
            lookout.note(before);
            elements.add(entry, words, is_again);
            end += 1;
        }
        lookout.look(db, &keys);
        elements.prefetch(db);
        end
    }
}

/// Elements that requests in a row name.
#[derive(Default)]
struct Elements<'w> {
    wanted: SmallVec<[Wanted<'w>; BATCH_ELEMENTS_MAX]>,
    /// Whether the request before named any.
    are_named_before: bool,
    /// Whether several of one collection are named in a row.
    are_several: bool,
}

impl<'w> Elements<'w> {
    /// Notes those of a request, which edits the collection of the one before if `is_again`.
    #[inline]
    fn add(&mut self, entry: &Entry, words: &'w [&'w [u8]], is_again: bool) {
        let is_again = std::mem::take(&mut self.are_named_before) && is_again;
        if !entry.names_elements || self.wanted.len() >= BATCH_ELEMENTS_MAX {
            return;
        }
        let Some((key, elements)) = entry.command.elements(words) else {
            return;
        };
        self.are_named_before = true;
        let is_write = entry.is(Flag::Write);
        let is_same = |before: &Wanted<'_>| is_again || before.key == key;
        let mut is_first = !self.wanted.last().is_some_and(is_same);
        let room = BATCH_ELEMENTS_MAX - self.wanted.len();
        for element in elements.take(room) {
            self.are_several |= !is_first;
            self.wanted.push(Wanted {
                key,
                element,
                is_write,
                is_first,
            });
            is_first = false;
        }
    }

    /// Fetches those of large collections of which several are asked for in a row.
    fn prefetch(&self, db: &Db<'_>) {
        if !self.are_several {
            return;
        }
        for run in self.wanted.chunk_by(|_, next| !next.is_first) {
            if run.len() > 1 {
                let is_write = run.iter().any(|wanted| wanted.is_write);
                let elements = run.iter().map(|wanted| wanted.element);
                db.prefetch_elements(run[0].key, elements, is_write);
            }
        }
    }
}

/// How far a batch was run.
#[derive(Debug)]
struct Progress {
    /// The next request.
    next: usize,
    /// What the requests before this one look at was fetched.
    fetched: usize,
    /// So many requests are carried out together at most.
    run_max: usize,
}

impl Progress {
    const NONE: Progress = Progress {
        next: 0,
        fetched: 0,
        run_max: BATCH_REQUESTS_MAX,
    };
}
