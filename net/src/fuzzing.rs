//! What the fuzz targets call: they see nothing of this crate but its public part, and the parsers
//! and the dispatcher are not. Each function panics where a promise is broken.

use crate::protocol::memcached;
use crate::protocol::resp::{Limits, Parser, ProtocolError};

mod client;

pub use client::Client;

/// RESP requests are the same however their bytes are cut: by [`pieces`].
pub fn resp_requests(data: &[u8]) {
    let (data, pieces) = pieces(data);
    let limits = Limits {
        bulk_bytes_max: 1 << 10,
        words_max: 100,
        is_authenticated: data.len().is_multiple_of(2),
        // Whether a line is too long depends on how much of it is there without its end.
        ..Limits::DEFAULT
    };
    assert_eq!(
        resp_in_pieces(pieces, &limits),
        resp_in_pieces([data], &limits)
    );
}

/// All requests in the concatenation of `pieces`, given one piece more at a time, and why it
/// ended if it did.
pub(crate) fn resp_in_pieces<'p>(
    pieces: impl IntoIterator<Item = &'p [u8]>,
    limits: &Limits,
) -> (Vec<Vec<Vec<u8>>>, Option<ProtocolError>) {
    let mut parser = Parser::default();
    let mut buffer: Vec<u8> = Vec::new();
    let mut found = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        let mut rest = &mut buffer[..];
        loop {
            let mut words: Vec<&[u8]> = Vec::new();
            match parser.next(&mut rest, limits, &mut words) {
                Ok(Some(count)) => {
                    assert_eq!(count, words.len());
                    found.push(words.iter().map(|word| word.to_vec()).collect());
                }
                Ok(None) => break,
                Err(error) => return (found, Some(error)),
            }
        }
        let left = rest.len();
        buffer.drain(..buffer.len() - left);
    }
    (found, None)
}

/// Requests of Memcached's text protocol are the same however their bytes are cut, up to a line
/// that is too long: as with memcached, one that comes with its end at once is read.
pub fn memcached_text(data: &[u8]) {
    let (data, pieces) = pieces(data);
    let (cut, whole) = (memcached_in_pieces(pieces), memcached_in_pieces([data]));
    match cut.1 {
        End::LongLine => assert!(whole.0.starts_with(&cut.0), "{cut:?} of {whole:?}"),
        // A frame that is none may look like a long line where more is there of what follows it.
        End::Broken => assert_eq!((&cut.0, false), (&whole.0, whole.1 == End::None)),
        End::None => assert_eq!(cut, whole),
    }
}

/// Whether the connection was to end, and why.
#[derive(Debug, PartialEq)]
enum End {
    None,
    Broken,
    /// By a line without an end that is too long.
    LongLine,
}

/// The same of meta commands: an `m` is put before each line.
pub fn memcached_meta(data: &[u8]) {
    let lines = data.split_inclusive(|byte| *byte == b'\n');
    let lines: Vec<u8> = lines.flat_map(|line| [b"m", line].concat()).collect();
    memcached_text(&lines);
}

/// The same of frames: each gets the first byte that it must have.
pub fn memcached_binary(data: &[u8]) {
    const HEADER_BYTES: usize = 24;
    const PREFIX_BYTES: usize = 2;
    let mut frames = data.to_vec();
    let mut at = PREFIX_BYTES;
    while let Some(header) = frames.get_mut(at..at + HEADER_BYTES) {
        header[0] = 0x80;
        let body_bytes = u32::from_be_bytes([header[8], header[9], header[10], header[11]]);
        at = at
            .saturating_add(HEADER_BYTES)
            .saturating_add(body_bytes as usize);
    }
    memcached_text(&frames);
}

/// The requests, in debugging notation, and how they ended.
fn memcached_in_pieces<'p>(pieces: impl IntoIterator<Item = &'p [u8]>) -> (Vec<String>, End) {
    let limits = memcached::Limits {
        item_bytes_max: 300,
    };
    let mut parser = memcached::Parser::default();
    let mut buffer: Vec<u8> = Vec::new();
    let mut found = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        let mut rest = &buffer[..];
        loop {
            match parser.next(&mut rest, &limits) {
                Ok(Some(request)) => found.push(format!("{request:?}")),
                Ok(None) => break,
                Err(_) => {
                    let is_long = rest.len() > memcached::LINE_BYTES_MAX && !rest.contains(&b'\n');
                    let end = if is_long { End::LongLine } else { End::Broken };
                    return (found, end);
                }
            }
        }
        let left = rest.len();
        buffer.drain(..buffer.len() - left);
    }
    (found, End::None)
}

/// The first two bytes say how the rest is cut: the longest piece, and what the lengths of the
/// others are drawn from.
fn pieces(data: &[u8]) -> (&[u8], impl Iterator<Item = &[u8]>) {
    let (&[longest, seed], rest) = data.split_first_chunk().unwrap_or((&[0, 0], &[]));
    let mut random = fastrand::Rng::with_seed(seed.into());
    let mut left = rest;
    let pieces = std::iter::from_fn(move || {
        let bytes = random.usize(1..=usize::from(longest) + 1).min(left.len());
        let (piece, behind) = left.split_at(bytes);
        left = behind;
        (!piece.is_empty()).then_some(piece)
    });
    (rest, pieces)
}
