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
use std::time::Duration;

use store::Lookups;
use store::memory::LongBuffers;

use crate::clock::{self, Moment};
use crate::config::Setting;
use crate::housekeeping;
use crate::listen::Protocol;
use crate::output_limits::Watch;
use crate::protocol::output::Output;
use crate::runtime::{self, Stream};
use crate::session::Session;
use crate::shared::Shared;

mod buffers;
mod lookout;
mod memcached;
mod owned_words;
mod resp;

use buffers::{Input, READ_BYTES_MAX, READ_BYTES_OF_MANY, Spare};

/// The most requests of a batch: what is prefetched beyond would be evicted before its turn.
const BATCH_REQUESTS_MAX: usize = 64;
/// So many keys are fetched into the cache together: more would wait long for their turn.
const BATCH_KEYS: usize = 256;
/// The most words that a connection's requests have until others get their turn: about a
/// millisecond, if each word is an element of a large collection.
const TURN_WORDS_MAX: usize = 1_000;
/// Replies beyond this many bytes are sent before the next command runs.
const SEND_BYTES: usize = 1 << 18;
/// So much is sent at most before the thread's other clients have their turn.
const SEND_BYTES_MAX: usize = 1 << 18;
/// How often a paused client looks whether it may go on.
const PAUSE_STEP: Duration = Duration::from_millis(5);
/// How long a client with long requests waits when memory is overfull until it is looked at again,
/// ...
const FULL_STEP: Duration = Duration::from_millis(1);
/// ... how often, ...
const FULL_STEPS_MAX: u32 = 5;
/// ... how often while there are keys that have to go, ...
const RELIEF_STEPS_MAX: u32 = 100;
/// ... and for how long at a time it lets some of them go itself.
const RELIEF: Duration = Duration::from_micros(300);
/// An empty output buffer keeps at most this much room.
const IDLE_BYTES_MAX: usize = 64 << 10;

