//! What clients of the family rely on: names, parameters, results and refusals of the tools that they know.
//!
//! Changed on purpose: `service_id` and the server's name are `adjutant`; looking at a breaker keeps nothing; an unknown
//! session is an error everywhere, also for `memory_protect` and `hook_event`; every request needs a token, where the
//! family asked for a peer on loopback; errors are JSON with the words in `message`.
//!
//! Here are cases 1, 2, 5 to 18, 21 and 22; 3, 4 and 20 are in `delegations`, 19, 23 and 24 in `errors`. What a case says of
//! a rule alone is in `rules`: 20 in `breaker`, 21 in `pressure`, 23 in `scrub`, 24 in `report`; 22 is also in `model: hook`,
//! and 25 in `engine: reports`.

use super::{asked, called_as, refused, told};
use crate::harness::Daemon;
use adjutant_testkit::until;
use serde_json::{Value, json};

const UNKNOWN: &str = "00000000-0000-4000-8000-000000000001";

/// Makes an attached session and gives its id.
async fn session(daemon: &Daemon) -> String {
    let body = json!({"agent_id": "lead", "role": "operator"}).to_string();
    let made: Value =
        serde_json::from_str(&daemon.send("POST /v1/sessions", &body).await.body).expect("JSON");
    made["id"].as_str().expect("an id").to_owned()
}

async fn hook(daemon: &Daemon, session_id: &str, event: &str, payload: Value) -> Value {
    told(daemon, "hook_event", json!({"session_id": session_id, "event": event, "payload": payload})).await
}

