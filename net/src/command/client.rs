//! CLIENT: who is connected, and how the server treats them.

use std::fmt::Write as _;
use std::sync::atomic::Ordering;

use store::value::number::parse_integer;

use super::Flag::{Admin, AllSucceed, Loading, NoScript, Stale, ToAllNodes, Unsteady};
use super::connection::printable;
use super::{Body, Call, Command, Error, Family, Flag, dispatch, error, introspect};
use crate::clients::Client;
use crate::session::Replies;
use crate::users;

const ADMIN: &[Flag] = &[Admin, NoScript, Loading, Stale];
const PLAIN: &[Flag] = &[NoScript, Loading, Stale];
const OF_ALL_NODES: &[Flag] = &[NoScript, Loading, Stale, ToAllNodes, AllSucceed];

const fn subcommand(
    name: &'static str,
    syntax: &'static str,
    since: &'static str,
    flags: &'static [Flag],
    run: super::Handler,
) -> Command {
    Command {
        name,
        syntax,
        summary: "",
        since,
        complexity: "O(1)",
        flags,
        keys: &[],
        body: Body::Run(run),
    }
}

pub(super) const FAMILY: Family = Family {
    name: "connection",
    commands: &[Command {
        name: "client",
        syntax: "",
        summary: "Looks after the connections of clients.",
        since: "2.4.0",
        complexity: "Depends on the subcommand.",
        flags: &[],
        keys: &[],
        body: Body::Container(SUBCOMMANDS),
    }],
};

const SUBCOMMANDS: &[Command] = &[
    Command {
        summary: "Answers this connection's name.",
        ..subcommand("getname", "", "2.6.9", PLAIN, getname)
    },
    Command {
        summary: "Explains the subcommands.",
        ..subcommand("help", "", "5.0.0", &[Loading, Stale], help)
    },
    Command {
        summary: "Answers this connection's number.",
        ..subcommand("id", "", "5.0.0", PLAIN, id)
    },
    Command {
        summary: "Describes this connection.",
        ..subcommand(
            "info",
            "",
            "6.2.0",
            &[NoScript, Loading, Stale, Unsteady],
            info,
        )
    },
    Command {
        summary: "Ends connections.",
        complexity: "O(N) where N is the number of clients",
        ..subcommand(
            "kill",
            "<ip:port | filter value> [filter value ...]",
            "2.4.0",
            ADMIN,
            kill,
        )
    },
    Command {
        summary: "Describes all connections.",
        complexity: "O(N) where N is the number of clients",
        ..subcommand(
            "list",
            "[TYPE <NORMAL | MASTER | REPLICA | PUBSUB>] [ID client-id [client-id ...]]",
            "2.4.0",
            &[Admin, NoScript, Loading, Stale, Unsteady],
            list,
        )
    },
    Command {
        summary: "Keeps this connection when memory for clients runs out.",
        ..subcommand("no-evict", "<ON | OFF>", "7.0.0", ADMIN, no_evict)
    },
    Command {
        summary: "Lets this connection's reads leave idle times as they are.",
        ..subcommand("no-touch", "<ON | OFF>", "7.2.0", PLAIN, no_touch)
    },
    Command {
        summary: "Lets all clients wait.",
        ..subcommand("pause", "timeout [WRITE | ALL]", "3.0.0", ADMIN, pause)
    },
    Command {
        summary: "Says which replies this connection wants.",
        ..subcommand("reply", "<ON | OFF | SKIP>", "3.2.0", PLAIN, reply)
    },
    Command {
        summary: "Tells the server about this connection's library.",
        ..subcommand(
            "setinfo",
            "<LIB-NAME libname | LIB-VER libver>",
            "7.2.0",
            OF_ALL_NODES,
            setinfo,
        )
    },
    Command {
        summary: "Names this connection.",
        ..subcommand("setname", "connection-name", "2.6.9", OF_ALL_NODES, setname)
    },
    Command {
        summary: "Lets all clients go on.",
        ..subcommand("unpause", "", "6.2.0", ADMIN, unpause)
    },
];

const BAD_ID: Error = Error::Text("ERR Invalid client ID");
const NO_SUCH_CLIENT: Error = Error::Text("ERR No such client");

fn help(call: &mut Call<'_>) -> Result<(), Error> {
    introspect::help(call, "client")
}

fn id(call: &mut Call<'_>) -> Result<(), Error> {
    call.reply.integer(call.session.id as i64);
    Ok(())
}

fn getname(call: &mut Call<'_>) -> Result<(), Error> {
    let name = call.session.client.names().name;
    match name.is_empty() {
        true => call.reply.null(),
        false => call.reply.bulk(name.as_bytes()),
    }
    Ok(())
}

fn setname(call: &mut Call<'_>) -> Result<(), Error> {
    let name = super::connection::client_name(call.args.word()?)?;
    call.session.client.set_name(name);
    call.reply.ok();
    Ok(())
}

