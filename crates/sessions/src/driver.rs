//! Drivers: how an agent is hosted, behind one trait.
//!
//! There is one driver for each [`DriverKind`]: `tmux`, `pty`, `acp` and `headless`; the last two share an
//! implementation of [`AgentDriver`], [`OwnedAgent`], and differ in the task behind it. A driver hosts one start of one
//! agent. It tells what becomes known as [`Signal`]s on the channel that it was given, in order, and the last one is
//! [`AgentSignal::Exited`]; it decides nothing.

pub mod acp;
mod clock;
pub mod headless;
pub(crate) mod heard;
mod lines;
mod owned;
mod piped;
pub mod pty;
mod said;
mod terminal;
pub mod tmux;
mod usage_kept;

use terminal::LEFTOVER_GRACE;
pub use terminal::TYPED_BYTES_MAX;

use crate::process::{self, Cgroup, Cgroups, Hosted, ProcessId, Swept};
use adjutant_model::profile::{AgentProfile, DriverSpec, Fillings};
use adjutant_model::run::ErrorClass;
use adjutant_model::session::{AgentExit, AskAnswer, HostHandle, Signal};
use futures_util::future::BoxFuture;
pub use owned::OwnedAgent;
use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// An agent to start.
#[derive(Debug, Clone)]
pub struct LaunchSpec {
    /// The session's id, for paths and markers.
    pub session: String,
    /// Its name for people: `[a-z0-9-]`, at most 40.
    pub name: String,
    /// Which start this is, from 1. Starting the same one twice finds the first where that is possible.
    pub launch: u32,
    /// How the program is driven.
    pub profile: Arc<AgentProfile>,
    /// How it is hosted.
    pub driver: DriverSpec,
    /// Program and arguments, all placeholders filled.
    pub argv: Vec<String>,
    /// What filled them, for drivers that start the program for each prompt.
    pub fillings: Fillings,
    /// Its whole environment; nothing else is inherited.
    pub env: Vec<(String, String)>,
    /// The workspace.
    pub cwd: PathBuf,
    /// A folder of the session's own, mode 0700, that is there: for sockets, scrollback and how the program ended.
    pub folder: PathBuf,
    /// Columns and rows of its terminal.
    pub size: (u16, u16),
    /// The value of [`crate::EFFECT_VARIABLE`]: what this start and all its descendants carry.
    pub marker: String,
    /// What it is told first, when its arguments do not say it.
    pub prompt: Option<String>,
    /// Its own session that it should go on with, for drivers whose protocol says so.
    pub resume: Option<String>,
    /// How much of its scrollback is kept, in bytes.
    pub scrollback_bytes_max: u64,
    /// Where it gets a cgroup of its own; nowhere when none can be made.
    pub cgroups: Option<Cgroups>,
}

impl LaunchSpec {
    /// Makes the cgroup of this start, or finds it.
    fn cgroup(&self) -> Option<Cgroup> {
        self.cgroups.as_ref()?.group(&self.cgroup_name())
    }

    /// Finds the cgroup that this start was given.
    fn cgroup_found(&self) -> Option<Cgroup> {
        self.cgroups.as_ref()?.found(&self.cgroup_name())
    }

    fn cgroup_name(&self) -> String {
        format!("{}.{}", self.session, self.launch)
    }
}

/// What a terminal shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Screen {
    /// Its lines from the top, without escape sequences and spaces at their ends.
    pub lines: Vec<String>,
    /// Columns and rows; 0 where there is no terminal.
    pub size: (u16, u16),
    /// Where the cursor is, column and row from 0.
    pub cursor: Option<(u16, u16)>,
}

/// How an agent came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Ended {
    /// How its program ended.
    pub exit: AgentExit,
    /// What became of its descendants.
    pub swept: Swept,
}

/// What was found of an agent that an earlier daemon has started.
#[derive(Debug)]
pub enum Adopted<A> {
    /// It is there, and its signals follow.
    Living(A),
    /// It has ended.
    Ended(AgentExit),
}

