//! JSON commands: whole documents and parts of them, named by paths.
//!
//! A path of JSONPath (`$…`) means every match and is answered with an array; one of the older
//! syntax means the first match and is answered with it alone, or with an error.
//!
//! What counts as a document at a key is said in one place, [`document`]: with the bridge on, a
//! string that holds JSON is one too.

use json::{Condition, DocumentRef, EditError, Layout, Path, Rest, Value};
use json::{Deletion, Document, PathError, SearchTooLong, print_string};
use store::value::json::{borrowed, owned};
use store::value::memory_bytes;
use store::{Change, Draft, Entry, NewValue};

use super::Body::Run;
use super::Flag::{DenyOom, Readonly, Write};
use super::Keys::At;
use super::{Args, Call, Command, Error, Family, Reply, error};
use crate::protocol::resp::Version;

mod document;

use document::{Found, check_replaceable, document_of};

const KILOBYTE: usize = 1024;
const NOT_AT_ROOT: Error = Error::Text("ERR new objects must be created at the root");
const NO_SUCH_PATH: Error = Error::Text("ERR Path does not exist");
const FORMAT_IN_RESP2: Error = Error::Text("ERR FORMAT argument is not supported on RESP2");

pub(super) const FAMILY: Family = Family {
    name: "json",
    commands: &[
        Command {
            name: "json.del",
            syntax: "key [path]",
            summary: "Deletes what a path means, or the whole document.",
            since: "1.0.0",
            complexity: "O(N) with N the size of the document",
            flags: &[Write],
            keys: &[At(1)],
            body: Run(del),
        },
        Command {
            name: "json.forget",
            syntax: "key [path]",
            summary: "Deletes what a path means: another name of JSON.DEL.",
            since: "1.0.0",
            complexity: "O(N) with N the size of the document",
            flags: &[Write],
            keys: &[At(1)],
            body: Run(del),
        },
        Command {
            name: "json.get",
            syntax: "key [INDENT indent] [NEWLINE newline] [SPACE space] [path [path ...]]",
            summary: "Prints what paths mean, or the whole document.",
            since: "1.0.0",
            complexity: "O(N) with N the size of the document",
            flags: &[Readonly],
            keys: &[At(1)],
            body: Run(get),
        },
        Command {
            name: "json.set",
            syntax: "key path value [NX | XX]",
            summary: "Sets what a path means, or makes a new member or document.",
            since: "1.0.0",
            complexity: "O(M+N) with M the size of the document and N that of the value",
            flags: &[Write, DenyOom],
            keys: &[At(1)],
            body: Run(set),
        },
        Command {
            name: "json.type",
            syntax: "key [path]",
            summary: "Names the type of what a path means.",
            since: "1.0.0",
            complexity: "O(1) for a path with one match",
            flags: &[Readonly],
            keys: &[At(1)],
            body: Run(type_of),
        },
    ],
};

impl From<PathError> for Error {
    fn from(error: PathError) -> Error {
        Error::Owned(error.to_string())
    }
}

impl From<EditError> for Error {
    fn from(error: EditError) -> Error {
        Error::Text(match error {
            EditError::NotSingular => "Err wrong static path",
            EditError::IndexOutOfRange => "ERR array index out of range",
            EditError::TooDeep => "ERR recursion limit exceeded",
            EditError::TooLarge => "ERR value too large",
            EditError::SearchTooLong => "ERR the path leads to too many places",
        })
    }
}

impl From<SearchTooLong> for Error {
    fn from(SearchTooLong: SearchTooLong) -> Error {
        EditError::SearchTooLong.into()
    }
}

fn set(call: &mut Call<'_>) -> Result<(), Error> {
    let (key, request) = (call.args.word()?, SetRequest::parse(&mut call.args)?);
    call.heavy(request.text.len() / KILOBYTE)?;
    let value = request.document()?;
    let is_set = call.db.update(key, |entry| {
        if let Err(offload) = heavy_edit(call, entry, &request.path) {
            return Ok((Change::Keep, Err(offload)));
        }
        let old = match request.old(call, entry) {
            Ok(old) => old,
            Err(error) => return Ok((Change::Keep, Err(error))),
        };
        let new = match request.decide(old.as_ref(), &value) {
            Ok(Decision::Keep) => return Ok((Change::Keep, Ok(false))),
            Ok(Decision::Put) => borrowed(&value)?,
            Ok(Decision::Edited(document)) => following(old, document)?,
            Err(error) => return Ok((Change::Keep, Err(error))),
        };
        Ok((Change::Put(Draft::keeping_any(entry, new)), Ok(true)))
    })??;
    match is_set {
        true => call.reply.ok(),
        false => call.reply.null(),
    }
    Ok(())
}

