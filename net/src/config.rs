//! The server's parameters: one table of name, meaning, default and bounds. Flags, environment,
//! flagfile, CONFIG GET and CONFIG SET are derived from it.

pub(crate) mod given;
mod values;

use std::sync::RwLock;
use std::sync::atomic::{AtomicU64, Ordering};

use store::Policy;
use store::value::Limits;

use crate::output_limits::OutputLimits;
pub use values::Invalid;
pub(crate) use values::{Kind, parse_bytes, parse_percentiles};
use values::{PERCENT, Value};

/// One parameter. The value is its place in [`PARAMETERS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Setting {
    Port,
    Bind,
    Unixsocket,
    Unixsocketperm,
    MemcachedPort,
    MemcachedBind,
    MemcachedUnixsocket,
    MemcachedUnixsocketperm,
    MemcachedNoauth,
    MemcachedShutdown,
    Threads,
    Databases,
    Maxclients,
    Requirepass,
    ProtectedMode,
    Maxmemory,
    Timeout,
    TcpKeepalive,
    ProtoMaxBulkLen,
    ClientQueryBufferLimit,
    OutputBufferLimit,
    ClientOutputBufferLimit,
    MaxmemoryClients,
    MaxItemSize,
    JsonBridge,
    Loglevel,
    Logtostderr,
    MaxmemoryPolicy,
    CacheMode,
    MaxmemorySamples,
    LfuLogFactor,
    LfuDecayTime,
    Save,
    Appendonly,
    HashMaxListpackEntries,
    HashMaxListpackValue,
    SetMaxIntsetEntries,
    SetMaxListpackEntries,
    SetMaxListpackValue,
    ListMaxListpackSize,
    ZsetMaxListpackEntries,
    ZsetMaxListpackValue,
    LatencyTracking,
    LatencyTrackingInfoPercentiles,
}

/// The facts about a parameter.
#[derive(Debug)]
pub(crate) struct Parameter {
    /// Its place.
    pub(crate) setting: Setting,
    /// The flag; with dashes it is the flag's alias.
    pub(crate) flag: &'static str,
    /// What CONFIG calls it.
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) default: &'static str,
    /// Whether CONFIG SET may change it while the server runs.
    pub(crate) is_mutable: bool,
    /// One line for `--help`.
    pub(crate) doc: &'static str,
}

const fn fixed(
    setting: Setting,
    (flag, name): (&'static str, &'static str),
    kind: Kind,
    default: &'static str,
    doc: &'static str,
) -> Parameter {
    Parameter {
        setting,
        flag,
        name,
        kind,
        default,
        is_mutable: false,
        doc,
    }
}

const fn mutable(
    setting: Setting,
    names: (&'static str, &'static str),
    kind: Kind,
    default: &'static str,
    doc: &'static str,
) -> Parameter {
    Parameter {
        is_mutable: true,
        ..fixed(setting, names, kind, default, doc)
    }
}

const fn number(min: u64, max: u64) -> Kind {
    Kind::Number { min, max }
}

const fn bytes(min: u64, max: u64) -> Kind {
    Kind::Bytes { min, max }
}

const PORT: Kind = number(0, 65_535);
const ANY_COUNT: Kind = number(0, i64::MAX as u64);
const ANY_BYTES: Kind = bytes(0, i64::MAX as u64);

