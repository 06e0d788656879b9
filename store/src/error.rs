//! What can go wrong in the engine: a closed list without texts.
//!
//! The protocols give each variant its words; see `net/src/error.rs`.

/// Why an operation was not carried out. Nothing was changed when one is returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The key holds another type than the operation is for.
    WrongType,
    /// The value at the key is not a decimal integer of 64 bits with sign.
    NotAnInteger,
    /// The value at the key is not a finite floating-point number.
    NotAFloat,
    /// A hash field that was to be incremented is not an integer.
    FieldNotAnInteger,
    /// A hash field that was to be incremented is not a floating-point number.
    FieldNotAFloat,
    /// The sum leaves the range of 64 bits with sign.
    Overflow,
    /// The sum is NaN or infinite.
    NotFinite,
    /// A string would grow beyond the longest allowed one.
    TooLong,
    /// The memory limit is reached and the operation could need more.
    OutOfMemory,
    /// A key that must exist does not.
    NoSuchKey,
    /// A transaction that must not be disturbed holds a key: run again a little later.
    Busy,
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self:?}")
    }
}

impl std::error::Error for Error {}
