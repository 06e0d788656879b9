//! The children of one large container: a counted tree of leaves that versions share.
//!
//! ```text
//!            [ 310 children | 295 | 307 ]            branches: how many children lie below each
//!             /        |        \
//!        [12|9|…]   [11|13|…]   [8|10|…]
//!         /  \
//!   [ child child link child … ] -> nodes            leaves: children one after the other, packed
//! ```
//!
//! A leaf holds children in the packed form, an object's with their names. A child that is large
//! itself stands there as a link, numbered in order of appearance, to a node of its own. So a
//! change copies one leaf and the branches above it, each about a kilobyte, and shares everything
//! else with the version before.
//!
//! Links weigh more than their three bytes, for a copied leaf counts one more reference to each of
//! its nodes, which touches the node's memory.

use std::ops::Deref;
use std::sync::Arc;

use smallvec::{SmallVec, smallvec};

use crate::edit::Splice;
use crate::node::{LINK_BYTES_MIN, Node, Piece};
use crate::packed::{self, Container};
use crate::path::Step;
use crate::value::{Front, Value};

/// Leaves heavier than this are cut.
const LEAF_WEIGHT_MAX: usize = 1024;
/// Leaves are filled up to this weight when a whole tree is made, which leaves room to grow.
const LEAF_WEIGHT_BUILT: usize = 960;
/// Neighbours that weigh less together become one leaf.
const LEAF_WEIGHT_MERGED: usize = 512;
/// A branch has at most so many branches or leaves below it.
const FANOUT: usize = 16;
/// A leaf's weight is its bytes and this much for each link.
const LINK_WEIGHT: usize = 60;
/// About what a leaf or branch takes beside its bytes: counters, pointers, the entry above it.
const BRANCH_OVERHEAD_BYTES: usize = 96;

/// An ordered collection of children, cheap to change in a new version.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    container: Container,
    root: Child,
}

/// A subtree and what lies in it.
#[derive(Clone, Debug)]
struct Child {
    branch: Arc<Branch>,
    /// Children of the container in this subtree.
    len: usize,
    /// Bytes of this subtree with all that its links lead to.
    extent: usize,
}

#[derive(Debug)]
enum Branch {
    Leaf(Leaf),
    /// Invariant: one to [`FANOUT`] subtrees, all of one height, none empty.
    Inner(Box<[Child]>),
}

/// Some children, one after the other.
#[derive(Debug, Default)]
struct Leaf {
    /// How many children there are.
    len: usize,
    bytes: Box<[u8]>,
    links: Links,
}

/// The nodes to which a leaf's links lead; versions in which these are the same share them.
///
/// Invariant: the nth link in the leaf's bytes has the number n and leads to the nth node.
#[derive(Clone, Debug, Default)]
struct Links(Option<Arc<[Arc<Node>]>>);

impl Deref for Links {
    type Target = [Arc<Node>];

    fn deref(&self) -> &[Arc<Node>] {
        self.0.as_deref().unwrap_or_default()
    }
}

impl From<Vec<Arc<Node>>> for Links {
    fn from(nodes: Vec<Arc<Node>>) -> Links {
        Links((!nodes.is_empty()).then(|| nodes.into()))
    }
}

/// A child with its name (empty in arrays).
pub(crate) type Named<'a> = (&'a [u8], Value<'a>);

impl Tree {
    /// The tree of the children in `body`, the packed form of a container without its header.
    pub(crate) fn build(container: Container, body: &[u8]) -> Tree {
        let mut leaves = Vec::new();
        let mut leaf = Draft::default();
        let mut rest = body;
        while !rest.is_empty() {
            let value = match container {
                Container::Array => rest,
                Container::Object => packed::split_name(rest).1,
            };
            let name = &rest[..rest.len() - value.len()];
            let (value, after) = packed::split(value);
            leaf.push(name, Piece::of_packed(value));
            if leaf.weight() > LEAF_WEIGHT_BUILT {
                leaves.push(std::mem::take(&mut leaf).finish());
            }
            rest = after;
        }
        if leaves.is_empty() || !leaf.bytes.is_empty() {
            leaves.push(leaf.finish());
        }
        Tree {
            container,
            root: Child::over(leaves),
        }
    }

