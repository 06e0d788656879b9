//! What all connections of a server share.

use std::sync::atomic::{AtomicBool, Ordering};

use store::value::Limits;
use store::{Options, Store};

use crate::clients::{Clients, Pause};
use crate::clock::Moment;
use crate::command::{dispatch, memcached};
use crate::config::{Config, Setting, Settings};
use crate::runtime::channel;
use crate::stats::Stats;
use crate::worker::Workers;

/// One server's store, settings and statistics.
#[derive(Debug)]
pub(crate) struct Shared {
    /// The data.
    pub(crate) store: Store,
    /// The parameters.
    pub(crate) settings: Settings,
    /// Who is connected.
    pub(crate) clients: Clients,
    /// CLIENT PAUSE.
    pub(crate) pause: Pause,
    /// What Memcached clients share.
    pub(crate) memcached: memcached::State,
    /// What INFO counts.
    pub(crate) stats: Stats,
    /// The threads for heavy commands.
    pub(crate) workers: Workers,
    /// When the server was started.
    pub(crate) started: Moment,
    is_stopping: AtomicBool,
    stop_sender: channel::Sender<()>,
}

impl Shared {
    /// A new server's, for `threads` connection threads; `stop_sender` closes when it is to stop.
    pub(crate) fn new(config: &Config, threads: usize, stop_sender: channel::Sender<()>) -> Shared {
        let settings = Settings::new(config);
        settings.apply_log_level();
        let store = Store::new(&Options {
            databases: settings.size(Setting::Databases),
            memory_bytes_max: settings.number(Setting::Maxmemory),
        });
        Shared {
            store,
            settings,
            clients: Clients::default(),
            pause: Pause::default(),
            memcached: memcached::State::new(threads),
            stats: Stats::new(threads, dispatch::entries().len()),
            workers: Workers::start(threads),
            started: Moment::now(),
            is_stopping: AtomicBool::new(false),
            stop_sender,
        }
    }

    /// The sizes at which values change their encoding, as CONFIG has them now.
    pub(crate) fn limits(&self) -> Limits {
        self.settings.limits()
    }

    /// The longest string, in bytes: `proto-max-bulk-len`.
    pub(crate) fn string_bytes_max(&self) -> usize {
        self.settings.size(Setting::ProtoMaxBulkLen)
    }

    /// Asks the server to end.
    pub(crate) fn stop(&self) {
        self.is_stopping.store(true, Ordering::Relaxed);
        self.stop_sender.close();
    }

    /// Whether the server is ending.
    pub(crate) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Relaxed)
    }
}
