//! What waits for what: the order that the keys of the state demand.
//!
//! Edges point backwards in the order of declaration. Per key a reader waits for the last writer before it, and a
//! writer waits for the last writer and for everybody who has read since; so write, read, write of one key stay in
//! that order. Actions that share no key are independent and may run at once. Equal calls that are idempotent wait
//! for each other, so that the second finds the answer of the first.

use super::cache::CallKey;
use adjutant_model::proposal::{Action, ActionType};
use std::collections::BTreeMap;

/// What waits for what in a proposal. Actions go by their place in it, from 0.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Graph {
    before: Vec<Vec<usize>>,
    after: Vec<Vec<usize>>,
}

impl Graph {
    /// Finds the order of some actions, in about as many steps as they name keys.
    pub fn new(actions: &[Action]) -> Graph {
        let mut graph =
            Graph { before: vec![Vec::new(); actions.len()], after: vec![Vec::new(); actions.len()] };
        if actions.len() < 2 {
            return graph;
        }
        let mut keys: BTreeMap<&str, KeyUse> = BTreeMap::new();
        let mut calls: BTreeMap<CallKey, usize> = BTreeMap::new();
        for (index, action) in actions.iter().enumerate() {
            let mut before: Vec<usize> = Vec::new();
            for key in reads(action) {
                before.extend(keys.entry(key).or_default().read_by(index));
            }
            for key in writes(action) {
                before.extend(keys.entry(key).or_default().written_by(index));
            }
            if action.idempotent && action.kind == ActionType::ToolCall {
                before.extend(calls.insert(CallKey::new(action), index));
            }
            before.sort_unstable();
            before.dedup();
            before.retain(|earlier| *earlier != index);
            for earlier in &before {
                graph.after[*earlier].push(index);
            }
            graph.before[index] = before;
        }
        graph
    }

    /// Gives the actions that must settle before this one starts, in order.
    pub fn before(&self, action: usize) -> &[usize] {
        &self.before[action]
    }

    /// Gives the actions that wait for this one, in order.
    pub fn after(&self, action: usize) -> &[usize] {
        &self.after[action]
    }

    /// Gives the actions by level: those of one level wait for nobody in it, and for somebody in the level before.
    pub fn levels(&self) -> Vec<Vec<usize>> {
        let mut level_of = vec![0; self.before.len()];
        let mut levels: Vec<Vec<usize>> = Vec::new();
        for (index, before) in self.before.iter().enumerate() {
            let level = before.iter().map(|earlier| level_of[*earlier] + 1).max().unwrap_or(0);
            level_of[index] = level;
            if levels.len() <= level {
                levels.push(Vec::new());
            }
            levels[level].push(index);
        }
        levels
    }
}

/// Who has touched a key so far.
#[derive(Debug, Default)]
struct KeyUse {
    writer: Option<usize>,
    readers: Vec<usize>,
}

impl KeyUse {
    fn read_by(&mut self, index: usize) -> Option<usize> {
        if self.readers.last() != Some(&index) {
            self.readers.push(index);
        }
        self.writer
    }

    fn written_by(&mut self, index: usize) -> Vec<usize> {
        let mut before = std::mem::take(&mut self.readers);
        before.extend(self.writer.replace(index));
        before
    }
}

/// Gives the keys whose value an action looks at or relies on.
pub(super) fn reads(action: &Action) -> impl Iterator<Item = &str> {
    let own = match action.kind {
        ActionType::StateRead | ActionType::Assertion => own_key(action),
        ActionType::ToolCall | ActionType::StateWrite => None,
    };
    let listed = action.state_dependencies.iter().chain(&action.read_set);
    let conditions = action.preconditions.iter().map(|condition| &condition.key);
    let assumed = action.assumptions.iter().map(|assumption| &assumption.key);
    listed.chain(conditions).chain(assumed).map(|key| &**key).chain(own)
}

/// Gives the keys that an action changes or may change.
pub(super) fn writes(action: &Action) -> impl Iterator<Item = &str> {
    let own = match action.kind {
        ActionType::StateWrite => own_key(action),
        ActionType::ToolCall | ActionType::StateRead | ActionType::Assertion => None,
    };
    let effects = action.expected_effects.as_object().into_iter().flat_map(|effects| effects.iter());
    action.write_set.iter().map(|key| &**key).chain(effects.map(|(key, _)| &**key)).chain(own)
}

