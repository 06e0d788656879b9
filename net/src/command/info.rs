//! INFO: Redis's sections and field names, as far as there is something behind them.

use std::fmt::{Display, Write as _};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::module::{MODULES, Module};
use super::{Call, Error, REDIS_VERSION, dispatch};
use crate::account::Account;
use crate::clients::Client;
use crate::clock;
use crate::config::{Setting, parse_percentiles};
use crate::housekeeping;
use crate::process;
use crate::shared::Shared;

const KILOBYTE: f64 = 1024.0;
/// Redis's clock of last uses, in seconds, wraps there.
const LRU_CLOCK_MAX: u64 = (1 << 24) - 1;

struct Section {
    name: &'static str,
    write: fn(&mut Text<'_>),
    /// Whether it is shown when nothing is asked for, or only by name and by `INFO all`.
    is_default: bool,
}

const fn section(name: &'static str, write: fn(&mut Text<'_>)) -> Section {
    Section {
        name,
        write,
        is_default: true,
    }
}

const fn further(name: &'static str, write: fn(&mut Text<'_>)) -> Section {
    Section {
        is_default: false,
        ..section(name, write)
    }
}

const SECTIONS: &[Section] = &[
    section("Server", server),
    section("Clients", clients),
    section("Memory", memory),
    section("Persistence", persistence),
    section("Stats", stats),
    section("Replication", replication),
    section("CPU", cpu),
    section("Modules", modules),
    further("Commandstats", commandstats),
    section("Errorstats", errorstats),
    further("Latencystats", latencystats),
    section("Cluster", cluster),
    section("Keyspace", keyspace),
];

/// Fields for what this server does not do, or has none of so far: monitors look for them.
type Nothing = &'static [&'static str];

struct Text<'c> {
    text: String,
    shared: &'c Shared,
    call: &'c Call<'c>,
}

impl Text<'_> {
    fn field(&mut self, name: &str, value: impl Display) {
        // Writing to a string does not fail.
        let _ = write!(self.text, "{name}:{value}\r\n");
    }

    fn nothing(&mut self, names: Nothing) {
        names.iter().for_each(|name| self.field(name, 0));
    }

    fn percentage(&mut self, name: &str, part: u64, whole: u64) {
        let percents = 100.0 * part as f64 / whole.max(1) as f64;
        self.field(name, format_args!("{percents:.2}%"));
    }

    /// How much more bytes the first are than the second: as a ratio, and the difference.
    fn excess(&mut self, (ratio, difference): (&str, &str), (more, less): (u64, u64)) {
        let times = more as f64 / less.max(1) as f64;
        self.field(ratio, format_args!("{times:.2}"));
        self.field(difference, more as i64 - less as i64);
    }

    /// A number of bytes and, beside it, the same for people.
    fn bytes(&mut self, name: &str, bytes: u64) {
        self.field(name, bytes);
        self.field(&format!("{name}_human"), Human(bytes));
    }
}

/// Bytes as Redis shows them: `1.50M`.
struct Human(u64);

impl Display for Human {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut unit = 1u64;
        for (next, name) in [
            (1 << 10, 'B'),
            (1 << 20, 'K'),
            (1 << 30, 'M'),
            (1 << 40, 'G'),
        ] {
            if self.0 < next {
                return match name {
                    'B' => write!(f, "{}B", self.0),
                    name => write!(f, "{:.2}{name}", self.0 as f64 / unit as f64),
                };
            }
            unit = next;
        }
        write!(f, "{:.2}T", self.0 as f64 / unit as f64)
    }
}

