//! Tasks, runs and turns: what was asked, what executes, and every action on the way.

use crate::id::{GoalId, RunId, TaskId};
use crate::time::Timestamp;
use crate::value::Value;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// Where a step stands in its program, with loop iterations and fanout indexes: `0/2/body#3/1`.
///
/// The root node's path is `.`. Paths identify steps: equal inputs on different paths never collide.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepPath(Arc<str>);

impl StepPath {
    /// Takes a path as it was printed.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// Gives the path as it is shown and stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StepPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for StepPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// Accepted; its workspace is being made.
    Pending,
    /// Steps are dispatched.
    Running,
    /// Nothing is in flight until a timer or a person answers.
    Waiting,
    /// Ended as its program says.
    Done,
    /// Ended by an error.
    Failed,
    /// Ended by request.
    Cancelled,
    /// Its driver is gone and it can be resumed.
    Interrupted,
    /// Its client is gone and it will not be resumed.
    Incomplete,
}

impl RunStatus {
    /// All states, in the order of a run's life.
    pub const ALL: [RunStatus; 8] = [
        RunStatus::Pending,
        RunStatus::Running,
        RunStatus::Waiting,
        RunStatus::Done,
        RunStatus::Failed,
        RunStatus::Cancelled,
        RunStatus::Interrupted,
        RunStatus::Incomplete,
    ];

    /// Gives the state's name on the wire and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            RunStatus::Pending => "pending",
            RunStatus::Running => "running",
            RunStatus::Waiting => "waiting",
            RunStatus::Done => "done",
            RunStatus::Failed => "failed",
            RunStatus::Cancelled => "cancelled",
            RunStatus::Interrupted => "interrupted",
            RunStatus::Incomplete => "incomplete",
        }
    }

    /// Reads a state's name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// Tells whether nothing follows.
    pub fn is_terminal(self) -> bool {
        match self {
            RunStatus::Done | RunStatus::Failed | RunStatus::Cancelled | RunStatus::Incomplete => true,
            RunStatus::Pending | RunStatus::Running | RunStatus::Waiting | RunStatus::Interrupted => false,
        }
    }
}

impl fmt::Display for RunStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What policies may do about an error; they read this and never the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// May succeed when tried again.
    Retry,
    /// Whoever wrote the input must change it.
    User,
    /// What it was about is not there any more.
    Gone,
    /// A defect of Adjutant.
    Bug,
}

/// Why a step failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepFailure {
    /// A sentence fragment for people.
    pub message: String,
    /// What may be done about it.
    pub class: ErrorClass,
    /// What the agent gave besides the message: exit code, signal, output tail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq)]
pub enum StepOutcome {
    /// With a value, which is written at the step's `out`.
    Done(Value),
    /// With a value too, but whoever did it says that there was nothing to do.
    Skipped(Value),
    /// With an error, which `retry` and `try` may handle.
    Failed(StepFailure),
}

/// The kind of an error inside a flow; the names are those of the acceptance vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FlowErrorCode {
    /// A path that is not in the context was read.
    PathNotFound,
    /// A place to write to is not a path.
    InvalidPath,
    /// A branch's condition is not a boolean.
    NonBoolCond,
    /// A value has the wrong type.
    TypeError,
    /// Division by zero, NaN or infinity.
    ArithError,
    /// A step failed after its last attempt.
    StepFailed,
    /// An unknown host function was called.
    ExternError,
    /// The context grew beyond what can be kept.
    ContextTooLarge,
    /// The run's time to live is over.
    TtlExpired,
    /// The run's driver is gone; the run can be resumed.
    Interrupted,
}

impl FlowErrorCode {
    /// Gives the code's name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            FlowErrorCode::PathNotFound => "path_not_found",
            FlowErrorCode::InvalidPath => "invalid_path",
            FlowErrorCode::NonBoolCond => "non_bool_cond",
            FlowErrorCode::TypeError => "type_error",
            FlowErrorCode::ArithError => "arith_error",
            FlowErrorCode::StepFailed => "step_failed",
            FlowErrorCode::ExternError => "extern_error",
            FlowErrorCode::ContextTooLarge => "context_too_large",
            FlowErrorCode::TtlExpired => "ttl_expired",
            FlowErrorCode::Interrupted => "interrupted",
        }
    }
}

/// An error inside a flow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FlowError {
    /// Its kind.
    pub code: FlowErrorCode,
    /// A sentence fragment for people.
    pub message: String,
    /// The step or node it arose at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<StepPath>,
    /// The agent or host function concerned.
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    pub reference: Option<Arc<str>>,
    /// What a failed step gave besides the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
}

impl fmt::Display for FlowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.step {
            Some(step) => write!(f, "{} at step {step}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

/// Where a run's time to live came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TtlSource {
    /// The request's `ttl_secs`.
    RequestBody,
    /// The blueprint's `metadata.default_run_ttl_secs`.
    BpMetadata,
    /// The setting.
    ServerDefault,
}

/// A request to execute a blueprint.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskRecord {
    /// Its id.
    pub id: TaskId,
    /// What it is for, in the asker's words.
    pub goal: Option<String>,
    /// The blueprint's own id.
    pub blueprint_id: String,
    /// SHA-256 of the blueprint's canonical JSON, as 64 hex digits.
    pub blueprint_hash: String,
    /// The context it brought.
    pub input: Value,
    /// The rest of the request, kept as it came.
    pub request: Value,
    /// When it was accepted.
    pub created_at: Timestamp,
}

