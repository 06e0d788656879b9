//! Edits that look at values, against `serde_json::Value`: one value after the other, in
//! RedisJSON's order, each found again by its names.

use std::cmp::{Ordering, Reverse};

use json::{Arithmetic, Document, Edit, EditError, Number, Path};
use proptest::prelude::*;
use serde_json::Value;

use crate::tree::{Step, Tree, large_steps, large_tree, path_text, steps, text, tree};

/// What is done to all that a path means.
#[derive(Clone, Debug)]
enum Verb {
    Reckon(Arithmetic, Value),
    Toggle,
    AppendText(String),
    Append(Vec<Value>),
    Insert(i64, Vec<Value>),
    Pop(i64),
    Trim(i64, i64),
    Clear,
    Merge(Value),
}

/// What came of each value, as text, and why it ended early.
type Outcome = (Vec<Option<String>>, Option<EditError>);

impl Verb {
    fn strategy() -> impl Strategy<Value = Verb> {
        let number = prop_oneof![
            (-10..10i64).prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            (-100..100i32).prop_map(|n| Value::from(f64::from(n) / 8.0)),
            Just(Value::from(1e300)),
        ];
        let operation = prop::sample::select(&[Arithmetic::Add, Arithmetic::Multiply][..]);
        let value = || tree().prop_map(|tree| value_of(&tree));
        let values = || prop::collection::vec(value(), 0..4);
        let place = || prop_oneof![4 => -6..6i64, 1 => -300..300i64, 1 => any::<i64>()];
        prop_oneof![
            2 => (operation, number).prop_map(|(operation, by)| Verb::Reckon(operation, by)),
            1 => Just(Verb::Toggle),
            1 => "[a-zé]{0,4}".prop_map(Verb::AppendText),
            2 => values().prop_map(Verb::Append),
            2 => (place(), values()).prop_map(|(at, values)| Verb::Insert(at, values)),
            2 => place().prop_map(Verb::Pop),
            2 => (place(), place()).prop_map(|(start, stop)| Verb::Trim(start, stop)),
            1 => Just(Verb::Clear),
            3 => value().prop_map(Verb::Merge),
        ]
    }

    fn is_for(&self, value: &Value) -> bool {
        match self {
            Verb::Reckon(..) => value.is_number(),
            Verb::Toggle => value.is_boolean(),
            Verb::AppendText(_) => value.is_string(),
            Verb::Append(_) | Verb::Insert(..) | Verb::Pop(_) | Verb::Trim(..) => value.is_array(),
            Verb::Clear => match value {
                Value::Array(elements) => !elements.is_empty(),
                Value::Object(members) => !members.is_empty(),
                Value::Number(number) => number.as_f64() != Some(0.0),
                _ => false,
            },
            Verb::Merge(_) => true,
        }
    }

    fn apply_to_value(&self, root: &mut Value, steps: &[Step]) -> Outcome {
        let as_tree = tree_of(root);
        let mut ways: Vec<(usize, Vec<String>)> = as_tree
            .locate(steps)
            .iter()
            .map(|trail| as_tree.names(trail))
            .enumerate()
            .collect();
        let mut answers = vec![None; ways.len()];
        ways.retain(|(_, way)| self.is_for(at(root, way).expect("it was just found")));
        if matches!(self, Verb::Insert(..) | Verb::Pop(_) | Verb::Trim(..)) {
            ways.sort_by(|(_, left), (_, right)| inside_out(left, right));
        }
        for (index, way) in ways {
            match self.change(at(root, &way)) {
                Ok(answer) => answers[index] = Some(answer),
                Err(failure) => return (answers, Some(failure)),
            }
        }
        (answers, None)
    }