pub(super) fn info(call: &mut Call<'_>) -> Result<(), Error> {
    let asked: Vec<String> = call
        .args
        .rest()
        .iter()
        .map(|word| String::from_utf8_lossy(word).to_ascii_lowercase())
        .collect();
    let has = |name: &str| asked.iter().any(|word| word == name);
    let everything = has("all") || has("everything");
    let default = asked.is_empty() || has("default");
    let is_wanted = |section: &&Section| {
        everything || default && section.is_default || has(&section.name.to_ascii_lowercase())
    };
    let mut text = Text {
        text: String::new(),
        shared: call.shared,
        call,
    };
    for section in SECTIONS.iter().filter(is_wanted) {
        if !text.text.is_empty() {
            text.text.push_str("\r\n");
        }
        let _ = write!(text.text, "# {}\r\n", section.name);
        (section.write)(&mut text);
    }
    let text = text.text;
    call.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

fn modules(text: &mut Text<'_>) {
    for Module { name, version, .. } in MODULES {
        let facts = "api=1,filters=0,usedby=[],using=[],options=[handle-io-errors]";
        text.field("module", format_args!("name={name},ver={version},{facts}"));
    }
}

fn server(text: &mut Text<'_>) {
    let uptime_s = text.shared.started.elapsed().as_secs();
    let threads = text.shared.stats.threads();
    let settings = &text.shared.settings;
    let (port, memcached_port) = (
        settings.number(Setting::Port),
        settings.number(Setting::MemcachedPort),
    );
    text.field("redis_version", REDIS_VERSION);
    text.field("mayfly_version", env!("CARGO_PKG_VERSION"));
    text.field("redis_git_sha1", "00000000");
    text.field("redis_git_dirty", 0);
    text.field("redis_mode", "standalone");
    text.field("os", process::system_name());
    text.field("arch_bits", usize::BITS);
    text.field("monotonic_clock", "POSIX clock_gettime");
    text.field("multiplexing_api", "epoll");
    text.field("process_id", std::process::id());
    text.field("process_supervised", "no");
    text.field("run_id", &text.shared.run_id);
    text.field("tcp_port", port);
    text.field("memcached_port", memcached_port);
    text.field("server_time_usec", clock::since_1970().as_micros());
    text.field("uptime_in_seconds", uptime_s);
    text.field("uptime_in_days", uptime_s / 86_400);
    text.field("hz", housekeeping::TICKS_PER_S);
    text.field("configured_hz", housekeeping::TICKS_PER_S);
    text.field("lru_clock", clock::since_1970().as_secs() & LRU_CLOCK_MAX);
    text.field("threads", threads);
    text.field("executable", process::executable());
    text.field("config_file", "");
    text.field("io_threads_active", u8::from(threads > 1));
    listeners(text);
}

/// What clients connect to, a field for each kind: `name=tcp,bind=127.0.0.1,port=6379`.
fn listeners(text: &mut Text<'_>) {
    let settings = &text.shared.settings;
    let bind = settings.text(Setting::Bind);
    let memcached_bind = match settings.text(Setting::MemcachedBind) {
        words if words.is_empty() => bind.clone(),
        words => words,
    };
    let mut fields = Vec::new();
    for (name, bind, port) in [
        ("tcp", bind, Setting::Port),
        ("memcached", memcached_bind, Setting::MemcachedPort),
    ] {
        let port = settings.number(port);
        if port != 0 {
            let words = bind.split([' ', ',']).filter(|word| !word.is_empty());
            let binds: String = words.map(|word| format!("bind={word},")).collect();
            fields.push(format!("name={name},{binds}port={port}"));
        }
    }
    for (name, path) in [
        ("unix", Setting::Unixsocket),
        ("memcached-unix", Setting::MemcachedUnixsocket),
    ] {
        let path = settings.text(path);
        if !path.is_empty() {
            fields.push(format!("name={name},bind={path}"));
        }
    }
    for (at, field) in fields.iter().enumerate() {
        text.field(&format!("listener{at}"), field);
    }
}

fn clients(text: &mut Text<'_>) {
    let maxclients = text.shared.settings.number(Setting::Maxclients);
    let clients = text.shared.clients.all();
    let largest = |bytes: fn(&Client) -> &AtomicUsize| {
        let all = clients.iter().map(|client| bytes(client));
        all.map(|bytes| bytes.load(Ordering::Relaxed))
            .max()
            .unwrap_or(0)
    };
    text.field("connected_clients", text.shared.clients.len());
    text.field("cluster_connections", 0);
    text.field("maxclients", maxclients);
    text.field(
        "client_recent_max_input_buffer",
        largest(|client| &client.query_bytes_max),
    );
    text.field(
        "client_recent_max_output_buffer",
        largest(|client| &client.output_bytes_max),
    );
    text.nothing(&[
        "blocked_clients",
        "tracking_clients",
        "clients_in_timeout_table",
        "total_blocking_keys",
        "total_blocking_keys_on_nokey",
    ]);
}

fn memory(text: &mut Text<'_>) {
    let account = Account::of(&text.shared.store);
    text.bytes("used_memory", account.used);
    text.bytes("used_memory_rss", account.resident);
    text.bytes("used_memory_peak", account.peak_used);
    text.percentage("used_memory_peak_perc", account.used, account.peak_used);
    text.field("used_memory_peak_rss", account.peak_resident);
    text.field("used_memory_overhead", account.overhead());
    text.field("used_memory_startup", text.shared.startup_bytes);
    text.field("used_memory_dataset", account.dataset());
    text.percentage("used_memory_dataset_perc", account.dataset(), account.used);
    text.field("used_memory_retired", account.retired);
    text.field("used_memory_tables", account.tables);
    text.field("allocator_allocated", account.used);
    text.field("allocator_active", account.active);
    text.field("allocator_resident", account.allocators_resident);
    text.bytes("total_system_memory", process::system_memory_bytes());
    text.bytes("used_memory_lua", 0);
    text.bytes("used_memory_vm_total", 0);
    text.bytes("used_memory_scripts", 0);
    text.nothing(&[
        "used_memory_vm_eval",
        "used_memory_scripts_eval",
        "number_of_cached_scripts",
        "number_of_functions",
        "number_of_libraries",
        "used_memory_vm_functions",
        "used_memory_functions",
    ]);
    text.bytes("maxmemory", account.limit);
    text.field("maxmemory_policy", text.shared.settings.policy().name());
    text.excess(
        ("allocator_frag_ratio", "allocator_frag_bytes"),
        (account.active, account.used),
    );
    text.excess(
        ("allocator_rss_ratio", "allocator_rss_bytes"),
        (account.allocators_resident, account.active),
    );
    text.excess(
        ("rss_overhead_ratio", "rss_overhead_bytes"),
        (account.resident, account.allocators_resident),
    );
    text.excess(
        ("mem_fragmentation_ratio", "mem_fragmentation_bytes"),
        (account.resident, account.used),
    );
    text.nothing(&[
        "mem_not_counted_for_evict",
        "mem_replication_backlog",
        "mem_total_replication_buffers",
        "mem_clients_slaves",
        "mem_cluster_links",
        "mem_aof_buffer",
    ]);
    text.field("mem_clients_normal", account.heap);
    text.field("mem_allocator", process::ALLOCATOR);
}

/// Nothing is written to disk, which is what these say.
fn persistence(text: &mut Text<'_>) {
    text.nothing(&[
        "loading",
        "async_loading",
        "current_cow_peak",
        "current_cow_size",
        "current_cow_size_age",
        "current_save_keys_processed",
        "current_save_keys_total",
        "rdb_bgsave_in_progress",
        "rdb_saves",
        "rdb_last_cow_size",
        "rdb_last_load_keys_expired",
        "rdb_last_load_keys_loaded",
        "aof_enabled",
        "aof_rewrite_in_progress",
        "aof_rewrite_scheduled",
        "aof_rewrites",
        "aof_rewrites_consecutive_failures",
        "aof_last_cow_size",
        "module_fork_in_progress",
        "module_fork_last_cow_size",
    ]);
    text.field("current_fork_perc", "0.00");
    // Redis, too, says that a write succeeded of which there was none.
    for name in [
        "rdb_last_bgsave_status",
        "aof_last_bgrewrite_status",
        "aof_last_write_status",
    ] {
        text.field(name, "ok");
    }
    for name in [
        "rdb_last_bgsave_time_sec",
        "rdb_current_bgsave_time_sec",
        "aof_last_rewrite_time_sec",
        "aof_current_rewrite_time_sec",
    ] {
        text.field(name, -1);
    }
}

fn stats(text: &mut Text<'_>) {
    let stats = &text.shared.stats;
    let rates = &text.shared.rates;
    let counts = text.shared.store.counts();
    let kilobytes = |bytes: u64| format!("{:.2}", bytes as f64 / KILOBYTE);
    text.field("total_connections_received", stats.sum(|t| &t.connections));
    text.field("total_commands_processed", stats.sum(|t| &t.commands));
    text.field("instantaneous_ops_per_sec", rates.commands_per_s());
    text.field("total_net_input_bytes", stats.sum(|t| &t.input_bytes));
    text.field("total_net_output_bytes", stats.sum(|t| &t.output_bytes));
    text.field(
        "instantaneous_input_kbps",
        kilobytes(rates.input_bytes_per_s()),
    );
    text.field(
        "instantaneous_output_kbps",
        kilobytes(rates.output_bytes_per_s()),
    );
    text.field(
        "rejected_connections",
        stats.sum(|t| &t.rejected_connections),
    );
    text.field("expired_keys", counts.expired_keys);
    text.field("evicted_keys", counts.evicted_keys);
    text.field("evicted_clients", stats.evicted_clients.since_reset());
    text.field("keyspace_hits", stats.sum(|t| &t.hits));
    text.field("keyspace_misses", stats.sum(|t| &t.misses));
    if let Some(order) = text.shared.store.cache_order() {
        text.field("cache_mode_order", order.name());
    }
    text.nothing(&[
        "total_net_repl_input_bytes",
        "total_net_repl_output_bytes",
        "sync_full",
        "sync_partial_ok",
        "sync_partial_err",
        "pubsub_channels",
        "pubsub_patterns",
        "pubsubshard_channels",
        "latest_fork_usec",
        "total_forks",
        "migrate_cached_sockets",
        "slave_expires_tracked_keys",
        "tracking_total_keys",
        "tracking_total_items",
        "tracking_total_prefixes",
        "unexpected_error_replies",
    ]);
    text.field("total_error_replies", stats.sum(|t| &t.error_replies));
    text.field("total_reads_processed", stats.sum(|t| &t.reads));
    text.field("total_writes_processed", stats.sum(|t| &t.writes));
}

fn replication(text: &mut Text<'_>) {
    text.field("role", "master");
    text.field("connected_slaves", 0);
    text.field("master_failover_state", "no-failover");
    text.field("master_replid", &text.shared.run_id);
    text.field("master_replid2", "0".repeat(40));
    text.field("master_repl_offset", 0);
    text.field("second_repl_offset", -1);
    text.nothing(&[
        "repl_backlog_active",
        "repl_backlog_size",
        "repl_backlog_first_byte_offset",
        "repl_backlog_histlen",
    ]);
}

fn cpu(text: &mut Text<'_>) {
    let (user, system) = process::cpu_seconds();
    text.field("used_cpu_sys", format!("{system:.6}"));
    text.field("used_cpu_user", format!("{user:.6}"));
    // There are none.
    text.field("used_cpu_sys_children", "0.000000");
    text.field("used_cpu_user_children", "0.000000");
}

fn errorstats(text: &mut Text<'_>) {
    for (code, count) in text.shared.stats.errors() {
        text.field(&format!("errorstat_{code}"), format!("count={count}"));
    }
}

fn cluster(text: &mut Text<'_>) {
    text.field("cluster_enabled", 0);
}

fn commandstats(text: &mut Text<'_>) {
    let stats = &text.shared.stats;
    for entry in dispatch::entries() {
        let calls = stats.sum(|thread| &thread.calls[entry.number]);
        let failed = stats.sum(|thread| &thread.failed_calls[entry.number]);
        let rejected = stats.sum(|thread| &thread.rejected_calls[entry.number]);
        if calls + rejected > 0 {
            let usec = stats.sum(|thread| &thread.times[entry.number].busy_ns) as f64 / 1_000.0;
            let usec_per_call = usec / calls.max(1) as f64;
            text.field(
                &format!("cmdstat_{}", entry.full_name),
                format!(
                    "calls={calls},usec={usec:.0},usec_per_call={usec_per_call:.2},\
                     rejected_calls={rejected},failed_calls={failed}"
                ),
            );
        }
    }
}

fn latencystats(text: &mut Text<'_>) {
    let settings = &text.shared.settings;
    if !settings.is_on(Setting::LatencyTracking) {
        return;
    }
    let percentiles = settings.text(Setting::LatencyTrackingInfoPercentiles);
    let percentiles = parse_percentiles(&percentiles).unwrap_or_default();
    for entry in dispatch::entries() {
        let Some(times) = text.shared.stats.percentiles(entry.number) else {
            continue;
        };
        let usec = |percentile| times.ns_at(percentile) as f64 / 1_000.0;
        let fields: Vec<_> = percentiles
            .iter()
            .map(|percentile| format!("p{percentile}={:.3}", usec(*percentile)))
            .collect();
        text.field(
            &format!("latency_percentiles_usec_{}", entry.full_name),
            fields.join(","),
        );
    }
}

fn keyspace(text: &mut Text<'_>) {
    for index in 0..text.shared.store.databases() {
        let db = text.call.db.other(index);
        let keys = db.len();
        if keys > 0 {
            let (expires, avg_ttl) = (db.expiring_len(), db.mean_ttl_ms());
            text.field(
                &format!("db{index}"),
                format!("keys={keys},expires={expires},avg_ttl={avg_ttl}"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_as_redis_does() {
        for (bytes, shown) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1.00K"),
            (1_238_272, "1.18M"),
            (25_276_514_304, "23.54G"),
        ] {
            assert_eq!(Human(bytes).to_string(), shown);
        }
    }
}
