//! Looking over the slabs of a class that have free slots: what is empty goes to the pool, the
//! densest come to the top of the stack, and some of the sparsest are set aside for emptying.
//!
//! # In steps
//!
//! A class can have any number of slabs, and a look at one mostly misses the cache. So a [`Survey`]
//! takes its stack as a whole, by one swap, and goes over a bounded number of slabs in a step. If
//! these are all, they are put in exact order at once. Where there are more, those on top are
//! given back, for those who allocate meanwhile, and the others are laid in layers by how much of
//! them is free, each layer a chain through the slabs' own links, whose number does not matter. In
//! the end the layers are put on the stack as one chain, the sparsest at the bottom, below what was
//! freed since.
//!
//! What is off the stack meanwhile nobody finds: a survey that was begun is to end soon. All of
//! it is held by the survey, so that nobody else changes the links.

use super::cache;
use super::classes::CLASSES;
use super::region::{Region, region};
use super::slab::{self, Slab, WORDS};
use super::stack::{self, Stack};
use super::{MOBILITIES, Mobility};
use crate::sync::atomic::Ordering;

/// So many slabs are put in exact order, and looked at in a step even where fewer are asked for.
#[cfg(not(test))]
const EXACT_MAX: usize = 128;
#[cfg(test)]
const EXACT_MAX: usize = 2;
/// So many of more are left for those who allocate meanwhile.
#[cfg(not(test))]
const LEFT: usize = 16;
#[cfg(test)]
const LEFT: usize = 1;
const LAYERS: usize = 32;

/// How much of a class is to be emptied.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Evacuation {
    /// Slabs are emptied when the free slots of a class make up so many of its slabs, and ...
    pub(crate) spare_slabs_min: usize,
    /// ... one slab in so many of those that are not full.
    pub(crate) spare_part: usize,
    /// The last slab of a class is emptied, too, if it has less than one block for so many slots
    /// and there are longer slots that are free.
    pub(crate) last_part: Option<usize>,
    /// One slab in so many of those that are not full is emptied in any case, since a part of what
    /// is in it goes for good.
    pub(crate) part_min: Option<usize>,
    /// No more than so many.
    pub(crate) slabs_max: usize,
}

/// A look over the slabs of a class that have free slots.
#[derive(Debug)]
pub(crate) struct Survey {
    class: usize,
    mobility: Mobility,
    /// The next slab to be looked at, of those that were taken off the stack.
    rest: Option<u32>,
    /// Those of many that were looked at.
    layers: Option<Box<Layers>>,
    /// Those that are set aside, once all were looked at.
    chosen: Option<(Choice, Vec<u32>)>,
}

/// What of a slab is free, in the order of how much of it that is.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Holes {
    /// Of so many slots of a whole slab, as many as the shortest slots are.
    of_whole: usize,
    index: u32,
    free: usize,
    slots: usize,
}

/// Slabs that have about as much free, in a chain.
#[derive(Clone, Copy, Debug, Default)]
struct Layer {
    /// Top and bottom.
    ends: Option<(u32, u32)>,
}

#[derive(Debug, Default)]
struct Layers {
    /// The densest first.
    by_holes: [Layer; LAYERS],
    all: Sums,
}

/// Of several slabs.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    slabs: usize,
    free: usize,
    slots: usize,
}

/// How many slabs are set aside, the sparsest first.
#[derive(Debug)]
struct Choice {
    /// As long as so many slots suffice for all of theirs, ...
    room: usize,
    /// ... but at least so many slabs, ...
    least: usize,
    /// ... and at most so many.
    most: usize,
}

impl Survey {
    /// Takes a class's slabs off their stack.
    pub(crate) fn begin(class: usize, mobility: Mobility) -> Survey {
        debug_assert!(class < CLASSES && MOBILITIES.contains(&mobility));
        Survey {
            class,
            mobility,
            rest: region().and_then(|_| stack::of(class, mobility).take_all()),
            layers: None,
            chosen: None,
        }
    }

    pub(crate) fn mobility(&self) -> Mobility {
        self.mobility
    }

