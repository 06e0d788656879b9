//! OBJECT: what a value is like inside.

use store::Entry;
use store::value::{Encoding, object_encoding};

use super::Body::{Container, Run};
use super::Flag::{Loading, Readonly, Stale, Unsteady};
use super::Keys::{At, For};
use super::Use::Look;
use super::{Call, Command, Error, Family};

const MS_PER_SECOND: u64 = 1000;
const NO_LFU: Error = Error::Text(
    "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that \
     when switching between policies at runtime LRU and LFU data will take some time to adjust.",
);

const LFU: Error = Error::Text(
    "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when \
     switching between policies at runtime LRU and LFU data will take some time to adjust.",
);

pub(super) const FAMILY: Family = Family {
    name: "generic",
    commands: &[Command {
        name: "object",
        syntax: "",
        summary: "Looks inside values.",
        since: "2.2.3",
        complexity: "Depends on the subcommand.",
        flags: &[],
        keys: &[],
        body: Container(&[
            Command {
                name: "encoding",
                syntax: "key",
                summary: "Names the representation of a value.",
                since: "2.2.3",
                complexity: "O(1)",
                flags: &[Readonly, Unsteady],
                keys: &[For(Look, &At(2))],
                body: Run(encoding),
            },
            Command {
                name: "freq",
                syntax: "key",
                summary: "Tells how often a key was used lately.",
                since: "4.0.0",
                complexity: "O(1)",
                flags: &[Readonly, Unsteady],
                keys: &[For(Look, &At(2))],
                body: Run(freq),
            },
            Command {
                name: "help",
                syntax: "",
                summary: "Explains the subcommands.",
                since: "6.2.0",
                complexity: "O(1)",
                flags: &[Loading, Stale],
                keys: &[],
                body: Run(help),
            },
            Command {
                name: "idletime",
                syntax: "key",
                summary: "Tells how many seconds ago a key was last used.",
                since: "2.2.3",
                complexity: "O(1)",
                flags: &[Readonly, Unsteady],
                keys: &[For(Look, &At(2))],
                body: Run(idletime),
            },
            Command {
                name: "refcount",
                syntax: "key",
                summary: "Tells how many keys share a value.",
                since: "2.2.3",
                complexity: "O(1)",
                flags: &[Readonly, Unsteady],
                keys: &[For(Look, &At(2))],
                body: Run(refcount),
            },
        ]),
    }],
};

fn encoding(call: &mut Call<'_>) -> Result<(), Error> {
    if let Some(entry) = look_up(call)? {
        call.reply
            .bulk(encoding_name(object_encoding(entry)).as_bytes());
    }
    Ok(())
}

fn encoding_name(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Int => "int",
        Encoding::Embstr => "embstr",
        Encoding::Raw => "raw",
        Encoding::Listpack => "listpack",
        Encoding::Intset => "intset",
        Encoding::Hashtable => "hashtable",
        Encoding::Quicklist => "quicklist",
        Encoding::Skiplist => "skiplist",
        Encoding::Stream => "stream",
        // What a value of a module is to Redis.
        Encoding::Json => "raw",
    }
}

/// Uses are counted while the eviction policy is an LFU one.
fn freq(call: &mut Call<'_>) -> Result<(), Error> {
    let (store, now_ms) = (call.db.store(), call.db.now_ms());
    match look_up(call)? {
        Some(_) if !store.policy().counts_uses() => return Err(NO_LFU),
        Some(entry) => call.reply.integer(store.use_count(entry, now_ms).into()),
        None => {}
    }
    Ok(())
}

fn idletime(call: &mut Call<'_>) -> Result<(), Error> {
    let (store, now_ms) = (call.db.store(), call.db.now_ms());
    match look_up(call)? {
        Some(_) if store.policy().counts_uses() => return Err(LFU),
        Some(entry) => {
            let idle_seconds = entry.idle_ms(now_ms) / MS_PER_SECOND;
            call.reply.integer(idle_seconds as i64);
        }
        None => {}
    }
    Ok(())
}

/// A version belongs to one key.
fn refcount(call: &mut Call<'_>) -> Result<(), Error> {
    if look_up(call)?.is_some() {
        call.reply.integer(1);
    }
    Ok(())
}

/// The entry at the key, without a trace in its idle time; replies null if there is none.
fn look_up<'c>(call: &mut Call<'c>) -> Result<Option<Entry<'c>>, Error> {
    let key = call.args.word()?;
    let found = call.db.inspect(key);
    if found.is_none() {
        call.reply.null();
    }
    Ok(found)
}

fn help(call: &mut Call<'_>) -> Result<(), Error> {
    const LINES: [&str; 11] = [
        "OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "ENCODING <key>",
        "    How the value at the key is represented.",
        "FREQ <key>",
        "    How often the key was used lately, under an LFU policy.",
        "IDLETIME <key>",
        "    Seconds since the key was last used, to a few seconds.",
        "REFCOUNT <key>",
        "    How many keys share the value: always 1.",
        "HELP",
        "    These lines.",
    ];
    call.reply.array(LINES.len());
    for line in LINES {
        call.reply.simple(line);
    }
    Ok(())
}
