//! Properties that hold for every flow: replay, order, repetition.

use crate::driver::{NOW, answer, drive, drive_from, flow, linked};
use adjutant_model::Value;
use adjutant_rules::flow::{FlowEffect, FlowEnd, FlowEvent, FlowState};
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use proptest::prop_assert_eq;
use serde_json::json;

fn expr() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        prop_oneof![
            Just("$.a"),
            Just("$.n"),
            Just("$.list"),
            Just("$.list[1]"),
            Just("$.item"),
            Just("$.nope"),
            Just("$")
        ]
        .prop_map(|at| json!({"op": "path", "at": at})),
        prop_oneof![
            Just(json!(1)),
            Just(json!("x")),
            Just(json!(null)),
            Just(json!(true)),
            Just(json!([1, 2]))
        ]
        .prop_map(|value| json!({"op": "lit", "value": value})),
    ];
    leaf.prop_recursive(2, 8, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone(), prop_oneof![Just("eq"), Just("lt"), Just("add"), Just("div")])
                .prop_map(|(lhs, rhs, op)| json!({"op": op, "lhs": lhs, "rhs": rhs})),
            inner.clone().prop_map(|arg| json!({"op": "exists", "arg": arg})),
            inner.prop_map(|arg| json!({"op": "not", "arg": arg})),
        ]
    })
}

fn target() -> impl Strategy<Value = serde_json::Value> {
    prop_oneof![Just("$.a"), Just("$.out.deep"), Just("$.n"), Just("$.list[0]"), Just("$.i")]
        .prop_map(|at| json!({"op": "path", "at": at}))
}

fn node() -> impl Strategy<Value = serde_json::Value> {
    let agent = prop_oneof![Just("echo"), Just("upper"), Just("inc"), Just("nonnull"), Just("boom")];
    let callee =
        prop_oneof![2 => Just("one"), 2 => Just("nested"), 1 => Just("failing"), 1 => Just("nowhere")];
    let retry =
        prop_oneof![Just(json!(null)), Just(json!({"max": 2, "backoff_ms": 5})), Just(json!({"max": 1}))];
    let leaf = prop_oneof![
        4 => (agent, expr(), target(), retry)
            .prop_map(|(agent, input, out, retry)| json!({"kind": "step", "ref": agent, "in": input, "out": out, "retry": retry})),
        1 => expr().prop_map(|value| json!({"kind": "let", "at": "$.b", "value": value})),
        1 => Just(json!({"kind": "wait", "ms": 3})),
        1 => (expr(), proptest::option::of(target())).prop_map(|(question, out)| json!({"kind": "ask", "question": question,
            "options": ["one", "two"], "out": out})),
        2 => (callee, expr(), target())
            .prop_map(|(id, input, out)| json!({"kind": "call", "blueprint": id, "in": input, "out": out})),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let join = prop_oneof![Just("all"), Just("any"), Just("race"), Just("all_settled")];
        let items = prop_oneof![Just(json!([])), Just(json!([1])), Just(json!([1, "two", null, 4]))];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(|children| json!({"kind": "seq", "children": children})),
            (expr(), inner.clone(), inner.clone())
                .prop_map(|(cond, then, otherwise)| json!({"kind": "branch", "cond": {"op": "exists", "arg": cond}, "then": then, "else": otherwise})),
            (inner.clone(), 0..4_u32).prop_map(|(body, max)| json!({"kind": "loop",
                "counter": {"op": "path", "at": "$.i"}, "cond": {"op": "lit", "value": true}, "max": max, "body": body})),
            (inner.clone(), inner.clone(), any::<bool>()).prop_map(|(body, catch, object)| json!({"kind": "try", "body": body,
                "catch": catch, "err_at": {"op": "path", "at": "$.err"}, "err_format": if object { "object" } else { "string" }})),
            (inner, join, items, proptest::option::of(1..3_u32)).prop_map(|(body, join, items, parallel)| json!({"kind": "fanout",
                "items": {"op": "lit", "value": items}, "bind": {"op": "path", "at": "$.item"}, "body": body, "join": join,
                "out": {"op": "path", "at": "$.r"}, "max_parallel": parallel})),
        ]
    })
}

fn state(document: &serde_json::Value) -> FlowState {
    let ctx = json!({"a": {"b": 1}, "n": 5, "list": [1, "x", null]});
    FlowState::new(linked(&flow(&Value::from(document.clone()))), Value::from(ctx))
}

