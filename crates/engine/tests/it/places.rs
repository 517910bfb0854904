//! Agents that say how many of their steps may be done at once.

use adjutant_engine::tasks::TaskParams;
use adjutant_model::run::{RunStatus, TurnStatus};
use adjutant_testkit::{Home, owner, run, start, task, turns, until};
use serde_json::{Value, json};

/// A blueprint that does a step of the agent for each of so many items at once.
fn fanout(items: u64, agent: &Value) -> Value {
    let path = |at: &str| json!({"op": "path", "at": at});
    let step = json!({"kind": "step", "ref": "worker", "in": path("$.item"), "out": path("$.out")});
    json!({"id": "narrow", "agents": [agent], "flow": {
        "kind": "fanout", "join": "all", "bind": path("$.item"), "out": path("$.results"), "body": step,
        "items": {"op": "lit", "value": (0..items).collect::<Vec<_>>()}}})
}

/// An agent whose step fails when another one is done meanwhile.
fn alone() -> Value {
    let line = "mkdir lock && sleep 0.01 && rmdir lock";
    json!({"name": "worker", "kind": "command", "max_concurrency": 1,
        "spec": {"argv": ["sh", "-c", line], "use_stdin": false}})
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_of_all_runs_wait_for_a_place_of_their_agent() {
    let home = Home::new();
    let plane = home.plane().await;
    // All runs work in one folder.
    let folder = Home::new();
    let work_dir = Some(folder.folder().to_owned());
    let request = TaskParams { work_dir, ..task(fanout(6, &alone()), json!({})) };
    let runs =
        tokio::join!(run(&plane, request.clone()), run(&plane, request.clone()), run(&plane, request),);
    for ended in [runs.0, runs.1, runs.2] {
        assert_eq!(ended.status, RunStatus::Done, "{:?}", ended.error);
        assert!(turns(&plane, &ended.id).await.iter().all(|turn| turn.status == TurnStatus::Succeeded));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_cancelled_while_its_steps_wait_lets_others_go_on() {
    let home = Home::new();
    let plane = home.plane().await;
    let endless = json!({"name": "worker", "kind": "command", "max_concurrency": 1,
        "spec": {"argv": ["sleep", "600"], "use_stdin": false}});
    let stuck = start(&plane, task(fanout(4, &endless), json!({}))).await.run_id;
    until(&plane, async || {
        let rows = plane.events_of(stuck.as_str(), 0, 1000).await?;
        Ok(rows.into_iter().find(|row| row.event.kind() == "agent_progress"))
    })
    .await;
    plane.run_cancel(&owner(), &stuck, "enough").await.expect("it is cancelled");
    let quick =
        json!({"name": "worker", "kind": "function", "max_concurrency": 1, "spec": {"fn_id": "identity"}});
    let ended = run(&plane, task(fanout(4, &quick), json!({}))).await;
    assert_eq!(ended.status, RunStatus::Done, "{:?}", ended.error);
}
