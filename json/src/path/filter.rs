//! Filters: which children of a value are meant, by a condition on each.
//!
//! A comparison is between values, or the absence of one: absence equals absence alone. Numbers
//! compare as the numbers they are, integers and floats alike; strings by code points; arrays and
//! objects only for equality, members in any order.
//!
//! Regular expressions are those of RFC 9485. The engine is the `regex` crate, whose time is linear
//! in the text, so that no pattern can hold up a server.

use std::cmp::Ordering;
use std::ops::ControlFlow;

use compact_str::CompactString;
use regex::{Regex, RegexBuilder};

use super::eval::{Budget, Search, reach};
use super::{Path, Step, Way};
use crate::error::SearchTooLong;
use crate::packed;
use crate::value::{Front, Number, RawView, Value, utf8};

/// Compiled patterns larger than this are taken for patterns that match nothing.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// What making a regular expression costs, in visits.
const VISITS_PER_REGEX: usize = 2_000;

/// A condition.
#[derive(Clone, Debug)]
pub(crate) enum Filter {
    Any(Vec<Filter>),
    All(Vec<Filter>),
    Not(Box<Filter>),
    /// The path means something.
    Exists(Query),
    Compare(Operand, Operator, Operand),
    /// What a singular path means compares to a literal, as most comparisons do.
    CompareLiteral(Query, Operator, Literal),
    /// The operand is a string of the pattern.
    Match(Operand, Pattern),
}

/// A path that starts at the document's root or at the child in question.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    pub(super) is_from_root: bool,
    pub(super) path: Path,
}

/// Something that has a value, or none.
#[derive(Clone, Debug)]
pub(crate) enum Operand {
    Literal(Literal),
    /// What a singular path means.
    Query(Query),
    /// How many characters, elements or members there are.
    Length(Box<Operand>),
    /// How many values a path means.
    Count(Query),
    /// What a path means, if that is one value.
    Value(Query),
}

#[derive(Clone, Debug)]
pub(crate) enum Literal {
    Null,
    Bool(bool),
    Number(Number),
    String(CompactString),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Equal,
    Different,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

/// A regular expression.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    scope: Scope,
    source: Source,
}

/// How much of a text a pattern must match, and who defines its syntax.
#[derive(Clone, Copy, Debug)]
enum Scope {
    Whole,
    Part,
    PartLikeRedisJson,
}

#[derive(Clone, Debug)]
enum Source {
    /// Written out in the path; none if it is no pattern.
    Compiled(Option<Regex>),
    /// Looked up for each child.
    Operand(Box<Operand>),
}

impl Pattern {
    pub(super) fn whole(source: Operand) -> Pattern {
        Pattern::new(Scope::Whole, source)
    }

    pub(super) fn contained(source: Operand) -> Pattern {
        Pattern::new(Scope::Part, source)
    }

    pub(super) fn contained_like_redisjson(source: Operand) -> Pattern {
        Pattern::new(Scope::PartLikeRedisJson, source)
    }

    fn new(scope: Scope, source: Operand) -> Pattern {
        let source = match source {
            Operand::Literal(Literal::String(text)) => Source::Compiled(compile(scope, &text)),
            other => Source::Operand(Box::new(other)),
        };
        Pattern { scope, source }
    }
}

fn compile(scope: Scope, pattern: &str) -> Option<Regex> {
    let pattern = match scope {
        Scope::Whole => format!("\\A(?:{})\\z", without_line_ends(pattern)),
        Scope::Part => without_line_ends(pattern),
        Scope::PartLikeRedisJson => pattern.to_owned(),
    };
    let mut builder = RegexBuilder::new(&pattern);
    builder.size_limit(REGEX_BYTES_MAX).build().ok()
}

/// The pattern with RFC 9485's meaning of the dot: neither of the line ends.
fn without_line_ends(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 8);
    let (mut is_escaped, mut is_in_class) = (false, false);
    for c in pattern.chars() {
        match c {
            _ if is_escaped => {}
            '[' => is_in_class = true,
            ']' => is_in_class = false,
            _ => {}
        }
        match c {
            '.' if !is_escaped && !is_in_class => out.push_str("[^\\n\\r]"),
            _ => out.push(c),
        }
        is_escaped = c == '\\' && !is_escaped;
    }
    out
}

