//! Who acts: callers, their tokens and what their role lets them do.

use crate::id::{RunId, SessionId, TokenId};
use crate::run::StepPath;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What a token's bearer may do in general.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The owner of the data folder: everything.
    Host,
    /// Executes steps, answers questions, approves.
    Operator,
    /// One step of one run.
    Worker,
    /// Reads.
    Observer,
    /// Answers what operators cannot.
    Senior,
}

impl Role {
    /// All roles.
    pub const ALL: [Role; 5] = [Role::Host, Role::Operator, Role::Worker, Role::Observer, Role::Senior];

    /// Gives the role's name on the wire and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Host => "host",
            Role::Operator => "operator",
            Role::Worker => "worker",
            Role::Observer => "observer",
            Role::Senior => "senior",
        }
    }

    /// Reads a role's name, in any case.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str().eq_ignore_ascii_case(text))
    }
}

/// What is done at a door, as far as roles tell it apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Look at tasks, runs, traces, goals, workspaces, events and the daemon.
    Read,
    /// Start, change and end work.
    Operate,
    /// Answer what a run asks a person.
    Answer,
    /// Act as the step that the token is bound to.
    Work,
    /// Put outputs on the data path.
    Produce,
    /// Fetch outputs from the data path.
    Fetch,
    /// Drive a run of one's own at the runtime door.
    Drive,
    /// Let others in by sessions, look at the sessions, and end them.
    Admit,
    /// Make, look at and take back tokens of any kind; agree to what leaves the machine.
    Own,
}

impl Verb {
    /// All verbs.
    pub const ALL: [Verb; 9] = [
        Verb::Read,
        Verb::Operate,
        Verb::Answer,
        Verb::Work,
        Verb::Produce,
        Verb::Fetch,
        Verb::Drive,
        Verb::Admit,
        Verb::Own,
    ];
}

/// A token as it is stored: never the secret.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenRecord {
    /// Its public name.
    pub id: TokenId,
    /// SHA-256 of the secret, as 64 hex digits.
    pub hash: String,
    /// What its bearer may do.
    pub role: Role,
    /// The step it is bound to, for a worker.
    pub step: Option<StepBinding>,
    /// Of a worker's the agent it is bound to: its bearer acts as this agent and no other. Of a session with another
    /// role what its bearer is called, and no more than that.
    pub agent_id: Option<Arc<str>>,
    /// The attached session that it is.
    pub session_id: Option<SessionId>,
    /// The managed session whose agent, hooks and children bear it.
    pub of_session: Option<SessionId>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends; `None` for the owner's.
    pub expires_at: Option<Timestamp>,
    /// When it was taken back.
    pub revoked_at: Option<Timestamp>,
    /// How often it was shown.
    pub uses: u64,
    /// When it was shown last.
    pub last_seen_at: Option<Timestamp>,
}

impl TokenRecord {
    /// Tells whether the token lets its bearer in.
    pub fn is_good(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|at| at > now)
    }
}

/// The one step a worker's token is good for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StepBinding {
    /// The run.
    pub run_id: RunId,
    /// The step in it.
    pub path: StepPath,
    /// Which attempt of it.
    pub attempt: u32,
}

/// Who asks, once the token has been looked up.
#[derive(Debug, Clone, PartialEq)]
pub struct Caller {
    /// The token that was shown.
    pub token_id: TokenId,
    /// What it lets its bearer do.
    pub role: Role,
    /// The step it is bound to, for a worker.
    pub step: Option<StepBinding>,
    /// The agent it is bound to.
    pub agent_id: Option<Arc<str>>,
    /// What the bearer of a session is called, for the record.
    pub name: Option<Arc<str>>,
    /// The managed session whose agent, hooks and children ask.
    pub of_session: Option<SessionId>,
}

impl Caller {
    /// Gives the name that the journal carries.
    pub fn actor(&self) -> String {
        if let Some(session_id) = self.of_session {
            return format!("session:{session_id}");
        }
        match &self.step {
            Some(step) => format!("step:{}/{}", step.run_id, step.path),
            None => match &self.agent_id {
                Some(agent_id) => format!("agent:{agent_id}"),
                None => match &self.name {
                    Some(name) => format!("{}:{name}", self.role.as_str()),
                    None => self.role.as_str().to_owned(),
                },
            },
        }
    }
}
