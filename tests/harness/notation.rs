//! redis-cli's way of writing commands and replies.

use std::fmt::Write;

use crate::resp::Reply;

/// Splits a command line into words: blanks separate, quotes hold together, and within double
/// quotes `\n`, `\r`, `\t`, `\"`, `\\` and `\xFF` mean what they mean in redis-cli.
pub fn split(line: &str) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    let mut rest = line.trim_start().as_bytes();
    while !rest.is_empty() {
        let (word, after) = word(rest);
        words.push(word);
        rest = after.trim_ascii_start();
    }
    words
}

/// A reply as redis-cli prints it to a terminal, without the last line break.
pub fn render(reply: &Reply) -> String {
    let mut out = String::new();
    render_at(reply, 0, &mut out);
    out
}

/// Bytes in double quotes, as redis-cli prints them.
pub fn quote(bytes: &[u8]) -> String {
    let mut out = String::from('"');
    for &byte in bytes {
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            7 => out.push_str("\\a"),
            8 => out.push_str("\\b"),
            b' '..=b'~' => out.push(char::from(byte)),
            _ => _ = write!(out, "\\x{byte:02x}"),
        }
    }
    out.push('"');
    out
}

fn word(line: &[u8]) -> (Vec<u8>, &[u8]) {
    let (mut word, mut at) = (Vec::new(), 0);
    let mut quote = None;
    while at < line.len() {
        match (line[at], quote) {
            (b' ', None) => break,
            (byte @ (b'"' | b'\''), None) => quote = Some(byte),
            (byte, Some(open)) if byte == open => quote = None,
            (b'\\', Some(b'"')) if line[at + 1] == b'x' => {
                let digits = std::str::from_utf8(&line[at + 2..at + 4]).expect("two digits");
                word.push(u8::from_str_radix(digits, 16).expect("two hex digits"));
                at += 3;
            }
            (b'\\', Some(b'"')) => {
                word.push(match line[at + 1] {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    other => other,
                });
                at += 1;
            }
            (byte, _) => word.push(byte),
        }
        at += 1;
    }
    assert!(
        quote.is_none(),
        "open quote in {:?}",
        String::from_utf8_lossy(line)
    );
    (word, &line[at..])
}

fn render_at(reply: &Reply, indent: usize, out: &mut String) {
    let lossy = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
    match reply {
        Reply::Status(text) => out.push_str(&lossy(text)),
        Reply::Error(text) => _ = write!(out, "(error) {}", lossy(text)),
        Reply::Integer(number) => _ = write!(out, "(integer) {number}"),
        Reply::Bulk(bytes) => out.push_str(&quote(bytes)),
        Reply::Verbatim(bytes) => out.push_str(&quote(&bytes[4..])),
        Reply::Nil => out.push_str("(nil)"),
        Reply::Double(text) => _ = write!(out, "(double) {}", lossy(text)),
        Reply::BigNumber(text) => out.push_str(&lossy(text)),
        Reply::Boolean(is_true) => _ = write!(out, "({is_true})"),
        Reply::Array(all) => render_list(all, (')', "(empty array)"), indent, out),
        Reply::Push(all) => render_list(all, (')', "(empty push)"), indent, out),
        Reply::Set(all) => render_list(all, ('~', "(empty set)"), indent, out),
        Reply::Map(all) => render_map(all, indent, out),
    }
}

fn render_list(all: &[Reply], (mark, empty): (char, &str), indent: usize, out: &mut String) {
    if all.is_empty() {
        out.push_str(empty);
    }
    let width = all.len().to_string().len();
    for (at, element) in all.iter().enumerate() {
        if at > 0 {
            _ = write!(out, "\n{:indent$}", "");
        }
        _ = write!(out, "{:>width$}{mark} ", at + 1);
        render_at(element, indent + width + 2, out);
    }
}

fn render_map(all: &[Reply], indent: usize, out: &mut String) {
    if all.is_empty() {
        out.push_str("(empty hash)");
    }
    let width = (all.len() / 2).to_string().len();
    for (at, pair) in all.chunks(2).enumerate() {
        if at > 0 {
            _ = write!(out, "\n{:indent$}", "");
        }
        _ = write!(out, "{:>width$}# ", at + 1);
        render_at(&pair[0], indent + width + 2, out);
        out.push_str(" => ");
        let below = indent + width + 2;
        if !pair[1].elements().is_empty() {
            _ = write!(out, "\n{:below$}", "");
        }
        render_at(&pair[1], below, out);
    }
}
