use super::*;
use crate::hook::named;

const NOW: Timestamp = Timestamp::from_unix_ms(1_795_962_600_000);

#[track_caller]
fn check(event: &str, payload: &str, expected: &[AgentSignal]) {
    let value = Value::from(serde_json::from_str::<serde_json::Value>(payload).unwrap());
    let clock = HookClock { now: NOW, offset_secs: 0 };
    let found = signals(&named(event, value), clock);
    assert!(found.iter().all(|signal| signal.source == SignalSource::Hook && signal.evidence == event));
    let found: Vec<_> = found.into_iter().map(|signal| signal.what).collect();
    assert_eq!(found, expected, "{event} {payload}");
}

fn asked(
    ask_id: &str,
    what: WaitingFor,
    text: &str,
    tool: Option<&str>,
    subagent: Option<&str>,
) -> AgentSignal {
    AgentSignal::Asked(AgentQuestion {
        ask_id: ask_id.to_owned(),
        what,
        text: text.to_owned(),
        tool: tool.map(str::to_owned),
        input: None,
        options: Vec::new(),
        subagent: subagent.map(str::to_owned),
        asked_at: NOW,
    })
}

fn turn_ended(text: Option<&str>, error: Option<&str>) -> AgentSignal {
    AgentSignal::TurnEnded { text: text.map(str::to_owned), error: error.map(str::to_owned) }
}

fn tool_ended(tool: &str, call_id: Option<&str>, ok: bool) -> AgentSignal {
    AgentSignal::ToolEnded { tool: tool.to_owned(), call_id: call_id.map(str::to_owned), ok }
}

fn settled(tool: &str) -> AgentSignal {
    AgentSignal::AskSettled { ask_id: Some(format!("permission:{tool}")) }
}

