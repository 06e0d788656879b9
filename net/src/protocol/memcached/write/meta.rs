//! Replies in two letters, followed by those flags of the request that ask for something, in the
//! order in which they came.

use super::super::base64;
use super::{Item, MetaForm, Number, Status, Stored, digits, text};
use crate::protocol::output::Output;

/// What became of ms, md, or of ma where there is no number.
pub(super) fn status(out: &mut Vec<u8>, form: &MetaForm<'_>, status: Status, stored: Stored<'_>) {
    let code = match status {
        Status::Stored | Status::Deleted if form.is_quiet => return,
        Status::Stored | Status::Deleted => b"HD",
        Status::NotStored => b"NS",
        Status::Exists => b"EX",
        Status::NotFound => b"NF",
        // What is no result of the command is told in any case.
        other => return text::line(out, text::of_status(other)),
    };
    out.extend_from_slice(code);
    for flag in form.flags {
        match (flag[0], stored.value_bytes) {
            (b'O', _) => opaque(out, flag),
            (b'k', _) => key(out, form, stored.key),
            (b'c', Some(_)) => number_flag(out, b'c', stored.token),
            (b's', Some(bytes)) => number_flag(out, b's', bytes as u64),
            _ => {}
        }
    }
    text::end(out);
}

/// The item that mg asked for.
pub(super) fn item(
    out: &mut Output,
    form: &MetaForm<'_>,
    item: &Item<'_>,
    append: impl FnOnce(&mut Output),
) {
    let has_value = form.wants_value && !item.is_withheld;
    if has_value {
        out.extend_from_slice(b"VA ");
        digits(out, item.value_bytes as u64);
    } else {
        out.extend_from_slice(b"HD");
    }
    let details = &item.details;
    let mut ttl_s = details.ttl_before_s;
    for flag in form.flags {
        match flag[0] {
            b'T' => ttl_s = details.ttl_s,
            b'N' if details.is_made => ttl_s = details.made_ttl_s,
            b's' => number_flag(out, b's', item.value_bytes as u64),
            b't' => ttl(out, ttl_s),
            b'c' => number_flag(out, b'c', item.token),
            b'f' => number_flag(out, b'f', u64::from(item.client_flags)),
            b'l' => number_flag(out, b'l', details.idle_s),
            b'h' => number_flag(out, b'h', u64::from(details.was_fetched)),
            b'O' => opaque(out, flag),
            b'k' => key(out, form, item.key),
            _ => {}
        }
    }
    for (letter, is_set) in [
        (b'Z', details.win_sent),
        (b'X', details.is_stale),
        (b'W', details.has_won),
    ] {
        if is_set {
            out.extend_from_slice(&[b' ', letter]);
        }
    }
    text::end(out);
    if has_value {
        append(out);
        text::end(out);
    }
}

/// mg found nothing.
pub(super) fn miss(out: &mut Vec<u8>, form: &MetaForm<'_>, missed: &[u8]) {
    if form.is_quiet {
        return;
    }
    out.extend_from_slice(b"EN");
    for flag in form.flags {
        match flag[0] {
            b'O' => opaque(out, flag),
            b'k' => key(out, form, missed),
            _ => {}
        }
    }
    text::end(out);
}

/// The number that ma made.
pub(super) fn number(out: &mut Vec<u8>, form: &MetaForm<'_>, number: &Number<'_>) {
    if form.is_quiet {
        return;
    }
    let mut buffer = itoa::Buffer::new();
    let value = buffer.format(number.value).as_bytes();
    if form.wants_value {
        out.extend_from_slice(b"VA ");
        digits(out, value.len() as u64);
    } else {
        out.extend_from_slice(b"HD");
    }
    let details = &number.details;
    let mut ttl_s = details.ttl_before_s;
    for flag in form.flags {
        match flag[0] {
            b'T' => ttl_s = details.ttl_s,
            b'N' if details.is_made => ttl_s = details.made_ttl_s,
            b't' => ttl(out, ttl_s),
            b'c' => number_flag(out, b'c', number.token),
            b'O' => opaque(out, flag),
            b'k' => key(out, form, number.key),
            _ => {}
        }
    }
    text::end(out);
    if form.wants_value {
        out.extend_from_slice(value);
        text::end(out);
    }
}

/// What me tells.
pub(super) fn debug(out: &mut Vec<u8>, form: &MetaForm<'_>, item: &Item<'_>, size_bytes: usize) {
    out.extend_from_slice(b"ME ");
    match form.is_key_base64 {
        true => base64::encode(item.key, out),
        false => out.extend_from_slice(item.key),
    }
    out.extend_from_slice(b" exp=");
    match item.details.ttl_s {
        Some(seconds) => digits(out, seconds),
        None => out.extend_from_slice(b"-1"),
    }
    out.extend_from_slice(b" la=");
    digits(out, item.details.idle_s);
    out.extend_from_slice(b" cas=");
    digits(out, item.token);
    out.extend_from_slice(match item.details.was_fetched {
        true => b" fetch=yes",
        false => b" fetch=no",
    });
    out.extend_from_slice(b" cls=1 size=");
    digits(out, size_bytes as u64);
    text::end(out);
}

fn opaque(out: &mut Vec<u8>, flag: &[u8]) {
    out.push(b' ');
    out.extend_from_slice(flag);
}

fn number_flag(out: &mut Vec<u8>, letter: u8, value: u64) {
    out.extend_from_slice(&[b' ', letter]);
    digits(out, value);
}

fn ttl(out: &mut Vec<u8>, ttl_s: Option<u64>) {
    match ttl_s {
        Some(seconds) => number_flag(out, b't', seconds),
        None => out.extend_from_slice(b" t-1"),
    }
}

/// The key as the client knows it.
fn key(out: &mut Vec<u8>, form: &MetaForm<'_>, key: &[u8]) {
    out.extend_from_slice(b" k");
    match form.is_key_base64 {
        true => {
            base64::encode(key, out);
            out.extend_from_slice(b" b");
        }
        false => out.extend_from_slice(key),
    }
}
