//! JSON documents that are put, read and deleted, and one field of a large document under many
//! hands.

use tests::resp::Reply;
use tests::{Subject, check, check_resp2, check_resp3};

#[test]
fn set_says_whether_and_why_not() {
    check(
        r#"
        > JSON.SET d $.a 1
        (error) ERR new objects must be created at the root
        > JSON.SET d $ 1 XX
        (nil)
        > JSON.SET d $ '{"a":1,"b":{"c":[1,[2]]}}' NX
        OK
        > JSON.SET d $ 2 NX
        (nil)
        > JSON.SET d $.a 2 nx
        (nil)
        > JSON.SET d $.a 2 XX
        OK
        > JSON.SET d $.x 2 XX
        (nil)
        > JSON.SET d $.x.y 2
        (nil)
        > JSON.SET d $.x '"new"' FORMAT JSON
        OK
        > JSON.SET d .b.c[1][0] 3 FORMAT STRING XX
        OK
        > JSON.SET d $.b.c[9] 2
        (error) ERR array index out of range
        > JSON.SET d $..z 2
        (error) Err wrong static path
        > JSON.GET d
        "{\"a\":2,\"b\":{\"c\":[1,[3]]},\"x\":\"new\"}"
        > JSON.SET d $ 2 ZZ
        (error) ERR syntax error
        > JSON.SET d $ 2 NX XX
        (error) ERR syntax error
        > JSON.SET d $ 2 FORMAT BSON
        (error) ERR wrong format
        > JSON.SET d $ {bad
        (error) key must be a string at line 1 column 2
        > JSON.SET d $ ''
        (error) EOF while parsing a value at line 1 column 0
        > JSON.SET d $[ 1
        (error) Error occurred at position 2, Error at position 2: expected one of …
        > SADD set member
        (integer) 1
        > JSON.SET set $ {bad
        (error) Existing key has wrong Redis type
        "#,
    );
}

#[test]
fn edits_keep_expiry_and_flags() {
    check(
        r#"
        > JSON.SET d $ '{"a":1,"l":[1],"s":"x","t":true}'
        OK
        > EXPIRE d 100
        (integer) 1
        > JSON.SET d $.a 2
        OK
        > JSON.MERGE d $ '{"b":1}'
        OK
        > JSON.NUMINCRBY d .b 1
        …
        > JSON.ARRAPPEND d .l 2
        (integer) 2
        > JSON.STRAPPEND d .s '"y"'
        (integer) 2
        > JSON.TOGGLE d .t
        "false"
        > JSON.CLEAR d $.a
        (integer) 1
        > JSON.MSET d $.a 3
        OK
        > JSON.DEL d $.l
        (integer) 1
        > JSON.GET d
        "{\"a\":3,\"b\":2,\"s\":\"xy\",\"t\":false}"
        > JSON.SET d $ 1
        OK
        > TTL d
        (integer) 100
        "#,
    );
}

#[test]
fn get_prints_all_matches_or_the_first() {
    check(
        r#"
        > JSON.GET none
        (nil)
        > JSON.SET d $ '{"a":1,"b":{"a":2.5,"c":[1,[2]]},"s":"\n"}'
        OK
        > JSON.GET d
        "{\"a\":1,\"b\":{\"a\":2.5,\"c\":[1,[2]]},\"s\":\"\\n\"}"
        > JSON.GET d $..a
        "[1,2.5]"
        > JSON.GET d ..a
        "1"
        > JSON.GET d $.x
        "[]"
        > JSON.GET d .x
        (error) ERR Path does not exist
        > JSON.GET d $.a b.c
        "{\"$.a\":[1],\"b.c\":[[1,[2]]]}"
        > JSON.GET d .a .b.c
        "{\".a\":1,\".b.c\":[1,[2]]}"
        > JSON.GET d .a .a
        "{\".a\":1}"
        > JSON.GET d .a .x
        (error) ERR Path does not exist
        > JSON.GET d .a bad[
        "{\".a\":1}"
        > JSON.GET d bad[
        (error) Error occurred at position …
        > JSON.GET d INDENT
        (error) ERR wrong number of arguments for 'json.get' command
        > JSON.GET d SPACE _ indent > NEWLINE | $.b.c
        "[|>[|>>1,|>>[|>>>2|>>]|>]|]"
        > JSON.GET d SPACE _ INDENT > NEWLINE | .a $.x
        "{|>\".a\":_[|>>1|>],|>\"$.x\":_[]|}"
        > JSON.GET d NOESCAPE .a
        "1"
        "#,
    );
}

#[test]
fn formats_are_for_resp3() {
    check_resp2(
        r#"
        > JSON.SET d $ [1]
        OK
        > JSON.GET d FORMAT STRING $
        (error) ERR FORMAT argument is not supported on RESP2
        > JSON.ARRPOP d FORMAT EXPAND $
        (error) ERR FORMAT argument is not supported on RESP2
        > JSON.ARRPOP d FORMAT
        (error) ERR Path does not exist or not an array
        "#,
    );
    check_resp3(
        r#"
        > JSON.SET d $ '{"l":[1,2.5,"x",null,true,[3],{"n":18446744073709551615}],"m":4}'
        OK
        > JSON.GET d FORMAT STRING $.m
        "[4]"
        > JSON.GET d FORMAT EXPAND $.l .m $.x bad[
        1) 1) 1) (integer) 1
              2) (double) 2.5
              3) "x"
              4) (nil)
              5) (true)
              6) 1) (integer) 3
              7) 1# "n" => (double) 18446744073709552000
        2) 1) (integer) 4
        3) (empty array)
        4) (empty array)
        > JSON.GET d FORMAT EXPAND1 $.l[*]
        1) 1) (integer) 1
           2) (double) 2.5
           3) "\"x\""
           4) (nil)
           5) (true)
           6) "[3]"
           7) "{\"n\":18446744073709551615}"
        > JSON.GET d FORMAT STRINGS $.l
        (error) ERR wrong reply format
        > JSON.GET d FORMAT BSON $.l
        (error) ERR wrong reply format
        > JSON.GET d FORMAT
        (error) ERR wrong number of arguments for 'json.get' command
        > JSON.ARRPOP d FORMAT EXPAND $.l 4
        1) (true)
        > JSON.ARRPOP d FORMAT EXPAND1 $.l 4
        1) "[3]"
        > JSON.ARRPOP d FORMAT STRINGS $.l 2
        1) "\"x\""
        > JSON.ARRPOP d FORMAT STRING $.l
        (error) ERR wrong reply format
        > JSON.ARRPOP d FORMAT EXPAND .l
        (error) Legacy paths are supported only with FORMAT STRINGS
        "#,
    );
}

