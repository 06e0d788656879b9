//! One client asks for anything: every request gets one well-formed reply.

#![no_main]

use arbitrary::Arbitrary;
use net::fuzzing::Client;

/// What is not run: it would stop the server.
const LEFT_OUT: [&str; 1] = ["shutdown"];

const KEYS: [&str; 5] = ["a", "b", "c", "d", "e"];
const NUMBERS: [&str; 20] = [
    "0",
    "1",
    "2",
    "3",
    "7",
    "10",
    "64",
    "100",
    "-1",
    "-2",
    "-5",
    "1.5",
    "-0.25",
    "1e300",
    "inf",
    "nan",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551615",
    "007",
];
const TEXTS: [&str; 12] = [
    "",
    "value",
    "$",
    "$.a",
    ".",
    "$..*",
    r#"{"a":1,"b":[1,2,{"a":"x"}]}"#,
    "[1,2,3]",
    "i8",
    "u63",
    "#3",
    "*",
];

#[derive(Arbitrary, Debug)]
struct Request {
    command: u16,
    words: Vec<Word>,
    wait_ms: u8,
}

#[derive(Arbitrary, Debug)]
enum Word {
    Key(u8),
    Number(u8),
    Text(u8),
    /// A word of the command's syntax.
    Token(u8),
    Bytes(Vec<u8>),
    Long(u8),
}

libfuzzer_sys::fuzz_target!(|requests: Vec<Request>| {
    fastrand::seed(0);
    let commands: Vec<_> = Client::commands().collect();
    let mut client = Client::default();
    for request in requests.iter().take(64) {
        let (name, syntax) = commands[usize::from(request.command) % commands.len()];
        if LEFT_OUT.contains(&name) {
            continue;
        }
        let mut words: Vec<Vec<u8>> = name.split('|').map(|name| name.into()).collect();
        words.extend(request.words.iter().map(|word| bytes_of(word, syntax)));
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        client.wait_ms(request.wait_ms.into());
        client.run(&words);
    }
    client.check();
});

fn bytes_of(word: &Word, syntax: &str) -> Vec<u8> {
    let pick = |texts: &[&str], at: &u8| texts[usize::from(*at) % texts.len()].into();
    match word {
        Word::Key(at) => pick(&KEYS, at),
        Word::Number(at) => pick(&NUMBERS, at),
        Word::Text(at) => pick(&TEXTS, at),
        Word::Token(at) => {
            let is_mark = |c: char| !c.is_ascii_alphanumeric() && c != '_';
            let tokens: Vec<_> = syntax
                .split(is_mark)
                .filter(|word| !word.is_empty())
                .collect();
            match tokens.is_empty() {
                true => Vec::new(),
                false => pick(&tokens, at),
            }
        }
        Word::Bytes(bytes) => bytes.clone(),
        Word::Long(times) => vec![b'x'; usize::from(*times) * 100],
    }
}
