//! Performing a step: a worker at work, its limits, and the answer that goes to the run's owner.

use crate::faults::{self, EffectKey};
use crate::hosting;
use crate::identity;
use crate::operators::{self, RunOperators};
use crate::places::{self, Asked, Place};
use crate::plane::Core;
use crate::record;
use crate::runs::{RunCommand, STORE_RETRY, panicked};
use crate::templates;
use crate::worker::{self, GateAccess, Performed, Progress, WorkerContext};
use adjutant_model::action::StepBinding;
use adjutant_model::blueprint::{Agent, AgentSpec, Blueprint};
use adjutant_model::run::{ErrorClass, StepFailure, StepOutcome, StepPath, WorkspaceRecord};
use adjutant_model::{RunId, TaskId, Timestamp, Value};
use adjutant_rules::delivery;
use adjutant_rules::flow::UnitId;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// How many lines of progress may wait; more are dropped, because nobody waits for them.
const PROGRESS_MAX: usize = 256;

/// A step that is being performed.
#[derive(Debug)]
pub(crate) struct InFlight {
    /// The agent whose step it is.
    pub(crate) agent: Arc<str>,
    /// The linked blueprint that the agent is of.
    pub(crate) unit: UnitId,
    /// Ends it early.
    pub(crate) cancel: CancellationToken,
    /// Is cancelled when it has ended and nothing of it is left.
    pub(crate) ended: CancellationToken,
}

/// A step to perform.
#[derive(Clone)]
pub(crate) struct StepJob {
    pub(crate) run_id: RunId,
    pub(crate) task_id: TaskId,
    /// The run's owner and epoch, under which what is kept of the step stands.
    pub(crate) owner: Arc<str>,
    pub(crate) epoch: u64,
    /// When the run's time to live is over.
    pub(crate) deadline: Timestamp,
    pub(crate) agent_override: Option<String>,
    pub(crate) workspace: Option<WorkspaceRecord>,
    /// The blueprint that the agent is of.
    pub(crate) blueprint: Arc<Blueprint>,
    pub(crate) unit: UnitId,
    pub(crate) path: StepPath,
    pub(crate) attempt: u32,
    /// How often the run was taken back to a step; what is done then is done anew.
    pub(crate) reruns: u64,
    pub(crate) agent: Arc<str>,
    pub(crate) input: Value,
    pub(crate) timeout_ms: Option<u64>,
    /// Who has to do with the step besides its agent.
    pub(crate) operators: Option<Arc<RunOperators>>,
    /// What must have ended before this may begin.
    pub(crate) after: Vec<CancellationToken>,
    /// Ends it early.
    pub(crate) cancel: CancellationToken,
    pub(crate) commands: mpsc::Sender<RunCommand>,
}

/// Gives the name that marks all processes of one attempt of a step.
pub(crate) fn marker(run_id: &RunId, path: &StepPath, attempt: u32) -> String {
    format!("{run_id}/{path}#{attempt}")
}

/// Calls the built-in function of an agent; a panic in it is a failure of the step.
pub(crate) fn function(agent: &Agent, fn_id: &str, input: &Value) -> StepOutcome {
    let called = catch_unwind(AssertUnwindSafe(|| worker::function::call(fn_id, input)));
    delivery::held_to(agent.verdict.as_ref(), called.unwrap_or_else(|_| panicked()))
}

