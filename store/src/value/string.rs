//! Strings: bytes, which may also be a number.
//!
//! A [`Str`] views a string that is there; the functions build its successor. Positions are
//! bytes from 0. Where a function takes Redis's signed indices (negative ones count from the
//! end), it says so.
//!
//! A string of up to 16 kB stands in its entry. A longer one that is written whole stands beside
//! it, in one piece (`long`). One that is changed in part goes over to a tree of chunks, so that
//! the next APPEND, SETRANGE or SETBIT copies a chunk and not the string.

use std::borrow::Cow;
use std::ops::Range;

use super::number::{LongDouble, parse_integer};
use super::{Body, Delta, Encoding, NewValue, Origin, of_kind, of_tree};
use crate::entry::{Entry, Form, Kind};
use crate::error::Error;
use crate::long::{Long, LongRef, Received};
use crate::tree::{Chunks, ChunksEdit, Pieces};

/// The longest string, in bytes: as in Redis, where a BITFIELD may begin at the last bit there is.
pub const STRING_BYTES_MAX: usize = (512 << 20) + size_of::<u64>();
/// The longest string that OBJECT ENCODING calls embstr.
const EMBSTR_BYTES_MAX: usize = 44;
/// A longer string stands beside its entry; as a tree of chunks when it is changed in part.
const FLAT_BYTES_MAX: usize = 16 << 10;

/// A string as an entry holds it.
#[derive(Clone, Copy, Debug)]
pub struct Str<'g>(Repr<'g>);

#[derive(Clone, Copy, Debug)]
enum Repr<'g> {
    Flat(&'g [u8]),
    Apart(LongRef<'g>),
    Chunks(Chunks<'g>),
}

impl<'g> Str<'g> {
    /// The string in `entry`.
    ///
    /// # Errors
    /// [`Error::WrongType`].
    #[inline]
    pub fn of(entry: Entry<'g>) -> Result<Str<'g>, Error> {
        let entry = of_kind(entry, Kind::String)?;
        Ok(Str(match entry.is_record() {
            false => Repr::Flat(entry.value_bytes()),
            true if entry.form() == Form::Apart => Repr::Apart(LongRef::of(entry)),
            true => Repr::Chunks(Chunks::of(entry)),
        }))
    }

    /// The string in `entry`, if there is an entry.
    ///
    /// # Errors
    /// [`Error::WrongType`].
    pub fn of_any(entry: Option<Entry<'g>>) -> Result<Option<Str<'g>>, Error> {
        entry.map(Str::of).transpose()
    }

    /// The bytes of an argument, viewed as a string.
    pub fn from_slice(bytes: &'g [u8]) -> Str<'g> {
        Str(Repr::Flat(bytes))
    }

    /// Its length in bytes.
    #[inline]
    pub fn len(self) -> usize {
        match self.0 {
            Repr::Flat(bytes) => bytes.len(),
            Repr::Apart(long) => long.len(),
            Repr::Chunks(chunks) => chunks.len(),
        }
    }

    /// Whether it has no bytes.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// All bytes, when they stand in one place.
    #[inline]
    pub fn as_slice(self) -> Option<&'g [u8]> {
        match self.0 {
            Repr::Flat(bytes) => Some(bytes),
            Repr::Apart(long) => Some(long.bytes()),
            Repr::Chunks(_) => None,
        }
    }

    /// All bytes, when they stand in the entry itself: so do those of most.
    #[inline]
    pub fn in_entry(self) -> Option<&'g [u8]> {
        match self.0 {
            Repr::Flat(bytes) => Some(bytes),
            Repr::Apart(_) | Repr::Chunks(_) => None,
        }
    }

    /// A long string in one piece, for who needs it longer than the guard lasts.
    pub fn to_long(self) -> Option<Long> {
        match self.0 {
            Repr::Apart(long) => Some(long.to_long()),
            Repr::Flat(_) | Repr::Chunks(_) => None,
        }
    }

    /// All bytes, copied together if they do not stand in one place.
    pub fn to_cow(self) -> Cow<'g, [u8]> {
        match self.as_slice() {
            Some(bytes) => Cow::Borrowed(bytes),
            None => {
                let mut all = Vec::with_capacity(self.len());
                self.parts().for_each(|part| all.extend_from_slice(part));
                Cow::Owned(all)
            }
        }
    }

    /// All bytes, in pieces.
    pub fn parts(self) -> Parts<'g> {
        self.range(0..self.len())
    }

    /// The bytes of `range`, in pieces; what lies behind the end is left out.
    pub fn range(self, range: Range<usize>) -> Parts<'g> {
        let end = range.end.min(self.len());
        let start = range.start.min(end);
        Parts(match self.0 {
            Repr::Flat(bytes) => PartsRepr::Flat(&bytes[start..end]),
            Repr::Apart(long) => PartsRepr::Flat(&long.bytes()[start..end]),
            Repr::Chunks(chunks) => PartsRepr::Chunks(chunks.range(start..end)),
        })
    }

    /// The byte at a position, if the string reaches that far.
    #[inline]
    pub fn byte(self, at: usize) -> Option<u8> {
        match self.0 {
            Repr::Flat(bytes) => bytes.get(at).copied(),
            Repr::Apart(_) | Repr::Chunks(_) => self
                .range(at..at.saturating_add(1))
                .next()
                .map(|part| part[0]),
        }
    }

    /// The integer it spells in Redis's canonical form.
    pub fn integer(self) -> Option<i64> {
        parse_integer(self.as_slice()?)
    }

    /// Whether all bytes are those of `other`.
    pub fn equals(self, other: &[u8]) -> bool {
        self.len() == other.len() && {
            let mut rest = other;
            self.parts().all(|part| {
                let (head, tail) = rest.split_at(part.len());
                rest = tail;
                head == part
            })
        }
    }
}

