//! A client for RESP2 and RESP3 that hides nothing.

use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpStream};

pub use crate::wire::Lost;
use crate::wire::{connected, receive_some};

/// One value as the server sent it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reply {
    /// `+OK`
    Status(Vec<u8>),
    /// `-ERR text`
    Error(Vec<u8>),
    /// `:1`
    Integer(i64),
    /// `$1`, `x`
    Bulk(Vec<u8>),
    /// `$-1`, `*-1`, `_`
    Nil,
    /// `*2`
    Array(Vec<Reply>),
    /// `%1`: keys and values in turn.
    Map(Vec<Reply>),
    /// `~2`
    Set(Vec<Reply>),
    /// `,3.5`
    Double(Vec<u8>),
    /// `#t`
    Boolean(bool),
    /// `=7`, `txt:abc`: the kind and the text.
    Verbatim(Vec<u8>),
    /// `(123`
    BigNumber(Vec<u8>),
    /// `>2`
    Push(Vec<Reply>),
}

impl Reply {
    /// The elements of an aggregate, none for others.
    pub fn elements(&self) -> &[Reply] {
        match self {
            Reply::Array(all) | Reply::Map(all) | Reply::Set(all) | Reply::Push(all) => all,
            _ => &[],
        }
    }

    /// The text of a status, error, bulk or double; nothing for others.
    pub fn text(&self) -> Option<&[u8]> {
        match self {
            Reply::Status(text) | Reply::Error(text) | Reply::Bulk(text) | Reply::Double(text) => {
                Some(text)
            }
            _ => None,
        }
    }

    /// The same as a RESP2 client would have been given it, as far as that follows from its
    /// shape: maps and sets as arrays, doubles as bulks, booleans as integers.
    pub fn flat(self) -> Reply {
        let all = |elements: Vec<Reply>| elements.into_iter().map(Reply::flat).collect();
        match self {
            Reply::Array(elements)
            | Reply::Map(elements)
            | Reply::Set(elements)
            | Reply::Push(elements) => Reply::Array(all(elements)),
            Reply::Double(text) | Reply::BigNumber(text) => Reply::Bulk(text),
            Reply::Verbatim(text) => Reply::Bulk(text[4..].to_vec()),
            Reply::Boolean(is_true) => Reply::Integer(i64::from(is_true)),
            other => other,
        }
    }
}

/// A reply and the bytes it came as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The meaning.
    pub reply: Reply,
    /// The bytes.
    pub raw: Vec<u8>,
}

/// A connection.
#[derive(Debug)]
pub struct RespClient {
    stream: TcpStream,
    received: Vec<u8>,
    /// How much of `received` was taken.
    at: usize,
}

impl RespClient {
    /// Connects, and fails the test if that is not possible.
    pub fn connect(address: SocketAddr) -> RespClient {
        RespClient {
            stream: connected(address),
            received: Vec::new(),
            at: 0,
        }
    }

    /// Connects and switches to RESP3.
    pub fn connect_resp3(address: SocketAddr) -> RespClient {
        let mut client = RespClient::connect(address);
        let reply = client.call(&["HELLO", "3"]);
        assert!(matches!(reply, Reply::Map(_)), "HELLO 3: {reply:?}");
        client
    }

    /// Sends a command as an array of bulks.
    pub fn send<W: AsRef<[u8]>>(&mut self, words: &[W]) {
        let mut bytes = Vec::new();
        encode(words, &mut bytes);
        self.send_raw(&bytes);
    }

    /// Sends bytes. A server that has closed the connection is noticed when the reply is read.
    pub fn send_raw(&mut self, bytes: &[u8]) {
        // The server may have closed already, which is for the reader to find out.
        let _ = self.stream.write_all(bytes);
    }

    /// Says that nothing more will be sent.
    pub fn finish_sending(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Sends a command and returns its reply.
    pub fn call<W: AsRef<[u8]>>(&mut self, words: &[W]) -> Reply {
        self.send(words);
        self.receive().reply
    }

    /// The next reply, which must come.
    pub fn receive(&mut self) -> Received {
        self.try_receive()
            .unwrap_or_else(|lost| panic!("no reply: {lost:?}"))
    }

    /// The next reply.
    ///
    /// # Errors
    /// Why there is none.
    pub fn try_receive(&mut self) -> Result<Received, Lost> {
        let start = self.at;
        let reply = self.value()?;
        let raw = self.received[start..self.at].to_vec();
        if self.at == self.received.len() {
            self.received.clear();
            self.at = 0;
        }
        Ok(Received { reply, raw })
    }

    fn value(&mut self) -> Result<Reply, Lost> {
        let line = self.line()?;
        let (kind, rest) = line.split_first().ok_or(Lost::Garbage(Vec::new()))?;
        let rest = rest.to_vec();
        Ok(match kind {
            b'+' => Reply::Status(rest),
            b'-' => Reply::Error(rest),
            b':' => Reply::Integer(number(&rest)?),
            b'$' => match number(&rest)? {
                -1 => Reply::Nil,
                length => Reply::Bulk(self.bulk(length)?),
            },
            b'=' => Reply::Verbatim(self.bulk(number(&rest)?)?),
            b'*' => match number(&rest)? {
                -1 => Reply::Nil,
                count => Reply::Array(self.values(count)?),
            },
            b'%' => Reply::Map(self.values(number(&rest)? * 2)?),
            b'~' => Reply::Set(self.values(number(&rest)?)?),
            b'>' => Reply::Push(self.values(number(&rest)?)?),
            b'_' if rest.is_empty() => Reply::Nil,
            b'#' if rest == b"t" => Reply::Boolean(true),
            b'#' if rest == b"f" => Reply::Boolean(false),
            b',' => Reply::Double(rest),
            b'(' => Reply::BigNumber(rest),
            _ => return Err(Lost::Garbage(line)),
        })
    }

    fn values(&mut self, count: i64) -> Result<Vec<Reply>, Lost> {
        (0..count).map(|_| self.value()).collect()
    }

    fn bulk(&mut self, length: i64) -> Result<Vec<u8>, Lost> {
        let length = usize::try_from(length).map_err(|_| Lost::Garbage(b"length".to_vec()))?;
        while self.received.len() < self.at + length + 2 {
            self.fill()?;
        }
        let bytes = self.received[self.at..self.at + length].to_vec();
        self.at += length + 2;
        match &self.received[self.at - 2..self.at] {
            b"\r\n" => Ok(bytes),
            _ => Err(Lost::Garbage(bytes)),
        }
    }

    fn line(&mut self) -> Result<Vec<u8>, Lost> {
        let mut searched = self.at;
        loop {
            let rest = &self.received[searched..];
            if let Some(length) = memchr::memchr(b'\n', rest) {
                let end = searched + length;
                let line = &self.received[self.at..end];
                let line = match line.strip_suffix(b"\r") {
                    Some(line) => line.to_vec(),
                    None => return Err(Lost::Garbage(line.to_vec())),
                };
                self.at = end + 1;
                return Ok(line);
            }
            searched = self.received.len();
            self.fill()?;
        }
    }

    fn fill(&mut self) -> Result<(), Lost> {
        receive_some(&mut self.stream, &mut self.received)
    }
}

/// Appends a command in RESP.
pub fn encode<W: AsRef<[u8]>>(words: &[W], bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        let word = word.as_ref();
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
}

fn number(text: &[u8]) -> Result<i64, Lost> {
    std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| Lost::Garbage(text.to_vec()))
}
