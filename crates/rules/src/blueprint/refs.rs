//! Which agents a flow calls, and whether they are there.

use super::ID_HINT;
use super::fields::{closest, is_id};
use crate::document::{Cursor, Lint, LintLevel, Lints};
use crate::flow::calls::{self, visit};
use adjutant_model::flow::Node;
use std::collections::BTreeSet;

/// A step's call: the pointer to its `ref` and the agent's name.
type Call<'f> = (String, &'f str);

/// Refuses steps whose agent is not declared.
pub(super) fn check(flow: &Node, declared: &BTreeSet<String>, lints: &mut Lints) {
    let names: Vec<&str> = declared.iter().map(String::as_str).collect();
    for (pointer, agent) in calls(flow) {
        if declared.contains(agent) {
            continue;
        }
        let hint = match (closest(agent, &names), names.is_empty()) {
            (Some(meant), _) => format!("did you mean `{meant}`?"),
            (None, true) => "the blueprint has no agents".to_owned(),
            (None, false) => format!("agents here: {}", names.join(", ")),
        };
        lints.note(Lint {
            level: LintLevel::Error,
            name: "unresolved-agent-ref",
            pointer,
            message: format!("no agent is called `{agent}`"),
            hint: Some(hint),
        });
    }
}

/// Warns of agents that no step calls.
pub(super) fn warn_unused(flow: &Node, at: &Cursor<'_>, lints: &mut Lints) {
    let called: BTreeSet<&str> = calls(flow).into_iter().map(|(_, agent)| agent).collect();
    let Some(agents) = at.member("agents").filter(|agents| agents.value().as_array().is_some()) else {
        return;
    };
    for agent in agents.elements(lints) {
        let Some(name_at) = agent.member("name") else { continue };
        if let Some(name) = name_at.value().as_str().filter(|name| !called.contains(name)) {
            lints.warning(&name_at, "unused-agent", format!("no step calls the agent `{name}`"));
        }
    }
}

fn calls(flow: &Node) -> Vec<Call<'_>> {
    let mut calls = Vec::new();
    visit(flow, "/flow", &mut |pointer, node| {
        if let Node::Step(step) = node {
            calls.push((format!("{pointer}/ref"), &*step.agent));
        }
    });
    calls
}

/// Refuses calls of what can be no blueprint.
pub(super) fn check_calls(flow: &Node, lints: &mut Lints) {
    for (pointer, target) in calls::calls(flow) {
        if !is_id(&target.blueprint) {
            lints.note(Lint {
                level: LintLevel::Error,
                name: "invalid-id",
                pointer: format!("{pointer}/blueprint"),
                message: "this is no id".to_owned(),
                hint: Some(ID_HINT.to_owned()),
            });
        }
    }
}