    /// How many children there are.
    pub(crate) fn len(&self) -> usize {
        self.root.len
    }

    /// About how many bytes all of it takes.
    pub(crate) fn extent(&self) -> usize {
        self.root.extent
    }

    /// Whether all children stand in one leaf, so that a search is short.
    pub(crate) fn is_one_leaf(&self) -> bool {
        matches!(*self.root.branch, Branch::Leaf(_))
    }

    /// The child at `place`.
    pub(crate) fn get(&self, place: usize) -> Option<Named<'_>> {
        if place >= self.len() {
            return None;
        }
        let (mut branch, mut place) = (&*self.root.branch, place);
        loop {
            match branch {
                Branch::Leaf(leaf) => return Some(leaf.get(self.container, place)),
                Branch::Inner(children) => {
                    branch = &children[descend(children, &mut place)].branch;
                }
            }
        }
    }

    /// The place and the value of the member called `name` of an object that is one leaf.
    pub(crate) fn find_in_one_leaf(&self, name: &[u8]) -> Option<(usize, Value<'_>)> {
        let Branch::Leaf(leaf) = &*self.root.branch else {
            unreachable!("larger objects have an index");
        };
        let (place, value_from) = packed::find_member(&leaf.bytes, name)?;
        Some((place, leaf.value_at(value_from)))
    }

    /// The children in order.
    pub(crate) fn iter(&self) -> Iter<'_> {
        self.iter_from(0)
    }

    /// The children from `place` on.
    pub(crate) fn iter_from(&self, place: usize) -> Iter<'_> {
        let mut iter = Iter::packed(self.container, &[]);
        if place >= self.len() {
            return iter;
        }
        let (mut branch, mut place) = (&*self.root.branch, place);
        loop {
            match branch {
                Branch::Leaf(leaf) => {
                    (iter.rest, iter.links) = (&leaf.bytes, &leaf.links);
                    for _ in 0..place {
                        iter.next_packed();
                    }
                    return iter;
                }
                Branch::Inner(children) => {
                    let below = descend(children, &mut place);
                    iter.waiting.push(children[below + 1..].iter());
                    branch = &children[below].branch;
                }
            }
        }
    }

    /// The tree with another value at `place`.
    pub(crate) fn replaced(&self, place: usize, value: Piece) -> Tree {
        self.edited(place, Change::Replace(value))
    }

    /// The tree with another child at `place`, whose name is a packed string.
    pub(crate) fn exchanged(&self, place: usize, name: &[u8], value: Piece) -> Tree {
        self.edited(place, Change::Exchange(name, value))
    }

    /// The tree without the child at `place`.
    pub(crate) fn removed(&self, place: usize) -> Tree {
        self.edited(place, Change::Remove)
    }

    /// The tree with one more child at its end, whose name is a packed string.
    pub(crate) fn appended(&self, name: &[u8], value: Piece) -> Tree {
        self.edited(self.len(), Change::Insert(name, value))
    }

    /// The tree with one more child, without a name, in front of the one at `place`.
    pub(crate) fn inserted(&self, place: usize, value: Piece) -> Tree {
        self.edited(place, Change::Insert(&[], value))
    }

    /// The tree with the packed value `new` where `steps` lead from the child at `place`, if that
    /// can be done in one leaf.
    pub(crate) fn spliced(&self, place: usize, steps: &[Step], new: &[u8]) -> Option<Tree> {
        if place >= self.len() {
            return None;
        }
        let subtrees = self.root.spliced(self.container, place, (steps, new))?;
        Some(self.of_subtrees(subtrees))
    }

    /// The same from the member called `name` of an object that is one leaf.
    pub(crate) fn spliced_in_one_leaf(
        &self,
        name: &[u8],
        steps: &[Step],
        new: &[u8],
    ) -> Option<Tree> {
        let Branch::Leaf(leaf) = &*self.root.branch else {
            unreachable!("larger objects have an index");
        };
        let (_, value_from) = packed::find_member(&leaf.bytes, name)?;
        Some(Tree {
            container: self.container,
            root: leaf.spliced(value_from, (steps, new), self.root.extent)?,
        })
    }

    fn edited(&self, place: usize, change: Change<'_>) -> Tree {
        self.of_subtrees(self.root.branch.edited(self.container, place, change))
    }

    /// The tree of what an edit made of the root.
    fn of_subtrees(&self, mut subtrees: Subtrees) -> Tree {
        let mut root = match (subtrees.len(), subtrees.pop()) {
            (_, None) => Draft::default().finish(),
            (1, Some(only)) => only,
            (_, Some(last)) => {
                subtrees.push(last);
                Child::over(subtrees.into_vec())
            }
        };
        while let Branch::Inner(children) = &*root.branch
            && let [only] = &children[..]
        {
            root = only.clone();
        }
        Tree {
            container: self.container,
            root,
        }
    }
}