fn setinfo(call: &mut Call<'_>) -> Result<(), Error> {
    let (option, value) = (call.args.word()?, call.args.word()?);
    let mut names = call.session.client.names.lock().expect("no panic inside");
    let (field, name) = match option.to_ascii_lowercase().as_slice() {
        b"lib-name" => (&mut names.library, "lib-name"),
        b"lib-ver" => (&mut names.library_version, "lib-ver"),
        _ => return Err(error::quoting("ERR Unrecognized option '", option, "'")),
    };
    *field = printable(value).ok_or_else(|| {
        Error::Owned(format!(
            "ERR {name} cannot contain spaces, newlines or special characters."
        ))
    })?;
    call.reply.ok();
    Ok(())
}

/// Takes ON or OFF.
fn on_or_off(call: &mut Call<'_>) -> Result<bool, Error> {
    match call.args.word()?.to_ascii_lowercase().as_slice() {
        b"on" => Ok(true),
        b"off" => Ok(false),
        _ => Err(error::SYNTAX),
    }
}

fn no_evict(call: &mut Call<'_>) -> Result<(), Error> {
    call.session.no_evict = on_or_off(call)?;
    call.reply.ok();
    Ok(())
}

fn no_touch(call: &mut Call<'_>) -> Result<(), Error> {
    call.session.no_touch = on_or_off(call)?;
    call.reply.ok();
    Ok(())
}

fn reply(call: &mut Call<'_>) -> Result<(), Error> {
    match call.args.word()?.to_ascii_lowercase().as_slice() {
        b"on" => {
            call.session.replies = Replies::On;
            call.reply.ok();
        }
        b"off" => call.session.replies = Replies::Off,
        b"skip" if call.session.replies == Replies::Off => {}
        b"skip" => call.session.replies = Replies::SkipTwo,
        _ => return Err(error::SYNTAX),
    }
    Ok(())
}

fn pause(call: &mut Call<'_>) -> Result<(), Error> {
    let timeout = call.args.word()?;
    let writes_only = match call.args.next().map(<[u8]>::to_ascii_lowercase).as_deref() {
        None | Some(b"all") => false,
        Some(b"write") => true,
        Some(_) => {
            return Err(Error::Text("ERR CLIENT PAUSE mode must be WRITE or ALL"));
        }
    };
    if !call.args.is_empty() {
        return Err(Error::Text(
            "ERR unknown subcommand or wrong number of arguments for 'PAUSE'. Try CLIENT HELP.",
        ));
    }
    let timeout_ms = parse_integer(timeout)
        .ok_or(Error::Text("ERR timeout is not an integer or out of range"))?;
    let timeout_ms =
        u64::try_from(timeout_ms).map_err(|_| Error::Text("ERR timeout is negative"))?;
    let now_ms = call.db.now_ms();
    let until_ms = now_ms + timeout_ms;
    if until_ms > i64::MAX as u64 {
        return Err(Error::Text("ERR timeout is out of range"));
    }
    call.shared.pause.begin(until_ms, writes_only, now_ms);
    call.reply.ok();
    Ok(())
}

fn unpause(call: &mut Call<'_>) -> Result<(), Error> {
    call.shared.pause.end();
    call.reply.ok();
    Ok(())
}

