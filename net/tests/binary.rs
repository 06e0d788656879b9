//! The real executable: flags, variables, flagfile, signals and exit codes.

mod ports;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::Duration;

use ports::free_port;
use signal_hook::low_level;

fn mayfly() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mayfly"));
    command.env_clear();
    command
}

fn scratch_file(name: &str, text: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).expect("a scratch file");
    path
}

/// A started server, killed at the end of the test if it has not ended.
struct Running {
    child: Child,
    stdout: BufReader<ChildStdout>,
    banner: String,
}

impl Running {
    fn start(command: &mut Command) -> Running {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the executable runs");
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut banner = String::new();
        while !banner.contains("password: ") {
            assert_ne!(stdout.read_line(&mut banner).expect("text"), 0, "{banner}");
        }
        Running {
            child,
            stdout,
            banner,
        }
    }

    /// Waits for the end, whose exit code it returns.
    fn end(mut self) -> Option<i32> {
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).expect("text");
        self.child.wait().expect("an exit").code()
    }

    fn signal(&self, signal: i32) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill")
            .args([format!("-{signal}"), pid])
            .status();
        assert!(sent.expect("kill runs").success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ask(port: u16, request: &str) -> String {
    Wire::connect(port).ask(request)
}

/// A connection.
struct Wire(BufReader<TcpStream>);

impl Wire {
    fn connect(port: u16) -> Wire {
        let addr = SocketAddr::from(([127, 0, 0, 1], port));
        let stream = TcpStream::connect(addr).expect("a connection");
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .expect("a timeout");
        Wire(BufReader::new(stream))
    }

    /// The first line of the reply.
    fn ask(&mut self, request: &str) -> String {
        let sent = self.0.get_mut().write_all(request.as_bytes());
        sent.expect("sent");
        let mut reply = String::new();
        self.0.read_line(&mut reply).expect("a reply");
        reply
    }
}

/// Runs to the end and returns what was told on standard error; exit code 1 and one line.
fn complaint(command: &mut Command) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().expect("the executable runs");
    assert_eq!(status.code(), Some(1));
    assert!(stdout.is_empty());
    let text = String::from_utf8(stderr).expect("text");
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}

#[test]
fn a_flag_goes_before_a_variable_before_the_flagfile() {
    let (from_flag, from_variable, from_file) = (free_port(), free_port(), free_port());
    let path = scratch_file(
        "precedence.flags",
        &format!("# a comment\n--port={from_file}\ndbnum = 3\n--logtostderr\n"),
    );
    let mut command = mayfly();
    command.arg("--flagfile").arg(&path);
    let server = Running::start(&mut command);
    assert_eq!(ask(from_file, "PING\r\n"), "+PONG\r\n");
    assert!(server.banner.contains("databases: 3\n"));
    drop(server);
    command.env("MAYFLY_PORT", from_variable.to_string());
    let server = Running::start(&mut command);
    assert_eq!(ask(from_variable, "PING\r\n"), "+PONG\r\n");
    drop(server);
    let server = Running::start(command.arg("--port").arg(from_flag.to_string()));
    assert_eq!(ask(from_flag, "PING\r\n"), "+PONG\r\n");
    drop(server);
}

#[test]
fn the_banner_says_what_listens_where() {
    let (port, memcached_port) = (free_port(), free_port());
    let server = Running::start(mayfly().args([
        "--bind=127.0.0.1",
        &format!("--port={port}"),
        &format!("--memcached-port={memcached_port}"),
        "--threads=2",
        "--maxmemory=1gb",
    ]));
    for fact in [
        format!("RESP: 127.0.0.1:{port}"),
        format!("Memcached: 127.0.0.1:{memcached_port}"),
        "threads: 2".into(),
        "memory limit: 1073741824 bytes, then keys are evicted: cache_mode".into(),
    ] {
        assert!(
            server.banner.lines().any(|line| line == fact),
            "{fact} in {}",
            server.banner
        );
    }
}

