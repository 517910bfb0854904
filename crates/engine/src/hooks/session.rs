//! Where hooks meet sessions: whose they are, and who hears what they tell.

use crate::error::EngineError;
use crate::hosting;
use crate::plane::Core;
use crate::roster;
use crate::sessions;
use adjutant_model::discovered::Discovered;
use adjutant_model::session::{Session, SessionState, Signal};
use adjutant_model::{RunId, SessionId};
use std::path::PathBuf;
use std::sync::Arc;

/// What hooks need to know of the session that they are of.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct HookedSession {
    /// The session.
    pub(crate) id: SessionId,
    /// The name of its agent's profile.
    pub(crate) agent: Option<Arc<str>>,
    /// The agent of a run's blueprint whose step it does.
    pub(crate) plays: Option<Arc<str>>,
    /// The project that it works on, whose policy holds for it.
    pub(crate) project: Option<PathBuf>,
    /// Where it works.
    pub(crate) workspace: Option<PathBuf>,
    /// The run whose step has started it.
    pub(crate) run_id: Option<RunId>,
    /// Whether a person sees what its agent asks: somebody else has started it.
    pub(crate) is_attended: bool,
}

/// Gives what hooks need to know of an agent that somebody else has started.
pub(super) fn discovered(known: &Discovered) -> HookedSession {
    let cwd = known.cwd.as_deref().map(PathBuf::from);
    HookedSession {
        id: known.id,
        agent: Some(known.agent.as_str().into()),
        plays: None,
        project: cwd.clone(),
        workspace: cwd,
        run_id: None,
        is_attended: true,
    }
}

/// Gives a session that there is.
pub(crate) async fn session_of(core: &Core, id: SessionId) -> Result<Option<HookedSession>, EngineError> {
    if let Some(known) = core.roster.get(id) {
        return Ok(Some(discovered(&known)));
    }
    let Some(entry) = core.store.session_get(id).await? else {
        // Only the plane makes tokens of sessions, so one vouches for a session that is recorded elsewhere. An attached
        // session is a token.
        let unrecorded = HookedSession {
            id,
            agent: None,
            plays: None,
            project: None,
            workspace: None,
            run_id: None,
            is_attended: false,
        };
        let is_known = core.store.session_has_token(id).await? || sessions::lives(core, id).await?;
        return Ok(is_known.then_some(unrecorded));
    };
    if entry.session.state == SessionState::Decommissioned {
        return Ok(None);
    }
    hosted(core, &entry.session).await.map(Some)
}

/// Gives what hooks need to know of a session that Adjutant hosts.
pub(crate) async fn hosted(core: &Core, session: &Session) -> Result<HookedSession, EngineError> {
    let workspace = core.store.workspace_of(&session.id.into()).await?;
    let project = workspace.as_ref().and_then(|workspace| workspace.project.as_deref()).map(PathBuf::from);
    Ok(HookedSession {
        id: session.id,
        agent: Some(session.agent.as_str().into()),
        plays: session.plays.as_deref().map(Into::into),
        project,
        workspace: workspace.map(|workspace| PathBuf::from(workspace.path)),
        run_id: session.run_id.clone(),
        is_attended: false,
    })
}

/// Passes on what became known of a session's agent, and waits until its owner has kept it.
pub(super) async fn told_durably(
    core: &Arc<Core>,
    session_id: SessionId,
    signals: Vec<Signal>,
) -> Result<(), EngineError> {
    match signals.is_empty() {
        true => Ok(()),
        false => hosting::told_durably(core, session_id, signals).await,
    }
}

/// Passes on what became known of a session's agent.
pub(crate) async fn told(core: &Arc<Core>, session_id: SessionId, signals: Vec<Signal>) {
    if signals.is_empty() {
        return;
    }
    if core.roster.get(session_id).is_some() {
        roster::discovered::told(core, session_id, signals).await;
        return;
    }
    if let Err(error) = hosting::told(core, session_id, signals).await {
        tracing::debug!(session = %session_id, %error, "what a hook told reached nobody");
    }
}
