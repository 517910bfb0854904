//! Delegations: work that a session gives to another one, which is really started, and whose end its parent is told.
//!
//! A delegation is a row before anything is done for it, and the child's id stands in it, so launching it again finds
//! the child. Each open one has a task ([`drive`]) that waits for what comes next: the approval, the end of the child's
//! task, the parent's leisure. What it holds can be read again, so every start of the daemon gives each its task back.
//! A child's task ends with its first turn; where nobody tells of turns, with its program.

mod cancel;
mod drive;

pub(crate) use drive::resume_open;

use crate::agents;
use crate::approvals::{self, Asker, Face, Question};
use crate::breakers;
use crate::clock;
use crate::error::EngineError;
use crate::hosting;
pub use crate::hosting::DEPTH_MAX;
use crate::plane::{Core, Plane};
use crate::record;
use crate::sessions;
use crate::spawning;
use adjutant_model::action::Caller;
use adjutant_model::delegation::{Delegation, DelegationStatus};
use adjutant_model::event::Event;
use adjutant_model::policy::{PolicyEffect, ToolCall};
use adjutant_model::session::{ModelTier, Session, SessionState};
use adjutant_model::{DelegationId, SessionId, Value};
use adjutant_rules::delegation;
use adjutant_store::{DelegationEntry, DelegationFilter, Draft, Write};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// The tool that agents delegate by, as policies and approvals name it.
pub const TOOL: &str = "agent_delegate";
/// So many delegations of one session may be open at once.
const OPEN_MAX: usize = 64;

/// A request for a delegation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DelegateParams {
    /// The agent; one that no profile is of is played by the default profile.
    pub agent: String,
    /// What it is told.
    pub task: String,
    /// `haiku`, `sonnet` or `opus`; `sonnet` when nothing is said.
    pub tier: Option<String>,
    /// Its model; over the tier.
    pub model: Option<String>,
    /// What the child's branch starts from; the parent's branch when nothing is said.
    pub git_ref: Option<String>,
}

/// A delegation and where its agent's breaker stands.
#[derive(Debug, Clone, PartialEq)]
pub struct DelegationInfo {
    /// The delegation.
    pub delegation: Delegation,
    /// `closed`, `open` or `half_open`.
    pub circuit: &'static str,
}

impl Plane {
    /// Gives a session's work to another session. Judged in this order: session, breaker, tier, depth, agent, and
    /// whether the caller may start one; what a person has to approve first is `queued`. A model may not by itself,
    /// whosever token it shows, unless `sessions.agents_may_spawn` lets it.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::Conflict`] when the agent's breaker is open, [`EngineError::Invalid`],
    /// [`EngineError::Forbidden`], [`EngineError::Crowded`].
    pub async fn delegate(
        &self,
        caller: &Caller,
        session: SessionId,
        params: DelegateParams,
        face: Face,
    ) -> Result<DelegationInfo, EngineError> {
        let core = &self.core;
        own(caller, session)?;
        let parent = parent(core, session).await?;
        let (delegation, asks) = judge(core, (caller, face), &parent, params).await?;
        let entry = keep(core, caller, delegation, asks).await?;
        let id = entry.delegation.id;
        let launched = match entry.delegation.approval_id {
            None => drive::launch(core, caller, &entry).await,
            Some(_) => Ok(()),
        };
        drive::start(core, id);
        launched?;
        let entry = core.store.delegation_get(id).await?;
        info(core, entry.ok_or_else(|| EngineError::not_found("delegation", id))?.delegation).await
    }

    /// Counts the delegations of each session that have not ended, or were not told to it yet.
    ///
    /// # Errors
    /// [`EngineError::Read`]
    pub async fn delegations_open(&self) -> Result<HashMap<SessionId, u32>, EngineError> {
        let filter = DelegationFilter { is_open: true, ..DelegationFilter::default() };
        let mut counted = HashMap::new();
        for entry in self.core.store.delegations(filter).await? {
            *counted.entry(entry.delegation.session).or_default() += 1;
        }
        Ok(counted)
    }

    /// Gives the delegations of a session, the newest first.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::Forbidden`]
    pub async fn delegations(
        &self,
        caller: &Caller,
        session: SessionId,
        limit: usize,
    ) -> Result<Vec<DelegationInfo>, EngineError> {
        own(caller, session)?;
        hosting::get(&self.core, session).await?;
        let filter = DelegationFilter { session: Some(session), limit, ..DelegationFilter::default() };
        let mut found = Vec::new();
        for entry in self.core.store.delegations(filter).await? {
            found.push(info(&self.core, entry.delegation).await?);
        }
        Ok(found)
    }
}

