//! In which order RedisJSON changes the values that a path means.
//!
//! Most edits go in the order in which the path finds the values. Those that move others (arrays
//! losing and getting elements, members deleted) go from the inside out, elements from the back to
//! the front, so that none is moved before its turn. Names stand in alphabetic order before
//! numbers, and a name that is a number counts as one.

use std::cmp::{Ordering, Reverse};

use smallvec::SmallVec;

use crate::path::Trail;
use crate::value::{Value, View};

/// One step of the way to a value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step<'a> {
    Name(&'a str),
    Index(usize),
}

/// The way to a value, which still leads there after members changed their places.
pub(super) type Way<'a> = SmallVec<[Step<'a>; 8]>;

/// The way that `trail` goes from `root`.
pub(super) fn way<'a>(root: Value<'a>, trail: &Trail) -> Way<'a> {
    let mut value = root;
    let step = |&place: &u32| {
        let place = place as usize;
        let (step, child) = match value.view() {
            View::Array(array) => (Step::Index(place), array.get(place)),
            View::Object(object) => match object.at(place) {
                Some((name, child)) => (Step::Name(name), Some(child)),
                None => (Step::Index(place), None),
            },
            _ => (Step::Index(place), None),
        };
        value = child.expect("trails lead to children");
        step
    };
    trail.iter().map(step).collect()
}

/// Where `way` leads to from `root` now, if it still does. To RedisJSON all steps are texts: where
/// an array became an object, an index leads to the member of that name, and the other way round.
pub(super) fn follow<'a>(root: Value<'a>, way: &Way<'_>) -> Option<(Trail, Value<'a>)> {
    let (mut trail, mut value) = (Trail::new(), root);
    for step in way {
        let (place, child) = match (*step, value.view()) {
            (Step::Name(name), View::Object(object)) => object.find(name)?,
            (Step::Index(index), View::Object(object)) => object.find(&index.to_string())?,
            (Step::Index(index), View::Array(array)) => (index, array.get(index)?),
            (Step::Name(name), View::Array(array)) => {
                let index = name.parse().ok()?;
                (index, array.get(index)?)
            }
            _ => return None,
        };
        trail.push(place as u32);
        value = child;
    }
    Some((trail, value))
}

/// Which of two values goes first, from the inside out.
pub(super) fn inside_out(left: &Way<'_>, right: &Way<'_>) -> Ordering {
    let steps = left.iter().zip(right);
    let mut orders = steps.map(|(left, right)| rank(*left).cmp(&rank(*right)));
    let first_difference = orders.find(|order| order.is_ne());
    first_difference.unwrap_or_else(|| right.len().cmp(&left.len()))
}

/// Which step goes first: names, then numbers, the largest first.
fn rank(step: Step<'_>) -> (Option<Reverse<usize>>, &str) {
    match step {
        Step::Index(index) => (Some(Reverse(index)), ""),
        Step::Name(name) => match name.parse() {
            Ok(number) => (Some(Reverse(number)), ""),
            Err(_) => (None, name),
        },
    }
}

/// Which of two members of one object is deleted first.
pub(super) fn of_members(left: &[u8], right: &[u8]) -> Ordering {
    let step = |name| Step::Name(std::str::from_utf8(name).expect("names are UTF-8"));
    rank(step(left)).cmp(&rank(step(right)))
}