/// Iterator over a string's bytes in pieces, none of them empty.
#[derive(Clone, Debug)]
pub struct Parts<'g>(PartsRepr<'g>);

#[derive(Clone, Debug)]
enum PartsRepr<'g> {
    Flat(&'g [u8]),
    Chunks(Pieces<'g>),
}

impl Parts<'_> {
    /// How many bytes are left.
    pub fn bytes_left(&self) -> usize {
        match &self.0 {
            PartsRepr::Flat(bytes) => bytes.len(),
            PartsRepr::Chunks(pieces) => pieces.bytes_left(),
        }
    }
}

impl<'g> Iterator for Parts<'g> {
    type Item = &'g [u8];

    fn next(&mut self) -> Option<&'g [u8]> {
        match &mut self.0 {
            PartsRepr::Flat(bytes) => {
                let part = std::mem::take(bytes);
                (!part.is_empty()).then_some(part)
            }
            PartsRepr::Chunks(pieces) => pieces.next(),
        }
    }

    // Most strings are one piece: nothing is to be asked for after that.
    #[inline]
    fn fold<B, F: FnMut(B, &'g [u8]) -> B>(self, init: B, mut f: F) -> B {
        match self.0 {
            PartsRepr::Flat([]) => init,
            PartsRepr::Flat(bytes) => f(init, bytes),
            PartsRepr::Chunks(pieces) => pieces.fold(init, f),
        }
    }
}

/// The positions Redis means by `start` and `end`, both included and counted from the end when
/// negative, in a sequence of `len`. Empty when there are none.
pub fn signed_range(start: i64, end: i64, len: usize) -> Range<usize> {
    let len_signed = len as i64;
    if len == 0 || (start < 0 && end < 0 && start > end) {
        return 0..0;
    }
    let from_end = |index: i64| match index {
        0.. => index,
        _ => len_signed.saturating_add(index).max(0),
    };
    let (start, end) = (from_end(start), from_end(end).min(len_signed - 1));
    if start > end {
        0..0
    } else {
        start as usize..end as usize + 1
    }
}

/// What a string is that stands in its entry as it is.
pub(crate) const FLAT: (Kind, Form) = (Kind::String, Form::Plain);

/// Whether a string of so many bytes stands in its entry.
pub(crate) fn is_flat(bytes: usize) -> bool {
    bytes <= FLAT_BYTES_MAX
}

