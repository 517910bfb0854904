//! Managed sessions: agent programs that the plane hosts, each driven by one owner.
//!
//! The owner ([`owner`]) alone writes its session. It takes what people want, what drivers and hooks tell, and how its
//! effects ended; asks the machine (`rules/src/session.rs`); keeps what follows in one write; and performs the effects
//! only when that is durable. Agents in tmux outlive the daemon: stopping it leaves them alone, and the next one finds
//! them again ([`boot`]). What is wanted and what is there are compared and brought together without anybody's doing.

mod boot;
mod create;
mod door;
mod drivers;
mod owner;
mod perform;
mod questions;
mod step;
mod workspace;

pub(crate) use boot::resume_open;
pub(crate) use create::{AGENT_DEFAULT, budget_check, create, driver_check, model_check, task_check};
pub use create::{DEPTH_MAX, HostParams, StepOrigin};
pub use door::Managed;
pub(crate) use drivers::{Drivers, folder_name};
pub use drivers::{HOST_COMMAND, cgroups_clear};
pub(crate) use owner::without_secrets;
pub(crate) use perform::folder_of;
pub(crate) use questions::{caller_of, judgement};
pub(crate) use step::perform as perform_step;
pub(crate) use workspace::ref_check;

use crate::error::EngineError;
use crate::plane::Core;
use crate::roster::RosterKind;
use crate::runs::STORE_RETRY;
use crate::sessions;
use adjutant_model::SessionId;
use adjutant_model::session::{AskAnswer, Session, Signal};
pub use adjutant_rules::session::SessionCommand;
use adjutant_rules::session::SessionRefusal;
pub use adjutant_rules::session::status::of_managed as status_names;
use adjutant_sessions::driver::DriverError;
pub use adjutant_sessions::driver::Screen;
use adjutant_store::SessionEntry;
pub use adjutant_store::SessionFilter;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

/// How many messages may wait for an owner before those who send them wait.
const MAIL_MAX: usize = 256;
/// How long a store may refuse before whoever waits for it is told.
const HELD_PATIENCE: Duration = Duration::from_secs(3);
/// The longest text that an agent is told at once, in bytes.
const TEXT_BYTES_MAX: usize = 1 << 20;
/// The most lines of a screen that are given.
pub const SCREEN_LINES_MAX: usize = 500;

/// What an owner is told.
#[derive(Debug)]
pub(crate) enum SessionMail {
    /// A person wants something; answered when that is durable.
    Command(SessionCommand, Reply<Session>),
    /// Hooks have told something; who waits for it to be durable is answered then.
    Signals(Vec<Signal>, Option<Reply<()>>),
    /// The agent is told something.
    Send(String, Reply<()>),
    /// A question of the agent is answered; the oldest when it is not said which.
    Answer { ask_id: Option<String>, answer: AskAnswer, reply: Reply<()> },
    /// The agent should leave its present turn.
    Interrupt(Reply<()>),
    /// What its terminal shows.
    Screen(usize, Reply<Screen>),
}

type Reply<T> = oneshot::Sender<Result<T, EngineError>>;

/// The way to an owner; clone it to talk to the session.
#[derive(Debug, Clone)]
struct SessionHandle {
    mail: mpsc::Sender<SessionMail>,
    /// The session as it is in the store.
    seen: watch::Receiver<Arc<Session>>,
    /// Why the store does not take what the owner knows, while it does not.
    held: watch::Receiver<Option<String>>,
}

/// The managed sessions of this daemon.
#[derive(Debug)]
pub(crate) struct Hosting {
    owners: Mutex<HashMap<SessionId, SessionHandle>>,
    /// Those whose agents count against how many may be alive at once.
    alive: Mutex<HashSet<SessionId>>,
    pub(crate) drivers: Drivers,
}

impl Hosting {
    pub(crate) fn new(drivers: Drivers) -> Self {
        Hosting { drivers, owners: Mutex::default(), alive: Mutex::default() }
    }

    fn owners(&self) -> MutexGuard<'_, HashMap<SessionId, SessionHandle>> {
        // The map is whole after every single operation on it, so a panic elsewhere does not spoil it.
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn alive(&self) -> MutexGuard<'_, HashSet<SessionId>> {
        self.alive.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the sessions that have an owner.
    pub(crate) fn owned_ids(&self) -> Vec<SessionId> {
        self.owners().keys().copied().collect()
    }

