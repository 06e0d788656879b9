//! Items in a list, as memcached's crawler tells them.

use super::super::base64;
use super::{Listed, digits, text};

/// All that is known of an item beside its value. Lines end as memcached ends them.
pub(super) fn metadata(out: &mut Vec<u8>, item: &Listed<'_>) {
    out.extend_from_slice(b"key=");
    url_encode(item.key, out);
    out.extend_from_slice(b" exp=");
    match item.expires_at_s {
        Some(seconds) => digits(out, seconds),
        None => out.extend_from_slice(b"-1"),
    }
    out.extend_from_slice(b" la=");
    digits(out, item.used_at_s);
    out.extend_from_slice(b" cas=");
    digits(out, item.token);
    out.extend_from_slice(match item.was_fetched {
        true => b" fetch=yes",
        false => b" fetch=no",
    });
    out.extend_from_slice(b" cls=1 size=");
    digits(out, item.size_bytes as u64);
    out.extend_from_slice(b" flags=");
    digits(out, u64::from(item.client_flags));
    out.extend_from_slice(b" \n");
}

/// The request that gets an item: its key is in base64 if it could not stand in a line.
pub(super) fn request(out: &mut Vec<u8>, key: &[u8]) {
    out.extend_from_slice(b"mg ");
    match is_plain(key) {
        true => out.extend_from_slice(key),
        false => {
            base64::encode(key, out);
            out.extend_from_slice(b" b");
        }
    }
    text::end(out);
}

/// How long a value is, and when it expires: 0 for never. Nothing of a key that no line can hold;
/// whether there was something.
pub(super) fn length(out: &mut Vec<u8>, item: &Listed<'_>) -> bool {
    if !is_plain(item.key) {
        return false;
    }
    out.extend_from_slice(b"ITEM ");
    out.extend_from_slice(item.key);
    out.extend_from_slice(b" [");
    digits(out, item.value_bytes as u64);
    out.extend_from_slice(b" b; ");
    digits(out, item.expires_at_s.unwrap_or(0));
    out.extend_from_slice(b" s]");
    text::end(out);
    true
}

/// Whether a key can stand in a line as it is.
fn is_plain(key: &[u8]) -> bool {
    key.iter().all(|byte| *byte > b' ' && *byte != 0x7f)
}

/// Appends a key in which all but letters, digits and `-._~` is a percent sign and two digits.
fn url_encode(key: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in key {
        match byte {
            b'-' | b'.' | b'_' | b'~' => out.push(*byte),
            byte if byte.is_ascii_alphanumeric() => out.push(*byte),
            byte => {
                let (high, low) = (usize::from(byte >> 4), usize::from(byte & 15));
                out.extend_from_slice(&[b'%', DIGITS[high], DIGITS[low]]);
            }
        }
    }
}
