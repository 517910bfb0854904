//! What must hold before an action starts: its own form, and what it says about the state.
//!
//! Reasons name keys and what was demanded of them, and never the value that was found.

use super::graph::own_key;
use super::state::StateBook;
use super::tool::ToolSet;
use adjutant_model::Value;
use adjutant_model::proposal::{Action, ActionType, Assumption, Operator, Precondition};
use std::cmp::Ordering;

/// A demanded value is shown up to so many characters.
const SHOWN_MAX: usize = 80;

/// Gives what is wrong with an action whatever the state: an unknown tool, parameters that are not as they must be.
pub(super) fn form_errors(action: &Action, tools: &ToolSet) -> Vec<String> {
    match (action.kind, action.tool.as_deref()) {
        (ActionType::ToolCall, None) => vec!["a tool_call names its tool".to_owned()],
        (ActionType::ToolCall, Some(name)) => match tools.get(name) {
            Some(tool) => tool.errors(&action.parameters),
            None => vec![format!("tool '{name}' is not registered")],
        },
        (ActionType::StateWrite | ActionType::StateRead | ActionType::Assertion, _) => {
            let missing = own_key(action).is_none_or(str::is_empty);
            let message = || format!("a {} has a text in parameters.key", action.kind.as_str());
            missing.then(message).into_iter().collect()
        }
    }
}

/// Gives what does not hold of the state.
pub(super) fn unmet(action: &Action, state: &StateBook) -> Vec<String> {
    let preconditions =
        action.preconditions.iter().filter(|condition| !holds(condition, state)).map(demanded);
    let dependencies = action
        .state_dependencies
        .iter()
        .filter(|key| !state.exists(key))
        .map(|key| format!("dependency '{key}' not found in the state"));
    let assumptions = action.assumptions.iter().filter_map(|assumption| contradicted(assumption, state));
    preconditions.chain(dependencies).chain(assumptions).collect()
}

/// Tells whether two values are equal; numbers are when they count the same.
pub(super) fn equal(left: &Value, right: &Value) -> bool {
    left == right || order(left, right) == Some(Ordering::Equal)
}

fn holds(condition: &Precondition, state: &StateBook) -> bool {
    let Some(found) = state.get(&condition.key) else { return condition.operator == Operator::NotExists };
    let ordering = order(found, &condition.value);
    match condition.operator {
        Operator::Eq => equal(found, &condition.value),
        Operator::Neq => !equal(found, &condition.value),
        Operator::Exists => true,
        Operator::NotExists => false,
        Operator::Gt => ordering == Some(Ordering::Greater),
        Operator::Lt => ordering == Some(Ordering::Less),
        Operator::Gte => matches!(ordering, Some(Ordering::Greater | Ordering::Equal)),
        Operator::Lte => matches!(ordering, Some(Ordering::Less | Ordering::Equal)),
        Operator::Contains => text(found).contains(&text(&condition.value)),
    }
}

/// Compares two numbers.
fn order(left: &Value, right: &Value) -> Option<Ordering> {
    let (Value::Number(left), Value::Number(right)) = (left, right) else { return None };
    match (left.as_i128(), right.as_i128()) {
        (Some(left), Some(right)) => Some(left.cmp(&right)),
        _ => left.as_f64()?.partial_cmp(&right.as_f64()?),
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn demanded(condition: &Precondition) -> String {
    let Precondition { key, operator, value, description } = condition;
    let demand = match operator {
        Operator::Exists | Operator::NotExists => format!("'{key}' {}", operator.as_str()),
        Operator::Eq
        | Operator::Neq
        | Operator::Gt
        | Operator::Lt
        | Operator::Gte
        | Operator::Lte
        | Operator::Contains => {
            let value: String = value.to_string().chars().take(SHOWN_MAX).collect();
            format!("'{key}' {} {value}", operator.as_str())
        }
    };
    let why = if description.is_empty() { String::new() } else { format!(" ({description})") };
    format!("precondition {demand} does not hold{why}")
}

fn contradicted(assumption: &Assumption, state: &StateBook) -> Option<String> {
    let Assumption { key, expected_value, read_version } = assumption;
    let other_value = expected_value
        .as_ref()
        .is_some_and(|expected| !state.get(key).is_some_and(|found| equal(found, expected)));
    if other_value {
        return Some(format!("assumption about '{key}' does not hold: it has another value"));
    }
    let other_version = read_version.is_some_and(|read| state.version(key) != Some(read));
    other_version.then(|| format!("assumption about '{key}' does not hold: it changed after it was read"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_operator_compares_as_its_name_says() {
        let mut state = StateBook::default();
        for (key, value) in
            [("n", json!(5)), ("s", json!("hello")), ("null", json!(null)), ("list", json!([1, "a"]))]
        {
            state.set(key.into(), Value::from(value)).unwrap();
        }
        for (key, operator, value, expected) in [
            ("n", "eq", json!(5), true),
            ("n", "eq", json!(5.0), true),
            ("n", "eq", json!("5"), false),
            ("n", "neq", json!(6), true),
            ("gone", "neq", json!(6), false),
            ("null", "exists", json!(null), true),
            ("null", "eq", json!(null), true),
            ("gone", "eq", json!(null), false),
            ("gone", "exists", json!(null), false),
            ("gone", "not_exists", json!(null), true),
            ("n", "not_exists", json!(null), false),
            ("n", "gt", json!(4), true),
            ("n", "gt", json!(5), false),
            ("n", "gte", json!(5), true),
            ("n", "lt", json!(5.5), true),
            ("n", "lte", json!(4), false),
            ("s", "gt", json!(1), false),
            ("s", "lt", json!(1), false),
            ("n", "lte", json!("9"), false),
            ("s", "contains", json!("ell"), true),
            ("s", "contains", json!("\"h"), false),
            ("list", "contains", json!("\"a\""), true),
            ("n", "contains", json!(5), true),
            ("gone", "contains", json!(""), false),
        ] {
            let condition = Precondition {
                key: key.into(),
                operator: Operator::parse(operator).unwrap(),
                value: Value::from(value.clone()),
                description: String::new(),
            };
            assert_eq!(holds(&condition, &state), expected, "{key} {operator} {value}");
        }
    }

    #[test]
    fn an_assumption_is_about_a_value_or_a_version() {
        let mut state = StateBook::default();
        state.set("k".into(), Value::from("v")).unwrap();
        for (expected_value, read_version, holds) in [
            (None, None, true),
            (Some(Value::from("v")), Some(1), true),
            (Some(Value::from("w")), None, false),
            (None, Some(2), false),
        ] {
            let assumption = Assumption { key: "k".into(), expected_value, read_version };
            assert_eq!(contradicted(&assumption, &state).is_none(), holds, "{assumption:?}");
        }
        let gone = Assumption { key: "gone".into(), expected_value: Some(Value::Null), read_version: None };
        assert!(contradicted(&gone, &state).is_some());
    }
}
