//! RESP: batches of words, dispatched to the command table.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;
use store::Db;

use super::{BATCH_REQUESTS_MAX, Connection, End, Halt, SEND_BYTES, TURN_WORDS_MAX};
use crate::clock::{self, Moment};
use crate::command::Flag;
use crate::command::dispatch::{self, Entry, Outcome, Place};
use crate::config::Setting;
use crate::protocol::resp::{Limits, Parser, ProtocolError};
use crate::session::{Replies, Session};
use crate::shared::Shared;
use crate::stats::ThreadStats;

mod run;

use run::Ran;

/// So many keys are fetched into the cache together: more would wait long for their turn ...
const BATCH_KEYS: usize = 256;
/// ... unless one request has more, up to so many: beyond, they would drive each other out.
const BATCH_KEYS_MAX: usize = 4096;
/// The most elements of large collections that are fetched ahead.
const BATCH_ELEMENTS_MAX: usize = 64;
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
        let waiting = input.len();
        let mut rest = &mut input.bytes[input.start..input.end];
        let result = loop {
            let limits = self.resp_limits();
            let requests_max = match limits.is_authenticated {
                true => BATCH_REQUESTS_MAX,
                // The limits may change with every request.
                false => 1,
            };
            let mut batch = Batch::default();
            let parsed = batch.parse(parser, &mut rest, &limits, requests_max);
            if let Err(end) = self.run_batch(&batch).await {
                break Err(end);
            }
            if let Err(error) = parsed {
                error.write(&mut self.output);
                break Err(End::Closing);
            }
            if batch.requests.is_empty() {
                break Ok(());
            }
        };
        let left = rest.len();
        input.start += waiting - left;
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
        let mut watch = Stopwatch::since(self.now);
        let halt = self.run_watched(batch, progress, &mut watch);
        watch.next(None, self.shared.stats.of(self.thread));
        self.now = watch.now;
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
        let mut words = 0;
        while let Some(request) = batch.all.get(progress.next) {
            if has_several_keys && progress.next >= progress.fetched {
                let db = shared.store.db(self.session.db_index, &guard, now_ms);
                progress.fetched = batch.prefetch(progress.next, &db);
            }
            let db = self.session.db(&shared.store, &guard, now_ms);
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
                    Place::Connection,
                );
                if let Some(halt) = halt_of(outcome) {
                    return halt;
                }
                count(request.entry, outcome, stats);
                progress.next += 1;
                words += request.len();
            }
            if self.session.is_closing {
                return Halt::Closing;
            }
            if self.output.len() - self.sent > SEND_BYTES {
                return Halt::FullOutput;
            }
            if words > TURN_WORDS_MAX {
                return Halt::Turn;
            }
        }
        Halt::Done
    }

    /// Runs one request on a worker thread, which gets all it needs for its own.
    async fn run_on_worker(
        &mut self,
        request: &Request,
        batch: Requests<'_, '_>,
    ) -> Result<(), End> {
        let words: Vec<Vec<u8>> = batch.words(request).iter().map(|w| w.to_vec()).collect();
        let entry = request.entry;
        let shared = Arc::clone(&self.shared);
        let mut session = std::mem::take(&mut self.session);
        let mut output = std::mem::take(&mut self.output);
        let client = Arc::clone(&session.client);
        let job = move || {
            let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
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
                    stats.busy_ns[*number].add(busy.as_nanos() as u64);
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
    output: &mut Vec<u8>,
) -> Outcome {
    let guard = shared.store.pin();
    let db = session.db(&shared.store, &guard, clock::now_ms());
    dispatch::run(entry, words, (session, shared, db), output, Place::Worker)
}

/// Tells how long commands take. The clock is read once for each run of the same command; what
/// came before the first one since the connection last read the time counts as a part of that.
struct Stopwatch {
    /// The command that has run since.
    entry: Option<&'static Entry>,
    now: Duration,
}

impl Stopwatch {
    fn since(now: Duration) -> Stopwatch {
        Stopwatch { entry: None, now }
    }

    /// `entry` is about to run, or nothing more.
    #[inline]
    fn next(&mut self, entry: Option<&'static Entry>, stats: &ThreadStats) {
        if let Some(before) = self.entry
            && entry.is_none_or(|entry| entry.number != before.number)
        {
            self.stop(before, stats);
        }
        self.entry = entry;
    }

    /// The command before is over.
    fn stop(&mut self, before: &Entry, stats: &ThreadStats) {
        let since = std::mem::replace(&mut self.now, clock::since_1970());
        let busy = self.now.saturating_sub(since);
        stats.busy_ns[before.number].add(busy.as_nanos() as u64);
    }
}

/// Requests that were parsed together.
#[derive(Default)]
struct Batch<'b> {
    words: SmallVec<[&'b [u8]; 32]>,
    requests: SmallVec<[Request; 8]>,
}

/// The same, to be run.
#[derive(Clone, Copy)]
struct Requests<'r, 'b> {
    words: &'r [&'b [u8]],
    all: &'r [Request],
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
}

impl<'b> Batch<'b> {
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
    fn prefetch(self, next: usize, db: &Db<'_>) -> usize {
        let mut keys: SmallVec<[&[u8]; BATCH_REQUESTS_MAX]> = SmallVec::new();
        let mut end = next;
        let (mut edited_before, mut holder_before) = (None, None);
        // Whether several elements of one collection are named in a row.
        let mut names_several = false;
        for request in &self.all[next..] {
            let Some(entry) = request.entry else {
                end += 1;
                continue;
            };
            let (words, before) = (self.words(request), keys.len());
            if entry.names_elements
                && !names_several
                && let Some((holder, elements)) = entry.command.elements(words)
            {
                names_several = elements.len() > 1 || holder_before == Some(holder);
                holder_before = Some(holder);
            }
            let edited = entry.edited(words);
            // Edits in a row are often of one collection, which is fetched once.
            if edited.is_some() && edited == edited_before {
                end += 1;
                continue;
            }
            edited_before = edited;
            entry.command.for_each_key(words, |at| {
                if keys.len() < BATCH_KEYS_MAX {
                    keys.push(words[at]);
                }
            });
            if end > next && keys.len() > BATCH_KEYS {
                keys.truncate(before);
                break;
            }
            end += 1;
        }
        db.prefetch(keys.iter().copied());
        if names_several {
            self.prefetch_elements(&self.all[next..end], db);
        }
        end
    }

    /// Fetches elements of large collections, where several of one are asked for in a row.
    fn prefetch_elements(self, requests: &[Request], db: &Db<'_>) {
        let mut wanted: SmallVec<[Wanted<'_>; BATCH_ELEMENTS_MAX]> = SmallVec::new();
        for request in requests {
            let Some(command) = request.entry.map(|entry| entry.command) else {
                continue;
            };
            let Some((key, elements)) = command.elements(self.words(request)) else {
                continue;
            };
            let is_write = command.is(Flag::Write);
            let room = BATCH_ELEMENTS_MAX.saturating_sub(wanted.len());
            wanted.extend(elements.take(room).map(|element| Wanted {
                key,
                element,
                is_write,
            }));
        }
        for run in wanted.chunk_by(|one, next| one.key == next.key) {
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
