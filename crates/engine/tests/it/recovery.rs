//! Runs that outlive their daemon.

use adjutant_engine::EngineError;
use adjutant_model::event::Event;
use adjutant_model::id::Uuid;
use adjutant_model::run::{FlowErrorCode, RunRecord, RunStatus, TaskRecord, TtlSource, TurnStatus};
use adjutant_model::{RunId, TaskId, Timestamp};
use adjutant_store::{Store, StoreOptions, Write};
use adjutant_testkit::{Home, json, owner, start, task, turns, until};
use serde_json::json;

fn lines(home: &Home) -> usize {
    std::fs::read_to_string(home.path("log")).map_or(0, |text| text.lines().count())
}

/// Appends a line to a file for every step, and one step holds until a file is there.
fn blueprint(home: &Home) -> serde_json::Value {
    let log = home.path("log").display().to_string();
    let go = home.path("go").display().to_string();
    json!({"id": "test", "agents": [
        {"name": "note", "kind": "command", "spec": {"argv": ["sh", "-c", format!("cat >> '{log}'; echo >> '{log}'")]}},
        {"name": "hold", "kind": "command", "spec": {"argv": ["sh", "-c", format!("while [ ! -e '{go}' ]; do sleep 0.02; done; cat")]}}],
      "flow": {"kind": "seq", "children": [
        {"kind": "fanout", "items": {"op": "lit", "value": [1, 2, 3]}, "bind": {"op": "path", "at": "$.item"}, "join": "all",
         "out": {"op": "path", "at": "$.noted"}, "collect": {"op": "path", "at": "$.o"},
         "body": {"kind": "step", "ref": "note", "in": {"op": "path", "at": "$.item"}, "out": {"op": "path", "at": "$.o"}}},
        {"kind": "step", "ref": "hold", "in": {"op": "lit", "value": 7}, "out": {"op": "path", "at": "$.held"}},
        {"kind": "step", "ref": "note", "in": {"op": "path", "at": "$.held"}, "out": {"op": "path", "at": "$.last"}}]}})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_goes_on_under_the_next_daemon_and_repeats_nothing_that_settled() {
    let home = Home::new();
    let plane = home.plane().await;
    let started = start(&plane, task(blueprint(&home), json!({}))).await;
    until(&plane, async || Ok((plane.turns(&started.run_id, None, 10).await?.len() == 4).then_some(())))
        .await;
    plane.stop().await;
    assert_eq!(lines(&home), 3);

    let plane = home.plane().await;
    assert_eq!(plane.run_get(&started.run_id).await.expect("it is there").status, RunStatus::Running);
    std::fs::write(home.path("go"), "").expect("the file is written");
    let ended = plane.run_ended(&started.run_id).await.expect("it ends");
    assert_eq!(ended.status, RunStatus::Done, "{:?}", ended.error);
    assert_eq!(ended.result.as_ref().and_then(|ctx| ctx.get("held").cloned()), Some(json(json!(7))));
    assert_eq!(lines(&home), 4, "three before the stop, one behind it");
    let turns = turns(&plane, &started.run_id).await;
    assert!(
        turns.iter().enumerate().all(|(at, t)| t.index == at as u64 && t.status == TurnStatus::Succeeded)
    );
    assert_eq!(turns.len(), 5, "the step in flight kept its turn");
    let rows = plane.events_of(started.run_id.as_str(), 0, 1000).await.expect("readable");
    let adopted =
        rows.iter().any(|row| matches!(row.event, Event::RunAdopted { epoch: 2, in_flight: 1, .. }));
    assert!(adopted, "{rows:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_goes_off_under_the_next_daemon() {
    let home = Home::new();
    let plane = home.plane().await;
    let blueprint = json!({"id": "test", "flow": {"kind": "wait", "ms": 400}});
    let started = start(&plane, task(blueprint, json!({"a": 1}))).await;
    until(&plane, async || {
        Ok((plane.run_get(&started.run_id).await?.status == RunStatus::Waiting).then_some(()))
    })
    .await;
    plane.stop().await;
    let plane = home.plane().await;
    let ended = plane.run_ended(&started.run_id).await.expect("it ends");
    assert_eq!((ended.status, ended.result.clone()), (RunStatus::Done, Some(json(json!({"a": 1})))));
    assert!(ended.ended_at.expect("it ended").ms_since(ended.created_at) >= 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_to_live_counts_from_the_beginning_and_not_from_the_restart() {
    let home = Home::new();
    let plane = home.plane().await;
    let mut params = task(blueprint(&home), json!({}));
    params.ttl_secs = Some(1);
    let started = start(&plane, params).await;
    plane.stop().await;
    let plane = home.plane().await;
    let ended = plane.run_ended(&started.run_id).await.expect("it ends");
    assert_eq!(ended.status, RunStatus::Failed);
    let took = ended.ended_at.expect("it ended").ms_since(ended.created_at);
    assert!((1000..3000).contains(&took), "{took} ms");
}

/// Leaves a run behind that an earlier version began, of a blueprint that this one cannot read.
async fn left_by_an_earlier_version(home: &Home) -> RunId {
    let (task_id, run_id) = (TaskId::new(Uuid::from_u128(1)), RunId::new(Uuid::from_u128(2)));
    let (hash, at) = ("0".repeat(64), Timestamp::from_unix_ms(1_700_000_000_000));
    let task = TaskRecord {
        id: task_id.clone(),
        goal: None,
        blueprint_id: "old".to_owned(),
        blueprint_hash: hash.clone(),
        input: json(json!({})),
        request: json(json!({})),
        created_at: at,
    };
    let run = RunRecord {
        id: run_id.clone(),
        task_id,
        status: RunStatus::Running,
        owner: "an earlier daemon".to_owned(),
        epoch: 1,
        blueprint_id: "old".to_owned(),
        blueprint_hash: hash.clone(),
        ttl_ms: 1_800_000,
        ttl_source: TtlSource::ServerDefault,
        workspace: None,
        goal_id: None,
        agent_override: None,
        error: None,
        result: None,
        created_at: at,
        ended_at: None,
    };
    let store = Store::open(StoreOptions::new(home.folder()), at).expect("the store opens");
    let mut write = Write::default();
    write.blueprint_put(&hash, "old", r#"{"id":"old","flow":{"kind":"of yesterday"}}"#);
    write.task_create(&task).run_create(&run);
    store.write(write).await.expect("it is kept");
    store.close().await.expect("it closes");
    run_id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_blueprint_cannot_be_read_any_more_is_interrupted_and_stays_so_until_it_can_go_on() {
    let home = Home::new();
    let run_id = left_by_an_earlier_version(&home).await;
    let plane = home.plane().await;
    let run = plane.run_get(&run_id).await.expect("it is there");
    assert_eq!((run.status, run.epoch), (RunStatus::Interrupted, 2));
    let error = run.error.expect("a reason");
    assert_eq!(error.code, FlowErrorCode::Interrupted);
    assert!(error.message.contains("of yesterday"), "{error}");
    let refused = plane.run_resume(&run_id).await.expect_err("it still cannot be read");
    assert!(matches!(refused, EngineError::Blueprint { .. }), "{refused:?}");
    let waited = plane.run_ended(&run_id).await.expect("nobody waits for it in vain");
    assert_eq!((waited.status, waited.epoch), (RunStatus::Interrupted, 2), "a refusal changes nothing");
    plane.stop().await;

    let plane = home.plane().await;
    assert_eq!(plane.run_get(&run_id).await.expect("it is there").epoch, 2, "a start changes nothing either");
    let run = plane.run_cancel(&owner(), &run_id, "it is of no use").await.expect("it is cancelled");
    assert_eq!(run.status, RunStatus::Cancelled);
}
