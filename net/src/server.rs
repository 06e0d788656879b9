//! A running server: its listeners and threads, from start to stop.
//!
//! Every thread serves its own connections. The first one also accepts: it gives each new
//! connection to the thread that has the fewest.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use store::reclaim;

use crate::clients::Client;
use crate::command::REDIS_VERSION;
use crate::config::{Config, Setting};
use crate::connection::{Connection, End};
use crate::error;
use crate::housekeeping;
use crate::listen::{Listeners, Protocol, UnixSocket, addresses};
use crate::runtime::channel::{self, Receiver, Sender};
use crate::runtime::{self, Idle, Listener, Socket, Stream};
use crate::session::Session;
use crate::shared::Shared;
use crate::users;

/// The kernel takes no more.
const KEEPALIVE_S_MAX: u64 = 32_767;
/// How long nothing is accepted after the kernel could not give a socket.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A running server. Dropping it without [`Server::stop`] leaves it running.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    resp_addrs: Vec<SocketAddr>,
    memcached_addrs: Vec<SocketAddr>,
    unix_paths: Vec<(Protocol, String)>,
}

/// Why a server could not be started: one line.
#[derive(Debug)]
pub struct StartError(String);

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StartError {}

/// Ends a server from another thread.
#[derive(Clone, Debug)]
pub struct Stopper(Arc<Shared>);

impl Stopper {
    /// Asks the server to end.
    pub fn stop(&self) {
        self.0.stop();
    }
}

/// A connection on its way to its thread.
struct Arrival {
    socket: Socket,
    protocol: Protocol,
}

/// A thread as the accepting one sees it.
#[derive(Clone)]
struct Seat {
    inbox: Sender<Arrival>,
    connections: Arc<AtomicUsize>,
}

impl Server {
    /// Binds all listeners and starts all threads.
    ///
    /// # Errors
    /// An address that is in use or not this machine's, and what else the kernel refuses.
    pub fn start(config: Config) -> Result<Server, StartError> {
        let listeners = Listeners::open(&config).map_err(StartError)?;
        let thread_count = match config.number(Setting::Threads) as usize {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            count => count,
        };
        let (stop_sender, stop_receiver) = channel::bounded(1);
        let shared = Arc::new(Shared::new(&config, thread_count, stop_sender));
        let resp_addrs = addresses(&listeners.resp);
        let memcached_addrs = addresses(&listeners.memcached);
        let unix_path = |socket: &UnixSocket| (socket.protocol, socket.path.clone());
        let unix_paths = listeners.unix.iter().map(unix_path).collect();
        let (seats, inboxes): (Vec<Seat>, Vec<_>) = (0..thread_count).map(|_| seat()).unzip();
        let mut doors = Some(Doors {
            listeners,
            seats: seats.clone(),
            stop: stop_receiver,
        });
        let mut threads = Vec::new();
        for (number, inbox) in inboxes.into_iter().enumerate() {
            let place = Place {
                number,
                shared: Arc::clone(&shared),
                connections: Arc::clone(&seats[number].connections),
            };
            let doors = doors.take();
            let thread = std::thread::Builder::new()
                .name(format!("mayfly-net-{number}"))
                .spawn(move || run_thread(&place, inbox, doors))
                .map_err(|error| StartError(format!("cannot start a thread: {error}")))?;
            threads.push(thread);
        }
        Ok(Server {
            shared,
            threads,
            resp_addrs,
            memcached_addrs,
            unix_paths,
        })
    }

    /// Where RESP clients connect.
    ///
    /// # Panics
    /// If the server was started without a port for them.
    pub fn resp_addr(&self) -> SocketAddr {
        self.resp_addrs[0]
    }

    /// Where Memcached clients connect.
    ///
    /// # Panics
    /// If the server was started without a port for them.
    pub fn memcached_addr(&self) -> SocketAddr {
        self.memcached_addrs[0]
    }

