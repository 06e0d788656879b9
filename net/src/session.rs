//! What a client has chosen, and what is known about it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use store::reclaim::Guard;
use store::{Db, Store};

use crate::clients::Client;
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
    /// CLIENT NO-EVICT: kept for CLIENT LIST.
    pub(crate) no_evict: bool,
    /// CLIENT REPLY.
    pub(crate) replies: Replies,
    /// Whether the connection ends once its replies are sent: QUIT.
    pub(crate) is_closing: bool,
    /// What others see of the client.
    pub(crate) client: Arc<Client>,
}

/// Which replies a client wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Replies {
    /// All.
    #[default]
    On,
    /// None until further notice.
    Off,
    /// None for the command that asks for it, nor for the next one.
    SkipTwo,
    /// None for the next command.
    SkipOne,
}

impl Session {
    /// A new client's, without a password to give if `is_authenticated`.
    pub(crate) fn new(client: Arc<Client>, is_authenticated: bool) -> Session {
        Session {
            id: client.id,
            is_authenticated,
            client,
            ..Session::default()
        }
    }

    /// The database the client's next command is for.
    pub(crate) fn db<'g>(&self, store: &'g Store, guard: &'g Guard, now_ms: u64) -> Db<'g> {
        let db = store.db(self.db_index, guard, now_ms);
        match self.no_touch {
            true => db.without_noting_use(),
            false => db,
        }
    }

    /// Tells others what CLIENT LIST shows of the session.
    pub(crate) fn publish(&self) {
        let client = &self.client;
        client.db_index.store(self.db_index, Ordering::Relaxed);
        client.no_evict.store(self.no_evict, Ordering::Relaxed);
        client.no_touch.store(self.no_touch, Ordering::Relaxed);
        let resp = match self.version {
            Version::Resp2 => 2,
            Version::Resp3 => 3,
        };
        client.resp.store(resp, Ordering::Relaxed);
    }
}
