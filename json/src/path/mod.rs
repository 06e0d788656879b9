//! Paths: which values of a document are meant.
//!
//! One type serves both syntaxes. A text that starts with `$` is JSONPath (RFC 9535) and means
//! every match; any other text is RedisJSON's older syntax (`.a.b[0]`, bare names, `.` for the
//! root) and means the first match when it is read. Both compile to the same.
//!
//! A path of names and indexes alone can mean one value at most. It is a list of steps, which are
//! walked down; any other path is a list of segments, which are searched.
//!
//! What the RFC refuses and RedisJSON accepts, is accepted here too: names in dot notation may
//! begin with a digit and contain `-` (`$.0`, `$.a-b`), a blank may follow the dot (`$. a`), and
//! filters have an operator `=~`: the string on its left contains a match of the pattern.

use compact_str::CompactString;
use smallvec::SmallVec;

use crate::error::{PathError, SearchTooLong};
use crate::value::Value;

mod eval;
mod filter;
mod parse;

pub(crate) use eval::{Trail, place_of};
use filter::Filter;

/// A path, compiled from text.
///
/// It borrows nothing, so that it can be kept for the next use of the same text.
#[derive(Clone, Debug)]
pub struct Path {
    is_legacy: bool,
    way: Way,
}

/// Where a path leads.
#[derive(Clone, Debug)]
enum Way {
    /// To one value at most.
    Steps(Steps),
    /// To any number of values. Invariant: not all segments are single steps.
    Segments(Vec<Segment>),
}

type Steps = SmallVec<[Step; 4]>;

/// One step of a path that can mean one value at most.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// To the member of this name.
    Name(CompactString),
    /// To the element at this place; from the end when negative.
    Index(i64),
}

/// One part of a path: from each value found so far to the next ones.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    /// Whether the selectors apply to all descendants too: `..`.
    descends: bool,
    selectors: Selectors,
}

/// What a segment selects: mostly by one selector, which then needs no memory of its own.
#[derive(Clone, Debug)]
enum Selectors {
    One(Selector),
    Several(Box<[Selector]>),
}

/// Which children of a value are meant.
#[derive(Clone, Debug)]
pub(crate) enum Selector {
    /// The one to which the step leads.
    Step(Step),
    /// All children.
    Wildcard,
    /// Some elements.
    Slice(Box<Slice>),
    /// The children of which the condition holds.
    Filter(Box<Filter>),
}

/// `start:end:step`; what is left out depends on the step's sign.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slice {
    start: Option<i64>,
    end: Option<i64>,
    step: i64,
}

impl Path {
    /// Compiles a text in either syntax.
    pub fn parse(text: &[u8]) -> Result<Path, PathError> {
        parse::parse(text)
    }

    /// Whether the text was of the older syntax, which means one value.
    pub fn is_legacy(&self) -> bool {
        self.is_legacy
    }

    /// Whether the path means the whole document.
    pub fn is_root(&self) -> bool {
        self.steps().is_some_and(<[Step]>::is_empty)
    }

    /// Whether the path can mean one value at most: names and indexes only.
    pub fn is_singular(&self) -> bool {
        self.steps().is_some()
    }

    /// Every value the path means, in the RFC's order, repeated as often as it says.
    pub fn find<'a>(&self, root: Value<'a>) -> Result<Vec<Value<'a>>, SearchTooLong> {
        eval::find(self, root)
    }

    /// The first value the path means.
    pub fn first<'a>(&self, root: Value<'a>) -> Result<Option<Value<'a>>, SearchTooLong> {
        eval::first(self, root)
    }

    /// As [`Path::find`], with where each value stands.
    pub(crate) fn locate<'a>(
        &self,
        root: Value<'a>,
    ) -> Result<Vec<(Trail, Value<'a>)>, SearchTooLong> {
        eval::locate(self, root)
    }

    /// The value that a singular path means, with where it stands.
    pub(crate) fn locate_one<'a>(&self, root: Value<'a>) -> Option<(Trail, Value<'a>)> {
        eval::locate_one(self, root)
    }

    /// The steps of a singular path.
    #[inline]
    pub(crate) fn steps(&self) -> Option<&[Step]> {
        match &self.way {
            Way::Steps(steps) => Some(steps),
            Way::Segments(_) => None,
        }
    }

    /// A singular path without its last step, and that step. None for the root.
    pub(crate) fn split_last(&self) -> Option<(Path, &Step)> {
        let (last, parents) = self.steps()?.split_last()?;
        let parents = Path {
            is_legacy: self.is_legacy,
            way: Way::Steps(parents.into()),
        };
        Some((parents, last))
    }
}

impl Way {
    fn to_root() -> Way {
        Way::Steps(Steps::new())
    }

    /// Makes the way one part longer.
    fn push(&mut self, segment: Segment) {
        match (&mut *self, segment) {
            (
                Way::Steps(steps),
                Segment {
                    descends: false,
                    selectors: Selectors::One(Selector::Step(step)),
                },
            ) => steps.push(step),
            (Way::Segments(segments), segment) => segments.push(segment),
            (Way::Steps(steps), segment) => {
                let before = steps
                    .drain(..)
                    .map(|step| Segment::child(Selector::Step(step)));
                *self = Way::Segments(before.chain([segment]).collect());
            }
        }
    }

    /// The same for a step, which most parts are.
    #[inline]
    fn push_step(&mut self, step: Step) {
        match self {
            Way::Steps(steps) => steps.push(step),
            Way::Segments(segments) => segments.push(Segment::child(Selector::Step(step))),
        }
    }
}

impl Segment {
    fn child(selector: Selector) -> Segment {
        Segment {
            descends: false,
            selectors: Selectors::One(selector),
        }
    }

    fn selectors(&self) -> &[Selector] {
        match &self.selectors {
            Selectors::One(selector) => std::slice::from_ref(selector),
            Selectors::Several(selectors) => selectors,
        }
    }
}