#[test]
fn mget_prints_one_path_of_many_documents() {
    check(
        r#"
        > JSON.MSET a $ '{"n":1,"o":{"n":2}}' b $ '[3]'
        OK
        > SADD set member
        (integer) 1
        > JSON.MGET a b none set $..n
        1) "[1,2]"
        2) "[]"
        3) (nil)
        4) (nil)
        > JSON.MGET a b .n
        1) "1"
        2) (nil)
        > JSON.MGET a bad[
        1) (nil)
        > COMMAND GETKEYS JSON.MGET a b .n
        1) "a"
        2) "b"
        "#,
    );
}

#[test]
fn mset_sets_all_or_nothing() {
    check(
        r#"
        > JSON.MSET a $ '{"n":1}' b $ 2
        OK
        > JSON.MSET a $.n 5 b $ 6 a $.m 7
        OK
        > JSON.GET a
        "{\"n\":5,\"m\":7}"
        > JSON.MSET a $.n 8 c $.x 1
        (error) ERR new objects must be created at the root
        > JSON.MSET a $.n 8 b $ bad
        (error) expected value at line 1 column 1
        > JSON.MSET a $.n 8 b $..none 1
        (error) Err wrong static path
        > JSON.MSET a $.n 8 b $
        (error) ERR wrong number of arguments for 'json.mset' command
        > SADD set member
        (integer) 1
        > JSON.MSET a $.n 8 set $ 1
        (error) Existing key has wrong Redis type
        > JSON.MGET a b .
        1) "{\"n\":5,\"m\":7}"
        2) "6"
        > JSON.MSET a $.x.y 1 b $ 7
        (nil)
        > JSON.GET b
        "7"
        > COMMAND GETKEYS JSON.MSET a $.n 1 b $ 2
        1) "a"
        2) "b"
        "#,
    );
}

