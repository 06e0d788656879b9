//! The laws of ARCHITECTURE.md and of the style that a compiler does not see.
//!
//! Each law is a function over the sources; what breaks it is listed as `file:line: why`.

use std::fs;
use std::path::{Path, PathBuf};

/// Columns of a line, literals aside.
const COLUMNS_MAX: usize = 100;
const LINES_MAX: usize = 1_000;

/// A source file.
struct Source {
    /// From the root of the repository.
    path: String,
    text: String,
}

impl Source {
    fn is_within(&self, folder: &str) -> bool {
        self.path.starts_with(folder)
    }

    fn is_test(&self) -> bool {
        let marks = ["/tests.rs", "/tests/", "/models.rs", "/models/"];
        !self.path.contains("/src/") || marks.iter().any(|mark| self.path.contains(mark))
    }

    /// The lines of code above the unit tests, with their numbers.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let is_code = |line: &&str| !line.trim_start().starts_with("//");
        self.text
            .lines()
            .enumerate()
            .take_while(|(_, line)| *line != "mod tests {")
            .map(|(at, line)| (at + 1, line))
            .filter(move |(_, line)| is_code(line))
    }

    fn broken(&self, line: usize, why: &str) -> String {
        format!("{}:{line}: {why}", self.path)
    }
}

#[test]
fn every_file_says_what_it_is() {
    demand(|source| match source.text.starts_with("//! ") {
        true => Vec::new(),
        false => vec![source.broken(1, "no `//!` at its start")],
    });
}

#[test]
fn lines_and_files_are_short() {
    demand(|source| {
        let mut broken = Vec::new();
        for (at, line) in source.text.lines().enumerate() {
            if columns_of_code(line) > COLUMNS_MAX {
                broken.push(source.broken(at + 1, "more than 100 columns"));
            }
        }
        if source.text.lines().count() >= LINES_MAX {
            broken.push(source.broken(LINES_MAX, "1000 lines: split it by verb"));
        }
        broken
    });
}

/// How long a line is without what stands in it between quotes: a literal, or a line of a
/// transcript, cannot be broken.
fn columns_of_code(line: &str) -> usize {
    let columns = |text: &str| text.chars().count();
    let is_comment = line.trim_start().starts_with("//");
    match (line.find('"'), line.rfind('"')) {
        (Some(first), Some(last)) if !is_comment => {
            let (before, after) = (columns(&line[..first]), columns(&line[last + 1..]));
            // A literal that begins, or ends, in another line has one quote.
            match first == last {
                true => before.min(after),
                false => before + after,
            }
        }
        _ => columns(line),
    }
}

#[test]
fn nothing_is_left_undone() {
    // Put together so that this file does not contain them.
    let marks = [
        ("FIX", "ME"),
        ("XX", "X:"),
        ("TO", "DO"),
        ("dbg", "!("),
        ("unimplemented", "!("),
    ]
    .map(|(start, end)| format!("{start}{end}"));
    demand(|source| {
        let lines = source.text.lines().enumerate();
        lines
            .filter(|(_, line)| marks.iter().any(|mark| line.contains(mark)))
            .map(|(at, line)| source.broken(at + 1, line.trim()))
            .collect()
    });
}

/// Only the variants of an enum may be imported all at once, and in tests what is tested.
#[test]
fn imports_are_named() {
    demand(|source| {
        let is_allowed = |line: &str| {
            let from = line
                .trim_end_matches("::*;")
                .rsplit([':', ' '])
                .next()
                .unwrap_or("");
            from.starts_with(char::is_uppercase)
                || source.is_test() && ["prelude", "super", "crate"].contains(&from)
        };
        let is_glob = |line: &str| line.contains("use ") && line.ends_with("::*;");
        source
            .code()
            .filter(|(_, line)| is_glob(line) && !is_allowed(line))
            .map(|(at, line)| source.broken(at, line.trim()))
            .collect()
    });
}

#[test]
fn one_file_names_the_async_runtime() {
    const RUNTIMES: [&str; 5] = ["async_std", "async_executor", "async_io", "smol::", "tokio"];
    demand(|source| {
        let is_runtime =
            source.path == "net/src/runtime.rs" || source.is_within("net/src/runtime/");
        if is_runtime || !source.is_within("net/src/") {
            return Vec::new();
        }
        found(
            source,
            &RUNTIMES,
            "the async runtime is named in net/src/runtime.rs alone",
        )
    });
}

