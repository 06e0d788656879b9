//! The facts about a command, each said once, and what follows from them.

use std::iter::StepBy;
use std::ops::RangeInclusive;

use super::{FAMILIES, Handler};

/// Commands that belong together: one file.
#[derive(Debug)]
pub(crate) struct Family {
    /// Redis's name of the group.
    pub(crate) name: &'static str,
    /// Its commands, by name.
    pub(crate) commands: &'static [Command],
}

/// One command or subcommand.
#[derive(Debug)]
pub(crate) struct Command {
    /// In lower case.
    pub(crate) name: &'static str,
    /// The arguments in Redis's notation: `key value [NX | XX] [key ...]`.
    pub(crate) syntax: &'static str,
    /// One sentence.
    pub(crate) summary: &'static str,
    /// The version of Redis (or of its JSON module) that has had it first.
    pub(crate) since: &'static str,
    /// In O notation.
    pub(crate) complexity: &'static str,
    /// What is to be checked before and known about it.
    pub(crate) flags: &'static [Flag],
    /// Where keys stand among the words, the command's name being word 0.
    pub(crate) keys: &'static [Keys],
    /// What it does.
    pub(crate) body: Body,
}

/// What a command does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Body {
    /// It runs.
    Run(Handler),
    /// It runs, and all it does with data is to edit the collection at its first argument through
    /// `edit` of its family, which several in a row can share ([`super::run`]). Where the edit
    /// fails it has changed nothing.
    Edit(Handler),
    /// Its second word says which of these runs.
    Container(&'static [Command]),
    /// The first runs where there is no second word: COMMAND.
    RunOrContainer(Handler, &'static [Command]),
}

/// What is to be known about a command; the names are Redis's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flag {
    /// May change data.
    Write,
    /// Reads data only.
    Readonly,
    /// May need memory: refused when it is full.
    DenyOom,
    /// For operators.
    Admin,
    /// Not from a script.
    NoScript,
    /// Also while loading.
    Loading,
    /// Also on a stale replica.
    Stale,
    /// Constant or logarithmic time.
    Fast,
    /// Also before AUTH.
    NoAuth,
    /// Also while a script is busy.
    AllowBusy,
    /// Not within MULTI.
    NoMulti,
    /// Waits for data.
    Blocking,
    /// Concerns subscriptions.
    Pubsub,
    // Tips, for proxies and clients of many servers: how replies compare, whom to send the
    // command to, what to make of the replies
    // (https://redis.io/docs/latest/develop/reference/command-tips/).
    /// The same in another order is the same reply.
    Unordered,
    /// The reply differs from time to time, whatever the data are.
    Unsteady,
    /// To all nodes.
    ToAllNodes,
    /// To all that have keys of their own.
    ToAllShards,
    /// To those that have the keys, each with its own.
    ToShardsOfKeys,
    /// To those that the command's own rules say.
    ToSome,
    /// All have to succeed.
    AllSucceed,
    /// The numbers are added.
    Sum,
    /// The replies are put together as the command's own rules say.
    Combined,
}

impl Flag {
    /// Whether COMMAND INFO has it among the tips.
    pub(crate) fn is_tip(self) -> bool {
        self as u32 >= Flag::Unordered as u32
    }

    /// As COMMAND INFO has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Flag::Write => "write",
            Flag::Readonly => "readonly",
            Flag::DenyOom => "denyoom",
            Flag::Admin => "admin",
            Flag::NoScript => "noscript",
            Flag::Loading => "loading",
            Flag::Stale => "stale",
            Flag::Fast => "fast",
            Flag::NoAuth => "no_auth",
            Flag::AllowBusy => "allow_busy",
            Flag::NoMulti => "no_multi",
            Flag::Blocking => "blocking",
            Flag::Pubsub => "pubsub",
            Flag::Unordered => "nondeterministic_output_order",
            Flag::Unsteady => "nondeterministic_output",
            Flag::ToAllNodes => "request_policy:all_nodes",
            Flag::ToAllShards => "request_policy:all_shards",
            Flag::ToShardsOfKeys => "request_policy:multi_shard",
            Flag::ToSome => "request_policy:special",
            Flag::AllSucceed => "response_policy:all_succeeded",
            Flag::Sum => "response_policy:agg_sum",
            Flag::Combined => "response_policy:special",
        }
    }
}

/// Where keys stand.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Keys {
    /// One key at this word.
    At(usize),
    /// One key at this word, of whose elements the words behind it name some.
    Holder {
        /// The key's word.
        at: usize,
        /// From one element to the next.
        step: usize,
    },
    /// Keys from `first` to `last` (from the end when negative: -1 is the last word), every
    /// `step` words.
    From {
        /// The first key's word.
        first: usize,
        /// The last key's word.
        last: isize,
        /// From one key to the next.
        step: usize,
    },
    /// The word `at` says how many keys follow it.
    Counted {
        /// The number's word.
        at: usize,
    },
    /// Some of these, of which less is done than a command of its kind may do: others are read
    /// by a command that reads, and read and changed by one that writes.
    For(Use, &'static Keys),
    /// Some of these, of which is done what the command's words say: [`Use::Vary`].
    By(fn(&[&[u8]]) -> Use, &'static Keys),
}

/// What happens to a key; Redis's words for it are in [`Use::names`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// Only whether it is there, its size, its type.
    Look,
    /// The value is read.
    Read,
    /// The value is read and changed.
    Change,
    /// As the arguments say, at most [`Use::Change`].
    Vary,
    /// The value is changed, and nothing of it answered.
    Update,
    /// Something is added to it.
    Insert,
    /// Something in it is deleted.
    Delete,
    /// What is deleted is answered.
    Take,
    /// It gets another value, whatever it had.
    Overwrite,
    /// It gets a value if it has none.
    Create,
    /// It goes.
    Remove,
}