/// What a run was given, when that is not what its task brought.
#[derive(Debug, Clone, PartialEq)]
pub struct RunInput {
    /// Its first context, before it goes over what the blueprint declares.
    pub input: Value,
    /// The rest of the request.
    pub request: Value,
}

/// One execution.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRecord {
    /// Its id.
    pub id: RunId,
    /// The task it executes.
    pub task_id: TaskId,
    /// Where it stands.
    pub status: RunStatus,
    /// Who drives it: an id that a daemon draws at its start.
    pub owner: String,
    /// Raised by every new owner; writes of an older one are refused.
    pub epoch: u64,
    /// The blueprint's own id.
    pub blueprint_id: String,
    /// The version it is pinned to.
    pub blueprint_hash: String,
    /// How long it may take.
    pub ttl_ms: u64,
    /// Where `ttl_ms` came from.
    pub ttl_source: TtlSource,
    /// What it works in.
    pub workspace: Option<WorkspaceRecord>,
    /// The goal it serves.
    pub goal_id: Option<GoalId>,
    /// The agent program that stands in for the blueprint's, when the request names one.
    pub agent_override: Option<String>,
    /// Why it failed.
    pub error: Option<FlowError>,
    /// The final context of a run that is done.
    pub result: Option<Value>,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// The directory a run works in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkspaceRecord {
    /// What it is; `type` in JSON, because an event that carries this record has a `kind` of its own.
    #[serde(rename = "type")]
    pub kind: WorkspaceKind,
    /// Its absolute path.
    pub path: String,
    /// The project's repository, for a worktree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// The branch it is on, for a worktree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// The commit it started from, for a worktree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// The machine it is on; this one's name is `local`.
    pub node: String,
}

/// What a workspace is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkspaceKind {
    /// A git worktree on its own branch.
    Worktree,
    /// An empty folder of the run.
    Scratch,
    /// A directory the request named; it is used as it is and never removed.
    Given,
}

/// What a turn is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TurnKind {
    /// A step of the flow.
    Step,
    /// A tool call of an agent inside a step.
    Tool,
}

/// Where a turn stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TurnStatus {
    /// Written, its effect not settled.
    Started,
    /// Settled well.
    Succeeded,
    /// Settled well, with nothing to do.
    Skipped,
    /// Settled with an error.
    Failed,
    /// Refused by the gate; nothing was done.
    Rejected,
    /// Stopped before it settled.
    Cancelled,
}

impl TurnStatus {
    /// All states.
    pub const ALL: [TurnStatus; 6] = [
        TurnStatus::Started,
        TurnStatus::Succeeded,
        TurnStatus::Skipped,
        TurnStatus::Failed,
        TurnStatus::Rejected,
        TurnStatus::Cancelled,
    ];

    /// Gives the state's name on the wire and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            TurnStatus::Started => "started",
            TurnStatus::Succeeded => "succeeded",
            TurnStatus::Skipped => "skipped",
            TurnStatus::Failed => "failed",
            TurnStatus::Rejected => "rejected",
            TurnStatus::Cancelled => "cancelled",
        }
    }

    /// Reads a state's name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

/// What the model behind an agent used, as far as the agent says.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// The model's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Tokens that the model read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_tokens: Option<u64>,
    /// Tokens that the model wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<u64>,
    /// Turns that the model took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub num_turns: Option<u64>,
    /// US dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
}

impl Usage {
    /// Tells whether nothing was said.
    pub fn is_empty(&self) -> bool {
        *self == Usage::default()
    }

    /// Adds what another used; the model stays named only while it is the same one.
    #[must_use]
    pub fn and(self, other: Usage) -> Usage {
        fn sum<T>(a: Option<T>, b: Option<T>, add: impl FnOnce(T, T) -> T) -> Option<T> {
            match (a, b) {
                (Some(a), Some(b)) => Some(add(a, b)),
                (one, None) | (None, one) => one,
            }
        }
        let model = match (self.model, other.model) {
            (Some(a), Some(b)) => (a == b).then_some(a),
            (one, None) | (None, one) => one,
        };
        Usage {
            model,
            input_tokens: sum(self.input_tokens, other.input_tokens, u64::saturating_add),
            output_tokens: sum(self.output_tokens, other.output_tokens, u64::saturating_add),
            num_turns: sum(self.num_turns, other.num_turns, u64::saturating_add),
            cost_usd: sum(self.cost_usd, other.cost_usd, |a, b| a + b),
        }
    }
}

/// One action inside a run.
#[derive(Debug, Clone, PartialEq)]
pub struct TurnRecord {
    /// Its place in the run, from 0 and without gaps.
    pub index: u64,
    /// What it is about.
    pub kind: TurnKind,
    /// The step's path; for a tool call the step it belongs to.
    pub path: StepPath,
    /// Which attempt of the step, from 1.
    pub attempt: u32,
    /// The agent's name, or the tool's.
    pub name: String,
    /// Where it stands.
    pub status: TurnStatus,
    /// The step's input or the tool's parameters, cut to the limits of a turn.
    pub parameters: Value,
    /// What came out; complete, because recovery reads it.
    pub output: Option<Value>,
    /// Why it failed or was refused.
    pub error: Option<StepFailure>,
    /// The rule that refused it.
    pub rule: Option<String>,
    /// What the step's model used.
    pub usage: Option<Usage>,
    /// The epoch of the run whose rerun took it back; what it did does not count any more.
    pub superseded: Option<u64>,
    /// When it was written.
    pub started_at: Timestamp,
    /// When it settled.
    pub ended_at: Option<Timestamp>,
}
