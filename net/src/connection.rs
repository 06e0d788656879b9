//! One client: read, parse, prefetch, run, write.
//!
//! All complete requests that a read returned are taken in batches. A batch is parsed into slices
//! of the buffer, its keys' buckets and then their entries are fetched into the cache, and its
//! commands run in order under one epoch guard. Replies gather in one buffer that is written once
//! when nothing complete is left to run, or when it has become large.
//!
//! A guard never lives across an `.await`: whatever has to wait (a full socket, a key held by a
//! transaction, a heavy command's worker, CLIENT PAUSE) stops the batch, which goes on afterwards
//! with the next command under a new guard.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use smallvec::SmallVec;

use crate::clock;
use crate::command::dispatch::{self, Entry, Outcome};
use crate::command::{Keys, Reply};
use crate::config::Setting;
use crate::protocol::resp::{Limits, Parser, ProtocolError};
use crate::runtime::{self, Stream};
use crate::session::Session;
use crate::shared::Shared;

/// The least room for a read, in bytes.
const READ_BYTES_MIN: usize = 16 << 10;
/// The most requests of a batch: what is prefetched beyond would be evicted before its turn.
const BATCH_REQUESTS_MAX: usize = 64;
/// Replies beyond this many bytes are sent before the next command runs.
const OUTPUT_BYTES_MAX: usize = 1 << 20;
/// Buffers that are empty keep at most this much room.
const IDLE_BYTES_MAX: usize = 64 << 10;

/// A connection and what its client has sent and is to be sent.
pub(crate) struct Connection {
    stream: Stream,
    shared: Arc<Shared>,
    /// The number of the thread.
    thread: usize,
    session: Session,
    input: Input,
    output: Vec<u8>,
}

/// Why a connection ends; an orderly end is one, too.
#[derive(Debug)]
pub(crate) enum End {
    /// The client has closed it, or was killed.
    Closed,
    /// QUIT, or bytes that are no request: once what there is to say is said.
    Closing,
    /// What the kernel says.
    Failed(io::Error),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> End {
        End::Failed(error)
    }
}

impl Connection {
    /// A client's connection on the thread of this number.
    pub(crate) fn new(
        stream: Stream,
        shared: Arc<Shared>,
        thread: usize,
        session: Session,
    ) -> Connection {
        Connection {
            stream,
            shared,
            thread,
            session,
            input: Input::default(),
            output: Vec::new(),
        }
    }

    /// Serves a RESP client until it goes.
    pub(crate) async fn serve(mut self) -> End {
        let end = match self.serve_requests().await {
            Ok(never) => match never {},
            Err(end) => end,
        };
        if matches!(end, End::Closing) {
            // The client may be gone already.
            let _ = self.flush().await;
        }
        end
    }

    async fn serve_requests(&mut self) -> Result<std::convert::Infallible, End> {
        let mut parser = Parser::default();
        loop {
            self.run_buffered(&mut parser).await?;
            self.flush().await?;
            self.note_state();
            self.fill(parser.bytes_needed()).await?;
        }
    }

    /// Runs all complete requests in the buffer.
    async fn run_buffered(&mut self, parser: &mut Parser) -> Result<(), End> {
        // Taken out, so that its bytes can be borrowed while the rest of the connection works.
        let mut input = std::mem::take(&mut self.input);
        let waiting = input.end - input.start;
        let mut rest = &mut input.bytes[input.start..input.end];
        let result = loop {
            let limits = self.limits();
            let batch_max = match limits.is_authenticated {
                true => BATCH_REQUESTS_MAX,
                // The limits may change with every request.
                false => 1,
            };
            let mut batch = Batch::default();
            let parsed = batch.parse(parser, &mut rest, &limits, batch_max);
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
        let mut next = 0;
        while next < batch.requests.len() {
            match self.run_until_halt(batch, &mut next) {
                Halt::Done => {}
                Halt::FullOutput => self.flush().await?,
                Halt::Busy => runtime::yield_now().await,
                Halt::Heavy => {
                    self.run_on_worker(&batch.requests[next], batch).await?;
                    next += 1;
                }
                Halt::Closing => return Err(End::Closing),
            }
            if self.session.client.kick.is_kicked() {
                return Err(End::Closed);
            }
        }
        Ok(())
    }

    /// Runs commands from `next` on until one has to wait.
    fn run_until_halt(&mut self, batch: &Batch<'_>, next: &mut usize) -> Halt {
        let shared = &*self.shared;
        let stats = shared.stats.of(self.thread);
        let now_ms = clock::now_ms();
        let guard = shared.store.pin();
        if *next == 0 && batch.requests.len() > 1 {
            batch.prefetch(&shared.store.db(self.session.db_index, &guard, now_ms));
        }
        while let Some(request) = batch.requests.get(*next) {
            let db = shared.store.db(self.session.db_index, &guard, now_ms);
            let outcome = dispatch::run(
                request.entry,
                batch.words(request),
                (&mut self.session, shared, db),
                &mut self.output,
                false,
            );
            match outcome {
                Outcome::Replied => *next += 1,
                Outcome::Busy => return Halt::Busy,
                Outcome::Heavy => return Halt::Heavy,
            }
            stats.commands.add(1);
            if let Some(entry) = request.entry {
                stats.calls[entry.number].add(1);
            }
            if self.session.is_closing {
                return Halt::Closing;
            }
            if self.output.len() > OUTPUT_BYTES_MAX {
                return Halt::FullOutput;
            }
        }
        Halt::Done
    }

    async fn run_on_worker(&mut self, request: &Request, batch: &Batch<'_>) -> Result<(), End> {
        let words: Vec<Vec<u8>> = batch.words(request).iter().map(|w| w.to_vec()).collect();
        let entry = request.entry;
        let shared = Arc::clone(&self.shared);
        let mut session = std::mem::take(&mut self.session);
        let mut output = std::mem::take(&mut self.output);
        let client = Arc::clone(&session.client);
        let job = move || {
            let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
            while run_once(entry, &words, &mut session, &shared, &mut output) == Outcome::Busy {
                std::thread::yield_now();
            }
            (session, output)
        };
        match self.shared.workers.run(job).await {
            Ok((session, output)) => {
                self.session = session;
                self.output = output;
                let stats = self.shared.stats.of(self.thread);
                stats.commands.add(1);
                if let Some(entry) = entry {
                    stats.calls[entry.number].add(1);
                }
                Ok(())
            }
            Err(error) => {
                self.session.client = client;
                Err(End::Failed(error))
            }
        }
    }

    fn limits(&self) -> Limits {
        Limits {
            bulk_bytes_max: self.shared.settings.size(Setting::ProtoMaxBulkLen),
            is_authenticated: self.session.is_authenticated,
            ..Limits::DEFAULT
        }
    }

    /// Sends what there is to send.
    async fn flush(&mut self) -> Result<(), End> {
        let mut sent = 0;
        while sent < self.output.len() {
            match self.stream.write(&self.output[sent..]) {
                Ok(0) => return Err(End::Closed),
                Ok(bytes) => sent += bytes,
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => {
                        self.stream.writable(&self.session.client.kick).await;
                        if self.session.client.kick.is_kicked() {
                            return Err(End::Closed);
                        }
                    }
                    io::ErrorKind::Interrupted => {}
                    _ => return Err(error.into()),
                },
            }
        }
        self.shared
            .stats
            .of(self.thread)
            .output_bytes
            .add(sent as u64);
        self.output.clear();
        if self.output.capacity() > IDLE_BYTES_MAX {
            self.output.shrink_to(IDLE_BYTES_MAX);
        }
        Ok(())
    }

