//! Meta commands.

use tests::{Subject, check};

#[test]
fn items_are_stored_and_read() {
    check(
        r#"
        mc> mn
        MN
        mc> mg a v
        EN
        mc> mg a q k
        mc> ms a 2 T0 F5 c
        mc> hi
        HD c…
        mc> mg a
        HD
        mc> mg a v
        VA 2
        hi
        mc> mg a s f t k O12 v
        VA 2 s2 f5 t-1 ka O12
        hi
        mc> ms a 1 ME
        mc> x
        NS
        mc> ms b 1 MR
        mc> x
        NS
        mc> ms a 1 MA s
        mc> !
        HD s3
        mc> ms a 1 MP q
        mc> >
        mc> ms b 1 MA
        mc> x
        NS
        mc> ms b 1 MA N60 k Oz
        mc> x
        HD kb Oz
        mc> mg b t v
        VA 1 t60
        x
        mc> get a
        VALUE a 5 4
        >hi!
        END
        mc> md a q
        mc> md a Oo k
        NF Oo ka
        mc> mg a O7 k
        EN O7 ka
        "#,
    );
}

#[test]
fn keys_may_be_base64() {
    check(
        r#"
        mc> ms Zm9vIGJhcg== 1 b k
        mc> x
        HD kZm9vIGJhcg== b
        mc> mg Zm9vIGJhcg== b k v
        VA 1 kZm9vIGJhcg== b
        x
        > GET "foo bar"
        "x"
        mc> ma Zm9v b N0 J7 v k
        VA 1 kZm9v b
        7
        mc> mg foo v
        VA 1
        7
        mc> md Zm9v b k
        HD kZm9v b
        mc> me Zm9vIGJhcg== b
        ME Zm9vIGJhcg== exp=-1 la=… cas=… fetch=yes cls=1 size=…
        mc> mg %% b
        CLIENT_ERROR error decoding key
        "#,
    );
}

#[test]
fn numbers_count() {
    check(
        r#"
        mc> ma n
        NF
        mc> ma n N0 J13 v
        VA 2
        13
        mc> ma n v t
        VA 2 t-1
        14
        mc> ma n MD D4 v T60 t
        VA 2 t60
        10
        mc> ma n M- D100 v
        VA 1
        0
        mc> ma n D18446744073709551615
        HD
        mc> ma n v
        VA 1
        0
        mc> ma n q
        mc> ma n C1
        EX
        mc> ms n 1
        mc> x
        HD
        mc> ma n
        CLIENT_ERROR cannot increment or decrement non-numeric value
        mc> ma n Mx
        CLIENT_ERROR invalid mode for ma M token
        "#,
    );
}

#[test]
fn tokens_may_be_the_clients_own() {
    check(
        r#"
        mc> ms a 1 E77 c
        mc> x
        HD c77
        mc> mg a c
        HD c77
        mc> ms a 1 C76
        mc> y
        EX
        mc> ms a 1 C77 E78
        mc> y
        HD
        mc> cas a 0 0 1 78
        mc> z
        STORED
        mc> cas a 0 0 1 78
        mc> z
        EXISTS
        mc> ms b 1 C1
        mc> x
        NF
        mc> mg v N0 E5 c
        HD c5 W
        mc> ma i N0 E6 c
        HD c6
        mc> ma i E7 c
        HD c7
        mc> md i C6
        EX
        mc> md i C7 I E9
        HD
        mc> mg i c
        HD c9 X W
        mc> mg a C78 v
        VA 1
        z
        "#,
    );
}

#[test]
fn a_value_the_client_has_is_not_sent_again() {
    check(
        r#"
        mc> ms a 1 E5
        mc> x
        HD
        mc> mg a C5 v s
        HD s1
        mc> mg a C4 v s
        VA 1 s1
        x
        "#,
    );
}

#[test]
fn one_client_alone_is_asked_to_make_a_missing_item() {
    check(
        r#"
        mc> mg a s N30 t
        HD s0 t30 W
        mc> mg a s N30
        HD s0 Z
        mc> ms a 3
        mc> new
        HD
        mc> mg a v N30
        VA 3
        new
        "#,
    );
}

#[test]
fn one_client_alone_is_asked_to_make_a_stale_item_anew() {
    check(
        r#"
        mc> ms a 3 E100
        mc> old
        HD
        mc> md a I T30
        HD
        mc> get a
        VALUE a 0 3
        old
        END
        mc> mg a v t c
        VA 3 t30 c… X W
        old
        mc> mg a v
        VA 3 Z X
        old
        mc> md a I E200
        HD
        mc> ms a 4 C100 I
        mc> late
        HD
        mc> mg a v
        VA 4 X W
        late
        mc> mg a v
        VA 4 Z X
        late
        mc> ms a 3
        mc> new
        HD
        mc> mg a v
        VA 3
        new
        mc> md a x
        HD
        mc> mg a s
        HD s0
        "#,
    );
}

#[test]
fn one_client_alone_is_asked_to_make_an_item_anew_before_it_ends() {
    check(
        r#"
        mc> ms a 1 T20
        mc> x
        HD
        mc> mg a R10
        HD
        mc> mg a R30
        HD W
        mc> mg a R30
        HD Z
        mc> mg a T100 R30
        HD Z
        mc> ms a 1
        mc> x
        HD
        mc> mg a R30
        HD
        "#,
    );
}

#[test]
fn it_is_told_whether_an_item_was_read_before() {
    check(
        r#"
        mc> ms a 1
        mc> x
        HD
        mc> mg a h l u
        HD h0 l0
        mc> mg a h l
        HD h0 l0
        mc> mg a h
        HD h1
        mc> mg a h T30
        HD h1
        mc> mg a h t
        HD h1 t30
        mc> ms a 1
        mc> y
        HD
        mc> mg a h
        HD h0
        > GET a
        "y"
        mc> me a
        ME a exp=-1 la=0 cas=… fetch=yes cls=1 size=61
        "#,
    );
}

#[test]
fn errors_are_told_though_the_client_is_quiet() {
    check(
        r#"
        mc> mg a q v v
        CLIENT_ERROR duplicate flag
        mc> mg a q y
        CLIENT_ERROR invalid flag
        mc> mg a q Tx
        CLIENT_ERROR bad token in command line format
        mc> mg
        CLIENT_ERROR bad command line format
        mc> mg a a b c d e f g h i j k l m n o p q r s t
        CLIENT_ERROR options flags are too long
        mc> mg a O12345678901234567890123456789012
        CLIENT_ERROR opaque token too long
        mc> ms a 1 q Mx
        mc> x
        CLIENT_ERROR invalid mode for ms M token
        mc> ma a D-1
        CLIENT_ERROR invalid or duplicate flag
        mc> mn
        MN
        "#,
    );
}

#[test]
fn a_quiet_pipeline_tells_what_is_worth_telling() {
    let subject = Subject::start();
    let mut client = subject.memcached();
    client.send_raw(b"ms a 1 q\r\nx\r\nmg none v q O1\r\nmg a v q O2\r\nmg none v q\r\nmn\r\n");
    assert_eq!(client.try_receive(), Ok(b"VA 1 O2\r\nx\r\n".to_vec()));
    assert_eq!(client.try_receive(), Ok(b"MN\r\n".to_vec()));
}
