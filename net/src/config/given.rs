//! What Redis lets one choose and here is as it is. Clients and their tools ask for it by CONFIG
//! GET, and some set what they need, so CONFIG SET takes the one value there is.

/// A parameter with a single value.
#[derive(Debug)]
pub(crate) struct Given {
    /// What CONFIG calls it.
    pub(crate) name: &'static str,
    pub(crate) value: &'static str,
    /// Why there is no other.
    why: &'static str,
}

const fn given(name: &'static str, value: &'static str, why: &'static str) -> Given {
    Given { name, value, why }
}

const NO_FILE: &str = "there is no such file";
const IN_BACKGROUND: &str = "memory is freed in the background";
const ALONE: &str = "this server is neither a part of a cluster nor a replica";

/// All of them.
pub(crate) const GIVEN: &[Given] = &[
    given("activedefrag", "yes", "memory is always compacted"),
    given("aclfile", "", NO_FILE),
    given("cluster-enabled", "no", ALONE),
    given("daemonize", "no", "the process stays where it is started"),
    given(
        "io-threads-do-reads",
        "yes",
        "each thread reads and writes for its clients",
    ),
    given("lazyfree-lazy-eviction", "yes", IN_BACKGROUND),
    given("lazyfree-lazy-expire", "yes", IN_BACKGROUND),
    given("lazyfree-lazy-server-del", "yes", IN_BACKGROUND),
    given("lazyfree-lazy-user-del", "yes", IN_BACKGROUND),
    given("lazyfree-lazy-user-flush", "yes", IN_BACKGROUND),
    given("logfile", "", "the log goes to the standard error stream"),
    given(
        "notify-keyspace-events",
        "",
        "no events are published so far",
    ),
    given("pidfile", "", NO_FILE),
    given("replica-read-only", "yes", ALONE),
    given("replicaof", "", ALONE),
    given("slave-read-only", "yes", ALONE),
    given("slaveof", "", ALONE),
    given(
        "supervised",
        "no",
        "no supervisor is told when the server is ready",
    ),
    given("tls-port", "0", "connections are not encrypted so far"),
];

/// The one CONFIG knows by `name`, in any case.
pub(crate) fn find(name: &[u8]) -> Option<&'static Given> {
    let mut all = GIVEN.iter();
    all.find(|given| given.name.as_bytes().eq_ignore_ascii_case(name))
}

impl Given {
    /// Why CONFIG SET refuses a value, unless it is the one there is.
    pub(crate) fn refusal(&self, value: &str) -> Option<String> {
        let is_same = value.eq_ignore_ascii_case(self.value);
        (!is_same).then(|| format!("argument must be '{}': {}", self.value, self.why))
    }
}