/// All parameters, in the order of [`Setting`].
pub(crate) const PARAMETERS: &[Parameter] = &[
    fixed(
        Setting::Port,
        ("port", "port"),
        PORT,
        "6379",
        "The TCP port for RESP clients; 0: none",
    ),
    fixed(
        Setting::Bind,
        ("bind", "bind"),
        Kind::Text,
        "* -::*",
        "The addresses to listen on, separated by blanks or commas; one behind a '-' may be \
         unavailable",
    ),
    fixed(
        Setting::Unixsocket,
        ("unixsocket", "unixsocket"),
        Kind::Text,
        "",
        "The path of a Unix socket for RESP clients",
    ),
    fixed(
        Setting::Unixsocketperm,
        ("unixsocketperm", "unixsocketperm"),
        Kind::Mode,
        "0",
        "Its permissions, in octal; 0: as the process gives them to files",
    ),
    fixed(
        Setting::MemcachedPort,
        ("memcached_port", "memcached-port"),
        PORT,
        "0",
        "The TCP port for Memcached clients; 0: none",
    ),
    fixed(
        Setting::MemcachedBind,
        ("memcached_bind", "memcached-bind"),
        Kind::Text,
        "",
        "The addresses to listen on for Memcached clients, separated by blanks or commas, each \
         with a port of its own if one likes (127.0.0.1,[::1]:11212); those of --bind if empty",
    ),
    fixed(
        Setting::MemcachedUnixsocket,
        ("memcached_unixsocket", "memcached-unixsocket"),
        Kind::Text,
        "",
        "The path of a Unix socket for Memcached clients",
    ),
    fixed(
        Setting::MemcachedUnixsocketperm,
        ("memcached_unixsocketperm", "memcached-unixsocketperm"),
        Kind::Mode,
        "700",
        "Its permissions, in octal; 0: as the process gives them to files",
    ),
    fixed(
        Setting::MemcachedNoauth,
        ("memcached_noauth", "memcached-noauth"),
        Kind::Switch,
        "no",
        "Whether Memcached clients need no password although one is set",
    ),
    fixed(
        Setting::MemcachedShutdown,
        ("memcached_shutdown", "memcached-shutdown"),
        Kind::Switch,
        "no",
        "Whether Memcached clients may end the server by the command shutdown",
    ),
    fixed(
        Setting::Threads,
        ("threads", "io-threads"),
        number(0, 128),
        "0",
        "The number of threads that serve clients; 0: one per core",
    ),
    fixed(
        Setting::Databases,
        ("dbnum", "databases"),
        number(1, 1024),
        "16",
        "The number of databases",
    ),
    mutable(
        Setting::Maxclients,
        ("maxclients", "maxclients"),
        number(1, u32::MAX as u64),
        "10000",
        "The most clients at a time",
    ),
    mutable(
        Setting::Requirepass,
        ("requirepass", "requirepass"),
        Kind::Text,
        "",
        "The password clients must give; none if empty",
    ),
    mutable(
        Setting::ProtectedMode,
        ("protected_mode", "protected-mode"),
        Kind::Switch,
        "yes",
        "Whether a server without a password refuses remote clients",
    ),
    mutable(
        Setting::Maxmemory,
        ("maxmemory", "maxmemory"),
        Kind::Memory,
        "80%",
        "The most memory, with a unit (100mb, 2gb) or in percent of what there is; 0: no limit",
    ),
    mutable(
        Setting::Timeout,
        ("timeout", "timeout"),
        number(0, i32::MAX as u64),
        "0",
        "Seconds after which a silent client is disconnected; 0: never",
    ),
    mutable(
        Setting::TcpKeepalive,
        ("tcp_keepalive", "tcp-keepalive"),
        number(0, i32::MAX as u64),
        "300",
        "Seconds of silence after which TCP asks whether a client is still there; 0: never",
    ),
    mutable(
        Setting::ProtoMaxBulkLen,
        ("proto_max_bulk_len", "proto-max-bulk-len"),
        bytes(1 << 20, i64::MAX as u64),
        "512mb",
        "The longest argument and the longest string",
    ),
    mutable(
        Setting::ClientQueryBufferLimit,
        ("client_query_buffer_limit", "client-query-buffer-limit"),
        bytes(1 << 20, i64::MAX as u64),
        "1gb",
        "The most bytes kept of an incomplete request, and produced by a reply that repeats values",
    ),
    mutable(
        Setting::OutputBufferLimit,
        ("output_buffer_limit", "output-buffer-limit"),
        bytes(1 << 16, 1 << 40),
        "64mb",
        "The most bytes of replies that are kept for a client that does not read while it sends",
    ),
    mutable(
        Setting::ClientOutputBufferLimit,
        ("client_output_buffer_limit", "client-output-buffer-limit"),
        Kind::OutputLimits,
        OutputLimits::DEFAULT,
        "Classes of clients with the replies that may wait for them: so many bytes, or more than \
         so many for so many seconds; who has more is disconnected",
    ),
    mutable(
        Setting::MaxmemoryClients,
        ("maxmemory_clients", "maxmemory-clients"),
        Kind::Share,
        "0",
        "The most memory for the buffers of all clients, in bytes or percent of maxmemory: beyond \
         it those with the largest are disconnected; 0: no limit",
    ),
    fixed(
        Setting::MaxItemSize,
        ("max_item_size", "max-item-size"),
        Kind::ItemBytes {
            min: 1 << 10,
            max: 1 << 30,
        },
        "1m",
        "The largest item of the Memcached protocol, with memcached's units (512k, 2m)",
    ),
    mutable(
        Setting::JsonBridge,
        ("json_bridge", "json-bridge"),
        Kind::Choice(&["off", "on"]),
        "on",
        "Whether Memcached clients read documents as text and JSON commands read text as documents",
    ),
    mutable(
        Setting::Loglevel,
        ("loglevel", "loglevel"),
        Kind::Choice(&["debug", "verbose", "notice", "warning", "nothing"]),
        "notice",
        "What is logged: debug, verbose, notice, warning or nothing",
    ),
    fixed(
        Setting::Logtostderr,
        ("logtostderr", "logtostderr"),
        Kind::Switch,
        "yes",
        "Accepted; the log goes to the standard error stream in any case",
    ),
    mutable(
        Setting::MaxmemoryPolicy,
        ("maxmemory_policy", "maxmemory-policy"),
        Kind::Choice(&Policy::NAMES),
        "noeviction",
        "What goes when memory is full: noeviction, allkeys-lru, allkeys-lfu, allkeys-random, \
         volatile-lru, volatile-lfu, volatile-random, volatile-ttl or cache_mode; with a port or \
         a socket for Memcached and no policy named it is cache_mode",
    ),
    fixed(
        Setting::CacheMode,
        ("cache_mode", "cache-mode"),
        Kind::Switch,
        "no",
        "The same as --maxmemory_policy=cache_mode: keeps what is worth most to a cache",
    ),
    mutable(
        Setting::MaxmemorySamples,
        ("maxmemory_samples", "maxmemory-samples"),
        number(1, 64),
        "10",
        "How many keys are looked at for each that is evicted",
    ),
    mutable(
        Setting::LfuLogFactor,
        ("lfu_log_factor", "lfu-log-factor"),
        number(0, i32::MAX as u64),
        "10",
        "How much harder each step of an LFU policy's counter of uses is than the one before",
    ),
    mutable(
        Setting::LfuDecayTime,
        ("lfu_decay_time", "lfu-decay-time"),
        number(0, i32::MAX as u64),
        "1",
        "Minutes after which an LFU policy's counter of uses falls by one; 0: never",
    ),
    mutable(
        Setting::Save,
        ("save", "save"),
        Kind::NoSnapshots,
        "",
        "When to write to disk: never, so far; clients ask for it",
    ),
    mutable(
        Setting::Appendonly,
        ("appendonly", "appendonly"),
        Kind::NoLog,
        "no",
        "Whether to log writes to disk: no, so far; clients ask for it",
    ),
    mutable(
        Setting::HashMaxListpackEntries,
        ("hash_max_listpack_entries", "hash-max-listpack-entries"),
        ANY_COUNT,
        "512",
        "The most fields of a hash that is called a listpack",
    ),
    mutable(
        Setting::HashMaxListpackValue,
        ("hash_max_listpack_value", "hash-max-listpack-value"),
        ANY_BYTES,
        "64",
        "The longest field or value of a hash that is called a listpack",
    ),
    mutable(
        Setting::SetMaxIntsetEntries,
        ("set_max_intset_entries", "set-max-intset-entries"),
        ANY_COUNT,
        "512",
        "The most members of a set that is called an intset",
    ),
    mutable(
        Setting::SetMaxListpackEntries,
        ("set_max_listpack_entries", "set-max-listpack-entries"),
        ANY_COUNT,
        "128",
        "The most members of a set that is called a listpack",
    ),
    mutable(
        Setting::SetMaxListpackValue,
        ("set_max_listpack_value", "set-max-listpack-value"),
        ANY_COUNT,
        "64",
        "The longest member of a set that is called a listpack",
    ),
    mutable(
        Setting::ListMaxListpackSize,
        ("list_max_listpack_size", "list-max-listpack-size"),
        Kind::Signed {
            min: i32::MIN as i64,
            max: i32::MAX as i64,
        },
        "-2",
        "The most elements of a piece of a list, or a class of its size; there are no lists so far",
    ),
    mutable(
        Setting::ZsetMaxListpackEntries,
        ("zset_max_listpack_entries", "zset-max-listpack-entries"),
        ANY_COUNT,
        "128",
        "The most members of a sorted set that is called a listpack; there are none so far",
    ),
    mutable(
        Setting::ZsetMaxListpackValue,
        ("zset_max_listpack_value", "zset-max-listpack-value"),
        ANY_BYTES,
        "64",
        "The longest member of a sorted set that is called a listpack; there are none so far",
    ),
    mutable(
        Setting::LatencyTracking,
        ("latency_tracking", "latency-tracking"),
        Kind::Switch,
        "yes",
        "Whether to count how the times that commands take are distributed",
    ),
    mutable(
        Setting::LatencyTrackingInfoPercentiles,
        (
            "latency_tracking_info_percentiles",
            "latency-tracking-info-percentiles",
        ),
        Kind::Percentiles,
        "50 99 99.9",
        "The percentiles of these times that INFO latencystats shows",
    ),
];

