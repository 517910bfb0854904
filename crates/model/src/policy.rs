//! Policies: rules that allow, deny or ask, and what the gate said.

use crate::value::Value;
use serde::{Deserialize, Serialize};

/// What a rule does with a call that it matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PolicyEffect {
    /// The call goes on unless another rule denies or asks.
    Allow,
    /// A person decides, unless another rule denies.
    Ask,
    /// The call is refused; no rule can overrule it.
    Deny,
}

/// A rule that has been read and checked.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyRule {
    /// What messages and traces call it.
    pub name: String,
    /// What it does.
    pub effect: PolicyEffect,
    /// Which calls it is about.
    pub matcher: PolicyMatcher,
    /// For people: why it is there.
    pub reason: Option<String>,
}

/// Which calls a rule is about.
#[derive(Debug, Clone, PartialEq)]
pub enum PolicyMatcher {
    /// Wire rule `deny_tool`: exactly this tool.
    Tool(String),
    /// Wire rule `deny_connector`: tools named `mcp_<connector>_…`.
    Connector(String),
    /// Wire rule `deny_tool_param`: this tool, when the parameter's text holds the pattern.
    ToolParam {
        /// The tool's exact name.
        tool: String,
        /// The parameter's key.
        key: String,
        /// A case-sensitive substring of its text.
        pattern: String,
    },
    /// Wire rule `require_state`: every call, unless the state has this value at this key.
    RequireState {
        /// The key.
        key: String,
        /// The value it must have.
        value: Value,
    },
    /// A tool pattern and patterns over parameters; all must match.
    Pattern {
        /// A glob over the tool's name, `*` for every tool.
        tool: String,
        /// Parameter key and glob over its text; a key of `*` is any parameter, nested ones included.
        params: Vec<(String, String)>,
    },
}

/// What is to be judged.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolCall {
    /// The tool's name; steps of a flow are judged as `step:<kind>`.
    pub tool: String,
    /// Its parameters.
    pub parameters: Value,
}

/// What the gate said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// Whether the call may go on.
    pub allowed: bool,
    /// Which of the gate's questions decided.
    pub decided_by: GateStage,
    /// The rule that decided, when one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// For people: why.
    pub reason: String,
}

/// The gate's questions, in the order they are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateStage {
    /// May this caller do such a thing at all?
    Capability,
    /// Is the call well formed?
    Validation,
    /// Do the rules let it?
    Policy,
    /// Has this agent failed too often, or is the delegation too deep?
    Breaker,
    /// Has a person said yes?
    Approval,
}
