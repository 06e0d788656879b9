//! Measuring a cache server from outside: start it, load it, ask the kernel what it cost.
//!
//! A server's CPU time per operation is the figure to trust on a small, shared machine: ops/s and
//! latencies move with whatever else runs, the time the kernel charged to the server's threads
//! hardly does. So a server runs on a core of its own, the load on another, and every figure is
//! a difference of two readings of `/proc` around the same number of operations.
//!
//! The load must be lean, or it is what gets measured: one thread, one epoll, request buffers
//! built once whose keys are overwritten in place ([`request`]), replies counted by their line
//! ends and not parsed ([`load`]).

pub mod admin;
pub mod churn;
pub mod clock;
pub mod corpus;
pub mod load;
pub mod replay;
pub mod report;
pub mod request;
pub mod server;
pub mod simulation;
pub mod traces;
