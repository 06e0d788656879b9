//! A path in either syntax, and in the next line a document it is looked for in.

#![no_main]

use json::{Document, Path, Value};

const DOCUMENT: &[u8] =
    br#"{"a":1,"b":[1,-2,3.5,"x",null,[true,{"a":"y"}],{}],"c":{"a":{"b":"z"}}}"#;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut parts = data.splitn(2, |byte| *byte == b'\n');
    let path = parts.next().unwrap_or_default();
    let Ok(path) = Path::parse(path) else {
        return;
    };
    let document = Document::parse(parts.next().unwrap_or_default());
    let document = document.unwrap_or_else(|_| Document::parse(DOCUMENT).expect("a document"));
    let (Ok(found), Ok(first)) = (path.find(document.root()), path.first(document.root())) else {
        return;
    };
    assert_eq!(found.first().copied().map(print), first.map(print));
    assert!(!path.is_singular() || found.len() <= 1);
    assert!(!path.is_root() || found.len() == 1);
});

fn print(value: Value<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    value.print(&mut out);
    out
}
