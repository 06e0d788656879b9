//! Threads for commands that take their time: the connection threads go on meanwhile.
//!
//! They run at a low priority, so that a heavy command takes what plain ones leave, and rest now
//! and then, since a priority alone does not give a core back ([`crate::rests`]).

use std::fmt;
use std::io;

use crate::runtime::Competing;
use crate::runtime::channel::{self, Receiver, Sender};

/// A tenth of a connection thread's share of a core that both want: Linux gives each thread its
/// own priority. At the lowest, a seventieth, a command of 0.1 s takes tens of seconds beside
/// other processes that are busy, and holds back all that time what others wait to free.
const NICE: i32 = 10;
/// The most jobs that wait; further connections wait to hand theirs over.
const JOBS_MAX: usize = 1024;

type Job = Box<dyn FnOnce() + Send>;

/// Hands jobs to the worker threads, which end with it.
pub(crate) struct Workers {
    jobs: Sender<Job>,
    threads: usize,
}

impl Workers {
    /// Starts `threads` of them.
    pub(crate) fn start(threads: usize) -> Workers {
        let (jobs, inbox) = channel::bounded(JOBS_MAX);
        for number in 0..threads {
            let inbox = inbox.clone();
            std::thread::Builder::new()
                .name(format!("mayfly-work-{number}"))
                .spawn(move || work(&inbox))
                .expect("a thread to work on");
        }
        Workers { jobs, threads }
    }

    /// How many there are.
    pub(crate) fn threads(&self) -> usize {
        self.threads
    }

    /// Runs `job` on a worker thread.
    ///
    /// # Errors
    /// If the job panicked or the server is ending.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        let (sender, receiver) = channel::bounded(1);
        let job = move || {
            // Nobody waits any more where the connection has ended.
            let _ = sender.try_send(job());
        };
        let gone = |_| io::Error::other("the worker is gone");
        self.jobs.send(Box::new(job)).await.map_err(|_| gone(()))?;
        receiver.recv().await.map_err(|_| gone(()))
    }
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Workers({} waiting)", self.jobs.len())
    }
}

fn work(inbox: &Receiver<Job>) {
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        log::warn!("heavy commands run at normal priority: {error}");
    }
    store::pace::begin();
    while let Ok(job) = inbox.recv_blocking() {
        let _competing = Competing::begin();
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job));
        if outcome.is_err() {
            log::error!("a heavy command panicked; its connection is closed");
        }
        store::reclaim::flush_thread();
    }
}