#[test]
fn merge_patches_what_a_path_means() {
    check(
        r#"
        > JSON.MERGE d $.a 1
        (error) ERR new objects must be created at the root
        > JSON.MERGE d $ '{"a":{"b":1,"c":2},"n":null}'
        OK
        > JSON.MERGE d $ '{"a":{"b":null,"d":{"x":null,"y":3}},"e":[null]}'
        OK
        > JSON.GET d
        "{\"a\":{\"c\":2,\"d\":{\"y\":3}},\"n\":null,\"e\":[null]}"
        > JSON.MERGE d $.a.c '{"z":1}'
        OK
        > JSON.MERGE d $.new '{"z":null}'
        OK
        > JSON.MERGE d $.missing.deep 1
        (nil)
        > JSON.MERGE d $..missing 1
        (error) Err wrong static path
        > JSON.MERGE d $.e[7] 1
        (error) ERR array index out of range
        > JSON.MERGE d $.a null FORMAT JSON
        OK
        > JSON.GET d
        "{\"a\":null,\"n\":null,\"e\":[null],\"new\":{\"z\":null}}"
        > JSON.MERGE d $ bad
        (error) expected value at line 1 column 1
        > JSON.MERGE d $ 1 NX
        (error) ERR syntax error
        > JSON.MERGE d $ 1
        OK
        > JSON.GET d
        "1"
        > JSON.SET m $ '{"a":{"a":1,"b":[{"a":2}]}}'
        OK
        > JSON.MERGE m $..a '{"a":"x"}'
        OK
        > JSON.GET m
        "{\"a\":{\"a\":{\"a\":\"x\"},\"b\":[{\"a\":{\"a\":\"x\"}}]}}"
        > SADD set member
        (integer) 1
        > JSON.MERGE set $ 1
        (error) Existing key has wrong Redis type
        "#,
    );
}

#[test]
fn types_are_told_and_nest_one_deeper_in_resp3() {
    check_resp2(
        r#"
        > JSON.TYPE d
        (nil)
        > JSON.SET d $ '{"a":1,"b":[1.5,"x",null,true,{}]}'
        OK
        > JSON.TYPE d
        "object"
        > JSON.TYPE d $.b
        1) "array"
        > JSON.TYPE d $.b[*]
        1) "number"
        2) "string"
        3) "null"
        4) "boolean"
        5) "object"
        > JSON.TYPE d .a
        "integer"
        > JSON.TYPE d .x
        (nil)
        > JSON.TYPE d ..
        (nil)
        > JSON.TYPE d $.x
        (empty array)
        > JSON.TYPE d $.
        (error) Error occurred at position …
        > TYPE d
        ReJSON-RL
        > OBJECT ENCODING d
        "raw"
        "#,
    );
    check_resp3(
        r#"
        > JSON.TYPE d $
        1) (nil)
        > JSON.SET d $ '{"a":1}'
        OK
        > JSON.TYPE d $.a
        1) 1) "integer"
        > JSON.TYPE d .a
        1) "integer"
        > JSON.TYPE d .x
        1) (nil)
        "#,
    );
}

