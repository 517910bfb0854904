//! Limits of a run: they hold over all its proposals, over its connections and over restarts.

use super::door::Endless;
use super::{Bench, Door};
use crate::harness::Daemon;
use serde_json::{Value, json};

const SEARCH: &str = "search";

/// Starts a run with limits, on a connection with the tool `search`.
async fn limited(daemon: &Daemon, tools: Bench, limits: Value) -> (Door, String) {
    let door = Door::open(daemon, tools).await;
    door.call("tools.register", json!([{"name": SEARCH}])).await;
    let mut start = json!({"agent_id": "agent-a", "intent": "test"});
    for (key, value) in limits.as_object().expect("limits") {
        start[key] = value.clone();
    }
    let run_id = door.call("runs.start", start).await["run_id"].as_str().expect("an id").to_owned();
    (door, run_id)
}

async fn resumed(daemon: &Daemon, tools: Bench, run_id: &str) -> Door {
    let door = Door::open(daemon, tools).await;
    door.call("tools.register", json!([{"name": SEARCH}])).await;
    door.call("runs.resume", json!({"run_id": run_id})).await;
    door
}

/// Gives the status of a result's first action, and why it was not done.
fn first(result: &Value) -> (&str, &str) {
    let first = &result["results"][0];
    (first["status"].as_str().expect("a status"), first["error"].as_str().unwrap_or_default())
}

/// Gives the limits that the journal says were reached.
async fn reached(daemon: &Daemon, run_id: &str) -> Vec<Value> {
    let rows = daemon.plane.events_of(&format!("client:{run_id}"), 0, 1000).await.expect("the journal");
    let rows = rows.into_iter().filter(|row| row.event.kind() == "client_run_limit_reached");
    rows.map(|row| serde_json::to_value(row.event).expect("JSON")["reason"].clone()).collect()
}

#[tokio::test]
async fn calls_of_tools_are_counted_over_proposals_connections_and_restarts() {
    let daemon = Daemon::with_lease(60_000).await;
    let tools = Bench::answering([Ok(json!("found"))]);
    let (door, run_id) = limited(&daemon, tools.clone(), json!({"max_tool_calls": 3})).await;
    assert_eq!(first(&door.submit(SEARCH, json!({})).await).0, "succeeded");
    drop(door);
    let door = resumed(&daemon, tools.clone(), &run_id).await;
    assert_eq!(first(&door.submit(SEARCH, json!({})).await).0, "succeeded");
    drop(door);
    let daemon = daemon.restarted_with_lease(60_000).await;
    let door = resumed(&daemon, tools.clone(), &run_id).await;
    assert_eq!(first(&door.submit(SEARCH, json!({})).await).0, "succeeded");
    let spent = "not started: the run's limit of 3 tool calls is reached";
    let refused = door.submit(SEARCH, json!({})).await;
    assert_eq!(first(&refused), ("skipped", spent));
    assert_eq!(
        (&refused["cost"]["tool_calls"], &refused["cost"]["actions_executed"]),
        (&json!(0), &json!(0))
    );
    assert_eq!(first(&door.submit(SEARCH, json!({})).await), ("skipped", spent));
    assert_eq!(tools.asked().len(), 3);
    let read = json!({"proposal": {"actions": [{"type": "state_read", "parameters": {"key": "x"}}]}});
    assert_eq!(first(&door.call("proposal.submit", read).await).0, "succeeded", "it calls no tool");
    let turns = door.turns(&run_id).await;
    let statuses: Vec<_> = turns.iter().map(|turn| turn["status"].as_str().expect("a status")).collect();
    assert_eq!(statuses, ["succeeded", "succeeded", "succeeded", "cancelled", "cancelled", "succeeded"]);
    assert_eq!((&turns[3]["error"], &turns[3]["attempt"]), (&json!(spent), &json!(0)));
    assert_eq!(reached(&daemon, &run_id).await, [json!("the run's limit of 3 tool calls is reached")]);
    let outcome = json!({"run_id": run_id, "outcome": {"status": "success"}});
    assert_eq!(door.call("runs.complete", outcome).await["ok"], true);
    daemon.stop().await;
}

