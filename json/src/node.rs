//! A large value: packed in one block, or a tree whose parts versions share.
//!
//! Values up to [`LINK_BYTES_MIN`] stand packed where they belong. A larger one is a node of its
//! own, to which a link leads; up to [`TREE_BYTES_MIN`] (strings: of any length) the node is one
//! packed block, beyond that a [`Tree`]. An object whose members fill more than one leaf has an
//! index of its names beside the tree: from a hash of the name to the member's place. Places are
//! stable, because new members go to the end and the last one takes a deleted one's place; so the
//! index changes with the members' names and never with their values.

use std::sync::Arc;

use crate::error::TooLarge;
use crate::names::Names;
use crate::packed::{self, Container, Item};
use crate::path::Step;
use crate::tree::Tree;
use crate::value::Value;

/// Values that take more bytes are nodes of their own.
pub(crate) const LINK_BYTES_MIN: usize = 512;

/// Containers that take more bytes are trees.
const TREE_BYTES_MIN: usize = 2048;

/// Trees that shrank to fewer bytes are packed again.
const TREE_BYTES_KEPT: usize = 1024;

/// A large value, or one that was.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    /// The packed form of the value.
    Packed(Arc<Vec<u8>>),
    Array(Tree),
    Object(Members),
}

/// The members of a large object.
#[derive(Clone, Debug)]
pub(crate) struct Members {
    tree: Tree,
    /// Where each name is; none while one leaf holds all members.
    names: Option<Names>,
}

/// A value on its way into a tree.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    /// A small one in its packed form.
    Packed(Vec<u8>),
    Node(Arc<Node>),
}

impl Node {
    /// The node of a value in its packed form.
    pub(crate) fn of_packed(bytes: &[u8]) -> Node {
        Node::tree_of_packed(bytes).unwrap_or_else(|| Node::Packed(Arc::new(bytes.to_vec())))
    }

    /// As [`Node::of_packed`], without a copy of a long string.
    pub(crate) fn of_packed_vec(mut bytes: Vec<u8>) -> Node {
        Node::tree_of_packed(&bytes).unwrap_or_else(|| {
            bytes.shrink_to_fit();
            Node::Packed(Arc::new(bytes))
        })
    }

    /// The tree of a value that is to be one.
    fn tree_of_packed(bytes: &[u8]) -> Option<Node> {
        if bytes.len() <= TREE_BYTES_MIN {
            return None;
        }
        match packed::item(bytes) {
            Item::Array(body) => Some(Node::Array(Tree::build(Container::Array, body))),
            Item::Object(body) => {
                let tree = Tree::build(Container::Object, body);
                Some(Node::Object(Members::new(tree)))
            }
            _ => None,
        }
    }

    /// The value to be read.
    pub(crate) fn value(&self) -> Value<'_> {
        match self {
            Node::Packed(bytes) => Value::packed(bytes),
            Node::Array(tree) => Value::tree(tree),
            Node::Object(members) => Value::members(members),
        }
    }

    /// About how many bytes the value takes with everything in it.
    pub(crate) fn extent(&self) -> usize {
        size_of::<Node>()
            + match self {
                Node::Packed(bytes) => bytes.len(),
                Node::Array(tree) => tree.extent(),
                Node::Object(members) => {
                    members.tree.extent() + members.names.as_ref().map_or(0, Names::memory_bytes)
                }
            }
    }

    /// Whether it stays a node after a change, because it is large enough.
    pub(crate) fn stays(&self) -> bool {
        self.extent() > TREE_BYTES_KEPT
    }

    /// Appends the packed form.
    pub(crate) fn pack(&self, out: &mut Vec<u8>) -> Result<(), TooLarge> {
        self.value().pack(out)
    }
}

impl Piece {
    /// A value in its packed form.
    pub(crate) fn of_packed(bytes: &[u8]) -> Piece {
        match bytes.len() > LINK_BYTES_MIN {
            true => Piece::Node(Arc::new(Node::of_packed(bytes))),
            false => Piece::Packed(bytes.to_vec()),
        }
    }