    fn change(&self, value: Option<&mut Value>) -> Result<String, EditError> {
        let value = match (self, value) {
            (_, Some(value)) => value,
            (Verb::Merge(_), None) => return Ok(String::new()),
            (_, None) => return Err(EditError::Gone),
        };
        match (self, &mut *value) {
            (Verb::Reckon(operation, by), _) => {
                *value = reckon(*operation, value, by).ok_or(EditError::NotFinite)?;
                return Ok(printed(value));
            }
            (Verb::Toggle, Value::Bool(is_true)) => *is_true = !*is_true,
            (Verb::AppendText(suffix), Value::String(string)) => {
                string.push_str(suffix);
                return Ok(string.len().to_string());
            }
            (Verb::Append(values), Value::Array(elements)) => {
                elements.extend(values.iter().cloned());
                return Ok(elements.len().to_string());
            }
            (Verb::Insert(place, values), Value::Array(elements)) => {
                let len = elements.len() as i128;
                let place = i128::from(*place);
                let place = if place < 0 { place + len } else { place };
                if place < 0 || place > len {
                    return Err(EditError::NoSuchPlace);
                }
                let place = place as usize;
                elements.splice(place..place, values.iter().cloned());
                return Ok(elements.len().to_string());
            }
            (Verb::Pop(place), Value::Array(elements)) => {
                if elements.is_empty() {
                    return Ok("nothing".to_owned());
                }
                let len = elements.len() as i128;
                let place = i128::from(*place);
                let place = if place < 0 { place + len } else { place };
                return Ok(printed(&elements.remove(place.clamp(0, len - 1) as usize)));
            }
            (Verb::Trim(start, stop), Value::Array(elements)) => {
                let len = elements.len() as i128;
                let from_front = |place: i64| {
                    let place = i128::from(place);
                    if place < 0 {
                        (place + len).max(0)
                    } else {
                        place
                    }
                };
                let (start, stop) = (from_front(*start), from_front(*stop).min(len - 1));
                *elements = match start > stop {
                    true => Vec::new(),
                    false => elements[start as usize..=stop as usize].to_vec(),
                };
                return Ok(elements.len().to_string());
            }
            (Verb::Clear, Value::Array(elements)) => elements.clear(),
            (Verb::Clear, Value::Object(members)) => members.clear(),
            (Verb::Clear, value) => *value = Value::from(0),
            (Verb::Merge(patch), value) => merge(value, patch),
            (verb, value) => unreachable!("{verb:?} is not for {value}"),
        }
        Ok(match self {
            Verb::Toggle => value.to_string(),
            _ => String::new(),
        })
    }

    /// None in place of the outcome of a merge, which does not answer for each value.
    fn apply_to_document(
        &self,
        document: &Document,
        path: &Path,
    ) -> (Option<Document>, Option<Outcome>) {
        let borrowed = document.borrow();
        let documents =
            |values: &[Value]| -> Vec<Document> { values.iter().map(document_of).collect() };
        let number = |len: &usize| len.to_string();
        match self {
            Verb::Reckon(operation, by) => {
                let by = Number::parse(by.to_string().as_bytes()).unwrap();
                let edit = borrowed.reckon(path, *operation, by);
                outcome(edit, |number| {
                    let mut out = Vec::new();
                    json::print_number(*number, &mut out);
                    String::from_utf8(out).unwrap()
                })
            }
            Verb::Toggle => outcome(borrowed.toggle(path), |is_true| is_true.to_string()),
            Verb::AppendText(suffix) => outcome(borrowed.append_text(path, Some(suffix)), number),
            Verb::Append(values) => outcome(borrowed.append(path, &documents(values)), number),
            Verb::Insert(place, values) => {
                outcome(borrowed.insert(path, *place, &documents(values)), number)
            }
            Verb::Pop(place) => outcome(borrowed.pop(path, *place), |element| match element {
                Some(element) => text(element),
                None => "nothing".to_owned(),
            }),
            Verb::Trim(start, stop) => outcome(borrowed.trim(path, *start, *stop), number),
            Verb::Clear => outcome(borrowed.clear(path), |()| String::new()),
            Verb::Merge(patch) => {
                let patch = document_of(patch);
                (borrowed.merge(path, patch.borrow()).unwrap(), None)
            }
        }
    }
}

fn outcome<A>(
    edit: Result<Edit<A>, EditError>,
    print: impl Fn(&A) -> String,
) -> (Option<Document>, Option<Outcome>) {
    let edit = edit.unwrap();
    let answers = edit.answers.iter();
    let answers = answers.map(|answer| answer.as_ref().map(&print)).collect();
    (edit.document, Some((answers, edit.failure)))
}