fn info(call: &mut Call<'_>) -> Result<(), Error> {
    let mut text = String::new();
    call.session.publish();
    describe(&call.session.client, call.db.now_ms(), &mut text);
    call.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

fn list(call: &mut Call<'_>) -> Result<(), Error> {
    let mut ids: Option<Vec<i64>> = None;
    let mut kind = ClientKind::Normal;
    let option = call.args.next().map(<[u8]>::to_ascii_lowercase);
    match (option.as_deref(), call.args.rest()) {
        (None, _) => {}
        (Some(b"type"), [word]) => kind = ClientKind::parse(word)?,
        (Some(b"id"), words @ [_, ..]) => {
            let parsed = words.iter().map(|word| parse_integer(word).ok_or(BAD_ID));
            ids = Some(parsed.collect::<Result<_, _>>()?);
        }
        _ => return Err(error::SYNTAX),
    }
    call.session.publish();
    let mut text = String::new();
    for client in call.shared.clients.all() {
        let is_wanted = kind == ClientKind::Normal
            && ids
                .as_ref()
                .is_none_or(|ids| ids.contains(&(client.id as i64)));
        if is_wanted {
            describe(&client, call.db.now_ms(), &mut text);
        }
    }
    call.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

/// The kinds of clients Redis tells apart. All of ours are normal ones.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum ClientKind {
    #[default]
    Normal,
    Other,
}

impl ClientKind {
    fn parse(word: &[u8]) -> Result<ClientKind, Error> {
        match word.to_ascii_lowercase().as_slice() {
            b"normal" => Ok(ClientKind::Normal),
            b"master" | b"slave" | b"replica" | b"pubsub" => Ok(ClientKind::Other),
            _ => Err(error::quoting("ERR Unknown client type '", word, "'")),
        }
    }
}

fn parse_id(word: &[u8]) -> Option<u64> {
    parse_integer(word)
        .and_then(|id| u64::try_from(id).ok())
        .filter(|id| *id > 0)
}

/// One line of CLIENT LIST.
fn describe(client: &Client, now_ms: u64, text: &mut String) {
    let relaxed = Ordering::Relaxed;
    let names = client.names();
    let seconds_since = |then_ms: u64| now_ms.saturating_sub(then_ms) / 1000;
    let query_bytes = client.query_bytes.load(relaxed);
    let query_bytes_max = client.query_bytes_max.load(relaxed);
    let output_bytes_max = client.output_bytes_max.load(relaxed);
    let mut flags = String::new();
    for (flag, is_set) in [
        ('U', client.unix_path.is_some()),
        ('e', client.no_evict.load(relaxed)),
        ('T', client.no_touch.load(relaxed)),
    ] {
        if is_set {
            flags.push(flag);
        }
    }
    if flags.is_empty() {
        flags.push('N');
    }
    let command = match client.last_command.load(relaxed) {
        0 => "NULL",
        number => &dispatch::entries()[number - 1].full_name,
    };
    // Writing to a string does not fail.
    let _ = writeln!(
        text,
        "id={} addr={} laddr={} fd={} name={} age={} idle={} flags={flags} db={} sub=0 psub=0 \
         ssub=0 multi=-1 qbuf={query_bytes} qbuf-free={} argv-mem=0 multi-mem=0 rbs={} rbp={} \
         obl=0 oll=0 omem=0 tot-mem={} events=r cmd={command} user={} redir=-1 resp={} \
         lib-name={} lib-ver={}",
        client.id,
        peer_text(client),
        local_text(client),
        client.fd,
        names.name,
        seconds_since(client.since_ms),
        seconds_since(client.last_use_ms.load(relaxed)),
        client.db_index.load(relaxed),
        query_bytes_max.saturating_sub(query_bytes),
        output_bytes_max,
        output_bytes_max,
        query_bytes_max + output_bytes_max + size_of::<Client>(),
        users::DEFAULT,
        client.resp.load(relaxed),
        names.library,
        names.library_version,
    );
}

fn peer_text(client: &Client) -> String {
    match (&client.peer, &client.unix_path) {
        (Some(addr), _) => addr.to_string(),
        (None, Some(path)) => format!("{path}:0"),
        (None, None) => "?:0".into(),
    }
}

fn local_text(client: &Client) -> String {
    match client.local {
        Some(addr) => addr.to_string(),
        None => peer_text(client),
    }
}

/// Which clients CLIENT KILL means.
#[derive(Default)]
struct Filter {
    id: Option<u64>,
    kind: ClientKind,
    addr: Option<String>,
    local_addr: Option<String>,
    is_self_meant: bool,
}

impl Filter {
    fn parse(call: &mut Call<'_>) -> Result<Filter, Error> {
        let mut filter = Filter::default();
        let args = &mut call.args;
        while !args.is_empty() {
            if args.len() < 2 {
                return Err(error::SYNTAX);
            }
            let (option, value) = (args.word()?, args.word()?);
            let text = String::from_utf8_lossy(value).into_owned();
            match option.to_ascii_lowercase().as_slice() {
                b"id" => {
                    let wrong = Error::Text("ERR client-id should be greater than 0");
                    filter.id = Some(parse_id(value).ok_or(wrong)?);
                }
                b"type" => filter.kind = ClientKind::parse(value)?,
                b"addr" => filter.addr = Some(text),
                b"laddr" => filter.local_addr = Some(text),
                b"user" if text == users::DEFAULT => {}
                b"user" => return Err(error::quoting("ERR No such user '", value, "'")),
                b"skipme" if value.eq_ignore_ascii_case(b"yes") => filter.is_self_meant = false,
                b"skipme" if value.eq_ignore_ascii_case(b"no") => filter.is_self_meant = true,
                _ => return Err(error::SYNTAX),
            }
        }
        Ok(filter)
    }

    fn matches(&self, client: &Client) -> bool {
        self.id.is_none_or(|id| id == client.id)
            && self.kind == ClientKind::Normal
            && self.addr.as_ref().is_none_or(|a| *a == peer_text(client))
            && self
                .local_addr
                .as_ref()
                .is_none_or(|a| *a == local_text(client))
    }
}

fn kill(call: &mut Call<'_>) -> Result<(), Error> {
    let is_old_form = call.args.len() == 1;
    let filter = match is_old_form {
        true => Filter {
            addr: Some(String::from_utf8_lossy(call.args.word()?).into_owned()),
            is_self_meant: true,
            ..Filter::default()
        },
        false => Filter::parse(call)?,
    };
    let own_id = call.session.id;
    let mut killed = 0;
    for client in call.shared.clients.all() {
        let is_own = client.id == own_id;
        let is_ending = client.kick.is_kicked();
        if is_ending || !filter.matches(&client) || (is_own && !filter.is_self_meant) {
            continue;
        }
        killed += 1;
        match is_own {
            // After the reply.
            true => call.session.is_closing = true,
            false => client.kick.kick(),
        }
    }
    match (is_old_form, killed) {
        (true, 0) => return Err(NO_SUCH_CLIENT),
        (true, _) => call.reply.ok(),
        (false, count) => call.reply.integer(count),
    }
    Ok(())
}
