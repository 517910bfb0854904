//! Runs and blueprints over MCP: started, waited for, cancelled, looked at.

use super::{called_as, client, refused, told};
use crate::harness::{Daemon, endless, identity};
use adjutant_testkit::until;
use rmcp::model::{CallToolRequestParams, ProtocolVersion};
use serde_json::json;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn a_blueprint_is_executed_and_its_run_looked_at() {
    let daemon = Daemon::start().await;
    let run = json!({"blueprint": identity(), "input": {"in": "hello"}, "goal": "say it back"});
    let done = told(&daemon, "task_run", run.clone()).await;
    assert_eq!((&done["status"], &done["final_ctx"]["out"]), (&json!("done"), &json!("hello")), "{done}");
    let started = told(&daemon, "run_start", run).await;
    let which = json!({"run_id": started["run_id"]});
    let ended = until(&daemon.plane, async || {
        let found = told(&daemon, "run_status", which.clone()).await;
        Ok((found["status"] == "done").then_some(found))
    })
    .await;
    assert_eq!(ended["id"], started["run_id"], "{ended}");
    let trace = told(&daemon, "run_trace", which.clone()).await;
    assert_eq!(
        (&trace["turns"][0]["name"], &trace["next_after"]),
        (&json!("worker"), &json!(null)),
        "{trace}"
    );
    let uri = format!("adjutant://runs/{}/trace", started["run_id"].as_str().expect("an id"));
    let read = super::asked(&daemon, "resources/read", json!({"uri": uri})).await;
    assert!(
        read["result"]["contents"][0]["text"].as_str().is_some_and(|text| text.contains("worker")),
        "{read}"
    );
    let (code, _) = refused(&daemon, "run_status", json!({"run_id": "run_00000000000000000000000000"})).await;
    assert!(code == "not_found" || code == "invalid_request", "{code}");
    let (_, message) = refused(&daemon, "run_start", json!({})).await;
    assert!(message.contains("blueprint_id"), "{message}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blueprint_that_fails_says_where() {
    let daemon = Daemon::start().await;
    let run = json!({"blueprint": identity(), "input": {}});
    let (code, message) = refused(&daemon, "task_run", run).await;
    assert_eq!(code, "flow_failed", "{message}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_client_goes_away_cancels_its_run() {
    let daemon = Daemon::start().await;
    for revision in [ProtocolVersion::V_2025_06_18, ProtocolVersion::V_2026_07_28] {
        let client = client(&daemon, &daemon.token, revision).await;
        let arguments = json!({"blueprint": endless(), "input": {}}).as_object().expect("an object").clone();
        let call = client.call_tool(CallToolRequestParams::new("task_run").with_arguments(arguments));
        let waited = tokio::time::timeout(Duration::from_millis(500), call).await;
        assert!(waited.is_err(), "it waits for hours");
        client.cancel().await.expect("it goes");
        let newest = async || {
            let runs = daemon.client.runs(1).await.expect("they are listed").runs;
            Ok(runs.into_iter().next().filter(|run| run.status == "cancelled"))
        };
        until(&daemon.plane, newest).await;
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn blueprints_are_listed_shown_and_asked_to_change() {
    let daemon = Daemon::start().await;
    let written = daemon.send("POST /v1/blueprints/test", &identity().to_string()).await;
    assert_eq!(written.status, 201, "{written:?}");
    let listed = told(&daemon, "blueprint_list", json!({})).await;
    let ids: Vec<&str> =
        listed["blueprints"].as_array().expect("some").iter().filter_map(|one| one["id"].as_str()).collect();
    assert!(ids.contains(&"test"), "{ids:?}");
    let shown = told(&daemon, "blueprint_show", json!({"blueprint_id": "test"})).await;
    assert_eq!(shown["blueprint"]["id"], "test", "{shown}");
    assert_eq!(refused(&daemon, "blueprint_show", json!({"blueprint_id": "nope"})).await.0, "not_found");
    let opened =
        told(&daemon, "issue_open", json!({"blueprint_id": "test", "intent": "say it louder"})).await;
    assert_eq!(opened["status"], "pending", "{opened}");
    let none =
        called_as(&daemon, &daemon.token, "issue_open", json!({"blueprint_id": "nope", "intent": "x"})).await;
    assert_eq!(none["isError"], true, "{none}");
    daemon.stop().await;
}