#[test]
fn signals_end_it_in_order() {
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        let port = free_port();
        let server = Running::start(mayfly().arg(format!("--port={port}")));
        assert_eq!(ask(port, "PING\r\n"), "+PONG\r\n");
        server.signal(signal);
        assert_eq!(
            server.end(),
            Some(0),
            "{}",
            low_level::signal_name(signal).unwrap_or_default()
        );
    }
}

#[test]
fn a_unix_socket_goes_with_the_server() {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("mayfly.sock");
    let server = Running::start(mayfly().arg("--port=0").arg("--unixsocket").arg(&path));
    let mut stream = UnixStream::connect(&path).expect("a connection");
    stream.write_all(b"PING\r\n").expect("sent");
    let mut reply = [0; 7];
    stream.read_exact(&mut reply).expect("a reply");
    assert_eq!(&reply, b"+PONG\r\n");
    server.signal(signal_hook::consts::SIGTERM);
    assert_eq!(server.end(), Some(0));
    assert!(!path.exists());
}

#[test]
fn memcached_clients_have_a_unix_socket_of_their_own() {
    for (flags, mode) in [
        (&[][..], 0o700),
        (&["--memcached_unixsocketperm=766"], 0o766),
    ] {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("memcached.sock");
        let path_flag = format!("--memcached_unixsocket={}", path.display());
        let server = Running::start(mayfly().arg("--port=0").arg(&path_flag).args(flags));
        let line = format!("Memcached on a Unix socket: {}\n", path.display());
        assert!(server.banner.contains(&line), "{}", server.banner);
        let permissions = std::fs::metadata(&path).expect("a socket").permissions();
        assert_eq!(permissions.mode() & 0o777, mode);
        let mut stream = UnixStream::connect(&path).expect("a connection");
        stream.write_all(b"set k 0 0 1\r\nx\r\n").expect("sent");
        let mut reply = [0; 8];
        stream.read_exact(&mut reply).expect("a reply");
        assert_eq!(&reply, b"STORED\r\n");
        server.signal(signal_hook::consts::SIGTERM);
        assert_eq!(server.end(), Some(0));
        assert!(!path.exists());
    }
}

#[test]
fn memcached_clients_have_addresses_of_their_own() {
    let (port, own) = (free_port(), free_port());
    let binds = format!("127.0.0.1,127.0.0.1:{own}");
    let mut command = mayfly();
    command.args(["--port=0", "--bind=127.0.0.2"]);
    command.args(["--memcached_bind", &binds]);
    let server = Running::start(command.arg(format!("--memcached_port={port}")));
    let listening = format!("Memcached: 127.0.0.1:{port}, 127.0.0.1:{own}\n");
    assert!(server.banner.contains(&listening), "{}", server.banner);
    for port in [port, own] {
        assert!(ask(port, "version\r\n").starts_with("VERSION "));
    }
    drop(server);
    let variables = [("MAYFLY_BIND", "127.0.0.1"), ("MAYFLY_MAX_ITEM_SIZE", "2k")];
    let mut command = mayfly();
    let server = command
        .arg("--port=0")
        .arg(format!("--memcached_port={port}"));
    let _server = Running::start(server.envs(variables));
    let value = "x".repeat(2_048 - 100);
    let request = format!("set k 0 0 {}\r\n{value}\r\n", value.len());
    assert_eq!(ask(port, &request), "STORED\r\n");
    let too_large = "SERVER_ERROR object too large for cache\r\n";
    let request = format!("set k 0 0 2048\r\n{value}{value}\r\n");
    assert_eq!(ask(port, &request), too_large);
}

#[test]
fn what_is_wrong_is_told_in_one_line() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("its address").port();
    let port_flag = format!("--port={port}");
    let flags = scratch_file("wrong.flags", "--port=1\n--prot=2\n");
    let flagfile = format!("--flagfile={}", flags.display());
    for (words, told) in [
        (&["--bind=127.0.0.1", &port_flag][..], "in use"),
        (&["--prot=1"], "--prot"),
        (&["--port=x"], "--port=x"),
        (&["--maxmemory=1zb"], "memory value"),
        (&["--flagfile=/no/such/file"], "/no/such/file"),
        (&[&flagfile], "wrong.flags:2: no flag 'prot'"),
        (&["--bind=nowhere"], "nowhere"),
    ] {
        let line = complaint(mayfly().args(words));
        assert!(
            line.starts_with("mayfly: ") && line.contains(told),
            "{line}"
        );
    }
    let line = complaint(mayfly().env("MAYFLY_THREADS", "many"));
    assert!(line.contains("MAYFLY_THREADS=many"), "{line}");
}

