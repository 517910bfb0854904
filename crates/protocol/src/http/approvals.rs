//! Approvals, and tokens for agents.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A question that a person must answer before an action goes on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ApprovalView {
    /// Its id.
    pub id: String,
    /// The run the action is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// The agent that asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
    /// The tool.
    pub tool: String,
    /// The exact parameters; of a flow's question `question`, and `options` when there are any.
    pub parameters: Value,
    /// The same for the same tool with the same parameters.
    pub fingerprint: String,
    /// The rule that asks, and why.
    pub reason: String,
    /// `pending`, `approved`, `denied`, `expired` or `withdrawn`.
    pub status: String,
    /// When it is denied unless it is answered, RFC 3339.
    pub deadline: String,
    /// When it was raised, RFC 3339.
    pub created_at: String,
    /// When it was answered, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_at: Option<String>,
    /// Who answered, and what they said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_by: Option<String>,
    /// The option that was chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub option: Option<String>,
}

/// Approvals, the newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ApprovalList {
    /// The approvals.
    pub approvals: Vec<ApprovalView>,
}

/// What a person says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApprovalAnswer {
    /// `approve` or `deny`.
    pub decision: String,
    /// Why, for the record.
    #[serde(default)]
    pub reason: String,
    /// With `approve`, which of a question's options is meant; the first when nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub option: Option<String>,
}

/// A token for an agent is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// The agent that its bearer acts as.
    pub agent_id: String,
    /// How long it lives, in seconds; an hour when nothing is said.
    #[serde(default)]
    pub ttl_secs: Option<u64>,
}

/// A token, shown once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TokenView {
    /// The secret; it is kept nowhere.
    pub token: String,
    /// The agent that its bearer acts as.
    pub agent_id: String,
    /// How long it lives, in seconds.
    pub ttl_secs: u64,
}
