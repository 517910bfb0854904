//! Questions of a flow: when they are asked, what an answer gives, and what a document may not say.

use crate::driver::{NOW, answered, json, start};
use crate::flow_machine::{failed, play, settled};
use adjutant_model::Value;
use adjutant_model::client_run::ApprovalStatus;
use adjutant_model::run::{ErrorClass, StepPath};
use adjutant_rules::approval;
use adjutant_rules::document::{Cursor, Lints};
use adjutant_rules::flow::{FlowEffect, FlowEvent, FlowState, read};

const CHOOSE: &str = r#"{"kind":"ask","question":{"op":"path","at":"$.q"},"options":["left","right"],
    "out":{"op":"path","at":"$.way"},"timeout_ms":60}"#;

const ASKED: &str = r#"ask . #1 {"options":["left","right"],"question":"where?"} within 60"#;

#[test]
fn an_answer_is_written_and_one_that_comes_again_changes_nothing() {
    let state = play(
        start(CHOOSE, r#"{"q":"where?"}"#),
        &[
            (FlowEvent::Begun, &[ASKED]),
            (settled(".", 2, Value::from("left")), &[]),
            (settled(".", 1, Value::from("right")), &[r#"done {"q":"where?","way":"right"}"#]),
        ],
    );
    let (after, effects) = state.step(settled(".", 1, Value::from("left")), NOW);
    assert_eq!((after.end(), effects), (state.end(), Vec::new()));
}

#[test]
fn a_question_stands_until_it_is_answered() {
    let state = play(start(CHOOSE, r#"{"q":"where?"}"#), &[(FlowEvent::Begun, &[ASKED])]);
    let pending = state.pending();
    assert!(state.waits());
    assert!(
        matches!(&pending[..], [FlowEffect::Ask { attempt: 1, timeout_ms: Some(60), .. }]),
        "{pending:?}"
    );
    play(
        state,
        &[(FlowEvent::CancelRequested { reason: "enough".to_owned() }, &["abort . #1", "cancelled enough"])],
    );
}

#[test]
fn a_no_fails_the_node_as_a_step_fails_and_is_never_tried_again() {
    let caught = format!(
        r#"{{"kind":"try","body":{CHOOSE},"catch":{{"kind":"seq","children":[]}},
            "err_at":{{"op":"path","at":"$.err"}},"err_format":"object"}}"#
    );
    let no = approval::outcome(&Value::Null, &answered(ApprovalStatus::Denied, None));
    let event = FlowEvent::Settled { path: StepPath::new("body"), attempt: 1, outcome: no };
    let (state, _) = start(&caught, r#"{"q":"where?"}"#).step(FlowEvent::Begun, NOW);
    let (state, _) = state.step(event, NOW);
    let error = state.ctx().get("err").expect("it was caught");
    assert_eq!(error.get("code").and_then(Value::as_str), Some("step_failed"));
    assert_eq!(error.get("ref").and_then(Value::as_str), Some("ask"));
    play(
        start(CHOOSE, r#"{"q":1}"#),
        &[
            (FlowEvent::Begun, &[r#"ask . #1 {"options":["left","right"],"question":1} within 60"#]),
            (failed(".", 1, ErrorClass::Retry), &["failed step_failed"]),
        ],
    );
}

#[test]
fn a_text_is_asked_as_it_stands_and_an_answer_without_a_place_is_only_a_yes() {
    let first = r#"{"kind":"ask","question":"go on?"}"#;
    let flow = format!(r#"{{"kind":"seq","children":[{first},{{"kind":"ask","question":"$.q"}}]}}"#);
    play(
        start(&flow, "{}"),
        &[
            (FlowEvent::Begun, &[r#"ask 0 #1 {"question":"go on?"}"#]),
            (settled("0", 1, Value::Bool(true)), &[r#"ask 1 #1 {"question":"$.q"}"#]),
            (settled("1", 1, Value::Bool(true)), &["done {}"]),
        ],
    );
}

#[test]
fn what_cannot_be_evaluated_is_not_asked() {
    play(start(CHOOSE, "{}"), &[(FlowEvent::Begun, &["failed path_not_found"])]);
}

#[test]
fn a_question_in_the_loser_of_a_race_is_taken_back() {
    let race = r#"{"kind":"fanout","items":{"op":"lit","value":[1,2]},"bind":{"op":"path","at":"$.item"},"join":"race",
        "out":{"op":"path","at":"$.r"},"collect":{"op":"path","at":"$.item"},"body":{"kind":"ask","question":"which?"}}"#;
    let state: FlowState = start(race, "{}");
    play(
        state,
        &[
            (
                FlowEvent::Begun,
                &[r#"ask body#0 #1 {"question":"which?"}"#, r#"ask body#1 #1 {"question":"which?"}"#],
            ),
            (settled("body#1", 1, Value::Bool(true)), &["abort body#0 #1", r#"done {"r":2}"#]),
        ],
    );
}

#[test]
fn wrong_shapes_are_told_with_their_place() {
    for (document, expected) in [
        (r#"{"kind":"ask"}"#, "`question` is missing"),
        (r#"{"kind":"ask","question":7}"#, "a text or an expression"),
        (r#"{"kind":"ask","question":{"op":"nope"}}"#, "unknown operator `nope`"),
        (r#"{"kind":"ask","question":"?","options":[]}"#, "`options` is empty"),
        (r#"{"kind":"ask","question":"?","options":"a"}"#, "array"),
        (r#"{"kind":"ask","question":"?","options":["a",1]}"#, "/options/1"),
        (r#"{"kind":"ask","question":"?","options":["a","a"]}"#, "stands there already"),
        (r#"{"kind":"ask","question":"?","timeout_ms":0}"#, "/timeout_ms"),
        (r#"{"kind":"ask","question":"?","otu":"$.x"}"#, "otu"),
        (r#"{"kind":"ask","question":"?","out":{"op":"lit","value":1}}"#, "`out` is not a path"),
    ] {
        let value = json(document);
        let mut lints = Lints::default();
        drop(read::node(&Cursor::root(&value), &mut lints));
        let told: Vec<_> = lints.into_vec().iter().map(|lint| format!("{lint:?}")).collect();
        assert!(told.iter().any(|lint| lint.contains(expected)), "{document}: {told:?}");
    }
}
