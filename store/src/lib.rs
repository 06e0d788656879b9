//! Mayfly's engine: data at rest and under contention.

#![deny(unsafe_code)]

mod db;
#[allow(unsafe_code)]
pub mod entry;
mod error;
#[allow(unsafe_code)]
pub mod memory;
#[allow(unsafe_code)]
pub mod reclaim;
mod store;
pub(crate) mod sync;
#[allow(unsafe_code)]
pub(crate) mod table;
mod thread;
#[allow(unsafe_code)]
pub(crate) mod tree;
mod usage;
#[allow(unsafe_code)]
pub mod value;

pub use db::{Change, Db, Draft};
pub use entry::{Entry, Kind, Meta};
pub use error::Error;
pub use store::{Counts, Options, Store};
pub use value::NewValue;
