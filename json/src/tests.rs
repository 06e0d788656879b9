//! Documents end to end: text in, text out.

use crate::*;

fn reprint(text: &str) -> String {
    let document = Document::parse(text.as_bytes()).unwrap_or_else(|e| panic!("{text}: {e}"));
    let mut out = Vec::new();
    document.root().print(&mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn what_is_read_is_printed() {
    for text in [
        "null",
        "[]",
        "{}",
        "1.0",
        "9007199254740993",
        "18446744073709551615",
        "-9223372036854775808",
        r#"{"b":1,"a":[true,false,null,"\"\\\n\u0001é"],"":{"x":{}}}"#,
    ] {
        assert_eq!(reprint(text), text);
    }
    assert_eq!(reprint("18446744073709551616"), "1.8446744073709552e19");
    assert_eq!(reprint(" [ 1e16 , 1E-7 ] "), "[1e16,1e-7]");
}

proptest::proptest! {
    #[test]
    fn floats_are_printed_in_their_shortest_form(
        mantissa in -99_999_999_i64..99_999_999,
        scale in 0..24_i32,
        bits: u64,
    ) {
        let short = mantissa as f64 / 10_f64.powi(scale);
        let any = Some(f64::from_bits(bits)).filter(|any| any.is_finite());
        for float in [short, -short, short.trunc(), any.unwrap_or(0.1)] {
            let shortest = zmij::Buffer::new().format_finite(float).replace('+', "");
            proptest::prop_assert_eq!(reprint(&shortest), shortest);
        }
    }
}

#[test]
fn short_scalars_are_read_as_in_a_document() {
    let scalars = [
        "null",
        "true",
        "false",
        "0",
        "-0",
        "63",
        "64",
        "-1",
        "-128",
        "-129",
        "00",
        "01",
        "-",
        "-01",
        "1e3",
        "1.5",
        "+1",
        "1_0",
        "",
        "\"",
        "\"\"",
        "\"\\\"",
        "\"\\\\\"",
        "nul",
        "truee",
        "x",
        "999999999999999999",
        "-999999999999999999",
        "1000000000000000000",
        "9223372036854775807",
        "\"a\tb\"",
        "\"a\u{7f}\"",
        "\"\u{e9}\"",
        " 1",
        "1 ",
        "\"a\" ",
    ];
    let strings = (0..70).map(|length| format!("\"{}\"", "x".repeat(length)));
    for text in scalars.into_iter().map(str::to_owned).chain(strings) {
        let operand = Operand::parse(text.as_bytes());
        // In an array, serde_json reads it.
        let array = Document::parse(format!("[{text}]").as_bytes());
        let Ok(operand) = operand else {
            assert!(array.is_err() || text.is_empty(), "{text}");
            continue;
        };
        let element = array.unwrap_or_else(|error| panic!("{text}: {error}"));
        let View::Array(array) = element.root().view() else {
            panic!("{text}");
        };
        let element = array.get(0).expect("one").to_document();
        assert_eq!(
            operand.borrow().packed_bytes(),
            element.borrow().packed_bytes(),
            "{text}"
        );
        let document = Document::parse(text.as_bytes()).unwrap();
        assert_eq!(document.packed_bytes(), element.packed_bytes(), "{text}");
    }
}

#[test]
fn a_repeated_name_keeps_its_first_place_and_last_value() {
    assert_eq!(
        reprint(r#"{"a":1,"b":2,"a":[3],"c":4,"a":5}"#),
        r#"{"a":5,"b":2,"c":4}"#
    );
    let wide: Vec<String> = (0..100).map(|n| format!("\"{}\":{n}", n % 40)).collect();
    let kept: Vec<String> = (0..40)
        .map(|n| format!("\"{n}\":{}", if n < 20 { n + 80 } else { n + 40 }))
        .collect();
    assert_eq!(
        reprint(&format!("{{{}}}", wide.join(","))),
        format!("{{{}}}", kept.join(","))
    );
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(reprint(&nested(DEPTH_MAX)), nested(DEPTH_MAX));
    assert!(Document::parse(nested(DEPTH_MAX + 1).as_bytes()).is_err());
}

#[test]
fn the_story_s_document_packs_small() {
    let text = r#"{"id":123,"name":"Joe","email":"joe@test.com","age":30,"prefs":{"theme":"dark","lang":"en"}}"#;
    let document = Document::parse(text.as_bytes()).unwrap();
    assert_eq!(
        (text.len(), document.packed_bytes().unwrap().len()),
        (92, 66)
    );
}