/// Why a driver could not do what it was told.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// The program, or what hosts it, could not be started.
    #[error("the agent could not be started: {what}")]
    Start {
        /// What happened.
        what: String,
        /// What may be done about it.
        hint: Option<String>,
        /// Whether it may go well another time.
        class: ErrorClass,
    },
    /// The agent is not there any more.
    #[error("the agent is not there any more")]
    Gone,
    /// The driver cannot do this at all.
    #[error("{what}")]
    Unsupported {
        /// What cannot be done, and what can.
        what: String,
    },
    /// What hosts the agent answered otherwise than it should.
    #[error("{what}")]
    Failed {
        /// What happened.
        what: String,
    },
}

impl DriverError {
    /// Tells what may be done about it.
    pub fn class(&self) -> ErrorClass {
        match self {
            DriverError::Start { class, .. } => *class,
            DriverError::Gone => ErrorClass::Gone,
            DriverError::Unsupported { .. } => ErrorClass::User,
            DriverError::Failed { .. } => ErrorClass::Retry,
        }
    }

    /// Says what a person can do about it, where that is known.
    pub fn hint(&self) -> Option<&str> {
        match self {
            DriverError::Start { hint, .. } => hint.as_deref(),
            DriverError::Gone | DriverError::Unsupported { .. } | DriverError::Failed { .. } => None,
        }
    }
}

/// Where a driver tells what becomes known.
pub type Signals = mpsc::Sender<Signal>;

/// One hosted agent: a terminal of tmux, a terminal that the daemon holds, an ACP connection, or print mode.
///
/// Dropping it detaches: what outlives the daemon goes on, what cannot is ended with all its descendants.
pub trait AgentDriver: Debug + Send + Sync {
    /// Gives by what the agent is found again.
    fn handle(&self) -> HostHandle;

    /// Tells the agent something, as a person's next prompt; done when it was handed over, not when it is answered.
    /// That it arrived is told by [`adjutant_model::session::AgentSignal::PromptTaken`] where anything tells it.
    fn send<'a>(&'a self, text: &'a str) -> BoxFuture<'a, Result<(), DriverError>>;

    /// Answers what the agent has asked under an id.
    fn answer<'a>(&'a self, ask_id: &'a str, answer: AskAnswer) -> BoxFuture<'a, Result<(), DriverError>>;

    /// Makes the agent leave its present turn; it stays there.
    fn interrupt(&self) -> BoxFuture<'_, Result<(), DriverError>>;

    /// Gives what the agent's terminal shows, at most so many of its last lines, scrollback included; of an agent
    /// without one the last lines of what it said.
    fn screen(&self, lines_max: usize) -> BoxFuture<'_, Result<Screen, DriverError>>;

    /// Ends the agent and every descendant: asked first, TERM, after the grace KILL. Doing it again is fine.
    fn end(&self, grace: Duration) -> BoxFuture<'_, Result<Ended, DriverError>>;
}

/// Ends what is left of an agent whose daemon has ended without it.
async fn end_orphaned(handle: &HostHandle, spec: &LaunchSpec) -> Result<(), DriverError> {
    let (process, cgroup) = (ProcessId::new(handle.pid, handle.started_ticks), spec.cgroup_found());
    let swept = match (process, cgroup) {
        (Some(process), cgroup) => {
            let hosted = Hosted { process, marker: spec.marker.clone(), cgroup };
            process::end_hosted(&hosted, LEFTOVER_GRACE).await
        }
        // It had a process for each prompt.
        (None, Some(cgroup)) => process::end_cgroup(cgroup, LEFTOVER_GRACE).await,
        (None, None) => Swept::default(),
    };
    tracing::debug!(session = spec.session, ?swept, "an agent was found without its daemon");
    end_leftovers(spec).await
}

/// Ends what an earlier try of the same start left behind.
async fn end_leftovers(spec: &LaunchSpec) -> Result<(), DriverError> {
    let swept = process::sweep(&spec.marker).await;
    if swept.alive == 0 {
        return Ok(());
    }
    Err(DriverError::Start {
        what: format!("{} processes of an earlier try do not end", swept.alive),
        hint: Some("end them by hand; they carry the session's marker in their environment".to_owned()),
        class: ErrorClass::Retry,
    })
}