#[test]
fn the_protocol_is_pure() {
    const IMPURE: [&str; 8] = [
        "store::Store",
        "store::Db",
        "async ",
        ".await",
        "std::net",
        "crate::session",
        "crate::shared",
        "crate::connection",
    ];
    demand(|source| match source.is_within("net/src/protocol/") {
        true => found(source, &IMPURE, "the protocol is bytes in, values out"),
        false => Vec::new(),
    });
}

#[test]
fn handlers_never_wait() {
    demand(|source| match source.is_within("net/src/command/") {
        true => found(source, &["async ", ".await"], "a handler is a plain fn"),
        false => Vec::new(),
    });
}

/// Words for clients are written in `net`; a socket is none of the engine's business.
#[test]
fn the_engine_speaks_no_protocol() {
    const WORDS: [&str; 6] = [
        "\"ERR ",
        "\"WRONGTYPE",
        "CLIENT_ERROR",
        "SERVER_ERROR",
        "std::net",
        "SystemTime::now",
    ];
    demand(
        |source| match source.is_within("store/src/") || source.is_within("json/src/") {
            true => found(
                source,
                &WORDS,
                "the engine knows no protocol, no socket and no clock",
            ),
            false => Vec::new(),
        },
    );
}

#[test]
fn the_layers_depend_one_way() {
    let allowed: [(&str, &[&str]); 3] = [
        ("json", &[]),
        ("store", &["json"]),
        ("net", &["json", "store"]),
    ];
    for (layer, below) in allowed {
        let manifest = fs::read_to_string(root().join(layer).join("Cargo.toml")).expect("a crate");
        for other in ["json", "store", "net", "tests", "benches"] {
            let names = manifest.lines().any(|line| {
                line.starts_with(&format!("{other}.")) || line.starts_with(&format!("{other} "))
            });
            let is_allowed = below.contains(&other);
            assert!(!names || is_allowed, "{layer} must not depend on {other}");
        }
    }
}

/// Unsafe code stands in those modules of `store` that its lib.rs allows it in.
#[test]
fn unsafe_code_stays_where_it_is_allowed() {
    for layer in ["json", "net"] {
        let path = root().join(layer).join("src/lib.rs");
        let text = fs::read_to_string(path).expect("a crate's root");
        assert!(
            text.contains("#![forbid(unsafe_code)]"),
            "{layer} must forbid unsafe code"
        );
    }
    let text = fs::read_to_string(root().join("store/src/lib.rs")).expect("a crate's root");
    assert!(text.contains("#![deny(unsafe_code)]"));
    let lines: Vec<&str> = text.lines().collect();
    let modules: Vec<&str> = lines
        .windows(2)
        .filter(|pair| pair[0] == "#[allow(unsafe_code)]")
        .filter_map(|pair| pair[1].trim_end_matches(';').rsplit(' ').next())
        .collect();
    assert!(!modules.is_empty());
    demand(|source| {
        let Some(rest) = source.path.strip_prefix("store/src/") else {
            return Vec::new();
        };
        let module = rest.split(['/', '.']).next().unwrap_or(rest);
        match modules.contains(&module) {
            true => Vec::new(),
            false => found(
                source,
                &["unsafe {", "unsafe fn", "unsafe impl", "allow(unsafe_code"],
                "unsafe code outside of the modules that store/src/lib.rs allows it in",
            )
            .into_iter()
            .filter(|_| rest != "lib.rs")
            .collect(),
        }
    });
}

fn found(source: &Source, words: &[&str], why: &str) -> Vec<String> {
    source
        .code()
        .filter(|(_, line)| words.iter().any(|word| line.contains(word)))
        .map(|(at, line)| source.broken(at, &format!("{why}: {}", line.trim())))
        .collect()
}

fn demand(law: impl Fn(&Source) -> Vec<String>) {
    let sources = sources();
    assert!(sources.len() > 50, "the sources were not found");
    let broken: Vec<String> = sources.iter().flat_map(law).collect();
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn sources() -> Vec<Source> {
    let mut sources = Vec::new();
    for layer in ["json", "store", "net", "tests", "benches"] {
        collect(&root().join(layer), layer, &mut sources);
    }
    sources
}

fn collect(folder: &Path, name: &str, sources: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let file_name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let name = format!("{name}/{file_name}");
        if path.is_dir() && file_name != "target" {
            collect(&path, &name, sources);
        } else if file_name.ends_with(".rs") {
            let text = fs::read_to_string(&path).expect("a text");
            sources.push(Source { path: name, text });
        }
    }
}