#[tokio::test]
async fn an_attempt_that_is_repeated_counts_and_a_cached_answer_does_not() {
    let daemon = Daemon::start().await;
    let tools = Bench::answering([Err("not yet".to_owned())]);
    let (door, _) = limited(&daemon, tools.clone(), json!({"max_tool_calls": 2})).await;
    let action = json!({"type": "tool_call", "tool": SEARCH, "failure_behavior": "retry", "max_retries": 5});
    let result = door.call("proposal.submit", json!({"proposal": {"actions": [action]}})).await;
    assert_eq!(first(&result), ("failed", "not yet"));
    assert_eq!((tools.asked().len(), &result["cost"]["retries"]), (2, &json!(1)));

    let tools = Bench::answering([Ok(json!("found"))]);
    let (door, _) = limited(&daemon, tools.clone(), json!({"max_tool_calls": 1})).await;
    let action = json!({"type": "tool_call", "tool": SEARCH, "idempotent": true});
    for _ in 0..2 {
        let result = door.call("proposal.submit", json!({"proposal": {"actions": [action]}})).await;
        assert_eq!(first(&result).0, "succeeded");
    }
    assert_eq!(tools.asked().len(), 1);
    daemon.stop().await;
}

#[tokio::test]
async fn calls_side_by_side_share_what_is_left_and_the_rest_goes_on() {
    let daemon = Daemon::start().await;
    let tools = Bench::answering([Ok(json!("found"))]);
    let (door, run_id) = limited(&daemon, tools.clone(), json!({"max_tool_calls": 2})).await;
    let calls: Vec<_> = (0..5).map(|_| json!({"type": "tool_call", "tool": SEARCH})).collect();
    let result = door.call("proposal.submit", json!({"proposal": {"actions": calls}})).await;
    let results = result["results"].as_array().expect("results");
    let of = |status: &str| results.iter().filter(|result| result["status"] == status).count();
    assert_eq!((of("succeeded"), of("skipped"), tools.asked().len()), (2, 3, 2), "{result}");
    assert_eq!((&result["cost"]["tool_calls"], &result["cost"]["actions_skipped"]), (&json!(2), &json!(3)));
    assert_eq!(reached(&daemon, &run_id).await.len(), 1);
    daemon.stop().await;
}

#[tokio::test]
async fn a_run_whose_time_is_over_stops_what_it_does_and_takes_no_more_even_after_a_restart() {
    let daemon = Daemon::with_lease(60_000).await;
    let tool = Endless::default();
    let door = Door::open(&daemon, tool.clone()).await;
    door.call("tools.register", json!([{"name": SEARCH}])).await;
    let start = json!({"agent_id": "agent-a", "intent": "test", "max_duration_ms": 200});
    let run_id = door.call("runs.start", start).await["run_id"].as_str().expect("an id").to_owned();
    let result = door.submit(SEARCH, json!({})).await;
    let over = "the run's limit of 200 ms is reached";
    assert_eq!(first(&result), ("skipped", format!("canceled: {over}").as_str()));
    tool.given_up.notified().await;
    let not_started = format!("not started: {over}");
    assert_eq!(first(&door.submit(SEARCH, json!({})).await), ("skipped", not_started.as_str()));
    drop(door);
    let daemon = daemon.restarted_with_lease(60_000).await;
    let tools = Bench::default();
    let door = resumed(&daemon, tools.clone(), &run_id).await;
    assert_eq!(first(&door.submit(SEARCH, json!({})).await), ("skipped", not_started.as_str()));
    assert!(tools.asked().is_empty());
    assert_eq!(reached(&daemon, &run_id).await[0], over);
    daemon.stop().await;
}

#[tokio::test]
async fn limits_are_numbers_and_belong_to_what_an_idempotency_key_stands_for() {
    let daemon = Daemon::start().await;
    let door = Door::open(&daemon, Bench::default()).await;
    let start = |limit: Value| json!({"agent_id": "a", "intent": "t", "idempotency_key": "k", "max_tool_calls": limit});
    for wrong in [json!("3"), json!(-1), json!(1.5)] {
        assert_eq!(door.refused("runs.start", start(wrong)).await.0, -32602);
    }
    for _ in 0..2 {
        assert_eq!(door.call("runs.start", start(json!(3))).await["run_id"], "k");
    }
    for other in [json!(4), Value::Null] {
        assert_eq!(door.refused("runs.start", start(other)).await.0, -32010);
    }
    daemon.stop().await;
}
