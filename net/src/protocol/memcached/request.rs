//! What a client asks for, in whichever form it said so.

use smallvec::SmallVec;

use super::words::Words;
use super::write::{Form, Line};
use super::{KEY_BYTES_MAX, base64};

/// One request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request<'b> {
    /// What is to be done.
    pub(crate) verb: Verb<'b>,
    /// How the answer is written.
    pub(crate) form: Form<'b>,
}

impl Request<'static> {
    /// One that nothing depends on.
    pub(crate) const NOOP: Request<'static> = Request {
        verb: Verb::Noop,
        form: Form::TEXT,
    };
}

impl<'b> Request<'b> {
    /// One that is answered with what is wrong with it.
    pub(crate) fn refused(refusal: Refusal, form: Form<'b>) -> Request<'b> {
        Request {
            verb: Verb::Refused(refusal),
            form,
        }
    }
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb<'b> {
    /// The items at some keys and an end: get, gets, gat, gats of the text protocol.
    GetMany {
        /// What to look for.
        keys: Words<'b>,
        /// When the keys shall expire from now on.
        touch: Option<Exptime>,
        /// Whether the reply has tokens.
        with_tokens: bool,
    },
    /// One item, or that there is none.
    Get(Get<'b>),
    /// An item is stored.
    Store(Store<'b>),
    /// A store whose value is longer than an item may be and is not read.
    StoreTooLarge {
        /// Where.
        key: Key<'b>,
        /// Whether what is there must not outlive what had no place.
        removes: bool,
    },
    /// A number is changed.
    Arithmetic(Arithmetic<'b>),
    /// An item goes, or is no longer as good as it was.
    Delete(Delete<'b>),
    /// An item expires at another time.
    Touch {
        /// What.
        key: Key<'b>,
        /// When.
        exptime: Exptime,
    },
    /// What is known of an item beside its value.
    Debug {
        /// Which.
        key: Key<'b>,
    },
    /// All items, one by one.
    List(List),
    /// All items go, at once if the time lies in the past.
    FlushAll {
        /// When.
        exptime: Exptime,
    },
    /// The server's version.
    Version,
    /// How much the server logs; changes nothing.
    Verbosity,
    /// An answer that says that all requests before were carried out.
    Noop,
    /// Statistics.
    Stats {
        /// Which.
        what: Stats,
    },
    /// Another limit for the memory.
    MemoryLimit {
        /// In megabytes.
        megabytes: u32,
    },
    /// The server is to stop.
    Shutdown,
    /// How SASL may be spoken, by the binary protocol.
    SaslMechanisms,
    /// Who the client is, by the binary protocol.
    SaslStart {
        /// As [`Verb::SaslMechanisms`] lists them.
        mechanism: &'b [u8],
        /// What the mechanism wants.
        message: &'b [u8],
    },
    /// More of the same, which no mechanism that is spoken here asks for.
    SaslStep,
    /// The connection is to be closed: quit, and what a lost web browser sends.
    Quit,
    /// What cannot be carried out.
    Refused(Refusal),
}

/// A read of one item, and what else it may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Get<'b> {
    /// Where.
    pub(crate) key: Key<'b>,
    /// When the item shall expire from now on.
    pub(crate) touch: Option<Exptime>,
    /// If there is none: an empty item is made, and the client wins.
    pub(crate) vivify: Option<Vivify>,
    /// The token of an item that is made.
    pub(crate) token: Option<u64>,
    /// The client wins if less time than that is left.
    pub(crate) recache: Option<Exptime>,
    /// Whether that time is looked at after the touch.
    pub(crate) touches_first: bool,
    /// The value is withheld from a client that has the item of this token.
    pub(crate) unless_token: Option<u64>,
    /// Whether the client can be told of stale items and be asked for new ones.
    pub(crate) knows_stale: bool,
    /// Whether this counts as a use of the item.
    pub(crate) notes_use: bool,
}

impl<'b> Get<'b> {
    /// A read that changes nothing.
    pub(crate) fn plain(key: Key<'b>) -> Get<'b> {
        Get {
            key,
            touch: None,
            vivify: None,
            token: None,
            recache: None,
            touches_first: false,
            unless_token: None,
            knows_stale: false,
            notes_use: true,
        }
    }
}

/// When an item expires that is made since there was none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Vivify {
    /// When.
    pub(crate) exptime: Exptime,
    /// Whether the request's touch comes afterwards, and says another time.
    pub(crate) is_touched: bool,
}

impl Vivify {
    /// When the item expires in the end, in a request with this touch.
    pub(crate) fn final_exptime(self, touch: Option<Exptime>) -> Exptime {
        touch.filter(|_| self.is_touched).unwrap_or(self.exptime)
    }
}

/// An item that is to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Store<'b> {
    /// How.
    pub(crate) mode: Mode,
    /// Where.
    pub(crate) key: Key<'b>,
    /// What the client wants to be told with the value; ignored by append and prepend.
    pub(crate) client_flags: u32,
    /// When the key shall expire; ignored by append and prepend to what is there.
    pub(crate) exptime: Exptime,
    /// The value.
    pub(crate) value: &'b [u8],
    /// The token the item must still have.
    pub(crate) compare: Option<u64>,
    /// Whether an older token will do, too, but makes the item stale.
    pub(crate) accepts_older: bool,
    /// The token it gets.
    pub(crate) token: Option<u64>,
    /// Whether append and prepend store where nothing is.
    pub(crate) vivifies: bool,
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
}

/// A change of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arithmetic<'b> {
    /// Where.
    pub(crate) key: Key<'b>,
    /// What to do with it.
    pub(crate) change: Delta,
    /// What to store where nothing is, and when that expires.
    pub(crate) initial: Option<(u64, Vivify)>,
    /// When the number shall expire from now on.
    pub(crate) touch: Option<Exptime>,
    /// The token it must have.
    pub(crate) compare: Option<u64>,
    /// The token it gets.
    pub(crate) token: Option<u64>,
}

/// How a number changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delta {
    /// Adds, and wraps at 64 bits.
    Increment(u64),
    /// Subtracts, and stops at 0.
    Decrement(u64),
}

/// What goes, or part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Delete<'b> {
    /// Where.
    pub(crate) key: Key<'b>,
    /// The token it must have.
    pub(crate) compare: Option<u64>,
    /// The token of what stays.
    pub(crate) token: Option<u64>,
    /// Whether the item stays and is marked as stale.
    pub(crate) invalidates: bool,
    /// Whether the item stays without its value: with these client flags.
    pub(crate) empties: Option<u32>,
    /// When what stays shall expire.
    pub(crate) touch: Option<Exptime>,
}

