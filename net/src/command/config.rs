//! CONFIG: the server's parameters, read and changed while it runs.

use super::Flag::{Admin, AllSucceed, Loading, NoScript, Stale, ToAllNodes};
use super::{Body, Call, Command, Error, Family, Flag, error, introspect};
use crate::config::given::{self, GIVEN};
use crate::config::{self, Invalid, Parameter};
use crate::glob;

pub(super) const FAMILY: Family = Family {
    name: "server",
    commands: &[Command {
        name: "config",
        syntax: "",
        summary: "Reads and changes the server's parameters.",
        since: "2.0.0",
        complexity: "Depends on the subcommand.",
        flags: &[],
        keys: &[],
        body: Body::Container(SUBCOMMANDS),
    }],
};

const ADMIN: &[Flag] = &[Admin, NoScript, Loading, Stale];
const OF_ALL_NODES: &[Flag] = &[Admin, NoScript, Loading, Stale, ToAllNodes, AllSucceed];

const SUBCOMMANDS: &[Command] = &[
    Command {
        name: "get",
        syntax: "parameter [parameter ...]",
        summary: "Answers the parameters whose names match.",
        since: "2.0.0",
        complexity: "O(N) where N is the number of parameters",
        flags: ADMIN,
        keys: &[],
        body: Body::Run(get),
    },
    Command {
        name: "help",
        syntax: "",
        summary: "Explains the subcommands.",
        since: "5.0.0",
        complexity: "O(1)",
        flags: &[Loading, Stale],
        keys: &[],
        body: Body::Run(help),
    },
    Command {
        name: "resetstat",
        syntax: "",
        summary: "Lets INFO's counts begin anew.",
        since: "2.0.0",
        complexity: "O(1)",
        flags: OF_ALL_NODES,
        keys: &[],
        body: Body::Run(resetstat),
    },
    Command {
        name: "rewrite",
        syntax: "",
        summary: "Writes the parameters to the configuration file, which there is not.",
        since: "2.8.0",
        complexity: "O(1)",
        flags: OF_ALL_NODES,
        keys: &[],
        body: Body::Run(rewrite),
    },
    Command {
        name: "set",
        syntax: "parameter value [parameter value ...]",
        summary: "Changes parameters, all or none.",
        since: "2.0.0",
        complexity: "O(N) where N is the number of parameters",
        flags: OF_ALL_NODES,
        keys: &[],
        body: Body::Run(set),
    },
];

fn help(call: &mut Call<'_>) -> Result<(), Error> {
    introspect::help(call, "config")
}

fn get(call: &mut Call<'_>) -> Result<(), Error> {
    let patterns = call.args.rest();
    let wanted: Vec<_> = config::names()
        .filter_map(|(name, setting)| Some((shown_name(name, patterns)?, setting)))
        .collect();
    let wanted_given: Vec<_> = GIVEN
        .iter()
        .filter_map(|given| Some((shown_name(given.name, patterns)?, given.value)))
        .collect();
    call.reply.map(wanted.len() + wanted_given.len());
    for (name, setting) in wanted {
        call.reply.bulk(name);
        call.reply
            .bulk(call.shared.settings.text(setting).as_bytes());
    }
    for (name, value) in wanted_given {
        call.reply.bulk(name);
        call.reply.bulk(value.as_bytes());
    }
    Ok(())
}

/// The form in which a parameter's name is shown if any of `patterns` means it: as it was written
/// by who asked for it alone.
fn shown_name<'n>(name: &'static str, patterns: &[&'n [u8]]) -> Option<&'n [u8]> {
    let pattern = patterns
        .iter()
        .find(|pattern| glob::matches(&pattern.to_ascii_lowercase(), name.as_bytes()))?;
    let is_glob = pattern.iter().any(|byte| b"[*?".contains(byte));
    Some(if is_glob { name.as_bytes() } else { pattern })
}

fn set(call: &mut Call<'_>) -> Result<(), Error> {
    let words = call.args.rest();
    if !words.len().is_multiple_of(2) {
        return Err(error::SYNTAX);
    }
    let mut changes: Vec<(&Parameter, String)> = Vec::new();
    for (at, pair) in words.chunks_exact(2).enumerate() {
        let value = String::from_utf8_lossy(pair[1]).into_owned();
        let failed = |why: &str| {
            let before = "ERR CONFIG SET failed (possibly related to argument '";
            error::quoting(before, pair[0], &format!("') - {why}"))
        };
        if let Some(given) = given::find(pair[0]) {
            match given.refusal(&value) {
                Some(why) => return Err(failed(&why)),
                None => continue,
            }
        }
        let parameter = config::find(pair[0]).ok_or_else(|| {
            let before = "ERR Unknown option or number of arguments for CONFIG SET - '";
            error::quoting(before, pair[0], "'")
        })?;
        if !parameter.is_mutable {
            return Err(failed("can't set immutable config"));
        }
        // An older name beside the newer one is none: the last of them counts.
        let mut names = words.iter().step_by(2).take(at);
        if names.any(|name| name.eq_ignore_ascii_case(pair[0])) {
            return Err(failed("duplicate parameter"));
        }
        parameter
            .check(&value)
            .map_err(|Invalid(why)| failed(&why))?;
        changes.push((parameter, value));
    }
    for (parameter, value) in changes {
        // It was checked above.
        let _ = call.shared.settings.set(parameter.setting, &value);
    }
    call.shared.apply_to_store();
    call.reply.ok();
    Ok(())
}

fn resetstat(call: &mut Call<'_>) -> Result<(), Error> {
    call.shared.stats.reset();
    call.shared.store.reset_counts();
    call.reply.ok();
    Ok(())
}

fn rewrite(_: &mut Call<'_>) -> Result<(), Error> {
    Err(Error::Text(
        "ERR The server is running without a config file",
    ))
}
