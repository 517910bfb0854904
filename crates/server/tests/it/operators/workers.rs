//! What workers get and give.

use super::*;
use adjutant_model::run::TurnStatus;

/// Runs a step of an operator: `deliver` acts as its worker, and then the operator acknowledges.
async fn step(agent: Value, deliver: impl AsyncFnOnce(&Daemon, &Value)) -> (Daemon, RunId) {
    let daemon = Daemon::start().await;
    let mut operator = Operator::present(&daemon).await;
    let run_id = launch(&daemon, operated(agent, json!({})), json!({"operator_sid": operator.sid})).await;
    let spawn = operator.frame("spawn").await;
    deliver(&daemon, &spawn).await;
    operator.ack(&spawn).await;
    ended(&daemon, &run_id).await;
    (daemon, run_id)
}

/// Delivers, and compares the status.
async fn delivers(daemon: &Daemon, spawn: &Value, line: &str, body: &str, status: u16) {
    let raw = as_worker(daemon, spawn, &format!("POST /v1/worker/{line}"), body).await;
    assert_eq!(raw.status, status, "{line} {body}: {raw:?}");
}

fn contract(channel: &str) -> Value {
    json!({"verdict": {"channel": channel, "values": ["PASS", "BLOCKED"]}})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verdict_in_the_body_is_one_of_the_contract_s() {
    let (daemon, run_id) = step(contract("body"), async |daemon, spawn| {
        delivers(daemon, spawn, "submit", "MAYBE", 422).await;
        delivers(daemon, spawn, "result", &json!({"value": "MAYBE"}).to_string(), 422).await;
        delivers(daemon, spawn, "artifact?name=notes", "MAYBE", 204).await;
        delivers(daemon, spawn, "submit", "PASS\n", 204).await;
    })
    .await;
    let expected = json!({"out": "PASS", "parts": {"notes": "MAYBE"}});
    assert_eq!(out(&daemon, &run_id).await, expected);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verdict_in_a_part_is_one_of_the_contract_s_and_must_be_there() {
    let (daemon, run_id) = step(contract("part"), async |daemon, spawn| {
        delivers(daemon, spawn, "submit", "PASS", 422).await;
        delivers(daemon, spawn, "result", &json!({"value": 1}).to_string(), 422).await;
        delivers(daemon, spawn, "artifact?name=verdict", "MAYBE", 422).await;
        delivers(daemon, spawn, "artifact?name=other", "MAYBE", 204).await;
        delivers(daemon, spawn, "artifact?name=verdict", "BLOCKED\n", 204).await;
        delivers(daemon, spawn, "submit", "the report", 204).await;
    })
    .await;
    let expected = json!({"out": "the report", "parts": {"other": "MAYBE", "verdict": "BLOCKED"}});
    assert_eq!(out(&daemon, &run_id).await, expected);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_did_not_go_well_is_exempt_from_the_contract() {
    let (daemon, run_id) = step(contract("body"), async |daemon, spawn| {
        delivers(daemon, spawn, "submit?ok=false", "whatever", 204).await;
    })
    .await;
    let run = daemon.plane.run_get(&run_id).await.expect("it is there");
    let error = run.error.expect("it failed");
    assert_eq!(error.value, Some(adjutant_model::Value::from("whatever")));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledgement_that_breaks_the_contract_is_refused_and_the_request_stays() {
    let daemon = Daemon::start().await;
    let mut operator = Operator::present(&daemon).await;
    let run_id =
        launch(&daemon, operated(contract("body"), json!({})), json!({"operator_sid": operator.sid})).await;
    let spawn = operator.frame("spawn").await;
    operator.send(json!({"type": "spawn_ack", "req_id": spawn["req_id"], "value": "MAYBE"})).await;
    let error = operator.frame("error").await;
    assert_eq!((&error["code"], &error["req_id"]), (&json!("delivery_invalid"), &spawn["req_id"]));
    operator.send(json!({"type": "spawn_ack", "req_id": spawn["req_id"], "value": "PASS"})).await;
    assert_eq!(out(&daemon, &run_id).await, json!("PASS"));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contract_holds_for_every_kind_of_agent() {
    let daemon = Daemon::start().await;
    let mut agent = json!({"kind": "function", "spec": {"fn_id": "identity"}});
    merge(&mut agent, contract("body"));
    let run_id = launch(&daemon, crate::harness::one_step(agent), json!({})).await;
    let run = ended(&daemon, &run_id).await;
    assert!(run.error.as_ref().is_some_and(|error| error.message.contains("contract")), "{run:?}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_skipped_step_is_told_by_its_status_and_keeps_its_value() {
    let (daemon, run_id) = step(contract("body"), async |daemon, spawn| {
        delivers(daemon, spawn, "submit?verdict=skip&ok=false", "x", 400).await;
        delivers(daemon, spawn, "submit?verdict=blocked&ok=true", "x", 400).await;
        let unknown = as_worker(daemon, spawn, "POST /v1/worker/submit?verdict=maybe", "x").await;
        assert_eq!(unknown.status, 400, "{unknown:?}");
        assert!(unknown.body.contains("pass, blocked or skip"), "{unknown:?}");
        delivers(daemon, spawn, "submit?verdict=skip", "{\"left\": 5}", 204).await;
    })
    .await;
    assert_eq!(out(&daemon, &run_id).await, json!({"left": 5}), "no contract, and no marker in the value");
    let turn = &turns(&daemon, &run_id).await[0];
    assert_eq!(turn.status, TurnStatus::Skipped);
    let daemon = daemon.restarted().await;
    assert_eq!(out(&daemon, &run_id).await, json!({"left": 5}));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_marker_of_another_system_is_data() {
    let marker = json!({"__mse_skip": true, "value": 5});
    let (daemon, run_id) = step(json!({}), async |daemon, spawn| {
        submit(daemon, spawn, &marker.to_string()).await;
    })
    .await;
    assert_eq!(out(&daemon, &run_id).await, marker);
    assert_eq!(turns(&daemon, &run_id).await[0].status, TurnStatus::Succeeded);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_read_as_the_agent_wants_it() {
    let fenced = "```json\n{\"a\": 1}\n```\n";
    for (format, body, expected) in [
        ("auto", fenced, Some(json!({"a": 1}))),
        ("auto", "  7  ", Some(json!("  7"))),
        ("text", "{\"a\": 1}", Some(json!("{\"a\": 1}"))),
        ("json", "7", Some(json!(7))),
        ("json", "seven", None),
    ] {
        let agent = json!({"spec": {"submit_format": format}});
        let (daemon, run_id) = step(agent, async |daemon, spawn| {
            let status = if expected.is_some() { 204 } else { 422 };
            delivers(daemon, spawn, "submit", body, status).await;
        })
        .await;
        assert_eq!(out(&daemon, &run_id).await, expected.unwrap_or_default(), "{format} {body:?}");
        daemon.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_result_counts_and_none_after_the_end() {
    let daemon = Daemon::start().await;
    let mut operator = Operator::present(&daemon).await;
    // The run goes on when the first step is over.
    let mut document = operated(json!({}), json!({}));
    let wait = json!({"kind": "wait", "ms": 3_600_000});
    document["flow"] = json!({"kind": "seq", "children": [document["flow"], wait]});
    let run_id = launch(&daemon, document, json!({"operator_sid": operator.sid})).await;
    let spawn = operator.frame("spawn").await;
    submit(&daemon, &spawn, "first").await;
    submit(&daemon, &spawn, "second").await;
    operator.ack(&spawn).await;
    adjutant_testkit::until(&daemon.plane, async || {
        let turns = daemon.plane.turns(&run_id, None, 10).await?;
        Ok((turns[0].status != TurnStatus::Started).then_some(()))
    })
    .await;
    assert_eq!(turns(&daemon, &run_id).await[0].output, Some(adjutant_model::Value::from("second")));
    for line in ["submit", "artifact?name=a"] {
        delivers(&daemon, &spawn, line, "late", 410).await;
    }
    daemon.client.run_cancel(run_id.as_str(), None).await.expect("it is cancelled");
    delivers(&daemon, &spawn, "submit", "later", 410).await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_good_for_its_step_and_for_nothing_else() {
    let daemon = Daemon::start().await;
    let mut operator = Operator::present(&daemon).await;
    let request = json!({"operator_sid": operator.sid});
    launch(&daemon, operated(json!({}), json!({})), request.clone()).await;
    let one = operator.frame("spawn").await;
    launch(&daemon, operated(json!({}), json!({})), request).await;
    let other = operator.frame("spawn").await;
    let named = |spawn: &Value| spawn["task_id"].as_str().expect("an id").to_owned();
    let wrong = format!("submit?task_id={}", named(&other));
    delivers(&daemon, &one, &wrong, "x", 403).await;
    let prompt = format!("GET /v1/worker/prompt?task_id={}&attempt=2", named(&one));
    assert_eq!(as_worker(&daemon, &one, &prompt, "").await.status, 403);
    assert_eq!(as_worker(&daemon, &one, "GET /v1/worker/prompt?task_id=ST-1", "").await.status, 400);
    for line in ["GET /v1/runs", "GET /v1/operators", "POST /v1/tasks", "POST /v1/operators"] {
        assert_eq!(as_worker(&daemon, &one, line, "").await.status, 403, "{line}");
    }
    for token in [&daemon.token, &operator.token] {
        let raw = daemon.send_as(token, "POST /v1/worker/submit", "x").await;
        assert_eq!(raw.status, 403, "{raw:?}");
    }
    assert_eq!(daemon.send_as("nonsense", "POST /v1/worker/submit", "x").await.status, 401);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_names_and_numbers_have_limits() {
    let (daemon, _) = step(json!({}), async |daemon, spawn| {
        delivers(daemon, spawn, "submit", &"x".repeat((2 << 20) + 1), 413).await;
        delivers(daemon, spawn, "artifact?name=a", &"x".repeat((2 << 20) + 1), 413).await;
        for name in ["", "a%2Fb", "..", "a%5Cb"] {
            delivers(daemon, spawn, &format!("artifact?name={name}"), "x", 400).await;
        }
        delivers(daemon, spawn, "artifact", "x", 400).await;
        for n in 0..64 {
            delivers(daemon, spawn, &format!("artifact?name=part-{n}"), "x", 204).await;
        }
        delivers(daemon, spawn, "artifact?name=one-more", "x", 400).await;
        delivers(daemon, spawn, "artifact?name=part-7", "again", 204).await;
        delivers(daemon, spawn, "submit", &"x".repeat(2 << 20), 204).await;
    })
    .await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_worker_used_is_the_turn_s_usage_and_what_it_lacked_is_told() {
    let (daemon, run_id) = step(json!({}), async |daemon, spawn| {
        let stats = json!({"worker_kind": "cli", "model": "m-1", "num_turns": 3,
            "usage": {"input_tokens": 10, "output_tokens": 20, "total_tokens": 30}, "adapter_data": {"a": 1}});
        delivers(daemon, spawn, "stats", &stats.to_string(), 204).await;
        delivers(daemon, spawn, "stats", &json!({"cost": 1}).to_string(), 400).await;
        let lacked = json!({"tool": "search", "error": "offline", "fallback": "memory"});
        delivers(daemon, spawn, "degradation", &lacked.to_string(), 204).await;
        delivers(daemon, spawn, "degradation", &json!({"tool": "search"}).to_string(), 400).await;
        submit(daemon, spawn, "done").await;
    })
    .await;
    let usage = turns(&daemon, &run_id).await[0].usage.clone().expect("it was said");
    assert_eq!(
        (usage.model.as_deref(), usage.input_tokens, usage.output_tokens, usage.num_turns),
        (Some("m-1"), Some(10), Some(20), Some(3))
    );
    until_said(&daemon, &run_id, "offline").await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_system_prompt_is_fetched_apart() {
    let long = "Be brief. ".repeat(3000);
    let agent = json!({"profile": {"system_prompt": long}});
    let (daemon, _) = step(agent, async |daemon, spawn| {
        let prompt = json_of(&as_worker(daemon, spawn, "GET /v1/worker/prompt", "").await);
        assert_eq!(prompt.get("system"), None);
        assert_eq!(prompt["system_ref"]["size_bytes"], json!(long.len()));
        let uri = prompt["system_ref"]["uri"].as_str().expect("a route");
        assert_eq!(as_worker(daemon, spawn, &format!("GET {uri}"), "").await.body, long);
    })
    .await;
    daemon.stop().await;
    let (daemon, _) = step(json!({}), async |daemon, spawn| {
        assert_eq!(as_worker(daemon, spawn, "GET /v1/worker/prompt/system", "").await.status, 404);
    })
    .await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_in_a_result_are_not_kept() {
    let secret = format!("ghp_{}", "a1B2".repeat(9));
    let (daemon, run_id) = step(json!({}), async |daemon, spawn| {
        submit(daemon, spawn, &format!("the token is {secret}")).await;
    })
    .await;
    assert!(!out(&daemon, &run_id).await.to_string().contains(&secret));
    daemon.stop().await;
}
