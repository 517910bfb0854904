//! The machine of proposals: what each kind of action, failure and limit leads to.

use crate::proposal_driver::{ANSWER_MS, Drive, NOW};
use adjutant_model::Value;
use adjutant_model::proposal::ProposalCost;
use adjutant_rules::proposal::{
    ProposalEffect, ProposalEvent, ProposalLimits, SettledBy, ToolOutcome, World,
};
use serde_json::json;

fn call(tool: &str, fields: serde_json::Value) -> serde_json::Value {
    let mut action = json!({"type": "tool_call", "tool": tool});
    action.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
    action
}

fn write(key: &str, value: u64) -> serde_json::Value {
    json!({"type": "state_write", "parameters": {"key": key, "value": value}})
}

fn read(key: &str) -> serde_json::Value {
    json!({"type": "state_read", "parameters": {"key": key}})
}

fn world(state: serde_json::Value) -> World {
    let mut world = World::default();
    for (key, value) in Value::from(state).as_object().expect("an object").iter() {
        world.state.set(key.clone(), value.clone()).expect("there is room");
    }
    world
}

fn in_world(actions: serde_json::Value, world: World) -> Drive {
    Drive::with(actions, ProposalLimits::default(), world).run()
}

fn limited(actions: serde_json::Value, limits: ProposalLimits) -> Drive {
    Drive::with(actions, limits, World::default()).run()
}

fn settled_by(drive: &Drive) -> Vec<SettledBy> {
    let by = |effect: &ProposalEffect| {
        if let ProposalEffect::Settled { by, .. } = effect { Some(*by) } else { None }
    };
    drive.effects.iter().filter_map(by).collect()
}

