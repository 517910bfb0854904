//! Frames of JSON-RPC 2.0: what a text is, and the one form of every answer. Pure.

use adjutant_protocol::rpc::{RpcCode, RpcError};
use serde_json::{Value, json};

/// How many members a batch may have.
const BATCH_MAX: usize = 256;
/// Parameters nest at most so deep: an answer that has them inside can still be read.
const NESTING_MAX: usize = adjutant_model::value::DEPTH_MAX as usize;

/// What a frame is.
#[derive(Debug, PartialEq)]
pub(super) enum Frame {
    /// One message.
    One(Message),
    /// Several, answered together.
    Batch(Vec<Message>),
}

/// One message.
#[derive(Debug, PartialEq)]
pub(super) enum Message {
    /// A call; without an id it is not answered.
    Call { id: Option<Value>, method: String, params: Value },
    /// The client's answer to a call of ours.
    Reply { id: String, result: Result<Value, String> },
    /// Something else, and what to answer.
    Wrong { id: Value, error: RpcError },
}

/// Reads a frame.
pub(super) fn read(text: &str) -> Frame {
    match serde_json::from_str::<Value>(text) {
        Err(error) => {
            Frame::One(wrong(Value::Null, RpcCode::ParseError, format!("the frame is not JSON: {error}")))
        }
        Ok(Value::Array(members)) if members.is_empty() => {
            Frame::One(wrong(Value::Null, RpcCode::InvalidRequest, "a batch has at least one member"))
        }
        Ok(Value::Array(members)) if members.len() > BATCH_MAX => {
            let error = format!("a batch has at most {BATCH_MAX} members");
            Frame::One(wrong(Value::Null, RpcCode::InvalidRequest, error))
        }
        Ok(Value::Array(members)) => Frame::Batch(members.into_iter().map(message).collect()),
        Ok(one) => Frame::One(message(one)),
    }
}

fn message(value: Value) -> Message {
    let Value::Object(mut object) = value else {
        return wrong(Value::Null, RpcCode::InvalidRequest, "a message is an object");
    };
    let id = object.remove("id");
    if object.get("jsonrpc").is_some_and(|version| version != "2.0") {
        return wrong(id.unwrap_or_default(), RpcCode::InvalidRequest, "`jsonrpc` is \"2.0\"");
    }
    match object.remove("method") {
        Some(Value::String(method)) => {
            let params = object.remove("params").unwrap_or_default();
            if nests_deeper(&params, NESTING_MAX) {
                let error = format!("`params` nest at most {NESTING_MAX} deep");
                return wrong(id.unwrap_or_default(), RpcCode::InvalidRequest, error);
            }
            Message::Call { id, method, params }
        }
        Some(_) => wrong(id.unwrap_or_default(), RpcCode::InvalidRequest, "`method` is a text"),
        None => reply(id, object),
    }
}

/// A message without a method answers a call of ours; null is a result like any other.
fn reply(id: Option<Value>, mut object: serde_json::Map<String, Value>) -> Message {
    let error = object.remove("error").filter(|error| !error.is_null());
    let result = match (error, object.remove("result")) {
        (Some(error), _) => {
            let message = error.get("message").and_then(Value::as_str).unwrap_or("unknown error");
            Err(message.to_owned())
        }
        (None, Some(result)) => Ok(result),
        (None, None) => {
            let error = "a message has a `method`, a `result` or an `error`";
            return wrong(id.unwrap_or_default(), RpcCode::InvalidRequest, error);
        }
    };
    match id {
        Some(Value::String(id)) => Message::Reply { id, result },
        other => {
            wrong(other.unwrap_or_default(), RpcCode::InvalidRequest, "a reply carries the id of our call")
        }
    }
}

fn nests_deeper(value: &Value, max: usize) -> bool {
    let inside = |inner: &Value| nests_deeper(inner, max - 1);
    match value {
        Value::Array(items) => max == 0 || items.iter().any(inside),
        Value::Object(members) => max == 0 || members.values().any(inside),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn wrong(id: Value, code: RpcCode, message: impl Into<String>) -> Message {
    Message::Wrong { id, error: RpcError::new(code, message) }
}

/// Gives the answer to a call.
pub(super) fn answer(id: &Value, result: Result<Value, RpcError>) -> Value {
    match result {
        Ok(result) => json!({"jsonrpc": "2.0", "result": result, "id": id}),
        Err(error) => json!({"jsonrpc": "2.0", "error": error, "id": id}),
    }
}

/// Gives a message that is not answered.
pub(super) fn notification(method: &str, params: Value) -> String {
    json!({"jsonrpc": "2.0", "method": method, "params": params}).to_string()
}

/// Gives a call of ours.
pub(super) fn call(id: &str, method: &str, params: Value) -> String {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code_of(text: &str) -> i64 {
        match read(text) {
            Frame::One(Message::Wrong { error, .. }) => error.code,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn what_is_no_message_says_which_kind_of_wrong_it_is() {
        for (text, code) in [
            ("{", -32700),
            ("", -32700),
            ("[]", -32600),
            ("1", -32600),
            (r#"{"id": 1}"#, -32600),
            (r#"{"id": 1, "method": 7}"#, -32600),
            (r#"{"jsonrpc": "1.0", "id": 1, "method": "x"}"#, -32600),
            (r#"{"id": 1, "result": 2}"#, -32600),
        ] {
            assert_eq!(code_of(text), code, "{text}");
        }
    }

    #[test]
    fn ids_are_of_any_kind_and_an_absent_one_is_not_null() {
        for (text, id) in [
            (r#"{"method": "m"}"#, None),
            (r#"{"method": "m", "id": null}"#, Some(Value::Null)),
            (r#"{"method": "m", "id": 1.5}"#, Some(json!(1.5))),
            (r#"{"method": "m", "id": {"a": [1]}}"#, Some(json!({"a": [1]}))),
        ] {
            let expected = Message::Call { id, method: "m".to_owned(), params: Value::Null };
            assert_eq!(read(text), Frame::One(expected), "{text}");
        }
    }

    #[test]
    fn a_null_result_answers_and_an_error_gives_its_message() {
        for (text, result) in [
            (r#"{"id": "cb-1", "result": null}"#, Ok(Value::Null)),
            (r#"{"id": "cb-1", "result": 1, "error": null}"#, Ok(json!(1))),
            (r#"{"id": "cb-1", "error": {"message": "no"}}"#, Err("no".to_owned())),
            (r#"{"id": "cb-1", "error": {}}"#, Err("unknown error".to_owned())),
        ] {
            assert_eq!(read(text), Frame::One(Message::Reply { id: "cb-1".to_owned(), result }), "{text}");
        }
    }

    #[test]
    fn the_members_of_a_batch_are_read_each_on_its_own() {
        let Frame::Batch(members) = read(r#"[{"method": "m", "id": 1}, 7, {"method": "n"}]"#) else {
            panic!("it is a batch")
        };
        assert!(matches!(
            members.as_slice(),
            [Message::Call { id: Some(_), .. }, Message::Wrong { .. }, Message::Call { id: None, .. }]
        ));
        let many = format!("[{}]", vec!["1"; BATCH_MAX + 1].join(","));
        assert_eq!(code_of(&many), -32600);
    }
}
