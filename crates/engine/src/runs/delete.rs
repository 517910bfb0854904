//! Removing a run that is over: its record, its turns and its journal, of which a checkpoint stays.

use crate::clock;
use crate::error::EngineError;
use crate::plane::Core;
use adjutant_model::RunId;
use adjutant_model::action::Caller;
use adjutant_model::event::Event;
use adjutant_model::goal::GoalStatus;
use adjutant_model::run::WorkspaceKind;
use adjutant_store::{Draft, Write};

/// Removes a run that is over.
///
/// # Errors
/// [`EngineError::Conflict`] while it is open, has a directory of its own, or is proof for an open goal.
pub(crate) async fn delete(core: &Core, caller: &Caller, run_id: &RunId) -> Result<(), EngineError> {
    delete_as(core, caller.actor(), run_id).await
}

/// As [`delete`], in the name of an actor.
pub(crate) async fn delete_as(core: &Core, actor: String, run_id: &RunId) -> Result<(), EngineError> {
    let conflict = |message: String, hint: String| EngineError::Conflict { message, hint: Some(hint) };
    let run = core.store.run_get(run_id).await?.ok_or_else(|| EngineError::not_found("run", run_id))?;
    if !run.status.is_terminal() {
        return Err(conflict(
            format!("{run_id} is {} and not over", run.status),
            format!("`adjutant cancel {run_id}` ends it"),
        ));
    }
    if run.workspace.as_ref().is_some_and(|workspace| workspace.kind != WorkspaceKind::Given) {
        return Err(conflict(
            format!("{run_id} still has its workspace"),
            format!("`adjutant workspace rm {run_id}` removes it"),
        ));
    }
    if let Some(goal_id) = &run.goal_id
        && let Some(goal) = core.store.goal_get(goal_id).await?
        && !matches!(goal.status, GoalStatus::Done | GoalStatus::Abandoned)
    {
        return Err(conflict(
            format!("{run_id} works on the open goal {goal_id}"),
            format!("`adjutant goal close {goal_id}` closes it"),
        ));
    }
    if let Some(last) = core.runs.get(run_id) {
        last.gone.cancelled().await;
    }
    let mut write = Write::default();
    // Whoever took it up meanwhile has a higher epoch, and the run stays.
    write.run_adopt(run_id, &core.owner, run.epoch + 1);
    write.run_delete(run_id);
    let event = Event::RunDeleted { run_id: run_id.clone(), status: run.status };
    write.journal(Draft { at: clock::now(), actor: actor.into(), subject: "plane".into(), event });
    core.store.write(write).await.map_err(|error| super::recover::taken_over(run_id, error.into()))?;
    Ok(())
}
