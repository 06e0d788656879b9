//! The table of contents of the behaviour tests.
