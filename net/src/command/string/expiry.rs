//! Conditions and expiries: the options that SET and GETEX share.

use store::value::number::parse_integer;

use crate::command::{Args, Error, error};

/// How a time is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// From now.
    Seconds,
    /// From now.
    Milliseconds,
    /// Since 1970.
    UnixSeconds,
    /// Since 1970.
    UnixMilliseconds,
}

const UNITS: [(&str, Unit); 4] = [
    ("EX", Unit::Seconds),
    ("PX", Unit::Milliseconds),
    ("EXAT", Unit::UnixSeconds),
    ("PXAT", Unit::UnixMilliseconds),
];

/// When SET may set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// NX
    IfAbsent,
    /// XX
    IfPresent,
}

/// What stood behind the key and value of SET, or behind the key of GETEX.
#[derive(Debug, Default)]
pub(super) struct Options<'c> {
    pub(super) condition: Option<Condition>,
    /// GET
    pub(super) returns_old: bool,
    /// KEEPTTL
    pub(super) keeps_ttl: bool,
    /// PERSIST
    pub(super) persists: bool,
    expiry: Option<(Unit, &'c [u8])>,
}

impl<'c> Options<'c> {
    pub(super) fn of_set(args: &mut Args<'c>) -> Result<Options<'c>, Error> {
        let mut options = Options::default();
        while !args.is_empty() {
            if args.option("NX") {
                options.condition(Condition::IfAbsent)?;
            } else if args.option("XX") {
                options.condition(Condition::IfPresent)?;
            } else if args.option("GET") {
                options.returns_old = true;
            } else if options.expiry.is_none() && args.option("KEEPTTL") {
                options.keeps_ttl = true;
            } else {
                options.expiry(args)?;
            }
        }
        Ok(options)
    }

    pub(super) fn of_getex(args: &mut Args<'c>) -> Result<Options<'c>, Error> {
        let mut options = Options::default();
        while !args.is_empty() {
            if options.expiry.is_none() && args.option("PERSIST") {
                options.persists = true;
            } else {
                options.expiry(args)?;
            }
        }
        Ok(options)
    }

    fn condition(&mut self, condition: Condition) -> Result<(), Error> {
        match self.condition.replace(condition) {
            Some(earlier) if earlier != condition => Err(error::SYNTAX),
            _ => Ok(()),
        }
    }

    /// The same unit may be given again, and the last time counts.
    fn expiry(&mut self, args: &mut Args<'c>) -> Result<(), Error> {
        let (_, unit) = UNITS
            .into_iter()
            .find(|(name, _)| args.option(name))
            .ok_or(error::SYNTAX)?;
        let is_other = self.expiry.is_some_and(|(earlier, _)| earlier != unit);
        if is_other || self.keeps_ttl || self.persists {
            return Err(error::SYNTAX);
        }
        self.expiry = Some((unit, args.word()?));
        Ok(())
    }

    /// The moment that was asked for, if one was.
    ///
    /// # Errors
    /// As [`expires_at_ms`].
    pub(super) fn expires_at_ms(
        &self,
        now_ms: u64,
        command: &'static str,
    ) -> Result<Option<u64>, Error> {
        self.expiry
            .map(|(unit, time)| expires_at_ms(time, unit, now_ms, command))
            .transpose()
    }
}

/// The moment that `time` in `unit` names, in milliseconds since 1970.
///
/// # Errors
/// [`error::NOT_AN_INTEGER`], or that the time is not positive or too far away for 63 bits.
pub(crate) fn expires_at_ms(
    time: &[u8],
    unit: Unit,
    now_ms: u64,
    command: &'static str,
) -> Result<u64, Error> {
    let time = parse_integer(time).ok_or(error::NOT_AN_INTEGER)?;
    let milliseconds = match unit {
        Unit::Seconds | Unit::UnixSeconds => time.checked_mul(1000),
        Unit::Milliseconds | Unit::UnixMilliseconds => Some(time),
    };
    let start_ms = match unit {
        Unit::Seconds | Unit::Milliseconds => now_ms as i64,
        Unit::UnixSeconds | Unit::UnixMilliseconds => 0,
    };
    milliseconds
        .filter(|milliseconds| *milliseconds > 0)
        .and_then(|milliseconds| milliseconds.checked_add(start_ms))
        .map(|at_ms| at_ms as u64)
        .ok_or_else(|| error::invalid_expire_time(command))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_700_000_000_000;

    fn set(words: &[&str]) -> Result<(bool, Option<u64>), String> {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        let mut args = Args::new(&words);
        Options::of_set(&mut args)
            .and_then(|options| Ok((options.keeps_ttl, options.expires_at_ms(NOW_MS, "set")?)))
            .map_err(|error| String::from_utf8_lossy(error.text()).into_owned())
    }

    #[test]
    fn set_takes_options_that_go_together() {
        let syntax = Err("ERR syntax error".to_owned());
        let invalid = Err("ERR invalid expire time in 'set' command".to_owned());
        for (words, expected) in [
            (&["NX", "get"][..], Ok((false, None))),
            (&["nx", "XX"], syntax.clone()),
            (
                &["EX", "10", "ex", "20"],
                Ok((false, Some(NOW_MS + 20_000))),
            ),
            (&["PX", "10"], Ok((false, Some(NOW_MS + 10)))),
            (&["EXAT", "10"], Ok((false, Some(10_000)))),
            (&["PXAT", "10"], Ok((false, Some(10)))),
            (&["EX", "10", "PX", "20"], syntax.clone()),
            (&["KEEPTTL", "KEEPTTL"], Ok((true, None))),
            (&["KEEPTTL", "EX", "10"], syntax.clone()),
            (&["EX", "10", "KEEPTTL"], syntax.clone()),
            (&["PERSIST"], syntax.clone()),
            (&["EX"], syntax),
            (&["EX", "0"], invalid.clone()),
            (&["EX", "9223372036854776"], invalid.clone()),
            (&["PX", "9223372036854775807"], invalid),
            (
                &["PXAT", "9223372036854775807"],
                Ok((false, Some(i64::MAX as u64))),
            ),
        ] {
            assert_eq!(set(words), expected, "{words:?}");
        }
    }
}
