//! Arrays that get and lose elements, and the search for one.

use crate::document::{Document, DocumentRef};
use crate::error::EditError;
use crate::path::Path;
use crate::value::{Array, Value, View};

use super::Change;
use super::verb::{self, Edit, Order, Verb};

impl DocumentRef<'_> {
    /// Appends values to every array that `path` means; answers their lengths.
    pub fn append(self, path: &Path, values: &[Document]) -> Result<Edit<usize>, EditError> {
        verb::edit(self, path, &Append { values })
    }

    /// Inserts values before the element at `index`, which counts from the end when negative,
    /// into every array that `path` means; answers their lengths. Fails at the first array that
    /// has no such place.
    pub fn insert(
        self,
        path: &Path,
        index: i64,
        values: &[Document],
    ) -> Result<Edit<usize>, EditError> {
        verb::edit(self, path, &Insert { index, values })
    }

    /// Takes the element at `index`, or the one nearest to it, out of every array that `path`
    /// means; answers the elements, None where the array is empty.
    pub fn pop(self, path: &Path, index: i64) -> Result<Edit<Option<Document>>, EditError> {
        verb::edit(self, path, &Pop { index })
    }

    /// Keeps only the elements from `start` to `stop`, both included, in every array that `path`
    /// means; answers their lengths. Places count from the end when negative.
    pub fn trim(self, path: &Path, start: i64, stop: i64) -> Result<Edit<usize>, EditError> {
        verb::edit(self, path, &Trim { start, stop })
    }
}

impl Array<'_> {
    /// The first place of a value between `start` and before `stop`; they count from the end when
    /// negative, and a `stop` of 0 stands for the end.
    ///
    /// Integers and floats differ here; members may stand in any order.
    pub fn position(self, wanted: Value<'_>, start: i64, stop: i64) -> Option<usize> {
        let len = self.len();
        let start = nearest(start, len);
        let stop = match stop {
            0 => len,
            1.. => usize::try_from(stop).unwrap_or(usize::MAX).min(len),
            _ => from_end(stop, len).unwrap_or(0),
        };
        let range = self.iter_from(start).take(stop.saturating_sub(start));
        let mut places = (start..).zip(range);
        let found = places.find(|(_, element)| is_same(*element, wanted));
        found.map(|(place, _)| place)
    }
}

fn is_same(left: Value<'_>, right: Value<'_>) -> bool {
    match (left.view(), right.view()) {
        (View::Null, View::Null) => true,
        (View::Bool(left), View::Bool(right)) => left == right,
        (View::Number(left), View::Number(right)) => left == right,
        (View::String(left), View::String(right)) => left == right,
        (View::Array(left), View::Array(right)) => {
            left.len() == right.len()
                && (left.iter().zip(right.iter())).all(|(left, right)| is_same(left, right))
        }
        (View::Object(left), View::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(name, left)| {
                    let right = right.get(name);
                    right.is_some_and(|right| is_same(left, right))
                })
        }
        _ => false,
    }
}

fn is_array(value: Value<'_>) -> bool {
    matches!(value.view(), View::Array(_))
}

fn array(value: Option<Value<'_>>) -> Result<Array<'_>, EditError> {
    match value.map(Value::view) {
        Some(View::Array(array)) => Ok(array),
        _ => Err(EditError::Gone),
    }
}

struct Append<'v> {
    values: &'v [Document],
}

impl<'v> Verb<'v> for Append<'v> {
    type Answer = usize;

    const ORDER: Order = Order::Found;

    fn is_for(&self, value: Value<'_>) -> bool {
        is_array(value)
    }

    fn decide(&self, value: Option<Value<'_>>) -> Result<(Option<Change<'v>>, usize), EditError> {
        let len = array(value)?.len();
        Ok(inserted(len, len, self.values))
    }
}

/// What inserting `values` at `at` is to an array of `len` elements.
fn inserted<'v>(len: usize, at: usize, values: &'v [Document]) -> (Option<Change<'v>>, usize) {
    let change = Change::Splice {
        at,
        removed: 0,
        inserted: values,
    };
    (Some(change), len + values.len())
}

struct Insert<'v> {
    index: i64,
    values: &'v [Document],
}

impl<'v> Verb<'v> for Insert<'v> {
    type Answer = usize;

    const ORDER: Order = Order::InsideOut;

    fn is_for(&self, value: Value<'_>) -> bool {
        is_array(value)
    }

    fn decide(&self, value: Option<Value<'_>>) -> Result<(Option<Change<'v>>, usize), EditError> {
        let len = array(value)?.len();
        let at = match self.index {
            0.. => usize::try_from(self.index).ok(),
            _ => from_end(self.index, len),
        };
        let at = at.filter(|&at| at <= len).ok_or(EditError::NoSuchPlace)?;
        Ok(inserted(len, at, self.values))
    }
}

/// The place that a negative index means.
fn from_end(index: i64, len: usize) -> Option<usize> {
    len.checked_sub(usize::try_from(index.unsigned_abs()).ok()?)
}

struct Pop {
    index: i64,
}

impl<'v> Verb<'v> for Pop {
    type Answer = Option<Document>;

    const ORDER: Order = Order::InsideOut;

    fn is_for(&self, value: Value<'_>) -> bool {
        is_array(value)
    }

    fn decide(
        &self,
        value: Option<Value<'_>>,
    ) -> Result<(Option<Change<'v>>, Option<Document>), EditError> {
        let array = array(value)?;
        let at = nearest(self.index, array.len());
        let Some(element) = array.get(at) else {
            return Ok((None, None));
        };
        let change = Change::Splice {
            at,
            removed: 1,
            inserted: &[],
        };
        Ok((Some(change), Some(element.to_document())))
    }
}

/// The place nearest to what an index means that an array of `len` elements has; 0 if it has none.
fn nearest(index: i64, len: usize) -> usize {
    match index {
        0.. => usize::try_from(index)
            .unwrap_or(usize::MAX)
            .min(len.saturating_sub(1)),
        _ => from_end(index, len).unwrap_or(0),
    }
}

struct Trim {
    start: i64,
    stop: i64,
}

impl<'v> Verb<'v> for Trim {
    type Answer = usize;

    const ORDER: Order = Order::InsideOut;

    fn is_for(&self, value: Value<'_>) -> bool {
        is_array(value)
    }

    fn decide(&self, value: Option<Value<'_>>) -> Result<(Option<Change<'v>>, usize), EditError> {
        let len = array(value)?.len();
        let starts_behind = usize::try_from(self.start).is_ok_and(|start| start >= len);
        let (start, stop) = (nearest(self.start, len), nearest(self.stop, len));
        let (start, end) = match starts_behind || start > stop {
            true => (0, 0),
            false => (start, stop + 1),
        };
        if (start, end) == (0, len) || len == 0 {
            return Ok((None, len));
        }
        Ok((Some(Change::Keep(start, end)), end - start))
    }
}