/// Older names that CONFIG knows beside those of [`PARAMETERS`].
const OLDER_NAMES: &[(&str, Setting)] = &[
    ("hash-max-ziplist-entries", Setting::HashMaxListpackEntries),
    ("hash-max-ziplist-value", Setting::HashMaxListpackValue),
    ("list-max-ziplist-size", Setting::ListMaxListpackSize),
    ("zset-max-ziplist-entries", Setting::ZsetMaxListpackEntries),
    ("zset-max-ziplist-value", Setting::ZsetMaxListpackValue),
];

/// All names that CONFIG knows, each with what it means.
pub(crate) fn names() -> impl Iterator<Item = (&'static str, Setting)> {
    let names = PARAMETERS.iter();
    let names = names.map(|parameter| (parameter.name, parameter.setting));
    names.chain(OLDER_NAMES.iter().copied())
}

impl Setting {
    /// The facts.
    pub(crate) fn parameter(self) -> &'static Parameter {
        &PARAMETERS[self as usize]
    }
}

/// The parameter CONFIG knows by `name`, in any case.
pub(crate) fn find(name: &[u8]) -> Option<&'static Parameter> {
    names()
        .find(|(known, _)| known.as_bytes().eq_ignore_ascii_case(name))
        .map(|(_, setting)| setting.parameter())
}

