//! JSON values that are changed where they stand.

use tests::{check, check_resp2, check_resp3};

#[test]
fn numbers_are_reckoned_with() {
    check_resp2(
        r#"
        > JSON.NUMINCRBY none $ 1
        (error) ERR could not perform this operation on a key that doesn't exist
        > JSON.SET d $ '{"a":1,"b":{"a":2.5},"c":[{"a":"x"}]}'
        OK
        > JSON.NUMINCRBY d $..a 2
        "[3,4.5,null]"
        > JSON.NUMINCRBY d ..a 0.5
        "5.0"
        > JSON.NUMMULTBY d .a 2
        "7.0"
        > JSON.NUMMULTBY d $.b.a 1e300
        "[5e300]"
        > JSON.NUMINCRBY d $.none 1
        "[]"
        > JSON.NUMINCRBY d .none 1
        (error) ERR Path does not exist or does not contains a number
        > JSON.NUMINCRBY d .c 1
        (error) ERR Path does not exist or does not contains a number
        > JSON.NUMINCRBY d $.a bad
        (error) ERR expected value at line 1 column 1
        > JSON.NUMINCRBY d $.a '"1"'
        (error) bad input number
        > JSON.NUMINCRBY d $.c bad
        "[null]"
        > JSON.NUMINCRBY d $.
        (error) ERR wrong number of arguments for 'json.numincrby' command
        > JSON.NUMINCRBY d $. 1
        (error) Error occurred at position …
        > JSON.GET d
        "{\"a\":7.0,\"b\":{\"a\":5e300},\"c\":[{\"a\":\"x\"}]}"
        > JSON.SET d $ [1]
        OK
        > JSON.NUMINCRBY d $[0,0] 2
        "[3,5]"
        "#,
    );
    check_resp3(
        r#"
        > JSON.SET d $ '[1,2.5,"x"]'
        OK
        > JSON.NUMINCRBY d $[*] 2
        1) (integer) 3
        2) (double) 4.5
        3) (nil)
        > JSON.NUMINCRBY d [0] 0.5
        1) (double) 3.5
        > JSON.NUMMULTBY d .none 2
        (empty array)
        > JSON.NUMMULTBY d [2] 2
        1) (nil)
        "#,
    );
}

/// Integers beyond 64 bits become floats, and floats beyond theirs an error; what an edit did
/// before it failed stands.
#[test]
fn numbers_do_not_wrap() {
    check_resp2(
        r#"
        > JSON.SET d $ [9223372036854775807,-9223372036854775808,18446744073709551615]
        OK
        > JSON.NUMINCRBY d $[0] 1
        "[9.223372036854776e18]"
        > JSON.NUMINCRBY d $[1] -1
        "[-9.223372036854776e18]"
        > JSON.NUMINCRBY d $[2] 1
        "[1.8446744073709552e19]"
        > JSON.SET d $ [9007199254740993,3,1e300]
        OK
        > JSON.NUMMULTBY d $[0] 3
        "[27021597764222979]"
        > JSON.NUMMULTBY d $[0] 9007199254740993
        "[2.4338891524382008e32]"
        > JSON.NUMMULTBY d $[1:] 1e300
        (error) result is not a number
        > JSON.GET d
        "[2.4338891524382008e32,3e300,1e300]"
        "#,
    );
}

#[test]
fn booleans_turn() {
    check(
        r#"
        > JSON.TOGGLE none $
        (error) ERR could not perform this operation on a key that doesn't exist
        > JSON.SET d $ '{"a":true,"b":{"a":false},"c":1}'
        OK
        > JSON.TOGGLE d $..a
        1) (integer) 0
        2) (integer) 1
        > JSON.TOGGLE d ..a
        "false"
        > JSON.TOGGLE d $.*
        1) (integer) 0
        2) (nil)
        3) (nil)
        > JSON.TOGGLE d $.none
        (empty array)
        > JSON.TOGGLE d .c
        (error) ERR Path does not exist or not a bool
        > JSON.GET d
        "{\"a\":false,\"b\":{\"a\":false},\"c\":1}"
        "#,
    );
}

