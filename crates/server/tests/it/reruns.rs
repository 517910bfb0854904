//! Runs that go on again: from a step, after an interruption, and as another run of their task.
//!
//! What is otherwise here than in earlier systems, on purpose: a rerun takes back what followed from a step and not what
//! was logged after it; an open run goes on by itself when its daemon starts, so only a run that cannot is interrupted;
//! another run of a task keeps its time to live.

use crate::harness::{Daemon, endless, identity, one_step, refused, task};
use adjutant_engine::faults::EffectHook;
use adjutant_protocol::http::{RekickParams, RunView, TaskInputParams, TaskParams};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

fn at(path: &str) -> Value {
    json!({"op": "path", "at": path})
}

fn step(agent: &str, input: &str, out: &str) -> Value {
    json!({"kind": "step", "ref": agent, "in": at(input), "out": at(out)})
}

/// Appends the step's input to a file, and fails while another file is not there.
fn noting(daemon: &Daemon, name: &str, needs: Option<&str>) -> Value {
    let log = daemon.path("log").display().to_string();
    let needs =
        needs.map_or_else(|| "true".to_owned(), |file| format!("[ -e '{}' ]", daemon.path(file).display()));
    let line = format!("read x; echo \"{name} $x\" >> '{log}'; {needs} && printf %s \"$x\"");
    json!({"name": name, "kind": "command", "spec": {"argv": ["sh", "-c", line]}})
}

