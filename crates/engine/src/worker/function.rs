//! Functions: small pure steps that are built in, done inline and without a process.
//!
//! A function takes the step's input and gives a value or a failure that says what it wants; it refuses what it
//! does not understand and guesses nothing.

use adjutant_model::Value;
use adjutant_model::run::{ErrorClass, StepFailure, StepOutcome};
use adjutant_model::value::Object;

/// A built-in function.
#[derive(Debug)]
pub struct Function {
    /// What `spec.fn_id` calls it by.
    pub name: &'static str,
    /// What it takes and gives, in one line.
    pub doc: &'static str,
    call: fn(&Value) -> Result<Value, StepFailure>,
}

/// All functions, by name.
pub const FUNCTIONS: [Function; 8] = [
    Function {
        name: "assert",
        doc: "{that: boolean, message?} → true; fails with the message when `that` is false",
        call: assert,
    },
    Function {
        name: "count",
        doc: "{of: array, equals?} → how many elements there are, or how many equal `equals`",
        call: count,
    },
    Function {
        name: "fail",
        doc: "{message, value?} → always fails with the message and the value",
        call: fail,
    },
    Function {
        name: "flatten",
        doc: "array of arrays → one array, one level down; other elements stay",
        call: flatten,
    },
    Function {
        name: "format",
        doc: "{template: \"text {a.b}\", values} → text; {{ and }} stand for braces",
        call: format_text,
    },
    Function { name: "identity", doc: "anything → the same", call: identity },
    Function {
        name: "merge",
        doc: "array of objects → one object; the last of equal keys wins",
        call: merge,
    },
    Function {
        name: "pluck",
        doc: "{from: array, at: pointer} → what the RFC 6901 pointer finds in each element",
        call: pluck,
    },
];

/// Gives the function with this name.
pub fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|function| function.name == name)
}

/// Gives the names of all functions.
pub fn names() -> impl Iterator<Item = &'static str> {
    FUNCTIONS.iter().map(|function| function.name)
}

/// Calls the function with this name.
///
/// A wrong input, and a name that no function has, end in a failure of class `user`.
pub fn call(name: &str, input: &Value) -> StepOutcome {
    let result = match find(name) {
        Some(function) => (function.call)(input),
        None => Err(user(format!(
            "there is no function `{name}`; known: {}",
            names().collect::<Vec<_>>().join(", ")
        ))),
    };
    match result {
        Ok(value) => StepOutcome::Done(value),
        Err(failure) => StepOutcome::Failed(failure),
    }
}

fn identity(input: &Value) -> Result<Value, StepFailure> {
    Ok(input.clone())
}

fn merge(input: &Value) -> Result<Value, StepFailure> {
    let items = input.as_array().ok_or_else(|| wants("merge", "an array of objects", input))?;
    let mut merged = Object::default();
    for (index, item) in items.iter().enumerate() {
        let object = item.as_object().ok_or_else(|| wants(&at("merge", index), "an object", item))?;
        for (key, value) in object.iter() {
            merged.insert(key.clone(), value.clone());
        }
    }
    Ok(Value::Object(merged))
}

fn pluck(input: &Value) -> Result<Value, StepFailure> {
    let members = Members::of("pluck", input, &["from", "at"])?;
    let items = members.array("from")?;
    let pointer = members.text("at")?;
    if !(pointer.is_empty() || pointer.starts_with('/')) {
        return Err(user(format!(
            "pluck: `at` must be an RFC 6901 pointer such as `/name`, found `{}`",
            clip(pointer)
        )));
    }
    let found = items.iter().enumerate().map(|(index, item)| {
        let value = item.pointer(pointer).cloned();
        value.ok_or_else(|| user(format!("{}: there is nothing at `{}`", at("pluck", index), clip(pointer))))
    });
    found.collect::<Result<Vec<_>, _>>().map(Value::array)
}

fn flatten(input: &Value) -> Result<Value, StepFailure> {
    let items = input.as_array().ok_or_else(|| wants("flatten", "an array", input))?;
    Ok(Value::array(
        items.iter().flat_map(|item| item.as_array().unwrap_or(std::slice::from_ref(item))).cloned(),
    ))
}

fn count(input: &Value) -> Result<Value, StepFailure> {
    let members = Members::of("count", input, &["of", "equals"])?;
    let items = members.array("of")?;
    let counted = match members.object.get("equals") {
        Some(wanted) => items.iter().filter(|item| same(item, wanted)).count(),
        None => items.len(),
    };
    Ok(Value::from(counted as u64))
}

