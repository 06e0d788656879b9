//! Connection commands: AUTH, ECHO, HELLO, PING, QUIT, RESET, SELECT.

use super::Flag::*;
use super::{Body, Call, Command, Error, Family, error, module};
use crate::protocol::resp::Version;
use crate::session::{Replies, Session};
use crate::users;

pub(super) const FAMILY: Family = Family {
    name: "connection",
    commands: &[
        Command {
            name: "auth",
            syntax: "[username] password",
            summary: "Gives the password.",
            since: "1.0.0",
            complexity: "O(N) where N is the number of passwords of the user",
            flags: &[NoScript, Loading, Stale, Fast, NoAuth, AllowBusy],
            keys: &[],
            body: Body::Run(auth),
        },
        Command {
            name: "echo",
            syntax: "message",
            summary: "Answers the message.",
            since: "1.0.0",
            complexity: "O(1)",
            flags: &[Loading, Stale, Fast],
            keys: &[],
            body: Body::Run(echo),
        },
        Command {
            name: "hello",
            syntax: "[protover [AUTH username password] [SETNAME clientname]]",
            summary: "Agrees on a version of the protocol and introduces the server.",
            since: "6.0.0",
            complexity: "O(1)",
            flags: &[NoScript, Loading, Stale, Fast, NoAuth, AllowBusy],
            keys: &[],
            body: Body::Run(hello),
        },
        Command {
            name: "ping",
            syntax: "[message]",
            summary: "Answers PONG, or the message.",
            since: "1.0.0",
            complexity: "O(1)",
            flags: &[Fast, ToAllShards, AllSucceed],
            keys: &[],
            body: Body::Run(ping),
        },
        Command {
            name: "quit",
            syntax: "[argument ...]",
            summary: "Ends the connection.",
            since: "1.0.0",
            complexity: "O(1)",
            flags: &[NoScript, Loading, Stale, Fast, NoAuth, AllowBusy],
            keys: &[],
            body: Body::Run(quit),
        },
        Command {
            name: "reset",
            syntax: "",
            summary: "Sets the connection back to how it began.",
            since: "6.2.0",
            complexity: "O(1)",
            flags: &[NoScript, Loading, Stale, Fast, NoAuth, AllowBusy],
            keys: &[],
            body: Body::Run(reset),
        },
        Command {
            name: "select",
            syntax: "index",
            summary: "Chooses a database.",
            since: "1.0.0",
            complexity: "O(1)",
            flags: &[Loading, Stale, Fast],
            keys: &[],
            body: Body::Run(select),
        },
    ],
};

const WRONG_PASSWORD: Error =
    Error::Text("WRONGPASS invalid username-password pair or user is disabled.");
const NO_PASSWORD_SET: Error = Error::Text(
    "ERR AUTH <password> called without any password configured for the default user. \
     Are you sure your configuration is correct?",
);
const HELLO_WITHOUT_AUTH: Error = Error::Text(
    "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO \
     <proto> AUTH <user> <pass> option can be used to authenticate the client and select the \
     RESP protocol version at the same time",
);
const NO_SUCH_PROTOCOL: Error = Error::Text("NOPROTO unsupported protocol version");
pub(super) const NO_SUCH_DB: Error = Error::Text("ERR DB index is out of range");

fn auth(call: &mut Call<'_>) -> Result<(), Error> {
    let (user, password) = match *call.args.rest() {
        [password] if users::is_default_open(&call.shared.settings) => {
            let _ = password;
            return Err(NO_PASSWORD_SET);
        }
        [password] => (users::DEFAULT.as_bytes(), password),
        [user, password] => (user, password),
        _ => return Err(error::SYNTAX),
    };
    authenticate(call, user, password)?;
    call.reply.ok();
    Ok(())
}

fn authenticate(call: &mut Call<'_>, user: &[u8], password: &[u8]) -> Result<(), Error> {
    if !users::authenticate(&call.shared.settings, user, password) {
        return Err(WRONG_PASSWORD);
    }
    call.session.is_authenticated = true;
    Ok(())
}