impl<'b> Delete<'b> {
    /// An item that goes.
    pub(crate) fn plain(key: Key<'b>) -> Delete<'b> {
        Delete {
            key,
            compare: None,
            token: None,
            invalidates: false,
            empties: None,
            touch: None,
        }
    }
}

/// A list of all items, or what is left of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct List {
    /// What it says of each.
    pub(crate) form: ListForm,
    /// Whether the class that all items are of is among those asked for.
    pub(crate) has_items: bool,
    /// Where the list goes on; none: it has not begun.
    pub(crate) cursor: Option<u64>,
    /// How many items it may name from there on.
    pub(crate) items_left: u64,
}

/// What a list says of each item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ListForm {
    /// What is known of it beside its value.
    Metadata,
    /// The request that gets it.
    Requests,
    /// How long its value is and when it expires.
    Lengths,
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
    /// Who is connected.
    Conns,
    /// Counters are to start again.
    Reset,
    /// Uses of keys are counted by prefix from now on, or no longer.
    Detail(bool),
    /// How often keys of each prefix were used.
    DetailDump,
}

impl Stats {
    /// What the words behind stats name.
    pub(crate) fn named(mut words: Words<'_>) -> Result<Stats, Refusal> {
        match words.next() {
            None => Ok(Stats::General),
            Some(b"settings") => Ok(Stats::Settings),
            Some(b"items") => Ok(Stats::Items),
            Some(b"slabs") => Ok(Stats::Slabs),
            Some(b"sizes") => Ok(Stats::Sizes),
            Some(b"conns") => Ok(Stats::Conns),
            Some(b"reset") => Ok(Stats::Reset),
            Some(b"detail") => match words.next() {
                Some(b"on") => Ok(Stats::Detail(true)),
                Some(b"off") => Ok(Stats::Detail(false)),
                Some(b"dump") => Ok(Stats::DetailDump),
                _ => Err(Refusal::BadStatsDetail),
            },
            Some(_) => Err(Refusal::UnknownStats),
        }
    }
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

/// A key as it came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key<'b> {
    /// Its bytes.
    Plain(&'b [u8]),
    /// Base64 of its bytes, which was seen to be valid.
    Base64(&'b [u8]),
}

/// Room for a key that is not in the input as it is.
pub(crate) type KeyRoom = SmallVec<[u8; KEY_BYTES_MAX]>;

impl<'b> Key<'b> {
    /// The bytes; `room` holds them where they were not sent as they are.
    pub(crate) fn bytes<'k>(&self, room: &'k mut KeyRoom) -> &'k [u8]
    where
        'b: 'k,
    {
        match *self {
            Key::Plain(bytes) => bytes,
            Key::Base64(text) => {
                base64::decode(text, room);
                room
            }
        }
    }

    /// The bytes, if they were sent as they are.
    pub(crate) fn plain(&self) -> Option<&'b [u8]> {
        match *self {
            Key::Plain(bytes) => Some(bytes),
            Key::Base64(_) => None,
        }
    }
}

