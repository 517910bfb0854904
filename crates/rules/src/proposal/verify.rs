//! What would become of a proposal, found without doing any of it.
//!
//! The actions are played through in the order of declaration on a copy of the state. Tools are taken to succeed
//! and to have the effects that their actions declare; what that leaves open is told in the [`Evidence`].

use super::cache::CallKey;
use super::condition::{equal, form_errors, unmet};
use super::graph::{Graph, own_key, reads, writes};
use super::state::StateBook;
use super::tool::ToolSet;
use adjutant_model::Value;
use adjutant_model::proposal::{Action, ActionType, Proposal};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// More actions than this are worth a warning.
const ACTIONS_ADVISED: usize = 30;

/// What was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verification {
    /// Whether no issue is an error.
    pub valid: bool,
    /// Everything that was found, by check.
    pub issues: Vec<Issue>,
    /// The state as the proposal would leave it.
    pub simulated_state: Value,
    /// Ids of actions that would run at once, level by level.
    pub execution_levels: Vec<Vec<Arc<str>>>,
    /// Two actions and the key that both write though the second does not say that it builds on the first.
    pub conflicts: Vec<(Arc<str>, Arc<str>, Arc<str>)>,
    /// What all this is worth.
    pub evidence: Evidence,
}

/// Something that was found in an action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Issue {
    /// The action; empty when it is about the proposal.
    pub action_id: Arc<str>,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
}

/// How bad an issue is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It would run, but probably not as it was meant.
    Warning,
    /// It would be rejected or fail.
    Error,
}

/// What a verification shows and what it cannot.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evidence {
    /// What was checked.
    pub checks: Vec<EvidenceCheck>,
    /// What was taken for granted.
    pub assumptions: Vec<String>,
    /// What nobody looked at.
    pub untested_regions: Vec<String>,
    /// What may go wrong all the same.
    pub residual_risks: Vec<String>,
    /// From 0 to 1, by rule of thumb: 0 when it is not valid, less the more depends on tools and the more warnings.
    pub confidence: f64,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EvidenceCheck {
    /// Its name.
    pub name: &'static str,
    /// Whether there was anything to check.
    pub ran: bool,
    /// What it shows.
    pub verifies: &'static str,
    /// What it cannot show.
    pub cannot_verify: &'static str,
    /// How many issues it found.
    pub findings: usize,
}

/// Verifies a proposal against the tools and the state that it would meet; equal action ids are found too.
pub fn verify(proposal: &Proposal, tools: &ToolSet, state: &StateBook) -> Verification {
    let actions = &proposal.actions;
    let (mut issues, mut checks) = (Vec::new(), Vec::new());
    let mut check = |name, verifies, cannot_verify, found: Vec<Issue>| {
        let findings = found.len();
        checks.push(EvidenceCheck { name, ran: !actions.is_empty(), verifies, cannot_verify, findings });
        issues.extend(found);
    };
    check(
        "action_count",
        "the proposal is of a usual size",
        "whether it could be smaller",
        too_many(actions),
    );
    check("action_ids", "each action can be told from the others", "", duplicate_ids(actions));
    check(
        "repeated_calls",
        "no call of a tool is made again and again",
        "calls that differ in a detail",
        repeated_calls(actions),
    );
    let form = each(actions, |action| form_errors(action, tools));
    check("tools", "tools are registered and parameters are as their schemas say", "what a tool does", form);
    let (simulated, found) = simulate(actions, state.clone());
    check(
        "state",
        "preconditions, dependencies, assumptions and assertions hold in the order of declaration",
        "what others write meanwhile",
        found,
    );
    let conflicts = conflicts(actions);
    let found = conflicts.iter().map(|(first, second, key)| {
        issue(
            second,
            Severity::Warning,
            format!("writes '{key}' over what '{first}' wrote without reading it"),
        )
    });
    check("write_conflicts", "no write is lost unread", "writes that no action declares", found.collect());
    let valid = issues.iter().all(|issue| issue.severity == Severity::Warning);
    let level = |level: Vec<usize>| level.into_iter().map(|index| actions[index].id.clone()).collect();
    Verification {
        valid,
        simulated_state: simulated.snapshot(),
        execution_levels: Graph::new(actions).levels().into_iter().map(level).collect(),
        conflicts,
        evidence: evidence(actions, checks, if valid { Some(issues.len()) } else { None }),
        issues,
    }
}

fn issue(action_id: &Arc<str>, severity: Severity, message: impl Into<String>) -> Issue {
    Issue { action_id: action_id.clone(), severity, message: message.into() }
}

