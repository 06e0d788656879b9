//! The server under test: mayfly in this process, or a peer in its place.
//!
//! `MAYFLY_TEST_SUBJECT=valkey` (or `redis`) runs transcripts against the real thing: what a
//! transcript states must be true there too, or the transcript is wrong.

use std::env;
use std::net::SocketAddr;

use net::Config;

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
    /// None only while it is being dropped.
    Mayfly(Option<net::Server>),
    Peers {
        resp: Peer,
        memcached: Peer,
    },
}

impl Subject {
    /// Starts the server on free ports, with two threads.
    pub fn start() -> Subject {
        let peer = match env::var("MAYFLY_TEST_SUBJECT").as_deref() {
            Ok("redis") => Kind::Redis,
            Ok("valkey") => Kind::Valkey,
            _ => return Subject::start_with(&[]),
        };
        let need = |kind| Peer::start(kind, "MAYFLY_TEST_SUBJECT").expect("an installed subject");
        Subject {
            server: Server::Peers {
                resp: need(peer),
                memcached: need(Kind::Memcached),
            },
        }
    }

    /// Starts mayfly on free ports with these parameters.
    pub fn start_with(parameters: &[(&str, &str)]) -> Subject {
        let config = [("threads", "2")]
            .iter()
            .chain(parameters)
            .try_fold(Config::on_free_ports(), |config, (name, text)| {
                config.with(name, text)
            })
            .unwrap_or_else(|error| panic!("{error}"));
        let server = net::Server::start(config).unwrap_or_else(|error| panic!("{error}"));
        Subject {
            server: Server::Mayfly(Some(server)),
        }
    }

    /// Where it speaks RESP.
    pub fn resp_address(&self) -> SocketAddr {
        match &self.server {
            Server::Mayfly(server) => server.as_ref().expect("not yet dropped").resp_addr(),
            Server::Peers { resp, .. } => resp.address,
        }
    }

    /// Where it speaks Memcached's protocol.
    pub fn memcached_address(&self) -> SocketAddr {
        match &self.server {
            Server::Mayfly(server) => server.as_ref().expect("not yet dropped").memcached_addr(),
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

impl Drop for Subject {
    fn drop(&mut self) {
        if let Server::Mayfly(server) = &mut self.server
            && let Some(server) = server.take()
        {
            server.stop();
        }
    }
}
