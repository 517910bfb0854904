//! Parameters of calls: taken by name, and refused with the name of what is wrong.

use adjutant_protocol::rpc::{RpcCode, RpcError};
use serde_json::{Map, Value};

/// The parameters of one call.
#[derive(Debug)]
pub(super) struct Params {
    method: &'static str,
    members: Map<String, Value>,
}

impl Params {
    /// Takes an object; null stands for an empty one.
    pub(super) fn of(method: &'static str, params: Value) -> Result<Self, RpcError> {
        match params {
            Value::Object(members) => Ok(Params { method, members }),
            Value::Null => Ok(Params { method, members: Map::new() }),
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                Err(invalid(method, "its parameters are an object"))
            }
        }
    }

    /// Takes what is there and not null.
    pub(super) fn value(&mut self, key: &str) -> Option<Value> {
        self.members.remove(key).filter(|value| !value.is_null())
    }

    /// Takes what must be there; null counts.
    pub(super) fn required(&mut self, key: &str) -> Result<Value, RpcError> {
        self.members.remove(key).ok_or_else(|| self.wrong(format!("`{key}` is missing")))
    }

    pub(super) fn text(&mut self, key: &str) -> Result<Option<String>, RpcError> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.wrong(format!("`{key}` is a text, not {other}"))),
        }
    }

    pub(super) fn required_text(&mut self, key: &str) -> Result<String, RpcError> {
        self.text(key)?.ok_or_else(|| self.wrong(format!("`{key}` is missing")))
    }

    pub(super) fn number(&mut self, key: &str) -> Result<Option<u64>, RpcError> {
        match self.value(key) {
            None => Ok(None),
            Some(value) => {
                let number = value.as_u64();
                number
                    .map(Some)
                    .ok_or_else(|| self.wrong(format!("`{key}` is a whole number from 0, not {value}")))
            }
        }
    }

    pub(super) fn list(&mut self, key: &str) -> Result<Option<Vec<Value>>, RpcError> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::Array(items)) => Ok(Some(items)),
            Some(other) => Err(self.wrong(format!("`{key}` is a list, not {other}"))),
        }
    }

    /// Gives everything that was not taken.
    pub(super) fn rest(self) -> Map<String, Value> {
        self.members
    }

    pub(super) fn wrong(&self, why: impl AsRef<str>) -> RpcError {
        invalid(self.method, why)
    }
}

/// Makes the error of a call whose parameters are wrong; it names the method.
pub(super) fn invalid(method: &str, why: impl AsRef<str>) -> RpcError {
    RpcError::new(RpcCode::InvalidParams, format!("{method}: {}", why.as_ref()))
}
