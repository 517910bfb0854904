//! Sessions for tests.

use adjutant_protocol::http::ManagedView;
use serde_json::{Value, json};

/// Gives a session that works, with what is said over it.
pub(in crate::cli) fn session(over: &Value) -> ManagedView {
    let mut view = json!({
        "id": "01890000-0000-7000-8000-00000000abcd", "name": "api", "state": "active", "phase": "running",
        "desired": "running",
        "activity": {"activity": "working", "since": "2026-01-31T11:57:00.000Z", "source": "hook", "evidence": "PreToolUse"},
        "questions": [], "pending_decision": null, "proposed_default": null, "agent": "claude", "runtime": "claude",
        "driver": "tmux", "project": "/p/api", "repo_url": null, "workspace_path": "/w/api", "branch": "adjutant/api",
        "task": "Fix it.", "attach_cmd": "tmux attach -t api", "launches": 1, "turns": 2,
        "usage": {"input_tokens": 12_000, "output_tokens": 345, "cache_read_tokens": 0, "cache_write_tokens": 0},
        "budget": {}, "node": "local", "created_at": "2026-01-31T11:00:00.000Z",
        "updated_at": "2026-01-31T11:58:00.000Z", "last_activity_at": "2026-01-31T11:59:00.000Z",
    });
    for (key, value) in over.as_object().expect("members") {
        match (value, &mut view[key]) {
            (Value::Object(members), Value::Object(known)) => known.extend(members.clone()),
            (value, known) => *known = value.clone(),
        }
    }
    serde_json::from_value(view).expect("a session")
}

/// Gives a question about a command.
pub(in crate::cli) fn question(ask_id: &str, kind: &str, text: &str) -> Value {
    let tool = (kind == "permission").then_some("Bash");
    json!({"ask_id": ask_id, "kind": kind, "text": text, "tool": tool, "asked_at": "2026-01-31T11:50:00.000Z"})
}
