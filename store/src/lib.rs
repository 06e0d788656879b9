//! Mayfly's engine: data at rest and under contention.

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
pub mod memory;
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
pub use db::{Basis, Change, Db, Draft};
pub use entry::{Entry, Kind, Meta};
pub use error::Error;
pub use eviction::{CacheOrder, Policy, small_queue_bytes};
pub use expiry::Swept;
pub use store::{Counts, Options, Store};
pub use thread::{Lookups, take_lookups};
pub use value::NewValue;
