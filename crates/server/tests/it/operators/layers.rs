//! What stands around steps: hooks, escalation, delegation.

use super::*;
use adjutant_model::run::{RunStatus, TurnStatus};

/// Gives a blueprint whose one step is an agent's, behind layers.
fn layered(agent: Value, layers: Value) -> Value {
    let mut document = crate::harness::one_step(agent);
    document["spawner_hints"] = json!({"layers": layers});
    document["default_operator_kind"] = json!("main_ai");
    document
}

fn identity() -> Value {
    json!({"kind": "function", "spec": {"fn_id": "identity"}})
}

/// An agent that fails, and writes a line to a file each time.
fn failing(file: &std::path::Path) -> Value {
    let line = format!("echo x >> {}; echo no >&2; exit 3", file.display());
    json!({"kind": "command", "spec": {"argv": ["sh", "-c", line], "use_stdin": false}})
}

fn lines(file: &std::path::Path) -> usize {
    std::fs::read_to_string(file).unwrap_or_default().lines().count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_lets_a_step_begin_and_hears_how_it_ended() {
    let daemon = Daemon::start().await;
    let mut operator = Operator::present(&daemon).await;
    let request = json!({"operator": {"spawn_hook_id": operator.sid}});
    let run_id = launch(&daemon, layered(identity(), json!(["main_ai"])), request).await;
    let before = operator.frame("hook_before").await;
    assert_eq!((&before["agent"], &before["attempt"]), (&json!("worker"), &json!(1)));
    operator.send(json!({"type": "hook_ack", "req_id": before["req_id"], "ok": true})).await;
    let after = operator.frame("hook_after").await;
    assert_eq!(after["task_id"], before["task_id"]);
    assert_eq!(after["result"], json!({"ok": true, "status": "done", "value": "do it"}));
    assert_eq!(out(&daemon, &run_id).await, json!("do it"));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_refuses_aborts_the_step_before_it_is_done() {
    let daemon = Daemon::start().await;
    let mut operator = Operator::present(&daemon).await;
    let file = daemon.path("performed");
    let request = json!({"operator": {"spawn_hook_id": operator.sid}});
    let run_id = launch(&daemon, layered(failing(&file), json!(["main_ai"])), request).await;
    let before = operator.frame("hook_before").await;
    let ack = json!({"type": "hook_ack", "req_id": before["req_id"], "ok": false, "reason": "not today"});
    operator.send(ack).await;
    let run = ended(&daemon, &run_id).await;
    let error = run.error.as_ref().expect("it failed");
    assert!(error.message.contains("not today"), "{error:?}");
    assert_eq!(lines(&file), 0, "the step was done");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn layers_hold_for_agents_of_their_kinds_only() {
    let daemon = Daemon::start().await;
    let mut operator = Operator::present(&daemon).await;
    let blueprint = layered(identity(), json!(["main_ai", "operator_delegate"]));
    for (decides, asked) in [
        (json!({"kind": "automate"}), None),
        (json!({"per_agent_kinds": {"worker": "automate"}, "kind": "main_ai"}), None),
        (json!({"per_agent_kinds": {"worker": "composite"}, "kind": "automate"}), Some("hook_before")),
    ] {
        let mut named = decides.clone();
        merge(&mut named, json!({"spawn_hook_id": operator.sid, "operator_backend_id": operator.sid}));
        let run_id = launch(&daemon, blueprint.clone(), json!({"operator": named})).await;
        if let Some(kind) = asked {
            let hook = operator.frame(kind).await;
            operator.send(json!({"type": "hook_ack", "req_id": hook["req_id"], "ok": true})).await;
            let spawn = operator.frame("spawn").await;
            operator.send(json!({"type": "spawn_ack", "req_id": spawn["req_id"], "value": "do it"})).await;
            operator.frame("hook_after").await;
        }
        assert_eq!(out(&daemon, &run_id).await, json!("do it"), "{decides}");
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_to_an_escalation_is_the_step_s_result() {
    let daemon = Daemon::start().await;
    let mut operator = Operator::present(&daemon).await;
    let file = daemon.path("performed");
    let request = json!({"operator": {"senior_bridge_id": operator.sid, "kind": "automate"}});
    let run_id = launch(&daemon, layered(failing(&file), json!(["senior_escalation"])), request).await;
    let ask = operator.frame("ask").await;
    assert!(ask["question"]["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{ask}");
    operator.send(json!({"type": "answer", "req_id": ask["req_id"], "value": {"use": "this"}})).await;
    assert_eq!(out(&daemon, &run_id).await, json!({"use": "this"}));
    let run_id = launch(
        &daemon,
        layered(identity(), json!(["senior_escalation"])),
        json!({"operator": {"senior_bridge_id": operator.sid}}),
    )
    .await;
    assert_eq!(out(&daemon, &run_id).await, json!("do it"), "what went well is not asked about");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delegated_step_goes_to_the_backend_and_the_named_operator_goes_before() {
    let daemon = Daemon::start().await;
    let mut backend = Operator::present(&daemon).await;
    let mut named = Operator::present(&daemon).await;
    let blueprint = layered(failing(&daemon.path("performed")), json!(["operator_delegate"]));
    let operator = json!({"operator_backend_id": backend.sid});
    for (request, expected) in [
        (json!({"operator": operator}), &mut backend),
        (json!({"operator": operator, "operator_sid": named.sid}), &mut named),
    ] {
        let run_id = launch(&daemon, blueprint.clone(), request).await;
        let spawn = expected.frame("spawn").await;
        submit(&daemon, &spawn, "delegated").await;
        expected.ack(&spawn).await;
        assert_eq!(out(&daemon, &run_id).await, json!("delegated"));
    }
    assert_eq!(lines(&daemon.path("performed")), 0, "its agent did it too");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_operator_is_hook_bridge_and_backend_at_once() {
    let daemon = Daemon::start().await;
    let mut operator = Operator::present(&daemon).await;
    let sid = operator.sid.clone();
    let request =
        json!({"operator": {"spawn_hook_id": sid, "senior_bridge_id": sid, "operator_backend_id": sid}});
    let layers = json!(["main_ai", "senior_escalation", "operator_delegate"]);
    let run_id = launch(&daemon, layered(identity(), layers), request).await;
    let before = operator.frame("hook_before").await;
    operator.send(json!({"type": "hook_ack", "req_id": before["req_id"], "ok": true})).await;
    let spawn = operator.frame("spawn").await;
    operator
        .send(json!({"type": "spawn_ack", "req_id": spawn["req_id"], "ok": false, "error": "stuck"}))
        .await;
    let after = operator.frame("hook_after").await;
    assert_eq!(after["result"]["ok"], json!(false));
    let ask = operator.frame("ask").await;
    assert_eq!(ask["question"]["reason"], json!("stuck"));
    operator.send(json!({"type": "answer", "req_id": ask["req_id"], "value": 42})).await;
    assert_eq!(out(&daemon, &run_id).await, json!(42));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_and_what_was_done_is_not_asked_and_done_again_after_a_restart() {
    let daemon = Daemon::start().await;
    let file = daemon.path("performed");
    let mut operator = Operator::present(&daemon).await;
    let request = json!({"operator": {"spawn_hook_id": operator.sid, "senior_bridge_id": operator.sid}});
    let layers = json!(["senior_escalation", "main_ai"]);
    let run_id = launch(&daemon, layered(failing(&file), layers), request).await;
    let before = operator.frame("hook_before").await;
    operator.send(json!({"type": "hook_ack", "req_id": before["req_id"], "ok": true})).await;
    let ask = operator.frame("ask").await;
    let daemon = daemon.restarted().await;
    operator.connect(&daemon).await;
    let again = operator.frame("ask").await;
    assert_eq!(ask, again, "the hook was answered, and the question stands");
    operator.send(json!({"type": "answer", "req_id": again["req_id"], "value": "so"})).await;
    let after = operator.frame("hook_after").await;
    assert_eq!(after["result"]["value"], json!("so"), "the outer layer sees what the inner one came to");
    assert_eq!(out(&daemon, &run_id).await, json!("so"));
    assert_eq!(lines(&file), 1, "the step was done again");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_a_run_withdraws_what_it_asks() {
    let daemon = Daemon::start().await;
    let mut operator = Operator::present(&daemon).await;
    let request = json!({"operator_sid": operator.sid, "operator": {"spawn_hook_id": operator.sid}});
    let document = operated(
        json!({}),
        json!({"spawner_hints": {"layers": ["main_ai"]}, "default_operator_kind": "composite"}),
    );
    let run_id = launch(&daemon, document, request).await;
    let before = operator.frame("hook_before").await;
    daemon.client.run_cancel(run_id.as_str(), None).await.expect("it is cancelled");
    operator.send(json!({"type": "hook_ack", "req_id": before["req_id"], "ok": true})).await;
    let error = operator.frame("error").await;
    assert_eq!(error["code"], json!("conflict"), "{error}");
    assert_eq!(ended(&daemon, &run_id).await.status, RunStatus::Cancelled);
    assert_eq!(turns(&daemon, &run_id).await[0].status, TurnStatus::Cancelled);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_takes_too_long_ends_and_is_asked_for_no_more() {
    let daemon = Daemon::start().await;
    let mut operator = Operator::present(&daemon).await;
    let mut document = operated(json!({}), json!({}));
    document["flow"]["timeout_ms"] = json!(100);
    let run_id = launch(&daemon, document, json!({"operator_sid": operator.sid})).await;
    let spawn = operator.frame("spawn").await;
    let run = ended(&daemon, &run_id).await;
    assert!(run.error.as_ref().is_some_and(|error| error.message.contains("timed out")), "{run:?}");
    operator.ack(&spawn).await;
    operator.frame("error").await;
    let late = as_worker(&daemon, &spawn, "POST /v1/worker/submit", "late").await;
    assert_eq!(late.status, 410, "{late:?}");
    daemon.stop().await;
}
