//! The life of a managed session: what follows from what people want and from what becomes known of its agent.
//!
//! ```text
//!              WorkspaceReady              Launched
//! Provisioning ──────────────▶ Launching ───────────▶ Running ──┐ Exited by itself, in good order ─▶ Resting (stopped)
//!   │ ▲                        │   ▲  ▲                │  │      ├ died: again, after a pause ──────▶ Parked ─┐
//!   │ │ resume, no workspace   │   │  │                │  │      └ died too often ─▶ Parked (errored)         │
//!   │ │                        │   │  └── Woke ────────│──│───────────────────────────────────────────────────┘
//!   │ └──────── Resting ───────│───┘ resume            │  │ stop, decommission, budget
//!   │             ▲ ▲ ▲        │                       │  ▼
//!   └─ failed ────┘ │ └ failed ┘        Ended          │ Ending
//!     (errored)     └─────────────────────────────────────┤
//!                 Resting ── decommission ─▶ Removing ◀────┘ Ended, wanted decommissioned
//!                    ▲                        │  │
//!                    └────── RemoveRefused ───┘  └ Removed ─▶ Resting (decommissioned)
//! ```
//!
//! What is wanted ([`Desired`]) may change at any time; what is under way comes to its end first, and then what is
//! wanted decides. So no command is lost to a race, and a deliberate stop is never undone by anything but a person's
//! resume. Every phase but `Running`, `Parked` and `Resting` has one effect that brings it to its end, and `Running` may
//! have one that tells the agent what it begins with; after a crash [`pending`] gives it again.

mod activity;
mod budget;
pub mod discovered;
mod lifecycle;
pub mod name;
pub mod status;
mod task;
#[cfg(test)]
mod tests;

pub use budget::over as over_budget;

use crate::price::Price;
use adjutant_model::event::Event;
use adjutant_model::session::{
    Activity, AgentExit, Desired, FirstPrompt, HostHandle, Session, SessionPhase, SessionState, Signal,
};
use adjutant_model::{SessionId, Timestamp, TokenId};
use thiserror::Error;

/// An agent that died so often by itself within [`STORM_WINDOW_MS`] is not started again until a person says so.
pub const STORM_DEATHS: usize = 5;
/// The window of the storm breaker, in milliseconds.
pub const STORM_WINDOW_MS: u64 = 120_000;
/// The pause before an agent that died for the first time is started again, in milliseconds; each death in the window
/// doubles it.
pub const RESUME_PAUSE_MS: u64 = 500;
/// An agent that could not be told what it begins with is told again until so many tries have failed.
pub const TELLS_MAX: u32 = 6;
/// The pause before it is told again, in milliseconds; each failure doubles it.
pub const TELL_PAUSE_MS: u64 = 1_000;
/// A spent quota without a known end is tried again after so long, in milliseconds.
pub const QUOTA_PAUSE_MS: u64 = 15 * 60_000;
/// The most questions that are kept of one session.
const QUESTIONS_MAX: usize = 64;
/// The longest reason that is kept, in bytes.
const REASON_BYTES_MAX: usize = 4 << 10;

/// What holds for all sessions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SessionRules {
    /// Whether agents that died by themselves are started again.
    pub auto_resume: bool,
    /// What tokens of the session's model cost, when that is known; its budget counts by it what its agent tells no cost
    /// of.
    pub price: Option<Price>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum SessionEvent {
    /// The workspace is there.
    WorkspaceReady,
    /// The workspace cannot be made.
    WorkspaceFailed {
        /// Why, for people.
        message: String,
    },
    /// The agent was started; its signals follow.
    Launched {
        /// By what it is found again.
        handle: HostHandle,
        /// Whether it goes on with its own session.
        resumed: bool,
        /// The token that it and its hooks show.
        token_id: Option<TokenId>,
        /// What it is to be told yet; nothing when its start has told it already.
        to_tell: Option<FirstPrompt>,
        /// Whether it has a terminal and should call hooks: as long as it calls none it has not begun.
        expects_hooks: bool,
    },
    /// The agent was told what it begins with.
    Told,
    /// It could not be told.
    TellFailed {
        /// Why, for people.
        message: String,
        /// Whether that may pass by itself.
        may_pass: bool,
    },
    /// The agent cannot be started.
    LaunchFailed {
        /// Why, for people.
        message: String,
        /// Whether that may pass by itself.
        may_pass: bool,
    },
    /// The agent and all its descendants were ended.
    Ended {
        /// How the program ended.
        exit: AgentExit,
    },
    /// The workspace was removed.
    Removed {
        /// Where its tree is kept.
        snapshot_ref: Option<String>,
    },
    /// The workspace is not removed: work would be lost, or git failed.
    RemoveRefused {
        /// Why, for people.
        message: String,
    },
    /// The workspace's tree was kept.
    Snapshotted {
        /// Where.
        refname: String,
    },
    /// Something became known of the agent.
    Signal(Signal),
    /// A person or the gate has answered a question.
    Answered {
        /// Which.
        ask_id: String,
    },
    /// The agent was found again after a restart of the daemon, or after it was out of reach.
    Found,
    /// Whether the agent is there cannot be found out now; it is looked for again.
    OutOfReach {
        /// Why, for people.
        message: String,
    },
    /// The agent was interrupted: whatever was known of its activity may not hold any more.
    Interrupted,
    /// A person wants something.
    Command(SessionCommand),
    /// It is time to look again: a pause is over, or a budget of minutes.
    Woke,
}

