//! Who is connected: what CLIENT LIST shows and CLIENT KILL ends.
//!
//! A connection's task alone changes its [`Session`](crate::session::Session); what others may
//! see of it stands here, in atomics that the task writes once per batch.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::clock;
use crate::runtime::Kick;

/// The part of a client that others see.
#[derive(Debug, Default)]
pub(crate) struct Client {
    /// Rises with every connection; never 0.
    pub(crate) id: u64,
    /// Where it comes from; none for a Unix socket.
    pub(crate) peer: Option<SocketAddr>,
    /// The address it connected to; none for a Unix socket.
    pub(crate) local: Option<SocketAddr>,
    /// The Unix socket's path.
    pub(crate) unix_path: Option<String>,
    /// The socket's file descriptor.
    pub(crate) fd: i32,
    /// When it came, in milliseconds since 1970.
    pub(crate) since_ms: u64,
    /// When it last sent something, in milliseconds since 1970.
    pub(crate) last_use_ms: AtomicU64,
    /// The database it has selected.
    pub(crate) db_index: AtomicUsize,
    /// 2 or 3.
    pub(crate) resp: AtomicU8,
    /// CLIENT NO-EVICT.
    pub(crate) no_evict: AtomicBool,
    /// CLIENT NO-TOUCH.
    pub(crate) no_touch: AtomicBool,
    /// The number of its last command: [`crate::command::dispatch::Entry::number`]; one more, so
    /// that 0 is none.
    pub(crate) last_command: AtomicUsize,
    /// Bytes of requests that wait.
    pub(crate) query_bytes: AtomicUsize,
    /// Room for requests.
    pub(crate) query_bytes_max: AtomicUsize,
    /// Room for replies.
    pub(crate) output_bytes_max: AtomicUsize,
    /// What it calls itself.
    pub(crate) names: Mutex<Names>,
    /// Ends it.
    pub(crate) kick: Kick,
}

/// What a client calls itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    /// CLIENT SETNAME.
    pub(crate) name: String,
    /// CLIENT SETINFO LIB-NAME.
    pub(crate) library: String,
    /// CLIENT SETINFO LIB-VER.
    pub(crate) library_version: String,
}

impl Client {
    /// Sets or removes the name.
    pub(crate) fn set_name(&self, name: String) {
        self.names.lock().expect("no panic inside").name = name;
    }

    /// What it calls itself now.
    pub(crate) fn names(&self) -> Names {
        self.names.lock().expect("no panic inside").clone()
    }
}

/// All clients by id.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    by_id: flurry::HashMap<u64, Arc<Client>>,
    connected: AtomicUsize,
    last_id: AtomicU64,
}

impl Clients {
    /// Takes a client in, unless there are `clients_max` already.
    pub(crate) fn admit(&self, client: Client, clients_max: usize) -> Option<Arc<Client>> {
        if self.connected.fetch_add(1, Ordering::Relaxed) >= clients_max {
            self.connected.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let now_ms = clock::now_ms();
        let client = Arc::new(Client {
            id: self.last_id.fetch_add(1, Ordering::Relaxed) + 1,
            since_ms: now_ms,
            last_use_ms: AtomicU64::new(now_ms),
            resp: AtomicU8::new(2),
            ..client
        });
        self.by_id.pin().insert(client.id, Arc::clone(&client));
        Some(client)
    }

    /// Forgets a client.
    pub(crate) fn dismiss(&self, client: &Client) {
        self.by_id.pin().remove(&client.id);
        self.connected.fetch_sub(1, Ordering::Relaxed);
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.connected.load(Ordering::Relaxed)
    }

    /// All of them, the oldest first.
    pub(crate) fn all(&self) -> Vec<Arc<Client>> {
        let mut all: Vec<_> = self.by_id.pin().values().cloned().collect();
        all.sort_unstable_by_key(|client| client.id);
        all
    }
}

/// CLIENT PAUSE.
#[derive(Debug, Default)]
pub(crate) struct Pause {
    /// In milliseconds since 1970; 0: there is none.
    until_ms: AtomicU64,
    writes_only: AtomicBool,
}

impl Pause {
    /// Pauses until `until_ms`, or longer where a pause already lasts longer; what either stops
    /// is stopped.
    pub(crate) fn begin(&self, until_ms: u64, writes_only: bool, now_ms: u64) {
        let is_on = self.until_ms.load(Ordering::Relaxed) > now_ms;
        let writes_only = writes_only && (!is_on || self.writes_only.load(Ordering::Relaxed));
        self.writes_only.store(writes_only, Ordering::Relaxed);
        match is_on {
            true => self.until_ms.fetch_max(until_ms, Ordering::Relaxed),
            false => self.until_ms.swap(until_ms, Ordering::Relaxed),
        };
    }

    /// Ends a pause.
    pub(crate) fn end(&self) {
        self.until_ms.store(0, Ordering::Relaxed);
    }

    /// Whether a command has to wait.
    pub(crate) fn stops(&self, is_write: bool, now_ms: u64) -> bool {
        let until_ms = self.until_ms.load(Ordering::Relaxed);
        until_ms > now_ms && (is_write || !self.writes_only.load(Ordering::Relaxed))
    }
}