/// Where filters look: the document and one child.
#[derive(Clone, Copy)]
pub(super) struct Scene<'a> {
    pub(super) root: Value<'a>,
    pub(super) child: Front<'a>,
}

impl Filter {
    /// A comparison.
    pub(super) fn compare(left: Operand, operator: Operator, right: Operand) -> Filter {
        match (left, right) {
            (Operand::Query(query), Operand::Literal(literal)) => {
                Filter::CompareLiteral(query, operator, literal)
            }
            (Operand::Literal(literal), Operand::Query(query)) => {
                Filter::CompareLiteral(query, operator.mirrored(), literal)
            }
            (left, right) => Filter::Compare(left, operator, right),
        }
    }

    /// Whether the condition holds.
    pub(super) fn holds(
        &self,
        scene: &Scene<'_>,
        budget: &mut Budget,
    ) -> Result<bool, SearchTooLong> {
        budget.spend(1)?;
        match self {
            Filter::Any(terms) => {
                for term in terms {
                    if term.holds(scene, budget)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Filter::All(terms) => {
                for term in terms {
                    if !term.holds(scene, budget)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Filter::Not(filter) => Ok(!filter.holds(scene, budget)?),
            Filter::Exists(query) => match query.path.steps() {
                Some(steps) => Ok(query.walk(steps, scene, budget)?.is_some()),
                None => Ok(query.matches(scene, 1, budget)?.0 > 0),
            },
            Filter::CompareLiteral(query, operator, literal) => {
                let order = query.order(scene, literal, *operator, budget)?;
                Ok(operator.accepts(order))
            }
            Filter::Compare(left, operator, right) => {
                let order = match (left.look(scene, budget)?, right.look(scene, budget)?) {
                    (Some(left), Some(right)) => order(left, right, *operator, budget)?,
                    (left, right) => (left.is_none() && right.is_none()).then_some(Ordering::Equal),
                };
                Ok(operator.accepts(order))
            }
            Filter::Match(text, pattern) => pattern.matches(text, scene, budget),
        }
    }
}

impl Pattern {
    /// Whether `text` is a string that the pattern matches.
    fn matches(
        &self,
        text: &Operand,
        scene: &Scene<'_>,
        budget: &mut Budget,
    ) -> Result<bool, SearchTooLong> {
        let Some(RawView::String(text)) = text.look(scene, budget)? else {
            return Ok(false);
        };
        budget.spend_on_text(text.len())?;
        let regex = match &self.source {
            Source::Compiled(regex) => return Ok(is_match(regex.as_ref(), text)),
            Source::Operand(source) => match source.look(scene, budget)? {
                Some(RawView::String(source)) => {
                    budget.spend(VISITS_PER_REGEX)?;
                    compile(self.scope, utf8(source))
                }
                _ => None,
            },
        };
        Ok(is_match(regex.as_ref(), text))
    }
}

fn is_match(regex: Option<&Regex>, text: &[u8]) -> bool {
    regex.is_some_and(|regex| regex.is_match(utf8(text)))
}

impl Query {
    /// Where the path starts.
    #[inline]
    fn from<'a>(&self, scene: &Scene<'a>) -> Front<'a> {
        match self.is_from_root {
            true => Front::of(scene.root),
            false => scene.child,
        }
    }

    /// Where the value begins that it means if its path is singular.
    #[inline]
    fn only<'a>(
        &self,
        scene: &Scene<'a>,
        budget: &mut Budget,
    ) -> Result<Option<Front<'a>>, SearchTooLong> {
        match &self.path.way {
            Way::Steps(steps) => self.walk(steps, scene, budget),
            Way::Segments(_) => Ok(None),
        }
    }

