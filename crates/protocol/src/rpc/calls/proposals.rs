//! Proposals: submitted, cancelled, played through.

use crate::rpc::{RpcClient, RpcClientError};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// A batch of actions.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Proposal {
    /// A label; the daemon makes one when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Who proposes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// What is to be done; what does not depend on another is done at once.
    pub actions: Vec<Action>,
}

/// An action of a proposal.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Action {
    /// A label that no other action of the proposal has; the daemon makes one when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What it does.
    #[serde(rename = "type")]
    pub kind: ActionKind,
    /// The tool of a call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// What the tool gets; `{key, value}` of a write, `{key}` of a read, `{key, expected}` of an assertion.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub parameters: Value,
    /// What must hold before: `{key, operator, value}` each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub preconditions: Vec<Value>,
    /// What a success writes to the state.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub expected_effects: Map<String, Value>,
    /// Keys that must be there, and whose last writer goes before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub state_dependencies: Vec<String>,
    /// Keys that it reads.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub read_set: Vec<String>,
    /// Keys that it writes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub write_set: Vec<String>,
    /// What it takes for given: `{key, expected_value?, read_version?}` each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub assumptions: Vec<Value>,
    /// Whether doing it twice is the same as doing it once.
    #[serde(default)]
    pub idempotent: bool,
    /// How many more attempts it has with `retry`; 3 when it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_retries: Option<u32>,
    /// What its failure means for the rest.
    #[serde(default)]
    pub failure_behavior: FailureBehavior,
    /// How long one attempt may take, in milliseconds; 300 000 when it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
}

impl Action {
    /// Makes a call of a tool.
    pub fn tool_call(tool: impl Into<String>, parameters: Value) -> Self {
        Action { tool: Some(tool.into()), parameters, ..Action::default() }
    }
}

/// What an action does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionKind {
    /// Calls a tool.
    #[default]
    ToolCall,
    /// Writes a key of the state.
    StateWrite,
    /// Reads a key of the state.
    StateRead,
    /// Fails unless a key has a value.
    Assertion,
}

/// What an action's failure means for the rest of its proposal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureBehavior {
    /// What has not begun is skipped, and the proposal's writes are taken back.
    #[default]
    Abort,
    /// It is tried again, and when that is used up it has failed.
    Retry,
    /// The rest goes on.
    Skip,
}

/// How a proposal is submitted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubmitOptions {
    /// The policy session whose rules hold too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// How much it may take.
    #[serde(default)]
    pub limits: ProposalLimits,
}

/// How much a proposal may take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProposalLimits {
    /// How many calls of tools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tool_calls: Option<u64>,
    /// How many actions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_actions: Option<u64>,
    /// How long, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_duration_ms: Option<u64>,
}

/// What came of a proposal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProposalResult {
    /// The proposal's id.
    pub proposal_id: String,
    /// One result for each action, in their order.
    pub results: Vec<ActionResult>,
    /// What it took.
    #[serde(default)]
    pub cost: ProposalCost,
}

/// What came of an action.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActionResult {
    /// The action's id.
    pub action_id: String,
    /// `succeeded`, `failed`, `rejected` or `skipped`.
    pub status: String,
    /// What the tool gave.
    #[serde(default)]
    pub output: Option<Value>,
    /// Why it was not done or went wrong.
    #[serde(default)]
    pub error: Option<String>,
    /// What it changed in the state.
    #[serde(default)]
    pub state_changes: Value,
    /// How long it took, in milliseconds.
    #[serde(default)]
    pub duration_ms: Option<u64>,
}

/// What a proposal took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProposalCost {
    /// Calls of tools, repeated ones included.
    pub tool_calls: u64,
    /// Actions that were begun.
    pub actions_executed: u64,
    /// Actions that were not.
    pub actions_skipped: u64,
    /// From submission to the end, in milliseconds.
    pub total_duration_ms: u64,
    /// Attempts after the first.
    pub retries: u64,
}

/// What a proposal would come to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verification {
    /// Whether no issue is an error.
    pub valid: bool,
    /// Everything that was found.
    pub issues: Vec<Issue>,
    /// The state as the proposal would leave it.
    pub simulated_state: Value,
    /// Ids of actions that would run at once, level by level.
    pub execution_levels: Vec<Vec<String>>,
    /// Two actions and the key that both write.
    pub conflicts: Vec<(String, String, String)>,
    /// What all this is worth.
    #[serde(default)]
    pub evidence: Value,
}

/// Something that was found in an action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issue {
    /// The action; empty when it is about the proposal.
    pub action_id: String,
    /// `warning` or `error`.
    pub severity: String,
    /// What is wrong.
    pub message: String,
}

#[derive(Deserialize)]
struct Cancelled {
    cancelled: u64,
}

impl RpcClient {
    /// Has a proposal done; the answer comes when its last action has settled and is durable.
    ///
    /// # Errors
    /// [`RpcClientError`]; an action that is refused or fails is a result.
    pub async fn proposal_submit(
        &self,
        proposal: &Proposal,
        options: &SubmitOptions,
    ) -> Result<ProposalResult, RpcClientError> {
        let mut params = json!(options);
        params["proposal"] = json!(proposal);
        self.typed("proposal.submit", params).await
    }

    /// Stops what the proposals of this id have in flight and skips the rest; gives how many there were.
    ///
    /// # Errors
    /// [`RpcClientError`]
    pub async fn proposal_cancel(&self, proposal_id: &str) -> Result<u64, RpcClientError> {
        let answer: Cancelled = self.typed("proposal.cancel", json!({"proposal_id": proposal_id})).await?;
        Ok(answer.cancelled)
    }

    /// Plays a proposal through without doing it, on the connection's state or on another.
    ///
    /// # Errors
    /// [`RpcClientError`]
    pub async fn verify(
        &self,
        proposal: &Proposal,
        initial_state: Option<&Value>,
    ) -> Result<Verification, RpcClientError> {
        let mut params = json!({"proposal": proposal});
        if let Some(state) = initial_state {
            params["initial_state"] = state.clone();
        }
        self.typed("verify", params).await
    }
}
