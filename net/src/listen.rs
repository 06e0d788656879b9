//! Where clients connect: TCP addresses and Unix sockets, each for one of the two protocols.
//!
//! `bind` names addresses for both protocols' ports, `memcached_bind` others for Memcached's, and
//! there an address may bring a port of its own, as it may for memcached's `-l`.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;

use socket2::{Domain, Protocol as IpProtocol, SockAddr, Socket, Type};

use crate::config::{Config, Setting};

/// Connections the kernel may hold that are not yet accepted.
const BACKLOG: i32 = 511;

/// Which protocol a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// Redis's.
    Resp,
    /// Memcached's.
    Memcached,
}

impl Protocol {
    /// What users know it as.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Protocol::Resp => "RESP",
            Protocol::Memcached => "Memcached",
        }
    }
}

/// A Unix socket.
#[derive(Debug)]
pub(crate) struct UnixSocket {
    pub(crate) protocol: Protocol,
    pub(crate) path: String,
    pub(crate) listener: UnixListener,
}

/// All that is listened on.
#[derive(Debug)]
pub(crate) struct Listeners {
    pub(crate) resp: Vec<TcpListener>,
    pub(crate) memcached: Vec<TcpListener>,
    pub(crate) unix: Vec<UnixSocket>,
}

impl Listeners {
    /// Opens what `config` names.
    ///
    /// # Errors
    /// One line: an address that is in use or not this machine's, and what else the kernel
    /// refuses.
    pub(crate) fn open(config: &Config) -> Result<Listeners, String> {
        let resp = Addresses {
            flag: "bind",
            words: config.text(Setting::Bind),
            port: config.port(Setting::Port),
            may_have_ports: false,
        };
        let memcached = match config.text(Setting::MemcachedBind) {
            "" => Addresses {
                port: config.port(Setting::MemcachedPort),
                ..resp
            },
            words => Addresses {
                flag: "memcached_bind",
                words,
                port: config.port(Setting::MemcachedPort),
                may_have_ports: true,
            },
        };
        let unix = [
            (Protocol::Resp, Setting::Unixsocket, Setting::Unixsocketperm),
            (
                Protocol::Memcached,
                Setting::MemcachedUnixsocket,
                Setting::MemcachedUnixsocketperm,
            ),
        ];
        Ok(Listeners {
            resp: resp.bind()?,
            memcached: memcached.bind()?,
            unix: unix
                .into_iter()
                .map(|(protocol, path, mode)| (protocol, config.text(path), config.number(mode)))
                .filter(|(_, path, _)| !path.is_empty())
                .map(|(protocol, path, mode)| {
                    let listener = bind_unix(path, mode as u32)
                        .map_err(|error| format!("cannot listen on {path}: {error}"))?;
                    Ok(UnixSocket {
                        protocol,
                        path: path.to_owned(),
                        listener,
                    })
                })
                .collect::<Result<_, String>>()?,
        })
    }
}

/// The addresses of TCP listeners.
pub(crate) fn addresses(listeners: &[TcpListener]) -> Vec<SocketAddr> {
    listeners
        .iter()
        .filter_map(|listener| listener.local_addr().ok())
        .collect()
}

/// A list of addresses as a flag has it.
#[derive(Clone, Copy)]
struct Addresses<'c> {
    flag: &'static str,
    words: &'c str,
    /// For addresses without one; none: they are not listened on.
    port: Option<u16>,
    may_have_ports: bool,
}

