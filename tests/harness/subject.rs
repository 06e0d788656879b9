//! The server under test: mayfly in this process, or a peer in its place.
//!
//! `MAYFLY_TEST_SUBJECT=valkey` (or `redis`) runs transcripts against the real thing: what a
//! transcript states must be true there too, or the transcript is wrong.

use std::env;
use std::net::SocketAddr;

use crate::memcached::MemcachedClient;
use crate::peer::{Kind, Peer};
use crate::resp::RespClient;

/// A server that only this test knows.
#[derive(Debug)]
pub struct Subject {
    server: Server,
}

#[derive(Debug)]
enum Server {
    Peers { resp: Peer, memcached: Peer },
}

impl Subject {
    /// Starts the server on free ports.
    pub fn start() -> Subject {
        let kind = match env::var("MAYFLY_TEST_SUBJECT").as_deref() {
            Ok("redis") => Kind::Redis,
            _ => Kind::Valkey,
        };
        let need = |kind| Peer::start(kind, "MAYFLY_TEST_SUBJECT").expect("an installed subject");
        Subject {
            server: Server::Peers {
                resp: need(kind),
                memcached: need(Kind::Memcached),
            },
        }
    }

    /// Where it speaks RESP.
    pub fn resp_address(&self) -> SocketAddr {
        match &self.server {
            Server::Peers { resp, .. } => resp.address,
        }
    }

    /// Where it speaks Memcached's protocol.
    pub fn memcached_address(&self) -> SocketAddr {
        match &self.server {
            Server::Peers { memcached, .. } => memcached.address,
        }
    }

    /// Whether a peer stands in mayfly's place.
    pub fn is_peer(&self) -> bool {
        matches!(self.server, Server::Peers { .. })
    }

    /// A new RESP2 connection.
    pub fn resp(&self) -> RespClient {
        RespClient::connect(self.resp_address())
    }

    /// A new Memcached connection.
    pub fn memcached(&self) -> MemcachedClient {
        MemcachedClient::connect(self.memcached_address())
    }
}
