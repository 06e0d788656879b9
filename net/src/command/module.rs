//! MODULE: what is a module of Redis, and built in here.
//!
//! Clients and tools switch on what they find listed: commands, views, types.

use super::Body::{Container, Run};
use super::Flag::{Admin, Loading, NoScript, Stale, Unordered};
use super::{Call, Command, Error, Family, Reply, introspect};

/// A module whose commands are here.
#[derive(Debug)]
pub(super) struct Module {
    /// Its name to Redis.
    pub(super) name: &'static str,
    /// The version whose commands these are: 10,000 for each major one, 100 for each minor one.
    pub(super) version: i64,
    /// The family of its commands.
    family: &'static str,
}

/// All of them.
pub(super) const MODULES: &[Module] = &[Module {
    name: "ReJSON",
    version: 80_604,
    family: "json",
}];

pub(super) const FAMILY: Family = Family {
    name: "server",
    commands: &[Command {
        name: "module",
        syntax: "",
        summary: "Tells of modules.",
        since: "4.0.0",
        complexity: "Depends on the subcommand.",
        flags: &[],
        keys: &[],
        body: Container(&[
            Command {
                name: "help",
                syntax: "",
                summary: "Explains the subcommands.",
                since: "5.0.0",
                complexity: "O(1)",
                flags: &[Loading, Stale],
                keys: &[],
                body: Run(|call| introspect::help(call, "module")),
            },
            Command {
                name: "list",
                syntax: "",
                summary: "Lists the modules whose commands are there.",
                since: "4.0.0",
                complexity: "O(N) with N modules",
                flags: &[Admin, NoScript, Unordered],
                keys: &[],
                body: Run(list),
            },
        ]),
    }],
};

/// The module that a family of commands is of.
pub(super) fn of(family: &Family) -> Option<&'static Module> {
    MODULES.iter().find(|module| module.family == family.name)
}

/// Answers with all modules: MODULE LIST, and a part of HELLO.
pub(super) fn reply_modules(reply: &mut Reply<'_>) {
    reply.array(MODULES.len());
    for module in MODULES {
        reply.map(4);
        reply.bulk(b"name");
        reply.bulk(module.name.as_bytes());
        reply.bulk(b"ver");
        reply.integer(module.version);
        // It is loaded from no file, without arguments.
        reply.bulk(b"path");
        reply.bulk(b"");
        reply.bulk(b"args");
        reply.array(0);
    }
}

fn list(call: &mut Call<'_>) -> Result<(), Error> {
    reply_modules(&mut call.reply);
    Ok(())
}
