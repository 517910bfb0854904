//! Recovery: open runs of the store become owned again.
//!
//! What a run's machine has pending ([`super::found`]) was in flight when the last owner left, and is performed again
//! under the same key; what had settled is not. A run that this version cannot go on with, and one whose owner left it in
//! the middle, is `interrupted`: every start of a daemon tries to go on with it, and so does whoever asks.

use super::STORE_RETRY;
use super::found::Found;
use super::owner::{self, Launch, Origin};
use super::turn_book::TurnBook;
use crate::approvals;
use crate::clock;
use crate::error::EngineError;
use crate::operators;
use crate::plane::Core;
use crate::record;
use crate::spawning::RunStarter;
use crate::tasks;
use crate::workspaces;
use adjutant_model::client_run::Approval;
use adjutant_model::event::{Event, JournalRow};
use adjutant_model::policy::PolicyEffect;
use adjutant_model::run::{ErrorClass, FlowError, FlowErrorCode, RunRecord, RunStatus, TurnKind, TurnStatus};
use adjutant_model::{RunId, TaskId, Timestamp, Value};
use adjutant_rules::flow::{FlowEffect, FlowState};
use adjutant_store::{Draft, RunStatusChange, TurnSettlement, Write, WriteError};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Gives every open run an owner again; one that cannot go on is interrupted with the reason, and stops no
/// other.
pub(crate) async fn resume_open(core: &Arc<Core>) -> Result<(), EngineError> {
    let open = core.store.runs_open().await?;
    let asked = asked_by_run(approvals::pending(core).await?);
    let asked_by = |run: &RunRecord| asked.get(run.id.as_str()).map_or(&[][..], Vec::as_slice);
    let resuming = open.into_iter().map(|run| {
        let asked = asked_by(&run);
        resume(core, run, asked)
    });
    futures_util::future::join_all(resuming).await;
    Ok(())
}

/// Gives the ids of approvals by the run that asks.
fn asked_by_run(pending: Vec<Approval>) -> HashMap<String, Vec<String>> {
    let mut asked: HashMap<String, Vec<String>> = HashMap::new();
    for Approval { id, run_id, .. } in pending {
        if let Some(run_id) = run_id {
            asked.entry(run_id.to_string()).or_default().push(id);
        }
    }
    asked
}

/// Makes a run ours; `asked` are the approvals that wait for an answer in its name.
async fn resume(core: &Arc<Core>, run: RunRecord, asked: &[String]) {
    let run_id = run.id.clone();
    let adopted = RunRecord { owner: core.owner.clone(), epoch: run.epoch + 1, ..run };
    while let Err(error) = try_resume(core, adopted.clone(), asked).await {
        if !matches!(error, EngineError::Write(_)) || error.class() != ErrorClass::Retry {
            tracing::error!(run = %run_id, %error, "the run cannot be resumed");
            return give_up(core, &adopted, &error).await;
        }
        // A run without an owner would stand still until the next start.
        tracing::warn!(run = %run_id, %error, "the store refuses the run's new owner; it is offered again");
        pause(core).await;
        if core.stopping.is_cancelled() {
            return;
        }
    }
}

async fn try_resume(core: &Arc<Core>, run: RunRecord, asked: &[String]) -> Result<Resumed, EngineError> {
    let found = Found::read(core, run).await?;
    workspaces::sweep_leftovers(&found.run.id).await;
    let state = found.fold(None)?.state;
    let resumed = Resumed { task_id: found.run.task_id.clone(), replayed_steps: found.settled() };
    let now = clock::now();
    let (book, mut write) = adoption(&found, &state, now);
    let status = resumed_status(&found, &book);
    if let Some(status) = status {
        let change = RunStatusChange { status, error: None, result: None, ended_at: None };
        write.run_status_set(&found.run.id, change);
        let event = Event::RunStatusChanged {
            from: found.run.status,
            to: status,
            reason: Some("it goes on".to_owned()),
            error: None,
            result_hash: None,
        };
        write.journal(draft(&found.run, now, event));
    }
    core.store.write(write).await?;
    // An agent's own question died with the agent; one of a branch that lost, or of a run that was cancelled, may have
    // been left by a crash.
    let wanted: HashSet<String> =
        book.asked().map(|(path, attempt)| book.approval_id(&found.run.id, path, attempt)).collect();
    for id in asked.iter().filter(|id| !wanted.contains(*id)) {
        approvals::withdraw(core, id, "the daemon's start").await;
    }
    let clock_from = if status.is_some() { now } else { found.clock_from() };
    launch(core, found, status, Resume { book, state, clock_from }).await?;
    Ok(resumed)
}

/// What the next owner of a run goes on with.
pub(super) struct Resume {
    pub(super) book: TurnBook,
    pub(super) state: FlowState,
    pub(super) clock_from: Timestamp,
}

