//! The meta commands: two letters, a key, and flags of one letter each, some with a token.
//!
//! All of them read the same flags and make of them what they can use, as memcached does. The
//! flags stand in the request as they came in, since the reply repeats some of them in their
//! order.

use super::line::{Parsed, value_bytes};
use super::request::{Arithmetic, Delete, Delta, Exptime, Get, Key, KeyRoom, Mode, Refusal};
use super::request::{Request, Store, Verb, Vivify};
use super::words::{Words, signed, unsigned, unsigned_32};
use super::write::{Form, MetaForm};
use super::{KEY_BYTES_MAX, base64};

/// The most words of a line whose flags are looked at.
const LINE_WORDS_MAX: usize = 20;
/// The longest opaque token, in bytes, its letter included.
const OPAQUE_BYTES_MAX: usize = 32;

/// What the flags of a line say.
struct Flags<'b> {
    key: Key<'b>,
    words: Words<'b>,
    is_quiet: bool,
    wants_value: bool,
    notes_use: bool,
    invalidates: bool,
    empties: bool,
    client_flags: u32,
    /// T.
    exptime: Option<Exptime>,
    /// N, and whether T stands behind it.
    vivify: Option<Vivify>,
    /// R, and whether T stands before it.
    recache: Option<Exptime>,
    touches_first: bool,
    /// C.
    compare: Option<u64>,
    /// E.
    token: Option<u64>,
    /// M.
    mode: Option<u8>,
    /// D.
    delta: u64,
    /// J.
    initial: u64,
    /// Whether an opaque token is too long, which memcached finds out later than the rest.
    is_opaque_too_long: bool,
}

impl<'b> Flags<'b> {
    /// What a line with this key says that has none.
    fn unread(key: &'b [u8], words: Words<'b>) -> Flags<'b> {
        Flags {
            key: Key::Plain(key),
            words,
            is_quiet: false,
            wants_value: false,
            notes_use: true,
            invalidates: false,
            empties: false,
            client_flags: 0,
            exptime: None,
            vivify: None,
            recache: None,
            touches_first: false,
            compare: None,
            token: None,
            mode: None,
            delta: 1,
            initial: 0,
            is_opaque_too_long: false,
        }
    }

    /// Reads those on a line with `words_before` words before them.
    // Where they are, not made and then moved: they are many.
    fn read(&mut self, words_before: usize) -> Result<(), Refusal> {
        let (key, words) = (self.key.plain().unwrap_or_default(), self.words);
        if key.len() > KEY_BYTES_MAX {
            check(words, words_before)?;
            return Err(Refusal::BadFormat);
        }
        self.read_words(words_before).or_else(|refusal| {
            // What is wrong with the line as a whole is told before what a flag says.
            check(words, words_before)?;
            match words_before + words.count() > LINE_WORDS_MAX {
                true => Err(Refusal::TooManyFlags),
                false => Err(refusal),
            }
        })
    }

    /// Reads what [`Flags::read`] checks further if this fails.
    fn read_words(&mut self, words_before: usize) -> Result<(), Refusal> {
        let mut seen = 0_u64;
        let mut refusal = None;
        for (index, word) in self.words.enumerate() {
            if words_before + index == LINE_WORDS_MAX {
                return Err(Refusal::TooManyFlags);
            }
            // All others are no flags.
            let bit = match word[0] {
                letter @ 0x40..0x80 => 1 << (letter - 0x40),
                _ => 0,
            };
            if seen & bit != 0 {
                return Err(Refusal::DuplicateFlag);
            }
            seen |= bit;
            match self.note(word[0], &word[1..]) {
                Ok(()) => {}
                Err(Refusal::BadFlag) => return Err(Refusal::BadFlag),
                // The last one is told.
                Err(other) => refusal = Some(other),
            }
        }
        refusal.map_or(Ok(()), Err)
    }

    /// Takes a flag with its token.
    fn note(&mut self, flag: u8, token: &'b [u8]) -> Result<(), Refusal> {
        let time = || signed(token).map(Exptime).ok_or(Refusal::BadFlagNumber);
        let number = || unsigned(token).ok_or(Refusal::BadFlagNumber);
        match flag {
            b'b' => self.key = base64_key(self.key)?,
            b'N' => {
                self.vivify = Some(Vivify {
                    exptime: time()?,
                    is_touched: false,
                });
            }
            b'T' => {
                self.exptime = Some(time()?);
                if let Some(vivify) = &mut self.vivify {
                    vivify.is_touched = true;
                }
            }
            b'R' => {
                self.recache = Some(time()?);
                self.touches_first = self.exptime.is_some();
            }
            b'O' => self.is_opaque_too_long = 1 + token.len() > OPAQUE_BYTES_MAX,
            b'v' => self.wants_value = true,
            b'u' => self.notes_use = false,
            b'q' => self.is_quiet = true,
            b'x' => self.empties = true,
            b'I' => self.invalidates = true,
            b'F' => self.client_flags = unsigned_32(token).ok_or(Refusal::BadFormat)?,
            b'C' => self.compare = Some(number()?),
            b'E' => self.token = Some(number()?),
            b'M' => self.mode = Some(token.first().copied().unwrap_or(0)),
            b'J' => self.initial = unsigned(token).ok_or(Refusal::BadInitial)?,
            b'D' => self.delta = unsigned(token).ok_or(Refusal::BadFlagDelta)?,
            // P and L are for proxies.
            b'k' | b's' | b't' | b'c' | b'f' | b'h' | b'l' | b'P' | b'L' => {}
            _ => return Err(Refusal::BadFlag),
        }
        Ok(())
    }

    fn form(&self) -> Form<'b> {
        Form::Meta(MetaForm {
            flags: self.words,
            is_quiet: self.is_quiet,
            wants_value: self.wants_value,
            is_key_base64: matches!(self.key, Key::Base64(_)),
        })
    }

    /// A request that has these flags, unless the opaque token is too long.
    fn whole(&self, verb: Verb<'b>) -> Request<'b> {
        if self.is_opaque_too_long {
            return Request::refused(Refusal::OpaqueTooLong, Form::TEXT);
        }
        Request {
            verb,
            form: self.form(),
        }
    }
}