fn value_of(tree: &Tree) -> Value {
    serde_json::from_str(&tree.text()).unwrap()
}

/// The text of a value; serde_json has a plus in exponents, where we have none.
fn printed(value: &Value) -> String {
    value.to_string().replace("e+", "e")
}

fn document_of(value: &Value) -> Document {
    Document::parse(value.to_string().as_bytes()).unwrap()
}

fn tree_of(value: &Value) -> Tree {
    match value {
        Value::Array(elements) => Tree::Array(elements.iter().map(tree_of).collect()),
        Value::Object(members) => {
            let members = members.iter();
            Tree::Object(
                members
                    .map(|(name, value)| (name.clone(), tree_of(value)))
                    .collect(),
            )
        }
        scalar => Tree::Scalar(printed(scalar)),
    }
}

fn at<'v>(root: &'v mut Value, way: &[String]) -> Option<&'v mut Value> {
    way.iter().try_fold(root, |value, name| match value {
        Value::Array(elements) => elements.get_mut(name.parse::<usize>().ok()?),
        Value::Object(members) => members.get_mut(name),
        _ => None,
    })
}

fn inside_out(left: &[String], right: &[String]) -> Ordering {
    for (left, right) in left.iter().zip(right) {
        let number = |name: &String| name.parse::<usize>().ok();
        let order = match (number(left), number(right)) {
            (Some(left), Some(right)) => Reverse(left).cmp(&Reverse(right)),
            (None, None) => left.cmp(right),
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
        };
        if order.is_ne() {
            return order;
        }
    }
    right.len().cmp(&left.len())
}

fn reckon(operation: Arithmetic, left: &Value, right: &Value) -> Option<Value> {
    if let (Some(left), Some(right)) = (left.as_i64(), right.as_i64()) {
        let (left, right) = (i128::from(left), i128::from(right));
        let exact = match operation {
            Arithmetic::Add => left + right,
            Arithmetic::Multiply => left * right,
        };
        if let Ok(exact) = i64::try_from(exact) {
            return Some(Value::from(exact));
        }
    }
    let (left, right) = (left.as_f64()?, right.as_f64()?);
    let result = match operation {
        Arithmetic::Add => left + right,
        Arithmetic::Multiply => left * right,
    };
    serde_json::Number::from_f64(result).map(Value::Number)
}

/// RFC 7396's own pseudocode; a removed member's place is taken by the last one.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let members = target.as_object_mut().expect("it was made one");
    for (name, change) in changes {
        if change.is_null() {
            members.swap_remove(name);
        } else {
            merge(members.entry(name.clone()).or_insert(Value::Null), change);
        }
    }
}

/// Plays edits on both and compares after each.
fn play(start: &Tree, edits: &[(Verb, Vec<Step>)]) -> Result<(), TestCaseError> {
    let (mut model, mut document) = (value_of(start), start.document());
    for (verb, steps) in edits {
        let (version_before, text_before) = (document.clone(), printed(&model));
        let path = path_text(steps);
        let path = Path::parse(path.as_bytes()).unwrap();
        if matches!(verb, Verb::Merge(_)) && tree_of(&model).locate(steps).is_empty() {
            // Making new members is another test's.
            continue;
        }
        let expected = verb.apply_to_value(&mut model, steps);
        let (changed, received) = verb.apply_to_document(&document, &path);
        if let Some(received) = received {
            prop_assert_eq!(received, expected, "{:?}", verb);
        }
        document = changed.unwrap_or(document);
        prop_assert_eq!(text(&document), printed(&model), "{:?} {:?}", verb, steps);
        // Readers of the version before are undisturbed.
        prop_assert_eq!(text(&version_before), text_before);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn small_documents_change_as_values_do(
        start in tree(), edits in prop::collection::vec((Verb::strategy(), steps()), 1..12),
    ) {
        play(&start, &edits)?;
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
    fn large_documents_change_as_values_do(
        start in large_tree(),
        edits in prop::collection::vec(
            (Verb::strategy(), prop_oneof![3 => large_steps(), 1 => steps()]), 1..12,
        ),
    ) {
        play(&start, &edits)?;
    }
}
