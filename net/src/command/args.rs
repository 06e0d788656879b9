//! A cursor over a command's arguments.

use store::value::number::parse_integer;

use super::error::{self, Error};

/// The arguments not yet taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Args<'c> {
    words: &'c [&'c [u8]],
}

impl<'c> Args<'c> {
    /// All of `words`.
    pub(crate) fn new(words: &'c [&'c [u8]]) -> Args<'c> {
        Args { words }
    }

    /// How many are left.
    pub(crate) fn len(&self) -> usize {
        self.words.len()
    }

    /// Whether none is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// What is left, without taking it.
    pub(crate) fn rest(&self) -> &'c [&'c [u8]] {
        self.words
    }

    /// The next argument, without taking it.
    pub(crate) fn peek(&self) -> Option<&'c [u8]> {
        self.words.first().copied()
    }

    /// Takes the next argument, if there is one.
    pub(crate) fn next(&mut self) -> Option<&'c [u8]> {
        let (first, rest) = self.words.split_first()?;
        self.words = rest;
        Some(first)
    }

    /// Takes the next argument.
    ///
    /// # Errors
    /// A syntax error if there is none.
    pub(crate) fn word(&mut self) -> Result<&'c [u8], Error> {
        self.next().ok_or(error::SYNTAX)
    }

    /// Takes `count` arguments.
    ///
    /// # Errors
    /// A syntax error if there are not so many.
    pub(crate) fn words(&mut self, count: usize) -> Result<&'c [&'c [u8]], Error> {
        let (taken, rest) = self.words.split_at_checked(count).ok_or(error::SYNTAX)?;
        self.words = rest;
        Ok(taken)
    }

    /// Takes the next argument if it is `name`, in any case.
    pub(crate) fn option(&mut self, name: &str) -> bool {
        let is_next = self
            .peek()
            .is_some_and(|word| word.eq_ignore_ascii_case(name.as_bytes()));
        if is_next {
            self.words = &self.words[1..];
        }
        is_next
    }

    /// Takes an integer of 64 bits with sign.
    ///
    /// # Errors
    /// A syntax error if there is no argument, [`error::NOT_AN_INTEGER`].
    pub(crate) fn integer(&mut self) -> Result<i64, Error> {
        parse_integer(self.word()?).ok_or(error::NOT_AN_INTEGER)
    }

    /// Checks that nothing is left.
    ///
    /// # Errors
    /// A syntax error.
    pub(crate) fn end(&self) -> Result<(), Error> {
        match self.is_empty() {
            true => Ok(()),
            false => Err(error::SYNTAX),
        }
    }
}
