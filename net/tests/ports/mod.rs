//! Ports for servers that tests start as processes.

use std::net::TcpListener;
use std::process;
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the ports that the kernel gives to clients.
const FIRST: u16 = 10_000;
/// Processes begin so many ports apart.
const STEP: u16 = 10;

/// A port that nobody listened at a moment ago, and that no other test of this process gets.
pub(crate) fn free_port() -> u16 {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    let first = FIRST + (process::id() % 2_000) as u16 * STEP;
    loop {
        let port = first + TAKEN.fetch_add(1, Ordering::Relaxed);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
