//! Hooks: what they are told, in which order, and what their answers do.

use super::stage::{hooks, place};
use serde_json::Value;

#[test]
fn hooks_are_told_of_everything_and_their_answers_are_done() {
    let env = place(
        "- run: echo fine\n- run: echo forbidden\n- write: { path: made, content: x }\n- read: absent\n\
         - subagent: { name: Explore, steps: [{ say: found }] }\n- say: done\n",
    );
    let events = hooks(
        &env,
        r#"case "$event" in
            *'"PreToolUse"'*forbidden*) echo 'not that' >&2; exit 2 ;;
            *'"PreToolUse"'*'"Write"'*)
                echo '{"hookSpecificOutput": {"permissionDecision": "ask", "permissionDecisionReason": "hm"}}' ;;
            *'"PermissionRequest"'*)
                echo '{"hookSpecificOutput": {"decision": {"behavior": "deny", "message": "nobody wants it"}}}' ;;
        esac"#,
    );
    let ran = env.run(&["rehearsal", "script.yaml", "--prompt", "go"]).expect(0);
    let mut events = events;
    let mut told = Vec::new();
    while told.last().is_none_or(|event: &Value| event["hook_event_name"] != "SessionEnd") {
        told.push(events.json(""));
    }
    let names: Vec<String> = told
        .iter()
        .map(|event| {
            let about = ["tool_name", "agent_type", "source", "reason"].map(|name| event[name].as_str());
            let about = about.into_iter().flatten().next().unwrap_or("");
            format!("{} {about}", event["hook_event_name"].as_str().unwrap())
        })
        .collect();
    assert_eq!(
        names,
        [
            "SessionStart startup",
            "UserPromptSubmit ",
            "PreToolUse Bash",
            "PostToolUse Bash",
            "PreToolUse Bash",
            "PreToolUse Write",
            "PermissionRequest Write",
            "PreToolUse Read",
            "PostToolUseFailure Read",
            "PreToolUse Task",
            "SubagentStart Explore",
            "SubagentStop Explore",
            "PostToolUse Task",
            "Stop ",
            "SessionEnd other",
        ]
    );
    assert_eq!((&told[1]["prompt"], &told[1]["permission_mode"]), (&"go".into(), &"default".into()));
    assert_eq!(
        (&told[2]["tool_input"]["command"], &told[2]["tool_use_id"]),
        (&"echo fine".into(), &"toolu_0001".into())
    );
    assert_eq!(told[3]["tool_response"]["stdout"], "fine\n");
    assert!(told[3]["duration_ms"].is_u64() && told[2]["prompt_id"] == told[3]["prompt_id"]);
    assert_eq!(told[13]["last_assistant_message"], "done");
    // The agent saw the reasons, and nothing was done.
    for reason in ["\"content\":\"not that\"", "\"content\":\"nobody wants it\""] {
        assert!(ran.stdout.contains(reason), "{reason}\n{}", ran.stdout);
    }
    assert!(!env.work("made").exists());
}

#[test]
fn a_hook_of_stop_sends_the_agent_on_and_one_of_the_prompt_holds_it_back() {
    let env = place("turns: [[{ say: one }], [{ say: 'two: {prompt}' }]]\n");
    let mut events = hooks(
        &env,
        r#"case "$event" in
            *'"Stop"'*'"stop_hook_active":false'*) echo '{"decision": "block", "reason": "look again"}' ;;
            *'"UserPromptSubmit"'*secret*) echo 'no secrets' >&2; exit 2 ;;
        esac"#,
    );
    let ran = env.run(&["rehearsal", "script.yaml", "--prompt", "go"]).expect(0);
    assert!(ran.stdout.contains("two: look again"), "{}", ran.stdout);
    assert_eq!(events.json("\"Stop\"")["stop_hook_active"], false);
    assert_eq!(events.json("\"Stop\"")["stop_hook_active"], true);
    let held = env.run(&["rehearsal", "script.yaml", "--prompt", "a secret"]).expect(0);
    assert!(
        held.stdout.contains("no secrets") && !held.stdout.contains("\"text\":\"one\""),
        "{}",
        held.stdout
    );
}

#[test]
fn a_hook_that_takes_too_long_decides_nothing() {
    let env = place("- run: echo ran\n");
    let slow = r#"{"hooks": {"PreToolUse": [{"hooks": [
        {"type": "command", "command": "tail -f /dev/null", "timeout": 0.2}]}]}}"#;
    env.file("more.json", slow);
    let ran = env.run(&["rehearsal", "script.yaml", "--settings", "more.json"]).expect(0);
    assert!(ran.stdout.contains("PreToolUse hook timed out after 0.2 s"), "{}", ran.stdout);
    assert!(ran.stdout.contains("\"content\":\"ran\\n\""), "{}", ran.stdout);
}