fn each(actions: &[Action], errors: impl Fn(&Action) -> Vec<String>) -> Vec<Issue> {
    let of = |action: &Action| {
        let id = action.id.clone();
        errors(action).into_iter().map(move |message| issue(&id, Severity::Error, message))
    };
    actions.iter().flat_map(of).collect()
}

fn too_many(actions: &[Action]) -> Vec<Issue> {
    let message = format!("{} actions are more than {ACTIONS_ADVISED}", actions.len());
    let found = issue(&Arc::from(""), Severity::Warning, message);
    (actions.len() > ACTIONS_ADVISED).then_some(found).into_iter().collect()
}

fn duplicate_ids(actions: &[Action]) -> Vec<Issue> {
    let mut seen = BTreeSet::new();
    let again = actions.iter().filter(|action| !seen.insert(&action.id));
    again.map(|action| issue(&action.id, Severity::Error, "another action has this id already")).collect()
}

fn repeated_calls(actions: &[Action]) -> Vec<Issue> {
    let mut times: BTreeMap<CallKey, (usize, &Action)> = BTreeMap::new();
    for action in actions.iter().filter(|action| action.kind == ActionType::ToolCall) {
        let entry = times.entry(CallKey::new(action)).or_insert((0, action));
        *entry = (entry.0 + 1, action);
    }
    let mut found: Vec<Issue> = Vec::new();
    for (times, last) in times.into_values() {
        let severity = match times {
            0 | 1 => continue,
            2 => Severity::Warning,
            _ => Severity::Error,
        };
        found.push(issue(&last.id, severity, format!("the same call stands here {times} times")));
    }
    found
}

/// Plays the actions through; one that would be rejected changes nothing.
fn simulate(actions: &[Action], mut state: StateBook) -> (StateBook, Vec<Issue>) {
    let mut found = Vec::new();
    for action in actions {
        let mut reasons = unmet(action, &state);
        let key = own_key(action).unwrap_or_default();
        if action.kind == ActionType::Assertion && reasons.is_empty() {
            let expected = action.parameters.get("expected").unwrap_or(&Value::Null);
            if !state.get(key).is_some_and(|found| equal(found, expected)) {
                reasons.push(format!("the assertion on '{key}' would fail"));
            }
        }
        if reasons.is_empty() {
            reasons.extend(play(action, &mut state));
        }
        found.extend(reasons.into_iter().map(|reason| issue(&action.id, Severity::Error, reason)));
    }
    (state, found)
}

/// Writes what an action would write; gives why it could not.
fn play(action: &Action, state: &mut StateBook) -> Option<String> {
    let own = (action.kind == ActionType::StateWrite).then(|| own_key(action)).flatten();
    let value = || action.parameters.get("value").cloned().unwrap_or_default();
    let own = own.map(|key| (Arc::from(key), value()));
    let expected = action.expected_effects.as_object().into_iter().flat_map(|effects| effects.iter());
    let mut writes = own.into_iter().chain(expected.map(|(key, value)| (key.clone(), value.clone())));
    writes.find_map(|(key, value)| state.set(key, value).err()).map(|why| why.to_string())
}

fn conflicts(actions: &[Action]) -> Vec<(Arc<str>, Arc<str>, Arc<str>)> {
    let mut found = Vec::new();
    // The last writer of each key, while nobody has read what it wrote.
    let mut unread: BTreeMap<&str, &Action> = BTreeMap::new();
    for action in actions {
        for key in reads(action) {
            unread.remove(key);
        }
        for key in writes(action).collect::<BTreeSet<_>>() {
            if let Some(first) = unread.insert(key, action) {
                found.push((first.id.clone(), action.id.clone(), Arc::from(key)));
            }
        }
    }
    found
}

