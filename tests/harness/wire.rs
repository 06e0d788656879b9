//! What all clients stand on: a connection that does not wait for ever, and why no reply came.

use std::io::{self, ErrorKind, Read};
use std::net::{SocketAddr, TcpStream};

use crate::PATIENCE;

/// Why no reply came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lost {
    /// The server closed the connection.
    Closed,
    /// Nothing came for [`PATIENCE`].
    Silence,
    /// What came is not of the protocol: the offending line.
    Garbage(Vec<u8>),
}

impl From<io::Error> for Lost {
    fn from(error: io::Error) -> Lost {
        match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => Lost::Silence,
            _ => Lost::Closed,
        }
    }
}

/// A connection; fails the test if there is none.
pub(crate) fn connected(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address)
        .unwrap_or_else(|error| panic!("no connection to {address}: {error}"));
    stream.set_nodelay(true).expect("a TCP socket");
    stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
    stream.set_write_timeout(Some(PATIENCE)).expect("not zero");
    stream
}

/// Appends what comes next.
pub(crate) fn receive_some(stream: &mut TcpStream, received: &mut Vec<u8>) -> Result<(), Lost> {
    let mut chunk = [0; 16 * 1024];
    match stream.read(&mut chunk)? {
        0 => Err(Lost::Closed),
        length => {
            received.extend_from_slice(&chunk[..length]);
            Ok(())
        }
    }
}