/// A string of these bytes.
#[inline]
pub fn bytes(bytes: &[u8]) -> NewValue<'_> {
    match bytes.len() > FLAT_BYTES_MAX {
        true => long(Long::owned(bytes.to_vec())),
        false => plain(Body::default().borrowed(bytes)),
    }
}

/// The same, of bytes that stand in what was received: a long string stays there, where it can.
#[inline]
pub fn received<'a>(bytes: &'a [u8], within: Option<&Received>) -> NewValue<'a> {
    match within {
        Some(within) => received_within(bytes, within),
        None => self::bytes(bytes),
    }
}

#[inline(never)]
fn received_within<'a>(bytes: &'a [u8], within: &Received) -> NewValue<'a> {
    let is_long = bytes.len() > FLAT_BYTES_MAX;
    match is_long.then(|| within.kept(bytes)).flatten() {
        Some(kept) => long(kept),
        None => self::bytes(bytes),
    }
}

/// A string of bytes made for the purpose.
pub fn owned<'a>(bytes: Vec<u8>) -> NewValue<'a> {
    match bytes.len() > FLAT_BYTES_MAX {
        true => long(Long::owned(bytes)),
        false => plain(Body::default().owned(bytes)),
    }
}

/// As [`owned`], but raw to OBJECT ENCODING: what BITOP leaves.
pub fn owned_raw<'a>(bytes: Vec<u8>) -> NewValue<'a> {
    match bytes.len() > FLAT_BYTES_MAX {
        true => long(Long::owned(bytes)),
        false => raw(Body::default().owned(bytes)),
    }
}

#[inline(never)]
fn long<'a>(long: Long) -> NewValue<'a> {
    let record = long.into_record();
    NewValue {
        kind: Kind::String,
        form: Form::Apart,
        body: Body::default().copied(&record.to_bytes()),
        origin: Origin::New(Delta::of_long(record)),
    }
}

/// The decimal text of an integer.
// Inlined, so that it is made where it goes.
#[inline]
pub fn integer(value: i64) -> NewValue<'static> {
    plain(Body::default().copied(itoa::Buffer::new().format(value).as_bytes()))
}

/// The old bytes with `tail` behind them.
///
/// # Errors
/// [`Error::TooLong`].
pub fn append<'a>(old: Option<Str<'a>>, tail: &'a [u8]) -> Result<NewValue<'a>, Error> {
    let Some(old) = old else {
        return Ok(bytes(tail));
    };
    let bytes = old.len().saturating_add(tail.len());
    check_len(bytes)?;
    match old.0 {
        Repr::Flat(flat) if bytes <= FLAT_BYTES_MAX => {
            Ok(raw(Body::default().borrowed(flat).borrowed(tail)))
        }
        _ => {
            let mut edit = StrEdit::new(Some(old));
            edit.chunks().append(tail);
            Ok(edit.finish())
        }
    }
}

/// The old bytes with `head` before them.
///
/// # Errors
/// [`Error::TooLong`].
pub fn prepend<'a>(old: Str<'a>, head: &'a [u8]) -> Result<NewValue<'a>, Error> {
    let bytes = old.len().saturating_add(head.len());
    check_len(bytes)?;
    if bytes <= FLAT_BYTES_MAX {
        let body = Body::default().borrowed(head);
        return Ok(raw(old.parts().fold(body, Body::borrowed)));
    }
    let mut all = Vec::with_capacity(bytes);
    all.extend_from_slice(head);
    old.parts().for_each(|part| all.extend_from_slice(part));
    Ok(owned_raw(all))
}

/// The old bytes with `patch` from `offset` on, and zeros in between where the string was too
/// short. An empty patch changes nothing and needs no call.
///
/// # Errors
/// [`Error::TooLong`].
pub fn set_range<'a>(
    old: Option<Str<'a>>,
    offset: usize,
    patch: &'a [u8],
) -> Result<NewValue<'a>, Error> {
    let mut edit = StrEdit::new(old);
    edit.write(offset, patch)?;
    Ok(edit.finish())
}