/// Equality as flows have it: numbers by value, so that 1 and 1.0 are one.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            let (a, b) = (a.as_slice(), b.as_slice());
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().zip(b.iter()).all(|((ka, a), (kb, b))| ka == kb && same(a, b))
        }
        _ => a == b,
    }
}

fn fail(input: &Value) -> Result<Value, StepFailure> {
    let members = Members::of("fail", input, &["message", "value"])?;
    let mut failure = user(members.text("message")?);
    failure.value = members.object.get("value").cloned();
    Err(failure)
}

fn assert(input: &Value) -> Result<Value, StepFailure> {
    let members = Members::of("assert", input, &["that", "message"])?;
    let message = match members.object.get("message") {
        Some(_) => members.text("message")?,
        None => "assertion failed",
    };
    match members.required("that")? {
        Value::Bool(true) => Ok(Value::Bool(true)),
        Value::Bool(false) => Err(user(message)),
        other => Err(wants("assert: `that`", "true or false", other)),
    }
}

fn format_text(input: &Value) -> Result<Value, StepFailure> {
    let members = Members::of("format", input, &["template", "values"])?;
    let values = members.required("values")?;
    let mut rest = members.text("template")?;
    let mut text = String::with_capacity(rest.len());
    while let Some(brace) = rest.find(['{', '}']) {
        text.push_str(&rest[..brace]);
        let tail = &rest[brace..];
        if tail.starts_with("{{") || tail.starts_with("}}") {
            text.push_str(&tail[..1]);
            rest = &tail[2..];
            continue;
        }
        let path = tail.strip_prefix('{').and_then(|tail| tail.split_once('}'));
        let (path, after) = path.ok_or_else(|| {
            user(format!("format: a brace stands alone at `{}`; write it twice", clip(tail)))
        })?;
        push_plain(&mut text, lookup(values, path)?);
        rest = after;
    }
    text.push_str(rest);
    Ok(Value::string(text))
}

fn lookup<'a>(values: &'a Value, path: &str) -> Result<&'a Value, StepFailure> {
    let found = path.split('.').try_fold(values, |value, token| match value {
        Value::Object(object) => object.get(token),
        Value::Array(array) => array.as_slice().get(token.parse::<usize>().ok()?),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    });
    found.ok_or_else(|| user(format!("format: there is nothing at `{{{}}}` in `values`", clip(path))))
}

/// Appends a string as it is and any other value as JSON.
fn push_plain(text: &mut String, value: &Value) {
    match value {
        Value::String(plain) => text.push_str(plain),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            text.push_str(&value.to_string());
        }
    }
}

/// The members of an input that must be an object with known keys.
struct Members<'a> {
    function: &'static str,
    object: &'a Object,
}

impl<'a> Members<'a> {
    fn of(function: &'static str, input: &'a Value, known: &[&str]) -> Result<Self, StepFailure> {
        let form = format!("an object with {}", known.join(", "));
        let object = input.as_object().ok_or_else(|| wants(function, &form, input))?;
        match object.iter().find(|(key, _)| !known.contains(&&***key)) {
            Some((key, _)) => {
                Err(user(format!("{function}: wants {form}, found the unknown key `{}`", clip(key))))
            }
            None => Ok(Self { function, object }),
        }
    }

    fn required(&self, key: &str) -> Result<&'a Value, StepFailure> {
        self.object.get(key).ok_or_else(|| user(format!("{}: `{key}` is missing", self.function)))
    }

    fn array(&self, key: &str) -> Result<&'a [Value], StepFailure> {
        let value = self.required(key)?;
        value.as_array().ok_or_else(|| wants(&format!("{}: `{key}`", self.function), "an array", value))
    }

    fn text(&self, key: &str) -> Result<&'a str, StepFailure> {
        let value = self.required(key)?;
        value.as_str().ok_or_else(|| wants(&format!("{}: `{key}`", self.function), "a string", value))
    }
}

fn at(function: &str, index: usize) -> String {
    format!("{function}: element {index}")
}

fn wants(place: &str, wanted: &str, found: &Value) -> StepFailure {
    user(format!("{place}: wants {wanted}, found {} `{}`", found.type_name(), clip(&found.to_string())))
}

fn clip(text: &str) -> String {
    text.chars().take(40).collect()
}

fn user(message: impl Into<String>) -> StepFailure {
    StepFailure { message: message.into(), class: ErrorClass::User, value: None }
}

#[cfg(test)]
mod tests;
