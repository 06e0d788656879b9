//! Memcached's protocols: a request is one [`Request`], whichever of them it came in.
//!
//! So far the text protocol ([`text`]) is spoken. Meta commands and the binary protocol say the
//! same things with more options: they will be further readers of the same type.
//!
//! <https://github.com/memcached/memcached/blob/master/doc/protocol.txt>; where it is silent, the
//! replies of memcached 1.6.18 were taken for the rule.

pub(crate) mod login;
mod text;
mod write;

pub(crate) use text::Parser;
pub(crate) use write::{Line, Writer};

/// What one client may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// The largest item, in bytes, counted as memcached does: see [`Limits::fits`].
    pub(crate) item_bytes_max: usize,
}

/// The longest key, in bytes.
pub(crate) const KEY_BYTES_MAX: usize = 250;

/// What memcached adds to key and value when it compares an item with the limit: its header, the
/// token, the end of the key and the line end behind the value.
const ITEM_OVERHEAD_BYTES: usize = 48 + 8 + 1 + 2;
/// What client flags other than 0 add.
const ITEM_FLAGS_BYTES: usize = 4;

impl Limits {
    /// Whether an item is not too large.
    pub(crate) fn fits(&self, key: &[u8], client_flags: u32, value_bytes: usize) -> bool {
        let flags_bytes = if client_flags == 0 {
            0
        } else {
            ITEM_FLAGS_BYTES
        };
        key.len() + flags_bytes + ITEM_OVERHEAD_BYTES + value_bytes <= self.item_bytes_max
    }
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request<'b> {
    /// get, gets.
    Get {
        /// What to look for.
        keys: Keys<'b>,
        /// Whether the reply has tokens.
        with_tokens: bool,
    },
    /// gat, gats.
    GetAndTouch {
        /// When the keys shall expire.
        exptime: Exptime,
        /// What to look for.
        keys: Keys<'b>,
        /// Whether the reply has tokens.
        with_tokens: bool,
    },
    /// set, add, replace, append, prepend, cas.
    Store(Store<'b>),
    /// A [`Store`] whose value is longer than an item may be and is not read.
    StoreTooLarge {
        /// How it was to be stored.
        mode: Mode,
        /// Where.
        key: &'b [u8],
        /// Whether the client wants no reply.
        noreply: bool,
    },
    /// incr, decr.
    Arithmetic {
        /// The number's key.
        key: &'b [u8],
        /// What to do with it.
        change: Arithmetic,
        /// Whether the client wants no reply.
        noreply: bool,
    },
    /// delete.
    Delete {
        /// What goes.
        key: &'b [u8],
        /// Whether the client wants no reply.
        noreply: bool,
    },
    /// touch.
    Touch {
        /// What is to expire at another time.
        key: &'b [u8],
        /// When.
        exptime: Exptime,
        /// Whether the client wants no reply.
        noreply: bool,
    },
    /// flush_all.
    FlushAll {
        /// When, or at once if it lies in the past.
        exptime: Exptime,
        /// Whether the client wants no reply.
        noreply: bool,
    },
    /// version.
    Version,
    /// verbosity, which changes nothing.
    Verbosity {
        /// Whether the client wants no reply.
        noreply: bool,
    },
    /// stats.
    Stats {
        /// Which.
        what: Stats,
    },
    /// The connection is to be closed: quit, and what a lost web browser sends.
    Quit,
    /// What cannot be carried out; the connection goes on behind it.
    Refused {
        /// Why.
        refusal: Refusal,
        /// Whether the client wants no reply.
        noreply: bool,
    },
}

/// An item that is to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Store<'b> {
    /// How.
    pub(crate) mode: Mode,
    /// Where.
    pub(crate) key: &'b [u8],
    /// What the client wants to be told with the value; ignored by append and prepend.
    pub(crate) client_flags: u32,
    /// When the key shall expire; ignored by append and prepend.
    pub(crate) exptime: Exptime,
    /// The value.
    pub(crate) value: &'b [u8],
    /// Whether the client wants no reply.
    pub(crate) noreply: bool,
}

/// When an item is stored, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// In any case.
    Set,
    /// If there is none.
    Add,
    /// If there is one.
    Replace,
    /// Behind the value that is there.
    Append,
    /// Before the value that is there.
    Prepend,
    /// If the item still has this token.
    CompareAndSwap(u64),
}

