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
use std::slice;

use smallvec::SmallVec;

use super::filter::{Filter, Scene};
use super::{Path, Segment, Selector, Slice, Step, Way};
use crate::error::SearchTooLong;
use crate::packed::{self, Container};
use crate::value::{Array, Front, Value, View};

/// Where a value stands: the place of each child on the way, counted from 0.
pub(crate) type Trail = SmallVec<[u32; 8]>;

/// Visits allowed in the smallest document.
const VISITS_MIN: usize = 1 << 20;

/// Visits allowed for each byte of a document.
const VISITS_PER_BYTE: usize = 32;

/// Text that is looked at for the cost of a visit.
const BYTES_PER_VISIT: usize = 64;

pub(super) fn find<'a>(path: &Path, root: Value<'a>) -> Result<Vec<Value<'a>>, SearchTooLong> {
    let segments = match &path.way {
        Way::Steps(steps) => return Ok(one(steps, root).into_iter().collect()),
        Way::Segments(segments) => segments,
    };
    let mut found = Vec::new();
    let budget = &mut Budget::of(root);
    Search::values(segments, root, root, budget, &mut |_, value| {
        found.push(value);
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

#[inline]
pub(super) fn first<'a>(path: &Path, root: Value<'a>) -> Result<Option<Value<'a>>, SearchTooLong> {
    let segments = match &path.way {
        Way::Steps(steps) => return Ok(one(steps, root)),
        Way::Segments(segments) => segments,
    };
    let mut found = None;
    let budget = &mut Budget::of(root);
    Search::values(segments, root, root, budget, &mut |_, value| {
        found = Some(value);
        ControlFlow::Break(())
    })?;
    Ok(found)
}

pub(super) fn locate<'a>(
    path: &Path,
    root: Value<'a>,
) -> Result<Vec<(Trail, Value<'a>)>, SearchTooLong> {
    let segments = match &path.way {
        Way::Steps(_) => return Ok(locate_one(path, root).into_iter().collect()),
        Way::Segments(segments) => segments,
    };
    let most = (root.extent() / BYTES_PER_PLACE).max(PLACES_MIN);
    let mut found = Vec::new();
    let search = Search {
        root,
        budget: &mut Budget::of(root),
        trail: Some(Trail::new()),
        visit: &mut |trail, value| {
            found.push((trail.cloned().unwrap_or_default(), value));
            match found.len() > most {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        },
    };
    search.run(segments, root)?;
    match found.len() > most {
        true => Err(SearchTooLong),
        false => Ok(found),
    }
}

pub(super) fn locate_one<'a>(path: &Path, root: Value<'a>) -> Option<(Trail, Value<'a>)> {
    let mut trail = Trail::new();
    let mut value = root;
    for step in path.steps()? {
        let (place, child) = step.follow(value)?;
        trail.push(place as u32);
        value = child;
    }
    Some((trail, value))
}

/// The one value to which `steps` lead.
fn one<'a>(steps: &[Step], root: Value<'a>) -> Option<Value<'a>> {
    reach(steps, Front::of(root)).map(Front::value)
}

/// Where the one value begins to which `steps` lead.
#[inline]
pub(super) fn reach<'a>(steps: &[Step], from: Front<'a>) -> Option<Front<'a>> {
    match from {
        // In here there is nothing else.
        Front::Packed(bytes) => reach_packed(steps, bytes).map(Front::Packed),
        Front::Large(_) => reach_from_large(steps, from),
    }
}

fn reach_from_large<'a>(steps: &[Step], from: Front<'a>) -> Option<Front<'a>> {
    let (mut front, mut steps) = (from, steps);
    while let Front::Large(value) = front
        && let Some((step, rest)) = steps.split_first()
    {
        front = Front::of(step.follow(value)?.1);
        steps = rest;
    }
    match front {
        Front::Packed(bytes) => reach_packed(steps, bytes).map(Front::Packed),
        Front::Large(_) => Some(front),
    }
}

