//! For tests: a key's versions without a keyspace, published as the keyspace would.

use super::{Edited, NewValue, Origin, drop_value};
use crate::entry::{Entry, Meta};
use crate::reclaim;
use crate::usage::Usage;

/// An entry that belongs to a test, with all that hangs on it.
#[derive(Debug)]
pub(crate) struct Held(Entry<'static>);

impl Held {
    /// Publishes a key's first value.
    pub(crate) fn new(value: NewValue<'_>) -> Held {
        let (entry, origin) = Held::allocate(value);
        let (Origin::New(delta) | Origin::Derived(delta)) = origin;
        // SAFETY: there is no older version.
        unsafe { delta.published(&reclaim::pin()) };
        Held(entry)
    }

    /// Publishes what an edit of `old` left.
    pub(crate) fn after(old: Option<Held>, edited: Edited<'static>) -> Option<Held> {
        let value = match edited {
            Edited::Unchanged => return old,
            Edited::Emptied => return None,
            Edited::Changed(value) => value,
        };
        let Some(old) = old else {
            return Some(Held::new(value));
        };
        let (entry, origin) = Held::allocate(value);
        match origin {
            Origin::New(delta) => {
                drop(old);
                // SAFETY: nobody looks at the old version.
                unsafe { delta.published(&reclaim::pin()) };
            }
            Origin::Derived(delta) => {
                // SAFETY: nobody looks at the old version; what the versions share lives on.
                unsafe { delta.published(&reclaim::pin()) };
                // SAFETY: nobody looks at the old version; its block is its own, what it shares
                // with the new one is not in it.
                unsafe { old.0.block().free() };
                std::mem::forget(old);
            }
        }
        Some(Held(entry))
    }

    /// The entry. It must not be used after the test lets go of it.
    pub(crate) fn entry(&self) -> Entry<'static> {
        self.0
    }

    fn allocate(value: NewValue<'_>) -> (Entry<'static>, Origin) {
        let shape = (value.kind, value.form);
        let slices = value.body.slices();
        let entry = Entry::allocate(
            1,
            b"key",
            shape,
            slices,
            &Meta::default(),
            Usage::from_bits(0),
        );
        (entry, value.origin)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        drop_value(self.0, &reclaim::pin());
        // SAFETY: nobody else knows the entry.
        unsafe { self.0.block().free() };
    }
}
