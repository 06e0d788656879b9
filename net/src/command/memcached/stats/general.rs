//! `stats`: the general list.

use crate::account::Account;
use crate::command::memcached::state::COMMAND_COUNTS;
use crate::command::memcached::{Call, Count, VERSION};
use crate::protocol::memcached::Writer;

/// What the server knows of itself and the engine does not.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Facts {
    /// Since the start, in seconds.
    pub(crate) uptime_s: u64,
    /// Processor time in its own code, in seconds.
    pub(crate) user_s: f64,
    /// Processor time in the kernel, in seconds.
    pub(crate) system_s: f64,
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
}

pub(super) fn write(call: &Call<'_>, facts: &Facts, reply: &mut Writer<'_, '_>) {
    reply.stat("pid", std::process::id());
    reply.stat("uptime", facts.uptime_s);
    reply.stat("time", call.db.now_ms() / 1000);
    reply.stat("version", VERSION);
    reply.stat("pointer_size", usize::BITS);
    reply.stat("rusage_user", format_args!("{:.6}", facts.user_s));
    reply.stat("rusage_system", format_args!("{:.6}", facts.system_s));
    reply.stat("max_connections", facts.connections_max);
    reply.stat("curr_connections", facts.connections);
    reply.stat("total_connections", facts.connections_total);
    reply.stat("rejected_connections", facts.connections_rejected);
    for count in COMMAND_COUNTS {
        reply.stat(count.name(), call.state.total(count));
        if count == Count::GetExpired {
            // flush_all takes all items out at once: no get ever meets a flushed one.
            reply.stat("get_flushed", 0);
        }
    }
    let counts = call.store.counts();
    reply.stat("bytes_read", facts.input_bytes);
    reply.stat("bytes_written", facts.output_bytes);
    reply.stat("limit_maxbytes", call.store.memory_bytes_max());
    // Too many clients are turned away one by one; the listeners stay open.
    reply.stat("accepting_conns", 1);
    reply.stat("listen_disabled_num", 0);
    reply.stat("threads", call.state.threads());
    reply.stat("bytes", Account::of(call.store).used);
    reply.stat("curr_items", call.db.len());
    reply.stat("total_items", call.state.total(Count::TotalItems));
    reply.stat("expired_unfetched", counts.expired_unfetched);
    reply.stat("evicted_unfetched", counts.evicted_unfetched);
    reply.stat("evictions", counts.evicted_keys);
    reply.stat("reclaimed", counts.expired_keys);
}
