//! Going back: a run that is over goes on again from one of its steps.
//!
//! Everything is looked at before anything changes. Then one write makes the run ours under a new epoch, says in the
//! journal which step it goes back to, and marks the turns that count no more; they stay as they are otherwise. The next
//! owner finds what the machine waits for without a turn, and begins it: after a crash in between it does the same.

use super::found::{Found, TakenBack};
use super::recover::{self, Resume, taken_over};
use super::turn_book::TurnBook;
use crate::clock;
use crate::error::EngineError;
use crate::plane::Core;
use crate::tasks;
use adjutant_model::action::Caller;
use adjutant_model::event::Event;
use adjutant_model::run::{RunRecord, RunStatus, TurnKind};
use adjutant_model::{RunId, TaskId, Timestamp};
use adjutant_rules::run::takes_back;
use adjutant_store::{Draft, RunStatusChange, Write};
use std::sync::Arc;

/// A step is named by at most so many bytes.
const FROM_BYTES_MAX: usize = 1024;

/// A run that goes on again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rerun {
    /// Its task.
    pub task_id: TaskId,
    /// How many steps keep what they gave.
    pub replayed_steps: u64,
    /// How many steps were taken back.
    pub dropped_steps: u64,
}

/// Lets a run that is over go on again from a step: an agent's name, or a path with all below it.
///
/// # Errors
/// [`EngineError::Conflict`] for a run that is not over, [`EngineError::RerunRefused`] when there is no such step or
/// nothing would follow from it. Nothing has changed then.
pub(crate) async fn rerun(
    core: &Arc<Core>,
    caller: &Caller,
    run_id: &RunId,
    from: &str,
) -> Result<Rerun, EngineError> {
    if from.is_empty() || from.len() > FROM_BYTES_MAX {
        return Err(EngineError::invalid("`from_step` must name a step: an agent, or a path"));
    }
    let run = core.store.run_get(run_id).await?.ok_or_else(|| EngineError::not_found("run", run_id))?;
    if !run.status.is_terminal() {
        return Err(EngineError::Conflict {
            message: format!("{run_id} is {} and not over", run.status),
            hint: Some(format!("`adjutant cancel {run_id}` ends it")),
        });
    }
    tasks::admit(core)?;
    // The last owner may still be ending what the run had in flight.
    if let Some(last) = core.runs.get(run_id) {
        last.gone.cancelled().await;
    }
    let found = Found::read(core, run).await?;
    let there = |from: &str| {
        let steps = found.counting().filter(|turn| turn.kind == TurnKind::Step);
        steps.into_iter().any(|turn| takes_back(from, &turn.name, &turn.path))
    };
    if !there(from) {
        return Err(refused(format!("{run_id} has no step `{from}`"), run_id));
    }
    let folded = found.fold(Some(from))?;
    if folded.state.end().is_some() {
        return Err(refused(format!("{run_id} ends as it did without the step `{from}`"), run_id));
    }
    let taken_back = found.taken_back(&folded);
    let now = clock::now();
    let status = if found.has_begun() { RunStatus::Running } else { RunStatus::Pending };
    let ours = RunRecord { owner: core.owner.clone(), epoch: found.run.epoch + 1, ..found.run.clone() };
    let write = going_back(&ours, status, &taken_back, (caller, from, now));
    core.store.write(write).await.map_err(|error| taken_over(run_id, error.into()))?;
    let rerun = Rerun {
        task_id: ours.task_id.clone(),
        replayed_steps: taken_back.kept,
        dropped_steps: taken_back.steps,
    };
    let book = TurnBook::resume(found.turns.len() as u64, found.rerun_count() + 1);
    let resume = Resume { book, state: folded.state, clock_from: now };
    recover::launch(core, Found { run: ours, ..found }, Some(status), resume).await?;
    Ok(rerun)
}

fn going_back(
    run: &RunRecord,
    status: RunStatus,
    taken_back: &TakenBack,
    (caller, from, now): (&Caller, &str, Timestamp),
) -> Write {
    let mut write = Write::default();
    write.run_adopt(&run.id, &run.owner, run.epoch);
    write.run_status_set(&run.id, RunStatusChange { status, error: None, result: None, ended_at: None });
    for turn in &taken_back.turns {
        write.turn_supersede(&run.id, *turn, run.epoch);
    }
    let rerun = Event::RunRerun {
        from: from.to_owned(),
        owner: run.owner.clone(),
        epoch: run.epoch,
        replayed: taken_back.kept,
        dropped: taken_back.steps,
    };
    let changed = Event::RunStatusChanged {
        from: run.status,
        to: status,
        reason: Some(format!("again from {from}")),
        error: None,
        result_hash: None,
    };
    for event in [rerun, changed] {
        write.journal(Draft { at: now, actor: caller.actor().into(), subject: (&run.id).into(), event });
    }
    write
}

fn refused(message: String, run_id: &RunId) -> EngineError {
    EngineError::RerunRefused { message, hint: format!("`adjutant steps {run_id}` lists its steps") }
}
