//! What the tools of the MCP door take and give, where no route of the HTTP door takes or gives the same.
//!
//! The names of fields are those that clients of the family know; what is beside them is Adjutant's own.

use crate::http::{ActivityView, BudgetView, DelegationView};
use crate::object;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Nothing is said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NoParams {}

/// Which session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionParams {
    /// The session's id, a UUID: `id` in `session_list`.
    pub session_id: String,
}

/// Every session that there is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SessionListView {
    /// The sessions, managed ones first, each kind the newest first.
    pub sessions: Vec<SessionEntryView>,
}

/// A session of any kind.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SessionEntryView {
    /// `managed`: Adjutant hosts its agent. `attached`: an outside client that holds a token. `discovered`: an agent that
    /// somebody else has started.
    pub kind: String,
    /// Its id, a UUID.
    pub id: String,
    /// Its name.
    pub name: String,
    /// `provisioning`, `active`, `stopped`, `errored` or `decommissioned`.
    pub state: String,
    /// The same in other words: `Starting`, `Active`, `AwaitingApproval`, `Detached`, `Paused` or `Stopped`.
    pub status: String,
    /// How it is controlled: `Tmux`, `Pty` or `Sdk`.
    pub control: String,
    /// Where its agent is: `tmux` or `native`.
    pub origin: String,
    /// What it may do, when it is attached: `operator`, `worker`, `observer` or `senior`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Where it works; empty when that is not known.
    pub workdir: String,
    /// The project that it works on.
    pub project_path: Option<String>,
    /// Its workspace, while that is there.
    pub workspace_path: Option<String>,
    /// The repository's URL.
    pub repo_url: Option<String>,
    /// Its branch.
    pub branch: Option<String>,
    /// The profile of its agent.
    pub runtime: Option<String>,
    /// The name of its terminal.
    pub tmux_name: Option<String>,
    /// How a person attaches to its terminal.
    pub attach_cmd: Option<String>,
    /// Its agent's process, while it is there.
    pub pid: Option<u32>,
    /// What its agent does, when that is known.
    pub activity: Option<ActivityView>,
    /// What its agent asks.
    pub pending_decision: Option<String>,
    /// The first answer to that.
    pub proposed_default: Option<String>,
    /// The goal that it serves.
    pub goal_id: Option<String>,
    /// The session that has started it.
    pub parent: Option<String>,
    /// How many of its delegations have not ended, or were not told to it yet.
    pub active_delegations: u32,
    /// When it began, RFC 3339.
    pub created_at: String,
    /// When it was heard of last, RFC 3339.
    pub last_seen: Option<String>,
    /// The same.
    pub last_activity_at: Option<String>,
    /// Since when it is left alone, RFC 3339.
    pub paused_at: Option<String>,
    /// Why.
    pub pause_summary: Option<String>,
}

/// A session, how full its context is, and the work that it gave away.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SessionStatusView {
    /// The session.
    pub session: SessionEntryView,
    /// How full its context is, as was said last.
    pub memory: Option<MemoryUsageView>,
    /// How many delegations it has made.
    pub delegation_count: usize,
    /// The delegations, the newest first.
    pub delegations: Vec<DelegationView>,
}

/// How full a context is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MemoryUsageView {
    /// Tokens that it holds.
    pub used_tokens: u64,
    /// Tokens that it can hold.
    pub window_tokens: u64,
}

/// Work for another agent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AgentDelegateParams {
    /// The session that gives it away: your own, a UUID.
    pub session_id: String,
    /// The agent, by any name; one that no profile is of is played by the default profile.
    pub agent: String,
    /// What it is told, up to 256 KiB; it knows nothing else.
    pub task: String,
    /// How capable its model is: `haiku`, `sonnet` or `opus`; `sonnet` when nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<String>,
}

/// How full your context is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MemoryProtectParams {
    /// The session whose context it is, a UUID.
    pub session_id: String,
    /// Tokens that the context holds.
    pub used_tokens: u64,
    /// Tokens that it can hold, 1 or more.
    #[schema(minimum = 1)]
    pub window_tokens: u64,
}

/// What follows from how full a context is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MemoryPressureView {
    /// The part of the window that it takes, from 0 to 1.
    pub fraction: f64,
    /// `Ok`, `Warn`, `Alert` or `Compact`.
    pub pressure: String,
    /// Where each begins.
    pub config: PressureConfigView,
}

