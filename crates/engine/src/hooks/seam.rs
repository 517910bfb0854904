//! Where hooks meet sessions: whose they are, and who hears what they tell.

use crate::error::EngineError;
use crate::plane::Core;
use adjutant_model::hook::HookCall;
use adjutant_model::session::Signal;
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
    /// The project that it works on, whose policy holds for it.
    pub(crate) project: Option<PathBuf>,
    /// Where it works.
    pub(crate) workspace: Option<PathBuf>,
    /// The run whose step has started it.
    pub(crate) run_id: Option<RunId>,
    /// Whether Adjutant hosts it, so that nobody sees a dialog of its agent.
    pub(crate) is_hosted: bool,
}

/// Gives a session that there is.
pub(crate) async fn session_of(core: &Core, id: SessionId) -> Result<Option<HookedSession>, EngineError> {
    let is_there = core.store.session_has_token(id).await?;
    Ok(is_there.then_some(HookedSession {
        id,
        agent: None,
        project: None,
        workspace: None,
        run_id: None,
        is_hosted: true,
    }))
}

/// Finds or registers the session of an agent that somebody else has started, whose hooks show the owner's token.
#[expect(clippy::unused_async, reason = "the registry of sessions answers here")]
pub(crate) async fn discovered(_core: &Core, _call: &HookCall) -> Result<Option<HookedSession>, EngineError> {
    Ok(None)
}

/// Passes on what became known of a session's agent.
#[expect(clippy::unused_async, reason = "the session's owner hears it here")]
pub(crate) async fn told(_core: &Core, session_id: SessionId, signals: Vec<Signal>) {
    for signal in signals {
        tracing::debug!(session = %session_id, evidence = signal.evidence, "a hook tells {:?}", signal.what);
    }
}
