//! The table of contents of the behaviour tests.

// Tests wait for things and give up after some time, so they read the clock themselves.
#![allow(clippy::disallowed_methods)]

mod bitmaps;
mod bridge;
mod clients;
mod commands;
mod connection;
mod differential;
mod hashes;
mod json;
mod json_edits;
mod json_recorded;
mod keys;
mod limits;
mod linearizability;
mod long_replies;
mod long_values;
mod memcached;
mod memcached_login;
mod memcached_stats;
mod python;
mod server;
mod sets;
mod story;
mod strings;
mod tidy;