    /// The same, where the path's steps are at hand.
    #[inline]
    fn walk<'a>(
        &self,
        steps: &[Step],
        scene: &Scene<'a>,
        budget: &mut Budget,
    ) -> Result<Option<Front<'a>>, SearchTooLong> {
        budget.spend(steps.len())?;
        Ok(reach(steps, self.from(scene)))
    }

    /// As [`order`], of the one value that it means and a literal.
    fn order(
        &self,
        scene: &Scene<'_>,
        literal: &Literal,
        operator: Operator,
        budget: &mut Budget,
    ) -> Result<Option<Ordering>, SearchTooLong> {
        let Some(Front::Packed(bytes)) = self.only(scene, budget)? else {
            // Nothing, or a large container, of which there are no literals.
            return Ok(None);
        };
        match literal {
            Literal::Number(right) => Ok(match packed::number(bytes) {
                Some(left) => compare(left, *right),
                None => None,
            }),
            Literal::String(right) => match packed::text(bytes) {
                Some(left) => order_of_texts(left, right.as_bytes(), operator, budget),
                None => Ok(None),
            },
            Literal::Null | Literal::Bool(_) => {
                let left = RawView::of_front(bytes);
                order(left, literal.raw_view(), operator, budget)
            }
        }
    }

    /// How many values it means, counted up to `most`, and where the last of these begins.
    fn matches<'a>(
        &self,
        scene: &Scene<'a>,
        most: usize,
        budget: &mut Budget,
    ) -> Result<(usize, Option<Front<'a>>), SearchTooLong> {
        let segments = match &self.path.way {
            Way::Steps(steps) => {
                let found = self.walk(steps, scene, budget)?;
                return Ok((usize::from(found.is_some()), found));
            }
            Way::Segments(segments) => segments,
        };
        let (mut count, mut last) = (0, None);
        Search::values(
            segments,
            scene.root,
            self.from(scene).value(),
            budget,
            &mut |_, value| {
                count += 1;
                last = Some(Front::of(value));
                match count == most {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                }
            },
        )?;
        Ok((count, last))
    }
}

impl Operand {
    /// Its value, one level deep; none where there is none.
    fn look<'a>(
        &'a self,
        scene: &Scene<'a>,
        budget: &mut Budget,
    ) -> Result<Option<RawView<'a>>, SearchTooLong> {
        Ok(match self {
            Operand::Query(query) => query.only(scene, budget)?.map(Front::raw_view),
            Operand::Literal(literal) => Some(literal.raw_view()),
            Operand::Length(operand) => operand.length(scene, budget)?.map(whole),
            Operand::Count(query) => Some(whole(query.matches(scene, usize::MAX, budget)?.0)),
            Operand::Value(query) => match query.matches(scene, 2, budget)? {
                (1, Some(value)) => Some(value.raw_view()),
                _ => None,
            },
        })
    }

    /// The length of a text, an array or an object; other values have none.
    fn length(
        &self,
        scene: &Scene<'_>,
        budget: &mut Budget,
    ) -> Result<Option<usize>, SearchTooLong> {
        Ok(match self.look(scene, budget)? {
            Some(RawView::String(text)) => {
                budget.spend_on_text(text.len())?;
                Some(characters(text))
            }
            Some(RawView::Array(array)) => Some(array.len()),
            Some(RawView::Object(object)) => Some(object.len()),
            _ => None,
        })
    }
}

/// How many characters a text has: each has one byte that does not continue another.
fn characters(text: &[u8]) -> usize {
    text.iter().filter(|&&byte| byte & 0xC0 != 0x80).count()
}

impl Literal {
    #[inline]
    fn raw_view(&self) -> RawView<'_> {
        match self {
            Literal::Null => RawView::Null,
            Literal::Bool(value) => RawView::Bool(*value),
            Literal::Number(number) => RawView::Number(*number),
            Literal::String(text) => RawView::String(text.as_bytes()),
        }
    }
}

fn whole(number: usize) -> RawView<'static> {
    RawView::Number(Number::Int(number as i64))
}

