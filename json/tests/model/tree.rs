//! The naive model: a document as a plain tree, paths as lists of steps, and how they are made up.

use json::Document;
use proptest::prelude::*;

/// A document as a plain tree; scalars are their JSON text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Tree {
    Scalar(String),
    Array(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

/// A step of a path.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) descends: bool,
    pub(crate) selectors: Vec<Selector>,
}

#[derive(Clone, Debug)]
pub(crate) enum Selector {
    Name(String),
    Index(i64),
    Wildcard,
    Slice(Option<i64>, Option<i64>, i64),
}

impl Tree {
    pub(crate) fn text(&self) -> String {
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

    pub(crate) fn document(&self) -> Document {
        Document::parse(self.text().as_bytes()).unwrap()
    }

    pub(crate) fn children(&self) -> Vec<&Tree> {
        match self {
            Tree::Scalar(_) => Vec::new(),
            Tree::Array(elements) => elements.iter().collect(),
            Tree::Object(members) => members.iter().map(|(_, value)| value).collect(),
        }
    }

    pub(crate) fn at(&self, trail: &[usize]) -> &Tree {
        trail
            .iter()
            .fold(self, |tree, &place| tree.children()[place])
    }

    pub(crate) fn at_mut(&mut self, trail: &[usize]) -> &mut Tree {
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
    pub(crate) fn locate(&self, steps: &[Step]) -> Vec<Vec<usize>> {
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

    pub(crate) fn set(&mut self, steps: &[Step], value: &Tree) {
        let mut trails = self.locate(steps);
        trails.sort_by_key(|trail| std::cmp::Reverse(trail.len()));
        for trail in trails {
            *self.at_mut(&trail) = value.clone();
        }
    }

    /// Deletes the values one after the other, as RedisJSON does, and counts them.
    pub(crate) fn delete(&mut self, steps: &[Step]) -> usize {
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
    pub(crate) fn names(&self, trail: &[usize]) -> Vec<String> {
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

pub(crate) fn path_text(steps: &[Step]) -> String {
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

pub(crate) fn name() -> impl Strategy<Value = String> {
    prop::sample::select(&["a", "b", "é", "0", "10", "9", ""][..]).prop_map(str::to_owned)
}

pub(crate) fn tree() -> impl Strategy<Value = Tree> {
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

pub(crate) fn steps() -> impl Strategy<Value = Vec<Step>> {
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

pub(crate) fn text(document: &Document) -> String {
    let mut out = Vec::new();
    document.root().print(&mut out);
    String::from_utf8(out).unwrap()
}

/// A tree of many kilobytes: wide containers of small and of large values.
pub(crate) fn large_tree() -> impl Strategy<Value = Tree> {
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

pub(crate) fn large_steps() -> impl Strategy<Value = Vec<Step>> {
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
