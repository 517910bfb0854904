//! Proposals: batches of actions that a client submits for gated execution, and what came of them.
//!
//! The types carry their wire form. Nothing is decided here; what a person or client wrote is read and checked by
//! the rules, which also fill in what was left out.

mod tool;

pub use tool::{CliOutcome, OutcomeSpec, RateLimit, ToolSpec, VerifierVerdict};

use crate::time::Timestamp;
use crate::value::Value;
use serde::{Deserialize, Deserializer, Serialize};
use std::sync::Arc;

/// A batch of actions. Ids are labels: the same one may come again and is executed again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Proposal {
    /// Its label.
    pub id: Arc<str>,
    /// Who made it, in the client's words.
    pub source: String,
    /// What is to be done, in the order of declaration; no two have the same id.
    pub actions: Vec<Action>,
    /// When it was made, in the client's words.
    pub timestamp: Timestamp,
    /// Whatever the client wants to keep with it; an object.
    pub context: Value,
}

/// One thing to be done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Action {
    /// Its label, unique in the proposal.
    pub id: Arc<str>,
    /// What it does.
    #[serde(rename = "type")]
    pub kind: ActionType,
    /// The tool's name, for [`ActionType::ToolCall`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<Arc<str>>,
    /// An object: the tool's parameters, or `key` with `value` (write) or `expected` (assertion).
    pub parameters: Value,
    /// What must hold of the state before it starts.
    pub preconditions: Vec<Precondition>,
    /// An object: what it writes to the state when it succeeds.
    pub expected_effects: Value,
    /// Keys that must exist in the state before it starts.
    pub state_dependencies: Vec<Arc<str>>,
    /// Keys that it reads.
    pub read_set: Vec<Arc<str>>,
    /// Keys that it writes.
    pub write_set: Vec<Arc<str>>,
    /// What its author took for granted about the state.
    pub assumptions: Vec<Assumption>,
    /// Whether doing it twice is the same as doing it once.
    pub idempotent: bool,
    /// How often it may be tried again, for [`FailureBehavior::Retry`].
    pub max_retries: u32,
    /// What follows when it fails.
    pub failure_behavior: FailureBehavior,
    /// How long each attempt may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// Whatever the client wants to keep with it; an object.
    pub metadata: Value,
}

/// What an action does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionType {
    /// Calls a tool.
    ToolCall,
    /// Sets a key of the state.
    StateWrite,
    /// Gives a key of the state, null when it is not there.
    StateRead,
    /// Fails unless a key of the state has the expected value.
    Assertion,
}

impl ActionType {
    /// All kinds.
    pub const ALL: [ActionType; 4] =
        [ActionType::ToolCall, ActionType::StateWrite, ActionType::StateRead, ActionType::Assertion];

    /// Gives the kind's name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            ActionType::ToolCall => "tool_call",
            ActionType::StateWrite => "state_write",
            ActionType::StateRead => "state_read",
            ActionType::Assertion => "assertion",
        }
    }

    /// Reads a kind's name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// What follows when an action fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureBehavior {
    /// The proposal stops and its writes to the state are undone.
    #[default]
    Abort,
    /// It is tried again; when no attempt is left it is `failed` and the proposal goes on.
    Retry,
    /// It counts as skipped and the proposal goes on.
    Skip,
}

impl FailureBehavior {
    /// All behaviours.
    pub const ALL: [FailureBehavior; 3] =
        [FailureBehavior::Abort, FailureBehavior::Retry, FailureBehavior::Skip];

    /// Gives the behaviour's name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            FailureBehavior::Abort => "abort",
            FailureBehavior::Retry => "retry",
            FailureBehavior::Skip => "skip",
        }
    }

    /// Reads a behaviour's name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|behavior| behavior.as_str() == text)
    }
}

/// What must hold of one key of the state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Precondition {
    /// The key.
    pub key: Arc<str>,
    /// How it is compared.
    #[serde(default)]
    pub operator: Operator,
    /// What it is compared with.
    #[serde(default)]
    pub value: Value,
    /// For people: why.
    #[serde(default)]
    pub description: String,
}

/// How a value of the state is compared. A key that is not there fails all but [`Operator::NotExists`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operator {
    /// Equal.
    #[default]
    Eq,
    /// There, and not equal.
    Neq,
    /// There.
    Exists,
    /// Not there.
    NotExists,
    /// A number that is greater.
    Gt,
    /// A number that is less.
    Lt,
    /// A number that is not less.
    Gte,
    /// A number that is not greater.
    Lte,
    /// Its text holds the other's text.
    Contains,
}

