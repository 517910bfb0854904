//! Policies: rules that allow, deny or ask, and what the gate said.

use crate::value::Value;
use serde::{Deserialize, Serialize};

/// What a rule does with a call that it matches; the later in this list, the stricter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PolicyEffect {
    /// The call goes on unless another rule asks or denies.
    Allow,
    /// A person is asked first; only a rule that denies is stricter.
    Ask,
    /// The call is refused; no rule can overrule it.
    Deny,
}

impl PolicyEffect {
    /// Gives the name that files and the wire use.
    pub fn as_str(self) -> &'static str {
        match self {
            PolicyEffect::Allow => "allow",
            PolicyEffect::Ask => "ask",
            PolicyEffect::Deny => "deny",
        }
    }
}

/// How far a set of rules reaches, the widest first. A narrower one can only tighten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PolicyScope {
    /// Everything that the plane judges.
    Plane,
    /// What happens in one project.
    Project,
    /// What one agent does.
    Agent,
    /// What happens in one run.
    Run,
    /// What comes over one connection.
    Connection,
}

impl PolicyScope {
    /// Gives the name that files and the wire use.
    pub fn as_str(self) -> &'static str {
        match self {
            PolicyScope::Plane => "plane",
            PolicyScope::Project => "project",
            PolicyScope::Agent => "agent",
            PolicyScope::Run => "run",
            PolicyScope::Connection => "connection",
        }
    }
}

/// A rule that has been read and checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PolicyRule {
    /// What messages and traces call it.
    pub name: String,
    /// What it does.
    pub effect: PolicyEffect,
    /// Which calls it is about.
    pub matcher: PolicyMatcher,
    /// For people: why it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Which calls a rule is about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "of", rename_all = "snake_case")]
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
    /// A rule of a file.
    Pattern(PolicyPattern),
}

/// What a rule of a file is about: a call that fits all of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PolicyPattern {
    /// A glob over the tool's name, `*` for every tool.
    pub tool: String,
    /// Patterns over parameters, all of which must fit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub params: Vec<ParamPattern>,
    /// Patterns over the commands of a shell line, of which one must fit; none means that any call does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<String>,
    /// A condition in CEL that must be true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
}

/// Globs over one parameter, of which one must match.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ParamPattern {
    /// The parameter's key, several with `|` between them, or `*` for any parameter, nested ones included.
    pub key: String,
    /// Globs over its whole text.
    pub globs: Vec<String>,
}

/// What is to be judged.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolCall {
    /// The tool's name; steps of a flow are judged as `step:<kind>`.
    pub tool: String,
    /// Its parameters.
    pub parameters: Value,
}

/// A rule that had something to say about a call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PolicyMatch {
    /// The rule's name.
    pub rule: String,
    /// The scope of the set it stands in.
    pub scope: PolicyScope,
    /// What it does with the call; a rule that could not be evaluated denies, whatever it is otherwise.
    pub effect: PolicyEffect,
    /// For people: why.
    pub why: String,
}

/// What the gate said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "StoredJudgement")]
pub struct Judgement {
    /// Whether the call may go on now; false while a person has yet to answer.
    pub allowed: bool,
    /// What the call has come to: `ask` means that a person is to answer before it goes on.
    pub effect: PolicyEffect,
    /// Which of the gate's questions decided.
    pub decided_by: GateStage,
    /// The rule that decided, when one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// For people: why.
    pub reason: String,
    /// Every rule that matched, the widest scope first; empty when the rules were not asked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub matched: Vec<PolicyMatch>,
}

impl Judgement {
    /// Makes the judgement that one of the gate's questions has come to; nothing but `allow` lets the call go on.
    pub fn new(decided_by: GateStage, effect: PolicyEffect, reason: impl Into<String>) -> Self {
        let allowed = effect == PolicyEffect::Allow;
        Judgement { allowed, effect, decided_by, rule: None, reason: reason.into(), matched: Vec::new() }
    }

    /// Tells whether it is worth keeping: the call was not simply let go on because no rule was about it.
    pub fn is_telling(&self) -> bool {
        !self.allowed || !self.matched.is_empty()
    }
}

/// A judgement as it is read back; older rows tell neither effect nor matches.
#[derive(Deserialize)]
struct StoredJudgement {
    allowed: bool,
    effect: Option<PolicyEffect>,
    decided_by: GateStage,
    rule: Option<String>,
    reason: String,
    #[serde(default)]
    matched: Vec<PolicyMatch>,
}

impl From<StoredJudgement> for Judgement {
    fn from(stored: StoredJudgement) -> Self {
        let StoredJudgement { allowed, effect, decided_by, rule, reason, matched } = stored;
        let told = if allowed { PolicyEffect::Allow } else { PolicyEffect::Deny };
        Judgement { allowed, effect: effect.unwrap_or(told), decided_by, rule, reason, matched }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_judgement_of_an_older_row_is_read_with_the_effect_that_it_had() {
        for (row, effect) in [
            (r#"{"allowed":true,"decided_by":"policy","reason":"r"}"#, PolicyEffect::Allow),
            (r#"{"allowed":false,"decided_by":"policy","rule":"x","reason":"r"}"#, PolicyEffect::Deny),
            (
                r#"{"allowed":false,"effect":"ask","decided_by":"policy","rule":"x","reason":"r"}"#,
                PolicyEffect::Ask,
            ),
        ] {
            let judgement: Judgement = serde_json::from_str(row).expect("the row is a judgement");
            assert_eq!(judgement.effect, effect, "{row}");
            let again = serde_json::to_string(&judgement).expect("a judgement is JSON");
            assert_eq!(serde_json::from_str::<Judgement>(&again).expect("it is read back"), judgement);
        }
    }
}
