//! What the values of parameters look like, and what a text means as one.

use std::fmt;

use crate::output_limits::OutputLimits;
use crate::process;

/// What a parameter's value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A number from `min` to `max`.
    Number { min: u64, max: u64 },
    /// A number from `min` to `max`, either of which may be negative.
    Signed { min: i64, max: i64 },
    /// A number of bytes from `min` to `max`, with a unit behind it if one likes: `100mb`.
    Bytes { min: u64, max: u64 },
    /// As [`Kind::Bytes`], with memcached's units, which all are powers of two: `1m`.
    ItemBytes { min: u64, max: u64 },
    /// The permissions of a file, in octal.
    Mode,
    /// As `Bytes`, or percent of the memory there is.
    Memory,
    /// As `Bytes`, or percent of `maxmemory`, which is [`PERCENT`] and more.
    Share,
    /// Limits of what waits to be sent to each class of clients; see [`OutputLimits`].
    OutputLimits,
    /// `yes` or `no`.
    Switch,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Numbers from 0 to 100.
    Percentiles,
    /// A switch that stays off: nothing is written to disk so far.
    NoLog,
    /// When to write to disk, as `seconds changes` pairs: there are none so far.
    NoSnapshots,
    /// Anything.
    Text,
}

/// Why a value is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid(pub(crate) String);

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Invalid {}

/// A valid value: as a number where it is one, and in the one form CONFIG GET shows.
#[derive(Clone, Debug, Default)]
pub(super) struct Value {
    pub(super) number: u64,
    pub(super) text: String,
}

impl Kind {
    /// The value that a text means.
    ///
    /// # Errors
    /// Why it is none of this kind.
    pub(super) fn parse(&self, text: &str) -> Result<Value, Invalid> {
        let number = match *self {
            Kind::Number { min, max } => within(parse_number(text)?, min, max)?,
            Kind::Signed { min, max } => within(parse_number(text)?, min, max)?.cast_unsigned(),
            Kind::Bytes { min, max } => within(parse_bytes(text)?.into(), min, max)?,
            Kind::ItemBytes { min, max } => within(parse_item_bytes(text)?.into(), min, max)?,
            Kind::Memory => within(parse_memory(text)?.into(), 0, i64::MAX as u64)?,
            Kind::Share => parse_share(text)?,
            Kind::OutputLimits => OutputLimits::parse(text, OutputLimits::DEFAULT).map(|_| 0)?,
            Kind::Mode => parse_mode(text)?,
            Kind::Switch => u64::from(parse_switch(text)?),
            Kind::Choice(words) => parse_choice(text, words)?,
            Kind::Percentiles => parse_percentiles(text).map(|_| 0)?,
            Kind::NoLog => check_no_log(text).map(|()| 0)?,
            Kind::NoSnapshots => check_no_snapshots(text).map(|()| 0)?,
            Kind::Text => 0,
        };
        let text = match *self {
            Kind::Number { .. } | Kind::Bytes { .. } | Kind::ItemBytes { .. } | Kind::Memory => {
                number.to_string()
            }
            Kind::Signed { .. } => number.cast_signed().to_string(),
            Kind::Share if number >= PERCENT => format!("{}%", number - PERCENT),
            Kind::Share => number.to_string(),
            Kind::OutputLimits => OutputLimits::parse(text, OutputLimits::DEFAULT)?.to_string(),
            Kind::Mode => format!("{number:o}"),
            Kind::Switch => if number == 1 { "yes" } else { "no" }.into(),
            Kind::Choice(words) => words[number as usize].into(),
            Kind::Percentiles => percentiles_as_text(&parse_percentiles(text)?),
            Kind::NoLog => "no".into(),
            Kind::NoSnapshots => String::new(),
            Kind::Text => text.into(),
        };
        Ok(Value { number, text })
    }
}

fn within<N>(number: i128, min: N, max: N) -> Result<N, Invalid>
where
    N: TryFrom<i128> + PartialOrd + fmt::Display,
{
    N::try_from(number)
        .ok()
        .filter(|number| (&min..=&max).contains(&number))
        .ok_or_else(|| {
            Invalid(format!(
                "argument must be between {min} and {max} inclusive"
            ))
        })
}

fn parse_number(text: &str) -> Result<i128, Invalid> {
    text.parse::<i64>()
        .map(i128::from)
        .map_err(|_| Invalid("argument couldn't be parsed into an integer".into()))
}

pub(crate) fn parse_bytes(text: &str) -> Result<u64, Invalid> {
    let invalid = || Invalid("argument must be a memory value".into());
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor = match unit.to_ascii_lowercase().as_str() {
        // Redis takes no digits for zero, too.
        "" if number.is_empty() => return Ok(0),
        "" | "b" => 1,
        "k" => 1_000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return Err(invalid()),
    };
    let number: u64 = number.parse().map_err(|_| invalid())?;
    number.checked_mul(factor).ok_or_else(invalid)
}

