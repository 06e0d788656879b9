//! Changing a large value: only what lies on the trails is made anew.

use super::rewrite::rewrite;
use super::{Change, deletion_rank, through};
use crate::error::TooLarge;
use crate::node::{Members, Node, Piece};
use crate::path::Trail;
use crate::tree::Tree;
use crate::value::{Repr, Value};

/// With more trails into one container, it is cheaper to write it anew in one pass.
const TRAILS_MAX: usize = 32;

/// The value, which stands `depth` steps down, with `change` where `trails` lead; they are sorted
/// and there is one at least. Returns also how many values were deleted.
pub(super) fn share(
    value: Value<'_>,
    trails: &[Trail],
    depth: usize,
    change: Change<'_>,
) -> Result<(Piece, usize), TooLarge> {
    let (node, deleted) = match value.repr() {
        Repr::Packed(bytes) => {
            let (bytes, deleted) = rewrite(bytes, trails, depth, change)?;
            return Ok((Piece::of_packed(&bytes), deleted));
        }
        _ if trails.len() > TRAILS_MAX => {
            let mut bytes = Vec::with_capacity(value.extent());
            value.pack(&mut bytes)?;
            let (bytes, deleted) = rewrite(&bytes, trails, depth, change)?;
            return Ok((Piece::of_packed(&bytes), deleted));
        }
        Repr::Tree(tree) => {
            let (tree, deleted) = elements(tree, trails, depth, change)?;
            (Node::Array(tree), deleted)
        }
        Repr::Members(old) => {
            let (new, deleted) = members(old, trails, depth, change)?;
            (Node::Object(new), deleted)
        }
    };
    Ok((Piece::of_node(node)?, deleted))
}

/// The trails by the child they lead through, from the last to the first.
fn by_child(trails: &[Trail], depth: usize) -> impl Iterator<Item = (usize, &[Trail])> {
    let mut rest = trails;
    std::iter::from_fn(move || {
        let place = rest.last()?[depth] as usize;
        let inner = through(rest, depth, place);
        rest = &rest[..rest.len() - inner.len()];
        Some((place, inner))
    })
}

fn elements(
    old: &Tree,
    trails: &[Trail],
    depth: usize,
    change: Change<'_>,
) -> Result<(Tree, usize), TooLarge> {
    let (mut tree, mut deleted) = (old.clone(), 0);
    for (place, inner) in by_child(trails, depth) {
        let ends_here = inner[0].len() == depth + 1;
        match change {
            Change::Delete if ends_here => {
                // An element named twice is deleted twice: then its successor goes too.
                for _ in inner.iter().filter(|_| place < old.len()) {
                    if place < tree.len() {
                        tree = tree.removed(place);
                        deleted += 1;
                    }
                }
            }
            Change::Replace(value) if ends_here => tree = tree.replaced(place, value.to_piece()),
            _ => {
                let (_, child) = old.get(place).expect("trails lead to children");
                let (piece, count) = share(child, inner, depth + 1, change)?;
                tree = tree.replaced(place, piece);
                deleted += count;
            }
        }
    }
    Ok((tree, deleted))
}

fn members(
    old: &Members,
    trails: &[Trail],
    depth: usize,
    change: Change<'_>,
) -> Result<(Members, usize), TooLarge> {
    if let Change::AddMember { name, value } = change
        && trails[0].len() == depth
    {
        return Ok((old.appended(name, value.to_piece())?, 0));
    }
    let (mut new, mut deleted) = (old.clone(), 0);
    let mut condemned: Vec<&[u8]> = Vec::new();
    for (place, inner) in by_child(trails, depth) {
        let (name, child) = old.tree().get(place).expect("trails lead to children");
        let ends_here = inner[0].len() == depth + 1;
        match change {
            Change::Delete if ends_here => condemned.push(name),
            Change::Replace(value) if ends_here => new = new.replaced(place, value.to_piece()),
            _ => {
                let (piece, count) = share(child, inner, depth + 1, change)?;
                new = new.replaced(place, piece);
                deleted += count;
            }
        }
    }
    condemned.sort_by_key(|name| deletion_rank(name));
    for name in condemned {
        let (place, _) = new.find(name).expect("each member goes once");
        new = new.removed(place)?;
        deleted += 1;
    }
    Ok((new, deleted))
}
