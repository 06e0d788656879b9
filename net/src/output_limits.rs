//! `client-output-buffer-limit`: how many bytes of replies may wait for who does not read.

use std::fmt;

use crate::config::Invalid;

/// The classes of clients, as Redis calls them. There are no replicas and no subscribers yet; what
/// is said about theirs is kept.
const CLASSES: [&str; 3] = ["normal", "slave", "pubsub"];

/// The limits of one class; 0: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Limit {
    /// Who has more is disconnected at once, ...
    pub(crate) hard_bytes: u64,
    /// ... and who has more than this, ...
    pub(crate) soft_bytes: u64,
    /// ... after so many seconds.
    pub(crate) soft_s: u64,
}

/// The limits of all classes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct OutputLimits([Limit; CLASSES.len()]);

impl OutputLimits {
    /// Redis's.
    pub(crate) const DEFAULT: &'static str =
        "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60";

    /// Reads one or several classes, each with its three numbers; the others are as in `before`.
    ///
    /// # Errors
    /// What Redis answers.
    pub(crate) fn parse(text: &str, before: &str) -> Result<OutputLimits, Invalid> {
        let mut limits = match before == text {
            true => OutputLimits::default(),
            false => OutputLimits::parse(before, before)?,
        };
        let words: Vec<&str> = text.split_whitespace().collect();
        if !words.len().is_multiple_of(4) {
            return Err(Invalid(
                "Wrong number of arguments in buffer limit configuration.".into(),
            ));
        }
        for class in words.chunks_exact(4) {
            let name = class[0].to_ascii_lowercase();
            let name = if name == "replica" { "slave" } else { &name };
            let at = CLASSES
                .iter()
                .position(|known| *known == name)
                .ok_or_else(|| {
                    Invalid("Invalid client class specified in buffer limit configuration.".into())
                })?;
            let invalid = || {
                Invalid(
                    "Error in hard, soft or soft_seconds setting in buffer limit configuration."
                        .into(),
                )
            };
            limits.0[at] = Limit {
                hard_bytes: crate::config::parse_bytes(class[1]).map_err(|_| invalid())?,
                soft_bytes: crate::config::parse_bytes(class[2]).map_err(|_| invalid())?,
                soft_s: class[3].parse().map_err(|_| invalid())?,
            };
        }
        Ok(limits)
    }

    /// Those of clients that send commands and read replies.
    pub(crate) fn normal(&self) -> Limit {
        self.0[0]
    }
}

impl fmt::Display for OutputLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (name, limit)) in CLASSES.iter().zip(&self.0).enumerate() {
            let blank = if at > 0 { " " } else { "" };
            let Limit {
                hard_bytes,
                soft_bytes,
                soft_s,
            } = limit;
            write!(f, "{blank}{name} {hard_bytes} {soft_bytes} {soft_s}")?;
        }
        Ok(())
    }
}

/// Watches one client's limit.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Watch {
    /// Since when it has more than the soft limit, in milliseconds since 1970.
    soft_since_ms: Option<u64>,
}

impl Watch {
    /// Whether a client for whom so many bytes wait is to go.
    pub(crate) fn is_over(&mut self, limit: Limit, bytes: u64, now_ms: u64) -> bool {
        if limit.soft_bytes == 0 || bytes <= limit.soft_bytes {
            self.soft_since_ms = None;
        } else {
            let since_ms = *self.soft_since_ms.get_or_insert(now_ms);
            if now_ms.saturating_sub(since_ms) >= limit.soft_s * 1000 {
                return true;
            }
        }
        limit.hard_bytes != 0 && bytes > limit.hard_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_keep_what_is_not_said() {
        let before = OutputLimits::DEFAULT;
        let limits = OutputLimits::parse("normal 1mb 2 3", before).expect("valid");
        assert_eq!(
            limits.to_string(),
            "normal 1048576 2 3 slave 268435456 67108864 60 pubsub 33554432 8388608 60"
        );
        for wrong in ["normal 1 2", "nobody 1 2 3", "normal x 2 3", "normal 1 2 x"] {
            assert!(OutputLimits::parse(wrong, before).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_soft_limit_takes_its_time() {
        let limit = Limit {
            hard_bytes: 100,
            soft_bytes: 10,
            soft_s: 2,
        };
        let mut watch = Watch::default();
        assert!(watch.is_over(limit, 101, 0));
        let mut watch = Watch::default();
        assert!(!watch.is_over(limit, 11, 0) && !watch.is_over(limit, 11, 1_999));
        assert!(!watch.is_over(limit, 10, 2_000) && !watch.is_over(limit, 11, 2_001));
        assert!(watch.is_over(limit, 11, 4_001));
    }
}
