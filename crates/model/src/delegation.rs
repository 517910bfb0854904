//! Delegations: work that a session gives to another one, which is started for it.

use crate::id::{DelegationId, SessionId};
use crate::session::ModelTier;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Where a delegation stands, as it is on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DelegationStatus {
    /// A person has to approve it, or its session is being made.
    Queued,
    /// Its session works.
    Running,
    /// Its session has done what it was told.
    Completed,
    /// Its session could not be made, has failed, or has died for good.
    Failed,
    /// It was denied, or its session was stopped.
    Cancelled,
}

impl DelegationStatus {
    /// All statuses.
    pub const ALL: [DelegationStatus; 5] = [
        DelegationStatus::Queued,
        DelegationStatus::Running,
        DelegationStatus::Completed,
        DelegationStatus::Failed,
        DelegationStatus::Cancelled,
    ];

    /// Gives the name on the wire and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            DelegationStatus::Queued => "queued",
            DelegationStatus::Running => "running",
            DelegationStatus::Completed => "completed",
            DelegationStatus::Failed => "failed",
            DelegationStatus::Cancelled => "cancelled",
        }
    }

    /// Tells whether nothing follows.
    pub fn is_terminal(self) -> bool {
        match self {
            DelegationStatus::Completed | DelegationStatus::Failed | DelegationStatus::Cancelled => true,
            DelegationStatus::Queued | DelegationStatus::Running => false,
        }
    }
}

impl fmt::Display for DelegationStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A delegation, as it is stored too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Delegation {
    /// Its id.
    pub id: DelegationId,
    /// The session that delegates.
    pub session: SessionId,
    /// The session that does it. Its id stands before the session is made, so that none is ever made twice.
    pub child: SessionId,
    /// The agent, by the name that was asked for; its breaker has the same name.
    pub agent: String,
    /// The profile that plays it.
    pub profile: String,
    /// How capable its model is wanted.
    pub tier: ModelTier,
    /// Its model, over the tier.
    pub model: Option<String>,
    /// What the child's branch starts from, when it is not the parent's branch.
    pub git_ref: Option<String>,
    /// What it is told.
    pub task: String,
    /// Where it stands.
    pub status: DelegationStatus,
    /// Why, when that is not plain.
    pub reason: Option<String>,
    /// What the child said last.
    pub result: Option<String>,
    /// The approval that it waits for, or waited for.
    pub approval_id: Option<String>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// When its end was to be told to the parent's agent. It stands before that is told: a crash in between tells
    /// nothing, and nothing is told twice.
    pub told_at: Option<Timestamp>,
}

impl Delegation {
    /// Tells whether something has yet to be done for it.
    pub fn is_open(&self) -> bool {
        !self.status.is_terminal() || self.told_at.is_none()
    }
}