    /// What is listening where, a line for every fact.
    pub fn banner(&self) -> Vec<String> {
        let settings = &self.shared.settings;
        let listening = |protocol: Protocol, addrs: &[SocketAddr]| {
            let what = protocol.name();
            let addrs: Vec<_> = addrs.iter().map(SocketAddr::to_string).collect();
            match addrs.is_empty() {
                true => format!("{what}: off"),
                false => format!("{what}: {}", addrs.join(", ")),
            }
        };
        let mut lines = vec![
            format!(
                "mayfly {} (commands of Redis {REDIS_VERSION}), process {}",
                env!("CARGO_PKG_VERSION"),
                std::process::id()
            ),
            listening(Protocol::Resp, &self.resp_addrs),
            listening(Protocol::Memcached, &self.memcached_addrs),
        ];
        for (protocol, path) in &self.unix_paths {
            lines.push(format!("{} on a Unix socket: {path}", protocol.name()));
        }
        let count = |count: usize, what: &str| format!("{what}: {count}");
        lines.push(count(self.threads.len(), "threads"));
        lines.push(count(self.shared.store.databases(), "databases"));
        lines.push(match settings.number(Setting::Maxmemory) {
            0 => "memory limit: none".into(),
            bytes => format!("memory limit: {bytes} bytes, {}", self.shared.when_full()),
        });
        lines.push(match users::is_default_open(settings) {
            false => "password: set".into(),
            true if settings.is_on(Setting::ProtectedMode) => {
                "password: none, so that only this machine's clients are served".into()
            }
            true => "password: none, and anybody is served".into(),
        });
        lines
    }

    /// What ends the server from another thread.
    pub fn stopper(&self) -> Stopper {
        Stopper(Arc::clone(&self.shared))
    }

    /// Waits until the server is asked to end and has ended.
    pub fn wait(self) {
        for thread in self.threads {
            if thread.join().is_err() {
                log::error!("a network thread panicked");
            }
        }
        for (_, path) in self.unix_paths {
            // Somebody else may have removed it.
            let _ = std::fs::remove_file(path);
        }
    }

    /// Closes all connections and ends all threads.
    pub fn stop(self) {
        self.shared.stop();
        self.wait();
    }
}

fn seat() -> (Seat, Receiver<Arrival>) {
    let (inbox, arrivals) = channel::unbounded();
    let seat = Seat {
        inbox,
        connections: Arc::default(),
    };
    (seat, arrivals)
}

/// Where connections arrive, and where they go.
struct Doors {
    listeners: Listeners,
    seats: Vec<Seat>,
    stop: Receiver<()>,
}

/// A thread's own view of the server.
struct Place {
    number: usize,
    shared: Arc<Shared>,
    connections: Arc<AtomicUsize>,
}

fn run_thread(place: &Place, inbox: Receiver<Arrival>, doors: Option<Doors>) {
    let main = async {
        if let Some(doors) = doors {
            doors.open(Arc::clone(&place.shared))?;
        }
        while let Ok(arrival) = inbox.recv().await {
            place.receive(arrival);
        }
        Ok(())
    };
    let idle = Idle {
        is_due: reclaim::has_unflushed,
        work: reclaim::flush_thread,
    };
    if let Err(error) = runtime::run(main, idle).and_then(|result: io::Result<()>| result) {
        log::error!("network thread {} ends: {error}", place.number);
        place.shared.stop();
    }
}

impl Doors {
    /// Accepts from now on, until the server is asked to end: then all threads' inboxes close.
    fn open(self, shared: Arc<Shared>) -> io::Result<()> {
        // The limit holds from the first request on.
        housekeeping::note_process(&shared);
        let tcp = [
            (self.listeners.resp, Protocol::Resp),
            (self.listeners.memcached, Protocol::Memcached),
        ];
        for (listeners, protocol) in tcp {
            for listener in listeners {
                let listener = Listener::tcp(listener)?;
                runtime::spawn_local(accept(listener, protocol, self.seats.clone()));
            }
        }
        for socket in self.listeners.unix {
            let listener = Listener::unix(socket.listener)?;
            runtime::spawn_local(accept(listener, socket.protocol, self.seats.clone()));
        }
        runtime::spawn_local(async move {
            if catch_panics(housekeeping::keep(shared)).await.is_none() {
                log::error!("housekeeping panicked: expired keys stay until they are asked for");
            }
        });
        let (stop, seats) = (self.stop, self.seats);
        runtime::spawn_local(async move {
            // Nothing is ever sent: the channel closes.
            let _ = stop.recv().await;
            for seat in &seats {
                seat.inbox.close();
            }
        });
        Ok(())
    }
}

