//! The text protocol: a line of words, and behind some lines a value of known length.
//!
//! As in memcached, a line is a request if it has enough words; words beyond those that a request
//! needs are ignored, but for the last one if it is `noreply`.

use super::KEY_BYTES_MAX;
use super::line::{Parsed, refused, value_bytes, whole};
use super::request::{Arithmetic, Delete, Delta, Exptime, Key, List, ListForm, Mode, Refusal};
use super::request::{Request, Stats, Store, Verb};
use super::words::{Arguments, Words, signed, signed_or_plus, unsigned, unsigned_32};
use super::write::Form;

/// Memcached's least limit, in megabytes.
const LIMIT_MEGABYTES_MIN: u32 = 8;
/// More than that were bytes.
const LIMIT_MEGABYTES_MAX: u32 = 1_000_000_000;

/// The size class that all items are of: the allocator's classes are not ours to tell.
const CLASS: u64 = 1;
/// The last one that memcached has room for.
const CLASS_MAX: u64 = 63;

/// The request of a line that starts with a command of the protocol.
pub(super) fn request<'b>(command: &[u8], words: Words<'b>) -> Option<Parsed<'b>> {
    let parsed = match command {
        b"get" => get_many(words, false),
        b"gets" => get_many(words, true),
        b"gat" => get_and_touch(words, false),
        b"gats" => get_and_touch(words, true),
        b"set" => store(words, Mode::Set, false),
        b"add" => store(words, Mode::Add, false),
        b"replace" => store(words, Mode::Replace, false),
        b"append" => store(words, Mode::Append, false),
        b"prepend" => store(words, Mode::Prepend, false),
        b"cas" => store(words, Mode::Set, true),
        b"incr" => arithmetic(words, Delta::Increment),
        b"decr" => arithmetic(words, Delta::Decrement),
        b"delete" => delete(words),
        b"touch" => touch(words),
        b"stats" => stats(words),
        b"version" => loud(Verb::Version),
        b"quit" => loud(Verb::Quit),
        _ => return None,
    };
    Some(parsed)
}

/// The request of a line that is a get of keys as they should be: what is asked for most.
pub(super) fn plain_get(line: &[u8]) -> Option<Request<'_>> {
    let keys = line.strip_prefix(b"get ")?;
    let keys = Words::of(keys.strip_suffix(b"\r").unwrap_or(keys));
    check_keys(keys).ok()?;
    let verb = Verb::GetMany {
        keys,
        touch: None,
        with_tokens: false,
    };
    Some(Request {
        verb,
        form: Form::TEXT,
    })
}

/// The request of any other line. Those few commands may have blanks before them.
pub(super) fn other_request(mut words: Words<'_>) -> Parsed<'_> {
    let command = words.next().unwrap_or_default();
    let arguments = Arguments::of(words);
    let verb = match command {
        b"flush_all" => flush_all(&arguments),
        b"verbosity" => unsigned_32(arguments.at(0))
            .map(|_| Verb::Verbosity)
            .ok_or(Refusal::BadFormat),
        b"cache_memlimit" => memory_limit(&arguments),
        b"lru_crawler" => list(&arguments),
        b"shutdown" => match (arguments.count(), arguments.at(0)) {
            (0, _) | (1, b"graceful") => Ok(Verb::Shutdown),
            _ => Err(Refusal::BadShutdown),
        },
        _ if words.last().is_some_and(|word| word.starts_with(b"HTTP/")) => Ok(Verb::Quit),
        _ => Err(Refusal::Unknown),
    };
    whole(verb.unwrap_or_else(Verb::Refused), &arguments)
}

fn loud<'b>(verb: Verb<'b>) -> Parsed<'b> {
    Parsed::Whole(Request {
        verb,
        form: Form::TEXT,
    })
}

fn checked_key(key: &[u8]) -> Result<Key<'_>, Refusal> {
    match key.len() <= KEY_BYTES_MAX {
        true => Ok(Key::Plain(key)),
        false => Err(Refusal::BadFormat),
    }
}

