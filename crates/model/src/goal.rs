//! Goals: an intent, the criteria that prove it, the work linked to it, and the evidence.

use crate::id::{GoalId, RunId, SessionId};
use crate::session::{DriverKind, SessionBudget};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Where a goal stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum GoalStatus {
    Pending,
    InProgress,
    Blocked,
    Done,
    Abandoned,
}

impl GoalStatus {
    /// All states.
    pub const ALL: [GoalStatus; 5] = [
        GoalStatus::Pending,
        GoalStatus::InProgress,
        GoalStatus::Blocked,
        GoalStatus::Done,
        GoalStatus::Abandoned,
    ];

    /// Gives the state's name on the wire and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            GoalStatus::Pending => "pending",
            GoalStatus::InProgress => "inProgress",
            GoalStatus::Blocked => "blocked",
            GoalStatus::Done => "done",
            GoalStatus::Abandoned => "abandoned",
        }
    }

    /// Reads a state's name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// Tells whether it is still worked on.
    pub fn is_open(self) -> bool {
        match self {
            GoalStatus::Pending | GoalStatus::InProgress | GoalStatus::Blocked => true,
            GoalStatus::Done | GoalStatus::Abandoned => false,
        }
    }
}

/// Where a link stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum LinkState {
    Launched,
    Running,
    Verified,
    Failed,
}

impl LinkState {
    /// All states.
    pub const ALL: [LinkState; 4] =
        [LinkState::Launched, LinkState::Running, LinkState::Verified, LinkState::Failed];

    /// Gives the state's name on the wire and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            LinkState::Launched => "launched",
            LinkState::Running => "running",
            LinkState::Verified => "verified",
            LinkState::Failed => "failed",
        }
    }

    /// Reads a state's name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// An intent that is done only when checks have proved it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Goal {
    /// Its id.
    pub id: GoalId,
    /// The intent, in its owner's words.
    pub description: String,
    /// Where it stands.
    pub status: GoalStatus,
    /// Why it went there, where that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What proves it.
    pub acceptance: Vec<Criterion>,
    /// The work linked to it; `sessions` on the wire, each a session or a run.
    pub sessions: Vec<GoalLink>,
    /// `floor(100·verified/total)` of the links, or of the criteria while nothing is linked.
    pub progress: u8,
    /// The project's repository; checks run there when no linked run has a workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// The goals that must be done before this one is pursued or done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<GoalId>,
    /// What its pursuit may spend, all sessions of it together.
    #[serde(default)]
    pub budget: SessionBudget,
    /// Until when it is to be done: then its pursuit stops, and a person is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// Whether a person was told that the deadline has passed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deadline_told: bool,
    /// When its checks are run again by themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recheck: Option<Recheck>,
    /// What a person should look at, until one has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert: Option<GoalAlert>,
    /// How it is pursued, or was last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pursuit: Option<Pursuit>,
    /// What people said, oldest first.
    pub notes: Vec<String>,
    /// When it was made.
    pub created: Timestamp,
    /// When it last changed.
    pub updated: Timestamp,
}

impl Goal {
    /// Gives its pursuit, while something has yet to be done for that.
    pub fn pursued(&self) -> Option<&Pursuit> {
        self.pursuit.as_ref().filter(|pursuit| pursuit.is_open())
    }
}

/// The pursuit of a goal: sessions that work for it until its checks pass, or until there is no more to spend.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pursuit {
    /// Who wants it, as the journal names them.
    pub by: String,
    /// The profile of its agents.
    pub agent: String,
    /// How they are hosted; the profile's first driver when nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<DriverKind>,
    /// Their model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// How often an agent is told at most.
    pub attempts_max: u32,
    /// How often one was told, or is about to be.
    pub attempt: u32,
    /// All sessions that were ever begun for the goal, the last one is at work; each stands here before it is made, so
    /// none is made twice. What they used together is what the goal's budget is about.
    pub sessions: Vec<SessionId>,
    /// Where it stands.
    pub state: PursuitState,
    /// When it was asked for.
    pub started_at: Timestamp,
}

