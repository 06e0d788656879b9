//! What a client has chosen, and what is known about it.

use crate::protocol::resp::Version;

/// One client's state; it belongs to the connection's task and goes along to a worker.
#[derive(Debug, Default)]
pub(crate) struct Session {
    /// The number CLIENT ID answers.
    pub(crate) id: u64,
    /// The database SELECT chose.
    pub(crate) db_index: usize,
    /// RESP2 until HELLO says otherwise.
    pub(crate) version: Version,
    /// Whether AUTH is done or not needed.
    pub(crate) is_authenticated: bool,
    /// CLIENT NO-TOUCH: reads leave no trace in idle times.
    pub(crate) no_touch: bool,
}
