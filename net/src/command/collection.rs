//! What the commands on collections share.

use store::value::number::parse_integer;
use store::value::{Edited, memory_bytes};
use store::{Change, Draft, Entry};

use super::{Args, Call, Error, error};
use crate::glob;

const KILOBYTE: usize = 1024;
/// What a scan visits when it is not told.
const SCAN_COUNT: i64 = 10;

/// What becomes of a key whose collection was edited. Its expiry stays as it is.
pub(super) fn change<'a>(entry: Option<Entry<'a>>, edited: Edited<'a>) -> Change<'a> {
    match edited {
        Edited::Unchanged => Change::Keep,
        Edited::Emptied => Change::Remove,
        Edited::Changed(value) => Change::Put(Draft::keeping_any(entry, value)),
    }
}

/// How much work it is to visit all `len` elements of the collection in `entry`, for
/// [`Call::heavy`].
pub(super) fn work(entry: Entry<'_>, len: usize) -> usize {
    len.max(memory_bytes(entry) / KILOBYTE)
}

/// What a scan of a collection is told behind its cursor.
#[derive(Clone, Copy, Debug)]
pub(super) struct ScanOptions<'c> {
    /// About how many elements to visit.
    pub(super) count: usize,
    pattern: Option<&'c [u8]>,
}

impl<'c> ScanOptions<'c> {
    /// `[MATCH pattern] [COUNT count]`
    ///
    /// # Errors
    /// A syntax error, [`error::NOT_AN_INTEGER`].
    pub(super) fn parse(args: &mut Args<'c>) -> Result<ScanOptions<'c>, Error> {
        let (mut count, mut pattern) = (SCAN_COUNT, None);
        while !args.is_empty() {
            if args.option("COUNT") {
                count = args.integer()?;
                if count < 1 {
                    return Err(error::SYNTAX);
                }
            } else if args.option("MATCH") {
                pattern = Some(args.word()?).filter(|pattern| !glob::is_all(pattern));
            } else {
                return Err(error::SYNTAX);
            }
        }
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        Ok(ScanOptions { count, pattern })
    }

    /// Whether the reply is to have this element.
    pub(super) fn admit(&self, element: &[u8]) -> bool {
        self.pattern
            .is_none_or(|pattern| glob::matches(pattern, element))
    }
}

/// How many random elements are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sample {
    /// So many, or all there are, none of them twice.
    Distinct(usize),
    /// So many, each chosen among all.
    Repeated(usize),
}

/// The count of a random choice: negative where elements may repeat.
///
/// # Errors
/// [`error::NOT_AN_INTEGER`], or that it has no counterpart with the other sign.
pub(super) fn parse_sample(word: &[u8]) -> Result<Sample, Error> {
    match parse_integer(word).ok_or(error::NOT_AN_INTEGER)? {
        i64::MIN => Err(Error::Text(
            "ERR value is out of range, value must between \
            -9223372036854775807 and 9223372036854775807",
        )),
        count @ ..0 => Ok(Sample::Repeated(count.unsigned_abs() as usize)),
        count => Ok(Sample::Distinct(count as usize)),
    }
}

/// Calls `write` `count` times, and gives up on a reply that grows beyond all measure: a client
/// can ask for as many repetitions as it likes.
///
/// # Errors
/// [`VALUE_OUT_OF_RANGE`].
pub(super) fn repeat(
    call: &mut Call<'_>,
    count: usize,
    mut write: impl FnMut(&mut Call<'_>),
) -> Result<(), Error> {
    let len_max = call.reply.len() + call.shared.reply_bytes_max();
    for _ in 0..count {
        write(call);
        if call.reply.len() > len_max {
            return Err(VALUE_OUT_OF_RANGE);
        }
    }
    Ok(())
}

pub(super) const VALUE_OUT_OF_RANGE: Error = Error::Text("ERR value is out of range");
