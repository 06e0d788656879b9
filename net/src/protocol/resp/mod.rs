//! RESP, Redis's protocol, versions 2 and 3.
//!
//! <https://redis.io/docs/latest/develop/reference/protocol-spec/>

mod write;

pub(crate) use write::{Mark, Version, Writer};
