//! Server commands: DBSIZE, FLUSHALL, FLUSHDB, INFO, LOLWUT, SHUTDOWN, SWAPDB, TIME.

use super::Flag::{
    Admin, AllSucceed, AllowBusy, Combined, Fast, Loading, NoMulti, NoScript, Readonly, Stale, Sum,
    ToAllShards, Unsteady, Write,
};
use super::{Body, Call, Command, Error, Family, error, info};
use crate::clock;

pub(super) const FAMILY: Family = Family {
    name: "server",
    commands: &[
        Command {
            name: "dbsize",
            syntax: "",
            summary: "Counts the keys of the database.",
            since: "1.0.0",
            complexity: "O(1)",
            flags: &[Readonly, Fast, ToAllShards, Sum],
            keys: &[],
            body: Body::Run(dbsize),
        },
        Command {
            name: "flushall",
            syntax: "[ASYNC | SYNC]",
            summary: "Removes all keys of all databases.",
            since: "1.0.0",
            complexity: "O(1); memory is freed in the background",
            flags: &[Write, ToAllShards, AllSucceed],
            keys: &[],
            body: Body::Run(flushall),
        },
        Command {
            name: "flushdb",
            syntax: "[ASYNC | SYNC]",
            summary: "Removes all keys of the database.",
            since: "1.0.0",
            complexity: "O(1); memory is freed in the background",
            flags: &[Write, ToAllShards, AllSucceed],
            keys: &[],
            body: Body::Run(flushdb),
        },
        Command {
            name: "info",
            syntax: "[section [section ...]]",
            summary: "Describes the server and counts what it did.",
            since: "1.0.0",
            complexity: "O(1)",
            flags: &[Loading, Stale, Unsteady, ToAllShards, Combined],
            keys: &[],
            body: Body::Run(info::info),
        },
        Command {
            name: "lolwut",
            syntax: "[VERSION version]",
            summary: "Draws a swarm over the water.",
            since: "5.0.0",
            complexity: "O(1)",
            flags: &[Readonly, Fast],
            keys: &[],
            body: Body::Run(lolwut),
        },
        Command {
            name: "shutdown",
            syntax: "[NOSAVE | SAVE] [NOW] [FORCE] [ABORT]",
            summary: "Ends the server.",
            since: "1.0.0",
            complexity: "O(1)",
            flags: &[Admin, NoScript, Loading, Stale, AllowBusy, NoMulti],
            keys: &[],
            body: Body::Run(shutdown),
        },
        Command {
            name: "swapdb",
            syntax: "index1 index2",
            summary: "Exchanges two databases.",
            since: "4.0.0",
            complexity: "O(1)",
            flags: &[Write, Fast],
            keys: &[],
            body: Body::Run(swapdb),
        },
        Command {
            name: "time",
            syntax: "",
            summary: "Answers the time: seconds since 1970, and microseconds.",
            since: "2.6.0",
            complexity: "O(1)",
            flags: &[Loading, Stale, Fast, Unsteady],
            keys: &[],
            body: Body::Run(time),
        },
    ],
};

fn dbsize(call: &mut Call<'_>) -> Result<(), Error> {
    call.reply.integer(call.db.len() as i64);
    Ok(())
}

/// Takes ASYNC or SYNC, which come to the same here: nobody waits for memory to be freed.
fn flush_option(call: &mut Call<'_>) -> Result<(), Error> {
    let _ = call.args.option("async") || call.args.option("sync");
    call.args.end()
}

fn flushall(call: &mut Call<'_>) -> Result<(), Error> {
    flush_option(call)?;
    call.shared.store.flush_all();
    call.reply.ok();
    Ok(())
}

fn flushdb(call: &mut Call<'_>) -> Result<(), Error> {
    flush_option(call)?;
    call.shared.store.flush(call.db.index());
    call.reply.ok();
    Ok(())
}

fn swapdb(call: &mut Call<'_>) -> Result<(), Error> {
    let mut index = |wrong: &'static str| {
        let index = call.args.integer().ok().map(i32::try_from);
        index.and_then(Result::ok).ok_or(Error::Text(wrong))
    };
    let one = index("ERR invalid first DB index")?;
    let other = index("ERR invalid second DB index")?;
    let store = &call.shared.store;
    let known = |index: i32| {
        usize::try_from(index)
            .ok()
            .filter(|i| *i < store.databases())
    };
    let (Some(one), Some(other)) = (known(one), known(other)) else {
        return Err(super::connection::NO_SUCH_DB);
    };
    store.swap(one, other);
    call.reply.ok();
    Ok(())
}

fn time(call: &mut Call<'_>) -> Result<(), Error> {
    let now = clock::since_1970();
    call.reply.array(2);
    call.reply.bulk_integer(now.as_secs() as i64);
    call.reply.bulk_integer(i64::from(now.subsec_micros()));
    Ok(())
}

fn shutdown(call: &mut Call<'_>) -> Result<(), Error> {
    let (mut is_abort, mut saves, mut others) = (false, 0, 0);
    while let Some(word) = call.args.next() {
        match word.to_ascii_lowercase().as_slice() {
            b"save" | b"nosave" => saves += 1,
            b"now" | b"force" => others += 1,
            b"abort" => is_abort = true,
            _ => return Err(error::SYNTAX),
        }
    }
    if saves > 1 || (is_abort && saves + others > 0) {
        return Err(error::SYNTAX);
    }
    if is_abort {
        return Err(Error::Text("ERR No shutdown in progress."));
    }
    log::info!("SHUTDOWN by client {}", call.session.id);
    call.session.is_closing = true;
    call.shared.stop();
    Ok(())
}

const SWARM_WIDTH: usize = 64;
const SWARM_HEIGHT: usize = 9;
const WAVE: &str = "~^~~-~~^";

/// Mayflies live for a day: each drawing is another swarm.
fn lolwut(call: &mut Call<'_>) -> Result<(), Error> {
    if call.args.option("version") {
        call.args.integer()?;
    }
    let mut air = vec![vec![b' '; SWARM_WIDTH]; SWARM_HEIGHT];
    for _ in 0..24 {
        // The sum of two draws: dense in the middle.
        let near_middle = |width: usize| (fastrand::usize(..width) + fastrand::usize(..width)) / 2;
        let (row, column) = (near_middle(SWARM_HEIGHT), near_middle(SWARM_WIDTH - 4));
        let mayfly: &[u8] = if fastrand::bool() { b">o<" } else { b"\\o/" };
        air[row][column..column + mayfly.len()].copy_from_slice(mayfly);
    }
    let mut text = String::new();
    for row in &air {
        text.push_str(String::from_utf8_lossy(row).trim_end());
        text.push('\n');
    }
    text.push_str(&WAVE.repeat(SWARM_WIDTH / WAVE.len()));
    text.push_str(concat!(
        "\n\nA swarm, for one evening. Mayfly ver. ",
        env!("CARGO_PKG_VERSION"),
        "\n"
    ));
    call.reply.verbatim("txt", text.as_bytes());
    Ok(())
}
