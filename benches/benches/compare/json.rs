//! Documents: what a field costs the server, what a blob costs everybody, and what they weigh.

use std::io;
use std::thread::sleep;
use std::time::Duration;

use benches::corpus::{self, profile, user};
use benches::load::{Load, Shape};
use benches::report::Table;
use benches::request::{JSON_FIELD, Op, Payload, Protocol, key_of, resp};
use benches::server::{Peer, Server, pin_to};

use crate::blobs;
use crate::cpu::{CONNECTIONS, median_cost};
use crate::{LOAD_CORE, Plan, SERVER_CORE};

/// Bytes of a document, and how many there are.
pub(crate) const SIZES: [(usize, u32); 4] = [
    (90, 10_000),
    (4_000, 2_000),
    (100_000, 100),
    (1_000_000, 16),
];
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
    if plan.wants("fields") {
        println!("{}", field_costs(plan, &with_documents)?);
    }
    if plan.wants("blobs") {
        println!("{}", blobs::measure(plan, &with_documents)?);
    }
    if plan.wants("weights") {
        println!("{}", weights(&with_documents)?);
    }
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

pub(crate) fn size_name(bytes: usize) -> String {
    match bytes {
        1_000_000.. => format!("{} MB", bytes / 1_000_000),
        1_000.. => format!("{} kB", bytes / 1_000),
        _ => format!("{bytes} B"),
    }
}