impl Use {
    /// As COMMAND INFO has it.
    pub(crate) fn names(self) -> &'static [&'static str] {
        match self {
            Use::Look => &["RO"],
            Use::Read => &["RO", "access"],
            Use::Change => &["RW", "access", "update"],
            Use::Vary => &["RW", "access", "update", "variable_flags"],
            Use::Update => &["RW", "update"],
            Use::Insert => &["RW", "insert"],
            Use::Delete => &["RW", "delete"],
            Use::Take => &["RW", "access", "delete"],
            Use::Overwrite => &["OW", "update"],
            Use::Create => &["OW", "insert"],
            Use::Remove => &["RM", "delete"],
        }
    }
}

impl Keys {
    /// Where they are, whatever is done with them.
    #[inline]
    fn unwrapped(&self) -> &Keys {
        let mut keys = self;
        while let Keys::For(_, inner) | Keys::By(_, inner) = keys {
            keys = inner;
        }
        keys
    }

    /// Calls `visit` with the index of each word that is one of these.
    pub(crate) fn for_each(self, words: &[&[u8]], visit: &mut impl FnMut(usize)) {
        match self {
            Keys::At(at) | Keys::Holder { at, .. } if at < words.len() => visit(at),
            Keys::At(_) | Keys::Holder { .. } => {}
            Keys::From { first, last, step } => {
                let end = match last {
                    0.. => last as usize + 1,
                    _ => (words.len() + 1).saturating_sub(last.unsigned_abs()),
                };
                (first..end.min(words.len())).step_by(step).for_each(visit);
            }
            Keys::Counted { at } => {
                let count = words.get(at).map_or(0, |word| leading_number(word));
                let end = (at + 1).saturating_add(count);
                if end <= words.len() {
                    (at + 1..end).for_each(visit);
                }
            }
            Keys::For(_, keys) | Keys::By(_, keys) => keys.for_each(words, visit),
        }
    }

    /// Whether their number depends on the words.
    pub(crate) fn are_counted(self) -> bool {
        match self {
            Keys::Counted { .. } => true,
            Keys::For(_, keys) | Keys::By(_, keys) => keys.are_counted(),
            Keys::At(_) | Keys::Holder { .. } | Keys::From { .. } => false,
        }
    }

    /// The key that holds the elements that the words name, and those.
    fn elements<'w>(&self, words: &'w [&'w [u8]]) -> Option<(&'w [u8], Elements<'w>)> {
        match *self.unwrapped() {
            Keys::Holder { at, step } if at + 1 < words.len() => {
                Some((words[at], words[at + 1..].iter().step_by(step)))
            }
            _ => None,
        }
    }
}

/// Words that name elements of a collection.
pub(crate) type Elements<'w> = StepBy<std::slice::Iter<'w, &'w [u8]>>;

impl Command {
    /// How many words the command has, its name included; negative: at least so many.
    pub(crate) const fn arity(&self) -> i64 {
        match self.body {
            Body::Run(_) | Body::Edit(_) => arity_of(self.syntax),
            Body::Container(_) => -2,
            Body::RunOrContainer(..) => -1,
        }
    }

    /// What is done with keys of it, by these words.
    pub(crate) fn use_by(&self, keys: Keys, words: &[&[u8]]) -> Use {
        match keys {
            Keys::By(used, _) => used(words),
            keys => self.use_of(keys),
        }
    }

    /// What is done with keys of it, whatever its words are.
    pub(crate) fn use_of(&self, keys: Keys) -> Use {
        match keys {
            Keys::For(used, _) => used,
            Keys::By(..) => Use::Vary,
            _ if self.is(Flag::Write) => Use::Change,
            _ => Use::Read,
        }
    }

    /// Whether the entry has `flag`.
    pub(crate) fn is(&self, flag: Flag) -> bool {
        self.flags.contains(&flag)
    }

    /// How many words the command takes, with `depth` names of containers before its own.
    pub(crate) fn words(&self, depth: usize) -> RangeInclusive<usize> {
        let arity = self.arity();
        let least = arity.unsigned_abs() as usize + depth;
        match arity {
            0.. => least..=least,
            _ => least..=usize::MAX,
        }
    }

    /// The collection of which the words name elements, and those.
    pub(crate) fn elements<'w>(&self, words: &'w [&'w [u8]]) -> Option<(&'w [u8], Elements<'w>)> {
        self.keys.first()?.elements(words)
    }

