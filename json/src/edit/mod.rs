//! Changing a document: the old one stays, a new one is made.
//!
//! An edit first finds where the values stand that a path means: their trails. At each stands a
//! [`Change`], which a verb decided on by looking at the value ([`verb`]). A packed document is
//! then written anew in one pass ([`rewrite`]): what no trail leads through is copied as it is. Of
//! a large one only the parts on the trails are made anew ([`share`]); the new version shares all
//! others with the old. A set at a path of names and indexes, the most common edit, does
//! both in one descent ([`one`]).
//!
//! Some habits of RedisJSON are kept because its clients can see them. A deleted member's place is
//! taken by the object's last member. Where the order of changes shows, it is RedisJSON's
//! ([`order`]). And an edit of several values that fails at one of them keeps what it did before.

use smallvec::SmallVec;

use crate::DEPTH_MAX;
use crate::document::{Document, DocumentRef, LargeDocument, PACKED_BYTES_MAX};
use crate::error::{EditError, TooLarge};
use crate::path::{Path, Step, Trail};
use crate::value::{Value, View};

mod array;
mod merge;
mod one;
mod order;
mod rewrite;
mod scalar;
mod share;
mod verb;

pub(crate) use one::Splice;
pub use scalar::Arithmetic;
pub use verb::Edit;

/// Documents stay below this size, so that each can be packed.
const BYTES_MAX: usize = 1 << 30;

/// What a set left that changed little.
#[derive(Debug)]
pub enum Spliced<'a> {
    /// A small document: its packed form begins with what stands in the [`Head`] and ends with
    /// this, which is how the old one ends.
    Packed(&'a [u8]),
    Large(LargeDocument),
}

/// Room for how a packed document begins that goes on as another does.
#[derive(Debug)]
pub struct Head {
    short: [u8; Head::SHORT_BYTES_MAX],
    /// In the place of `short`, if it is longer.
    long: Vec<u8>,
    length: usize,
}

impl Head {
    const SHORT_BYTES_MAX: usize = 128;

    /// Room, with nothing in it.
    #[inline]
    pub fn new() -> Head {
        Head {
            short: [0; Head::SHORT_BYTES_MAX],
            long: Vec::new(),
            length: 0,
        }
    }

    /// What stands there.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        match self.long.is_empty() {
            true => &self.short[..self.length],
            false => &self.long,
        }
    }

    /// Room for so many bytes, to be written over.
    #[inline]
    fn room(&mut self, length: usize) -> &mut [u8] {
        self.length = length;
        if length <= Head::SHORT_BYTES_MAX {
            self.long.clear();
            return &mut self.short[..length];
        }
        self.long.resize(length, 0);
        &mut self.long
    }
}

impl Default for Head {
    fn default() -> Head {
        Head::new()
    }
}

/// What must be so for a set to take place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// Nothing.
    #[default]
    Always,
    /// The path means no value yet: NX.
    IfMissing,
    /// The path means a value: XX.
    IfPresent,
}

/// What a deletion did.
#[derive(Debug)]
pub struct Deletion {
    /// How many values it took away, those inside others not counted.
    pub count: usize,
    /// What is left.
    pub rest: Rest,
}

/// What a deletion leaves.
#[derive(Debug)]
pub enum Rest {
    /// The document as it was.
    Same,
    /// A smaller one.
    Changed(Document),
    /// Nothing, or an empty container.
    Nothing,
}

impl<'a> DocumentRef<'a> {
    /// The document with `value` in place of everything `path` means. Where it means nothing and
    /// ends in a name, an existing parent object gets a new member.
    ///
    /// None when `condition` does not hold or nothing could be set.
    pub fn set(
        self,
        path: &Path,
        value: DocumentRef<'_>,
        condition: Condition,
    ) -> Result<Option<Document>, EditError> {
        if path.is_root() {
            return Ok((condition != Condition::IfMissing).then(|| value.to_document()));
        }
        if condition != Condition::IfMissing
            && let Some(document) = self.replace(path, value)?
        {
            return Ok(Some(document));
        }
        if condition == Condition::IfPresent {
            return Ok(None);
        }
        self.create(path, value)
    }

    /// The document with `value` in place of everything `path` means, None where that is nothing.
    fn replace(self, path: &Path, value: DocumentRef<'_>) -> Result<Option<Document>, EditError> {
        let change = Change::Replace(value.root());
        if let Some(steps) = path.steps()
            && change.fits_below(steps.len())
            && self.has_room_for(change.added_bytes())
        {
            return Ok(self.replace_one(steps, value.root())?);
        }
        let mut trails = trails(path, self)?;
        if trails.is_empty() {
            return Ok(None);
        }
        keep_outermost(&mut trails);
        trails.dedup();
        self.put(trails, change).map(Some)
    }