#[test]
fn help_is_not_a_failure() {
    for flag in ["--help", "--version"] {
        let output = mayfly().arg(flag).output().expect("the executable runs");
        assert!(output.status.success());
        assert!(String::from_utf8_lossy(&output.stdout).contains("mayfly"));
    }
}

/// Memory is counted for the whole process, so this server has one of its own.
#[test]
fn at_maxmemory_writes_fail_and_reads_and_deletes_go_on() {
    let (resp_port, memcached_port) = (free_port(), free_port());
    let server = Running::start(
        mayfly()
            .arg(format!("--port={resp_port}"))
            .arg(format!("--memcached_port={memcached_port}"))
            .args(["--maxmemory=64mb", "--maxmemory_policy=noeviction"]),
    );
    let (mut resp, mut memcached) = (Wire::connect(resp_port), Wire::connect(memcached_port));
    let value = "x".repeat(1_000_000);
    let oom = "-OOM command not allowed when used memory > 'maxmemory'.\r\n";
    let refused = (0..100).find(|at| {
        let request = format!("*3\r\n$3\r\nSET\r\n$2\r\n{at:02}\r\n$1000000\r\n{value}\r\n");
        let reply = resp.ask(&request);
        assert!(reply == "+OK\r\n" || reply == oom, "{reply}");
        reply == oom
    });
    let refused = refused.expect("a hundred megabytes do not fit");
    assert!(refused > 32, "{refused} megabytes are far from 64");

    assert_eq!(resp.ask("CONFIG SET maxmemory 32mb\r\n"), "+OK\r\n");
    let answer = memcached.ask("set key:m 0 0 1\r\nx\r\n");
    assert_eq!(answer, "SERVER_ERROR out of memory storing object\r\n");
    assert_eq!(resp.ask("SADD s a\r\n"), oom);
    assert_eq!(resp.ask("STRLEN 00\r\n"), ":1000000\r\n");
    assert_eq!(memcached.ask("get 01\r\n"), "VALUE 01 0 1000000\r\n");
    for at in 0..refused {
        assert_eq!(resp.ask(&format!("DEL {at:02}\r\n")), ":1\r\n");
    }
    let has_room = (0..600).any(|_| {
        std::thread::sleep(Duration::from_millis(50));
        resp.ask("SET k v\r\n") == "+OK\r\n"
    });
    assert!(has_room, "deleting gave no memory back");
    drop(server);
}

/// As above.
#[test]
fn a_memcached_evicts_and_never_refuses_an_item_for_being_full() {
    let (resp_port, memcached_port) = (free_port(), free_port());
    let server = Running::start(
        mayfly()
            .arg(format!("--port={resp_port}"))
            .arg(format!("--memcached_port={memcached_port}"))
            .arg("--maxmemory=32mb"),
    );
    assert!(server.banner.contains("then keys are evicted: cache_mode"));
    let (mut resp, mut memcached) = (Wire::connect(resp_port), Wire::connect(memcached_port));
    let value = "x".repeat(50_000);
    for at in 0..2_000 {
        let stored = memcached.ask(&format!("set key:{at} 0 0 50000\r\n{value}\r\n"));
        assert_eq!(stored, "STORED\r\n");
    }
    let keys = resp.ask("DBSIZE\r\n");
    let keys: u64 = keys
        .trim_start_matches(':')
        .trim()
        .parse()
        .expect("a number");
    assert!((200..700).contains(&keys), "{keys} keys of 50 kB in 32 MB");
    let evicted = std::iter::once(resp.ask("INFO stats\r\n"))
        .chain((0..100).map(|_| resp.ask("")))
        .find_map(|line| {
            line.strip_prefix("evicted_keys:")?
                .trim()
                .parse::<u64>()
                .ok()
        });
    assert_eq!(evicted, Some(2_000 - keys));
    drop(server);
}
