//! BITFIELD: several integers of a bitmap read and written at once.

use smallvec::SmallVec;
use store::value::bitmap::{Field, Overflow};
use store::value::number::parse_integer;
use store::value::string::{Str, StrEdit};

use super::{BITS_PER_BYTE, NOT_A_BIT_OFFSET, checked_offset};
use crate::command::{Args, Call, Error, Use, error, string};

/// Steps and their results are on the stack up to this many.
const STEPS_INLINE: usize = 8;
const BAD_TYPE: Error = Error::Text(
    "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but \
     i64 is.",
);
const BAD_OVERFLOW: Error = Error::Text("ERR Invalid OVERFLOW type specified");
const ONLY_GET: Error = Error::Text("ERR BITFIELD_RO only supports the GET subcommand");

/// What a BITFIELD of these words does with its key: it only reads if all that can be told to be a
/// subcommand is a GET. As in Redis, a subcommand is told by its name and by having enough words
/// behind it, whatever they are.
pub(super) fn use_by(words: &[&[u8]]) -> Use {
    let mut rest = words.get(2..).unwrap_or_default();
    while let [name, arguments @ ..] = rest {
        let takes = match name.to_ascii_lowercase().as_slice() {
            b"get" => 2,
            b"overflow" => 1,
            _ => return Use::Change,
        };
        match arguments.get(takes..) {
            Some(next) => rest = next,
            None => return Use::Change,
        }
    }
    Use::Read
}

type Steps = SmallVec<[Step; STEPS_INLINE]>;
type Results = SmallVec<[Option<i64>; STEPS_INLINE]>;

/// One subcommand.
#[derive(Clone, Copy, Debug)]
struct Step {
    field: Field,
    /// The field's first bit.
    at: usize,
    action: Action,
}

#[derive(Clone, Copy, Debug)]
enum Action {
    Get,
    Set(i64, Overflow),
    Increment(i64, Overflow),
}

impl Step {
    fn is_get(&self) -> bool {
        matches!(self.action, Action::Get)
    }

    /// The bytes a string has that holds the whole field.
    fn end_bytes(&self) -> usize {
        (self.at + self.field.bits()).div_ceil(BITS_PER_BYTE)
    }

    /// Carries the step out; none where the number does not fit and is to fail.
    fn run(&self, edit: &mut StrEdit<'_>) -> Result<Option<i64>, store::Error> {
        let old = self.field.read(edit.view(), self.at);
        let (next, shows_next) = match self.action {
            Action::Get => return Ok(Some(old)),
            Action::Set(value, overflow) => (self.field.stored(value, overflow), false),
            Action::Increment(by, overflow) => (self.field.sum(old, by, overflow), true),
        };
        let Some(next) = next else {
            return Ok(None);
        };
        self.field.write(edit, self.at, next)?;
        Ok(Some(if shows_next { next } else { old }))
    }
}

pub(super) fn bitfield(call: &mut Call<'_>) -> Result<(), Error> {
    let key = call.args.word()?;
    let steps = parse(&mut call.args, call.shared.string_bytes_max())?;
    let results = match steps.iter().all(Step::is_get) {
        true => read(call, key, &steps)?,
        false => string::edit(call, key, |old| {
            let mut edit = StrEdit::new(old);
            // The string grows for all writes, also those that will not fit.
            let writes = steps.iter().filter(|step| !step.is_get());
            edit.grow(writes.map(Step::end_bytes).max().unwrap_or(0))?;
            let results = steps
                .iter()
                .map(|step| step.run(&mut edit))
                .collect::<Result<Results, _>>()?;
            Ok((Some(edit.finish()), results))
        })?,
    };
    reply(call, &results);
    Ok(())
}

pub(super) fn bitfield_ro(call: &mut Call<'_>) -> Result<(), Error> {
    let key = call.args.word()?;
    let steps = parse(&mut call.args, call.shared.string_bytes_max())?;
    if !steps.iter().all(Step::is_get) {
        return Err(ONLY_GET);
    }
    let results = read(call, key, &steps)?;
    reply(call, &results);
    Ok(())
}

fn read(call: &Call<'_>, key: &[u8], steps: &Steps) -> Result<Results, Error> {
    let string = Str::of_any(call.db.read(key))?.unwrap_or(Str::from_slice(b""));
    let read_step = |step: &Step| Some(step.field.read(string, step.at));
    Ok(steps.iter().map(read_step).collect())
}

fn reply(call: &mut Call<'_>, results: &Results) {
    call.reply.array(results.len());
    for result in results {
        match result {
            Some(value) => call.reply.integer(*value),
            None => call.reply.null(),
        }
    }
}