impl Operator {
    /// All operators.
    pub const ALL: [Operator; 9] = [
        Operator::Eq,
        Operator::Neq,
        Operator::Exists,
        Operator::NotExists,
        Operator::Gt,
        Operator::Lt,
        Operator::Gte,
        Operator::Lte,
        Operator::Contains,
    ];

    /// Gives the operator's name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Operator::Eq => "eq",
            Operator::Neq => "neq",
            Operator::Exists => "exists",
            Operator::NotExists => "not_exists",
            Operator::Gt => "gt",
            Operator::Lt => "lt",
            Operator::Gte => "gte",
            Operator::Lte => "lte",
            Operator::Contains => "contains",
        }
    }

    /// Reads an operator's name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operator| operator.as_str() == text)
    }
}

/// What an author took for granted about one key of the state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Assumption {
    /// The key.
    pub key: Arc<str>,
    /// The value it should have; null says nothing about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_value: Option<Value>,
    /// The version at which it was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_version: Option<u64>,
}

/// Where an action stands; results carry only the last four.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionStatus {
    /// It waits for what it depends on.
    Proposed,
    /// It is valid, and the gate judges it.
    Validated,
    /// It was let through and is being done.
    Executing,
    /// It is not valid or the gate refused it; nothing was done.
    Rejected,
    /// It was done.
    Succeeded,
    /// It went wrong.
    Failed,
    /// It was not done, was stopped, or went wrong where that does not matter.
    Skipped,
}

impl ActionStatus {
    /// Gives the state's name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            ActionStatus::Proposed => "proposed",
            ActionStatus::Validated => "validated",
            ActionStatus::Executing => "executing",
            ActionStatus::Rejected => "rejected",
            ActionStatus::Succeeded => "succeeded",
            ActionStatus::Failed => "failed",
            ActionStatus::Skipped => "skipped",
        }
    }
}

/// What came of an action.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActionResult {
    /// The action's id.
    pub action_id: Arc<str>,
    /// How it ended.
    pub status: ActionStatus,
    /// What it gave; null is a result like any other.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub output: Option<Value>,
    /// Why it was not done or went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// An object: what it wrote to the state, kept here even when it was undone later.
    pub state_changes: Value,
    /// How long it took from its start, attempts and pauses included; `None` when it never started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// When it settled.
    pub timestamp: Timestamp,
}

/// What came of a proposal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProposalResult {
    /// The proposal's id.
    pub proposal_id: Arc<str>,
    /// One result per action, in the order of declaration.
    pub results: Vec<ActionResult>,
    /// What it took.
    pub cost: ProposalCost,
}

/// What a proposal took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ProposalCost {
    /// Calls of tools, repeated ones included, answers from a cache not.
    pub tool_calls: u64,
    /// Actions that were let through and begun.
    pub actions_executed: u64,
    /// Results whose status is `skipped`.
    pub actions_skipped: u64,
    /// From its beginning to its end.
    pub total_duration_ms: u64,
    /// Attempts after the first.
    pub retries: u64,
}

/// Takes a field that is there as it is, null included.
pub(crate) fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_on_the_wire_are_read_back_and_are_those_that_serde_writes() {
        for kind in ActionType::ALL {
            assert_eq!(ActionType::parse(kind.as_str()), Some(kind));
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("{:?}", kind.as_str()));
        }
        for behavior in FailureBehavior::ALL {
            assert_eq!(FailureBehavior::parse(behavior.as_str()), Some(behavior));
            assert_eq!(serde_json::to_string(&behavior).unwrap(), format!("{:?}", behavior.as_str()));
        }
        for operator in Operator::ALL {
            assert_eq!(Operator::parse(operator.as_str()), Some(operator));
            assert_eq!(serde_json::to_string(&operator).unwrap(), format!("{:?}", operator.as_str()));
        }
    }

    #[test]
    fn a_null_output_survives_the_wire_and_an_absent_one_stays_absent() {
        let result = ActionResult {
            action_id: "a1".into(),
            status: ActionStatus::Succeeded,
            output: Some(Value::Null),
            error: None,
            state_changes: Value::Object(crate::value::Object::default()),
            duration_ms: Some(3),
            timestamp: Timestamp::from_unix_ms(0),
        };
        let text = serde_json::to_string(&result).unwrap();
        assert_eq!(
            text,
            r#"{"action_id":"a1","status":"succeeded","output":null,"state_changes":{},"duration_ms":3,"timestamp":"1970-01-01T00:00:00.000Z"}"#
        );
        assert_eq!(serde_json::from_str::<ActionResult>(&text).unwrap(), result);
        let absent = ActionResult { output: None, ..result };
        let text = serde_json::to_string(&absent).unwrap();
        assert!(!text.contains("output"), "{text}");
        assert_eq!(serde_json::from_str::<ActionResult>(&text).unwrap(), absent);
    }
}
