//! A server in this process, spoken to through raw sockets: what concerns connections and not
//! what any one command does.

#![allow(
    clippy::disallowed_methods,
    reason = "a test has patience, not a clock"
)]

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use net::{Config, Server};

const PATIENCE: Duration = Duration::from_secs(20);

fn server(settings: &[(&str, &str)]) -> Server {
    let config = settings
        .iter()
        .try_fold(Config::on_free_ports(), |config, (name, value)| {
            config.with(name, value)
        })
        .expect("valid settings");
    Server::start(config).expect("a server")
}

struct Client(TcpStream);

impl Client {
    fn new(addr: SocketAddr) -> Client {
        let stream = TcpStream::connect(addr).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        Client(stream)
    }

    fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).expect("sent");
    }

    fn expect(&mut self, expected: impl AsRef<[u8]>) {
        let expected = expected.as_ref();
        let mut got = vec![0; expected.len()];
        self.0.read_exact(&mut got).expect("a reply");
        assert_eq!(
            String::from_utf8_lossy(&got),
            String::from_utf8_lossy(expected)
        );
    }

    fn ask(&mut self, request: &str, expected: &str) {
        self.send(request);
        self.expect(expected);
    }

    /// A line, its end included.
    fn line(&mut self) -> String {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let mut byte = [0];
            self.0.read_exact(&mut byte).expect("a line");
            line.push(byte[0]);
        }
        String::from_utf8_lossy(&line).into_owned()
    }

    /// What comes before the server closes the connection.
    fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        match self.0.read_to_end(&mut rest) {
            Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("{error}"),
            _ => String::from_utf8_lossy(&rest).into_owned(),
        }
    }

    /// The number that INFO has under a name.
    fn info(&mut self, name: &str) -> u64 {
        self.send("INFO everything\r\n");
        let len: usize = self.line()[1..].trim_end().parse().expect("a length");
        let mut text = vec![0; len];
        self.0.read_exact(&mut text).expect("a text");
        self.line();
        let text = String::from_utf8_lossy(&text);
        let mut fields = text.lines().filter_map(|line| line.split_once(':'));
        let (_, value) = fields.find(|(field, _)| *field == name).expect("a field");
        value.parse().expect("a number")
    }

    fn is_silent_for(&mut self, time: Duration) -> bool {
        self.0.set_read_timeout(Some(time)).expect("a timeout");
        let result = self.0.read(&mut [0]);
        self.0.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        result
            .is_err_and(|error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
    }
}

/// Whether `is_so` becomes true before patience ends.
fn eventually(mut is_so: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if is_so() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    false
}

#[test]
fn a_request_may_come_byte_by_byte() {
    let server = server(&[]);
    let mut client = Client::new(server.resp_addr());
    for byte in b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nhello\r\nGET k\r\n" {
        client.send([*byte]);
    }
    client.expect("+OK\r\n$5\r\nhello\r\n");
    server.stop();
}

#[test]
fn replies_come_in_the_order_of_requests_even_past_a_heavy_one() {
    let server = server(&[]);
    let mut client = Client::new(server.resp_addr());
    let mut request = String::from("SADD big");
    (0..5_000).for_each(|member| request.push_str(&format!(" {member}")));
    client.ask(&format!("{request}\r\n"), ":5000\r\n");
    // SMEMBERS of so many is for a worker; what stands behind it waits.
    client.send("PING before\r\nSMEMBERS big\r\nPING behind\r\n");
    client.expect("$6\r\nbefore\r\n*5000\r\n");
    for _ in 0..5_000 {
        client.line();
        client.line();
    }
    client.expect("$6\r\nbehind\r\n");
    server.stop();
}

