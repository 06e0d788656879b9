//! When a key is gone: EXPIRE, TTL and their kin.

use store::value::number::parse_integer;
use store::value::same_value;
use store::{Change, Draft, Entry};

use super::Body::Run;
use super::Flag::{Fast, Readonly, Unsteady, Write};
use super::Keys::{At, For};
use super::Use::Update;
use super::{Args, Call, Command, Error, Family, error};

const KILOBYTE: usize = 1024;

const NX_WITH_OTHERS: Error =
    Error::Text("ERR NX and XX, GT or LT options at the same time are not compatible");
const GT_WITH_LT: Error = Error::Text("ERR GT and LT options at the same time are not compatible");

pub(super) const FAMILY: Family = Family {
    name: "generic",
    commands: &[
        Command {
            name: "expire",
            syntax: "key seconds [NX | XX | GT | LT]",
            summary: "Lets a key expire after some seconds.",
            since: "1.0.0",
            complexity: "O(1)",
            flags: &[Write, Fast],
            keys: &[For(Update, &At(1))],
            body: Run(expire),
        },
        Command {
            name: "expireat",
            syntax: "key unix-time-seconds [NX | XX | GT | LT]",
            summary: "Lets a key expire at a moment, in Unix seconds.",
            since: "1.2.0",
            complexity: "O(1)",
            flags: &[Write, Fast],
            keys: &[For(Update, &At(1))],
            body: Run(expireat),
        },
        Command {
            name: "expiretime",
            syntax: "key",
            summary: "Tells when a key expires, in Unix seconds.",
            since: "7.0.0",
            complexity: "O(1)",
            flags: &[Readonly, Fast],
            keys: &[At(1)],
            body: Run(expiretime),
        },
        Command {
            name: "persist",
            syntax: "key",
            summary: "Lets a key live until it is removed.",
            since: "2.2.0",
            complexity: "O(1)",
            flags: &[Write, Fast],
            keys: &[For(Update, &At(1))],
            body: Run(persist),
        },
        Command {
            name: "pexpire",
            syntax: "key milliseconds [NX | XX | GT | LT]",
            summary: "Lets a key expire after some milliseconds.",
            since: "2.6.0",
            complexity: "O(1)",
            flags: &[Write, Fast],
            keys: &[For(Update, &At(1))],
            body: Run(pexpire),
        },
        Command {
            name: "pexpireat",
            syntax: "key unix-time-milliseconds [NX | XX | GT | LT]",
            summary: "Lets a key expire at a moment, in Unix milliseconds.",
            since: "2.6.0",
            complexity: "O(1)",
            flags: &[Write, Fast],
            keys: &[For(Update, &At(1))],
            body: Run(pexpireat),
        },
        Command {
            name: "pexpiretime",
            syntax: "key",
            summary: "Tells when a key expires, in Unix milliseconds.",
            since: "7.0.0",
            complexity: "O(1)",
            flags: &[Readonly, Fast],
            keys: &[At(1)],
            body: Run(pexpiretime),
        },
        Command {
            name: "pttl",
            syntax: "key",
            summary: "Tells how many milliseconds a key has left.",
            since: "2.6.0",
            complexity: "O(1)",
            flags: &[Readonly, Fast, Unsteady],
            keys: &[At(1)],
            body: Run(pttl),
        },
        Command {
            name: "ttl",
            syntax: "key",
            summary: "Tells how many seconds a key has left.",
            since: "1.0.0",
            complexity: "O(1)",
            flags: &[Readonly, Fast, Unsteady],
            keys: &[At(1)],
            body: Run(ttl),
        },
    ],
};

fn expire(call: &mut Call<'_>) -> Result<(), Error> {
    let now_ms = call.db.now_ms();
    expire_from(call, now_ms, MS_PER_SECOND, "expire")
}

fn expireat(call: &mut Call<'_>) -> Result<(), Error> {
    expire_from(call, 0, MS_PER_SECOND, "expireat")
}

fn pexpire(call: &mut Call<'_>) -> Result<(), Error> {
    let now_ms = call.db.now_ms();
    expire_from(call, now_ms, 1, "pexpire")
}

fn pexpireat(call: &mut Call<'_>) -> Result<(), Error> {
    expire_from(call, 0, 1, "pexpireat")
}

const MS_PER_SECOND: i64 = 1000;

fn expire_from(
    call: &mut Call<'_>,
    start_ms: u64,
    unit_ms: i64,
    command: &'static str,
) -> Result<(), Error> {
    let (key, time) = (call.args.word()?, call.args.word()?);
    let conditions = Conditions::parse(&mut call.args)?;
    let at_ms = parse_integer(time)
        .ok_or(error::NOT_AN_INTEGER)?
        .checked_mul(unit_ms)
        .and_then(|time_ms| time_ms.checked_add(start_ms as i64))
        .ok_or_else(|| error::invalid_expire_time(command))?;
    // What is before 1970 is as good as 1970.
    let at_ms = u64::try_from(at_ms).unwrap_or(0);
    let is_set = call.db.update(key, |entry| {
        let Some(entry) = entry else {
            return Ok((Change::Keep, Ok(false)));
        };
        if !conditions.allow(entry.expires_at_ms(), at_ms) {
            return Ok((Change::Keep, Ok(false)));
        }
        match redate(call, entry, Some(at_ms)) {
            Ok(change) => Ok((change, Ok(true))),
            Err(offload) => Ok((Change::Keep, Err(offload))),
        }
    })??;
    call.reply.flag(is_set);
    Ok(())
}

