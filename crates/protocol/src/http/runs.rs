//! Runs and turns on the wire.

use super::WorkspaceView;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// A run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RunView {
    /// Its id.
    pub id: String,
    /// The task it executes.
    pub task_id: String,
    /// `pending`, `running`, `waiting`, `done`, `failed`, `cancelled`, `interrupted` or `incomplete`.
    pub status: String,
    /// The blueprint's own id.
    pub blueprint_id: String,
    /// SHA-256 of the blueprint's canonical JSON, as 64 hex digits.
    pub bound_version: String,
    /// How often it was taken over by a new daemon, from 1.
    pub epoch: u64,
    /// How long it may take, in seconds.
    pub ttl_secs: u64,
    /// `request_body`, `bp_metadata` or `server_default`.
    pub ttl_source: String,
    /// What it works in.
    pub workspace: Option<WorkspaceView>,
    /// The goal it serves.
    pub goal_id: Option<String>,
    /// The program that stands in for its agents.
    pub agent: Option<String>,
    /// Why it failed.
    pub error: Option<FlowErrorView>,
    /// The context it ended with.
    pub final_ctx: Option<Value>,
    /// What its agents' models used together, as far as the agents say; only where one run is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<UsageView>,
    /// When it was accepted, RFC 3339.
    pub created_at: String,
    /// When it ended, RFC 3339.
    pub ended_at: Option<String>,
}

/// An error of a flow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FlowErrorView {
    /// Its kind, such as `step_failed`.
    pub code: String,
    /// For people.
    pub message: String,
    /// The step or node it arose at.
    pub step: Option<String>,
    /// The agent concerned.
    #[serde(rename = "ref")]
    pub agent: Option<String>,
    /// What a failed step gave besides the message.
    pub value: Option<Value>,
}

/// A page of runs, the newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RunsView {
    /// The runs.
    pub runs: Vec<RunView>,
    /// The `cursor` of the next page; absent on the last.
    pub next_cursor: Option<String>,
}

/// Why a run is to be cancelled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelParams {
    /// For the journal.
    #[serde(default)]
    pub reason: Option<String>,
}

/// A line of a run's trace: one turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TurnView {
    /// Its place in the run, from 0.
    pub index: u64,
    /// `step` or `tool`.
    pub kind: String,
    /// The step's path; for a tool call the step it belongs to.
    pub path: String,
    /// Which attempt of the step, from 1.
    pub attempt: u32,
    /// The agent's name, or the tool's.
    pub name: String,
    /// `started`, `succeeded`, `failed`, `rejected` or `cancelled`.
    pub status: String,
    /// The step's input or the tool's parameters.
    pub parameters: Value,
    /// What came out.
    pub output: Option<Value>,
    /// Why it failed or was refused.
    pub error: Option<TurnErrorView>,
    /// The rule that refused it.
    pub rule: Option<String>,
    /// What the step's model used, as far as the agent says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<UsageView>,
    /// When it was written, RFC 3339.
    pub started_at: String,
    /// When it settled, RFC 3339.
    pub ended_at: Option<String>,
}

/// What models used; what no agent said is absent.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct UsageView {
    /// The model's name, when it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Tokens that models read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_tokens: Option<u64>,
    /// Tokens that models wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<u64>,
    /// Turns that models took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub num_turns: Option<u64>,
    /// US dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
}

/// Why a turn failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TurnErrorView {
    /// For people.
    pub message: String,
    /// `retry`, `user`, `gone` or `bug`.
    pub class: String,
    /// What the agent gave besides.
    pub value: Option<Value>,
}
