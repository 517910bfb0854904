//! What the door refuses, and in which form: messages that are none, values out of bounds, sessions that are others'.

use super::{asked, called_as, post, refusal, refused, token, told};
use crate::harness::{Daemon, Raw};
use serde_json::{Value, json};

/// Sends something to the door with the owner's token.
async fn sent(daemon: &Daemon, line: &str, head: &str, body: &[u8]) -> Raw {
    let head = format!("host: {}\r\nauthorization: Bearer {}\r\n{head}", daemon.host(), daemon.token);
    daemon.send_body(line, &head, body).await
}

const JSON: &str = "content-type: application/json\r\naccept: application/json, text/event-stream\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_message_is_answered_by_the_protocols_own_error() {
    let daemon = Daemon::start().await;
    for (body, code, id) in [
        ("no json", -32700, Value::Null),
        ("", -32700, Value::Null),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, -32600, Value::Null),
        (r#"{"id":7,"method":"ping"}"#, -32600, json!(7)),
        (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, -32600, Value::Null),
        (r#"{"jsonrpc":"2.0","id":8.5,"method":"ping"}"#, -32600, Value::Null),
        (r#"{"jsonrpc":"2.0","id":1180591620717411303424,"method":"ping"}"#, -32600, Value::Null),
        (r#"{"jsonrpc":"2.0","id":1}"#, -32600, json!(1)),
    ] {
        let answer = sent(&daemon, "POST /mcp", JSON, body.as_bytes()).await;
        assert_eq!(answer.status, 400, "{body}: {answer:?}");
        assert!(answer.head.contains("content-type: application/json"), "{body}: {answer:?}");
        let told: Value = serde_json::from_str(&answer.body).expect("JSON");
        let found = (&told["jsonrpc"], &told["id"], &told["error"]["code"]);
        assert_eq!(found, (&json!("2.0"), &id, &json!(code)), "{body}");
    }
    // A large one that is good is none the less read.
    let large = json!({"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {"pad": "x".repeat(1 << 20)}});
    assert_eq!(post(&daemon, &daemon.token, &large).await.status, 200);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_transport_refuses_has_the_one_form_of_errors() {
    let daemon = Daemon::start().await;
    let ping = br#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let large = json!({"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {"pad": "x".repeat(3 << 20)}});
    let large = large.to_string();
    let old = format!("{JSON}mcp-protocol-version: 1999-01-01\r\n");
    for (line, head, body, status, code) in [
        ("GET /mcp", JSON, &b""[..], 405, "method_not_allowed"),
        ("DELETE /mcp", JSON, b"", 405, "method_not_allowed"),
        (
            "POST /mcp",
            "content-type: application/json\r\naccept: text/html\r\n",
            ping,
            406,
            "invalid_request",
        ),
        (
            "POST /mcp",
            "content-type: text/plain\r\naccept: application/json, text/event-stream\r\n",
            ping,
            415,
            "invalid_request",
        ),
        ("POST /mcp", &old, ping, 400, "invalid_request"),
        ("POST /mcp", JSON, large.as_bytes(), 413, "too_large"),
    ] {
        let answer = sent(&daemon, line, head, body).await;
        assert_eq!(answer.status, status, "{line} {head}: {answer:?}");
        let error = answer.error();
        assert_eq!(error.code, code, "{line} {head}: {error:?}");
        assert!(!error.error.is_empty() && error.hint.is_some(), "{line} {head}: {error:?}");
    }
    let allowed = sent(&daemon, "GET /mcp", JSON, b"").await;
    assert!(allowed.head.contains("allow: post"), "{allowed:?}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_limit_of_a_tool_is_held_to_what_its_schema_says() {
    let daemon = Daemon::start().await;
    let listed = asked(&daemon, "tools/list", json!({})).await;
    let mut held = Vec::new();
    for tool in listed["result"]["tools"].as_array().expect("tools") {
        let (name, limit) =
            (tool["name"].as_str().expect("a name"), &tool["inputSchema"]["properties"]["limit"]);
        if limit.is_null() {
            continue;
        }
        let bounds = limit["anyOf"].as_array().map_or(limit, |any| &any[0]);
        let max = bounds["maximum"].as_u64().unwrap_or_else(|| panic!("{name} has no bound: {limit}"));
        assert_eq!(bounds["minimum"], json!(1), "{name}");
        let mut arguments = match name {
            "memory_recall" => json!({"query": "x"}),
            "run_trace" => json!({"run_id": format!("run_{:032}", 0)}),
            _ => json!({}),
        };
        for wrong in [0, max + 1, 1 << 63] {
            arguments["limit"] = json!(wrong);
            let (code, message) = refused(&daemon, name, arguments.clone()).await;
            let range = format!("`limit` is 1 to {max}, not {wrong}");
            assert!(code == "invalid_request" && message.contains(&range), "{name}: {code} {message}");
        }
        held.push(name.to_owned());
    }
    assert!(held.len() >= 5, "{held:?}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_limit_of_a_route_is_held_to_what_the_document_says() {
    let daemon = Daemon::start().await;
    let document: Value = serde_json::from_str(&adjutant_server::openapi_json()).expect("JSON");
    let (run, task) = (format!("run_{:032}", 0), format!("task_{:032}", 0));
    let mut held = 0;
    for (path, operations) in document["paths"].as_object().expect("paths") {
        let parameters = operations["get"]["parameters"].as_array().cloned().unwrap_or_default();
        let Some(limit) = parameters.iter().find(|parameter| parameter["name"] == "limit") else { continue };
        let max =
            limit["schema"]["maximum"].as_u64().unwrap_or_else(|| panic!("{path} has no bound: {limit}"));
        let filled = path.replace("/tasks/{id}", &format!("/tasks/{task}"));
        let filled =
            filled.replace("/runs/{id}", &format!("/runs/{run}")).replace("{run}", &run).replace("{id}", "x");
        for wrong in [0, max + 1, 1 << 63] {
            let answer = daemon.send(&format!("GET {filled}?limit={wrong}"), "").await;
            assert_eq!(answer.status, 400, "{filled}: {answer:?}");
            let (error, range) = (answer.error(), format!("`limit` is 1 to {max}, not {wrong}"));
            assert!(error.code == "invalid_request" && error.error == range, "{filled}: {error:?}");
        }
        held += 1;
    }
    assert!(held >= 15, "{held}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_no_object() {
    let daemon = Daemon::start().await;
    let goal = json!({"description": "x", "budget": []});
    let (code, message) = refused(&daemon, "goal_create", goal.clone()).await;
    assert!(
        code == "invalid_request" && message.contains("budget") && message.contains("an object"),
        "{message}"
    );
    let id = "11111111-2222-4333-8444-555555555555";
    let hook = json!({"session_id": id, "event": "Stop", "payload": [1]});
    let (code, message) = refused(&daemon, "hook_event", hook).await;
    assert!(code == "invalid_request" && message.contains("payload"), "{message}");
    let run = json!({"blueprint_id": "x", "input": [1]});
    let (code, message) = refused(&daemon, "run_start", run).await;
    assert!(code == "invalid_request" && message.contains("input"), "{message}");
    for body in [goal, json!(["x"]), json!({"description": "x", "budget": [1.0]})] {
        let answer = daemon.send("POST /v1/goals", &body.to_string()).await;
        assert_eq!(
            (answer.status, answer.error().code.as_str()),
            (400, "invalid_request"),
            "{body}: {answer:?}"
        );
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_criterion_is_whatever_its_schema_says() {
    let daemon = Daemon::start().await;
    let listed = asked(&daemon, "tools/list", json!({})).await;
    let tools = listed["result"]["tools"].as_array().expect("tools");
    let create = tools.iter().find(|tool| tool["name"] == "goal_create").expect("it is there");
    let schema = &create["inputSchema"]["$defs"]["CriterionParams"]["oneOf"];
    assert_eq!(schema[0]["type"], "string", "{schema}");
    assert_eq!(
        (&schema[1]["type"], &schema[1]["required"]),
        (&json!("object"), &json!(["text"])),
        "{schema}"
    );
    assert_eq!(
        (&schema[2]["type"], &schema[2]["required"]),
        (&json!("object"), &json!(["check"])),
        "{schema}"
    );
    let acceptance =
        json!(["plain", {"text": "words"}, {"text": "both", "check": "true"}, {"check": "true"}]);
    let made = told(&daemon, "goal_create", json!({"description": "x", "acceptance": acceptance})).await;
    assert_eq!(made["acceptance"].as_array().map(Vec::len), Some(4), "{made}");
    for wrong in [json!([{}]), json!([5]), json!([{"text": "x", "more": 1}])] {
        refused(&daemon, "goal_create", json!({"description": "x", "acceptance": wrong})).await;
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_somebody_elses_is_said_to_be_and_its_id_is_read_in_any_case() {
    let daemon = Daemon::start().await;
    let body = json!({"agent_id": "lead", "role": "observer"}).to_string();
    let made: Value =
        serde_json::from_str(&daemon.send("POST /v1/sessions", &body).await.body).expect("JSON");
    let attached = made["id"].as_str().expect("an id").to_owned();
    let discovered = "abcdef00-2222-4333-8444-555555555555".to_owned();
    let start =
        json!({"session_id": discovered, "hook_event_name": "SessionStart", "source": "startup", "cwd": "/"});
    assert_eq!(daemon.send("POST /v1/hooks", &start.to_string()).await.status, 200);
    for (id, kind) in [(&attached, "attached"), (&discovered, "discovered")] {
        for name in [
            "session_activity",
            "session_screen",
            "session_stop",
            "session_resume",
            "session_decommission",
            "session_send",
        ] {
            let mut arguments = json!({"session_id": id.to_uppercase()});
            if name == "session_send" {
                arguments["text"] = json!("x");
            }
            let result = called_as(&daemon, &daemon.token, name, arguments).await;
            let (code, message) = refusal(&result);
            assert_eq!(code, "not_found", "{name}: {message}");
            assert_eq!(
                message,
                format!("the session {id} is {kind}: its agent is not hosted here"),
                "{name}"
            );
        }
        let answer = daemon.send(&format!("GET /v1/sessions/managed/{id}/screen"), "").await;
        assert_eq!(answer.status, 404, "{answer:?}");
        assert!(
            answer.error().error.contains("not hosted here") && answer.error().hint.is_some(),
            "{answer:?}"
        );
        let status = told(&daemon, "session_status", json!({"session_id": id.to_uppercase()})).await;
        assert_eq!(status["session"]["id"], json!(id), "it is shown in its one form");
        let goal = told(&daemon, "goal_create", json!({"description": "x"})).await["id"].clone();
        let linked =
            told(&daemon, "goal_link", json!({"goal_id": goal, "session_id": id.to_uppercase()})).await;
        assert_eq!(linked["sessions"][0]["session_id"], json!(id), "{linked}");
        let (code, _) = refused(&daemon, "goal_link", json!({"goal_id": goal, "session_id": id})).await;
        assert_eq!(code, "goal_refused", "it is linked once");
    }
    let ended = daemon.send(&format!("DELETE /v1/sessions/{}", attached.to_uppercase()), "").await;
    assert_eq!(ended.status, 204, "{ended:?}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_not_is_told_which_token_may() {
    let daemon = Daemon::start().await;
    let observer = token(&daemon, "observer").await;
    let hint = |text: &str| -> String {
        let error: Value = serde_json::from_str(text).expect("JSON");
        error["hint"].as_str().expect("a hint").to_owned()
    };
    let stop = json!({"session_id": "00000000-0000-0000-0000-000000000000"});
    for (name, arguments, expected) in [
        ("session_stop", stop, "`adjutant token new --agent NAME --role operator`"),
        ("hook_event", json!({}), "`adjutant token new --agent NAME --role worker`"),
        ("config_write", json!({}), "the owner's token alone may"),
    ] {
        let result = called_as(&daemon, &observer, name, arguments).await;
        let told = hint(result["content"][0]["text"].as_str().expect("a text"));
        assert!(told.contains(expected), "{name}: {told}");
    }
    let refused = daemon.send_as(&observer, "POST /v1/tasks", "{}").await;
    assert!(hint(&refused.body).contains("--role operator"), "{refused:?}");
    let seen = daemon.send_as(&observer, "GET /v1/sessions", "").await;
    assert!(
        seen.status == 200 && !seen.body.contains(&observer),
        "it sees who is there, and no secret: {seen:?}"
    );
    daemon.stop().await;
}
