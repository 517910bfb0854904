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
    /// The epoch of the run whose rerun took it back; it does not count any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded: Option<u64>,
    /// When it was written, RFC 3339.
    pub started_at: String,
    /// When it settled, RFC 3339.
    pub ended_at: Option<String>,
}

/// A run that goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ResumedView {
    /// The run.
    pub run_id: String,
    /// Its task.
    pub task_id: String,
    /// How many steps have settled and are not performed again.
    pub replayed_steps: u64,
}

/// From where a run that is over goes on again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RerunParams {
    /// An agent's name: from its first step; or a path: from there, with all below it.
    pub from_step: String,
}

/// A run that goes on again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RerunView {
    /// The run.
    pub run_id: String,
    /// Its task.
    pub task_id: String,
    /// How many steps keep what they gave.
    pub replayed_steps: u64,
    /// How many steps were taken back.
    pub dropped_steps: u64,
}

/// The steps of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StepsView {
    /// The run.
    pub run_id: String,
    /// Its steps, in the order in which they began; each attempt is one.
    pub steps: Vec<StepEntryView>,
    /// The `after` of the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_after: Option<u64>,
}

/// A step of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StepEntryView {
    /// Its id: the run's, and the turn's index.
    pub step_id: String,
    /// Its agent's name.
    pub step_ref: String,
    /// Where it stands in the flow.
    pub path: String,
    /// Which attempt of the step, from 1.
    pub attempt: u32,
    /// `running`, `passed`, `blocked` when its worker said no or the gate refused it, `failed`, `timeout` or `cancelled`.
    pub status: String,
    /// Whether a rerun took it back, so that it does not count any more.
    #[serde(default)]
    pub superseded: bool,
    /// The kind of its agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker_kind: Option<String>,
    /// The model behind its agent, as far as the agent says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What that model used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<UsageView>,
    /// When it settled, or else began, RFC 3339.
    pub at: String,
    /// When it began, in milliseconds since 1970.
    pub started_at_ms: i64,
    /// When it settled, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at_ms: Option<i64>,
    /// How long it took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
}

/// What came out of the steps of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StepOutputsView {
    /// The task.
    pub task_id: String,
    /// The run.
    pub run_id: String,
    /// The steps that gave something and were not taken back, in the order in which they began.
    pub steps: Vec<StepOutputView>,
    /// The `after` of the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_after: Option<u64>,
}

/// What came out of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StepOutputView {
    /// What the content routes take: the agent's name when all its steps stand at one path, else the path.
    pub name: String,
    /// Where the step stands in the flow.
    pub path: String,
    /// How long the content is.
    pub size_bytes: u64,
    /// `application/json`, or `text/plain; charset=utf-8` when the step gave a text.
    pub content_type: String,
    /// SHA-256 of the content, as 64 hex digits.
    pub sha256: String,
    /// Where the content comes from: `turn` and its index.
    pub source: String,
    /// Where the content is.
    pub content_url: String,
    /// Its first characters.
    pub preview: String,
    /// Whether the preview leaves something out.
    pub truncated: bool,
}

/// What a run is bound to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BindingsView {
    /// The run.
    pub run_id: String,
    /// Its task.
    pub task_id: String,
    /// The blueprint's own id.
    pub blueprint_id: String,
    /// SHA-256 of the blueprint's canonical JSON, as 64 hex digits.
    pub bound_version: String,
    /// What the calls of blueprints mean in this run.
    pub calls: Vec<CallPinView>,
    /// The agents of all of them.
    pub bindings: Vec<BindingView>,
}

/// What a call means in a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CallPinView {
    /// The id that the call names.
    pub blueprint: String,
    /// Which version it asks for: `latest`, `fixed HASH` or `semver_req REQUIREMENT`.
    pub version: String,
    /// The version that this was when the run was accepted.
    pub bound_version: String,
}

/// An agent of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BindingView {
    /// The id of its blueprint.
    pub blueprint_id: String,
    /// The version of that.
    pub bound_version: String,
    /// Its name.
    pub agent: String,
    /// Its kind.
    pub kind: String,
    /// The program that plays it, when it is started by a template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
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
