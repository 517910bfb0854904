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

/// A turn and what the gate said of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ExplanationView {
    /// The run.
    pub run_id: String,
    /// The turn's place in it, from 0.
    pub turn: u64,
    /// `step`, `tool`, `action`, or `narrated` for what a client tells of and nobody judges.
    pub kind: String,
    /// The agent of a step; otherwise the tool.
    pub name: String,
    /// `started`, `succeeded`, `failed`, `rejected` or `cancelled`.
    pub status: String,
    /// What the gate said, in the order in which it did; empty when no rule was about the turn.
    pub judgements: Vec<VerdictView>,
}

/// What the gate said of a turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct VerdictView {
    /// Whether the turn could go on.
    pub allowed: bool,
    /// `deny`, `ask` or `allow`.
    pub effect: String,
    /// `capability`, `validation`, `policy`, `breaker` or `approval`.
    pub decided_by: String,
    /// The rule that decided.
    pub rule: Option<String>,
    /// For people: why.
    pub reason: String,
    /// Every rule that matched, the widest scope first.
    pub matched: Vec<RuleMatchView>,
}

/// A rule that was about a turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RuleMatchView {
    /// Its name.
    pub rule: String,
    /// `plane`, `project`, `agent`, `run` or `connection`.
    pub scope: String,
    /// `deny`, `ask` or `allow`.
    pub effect: String,
    /// For people: why.
    pub why: String,
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
