//! What the vectors do not cover: cancelling, retries, timers, collecting, limits, and events that come twice.

use crate::driver::{NOW, drive, json, settle, start};
use adjutant_model::run::{ErrorClass, FlowErrorCode, StepFailure, StepOutcome, StepPath};
use adjutant_model::{Timestamp, Value};
use adjutant_rules::flow::{FlowEffect, FlowEnd, FlowEvent, FlowState};

const STEP: &str =
    r#"{"kind":"step","ref":"echo","in":{"op":"path","at":"$.item"},"out":{"op":"path","at":"$.o"}}"#;

fn fanout(join: &str, more: &str) -> String {
    format!(
        r#"{{"kind":"fanout","items":{{"op":"path","at":"$.list"}},"bind":{{"op":"path","at":"$.item"}},
            "join":"{join}","out":{{"op":"path","at":"$.r"}},"body":{STEP}{more}}}"#
    )
}

pub(crate) fn settled(path: &str, attempt: u32, value: Value) -> FlowEvent {
    FlowEvent::Settled { path: StepPath::new(path), attempt, outcome: StepOutcome::Done(value) }
}

pub(crate) fn failed(path: &str, attempt: u32, class: ErrorClass) -> FlowEvent {
    let failure = StepFailure { message: "no luck".to_owned(), class, value: None };
    FlowEvent::Settled { path: StepPath::new(path), attempt, outcome: StepOutcome::Failed(failure) }
}

/// Says effects in one line each, so that a test reads as a story.
pub(crate) fn told(effects: &[FlowEffect]) -> Vec<String> {
    effects
        .iter()
        .map(|effect| match effect {
            FlowEffect::Dispatch { path, attempt, input, .. } => {
                format!("dispatch {path} #{attempt} {input}")
            }
            FlowEffect::SetTimer { path, attempt, due_at } => {
                format!("timer {path} #{attempt} +{}", due_at.ms_since(NOW))
            }
            FlowEffect::Ask { path, attempt, parameters, timeout_ms } => {
                let until = timeout_ms.map_or_else(String::new, |ms| format!(" within {ms}"));
                format!("ask {path} #{attempt} {parameters}{until}")
            }
            FlowEffect::Abort { path, attempt } => format!("abort {path} #{attempt}"),
            FlowEffect::Yield => "yield".to_owned(),
            FlowEffect::Finish(FlowEnd::Done(ctx)) => format!("done {ctx}"),
            FlowEffect::Finish(FlowEnd::Failed { error, .. }) => format!("failed {}", error.code.as_str()),
            FlowEffect::Finish(FlowEnd::Cancelled { reason }) => format!("cancelled {reason}"),
        })
        .collect()
}

#[track_caller]
pub(crate) fn play(mut state: FlowState, script: &[(FlowEvent, &[&str])]) -> FlowState {
    for (event, expected) in script {
        let (next, effects) = state.step(event.clone(), NOW);
        assert_eq!(told(&effects), *expected, "after {event:?}");
        state = next;
    }
    state
}

