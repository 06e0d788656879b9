//! Memcached: batches of requests over database 0.

use std::cell::Cell;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use smallvec::SmallVec;
use store::{Db, Received};

use super::lookout::Lookout;
use super::{BATCH_KEYS, BATCH_REQUESTS_MAX, Connection, End, Halt, SEND_BYTES};
use crate::clients::Client;
use crate::command::memcached::{
    self, Call, ClientFacts, Facts, Outcome, SettingsFacts, Surroundings,
};
use crate::config::Setting;
use crate::process;
use crate::protocol::memcached::login::{self, Login};
use crate::protocol::memcached::{self as protocol, Broken, Limits, Parser, Request};
use crate::shared::Shared;
use crate::users;

/// The database Memcached clients see.
const DB_INDEX: usize = 0;

pub(super) async fn serve(connection: &mut Connection) -> Result<Infallible, End> {
    while connection.input.len() == 0 {
        connection.flush_and_fill(1).await?;
    }
    // The binary protocol has requests for that.
    if !protocol::is_binary(connection.input.unused()) {
        connection.log_in().await?;
    }
    let mut parser = Parser::default();
    loop {
        connection.run_memcached_buffered(&mut parser).await?;
        connection.flush_and_fill(parser.bytes_needed()).await?;
    }
}

impl Connection {
    /// Waits until the client has said who it is, if it must.
    async fn log_in(&mut self) -> Result<(), End> {
        while !self.session.is_authenticated {
            if let Some(bytes_needed) = self.answer_login()? {
                self.flush_and_fill(bytes_needed).await?;
            }
        }
        Ok(())
    }

    /// Answers what the client says first, or returns how many bytes that needs, at least.
    fn answer_login(&mut self) -> Result<Option<usize>, End> {
        let mut rest = self.input.unused();
        let line = match login::next(&mut rest) {
            Login::Incomplete(bytes_needed) => return Ok(Some(bytes_needed)),
            Login::End => return Err(End::Closing),
            Login::Refused(line) => line,
            Login::Credentials { user, password } => {
                let is_right = users::authenticate(&self.shared.settings, user, password);
                self.session.is_authenticated = is_right;
                self.shared.memcached.note_login(self.thread, is_right);
                match is_right {
                    true => login::STORED,
                    false => login::FAILURE,
                }
            }
        };
        let left = rest.len();
        self.input.keep_last(left);
        self.output.extend_from_slice(line.as_bytes());
        self.output.extend_from_slice(b"\r\n");
        Ok(None)
    }

    /// Runs all complete requests in the buffer.
    async fn run_memcached_buffered(&mut self, parser: &mut Parser) -> Result<(), End> {
        let mut input = std::mem::take(&mut self.input);
        let is_long = input.long_bytes() > 0 && input.len() >= parser.bytes_needed();
        let result = if is_long {
            let (received, used) = input.share();
            let mut rest = &received.bytes()[used..];
            let result = self.run_rest(parser, &mut rest, Some(&received)).await;
            let left = rest.len();
            input.take_back(received, left);
            result
        } else {
            let mut rest = input.unused();
            let result = self.run_rest(parser, &mut rest, None).await;
            let left = rest.len();
            input.keep_last(left);
            result
        };
        self.input = input;
        result
    }

