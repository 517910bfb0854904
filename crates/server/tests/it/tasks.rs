//! Tasks: what a request may say, and what comes back.

use crate::harness::{Daemon, by_id, endless, identity, one_step, refused, request, task};
use adjutant_protocol::http::TaskParams;
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_waits_gets_the_context_its_run_ended_with() {
    let daemon = Daemon::start().await;
    let params = TaskParams {
        goal: Some("to see".to_owned()),
        ..task(identity(), json!({"in": {"a": [1, null, "é"]}}))
    };
    let done = daemon.client.task_run(&params).await.expect("it is done");
    assert_eq!(done.status, "done");
    assert_eq!(done.final_ctx["out"], json!({"a": [1, null, "é"]}));
    assert_eq!((done.effective_ttl_secs, done.ttl_source.as_str()), (1800, "server_default"));
    assert_eq!(done.bound_version.len(), 64);
    assert_eq!(
        (done.info.run_id.as_str(), done.info.goal.as_deref()),
        (done.run_id.as_str(), Some("to see"))
    );
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_detached_task_is_answered_at_once_and_found_again() {
    let daemon = Daemon::start().await;
    let started = daemon.client.task_start(&task(endless(), json!({}))).await.expect("it is accepted");
    assert_eq!(started.status, "running");
    let found = daemon.send(&format!("GET /v1/tasks/{}", started.task_id), "").await;
    let found: Value = serde_json::from_str(&found.body).expect("JSON");
    assert_eq!(
        (&found["task"]["id"], &found["runs"][0]["id"]),
        (&json!(started.task_id), &json!(started.run_id))
    );
    let listed = daemon.send("GET /v1/tasks?limit=5", "").await;
    let listed: Value = serde_json::from_str(&listed.body).expect("JSON");
    assert_eq!(listed[0]["id"], json!(started.task_id));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_to_live_is_the_requests_then_the_blueprints_then_the_daemons() {
    let daemon = Daemon::start().await;
    let mut blueprint = identity();
    blueprint["metadata"] = json!({"default_run_ttl_secs": 60});
    for (blueprint, asked, secs, source) in [
        (blueprint.clone(), Some(5), 5, "request_body"),
        (blueprint, None, 60, "bp_metadata"),
        (identity(), None, 1800, "server_default"),
    ] {
        let params = TaskParams { ttl_secs: asked, ..task(blueprint, json!({"in": 1})) };
        let done = daemon.client.task_run(&params).await.expect("it is done");
        assert_eq!((done.effective_ttl_secs, done.ttl_source.as_str()), (secs, source));
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_cannot_be_starts_nothing() {
    let daemon = Daemon::start().await;
    let good = json!({"blueprint": {"kind": "inline", "value": identity()}, "init_ctx": {"in": 1}});
    for (more, status, code) in [
        (json!({"detach": true, "timeout_secs": 5}), 400, "invalid_request"),
        (json!({"timeout_secs": 0}), 400, "invalid_request"),
        (json!({"ttl_secs": 0}), 400, "invalid_request"),
        (json!({"operator_sid": "nobody"}), 400, "invalid_request"),
        (json!({"check_policy": "loud"}), 400, "invalid_request"),
        (json!({"operator": {"kind": "person"}}), 400, "invalid_request"),
        (json!({"operator": {"per_agent_kinds": {"worker": "person"}}}), 400, "invalid_request"),
        (json!({"goal_id": "nonsense"}), 400, "invalid_request"),
        (json!({"goal_id": "g-0123456789abcdef"}), 404, "not_found"),
        (json!({"agent": "nobody"}), 400, "invalid_request"),
        (json!({"project_root": "not/absolute"}), 400, "invalid_request"),
        (json!({"work_dir": "/nonexistent/folder"}), 400, "invalid_request"),
        (json!({"blueprint": {"kind": "file", "path": "x"}}), 400, "invalid_request"),
        (json!({"blueprint": {"kind": "id", "id": "nobody"}}), 404, "not_found"),
        (json!({"blueprint": {"kind": "inline", "value": {}}}), 422, "blueprint_invalid"),
    ] {
        let mut body = good.clone();
        for (key, value) in more.as_object().expect("an object") {
            body[key] = value.clone();
        }
        let answer = daemon.send("POST /v1/tasks", &body.to_string()).await;
        assert_eq!(
            (answer.status, answer.error().code.as_str()),
            (status, code),
            "{more}: {}",
            answer.error()
        );
    }
    assert!(daemon.client.runs(10).await.expect("it answers").runs.is_empty());
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blueprint_that_cannot_run_comes_back_with_its_lints() {
    let daemon = Daemon::start().await;
    let blueprint = json!({"id": "test", "agents": [], "flow": {"kind": "step", "ref": "nobody", "in": 1, "colour": "red"}});
    let (status, error) = refused(daemon.client.task_run(&task(blueprint, json!({}))).await);
    assert_eq!((status, error.code.as_str()), (422, "blueprint_invalid"));
    let lints = error.details.expect("details")["lints"].as_array().expect("a list").clone();
    assert!(lints.len() > 1, "one pass finds all: {lints:?}");
    for lint in lints {
        for key in ["name", "pointer", "message"] {
            assert!(lint[key].is_string(), "{key} of {lint}");
        }
    }
    let (status, error) = refused(
        daemon
            .client
            .task_run(&TaskParams { blueprint: by_id("nobody"), ..task(identity(), json!({})) })
            .await,
    );
    assert_eq!((status, error.code.as_str()), (404, "not_found"));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_the_wrong_shape_is_told_where() {
    let daemon = Daemon::start().await;
    for (body, place) in [
        (
            json!({"blueprint": {"kind": "id", "id": "x"}, "init_ctx": {}, "ttl_secs": "soon"}),
            "at `ttl_secs`",
        ),
        (
            json!({"blueprint": {"kind": "id", "id": "x"}, "init_ctx": {}, "operator": {"id": 5}}),
            "at `operator.id`",
        ),
    ] {
        let refused = daemon.send("POST /v1/tasks", &body.to_string()).await;
        assert!(refused.status == 400 && refused.body.contains(place), "{place}: {}", refused.body);
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_context_says_of_the_task_counts_unless_it_is_said_beside_it() {
    let daemon = Daemon::start().await;
    let folders = [daemon.home.folder().join("a"), daemon.home.folder().join("b")];
    folders.iter().for_each(|folder| std::fs::create_dir_all(folder).expect("a folder"));
    let [within, beside] = folders.map(|folder| folder.to_string_lossy().into_owned());
    let context = json!({"in": 1, "work_dir": within});
    for (said, expected) in [(None, &within), (Some(beside.clone()), &beside)] {
        let params = TaskParams { work_dir: said, ..task(identity(), context.clone()) };
        let done = daemon.client.task_run(&params).await.expect("it is done");
        assert_eq!(done.info.work_dir.as_ref(), Some(expected));
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_probably_not_meant_is_said_in_the_answer() {
    let daemon = Daemon::start().await;
    let mut blueprint = identity();
    let idle = json!({"name": "idle", "kind": "function", "spec": {"fn_id": "identity"}});
    blueprint["agents"].as_array_mut().expect("agents").push(idle);
    let done = daemon.client.task_run(&task(blueprint, json!({"in": 1}))).await.expect("it is done");
    let names: Vec<&str> = done.warnings.iter().map(|warning| warning.name.as_str()).collect();
    assert_eq!(names, ["unused-agent"]);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_that_fails_says_where_and_keeps_its_run() {
    let daemon = Daemon::start().await;
    let blueprint = one_step(json!({"kind": "function", "spec": {"fn_id": "fail"}}));
    let params = task(blueprint, json!({"in": {"message": "no luck", "value": {"n": 7}}}));
    let (status, error) = refused(daemon.client.task_run(&params).await);
    assert_eq!((status, error.code.as_str()), (422, "flow_failed"));
    assert!(error.error.contains("no luck"), "{error}");
    let details = error.details.expect("details");
    assert_eq!(details["verdict_value"], json!({"n": 7}));
    assert_eq!(details["partial_ctx"]["in"]["message"], "no luck");
    assert_eq!(
        (&details["failed_step"], &details["failed_path"]),
        (&json!("worker"), &json!(".")),
        "{details}"
    );
    let run = daemon.client.run(details["run_id"].as_str().expect("an id")).await.expect("the run stays");
    assert_eq!((run.status.as_str(), Some(run.task_id.as_str())), ("failed", details["task_id"].as_str()));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_waited_long_enough_cancels_its_run() {
    let daemon = Daemon::start().await;
    let params = TaskParams { timeout_secs: Some(1), ..task(endless(), json!({})) };
    let (status, error) = refused(daemon.client.task_run(&params).await);
    assert_eq!((status, error.code.as_str()), (504, "timeout"));
    let details = error.details.expect("details");
    assert!(details["task_id"].is_string(), "{details}");
    let run = daemon.client.run(details["run_id"].as_str().expect("an id")).await.expect("the run stays");
    assert_eq!(run.status, "cancelled");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_does_not_end_its_run() {
    let daemon = Daemon::start().await;
    let mut events = daemon.client.events(0, None).await.expect("the stream opens");
    let body = serde_json::to_string(&task(endless(), json!({}))).expect("JSON");
    let head = format!("host: {}\r\nauthorization: Bearer {}\r\n", daemon.host(), daemon.token);
    let mut connection = daemon.connect().await;
    let sent = request("POST /v1/tasks", &head, body.len()) + &body;
    connection.write_all(sent.as_bytes()).await.expect("the request is sent");
    let run_id = loop {
        let event = events.next().await.expect("the stream goes on").expect("an event");
        if event.kind == "run_status_changed" && event.payload["to"] == "waiting" {
            break event.subject;
        }
    };
    drop(connection);
    // Another run begins and ends, so the daemon has had its turn after the connection ended.
    daemon.client.task_run(&task(identity(), json!({"in": 1}))).await.expect("it is done");
    assert_eq!(daemon.client.run(&run_id).await.expect("it is there").status, "waiting");
    daemon.stop().await;
}