/// Whether all flags begin as flags may.
fn check(mut words: Words<'_>, words_before: usize) -> Result<(), Refusal> {
    const WORDS_MAX: usize = 23;
    let may_begin = |byte: u8| matches!(byte, b'A'..=b'z' | b'0'..=b'9');
    let mut words = words.by_ref().take(WORDS_MAX - words_before);
    match words.all(|word| may_begin(word[0])) {
        true => Ok(()),
        false => Err(Refusal::BadFormat),
    }
}

fn base64_key(key: Key<'_>) -> Result<Key<'_>, Refusal> {
    match key {
        Key::Plain(text) if base64::decode(text, &mut KeyRoom::new()) => Ok(Key::Base64(text)),
        _ => Err(Refusal::BadBase64),
    }
}

/// A command with a key and flags.
#[inline(always)]
fn with_flags<'b>(mut words: Words<'b>, verb: impl FnOnce(&Flags<'b>) -> Verb<'b>) -> Request<'b> {
    let Some(key) = words.next() else {
        return Request::refused(Refusal::BadFormat, Form::TEXT);
    };
    let mut flags = Flags::unread(key, words);
    match flags.read(2) {
        Ok(()) => flags.whole(verb(&flags)),
        Err(refusal) => Request::refused(refusal, Form::TEXT),
    }
}

