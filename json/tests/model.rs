//! Documents, paths and edits against a naive model: a plain tree, searched and changed by the
//! most direct code.

use json::{Condition, DEPTH_MAX, Document, EditError, Path, Rest};
use proptest::prelude::*;

/// A document as a plain tree; scalars are their JSON text.
#[derive(Clone, Debug, PartialEq)]
enum Tree {
    Scalar(String),
    Array(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

/// A step of a path.
#[derive(Clone, Debug)]
struct Step {
    descends: bool,
    selectors: Vec<Selector>,
}

#[derive(Clone, Debug)]
enum Selector {
    Name(String),
    Index(i64),
    Wildcard,
    Slice(Option<i64>, Option<i64>, i64),
}

impl Tree {
    fn text(&self) -> String {
        match self {
            Tree::Scalar(text) => text.clone(),
            Tree::Array(elements) => {
                let texts: Vec<_> = elements.iter().map(Tree::text).collect();
                format!("[{}]", texts.join(","))
            }
            Tree::Object(members) => {
                let texts: Vec<_> = members
                    .iter()
                    .map(|(name, value)| format!("\"{name}\":{}", value.text()))
                    .collect();
                format!("{{{}}}", texts.join(","))
            }
        }
    }

    fn document(&self) -> Document {
        Document::parse(self.text().as_bytes()).unwrap()
    }

    fn children(&self) -> Vec<&Tree> {
        match self {
            Tree::Scalar(_) => Vec::new(),
            Tree::Array(elements) => elements.iter().collect(),
            Tree::Object(members) => members.iter().map(|(_, value)| value).collect(),
        }
    }

    fn at(&self, trail: &[usize]) -> &Tree {
        trail
            .iter()
            .fold(self, |tree, &place| tree.children()[place])
    }

    fn at_mut(&mut self, trail: &[usize]) -> &mut Tree {
        trail.iter().fold(self, |tree, &place| match tree {
            Tree::Scalar(_) => unreachable!(),
            Tree::Array(elements) => &mut elements[place],
            Tree::Object(members) => &mut members[place].1,
        })
    }

    /// The places of the children that a selector means, by the RFC's own pseudocode.
    fn select(&self, selector: &Selector) -> Vec<usize> {
        let len = self.children().len();
        match (selector, self) {
            (Selector::Wildcard, _) => (0..len).collect(),
            (Selector::Name(name), Tree::Object(members)) => members
                .iter()
                .position(|(known, _)| known == name)
                .into_iter()
                .collect(),
            (Selector::Index(index), Tree::Array(_)) => {
                let place = if *index < 0 {
                    index + len as i64
                } else {
                    *index
                };
                let is_in = 0 <= place && place < len as i64;
                is_in.then_some(place as usize).into_iter().collect()
            }
            (Selector::Slice(start, end, step), Tree::Array(_)) => {
                let (len, step) = (len as i64, *step);
                let normal = |bound: i64| if bound >= 0 { bound } else { len + bound };
                let mut places = Vec::new();
                if step > 0 {
                    let mut at = normal(start.unwrap_or(0)).max(0).min(len);
                    let upper = normal(end.unwrap_or(len)).max(0).min(len);
                    while at < upper {
                        places.push(at as usize);
                        at += step;
                    }
                } else if step < 0 {
                    let mut at = normal(start.unwrap_or(len - 1)).max(-1).min(len - 1);
                    let lower = normal(end.unwrap_or(-len - 1)).max(-1).min(len - 1);
                    while lower < at {
                        places.push(at as usize);
                        at += step;
                    }
                }
                places
            }
            _ => Vec::new(),
        }
    }

    /// Where the values stand that the steps mean, list by list.
    fn locate(&self, steps: &[Step]) -> Vec<Vec<usize>> {
        let mut trails = vec![Vec::new()];
        for step in steps {
            let mut next = Vec::new();
            for trail in trails {
                self.step(step, trail, &mut next);
            }
            trails = next;
        }
        trails
    }

    fn step(&self, step: &Step, trail: Vec<usize>, found: &mut Vec<Vec<usize>>) {
        let below = |place| [&trail[..], &[place]].concat();
        let here = self.at(&trail);
        for selector in &step.selectors {
            found.extend(here.select(selector).into_iter().map(below));
        }
        if step.descends {
            for place in 0..here.children().len() {
                self.step(step, below(place), found);
            }
        }
    }

    fn set(&mut self, steps: &[Step], value: &Tree) {
        let mut trails = self.locate(steps);
        trails.sort_by_key(|trail| std::cmp::Reverse(trail.len()));
        for trail in trails {
            *self.at_mut(&trail) = value.clone();
        }
    }

    /// Deletes the values one after the other, as RedisJSON does, and counts them.
    fn delete(&mut self, steps: &[Step]) -> usize {
        let all = self.locate(steps);
        let is_inside = |inner: &Vec<usize>| {
            all.iter()
                .any(|outer| outer.len() < inner.len() && inner.starts_with(outer))
        };
        let mut names: Vec<Vec<String>> = all
            .iter()
            .filter(|trail| !is_inside(trail))
            .map(|trail| self.names(trail))
            .collect();
        let number = |name: &String| name.parse::<usize>().ok();
        names.sort_by(|a, b| {
            let by_step = a.iter().zip(b).map(|(a, b)| {
                let (x, y) = (number(a), number(b));
                (x.is_some().cmp(&y.is_some()))
                    .then(y.cmp(&x))
                    .then(a.cmp(b))
            });
            by_step.fold(std::cmp::Ordering::Equal, |order, next| order.then(next))
        });
        names
            .into_iter()
            .filter(|names| self.delete_one(names))
            .count()
    }

    /// The trail in names and indexes.
    fn names(&self, trail: &[usize]) -> Vec<String> {
        (0..trail.len())
            .map(|depth| match self.at(&trail[..depth]) {
                Tree::Object(members) => members[trail[depth]].0.clone(),
                _ => trail[depth].to_string(),
            })
            .collect()
    }

    fn delete_one(&mut self, names: &[String]) -> bool {
        let [name, rest @ ..] = names else {
            unreachable!()
        };
        let place = match &*self {
            Tree::Scalar(_) => None,
            Tree::Array(elements) => Some(name.parse().unwrap()).filter(|p| *p < elements.len()),
            Tree::Object(members) => members.iter().position(|(known, _)| known == name),
        };
        let Some(place) = place else { return false };
        if !rest.is_empty() {
            return self.at_mut(&[place]).delete_one(rest);
        }
        match self {
            Tree::Scalar(_) => unreachable!(),
            Tree::Array(elements) => drop(elements.remove(place)),
            Tree::Object(members) => drop(members.swap_remove(place)),
        }
        true
    }
}

fn path_text(steps: &[Step]) -> String {
    let mut text = "$".to_owned();
    let bound = |bound: &Option<i64>| bound.map(|n| n.to_string()).unwrap_or_default();
    for step in steps {
        let selectors: Vec<String> = step
            .selectors
            .iter()
            .map(|selector| match selector {
                Selector::Name(name) => format!("'{name}'"),
                Selector::Index(index) => index.to_string(),
                Selector::Wildcard => "*".to_owned(),
                Selector::Slice(start, end, step) => {
                    format!("{}:{}:{step}", bound(start), bound(end))
                }
            })
            .collect();
        text += if step.descends { "..[" } else { "[" };
        text += &(selectors.join(",") + "]");
    }
    text
}

fn name() -> impl Strategy<Value = String> {
    prop::sample::select(&["a", "b", "é", "0", "10", "9", ""][..]).prop_map(str::to_owned)
}

fn tree() -> impl Strategy<Value = Tree> {
    let scalar = prop_oneof![
        any::<i64>().prop_map(|n| n.to_string()),
        (-1000..1000i32).prop_map(|n| format!("{:?}", f64::from(n) / 8.0)),
        prop::sample::select(&["null", "true", "false", "\"\"", "\"text\""][..])
            .prop_map(str::to_owned),
        (0..300usize).prop_map(|n| format!("\"{}\"", "x".repeat(n))),
    ];
    scalar
        .prop_map(Tree::Scalar)
        .prop_recursive(4, 60, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Tree::Array),
                prop::collection::btree_map(name(), inner, 0..6)
                    .prop_map(|members| members.into_iter().collect())
                    .prop_shuffle()
                    .prop_map(Tree::Object),
            ]
        })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let bound = || prop::option::of(-6..6i64);
    let selector = prop_oneof![
        3 => name().prop_map(Selector::Name),
        2 => (-4..6i64).prop_map(Selector::Index),
        1 => Just(Selector::Wildcard),
        1 => (bound(), bound(), -3..4i64).prop_map(|(s, e, n)| Selector::Slice(s, e, n)),
    ];
    let step = (
        prop::bool::weighted(0.25),
        prop::collection::vec(selector, 1..3),
    )
        .prop_map(|(descends, selectors)| Step {
            descends,
            selectors,
        });
    prop::collection::vec(step, 1..4)
}

