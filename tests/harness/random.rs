//! Budgets and seeds.

use std::env;

/// How many operations a random test may make: the variable's number, or `default`.
pub fn budget(variable: &str, default: usize) -> usize {
    match env::var(variable) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{variable}={text} is not a number")),
        Err(_) => default,
    }
}

/// The seed of a random test: `MAYFLY_TEST_SEED`, or another one each time.
pub fn seed() -> u64 {
    match env::var("MAYFLY_TEST_SEED") {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("MAYFLY_TEST_SEED={text}")),
        Err(_) => fastrand::u64(..),
    }
}
