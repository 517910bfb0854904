//! JSON values that share structure.
//!
//! A clone is O(1) and writing one key of a shared object is O(log n), so a forked context costs what it changes
//! and not what it holds. Each container knows an upper bound of its nesting depth and of its size as JSON, so a
//! limit on either is checked without walking the value.

mod json;
mod object;

pub use object::{Object, ObjectIter};
pub use serde_json::Number;
use std::sync::Arc;

/// The deepest nesting a value may have; 128 is what `serde_json` reads, and records wrap a value a few levels deep.
pub const DEPTH_MAX: u16 = 112;

/// A JSON value.
#[derive(Clone, PartialEq, Default)]
pub enum Value {
    /// `null`
    #[default]
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number; integers up to 64 bits keep every digit.
    Number(Number),
    /// A string.
    String(Arc<str>),
    /// An array.
    Array(Array),
    /// An object; keys are kept in byte order.
    Object(Object),
}

/// A shared array.
#[derive(Clone)]
pub struct Array {
    items: Arc<Vec<Value>>,
    shape: Shape,
}

/// Upper bounds that containers carry along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    /// How deep containers nest, 1 for one that holds none.
    pub(crate) depth: u16,
    /// How many bytes the value takes as JSON.
    pub(crate) size: u64,
}

impl Shape {
    const EMPTY: Shape = Shape { depth: 1, size: 2 };

    fn with(self, child: &Value) -> Shape {
        let shape = child.shape();
        Shape {
            depth: self.depth.max(shape.depth.saturating_add(1)),
            size: self.size.saturating_add(shape.size + 1),
        }
    }
}

impl Array {
    /// Gives the elements in order.
    pub fn as_slice(&self) -> &[Value] {
        &self.items
    }

    /// Gives a copy with `value` at `index`; `index` may be the length, which appends.
    pub fn with(&self, index: usize, value: Value) -> Array {
        let mut items = Vec::clone(&self.items);
        let mut shape = self.shape.with(&value);
        if index < items.len() {
            shape.size = shape.size.saturating_sub(items[index].shape().size + 1);
            items[index] = value;
        } else {
            items.push(value);
        }
        Array { items: Arc::new(items), shape }
    }
}

impl FromIterator<Value> for Array {
    fn from_iter<I: IntoIterator<Item = Value>>(iter: I) -> Self {
        let mut shape = Shape::EMPTY;
        let items: Vec<Value> = iter.into_iter().inspect(|v| shape = shape.with(v)).collect();
        Array { items: Arc::new(items), shape }
    }
}

impl std::fmt::Debug for Array {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.as_slice()).finish()
    }
}

impl PartialEq for Array {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.items, &other.items) || self.items == other.items
    }
}

impl Value {
    /// Makes a string.
    pub fn string(text: impl Into<Arc<str>>) -> Value {
        Value::String(text.into())
    }

    /// Makes an array.
    pub fn array(items: impl IntoIterator<Item = Value>) -> Value {
        Value::Array(items.into_iter().collect())
    }

    /// Makes an object; the last of equal keys wins.
    pub fn object<K: Into<Arc<str>>>(entries: impl IntoIterator<Item = (K, Value)>) -> Value {
        Value::Object(entries.into_iter().map(|(k, v)| (k.into(), v)).collect())
    }

    /// Makes a number from a finite float; `None` for NaN and the infinities, which JSON has no form for.
    pub fn from_f64(number: f64) -> Option<Value> {
        Number::from_f64(number).map(Value::Number)
    }

    /// Gives the text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// Gives the object.
    pub fn as_object(&self) -> Option<&Object> {
        match self {
            Value::Object(object) => Some(object),
            _ => None,
        }
    }

    /// Gives the elements of an array.
    pub fn as_array(&self) -> Option<&[Value]> {
        match self {
            Value::Array(array) => Some(array.as_slice()),
            _ => None,
        }
    }

    /// Gives a member of an object.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.as_object()?.get(key)
    }

    /// Gives what an RFC 6901 pointer points at.
    pub fn pointer(&self, pointer: &str) -> Option<&Value> {
        if pointer.is_empty() {
            return Some(self);
        }
        pointer.strip_prefix('/')?.split('/').try_fold(self, |value, token| {
            let key = token.replace("~1", "/").replace("~0", "~");
            match value {
                Value::Object(object) => object.get(&key),
                Value::Array(array) => array.as_slice().get(key.parse::<usize>().ok()?),
                _ => None,
            }
        })
    }

    /// Gives the JSON name of the value's type.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        }
    }

    /// Gives an upper bound of the nesting depth: 0 for a scalar.
    pub fn depth(&self) -> u16 {
        self.shape().depth
    }

    /// Gives about how many bytes the value takes as JSON, shared parts counted as often as they stand there.
    pub fn size_bytes(&self) -> u64 {
        self.shape().size
    }

    fn shape(&self) -> Shape {
        match self {
            Value::Null | Value::Bool(_) => Shape { depth: 0, size: 4 },
            Value::Number(_) => Shape { depth: 0, size: 8 },
            Value::String(text) => Shape { depth: 0, size: text.len() as u64 + 2 },
            Value::Array(array) => array.shape,
            Value::Object(object) => object.shape(),
        }
    }
}

#[cfg(test)]
mod tests;
