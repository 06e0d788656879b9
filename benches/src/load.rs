//! The load: many connections, one thread, a batch of requests in flight on each.
//!
//! Every connection sends a batch, awaits its replies, and sends the next: a closed loop. The
//! latency of a batch is from the write to its last reply. What is sent, and when it is answered,
//! is for an [`Exchange`] to say: a [`Batch`], whose replies are known by the number of their line
//! ends, or another.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use fastrand::Rng;
use hdrhistogram::Histogram;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fd::OwnedFd;

use crate::clock::{Moment, thread_cpu};
use crate::request::{Batch, Op, Payload, Reply};

/// Latencies are told apart from here on: a microsecond.
const LATENCY_NS_MIN: u64 = 1_000;
/// Longer ones count as this: a minute.
const LATENCY_NS_MAX: u64 = 60_000_000_000;

/// What is sent, and how.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// The request.
    pub op: Op,
    /// Requests in flight on a connection.
    pub pipeline: usize,
    /// Connections.
    pub connections: usize,
    /// Values and their expiry.
    pub payload: Payload,
}

/// Which keys are asked for.
#[derive(Clone, Copy, Debug)]
pub enum Keys {
    /// Any of so many.
    Random(u32),
    /// Each once, from the first to before the second.
    Each(u32, u32),
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Requests answered.
    pub requests: u64,
    /// How long it took.
    pub elapsed: Duration,
    /// What the load itself took of its core.
    pub load_cpu: Duration,
    /// Nanoseconds per batch.
    pub latency_ns: Histogram<u64>,
}

impl Outcome {
    /// Requests answered per second.
    pub fn per_second(&self) -> f64 {
        self.requests as f64 / self.elapsed.as_secs_f64()
    }

    /// Takes in what came of a further run.
    pub fn add(&mut self, other: &Outcome) {
        self.requests += other.requests;
        self.elapsed += other.elapsed;
        self.load_cpu += other.load_cpu;
        self.latency_ns.add(&other.latency_ns).expect("one range");
    }

    /// The latency that `quantile` of the batches kept below, in milliseconds.
    pub fn latency_ms(&self, quantile: f64) -> f64 {
        self.latency_ns.value_at_quantile(quantile) as f64 / 1e6
    }
}

/// What one connection sends at once, and how it knows that this was answered.
pub trait Exchange {
    /// What goes to the server.
    fn bytes(&self) -> &[u8];

    /// How many requests that is.
    fn requests(&self) -> usize;

    /// Takes some of the replies; whether these were the last.
    ///
    /// # Errors
    /// An error for a reply, or more replies than requests.
    fn receive(&mut self, replies: &[u8]) -> io::Result<bool>;
}

/// Connections ready to be driven.
#[derive(Debug)]
pub struct Load<E = Batch> {
    epoll: OwnedFd,
    connections: Vec<Connection<E>>,
    received: Vec<u8>,
    /// One for all runs: a run that repeated the keys of the one before would find them cached.
    rng: Rng,
}

#[derive(Debug)]
struct Connection<E> {
    stream: TcpStream,
    exchange: E,
    unsent: usize,
    sent_at: Moment,
}

impl Load {
    /// Connects.
    ///
    /// # Errors
    /// What the system says.
    pub fn connect(address: SocketAddr, shape: Shape) -> io::Result<Load> {
        let batch = || Batch::new(shape.op, shape.pipeline, shape.payload);
        Load::connect_each(address, (0..shape.connections).map(|_| batch()))
    }

    /// Sends batches for `duration`, or until the keys are used up, and awaits what is in flight.
    ///
    /// # Errors
    /// A lost connection, or an error for a reply.
    pub fn run(&mut self, mut keys: Keys, duration: Duration) -> io::Result<Outcome> {
        self.run_with(duration, |batch, rng| {
            match &mut keys {
                Keys::Random(count) => batch.rekey(|| rng.u32(..*count)),
                Keys::Each(next, end) if *next >= *end => return false,
                Keys::Each(next, end) => batch.rekey(|| {
                    *next += 1;
                    (*next - 1).min(*end - 1)
                }),
            }
            true
        })
    }
}

