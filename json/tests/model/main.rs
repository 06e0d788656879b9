//! Documents, paths and edits against a naive model: a plain tree, searched and changed by the
//! most direct code.

use json::{Condition, DEPTH_MAX, Document, EditError, Head, Path, Rest, Spliced};
use proptest::prelude::*;

mod edits;
mod tree;

use tree::{Selector, Step, Tree, large_steps, large_tree, path_text, steps, text, tree};

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn paths_find_what_the_model_finds(tree in tree(), steps in steps()) {
        let expected: Vec<_> =
            tree.locate(&steps).iter().map(|trail| tree.at(trail).text()).collect();
        let (document, path) = (tree.document(), path_text(&steps));
        let path = Path::parse(path.as_bytes()).unwrap();
        let print = |value: json::Value<'_>| {
            let mut out = Vec::new();
            value.print(&mut out);
            String::from_utf8(out).unwrap()
        };
        let found: Vec<_> =
            path.find(document.root()).unwrap().into_iter().map(print).collect();
        prop_assert_eq!(&found, &expected);
        let first = path.first(document.root()).unwrap().map(print);
        prop_assert_eq!(first.as_ref(), expected.first());
    }

    #[test]
    fn sets_change_what_the_model_changes(
        mut tree in tree(), steps in steps(), value in tree(),
    ) {
        let path = path_text(&steps);
        let path = Path::parse(path.as_bytes()).unwrap();
        let document = tree.document();
        let value_document = value.document();
        let is_present = !tree.locate(&steps).is_empty();
        check_splice(&document, &path, &value_document);
        let set = document.borrow().set(&path, value_document.borrow(), Condition::IfPresent);
        tree.set(&steps, &value);
        let changed = set.unwrap();
        prop_assert_eq!(changed.is_some(), is_present);
        if let Some(changed) = changed {
            prop_assert_eq!(text(&changed), tree.text());
        }
    }

    #[test]
    fn deletions_take_what_the_model_takes(mut tree in tree(), steps in steps()) {
        // What becomes of changes inside an element deleted by a repeated index is our own affair.
        let repeats = steps.iter().any(|step| step.selectors.len() > 1 && step.descends);
        prop_assume!(!repeats);
        let path = path_text(&steps);
        let path = Path::parse(path.as_bytes()).unwrap();
        let deletion = tree.document().borrow().delete(&path).unwrap();
        let count = tree.delete(&steps);
        prop_assert_eq!(deletion.count, count);
        match deletion.rest {
            Rest::Same => prop_assert_eq!(count, 0),
            Rest::Changed(document) => prop_assert_eq!(text(&document), tree.text()),
            Rest::Nothing => prop_assert!(tree.children().is_empty()),
        }
    }
}

/// What is spliced is what is set, byte by byte; whether it can be.
fn check_splice(document: &Document, path: &Path, value: &Document) -> bool {
    let mut head = Head::new();
    let Some(spliced) = document.borrow().splice(path, value.borrow(), &mut head) else {
        return false;
    };
    let set = document
        .borrow()
        .set(path, value.borrow(), Condition::IfPresent);
    let set = set.unwrap().expect("there is something to be replaced");
    match spliced {
        Spliced::Packed(tail) => {
            let packed = [head.bytes(), tail].concat();
            assert_eq!(set.packed_bytes(), Some(&packed[..]));
        }
        Spliced::Large(large) => {
            let spliced = Document::Large(large);
            assert_eq!(text(&spliced), text(&set));
            assert_eq!(spliced.memory_bytes(), set.memory_bytes());
        }
    }
    true
}

