//! Path and document to values.
//!
//! The matches of a path are found depth first: a value found by one segment is followed through
//! the later ones before the next is looked for. That gives the RFC's order without lists in
//! between, and lets the first match end the search.
//!
//! Descents multiply: `$..*..*` visits a value once for each of its ancestors, and every further
//! `..` multiplies by the depth again. So does a filter that searches the document from its root
//! for every child. A [`Budget`] in proportion to the document bounds the whole.

use std::ops::ControlFlow;

use smallvec::SmallVec;

use super::filter::{Filter, Scene};
use super::{Path, Segment, Selector, Slice, Step};
use crate::error::SearchTooLong;
use crate::packed::{self, Container};
use crate::value::{Array, Repr, Value, View};

/// Where a value stands: the place of each child on the way, counted from 0.
pub(crate) type Trail = SmallVec<[u32; 8]>;

/// Visits allowed in the smallest document.
const VISITS_MIN: usize = 1 << 20;

/// Visits allowed for each byte of a document.
const VISITS_PER_BYTE: usize = 32;

/// Text that is looked at for the cost of a visit.
const BYTES_PER_VISIT: usize = 64;

pub(super) fn find<'a>(path: &Path, root: Value<'a>) -> Result<Vec<Value<'a>>, SearchTooLong> {
    if path.is_singular() {
        return Ok(walk(path, root, |_| ()).into_iter().collect());
    }
    let mut found = Vec::new();
    search(path, root, &mut |_, value| {
        found.push(value);
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

#[inline]
pub(super) fn first<'a>(path: &Path, root: Value<'a>) -> Result<Option<Value<'a>>, SearchTooLong> {
    if let Some(steps) = path.steps() {
        return Ok(one(steps, root));
    }
    let mut found = None;
    search(path, root, &mut |_, value| {
        found = Some(value);
        ControlFlow::Break(())
    })?;
    Ok(found)
}

pub(super) fn locate<'a>(
    path: &Path,
    root: Value<'a>,
) -> Result<Vec<(Trail, Value<'a>)>, SearchTooLong> {
    if path.is_singular() {
        return Ok(locate_one(path, root).into_iter().collect());
    }
    let most = (root.extent() / BYTES_PER_PLACE).max(PLACES_MIN);
    let mut found = Vec::new();
    search(path, root, &mut |trail, value| {
        found.push((trail.clone(), value));
        match found.len() > most {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    })?;
    match found.len() > most {
        true => Err(SearchTooLong),
        false => Ok(found),
    }
}

pub(super) fn locate_one<'a>(path: &Path, root: Value<'a>) -> Option<(Trail, Value<'a>)> {
    let mut trail = Trail::new();
    let value = walk(path, root, |place| trail.push(place as u32))?;
    Some((trail, value))
}

/// The one value that a path of names and indexes can mean: steps down, and no search. `step` is
/// told the place of each child on the way.
pub(super) fn walk<'a>(
    path: &Path,
    root: Value<'a>,
    mut step: impl FnMut(usize),
) -> Option<Value<'a>> {
    let mut value = root;
    for step_down in path.steps()? {
        let (place, child) = step_down.follow(value)?;
        step(place);
        value = child;
    }
    Some(value)
}

/// As [`walk`], for who does not ask for the places.
fn one<'a>(steps: &[Step], root: Value<'a>) -> Option<Value<'a>> {
    let mut value = root;
    let mut steps = steps.iter();
    loop {
        if let Repr::Packed(bytes) = value.repr() {
            // In here there is nothing else.
            let mut bytes = bytes;
            for step in steps {
                bytes = &bytes[step.child_from(bytes)?..];
            }
            return Some(Value::packed(packed::split(bytes).0));
        }
        let Some(step) = steps.next() else {
            return Some(value);
        };
        value = step.follow(value)?.1;
    }
}

impl Step {
    /// Where the child to which the step leads begins in the container at the front of `bytes`.
    #[inline]
    pub(crate) fn child_from(&self, bytes: &[u8]) -> Option<usize> {
        let (container, header, body) = packed::container(bytes)?;
        Some(header + self.child_from_body(container, body)?)
    }