/// Starts the next owner of a run, whose record says by now that it is ours; `status` is where it stands when that is
/// news.
pub(super) async fn launch(
    core: &Arc<Core>,
    found: Found,
    status: Option<RunStatus>,
    resume: Resume,
) -> Result<(), EngineError> {
    let Found { run, linked, policies, given, rows, .. } = found;
    let starter = RunStarter::of_journal(&rows);
    let workspace = match run.workspace {
        Some(_) => None,
        None => tasks::workspace_plan(&linked, &given.request)?,
    };
    let operators = operators::resume(core, &linked, &run.id, &given.request).await?;
    let Resume { book, state, clock_from } = resume;
    let run =
        RunRecord { error: None, result: None, ended_at: None, status: status.unwrap_or(run.status), ..run };
    let origin = Origin::Resumed { turns: book, workspace, clock_from };
    owner::start(core, Launch { run, linked, state, policies, starter, operators, origin });
    Ok(())
}

/// Gives where an interrupted run stands when it goes on.
fn resumed_status(found: &Found, book: &TurnBook) -> Option<RunStatus> {
    (found.run.status == RunStatus::Interrupted).then(|| match (found.has_begun(), book.in_flight()) {
        (false, _) => RunStatus::Pending,
        (true, 0) => RunStatus::Waiting,
        (true, _) => RunStatus::Running,
    })
}

/// Gives the open turns, and the write that makes the run ours.
fn adoption(found: &Found, state: &FlowState, now: Timestamp) -> (TurnBook, Write) {
    let run = &found.run;
    let mut book = TurnBook::resume(found.turns.len() as u64, found.rerun_count());
    let mut write = Write::default();
    for turn in found.counting().filter(|turn| turn.status == TurnStatus::Started) {
        match turn.kind {
            TurnKind::Step => book.reopen_step(turn.path.clone(), turn.attempt, turn.index),
            // Its agent died with the daemon and starts afresh, and asks again.
            TurnKind::Tool => drop(write.turn_settle(&run.id, turn.index, cancelled_turn(now))),
        }
    }
    let asked_by_rules = asked_by_rules(&found.rows);
    for effect in state.pending() {
        match effect {
            FlowEffect::Dispatch { path, attempt, .. } => {
                let turn = book.step(&path, attempt);
                if let Some(rule) = turn.and_then(|turn| asked_by_rules.get(&turn)) {
                    book.ask(path, attempt, rule.clone());
                }
            }
            // A question that has no turn is asked when the machine goes on.
            FlowEffect::Ask { path, attempt, .. } => {
                if book.step(&path, attempt).is_some() {
                    book.ask(path, attempt, None);
                }
            }
            FlowEffect::SetTimer { .. } | FlowEffect::Yield => {}
            FlowEffect::Abort { .. } | FlowEffect::Finish(_) => unreachable!("neither is ever pending"),
        }
    }
    let in_flight = book.in_flight() as u64;
    write.run_adopt(&run.id, &run.owner, run.epoch);
    let event = Event::RunAdopted { owner: run.owner.clone(), epoch: run.epoch, in_flight };
    write.journal(draft(run, now, event));
    (book, write)
}

/// Gives the turns that the gate asked about and has not said its last word on, with the rule that asks.
fn asked_by_rules(rows: &[JournalRow]) -> HashMap<u64, Option<String>> {
    let mut asked = HashMap::new();
    for row in rows {
        let Event::ToolJudged { turn, judgement, .. } = &row.event else { continue };
        match judgement.effect {
            PolicyEffect::Ask => drop(asked.insert(*turn, judgement.rule.clone())),
            PolicyEffect::Allow | PolicyEffect::Deny => drop(asked.remove(turn)),
        }
    }
    asked
}

/// Lets a run that cannot go on now be shown as interrupted, with the reason.
async fn give_up(core: &Core, run: &RunRecord, error: &EngineError) {
    // What may succeed later is left for the next start; one that was interrupted stays so, for its own reason.
    if error.class() == ErrorClass::Retry || run.status == RunStatus::Interrupted {
        return;
    }
    interrupt(core, run, &format!("the run could not be resumed: {error}")).await;
}

/// Looks after a run whose owner has left: one that is neither over nor parked is interrupted.
pub(super) async fn left(core: &Core, run_id: &RunId, (owner, epoch): (&str, u64), why: &str) {
    loop {
        if core.stopping.is_cancelled() {
            return;
        }
        match core.store.run_get(run_id).await {
            Ok(Some(run)) if run.owner == owner && run.epoch == epoch && !run.status.is_terminal() => {
                let taken = RunRecord { epoch: epoch + 1, ..run };
                return interrupt(core, &taken, why).await;
            }
            Ok(_) => return,
            Err(error) => tracing::warn!(run = %run_id, %error, "the run that its owner left cannot be read"),
        }
        pause(core).await;
    }
}