/// What begins with the value to which `steps` lead from the one at the front of `bytes`.
fn reach_packed<'a>(steps: &[Step], bytes: &'a [u8]) -> Option<&'a [u8]> {
    let mut bytes = bytes;
    for step in steps {
        bytes = match step {
            Step::Name(name) => packed::member(packed::members(bytes)?, name.as_bytes())?,
            Step::Index(_) => &bytes[step.child_from(bytes)?..],
        };
    }
    Some(bytes)
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

/// What is done with each match, and where it stands if that is noted; breaking ends the search.
type Visit<'v, 'a> = &'v mut dyn FnMut(Option<&Trail>, Value<'a>) -> ControlFlow<()>;

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
    /// Where the search is, if anybody asks.
    trail: Option<Trail>,
    visit: Visit<'v, 'a>,
}

impl<'v, 'a> Search<'v, 'a> {
    /// Visits what `segments` mean from the value `from` of a document, for who does not ask where
    /// that stands.
    pub(super) fn values(
        segments: &[Segment],
        root: Value<'a>,
        from: Value<'a>,
        budget: &'v mut Budget,
        visit: Visit<'v, 'a>,
    ) -> Result<(), SearchTooLong> {
        let search = Search {
            root,
            budget,
            trail: None,
            visit,
        };
        search.run(segments, from)
    }

    fn run(mut self, segments: &[Segment], from: Value<'a>) -> Result<(), SearchTooLong> {
        match self.follow(segments, from) {
            ControlFlow::Break(Stop::TooLong) => Err(SearchTooLong),
            ControlFlow::Break(Stop::Enough) | ControlFlow::Continue(()) => Ok(()),
        }
    }

    /// Visits what `segments` lead to from `value`, where `trail` stands.
    fn follow(&mut self, segments: &[Segment], value: Value<'a>) -> ControlFlow<Stop> {
        let Some((segment, rest)) = segments.split_first() else {
            return self.visit(value);
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
        match selector {
            Selector::Step(step) => {
                let found = match self.trail {
                    Some(_) => step.follow(value),
                    None => one(slice::from_ref(step), value).map(|child| (0, child)),
                };
                if let Some((place, child)) = found {
                    self.step(place, segments, child)?;
                }
            }
            Selector::Wildcard => {
                for (place, child) in value.children() {
                    self.step(place, segments, child)?;
                }
            }
            Selector::Slice(slice) => {
                if let View::Array(array) = value.view() {
                    self.slice(slice, segments, array)?;
                }
            }
            Selector::Filter(filter) => self.filter(filter, segments, value)?,
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

    fn filter(
        &mut self,
        filter: &Filter,
        segments: &[Segment],
        value: Value<'a>,
    ) -> ControlFlow<Stop> {
        for (place, child) in value.fronts() {
            self.spend()?;
            let root = self.root;
            match filter.holds(&Scene { root, child }, self.budget) {
                Ok(true) => self.step(place, segments, child.value())?,
                Ok(false) => {}
                Err(SearchTooLong) => return ControlFlow::Break(Stop::TooLong),
            }
        }
        ControlFlow::Continue(())
    }

    /// Takes one visit off the budget.
    fn spend(&mut self) -> ControlFlow<Stop> {
        match self.budget.spend(1) {
            Ok(()) => ControlFlow::Continue(()),
            Err(SearchTooLong) => ControlFlow::Break(Stop::TooLong),
        }
    }

    /// Goes down to the child at `place`, which counts if there is a trail, and follows `segments`
    /// from there.
    fn step(&mut self, place: usize, segments: &[Segment], child: Value<'a>) -> ControlFlow<Stop> {
        self.spend()?;
        if let Some(trail) = &mut self.trail {
            trail.push(place as u32);
        }
        match segments {
            [] => self.visit(child)?,
            _ => self.follow(segments, child)?,
        }
        if let Some(trail) = &mut self.trail {
            trail.pop();
        }
        ControlFlow::Continue(())
    }

    fn visit(&mut self, value: Value<'a>) -> ControlFlow<Stop> {
        (self.visit)(self.trail.as_ref(), value).map_break(|()| Stop::Enough)
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
