//! Replies, as RedisJSON gives them.

use super::*;

/// A keyspace of one key without a server around it.
struct Key {
    document: Option<Document>,
    version: Version,
}

impl Key {
    fn run(&mut self, words: &[&str]) -> String {
        let mut out = Vec::new();
        let mut reply = Reply::new(&mut out, self.version);
        if let Err(error) = self.execute(words, &mut reply) {
            out.clear();
            Reply::new(&mut out, self.version).error(&error.text());
        }
        String::from_utf8(out).unwrap()
    }

    fn execute(&mut self, words: &[&str], reply: &mut Reply<'_>) -> Result<(), Error> {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        let mut args = Args::new(&words[2..]);
        let old = self.document.as_ref().map(Document::borrow);
        match words[0] {
            b"JSON.SET" => {
                let request = SetRequest::parse(&mut args)?;
                let value = request.document()?;
                let old = self
                    .document
                    .as_ref()
                    .map(|document| match request.means_root() {
                        true => Old::Replaceable,
                        false => Old::Document(Found::Read(document.clone())),
                    });
                let new = match request.decide(old.as_ref(), &value)? {
                    Decision::Keep => {
                        reply.null();
                        return Ok(());
                    }
                    Decision::Put => value,
                    Decision::Edited(document) => document,
                };
                self.document = Some(new);
                reply.ok();
            }
            b"JSON.GET" => {
                let request = GetRequest::parse(&mut args, reply.version())?;
                match old {
                    Some(document) => request.reply(document, reply)?,
                    None => reply.null(),
                }
            }
            b"JSON.TYPE" => reply_type(old, optional_path(&mut args)?, reply)?,
            _ => {
                let path = Path::parse(optional_path(&mut args)?);
                let Some(old) = old else {
                    reply.count(0);
                    return Ok(());
                };
                let Deletion { count, rest } = delete(old, &path)?;
                reply.count(count);
                match rest {
                    Rest::Same => {}
                    Rest::Changed(document) => self.document = Some(document),
                    Rest::Nothing => self.document = None,
                }
            }
        }
        Ok(())
    }
}

const DOCUMENT: &str = r#"{"a":1,"b":{"a":2.5,"c":[1,[2]]},"s":"é\n"}"#;

/// Runs each command on a key that holds `DOCUMENT` and compares the replies.
fn check(version: Version, transcript: &[(&[&str], &str)]) {
    for (words, expected) in transcript {
        let document = Some(Document::parse(DOCUMENT.as_bytes()).unwrap());
        let words = [&[words[0], "key"], &words[1..]].concat();
        let reply = Key { document, version }.run(&words);
        assert_eq!(reply, expected.replace('\n', "\r\n"), "{words:?}");
    }
}

#[test]
fn get_prints_all_matches_or_the_first() {
    let transcript: &[(&[&str], &str)] = &[
        (
            &["JSON.GET"],
            "$44\n{\"a\":1,\"b\":{\"a\":2.5,\"c\":[1,[2]]},\"s\":\"é\\n\"}\n",
        ),
        (&["JSON.GET", "$..a"], "$7\n[1,2.5]\n"),
        (&["JSON.GET", "..a"], "$1\n1\n"),
        (&["JSON.GET", "$.x"], "$2\n[]\n"),
        (&["JSON.GET", ".x"], "-ERR Path does not exist\n"),
        (
            &["JSON.GET", "$.a", "b.c"],
            "$27\n{\"$.a\":[1],\"b.c\":[[1,[2]]]}\n",
        ),
        (
            &["JSON.GET", ".a", ".b.c"],
            "$23\n{\".a\":1,\".b.c\":[1,[2]]}\n",
        ),
        (&["JSON.GET", ".a", ".a"], "$8\n{\".a\":1}\n"),
        (&["JSON.GET", ".a", ".x"], "-ERR Path does not exist\n"),
        (
            &["JSON.GET", "FORMAT", "STRING", "a"],
            "-ERR FORMAT argument is not supported on RESP2\n",
        ),
        (
            &["JSON.GET", "INDENT"],
            "-ERR wrong number of arguments for 'json.get' command\n",
        ),
        (
            &["JSON.GET", "$.b."],
            "-Error occurred at position 4, Error at position 4: \
            expected one of the following: <string>, '*'\n",
        ),
        (
            &[
                "JSON.GET", "SPACE", " ", "indent", ">", "NEWLINE", "|", "$.b.c",
            ],
            "$27\n[|>[|>>1,|>>[|>>>2|>>]|>]|]\n",
        ),
        (
            &[
                "JSON.GET", "SPACE", " ", "INDENT", ">", "NEWLINE", "|", ".a", "$.x",
            ],
            "$31\n{|>\".a\": [|>>1|>],|>\"$.x\": []|}\n",
        ),
    ];
    check(Version::Resp2, transcript);
}