/// The keys of a request that are worth fetching ahead.
#[derive(Clone, Debug)]
pub(crate) enum Keys<'b> {
    /// Those of a line.
    Words(Words<'b>),
    /// One, or none.
    One(Option<&'b [u8]>),
}

impl<'b> Iterator for Keys<'b> {
    type Item = &'b [u8];

    fn next(&mut self) -> Option<&'b [u8]> {
        match self {
            Keys::Words(words) => words.next(),
            Keys::One(key) => key.take(),
        }
    }
}

impl<'b> Request<'b> {
    /// The keys it is about, as far as they were sent as they are.
    pub(crate) fn keys(&self) -> Keys<'b> {
        let key = match self.verb {
            Verb::GetMany { keys, .. } => return Keys::Words(keys),
            Verb::Get(Get { key, .. })
            | Verb::Store(Store { key, .. })
            | Verb::StoreTooLarge { key, .. }
            | Verb::Arithmetic(Arithmetic { key, .. })
            | Verb::Delete(Delete { key, .. })
            | Verb::Touch { key, .. }
            | Verb::Debug { key } => key.plain(),
            Verb::List(_)
            | Verb::FlushAll { .. }
            | Verb::Version
            | Verb::Verbosity
            | Verb::Noop
            | Verb::Stats { .. }
            | Verb::MemoryLimit { .. }
            | Verb::Shutdown
            | Verb::SaslMechanisms
            | Verb::SaslStart { .. }
            | Verb::SaslStep
            | Verb::Quit
            | Verb::Refused(_) => None,
        };
        Keys::One(key)
    }

    /// Whether it may change what is stored.
    pub(crate) fn is_write(&self) -> bool {
        match self.verb {
            Verb::GetMany { touch, .. } => touch.is_some(),
            Verb::Get(get) => get.touch.is_some() || get.vivify.is_some(),
            Verb::Store(_)
            | Verb::StoreTooLarge { .. }
            | Verb::Arithmetic(_)
            | Verb::Delete(_)
            | Verb::Touch { .. }
            | Verb::FlushAll { .. } => true,
            Verb::Debug { .. }
            | Verb::List(_)
            | Verb::Version
            | Verb::Verbosity
            | Verb::Noop
            | Verb::Stats { .. }
            | Verb::MemoryLimit { .. }
            | Verb::Shutdown
            | Verb::SaslMechanisms
            | Verb::SaslStart { .. }
            | Verb::SaslStep
            | Verb::Quit
            | Verb::Refused(_) => false,
        }
    }
}

