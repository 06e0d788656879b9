//! Replies: what happened, written in the form that the request came in.
//!
//! Each method of [`Writer`] is something that can have happened; the three forms say it in a
//! module each. Nothing is allocated but room in the output.

use super::request::{ListForm, Mode, Refusal, Store};
use super::words::Words;
use crate::protocol::output::Output;

mod binary;
mod list;
mod meta;
mod text;

/// A reply of one line, without its end.
pub(crate) type Line = &'static str;

/// How the answer to a request is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form<'b> {
    /// In lines and words.
    Text {
        /// Whether the client wants no reply.
        noreply: bool,
    },
    /// In two letters and flags.
    Meta(MetaForm<'b>),
    /// In frames.
    Binary(BinaryForm),
}

impl Form<'_> {
    /// The text protocol's, with a reply.
    pub(crate) const TEXT: Form<'static> = Form::Text { noreply: false };

    /// Whether, as in memcached, an older value must not outlive an item that has no place.
    pub(crate) fn removes_old(&self, store: &Store<'_>) -> bool {
        match self {
            Form::Text { .. } => store.mode == Mode::Set && store.compare.is_none(),
            Form::Meta(_) => true,
            Form::Binary(form) => super::binary::removes_old(form.opcode),
        }
    }
}

/// What of a meta command decides its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MetaForm<'b> {
    /// As they came in; some are repeated.
    pub(crate) flags: Words<'b>,
    /// Whether the answer that is expected goes unsaid.
    pub(crate) is_quiet: bool,
    /// Whether the value is part of the reply.
    pub(crate) wants_value: bool,
    /// Whether the key was sent in base64.
    pub(crate) is_key_base64: bool,
}

/// What of a binary request decides its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BinaryForm {
    /// As it came in.
    pub(crate) opcode: u8,
    /// As it came in.
    pub(crate) opaque: u32,
    /// Whether the answer that is expected goes unsaid.
    pub(crate) is_quiet: bool,
    /// Whether an item comes with its key.
    pub(crate) with_key: bool,
}

/// What became of a request that has no item for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// Stored.
    Stored,
    /// Not stored, since a condition was not met.
    NotStored,
    /// The token is another.
    Exists,
    /// There is no such item.
    NotFound,
    /// Deleted, or marked.
    Deleted,
    /// It expires at another time.
    Touched,
    /// Done.
    Ok,
    /// No number to change.
    NotANumber,
    /// Longer than an item may be.
    TooLarge,
    /// No memory for it.
    OutOfMemory,
    /// Clients cannot stop the server.
    NoShutdown,
    /// No such user, or another password.
    AuthFailed,
}

/// What there is to say of an item that was stored, or was to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stored<'i> {
    /// Where.
    pub(crate) key: &'i [u8],
    /// Its new token; 0 if there is none.
    pub(crate) token: u64,
    /// How long its value is; none if the request was about no value.
    pub(crate) value_bytes: Option<usize>,
}

impl<'i> Stored<'i> {
    /// Of an item of which nothing else is known.
    pub(crate) fn at(key: &'i [u8]) -> Stored<'i> {
        Stored {
            key,
            token: 0,
            value_bytes: None,
        }
    }
}

/// An item that was found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Item<'i> {
    /// Where.
    pub(crate) key: &'i [u8],
    /// What the client wants to be told with the value.
    pub(crate) client_flags: u32,
    /// Its token.
    pub(crate) token: u64,
    /// How long its value is.
    pub(crate) value_bytes: usize,
    /// Whether the client has the value already.
    pub(crate) is_withheld: bool,
    /// The rest, which some forms cannot say.
    pub(crate) details: Details,
}

/// What else is known of an item.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Details {
    /// When it expired before the request, in seconds from now; none: never.
    pub(crate) ttl_before_s: Option<u64>,
    /// The same after a touch.
    pub(crate) ttl_s: Option<u64>,
    /// The same after the request made it.
    pub(crate) made_ttl_s: Option<u64>,
    /// The time since it was last used, in seconds.
    pub(crate) idle_s: u64,
    /// Whether it was read before.
    pub(crate) was_fetched: bool,
    /// Whether it is stale.
    pub(crate) is_stale: bool,
    /// Whether another client is making a new one already.
    pub(crate) win_sent: bool,
    /// Whether this client is asked to make a new one.
    pub(crate) has_won: bool,
    /// Whether the request made it.
    pub(crate) is_made: bool,
}

