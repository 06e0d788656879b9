//! Checks histories.
