//! Handing a run over: who holds its seats, what waits for them, and what a new holder has to know.

use super::desk::Operators;
use super::directory;
use super::run::AcquireQuestion;
use super::worker::{WorkerCall, WorkerPrompt};
use crate::error::EngineError;
use crate::plane::Core;
use crate::runs::RunCommand;
use adjutant_model::action::{Caller, Role};
use adjutant_model::operator::{RequestKey, Seats};
use adjutant_model::{OperatorId, RunId, StepId};
use adjutant_rules::operator::Acquired;
use tokio::sync::oneshot;

/// A seat is taken over for a reason that is at most so long.
const DESC_BYTES_MAX: usize = 1024;

/// Who holds the seats of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignees {
    /// The run.
    pub run_id: RunId,
    /// The highest generation of its seats.
    pub generation: u64,
    /// The seats.
    pub seats: Vec<SeatInfo>,
}

/// A seat, as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeatInfo {
    /// Its name.
    pub slot: String,
    /// Who holds it; nobody when it is vacant.
    pub holder: Option<OperatorId>,
    /// Whether the holder's socket is open.
    pub connected: bool,
    /// Why they hold it.
    pub desc: String,
    /// Its generation.
    pub generation: u64,
    /// Whether the blueprint declares it; the others are those of its layers.
    pub declared: bool,
}

/// What a new holder has to know.
#[derive(Debug, Clone, PartialEq)]
pub struct Handover {
    /// Who holds the seats.
    pub assignees: Assignees,
    /// The place of the journal's last row.
    pub latest_seq: i64,
    /// What waits for a reply.
    pub unanswered: Vec<Unanswered>,
}

/// A request that waits for a reply.
#[derive(Debug, Clone, PartialEq)]
pub struct Unanswered {
    /// The request.
    pub key: RequestKey,
    /// Whom it waits for.
    pub op: OperatorId,
    /// Whether a worker has delivered the result, and whether that went well.
    pub given: Option<bool>,
}

/// What the worker of a step is told, for whoever takes it over.
#[derive(Debug, Clone, PartialEq)]
pub struct Material {
    /// What the worker is told.
    pub prompt: WorkerPrompt,
    /// Whether a worker has delivered the result, and whether that went well.
    pub given: Option<bool>,
}

/// Lets an operator take a seat over; one may only take it itself, and the owner may seat anybody.
pub(crate) async fn acquire(
    core: &Core,
    caller: &Caller,
    run_id: &RunId,
    (op, desc, slot): (&str, &str, Option<String>),
) -> Result<Acquired, EngineError> {
    if desc.trim().is_empty() || desc.len() > DESC_BYTES_MAX {
        return Err(EngineError::invalid(format!("`desc` says why, in 1 to {DESC_BYTES_MAX} bytes")));
    }
    let op = directory::find(core, "op", op)?;
    let is_own = directory::get(core, caller, op.as_str()).is_ok();
    match caller.role {
        Role::Host => {}
        Role::Operator if is_own => {}
        Role::Operator => {
            let message = "an operator takes a seat for itself and for nobody else".to_owned();
            return Err(EngineError::Forbidden(message));
        }
        Role::Worker | Role::Observer | Role::Senior => {
            let message = format!("the role {} takes no seats", caller.role.as_str());
            return Err(EngineError::Forbidden(message));
        }
    }
    let run = core.store.run_get(run_id).await?.ok_or_else(|| EngineError::not_found("run", run_id))?;
    let over = |status: &dyn std::fmt::Display| EngineError::Conflict {
        message: format!("{run_id} is {status} already"),
        hint: None,
    };
    if run.status.is_terminal() {
        return Err(over(&run.status));
    }
    let handle = core.runs.get(run_id).ok_or(EngineError::Stopping)?;
    let (reply, answer) = oneshot::channel();
    let question = AcquireQuestion { slot, op, desc: crate::record::text(desc), reply };
    let command = RunCommand::Acquire { question, by: caller.actor() };
    handle.commands.send(command).await.map_err(|_| over(&"over"))?;
    answer.await.map_err(|_| over(&"over"))?
}

/// Gives who holds the seats of a run.
pub(crate) async fn assignees(core: &Core, run_id: &RunId) -> Result<Assignees, EngineError> {
    core.store.run_get(run_id).await?.ok_or_else(|| EngineError::not_found("run", run_id))?;
    let seats = core.store.seats_of(run_id).await?;
    Ok(Assignees {
        run_id: run_id.clone(),
        generation: seats.generation(),
        seats: seats_told(&core.operators, &seats),
    })
}

fn seats_told(operators: &Operators, seats: &Seats) -> Vec<SeatInfo> {
    let told = |(slot, seat): (&String, &adjutant_model::operator::Seat)| {
        let there = seat.op.as_ref().and_then(|op| operators.presence_of(op));
        SeatInfo {
            slot: slot.clone(),
            holder: seat.op.clone().filter(|_| there.is_some()),
            connected: there.is_some_and(|there| there.connected),
            desc: seat.desc.clone(),
            generation: seat.generation,
            declared: !slot.starts_with('$'),
        }
    };
    seats.by_slot.iter().map(told).collect()
}

/// Gives what a new holder of a run's seats has to know.
pub(crate) async fn handover(core: &Core, run_id: &RunId) -> Result<Handover, EngineError> {
    let assignees = assignees(core, run_id).await?;
    let mut unanswered = Vec::new();
    for (key, op) in core.operators.open_requests() {
        if key.step.names().0 == *run_id {
            let given = match looked_at(core, &key.step).await {
                Ok((_, given)) => given,
                Err(_) => None,
            };
            unanswered.push(Unanswered { key, op, given });
        }
    }
    Ok(Handover { assignees, latest_seq: *core.store.committed().borrow(), unanswered })
}

/// Gives what the worker of an open step is told.
pub(crate) async fn material(core: &Core, run_id: &RunId, step: &StepId) -> Result<Material, EngineError> {
    if step.names().0 != *run_id {
        return Err(EngineError::not_found("step", step));
    }
    let (prompt, given) = looked_at(core, step).await?;
    Ok(Material { prompt, given })
}

async fn looked_at(core: &Core, step: &StepId) -> Result<(WorkerPrompt, Option<bool>), EngineError> {
    let gone = || EngineError::not_found("open step of an operator", step);
    let calls = core.operators.step(step).ok_or_else(gone)?;
    let (reply, answer) = oneshot::channel();
    calls.send(WorkerCall::Prompt { token_id: None, reply }).await.map_err(|_| gone())?;
    answer.await.map_err(|_| gone())?
}