    /// The same for a path that can mean one value at most, and a value that fits.
    fn replace_one(self, steps: &[Step], value: Value<'_>) -> Result<Option<Document>, TooLarge> {
        Ok(match self {
            DocumentRef::Packed(bytes) => {
                one::rewritten(bytes, steps, value)?.map(Document::from_packed_vec)
            }
            DocumentRef::Large(large) => {
                one::replaced(large.root(), steps, value)?.map(Document::of_piece)
            }
        })
    }

    /// What [`DocumentRef::set`] makes of a document when `value` takes the place of one and little
    /// else changes. None: `set` finds out.
    #[inline]
    pub fn splice(
        self,
        path: &Path,
        value: DocumentRef<'_>,
        head: &mut Head,
    ) -> Option<Spliced<'a>> {
        let (steps, DocumentRef::Packed(new)) = (path.steps()?, value) else {
            return None;
        };
        let (step, rest) = steps.split_first()?;
        let depth_max = DEPTH_MAX.checked_sub(steps.len())?;
        // A level takes a byte.
        if new.len() > depth_max && !value.root().nests_at_most(depth_max) {
            return None;
        }
        match self {
            DocumentRef::Packed(bytes) if bytes.len() + new.len() > PACKED_BYTES_MAX => None,
            DocumentRef::Packed(bytes) => {
                one::spliced(bytes, steps, new, head).map(Spliced::Packed)
            }
            DocumentRef::Large(large) if self.has_room_for(new.len()) => {
                let node = one::spliced_in_node(large.root(), step, rest, new)?;
                LargeDocument::of_node(node).map(Spliced::Large)
            }
            DocumentRef::Large(_) => None,
        }
    }

    /// Whether the document may grow by so many bytes.
    fn has_room_for(self, added: usize) -> bool {
        self.memory_bytes().saturating_add(added) <= BYTES_MAX
    }

    /// The document with `value` as the new member that `path` ends in; None where no object can
    /// have it.
    fn create(self, path: &Path, value: DocumentRef<'_>) -> Result<Option<Document>, EditError> {
        if !path.is_singular() {
            return Err(EditError::NotSingular);
        }
        let (parent, last) = path.split_last().expect("the path is not the root's");
        match last {
            Step::Name(name) => self.add_member(&parent, name, value),
            _ if path.first(self.root())?.is_none() => Err(EditError::IndexOutOfRange),
            _ => Ok(None),
        }
    }

    /// The document without the values that `path` means.
    pub fn delete(self, path: &Path) -> Result<Deletion, EditError> {
        if path.is_root() {
            let rest = Rest::Nothing;
            return Ok(Deletion { count: 1, rest });
        }
        let mut trails = trails(path, self)?;
        if trails.is_empty() {
            let rest = Rest::Same;
            return Ok(Deletion { count: 0, rest });
        }
        keep_outermost(&mut trails);
        let (document, count) = self.edited(&sites(trails, Change::Delete))?;
        let is_empty = match document.root().view() {
            View::Array(array) => array.is_empty(),
            View::Object(object) => object.is_empty(),
            _ => false,
        };
        Ok(Deletion {
            count,
            rest: match is_empty {
                true => Rest::Nothing,
                false => Rest::Changed(document),
            },
        })
    }

    /// The document with a new member in the object at `parent`; None where there is no object or
    /// where it has such a member.
    fn add_member(
        self,
        parent: &Path,
        name: &str,
        value: DocumentRef<'_>,
    ) -> Result<Option<Document>, EditError> {
        let Some(View::Object(object)) = parent.first(self.root())?.map(Value::view) else {
            return Ok(None);
        };
        if object.get(name).is_some() {
            return Ok(None);
        }
        let trails = trails(parent, self)?;
        let value = value.root();
        self.put(trails, Change::AddMember { name, value })
            .map(Some)
    }

    /// The document with the same change wherever `trails` lead; they are sorted and differ.
    fn put(self, trails: Trails, change: Change<'_>) -> Result<Document, EditError> {
        let deepest = trails.iter().map(|trail| trail.len()).max().unwrap_or(0);
        if !change.fits_below(deepest) {
            return Err(EditError::TooDeep);
        }
        Ok(self.edited(&sites(trails, change))?.0)
    }

    /// The document after the changes at `sites`, and how many values were deleted. The sites are
    /// sorted by their trails, of which none leads through another's end, and there is one at
    /// least.
    fn edited(self, sites: &[Site<'_>]) -> Result<(Document, usize), TooLarge> {
        let added = sites.iter().map(|site| site.change.added_bytes());
        if !self.has_room_for(added.fold(0, usize::saturating_add)) {
            return Err(TooLarge);
        }
        match self {
            DocumentRef::Packed(bytes) => {
                let (bytes, deleted) = rewrite::rewrite(bytes, sites, 0)?;
                Ok((Document::from_packed_vec(bytes), deleted))
            }
            DocumentRef::Large(large) => {
                let (piece, deleted) = share::share(large.root(), sites, 0)?;
                Ok((Document::of_piece(piece), deleted))
            }
        }
    }
}

