//! When two answers are the same, and the list of those that need not be.

use tests::resp::{Lost, Received, Reply, RespClient};

/// What came back.
pub(super) type Answer = Result<Received, Lost>;

/// What must be equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// Every byte: what is not listed below.
    Bytes,
    /// The elements, in any order: sets and hashes have none.
    Multiset,
    /// The pairs, in any order.
    Pairs,
    /// A cursor, and the elements of the batch in any order.
    Scan,
    /// Nothing.
    Cursor,
    /// A cursor, and the pairs of the batch in any order.
    PairScan,
    /// Numbers that time moves, up to so many.
    Near(i64),
    /// The number of elements: which ones is random.
    Random,
    /// Errors to the letter, else the type only: memory, times and ids are one's own.
    Type,
}

/// What came of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Same,
    Differs,
    /// As equal as random choices can be: see [`reconcile`].
    Random,
}

/// The rule for a command.
pub(super) fn rule(words: &[Vec<u8>]) -> Rule {
    let upper = |at: usize| {
        let word = words.get(at).map_or(&b""[..], |word| word);
        String::from_utf8_lossy(word).to_ascii_uppercase()
    };
    match upper(0).as_str() {
        "SMEMBERS" | "SINTER" | "SUNION" | "SDIFF" | "HKEYS" | "HVALS" | "KEYS" => Rule::Multiset,
        "HGETALL" => Rule::Pairs,
        // A cursor means something only to the server that gave it.
        "SCAN" if upper(1) != "0" => Rule::Cursor,
        "SSCAN" | "HSCAN" if upper(2) != "0" => Rule::Cursor,
        "SCAN" | "SSCAN" => Rule::Scan,
        "HSCAN" => Rule::PairScan,
        "TTL" | "EXPIRETIME" => Rule::Near(2),
        "PTTL" | "PEXPIRETIME" => Rule::Near(2_000),
        "SPOP" | "SRANDMEMBER" | "HRANDFIELD" | "RANDOMKEY" => Rule::Random,
        "TIME" => Rule::Type,
        // The whole table: each server has its own.
        "COMMAND" if words.len() == 1 || upper(1) == "COUNT" => Rule::Type,
        "OBJECT" if upper(1) == "IDLETIME" => Rule::Near(2),
        // How often a small number is shared is an implementation's own affair.
        "OBJECT" if upper(1) == "REFCOUNT" => Rule::Type,
        // The parameters are each server's own.
        "CONFIG" if upper(1) == "GET" => Rule::Type,
        // Names, versions, ids.
        "HELLO" => Rule::Type,
        "MEMORY" => Rule::Type,
        "CLIENT" if upper(1) == "ID" => Rule::Type,
        _ => Rule::Bytes,
    }
}

/// Compares two answers to one command.
pub(super) fn compare(words: &[Vec<u8>], ours: &Received, theirs: &Received) -> Verdict {
    let (ours_raw, theirs_raw) = (&ours.raw, &theirs.raw);
    let (ours, theirs) = (&ours.reply, &theirs.reply);
    let is_error = matches!(ours, Reply::Error(_)) || matches!(theirs, Reply::Error(_));
    let is_same = match rule(words) {
        Rule::Cursor => true,
        _ if is_error => ours_raw == theirs_raw,
        Rule::Bytes => ours_raw == theirs_raw,
        Rule::Multiset => is_same_type(ours, theirs) && sorted(ours, 1) == sorted(theirs, 1),
        Rule::Pairs => is_same_type(ours, theirs) && sorted(ours, 2) == sorted(theirs, 2),
        Rule::Scan => is_same_scan(ours, theirs, 1),
        Rule::PairScan => is_same_scan(ours, theirs, 2),
        Rule::Near(distance) => match (ours, theirs) {
            (Reply::Integer(ours), Reply::Integer(theirs)) => {
                ours.abs_diff(*theirs) <= distance.unsigned_abs() && (*ours < 0) == (*theirs < 0)
            }
            _ => ours == theirs,
        },
        Rule::Random => {
            return match is_same_type(ours, theirs)
                && ours.elements().len() == theirs.elements().len()
            {
                true => Verdict::Random,
                false => Verdict::Differs,
            };
        }
        Rule::Type => is_same_type(ours, theirs),
    };
    match is_same {
        true => Verdict::Same,
        false => Verdict::Differs,
    }
}

/// Makes all sides equal again after SPOP took different members: what any took is taken from
/// all.
pub(super) fn reconcile(words: &[Vec<u8>], clients: &mut [RespClient], answers: &[Answer]) {
    if !words[0].eq_ignore_ascii_case(b"SPOP") {
        return;
    }
    let mut command = vec![b"SREM".to_vec(), words[1].clone()];
    for answer in answers.iter().flatten() {
        let reply = &answer.reply;
        let popped = reply.elements().iter().chain(std::iter::once(reply));
        command.extend(popped.filter_map(Reply::text).map(<[u8]>::to_vec));
    }
    if command.len() > 2 {
        let counts: Vec<Reply> = clients
            .iter_mut()
            .map(|client| client.call(&command))
            .collect();
        let is_equal = counts.iter().all(|count| *count == counts[0]);
        assert!(
            is_equal,
            "SPOP {words:?} popped what was not there: {answers:?}"
        );
    }
}

/// Whether the server does not know the command at all.
pub(super) fn is_unknown(answer: &Answer) -> bool {
    const STARTS: [&[u8]; 2] = [b"ERR unknown command", b"ERR unknown subcommand"];
    answer.as_ref().is_ok_and(|received| match &received.reply {
        Reply::Error(text) => STARTS.iter().any(|start| text.starts_with(start)),
        _ => false,
    })
}

fn is_same_type(ours: &Reply, theirs: &Reply) -> bool {
    std::mem::discriminant(ours) == std::mem::discriminant(theirs)
}

fn is_same_scan(ours: &Reply, theirs: &Reply, width: usize) -> bool {
    match (ours.elements(), theirs.elements()) {
        ([cursor, batch], [their_cursor, their_batch]) => {
            cursor == their_cursor && sorted(batch, width) == sorted(their_batch, width)
        }
        _ => false,
    }
}

/// The elements in groups of `width`, sorted.
fn sorted(reply: &Reply, width: usize) -> Vec<&[Reply]> {
    let mut groups: Vec<&[Reply]> = reply.elements().chunks(width).collect();
    groups.sort_unstable();
    groups
}
