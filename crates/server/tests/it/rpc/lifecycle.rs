//! B: how runs begin, end and are taken up again.

use super::door::Endless;
use super::{Bench, Door, eventually};
use crate::harness::Daemon;
use adjutant_protocol::rpc::{NoTools, RpcClientError};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

fn success() -> Value {
    json!({"status": "success", "summary": "did it"})
}

#[tokio::test]
async fn b1_two_starts_are_two_runs() {
    let daemon = Daemon::start().await;
    let door = Door::open(&daemon, NoTools).await;
    let (first, second) = (door.start("agent-a").await, door.start("agent-a").await);
    assert!(!first.is_empty() && first != second);
    daemon.stop().await;
}

#[tokio::test]
async fn b2_the_same_key_is_the_same_run_and_another_request_with_it_is_a_conflict() {
    let daemon = Daemon::start().await;
    let door = Door::open(&daemon, NoTools).await;
    let start = |intent: &str| json!({"agent_id": "agent-a", "intent": intent, "idempotency_key": "occ-42"});
    assert_eq!(door.call("runs.start", start("test")).await["run_id"], "occ-42");
    assert_eq!(door.call("runs.start", start("test")).await["run_id"], "occ-42");
    let listed = door.call("runs.list", json!({"agent_id": "agent-a"})).await;
    assert_eq!(listed["runs"].as_array().expect("a list").len(), 1);
    assert_eq!(door.refused("runs.start", start("another")).await.0, -32010);
    let other = Door::of_agent(&daemon, "agent-b", NoTools).await;
    let foreign = json!({"intent": "test", "idempotency_key": "occ-42"});
    let (code, message) = other.refused("runs.start", foreign).await;
    assert_eq!(code, -32010);
    assert!(!message.contains("agent-a"), "w9: the other agent is not named: {message}");
    daemon.stop().await;
}

#[tokio::test]
async fn b4_a_completed_run_keeps_its_outcome_and_takes_no_more() {
    let daemon = Daemon::start().await;
    let door = Door::open(&daemon, Bench::default()).await;
    let run_id = door.start("agent-a").await;
    let done = door.call("runs.complete", json!({"run_id": run_id, "outcome": success()})).await;
    assert_eq!(done, json!({"run_id": run_id, "ok": true}));
    let again = door.refused("runs.complete", json!({"run_id": run_id, "outcome": success()})).await;
    assert_eq!(again.0, -32010);
    let trace = door.call("runs.get_trace", json!({"run_id": run_id})).await;
    let ended = &trace["records"][1];
    assert_eq!((&ended["record"], &ended["termination"]["kind"]), (&json!("ended"), &json!("outcome")));
    assert_eq!(ended["termination"]["outcome"]["summary"], "did it");
    daemon.stop().await;
}

#[tokio::test]
async fn b3_a_run_that_has_started_takes_what_is_submitted_next() {
    let daemon = Daemon::start().await;
    let mut raw = daemon.web_socket(Some(&daemon.token)).await;
    for run_id in ["run-1", "run-2"] {
        let start = json!({"agent_id": "agent-a", "intent": "test", "idempotency_key": run_id});
        raw.send(&json!({"id": "start", "method": "runs.start", "params": start}).to_string()).await;
        assert_eq!(raw.next().await.expect("an answer")["result"]["run_id"], run_id);
        let read = json!({"type": "state_read", "parameters": {"key": run_id}});
        let submit = json!({"proposal": {"actions": [read]}});
        raw.send(&json!({"id": "submit", "method": "proposal.submit", "params": submit}).to_string()).await;
        assert_eq!(raw.next().await.expect("an answer")["result"]["results"][0]["status"], "succeeded");
    }
    let door = Door::open(&daemon, NoTools).await;
    for run_id in ["run-1", "run-2"] {
        let turns = door.turns(run_id).await;
        assert_eq!(turns.len(), 1, "{turns:?}");
        assert_eq!(turns[0]["parameters"]["key"], run_id);
    }
    daemon.stop().await;
}

