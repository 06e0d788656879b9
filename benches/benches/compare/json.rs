//! Documents: what a field costs the server, what a blob costs everybody, and what they weigh.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread::sleep;
use std::time::Duration;

use benches::clock::Moment;
use benches::corpus::{self, profile, user};
use benches::load::{Load, Shape};
use benches::report::Table;
use benches::request::{JSON_FIELD, Op, Payload, Protocol, key_of, resp};
use benches::server::{Peer, Server, pin_to};

use crate::cpu::{CONNECTIONS, median_cost};
use crate::{LOAD_CORE, Plan, SERVER_CORE};

/// Bytes of a document, and how many there are.
const SIZES: [(usize, u32); 4] = [
    (90, 10_000),
    (4_000, 2_000),
    (100_000, 100),
    (1_000_000, 16),
];
/// Changes that a client sends before it waits for their replies.
const IN_FLIGHT: usize = 16;
const USERS: u32 = 300_000;
/// Allocators give pages back some time after they were freed.
const REST: Duration = Duration::from_millis(1_500);

pub(crate) fn measure(plan: &Plan) -> io::Result<()> {
    pin_to(&[LOAD_CORE])?;
    let mut with_documents = Vec::new();
    for peer in plan.peers.iter().filter(|peer| peer.speaks(Protocol::Resp)) {
        let server = peer.start(1, &[SERVER_CORE])?;
        if server.admin()?.call(&["JSON.SET", "k", "$", "1"]).is_ok() {
            with_documents.push(peer);
        }
    }
    println!("{}", field_costs(plan, &with_documents)?);
    println!("{}", blobs(plan)?);
    println!("{}", weights(&with_documents)?);
    Ok(())
}

/// What one field costs the server, in documents of every size.
fn field_costs(plan: &Plan, peers: &[&Peer]) -> io::Result<String> {
    let names = peers.iter().map(|peer| peer.name.clone());
    let heading = ["operation".to_owned(), "document".to_owned()];
    let mut table = Table::new(heading.into_iter().chain(names));
    for op in [Op::JsonGet, Op::JsonSet] {
        for (bytes, documents) in SIZES {
            let mut cells = vec![op.name(), size_name(bytes)];
            for peer in peers {
                let server = peer.start(1, &[SERVER_CORE])?;
                fill(&server, &profile(bytes), documents)?;
                let shape = Shape {
                    op,
                    pipeline: 16,
                    connections: CONNECTIONS,
                    payload: Payload::default(),
                };
                let address = server.address(Protocol::Resp).expect("it answered");
                let mut load = Load::connect(address, shape)?;
                let cost = median_cost(plan, &server, &mut load, documents)?;
                cells.push(format!("{:.2}", cost.cpu_us));
            }
            eprintln!("{cells:?}");
            table.row(cells);
        }
    }
    Ok(format!(
        "Server CPU microseconds to read or to set {JSON_FIELD} (pipeline 16, {CONNECTIONS} \
         connections, server on core {SERVER_CORE}, load on core {LOAD_CORE}):\n\n{table}"
    ))
}

/// Sets so many documents of one text.
fn fill(server: &Server, text: &str, documents: u32) -> io::Result<()> {
    let mut admin = server.admin()?;
    for number in 0..documents {
        let key = key_of(number);
        admin.call(&[&b"JSON.SET"[..], &key, b"$", text.as_bytes()])?;
    }
    Ok(())
}

/// A field set on the server, and by who gets the document, changes it and sets it.
fn blobs(plan: &Plan) -> io::Result<String> {
    let mut table = Table::new(["document", "server", "way", "changes/s", "bytes/change"]);
    for (bytes, _) in SIZES {
        let text = profile(bytes);
        for peer in &plan.peers {
            let server = peer.start(1, &[SERVER_CORE])?;
            for way in [Way::Field, Way::Fields, Way::Blob] {
                let Some(mut client) = Client::connect(&server, way)? else {
                    continue;
                };
                if client.begin(&text).is_err() {
                    // It has no documents.
                    continue;
                }
                let (start, mut changes) = (Moment::now(), 0_u32);
                client.moved = 0;
                while start.elapsed() < plan.duration() {
                    changes += client.change(["\"light\"", "\"dark\""][changes as usize % 2])?;
                }
                let rate = f64::from(changes) / start.elapsed().as_secs_f64();
                let moved = client.moved / u64::from(changes.max(1));
                let cells = [
                    size_name(bytes),
                    peer.name.clone(),
                    way.name().to_owned(),
                    format!("{rate:.0}"),
                    moved.to_string(),
                ];
                eprintln!("{cells:?}");
                table.row(cells);
            }
        }
    }
    Ok(format!(
        "One field changed again and again by one client that waits for each reply, or for \
         {IN_FLIGHT} at a time (server on core {SERVER_CORE}, client on core {LOAD_CORE}). `blob` \
         is gets, serde_json's parse, change and print, cas, each of which needs the one \
         before:\n\n{table}"
    ))
}

/// How a field is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Field,
    /// Several at a time.
    Fields,
    Blob,
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Way::Field => "JSON.SET",
            Way::Fields => "JSON.SET, pipelined",
            Way::Blob => "blob",
        }
    }
}

/// A client that waits for each reply and counts the bytes both ways.
struct Client {
    stream: BufReader<TcpStream>,
    way: Way,
    moved: u64,
}