impl Parameter {
    /// Whether the parameter can have this value.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn check(&self, text: &str) -> Result<(), Invalid> {
        self.parse(text).map(|_| ())
    }

    fn parse(&self, text: &str) -> Result<Value, Invalid> {
        self.kind.parse(text)
    }
}

/// What a server is started with: `Config::default()`, [`Config::on_free_ports`] or what the
/// command line says, each changed by [`Config::with`].
#[derive(Clone, Debug)]
pub struct Config {
    values: Vec<Value>,
    /// Whether port 0 stands for any free port.
    takes_free_ports: bool,
    /// Whether it was said what goes when memory is full.
    names_policy: bool,
}

impl Default for Config {
    fn default() -> Config {
        let values = PARAMETERS
            .iter()
            .map(|parameter| parameter.parse(parameter.default))
            .collect::<Result<_, _>>()
            .expect("defaults are valid");
        Config {
            values,
            takes_free_ports: false,
            names_policy: false,
        }
    }
}

impl Config {
    /// For tests: both protocols on free ports of the loopback interface.
    pub fn on_free_ports() -> Config {
        let mut config = Config {
            takes_free_ports: true,
            ..Config::default()
        };
        let texts = [
            (Setting::Bind, "127.0.0.1"),
            (Setting::Port, "0"),
            (Setting::Maxmemory, "0"),
        ];
        for (setting, text) in texts {
            config.put(setting, text).expect("a valid value");
        }
        config
    }