/// The integer at the key (0 if there is none) plus `by`; [`integer`] makes a value of it.
///
/// # Errors
/// [`Error::NotAnInteger`], [`Error::Overflow`].
#[inline]
pub fn sum(old: Option<Str<'_>>, by: i64) -> Result<i64, Error> {
    let value = match old {
        Some(old) => old.integer().ok_or(Error::NotAnInteger)?,
        None => 0,
    };
    value.checked_add(by).ok_or(Error::Overflow)
}

/// The number at the key (0 if there is none) plus `by`: its text, which is also the new value.
///
/// # Errors
/// [`Error::NotAFloat`], [`Error::NotFinite`].
pub fn increment_float(
    old: Option<Str<'_>>,
    by: LongDouble,
) -> Result<(Vec<u8>, NewValue<'static>), Error> {
    let value = match old {
        Some(old) => LongDouble::parse(&old.to_cow()).ok_or(Error::NotAFloat)?,
        None => LongDouble::ZERO,
    };
    let text = value.add(by).ok_or(Error::NotFinite)?.to_text();
    let body = Body::default().copied(&text);
    Ok((text, NewValue::flat(Kind::String, Form::Text, body)))
}

/// Memcached's incr: wraps at 64 bits without sign.
///
/// # Errors
/// [`Error::NotAnInteger`].
pub fn wrapping_increment<'a>(old: Str<'_>, by: u64) -> Result<(u64, NewValue<'a>), Error> {
    let sum = unsigned(old)?.wrapping_add(by);
    Ok((sum, unsigned_text(sum)))
}

/// Memcached's decr: stops at 0.
///
/// # Errors
/// [`Error::NotAnInteger`].
pub fn saturating_decrement<'a>(old: Str<'_>, by: u64) -> Result<(u64, NewValue<'a>), Error> {
    let difference = unsigned(old)?.saturating_sub(by);
    Ok((difference, unsigned_text(difference)))
}

/// What memcached takes for a number: what C's `strtoull` finds at the start, if a blank, a zero
/// byte or nothing follows it.
fn unsigned(old: Str<'_>) -> Result<u64, Error> {
    let is_blank = |byte: &u8| byte.is_ascii_whitespace() || *byte == b'\x0b';
    let text = old.as_slice().ok_or(Error::NotAnInteger)?;
    let text = &text[text.iter().take_while(|byte| is_blank(byte)).count()..];
    let text = text.strip_prefix(b"+").unwrap_or(text);
    let is_digit = |byte: &&u8| byte.is_ascii_digit();
    let (digits, rest) = text.split_at(text.iter().take_while(is_digit).count());
    let is_end = |byte: &u8| is_blank(byte) || *byte == 0;
    if !rest.first().is_none_or(is_end) {
        return Err(Error::NotAnInteger);
    }
    let digits = std::str::from_utf8(digits).map_err(|_| Error::NotAnInteger)?;
    digits.parse().map_err(|_| Error::NotAnInteger)
}

/// The decimal text of an integer without sign.
pub fn unsigned_text<'a>(value: u64) -> NewValue<'a> {
    plain(Body::default().copied(itoa::Buffer::new().format(value).as_bytes()))
}

