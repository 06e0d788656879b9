//! `stats conns`: who is connected, over either protocol.

use crate::protocol::memcached::Writer;

/// A client as others see it.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClientFacts {
    /// The socket's file descriptor.
    pub(crate) fd: i32,
    /// Where it comes from: `tcp:`, `tcp6:` or `unix:` and an address.
    pub(crate) address: String,
    /// Where it connected to, in the same form.
    pub(crate) listener: String,
    /// Whether it is the one that asks.
    pub(crate) is_asking: bool,
    /// Whether a request of its has arrived in part.
    pub(crate) is_sending: bool,
    /// Since it last sent something, in seconds.
    pub(crate) idle_s: u64,
}

impl ClientFacts {
    /// Memcached's word for what it is at.
    fn state(&self) -> &'static str {
        match (self.is_asking, self.is_sending) {
            (true, _) => "conn_parse_cmd",
            (false, true) => "conn_nread",
            (false, false) => "conn_read",
        }
    }
}

pub(super) fn write(clients: &[ClientFacts], reply: &mut Writer<'_, '_>) {
    for client in clients {
        let fd = client.fd;
        reply.stat(&format!("{fd}:addr"), &client.address);
        reply.stat(&format!("{fd}:listen_addr"), &client.listener);
        reply.stat(&format!("{fd}:state"), client.state());
        reply.stat(&format!("{fd}:secs_since_last_cmd"), client.idle_s);
    }
}
