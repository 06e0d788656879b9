//! Packed or large, a document becomes text: compact, or indented as the caller says.

use crate::packed::{self, Item};
use crate::value::{Number, Repr, Value, View};

/// The texts that lay out a printed document; all empty means compact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Layout<'a> {
    /// Written once per level in front of every member and element.
    pub indent: &'a [u8],
    /// Written at the end of each line.
    pub newline: &'a [u8],
    /// Written between a member's colon and its value.
    pub space: &'a [u8],
}

impl Value<'_> {
    /// Appends this value as compact JSON text.
    pub fn print(self, out: &mut Vec<u8>) {
        match self.repr() {
            Repr::Packed(bytes) => print_packed(bytes, out),
            Repr::Tree(tree) => {
                print_compact(*b"[]", tree.iter(), out, |(_, value), out| value.print(out));
            }
            Repr::Members(members) => {
                print_compact(*b"{}", members.tree().iter(), out, |(name, value), out| {
                    print_string(name, out);
                    out.push(b':');
                    value.print(out);
                });
            }
        }
    }

    /// Appends this value as JSON text in `layout`, as if it stood `level` containers deep.
    pub fn print_with(self, layout: &Layout<'_>, level: usize, out: &mut Vec<u8>) {
        if *layout == Layout::default() {
            return self.print(out);
        }
        match self.view() {
            View::Array(array) if !array.is_empty() => {
                out.push(b'[');
                for (index, element) in array.iter().enumerate() {
                    begin_line(index > 0, layout, level + 1, out);
                    element.print_with(layout, level + 1, out);
                }
                begin_line(false, layout, level, out);
                out.push(b']');
            }
            View::Object(object) if !object.is_empty() => {
                out.push(b'{');
                for (index, (name, value)) in object.iter().enumerate() {
                    begin_line(index > 0, layout, level + 1, out);
                    print_string(name.as_bytes(), out);
                    out.push(b':');
                    out.extend_from_slice(layout.space);
                    value.print_with(layout, level + 1, out);
                }
                begin_line(false, layout, level, out);
                out.push(b'}');
            }
            _ => self.print(out),
        }
    }
}

/// Appends a packed value as compact text: its strings are taken for the UTF-8 they are.
fn print_packed(bytes: &[u8], out: &mut Vec<u8>) {
    if let Some((mantissa, scale)) = packed::decimal_at(bytes)
        && print_decimal(mantissa, usize::from(scale), out)
    {
        return;
    }
    match packed::item(bytes) {
        Item::Null => out.extend_from_slice(b"null"),
        Item::Bool(true) => out.extend_from_slice(b"true"),
        Item::Bool(false) => out.extend_from_slice(b"false"),
        Item::Number(number) => print_number(number, out),
        Item::String(text) => print_string(text, out),
        Item::Array(body) => {
            print_compact(*b"[]", split_all(body, packed::split), out, |value, out| {
                print_packed(value, out);
            });
        }
        Item::Object(body) => {
            let members = split_all(body, |rest| {
                let (name, rest) = packed::split_name(rest);
                let (value, rest) = packed::split(rest);
                ((name, value), rest)
            });
            print_compact(*b"{}", members, out, |(name, value), out| {
                print_string(name, out);
                out.push(b':');
                print_packed(value, out);
            });
        }
        Item::Link(_) => unreachable!("links are resolved when a leaf is read"),
    }
}

/// The parts that `split` takes off the front of `bytes`, one after the other.
fn split_all<'a, P>(
    bytes: &'a [u8],
    split: impl Fn(&'a [u8]) -> (P, &'a [u8]),
) -> impl Iterator<Item = P> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (part, after) = split(rest);
        rest = after;
        Some(part)
    })
}

/// Appends children between brackets, with commas between them.
fn print_compact<C>(
    [open, close]: [u8; 2],
    children: impl Iterator<Item = C>,
    out: &mut Vec<u8>,
    print: impl Fn(C, &mut Vec<u8>),
) {
    out.push(open);
    for (index, child) in children.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        print(child, out);
    }
    out.push(close);
}

/// Ends the line before, with a comma if something stands before, and indents the next.
fn begin_line(comma: bool, layout: &Layout<'_>, level: usize, out: &mut Vec<u8>) {
    if comma {
        out.push(b',');
    }
    out.extend_from_slice(layout.newline);
    if !layout.indent.is_empty() {
        for _ in 0..level {
            out.extend_from_slice(layout.indent);
        }
    }
}

/// Appends a number: integers in full, floats in their shortest form that reads back the same.
pub fn print_number(number: Number, out: &mut Vec<u8>) {
    match number {
        Number::Int(value) => out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes()),
        Number::Uint(value) => out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes()),
        Number::Float(value) => print_float(value, out),
    }
}

/// Appends what [`print_float`] would for a float that is kept as a decimal, whose digits are the
/// shortest already; not if it is so small that it has an exponent.
fn print_decimal(mantissa: i64, scale: usize, out: &mut Vec<u8>) -> bool {
    /// So many zeros stand between the point and the first digit of 1e-5, the smallest without.
    const ZEROS_MAX: usize = 4;
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(mantissa.unsigned_abs()).as_bytes();
    let zeros = scale.saturating_sub(digits.len());
    if zeros > ZEROS_MAX {
        return false;
    }
    let (whole, fraction) = digits.split_at(digits.len().saturating_sub(scale));
    if mantissa < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(if whole.is_empty() { b"0" } else { whole });
    out.push(b'.');
    out.extend_from_slice(&b"0000"[..zeros]);
    out.extend_from_slice(if fraction.is_empty() { b"0" } else { fraction });
    true
}

fn print_float(value: f64, out: &mut Vec<u8>) {
    /// From here on there is an exponent, of which RedisJSON does not print the plus.
    const EXPONENT_MIN: f64 = 1e16;
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(value);
    if value.abs() < EXPONENT_MIN {
        return out.extend_from_slice(text.as_bytes());
    }
    let (mantissa, exponent) = text.split_once('+').unwrap_or((text, ""));
    out.extend_from_slice(mantissa.as_bytes());
    out.extend_from_slice(exponent.as_bytes());
}

/// Appends a string in quotes, escaping what JSON says must be.
pub fn print_string(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text;
    while let Some(at) = rest
        .iter()
        .position(|&byte| ESCAPES[usize::from(byte)] != 0)
    {
        out.extend_from_slice(&rest[..at]);
        let byte = rest[at];
        let escape = ESCAPES[usize::from(byte)];
        if escape == b'u' {
            let digit = |nibble: u8| b"0123456789abcdef"[usize::from(nibble)];
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)]);
        } else {
            out.extend_from_slice(&[b'\\', escape]);
        }
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// For each byte: what follows the backslash when it is escaped, 0 when it stands for itself.
static ESCAPES: [u8; 256] = {
    let mut table = [0; 256];
    let mut control = 0;
    while control < 0x20 {
        table[control] = b'u';
        control += 1;
    }
    table[0x08] = b'b';
    table[0x09] = b't';
    table[0x0A] = b'n';
    table[0x0C] = b'f';
    table[0x0D] = b'r';
    table[b'"' as usize] = b'"';
    table[b'\\' as usize] = b'\\';
    table
};
