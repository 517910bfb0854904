//! The protocol's extension for tasks, on the wire: a client that has it is given a handle and asks later.

use super::long::Held;
use super::token;
use crate::harness::{Daemon, endless, identity, one_step};
use adjutant_testkit::{repository, until};
use serde_json::{Value, json};

const REVISION: &str = "2026-07-28";
const EXTENSION: &str = "io.modelcontextprotocol/tasks";

/// Asks something in the last revision as a client that has the extension, and gives the whole answer.
async fn asked_as(daemon: &Daemon, token: &str, method: &str, params: Value) -> Value {
    spoken(daemon, token, (method, params), json!({"extensions": {EXTENSION: {}}})).await
}

async fn asked(daemon: &Daemon, method: &str, params: Value) -> Value {
    asked_as(daemon, &daemon.token, method, params).await
}

async fn spoken(
    daemon: &Daemon,
    token: &str,
    (method, mut params): (&str, Value),
    capabilities: Value,
) -> Value {
    let name = ["name", "taskId"].into_iter().find_map(|key| params[key].as_str().map(str::to_owned));
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": REVISION,
        "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": capabilities,
    });
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let name = name.map(|name| format!("mcp-name: {name}\r\n")).unwrap_or_default();
    let head = format!(
        "host: {}\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
         accept: application/json, text/event-stream\r\nmcp-protocol-version: {REVISION}\r\n\
         mcp-method: {method}\r\n{name}",
        daemon.host()
    );
    let answer = daemon.send_body("POST /mcp", &head, message.to_string().as_bytes()).await;
    serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
}

/// Calls a tool and gives the handle that comes at once.
async fn begun(daemon: &Daemon, name: &str, arguments: Value) -> String {
    let answer = asked(daemon, "tools/call", json!({"name": name, "arguments": arguments})).await;
    let handle = &answer["result"];
    assert_eq!(handle["resultType"], "task", "{answer}");
    assert_eq!(handle["status"], "working", "{answer}");
    assert_eq!(
        (&handle["ttlMs"], &handle["pollIntervalMs"]),
        (&json!(604_800_000), &json!(1000)),
        "{answer}"
    );
    assert!(handle["createdAt"].is_string() && handle["lastUpdatedAt"].is_string(), "{answer}");
    handle["taskId"].as_str().expect("a handle").to_owned()
}

async fn stands(daemon: &Daemon, id: &str) -> Value {
    let mut answer = asked(daemon, "tasks/get", json!({"taskId": id})).await;
    assert_eq!(answer["result"]["resultType"], "complete", "{answer}");
    answer["result"].take()
}

/// Waits until a task is no more under way, and gives it.
async fn ended(daemon: &Daemon, id: &str) -> Value {
    until(&daemon.plane, async || {
        let task = stands(daemon, id).await;
        Ok((task["status"] != "working").then_some(task))
    })
    .await
}

