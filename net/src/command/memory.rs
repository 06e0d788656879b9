//! MEMORY: what takes memory, and giving some back.

use store::value::memory_bytes;

use super::Flag::{AllSucceed, Combined, Loading, Readonly, Stale, ToAllShards, Unsteady};
use super::{Body, Call, Command, Error, Family, Keys, Use, error, introspect};
use crate::account::{Account, ratio};
use crate::process;

pub(super) const FAMILY: Family = Family {
    name: "server",
    commands: &[Command {
        name: "memory",
        syntax: "",
        summary: "Tells what takes memory.",
        since: "4.0.0",
        complexity: "Depends on the subcommand.",
        flags: &[],
        keys: &[],
        body: Body::Container(SUBCOMMANDS),
    }],
};

const SUBCOMMANDS: &[Command] = &[
    Command {
        name: "doctor",
        syntax: "",
        summary: "Says in words whether memory is in order.",
        since: "4.0.0",
        complexity: "O(1)",
        flags: &[Unsteady, ToAllShards, Combined],
        keys: &[],
        body: Body::Run(doctor),
    },
    Command {
        name: "help",
        syntax: "",
        summary: "Explains the subcommands.",
        since: "4.0.0",
        complexity: "O(1)",
        flags: &[Loading, Stale],
        keys: &[],
        body: Body::Run(help),
    },
    Command {
        name: "malloc-stats",
        syntax: "",
        summary: "Tells what the allocators have.",
        since: "4.0.0",
        complexity: "O(1)",
        flags: &[Unsteady, ToAllShards, Combined],
        keys: &[],
        body: Body::Run(malloc_stats),
    },
    Command {
        name: "purge",
        syntax: "",
        summary: "Gives free memory back to the operating system.",
        since: "4.0.0",
        complexity: "O(N) where N is the number of free pages",
        flags: &[ToAllShards, AllSucceed],
        keys: &[],
        body: Body::Run(purge),
    },
    Command {
        name: "stats",
        syntax: "",
        summary: "Tells what takes memory, in figures.",
        since: "4.0.0",
        complexity: "O(1)",
        flags: &[Unsteady, ToAllShards, Combined],
        keys: &[],
        body: Body::Run(stats),
    },
    Command {
        name: "usage",
        syntax: "key [SAMPLES count]",
        summary: "Counts the bytes a key and its value take.",
        since: "4.0.0",
        complexity: "O(N) where N is the number of nodes of a large value",
        flags: &[Readonly],
        keys: &[Keys::For(Use::Look, &Keys::At(2))],
        body: Body::Run(usage),
    },
];

fn help(call: &mut Call<'_>) -> Result<(), Error> {
    introspect::help(call, "memory")
}

fn usage(call: &mut Call<'_>) -> Result<(), Error> {
    let key = call.args.word()?;
    if call.args.option("samples") {
        // Everything is counted, whatever the number of samples.
        if call.args.integer()? < 0 {
            return Err(error::SYNTAX);
        }
    }
    call.args.end()?;
    match call.db.peek(key) {
        Some(entry) => call.reply.count(memory_bytes(entry)),
        None => call.reply.null(),
    }
    Ok(())
}

fn purge(call: &mut Call<'_>) -> Result<(), Error> {
    // It goes over all of the heap, and the kernel takes its time with each page.
    call.heavy(usize::MAX)?;
    let released_bytes = call.shared.store.purge();
    log::debug!("MEMORY PURGE gave {released_bytes} bytes back");
    call.reply.ok();
    Ok(())
}

/// A figure of MEMORY STATS.
enum Figure {
    Count(u64),
    Ratio(f64),
    /// Of one database: what its table takes.
    Database(u64),
}

type Figures = Vec<(String, Figure)>;

fn stats(call: &mut Call<'_>) -> Result<(), Error> {
    let figures = figures(call);
    call.reply.map(figures.len());
    for (name, figure) in figures {
        call.reply.bulk(name.as_bytes());
        match figure {
            Figure::Count(count) => call.reply.integer(count as i64),
            Figure::Ratio(ratio) => call.reply.double(ratio),
            Figure::Database(bytes) => {
                call.reply.map(2);
                call.reply.bulk(b"overhead.hashtable.main");
                call.reply.integer(bytes as i64);
                call.reply.bulk(b"overhead.hashtable.expires");
                call.reply.integer(0);
            }
        }
    }
    Ok(())
}

