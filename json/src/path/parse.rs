//! Text to path.

use compact_str::CompactString;
use smallvec::SmallVec;

use super::{Path, Segment, Selector, Selectors, Slice, Step, Way};
use crate::error::PathError;

mod filter;

/// What JSON numbers can say exactly: 2^53 - 1. The RFC bounds indexes by it.
const INTEGER_MAX: i64 = (1 << 53) - 1;

const NAME_EXPECTED: &str = "<string>, '*'";
const SELECTOR_EXPECTED: &str = "'<string>[,<string>,...]', '<number>', ['start:end:steps'], '*'";
const INTEGER_EXPECTED: &str = "'<number>', ['start:end:steps']";
const SEGMENT_EXPECTED: &str = "'.', '['";
const SEPARATOR_EXPECTED: &str = "',', ']'";

pub(super) fn parse(text: &[u8]) -> Result<Path, PathError> {
    let text = std::str::from_utf8(text).map_err(|error| PathError {
        position: error.valid_up_to(),
        expected: NAME_EXPECTED,
    })?;
    if let Some(rest) = text.strip_prefix('$')
        && matches!(
            rest.trim_start_matches(is_blank).as_bytes().first(),
            None | Some(b'.' | b'[')
        )
    {
        return Ok(Path {
            is_legacy: false,
            way: Parser::new(text, 1, 0).way(Way::to_root())?,
        });
    }
    let mut way = Way::to_root();
    match text.as_bytes().first() {
        Some(b'.') if text.len() == 1 => {}
        Some(b'.' | b'[') => way = Parser::new(text, 0, 1).legacy().way(way)?,
        _ => {
            let mut parser = Parser::new(text, 0, 2).legacy();
            way.push(Segment::child(parser.name_or_wildcard()?));
            way = parser.way(way)?;
        }
    }
    Ok(Path {
        is_legacy: true,
        way,
    })
}

/// Whether a byte belongs to a name in dot notation. What ends a name is ASCII, and in UTF-8 no
/// other character contains such a byte.
const IN_NAME: [bool; 256] = {
    let mut in_name = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let is_ascii_part =
            (byte as u8).is_ascii_alphanumeric() || matches!(byte as u8, b'_' | b'-');
        in_name[byte] = is_ascii_part || byte >= 128;
        byte += 1;
    }
    in_name
};

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
    /// How much further in the text stands an error, as RedisJSON counts: it completes the older
    /// syntax to a `$` path first.
    shift: usize,
    is_legacy: bool,
    /// Filters around this place.
    filters_open: usize,
}

impl<'t> Parser<'t> {
    fn new(text: &'t str, at: usize, shift: usize) -> Parser<'t> {
        Parser {
            text,
            at,
            shift,
            is_legacy: false,
            filters_open: 0,
        }
    }

    fn legacy(mut self) -> Parser<'t> {
        self.is_legacy = true;
        self
    }

    /// The way that begins with `way` and goes on up to the end of the text.
    fn way(&mut self, mut way: Way) -> Result<Way, PathError> {
        while self.at < self.text.len() {
            // What most paths are made of, without a detour over results.
            match self.dotted_name() {
                Some(name) => way.push_step(Step::Name(name.into())),
                None => way.push(self.segment()?),
            }
        }
        Ok(way)
    }