#[test]
fn lengths_and_names_are_told() {
    check(
        r#"
        > JSON.SET d $ '{"s":"é","l":[1,2],"o":{"x":1,"y":{"x":2}}}'
        OK
        > JSON.STRLEN d .s
        (integer) 2
        > JSON.STRLEN d $.*
        1) (integer) 2
        2) (nil)
        3) (nil)
        > JSON.STRLEN d
        (error) WRONGTYPE wrong type of path value - expected string
        > JSON.STRLEN d .none
        (error) ERR Path does not exist
        > JSON.STRLEN none
        (nil)
        > JSON.STRLEN none $
        (error) ERR could not perform this operation on a key that doesn't exist
        > JSON.ARRLEN d .l
        (integer) 2
        > JSON.ARRLEN d $.*
        1) (nil)
        2) (integer) 2
        3) (nil)
        > JSON.ARRLEN d
        (error) ERR Path does not exist or not an array
        > JSON.ARRLEN d .none
        (error) ERR Path does not exist
        > JSON.ARRLEN none
        (nil)
        > JSON.ARRLEN none $
        (error) ERR could not perform this operation on a key that doesn't exist
        > JSON.OBJLEN d
        (integer) 3
        > JSON.OBJLEN d $..*
        1) (nil)
        2) (nil)
        3) (integer) 2
        4) (nil)
        5) (nil)
        6) (nil)
        7) (integer) 1
        8) (nil)
        > JSON.OBJLEN d .l
        (error) WRONGTYPE wrong type of path value - expected object
        > JSON.OBJLEN d .none
        (nil)
        > JSON.OBJLEN none
        (nil)
        > JSON.OBJLEN none $
        (error) ERR Path does not exist or not an object
        > JSON.OBJKEYS d
        1) "s"
        2) "l"
        3) "o"
        > JSON.OBJKEYS d $.o.*
        1) (nil)
        2) 1) "x"
        > JSON.OBJKEYS d .l
        (error) ERR Path does not exist or not an object
        > JSON.OBJKEYS d .none
        (nil)
        > JSON.OBJKEYS d bad[
        (nil)
        > JSON.OBJKEYS none
        (nil)
        > JSON.OBJKEYS none $
        (error) ERR could not perform this operation on a key that doesn't exist
        "#,
    );
}

#[test]
fn arrindex_finds_the_first_place_in_a_range() {
    check(
        r#"
        > JSON.SET d $ '{"l":[1,"x",1.0,{"a":1,"b":[2]},"x"],"e":[],"s":"x"}'
        OK
        > JSON.ARRINDEX d .l '"x"'
        (integer) 1
        > JSON.ARRINDEX d .l '"x"' 2
        (integer) 4
        > JSON.ARRINDEX d .l '"x"' 2 4
        (integer) -1
        > JSON.ARRINDEX d .l '"x"' -1
        (integer) 4
        > JSON.ARRINDEX d .l '"x"' 2 -1
        (integer) -1
        > JSON.ARRINDEX d .l '"x"' 2 0
        (integer) 4
        > JSON.ARRINDEX d .l '"x"' -99 99
        (integer) 1
        > JSON.ARRINDEX d .l 1.0
        (integer) 2
        > JSON.ARRINDEX d .l '{"b":[2],"a":1}'
        (integer) 3
        > JSON.ARRINDEX d $.* '"x"'
        1) (integer) 1
        2) (integer) -1
        3) (nil)
        > JSON.ARRINDEX d .s 1
        (error) WRONGTYPE wrong type of path value - expected array
        > JSON.ARRINDEX d .none 1
        (error) ERR Path does not exist
        > JSON.ARRINDEX none $ 1
        (error) ERR Path does not exist
        > JSON.ARRINDEX d $ bad
        (error) ERR expected value at line 1 column 1
        > JSON.ARRINDEX d $ 1 one
        (error) Couldn't parse as integer
        > JSON.ARRINDEX d $ 1 0 0 0
        (error) ERR wrong number of arguments for 'json.arrindex' command
        "#,
    );
}