    /// Runs all complete requests in what is left of the buffer.
    async fn run_rest<'b>(
        &mut self,
        parser: &mut Parser,
        rest: &mut &'b [u8],
        received: Option<&'b Received>,
    ) -> Result<(), End> {
        let limits = Limits {
            item_bytes_max: self.shared.settings.size(Setting::MaxItemSize),
        };
        let mut requests: Vec<Request<'_>> = SPARE.take();
        let result = loop {
            requests.clear();
            let parsed = parse(parser, rest, &limits, &mut requests);
            if let Err(end) = self.run_requests(&mut requests, limits, received).await {
                break Err(end);
            }
            if parsed.is_err() {
                break Err(End::Closing);
            }
            if requests.is_empty() || rest.is_empty() {
                break Ok(());
            }
        };
        keep(requests);
        result
    }

    async fn run_requests(
        &mut self,
        requests: &mut [Request<'_>],
        limits: Limits,
        received: Option<&Received>,
    ) -> Result<(), End> {
        let mut next = 0;
        while next < requests.len() {
            let halt = self.run_requests_until_halt(requests, &mut next, (limits, received));
            let lookups = store::take_lookups();
            self.note_lookups(lookups);
            self.shared
                .memcached
                .note_expired(self.thread, lookups.expired);
            self.wait_for(halt).await?;
        }
        Ok(())
    }

    fn run_requests_until_halt(
        &mut self,
        requests: &mut [Request<'_>],
        next: &mut usize,
        (limits, received): (Limits, Option<&Received>),
    ) -> Halt {
        let shared = &*self.shared;
        let now_ms = self.now_ms();
        shared.memcached.flush_if_due(&shared.store, now_ms);
        let guard = shared.store.pin();
        let mut lookout = Lookout::default();
        let mut db = shared.store.db(DB_INDEX, &guard, now_ms);
        let mut call = Call {
            store: &shared.store,
            db,
            state: &shared.memcached,
            thread: self.thread,
            limits,
            is_bridged: shared.settings.is_on(Setting::JsonBridge),
            is_fetched: false,
            received,
            reply_bytes_max: SEND_BYTES,
        };
        let mut fetched_until = *next;
        let around = Around {
            shared,
            client: &self.session.client,
            now_ms,
            thread: self.thread,
            is_authenticated: Cell::new(self.session.is_authenticated),
        };
        let commands = &shared.stats.of(self.thread).commands;
        while *next < requests.len() {
            if *next >= fetched_until {
                let fetched = look_ahead(requests, *next, &db, &mut lookout);
                call.is_fetched = fetched > 0;
                fetched_until = *next + fetched.max(1);
            }
            let request = &mut requests[*next];
            if shared.pause.stops(request.is_write(), now_ms) {
                return Halt::Paused;
            }
            // A flush puts another in its place.
            if !db.is_current() {
                db = shared.store.db(DB_INDEX, &guard, now_ms);
            }
            let call = Call {
                db: lookout.db_for(*next, db),
                ..call
            };
            let outcome = memcached::execute(request, &call, &around, &mut self.output);
            self.session.is_authenticated = around.is_authenticated.get();
            match outcome {
                Outcome::Replied => *next += 1,
                Outcome::Partly => return Halt::Part,
                Outcome::Busy => return Halt::Busy,
                Outcome::Closing => return Halt::Closing,
            }
            commands.add(1);
            if self.output.len() > SEND_BYTES {
                return Halt::FullOutput;
            }
        }
        Halt::Done
    }
}

thread_local! {
    /// The room of the thread's last batch, for the next one.
    static SPARE: Cell<Vec<Request<'static>>> = Cell::default();
}

/// Keeps the room of a batch for the next one.
fn keep(mut requests: Vec<Request<'_>>) {
    requests.clear();
    // Nothing is left to be collected, which is done in place: requests in other bytes.
    let room = requests.into_iter().map(|_| Request::NOOP).collect();
    SPARE.set(room);
}

fn parse<'b>(
    parser: &mut Parser,
    rest: &mut &'b [u8],
    limits: &Limits,
    requests: &mut Vec<Request<'b>>,
) -> Result<(), Broken> {
    while requests.len() < BATCH_REQUESTS_MAX
        && let Some(request) = parser.next(rest, limits)?
    {
        requests.push(request);
    }
    Ok(())
}