impl Addresses<'_> {
    fn bind(self) -> Result<Vec<TcpListener>, String> {
        let mut listeners = Vec::new();
        let mut default_port = self.port;
        for word in self.words.split([' ', ',']).filter(|word| !word.is_empty()) {
            let (word, may_fail) = match word.strip_prefix('-') {
                Some(word) => (word, true),
                None => (word, false),
            };
            let own = self.may_have_ports.then(|| own_port(word)).flatten();
            let (host, port) = match (own, default_port) {
                (Some((host, port)), _) => (host, port),
                (None, Some(port)) => (word, port),
                (None, None) => continue,
            };
            for ip in self.resolve(host)? {
                let addr = SocketAddr::new(ip, port);
                match bind_tcp(addr) {
                    Ok(listener) => {
                        if port == 0 && own.is_none() {
                            // Where the port was a free one, other addresses get the same.
                            default_port = listener.local_addr().ok().map(|addr| addr.port());
                        }
                        listeners.push(listener);
                    }
                    Err(error) if may_fail && error.kind() != io::ErrorKind::AddrInUse => {}
                    Err(error) => return Err(format!("cannot listen on {addr}: {error}")),
                }
            }
        }
        if listeners.is_empty() && self.port.is_some() {
            return Err(format!("--{}: no address to listen on", self.flag));
        }
        Ok(listeners)
    }

    fn resolve(self, host: &str) -> Result<Vec<IpAddr>, String> {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let ip = match host {
            "*" => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            "::*" => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            _ => match host.parse() {
                Ok(ip) => ip,
                Err(_) => return self.look_up(host),
            },
        };
        Ok(vec![ip])
    }

    /// The addresses a name stands for.
    fn look_up(self, name: &str) -> Result<Vec<IpAddr>, String> {
        let mut ips: Vec<IpAddr> = (name, 0)
            .to_socket_addrs()
            .map(|addrs| addrs.map(|addr| addr.ip()).collect())
            .unwrap_or_default();
        ips.dedup();
        match ips.is_empty() {
            true => Err(format!("--{}: '{name}' is no address", self.flag)),
            false => Ok(ips),
        }
    }
}

/// Host and port of a word that has both; an IPv6 address then stands in brackets.
fn own_port(word: &str) -> Option<(&str, u16)> {
    let (host, port) = word.rsplit_once(':')?;
    let has_one_colon = !host.contains(':') || host.starts_with('[') && host.ends_with(']');
    has_one_colon.then_some(())?;
    Some((host, port.parse().ok()?))
}

fn bind_tcp(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(addr),
        Type::STREAM,
        Some(IpProtocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Binds a path that shall have this mode; 0: the one the process gives to files.
fn bind_unix(path: &str, mode: u32) -> io::Result<UnixListener> {
    // One left by a server that could not clean up; anything else makes `bind` fail.
    if std::fs::metadata(path).is_ok_and(|file| file.file_type().is_socket()) {
        let _ = std::fs::remove_file(path);
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    if mode != 0 {
        // Before anybody can connect.
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    }
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_bring_its_port() {
        assert_eq!(own_port("127.0.0.1:5"), Some(("127.0.0.1", 5)));
        assert_eq!(own_port("[::1]:5"), Some(("[::1]", 5)));
        assert_eq!(own_port("localhost:5"), Some(("localhost", 5)));
        for word in [
            "127.0.0.1",
            "::1",
            "*",
            "::*",
            "127.0.0.1:",
            "127.0.0.1:70000",
        ] {
            assert_eq!(own_port(word), None, "{word}");
        }
    }

    #[test]
    fn addresses_with_and_without_ports_stand_side_by_side() {
        let bind = |words, port| {
            let addresses = Addresses {
                flag: "memcached_bind",
                words,
                port,
                may_have_ports: true,
            };
            addresses
                .bind()
                .map(|listeners| super::addresses(&listeners))
        };
        let both = bind("127.0.0.1,127.0.0.2 127.0.0.1:0", Some(0)).expect("free ports");
        assert_eq!(both[0].port(), both[1].port());
        assert_ne!(both[0].port(), both[2].port());
        assert_eq!(bind("127.0.0.1:0 127.0.0.2", None).expect("one").len(), 1);
        assert_eq!(bind("127.0.0.1", None).expect("none").len(), 0);
        assert_eq!(
            bind("no.such.host.invalid", Some(0)),
            Err("--memcached_bind: 'no.such.host.invalid' is no address".to_owned())
        );
        assert!(bind("-192.0.2.1", Some(0)).is_err());
    }
}
