//! Reading a proposal as a client sends it.
//!
//! What is left out gets its default, and a field that is null counts as left out. Unknown fields say nothing, so
//! that a client may send more than we know; an unknown value of a field that we do know is refused with its place.

use super::tool::{empty_object, optional};
use crate::document::{Cursor, Lint, Lints};
use adjutant_model::proposal::{
    Action, ActionType, Assumption, FailureBehavior, Operator, Precondition, Proposal,
};
use adjutant_model::value::DEPTH_MAX;
use adjutant_model::{Timestamp, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A proposal has at most so many actions.
pub const ACTIONS_MAX: usize = 256;
/// An action has at most so many entries in each of its lists.
const LIST_MAX: usize = 256;
/// An id or a key of the state is at most so long, in bytes.
const NAME_MAX: usize = 256;
/// Values inside a proposal nest at most so deep; they are kept inside others.
const NESTING_MAX: u16 = DEPTH_MAX / 2;
/// An action is tried again at most so often.
const RETRIES_MAX: u64 = 100;
/// How often an action is tried again when nothing is said.
const RETRIES_DEFAULT: u32 = 3;
/// An attempt may take at most so long: a day.
const TIMEOUT_MS_MAX: u64 = 86_400_000;

/// What stands in for what a proposal leaves out.
pub struct Given<'a> {
    /// Ids for the proposal and its actions; as many as there are actions, and one more, are always enough.
    pub ids: &'a mut dyn Iterator<Item = String>,
    /// The instant of the proposal.
    pub now: Timestamp,
}

/// Reads a proposal.
///
/// # Errors
/// Everything that is wrong: unknown kinds, operators and behaviours, wrong types, two equal action ids, more than
/// [`ACTIONS_MAX`] actions, values that nest too deep.
pub fn read(value: &Value, given: Given<'_>) -> Result<Proposal, Vec<Lint>> {
    let mut reader = Reader { given, lints: Lints::default() };
    let proposal = reader.proposal(&Cursor::root(value));
    if let Some(proposal) = proposal.as_ref().filter(|_| !reader.lints.has_error()) {
        refuse_duplicates(&proposal.actions, &mut reader.lints);
    }
    finished(proposal, reader.lints)
}

/// Reads a proposal that is to be verified and not run: action ids need not be unique.
///
/// # Errors
/// Everything that [`read`] refuses, but for equal action ids.
pub fn read_draft(value: &Value, given: Given<'_>) -> Result<Proposal, Vec<Lint>> {
    let mut reader = Reader { given, lints: Lints::default() };
    let proposal = reader.proposal(&Cursor::root(value));
    finished(proposal, reader.lints)
}

fn finished(proposal: Option<Proposal>, lints: Lints) -> Result<Proposal, Vec<Lint>> {
    match proposal {
        Some(proposal) if !lints.has_error() => Ok(proposal),
        Some(_) | None => Err(lints.into_vec()),
    }
}

fn refuse_duplicates(actions: &[Action], lints: &mut Lints) {
    let mut first: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, action) in actions.iter().enumerate() {
        if let Some(earlier) = first.insert(&action.id, index) {
            lints.note(Lint {
                level: crate::document::LintLevel::Error,
                name: "duplicate-id",
                pointer: format!("/actions/{index}/id"),
                message: format!("action {earlier} has the id `{}` already", action.id),
                hint: None,
            });
        }
    }
}

struct Reader<'a> {
    given: Given<'a>,
    lints: Lints,
}

