//! Drives a flow to its end with the steps of the acceptance vectors, each settling at once and in order.

use adjutant_model::client_run::ApprovalStatus;
use adjutant_model::flow::{CallTarget, Node};
use adjutant_model::registry::VersionSelector;
use adjutant_model::run::{ErrorClass, StepFailure, StepOutcome};
use adjutant_model::{Timestamp, Value};
use adjutant_rules::approval::{self, Answered};
use adjutant_rules::document::{Cursor, Lints};
use adjutant_rules::flow::{FlowEffect, FlowEnd, FlowEvent, FlowState, Program, Unit, read};
use std::collections::VecDeque;
use std::sync::Arc;

pub(crate) const NOW: Timestamp = Timestamp::from_unix_ms(1_700_000_000_000);

pub(crate) fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("the test's JSON is valid")
}

#[track_caller]
pub(crate) fn flow(document: &Value) -> Node {
    let mut lints = Lints::default();
    let node = read::node(&Cursor::root(document), &mut lints);
    let lints = lints.into_vec();
    node.unwrap_or_else(|| panic!("the flow is refused: {lints:#?}"))
}

#[track_caller]
pub(crate) fn start(flow_json: &str, ctx: &str) -> FlowState {
    FlowState::new(linked(&flow(&json(flow_json))), json(ctx))
}

/// Compiles a flow that may call `one`, a step and more; `nested`, which calls it in a fanout and in a loop and catches
/// what goes wrong; and `failing`, which nothing catches.
pub(crate) fn linked(flow_of_run: &Node) -> Arc<Program> {
    let one = r#"{"kind":"seq","children":[
        {"kind":"step","ref":"nonnull","in":{"op":"path","at":"$.given"},"out":{"op":"path","at":"$.a"},"retry":{"max":1}},
        {"kind":"wait","ms":2},
        {"kind":"ask","question":"well?","out":{"op":"path","at":"$.n"}}]}"#;
    let nested = r#"{"kind":"try","catch":{"kind":"let","at":"$.caught","value":{"op":"lit","value":true}},
        "err_at":{"op":"path","at":"$.why"},"body":{"kind":"seq","children":[
        {"kind":"fanout","items":{"op":"lit","value":[1,null]},"bind":{"op":"path","at":"$.given"},"join":"all_settled",
         "out":{"op":"path","at":"$.lanes"},
         "body":{"kind":"call","blueprint":"one","in":{"op":"path","at":"$"},"out":{"op":"path","at":"$.called"}}},
        {"kind":"loop","counter":{"op":"path","at":"$.i"},"cond":{"op":"lit","value":true},"max":2,
         "body":{"kind":"call","blueprint":"one","in":{"op":"path","at":"$.lanes[0].value"},"out":{"op":"path","at":"$.last"}}}]}}"#;
    let failing =
        r#"{"kind":"step","ref":"boom","in":{"op":"path","at":"$"},"out":{"op":"path","at":"$.a"}}"#;
    let callees = [("one", one), ("nested", nested), ("failing", failing)];
    let flows: Vec<Node> = callees.iter().map(|(_, text)| flow(&json(text))).collect();
    let default_ctx = json(r#"{"given":"by default","a":0}"#);
    let units: Vec<Unit<'_>> = std::iter::once(Unit { flow: flow_of_run, default_ctx: None })
        .chain(flows.iter().map(|flow| Unit { flow, default_ctx: Some(&default_ctx) }))
        .collect();
    let target = |id: &str| CallTarget { blueprint: id.to_owned(), version: VersionSelector::Latest };
    Program::link(&units, &callees.iter().zip(1..).map(|((id, _), unit)| (target(id), unit)).collect())
}

/// Does what the vectors' steps do.
pub(crate) fn settle(agent: &str, input: &Value) -> StepOutcome {
    let failed = |message: &str| {
        StepOutcome::Failed(StepFailure {
            message: message.to_owned(),
            class: ErrorClass::Retry,
            value: None,
        })
    };
    match (agent, input) {
        ("echo", value) => StepOutcome::Done(value.clone()),
        ("upper", Value::String(text)) => StepOutcome::Done(Value::string(text.to_uppercase())),
        ("inc", Value::Number(n)) => {
            StepOutcome::Done(Value::from_f64(n.as_f64().expect("a float") + 1.0).expect("finite"))
        }
        ("nonnull", value) if *value != Value::Null => StepOutcome::Done(value.clone()),
        (agent, _) => failed(&format!("{agent} fails")),
    }
}

/// Gives what a person said.
pub(crate) fn answered(status: ApprovalStatus, option: Option<&str>) -> Answered<'_> {
    Answered { status, option, id: "approval-1", by: "token-2: I looked" }
}

/// A run that was driven to its end, with what happened on the way.
pub(crate) struct Driven {
    pub(crate) end: FlowEnd,
    pub(crate) dispatches: u64,
    pub(crate) history: Vec<(FlowEvent, Timestamp)>,
}

/// Drives `state` until it is over; effects are answered in the order they were asked for.
pub(crate) fn drive(state: FlowState) -> Driven {
    drive_from(state, vec![(FlowEvent::Begun, NOW)].into(), 0)
}

/// Goes on with a state, the events that wait for it, and the dispatches counted so far.
pub(crate) fn drive_from(
    mut state: FlowState,
    mut events: VecDeque<(FlowEvent, Timestamp)>,
    mut dispatches: u64,
) -> Driven {
    let mut history = Vec::new();
    while let Some((event, now)) = events.pop_front() {
        history.push((event.clone(), now));
        let (next, effects) = state.step(event, now);
        state = next;
        dispatches += effects.iter().filter(|e| matches!(e, FlowEffect::Dispatch { .. })).count() as u64;
        events.extend(effects.into_iter().filter_map(|effect| answer(effect, now)));
    }
    let end = state.end().expect("nothing is in flight, so the run is over").clone();
    Driven { end, dispatches, history }
}

/// Gives the event that answers an effect.
pub(crate) fn answer(effect: FlowEffect, now: Timestamp) -> Option<(FlowEvent, Timestamp)> {
    match effect {
        FlowEffect::Dispatch { path, attempt, agent, input, .. } => {
            Some((FlowEvent::Settled { path, attempt, outcome: settle(&agent, &input) }, now))
        }
        FlowEffect::SetTimer { path, attempt, due_at } => {
            Some((FlowEvent::TimerFired { path, attempt }, due_at))
        }
        FlowEffect::Ask { path, attempt, parameters, .. } => {
            let outcome = approval::outcome(&parameters, &answered(ApprovalStatus::Approved, None));
            Some((FlowEvent::Settled { path, attempt, outcome }, now))
        }
        FlowEffect::Yield => Some((FlowEvent::Resumed, now)),
        FlowEffect::Abort { .. } | FlowEffect::Finish(_) => None,
    }
}