/// Drives with answers in an order that `seed` chooses, and gives the end and the history.
fn drive_shuffled(
    document: &serde_json::Value,
    seed: u64,
) -> (FlowEnd, Vec<(FlowEvent, adjutant_model::Timestamp)>) {
    let mut state = state(document);
    let mut waiting = vec![(FlowEvent::Begun, NOW)];
    let mut history = Vec::new();
    let mut dice = seed | 1;
    while !waiting.is_empty() {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (event, now) = waiting.swap_remove((dice >> 33) as usize % waiting.len());
        history.push((event.clone(), now));
        let (next, effects) = state.step(event, now);
        state = next;
        waiting.extend(effects.into_iter().filter_map(|effect| answer(effect, now)));
    }
    (state.end().expect("nothing is in flight").clone(), history)
}

proptest! {
    #[test]
    fn folding_any_prefix_of_a_history_and_going_on_ends_the_same(document in node(), seed in any::<u64>(), cut in any::<proptest::sample::Index>()) {
        let (end, history) = drive_shuffled(&document, seed);
        let (folded, rest) = history.split_at(cut.index(history.len() + 1));
        let mut resumed = state(&document);
        for (event, now) in folded {
            resumed = resumed.step(event.clone(), *now).0;
        }
        // Whatever was in flight is asked for again, and its answers come in the order they came in before.
        for (event, now) in rest {
            resumed = resumed.step(event.clone(), *now).0;
        }
        prop_assert_eq!(resumed.end(), Some(&end));
    }

    #[test]
    fn a_crash_after_any_event_performs_what_is_pending_and_ends(document in node(), cut in any::<proptest::sample::Index>()) {
        let straight = drive(state(&document));
        let cut = cut.index(straight.history.len() + 1);
        let mut crashed = state(&document);
        let mut dispatched = 0;
        for (event, now) in &straight.history[..cut] {
            let (next, effects) = crashed.step(event.clone(), *now);
            dispatched += effects.iter().filter(|e| matches!(e, FlowEffect::Dispatch { .. })).count() as u64;
            crashed = next;
        }
        let now = straight.history.get(cut.saturating_sub(1)).map_or(NOW, |(_, now)| *now);
        let mut again: std::collections::VecDeque<_> = crashed.pending().into_iter().filter_map(|e| answer(e, now)).collect();
        if cut == 0 {
            again.push_back((FlowEvent::Begun, NOW));
        }
        if crashed.end().is_none() {
            let resumed = drive_from(crashed, again, dispatched);
            // What had settled is not dispatched again, and a flow whose branches do not race ends the same.
            if !document.to_string().contains("any") && !document.to_string().contains("race") && !document.to_string().contains("\"all\"") {
                prop_assert_eq!(&resumed.end, &straight.end);
                prop_assert_eq!(resumed.dispatches, straight.dispatches);
            }
        }
    }

    #[test]
    fn every_event_twice_changes_nothing(document in node(), seed in any::<u64>()) {
        let (end, history) = drive_shuffled(&document, seed);
        let mut state = state(&document);
        for (event, now) in history {
            let (next, _) = state.step(event.clone(), now);
            let (again, effects) = next.step(event.clone(), now);
            if event != FlowEvent::Resumed {
                prop_assert_eq!(effects, Vec::<FlowEffect>::new());
            }
            state = again;
        }
        prop_assert_eq!(state.end(), Some(&end));
    }

    #[test]
    fn cancelling_after_any_event_leaves_nothing_in_flight(document in node(), seed in any::<u64>(), cut in any::<proptest::sample::Index>()) {
        let (end, history) = drive_shuffled(&document, seed);
        let cut = cut.index(history.len() + 1);
        let mut state = state(&document);
        for (event, now) in &history[..cut] {
            state = state.step(event.clone(), *now).0;
        }
        let (before, was_open) = (state.pending(), state.end().is_none());
        let (state, effects) = state.step(FlowEvent::CancelRequested { reason: "test".to_owned() }, NOW);
        let aborts = effects.iter().filter(|e| matches!(e, FlowEffect::Abort { .. })).count();
        prop_assert_eq!(state.pending(), Vec::new());
        if was_open {
            prop_assert_eq!(aborts, before.len());
            let cancelled = matches!(state.end(), Some(FlowEnd::Cancelled { .. }));
            prop_assert_eq!(cancelled, true);
        } else {
            prop_assert_eq!(state.end(), Some(&end));
        }
    }
}