/// Where values stand: mostly one.
type Trails = SmallVec<[Trail; 1]>;

/// Where the values stand that `path` means.
fn trails(path: &Path, document: DocumentRef<'_>) -> Result<Trails, EditError> {
    if path.is_singular() {
        let found = path.locate_one(document.root());
        return Ok(found.map(|(trail, _)| trail).into_iter().collect());
    }
    let matches = path.locate(document.root())?;
    Ok(matches.into_iter().map(|(trail, _)| trail).collect())
}

fn sites<'v>(trails: Trails, change: Change<'v>) -> SmallVec<[Site<'v>; 1]> {
    let site = |trail| Site {
        trail,
        change: change.clone(),
    };
    trails.into_iter().map(site).collect()
}

/// Sorts trails and drops those that lead into values to which others lead.
fn keep_outermost(trails: &mut Trails) {
    trails.sort_unstable();
    let mut kept: usize = 0;
    for index in 0..trails.len() {
        let lies_inside = kept.checked_sub(1).is_some_and(|last| {
            let (inner, outer) = (&trails[index], &trails[last]);
            inner.len() > outer.len() && inner.starts_with(outer)
        });
        if !lies_inside {
            trails.swap(kept, index);
            kept += 1;
        }
    }
    trails.truncate(kept);
}

/// A place and what happens there.
#[derive(Clone, Debug)]
struct Site<'v> {
    trail: Trail,
    change: Change<'v>,
}

/// What happens where a trail ends.
#[derive(Clone, Debug)]
enum Change<'v> {
    /// Another value takes the place.
    Replace(Value<'v>),
    /// So does one that the edit made, in its packed form.
    Put(Vec<u8>),
    /// An object gets a member.
    AddMember { name: &'v str, value: Value<'v> },
    /// An array loses `removed` elements from `at` on and gets others there.
    Splice {
        at: usize,
        removed: usize,
        inserted: &'v [Document],
    },
    /// An array keeps the elements from the first place to before the second.
    Keep(usize, usize),
    /// A merge patch is applied (RFC 7396).
    Merge(Value<'v>),
    /// The value goes, with its name. The only change that may stand at one place more than once.
    Delete,
}

impl Change<'_> {
    /// About how many bytes it adds.
    fn added_bytes(&self) -> usize {
        match self {
            Change::Replace(value) | Change::Merge(value) => value.extent(),
            Change::Put(bytes) => bytes.len(),
            Change::AddMember { name, value } => name.len() + value.extent(),
            Change::Splice { inserted, .. } => inserted.iter().map(Document::memory_bytes).sum(),
            Change::Keep(..) | Change::Delete => 0,
        }
    }

    /// Whether what it adds does not nest too deep, `depth` steps down.
    fn fits_below(&self, depth: usize) -> bool {
        let levels = DEPTH_MAX.saturating_sub(depth);
        match self {
            Change::Replace(value) | Change::Merge(value) => value.nests_at_most(levels),
            Change::AddMember { value, .. } => value.nests_at_most(levels.saturating_sub(1)),
            Change::Splice { inserted, .. } => inserted
                .iter()
                .all(|value| value.root().nests_at_most(levels.saturating_sub(1))),
            Change::Put(_) | Change::Keep(..) | Change::Delete => true,
        }
    }
}

/// The sites among `sites` whose trails lead through the child at `place`; sorted, they stand
/// together.
fn through<'s, 'v>(sites: &'s [Site<'v>], depth: usize, place: usize) -> &'s [Site<'v>] {
    let from = sites.partition_point(|site| (site.trail[depth] as usize) < place);
    let to = sites.partition_point(|site| site.trail[depth] as usize <= place);
    &sites[from..to]
}
