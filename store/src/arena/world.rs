//! The arena in a model: a few slabs of the model's own, which come and go with it.
//!
//! A model's threads all run on one thread of the system, so what they share stands in its locals.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ptr::NonNull;

#[cfg(test)]
use super::MOBILITIES;
use super::Mobility;
use super::region::Region;
#[cfg(test)]
use super::region::{SLAB_BYTES, map};
use super::stack::Stack;

/// The most slabs of a model.
#[cfg(test)]
const SLABS_MAX: usize = 48;

#[derive(Default)]
struct World {
    region: Option<&'static Region>,
    stacks: BTreeMap<(usize, usize), &'static Stack>,
    /// Frees what was made for the model.
    kept: Vec<Box<dyn FnOnce()>>,
}

thread_local! {
    static WORLD: RefCell<World> = RefCell::default();
    /// The slabs of all models on this thread, one after the other.
    static SLABS: Cell<Option<NonNull<u8>>> = const { Cell::new(None) };
}

/// The slabs, if the model has any and did not fail: then atomics are not there any more.
pub(super) fn region() -> Option<&'static Region> {
    if std::thread::panicking() {
        return None;
    }
    WORLD.with_borrow(|world| world.region)
}

/// The stack of a class. Models of memory order ask for it before they start threads.
pub(super) fn stack(class: usize, mobility: Mobility) -> &'static Stack {
    let at = (class, mobility as usize);
    let known = WORLD.with_borrow(|world| world.stacks.get(&at).copied());
    known.unwrap_or_else(|| {
        let made = &zeroed(1).expect("memory")[0];
        WORLD.with_borrow_mut(|world| world.stacks.insert(at, made));
        made
    })
}

/// The classes of which somebody has asked for the stack.
#[cfg(test)]
pub(super) fn stacks() -> Vec<(usize, Mobility)> {
    let classes = WORLD.with_borrow(|world| world.stacks.keys().copied().collect::<Vec<_>>());
    let named = |(class, mobility): (usize, usize)| (class, MOBILITIES[mobility]);
    classes.into_iter().map(named).collect()
}

/// New values for as long as the model runs.
pub(super) fn zeroed<T: Default + 'static>(count: usize) -> Option<&'static [T]> {
    let values: Box<[T]> = (0..count).map(|_| T::default()).collect();
    let values = Box::into_raw(values);
    // SAFETY: it came from a box just now, and nobody asks for it when the model is over.
    let free = move || drop(unsafe { Box::from_raw(values) });
    WORLD.with_borrow_mut(|world| world.kept.push(Box::new(free)));
    // SAFETY: the box lives until the model is over, and nobody asks for it later.
    Some(unsafe { &*values })
}

/// Blocks come from so many slabs until [`end`].
#[cfg(test)]
pub(in crate::arena) fn begin(slabs: usize) -> &'static Region {
    assert!(slabs <= SLABS_MAX);
    // SAFETY: mapped for all time, and for one model at a time.
    let region = unsafe { Region::over(base(), slabs) }.expect("memory");
    let region = Box::into_raw(Box::new(region));
    // SAFETY: it came from a box just now, and nobody asks for it when the model is over.
    let free = move || drop(unsafe { Box::from_raw(region) });
    // SAFETY: the box lives until the model is over, and nobody asks for it later.
    let region: &'static Region = unsafe { &*region };
    WORLD.with_borrow_mut(|world| {
        assert!(world.region.is_none(), "a model has one arena");
        world.region = Some(region);
        world.kept.push(Box::new(free));
    });
    region
}

/// Where slabs start that are mapped for all time.
#[cfg(test)]
fn base() -> NonNull<u8> {
    if let Some(base) = SLABS.get() {
        return base;
    }
    let start = map((SLABS_MAX + 1) * SLAB_BYTES).expect("address space");
    let base = start.map_addr(|address| {
        let aligned = address.get().next_multiple_of(SLAB_BYTES);
        aligned.try_into().expect("an address")
    });
    SLABS.set(Some(base));
    base
}

/// As [`begin`], for models of what lies above.
#[cfg(all(test, mayfly_shuttle))]
pub(crate) fn begin_with(slabs: usize) {
    begin(slabs);
}

/// The model is over: nobody has a block.
#[cfg(test)]
pub(crate) fn end() {
    let world = WORLD.take();
    world.kept.into_iter().rev().for_each(|free| free());
}