fn echo(call: &mut Call<'_>) -> Result<(), Error> {
    let message = call.args.word()?;
    call.reply.bulk(message);
    Ok(())
}

fn ping(call: &mut Call<'_>) -> Result<(), Error> {
    match *call.args.rest() {
        [] => call.reply.simple("PONG"),
        [message] => call.reply.bulk(message),
        _ => return Err(error::wrong_arity("ping")),
    }
    Ok(())
}

fn quit(call: &mut Call<'_>) -> Result<(), Error> {
    call.session.is_closing = true;
    call.reply.ok();
    Ok(())
}

fn reset(call: &mut Call<'_>) -> Result<(), Error> {
    let client = std::mem::take(&mut call.session.client);
    client.set_name(String::new());
    // A reply that was to be skipped is this one.
    let replies = match call.session.replies {
        Replies::SkipOne => Replies::SkipOne,
        _ => Replies::On,
    };
    *call.session = Session::new(client, users::is_default_open(&call.shared.settings));
    call.session.replies = replies;
    call.reply.set_version(Version::Resp2);
    call.reply.simple("RESET");
    Ok(())
}

fn select(call: &mut Call<'_>) -> Result<(), Error> {
    call.session.db_index = super::keys::db_index(&mut call.args, call.shared.store.databases())?;
    call.reply.ok();
    Ok(())
}

fn hello(call: &mut Call<'_>) -> Result<(), Error> {
    let mut version = call.session.version;
    let mut name = None;
    if !call.args.is_empty() {
        version = match call.args.integer() {
            Ok(2) => Version::Resp2,
            Ok(3) => Version::Resp3,
            Ok(_) => return Err(NO_SUCH_PROTOCOL),
            Err(_) => {
                return Err(Error::Text(
                    "ERR Protocol version is not an integer or out of range",
                ));
            }
        };
    }
    while let Some(option) = call.args.next() {
        if option.eq_ignore_ascii_case(b"auth") && call.args.len() >= 2 {
            let (user, password) = (call.args.word()?, call.args.word()?);
            authenticate(call, user, password)?;
        } else if option.eq_ignore_ascii_case(b"setname") && !call.args.is_empty() {
            name = Some(client_name(call.args.word()?)?);
        } else {
            let before = "ERR Syntax error in HELLO option '";
            return Err(error::quoting(before, option, "'"));
        }
    }
    if !call.session.is_authenticated {
        return Err(HELLO_WITHOUT_AUTH);
    }
    if let Some(name) = name {
        call.session.client.set_name(name);
    }
    call.session.version = version;
    call.reply.set_version(version);
    introduce(call);
    Ok(())
}

fn introduce(call: &mut Call<'_>) {
    let protocol = match call.session.version {
        Version::Resp2 => 2,
        Version::Resp3 => 3,
    };
    let reply = &mut call.reply;
    reply.map(7);
    reply.bulk(b"server");
    reply.bulk(b"redis");
    reply.bulk(b"version");
    reply.bulk(super::REDIS_VERSION.as_bytes());
    reply.bulk(b"proto");
    reply.integer(protocol);
    reply.bulk(b"id");
    reply.integer(call.session.id as i64);
    reply.bulk(b"mode");
    reply.bulk(b"standalone");
    reply.bulk(b"role");
    reply.bulk(b"master");
    reply.bulk(b"modules");
    module::reply_modules(reply);
}

/// A name a client may have.
///
/// # Errors
/// If it has blanks, line ends or other special characters.
pub(super) fn client_name(name: &[u8]) -> Result<String, Error> {
    printable(name).ok_or(Error::Text(
        "ERR Client names cannot contain spaces, newlines or special characters.",
    ))
}

/// `word` if nothing in it would garble a line of CLIENT LIST.
pub(super) fn printable(word: &[u8]) -> Option<String> {
    let is_printable = word.iter().all(u8::is_ascii_graphic);
    is_printable.then(|| String::from_utf8_lossy(word).into_owned())
}
