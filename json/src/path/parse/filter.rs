//! Filters: what follows a question mark.
//!
//! ```text
//! or         = and { "||" and }
//! and        = basic { "&&" basic }
//! basic      = [ "!" ] ( "(" or ")" | test ) | comparable operator comparable
//! test       = query | match(…) | search(…)
//! comparable = literal | singular query | length(…) | count(…) | value(…)
//! ```

use super::super::filter::{Filter, Literal, Operand, Operator, Pattern, Query};
use super::{Parser, Path, Way};
use crate::error::PathError;
use crate::value::Number;

const FILTER_EXPECTED: &str = "single_filter";

/// How deep filters may stand in filters: each may search the document from its root.
const FILTERS_DEPTH_MAX: usize = 5;

/// How deep parentheses and functions may nest.
const NESTING_MAX: usize = 100;

/// What stands where a test or one side of a comparison may stand.
enum Term {
    Query(Query),
    /// A function's answer or a literal: to be compared.
    Operand(Operand),
    /// A function's answer: a test of its own.
    Test(Filter),
}

impl<'t> Parser<'t> {
    /// What follows the question mark, up to the closing bracket or comma.
    pub(super) fn filter(&mut self) -> Result<Filter, PathError> {
        if self.filters_open == FILTERS_DEPTH_MAX {
            return Err(self.error("fewer filters in filters"));
        }
        self.filters_open += 1;
        let filter = self.any_of(0)?;
        self.filters_open -= 1;
        Ok(filter)
    }

    fn any_of(&mut self, nesting: usize) -> Result<Filter, PathError> {
        if nesting > NESTING_MAX {
            return Err(self.error("fewer parentheses"));
        }
        let mut terms = vec![self.all_of(nesting)?];
        while self.operator("||") {
            terms.push(self.all_of(nesting)?);
        }
        Ok(match terms.len() {
            1 => terms.remove(0),
            _ => Filter::Any(terms),
        })
    }

    fn all_of(&mut self, nesting: usize) -> Result<Filter, PathError> {
        let mut terms = vec![self.basic(nesting)?];
        while self.operator("&&") {
            terms.push(self.basic(nesting)?);
        }
        Ok(match terms.len() {
            1 => terms.remove(0),
            _ => Filter::All(terms),
        })
    }

    fn basic(&mut self, nesting: usize) -> Result<Filter, PathError> {
        self.skip_blanks();
        let is_negated = self.take(b'!');
        self.skip_blanks();
        let filter = if self.take(b'(') {
            let inner = self.any_of(nesting + 1)?;
            self.skip_blanks();
            if !self.take(b')') {
                return Err(self.error("')'"));
            }
            inner
        } else {
            let from = self.at;
            match (self.term(nesting)?, self.comparison()) {
                (Term::Query(query), None) => Filter::Exists(query),
                (Term::Test(test), None) => test,
                (left, Some(operator)) if !is_negated => self.compared(left, operator, nesting)?,
                _ => {
                    self.at = from;
                    return Err(self.error(FILTER_EXPECTED));
                }
            }
        };
        Ok(match is_negated {
            true => Filter::Not(Box::new(filter)),
            false => filter,
        })
    }

    /// What follows a comparison's operator.
    fn compared(
        &mut self,
        left: Term,
        operator: Comparison,
        nesting: usize,
    ) -> Result<Filter, PathError> {
        let left = self.comparable(left)?;
        self.skip_blanks();
        let right = self.term(nesting)?;
        let right = self.comparable(right)?;
        Ok(match operator {
            Comparison::Order(operator) => Filter::compare(left, operator, right),
            Comparison::Regex => Filter::Match(left, Pattern::contained_like_redisjson(right)),
        })
    }

    fn comparable(&self, term: Term) -> Result<Operand, PathError> {
        match term {
            Term::Operand(operand) => Ok(operand),
            Term::Query(query) if query.path.is_singular() => Ok(Operand::Query(query)),
            Term::Query(_) | Term::Test(_) => Err(self.error(FILTER_EXPECTED)),
        }
    }

    fn term(&mut self, nesting: usize) -> Result<Term, PathError> {
        match self.peek() {
            Some(b'@' | b'$') => self.query().map(Term::Query),
            Some(quote @ (b'"' | b'\'')) => {
                self.at += 1;
                let text = self.string(quote)?;
                Ok(Term::Operand(Operand::Literal(Literal::String(text))))
            }
            Some(b'-' | b'0'..=b'9') => {
                let number = self.number()?;
                Ok(Term::Operand(Operand::Literal(Literal::Number(number))))
            }
            _ => self.word(nesting),
        }
    }

    fn query(&mut self) -> Result<Query, PathError> {
        let is_from_root = self.take(b'$');
        if !is_from_root {
            self.at += 1;
        }
        let mut way = Way::to_root();
        loop {
            let end = self.at;
            self.skip_blanks();
            if !matches!(self.peek(), Some(b'.' | b'[')) {
                self.at = end;
                break;
            }
            way.push(self.segment()?);
        }
        Ok(Query {
            is_from_root,
            path: Path {
                is_legacy: false,
                way,
            },
        })
    }