/// Where a pursuit stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum PursuitState {
    /// Its session is being made, from the branch of the one before when there is one.
    Launching {
        /// What the one before did not reach.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        failures: Vec<String>,
        /// What the session's branch starts from; the project's `HEAD` when nothing is said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        git_ref: Option<String>,
    },
    /// The agent works, until it has ended more turns than these.
    Working {
        /// How many it had ended when it was told.
        turns: u64,
        /// How often it had been started by then; one that is started again may know nothing of what it was told.
        #[serde(default)]
        launches: u32,
    },
    /// The checks are run.
    Checking,
    /// The agent is told what failed.
    Telling {
        /// How many turns it had ended before.
        turns: u64,
        /// What failed, with what the checks said.
        failures: Vec<String>,
    },
    /// It is over, and its session is being stopped.
    Ending {
        /// How it has ended.
        end: PursuitEnd,
    },
    /// It is over.
    Ended {
        /// How it has ended.
        end: PursuitEnd,
    },
}

/// How a pursuit has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "snake_case")]
pub enum PursuitEnd {
    /// The goal is done.
    Reached,
    /// It was given up.
    Stopped {
        /// Why.
        reason: String,
    },
}

impl Pursuit {
    /// Tells whether something has yet to be done for it.
    pub fn is_open(&self) -> bool {
        !matches!(self.state, PursuitState::Ended { .. })
    }

    /// Gives how it has ended, once it has.
    pub fn end(&self) -> Option<&PursuitEnd> {
        match &self.state {
            PursuitState::Ending { end } | PursuitState::Ended { end } => Some(end),
            PursuitState::Launching { .. }
            | PursuitState::Working { .. }
            | PursuitState::Checking
            | PursuitState::Telling { .. } => None,
        }
    }

    /// Gives the session that is at work.
    pub fn session(&self) -> SessionId {
        *self.sessions.last().expect("a pursuit begins with a session")
    }
}

impl PursuitState {
    /// Gives the name on the wire.
    pub fn as_str(&self) -> &'static str {
        match self {
            PursuitState::Launching { .. } => "launching",
            PursuitState::Working { .. } => "working",
            PursuitState::Checking => "checking",
            PursuitState::Telling { .. } => "telling",
            PursuitState::Ending { .. } => "ending",
            PursuitState::Ended { .. } => "ended",
        }
    }
}

/// When the checks of a goal are run again by themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recheck {
    /// A cron expression, in UTC.
    pub cron: String,
    /// When that is next; whatever was missed by then is caught up at once.
    pub next_at: Timestamp,
}

/// Something about a goal that a person should look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoalAlert {
    /// What it is about.
    pub what: GoalAlertKind,
    /// The same in words.
    pub text: String,
    /// Since when.
    pub since: Timestamp,
}

/// What an alert is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GoalAlertKind {
    /// The goal was done, and is proved no more.
    Reopened,
    /// Its pursuit has stopped without having reached it.
    PursuitStopped,
    /// Its deadline has passed, and it is not done.
    Deadline,
    /// Its schedule cannot run its checks, so nobody knows whether it still holds.
    Unchecked,
}

impl GoalAlertKind {
    /// Gives the name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            GoalAlertKind::Reopened => "reopened",
            GoalAlertKind::PursuitStopped => "pursuit_stopped",
            GoalAlertKind::Deadline => "deadline",
            GoalAlertKind::Unchecked => "unchecked",
        }
    }
}

/// One thing that must hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Criterion {
    /// For people.
    pub text: String,
    /// A command line that proves it, run by `sh -c`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<String>,
    /// The last proof.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
}

/// A session or run that works on a goal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GoalLink {
    /// A session's or run's id.
    pub session_id: String,
    /// What it was to do.
    pub task: String,
    /// Where it stands.
    pub state: LinkState,
    /// What verified it, or speaks against it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
}

/// What a check or a person said, bound to the tree it is about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Who or what produced it.
    pub source: EvidenceSource,
    /// Whether it speaks for the criterion.
    pub passed: bool,
    /// The git tree it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tree: Option<String>,
    /// The workspace that has that tree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
    /// Exit code, output tail or words.
    pub detail: String,
    /// When it was produced.
    pub at: Timestamp,
}

/// Who or what produced evidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum EvidenceSource {
    /// A check that Adjutant ran.
    Check {
        /// The command line.
        command: String,
    },
    /// A step of a run that says whether something holds, and of which tree.
    Turn {
        /// The run.
        run_id: RunId,
        /// The turn's place in it.
        index: u64,
    },
    /// A named person's word.
    SignOff {
        /// The person.
        person: String,
    },
}