#[test]
fn who_sends_everything_before_reading_anything_is_served() {
    let server = server(&[]);
    let mut client = Client::new(server.resp_addr());
    let value = "x".repeat(10_000);
    client.ask(&format!("SET k {value}\r\n"), "+OK\r\n");
    let (requests, reply) = (4_000, format!("$10000\r\n{value}\r\n"));
    client.send("GET k\r\n".repeat(requests));
    let mut replies = vec![0; requests * reply.len()];
    client.0.read_exact(&mut replies).expect("all replies");
    assert!(
        replies
            .chunks(reply.len())
            .all(|got| got == reply.as_bytes())
    );
    server.stop();
}

#[test]
fn replies_are_kept_up_to_a_limit_and_then_the_client_has_to_read() {
    let server = server(&[("output_buffer_limit", "65536"), ("threads", "1")]);
    let mut greedy = Client::new(server.resp_addr());
    let value = "x".repeat(100_000);
    let set = format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100000\r\n{value}\r\n");
    greedy.ask(&set, "+OK\r\n");
    greedy.0.set_nonblocking(true).expect("a mode");
    // Sends until the server reads no more.
    let mut unsent = 0;
    let stalled = eventually(|| match greedy.0.write(&b"GET k\r\n".repeat(1000)) {
        Ok(_) => {
            unsent = 0;
            false
        }
        Err(_) => {
            unsent += 1;
            unsent > 50
        }
    });
    assert!(stalled, "the server must not keep replies without bound");
    Client::new(server.resp_addr()).ask("PING\r\n", "+PONG\r\n");
    server.stop();
}

#[test]
fn bytes_that_are_no_request_end_their_own_connection_only() {
    let server = server(&[]);
    let mut other = Client::new(server.resp_addr());
    for (bytes, told) in [
        (&b"*1\r\nPING\r\n"[..], "expected '$', got 'P'"),
        (b"*-x\r\n", "invalid multibulk length"),
        (b"*1\r\n$9999999999\r\n", "invalid bulk length"),
        (b"GET \"open\r\n", "unbalanced quotes in request"),
    ] {
        let mut client = Client::new(server.resp_addr());
        client.send("PING\r\n");
        client.send(bytes);
        let expected = format!("+PONG\r\n-ERR Protocol error: {told}\r\n");
        assert_eq!(client.rest(), expected);
        other.ask("PING\r\n", "+PONG\r\n");
    }
    server.stop();
}

#[test]
fn quit_answers_and_closes() {
    let server = server(&[]);
    let mut client = Client::new(server.resp_addr());
    client.send("PING\r\nQUIT\r\nPING\r\n");
    assert_eq!(client.rest(), "+PONG\r\n+OK\r\n");
    let mut client = Client::new(server.memcached_addr());
    client.send("version\r\nquit\r\nversion\r\n");
    assert!(client.rest().starts_with("VERSION 1."));
    server.stop();
}

#[test]
fn too_many_clients_are_told_so() {
    let server = server(&[("maxclients", "2")]);
    let mut first = Client::new(server.resp_addr());
    first.ask("PING\r\n", "+PONG\r\n");
    let mut second = Client::new(server.memcached_addr());
    second.ask("verbosity 1\r\n", "OK\r\n");
    let mut third = Client::new(server.resp_addr());
    assert_eq!(third.rest(), "-ERR max number of clients reached\r\n");
    drop(second);
    assert!(eventually(|| {
        let mut again = Client::new(server.resp_addr());
        again.send("PING\r\n");
        again.line() == "+PONG\r\n"
    }));
    server.stop();
}

#[test]
fn without_the_password_nothing_is_served() {
    let server = server(&[("requirepass", "secret")]);
    let mut client = Client::new(server.resp_addr());
    let denied = "-NOAUTH Authentication required.\r\n";
    client.ask("GET k\r\n", denied);
    client.send("AUTH wrong\r\n");
    assert!(client.line().starts_with("-WRONGPASS "));
    client.ask("PING\r\n", denied);
    client.ask("AUTH secret\r\nPING\r\n", "+OK\r\n+PONG\r\n");
    let mut memcached = Client::new(server.memcached_addr());
    let denied = "CLIENT_ERROR unauthenticated\r\n";
    memcached.ask("get k\r\nversion\r\n", &denied.repeat(2));
    let denied = "CLIENT_ERROR authentication failure\r\n";
    memcached.ask("set k 0 0 13\r\ndefault wrong\r\n", denied);
    memcached.ask(
        "set k 0 0 14\r\ndefault secret\r\nget k\r\n",
        "STORED\r\nEND\r\n",
    );
    client.ask("EXISTS k\r\n", ":0\r\n");
    server.stop();
}