    /// A dot with a name right behind it, if that comes next.
    #[inline]
    fn dotted_name(&mut self) -> Option<&'t str> {
        let name = self.text[self.at..].strip_prefix('.')?;
        let name = &name[..self.name_bytes(name)];
        self.at += usize::from(!name.is_empty()) + name.len();
        (!name.is_empty()).then_some(name)
    }

    /// How much of `text` is a name.
    #[inline]
    fn name_bytes(&self, text: &str) -> usize {
        let in_name = |byte: u8| IN_NAME[usize::from(byte)] || (self.is_legacy && byte == b'$');
        let end = text.bytes().position(|byte| !in_name(byte));
        end.unwrap_or(text.len())
    }

    fn segment(&mut self) -> Result<Segment, PathError> {
        self.skip_blanks();
        if self.take(b'[') {
            return self.bracket(false);
        }
        if !self.take(b'.') {
            return Err(self.error(SEGMENT_EXPECTED));
        }
        if self.take(b'.') {
            if self.take(b'[') {
                return self.bracket(true);
            }
            let selector = self.name_or_wildcard()?;
            return Ok(Segment {
                descends: true,
                ..Segment::child(selector)
            });
        }
        if self.is_legacy && self.take(b'[') {
            return self.bracket(false);
        }
        self.take(b' ');
        self.name_or_wildcard().map(Segment::child)
    }

    /// What follows a dot.
    fn name_or_wildcard(&mut self) -> Result<Selector, PathError> {
        if self.take(b'*') {
            return Ok(Selector::Wildcard);
        }
        let rest = &self.text[self.at..];
        let end = self.name_bytes(rest);
        if end == 0 {
            return Err(self.error(NAME_EXPECTED));
        }
        self.at += end;
        Ok(Selector::Step(Step::Name(rest[..end].into())))
    }

    /// What follows an opening bracket, closing bracket included.
    fn bracket(&mut self, descends: bool) -> Result<Segment, PathError> {
        let mut selectors: SmallVec<[Selector; 1]> = SmallVec::new();
        let begin = self.at;
        loop {
            self.skip_blanks();
            selectors.push(self.selector()?);
            self.skip_blanks();
            if self.take(b']') {
                let selectors = match selectors.len() {
                    1 => Selectors::One(selectors.remove(0)),
                    _ => Selectors::Several(selectors.into_boxed_slice()),
                };
                return Ok(Segment {
                    descends,
                    selectors,
                });
            }
            if !self.take(b',') {
                if self.peek().is_none()
                    && matches!(selectors[..], [Selector::Step(Step::Name(_)), ..])
                {
                    // An open list of names is no list: RedisJSON sees the fault at its start.
                    self.at = begin;
                    return Err(self.error(INTEGER_EXPECTED));
                }
                return Err(self.error(SEPARATOR_EXPECTED));
            }
        }
    }

    fn selector(&mut self) -> Result<Selector, PathError> {
        match self.peek() {
            Some(quote @ (b'"' | b'\'')) => {
                self.at += 1;
                let name = self.string(quote)?;
                Ok(Selector::Step(Step::Name(name)))
            }
            Some(b'*') => {
                self.at += 1;
                Ok(Selector::Wildcard)
            }
            Some(b'-' | b':' | b'0'..=b'9') => self.index_or_slice(),
            Some(b'?') => {
                self.at += 1;
                self.filter()
                    .map(|filter| Selector::Filter(Box::new(filter)))
            }
            _ => Err(self.error(SELECTOR_EXPECTED)),
        }
    }

    fn index_or_slice(&mut self) -> Result<Selector, PathError> {
        let start = self.integer()?;
        let behind_start = self.at;
        self.skip_blanks();
        if !self.take(b':') {
            self.at = behind_start;
            let index = start.expect("a digit or minus stands here, or else a colon");
            return Ok(Selector::Step(Step::Index(index)));
        }
        self.skip_blanks();
        let end = self.integer()?;
        self.skip_blanks();
        let mut step = None;
        if self.take(b':') {
            self.skip_blanks();
            step = self.integer()?;
        }
        Ok(Selector::Slice(Box::new(Slice {
            start,
            end,
            step: step.unwrap_or(1),
        })))
    }

    /// An integer in its only form: no plus, no leading zero, no `-0`. None where none begins.
    fn integer(&mut self) -> Result<Option<i64>, PathError> {
        let begin = self.at;
        let is_negative = self.take(b'-');
        let digits_from = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == begin {
            return Ok(None);
        }
        let digits = &self.text[digits_from..self.at];
        let is_canonical = !digits.starts_with('0') || (digits == "0" && !is_negative);
        match digits.parse::<i64>() {
            Ok(value) if is_canonical && value <= INTEGER_MAX => {
                Ok(Some(if is_negative { -value } else { value }))
            }
            _ => {
                self.at = begin;
                Err(self.error(INTEGER_EXPECTED))
            }
        }
    }

    /// What follows an opening quote, closing quote included.
    fn string(&mut self, quote: u8) -> Result<CompactString, PathError> {
        let begin = self.at;
        let mut unescaped: Option<String> = None;
        let mut plain_from = begin;
        loop {
            match self.peek() {
                Some(byte) if byte == quote => {
                    let plain = &self.text[plain_from..self.at];
                    self.at += 1;
                    return Ok(match unescaped {
                        None => plain.into(),
                        Some(text) => (text + plain).into(),
                    });
                }
                Some(b'\\') => {
                    let text = unescaped.get_or_insert_default();
                    text.push_str(&self.text[plain_from..self.at]);
                    self.at += 1;
                    let c = self.escape(quote)?;
                    unescaped.get_or_insert_default().push(c);
                    plain_from = self.at;
                }
                Some(0..0x20) => return Err(self.error(SELECTOR_EXPECTED)),
                Some(_) => self.at += 1,
                None => {
                    self.at = begin - 1;
                    return Err(self.error(INTEGER_EXPECTED));
                }
            }
        }
    }

    /// What follows a backslash.
    fn escape(&mut self, quote: u8) -> Result<char, PathError> {
        let error = self.error(SELECTOR_EXPECTED);
        let byte = self.peek().ok_or(error.clone())?;
        self.at += 1;
        Ok(match byte {
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'/' => '/',
            b'\\' => '\\',
            _ if byte == quote => char::from(quote),
            b'u' => {
                let first = self.four_hex_digits().ok_or(error.clone())?;
                let mut units = [first, 0];
                let mut count = 1;
                if (0xD800..0xDC00).contains(&first) {
                    let follows = self.take(b'\\') && self.take(b'u');
                    units[1] = follows
                        .then(|| self.four_hex_digits())
                        .flatten()
                        .ok_or(error.clone())?;
                    count = 2;
                }
                let mut decoded = char::decode_utf16(units[..count].iter().copied());
                decoded.next().and_then(Result::ok).ok_or(error)?
            }
            _ => return Err(error),
        })
    }

    fn four_hex_digits(&mut self) -> Option<u16> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4)?;
        let mut unit = 0;
        for &digit in digits {
            unit = unit << 4 | char::from(digit).to_digit(16)?;
        }
        self.at += 4;
        u16::try_from(unit).ok()
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn skip_blanks(&mut self) {
        while self.peek().is_some_and(|byte| is_blank(char::from(byte))) {
            self.at += 1;
        }
    }

    fn error(&self, expected: &'static str) -> PathError {
        PathError {
            position: self.at + self.shift,
            expected,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_where_redisjson_sees_them() {
        for (text, position) in [
            ("", 2),
            ("..", 3),
            ("$.", 2),
            ("$..", 3),
            ("$.a.", 4),
            ("$[", 2),
            ("$['a'", 2),
            ("$['a", 2),
            ("$.b.c[a]", 6),
            ("$.arr[(@.length-1)]", 6),
            ("$.\"a\"", 2),
            ("$ ", 2),
            ("$[01]", 2),
            ("$[-0]", 2),
            ("$[9007199254740992]", 2),
            ("$['\\x']", 4),
            ("$['\\uD800']", 4),
        ] {
            let error = parse(text.as_bytes()).expect_err(text);
            assert_eq!(error.position, position, "{text}");
        }
    }

    #[test]
    fn the_dollar_tells_the_syntaxes_apart() {
        for (text, is_legacy, segments) in [
            ("$", false, 0),
            (".", true, 0),
            ("$.a", false, 1),
            ("$ .a", false, 1),
            ("$. a", false, 1),
            (". a", true, 1),
            ("a.b[0]", true, 3),
            ("[\"a\"]", true, 1),
            (".[\"a\"]", true, 1),
            ("$a", true, 1),
            ("$..[0]", false, 1),
            ("$ [ 'a' , -1 , 1 : 2 : 3 , * ]", false, 1),
        ] {
            let path = parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"));
            let parts = match &path.way {
                Way::Steps(steps) => steps.len(),
                Way::Segments(segments) => segments.len(),
            };
            assert_eq!((path.is_legacy(), parts), (is_legacy, segments), "{text}");
        }
    }

    #[test]
    fn escapes_are_those_of_json() {
        let path = parse(r#"$["\"\/\b\u00e9\uD834\udd1E"]['\'\n']"#.as_bytes()).unwrap();
        let names = path.steps().unwrap();
        assert!(matches!(&names[0], Step::Name(name) if name == "\"/\u{8}é𝄞"));
        assert!(matches!(&names[1], Step::Name(name) if name == "'\n"));
    }
}