/// A connection and what its client has sent and is to be sent.
pub(crate) struct Connection {
    stream: Stream,
    shared: Arc<Shared>,
    /// The number of the thread.
    thread: usize,
    session: Session,
    input: Input,
    /// Whether the last read filled its room, so that there is more to read.
    has_more_input: bool,
    output: Output,
    output_watch: Watch,
    /// What `output` takes beyond what it usually does.
    long_output: LongBuffers,
    /// When the last wait of any kind or the last command ended, since 1970.
    now: Duration,
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
            has_more_input: false,
            output: Output::default(),
            output_watch: Watch::default(),
            long_output: LongBuffers::default(),
            now: clock::since_1970(),
        }
    }

    /// Serves the client until it goes.
    pub(crate) async fn serve(mut self, protocol: Protocol) -> End {
        let served = match protocol {
            Protocol::Resp => resp::serve(&mut self).await,
            Protocol::Memcached => memcached::serve(&mut self).await,
        };
        let end = match served {
            Ok(never) => match never {},
            Err(end) => end,
        };
        if matches!(end, End::Closing) {
            // The client may be gone already.
            let _ = self.send_down_to(0).await;
        }
        end
    }

    /// Between two reads: sends the replies, tells the others, and reads. A client that has sent
    /// more already gets short replies together with the next ones.
    async fn flush_and_fill(&mut self, bytes_needed: usize) -> Result<(), End> {
        if !self.has_more_input || self.output.len() > SEND_BYTES {
            if !self.output.is_empty() {
                runtime::hold_back().await;
            }
            self.send()?;
        }
        self.session
            .client
            .query_bytes
            .store(self.input.len(), Ordering::Relaxed);
        self.fill(bytes_needed).await?;
        self.now = clock::since_1970();
        self.note_state();
        Ok(())
    }

    /// Waits as a halted batch has to, if it can go on with the same request afterwards.
    async fn wait_for(&mut self, halt: Halt) -> Result<(), End> {
        match halt {
            Halt::Done => return self.check_kick(),
            Halt::Heavy => {}
            Halt::FullOutput => self.send_down_to(self.output_bytes_max()).await?,
            Halt::Part => {
                self.send_down_to(self.output_bytes_max()).await?;
                runtime::yield_now().await;
            }
            Halt::Turn | Halt::Busy => runtime::yield_now().await,
            Halt::Paused => self.wait_in_pause().await?,
            Halt::Closing => return Err(End::Closing),
        }
        self.now = clock::since_1970();
        self.check_kick()
    }

    /// Waits a little, with what was executed before answered. Who leaves meanwhile wants nothing
    /// any more.
    async fn wait_in_pause(&mut self) -> Result<(), End> {
        self.send()?;
        runtime::sleep(PAUSE_STEP).await;
        match self.stream.is_at_end() {
            true => Err(End::Closed),
            false => Ok(()),
        }
    }

    fn now_ms(&self) -> u64 {
        self.now.as_millis() as u64
    }

    fn note_lookups(&self, lookups: Lookups) {
        self.shared.stats.of(self.thread).note_lookups(lookups);
    }

    fn check_kick(&self) -> Result<(), End> {
        match self.session.client.kick.is_kicked() {
            true => Err(End::Closed),
            false => Ok(()),
        }
    }

    fn output_bytes_max(&self) -> usize {
        self.shared.settings.size(Setting::OutputBufferLimit)
    }

    /// Sends what the socket takes, at most [`SEND_BYTES_MAX`]: other clients wait meanwhile.
    fn send(&mut self) -> Result<(), End> {
        let mut room = SEND_BYTES_MAX;
        while room > 0 && !self.output.is_empty() {
            let result = match self.output.as_one() {
                Some(all) => self.stream.write(&all[..all.len().min(room)]),
                None => self.stream.write_vectored(&self.output.slices(room)),
            };
            match result {
                Ok(0) => return Err(End::Closed),
                Ok(bytes) => {
                    self.output.advance(bytes);
                    room -= bytes;
                    let stats = self.shared.stats.of(self.thread);
                    stats.writes.add(1);
                    stats.output_bytes.add(bytes as u64);
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => break,
                    io::ErrorKind::Interrupted => {}
                    _ => return Err(error.into()),
                },
            }
        }
        if !self.output.is_empty() {
            self.output.forget_sent();
        } else if self.output.capacity() > IDLE_BYTES_MAX {
            self.output.shrink_to(IDLE_BYTES_MAX);
        }
        let (long, now_ms) = (self.output.memory_bytes(), self.now_ms());
        let long = long.saturating_sub(IDLE_BYTES_MAX);
        let store = &self.shared.store;
        store.charge_buffers(&mut self.long_output, long, now_ms);
        Ok(())
    }

    /// Ends the connection of a client for which too much waits: `client-output-buffer-limit`.
    fn check_output_limit(&mut self) -> Result<(), End> {
        let limit = self.shared.settings.output_limits().normal();
        let waiting = self.output.len() as u64;
        if waiting > 0 && self.output_watch.is_over(limit, waiting, clock::now_ms()) {
            log::warn!("a client does not read what exceeds client-output-buffer-limit");
            return Err(End::Closed);
        }
        Ok(())
    }

    /// Sends until at most `bytes_max` bytes are left to be sent.
    async fn send_down_to(&mut self, bytes_max: usize) -> Result<(), End> {
        loop {
            self.send()?;
            if !self.output.is_empty() {
                self.check_output_limit()?;
            }
            if self.output.len() <= bytes_max {
                return Ok(());
            }
            runtime::yield_now().await;
            self.stream.writable(&self.session.client.kick).await;
            self.check_kick()?;
        }
    }

    /// Reads once. `bytes_needed` is what a complete request needs at least: room for it is made
    /// as its bytes arrive, not because a client has announced them.
    ///
    /// Replies that the socket did not take are no reason not to read: a client may send all its
    /// requests before it reads the first reply. Only beyond `output-buffer-limit` it has to.
    async fn fill(&mut self, bytes_needed: usize) -> Result<(), End> {
        let limit = self.shared.settings.size(Setting::ClientQueryBufferLimit);
        if self.input.len() > limit {
            log::warn!("a client's request exceeds client-query-buffer-limit");
            return Err(End::Closed);
        }
        if self.output.len() > self.output_bytes_max() {
            self.send_down_to(self.output_bytes_max()).await?;
        }
        loop {
            while !self.stream.is_readable() {
                self.wait_to_read().await?;
            }
            self.make_room(bytes_needed).await;
            let room = self.input.room();
            let room_bytes = match room.capacity() - room.len() {
                all if all <= READ_BYTES_MAX => all,
                // It is cleared first.
                _ => READ_BYTES_OF_MANY,
            };
            match self.stream.read(room, room_bytes) {
                // It may have closed its own side alone and wait for the replies.
                Ok(0) if !self.output.is_empty() => return Err(End::Closing),
                Ok(0) => return Err(End::Closed),
                Ok(bytes) => {
                    let stats = self.shared.stats.of(self.thread);
                    stats.reads.add(1);
                    stats.input_bytes.add(bytes as u64);
                    if self.output.capacity() == 0 {
                        *self.output = Spare::output();
                    }
                    if self.input.long_bytes() > 0 {
                        housekeeping::note_read(&self.shared, bytes);
                    }
                    self.has_more_input = bytes == room_bytes;
                    if self.has_more_input {
                        // There may be more for ever: the thread's other clients come first.
                        runtime::yield_now().await;
                    }
                    return Ok(());
                }
                Err(error) => match error.kind() {
                    // It is no longer readable in the first case.
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => {}
                    _ => return Err(error.into()),
                },
            }
        }
    }

    /// Makes room for a read. Where much more is in memory than should be, what is long is read a
    /// little later: until threads that hold up reclamation have run again, and so many small keys
    /// have gone as one large value takes the place of.
    async fn make_room(&mut self, bytes_needed: usize) {
        for step in 0..RELIEF_STEPS_MAX {
            if !self.input.will_grow(bytes_needed) || !self.shared.store.is_overfull() {
                break;
            }
            if !self.relieve() && step >= FULL_STEPS_MAX {
                break;
            }
            runtime::sleep(FULL_STEP).await;
        }
        self.input.make_room(bytes_needed);
        let now_ms = self.now_ms();
        self.input.charge(&self.shared.store, now_ms);
    }

    /// Evicts for a moment; whether there is more to do.
    fn relieve(&self) -> bool {
        let (start, now_ms) = (Moment::now(), self.now_ms());
        while self.shared.store.relieve(now_ms) {
            if start.elapsed() > RELIEF {
                return true;
            }
        }
        false
    }

    /// Waits for the next bytes, sending on meanwhile. Idle clients hold no buffers.
    async fn wait_to_read(&mut self) -> Result<(), End> {
        self.input.release();
        if std::mem::take(&mut self.has_more_input) {
            self.send()?;
        }
        if self.output.is_empty() {
            Spare::keep_output(std::mem::take(&mut *self.output));
        }
        let kick = &self.session.client.kick;
        if !self.output.is_empty() {
            runtime::yield_now().await;
            self.stream.readable_or_writable(kick).await;
            self.send()?;
        } else {
            self.stream.readable(kick).await;
        }
        self.check_kick()
    }

    /// Tells the others what CLIENT LIST shows.
    fn note_state(&self) {
        let client = &self.session.client;
        let relaxed = Ordering::Relaxed;
        client.last_use_ms.store(self.now_ms(), relaxed);
        client.query_bytes.store(self.input.len(), relaxed);
        client.query_bytes_max.store(self.input.capacity(), relaxed);
        client
            .output_bytes_max
            .store(self.output.memory_bytes(), relaxed);
        self.session.publish();
    }
}

/// Why a batch stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Halt {
    /// All its requests were carried out.
    Done,
    /// The replies so far are to be sent first.
    FullOutput,
    /// It has done its share for now: others are next.
    Turn,
    /// Part of a long reply is written: it is to be sent, and others are next.
    Part,
    /// A transaction holds a key.
    Busy,
    /// CLIENT PAUSE.
    Paused,
    /// The request is for a worker thread.
    Heavy,
    /// The connection is to be closed.
    Closing,
}