#[test]
fn type_nests_one_deeper_in_resp3() {
    check(
        Version::Resp2,
        &[
            (&["JSON.TYPE"], "$6\nobject\n"),
            (&["JSON.TYPE", "$..a"], "*2\n$7\ninteger\n$6\nnumber\n"),
            (&["JSON.TYPE", ".x"], "$-1\n"),
            (&["JSON.TYPE", ".."], "$-1\n"),
            (&["JSON.TYPE", "$.x"], "*0\n"),
        ],
    );
    check(
        Version::Resp3,
        &[
            (&["JSON.TYPE"], "*1\n$6\nobject\n"),
            (&["JSON.TYPE", "$..a"], "*1\n*2\n$7\ninteger\n$6\nnumber\n"),
            (&["JSON.TYPE", ".x"], "*1\n_\n"),
        ],
    );
}

#[test]
fn set_says_whether_and_why_not() {
    check(
        Version::Resp2,
        &[
            (&["JSON.SET", "$.a", "2"], "+OK\n"),
            (&["JSON.SET", "$.a", "2", "NX"], "$-1\n"),
            (&["JSON.SET", "$.x", "2", "XX"], "$-1\n"),
            (&["JSON.SET", "$.x.y", "2"], "$-1\n"),
            (&["JSON.SET", "$", "2", "nx"], "$-1\n"),
            (&["JSON.SET", "$", "2", "xx"], "+OK\n"),
            (&["JSON.SET", "$", "2", "ZZ"], "-ERR syntax error\n"),
            (
                &["JSON.SET", "$.b.c[9]", "2"],
                "-ERR array index out of range\n",
            ),
            (&["JSON.SET", "$..x", "2"], "-Err wrong static path\n"),
            (
                &["JSON.SET", "$", "{bad"],
                "-key must be a string at line 1 column 2\n",
            ),
            (
                &["JSON.SET", "$", ""],
                "-EOF while parsing a value at line 1 column 0\n",
            ),
        ],
    );
}

#[test]
fn del_counts_and_removes() {
    check(
        Version::Resp2,
        &[
            (&["JSON.DEL"], ":1\n"),
            (&["JSON.FORGET", "$..a"], ":2\n"),
            (&["JSON.DEL", "$.x"], ":0\n"),
            (&["JSON.DEL", "$.*"], ":3\n"),
        ],
    );
}

#[test]
fn what_is_not_there_is_made_or_refused() {
    let value = Document::parse(b"1").unwrap();
    let decide = |words: &[&str], old| {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        SetRequest::parse(&mut Args::new(&words))
            .unwrap()
            .decide(old, &value)
    };
    assert!(matches!(decide(&["$", "1"], None), Ok(Decision::Put)));
    assert!(matches!(
        decide(&["$", "1", "XX"], None),
        Ok(Decision::Keep)
    ));
    assert!(matches!(decide(&["$.a", "1"], None), Err(NOT_AT_ROOT)));
    assert!(matches!(
        decide(&["$", "1"], Some(&Old::Replaceable)),
        Ok(Decision::Put)
    ));
    assert!(matches!(
        decide(&["$", "1", "NX"], Some(&Old::Replaceable)),
        Ok(Decision::Keep)
    ));
}