/// Whether each of the keys up to the end of the line can be one, and there is one.
fn check_keys(mut keys: Words<'_>) -> Result<(), Refusal> {
    // Most lines are shorter than one key may be.
    let are_valid = match keys.word_bytes_max() <= KEY_BYTES_MAX {
        true => keys.next().is_some(),
        false => keys.clone().next().is_some() && keys.all(|key| key.len() <= KEY_BYTES_MAX),
    };
    match are_valid {
        true => Ok(()),
        false => Err(Refusal::BadFormat),
    }
}

fn get_many(keys: Words<'_>, with_tokens: bool) -> Parsed<'_> {
    match check_keys(keys) {
        Ok(()) => loud(Verb::GetMany {
            keys,
            touch: None,
            with_tokens,
        }),
        Err(refusal) => refused(refusal, false),
    }
}

fn get_and_touch(mut words: Words<'_>, with_tokens: bool) -> Parsed<'_> {
    let exptime = words.next().unwrap_or_default();
    let exptime = match (words.clone().next(), signed(exptime)) {
        (None, _) => Err(Refusal::BadFormat),
        (_, None) => Err(Refusal::BadExptime),
        (_, Some(exptime)) => check_keys(words).map(|()| exptime),
    };
    match exptime {
        Ok(exptime) => loud(Verb::GetMany {
            keys: words,
            touch: Some(Exptime(exptime)),
            with_tokens,
        }),
        Err(refusal) => refused(refusal, false),
    }
}

fn store(words: Words<'_>, mode: Mode, compares: bool) -> Parsed<'_> {
    let arguments = Arguments::of(words);
    let length = arguments
        .at_least(4)
        .and_then(|()| value_bytes(arguments.at(3)));
    let bytes = match length {
        Ok(bytes) => bytes,
        Err(refusal) => return refused(refusal, false),
    };
    let form = Form::Text {
        noreply: arguments.noreply(),
    };
    match store_header(&arguments, mode, compares) {
        Ok(store) => Parsed::Header(store, form, bytes),
        Err(refusal) => {
            let verb = Verb::Refused(refusal);
            Parsed::Unwanted(Request { verb, form }, bytes)
        }
    }
}

fn store_header<'b>(
    arguments: &Arguments<'b>,
    mode: Mode,
    compares: bool,
) -> Result<Store<'b>, Refusal> {
    let flags = signed_or_plus(arguments.at(1)).and_then(|flags| u32::try_from(flags).ok());
    let exptime = signed_or_plus(arguments.at(2));
    let compare = match compares {
        true => Some(unsigned(arguments.at(4)).ok_or(Refusal::BadFormat)?),
        false => None,
    };
    Ok(Store {
        mode,
        key: checked_key(arguments.at(0))?,
        client_flags: flags.ok_or(Refusal::BadFormat)?,
        exptime: Exptime(exptime.ok_or(Refusal::BadFormat)?),
        value: &[],
        compare,
        accepts_older: false,
        token: None,
        vivifies: false,
    })
}

/// A request for one key: `parse` takes the other arguments.
fn on_key<'b>(
    words: Words<'b>,
    least: usize,
    parse: impl FnOnce(Key<'b>, &Arguments<'b>) -> Result<Verb<'b>, Refusal>,
) -> Parsed<'b> {
    let arguments = Arguments::of(words);
    if let Err(refusal) = arguments.at_least(least) {
        return refused(refusal, false);
    }
    let verb = checked_key(arguments.at(0)).and_then(|key| parse(key, &arguments));
    whole(verb.unwrap_or_else(Verb::Refused), &arguments)
}