impl Reader<'_> {
    fn proposal(&mut self, at: &Cursor<'_>) -> Option<Proposal> {
        if at.value().as_object().is_none() {
            at.wrong_type("an object", &mut self.lints);
            return None;
        }
        let id = self.id(at)?;
        let actions = at.required("actions", &mut self.lints)?;
        let items = actions.elements(&mut self.lints);
        if items.len() > ACTIONS_MAX {
            let message = format!("{} actions; a proposal has at most {ACTIONS_MAX}", items.len());
            self.lints.error(&actions, "too-many", message);
            return None;
        }
        let actions: Vec<Action> = items.iter().filter_map(|item| self.action(item)).collect();
        Some(Proposal {
            id,
            source: match optional(at, "source") {
                Some(source) => source.string(&mut self.lints)?.to_owned(),
                None => "unknown".to_owned(),
            },
            actions,
            timestamp: self.timestamp(at)?,
            context: self.object(at, "context")?,
        })
    }

    fn action(&mut self, at: &Cursor<'_>) -> Option<Action> {
        if at.value().as_object().is_none() {
            at.wrong_type("an object", &mut self.lints);
            return None;
        }
        let id = self.id(at);
        let kind = self.kind(at);
        Some(Action {
            id: id?,
            kind: kind?,
            tool: match optional(at, "tool") {
                Some(tool) => Some(tool.string(&mut self.lints)?.into()),
                None => None,
            },
            parameters: self.object(at, "parameters")?,
            preconditions: self.list(at, "preconditions", Self::precondition),
            expected_effects: self.effects(at)?,
            state_dependencies: self.list(at, "state_dependencies", Self::key),
            read_set: self.list(at, "read_set", Self::key),
            write_set: self.list(at, "write_set", Self::key),
            assumptions: self.list(at, "assumptions", Self::assumption),
            idempotent: optional(at, "idempotent")
                .and_then(|flag| flag.boolean(&mut self.lints))
                .unwrap_or(false),
            max_retries: match optional(at, "max_retries") {
                Some(max) => max.whole(0, RETRIES_MAX, &mut self.lints)? as u32,
                None => RETRIES_DEFAULT,
            },
            failure_behavior: self
                .named(at, "failure_behavior", FailureBehavior::parse, "abort, retry, skip")?
                .unwrap_or_default(),
            timeout_ms: optional(at, "timeout_ms")
                .and_then(|ms| ms.whole(1, TIMEOUT_MS_MAX, &mut self.lints)),
            metadata: self.object(at, "metadata")?,
        })
    }

    fn kind(&mut self, at: &Cursor<'_>) -> Option<ActionType> {
        at.required("type", &mut self.lints)?;
        let kinds = "tool_call, state_write, state_read, assertion";
        let kind = self.named(at, "type", ActionType::parse, kinds)?;
        if kind.is_none() {
            self.lints.error(at, "missing-field", "the field `type` is null");
        }
        kind
    }

    /// Takes a text that is one of a few; the outer `None` when it is none of them.
    fn named<T>(
        &mut self,
        at: &Cursor<'_>,
        key: &str,
        parse: fn(&str) -> Option<T>,
        known: &str,
    ) -> Option<Option<T>> {
        let Some(place) = optional(at, key) else { return Some(None) };
        let text = place.string(&mut self.lints)?;
        let found = parse(text);
        if found.is_none() {
            let shown: String = text.chars().take(40).collect();
            let message = format!("unknown {key} `{shown}`");
            self.lints.error_with_hint(&place, "unknown-value", message, format!("known here: {known}"));
            return None;
        }
        Some(found)
    }

    fn precondition(&mut self, at: &Cursor<'_>) -> Option<Precondition> {
        let operators = "eq, neq, exists, not_exists, gt, lt, gte, lte, contains";
        let key = at.required("key", &mut self.lints);
        Some(Precondition {
            key: self.key(&key?)?,
            operator: self.named(at, "operator", Operator::parse, operators)?.unwrap_or_default(),
            value: self.bounded(&at.member("value").unwrap_or(Cursor::root(&Value::Null)))?,
            description: match optional(at, "description") {
                Some(text) => text.string(&mut self.lints)?.to_owned(),
                None => String::new(),
            },
        })
    }

    fn assumption(&mut self, at: &Cursor<'_>) -> Option<Assumption> {
        let key = at.required("key", &mut self.lints);
        Some(Assumption {
            key: self.key(&key?)?,
            expected_value: match optional(at, "expected_value") {
                Some(expected) => Some(self.bounded(&expected)?),
                None => None,
            },
            read_version: match optional(at, "read_version") {
                Some(version) => Some(version.whole(0, u64::MAX, &mut self.lints)?),
                None => None,
            },
        })
    }

    fn id(&mut self, at: &Cursor<'_>) -> Option<Arc<str>> {
        match optional(at, "id") {
            Some(id) => self.name(&id, "an id"),
            None => {
                let drawn = self.given.ids.next();
                if drawn.is_none() {
                    self.lints.error(at, "missing-field", "the field `id` is missing");
                }
                drawn.map(Arc::from)
            }
        }
    }

    fn key(&mut self, at: &Cursor<'_>) -> Option<Arc<str>> {
        self.name(at, "a key")
    }

    fn name(&mut self, at: &Cursor<'_>, what: &str) -> Option<Arc<str>> {
        let text = at.string(&mut self.lints)?;
        if text.is_empty() || text.len() > NAME_MAX {
            self.lints.error(at, "invalid-name", format!("{what} is 1 to {NAME_MAX} bytes long"));
            return None;
        }
        Some(text.into())
    }

    /// Takes a list of at most [`LIST_MAX`] entries; those that are wrong are noted and left out.
    fn list<T>(
        &mut self,
        at: &Cursor<'_>,
        key: &str,
        entry: fn(&mut Self, &Cursor<'_>) -> Option<T>,
    ) -> Vec<T> {
        let Some(list) = optional(at, key) else { return Vec::new() };
        let items = list.elements(&mut self.lints);
        if items.len() > LIST_MAX {
            self.lints.error(&list, "too-many", format!("more than {LIST_MAX} entries"));
            return Vec::new();
        }
        items.iter().filter_map(|item| entry(self, item)).collect()
    }

    fn effects(&mut self, at: &Cursor<'_>) -> Option<Value> {
        let effects = self.object(at, "expected_effects")?;
        let keys = effects.as_object().map_or(0, adjutant_model::value::Object::len);
        if keys > LIST_MAX {
            let message = format!("expected_effects has more than {LIST_MAX} keys");
            self.lints.error(at, "too-many", message);
            return None;
        }
        Some(effects)
    }

    fn object(&mut self, at: &Cursor<'_>, key: &str) -> Option<Value> {
        let Some(place) = optional(at, key) else { return Some(empty_object()) };
        if place.value().as_object().is_none() {
            place.wrong_type("an object", &mut self.lints);
            return None;
        }
        self.bounded(&place)
    }

    fn bounded(&mut self, at: &Cursor<'_>) -> Option<Value> {
        if at.value().depth() > NESTING_MAX {
            self.lints.error(at, "too-deep", format!("values nest at most {NESTING_MAX} deep"));
            return None;
        }
        Some(at.value().clone())
    }

    fn timestamp(&mut self, at: &Cursor<'_>) -> Option<Timestamp> {
        let Some(place) = optional(at, "timestamp") else { return Some(self.given.now) };
        match Timestamp::parse(place.string(&mut self.lints)?) {
            Ok(at) => Some(at),
            Err(why) => {
                self.lints.error(&place, "wrong-type", why.to_string());
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn reads(
        reader: fn(&Value, Given<'_>) -> Result<Proposal, Vec<Lint>>,
        document: serde_json::Value,
    ) -> Result<Proposal, Vec<String>> {
        let mut ids = (0..).map(|n| format!("id{n}"));
        let given = Given { ids: &mut ids, now: Timestamp::from_unix_ms(7) };
        reader(&Value::from(document), given).map_err(|lints| lints.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn what_is_left_out_gets_its_default() {
        let proposal = reads(read, json!({"actions": [{"type": "tool_call", "tool": null}]})).unwrap();
        let action = &proposal.actions[0];
        assert_eq!((&*proposal.id, &*proposal.source, proposal.timestamp.unix_ms()), ("id0", "unknown", 7));
        assert_eq!(
            (&*action.id, action.max_retries, action.failure_behavior),
            ("id1", 3, FailureBehavior::Abort)
        );
        assert_eq!((action.tool.as_deref(), action.timeout_ms, action.idempotent), (None, None, false));
        assert_eq!((&action.parameters, &proposal.context), (&empty_object(), &empty_object()));
    }

    #[test]
    fn a_proposal_survives_its_own_wire_form() {
        let document = json!({"id": "p", "source": "s", "timestamp": "2026-01-09T23:08:43.456Z", "context": {"k": 1}, "future": true,
            "actions": [{"id": "a", "type": "assertion", "parameters": {"key": "k", "expected": null},
                "preconditions": [{"key": "k", "operator": "gte", "value": 3, "description": "d"}, {"key": "l"}],
                "expected_effects": {"e": null}, "state_dependencies": ["d"], "read_set": ["r"], "write_set": ["w"],
                "assumptions": [{"key": "k", "expected_value": 3, "read_version": 2}], "idempotent": true, "max_retries": 0,
                "failure_behavior": "skip", "timeout_ms": 5, "metadata": {"m": [1]}}]});
        let proposal = reads(read, document).unwrap();
        let text = serde_json::to_string(&proposal).unwrap();
        assert_eq!(serde_json::from_str::<Proposal>(&text).unwrap(), proposal);
        assert_eq!(reads(read, serde_json::from_str(&text).unwrap()).unwrap(), proposal);
    }

    #[test]
    fn what_is_wrong_is_refused_with_its_place() {
        let with = |field: &str, value: serde_json::Value| {
            let mut action = json!({"type": "tool_call", "tool": "t"});
            action[field] = value;
            json!({"actions": [action]})
        };
        let deep = (0..NESTING_MAX).fold(json!({}), |inner, _| json!({"d": inner}));
        let keys: serde_json::Map<_, _> = (0..=LIST_MAX).map(|n| (n.to_string(), json!(1))).collect();
        for (document, expected) in [
            (json!([]), "/: expected an object"),
            (json!({}), "/: the field `actions` is missing"),
            (json!({"actions": {}}), "/actions: expected an array"),
            (json!({"actions": [3]}), "/actions/0: expected an object"),
            (json!({"actions": [{}]}), "/actions/0: the field `type` is missing"),
            (with("type", json!("shell")), "/actions/0/type: unknown type `shell`"),
            (
                with("failure_behavior", json!("panic")),
                "/actions/0/failure_behavior: unknown failure_behavior `panic`",
            ),
            (
                with("preconditions", json!([{"key": "k", "operator": "like"}])),
                "/actions/0/preconditions/0/operator: unknown operator `like`",
            ),
            (with("preconditions", json!([{}])), "/actions/0/preconditions/0: the field `key` is missing"),
            (with("parameters", json!([1])), "/actions/0/parameters: expected an object"),
            (with("idempotent", json!("yes")), "/actions/0/idempotent: expected true or false"),
            (with("max_retries", json!(-1)), "/actions/0/max_retries: expected a whole number from 0"),
            (with("max_retries", json!(101)), "/actions/0/max_retries: expected a whole number from 0"),
            (with("timeout_ms", json!(0)), "/actions/0/timeout_ms: expected a whole number from 1"),
            (with("read_set", json!([""])), "/actions/0/read_set/0: a key is 1 to 256 bytes long"),
            (with("write_set", json!(vec!["k"; 257])), "/actions/0/write_set: more than 256 entries"),
            (with("expected_effects", json!(keys)), "/actions/0: expected_effects has more than 256 keys"),
            (with("id", json!(7)), "/actions/0/id: expected a string"),
            (with("parameters", deep.clone()), "/actions/0/parameters: values nest at most 56 deep"),
            (json!({"actions": [], "timestamp": "now"}), "/timestamp: "),
            (json!({"actions": [], "context": 1}), "/context: expected an object"),
            (json!({"actions": vec![json!({"type": "state_read"}); 257]}), "/actions: 257 actions"),
        ] {
            let lints = reads(read, document.clone()).unwrap_err();
            assert!(lints[0].starts_with(expected), "{expected}: {lints:?}");
        }
    }

    #[test]
    fn two_equal_action_ids_are_refused_unless_it_is_only_a_draft() {
        let action = json!({"id": "a", "type": "state_read", "parameters": {"key": "k"}});
        let document = json!({"actions": [action, action]});
        let lints = reads(read, document.clone()).unwrap_err();
        assert_eq!(lints, ["/actions/1/id: action 0 has the id `a` already [duplicate-id]"]);
        assert_eq!(reads(read_draft, document).unwrap().actions.len(), 2);
    }
}