/// Fetches what the first of several requests will look at into the cache; how many of them. One
/// alone, or one of very many keys, does that for itself.
fn look_ahead<'b, 'g>(
    requests: &[Request<'b>],
    next: usize,
    db: &Db<'g>,
    lookout: &mut Lookout<'b, 'g>,
) -> usize {
    let requests = &requests[next..];
    if requests.len() < 2 {
        return 0;
    }
    lookout.begin(next);
    let mut keys: SmallVec<[&[u8]; BATCH_REQUESTS_MAX]> = SmallVec::new();
    let mut count = 0;
    for request in requests {
        let before = keys.len();
        lookout.note(before);
        // Pushed one by one: a chain of iterators has more to decide for each.
        for key in request.keys().take(BATCH_KEYS + 1 - before) {
            keys.push(key);
        }
        if keys.len() > BATCH_KEYS {
            keys.truncate(before);
            break;
        }
        count += 1;
    }
    lookout.look(db, &keys);
    count
}

/// One end of a client's connection, as memcached writes it.
fn address(end: Option<SocketAddr>, client: &Client) -> String {
    match end {
        Some(addr) if addr.is_ipv6() => format!("tcp6:{addr}"),
        Some(addr) => format!("tcp:{addr}"),
        None => format!("unix:{}", client.unix_path.as_deref().unwrap_or_default()),
    }
}

/// The server around the engine, and who the client is.
struct Around<'s> {
    shared: &'s Shared,
    client: &'s Client,
    now_ms: u64,
    /// The number of the connection thread.
    thread: usize,
    is_authenticated: Cell<bool>,
}

impl Surroundings for Around<'_> {
    fn facts(&self) -> Facts {
        let Shared {
            stats, settings, ..
        } = self.shared;
        let (user_s, system_s) = process::cpu_seconds();
        Facts {
            user_s,
            system_s,
            uptime_s: self.shared.started.elapsed().as_secs(),
            connections_max: settings.number(Setting::Maxclients),
            connections: self.shared.clients.len() as u64,
            connections_total: stats.sum(|thread| &thread.connections),
            connections_rejected: stats.sum(|thread| &thread.rejected_connections),
            input_bytes: stats.sum(|thread| &thread.input_bytes),
            output_bytes: stats.sum(|thread| &thread.output_bytes),
        }
    }

    fn settings(&self) -> SettingsFacts {
        let settings = &self.shared.settings;
        let addresses = match settings.text(Setting::MemcachedBind) {
            own if own.is_empty() => settings.text(Setting::Bind),
            own => own,
        };
        SettingsFacts {
            connections_max: settings.number(Setting::Maxclients),
            port: settings.number(Setting::MemcachedPort) as u16,
            addresses,
            unix_path: settings.text(Setting::MemcachedUnixsocket),
            unix_mode: settings.number(Setting::MemcachedUnixsocketperm),
            has_shutdown: settings.is_on(Setting::MemcachedShutdown),
            wants_passwords: self.wants_passwords(),
            idle_timeout_s: settings.number(Setting::Timeout),
        }
    }

    fn clients(&self) -> Vec<ClientFacts> {
        let facts_of = |client: Arc<Client>| {
            let idle_ms = self
                .now_ms
                .saturating_sub(client.last_use_ms.load(Ordering::Relaxed));
            ClientFacts {
                fd: client.fd,
                address: address(client.peer, &client),
                listener: address(client.local, &client),
                is_asking: client.id == self.client.id,
                is_sending: client.query_bytes.load(Ordering::Relaxed) > 0,
                idle_s: idle_ms / 1000,
            }
        };
        self.shared
            .clients
            .all()
            .into_iter()
            .map(facts_of)
            .collect()
    }

    fn reset_counts(&self) {
        self.shared.stats.reset();
        self.shared.store.reset_counts();
    }

    fn shut_down(&self) -> bool {
        let may = self.shared.settings.is_on(Setting::MemcachedShutdown);
        if may {
            self.shared.stop();
        }
        may
    }

    fn is_authenticated(&self) -> bool {
        self.is_authenticated.get()
    }

    fn wants_passwords(&self) -> bool {
        !users::is_default_open(&self.shared.settings)
    }

    fn authenticate(&self, user: &[u8], password: &[u8]) -> bool {
        let is_right = users::authenticate(&self.shared.settings, user, password);
        self.is_authenticated.set(is_right);
        self.shared.memcached.note_login(self.thread, is_right);
        is_right
    }

    fn set_memory_bytes_max(&self, bytes: u64) {
        let settings = &self.shared.settings;
        // Any number of bytes is valid.
        let _ = settings.set(Setting::Maxmemory, &bytes.to_string());
        self.shared.apply_to_store();
    }
}
