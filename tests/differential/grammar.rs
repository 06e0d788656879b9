//! Random commands from lines of a small grammar.
//!
//! `[a|b]` is one of these or nothing, `<a|b>` one of these, `{slot}` a random word of a kind,
//! and a `*` behind any of them repeats it a few times. A number in front of a line is its
//! weight.

use fastrand::Rng;

/// Lines ready to choose from.
#[derive(Debug)]
pub(super) struct Grammar {
    lines: Vec<Vec<Item>>,
    /// Indexes into `lines`, each as often as its weight.
    choices: Vec<usize>,
}

#[derive(Debug)]
enum Item {
    Word(String),
    Slot(String),
    /// One of the alternatives, or none of them.
    Optional(Vec<Vec<Item>>),
    OneOf(Vec<Vec<Item>>),
    Repeated(Box<Item>),
}

impl Grammar {
    pub(super) fn new(lines: &[&str]) -> Grammar {
        let mut grammar = Grammar {
            lines: Vec::new(),
            choices: Vec::new(),
        };
        for (index, line) in lines.iter().enumerate() {
            let (weight, line) = match line.split_once(' ') {
                Some((first, rest)) if first.parse::<usize>().is_ok() => {
                    (first.parse().expect("just parsed"), rest)
                }
                _ => (1, *line),
            };
            let mut rest = line;
            let items = sequence(&mut rest);
            assert!(rest.is_empty(), "{line}: {rest}");
            grammar.lines.push(items);
            grammar.choices.extend(std::iter::repeat_n(index, weight));
        }
        grammar
    }

    /// A command, now and then with a mistake in it.
    pub(super) fn command(&self, random: &mut Rng) -> Vec<Vec<u8>> {
        let mut words = self.faultless_command(random);
        match random.u8(..100) {
            0..=2 if words.len() > 1 => _ = words.pop(),
            3 => words.push(word("name", random)),
            4..=8 if words.len() > 1 => {
                let at = random.usize(1..words.len());
                words[at] = word("junk", random);
            }
            9..=12 => words[0].make_ascii_lowercase(),
            _ => {}
        }
        words
    }

    /// A command as its line has it.
    pub(super) fn faultless_command(&self, random: &mut Rng) -> Vec<Vec<u8>> {
        let line = self.choices[random.usize(..self.choices.len())];
        let mut words = Vec::new();
        fill(&self.lines[line], random, &mut words);
        words
    }
}

fn fill(items: &[Item], random: &mut Rng, words: &mut Vec<Vec<u8>>) {
    for item in items {
        match item {
            Item::Word(word) => words.push(word.clone().into_bytes()),
            Item::Slot(kind) => slot(kind, random, words),
            Item::Optional(alternatives) => {
                if random.u8(..10) < 4 {
                    fill(
                        &alternatives[random.usize(..alternatives.len())],
                        random,
                        words,
                    );
                }
            }
            Item::OneOf(alternatives) => {
                fill(
                    &alternatives[random.usize(..alternatives.len())],
                    random,
                    words,
                );
            }
            Item::Repeated(item) => {
                for _ in 0..random.usize(1..=4) {
                    fill(std::slice::from_ref(item), random, words);
                }
            }
        }
    }
}

fn sequence(rest: &mut &str) -> Vec<Item> {
    let mut items = Vec::new();
    loop {
        *rest = rest.trim_start();
        let item = match rest.as_bytes().first() {
            None | Some(b'|' | b']' | b'>') => return items,
            Some(b'[') => Item::Optional(alternatives(rest, ']')),
            Some(b'<') => Item::OneOf(alternatives(rest, '>')),
            Some(b'{') => {
                let (name, after) = rest[1..].split_once('}').expect("a closing brace");
                *rest = after;
                Item::Slot(name.to_owned())
            }
            Some(_) => {
                let end = rest.find([' ', '|', ']', '>']).unwrap_or(rest.len());
                let (word, after) = rest.split_at(end);
                *rest = after;
                Item::Word(word.to_owned())
            }
        };
        items.push(match rest.strip_prefix('*') {
            Some(after) => {
                *rest = after;
                Item::Repeated(Box::new(item))
            }
            None => item,
        });
    }
}