#[test]
fn a_turn_is_followed_from_its_prompt_to_its_end() {
    use AgentSignal::{Began, PromptTaken, Working};
    let began = |model: Option<&str>| Began {
        agent_session: Some("s1".into()),
        model: model.map(str::to_owned),
        transcript: Some("/t".into()),
    };
    check("SessionStart", r#"{"session_id":"s1","transcript_path":"/t","source":"startup"}"#, &[began(None)]);
    check("SessionStart", r#"{"session_id":"s1","transcript_path":"/t","model":"m"}"#, &[began(Some("m"))]);
    check("UserPromptSubmit", r#"{"prompt":"go"}"#, &[PromptTaken, Working]);
    check(
        "PreToolUse",
        r#"{"tool_name":"Bash","tool_use_id":"t1"}"#,
        &[AgentSignal::ToolBegan { tool: "Bash".into(), call_id: Some("t1".into()) }],
    );
    check(
        "PostToolUse",
        r#"{"tool_name":"Bash","tool_use_id":"t1"}"#,
        &[tool_ended("Bash", Some("t1"), true), settled("Bash")],
    );
    check(
        "PostToolUseFailure",
        r#"{"tool_name":"Bash"}"#,
        &[tool_ended("Bash", None, false), settled("Bash")],
    );
    check("Stop", r#"{"last_assistant_message":"done"}"#, &[turn_ended(Some("done"), None)]);
    check("Interrupt", "{}", &[turn_ended(None, None)]);
    check("PreCompact", "{}", &[Working]);
    check("SessionEnd", r#"{"reason":"other"}"#, &[]);
}

#[test]
fn one_dialog_is_one_question_however_it_is_told() {
    use WaitingFor::{Permission, Question};
    check(
        "PermissionRequest",
        r#"{"tool_name":"Bash","tool_input":{"command":"make"}}"#,
        &[asked("permission:Bash", Permission, "Bash: make", Some("Bash"), None)],
    );
    let message = "Claude needs your permission to use Bash";
    let about_bash = [asked("permission:Bash", Permission, message, Some("Bash"), None)];
    check(
        "Notification",
        &format!(r#"{{"notification_type":"permission_prompt","message":"{message}"}}"#),
        &about_bash,
    );
    check("Notification", &format!(r#"{{"message":"{message}"}}"#), &about_bash);
    check(
        "PermissionRequest",
        r#"{"tool_name":"Write","tool_input":{"file_path":"a"},"agent_id":"a1","agent_type":"reviewer"}"#,
        &[asked("permission:Write", Permission, "Write: a", Some("Write"), Some("reviewer"))],
    );
    check(
        "Notification",
        r#"{"notification_type":"elicitation_dialog","message":"Which?"}"#,
        &[asked("elicitation", Question, "Which?", None, None)],
    );
    check("ElicitationResult", "{}", &[AgentSignal::AskSettled { ask_id: Some("elicitation".into()) }]);
    check("Notification", r#"{"notification_type":"idle_prompt"}"#, &[turn_ended(None, None)]);
    check("Notification", r#"{"message":"Claude is waiting for your input"}"#, &[turn_ended(None, None)]);
    check("Notification", r#"{"notification_type":"auth_success","message":"hello"}"#, &[]);
    check("PermissionDenied", r#"{"tool_name":"Bash"}"#, &[tool_ended("Bash", None, false), settled("Bash")]);
    check("PermissionGranted", r#"{"tool_name":"Bash"}"#, &[settled("Bash")]);
}

#[test]
fn a_turn_that_failed_says_why_and_a_spent_quota_until_when() {
    check("StopFailure", r#"{"error":"server_error"}"#, &[turn_ended(None, Some("server_error"))]);
    check("StopFailure", "{}", &[turn_ended(None, Some("the turn has failed"))]);
    let text = "rate_limit: You've hit your limit · resets at 3pm";
    let until = Some(Timestamp::parse("2026-11-29T15:00:00Z").unwrap());
    check(
        "StopFailure",
        r#"{"error":"rate_limit","last_assistant_message":"You've hit your limit · resets at 3pm"}"#,
        &[turn_ended(None, Some(text)), AgentSignal::QuotaSpent { until, text: text.to_owned() }],
    );
    check("ErrorRaised", r#"{"message":"disk full"}"#, &[]);
}

#[test]
fn subagents_are_told_apart_from_their_agent() {
    let name = || "reviewer".to_owned();
    check(
        "SubagentStart",
        r#"{"agent_type":"reviewer","agent_id":"a1"}"#,
        &[AgentSignal::SubagentBegan { name: name() }],
    );
    for (event, ok) in [("SubagentStop", true), ("SubagentStopFailure", false)] {
        check(event, r#"{"agent_type":"reviewer"}"#, &[AgentSignal::SubagentEnded { name: name(), ok }]);
    }
    for event in ["Stop", "StopFailure", "UserPromptSubmit", "SessionStart"] {
        check(event, r#"{"agent_id":"a1"}"#, &[AgentSignal::Working]);
    }
}

#[test]
fn what_is_missing_or_of_another_type_is_only_less_known() {
    check(
        "SessionStart",
        r#"{"session_id":7,"model":{}}"#,
        &[AgentSignal::Began { agent_session: None, model: None, transcript: None }],
    );
    for event in ["PreToolUse", "PostToolUse"] {
        check(event, r#"{"tool_name":[]}"#, &[AgentSignal::Working]);
    }
    check("Stop", "null", &[turn_ended(None, None)]);
    check(
        "TokenUsageUpdate",
        r#"{"input_tokens":"7","used_tokens":-1}"#,
        &[AgentSignal::Used(SessionUsage::default())],
    );
    check(
        "PermissionRequest",
        "[]",
        &[asked("permission:a tool", WaitingFor::Permission, "a tool", None, None)],
    );
    check("Fresh", r#"{"tool_name":"Bash"}"#, &[]);
    let used = SessionUsage {
        input_tokens: 10,
        output_tokens: 2,
        cache_read_tokens: 3,
        cost_usd: Some(0.5),
        context_used: Some(15),
        context_window: Some(200),
        ..SessionUsage::default()
    };
    let payload = r#"{"usage":{"input_tokens":10,"output_tokens":2,"cache_read_input_tokens":3},"cost_usd":0.5,"used_tokens":15,"window_tokens":200}"#;
    check("TokenUsageUpdate", payload, &[AgentSignal::Used(used)]);
}
