//! What becomes of a key.

use crate::entry::{Entry, Meta};
use crate::value::NewValue;

/// What an update does with a key.
#[derive(Debug)]
pub enum Change<'a> {
    /// Leaves it as it is.
    Keep,
    /// Removes it, if it is there.
    Remove,
    /// Gives it a new value and new metadata.
    Put(Draft<'a>),
}

/// A key's next value with what is said beside it.
#[derive(Debug)]
pub struct Draft<'a> {
    /// The value.
    pub value: NewValue<'a>,
    /// Expiry, client flags, token.
    pub meta: Meta,
}

impl<'a> Draft<'a> {
    /// A value that never expires, without flags: what a plain SET leaves.
    #[inline]
    pub fn new(value: NewValue<'a>) -> Draft<'a> {
        Draft {
            value,
            meta: Meta::default(),
        }
    }

    /// A changed value under the expiry and client flags of `entry`, with a new token.
    // Inlined, like all on the way of a new value: it is made where it goes, not moved there.
    #[inline(always)]
    pub fn keeping(entry: Entry<'_>, value: NewValue<'a>) -> Draft<'a> {
        let Meta {
            expires_at_ms,
            client_flags,
            ..
        } = entry.meta();
        Draft {
            value,
            meta: Meta {
                expires_at_ms,
                client_flags,
                ..Meta::default()
            },
        }
    }

    /// A changed value under the expiry and flags of `entry` if there is one.
    pub fn keeping_any(entry: Option<Entry<'_>>, value: NewValue<'a>) -> Draft<'a> {
        match entry {
            Some(entry) => Draft::keeping(entry, value),
            None => Draft::new(value),
        }
    }

    /// The same draft with another expiry.
    pub fn expiring(mut self, expires_at_ms: Option<u64>) -> Draft<'a> {
        self.meta.expires_at_ms = expires_at_ms;
        self
    }
}