#[test]
fn resp_answers_with_arrays() {
    check_resp2(
        r#"
        > JSON.RESP none
        (nil)
        > JSON.SET d $ '{"a":[1,2.5,null,true,"x",18446744073709551615],"o":{}}'
        OK
        > JSON.RESP d
        1) {
        2) "a"
        3) 1) [
           2) (integer) 1
           3) "2.5"
           4) (nil)
           5) true
           6) "x"
           7) "18446744073709552000"
        4) "o"
        5) 1) {
        > JSON.RESP d $.a[0]
        1) (integer) 1
        > JSON.RESP d .a[1]
        "2.5"
        > JSON.RESP d .none
        (error) ERR Path does not exist
        "#,
    );
    check_resp3(
        r#"
        > JSON.SET d $ [1.5,null]
        OK
        > JSON.RESP d
        1) [
        2) (double) 1.5
        3) (nil)
        "#,
    );
}

#[test]
fn debug_tells_of_memory() {
    check(
        r#"
        > JSON.DEBUG HELP
        1) "MEMORY <key> [path] - reports memory usage"
        2) "HELP                - this message"
        > JSON.DEBUG MEMORY none
        (integer) 0
        > JSON.DEBUG MEMORY none $
        (empty array)
        > JSON.SET d $ '{"a":"text","b":1}'
        OK
        > JSON.DEBUG MEMORY d .a
        (integer) 5
        > JSON.DEBUG MEMORY d $.*
        1) (integer) 5
        2) (integer) 1
        > JSON.DEBUG MEMORY d .none
        (error) ERR Path does not exist
        > COMMAND GETKEYS JSON.DEBUG MEMORY d
        1) "d"
        "#,
    );
}

#[test]
fn deletions_count_and_remove() {
    check(
        r#"
        > JSON.DEL none
        (integer) 0
        > JSON.SET d $ '{"a":1,"b":{"a":2},"c":3,"d":4}'
        OK
        > JSON.FORGET d $..a
        (integer) 2
        > JSON.DEL d $.none
        (integer) 0
        > JSON.GET d
        "{\"d\":4,\"b\":{},\"c\":3}"
        > JSON.DEL d $.
        (error) Error occurred at position …
        > JSON.DEL d $.*
        (integer) 3
        > EXISTS d
        (integer) 0
        > JSON.SET d $ 1
        OK
        > JSON.DEL d
        (integer) 1
        > EXISTS d
        (integer) 0
        > SADD set member
        (integer) 1
        > JSON.DEL set
        (error) Existing key has wrong Redis type
        "#,
    );
}

#[test]
fn large_documents_are_moved_copied_and_dropped() {
    let subject = Subject::start();
    if subject.is_peer() {
        return;
    }
    let mut client = subject.resp();
    let large = format!(
        "{{\"list\":[{}],\"n\":0}}",
        vec!["\"element\""; 120_000].join(",")
    );
    client.call(&["JSON.SET", "from", "$", &large]);
    assert_eq!(client.call(&["COPY", "from", "copy"]), Reply::Integer(1));
    client.call(&["RENAME", "from", "to"]);
    client.call(&["JSON.SET", "to", "$.list[7]", "1"]);
    client.call(&["EXPIRE", "to", "100"]);
    client.call(&["JSON.SET", "to", "$.n", "1"]);
    for (key, seventh, n) in [("to", "[1]", "[1]"), ("copy", "[\"element\"]", "[0]")] {
        let found = client.call(&["JSON.GET", key, "$.list[7]"]);
        assert_eq!(found, Reply::Bulk(seventh.into()), "{key}");
        assert_eq!(
            client.call(&["JSON.GET", key, "$.n"]),
            Reply::Bulk(n.into()),
            "{key}"
        );
    }
    assert_eq!(
        client.call(&["JSON.GET", "copy"]),
        Reply::Bulk(large.into())
    );
    client.call(&["JSON.SET", "copy", "$.list", "[]"]);
    assert_eq!(
        client.call(&["JSON.GET", "copy"]),
        Reply::Bulk(b"{\"list\":[],\"n\":0}".into())
    );
    assert_eq!(client.call(&["DEL", "to", "copy"]), Reply::Integer(2));
}