async fn accept(listener: Listener, protocol: Protocol, seats: Vec<Seat>) {
    loop {
        match listener.accept().await {
            Ok(socket) => {
                let seat = seats
                    .iter()
                    .min_by_key(|seat| seat.connections.load(Ordering::Relaxed))
                    .expect("at least one thread");
                seat.connections.fetch_add(1, Ordering::Relaxed);
                // It fails only when the server is ending.
                let _ = seat.inbox.try_send(Arrival { socket, protocol });
            }
            Err(error) => {
                log::warn!("cannot accept a connection: {error}");
                runtime::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

impl Place {
    fn receive(&self, arrival: Arrival) {
        let shared = Arc::clone(&self.shared);
        let connections = Arc::clone(&self.connections);
        let number = self.number;
        runtime::spawn_local(async move {
            let served = catch_panics(welcome(arrival, shared, number)).await;
            if served.is_none() {
                log::error!("a command panicked; its connection is closed");
            }
            connections.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

/// What `future` returns, or none if it panicked: one client's accident is no other's.
async fn catch_panics<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|context| {
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context)));
        match polled {
            Ok(polled) => polled.map(Some),
            Err(_) => Poll::Ready(None),
        }
    })
    .await
}

/// Serves a connection from its first to its last byte.
async fn welcome(arrival: Arrival, shared: Arc<Shared>, thread: usize) {
    let Arrival { socket, protocol } = arrival;
    let settings = &shared.settings;
    let client = describe(&socket);
    let is_open = users::is_default_open(settings);
    let is_remote = client
        .peer
        .is_some_and(|peer| !peer.ip().to_canonical().is_loopback());
    let keepalive_s = settings.number(Setting::TcpKeepalive);
    let stream = match tune(&socket, keepalive_s).and_then(|()| Stream::new(socket)) {
        Ok(stream) => stream,
        Err(error) => return log::debug!("a connection is gone already: {error}"),
    };
    let stats = shared.stats.of(thread);
    if is_remote && is_open && settings.is_on(Setting::ProtectedMode) {
        stats.rejected_connections.add(1);
        // Told once, if the socket takes it.
        let _ = stream.write(match protocol {
            Protocol::Resp => error::PROTECTED.as_bytes(),
            Protocol::Memcached => error::MEMCACHED_PROTECTED.as_bytes(),
        });
        return;
    }
    let clients_max = settings.size(Setting::Maxclients);
    let Some(client) = shared.clients.admit(client, clients_max) else {
        stats.rejected_connections.add(1);
        let _ = stream.write(match protocol {
            Protocol::Resp => error::TOO_MANY_CLIENTS.as_bytes(),
            Protocol::Memcached => error::MEMCACHED_TOO_MANY_CLIENTS.as_bytes(),
        });
        return;
    };
    stats.connections.add(1);
    let _dismissal = Dismissal(Arc::clone(&shared), Arc::clone(&client));
    let is_let_in =
        is_open || protocol == Protocol::Memcached && settings.is_on(Setting::MemcachedNoauth);
    let session = Session::new(client, is_let_in);
    let connection = Connection::new(stream, Arc::clone(&shared), thread, session);
    if let End::Failed(error) = connection.serve(protocol).await {
        log::debug!("a connection failed: {error}");
    }
}

fn describe(socket: &Socket) -> Client {
    match socket {
        Socket::Tcp(stream) => Client {
            peer: stream.peer_addr().ok(),
            local: stream.local_addr().ok(),
            fd: stream.as_raw_fd(),
            ..Client::default()
        },
        Socket::Unix(stream) => Client {
            unix_path: stream
                .local_addr()
                .ok()
                .and_then(|addr| Some(addr.as_pathname()?.to_string_lossy().into_owned())),
            fd: stream.as_raw_fd(),
            ..Client::default()
        },
    }
}

fn tune(socket: &Socket, keepalive_s: u64) -> io::Result<()> {
    let Socket::Tcp(stream) = socket else {
        return Ok(());
    };
    stream.set_nodelay(true)?;
    let keepalive_s = keepalive_s.min(KEEPALIVE_S_MAX);
    if keepalive_s > 0 {
        // As Redis: asks three times within as long again.
        let keepalive = TcpKeepalive::new()
            .with_time(Duration::from_secs(keepalive_s))
            .with_interval(Duration::from_secs((keepalive_s / 3).max(1)))
            .with_retries(3);
        SockRef::from(stream).set_tcp_keepalive(&keepalive)?;
    }
    Ok(())
}

/// Takes a client off the list however its connection ends.
struct Dismissal(Arc<Shared>, Arc<Client>);

impl Drop for Dismissal {
    fn drop(&mut self) {
        self.0.clients.dismiss(&self.1);
    }
}
