//! Edits of a document, and the same edits of the same document within a large one: one is packed,
//! the other shares structure between its versions, and both must stay the same.

#![no_main]

use std::sync::LazyLock;

use arbitrary::Arbitrary;
use json::{Arithmetic, Condition, Document, DocumentRef, Edit, EditError, Number, Path, Rest};

#[derive(Arbitrary, Debug)]
struct Input {
    start: u8,
    edits: Vec<(Vec<u8>, Verb)>,
}

#[derive(Arbitrary, Debug)]
enum Verb {
    Set(u8),
    Delete,
    Reckon(bool, u8),
    Toggle,
    AppendText,
    Append(Vec<u8>),
    Insert(i8, Vec<u8>),
    Pop(i8),
    Trim(i8, i8),
    Clear,
    Merge(u8),
}

const EDITS_MAX: usize = 32;
const STEPS_MAX: usize = 4;
const VALUES_MAX: usize = 3;
/// Documents that grow beyond this are left alone, so that a run stays short.
const BYTES_MAX: usize = 8 << 10;

const VALUES: &[&str] = &[
    "1",
    "-0.5",
    "9223372036854775807",
    "1e300",
    "\"text\"",
    "true",
    "null",
    "[]",
    "[1,[2,{\"a\":3}],\"x\",false]",
    "{\"a\":1,\"b\":{\"a\":[1,2,3],\"10\":true},\"10\":\"x\",\"9\":[[]]}",
    "{\"a\":null,\"b\":{\"c\":null,\"a\":{\"b\":7}}}",
    "{\"a\":[{\"a\":1,\"b\":2},{\"a\":{\"a\":[]}}],\"b\":\"\"}",
];

const STEPS: &[&str] = &[
    ".a",
    ".b",
    "['10']",
    ".*",
    "..a",
    "..*",
    "[0]",
    "[-1]",
    "[1:]",
    "[0,0]",
    "..[0]",
    "['a','9']",
    "[?@.a]",
    "[::-1]",
];

fn value(number: u8) -> &'static Document {
    static ALL: LazyLock<Vec<Document>> = LazyLock::new(|| {
        let parse = |text: &&str| Document::parse(text.as_bytes()).expect("a document");
        VALUES.iter().map(parse).collect()
    });
    &ALL[usize::from(number) % ALL.len()]
}

libfuzzer_sys::fuzz_target!(|input: Input| {
    let mut small = value(input.start).clone();
    let padding = "\"padding\",".repeat(1000);
    let hull = format!("{{\"p\":[{padding}0],\"d\":{}}}", text(small.borrow(), "$"));
    let mut large = Document::parse(hull.as_bytes()).expect("a document");
    for (steps, verb) in input.edits.iter().take(EDITS_MAX) {
        let steps: String = (steps.iter().take(STEPS_MAX))
            .map(|step| STEPS[usize::from(*step) % STEPS.len()])
            .collect();
        if matches!(verb, Verb::Delete) && steps.is_empty() {
            continue;
        }
        let (of_small, of_large) = (format!("${steps}"), format!("$.d{steps}"));
        let Some((new_small, outcome)) = apply(verb, small.borrow(), &of_small) else {
            // Nothing was left: there, an empty container is.
            return;
        };
        let (new_large, expected) =
            apply(verb, large.borrow(), &of_large).expect("the padding is left");
        if [&outcome, &expected]
            .iter()
            .any(|outcome| outcome.contains("SearchTooLong"))
        {
            // What is too long depends on the size of the document.
            return;
        }
        assert_eq!(outcome, expected, "{verb:?} {of_small}");
        (small, large) = (new_small, new_large);
        let now = text(small.borrow(), "$");
        assert_eq!(now, text(large.borrow(), "$.d"), "{verb:?} {of_small}");
        let again = Document::parse(now.as_bytes()).expect("what was printed is JSON");
        assert_eq!(text(again.borrow(), "$"), now);
        if now.len() > BYTES_MAX {
            return;
        }
    }
});

/// The document after an edit and what came of it; None where a deletion left nothing.
fn apply(verb: &Verb, document: DocumentRef<'_>, path: &str) -> Option<(Document, String)> {
    let path = Path::parse(path.as_bytes()).expect("a path");
    let values = |numbers: &[u8]| -> Vec<Document> {
        let numbers = numbers.iter().take(VALUES_MAX);
        numbers.map(|number| value(*number).clone()).collect()
    };
    let outcome = match verb {
        Verb::Set(number) => kept(
            document,
            document.set(&path, value(*number).borrow(), Condition::Always),
        ),
        Verb::Merge(number) => kept(document, document.merge(&path, value(*number).borrow())),
        Verb::Delete => match document.delete(&path) {
            Ok(deletion) => match deletion.rest {
                Rest::Nothing => return None,
                Rest::Same => (document.to_document(), deletion.count.to_string()),
                Rest::Changed(document) => (document, deletion.count.to_string()),
            },
            Err(error) => (document.to_document(), format!("{error:?}")),
        },
        Verb::Reckon(adds, number) => {
            let operation = match adds {
                true => Arithmetic::Add,
                false => Arithmetic::Multiply,
            };
            let operand = Number::parse(VALUES[usize::from(*number) % VALUES.len()].as_bytes());
            edited(
                document,
                document.reckon(&path, operation, operand.expect("JSON")),
            )
        }
        Verb::Toggle => edited(document, document.toggle(&path)),
        Verb::AppendText => edited(document, document.append_text(&path, Some("é"))),
        Verb::Append(numbers) => edited(document, document.append(&path, &values(numbers))),
        Verb::Insert(at, numbers) => edited(
            document,
            document.insert(&path, i64::from(*at), &values(numbers)),
        ),
        Verb::Pop(at) => {
            let popped = document.pop(&path, i64::from(*at)).map(|edit| Edit {
                answers: (edit.answers.into_iter())
                    .map(|answer| {
                        answer.map(|element| element.map(|element| text(element.borrow(), "$")))
                    })
                    .collect(),
                document: edit.document,
                last: edit.last,
                failure: edit.failure,
            });
            edited(document, popped)
        }
        Verb::Trim(start, stop) => edited(
            document,
            document.trim(&path, i64::from(*start), i64::from(*stop)),
        ),
        Verb::Clear => edited(document, document.clear(&path)),
    };
    Some(outcome)
}

fn kept(
    document: DocumentRef<'_>,
    changed: Result<Option<Document>, EditError>,
) -> (Document, String) {
    let outcome = format!("{:?}", changed.as_ref().map(Option::is_some));
    let changed = changed.ok().flatten();
    (changed.unwrap_or_else(|| document.to_document()), outcome)
}

fn edited<A: std::fmt::Debug>(
    document: DocumentRef<'_>,
    edit: Result<Edit<A>, EditError>,
) -> (Document, String) {
    match edit {
        Ok(edit) => {
            let outcome = format!("{:?} {:?} {:?}", edit.answers, edit.last, edit.failure);
            (
                edit.document.unwrap_or_else(|| document.to_document()),
                outcome,
            )
        }
        Err(error) => (document.to_document(), format!("{error:?}")),
    }
}

/// The text of the first value that a path means.
fn text(document: DocumentRef<'_>, path: &str) -> String {
    let path = Path::parse(path.as_bytes()).expect("a path");
    let value = path.first(document.root()).expect("a short search");
    let mut out = Vec::new();
    value.expect("it is there").print(&mut out);
    String::from_utf8(out).expect("JSON is UTF-8")
}
