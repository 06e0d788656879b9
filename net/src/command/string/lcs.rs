//! LCS: the longest common subsequence of two strings.
//!
//! The textbook table: cell (i, j) holds the length for the first i bytes of one string and the
//! first j of the other. Walking back from the last cell yields the subsequence, and the ranges in
//! which it runs through both strings at once. Which of several equally long answers is found
//! depends on the walk, so it goes as Redis's does: to the left unless only up keeps the length.

use std::ops::Range;

use store::value::string::Str;

use crate::command::{Call, Error, Reply, error};

/// Cells a connection thread fills in the time it takes to visit an element elsewhere.
const CELLS_PER_ELEMENT: usize = 16;
const NOT_STRINGS: Error = Error::Text("ERR The specified keys must contain string values");
const LEN_AND_IDX: Error =
    Error::Text("ERR If you want both the length and indexes, please just use IDX.");
const TOO_LONG: Error = Error::Text("ERR String too long for LCS");
const TABLE_TOO_LARGE: Error =
    Error::Text("ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len");

/// How the answer is given.
#[derive(Clone, Copy, Debug, Default)]
struct Form {
    is_len: bool,
    is_idx: bool,
    with_match_len: bool,
    match_len_min: usize,
}

pub(super) fn lcs(call: &mut Call<'_>) -> Result<(), Error> {
    let keys = [call.args.word()?, call.args.word()?];
    let strings = call.db.atomic(|db| {
        let strings = keys.map(|key| Str::of_any(db.read(key)));
        Ok(strings)
    })?;
    let [Ok(a), Ok(b)] = strings else {
        return Err(NOT_STRINGS);
    };
    let form = parse(call)?;
    let (a_bytes, b_bytes) = (a.map_or(0, Str::len), b.map_or(0, Str::len));
    if a_bytes.max(b_bytes) >= u32::MAX as usize - 1 {
        return Err(TOO_LONG);
    }
    let cells = (a_bytes + 1).saturating_mul(b_bytes + 1);
    if cells.saturating_mul(size_of::<u32>()) > call.shared.string_bytes_max() {
        return Err(TABLE_TOO_LARGE);
    }
    call.heavy(cells / CELLS_PER_ELEMENT)?;
    let a = a.map(Str::to_cow).unwrap_or_default();
    let b = b.map(Str::to_cow).unwrap_or_default();
    answer(&mut call.reply, form, &a, &b);
    Ok(())
}

fn parse(call: &mut Call<'_>) -> Result<Form, Error> {
    let args = &mut call.args;
    let mut form = Form::default();
    while !args.is_empty() {
        if args.option("IDX") {
            form.is_idx = true;
        } else if args.option("LEN") {
            form.is_len = true;
        } else if args.option("WITHMATCHLEN") {
            form.with_match_len = true;
        } else if args.len() > 1 && args.option("MINMATCHLEN") {
            form.match_len_min = usize::try_from(args.integer()?).unwrap_or(0);
        } else {
            return Err(error::SYNTAX);
        }
    }
    match form.is_idx && form.is_len {
        true => Err(LEN_AND_IDX),
        false => Ok(form),
    }
}

fn answer(reply: &mut Reply<'_>, form: Form, a: &[u8], b: &[u8]) {
    if form.is_len {
        return reply.count(common_len(a, b));
    }
    let table = Table::new(a, b);
    if !form.is_idx {
        let mut common = Vec::with_capacity(table.at(a.len(), b.len()));
        table.for_each_run(a, b, |run| common.extend(a[run.a].iter().rev()));
        common.reverse();
        return reply.bulk(&common);
    }
    reply.map(2);
    reply.bulk(b"matches");
    let mark = reply.mark();
    let mut matches = 0;
    table.for_each_run(a, b, |run| {
        if run.a.len() < form.match_len_min {
            return;
        }
        matches += 1;
        reply.array(2 + usize::from(form.with_match_len));
        for range in [&run.a, &run.b] {
            reply.array(2);
            reply.count(range.start);
            reply.count(range.end - 1);
        }
        if form.with_match_len {
            reply.count(run.a.len());
        }
    });
    reply.array_since(mark, matches);
    reply.bulk(b"len");
    reply.count(table.at(a.len(), b.len()));
}

