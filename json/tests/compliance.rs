//! The compliance suite of RFC 9535, read from the file that MAYFLY_JSONPATH_CTS names.
//!
//! The suite is not part of this repository: <https://github.com/jsonpath-standard>. Without the
//! variable the test says in one line that it was skipped.

use json::{Document, Path};
use serde::Deserialize;

/// Selectors that the RFC refuses and RedisJSON is known to accept; so do we.
const ACCEPTED: &[&str] = &["$.1", "$. a"];

#[derive(Deserialize)]
struct Suite {
    tests: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    selector: String,
    #[serde(default)]
    document: serde_json::Value,
    /// The only right result, or else one of `results`.
    result: Option<serde_json::Value>,
    #[serde(default)]
    results: Vec<serde_json::Value>,
    #[serde(default)]
    invalid_selector: bool,
}

impl Case {
    /// What is wrong with our answer.
    fn fault(&self) -> Option<String> {
        let Ok(path) = Path::parse(self.selector.as_bytes()) else {
            return (!self.invalid_selector).then(|| "refused".to_owned());
        };
        if self.invalid_selector {
            let is_exempt = ACCEPTED.contains(&&*self.selector);
            return (!is_exempt).then(|| "accepted".to_owned());
        }
        let document = Document::parse(self.document.to_string().as_bytes()).unwrap();
        let found = match path.find(document.root()) {
            Ok(found) => found,
            Err(error) => return Some(error.to_string()),
        };
        let mut text = b"[".to_vec();
        for (index, value) in found.into_iter().enumerate() {
            if index > 0 {
                text.push(b',');
            }
            value.print(&mut text);
        }
        text.push(b']');
        let found: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let is_right = self
            .result
            .iter()
            .chain(&self.results)
            .any(|right| *right == found);
        (!is_right).then(|| found.to_string())
    }
}

#[test]
fn paths_mean_what_the_rfc_says() {
    let Some(file) = std::env::var_os("MAYFLY_JSONPATH_CTS") else {
        eprintln!("skipped: MAYFLY_JSONPATH_CTS does not name the compliance suite");
        return;
    };
    let suite: Suite = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    assert!(suite.tests.len() > 700);
    let faults: Vec<String> = suite
        .tests
        .iter()
        .filter_map(|case| {
            let fault = case.fault()?;
            Some(format!("{}: {:?}: {fault}", case.name, case.selector))
        })
        .collect();
    assert!(
        faults.is_empty(),
        "{} faults:\n{}",
        faults.len(),
        faults.join("\n")
    );
}
