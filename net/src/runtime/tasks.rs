//! The tasks of one thread.
//!
//! They never move to another thread, so that what they hold needs no locks. A task stands in a
//! slot, and its [`Ticket`], which is its waker, knows the slot's number. A thread that wakes a
//! task of its own puts the number at the end of a queue; any other leaves it in the thread's
//! [`Mailbox`] and signals its alarm. A number that comes so late that another task has the slot
//! only makes that one look in vain.
//!
//! A round has two halves. A task that has replies to send holds back until the others that can go
//! on have come as far: executing for many clients and then sending to many keeps the code of each
//! in the cache, which saves up to a sixth of a batch's time. So that the first need not wait for
//! hundreds, no more than [`HELD_BACK_MAX`] hold back.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use slab::Slab;

use super::{Alarm, Local};

/// The number of the thread's main future, which stands in no slot.
pub(super) const MAIN: usize = usize::MAX;
/// The most tasks that hold back at a time.
pub(super) const HELD_BACK_MAX: usize = 32;

/// What a thread has to do.
pub(super) struct Tasks {
    /// None where a task is being polled.
    slots: RefCell<Slab<Option<Task>>>,
    /// The numbers of those that can go on.
    ready: RefCell<VecDeque<usize>>,
    /// The numbers of those that hold back.
    held_back: RefCell<VecDeque<usize>>,
    /// How many of them go on before any other.
    released: Cell<usize>,
    /// The number of the one taken last.
    running: Cell<usize>,
    pub(super) mailbox: Arc<Mailbox>,
}

struct Task {
    future: Pin<Box<dyn Future<Output = ()>>>,
    ticket: Arc<Ticket>,
    /// Of the ticket.
    waker: Waker,
}

/// Where other threads leave the numbers of tasks that can go on.
pub(super) struct Mailbox {
    numbers: Mutex<Vec<usize>>,
    /// Signalled by whoever has left one.
    pub(super) alarm: Alarm,
}

/// What wakes a task.
pub(super) struct Ticket {
    number: usize,
    /// Invariant: set by the one who queues the number, cleared by the task's thread just before
    /// it polls. So the number is queued once, and again if a wake comes during the poll.
    is_queued: AtomicBool,
    mailbox: Arc<Mailbox>,
}

impl Ticket {
    fn queued(number: usize, mailbox: &Arc<Mailbox>) -> Arc<Ticket> {
        Arc::new(Ticket {
            number,
            is_queued: AtomicBool::new(true),
            mailbox: Arc::clone(mailbox),
        })
    }

    /// To be called before the poll: it then sees what was done before any wake so far.
    pub(super) fn begin(&self) {
        // A swap, since a store alone would not see what a waker has done that found it set.
        self.is_queued.swap(false, Ordering::AcqRel);
    }

    /// No wake shall queue the number again.
    fn end(&self) {
        self.is_queued.store(true, Ordering::Relaxed);
    }
}

impl Wake for Ticket {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.is_queued.swap(true, Ordering::AcqRel) {
            return;
        }
        if !Local::queue_here(&self.mailbox, self.number) {
            self.mailbox.leave(self.number);
        }
    }
}

impl Mailbox {
    fn leave(&self, number: usize) {
        self.numbers.lock().expect("no panic inside").push(number);
        self.alarm.signal();
    }
}

impl Tasks {
    /// None but the main future, which can go on.
    pub(super) fn new(alarm: Alarm) -> Tasks {
        Tasks {
            slots: RefCell::default(),
            ready: RefCell::new(VecDeque::from([MAIN])),
            held_back: RefCell::default(),
            released: Cell::new(0),
            running: Cell::new(MAIN),
            mailbox: Arc::new(Mailbox {
                numbers: Mutex::default(),
                alarm,
            }),
        }
    }

    /// What wakes the main future.
    pub(super) fn main_ticket(&self) -> Arc<Ticket> {
        Ticket::queued(MAIN, &self.mailbox)
    }

    /// A new task, which can go on.
    pub(super) fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        let mut slots = self.slots.borrow_mut();
        let slot = slots.vacant_entry();
        let ticket = Ticket::queued(slot.key(), &self.mailbox);
        self.queue(slot.key());
        slot.insert(Some(Task {
            future: Box::pin(future),
            waker: Waker::from(Arc::clone(&ticket)),
            ticket,
        }));
    }

    /// Lets a task go on, at the end of the queue.
    pub(super) fn queue(&self, number: usize) {
        self.ready.borrow_mut().push_back(number);
    }

    /// Queues what other threads have woken.
    pub(super) fn take_mail(&self) {
        let mut numbers = self.mailbox.numbers.lock().expect("no panic inside");
        self.ready.borrow_mut().extend(numbers.drain(..));
    }

    /// Lets the task that is being polled go on once the others have had their turn.
    pub(super) fn hold_back(&self) {
        self.held_back.borrow_mut().push_back(self.running.get());
    }

    /// Lets those that hold back go on, and no others: what was executed is answered.
    pub(super) fn release_all(&self) {
        let held_back = self.held_back.take();
        self.released.set(0);
        held_back.into_iter().for_each(|number| self.run(number));
    }

    /// Takes the number of one that can go on.
    pub(super) fn next_ready(&self) -> Option<usize> {
        let (mut ready, mut held_back) = (self.ready.borrow_mut(), self.held_back.borrow_mut());
        if self.released.get() == 0 && (ready.is_empty() || held_back.len() >= HELD_BACK_MAX) {
            self.released.set(held_back.len());
        }
        let next = match self.released.get() {
            0 => ready.pop_front(),
            released => {
                self.released.set(released - 1);
                held_back.pop_front()
            }
        }?;
        self.running.set(next);
        Some(next)
    }

    /// Whether none can go on.
    pub(super) fn are_waiting(&self) -> bool {
        self.ready.borrow().is_empty() && self.held_back.borrow().is_empty()
    }

    /// Lets the task of this number go on, if there is one.
    pub(super) fn run(&self, number: usize) {
        let task = self
            .slots
            .borrow_mut()
            .get_mut(number)
            .and_then(Option::take);
        let Some(mut task) = task else {
            return;
        };
        task.ticket.begin();
        let polled = task
            .future
            .as_mut()
            .poll(&mut Context::from_waker(&task.waker));
        match polled {
            Poll::Pending => self.slots.borrow_mut()[number] = Some(task),
            Poll::Ready(()) => {
                task.ticket.end();
                self.slots.borrow_mut().remove(number);
            }
        }
    }
}
