//! What is done for an open delegation: wait for its approval, launch it, wait for its end, tell its parent.

use crate::approvals;
use crate::breakers;
use crate::clock;
use crate::error::EngineError;
use crate::hosting::{self, HostParams};
use crate::plane::Core;
use crate::runs::STORE_RETRY;
use adjutant_model::DelegationId;
use adjutant_model::action::Caller;
use adjutant_model::client_run::ApprovalStatus;
use adjutant_model::delegation::{Delegation, DelegationStatus};
use adjutant_model::event::Event;
use adjutant_model::run::ErrorClass;
use adjutant_model::session::{Session, SessionSource, SessionState};
use adjutant_rules::breaker::BreakerEvent;
use adjutant_rules::delegation::{self, DelegationEvent};
use adjutant_rules::session::takes_prompts;
use adjutant_store::{DelegationEntry, DelegationFilter, Draft, Write, WriteError};
use std::path::PathBuf;
use std::sync::Arc;

/// Gives every open delegation its task again.
pub(crate) async fn resume_open(core: &Arc<Core>) -> Result<(), EngineError> {
    let filter = DelegationFilter { is_open: true, ..DelegationFilter::default() };
    let open = core.store.delegations(filter).await?;
    if !open.is_empty() {
        tracing::info!(count = open.len(), "delegations go on");
    }
    open.into_iter().for_each(|entry| start(core, entry.delegation.id));
    Ok(())
}

/// Drives a delegation apart from whoever asked for it.
pub(super) fn start(core: &Arc<Core>, id: DelegationId) {
    let (apart, stopping) = (core.clone(), core.stopping.clone());
    core.tasks.spawn(async move {
        // Whatever it was doing is done again by the next daemon: each step of it looks first.
        tokio::select! {
            () = stopping.cancelled() => {}
            () = drive(&apart, id) => {}
        }
    });
}

async fn drive(core: &Arc<Core>, id: DelegationId) {
    loop {
        let error = match advance(core, id).await {
            Ok(true) => continue,
            Ok(false) => return,
            Err(error) => error,
        };
        if error.class() != ErrorClass::Retry {
            return tracing::error!(delegation = %id, %error, "a delegation is left as it stands");
        }
        tracing::warn!(delegation = %id, %error, "a delegation is looked at again");
        tokio::time::sleep(STORE_RETRY).await;
    }
}

/// Does what is next; tells whether there is more.
async fn advance(core: &Arc<Core>, id: DelegationId) -> Result<bool, EngineError> {
    let Some(entry) = core.store.delegation_get(id).await? else { return Ok(false) };
    match entry.delegation.status {
        DelegationStatus::Queued => begin(core, &entry).await?,
        DelegationStatus::Running => end(core, &entry).await?,
        DelegationStatus::Completed | DelegationStatus::Failed | DelegationStatus::Cancelled => {
            if entry.delegation.told_at.is_some() {
                return Ok(false);
            }
            tell(core, &entry.delegation).await?;
        }
    }
    Ok(true)
}