impl Client {
    fn connect(server: &Server, way: Way) -> io::Result<Option<Client>> {
        let protocol = match way {
            Way::Field | Way::Fields => Protocol::Resp,
            Way::Blob => Protocol::Memcached,
        };
        let connect = |address: SocketAddr| {
            let stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            Ok(Client {
                stream: BufReader::with_capacity(1 << 17, stream),
                way,
                moved: 0,
            })
        };
        server.address(protocol).map(connect).transpose()
    }

    fn begin(&mut self, text: &str) -> io::Result<()> {
        match self.way {
            Way::Field | Way::Fields => self.expect(&resp(&["JSON.SET", "k", "$", text]), "+OK"),
            Way::Blob => {
                let set = format!("set k 0 0 {}\r\n{text}\r\n", text.len());
                self.expect(set.as_bytes(), "STORED")
            }
        }
    }

    /// Gives the field another value; how often.
    fn change(&mut self, theme: &str) -> io::Result<u32> {
        let in_flight = match self.way {
            Way::Field => 1,
            Way::Fields => IN_FLIGHT,
            Way::Blob => return self.change_blob(theme).map(|()| 1),
        };
        let request = resp(&["JSON.SET", "k", JSON_FIELD, theme]);
        self.send(&request.repeat(in_flight))?;
        for _ in 0..in_flight {
            self.expect_line("+OK")?;
        }
        Ok(in_flight as u32)
    }

    fn change_blob(&mut self, theme: &str) -> io::Result<()> {
        let (text, token) = self.gets()?;
        let mut document: serde_json::Value = serde_json::from_slice(&text)?;
        document["prefs"]["theme"] = serde_json::from_str(theme)?;
        let text = serde_json::to_string(&document)?;
        let cas = format!("cas k 0 0 {} {token}\r\n{text}\r\n", text.len());
        self.expect(cas.as_bytes(), "STORED")
    }

    fn gets(&mut self) -> io::Result<(Vec<u8>, String)> {
        self.send(b"gets k\r\n")?;
        let head = self.line()?;
        let words: Vec<&str> = head.split(' ').collect();
        let [_, _, _, bytes, token] = words[..] else {
            return Err(io::Error::other(format!("the server answers {head}")));
        };
        let mut value = vec![0; bytes.parse::<usize>().map_err(io::Error::other)? + 2];
        self.stream.read_exact(&mut value)?;
        self.moved += value.len() as u64;
        value.truncate(value.len() - 2);
        self.line()?;
        Ok((value, token.to_owned()))
    }

    fn expect(&mut self, request: &[u8], reply: &str) -> io::Result<()> {
        self.send(request)?;
        self.expect_line(reply)
    }

    fn expect_line(&mut self, reply: &str) -> io::Result<()> {
        let line = self.line()?;
        match line == reply {
            true => Ok(()),
            false => Err(io::Error::other(format!("the server answers {line}"))),
        }
    }

    fn send(&mut self, request: &[u8]) -> io::Result<()> {
        self.moved += request.len() as u64;
        self.stream.get_mut().write_all(request)
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.moved += self.stream.read_line(&mut line)? as u64;
        Ok(line.trim_end().to_owned())
    }
}

/// What documents take of the memory of a process.
fn weights(peers: &[&Peer]) -> io::Result<String> {
    let names = peers.iter().map(|peer| peer.name.clone());
    let heading = ["documents".to_owned(), "bytes of text".to_owned()];
    let mut table = Table::new(heading.into_iter().chain(names));
    let mut row = |name: &str, texts: &dyn Fn(u32) -> String, documents: u32| {
        let bytes = texts(100).len();
        let mut cells = vec![format!("{documents} {name}"), bytes.to_string()];
        for peer in peers {
            let resident = resident_bytes(peer, texts, documents)?;
            let ratio = resident / bytes as f64;
            cells.push(format!("{resident:.0} ({ratio:.2} times the text)"));
        }
        eprintln!("{cells:?}");
        table.row(cells);
        io::Result::Ok(())
    };
    row(
        "users of the story",
        &|number| user(100 + number % 900),
        USERS,
    )?;
    for corpus in corpus::large() {
        row(corpus.name, &|_| corpus.text.clone(), 200)?;
    }
    Ok(format!("Resident bytes for each document:\n\n{table}"))
}

fn resident_bytes(peer: &Peer, texts: &dyn Fn(u32) -> String, documents: u32) -> io::Result<f64> {
    let server = peer.start(1, &[SERVER_CORE])?;
    sleep(REST);
    let empty = server.resident_bytes()?;
    let mut admin = server.admin()?;
    let mut batch = Vec::new();
    for number in 0..documents {
        let key = format!("doc:{:06}", 100_000 + number);
        batch.push(resp(&["JSON.SET", &key, "$", &texts(number)]));
        if batch.len() == 64 || number + 1 == documents {
            admin.call_all(&batch)?;
            batch.clear();
        }
    }
    sleep(REST);
    let used = server.resident_bytes()?.saturating_sub(empty);
    Ok(used as f64 / f64::from(documents))
}

fn size_name(bytes: usize) -> String {
    match bytes {
        1_000_000.. => format!("{} MB", bytes / 1_000_000),
        1_000.. => format!("{} kB", bytes / 1_000),
        _ => format!("{bytes} B"),
    }
}