    /// Sets a parameter by its flag's name or by CONFIG's.
    ///
    /// # Errors
    /// An unknown name or an invalid value.
    pub fn with(mut self, name: &str, text: &str) -> Result<Config, Invalid> {
        let parameter = PARAMETERS
            .iter()
            .find(|parameter| parameter.flag == name || parameter.name == name)
            .ok_or_else(|| Invalid(format!("no parameter '{name}'")))?;
        // What other programs' flags call it; CONFIG SET takes Redis's two words alone.
        let text = match (parameter.kind, text.to_ascii_lowercase().as_str()) {
            (Kind::Switch, "true" | "on" | "1") => "yes",
            (Kind::Switch, "false" | "off" | "0") => "no",
            _ => text,
        };
        self.put(parameter.setting, text)?;
        Ok(self)
    }

    fn put(&mut self, setting: Setting, text: &str) -> Result<(), Invalid> {
        self.values[setting as usize] = setting.parameter().parse(text)?;
        match setting {
            Setting::MaxmemoryPolicy => self.names_policy = true,
            Setting::CacheMode => return self.put_cache_mode(),
            _ => {}
        }
        Ok(())
    }

    /// Lets the policy follow its short name. Switched off, that is no word on any other policy.
    fn put_cache_mode(&mut self) -> Result<(), Invalid> {
        let policy = match self.number(Setting::CacheMode) != 0 {
            true => Policy::CacheMode,
            false if self.names_policy && self.policy() != Policy::CacheMode => return Ok(()),
            false => Policy::NoEviction,
        };
        self.put(Setting::MaxmemoryPolicy, policy.name())
    }

    /// What goes when memory is full. A Memcached never refuses an item for being full, so where
    /// there is a port or a socket for its clients that is the default.
    pub(crate) fn policy(&self) -> Policy {
        let serves_memcached = self.number(Setting::MemcachedPort) != 0
            || !self.text(Setting::MemcachedUnixsocket).is_empty();
        match serves_memcached && !self.names_policy {
            true => Policy::CacheMode,
            false => Policy::ALL[self.number(Setting::MaxmemoryPolicy) as usize],
        }
    }

    pub(crate) fn number(&self, setting: Setting) -> u64 {
        self.values[setting as usize].number
    }

    pub(crate) fn text(&self, setting: Setting) -> &str {
        &self.values[setting as usize].text
    }

    /// The port to listen on, if any; 0 is a free one.
    pub(crate) fn port(&self, setting: Setting) -> Option<u16> {
        let port = self.number(setting) as u16;
        (port != 0 || self.takes_free_ports).then_some(port)
    }
}

/// The parameters of a running server.
#[derive(Debug)]
pub(crate) struct Settings {
    numbers: Vec<AtomicU64>,
    texts: RwLock<Vec<String>>,
    output_limits: RwLock<OutputLimits>,
}