/// An item of a list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listed<'i> {
    /// Where.
    pub(crate) key: &'i [u8],
    /// When it expires, in seconds since 1970; none: never.
    pub(crate) expires_at_s: Option<u64>,
    /// When it was last used, in seconds since 1970.
    pub(crate) used_at_s: u64,
    /// Its token.
    pub(crate) token: u64,
    /// Whether it was read.
    pub(crate) was_fetched: bool,
    /// What it takes, as memcached counts.
    pub(crate) size_bytes: usize,
    /// What clients want to be told with the value.
    pub(crate) client_flags: u32,
    /// The length of its value.
    pub(crate) value_bytes: usize,
}

/// A number that was changed or made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Number<'i> {
    /// Where.
    pub(crate) key: &'i [u8],
    /// The new number.
    pub(crate) value: u64,
    /// Its token.
    pub(crate) token: u64,
    /// When it expires, and whether it was made.
    pub(crate) details: Details,
}

/// Appends the reply of one request to an output buffer.
#[derive(Debug)]
pub(crate) struct Writer<'o, 'b> {
    out: &'o mut Output,
    form: Form<'b>,
}

impl<'o, 'b> Writer<'o, 'b> {
    /// Writes behind what `out` holds.
    pub(crate) fn new(out: &'o mut Output, form: Form<'b>) -> Writer<'o, 'b> {
        Writer { out, form }
    }

