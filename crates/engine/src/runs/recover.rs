//! Recovery: open runs of the store become owned again.
//!
//! A run's machine is the fold of its journal: every row's events, with the row's instant as `now` and each settled
//! step's outcome from its turn. What the machine then has pending was in flight when the last owner left, and is
//! performed again under the same key; what had settled is not.

use super::STORE_RETRY;
use super::owner::{self, Launch, Origin};
use super::turn_book::TurnBook;
use crate::approvals;
use crate::clock;
use crate::dispatch;
use crate::error::EngineError;
use crate::operators;
use crate::plane::Core;
use crate::policies::RunPolicies;
use crate::tasks;
use crate::workspaces;
use adjutant_model::client_run::Approval;
use adjutant_model::event::{Event, FlowInput, JournalRow};
use adjutant_model::policy::PolicyEffect;
use adjutant_model::run::{
    ErrorClass, FlowError, FlowErrorCode, RunRecord, RunStatus, StepOutcome, TurnKind, TurnRecord, TurnStatus,
};
use adjutant_model::{Timestamp, Value};
use adjutant_rules::flow::{FlowEffect, FlowEvent, FlowState};
use adjutant_store::{Draft, Json, RunStatusChange, TurnSettlement, Write};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// How many rows are read at once.
const PAGE: usize = 1000;

/// The turns that a run was found with.
pub(crate) struct FoundTurns {
    pub(super) book: TurnBook,
}

/// Gives every open run an owner again; one that cannot be read is failed with the reason, and stops no other.
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
            return give_up(core, &adopted, &error, asked).await;
        }
        // A run without an owner would stand still until the next start.
        tracing::warn!(run = %run_id, %error, "the store refuses the run's new owner; it is offered again");
        tokio::select! {
            () = core.stopping.cancelled() => return,
            () = tokio::time::sleep(STORE_RETRY) => {}
        }
    }
}

async fn try_resume(core: &Arc<Core>, run: RunRecord, asked: &[String]) -> Result<(), EngineError> {
    let ready = tasks::blueprint_of(core, &run.blueprint_hash).await?;
    let blueprint = ready.blueprint.clone();
    let task = core
        .store
        .task_get(&run.task_id)
        .await?
        .ok_or_else(|| EngineError::not_found("task", &run.task_id))?;
    let turns = read_turns(core, &run).await?;
    let rows = read_rows(core, &run).await?;
    let policies = RunPolicies::of_journal(core, &rows)?;
    workspaces::sweep_leftovers(&run.id).await;

    let ctx = tasks::first_context(&blueprint, &task.input);
    let state = fold(FlowState::new(ready.program.clone(), ctx), &rows, &turns)?;
    let (book, write) = adoption(&run, &state, &turns, &rows);
    core.store.write(write).await?;
    // An agent's own question died with the agent; one of a branch that lost, or of a run that was cancelled, may have
    // been left by a crash.
    let wanted: HashSet<String> = book
        .asked()
        .map(|(path, attempt)| approvals::id_of(dispatch::marker(&run.id, path, attempt)))
        .collect();
    for id in asked.iter().filter(|id| !wanted.contains(*id)) {
        approvals::withdraw(core, id, "the daemon's start").await;
    }
    let workspace = match run.workspace {
        Some(_) => None,
        None => tasks::workspace_plan(&blueprint, &task.request)?,
    };
    let operators = operators::resume(core, &blueprint, &run.id, &task.request).await?;
    let origin = Origin::Resumed { turns: FoundTurns { book }, workspace };
    owner::start(core, Launch { run, blueprint, state, policies, operators, origin });
    Ok(())
}

async fn read_turns(core: &Core, run: &RunRecord) -> Result<HashMap<u64, TurnRecord>, EngineError> {
    let mut turns = HashMap::new();
    let mut after = None;
    loop {
        let page = core.store.turns_of(&run.id, after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(turns) };
        after = Some(last.index);
        turns.extend(page.into_iter().map(|turn| (turn.index, turn)));
    }
}

async fn read_rows(core: &Core, run: &RunRecord) -> Result<Vec<JournalRow>, EngineError> {
    let mut rows: Vec<JournalRow> = Vec::new();
    loop {
        let after = rows.last().map_or(0, |row| row.seq);
        let page = core.store.journal_of(run.id.as_str(), after, PAGE).await?;
        if page.is_empty() {
            return Ok(rows);
        }
        rows.extend(page);
    }
}

/// Folds what the journal says the machine took.
fn fold(
    mut state: FlowState,
    rows: &[JournalRow],
    turns: &HashMap<u64, TurnRecord>,
) -> Result<FlowState, EngineError> {
    for row in rows {
        let Event::RunAdvanced { inputs, .. } = &row.event else { continue };
        for input in inputs {
            // What follows was performed then; what is still wanted is asked for when all is folded.
            drop(state.take(flow_event(input, turns)?, row.at));
        }
    }
    Ok(state)
}