#[test]
fn memcached_clients_can_be_let_in_without_the_password() {
    let server = server(&[("requirepass", "secret"), ("memcached_noauth", "yes")]);
    let mut client = Client::new(server.memcached_addr());
    client.ask("set k 0 0 1\r\nx\r\n", "STORED\r\n");
    server.stop();
}

/// This machine's address on a network, if it has any.
fn outer_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // Nothing is sent: the kernel only chooses the address it would send from.
    socket.connect("192.0.2.1:9").ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_loopback() && !ip.is_unspecified()).then_some(ip)
}

#[test]
fn without_a_password_only_this_machine_is_served() {
    let Some(ip) = outer_address() else {
        return eprintln!("skipped: this machine has no network address");
    };
    let server = server(&[("bind", "0.0.0.0")]);
    let outer = |addr: SocketAddr| SocketAddr::new(ip, addr.port());
    let mut client = Client::new(outer(server.resp_addr()));
    assert!(
        client
            .rest()
            .starts_with("-DENIED Redis is running in protected mode")
    );
    let mut client = Client::new(outer(server.memcached_addr()));
    assert!(client.rest().starts_with("SERVER_ERROR protected mode"));
    let local = SocketAddr::from(([127, 0, 0, 1], server.resp_addr().port()));
    let mut client = Client::new(local);
    client.ask("CONFIG SET protected-mode no\r\n", "+OK\r\n");
    Client::new(outer(server.resp_addr())).ask("PING\r\n", "+PONG\r\n");
    server.stop();
}

#[test]
fn a_killed_client_is_gone_and_others_are_not() {
    let server = server(&[]);
    let mut victim = Client::new(server.resp_addr());
    victim.ask("CLIENT SETNAME victim\r\nCLIENT ID\r\n", "+OK\r\n:");
    let id = victim.line();
    let mut other = Client::new(server.resp_addr());
    other.ask(&format!("CLIENT KILL ID {id}"), ":1\r\n");
    assert_eq!(victim.rest(), "");
    other.ask("PING\r\n", "+PONG\r\n");
    // Ending itself answers first.
    other.send("CLIENT KILL TYPE normal SKIPME no\r\nPING\r\n");
    assert_eq!(other.rest(), ":1\r\n");
    server.stop();
}

#[test]
fn a_pause_holds_writes_until_it_ends() {
    let server = server(&[]);
    let mut client = Client::new(server.resp_addr());
    let mut memcached = Client::new(server.memcached_addr());
    let mut operator = Client::new(server.resp_addr());
    operator.ask("CLIENT PAUSE 100000 WRITE\r\n", "+OK\r\n");
    client.ask("GET k\r\n", "$-1\r\n");
    client.send("SET k 1\r\nGET k\r\n");
    memcached.send("set m 0 0 1\r\nx\r\n");
    assert!(client.is_silent_for(Duration::from_millis(100)));
    assert!(memcached.is_silent_for(Duration::from_millis(10)));
    operator.ask("EXISTS k m\r\nCLIENT UNPAUSE\r\n", ":0\r\n+OK\r\n");
    client.expect("+OK\r\n$1\r\n1\r\n");
    memcached.expect("STORED\r\n");
    server.stop();
}

#[test]
fn silent_clients_are_disconnected_after_the_timeout() {
    let server = server(&[("timeout", "1")]);
    let mut client = Client::new(server.resp_addr());
    client.ask("PING\r\n", "+PONG\r\n");
    assert_eq!(client.rest(), "");
    server.stop();
}

