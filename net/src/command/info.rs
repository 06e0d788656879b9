//! INFO: Redis's sections and field names, as far as there is something behind them.

use std::fmt::{Display, Write as _};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::module::{MODULES, Module};
use super::{Call, Error, REDIS_VERSION, dispatch};
use crate::account::Account;
use crate::clients::Client;
use crate::clock;
use crate::config::Setting;
use crate::process;
use crate::shared::Shared;

const KILOBYTE: u64 = 1024;

type Section = (&'static str, fn(&mut Text<'_>));

/// What INFO shows when nothing is asked for.
const DEFAULT_SECTIONS: &[Section] = &[
    ("Server", server),
    ("Clients", clients),
    ("Memory", memory),
    ("Persistence", persistence),
    ("Stats", stats),
    ("Replication", replication),
    ("CPU", cpu),
    ("Modules", modules),
    ("Errorstats", errorstats),
    ("Cluster", cluster),
    ("Keyspace", keyspace),
];
/// What `INFO all` shows besides.
const FURTHER_SECTIONS: &[Section] = &[("Commandstats", commandstats)];

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
    let default = asked.is_empty() || has("default") || everything;
    let is_wanted = |(name, _): &&Section| has(&name.to_ascii_lowercase());
    let sections = DEFAULT_SECTIONS
        .iter()
        .filter(|section| default || is_wanted(section))
        .chain(
            FURTHER_SECTIONS
                .iter()
                .filter(|section| everything || is_wanted(section)),
        );
    let mut text = Text {
        text: String::new(),
        shared: call.shared,
        call,
    };
    for (name, write_section) in sections {
        if !text.text.is_empty() {
            text.text.push_str("\r\n");
        }
        let _ = write!(text.text, "# {name}\r\n");
        write_section(&mut text);
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
    text.field("threads", text.shared.stats.threads());
    text.field("executable", process::executable());
    text.field("config_file", "");
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
    text.field("blocked_clients", 0);
    text.field("tracking_clients", 0);
}

fn memory(text: &mut Text<'_>) {
    let account = Account::of(&text.shared.store);
    text.bytes("used_memory", account.used);
    text.bytes("used_memory_rss", account.resident);
    text.bytes("used_memory_peak", account.peak_used);
    text.percentage("used_memory_peak_perc", account.used, account.peak_used);
    text.field("used_memory_peak_rss", account.peak_resident);
    text.field("used_memory_overhead", account.overhead());
    text.field("used_memory_dataset", account.dataset());
    text.percentage("used_memory_dataset_perc", account.dataset(), account.used);
    text.field("used_memory_retired", account.retired);
    text.field("used_memory_tables", account.tables);
    text.field("allocator_allocated", account.used);
    text.field("allocator_active", account.active);
    text.field("allocator_resident", account.allocators_resident);
    text.bytes("total_system_memory", process::system_memory_bytes());
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
    text.field("mem_clients_normal", account.heap);
    text.field("mem_allocator", process::ALLOCATOR);
}

/// Nothing is written to disk, which is what these say.
fn persistence(text: &mut Text<'_>) {
    text.field("loading", 0);
    text.field("async_loading", 0);
    text.field("rdb_bgsave_in_progress", 0);
    text.field("aof_enabled", 0);
    text.field("aof_rewrite_in_progress", 0);
}

fn stats(text: &mut Text<'_>) {
    let stats = &text.shared.stats;
    let counts = text.shared.store.counts();
    let sums = [
        ("total_connections_received", stats.sum(|t| &t.connections)),
        ("total_commands_processed", stats.sum(|t| &t.commands)),
        (
            "instantaneous_ops_per_sec",
            text.shared.rates.commands_per_s(),
        ),
        ("total_net_input_bytes", stats.sum(|t| &t.input_bytes)),
        ("total_net_output_bytes", stats.sum(|t| &t.output_bytes)),
        (
            "instantaneous_input_kbps",
            text.shared.rates.input_bytes_per_s() / KILOBYTE,
        ),
        (
            "instantaneous_output_kbps",
            text.shared.rates.output_bytes_per_s() / KILOBYTE,
        ),
        (
            "rejected_connections",
            stats.sum(|t| &t.rejected_connections),
        ),
        ("expired_keys", counts.expired_keys),
        ("evicted_keys", counts.evicted_keys),
        ("evicted_clients", stats.evicted_clients.since_reset()),
        ("keyspace_hits", stats.sum(|t| &t.hits)),
        ("keyspace_misses", stats.sum(|t| &t.misses)),
        ("total_error_replies", stats.sum(|t| &t.error_replies)),
    ];
    for (name, sum) in sums {
        text.field(name, sum);
    }
    if let Some(order) = text.shared.store.cache_order() {
        text.field("cache_mode_order", order.name());
    }
    // There is nothing yet that these could count.
    for name in [
        "pubsub_channels",
        "pubsub_patterns",
        "latest_fork_usec",
        "total_forks",
    ] {
        text.field(name, 0);
    }
}

fn replication(text: &mut Text<'_>) {
    text.field("role", "master");
    text.field("connected_slaves", 0);
    text.field("master_failover_state", "no-failover");
    text.field("master_replid", &text.shared.run_id);
    text.field("master_replid2", "0".repeat(40));
    text.field("master_repl_offset", 0);
    text.field("second_repl_offset", -1);
    text.field("repl_backlog_active", 0);
}

fn cpu(text: &mut Text<'_>) {
    let (user, system) = process::cpu_seconds();
    text.field("used_cpu_sys", format!("{system:.6}"));
    text.field("used_cpu_user", format!("{user:.6}"));
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
            let usec = stats.sum(|thread| &thread.busy_ns[entry.number]) as f64 / 1_000.0;
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

fn keyspace(text: &mut Text<'_>) {
    for index in 0..text.shared.store.databases() {
        let db = text.call.db.other(index);
        let keys = db.len();
        if keys > 0 {
            let expires = db.expiring_len();
            text.field(
                &format!("db{index}"),
                format!("keys={keys},expires={expires},avg_ttl=0"),
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
