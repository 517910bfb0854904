//! Handoffs: a session's work goes to another agent, which is told by a brief where it stands.

use crate::id::{HandoffId, SessionId};
use crate::session::{DriverKind, ModelTier};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// A handoff, as it is stored too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Handoff {
    /// Its id.
    pub id: HandoffId,
    /// The session whose work it is.
    pub session: SessionId,
    /// The session that goes on with it. Its id stands before the session is made, so that none is ever made twice.
    pub successor: SessionId,
    /// The profile of its agent.
    pub agent: String,
    /// How it is hosted; the profile's first driver that can be used when nothing is said.
    pub driver: Option<DriverKind>,
    /// How capable its model is wanted.
    pub tier: Option<ModelTier>,
    /// Its model, over the tier.
    pub model: Option<String>,
    /// By what a repeated request is known.
    pub key: Option<String>,
    /// What its branch starts from: the branch of the session, or a snapshot of what was not committed.
    pub git_ref: Option<String>,
    /// What its agent is told first.
    pub brief: String,
    /// Who asked for it, as the journal names them.
    pub actor: String,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When the successor was there, or could not be.
    pub ended_at: Option<Timestamp>,
    /// Why the successor could not be made.
    pub error: Option<String>,
}