    /// Takes a place for a session's agent; one that has a place keeps it.
    fn place_take(&self, id: SessionId, max: usize) -> Result<(), EngineError> {
        let mut alive = self.alive();
        if !alive.contains(&id) && alive.len() >= max {
            return Err(EngineError::Crowded(format!(
                "{max} sessions are alive, and no more are at once; `sessions.max_alive` in config.toml says how many"
            )));
        }
        alive.insert(id);
        Ok(())
    }

    fn place_leave(&self, id: SessionId) {
        self.alive().remove(&id);
    }
}

/// Finds the owner of a session, or gives it one; a session that is decommissioned has none.
async fn handle_of(core: &Arc<Core>, id: SessionId) -> Result<SessionHandle, EngineError> {
    let known = core.hosting.owners().get(&id).cloned();
    // One that is closed is on its way out.
    if let Some(handle) = known.filter(|handle| !handle.mail.is_closed()) {
        return Ok(handle);
    }
    match core.store.session_get(id).await? {
        Some(entry) => Ok(owned(core, entry)),
        None => Err(not_hosted(core, id).await),
    }
}

/// Lets the owner of a session go that the store has no more; whoever asks for the session then finds none.
pub(crate) fn release(core: &Core, id: SessionId) {
    let released = core.hosting.owners().remove(&id);
    drop(released);
}

/// Gives a session that was just read its owner, unless it has one; nobody writes a session without an owner, so what
/// was read is as it is.
fn owned(core: &Arc<Core>, entry: SessionEntry) -> SessionHandle {
    let mut owners = core.hosting.owners();
    let id = entry.session.id;
    owners.retain(|other, handle| *other != id || !handle.mail.is_closed());
    owners.entry(id).or_insert_with(|| owner::start(core, entry, None)).clone()
}

async fn ask<T>(
    core: &Arc<Core>,
    id: SessionId,
    mail: impl FnOnce(Reply<T>) -> SessionMail,
) -> Result<T, EngineError> {
    let handle = handle_of(core, id).await?;
    let (reply, answered) = oneshot::channel();
    handle.mail.send(mail(reply)).await.map_err(|_| EngineError::Stopping)?;
    tokio::select! {
        biased;
        answer = answered => answer.map_err(|_| EngineError::Stopping)?,
        why = held(handle.held) => Err(EngineError::Held(why)),
    }
}

/// Waits until the store has refused for some time what an owner wants kept, and gives why.
async fn held(mut held: watch::Receiver<Option<String>>) -> String {
    loop {
        if held.wait_for(Option::is_some).await.is_err() {
            // The owner is gone, which is told otherwise.
            return std::future::pending().await;
        }
        // Most of what a store refuses passes at once.
        if timeout(HELD_PATIENCE, held.wait_for(Option::is_none)).await.is_err() {
            return held.borrow().clone().unwrap_or_default();
        }
    }
}

/// Gives a session as it is in the store.
pub(crate) async fn get(core: &Core, id: SessionId) -> Result<Session, EngineError> {
    match core.store.session_get(id).await? {
        Some(entry) => Ok(entry.session),
        None => Err(not_hosted(core, id).await),
    }
}

/// Says why no session of this id is hosted here: it is somebody else's, or there is none.
async fn not_hosted(core: &Core, id: SessionId) -> EngineError {
    if core.roster.get(id).is_some() {
        return EngineError::NotHosted { id, kind: RosterKind::Discovered };
    }
    match sessions::get(core, id).await {
        Ok(Some(_)) => EngineError::NotHosted { id, kind: RosterKind::Attached },
        Ok(None) => EngineError::not_found("session", id),
        Err(error) => error,
    }
}

/// Gives sessions, the newest first.
pub(crate) async fn list(core: &Core, filter: SessionFilter) -> Result<Vec<Session>, EngineError> {
    Ok(core.store.sessions(filter).await?.into_iter().map(|entry| entry.session).collect())
}

/// Does what a person wants of a session, and waits so long for it to be so.
pub(crate) async fn command(
    core: &Arc<Core>,
    id: SessionId,
    command: SessionCommand,
    patience: Duration,
) -> Result<Session, EngineError> {
    if let SessionCommand::Decommission { force: false } = command {
        workspace::removable(core, &get(core, id).await?).await?;
    }
    ask(core, id, |reply| SessionMail::Command(command, reply)).await?;
    settled(core, id, patience).await
}