    fn number(&mut self) -> Result<Number, PathError> {
        let from = self.at;
        let rest = &self.text.as_bytes()[from..];
        let digits = |at: usize| rest[at..].iter().take_while(|b| b.is_ascii_digit()).count();
        let int_from = usize::from(rest[0] == b'-');
        let int_digits = digits(int_from);
        let mut end = int_from + int_digits;
        let is_canonical = int_digits == 1 || (int_digits > 1 && rest[int_from] != b'0');
        let mut is_well_formed = is_canonical;
        if rest.get(end) == Some(&b'.') {
            let fraction_digits = digits(end + 1);
            is_well_formed &= fraction_digits > 0;
            end += 1 + fraction_digits;
        }
        if matches!(rest.get(end), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(rest.get(end + 1), Some(b'+' | b'-')));
            let exponent_digits = digits(end + 1 + sign);
            is_well_formed &= exponent_digits > 0;
            end += 1 + sign + exponent_digits;
        }
        let text = &self.text[from..from + end];
        let float = text.parse::<f64>();
        let (Ok(float), true) = (float, is_well_formed) else {
            return Err(self.error(FILTER_EXPECTED));
        };
        self.at = from + end;
        Ok(match (text.parse::<i64>(), text.parse::<u64>()) {
            (Ok(value), _) => Number::Int(value),
            (_, Ok(value)) => Number::Uint(value),
            _ => Number::Float(float),
        })
    }

    /// A literal's or a function's name and what belongs to it.
    fn word(&mut self, nesting: usize) -> Result<Term, PathError> {
        let from = self.at;
        let rest = &self.text[from..];
        let is_in_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let end = rest.find(|c| !is_in_word(c)).unwrap_or(rest.len());
        self.at += end;
        let literal = |literal| Ok(Term::Operand(Operand::Literal(literal)));
        if self.take(b'(') {
            return match self.function(&rest[..end], nesting + 1)? {
                Some(term) => Ok(term),
                None => {
                    self.at = from;
                    Err(self.error("length(), count(), match(), search(), value()"))
                }
            };
        }
        match &rest[..end] {
            "true" => literal(Literal::Bool(true)),
            "false" => literal(Literal::Bool(false)),
            "null" => literal(Literal::Null),
            _ => {
                self.at = from;
                Err(self.error(FILTER_EXPECTED))
            }
        }
    }

    /// What follows a function's opening parenthesis. None if there is no such function.
    fn function(&mut self, name: &str, nesting: usize) -> Result<Option<Term>, PathError> {
        if nesting > NESTING_MAX {
            return Err(self.error("fewer parentheses"));
        }
        let term = match name {
            "length" => {
                let operand = self.value_argument(nesting)?;
                Term::Operand(Operand::Length(Box::new(operand)))
            }
            "count" => Term::Operand(Operand::Count(self.nodes_argument(nesting)?)),
            "value" => Term::Operand(Operand::Value(self.nodes_argument(nesting)?)),
            "match" | "search" => {
                let text = self.value_argument(nesting)?;
                self.skip_blanks();
                if !self.take(b',') {
                    return Err(self.error("','"));
                }
                let pattern = self.value_argument(nesting)?;
                Term::Test(Filter::Match(
                    text,
                    match name {
                        "match" => Pattern::whole(pattern),
                        _ => Pattern::contained(pattern),
                    },
                ))
            }
            _ => return Ok(None),
        };
        self.skip_blanks();
        if !self.take(b')') {
            return Err(self.error("')'"));
        }
        Ok(Some(term))
    }

    fn value_argument(&mut self, nesting: usize) -> Result<Operand, PathError> {
        self.skip_blanks();
        let term = self.term(nesting)?;
        self.comparable(term)
    }

    fn nodes_argument(&mut self, nesting: usize) -> Result<Query, PathError> {
        self.skip_blanks();
        match self.term(nesting)? {
            Term::Query(query) => Ok(query),
            Term::Operand(_) | Term::Test(_) => Err(self.error("a path")),
        }
    }

    /// Takes a comparison's operator with the blanks before it, if one follows.
    fn comparison(&mut self) -> Option<Comparison> {
        use Comparison::{Order, Regex};
        // Longer ones come before those they begin with.
        const ALL: &[(&str, Comparison)] = &[
            ("==", Order(Operator::Equal)),
            ("!=", Order(Operator::Different)),
            ("<=", Order(Operator::AtMost)),
            (">=", Order(Operator::AtLeast)),
            ("=~", Regex),
            ("<", Order(Operator::Less)),
            (">", Order(Operator::Greater)),
        ];
        let found = ALL.iter().find(|(text, _)| self.operator(text))?;
        Some(found.1)
    }

    /// Takes an operator with the blanks before it, if it follows.
    fn operator(&mut self, operator: &str) -> bool {
        let from = self.at;
        self.skip_blanks();
        let follows = self.text[self.at..].starts_with(operator);
        self.at = match follows {
            true => self.at + operator.len(),
            false => from,
        };
        follows
    }
}

#[derive(Clone, Copy)]
enum Comparison {
    Order(Operator),
    /// RedisJSON's `=~`.
    Regex,
}
