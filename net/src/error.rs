//! Every error text that clients see, once.
//!
//! Clients match on these words, so they are Redis's and Memcached's own, to the letter.

/// Why a command was not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Error {
    /// What the engine said.
    Store(store::Error),
    /// A text of this file, with its code in front.
    Text(&'static str),
    /// A text with something of the request in it.
    Owned(String),
    /// A text that quotes bytes of the request, which need not be characters.
    Bytes(Vec<u8>),
    /// The command is too much work for a connection thread: run it again on a worker. Never
    /// seen by a client.
    Offload,
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Error {
        Error::Store(error)
    }
}

pub(crate) const SYNTAX: Error = Error::Text("ERR syntax error");
pub(crate) const NOT_AN_INTEGER: Error = Error::Text("ERR value is not an integer or out of range");
pub(crate) const NOT_A_FLOAT: Error = Error::Text("ERR value is not a valid float");
pub(crate) const WRONG_TYPE: &str =
    "WRONGTYPE Operation against a key holding the wrong kind of value";
pub(crate) const OUT_OF_MEMORY: &str = "OOM command not allowed when used memory > 'maxmemory'.";
pub(crate) const REPLY_TOO_LONG: Error =
    Error::Text("ERR the reply would exceed client-query-buffer-limit");
pub(crate) const NO_AUTH: Error = Error::Text("NOAUTH Authentication required.");

impl Error {
    /// The line after the dash of a RESP error.
    pub(crate) fn text(&self) -> &[u8] {
        match self {
            Error::Store(error) => store_text(*error).as_bytes(),
            Error::Text(text) => text.as_bytes(),
            Error::Owned(text) => text.as_bytes(),
            Error::Bytes(text) => text,
            Error::Offload => unreachable!("the dispatcher runs the command elsewhere"),
        }
    }
}

fn store_text(error: store::Error) -> &'static str {
    match error {
        store::Error::WrongType => WRONG_TYPE,
        store::Error::NotAnInteger => "ERR value is not an integer or out of range",
        store::Error::NotAFloat => "ERR value is not a valid float",
        store::Error::FieldNotAnInteger => "ERR hash value is not an integer",
        store::Error::FieldNotAFloat => "ERR hash value is not a float",
        store::Error::Overflow => "ERR increment or decrement would overflow",
        store::Error::NotFinite => "ERR increment would produce NaN or Infinity",
        store::Error::TooLong => "ERR string exceeds maximum allowed size (proto-max-bulk-len)",
        store::Error::OutOfMemory => OUT_OF_MEMORY,
        store::Error::NoSuchKey => "ERR no such key",
        store::Error::Busy => "BUSY a transaction holds the key",
    }
}

/// What C prints of a word: what stands before the first zero byte.
pub(crate) fn c_text(word: &[u8]) -> &[u8] {
    word.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// A text with a word of the request in it, as [`c_text`] has it.
pub(crate) fn quoting(before: &str, word: &[u8], after: &str) -> Error {
    Error::Bytes([before.as_bytes(), c_text(word), after.as_bytes()].concat())
}

/// `name` is the command's, or `container|subcommand`.
pub(crate) fn wrong_arity(name: &str) -> Error {
    Error::Owned(format!(
        "ERR wrong number of arguments for '{name}' command"
    ))
}

/// A time that is not positive, or too far away.
pub(crate) fn invalid_expire_time(command: &str) -> Error {
    Error::Owned(format!("ERR invalid expire time in '{command}' command"))
}

// What a connection is told that is not taken: whole lines.

pub(crate) const TOO_MANY_CLIENTS: &str = "-ERR max number of clients reached\r\n";
pub(crate) const MEMCACHED_TOO_MANY_CLIENTS: &str = "ERROR Too many open connections\r\n";
pub(crate) const MEMCACHED_PROTECTED: &str = "SERVER_ERROR protected mode: no password is set, \
     and only clients on this machine are served; see --protected_mode\r\n";

/// Redis's own words.
pub(crate) const PROTECTED: &str = "-DENIED Redis is running in protected mode because \
     protected mode is enabled and no password is set for the default user. In this mode \
     connections are only accepted from the loopback interface. If you want \
     to connect from external computers to Redis you may \
     adopt one of the following solutions: 1) Just disable protected mode sending the command \
     'CONFIG SET protected-mode no' from the loopback interface by connecting to Redis from \
     the same host the server is running, however MAKE SURE Redis is not publicly accessible \
     from internet if you do so. Use CONFIG REWRITE to make this change permanent. 2) \
     Alternatively you can just disable the protected mode by editing the Redis configuration \
     file, and setting the protected mode option to 'no', and then restarting the server. 3) \
     If you started the server manually just for testing, restart it with the '--protected-mode \
     no' option. 4) Setup a an authentication password for the default user. NOTE: You \
     only need to do one of the above things in order for the server to start accepting \
     connections from the outside.\r\n";
