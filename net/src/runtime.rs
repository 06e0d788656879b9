//! The asynchronous runtime: the only file that names one.
//!
//! async-std gives the timers, the channels between threads and what waits outside of connection
//! threads. Those, one per core, have [`tasks`] of their own, which never move, so that a
//! connection's task needs no locks. The executor beneath async-std could run them, too, but is
//! made for tasks that move: its queues and locks cost some 1,000 instructions more per round.
//!
//! Nor is async-std's reactor used for connections: it arms each socket anew for every wait, which
//! costs 3.6 system calls per unpipelined request where two are needed. Instead every thread has a
//! [`mio::Poll`] of its own in which a socket is registered once, edge-triggered, when its
//! connection begins:
//!
//! - readiness is remembered per socket until a call says `WouldBlock`, or reads less than it had
//!   room for: the next byte to arrive raises a new edge, so the socket counts as drained;
//! - once the peer has closed its side no edge follows, so such a socket stays ready to read.
//!
//! The thread's loop runs its tasks until none can go on, then sleeps in the poll. A wake from
//! another thread interrupts that sleep, and only that: see [`Alarm`].
//! (mio and not polling: registering with the latter is unsafe, and this crate forbids that.)

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{Future, poll_fn};
use std::io::{self, Write};
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use mio::event::{Event, Source};
use mio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use mio::{Events, Interest, Registry, Token};
use rustix::buffer::spare_capacity;
use rustix::net::RecvFlags;
use slab::Slab;

pub(crate) use async_std::channel;

mod tasks;
#[cfg(test)]
mod tests;
mod wakeups;

use tasks::{MAIN, Mailbox, Tasks};
pub(crate) use wakeups::Competing;
use wakeups::Wakeups;

/// The token of a thread's own waker; sockets' tokens are indexes of its slab.
const ALARM: Token = Token(usize::MAX);
const EVENTS_MAX: usize = 256;
/// So many tasks go on until events are asked for again.
const ROUND_TASKS_MAX: usize = 200;

thread_local! {
    static LOCAL: RefCell<Option<Rc<Local>>> = const { RefCell::new(None) };
}

/// What a runtime thread has of its own.
struct Local {
    tasks: Tasks,
    registry: Registry,
    sources: RefCell<Slab<Rc<Readiness>>>,
    /// Tasks that go on once the poll was asked for events again.
    next_round: RefCell<Vec<Waker>>,
}

impl Local {
    fn current() -> Rc<Local> {
        LOCAL.with_borrow(|local| Rc::clone(local.as_ref().expect("a runtime thread")))
    }

    /// Queues a task of the calling thread; whether the mailbox is that thread's.
    fn queue_here(mailbox: &Arc<Mailbox>, number: usize) -> bool {
        let queued = LOCAL.try_with(|local| {
            let local = local.borrow();
            let local = local
                .as_ref()
                .filter(|local| Arc::ptr_eq(&local.tasks.mailbox, mailbox));
            local.map(|local| local.tasks.queue(number)).is_some()
        });
        queued.unwrap_or(false)
    }

    fn register(&self, source: &mut (impl Source + ?Sized)) -> io::Result<(Token, Rc<Readiness>)> {
        let readiness = Rc::new(Readiness {
            // A new socket takes bytes; its first read is left to the first event.
            is_writable: Cell::new(true),
            ..Readiness::default()
        });
        let token = Token(self.sources.borrow_mut().insert(Rc::clone(&readiness)));
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self.registry.register(source, token, interest) {
            self.sources.borrow_mut().remove(token.0);
            return Err(error);
        }
        Ok((token, readiness))
    }

    fn deregister(&self, source: &mut (impl Source + ?Sized), token: Token) {
        // The socket is about to be closed, which takes it out of the poll in any case.
        let _ = self.registry.deregister(source);
        self.sources.borrow_mut().remove(token.0);
    }

