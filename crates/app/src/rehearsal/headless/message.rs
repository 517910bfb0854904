//! What the host of a headless agent writes: a line of JSON each.

use serde_json::Value;

/// A line, read.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Message {
    /// A person's words.
    Prompt(String),
    /// Something that the agent shall do at once.
    Control {
        /// Names the answer.
        id: String,
        /// What it is.
        request: Control,
    },
    /// The answer to a request of the agent's own.
    Answer {
        /// The request's name.
        id: String,
        /// What the host says, or why it does not.
        answer: Result<Value, String>,
    },
    /// Something that needs no answer.
    Ignored,
    /// No message at all.
    Invalid(String),
}

/// A request of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Control {
    /// Say what there is.
    Initialize,
    /// Stop the turn.
    Interrupt,
    /// Ask in another way from now on.
    SetPermissionMode(String),
    /// Something that a rehearsal does not know.
    Unknown(String),
}

/// Reads a line.
pub(super) fn read(line: &str) -> Message {
    let message: Value = match serde_json::from_str(line) {
        Ok(message) => message,
        Err(error) => return Message::Invalid(format!("a line of input is no JSON: {error}")),
    };
    match message["type"].as_str() {
        Some("user") => prompt(&message["message"]["content"]),
        Some("control_request") => match message["request_id"].as_str() {
            Some(id) => Message::Control { id: id.to_owned(), request: control(&message["request"]) },
            None => Message::Invalid("a control request has no request_id".to_owned()),
        },
        Some("control_response") => answer(&message["response"]),
        Some("keep_alive" | "control_cancel_request" | "update_environment_variables") => Message::Ignored,
        _ => Message::Invalid(format!("a line of input has an unknown type: {}", message["type"])),
    }
}

fn prompt(content: &Value) -> Message {
    match content {
        Value::String(text) => Message::Prompt(text.clone()),
        Value::Array(blocks) => {
            let texts: Vec<&str> = blocks.iter().filter_map(|block| block["text"].as_str()).collect();
            Message::Prompt(texts.join("\n"))
        }
        _ => Message::Invalid("a user message has no content".to_owned()),
    }
}

fn control(request: &Value) -> Control {
    match request["subtype"].as_str().unwrap_or("") {
        "initialize" => Control::Initialize,
        "interrupt" => Control::Interrupt,
        "set_permission_mode" => {
            Control::SetPermissionMode(request["mode"].as_str().unwrap_or("default").to_owned())
        }
        unknown => Control::Unknown(unknown.to_owned()),
    }
}

fn answer(response: &Value) -> Message {
    let Some(id) = response["request_id"].as_str() else {
        return Message::Invalid("a control response has no request_id".to_owned());
    };
    let answer = match response["subtype"].as_str() {
        Some("success") => Ok(response["response"].clone()),
        _ => Err(response["error"].as_str().unwrap_or("the host gave no reason").to_owned()),
    };
    Message::Answer { id: id.to_owned(), answer }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lines_become_messages() {
        let control = |request| Message::Control { id: "r1".to_owned(), request };
        for (line, expected) in [
            (
                json!({"type": "user", "message": {"role": "user", "content": "hi"}}),
                Message::Prompt("hi".to_owned()),
            ),
            (
                json!({"type": "user", "message": {"content": [
                    {"type": "text", "text": "a"}, {"type": "image"}, {"type": "text", "text": "b"}]}}),
                Message::Prompt("a\nb".to_owned()),
            ),
            (
                json!({"type": "control_request", "request_id": "r1", "request": {"subtype": "interrupt"}}),
                control(Control::Interrupt),
            ),
            (
                json!({"type": "control_request", "request_id": "r1",
                    "request": {"subtype": "set_permission_mode", "mode": "plan"}}),
                control(Control::SetPermissionMode("plan".to_owned())),
            ),
            (
                json!({"type": "control_request", "request_id": "r1", "request": {"subtype": "dance"}}),
                control(Control::Unknown("dance".to_owned())),
            ),
            (
                json!({"type": "control_response", "response": {
                    "subtype": "success", "request_id": "q", "response": {"behavior": "allow"}}}),
                Message::Answer { id: "q".to_owned(), answer: Ok(json!({"behavior": "allow"})) },
            ),
            (
                json!({"type": "control_response", "response": {
                    "subtype": "error", "request_id": "q", "error": "no"}}),
                Message::Answer { id: "q".to_owned(), answer: Err("no".to_owned()) },
            ),
            (json!({"type": "keep_alive"}), Message::Ignored),
            (json!({"type": "user"}), Message::Invalid("a user message has no content".to_owned())),
            (
                json!({"type": "shout"}),
                Message::Invalid("a line of input has an unknown type: \"shout\"".to_owned()),
            ),
        ] {
            assert_eq!(read(&line.to_string()), expected, "{line}");
        }
        assert!(matches!(read("{"), Message::Invalid(_)));
    }
}