fn parse_memory(text: &str) -> Result<u64, Invalid> {
    let Some(percent) = text.strip_suffix('%') else {
        return parse_bytes(text);
    };
    match percent.parse::<u64>() {
        Ok(percent) if percent <= 100 => Ok(process::memory_there_is_bytes() / 100 * percent),
        _ => Err(Invalid("argument must be a memory or percent value".into())),
    }
}

/// A share of so many percent is this and so many more.
pub(super) const PERCENT: u64 = 1 << 63;

fn parse_share(text: &str) -> Result<u64, Invalid> {
    let invalid = |what: &str| Invalid(what.into());
    let is_neither = || invalid("argument must be a memory or percent value");
    match text.strip_suffix('%').map(str::parse::<u64>) {
        None => {
            let bytes = parse_bytes(text).map_err(|_| is_neither())?;
            within(bytes.into(), 0, i64::MAX as u64)
        }
        Some(Ok(0)) => Ok(0),
        Some(Ok(percent)) if percent <= 100 => Ok(PERCENT + percent),
        Some(Ok(_)) => Err(invalid("percentage argument must be less or equal to 100")),
        Some(Err(_)) => Err(is_neither()),
    }
}

fn parse_item_bytes(text: &str) -> Result<u64, Invalid> {
    match text.strip_suffix(['k', 'K', 'm', 'M', 'g', 'G']) {
        Some(_) => parse_bytes(&format!("{text}b")),
        None => parse_bytes(text),
    }
}

fn parse_mode(text: &str) -> Result<u64, Invalid> {
    u64::from_str_radix(text, 8)
        .ok()
        .filter(|mode| *mode <= 0o777)
        .ok_or_else(|| Invalid("argument must be an octal mode from 0 to 777".into()))
}

fn parse_switch(text: &str) -> Result<bool, Invalid> {
    match text.to_ascii_lowercase().as_str() {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err(Invalid("argument must be 'yes' or 'no'".into())),
    }
}

/// The numbers in a list of percentiles.
pub(crate) fn parse_percentiles(text: &str) -> Result<Vec<f64>, Invalid> {
    const NAME: &str = "latency-tracking-info-percentiles";
    let parse = |word: &str| match word.parse::<f64>() {
        Ok(number) if (0.0..=100.0).contains(&number) => Ok(number),
        Ok(_) => Err(Invalid(format!(
            "{NAME} parameters should sit between [0.0,100.0]"
        ))),
        Err(_) => Err(Invalid(format!("Invalid {NAME} parameters"))),
    };
    text.split_whitespace().map(parse).collect()
}

fn percentiles_as_text(percentiles: &[f64]) -> String {
    let words: Vec<_> = percentiles.iter().map(f64::to_string).collect();
    words.join(" ")
}

fn check_no_log(text: &str) -> Result<(), Invalid> {
    match parse_switch(text)? {
        false => Ok(()),
        true => Err(Invalid(
            "argument must be 'no': writes are not logged".into(),
        )),
    }
}

fn check_no_snapshots(text: &str) -> Result<(), Invalid> {
    let numbers: Option<Vec<u32>> = text
        .split_whitespace()
        .map(|word| word.parse().ok())
        .collect();
    match numbers.as_deref().map(<[u32]>::as_chunks) {
        Some(([], [])) => Ok(()),
        Some((pairs, [])) if pairs.iter().all(|[seconds, _]| *seconds > 0) => Err(Invalid(
            "argument must be empty: no snapshots are written".into(),
        )),
        _ => Err(Invalid("Invalid save parameters".into())),
    }
}

fn parse_choice(text: &str, words: &[&str]) -> Result<u64, Invalid> {
    words
        .iter()
        .position(|word| word.eq_ignore_ascii_case(text))
        .map(|at| at as u64)
        .ok_or_else(|| {
            Invalid(format!(
                "argument(s) must be one of the following: {}",
                words.join(", ")
            ))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_take_units() {
        for (text, bytes) in [("1", 1), ("2k", 2000), ("2kb", 2048), ("1GB", 1 << 30)] {
            assert_eq!(parse_bytes(text), Ok(bytes));
        }
        assert_eq!(parse_bytes(""), Ok(0));
        for text in ["mb", "-1", "1tb", "99999999999gb"] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
        for (text, bytes) in [("1024", 1024), ("2k", 2048), ("2kb", 2048), ("1M", 1 << 20)] {
            assert_eq!(parse_item_bytes(text), Ok(bytes));
        }
    }

    #[test]
    fn modes_are_octal() {
        assert_eq!(Kind::Mode.parse("770").expect("a mode").number, 0o770);
        assert_eq!(Kind::Mode.parse("0700").expect("a mode").text, "700");
        for text in ["", "8", "1777", "-1", "rwx"] {
            assert!(Kind::Mode.parse(text).is_err(), "{text}");
        }
    }
}
