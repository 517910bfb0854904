//! Blueprints: a flow, the agents it needs, and what is said about them.

use crate::flow::Node;
use crate::operator::OperatorKind;
use crate::session::{DriverKind, ModelTier};
use crate::value::Value;
use std::collections::BTreeMap;
use std::fmt;

/// A blueprint that has been read and checked; `rules::blueprint` makes it from a document.
#[derive(Debug, Clone)]
pub struct Blueprint {
    /// `[a-z0-9][a-z0-9._-]{0,63}`
    pub id: String,
    /// What runs.
    pub flow: Node,
    /// Who does the steps, by name.
    pub agents: BTreeMap<String, Agent>,
    /// Commands that agents share, by name.
    pub templates: BTreeMap<String, CommandSpec>,
    /// What is said about it.
    pub metadata: Metadata,
    /// Merged under the context that a task brings.
    pub default_init_ctx: Option<Value>,
    /// The seats of operators that a run of it has, by name.
    pub operators: BTreeMap<String, OperatorSeat>,
    /// The kind of agents for which nothing else says one.
    pub default_operator_kind: Option<OperatorKind>,
    /// What stands around steps, from the inside out.
    pub layers: Vec<StepLayer>,
}

/// A seat that an operator holds in a run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OperatorSeat {
    /// What people call it.
    pub display_name: Option<String>,
    /// The kind of the agents that are done from this seat.
    pub kind: Option<OperatorKind>,
}

/// What stands around a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepLayer {
    /// An operator lets the step begin and hears how it ended.
    MainAi,
    /// An operator is asked when the step did not go well.
    SeniorEscalation,
    /// The step goes to an operator instead of its agent.
    OperatorDelegate,
}

impl StepLayer {
    /// All layers.
    pub const ALL: [StepLayer; 3] =
        [StepLayer::MainAi, StepLayer::SeniorEscalation, StepLayer::OperatorDelegate];

    /// Gives the layer's name in documents.
    pub fn as_str(self) -> &'static str {
        match self {
            StepLayer::MainAi => "main_ai",
            StepLayer::SeniorEscalation => "senior_escalation",
            StepLayer::OperatorDelegate => "operator_delegate",
        }
    }
}

/// What is said about a blueprint.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metadata {
    /// One sentence for people.
    pub description: Option<String>,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// A semantic version that people give it.
    pub version_label: Option<String>,
    /// How long a run may take when the request does not say, in seconds.
    pub default_run_ttl_secs: Option<u64>,
}

/// Who does a step.
#[derive(Debug, Clone, PartialEq)]
pub struct Agent {
    /// What steps call it by.
    pub name: String,
    /// What it is and needs.
    pub spec: AgentSpec,
    /// What a program that drives a model is told.
    pub profile: Profile,
    /// What an operator is told to start for it.
    pub runner: Option<Runner>,
    /// What its results must be.
    pub verdict: Option<VerdictContract>,
    /// How many of its steps may be done at once, over all runs of the blueprint.
    pub max_concurrency: Option<u32>,
}

impl Agent {
    /// Makes an agent of which nothing more is said.
    pub fn new(name: impl Into<String>, spec: AgentSpec) -> Self {
        let profile = Profile::default();
        Agent { name: name.into(), spec, profile, runner: None, verdict: None, max_concurrency: None }
    }
}

/// What an operator starts to do a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runner {
    /// Which of the operator's workers.
    pub variant: String,
    /// The tools that it may use.
    pub tools: Vec<String>,
}

/// The only results that an agent may give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerdictContract {
    /// Where the verdict stands.
    pub channel: VerdictChannel,
    /// What it may be.
    pub values: Vec<String>,
}

/// Where a verdict stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerdictChannel {
    /// The result itself.
    Body,
    /// The part of the result that is called `verdict`.
    Part,
}

/// What a program that drives a model is told.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Profile {
    /// Fills `{system}` and `{system_file}`.
    pub system_prompt: Option<String>,
    /// Fills `{model}`.
    pub model: Option<String>,
    /// Fills `{tools_csv}`.
    pub tools: Vec<String>,
    /// For people.
    pub description: Option<String>,
}

/// What an agent is and needs, by kind.
#[derive(Debug, Clone, PartialEq)]
pub enum AgentSpec {
    /// A pure function built into Adjutant.
    Function {
        /// Its name, for example `identity`.
        fn_id: String,
    },
    /// A sandboxed Luau chunk.
    Lua(LuaSpec),
    /// A program.
    Command(CommandSpec),
    /// A program whose end is judged.
    Check(CheckSpec),
    /// A connected client.
    Operator(OperatorSpec),
    /// A managed session, whose first turn does the step.
    Session(SessionSpec),
}

impl AgentSpec {
    /// Gives the kind's name on the wire.
    pub fn kind(&self) -> &'static str {
        match self {
            AgentSpec::Function { .. } => "function",
            AgentSpec::Lua(_) => "lua",
            AgentSpec::Command(_) => "command",
            AgentSpec::Check(_) => "check",
            AgentSpec::Operator(_) => "operator",
            AgentSpec::Session(_) => "session",
        }
    }
}

