//! Attached sessions: outside clients that hold a token with a role until it ends.
//!
//! A session is a token with a public name: who shows its secret has the session, and nothing else tells one from
//! another. Its role is at most as much as that of whoever makes it.

use crate::clock;
use crate::error::EngineError;
use crate::identity::{self, Binding};
use crate::plane::Core;
use crate::worker::Secret;
use adjutant_model::SessionId;
use adjutant_model::action::{Caller, Role, TokenRecord};
use adjutant_model::event::Event;
use adjutant_rules::access;
use adjutant_rules::session::status::{self, StatusNames};
use adjutant_store::{Draft, TokenFilter, Write};

/// A session lives so long when nothing is said, in seconds.
const SESSION_SECS: u64 = 3600;
/// So many sessions may live at once.
const SESSIONS_MAX: u64 = 10_000;

/// What a session is made of, as people say it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionParams {
    /// What its bearer is called; of a worker's the agent it acts as.
    pub agent_id: String,
    /// The role, in any case.
    pub role: String,
    /// How long it lives, in seconds; an hour when nothing is said.
    pub ttl_secs: Option<u64>,
}

/// A session and its secret, which is kept nowhere.
#[derive(Debug, Clone)]
pub struct SessionMade {
    /// What its bearer shows.
    pub secret: Secret,
    /// The token that it is.
    pub token: TokenRecord,
}

/// Names an attached session as clients of the family do.
pub fn status_names(token: &TokenRecord) -> StatusNames {
    status::of_attached(token.last_seen_at)
}

/// Makes a session.
pub(crate) async fn create(
    core: &Core,
    caller: &Caller,
    params: SessionParams,
) -> Result<SessionMade, EngineError> {
    let role = access::session_role(&params.role).map_err(EngineError::invalid)?;
    let agent_id = identity::agent_id_read(&params.agent_id)?;
    let ttl_secs = identity::ttl_read("session", params.ttl_secs.unwrap_or(SESSION_SECS))?;
    may_admit(caller, role)?;
    if core.store.sessions_good(None, clock::now()).await? >= SESSIONS_MAX {
        return Err(EngineError::Crowded(format!("{SESSIONS_MAX} sessions live, and no more at once")));
    }
    let session_id = SessionId::new(clock::fresh_id());
    let binding =
        Binding { agent_id: Some(agent_id.clone()), session_id: Some(session_id), ..Binding::default() };
    let (secret, token) = identity::mint(role, binding, Some(ttl_secs));
    let expires_at = token.expires_at.expect("a session was made with an end");
    let mut write = Write::default();
    write.token_put(&token);
    write.journal(Draft {
        at: token.created_at,
        actor: caller.actor().into(),
        subject: session_id.to_string().into(),
        event: Event::SessionAttached { agent_id: agent_id.to_string(), role, expires_at },
    });
    core.store.write(write).await?;
    Ok(SessionMade { secret, token })
}

/// Gives the sessions that live, the newest first.
pub(crate) async fn list(core: &Core, limit: usize) -> Result<Vec<TokenRecord>, EngineError> {
    let filter =
        TokenFilter { good_at: Some(clock::now()), sessions_only: true, limit, ..TokenFilter::default() };
    identity::list(core, filter).await
}

/// Gives a session that lives by its public name.
pub(crate) async fn get(core: &Core, session_id: SessionId) -> Result<Option<TokenRecord>, EngineError> {
    let token = core.store.token_of_session(session_id).await?;
    Ok(token.filter(|token| token.is_good(clock::now())))
}

/// Tells whether there is a session of this public name that lives.
pub(crate) async fn lives(core: &Core, session_id: SessionId) -> Result<bool, EngineError> {
    Ok(get(core, session_id).await?.is_some())
}

/// Ends a session by its public name.
pub(crate) async fn end(core: &Core, caller: &Caller, session_id: SessionId) -> Result<(), EngineError> {
    let gone = || EngineError::not_found("session", session_id);
    let token = core.store.token_of_session(session_id).await?.ok_or_else(gone)?;
    may_admit(caller, token.role)?;
    end_if_good(core, caller, &token).await?.then_some(()).ok_or_else(gone)
}

/// Ends the session whose secret is shown.
pub(crate) async fn leave(core: &Core, secret: &str) -> Result<(), EngineError> {
    // What was shown is a secret, so the refusal does not say it.
    let gone = || EngineError::NotFound { kind: "session", id: "with this secret".to_owned() };
    let token = identity::shown(core, secret).await?.filter(|token| token.session_id.is_some());
    let token = token.ok_or_else(gone)?;
    let caller = identity::caller_of(token.clone());
    end_if_good(core, &caller, &token).await?.then_some(()).ok_or_else(gone)
}

async fn end_if_good(core: &Core, caller: &Caller, token: &TokenRecord) -> Result<bool, EngineError> {
    if token.is_good(clock::now()) { identity::end(core, caller, token).await } else { Ok(false) }
}

fn may_admit(caller: &Caller, role: Role) -> Result<(), EngineError> {
    if access::may_admit(caller.role, role) {
        return Ok(());
    }
    let error = format!("the role {} lets no {} in", caller.role.as_str(), role.as_str());
    Err(EngineError::Forbidden(error))
}
