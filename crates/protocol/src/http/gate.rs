//! The gate on the wire; a worker's token names the run and the step.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// A tool call that an agent is about to make.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct JudgeParams {
    /// The tool's name.
    pub tool: String,
    /// Its parameters, an object.
    #[serde(default)]
    pub parameters: Value,
}

/// What the gate said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JudgementView {
    /// The turn that records the call.
    pub turn: u64,
    /// Whether it may be made.
    pub allowed: bool,
    /// `capability`, `validation`, `policy`, `breaker` or `approval`.
    pub decided_by: String,
    /// The rule that decided.
    pub rule: Option<String>,
    /// For people: why.
    pub reason: String,
}

/// How an allowed call ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SettleParams {
    /// Whether it went well.
    pub ok: bool,
    /// What came out.
    #[serde(default)]
    pub output: Value,
}

/// Something that an agent said or did besides tool calls.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProgressParams {
    /// `said`, `thought`, `tool` or `note`.
    pub what: String,
    /// The words.
    pub text: String,
}
