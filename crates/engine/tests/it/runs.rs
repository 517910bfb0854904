//! Runs from request to end.

use adjutant_engine::EngineError;
use adjutant_engine::registry::VersionSelector;
use adjutant_engine::tasks::BlueprintRef;
use adjutant_model::run::{FlowErrorCode, RunStatus, TtlSource, TurnStatus};
use adjutant_testkit::{Home, json, owner, run, start, task, turns, until};
use serde_json::json;

fn step(agent: &str, input: &str, out: &str) -> serde_json::Value {
    json!({"kind": "step", "ref": agent, "in": {"op": "path", "at": input}, "out": {"op": "path", "at": out}})
}

fn identity(flow: serde_json::Value) -> serde_json::Value {
    json!({"id": "test", "agents": [{"name": "id", "kind": "rust_fn", "spec": {"fn_id": "identity"}}], "flow": flow})
}

fn sleeper(flow: serde_json::Value) -> serde_json::Value {
    json!({"id": "test", "flow": flow, "agents": [
        {"name": "id", "kind": "function", "spec": {"fn_id": "identity"}},
        {"name": "slow", "kind": "command", "spec": {"argv": ["sleep", "600"]}}]})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_of_functions_ends_with_its_context_and_a_turn_per_step() {
    let home = Home::new();
    let plane = home.plane().await;
    let flow = json!({"kind": "seq", "children": [step("id", "$.a", "$.b"), step("id", "$.b", "$.c")]});
    let ended = run(&plane, task(identity(flow), json!({"a": [1, null, {}]}))).await;
    assert_eq!(ended.status, RunStatus::Done);
    assert_eq!(ended.result, Some(json(json!({"a": [1, null, {}], "b": [1, null, {}], "c": [1, null, {}]}))));
    let turns = turns(&plane, &ended.id).await;
    let told: Vec<_> = turns.iter().map(|t| (t.index, t.path.to_string(), t.status)).collect();
    assert_eq!(
        told,
        [(0, "0".to_owned(), TurnStatus::Succeeded), (1, "1".to_owned(), TurnStatus::Succeeded)]
    );
    assert!(turns.iter().all(|t| t.ended_at.is_some()));
    assert_eq!(plane.run_get(&ended.id).await.expect("it is kept").result, ended.result);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wide_fanout_has_contiguous_turns_and_joins_in_order() {
    let home = Home::new();
    let plane = home.plane().await;
    let items: Vec<u32> = (0..1500).collect();
    let flow = json!({"kind": "fanout", "items": {"op": "path", "at": "$.items"}, "bind": {"op": "path", "at": "$.item"},
        "join": "all", "out": {"op": "path", "at": "$.out"}, "collect": {"op": "path", "at": "$.o"},
        "body": step("id", "$.item", "$.o")});
    let ended = run(&plane, task(identity(flow), json!({"items": items}))).await;
    assert_eq!(ended.result.as_ref().and_then(|ctx| ctx.get("out").cloned()), Some(json(json!(items))));
    let turns = turns(&plane, &ended.id).await;
    assert!(
        turns
            .iter()
            .enumerate()
            .all(|(at, turn)| turn.index == at as u64 && turn.status == TurnStatus::Succeeded)
    );
    assert_eq!(turns.len(), 1500);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_step_fails_the_run_and_says_where() {
    let home = Home::new();
    let plane = home.plane().await;
    let blueprint = json!({"id": "test", "flow": step("bad", "$", "$.x"),
        "agents": [{"name": "bad", "kind": "function", "spec": {"fn_id": "fail"}}]});
    let ended = run(&plane, task(blueprint, json!({"message": "boom"}))).await;
    let error = ended.error.clone().expect("it failed");
    assert_eq!(
        (ended.status, error.code, error.message.as_str()),
        (RunStatus::Failed, FlowErrorCode::StepFailed, "boom")
    );
    assert_eq!(
        (error.step.map(|s| s.to_string()), error.reference.as_deref()),
        (Some(".".to_owned()), Some("bad"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_a_run_ends_what_it_has_in_flight() {
    let home = Home::new();
    let plane = home.plane().await;
    let flow = json!({"kind": "seq", "children": [step("slow", "$", "$.x"), step("id", "$", "$.y")]});
    let started = start(&plane, task(sleeper(flow), json!({}))).await;
    until(&plane, async || Ok((!plane.turns(&started.run_id, None, 10).await?.is_empty()).then_some(())))
        .await;
    let run = plane.run_cancel(&owner(), &started.run_id, "test").await.expect("it is cancelled");
    assert_eq!(run.status, RunStatus::Cancelled);
    let turns = turns(&plane, &started.run_id).await;
    assert_eq!(
        turns.iter().map(|t| t.status).collect::<Vec<_>>(),
        [TurnStatus::Cancelled],
        "the next step never starts"
    );
    plane.stop().await;
    assert_eq!(
        adjutant_sessions::process::sweep_prefix(started.run_id.as_str()).await.killed,
        0,
        "no process of it is left"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_to_live_is_enforced() {
    let home = Home::new();
    let plane = home.plane().await;
    let mut params = task(sleeper(step("slow", "$", "$.x")), json!({}));
    params.ttl_secs = Some(1);
    let started = start(&plane, params).await;
    assert_eq!((started.effective_ttl_secs, started.ttl_source), (1, TtlSource::RequestBody));
    let ended = plane.run_ended(&started.run_id).await.expect("it ends");
    assert_eq!(ended.error.as_ref().map(|e| e.code), Some(FlowErrorCode::TtlExpired));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_takes_too_long_fails_and_can_be_caught() {
    let home = Home::new();
    let plane = home.plane().await;
    let mut slow = step("slow", "$", "$.x");
    slow["timeout_ms"] = json!(100);
    let flow = json!({"kind": "try", "body": slow, "catch": {"kind": "seq", "children": []}, "err_at": {"op": "path", "at": "$.err"}});
    let ended = run(&plane, task(sleeper(flow), json!({}))).await;
    assert_eq!(ended.result, Some(json(json!({"err": "timed out after 100 ms"}))));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_winner_of_a_race_ends_the_losers() {
    let home = Home::new();
    let plane = home.plane().await;
    let body = json!({"kind": "branch", "cond": {"op": "path", "at": "$.item"}, "then": step("id", "$.item", "$.o"), "else": step("slow", "$", "$.o")});
    let flow = json!({"kind": "fanout", "items": {"op": "lit", "value": [false, false, true]}, "bind": {"op": "path", "at": "$.item"},
        "join": "race", "out": {"op": "path", "at": "$.won"}, "collect": {"op": "path", "at": "$.o"}, "body": body});
    let ended = run(&plane, task(sleeper(flow), json!({}))).await;
    assert_eq!(ended.result, Some(json(json!({"won": true}))));
    let mut statuses: Vec<_> = turns(&plane, &ended.id).await.iter().map(|t| t.status).collect();
    statuses.sort_by_key(|status| status.as_str());
    assert_eq!(statuses, [TurnStatus::Cancelled, TurnStatus::Cancelled, TurnStatus::Succeeded]);
    plane.stop().await;
    assert_eq!(
        adjutant_sessions::process::sweep_prefix(ended.id.as_str()).await.killed,
        0,
        "no loser is left"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_rests_and_goes_on() {
    let home = Home::new();
    let plane = home.plane().await;
    let flow = json!({"kind": "seq", "children": [{"kind": "wait", "ms": 50}, step("id", "$.a", "$.b")]});
    let ended = run(&plane, task(identity(flow), json!({"a": 1}))).await;
    assert_eq!(ended.status, RunStatus::Done);
    let waited = ended.ended_at.expect("it ended").ms_since(ended.created_at);
    assert!(waited >= 50, "{waited} ms");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_run_is_refused_and_leaves_nothing() {
    let home = Home::new();
    let plane = home.plane().await;
    let good = identity(json!({"kind": "seq", "children": []}));
    let mut no_dir = task(good.clone(), json!({}));
    no_dir.project_root = Some("/nonexistent/project".into());
    let mut no_agent = task(good.clone(), json!({}));
    no_agent.agent = Some("nobody".to_owned());
    let mut no_ttl = task(good.clone(), json!({}));
    no_ttl.ttl_secs = Some(0);
    let mut no_blueprint = task(good, json!({}));
    no_blueprint.blueprint = BlueprintRef::Id { id: "unknown".to_owned(), version: VersionSelector::Latest };
    let wrong_agent = task(identity(step("ghost", "$", "$.x")), json!({}));
    for (params, code) in [
        (no_dir, "invalid_request"),
        (no_agent, "invalid_request"),
        (no_ttl, "invalid_request"),
        (no_blueprint, "not_found"),
        (wrong_agent, "blueprint_invalid"),
    ] {
        let error: EngineError = plane.task_start(&owner(), params).await.expect_err("it is refused");
        assert_eq!(error.code(), code, "{error}");
    }
    assert_eq!(plane.task_list(10).await.expect("readable").len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_stops_a_dangerous_command_step_before_it_starts() {
    let home = Home::new();
    let plane = home.plane().await;
    let blueprint = json!({"id": "test", "flow": step("rm", "$", "$.x"),
        "agents": [{"name": "rm", "kind": "command", "spec": {"argv": ["sh", "-c", "rm -rf /"]}}]});
    let ended = run(&plane, task(blueprint, json!({}))).await;
    assert_eq!(ended.status, RunStatus::Failed);
    let message = ended.error.as_ref().map(|e| e.message.clone()).unwrap_or_default();
    assert!(message.contains("refused by the gate"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_and_fifty_six_runs_at_once_all_end_well() {
    let home = Home::new();
    let plane = home.plane().await;
    let children: Vec<_> = (0..20).map(|_| step("id", "$.a", "$.b")).collect();
    let flow = json!({"kind": "seq", "children": children});
    let runs = (0..256).map(|n| run(&plane, task(identity(flow.clone()), json!({"a": n}))));
    let ended = futures_util::future::join_all(runs).await;
    assert!(ended.iter().all(|run| run.status == RunStatus::Done));
}