#[test]
fn values_are_spliced_in_unless_a_header_gets_wider() {
    let string = |length: usize| {
        let text = format!("\"{}\"", "x".repeat(length));
        Document::parse(text.as_bytes()).unwrap()
    };
    let long = "y".repeat(300);
    let mut spliced = 0;
    for (document, path) in [
        (r#"{"a":"","b":[1]}"#.to_owned(), "$.a"),
        (r#"[[{"a":[""]}],2]"#.to_owned(), "$[0][-1].a[0]"),
        (format!(r#"{{"b":"{long}","a":{{"c":""}}}}"#), "$.a.c"),
        (format!(r#"[[0,["{long}"]],"{long}"]"#), "$[0][1][0]"),
    ] {
        let document = Document::parse(document.as_bytes()).unwrap();
        let path = Path::parse(path.as_bytes()).unwrap();
        let before = |length| {
            let set = document
                .borrow()
                .set(&path, string(length).borrow(), Condition::Always);
            set.unwrap().unwrap()
        };
        for length in [0, 3, 14, 30, 94, 250, 300, 1000] {
            let before = before(length);
            let lengths = 0..length + 300;
            spliced += lengths
                .filter(|&length| check_splice(&before, &path, &string(length)))
                .count();
        }
    }
    assert!(spliced > 5_000, "{spliced}");
    let document = string(1);
    for path in ["$", "$.a", "$..a"] {
        let path = Path::parse(path.as_bytes()).unwrap();
        assert!(!check_splice(&document, &path, &string(0)));
    }
}

fn edit(document: &str, path: &str, value: &str, condition: Condition) -> Option<String> {
    let document = Document::parse(document.as_bytes()).unwrap();
    let value = Document::parse(value.as_bytes()).unwrap();
    let path = Path::parse(path.as_bytes()).unwrap();
    match document.borrow().set(&path, value.borrow(), condition) {
        Ok(changed) => changed.as_ref().map(text),
        Err(error) => Some(format!("{error:?}")),
    }
}

#[test]
fn a_missing_member_is_made_where_its_parent_is() {
    use Condition::{Always, IfMissing, IfPresent};
    for (document, path, condition, expected) in [
        ("{}", "$.a", Always, Some(r#"{"a":7}"#)),
        ("{}", "a", IfMissing, Some(r#"{"a":7}"#)),
        ("{}", "$.a", IfPresent, None),
        ("{}", "$.a.b", Always, None),
        ("[]", "$.a", Always, None),
        (
            r#"{"a":{"b":1}}"#,
            "$.a.c",
            Always,
            Some(r#"{"a":{"b":1,"c":7}}"#),
        ),
        (r#"{"a":1}"#, "$.a", IfMissing, None),
        (r#"{"a":1}"#, "$", IfMissing, None),
        (r#"{"a":1}"#, "$", IfPresent, Some("7")),
        ("[1]", "$[1]", Always, Some("IndexOutOfRange")),
        ("[1]", "$[0]", IfMissing, None),
        ("[1]", "$[-2]", IfMissing, Some("IndexOutOfRange")),
        ("[1]", "$[*]", IfMissing, Some("NotSingular")),
        ("[1]", "$..x", Always, Some("NotSingular")),
    ] {
        let expected = expected.map(str::to_owned);
        assert_eq!(
            edit(document, path, "7", condition),
            expected,
            "{document} {path}"
        );
    }
}

#[test]
fn edits_obey_the_depth_limit() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let hull = "[[0],{}]";
    let fits = nested(DEPTH_MAX - 2);
    for path in ["$[0][0]", "$[1].a"] {
        let too_deep = Some(format!("{:?}", EditError::TooDeep));
        assert!(
            edit(hull, path, &fits, Condition::Always)
                .unwrap()
                .contains(&fits)
        );
        let deeper = nested(DEPTH_MAX - 1);
        assert_eq!(edit(hull, path, &deeper, Condition::Always), too_deep);
    }
}

#[derive(Clone, Debug)]
enum Edit {
    Set(Vec<Step>, Tree),
    Add(Vec<Step>, String, Tree),
    Delete(Vec<Step>),
}

impl Edit {
    fn strategy() -> impl Strategy<Value = Edit> {
        let value = || prop_oneof![20 => tree(), 1 => large_tree()];
        let new_name = (400..800).prop_map(|place| format!("m{place}"));
        let parent = prop_oneof![
            Just(Vec::new()),
            (-300..300i64).prop_map(|index| {
                let selectors = vec![Selector::Index(index)];
                vec![Step {
                    descends: false,
                    selectors,
                }]
            }),
        ];
        prop_oneof![
            (large_steps(), value()).prop_map(|(steps, value)| Edit::Set(steps, value)),
            large_steps().prop_map(Edit::Delete),
            (parent, new_name, value())
                .prop_map(|(parent, name, value)| Edit::Add(parent, name, value)),
        ]
    }

    /// Changes the model, unless nothing would be left of it.
    fn apply_to_tree(&self, tree: &mut Tree) {
        match self {
            Edit::Set(steps, value) => tree.set(steps, value),
            Edit::Delete(steps) => {
                let mut rest = tree.clone();
                if rest.delete(steps) > 0 && !rest.children().is_empty() {
                    *tree = rest;
                }
            }
            Edit::Add(parent, name, value) => {
                for trail in tree.locate(parent) {
                    if let Tree::Object(members) = tree.at_mut(&trail)
                        && members.iter().all(|(known, _)| known != name)
                    {
                        members.push((name.clone(), value.clone()));
                    }
                }
            }
        }
    }

    fn apply_to_document(&self, document: &Document) -> Document {
        let set = |steps: &[Step], value: &Tree, condition| {
            let path = path_text(steps);
            let path = Path::parse(path.as_bytes()).unwrap();
            let value = value.document();
            check_splice(document, &path, &value);
            document
                .borrow()
                .set(&path, value.borrow(), condition)
                .unwrap()
        };
        let changed = match self {
            Edit::Set(steps, value) => set(steps, value, Condition::IfPresent),
            Edit::Add(parent, name, value) => {
                let selectors = vec![Selector::Name(name.clone())];
                let last = Step {
                    descends: false,
                    selectors,
                };
                set(
                    &[&parent[..], &[last]].concat(),
                    value,
                    Condition::IfMissing,
                )
            }
            Edit::Delete(steps) => {
                let path = path_text(steps);
                let path = Path::parse(path.as_bytes()).unwrap();
                match document.borrow().delete(&path).unwrap().rest {
                    Rest::Changed(document) => Some(document),
                    Rest::Same | Rest::Nothing => None,
                }
            }
        };
        changed.unwrap_or_else(|| document.clone())
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 24,
        max_shrink_iters: 2000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn large_documents_change_as_the_model_does(
        mut tree in large_tree(), edits in prop::collection::vec(Edit::strategy(), 1..16),
    ) {
        let mut document = tree.document();
        let mut versions = Vec::new();
        for edit in &edits {
            versions.push((document.clone(), tree.text()));
            edit.apply_to_tree(&mut tree);
            document = edit.apply_to_document(&document);
            prop_assert_eq!(text(&document), tree.text(), "{:?}", edit);
            let packed = document.borrow().packed_bytes();
            prop_assert_eq!(text(&Document::from_packed(&packed)), tree.text());
        }
        // Readers of older versions are undisturbed.
        for (document, expected) in versions {
            prop_assert_eq!(text(&document), expected);
        }
    }

    #[test]
    fn paths_find_the_same_in_large_documents(tree in large_tree(), steps in large_steps()) {
        let expected: Vec<_> =
            tree.locate(&steps).iter().map(|trail| tree.at(trail).text()).collect();
        let (document, path) = (tree.document(), path_text(&steps));
        let path = Path::parse(path.as_bytes()).unwrap();
        let found = path.find(document.root()).unwrap();
        let found: Vec<_> = found
            .into_iter()
            .map(|value| {
                let mut out = Vec::new();
                value.print(&mut out);
                String::from_utf8(out).unwrap()
            })
            .collect();
        prop_assert_eq!(found, expected);
    }
}

/// Descents multiply: what an edit would have to note of all places has a bound.
#[test]
fn edits_of_too_many_places_are_refused() {
    let deep = format!("{}1{}", "[".repeat(120), "]".repeat(120));
    let document = Document::parse(deep.as_bytes()).unwrap();
    for path in ["$..*..*..*..*", "$..[*]..[*]..[*]..[*]..[*]"] {
        let path = Path::parse(path.as_bytes()).unwrap();
        let refused = document.borrow().append(&path, &[]).map(|edit| edit.last);
        assert_eq!(refused, Err(EditError::SearchTooLong));
    }
}