impl Plane {
    /// Gives the delegations of all sessions, the newest first: those for which something has yet to be done, or all.
    ///
    /// # Errors
    /// [`EngineError::Read`]
    pub async fn delegations_all(
        &self,
        is_open: bool,
        limit: usize,
    ) -> Result<Vec<DelegationInfo>, EngineError> {
        let filter = DelegationFilter { is_open, limit, ..DelegationFilter::default() };
        let mut found = Vec::new();
        for entry in self.core.store.delegations(filter).await? {
            found.push(info(&self.core, entry.delegation).await?);
        }
        Ok(found)
    }

    /// Gives a delegation.
    ///
    /// # Errors
    /// [`EngineError::NotFound`]
    pub async fn delegation(&self, id: DelegationId) -> Result<DelegationInfo, EngineError> {
        let entry = self.core.store.delegation_get(id).await?;
        info(&self.core, entry.ok_or_else(|| EngineError::not_found("delegation", id))?.delegation).await
    }

    /// Cancels a delegation: the question whether it may begin is withdrawn, or its session's agent is ended. Waits so
    /// long for it to be over.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::Conflict`] when it is over, or its session is being made.
    pub async fn delegation_cancel(
        &self,
        caller: &Caller,
        id: DelegationId,
        patience: Duration,
    ) -> Result<DelegationInfo, EngineError> {
        cancel::cancel(&self.core, caller, id, patience).await?;
        self.delegation(id).await
    }
}

/// Gives the session that delegates; one that is attached has no work that another could be given.
async fn parent(core: &Core, id: SessionId) -> Result<Session, EngineError> {
    match hosting::get(core, id).await {
        Err(EngineError::NotFound { .. }) if sessions::lives(core, id).await? => Err(EngineError::Conflict {
            message: format!(
                "the session {id} is attached: it has no project that its work could be given away on"
            ),
            hint: Some("begin a session for it: `session_new`, or `adjutant session new`".to_owned()),
        }),
        found => found,
    }
}

/// Refuses what a session's token asks of another session; a step's worker has none.
fn own(caller: &Caller, session: SessionId) -> Result<(), EngineError> {
    let is_own = caller.of_session.map_or(caller.step.is_none(), |own| own == session);
    match is_own {
        true => Ok(()),
        false => Err(EngineError::Forbidden("an agent delegates from its own session alone".to_owned())),
    }
}

async fn info(core: &Core, delegation: Delegation) -> Result<DelegationInfo, EngineError> {
    let circuit = breakers::of(core, &delegation.agent).await?.circuit.as_str();
    Ok(DelegationInfo { delegation, circuit })
}

/// Gives the delegation, and why a person has to approve it first.
async fn judge(
    core: &Arc<Core>,
    (caller, face): (&Caller, Face),
    parent: &Session,
    params: DelegateParams,
) -> Result<(Delegation, Option<String>), EngineError> {
    if parent.state == SessionState::Decommissioned {
        return Err(EngineError::Conflict {
            message: format!("the session {} is decommissioned", parent.id),
            hint: Some("`adjutant session new` begins another".to_owned()),
        });
    }
    if let Some(message) = breakers::refusal(core, &params.agent).await? {
        return Err(EngineError::Conflict { message, hint: None });
    }
    let tier = tier(params.tier.as_deref())?;
    if parent.depth + 1 > DEPTH_MAX {
        return Err(EngineError::Forbidden(format!("sessions start sessions at most {DEPTH_MAX} deep")));
    }
    if let Some(problem) = delegation::agent_problem(&params.agent) {
        return Err(EngineError::invalid(problem));
    }
    let profile = match agents::find(core, &params.agent) {
        Ok(found) => found.name.clone(),
        Err(_) => agents::find(core, &core.live().sessions_default_agent)?.name.clone(),
    };
    texts_check(&params)?;
    let asks = asks(core, (caller, face), parent, (&params, tier)).await?;
    let filter = DelegationFilter { session: Some(parent.id), is_open: true, limit: OPEN_MAX };
    if core.store.delegations(filter).await?.len() >= OPEN_MAX {
        return Err(EngineError::Crowded(format!("{OPEN_MAX} delegations of the session are open already")));
    }
    let DelegateParams { agent, task, tier: _, model, git_ref } = params;
    let delegation = Delegation {
        id: DelegationId::new(clock::fresh_id()),
        session: parent.id,
        child: SessionId::new(clock::fresh_id()),
        agent,
        profile,
        tier,
        model,
        git_ref,
        task: record::text(task.trim()),
        status: DelegationStatus::Queued,
        reason: asks.clone(),
        result: None,
        approval_id: None,
        created_at: clock::now(),
        ended_at: None,
        told_at: None,
    };
    Ok((delegation, asks))
}

