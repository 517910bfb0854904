//! Joining, doing steps, going away and coming back.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_does_a_step_whose_worker_delivers_over_http() {
    let daemon = Daemon::start().await;
    let mut operator = Operator::present(&daemon).await;
    let runner = json!({"runner": {"backend": "ws_operator", "variant": "coder", "tools": ["Read"]},
        "profile": {"system_prompt": "Be brief."}});
    let run_id = launch(&daemon, operated(runner, json!({})), json!({"operator_sid": operator.sid})).await;
    let spawn = operator.frame("spawn").await;
    assert_eq!(spawn["agent"], json!("worker"));
    assert_eq!(spawn["attempt"], json!(1));
    assert_eq!(spawn["worker"], json!({"variant": "coder", "tools": ["Read"]}));
    assert_eq!(spawn["capability_token"], spawn["worker_handle"]);
    let task_id = spawn["task_id"].as_str().expect("an id");
    let directive = spawn["directive"].as_str().expect("a text");
    for line in [format!("\ntask_id: {task_id}\n"), format!("\nbase_url: {}\n", daemon.client.address())] {
        assert!(directive.contains(&line), "{directive}");
    }

    let prompt = as_worker(&daemon, &spawn, &format!("GET /v1/worker/prompt?task_id={task_id}"), "").await;
    assert_eq!(prompt.status, 200, "{prompt:?}");
    let prompt = json_of(&prompt);
    assert_eq!(prompt["prompt"], json!("do it"));
    assert_eq!(prompt["system"], json!("Be brief."));
    assert_eq!(prompt["context"]["run_id"], json!(run_id.as_str()));

    submit(&daemon, &spawn, "{\"done\": true}\n").await;
    operator.ack(&spawn).await;
    assert_eq!(out(&daemon, &run_id).await, json!({"done": true}));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_result_the_operator_s_own_counts() {
    let daemon = Daemon::start().await;
    let mut operator = Operator::present(&daemon).await;
    for (reply, expected) in [
        (json!({"type": "spawn_ack", "value": "plain"}), Ok(json!("plain"))),
        (json!({"type": "spawn_ack", "value": "{\"a\": 1}"}), Ok(json!({"a": 1}))),
        (json!({"type": "spawn_ack"}), Ok(json!(null))),
        (
            json!({"type": "spawn_halt", "value": 1, "reason": "enough"}),
            Ok(json!({"halted": true, "reason": "enough", "value": 1})),
        ),
        (json!({"type": "spawn_ack", "ok": false, "error": "no luck"}), Err("no luck")),
        (json!({"type": "spawn_ack", "error": "no luck"}), Err("no luck")),
    ] {
        let run_id =
            launch(&daemon, operated(json!({}), json!({})), json!({"operator_sid": operator.sid})).await;
        let spawn = operator.frame("spawn").await;
        let mut frame = reply.clone();
        frame["req_id"] = spawn["req_id"].clone();
        operator.send(frame).await;
        let run = ended(&daemon, &run_id).await;
        match expected {
            Ok(value) => assert_eq!(out(&daemon, &run_id).await, value, "{reply}"),
            Err(message) => {
                let error = run.error.as_ref().expect("it failed");
                assert!(error.message.contains(message), "{error:?}");
            }
        }
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_absent_operator_is_asked_waits_and_is_asked_again_when_it_is_back() {
    let daemon = Daemon::start().await;
    // It is known before its first socket.
    let mut operator = Operator::join(&daemon, json!({})).await;
    let run_id = launch(&daemon, operated(json!({}), json!({})), json!({"operator_sid": operator.sid})).await;
    until_said(&daemon, &run_id, "is not connected").await;
    operator.connect(&daemon).await;
    let first = operator.frame("spawn").await;
    operator.disconnect(&daemon).await;
    operator.connect(&daemon).await;
    let again = operator.frame("spawn").await;
    assert_eq!(first, again, "it is the same request, with the same token");
    submit(&daemon, &first, "done").await;
    operator.ack(&again).await;
    assert_eq!(out(&daemon, &run_id).await, json!("done"));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_survives_the_daemon_under_the_same_name() {
    let daemon = Daemon::start().await;
    let mut operator = Operator::present(&daemon).await;
    let run_id = launch(&daemon, operated(json!({}), json!({})), json!({"operator_sid": operator.sid})).await;
    let before = operator.frame("spawn").await;
    let daemon = daemon.restarted().await;
    operator.connect(&daemon).await;
    let after = operator.frame("spawn").await;
    assert_eq!(before["req_id"], after["req_id"]);
    assert_eq!(before["task_id"], after["task_id"]);
    // The worker that was started before goes on with its own token.
    submit(&daemon, &before, "done").await;
    operator.ack(&before).await;
    assert_eq!(out(&daemon, &run_id).await, json!("done"));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_nobody_acknowledged_survives_the_daemon_and_ends_the_step() {
    let daemon = Daemon::start().await;
    let mut operator = Operator::present(&daemon).await;
    let run_id = launch(&daemon, operated(json!({}), json!({})), json!({"operator_sid": operator.sid})).await;
    let spawn = operator.frame("spawn").await;
    submit(&daemon, &spawn, "done").await;
    let daemon = daemon.restarted_with(|settings| settings.operator_grace_ms = 50).await;
    assert_eq!(out(&daemon, &run_id).await, json!("done"));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_ends_its_step_when_the_operator_stays_away_and_not_before() {
    let daemon = Daemon::with_settings(|settings| settings.operator_grace_ms = 50).await;
    let mut operator = Operator::present(&daemon).await;
    let run_id = launch(&daemon, operated(json!({}), json!({})), json!({"operator_sid": operator.sid})).await;
    let spawn = operator.frame("spawn").await;
    submit(&daemon, &spawn, "done").await;
    assert!(!daemon.plane.run_get(&run_id).await.expect("it is there").status.is_terminal());
    operator.disconnect(&daemon).await;
    assert_eq!(out(&daemon, &run_id).await, json!("done"));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_socket_takes_the_place_of_the_first() {
    let daemon = Daemon::start().await;
    let mut operator = Operator::present(&daemon).await;
    let mut first = operator.socket.take().expect("it is connected");
    operator.connect(&daemon).await;
    assert_eq!(tokio::time::timeout(DEADLINE, first.next()).await.expect("it closes"), None);
    assert_eq!(operator.shown(&daemon).await["connected"], json!(true));
    let run_id = launch(&daemon, operated(json!({}), json!({})), json!({"operator_sid": operator.sid})).await;
    let spawn = operator.frame("spawn").await;
    operator.ack(&spawn).await;
    ended(&daemon, &run_id).await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_survive_the_daemon_until_they_leave() {
    let daemon = Daemon::start().await;
    let stays = Operator::join(&daemon, json!({"roles": ["lead"], "desc": "stays"})).await;
    let mut leaves = Operator::present(&daemon).await;
    let raw = daemon.send_as(&leaves.token, &format!("DELETE /v1/operators/{}", leaves.sid), "").await;
    assert_eq!(raw.status, 204, "{raw:?}");
    assert_eq!(tokio::time::timeout(DEADLINE, leaves.socket().next()).await.expect("it closes"), None);
    let daemon = daemon.restarted().await;
    let listed = json_of(&daemon.send_as(&stays.token, "GET /v1/operators", "").await);
    assert_eq!(listed["total"], json!(1), "{listed}");
    assert_eq!(listed["operators"][0]["sid"], json!(stays.sid));
    assert_eq!(listed["operators"][0]["roles"], json!(["lead"]));
    let raw = daemon.send_as(&leaves.token, "GET /v1/operators", "").await;
    assert_eq!(raw.status, 401, "its token ended with it");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_was_away_for_too_long_is_forgotten_by_the_sweep_and_at_the_start() {
    let daemon = Daemon::start().await;
    let at_start = Operator::join(&daemon, json!({})).await;
    let daemon = daemon
        .restarted_with(|settings| {
            settings.operator_forget_ms = 1;
            settings.operator_sweep_ms = 0;
        })
        .await;
    let raw = daemon.send(&format!("GET /v1/operators/{}", at_start.sid), "").await;
    assert_eq!(raw.status, 404, "{raw:?}");
    let daemon = daemon
        .restarted_with(|settings| {
            settings.operator_forget_ms = 50;
            settings.operator_sweep_ms = 10;
        })
        .await;
    let swept = Operator::join(&daemon, json!({})).await;
    adjutant_testkit::until(&daemon.plane, async || {
        let rows = daemon.plane.events_of(&swept.sid, 0, 100).await?;
        Ok(rows.iter().any(|row| row.event.kind() == "operator_left").then_some(()))
    })
    .await;
    assert_eq!(daemon.send_as(&swept.token, "GET /v1/operators", "").await.status, 401);
    daemon.stop().await;
}