    fn stack(&self) -> &'static Stack {
        stack::of(self.class, self.mobility)
    }

    /// Goes on over `looks` slabs, about, and takes off how many it were. When all is done: with
    /// `evacuation`, some of the sparsest, which are set aside for [`super::end_evacuation`].
    pub(crate) fn go_on(
        &mut self,
        looks: &mut usize,
        evacuation: Option<Evacuation>,
    ) -> Option<Vec<u32>> {
        let Some(region) = region() else {
            return Some(Vec::new());
        };
        if self.layers.is_none() {
            let held = self.look(region, looks);
            if self.rest.is_none() {
                return Some(self.put_in_order(region, held, evacuation));
            }
            self.lay_first(region, held);
            return None;
        }
        while *looks > 0 && self.rest.is_some() {
            *looks -= 1;
            self.lay_next(region);
        }
        if self.rest.is_some() || !self.choose(region, looks, evacuation) {
            return None;
        }
        self.put_back(region);
        self.layers = None;
        self.chosen.take().map(|(_, slabs)| slabs)
    }

    /// The first slabs, but for empty ones, which go to the pool.
    fn look(&mut self, region: &'static Region, looks: &mut usize) -> Vec<Holes> {
        let most = EXACT_MAX.max(*looks);
        let mut held = Vec::new();
        for _ in 0..most {
            let Some(index) = self.rest else { break };
            // Before it is anybody else's.
            self.rest = stack::below(region, index);
            *looks = looks.saturating_sub(1);
            held.extend(holes_or_put(region.slab(index)));
        }
        held
    }

    /// Puts all of them on the stack, or aside.
    fn put_in_order(
        &self,
        region: &'static Region,
        mut held: Vec<Holes>,
        evacuation: Option<Evacuation>,
    ) -> Vec<u32> {
        // The sparsest first, and of those equally sparse the one with the highest address.
        held.sort_unstable_by(|one, other| other.cmp(one));
        let evacuated = match evacuation {
            Some(evacuation) => match to_empty(&held, evacuation) {
                0 if is_last(&held, evacuation)
                    && cache::may_pop_longer(self.class, self.mobility) =>
                {
                    1
                }
                count => count,
            },
            None => 0,
        };
        let (sparse, dense) = held.split_at(evacuated);
        for holes in dense {
            self.stack().push(region, holes.index);
        }
        let sparse: Vec<u32> = sparse.iter().map(|holes| holes.index).collect();
        for &index in &sparse {
            region.evacuated.set(index);
        }
        sparse
    }

    /// Gives the first of many back, and lays the others.
    fn lay_first(&mut self, region: &'static Region, held: Vec<Holes>) {
        let (left, laid) = held.split_at(LEFT.min(held.len()));
        for holes in left.iter().rev() {
            self.stack().push(region, holes.index);
        }
        let layers = self.layers.insert(Box::default());
        laid.iter().for_each(|holes| layers.lay(region, holes));
    }

    fn lay_next(&mut self, region: &'static Region) {
        let (Some(index), Some(layers)) = (self.rest, &mut self.layers) else {
            return;
        };
        self.rest = stack::below(region, index);
        if let Some(holes) = holes_or_put(region.slab(index)) {
            layers.lay(region, &holes);
        }
    }

    /// Sets slabs aside; whether these are all.
    fn choose(
        &mut self,
        region: &'static Region,
        looks: &mut usize,
        evacuation: Option<Evacuation>,
    ) -> bool {
        let Some(layers) = &mut self.layers else {
            return true;
        };
        let (choice, slabs) = self.chosen.get_or_insert_with(|| {
            let choice = evacuation.map_or(Choice::NONE, |it| layers.all.choice(it));
            (choice, Vec::new())
        });
        loop {
            let Some((layer, index)) = layers.sparsest() else {
                return true;
            };
            if !choice.takes(slabs.len(), region.slab(index).slots()) {
                return true;
            }
            layer.take_top(region);
            region.evacuated.set(index);
            slabs.push(index);
            *looks = looks.saturating_sub(1);
            if *looks == 0 {
                return false;
            }
        }
    }

    /// Puts what was laid on the stack.
    fn put_back(&mut self, region: &'static Region) {
        let Some(layers) = &self.layers else { return };
        let stack = self.stack();
        // What was freed meanwhile is dense: its slabs got their first free slots.
        let fresh: Vec<u32> = (0..EXACT_MAX).map_while(|_| stack.pop(region)).collect();
        if let Some((top, bottom)) = layers.chained(region) {
            stack.push_all(region, top, bottom);
        }
        for &index in fresh.iter().rev() {
            stack.push(region, index);
        }
    }
}

impl Drop for Survey {
    /// Ends one that nobody goes on with.
    fn drop(&mut self) {
        if self.rest.is_some() || self.layers.is_some() {
            let mut all = usize::MAX;
            let chosen = self.go_on(&mut all, None);
            slab::end_evacuation(chosen.unwrap_or_default());
        }
    }
}

