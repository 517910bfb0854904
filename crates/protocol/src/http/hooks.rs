//! Hooks and breakers on the wire.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a hook that names its session is answered. One that an agent posts as it calls its hooks is answered in the
/// agent's own format instead, `{}` when there is nothing that it is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HookAnswerView {
    /// The event's name, as it came.
    pub accepted: String,
    /// The session that it is of.
    pub session_id: String,
    /// What was decided, when the event asks for it and there was something to say; otherwise the agent goes by its own
    /// rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<HookDecisionView>,
}

/// What was decided about a tool that an agent wants to use.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HookDecisionView {
    /// `allow` or `deny`.
    pub effect: String,
    /// `capability`, `validation`, `policy`, `breaker` or `approval`.
    pub decided_by: String,
    /// The rule that decided.
    pub rule: Option<String>,
    /// For people, and for the agent's model: why.
    pub reason: String,
}

/// The breakers of agents.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BreakersView {
    /// Those that are kept, by name; every other agent's is closed.
    pub breakers: Vec<BreakerView>,
}

/// An agent's breaker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BreakerView {
    /// The agent.
    pub agent: String,
    /// `closed`, `open` or `half_open`.
    pub state: String,
    /// How often it has failed since it last succeeded.
    pub consecutive_failures: u32,
    /// So many failures in a row open it.
    pub failure_threshold: u32,
    /// Since when it stands there, when it is not closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// When the next trial is let in, while it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial_at: Option<String>,
    /// When it was written last.
    pub updated_at: String,
}
