//! What doors ask of managed sessions.

use super::{HostParams, perform};
use crate::agents;
use crate::approvals::Face;
use crate::cost::{self, Cost};
use crate::error::EngineError;
use crate::inbox::{self, Inbox};
use crate::plane::Plane;
use crate::pressure::{self, SessionContext};
use crate::spawning;
use adjutant_model::SessionId;
use adjutant_model::action::Caller;
use adjutant_model::run::WorkspaceRecord;
use adjutant_model::session::{AskAnswer, Session};
use adjutant_rules::session::SessionCommand;
use adjutant_rules::session::name;
use adjutant_sessions::driver::Screen;
use adjutant_store::{ContextUsage, SessionFilter};
use std::collections::HashMap;
use std::time::Duration;

/// A managed session as people see it.
#[derive(Debug, Clone, PartialEq)]
pub struct Managed {
    /// The session.
    pub session: Session,
    /// Its workspace, while that is there.
    pub workspace: Option<WorkspaceRecord>,
    /// What it cost, as far as that is known.
    pub cost: Option<Cost>,
    /// How full its agent's context is, as far as that is known.
    pub context: Option<SessionContext>,
    /// How a person attaches to its terminal, word by word.
    pub attach_command: Option<Vec<String>>,
}

impl Plane {
    /// Begins a managed session, and waits so long for its agent to be there.
    ///
    /// # Errors
    /// [`EngineError::Invalid`], [`EngineError::Crowded`], [`EngineError::NotFound`] for an unknown goal or parent.
    pub async fn session_host(
        &self,
        caller: &Caller,
        params: HostParams,
        patience: Duration,
    ) -> Result<Managed, EngineError> {
        let session = super::create(&self.core, caller, params).await?;
        self.managed(super::settled(&self.core, session.id, patience).await?).await
    }

    /// Begins a managed session for a model. Judged in this order: its runtime, whether it may, and the rest as
    /// [`Plane::session_host`] does.
    ///
    /// # Errors
    /// [`EngineError::Invalid`] for an unknown runtime, [`EngineError::SpawnOff`], and as [`Plane::session_host`].
    pub async fn session_spawn(
        &self,
        caller: &Caller,
        params: HostParams,
        patience: Duration,
    ) -> Result<Managed, EngineError> {
        if let Some(runtime) = &params.agent {
            agents::find(&self.core, runtime).map_err(|error| EngineError::Invalid {
                message: format!("unknown runtime: {error}"),
                hint: error.hint(),
            })?;
        }
        spawning::may_spawn(&self.core, Face::Model)?;
        self.session_host(caller, params, patience).await
    }

    /// Gives the session that an id or a name means.
    ///
    /// # Errors
    /// [`EngineError::NotFound`]
    pub async fn session_id(&self, text: &str) -> Result<SessionId, EngineError> {
        if let Ok(id) = text.parse() {
            return Ok(id);
        }
        let shown: String = text.chars().take(80).collect();
        let unknown = || EngineError::not_found("session", &shown);
        if !name::is_name(text) {
            return Err(unknown());
        }
        Ok(self.core.store.session_named(text).await?.ok_or_else(unknown)?.session.id)
    }

    /// Gives a managed session.
    ///
    /// # Errors
    /// [`EngineError::NotFound`]
    pub async fn session_managed(&self, id: SessionId) -> Result<Managed, EngineError> {
        self.managed(super::get(&self.core, id).await?).await
    }

    /// Gives managed sessions, the newest first.
    ///
    /// # Errors
    /// [`EngineError::Read`]
    pub async fn sessions_managed(&self, filter: SessionFilter) -> Result<Vec<Managed>, EngineError> {
        let sessions = super::list(&self.core, filter).await?;
        let workspaces = self.core.store.workspaces().await?;
        let mut by_holder: HashMap<String, WorkspaceRecord> =
            workspaces.into_iter().map(|entry| (entry.holder.to_string(), entry.workspace)).collect();
        let said = self.core.store.context_usages().await?;
        let whole = |session: Session| {
            let workspace = by_holder.remove(&session.id.to_string()).filter(|_| session.has_workspace);
            let said = said.get(&session.id);
            self.whole(session, workspace, said)
        };
        Ok(sessions.into_iter().map(whole).collect())
    }

    /// Does what a person wants of a session, and waits so long for it to be so.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::Conflict`] when it cannot be done now, [`EngineError::Workspace`] when
    /// work would be lost.
    pub async fn session_command(
        &self,
        id: SessionId,
        command: SessionCommand,
        patience: Duration,
    ) -> Result<Managed, EngineError> {
        self.managed(super::command(&self.core, id, command, patience).await?).await
    }

    /// Tells a session's agent something.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::Conflict`] when its agent is not there, [`EngineError::Invalid`].
    pub async fn session_send(&self, id: SessionId, text: String) -> Result<(), EngineError> {
        super::send(&self.core, id, text).await
    }

    /// Answers a question of a session's agent; the oldest when it is not said which.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::Conflict`] when nothing is asked, or the gate asks.
    pub async fn session_answer(
        &self,
        id: SessionId,
        ask_id: Option<String>,
        answer: AskAnswer,
    ) -> Result<(), EngineError> {
        super::answer(&self.core, id, ask_id, answer).await
    }

    /// Makes a session's agent leave its present turn.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::Conflict`] when its agent is not there.
    pub async fn session_interrupt(&self, id: SessionId) -> Result<(), EngineError> {
        super::interrupt(&self.core, id).await
    }

    /// Gives what a session's terminal shows, at most so many of its last lines.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::Conflict`] when its agent is not there.
    pub async fn session_screen(&self, id: SessionId, lines: usize) -> Result<Screen, EngineError> {
        super::screen(&self.core, id, lines).await
    }

    /// Gives what waits for people.
    ///
    /// # Errors
    /// [`EngineError::Read`]
    pub async fn inbox(&self) -> Result<Inbox, EngineError> {
        inbox::of(&self.core).await
    }

    async fn managed(&self, session: Session) -> Result<Managed, EngineError> {
        let workspace = match session.has_workspace {
            true => self.core.store.workspace_of(&session.id.into()).await?,
            false => None,
        };
        let said = self.core.store.context_usage(session.id).await?;
        Ok(self.whole(session, workspace, said.as_ref()))
    }

    fn whole(
        &self,
        session: Session,
        workspace: Option<WorkspaceRecord>,
        said: Option<&ContextUsage>,
    ) -> Managed {
        let attach_command =
            session.handle.as_ref().and_then(|handle| perform::attach_command(&self.core, handle));
        let cost = cost::of_session(&self.core, &session);
        let context = pressure::of_session(&session, said);
        Managed { session, workspace, cost, context, attach_command }
    }
}
