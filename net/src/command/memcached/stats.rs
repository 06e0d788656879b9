//! What `stats` answers: memcached's names, as far as there is something behind them.

use crate::account::Account;
use crate::protocol::memcached::{Stats, Writer};

use super::state::COMMAND_COUNTS;
use super::{Call, Count, VERSION};

/// What the server knows of itself and the engine does not.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Facts {
    /// Since the start, in seconds.
    pub(crate) uptime_s: u64,
    /// The most connections at once.
    pub(crate) connections_max: u64,
    /// Connections open now.
    pub(crate) connections: u64,
    /// Connections there ever were.
    pub(crate) connections_total: u64,
    /// Connections turned away.
    pub(crate) connections_rejected: u64,
    /// Bytes received.
    pub(crate) input_bytes: u64,
    /// Bytes sent.
    pub(crate) output_bytes: u64,
    /// Where Memcached clients connect.
    pub(crate) port: u16,
}

/// Writes the statistics asked for, or starts counting anew.
pub(super) fn write(call: &Call<'_>, what: Stats, facts: &Facts, reply: &mut Writer<'_, '_>) {
    match what {
        Stats::General => general(call, facts, reply),
        Stats::Settings => settings(call, facts, reply),
        Stats::Items => items(call, reply),
        Stats::Slabs => slabs(call, reply),
        Stats::Sizes => reply.stat("sizes_status", "disabled"),
        Stats::Reset => {
            call.state.reset();
            return reply.reset();
        }
    }
    reply.end();
}

fn general(call: &Call<'_>, facts: &Facts, reply: &mut Writer<'_, '_>) {
    reply.stat("pid", std::process::id());
    reply.stat("uptime", facts.uptime_s);
    reply.stat("time", call.db.now_ms() / 1000);
    reply.stat("version", VERSION);
    reply.stat("pointer_size", usize::BITS);
    reply.stat("max_connections", facts.connections_max);
    reply.stat("curr_connections", facts.connections);
    reply.stat("total_connections", facts.connections_total);
    reply.stat("rejected_connections", facts.connections_rejected);
    for count in COMMAND_COUNTS {
        reply.stat(count.name(), call.state.total(count));
    }
    let counts = call.store.counts();
    reply.stat("bytes_read", facts.input_bytes);
    reply.stat("bytes_written", facts.output_bytes);
    reply.stat("limit_maxbytes", call.store.memory_bytes_max());
    reply.stat("threads", call.state.threads());
    reply.stat("bytes", Account::of(call.store).used);
    reply.stat("curr_items", call.db.len());
    reply.stat("total_items", call.state.total(Count::TotalItems));
    reply.stat("evictions", counts.evicted_keys);
    reply.stat("reclaimed", counts.expired_keys);
}

fn settings(call: &Call<'_>, facts: &Facts, reply: &mut Writer<'_, '_>) {
    reply.stat("maxbytes", call.store.memory_bytes_max());
    reply.stat("maxconns", facts.connections_max);
    reply.stat("tcpport", facts.port);
    reply.stat("udpport", 0);
    reply.stat("verbosity", 0);
    reply.stat(
        "evictions",
        match call.store.policy() {
            store::Policy::NoEviction => "off",
            _ => "on",
        },
    );
    reply.stat("shutdown_command", "no");
    reply.stat("num_threads", call.state.threads());
    reply.stat("detail_enabled", "no");
    reply.stat("cas_enabled", "yes");
    reply.stat("binding_protocol", "ascii");
    reply.stat("auth_enabled_sasl", "no");
    reply.stat("auth_enabled_ascii", "no");
    reply.stat("item_size_max", call.limits.item_bytes_max);
    reply.stat("flush_enabled", "yes");
    reply.stat("dump_enabled", "no");
}

/// All items are of one class: the allocator's classes are not ours to tell.
fn items(call: &Call<'_>, reply: &mut Writer<'_, '_>) {
    if call.db.is_empty() {
        return;
    }
    let counts = call.store.counts();
    reply.stat("items:1:number", call.db.len());
    reply.stat("items:1:evicted", counts.evicted_keys);
    reply.stat("items:1:evicted_unfetched", counts.evicted_unfetched);
    reply.stat(
        "items:1:outofmemory",
        call.state.total(Count::StoreNoMemory),
    );
    reply.stat("items:1:reclaimed", counts.expired_keys);
}

fn slabs(call: &Call<'_>, reply: &mut Writer<'_, '_>) {
    for (name, count) in [
        ("1:get_hits", Count::GetHits),
        ("1:cmd_set", Count::CmdSet),
        ("1:delete_hits", Count::DeleteHits),
        ("1:incr_hits", Count::IncrHits),
        ("1:decr_hits", Count::DecrHits),
        ("1:cas_hits", Count::CasHits),
        ("1:cas_badval", Count::CasBadval),
        ("1:touch_hits", Count::TouchHits),
    ] {
        reply.stat(name, call.state.total(count));
    }
    reply.stat("1:used_chunks", call.db.len());
    reply.stat("active_slabs", 1);
    reply.stat("total_malloced", Account::of(call.store).active);
}