impl Operator {
    /// Whether it holds of values in this order; none if they differ and have none.
    #[inline]
    fn accepts(self, order: Option<Ordering>) -> bool {
        match self {
            Operator::Equal => order == Some(Ordering::Equal),
            Operator::Different => order != Some(Ordering::Equal),
            Operator::Less => order == Some(Ordering::Less),
            Operator::Greater => order == Some(Ordering::Greater),
            Operator::AtMost => order.is_some_and(Ordering::is_le),
            Operator::AtLeast => order.is_some_and(Ordering::is_ge),
        }
    }

    /// The operator that says the same with its sides exchanged.
    fn mirrored(self) -> Operator {
        match self {
            Operator::Equal | Operator::Different => self,
            Operator::Less => Operator::Greater,
            Operator::Greater => Operator::Less,
            Operator::AtMost => Operator::AtLeast,
            Operator::AtLeast => Operator::AtMost,
        }
    }

    /// Whether it is all the same to it which of two different values is less.
    fn is_equality(self) -> bool {
        matches!(self, Operator::Equal | Operator::Different)
    }

    /// Whether it is all the same to it that two values are equal.
    fn is_strict(self) -> bool {
        matches!(self, Operator::Less | Operator::Greater)
    }
}

/// How two values compare, as far as `operator` asks: none if they differ and have no order.
fn order(
    left: RawView<'_>,
    right: RawView<'_>,
    operator: Operator,
    budget: &mut Budget,
) -> Result<Option<Ordering>, SearchTooLong> {
    let is_equal = match (left, right) {
        (RawView::Number(left), RawView::Number(right)) => return Ok(compare(left, right)),
        (RawView::String(left), RawView::String(right)) => {
            return order_of_texts(left, right, operator, budget);
        }
        (RawView::Null, RawView::Null) => true,
        (RawView::Bool(left), RawView::Bool(right)) => left == right,
        _ if operator.is_strict() => false,
        (RawView::Array(left), RawView::Array(right)) => {
            left.len() == right.len() && {
                let mut pairs = left.iter().zip(right.iter());
                all(
                    &mut pairs,
                    |(left, right), budget| equal(left, right, budget),
                    budget,
                )?
            }
        }
        (RawView::Object(left), RawView::Object(right)) => {
            left.len() == right.len() && {
                let has_same = |(name, left), budget: &mut Budget| match right.get(name) {
                    Some(right) => equal(left, right, budget),
                    None => Ok(false),
                };
                all(&mut left.iter(), has_same, budget)?
            }
        }
        _ => false,
    };
    Ok(is_equal.then_some(Ordering::Equal))
}

