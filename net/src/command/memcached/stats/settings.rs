//! `stats settings`: how the server was started.

use store::Policy;

use crate::command::memcached::Call;
use crate::protocol::memcached::Writer;

/// What the parameters say.
#[derive(Clone, Debug, Default)]
pub(crate) struct SettingsFacts {
    /// The most connections at once.
    pub(crate) connections_max: u64,
    /// Where Memcached clients connect.
    pub(crate) port: u16,
    /// At which addresses.
    pub(crate) addresses: String,
    /// And at which path; empty: none.
    pub(crate) unix_path: String,
    /// The permissions of that path.
    pub(crate) unix_mode: u64,
    /// Whether clients may end the server.
    pub(crate) has_shutdown: bool,
    /// Whether clients have to say who they are.
    pub(crate) wants_passwords: bool,
    /// Seconds after which a silent client is disconnected; 0: never.
    pub(crate) idle_timeout_s: u64,
}

pub(super) fn write(call: &Call<'_>, facts: &SettingsFacts, reply: &mut Writer<'_, '_>) {
    let yes_no = |is_so| if is_so { "yes" } else { "no" };
    reply.stat("maxbytes", call.store.memory_bytes_max());
    reply.stat("maxconns", facts.connections_max);
    reply.stat("tcpport", facts.port);
    reply.stat("udpport", 0);
    reply.stat("inter", &facts.addresses);
    reply.stat("verbosity", 0);
    let evictions = match call.store.policy() {
        Policy::NoEviction => "off",
        _ => "on",
    };
    reply.stat("evictions", evictions);
    let path = &facts.unix_path;
    reply.stat("domain_socket", if path.is_empty() { "NULL" } else { path });
    reply.stat("umask", format_args!("{:o}", facts.unix_mode));
    reply.stat("shutdown_command", yes_no(facts.has_shutdown));
    reply.stat("num_threads", call.state.threads());
    reply.stat("stat_key_prefix", ":");
    reply.stat("detail_enabled", yes_no(call.state.prefixes().is_on()));
    reply.stat("cas_enabled", "yes");
    reply.stat("binding_protocol", "auto-negotiate");
    reply.stat("auth_enabled_sasl", yes_no(facts.wants_passwords));
    reply.stat("auth_enabled_ascii", yes_no(facts.wants_passwords));
    reply.stat("item_size_max", call.limits.item_bytes_max);
    reply.stat("maxconns_fast", "yes");
    reply.stat("flush_enabled", "yes");
    reply.stat("dump_enabled", "yes");
    reply.stat("idle_timeout", facts.idle_timeout_s);
    reply.stat("track_sizes", "no");
}