    /// As [`Piece::of_packed`], without a copy.
    pub(crate) fn of_packed_vec(bytes: Vec<u8>) -> Piece {
        match bytes.len() > LINK_BYTES_MIN {
            true => Piece::Node(Arc::new(Node::of_packed_vec(bytes))),
            false => Piece::Packed(bytes),
        }
    }

    /// The bytes and the links it takes in a leaf.
    pub(crate) fn taken(&self) -> (usize, usize) {
        match self {
            Piece::Packed(bytes) => (bytes.len(), 0),
            Piece::Node(_) => (packed::LINK_BYTES, 1),
        }
    }

    /// A changed node, in the form that suits the size it has now.
    pub(crate) fn of_node(node: Node) -> Result<Piece, TooLarge> {
        if node.stays() {
            return Ok(Piece::Node(Arc::new(node)));
        }
        let mut bytes = Vec::with_capacity(node.extent());
        node.pack(&mut bytes)?;
        Ok(Piece::of_packed_vec(bytes))
    }
}

impl Members {
    fn new(tree: Tree) -> Members {
        let names = (!tree.is_one_leaf()).then(|| Names::build(tree.iter().map(|(name, _)| name)));
        Members { tree, names }
    }

    pub(crate) fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The place and the value of the member called `name`.
    pub(crate) fn find(&self, name: &[u8]) -> Option<(usize, Value<'_>)> {
        let Some(names) = &self.names else {
            return self.tree.find_in_one_leaf(name);
        };
        names.places(name).find_map(|place| {
            let (known, value) = self.tree.get(place)?;
            (known == name).then_some((place, value))
        })
    }

    /// The members with another value at `place`.
    pub(crate) fn replaced(&self, place: usize, value: Piece) -> Members {
        Members::with_index(self.tree.replaced(place, value), self.names.clone())
    }

    /// The members with the packed value `new` where `steps` lead from the one called `name`, if
    /// that can be done in one leaf.
    pub(crate) fn spliced(&self, name: &[u8], steps: &[Step], new: &[u8]) -> Option<Members> {
        let Some(names) = &self.names else {
            return Some(Members {
                tree: self.tree.spliced_in_one_leaf(name, steps, new)?,
                names: None,
            });
        };
        let (place, _) = self.find(name)?;
        let tree = self.tree.spliced(place, steps, new)?;
        Some(Members::with_index(tree, Some(names.clone())))
    }

    /// The members with one more, whose name must be new.
    pub(crate) fn appended(&self, name: &str, value: Piece) -> Result<Members, TooLarge> {
        let mut packed_name = Vec::with_capacity(name.len() + 5);
        packed::push_string(&mut packed_name, name.as_bytes())?;
        let names = self
            .names
            .as_ref()
            .map(|names| names.with(name.as_bytes(), self.tree.len()));
        Ok(Members::with_index(
            self.tree.appended(&packed_name, value),
            names,
        ))
    }

    /// The members without the one at `place`; the last one takes its place.
    pub(crate) fn removed(&self, place: usize) -> Result<Members, TooLarge> {
        let last_place = self.tree.len() - 1;
        let (name, _) = self.tree.get(place).expect("there is a member");
        let names = self.names.as_ref().map(|names| names.without(name, place));
        if place == last_place {
            return Ok(Members::with_index(self.tree.removed(place), names));
        }
        let (last_name, last) = self.tree.get(last_place).expect("it has a last member");
        let names = names.map(|names| names.without(last_name, last_place).with(last_name, place));
        let mut packed_name = Vec::with_capacity(last_name.len() + 5);
        packed::push_string(&mut packed_name, last_name)?;
        let tree = self.tree.exchanged(place, &packed_name, last.to_piece());
        Ok(Members::with_index(tree.removed(last_place), names))
    }

    /// Makes or drops the index as the tree's size asks.
    fn with_index(tree: Tree, names: Option<Names>) -> Members {
        match names {
            Some(_) if tree.is_one_leaf() => Members { tree, names: None },
            Some(_) => Members { tree, names },
            None => Members::new(tree),
        }
    }
}