/// Why a request is not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// No such command.
    Unknown,
    /// Statistics there are not.
    UnknownStats,
    /// Too few arguments, or some that are not what they should be.
    BadFormat,
    /// Arguments of delete, which once had a time.
    BadDelete,
    /// The amount of incr or decr.
    BadDelta,
    /// An expiry that is no number.
    BadExptime,
    /// A value that does not end where it should.
    BadData,
    /// A way of `stats detail` that there is not.
    BadStatsDetail,
    /// Too few megabytes.
    LimitTooSmall,
    /// Too many megabytes.
    LimitTooLarge,
    /// A way to stop that there is not.
    BadShutdown,
    /// A size class that there cannot be.
    BadClass,
    /// A list of size classes without any.
    NoClasses,
    /// Too few words in a request for a list.
    BadList,
    /// A size class of which there is no list.
    IllegalClass,
    /// More flags than a meta command may have.
    TooManyFlags,
    /// A flag that is there twice.
    DuplicateFlag,
    /// A flag that no meta command knows.
    BadFlag,
    /// Either of these two, said of arithmetic.
    BadArithmeticFlags,
    /// A flag whose number is none.
    BadFlagNumber,
    /// A key that is no base64.
    BadBase64,
    /// An initial value that is no number.
    BadInitial,
    /// A delta that is no number.
    BadFlagDelta,
    /// An opaque token that is too long.
    OpaqueTooLong,
    /// A way to store that there is not.
    BadStoreMode,
    /// A way to change a number that there is not.
    BadArithmeticMode,
    /// A binary request whose lengths contradict each other. The connection ends.
    BadLengths,
    /// A binary request whose parts are not those of its command. The connection ends.
    BadParts,
}

impl Refusal {
    /// Whether the connection ends.
    pub(crate) fn is_fatal(self) -> bool {
        matches!(self, Refusal::BadLengths | Refusal::BadParts)
    }

    /// The reply.
    pub(crate) fn line(self) -> Line {
        match self {
            Refusal::Unknown | Refusal::UnknownStats | Refusal::BadLengths => "ERROR",
            Refusal::BadFormat | Refusal::BadParts => "CLIENT_ERROR bad command line format",
            Refusal::BadDelete => {
                "CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]"
            }
            Refusal::BadDelta => "CLIENT_ERROR invalid numeric delta argument",
            Refusal::BadExptime => "CLIENT_ERROR invalid exptime argument",
            Refusal::BadData => "CLIENT_ERROR bad data chunk",
            Refusal::BadStatsDetail => "CLIENT_ERROR usage: stats detail on|off|dump",
            Refusal::LimitTooSmall => "MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m",
            Refusal::LimitTooLarge => "MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes",
            Refusal::BadShutdown => "CLIENT_ERROR invalid shutdown mode",
            Refusal::BadClass => "BADCLASS invalid class id",
            Refusal::NoClasses => "NOTSTARTED no items to crawl",
            Refusal::BadList => "CLIENT_ERROR bad command line",
            Refusal::IllegalClass => "CLIENT_ERROR Illegal slab id",
            Refusal::TooManyFlags => "CLIENT_ERROR options flags are too long",
            Refusal::DuplicateFlag => "CLIENT_ERROR duplicate flag",
            Refusal::BadFlag => "CLIENT_ERROR invalid flag",
            Refusal::BadArithmeticFlags => "CLIENT_ERROR invalid or duplicate flag",
            Refusal::BadFlagNumber => "CLIENT_ERROR bad token in command line format",
            Refusal::BadBase64 => "CLIENT_ERROR error decoding key",
            Refusal::BadInitial => "CLIENT_ERROR invalid numeric initial value",
            Refusal::BadFlagDelta => "CLIENT_ERROR invalid numeric delta value",
            Refusal::OpaqueTooLong => "CLIENT_ERROR opaque token too long",
            Refusal::BadStoreMode => "CLIENT_ERROR invalid mode for ms M token",
            Refusal::BadArithmeticMode => "CLIENT_ERROR invalid mode for ma M token",
        }
    }
}
