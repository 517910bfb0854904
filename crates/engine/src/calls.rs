//! Calls that take long: a client that does not wait asks later how one stands, by its id.
//!
//! A call of a run is written with the run and has no end of its own: it stands where the run does. One that runs the
//! checks of a goal has: a row that only the first to come writes. Checks end with their daemon and leave nothing behind,
//! so what one daemon has left open is called lost by the next one. Only who has made a call knows of it.

use crate::approvals::Face;
use crate::checks::CheckedBy;
use crate::clock;
use crate::error::EngineError;
use crate::goals;
use crate::identity;
use crate::plane::{Core, Plane};
use crate::runs::STORE_RETRY;
use crate::tasks::{self, TaskParams, TaskStarted};
use adjutant_model::action::{Caller, Role};
use adjutant_model::call::{Call, CallEnd, CallOutcome, CallWork};
use adjutant_model::event::Event;
use adjutant_model::goal::Goal;
use adjutant_model::run::{RunRecord, RunStatus};
use adjutant_model::{CallId, GoalId, RunId, Timestamp, Value};
use adjutant_store::{Draft, Write, WriteError};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio_util::sync::CancellationToken;

/// A call is known for so long from when it was made, in milliseconds, and as long as it is under way.
pub const KEPT_MS: u64 = 7 * 24 * 3600 * 1000;
/// So many calls that run checks are under way at once.
const CHECKS_MAX: usize = 64;

/// The calls of this daemon that run checks.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    under_way: Mutex<HashMap<CallId, CancellationToken>>,
}

impl Calls {
    fn lock(&self) -> MutexGuard<'_, HashMap<CallId, CancellationToken>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct CallInfo {
    /// The call.
    pub call: Call,
    /// Where it stands.
    pub stands: CallStands,
    /// When it ended, or else was made.
    pub changed_at: Timestamp,
}

/// Where a call stands.
#[derive(Debug, Clone, PartialEq)]
pub enum CallStands {
    /// It is under way; in words.
    Working(String),
    /// Its run is over, or was interrupted.
    RunOver {
        /// What was begun.
        started: Box<TaskStarted>,
        /// The run.
        run: Box<RunRecord>,
    },
    /// It ended with an answer, as the door gave it that took the call.
    Answered(Value),
    /// Whoever made it wanted it no more, or its run was cancelled.
    Cancelled,
    /// Its daemon ended before it did.
    Lost,
}

impl Plane {
    /// Accepts a task of a model, as [`Plane::task_spawn`] does, and gives a call that stands for it.
    ///
    /// # Errors
    /// As [`Plane::task_spawn`].
    pub async fn task_call(&self, caller: &Caller, params: TaskParams) -> Result<Call, EngineError> {
        let mut made = None;
        let with = |run: &RunRecord| {
            let call = call(caller, CallWork::Run { run_id: run.id.clone() });
            let mut write = Write::default();
            write.call_create(&call);
            made = Some(call);
            Ok(write)
        };
        tasks::start_with(&self.core, (caller, Face::Model), params, with).await?;
        Ok(made.expect("a task that was accepted has a run"))
    }

    /// Begins to run the checks of a goal, as [`Plane::goal_check`] does; what `answer` makes of the end is kept.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::Crowded`] when too many are under way.
    pub async fn goal_check_call(
        &self,
        caller: &Caller,
        goal_id: &GoalId,
        answer: impl FnOnce(Result<Goal, EngineError>) -> Value + Send + 'static,
    ) -> Result<Call, EngineError> {
        let core = &self.core;
        if core.stopping.is_cancelled() {
            return Err(EngineError::Stopping);
        }
        core.goals.get(goal_id).await?;
        let call = call(caller, CallWork::Checks { goal_id: goal_id.clone() });
        let wanted_no_more = under_way(core, &call.id)?;
        let event = Event::CallBegun { call_id: call.id.clone() };
        let mut write = Write::default();
        write.call_create(&call).journal(draft(caller.actor(), goal_id, event));
        if let Err(error) = core.store.write(write).await {
            core.calls.lock().remove(&call.id);
            return Err(error.into());
        }
        let checking = Checking { core: core.clone(), caller: caller.clone(), call: call.clone() };
        core.tasks.spawn(checking.live(goal_id.clone(), wanted_no_more, answer));
        Ok(call)
    }

    /// Gives a call of the caller, and where it stands.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], also for a call of somebody else.
    pub async fn call_get(&self, caller: &Caller, id: &CallId) -> Result<CallInfo, EngineError> {
        let call = own(&self.core, caller, id).await?;
        let (stands, ended_at) = match (&call.end, &call.work) {
            (Some(end), _) => (stands_of_end(&end.outcome), Some(end.at)),
            (None, CallWork::Checks { .. }) => (CallStands::Working("the checks run".to_owned()), None),
            (None, CallWork::Run { run_id }) => stands_of_run(self, id, run_id).await?,
        };
        Ok(CallInfo { changed_at: ended_at.unwrap_or(call.created_at), call, stands })
    }

    /// Ends a call of the caller, with all that it has begun; one that is over stays as it is.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], also for a call of somebody else.
    pub async fn call_cancel(&self, caller: &Caller, id: &CallId) -> Result<(), EngineError> {
        match own(&self.core, caller, id).await?.work {
            CallWork::Run { run_id } => {
                match self.run_cancel(caller, &run_id, "its call was cancelled").await {
                    // It is over.
                    Ok(_) | Err(EngineError::Conflict { .. } | EngineError::NotFound { .. }) => Ok(()),
                    Err(error) => Err(error),
                }
            }
            CallWork::Checks { .. } => {
                if let Some(wanted_no_more) = self.core.calls.lock().get(id) {
                    wanted_no_more.cancel();
                }
                Ok(())
            }
        }
    }
}

