//! A document, and in each further line a path and a value that is set there, or a path alone
//! whose values are deleted: an edit leaves what can be read, packed and printed, and nothing of
//! it shows in the version before.

#![no_main]

use json::{Condition, Document, Head, Path, Rest, Spliced};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut lines = data.split(|byte| *byte == b'\n');
    let Ok(mut document) = Document::parse(lines.next().unwrap_or_default()) else {
        return;
    };
    for line in lines.take(16) {
        let mut words = line.splitn(2, |byte| *byte == b'\t');
        let Ok(path) = Path::parse(words.next().unwrap_or_default()) else {
            continue;
        };
        let before = print(&document);
        let next = match words.next().map(Document::parse) {
            Some(Ok(value)) => set(&document, &path, &value),
            Some(Err(_)) => None,
            None => delete(&document, &path),
        };
        assert_eq!(print(&document), before, "versions are not changed");
        let Some(next) = next else { continue };
        let printed = print(&next);
        let read = Document::parse(&printed).expect("what was printed is a document");
        assert_eq!(print(&read), printed);
        let packed = next.borrow().packed_bytes();
        assert_eq!(print(&Document::from_packed(&packed)), printed);
        document = next;
    }
});

fn set(document: &Document, path: &Path, value: &Document) -> Option<Document> {
    let set = document
        .borrow()
        .set(path, value.borrow(), Condition::Always);
    let spliced = splice(document, path, value);
    let changed = set.ok().flatten();
    if let Some(spliced) = spliced {
        let changed = changed.as_ref().expect("it is set, too");
        assert_eq!(print(&spliced), print(changed));
        assert_eq!(spliced.packed_bytes(), changed.packed_bytes());
        assert_eq!(spliced.memory_bytes(), changed.memory_bytes());
    }
    let changed = changed?;
    // What was set is what is found there, unless one place lies in another.
    if path.is_singular() {
        let found = path.first(changed.root()).expect("few places");
        let mut text = Vec::new();
        found.expect("it was set").print(&mut text);
        assert_eq!(text, print(value));
    }
    Some(changed)
}

/// The same in the shorter way.
fn splice(document: &Document, path: &Path, value: &Document) -> Option<Document> {
    let mut head = Head::new();
    let spliced = document.borrow().splice(path, value.borrow(), &mut head)?;
    Some(match spliced {
        Spliced::Packed(tail) => Document::from_packed(&[head.bytes(), tail].concat()),
        Spliced::Large(large) => Document::Large(large),
    })
}

fn delete(document: &Document, path: &Path) -> Option<Document> {
    let found = path.find(document.root()).ok()?.len();
    let deletion = document.borrow().delete(path).ok()?;
    assert!(deletion.count <= found);
    match deletion.rest {
        Rest::Changed(document) => Some(document),
        Rest::Same | Rest::Nothing => None,
    }
}

fn print(document: &Document) -> Vec<u8> {
    let mut out = Vec::new();
    document.root().print(&mut out);
    out
}
