//! Who holds which seat of a run, and taking one over.

use super::*;

fn two_seats() -> Value {
    let agent =
        |name: &str, seat: &str| json!({"name": name, "kind": "operator", "spec": {"operator_ref": seat}});
    let step = |agent: &str, out: &str| json!({"kind": "step", "ref": agent, "in": {"op": "path", "at": "$.in"}, "out": {"op": "path", "at": out}});
    json!({"id": "test", "operators": [{"name": "code"}, {"name": "review"}],
        "agents": [agent("coder", "code"), agent("reviewer", "review")],
        "flow": {"kind": "seq", "children": [step("coder", "$.code"), step("reviewer", "$.out")]}})
}

async fn acquire(daemon: &Daemon, token: &str, run_id: &RunId, params: Value) -> Raw {
    daemon.send_as(token, &format!("POST /v1/runs/{run_id}/acquire"), &params.to_string()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_takeover_hands_the_step_on_and_refuses_the_old_holder_s_late_reply_and_worker() {
    let daemon = Daemon::start().await;
    let mut old = Operator::present(&daemon).await;
    let mut new = Operator::present(&daemon).await;
    let run_id = launch(&daemon, operated(json!({}), json!({})), json!({"operator_sid": old.sid})).await;
    let first = old.frame("spawn").await;
    let raw = acquire(&daemon, &new.token, &run_id, json!({"op": new.sid, "desc": "it hangs"})).await;
    assert_eq!(raw.status, 200, "{raw:?}");
    let acquired = json_of(&raw);
    assert_eq!((&acquired["slot"], &acquired["gen"]), (&json!("main"), &json!(2)));
    assert_eq!(acquired["previous"], json!(old.sid));

    let second = new.frame("spawn").await;
    assert_eq!(first["task_id"], second["task_id"], "it is the same step");
    assert_ne!(first["req_id"], second["req_id"]);
    old.ack(&first).await;
    let error = old.frame("error").await;
    assert_eq!((&error["code"], &error["req_id"]), (&json!("conflict"), &first["req_id"]));
    assert!(error["error"].as_str().expect("a text").contains("generation 1 is over"), "{error}");
    for line in ["POST /v1/worker/submit", "POST /v1/worker/artifact?name=notes", "GET /v1/worker/prompt"] {
        let late = as_worker(&daemon, &first, line, "late").await;
        assert_eq!(late.status, 409, "{late:?}");
    }
    submit(&daemon, &second, "new").await;
    new.ack(&second).await;
    assert_eq!(out(&daemon, &run_id).await, json!("new"));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_takeover_survives_the_daemon() {
    let daemon = Daemon::start().await;
    let mut old = Operator::present(&daemon).await;
    let mut new = Operator::join(&daemon, json!({})).await;
    let run_id = launch(&daemon, operated(json!({}), json!({})), json!({"operator_sid": old.sid})).await;
    let first = old.frame("spawn").await;
    let raw =
        acquire(&daemon, &daemon.token, &run_id, json!({"op": new.sid, "desc": "why", "slot": "main"})).await;
    assert_eq!(raw.status, 200, "{raw:?}");
    let daemon = daemon.restarted().await;
    new.connect(&daemon).await;
    let spawn = new.frame("spawn").await;
    assert!(spawn["req_id"].as_str().expect("a text").ends_with(":g2"), "{spawn}");
    let late = as_worker(&daemon, &first, "POST /v1/worker/submit", "late").await;
    assert_eq!(late.status, 409, "{late:?}");
    new.ack(&spawn).await;
    ended(&daemon, &run_id).await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_takes_seats_for_itself_alone_and_must_say_why() {
    let daemon = Daemon::start().await;
    let mut holder = Operator::present(&daemon).await;
    let other = Operator::join(&daemon, json!({"roles": ["lead"]})).await;
    let run_id = launch(&daemon, operated(json!({}), json!({})), json!({"operator_sid": holder.sid})).await;
    let spawn = holder.frame("spawn").await;
    let worker = spawn["capability_token"].as_str().expect("a token").to_owned();
    let nobody = format!("op_{}", "0".repeat(32));
    for (token, params, status) in [
        (&other.token, json!({"op": holder.sid, "desc": "why"}), 403),
        (&worker, json!({"op": holder.sid, "desc": "why"}), 403),
        (&other.token, json!({"op": other.sid, "desc": " "}), 400),
        (&other.token, json!({"op": other.sid, "desc": "why", "slot": "side"}), 400),
        (&other.token, json!({"op": nobody, "desc": "why"}), 400),
        (&other.token, json!({"op": other.sid, "desc": "why", "force": true}), 400),
        (&other.token, json!({"op": "lead", "desc": "why"}), 200),
    ] {
        let raw = acquire(&daemon, token, &run_id, params.clone()).await;
        assert_eq!(raw.status, status, "{params}: {raw:?}");
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_seats_are_held_apart_and_handed_over_apart() {
    let daemon = Daemon::start().await;
    let mut a = Operator::present(&daemon).await;
    let mut b = Operator::present(&daemon).await;
    let request = json!({"operator_sid": a.sid, "operator_slot": "code", "operator_desc": "codes"});
    let run_id = launch(&daemon, two_seats(), request).await;
    let coding = a.frame("spawn").await;
    let raw = acquire(&daemon, &b.token, &run_id, json!({"op": b.sid, "desc": "reviews"})).await;
    assert_eq!(raw.status, 400, "it must say which seat: {raw:?}");
    let raw =
        acquire(&daemon, &b.token, &run_id, json!({"op": b.sid, "desc": "reviews", "slot": "review"})).await;
    assert_eq!(raw.status, 200, "{raw:?}");
    let told = json_of(&daemon.send(&format!("GET /v1/runs/{run_id}/assignees"), "").await);
    let holder = |seat: &Value| seat["holder"]["op"].clone();
    assert_eq!(
        (holder(&told["seats"][0]), holder(&told["seats"][1])),
        (json!(a.sid), json!(b.sid)),
        "{told}"
    );
    assert_eq!(told["generation"], json!(2));

    submit(&daemon, &coding, "code").await;
    a.ack(&coding).await;
    let reviewing = b.frame("spawn").await;
    assert_eq!(reviewing["agent"], json!("reviewer"));
    b.ack(&reviewing).await;
    assert_eq!(out(&daemon, &run_id).await, json!(null));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_over_reads_what_waits_and_what_the_worker_was_told() {
    let daemon = Daemon::start().await;
    let mut operator = Operator::present(&daemon).await;
    let run_id = launch(&daemon, operated(json!({}), json!({})), json!({"operator_sid": operator.sid})).await;
    let spawn = operator.frame("spawn").await;
    let read = async |final_ok: Value| {
        let told = json_of(&daemon.send(&format!("GET /v1/runs/{run_id}/handover"), "").await);
        let open = &told["unanswered"][0];
        assert_eq!((&open["req_id"], &open["final_ok"]), (&spawn["req_id"], &final_ok), "{told}");
        let route = open["material_route"].as_str().expect("a route");
        let material = json_of(&daemon.send(&format!("GET {route}"), "").await);
        assert_eq!(material["payload"]["prompt"], json!("do it"), "{material}");
        assert_eq!(material["final_present"], json!(!final_ok.is_null()));
    };
    read(json!(null)).await;
    submit(&daemon, &spawn, "done").await;
    read(json!(true)).await;
    operator.ack(&spawn).await;
    ended(&daemon, &run_id).await;
    let told = json_of(&daemon.send(&format!("GET /v1/runs/{run_id}/handover"), "").await);
    assert_eq!(told["unanswered"], json!([]));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vacant_seat_waits_for_whoever_acquires_it() {
    let daemon = Daemon::start().await;
    let mut operator = Operator::present(&daemon).await;
    let run_id = launch(&daemon, operated(json!({}), json!({})), json!({})).await;
    until_said(&daemon, &run_id, "is vacant").await;
    let raw = acquire(&daemon, &operator.token, &run_id, json!({"op": operator.sid, "desc": "mine"})).await;
    assert_eq!(raw.status, 200, "{raw:?}");
    let spawn = operator.frame("spawn").await;
    // Who leaves vacates the seat, and the step waits again.
    let raw = daemon.send_as(&operator.token, &format!("DELETE /v1/operators/{}", operator.sid), "").await;
    assert_eq!(raw.status, 204, "{raw:?}");
    let told = json_of(&daemon.send(&format!("GET /v1/runs/{run_id}/assignees"), "").await);
    assert_eq!(told["seats"][0]["vacant"], json!(true), "{told}");
    let mut next = Operator::present(&daemon).await;
    let raw = acquire(&daemon, &next.token, &run_id, json!({"op": next.sid, "desc": "mine now"})).await;
    assert_eq!(raw.status, 200, "{raw:?}");
    let again = next.frame("spawn").await;
    assert_eq!(again["task_id"], spawn["task_id"]);
    next.ack(&again).await;
    ended(&daemon, &run_id).await;
    let raw = acquire(&daemon, &next.token, &run_id, json!({"op": next.sid, "desc": "too late"})).await;
    assert_eq!(raw.status, 409, "{raw:?}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_names_nobody_or_no_seat_is_refused_by_its_name() {
    let daemon = Daemon::start().await;
    let raw = launch_raw(&daemon, operated(json!({}), json!({})), json!({})).await;
    assert_eq!((raw.status, raw.error().code.as_str()), (503, "no_operator"), "{raw:?}");
    let operator = Operator::join(&daemon, json!({"roles": ["lead"]})).await;
    let sid = operator.sid.as_str();
    let nobody = format!("op_{}", "0".repeat(32));
    let one = operated(json!({}), json!({}));
    let none = crate::harness::identity();
    for (blueprint, request, status, named) in [
        (&one, json!({"operator_sid": nobody}), 400, nobody.as_str()),
        (&one, json!({"operator_sid": "boss"}), 400, "boss"),
        (&one, json!({"operator_sid": sid, "operator_slot": "side"}), 400, "side"),
        (&one, json!({"operator": {"spawn_hook_id": "boss"}}), 400, "operator.spawn_hook_id"),
        (&one, json!({"operator": {"senior_bridge_id": "boss"}}), 400, "operator.senior_bridge_id"),
        (&one, json!({"operator": {"operator_backend_id": "boss"}}), 400, "operator.operator_backend_id"),
        (&one, json!({"operator": {"kind": "person"}}), 400, "person"),
        (&one, json!({"operator": {"per_agent_kinds": {"other": "main_ai"}}}), 400, "other"),
        (&two_seats(), json!({"operator_sid": sid}), 400, "code, review"),
        (&none, json!({"operator_sid": sid}), 400, "no seat"),
        (&one, json!({"operator_sid": "lead"}), 202, ""),
    ] {
        let raw = launch_raw(&daemon, blueprint.clone(), request.clone()).await;
        assert_eq!(raw.status, status, "{request}: {raw:?}");
        assert!(raw.body.contains(named), "{request}: {raw:?}");
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_is_one_live_operator_s() {
    let daemon = Daemon::with_settings(|settings| settings.operator_lost_ms = 0).await;
    let mut holder = Operator::join(&daemon, json!({"roles": ["lead", "second"]})).await;
    holder.connect(&daemon).await;
    let taken = daemon.send("POST /v1/operators", &json!({"roles": ["lead"]}).to_string()).await;
    assert_eq!(taken.status, 409, "{taken:?}");
    assert!(taken.body.contains("`lead`") && taken.body.contains(&holder.sid), "{taken:?}");
    holder.disconnect(&daemon).await;
    let next = Operator::join(&daemon, json!({"roles": ["lead"]})).await;
    assert_eq!(next.shown(&daemon).await["roles"], json!(["lead"]));
    assert_eq!(holder.shown(&daemon).await["roles"], json!(["second"]), "it lost one and keeps the other");
    for params in [json!({"roles": [""]}), json!({"roles": ["op_1"]}), json!({"desc": "x".repeat(2000)})] {
        let raw = daemon.send("POST /v1/operators", &params.to_string()).await;
        assert_eq!(raw.status, 400, "{raw:?}");
    }
    daemon.stop().await;
}