/// Performs a step apart from its owner, who is told the outcome; a cancelled one tells nothing.
pub(crate) fn start(core: &Arc<Core>, job: StepJob) -> InFlight {
    let in_flight = InFlight {
        agent: job.agent.clone(),
        unit: job.unit,
        cancel: job.cancel.clone(),
        ended: CancellationToken::new(),
    };
    let (cancel, ended) = (in_flight.cancel.clone(), in_flight.ended.clone().drop_guard());
    let core = core.clone();
    let tasks = core.tasks.clone();
    tasks.spawn(async move {
        let (path, attempt, commands) = (job.path.clone(), job.attempt, job.commands.clone());
        let fault = core.settings.faults.of_effect(|| EffectKey::Step {
            run_id: job.run_id.clone(),
            path: path.clone(),
            attempt,
        });
        let outcomes = faults::perform(fault, || {
            let working = tokio::spawn(perform(core.clone(), job.clone(), cancel.clone()));
            async { working.await.unwrap_or_else(|_| panicked().into()) }
        })
        .await;
        drop(ended);
        for Performed { outcome, usage } in outcomes {
            let performed = Performed { outcome: record::outcome(outcome), usage };
            if !cancel.is_cancelled() {
                // The owner may have ended; then nobody wants the outcome.
                drop(commands.send(RunCommand::Settled { path: path.clone(), attempt, performed }).await);
            }
        }
    });
    in_flight
}

async fn perform(core: Arc<Core>, job: StepJob, cancel: CancellationToken) -> Performed {
    for predecessor in &job.after {
        predecessor.cancelled().await;
    }
    if cancel.is_cancelled() {
        return failed(ErrorClass::Gone, "cancelled").into();
    }
    let agent = stand_in(&job);
    let _place = match place(&core, &job, &agent, &cancel).await {
        Ok(place) => place,
        Err(failure) => return failure.into(),
    };
    let ctx = match context(&core, &job, &agent, cancel.clone()).await {
        Ok(ctx) => ctx,
        Err(failure) => return failure.into(),
    };
    let timeout_ms = job.timeout_ms;
    let working = work(&core, &job, &agent, &ctx);
    let Some(timeout_ms) = timeout_ms else { return working.await };
    tokio::pin!(working);
    tokio::select! {
        performed = &mut working => performed,
        () = tokio::time::sleep(Duration::from_millis(timeout_ms)) => {
            // The worker ends what it started before the step settles.
            ctx.cancel.cancel();
            let Performed { usage, .. } = working.await;
            let outcome = StepOutcome::Failed(StepFailure {
                message: format!("timed out after {timeout_ms} ms"),
                class: ErrorClass::Retry,
                value: Some(Value::object([
                    ("timed_out", Value::Bool(true)),
                    ("timeout_ms", Value::from(timeout_ms)),
                ])),
            });
            Performed { outcome, usage }
        }
    }
}

/// Does a step, with whoever has to do with it besides its agent; a result that breaks the agent's contract is a failure.
async fn work(core: &Arc<Core>, job: &StepJob, agent: &Agent, ctx: &WorkerContext) -> Performed {
    if let Some(operators) = &job.operators {
        let plan = operators.plan(&job.blueprint, agent);
        if !plan.is_plain() {
            return operators::perform(core, job, (operators, plan), agent, ctx).await;
        }
    }
    let performed = by_agent(core, job, agent, ctx).await;
    Performed { outcome: delivery::held_to(agent.verdict.as_ref(), performed.outcome), ..performed }
}

/// Has a step's agent do it.
pub(crate) async fn by_agent(
    core: &Arc<Core>,
    job: &StepJob,
    agent: &Agent,
    ctx: &WorkerContext,
) -> Performed {
    match &agent.spec {
        AgentSpec::Session(spec) => hosting::perform_step(core, job, (agent, spec), ctx).await,
        AgentSpec::Function { .. }
        | AgentSpec::Lua(_)
        | AgentSpec::Command(_)
        | AgentSpec::Check(_)
        | AgentSpec::Operator(_) => {
            worker::perform(agent, &job.blueprint.templates, job.input.clone(), ctx).await
        }
    }
}

