//! What all connections of a server share.

use store::Store;
use store::value::Limits;

/// One server's store, settings and statistics.
#[derive(Debug)]
pub(crate) struct Shared {
    /// The data.
    pub(crate) store: Store,
}

impl Shared {
    /// The sizes at which values change their encoding, as CONFIG has them now.
    pub(crate) fn limits(&self) -> Limits {
        Limits::DEFAULT
    }

    /// The longest string, in bytes: `proto-max-bulk-len`.
    pub(crate) fn string_bytes_max(&self) -> usize {
        512 << 20
    }
}
