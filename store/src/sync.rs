//! Where the engine's atomics come from: std, or loom or shuttle when models are built.
//!
//! Everything threads race on goes through here, so that a model runs the very code that serves.
//! The cfgs are our own, since `--cfg loom` would switch dependencies as well.

#[cfg(mayfly_loom)]
pub(crate) use loom::sync::atomic;
#[cfg(mayfly_shuttle)]
pub(crate) use shuttle::sync::atomic;
#[cfg(not(any(mayfly_loom, mayfly_shuttle)))]
pub(crate) use std::sync::atomic;

pub(crate) use atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};
