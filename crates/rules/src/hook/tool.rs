//! The tool call in a payload, as the gate judges it, and the subagents that it is about.

use super::read::{first_text, text};
use adjutant_model::Value;
use adjutant_model::hook::{HookCall, HookEvent, HookTool};
use adjutant_model::policy::ToolCall;

/// The tools that start a subagent.
const DELEGATING: [&str; 2] = ["Task", "Agent"];

/// The members that name a file.
const PATH_KEYS: [&str; 3] = ["file_path", "notebook_path", "filePath"];

/// How a patch of Codex names the files that it is about.
const PATCH_MARKS: [&str; 4] = ["*** Add File: ", "*** Update File: ", "*** Delete File: ", "*** Move to: "];

/// How a subagent ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubagentEnd {
    /// It did what it should.
    Well,
    /// It failed.
    Failed,
}

/// Gives a tool call as policies see it.
///
/// Names stay as they are, `mcp__server__tool` too. A file's path stands in `path` as well, whatever the tool calls it,
/// and so do the paths of a patch, whose text is a `patch` and no shell line.
pub fn tool_call(tool: &HookTool) -> ToolCall {
    let parameters = match &tool.input {
        input @ Value::Object(_) if &*tool.name == "apply_patch" => patch(input),
        input @ Value::Object(_) => with_path(input),
        Value::Null => Value::Null,
        other => Value::object([("input", other.clone())]),
    };
    ToolCall { tool: tool.name.to_string(), parameters }
}

/// Gives the name of the subagent that a tool call is about to start.
pub fn delegated(tool: &HookTool) -> Option<&str> {
    let name = first_text(&tool.input, &["subagent_type", "agent_type", "agent"]);
    name.filter(|_| DELEGATING.contains(&&*tool.name))
}

/// Gives the subagent whose end an event tells, and how it ended.
///
/// A tool call that starts a subagent tells only of a failure: that it has ended says nothing of a subagent that goes on
/// in the background.
pub fn subagent_end(call: &HookCall) -> Option<(&str, SubagentEnd)> {
    let named = || first_text(&call.payload, &["agent_type", "agent", "agent_name", "agent_id"]);
    match call.event? {
        HookEvent::SubagentStop => Some((named()?, SubagentEnd::Well)),
        HookEvent::SubagentStopFailure => Some((named()?, SubagentEnd::Failed)),
        HookEvent::StopFailure => Some((call.subagent.as_deref()?, SubagentEnd::Failed)),
        HookEvent::PostToolUseFailure => Some((delegated(call.tool.as_ref()?)?, SubagentEnd::Failed)),
        _ => None,
    }
}

fn with_path(input: &Value) -> Value {
    match first_text(input, &PATH_KEYS) {
        Some(path) if input.get("path").is_none() => with(input, "path", Value::from(path)),
        Some(_) | None => input.clone(),
    }
}

fn patch(input: &Value) -> Value {
    let text = first_text(input, &["command", "patch", "input"]).unwrap_or_default();
    let marked = |line: &'_ str| -> Option<Value> {
        PATCH_MARKS.iter().find_map(|mark| line.strip_prefix(mark)).map(|path| Value::from(path.trim()))
    };
    let paths = Value::array(text.lines().filter_map(marked));
    let others = input.as_object().into_iter().flat_map(|input| input.iter());
    let others =
        others.filter(|(key, _)| &***key != "command").map(|(key, value)| (key.clone(), value.clone()));
    let own = [("patch".into(), Value::from(text)), ("path".into(), paths)];
    Value::object(others.chain(own))
}

fn with(input: &Value, key: &str, value: Value) -> Value {
    let Value::Object(members) = input else { return input.clone() };
    let mut members = members.clone();
    members.insert(key.into(), value);
    Value::Object(members)
}

/// Gives a tool call in a few words, for a person who is asked.
pub(super) fn in_words(tool: &HookTool) -> String {
    let what =
        first_text(&tool.input, &["command", "file_path", "path", "url", "query", "description", "prompt"]);
    let what = what.or_else(|| text(&tool.input, "pattern")).unwrap_or_default();
    let shown: String = what.chars().take(200).collect();
    if shown.is_empty() { tool.name.to_string() } else { format!("{}: {shown}", tool.name) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hook::named;

    fn value(text: &str) -> Value {
        Value::from(serde_json::from_str::<serde_json::Value>(text).unwrap())
    }

    #[test]
    fn a_call_has_what_policies_look_for() {
        for (name, input, parameters) in [
            ("Bash", r#"{"command":"ls"}"#, r#"{"command":"ls"}"#),
            (
                "Write",
                r#"{"file_path":"/a","content":"x"}"#,
                r#"{"content":"x","file_path":"/a","path":"/a"}"#,
            ),
            ("NotebookEdit", r#"{"notebook_path":"b"}"#, r#"{"notebook_path":"b","path":"b"}"#),
            ("Grep", r#"{"path":"src","pattern":"x"}"#, r#"{"path":"src","pattern":"x"}"#),
            ("mcp__files__read", r#"{"a":1}"#, r#"{"a":1}"#),
            ("Odd", r#""text""#, r#"{"input":"text"}"#),
            ("Odd", "null", "null"),
            (
                "apply_patch",
                r#"{"command":"*** Begin Patch\n*** Add File: a/b\n+rm -rf /\n*** Update File: c\n*** Move to: d\n"}"#,
                r#"{"patch":"*** Begin Patch\n*** Add File: a/b\n+rm -rf /\n*** Update File: c\n*** Move to: d\n","path":["a/b","c","d"]}"#,
            ),
        ] {
            let tool = HookTool { name: name.into(), call_id: None, input: value(input) };
            let call = tool_call(&tool);
            assert_eq!((call.tool.as_str(), call.parameters.to_string()), (name, parameters.to_owned()));
        }
    }

    #[test]
    fn only_what_ends_a_subagent_tells_of_its_end() {
        use SubagentEnd::{Failed, Well};
        for (event, payload, expected) in [
            ("SubagentStop", r#"{"agent_type":"reviewer","agent_id":"a1"}"#, Some(("reviewer", Well))),
            ("SubagentStopFailure", r#"{"agent":"reviewer"}"#, Some(("reviewer", Failed))),
            ("StopFailure", r#"{"agent_type":"main"}"#, None),
            ("StopFailure", r#"{"agent_type":"reviewer","agent_id":"a1"}"#, Some(("reviewer", Failed))),
            (
                "PostToolUseFailure",
                r#"{"tool_name":"Agent","tool_input":{"subagent_type":"reviewer"}}"#,
                Some(("reviewer", Failed)),
            ),
            ("PostToolUseFailure", r#"{"tool_name":"Bash","tool_input":{"subagent_type":"x"}}"#, None),
            ("PostToolUse", r#"{"tool_name":"Task","tool_input":{"subagent_type":"reviewer"}}"#, None),
            ("SubagentStop", "{}", None),
            ("Fresh", r#"{"agent_type":"reviewer"}"#, None),
        ] {
            assert_eq!(subagent_end(&named(event, value(payload))), expected, "{event} {payload}");
        }
    }
}
