//! A client for Memcached's lines that hides nothing.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};

use crate::wire::{Lost, connected, receive_some};

/// A connection.
#[derive(Debug)]
pub struct MemcachedClient {
    stream: TcpStream,
    received: Vec<u8>,
}

impl MemcachedClient {
    /// Connects, and fails the test if that is not possible.
    pub fn connect(address: SocketAddr) -> MemcachedClient {
        MemcachedClient {
            stream: connected(address),
            received: Vec::new(),
        }
    }

    /// Sends bytes. A server that has closed the connection is noticed when the reply is read.
    pub fn send_raw(&mut self, bytes: &[u8]) {
        // The server may have closed already, which is for the reader to find out.
        let _ = self.stream.write_all(bytes);
    }

    /// Sends lines, each with its CR and LF, and returns the one reply to them.
    pub fn call(&mut self, lines: &[&str]) -> String {
        for line in lines {
            self.send_raw(format!("{line}\r\n").as_bytes());
        }
        let reply = self.try_receive();
        let reply = reply.unwrap_or_else(|lost| panic!("no reply to {lines:?}: {lost:?}"));
        String::from_utf8_lossy(&reply)
            .replace("\r\n", "\n")
            .trim_end()
            .to_owned()
    }

    /// The bytes of the next reply: a line, or values or statistics up to their `END`.
    ///
    /// # Errors
    /// Why there is none.
    pub fn try_receive(&mut self) -> Result<Vec<u8>, Lost> {
        let mut at = 0;
        loop {
            let end = self.line_end(at)?;
            let line = self.received[at..end].to_vec();
            at = end;
            if line.starts_with(b"VALUE ") {
                at = self.body_end(&line, 3, at)?;
            } else if line.starts_with(b"VA ") {
                let end = self.body_end(&line, 1, at)?;
                return Ok(self.received.drain(..end).collect());
            } else if !line.starts_with(b"STAT ") {
                return Ok(self.received.drain(..at).collect());
            }
        }
    }

    /// The end of the body behind a line, whose length is a word of the line.
    fn body_end(&mut self, line: &[u8], word: usize, at: usize) -> Result<usize, Lost> {
        let length = std::str::from_utf8(line)
            .ok()
            .and_then(|line| {
                line.split_ascii_whitespace()
                    .nth(word)?
                    .parse::<usize>()
                    .ok()
            })
            .ok_or_else(|| Lost::Garbage(line.to_vec()))?;
        let end = at + length + 2;
        while self.received.len() < end {
            self.fill()?;
        }
        Ok(end)
    }

    fn line_end(&mut self, start: usize) -> Result<usize, Lost> {
        loop {
            if let Some(length) = memchr::memchr(b'\n', &self.received[start..]) {
                return Ok(start + length + 1);
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> Result<(), Lost> {
        receive_some(&mut self.stream, &mut self.received)
    }
}