/// A managed session that is hosted in the run's workspace for a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionSpec {
    /// The profile of its agent program.
    pub agent: String,
    /// How it is hosted; the profile's first driver that can be used when nothing is said.
    pub driver: Option<DriverKind>,
    /// How capable its model is wanted.
    pub tier: Option<ModelTier>,
    /// Its model; over the tier.
    pub model: Option<String>,
    /// Whether the session stays known when the step is over.
    pub keep: KeepSession,
}

/// Whether the session of a step stays when the step is over. Its agent is ended in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeepSession {
    /// It is stopped, so that a person can go on with it.
    Always,
    /// It is stopped when the step has failed, and decommissioned else.
    #[default]
    OnFailure,
    /// It is decommissioned.
    Never,
}

impl KeepSession {
    /// All of them.
    pub const ALL: [KeepSession; 3] = [KeepSession::Always, KeepSession::OnFailure, KeepSession::Never];

    /// Gives the name in a blueprint.
    pub fn as_str(self) -> &'static str {
        match self {
            KeepSession::Always => "always",
            KeepSession::OnFailure => "on_failure",
            KeepSession::Never => "never",
        }
    }
}

/// A connected client that does the step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorSpec {
    /// The seat whose holder does it.
    pub operator_ref: String,
    /// How what the worker gives is read.
    pub submit_format: SubmitFormat,
}

/// How a body that a worker gives is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SubmitFormat {
    /// An object or array when it is one, in a fence of Markdown too; else text.
    #[default]
    Auto,
    /// JSON; anything else is refused.
    Json,
    /// Text.
    Text,
}

/// A Luau chunk and its limits.
#[derive(Debug, Clone, PartialEq)]
pub struct LuaSpec {
    /// The chunk; it gets the step's input as its argument.
    pub source: String,
    /// What error messages call it.
    pub label: String,
    /// The memory it may hold; without it the setting's.
    pub memory_bytes: Option<u64>,
    /// The time it may take; without it the setting's.
    pub timeout_ms: Option<u64>,
}

/// A program to start.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CommandSpec {
    /// The named template that fills what this one leaves out.
    pub template: Option<String>,
    /// Program and arguments; placeholders are filled in each.
    pub argv: Vec<String>,
    /// Whether the step's input stands as JSON on standard input; true unless said otherwise.
    pub use_stdin: Option<bool>,
    /// A text for standard input instead.
    pub stdin: Option<String>,
    /// Variables besides those that pass by the allow-list.
    pub env: BTreeMap<String, String>,
    /// Where it runs, below the workspace.
    pub cwd: Option<String>,
    /// How long it may take.
    pub timeout_ms: Option<u64>,
    /// How its output is read.
    pub output: Option<OutputSpec>,
}

/// How a program's output is read.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct OutputSpec {
    /// What standard output is.
    pub format: OutputFormat,
    /// An RFC 6901 pointer to the step's value in the JSON.
    pub result_ptr: Option<String>,
    /// What decides success.
    pub ok_from: OkFrom,
    /// Where usage stands in the JSON.
    pub stats: StatsSpec,
}

/// What standard output is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OutputFormat {
    /// JSON when it parses, else text.
    #[default]
    Auto,
    /// JSON; anything else fails the step.
    Json,
    /// Text.
    Text,
    /// Lines of JSON as Claude Code's stream-json has them; the last `result` line is the value.
    StreamJson,
    /// Lines of JSON as `codex exec --json` has them; the last agent message is the value.
    CodexJson,
}

/// What decides whether a command succeeded.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum OkFrom {
    /// Exit code 0.
    #[default]
    ExitCode,
    /// Exit code 0 and `true` at this pointer.
    Pointer(String),
}

/// RFC 6901 pointers to what a run cost.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StatsSpec {
    /// An object with `input_tokens` and `output_tokens`.
    pub usage_ptr: Option<String>,
    /// The model's name.
    pub model_ptr: Option<String>,
    /// How many turns the model took.
    pub num_turns_ptr: Option<String>,
}

/// A command that verifies an outcome.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckSpec {
    /// A command line for `sh -c`, or program and arguments.
    pub command: CheckCommand,
    /// The exit code that passes, 0 unless said otherwise.
    pub expect_exit: i32,
    /// A text that the output must hold.
    pub output_contains: Option<String>,
    /// How long it may take; without it the setting's.
    pub timeout_secs: Option<u64>,
}

/// How a check is started.
#[derive(Debug, Clone, PartialEq)]
pub enum CheckCommand {
    /// By `sh -c`.
    Line(String),
    /// Directly.
    Argv(Vec<String>),
}

impl fmt::Display for CheckCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CheckCommand::Line(line) => f.write_str(line),
            CheckCommand::Argv(argv) => f.write_str(&argv.join(" ")),
        }
    }
}
