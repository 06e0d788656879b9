//! Changing a large value: only what lies on the trails is made anew.

use super::merge::merged;
use super::rewrite::rewrite;
use super::{Change, Site, order, through};
use crate::document::Document;
use crate::error::TooLarge;
use crate::node::{Members, Node, Piece};
use crate::packed::Container;
use crate::tree::Tree;
use crate::value::{Repr, Value};

/// With more changes in one container, it is cheaper to write it anew in one pass.
const CHANGES_MAX: usize = 32;

/// The value, which stands `depth` steps down, with the changes at `sites`; they are sorted and
/// there is one at least. Returns also how many values were deleted.
pub(super) fn share(
    value: Value<'_>,
    sites: &[Site<'_>],
    depth: usize,
) -> Result<(Piece, usize), TooLarge> {
    let ends_here = sites[0].trail.len() == depth;
    match sites[0].change {
        Change::Replace(value) if ends_here => return Ok((value.to_piece(), 0)),
        Change::Merge(patch) if ends_here => return Ok((merged(value, patch)?, 0)),
        _ => {}
    }
    let (node, deleted) = match value.repr() {
        Repr::Packed(bytes) => {
            let (bytes, deleted) = rewrite(bytes, sites, depth)?;
            return Ok((Piece::of_packed_vec(bytes), deleted));
        }
        _ if ends_here => (changed(value, &sites[0].change)?, 0),
        _ if sites.len() > CHANGES_MAX => {
            let mut bytes = Vec::with_capacity(value.extent());
            value.pack(&mut bytes)?;
            let (bytes, deleted) = rewrite(&bytes, sites, depth)?;
            return Ok((Piece::of_packed_vec(bytes), deleted));
        }
        Repr::Tree(tree) => {
            let (tree, deleted) = elements(tree, sites, depth)?;
            (Node::Array(tree), deleted)
        }
        Repr::Members(old) => {
            let (new, deleted) = members(old, sites, depth)?;
            (Node::Object(new), deleted)
        }
    };
    Ok((Piece::of_node(node)?, deleted))
}

/// The large value after `change`.
fn changed(value: Value<'_>, change: &Change<'_>) -> Result<Node, TooLarge> {
    Ok(match (change, value.repr()) {
        (Change::Put(bytes), _) => Node::of_packed(bytes),
        (Change::AddMember { name, value }, Repr::Members(old)) => {
            Node::Object(old.appended(name, value.to_piece())?)
        }
        (
            Change::Splice {
                at,
                removed,
                inserted,
            },
            Repr::Tree(old),
        ) => Node::Array(spliced(old, *at, *removed, inserted)),
        (Change::Keep(start, end), Repr::Tree(old)) => Node::Array(kept(old, *start, *end)?),
        (change, _) => unreachable!("no {change:?} of such a value"),
    })
}

fn spliced(old: &Tree, at: usize, removed: usize, inserted: &[Document]) -> Tree {
    let mut tree = old.clone();
    for _ in 0..removed {
        tree = tree.removed(at);
    }
    for (place, value) in (at..).zip(inserted) {
        tree = tree.inserted(place, value.root().to_piece());
    }
    tree
}

/// The elements from `start` to before `end`.
fn kept(old: &Tree, start: usize, end: usize) -> Result<Tree, TooLarge> {
    if old.len() - (end - start) > CHANGES_MAX {
        let mut body = Vec::new();
        for (_, value) in old.iter_from(start).take(end - start) {
            value.pack(&mut body)?;
        }
        return Ok(Tree::build(Container::Array, &body));
    }
    let mut tree = old.clone();
    while tree.len() > end {
        tree = tree.removed(tree.len() - 1);
    }
    for _ in 0..start {
        tree = tree.removed(0);
    }
    Ok(tree)
}

/// The sites by the child they lead through, from the last to the first.
fn by_child<'s, 'v>(
    sites: &'s [Site<'v>],
    depth: usize,
) -> impl Iterator<Item = (usize, &'s [Site<'v>])> {
    let mut rest = sites;
    std::iter::from_fn(move || {
        let place = rest.last()?.trail[depth] as usize;
        let inner = through(rest, depth, place);
        rest = &rest[..rest.len() - inner.len()];
        Some((place, inner))
    })
}

/// Whether the child goes that `sites` lead through.
fn is_deleted(sites: &[Site<'_>], depth: usize) -> bool {
    sites[0].trail.len() == depth + 1 && matches!(sites[0].change, Change::Delete)
}

fn elements(old: &Tree, sites: &[Site<'_>], depth: usize) -> Result<(Tree, usize), TooLarge> {
    let (mut tree, mut deleted) = (old.clone(), 0);
    for (place, inner) in by_child(sites, depth) {
        if is_deleted(inner, depth) {
            // An element named twice is deleted twice: then its successor goes too.
            for _ in inner {
                if place < tree.len() {
                    tree = tree.removed(place);
                    deleted += 1;
                }
            }
            continue;
        }
        let (_, child) = old.get(place).expect("trails lead to children");
        let (piece, count) = share(child, inner, depth + 1)?;
        tree = tree.replaced(place, piece);
        deleted += count;
    }
    Ok((tree, deleted))
}

fn members(old: &Members, sites: &[Site<'_>], depth: usize) -> Result<(Members, usize), TooLarge> {
    let (mut new, mut deleted) = (old.clone(), 0);
    let mut condemned: Vec<&[u8]> = Vec::new();
    for (place, inner) in by_child(sites, depth) {
        let (name, child) = old.tree().get(place).expect("trails lead to children");
        if is_deleted(inner, depth) {
            condemned.push(name);
            continue;
        }
        let (piece, count) = share(child, inner, depth + 1)?;
        new = new.replaced(place, piece);
        deleted += count;
    }
    condemned.sort_by(|left, right| order::of_members(left, right));
    for name in condemned {
        let (place, _) = new.find(name).expect("each member goes once");
        new = new.removed(place)?;
        deleted += 1;
    }
    Ok((new, deleted))
}