/// The length alone, which needs one row of the table.
fn common_len(a: &[u8], b: &[u8]) -> usize {
    let mut row = vec![0u32; b.len() + 1];
    for &left in a {
        store::pace::step();
        let mut diagonal = 0;
        for (at, &right) in b.iter().enumerate() {
            let above = row[at + 1];
            row[at + 1] = match left == right {
                true => diagonal + 1,
                false => above.max(row[at]),
            };
            diagonal = above;
        }
    }
    row[b.len()] as usize
}

/// A stretch of bytes that stands in both strings and belongs to the subsequence.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Run {
    a: Range<usize>,
    b: Range<usize>,
}

struct Table {
    lengths: Vec<u32>,
    width: usize,
}

impl Table {
    fn new(a: &[u8], b: &[u8]) -> Table {
        let width = b.len() + 1;
        let mut lengths = vec![0u32; (a.len() + 1) * width];
        for (i, &left) in a.iter().enumerate() {
            store::pace::step();
            let (above, row) = lengths[i * width..(i + 2) * width].split_at_mut(width);
            for (j, &right) in b.iter().enumerate() {
                row[j + 1] = match left == right {
                    true => above[j] + 1,
                    false => above[j + 1].max(row[j]),
                };
            }
        }
        Table { lengths, width }
    }

    fn at(&self, i: usize, j: usize) -> usize {
        self.lengths[i * self.width + j] as usize
    }

    /// Visits the runs of the subsequence, the last one first.
    fn for_each_run(&self, a: &[u8], b: &[u8], mut visit: impl FnMut(Run)) {
        let (mut i, mut j) = (a.len(), b.len());
        while i > 0 && j > 0 {
            let (a_end, b_end) = (i, j);
            while i > 0 && j > 0 && a[i - 1] == b[j - 1] {
                (i, j) = (i - 1, j - 1);
            }
            if i < a_end {
                visit(Run {
                    a: i..a_end,
                    b: j..b_end,
                });
            } else if self.at(i - 1, j) > self.at(i, j - 1) {
                i -= 1;
            } else {
                j -= 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(a: &str, b: &str) -> Vec<Run> {
        let (a, b) = (a.as_bytes(), b.as_bytes());
        let mut runs = Vec::new();
        Table::new(a, b).for_each_run(a, b, |run| runs.push(run));
        runs
    }

    #[test]
    fn runs_are_those_of_redis() {
        let expected = [Run { a: 4..8, b: 5..9 }, Run { a: 2..4, b: 0..2 }];
        assert_eq!(runs("ohmytext", "mynewtext"), expected);
        assert_eq!(runs("", "abc"), []);
        assert_eq!(runs("abc", "abc"), [Run { a: 0..3, b: 0..3 }]);
    }

    #[test]
    fn lengths_agree_with_all_subsequences() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..300 {
            let mut word = || -> Vec<u8> {
                let bytes = random.usize(0..9);
                (0..bytes).map(|_| random.u8(b'a'..=b'c')).collect()
            };
            let (a, b) = (word(), word());
            let longest = subsequences(&a)
                .filter(|candidate| is_subsequence(candidate, &b))
                .map(|candidate| candidate.len())
                .max();
            assert_eq!(Some(common_len(&a, &b)), longest);
            let mut in_runs = 0;
            Table::new(&a, &b).for_each_run(&a, &b, |run| {
                assert_eq!(a[run.a.clone()], b[run.b]);
                in_runs += run.a.len();
            });
            assert_eq!(Some(in_runs), longest);
        }
    }

    fn subsequences(word: &[u8]) -> impl Iterator<Item = Vec<u8>> {
        (0..1usize << word.len()).map(|chosen| {
            let is_chosen = |at: &usize| chosen >> at & 1 == 1;
            (0..word.len())
                .filter(is_chosen)
                .map(|at| word[at])
                .collect()
        })
    }

    fn is_subsequence(candidate: &[u8], of: &[u8]) -> bool {
        let mut rest = of.iter();
        candidate.iter().all(|byte| rest.any(|other| other == byte))
    }
}