#[test]
fn fields_of_one_document_have_many_writers() {
    const WRITERS: usize = 4;
    const FIELDS: usize = 400;
    let subject = Subject::start();
    if subject.is_peer() {
        return;
    }
    let fields: Vec<String> = (0..WRITERS * FIELDS)
        .map(|field| format!("\"f{field}\":[0,0]"))
        .collect();
    let document = format!("{{{}}}", fields.join(","));
    subject.resp().call(&["JSON.SET", "k", "$", &document]);
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let mut client = subject.resp();
            scope.spawn(move || {
                for field in (writer..WRITERS * FIELDS).step_by(WRITERS) {
                    let path = format!("$.f{field}");
                    client.call(&["JSON.SET", "k", &path, &format!("[{field},{field}]")]);
                    let neighbour = format!("$.f{}", (field + 1) % (WRITERS * FIELDS));
                    let Reply::Bulk(seen) = client.call(&["JSON.GET", "k", &neighbour]) else {
                        panic!("no document")
                    };
                    // Another's write is seen whole or not at all.
                    let text = String::from_utf8(seen).unwrap();
                    let (one, other) = text[2..text.len() - 2].split_once(',').unwrap();
                    assert_eq!(one, other);
                }
            });
        }
    });
    let expected: Vec<String> = (0..WRITERS * FIELDS)
        .map(|field| format!("\"f{field}\":[{field},{field}]"))
        .collect();
    let found = subject.resp().call(&["JSON.GET", "k"]);
    assert_eq!(
        found,
        Reply::Bulk(format!("{{{}}}", expected.join(",")).into())
    );
}

/// Tools switch their views of documents on where they find the module.
#[test]
fn the_module_is_listed() {
    check_resp2(
        r#"
        > MODULE LIST
        1) 1) "name"
           2) "ReJSON"
           3) "ver"
           4) (integer) 80604
           5) "path"
           6) ""
           7) "args"
           8) (empty array)
        > INFO modules
        …Modules\r\nmodule:name=ReJSON,ver=80604,api=1,…
        > COMMAND LIST FILTERBY MODULE none
        (empty array)
        > MODULE HELP
        1) MODULE <subcommand> …
        2) HELP
        3)     …
        4) LIST
        5)     …
        "#,
    );
    check_resp3(
        r#"
        > MODULE LIST
        1) 1# "name" => "ReJSON"
           2# "ver" => (integer) 80604
           3# "path" => ""
           4# "args" => (empty array)
        "#,
    );
    let subject = Subject::start();
    let mut client = subject.resp();
    let listed = client.call(&["COMMAND", "LIST", "FILTERBY", "MODULE", "ReJSON"]);
    let names: Vec<_> = listed.elements().iter().filter_map(Reply::text).collect();
    assert!(names.len() > 20 && names.iter().all(|name| name.starts_with(b"json.")));
    let docs = client.call(&["COMMAND", "DOCS", "JSON.MERGE"]);
    let docs = docs.elements()[1].elements();
    assert_eq!(docs[5], Reply::Bulk(b"module".into()));
    assert_eq!(docs[9], Reply::Bulk(b"ReJSON".into()));
    let Reply::Array(hello) = client.call(&["HELLO"]) else {
        panic!("HELLO answers with facts")
    };
    let modules = hello.last().expect("its last fact").elements();
    assert_eq!(modules[0].elements()[1], Reply::Bulk(b"ReJSON".into()));
}