    /// How replies are written.
    pub(crate) fn form(&self) -> Form<'b> {
        self.form
    }

    /// How many bytes the buffer holds.
    pub(crate) fn len(&self) -> usize {
        self.out.len()
    }

    /// What became of the request.
    pub(crate) fn status(&mut self, status: Status, stored: Stored<'_>) {
        match self.form {
            Form::Text { noreply: true } => {}
            Form::Text { noreply: false } => text::line(self.out, text::of_status(status)),
            Form::Meta(form) => meta::status(self.out, &form, status, stored),
            Form::Binary(form) => binary::status(self.out, &form, status, stored.token),
        }
    }

    /// One of the items that get asked for; `append` appends the value.
    pub(crate) fn value(
        &mut self,
        (key, client_flags, token): (&[u8], u32, Option<u64>),
        value_bytes: usize,
        append: impl FnOnce(&mut Output),
    ) {
        text::value(self.out, (key, client_flags, token), value_bytes, append);
    }

    /// The end of items or statistics.
    pub(crate) fn end(&mut self) {
        match self.form {
            Form::Binary(form) => binary::stat(self.out, &form, b"", b""),
            _ => text::line(self.out, "END"),
        }
    }

    /// Statistics that are lines of their own, and their end.
    pub(crate) fn dump(&mut self, lines: &[u8]) {
        match self.form {
            Form::Binary(_) if lines.is_empty() => {}
            Form::Binary(form) => binary::stat(self.out, &form, b"detailed", lines),
            _ => self.out.extend_from_slice(lines),
        }
        self.end();
    }

    /// Statistics start again.
    pub(crate) fn reset(&mut self) {
        match self.form {
            Form::Binary(_) => self.end(),
            _ => text::line(self.out, "RESET"),
        }
    }

    /// The item asked for; `append` appends the value.
    pub(crate) fn item(&mut self, item: &Item<'_>, append: impl FnOnce(&mut Output)) {
        match self.form {
            Form::Text { .. } => unreachable!("get of the text protocol asks for many"),
            Form::Meta(form) => meta::item(self.out, &form, item, append),
            Form::Binary(form) => binary::item(self.out, &form, item, append),
        }
    }

    /// There is no such item.
    pub(crate) fn miss(&mut self, key: &[u8]) {
        match self.form {
            Form::Text { .. } => unreachable!("get of the text protocol asks for many"),
            Form::Meta(form) => meta::miss(self.out, &form, key),
            Form::Binary(form) => binary::miss(self.out, &form, key),
        }
    }

    /// The item expires at another time.
    pub(crate) fn touched(&mut self, client_flags: u32, token: u64) {
        match self.form {
            Form::Binary(form) => binary::touched(self.out, &form, client_flags, token),
            _ => self.status(Status::Touched, Stored::at(b"")),
        }
    }

    /// The number after a change.
    pub(crate) fn number(&mut self, number: &Number<'_>) {
        match self.form {
            Form::Text { noreply: true } => {}
            Form::Text { noreply: false } => text::number(self.out, number.value),
            Form::Meta(form) => meta::number(self.out, &form, number),
            Form::Binary(form) => binary::number(self.out, &form, number),
        }
    }

    /// What is known of an item, in words of memcached.
    pub(crate) fn debug(&mut self, item: &Item<'_>, size_bytes: usize) {
        if let Form::Meta(form) = self.form {
            meta::debug(self.out, &form, item, size_bytes);
        }
    }

    /// Whether the client wants no reply.
    pub(crate) fn is_silent(&self) -> bool {
        matches!(self.form, Form::Text { noreply: true })
    }

    /// A list of items begins.
    pub(crate) fn list_begins(&mut self, form: ListForm) {
        match form {
            ListForm::Metadata | ListForm::Requests => text::line(self.out, "OK"),
            ListForm::Lengths => {}
        }
    }

    /// An item of a list; whether a list of this form can name it.
    pub(crate) fn listed(&mut self, form: ListForm, item: &Listed<'_>) -> bool {
        match form {
            ListForm::Metadata => list::metadata(self.out, item),
            ListForm::Requests => list::request(self.out, item.key),
            ListForm::Lengths => return list::length(self.out, item),
        }
        true
    }

    /// A list of items is whole.
    pub(crate) fn list_ends(&mut self, form: ListForm) {
        text::line(
            self.out,
            match form {
                ListForm::Metadata | ListForm::Lengths => "END",
                ListForm::Requests => "EN",
            },
        );
    }

    /// The server's version.
    pub(crate) fn version(&mut self, version: &str) {
        match self.form {
            Form::Binary(form) => binary::body(self.out, &form, version.as_bytes()),
            _ => {
                self.out.extend_from_slice(b"VERSION ");
                self.out.extend_from_slice(version.as_bytes());
                text::end(self.out);
            }
        }
    }

    /// All requests before were carried out.
    pub(crate) fn noop(&mut self) {
        match self.form {
            Form::Binary(form) => binary::body(self.out, &form, b""),
            _ => text::line(self.out, "MN"),
        }
    }

    /// The connection is to be closed.
    pub(crate) fn quit(&mut self) {
        if let Form::Binary(form) = self.form
            && !form.is_quiet
        {
            binary::body(self.out, &form, b"");
        }
    }

    /// How SASL may be spoken, or that it was spoken well.
    pub(crate) fn sasl(&mut self, text: &str) {
        if let Form::Binary(form) = self.form {
            binary::body(self.out, &form, text.as_bytes());
        }
    }

    /// The request cannot be carried out.
    pub(crate) fn refused(&mut self, refusal: Refusal) {
        match self.form {
            Form::Text { noreply: true } => {}
            Form::Text { .. } | Form::Meta(_) => text::line(self.out, refusal.line()),
            Form::Binary(form) => binary::refused(self.out, &form, refusal),
        }
    }

    /// A statistic.
    pub(crate) fn stat(&mut self, name: &str, value: impl std::fmt::Display) {
        match self.form {
            Form::Binary(form) => {
                let value = value.to_string();
                binary::stat(self.out, &form, name.as_bytes(), value.as_bytes());
            }
            _ => {
                let line = format!("STAT {name} {value}\r\n");
                self.out.extend_from_slice(line.as_bytes());
            }
        }
    }
}

fn digits(out: &mut Vec<u8>, value: u64) {
    // Flags are mostly 0, and many values short.
    if value < 10 {
        return out.push(b'0' + value as u8);
    }
    let mut buffer = itoa::Buffer::new();
    out.extend_from_slice(buffer.format(value).as_bytes());
}