/// mg.
pub(super) fn get(words: Words<'_>) -> Request<'_> {
    with_flags(words, |flags| {
        Verb::Get(Get {
            key: flags.key,
            touch: flags.exptime,
            vivify: flags.vivify,
            token: flags.token,
            recache: flags.recache,
            touches_first: flags.touches_first,
            unless_token: flags.compare,
            knows_stale: true,
            notes_use: flags.notes_use,
        })
    })
}

/// md.
pub(super) fn delete(words: Words<'_>) -> Request<'_> {
    with_flags(words, |flags| {
        Verb::Delete(Delete {
            key: flags.key,
            compare: flags.compare,
            token: flags.token,
            invalidates: flags.invalidates,
            empties: flags.empties.then_some(flags.client_flags),
            touch: flags.exptime,
        })
    })
}

/// ma.
pub(super) fn arithmetic(mut words: Words<'_>) -> Request<'_> {
    let Some(key) = words.next() else {
        return Request::refused(Refusal::BadFormat, Form::TEXT);
    };
    if check(words, 2).is_err() {
        return Request::refused(Refusal::BadFormat, Form::TEXT);
    }
    let mut flags = Flags::unread(key, words);
    if flags.read(2).is_err() {
        return Request::refused(Refusal::BadArithmeticFlags, Form::TEXT);
    }
    let change = match flags.mode {
        None | Some(b'I' | b'+') => Delta::Increment(flags.delta),
        Some(b'D' | b'-') => Delta::Decrement(flags.delta),
        Some(_) => return Request::refused(Refusal::BadArithmeticMode, Form::TEXT),
    };
    flags.whole(Verb::Arithmetic(Arithmetic {
        key: flags.key,
        change,
        initial: flags.vivify.map(|vivify| (flags.initial, vivify)),
        touch: flags.exptime,
        // 0 asks for none.
        compare: flags.compare.filter(|token| *token != 0),
        token: flags.token,
    }))
}

/// me.
pub(super) fn debug(mut words: Words<'_>) -> Request<'_> {
    let key = words.next().filter(|key| key.len() <= KEY_BYTES_MAX);
    let Some(key) = key.filter(|_| check(words, 2).is_ok()) else {
        return Request::refused(Refusal::BadFormat, Form::TEXT);
    };
    let plain = Key::Plain(key);
    let key = match words.clone().next() {
        Some(b"b") => base64_key(plain).map_err(|_| Refusal::BadFormat),
        _ => Ok(plain),
    };
    let form = |key| {
        Form::Meta(MetaForm {
            flags: Words::of(b""),
            is_quiet: false,
            wants_value: false,
            is_key_base64: matches!(key, Key::Base64(_)),
        })
    };
    match key {
        Ok(key) => Request {
            verb: Verb::Debug { key },
            form: form(key),
        },
        Err(refusal) => Request::refused(refusal, Form::TEXT),
    }
}

/// ms.
pub(super) fn store(mut words: Words<'_>) -> Parsed<'_> {
    let key = words.next();
    let length = words.next();
    let (Some(key), Some(length)) = (key, length) else {
        return Parsed::Whole(Request::refused(Refusal::BadFormat, Form::TEXT));
    };
    let mut flags = Flags::unread(key, words);
    let read = flags.read(3);
    // Flags that could be read begin as they may.
    if read.is_err() && check(words, 3).is_err() {
        return Parsed::Whole(Request::refused(Refusal::BadFormat, Form::TEXT));
    }
    let bytes = match value_bytes(length) {
        Ok(bytes) => bytes,
        Err(refusal) => return Parsed::Whole(Request::refused(refusal, Form::TEXT)),
    };
    let header = read.and_then(|()| {
        let store = store_header(&flags)?;
        match flags.is_opaque_too_long {
            true => Err(Refusal::OpaqueTooLong),
            false => Ok((store, flags.form())),
        }
    });
    match header {
        Ok((store, form)) => Parsed::Header(store, form, bytes),
        Err(refusal) => Parsed::Unwanted(Request::refused(refusal, Form::TEXT), bytes),
    }
}

fn store_header<'b>(flags: &Flags<'b>) -> Result<Store<'b>, Refusal> {
    let mode = match flags.mode {
        None | Some(b'S') => Mode::Set,
        Some(b'E') => Mode::Add,
        Some(b'A') => Mode::Append,
        Some(b'P') => Mode::Prepend,
        Some(b'R') => Mode::Replace,
        Some(_) => return Err(Refusal::BadStoreMode),
    };
    let (mode, compare) = match (mode, flags.compare) {
        // What compares needs an item anyway, and says more when there is none.
        (Mode::Set | Mode::Replace, Some(token)) => (Mode::Set, Some(token)),
        (Mode::Append | Mode::Prepend, compare) => (mode, compare.filter(|token| *token != 0)),
        _ => (mode, None),
    };
    let extends = matches!(mode, Mode::Append | Mode::Prepend);
    let exptime = match flags.vivify.filter(|_| extends) {
        Some(vivify) => vivify.exptime,
        None => flags.exptime.unwrap_or(Exptime::NEVER),
    };
    Ok(Store {
        mode,
        key: flags.key,
        client_flags: flags.client_flags,
        exptime,
        value: &[],
        compare,
        accepts_older: flags.invalidates && mode == Mode::Set,
        // 0 asks for none.
        token: flags.token.filter(|token| *token != 0),
        vivifies: extends && flags.vivify.is_some(),
    })
}

#[cfg(test)]
mod tests;