impl Slab {
    fn holes(self) -> Holes {
        let free = self.count().max(0) as usize;
        let slots = self.slots();
        Holes {
            of_whole: free * (WORDS * 64) / slots,
            index: self.index(),
            free,
            slots,
        }
    }
}

/// What is free of a slab that the caller holds; an empty one is put into the pool.
fn holes_or_put(slab: Slab) -> Option<Holes> {
    if slab.is_empty() {
        slab.put();
        return None;
    }
    Some(slab.holes())
}

impl Layer {
    fn put(&mut self, region: &'static Region, index: u32) {
        let below = self.ends.map_or(0, |(top, _)| top + 1);
        region.slab(index).next().store(below, Ordering::Relaxed);
        let bottom = self.ends.map_or(index, |(_, bottom)| bottom);
        self.ends = Some((index, bottom));
    }

    fn take_top(&mut self, region: &'static Region) {
        self.ends = self
            .ends
            .filter(|(top, bottom)| top != bottom)
            .and_then(|(top, bottom)| Some((stack::below(region, top)?, bottom)));
    }
}

impl Layers {
    fn lay(&mut self, region: &'static Region, holes: &Holes) {
        let at = holes.of_whole * LAYERS / (WORDS * 64);
        self.by_holes[at.min(LAYERS - 1)].put(region, holes.index);
        self.all.slabs += 1;
        self.all.free += holes.free;
        self.all.slots += holes.slots;
    }

    /// The layer of the sparsest, and one of these.
    fn sparsest(&mut self) -> Option<(&mut Layer, u32)> {
        let mut layers = self.by_holes.iter_mut().rev();
        layers.find_map(|layer| layer.ends.map(|(top, _)| (layer, top)))
    }

    /// All in one chain, the densest on top.
    fn chained(&self, region: &'static Region) -> Option<(u32, u32)> {
        let ends = self.by_holes.iter().filter_map(|layer| layer.ends);
        ends.reduce(|(top, bottom), (next_top, next_bottom)| {
            let next = region.slab(bottom).next();
            next.store(next_top + 1, Ordering::Relaxed);
            (top, next_bottom)
        })
    }
}

impl Sums {
    /// As many as the free slots of the others can take in, with some room left for those who
    /// allocate meanwhile.
    fn choice(&self, evacuation: Evacuation) -> Choice {
        let mean = self.slots.div_ceil(self.slabs.max(1)).max(1);
        let wanted = evacuation
            .spare_slabs_min
            .max(self.slabs / evacuation.spare_part);
        let least = evacuation
            .part_min
            .map_or(0, |part| self.slabs.div_ceil(part));
        Choice {
            room: match self.free / mean < wanted {
                true => 0,
                false => self.free - wanted / 2 * mean,
            },
            least,
            most: evacuation.slabs_max,
        }
    }
}

impl Choice {
    const NONE: Choice = Choice {
        room: 0,
        least: 0,
        most: 0,
    };

    /// Whether another slab, of so many slots, is taken beside so many.
    fn takes(&mut self, slabs: usize, slots: usize) -> bool {
        // Each takes its own free slots away and needs room for the rest: a slab's worth of slots.
        let left = self.room.checked_sub(slots);
        self.room = left.unwrap_or(0);
        slabs < self.most && (left.is_some() || slabs < self.least)
    }
}

/// Whether a class has one slab with free slots alone, and hardly a block in it.
fn is_last(held: &[Holes], evacuation: Evacuation) -> bool {
    let (Some(part), [holes]) = (evacuation.last_part, held) else {
        return false;
    };
    (holes.slots - holes.free) * part < holes.slots
}

/// How many of the slabs, the sparsest first.
fn to_empty(held: &[Holes], evacuation: Evacuation) -> usize {
    let all = Sums {
        slabs: held.len(),
        free: held.iter().map(|holes| holes.free).sum(),
        slots: held.iter().map(|holes| holes.slots).sum(),
    };
    let mut choice = all.choice(evacuation);
    let takes = |&(at, holes): &(usize, &Holes)| choice.takes(at, holes.slots);
    held.iter().enumerate().take_while(takes).count()
}

/// A survey from beginning to end, however many slabs there are.
pub(crate) fn survey(class: usize, mobility: Mobility, evacuation: Option<Evacuation>) -> Vec<u32> {
    let mut survey = Survey::begin(class, mobility);
    let mut looks = usize::MAX;
    survey.go_on(&mut looks, evacuation).unwrap_or_default()
}