/// Redis's names, also for what takes nothing here.
fn figures(call: &Call<'_>) -> Figures {
    let store = &call.shared.store;
    let account = Account::of(store);
    let databases = (0..store.databases()).map(|index| (index, call.db.other(index).len()));
    let filled: Vec<(usize, u64)> = databases.filter(|&(_, keys)| keys > 0).collect();
    let keys: u64 = filled.iter().map(|&(_, keys)| keys).sum();
    let mut figures = Figures::new();
    let mut put = |name: &str, figure: Figure| figures.push((name.to_owned(), figure));
    put("peak.allocated", Figure::Count(account.peak_used));
    put("total.allocated", Figure::Count(account.used));
    put(
        "startup.allocated",
        Figure::Count(call.shared.startup_bytes),
    );
    put("replication.backlog", Figure::Count(0));
    put("clients.slaves", Figure::Count(0));
    put("clients.normal", Figure::Count(account.heap));
    for name in [
        "cluster.links",
        "aof.buffer",
        "lua.caches",
        "functions.caches",
    ] {
        put(name, Figure::Count(0));
    }
    for &(index, _) in &filled {
        let bytes = store.table_bytes_of(index);
        put(&format!("db.{index}"), Figure::Database(bytes));
    }
    put("overhead.total", Figure::Count(account.overhead()));
    put("keys.count", Figure::Count(keys));
    put(
        "keys.bytes-per-key",
        Figure::Count(account.data / keys.max(1)),
    );
    put("dataset.bytes", Figure::Count(account.dataset()));
    let percent = |part, whole| Figure::Ratio(100.0 * ratio(part, whole));
    put(
        "dataset.percentage",
        percent(account.dataset(), account.used),
    );
    put("peak.percentage", percent(account.used, account.peak_used));
    allocator_figures(&account, &mut figures);
    figures
}

fn allocator_figures(account: &Account, figures: &mut Figures) {
    let mut put = |name: &str, figure: Figure| figures.push((name.to_owned(), figure));
    put("allocator.allocated", Figure::Count(account.used));
    put("allocator.active", Figure::Count(account.active));
    put(
        "allocator.resident",
        Figure::Count(account.allocators_resident),
    );
    for (name, one, other) in [
        ("allocator-fragmentation", account.active, account.used),
        ("allocator-rss", account.allocators_resident, account.active),
        (
            "rss-overhead",
            account.resident,
            account.allocators_resident,
        ),
    ] {
        let bytes = one.saturating_sub(other);
        put(&format!("{name}.ratio"), Figure::Ratio(ratio(one, other)));
        put(&format!("{name}.bytes"), Figure::Count(bytes));
    }
    put("fragmentation", Figure::Ratio(account.fragmentation()));
    let idle = account.resident.saturating_sub(account.used);
    put("fragmentation.bytes", Figure::Count(idle));
}

/// Below this there is nothing to be said about a server.
const DOCTOR_BYTES_MIN: u64 = 5 << 20;
/// Ratios above these are worth a word; those below so many bytes are not.
const PEAK_RATIO: f64 = 1.5;
const FRAGMENTATION_RATIO: f64 = 1.15;
const FRAGMENTATION_BYTES: u64 = 10 << 20;
const RETIRED_RATIO: f64 = 0.1;