/// Asserts that a request about a handle is refused as one about a handle that never was.
#[track_caller]
fn unknown(answer: &Value) {
    assert_eq!(answer["error"]["code"], -32602, "{answer}");
    let message = answer["error"]["message"].as_str().expect("a message");
    assert!(message.contains("not known") || message.contains("was not found"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_a_task_whose_result_is_that_of_the_tool_and_outlives_its_daemon() {
    let daemon = Daemon::start().await;
    let run = json!({"blueprint": identity(), "input": {"in": 7}});
    let id = begun(&daemon, "task_run", run.clone()).await;
    let task = ended(&daemon, &id).await;
    assert_eq!(task["status"], "completed", "{task}");
    let result = &task["result"];
    assert_eq!(result["structuredContent"]["status"], "done", "{task}");
    assert_ne!(result["isError"], json!(true), "{task}");
    let waited = super::told(&daemon, "task_run", run).await;
    let of_input = |done: &Value| (done["final_ctx"].clone(), done["bound_version"].clone());
    assert_eq!(of_input(&result["structuredContent"]), of_input(&waited));

    let fails = one_step(json!({"kind": "command", "spec": {"argv": ["false"], "use_stdin": false}}));
    let failing = begun(&daemon, "task_run", json!({"blueprint": fails, "input": {"in": 1}})).await;
    let failed = ended(&daemon, &failing).await;
    assert_eq!(failed["status"], "completed", "a tool that fails has a result: {failed}");
    assert_eq!(super::refusal(&failed["result"]).0, "flow_failed");

    let daemon = daemon.restarted().await;
    assert_eq!(stands(&daemon, &id).await, task);
    assert_eq!(stands(&daemon, &failing).await, failed);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_is_cancelled_ends_its_run_and_stays_cancelled() {
    let daemon = Daemon::start().await;
    let id = begun(&daemon, "task_run", json!({"blueprint": endless(), "input": {}})).await;
    let working = stands(&daemon, &id).await;
    assert!(working["statusMessage"].as_str().is_some_and(|told| told.starts_with("run_")), "{working}");
    let update = json!({"taskId": id, "inputResponses": {"nobody": {"asked": true}}});
    assert_eq!(asked(&daemon, "tasks/update", update).await["result"]["resultType"], "complete");
    for _ in ["once", "and again"] {
        let cancelled = asked(&daemon, "tasks/cancel", json!({"taskId": id})).await;
        assert_eq!(cancelled["result"]["resultType"], "complete", "{cancelled}");
    }
    assert_eq!(ended(&daemon, &id).await["status"], "cancelled");
    let runs = daemon.client.runs(1).await.expect("they are listed").runs;
    assert_eq!(runs[0].status, "cancelled");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_checks_of_a_goal_are_a_task_that_is_answered_cancelled_or_lost() {
    let daemon = Daemon::start().await;
    let project = daemon.path("project");
    repository::with_one_file(&project);
    let goal = async |check: &str| {
        let acceptance = json!([{"text": "it holds", "check": check}]);
        let goal = json!({"description": "long", "acceptance": acceptance, "project": project});
        super::told(&daemon, "goal_create", goal).await["id"].as_str().expect("an id").to_owned()
    };
    let quick = begun(&daemon, "goal_check", json!({"goal_id": goal("true").await})).await;
    let task = ended(&daemon, &quick).await;
    let evidence = &task["result"]["structuredContent"]["acceptance"][0]["evidence"];
    assert_eq!((&task["status"], &evidence["passed"]), (&json!("completed"), &json!(true)), "{task}");

    let (held, lost) = (Held::at(daemon.path("held")), Held::at(daemon.path("lost")));
    let endless = goal(&held.line()).await;
    let id = begun(&daemon, "goal_check", json!({"goal_id": endless})).await;
    let programs = held.runs().await;
    assert_eq!(stands(&daemon, &id).await["statusMessage"], "the checks run");
    asked(&daemon, "tasks/cancel", json!({"taskId": id})).await;
    programs.await.expect("every program of the check has ended");
    assert_eq!(ended(&daemon, &id).await["status"], "cancelled");
    let shown = super::told(&daemon, "goal_show", json!({"goal_id": endless})).await;
    assert_eq!(shown["acceptance"][0]["evidence"], Value::Null, "nothing is recorded: {shown}");

    let open = begun(&daemon, "goal_check", json!({"goal_id": goal(&lost.line()).await})).await;
    let programs = lost.runs().await;
    let daemon = daemon.restarted().await;
    programs.await.expect("they end with their daemon");
    let task = stands(&daemon, &open).await;
    assert_eq!((&task["status"], &task["error"]["code"]), (&json!("failed"), &json!(-32603)), "{task}");
    assert_eq!(task["error"]["data"]["hint"], "call the tool again", "{task}");
    assert_eq!(stands(&daemon, &quick).await["status"], "completed");
    let rows = daemon.plane.events_of(&endless, 0, 100).await.expect("they are read");
    let calls: Vec<&str> =
        rows.iter().map(|row| row.event.kind()).filter(|kind| kind.starts_with("call")).collect();
    assert_eq!(calls, ["call_begun", "call_ended"]);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_client_that_has_the_extension_gets_a_handle_and_only_for_its_own_long_calls() {
    let daemon = Daemon::start().await;
    let run = json!({"name": "task_run", "arguments": {"blueprint": identity(), "input": {"in": 1}}});
    let without = spoken(&daemon, &daemon.token, ("tools/call", run.clone()), json!({})).await;
    assert_eq!(without["result"]["structuredContent"]["status"], "done", "it has waited: {without}");
    let short = asked(&daemon, "tools/call", json!({"name": "session_list", "arguments": {}})).await;
    assert_eq!(short["result"]["structuredContent"], json!({"sessions": []}));
    for (name, arguments, code) in [
        ("task_run", json!({}), "invalid_request"),
        ("task_run", json!({"blueprint_id": "nobody", "input": {}}), "not_found"),
        ("goal_check", json!({"goal_id": format!("g-{}", "0".repeat(16))}), "not_found"),
        ("goal_check", json!({"goal_id": "x"}), "invalid_request"),
    ] {
        let answer = asked(&daemon, "tools/call", json!({"name": name, "arguments": arguments})).await;
        assert_eq!(super::refusal(&answer["result"]).0, code, "what is refused has not begun: {answer}");
    }
    let observer = token(&daemon, "observer").await;
    let answer = asked_as(&daemon, &observer, "tools/call", run.clone()).await;
    assert_eq!(super::refusal(&answer["result"]).0, "forbidden");

    let id = begun(&daemon, "task_run", run["arguments"].clone()).await;
    let other = token(&daemon, "operator").await;
    let never = format!("call_{}", "0".repeat(32));
    for (token, id) in [(&other, id.as_str()), (&daemon.token, never.as_str()), (&daemon.token, "../x")] {
        for method in ["tasks/get", "tasks/cancel", "tasks/update"] {
            let params = json!({"taskId": id, "inputResponses": {}});
            unknown(&asked_as(&daemon, token, method, params).await);
        }
    }
    let undeclared = spoken(&daemon, &daemon.token, ("tasks/get", json!({"taskId": id})), json!({})).await;
    assert_eq!(undeclared["error"]["code"], -32021, "{undeclared}");
    let malformed = asked(&daemon, "tasks/get", json!({"task": id})).await;
    assert_eq!(malformed["error"]["code"], -32602, "{malformed}");

    let mut early = run.clone();
    early["_meta"] = json!({"io.modelcontextprotocol/clientCapabilities": {"extensions": {EXTENSION: {}}}});
    let waited = super::asked(&daemon, "tools/call", early).await;
    assert_eq!(waited["result"]["structuredContent"]["status"], "done", "it knows no handle: {waited}");

    let discovered = asked(&daemon, "server/discover", json!({})).await;
    assert!(discovered["result"]["capabilities"]["extensions"][EXTENSION].is_object(), "{discovered}");
    let earlier = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
    let agreed = super::asked(&daemon, "initialize", earlier).await;
    assert!(agreed["result"]["capabilities"].get("extensions").is_none(), "{agreed}");
    daemon.stop().await;
}
