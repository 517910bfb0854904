//! What an agent is answered, in its own format.
//!
//! Claude Code and Codex take the same shape. Codex takes no `allow` for `PreToolUse`: there a tool that may be used is
//! one that nothing is said about.

use adjutant_model::hook::{HookEvent, HookVerdict};
use adjutant_model::profile::OnUnreachable;
use serde_json::{Value, json};

/// Gives what the agent reads; nothing when there is nothing that it could be told.
pub fn agent_answer(event: HookEvent, verdict: &HookVerdict, vendor: Vendor) -> Option<Value> {
    let mut output = match (event, verdict) {
        (HookEvent::PreToolUse, HookVerdict::Allow { .. }) if vendor == Vendor::Codex => return None,
        (HookEvent::PreToolUse, HookVerdict::Allow { reason }) => {
            json!({"permissionDecision": "allow", "permissionDecisionReason": reason})
        }
        (HookEvent::PreToolUse, HookVerdict::Deny { reason }) => {
            json!({"permissionDecision": "deny", "permissionDecisionReason": reason})
        }
        (HookEvent::PermissionRequest, HookVerdict::Allow { .. }) => {
            json!({"decision": {"behavior": "allow"}})
        }
        (HookEvent::PermissionRequest, HookVerdict::Deny { reason }) => {
            json!({"decision": {"behavior": "deny", "message": reason}})
        }
        _ => return None,
    };
    output["hookEventName"] = json!(event.as_str());
    Some(json!({"hookSpecificOutput": output}))
}

/// Whose format is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vendor {
    /// Claude Code, and those that do as it does.
    Claude,
    /// Codex.
    Codex,
}

impl Vendor {
    /// Tells who calls: the tool hooks of Codex name a turn, those of Claude Code a prompt.
    pub fn of(payload: &adjutant_model::Value) -> Self {
        let says = |key| payload.get(key).is_some();
        if says("turn_id") && !says("prompt_id") { Vendor::Codex } else { Vendor::Claude }
    }
}

/// What is known when the daemon cannot be asked.
#[derive(Debug, Clone, Copy)]
pub struct Unreachable<'a> {
    /// What the agent's profile says.
    pub policy: OnUnreachable,
    /// The tools that only read.
    pub read_only: &'a [&'a str],
    /// Why the daemon could not be asked.
    pub why: &'a str,
}

/// Decides about a tool without the daemon; nothing when the agent goes by its own rules.
///
/// A tool that may be used is left to the agent's own rules, but when it asks for permission nobody would answer, and so
/// it is allowed then.
pub fn unreachable(event: HookEvent, tool: Option<&str>, known: Unreachable<'_>) -> Option<HookVerdict> {
    if !event.decides() {
        return None;
    }
    let reads = tool.is_some_and(|tool| known.read_only.contains(&tool));
    let may = match known.policy {
        OnUnreachable::Allow => true,
        OnUnreachable::Deny => false,
        OnUnreachable::DenyWrites => reads,
    };
    let reason = known.why;
    match (may, event) {
        (true, HookEvent::PermissionRequest) => Some(HookVerdict::Allow { reason: reason.to_owned() }),
        (true, _) => None,
        (false, _) => {
            let tool = tool.unwrap_or("the tool");
            let reason = format!("{tool} was not allowed, because nobody could be asked: {reason}");
            Some(HookVerdict::Deny { reason })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_vendor_is_answered_in_its_own_format() {
        use HookEvent::{PermissionRequest, PreToolUse, Stop};
        let (allow, deny) =
            (|| HookVerdict::Allow { reason: "r".into() }, || HookVerdict::Deny { reason: "r".into() });
        for (event, verdict, vendor, expected) in [
            (
                PreToolUse,
                allow(),
                Vendor::Claude,
                json!({"hookEventName": "PreToolUse", "permissionDecision": "allow", "permissionDecisionReason": "r"}),
            ),
            (PreToolUse, allow(), Vendor::Codex, Value::Null),
            (
                PreToolUse,
                deny(),
                Vendor::Codex,
                json!({"hookEventName": "PreToolUse", "permissionDecision": "deny", "permissionDecisionReason": "r"}),
            ),
            (
                PermissionRequest,
                allow(),
                Vendor::Codex,
                json!({"hookEventName": "PermissionRequest", "decision": {"behavior": "allow"}}),
            ),
            (
                PermissionRequest,
                deny(),
                Vendor::Claude,
                json!({"hookEventName": "PermissionRequest", "decision": {"behavior": "deny", "message": "r"}}),
            ),
            (Stop, deny(), Vendor::Claude, Value::Null),
        ] {
            let answer = agent_answer(event, &verdict, vendor);
            let output = answer.map(|mut answer| answer["hookSpecificOutput"].take()).unwrap_or_default();
            assert_eq!(output, expected, "{event:?} {verdict:?} {vendor:?}");
        }
    }

    #[test]
    fn without_the_daemon_a_tool_that_writes_or_is_unknown_is_denied() {
        use HookEvent::{PermissionRequest, PostToolUse, PreToolUse};
        use OnUnreachable::{Allow, Deny, DenyWrites};
        for (event, policy, tool, expected) in [
            (PreToolUse, DenyWrites, Some("Read"), None),
            (PreToolUse, DenyWrites, Some("Write"), Some(false)),
            (PreToolUse, DenyWrites, Some("read"), Some(false)),
            (PreToolUse, DenyWrites, None, Some(false)),
            (PreToolUse, Deny, Some("Read"), Some(false)),
            (PreToolUse, Allow, Some("Write"), None),
            (PermissionRequest, DenyWrites, Some("Read"), Some(true)),
            (PermissionRequest, Allow, Some("Write"), Some(true)),
            (PermissionRequest, DenyWrites, Some("Write"), Some(false)),
            (PostToolUse, Deny, Some("Write"), None),
        ] {
            let known = Unreachable { policy, read_only: &["Read"], why: "no daemon" };
            let verdict = unreachable(event, tool, known);
            let allowed = verdict.map(|verdict| matches!(verdict, HookVerdict::Allow { .. }));
            assert_eq!(allowed, expected, "{event:?} {policy:?} {tool:?}");
        }
    }
}
