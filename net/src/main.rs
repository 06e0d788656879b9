//! The `mayfly` executable: read the flags, start the server, wait for its end.

use std::io::{self, Write};
use std::process::ExitCode;

use net::{Config, NoStart, Server};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[cfg(all(feature = "mimalloc", not(feature = "jemalloc")))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(line) => {
            eprintln!("mayfly: {line}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let variable = |name: &str| std::env::var(name).ok();
    let config = match Config::from_command_line(std::env::args_os(), variable) {
        Ok(config) => config,
        Err(NoStart::Told(text)) => return say(&[text]),
        Err(NoStart::Wrong(line)) => return Err(line),
    };
    net::log_to_stderr();
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(|error| error.to_string())?;
    let server = Server::start(config).map_err(|error| error.to_string())?;
    let stopper = server.stopper();
    std::thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            log::info!("signal {signal}: ending");
            stopper.stop();
        }
    });
    say(&server.banner())?;
    server.wait();
    Ok(())
}

/// Prints lines; nobody has to listen.
fn say(lines: &[String]) -> Result<(), String> {
    let mut out = io::stdout().lock();
    for line in lines {
        let _ = writeln!(out, "{line}");
    }
    Ok(())
}