#[test]
fn strings_grow() {
    check(
        r#"
        > JSON.STRAPPEND none $ '"x"'
        (error) ERR could not perform this operation on a key that doesn't exist
        > JSON.SET d $ '{"a":"é","b":{"a":"y"},"c":1}'
        OK
        > JSON.STRAPPEND d $..a '"\u00e9"'
        1) (integer) 4
        2) (integer) 3
        > JSON.STRAPPEND d ..a '"!"'
        (integer) 4
        > JSON.STRAPPEND d $.c bad
        1) (nil)
        > JSON.STRAPPEND d $.a bad
        (error) ERR expected value at line 1 column 1
        > JSON.STRAPPEND d $.a 1
        (error) WRONGTYPE wrong type of path value - expected string
        > JSON.STRAPPEND d .c '"x"'
        (error) ERR Path does not exist or not a string
        > JSON.STRAPPEND d .none '"x"'
        (error) ERR Path does not exist or not a string
        > JSON.STRAPPEND d $.none '"x"'
        (empty array)
        > JSON.SET s $ '"x"'
        OK
        > JSON.STRAPPEND s '"y"'
        (integer) 2
        > JSON.GET s
        "\"xy\""
        "#,
    );
}

#[test]
fn arrays_get_elements() {
    check(
        r#"
        > JSON.ARRAPPEND none $ 1
        (error) ERR could not perform this operation on a key that doesn't exist
        > JSON.ARRAPPEND none $ bad
        (error) expected value at line 1 column 1
        > JSON.SET d $ '{"a":[1],"b":{"a":[]},"c":1}'
        OK
        > JSON.ARRAPPEND d $..a 2 '{"x":3}'
        1) (integer) 3
        2) (integer) 2
        > JSON.ARRAPPEND d ..a null
        (integer) 3
        > JSON.ARRAPPEND d .c 1
        (error) ERR Path does not exist or not an array
        > JSON.ARRAPPEND d $.*
        (error) ERR wrong number of arguments for 'json.arrappend' command
        > JSON.ARRAPPEND d $.* 7
        1) (integer) 5
        2) (nil)
        3) (nil)
        > JSON.GET d
        "{\"a\":[1,2,{\"x\":3},null,7],\"b\":{\"a\":[2,{\"x\":3},null]},\"c\":1}"
        > JSON.ARRINSERT d $.a 1 '"i"' '"j"'
        1) (integer) 7
        > JSON.ARRINSERT d .a -1 '"k"'
        (integer) 8
        > JSON.ARRINSERT d .a 8 '"end"'
        (integer) 9
        > JSON.ARRINSERT d .a 10 1
        (error) ERR index out of bounds
        > JSON.ARRINSERT d .a -10 1
        (error) ERR index out of bounds
        > JSON.ARRINSERT d .a one 1
        (error) Couldn't parse as integer
        > JSON.ARRINSERT d .c 0 1
        (error) ERR Path does not exist or not an array
        > JSON.ARRINSERT none $ 0 1
        (error) ERR could not perform this operation on a key that doesn't exist
        > JSON.GET d .a
        "[1,\"i\",\"j\",2,{\"x\":3},null,\"k\",7,\"end\"]"
        "#,
    );
}

/// The order is that of RedisJSON: names as the alphabet has them. What came first stands.
#[test]
fn an_edit_that_fails_keeps_what_it_did_before() {
    check(
        r#"
        > JSON.SET d $ '{"b":[],"c":[1],"a":[1]}'
        OK
        > JSON.ARRINSERT d $.* 1 2
        (error) ERR index out of bounds
        > JSON.GET d
        "{\"b\":[],\"c\":[1],\"a\":[1,2]}"
        > JSON.SET d $ '{"a":{"b":1},"c":2}'
        OK
        > JSON.CLEAR d $..*
        (error) ERR Path does not exist
        > JSON.GET d
        "{\"a\":{},\"c\":0}"
        "#,
    );
}