/// What a person wants of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionCommand {
    /// The agent should not be there any more.
    Stop,
    /// The agent should be there again.
    Resume,
    /// The session should be over, and its workspace gone.
    Decommission {
        /// Although its work stands nowhere else but in snapshots.
        force: bool,
    },
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionEffect {
    /// Make the workspace; ends with `WorkspaceReady` or `WorkspaceFailed`.
    Provision,
    /// Start the agent; ends with `Launched` or `LaunchFailed`.
    Launch(Launch),
    /// Tell the agent what it begins with; ends with `Told` or `TellFailed`.
    Tell(FirstPrompt),
    /// End the agent and its descendants; ends with `Ended`.
    End,
    /// Remove the workspace behind a snapshot; ends with `Removed` or `RemoveRefused`.
    Remove {
        /// Although its work stands nowhere else.
        force: bool,
    },
    /// Keep the workspace's tree; ends with `Snapshotted`, or with nothing when nothing changed.
    Snapshot,
}

impl SessionEffect {
    /// Gives what it is in a word.
    pub fn name(&self) -> &'static str {
        match self {
            SessionEffect::Provision => "provision",
            SessionEffect::Launch(_) => "launch",
            SessionEffect::Tell(_) => "tell",
            SessionEffect::End => "end",
            SessionEffect::Remove { .. } => "remove",
            SessionEffect::Snapshot => "snapshot",
        }
    }
}

/// A start of the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// Which, from 1.
    pub number: u32,
    /// What it begins with.
    pub with: LaunchWith,
}

/// What an agent begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaunchWith {
    /// Its task, in a session of its own that is new.
    Task,
    /// Its own earlier session, and it waits for what it is told next.
    Context,
    /// Its own earlier session, in the middle of whose work it died: it is told to go on.
    ContextToGoOn,
}

/// What follows from an event.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Stepped {
    /// The session as it is then.
    pub session: Session,
    /// What is to be done, when the session is durable.
    pub effects: Vec<SessionEffect>,
    /// What the journal says of it.
    pub notes: Vec<Event>,
    /// Whether anything changed that is to be durable before anybody acts on it.
    pub is_durable: bool,
}

/// Why a command is refused; nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SessionRefusal {
    /// The session is over.
    #[error("the session {0} is decommissioned")]
    Decommissioned(SessionId),
    /// Its agent is there.
    #[error("the session {0} is {1} already")]
    Already(SessionId, &'static str),
    /// What it may spend is spent.
    #[error("the session {0} has spent its budget: {1}")]
    BudgetSpent(SessionId, String),
}

/// Gives what follows from an event.
///
/// # Errors
/// [`SessionRefusal`] for commands that cannot be followed; events that come late or twice change nothing.
pub fn step(
    session: &Session,
    event: SessionEvent,
    rules: SessionRules,
    now: Timestamp,
) -> Result<Stepped, SessionRefusal> {
    let mut machine = lifecycle::Machine::new(session, rules, now);
    machine.take(event)?;
    Ok(machine.finish())
}

/// Gives the effect that a session waits for, after a crash. One whose agent should be there is looked for first.
pub fn pending(session: &Session) -> Option<SessionEffect> {
    match session.phase {
        SessionPhase::Provisioning => Some(SessionEffect::Provision),
        SessionPhase::Launching => Some(SessionEffect::Launch(lifecycle::launch_of(session))),
        SessionPhase::Ending => Some(SessionEffect::End),
        SessionPhase::Removing => Some(SessionEffect::Remove { force: session.force }),
        // What waits for its time is told then.
        SessionPhase::Running if session.tell_at.is_some() => None,
        SessionPhase::Running => session.to_tell.map(SessionEffect::Tell),
        SessionPhase::Parked | SessionPhase::Resting => None,
    }
}

/// Gives when [`SessionEvent::Woke`] is due.
pub fn wakes_at(session: &Session) -> Option<Timestamp> {
    match session.phase {
        SessionPhase::Parked => session.parked_until,
        SessionPhase::Running => {
            let wakes = [session.tell_at, budget::minutes_over_at(session), activity::doubted_at(session)];
            wakes.into_iter().flatten().min()
        }
        SessionPhase::Provisioning
        | SessionPhase::Launching
        | SessionPhase::Ending
        | SessionPhase::Removing
        | SessionPhase::Resting => None,
    }
}

/// Tells whether nothing more happens to a session until a person says something.
pub fn is_at_rest(session: &Session) -> bool {
    match session.phase {
        SessionPhase::Resting => true,
        SessionPhase::Parked => session.parked_until.is_none(),
        SessionPhase::Provisioning
        | SessionPhase::Launching
        | SessionPhase::Running
        | SessionPhase::Ending
        | SessionPhase::Removing => false,
    }
}

/// Tells whether a session's agent is there and waits for what it is told next: nothing is open that it asks, and what
/// it begins with has arrived.
pub fn takes_prompts(session: &Session) -> bool {
    session.phase == SessionPhase::Running
        && session.activity.activity == Activity::Idle
        && session.questions.is_empty()
        && session.to_tell.is_none()
        && session.delivered_at.is_some()
}

/// Tells whether an agent is there that could not be told what it begins with, and is not tried any more.
pub fn is_untold(session: &Session) -> bool {
    session.phase == SessionPhase::Running && session.to_tell.is_none() && session.tell_failures > 0
}

/// Tells whether a session's agent counts against how many may be alive at once.
pub fn is_alive(session: &Session) -> bool {
    session.desired == Desired::Running
        && !is_at_rest(session)
        && session.state != SessionState::Decommissioned
}