/// What incr and decr do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    /// Adds, and wraps at 64 bits.
    Increment(u64),
    /// Subtracts, and stops at 0.
    Decrement(u64),
}

/// What stats asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stats {
    /// Nothing in particular.
    General,
    /// How the server was started.
    Settings,
    /// Items by size class.
    Items,
    /// Memory by size class.
    Slabs,
    /// Items by size.
    Sizes,
    /// Counters are to start again.
    Reset,
}

/// When an item expires, as a client says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exptime(pub(crate) i64);

/// Beyond 30 days a number of seconds is a moment since 1970.
const RELATIVE_SECONDS_MAX: i64 = 60 * 60 * 24 * 30;

impl Exptime {
    /// Never.
    pub(crate) const NEVER: Exptime = Exptime(0);

    /// When that is, in milliseconds since 1970; none: never. What is negative lies in the past.
    pub(crate) fn at_ms(self, now_ms: u64) -> Option<u64> {
        let at_ms = match self.0 {
            0 => return None,
            ..0 => 0,
            seconds @ 1..=RELATIVE_SECONDS_MAX => {
                now_ms.saturating_add(seconds.unsigned_abs().saturating_mul(1000))
            }
            seconds => seconds.unsigned_abs().saturating_mul(1000),
        };
        Some(at_ms)
    }
}

/// The keys of a get: the words of the rest of its line, each checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Keys<'b> {
    words: text::Words<'b>,
}

impl<'b> Iterator for Keys<'b> {
    type Item = &'b [u8];

    fn next(&mut self) -> Option<&'b [u8]> {
        self.words.next()
    }
}

impl<'b> Request<'b> {
    /// Whether the client wants no reply.
    pub(crate) fn noreply(&self) -> bool {
        match *self {
            Request::Store(Store { noreply, .. })
            | Request::StoreTooLarge { noreply, .. }
            | Request::Arithmetic { noreply, .. }
            | Request::Delete { noreply, .. }
            | Request::Touch { noreply, .. }
            | Request::FlushAll { noreply, .. }
            | Request::Verbosity { noreply }
            | Request::Refused { noreply, .. } => noreply,
            Request::Get { .. }
            | Request::GetAndTouch { .. }
            | Request::Version
            | Request::Stats { .. }
            | Request::Quit => false,
        }
    }

    /// The keys it is about.
    pub(crate) fn keys(&self) -> Keys<'b> {
        let words = match *self {
            Request::Get { keys, .. } | Request::GetAndTouch { keys, .. } => return keys,
            Request::Store(Store { key, .. })
            | Request::StoreTooLarge { key, .. }
            | Request::Arithmetic { key, .. }
            | Request::Delete { key, .. }
            | Request::Touch { key, .. } => text::Words::of(key),
            Request::FlushAll { .. }
            | Request::Version
            | Request::Verbosity { .. }
            | Request::Stats { .. }
            | Request::Quit
            | Request::Refused { .. } => text::Words::of(b""),
        };
        Keys { words }
    }
}

/// Why a request is not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// No such command, or not so many arguments.
    Unknown,
    /// Arguments that are not what they should be.
    BadFormat,
    /// The same for delete, which once had a time.
    BadDelete,
    /// The amount of incr or decr.
    BadDelta,
    /// An expiry that is no number.
    BadExptime,
    /// A value that does not end where it should.
    BadData,
    /// A way of `stats detail` that there is not.
    BadStatsDetail,
    /// Clients cannot stop the server.
    NoShutdown,
}

impl Refusal {
    /// The reply.
    pub(crate) fn line(self) -> Line {
        match self {
            Refusal::Unknown => "ERROR",
            Refusal::BadFormat => "CLIENT_ERROR bad command line format",
            Refusal::BadDelete => {
                "CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]"
            }
            Refusal::BadDelta => "CLIENT_ERROR invalid numeric delta argument",
            Refusal::BadExptime => "CLIENT_ERROR invalid exptime argument",
            Refusal::BadData => "CLIENT_ERROR bad data chunk",
            Refusal::BadStatsDetail => "CLIENT_ERROR usage: stats detail on|off|dump",
            Refusal::NoShutdown => "ERROR: shutdown not enabled",
        }
    }
}

/// A line that does not end. The connection answers and ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LineTooLong;

impl LineTooLong {
    /// The reply, which memcached itself closes without.
    pub(crate) const LINE: Line = "CLIENT_ERROR line too long";
}
