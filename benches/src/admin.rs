//! One command at a time over RESP, for what surrounds a measurement.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::request::resp;

/// A connection that waits for its reply.
#[derive(Debug)]
pub struct Admin {
    stream: BufReader<TcpStream>,
}

/// What came back, without its elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A line or a bulk string.
    Text(String),
    /// Null.
    Nothing,
    /// An array or set, or a map (counted twice), of so many elements, which were read and
    /// thrown away.
    Elements(u64),
}

impl Admin {
    /// Connects.
    ///
    /// # Errors
    /// What the system says.
    pub fn connect(address: SocketAddr) -> io::Result<Admin> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Admin {
            stream: BufReader::with_capacity(1 << 18, stream),
        })
    }

    /// Sends a command and awaits its whole reply.
    ///
    /// # Errors
    /// A lost connection, or an error for a reply.
    pub fn call(&mut self, words: &[impl AsRef<[u8]>]) -> io::Result<Answer> {
        self.stream.get_mut().write_all(&resp(words))?;
        self.answer()
    }

    /// A number that INFO has.
    ///
    /// # Errors
    /// As [`Admin::call`], and if there is no such field.
    pub fn info(&mut self, field: &str) -> io::Result<u64> {
        let Answer::Text(text) = self.call(&["INFO"])? else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let mut lines = text.lines().filter_map(|line| line.split_once(':'));
        let found = lines.find(|(name, _)| *name == field);
        found
            .and_then(|(_, value)| value.trim().parse().ok())
            .ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// Sends commands at once and awaits a reply to each.
    ///
    /// # Errors
    /// As [`Admin::call`].
    pub fn call_all(&mut self, commands: &[Vec<u8>]) -> io::Result<()> {
        for chunk in commands.chunks(16) {
            self.stream.get_mut().write_all(&chunk.concat())?;
            for _ in chunk {
                self.answer()?;
            }
        }
        Ok(())
    }

    fn answer(&mut self) -> io::Result<Answer> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let (sign, rest) = line.trim_end().split_at_checked(1).unwrap_or_default();
        let size = rest.parse::<i64>().unwrap_or(0);
        match sign {
            "+" | ":" => Ok(Answer::Text(rest.to_owned())),
            "$" | "*" if size < 0 => Ok(Answer::Nothing),
            "$" => {
                let mut bytes = vec![0; size as usize + 2];
                self.stream.read_exact(&mut bytes)?;
                bytes.truncate(size as usize);
                Ok(Answer::Text(String::from_utf8_lossy(&bytes).into_owned()))
            }
            "*" | "~" => self.skip_strings(size as u64),
            "%" => self.skip_strings(2 * size as u64),
            _ => Err(io::Error::other(format!("the server answers {line:?}"))),
        }
    }

    /// Passes over bulk strings without line ends in them: two lines each.
    fn skip_strings(&mut self, count: u64) -> io::Result<Answer> {
        let mut lines = 2 * count;
        while lines > 0 {
            let buffer = self.stream.fill_buf()?;
            if buffer.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let ends = memchr::memchr_iter(b'\n', buffer).take(lines as usize);
            let (seen, last) = ends.fold((0, 0), |(seen, _), end| (seen + 1, end + 1));
            // What follows the last line is another answer.
            let used = if seen < lines { buffer.len() } else { last };
            lines -= seen;
            self.stream.consume(used);
        }
        Ok(Answer::Elements(count))
    }
}
