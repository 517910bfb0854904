//! Calls that take long: what a client that does not wait for the answer asks for later, by the call's id.

use crate::id::{CallId, GoalId, RunId};
use crate::time::Timestamp;
use crate::value::Value;
use serde::{Deserialize, Serialize};

/// A call, as it is stored too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// Its id.
    pub id: CallId,
    /// Who may ask for it: the owner, the session whose agent made it, or the token that was shown.
    pub asker: String,
    /// What it does.
    pub work: CallWork,
    /// When it was made.
    pub created_at: Timestamp,
    /// How it ended, where that does not follow from what it does.
    pub end: Option<CallEnd>,
}

/// What a call does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum CallWork {
    /// It waits for a run, which says by itself where it stands.
    Run {
        /// The run.
        run_id: RunId,
    },
    /// It runs the checks of a goal.
    Checks {
        /// The goal.
        goal_id: GoalId,
    },
}

/// The end of a call that runs checks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallEnd {
    /// When it ended.
    pub at: Timestamp,
    /// How.
    pub outcome: CallOutcome,
}

/// How a call that runs checks ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum CallOutcome {
    /// With an answer.
    Answered {
        /// The answer, as the door gives it that took the call.
        answer: Value,
    },
    /// Whoever made it wanted it no more.
    Cancelled,
    /// The daemon ended before the call did.
    Lost,
}

impl CallOutcome {
    /// Gives its name.
    pub fn as_str(&self) -> &'static str {
        match self {
            CallOutcome::Answered { .. } => "answered",
            CallOutcome::Cancelled => "cancelled",
            CallOutcome::Lost => "lost",
        }
    }
}