fn noted(daemon: &Daemon) -> Vec<String> {
    let text = std::fs::read_to_string(daemon.path("log")).unwrap_or_default();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// Three lanes of two steps, of which the one of `2` fails while `go` is not there; then a step.
fn lanes(daemon: &Daemon) -> Value {
    let cond = json!({"op": "eq", "lhs": at("$.item"), "rhs": {"op": "lit", "value": 2}});
    let body = json!({"kind": "seq", "children": [
        {"kind": "branch", "cond": cond, "then": step("needs", "$.item", "$.o"), "else": step("note", "$.item", "$.o")},
        step("note", "$.o", "$.p")]});
    let fanout = json!({"kind": "fanout", "items": {"op": "lit", "value": [1, 2, 3]}, "bind": at("$.item"),
        "join": "all_settled", "out": at("$.lanes"), "body": body});
    json!({"id": "lanes", "agents": [noting(daemon, "note", None), noting(daemon, "needs", Some("go"))],
        "flow": {"kind": "seq", "children": [fanout, step("note", "$.lanes[1].status", "$.end")]}})
}

async fn ended(daemon: &Daemon, run_id: &str) -> RunView {
    daemon.plane.run_ended(&run_id.parse().expect("an id")).await.expect("it ends");
    daemon.client.run(run_id).await.expect("it is there")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rerun_takes_back_a_step_and_what_followed_from_it_and_nothing_else() {
    let daemon = Daemon::start().await;
    let done = daemon.client.task_run(&task(lanes(&daemon), json!({}))).await.expect("its lanes settle");
    assert_eq!(done.final_ctx["lanes"][1]["status"], "rejected");
    let before = ["needs 2", "note \"rejected\"", "note 1", "note 1", "note 3", "note 3"];
    assert_eq!(noted(&daemon), before);
    std::fs::write(daemon.path("go"), "").expect("the file is written");

    let again = daemon.client.run_rerun(&done.run_id, "needs").await.expect("it goes on");
    assert_eq!(
        (again.task_id.as_str(), again.run_id.as_str()),
        (done.task_id.as_str(), done.run_id.as_str())
    );
    assert_eq!((again.replayed_steps, again.dropped_steps), (4, 2), "the other lanes stay");
    let run = ended(&daemon, &done.run_id).await;
    assert_eq!((run.status.as_str(), run.epoch), ("done", 2));
    let ctx = run.final_ctx.expect("a context");
    assert_eq!(ctx["lanes"][1]["value"]["p"], json!(2));
    assert_eq!(
        noted(&daemon),
        [
            "needs 2",
            "needs 2",
            "note \"fulfilled\"",
            "note \"rejected\"",
            "note 1",
            "note 1",
            "note 2",
            "note 3",
            "note 3"
        ]
    );
    let turns = daemon.client.trace(&done.run_id, None).await.expect("the trace");
    assert!((0..).zip(&turns).all(|(at, turn)| turn.index == at), "turns are never removed");
    let taken_back: Vec<(&str, &str)> = turns
        .iter()
        .filter(|turn| turn.superseded == Some(2))
        .map(|turn| (turn.path.as_str(), turn.status.as_str()))
        .collect();
    assert_eq!(taken_back, [("0/body#1/0/then", "failed"), ("1", "succeeded")]);

    // By its path, and after a restart of the daemon, it goes on just so.
    let daemon = daemon.restarted().await;
    let again = daemon.client.run_rerun(&done.run_id, "0/body#2").await.expect("it goes on");
    assert_eq!((again.replayed_steps, again.dropped_steps), (4, 3));
    assert_eq!(ended(&daemon, &done.run_id).await.final_ctx.expect("a context"), ctx, "it ends as it did");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rerun_that_cannot_be_changes_nothing() {
    let daemon = Daemon::start().await;
    let open = daemon.client.task_start(&task(endless(), json!({}))).await.expect("it is accepted");
    let done = daemon.client.task_run(&task(identity(), json!({"in": 1}))).await.expect("it is done");
    let race = json!({"id": "race", "agents": [{"name": "id", "kind": "function", "spec": {"fn_id": "identity"}}],
        "flow": {"kind": "fanout", "items": {"op": "lit", "value": [1, 2]}, "bind": at("$.item"), "join": "all_settled",
            "out": at("$.o"), "body": {"kind": "try", "body": step("id", "$.nope", "$.x"), "catch": step("id", "$.item", "$.x")}}});
    let race = daemon.client.task_run(&task(race, json!({}))).await.expect("it is done");
    let nowhere = "run_00000000000000000000000000000000";
    for (run, body, status, code) in [
        (&done.run_id, json!({"from_step": ""}), 400, "invalid_request"),
        (&done.run_id, json!({}), 400, "invalid_request"),
        (&done.run_id, json!({"from_step": "worker", "to": 1}), 400, "invalid_request"),
        (&done.run_id, json!({"from_step": "nobody"}), 422, "rerun_refused"),
        (&race.run_id, json!({"from_step": "body#1/body"}), 422, "rerun_refused"),
        (&open.run_id, json!({"from_step": "worker"}), 409, "conflict"),
        (&nowhere.to_owned(), json!({"from_step": "worker"}), 404, "not_found"),
        (&"x".to_owned(), json!({"from_step": "worker"}), 400, "invalid_request"),
    ] {
        let answer = daemon.send(&format!("POST /v1/runs/{run}/rerun-from"), &body.to_string()).await;
        assert_eq!((answer.status, answer.error().code.as_str()), (status, code), "{body}");
    }
    let run = daemon.client.run(&done.run_id).await.expect("it is there");
    assert_eq!((run.status.as_str(), run.epoch), ("done", 1));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_cancelled_or_took_too_long_goes_on_where_it_was_with_its_time_anew() {
    let daemon = Daemon::start().await;
    let log = daemon.path("log").display().to_string();
    let go = daemon.path("go").display().to_string();
    let hold = format!("echo held >> '{log}'; while [ ! -e '{go}' ]; do sleep 0.02; done; cat");
    let blueprint = one_step(json!({"kind": "command", "spec": {"argv": ["sh", "-c", hold]}}));
    let params = TaskParams { ttl_secs: Some(1), ..task(blueprint.clone(), json!({"in": 7})) };
    let (status, error) = refused(daemon.client.task_run(&params).await);
    assert_eq!(
        (status, error.code.as_str()),
        (422, "flow_failed"),
        "the time to live holds while a request waits"
    );
    let details = error.details.expect("details");
    assert_eq!(details["flow_error"]["code"], "ttl_expired");
    for key in ["failed_step", "verdict_value", "partial_ctx"] {
        assert!(details.get(key).is_some(), "{key} is there, also when it is null: {details}");
    }
    let run_id = details["run_id"].as_str().expect("an id");
    std::fs::write(&go, "").expect("the file is written");
    let again = daemon.client.run_rerun(run_id, "worker").await.expect("it goes on");
    assert_eq!((again.replayed_steps, again.dropped_steps), (0, 1));
    let run = ended(&daemon, run_id).await;
    assert_eq!((run.status.as_str(), run.error.is_none()), ("done", true), "{:?}", run.error);
    assert_eq!(run.final_ctx.expect("a context")["out"], 7);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_asked_again_by_a_rerun_and_its_old_answer_does_not_count() {
    let daemon = Daemon::start().await;
    let blueprint = json!({"id": "asks", "agents": [],
        "flow": {"kind": "ask", "question": "which?", "options": ["a", "b"], "out": at("$.way")}});
    let started = daemon.client.task_start(&task(blueprint, json!({}))).await.expect("it is accepted");
    let answered = async |option: &str| {
        let approval = loop {
            let mut pending = daemon.client.approvals(None).await.expect("they are listed").approvals;
            if let Some(approval) = pending.pop() {
                break approval;
            }
            let mut committed = daemon.plane.committed();
            committed.changed().await.expect("the plane lives");
        };
        let line = format!("POST /v1/approvals/{}", approval.id);
        let answer = daemon.send(&line, &json!({"decision": "approve", "option": option}).to_string()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        approval.id
    };
    let first = answered("a").await;
    assert_eq!(ended(&daemon, &started.run_id).await.final_ctx.expect("a context")["way"], "a");
    daemon.client.run_rerun(&started.run_id, "ask").await.expect("it goes on");
    assert_ne!(answered("b").await, first);
    assert_eq!(ended(&daemon, &started.run_id).await.final_ctx.expect("a context")["way"], "b");
    daemon.stop().await;
}

/// Starts a daemon whose first owner of a run panics.
async fn panicking() -> (Daemon, Arc<AtomicBool>) {
    let armed = Arc::new(AtomicBool::new(true));
    let hook = armed.clone();
    let daemon = Daemon::with_settings(|settings| {
        settings.faults.effects = Some(EffectHook::new(move |_| {
            assert!(!hook.swap(false, Ordering::SeqCst), "a trial lets the owner panic");
            None
        }));
    })
    .await;
    (daemon, armed)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_owner_panics_is_interrupted_and_can_be_resumed() {
    let (daemon, _) = panicking().await;
    let params = task(identity(), json!({"in": {"a": 1}}));
    let (status, error) = refused(daemon.client.task_run(&params).await);
    assert_eq!((status, error.code.as_str()), (500, "run_interrupted"), "{error}");
    let details = error.details.expect("details");
    assert_eq!(details["status"], "interrupted");
    let run_id = details["run_id"].as_str().expect("an id");
    let run = daemon.client.run(run_id).await.expect("it is there");
    assert_eq!(
        (run.status.as_str(), run.error.expect("a reason").code.as_str()),
        ("interrupted", "interrupted")
    );

    let resumed = daemon.client.run_resume(run_id).await.expect("it goes on");
    assert_eq!((resumed.run_id.as_str(), resumed.replayed_steps), (run_id, 0));
    let run = ended(&daemon, run_id).await;
    assert_eq!(
        (run.status.as_str(), run.final_ctx.expect("a context")["out"].clone()),
        ("done", json!({"a": 1}))
    );
    let (status, error) = refused(daemon.client.run_resume(run_id).await);
    assert_eq!((status, error.code.as_str()), (409, "conflict"), "it is over");
    let nowhere = daemon.send("POST /v1/runs/run_00000000000000000000000000000000/resume", "").await;
    assert_eq!(nowhere.status, 404);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_run_can_be_cancelled_and_the_next_daemon_goes_on_with_one_by_itself() {
    let (daemon, armed) = panicking().await;
    let interrupted = async |daemon: &Daemon| {
        let (_, error) = refused(daemon.client.task_run(&task(identity(), json!({"in": 1}))).await);
        error.details.expect("details")["run_id"].as_str().expect("an id").to_owned()
    };
    let run_id = interrupted(&daemon).await;
    let run = daemon.client.run_cancel(&run_id, None).await.expect("it is cancelled");
    assert_eq!(run.status, "cancelled");
    let turns = daemon.client.trace(&run_id, None).await.expect("the trace");
    assert!(turns.iter().all(|turn| turn.status == "cancelled"), "nothing is left open: {turns:?}");

    armed.store(true, Ordering::SeqCst);
    let run_id = interrupted(&daemon).await;
    let daemon = daemon.restarted().await;
    assert_eq!(ended(&daemon, &run_id).await.status, "done");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_run_of_a_task_has_its_context_its_limits_and_its_directory_and_what_goes_over_them() {
    let daemon = Daemon::start().await;
    let mut blueprint = one_step(json!({"kind": "function", "spec": {"fn_id": "identity"}}));
    blueprint["flow"]["in"] = at("$");
    blueprint["default_init_ctx"] = json!({"a": 0, "b": 0, "c": {"x": 0}});
    let folders = ["one", "two"].map(|name| daemon.path(name));
    folders.iter().for_each(|folder| std::fs::create_dir(folder).expect("a folder"));
    let [one, two] = folders.map(|folder| folder.to_string_lossy().into_owned());
    let params = TaskParams {
        ttl_secs: Some(77),
        work_dir: Some(one.clone()),
        goal: Some("to see".to_owned()),
        task_metadata: Some(json!({"ticket": 5})),
        ..task(blueprint, json!({"b": 1, "c": {"y": 1}}))
    };
    let first = daemon.client.task_run(&params).await.expect("it is done");
    let over = RekickParams { init_ctx_override: Some(json!({"c": {"z": 2}})), ..RekickParams::default() };
    for (params, ctx, dir) in [
        (RekickParams::default(), json!({"a": 0, "b": 1, "c": {"y": 1}}), &one),
        (over.clone(), json!({"a": 0, "b": 1, "c": {"z": 2}}), &one),
        (
            RekickParams {
                task_input_override: Some(TaskInputParams {
                    work_dir: Some(two.clone()),
                    ..TaskInputParams::default()
                }),
                ..over
            },
            json!({"a": 0, "b": 1, "c": {"z": 2}}),
            &two,
        ),
    ] {
        let again = daemon.client.task_rekick_run(&first.task_id, &params).await.expect("it is done");
        assert_eq!(again.final_ctx["out"], ctx);
        assert_eq!(
            (again.task_id.as_str(), again.info.work_dir.as_ref()),
            (first.task_id.as_str(), Some(dir))
        );
        assert_eq!((again.effective_ttl_secs, again.ttl_source.as_str()), (77, "request_body"));
        assert_eq!(
            (again.bound_version.as_str(), again.info.goal.as_deref()),
            (first.bound_version.as_str(), Some("to see"))
        );
        assert_ne!(again.run_id, first.run_id);
    }
    let found = daemon.client.task(&first.task_id).await.expect("it is there");
    assert_eq!((found.runs.len(), found.task.status.as_deref()), (4, Some("done")));
    assert_eq!(found.task.blueprint_ref, json!({"kind": "inline"}));
    assert_eq!(found.task.task_input_spec.task_metadata, Some(json!({"ticket": 5})));
    assert!(found.task.updated_at >= found.task.created_at);

    let line = format!("POST /v1/tasks/{}/runs", first.task_id);
    for (line, body, status) in [
        (line.clone(), String::new(), 201),
        (line.clone(), json!({"detach": true}).to_string(), 202),
        (line.clone(), json!({"init_ctx_override": 5}).to_string(), 400),
        (line.clone(), json!({"detach": true, "timeout_secs": 3}).to_string(), 400),
        (line.clone(), json!({"operator_sid": "nobody"}).to_string(), 400),
        (line.clone(), json!({"task_input_override": {"task_metadata": 5}}).to_string(), 400),
        (line.clone(), json!({"ttl_secs": 5}).to_string(), 400),
        ("POST /v1/tasks/task_00000000000000000000000000000000/runs".to_owned(), String::new(), 404),
    ] {
        let answer = daemon.send(&line, &body).await;
        assert_eq!(answer.status, status, "{body}: {answer:?}");
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_run_was_given_outlives_its_daemon() {
    let daemon = Daemon::start().await;
    let go = daemon.path("go").display().to_string();
    let hold = format!("while [ ! -e '{go}' ]; do sleep 0.02; done; cat");
    let mut blueprint = one_step(json!({"kind": "command", "spec": {"argv": ["sh", "-c", hold]}}));
    blueprint["flow"] = json!({"kind": "seq", "children": [blueprint["flow"], step("worker", "$.b", "$.c")]});
    let first =
        daemon.client.task_start(&task(blueprint, json!({"in": 1, "b": 1}))).await.expect("it is accepted");
    let over = RekickParams { init_ctx_override: Some(json!({"b": 2})), ..RekickParams::default() };
    let again = daemon.client.task_rekick(&first.task_id, &over).await.expect("it is accepted");
    let daemon = daemon.restarted().await;
    std::fs::write(daemon.path("go"), "").expect("the file is written");
    for (run_id, b) in [(first.run_id, 1), (again.run_id, 2)] {
        assert_eq!(ended(&daemon, &run_id).await.final_ctx.expect("a context")["c"], b);
    }
    daemon.stop().await;
}