    /// Reads once. `bytes_needed` is what a complete request needs at least: room for it is made
    /// as its bytes arrive, not because a client has announced them.
    async fn fill(&mut self, bytes_needed: usize) -> Result<(), End> {
        let limit = self.shared.settings.size(Setting::ClientQueryBufferLimit);
        if self.input.len() > limit {
            log::warn!("a client's request exceeds client-query-buffer-limit");
            return Err(End::Closed);
        }
        self.input.make_room(bytes_needed);
        loop {
            let kick = &self.session.client.kick;
            match self.stream.read(&mut self.input.bytes[self.input.end..]) {
                Ok(0) => return Err(End::Closed),
                Ok(bytes) => {
                    self.input.end += bytes;
                    let stats = self.shared.stats.of(self.thread);
                    stats.input_bytes.add(bytes as u64);
                    return Ok(());
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => self.stream.readable(kick).await,
                    io::ErrorKind::Interrupted => {}
                    _ => return Err(error.into()),
                },
            }
            if self.session.client.kick.is_kicked() {
                return Err(End::Closed);
            }
        }
    }

    /// Tells the others what CLIENT LIST shows.
    fn note_state(&self) {
        let session = &self.session;
        let client = &session.client;
        let relaxed = Ordering::Relaxed;
        client.last_use_ms.store(clock::now_ms(), relaxed);
        client.db_index.store(session.db_index, relaxed);
        client.query_bytes.store(self.input.len(), relaxed);
        client
            .query_bytes_max
            .store(self.input.bytes.len(), relaxed);
        client
            .output_bytes_max
            .store(self.output.capacity(), relaxed);
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
    let db = shared.store.db(session.db_index, &guard, clock::now_ms());
    dispatch::run(entry, words, (session, shared, db), output, true)
}

/// Why a batch stops.
enum Halt {
    Done,
    FullOutput,
    Busy,
    Heavy,
    Closing,
}

/// Received bytes: `bytes[start..end]` are not yet used.
#[derive(Default)]
struct Input {
    /// All initialised, so that a read needs no unsafe code; never shrinks while in use.
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Input {
    fn len(&self) -> usize {
        self.end - self.start
    }

    /// Makes room behind `end` for a read.
    fn make_room(&mut self, bytes_needed: usize) {
        let len = self.len();
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, len);
        }
        if len == 0 && self.bytes.len() > IDLE_BYTES_MAX {
            self.bytes = Vec::new();
        }
        let missing = bytes_needed.saturating_sub(len);
        let room = missing.clamp(READ_BYTES_MIN, READ_BYTES_MIN.max(len));
        if self.bytes.len() < len + room {
            self.bytes.resize(len + room, 0);
        }
    }
}

/// Requests that were parsed together.
#[derive(Default)]
struct Batch<'b> {
    words: SmallVec<[&'b [u8]; 32]>,
    requests: SmallVec<[Request; 8]>,
}

struct Request {
    entry: Option<&'static Entry>,
    /// Its words are `words[start..end]` of the batch.
    start: usize,
    end: usize,
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
            self.requests.push(Request {
                entry: dispatch::resolve(&self.words[start..end]),
                start,
                end,
            });
        }
        Ok(())
    }

    fn words(&self, request: &Request) -> &[&'b [u8]] {
        &self.words[request.start..request.end]
    }

    /// Fetches what the commands will look at: first all buckets, then, when those have arrived,
    /// all entries.
    fn prefetch(&self, db: &store::Db<'_>) {
        self.for_each_key(|key| db.prefetch_bucket(key));
        self.for_each_key(|key| db.prefetch_entry(key));
    }

    fn for_each_key(&self, mut visit: impl FnMut(&[u8])) {
        for request in &self.requests {
            let words = self.words(request);
            if let Some(entry) = request.entry {
                entry.command.for_each_key(words, |at| visit(words[at]));
            }
        }
    }
}