impl Settings {
    /// As the server is started.
    pub(crate) fn new(config: &Config) -> Settings {
        let settings = Settings {
            numbers: config
                .values
                .iter()
                .map(|value| AtomicU64::new(value.number))
                .collect(),
            texts: RwLock::new(config.values.iter().map(|v| v.text.clone()).collect()),
            output_limits: RwLock::default(),
        };
        let limits = config.text(Setting::ClientOutputBufferLimit);
        settings
            .set(Setting::ClientOutputBufferLimit, limits)
            .expect("valid limits");
        let policy = config.policy().name();
        settings
            .set(Setting::MaxmemoryPolicy, policy)
            .expect("a policy's name");
        settings
    }

    /// What goes when memory is full.
    pub(crate) fn policy(&self) -> Policy {
        Policy::ALL[self.size(Setting::MaxmemoryPolicy)]
    }

    /// A number, a number of bytes, or the place of a choice.
    pub(crate) fn number(&self, setting: Setting) -> u64 {
        self.numbers[setting as usize].load(Ordering::Relaxed)
    }

    /// A number of bytes or elements as a size.
    pub(crate) fn size(&self, setting: Setting) -> usize {
        usize::try_from(self.number(setting)).unwrap_or(usize::MAX)
    }

    /// Whether a switch is on.
    pub(crate) fn is_on(&self, setting: Setting) -> bool {
        self.number(setting) != 0
    }

    /// The value as CONFIG GET shows it.
    pub(crate) fn text(&self, setting: Setting) -> String {
        self.texts.read().expect("no panic inside")[setting as usize].clone()
    }

    /// Changes a parameter while the server runs.
    ///
    /// # Errors
    /// An invalid value.
    pub(crate) fn set(&self, setting: Setting, text: &str) -> Result<(), Invalid> {
        let mut value = setting.parameter().parse(text)?;
        if setting == Setting::ClientOutputBufferLimit {
            // Classes that are not named stay as they are.
            let limits = OutputLimits::parse(text, &self.text(setting))?;
            *self.output_limits.write().expect("no panic inside") = limits;
            value.text = limits.to_string();
        }
        self.numbers[setting as usize].store(value.number, Ordering::Relaxed);
        self.texts.write().expect("no panic inside")[setting as usize] = value.text;
        if setting == Setting::Loglevel {
            self.apply_log_level();
        }
        Ok(())
    }

    /// Lets the log have what `loglevel` says: one level for all servers of a process.
    pub(crate) fn apply_log_level(&self) {
        log::set_max_level(match self.text(Setting::Loglevel).as_str() {
            "debug" | "verbose" => log::LevelFilter::Debug,
            "notice" => log::LevelFilter::Info,
            "warning" => log::LevelFilter::Warn,
            _ => log::LevelFilter::Off,
        });
    }

    /// What may wait to be sent to each class of clients.
    pub(crate) fn output_limits(&self) -> OutputLimits {
        *self.output_limits.read().expect("no panic inside")
    }

    /// The most memory for the buffers of all clients, in bytes; 0: no limit.
    pub(crate) fn client_bytes_max(&self) -> u64 {
        match self.number(Setting::MaxmemoryClients) {
            share if share >= PERCENT => self.number(Setting::Maxmemory) / 100 * (share - PERCENT),
            bytes => bytes,
        }
    }

    /// The sizes at which values change their encoding.
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            hash_entries_max: self.size(Setting::HashMaxListpackEntries),
            hash_element_bytes_max: self.size(Setting::HashMaxListpackValue),
            set_integers_max: self.size(Setting::SetMaxIntsetEntries),
            set_entries_max: self.size(Setting::SetMaxListpackEntries),
            set_element_bytes_max: self.size(Setting::SetMaxListpackValue),
            ..Limits::DEFAULT
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_stand_in_the_order_of_their_settings() {
        for (at, parameter) in PARAMETERS.iter().enumerate() {
            assert_eq!(parameter.setting as usize, at, "{}", parameter.flag);
        }
    }
}