    /// Whether its words name elements of a collection.
    pub(crate) fn names_elements(&self) -> bool {
        let names = |keys: &Keys| matches!(keys.unwrapped(), Keys::Holder { .. });
        self.keys.first().is_some_and(names)
    }

    /// Calls `visit` with the index of each word that is a key.
    #[inline]
    pub(crate) fn for_each_key(&self, words: &[&[u8]], mut visit: impl FnMut(usize)) {
        // Nearly all have one.
        if let [keys] = self.keys
            && let Keys::At(at) | Keys::Holder { at, .. } = *keys.unwrapped()
        {
            if at < words.len() {
                visit(at);
            }
            return;
        }
        for keys in self.keys {
            keys.for_each(words, &mut visit);
        }
    }
}

/// The number that C's `atoi` finds at the start of a word; 0 if it is none or negative.
fn leading_number(word: &[u8]) -> usize {
    let word = word.trim_ascii_start();
    let word = word.strip_prefix(b"+").unwrap_or(word);
    let digits = word.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let digits = std::str::from_utf8(&word[..digits]).unwrap_or_default();
    digits.parse().unwrap_or(0)
}

/// Counts the words of a syntax, the command's name included. What stands in brackets is
/// optional, what stands in angle brackets is one word or more: a choice.
const fn arity_of(syntax: &str) -> i64 {
    let bytes = syntax.as_bytes();
    let (mut words, mut depth, mut is_open) = (1, 0, false);
    let (mut at, mut in_word) = (0, false);
    while at < bytes.len() {
        match bytes[at] {
            b'[' => {
                is_open = true;
                depth += 1;
                in_word = false;
            }
            b']' => depth -= 1,
            b' ' => in_word = false,
            b'<' => {
                // A choice counts as its first alternative, whose words all count.
                if depth == 0 {
                    words += choice_words(bytes, at);
                }
                while bytes[at] != b'>' {
                    at += 1;
                }
            }
            _ => {
                if depth == 0 && !in_word {
                    words += 1;
                }
                in_word = true;
            }
        }
        at += 1;
    }
    if is_open { -words } else { words }
}

const fn choice_words(bytes: &[u8], start: usize) -> i64 {
    let (mut words, mut in_word, mut at) = (0, false, start + 1);
    while bytes[at] != b'|' && bytes[at] != b'>' {
        if bytes[at] == b' ' {
            in_word = false;
        } else if !in_word {
            in_word = true;
            words += 1;
        }
        at += 1;
    }
    words
}

/// All commands with their families.
pub(crate) fn iter() -> impl Iterator<Item = (&'static Family, &'static Command)> {
    FAMILIES
        .iter()
        .flat_map(|family| family.commands.iter().map(move |entry| (*family, entry)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::dispatch;

    #[test]
    fn arity_follows_from_the_syntax() {
        for (syntax, arity) in [
            ("", 1),
            ("key", 2),
            (
                "key value [NX | XX] [GET] [EX seconds | PX milliseconds]",
                -3,
            ),
            ("key [key ...]", -2),
            ("numkeys key [key ...] [LIMIT limit]", -3),
            ("key field value [field value ...]", -4),
            ("<AND | OR | XOR | NOT> destkey key [key ...]", -4),
            ("[message]", -1),
        ] {
            assert_eq!(arity_of(syntax), arity, "{syntax}");
        }
    }

    #[test]
    fn names_are_unique_and_lower_case() {
        let mut names: Vec<_> = iter().map(|(_, entry)| entry.name).collect();
        assert!(names.iter().all(|name| *name == name.to_ascii_lowercase()));
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn edits_are_of_the_collection_at_the_first_argument() {
        for (_, entry) in iter().filter(|(_, entry)| matches!(entry.body, Body::Edit(_))) {
            let words: [&[u8]; 4] = [entry.name.as_bytes(), b"key", b"element", b"value"];
            let (key, _) = entry.elements(&words).expect("a collection");
            let mut keys = 0;
            entry.for_each_key(&words, |_| keys += 1);
            assert_eq!((key, keys), (&b"key"[..], 1), "{}", entry.name);
            assert!(entry.is(Flag::Write), "{}", entry.name);
        }
    }

    /// A connection finds its database anew only behind a command that names no key.
    #[test]
    fn what_says_where_keys_are_and_how_uses_are_noted_names_none() {
        for words in [
            &["select", "1"][..],
            &["swapdb", "0", "1"],
            &["flushall"],
            &["flushdb"],
            &["reset"],
            &["hello", "3"],
            &["auth", "password"],
            &["client", "no-touch", "on"],
            &["config", "set", "maxmemory-policy", "allkeys-lru"],
        ] {
            let words: Vec<_> = words.iter().map(|word| word.as_bytes()).collect();
            let entry = dispatch::resolve(&words).expect("a command");
            assert!(!entry.is_of_keys(), "{}", entry.full_name);
        }
    }

    #[test]
    fn a_command_reads_or_writes_but_not_both() {
        for (_, entry) in iter() {
            assert!(
                !(entry.is(Flag::Write) && entry.is(Flag::Readonly)),
                "{}",
                entry.name
            );
        }
    }
}
