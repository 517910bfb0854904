//! Workers: what does the step of a flow.
//!
//! [`perform`] takes an agent and the step's input and gives the step's outcome; it never fails otherwise. It
//! knows nothing of runs, turns or the store, keeps nothing between calls, and reads no environment: all it
//! needs stands in the [`WorkerContext`]. When it returns, everything that it started has ended.

pub mod check;
pub mod command;
pub mod function;
pub mod lua;

use adjutant_model::blueprint::{Agent, AgentSpec, CommandSpec};
use adjutant_model::run::{ErrorClass, StepFailure, StepOutcome, StepPath, Usage};
use adjutant_model::{RunId, TaskId, Value};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// What a worker is told besides its agent and its input.
#[derive(Debug, Clone)]
pub struct WorkerContext {
    /// The run that the step belongs to.
    pub run_id: RunId,
    /// The task that the run executes.
    pub task_id: TaskId,
    /// The step.
    pub path: StepPath,
    /// Which attempt of the step, from 1.
    pub attempt: u32,
    /// The run's workspace; programs start in it or below it.
    pub work_dir: PathBuf,
    /// A folder of the run outside its workspace; files that a program is handed are written there.
    pub scratch: PathBuf,
    /// The environment that the plane was started with; programs get only what the allow-lists let pass.
    pub env: Arc<[(String, String)]>,
    /// The plane's own program, which plays rehearsals.
    pub adjutant_exe: PathBuf,
    /// How the agent reaches the gate; given to agents for which [`crate::templates::asks_gate`] holds.
    pub gate: Option<GateAccess>,
    /// Limits.
    pub settings: WorkerSettings,
    /// Ends the work; whoever cancels discards the outcome.
    pub cancel: CancellationToken,
    /// Takes what the agent says and does meanwhile. When it is full or closed, progress is dropped and never
    /// waited for.
    pub progress: mpsc::Sender<Progress>,
}

/// How a started agent reaches the gate.
#[derive(Debug, Clone)]
pub struct GateAccess {
    /// The plane's address, for example `http://127.0.0.1:4100`.
    pub url: String,
    /// The token that is bound to this attempt of this step.
    pub token: Secret,
    /// The daemon's socket, over which the agent's hooks ask.
    pub socket: Option<PathBuf>,
}

/// A text that must not be shown; its `Debug` form is stars.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes the text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Gives the text to whoever really needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The limits of workers; what an agent's own spec says goes first.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerSettings {
    /// The memory that a Luau chunk may hold.
    pub lua_memory_bytes: u64,
    /// How long a Luau chunk may run.
    pub lua_timeout: Duration,
    /// How long a command may run; `None` leaves it to the run's time to live.
    pub command_timeout: Option<Duration>,
    /// How long a check may run.
    pub check_timeout: Duration,
    /// How many bytes of each of a program's outputs are kept.
    pub output_kept_bytes: usize,
    /// How long a program that was asked to end may take before it is killed.
    pub grace: Duration,
}

impl Default for WorkerSettings {
    fn default() -> Self {
        Self {
            lua_memory_bytes: 64 << 20,
            lua_timeout: Duration::from_secs(10),
            command_timeout: None,
            check_timeout: Duration::from_secs(120),
            output_kept_bytes: 64 << 10,
            grace: Duration::from_secs(5),
        }
    }
}

/// Something that an agent said or did while it worked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// `said`, `thought`, `tool` or `note`.
    pub what: String,
    /// The words.
    pub text: String,
}

/// What a worker gives back.
#[derive(Debug, Clone, PartialEq)]
pub struct Performed {
    /// How the step ended.
    pub outcome: StepOutcome,
    /// What the model behind the agent used, when its output says so.
    pub usage: Option<Usage>,
}

impl From<StepOutcome> for Performed {
    fn from(outcome: StepOutcome) -> Self {
        Self { outcome, usage: None }
    }
}

/// Does one step.
///
/// `templates` are the blueprint's own; the built-in ones of [`crate::templates`] stand behind them. Not
/// cancel-safe: to end the work early cancel the context's token, and await the end.
pub async fn perform(
    agent: &Agent,
    templates: &BTreeMap<String, CommandSpec>,
    input: Value,
    ctx: &WorkerContext,
) -> Performed {
    match &agent.spec {
        AgentSpec::Function { fn_id } => function::call(fn_id, &input).into(),
        AgentSpec::Lua(spec) => lua::call(spec, input, ctx).await.into(),
        AgentSpec::Command(_) => command::run(agent, templates, &input, ctx).await,
        AgentSpec::Check(spec) => check::run(spec, ctx).await.into(),
        AgentSpec::Operator(_) => failed(ErrorClass::Bug, "an operator's step was not handed to it").into(),
        AgentSpec::Session(_) => failed(ErrorClass::Bug, "a session's step was not handed to one").into(),
    }
}

fn failed(class: ErrorClass, message: impl Into<String>) -> StepOutcome {
    StepOutcome::Failed(StepFailure { message: message.into(), class, value: None })
}
