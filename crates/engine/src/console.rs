//! What a console shows of the plane at one glance: the fleet, and whether agents are started again by themselves.

use crate::clock;
use crate::config::{self, AutoResume};
use crate::error::EngineError;
use crate::plane::{Core, Plane};
use adjutant_model::session::{Session, SessionState};
use adjutant_model::{SessionId, Timestamp};
use adjutant_store::{ReadError, SessionFilter};
use std::collections::BTreeMap;

/// So many questions are told, the oldest first.
const DECISIONS_MAX: usize = 256;

/// The managed sessions, counted.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fleet {
    /// How many stand where; a state that none is in may be missing.
    pub by_state: BTreeMap<SessionState, u64>,
    /// What agents ask and nobody has answered, the oldest first, at most 256.
    pub pending_decisions: Vec<PendingDecision>,
    /// When an agent of a session that is not over was heard of last.
    pub last_activity_at: Option<Timestamp>,
    /// How many agents that died by themselves were started again since the daemon's start.
    pub auto_resumed: u64,
    /// How many of them could not be started.
    pub resume_failures: u64,
}

impl Fleet {
    /// Gives how many sessions stand in a state.
    pub fn count(&self, state: SessionState) -> u64 {
        self.by_state.get(&state).copied().unwrap_or_default()
    }

    /// Gives how many sessions there are, those that are over included.
    pub fn total(&self) -> u64 {
        self.by_state.values().sum()
    }
}

/// A question that an agent waits with.
#[derive(Debug, Clone, PartialEq)]
pub struct PendingDecision {
    /// The session.
    pub session_id: SessionId,
    /// Its name.
    pub name: String,
    /// The name of its terminal.
    pub terminal: Option<String>,
    /// What is asked.
    pub question: String,
    /// The first of the answers that there are.
    pub proposed_default: Option<String>,
    /// Since when.
    pub asked_at: Timestamp,
}

/// The plane for a console.
#[derive(Debug, Clone, PartialEq)]
pub struct Console {
    /// Adjutant's version.
    pub version: String,
    /// When the daemon started.
    pub started_at: Timestamp,
    /// When this was looked at.
    pub at: Timestamp,
    /// What is wrong, in words; nothing when all is well.
    pub problems: Vec<String>,
    /// The fleet.
    pub fleet: Fleet,
    /// Whether agents that died by themselves are started again.
    pub auto_resume: AutoResume,
}

impl Plane {
    /// Gives the plane for a console. What cannot be read is empty and told among what is wrong, so that whoever asks
    /// always hears.
    pub async fn console(&self) -> Console {
        let core = &self.core;
        let status = self.status();
        let mut problems: Vec<String> = Vec::new();
        let fleet = fleet(core).await.unwrap_or_else(|error| {
            problems.push(format!("the sessions cannot be read: {error}"));
            Fleet::default()
        });
        match fleet.count(SessionState::Errored) {
            0 => {}
            1 => problems.push("a session is errored".to_owned()),
            errored => problems.push(format!("{errored} sessions are errored")),
        }
        problems.extend(status.store_failure.map(|failure| format!("the store takes no writes: {failure}")));
        let (auto_resume, unreadable) = config::auto_resume(core).await;
        problems.extend(unreadable.map(|error| format!("{} cannot be used: {error}", config::FILE)));
        let (version, started_at) = (status.version, status.started_at);
        Console { version, started_at, at: clock::now(), problems, fleet, auto_resume }
    }

    /// Counts the managed sessions.
    ///
    /// # Errors
    /// [`EngineError::Read`]
    pub async fn fleet(&self) -> Result<Fleet, EngineError> {
        Ok(fleet(&self.core).await?)
    }
}

async fn fleet(core: &Core) -> Result<Fleet, ReadError> {
    let by_state = core.store.sessions_by_state().await?.into_iter().collect();
    let live = SessionFilter { is_live: true, ..SessionFilter::default() };
    let live: Vec<Session> =
        core.store.sessions(live).await?.into_iter().map(|entry| entry.session).collect();
    let mut pending_decisions: Vec<PendingDecision> = live.iter().flat_map(decisions).collect();
    pending_decisions.sort_by_key(|decision| decision.asked_at);
    pending_decisions.truncate(DECISIONS_MAX);
    Ok(Fleet {
        by_state,
        pending_decisions,
        last_activity_at: live.iter().filter_map(|session| session.last_activity_at).max(),
        auto_resumed: core.meters.auto_resumed.get(),
        resume_failures: core.meters.resume_failures.get(),
    })
}

fn decisions(session: &Session) -> impl Iterator<Item = PendingDecision> {
    session.questions.iter().map(|question| PendingDecision {
        session_id: session.id,
        name: session.name.clone(),
        terminal: session.handle.as_ref().and_then(|handle| handle.terminal.clone()),
        question: question.text.clone(),
        proposed_default: question.options.first().map(|option| option.name.clone()),
        asked_at: question.asked_at,
    })
}
