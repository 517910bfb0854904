//! Context paths: their text, reading through them and writing through them.
//!
//! `$` or `ctx`, then `.key`, `["any key"]` or `[index]`, chained. A read of what is not there is an error of
//! its own kind, because `exists` turns it into `false`; a write makes the objects on its way.

use super::expr::EvalError;
use adjutant_model::Value;
use adjutant_model::flow::{CtxPath, Segment};
use adjutant_model::value::{Array, Object};
use std::fmt;

/// A text that is not a context path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidCtxPath {
    text: String,
    why: &'static str,
}

impl fmt::Display for InvalidCtxPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not a context path: {}", self.text, self.why)
    }
}

impl std::error::Error for InvalidCtxPath {}

/// Reads a path such as `$.plan.steps[0]["file.name"]`.
///
/// # Errors
/// [`InvalidCtxPath`] says what is wrong with the text.
pub fn parse(text: &str) -> Result<CtxPath, InvalidCtxPath> {
    let invalid = |why| InvalidCtxPath { text: text.chars().take(120).collect(), why };
    let mut rest = text
        .strip_prefix('$')
        .or_else(|| text.strip_prefix("ctx"))
        .ok_or(invalid("it must begin with `$` or `ctx`"))?;
    let mut segments = Vec::new();
    while !rest.is_empty() {
        rest = if let Some(bracket) = rest.strip_prefix(".[").or_else(|| rest.strip_prefix('[')) {
            let (segment, after) = bracket_segment(bracket).map_err(invalid)?;
            segments.push(segment);
            after
        } else if let Some(dotted) = rest.strip_prefix('.') {
            let end = dotted.find(['.', '[', ']', '"']).unwrap_or(dotted.len());
            let (key, after) = dotted.split_at(end);
            if key.is_empty() {
                return Err(invalid("a segment is empty"));
            }
            segments.push(Segment::Key(key.into()));
            after
        } else {
            return Err(invalid("`.`, `[` or the end must follow"));
        };
    }
    Ok(CtxPath { text: text.into(), segments: segments.into() })
}

fn bracket_segment(text: &str) -> Result<(Segment, &str), &'static str> {
    if let Some(quoted) = text.strip_prefix('"') {
        let (key, after) = quoted.split_once('"').ok_or("a quote is not closed")?;
        let after = after.strip_prefix(']').ok_or("`]` must follow the quoted key")?;
        if key.is_empty() {
            return Err("a segment is empty");
        }
        return Ok((Segment::Key(key.into()), after));
    }
    let (digits, after) = text.split_once(']').ok_or("a bracket is not closed")?;
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err("brackets hold a quoted key or an index");
    }
    let index = digits.parse().map_err(|_| "the index is too large")?;
    Ok((Segment::Index(index), after))
}

/// Reads what the path leads to.
pub(super) fn read<'v>(ctx: &'v Value, path: &CtxPath) -> Result<&'v Value, EvalError> {
    path.segments
        .iter()
        .try_fold(ctx, |value, segment| match (segment, value) {
            (Segment::Key(key), Value::Object(object)) => object.get(key),
            (Segment::Index(index), Value::Array(array)) => array.as_slice().get(*index),
            _ => None,
        })
        .ok_or_else(|| EvalError::path_not_found(path))
}

/// Writes `value` where the path leads; missing and null objects on the way are made.
///
/// An index must be within its array or just behind its end, which appends. On an error `ctx` is as it was.
pub(super) fn write(ctx: &mut Value, path: &CtxPath, value: Value) -> Result<(), EvalError> {
    *ctx = written(ctx, path, &path.segments, value)?;
    Ok(())
}

fn written(old: &Value, path: &CtxPath, segments: &[Segment], value: Value) -> Result<Value, EvalError> {
    let Some((segment, rest)) = segments.split_first() else { return Ok(value) };
    match (segment, old) {
        (Segment::Key(key), Value::Object(object)) => {
            let child = written(object.get(key).unwrap_or(&Value::Null), path, rest, value)?;
            let mut object = object.clone();
            object.insert(key.clone(), child);
            Ok(Value::Object(object))
        }
        (Segment::Key(key), Value::Null) => {
            let mut object = Object::default();
            object.insert(key.clone(), written(&Value::Null, path, rest, value)?);
            Ok(Value::Object(object))
        }
        (Segment::Index(index), Value::Array(array)) if *index <= array.as_slice().len() => {
            let child = written(array.as_slice().get(*index).unwrap_or(&Value::Null), path, rest, value)?;
            Ok(Value::Array(array.with(*index, child)))
        }
        (Segment::Index(0), Value::Null) => {
            let child = written(&Value::Null, path, rest, value)?;
            Ok(Value::Array(Array::from_iter([child])))
        }
        (Segment::Key(key), _) => Err(EvalError::type_error(
            "path.write",
            format!("cannot write `{path}`: the value that should hold `{key}` is {}", article(old)),
        )),
        (Segment::Index(index), _) => Err(EvalError::type_error(
            "path.write",
            format!("cannot write `{path}`: [{index}] is not in or just behind the end of {}", article(old)),
        )),
    }
}

fn article(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Array(array) => format!("an array of {}", array.as_slice().len()),
        Value::Object(_) => "an object".to_owned(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => format!("a {}", value.type_name()),
    }
}