fn flow_event(input: &FlowInput, turns: &HashMap<u64, TurnRecord>) -> Result<FlowEvent, EngineError> {
    Ok(match input {
        FlowInput::Begun => FlowEvent::Begun,
        FlowInput::Settled { turn, path, attempt, output_hash, .. } => {
            let record = turns.get(turn).ok_or_else(|| EngineError::not_found("turn", turn))?;
            let outcome = outcome(record, output_hash.as_deref())?;
            FlowEvent::Settled { path: path.clone(), attempt: *attempt, outcome }
        }
        FlowInput::TimerFired { path, attempt } => {
            FlowEvent::TimerFired { path: path.clone(), attempt: *attempt }
        }
        FlowInput::Resumed => FlowEvent::Resumed,
        FlowInput::CancelRequested { reason } => FlowEvent::CancelRequested { reason: reason.clone() },
        FlowInput::TtlExpired => FlowEvent::TtlExpired,
    })
}

/// Gives how a settled turn ended, and refuses one whose output is not the one that the journal names.
fn outcome(turn: &TurnRecord, output_hash: Option<&str>) -> Result<StepOutcome, EngineError> {
    let damaged = |what: &str| EngineError::Conflict {
        message: format!("turn {} is damaged: {what}", turn.index),
        hint: Some("`adjutant journal verify` looks at the whole journal".to_owned()),
    };
    match (turn.status, &turn.output, &turn.error) {
        (TurnStatus::Succeeded, Some(output), _) if output_hash == Some(&Json::of(output).sha256()) => {
            Ok(StepOutcome::Done(output.clone()))
        }
        (TurnStatus::Skipped, Some(output), _) if output_hash == Some(&Json::of(output).sha256()) => {
            Ok(StepOutcome::Skipped(output.clone()))
        }
        (TurnStatus::Succeeded | TurnStatus::Skipped, ..) => {
            Err(damaged("its output is not the one that was journalled"))
        }
        (TurnStatus::Failed | TurnStatus::Rejected, _, Some(error)) => Ok(StepOutcome::Failed(error.clone())),
        (TurnStatus::Failed | TurnStatus::Rejected | TurnStatus::Started | TurnStatus::Cancelled, ..) => {
            Err(damaged("the journal says that it settled"))
        }
    }
}

/// Gives the open turns, and the write that makes the run ours.
fn adoption(
    run: &RunRecord,
    state: &FlowState,
    turns: &HashMap<u64, TurnRecord>,
    rows: &[JournalRow],
) -> (TurnBook, Write) {
    let now = clock::now();
    let mut book = TurnBook::resume(turns.len() as u64);
    let mut write = Write::default();
    for turn in turns.values().filter(|turn| turn.status == TurnStatus::Started) {
        match turn.kind {
            TurnKind::Step => book.reopen_step(turn.path.clone(), turn.attempt, turn.index),
            // Its agent died with the daemon and starts afresh, and asks again.
            TurnKind::Tool => {
                let settlement = TurnSettlement {
                    status: TurnStatus::Cancelled,
                    output: None,
                    error: None,
                    rule: None,
                    ended_at: now,
                };
                write.turn_settle(&run.id, turn.index, settlement);
            }
        }
    }
    let asked_by_rules = asked_by_rules(rows);
    for effect in state.pending() {
        match effect {
            FlowEffect::Dispatch { path, attempt, .. } => {
                let turn = book.step(&path, attempt);
                if let Some(rule) = turn.and_then(|turn| asked_by_rules.get(&turn)) {
                    book.ask(path, attempt, rule.clone());
                }
            }
            FlowEffect::Ask { path, attempt, .. } => book.ask(path, attempt, None),
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

async fn give_up(core: &Core, run: &RunRecord, error: &EngineError, asked: &[String]) {
    // What may succeed later is left for the next start.
    if error.class() == ErrorClass::Retry {
        return;
    }
    let now = clock::now();
    let error = FlowError {
        code: FlowErrorCode::StepFailed,
        message: format!("the run could not be resumed: {error}"),
        step: None,
        reference: None,
        value: None::<Value>,
    };
    let mut write = Write::default();
    write.run_adopt(&run.id, &run.owner, run.epoch);
    let change =
        RunStatusChange { status: RunStatus::Failed, error: Some(&error), result: None, ended_at: Some(now) };
    write.run_status_set(&run.id, change);
    let event = Event::RunStatusChanged {
        from: run.status,
        to: RunStatus::Failed,
        reason: None,
        error: Some(error),
        result_hash: None,
    };
    write.journal(draft(run, now, event));
    if let Err(error) = core.store.write(write).await {
        return tracing::error!(run = %run.id, %error, "the run's end could not be kept");
    }
    for id in asked {
        approvals::withdraw(core, id, "the end of its run").await;
    }
}

fn draft(run: &RunRecord, at: Timestamp, event: Event) -> Draft {
    Draft { at, actor: "plane".into(), subject: (&run.id).into(), event }
}
