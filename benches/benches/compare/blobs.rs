//! One field of a document changed by its path, and by whoever gets the document as a blob.
//!
//! As a blob a change is `gets`, parse, change, print and `cas`, each of which needs what the one
//! before gave, so that it is two round trips. A client owns its documents: nobody's `cas` is in
//! vain. Clients have one document in flight, or several, whose requests go out together; a server
//! is asked by one client or by many at once, all on one core.

use std::io;
use std::ops::Range;
use std::time::Duration;

use benches::corpus::profile;
use benches::load::{Exchange, Load};
use benches::report::Table;
use benches::request::{JSON_FIELD, Protocol, key_of, resp};
use benches::server::Peer;

use crate::json::{SIZES, size_name};
use crate::{LOAD_CORE, Plan, SERVER_CORE};

/// Clients, and the documents that each has in flight.
const LOADS: [(usize, usize); 3] = [(1, 1), (20, 1), (20, 16)];
/// What the field becomes, by turns.
const THEMES: [&str; 2] = ["light", "dark"];

/// `with_documents` are the servers that have JSON commands.
pub(crate) fn measure(plan: &Plan, with_documents: &[&Peer]) -> io::Result<String> {
    let heading = ["document", "clients", "in flight", "server", "way"];
    let figures = [
        "changes/s",
        "server CPU us",
        "client CPU us",
        "bytes/change",
    ];
    let mut table = Table::new(heading.into_iter().chain(figures));
    let fields = with_documents.iter().map(|peer| (*peer, Way::Field));
    let blobs = plan.peers.iter().map(|peer| (peer, Way::Blob));
    let contenders: Vec<_> = fields
        .chain(blobs)
        .filter(|(peer, way)| peer.speaks(way.protocol()))
        .collect();
    for (bytes, _) in SIZES {
        let text = profile(bytes);
        for (clients, in_flight) in LOADS {
            for (peer, way) in &contenders {
                let figures = changes(plan, (peer, *way), &text, (clients, in_flight))?;
                let (clients, in_flight) = (clients.to_string(), in_flight.to_string());
                let (name, way) = (peer.name.clone(), way.name().to_owned());
                let what = [size_name(bytes), clients, in_flight, name, way];
                let cells: Vec<String> = what.into_iter().chain(figures).collect();
                eprintln!("{cells:?}");
                table.row(cells);
            }
        }
    }
    Ok(format!(
        "One field changed again and again; `blob` is gets, serde_json's parse, change and print, \
         cas (server on core {SERVER_CORE}, all clients on core {LOAD_CORE}, each with documents \
         of its own; CPU per change):\n\n{table}"
    ))
}

/// Changes per second, what each took of the server and of the clients, and the bytes it moved.
fn changes(
    plan: &Plan,
    (peer, way): (&Peer, Way),
    text: &str,
    (clients, in_flight): (usize, usize),
) -> io::Result<[String; 4]> {
    let server = peer.start(1, &[SERVER_CORE])?;
    let address = server.address(way.protocol()).expect("it speaks that");
    let keys = |client: usize| {
        let first = client * in_flight;
        (first..first + in_flight).map(|number| key_of(number as u32))
    };
    let begin = |client| Changes::begin(way, keys(client), text);
    let mut load = Load::connect_each(address, (0..clients).map(begin))?;
    // Once: nothing has been received before.
    load.run_with(plan.duration(), |changes, _| changes.received.is_empty())?;
    let moved_before: u64 = load.exchanges().map(|changes| changes.moved).sum();
    let cpu_before = server.cpu()?;
    let outcome = load.run_with(plan.duration(), |changes, _| {
        changes.next();
        true
    })?;
    let moved: u64 = load.exchanges().map(|changes| changes.moved).sum();
    let count = outcome.requests.max(1);
    let micros_of = |cpu: Duration| cpu.as_secs_f64() * 1e6 / count as f64;
    Ok([
        format!("{:.0}", outcome.per_second()),
        format!("{:.2}", micros_of(server.cpu()? - cpu_before)),
        format!("{:.2}", micros_of(outcome.load_cpu)),
        ((moved - moved_before) / count).to_string(),
    ])
}

/// How a field is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// By `JSON.SET` with its path.
    Field,
    /// By `gets` and `cas` of the whole.
    Blob,
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Way::Field => "JSON.SET",
            Way::Blob => "blob",
        }
    }

    fn protocol(self) -> Protocol {
        match self {
            Way::Field => Protocol::Resp,
            Way::Blob => Protocol::Memcached,
        }
    }

    /// What a document or a field that was set is answered with.
    fn stored(self) -> &'static [u8] {
        match self {
            Way::Field => b"+OK\r\n",
            Way::Blob => b"STORED\r\n",
        }
    }
}

/// What a client sends at once: a field or a whole of each of its documents, or that it wants them.
struct Changes {
    way: Way,
    keys: Vec<[u8; 16]>,
    stage: Stage,
    bytes: Vec<u8>,
    received: Vec<u8>,
    /// What has come of the documents asked for.
    documents: Vec<Document>,
    turn: usize,
    /// Bytes both ways.
    moved: u64,
}