async fn begin(core: &Arc<Core>, entry: &DelegationEntry) -> Result<(), EngineError> {
    let parent = hosting::get(core, entry.delegation.session).await?;
    let caller = hosting::caller_of(&parent);
    if let Some(approval_id) = &entry.delegation.approval_id {
        let ended = approvals::ended(core, approval_id).await;
        let reason = match ended {
            Some(approval) if approval.status == ApprovalStatus::Approved => None,
            Some(approval) => {
                let by = approval.resolved_by.as_deref().unwrap_or("nobody").to_owned();
                Some(format!("its approval was {} by {by}", approval.status.as_str()))
            }
            None => Some("its approval is gone".to_owned()),
        };
        if let Some(reason) = reason {
            return changed(core, entry, DelegationEvent::Denied { reason }).await;
        }
    }
    // That it cannot be launched is durable then, and told to the parent.
    match launch(core, &caller, entry).await {
        Err(error) if error.class() == ErrorClass::Retry && !matches!(error, EngineError::Crowded(_)) => {
            Err(error)
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Launches a delegation's session, or finds it; that this cannot be done is its end.
pub(super) async fn launch(
    core: &Arc<Core>,
    caller: &Caller,
    entry: &DelegationEntry,
) -> Result<(), EngineError> {
    let launched = async {
        let params = params(core, &entry.delegation).await?;
        hosting::create(core, caller, params).await
    };
    match launched.await {
        Ok(_) => {
            breakers::learn(core, &entry.delegation.agent, BreakerEvent::Admitted).await?;
            changed(core, entry, DelegationEvent::Launched).await
        }
        // The store may take it later, and whoever drives it tries again.
        Err(error @ (EngineError::Write(_) | EngineError::Read(_) | EngineError::Stopping)) => Err(error),
        Err(error) => {
            let reason = format!("its session could not be made: {}", error.with_hint());
            changed(core, entry, DelegationEvent::Refused { reason }).await?;
            Err(error)
        }
    }
}

/// Gives the child: on its parent's project, from its parent's branch, so that it sees what that has committed.
async fn params(core: &Core, delegation: &Delegation) -> Result<HostParams, EngineError> {
    let parent = hosting::get(core, delegation.session).await?;
    let workspace = core.store.workspace_of(&parent.id.into()).await?;
    let branch = workspace.and_then(|workspace| workspace.branch);
    let (project, repo_url, own_ref) = match &parent.source {
        SessionSource::Project { path, git_ref } => (Some(PathBuf::from(path)), None, git_ref.clone()),
        SessionSource::Remote { url, git_ref } => (None, Some(url.clone()), git_ref.clone()),
        SessionSource::Directory { path } => (Some(PathBuf::from(path)), None, None),
    };
    Ok(HostParams {
        id: Some(delegation.child),
        project,
        repo_url,
        git_ref: delegation.git_ref.clone().or(branch).or(own_ref),
        task: delegation.task.clone(),
        agent: Some(delegation.profile.clone()),
        name_hint: Some(format!("{}-{}", parent.name, delegation.agent)),
        tier: Some(delegation.tier),
        model: delegation.model.clone(),
        parent: Some(parent.id),
        is_trusted: parent.is_trusted,
        ..HostParams::default()
    })
}

/// Waits for the end of the child's task.
async fn end(core: &Arc<Core>, entry: &DelegationEntry) -> Result<(), EngineError> {
    let child = entry.delegation.child;
    let session = hosting::seen_until(core, child, |session| session.task_end.is_some()).await?;
    let Some(end) = session.task_end else { return Ok(()) };
    changed(core, entry, DelegationEvent::Ended(end)).await
}

/// Keeps what follows from an event, and lets the breaker learn from an end.
async fn changed(core: &Core, entry: &DelegationEntry, event: DelegationEvent) -> Result<(), EngineError> {
    let before = &entry.delegation;
    let has_worked = before.status == DelegationStatus::Running;
    let Some(step) = delegation::step(before.status, event) else { return Ok(()) };
    let is_refused_at_once =
        step.status == DelegationStatus::Failed && !has_worked && before.approval_id.is_none();
    let now = clock::now();
    let after = Delegation {
        status: step.status,
        reason: step.reason,
        result: step.result,
        ended_at: step.status.is_terminal().then_some(now),
        // Whoever asked for it is answered with the reason.
        told_at: is_refused_at_once.then_some(now),
        ..before.clone()
    };
    let mut write = Write::default();
    write.delegation_put(&after, entry.revision);
    let event = Event::DelegationChanged {
        delegation_id: after.id,
        child: after.child,
        from: before.status,
        to: after.status,
        reason: after.reason.clone(),
    };
    write.journal(Draft { at: now, actor: "plane".into(), subject: after.session.to_string().into(), event });
    match core.store.write(write).await {
        Ok(_) => {}
        // Another was quicker; what it made of the delegation is looked at.
        Err(WriteError::RowsUnexpected { .. }) => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    let learnt = match after.status {
        DelegationStatus::Completed => BreakerEvent::Succeeded,
        DelegationStatus::Failed if has_worked => BreakerEvent::Failed,
        DelegationStatus::Failed
        | DelegationStatus::Cancelled
        | DelegationStatus::Queued
        | DelegationStatus::Running => return Ok(()),
    };
    breakers::learn(core, &after.agent, learnt).await
}

/// Tells the parent's agent of all its delegations that have ended, when it waits for its next prompt.
///
/// That it is told is durable first, so it is told once at most: a crash in between tells nothing.
async fn tell(core: &Arc<Core>, delegation: &Delegation) -> Result<(), EngineError> {
    let can_be_told =
        |parent: &Session| takes_prompts(parent) || parent.state == SessionState::Decommissioned;
    let parent = hosting::seen_until(core, delegation.session, can_be_told).await?;
    let filter = DelegationFilter { session: Some(parent.id), is_open: true, limit: 0 };
    let mut ended = core.store.delegations(filter).await?;
    ended.retain(|entry| entry.delegation.status.is_terminal());
    ended.reverse();
    if ended.is_empty() {
        return Ok(());
    }
    let now = clock::now();
    let mut write = Write::default();
    for entry in &ended {
        let told = Delegation { told_at: Some(now), ..entry.delegation.clone() };
        write.delegation_put(&told, entry.revision);
        let (actor, subject) = ("plane".into(), parent.id.to_string().into());
        let event = Event::DelegationTold { delegation_id: told.id };
        write.journal(Draft { at: now, actor, subject, event });
    }
    match core.store.write(write).await {
        Ok(_) => {}
        // Another task of the same parent was quicker.
        Err(WriteError::RowsUnexpected { .. }) => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    if parent.state == SessionState::Decommissioned {
        return Ok(());
    }
    let mut branches = Vec::new();
    for entry in &ended {
        let workspace = core.store.workspace_of(&entry.delegation.child.into()).await?;
        branches.push(workspace.and_then(|workspace| workspace.branch));
    }
    let told: Vec<_> =
        ended.iter().zip(&branches).map(|(entry, branch)| (&entry.delegation, branch.as_deref())).collect();
    if let Err(error) = hosting::send(core, parent.id, delegation::message(&told)).await {
        tracing::warn!(session = %parent.id, %error, "how its delegations ended could not be told");
    }
    Ok(())
}
