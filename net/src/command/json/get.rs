//! Values as text, or as RESP3 has them: GET, MGET.

use std::cell::RefCell;

use json::{DocumentRef, Layout, Path, Value, View, print_string};
use smallvec::{SmallVec, smallvec};

use super::document::{Reach, document_of, read, weigh};
use super::edit::reply_number;
use super::paths::{Compiled, compiled};
use super::{
    Args, At, Call, Command, Error, FORMAT_IN_RESP2, From, KILOBYTE, NO_SUCH_PATH, Readonly, Reply,
    Run, Version, WRONG_FORMAT, error,
};

pub(super) const GET: Command = Command {
    name: "json.get",
    syntax: "key [INDENT indent] [NEWLINE newline] [SPACE space] \
        [FORMAT <STRING | EXPAND1 | EXPAND>] [path [path ...]]",
    summary: "Prints what paths mean, or the whole document.",
    since: "1.0.0",
    complexity: "O(N) with N the size of the document",
    flags: &[Readonly],
    keys: &[At(1)],
    body: Run(get),
};

pub(super) const MGET: Command = Command {
    name: "json.mget",
    syntax: "key [key ...] path",
    summary: "Prints what a path means in several documents.",
    since: "1.0.0",
    complexity: "O(M*N) with M documents and N the size of one",
    flags: &[Readonly],
    keys: &[From {
        first: 1,
        last: -2,
        step: 1,
    }],
    body: Run(mget),
};

/// What many replies fit in.
const TEXT_BYTES: usize = 64;

/// Room for a text that a thread keeps for the next one.
const TEXT_BYTES_KEPT: usize = 16 * KILOBYTE;

thread_local! {
    static TEXT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// How values are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// All in one text.
    String,
    /// Each as a text.
    Strings,
    /// As RESP3 has them, containers as texts.
    Expand1,
    /// As RESP3 has them.
    Expand,
}

impl Format {
    pub(super) fn parse(name: &[u8]) -> Result<Format, Error> {
        match name {
            b"STRING" => Ok(Format::String),
            b"STRINGS" => Ok(Format::Strings),
            b"EXPAND1" => Ok(Format::Expand1),
            b"EXPAND" => Ok(Format::Expand),
            _ => Err(WRONG_FORMAT),
        }
    }
}

/// Answers with one value.
pub(super) fn reply_value(reply: &mut Reply<'_>, value: Value<'_>, format: Format) {
    let is_deep = format == Format::Expand;
    match value.view() {
        _ if matches!(format, Format::String | Format::Strings) => reply_text(reply, value),
        View::Null => reply.null(),
        View::Bool(value) => reply.boolean(value),
        View::Number(number) => reply_number(reply, number),
        View::String(text) if is_deep => reply.bulk(text.as_bytes()),
        View::Array(array) if is_deep => {
            reply.array(array.len());
            array
                .iter()
                .for_each(|element| reply_value(reply, element, format));
        }
        View::Object(object) if is_deep => {
            reply.map(object.len());
            for (name, value) in object.iter() {
                reply.bulk(name.as_bytes());
                reply_value(reply, value, format);
            }
        }
        View::String(_) | View::Array(_) | View::Object(_) => reply_text(reply, value),
    }
}

fn reply_text(reply: &mut Reply<'_>, value: Value<'_>) {
    let mut text = Vec::new();
    value.print(&mut text);
    reply.bulk(&text);
}

fn get(call: &mut Call<'_>) -> Result<(), Error> {
    if let [key, path @ [b'$' | b'.', ..]] = call.args.rest() {
        return get_one(call, key, path);
    }
    let (key, request) = (
        call.args.word()?,
        GetRequest::parse(&mut call.args, call.reply.version())?,
    );
    match read(call, key)? {
        Some(found) => {
            let paths = request.paths.iter();
            let paths = paths.filter_map(|(_, path)| path.as_deref().ok());
            weigh(call, found.document(), paths, Reach::Whole)?;
            request.reply(found.document(), &mut call.reply)
        }
        None => {
            call.reply.null();
            Ok(())
        }
    }
}

/// JSON.GET of one path, which is no option, without options.
fn get_one(call: &mut Call<'_>, key: &[u8], path: &[u8]) -> Result<(), Error> {
    let path = compiled(path);
    let Some(found) = read(call, key)? else {
        call.reply.null();
        return Ok(());
    };
    let document = found.document();
    weigh(call, document, path.as_deref(), Reach::Whole)?;
    let path = path.as_deref().map_err(Clone::clone)?;
    TEXT.with_borrow_mut(|text| {
        text.clear();
        print_matches(&Layout::default(), path, document.root(), 0, text)?;
        call.reply.bulk(text);
        text.clear();
        text.shrink_to(TEXT_BYTES_KEPT);
        Ok(())
    })
}

fn mget(call: &mut Call<'_>) -> Result<(), Error> {
    let words = call.args.rest();
    let (text, keys) = words.split_last().ok_or(error::SYNTAX)?;
    let request = GetRequest::of_path(text);
    let mut texts: Vec<Option<Vec<u8>>> = Vec::with_capacity(keys.len());
    let outcome = call.db.atomic(|db| {
        texts.clear();
        for key in keys {
            let found = match db.read(key).map(|entry| document_of(call, entry)) {
                Some(Err(Error::Offload)) => return Ok(Err(Error::Offload)),
                Some(Ok(found)) => found,
                Some(Err(_)) | None => {
                    texts.push(None);
                    continue;
                }
            };
            let document = found.document();
            if let (_, Ok(path)) = &request.paths[0]
                && let Err(error @ Error::Offload) = weigh(call, document, [&**path], Reach::Whole)
            {
                return Ok(Err(error));
            }
            texts.push(request.text(document).ok());
        }
        Ok(Ok(()))
    })?;
    outcome?;
    call.reply.array(texts.len());
    for text in texts {
        call.reply.bulk_or_null(text.as_deref());
    }
    Ok(())
}

