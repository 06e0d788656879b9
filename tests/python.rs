//! What a program in Python sees that uses a client library: the scripts of `tests/clients`.
//!
//! A script is plain `assert`s. It finds the server in `MAYFLY_RESP_PORT` and
//! `MAYFLY_MEMCACHED_PORT`, and fails by any exception. The libraries are installed for `python3`,
//! or stand in the folder `MAYFLY_PYTHON_PATH` (`pip install --target`). Without them a test says
//! in one line that it is skipped; where peers are required (see [`peer`]) it fails.

use std::env;
use std::ffi::OsString;
use std::process::{Command, Output};

use tests::{Subject, peer};

/// Runs the script it is given. One that hangs is ended with a traceback.
const RUNNER: &str = "\
import faulthandler, runpy, sys
faulthandler.dump_traceback_later(60, exit=True)
runpy.run_path(sys.argv[1], run_name='__main__')";

/// Python with the libraries in its path.
fn python(code: &str) -> Command {
    let mut command = Command::new("python3");
    let folders = ["MAYFLY_PYTHON_PATH", "PYTHONPATH"]
        .into_iter()
        .filter_map(env::var_os)
        .collect::<Vec<OsString>>();
    let path = folders.join(":".as_ref());
    command.env("PYTHONPATH", path).args(["-c", code]);
    command
}

fn is_installed(library: &str) -> bool {
    let output = python(&format!("import {library}")).output();
    output.is_ok_and(|output| output.status.success())
}

/// Runs `tests/clients/{script}.py`, which imports `library`, against `subject`.
fn run(script: &str, library: &str, subject: &Subject) {
    if !is_installed(library) {
        assert!(
            !peer::are_required(),
            "{script}.py needs the Python library {library}, which is not installed"
        );
        eprintln!("skipped: {script}.py needs the Python library {library}");
        return;
    }
    let path = format!("{}/clients/{script}.py", env!("CARGO_MANIFEST_DIR"));
    let Output {
        status,
        stdout,
        stderr,
    } = python(RUNNER)
        .arg(path)
        .env(
            "MAYFLY_RESP_PORT",
            subject.resp_address().port().to_string(),
        )
        .env(
            "MAYFLY_MEMCACHED_PORT",
            subject.memcached_address().port().to_string(),
        )
        .output()
        .expect("python3 ran before");
    assert!(
        status.success(),
        "{script}.py: {status}\n{}{}",
        String::from_utf8_lossy(&stdout),
        String::from_utf8_lossy(&stderr)
    );
}

#[test]
fn pymemcache() {
    run("pymemcache_text", "pymemcache", &Subject::start());
}

#[test]
fn pylibmc_over_text() {
    run("pylibmc_text", "pylibmc", &Subject::start());
}

#[test]
fn redis_py_s_json() {
    run("redis_json", "redis", &Subject::start());
}

#[test]
fn a_migration_with_both_protocols() {
    run("migration", "redis, pymemcache", &Subject::start());
}

#[test]
fn pylibmc_over_the_binary_protocol() {
    run("pylibmc_binary", "pylibmc", &Subject::start());
}

#[test]
fn meta_memcache() {
    run("meta_memcache_leases", "meta_memcache", &Subject::start());
}

#[test]
fn bmemcached_with_sasl() {
    let subject = Subject::start_with(&[("requirepass", "secret")]);
    run("bmemcached_sasl", "bmemcached", &subject);
}

#[test]
fn a_script_that_fails_fails_its_test() {
    if is_installed("sys") {
        let output = python(RUNNER).arg("no such script").output();
        assert!(!output.expect("python3 ran before").status.success());
    }
}
