//! Mayfly's engine: data at rest and under contention.
//!
//! A [`Store`] has numbered databases. Whoever works with one holds a guard ([`Store::pin`]) and
//! says what time it is; [`Store::db`] then gives the [`Db`] that commands are written against. It
//! reads an [`Entry`] as it was at one moment, which stays whole until the guard ends, and changes
//! a key by a function from the old entry to a [`Draft`] of the next one:
//!
//! ```
//! use store::value::string::{self, Str};
//! use store::{Change, Draft, Error, Options, Store};
//!
//! let store = Store::new(&Options::default());
//! let guard = store.pin();
//! let db = store.db(0, &guard, 1_000);
//! db.put(b"visits", Draft::new(string::integer(41)))?;
//! let visits = db.update(b"visits", |entry| {
//!     let sum = string::sum(Str::of_any(entry)?, 1)?;
//!     let draft = Draft::keeping_any(entry, string::integer(sum));
//!     Ok((Change::Put(draft), sum))
//! })?;
//! assert_eq!(visits, 42);
//! # Ok::<(), Error>(())
//! ```
//!
//! [`Db::atomic`] runs several such steps so that they happen at one moment. What a key can hold is
//! in [`value`]; when memory goes back, in [`reclaim`].

#![deny(unsafe_code)]

#[allow(unsafe_code)]
mod arena;
mod compaction;
mod db;
#[allow(unsafe_code)]
mod document;
#[allow(unsafe_code)]
pub mod entry;
mod error;
#[allow(unsafe_code)]
mod eviction;
mod expiry;
#[cfg(any(mayfly_loom, mayfly_shuttle))]
#[allow(unsafe_code)]
mod grace;
#[allow(unsafe_code)]
mod keyspace;
#[allow(unsafe_code)]
mod long;
#[allow(unsafe_code)]
pub mod memory;
pub mod pace;
#[allow(unsafe_code)]
mod publish;
#[allow(unsafe_code)]
pub mod reclaim;
mod shadow;
mod store;
pub(crate) mod sync;
#[allow(unsafe_code)]
pub(crate) mod table;
#[cfg(test)]
mod tests;
mod thread;
#[allow(unsafe_code)]
mod transaction;
#[allow(unsafe_code)]
pub(crate) mod tree;
mod usage;
#[allow(unsafe_code)]
pub mod value;

pub use compaction::Compacted;
pub use db::{Ahead, Basis, Change, Db, Draft};
pub use entry::{Entry, Kind, Meta};
pub use error::Error;
pub use eviction::{CacheOrder, Policy, small_queue_bytes};
pub use expiry::Swept;
pub use long::{Long, Received};
pub use store::{Counts, Options, Store};
pub use thread::{Lookups, forget_lookups_since, lookups, note_lookup, take_lookups};
pub use value::NewValue;
