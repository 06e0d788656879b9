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

use super::Path;
use super::eval::{Budget, Search, walk};
use crate::error::SearchTooLong;
use crate::value::{Number, Value, View};

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
    pub(super) child: Value<'a>,
}

impl Filter {
    /// Whether the condition holds.
    pub(super) fn holds(
        &self,
        scene: Scene<'_>,
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
            Filter::Exists(query) => Ok(query.matches(scene, 1, budget)?.0 > 0),
            Filter::Compare(left, operator, right) => {
                // Looked at where they stand: a copy would wait for what was just stored.
                match (&left.view(scene, budget), &right.view(scene, budget)) {
                    (Ok(left), Ok(right)) => operator.holds(left, right, budget),
                    _ => Err(SearchTooLong),
                }
            }
            Filter::Match(text, pattern) => {
                let Some(View::String(text)) = text.view(scene, budget)? else {
                    return Ok(false);
                };
                budget.spend_on_text(text.len())?;
                let regex = match &pattern.source {
                    Source::Compiled(regex) => return Ok(is_match(regex.as_ref(), text)),
                    Source::Operand(source) => match source.view(scene, budget)? {
                        Some(View::String(source)) => {
                            budget.spend(VISITS_PER_REGEX)?;
                            compile(pattern.scope, source)
                        }
                        _ => None,
                    },
                };
                Ok(is_match(regex.as_ref(), text))
            }
        }
    }
}

fn is_match(regex: Option<&Regex>, text: &str) -> bool {
    regex.is_some_and(|regex| regex.is_match(text))
}

impl Query {
    /// Where the path starts.
    fn from<'a>(&self, scene: Scene<'a>) -> Value<'a> {
        match self.is_from_root {
            true => scene.root,
            false => scene.child,
        }
    }

    /// The value that it means if its path is singular.
    #[inline]
    fn only<'a>(
        &self,
        scene: Scene<'a>,
        budget: &mut Budget,
    ) -> Result<Option<Value<'a>>, SearchTooLong> {
        budget.spend(self.path.segments.len())?;
        Ok(walk(&self.path, self.from(scene), |_| ()))
    }

    /// How many values it means, counted up to `most`, and the last of these.
    fn matches<'a>(
        &self,
        scene: Scene<'a>,
        most: usize,
        budget: &mut Budget,
    ) -> Result<(usize, Option<Value<'a>>), SearchTooLong> {
        if self.path.is_singular() {
            let found = self.only(scene, budget)?;
            return Ok((usize::from(found.is_some()), found));
        }
        let (mut count, mut last) = (0, None);
        Search::run(
            &self.path,
            scene.root,
            self.from(scene),
            budget,
            &mut |_, value| {
                count += 1;
                last = Some(value);
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
    #[inline]
    fn view<'a>(
        &'a self,
        scene: Scene<'a>,
        budget: &mut Budget,
    ) -> Result<Option<View<'a>>, SearchTooLong> {
        Ok(match self {
            Operand::Query(query) => query.only(scene, budget)?.map(Value::view),
            Operand::Literal(literal) => Some(literal.view()),
            Operand::Length(operand) => operand.length(scene, budget)?.map(whole),
            Operand::Count(query) => Some(whole(query.matches(scene, usize::MAX, budget)?.0)),
            Operand::Value(query) => match query.matches(scene, 2, budget)? {
                (1, Some(value)) => Some(value.view()),
                _ => None,
            },
        })
    }

    /// The length of a text, an array or an object; other values have none.
    fn length(
        &self,
        scene: Scene<'_>,
        budget: &mut Budget,
    ) -> Result<Option<usize>, SearchTooLong> {
        Ok(match self.view(scene, budget)? {
            Some(View::String(text)) => {
                budget.spend_on_text(text.len())?;
                Some(text.chars().count())
            }
            Some(View::Array(array)) => Some(array.len()),
            Some(View::Object(object)) => Some(object.len()),
            _ => None,
        })
    }
}

impl Literal {
    fn view(&self) -> View<'_> {
        match self {
            Literal::Null => View::Null,
            Literal::Bool(value) => View::Bool(*value),
            Literal::Number(number) => View::Number(*number),
            Literal::String(text) => View::String(text),
        }
    }
}

fn whole(number: usize) -> View<'static> {
    View::Number(Number::Int(number as i64))
}

impl Operator {
    fn holds(
        self,
        left: &Option<View<'_>>,
        right: &Option<View<'_>>,
        budget: &mut Budget,
    ) -> Result<bool, SearchTooLong> {
        if let (Some(View::String(left)), Some(View::String(right))) = (left, right) {
            budget.spend_on_text(left.len().min(right.len()))?;
        }
        let mut is_equal = || match (left, right) {
            (&Some(left), &Some(right)) => equal(left, right, budget),
            (left, right) => Ok(left.is_none() && right.is_none()),
        };
        Ok(match self {
            Operator::Equal => is_equal()?,
            Operator::Different => !is_equal()?,
            Operator::Less => is_less(left, right),
            Operator::Greater => is_less(right, left),
            Operator::AtMost => is_less(left, right) || is_equal()?,
            Operator::AtLeast => is_less(right, left) || is_equal()?,
        })
    }
}

fn is_less(left: &Option<View<'_>>, right: &Option<View<'_>>) -> bool {
    match (left, right) {
        (&Some(View::Number(left)), &Some(View::Number(right))) => {
            compare(left, right) == Some(Ordering::Less)
        }
        (Some(View::String(left)), Some(View::String(right))) => left < right,
        _ => false,
    }
}

/// Whether two values are the same: numbers as numbers, members in any order.
fn equal(left: View<'_>, right: View<'_>, budget: &mut Budget) -> Result<bool, SearchTooLong> {
    budget.spend(1)?;
    Ok(match (left, right) {
        (View::Null, View::Null) => true,
        (View::Bool(left), View::Bool(right)) => left == right,
        (View::Number(left), View::Number(right)) => compare(left, right) == Some(Ordering::Equal),
        (View::String(left), View::String(right)) => left == right,
        (View::Array(left), View::Array(right)) => {
            if left.len() != right.len() {
                return Ok(false);
            }
            for (left, right) in left.iter().zip(right.iter()) {
                if !equal(left.view(), right.view(), budget)? {
                    return Ok(false);
                }
            }
            true
        }
        (View::Object(left), View::Object(right)) => {
            if left.len() != right.len() {
                return Ok(false);
            }
            for (name, left) in left.iter() {
                match right.get(name) {
                    Some(right) if equal(left.view(), right.view(), budget)? => {}
                    _ => return Ok(false),
                }
            }
            true
        }
        _ => false,
    })
}

/// The order of two numbers as numbers. None for what JSON cannot say.
fn compare(left: Number, right: Number) -> Option<Ordering> {
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
    // All integers up to this are floats.
    const NEAR: u128 = 1 << 53;
    // Beyond this, floats are integers and larger than any of 64 bits.
    const FAR: f64 = (1u128 << 100) as f64;
    if right.unsigned_abs() <= NEAR {
        return left.partial_cmp(&(right as i64 as f64));
    }
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
