//! Issues: requests to change a blueprint, the settings that they are handled by, and what was decided.

use crate::id::{IssueId, RunId};
use crate::registry::VersionSelector;
use crate::time::Timestamp;
use crate::value::Value;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Where an issue stands, without what goes with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IssueStatus {
    /// It waits for its epoch.
    Pending,
    /// A run handles it.
    InFlight,
    /// The blueprint has a new version.
    Applied,
    /// The blueprint stays as it is.
    Rejected,
    /// A person has taken it back.
    Cancelled,
}

impl IssueStatus {
    /// All states, in the order of an issue's life.
    pub const ALL: [IssueStatus; 5] = [
        IssueStatus::Pending,
        IssueStatus::InFlight,
        IssueStatus::Applied,
        IssueStatus::Rejected,
        IssueStatus::Cancelled,
    ];

    /// Gives the state's name on the wire and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            IssueStatus::Pending => "pending",
            IssueStatus::InFlight => "in_flight",
            IssueStatus::Applied => "applied",
            IssueStatus::Rejected => "rejected",
            IssueStatus::Cancelled => "cancelled",
        }
    }

    /// Reads a state's name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// Tells whether nothing follows.
    pub fn is_terminal(self) -> bool {
        match self {
            IssueStatus::Applied | IssueStatus::Rejected | IssueStatus::Cancelled => true,
            IssueStatus::Pending | IssueStatus::InFlight => false,
        }
    }
}

impl fmt::Display for IssueStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where an issue stands, with what goes with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IssueState {
    /// It waits for its epoch.
    Pending {
        /// What it waits for besides its turn.
        waits_for: Option<String>,
    },
    /// The run of its last epoch handles it.
    InFlight,
    /// The blueprint has a new version.
    Applied {
        /// The version.
        new_version: String,
    },
    /// The blueprint stays as it is.
    Rejected {
        /// Why.
        reason: String,
    },
    /// A person has taken it back.
    Cancelled {
        /// Who, and why.
        reason: String,
    },
}

impl IssueState {
    /// Gives the state alone.
    pub fn status(&self) -> IssueStatus {
        match self {
            IssueState::Pending { .. } => IssueStatus::Pending,
            IssueState::InFlight => IssueStatus::InFlight,
            IssueState::Applied { .. } => IssueStatus::Applied,
            IssueState::Rejected { .. } => IssueStatus::Rejected,
            IssueState::Cancelled { .. } => IssueStatus::Cancelled,
        }
    }

    /// Gives why it stands there, or what it waits for.
    pub fn reason(&self) -> Option<&str> {
        match self {
            IssueState::Pending { waits_for } => waits_for.as_deref(),
            IssueState::Rejected { reason } | IssueState::Cancelled { reason } => Some(reason),
            IssueState::InFlight | IssueState::Applied { .. } => None,
        }
    }

    /// Gives the version that the blueprint has got.
    pub fn new_version(&self) -> Option<&str> {
        match self {
            IssueState::Applied { new_version } => Some(new_version),
            IssueState::Pending { .. }
            | IssueState::InFlight
            | IssueState::Rejected { .. }
            | IssueState::Cancelled { .. } => None,
        }
    }
}

/// A request to change a blueprint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// Its id.
    pub id: IssueId,
    /// The blueprint.
    pub blueprint_id: String,
    /// What is wanted, in its author's words.
    pub intent: String,
    /// Where it stands.
    pub state: IssueState,
    /// Its last epoch; none before the first.
    pub epoch: Option<Epoch>,
    /// How many epochs ended because somebody else had changed the blueprint meanwhile.
    pub conflicts: u32,
    /// Raised by every change; one that has seen an older revision is refused.
    pub revision: u64,
    /// Who opened it.
    pub author: String,
    /// When it was opened.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// One handling of an issue: a run, and the version of the blueprint that it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Epoch {
    /// The run.
    pub run_id: RunId,
    /// The version that the patch is based on.
    pub base_version: String,
    /// The setting that holds.
    pub setting_id: String,
    /// How long the run may take, in seconds.
    pub ttl_secs: u64,
    /// When it began.
    pub started_at: Timestamp,
}

/// How issues are handled.
#[derive(Debug, Clone, PartialEq)]
pub struct EnhanceSetting {
    /// Its id; issues are handled by the one that is called `default`.
    pub id: String,
    /// The blueprint whose run is an epoch: the orbit.
    pub blueprint_id: String,
    /// Which version of it.
    pub version: VersionSelector,
    /// How long an epoch may take, in seconds.
    pub ttl_secs: u64,
    /// What is verified, each once.
    pub verifier_axes: Vec<String>,
    /// The agent that takes the place of the orbit's `patch-spawner`, as blueprints define agents.
    pub spawner: Option<Value>,
    /// For people; nothing is read out of it.
    pub meta: Value,
}

/// What an axis said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The axis.
    pub axis: String,
    /// Whether it lets the change through.
    pub status: AxisStatus,
    /// The evidence of a pass, or the reason of a denial.
    pub detail: String,
}

/// Whether an axis lets a change through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AxisStatus {
    /// It does.
    Pass,
    /// It does not.
    Deny,
}

impl AxisStatus {
    /// Gives the name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            AxisStatus::Pass => "pass",
            AxisStatus::Deny => "deny",
        }
    }
}

/// How an issue was decided; there is one entry for each issue that was applied or rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnhanceEntry {
    /// The issue.
    pub issue_id: IssueId,
    /// The blueprint.
    pub blueprint_id: String,
    /// The run of the last epoch; none when none could be started.
    pub run_id: Option<RunId>,
    /// The version that the change was based on; empty when it came to none.
    pub prev_hash: String,
    /// The version that the blueprint has got; empty when it was rejected.
    pub new_hash: String,
    /// What was wanted.
    pub intent: String,
    /// Why the change was proposed.
    pub rationale: String,
    /// What each axis said.
    pub verdicts: Vec<Verdict>,
    /// How it ended.
    pub outcome: EnhanceOutcome,
    /// Why it was rejected.
    pub reasons: Vec<String>,
    /// When.
    pub at: Timestamp,
}

/// How an issue ended in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EnhanceOutcome {
    /// The blueprint has a new version.
    Applied,
    /// The verifiers, or a person, denied it.
    Rejected,
    /// It came to no decision: a worker failed, the time was over, the flow gave no proper commit.
    Faulted,
}

impl EnhanceOutcome {
    /// All outcomes.
    pub const ALL: [EnhanceOutcome; 3] =
        [EnhanceOutcome::Applied, EnhanceOutcome::Rejected, EnhanceOutcome::Faulted];

    /// Gives the name in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            EnhanceOutcome::Applied => "applied",
            EnhanceOutcome::Rejected => "rejected",
            EnhanceOutcome::Faulted => "faulted",
        }
    }

    /// Reads a name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == text)
    }
}