impl<E: Exchange> Load<E> {
    /// Connects once for each of `exchanges`.
    ///
    /// # Errors
    /// What the system says.
    pub fn connect_each(
        address: SocketAddr,
        exchanges: impl IntoIterator<Item = E>,
    ) -> io::Result<Load<E>> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let mut connections = Vec::new();
        for (index, exchange) in exchanges.into_iter().enumerate() {
            let stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            epoll::add(
                &epoll,
                &stream,
                EventData::new_u64(index as u64),
                EventFlags::IN,
            )?;
            connections.push(Connection {
                stream,
                exchange,
                unsent: 0,
                sent_at: Moment::now(),
            });
        }
        Ok(Load {
            epoll,
            connections,
            received: vec![0; 1 << 17],
            rng: Rng::with_seed(7),
        })
    }

    /// What the connections exchange.
    pub fn exchanges(&self) -> impl Iterator<Item = &E> {
        self.connections
            .iter()
            .map(|connection| &connection.exchange)
    }

    /// Sends for `duration` what `renew` makes of each connection's exchange, or until it returns
    /// false, and awaits what is in flight. Its source of random numbers is the same in each run.
    ///
    /// # Errors
    /// A lost connection, or what [`Exchange::receive`] says.
    pub fn run_with(
        &mut self,
        duration: Duration,
        mut renew: impl FnMut(&mut E, &mut Rng) -> bool,
    ) -> io::Result<Outcome> {
        let (start, cpu) = (Moment::now(), thread_cpu());
        let mut outcome = Outcome {
            requests: 0,
            elapsed: Duration::ZERO,
            load_cpu: Duration::ZERO,
            latency_ns: Histogram::new_with_bounds(LATENCY_NS_MIN, LATENCY_NS_MAX, 3)
                .expect("the bounds are in order"),
        };
        let mut in_flight = 0;
        for index in 0..self.connections.len() {
            in_flight += usize::from(self.send_next(index, &mut renew)?);
        }
        let mut events = Vec::with_capacity(self.connections.len());
        while in_flight > 0 {
            events.clear();
            epoll::wait(
                &self.epoll,
                rustix::buffer::spare_capacity(&mut events),
                None,
            )?;
            for event in &events {
                let Event { flags, data } = *event;
                let index = data.u64() as usize;
                if flags.contains(EventFlags::OUT) {
                    self.send_rest(index)?;
                }
                if !flags.contains(EventFlags::IN) || !self.receive(index)? {
                    continue;
                }
                let connection = &self.connections[index];
                let now = Moment::now();
                outcome.requests += connection.exchange.requests() as u64;
                let latency = connection.sent_at.until(now).as_nanos() as u64;
                outcome.latency_ns.saturating_record(latency);
                let goes_on = start.until(now) < duration && self.send_next(index, &mut renew)?;
                in_flight -= usize::from(!goes_on);
            }
        }
        outcome.elapsed = start.elapsed();
        outcome.load_cpu = thread_cpu() - cpu;
        Ok(outcome)
    }

    /// False when there is nothing more to be sent.
    fn send_next(
        &mut self,
        index: usize,
        renew: &mut impl FnMut(&mut E, &mut Rng) -> bool,
    ) -> io::Result<bool> {
        let connection = &mut self.connections[index];
        if !renew(&mut connection.exchange, &mut self.rng) {
            return Ok(false);
        }
        connection.unsent = connection.exchange.bytes().len();
        connection.sent_at = Moment::now();
        self.send_rest(index)?;
        Ok(true)
    }

    fn send_rest(&mut self, index: usize) -> io::Result<()> {
        let connection = &mut self.connections[index];
        let before = connection.unsent;
        while connection.unsent > 0 {
            let bytes = connection.exchange.bytes();
            match connection
                .stream
                .write(&bytes[bytes.len() - connection.unsent..])
            {
                Ok(written) => connection.unsent -= written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        let is_first = before == connection.exchange.bytes().len();
        let interest = match (is_first, connection.unsent) {
            (true, 0) => return Ok(()),
            (_, 0) => EventFlags::IN,
            _ => EventFlags::IN | EventFlags::OUT,
        };
        epoll::modify(
            &self.epoll,
            &connection.stream,
            EventData::new_u64(index as u64),
            interest,
        )?;
        Ok(())
    }

    /// Whether the batch is answered.
    fn receive(&mut self, index: usize) -> io::Result<bool> {
        let connection = &mut self.connections[index];
        let read = match connection.stream.read(&mut self.received) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        };
        connection.exchange.receive(&self.received[..read])
    }
}

impl Exchange for Batch {
    fn bytes(&self) -> &[u8] {
        self.bytes()
    }

    fn requests(&self) -> usize {
        self.requests()
    }

    fn receive(&mut self, replies: &[u8]) -> io::Result<bool> {
        if let Reply::Lines(_) = self.reply() {
            refuse_errors(replies)?;
        }
        self.count_replies(replies).ok_or_else(|| {
            let text = String::from_utf8_lossy(&replies[..replies.len().min(200)]);
            io::Error::other(format!("more replies than requests: {text}"))
        })
    }
}

/// A look at how a read begins costs nothing and finds what goes wrong all the time.
fn refuse_errors(replies: &[u8]) -> io::Result<()> {
    let is_error = replies.starts_with(b"-")
        || replies.starts_with(b"$-1")
        || replies.starts_with(b"ERROR")
        || replies.starts_with(b"SERVER_ERROR")
        || replies.starts_with(b"CLIENT_ERROR")
        || replies.starts_with(b"NOT_STORED")
        || replies.starts_with(b"EN\r\n");
    if is_error {
        let text = String::from_utf8_lossy(&replies[..replies.len().min(200)]);
        return Err(io::Error::other(format!("the server answers {text}")));
    }
    Ok(())
}
