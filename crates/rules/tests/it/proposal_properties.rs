//! Properties that hold for every proposal: repetition, order, crashes, failures, cancellation.

use crate::proposal_driver::{Drive, Order, proposal};
use adjutant_model::Value;
use adjutant_rules::proposal::{Graph, ProposalEffect, ProposalEvent, ProposalLimits, ProposalState, World};
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use proptest::sample::Index;
use proptest::{prop_assert, prop_assert_eq};
use serde_json::json;

fn key() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("x"), Just("y"), Just("z")]
}

fn keys() -> impl Strategy<Value = Vec<&'static str>> {
    proptest::collection::vec(key(), 0..2)
}

fn body() -> impl Strategy<Value = serde_json::Value> {
    let tool = prop_oneof![
        Just("echo"),
        Just("null"),
        Just("boom"),
        Just("third"),
        Just("hang"),
        Just("hang_safely"),
        Just("strict"),
        Just("cached"),
        Just("limited"),
        Just("nope"),
    ];
    let effects = prop_oneof![Just(json!({})), key().prop_map(|key| json!({key: true}))];
    prop_oneof![
        4 => (tool, 0..3_u32, effects).prop_map(|(tool, n, effects)| {
            let parameters = if n == 2 { json!({"deny": 1}) } else { json!({"n": n}) };
            json!({"type": "tool_call", "tool": tool, "parameters": parameters, "expected_effects": effects})
        }),
        2 => (key(), 0..3_u32).prop_map(|(key, value)| json!({"type": "state_write", "parameters": {"key": key, "value": value}})),
        1 => key().prop_map(|key| json!({"type": "state_read", "parameters": {"key": key}})),
        1 => (key(), 0..3_u32).prop_map(|(key, value)| json!({"type": "assertion", "parameters": {"key": key, "expected": value}})),
    ]
}

fn action(behaviors: &'static [&'static str]) -> impl Strategy<Value = serde_json::Value> {
    let preconditions = prop_oneof![
        4 => Just(json!([])),
        1 => key().prop_map(|key| json!([{"key": key, "operator": "exists"}])),
    ];
    let behavior = proptest::sample::select(behaviors);
    (body(), behavior, any::<bool>(), (keys(), keys(), keys()), preconditions).prop_map(
        |(mut action, behavior, idempotent, (reads, writes, depends), preconditions)| {
            action["failure_behavior"] = json!(behavior);
            action["idempotent"] = json!(idempotent);
            action["max_retries"] = json!(2);
            action["read_set"] = json!(reads);
            action["write_set"] = json!(writes);
            action["state_dependencies"] = json!(if depends.len() > 1 { depends } else { Vec::new() });
            action["preconditions"] = preconditions;
            action
        },
    )
}

fn any_actions() -> impl Strategy<Value = serde_json::Value> {
    proptest::collection::vec(action(&["abort", "retry", "skip"]), 0..9).prop_map(|list| json!(list))
}

/// Actions none of which can abort the proposal.
fn calm_actions() -> impl Strategy<Value = serde_json::Value> {
    proptest::collection::vec(action(&["retry", "skip"]), 0..9).prop_map(|list| json!(list))
}

fn world() -> World {
    let mut world = World::default();
    world.state.set("y".into(), Value::from(1_u64)).expect("there is room");
    world
}

fn drive(actions: &serde_json::Value) -> Drive {
    Drive::with(actions.clone(), ProposalLimits::default(), world())
}

fn fresh(actions: &serde_json::Value) -> (ProposalState, World) {
    let drive = drive(actions);
    (drive.state, drive.world)
}

/// Gives the keys that an action reads and those that it writes, told apart from the document alone.
fn keys_of(action: &serde_json::Value) -> (Vec<String>, Vec<String>) {
    let list = |field: &str| -> Vec<String> {
        let items = action[field].as_array().cloned().unwrap_or_default();
        items.iter().filter_map(|item| item.as_str().or(item["key"].as_str()).map(str::to_owned)).collect()
    };
    let mut reads = [list("state_dependencies"), list("read_set"), list("preconditions")].concat();
    let effects = action["expected_effects"].as_object().cloned().unwrap_or_default();
    let mut writes = [list("write_set"), effects.keys().cloned().collect()].concat();
    if let Some(key) = action["parameters"]["key"].as_str() {
        if action["type"] == "state_write" { writes.push(key.to_owned()) } else { reads.push(key.to_owned()) }
    }
    (reads, writes)
}