/// The subtree in which `place` lies; `place` becomes that within it. A place behind the last child
/// lies in the last subtree.
fn descend(children: &[Child], place: &mut usize) -> usize {
    let last = children.len() - 1;
    for (index, child) in children[..last].iter().enumerate() {
        if *place < child.len {
            return index;
        }
        *place -= child.len;
    }
    last
}

/// The children of a container in order.
#[derive(Clone, Debug)]
pub(crate) struct Iter<'a> {
    container: Container,
    /// The subtrees not yet entered, per level.
    waiting: SmallVec<[std::slice::Iter<'a, Child>; 4]>,
    rest: &'a [u8],
    links: &'a [Arc<Node>],
}

impl<'a> Iter<'a> {
    /// The children of a container whose packed form, without its header, is `body`.
    #[inline]
    pub(crate) fn packed(container: Container, body: &'a [u8]) -> Iter<'a> {
        Iter {
            container,
            waiting: SmallVec::new(),
            rest: body,
            links: &[],
        }
    }

    /// Where the next child begins.
    #[inline]
    pub(crate) fn next_front(&mut self) -> Option<Front<'a>> {
        let (_, bytes) = self.next_packed()?;
        Some(match packed::link_number(bytes) {
            None => Front::Packed(bytes),
            Some(number) => Front::of(self.links[number].value()),
        })
    }

    /// The name of the next child, and what begins with its packed form.
    #[inline(always)] // What is passed on through memory is waited for.
    fn next_packed(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        if self.rest.is_empty() {
            self.enter_next_leaf()?;
        }
        let (name, bytes) = match self.container {
            Container::Array => (&[][..], self.rest),
            Container::Object => packed::split_name(self.rest),
        };
        self.rest = &bytes[packed::length(bytes)..];
        Some((name, bytes))
    }

    /// Goes on to the next leaf in which there are children.
    #[cold]
    fn enter_next_leaf(&mut self) -> Option<()> {
        while self.rest.is_empty() {
            match self.waiting.last_mut()?.next() {
                None => drop(self.waiting.pop()),
                Some(child) => match &*child.branch {
                    Branch::Leaf(leaf) => (self.rest, self.links) = (&leaf.bytes, &leaf.links),
                    Branch::Inner(children) => self.waiting.push(children.iter()),
                },
            }
        }
        Some(())
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = Named<'a>;

    #[inline]
    fn next(&mut self) -> Option<Named<'a>> {
        let (name, bytes) = self.next_packed()?;
        Some((name, resolved(bytes, self.links)))
    }
}

/// The value at the front of `bytes`, or the one that a link there leads to.
#[inline]
fn resolved<'a>(bytes: &'a [u8], links: &'a [Arc<Node>]) -> Value<'a> {
    match packed::link_number(bytes) {
        None => Value::packed(packed::split(bytes).0),
        Some(number) => links[number].value(),
    }
}

