//! The `mayfly` executable: parse the flags, start the server, wait for its end.

use net::{Config, Server};

#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() {
    match Server::start(Config::default()) {
        Ok(server) => server.wait(),
        Err(error) => {
            eprintln!("mayfly: {error}");
            std::process::exit(1);
        }
    }
}