/// Where pressures begin, as parts of the window; what is reached counts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PressureConfigView {
    /// `Warn`.
    pub warn_at: f64,
    /// `Alert`.
    pub alert_at: f64,
    /// `Compact`.
    pub compact_at: f64,
}

/// Which breaker.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BreakerParams {
    /// The agent; all of which something is kept when nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
}

/// The breaker of the agent that was asked for, or all of which something is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BreakerStatusView {
    /// The agent that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Its breaker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker: Option<BreakerStateView>,
    /// Without an agent: all that are kept, by name; every other agent's is closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breakers: Option<Vec<AgentBreakerView>>,
}

/// An agent's breaker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AgentBreakerView {
    /// The agent.
    pub agent: String,
    /// Its breaker.
    pub breaker: BreakerStateView,
}

/// Where a breaker stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BreakerStateView {
    /// `closed`, `open` or `half_open`.
    pub state: String,
    /// How often the agent has failed since it last succeeded.
    pub consecutive_failures: u32,
    /// When the next trial is let in, while it is open, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial_at: Option<String>,
    /// When it opens, and how deep sessions start sessions.
    pub config: BreakerConfigView,
}

/// When breakers open, and how deep sessions start sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BreakerConfigView {
    /// So many failures in a row open one.
    pub failure_threshold: u32,
    /// So deep sessions may start sessions.
    pub max_depth: u32,
}

/// A hook of an agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HookEventParams {
    /// The session that it is of, a UUID.
    pub session_id: String,
    /// The event's name, such as `PreToolUse`.
    pub event: String,
    /// What the agent says with it.
    #[serde(default, deserialize_with = "object::any")]
    #[schema(value_type = Object)]
    pub payload: serde_json::Value,
}

/// A hook was taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HookReceivedView {
    /// The event's name.
    pub received: String,
    /// The session that it is of.
    pub session_id: String,
    /// What was decided, when the event asks and there was something to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<crate::http::HookDecisionView>,
}

/// A new session.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionNewParams {
    /// The repository: a URL, or the absolute path of one on the daemon's machine.
    pub repo_url: String,
    /// The branch, tag or commit that the session's branch starts from.
    #[serde(rename = "ref")]
    pub git_ref: String,
    /// What its agent is told first, up to 256 KiB.
    pub task: String,
    /// What the session is called, about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name_hint: Option<String>,
    /// The profile of its agent, such as `claude-code`, `codex` or `gemini`; `claude` when nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<String>,
}

/// How much of a session's terminal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionLinesParams {
    /// The session's id, a UUID.
    pub session_id: String,
    /// So many of its last lines; 60 when nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 500)]
    pub lines: Option<usize>,
}

/// What a session does, and what its terminal shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SessionActivityView {
    /// The session.
    pub id: String,
    /// Its name.
    pub name: String,
    /// `provisioning`, `active`, `stopped`, `errored` or `decommissioned`.
    pub state: String,
    /// What its agent does.
    pub activity: ActivityView,
    /// The last lines of its terminal, or of what it said; empty when its agent is not there.
    pub raw_pane: String,
    /// So many lines were asked for.
    pub lines: usize,
    /// Whether its agent is there.
    pub runtime_active: bool,
    /// What its agent asks.
    pub pending_decision: Option<String>,
    /// The first answer to that.
    pub proposed_default: Option<String>,
}

/// Text for a session's agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionSendParams {
    /// The session's id, a UUID.
    pub session_id: String,
    /// What its agent is told, as its next prompt, up to 1 MiB.
    pub text: String,
}

/// Which approvals.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApprovalListParams {
    /// Only those that stand here, such as `pending`, which it is when nothing is said; `all` for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// How many at most; 100 when nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1000)]
    pub limit: Option<usize>,
}

/// An answer to an approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApprovalResolveParams {
    /// The approval's id.
    pub approval_id: String,
    /// `approve` or `deny`.
    pub decision: String,
    /// Which of a question's options is meant; the first when nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub option: Option<String>,
    /// Why, for the record.
    #[serde(default)]
    pub reason: String,
}

/// Which run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RunParams {
    /// The run's id.
    pub run_id: String,
}