/// Waits until nothing is under way in a session, but not for longer than `patience`; gives it as it is then.
pub(crate) async fn settled(
    core: &Arc<Core>,
    id: SessionId,
    patience: Duration,
) -> Result<Session, EngineError> {
    let mut seen = handle_of(core, id).await?.seen;
    let is_settled = |session: &Arc<Session>| adjutant_rules::session::pending(session).is_none();
    let found = match timeout(patience, seen.wait_for(is_settled)).await {
        Ok(Ok(session)) => Some(session.clone()),
        Ok(Err(_)) | Err(_) => None,
    };
    let session = found.unwrap_or_else(|| seen.borrow().clone());
    Ok(Session::clone(&session))
}

/// Waits until a session is so in the store.
///
/// # Errors
/// [`EngineError::NotFound`], [`EngineError::Stopping`] when the daemon stops first.
pub(crate) async fn seen_until(
    core: &Arc<Core>,
    id: SessionId,
    is_so: impl Fn(&Session) -> bool,
) -> Result<Session, EngineError> {
    loop {
        let mut seen = handle_of(core, id).await?.seen;
        if let Ok(session) = seen.wait_for(|session| is_so(session)).await {
            return Ok(Session::clone(&session));
        }
        // Its owner met a defect, or the daemon stops; the next owner reads the session from the store.
        tokio::select! {
            () = core.stopping.cancelled() => return Err(EngineError::Stopping),
            () = tokio::time::sleep(STORE_RETRY) => {}
        }
    }
}

/// Tells a session's agent something.
pub(crate) async fn send(core: &Arc<Core>, id: SessionId, text: String) -> Result<(), EngineError> {
    if text.is_empty() || text.len() > TEXT_BYTES_MAX {
        return Err(EngineError::invalid(format!(
            "an agent is told 1 to {TEXT_BYTES_MAX} bytes at once, not {}",
            text.len()
        )));
    }
    ask(core, id, |reply| SessionMail::Send(text, reply)).await
}

/// Answers a question of a session's agent; the oldest when it is not said which.
pub(crate) async fn answer(
    core: &Arc<Core>,
    id: SessionId,
    ask_id: Option<String>,
    answer: AskAnswer,
) -> Result<(), EngineError> {
    ask(core, id, |reply| SessionMail::Answer { ask_id, answer, reply }).await
}

/// Makes a session's agent leave its present turn.
pub(crate) async fn interrupt(core: &Arc<Core>, id: SessionId) -> Result<(), EngineError> {
    ask(core, id, SessionMail::Interrupt).await
}

/// Gives what a session's terminal shows.
pub(crate) async fn screen(core: &Arc<Core>, id: SessionId, lines: usize) -> Result<Screen, EngineError> {
    ask(core, id, |reply| SessionMail::Screen(lines.clamp(1, SCREEN_LINES_MAX), reply)).await
}

/// Tells a session what hooks have told of its agent. That of a session that is over is nobody's concern.
pub(crate) async fn told(core: &Arc<Core>, id: SessionId, signals: Vec<Signal>) -> Result<(), EngineError> {
    let handle = handle_of(core, id).await?;
    handle.mail.send(SessionMail::Signals(signals, None)).await.map_err(|_| EngineError::Stopping)
}

/// As [`told`], and waits until it is durable.
pub(crate) async fn told_durably(
    core: &Arc<Core>,
    id: SessionId,
    signals: Vec<Signal>,
) -> Result<(), EngineError> {
    ask(core, id, |reply| SessionMail::Signals(signals, Some(reply))).await
}

impl From<SessionRefusal> for EngineError {
    fn from(refusal: SessionRefusal) -> Self {
        let hint = match &refusal {
            SessionRefusal::Decommissioned(_) => "`adjutant session new` begins another".to_owned(),
            SessionRefusal::Already(id, _) => format!("`adjutant session show {id}` tells what it does"),
            SessionRefusal::BudgetSpent(..) => "begin another session with a larger budget".to_owned(),
        };
        EngineError::Conflict { message: refusal.to_string(), hint: Some(hint) }
    }
}

/// Gives what a driver could not do as the plane's error.
fn driver_refused(error: &DriverError) -> EngineError {
    match error {
        DriverError::Gone => EngineError::Conflict {
            message: error.to_string(),
            hint: Some("`adjutant session resume` starts it again".to_owned()),
        },
        DriverError::Start { .. } | DriverError::Unsupported { .. } | DriverError::Failed { .. } => {
            EngineError::Conflict { message: error.to_string(), hint: error.hint().map(str::to_owned) }
        }
    }
}
