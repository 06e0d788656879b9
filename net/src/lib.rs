//! Everything between a socket and a store.
//!
//! The life of one request: `connection` reads bytes into its buffer; `protocol` turns all
//! complete requests there into slices of the buffer; their keys are prefetched; `command` finds
//! each request's entry in the command table, checks it and runs its handler against the store
//! under one guard for the whole batch; replies gather in one output buffer, which is written
//! once.

#![forbid(unsafe_code)]

mod account;
mod clients;
mod clock;
pub(crate) mod command;
mod config;
mod connection;
pub(crate) mod error;
mod flags;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub(crate) mod glob;
mod housekeeping;
mod listen;
mod output_limits;
mod process;
pub(crate) mod protocol;
mod rests;
mod runtime;
mod server;
pub(crate) mod session;
pub(crate) mod shared;
mod spread;
mod stats;
mod users;
mod worker;

pub use config::{Config, Invalid};
pub use flags::NoStart;
pub use server::{Server, StartError, Stopper};

/// Sends this process's log to its standard error stream. What is logged is the server's
/// parameter `loglevel`.
pub fn log_to_stderr() {
    env_logger::Builder::new()
        .filter_level(log::LevelFilter::Trace)
        .init();
}