#[tokio::test]
async fn b5_a_connection_that_goes_leaves_a_completed_run_as_it_is() {
    let daemon = Daemon::with_lease(50).await;
    let door = Door::open(&daemon, NoTools).await;
    let (completed, open) = (door.start("agent-a").await, door.start("agent-a").await);
    door.call("runs.complete", json!({"run_id": completed, "outcome": success()})).await;
    drop(door);
    let door = Door::open(&daemon, NoTools).await;
    // When the lease of the one is over, that of the other would be too.
    eventually(async || (status_of(&door, &open).await == "incomplete").then_some(())).await;
    assert_eq!(status_of(&door, &completed).await, "completed");
    let trace = door.call("runs.get_trace", json!({"run_id": completed})).await;
    let termination = &trace["records"][1]["termination"];
    assert_eq!((&termination["kind"], &termination["status"]), (&json!("outcome"), &json!("success")));
    daemon.stop().await;
}

/// Gives what the list of agent-a's runs says of one.
async fn status_of(door: &Door, run_id: &str) -> Value {
    let listed = door.call("runs.list", json!({"agent_id": "agent-a"})).await;
    let runs = listed["runs"].as_array().expect("a list");
    runs.iter().find(|run| run["run_id"] == run_id).expect("it is listed")["status"].clone()
}

#[tokio::test]
async fn b6_a_connection_that_goes_starts_the_lease_and_then_the_run_is_incomplete() {
    let daemon = Daemon::with_lease(100).await;
    let door = Door::open(&daemon, NoTools).await;
    let run_id = door.start("agent-a").await;
    drop(door);
    let door = Door::open(&daemon, NoTools).await;
    let ended = eventually(async || {
        let listed = door.call("runs.list", json!({"agent_id": "agent-a"})).await;
        (listed["runs"][0]["status"] == "incomplete").then_some(listed)
    })
    .await;
    assert_eq!(ended["runs"][0]["run_id"], json!(run_id));
    let trace = door.call("runs.get_trace", json!({"run_id": run_id})).await;
    assert_eq!(trace["records"][1]["termination"], json!({"kind": "incomplete"}));
    assert_eq!(door.refused("runs.resume", json!({"run_id": run_id})).await.0, -32002);
    daemon.stop().await;
}

#[tokio::test]
async fn a_run_is_resumed_with_its_rules_and_its_state_and_the_old_connection_has_lost_it() {
    let daemon = Daemon::start().await;
    let first = Door::open(&daemon, Bench::default()).await;
    first.call("tools.register", json!([{"name": "search"}])).await;
    first.call("state.set", json!({"key": "mode", "value": "careful"})).await;
    first
        .call("policy.register", json!({"name": "no-search", "rule": "deny_tool", "target": "search"}))
        .await;
    let run_id = first.start("agent-a").await;
    first.submit("search", json!({})).await;
    drop(first);
    let second = Door::open(&daemon, Bench::default()).await;
    second.call("tools.register", json!([{"name": "search"}])).await;
    let resumed = second.call("runs.resume", json!({"run_id": run_id})).await;
    assert_eq!((&resumed["cursor"], &resumed["status"]), (&json!(1), &json!("in_progress")));
    assert_eq!(second.call("state.get", json!({"key": "mode"})).await, "careful");
    let result = second.submit("search", json!({})).await;
    assert_eq!(result["results"][0]["status"], "rejected", "{result}");
    let turns = second.turns(&run_id).await;
    assert_eq!(turns.iter().map(|turn| &turn["index"]).collect::<Vec<_>>(), [&json!(0), &json!(1)]);
    daemon.stop().await;
}

/// Starts a run whose proposal is held by its first call, with a second action that waits for it; gives the run's id
/// and the proposal's answer.
async fn held_run(door: &Door, tools: &Endless) -> (String, JoinHandle<Result<Value, RpcClientError>>) {
    door.call("tools.register", json!([{"name": "search"}])).await;
    let run_id = door.start("agent-a").await;
    let held = json!({"type": "tool_call", "tool": "search", "expected_effects": {"k": 1}});
    let after = json!({"type": "tool_call", "tool": "search", "state_dependencies": ["k"]});
    let submitting = door.client.clone();
    let submitted = tokio::spawn(async move {
        submitting.call("proposal.submit", json!({"proposal": {"actions": [held, after]}})).await
    });
    tools.called.notified().await;
    (run_id, submitted)
}

