//! What goes, or becomes empty: DEL, FORGET, CLEAR.

use json::{Deletion, Rest};
use store::{Change, Draft};

use super::document::{Reach, change, document_of, update, weigh};
use super::paths::compiled;
use super::{At, Call, Command, Error, Run, Write, error, optional_path};

pub(super) const DEL: Command = Command {
    name: "json.del",
    syntax: "key [path]",
    summary: "Deletes what a path means, or the whole document.",
    since: "1.0.0",
    complexity: "O(N) with N the size of the document",
    flags: &[Write],
    keys: &[At(1)],
    body: Run(del),
};

pub(super) const FORGET: Command = Command {
    name: "json.forget",
    summary: "Deletes what a path means: another name of JSON.DEL.",
    ..DEL
};

pub(super) const CLEAR: Command = Command {
    name: "json.clear",
    syntax: "key [path]",
    summary: "Empties the containers and makes the numbers 0 that a path means.",
    since: "2.0.0",
    complexity: "O(1) for a path with one match",
    flags: &[Write],
    keys: &[At(1)],
    body: Run(clear),
};

fn del(call: &mut Call<'_>) -> Result<(), Error> {
    let (key, path) = (call.args.word()?, optional_path(&mut call.args));
    let path = compiled(path);
    let count = update(&call.db, key, |entry| {
        let Some(entry) = entry else {
            return Ok((Change::Keep, 0));
        };
        let found = document_of(call, entry)?;
        let path = path.as_deref().map_err(Clone::clone)?;
        weigh(call, found.document(), [path], Reach::Surface)?;
        let Deletion { count, rest } = found.document().delete(path)?;
        let change = match rest {
            Rest::Same => Change::Keep,
            Rest::Nothing => Change::Remove,
            Rest::Changed(document) => {
                Change::Put(Draft::keeping(entry, found.followed_by(document)?))
            }
        };
        Ok((change, count))
    })?;
    call.reply.count(count);
    Ok(())
}

fn clear(call: &mut Call<'_>) -> Result<(), Error> {
    if call.args.len() > 2 {
        return Err(error::wrong_arity("json.clear"));
    }
    let (key, path) = (call.args.word()?, optional_path(&mut call.args));
    let path = compiled(path);
    let edit = change(call, key, &path, Reach::Surface, |document, path| {
        document.clear(path)
    })?;
    if let Some(failure) = edit.failure {
        return Err(failure.into());
    }
    call.reply.count(edit.answers.iter().flatten().count());
    Ok(())
}
