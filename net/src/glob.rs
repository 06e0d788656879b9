//! Redis's glob patterns, for KEYS, SCAN and the like.
//!
//! `*` matches any bytes, `?` one byte, `[ab-d]` one of a class and `[^ab-d]` one outside it, a
//! backslash takes the next byte for what it is. A class that is not closed ends with the
//! pattern. Only the latest `*` is ever tried again: everything else consumes exactly one byte,
//! so that an earlier star could not do better. The time is at most the product of the lengths.
//!
//! To Redis an empty subject matches the empty pattern only; that `KEYS *` lists an empty key all
//! the same is the caller's doing, see [`is_all`].

/// Whether all of `subject` matches `pattern`.
pub(crate) fn matches(pattern: &[u8], subject: &[u8]) -> bool {
    if subject.is_empty() {
        return pattern.is_empty();
    }
    let (mut pattern, mut subject) = (pattern, subject);
    // The pattern behind the latest star, and where the subject goes on if that fails.
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        if let [b'*', rest @ ..] = pattern {
            if rest.is_empty() {
                return true;
            }
            pattern = rest;
            retry = Some((rest, subject));
            continue;
        }
        match (pattern.is_empty(), subject.split_first()) {
            (true, None) => return true,
            (false, Some((&byte, rest))) => {
                let (is_match, width) = element(pattern, byte);
                if is_match {
                    (pattern, subject) = (&pattern[width..], rest);
                    continue;
                }
            }
            (true, Some(_)) | (false, None) => {}
        }
        match retry {
            Some((behind_star, [_, rest @ ..])) => {
                (pattern, subject) = (behind_star, rest);
                retry = Some((behind_star, rest));
            }
            _ => return false,
        }
    }
}

/// Whether the pattern stands for everything there is, whatever [`matches`] says.
pub(crate) fn is_all(pattern: &[u8]) -> bool {
    pattern == b"*"
}

/// Whether the first element of the pattern, which is not a star, matches `byte`; and how many
/// bytes of the pattern the element takes.
fn element(pattern: &[u8], byte: u8) -> (bool, usize) {
    match pattern {
        [b'?', ..] => (true, 1),
        [b'[', class @ ..] => {
            let (is_match, width) = class_element(class, byte);
            (is_match, 1 + width)
        }
        [b'\\', escaped, ..] => (*escaped == byte, 2),
        [literal, ..] => (*literal == byte, 1),
        [] => (false, 0),
    }
}

/// As [`element`], behind the opening bracket.
fn class_element(class: &[u8], byte: u8) -> (bool, usize) {
    let is_negated = class.first() == Some(&b'^');
    let mut at = usize::from(is_negated);
    let mut is_match = false;
    loop {
        let (is_here, width) = match class[at..] {
            [] => break,
            [b'\\', escaped, ..] => (escaped == byte, 2),
            [b']', ..] => {
                at += 1;
                break;
            }
            [start, b'-', end, ..] => ((start.min(end)..=start.max(end)).contains(&byte), 3),
            [literal, ..] => (literal == byte, 1),
        };
        is_match |= is_here;
        at += width;
    }
    (is_match != is_negated, at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, subject, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", false),
            ("*", "abc", true),
            ("a*c", "abbc", true),
            ("a*c", "abbcd", false),
            ("a**", "a", true),
            ("h?llo", "hello", true),
            ("h?llo", "hllo", false),
            ("h[ae]llo", "hallo", true),
            ("h[ae]llo", "hillo", false),
            ("h[^e]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("h[a-c]llo", "hbllo", true),
            ("h[c-a]llo", "hbllo", true),
            ("[\\]]", "]", true),
            ("[]", "a", false),
            ("[^]bc", "abc", true),
            ("ab[c", "abc", true),
            ("ab[", "abc", false),
            ("ab[^", "abc", true),
            ("[a-", "-", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("abc\\", "abc\\", true),
            ("*a*b*c*", "xxaxxbxxcxx", true),
            ("*a*b*c*", "xxaxxcxxbxx", false),
        ] {
            let found = matches(pattern.as_bytes(), subject.as_bytes());
            assert_eq!(found, expected, "{pattern} {subject}");
        }
    }

    #[test]
    fn many_stars_do_not_take_exponential_time() {
        let pattern = b"*a".repeat(200);
        let subject = b"a".repeat(10_000);
        assert!(matches(&pattern, &subject));
        assert!(!matches(&[&*pattern, b"b"].concat(), &subject));
    }
}