    /// The same, where the container is opened.
    #[inline]
    pub(crate) fn child_from_body(&self, container: Container, body: &[u8]) -> Option<usize> {
        match (self, container) {
            (Step::Name(name), Container::Object) => {
                Some(packed::find_member(body, name.as_bytes())?.1)
            }
            (&Step::Index(index), Container::Array) => {
                let place = place_of(index, || packed::count_elements(body))?;
                packed::find_element(body, place)
            }
            _ => None,
        }
    }

    /// The place and the value of the child to which the step leads.
    pub(crate) fn follow<'a>(&self, value: Value<'a>) -> Option<(usize, Value<'a>)> {
        match (self, value.view()) {
            (Step::Name(name), View::Object(object)) => object.find(name),
            (Step::Index(index), View::Array(array)) => element(array, *index),
            _ => None,
        }
    }
}

/// Places that an edit may change in the smallest document: each takes memory until it has.
const PLACES_MIN: usize = 1 << 20;

/// Bytes of a document for each such place.
const BYTES_PER_PLACE: usize = 4;

/// What is done with each match; breaking ends the search.
type Visit<'v, 'a> = &'v mut dyn FnMut(&Trail, Value<'a>) -> ControlFlow<()>;

fn search<'a>(path: &Path, root: Value<'a>, visit: Visit<'_, 'a>) -> Result<(), SearchTooLong> {
    Search::run(path, root, root, &mut Budget::of(root), visit)
}

/// The visits left to a search, and to all searches that its filters make.
pub(super) struct Budget(usize);

impl Budget {
    fn of(root: Value<'_>) -> Budget {
        let for_bytes = root.extent().saturating_mul(VISITS_PER_BYTE);
        Budget(for_bytes.saturating_add(VISITS_MIN))
    }

    /// Pays for something that takes as long as so many visits.
    pub(super) fn spend(&mut self, visits: usize) -> Result<(), SearchTooLong> {
        self.0 = self.0.checked_sub(visits).ok_or(SearchTooLong)?;
        Ok(())
    }

    /// Pays for a look at so many bytes of text.
    pub(super) fn spend_on_text(&mut self, bytes: usize) -> Result<(), SearchTooLong> {
        self.spend(bytes / BYTES_PER_VISIT)
    }
}

/// Why a search ends before its time.
enum Stop {
    Enough,
    TooLong,
}

/// The evaluation of one path.
pub(super) struct Search<'v, 'a> {
    /// The document's root, for filters.
    root: Value<'a>,
    budget: &'v mut Budget,
    trail: Trail,
    visit: Visit<'v, 'a>,
}

impl<'v, 'a> Search<'v, 'a> {
    /// Visits what `path` means from the value `from` of a document.
    pub(super) fn run(
        path: &Path,
        root: Value<'a>,
        from: Value<'a>,
        budget: &'v mut Budget,
        visit: Visit<'v, 'a>,
    ) -> Result<(), SearchTooLong> {
        let mut search = Search {
            root,
            budget,
            trail: Trail::new(),
            visit,
        };
        match search.follow(&path.segments, from) {
            ControlFlow::Break(Stop::TooLong) => Err(SearchTooLong),
            ControlFlow::Break(Stop::Enough) | ControlFlow::Continue(()) => Ok(()),
        }
    }

    /// Visits what `segments` lead to from `value`, where `trail` stands.
    fn follow(&mut self, segments: &[Segment], value: Value<'a>) -> ControlFlow<Stop> {
        let Some((segment, rest)) = segments.split_first() else {
            return (self.visit)(&self.trail, value).map_break(|()| Stop::Enough);
        };
        for selector in segment.selectors() {
            self.select(selector, rest, value)?;
        }
        if segment.descends {
            for (place, child) in value.children() {
                self.step(place, segments, child)?;
            }
        }
        ControlFlow::Continue(())
    }