#[tokio::test(flavor = "multi_thread")]
async fn case_1_the_registered_sessions_are_listed() {
    let daemon = Daemon::start().await;
    assert_eq!(told(&daemon, "session_list", json!({})).await["sessions"], json!([]));
    session(&daemon).await;
    let result = called_as(&daemon, &daemon.token, "session_list", json!({})).await;
    let sessions = result["structuredContent"]["sessions"].clone();
    let text: Value =
        serde_json::from_str(result["content"][0]["text"].as_str().expect("a text")).expect("JSON");
    assert_eq!(text, sessions, "the text is the list itself");
    let one = &sessions.as_array().expect("an array")[..];
    assert_eq!(one.len(), 1, "{one:?}");
    for (field, value) in [
        ("kind", json!("attached")),
        ("state", json!("active")),
        ("status", json!("Detached")),
        ("control", json!("Sdk")),
        ("origin", json!("native")),
        ("role", json!("operator")),
        ("active_delegations", json!(0)),
    ] {
        assert_eq!(one[0][field], value, "{field}: {}", one[0]);
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cases_2_and_16_ids_that_are_none_and_sessions_that_are_not_there_are_errors_everywhere() {
    let daemon = Daemon::start().await;
    let more = |name: &str, session_id: &str| {
        let mut arguments = json!({"session_id": session_id});
        let said = match name {
            "agent_delegate" => json!({"agent": "x", "task": "y"}),
            "memory_protect" => json!({"used_tokens": 1, "window_tokens": 2}),
            "hook_event" => json!({"event": "Stop"}),
            "session_send" => json!({"text": "x"}),
            _ => json!({}),
        };
        arguments.as_object_mut().expect("an object").extend(said.as_object().expect("an object").clone());
        arguments
    };
    let any = ["session_status", "agent_delegate", "memory_protect", "hook_event"];
    let managed = [
        "session_stop",
        "session_resume",
        "session_decommission",
        "session_activity",
        "session_send",
        "session_screen",
    ];
    for (names, words) in [(&any[..], "not a valid session id"), (&managed, "valid managed session id")] {
        for name in names {
            let (code, message) = refused(&daemon, name, more(name, "garbage")).await;
            assert!(code == "invalid_request" && message.contains(words), "{name}: {code} {message}");
            let (code, message) = refused(&daemon, name, more(name, UNKNOWN)).await;
            assert!(
                code == "not_found" && message == format!("the session {UNKNOWN} was not found"),
                "{name}: {code} {message}"
            );
        }
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn case_5_and_21_how_full_a_context_is_says_what_to_do_in_plain_numbers_and_is_kept() {
    let daemon = Daemon::start().await;
    let session_id = session(&daemon).await;
    let said = async |used: u64, window: u64| {
        let arguments = json!({"session_id": session_id, "used_tokens": used, "window_tokens": window});
        called_as(&daemon, &daemon.token, "memory_protect", arguments).await
    };
    for (used, window, pressure, fraction) in [
        (900, 1000, "Compact", "0.9"),
        (700, 1000, "Warn", "0.7"),
        (699, 1000, "Ok", "0.699"),
        (69_999_999, 100_000_000, "Ok", "0.6999"),
        (850, 1000, "Alert", "0.85"),
        (2000, 1000, "Compact", "1.0"),
    ] {
        let result = said(used, window).await;
        assert_eq!(result["structuredContent"]["pressure"], pressure, "{used}");
        let text = result["content"][0]["text"].as_str().expect("a text");
        assert!(text.contains(&format!("\"fraction\":{fraction},")), "{text}");
        assert!(text.contains(r#""config":{"warn_at":0.7,"alert_at":0.85,"compact_at":0.9}"#), "{text}");
    }
    let status = told(&daemon, "session_status", json!({"session_id": session_id})).await;
    assert_eq!(status["memory"], json!({"used_tokens": 2000, "window_tokens": 1000}), "{status}");
    assert_eq!((&status["delegation_count"], &status["session"]["id"]), (&json!(0), &json!(session_id)));
    let nothing = said(1, 0).await;
    assert_eq!(nothing["isError"], true, "{nothing}");
    let rows = daemon.plane.events_of(&session_id, 0, 100).await.expect("they are read");
    let changes = rows.iter().filter(|row| row.event.kind() == "context_pressure_changed").count();
    assert_eq!(changes, 5, "each change is journalled");

    let daemon = daemon.restarted().await;
    let status = told(&daemon, "session_status", json!({"session_id": session_id})).await;
    assert_eq!(status["memory"]["used_tokens"], 2000, "over a restart, too");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cases_6_to_8_hooks_are_taken_by_their_names_and_three_failures_trip_a_breaker() {
    let daemon = Daemon::start().await;
    let session_id = session(&daemon).await;
    let unknown = json!({"session_id": session_id, "event": "NoSuchEvent"});
    assert!(refused(&daemon, "hook_event", unknown).await.1.contains("unknown hook event"));
    let answer =
        hook(&daemon, &session_id, "PreToolUse", json!({"tool_name": "Read", "tool_input": {}})).await;
    assert_eq!(answer["received"], "PreToolUse");
    assert_eq!(answer["session_id"], json!(session_id));
    let id = session_id.parse().expect("an id");
    let kept = until(&daemon.plane, async || {
        Ok(Some(daemon.plane.hook_events(id, 0, 10).await?).filter(|events| !events.is_empty()))
    })
    .await;
    assert_eq!(kept.len(), 1, "exactly one event");

    let breaker = async || told(&daemon, "circuit_breaker_status", json!({"agent": "tester"})).await;
    assert_eq!(breaker().await["breaker"]["state"], "closed");
    assert_eq!(
        told(&daemon, "circuit_breaker_status", json!({})).await["breakers"],
        json!([]),
        "looking keeps none"
    );
    for failures in 1..=3 {
        hook(&daemon, &session_id, "SubagentStopFailure", json!({"agent": "tester"})).await;
        assert_eq!(breaker().await["breaker"]["consecutive_failures"], failures);
    }
    let open = breaker().await;
    assert_eq!((&open["agent"], &open["breaker"]["state"]), (&json!("tester"), &json!("open")), "{open}");
    assert_eq!(open["breaker"]["config"], json!({"failure_threshold": 3, "max_depth": 5}));
    let all = told(&daemon, "circuit_breaker_status", json!({})).await;
    assert_eq!(all["breakers"][0]["agent"], "tester", "{all}");
    hook(&daemon, &session_id, "SubagentStop", json!({"agent": "fine"})).await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn case_17_the_runtime_is_judged_first_and_spawning_before_the_repository() {
    let daemon = Daemon::start().await;
    let new =
        |runtime: &str| json!({"repo_url": "no such thing", "ref": "-x", "task": "look", "runtime": runtime});
    let (code, message) = refused(&daemon, "session_new", new("bogus")).await;
    assert!(code == "invalid_request" && message.contains("unknown runtime"), "{code} {message}");
    for known in ["claude-code", "claude_code", "claude"] {
        let (code, message) = refused(&daemon, "session_new", new(known)).await;
        assert!(
            code == "forbidden" && message.contains("spawning over MCP is off"),
            "{known}: {code} {message}"
        );
    }
    daemon.stop().await;
    let daemon = Daemon::with_settings(|settings| settings.sessions_agents_may_spawn = true).await;
    let (code, message) = refused(&daemon, "session_new", new("claude-code")).await;
    assert!(code == "invalid_request", "{code} {message}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn case_18_dispatch_names_what_is_missing_unknown_or_out_of_bounds() {
    let daemon = Daemon::start().await;
    let listed = asked(&daemon, "tools/list", json!({})).await;
    let names: Vec<&str> = listed["result"]["tools"]
        .as_array()
        .expect("tools")
        .iter()
        .filter_map(|tool| tool["name"].as_str())
        .collect();
    for name in [
        "session_list",
        "session_status",
        "agent_delegate",
        "memory_protect",
        "circuit_breaker_status",
        "hook_event",
        "session_new",
        "session_stop",
        "session_resume",
        "session_decommission",
        "session_activity",
        "session_send",
        "session_screen",
        "approval_list",
        "approval_resolve",
        "run_start",
        "run_status",
        "run_trace",
        "blueprint_list",
        "blueprint_show",
        "task_run",
        "issue_open",
        "inbox",
    ] {
        assert!(names.contains(&name), "{name}");
    }
    for (name, arguments, missing) in [
        ("session_status", json!({}), "session_id"),
        ("session_stop", json!({}), "session_id"),
        ("session_new", json!({"ref": "main", "task": "x"}), "repo_url"),
        ("session_send", json!({"session_id": UNKNOWN}), "text"),
        ("agent_delegate", json!({"session_id": UNKNOWN, "task": "x"}), "agent"),
        ("memory_protect", json!({"session_id": UNKNOWN, "used_tokens": 1}), "window_tokens"),
        ("run_status", json!({}), "run_id"),
        ("session_list", json!({"more": 1}), "more"),
    ] {
        let (code, message) = refused(&daemon, name, arguments).await;
        assert!(code == "invalid_request" && message.contains(missing), "{name}: {message}");
    }
    let (code, message) = refused(&daemon, "no_such_tool", json!({})).await;
    assert!(code == "not_found" && message.contains("no_such_tool"), "{message}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cases_13_to_15_settings_console_and_supervisor() {
    let daemon = Daemon::start().await;
    let config = told(&daemon, "config_read", json!({})).await;
    assert!(config["workspace_root"].as_str().is_some_and(|root| !root.is_empty()), "{config}");
    assert!(config["workspace_root_template"].is_string(), "{config}");
    let console = told(&daemon, "console_metrics", json!({})).await;
    assert_eq!(
        (&console["service_id"], &console["display_name"], &console["metrics_schema_version"]),
        (&json!("adjutant"), &json!("Adjutant"), &json!(1))
    );
    assert_eq!(console["status"], "ok", "{console}");
    assert!(console["metrics"]["fleet"]["total"].is_u64(), "{console}");
    assert!(console["metrics"]["auto_resume"].is_object(), "{console}");
    let supervisor = told(&daemon, "supervisor_status", json!({})).await;
    for count in ["active", "stopped", "total"] {
        assert!(supervisor["fleet"][count].is_u64(), "{count}: {supervisor}");
    }
    for switch in ["desired", "env", "pending_restart"] {
        assert!(supervisor["auto_resume"][switch].is_boolean(), "{switch}: {supervisor}");
    }
    let (_, message) = refused(&daemon, "auto_resume_set", json!({})).await;
    assert!(message.contains("enabled"), "{message}");
    let set = told(&daemon, "auto_resume_set", json!({"enabled": false})).await;
    assert_eq!(
        (&set["desired"], &set["env"], &set["pending_restart"]),
        (&json!(false), &json!(false), &json!(false))
    );
    let written = told(&daemon, "config_write", json!({"auto_resume": true, "default_model": "opus"})).await;
    assert_eq!(
        (&written["auto_resume"], &written["default_model"]),
        (&json!(true), &json!("opus")),
        "{written}"
    );
    for no in [json!({"workspace_root_template": "/elsewhere"}), json!({"agents_may_spawn": true})] {
        assert_eq!(refused(&daemon, "config_write", no).await.0, "invalid_request");
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cases_9_to_12_errors_are_listed_and_an_unknown_one_is_not_found_before_anybody_agrees() {
    let daemon = Daemon::start().await;
    let listed = told(&daemon, "list_recent_errors", json!({})).await;
    assert!(listed["errors"].is_array() && listed["total"].is_u64(), "{listed}");
    assert_eq!(listed["limit"], json!(20), "{listed}");
    let unknown = "0".repeat(64);
    for (tool, arguments) in [
        ("preview_bug_report", json!({"fingerprint": unknown})),
        ("report_bug", json!({"fingerprint": unknown, "confirm": false})),
        ("report_bug", json!({"fingerprint": unknown, "confirm": true})),
    ] {
        let (code, message) = refused(&daemon, tool, arguments).await;
        let words = format!("the error {unknown} was not found");
        assert!(code == "not_found" && message == words, "{tool}: {code} {message}");
    }
    for (tool, arguments, missing) in [
        ("preview_bug_report", json!({}), "fingerprint"),
        ("report_bug", json!({"confirm": true}), "fingerprint"),
        ("report_bug", json!({"fingerprint": unknown}), "confirm"),
    ] {
        let (_, message) = refused(&daemon, tool, arguments).await;
        assert!(message.contains(missing), "{tool}: {message}");
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn case_22_each_of_the_32_events_is_taken_by_its_name_and_kept_under_it() {
    let daemon = Daemon::start().await;
    let session_id = session(&daemon).await;
    let names = "PreToolUse PostToolUse PostToolUseFailure Stop SubagentStop SubagentStart StopFailure \
        SubagentStopFailure TeammateIdle SessionStart SessionEnd UserPromptSubmit InstructionsLoaded CwdChanged \
        ConfigChange PreCompact PostCompact TokenUsageUpdate WorktreeCreate WorktreeRemove FileChanged TaskCreated \
        TaskCompleted TaskUpdated TaskStopped PermissionDenied PermissionGranted Notification McpServerConnected \
        McpServerDisconnected ErrorRaised SkillActivated";
    let names: Vec<&str> = names.split_whitespace().collect();
    for name in &names {
        let answer = hook(&daemon, &session_id, name, json!({})).await;
        assert_eq!(answer["received"], json!(name), "{answer}");
    }
    let id = session_id.parse().expect("an id");
    let kept = until(&daemon.plane, async || {
        let events = daemon.plane.hook_events(id, 0, 100).await?;
        Ok(Some(events).filter(|events| events.len() == names.len()))
    })
    .await;
    let kept: Vec<&str> = kept.iter().map(|event| event.draft.event.as_str()).collect();
    assert_eq!(kept, names);
    daemon.stop().await;
}