fn parse(args: &mut Args<'_>, bytes_max: usize) -> Result<Steps, Error> {
    let mut steps = Steps::new();
    let mut overflow = Overflow::default();
    while !args.is_empty() {
        let words = args.len() - 1;
        if words >= 2 && args.option("GET") {
            let (field, at) = parse_place(args, bytes_max)?;
            let action = Action::Get;
            steps.push(Step { field, at, action });
        } else if words >= 3 && args.option("SET") {
            let (field, at) = parse_place(args, bytes_max)?;
            let action = Action::Set(args.integer()?, overflow);
            steps.push(Step { field, at, action });
        } else if words >= 3 && args.option("INCRBY") {
            let (field, at) = parse_place(args, bytes_max)?;
            let action = Action::Increment(args.integer()?, overflow);
            steps.push(Step { field, at, action });
        } else if words >= 1 && args.option("OVERFLOW") {
            overflow = parse_overflow(args)?;
        } else {
            return Err(error::SYNTAX);
        }
    }
    Ok(steps)
}

fn parse_overflow(args: &mut Args<'_>) -> Result<Overflow, Error> {
    if args.option("WRAP") {
        Ok(Overflow::Wrap)
    } else if args.option("SAT") {
        Ok(Overflow::Saturate)
    } else if args.option("FAIL") {
        Ok(Overflow::Fail)
    } else {
        Err(BAD_OVERFLOW)
    }
}

/// A type and an offset; `#3` is the fourth place of that type's width.
fn parse_place(args: &mut Args<'_>, bytes_max: usize) -> Result<(Field, usize), Error> {
    let field = parse_field(args.word()?).ok_or(BAD_TYPE)?;
    let at = match args.word()? {
        [b'#', places @ ..] => {
            parse_integer(places).and_then(|places| places.checked_mul(field.bits() as i64))
        }
        bits => parse_integer(bits),
    };
    let at = at.and_then(|at| checked_offset(at, bytes_max));
    Ok((field, at.ok_or(NOT_A_BIT_OFFSET)?))
}

fn parse_field(word: &[u8]) -> Option<Field> {
    let (is_signed, bits) = match word {
        [b'i', bits @ ..] => (true, bits),
        [b'u', bits @ ..] => (false, bits),
        _ => return None,
    };
    Field::new(is_signed, u32::try_from(parse_integer(bits)?).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(words: &str) -> Result<(Vec<Option<i64>>, Vec<u8>), String> {
        let words: Vec<&[u8]> = words.split_whitespace().map(str::as_bytes).collect();
        let mut args = Args::new(&words);
        let steps = parse(&mut args, 512 << 20)
            .map_err(|error| String::from_utf8_lossy(error.text()).into_owned())?;
        let mut edit = StrEdit::new(None);
        let results = steps.iter().map(|step| step.run(&mut edit).expect("short"));
        let results = results.collect();
        let bytes = edit.view().to_cow().into_owned();
        Ok((results, bytes))
    }

    #[test]
    fn steps_see_what_earlier_ones_wrote() {
        let (results, bytes) = run(
            "SET u8 0 200 GET u8 0 get i8 #0 INCRBY u8 0 100 OVERFLOW FAIL INCRBY u8 0 250 \
             OVERFLOW sat incrby u8 0 250 SET i4 #3 -1",
        )
        .expect("well formed");
        let expected = [0, 200, -56, 44].map(Some);
        assert_eq!(results[..4], expected);
        assert_eq!(results[4..], [None, Some(255), Some(0)]);
        assert_eq!(bytes, [0xff, 0x0f]);
    }

    #[test]
    fn what_is_not_understood() {
        for (words, expected) in [
            ("GET u64 0", BAD_TYPE),
            ("GET i65 0", BAD_TYPE),
            ("GET U8 0", BAD_TYPE),
            ("GET u08 0", BAD_TYPE),
            ("GET u8 -1", NOT_A_BIT_OFFSET),
            ("GET u8 #", NOT_A_BIT_OFFSET),
            ("GET u8 4294967296", NOT_A_BIT_OFFSET),
            ("GET u63 #9223372036854775807", NOT_A_BIT_OFFSET),
            ("SET u8 0", error::SYNTAX),
            ("SET u8 0 x", error::NOT_AN_INTEGER),
            ("OVERFLOW", error::SYNTAX),
            ("OVERFLOW no", BAD_OVERFLOW),
        ] {
            assert_eq!(
                run(words),
                Err(String::from_utf8_lossy(expected.text()).into_owned()),
                "{words}"
            );
        }
    }
}