#[inline]
fn plain(body: Body<'_>) -> NewValue<'_> {
    NewValue::flat(Kind::String, Form::Plain, body)
}

fn raw(body: Body<'_>) -> NewValue<'_> {
    NewValue::flat(Kind::String, Form::Raw, body)
}

pub(super) fn check_len(bytes: usize) -> Result<(), Error> {
    if bytes <= STRING_BYTES_MAX {
        Ok(())
    } else {
        Err(Error::TooLong)
    }
}

/// Changes a string in several places at once.
#[derive(Debug)]
pub struct StrEdit<'a>(State<'a>);

#[derive(Debug)]
enum State<'a> {
    Flat(Cow<'a, [u8]>),
    Chunks {
        edit: ChunksEdit<'a>,
        /// Whether the old string is a tree, of which the changed one is then a part.
        old_is_tree: bool,
    },
}

impl<'a> StrEdit<'a> {
    /// Starts from the old string, or from an empty one.
    pub fn new(old: Option<Str<'a>>) -> StrEdit<'a> {
        StrEdit(match old.map(|old| old.0) {
            None => State::Flat(Cow::Borrowed(&[])),
            Some(Repr::Flat(flat)) => State::Flat(Cow::Borrowed(flat)),
            Some(Repr::Apart(long)) => State::Flat(Cow::Borrowed(long.bytes())),
            Some(Repr::Chunks(chunks)) => State::Chunks {
                edit: ChunksEdit::of(chunks),
                old_is_tree: true,
            },
        })
    }

    /// The string as it is now.
    pub fn view(&self) -> Str<'_> {
        match &self.0 {
            State::Flat(flat) => Str::from_slice(flat),
            State::Chunks { edit, .. } => match edit.view() {
                Some(chunks) => Str(Repr::Chunks(chunks)),
                None => Str::from_slice(&[]),
            },
        }
    }

    /// Writes `patch` at `offset`, after zeros if the string is too short.
    ///
    /// # Errors
    /// [`Error::TooLong`].
    pub fn write(&mut self, offset: usize, patch: &[u8]) -> Result<(), Error> {
        let end = offset.saturating_add(patch.len());
        self.grow(end)?;
        match &mut self.0 {
            State::Flat(flat) if flat.len() <= FLAT_BYTES_MAX => {
                flat.to_mut()[offset..end].copy_from_slice(patch);
            }
            _ => self.chunks().overwrite(offset, patch),
        }
        Ok(())
    }

    /// Appends zeros until the string has `bytes`.
    ///
    /// # Errors
    /// [`Error::TooLong`].
    pub fn grow(&mut self, bytes: usize) -> Result<(), Error> {
        check_len(bytes)?;
        let zeros = bytes.saturating_sub(self.view().len());
        if zeros == 0 {
            return Ok(());
        }
        match &mut self.0 {
            State::Flat(flat) if bytes <= FLAT_BYTES_MAX => flat.to_mut().resize(bytes, 0),
            _ => self.chunks().append_zeros(zeros),
        }
        Ok(())
    }

    /// The changed string.
    pub fn finish(self) -> NewValue<'a> {
        let (edit, old_is_tree) = match self.0 {
            State::Flat(Cow::Borrowed(bytes)) if bytes.len() <= FLAT_BYTES_MAX => {
                return raw(Body::default().borrowed(bytes));
            }
            State::Flat(bytes) => return owned_raw(bytes.into_owned()),
            State::Chunks { edit, old_is_tree } => (edit, old_is_tree),
        };
        let Some((root, delta)) = edit.finish() else {
            return raw(Body::default());
        };
        let origin = match old_is_tree {
            true => Origin::Derived(delta),
            false => Origin::New(delta),
        };
        of_tree(Kind::String, 0, root, origin)
    }

    /// The string as a tree, which it may have to become first.
    fn chunks(&mut self) -> &mut ChunksEdit<'a> {
        if let State::Flat(flat) = &self.0 {
            let mut edit = ChunksEdit::new();
            edit.append(flat);
            self.0 = State::Chunks {
                edit,
                old_is_tree: false,
            };
        }
        match &mut self.0 {
            State::Chunks { edit, .. } => edit,
            State::Flat(_) => unreachable!("it became a tree"),
        }
    }
}

pub(super) fn encoding(entry: Entry<'_>) -> Encoding {
    match entry.form() {
        Form::Plain => match entry.value_bytes() {
            bytes if parse_integer(bytes).is_some() => Encoding::Int,
            bytes => text_encoding(bytes),
        },
        Form::Text => text_encoding(entry.value_bytes()),
        Form::Raw | Form::Tree | Form::Handle | Form::Apart => Encoding::Raw,
    }
}

fn text_encoding(bytes: &[u8]) -> Encoding {
    match bytes.len() <= EMBSTR_BYTES_MAX {
        true => Encoding::Embstr,
        false => Encoding::Raw,
    }
}

#[cfg(test)]
mod tests;
