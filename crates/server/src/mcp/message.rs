//! Messages of clients as they come: what is a message of JSON-RPC 2.0 as MCP has it, and what such a one is answered
//! that is none.

use serde_json::{Map, Value, json};

/// From here on not every integer is one that floating point tells apart.
const EXACT_BELOW: f64 = 9_007_199_254_740_992.0;

/// A message of a client.
#[derive(Debug, Clone, PartialEq)]
pub enum McpMessage {
    /// It is answered.
    Request {
        /// What its answer is known by: a text or an integer.
        id: Value,
        /// What is asked.
        method: String,
        /// What is said with it.
        params: Value,
    },
    /// It is not answered.
    Notification {
        /// What happened.
        method: String,
        /// What is said with it.
        params: Value,
    },
    /// The client answers something.
    Answer,
}

/// What is no message.
#[derive(Debug, Clone, PartialEq)]
pub struct BadMessage {
    code: i64,
    id: Value,
    why: String,
}

impl McpMessage {
    /// Reads a message.
    ///
    /// # Errors
    /// [`BadMessage`] for what is no JSON, no object, of no known version, or has an id that no answer can have.
    pub fn read(text: &[u8]) -> Result<Self, BadMessage> {
        let read: Value = serde_json::from_slice(text).map_err(|error| BadMessage {
            code: -32700,
            id: Value::Null,
            why: format!("it is no JSON: {error}"),
        })?;
        match read {
            Value::Object(message) => Self::of(message),
            Value::Array(_) => {
                Err(BadMessage::invalid(Value::Null, "a message is one object, and no batch is taken"))
            }
            _ => Err(BadMessage::invalid(Value::Null, "a message is an object")),
        }
    }

    fn of(mut message: Map<String, Value>) -> Result<Self, BadMessage> {
        let id = message.remove("id");
        let known = id.clone().filter(is_id).unwrap_or_default();
        let invalid = |why| Err(BadMessage::invalid(known.clone(), why));
        if message.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
            return invalid("`jsonrpc` is \"2.0\"");
        }
        let params = message.remove("params").unwrap_or_default();
        let method = match message.remove("method") {
            Some(Value::String(method)) => method,
            Some(_) => return invalid("`method` is a text"),
            None if message.contains_key("result") || message.contains_key("error") => {
                return Ok(McpMessage::Answer);
            }
            None => return invalid("it has no `method`"),
        };
        match id {
            Some(id) if is_id(&id) => Ok(McpMessage::Request { id, method, params }),
            Some(_) => invalid("`id` is a text or an integer of 64 bits"),
            None => Ok(McpMessage::Notification { method, params }),
        }
    }

    /// Gives what an answer is known by.
    pub(super) fn id(&self) -> Value {
        match self {
            McpMessage::Request { id, .. } => id.clone(),
            McpMessage::Notification { .. } | McpMessage::Answer => Value::Null,
        }
    }
}

impl BadMessage {
    /// Says that something is JSON and no message; `id` is null when it is not known.
    pub fn invalid(id: Value, why: impl Into<String>) -> Self {
        BadMessage { code: -32600, id, why: why.into() }
    }

    /// Gives what it is answered.
    pub fn answer(&self) -> Value {
        let message = format!("the message cannot be read: {}", self.why);
        json!({"jsonrpc": "2.0", "id": self.id, "error": {"code": self.code, "message": message}})
    }
}

fn is_id(id: &Value) -> bool {
    match id {
        Value::String(_) => true,
        // `1.0` is an integer, too.
        Value::Number(number) => {
            let float = number.as_f64().unwrap_or(f64::NAN);
            number.is_i64() || (number.is_f64() && float.fract() == 0.0 && float.abs() < EXACT_BELOW)
        }
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_or_answered_by_the_code_of_what_is_wrong() {
        for (text, expected) in [
            (r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#, "request 1"),
            (r#"{"jsonrpc":"2.0","id":"a","method":"ping"}"#, r#"request "a""#),
            (r#"{"jsonrpc":"2.0","id":1.0,"method":"ping"}"#, "request 1.0"),
            (
                r#"{"jsonrpc":"2.0","id":-9223372036854775808,"method":"ping"}"#,
                "request -9223372036854775808",
            ),
            (r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#, "notification"),
            (r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, "answer"),
            (r#"{"jsonrpc":"2.0","id":1,"error":{}}"#, "answer"),
            (r#"{"id":1,"method":"ping"}"#, "-32600 1"),
            (r#"{"jsonrpc":"1.0","id":"a","method":"ping"}"#, r#"-32600 "a""#),
            (r#"{"method":"ping"}"#, "-32600 null"),
            (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, "-32600 null"),
            (r#"{"jsonrpc":"2.0","id":8.5,"method":"ping"}"#, "-32600 null"),
            (r#"{"jsonrpc":"2.0","id":1180591620717411303424,"method":"ping"}"#, "-32600 null"),
            (r#"{"jsonrpc":"2.0","id":9223372036854775808,"method":"ping"}"#, "-32600 null"),
            (r#"{"jsonrpc":"2.0","id":true,"method":"ping"}"#, "-32600 null"),
            (r#"{"jsonrpc":"2.0","id":1,"method":5}"#, "-32600 1"),
            (r#"{"jsonrpc":"2.0","id":1}"#, "-32600 1"),
            (r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, "-32600 null"),
            ("[]", "-32600 null"),
            ("5", "-32600 null"),
            ("", "-32700 null"),
            ("{", "-32700 null"),
            ("{} {}", "-32700 null"),
        ] {
            let found = match McpMessage::read(text.as_bytes()) {
                Ok(McpMessage::Request { id, .. }) => format!("request {id}"),
                Ok(McpMessage::Notification { .. }) => "notification".to_owned(),
                Ok(McpMessage::Answer) => "answer".to_owned(),
                Err(bad) => {
                    let answer = bad.answer();
                    assert_eq!(answer["jsonrpc"], "2.0");
                    format!("{} {}", answer["error"]["code"], answer["id"])
                }
            };
            assert_eq!(found, expected, "{text}");
        }
        assert!(McpMessage::read(b"{\"jsonrpc\": \"\xff\"}").is_err(), "what is no UTF-8 is no JSON");
    }
}
