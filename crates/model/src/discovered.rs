//! Discovered sessions: agents that somebody else has started, known by the hooks that they call.

use crate::id::SessionId;
use crate::session::{ActivityReport, AgentQuestion, SessionUsage};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// An agent that nobody hosts here, as it is stored too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Discovered {
    /// Its id here: the agent's own where that is a UUID that no other session has.
    pub id: SessionId,
    /// The agent's own id of its session.
    pub agent_session: String,
    /// Which agent it is, by how it calls its hooks: `claude` or `codex`.
    pub agent: String,
    /// Where it works.
    pub cwd: Option<String>,
    /// What it does.
    pub activity: ActivityReport,
    /// What it asks and nobody has answered, the oldest first.
    pub questions: Vec<AgentQuestion>,
    /// What it used.
    pub usage: SessionUsage,
    /// The model that it says it uses.
    pub model_used: Option<String>,
    /// Where it keeps its transcript.
    pub transcript: Option<String>,
    /// How many turns it has ended since it was heard of first.
    pub turns: u64,
    /// Until when its quota is spent, when that was said.
    pub parked_until: Option<Timestamp>,
    /// Whether it said that it is over.
    pub is_over: bool,
    /// When it was heard of first.
    pub created_at: Timestamp,
    /// When it was heard of last.
    pub heard_at: Timestamp,
}
