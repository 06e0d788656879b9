//! What is in a cache, so that any of it can be drawn.

use fastrand::Rng;

const NOWHERE: u32 = u32::MAX;

/// Objects with their sizes.
#[derive(Debug)]
pub(super) struct Residents {
    /// Where an object stands in `all`.
    position: Vec<u32>,
    bytes: Vec<u32>,
    all: Vec<u32>,
    sum: u64,
    rng: Rng,
}

impl Residents {
    /// None, of so many objects there are.
    pub(super) fn new(objects: usize) -> Residents {
        Residents {
            position: vec![NOWHERE; objects],
            bytes: vec![0; objects],
            all: Vec::new(),
            sum: 0,
            rng: Rng::with_seed(5),
        }
    }

    pub(super) fn has(&self, object: u32) -> bool {
        self.position[object as usize] != NOWHERE
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// The bytes of all of them.
    pub(super) fn sum(&self) -> u64 {
        self.sum
    }

    pub(super) fn bytes(&self, object: u32) -> u64 {
        u64::from(self.bytes[object as usize])
    }

    pub(super) fn draw(&mut self) -> u32 {
        self.all[self.rng.usize(..self.all.len())]
    }

    /// Whether something happens that does one time out of `odds`.
    pub(super) fn happens(&mut self, odds: u64) -> bool {
        self.rng.u64(..odds) == 0
    }

    pub(super) fn insert(&mut self, object: u32, bytes: u32) {
        self.position[object as usize] = self.all.len() as u32;
        self.bytes[object as usize] = bytes;
        self.all.push(object);
        self.sum += u64::from(bytes);
    }

    pub(super) fn remove(&mut self, object: u32) {
        let at = self.position[object as usize] as usize;
        self.all.swap_remove(at);
        if let Some(&moved) = self.all.get(at) {
            self.position[moved as usize] = at as u32;
        }
        self.position[object as usize] = NOWHERE;
        self.sum -= self.bytes(object);
    }
}
