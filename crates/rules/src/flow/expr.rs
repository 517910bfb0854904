//! Expressions: total functions of the context.

use super::path;
use adjutant_model::Value;
use adjutant_model::flow::{Arithmetic, Comparison, CtxPath, Expr};
use adjutant_model::run::FlowErrorCode;
use std::sync::Arc;

/// Why an expression has no value.
#[derive(Debug, Clone, PartialEq)]
pub struct EvalError {
    /// Its kind.
    pub code: FlowErrorCode,
    /// What went wrong, for people.
    pub message: String,
    /// The host function concerned.
    pub reference: Option<Arc<str>>,
}

impl EvalError {
    pub(super) fn path_not_found(path: &CtxPath) -> Self {
        Self::new(FlowErrorCode::PathNotFound, format!("path not found: {path}"))
    }

    pub(super) fn type_error(op: &str, message: impl AsRef<str>) -> Self {
        Self::new(FlowErrorCode::TypeError, format!("{op}: {}", message.as_ref()))
    }

    pub(super) fn new(code: FlowErrorCode, message: String) -> Self {
        Self { code, message, reference: None }
    }

    fn arith(op: &str, message: &str) -> Self {
        Self::new(FlowErrorCode::ArithError, format!("{op}: {message}"))
    }
}

/// Evaluates an expression on a context.
///
/// # Errors
/// [`EvalError`] with the code that flows see.
pub fn evaluate(expr: &Expr, ctx: &Value) -> Result<Value, EvalError> {
    match expr {
        Expr::Path(at) => path::read(ctx, at).cloned(),
        Expr::Lit(value) => Ok(value.clone()),
        Expr::Compare(op, sides) => {
            compare(*op, &evaluate(&sides[0], ctx)?, &evaluate(&sides[1], ctx)?).map(Value::Bool)
        }
        Expr::Not(arg) => Ok(Value::Bool(!truthy(&evaluate(arg, ctx)?))),
        Expr::And(args) => first_with(args, ctx, false).map(|found| Value::Bool(!found)),
        Expr::Or(args) => first_with(args, ctx, true).map(Value::Bool),
        Expr::Exists(arg) => match evaluate(arg, ctx) {
            Ok(value) => Ok(Value::Bool(value != Value::Null)),
            Err(error) if error.code == FlowErrorCode::PathNotFound => Ok(Value::Bool(false)),
            Err(error) => Err(error),
        },
        Expr::Arith(op, sides) => arithmetic(*op, &evaluate(&sides[0], ctx)?, &evaluate(&sides[1], ctx)?),
        Expr::Len(arg) => length(&evaluate(arg, ctx)?),
        Expr::In { needle, haystack } => {
            let needle = evaluate(needle, ctx)?;
            let haystack = evaluate(haystack, ctx)?;
            let items = haystack.as_array().ok_or_else(|| {
                EvalError::type_error(
                    "in",
                    format!("the haystack must be an array, not {}", haystack.type_name()),
                )
            })?;
            Ok(Value::Bool(items.iter().any(|item| equal(item, &needle))))
        }
        Expr::CallExtern { name, args } => {
            for arg in args {
                evaluate(arg, ctx)?;
            }
            Err(EvalError {
                code: FlowErrorCode::ExternError,
                message: format!("host function `{name}` is not registered"),
                reference: Some(name.clone()),
            })
        }
    }
}

/// Tells whether a value counts as true: all but `null` and `false`.
pub(super) fn truthy(value: &Value) -> bool {
    !matches!(value, Value::Null | Value::Bool(false))
}

/// Tells whether one of `args` is as truthy as `wanted`, and evaluates none behind the first that is.
fn first_with(args: &[Expr], ctx: &Value, wanted: bool) -> Result<bool, EvalError> {
    for arg in args {
        if truthy(&evaluate(arg, ctx)?) == wanted {
            return Ok(true);
        }
    }
    Ok(false)
}

fn compare(op: Comparison, left: &Value, right: &Value) -> Result<bool, EvalError> {
    let ordering = match op {
        Comparison::Eq => return Ok(equal(left, right)),
        Comparison::Ne => return Ok(!equal(left, right)),
        Comparison::Lt | Comparison::Lte | Comparison::Gt | Comparison::Gte => order(left, right)?,
    };
    Ok(match op {
        Comparison::Eq | Comparison::Ne => unreachable!("answered above"),
        Comparison::Lt => ordering.is_lt(),
        Comparison::Lte => ordering.is_le(),
        Comparison::Gt => ordering.is_gt(),
        Comparison::Gte => ordering.is_ge(),
    })
}

fn order(left: &Value, right: &Value) -> Result<std::cmp::Ordering, EvalError> {
    match (left, right) {
        (Value::Number(a), Value::Number(b)) => as_f64(a)
            .partial_cmp(&as_f64(b))
            .ok_or_else(|| EvalError::arith("cmp", "a number is not comparable")),
        (Value::String(a), Value::String(b)) => Ok(a.as_bytes().cmp(b.as_bytes())),
        _ => Err(EvalError::type_error(
            "cmp",
            format!(
                "two numbers or two strings are needed, not {} and {}",
                left.type_name(),
                right.type_name()
            ),
        )),
    }
}

/// Deep equality; numbers compare as f64, so 5 equals 5.0.
fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(a), Value::Number(b)) => as_f64(a) == as_f64(b),
        (Value::Array(a), Value::Array(b)) => {
            a.as_slice().len() == b.as_slice().len()
                && a.as_slice().iter().zip(b.as_slice()).all(|(a, b)| equal(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().zip(b.iter()).all(|((ka, a), (kb, b))| ka == kb && equal(a, b))
        }
        _ => left == right,
    }
}

fn arithmetic(op: Arithmetic, left: &Value, right: &Value) -> Result<Value, EvalError> {
    let name = match op {
        Arithmetic::Add => "add",
        Arithmetic::Sub => "sub",
        Arithmetic::Mul => "mul",
        Arithmetic::Div => "div",
        Arithmetic::Mod => "mod",
    };
    let number = |value: &Value| match value {
        Value::Number(n) => Ok(as_f64(n)),
        _ => Err(EvalError::type_error(name, format!("two numbers are needed, found {}", value.type_name()))),
    };
    let (a, b) = (number(left)?, number(right)?);
    if b == 0.0 && matches!(op, Arithmetic::Div | Arithmetic::Mod) {
        return Err(EvalError::arith(name, "division by zero"));
    }
    let result = match op {
        Arithmetic::Add => a + b,
        Arithmetic::Sub => a - b,
        Arithmetic::Mul => a * b,
        Arithmetic::Div => a / b,
        Arithmetic::Mod => a - (a / b).floor() * b,
    };
    Value::from_f64(result).ok_or_else(|| EvalError::arith(name, "the result is not a finite number"))
}

fn length(value: &Value) -> Result<Value, EvalError> {
    let count = match value {
        Value::Array(array) => array.as_slice().len(),
        Value::String(text) => text.chars().count(),
        Value::Object(object) => object.len(),
        Value::Null | Value::Bool(_) | Value::Number(_) => {
            let message = format!("an array, a string or an object is needed, not {}", value.type_name());
            return Err(EvalError::type_error("expr.len", message));
        }
    };
    Ok(Value::from(count as u64))
}

fn as_f64(number: &adjutant_model::value::Number) -> f64 {
    number.as_f64().expect("without arbitrary precision every JSON number is a float, an i64 or a u64")
}