    fn deliver(&self, event: &Event) {
        if let Some(readiness) = self.sources.borrow().get(event.token().0) {
            readiness.deliver(event);
        }
    }
}

/// What is known of a socket. A stale event for a token that was given to another socket only
/// makes that one try once in vain.
#[derive(Default)]
struct Readiness {
    is_readable: Cell<bool>,
    is_read_closed: Cell<bool>,
    is_writable: Cell<bool>,
    /// Whether a task waits; it is the one of `task`.
    is_awaited: Cell<bool>,
    /// Kept, since the next to wait is the same one.
    task: RefCell<Option<Waker>>,
}

impl Readiness {
    fn deliver(&self, event: &Event) {
        let is_over = event.is_error() || event.is_read_closed();
        if is_over {
            self.is_read_closed.set(true);
        }
        if event.is_readable() || is_over {
            self.is_readable.set(true);
        }
        if event.is_writable() || event.is_error() || event.is_write_closed() {
            self.is_writable.set(true);
        }
        if self.is_awaited.replace(false)
            && let Some(task) = &*self.task.borrow()
        {
            task.wake_by_ref();
        }
    }

    fn after_read(&self, result: &io::Result<usize>, room: usize) {
        let is_drained = match result {
            Ok(bytes) => *bytes < room && !self.is_read_closed.get(),
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        };
        if is_drained {
            self.is_readable.set(false);
        }
    }

