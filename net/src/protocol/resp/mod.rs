//! RESP, Redis's protocol, versions 2 and 3.
//!
//! <https://redis.io/docs/latest/develop/reference/protocol-spec/>

mod double;
mod parse;
mod write;

pub(crate) use parse::{Limits, Parser, ProtocolError};
pub(crate) use write::{Version, Writer};