fn text(document: &Document) -> String {
    let mut out = Vec::new();
    document.root().print(&mut out);
    String::from_utf8(out).unwrap()
}

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

/// A tree of many kilobytes: wide containers of small and of large values.
fn large_tree() -> impl Strategy<Value = Tree> {
    let wide = |inner: BoxedStrategy<Tree>| {
        let children = prop::collection::vec(inner, 100..400);
        (children, any::<bool>()).prop_map(|(children, is_array)| match is_array {
            true => Tree::Array(children),
            false => {
                let name = |place| format!("m{place}");
                let named = children.into_iter().enumerate();
                Tree::Object(named.map(|(place, value)| (name(place), value)).collect())
            }
        })
    };
    let few = (wide(tree().boxed()), tree()).prop_map(|(wide, tree)| Tree::Array(vec![wide, tree]));
    let wide_in_wide = prop_oneof![40 => tree(), 1 => wide(tree().boxed())];
    prop_oneof![wide(tree().boxed()), few, wide(wide_in_wide.boxed())]
}

fn large_steps() -> impl Strategy<Value = Vec<Step>> {
    let selector = prop_oneof![
        6 => (0..400).prop_map(|place| Selector::Name(format!("m{place}"))),
        6 => (-300..300i64).prop_map(Selector::Index),
        1 => (0..300i64, 1..40i64).prop_map(|(s, n)| Selector::Slice(Some(s), None, n)),
        1 => (0..9i64).prop_map(|n| Selector::Slice(None, None, n)),
        1 => Just(Selector::Wildcard),
    ];
    let step = (
        prop::bool::weighted(0.1),
        prop::collection::vec(selector, 1..3),
    )
        .prop_map(|(descends, selectors)| Step {
            descends,
            selectors,
        });
    (step, prop::option::of(steps())).prop_map(|(first, rest)| {
        let mut steps = vec![first];
        steps.extend(rest.into_iter().flatten().take(2));
        steps
    })
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