    async fn wait(&self, is_ready: impl Fn(&Readiness) -> bool, kick: &Kick) {
        poll_fn(|context| {
            if is_ready(self) || kick.is_kicked() {
                return Poll::Ready(());
            }
            kick.listen(context);
            self.is_awaited.set(true);
            let mut task = self.task.borrow_mut();
            if !task
                .as_ref()
                .is_some_and(|task| task.will_wake(context.waker()))
            {
                *task = Some(context.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }
}

/// Lets any thread end what a connection's task waits for.
#[derive(Default)]
pub(crate) struct Kick {
    is_kicked: AtomicBool,
    /// All wakers of a task are equal, so that the first one serves for good.
    task: OnceLock<Waker>,
}

impl Kick {
    /// Ends all waits of the task, now and later.
    pub(crate) fn kick(&self) {
        // SeqCst here and in `is_kicked` after `listen`: one of the two sees the other.
        self.is_kicked.store(true, Ordering::SeqCst);
        if let Some(task) = self.task.get() {
            task.wake_by_ref();
        }
    }

    /// Whether [`Kick::kick`] was called.
    pub(crate) fn is_kicked(&self) -> bool {
        self.is_kicked.load(Ordering::SeqCst)
    }

    fn listen(&self, context: &Context<'_>) {
        if self.task.get().is_none() {
            let _ = self.task.set(context.waker().clone());
            if self.is_kicked() {
                context.waker().wake_by_ref();
            }
        }
    }
}

impl fmt::Debug for Kick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kick({})", self.is_kicked())
    }
}

/// An accepted socket, not yet at home on any thread.
#[derive(Debug)]
pub(crate) enum Socket {
    /// From a TCP listener.
    Tcp(TcpStream),
    /// From a Unix listener.
    Unix(UnixStream),
}

impl Socket {
    fn source(&mut self) -> &mut dyn Source {
        match self {
            Socket::Tcp(stream) => stream,
            Socket::Unix(stream) => stream,
        }
    }
}

/// A connected socket of this thread.
pub(crate) struct Stream {
    socket: Socket,
    token: Token,
    readiness: Rc<Readiness>,
    local: Weak<Local>,
}

impl Stream {
    /// Makes this thread the socket's home.
    ///
    /// # Errors
    /// What the kernel says.
    ///
    /// # Panics
    /// Outside of [`run`].
    pub(crate) fn new(mut socket: Socket) -> io::Result<Stream> {
        let local = Local::current();
        let (token, readiness) = local.register(socket.source())?;
        Ok(Stream {
            socket,
            token,
            readiness,
            local: Rc::downgrade(&local),
        })
    }

    /// Reads what is there into so much of the spare room behind what `bytes` holds, of which there
    /// must be some; how much that was.
    ///
    /// # Errors
    /// `WouldBlock` if nothing is: await [`Stream::readable`].
    pub(crate) fn read(&self, bytes: &mut Vec<u8>, room_bytes: usize) -> io::Result<usize> {
        if !self.readiness.is_readable.get() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let len = bytes.len();
        let result = if room_bytes == bytes.capacity() - len {
            self.read_into(spare_capacity(bytes))
        } else {
            bytes.resize(len + room_bytes, 0);
            let result = self.read_into(&mut bytes[len..]);
            bytes.truncate(len + *result.as_ref().unwrap_or(&0));
            result
        };
        self.readiness.after_read(&result, room_bytes);
        result
    }

    /// Whether the other side has closed, and nothing that it sent before is left to be read.
    pub(crate) fn is_at_end(&self) -> bool {
        let mut byte = [0];
        let peeked = match &self.socket {
            Socket::Tcp(stream) => rustix::net::recv(stream, &mut byte, RecvFlags::PEEK),
            Socket::Unix(stream) => rustix::net::recv(stream, &mut byte, RecvFlags::PEEK),
        };
        matches!(peeked, Ok((_, 0)))
    }

    fn read_into(
        &self,
        room: impl rustix::buffer::Buffer<u8, Output = usize>,
    ) -> io::Result<usize> {
        let result = match &self.socket {
            Socket::Tcp(stream) => rustix::io::read(stream, room),
            Socket::Unix(stream) => rustix::io::read(stream, room),
        };
        result.map_err(io::Error::from)
    }

    /// Writes what the socket takes.
    ///
    /// # Errors
    /// `WouldBlock` if it takes nothing: await [`Stream::writable`].
    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.write_if_writable(|| match &self.socket {
            Socket::Tcp(stream) => (&*stream).write(bytes),
            Socket::Unix(stream) => (&*stream).write(bytes),
        })
    }

    /// As [`Stream::write`], of pieces one after the other.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn write_vectored(&self, pieces: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.write_if_writable(|| match &self.socket {
            Socket::Tcp(stream) => (&*stream).write_vectored(pieces),
            Socket::Unix(stream) => (&*stream).write_vectored(pieces),
        })
    }

    fn write_if_writable(&self, write: impl FnOnce() -> io::Result<usize>) -> io::Result<usize> {
        if !self.readiness.is_writable.get() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let result = write();
        if let Err(error) = &result
            && error.kind() == io::ErrorKind::WouldBlock
        {
            self.readiness.is_writable.set(false);
        }
        result
    }

    /// Whether [`Stream::read`] is worth a try.
    pub(crate) fn is_readable(&self) -> bool {
        self.readiness.is_readable.get()
    }

    /// Waits until there is something to read, the peer is gone, or `kick` comes.
    pub(crate) async fn readable(&self, kick: &Kick) {
        self.readiness.wait(|r| r.is_readable.get(), kick).await;
    }

    /// Waits until the socket takes bytes again, or `kick` comes.
    pub(crate) async fn writable(&self, kick: &Kick) {
        self.readiness.wait(|r| r.is_writable.get(), kick).await;
    }

    /// Waits for either.
    pub(crate) async fn readable_or_writable(&self, kick: &Kick) {
        let is_ready = |r: &Readiness| r.is_readable.get() || r.is_writable.get();
        self.readiness.wait(is_ready, kick).await;
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Some(local) = self.local.upgrade() {
            local.deregister(self.socket.source(), self.token);
        }
    }
}

/// Where connections arrive.
pub(crate) struct Listener {
    socket: ListenerSocket,
    token: Token,
    readiness: Rc<Readiness>,
    local: Weak<Local>,
}

