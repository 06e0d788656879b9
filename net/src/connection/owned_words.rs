//! The words of a request that is carried out after the buffer in which it came is used again.

/// Words, one behind the other in one allocation: there may be hundreds of thousands.
pub(super) struct OwnedWords {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl OwnedWords {
    pub(super) fn of(words: &[&[u8]]) -> OwnedWords {
        let end = |end: &mut usize, word: &&[u8]| {
            *end += word.len();
            Some(*end)
        };
        OwnedWords {
            bytes: words.concat(),
            ends: words.iter().scan(0, end).collect(),
        }
    }

    pub(super) fn all(&self) -> Vec<&[u8]> {
        let word = |start: &mut usize, &end: &usize| {
            let word = &self.bytes[*start..end];
            *start = end;
            Some(word)
        };
        self.ends.iter().scan(0, word).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_what_they_were() {
        let words: [&[u8]; 4] = [b"SET", b"", b"value", b""];
        assert_eq!(OwnedWords::of(&words).all(), words);
        assert!(OwnedWords::of(&[]).all().is_empty());
    }
}
