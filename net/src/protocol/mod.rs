//! Bytes to values and back: pure, without a store and without a socket.

pub(crate) mod memcached;
pub(crate) mod output;
pub(crate) mod resp;
