//! A client for Memcached's binary protocol that hides nothing.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::wire::{Lost, connected};

/// What the second byte of a frame says.
pub mod opcode {
    #![allow(missing_docs, reason = "the names are the protocol's")]
    pub const GET: u8 = 0x00;
    pub const SET: u8 = 0x01;
    pub const ADD: u8 = 0x02;
    pub const REPLACE: u8 = 0x03;
    pub const DELETE: u8 = 0x04;
    pub const INCREMENT: u8 = 0x05;
    pub const DECREMENT: u8 = 0x06;
    pub const QUIT: u8 = 0x07;
    pub const FLUSH: u8 = 0x08;
    pub const GETQ: u8 = 0x09;
    pub const NOOP: u8 = 0x0a;
    pub const VERSION: u8 = 0x0b;
    pub const GETK: u8 = 0x0c;
    pub const GETKQ: u8 = 0x0d;
    pub const APPEND: u8 = 0x0e;
    pub const PREPEND: u8 = 0x0f;
    pub const STAT: u8 = 0x10;
    pub const SETQ: u8 = 0x11;
    pub const ADDQ: u8 = 0x12;
    pub const REPLACEQ: u8 = 0x13;
    pub const DELETEQ: u8 = 0x14;
    pub const INCREMENTQ: u8 = 0x15;
    pub const DECREMENTQ: u8 = 0x16;
    pub const QUITQ: u8 = 0x17;
    pub const APPENDQ: u8 = 0x19;
    pub const PREPENDQ: u8 = 0x1a;
    pub const TOUCH: u8 = 0x1c;
    pub const GAT: u8 = 0x1d;
    pub const GATQ: u8 = 0x1e;
    pub const SASL_MECHANISMS: u8 = 0x20;
    pub const SASL_START: u8 = 0x21;
    pub const SASL_STEP: u8 = 0x22;
    pub const GATK: u8 = 0x23;
    pub const GATKQ: u8 = 0x24;
}

const HEADER_BYTES: usize = 24;
/// The opaque of the no-ops that end answers.
const LAST: u32 = u32::MAX;

/// A request.
#[derive(Clone, Debug)]
pub struct Frame {
    /// What is asked for.
    pub opcode: u8,
    /// What the opcode wants beside key and value.
    pub extras: Vec<u8>,
    /// Where.
    pub key: Vec<u8>,
    /// The value.
    pub value: Vec<u8>,
    /// The token to compare with; 0: none.
    pub token: u64,
    /// What the reply repeats.
    pub opaque: u32,
}

impl Frame {
    /// A request without anything.
    pub fn new(opcode: u8) -> Frame {
        Frame {
            opcode,
            extras: Vec::new(),
            key: Vec::new(),
            value: Vec::new(),
            token: 0,
            opaque: 7,
        }
    }

    /// The same with extras.
    pub fn extras(mut self, extras: &[u8]) -> Frame {
        self.extras = extras.to_vec();
        self
    }

    /// The same for a key.
    pub fn key(mut self, key: &str) -> Frame {
        self.key = key.as_bytes().to_vec();
        self
    }

    /// The same with a value.
    pub fn value(mut self, value: &[u8]) -> Frame {
        self.value = value.to_vec();
        self
    }

    /// Its bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0x80, self.opcode];
        let body_bytes = self.extras.len() + self.key.len() + self.value.len();
        bytes.extend_from_slice(&(self.key.len() as u16).to_be_bytes());
        bytes.extend_from_slice(&[self.extras.len() as u8, 0, 0, 0]);
        bytes.extend_from_slice(&(body_bytes as u32).to_be_bytes());
        bytes.extend_from_slice(&self.opaque.to_be_bytes());
        bytes.extend_from_slice(&self.token.to_be_bytes());
        [&bytes[..], &self.extras, &self.key, &self.value].concat()
    }
}

/// A reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The request's.
    pub opcode: u8,
    /// What became of it.
    pub status: u16,
    /// Client flags, where an item is told.
    pub extras: Vec<u8>,
    /// The key, where asked for.
    pub key: Vec<u8>,
    /// The value, or the text of an error.
    pub value: Vec<u8>,
    /// The item's token.
    pub token: u64,
    /// The request's.
    pub opaque: u32,
}

/// A connection.
#[derive(Debug)]
pub struct BinaryClient {
    stream: TcpStream,
}

impl BinaryClient {
    /// Connects, and fails the test if that is not possible.
    pub fn connect(address: SocketAddr) -> BinaryClient {
        BinaryClient {
            stream: connected(address),
        }
    }

    /// Sends a request with a no-op behind it.
    pub fn send(&mut self, frame: &Frame) {
        let mut noop = Frame::new(opcode::NOOP);
        noop.opaque = LAST;
        self.send_raw(&[frame.bytes(), noop.bytes()].concat());
    }

    /// Sends bytes.
    pub fn send_raw(&mut self, bytes: &[u8]) {
        // The server may have closed already, which is for the reader to find out.
        let _ = self.stream.write_all(bytes);
    }

    /// The replies to a request before that to the no-op behind it.
    ///
    /// # Errors
    /// Why there are none.
    pub fn receive_until_noop(&mut self) -> Result<Vec<Reply>, Lost> {
        let mut replies = Vec::new();
        loop {
            let reply = self.receive()?;
            if reply.opcode == opcode::NOOP && reply.opaque == LAST {
                return Ok(replies);
            }
            replies.push(reply);
        }
    }

    /// What a request is answered with.
    pub fn call(&mut self, frame: &Frame) -> Vec<Reply> {
        self.send(frame);
        self.receive_until_noop().expect("replies")
    }

    /// The next reply.
    ///
    /// # Errors
    /// Why there is none.
    pub fn receive(&mut self) -> Result<Reply, Lost> {
        let header = self.bytes(HEADER_BYTES)?;
        if header[0] != 0x81 {
            return Err(Lost::Garbage(header));
        }
        let number = |at: usize, bytes: usize| {
            let digits = header[at..at + bytes].iter();
            digits.fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
        };
        let mut extras = self.bytes(number(8, 4) as usize)?;
        let mut key = extras.split_off(number(4, 1) as usize);
        let value = key.split_off(number(2, 2) as usize);
        Ok(Reply {
            opcode: header[1],
            status: number(6, 2) as u16,
            extras,
            key,
            value,
            token: number(16, 8),
            opaque: number(12, 4) as u32,
        })
    }

    fn bytes(&mut self, count: usize) -> Result<Vec<u8>, Lost> {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}
