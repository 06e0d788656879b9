//! Where a server's parameters come from: a flag before the environment before a flagfile.
//!
//! Nothing here names a parameter: flags (`--memcached_port`, or `--memcached-port`), variables
//! (`MAYFLY_MEMCACHED_PORT`) and lines of a flagfile (`--memcached_port=11211`) are derived from
//! [`PARAMETERS`]. A switch may stand without a value, which is `yes`.

use std::ffi::OsString;
use std::fmt;

use structopt::StructOpt;
use structopt::clap::{App, AppSettings, Arg, ArgMatches, ErrorKind};

use crate::config::{Config, Invalid, Kind, PARAMETERS, Parameter};

const FLAGFILE: &str = "flagfile";
const VARIABLE_PREFIX: &str = "MAYFLY_";

/// The flags that were given, by their place among the parameters.
#[derive(Debug)]
struct Flags {
    values: Vec<Option<String>>,
    flagfile: Option<String>,
}

/// Why there is nothing to start.
#[derive(Debug)]
pub enum NoStart {
    /// Help or the version was asked for: this text.
    Told(String),
    /// Something given is wrong: one line.
    Wrong(String),
}

impl fmt::Display for NoStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoStart::Told(text) | NoStart::Wrong(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for NoStart {}

impl Config {
    /// What the words of a command line ask for (the program's name first), with the environment
    /// and a flagfile behind them.
    ///
    /// # Errors
    /// A flag, variable or line that is unknown or has an invalid value; an unreadable flagfile;
    /// a wish for help.
    pub fn from_command_line(
        words: impl IntoIterator<Item = OsString>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Config, NoStart> {
        let flags = Flags::from_iter_safe(words).map_err(told_or_wrong)?;
        let variable = |name: &str| {
            let name = format!("{VARIABLE_PREFIX}{}", name.to_ascii_uppercase());
            let value = variable(&name).filter(|value| !value.is_empty())?;
            Some((name, value))
        };
        let mut config = Config::default();
        let flagfile = flags
            .flagfile
            .or_else(|| variable(FLAGFILE).map(|(_, path)| path));
        if let Some(path) = flagfile {
            config = read_flagfile(config, &path)?;
        }
        for (parameter, flag) in PARAMETERS.iter().zip(flags.values) {
            let (source, value) = match (flag, variable(parameter.flag)) {
                (Some(value), _) => (format!("--{}={value}", parameter.flag), value),
                (None, Some((name, value))) => (format!("{name}={value}"), value),
                (None, None) => continue,
            };
            config = config
                .with(parameter.flag, &value)
                .map_err(|Invalid(why)| NoStart::Wrong(format!("{source}: {why}")))?;
        }
        Ok(config)
    }
}

fn told_or_wrong(error: structopt::clap::Error) -> NoStart {
    match error.kind {
        ErrorKind::HelpDisplayed | ErrorKind::VersionDisplayed => NoStart::Told(error.message),
        _ => {
            let line = error.message.lines().next().unwrap_or_default();
            NoStart::Wrong(line.trim_start_matches("error: ").to_owned())
        }
    }
}

fn read_flagfile(mut config: Config, path: &str) -> Result<Config, NoStart> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| NoStart::Wrong(format!("cannot read the flagfile {path}: {error}")))?;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let flag = line.trim_start_matches('-');
        let (name, value) = match flag.split_once('=') {
            Some((name, value)) => (name.trim(), Some(value.trim())),
            None => (flag, None),
        };
        let wrong = |why: &str| NoStart::Wrong(format!("{path}:{}: {why}", number + 1));
        let parameter = PARAMETERS
            .iter()
            .find(|parameter| parameter.flag == name || dashed(parameter) == name)
            .ok_or_else(|| wrong(&format!("no flag '{name}'")))?;
        let value = match (value, parameter.kind) {
            (Some(value), _) => value,
            (None, Kind::Switch) => "yes",
            (None, _) => return Err(wrong(&format!("'{name}' needs a value"))),
        };
        config = config
            .with(parameter.flag, value)
            .map_err(|Invalid(why)| wrong(&format!("{name}={value}: {why}")))?;
    }
    Ok(config)
}

fn dashed(parameter: &Parameter) -> String {
    parameter.flag.replace('_', "-")
}

