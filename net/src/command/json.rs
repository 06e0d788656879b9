//! JSON commands: whole documents and parts of them, named by paths.
//!
//! A path of JSONPath (`$…`) means every match and is answered with an array; one of the older
//! syntax means one match and is answered with it alone, or with an error. Which of them it means
//! depends on the command: one that reads takes the first, one that writes changes all and answers
//! with what became of the last.

use json::{EditError, Path, PathError, SearchTooLong};

use super::Body::Run;
use super::Flag::{DenyOom, Readonly, Write};
use super::Keys::{At, From};
use super::{Args, Call, Command, Error, Family, Reply, error};
use crate::protocol::resp::Version;
use paths::Compiled;

mod array;
mod document;
mod edit;
mod get;
mod inspect;
mod paths;
mod remove;
mod set;

const KILOBYTE: usize = 1024;
const NO_SUCH_KEY: Error =
    Error::Text("ERR could not perform this operation on a key that doesn't exist");
const NO_SUCH_PATH: Error = Error::Text("ERR Path does not exist");
const NOT_AN_ARRAY: Error = Error::Text("ERR Path does not exist or not an array");
const NOT_AN_OBJECT: Error = Error::Text("ERR Path does not exist or not an object");
const EXPECTED_STRING: Error = Error::Text("WRONGTYPE wrong type of path value - expected string");
const WRONG_FORMAT: Error = Error::Text("ERR wrong reply format");
const FORMAT_IN_RESP2: Error = Error::Text("ERR FORMAT argument is not supported on RESP2");
const BAD_INTEGER: Error = Error::Text("Couldn't parse as integer");

pub(super) const FAMILY: Family = Family {
    name: "json",
    commands: &[
        array::ARRAPPEND,
        inspect::ARRINDEX,
        array::ARRINSERT,
        inspect::ARRLEN,
        array::ARRPOP,
        array::ARRTRIM,
        remove::CLEAR,
        inspect::DEBUG,
        remove::DEL,
        remove::FORGET,
        get::GET,
        set::MERGE,
        get::MGET,
        set::MSET,
        edit::NUMINCRBY,
        edit::NUMMULTBY,
        inspect::OBJKEYS,
        inspect::OBJLEN,
        inspect::RESP,
        set::SET,
        edit::STRAPPEND,
        inspect::STRLEN,
        edit::TOGGLE,
        inspect::TYPE,
    ],
};

impl std::convert::From<PathError> for Error {
    fn from(error: PathError) -> Error {
        Error::Owned(error.to_string())
    }
}

impl std::convert::From<EditError> for Error {
    fn from(error: EditError) -> Error {
        Error::Text(match error {
            EditError::NotSingular => "Err wrong static path",
            EditError::IndexOutOfRange => "ERR array index out of range",
            EditError::NoSuchPlace => "ERR index out of bounds",
            EditError::TooDeep => "ERR recursion limit exceeded",
            EditError::TooLarge => "ERR value too large",
            EditError::SearchTooLong => "ERR the path leads to too many places",
            EditError::NotFinite => "result is not a number",
            EditError::BadOperand => "ERR the operand is of another type",
            EditError::Gone => "ERR Path does not exist",
        })
    }
}

impl std::convert::From<SearchTooLong> for Error {
    fn from(SearchTooLong: SearchTooLong) -> Error {
        EditError::SearchTooLong.into()
    }
}

/// The text of a path that may be left out. Like RedisJSON, the commands that have one take no
/// notice of what follows it.
fn optional_path<'c>(args: &mut Args<'c>) -> &'c [u8] {
    args.next().unwrap_or(b".")
}

/// Whether a path is of the older syntax.
fn is_legacy(path: &Compiled) -> bool {
    path.as_deref().is_ok_and(Path::is_legacy)
}

/// Takes an integer, with RedisJSON's words where there is none.
fn integer(args: &mut Args<'_>) -> Result<i64, Error> {
    args.integer().map_err(|_| BAD_INTEGER)
}