/// Says what an edit costs: where a path may lead anywhere, the whole document is visited.
fn heavy_edit(
    call: &Call<'_>,
    entry: Option<Entry<'_>>,
    path: &Result<Path<'_>, PathError>,
) -> Result<(), Error> {
    match (entry, path) {
        (Some(entry), Ok(path)) if !path.is_singular() => {
            call.heavy(memory_bytes(entry) / KILOBYTE)
        }
        _ => Ok(()),
    }
}

/// What an edit made of the document that was there, as a value.
fn following<'a>(old: Option<Old<'_>>, document: Document) -> Result<NewValue<'a>, store::Error> {
    match old {
        Some(Old::Document(old)) => old.followed_by(document),
        _ => owned(document),
    }
}

/// What stands at the key that a JSON.SET is for.
enum Old<'g> {
    Document(Found<'g>),
    /// Something that the root may replace, whatever it is.
    Replaceable,
}

/// What a JSON.SET asks for.
struct SetRequest<'c> {
    /// A path that cannot be compiled is an error only where it is followed.
    path: Result<Path<'c>, PathError>,
    text: &'c [u8],
    condition: Condition,
}

/// What a JSON.SET does.
enum Decision {
    Keep,
    /// The value becomes the whole document.
    Put,
    Edited(Document),
}

impl<'c> SetRequest<'c> {
    fn parse(args: &mut Args<'c>) -> Result<SetRequest<'c>, Error> {
        let path = Path::parse(args.word()?);
        let text = args.word()?;
        let condition = match () {
            () if args.option("NX") => Condition::IfMissing,
            () if args.option("XX") => Condition::IfPresent,
            () => Condition::Always,
        };
        args.end()?;
        Ok(SetRequest {
            path,
            text,
            condition,
        })
    }

    fn document(&self) -> Result<Document, Error> {
        Document::parse(self.text).map_err(|error| Error::Owned(error.to_string()))
    }

    fn means_root(&self) -> bool {
        self.path.as_ref().is_ok_and(Path::is_root)
    }

    /// What `entry` is to this request.
    fn old<'g>(&self, call: &Call<'_>, entry: Option<Entry<'g>>) -> Result<Option<Old<'g>>, Error> {
        Ok(match entry {
            None => None,
            Some(entry) if self.means_root() => {
                check_replaceable(call, entry)?;
                Some(Old::Replaceable)
            }
            Some(entry) => Some(Old::Document(document_of(call, entry)?)),
        })
    }

    fn decide(&self, old: Option<&Old<'_>>, value: &Document) -> Result<Decision, Error> {
        let is_there = old.is_some();
        match old {
            None if self.condition == Condition::IfPresent => return Ok(Decision::Keep),
            None if !self.means_root() => return Err(NOT_AT_ROOT),
            Some(Old::Document(old)) => {
                let path = self.path.as_ref().map_err(Clone::clone)?;
                let old = old.document();
                return Ok(match old.set(path, value.borrow(), self.condition)? {
                    Some(document) => Decision::Edited(document),
                    None => Decision::Keep,
                });
            }
            _ => {}
        }
        Ok(match self.condition {
            Condition::IfMissing if is_there => Decision::Keep,
            _ => Decision::Put,
        })
    }
}

fn del(call: &mut Call<'_>) -> Result<(), Error> {
    let (key, path) = (call.args.word()?, optional_path(&mut call.args)?);
    let path = Path::parse(path);
    let count = call.db.update(key, |entry| {
        let Some(entry) = entry else {
            return Ok((Change::Keep, Ok(0)));
        };
        if let Err(offload) = heavy_edit(call, Some(entry), &path) {
            return Ok((Change::Keep, Err(offload)));
        }
        let old = match document_of(call, entry) {
            Ok(old) => old,
            Err(error) => return Ok((Change::Keep, Err(error))),
        };
        let Deletion { count, rest } = match delete(old.document(), &path) {
            Ok(deletion) => deletion,
            Err(error) => return Ok((Change::Keep, Err(error))),
        };
        let change = match rest {
            Rest::Same => Change::Keep,
            Rest::Nothing => Change::Remove,
            Rest::Changed(document) => {
                let new = old.followed_by(document)?;
                Change::Put(Draft::keeping(entry, new))
            }
        };
        Ok((change, Ok(count)))
    })??;
    call.reply.count(count);
    Ok(())
}

fn delete(
    document: DocumentRef<'_>,
    path: &Result<Path<'_>, PathError>,
) -> Result<Deletion, Error> {
    let path = path.as_ref().map_err(Clone::clone)?;
    Ok(document.delete(path)?)
}

fn get(call: &mut Call<'_>) -> Result<(), Error> {
    let (key, request) = (
        call.args.word()?,
        GetRequest::parse(&mut call.args, call.reply.version())?,
    );
    match read(call, key, &request.paths)? {
        Some(found) => request.reply(found.document(), &mut call.reply),
        None => {
            call.reply.null();
            Ok(())
        }
    }
}

/// What a JSON.GET asks for.
struct GetRequest<'c> {
    layout: Layout<'c>,
    /// The texts of the paths. None means the root, in the older syntax.
    paths: Vec<&'c [u8]>,
}