impl StructOpt for Flags {
    fn clap<'a, 'b>() -> App<'a, 'b> {
        let flagfile = Arg::with_name(FLAGFILE)
            .long(FLAGFILE)
            .takes_value(true)
            .help("A file with one flag per line");
        let flags = PARAMETERS.iter().map(|parameter| {
            // Read once per process: what is leaked is a few short names.
            let alias: &'static str = dashed(parameter).leak();
            let help: &'static str = match parameter.default {
                "" => parameter.doc,
                default => format!("{} [default: {default}]", parameter.doc).leak(),
            };
            let flag = Arg::with_name(parameter.flag)
                .long(parameter.flag)
                .alias(alias)
                .takes_value(true)
                .value_name("value")
                .help(help);
            match parameter.kind {
                Kind::Switch => flag.min_values(0).max_values(1),
                Kind::Text => flag.allow_hyphen_values(true),
                _ => flag,
            }
        });
        App::new("mayfly")
            .version(env!("CARGO_PKG_VERSION"))
            .about("A Memcached and a Redis at once, over one lock-free keyspace")
            .after_help(
                "Each flag can also be set by a variable (MAYFLY_PORT=7000) or by a line of the \
                 flagfile (--port=7000); flags override variables, which override the flagfile.",
            )
            .setting(AppSettings::AllArgsOverrideSelf)
            .setting(AppSettings::ColorNever)
            .setting(AppSettings::UnifiedHelpMessage)
            .arg(flagfile)
            .args(&flags.collect::<Vec<_>>())
    }

    fn from_clap(matches: &ArgMatches<'_>) -> Flags {
        let value = |name: &str| match matches.occurrences_of(name) {
            0 => None,
            _ => Some(matches.value_of(name).unwrap_or("yes").to_owned()),
        };
        Flags {
            values: PARAMETERS.iter().map(|p| value(p.flag)).collect(),
            flagfile: value(FLAGFILE),
        }
    }
}

#[cfg(test)]
mod tests {
    use store::Policy;

    use super::*;
    use crate::config::Setting;

    fn config(words: &[&str], variables: &[(&str, &str)]) -> Result<Config, NoStart> {
        let words = std::iter::once("mayfly").chain(words.iter().copied());
        Config::from_command_line(words.map(OsString::from), |name| {
            let (_, value) = variables.iter().find(|(known, _)| *known == name)?;
            Some((*value).to_owned())
        })
    }

    #[test]
    fn a_flag_goes_before_a_variable() {
        let variables = [("MAYFLY_PORT", "1"), ("MAYFLY_TIMEOUT", "7")];
        let config = config(&["--port", "2", "--port=3"], &variables).expect("valid");
        assert_eq!(config.number(Setting::Port), 3);
        assert_eq!(config.number(Setting::Timeout), 7);
    }

    #[test]
    fn who_serves_memcached_evicts_unless_told_otherwise() {
        for (words, expected) in [
            (&["--port=1"][..], Policy::NoEviction),
            (&["--memcached_port=1"], Policy::CacheMode),
            (&["--memcached_unixsocket=m"], Policy::CacheMode),
            (
                &["--memcached_port=1", "--maxmemory_policy=noeviction"],
                Policy::NoEviction,
            ),
            (
                &["--cache_mode=false", "--memcached_port=1"],
                Policy::NoEviction,
            ),
            (
                &["--maxmemory_policy=allkeys-lru", "--cache_mode=false"],
                Policy::AllkeysLru,
            ),
        ] {
            let config = config(words, &[]).expect("valid");
            assert_eq!(config.policy(), expected, "{words:?}");
        }
    }

    #[test]
    fn a_flag_takes_back_the_cache_mode_of_a_variable() {
        let variables = [("MAYFLY_CACHE_MODE", "yes")];
        let policy = |words: &[&str]| config(words, &variables).expect("valid").policy();
        assert_eq!(policy(&[]), Policy::CacheMode);
        assert_eq!(policy(&["--cache_mode=false"]), Policy::NoEviction);
    }

    #[test]
    fn dashes_do_for_underscores_and_switches_for_themselves() {
        for (words, expected) in [
            (&["--memcached-noauth"][..], 1),
            (&["--memcached_noauth", "--memcached-port", "5"], 1),
            (&["--memcached_noauth=false"], 0),
            (&["--memcached_noauth", "no"], 0),
        ] {
            let config = config(words, &[]).expect("valid");
            assert_eq!(
                config.number(Setting::MemcachedNoauth),
                expected,
                "{words:?}"
            );
        }
        let off = config(&[], &[("MAYFLY_MEMCACHED_NOAUTH", "false")]).expect("valid");
        assert_eq!(off.number(Setting::MemcachedNoauth), 0);
    }

    #[test]
    fn what_is_wrong_is_told_in_one_line() {
        for (words, line) in [
            (
                &["--port", "x"][..],
                "--port=x: argument couldn't be parsed into an integer",
            ),
            (
                &["--port=70000"],
                "--port=70000: argument must be between 0 and 65535 inclusive",
            ),
            (
                &["--prot", "1"],
                "Found argument '--prot' which wasn't expected, or isn't valid in this context",
            ),
            (
                &["--maxmemory", "much"],
                "--maxmemory=much: argument must be a memory value",
            ),
        ] {
            let told = config(words, &[]).expect_err("wrong").to_string();
            assert_eq!(told, line);
        }
    }
}