#[test]
fn g5_abort_stops_and_rolls_state_back() {
    let actions = json!([
        write("x", 2),
        write("new", 1),
        call("boom", json!({"read_set": ["x", "new"], "write_set": ["z"]})),
        call("echo", json!({"read_set": ["z"]})),
    ]);
    let drive = in_world(actions, world(json!({"x": 1, "other": 3})));
    assert_eq!(drive.statuses(), ["succeeded", "succeeded", "failed", "skipped"]);
    assert_eq!(drive.errors()[2..], ["boom", "not started: action 'a2' failed and aborts the proposal"]);
    assert_eq!(drive.world.state.snapshot().to_string(), r#"{"other":3,"x":1}"#);
    let told: Vec<_> = drive
        .effects
        .iter()
        .filter_map(|effect| {
            let ProposalEffect::StateChanged { key, value } = effect else { return None };
            Some((&**key, value.clone()))
        })
        .collect();
    let one = || Some(Value::from(1_u64));
    assert_eq!(told, [("x", Some(Value::from(2_u64))), ("new", one()), ("new", None), ("x", one())]);
}

#[test]
fn an_abort_leaves_alone_what_somebody_else_has_written_meanwhile() {
    let actions =
        json!([write("mine", 1), write("shared", 1), call("boom", json!({"read_set": ["mine", "shared"]}))]);
    let mut drive = Drive::with(actions, ProposalLimits::default(), world(json!({"shared": 0}))).run_for(3);
    drive.world.state.set("shared".into(), Value::from("theirs")).expect("there is room");
    let drive = drive.run();
    assert_eq!(drive.statuses(), ["succeeded", "succeeded", "failed"]);
    assert_eq!(drive.world.state.snapshot().to_string(), r#"{"shared":"theirs"}"#);
}

#[test]
fn a_key_written_again_after_somebody_else_is_put_back_to_what_they_wrote() {
    let actions = json!([
        write("k", 1),
        call("echo", json!({"read_set": ["k"]})),
        write("k", 2),
        call("boom", json!({"read_set": ["k"]}))
    ]);
    let mut drive = Drive::new(actions).run_for(3);
    assert_eq!(drive.calls(), [(1, 1)]);
    drive.world.state.set("k".into(), Value::from("theirs")).expect("there is room");
    assert_eq!(drive.run().world.state.snapshot().to_string(), r#"{"k":"theirs"}"#);
}

#[test]
fn an_abort_cancels_what_is_in_flight_and_ends_at_once() {
    let drive = Drive::new(json!([
        call("silent", json!({})),
        call("third", json!({"failure_behavior": "retry"})),
        call("boom", json!({}))
    ]))
    .run();
    assert_eq!(drive.statuses(), ["skipped", "skipped", "failed"]);
    let reason = "canceled: action 'a2' failed and aborts the proposal";
    assert_eq!(drive.errors()[..2], [reason, reason]);
    assert!(drive.effects.contains(&ProposalEffect::Cancel { action: 0, attempt: 1 }));
    assert_eq!(drive.result().cost.total_duration_ms, ANSWER_MS);
}

#[test]
fn g5_skip_continues() {
    let drive = Drive::new(json!([
        call("boom", json!({"failure_behavior": "skip", "write_set": ["x"]})),
        call("echo", json!({"read_set": ["x"]}))
    ]))
    .run();
    assert_eq!(drive.statuses(), ["skipped", "succeeded"]);
    assert_eq!(drive.errors(), ["boom", ""]);
}

#[test]
fn g5_timeout_fails() {
    let drive = Drive::new(json!([call("hang", json!({"timeout_ms": 50}))])).run();
    assert_eq!((drive.statuses(), drive.errors()), (vec!["failed"], vec!["action timed out after 50ms"]));
    assert_eq!(drive.result().results[0].duration_ms, Some(50));
    let drive = Drive::new(json!([call("hang", json!({}))])).run();
    assert_eq!(drive.errors(), ["action timed out after 300000ms"]);
}

#[test]
fn g5_retry_succeeds_on_the_third_call() {
    let drive = Drive::new(json!([call("third", json!({"failure_behavior": "retry"}))])).run();
    assert_eq!(drive.statuses(), ["succeeded"]);
    assert_eq!(drive.calls(), [(0, 1), (0, 2), (0, 3)]);
    assert_eq!(drive.pauses_ms(), [ANSWER_MS + 100, 2 * ANSWER_MS + 300]);
    assert_eq!(drive.result().results[0].duration_ms, Some(3 * ANSWER_MS + 300));
    assert_eq!(drive.result().cost.retries, 2);
}

#[test]
fn retries_that_are_used_up_fail_the_action_and_nothing_else() {
    let drive = Drive::new(json!([
        call("boom", json!({"failure_behavior": "retry", "max_retries": 2, "write_set": ["x"]})),
        call("echo", json!({"read_set": ["x"]}))
    ]))
    .run();
    assert_eq!(drive.statuses(), ["failed", "succeeded"]);
    assert_eq!(drive.calls().len(), 4);
    let drive = Drive::new(json!([call("boom", json!({"failure_behavior": "retry"}))])).run();
    assert_eq!((drive.calls().len(), drive.errors()), (4, vec!["boom"]));
}

#[test]
fn a_timed_out_call_is_repeated_only_when_that_is_safe() {
    for (tool, fields, calls) in
        [("hang", json!({}), 1), ("hang", json!({"idempotent": true}), 3), ("hang_safely", json!({}), 3)]
    {
        let mut fields = fields;
        fields["failure_behavior"] = json!("retry");
        fields["max_retries"] = json!(2);
        let drive = Drive::new(json!([call(tool, fields)])).run();
        assert_eq!((drive.calls().len(), drive.statuses()), (calls, vec!["failed"]), "{tool}");
    }
}

#[test]
fn w22_an_answer_of_an_attempt_that_was_given_up_does_not_settle_the_next() {
    let action = call("silent", json!({"failure_behavior": "retry", "idempotent": true, "timeout_ms": 50}));
    let mut drive = Drive::new(json!([action])).run();
    let settled = |attempt, outcome| ProposalEvent::ToolSettled { action: 0, attempt, outcome };
    drive.take(settled(1, ToolOutcome::TimedOut));
    let mut drive = drive.run();
    assert_eq!(drive.calls(), [(0, 1), (0, 2)]);
    drive.take(settled(1, ToolOutcome::Done(Value::from("late"))));
    assert_eq!(drive.state.result(), None);
    drive.take(settled(2, ToolOutcome::Done(Value::from("second"))));
    assert_eq!(drive.result().results[0].output, Some(Value::from("second")));
}

#[test]
fn g5_idempotent_repeat_does_not_call_again() {
    let action = || {
        call(
            "echo",
            json!({"idempotent": true, "parameters": {"a": {"x": 1, "y": 2}}, "expected_effects": {"done": true}}),
        )
    };
    let first = Drive::new(json!([action()])).run();
    let again = in_world(
        json!([action()]),
        World { state: world(json!({})).state, caches: first.world.caches.clone() },
    );
    assert_eq!((first.calls().len(), again.calls().len()), (1, 0));
    assert_eq!(again.result().results[0].output, first.result().results[0].output);
    assert_eq!(again.result().results[0].duration_ms, Some(0));
    assert_eq!(again.world.state.snapshot().to_string(), r#"{"done":true}"#);
    assert_eq!(settled_by(&again), [SettledBy::IdempotencyCache]);
    let together = Drive::new(json!([action(), action()])).run();
    assert_eq!((together.calls().len(), together.statuses()), (1, vec!["succeeded", "succeeded"]));
}

#[test]
fn only_the_same_call_that_succeeded_and_was_not_aborted_is_remembered() {
    let idempotent = |tool: &str, fields: serde_json::Value| {
        let mut action = call(tool, fields);
        action["idempotent"] = json!(true);
        action
    };
    let other = idempotent("echo", json!({"parameters": {"a": 2}}));
    let first = Drive::new(json!([idempotent("echo", json!({"parameters": {"a": 1}}))])).run();
    assert_eq!(in_world(json!([other]), first.world.clone()).calls().len(), 1, "other parameters");
    let plain = call("echo", json!({"parameters": {"a": 1}}));
    assert_eq!(in_world(json!([plain]), first.world.clone()).calls().len(), 1, "the action does not say so");
    let failing = || json!([idempotent("boom", json!({"failure_behavior": "skip"}))]);
    let failed = Drive::new(failing()).run();
    assert_eq!(in_world(failing(), failed.world.clone()).calls().len(), 1, "it failed");
    let kept = idempotent("echo", json!({"write_set": ["x"], "parameters": {"a": 9}}));
    let aborted = Drive::new(json!([kept, call("boom", json!({"read_set": ["x"]}))])).run();
    assert_eq!(aborted.statuses(), ["succeeded", "failed"]);
    assert_eq!(in_world(json!([kept]), aborted.world.clone()).calls().len(), 1, "its proposal was aborted");
}

#[test]
fn w3_a_remembered_answer_does_not_bypass_the_gate() {
    let action = || json!([call("echo", json!({"idempotent": true}))]);
    let first = Drive::new(action()).run();
    let mut again = Drive::with(action(), ProposalLimits::default(), first.world.clone());
    again.take(ProposalEvent::Begun);
    again.take(ProposalEvent::Refused { action: 0, reason: "policy `later`: denied".to_owned() });
    assert_eq!((again.statuses(), again.errors()), (vec!["rejected"], vec!["policy `later`: denied"]));
    assert_eq!(again.result().results[0].output, None);
}

#[test]
fn g5_unknown_tool_is_rejected() {
    let drive = Drive::new(json!([call("nope", json!({}))])).run();
    assert_eq!((drive.statuses(), drive.errors()), (vec!["rejected"], vec!["tool 'nope' is not registered"]));
    assert_eq!(settled_by(&drive), [SettledBy::Validation]);
}

#[test]
fn g5_a_precondition_blocks_and_passes() {
    let action = || {
        json!([call(
            "echo",
            json!({"preconditions": [{"key": "ready", "value": true, "description": "be ready"}]})
        )])
    };
    let drive = in_world(action(), world(json!({"ready": false})));
    assert_eq!(drive.errors(), ["precondition 'ready' eq true does not hold (be ready)"]);
    assert_eq!(in_world(action(), world(json!({"ready": true}))).statuses(), ["succeeded"]);
}

#[test]
fn every_reason_of_a_rejection_is_told() {
    let action = call(
        "strict",
        json!({"state_dependencies": ["gone"], "preconditions": [{"key": "n", "operator": "gt", "value": 3}],
        "assumptions": [{"key": "n", "read_version": 9}]}),
    );
    let drive = in_world(json!([action]), world(json!({"n": 1})));
    assert_eq!(
        drive.errors(),
        [
            "parameters: \"a\" is a required property; parameters: \"b\" is a required property; precondition 'n' gt 3 does not hold; \
          dependency 'gone' not found in the state; assumption about 'n' does not hold: it changed after it was read"
        ]
    );
}

#[test]
fn what_holds_no_more_when_the_gate_answers_is_rejected() {
    let mut drive = Drive::with(
        json!([call("echo", json!({"preconditions": [{"key": "k", "value": 1}]}))]),
        ProposalLimits::default(),
        world(json!({"k": 1})),
    );
    drive.take(ProposalEvent::Begun);
    drive.world.state.set("k".into(), Value::from(2_u64)).expect("there is room");
    drive.take(ProposalEvent::Allowed { action: 0 });
    assert_eq!((drive.statuses(), drive.calls()), (vec!["rejected"], vec![]));
}

#[test]
fn g5_what_the_gate_refuses_is_rejected_and_does_not_abort() {
    let drive = Drive::new(json!([
        call("echo", json!({"parameters": {"deny": 1}, "write_set": ["x"]})),
        call("echo", json!({"read_set": ["x"]}))
    ]))
    .run();
    assert_eq!(drive.statuses(), ["rejected", "succeeded"]);
    assert_eq!(drive.errors()[0], "policy `no-deny`: param 'deny' is there");
    assert_eq!(settled_by(&drive), [SettledBy::Gate, SettledBy::Execution]);
    assert_eq!(drive.result().results[0].duration_ms, None);
}

#[test]
fn g5_the_cost_is_summed_up() {
    let drive = Drive::new(json!([
        call("third", json!({"failure_behavior": "retry"})),
        call("boom", json!({"failure_behavior": "skip"})),
        call("nope", json!({})),
        write("x", 1),
    ]))
    .run();
    assert_eq!(drive.statuses(), ["succeeded", "skipped", "rejected", "succeeded"]);
    let cost = ProposalCost {
        tool_calls: 4,
        actions_executed: 3,
        actions_skipped: 1,
        total_duration_ms: 330,
        retries: 2,
    };
    assert_eq!(drive.result().cost, cost);
}

#[test]
fn g5_a_budget_stops_what_has_not_begun() {
    let chain = |tool: &str| {
        json!((0..4).map(|_| call(tool, json!({"read_set": ["x"], "write_set": ["x"]}))).collect::<Vec<_>>())
    };
    let drive =
        limited(chain("echo"), ProposalLimits { max_tool_calls: Some(2), ..ProposalLimits::default() });
    assert_eq!(drive.statuses(), ["succeeded", "succeeded", "skipped", "skipped"]);
    assert_eq!(drive.errors()[3], "not started: the limit of 2 tool calls is reached");
    let cost = drive.result().cost;
    assert_eq!((cost.tool_calls, cost.actions_executed, cost.actions_skipped), (2, 2, 2));
    let drive = limited(chain("echo"), ProposalLimits { max_actions: Some(1), ..ProposalLimits::default() });
    assert_eq!(drive.statuses(), ["succeeded", "skipped", "skipped", "skipped"]);
    assert_eq!(drive.errors()[1], "not started: the limit of 1 actions is reached");
    let drive =
        limited(chain("silent"), ProposalLimits { max_duration_ms: Some(70), ..ProposalLimits::default() });
    assert_eq!(drive.statuses(), ["skipped"; 4]);
    assert_eq!(
        drive.errors()[..2],
        ["canceled: the limit of 70 ms is reached", "not started: the limit of 70 ms is reached"]
    );
    assert_eq!(drive.result().cost.total_duration_ms, 70);
    let retried = json!([call("boom", json!({"failure_behavior": "retry"}))]);
    let drive = limited(retried, ProposalLimits { max_tool_calls: Some(2), ..ProposalLimits::default() });
    assert_eq!(
        (drive.statuses(), drive.errors(), drive.result().cost.retries),
        (vec!["failed"], vec!["boom"], 1)
    );
}

#[test]
fn what_a_budget_stops_beside_calls_in_flight_does_not_stop_these() {
    let drive = limited(
        json!([call("echo", json!({})), call("echo", json!({})), call("echo", json!({})), write("x", 1)]),
        ProposalLimits { max_tool_calls: Some(2), ..ProposalLimits::default() },
    );
    assert_eq!(drive.statuses(), ["succeeded", "succeeded", "skipped", "skipped"]);
}

#[test]
fn a_call_that_is_refused_its_leave_was_not_made_and_stops_what_has_not_begun() {
    let refused =
        |action, attempt| ProposalEvent::CallRefused { action, attempt, reason: "no leave".to_owned() };
    let actions = json!([
        call("echo", json!({"write_set": ["x"]})),
        call("echo", json!({})),
        call("echo", json!({"read_set": ["x"], "write_set": ["x"]})),
    ]);
    let mut drive = Drive::new(actions);
    drive.take(ProposalEvent::Begun);
    for action in [0, 1] {
        drive.take(ProposalEvent::Allowed { action });
    }
    for (action, attempt) in [(0, 2), (2, 1), (7, 1)] {
        drive.take(refused(action, attempt));
    }
    assert!(drive.state.result().is_none(), "no such call was asked for");
    drive.take(refused(1, 1));
    let drive = drive.run();
    assert_eq!(drive.statuses(), ["succeeded", "skipped", "skipped"]);
    assert_eq!(drive.errors()[1..], ["not started: no leave", "not started: no leave"]);
    let cost = drive.result().cost;
    assert_eq!((cost.tool_calls, cost.actions_executed, cost.actions_skipped, cost.retries), (1, 1, 2, 0));

    let mut drive = Drive::new(json!([call("boom", json!({"failure_behavior": "retry"}))]));
    while drive.calls().len() < 2 {
        drive = drive.run_for(1);
    }
    drive.take(refused(0, 2));
    assert_eq!((drive.statuses(), drive.errors()), (vec!["failed"], vec!["boom"]));
    assert_eq!((drive.result().cost.tool_calls, drive.result().cost.retries), (1, 0));
}

#[test]
fn w21_independent_actions_run_at_once_whatever_follows_when_they_fail() {
    let drive = Drive::new(json!([
        call("silent", json!({})),
        call("silent", json!({"failure_behavior": "retry"})),
        call("silent", json!({"failure_behavior": "skip"}))
    ]))
    .run();
    assert_eq!(drive.calls(), [(0, 1), (1, 1), (2, 1)]);
    assert_eq!(drive.state.pending().len(), 3);
}

#[test]
fn w21_a_read_between_two_writes_sees_the_first() {
    let drive = Drive::new(json!([write("x", 1), read("x"), write("x", 2), read("x"), read("gone")])).run();
    let outputs: Vec<_> = drive
        .result()
        .results
        .iter()
        .map(|result| result.output.clone().unwrap_or_default().to_string())
        .collect();
    assert_eq!(outputs, ["1", "1", "2", "2", "null"]);
    assert_eq!(drive.result().results[2].state_changes.to_string(), r#"{"x":2}"#);
}

#[test]
fn w19_a_null_result_is_a_result() {
    let drive = Drive::new(json!([call("null", json!({"expected_effects": {"seen": null}}))])).run();
    assert_eq!(drive.result().results[0].output, Some(Value::Null));
    assert!(drive.world.state.exists("seen"));
}

#[test]
fn an_assertion_compares_and_may_be_tried_again() {
    let assertion =
        |expected: u64| json!({"type": "assertion", "parameters": {"key": "k", "expected": expected}});
    let drive = in_world(json!([assertion(1)]), world(json!({"k": 1})));
    assert_eq!(drive.statuses(), ["succeeded"]);
    let drive = in_world(json!([assertion(2)]), world(json!({"k": 1})));
    assert_eq!((drive.statuses(), drive.errors()), (vec!["failed"], vec!["assertion failed: 'k' is not 2"]));
    let mut patient = assertion(3);
    patient["failure_behavior"] = json!("retry");
    let mut drive = Drive::new(json!([patient])).run_for(3);
    drive.world.state.set("k".into(), Value::from(3_u64)).expect("there is room");
    let drive = drive.run();
    assert_eq!((drive.statuses(), drive.result().cost.retries), (vec!["succeeded"], 2));
}

#[test]
fn an_answer_that_is_still_good_stands_in_for_a_call() {
    let action = || json!([call("cached", json!({"parameters": {"q": 1}}))]);
    let first = Drive::new(action()).run();
    for (after_ms, calls) in [(59_999, 0), (60_000, 1)] {
        let at = NOW.plus_ms(ANSWER_MS + after_ms);
        let again = Drive::with(action(), ProposalLimits::default(), first.world.clone()).at(at).run();
        assert_eq!((again.calls().len(), again.statuses()), (calls, vec!["succeeded"]), "{after_ms}");
    }
}

#[test]
fn a_rate_limit_makes_calls_wait_and_the_wait_counts_as_time() {
    let drive = Drive::new(json!(
        (0..4).map(|n| call("limited", json!({"parameters": {"n": n}}))).collect::<Vec<_>>()
    ))
    .run();
    assert_eq!(drive.statuses(), ["succeeded"; 4]);
    assert_eq!(drive.result().cost.total_duration_ms, 2000 + ANSWER_MS);
    let impatient = |n: u64| {
        call("limited", json!({"timeout_ms": 300, "failure_behavior": "skip", "parameters": {"n": n}}))
    };
    let drive = Drive::new(json!([impatient(0), impatient(1), impatient(2)])).run();
    assert_eq!(drive.statuses(), ["succeeded", "succeeded", "skipped"]);
    assert_eq!((drive.errors()[2], drive.calls().len()), ("action timed out after 300ms", 2));
}

#[test]
fn a_cancelled_proposal_keeps_what_it_did() {
    let mut drive = Drive::new(json!([
        write("x", 1),
        call("silent", json!({"read_set": ["x"], "write_set": ["y"]})),
        read("y")
    ]))
    .run();
    let cancel = ProposalEvent::CancelRequested { reason: "the owner asked".to_owned() };
    drive.take(cancel.clone());
    assert_eq!(drive.statuses(), ["succeeded", "skipped", "skipped"]);
    assert_eq!(drive.errors()[1..], ["canceled: the owner asked", "not started: the owner asked"]);
    assert!(drive.effects.contains(&ProposalEffect::Cancel { action: 1, attempt: 1 }));
    assert_eq!(drive.world.state.snapshot().to_string(), r#"{"x":1}"#);
    let late = ProposalEvent::ToolSettled { action: 1, attempt: 1, outcome: ToolOutcome::Done(Value::Null) };
    let step = drive.state.step(&drive.world, late, drive.now);
    assert!(step.effects.is_empty(), "an answer that comes too late changes nothing");
    let mut unbegun = Drive::new(json!([read("x")]));
    unbegun.take(cancel);
    assert_eq!(unbegun.statuses(), ["skipped"]);
}

#[test]
fn an_action_that_is_judged_when_the_proposal_stops_is_withdrawn() {
    let mut drive = Drive::new(json!([call("echo", json!({}))]));
    drive.take(ProposalEvent::Begun);
    drive.take(ProposalEvent::LimitReached { reason: "the run may make no more calls".to_owned() });
    assert!(drive.effects.contains(&ProposalEffect::Withdraw { action: 0 }));
    assert_eq!(drive.errors(), ["not started: the run may make no more calls"]);
}

#[test]
fn a_proposal_without_actions_ends_when_it_begins() {
    let drive = Drive::new(json!([])).run();
    assert_eq!((drive.statuses(), drive.result().cost), (vec![], ProposalCost::default()));
}

#[test]
fn effects_that_find_no_room_fail_the_action_whose_tool_is_not_called_again() {
    let large = "x".repeat(9 << 20);
    let drive = Drive::new(json!([call(
        "echo",
        json!({"expected_effects": {"a": large, "b": 1}, "failure_behavior": "retry"})
    )]))
    .run();
    assert_eq!((drive.statuses(), drive.calls().len()), (vec!["failed"], 1));
    assert_eq!(drive.world.state.snapshot().to_string(), "{}", "all of it is written or nothing");
}

#[test]
fn settled_actions_are_told_one_by_one_with_their_attempt() {
    let drive =
        Drive::new(json!([call("third", json!({"failure_behavior": "retry"})), call("nope", json!({}))]))
            .run();
    let told: Vec<_> = drive
        .effects
        .iter()
        .filter_map(|effect| {
            let ProposalEffect::Settled { action, attempt, by, result } = effect else { return None };
            Some((*action, *attempt, *by, result.status.as_str()))
        })
        .collect();
    assert_eq!(told, [(1, 0, SettledBy::Validation, "rejected"), (0, 3, SettledBy::Execution, "succeeded")]);
}
