//! Tasks on the wire.

use super::{RunView, WorkspaceView};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A request to execute a blueprint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskParams {
    /// What to execute.
    pub blueprint: BlueprintRefParams,
    /// The first context, of any shape; merged over the blueprint's `default_init_ctx`.
    pub init_ctx: Value,
    /// A directory in a git repository; the run works in a worktree of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_root: Option<String>,
    /// A directory to work in as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work_dir: Option<String>,
    /// Kept with the task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_metadata: Option<Value>,
    /// How long the run may take, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_secs: Option<u64>,
    /// Who decides in the run, beside the operator who holds its seats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<OperatorParams>,
    /// The operator who holds the run's seats, by its sid or a role; goes before `operator.operator_backend_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_sid: Option<String>,
    /// Why that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_desc: Option<String>,
    /// The seat that is meant; it need not be said when the blueprint declares one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_slot: Option<String>,
    /// How long the request waits for the run, in seconds; 3600 unless said otherwise. The run is cancelled then, so that
    /// nothing stays at work that nobody waits for. Not with `detach`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_secs: Option<u64>,
    /// What it is for, in the asker's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goal: Option<String>,
    /// What a check that cannot be made means; kept with the task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check_policy: Option<CheckPolicyParams>,
    /// Answer as soon as the run is durable.
    #[serde(default)]
    pub detach: bool,
    /// The goal that the run serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goal_id: Option<String>,
    /// The program that stands in for agents started by template: `rehearsal`, `claude`, `codex`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
}

/// What a check that cannot be made means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckPolicyParams {
    /// Nothing.
    Silent,
    /// A warning.
    Warn,
    /// An error.
    Strict,
}

/// How an operator decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OperatorKindParams {
    /// A person's main agent does.
    MainAi,
    /// Nobody is asked.
    Automate,
    /// Both, in turn.
    Composite,
}

/// Which blueprint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum BlueprintRefParams {
    /// The document itself.
    Inline {
        /// The blueprint.
        value: Value,
    },
    /// One that the daemon knows.
    Id {
        /// Its id.
        id: String,
        /// Which version of it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<VersionSelectorParams>,
    },
}

/// Which version of a blueprint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum VersionSelectorParams {
    /// The newest.
    Latest,
    /// One by its hash.
    Fixed {
        /// 64 hex digits.
        value: String,
    },
    /// The highest label that a requirement lets through.
    SemverReq {
        /// Such as `^1.2`.
        req: String,
    },
}

/// Who operates a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OperatorParams {
    /// How it decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<OperatorKindParams>,
    /// Why these hold the run's seats, when `operator_desc` says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The operator who lets steps begin and hears how they ended: layer `main_ai`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spawn_hook_id: Option<String>,
    /// The operator who is asked when a step did not go well: layer `senior_escalation`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub senior_bridge_id: Option<String>,
    /// The operator whom steps are delegated to: layer `operator_delegate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_backend_id: Option<String>,
    /// Kinds by agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_agent_kinds: Option<BTreeMap<String, OperatorKindParams>>,
}

/// A task whose run is done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TaskDoneView {
    /// The task.
    pub task_id: String,
    /// Its run.
    pub run_id: String,
    /// `done`.
    pub status: String,
    /// The context that the run ended with.
    pub final_ctx: Value,
    /// SHA-256 of the blueprint's canonical JSON, as 64 hex digits.
    pub bound_version: String,
    /// How long the run might have taken, in seconds.
    pub effective_ttl_secs: u64,
    /// `request_body`, `bp_metadata` or `server_default`.
    pub ttl_source: String,
    /// What is probably not meant in the blueprint.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<LintView>,
    /// Where it worked and what for.
    pub info: TaskInfoView,
}

/// A remark on a blueprint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LintView {
    /// A stable name, such as `unused-agent`.
    pub name: String,
    /// RFC 6901 pointer to the place.
    pub pointer: String,
    /// For people.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// Where a run worked and what for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TaskInfoView {
    /// The run.
    pub run_id: String,
    /// What it is for, in the asker's words.
    pub goal: Option<String>,
    /// The project's repository.
    pub project_root: Option<String>,
    /// The directory that the run worked in.
    pub work_dir: Option<String>,
    /// The directory with its branch.
    pub workspace: Option<WorkspaceView>,
}

/// A task whose run goes on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TaskDetachedView {
    /// The task.
    pub task_id: String,
    /// Its run.
    pub run_id: String,
    /// `running`.
    pub status: String,
    /// SHA-256 of the blueprint's canonical JSON, as 64 hex digits.
    pub bound_version: String,
    /// How long the run may take, in seconds.
    pub effective_ttl_secs: u64,
    /// `request_body`, `bp_metadata` or `server_default`.
    pub ttl_source: String,
    /// What is probably not meant in the blueprint.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<LintView>,
}

/// A task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TaskView {
    /// Its id.
    pub id: String,
    /// What it is for, in the asker's words.
    pub goal: Option<String>,
    /// The blueprint's own id.
    pub blueprint_id: String,
    /// SHA-256 of the blueprint's canonical JSON, as 64 hex digits.
    pub bound_version: String,
    /// Which blueprint was asked for: `{kind: "id", id, version}` as it was said, or `{kind: "inline"}`; the version
    /// that it was is `bound_version`.
    pub blueprint_ref: Value,
    /// The context it brought.
    pub input_ctx: Value,
    /// What it said besides its context.
    pub task_input_spec: TaskInputParams,
    /// Where its newest run stands; absent when no run of it is left.
    pub status: Option<String>,
    /// When it was accepted, RFC 3339.
    pub created_at: String,
    /// When its newest run ended, or else began, RFC 3339.
    pub updated_at: String,
}

/// A task and its runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TaskRunsView {
    /// The task.
    pub task: TaskView,
    /// Its runs, the newest first.
    pub runs: Vec<RunView>,
}

/// Another run of a task; what is left out is as the task says.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RekickParams {
    /// Goes over the task's context, member by member; what is no object takes its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init_ctx_override: Option<Value>,
    /// Goes over what the task says besides its context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_input_override: Option<TaskInputParams>,
    /// How long the request waits for the run, in seconds; 3600 unless said otherwise. The run is cancelled then, so that
    /// nothing stays at work that nobody waits for. Not with `detach`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_secs: Option<u64>,
    /// Answer as soon as the run is durable.
    #[serde(default)]
    pub detach: bool,
    /// The operator that holds the run's seats, by its sid or a role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_sid: Option<String>,
    /// What it is there for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_desc: Option<String>,
    /// Which of several seats it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_slot: Option<String>,
}

/// What a task says besides its context.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskInputParams {
    /// A directory in a git repository; the run works in a worktree of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_root: Option<String>,
    /// A directory to work in as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work_dir: Option<String>,
    /// An object for people and programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_metadata: Option<Value>,
}