/// What happens at one place. Names are packed strings, empty in arrays.
enum Change<'c> {
    Replace(Piece),
    Exchange(&'c [u8], Piece),
    Insert(&'c [u8], Piece),
    Remove,
}

/// What a subtree becomes: nothing, one or two.
type Subtrees = SmallVec<[Child; 2]>;

impl Branch {
    fn edited(&self, container: Container, place: usize, change: Change<'_>) -> Subtrees {
        match self {
            Branch::Leaf(leaf) => leaf.edited(container, place, change),
            Branch::Inner(children) => {
                let mut place = place;
                let at = descend(children, &mut place);
                let new = children[at].branch.edited(container, place, change);
                Branch::replaced(children, at, new, container)
            }
        }
    }

    /// What becomes of a branch when others take the place of the subtree at `at`.
    fn replaced(children: &[Child], at: usize, new: Subtrees, container: Container) -> Subtrees {
        let mut all: Vec<Child> = Vec::with_capacity(children.len() - 1 + new.len());
        all.extend_from_slice(&children[..at]);
        all.extend(new);
        all.extend_from_slice(&children[at + 1..]);
        merge_around(&mut all, at, container);
        Branch::inner(all)
    }

    /// Subtrees of one height under one branch, or under two when they are too many.
    fn inner(children: Vec<Child>) -> Subtrees {
        if children.is_empty() {
            return Subtrees::new();
        }
        if children.len() <= FANOUT {
            return smallvec![Child::of_inner(children)];
        }
        let mut left = children;
        let right = left.split_off(left.len() / 2);
        smallvec![Child::of_inner(left), Child::of_inner(right)]
    }

    /// This branch and its right neighbour as one, if that is light enough.
    fn merged(&self, right: &Branch, container: Container) -> Option<Child> {
        match (self, right) {
            (Branch::Leaf(left), Branch::Leaf(right)) => {
                if left.weight() + right.weight() > LEAF_WEIGHT_MERGED {
                    return None;
                }
                let mut draft = Draft::from(left);
                draft.len += right.len;
                draft.bytes.extend_from_slice(&right.bytes);
                draft.links.extend_from_slice(&right.links);
                draft.renumber(container);
                Some(draft.finish())
            }
            (Branch::Inner(left), Branch::Inner(right)) => {
                let fits = left.len() + right.len() <= FANOUT / 2;
                fits.then(|| Child::of_inner([&left[..], &right[..]].concat()))
            }
            _ => unreachable!("neighbours have one height"),
        }
    }
}

/// Merges the subtree at `at` with a neighbour where both are light.
fn merge_around(children: &mut Vec<Child>, at: usize, container: Container) {
    for left in [at, at.wrapping_sub(1)] {
        if let Some([one, other]) = children.get(left..left.wrapping_add(2))
            && let Some(merged) = one.branch.merged(&other.branch, container)
        {
            children[left] = merged;
            children.remove(left + 1);
            return;
        }
    }
}

impl Child {
    /// As [`Tree::spliced`].
    fn spliced(
        &self,
        container: Container,
        place: usize,
        (steps, new): (&[Step], &[u8]),
    ) -> Option<Subtrees> {
        match &*self.branch {
            Branch::Leaf(leaf) => {
                let (from, _) = leaf.stand(container, place);
                let value_from = value_from(container, &leaf.bytes, from);
                let leaf = leaf.spliced(value_from, (steps, new), self.extent)?;
                Some(smallvec![leaf])
            }
            Branch::Inner(children) => {
                let mut place = place;
                let at = descend(children, &mut place);
                let new = children[at].spliced(container, place, (steps, new))?;
                Some(Branch::replaced(children, at, new, container))
            }
        }
    }

    fn of_inner(children: Vec<Child>) -> Child {
        Child {
            len: children.iter().map(|child| child.len).sum(),
            extent: children.iter().map(|child| child.extent).sum::<usize>()
                + BRANCH_OVERHEAD_BYTES,
            branch: Arc::new(Branch::Inner(children.into_boxed_slice())),
        }
    }

    /// One root over subtrees of one height, of which there is one at least.
    fn over(mut children: Vec<Child>) -> Child {
        while children.len() > 1 {
            // Equal shares, so that no branch is left with a single subtree.
            let branches = children.len().div_ceil(FANOUT);
            let share = children.len().div_ceil(branches);
            children = children
                .chunks(share)
                .map(|few| Child::of_inner(few.to_vec()))
                .collect();
        }
        children.pop().expect("there is a subtree")
    }
}

impl Leaf {
    fn weight(&self) -> usize {
        self.bytes.len() + LINK_WEIGHT * self.links.len()
    }

    /// The child at `place`; there must be one.
    fn get(&self, container: Container, place: usize) -> Named<'_> {
        let (from, _) = self.stand(container, place);
        let value_from = value_from(container, &self.bytes, from);
        let name = match container {
            Container::Array => &[][..],
            Container::Object => packed::split_name(&self.bytes[from..]).0,
        };
        (name, self.value_at(value_from))
    }

    /// The value that begins at `value_from`.
    fn value_at(&self, value_from: usize) -> Value<'_> {
        resolved(&self.bytes[value_from..], &self.links)
    }

    /// Where the child at `place` begins, and how many links stand before it.
    fn stand(&self, container: Container, place: usize) -> (usize, usize) {
        let (mut from, mut links_before) = (0, 0);
        for _ in 0..place {
            let value_from = value_from(container, &self.bytes, from);
            links_before += usize::from(packed::link_number(&self.bytes[value_from..]).is_some());
            from = value_from + packed::length(&self.bytes[value_from..]);
        }
        (from, links_before)
    }

    /// This leaf, whose extent is known, with the packed value `new` where `steps` lead from the
    /// value that begins at `value_from`. None: they lead elsewhere, or more is to be done.
    fn spliced(
        &self,
        value_from: usize,
        (steps, new): (&[Step], &[u8]),
        extent: usize,
    ) -> Option<Child> {
        let value = &self.bytes[value_from..];
        if packed::link_number(value).is_some() {
            return None;
        }
        let splice = Splice::find(value, steps)?;
        let old = splice.old();
        let added = new.len() as isize - old.len() as isize;
        if packed::length(value).checked_add_signed(added)? > LINK_BYTES_MIN
            || self.weight().checked_add_signed(added)? > LEAF_WEIGHT_MAX
        {
            return None;
        }
        let mut bytes = Vec::with_capacity(self.bytes.len().checked_add_signed(added)?);
        bytes.extend_from_slice(&self.bytes[..value_from + old.start]);
        bytes.extend_from_slice(new);
        if !splice.lengthen(&mut bytes[value_from..], added) {
            return None;
        }
        bytes.extend_from_slice(&value[old.end..]);
        Some(Child {
            len: self.len,
            extent: extent.checked_add_signed(added)?,
            branch: Arc::new(Branch::Leaf(Leaf {
                len: self.len,
                bytes: bytes.into_boxed_slice(),
                links: self.links.clone(),
            })),
        })
    }

    fn edited(&self, container: Container, place: usize, change: Change<'_>) -> Subtrees {
        // Where the child stands, where its value begins and ends, how many links come before.
        let (from, links_before) = self.stand(container, place);
        let (mut value_from, mut to, mut was_link) = (from, from, false);
        if !matches!(change, Change::Insert(..)) {
            value_from = self::value_from(container, &self.bytes, from);
            to = value_from + packed::length(&self.bytes[value_from..]);
            was_link = packed::link_number(&self.bytes[value_from..]).is_some();
        }
        let (replaced_from, name, value) = match change {
            Change::Replace(value) => (value_from, &[][..], Some(value)),
            Change::Exchange(name, value) | Change::Insert(name, value) => {
                (from, name, Some(value))
            }
            Change::Remove => (from, &[][..], None),
        };
        // Exactly what is needed, so that nothing is moved when the draft becomes a leaf.
        let (bytes, link) = value.as_ref().map_or((0, 0), Piece::taken);
        let bytes = name.len() + bytes + self.bytes.len() - (to - replaced_from);
        let links = self.links.len() + link - usize::from(was_link);
        let mut draft = Draft {
            len: 0,
            bytes: Vec::with_capacity(bytes),
            links: Vec::with_capacity(links),
        };
        draft.bytes.extend_from_slice(&self.bytes[..replaced_from]);
        draft.links.extend_from_slice(&self.links[..links_before]);
        if let Some(value) = value {
            draft.push(name, value);
        }
        draft.len += self.len - usize::from(to > from);
        let is_link = draft.links.len() > links_before;
        draft.bytes.extend_from_slice(&self.bytes[to..]);
        let links_after = links_before + usize::from(was_link);
        draft.links.extend_from_slice(&self.links[links_after..]);
        if was_link != is_link && links_after < self.links.len() {
            draft.renumber(container);
        }
        draft.cut(container)
    }
}