enum ListenerSocket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl ListenerSocket {
    fn source(&mut self) -> &mut dyn Source {
        match self {
            ListenerSocket::Tcp(listener) => listener,
            ListenerSocket::Unix(listener) => listener,
        }
    }
}

impl Listener {
    /// Listens to TCP on this thread.
    ///
    /// # Errors
    /// What the kernel says.
    ///
    /// # Panics
    /// Outside of [`run`].
    pub(crate) fn tcp(listener: std::net::TcpListener) -> io::Result<Listener> {
        listener.set_nonblocking(true)?;
        Listener::new(ListenerSocket::Tcp(TcpListener::from_std(listener)))
    }

    /// As [`Listener::tcp`], for a Unix socket.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn unix(listener: std::os::unix::net::UnixListener) -> io::Result<Listener> {
        listener.set_nonblocking(true)?;
        Listener::new(ListenerSocket::Unix(UnixListener::from_std(listener)))
    }

    fn new(mut socket: ListenerSocket) -> io::Result<Listener> {
        let local = Local::current();
        let (token, readiness) = local.register(socket.source())?;
        Ok(Listener {
            socket,
            token,
            readiness,
            local: Rc::downgrade(&local),
        })
    }

    /// The next connection.
    ///
    /// # Errors
    /// What the kernel says: out of file descriptors, for one.
    pub(crate) async fn accept(&self) -> io::Result<Socket> {
        let never = Kick::default();
        loop {
            self.readiness
                .wait(|readiness| readiness.is_readable.get(), &never)
                .await;
            let result = match &self.socket {
                ListenerSocket::Tcp(listener) => {
                    listener.accept().map(|(stream, _)| Socket::Tcp(stream))
                }
                ListenerSocket::Unix(listener) => {
                    listener.accept().map(|(stream, _)| Socket::Unix(stream))
                }
            };
            match result {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.readiness.is_readable.set(false);
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                result => return result,
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(local) = self.local.upgrade() {
            local.deregister(self.socket.source(), self.token);
        }
    }
}

/// Wakes a thread out of its poll.
///
/// Invariant: the thread sleeps in the poll only from `ASLEEP`, and whoever takes the state away
/// from `ASLEEP` ends that sleep; a signal at any other time costs no system call. The thread
/// looks into its mailbox whenever it finds `NOTIFIED`, which is set after the mailbox was filled.
struct Alarm {
    state: AtomicU8,
    waker: mio::Waker,
}

const AWAKE: u8 = 0;
const NOTIFIED: u8 = 1;
const ASLEEP: u8 = 2;

impl Alarm {
    /// Whether anybody has signalled since this was last called.
    fn wake_up(&self) -> bool {
        self.state.swap(AWAKE, Ordering::SeqCst) == NOTIFIED
    }

    /// Whether the thread may sleep: nobody has signalled since `wake_up`.
    fn may_sleep(&self) -> bool {
        self.state
            .compare_exchange(AWAKE, ASLEEP, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
    }

    /// Lets the thread look into its mailbox.
    fn signal(&self) {
        if self.state.swap(NOTIFIED, Ordering::SeqCst) == ASLEEP {
            // It fails only when the poll is closed, which ends the thread anyway.
            let _ = self.waker.wake();
        }
    }
}

/// What a thread does when nothing has happened for a moment.
#[derive(Clone, Copy)]
pub(crate) struct Idle {
    /// Whether there is something to do.
    pub(crate) is_due: fn() -> bool,
    /// Does it.
    pub(crate) work: fn(),
}

/// How long nothing happens before a thread is idle.
const IDLE_AFTER: Duration = Duration::from_millis(20);

/// Makes this thread a runtime thread and runs `main` on it together with all it spawns; what is
/// still running when `main` is done is dropped, but what holds back goes on once more before.
///
/// # Errors
/// What the kernel says about the poll.
pub(crate) fn run<T>(main: impl Future<Output = T>, idle: Idle) -> io::Result<T> {
    let poll = mio::Poll::new()?;
    let alarm = Alarm {
        state: AtomicU8::new(AWAKE),
        waker: mio::Waker::new(poll.registry(), ALARM)?,
    };
    let local = Rc::new(Local {
        tasks: Tasks::new(alarm),
        registry: poll.registry().try_clone()?,
        sources: RefCell::default(),
        next_round: RefCell::default(),
    });
    LOCAL.set(Some(Rc::clone(&local)));
    let result = drive(&local, poll, main, idle);
    // Only after this may the last reference go: tasks that are dropped with it find their
    // thread's `Local` gone instead of half destroyed.
    LOCAL.take();
    result
}

fn drive<T>(
    local: &Local,
    mut poll: mio::Poll,
    main: impl Future<Output = T>,
    idle: Idle,
) -> io::Result<T> {
    let Local { tasks, .. } = local;
    let alarm = &tasks.mailbox.alarm;
    let mut main = pin!(main);
    let ticket = tasks.main_ticket();
    let waker = Waker::from(Arc::clone(&ticket));
    let mut events = Events::with_capacity(EVENTS_MAX);
    let mut wakeups = Wakeups::new();
    loop {
        for _ in 0..ROUND_TASKS_MAX {
            match tasks.next_ready() {
                None => break,
                Some(MAIN) => {
                    ticket.begin();
                    let polled = main.as_mut().poll(&mut Context::from_waker(&waker));
                    if let Poll::Ready(output) = polled {
                        tasks.release_all();
                        return Ok(output);
                    }
                }
                Some(number) => tasks.run(number),
            }
        }
        let has_more = !tasks.are_waiting() || !local.next_round.borrow().is_empty();
        let timeout = match !has_more && alarm.may_sleep() {
            true if (idle.is_due)() => Some(IDLE_AFTER),
            true => None,
            false => Some(Duration::ZERO),
        };
        let waited = match timeout {
            Some(Duration::ZERO) => None,
            _ => wakeups.before_sleep(),
        };
        let polled = poll.poll(&mut events, timeout);
        wakeups.after_sleep(waited);
        // What is delivered wakes tasks of this very thread, for which no signal is needed.
        if alarm.wake_up() {
            tasks.take_mail();
        }
        if timeout == Some(IDLE_AFTER) && events.is_empty() {
            (idle.work)();
        }
        match polled {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => events.iter().for_each(|event| local.deliver(event)),
        }
        let next_round = local.next_round.take();
        next_round.into_iter().for_each(Waker::wake);
    }
}

/// Runs `task` on this thread beside the others, until the thread's `main` is done.
///
/// # Panics
/// Outside of [`run`].
pub(crate) fn spawn_local(task: impl Future<Output = ()> + 'static) {
    Local::current().tasks.spawn(task);
}

/// Waits.
pub(crate) async fn sleep(time: Duration) {
    async_std::task::sleep(time).await;
}

/// Lets all go first that can go on now, those whose sockets have become ready included: a task
/// that always has more to do does one step per round of events.
pub(crate) async fn yield_now() {
    let mut has_waited = false;
    poll_fn(|context| {
        if has_waited {
            return Poll::Ready(());
        }
        has_waited = true;
        let local = Local::current();
        local.next_round.borrow_mut().push(context.waker().clone());
        Poll::Pending
    })
    .await;
}

/// Lets the others carry out what they have before this task sends what came of it: see [`tasks`].
pub(crate) async fn hold_back() {
    let mut has_waited = false;
    poll_fn(|_| {
        let tasks = &Local::current().tasks;
        if has_waited || tasks.are_waiting() {
            return Poll::Ready(());
        }
        has_waited = true;
        tasks.hold_back();
        Poll::Pending
    })
    .await;
}