/// Which turns of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RunTraceParams {
    /// The run's id.
    pub run_id: String,
    /// Behind this index: the `next_after` of the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// At most so many; 100 when nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1000)]
    pub limit: Option<usize>,
    /// Of this step alone: an agent's name or a path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
}

/// Turns of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RunTraceView {
    /// The run.
    pub run_id: String,
    /// Its turns, in order.
    pub turns: Vec<crate::http::TurnView>,
    /// The `after` of the next page, when there may be one.
    pub next_after: Option<u64>,
}

/// Which blueprint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BlueprintShowParams {
    /// Its id.
    pub blueprint_id: String,
    /// A version of it, as 64 hex digits; its head when nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// Which blueprints.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BlueprintListParams {
    /// Archived ones too.
    #[serde(default)]
    pub include_archived: bool,
}

/// A blueprint to execute: `blueprint_id`, or the document itself as `blueprint`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RunStartParams {
    /// One that the daemon knows, by its id: `blueprint_list` lists them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blueprint_id: Option<String>,
    /// A version of it, as 64 hex digits; its head when nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The document itself.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "object::any_optional")]
    #[schema(value_type = Option<Object>)]
    pub blueprint: Option<serde_json::Value>,
    /// The first context, merged over the blueprint's own.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "object::any_optional")]
    #[schema(value_type = Option<Object>)]
    pub input: Option<serde_json::Value>,
    /// A directory in a git repository on the daemon's machine; the run works in a worktree of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_root: Option<String>,
    /// A directory to work in as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work_dir: Option<String>,
    /// What it is for, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goal: Option<String>,
    /// The goal that the run serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goal_id: Option<String>,
    /// How long the run may take, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub ttl_secs: Option<u64>,
    /// The operator who holds the run's seats, by its sid or a role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator_sid: Option<String>,
}

/// Which goal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GoalIdParams {
    /// The goal's id.
    pub goal_id: String,
}

/// Which goals.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GoalListParams {
    /// Only those in this state: `pending`, `inProgress`, `blocked`, `done` or `abandoned`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Only those behind this goal: the `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// How many at most, up to 1000; 200 when nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1000)]
    pub limit: Option<usize>,
}

/// Work to link to a goal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GoalLinkParams {
    /// The goal's id.
    pub goal_id: String,
    /// A session's or run's id.
    pub session_id: String,
    /// What it is to do.
    #[serde(default)]
    pub task: String,
}

/// A note on a goal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GoalNoteParams {
    /// The goal's id.
    pub goal_id: String,
    /// What is said.
    pub note: String,
}

/// What is to be different about a goal; what is not said stays.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GoalUpdateParams {
    /// The goal's id.
    pub goal_id: String,
    /// The intent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The project's repository, absolute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// The ids of the goals that must be done before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depends_on: Option<Vec<String>>,
    /// What its pursuit may spend.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "object::optional")]
    pub budget: Option<BudgetView>,
    /// Until when it is pursued, RFC 3339; an empty text takes the deadline away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<String>,
    /// When its checks are run again by themselves: a cron expression; an empty text takes the schedule away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recheck: Option<String>,
    /// The linked session or run whose state is `state`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// Where that link stands: `launched`, `running` or `failed`; `verified` needs evidence that is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// What is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Another state for the goal: `inProgress`, `blocked`, `done` or `abandoned`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Why it goes there; whoever gives a goal up says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Settings that are to be different, all of them or none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfigWriteParams {
    /// Whether agents that died by themselves are started again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_resume: Option<bool>,
    /// The model of sessions that say neither a model nor a tier; an empty text takes it away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_model: Option<String>,
    /// Where workspaces stand. It cannot be changed: what is said has to be what `config_read` gives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace_root_template: Option<String>,
}

/// How many errors are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ErrorListParams {
    /// At most so many; 20 when nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 100)]
    pub limit: Option<usize>,
}

/// Which error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ErrorParams {
    /// The error's fingerprint, 64 hex digits.
    pub fingerprint: String,
}

/// An error that the owner is to be asked about, or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReportBugParams {
    /// The error's fingerprint, 64 hex digits.
    pub fingerprint: String,
    /// Whether the owner is to be asked for consent; otherwise a preview is the answer. Nothing leaves the machine by it.
    pub confirm: bool,
    /// The hash of the preview that is to be filed; without it the one that this token was shown last, or a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<String>,
}