fn alternatives(rest: &mut &str, close: char) -> Vec<Vec<Item>> {
    let mut all = Vec::new();
    loop {
        *rest = &rest[1..];
        all.push(sequence(rest));
        if let Some(after) = rest.strip_prefix(close) {
            *rest = after;
            return all;
        }
        assert!(rest.starts_with('|'), "{rest}");
    }
}

fn slot(kind: &str, random: &mut Rng, words: &mut Vec<Vec<u8>>) {
    match kind.strip_prefix("counted:") {
        Some(kind) => {
            let count = random.usize(1..4);
            words.push(count.to_string().into_bytes());
            words.extend((0..count).map(|_| word(kind, random)));
        }
        None => words.push(word(kind, random)),
    }
}

/// Keys by the type they usually hold: strings, bit strings, hashes, sets.
const KEYS: [&str; 16] = [
    "s0", "s1", "s2", "s3", "s4", "b0", "b1", "b2", "h0", "h1", "h2", "t0", "t1", "t2", "t3",
    "none",
];

/// What a number can be mistaken for, and numbers at the edges. None is a number between a
/// hundred thousand and the limit of a string's length, since SETRANGE would use that memory, and
/// none is a time so short that it passes during the test.
const JUNK: [&str; 21] = [
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "-1",
    "0",
    "abc",
    "",
    "1.5",
    "1e3",
    " 1",
    "1 ",
    "+1",
    "01",
    "nan",
    "inf",
    "-inf",
    "-0",
    "0x10",
    "1e400",
    "NX",
    "*",
];

/// Times to live that are wrong, or long.
const TIMES: [&str; 9] = [
    "0",
    "-1",
    "-100",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775",
    "92233720368547758",
    "10000000",
    "abc",
];

const VALUES: [&str; 24] = [
    "",
    "a",
    "hello",
    "Hello, World",
    "0",
    "1",
    "-1",
    "10",
    "42",
    "00",
    "-0",
    "3.14",
    "1e10",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775806",
    "9999",
    "10000",
    "ohmytext",
    "mynewtext",
    "\u{ff}\u{0}\u{1}",
    "12345678901234567890",
    "0123456789012345678901234567890123456789abcd",
    "0123456789012345678901234567890123456789abcde",
];

