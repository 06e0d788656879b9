//! `stats items` and `stats slabs`. All items are of one class, since the allocator's classes are
//! not ours to tell.

use crate::account::Account;
use crate::command::memcached::{Call, Count};
use crate::protocol::memcached::Writer;

pub(super) fn write_items(call: &Call<'_>, reply: &mut Writer<'_, '_>) {
    if call.db.is_empty() {
        return;
    }
    let counts = call.store.counts();
    let no_memory = call.state.total(Count::StoreNoMemory);
    reply.stat("items:1:number", call.db.len());
    reply.stat("items:1:evicted", counts.evicted_keys);
    reply.stat("items:1:outofmemory", no_memory);
    reply.stat("items:1:reclaimed", counts.expired_keys);
    reply.stat("items:1:expired_unfetched", counts.expired_unfetched);
    reply.stat("items:1:evicted_unfetched", counts.evicted_unfetched);
}

pub(super) fn write_slabs(call: &Call<'_>, reply: &mut Writer<'_, '_>) {
    let is_used = !call.db.is_empty();
    if is_used {
        reply.stat("1:used_chunks", call.db.len());
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
    }
    reply.stat("active_slabs", u8::from(is_used));
    reply.stat("total_malloced", Account::of(call.store).active);
}
