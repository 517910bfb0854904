//! Blueprints that call blueprints, through the door.

use crate::harness::{Daemon, refused, task};
use adjutant_model::Value as Kept;
use serde_json::{Value, json};

fn at(path: &str) -> Value {
    json!({"op": "path", "at": path})
}

fn call(blueprint: &str, input: Value, out: &str) -> Value {
    json!({"kind": "call", "blueprint": blueprint, "in": input, "out": at(out)})
}

fn seq(children: &[Value]) -> Value {
    json!({"kind": "seq", "children": children})
}

/// A blueprint whose agent `worker` says a word about its input.
fn speaker(id: &str, word: &str) -> Value {
    let source = format!("return '{word} ' .. tostring(...)");
    json!({"id": id, "agents": [{"name": "worker", "kind": "lua", "spec": {"source": source}}],
        "default_init_ctx": {"of": "nothing"},
        "flow": {"kind": "step", "ref": "worker", "in": at("$.of"), "out": at("$.said")}})
}

async fn daemon(known: impl IntoIterator<Item = Value>) -> Daemon {
    Daemon::with_settings(|settings| {
        let id = |document: &Value| document["id"].as_str().expect("an id").to_owned();
        settings.blueprints.extend(known.into_iter().map(|document| (id(&document), Kept::from(document))));
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_runs_another_blueprint_with_agents_of_its_own_and_is_pinned() {
    let outer = json!({"id": "outer", "agents": [], "flow": call("inner", at("$"), "$.inner")});
    let daemon = daemon([speaker("inner", "inside"), outer]).await;
    let mut blueprint = speaker("own", "outside");
    blueprint["flow"] = seq(&[
        blueprint["flow"].clone(),
        {
            let lanes = json!({"kind": "fanout", "items": {"op": "lit", "value": [1, 2]}, "bind": at("$.of"), "join": "all",
                "out": at("$.lanes"), "collect": at("$.called.inner.said"), "body": call("outer", at("$"), "$.called")});
            json!({"kind": "loop", "counter": at("$.n"), "cond": {"op": "lit", "value": true}, "max": 2, "body": lanes})
        },
        call("inner", json!({"op": "lit", "value": null}), "$.default"),
    ]);
    let done = daemon.client.task_run(&task(blueprint, json!({"of": 7}))).await.expect("it is done");
    assert_eq!(done.final_ctx["said"], "outside 7");
    assert_eq!(done.final_ctx["lanes"], json!(["inside 1", "inside 2"]));
    assert_eq!(done.final_ctx["default"], json!({"of": "nothing", "said": "inside nothing"}));
    let bindings = daemon.client.run_bindings(&done.run_id).await.expect("they are told");
    let calls: Vec<_> =
        bindings.calls.iter().map(|pin| (pin.blueprint.as_str(), pin.version.as_str())).collect();
    assert_eq!(calls, [("inner", "latest"), ("outer", "latest")]);
    let agents: Vec<_> = bindings
        .bindings
        .iter()
        .map(|one| (one.blueprint_id.as_str(), one.agent.as_str(), one.kind.as_str()))
        .collect();
    assert_eq!(agents, [("own", "worker", "lua"), ("inner", "worker", "lua")]);
    let steps = daemon.client.steps(&done.run_id, None).await.expect("they are listed").steps;
    assert!(steps.iter().any(|step| step.path == "1/body#1/body#0/call/call"), "{steps:#?}");
    assert!(steps.iter().all(|step| step.worker_kind.as_deref() == Some("lua")));

    // It can be taken back to a step of a callee, under the versions that it was bound to.
    let again = daemon.client.run_rerun(&done.run_id, "2/call").await.expect("it goes on");
    assert_eq!((again.replayed_steps, again.dropped_steps), (5, 1));
    daemon.plane.run_ended(&done.run_id.parse().expect("an id")).await.expect("it ends");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_keeps_the_versions_that_its_calls_meant_under_the_next_daemon() {
    let held = |word: &str| {
        let mut inner = speaker("inner", word);
        inner["flow"] =
            seq(&[json!({"kind": "ask", "question": "go on?", "out": at("$.go")}), inner["flow"].clone()]);
        inner
    };
    let before = daemon([held("old")]).await;
    let outer = json!({"id": "outer", "agents": [], "flow": call("inner", at("$"), "$.inner")});
    let started =
        before.client.task_start(&task(outer.clone(), json!({"of": 1}))).await.expect("it is accepted");
    let after = before.restarted_with(|settings| {
        settings.blueprints.insert("inner".to_owned(), Kept::from(held("new")));
    });
    let after = after.await;
    let newer = after.client.task_start(&task(outer, json!({"of": 1}))).await.expect("it is accepted");
    for (run_id, said) in [(&started.run_id, "old 1"), (&newer.run_id, "new 1")] {
        let approval = loop {
            let pending = after.client.approvals(None).await.expect("they are listed").approvals;
            if let Some(approval) = pending.into_iter().find(|one| one.run_id.as_ref() == Some(run_id)) {
                break approval;
            }
            after.plane.committed().changed().await.expect("the plane lives");
        };
        let line = format!("POST /v1/approvals/{}", approval.id);
        assert_eq!(after.send(&line, r#"{"decision":"approve"}"#).await.status, 200);
        let run = after.plane.run_ended(&run_id.parse().expect("an id")).await.expect("it ends");
        let ctx: Value = run.result.as_ref().expect("a context").into();
        assert_eq!(ctx["inner"]["said"], said);
    }
    after.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_lead_nowhere_back_or_too_deep_are_refused_with_their_place() {
    let calls =
        |id: &str, callee: &str| json!({"id": id, "agents": [], "flow": call(callee, at("$"), "$.x")});
    let chain: Vec<Value> = (0..9).map(|n| calls(&format!("deep-{n}"), &format!("deep-{}", n + 1))).collect();
    let known = [calls("a", "b"), calls("b", "a"), calls("lost", "nowhere"), speaker("deep-9", "deep")];
    let broken = json!({"id": "broken", "agents": [], "flow": {"kind": "step"}});
    let daemon = daemon(known.into_iter().chain(chain).chain([broken])).await;
    for (callee, name, words) in [
        ("nowhere", "unresolved-call", "the blueprint nowhere was not found"),
        ("lost", "unresolved-call", "`lost` calls `nowhere`"),
        ("broken", "unresolved-call", "the blueprint cannot run"),
        ("a", "call-cycle", "a → b → a"),
        ("deep-0", "calls-too-deep", "deep-0 → deep-1"),
        ("../up", "invalid-id", "this is no id"),
    ] {
        let flow = seq(&[json!({"kind": "seq", "children": []}), call(callee, at("$"), "$.x")]);
        let blueprint = json!({"id": "own", "agents": [], "flow": flow});
        for line in ["POST /v1/blueprints:lint", "POST /v1/blueprints/own"] {
            let told = daemon.send(line, &blueprint.to_string()).await;
            assert!(told.status < 500 && told.body.contains(name), "{line} says it as well: {told:?}");
        }
        let (status, error) = refused(daemon.client.task_run(&task(blueprint, json!({}))).await);
        assert_eq!((status, error.code.as_str()), (422, "blueprint_invalid"), "{callee}");
        let lint = &error.details.expect("details")["lints"][0];
        assert_eq!(lint["name"], name, "{lint}");
        assert!(lint["pointer"].as_str().is_some_and(|at| at.starts_with("/flow/children/1")), "{lint}");
        assert!(lint["message"].as_str().is_some_and(|text| text.contains(words)), "{lint}");
    }
    let (status, _) = refused(daemon.client.task_run(&task(calls("own", "deep-1"), json!({}))).await);
    assert_eq!(status, 422, "nine calls");
    let eight =
        daemon.client.task_run(&task(calls("own", "deep-2"), json!({"of": 1}))).await.expect("eight calls");
    assert_eq!(eight.status, "done");
    assert_eq!(daemon.client.runs(10).await.expect("they are listed").runs.len(), 1, "nothing else began");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_in_a_callee_says_where_and_a_cancel_reaches_into_it() {
    let fails = json!({"id": "fails", "agents": [{"name": "worker", "kind": "function", "spec": {"fn_id": "fail"}}],
        "flow": {"kind": "step", "ref": "worker", "in": at("$"), "out": at("$.x")}});
    let holds = json!({"id": "holds", "agents": [{"name": "hold", "kind": "command", "spec": {"argv": ["sleep", "600"]}}],
        "flow": {"kind": "step", "ref": "hold", "in": at("$"), "out": at("$.x")}});
    let daemon = daemon([fails, holds]).await;
    let own =
        |callee: &str| json!({"id": "own", "agents": [], "flow": seq(&[call(callee, at("$.in"), "$.x")])});
    let params = task(own("fails"), json!({"in": {"message": "no luck", "value": 5}}));
    let (status, error) = refused(daemon.client.task_run(&params).await);
    let details = error.details.expect("details");
    assert_eq!(
        (status, &details["failed_step"], &details["failed_path"]),
        (422, &json!("worker"), &json!("0/call"))
    );
    assert_eq!(
        (&details["verdict_value"], &details["partial_ctx"]),
        (&json!(5), &json!({"in": {"message": "no luck", "value": 5}}))
    );

    let started =
        daemon.client.task_start(&task(own("holds"), json!({"in": {}}))).await.expect("it is accepted");
    loop {
        let turns = daemon.client.trace(&started.run_id, None).await.expect("the trace");
        if turns.iter().any(|turn| turn.path == "0/call") {
            break;
        }
        daemon.plane.committed().changed().await.expect("the plane lives");
    }
    daemon.client.run_cancel(&started.run_id, None).await.expect("it is cancelled");
    let turns = daemon.client.trace(&started.run_id, None).await.expect("the trace");
    assert_eq!(turns.iter().map(|turn| turn.status.as_str()).collect::<Vec<_>>(), ["cancelled"]);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_would_call_itself_once_it_is_the_head_is_refused() {
    let daemon = daemon([]).await;
    let calls = |id: &str, callee: &str| {
        json!({"id": id, "agents": [], "flow": call(callee, at("$"), "$.x")}).to_string()
    };
    let first = daemon.send("POST /v1/blueprints/a", &speaker("a", "a").to_string()).await;
    let head: Value = serde_json::from_str(&first.body).expect("JSON");
    assert_eq!(daemon.send("POST /v1/blueprints/b", &calls("b", "a")).await.status, 201);
    let line = format!("POST /v1/blueprints/a?base={}", head["version"].as_str().expect("a version"));
    for (callee, way) in [("a", "a → a"), ("b", "a → b → a")] {
        for line in [&line, "POST /v1/blueprints:lint"] {
            let told = daemon.send(line, &calls("a", callee)).await;
            assert!(told.body.contains("call-cycle") && told.body.contains(way), "{line}: {told:?}");
        }
    }
    assert_eq!(daemon.send("GET /v1/blueprints/a/history", "").await.body.matches("\"number\"").count(), 1);
    daemon.stop().await;
}
