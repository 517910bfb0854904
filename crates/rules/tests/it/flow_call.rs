//! Calls: a context of their own, paths below the caller's, and errors that go up through them.

use crate::driver::{NOW, flow, json, linked, start};
use crate::flow_machine::{failed, play, settled};
use adjutant_model::Value;
use adjutant_model::run::{ErrorClass, StepPath};
use adjutant_rules::document::{Cursor, Lints};
use adjutant_rules::flow::{FlowEffect, FlowEnd, FlowEvent, Program, read};

const CALL: &str =
    r#"{"kind":"call","blueprint":"failing","in":{"op":"path","at":"$.x"},"out":{"op":"path","at":"$.y"}}"#;

fn seq(children: &str) -> String {
    format!(r#"{{"kind":"seq","children":[{children}]}}"#)
}

#[test]
fn a_callee_sees_its_input_over_its_own_default_and_gives_its_whole_context() {
    play(
        start(&seq(CALL), r#"{"x":{"a":7},"z":1}"#),
        &[
            (FlowEvent::Begun, &[r#"dispatch 0/call #1 {"a":7,"given":"by default"}"#]),
            (
                settled("0/call", 1, Value::from("new")),
                &[r#"done {"x":{"a":7},"y":{"a":"new","given":"by default"},"z":1}"#],
            ),
        ],
    );
}

#[test]
fn an_agent_of_a_callee_is_of_another_unit_than_one_of_the_same_name() {
    let own = r#"{"kind":"step","ref":"boom","in":{"op":"path","at":"$"},"out":{"op":"path","at":"$.o"}}"#;
    let document = seq(&format!("{own},{CALL}"));
    let units = |state: &adjutant_rules::flow::FlowState| -> Vec<u32> {
        let unit = |effect| match effect {
            FlowEffect::Dispatch { unit, .. } => Some(unit),
            _ => None,
        };
        state.pending().into_iter().filter_map(unit).collect()
    };
    let (state, _) = start(&document, r#"{"x":null}"#).step(FlowEvent::Begun, NOW);
    assert_eq!(units(&state), [0]);
    let (state, _) = state.step(settled("0", 1, Value::Null), NOW);
    assert_eq!(units(&state), [3]);
    let program = linked(&flow(&json(&document)));
    let at = |path: &str| program.agent_at(&StepPath::new(path)).map(|(unit, name)| (unit, name.to_owned()));
    assert_eq!(at("0"), Some((0, "boom".to_owned())));
    assert_eq!(at("1/call"), Some((3, "boom".to_owned())));
    for nothing in ["1", ".", "2", "1/call/0", "1/body#0"] {
        assert_eq!(at(nothing), None, "{nothing}");
    }
    let nested = linked(&flow(&json(&CALL.replace("failing", "nested"))));
    let path = StepPath::new("call/body/1/body#1/call/0");
    assert_eq!(nested.agent_at(&path), Some((1, "nonnull")), "calls, tries, loops and seqs lead there");
}

#[test]
fn an_error_of_a_callee_leaves_the_callers_context_and_can_be_caught() {
    let (state, _) = start(&seq(CALL), r#"{"x":{"a":7}}"#).step(FlowEvent::Begun, NOW);
    assert_eq!(*state.ctx(), json(r#"{"x":{"a":7}}"#), "what the run shows is its own");
    let (state, _) = state.step(failed("0/call", 1, ErrorClass::User), NOW);
    let Some(FlowEnd::Failed { error, ctx }) = state.end() else { panic!("{:?}", state.end()) };
    assert_eq!(*ctx, json(r#"{"x":{"a":7}}"#));
    assert_eq!(error.step, Some(StepPath::new("0/call")));

    let caught = format!(
        r#"{{"kind":"try","body":{CALL},"catch":{{"kind":"let","at":"$.ok","value":{{"op":"lit","value":false}}}},
            "err_at":{{"op":"path","at":"$.why"}}}}"#
    );
    play(
        start(&caught, r#"{"x":{"a":7}}"#),
        &[
            (FlowEvent::Begun, &[r#"dispatch body/call #1 {"a":7,"given":"by default"}"#]),
            (failed("body/call", 1, ErrorClass::User), &[r#"done {"ok":false,"why":"no luck","x":{"a":7}}"#]),
        ],
    );
}

#[test]
fn a_cancelled_run_aborts_what_its_callees_have_in_flight() {
    let (state, _) = start(CALL, r#"{"x":{}}"#).step(FlowEvent::Begun, NOW);
    play(
        state,
        &[(
            FlowEvent::CancelRequested { reason: "enough".to_owned() },
            &["abort call #1", "cancelled enough"],
        )],
    );
}

#[test]
fn what_cannot_be_called_is_an_error_of_the_run() {
    for (flow, ctx, code) in [
        (CALL.to_owned(), r#"{"x":5}"#, "type_error"),
        (CALL.to_owned(), "{}", "path_not_found"),
        (CALL.replace("failing", "nowhere"), r#"{"x":{}}"#, "extern_error"),
        (CALL.replace("$.y", "$.x.y.z").replace("failing", "one"), r#"{"x":{"y":1}}"#, ""),
    ] {
        let (_, effects) = start(&flow, ctx).step(FlowEvent::Begun, NOW);
        let told = crate::flow_machine::told(&effects);
        if code.is_empty() {
            assert!(told[0].starts_with("dispatch call/0"), "{told:?}");
        } else {
            assert_eq!(told, [format!("failed {code}")], "{flow}");
        }
    }
    let alone = Program::compile(&flow(&json(CALL)));
    assert_eq!(alone.agent_at(&StepPath::new("call")), None, "nothing was linked");
}

#[test]
fn a_document_says_what_is_called_and_which_version() {
    for (wrong, name) in [
        (CALL.replace(r#""blueprint":"failing","#, ""), "missing-field"),
        (CALL.replace(r#""failing""#, "5"), "wrong-type"),
        (CALL.replace(r#""in""#, r#""version":"1","in""#), "wrong-type"),
        (CALL.replace(r#""in""#, r#""version":{"kind":"newest"},"in""#), "unknown-kind"),
        (CALL.replace(r#""in""#, r#""version":{"kind":"fixed"},"in""#), "missing-field"),
        (CALL.replace(r#""in""#, r#""version":{"kind":"latest","req":"1"},"in""#), "unknown-field"),
        (CALL.replace(r#""in""#, r#""ctx":{},"in""#), "unknown-field"),
    ] {
        let document = json(&wrong);
        let mut lints = Lints::default();
        drop(read::node(&Cursor::root(&document), &mut lints));
        let lints = lints.into_vec();
        assert!(lints.iter().any(|lint| lint.name == name), "{wrong}: {lints:?}");
    }
}