fn arithmetic(words: Words<'_>, change: fn(u64) -> Delta) -> Parsed<'_> {
    on_key(words, 2, |key, arguments| {
        let by = unsigned(arguments.at(1)).ok_or(Refusal::BadDelta)?;
        Ok(Verb::Arithmetic(Arithmetic {
            key,
            change: change(by),
            initial: None,
            touch: None,
            compare: None,
            token: None,
        }))
    })
}

fn delete(words: Words<'_>) -> Parsed<'_> {
    on_key(words, 1, |key, arguments| {
        // It had a time once. This alone is not ignored: memccapable wants it refused.
        let is_now = arguments.at(1) == b"0";
        match (arguments.count(), arguments.noreply()) {
            (1, _) => Ok(()),
            (2, noreply) if is_now || noreply => Ok(()),
            (3, true) if is_now => Ok(()),
            (..=3, _) => Err(Refusal::BadDelete),
            _ => Err(Refusal::Unknown),
        }?;
        Ok(Verb::Delete(Delete::plain(key)))
    })
}

fn touch(words: Words<'_>) -> Parsed<'_> {
    on_key(words, 2, |key, arguments| {
        let exptime = Exptime(signed(arguments.at(1)).ok_or(Refusal::BadExptime)?);
        Ok(Verb::Touch { key, exptime })
    })
}

fn flush_all<'b>(arguments: &Arguments<'b>) -> Result<Verb<'b>, Refusal> {
    let exptime = match arguments.count() == usize::from(arguments.noreply()) {
        true => Exptime::NEVER,
        false => Exptime(signed(arguments.at(0)).ok_or(Refusal::BadExptime)?),
    };
    Ok(Verb::FlushAll { exptime })
}

fn memory_limit<'b>(arguments: &Arguments<'b>) -> Result<Verb<'b>, Refusal> {
    match unsigned_32(arguments.at(0)).ok_or(Refusal::Unknown)? {
        ..LIMIT_MEGABYTES_MIN => Err(Refusal::LimitTooSmall),
        megabytes @ ..=LIMIT_MEGABYTES_MAX => Ok(Verb::MemoryLimit { megabytes }),
        _ => Err(Refusal::LimitTooLarge),
    }
}

/// What memcached has its crawler of items do for a client to see. There is none here to be
/// started, stopped or set.
fn list<'b>(arguments: &Arguments<'b>) -> Result<Verb<'b>, Refusal> {
    let count = arguments.count() - usize::from(arguments.noreply());
    let form = match (arguments.at(0), count) {
        (b"metadump", 2) => ListForm::Metadata,
        (b"mgdump", 2) => ListForm::Requests,
        _ => return Err(Refusal::Unknown),
    };
    let has_items = match arguments.at(1) {
        b"all" | b"hash" => true,
        classes => names_class(classes)?,
    };
    Ok(Verb::List(List {
        form,
        has_items,
        cursor: None,
        items_left: u64::MAX,
    }))
}

/// Whether the class that items are of is among some that are separated by commas.
fn names_class(classes: &[u8]) -> Result<bool, Refusal> {
    let mut is_named = None;
    for class in classes.split(|byte| *byte == b',') {
        if class.is_empty() {
            continue;
        }
        let class = unsigned(class).filter(|class| (1..=CLASS_MAX).contains(class));
        let is_ours = class.ok_or(Refusal::BadClass)? == CLASS;
        is_named = Some(is_ours || is_named.unwrap_or(false));
    }
    is_named.ok_or(Refusal::NoClasses)
}

/// What memcached's oldest way to list items asks for: a size class, and how many of its items, 0
/// for all.
fn cachedump(mut words: Words<'_>) -> Result<List, Refusal> {
    let (Some(class), Some(count)) = (words.next(), words.next()) else {
        return Err(Refusal::BadList);
    };
    let number = |word| unsigned_32(word).map(u64::from).ok_or(Refusal::BadFormat);
    let (class, count) = (number(class)?, number(count)?);
    if class > CLASS_MAX {
        return Err(Refusal::IllegalClass);
    }
    Ok(List {
        form: ListForm::Lengths,
        has_items: class == CLASS,
        cursor: None,
        items_left: if count == 0 { u64::MAX } else { count },
    })
}

fn stats(words: Words<'_>) -> Parsed<'_> {
    let mut arguments = words;
    if arguments.next() == Some(b"cachedump") {
        return match cachedump(arguments) {
            Ok(list) => loud(Verb::List(list)),
            Err(refusal) => refused(refusal, false),
        };
    }
    match Stats::named(words) {
        Ok(what) => loud(Verb::Stats { what }),
        Err(refusal) => refused(refusal, false),
    }
}

#[cfg(test)]
mod tests;