#[test]
fn the_first_success_of_any_aborts_the_others() {
    let state = start(&fanout("any", ""), r#"{"list":[1,2,3]}"#);
    play(
        state,
        &[
            (FlowEvent::Begun, &["dispatch body#0 #1 1", "dispatch body#1 #1 2", "dispatch body#2 #1 3"]),
            (failed("body#0", 1, ErrorClass::Retry), &[]),
            (
                settled("body#2", 1, Value::from(9_u64)),
                &["abort body#1 #1", r#"done {"list":[1,2,3],"r":{"item":3,"list":[1,2,3],"o":9}}"#],
            ),
        ],
    );
}

#[test]
fn the_first_error_of_all_aborts_nested_fanouts_too() {
    let inner = fanout("all", "").replace("$.item", "$.x").replace("$.list", "$.item");
    let flow = fanout("all", "").replace(STEP, &inner);
    let state = start(&flow, r#"{"list":[[1,2],[3]]}"#);
    play(
        state,
        &[
            (
                FlowEvent::Begun,
                &[
                    "dispatch body#0/body#0 #1 1",
                    "dispatch body#0/body#1 #1 2",
                    "dispatch body#1/body#0 #1 3",
                ],
            ),
            (
                failed("body#1/body#0", 1, ErrorClass::User),
                &["abort body#0/body#1 #1", "abort body#0/body#0 #1", "failed step_failed"],
            ),
        ],
    );
}

#[test]
fn a_race_is_won_by_an_early_error() {
    let state = start(&fanout("race", ""), r#"{"list":[1,2]}"#);
    play(
        state,
        &[
            (FlowEvent::Begun, &["dispatch body#0 #1 1", "dispatch body#1 #1 2"]),
            (failed("body#1", 1, ErrorClass::Retry), &["abort body#0 #1", "failed step_failed"]),
        ],
    );
}

#[test]
fn max_parallel_bounds_what_is_in_flight_and_collect_what_comes_back() {
    let more = r#","max_parallel":2,"collect":{"op":"path","at":"$.o"}"#;
    let state = start(&fanout("all", more), r#"{"list":[1,2,3]}"#);
    play(
        state,
        &[
            (FlowEvent::Begun, &["dispatch body#0 #1 1", "dispatch body#1 #1 2"]),
            (settled("body#1", 1, Value::from(20_u64)), &["dispatch body#2 #1 3"]),
            (settled("body#2", 1, Value::from(30_u64)), &[]),
            (settled("body#0", 1, Value::from(10_u64)), &[r#"done {"list":[1,2,3],"r":[10,20,30]}"#]),
        ],
    );
}

#[test]
fn all_settled_gives_reasons_as_text_or_as_objects() {
    for (more, reason) in [
        ("", r#""no luck""#),
        (
            r#","err_format":"object""#,
            r#"{"code":"step_failed","message":"no luck","ref":"echo","step":"body#0"}"#,
        ),
    ] {
        let state = start(&fanout("all_settled", more), r#"{"list":[1]}"#);
        let done = format!(r#"done {{"list":[1],"r":[{{"reason":{reason},"status":"rejected"}}]}}"#);
        play(
            state,
            &[
                (FlowEvent::Begun, &["dispatch body#0 #1 1"]),
                (failed("body#0", 1, ErrorClass::User), &[&done]),
            ],
        );
    }
}

#[test]
fn a_failed_step_is_repeated_with_a_doubling_pause_as_long_as_it_may_help() {
    let step = STEP.replace("$.item", "$").replace(r#""out""#, r#""retry":{"max":2,"backoff_ms":100},"out""#);
    let timer = |attempt| FlowEvent::TimerFired { path: StepPath::new("."), attempt };
    let state = start(&step, "{}");
    play(
        state.clone(),
        &[
            (FlowEvent::Begun, &["dispatch . #1 {}"]),
            (failed(".", 1, ErrorClass::Retry), &["timer . #2 +100"]),
            (failed(".", 1, ErrorClass::Retry), &[]),
            (timer(1), &[]),
            (timer(2), &["dispatch . #2 {}"]),
            (timer(2), &[]),
            (failed(".", 2, ErrorClass::Retry), &["timer . #3 +200"]),
            (timer(3), &["dispatch . #3 {}"]),
            (failed(".", 3, ErrorClass::Retry), &["failed step_failed"]),
        ],
    );
    play(
        state,
        &[
            (FlowEvent::Begun, &["dispatch . #1 {}"]),
            (failed(".", 1, ErrorClass::User), &["failed step_failed"]),
        ],
    );
}

#[test]
fn a_wait_rests_until_its_timer() {
    let flow = r#"{"kind":"seq","children":[{"kind":"wait","ms":1500},{"kind":"wait","until":"2001-01-01T00:00:00Z"},
        {"kind":"wait","ms":{"op":"path","at":"$.pause"}}]}"#;
    let timer = |path| FlowEvent::TimerFired { path: StepPath::new(path), attempt: 1 };
    play(
        start(flow, r#"{"pause":7}"#),
        &[
            (FlowEvent::Begun, &["timer 0 #1 +1500"]),
            (timer("2"), &[]),
            (timer("0"), &["timer 2 #1 +7"]),
            (timer("0"), &[]),
            (timer("2"), &[r#"done {"pause":7}"#]),
        ],
    );
}

#[test]
fn cancelling_aborts_everything_in_flight_and_ends_the_run_once() {
    let cancel = || FlowEvent::CancelRequested { reason: "enough".to_owned() };
    let state = play(
        start(&fanout("all", ""), r#"{"list":[1,2]}"#),
        &[
            (FlowEvent::Begun, &["dispatch body#0 #1 1", "dispatch body#1 #1 2"]),
            (cancel(), &["abort body#0 #1", "abort body#1 #1", "cancelled enough"]),
            (cancel(), &[]),
            (settled("body#0", 1, Value::Null), &[]),
        ],
    );
    assert!(matches!(state.end(), Some(FlowEnd::Cancelled { .. })));
    assert_eq!(state.pending(), []);
}

#[test]
fn the_time_to_live_fails_the_run_even_before_it_begins() {
    let state = start(&fanout("all", ""), r#"{"list":[1]}"#);
    play(state.clone(), &[(FlowEvent::TtlExpired, &["failed ttl_expired"])]);
    play(
        state,
        &[
            (FlowEvent::Begun, &["dispatch body#0 #1 1"]),
            (FlowEvent::TtlExpired, &["abort body#0 #1", "failed ttl_expired"]),
        ],
    );
}

#[test]
fn an_event_that_comes_twice_or_for_another_attempt_changes_nothing() {
    let step = STEP.replace("$.item", "$");
    let flow = format!(r#"{{"kind":"seq","children":[{step},{step}]}}"#);
    play(
        start(&flow, "{}"),
        &[
            (FlowEvent::Begun, &["dispatch 0 #1 {}"]),
            (FlowEvent::Begun, &[]),
            (settled("0", 2, Value::Null), &[]),
            (settled("1", 1, Value::Null), &[]),
            (settled("0", 1, Value::Null), &[r#"dispatch 1 #1 {"o":null}"#]),
            (settled("0", 1, Value::Null), &[]),
        ],
    );
}

#[test]
fn loop_iterations_have_paths_of_their_own() {
    let step = STEP.replace("$.item", "$.i");
    let flow = format!(
        r#"{{"kind":"seq","children":[{{"kind":"loop","counter":{{"op":"path","at":"$.i"}},
            "cond":{{"op":"lit","value":true}},"max":2,"body":{{"kind":"seq","children":[{step}]}}}}]}}"#
    );
    play(
        start(&flow, "{}"),
        &[
            (FlowEvent::Begun, &["dispatch 0/body#0/0 #1 0"]),
            (settled("0/body#0/0", 1, Value::Null), &["dispatch 0/body#1/0 #1 1"]),
            (settled("0/body#1/0", 1, Value::Null), &[r#"done {"i":2,"o":null}"#]),
        ],
    );
}

#[test]
fn a_loop_without_steps_yields_and_can_be_stopped() {
    let flow = r#"{"kind":"loop","counter":{"op":"path","at":"$.i"},"cond":{"op":"lit","value":true},
        "max":4000000000,"body":{"kind":"seq","children":[]}}"#;
    let state = play(start(flow, "{}"), &[(FlowEvent::Begun, &["yield"]), (FlowEvent::Resumed, &["yield"])]);
    assert_eq!(told(&state.pending()), ["yield"]);
    play(state, &[(FlowEvent::TtlExpired, &["failed ttl_expired"])]);
}

#[test]
fn a_context_that_grows_without_end_is_an_error_that_try_can_catch() {
    let nest = r#"{"kind":"let","at":"$.a","value":{"op":"path","at":"$"}}"#;
    let forever = |body: &str| {
        format!(
            r#"{{"kind":"loop","counter":{{"op":"path","at":"$.i"}},"cond":{{"op":"lit","value":true}},
                "max":100000,"body":{body}}}"#
        )
    };
    let end = drive(start(&forever(nest), "{}")).end;
    let FlowEnd::Failed { error, ctx } = end else { panic!("it ended {end:?}") };
    assert_eq!(error.code, FlowErrorCode::ContextTooLarge);
    assert!(serde_json::from_str::<Value>(&ctx.to_string()).is_ok(), "what is left can be stored and read");

    let double = r#"{"kind":"fanout","items":{"op":"lit","value":[1,2]},"bind":{"op":"path","at":"$.x"},"join":"all",
            "out":{"op":"path","at":"$.r"},"body":{"kind":"seq","children":[]}}"#;
    let caught =
        format!(r#"{{"kind":"try","body":{},"catch":{{"kind":"seq","children":[]}}}}"#, forever(double));
    assert_eq!(
        drive(start(&caught, r#"{"big":"0123456789012345678901234567890123456789"}"#)).end,
        FlowEnd::Done(json(r#"{"big":"0123456789012345678901234567890123456789"}"#))
    );
}

#[test]
fn array_indexes_read_replace_and_append() {
    let set = |at: &str, value: &str| {
        format!(r#"{{"kind":"let","at":"{at}","value":{{"op":"lit","value":{value}}}}}"#)
    };
    let flow = format!(
        r#"{{"kind":"seq","children":[{},{},{},{{"kind":"let","at":"$.last","value":{{"op":"path","at":"$.list[2].k"}}}}]}}"#,
        set("$.list[0]", "\"first\""),
        set("$.list[2].k", "7"),
        set("$.made[0]", "true"),
    );
    let end = drive(start(&flow, r#"{"list":[1,2]}"#)).end;
    assert_eq!(end, FlowEnd::Done(json(r#"{"last":7,"list":["first",2,{"k":7}],"made":[true]}"#)));
    for (flow, code) in [
        (set("$.list[5]", "1"), FlowErrorCode::TypeError),
        (set("$.list.x", "1"), FlowErrorCode::TypeError),
        (
            r#"{"kind":"let","at":"$.x","value":{"op":"path","at":"$.list[9]"}}"#.to_owned(),
            FlowErrorCode::PathNotFound,
        ),
        (
            r#"{"kind":"let","at":"$.x","value":{"op":"path","at":"$.list.0"}}"#.to_owned(),
            FlowErrorCode::PathNotFound,
        ),
    ] {
        let end = drive(start(&flow, r#"{"list":[1,2]}"#)).end;
        assert!(matches!(&end, FlowEnd::Failed { error, .. } if error.code == code), "{flow}: {end:?}");
    }
}

#[test]
fn pending_names_exactly_what_was_asked_for_and_not_answered() {
    let step = STEP.replace(r#""out""#, r#""retry":{"max":1,"backoff_ms":50},"timeout_ms":10,"out""#);
    let flow = fanout("all", "").replace(STEP, &step);
    let state = play(
        start(&flow, r#"{"list":[1,2,3]}"#),
        &[
            (FlowEvent::Begun, &["dispatch body#0 #1 1", "dispatch body#1 #1 2", "dispatch body#2 #1 3"]),
            (settled("body#1", 1, Value::Null), &[]),
            (failed("body#2", 1, ErrorClass::Retry), &["timer body#2 #2 +50"]),
        ],
    );
    assert_eq!(told(&state.pending()), ["dispatch body#0 #1 1", "timer body#2 #2 +50"]);
    assert!(matches!(state.pending()[0], FlowEffect::Dispatch { timeout_ms: Some(10), .. }));
}

#[test]
fn a_fork_of_a_wide_context_costs_what_it_changes() {
    let wide: Vec<String> = (0..20_000).map(|n| format!(r#""k{n}":{n}"#)).collect();
    let items: Vec<String> = (0..2_000).map(|n| n.to_string()).collect();
    let ctx = format!(r#"{{"list":[{}],{}}}"#, items.join(","), wide.join(","));
    // Without sharing, two thousand copies of twenty thousand keys would be forty million entries.
    let more = r#","collect":{"op":"path","at":"$.o"}"#;
    let driven = drive(start(&fanout("all", more), &ctx));
    let FlowEnd::Done(ctx) = driven.end else { panic!("it ended {:?}", driven.end) };
    assert_eq!(ctx.get("r").and_then(Value::as_array).map(<[Value]>::len), Some(2_000));
    assert_eq!(driven.dispatches, 2_000);
}

#[test]
fn waiting_for_an_instant_needs_an_instant() {
    for (flow, op) in [
        (r#"{"kind":"wait","ms":-1}"#, "wait.ms"),
        (r#"{"kind":"wait","ms":"soon"}"#, "wait.ms"),
        (r#"{"kind":"wait","until":"soon"}"#, "wait.until"),
        (r#"{"kind":"wait","until":5}"#, "wait.until"),
    ] {
        let end = drive(start(flow, "{}")).end;
        assert!(
            matches!(&end, FlowEnd::Failed { error, .. } if error.code == FlowErrorCode::TypeError && error.message.starts_with(op)),
            "{flow}: {end:?}"
        );
    }
}

#[test]
fn the_driver_settles_steps_as_the_vectors_describe_them() {
    assert_eq!(settle("upper", &Value::from("aé")), StepOutcome::Done(Value::from("AÉ")));
    assert!(matches!(settle("boom", &Value::Null), StepOutcome::Failed(_)));
    assert_eq!(Timestamp::from_unix_ms(5).plus_ms(2).ms_since(Timestamp::from_unix_ms(5)), 2);
}
