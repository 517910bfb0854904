//! Runs that an outside client drives: it brackets them, submits proposals or tells of its turns, and completes them.
//!
//! A run's `policies` and `state` are those in force when it started; they belong to the run and outlive its
//! connection and the daemon.

use crate::proposal::{CliOutcome, VerifierVerdict};
use crate::run::{RunStatus, TurnStatus};
use crate::time::Timestamp;
use crate::value::Value;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A run that a client drives.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientRun {
    /// Its id on the wire: a UUID, or the key that the client gave.
    pub id: Arc<str>,
    /// The agent it is recorded under.
    pub agent_id: Arc<str>,
    /// What it is for, in the client's words.
    pub intent: String,
    /// What should come out, in the client's words.
    pub outcome_description: Option<String>,
    /// The token that started it: only its bearer, its agent's or a host's may go on with it.
    pub token_id: String,
    /// Where it stands: `running`, `interrupted`, or an end.
    pub status: RunStatus,
    /// What the client said of its end, or why it ended.
    pub outcome: Option<Value>,
    /// The rules in force, in their form on the wire.
    pub policies: Vec<Value>,
    /// The state of the run, an object.
    pub state: Value,
    /// The scopes of rules that its client may submit under, in their form on the wire, by their ids.
    pub sessions: BTreeMap<String, Vec<Value>>,
    /// How much it may take.
    pub limits: ClientRunLimits,
    /// How many calls of tools it has begun, as far as they are counted: only while there is a limit.
    pub tool_calls: u64,
    /// The daemon that owns it.
    pub owner: String,
    /// Raised by every new owner and every resumption; writes of an older one are refused.
    pub epoch: u64,
    /// How many turns were started.
    pub turns: u64,
    /// When it started.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// How much a client's run may take, over all its proposals and connections; `None` is without limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientRunLimits {
    /// Calls of tools, repeated ones included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tool_calls: Option<u64>,
    /// From its start, also while nobody drives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_duration_ms: Option<u64>,
}

/// One turn of a client's run. Serialised as it is on the wire.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClientTurn {
    /// Its place in the run, from 0 and without gaps.
    pub index: u64,
    /// What the agent was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<Value>,
    /// The tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// The tool's parameters.
    #[serde(default, skip_serializing_if = "is_null")]
    pub parameters: Value,
    /// What came out; null is a result like any other.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::proposal::present")]
    pub output: Option<Value>,
    /// How the program that was driven ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cli_outcome: Option<CliOutcome>,
    /// What a verifier said.
    #[serde(default)]
    pub verifier_verdict: VerifierVerdict,
    /// Which rule refused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_rejected: Option<PolicyRejected>,
    /// Where it stands.
    pub status: TurnStatus,
    /// Why it was refused, failed or was skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The action it records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action_id: Option<Arc<str>>,
    /// The proposal that the action is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposal_id: Option<Arc<str>>,
    /// The last attempt, from 1; 0 when it never began.
    #[serde(default)]
    pub attempt: u32,
    /// When it was written.
    pub started_at: Timestamp,
    /// When it settled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
}

fn is_null(value: &Value) -> bool {
    matches!(value, Value::Null)
}

/// A refusal as a turn tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyRejected {
    /// The whole reason, with the rule's name.
    pub rule: String,
    /// The parameter that the rule is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub param: Option<String>,
}

/// A question that a person must answer before an action goes on.
#[derive(Debug, Clone, PartialEq)]
pub struct Approval {
    /// Its id.
    pub id: String,
    /// The run the action is of.
    pub run_id: Option<Arc<str>>,
    /// The agent that asks.
    pub agent_id: Option<Arc<str>>,
    /// The token that asked, which can never answer.
    pub token_id: String,
    /// The connection that asked.
    pub connection: String,
    /// The tool.
    pub tool: String,
    /// The exact parameters.
    pub parameters: Value,
    /// The same for the same effect: a hash of tool and parameters.
    pub fingerprint: String,
    /// The rule that asks, and why.
    pub reason: String,
    /// Where it stands.
    pub status: ApprovalStatus,
    /// When it is denied unless it is answered.
    pub deadline: Timestamp,
    /// When it was raised.
    pub created_at: Timestamp,
    /// When it was answered.
    pub resolved_at: Option<Timestamp>,
    /// Who answered, and what they said.
    pub resolved_by: Option<String>,
    /// The option that was chosen, when a flow's question offered any.
    pub option: Option<String>,
}

/// Where an approval stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalStatus {
    /// Nobody has answered.
    Pending,
    /// The action may go on.
    Approved,
    /// It may not.
    Denied,
    /// Nobody answered in time, so it may not.
    Expired,
    /// The one who asked is gone.
    Withdrawn,
}

impl ApprovalStatus {
    /// All states.
    pub const ALL: [ApprovalStatus; 5] = [
        ApprovalStatus::Pending,
        ApprovalStatus::Approved,
        ApprovalStatus::Denied,
        ApprovalStatus::Expired,
        ApprovalStatus::Withdrawn,
    ];

    /// Gives the state's name on the wire and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            ApprovalStatus::Pending => "pending",
            ApprovalStatus::Approved => "approved",
            ApprovalStatus::Denied => "denied",
            ApprovalStatus::Expired => "expired",
            ApprovalStatus::Withdrawn => "withdrawn",
        }
    }

    /// Reads a state's name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}