/// Writes that a run is interrupted; `run` is ours already, by its owner and epoch.
async fn interrupt(core: &Core, run: &RunRecord, why: &str) {
    let now = clock::now();
    let error = FlowError {
        code: FlowErrorCode::Interrupted,
        message: record::text(why),
        step: None,
        reference: None,
        value: None::<Value>,
    };
    let mut write = Write::default();
    write.run_adopt(&run.id, &run.owner, run.epoch);
    let change =
        RunStatusChange { status: RunStatus::Interrupted, error: Some(&error), result: None, ended_at: None };
    write.run_status_set(&run.id, change);
    let event = Event::RunStatusChanged {
        from: run.status,
        to: RunStatus::Interrupted,
        reason: None,
        error: Some(error),
        result_hash: None,
    };
    write.journal(draft(run, now, event));
    let write = Arc::new(write);
    while let Err(error) = core.store.write(write.clone()).await {
        tracing::error!(run = %run.id, %error, "that the run is interrupted could not be kept");
        if error.class() != ErrorClass::Retry || core.stopping.is_cancelled() {
            return;
        }
        pause(core).await;
    }
}

async fn pause(core: &Core) {
    tokio::select! {
        () = core.stopping.cancelled() => {}
        () = tokio::time::sleep(STORE_RETRY) => {}
    }
}

/// What a run that goes on has already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resumed {
    /// Its task.
    pub task_id: TaskId,
    /// How many steps have settled and are not performed again.
    pub replayed_steps: u64,
}

/// Goes on with a run that is interrupted, or that its owner left otherwise.
///
/// # Errors
/// [`EngineError::Conflict`] for any other run, and whatever keeps it from going on; it stays interrupted then.
pub(crate) async fn resume_interrupted(core: &Arc<Core>, run_id: &RunId) -> Result<Resumed, EngineError> {
    let run = core.store.run_get(run_id).await?.ok_or_else(|| EngineError::not_found("run", run_id))?;
    if run.status.is_terminal() || core.runs.get(run_id).is_some() {
        return Err(EngineError::Conflict {
            message: format!("{run_id} is {}, not interrupted", run.status),
            hint: None,
        });
    }
    if core.stopping.is_cancelled() {
        return Err(EngineError::Stopping);
    }
    let asked = asked_by_run(approvals::pending(core).await?).remove(run_id.as_str()).unwrap_or_default();
    let adopted = RunRecord { owner: core.owner.clone(), epoch: run.epoch + 1, ..run };
    try_resume(core, adopted, &asked).await.map_err(|error| taken_over(run_id, error))
}

/// Cancels a run that has no owner, because it is interrupted.
pub(crate) async fn cancel_interrupted(
    core: &Core,
    run: RunRecord,
    reason: String,
) -> Result<(), EngineError> {
    let now = clock::now();
    let run = RunRecord { owner: core.owner.clone(), epoch: run.epoch + 1, ..run };
    let mut write = Write::default();
    write.run_adopt(&run.id, &run.owner, run.epoch);
    let open = core.store.turns_of(&run.id, None, usize::MAX).await?;
    for turn in open.iter().filter(|turn| turn.status == TurnStatus::Started) {
        write.turn_settle(&run.id, turn.index, cancelled_turn(now));
    }
    let status = RunStatus::Cancelled;
    write.run_status_set(&run.id, RunStatusChange { status, error: None, result: None, ended_at: Some(now) });
    write.run_tokens_revoke(&run.id, now);
    let event = Event::RunStatusChanged {
        from: run.status,
        to: status,
        reason: Some(reason),
        error: None,
        result_hash: None,
    };
    write.journal(draft(&run, now, event));
    core.store.write(write).await.map_err(|error| taken_over(&run.id, error.into()))?;
    for approval in approvals::pending(core).await? {
        if approval.run_id.as_deref() == Some(run.id.as_str()) {
            approvals::withdraw(core, &approval.id, "the end of its run").await;
        }
    }
    Ok(())
}

/// Says of a write that came too late that somebody else was quicker.
pub(super) fn taken_over(run_id: &RunId, error: EngineError) -> EngineError {
    match error {
        EngineError::Write(WriteError::RowsUnexpected { .. } | WriteError::Fenced { .. }) => {
            EngineError::Conflict {
                message: format!("{run_id} was taken up by somebody else just now"),
                hint: None,
            }
        }
        EngineError::Write(WriteError::UnknownRun { .. }) => EngineError::not_found("run", run_id),
        error => error,
    }
}

fn cancelled_turn(now: Timestamp) -> TurnSettlement<'static> {
    TurnSettlement { status: TurnStatus::Cancelled, output: None, error: None, rule: None, ended_at: now }
}

fn draft(run: &RunRecord, at: Timestamp, event: Event) -> Draft {
    Draft { at, actor: "plane".into(), subject: (&run.id).into(), event }
}
