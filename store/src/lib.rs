//! Mayfly's engine: data at rest and under contention.

#![deny(unsafe_code)]

#[allow(unsafe_code)]
pub mod entry;
mod error;
#[allow(unsafe_code)]
pub mod memory;
#[allow(unsafe_code)]
pub mod reclaim;
pub(crate) mod sync;
mod thread;
mod usage;
#[allow(unsafe_code)]
pub mod value;

pub use entry::{Entry, Kind, Meta};
pub use error::Error;
pub use value::NewValue;
