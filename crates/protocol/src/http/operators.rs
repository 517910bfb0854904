//! Operators, the seats of runs, and what workers get and give, on the wire.

use crate::object;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A client that joins as an operator.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OperatorJoinParams {
    /// What it can do, of any shape; kept and shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capability_manifest: Option<Value>,
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desc: Option<String>,
    /// Other names that `operator_sid` may call it by; each is one live operator's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
}

/// An operator that has joined.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OperatorJoinedView {
    /// Its name in requests.
    pub sid: String,
    /// Opens its socket; it is in this answer and nowhere else.
    pub token: String,
}

/// An operator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OperatorView {
    /// Its name in requests.
    pub sid: String,
    /// What it is.
    pub desc: String,
    /// Other names that it may be called by.
    pub roles: Vec<String>,
    /// Whether its socket is open.
    pub connected: bool,
    /// When it joined, in seconds since 1970.
    pub joined_at_secs: i64,
    /// When it was last heard of, in seconds since 1970.
    pub last_activity_secs: i64,
    /// What it says it can do; only where one operator is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capability_manifest: Option<Value>,
}

/// Operators, the newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OperatorsView {
    /// At most so many as were asked for.
    pub operators: Vec<OperatorView>,
    /// How many there are.
    pub total: usize,
    /// How many were asked for.
    pub limit: usize,
}

/// Takes a seat of a run over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AcquireParams {
    /// The operator, by its sid or a role.
    pub op: String,
    /// Why.
    pub desc: String,
    /// The seat; it need not be said when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<String>,
}

/// A seat that has changed hands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AcquiredView {
    /// The run.
    pub run_id: String,
    /// The seat.
    pub slot: String,
    /// Its generation; replies of older ones are refused.
    #[serde(rename = "gen")]
    pub generation: u64,
    /// Who held it before.
    pub previous: Option<String>,
    /// All seats that changed hands: that one, and those of the layers that its holder had.
    pub slots: Vec<String>,
}

/// Who holds the seats of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AssigneesView {
    /// The run.
    pub run_id: String,
    /// The highest generation of its seats.
    pub generation: u64,
    /// The seats.
    pub seats: Vec<SeatView>,
    /// `declared` when the blueprint has seats, else `run_current_only`.
    pub seats_source: String,
}

/// A seat.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SeatView {
    /// Its name.
    pub slot: String,
    /// Whether nobody holds it.
    pub vacant: bool,
    /// Who holds it.
    pub holder: Option<SeatHolderView>,
    /// Whether the blueprint declares it; the others are those of its layers.
    pub declared: bool,
}

/// Who holds a seat.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SeatHolderView {
    /// The operator.
    pub op: String,
    /// Why.
    pub desc: String,
    /// The seat's generation.
    #[serde(rename = "gen")]
    pub generation: u64,
    /// Whether the operator's socket is open.
    pub connected: bool,
}

/// What a new holder of a run's seats has to know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HandoverView {
    /// The run.
    pub run_id: String,
    /// The highest generation of its seats.
    pub generation: u64,
    /// The seats.
    pub seats: Vec<SeatView>,
    /// As in [`AssigneesView`].
    pub seats_source: String,
    /// Where to read on.
    pub trace: HandoverTraceView,
    /// What waits for a reply.
    pub unanswered: Vec<UnansweredView>,
}

/// Where a new holder reads on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HandoverTraceView {
    /// The run's turns.
    pub route: String,
    /// The place of the journal's last row.
    pub latest_seq: i64,
}

/// A request that waits for a reply.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UnansweredView {
    /// Whom it waits for.
    pub op: String,
    /// The generation of the seat.
    pub generation: u64,
    /// The request.
    pub req_id: String,
    /// `ask`, `hook_before` or `spawn`.
    pub kind: String,
    /// The step.
    pub step_id: String,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// Whether a worker has delivered the result.
    pub final_present: bool,
    /// Whether that went well.
    pub final_ok: Option<bool>,
    /// Where to read what the worker is told.
    pub material_route: String,
}

/// What the worker of an open step is told, for whoever takes it over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MaterialView {
    /// The run.
    pub run_id: String,
    /// What the worker is told.
    pub payload: WorkerPromptView,
    /// Whether a worker has delivered the result.
    pub final_present: bool,
    /// Whether that went well.
    pub final_ok: Option<bool>,
}

/// What a worker is to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WorkerPromptView {
    /// The step.
    pub task_id: String,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// The agent it stands for.
    pub agent: String,
    /// The agent's system prompt, up to 25 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// Where to fetch a longer one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_ref: Option<SystemRefView>,
    /// The step's input as text.
    pub prompt: String,
    /// Where it works, and for what.
    pub context: WorkerContextView,
}

/// Where to fetch a system prompt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SystemRefView {
    /// The route.
    pub uri: String,
    /// SHA-256 of the text, as 64 hex digits.
    pub sha256: String,
    /// How long it is.
    pub size_bytes: usize,
    /// `http`
    pub mode: String,
}

/// Where a worker works, and for what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WorkerContextView {
    /// The step.
    pub task_id: String,
    /// The agent it stands for.
    pub agent: String,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// The run.
    pub run_id: String,
    /// The directory that it works in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work_dir: Option<String>,
    /// The repository that it works for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_root: Option<String>,
    /// What the request says of the task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_metadata: Option<Value>,
}

/// A worker's result as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkerResultParams {
    /// The step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<String>,
    /// The result.
    pub value: Value,
    /// Whether it went well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ok: Option<bool>,
    /// `pass`, `blocked` or `skip`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
    /// Which attempt; the one that the token is good for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
}

/// Something that a worker could not do as it should.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DegradationParams {
    /// What it wanted to use.
    pub tool: String,
    /// What went wrong.
    pub error: String,
    /// What it did instead.
    pub fallback: String,
    /// What else there is to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What a worker's model used.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkerStatsParams {
    /// What kind of worker it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker_kind: Option<String>,
    /// The model's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Tokens.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "object::optional")]
    pub usage: Option<WorkerUsageParams>,
    /// Turns that the model took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub num_turns: Option<u64>,
    /// What the worker's own program says besides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter_data: Option<BTreeMap<String, Value>>,
}

/// Tokens that a worker's model used.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkerUsageParams {
    /// Those that it read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_tokens: Option<u64>,
    /// Those that it wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<u64>,
    /// Both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_tokens: Option<u64>,
}