    /// Follows `segments` from each child of `value` that `selector` means.
    fn select(
        &mut self,
        selector: &Selector,
        segments: &[Segment],
        value: Value<'a>,
    ) -> ControlFlow<Stop> {
        match (selector, value.view()) {
            (Selector::Name(name), View::Object(object)) => {
                if let Some((place, child)) = object.find(name) {
                    self.step(place, segments, child)?;
                }
            }
            (Selector::Index(index), View::Array(array)) => {
                if let Some((place, child)) = element(array, *index) {
                    self.step(place, segments, child)?;
                }
            }
            (Selector::Wildcard, View::Array(_) | View::Object(_)) => {
                for (place, child) in value.children() {
                    self.step(place, segments, child)?;
                }
            }
            (Selector::Slice(slice), View::Array(array)) => self.slice(slice, segments, array)?,
            (Selector::Filter(filter), View::Array(_) | View::Object(_)) => {
                for (place, child) in value.children() {
                    if self.holds(filter, child)? {
                        self.step(place, segments, child)?;
                    }
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn slice(
        &mut self,
        slice: &Slice,
        segments: &[Segment],
        array: Array<'a>,
    ) -> ControlFlow<Stop> {
        let (lower, upper) = slice.bounds(array.len() as i64);
        if slice.step == 0 || lower >= upper {
            return ControlFlow::Continue(());
        }
        let stride = usize::try_from(slice.step.unsigned_abs()).unwrap_or(usize::MAX);
        let range = array
            .iter_from(lower as usize)
            .take((upper - lower) as usize);
        if slice.step > 0 {
            for (distance, child) in range.enumerate().step_by(stride) {
                self.step(lower as usize + distance, segments, child)?;
            }
        } else {
            let elements: Vec<_> = range.collect();
            for (distance, &child) in elements.iter().enumerate().rev().step_by(stride) {
                self.step(lower as usize + distance, segments, child)?;
            }
        }
        ControlFlow::Continue(())
    }

    fn holds(&mut self, filter: &Filter, child: Value<'a>) -> ControlFlow<Stop, bool> {
        self.spend()?;
        let root = self.root;
        match filter.holds(Scene { root, child }, self.budget) {
            Ok(holds) => ControlFlow::Continue(holds),
            Err(SearchTooLong) => ControlFlow::Break(Stop::TooLong),
        }
    }

    /// Takes one visit off the budget.
    fn spend(&mut self) -> ControlFlow<Stop> {
        match self.budget.spend(1) {
            Ok(()) => ControlFlow::Continue(()),
            Err(SearchTooLong) => ControlFlow::Break(Stop::TooLong),
        }
    }

    /// Goes down to the child at `place` and follows `segments` from there.
    fn step(&mut self, place: usize, segments: &[Segment], child: Value<'a>) -> ControlFlow<Stop> {
        self.spend()?;
        self.trail.push(place as u32);
        self.follow(segments, child)?;
        self.trail.pop();
        ControlFlow::Continue(())
    }
}

/// The element at a place that counts from the end when negative, with its place from the front.
fn element(array: Array<'_>, index: i64) -> Option<(usize, Value<'_>)> {
    let place = place_of(index, || array.len())?;
    array.get(place).map(|value| (place, value))
}

/// The place that an index means in an array of `len` elements; there may be none at it.
pub(crate) fn place_of(index: i64, len: impl FnOnce() -> usize) -> Option<usize> {
    let from_front = if index < 0 {
        index + len() as i64
    } else {
        index
    };
    usize::try_from(from_front).ok()
}

impl Slice {
    /// The elements it can mean: from the lower bound up to before the upper.
    fn bounds(&self, len: i64) -> (i64, i64) {
        let from_front = |bound: i64| if bound < 0 { bound + len } else { bound };
        if self.step >= 0 {
            let start = from_front(self.start.unwrap_or(0));
            let end = from_front(self.end.unwrap_or(len));
            (start.clamp(0, len), end.clamp(0, len))
        } else {
            let start = self.start.map_or(len - 1, from_front);
            let end = self.end.map_or(-1, from_front);
            (end.clamp(-1, len - 1) + 1, start.clamp(-1, len - 1) + 1)
        }
    }
}