#[test]
fn full_memory_refuses_what_grows_and_serves_the_rest() {
    let server = server(&[]);
    let mut client = Client::new(server.resp_addr());
    client.ask("SET k v\r\nSET l v\r\n", "+OK\r\n+OK\r\n");
    client.ask("CONFIG SET maxmemory 1\r\n", "+OK\r\n");
    client.ask(
        "SET k w\r\n",
        "-OOM command not allowed when used memory > 'maxmemory'.\r\n",
    );
    client.ask("GET k\r\nDEL k\r\n", "$1\r\nv\r\n:1\r\n");
    let mut memcached = Client::new(server.memcached_addr());
    memcached.ask(
        "set k 0 0 1\r\nx\r\n",
        "SERVER_ERROR out of memory storing object\r\n",
    );
    memcached.ask("delete l\r\n", "DELETED\r\n");
    client.ask("CONFIG SET maxmemory 0\r\nSET k w\r\n", "+OK\r\n+OK\r\n");
    server.stop();
}

#[test]
fn replies_can_be_switched_off() {
    let server = server(&[]);
    let mut client = Client::new(server.resp_addr());
    client.ask("CLIENT REPLY SKIP\r\nPING 1\r\nPING 2\r\n", "$1\r\n2\r\n");
    client.send("CLIENT REPLY OFF\r\nPING 1\r\nSET k v\r\nFOO\r\n");
    client.ask("CLIENT REPLY ON\r\nGET k\r\n", "+OK\r\n$1\r\nv\r\n");
    server.stop();
}

#[test]
fn expired_keys_go_by_themselves() {
    let server = server(&[]);
    let mut client = Client::new(server.resp_addr());
    client.ask("SET k v PX 20\r\nDBSIZE\r\n", "+OK\r\n:1\r\n");
    let is_swept = eventually(|| {
        client.send("DBSIZE\r\n");
        client.line() == ":0\r\n"
    });
    assert!(is_swept);
    server.stop();
}

#[test]
fn shutdown_ends_the_server() {
    let server = server(&[]);
    let mut client = Client::new(server.resp_addr());
    client.send("SHUTDOWN NOSAVE\r\n");
    assert_eq!(client.rest(), "");
    server.wait();
}

#[test]
fn who_does_not_read_is_disconnected_at_the_output_limit() {
    let server = server(&[("client-output-buffer-limit", "normal 1mb 0 0")]);
    let mut operator = Client::new(server.resp_addr());
    let value = "x".repeat(1_000_000);
    operator.send(format!(
        "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1000000\r\n{value}\r\n"
    ));
    operator.expect("+OK\r\n");
    let mut client = Client::new(server.resp_addr());
    client.send("GET k\r\n".repeat(64));
    // What the kernel holds arrives, and then the end.
    let mut rest = Vec::new();
    std::thread::sleep(Duration::from_millis(300));
    let _ = client.0.read_to_end(&mut rest);
    assert!(rest.len() < 64 * 1_000_000, "all {} bytes came", rest.len());
    operator.ask("PING\r\n", "+PONG\r\n");
    server.stop();
}

#[test]
fn the_clients_with_the_largest_buffers_go_first() {
    let server = server(&[]);
    let (mut operator, mut small) = (
        Client::new(server.resp_addr()),
        Client::new(server.resp_addr()),
    );
    let mut large = Client::new(server.resp_addr());
    large.send("*2\r\n$4\r\nECHO\r\n$9000000\r\n");
    large.send("x".repeat(4_000_000));
    operator.ask("CONFIG SET maxmemory-clients 1mb\r\n", "+OK\r\n");
    assert_eq!(large.rest(), "");
    small.ask("PING\r\n", "+PONG\r\n");
    operator.ask("PING\r\n", "+PONG\r\n");
    assert_eq!(operator.info("evicted_clients"), 1);
    operator.ask("CONFIG RESETSTAT\r\n", "+OK\r\n");
    assert_eq!(operator.info("evicted_clients"), 0);
    server.stop();
}
