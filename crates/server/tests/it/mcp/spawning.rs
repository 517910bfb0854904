//! Runs that a model starts and in which agents begin: they wait for a person where models may not begin agents.

use super::delegations::{daemon, echoing};
use super::{called_as, refusal, refused, structured, token, told};
use crate::gate::Agent;
use crate::harness::{Daemon, one_step, task};
use adjutant_testkit::until;
use serde_json::{Value, json};

fn by_session() -> Value {
    one_step(json!({"kind": "session", "spec": {"agent": "echo"}}))
}

async fn started(daemon: &Daemon, blueprint: Value) -> Value {
    let run = told(daemon, "run_start", json!({"blueprint": blueprint, "input": {"in": "look"}})).await;
    json!({"run_id": run["run_id"]})
}

/// Waits for the one approval that is open.
async fn waiting(daemon: &Daemon) -> Value {
    until(&daemon.plane, async || {
        let mut found = told(daemon, "approval_list", json!({})).await;
        Ok(found["approvals"].as_array_mut().expect("a list").pop())
    })
    .await
}

async fn answered(daemon: &Daemon, approval: &Value, decision: &str) {
    let line = format!("POST /v1/approvals/{}", approval["id"].as_str().expect("an id"));
    let answer = daemon.send(&line, &json!({"decision": decision}).to_string()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

async fn ended(daemon: &Daemon, run: &Value) -> Value {
    until(&daemon.plane, async || {
        let found = told(daemon, "run_status", run.clone()).await;
        Ok(Some(found).filter(|found| found["ended_at"].is_string()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_of_a_session_waits_for_a_person_over_a_restart_and_the_model_that_asked_is_none() {
    let daemon = daemon(false).await;
    // Its token is the same over the restart.
    let model = token(&daemon, "operator").await;
    let start = json!({"blueprint": by_session(), "input": {"in": "look"}});
    let run = structured(called_as(&daemon, &model, "run_start", start).await);
    let run = json!({"run_id": run["run_id"]});
    let approval = waiting(&daemon).await;
    assert_eq!(approval["tool"], "step:session", "{approval}");
    let said = approval["reason"].as_str().expect("a reason");
    assert!(said.contains("sessions.agents_may_spawn"), "{said}");

    let daemon = daemon.restarted_with(|settings| echoing(settings, false)).await;
    assert_eq!(waiting(&daemon).await["id"], approval["id"], "it is asked once");
    let resolve = json!({"approval_id": approval["id"], "decision": "approve"});
    let (code, message) = refusal(&called_as(&daemon, &model, "approval_resolve", resolve).await);
    assert!(code == "forbidden" && message.contains("another face"), "{code} {message}");
    let begun = daemon.client.sessions_managed(None).await.expect("they are listed").sessions;
    assert_eq!(begun, [], "no agent has begun");
    answered(&daemon, &approval, "approve").await;
    let done = ended(&daemon, &run).await;
    assert_eq!(
        (&done["status"], &done["final_ctx"]["out"]["text"]),
        (&json!("done"), &json!("did look")),
        "{done}"
    );

    let denied = started(&daemon, by_session()).await;
    answered(&daemon, &waiting(&daemon).await, "deny").await;
    let failed = ended(&daemon, &denied).await;
    assert_eq!(failed["status"], "failed", "{failed}");
    assert!(failed["error"].to_string().contains("refused by the gate"), "{failed}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_called_blueprint_and_a_template_of_an_agent_begin_agents_too() {
    let agent = Agent::new();
    let daemon = Daemon::with_settings(|settings| {
        echoing(settings, false);
        settings.exe = agent.program();
    })
    .await;
    let mut inner = by_session();
    inner["id"] = json!("inner");
    let written = daemon.send("POST /v1/blueprints/inner", &inner.to_string()).await;
    assert_eq!(written.status, 201, "{written:?}");
    let calls = json!({"id": "outer", "agents": [], "flow": {"kind": "call", "blueprint": "inner",
        "in": {"op": "path", "at": "$"}, "out": {"op": "path", "at": "$.out"}}});
    let played = one_step(json!({"kind": "command", "spec": {"template": "rehearsal"}}));
    for (blueprint, tool) in [(calls, "step:session"), (played, "step:command")] {
        let run = started(&daemon, blueprint).await;
        let approval = waiting(&daemon).await;
        assert_eq!(approval["tool"], tool, "{approval}");
        answered(&daemon, &approval, "deny").await;
        assert_eq!(ended(&daemon, &run).await["status"], "failed");
    }
    let plain = one_step(json!({"kind": "command", "spec": {"argv": ["echo", "x"], "use_stdin": false}}));
    let run = started(&daemon, plain).await;
    assert_eq!(ended(&daemon, &run).await["status"], "done", "a command of one's own is policy's");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_run_of_a_model_asks_that_model_does_not_answer_and_a_persons_run_begins_agents() {
    let daemon = daemon(false).await;
    let asks = json!({"id": "asks", "agents": [], "flow": {"kind": "ask", "question": "well?",
        "options": ["yes", "no"],
        "out": {"op": "path", "at": "$.said"}}});
    let run = started(&daemon, asks.clone()).await;
    let approval = waiting(&daemon).await;
    let resolve =
        |approval: &Value| json!({"approval_id": approval["id"], "decision": "approve", "option": "yes"});
    assert_eq!(refused(&daemon, "approval_resolve", resolve(&approval)).await.0, "forbidden");
    let senior = token(&daemon, "senior").await;
    let said = called_as(&daemon, &senior, "approval_resolve", resolve(&approval)).await;
    assert_ne!(said["isError"], json!(true), "{said}");
    assert_eq!(ended(&daemon, &run).await["final_ctx"]["said"], "yes");

    let of_person = daemon.client.task_start(&task(asks, json!({}))).await.expect("it is accepted");
    told(&daemon, "approval_resolve", resolve(&waiting(&daemon).await)).await;
    let done = ended(&daemon, &json!({"run_id": of_person.run_id})).await;
    assert_eq!(done["status"], "done", "what a person's run asks is not the model's own: {done}");
    let of_person =
        daemon.client.task_start(&task(by_session(), json!({"in": "look"}))).await.expect("accepted");
    let done = ended(&daemon, &json!({"run_id": of_person.run_id})).await;
    assert_eq!(done["final_ctx"]["out"]["text"], "did look", "{done}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_models_may_begin_agents_their_runs_do() {
    let daemon = daemon(true).await;
    let run = told(&daemon, "task_run", json!({"blueprint": by_session(), "input": {"in": "look"}})).await;
    assert_eq!(run["final_ctx"]["out"]["text"], "did look", "{run}");
    daemon.stop().await;
}