/// The same value under another expiry; nothing at all if that is past already.
///
/// # Errors
/// [`Error::Offload`]: what stands in the entry is copied.
pub(super) fn redate<'g>(
    call: &Call<'_>,
    entry: Entry<'g>,
    expires_at_ms: Option<u64>,
) -> Result<Change<'g>, Error> {
    if expires_at_ms.is_some_and(|at_ms| at_ms <= call.db.now_ms()) {
        return Ok(Change::Remove);
    }
    if expires_at_ms.is_none() && entry.expires_at_ms().is_none() {
        return Ok(Change::Keep);
    }
    call.heavy(entry.memory_bytes() / KILOBYTE)?;
    let same = Draft::keeping(entry, same_value(entry));
    Ok(Change::Put(same.expiring(expires_at_ms)))
}

/// When EXPIRE may change the expiry.
#[derive(Clone, Copy, Debug, Default)]
struct Conditions {
    /// NX
    if_none: bool,
    /// XX
    if_some: bool,
    /// GT
    if_later: bool,
    /// LT
    if_earlier: bool,
}

impl Conditions {
    fn parse(args: &mut Args<'_>) -> Result<Conditions, Error> {
        let mut found = Conditions::default();
        while let Some(word) = args.peek() {
            let condition = [
                ("NX", &mut found.if_none),
                ("XX", &mut found.if_some),
                ("GT", &mut found.if_later),
                ("LT", &mut found.if_earlier),
            ]
            .into_iter()
            .find(|(name, _)| args.option(name));
            let Some((_, condition)) = condition else {
                return Err(error::quoting("ERR Unsupported option ", word, ""));
            };
            *condition = true;
        }
        if found.if_none && (found.if_some || found.if_later || found.if_earlier) {
            return Err(NX_WITH_OTHERS);
        }
        match found.if_later && found.if_earlier {
            true => Err(GT_WITH_LT),
            false => Ok(found),
        }
    }

    /// A key without expiry lives longer than any with one.
    fn allow(self, current_ms: Option<u64>, next_ms: u64) -> bool {
        let is_refused = (self.if_none && current_ms.is_some())
            || (self.if_some && current_ms.is_none())
            || (self.if_later && current_ms.is_none_or(|current_ms| next_ms <= current_ms))
            || (self.if_earlier && current_ms.is_some_and(|current_ms| next_ms >= current_ms));
        !is_refused
    }
}

fn persist(call: &mut Call<'_>) -> Result<(), Error> {
    let key = call.args.word()?;
    let had_expiry = call.db.update(key, |entry| match entry {
        Some(entry) if entry.expires_at_ms().is_some() => match redate(call, entry, None) {
            Ok(change) => Ok((change, Ok(true))),
            Err(offload) => Ok((Change::Keep, Err(offload))),
        },
        _ => Ok((Change::Keep, Ok(false))),
    })??;
    call.reply.flag(had_expiry);
    Ok(())
}

fn ttl(call: &mut Call<'_>) -> Result<(), Error> {
    let now_ms = call.db.now_ms();
    reply_expiry(call, |at_ms| to_seconds(at_ms.saturating_sub(now_ms)))
}

fn pttl(call: &mut Call<'_>) -> Result<(), Error> {
    let now_ms = call.db.now_ms();
    reply_expiry(call, |at_ms| at_ms.saturating_sub(now_ms))
}

fn expiretime(call: &mut Call<'_>) -> Result<(), Error> {
    reply_expiry(call, to_seconds)
}

fn pexpiretime(call: &mut Call<'_>) -> Result<(), Error> {
    reply_expiry(call, |at_ms| at_ms)
}

fn to_seconds(milliseconds: u64) -> u64 {
    milliseconds.saturating_add(500) / 1000
}

/// -2 where there is no key, -1 where it does not expire.
fn reply_expiry(call: &mut Call<'_>, shown: impl Fn(u64) -> u64) -> Result<(), Error> {
    let key = call.args.word()?;
    let answer = match call.db.inspect(key).map(|entry| entry.expires_at_ms()) {
        None => -2,
        Some(None) => -1,
        Some(Some(at_ms)) => i64::try_from(shown(at_ms)).unwrap_or(i64::MAX),
    };
    call.reply.integer(answer);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allow(words: &[&str], current_ms: Option<u64>) -> Result<bool, String> {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        Conditions::parse(&mut Args::new(&words))
            .map(|conditions| conditions.allow(current_ms, 100))
            .map_err(|error| String::from_utf8_lossy(error.text()).into_owned())
    }

    #[test]
    fn conditions() {
        for (words, none, earlier, same, later) in [
            (&[][..], true, true, true, true),
            (&["nx"], true, false, false, false),
            (&["XX"], false, true, true, true),
            (&["GT"], false, true, false, false),
            (&["LT"], true, false, false, true),
            (&["XX", "LT"], false, false, false, true),
        ] {
            let expected = [
                (None, none),
                (Some(99), earlier),
                (Some(100), same),
                (Some(101), later),
            ];
            for (current_ms, is_allowed) in expected {
                assert_eq!(
                    allow(words, current_ms),
                    Ok(is_allowed),
                    "{words:?} {current_ms:?}"
                );
            }
        }
    }

    #[test]
    fn conditions_that_exclude_each_other() {
        let text = |error: Error| Err(String::from_utf8_lossy(error.text()).into_owned());
        assert_eq!(allow(&["NX", "LT"], None), text(NX_WITH_OTHERS));
        assert_eq!(allow(&["LT", "GT"], None), text(GT_WITH_LT));
        assert_eq!(
            allow(&["LT", "sOon"], None),
            Err("ERR Unsupported option sOon".to_owned())
        );
    }
}