#[allow(clippy::too_many_lines, reason = "a table")]
fn word(kind: &str, random: &mut Rng) -> Vec<u8> {
    let text = match kind {
        "k" => pick(&KEYS, random),
        "s" => key(&KEYS[..5], random),
        "b" => key(&KEYS[5..8], random),
        "h" => key(&KEYS[8..11], random),
        "t" => key(&KEYS[11..15], random),
        "v" => return value(random),
        "junk" => pick(&JUNK, random),
        "i" => integer(random),
        "n" => random.i64(-6..30).to_string(),
        "count" => random.i64(0..8).to_string(),
        "f" => float(random),
        "field" => ["f", "g", "name", "1", "2", "", "long field name"][random.usize(..7)].into(),
        "m" => member(random),
        "seconds" => random.i64(100..100_000).to_string(),
        "ms" => random.i64(100_000..10_000_000).to_string(),
        "at" => pick(&["4000000000", "4100000000"], random),
        "atms" => pick(&["4000000000123", "4100000000456"], random),
        "time" => pick(&TIMES, random),
        "past" => pick(&["0", "-1", "-1000"], random),
        "offset" => pick(
            &["0", "1", "5", "7", "8", "100", "3000", "536870912", "-1"],
            random,
        ),
        "bitat" => pick(
            &["0", "1", "7", "8", "9", "63", "100", "5000", "4294967296"],
            random,
        ),
        "bit" => pick(&["0", "1", "1", "2"], random),
        "field type" => pick(
            &["u1", "u8", "u4", "i8", "i64", "u63", "i5", "u64", "i65"],
            random,
        ),
        "field offset" => pick(&["0", "1", "#0", "#1", "#3", "13", "100", "#-1"], random),
        "pattern" => pick(
            &[
                "*", "s*", "?0", "[hs]1", "[^s]*", "h\\*", "t[1-3]", "none", "",
            ],
            random,
        ),
        "type" => pick(&["string", "hash", "set", "list", "zset", "STRING"], random),
        "db" => pick(&["0", "1", "2", "15", "16", "-1"], random),
        "near db" => pick(&["0", "1"], random),
        "name" => pick(&["joe", "", "a b", "x-1"], random),
        // For Memcached: `KEY` becomes a prefix of its own in each episode.
        "mk" => pick(&["KEY0", "KEY1", "KEY2", "KEY3", "KEY4"], random),
        "flags" => pick(&["0", "0", "1", "123", "65535", "4294967295", "-1"], random),
        "exptime" => pick(
            &["0", "0", "100", "2000000000", "-1", "1000000", "5000000"],
            random,
        ),
        "delta" => pick(
            &["0", "1", "5", "100", "18446744073709551615", "-1", "x", ""],
            random,
        ),
        "data" => return data(random),
        "token" => "TOKEN".to_owned(),
        other => panic!("no such slot: {other}"),
    };
    text.into_bytes()
}

fn pick(all: &[&str], random: &mut Rng) -> String {
    all[random.usize(..all.len())].to_owned()
}

/// A key of the fitting type, now and then any other.
fn key(fitting: &[&str], random: &mut Rng) -> String {
    match random.u8(..25) {
        0 => pick(&KEYS, random),
        _ => pick(fitting, random),
    }
}

fn value(random: &mut Rng) -> Vec<u8> {
    match random.u8(..40) {
        0 => vec![b'x'; random.usize(..6000)],
        1..=6 => (0..random.usize(..12)).map(|_| random.u8(..)).collect(),
        7..=12 => random.i64(-1000..1000).to_string().into_bytes(),
        _ => pick(&VALUES, random).into_bytes(),
    }
}

fn data(random: &mut Rng) -> Vec<u8> {
    const NUMBERS: [&str; 8] = [
        "0",
        "1",
        "10",
        "99",
        "100",
        "18446744073709551615",
        "18446744073709551616",
        "007",
    ];
    match random.u8(..3) {
        0 => pick(&NUMBERS, random).into_bytes(),
        _ => match value(random) {
            // A number to memcached, which reads it with strtoull.
            text if text == b"-0" => b"0".to_vec(),
            text => text,
        },
    }
}

fn integer(random: &mut Rng) -> String {
    match random.u8(..10) {
        0 => pick(&JUNK, random),
        1 => random.i64(..).to_string(),
        _ => random.i64(-100..100).to_string(),
    }
}

fn float(random: &mut Rng) -> String {
    const FLOATS: [&str; 12] = [
        "0",
        "1",
        "0.1",
        "-2.5",
        "1e3",
        "3.0e-2",
        "5.0e3",
        "-0.0001",
        "1.7976931348623157e308",
        "10.5",
        "100000000000000000",
        "0.000000000000001",
    ];
    match random.u8(..8) {
        0 => pick(&JUNK, random),
        1..=3 => format!("{}.{:02}", random.i64(-50..50), random.u8(..100)),
        _ => pick(&FLOATS, random),
    }
}

fn member(random: &mut Rng) -> String {
    match random.u8(..10) {
        0..=6 => random.i64(-3..12).to_string(),
        7 => random.i64(..).to_string(),
        _ => pick(&["a", "b", "c", "member", "", "1.0", "01"], random),
    }
}