/// What the bytes of [`Changes`] do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Fill,
    Get,
    Change,
}

/// A document that was received.
struct Document {
    text: Range<usize>,
    token: Range<usize>,
}

impl Changes {
    /// With requests that store the documents first.
    fn begin(way: Way, keys: impl Iterator<Item = [u8; 16]>, text: &str) -> Changes {
        let keys: Vec<_> = keys.collect();
        let fill = |key: &[u8; 16]| match way {
            Way::Field => resp(&[&b"JSON.SET"[..], key, b"$", text.as_bytes()]),
            Way::Blob => {
                let head = format!(" 0 0 {}\r\n", text.len());
                [b"set ", &key[..], head.as_bytes(), text.as_bytes(), b"\r\n"].concat()
            }
        };
        Changes {
            way,
            bytes: keys.iter().flat_map(fill).collect(),
            keys,
            stage: Stage::Fill,
            received: Vec::new(),
            documents: Vec::new(),
            turn: 0,
            moved: 0,
        }
    }

    /// Prepares what goes out next, after all that came before was answered.
    fn next(&mut self) {
        match (self.way, self.stage) {
            (Way::Field, _) => self.set_fields(),
            (Way::Blob, Stage::Get) => self.change_blobs(),
            (Way::Blob, _) => {
                self.stage = Stage::Get;
                self.bytes.clear();
                for key in &self.keys {
                    self.bytes.extend([b"gets ", &key[..], b"\r\n"].concat());
                }
            }
        }
        self.received.clear();
        self.documents.clear();
        self.moved += self.bytes.len() as u64;
    }

    fn theme(&mut self) -> &'static str {
        self.turn += 1;
        THEMES[self.turn % 2]
    }

    fn set_fields(&mut self) {
        let theme = format!("\"{}\"", self.theme());
        self.stage = Stage::Change;
        self.bytes.clear();
        for key in &self.keys {
            let words = [
                &b"JSON.SET"[..],
                key,
                JSON_FIELD.as_bytes(),
                theme.as_bytes(),
            ];
            self.bytes.extend(resp(&words));
        }
    }

    fn change_blobs(&mut self) {
        let theme = self.theme();
        self.stage = Stage::Change;
        self.bytes.clear();
        for (key, document) in self.keys.iter().zip(&self.documents) {
            let text = &self.received[document.text.clone()];
            let mut value: serde_json::Value =
                serde_json::from_slice(text).expect("it was stored as JSON");
            value["prefs"]["theme"] = theme.into();
            let text = serde_json::to_vec(&value).expect("its keys are strings");
            let token = &self.received[document.token.clone()];
            let head = format!(" 0 0 {} ", text.len());
            self.bytes
                .extend([b"cas ", &key[..], head.as_bytes(), token].concat());
            self.bytes.extend(b"\r\n");
            self.bytes.extend(text);
            self.bytes.extend(b"\r\n");
        }
    }

    /// Whether all documents have been received.
    fn take_documents(&mut self) -> io::Result<bool> {
        const END: usize = "\r\nEND\r\n".len();
        while self.documents.len() < self.keys.len() {
            let start = self.documents.last().map_or(0, |last| last.text.end + END);
            let rest = self.received.get(start..).unwrap_or_default();
            let Some(head) = memchr::memchr(b'\r', rest) else {
                return Ok(false);
            };
            let line = String::from_utf8_lossy(&rest[..head]);
            let bytes = line
                .split(' ')
                .nth(3)
                .and_then(|bytes| bytes.parse::<usize>().ok());
            let (Some(bytes), Some(token)) = (bytes, line.rfind(' ')) else {
                return Err(io::Error::other(format!("the server answers {line}")));
            };
            let text = start + head + 2..start + head + 2 + bytes;
            if self.received.len() < text.end + END {
                return Ok(false);
            }
            let token = start + token + 1..start + head;
            self.documents.push(Document { text, token });
        }
        Ok(true)
    }

    /// Whether all has been stored.
    fn take_confirmations(&self) -> io::Result<bool> {
        let stored = self.way.stored();
        let mut replies = self.received.chunks_exact(stored.len());
        if let Some(other) = replies.find(|reply| *reply != stored) {
            let other = String::from_utf8_lossy(other);
            return Err(io::Error::other(format!("the server answers {other}")));
        }
        Ok(self.received.len() == stored.len() * self.keys.len())
    }
}

impl Exchange for Changes {
    fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn requests(&self) -> usize {
        match self.stage {
            Stage::Change => self.keys.len(),
            Stage::Fill | Stage::Get => 0,
        }
    }

    fn receive(&mut self, replies: &[u8]) -> io::Result<bool> {
        self.moved += replies.len() as u64;
        self.received.extend_from_slice(replies);
        match self.stage {
            Stage::Get => self.take_documents(),
            Stage::Fill | Stage::Change => self.take_confirmations(),
        }
    }
}