fn tier(said: Option<&str>) -> Result<ModelTier, EngineError> {
    let Some(said) = said else { return Ok(ModelTier::Sonnet) };
    ModelTier::parse(said).ok_or_else(|| {
        let shown: String = said.chars().take(80).collect();
        let known = ModelTier::ALL.map(ModelTier::as_str).join(", ");
        EngineError::invalid(format!("`tier` is {known}, not `{shown}`"))
    })
}

fn texts_check(params: &DelegateParams) -> Result<(), EngineError> {
    hosting::task_check(params.task.trim())?;
    hosting::model_check(params.model.as_deref())?;
    params.git_ref.as_deref().map_or(Ok(()), hosting::ref_check)
}

/// Gives why a person has to approve that a session's agent starts another one; nothing when it may do so.
async fn asks(
    core: &Arc<Core>,
    (caller, face): (&Caller, Face),
    parent: &Session,
    (params, tier): (&DelegateParams, ModelTier),
) -> Result<Option<String>, EngineError> {
    if caller.of_session.is_none() && face == Face::Person {
        return Ok(None);
    }
    let judgement = hosting::judgement(core, parent, (caller, &call(parent.id, params, tier))).await?;
    match judgement.effect {
        PolicyEffect::Deny => return Err(EngineError::Forbidden(judgement.reason)),
        PolicyEffect::Ask => return Ok(Some(judgement.reason)),
        PolicyEffect::Allow => {}
    }
    let may = spawning::may_spawn(core, Face::Model).is_ok();
    let why = "an agent wants to start another one, and `sessions.agents_may_spawn` does not let it";
    Ok((!may).then(|| why.to_owned()))
}

/// Gives what the delegation is to the gate and to whoever approves it.
fn call(session: SessionId, params: &DelegateParams, tier: ModelTier) -> ToolCall {
    let said = |name, text: &Option<String>| text.as_deref().map(|text| (name, Value::from(text)));
    let parameters = Value::object(
        [
            ("session_id", Value::from(session.to_string())),
            ("agent", Value::from(params.agent.as_str())),
            ("task", Value::from(params.task.as_str())),
            ("tier", Value::from(tier.as_str())),
        ]
        .into_iter()
        .chain(said("model", &params.model))
        .chain(said("ref", &params.git_ref)),
    );
    ToolCall { tool: TOOL.to_owned(), parameters }
}

/// Keeps a new delegation, with the approval that it waits for.
async fn keep(
    core: &Core,
    caller: &Caller,
    mut delegation: Delegation,
    asks: Option<String>,
) -> Result<DelegationEntry, EngineError> {
    let now = delegation.created_at;
    let mut write = Write::default();
    if let Some(reason) = asks {
        let id = approvals::id_of(delegation.id);
        let asker = Asker {
            token_id: caller.token_id.to_string(),
            agent_id: None,
            connection: format!("session:{}", delegation.session).into(),
        };
        let Delegation { agent, task, model, git_ref, .. } = delegation.clone();
        let params = DelegateParams { agent, task, tier: None, model, git_ref };
        let call = call(delegation.session, &params, delegation.tier);
        let question = Question { call, reason, run_id: None };
        let deadline = now.plus_ms(core.live().approval_ms);
        approvals::raise(&mut write, id.clone(), (&asker, &question), (now, deadline));
        delegation.approval_id = Some(id);
    }
    write.delegation_create(&delegation);
    write.journal(Draft {
        at: now,
        actor: caller.actor().into(),
        subject: delegation.session.to_string().into(),
        event: Event::DelegationQueued {
            delegation_id: delegation.id,
            child: delegation.child,
            agent: record::progress(&delegation.agent),
            task_hash: format!("{:x}", Sha256::digest(&delegation.task)),
            approval_id: delegation.approval_id.clone(),
        },
    });
    core.store.write(write).await?;
    Ok(DelegationEntry { delegation, revision: 1 })
}
