//! Numbers that are reckoned with, booleans that turn, strings that grow, values that are cleared.

use crate::document::DocumentRef;
use crate::error::EditError;
use crate::packed;
use crate::path::Path;
use crate::value::{Number, Value, View};

use super::Change;
use super::verb::{self, Edit, Order, Verb};

/// What is done to numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    Add,
    Multiply,
}

impl Arithmetic {
    /// The result: an integer if both operands are integers of 64 bits with sign and it is one,
    /// else a float. None if that is not finite.
    pub fn apply(self, left: Number, right: Number) -> Option<Number> {
        if let (Number::Int(left), Number::Int(right)) = (left, right) {
            let exact = match self {
                Arithmetic::Add => left.checked_add(right),
                Arithmetic::Multiply => left.checked_mul(right),
            };
            if let Some(exact) = exact {
                return Some(Number::Int(exact));
            }
        }
        let (left, right) = (left.to_f64(), right.to_f64());
        let result = match self {
            Arithmetic::Add => left + right,
            Arithmetic::Multiply => left * right,
        };
        result.is_finite().then_some(Number::Float(result))
    }
}

impl DocumentRef<'_> {
    /// Reckons with every number that `path` means; answers the results.
    ///
    /// Without a number to reckon with the edit fails at the first number.
    pub fn reckon(
        self,
        path: &Path,
        operation: Arithmetic,
        operand: Option<Number>,
    ) -> Result<Edit<Number>, EditError> {
        verb::edit(self, path, &Reckon { operation, operand })
    }

    /// Turns every boolean that `path` means; answers what they are then.
    pub fn toggle(self, path: &Path) -> Result<Edit<bool>, EditError> {
        verb::edit(self, path, &Toggle)
    }

    /// Appends to every string that `path` means; answers their lengths in bytes.
    ///
    /// Without a text to append the edit fails at the first string.
    pub fn append_text(self, path: &Path, suffix: Option<&str>) -> Result<Edit<usize>, EditError> {
        verb::edit(self, path, &AppendText { suffix })
    }

    /// Empties every container and makes every number 0 that `path` means.
    pub fn clear(self, path: &Path) -> Result<Edit<()>, EditError> {
        verb::edit(self, path, &Clear)
    }
}

struct Reckon {
    operation: Arithmetic,
    operand: Option<Number>,
}

impl<'v> Verb<'v> for Reckon {
    type Answer = Number;

    const ORDER: Order = Order::Found;

    fn is_for(&self, value: Value<'_>) -> bool {
        matches!(value.view(), View::Number(_))
    }

    fn decide(&self, value: Option<Value<'_>>) -> Result<(Option<Change<'v>>, Number), EditError> {
        let Some(View::Number(number)) = value.map(Value::view) else {
            return Err(EditError::Gone);
        };
        let operand = self.operand.ok_or(EditError::BadOperand)?;
        let result = self.operation.apply(number, operand);
        let result = result.ok_or(EditError::NotFinite)?;
        let mut packed = Vec::new();
        packed::push_number(&mut packed, result);
        Ok((Some(Change::Put(packed)), result))
    }
}

struct Toggle;

impl<'v> Verb<'v> for Toggle {
    type Answer = bool;

    const ORDER: Order = Order::Found;

    fn is_for(&self, value: Value<'_>) -> bool {
        matches!(value.view(), View::Bool(_))
    }

    fn decide(&self, value: Option<Value<'_>>) -> Result<(Option<Change<'v>>, bool), EditError> {
        let Some(View::Bool(value)) = value.map(Value::view) else {
            return Err(EditError::Gone);
        };
        let mut packed = Vec::new();
        packed::push_bool(&mut packed, !value);
        Ok((Some(Change::Put(packed)), !value))
    }
}

struct AppendText<'t> {
    suffix: Option<&'t str>,
}

impl<'v> Verb<'v> for AppendText<'_> {
    type Answer = usize;

    const ORDER: Order = Order::Found;

    fn is_for(&self, value: Value<'_>) -> bool {
        matches!(value.view(), View::String(_))
    }

    fn decide(&self, value: Option<Value<'_>>) -> Result<(Option<Change<'v>>, usize), EditError> {
        let Some(View::String(text)) = value.map(Value::view) else {
            return Err(EditError::Gone);
        };
        let suffix = self.suffix.ok_or(EditError::BadOperand)?;
        let longer = [text, suffix].concat();
        let mut packed = Vec::with_capacity(longer.len() + 5);
        packed::push_string(&mut packed, longer.as_bytes())?;
        Ok((Some(Change::Put(packed)), longer.len()))
    }
}

struct Clear;

impl<'v> Verb<'v> for Clear {
    type Answer = ();

    const ORDER: Order = Order::Found;

    fn is_for(&self, value: Value<'_>) -> bool {
        match value.view() {
            View::Array(array) => !array.is_empty(),
            View::Object(object) => !object.is_empty(),
            View::Number(number) => number.to_f64() != 0.0,
            View::Null | View::Bool(_) | View::String(_) => false,
        }
    }

    fn decide(&self, value: Option<Value<'_>>) -> Result<(Option<Change<'v>>, ()), EditError> {
        let mut packed = Vec::new();
        match value.map(Value::view) {
            Some(View::Array(_)) => packed::push_empty(&mut packed, packed::Container::Array),
            Some(View::Object(_)) => packed::push_empty(&mut packed, packed::Container::Object),
            Some(View::Number(_)) => packed::push_number(&mut packed, Number::Int(0)),
            _ => return Err(EditError::Gone),
        }
        Ok((Some(Change::Put(packed)), ()))
    }
}
