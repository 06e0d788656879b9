//! Text is a document if serde_json says so, and printing it loses nothing.

#![no_main]

use json::{Document, Operand};
use serde_json::Value;

libfuzzer_sys::fuzz_target!(|text: &[u8]| {
    let expected: Result<Value, _> = serde_json::from_slice(text);
    let found = Document::parse(text);
    assert_eq!(expected.is_ok(), found.is_ok());
    let (Ok(expected), Ok(document)) = (expected, found) else {
        return;
    };
    let operand = Operand::parse(text).expect("it is a document");
    assert_eq!(
        operand.borrow().packed_bytes(),
        document.borrow().packed_bytes()
    );
    let printed = print(&document);
    assert_eq!(
        serde_json::from_slice::<Value>(&printed).ok(),
        Some(expected)
    );
    let again = Document::parse(&printed).expect("what was printed is a document");
    assert_eq!(print(&again), printed);
});

fn print(document: &Document) -> Vec<u8> {
    let mut out = Vec::new();
    document.root().print(&mut out);
    out
}