proptest! {
    #[test]
    fn whoever_touches_a_key_after_it_was_written_or_writes_it_after_it_was_read_waits(actions in any_actions()) {
        let graph = Graph::new(&proposal(actions.clone()).actions);
        let list = actions.as_array().cloned().unwrap_or_default();
        let keys: Vec<_> = list.iter().map(keys_of).collect();
        let mut waits_for: Vec<std::collections::BTreeSet<usize>> = Vec::new();
        for (second, (reads, writes)) in keys.iter().enumerate() {
            let direct = graph.before(second);
            prop_assert!(direct.iter().all(|first| *first < second), "edges point backwards");
            let all = direct.iter().flat_map(|first| waits_for[*first].iter().chain([first])).copied().collect();
            waits_for.push(all);
            for (first, (read_before, written_before)) in keys[..second].iter().enumerate() {
                let meets = |a: &[String], b: &[String]| a.iter().any(|key| b.contains(key));
                let ordered = meets(written_before, reads) || meets(written_before, writes) || meets(read_before, writes);
                if ordered {
                    prop_assert!(waits_for[second].contains(&first), "{second} waits for {first}");
                }
            }
        }
    }

    #[test]
    fn every_event_twice_changes_nothing(actions in any_actions(), seed in any::<u64>()) {
        let straight = drive(&actions).in_order(Order::Shuffled(seed)).run();
        let (mut state, mut world) = fresh(&actions);
        for (event, now) in &straight.history {
            let once = state.step(&world, event.clone(), *now);
            let twice = once.state.step(&once.world, event.clone(), *now);
            // A timer that is set again replaces itself; nothing else may follow from what was said already.
            let is_timer = |effect: &ProposalEffect| matches!(effect, ProposalEffect::SetTimer { .. });
            prop_assert!(twice.effects.iter().all(is_timer), "{:?}", twice.effects);
            (state, world) = (twice.state, twice.world);
        }
        prop_assert_eq!(state.result(), straight.state.result());
        prop_assert_eq!(world.state.snapshot(), straight.world.state.snapshot());
    }

    #[test]
    fn any_earlier_event_that_comes_again_later_changes_nothing(actions in any_actions(), seed in any::<u64>(), again in any::<Index>()) {
        let straight = drive(&actions).in_order(Order::Shuffled(seed)).run();
        let (mut state, mut world) = fresh(&actions);
        for (index, (event, now)) in straight.history.iter().enumerate() {
            let once = state.step(&world, event.clone(), *now);
            let (earlier, _) = &straight.history[again.index(index + 1)];
            let more = once.state.step(&once.world, earlier.clone(), *now);
            let is_timer = |effect: &ProposalEffect| matches!(effect, ProposalEffect::SetTimer { .. });
            prop_assert!(more.effects.iter().all(is_timer), "{:?}", more.effects);
            (state, world) = (more.state, more.world);
        }
        prop_assert_eq!(state.result(), straight.state.result());
    }

    #[test]
    fn folding_a_history_again_ends_the_same_to_the_millisecond(actions in any_actions(), seed in any::<u64>(), cut in any::<Index>()) {
        let straight = drive(&actions).in_order(Order::Shuffled(seed)).run();
        let (mut state, mut world) = fresh(&actions);
        let cut = cut.index(straight.history.len() + 1);
        for (index, (event, now)) in straight.history.iter().enumerate() {
            if index == cut {
                // Old states stay good: what was stepped from here before changes nothing.
                let reason = "elsewhere".to_owned();
                let _elsewhere = state.step(&world, ProposalEvent::CancelRequested { reason }, *now);
            }
            let step = state.step(&world, event.clone(), *now);
            (state, world) = (step.state, step.world);
        }
        prop_assert_eq!(state.result(), straight.state.result());
    }

    #[test]
    fn a_crash_after_any_event_ends_the_same_when_nothing_aborts(actions in calm_actions(), seed in any::<u64>(), cut in any::<Index>()) {
        let straight = drive(&actions).run();
        let cut = cut.index(straight.history.len() + 1);
        let crashed = drive(&actions).run_for(cut).crash().in_order(Order::Shuffled(seed)).run();
        prop_assert_eq!(crashed.timeless(), straight.timeless());
        prop_assert_eq!(crashed.world.state.snapshot(), straight.world.state.snapshot());
        let mut calls = crashed.calls();
        calls.sort_unstable();
        calls.dedup();
        prop_assert_eq!(calls.len(), crashed.calls().len(), "what had settled is not called again");
    }

    #[test]
    fn a_crash_after_any_event_ends_with_a_result_for_each_action(actions in any_actions(), cut in any::<Index>()) {
        let straight = drive(&actions).run();
        let cut = cut.index(straight.history.len() + 1);
        let crashed = drive(&actions).run_for(cut).crash().run();
        let ids: Vec<_> = crashed.result().results.iter().map(|result| result.action_id.to_string()).collect();
        let expected: Vec<_> = (0..actions.as_array().map_or(0, Vec::len)).map(|n| format!("a{n}")).collect();
        prop_assert_eq!(ids, expected);
        prop_assert_eq!(crashed.state.pending(), Vec::new());
    }

    #[test]
    fn a_failure_at_each_step_ends_the_same_in_whatever_order_answers_come(actions in calm_actions(), seed in any::<u64>(), sabotaged in any::<Index>()) {
        let count = actions.as_array().map_or(0, Vec::len);
        let sabotaged = (count > 0).then(|| sabotaged.index(count));
        let straight = drive(&actions).sabotaged(sabotaged).run();
        let shuffled = drive(&actions).sabotaged(sabotaged).in_order(Order::Shuffled(seed)).run();
        prop_assert_eq!(shuffled.timeless(), straight.timeless());
        prop_assert_eq!(shuffled.world.state.snapshot(), straight.world.state.snapshot());
    }

    #[test]
    fn an_abort_leaves_the_state_as_it_was(actions in any_actions(), seed in any::<u64>()) {
        let drive = drive(&actions).in_order(Order::Shuffled(seed)).run();
        let aborted = drive.errors().iter().any(|error| error.contains("aborts the proposal"))
            || actions.as_array().is_some_and(|list| {
                list.iter().zip(drive.statuses()).any(|(action, status)| action["failure_behavior"] == "abort" && status == "failed")
            });
        if aborted {
            prop_assert_eq!(drive.world.state.snapshot().to_string(), r#"{"y":1}"#);
        }
        prop_assert_eq!(drive.state.pending(), Vec::new());
    }

    #[test]
    fn cancelling_after_any_event_leaves_nothing_in_flight(actions in any_actions(), seed in any::<u64>(), cut in any::<Index>()) {
        let whole = drive(&actions).in_order(Order::Shuffled(seed)).run();
        let cut = cut.index(whole.history.len() + 1);
        let mut drive = drive(&actions).in_order(Order::Shuffled(seed)).run_for(cut);
        let asked = drive.state.pending().iter().filter(|effect| !matches!(effect, ProposalEffect::SetTimer { .. })).count();
        let was_open = drive.state.result().is_none();
        let before = drive.effects.len();
        drive.take(ProposalEvent::CancelRequested { reason: "enough".to_owned() });
        let taken_back = drive.effects[before..]
            .iter()
            .filter(|effect| matches!(effect, ProposalEffect::Cancel { .. } | ProposalEffect::Withdraw { .. }))
            .count();
        prop_assert_eq!(taken_back, asked);
        prop_assert_eq!(drive.state.pending(), Vec::new());
        if !was_open {
            prop_assert_eq!(drive.state.result(), whole.state.result());
        }
    }
}
