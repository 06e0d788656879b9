//! What all connections of a server share.

use store::value::Limits;
use store::{Options, Policy, Store};

use crate::account::Account;
use crate::clients::{Clients, Pause};
use crate::clock::Moment;
use crate::command::{dispatch, memcached};
use crate::config::{Config, Setting, Settings};
use crate::housekeeping::{self, Noted, Rates};
use crate::rests;
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
    /// What changes by the second.
    pub(crate) rates: Rates,
    /// When the store was told what the process takes.
    pub(crate) noted: Noted,
    /// Differs from start to start.
    pub(crate) run_id: String,
    /// The threads for heavy commands.
    pub(crate) workers: Workers,
    /// What was used of memory when the server was started, as [`Account::used`].
    pub(crate) startup_bytes: u64,
    /// When the server was started.
    pub(crate) started: Moment,
    stop_sender: channel::Sender<()>,
}

impl Shared {
    /// A new server's, for `threads` connection threads; `stop_sender` closes when it is to stop.
    pub(crate) fn new(config: &Config, threads: usize, stop_sender: channel::Sender<()>) -> Shared {
        let settings = Settings::new(config);
        settings.apply_log_level();
        rests::start();
        let store = Store::new(&Options {
            databases: settings.size(Setting::Databases),
            ..Options::default()
        });
        let startup_bytes = Account::of(&store).used;
        let shared = Shared {
            store,
            settings,
            clients: Clients::default(),
            pause: Pause::default(),
            memcached: memcached::State::new(threads),
            stats: Stats::new(threads, dispatch::entries().len()),
            rates: Rates::default(),
            noted: Noted::default(),
            run_id: format!("{:032x}{:08x}", fastrand::u128(..), fastrand::u32(..)),
            workers: Workers::start(threads),
            startup_bytes,
            started: Moment::now(),
            stop_sender,
        };
        shared.apply_to_store();
        shared
    }

    /// What happens at the memory limit, in words.
    pub(crate) fn when_full(&self) -> String {
        match self.settings.policy() {
            Policy::NoEviction => "then writes that need more are refused".into(),
            policy => format!("then keys are evicted: {}", policy.name()),
        }
    }

    /// Lets the store have what the parameters say now.
    pub(crate) fn apply_to_store(&self) {
        let (store, settings) = (&self.store, &self.settings);
        store.set_memory_bytes_max(settings.number(Setting::Maxmemory));
        store.set_policy(settings.policy());
        store.set_eviction_samples(settings.size(Setting::MaxmemorySamples));
        let [log_factor, decay_minutes] = [Setting::LfuLogFactor, Setting::LfuDecayTime]
            .map(|setting| settings.number(setting) as u32);
        store.set_use_counting(log_factor, decay_minutes);
        // How much of what the process takes is charged depends on the limit.
        housekeeping::note_process(self);
    }

    /// The sizes at which values change their encoding, as CONFIG has them now.
    pub(crate) fn limits(&self) -> Limits {
        self.settings.limits()
    }

    /// The longest string, in bytes: `proto-max-bulk-len`.
    pub(crate) fn string_bytes_max(&self) -> usize {
        self.settings.size(Setting::ProtoMaxBulkLen)
    }

    /// The longest reply to a command that can name the same value again and again.
    pub(crate) fn reply_bytes_max(&self) -> usize {
        self.settings.size(Setting::ClientQueryBufferLimit)
    }

    /// Asks the server to end.
    pub(crate) fn stop(&self) {
        self.stop_sender.close();
    }
}