#[test]
fn arrays_lose_elements() {
    check(
        r#"
        > JSON.ARRPOP none
        (error) ERR could not perform this operation on a key that doesn't exist
        > JSON.SET d $ '{"a":[1,[2,3],"x"],"b":{"a":[]},"c":1}'
        OK
        > JSON.ARRPOP d $..a
        1) "\"x\""
        2) (nil)
        > JSON.ARRPOP d .a -2
        "1"
        > JSON.ARRPOP d .a[0] 99
        "3"
        > JSON.ARRPOP d .a -99
        "[2]"
        > JSON.ARRPOP d .a
        (nil)
        > JSON.ARRPOP d .c
        (error) ERR Path does not exist or not an array
        > JSON.ARRPOP d .none
        (error) ERR Path does not exist or not an array
        > JSON.ARRPOP d $.none
        (empty array)
        > JSON.SET d $ '[[1,2],[[3],4]]'
        OK
        > JSON.ARRPOP d $..*
        1) "2"
        2) "4"
        3) (nil)
        4) (nil)
        5) "3"
        6) (nil)
        7) (nil)
        > JSON.GET d
        "[[1],[[]]]"
        > JSON.SET d $ [0,1,2,3,4,5]
        OK
        > JSON.ARRTRIM d $ 1 -2
        1) (integer) 4
        > JSON.ARRTRIM d . -3 99
        (integer) 3
        > JSON.GET d
        "[2,3,4]"
        > JSON.ARRTRIM d . 3 99
        (integer) 0
        > JSON.ARRTRIM d . 0 0
        (integer) 0
        > JSON.ARRTRIM d .none 0 0
        (error) ERR Path does not exist or not an array
        > JSON.ARRTRIM d $ 0 zero
        (error) Couldn't parse as integer
        > JSON.ARRTRIM none $ 0 0
        (error) ERR could not perform this operation on a key that doesn't exist
        "#,
    );
}

#[test]
fn values_are_cleared() {
    check(
        r#"
        > JSON.CLEAR none
        (error) ERR could not perform this operation on a key that doesn't exist
        > JSON.SET d $ '{"n":1.5,"z":0,"l":[1],"o":{"a":1},"e":[],"s":"x","b":true}'
        OK
        > JSON.CLEAR d $.*
        (integer) 3
        > JSON.GET d
        "{\"n\":0,\"z\":0,\"l\":[],\"o\":{},\"e\":[],\"s\":\"x\",\"b\":true}"
        > JSON.CLEAR d .none
        (integer) 0
        > JSON.CLEAR d $ x
        (error) ERR wrong number of arguments for 'json.clear' command
        > JSON.CLEAR d
        (integer) 1
        > JSON.GET d
        "{}"
        > SADD set member
        (integer) 1
        > JSON.CLEAR set
        (error) Existing key has wrong Redis type
        "#,
    );
}

#[test]
fn edits_obey_the_depth_limit() {
    let deep = "[".repeat(126) + "1" + &"]".repeat(126);
    check(&format!(
        r#"
        > JSON.SET d $ '{deep}'
        OK
        > JSON.ARRAPPEND d $..[?@==1] 1
        1) (nil)
        > JSON.SET d $..[?@==1] [2]
        OK
        > JSON.ARRINSERT d $..[?@[0]==2] 0 [3]
        (error) ERR recursion limit exceeded
        > JSON.MERGE d $..[?@==2] '{{"a":1}}'
        (error) ERR recursion limit exceeded
        > JSON.SET d $..[?@==2] []
        (error) ERR recursion limit exceeded
        "#,
    ));
}
