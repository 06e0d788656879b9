//! What `stats` answers: memcached's names, as far as there is something behind them.
//!
//! What Memcached clients did is counted by [`State`](super::State); what holds for all clients
//! (connections, bytes on the wire, the engine's keys and memory) is what INFO tells of them.
//! Names of slabs, of the LRU and its crawler, of extstore and of UDP are left out: readers such
//! as the Prometheus exporter take what they find.

mod conns;
mod detail;
mod general;
mod items;
mod settings;

pub(crate) use conns::ClientFacts;
pub(super) use detail::{Prefixes, Use};
pub(crate) use general::Facts;
pub(crate) use settings::SettingsFacts;

use super::{Call, Surroundings};
use crate::protocol::memcached::{Stats, Status, Stored, Writer};

/// Writes the statistics asked for, or does what is asked about counting them.
pub(super) fn write(
    call: &Call<'_>,
    what: Stats,
    surroundings: &impl Surroundings,
    reply: &mut Writer<'_, '_>,
) {
    match what {
        Stats::General => general::write(call, &surroundings.facts(), reply),
        Stats::Settings => settings::write(call, &surroundings.settings(), reply),
        Stats::Items => items::write_items(call, reply),
        Stats::Slabs => items::write_slabs(call, reply),
        Stats::Sizes => reply.stat("sizes_status", "disabled"),
        Stats::Conns => conns::write(&surroundings.clients(), reply),
        Stats::Reset => {
            call.state.reset();
            surroundings.reset_counts();
            return reply.reset();
        }
        Stats::Detail(is_on) => {
            call.state.prefixes().switch(is_on);
            return reply.status(Status::Ok, Stored::at(b""));
        }
        Stats::DetailDump => return reply.dump(&call.state.prefixes().dump()),
    }
    reply.end();
}