/// Gives the key that an action on the state is about.
pub(super) fn own_key(action: &Action) -> Option<&str> {
    action.parameters.get("key").and_then(adjutant_model::Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proposal::read::{Given, read};
    use adjutant_model::{Timestamp, Value};
    use serde_json::json;

    fn actions(actions: serde_json::Value) -> Vec<Action> {
        let mut ids = (0..).map(|n| format!("a{n}"));
        let given = Given { ids: &mut ids, now: Timestamp::from_unix_ms(0) };
        read(&Value::from(json!({"actions": actions})), given).unwrap().actions
    }

    fn write(key: &str) -> serde_json::Value {
        json!({"type": "state_write", "parameters": {"key": key, "value": 1}})
    }

    fn state_read(key: &str) -> serde_json::Value {
        json!({"type": "state_read", "parameters": {"key": key}})
    }

    fn tool(fields: serde_json::Value) -> serde_json::Value {
        let mut action = json!({"type": "tool_call", "tool": "t"});
        action.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        action
    }

    #[test]
    fn keys_order_actions_and_nothing_else_does() {
        let call = json!({"idempotent": true, "parameters": {"a": 1, "b": 2}});
        let same_call = json!({"idempotent": true, "parameters": {"b": 2, "a": 1}});
        for (name, list, expected) in [
            (
                "nothing in common",
                json!([write("x"), state_read("y"), tool(json!({}))]),
                vec![vec![], vec![], vec![]],
            ),
            (
                "write, read, write",
                json!([write("x"), state_read("x"), write("x")]),
                vec![vec![], vec![0], vec![0, 1]],
            ),
            (
                "readers are independent",
                json!([write("x"), state_read("x"), state_read("x"), write("x")]),
                vec![vec![], vec![0], vec![0], vec![0, 1, 2]],
            ),
            ("a read before a write", json!([state_read("x"), write("x")]), vec![vec![], vec![0]]),
            (
                "the last writer before, not after",
                json!([write("x"), tool(json!({"state_dependencies": ["x"]})), write("x")]),
                vec![vec![], vec![0], vec![0, 1]],
            ),
            (
                "expected effects write",
                json!([tool(json!({"expected_effects": {"x": 1}})), state_read("x")]),
                vec![vec![], vec![0]],
            ),
            (
                "a write set writes",
                json!([tool(json!({"write_set": ["x"]})), tool(json!({"read_set": ["x"]}))]),
                vec![vec![], vec![0]],
            ),
            (
                "a precondition reads",
                json!([write("x"), tool(json!({"preconditions": [{"key": "x"}]}))]),
                vec![vec![], vec![0]],
            ),
            (
                "an assumption reads",
                json!([write("x"), tool(json!({"assumptions": [{"key": "x"}]}))]),
                vec![vec![], vec![0]],
            ),
            (
                "an assertion reads",
                json!([write("x"), {"type": "assertion", "parameters": {"key": "x", "expected": 1}}]),
                vec![vec![], vec![0]],
            ),
            (
                "reading and writing one key",
                json!([
                    write("x"),
                    tool(json!({"read_set": ["x"], "write_set": ["x"]})),
                    tool(json!({"read_set": ["x"], "write_set": ["x"]}))
                ]),
                vec![vec![], vec![0], vec![1]],
            ),
            (
                "a key named twice",
                json!([write("x"), tool(json!({"read_set": ["x", "x"], "state_dependencies": ["x"]}))]),
                vec![vec![], vec![0]],
            ),
            (
                "equal idempotent calls",
                json!([tool(call.clone()), tool(same_call), tool(json!({"parameters": {"a": 1, "b": 2}}))]),
                vec![vec![], vec![0], vec![]],
            ),
        ] {
            let actions = actions(list);
            let graph = Graph::new(&actions);
            let found: Vec<_> = (0..actions.len()).map(|index| graph.before(index).to_vec()).collect();
            assert_eq!(found, expected, "{name}");
            for (index, before) in found.iter().enumerate() {
                assert!(before.iter().all(|earlier| graph.after(*earlier).contains(&index)), "{name}");
            }
        }
    }

    #[test]
    fn levels_follow_the_longest_way() {
        let actions = actions(json!([
            write("x"),
            write("y"),
            state_read("x"),
            tool(json!({"read_set": ["x", "y"], "write_set": ["z"]})),
            state_read("z"),
            state_read("q")
        ]));
        assert_eq!(Graph::new(&actions).levels(), [vec![0, 1, 5], vec![2, 3], vec![4]]);
        assert_eq!(Graph::new(&[]).levels(), Vec::<Vec<usize>>::new());
    }
}