/// Where the value of the child begins that stands at `from`.
fn value_from(container: Container, bytes: &[u8], from: usize) -> usize {
    match container {
        Container::Array => from,
        Container::Object => bytes.len() - packed::split_name(&bytes[from..]).1.len(),
    }
}

/// A leaf being made.
#[derive(Default)]
struct Draft {
    len: usize,
    bytes: Vec<u8>,
    links: Vec<Arc<Node>>,
}

impl From<&Leaf> for Draft {
    fn from(leaf: &Leaf) -> Draft {
        Draft {
            len: leaf.len,
            bytes: leaf.bytes.to_vec(),
            links: leaf.links.to_vec(),
        }
    }
}

impl Draft {
    fn weight(&self) -> usize {
        self.bytes.len() + LINK_WEIGHT * self.links.len()
    }

    fn push(&mut self, name: &[u8], value: Piece) {
        self.len += 1;
        self.bytes.extend_from_slice(name);
        match value {
            Piece::Packed(bytes) => self.bytes.extend_from_slice(&bytes),
            Piece::Node(node) => {
                packed::push_link(&mut self.bytes, self.links.len());
                self.links.push(node);
            }
        }
    }

    /// Numbers the links anew, in order of appearance.
    fn renumber(&mut self, container: Container) {
        let (mut at, mut number) = (0, 0);
        while at < self.bytes.len() {
            at = value_from(container, &self.bytes, at);
            if packed::link_number(&self.bytes[at..]).is_some() {
                packed::set_link_number(&mut self.bytes[at..], number);
                number += 1;
            }
            at += packed::length(&self.bytes[at..]);
        }
        debug_assert_eq!(number, self.links.len());
    }

