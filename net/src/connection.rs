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

use crate::clock;
use crate::config::Setting;
use crate::runtime::{self, Stream};
use crate::server::Protocol;
use crate::session::Session;
use crate::shared::Shared;

mod memcached;
mod resp;

/// The least room for a read, in bytes.
const READ_BYTES_MIN: usize = 16 << 10;
/// The most requests of a batch: what is prefetched beyond would be evicted before its turn.
const BATCH_REQUESTS_MAX: usize = 64;
/// Replies beyond this many bytes are sent before the next command runs.
const OUTPUT_BYTES_MAX: usize = 1 << 20;
/// How often a paused client looks whether it may go on.
const PAUSE_STEP: Duration = Duration::from_millis(5);
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
            let _ = self.flush().await;
        }
        end
    }

    /// Between two reads: sends the replies, tells the others, and reads.
    async fn flush_and_fill(&mut self, bytes_needed: usize) -> Result<(), End> {
        self.flush().await?;
        self.session
            .client
            .query_bytes
            .store(self.input.len(), Ordering::Relaxed);
        self.fill(bytes_needed).await?;
        self.note_state();
        Ok(())
    }

    /// Waits as a halted batch has to, if it can go on with the same request afterwards.
    async fn wait_for(&mut self, halt: Halt) -> Result<(), End> {
        match halt {
            Halt::Done | Halt::Heavy => {}
            Halt::FullOutput => self.flush().await?,
            Halt::Busy => runtime::yield_now().await,
            Halt::Paused => runtime::sleep(PAUSE_STEP).await,
            Halt::Closing => return Err(End::Closing),
        }
        match self.session.client.kick.is_kicked() {
            true => Err(End::Closed),
            false => Ok(()),
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
        let client = &self.session.client;
        let relaxed = Ordering::Relaxed;
        client.last_use_ms.store(clock::now_ms(), relaxed);
        client.query_bytes.store(self.input.len(), relaxed);
        client
            .query_bytes_max
            .store(self.input.bytes.len(), relaxed);
        client
            .output_bytes_max
            .store(self.output.capacity(), relaxed);
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
    /// A transaction holds a key.
    Busy,
    /// CLIENT PAUSE.
    Paused,
    /// The request is for a worker thread.
    Heavy,
    /// The connection is to be closed.
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