/// Waits for a place of an agent that has a limit.
async fn place(
    core: &Core,
    job: &StepJob,
    agent: &Agent,
    cancel: &CancellationToken,
) -> Result<Option<Place>, StepOutcome> {
    let Some(max) = agent.max_concurrency else { return Ok(None) };
    let of = places::Agent { blueprint_id: job.blueprint.id.clone(), name: job.agent.clone() };
    let later = match core.places.ask(of, max) {
        Asked::Given(place) => return Ok(Some(place)),
        Asked::Later(later) => later,
    };
    let text = format!("waits, because {max} steps of {} at once are done already", job.agent);
    let progress = Progress { what: "note".to_owned(), text };
    let (path, attempt) = (job.path.clone(), job.attempt);
    // The owner may have ended; then the wait is cancelled.
    drop(job.commands.send(RunCommand::Progress { path, attempt, progress }).await);
    tokio::select! {
        () = cancel.cancelled() => Err(failed(ErrorClass::Gone, "cancelled")),
        // The line gives every place to somebody, so it never goes away before its time.
        place = later => Ok(place.ok()),
    }
}

/// Gives the agent as the run wants it: a request may name another program for agents that are started by template.
fn stand_in(job: &StepJob) -> Agent {
    let mut agent = job.blueprint.agents[&*job.agent].clone();
    if let (Some(name), AgentSpec::Command(spec)) = (&job.agent_override, &mut agent.spec)
        && spec.template.is_some()
    {
        *spec = templates::stand_in(spec, name);
    }
    agent
}

async fn context(
    core: &Arc<Core>,
    job: &StepJob,
    agent: &Agent,
    cancel: CancellationToken,
) -> Result<WorkerContext, StepOutcome> {
    let work_dir = job
        .workspace
        .as_ref()
        .map_or_else(|| core.settings.folder.join("scratch"), |w| PathBuf::from(&w.path));
    let gate = match templates::asks_gate(agent) {
        true => Some(gate_access(core, job, &cancel).await?),
        false => None,
    };
    let (progress, received) = mpsc::channel(PROGRESS_MAX);
    forward(core, job, received);
    Ok(WorkerContext {
        run_id: job.run_id.clone(),
        task_id: job.task_id.clone(),
        path: job.path.clone(),
        attempt: job.attempt,
        work_dir,
        scratch: core.settings.folder.join("scratch").join(job.run_id.as_str()),
        env: core.settings.env.clone(),
        adjutant_exe: core.settings.exe.clone(),
        gate,
        settings: core.settings.worker.clone(),
        // A child, so that a timeout of this attempt does not look like a cancellation by the owner.
        cancel: cancel.child_token(),
        progress,
    })
}

/// Gives the agent a token of its own; a disk that refuses it delays the step as it delays the run.
async fn gate_access(
    core: &Core,
    job: &StepJob,
    cancel: &CancellationToken,
) -> Result<GateAccess, StepOutcome> {
    let binding = StepBinding { run_id: job.run_id.clone(), path: job.path.clone(), attempt: job.attempt };
    let url = core.endpoint().ok_or_else(|| failed(ErrorClass::Retry, "the plane has no address yet"))?;
    loop {
        let error = match identity::worker_token_create(core, binding.clone()).await {
            Ok(token) => return Ok(GateAccess { url, token, socket: core.settings.socket.clone() }),
            Err(error) => error,
        };
        if error.class() != ErrorClass::Retry {
            return Err(failed(error.class(), format!("no token for the agent: {error}")));
        }
        tracing::warn!(run = %job.run_id, %error, "the store refuses an agent's token; it is offered again");
        tokio::select! {
            () = cancel.cancelled() => return Err(failed(ErrorClass::Gone, "cancelled")),
            () = tokio::time::sleep(STORE_RETRY) => {}
        }
    }
}

/// Hands what the agent says to the owner as long as both live.
fn forward(core: &Core, job: &StepJob, mut received: mpsc::Receiver<Progress>) {
    let (path, attempt, commands) = (job.path.clone(), job.attempt, job.commands.clone());
    core.tasks.spawn(async move {
        while let Some(progress) = received.recv().await {
            let command = RunCommand::Progress { path: path.clone(), attempt, progress };
            if commands.send(command).await.is_err() {
                return;
            }
        }
    });
}

fn failed(class: ErrorClass, message: impl Into<String>) -> StepOutcome {
    StepOutcome::Failed(StepFailure { message: message.into(), class, value: None })
}