    /// The leaf, or two when it is too heavy, or none when it is empty.
    fn cut(mut self, container: Container) -> Subtrees {
        if self.bytes.is_empty() {
            return Subtrees::new();
        }
        let weight = self.weight();
        if weight <= LEAF_WEIGHT_MAX {
            return smallvec![self.finish()];
        }
        let (mut at, mut links, mut len) = (0, 0, 0);
        while at + LINK_WEIGHT * links < weight / 2 {
            let value = value_from(container, &self.bytes, at);
            links += usize::from(packed::link_number(&self.bytes[value..]).is_some());
            at = value + packed::length(&self.bytes[value..]);
            len += 1;
        }
        let mut right = Draft {
            len: self.len - len,
            bytes: self.bytes.split_off(at),
            links: self.links.split_off(links),
        };
        self.len = len;
        right.renumber(container);
        [self, right]
            .into_iter()
            .filter(|half| !half.bytes.is_empty())
            .map(|half| half.finish())
            .collect()
    }

    fn finish(self) -> Child {
        let linked: usize = self.links.iter().map(|node| node.extent()).sum();
        Child {
            len: self.len,
            extent: self.bytes.len() + linked + BRANCH_OVERHEAD_BYTES,
            branch: Arc::new(Branch::Leaf(Leaf {
                len: self.len,
                bytes: self.bytes.into_boxed_slice(),
                links: self.links.into(),
            })),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::value::View;

    /// A string of `bytes` bytes as a piece; a node when it is long.
    fn piece(bytes: usize) -> Piece {
        let mut packed = Vec::new();
        packed::push_string(&mut packed, &vec![b'x'; bytes]).unwrap();
        Piece::of_packed(&packed)
    }

    fn lengths(tree: &Tree) -> Vec<usize> {
        let length = |(_, value): Named<'_>| match value.view() {
            View::String(text) => text.len(),
            other => panic!("{other:?}"),
        };
        tree.iter().map(length).collect()
    }

    /// Checks what the types promise; returns the height.
    fn check(child: &Child, is_root: bool) -> usize {
        match &*child.branch {
            Branch::Leaf(leaf) => {
                assert_eq!(leaf.len, child.len);
                assert!(is_root || child.len > 0);
                let (mut at, mut len, mut links) = (0, 0, 0);
                while at < leaf.bytes.len() {
                    if let Some(number) = packed::link_number(&leaf.bytes[at..]) {
                        assert_eq!(number, links);
                        links += 1;
                    }
                    at += packed::length(&leaf.bytes[at..]);
                    len += 1;
                }
                assert_eq!((len, links), (leaf.len, leaf.links.len()));
                let linked: usize = leaf.links.iter().map(|node| node.extent()).sum();
                assert_eq!(
                    child.extent,
                    leaf.bytes.len() + linked + BRANCH_OVERHEAD_BYTES
                );
                0
            }
            Branch::Inner(children) => {
                assert!(!children.is_empty() && children.len() <= FANOUT);
                let height = check(&children[0], false);
                assert!(children.iter().all(|child| check(child, false) == height));
                assert_eq!(
                    child.len,
                    children.iter().map(|child| child.len).sum::<usize>()
                );
                let extent: usize = children.iter().map(|child| child.extent).sum();
                assert_eq!(child.extent, extent + BRANCH_OVERHEAD_BYTES);
                height + 1
            }
        }
    }

    #[derive(Clone, Debug)]
    enum Op {
        Append(usize),
        Insert(usize, usize),
        Replace(usize, usize),
        Remove(usize),
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 150,
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn a_tree_is_a_list(
            start in prop::collection::vec(0..900usize, 0..600),
            ops in prop::collection::vec(
                prop_oneof![
                    1 => (0..900usize).prop_map(Op::Append),
                    1 => (any::<usize>(), 0..900usize).prop_map(|(at, n)| Op::Insert(at, n)),
                    1 => (any::<usize>(), 0..900usize).prop_map(|(at, n)| Op::Replace(at, n)),
                    2 => any::<usize>().prop_map(Op::Remove),
                ],
                0..600,
            ),
        ) {
            let mut model = start;
            let mut body = Vec::new();
            for &length in &model {
                packed::push_string(&mut body, &vec![b'x'; length]).unwrap();
            }
            let mut tree = Tree::build(Container::Array, &body);
            for op in ops {
                match op {
                    Op::Append(length) => {
                        model.push(length);
                        tree = tree.appended(&[], piece(length));
                    }
                    Op::Insert(at, length) => {
                        let at = at % (model.len() + 1);
                        model.insert(at, length);
                        tree = tree.inserted(at, piece(length));
                    }
                    Op::Replace(at, length) if !model.is_empty() => {
                        let at = at % model.len();
                        model[at] = length;
                        tree = tree.replaced(at, piece(length));
                    }
                    Op::Remove(at) if !model.is_empty() => {
                        let at = at % model.len();
                        model.remove(at);
                        tree = tree.removed(at);
                    }
                    Op::Replace(..) | Op::Remove(_) => {}
                }
                prop_assert_eq!(tree.len(), model.len());
            }
            check(&tree.root, true);
            prop_assert_eq!(lengths(&tree), &model[..]);
            for from in (0..=model.len()).step_by(97) {
                prop_assert_eq!(tree.iter_from(from).count(), model.len() - from);
            }
        }
    }
}