#[tokio::test]
async fn a_run_that_is_cancelled_stops_its_proposals_and_every_turn_says_so() {
    let daemon = Daemon::start().await;
    let tools = Endless::default();
    let door = Door::of_agent(&daemon, "agent-a", tools.clone()).await;
    let (run_id, submitted) = held_run(&door, &tools).await;
    let host = Door::open(&daemon, NoTools).await;
    let cancelled = host.call("runs.cancel", json!({"run_id": run_id, "reason": "enough"})).await;
    assert_eq!(cancelled["status"], "cancelled");
    tools.given_up.notified().await;
    let result = submitted.await.expect("no panic").expect("an answer");
    for (at, error) in ["canceled: its run ends", "not started: its run ends"].iter().enumerate() {
        assert_eq!(result["results"][at]["error"], *error);
        assert_eq!(ends_of(&host, &run_id).await[at], ("cancelled".to_owned(), (*error).to_owned()));
    }
    let trace = host.call("runs.get_trace", json!({"run_id": run_id})).await;
    assert_eq!(trace["records"][3]["termination"], json!({"kind": "cancelled"}));
    daemon.stop().await;
}

#[tokio::test]
async fn a_run_that_ends_before_its_proposal_accounts_for_every_turn() {
    let daemon = Daemon::start().await;
    let tools = Endless::default();
    let door = Door::open(&daemon, tools.clone()).await;
    let (run_id, submitted) = held_run(&door, &tools).await;
    door.call("runs.complete", json!({"run_id": run_id, "outcome": success()})).await;
    let ends = ends_of(&door, &run_id).await;
    let why = ["canceled: its run ends", "not started: its run ends"];
    assert_eq!(ends, why.map(|why| ("cancelled".to_owned(), why.to_owned())));
    let trace = door.call("runs.get_trace", json!({"run_id": run_id})).await;
    assert_eq!(trace["records"][3]["termination"]["status"], "success");
    submitted.abort();
    daemon.stop().await;
}

/// Gives how the turns of a run ended, and why.
async fn ends_of(door: &Door, run_id: &str) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let turns = door.turns(run_id).await;
    turns.iter().map(|turn| (text(&turn["status"]), text(&turn["error"]))).collect()
}

#[tokio::test]
async fn b7_a_run_needs_an_agent_and_a_name_makes_one() {
    let daemon = Daemon::start().await;
    let door = Door::open(&daemon, NoTools).await;
    assert_eq!(door.refused("runs.start", json!({"intent": "test"})).await.0, -32602);
    let named = door.call("runs.start", json!({"intent": "test", "agent_name": "Bulldozer Agent"})).await;
    assert_eq!(named["agent_id"], "name:bulldozer-agent");
    assert_eq!(door.refused("runs.start", json!({"intent": "  ", "agent_id": "a"})).await.0, -32602);
    daemon.stop().await;
}

#[tokio::test]
async fn b8_c4_a_token_of_an_agent_starts_and_tells_of_runs_of_that_agent_only() {
    let daemon = Daemon::start().await;
    let door = Door::of_agent(&daemon, "agent-a", NoTools).await;
    assert_eq!(door.refused("runs.start", json!({"intent": "test", "agent_id": "agent-b"})).await.0, -32003);
    assert_eq!(door.call("runs.start", json!({"intent": "test"})).await["agent_id"], "agent-a");
    assert_eq!(door.refused("runs.list", json!({"agent_id": "agent-b"})).await.0, -32003);
    daemon.stop().await;
}

#[tokio::test]
async fn f3_and_w10_what_is_another_agents_looks_like_nothing() {
    let daemon = Daemon::start().await;
    let door = Door::of_agent(&daemon, "agent-a", NoTools).await;
    let run_id = door.start("agent-a").await;
    let other = Door::of_agent(&daemon, "agent-b", NoTools).await;
    for method in ["runs.get_trace", "runs.subscribe"] {
        for id in [run_id.as_str(), "no-such-run"] {
            let answer = other.call(method, json!({"run_id": id})).await;
            assert_eq!(answer, json!({"run_id": id, "not_found": true}), "{method}");
        }
    }
    for id in [run_id.as_str(), "no-such-run"] {
        let (code, message) =
            other.refused("runs.complete", json!({"run_id": id, "outcome": success()})).await;
        assert_eq!(
            (code, message.replace(id, "ID")),
            (-32002, "runs.complete: the run ID was not found".to_owned())
        );
        let dropped = other.call("runs.record_turns", json!({"run_id": id, "turns": [{}]})).await;
        assert_eq!((&dropped["ok"], &dropped["dropped"]), (&json!(false), &json!("run_not_found")), "c4");
    }
    daemon.stop().await;
}