/// Says what the checks are worth; `warnings` is `None` when there was an error.
fn evidence(actions: &[Action], checks: Vec<EvidenceCheck>, warnings: Option<usize>) -> Evidence {
    let calls = || actions.iter().filter(|action| action.kind == ActionType::ToolCall);
    let declares =
        |action: &&Action| action.expected_effects.as_object().is_some_and(|effects| !effects.is_empty());
    let share = if actions.is_empty() { 0.0 } else { calls().count() as f64 / actions.len() as f64 };
    let confidence = warnings.map_or(0.0, |warnings| (1.0 - 0.5 * share - 0.1 * warnings as f64).max(0.0));
    let say = |is_so: bool, text: &str| is_so.then(|| text.to_owned());
    Evidence {
        checks,
        assumptions: actions
            .iter()
            .filter(declares)
            .map(|action| format!("'{}' has the effects that it declares", action.id))
            .collect(),
        untested_regions: calls()
            .map(|action| {
                format!("what {} gives to '{}'", action.tool.as_deref().unwrap_or("no tool"), action.id)
            })
            .collect(),
        residual_risks: [
            say(calls().next().is_some(), "a tool may fail, or do something else than it declares"),
            say(calls().next().is_some(), "what tools did outside the state is not undone by an abort"),
            say(
                !actions.is_empty(),
                "policies are asked when the proposal runs, and others may write the state before",
            ),
        ]
        .into_iter()
        .flatten()
        .collect(),
        confidence,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proposal::read::{Given, read_draft};
    use crate::proposal::tool::Tool;
    use adjutant_model::Timestamp;
    use serde_json::json;

    fn verified(actions: serde_json::Value, state: serde_json::Value) -> Verification {
        let mut ids = (0..).map(|n| format!("a{n}"));
        let given = Given { ids: &mut ids, now: Timestamp::from_unix_ms(0) };
        let proposal = read_draft(&Value::from(json!({"id": "p", "actions": actions})), given).unwrap();
        let tool = json!({"name": "t", "parameters": {"required": ["n"]}});
        let tools = ToolSet::from_iter([Tool::read(&Value::from(tool)).unwrap()]);
        let mut book = StateBook::default();
        for (key, value) in Value::from(state).as_object().unwrap().iter() {
            book.set(key.clone(), value.clone()).unwrap();
        }
        verify(&proposal, &tools, &book)
    }

    fn call(n: u64) -> serde_json::Value {
        json!({"type": "tool_call", "tool": "t", "parameters": {"n": n}})
    }

    fn write(key: &str, value: u64) -> serde_json::Value {
        json!({"type": "state_write", "parameters": {"key": key, "value": value}})
    }

    #[test]
    fn a_sound_proposal_is_played_through() {
        let found = verified(
            json!([write("x", 1), {"type": "tool_call", "tool": "t", "parameters": {"n": 1}, "preconditions": [{"key": "x", "value": 1}],
                "expected_effects": {"y": [2]}}, {"type": "assertion", "parameters": {"key": "y", "expected": [2]}}, call(2)]),
            json!({"old": null}),
        );
        assert!(found.valid && found.issues.is_empty(), "{found:?}");
        assert_eq!(found.simulated_state.to_string(), r#"{"old":null,"x":1,"y":[2]}"#);
        assert_eq!(serde_json::to_string(&found.execution_levels).unwrap(), r#"[["a0","a3"],["a1"],["a2"]]"#);
        assert_eq!(found.evidence.confidence, 0.75);
        assert_eq!(found.evidence.assumptions, ["'a1' has the effects that it declares"]);
    }

    #[test]
    fn what_would_go_wrong_is_found() {
        let reader = json!({"type": "state_read", "parameters": {"key": "x"}});
        let same_id = json!({"id": "same", "type": "state_read", "parameters": {"key": "x"}});
        use Severity::{Error, Warning};
        for (actions, severity, message) in [
            (json!(vec![reader.clone(); 31]), Warning, "31 actions are more than 30"),
            (json!([same_id, same_id]), Error, "another action has this id already"),
            (json!([call(1), call(1)]), Warning, "the same call stands here 2 times"),
            (json!([call(1), call(1), call(1)]), Error, "the same call stands here 3 times"),
            (json!([{"type": "tool_call", "tool": "u"}]), Error, "tool 'u' is not registered"),
            (json!([{"type": "tool_call", "tool": "t"}]), Error, "parameters: \"n\" is a required property"),
            (json!([{"type": "state_read"}]), Error, "a state_read has a text in parameters.key"),
            (
                json!([{"type": "tool_call", "tool": "t", "parameters": {"n": 1}, "state_dependencies": ["gone"]}]),
                Error,
                "dependency 'gone' not found in the state",
            ),
            (
                json!([write("x", 1), {"type": "assertion", "parameters": {"key": "x", "expected": 2}}]),
                Error,
                "the assertion on 'x' would fail",
            ),
            (
                json!([write("x", 1), write("x", 2)]),
                Warning,
                "writes 'x' over what 'a0' wrote without reading it",
            ),
        ] {
            let found = verified(actions.clone(), json!({}));
            assert_eq!(found.valid, severity == Warning, "{message}");
            let told: Vec<_> = found.issues.iter().map(|issue| (issue.severity, &*issue.message)).collect();
            assert_eq!(told, [(severity, message)], "{actions}");
        }
    }

    #[test]
    fn a_write_that_was_read_in_between_is_no_conflict() {
        let found = verified(
            json!([write("x", 1), {"type": "state_read", "parameters": {"key": "x"}}, write("x", 2), write("x", 3)]),
            json!({}),
        );
        assert_eq!(serde_json::to_string(&found.conflicts).unwrap(), r#"[["a2","a3","x"]]"#);
        assert_eq!(found.simulated_state.to_string(), r#"{"x":3}"#);
    }
}