impl<'c> GetRequest<'c> {
    fn parse(args: &mut Args<'c>, version: Version) -> Result<GetRequest<'c>, Error> {
        let mut request = GetRequest {
            layout: Layout::default(),
            paths: Vec::new(),
        };
        while !args.is_empty() {
            let layout = &mut request.layout;
            let text = match () {
                () if args.option("INDENT") => &mut layout.indent,
                () if args.option("NEWLINE") => &mut layout.newline,
                () if args.option("SPACE") => &mut layout.space,
                // What it was for is always so.
                () if args.option("NOESCAPE") => continue,
                () if args.option("FORMAT") => {
                    if version == Version::Resp2 {
                        return Err(FORMAT_IN_RESP2);
                    }
                    if !args.option("STRING") {
                        return Err(error::SYNTAX);
                    }
                    continue;
                }
                () => {
                    request.paths.push(args.word()?);
                    continue;
                }
            };
            *text = args.next().ok_or_else(|| error::wrong_arity("json.get"))?;
        }
        Ok(request)
    }

    fn reply(&self, document: DocumentRef<'_>, reply: &mut Reply<'_>) -> Result<(), Error> {
        let root = document.root();
        let mut out = Vec::new();
        match self.paths[..] {
            [] => root.print_with(&self.layout, 0, &mut out),
            [path] => self.print_matches(&Path::parse(path)?, root, 0, &mut out)?,
            _ => self.print_by_path(root, &mut out)?,
        }
        reply.bulk(&out);
        Ok(())
    }

    /// An object with a member for each path.
    fn print_by_path(&self, root: Value<'_>, out: &mut Vec<u8>) -> Result<(), Error> {
        let mut paths: Vec<(&[u8], Path<'_>)> = Vec::with_capacity(self.paths.len());
        for &text in &self.paths {
            if paths.iter().all(|(known, _)| *known != text) {
                paths.push((text, Path::parse(text)?));
            }
        }
        // One path that may have many matches makes all of them such.
        let has_many = paths.iter().any(|(_, path)| !path.is_legacy());
        out.push(b'{');
        for (index, (text, path)) in paths.iter().enumerate() {
            self.begin_line(index > 0, 1, out);
            print_string(text, out);
            out.push(b':');
            out.extend_from_slice(self.layout.space);
            match has_many {
                true => self.print_all(path, root, 1, out)?,
                false => self.print_matches(path, root, 1, out)?,
            }
        }
        self.begin_line(false, 0, out);
        out.push(b'}');
        Ok(())
    }

    /// What a path means, in the way of its syntax.
    fn print_matches(
        &self,
        path: &Path<'_>,
        root: Value<'_>,
        level: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        if !path.is_legacy() {
            return self.print_all(path, root, level, out);
        }
        let first = path.first(root)?.ok_or(NO_SUCH_PATH)?;
        first.print_with(&self.layout, level, out);
        Ok(())
    }

    /// Every match of a path, as an array.
    fn print_all(
        &self,
        path: &Path<'_>,
        root: Value<'_>,
        level: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let matches = path.find(root)?;
        out.push(b'[');
        for (index, value) in matches.iter().enumerate() {
            self.begin_line(index > 0, level + 1, out);
            value.print_with(&self.layout, level + 1, out);
        }
        if !matches.is_empty() {
            self.begin_line(false, level, out);
        }
        out.push(b']');
        Ok(())
    }

    fn begin_line(&self, comma: bool, level: usize, out: &mut Vec<u8>) {
        if comma {
            out.push(b',');
        }
        out.extend_from_slice(self.layout.newline);
        for _ in 0..level {
            out.extend_from_slice(self.layout.indent);
        }
    }
}

fn type_of(call: &mut Call<'_>) -> Result<(), Error> {
    let (key, path) = (call.args.word()?, optional_path(&mut call.args)?);
    let found = read(call, key, &[path])?;
    let document = found.as_ref().map(Found::document);
    reply_type(document, path, &mut call.reply)
}

fn reply_type(
    document: Option<DocumentRef<'_>>,
    path: &[u8],
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let types = document.map(|document| types(document, path)).transpose()?;
    if reply.version() == Version::Resp3 {
        reply.array(1);
    }
    match types {
        None | Some(Types::First(None)) => reply.null(),
        Some(Types::First(Some(name))) => reply.bulk(name),
        Some(Types::All(names)) => {
            reply.array(names.len());
            names.into_iter().for_each(|name| reply.bulk(name));
        }
    }
    Ok(())
}

/// The types of what a path means, in the way of its syntax.
enum Types {
    First(Option<&'static [u8]>),
    All(Vec<&'static [u8]>),
}

fn types(document: DocumentRef<'_>, path: &[u8]) -> Result<Types, Error> {
    let root = document.root();
    match Path::parse(path) {
        Ok(path) if path.is_legacy() => Ok(Types::First(path.first(root)?.map(type_name))),
        Ok(path) => Ok(Types::All(
            path.find(root)?.into_iter().map(type_name).collect(),
        )),
        // The older syntax has one answer for all that is not there.
        Err(_) if !path.starts_with(b"$") => Ok(Types::First(None)),
        Err(error) => Err(error.into()),
    }
}

fn type_name(value: Value<'_>) -> &'static [u8] {
    match value.kind() {
        json::Kind::Null => b"null",
        json::Kind::Boolean => b"boolean",
        json::Kind::Integer => b"integer",
        json::Kind::Float => b"number",
        json::Kind::String => b"string",
        json::Kind::Array => b"array",
        json::Kind::Object => b"object",
    }
}

/// The text of a path that may be left out, which is the last argument.
fn optional_path<'c>(args: &mut Args<'c>) -> Result<&'c [u8], Error> {
    let path = args.next().unwrap_or(b".");
    args.end()?;
    Ok(path)
}

/// The document at a key, for a command that visits what `paths` mean.
fn read<'c>(call: &Call<'c>, key: &[u8], paths: &[&[u8]]) -> Result<Option<Found<'c>>, Error> {
    let Some(entry) = call.db.read(key) else {
        return Ok(None);
    };
    let found = document_of(call, entry)?;
    if let Err(offload) = call.heavy(memory_bytes(entry) / KILOBYTE) {
        // Few paths of one match each may still lead to little.
        let Some(bytes) = bytes_of_singular(found.document(), paths) else {
            return Err(offload);
        };
        call.heavy(bytes / KILOBYTE)?;
    }
    Ok(Some(found))
}

/// About how many bytes the values take that `paths` mean, if that is one value for each.
fn bytes_of_singular(document: DocumentRef<'_>, paths: &[&[u8]]) -> Option<usize> {
    let bytes = paths.iter().map(|text| match Path::parse(text) {
        Ok(path) if path.is_singular() => {
            let value = path.first(document.root()).ok()?;
            Some(value.map_or(0, Value::extent))
        }
        Ok(_) => None,
        Err(_) => Some(0),
    });
    (!paths.is_empty()).then(|| bytes.sum())?
}

#[cfg(test)]
mod tests;
