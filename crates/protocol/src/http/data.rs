//! The data path: outputs that go beside a flow, and references to them.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// A worker emits something.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EmitParams {
    /// The run's task, or the step (`ST-…`), that the token is bound to.
    pub task_id: String,
    /// The attempt that the token is bound to.
    pub attempt: u32,
    /// Who made it.
    pub producer_agent: String,
    /// What: at most 64 KiB of JSON; more goes under a name.
    pub event: Value,
    /// The outputs that it was made from.
    #[serde(default)]
    pub parent_refs: Vec<String>,
}

/// Something was emitted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EmittedView {
    /// The id that it is found by.
    pub out_id: String,
}

/// What was emitted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OutputRecordView {
    /// Its id.
    pub id: String,
    /// The task or step that its producer named.
    pub task_id: Option<String>,
    /// The attempt of the step.
    pub attempt: Option<u32>,
    /// Who made it.
    pub producer_agent: Option<String>,
    /// What.
    pub event: Value,
    /// The outputs that it was made from.
    pub parent_refs: Vec<String>,
}

/// An output, without its bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OutputView {
    /// Its id.
    pub out_id: String,
    /// Its name; what was emitted has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How many bytes it has.
    pub size_bytes: u64,
    /// SHA-256 of its bytes, as 64 hex digits.
    pub sha256: String,
    /// What the bytes are.
    pub content_type: String,
    /// The run that it was made in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// The step that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The attempt of the step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// Who made it, as its producer said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub producer_agent: Option<String>,
    /// The outputs that it was made from.
    #[serde(default)]
    pub parent_refs: Vec<String>,
    /// When it was put, RFC 3339.
    pub created_at: String,
    /// What stands for it in a step's value: `{"$output": {"id", "sha256", "size_bytes", "content_type"}}`.
    pub r#ref: Value,
}

/// Outputs, the newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OutputsView {
    /// The outputs.
    pub outputs: Vec<OutputView>,
}