/// Calls lost what an earlier daemon has left open.
pub(crate) async fn lose_open(core: &Core) -> Result<(), EngineError> {
    for call in core.store.calls_open().await? {
        end(core, call, CallOutcome::Lost).await?;
    }
    Ok(())
}

/// Forgets calls that were known long enough; gives how many.
pub(crate) async fn forget_old(core: Arc<Core>) -> Result<u64, EngineError> {
    let before = Timestamp::from_unix_ms(clock::now().unix_ms().saturating_sub_unsigned(KEPT_MS));
    let count = core.store.calls_over(before).await?;
    if count > 0 {
        let mut write = Write::default();
        write.calls_forget(before);
        core.store.write(write).await?;
    }
    Ok(count)
}

/// A call that runs checks.
struct Checking {
    core: Arc<Core>,
    caller: Caller,
    call: Call,
}

impl Checking {
    async fn live(
        self,
        goal_id: GoalId,
        wanted_no_more: CancellationToken,
        answer: impl FnOnce(Result<Goal, EngineError>) -> Value,
    ) {
        let Checking { core, caller, call } = self;
        let by = CheckedBy::caller(&caller);
        let outcome = tokio::select! {
            // The checks hear of it as well, and what they say then is no answer.
            biased;
            () = core.stopping.cancelled() => return,
            () = wanted_no_more.cancelled() => CallOutcome::Cancelled,
            () = identity::ended(&core, &caller) => CallOutcome::Cancelled,
            checked = goals::check(&core, &by, &goal_id) => CallOutcome::Answered { answer: answer(checked) },
        };
        while let Err(error) = end(&core, call.clone(), outcome.clone()).await {
            tracing::warn!(call = %call.id, %error, "the end of a call cannot be written, and is tried again");
            tokio::select! {
                () = core.stopping.cancelled() => break,
                () = tokio::time::sleep(STORE_RETRY) => {}
            }
        }
        core.calls.lock().remove(&call.id);
    }
}

fn call(caller: &Caller, work: CallWork) -> Call {
    let id = CallId::new(clock::fresh_id());
    Call { id, asker: asker(caller), work, created_at: clock::now(), end: None }
}

/// Names who makes a call: an agent has another token after each of its starts, and the owner may have several.
fn asker(caller: &Caller) -> String {
    match (caller.of_session, caller.role, &caller.name) {
        (Some(session), _, _) => session.to_string(),
        (None, Role::Host, None) => "owner".to_owned(),
        (None, _, _) => caller.token_id.to_string(),
    }
}

async fn own(core: &Core, caller: &Caller, id: &CallId) -> Result<Call, EngineError> {
    let call = core.store.call_get(id).await?.filter(|call| call.asker == asker(caller));
    call.ok_or_else(|| EngineError::not_found("call", id))
}

/// Enters a call, and gives what ends it.
fn under_way(core: &Core, id: &CallId) -> Result<CancellationToken, EngineError> {
    let mut calls = core.calls.lock();
    if calls.len() >= CHECKS_MAX {
        return Err(EngineError::Crowded(format!("{CHECKS_MAX} calls that run checks are under way")));
    }
    Ok(calls.entry(id.clone()).or_default().clone())
}

fn stands_of_end(outcome: &CallOutcome) -> CallStands {
    match outcome {
        CallOutcome::Answered { answer } => CallStands::Answered(answer.clone()),
        CallOutcome::Cancelled => CallStands::Cancelled,
        CallOutcome::Lost => CallStands::Lost,
    }
}

async fn stands_of_run(
    plane: &Plane,
    id: &CallId,
    run_id: &RunId,
) -> Result<(CallStands, Option<Timestamp>), EngineError> {
    let run = match plane.run_get(run_id).await {
        Err(EngineError::NotFound { .. }) => return Err(EngineError::not_found("call", id)),
        run => run?,
    };
    let ended_at = run.ended_at;
    let stands = match run.status {
        RunStatus::Cancelled => CallStands::Cancelled,
        status if status.is_terminal() || status == RunStatus::Interrupted => {
            let started = Box::new(tasks::started_of(&plane.core, &run).await?);
            CallStands::RunOver { started, run: Box::new(run) }
        }
        status => CallStands::Working(format!("{run_id} is {status}")),
    };
    Ok((stands, ended_at))
}

/// Keeps the end of a call that runs checks; one that has an end keeps that.
async fn end(core: &Core, call: Call, outcome: CallOutcome) -> Result<(), EngineError> {
    let CallWork::Checks { goal_id } = call.work.clone() else { return Ok(()) };
    let event = Event::CallEnded { call_id: call.id.clone(), outcome: outcome.as_str().to_owned() };
    let ended = Call { end: Some(CallEnd { at: clock::now(), outcome }), ..call };
    let mut write = Write::default();
    write.call_end(&ended).journal(draft("plane".to_owned(), &goal_id, event));
    match core.store.write(write).await {
        Ok(_) | Err(WriteError::RowsUnexpected { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn draft(actor: String, goal_id: &GoalId, event: Event) -> Draft {
    Draft { at: clock::now(), actor: actor.into(), subject: goal_id.as_str().into(), event }
}
