//! Where the members of a large object are: from a name's hash to places, shared by versions.
//!
//! A trie over the hash, four bits a level. Its leaves hold some dozens of pairs of hash and place,
//! each in one word. The names themselves stand in the tree of members; who looks one up compares
//! it there, since hashes collide.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, LazyLock};

/// Leaves with more pairs become branches.
const LEAF_LEN_MAX: usize = 48;
const BITS_PER_LEVEL: u32 = 4;
const FANOUT: usize = 1 << BITS_PER_LEVEL;
const HASH_BITS: u32 = 32;

/// An index of names.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    root: Arc<Trie>,
    len: usize,
}

#[derive(Debug)]
enum Trie {
    /// Pairs: the hash in the upper half, the place in the lower.
    Leaf(Box<[u64]>),
    /// By the next bits of the hash.
    Branch(Box<[Arc<Trie>; FANOUT]>),
}

impl Names {
    /// The index of `names`, the first being at place 0.
    pub(crate) fn build<'n>(names: impl Iterator<Item = &'n [u8]>) -> Names {
        let pairs: Vec<u64> = names
            .enumerate()
            .map(|(place, name)| pair(hash(name), place))
            .collect();
        Names {
            len: pairs.len(),
            root: Arc::new(Trie::build(pairs, 0)),
        }
    }

    /// The places where `name` may be.
    pub(crate) fn places(&self, name: &[u8]) -> impl Iterator<Item = usize> {
        let hash = hash(name);
        let (mut trie, mut level) = (&*self.root, 0);
        let pairs = loop {
            match trie {
                Trie::Leaf(pairs) => break pairs,
                Trie::Branch(below) => trie = &below[slot(hash, level)],
            }
            level += 1;
        };
        let of_hash = move |pair: &&u64| **pair >> HASH_BITS == u64::from(hash);
        pairs
            .iter()
            .filter(of_hash)
            .map(|pair| *pair as u32 as usize)
    }

    /// The index with `name` at `place` too.
    pub(crate) fn with(&self, name: &[u8], place: usize) -> Names {
        let pair = pair(hash(name), place);
        Names {
            root: Arc::new(self.root.edited(pair, 0, |pairs| pairs.push(pair))),
            len: self.len + 1,
        }
    }

    /// The index without `name` at `place`.
    pub(crate) fn without(&self, name: &[u8], place: usize) -> Names {
        let gone = pair(hash(name), place);
        let edit = |pairs: &mut Vec<u64>| pairs.retain(|pair| *pair != gone);
        Names {
            root: Arc::new(self.root.edited(gone, 0, edit)),
            len: self.len - 1,
        }
    }

    /// About how many bytes it takes.
    pub(crate) fn memory_bytes(&self) -> usize {
        // Leaves are half full, and have a header and an entry above.
        self.len * 10 + 64
    }
}

impl Trie {
    fn build(pairs: Vec<u64>, level: u32) -> Trie {
        if pairs.len() <= LEAF_LEN_MAX || level * BITS_PER_LEVEL >= HASH_BITS {
            return Trie::Leaf(pairs.into_boxed_slice());
        }
        let mut parts: [Vec<u64>; FANOUT] = Default::default();
        for pair in pairs {
            parts[slot((pair >> HASH_BITS) as u32, level)].push(pair);
        }
        Trie::Branch(Box::new(
            parts.map(|part| Arc::new(Trie::build(part, level + 1))),
        ))
    }

    /// The trie after `edit` of the leaf where `pair` belongs.
    fn edited(&self, pair: u64, level: u32, edit: impl FnOnce(&mut Vec<u64>)) -> Trie {
        match self {
            Trie::Leaf(pairs) => {
                let mut pairs = pairs.to_vec();
                edit(&mut pairs);
                Trie::build(pairs, level)
            }
            Trie::Branch(below) => {
                let mut below = below.clone();
                let slot = slot((pair >> HASH_BITS) as u32, level);
                below[slot] = Arc::new(below[slot].edited(pair, level + 1, edit));
                Trie::Branch(below)
            }
        }
    }
}

/// The bits of a hash that count at a level.
fn slot(hash: u32, level: u32) -> usize {
    (hash >> (level * BITS_PER_LEVEL)) as usize % FANOUT
}

fn pair(hash: u32, place: usize) -> u64 {
    u64::from(hash) << HASH_BITS | place as u64
}

/// Keyed by chance, so that nobody can choose names that collide.
fn hash(name: &[u8]) -> u32 {
    static HASHES: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    HASHES.hash_one(name) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_where_they_were_put_last() {
        let name = |number: usize| format!("name{number}").into_bytes();
        let known: Vec<Vec<u8>> = (0..1000).map(name).collect();
        let mut names = Names::build(known[..500].iter().map(|name| &name[..]));
        for (place, name) in known.iter().enumerate().skip(500) {
            names = names.with(name, place);
        }
        let before = names.clone();
        for (place, name) in known.iter().enumerate().step_by(3) {
            names = names.without(name, place);
        }
        for (place, name) in known.iter().enumerate() {
            assert!(before.places(name).any(|found| found == place));
            assert_eq!(
                names.places(name).any(|found| found == place),
                place % 3 != 0
            );
        }
        assert_eq!(names.len, 666);
    }
}
