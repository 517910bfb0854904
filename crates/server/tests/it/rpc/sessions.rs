//! Scopes of rules that a run is bound to: they come with it to another connection.

use super::{Bench, Door};
use crate::harness::Daemon;
use serde_json::{Value, json};

async fn with_tools(daemon: &Daemon) -> Door {
    let door = Door::open(daemon, Bench::answering([Ok(json!("found"))])).await;
    door.call("tools.register", json!([{"name": "search"}, {"name": "fetch"}])).await;
    door
}

async fn opened(door: &Door) -> String {
    let opened = door.call("session.policy.open", json!({})).await;
    opened["session_id"].as_str().expect("an id").to_owned()
}

async fn deny(door: &Door, tool: &str, session_id: Option<&str>) {
    let mut rule = json!({"name": format!("no-{tool}"), "rule": "deny_tool", "target": tool});
    if let Some(id) = session_id {
        rule["session_id"] = json!(id);
    }
    door.call("policy.register", rule).await;
}

/// Submits a call under a scope or none; gives its status and why it was not done.
async fn submit(door: &Door, tool: &str, session_id: Option<&str>) -> (String, String) {
    let mut params = json!({"proposal": {"actions": [{"type": "tool_call", "tool": tool}]}});
    if let Some(id) = session_id {
        params["session_id"] = json!(id);
    }
    let result = door.call("proposal.submit", params).await;
    let text = |key: &str| result["results"][0][key].as_str().unwrap_or_default().to_owned();
    (text("status"), text("error"))
}

async fn start(door: &Door, more: Value) -> String {
    let mut start = json!({"agent_id": "agent-a", "intent": "test"});
    for (key, value) in more.as_object().expect("members") {
        start[key] = value.clone();
    }
    door.call("runs.start", start).await["run_id"].as_str().expect("an id").to_owned()
}

/// Gives a new connection that goes on with a run.
async fn resumed(daemon: &Daemon, run_id: &str) -> Door {
    let door = with_tools(daemon).await;
    door.call("runs.resume", json!({"run_id": run_id})).await;
    door
}

#[tokio::test]
async fn a_run_is_bound_to_the_scope_that_it_was_started_under() {
    let daemon = Daemon::with_lease(60_000).await;
    let door = with_tools(&daemon).await;
    let (session, other) = (opened(&door).await, opened(&door).await);
    deny(&door, "search", Some(&session)).await;
    deny(&door, "fetch", Some(&other)).await;
    let run_id = start(&door, json!({"session_id": session})).await;
    assert_eq!(submit(&door, "search", None).await.0, "rejected", "without naming the scope as well");
    assert_eq!(submit(&door, "fetch", None).await.0, "succeeded");
    // A rule that comes later, and a scope that is closed: neither frees the run.
    deny(&door, "fetch", Some(&session)).await;
    door.call("session.policy.close", json!({"session_id": session})).await;
    let check = async |door: &Door| {
        for tool in ["search", "fetch"] {
            let (status, why) = submit(door, tool, None).await;
            assert!(status == "rejected" && why.contains(&format!("no-{tool}")), "{tool}: {status} {why}");
        }
    };
    check(&door).await;
    drop(door);
    let door = resumed(&daemon, &run_id).await;
    check(&door).await;
    drop(door);
    let daemon = daemon.restarted_with_lease(60_000).await;
    let door = resumed(&daemon, &run_id).await;
    check(&door).await;
    let unknown = json!({"agent_id": "agent-a", "intent": "test", "session_id": "nobody's"});
    assert_eq!(door.refused("runs.start", unknown).await.0, -32002);
    daemon.stop().await;
}

#[tokio::test]
async fn the_scopes_of_a_run_are_open_under_their_ids_where_it_goes_on() {
    let daemon = Daemon::with_lease(60_000).await;
    let door = with_tools(&daemon).await;
    let before = opened(&door).await;
    deny(&door, "search", Some(&before)).await;
    let run_id = start(&door, json!({})).await;
    let (later, closed) = (opened(&door).await, opened(&door).await);
    deny(&door, "fetch", Some(&later)).await;
    deny(&door, "fetch", Some(&closed)).await;
    door.call("session.policy.close", json!({"session_id": closed})).await;
    let table = [
        ("search", None, "succeeded"),
        ("search", Some(&before), "rejected"),
        ("fetch", Some(&before), "succeeded"),
        ("fetch", Some(&later), "rejected"),
        ("search", Some(&later), "succeeded"),
        ("search", Some(&closed), "rejected"),
    ];
    let check = async |door: &Door| {
        for (tool, session, status) in table {
            let (found, why) = submit(door, tool, session.map(String::as_str)).await;
            assert_eq!(found, status, "{tool} under {session:?}: {why}");
        }
    };
    check(&door).await;
    drop(door);
    let door = resumed(&daemon, &run_id).await;
    check(&door).await;
    drop(door);
    let daemon = daemon.restarted_with_lease(60_000).await;
    let door = resumed(&daemon, &run_id).await;
    check(&door).await;
    let (_, why) = submit(&door, "search", Some(&closed)).await;
    assert!(why.contains("is not open"), "{why}");
    daemon.stop().await;
}

#[tokio::test]
async fn a_rule_that_is_taken_from_a_scope_stays_with_the_run() {
    let daemon = Daemon::with_lease(60_000).await;
    let door = with_tools(&daemon).await;
    let session = opened(&door).await;
    deny(&door, "search", Some(&session)).await;
    let run_id = start(&door, json!({})).await;
    let removed = door.call("policy.remove", json!({"name": "no-search"})).await;
    assert_eq!(removed["removed"], 1, "{removed}");
    assert_eq!(submit(&door, "search", Some(&session)).await.0, "rejected");
    drop(door);
    let door = resumed(&daemon, &run_id).await;
    assert_eq!(submit(&door, "search", Some(&session)).await.0, "rejected");
    assert_eq!(submit(&door, "search", None).await.0, "succeeded");
    daemon.stop().await;
}
