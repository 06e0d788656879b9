//! Strings: SET and GET and their kin.

use tests::check;

#[test]
fn getdel_removes_what_it_returns() {
    check(
        r#"
        > SET k v
        OK
        > GETDEL k
        "v"
        > EXISTS k
        (integer) 0
        "#,
    );
}
