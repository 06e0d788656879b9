//! Edits that look at each value and decide what becomes of it.
//!
//! Most paths mean values none of which lies in another: then every decision is made on the
//! document as it was, and all changes take place in one pass. Otherwise they take place one after
//! the other, each decided on what the ones before have left.

use crate::document::{Document, DocumentRef};
use crate::error::EditError;
use crate::path::{Path, Trail};
use crate::value::Value;

use super::order::{self, Way};
use super::{Change, Site};

/// What an edit of the values that a path means did.
#[derive(Debug)]
pub struct Edit<A> {
    /// The document after it. None: nothing changed.
    pub document: Option<Document>,
    /// For each value the path means, in its order: what came of it; None where the edit is not
    /// for values of that type.
    pub answers: Vec<Option<A>>,
    /// Which value was changed last.
    pub last: Option<usize>,
    /// Why the edit ended early. What it did before stands.
    pub failure: Option<EditError>,
}

/// In which order values are changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// As the path finds them.
    Found,
    /// [From the inside out](order).
    InsideOut,
}

/// What an edit does with one value.
pub(super) trait Verb<'v> {
    /// What came of it.
    type Answer;

    const ORDER: Order;

    /// Whether it is for such a value.
    fn is_for(&self, value: Value<'_>) -> bool;

    /// What happens to a value, if anything, and the answer. None stands for a value that went
    /// away because of a change before.
    fn decide(
        &self,
        value: Option<Value<'_>>,
    ) -> Result<(Option<Change<'v>>, Self::Answer), EditError>;
}

/// Applies a verb to all that `path` means.
pub(super) fn edit<'v, V: Verb<'v>>(
    document: DocumentRef<'_>,
    path: &Path,
    verb: &V,
) -> Result<Edit<V::Answer>, EditError> {
    let root = document.root();
    let matches = path.locate(root)?;
    let mut edit = Edit {
        document: None,
        answers: matches.iter().map(|_| None).collect(),
        last: None,
        failure: None,
    };
    let mut turns: Vec<usize> = (0..matches.len())
        .filter(|&index| verb.is_for(matches[index].1))
        .collect();
    let mut ways: Vec<Way<'_>> = Vec::new();
    let are_apart = are_apart(turns.iter().map(|&index| &matches[index].0));
    if turns.len() > 1 && (V::ORDER == Order::InsideOut || !are_apart) {
        ways = matches
            .iter()
            .map(|(trail, _)| order::way(root, trail))
            .collect();
        if V::ORDER == Order::InsideOut {
            turns.sort_by(|&left, &right| order::inside_out(&ways[left], &ways[right]));
        }
    }
    match are_apart {
        true => at_once(document, &matches, &turns, verb, &mut edit)?,
        false => one_by_one(document, &ways, &turns, verb, &mut edit)?,
    }
    Ok(edit)
}

/// Whether no trail leads to or through the end of another.
fn are_apart<'t>(trails: impl Iterator<Item = &'t Trail>) -> bool {
    let mut trails: Vec<&Trail> = trails.collect();
    trails.sort_unstable();
    // Sorted, the first that goes through an end stands right behind it.
    trails.windows(2).all(|pair| !pair[1].starts_with(pair[0]))
}

fn at_once<'v, V: Verb<'v>>(
    document: DocumentRef<'_>,
    matches: &[(Trail, Value<'_>)],
    turns: &[usize],
    verb: &V,
    edit: &mut Edit<V::Answer>,
) -> Result<(), EditError> {
    let mut sites = Vec::with_capacity(turns.len());
    let mut fits_to = None;
    for &index in turns {
        let (trail, value) = &matches[index];
        let decided = verb.decide(Some(*value));
        let Some(change) = edit.note(index, decided, trail.len(), &mut fits_to) else {
            break;
        };
        let trail = trail.clone();
        sites.extend(change.map(|change| Site { trail, change }));
    }
    sites.sort_unstable_by(|left, right| left.trail.cmp(&right.trail));
    if !sites.is_empty() {
        edit.document = Some(document.edited(&sites)?.0);
    }
    Ok(())
}

fn one_by_one<'v, V: Verb<'v>>(
    document: DocumentRef<'_>,
    ways: &[Way<'_>],
    turns: &[usize],
    verb: &V,
    edit: &mut Edit<V::Answer>,
) -> Result<(), EditError> {
    let mut fits_to = None;
    for &index in turns {
        let current = edit.document.as_ref().map_or(document, Document::borrow);
        let place = order::follow(current.root(), &ways[index]);
        let decided = verb.decide(place.as_ref().map(|(_, value)| *value));
        let (trail, depth) = match place {
            Some((trail, _)) => (Some(trail.clone()), trail.len()),
            None => (None, 0),
        };
        let next = match edit.note(index, decided, depth, &mut fits_to) {
            None => break,
            Some(change) => change.zip(trail).map(|(change, trail)| {
                let current = edit.document.as_ref().map_or(document, Document::borrow);
                current.edited(&[Site { trail, change }])
            }),
        };
        if let Some(next) = next {
            edit.document = Some(next?.0);
        }
    }
    Ok(())
}

impl<A> Edit<A> {
    /// Notes what was decided on a value, `depth` steps down; None if the edit ends here. All
    /// changes of an edit add the same: where it fits, it fits at `fits_to` steps.
    fn note<'v>(
        &mut self,
        index: usize,
        decided: Result<(Option<Change<'v>>, A), EditError>,
        depth: usize,
        fits_to: &mut Option<usize>,
    ) -> Option<Option<Change<'v>>> {
        let (change, answer) = match decided {
            Ok(decided) => decided,
            Err(failure) => {
                self.failure = Some(failure);
                return None;
            }
        };
        if let Some(change) = &change
            && fits_to.is_none_or(|fine| fine < depth)
        {
            if !change.fits_below(depth) {
                self.failure = Some(EditError::TooDeep);
                return None;
            }
            *fits_to = Some(depth);
        }
        self.answers[index] = Some(answer);
        self.last = Some(index);
        Some(change)
    }
}