fn doctor(call: &mut Call<'_>) -> Result<(), Error> {
    let account = Account::of(&call.shared.store);
    let text = diagnosis(&account);
    call.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

fn diagnosis(account: &Account) -> String {
    if account.used < DOCTOR_BYTES_MIN {
        return "Hi Sam, this instance is empty or is using very little memory, my issues \
                detector can't be used in these conditions. Please, leave for your mission on \
                Earth and fill it with some data. The new Sam and I will be back to our \
                programming as soon as I finished rebooting.\n"
            .to_owned();
    }
    let mut issues = Vec::new();
    if ratio(account.peak_used, account.used) > PEAK_RATIO {
        issues.push(format!(
            "Peak memory: at some time {} bytes were in use, now {}. Free memory is given back \
             within seconds; MEMORY PURGE does it at once.",
            account.peak_used, account.used
        ));
    }
    // The program itself is resident, too, but nothing of it is fragments.
    let (kept, used) = (account.allocators_resident, account.used);
    if ratio(kept, used) > FRAGMENTATION_RATIO && kept.saturating_sub(used) > FRAGMENTATION_BYTES {
        issues.push(format!(
            "High fragmentation: {kept} bytes are resident for {used} in use. Entries are moved \
             together in the background; large collections cannot be moved.",
        ));
    }
    if ratio(account.retired, account.used) > RETIRED_RATIO {
        issues.push(format!(
            "Retired memory: {} bytes were replaced or removed and wait for long commands that \
             may still read them.",
            account.retired
        ));
    }
    if account.heap > account.data / 2 && account.heap > FRAGMENTATION_BYTES {
        issues.push(format!(
            "Big buffers: clients and the server itself take {} bytes beside {} of data. See \
             CLIENT LIST.",
            account.heap, account.data
        ));
    }
    if issues.is_empty() {
        return "Hi Sam, I can't find any memory issue in your instance. I can only account for \
                what occurs on this base.\n"
            .to_owned();
    }
    format!(
        "Sam, I detected a few issues in this instance's memory:\n\n * {}\n",
        issues.join("\n\n * ")
    )
}

fn malloc_stats(call: &mut Call<'_>) -> Result<(), Error> {
    let arena = store::memory::arena();
    let process = process::memory();
    let text = format!(
        "arena: {} bytes in blocks, {} resident, {} of these in free slabs, {} for records\n\
         {}: {} bytes allocated, {} active, {} resident\n",
        call.shared.store.memory().arena_bytes,
        arena.resident_bytes,
        arena.free_bytes,
        arena.records_bytes,
        process::ALLOCATOR,
        process.allocated_bytes,
        process.active_bytes,
        process.allocator_resident_bytes,
    );
    call.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clients::Client;
    use crate::command::dispatch::{self, Outcome, Place};
    use crate::config::Config;
    use crate::protocol::output::Output;
    use crate::runtime::channel;
    use crate::session::Session;
    use crate::shared::Shared;

    #[test]
    fn a_purge_is_left_to_a_thread_that_serves_nobody_meanwhile() {
        let (stop_sender, _) = channel::bounded(1);
        let shared = Shared::new(&Config::default(), 1, stop_sender);
        let client = shared.clients.admit(Client::default(), 1);
        let mut session = Session::new(client.expect("the first client"), true);
        let words: [&[u8]; 2] = [b"MEMORY", b"PURGE"];
        let entry = dispatch::resolve(&words);
        let guard = shared.store.pin();
        let mut replies = Output::default();
        let mut run = |place| {
            let db = session.db(&shared.store, &guard, 1);
            let client = (&mut session, &shared, db);
            dispatch::run(entry, &words, client, &mut replies, place)
        };
        assert_eq!(run(Place::Connection(None)), Outcome::Heavy);
        assert_eq!(run(Place::Worker), Outcome::Replied(false));
        assert_eq!(replies.as_one(), Some(&b"+OK\r\n"[..]));
    }

    #[test]
    fn the_doctor_names_what_is_wrong() {
        let healthy = Account {
            used: 1 << 30,
            peak_used: 1 << 30,
            data: 1 << 30,
            allocators_resident: (1 << 30) + (1 << 25),
            resident: 1 << 31,
            ..Account::default()
        };
        assert!(diagnosis(&healthy).starts_with("Hi Sam, I can't find"));
        let empty = "Hi Sam, this instance is empty or is using very little memory, my issues";
        assert!(diagnosis(&Account::default()).starts_with(empty));
        for (account, issue) in [
            (
                Account {
                    peak_used: 1 << 32,
                    ..healthy
                },
                "Peak memory",
            ),
            (
                Account {
                    allocators_resident: 1 << 31,
                    ..healthy
                },
                "fragmentation",
            ),
            (
                Account {
                    retired: 1 << 29,
                    ..healthy
                },
                "Retired",
            ),
            (
                Account {
                    heap: 3 << 28,
                    ..healthy
                },
                "buffers",
            ),
        ] {
            assert!(diagnosis(&account).contains(issue), "{issue}");
        }
    }
}