/// Whether `holds` of all items, looked at up to the first of which it does not.
fn all<T>(
    items: &mut dyn Iterator<Item = T>,
    holds: impl Fn(T, &mut Budget) -> Result<bool, SearchTooLong>,
    budget: &mut Budget,
) -> Result<bool, SearchTooLong> {
    for item in items {
        if !holds(item, budget)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether two values are the same.
fn equal(left: Value<'_>, right: Value<'_>, budget: &mut Budget) -> Result<bool, SearchTooLong> {
    budget.spend(1)?;
    let order = order(left.raw_view(), right.raw_view(), Operator::Equal, budget)?;
    Ok(order == Some(Ordering::Equal))
}

/// The order of two texts by code points, which is that of their bytes.
#[inline]
fn order_of_texts(
    left: &[u8],
    right: &[u8],
    operator: Operator,
    budget: &mut Budget,
) -> Result<Option<Ordering>, SearchTooLong> {
    if operator.is_equality() && left.len() != right.len() {
        return Ok(None);
    }
    budget.spend_on_text(left.len().min(right.len()))?;
    Ok(Some(left.cmp(right)))
}

/// The order of two numbers as numbers. None for what JSON cannot say.
#[inline(always)]
fn compare(left: Number, right: Number) -> Option<Ordering> {
    // All integers up to this are floats.
    const NEAR: u64 = 1 << 53;
    match (left, right) {
        (Number::Int(left), Number::Int(right)) => Some(left.cmp(&right)),
        (Number::Float(left), Number::Float(right)) => left.partial_cmp(&right),
        (Number::Float(left), Number::Int(right)) if right.unsigned_abs() <= NEAR => {
            left.partial_cmp(&(right as f64))
        }
        (Number::Int(left), Number::Float(right)) if left.unsigned_abs() <= NEAR => {
            (left as f64).partial_cmp(&right)
        }
        _ => compare_wide(left, right),
    }
}

/// As [`compare`], for numbers of any size.
#[cold]
fn compare_wide(left: Number, right: Number) -> Option<Ordering> {
    let integer = |number| match number {
        Number::Int(value) => Some(i128::from(value)),
        Number::Uint(value) => Some(i128::from(value)),
        Number::Float(_) => None,
    };
    match (left, right) {
        (Number::Float(left), Number::Float(right)) => left.partial_cmp(&right),
        (Number::Float(left), right) => compare_float(left, integer(right)?),
        (left, Number::Float(right)) => compare_float(right, integer(left)?).map(Ordering::reverse),
        (left, right) => Some(integer(left)?.cmp(&integer(right)?)),
    }
}

/// The order of a float and an integer of at most 64 bits, none of which is rounded.
fn compare_float(left: f64, right: i128) -> Option<Ordering> {
    // Beyond this, floats are integers and larger than any of 64 bits.
    const FAR: f64 = (1u128 << 100) as f64;
    if left.is_nan() {
        return None;
    }
    if left.abs() >= FAR {
        return left.partial_cmp(&0.0);
    }
    let whole = left.trunc();
    Some((whole as i128).cmp(&right).then(left.partial_cmp(&whole)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Document;

    #[test]
    fn numbers_compare_without_rounding() {
        use Number::{Float, Int, Uint};
        for (left, right, order) in [
            (Int(1), Float(1.0), Ordering::Equal),
            (
                Int(9007199254740993),
                Float(9007199254740992.0),
                Ordering::Greater,
            ),
            (
                Uint(u64::MAX),
                Float(18446744073709551616.0),
                Ordering::Less,
            ),
            (Int(-1), Float(-1.5), Ordering::Greater),
            (Int(0), Float(-0.0), Ordering::Equal),
            (Float(1e300), Uint(u64::MAX), Ordering::Greater),
            (Float(-1e300), Int(i64::MIN), Ordering::Less),
            (Int(-1), Uint(u64::MAX), Ordering::Less),
        ] {
            assert_eq!(compare(left, right), Some(order), "{left:?} {right:?}");
            assert_eq!(
                compare(right, left),
                Some(order.reverse()),
                "{right:?} {left:?}"
            );
        }
    }

    #[test]
    fn hostile_paths_end() {
        let deep = format!("{}1{}", "[".repeat(100), "]".repeat(100));
        let document = Document::parse(deep.as_bytes()).unwrap();
        let path = format!("$..*{}", "..*".repeat(50));
        let path = Path::parse(path.as_bytes()).unwrap();
        assert!(path.find(document.root()).is_err());

        let wide = format!("[{}]", vec!["1"; 3000].join(","));
        let document = Document::parse(wide.as_bytes()).unwrap();
        let path = Path::parse(b"$[?count($..*) != count($..[?@ > count($..*)])]").unwrap();
        assert!(path.find(document.root()).is_err());

        for open in ["(", "!(", "@[?", "length(", "@[?("] {
            let path = format!("$[?{}", open.repeat(100_000));
            assert!(Path::parse(path.as_bytes()).is_err());
        }
    }

    #[test]
    fn redisjson_s_operator_searches() {
        let document = Document::parse(br#"["ab","b","a\nb",1]"#).unwrap();
        for (path, count) in [
            (r#"$[?@ =~ "a"]"#, 2),
            (r#"$[?(@ =~ "^a.")]"#, 1),
            (r#"$[?@=~"(?i)A"]"#, 2),
            (r#"$[?@ =~ "("]"#, 0),
            (r#"$[?@ =~ $[1]]"#, 3),
        ] {
            let found = Path::parse(path.as_bytes())
                .unwrap()
                .find(document.root())
                .unwrap()
                .len();
            assert_eq!(found, count, "{path}");
        }
    }
}