/// A path with its text.
type ReadPath<'c> = (&'c [u8], Compiled);

/// What a JSON.GET asks for.
struct GetRequest<'c> {
    layout: Layout<'c>,
    format: Format,
    /// One at least.
    paths: SmallVec<[ReadPath<'c>; 1]>,
}

impl<'c> GetRequest<'c> {
    fn parse(args: &mut Args<'c>, version: Version) -> Result<GetRequest<'c>, Error> {
        let mut request = GetRequest {
            layout: Layout::default(),
            format: Format::String,
            paths: SmallVec::new(),
        };
        while !args.is_empty() {
            let layout = &mut request.layout;
            let option = match () {
                () if args.option("INDENT") => Some(&mut layout.indent),
                () if args.option("NEWLINE") => Some(&mut layout.newline),
                () if args.option("SPACE") => Some(&mut layout.space),
                () if args.option("FORMAT") => None,
                // What it was for is always so.
                () if args.option("NOESCAPE") => continue,
                () => {
                    let text = args.word()?;
                    request.paths.push((text, compiled(text)));
                    continue;
                }
            };
            if option.is_none() && version == Version::Resp2 && request.paths.is_empty() {
                return Err(FORMAT_IN_RESP2);
            }
            let word = args.next().ok_or_else(|| error::wrong_arity("json.get"))?;
            match option {
                Some(text) => *text = word,
                None => request.format = Format::parse(word)?,
            }
        }
        if request.format == Format::Strings {
            return Err(WRONG_FORMAT);
        }
        if version == Version::Resp2 {
            request.format = Format::String;
        }
        if request.paths.is_empty() {
            request.paths.push((b".", compiled(b".")));
        }
        Ok(request)
    }

    /// What a JSON.GET of one path asks for.
    fn of_path(text: &'c [u8]) -> GetRequest<'c> {
        GetRequest {
            layout: Layout::default(),
            format: Format::String,
            paths: smallvec![(text, compiled(text))],
        }
    }

    fn reply(&self, document: DocumentRef<'_>, reply: &mut Reply<'_>) -> Result<(), Error> {
        if self.format == Format::String {
            reply.bulk(&self.text(document)?);
            return Ok(());
        }
        reply.array(self.paths.len());
        for (_, path) in &self.paths {
            let values = match path {
                Ok(path) => path.find(document.root())?,
                Err(_) => Vec::new(),
            };
            reply.array(values.len());
            for value in values {
                reply_value(reply, value, self.format);
            }
        }
        Ok(())
    }

    /// What the paths mean, in one text.
    fn text(&self, document: DocumentRef<'_>) -> Result<Vec<u8>, Error> {
        let mut text = Vec::with_capacity(TEXT_BYTES);
        match &self.paths[..] {
            [(_, path)] => {
                let path = path.as_deref().map_err(Clone::clone)?;
                print_matches(&self.layout, path, document.root(), 0, &mut text)?;
            }
            _ => self.print_by_path(document.root(), &mut text)?,
        }
        Ok(text)
    }

    /// An object with a member for each path. Like RedisJSON, leaves out what is no path.
    fn print_by_path(&self, root: Value<'_>, out: &mut Vec<u8>) -> Result<(), Error> {
        let mut paths: Vec<(&[u8], &Path)> = Vec::with_capacity(self.paths.len());
        for (text, path) in &self.paths {
            if let Ok(path) = path
                && paths.iter().all(|(known, _)| known != text)
            {
                paths.push((text, path));
            }
        }
        // One path that may have many matches makes all of them such.
        let has_many = paths.iter().any(|(_, path)| !path.is_legacy());
        out.push(b'{');
        for (index, (text, path)) in paths.iter().enumerate() {
            begin_line(&self.layout, index > 0, 1, out);
            print_string(text, out);
            out.push(b':');
            out.extend_from_slice(self.layout.space);
            match has_many {
                true => print_all(&self.layout, path, root, 1, out)?,
                false => print_matches(&self.layout, path, root, 1, out)?,
            }
        }
        begin_line(&self.layout, false, 0, out);
        out.push(b'}');
        Ok(())
    }
}

/// What a path means, in the way of its syntax.
fn print_matches(
    layout: &Layout<'_>,
    path: &Path,
    root: Value<'_>,
    level: usize,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    if !path.is_legacy() {
        return print_all(layout, path, root, level, out);
    }
    let first = path.first(root)?.ok_or(NO_SUCH_PATH)?;
    first.print_with(layout, level, out);
    Ok(())
}

/// Every match of a path, as an array.
fn print_all(
    layout: &Layout<'_>,
    path: &Path,
    root: Value<'_>,
    level: usize,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let (one, all);
    let matches = match path.is_singular() {
        true => {
            one = path.first(root)?;
            one.as_slice()
        }
        false => {
            all = path.find(root)?;
            &all[..]
        }
    };
    out.push(b'[');
    for (index, value) in matches.iter().enumerate() {
        begin_line(layout, index > 0, level + 1, out);
        value.print_with(layout, level + 1, out);
    }
    if !matches.is_empty() {
        begin_line(layout, false, level, out);
    }
    out.push(b']');
    Ok(())
}

fn begin_line(layout: &Layout<'_>, comma: bool, level: usize, out: &mut Vec<u8>) {
    if comma {
        out.push(b',');
    }
    out.extend_from_slice(layout.newline);
    for _ in 0..level {
        out.extend_from_slice(layout.indent);
    }
}
