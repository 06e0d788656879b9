//! Hostile input: documents and paths made to cost, which must end in bounded time and memory with
//! a clear error, or with the answer.
//!
//! The clock is not looked at: what these searches would take without bounds is years.

use json::{Condition, DEPTH_MAX, Document, EditError, Path, SearchTooLong};

fn document(text: &str) -> Document {
    Document::parse(text.as_bytes()).unwrap()
}

fn find(document: &Document, path: &str) -> Result<usize, SearchTooLong> {
    let path = Path::parse(path.as_bytes()).unwrap_or_else(|error| panic!("{path}: {error}"));
    path.find(document.root()).map(|found| found.len())
}

fn nested(depth: usize) -> String {
    format!("{}1{}", "[".repeat(depth), "]".repeat(depth))
}

/// How many bytes the large inputs take: `MAYFLY_HOSTILE_BYTES=536870912` for the longer form.
fn hostile_bytes() -> usize {
    let given = std::env::var("MAYFLY_HOSTILE_BYTES").ok();
    given.map_or(4 << 20, |bytes| bytes.parse().expect("a number of bytes"))
}

#[test]
fn all_descendants_of_deep_and_of_wide_documents_are_found() {
    assert_eq!(find(&document(&nested(DEPTH_MAX)), "$..*"), Ok(DEPTH_MAX));
    let wide = document(&format!("[{}0]", "{},".repeat(300_000)));
    assert_eq!(find(&wide, "$..*"), Ok(300_001));
    let both = vec![nested(DEPTH_MAX - 1); 1_000].join(",");
    let both = document(&format!("[{both}]"));
    assert_eq!(find(&both, "$..*"), Ok(1_000 * DEPTH_MAX));
}

#[test]
fn descents_that_multiply_are_refused() {
    let deep = document(&nested(DEPTH_MAX));
    let wide = document(&format!("[{}]", vec![nested(60); 200].join(",")));
    for document in [&deep, &wide] {
        let path = format!("$..*{}", "..*".repeat(30));
        assert_eq!(find(document, &path), Err(SearchTooLong));
    }
}

#[test]
fn filters_that_search_the_whole_document_for_each_child_are_refused() {
    let text = "x".repeat(50_000);
    let wide = format!("[{}\"{text}\",\"{text}y\"]", "[1],".repeat(10_000));
    let wide = document(&wide);
    for filter in [
        "count($..*) > 1",
        "count($..[?count($..*) > 1]) > 1",
        "$[10000] < $[10001]",
        "length($[10000]) > 1",
        "match($[10000], 'x*')",
        "$ == $",
        "value($..missing) == 1",
        &vec!["@ == 7"; 10_000].join(" || "),
        &vec!["1 == 2"; 10_000].join(" || "),
    ] {
        let path = format!("$[?{filter}]");
        let found = find(&wide, &path);
        assert_eq!(found, Err(SearchTooLong), "{filter:.40}");
    }
}

#[test]
fn what_nests_a_thousand_times_is_refused_when_it_is_read() {
    for times in [1_000, 100_000] {
        for (open, close) in [
            ("(", ")"),
            ("!(", ")"),
            ("@[?", "]"),
            ("@[?(", ")]"),
            ("length(", ")"),
            ("count(@[?", "])"),
        ] {
            let path = format!("$[?{}@.a{}]", open.repeat(times), close.repeat(times));
            let error = Path::parse(path.as_bytes()).unwrap_err().to_string();
            assert!(error.contains("expected one of the following"), "{error}");
        }
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let text = format!("{}1{}", open.repeat(times), close.repeat(times));
            let error = Document::parse(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains("recursion limit exceeded"), "{error}");
            let unclosed = open.repeat(times);
            assert!(Document::parse(unclosed.as_bytes()).is_err());
        }
    }
}

#[test]
fn long_paths_are_read_and_lead_nowhere() {
    let small = document(r#"{"a":[1]}"#);
    for part in [".a", "[0]", "['a']", "[?@.a]", "..a"] {
        let path = format!("${}", part.repeat(100_000));
        assert_eq!(find(&small, &path), Ok(0), "{part}");
    }
    let path = format!("$[{}0]", "0,".repeat(100_000));
    assert_eq!(find(&document("[1]"), &path), Ok(100_001));
}

#[test]
fn a_document_cannot_be_edited_beyond_the_depth_limit() {
    let mut deepest = document("[]");
    let path = |depth: usize| format!("$.{}", vec!["a"; depth].join("."));
    for depth in 1..DEPTH_MAX {
        let text = format!("{}{}{}", r#"{"a":"#.repeat(depth), 1, "}".repeat(depth));
        deepest = document(&text);
        let path = path(depth);
        let path = Path::parse(path.as_bytes()).unwrap();
        let object = document("{}");
        let edited = deepest
            .borrow()
            .set(&path, object.borrow(), Condition::Always);
        assert!(edited.is_ok(), "{depth}");
    }
    let full = document(r#"{"a":{}}"#);
    let path = path(DEPTH_MAX - 1);
    let path = Path::parse(path.as_bytes()).unwrap();
    let edited = deepest
        .borrow()
        .set(&path, full.borrow(), Condition::Always);
    assert_eq!(edited.unwrap_err(), EditError::TooDeep);
}

#[test]
fn one_enormous_string_is_a_document() {
    let bytes = hostile_bytes();
    let text = format!("\"{}\"", "x".repeat(bytes));
    let long = document(&text);
    assert!(long.memory_bytes() < bytes + 1_000);
    assert_eq!(find(&long, "$..*"), Ok(0));
    let mut printed = Vec::new();
    long.root().print(&mut printed);
    assert!(printed == text.as_bytes());

    let inside = document(&format!(r#"{{"long":{text},"n":1}}"#));
    let two = document("2");
    let n = Path::parse(b"$.n").unwrap();
    let edited = inside.borrow().set(&n, two.borrow(), Condition::Always);
    assert_eq!(find(&edited.unwrap().unwrap(), "$[?length(@) == 1]"), Ok(0));

    // Every byte becomes six.
    let escaped = document(&format!("\"{}\"", "\\u0001".repeat(bytes / 8)));
    let mut printed = Vec::new();
    escaped.root().print(&mut printed);
    assert_eq!(printed.len(), bytes / 8 * 6 + 2);
    for broken in [&text[..text.len() - 1], &text[1..]] {
        assert!(Document::parse(broken.as_bytes()).is_err());
    }
}

#[test]
fn names_that_repeat_and_names_without_number_are_members() {
    let names = 50_000;
    let repeated = format!("{{{}\"a\":1}}", "\"a\":0,".repeat(names));
    assert_eq!(find(&document(&repeated), "$.*"), Ok(1));
    let members: Vec<String> = (0..names)
        .map(|name| format!("\"{name}\":{name}"))
        .collect();
    let twice = format!("{{{},{}}}", members.join(","), members.join(","));
    let twice = document(&twice);
    assert_eq!(find(&twice, "$.*"), Ok(names));
    assert_eq!(find(&twice, "$['49999']"), Ok(1));
}
