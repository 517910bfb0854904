//! What a payload says, whoever sent it.

use adjutant_model::Value;
use adjutant_model::hook::{HookCall, HookEvent, HookTool};
use std::sync::Arc;

/// The longest name of an event that is kept, in characters.
const NAME_CHARS_MAX: usize = 64;

/// A hook as it was posted.
#[derive(Debug, Clone, PartialEq)]
pub enum Posted {
    /// By an agent, as it came: the answer is the agent's own.
    Agent(HookCall),
    /// By somebody who says for which session.
    For {
        /// The session, as it was written.
        session_id: String,
        /// What happened.
        call: HookCall,
    },
}

/// Reads what was posted: an agent's own payload, which names its event in `hook_event_name`, or
/// `{session_id, event, payload}`.
///
/// # Errors
/// What is wrong with it, with the place of the mistake.
pub fn posted(mut body: Value) -> Result<Posted, String> {
    if let Some(call) = read(body.clone()) {
        return Ok(Posted::Agent(call));
    }
    let Value::Object(members) = &mut body else {
        return Err(format!("a hook is an object, not {}", body.type_name()));
    };
    if let Some((other, _)) =
        members.iter().find(|(key, _)| !["session_id", "event", "payload"].contains(&&***key))
    {
        let other: String = other.chars().take(NAME_CHARS_MAX).collect();
        return Err(format!(
            "unknown field `{other}`: a hook has `hook_event_name`, or `session_id`, `event` and `payload`"
        ));
    }
    let needed = |key| text(&body, key).ok_or_else(|| format!("`{key}` is a text that a hook needs"));
    let call = named(needed("event")?, body.get("payload").cloned().unwrap_or_default());
    Ok(Posted::For { session_id: needed("session_id")?.to_owned(), call })
}

/// Reads a payload that names its own event, as those of Claude Code and Codex do; nothing when it does not.
pub fn read(payload: Value) -> Option<HookCall> {
    let name = text(&payload, "hook_event_name")?.to_owned();
    Some(named(&name, payload))
}

/// Reads the payload of a named event.
pub fn named(name: &str, payload: Value) -> HookCall {
    let name: Arc<str> = name.chars().take(NAME_CHARS_MAX).collect::<String>().into();
    HookCall {
        event: HookEvent::parse(&name),
        name,
        agent_session: shared(&payload, "session_id"),
        subagent: subagent(&payload),
        tool: tool(&payload),
        payload,
    }
}

/// Gives a text member that says something.
pub(super) fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// Gives the first of some text members.
pub(super) fn first_text<'a>(value: &'a Value, keys: &[&str]) -> Option<&'a str> {
    keys.iter().find_map(|key| text(value, key))
}

fn shared(value: &Value, key: &str) -> Option<Arc<str>> {
    text(value, key).map(Into::into)
}

/// Gives the subagent that an event happened in: an agent's own thread has no `agent_id`, whatever type it is of.
fn subagent(payload: &Value) -> Option<Arc<str>> {
    let id = text(payload, "agent_id")?;
    Some(text(payload, "agent_type").unwrap_or(id).into())
}

fn tool(payload: &Value) -> Option<HookTool> {
    let name = first_text(payload, &["tool_name", "tool"])?;
    let input = ["tool_input", "input"].iter().find_map(|key| payload.get(key)).cloned().unwrap_or_default();
    let call_id = first_text(payload, &["tool_use_id", "call_id"]).map(Into::into);
    Some(HookTool { name: name.into(), call_id, input })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Value {
        Value::from(serde_json::from_str::<serde_json::Value>(text).unwrap())
    }

    #[test]
    fn a_payload_is_read_as_far_as_it_goes() {
        for (payload, name, known, tool, subagent) in [
            (r#"{"hook_event_name":"Stop"}"#, "Stop", true, None, None),
            (r#"{"hook_event_name":"stop","tool_name":7}"#, "stop", false, None, None),
            (
                r#"{"hook_event_name":"PreToolUse","tool_name":"Bash","tool_input":"ls","agent_id":"a1"}"#,
                "PreToolUse",
                true,
                Some("Bash"),
                Some("a1"),
            ),
            (
                r#"{"hook_event_name":"PreToolUse","agent_id":"a1","agent_type":"reviewer","session_id":[1]}"#,
                "PreToolUse",
                true,
                None,
                Some("reviewer"),
            ),
            (r#"{"hook_event_name":"Fresh","agent_type":"main"}"#, "Fresh", false, None, None),
        ] {
            let call = read(value(payload)).expect(payload);
            assert_eq!((&*call.name, call.event.is_some()), (name, known), "{payload}");
            assert_eq!(call.tool.map(|tool| tool.name).as_deref(), tool, "{payload}");
            assert_eq!(call.subagent.as_deref(), subagent, "{payload}");
        }
        for nameless in ["{}", "[]", "null", r#"{"hook_event_name":3}"#, r#"{"hook_event_name":""}"#] {
            assert_eq!(read(value(nameless)), None, "{nameless}");
        }
        let long = named(&"x".repeat(1000), Value::Null);
        assert_eq!(long.name.len(), NAME_CHARS_MAX);
    }
}
