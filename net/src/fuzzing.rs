//! What the fuzz targets call: they see nothing of this crate but its public part, and the parsers
//! and the dispatcher are not. Each function panics where a promise is broken.

use smallvec::SmallVec;

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
            let mut words: SmallVec<[&[u8]; 4]> = SmallVec::new();
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

/// Requests of Memcached's text protocol are the same however their bytes are cut.
pub fn memcached_text(data: &[u8]) {
    let (data, pieces) = pieces(data);
    assert_eq!(memcached_in_pieces(pieces), memcached_in_pieces([data]));
}

/// The requests, in debugging notation, and whether the connection was to end.
fn memcached_in_pieces<'p>(pieces: impl IntoIterator<Item = &'p [u8]>) -> (Vec<String>, bool) {
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
                Err(_) => return (found, true),
            }
        }
        let left = rest.len();
        buffer.drain(..buffer.len() - left);
    }
    (found, false)
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
